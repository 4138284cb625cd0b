#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# TLS with the batch library: gnutls reads and writes the socket itself, from
# the moment at which nbdkit hands the socket over.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires psktool nbdcopy nbdinfo cmp
has_tls || skip "this nbdkit has no TLS"

psktool -u alice -p "$tmp/keys" >"$tmp/out" 2>&1 || fail "$(cat "$tmp/out")"
sock=$tmp/sock
uri="nbds+unix://alice@/?socket=$sock&tls-psk-file=$tmp/keys"

# copy_with PARAMETER...
copy_with ()
{
  rm -f "$tmp/pid" "$sock"
  "$serve" -f -U "$sock" -P "$tmp/pid" --tls=require --tls-psk="$tmp/keys" \
    64M memory-backed=true "$@" &
  server_pid=$!
  wait_until 60 server_listens_or_ended || fail "it does not listen"
  [ -s "$tmp/pid" ] || fail "it ended"
  batches "$server_pid" || fail "it does not batch"
  nbdinfo "$uri" >"$tmp/info" || fail "nbdinfo"
  grep -q '^protocol: .* with TLS' "$tmp/info" ||
    fail "not encrypted: $(cat "$tmp/info")"
  ! nbdinfo --size "$(uri_of '')" 2>/dev/null || fail "plain text is taken"
  nbdcopy "$tmp/sent" "$uri"
  nbdcopy "$uri" "$tmp/back"
  truncate -s 16M "$tmp/back"
  cmp "$tmp/sent" "$tmp/back" || fail "what came back is not what was sent"
  stop_server
}

random_file "$tmp/sent" "$(new_seed)" $((16 << 20))
copy_with
copy_with parallel=on
