#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# How many commits a second a database makes on a disk, with power-loss
# protection and without:
#
#   tests/bench/database.sh
#
# The disk takes 0.1 ms for a write, 9.4 ms to drain one from its buffer, and
# 1 ms for a flush.  So a write and a flush take 10.4 ms, and with plp=true 1.1
# ms: 9.5 times as many a second.  Two writes and a flush take 19.8 ms, or 1.2
# ms.  (unit/timing/test-buffer has the same by arithmetic.)
# The disk is a file by nbdfuse, whose own time, and that of the database, comes
# on top: it is what a disk without any latencies takes, which is measured
# first, and the table also has what is to be expected with it.  There are 200
# transactions of sqlite3, which write two pages each; the journal is in memory,
# as there is no room for another file.  pg_test_fsync of PostgreSQL, if it is
# installed, writes once for each flush.  Prints a table.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
plan 20
requires nbdkit nbdfuse nbdcopy sqlite3 fusermount3
[ -w /dev/fuse ] || die "there is no /dev/fuse"
plugin=$(find_plugin)
pg=
for program in /usr/lib/postgresql/*/bin/pg_test_fsync; do
  [ ! -x "$program" ] || pg=$program
done
commits=200

sqlite3 "$tmp/empty.db" 'CREATE TABLE t (n);'
{
  echo 'PRAGMA journal_mode = memory; PRAGMA synchronous = full;'
  for ((i = 0; i < commits; i++)); do
    echo "INSERT INTO t VALUES ($i);"
  done
} >"$tmp/commits.sql"

# begin [KEY=VALUE]...: serve a disk with these parameters as $tmp/mnt/disk.
begin ()
{
  mkdir -p "$tmp/mnt"
  rm -f "$tmp/sock"
  nbdkit -f -U "$tmp/sock" "$plugin" 256M memory-backed=true "$@" &
  server_pid[disk]=$!
  until [ -S "$tmp/sock" ]; do
    sleep 0.05
  done
  nbdcopy "$tmp/empty.db" "nbd+unix:///?socket=$tmp/sock"
  nbdfuse "$tmp/mnt/disk" --unix "$tmp/sock" &
  fuse=$!
  until [ -e "$tmp/mnt/disk" ]; do
    sleep 0.05
  done
}

end ()
{
  fusermount3 -u "$tmp/mnt"
  wait "$fuse"
  kill "${server_pid[disk]}"
  wait "${server_pid[disk]}" || true
  unset 'server_pid[disk]'
}

# a_second N FROM TO: print the rate of N between two moments, in ns.
a_second ()
{
  awk -v n="$1" -v from="$2" -v to="$3" \
    'BEGIN { printf "%.1f", n / ((to - from) / 1e9) }'
}

declare -A sqlite fsync
for plp in none false true; do
  if [ "$plp" = none ]; then
    begin
  else
    begin write-latency=100us buffer-size=64M drain-latency=9.4ms \
      flush-latency=1ms plp="$plp"
  fi
  from=$(date +%s%N)
  sqlite3 -bail "$tmp/mnt/disk" <"$tmp/commits.sql" >"$tmp/out" ||
    die "sqlite3: $(cat "$tmp/out")"
  sqlite[$plp]=$(a_second "$commits" "$from" "$(date +%s%N)")
  fsync[$plp]=-
  if [ -n "$pg" ]; then
    "$pg" -f "$tmp/mnt/disk" -s 1 >"$tmp/pg" 2>&1 || die "$(cat "$tmp/pg")"
    fsync[$plp]=$(awk '$1 == "fdatasync" { printf "%.1f", $2; exit }' "$tmp/pg")
  fi
  end
done

# expected MSEC NONE: print the rate to be expected if each takes MSEC, and
# besides as long as it takes without latencies, where the rate is NONE.
expected ()
{
  awk -v msec="$1" -v none="$2" \
    'BEGIN { if (none > 0) printf "%.1f", 1000 / (msec + 1000 / none)
             else print "-" }'
}

# ratio A B: print B / A.
ratio ()
{
  awk -v a="$1" -v b="$2" \
    'BEGIN { if (a > 0) printf "%.1f", b / a; else print "-" }'
}

echo "| a second | without plp | with plp=true | ratio |"
echo "|---|---|---|---|"
echo "| two writes and a flush, by arithmetic | 50.5 | 833.3 | 16.5 |"
a=$(expected 19.8 "${sqlite[none]}")
b=$(expected 1.2 "${sqlite[none]}")
echo "| the same with what takes ${sqlite[none]} of no latencies | $a | $b |" \
  "$(ratio "$a" "$b") |"
echo "| commits of sqlite3 | ${sqlite[false]} | ${sqlite[true]} |" \
  "$(ratio "${sqlite[false]}" "${sqlite[true]}") |"
echo "| a write and a flush, by arithmetic | 96.2 | 909.1 | 9.5 |"
a=$(expected 10.4 "${fsync[none]}")
b=$(expected 1.1 "${fsync[none]}")
echo "| the same with what takes ${fsync[none]} of no latencies | $a | $b |" \
  "$(ratio "$a" "$b") |"
echo "| fdatasync of pg_test_fsync | ${fsync[false]} | ${fsync[true]} |" \
  "$(ratio "${fsync[false]}" "${fsync[true]}") |"
