#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The service units under this machine's systemd, which is the first process of
# a namespace in the guest: they work with all their restrictions, a device is
# served and attached, at once or by its socket, and a stopped unit leaves
# nothing.  Also what the scripts of the packages do to units and devices when a
# package is upgraded or removed.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

systemd=/usr/lib/systemd/systemd
units=/etc/systemd/system

# add FILE...: copy each with its libraries to the same place below $tmp/add.
add ()
{
  local f

  for f in "$@" $(ldd "$@" | grep -o '/[^ ]*/[^ :]*' | sort -u); do
    f=$(realpath "${f%/*}")/${f##*/}
    mkdir -p "$tmp/add${f%/*}"
    [ -e "$tmp/add$f" ] || cp -L "$f" "$tmp/add$f"
  done
}

if on_host; then
  built=$top_builddir/tools/systemd
  [ -x "$top_builddir/tools/nullblk-attach" ] ||
    skip "nullblk-attach is not built"
  [ -e "$built/nullblk@.service" ] || skip "the units are not built"
  [ -x $systemd ] || skip "systemd is missing"
  requires systemctl

  add $systemd "$(command -v systemctl)" "$(command -v nsenter)" \
    "$(command -v unshare)"
  # systemd's executor, and libraries that systemd opens later.
  [ ! -x $systemd-executor ] || add $systemd-executor
  for name in libseccomp.so.2 libmount.so.1 libkmod.so.2; do
    library=$(ldconfig -p | awk -v n=$name '$1 == n && !i++ { print $NF }')
    [ -z "$library" ] || add "$library"
  done
  mkdir -p "$tmp/add$units"
  cp -P /usr/lib/systemd/system/*.target /usr/lib/systemd/system/*.slice \
    "$tmp/add$units"
  cp "$built"/*.service "$top_srcdir/tools/systemd/nullblk@.socket" \
    "$tmp/add$units"
  mkdir "$tmp/add/scripts"
  cp "$top_srcdir"/debian/nullblk-tools.{prerm,postinst,postrm} \
    "$tmp/add/scripts"
  for name in post preun postun; do
    sed -n "/^%$name tools/,/^%/{/^%/d; p}" \
      "$top_srcdir/packaging/nullblk.spec.in" >"$tmp/add/scripts/rpm.$name"
    [ -s "$tmp/add/scripts/rpm.$name" ] || fail "the spec has no %$name"
  done
  NULLBLK_ADD=$tmp/add boot_guest
  exit
fi

# Have the programs where the units look for them.
for program in nullblk-serve nullblk-attach; do
  path=$(sed -n "s,^ExecStart=\([^ ]*/$program\) .*,\1,p" $units/*.service |
    sort -u)
  [ "$(wc -w <<<"$path")" = 1 ] || fail "$program is '$path'"
  mkdir -p "${path%/*}"
  ln -s "/$program" "$path"
done
mkdir -p /var/tmp /etc/nullblk/attach
cat >/etc/systemd/system.conf <<END
[Manager]
DefaultEnvironment=NULLBLK_PLUGIN=$PLUGIN NULLBLK_NBDKIT=$NULLBLK_NBDKIT
DefaultEnvironment=NULLBLK_BATCH=$NULLBLK_BATCH
DefaultStandardOutput=null
END
echo 00000000000000000000000000000001 >/etc/machine-id

mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs run /run
# shellcheck disable=SC2016 # of the shell there
unshare --mount --pid --fork --kill-child --propagation slave sh -c '
  mount -t proc proc /proc
  exec env -i container=guest PATH="$PATH" "$0" --system --unit=basic.target \
    --log-target=console --log-level=notice --show-status=no' $systemd &
system=$!
end_system ()
{
  kill -KILL "$system" 2>/dev/null || true
}
at_exit+=(end_system)
# systemd takes commands from its own namespace only.
systemctl ()
{
  nsenter --target "$first" --pid --mount systemctl "$@"
}
first=''
is_up ()
{
  first=$(awk -v parent="$system" '$4 == parent { print $1 }' \
    /proc/[0-9]*/stat 2>/dev/null || true)
  [ -n "$first" ] && systemctl is-active --quiet basic.target 2>/dev/null
}
wait_until 120 is_up || fail "systemd does not come up"

