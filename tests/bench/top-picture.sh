#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Makes the picture of `nullblkctl top` that README.md shows.
#
#   tests/bench/top-picture.sh [FILE]      results/top.svg by default
#
# fio reads a real server, a zoned SSD that fails one read in a thousand, at
# random, and writes it in sequence.  After 20 s, what top shows in a terminal
# (of tmux) is drawn as text in an SVG.  Runs in a build tree.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$(dirname "$0")/functions.sh"
picture=$(realpath -m "${1:-$here/results/top.svg}")
columns=90
plan 25
requires nbdkit fio jq nbdinfo perl tmux
ctl=$build/tools/nullblkctl
[ -x "$ctl" ] || die "$build is not a build tree"

# shellcheck disable=SC2317 # trap
end ()
{
  tmux -S "$tmp/tmux" kill-server 2>/dev/null || true
  [ -z "${load_pid-}" ] || kill "$load_pid" 2>/dev/null || true
  clean_up
}
trap end EXIT

serve_ours zns 8G memory-backed=true profile=zns-ssd zone-size=32 \
  zone-capacity=32 zone-nr-conv=8 seed=1 fault='op=read rate=0.1% error=EIO'
socket=$tmp/zns.sock
"$ctl" zones finish "$socket" 8-99 >"$tmp/out"
"$ctl" zones readonly "$socket" 130 131 >"$tmp/out"
"$ctl" zones offline "$socket" 250 >"$tmp/out"

# Random reads, and eight writers of three zones each, one faster than the
# other.
{
  printf '[global]\nioengine=nbd\nuri=%s\nthread=1\n' "${server_uri[zns]}"
  printf 'clocksource=clock_gettime\ntime_based=1\nruntime=60\n'
  printf '[read]\nrw=randread\nbs=4k\niodepth=16\nsize=3G\n'
  printf 'rate_iops=12000\ncontinue_on_error=read\n'
  for i in {0..7}; do
    printf '[write%d]\nrw=write\nbs=64k\niodepth=1\nfsync=128\n' "$i"
    printf 'offset=%dM\nsize=%dM\nrate=%dk\n' $(((100 + 3 * i) * 32)) 96 \
      $((1000 + 450 * i))
  done
} >"$tmp/load.fio"
fio --output="$tmp/fio" "$tmp/load.fio" >"$tmp/out" 2>&1 &
load_pid=$!

# screen: print what is on the terminal, with its attributes.
screen ()
{
  tmux -S "$tmp/tmux" capture-pane -e -p -t top
}

tmux -S "$tmp/tmux" -f /dev/null new-session -d -s top -x $columns -y 26 \
  "exec '$ctl' top '$socket'"
for ((i = 0; ; i++)); do
  screen >"$tmp/screen"
  ! grep -q ' up 2[0-9] s' "$tmp/screen" || break
  kill -0 "$load_pid" 2>/dev/null || die "fio: $(cat "$tmp/out" "$tmp/fio")"
  ((i < 600)) || die "top shows nothing: $(cat "$tmp/screen")"
  sleep 0.1
done

# Draw each line of the terminal as a row of text, whose columns do not depend
# on the font.  top uses one attribute: reverse.
perl -CSD -we '
  use strict;
  my ($w, $h, $left, $top) = (8.4, 18, 16, 52);
  my ($title, $columns) = @ARGV;
  my @lines = <STDIN>;
  chomp @lines;
  my $width = $columns * $w + 2 * $left;
  my $height = @lines * $h + $top + 8;
  sub quote { my $s = shift; $s =~ s/&/&amp;/g; $s =~ s/</&lt;/g; $s }
  print qq(<svg xmlns="http://www.w3.org/2000/svg" width="$width"),
    qq( height="$height" viewBox="0 0 $width $height">\n),
    qq(<rect width="100%" height="100%" rx="10" fill="#1b2129"/>\n),
    qq(<path d="M0 34V10a10 10 0 0 1 10-10h), $width - 20,
    qq(a10 10 0 0 1 10 10v24z" fill="#2c343f"/>\n);
  my $x = 20;
  for my $colour ("#ff5f57", "#febc2e", "#28c840") {
    print qq(<circle cx="$x" cy="17" r="6" fill="$colour"/>\n);
    $x += 20;
  }
  print qq(<g font-family="DejaVu Sans Mono,Menlo,Consolas,monospace"),
    qq( font-size="14" xml:space="preserve">\n),
    qq(<text x=") . $width / 2 . qq(" y="22" fill="#9aa7b5"),
    qq( text-anchor="middle" font-size="13">), quote ($title), qq(</text>\n);
  for my $i (0 .. $#lines) {
    my ($column, $reverse) = (0, 0);
    my $y = $top + $i * $h;
    for my $part (split /(\e\[[0-9;]*m|\cN|\cO)/, $lines[$i]) {
      if ($part =~ /^\e\[(.*)m/) {
        for my $code (split /;/, $1 eq "" ? 0 : $1) {
          $reverse = 1 if $code == 7;
          $reverse = 0 if $code == 0 || $code == 27;
        }
        next;
      }
      next if $part =~ /^[\cN\cO]?$/;
      my $at = $left + $column * $w;
      my $long = length ($part) * $w;
      $column += length $part;
      if ($reverse) {
        print qq(<rect x="$at" y="), $y - 4, qq(" width="$long" height="$h"),
          qq( fill="#c9d4df"/>\n);
      }
      # Each word at its place: fonts differ in width.
      while ($part =~ /(\S+(?: \S+)*)/g) {
        printf qq(<text x="%g" y="%g" fill="%s" textLength="%g">%s</text>\n),
          $at + $-[1] * $w, $y + 10, $reverse ? "#1b2129" : "#dce5ee",
          length ($1) * $w, quote ($1);
      }
    }
  }
  print "</g>\n</svg>\n";
' "nullblkctl top" "$columns" <"$tmp/screen" >"$tmp/picture"
mv "$tmp/picture" "$picture"
sed 's/\x1b[^m]*m//g' "$tmp/screen"
