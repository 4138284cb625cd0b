#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What batched socket I/O is worth to real clients: one that has a single
# request at a time and waits before the next one, on an idle machine and on one
# whose CPUs are all busy; and qemu-img and nbdcopy.
#
# Prints a table: medians of requests a second and of server CPU a request, and
# the ratios of these, round by round, to those of nbdkit's null plugin and of
# nullblk-serve without polling, as medians and quartiles.  Two runs of a client
# differ by a tenth and more, as the scheduler puts its threads on other CPUs.
# So there are three times as many rounds as elsewhere, and each round begins
# with another server.
#
# The kernel's driver as the client is in guest.sh.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
thinks=(0 10 30 100)
requests=40000 # in one run of qemu-img
[ -z "$quick" ] || thinks=(0 30) requests=20000
[ -n "$quick" ] || rounds=$((3 * rounds))
servers=(nbdkit-null nullblk-serve-no-poll nullblk-serve)
n=$((2 * ${#thinks[@]} * ${#servers[@]}))
plan $((rounds * (n * (runtime + 150) + 8 * 800) / 1000 + 5))
requires nbdkit jq nbdinfo nbdcopy perl qemu-img
client=$build/tests/bench/client
[ -x "$client" ] || die "there is no bench/client; run make bench"

serve nbdkit-null null 1G
NULLBLK_BATCH_POLL=0 serve_ours nullblk-serve-no-poll 1G
serve_ours nullblk-serve 1G
head -c 256M /dev/urandom >"$shm/data"

# used SERVER COMMAND...: run the command, with its output in $tmp/out, and set
# $us to the CPU time of the server meanwhile.
used ()
{
  local before

  before=$(cpu "$1")
  "${@:2}" >"$tmp/out" || die "$2 at $1: $(cat "$tmp/out")"
  us=$(($(cpu "$1") - before))
}

# Each of these sets $rate, requests a second, and $us_each, server CPU a
# request.

# think SERVER US
think ()
{
  # shellcheck disable=SC2086 # words
  used "$1" "$client" ${server_where[$1]} read 512 1 1 \
    "$(awk -v ms="$runtime" 'BEGIN { print ms / 1000 }')" "$2"
  rate=$(cat "$tmp/out")
  us_each=$(awk -v us="$us" -v rate="$rate" -v ms="$runtime" \
    'BEGIN { print us / (rate * ms / 1000) }')
}

# qemu SERVER [-w]
qemu ()
{
  local options=(-c "$requests" -d 32 -s 4096 -f raw)

  used "$1" qemu-img bench "${@:2}" "${options[@]}" "${server_uri[$1]}"
  rate=$(sed -n 's/^Run completed in \(.*\) seconds.*/\1/p' "$tmp/out" |
    awk -v n="$requests" '{ print n / $1 }')
  us_each=$(awk -v us="$us" -v n="$requests" 'BEGIN { print us / n }')
}

# copy SERVER: write 256 MiB by requests of 256 KiB, on one connection.
copy ()
{
  local from=$EPOCHREALTIME

  used "$1" nbdcopy --connections=1 "$shm/data" "${server_uri[$1]}"
  rate=$(awk -v from="$from" -v to="$EPOCHREALTIME" \
    'BEGIN { print 1024 / (to - from) }')
  us_each=$(awk -v us="$us" 'BEGIN { print us / 1024 }')
}

# column N: print the median of a column of the rows.
column ()
{
  cut -d' ' -f"$1" "$tmp/rows" | median
}

# ratio OF TO: print the ratio of two columns, as median and quartiles.
ratio ()
{
  awk -v of="$1" -v to="$2" '{ print $of / ($to > 0 ? $to : 1) }' "$tmp/rows" |
    sort -g | awk '{ n[NR] = $1 }
      function at(part,   i) { i = int(part * (NR - 1) + 0.5) + 1; return n[i] }
      END { printf "%.2f (%.2f-%.2f)", at(0.5), at(0.25), at(0.75) }'
}

# compare WHAT COMMAND [ARGUMENT]...: run the command on each server in turn,
# and print a line of the table.  Each server has two columns in $tmp/rows.
compare ()
{
  local i j server n=${#servers[@]}
  local -A figures

  : >"$tmp/rows"
  for ((i = 0; i < rounds; i++)); do
    for ((j = 0; j < n; j++)); do
      server=${servers[(i + j) % n]}
      "$2" "$server" "${@:3}"
      figures[$server]="$rate $us_each"
    done
    for server in "${servers[@]}"; do
      printf '%s ' "${figures[$server]}"
    done >>"$tmp/rows"
    echo >>"$tmp/rows"
  done
  printf '| %s | %.0f %.0f %.0f | %s, %s | %.2f %.2f %.2f | %s, %s |\n' \
    "$1" "$(column 1)" "$(column 3)" "$(column 5)" "$(ratio 5 1)" \
    "$(ratio 5 3)" "$(column 2)" "$(column 4)" "$(column 6)" "$(ratio 6 2)" \
    "$(ratio 6 4)"
}

echo "Three figures: ${servers[*]}."
echo "Two: the last by the first, and by the second, medians and quartiles" \
  "of $rounds pairs."
echo
echo "| client | requests/s | of these | CPU us a request | of these |"
echo "|---|---|---|---|---|"
for us in "${thinks[@]}"; do
  compare "thinks for $us us" think "$us"
done

# Processes that would use all of every CPU.
busy=()
for ((i = 0; i < $(nproc); i++)); do
  (trap - EXIT && while :; do :; done) &
  busy+=($!)
done
# shellcheck disable=SC2317 # trap
end_busy ()
{
  kill "${busy[@]}" 2>/dev/null || true
  busy=()
}
trap 'end_busy; clean_up' EXIT
for us in "${thinks[@]}"; do
  compare "thinks for $us us, busy CPUs" think "$us"
done
end_busy

compare "qemu-img bench -w, 4 KiB, 32 deep" qemu -w
compare "qemu-img bench, 4 KiB, 32 deep" qemu
compare "nbdcopy, 256 KiB" copy
stop "${servers[@]}"
