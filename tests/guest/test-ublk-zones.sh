#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-ublk on an export with zones: the kernel reports what the server's
# table has, also after its commands, with 1 zone and with 65,536.  Limits and
# read-only zones have errors of their own, fio's zoned mode finds its data, and
# what the kernel would refuse is refused in words.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  [ -x "$top_builddir/tools/nullblkctl" ] || skip "nullblkctl is not built"
  boot_to_ublk
  exit
fi

# has_pointer CONDITION: does such a zone have a write pointer?  If not, some
# versions of blkzone print N/A, and others a number.
has_pointer ()
{
  case $1 in
    nw | fu | ro | of) return 1 ;;
  esac
}

# kernel_zones: print what the kernel reports, a line for each zone: start,
# length, capacity and write pointer in sectors, and the condition.
kernel_zones ()
{
  local start len cap wp cond

  blkzone report "$disk" >"$tmp/report" || fail "no report"
  sed -nE 's/^ *start: ([^,]*), len ([^,]*), cap ([^,]*), wptr ([^ ]*) .*zcond: *[0-9]+\((..)\).*/\1 \2 \3 \4 \5/p' \
    "$tmp/report" |
    while read -r start len cap wp cond; do
      if has_pointer "$cond"; then wp=$((start + wp)); else wp=-; fi
      echo $((start)) $((len)) $((cap)) "$wp" "$cond"
    done
}

