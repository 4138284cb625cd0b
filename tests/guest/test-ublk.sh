#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-ublk on an export without zones: the device's properties, data, a
# filesystem, discard and zeroes.  A device in use is not detached, and nothing
# is left, also of a process that was killed.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  boot_to_ublk
  exit
fi

mib=1048576
start_server 256M memory-backed=true
attach_ublk "$uri"
[ "$disk" = /dev/ublkb0 ] || fail "it is $disk"
shows /sys/block/ublkb0/size 524288
shows /sys/block/ublkb0/ro 0
shows "$queue/rotational" 0
shows "$queue/write_cache" 'write back'
shows "$queue/fua" 1
shows "$queue/zoned" none
shows "$queue/logical_block_size" 512
shows "$queue/physical_block_size" 4096
read -r device size list_uri < <("$ublk" --list)
[ "$device $size $list_uri" = "/dev/ublkb0 268435456 $uri" ] ||
  fail "--list: $("$ublk" --list)"

# Data at depth, requests of all sizes, and the largest.
verify --rw=randwrite --bs=4k
takes_data

# Discard, and zeroes.
try dd if=/dev/urandom of="$disk" bs=1M count=8 oflag=direct
try blkdiscard -o $((2 * mib)) -l $((2 * mib)) "$disk"
try blkdiscard -z -o $((6 * mib)) -l $((2 * mib)) "$disk"
try cmp -i $((2 * mib)) -n $((2 * mib)) "$disk" /dev/zero
try cmp -i $((6 * mib)) -n $((2 * mib)) "$disk" /dev/zero

# A device that is mounted, or open, is not detached.
make_filesystem ext4 "$disk"
try mount -t ext4 "$disk" /mnt
refuses '*ublkb0: it is in use*' --detach "$disk"
echo kept >/mnt/file
try umount /mnt
exec 5<"$disk"
refuses '*ublkb0: it is in use*' --detach --all
exec 5<&-
detach_ublk
leaves_nothing "--detach"
refuses "$disk: not attached by nullblk-ublk*" --detach "$disk"

# What was written is at the server.
attach_ublk -q 1 -d 1 "$uri"
try mount -t ext4 "$disk" /mnt
[ "$(cat /mnt/file)" = kept ] || fail "the file is gone"
try umount /mnt
detach_ublk

# The process is killed: the device is gone, and what is left can be cleared.  A
# device that has its number by then is not taken for it.
attach_ublk "$uri"
kill -KILL "$(process_of)"
wait_until 60 disk_is_gone || fail "$disk is there without its process"
"$ublk" --list | grep '^ublkb0 .* (dead)$' >/dev/null ||
  fail "--list: $("$ublk" --list)"
mine=$(ls /run/nullblk-ublk)
mv "/run/nullblk-ublk/$mine" "/run/nullblk-ublk/0000000000000001"
refuses "*ublkb0: not attached by nullblk-ublk*" --detach "$disk"
try "$ublk" --detach --all
[ -e /sys/class/ublk-char/ublkc0 ] || fail "it deletes what is not its own"
touch "/run/nullblk-ublk/$mine"
try "$ublk" --detach --all
leaves_nothing "killed"

# In the foreground, and ended by a signal.
"$ublk" -f "$uri" >"$tmp/out" &
pid=$!
wait_until 60 grep -qx /dev/ublkb0 "$tmp/out" || fail "-f: $(cat "$tmp/out")"
kill -TERM "$pid"
wait "$pid" || fail "SIGTERM: it has failed"
leaves_nothing "SIGTERM"

# Several devices, over and over.
for ((i = 0; i < 10; i++)); do
  attach_ublk "$uri"
  attach_ublk --read-only "$uri"
  [ "$disk" = /dev/ublkb1 ] || fail "the second is $disk"
  shows /sys/block/ublkb1/ro 1
  try dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct
  try "$ublk" --detach --all
  leaves_nothing "round $i"
done

# A record that no process has locked does not mean that none serves the device.
"$ublk" -f "$uri" >"$tmp/out" 2>"$tmp/err" &
pid=$!
wait_until 60 grep -qx /dev/ublkb0 "$tmp/out" || fail "-f: $(cat "$tmp/out")"
mine=$(ls /run/nullblk-ublk)
mv "/run/nullblk-ublk/$mine" "$tmp/record"
cp "$tmp/record" "/run/nullblk-ublk/$mine"
refuses '*ublkb0: a process still serves it*' --detach --all
try dd if=/dev/ublkb0 of=/dev/null bs=4k count=1 iflag=direct
mv "$tmp/record" "/run/nullblk-ublk/$mine"
kill -TERM "$pid"
wait "$pid" || fail "it has failed: $(cat "$tmp/err")"
leaves_nothing "a record that is nobody's"

# Attaching ends when its caller is killed, though the server is silent.
kill -STOP "$server_pid"
"$ublk" "$uri" >/dev/null 2>&1 &
pid=$!
# count_processes: print how many processes nullblk-ublk has.
count_processes ()
{
  processes nullblk-ublk | wc -l
}
has_begun ()
{
  [ "$(count_processes)" -ge 2 ]
}
none_is_left ()
{
  [ "$(count_processes)" = 0 ]
}
wait_until 60 has_begun || fail "it does not begin"
kill -KILL "$pid"
wait "$pid" || true
wait_until 20 none_is_left || fail "it goes on attaching for nobody"
kill -CONT "$server_pid"
leaves_nothing "its caller was killed"

# The server is silent, and written data is in flight.
# The process is killed while it detaches: it ends at once, and so do all
# requests.
attach_ublk "$uri"
pid=$(process_of)
write_in_vain
kill -TERM "$pid"
wait_until 60 disk_is_open || fail "it does not flush"
kill -KILL "$pid"
wait_until 60 process_ended "$pid" || fail "it cannot be killed"
wait_until 60 process_ended "$writer" || fail "a write does not end"
wait "$writer" || true
try "$ublk" --detach --all
leaves_nothing "killed while it detaches"
kill -CONT "$server_pid"

# A second SIGTERM ends the wait, and --detach says what is lost.
attach_ublk "$uri"
pid=$(process_of)
write_in_vain
"$ublk" --detach "$disk" 2>"$tmp/err" &
detaching=$!
wait_until 60 disk_is_open || fail "it does not flush"
ends_when_asked ()
{
  kill -TERM "$pid" 2>/dev/null || true
  process_ended "$pid"
}
wait_until 60 ends_when_asked || fail "it does not give up"
! wait "$detaching" || fail "it says that all has been written"
grep -q 'not all that was written' "$tmp/err" || fail "$(cat "$tmp/err")"
wait "$writer" || true
leaves_nothing "asked twice"
kill -CONT "$server_pid"

# A server that is silent for longer than --timeout counts as dead.
attach_ublk -q 1 --timeout 1 "$uri"
kill -STOP "$server_pid"
fails dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct
grep -q 'timed out' "$tmp/fails" || fail "it says: $(cat "$tmp/fails")"
kill -CONT "$server_pid"
fails dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct
refuses '*: not all that was written to it*' --detach "$disk"
leaves_nothing "a silent server"

# The server goes away.
attach_ublk "$uri"
kill -KILL "$server_pid"
wait "$server_pid" || true
server_pid=
fails dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct
refuses '*: not all that was written to it*' --detach "$disk"
leaves_nothing "without a server"
refuses '*' "$uri"
leaves_nothing "with no server"
