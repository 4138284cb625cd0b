#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# How often a server calls the kernel, and where its threads wait for locks:
# system calls a request (strace), and the functions that call futex (perf),
# under 4 KiB random writes over 4 connections at depth 32.
#
#   tests/bench/contention.sh
#
# A lock that is free makes no system call, so futex is called where threads
# meet.  The caller is the first function outside of the C library, with its
# module.  strace slows the server down, so only counts are taken, and no times.
# perf must be allowed to use trace points, as root is; if it is not, there is
# no profile.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
servers=(floor nbdkit-null nullblk nullblk-serve nbdkit-memory-sparse
         nullblk-memory nullblk-memory-serve)
plan $((${#servers[@]} * 5))
requires nbdkit fio jq nbdinfo perl strace
plugin=$(find_plugin)
export size=64M
open_raw contention

serve_floor
serve nbdkit-null null 1G
serve nullblk "$plugin" 1G
serve_ours nullblk-serve 1G
serve nbdkit-memory-sparse memory 1G
serve nullblk-memory "$plugin" 1G memory-backed=true
serve_ours nullblk-memory-serve 1G memory-backed=true
fill nbdkit-memory-sparse nullblk-memory nullblk-memory-serve

# put_load SERVER: a fixed number of requests, so that all are counted.
put_load ()
{
  load "$1" --rw=randwrite --bs=4k --iodepth=32 --numjobs=4 --size=64M \
    --io_size=16M
}
requests=16384

# system_calls SERVER
system_calls ()
{
  local tracer

  strace -f -c -q -o "$tmp/strace" -p "${server_pid[$1]}" 2>"$tmp/out" &
  tracer=$!
  until grep -q '^TracerPid:.*[1-9]' "/proc/${server_pid[$1]}/status"; do
    kill -0 $tracer || die "strace: $(cat "$tmp/out")"
    sleep 0.05
  done
  put_load "$1"
  kill -INT $tracer
  wait $tracer || true
  # Columns: % seconds usecs/call calls [errors] syscall.
  awk '$1 ~ /^[0-9.]+$/ { print $4, $NF }' "$tmp/strace" |
    jq -Rsc --arg server "$1" --argjson requests $requests '
      split ("\n") | map (select (. != "") | split (" ")) |
      map ({(.[1]): (.[0] | tonumber)}) | add |
      {table: "system-calls", $server, $requests, total, futex: (.futex // 0),
       calls: del (.total)}' >>"$raw"
}

# profile SERVER: add a row of the ten functions that call futex most often.
profile ()
{
  local recorder

  rm -f "$tmp/perf"
  perf record -q -e syscalls:sys_enter_futex -c 19 --call-graph dwarf,8192 \
    -p "${server_pid[$1]}" -o "$tmp/perf" >"$tmp/out" 2>&1 &
  recorder=$!
  until [ -s "$tmp/perf" ]; do
    kill -0 $recorder 2>/dev/null || return 1
    sleep 0.05
  done
  put_load "$1"
  kill -INT $recorder
  wait $recorder || true
  perf script --no-inline -i "$tmp/perf" -F comm,ip,sym,dso 2>"$tmp/out" |
    awk '
      NF == 0 { if (at != "") n[at]++; at = ""; inside = 0; next }
      !inside { inside = 1; next } # the command
      at != "" { next }
      {
        module = $NF
        gsub (/[()]/, "", module)
        sub (/.*\//, "", module)
        if (module ~ /^(libc|libpthread|ld-linux)/)
          next
        symbol = $2
        sub (/\+0x.*/, "", symbol)
        at = module " " (symbol ~ /^\[unknown/ ? "" : symbol)
      }
      END { if (at != "") n[at]++; for (at in n) print n[at], at }' |
    sort -rn | sed -n 1,10p |
    jq -Rsc --arg server "$1" 'split ("\n") | map (select (. != "")) |
      map (split (" ") | {samples: (.[0] | tonumber), module: .[1],
        function: .[2]}) | {table: "futex-callers", $server, callers: .}' \
      >>"$raw"
}

for server in "${servers[@]}"; do
  system_calls "$server"
done
if command -v perf >/dev/null; then
  for server in "${servers[@]}"; do
    profile "$server" || { echo "perf: $(cat "$tmp/out")" >&2; break; }
  done
fi
close_raw
