#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach in trouble: timeouts, signals, names that are too long, a
# device whose first sector cannot be read, one of several that cannot be
# detached, one that is written to meanwhile.  Nothing is left in any case, and
# no other device is affected.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

if on_host; then
  boot_to_attach
  exit
fi

# Each device has its own timeout; the next one does not inherit it.  There
# always is one.
made_with_timeout ()
{
  try "$attach" "${@:2}"
  shows "/sys/block/nbd0/queue/io_timeout" "$1"
  try "$attach" --detach nbd0
}
start_server 16M
made_with_timeout 600000 -C 2 "$uri"
made_with_timeout 5000 -C 2 --timeout 5 "$uri"
made_with_timeout 600000 -C 2 "$uri"
made_with_timeout 600000 -C 1 16M
made_with_timeout 30000 --persist "$uri"
made_with_timeout 7000 --persist --timeout 7 "$uri"
made_with_timeout 600000 -C 1 "$uri"

# A signal while nullblk-attach starts a server.
cat >"$tmp/nbdkit" <<END
#!/bin/bash
kill -TERM "\$PPID"
exec "$NULLBLK_NBDKIT" "\$@"
END
chmod +x "$tmp/nbdkit"
! NULLBLK_NBDKIT=$tmp/nbdkit "$attach" 1M 2>"$tmp/err" || fail "attached"
grep -q interrupted "$tmp/err" || fail "$(cat "$tmp/err")"
leaves_nothing "its own server"

# Nobody reads its standard error any more.
exec 7> >(:)
wait $!
! "$attach" 1M nonsense=1 2>&7 || fail "attached"
exec 7>&-
leaves_nothing "a closed pipe"

# Names that are longer than anything we have room for.
long=$(printf '%01500d' 0)
fails "$attach" "$(uri_of "$long")"
leaves_nothing "a long URI"
fails "$attach" "nbd+unix:///?socket=$long"
leaves_nothing "a long socket"

# A device that cannot be read is attached, and at once: nothing of it has to be
# read.
for trouble in badblocks=+0-0 'fault=op=read error=EIO' \
    'fault=op=read hang' 'zoned=true zone-size=1M zone-offline=0'; do
  # shellcheck disable=SC2086 # words
  case $trouble in
    zoned*) set -- $trouble ;;
    *) set -- "$trouble" ;;
  esac
  disk=$("$attach" --as=nbd --name trouble -C 1 16M "$@") ||
    fail "$trouble: not attached"
  shows "/sys/block/${disk##*/}/size" 32768
  nbd-client --disconnect "$disk" >/dev/null
  try "$attach" --detach trouble
  leaves_nothing "$trouble"
done

# A device that cannot be detached does not keep the others attached.
for name in a b c; do
  try "$attach" --name $name 16M memory-backed=true
done
try mkfs.ext4 -q -F /dev/nbd1
mkdir -p "$tmp/mnt"
try mount /dev/nbd1 "$tmp/mnt"
fails "$attach" --detach --all
grep -q '^nullblk-attach: b: /dev/nbd1 is in use' "$tmp/fails" ||
  fail "$(cat "$tmp/fails")"
[ "$(ls /run/nullblk)" = b ] || fail "left: $(ls /run/nullblk)"
try umount "$tmp/mnt"
try "$attach" --detach --all
leaves_nothing "all"

# Nor does one on which another nullblk-attach works.
mkfifo "$tmp/fifo"
cat >"$tmp/nbdkit" <<END
#!/bin/bash
read -r <"$tmp/fifo"
exec "$NULLBLK_NBDKIT" "\$@"
END
NULLBLK_NBDKIT=$tmp/nbdkit "$attach" --name a 1M >"$tmp/out" &
waiting=$!
wait_until 30 test -d /run/nullblk/a || fail "it does not begin"
try "$attach" --name b 1M
fails "$attach" --name a 1M
grep -q 'is taken' "$tmp/fails" || fail "$(cat "$tmp/fails")"
fails "$attach" --detach --all
grep -q '^nullblk-attach: a: another nullblk-attach is at work' "$tmp/fails" ||
  fail "$(cat "$tmp/fails")"
[ "$(ls /run/nullblk)" = a ] || fail "left: $(ls /run/nullblk)"
echo >"$tmp/fifo"
wait "$waiting" || fail "a is not attached"
try "$attach" --detach a
leaves_nothing "a lock"

# A device that a process still has open goes when the process closes it.
try "$attach" 1M
exec 7</dev/nbd0
fails "$attach" --detach nbd0
grep -q 'still open in a process' "$tmp/fails" || fail "$(cat "$tmp/fails")"
exec 7<&-
try "$attach" --detach nbd0
leaves_nothing "an open device"
stop_server

# What somebody writes and closes during the flush is flushed, too.  The page
# cache keeps it for ten minutes, instead of five seconds.
echo 60000 >/proc/sys/vm/dirty_writeback_centisecs
start_server 16M memory-backed=true flush-latency=10s
made /dev/nbd0 "$uri"
random_file "$tmp/content" 1 65536
"$attach" --detach nbd0 2>"$tmp/err" &
detaching=$!
flushes ()
{
  /nullblkctl stats --json "$sock" | tr -d ' \n' |
    grep '"queue_depth":{"now":1' >/dev/null
}
wait_until 60 flushes || fail "nothing is flushed: $(cat "$tmp/err")"
try dd if="$tmp/content" of=/dev/nbd0 bs=64k conv=notrunc
wait "$detaching" || fail "--detach: $(cat "$tmp/err")"
leaves_nothing "written during the flush"
made /dev/nbd0 "$uri"
try cmp -n 65536 "$tmp/content" /dev/nbd0
try "$attach" --detach nbd0
leaves_nothing "flushed"
stop_server
