#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# As many of all things as the manual says (MEMORY): 1000 connections, 1024
# devices, a million zones, 10,000 fault rules and 100,000 bad ranges.  The
# server starts, answers, has no more memory than the manual says, and ends.
# And connections have no more threads than SECURITY.md says.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
for python in python3 /usr/bin/python3; do
  if "$python" -c 'import nbd' 2>/dev/null; then
    break
  fi
done
"$python" -c 'import nbd' 2>/dev/null || skip "python3-libnbd is missing"
[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 4096 ] ||
  skip "there may be no more than $(ulimit -Hn) descriptors"
ulimit -n 4096

# With this, malloc writes to all memory that it gives, so that all of it is in
# use.
unset MALLOC_PERTURB_

# holds MIB CODE ARGUMENT...: a server with these arguments must never have more
# memory than that while a client runs the code, in which connect (EXPORT) makes
# a connection, and threads () is how many threads the server has.
holds ()
{
  local most=$1 code=$2 kib

  start_serve "${@:3}"
  "$python" -c "
import nbd

def connect(name):
    h = nbd.NBD()
    h.set_export_name(name)
    h.connect_unix('$tmp/sock')
    return h

def threads():
    with open('/proc/$(cat "$tmp/pid")/status') as status:
        return next(int(line.split()[1]) for line in status
                    if line.startswith('Threads:'))

few = threads()
$code" || fail "${*:3}"
  kib=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB$/\1/p' "/proc/$(cat "$tmp/pid")/status")
  [ "$kib" -le $((most * 1024)) ] || fail "${*:3}: $kib KiB of memory"
  echo "$kib KiB: ${*:3}"
  stop_server
}

holds 64 "
clients = [connect('nullb0') for i in range(1000)]
for i, c in enumerate(clients):
    c.pwrite(bytes([i % 251]) * 512, i * 512)
for i, c in enumerate(clients):
    assert c.pread(512, i * 512) == bytes([i % 251]) * 512
assert threads() <= few + 1000, threads() - few
for c in clients:
    c.shutdown()
" size=1G memory-backed=true

holds 64 "
connect('nullb1023').pwrite(b'x' * 512, 0)
assert connect('nullb1023').pread(512, 0) == b'x' * 512
assert connect('nullb1022').pread(512, 0) == bytes(512)
" size=1G devices=1024 memory-backed=true

holds 64 "
table = connect('nullb0.zones')
assert table.get_size() == 64 << 20
assert table.pread(64, (64 << 20) - 64)[:8] == ((1 << 31) - 2048).to_bytes(8, 'little')
d = connect('nullb0')
d.pwrite(b'x' * 512, (1 << 40) - (1 << 20))
connect('nullb0.config').pwrite(b'zones=reset\n', 0)
assert d.pread(512, (1 << 40) - (1 << 20)) == bytes(512)
" size=1T zoned=true zone-size=1M memory-backed=true

# Of the last rule, and of none.
holds 64 "
config = connect('nullb0.config')
for i in range(0, 10000, 500):
    lines = ['fault=op=write range=%dK+4K error=EIO' % (4 * n)
             for n in range(i, i + 500)]
    config.pwrite(('\n'.join(lines) + '\n').encode(), 0)
d = connect('nullb0')
d.pwrite(b'x' * 512, 4096 * 10000)
try:
    d.pwrite(b'x' * 512, 4096 * 9999)
    assert False
except nbd.Error as e:
    assert e.errno == 'EIO'
config.pwrite(b'fault-delete=all\n', 0)
d.pwrite(b'x' * 512, 4096 * 9999)
" size=1G memory-backed=true

holds 64 "
config = connect('nullb0.config')
for i in range(0, 100000, 4000):
    ranges = ['+%d-%d' % (4 * n, 4 * n + 1) for n in range(i, i + 4000)]
    config.pwrite(('badblocks=' + ','.join(ranges) + '\n').encode(), 0)
d = connect('nullb0')
d.pread(1024, 512 * (4 * 99999 - 2))
try:
    d.pread(512, 512 * 4 * 99999)
    assert False
except nbd.Error as e:
    assert e.errno == 'EIO'
config.pwrite(b'badblocks=none\n', 0)
d.pread(512, 512 * 4 * 99999)
" size=1G memory-backed=true

# Payloads of 32 MiB, of which all have come but for the last byte, for a device
# that keeps nothing: nullblk-serve keeps none of them either (nbdkit's buffers
# would have all).  The write before them is short, and nbdkit answers it.
holds 64 "
import socket, struct

def write(size):
    return struct.pack('>IHHQQI', 0x25609513, 0, 1, 0, 0, size)

def take(s, n):
    assert len(s.recv(n, socket.MSG_WAITALL)) == n

payload = bytes((32 << 20) - 1)
clients = [socket.socket(socket.AF_UNIX) for i in range(40)]
for s in clients:
    s.connect('$tmp/sock')
    s.sendall(struct.pack('>I8sII', 3, b'IHAVEOPT', 1, 0)) # any export
    take(s, 18 + 10)
    s.sendall(write(512) + bytes(512))
    take(s, 16)
    s.sendall(write(32 << 20) + payload)
for s in clients:
    s.sendall(bytes(1))
    take(s, 16)
" size=1G memory-backed=false

# nbdkit's filter limit closes connections that are too many.
if "$NBDKIT" --filter=limit "$PLUGIN" --version >/dev/null 2>&1; then
  holds 64 "
clients = [connect('nullb0') for i in range(3)]
try:
    connect('nullb0')
    assert False
except nbd.Error:
    pass
clients[0].pread(512, 0)
" --filter=limit size=1G limit=3 memory-backed=true
  # Where replies are not deferred, as with a filter, a connection has as many
  # threads as --depth says, beside the one that waits for them.
  holds 64 "
clients = [connect('nullb0') for i in range(10)]
for c in clients:
    c.pread(512, 0)
assert few + 10 * 4 <= threads() <= few + 10 * (4 + 1), threads() - few
" --depth 4 --filter=limit size=1G limit=10 parallel=on memory-backed=true
else
  leave_out "nbdkit's filter limit is missing"
fi
