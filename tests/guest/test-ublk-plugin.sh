#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# ublk=true: the devices of a server as block devices, beside NBD clients.
# Data, zones, statistics, live changes and power are those of the server; and
# when it ends, in whatever way, nothing hangs and nothing is left.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  [ -x "$top_builddir/tools/nullblkctl" ] || skip "nullblkctl is not built"
  boot_to_ublk
  exit
fi

echo "--- data"
serve_disk 256M memory-backed=true
shows "/sys/block/${disk##*/}/size" 524288
shows "$queue/rotational" 0
shows "$queue/logical_block_size" 512
shows "$queue/physical_block_size" 4096
shows "$queue/write_cache" 'write back'
"$ublk" --list | grep "^$disk .* ublk=true nullb0$" >/dev/null ||
  fail "--list: $("$ublk" --list)"
refuses '*a server has made it*' --detach "$disk"
try "$ublk" --detach --all
takes_data

echo "--- statistics, live changes, faults"
/nullblkctl reset-stats "$sock"
try dd if=/dev/zero of="$disk" bs=4k count=100 oflag=direct
written=$(/nullblkctl stats "$sock" --prometheus |
            sed -n 's/^nullblk_requests_total{.*op="write".*} //p')
[ "$written" -ge 100 ] || fail "writes: $(/nullblkctl stats "$sock")"
/nullblkctl set "$sock" read-latency=20ms
verify --rw=randwrite --bs=4k --size=1M
/nullblkctl set "$sock" read-latency=0
/nullblkctl fault add "$sock" 'op=read range=1M+4K error=EIO'
fails dd if="$disk" of=/dev/null bs=4k skip=256 count=1 iflag=direct
try dd if="$disk" of=/dev/null bs=4k skip=255 count=1 iflag=direct

echo "--- power"
/nullblkctl power cut "$sock"
fails dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct
/nullblkctl power on "$sock"
try dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct

