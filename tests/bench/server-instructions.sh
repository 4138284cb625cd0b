#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# How many instructions each part of a server takes for a request, by callgrind.
#
#   tests/bench/server-instructions.sh [BLOCK-SIZE]
#
# bench/client reads and writes BLOCK-SIZE (4096) bytes of a null device over
# one connection of a Unix socket, 32 requests at a time.  A figure is the
# difference of two runs, one twice as long, so that the start does not count.
# What the C library does counts for the part that has called it.  The kernel's
# instructions are not seen.  Prints a table: bench/least, then nullblk-serve by
# its parts.  nbdkit's part is what would be left if the library and the plugin
# took nothing.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
requires valgrind nbdkit
size=${1:-4096} seconds=${SECONDS_OF_RUN:-4}
client=$build/tests/bench/client
[ -x "$client" ] || die "there is no bench/client; run make bench"

# callgrind NAME PROGRAM: make $tmp/NAME, which runs PROGRAM under callgrind;
# that writes $tmp/calls.
callgrind ()
{
  printf '#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file=%s %s "$@"\n' \
    "$tmp/calls" "$2" >"$tmp/$1"
  chmod +x "$tmp/$1"
}
callgrind nbdkit nbdkit
callgrind least "$build/tests/bench/least"

# by_part: print, from callgrind's file, how many instructions each program and
# library takes, with those of the C library and the loader that it calls.
by_part ()
{
  awk '
    function name(text, known,   id) {
      id = text
      sub (/\).*/, ")", id)
      if (text ~ /\) /) {
        sub (/^[^)]*\) /, "", text)
        sub (/.*\//, "", text)
        known[id] = text
      }
      return known[id]
    }
    function is_libc(object) { return object ~ /^(libc|ld-linux|libpthread)/ }
    /^ob=/ { object = name(substr ($0, 4), objects); callee = object; next }
    /^cob=/ { callee = name(substr ($0, 5), objects); next }
    /^fn=/ { callee = object; next }
    /^calls=/ {
      getline
      if (is_libc(callee) && !is_libc(object))
        cost[object] += $2
      callee = object
      next
    }
    /^[-+*0-9]/ && NF == 2 { if (!is_libc(object)) cost[object] += $2 }
    END { for (o in cost) print o, cost[o] }' "$tmp/calls"
}

# run SERVER RW SECONDS: print "requests N", and a line for each part.
run ()
{
  local rate

  if [ "$1" = least ]; then
    listen least "$tmp/least" $((64 << 20))
  else
    NULLBLK_NBDKIT=$tmp/nbdkit serve_ours nullblk-serve 64M
  fi 2>"$tmp/server"
  # shellcheck disable=SC2086 # words
  rate=$("$client" ${server_where[$1]} "$2" "$size" 1 32 "$3")
  stop "$1"
  awk -v rate="$rate" -v s="$3" 'BEGIN { print "requests", rate * s }'
  by_part
}

# parts SERVER RW: print a line "PART<tab>INSTRUCTIONS" for each part that takes
# more than one instruction a request.
parts ()
{
  run "$1" "$2" "$seconds" >"$tmp/short"
  run "$1" "$2" $((2 * seconds)) >"$tmp/long"
  awk -v OFS='\t' '
    FNR == NR { before[$1] = $2; next }
    $1 == "requests" { n = $2 - before[$1]; next }
    { each = ($2 - before[$1]) / n; if (each > 1) print $1, each }' \
    "$tmp/short" "$tmp/long" | sort
}

echo "| load | part, with what it calls of the C library | instructions |"
echo "|---|---|---|"
for rw in read write; do
  for server in least nullblk-serve; do
    parts $server $rw | awk -F '\t' -v load="$rw $size" -v server=$server '
      { printf "| %s | %s | %.0f |\n", load, $1, $2; sum += $2 }
      END { if (NR > 1) printf "| %s | all of %s | %.0f |\n", load, server, sum }'
  done
done
