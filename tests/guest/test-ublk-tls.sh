#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-ublk with TLS, where libnbd speaks to the server: data of all sizes at
# depth, zones, and a server that is away, or silent.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  has_tls || skip "nbdkit has no TLS"
  boot_to_ublk
  exit
fi

echo "alice:$(od -An -N 32 -tx1 /dev/urandom | tr -d ' \n')" >"$tmp/keys.psk"
chmod 600 "$tmp/keys.psk"
serve ()
{
  start_server --tls=require --tls-psk="$tmp/keys.psk" "$@"
  uri="nbds+unix://alice@/?socket=$sock&tls-psk-file=$tmp/keys.psk"
}

serve 64M memory-backed=true
refuses '*' "nbd+unix:///?socket=$sock"
attach_ublk "$uri"
verify --rw=randwrite --bs=4k
verify --rw=randwrite --bsrange=512-256k --blockalign=512
try dd if=/dev/urandom of="$tmp/content" bs=4M count=2
try dd if="$tmp/content" of="$disk" bs=4M oflag=direct
try cmp -n 8388608 "$disk" "$tmp/content"
try blkdiscard "$disk"
try cmp -n 67108864 "$disk" /dev/zero
detach_ublk
leave_server

serve 64M memory-backed=true zoned=true zone-size=4M
attach_ublk "$uri"
shows "$queue/nr_zones" 16
try dd if="$tmp/content" of="$disk" bs=64k count=1 seek=64 oflag=direct
blkzone report "$disk" >"$tmp/report"
[ "$(grep -c '(em)' "$tmp/report")" = 15 ] || fail "$(cat "$tmp/report")"
try blkzone reset "$disk"
detach_ublk
leave_server
leaves_nothing "TLS"

# A file outlives its server, which is killed, and then silent, under fio.
# nullblk-ublk reconnects.
PLUGIN="file"
truncate -s 16M "$tmp/disk"
serve "$tmp/disk"
attach_ublk -q 1 --persist --timeout 1 "$uri"
start_load verify --rw=randwrite --bs=4k --size=1M
kill_server
serve "$tmp/disk"
io_goes_on
sockets=$(sockets_of)
kill -STOP "$server_pid"
wait_until 60 connects_anew "$sockets" ||
  fail "the silent server is waited for"
kill -CONT "$server_pid"
io_goes_on
stop_load
detach_ublk
leave_server
leaves_nothing "TLS, lasting"