echo "--- one that hangs"
/nullblkctl fault add "$sock" 'op=read range=2M+4K hang'
dd if="$disk" of="$tmp/out" bs=4k skip=512 count=1 iflag=direct 2>/dev/null &
reader=$!
hangs ()
{
  [ "$(awk '{ print $1 }' "/sys/block/${disk##*/}/inflight")" != 0 ]
}
wait_until 60 hangs || fail "nothing hangs"
verify --rw=randwrite --bs=4k --size=1M
stop_server
wait_until 60 process_ended "$reader" || fail "a read hangs"
! wait "$reader" || fail "a read has no error"
nothing_is_left "the end"

echo "--- one request at a time, and a thousand that hang"
for depth in 1 4096; do
  serve_disk 64M memory-backed=true rotational=true submit_queues=1 \
    hw_queue_depth=$depth
  shows "$queue/rotational" 1
  [ "$(find "/sys/block/${disk##*/}/mq" -mindepth 1 -maxdepth 1 | wc -l)" = 1 ] ||
    fail "more than one queue"
  verify --rw=randwrite --bs=4k --size=1M
  [ $depth = 1 ] || break
  stop_server
done
echo none >"$queue/scheduler"
/nullblkctl fault add "$sock" 'op=read hang'
fio --name=job --filename="$disk" --ioengine=libaio --direct=1 --thread \
  --rw=randread --bs=4k --size=8M --iodepth=1000 --randseed="$seed" \
  >"$tmp/fio" 2>&1 &
reader=$!
a_thousand_hang ()
{
  [ "$(awk '{ print $1 }' "/sys/block/${disk##*/}/inflight")" = 1000 ]
}
wait_until 60 a_thousand_hang ||
  fail "there hang $(cat "/sys/block/${disk##*/}/inflight")"
/nullblkctl fault del "$sock" --all
wait_until 60 process_ended "$reader" || fail "they go on hanging"
wait "$reader" || fail "fio: $(cat "$tmp/fio")"
stop_server
nothing_is_left "depths"

echo "--- zones"
# zone_is N CONDITION [WRITTEN]: see that the kernel and the server report this,
# with so many sectors written.
zone_is ()
{
  local kernel server

  kernel=$(blkzone report -o $(($1 * 8192)) -c 1 "$disk")
  [[ $kernel == *"($2)"* ]] || fail "zone $1 is not $2: $kernel"
  [ -z "${3-}" ] || [[ $kernel =~ wptr\ 0x0*$(printf %x "$3")\  ]] ||
    fail "zone $1 is not written up to $3: $kernel"
  server=$(/nullblkctl zones report "$sock" --from "$1" --count 1)
  [[ $server == *", $2,"* ]] || fail "zone $1 is not $2: $server"
}

# write_zone ZONE [BLOCK]: write 64 KiB, at a block of that size in the zone.
write_zone ()
{
  dd if="$tmp/content" of="$disk" bs=64k count=1 oflag=direct conv=notrunc \
    seek=$(($1 * 64 + ${2:-0}))
}

serve_disk 64M memory-backed=true zoned=true zone-size=4M zone-capacity=3M \
  zone-nr-conv=2 zone-max-open=3 zone-max-active=5
shows_zones
try write_zone 2
try write_zone 2 1
zone_is 2 oi 256
try blkzone open -o $((3 * 8192)) -c 3 "$disk"
zone_is 5 oe
zone_is 2 cl 256
fails blkzone open -o $((6 * 8192)) -c 1 "$disk"
grep -q 'Too many references' "$tmp/fails" || fail "$(cat "$tmp/fails")"
try blkzone finish -o $((3 * 8192)) -c 1 "$disk"
zone_is 3 fu
try blkzone reset "$disk"
zone_is 2 em 0
zone_is 3 em 0
for zone in 2 3 4 5 6; do
  try write_zone $zone
done
fails write_zone 7
grep -q 'Value too large' "$tmp/fails" || fail "$(cat "$tmp/fails")"
try blkzone reset "$disk"
try fio --name=job --filename="$disk" --ioengine=libaio --direct=1 \
  --zonemode=zbd --iodepth=8 --thread --numjobs=2 --offset=8M --size=16M \
  --offset_increment=16M --bs=64k --rw=write --verify=crc32c --do_verify=1 \
  --verify_fatal=1 --verify_state_save=0 --max_open_zones=1
stop_server
nothing_is_left "zones"

echo "--- the most zones"
serve_disk $((65536 * 4096)) zoned=true zone-size=4K
try dd if=/dev/zero of="$disk" bs=4k seek=65535 count=1 oflag=direct
blkzone report "$disk" >"$tmp/report"
[ "$(grep -c zcond "$tmp/report")" = 65536 ] || fail "zones are missing"
grep -n '(fu)' "$tmp/report" | cut -d: -f1 | grep -x 65536 >/dev/null ||
  fail "another one is full"
stop_server

if command -v mkfs.btrfs >/dev/null && load_btrfs; then
  echo "--- appends"
  serve_disk 512M memory-backed=true zoned=true zone-size=16M write-latency=1ms
  count_requests
  filesystem btrfs "$disk"
  count_no_more
  [ "$(appends hitcount)" -gt 0 ] || fail "btrfs has not appended"
  stop_server
else
  leave_out "there is no btrfs"
fi

echo "--- to end while the kernel's first reads hang"
rm -f "$tmp/pid" "$tmp/sock"
"$NBDKIT" -f -U "$tmp/sock" -P "$tmp/pid" "$PLUGIN" ublk=true 64M \
  'fault=op=read hang' &
server_pid=$!
scan_hangs ()
{
  grep -qE '[1-9]' /sys/block/ublkb0/inflight 2>/dev/null
}
wait_until 60 scan_hangs || fail "the kernel reads nothing"
kill -TERM "$server_pid"
wait_until 60 process_ended "$server_pid" || fail "the server does not end"
wait "$server_pid" || fail "the server has failed"
server_pid=
nothing_is_left "the end of a beginning"

echo "--- killed in use"
serve_disk 256M memory-backed=true
make_filesystem ext4 "$disk"
try mount -t ext4 "$disk" /mnt
cp /usr/bin/bash /mnt/file
kill_server
wait_until 60 disk_is_gone || fail "$disk is there without its server"
try umount /mnt
nothing_is_left "killed"

echo "--- killed together with its keeper, and begun anew"
serve_disk 256M memory-backed=true
while IFS=/ read -r _ _ pid _; do
  kill -KILL "$pid"
done < <(grep -l '^nbdkit$' /proc/[0-9]*/comm)
wait "$server_pid" || true
server_pid=
wait_until 60 disk_is_gone || fail "$disk stays"
! has_no_record || fail "the record is gone: there is nothing to clear"
serve_disk 256M memory-backed=true
is_one ()
{
  [ $# = 1 ] && [ -e "$1" ]
}
is_one /run/nullblk-ublk/* || fail "an old record stays"
is_one /sys/class/ublk-char/* || fail "an old device stays"
stop_server
nothing_is_left "begun anew"

echo "--- another user, in the background, several devices"
chmod 777 "$tmp"
rm -f "$tmp/pid" "$tmp/sock"
try "$NBDKIT" -u 65534 -g 65534 -U "$tmp/sock" -P "$tmp/pid" "$PLUGIN" \
  control=any ublk=true devices=2 64M memory-backed=true
wait_until 60 test -s "$tmp/pid" || fail "it does not begin"
server_pid=$(cat "$tmp/pid")
/nullblkctl list "$tmp/sock"
verify_on ()
{
  disk=$1
  verify --rw=randwrite --bs=4k --size=1M
}
for disk in $(/nullblkctl list "$tmp/sock" | sed -n 's/.*, here //p'); do
  [ -b "$disk" ] || fail "there is no $disk"
  verify_on "$disk"
done
[ "$(awk '/^Uid/ { print $2 }' "/proc/$server_pid/status")" = 65534 ] ||
  fail "it is root"
kill -TERM "$server_pid"
wait_until 60 process_ended "$server_pid" || fail "it does not end"
server_pid=
nothing_is_left "another user"
