#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# fio over several servers: its sum has no percentiles.
#
# Seen with fio 3.33-3 (Debian 12), ioengine null, two servers on Unix sockets.
#
# With --client given twice and --output-format=json, client_stats has an entry
# for each client and one that is called "All clients".  The latter has the sum
# of all requests, and least, greatest, mean and deviation of their latencies
# (clat_ns.N = 512 of 2 x 256); but no clat_ns.percentile at all, where that of
# each client has its 17.  group_reporting within one fio merges them.  A tool
# that takes percentiles from the sum of a distributed run finds none, and no
# word of why.  What was printed:
#
#   ["j",256,17]
#   ["j",256,17]
#   ["All clients",512,0]
#
# Needs Debian's apt-get, with Debian 12 among its sources, and jq.  Packages are
# unpacked in a temporary directory and not installed.  Ends with 1 where that
# is not what is seen.

set -euo pipefail
version=3.33-3

tmp=$(mktemp -d)
servers=()
finish ()
{
  [ ${#servers[@]} -eq 0 ] || kill "${servers[@]}" 2>/dev/null || true
  wait
  rm -rf "$tmp"
}
trap finish EXIT

# fio and the libraries that it wants, of the suite that has this version.
mkdir "$tmp/deb" "$tmp/root"
cd "$tmp/deb"
mapfile -t libraries < <(apt-cache depends --recurse --no-recommends \
  --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
  "fio=$version" | awk '/^lib/ { print $1 }' | sort -u)
apt-get -q -o APT::Sandbox::User=root download "fio=$version" \
  "${libraries[@]}" >/dev/null
for deb in ./*.deb; do
  dpkg-deb -x "$deb" "$tmp/root"
done
cd "$tmp"
mapfile -t folders < <(find "$tmp/root" -name '*.so.*' -printf '%h\n' | sort -u)
fio=(env "LD_LIBRARY_PATH=$(IFS=:; echo "${folders[*]}")"
     "$tmp/root/usr/bin/fio")
[ "$("${fio[@]}" --version)" = fio-3.33 ]

cat >job.fio <<'JOB'
[j]
ioengine=null
size=1M
bs=4k
rw=randread
JOB
for name in a b; do
  "${fio[@]}" --server="sock:$tmp/$name" >"$tmp/$name.log" 2>&1 &
  servers+=($!)
done
for name in a b; do
  for ((i = 0; i < 300; i++)); do
    [ ! -S "$tmp/$name" ] || break
    sleep 0.1
  done
done

"${fio[@]}" --client="sock:$tmp/a" job.fio --client="sock:$tmp/b" job.fio \
  --output-format=json --output=out.json
jq -c '.client_stats[] |
  [.jobname, .read.clat_ns.N, (.read.clat_ns.percentile | length)]' out.json |
  tee seen
cmp seen - <<'SEEN'
["j",256,17]
["j",256,17]
["All clients",512,0]
SEEN
echo "fio $version: the sum of two clients has no percentiles"
