#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Two builds of the plugin side by side: what does a change cost?
#
#   tests/bench/compare-builds.sh BEFORE.so AFTER.so [ROUNDS]
#
# Both are served at once, and fio's nbd engine puts the same load on one after
# the other, in turn, ROUNDS (9) times for each kind of load.  Prints a table of
# requests a second, and of the server's CPU time (user and system) a request:
# the median of each, and the median and range of the ratios AFTER / BEFORE of
# each round.

set -euo pipefail
before=$(realpath "${1:?}") after=$(realpath "${2:?}") rounds=${3:-9}
seconds=2

tmp=$(mktemp -d)
pids=()
# shellcheck disable=SC2317 # trap
clean_up ()
{
  local pid

  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
  rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# serve NAME PLUGIN PARAMETER...
serve ()
{
  nbdkit -f -U "$tmp/$1.sock" -P "$tmp/$1.pid" "${@:2}" &
  pids+=($!)
  until [ -s "$tmp/$1.pid" ]; do
    kill -0 "${pids[-1]}"
    sleep 0.05
  done
}

# cpu NAME: print the CPU time of the server, in ticks.
cpu ()
{
  sed 's/.*) //' "/proc/$(cat "$tmp/$1.pid")/stat" | awk '{ print $12 + $13 }'
}

# measure NAME RW BS JOBS DEPTH: prints requests a second and microseconds of
# CPU a request.
measure ()
{
  local start end

  start=$(cpu "$1")
  fio --name=load --ioengine=nbd --uri="nbd+unix:///?socket=$tmp/$1.sock" \
    --rw="$2" --bs="$3" --numjobs="$4" --iodepth="$5" --size=64M --thread \
    --time_based --runtime="$seconds" --group_reporting \
    --output-format=json --output="$tmp/fio" >"$tmp/out" 2>&1
  end=$(cpu "$1")
  # fio's notes may come before the JSON.
  sed -n '/^{/,$p' "$tmp/fio" |
    jq -r --argjson ticks $((end - start)) --argjson hz "$(getconf CLK_TCK)" '
    .jobs[0] | (.read.total_ios + .write.total_ios) as $n |
    "\(.read.iops + .write.iops) \($ticks / $hz * 1e6 / $n)"'
}

# summary FILE: columns iops-before cpu-before iops-after cpu-after.
summary ()
{
  awk '
    function median(a, n,   i, j, t) {
      for (i = 2; i <= n; i++)
        for (j = i; j > 1 && a[j] < a[j - 1]; j--) {
          t = a[j]; a[j] = a[j - 1]; a[j - 1] = t
        }
      return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
    }
    { n++; ib[n] = $1; cb[n] = $2; ia[n] = $3; ca[n] = $4
      ir[n] = $3 / $1; cr[n] = $4 / $2 }
    END {
      mi = median(ir, n); mc = median(cr, n)
      printf "%.1f | %.1f | %.3f (%.3f-%.3f) | %.2f | %.2f | %.3f (%.3f-%.3f) |\n",
        median(ib, n) / 1000, median(ia, n) / 1000, mi, ir[1], ir[n],
        median(cb, n), median(ca, n), mc, cr[1], cr[n]
    }' "$1"
}

echo "| device | load | k/s before | after | ratio | CPU us before | after | ratio |"
echo "|---|---|---|---|---|---|---|---|"
for mode in null memory; do
  parameters=(64M)
  [ "$mode" = null ] || parameters+=(memory-backed=true)
  serve before "$before" "${parameters[@]}"
  serve after "$after" "${parameters[@]}"
  for load in "randread 4k 4 32" "randwrite 4k 4 32" "randread 4k 1 1"; do
    # shellcheck disable=SC2086 # words
    for name in before after; do
      measure $name $load >"$tmp/warm"
    done
    : >"$tmp/table"
    for ((i = 0; i < rounds; i++)); do
      # shellcheck disable=SC2086 # words
      echo "$(measure before $load) $(measure after $load)" >>"$tmp/table"
    done
    printf '| %s | %s | %s\n' "$mode" "$load" "$(summary "$tmp/table")"
  done
  kill "${pids[@]}"
  wait "${pids[@]}" || true
  pids=()
  rm -f "$tmp"/*.sock "$tmp"/*.pid
done
