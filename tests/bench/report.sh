#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Tables and plots of raw figures.
#
#   tests/bench/report.sh OUT [FILE]
#
# OUT is the folder into which the measurements have put their rows.  It gets
# report.md, raw.json with all rows, and plots.  With FILE, the tables are put
# there, too, between the lines "<!-- figures -->" and "<!-- end of figures -->":
# BENCHMARKING.md has no figure that was typed.

set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath "${1:?}")
file=${2-}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

find "$out" -maxdepth 1 -name '*.jsonl' -print0 | sort -z |
  xargs -0 -r cat | jq -s . >"$out/raw.json"
for name in machine latency zones clients; do
  [ ! -s "$out/$name.md" ] ||
    jq -Rs --arg name "$name" '{($name): rtrimstr ("\n")}' "$out/$name.md"
done | jq -s 'add // {}' >"$tmp/text"
jq -r --argjson text "$(cat "$tmp/text")" -f "$here/report.jq" "$out/raw.json" \
  >"$out/report.md"

#----------------------------------------------------------------------
# Plots: requests a second by load, medians with their range

# plot TABLE TITLE
plot ()
{
  jq -e --arg table "$1" 'any (.table == $table)' "$out/raw.json" >"$tmp/is" ||
    return 0
  # Columns: load, then for each server median, least and most.
  jq -r --arg table "$1" '
    def median: sort | .[length / 2 | floor];
    map (select (.table == $table)) as $rows |
    def names(f): reduce ($rows[] | f) as $x ([];
      if index ([$x]) then . else . + [$x] end);
    def load: "\(.rw) \(.bs) \(.depth)x\(.connections)";
    names (.server) as $servers |
    (["load"] + ($servers | map (., "-", "-")) | map ("\"\(.)\"") | join (" ")),
    (names (load)[] as $load | ["\"\($load)\""] + ($servers | map (. as $s |
      [$rows[] | select (load == $load and .server == $s) | .rate / 1000] |
      if length == 0 then "0", "0", "0" else
        (median, min, max | tostring) end)) | join (" "))' \
    "$out/raw.json" >"$tmp/data"
  gnuplot <<PLOT
set terminal svg size 1400,600 background "white" font "sans,11"
set output "$out/$1.svg"
set title "$2: thousands of requests a second, medians with least and most"
set style data histograms
set style histogram errorbars linewidth 0.7
set style fill solid 0.8
set xtics rotate by -45
set key outside noenhanced
set grid ytics
set yrange [0:*]
columns = $(head -n 1 "$tmp/data" | xargs -n 1 | wc -l)
plot for [i=2:columns:3] "$tmp/data" using i:i+1:i+2:xtic(1) \
  title columnheader(i)
PLOT
}

if command -v gnuplot >/dev/null; then
  plot null "Null mode"
  plot memory "Memory mode, written before"
  plot batch-null-unix-client "Batched socket I/O, null mode"
  plot batch-null-tcp-client "Batched socket I/O, null mode, TCP"
  plot guest "In a guest"
fi

#----------------------------------------------------------------------

[ -n "$file" ] || exit 0
if [ "$(grep -cx '<!-- \(end of \)\?figures -->' "$file")" != 2 ]; then
  echo "${0##*/}: $file has no place for figures" >&2
  exit 1
fi
awk -v report="$out/report.md" '
  /^<!-- end of figures -->$/ { inside = 0 }
  !inside
  /^<!-- figures -->$/ {
    inside = 1
    while ((getline line <report) > 0) print line
  }' "$file" >"$tmp/file"
cat "$tmp/file" >"$file"
