#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach and devices of ublk: which exports become one, and what they
# become if none can be made; that an export that is attached again has the same
# device; a server that nullblk-attach starts; and that --detach clears
# everything, whatever process is killed.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"
if on_host; then
  [ -x "$top_builddir/tools/nullblk-ublk" ] || skip "nullblk-ublk is not built"
  boot_to_attach
  exit
fi

modprobe ublk_drv || skip "this kernel has no ublk"

attach=/nullblk-attach

# nothing_is_left WHEN: of nullblk-attach and of nullblk-ublk.
nothing_is_left ()
{
  leaves_nothing "$1"
  leaves_nothing_of_ublk "$1"
}

# refuses TEXT ARGUMENT...: nullblk-attach has to fail, and the last line that
# it prints to match the pattern TEXT.
refuses ()
{
  ! "$attach" "${@:2}" >"$tmp/out" 2>"$tmp/err" || fail "${*:2}: it succeeds"
  [ ! -s "$tmp/out" ] || fail "${*:2}: $(cat "$tmp/out")"
  # shellcheck disable=SC2053 # a pattern
  [[ $(tail -n 1 "$tmp/err") == $1 ]] || fail "${*:2}: $(cat "$tmp/err")"
}

# is_dead NAME: does --list say so?
is_dead ()
{
  "$attach" --list | grep "^$1 .*(dead)" >/dev/null
}

# zoned_is DEVICE WHAT
zoned_is ()
{
  shows "/sys/block/$1/queue/zoned" "$2"
}

# An export with zones, and the same once more.
zones=(memory-backed=true zoned=true zone-size=1M)
start_server 16M "${zones[@]}"
mkdir -p /run/nullblk
made /dev/ublkb0 "$uri"
zoned_is ublkb0 host-managed
made /dev/ublkb0 "$uri"
made /dev/ublkb0 --as=ublk "$uri"
refuses '*attached as ublkb0 to /dev/ublkb0, which is no nbd device*' \
  --as=nbd "$uri"
"$attach" --list >"$tmp/list"
grep "^ublkb0  *//*dev/ublkb0  *16777216 $uri\$" "$tmp/list" >/dev/null ||
  fail "--list: $(cat "$tmp/list")"
made /dev/ublkb1 --name other --as=ublk "$uri"
made /dev/nbd0 --as=nbd --name flat "$uri"
zoned_is nbd0 none
try dd if=/dev/urandom of=/dev/ublkb0 bs=64k count=4 oflag=direct
try cmp -n 262144 /dev/ublkb0 /dev/nbd0
try blkzone reset /dev/ublkb0

# A device in use is not detached.
exec 5</dev/ublkb0
refuses '*ublkb0: it is in use*' --detach ublkb0
exec 5<&-
refuses '*: not attached by nullblk-attach*' --detach ublkb7
try "$attach" --detach /dev/ublkb1
try "$attach" --detach flat
try "$attach" --detach ublkb0
nothing_is_left "--detach"

# A device that was attached as nbd0 stays that, whatever is the default.
made /dev/nbd0 --as=nbd "$uri"
made /dev/nbd0 "$uri"
refuses '*to /dev/nbd0, which is no ublk device*' --as=ublk "$uri"
try "$attach" --detach --all
nothing_is_left "as nbd"

# Without ublk's driver the device is nbd's, with a warning of what it lacks.
mkdir "$tmp/bin"
printf '#!/bin/bash\nexit 1\n' >"$tmp/bin/modprobe"
chmod +x "$tmp/bin/modprobe"
try modprobe -r ublk_drv
device=$(PATH=$tmp/bin:$PATH "$attach" "$uri" 2>"$tmp/err") ||
  fail "without ublk: $(cat "$tmp/err")"
[ "$device" = /dev/nbd0 ] || fail "without ublk it is $device"
grep '^nullblk-ublk: this kernel has no ublk driver' "$tmp/err" >/dev/null ||
  fail "it does not say why: $(cat "$tmp/err")"
grep '^nullblk-attach: .*/dev/nbd0.* does not show' "$tmp/err" >/dev/null ||
  fail "it does not say what that means: $(cat "$tmp/err")"
[ "$(wc -l <"$tmp/err")" = 2 ] || fail "more than that: $(cat "$tmp/err")"
try "$attach" --detach nbd0
PATH=$tmp/bin:$PATH refuses 'nullblk-ublk: this kernel has no ublk driver*' \
  --as=ublk "$uri"
PATH=$tmp/bin:$PATH made /dev/nbd0 16M memory-backed=true
[ ! -s "$tmp/err" ] || fail "it says: $(cat "$tmp/err")"
try "$attach" --detach nbd0
PATH=$tmp/bin:$PATH refuses '*does not start' --as=ublk 16M
grep 'ublk=true: this kernel has no ublk driver' "$tmp/err" >/dev/null ||
  fail "it does not say why: $(cat "$tmp/err")"
