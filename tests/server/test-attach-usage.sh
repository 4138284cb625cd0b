#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach without what it needs, or called wrongly, says so in one line
# and changes nothing; its options and its man page are the same.

name=nullblk-attach
# shellcheck source=usage.sh source-path=SCRIPTDIR
source "${0%/*}/usage.sh"

says 2 'nullblk-attach \[--as=*'
says 2 'nullblk-attach \[--as=*' --list x
says 2 'nullblk-attach \[--as=*' --detach
says 2 'nullblk-attach \[--as=*' --detach --all x
says 2 'nullblk-attach \[--as=*' --all
says 2 '*unrecognized option*' --nonsense 8G
for bad in 0 129 x '' 1x -1; do
  says 2 "nullblk-attach: -C $bad: allowed is a whole number from 1 to 128" \
    -C "$bad" 8G
done
says 2 'nullblk-attach: --depth 1025: allowed is *' --depth 1025 8G
says 2 'nullblk-attach: --timeout 0: allowed is *' --timeout 0 8G
for bad in '' . .x a/b 'a b'; do
  says 2 'nullblk-attach: --name *: allowed are *' --name "$bad" 8G
done
says 2 'nullblk-attach: --persist 0: allowed is *' --persist=0 nbd://localhost
says 1 'nullblk-attach: --persist is for a URI: *' --persist 8G
says 1 'nullblk-attach: nbds://*: --persist cannot reconnect with TLS, *' \
  --as=nbd --persist 'nbds://localhost/?tls-certificates=/x'
says 2 'nullblk-attach: --as=x: allowed are auto, nbd and ublk' --as=x 8G
says 1 'nullblk-attach: x: nothing may follow a URI' nbd://localhost x
says 1 'nullblk-attach: nbd://localhost:x: a URI is *' nbd://localhost:x
says 1 'nullblk-attach: nbds://*tls-certificates=DIRECTORY' --as=nbd \
  nbds://localhost
for text in nbd+ssh://host/ nbd+vsock:// nbds+ssh://host/ http://host/; do
  says 1 "nullblk-attach: $text: the kernel takes TCP and Unix sockets only: *" \
    $text
done

become_nobody
says 1 'nullblk-attach: only root can attach a device' 8G
says 1 'nullblk-attach: only root can see what is attached' --list
says 1 'nullblk-attach: only root can detach a device' --detach nbd0
says 1 'nullblk-attach: only root can detach a device' --detach --all

same_options connections
