# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# For tests of nullblk-measure: a program fio in PATH that answers at once, and
# $tmp/disk for it to measure.  In its answers a request takes twice the time at
# twice the depth, from depth 2 on, and 1 us more for each 64 KiB; or, where
# there is a latency SERVED in its environment, this, half of it, 20 us, and 5 us
# for each 64 KiB.  It adds its arguments to $tmp/fio.log.  It fails at the loads "RW BS DEPTH" that
# are in $tmp/fails, without a word if there is $tmp/is-silent, sleeps for ever
# if there is $tmp/sleeps, and answers with $tmp/answer if that is not empty.

# shellcheck disable=SC2154 # functions.sh has made $tmp
mkdir "$tmp/bin"
cat >"$tmp/bin/fio" <<'FIO'
#!/bin/bash
for a; do
  case $a in
    --output=*) output=${a#*=} ;;
    --rw=*) rw=${a#*=} ;;
    --bs=*) bs=${a#*=} ;;
    --iodepth=*) depth=${a#*=} ;;
    --ioengine=*) engine=${a#*=} ;;
    --fsync=*) fsync=${a#*=} ;;
  esac
done
line=$*
for a; do
  case $a in
    --filename=*) line+=" measures $(readlink "${a#*=}")" ;;
  esac
done
echo "$line" >>"${0%/*}/../fio.log"
if grep -qxF -- "$rw $bs $depth" "${0%/*}/../fails"; then
  [ -e "${0%/*}/../is-silent" ] || echo "fio: it has failed"
  exit 3
fi
if [ -e "${0%/*}/../sleeps" ]; then
  echo $$ >"${0%/*}/../sleeps"
  exec sleep 1000
fi
if [ -s "${0%/*}/../answer" ]; then
  cat "${0%/*}/../answer" >"$output"
  exit
fi
time=$(((depth > 1 ? depth * 50000 : 100000) + bs / 65536 * 1000))
if [ -n "$SERVED" ]; then
  time=$((SERVED + SERVED / 2 + 20000 + bs / 65536 * 5000))
fi
iops=$((1000000000 * depth / time))
case $rw in *read) kind=read ;; *) kind=write ;; esac
sync=
[ -z "$fsync" ] || sync=', "sync": {"total_ios": 7, "lat_ns": {"percentile": {
  "50.000000": '$((1000000 + fsync * 2000000))'}}}'
cat >"$output" <<JSON
fio says something first
{"fio version": "fio-9.9", "global options": {"bs": "$bs", "iodepth": "$depth",
   "ioengine": "$engine"},
 "jobs": [{"job options": {"rw": "$rw", "fsync": "${fsync:-0}"},
   "$kind": {"total_ios": 1000, "iops": $iops, "lat_ns": {"mean": $time,
     "min": $time, "max": $time, "percentile": {"1.000000": $time,
     "50.000000": $time, "99.000000": $time}}}$sync}]}
JSON
FIO
chmod +x "$tmp/bin/fio"
PATH=$tmp/bin:$PATH
: >"$tmp/fails"
: >"$tmp/answer"
truncate -s 1M "$tmp/disk"
