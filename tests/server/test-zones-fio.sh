#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# fio, nbdcopy and qemu-io fill zones and read them back.  fio does so in the
# configurations in which its own tests of zones use null_blk: conventional
# zones (one at least must be sequential), a capacity of a zone's size and
# below, mixed, and limits of open and of active zones.  NBD does not tell fio
# of zones, so each gets a job of its own, which writes it from its start to its
# capacity.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires fio nbdcopy qemu-io jq
ctl=$top_builddir/tools/nullblkctl
[ -x "$ctl" ] || skip "nullblkctl is not built"

seed=$(new_seed)
zone=1048576

# fio_zones FIRST COUNT SIZE OPTION...: run a job for each of COUNT zones, which
# begins at the zone's start and ends after SIZE bytes.
fio_zones ()
{
  fio --name=zone --ioengine=nbd --uri="$uri" --thread --group_reporting \
    --numjobs="$2" --offset="$(($1 * zone))" --offset_increment=$zone \
    --size="$3" --randseed="$seed" --verify=crc32c --verify_fatal=1 \
    --verify_state_save=0 "${@:4}" >"$tmp/fio" 2>&1 ||
    fail "fio: $(cat "$tmp/fio")"
  ! grep -Eq 'err= *[1-9]|verify:' "$tmp/fio" || fail "fio: $(cat "$tmp/fio")"
}

# are COUNT CONDITION: so many zones have to be in it.
are ()
{
  "$ctl" zones report --json "$sock" >"$tmp/zones"
  [ "$(jq --arg c "$2" 'map(select(.cond == $c)) | length' "$tmp/zones")" = \
    "$1" ] || fail "not $1 zones are $2: $(cat "$tmp/zones")"
}

# matrix NR_CONV CAPACITY JOBS PARAMETER...: test a device of 16 zones, with
# JOBS zones being written at once.
matrix ()
{
  local first=$1 capacity=$2 jobs=$3 from

  echo "matrix $*" >&2
  # However busy the machine is.
  start_server 16M memory-backed=true zoned=true zone-size=1M \
    zone-reorder-wait=60s zone-nr-conv="$1" zone-capacity="${2}b" "${@:4}"
  if [ "$first" -gt 0 ]; then
    fio_zones 0 "$first" $zone --rw=randwrite --bs=4k --iodepth=16
  fi
  for ((from = first; from < 16; from += jobs)); do
    fio_zones "$from" "$((from + jobs > 16 ? 16 - from : jobs))" "$capacity" \
      --rw=write --bsrange=4k-64k --bs_unaligned=0 --iodepth=16
  done
  are "$((16 - first))" fu
  are "$first" nw
  # A full zone takes no more, and a reset zone takes all again.
  if fio --name=again --ioengine=nbd --uri="$uri" --rw=write --bs=4k --size=4k \
    --offset=$((15 * zone)) >"$tmp/again" 2>&1; then
    fail "a full zone was written to"
  fi
  "$ctl" zones reset --all "$sock"
  are "$((16 - first))" em
  fio_zones 15 1 "$capacity" --rw=write --bs=4k --iodepth=32
  stop_server
}

matrix 15 $zone 1                            # conventional, all but one
matrix 0 $zone 8                             # capacity of the size,
matrix 0 $((zone * 3 / 4)) 8                 # below it,
matrix 0 $((zone - 4096)) 8 parallel=on      # hardly below it
matrix 8 $zone 8                             # mixed
matrix 4 $((zone / 2)) 4 parallel=on
matrix 0 $zone 4 zone-max-open=4             # limits
matrix 0 $((zone * 3 / 4)) 4 zone-max-active=4
matrix 4 $zone 2 zone-max-open=2 zone-max-active=4 parallel=on

# Implicitly open zones make room for each other: there are more writers than
# zones that may be open.
matrix 0 $zone 8 zone-max-open=2

# A zone filled by nbdcopy, over several connections, and by qemu-io.
random_file "$tmp/zone" "$seed" $zone
start_server 8M memory-backed=true zoned=true zone-size=1M \
  zone-reorder-wait=60s
nbdcopy --connections=4 --requests=16 --request-size=4096 "$tmp/zone" "$uri"
are 1 fu
nbdcopy "$uri" "$tmp/back"
cmp -n $zone "$tmp/zone" "$tmp/back" || fail "nbdcopy read other data"
truncate -s 8M "$tmp/zone"
cmp "$tmp/zone" "$tmp/back" || fail "there is more than nbdcopy wrote"
commands=()
for ((at = zone; at < 2 * zone; at += 65536)); do
  commands+=("write -P $((at / 65536)) $at 64K")
done
io "${commands[@]}"
are 2 fu
for ((at = zone; at < 2 * zone; at += 65536)); do
  io "read -P $((at / 65536)) $at 64K"
done
if qemu-io -f raw -c "write $zone 64K" "$uri" >"$tmp/out" 2>&1; then
  fail "a full zone was written to"
fi
grep -q 'Input/output error' "$tmp/out" || fail "$(cat "$tmp/out")"
stop_server
