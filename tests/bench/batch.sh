#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What batched socket I/O is worth: nullblk-serve beside the servers that are
# thought fastest.
#
#   tests/bench/batch.sh unix|tcp fio|client [ROUNDS [LOAD...]]
#
# Of a null device: nbdkit's null plugin.  Of one of RAM: nbdkit's memory
# plugin, and qemu-nbd's null-co, which holds nothing, but is fast; the better
# one counts.  All are served at once, as they are usually run, and are measured
# in turn, ROUNDS (7) times a second, for each LOAD "READ-OR-WRITE SIZE
# CONNECTIONS DEPTH".  With fio, its nbd engine is the load, which costs more
# than any of the servers; client is bench/client.c, which costs little.
#
# Printed as Markdown: medians of thousands of requests a second, and of
# microseconds of the server's CPU, user and system, a request; and the medians
# (least to greatest) of their ratios, taken pair by pair.
#
# To be run in a build tree, or with top_builddir set to one.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
transport=${1:?} with=${2:?} rounds=${3:-7}
shift $(($# < 3 ? $# : 3))
loads=("$@")
[ $# -gt 0 ] || loads=("read 4096 4 32" "write 4096 4 32" "read 131072 4 32"
                       "write 131072 4 32" "read 4096 1 32" "read 4096 1 1"
                       "write 4096 1 1")
requires nbdkit fio jq qemu-nbd nbdcopy
builddir=${top_builddir-$PWD}
serve=$builddir/tools/nullblk-serve
client=$builddir/tests/bench/client
[[ -x $serve && -x $client ]] || die "$builddir is not a build tree, or" \
  "make check TESTS= has not been run there"

port=$((20000 + RANDOM % 10000))
declare -A where

# listen NAME COMMAND...: which takes nbdkit's options.
listen ()
{
  local listener=(-U "$tmp/$1.sock")

  server_uri[$1]="nbd+unix:///?socket=$tmp/$1.sock"
  where[$1]="unix $tmp/$1.sock"
  if [ "$transport" = tcp ]; then
    port=$((port + 1))
    listener=(-i 127.0.0.1 -p "$port")
    server_uri[$1]="nbd://127.0.0.1:$port"
    where[$1]="tcp $port"
  fi
  case $2-$transport in
    qemu-nbd-tcp) listener=(-b 127.0.0.1 -p "$port") ;;
    qemu-nbd-unix) listener=(-k "$tmp/$1.sock") ;;
    *) listener+=(-f) ;;
  esac
  "$2" "${listener[@]}" "${@:3}" &
  server_pid[$1]=$!
  until nbdinfo --size "${server_uri[$1]}" >"$tmp/out" 2>&1; do
    kill -0 "${server_pid[$1]}" 2>/dev/null || die "server $1 has ended"
    sleep 0.05
  done
}

# measure NAME: prints requests a second, and CPU a request.
measure ()
{
  local start end n

  start=$(cpu "$1")
  if [ "$with" = fio ]; then
    load "$1" --rw="rand$rw" --bs="$size" --numjobs="$connections" \
      --iodepth="$depth" --size=64M --time_based --runtime=1
    n=$(jq '.jobs[0] | .read.total_ios + .write.total_ios' "$tmp/fio.json")
    rate=$(jq '.jobs[0] | .read.iops + .write.iops' "$tmp/fio.json")
  else
    # shellcheck disable=SC2086 # words
    rate=$("$client" ${where[$1]} "$rw" "$size" "$connections" "$depth" 1)
    n=$rate # in a second
  fi
  end=$(cpu "$1")
  awk -v rate="$rate" -v n="$n" -v ticks=$((end - start)) \
    -v hz="$(getconf CLK_TCK)" 'BEGIN { print rate, ticks / hz * 1e6 / n }'
}

# column NAME NUMBER: of all rounds.
column ()
{
  awk -v n="$2" '{ print $n }' "$tmp/$1.rounds"
}

# ratio NAME NAME NUMBER: of the first to the second.
ratio ()
{
  paste -d' ' <(column "$1" "$3") <(column "$2" "$3") |
    awk '{ print $1 / $2 }' | sort -g |
    awk '{ n[NR] = $1 } END {
      printf "**%.2f** (%.2f-%.2f)",
        NR % 2 ? n[(NR + 1) / 2] : (n[NR / 2] + n[NR / 2 + 1]) / 2, n[1], n[NR]
    }'
}

rate_of ()
{
  column "$1" 1 | median | awk '{ printf "%.1f", $1 / 1000 }'
}

cpu_of ()
{
  column "$1" 2 | median | awk '{ printf "%.2f", $1 }'
}

names=(null plain batched memory qemu ram)
listen null nbdkit null 64M
NULLBLK_BATCH=0 listen plain "$serve" 64M
listen batched "$serve" 64M
listen memory nbdkit memory 64M
listen qemu qemu-nbd --persistent --shared=0 \
  --image-opts driver=null-co,size=64M,read-zeroes=off # on: it sends no data
listen ram "$serve" 64M memory-backed=true
head -c 64M /dev/urandom >"$tmp/data"
for name in memory ram; do
  nbdcopy "$tmp/data" "${server_uri[$name]}"
done

echo "$transport, $with, $rounds rounds"
echo
echo "| load | null | nullblk unbatched | batched | / null | CPU null |" \
  "unbatched | batched | / null | memory | qemu null-co | nullblk RAM |" \
  "/ better | CPU / memory |"
echo "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
for load in "${loads[@]}"; do
  read -r rw size connections depth <<<"$load"
  rm -f "$tmp"/*.rounds
  for ((i = 0; i < rounds; i++)); do
    for name in "${names[@]}"; do
      measure "$name" >>"$tmp/$name.rounds"
    done
  done
  better=memory
  [ "$(rate_of memory | tr -d .)" -ge "$(rate_of qemu | tr -d .)" ] ||
    better=qemu
  printf '| %s %s, %s x %s ' "$rw" "$size" "$connections" "$depth"
  printf '| %s ' "$(rate_of null)" "$(rate_of plain)" "$(rate_of batched)" \
    "$(ratio batched null 1)" "$(cpu_of null)" "$(cpu_of plain)" \
    "$(cpu_of batched)" "$(ratio batched null 2)" "$(rate_of memory)" \
    "$(rate_of qemu)" "$(rate_of ram)" "$(ratio ram $better 1)" \
    "$(ratio ram memory 2)"
  echo '|'
done
