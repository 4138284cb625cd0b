#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Lines in the server's log: only the first write that meets memory-limit has
# one, and requests that the plugin refuses have none.  Of what nbdkit itself
# refuses, each has one, and so has each request that nbdkit stops to wait for.

# shellcheck disable=SC2016 # Perl's variables
# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io
requires_filter blocksize-policy

# With this filter, the client sends requests that it would not send otherwise.
start_server --filter=blocksize-policy blocksize-minimum=1 \
  blocksize-preferred=4096 blocksize-maximum=64M \
  1G memory-backed=true memory-limit=1M devices=2 block-size=4096 2>"$tmp/err"
for command in 'write 0 2M' 'write 8M 2M' 'write 16M 2M' 'write 512 512' \
  'read 512 512' 'write -z 512 512' 'discard 512 512'; do
  if qemu-io -f raw -d unmap -c "$command" "$uri" >"$tmp/out" 2>&1; then
    fail "$command works"
  fi
done
if qemu-io -f raw -c 'write 0 2M' "$(uri_of nullb1)" >"$tmp/out" 2>&1; then
  fail "nullb1 has room"
fi
stop_server

[ "$(wc -l <"$tmp/err")" = 1 ] || fail "not one line: $(cat "$tmp/err")"
grep -q 'nullb0: memory-limit=1M .*ENOSPC' "$tmp/err" ||
  fail "$(cat "$tmp/err")"

# by_hand CODE: run it with Perl, where ask (FLAGS, TYPE, OFFSET, COUNT) sends a
# request on $s, a new connection to the first device, and error () receives a
# simple reply and returns its error.
by_hand ()
{
  perl -MIO::Socket::UNIX -we '
    use strict;
    my $s = IO::Socket::UNIX->new (Peer => $ARGV[0]) or die "$!";
    sub get { my ($r, $n) = ("", @_); while (length $r < $n) {
      $s->sysread ($r, $n - length $r, length $r) or die "the end" } $r }
    sub ask { $s->syswrite (pack ("NnnQ>Q>N", 0x25609513, $_[0], $_[1], 0,
                                  $_[2], $_[3])) == 28 or die }
    sub error { (unpack ("NN", get (16)))[1] }
    $s->syswrite (pack ("Na8NN", 3, "IHAVEOPT", 1, 0)) == 20 or die;
    get (18 + 10);
    '"$1" "$sock" >"$tmp/out" 2>&1 || fail "$1: $(cat "$tmp/out")"
}

# has_lines N WORDS
has_lines ()
{
  [ "$(grep -c "$2" "$tmp/err")" = "$1" ]
}

start_server 64M block-size=4096 2>"$tmp/err"
# Outside of the device, too long, unknown, of no device of 4096 byte blocks.
by_hand '
  for (1 .. 3) { ask (@$_), error () == 22 or die "@$_" for
    [0, 0, 1 << 40, 512], [0, 0, 0, (64 << 20) + 512], [0, 77, 0, 512],
    [128, 0, 0, 512], [0, 0, 512, 512] }'
by_hand 'ask (0, 1, 0, 512); $s->syswrite ("a part")'
wait_until 60 has_lines 1 'NBD_CMD_WRITE' || fail "$(cat "$tmp/err")"
for _ in 1 2; do
  if qemu-io -f raw -c 'read 0 4096' "$(uri_of none)" >"$tmp/out" 2>&1; then
    fail "there is an export none"
  fi
done
stop_server
has_lines 2 "unknown export 'none'" || fail "$(cat "$tmp/err")"
has_lines 12 'invalid request' || fail "$(cat "$tmp/err")"

# Requests that wait on a thread when their clients go away.
start_server 64M parallel=off fault='op=read hang' 2>"$tmp/err"
for _ in 1 2 3; do
  by_hand 'ask (0, 0, 0, 512)'
done
wait_until 60 has_lines 3 'aborting sleep' || fail "$(cat "$tmp/err")"
stop_server
! grep -v 'aborting sleep\|write reply' "$tmp/err" || fail "other lines"