try modprobe ublk_drv
nothing_is_left "without ublk"
wait_until 60 has_connections 0 || fail "connections stay"
stop_server

# The same with zones that ublk's driver refuses: the last one is shorter.
start_server 12M memory-backed=true zoned=true zone-size=8M
made /dev/nbd0 "$uri"
grep 'whole zones' "$tmp/err" >/dev/null || fail "why? $(cat "$tmp/err")"
try "$attach" --detach nbd0
refuses '*whole zones*' --as=ublk "$uri"
nothing_is_left "a short last zone"
wait_until 60 has_connections 0 || fail "connections stay"
stop_server

# An export without zones becomes nbd's device, or what --as says.
start_server 16M memory-backed=true
made /dev/nbd0 "$uri"
[ ! -s "$tmp/err" ] || fail "it says: $(cat "$tmp/err")"
try "$attach" --detach nbd0
made /dev/ublkb0 --as=ublk -C 1 "$uri"
zoned_is ublkb0 none
shows /sys/block/ublkb0/size 32768
try "$attach" --detach ublkb0
refuses '*no export named*' "$(uri_of nothing)"
nothing_is_left "no zones"
wait_until 60 has_connections 0 || fail "connections stay"
stop_server

# A server that nullblk-attach starts makes the device, with as many queues as
# are asked for, and ends with it.
made /dev/ublkb0 16M "${zones[@]}"
has_no_ublk_process || fail "nullblk-ublk serves it"
zoned_is ublkb0 host-managed
pid=$(cat /run/nullblk/ublkb0/pid)
try dd if=/dev/urandom of=/dev/ublkb0 bs=64k count=4 oflag=direct
try "$attach" --detach ublkb0
! kill -0 "$pid" 2>/dev/null || fail "its server lives on"
made /dev/ublkb0 -C 1 65536 memory-backed=true
[ "$(find /sys/block/ublkb0/mq -mindepth 1 -maxdepth 1 | wc -l)" = 1 ] ||
  fail "more than one queue"
grep 'size=65536 is 64K' "$tmp/err" >/dev/null ||
  fail "no warning: $(cat "$tmp/err")"
try "$attach" --detach ublkb0
# The server needs no control export for that.
made /dev/ublkb0 16M control=off
shows /sys/block/ublkb0/size 32768
try "$attach" --detach ublkb0
made /dev/nbd0 --timeout 60 16M
try "$attach" --detach nbd0
refuses '*does not start' 16M nonsense=1
[ "$(grep -c 'nonsense=1: unknown' "$tmp/err")" = 1 ] ||
  fail "it says: $(cat "$tmp/err")"
nothing_is_left "a server of its own"

# A server that makes the device, by --as=ublk.
made /dev/ublkb0 --as=ublk --name plain 16M memory-backed=true
has_no_ublk_process || fail "nullblk-ublk serves it"
"$attach" --list | grep '^plain */dev/ublkb0 *16777216 ' >/dev/null ||
  fail "--list: $("$attach" --list)"
pid=$(cat /run/nullblk/plain/pid)
try mkfs.ext4 -q -F /dev/ublkb0
try mount /dev/ublkb0 /mnt
refuses '*/dev/ublkb0 is in use*' --detach plain
try umount /mnt
# The device stays, too, if the server's keeper was killed, and others look for
# dead devices.
keeper=$(head -n 1 "$(echo /run/nullblk-ublk/*)")
try mount /dev/ublkb0 /mnt
kill -KILL "$keeper"
wait_until 60 process_ended "$keeper" || fail "the keeper lives on"
! /nullblk-ublk --detach --all 2>"$tmp/err" || fail "it is detached"
grep 'a process still serves it' "$tmp/err" >/dev/null ||
  fail "it says: $(cat "$tmp/err")"
made /dev/ublkb1 --as=ublk --name second 1M
try "$attach" --detach second
refuses '*/dev/ublkb0 is in use*' --detach plain
echo content >/mnt/file
try sync -f /mnt
try umount /mnt
try "$attach" --detach plain
! kill -0 "$pid" 2>/dev/null || fail "its server lives on"
nothing_is_left "--as=ublk"
# With several devices, no other one may be in use.
made /dev/ublkb0 --as=ublk --name pair 16M memory-backed=true devices=2
try mkfs.ext4 -q -F /dev/ublkb1
try mount /dev/ublkb1 /mnt
refuses '*/dev/ublkb1 is in use*' --detach pair
try umount /mnt
try "$attach" --detach pair
nothing_is_left "two devices"
# The path of the device cannot be printed.
for as in nbd ublk; do
  ! "$attach" --as=$as 16M 2>"$tmp/err" >/dev/full || fail "$as: it succeeds"
  grep -q 'path of the device cannot be printed' "$tmp/err" ||
    fail "$as: it says $(cat "$tmp/err")"
  nothing_is_left "$as, nobody hears it"