# is STATE UNIT: fail the test unless the unit is in this state.
is ()
{
  local state

  state=$(systemctl is-active "$2" || true)
  [ "$state" = "$1" ] || fail "$2 is $state, not $1: $(systemctl show \
    --property=Result --property=ExecMainStatus "$2" | tr '\n' ' ')"
}

# start UNIT...: and see that they are active.
start ()
{
  local unit

  systemctl start "$@" >"$tmp/systemctl" 2>&1 ||
    fail "start $*: $(cat "$tmp/systemctl"); $(systemctl show \
      --property=Result --property=ExecMainStatus "$@" | tr '\n' ' ')"
  for unit; do
    is active "$unit"
  done
}

# stop UNIT...: and see that they are inactive.
stop ()
{
  local unit

  systemctl stop "$@" >"$tmp/systemctl" 2>&1 ||
    fail "stop $*: $(cat "$tmp/systemctl")"
  for unit; do
    is inactive "$unit"
  done
}

nothing_left ()
{
  [ -z "$(ls /run/nullblk)" ] || fail "$1: left: $(ls /run/nullblk)"
  [ -z "$(processes nbdkit)" ] || fail "$1: left: a server"
  [ ! -e /sys/block/nbd0/pid ] || fail "$1: left: /dev/nbd0"
}

is_serving ()
{
  nbdinfo --size "nbd+unix:///?socket=$sock" >"$tmp/size" 2>&1
}

sock=/run/nullblk-server/ram/socket
mkdir -p "$tmp/mnt"

# Serve the device, and attach it.
echo 'PARAMETERS="size=64M memory-backed=true"' >/etc/nullblk/ram.conf
start nullblk@ram.service
is_serving || fail "it does not serve: $(cat "$tmp/size")"
[ "$(cat "$tmp/size")" = 67108864 ] || fail "not its size: $(cat "$tmp/size")"
# The server has a dynamic user, and no capabilities.
pid=$(cat /proc/[0-9]*/stat 2>/dev/null | awk '$2 == "(nbdkit)" { print $1 }')
[ "$(stat -c %u "/proc/$pid")" -gt 60000 ] || fail "it is not a dynamic user's"
grep -q '^CapEff:.0*$' "/proc/$pid/status" || fail "it has capabilities"
grep -q '^Seccomp:.2$' "/proc/$pid/status" || fail "it has no filter"
start nullblk-attach@ram.service
shows /sys/block/nbd0/size 131072
verify --rw=randwrite --bs=4k
# A mounted device is not detached, and works.
try mkfs.ext4 -q -F /dev/nbd0
try mount /dev/nbd0 "$tmp/mnt"
systemctl stop nullblk-attach@ram.service >/dev/null 2>&1 || true
echo kept >"$tmp/mnt/file"
try sync "$tmp/mnt/file"
shows /sys/block/nbd0/size 131072
try umount "$tmp/mnt"
systemctl reset-failed
try "/nullblk-attach" --detach ram
stop nullblk@ram.service
[ ! -e $sock ] || fail "left: $sock"
nothing_left "nullblk@ram"

# Both units in one command; systemd orders them.
start nullblk@ram.service nullblk-attach@ram.service
shows /sys/block/nbd0/size 131072
stop nullblk-attach@ram.service nullblk@ram.service
nothing_left "both at once"

# inside COMMAND...: run it in the namespace of systemd.
inside ()
{
  nsenter --target "$first" --pid --mount env PATH="/:$PATH" "$@"
}

# script NAME ARGUMENT...: as dpkg and rpm run it.
script ()
{
  inside sh "/scripts/$1" "${@:2}" >"$tmp/script" 2>&1
}

