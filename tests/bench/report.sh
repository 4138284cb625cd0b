#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Makes tables and plots of raw figures.
#
#   tests/bench/report.sh OUT [FILE]
#
# OUT is the directory into which the measurements have put their rows, or an
# earlier run as results/ keeps it, with raw.json.xz.  It gets plots, and
# report.md with every figure.  FILE, which is BENCHMARKING.md, gets the tables
# of summary.jq between its lines "<!-- figures -->" and "<!-- end of figures
# -->".

set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath "${1:?}")
file=${2-}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

if [ -e "$out/raw.json.xz" ]; then
  xz -dc "$out/raw.json.xz" >"$tmp/raw.json"
else
  find "$out" -maxdepth 1 -name '*.jsonl' -print0 | sort -z |
    xargs -0 -r cat | jq -s . >"$tmp/raw.json"
  cp "$tmp/raw.json" "$out/raw.json"
fi
for name in machine latency zones engines clients; do
  [ ! -s "$out/$name.md" ] ||
    jq -Rs --arg name "$name" '{($name): rtrimstr ("\n")}' "$out/$name.md"
done | jq -s 'add // {}' >"$tmp/text"

# tables PROGRAM: print tables as Markdown.
tables ()
{
  jq -L "$here" -r --argjson text "$(cat "$tmp/text")" -f "$here/$1" \
    "$tmp/raw.json"
}

{
  echo "# Every figure of a run"
  echo
  echo "Written by \`tests/bench/report.sh\`; BENCHMARKING.md says how to read it."
  echo
  tables report.jq
} >"$out/report.md"

#----------------------------------------------------------------------
# Plots: requests a second, medians with least and most

# panel SERVERS TITLE: add a panel with the bars that stdin has (see plots.jq),
# unless none of them was measured.
panels=0
panel ()
{
  local data

  data=$tmp/panel-$((panels + 1))
  jq -L "$here" -r --arg servers "$1" --arg bars "$(cat)" \
    -f "$here/plots.jq" "$tmp/raw.json" >"$data"
  # A row is a label and figures.
  awk -F'" ' 'NR > 1 { split ($2, n, " "); for (i in n) sum += n[i] }
    END { exit !sum }' "$data" || return 0
  panels=$((panels + 1))
  title[panels]=$2
}

# legend COLOUR...: print the commands that draw a legend over all panels, which
# gnuplot's own cannot be.
legend ()
{
  head -n 1 "$tmp/panel-1" | xargs -n 1 | grep -v -e '^-$' -e '^load$' |
    paste - <(printf '%s\n' "$@") | awk -F'\t' '
      { name[NR] = $1; colour[NR] = $2; all += at[NR] = 0.0067 * length ($1) + 0.035 }
      END {
        x = 0.5 - all / 2
        for (i = 1; i <= NR; x += at[i++]) {
          printf "set object rectangle from screen %f,0.825 to screen %f,0.855 " \
            "fillcolor rgb \"%s\" fillstyle solid noborder\n", x, x + 0.011, colour[i]
          printf "set label \"%s\" at screen %f,0.84 noenhanced\n", name[i], x + 0.015
        }
      }'
}

# draw NAME TITLE COLOUR...: draw the panels side by side, with a colour for
# each server.
draw ()
{
  local i n=$panels last colours=("${@:3}")

  panels=0
  [ "$n" -gt 0 ] && command -v gnuplot >/dev/null || return 0
  last=$((3 * ${#colours[@]} - 1))
  {
    cat <<PLOT
set terminal svg size 1100,420 background "white" font "sans,13"
set output "$out/$1.svg"
set multiplot layout 1,$n title "$2" font "sans,16" \
  margins 0.06,0.985,0.15,0.73 spacing 0.06
set style data histograms
set style histogram errorbars gap 1 linewidth 1
set style fill solid 1 noborder
set boxwidth 0.9
set bars 0.4
set errorbars linecolor rgb "#444444"
set border 1 linecolor rgb "#888888"
set tics nomirror scale 0 textcolor rgb "#222222"
set grid ytics linetype 1 linecolor rgb "#dddddd"
set yrange [0:*]
set xtics offset 0,0.3
set key off
PLOT
    for ((i = 1; i <= n; i++)); do
      echo "set xrange [-0.6:$(($(wc -l <"$tmp/panel-$i") - 2)).6]"
      echo "set title '${title[i]}' font 'sans,13' offset 0,-0.6"
      if [ "$i" = 1 ]; then
        legend "${colours[@]}"
        echo "set ylabel 'thousand requests/s' offset 1.5"
      else
        echo "unset label; unset object; unset ylabel"
      fi
      printf 'plot '
      for ((column = 2; column <= last; column += 3)); do
        printf "'%s' using %d:%d:%d:xtic(1) title columnheader(%d) " \
          "$tmp/panel-$i" "$column" $((column + 1)) $((column + 2)) "$column"
        printf "linecolor rgb '%s'%s" "${colours[(column - 2) / 3]}" \
          "$( ((column + 3 > last)) || echo ", ")"
      done
      echo
    done
    echo "unset multiplot"
  } | gnuplot
}

grey="#9aa5b1" blue="#6fa8dc" green="#5bb49a" orange="#e8833a"

# speed DEVICE SERVER...: add three panels of the figures of bench/client.
speed ()
{
  local device=$1 servers="${*:2}" shape

  for shape in "4k 32 4=4 KiB, 32 deep, 4 connections" \
               "128k 32 4=128 KiB, 32 deep, 4 connections" \
               "4k 1 1=4 KiB, one at a time"; do
    panel "$servers" "${shape#*=}" <<BARS
read\\nlocal=batch-$device-unix-client randread ${shape%=*}
write\\nlocal=batch-$device-unix-client randwrite ${shape%=*}
read\\nTCP=batch-$device-tcp-client randread ${shape%=*}
write\\nTCP=batch-$device-tcp-client randwrite ${shape%=*}
BARS
  done
}

title=()
speed null nbdkit-null nullblk-serve-unbatched nullblk-serve
draw speed "A null device" "$grey" "$green" "$orange"
speed memory nbdkit-memory-sparse qemu-null-co nullblk-serve
draw memory "A device of RAM" "$grey" "$blue" "$orange"
for shape in "4k 32 2=4 KiB, 32 deep" "128k 32 2=128 KiB, 32 deep" \
             "4k 1 2=4 KiB, one at a time"; do
  panel "null_blk brd nbdkit-null-4 nullblk-serve-4" "${shape#*=}" <<BARS
read=guest randread ${shape%=*}
write=guest randwrite ${shape%=*}
BARS
done
draw guest "In a guest whose processor is emulated: block devices, two jobs" \
  "$blue" "$green" "$grey" "$orange"

#----------------------------------------------------------------------

[ -n "$file" ] || exit 0
if [ "$(grep -cx '<!-- \(end of \)\?figures -->' "$file")" != 2 ]; then
  echo "${0##*/}: $file has no place for figures" >&2
  exit 1
fi
tables summary.jq >"$tmp/summary"
awk -v summary="$tmp/summary" '
  /^<!-- end of figures -->$/ { inside = 0 }
  !inside
  /^<!-- figures -->$/ {
    inside = 1
    while ((getline line <summary) > 0) print line
  }' "$file" >"$tmp/file"
cat "$tmp/file" >"$file"
