#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach to an export that is served with TLS: with certificates, also
# if the server checks the client's; without them it is refused.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

# certificate NAME TEMPLATE-LINE...: make one that ca has signed.
certificate ()
{
  certtool --generate-privkey --ecc --outfile "$tls/$1-key.pem"
  printf '%s\n' "cn = $1" signing_key encryption_key "${@:2}" >"$tmp/template"
  certtool --generate-certificate --load-privkey "$tls/$1-key.pem" \
    --load-ca-certificate "$tls/ca-cert.pem" \
    --load-ca-privkey "$tmp/ca-key.pem" \
    --template "$tmp/template" --outfile "$tls/$1-cert.pem"
}

if on_host; then
  requires certtool base64
  has_tls || skip "this nbdkit has no TLS"
  tls=$tmp/tls
  mkdir "$tls"
  certtool --generate-privkey --ecc --outfile "$tmp/ca-key.pem"
  printf '%s\n' 'cn = ca' ca cert_signing_key >"$tmp/template"
  certtool --generate-self-signed --load-privkey "$tmp/ca-key.pem" \
    --template "$tmp/template" --outfile "$tls/ca-cert.pem"
  certificate server tls_www_server 'dns_name = localhost'
  certificate client tls_www_client
  NULLBLK_GUEST_TLS=$(tar -c -C "$tls" . | base64 -w 0)
  export NULLBLK_GUEST_TLS
  boot_to_attach
  exit
fi

echo 127.0.0.1 localhost >/etc/hosts
mkdir "$tmp/tls" "$tmp/nobody"
base64 -d <<<"$NULLBLK_GUEST_TLS" | tar -x -C "$tmp/tls"
cp "$tmp/tls/ca-cert.pem" "$tmp/nobody"

start_tcp_server --tls=require --tls-certificates="$tmp/tls" \
  --tls-verify-peer 64M memory-backed=true
ours="nbds://localhost:$port/?tls-certificates=$tmp/tls"
for _ in 1 2; do
  try "$attach" -C 1 "$ours"
  shows /sys/block/nbd0/size 131072
  verify --rw=randwrite --bs=4k
  try "$attach" --detach nbd0
done
for refused in "nbds://localhost:$port/?tls-certificates=$tmp/nobody" \
    "nbd://localhost:$port"; do
  fails "$attach" "$refused"
  [ "$(wc -l <"$tmp/fails")" = 1 ] || fail "not a line: $(cat "$tmp/fails")"
done
[ -z "$(ls /run/nullblk)" ] || fail "left: $(ls /run/nullblk)"

# nbd-client is missing, or dies.
client=$(command -v nbd-client)
try mv "$client" "$tmp/nbd-client"
fails "$attach" "$ours"
grep -q 'nbd-client is missing' "$tmp/fails" || fail "$(cat "$tmp/fails")"
# shellcheck disable=SC2016 # for the other shell
printf '%s\n' '#!/bin/bash' "echo \"\$*\" >$tmp/arguments" 'kill -SEGV $$' \
  >"$client"
try chmod +x "$client"
fails "$attach" "$ours"
for text in 'nbd-client was killed by signal 11' 'nbd-client could not attach'
do
  grep -q "$text" "$tmp/fails" || fail "$(cat "$tmp/fails")"
done
# A name may have several addresses: nbd-client gets the one that was connected
# to.
grep -q "^127.0.0.1 $port /dev/nbd0 " "$tmp/arguments" ||
  fail "nbd-client's arguments are $(cat "$tmp/arguments")"
grep -q -e '--tlshostname localhost' "$tmp/arguments" ||
  fail "nbd-client's arguments are $(cat "$tmp/arguments")"
try mv -f "$tmp/nbd-client" "$client"
[ -z "$(ls /run/nullblk)" ] || fail "left: $(ls /run/nullblk)"
stop_server