# package UPGRADE REMOVE AGAIN AFTER: each is NAME and ARGUMENT of a script: for
# an upgrade; for a removal, which is refused while a device is mounted; for
# what follows such a refusal, or an upgrade; and for what follows a removal.
package ()
{
  local -a upgrade remove again after

  read -ra upgrade <<<"$1"
  read -ra remove <<<"$2"
  read -ra again <<<"$3"
  read -ra after <<<"$4"
  start nullblk@ram.service nullblk-attach@ram.service
  start nullblk-attach@own.service
  try mkfs.ext4 -q -F /dev/nbd0
  try mount /dev/nbd0 "$tmp/mnt"
  try script "${upgrade[@]}"
  try script "${again[@]}"
  is active nullblk@ram.service
  is active nullblk-attach@ram.service
  is active nullblk-attach@own.service

  # The device that is not in use is detached.
  fails script "${remove[@]}"
  try script "${again[@]}"
  is active nullblk@ram.service
  shows /sys/block/nbd0/size 131072
  shows /sys/block/nbd1/size 0
  echo kept >"$tmp/mnt/file"
  try sync "$tmp/mnt/file"
  try umount "$tmp/mnt"
  try script "${remove[@]}"
  try script "${after[@]}"
  is inactive nullblk@ram.service
  nothing_left "${remove[*]}"
  systemctl reset-failed
}
printf '%s\n' 'URI="32M memory-backed=true"' 'OPTIONS="--as=nbd"' \
  >/etc/nullblk/attach/own.conf
package 'nullblk-tools.prerm upgrade 2' 'nullblk-tools.prerm remove' \
  'nullblk-tools.postinst abort-remove' 'nullblk-tools.postrm remove'
package 'rpm.preun 1' 'rpm.preun 0' 'rpm.post 2' 'rpm.postun 0'
start nullblk@ram.socket
try script nullblk-tools.prerm remove
is inactive nullblk@ram.socket
nothing_left "a socket"

# A device of nullblk-ublk: while it is in use, the package cannot be removed,
# and its server goes on.
for remove in 'nullblk-tools.prerm remove' 'rpm.preun 0'; do
  read -ra remove <<<"$remove"
  start nullblk@ram.service
  disk=$(inside nullblk-ublk "nbd+unix:///?socket=$sock")
  try mkfs.ext4 -q -F "$disk"
  try mount "$disk" "$tmp/mnt"
  fails script "${remove[@]}"
  is active nullblk@ram.service
  echo kept >"$tmp/mnt/file"
  try sync "$tmp/mnt/file"
  try umount "$tmp/mnt"
  try script "${remove[@]}"
  [ ! -e "$disk" ] || fail "${remove[*]}: left: $disk"
  nothing_left "${remove[*]}"
done

# By its socket: the server starts with the first client, and stops with the
# socket.
start nullblk@ram.socket
is inactive nullblk-socket@ram.service
shows /sys/block/nbd0/size 0
start nullblk-attach@ram.service
is active nullblk-socket@ram.service
verify --rw=randwrite --bs=4k
stop nullblk-attach@ram.service
stop nullblk@ram.socket
is inactive nullblk-socket@ram.service
[ ! -e $sock ] || fail "left: $sock"
nothing_left "the socket"

# Service and socket listen on the same path: the one that is started stops the
# other.
start nullblk@ram.socket
start nullblk@ram.service
is inactive nullblk@ram.socket
is_serving || fail "it does not serve: $(cat "$tmp/size")"
stop nullblk@ram.service

# A server that nullblk-attach starts; then a server that is away for a while.
start nullblk-attach@own.service
shows /sys/block/nbd0/size 65536
verify --rw=randwrite --bs=4k
stop nullblk-attach@own.service
nothing_left "a server of its own"

start nullblk@ram.service
echo 'OPTIONS="--persist=600"' >/etc/nullblk/attach/ram.conf
start nullblk-attach@ram.service
systemctl kill --signal=KILL nullblk@ram.service
wait_until 60 systemctl is-failed --quiet nullblk@ram.service ||
  fail "the server has not failed"
start nullblk@ram.service
verify --rw=randwrite --bs=4k
stop nullblk-attach@ram.service
stop nullblk@ram.service
nothing_left --persist

# A unit with a wrong configuration fails.
echo 'PARAMETERS="size=nonsense"' >/etc/nullblk/ram.conf
fails systemctl start nullblk@ram.service
is failed nullblk@ram.service
fails systemctl start nullblk-attach@ram.service
is failed nullblk-attach@ram.service
nothing_left "what is wrong"
