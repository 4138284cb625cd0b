#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach and nullblk-ublk where the kernel has no driver for a device,
# with each of their calls failing once: they start servers and connect to them,
# refuse, list and detach, and leave nothing behind.  What they cannot read they
# do not take to be missing.  They can be children of a process that ignores
# SIGCHLD.  The rest needs a kernel that makes devices: guest/ has that, without
# calls that fail.

# In namespaces of its own: /run is empty, what is left behind is seen, and the
# kernel's nbd driver, which is reached by netlink, is in another network.
if [ -z "${NULLBLK_INSIDE-}" ]; then
  # shellcheck source=functions.sh source-path=SCRIPTDIR
  source "${0%/*}/functions.sh"
  [ "$(id -u)" = 0 ] || skip "only root can attach a device"
  separate=(unshare --mount --net --pid --fork --kill-child --mount-proc
            setpriv --bounding-set=-sys_module)
  "${separate[@]}" mount -t tmpfs none /run 2>/dev/null ||
    skip "no namespaces"
  NULLBLK_INSIDE=yes "${separate[@]}" "$0" "$@"
  exit
fi
mount -t tmpfs none /run
[ ! -e /dev/ublk-control ] || mount --bind /dev/null /dev/ublk-control

# shellcheck source=failing.sh source-path=SCRIPTDIR
source "${0%/*}/failing.sh"
attach=$top_builddir/tools/nullblk-attach
ublk=$top_builddir/tools/nullblk-ublk
[ -x "$attach" ] || skip "nullblk-attach is not built"
PATH=$top_builddir/tools:$PATH

# What is left of attachments and devices; .exports has nothing but locks.
left ()
{
  find /run/nullblk /run/nullblk-ublk -mindepth 1 ! -name .exports 2>/dev/null
}

servers=0 # of the test
nothing_is_left ()
{
  [ -z "$(left)" ] && [ "$(pgrep -cx nbdkit)" = $servers ]
}

# If the program could not remove something itself, --detach does.
check_failed ()
{
  nothing_is_left || {
    "$attach" --detach --all 2>/dev/null || true
    "$ublk" --detach --all 2>/dev/null || true
    nothing_is_left || {
      left >&2
      ps ax >&2
      return 1
    }
  }
}

# Commands that refuse.
status_without=1
each_call_fails "$attach" 1M memory-backed=true
each_call_fails "$attach" --as=ublk --name disk -C 2 1M
each_call_fails "$attach" --as=nbd 1M
each_call_fails "$attach" --detach nbd0

start_server size=1M memory-backed=true zoned=true zone-size=64K
servers=1

# A lock that cannot be taken is not another nullblk-attach.
mkdir -p /run/nullblk/.exports
if "$attach" --as=ublk "$uri" 2>"$tmp/err" ||
    ! grep -qx "nullblk-attach: .*/.exports cannot be locked: Is a directory" \
      "$tmp/err"; then
  fail "an .exports that is no file: $(cat "$tmp/err")"
fi
rmdir /run/nullblk/.exports

each_call_fails "$attach" "$uri"
each_call_fails "$attach" --as=ublk --persist=5 "$uri"
each_call_fails "$ublk" --detach ublkb0
status_without=3 # this kernel has no such device
each_call_fails "$ublk" -f "$uri"
each_call_fails "$ublk" --persist=5 "$uri"

# without_sigchld COMMAND...: run it as a child of a process that ignores SIGCHLD.
without_sigchld ()
{
  (trap '' CHLD; exec "$@") >"$tmp/out" 2>"$tmp/err"
}
status=0
without_sigchld "$ublk" "$uri" || status=$?
[ "$status" = 3 ] || fail "status $status: $(cat "$tmp/err")"
without_sigchld "$attach" --as=ublk "$uri" && fail "there is a device"
grep -q '^nullblk-ublk: .*no ublk driver' "$tmp/err" || fail "$(cat "$tmp/err")"
[ "$(wc -l <"$tmp/err")" = 1 ] || fail "$(cat "$tmp/err")"
stop_server
servers=0

# Commands that list and detach: an attachment whose device went when power was
# lost, and a record whose process was killed.
status_without=0
prepare ()
{
  mkdir -p /run/nullblk/scratch /run/nullblk-ublk
  echo nbd7 >/run/nullblk/scratch/device
  echo backend nullblk-0123456789abcdef >/run/nullblk/scratch/attachment
  echo nbd://localhost/nullb0 >/run/nullblk/scratch/uri
  printf '1\n0\n0\nublkb7\nnbd://localhost/nullb0\n' \
    >/run/nullblk-ublk/0123456789abcdef
}
check_failed ()
{
  :
}
each_call_fails "$attach" --list
each_call_fails "$ublk" --list
check ()
{
  [ ! -e "$gone" ]
}
gone=/run/nullblk/scratch
each_call_fails "$attach" --detach scratch
each_call_fails "$attach" --detach --all
gone=/run/nullblk-ublk/0123456789abcdef
each_call_fails "$ublk" --detach 0123456789abcdef
each_call_fails "$ublk" --detach --all
