#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# fio's zonemode=zbd with the nbd engine: a job of reads ends with status 0 and
# has not read one byte.
#
# Seen with fio 3.33-3 (Debian 12), nbdkit 1.32.5-1's memory plugin, 64 MiB.
#
# The engine knows no zones, so fio makes up its own, all of them empty, whatever
# the device holds; and there is nothing to read in an empty zone.  No message
# says so: total_ios and error are 0.  With --read_beyond_wp=1 all is read.  What
# was printed (status, requests, bytes, error):
#
#   read: 0 0 0 0
#   read --read_beyond_wp=1: 0 16384 67108864 0
#
# Needs what packages.sh says, and jq.  Ends with 1 where that is not seen.

set -euo pipefail
# shellcheck source=findings/packages.sh
. "$(dirname "$0")/packages.sh"
begin
unpack fio=3.33-3 nbdkit=1.32.5-1

# job OPTION...: of a device that is full of data.
job ()
{
  local status=0

  run fio --name=r --ioengine=nbd "--uri=nbd+unix:///?socket=$tmp/s" \
    --rw=read --bs=4k --size=64M --zonemode=zbd --zonesize=1M "$@" \
    --output-format=json --output=out >/dev/null 2>&1 || status=$?
  echo "read${*:+ $*}: $status $(sed -n '/^{/,$p' out | jq -r \
    '.jobs[0] | [.read.total_ios, .read.io_bytes, .error] | join(" ")')"
}

serve s plugin:memory 64M
run fio --name=w --ioengine=nbd "--uri=nbd+unix:///?socket=$tmp/s" --rw=write \
  --bs=1M --size=64M >/dev/null 2>&1
{
  job
  job --read_beyond_wp=1
} | tee seen
cmp seen - <<'SEEN'
read: 0 0 0 0
read --read_beyond_wp=1: 0 16384 67108864 0
SEEN
