#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# TLS with a key that both hosts have (PSK): data goes both ways, encrypted, and
# whoever has another key, or is not known, or asks without TLS, is refused and
# learns nothing.

# shellcheck source=tls.sh source-path=SCRIPTDIR
source "${0%/*}/tls.sh"
requires psktool

mkdir "$tmp/good" "$tmp/bad"
psktool -u alice -p "$tmp/keys.psk" >/dev/null
cp "$tmp/keys.psk" "$tmp/good"
psktool -u alice -p "$tmp/bad/keys.psk" >/dev/null
psktool -u mallory -p "$tmp/bad/keys.psk" >/dev/null

serve --tls=require --tls-psk="$tmp/keys.psk" 16M memory-backed=true
uri="nbds://alice@server4.test/?tls-psk-file=$tmp/good/keys.psk"
creds=tls-creds-psk,dir=$tmp/good,username=alice,endpoint=client
encrypted_both_ways "$uri" server4.test "$creds"
encrypted_both_ways "${uri/server4/server6}" server6.test "$creds"

# With TLS 1.3 another key and an unknown user look the same.
for user in alice mallory; do
  refused server 'illegal parameter' "${on_client[@]}" \
    nbdinfo "nbds://$user@server4.test/?tls-psk-file=$tmp/bad/keys.psk"
  bad=tls-creds-psk,id=tls,dir=$tmp/bad,username=$user,endpoint=client
  refused server 'illegal parameter' "${on_client[@]}" \
    qemu-img info --object "$bad" \
    --image-opts driver=nbd,host=server4.test,port=10809,tls-creds=tls
done
plaintext_refused server4.test
plaintext_refused server6.test

# Nobody was in the way of those who may.
unchanged "$uri"
stop_server
