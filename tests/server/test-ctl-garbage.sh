#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblkctl with servers that are not what it expects: one line, exit status
# 1, and no crash.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
"$NBDKIT" data --version >"$tmp/out" 2>&1 || skip "nbdkit has no data plugin"

# All exports of the server are the same, whatever their names are.
# serve_data FORMAT SIZE
serve_data ()
{
  PLUGIN=data start_server data="$1" size="$2"
}

serve_data '"not JSON\n" (10 * 65527)' 65536
says 1 'nullblkctl: stats: the statistics are not JSON: *' stats "$sock"
says 1 'nullblkctl: top: the statistics are not JSON: *' top "$sock"
says 1 "nullblkctl: get: these are no settings *'not JSON'" get "$sock" size
says 1 'nullblkctl: zones report: this is no zone table: *' zones report "$sock"
stop_server

serve_data '"{\"verse\": 2}\n" (10 * 65524)' 65536
says 1 'nullblkctl: stats: *they have no version' stats "$sock"
stop_server

serve_data '(255 * 65536)' 64K
says 1 "nullblkctl: stats: this is no control export's text: *" stats "$sock"
says 1 "nullblkctl: get: this is no control export's text: *" get "$sock"
says 1 'nullblkctl: zones report: this is no zone table: *' zones report "$sock"
stop_server

# A device instead of a document: nullblkctl does not read all of it.
serve_data '0' 1T
says 1 'nullblkctl: stats: this is no control export: *' stats "$sock"
says 1 'nullblkctl: get: this is no control export: *' get "$sock"
stop_server

serve_data '0' 0
says 1 'nullblkctl: stats: this is no control export: it has 0 bytes' \
  stats "$sock"
says 1 'nullblkctl: zones report: this is no zone table: it has 0 bytes' \
  zones report "$sock"
stop_server
