#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The engine of fio finds what it has written: in jobs that are processes and
# threads, by one connection and several, with TLS, by blocks of all sizes and
# at offsets.  The server gets the trims, zeroes and flushes that fio asks for,
# and fio the server's errors; and what cannot be done is refused with a reason.

# shellcheck source=fio-engine.sh source-path=SCRIPTDIR
source "${0%/*}/fio-engine.sh"

verify=(--verify=crc32c --verify_fatal=1 --do_verify=1)

# operation NAME FIELD: print a counter of nullb0.
operation ()
{
  "$ctl" stats --json "$sock" | jq ".operations.$1.$2"
}

for mode in parallel=auto '-t 16 parallel=on'; do
  # shellcheck disable=SC2086 # options
  start_server 64M memory-backed=true $mode
  works --rw=randwrite --bs=4k --iodepth=32 --size=16M "${verify[@]}"
  works --rw=randrw --bsrange=512-256k --bs_unaligned=0 --iodepth=16 \
    --size=16M "${verify[@]}"
  works --rw=write --bs=4M --iodepth=4 --size=64M "${verify[@]}"
  works --rw=write --bs=512 --iodepth=1 --size=256k "${verify[@]}"
  for how in --thread --thread=0; do
    works --rw=randwrite --bs=4k --iodepth=16 --numjobs=4 --size=8M \
      --offset_increment=16M --connections=3 "$how" "${verify[@]}"
  done
  works --rw=randwrite --bs=4k --iodepth=8 --size=1M --offset=32M \
    --rate_iops=20000 "${verify[@]}"
  works --rw=randwrite --bs=4k --iodepth=8 --size=1M --fsync=16 --end_fsync=1 \
    "${verify[@]}"
  stop_server
done

# Trims, zeroes, flushes and FUA arrive as such.
start_server 64M memory-backed=true
works --rw=trim --bs=64k --iodepth=4 --size=1M
[ "$(operation trim requests)" = 16 ] || fail "not 16 trims"
works --rw=trim --trims=zero --bs=64k --iodepth=4 --size=1M
[ "$(operation zero requests)" = 16 ] || fail "not 16 zeroes"
works --rw=trim --bs=1M --size=4M --zonemode=zbd --zonesize=1M
[ "$(operation trim requests)" = 20 ] || fail "not 4 trims more"
works --rw=write --bs=64k --fsync=4 --size=1M
[ "$(operation flush requests)" -ge 3 ] || fail "not a flush for 4 writes"
stop_server
if "$NBDKIT" --filter=log "$PLUGIN" --version >/dev/null 2>&1; then
  start_server --filter=log 64M logfile="$tmp/log"
  works --rw=write --bs=64k --size=1M
  works --rw=write --bs=64k --size=1M --sync=1
  [ "$(grep -c 'Write .*fua=0' "$tmp/log")" = 16 ] || fail "not 16 plain writes"
  [ "$(grep -c 'Write .*fua=1' "$tmp/log")" = 16 ] || fail "not 16 with FUA"
  stop_server
else
  leave_out "nbdkit's filter log is missing"
fi

# The server's errors.
for error in EIO:5 ENOSPC:28 EPERM:1; do
  start_server 64M memory-backed=true fault="op=write error=${error%:*} after=3"
  fails_with "err=${error#*:}/" --rw=write --bs=4k --iodepth=8 --size=1M
  stop_server
done

# A server that is killed.
start_server 64M
fio --name=job --ioengine=external:"$engine" --uri="$uri" --rw=randread \
  --bs=4k --iodepth=8 --time_based --runtime=200 >"$tmp/fio" 2>&1 &
fio_pid=$!
has_read ()
{
  [ "$(operation read requests)" -gt 0 ]
}
wait_until 60 has_read || fail "fio does not read"
pid=$server_pid server_pid=
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
! wait "$fio_pid" || fail "fio did not notice: $(cat "$tmp/fio")"
grep -Eq 'nullblk-fio: .*: (the connection is lost|the server has ended)' \
  "$tmp/fio" || fail "$(cat "$tmp/fio")"

# What is refused, and why.
fails_with 'nbd_aio_connect_uri' --rw=read --size=4k
start_server 64M
fails_with "zone size" --rw=read --bs=4k --size=4k --zonemode=zbd
grep -qF "it has no zones but those that fio imagines" "$tmp/fio" ||
  fail "$(cat "$tmp/fio")"
works --rw=read --bs=4k --size=4M --zonemode=zbd --zonesize=1M
fails_with 'allowed is one file' --rw=read --bs=4k --size=8k --nrfiles=2
fails_with 'offset=67108864: the export has 67108864' --rw=read --offset=64M
fails_with 'offset=83886080: the export has 67108864' --rw=read --size=4k \
  --offset=48M --offset_increment=16M --numjobs=3
fails_with 'offset=67108864: the export has 67108864' --rw=read --offset=100%
fails_with 'offset=67108864: the export has 67108864' --rw=read --size=4k \
  --offset_increment=50% --numjobs=3