done
made /dev/ublkb0 --as=ublk 16M "${zones[@]}"
zoned_is ublkb0 host-managed
kill -KILL "$(cat /run/nullblk/ublkb0/pid)"
wait_until 60 is_dead ublkb0 || fail "--list: $("$attach" --list)"
try "$attach" --detach ublkb0
refuses '*--timeout is for connections*' --as=ublk --timeout 5 16M
refuses '*does not start' --as=ublk 12M zoned=true zone-size=8M
grep 'ublk=true: .*whole zones' "$tmp/err" >/dev/null ||
  fail "it says: $(cat "$tmp/err")"
nothing_is_left "--as=ublk, and killed"

# Standard error is closed, and nothing else gets its descriptor.
start_server 16M "${zones[@]}"
disk=$(/nullblk-ublk "$uri" 2>&-) || fail "without a standard error: $?"
try /nullblk-ublk --detach "$disk"
nothing_is_left "without a standard error"
wait_until 60 has_connections 0 || fail "connections stay"
stop_server

# The process that serves a device is killed: the device is dead, and is not
# found as the export's device.
gone ()
{
  [ ! -e /dev/ublkb0 ]
}
start_server 16M "${zones[@]}"
made /dev/ublkb0 "$uri"
kill -KILL "$(head -n 1 "$(echo /run/nullblk-ublk/*)")"
wait_until 60 gone || fail "it is there without its process"
made /dev/ublkb1 "$uri"
try "$attach" --detach --all
nothing_is_left "nullblk-ublk killed, and anew"
# nullblk-ublk has detached a device of nullblk-attach.
made /dev/ublkb0 "$uri"
try /nullblk-ublk --detach ublkb0
try "$attach" --detach ublkb0
nothing_is_left "by nullblk-ublk"

# A server that is silent after its first words: a signal ends that, and so does
# the death of nullblk-attach.
cat >"$tmp/nullblk-ublk" <<END
#!/bin/bash
kill -STOP $server_pid
exec /nullblk-ublk "\$@"
END
chmod +x "$tmp/nullblk-ublk"
cp /nullblk-attach /nullblk-serve "$tmp"
has_begun ()
{
  [ "$(processes nullblk-ublk | wc -l)" -ge 2 ]
}
for signal in TERM KILL; do
  "$tmp/nullblk-attach" --name slow "$uri" >"$tmp/out" 2>"$tmp/err" &
  pid=$!
  wait_until 60 has_begun || fail "it does not begin: $(cat "$tmp/err")"
  kill -$signal "$pid"
  ! wait "$pid" || fail "SIG$signal: it succeeds"
  wait_until 60 has_no_ublk_process || fail "SIG$signal: it goes on attaching"
  kill -CONT "$server_pid"
  if [ "$signal" = KILL ]; then
    "$attach" --list | grep '^slow .*(dead)' >/dev/null || fail "not listed"
    try "$attach" --detach slow
  else
    grep -x 'nullblk-attach: interrupted' "$tmp/err" >/dev/null ||
      fail "it says: $(cat "$tmp/err")"
  fi
  nothing_is_left "SIG$signal"
done
# nullblk-attach is killed when the device is there, and it does not know so
# yet.
cat >"$tmp/nullblk-ublk" <<END
#!/bin/bash
/nullblk-ublk "\$@" >/dev/null
kill -KILL \$PPID
END
"$tmp/nullblk-attach" --name early "$uri" 2>/dev/null &&
  fail "it was not killed"
"$attach" --list | grep '^early  */dev/ublkb0 ' >/dev/null ||
  fail "it is not found: $("$attach" --list)"
try "$attach" --detach early
nothing_is_left "killed early"
wait_until 60 has_connections 0 || fail "connections stay"

# All processes of a device are killed: attached anew, it has the same timeouts.
pids_of_ublk ()
{
  processes nullblk-ublk
}
made /dev/ublkb0 --persist=50 --timeout 600 "$uri"
# shellcheck disable=SC2046 # one at a time would be replaced
kill -KILL $(pids_of_ublk)
wait_until 60 has_no_ublk_process || fail "they cannot be killed"
made /dev/ublkb0 "$uri"
for pid in $(pids_of_ublk); do
  tr '\0' ' ' <"/proc/$pid/cmdline" >"$tmp/arguments"
  grep -e '--timeout 600 --persist=50 ' "$tmp/arguments" ||
    fail "it has other timeouts: $(cat "$tmp/arguments")"
done
try "$attach" --detach ublkb0
nothing_is_left "taken over"