# server_zones: print the same from the server's table.
server_zones ()
{
  local words start len cap wp cond

  /nullblkctl zones report "$sock" | tr -d , |
    while read -r -a words; do
      start=$((10#${words[4]} / 512))
      len=$((10#${words[6]} / 512))
      cap=$((10#${words[8]} / 512))
      wp=- cond=nw
      [ "${words[2]}" = cnv ] || cond=${words[11]}
      ! has_pointer "$cond" || wp=$((10#${words[10]} / 512))
      echo $start $len $cap $wp "$cond"
    done
}

# are_equal AFTER: see that kernel and server report the same zones.
are_equal ()
{
  kernel_zones >"$tmp/kernel"
  server_zones >"$tmp/server"
  [ -s "$tmp/kernel" ] || fail "$1: no zones"
  diff "$tmp/kernel" "$tmp/server" || fail "$1: the kernel reports other zones"
}

# zone N CONDITION: see that the zone is in it, by the last are_equal.
zone ()
{
  local is

  is=$(sed -n "$(($1 + 1))s/.* //p" "$tmp/server")
  [ "$is" = "$2" ] || fail "zone $1 is $is, not $2"
}

# fails_with TEXT COMMAND...: run it, which has to fail with TEXT.
fails_with ()
{
  fails "${@:2}"
  grep -q "$1" "$tmp/fails" || fail "${*:2}: $(cat "$tmp/fails")"
}

# command NAME FIRST COUNT: give a command to zones, of 4 MiB.
command ()
{
  try blkzone "$1" -o $(($2 * 8192)) -c "$3" "$disk"
}

# write ZONE [BLOCK]: write 64 KiB, at a block of that size in the zone.
write ()
{
  dd if="$tmp/content" of="$disk" bs=64k count=1 oflag=direct conv=notrunc \
    seek=$(($1 * 64 + ${2:-0}))
}

dd if=/dev/urandom of="$tmp/content" bs=64k count=1 2>/dev/null
start_server 64M memory-backed=true zoned=true zone-size=4M zone-capacity=3M \
  zone-nr-conv=2 zone-max-open=3 zone-max-active=5
attach_ublk "$uri"
shows_zones
shows "$queue/rotational" 0
shows "$queue/discard_max_bytes" 0
shows "$queue/write_zeroes_max_bytes" 0
are_equal "attaching"

# Commands.
try write 2
try write 2 1
try write 0 5
command open 3 2
command finish 5 1
are_equal "write, open, finish"
zone 2 cl # it was closed to make room for the finish of zone 5
zone 3 oe
zone 5 fu
command close 3 1
are_equal "close"
command reset 2 2
are_equal "reset"
zone 2 em
zone 3 em
zone 4 oe
try write 2
try blkzone reset "$disk"
are_equal "reset of all"
[ "$(grep -c 'em$' "$tmp/server")" = 14 ] || fail "not all are empty"
try cmp -n 65536 -i $((5 * 65536)):0 "$disk" "$tmp/content"

# Errors: limits on open and on active zones, a read-only zone, and a write that
# is not at the write pointer.
command open 2 3
fails_with 'Too many references' blkzone open -o $((5 * 8192)) -c 1 "$disk"
fails_with 'Too many references' write 5
are_equal "limits" # after a failed write the kernel wants a report
command close 2 3 # without data they are empty
for n in 2 3 4 5 6; do
  try write $n
done
fails_with 'Value too large' write 7
fails_with 'Value too large' blkzone open -o $((7 * 8192)) -c 1 "$disk"
/nullblkctl zones readonly "$sock" 9
command finish 2 1
fails_with 'Remote I/O error' write 9
fails_with 'Remote I/O error' blkzone finish -o $((9 * 8192)) -c 1 "$disk"
/nullblkctl zones readonly "$sock" 9
fails_with 'Input/output error' write 8 1
are_equal "errors"
try write 3 1
are_equal "a write after errors"
try blkzone reset "$disk"

# Data, by two jobs in zones of their own.
try fio --name=job --filename="$disk" --ioengine=libaio --direct=1 \
  --zonemode=zbd --iodepth=8 --thread --numjobs=2 --offset=8M --size=16M \
  --offset_increment=16M --bs=64k --rw=write --verify=crc32c --do_verify=1 \
  --verify_fatal=1 --verify_state_save=0 --max_open_zones=1
try blkzone reset "$disk"
try fio --name=job --filename="$disk" --ioengine=libaio --direct=1 \
  --zonemode=zbd --iodepth=8 --thread --offset=8M --size=32M --bs=4k \
  --rw=randwrite --io_size=4M --verify=crc32c --do_verify=1 --verify_fatal=1 \
  --verify_state_save=0 --max_open_zones=3 --randseed="$seed"
are_equal "fio"

# A device in use is not detached; with --zones=no it has no zones.
exec 5<"$disk"
refuses '*it is in use*' --detach "$disk"
exec 5<&-
detach_ublk
attach_ublk --zones=no "$uri"
shows "$queue/zoned" none
detach_ublk
leaves_nothing "zones"
leave_server

# One zone.
start_server 4M memory-backed=true zoned=true zone-size=4M
attach_ublk --zones=yes "$uri"
are_equal "one zone"
try write 0
are_equal "a write to one zone"
try blkzone reset "$disk"
are_equal "reset of one zone"
detach_ublk
leave_server

# 65,536 zones: the most.
start_server $((65536 * 4096)) zoned=true zone-size=4K
attach_ublk "$uri"
shows "$queue/nr_zones" 65536
try dd if=/dev/zero of="$disk" bs=4k seek=65535 count=1 oflag=direct
try dd if=/dev/zero of="$disk" bs=4k seek=8200 count=1 oflag=direct
blkzone report "$disk" >"$tmp/kernel"
sed -nE 's/^ *start: ([^,]*),.*/\1/p' "$tmp/kernel" >"$tmp/starts"
awk 'BEGIN { for (i = 0; i < 65536; i++) printf "0x%09x\n", i * 8 }' \
  >"$tmp/wanted"
cmp "$tmp/starts" "$tmp/wanted" || fail "zones are missing or in disorder"
grep -n '(fu)' "$tmp/kernel" | cut -d: -f1 | tr '\n' ' ' >"$tmp/full"
[ "$(cat "$tmp/full")" = "8201 65536 " ] || fail "full are $(cat "$tmp/full")"
try blkzone reset "$disk"
blkzone report -o $((65535 * 8)) "$disk" >"$tmp/kernel"
grep -c '(em)' "$tmp/kernel" | grep -x 1 >/dev/null ||
  fail "the last zone is: $(cat "$tmp/kernel")"
detach_ublk
leave_server

# What the kernel would refuse is refused in words, before the kernel is asked.
# is_refused TEXT SERVER-PARAMETER...
is_refused ()
{
  start_server "${@:2}" zoned=true
  refuses "$1" "$uri"
  leave_server
  leaves_nothing "$1"
}
is_refused '*last zone is shorter*' 10M zone-size=4M
is_refused '*it has 65537 zones*' $((65537 * 4096)) zone-size=4K
start_server 16M
refuses '*there is no export*.zones*' --zones=yes "$uri"
leave_server
! dmesg | grep -i 'ublk.*\(fail\|invalid\)' || fail "the kernel was asked"