works --rw=read --bs=4k --size=4k --offset=50% --offset_increment=25% --numjobs=2
for options in '--offset=1000' '--rw=randread --blockalign=1000' \
               '--bsrange=1000-4k' '--bsrange=1k-8k --bs_unaligned'; do
  # shellcheck disable=SC2086 # options
  fails_with 'the server takes multiples of 512' --rw=read --bs=4k --size=1M \
    $options
done
# fio sets these jobs up in their own processes.
for how in --thread --thread=0; do
  works --rw=randrw --bs=4k --iodepth=8 --size=1M --create_serialize=0 \
    --numjobs=2 "$how"
  fails_with 'allowed is one file' --rw=read --bs=4k --size=8k --nrfiles=2 \
    --create_serialize=0 "$how"
done
fails_with 'bs=134217728: the server takes at most 67108864' --rw=read --bs=128M
fails_with 'bs=1000: the server takes multiples of 512' --rw=write --bs=1000
fails_with 'range' --rw=read --bs=4k --size=4k --connections=65
! fio --name=job --ioengine=external:"$engine" --rw=read --size=4k \
  >"$tmp/fio" 2>&1 || fail "fio: without a URI it was to fail"
grep -q 'uri= is missing' "$tmp/fio" || fail "$(cat "$tmp/fio")"
stop_server
start_server --filter=multi-conn 64M multi-conn-mode=disable
fails_with 'connections=2: the server allows 1' --rw=read --bs=4k --size=4k \
  --connections=2
stop_server
start_server 64M fua=false
fails_with 'the server takes no FUA' --rw=write --bs=4k --size=4k --sync=1
stop_server
start_server 16G
fails_with 'bs=4294967296: the server takes at most 4294967295' --rw=trim --bs=4G
stop_server
start_server -r 64M
fails_with 'the export is read-only' --rw=write --bs=4k --size=4k
works --rw=read --bs=4k --size=4k
stop_server

# The connection does not break if the server's machine is there and takes
# nothing for minutes: the socket has no limit for that.
limits ()
{
  perl -we 'use strict;
    my $from = syscall (434, $ARGV[0] + 0, 0);
    die "pidfd_open: $!" if $from < 0;
    for (glob "/proc/$ARGV[0]/fd/*") {
      next unless -S $_ && m!/(\d+)$!;
      my $fd = syscall (438, $from, $1 + 0, 0);
      die "pidfd_getfd: $!" if $fd < 0;
      open (my $socket, "+<&=", $fd) or die $!;
      my $limit = getsockopt ($socket, 6, 18);
      print unpack ("I", $limit), "\n" if defined $limit;
    }' "$1"
}
if limits $$; then
  start_tcp_server 64M
  fio --name=job --ioengine=external:"$engine" --uri="$uri" \
    --thread --rw=read --bs=4k --rate_iops=1 --connections=2 >"$tmp/fio" 2>&1 &
  fio_pid=$!
  has_connections () { [ "$(limits "$fio_pid" | grep -c .)" = 2 ]; }
  wait_until 60 has_connections || fail "no connections: $(limits "$fio_pid")"
  [ "$(limits "$fio_pid" | sort -u)" = 0 ] || fail "$(limits "$fio_pid")"
  kill "$fio_pid"
  wait "$fio_pid" || true
  stop_server
else
  leave_out "nobody may look at another process's sockets"
fi

# A release of fio for which the engine is not built, with the same number of
# the interface.
release=$(fio --version)
other=${release//[0-9]/9}
sed "s/$release/$other/g" "$engine" >"$tmp/other.so"
start_server 64M
engine=$tmp/other.so fails_with "this is built for $other, and not for $release" \
  --rw=read --bs=4k --size=4k
stop_server

# With TLS, where libnbd moves the data.
has_tls || skip "this nbdkit has no TLS"
requires psktool
psktool -u alice -p "$tmp/keys" >"$tmp/out" 2>&1 || fail "$(cat "$tmp/out")"
start_server --tls=require --tls-psk="$tmp/keys" 64M memory-backed=true
uri="nbds+unix://alice@/?socket=$sock&tls-psk-file=$tmp/keys"
works --rw=randwrite --bsrange=4k-64k --iodepth=16 --numjobs=2 --size=4M \
  --offset_increment=8M --connections=2 "${verify[@]}"
works --rw=trim --bs=64k --iodepth=4 --size=1M
works --rw=write --bs=64k --fsync=4 --sync=1 --size=1M
stop_server

# fio ends a job with read_iolog= while requests are in flight, and frees their
# buffers.  Nothing may be read into these then.
{
  printf 'fio version 2 iolog\nnbd add\nnbd open\n'
  for ((i = 0; i < 64; i++)); do
    echo "nbd read $((i * 65536)) 65536"
  done
  echo 'nbd close'
} >"$tmp/iolog"
start_server --tls=on --tls-psk="$tmp/keys" -t 32 64M parallel=on \
  read-latency=20ms
for uri in "$(uri_of '')" \
           "nbds+unix://alice@/?socket=$sock&tls-psk-file=$tmp/keys"; do
  before=$(operation read requests)
  works --read_iolog="$tmp/iolog" --iodepth=32 --mem=mmap
  [ $(($(operation read requests) - before)) = 64 ] || fail "not 64 reads"
done
stop_server
