#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# TLS with certificates, by which both sides verify each other: data goes both
# ways, encrypted.  A client refuses a server that another authority vouches
# for, or that is not who it was asked for.  The server refuses a client with
# no certificate, with one of another authority, and one that asks without TLS.

# shellcheck source=tls.sh source-path=SCRIPTDIR
source "${0%/*}/tls.sh"
requires certtool

certtool ()
{
  command certtool "$@" 2>"$tmp/err" || fail "certtool: $(cat "$tmp/err")"
}

# authority DIRECTORY: a certificate authority of its own
authority ()
{
  mkdir "$1"
  certtool --generate-privkey --ecc --outfile "$1/ca-key.pem"
  printf '%s\n' "cn = $1" ca cert_signing_key >"$tmp/template"
  certtool --generate-self-signed --load-privkey "$1/ca-key.pem" \
    --template "$tmp/template" --outfile "$1/ca-cert.pem"
}

# certificate DIRECTORY NAME TEMPLATE-LINE...: NAME-key.pem and NAME-cert.pem,
# vouched for by the directory's authority.
certificate ()
{
  local dir=$1 name=$2

  certtool --generate-privkey --ecc --outfile "$dir/$name-key.pem"
  printf '%s\n' "cn = $name" signing_key encryption_key "${@:3}" \
    >"$tmp/template"
  certtool --generate-certificate --load-privkey "$dir/$name-key.pem" \
    --load-ca-certificate "$dir/ca-cert.pem" \
    --load-ca-privkey "$dir/ca-key.pem" \
    --template "$tmp/template" --outfile "$dir/$name-cert.pem"
}

# The server is not the impostor.
ours=$tmp/ours
authority "$ours"
certificate "$ours" server tls_www_server \
  'dns_name = server4.test' 'dns_name = server6.test'
certificate "$ours" client tls_www_client
theirs=$tmp/theirs
authority "$theirs"
certificate "$theirs" client tls_www_client

# Trusts the server, but has nothing to show.
mkdir "$tmp/nobody"
cp "$ours/ca-cert.pem" "$tmp/nobody"
# Trusts the server, but shows what only the other authority vouches for.
mkdir "$tmp/foreign"
cat "$ours/ca-cert.pem" "$theirs/ca-cert.pem" >"$tmp/foreign/ca-cert.pem"
cp "$theirs"/client-*.pem "$tmp/foreign"

serve --tls=require --tls-certificates="$ours" --tls-verify-peer \
  16M memory-backed=true
uri="nbds://server4.test/?tls-certificates=$ours"
creds=tls-creds-x509,dir=$ours,endpoint=client
encrypted_both_ways "$uri" server4.test "$creds"
encrypted_both_ways "${uri/server4/server6}" server6.test "$creds"

# handshake_fails DIRECTORY SERVER SIDE WHY-NBDINFO WHY-QEMU-IMG: for one who
# has what is in DIRECTORY
handshake_fails ()
{
  refused "$3" "$4" "${on_client[@]}" \
    nbdinfo "nbds://$2/?tls-certificates=$tmp/$1"
  refused "$3" "$5" "${on_client[@]}" qemu-img info \
    --object "tls-creds-x509,id=tls,dir=$tmp/$1,endpoint=client" \
    --image-opts "driver=nbd,host=$2,port=10809,tls-creds=tls"
}

why='certificate verification'
handshake_fails theirs server4.test client "$why" 'known issuer'
handshake_fails ours impostor.test client "$why" 'does not match the hostname'
why='gnutls_handshake: Error in the certificate'
handshake_fails nobody server4.test server "$why" "$why"
handshake_fails foreign server4.test server "$why" "$why"
plaintext_refused server4.test
plaintext_refused server6.test

# Nobody was in the way of those who may.
unchanged "$uri"
stop_server
