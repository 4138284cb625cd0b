#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblkctl with a zoned device: reports in both forms, every command to one
# zone, to several and to all, what it says of those that fail, zones in
# statistics, and the map of write pointers on a terminal.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires jq qemu-io

start_server 16M memory-backed=true zoned=true zone-size=1M zone-nr-conv=2 \
  zone-capacity=768K zone-max-open=3 zone-max-active=5

# conds: print the letters of all zones' conditions.
conds ()
{
  "$ctl" zones report --json "$sock" >"$tmp/json"
  jq -r 'map(.cond) | join(" ")' "$tmp/json"
}

# are CONDITIONS: the sequential zones have to be in these, and the rest empty.
are ()
{
  local is expected="nw nw $1"

  while [ ${#expected} -lt 47 ]; do
    expected+=" em"
  done
  is=$(conds)
  [ "$is" = "$expected" ] || fail "zones are $is, not $expected"
}

# zones WORD...: run it, which has to succeed.
zones ()
{
  says 0 '' zones "$1" "$sock" "${@:2}"
}

# refuses REASON WORD...
refuses ()
{
  says 1 "nullblkctl: zones $2: $1" zones "$2" "$sock" "${@:3}"
}

# Reports, with zbd's words and digits.
io 'write 3M 4K'
says 0 '' zones report "$sock"
[ "$(wc -l <"$tmp/out")" = 16 ] || fail "$(cat "$tmp/out")"
line='Zone 00001: cnv, ofst 00000001048576, len 00000001048576'
prints "$line, cap 00000001048576" zones report "$uri"
line='Zone 00003: swr, ofst 00000003145728, len 00000001048576'
line+=', cap 00000000786432, wp 00000003149824, oi, non_seq 0, reset 0'
prints "$line" zones report "$sock"
says 0 '' zones report --from 3 --count 1 "$sock"
[ "$(cat "$tmp/out")" = "$line" ] || fail "$(cat "$tmp/out")"
says 0 '' zones report --cond cl,oi,nw "$sock"
[ "$(cut -c 1-15 "$tmp/out" | tr '\n' ' ')" = \
  "Zone 00000: cnv Zone 00001: cnv Zone 00003: swr " ] || fail "$(cat "$tmp/out")"
says 0 '' zones report --from 4 --count 9 --cond oi "$sock"
[ ! -s "$tmp/out" ] || fail "$(cat "$tmp/out")"
says 0 '' --json zones report --cond fu "$sock"
jq -e '. == []' "$tmp/out" >"$tmp/jq" || fail "$(cat "$tmp/out")"
says 0 '' zones report --json --from 1 --count 3 --cond nw,oi "$sock"
jq -e '. == [
  {"zone": 1, "type": "cnv", "ofst": 1048576, "len": 1048576, "cap": 1048576,
   "wp": null, "cond": "nw"},
  {"zone": 3, "type": "swr", "ofst": 3145728, "len": 1048576, "cap": 786432,
   "wp": 3149824, "cond": "oi"}]' "$tmp/out" >"$tmp/jq" ||
  fail "$(cat "$tmp/out")"

# Commands, to zones and ranges in any order.
zones close 3
are 'em cl'
zones open 3
zones open 5 4
are 'em oe oe oe'
zones finish 5 6-7 3
are 'em fu oe fu fu fu'
zones reset 4 3 5-7
are em
zones readonly 8
zones offline 9-10
are 'em em em em em em ro ol ol'
wp=$(jq -c '[.[8,9,2].wp]' "$tmp/json")
[ "$wp" = '[null,null,2097152]' ] || fail "$wp"
line='Zone 00008: .*, wp --------------, ro, non_seq 0, reset 0'
prints "$line" zones report "$sock"
zones readonly 8
zones offline 10 9
are em

# A zone that is named twice would be reset: nothing is done.  Other commands may
# name it twice.
for command in readonly offline; do
  for ranges in '3-5 4' '4 3-5' '3-4 4-5' '4 4' '4-6 9 3-4'; do
    # shellcheck disable=SC2086 # words
    says 2 "nullblkctl: zones $command: *: both have zone 4, and a second *" \
      zones "$command" "$sock" $ranges
  done
done
says 2 '*: 3-5 and 4: both have zone 4, and a second command would reset it: *' \
  zones readonly "$sock" 3-5 4
are em
zones open 3 3
zones reset 3 2-4 3
are em

# What fails, and why; the zones before it are done.
refuses 'zone 2 is empty: only an open zone can be closed' close 2
zones finish 7
refuses 'zone 7 is full: only an open zone can be closed' close 7
refuses "zone 7 is full: it must be reset before it can be opened; *done" \
  open 6-9
are 'em em em em oe fu'
refuses 'zone 1 is conventional: only sequential zones take commands' finish 1
refuses 'zone 0 is conventional: only sequential zones take commands' \
  readonly 0-3
zones open 4
# A zone that is opened and closed again is empty; it is not taken for the one
# that has failed.
refuses 'zone 5 is empty: only an open zone can be closed; *done' close 4-6
are 'em em em em oe fu'
zones readonly 8
zones offline 9
refuses 'zone 8 is read-only: *zones readonly*' reset 8
refuses 'zone 9 is offline: *zones offline*' open 9
zones open 4-5
refuses 'zone 10 is empty: as many * zone-max-open *' open 10
refuses 'zone 11 is empty: as many * zone-max-open *' finish 11
refuses 'zone 16: there are 16 zones, from 0 on' reset 2 3-16
refuses 'zone 99: there are 16 zones, from 0 on' report --from 99
are 'em em oe oe oe fu ro ol'
says 2 'nullblkctl: zones reset: 3-2: allowed are zones, *' \
  zones reset "$sock" 3-2
for bad in x 3- -3 3-4x '' 3,4 99999999999999999999; do
  says 2 "nullblkctl: zones reset: $bad: allowed are zones, *" \
    zones reset "$sock" -- "$bad"
done
says 2 'nullblkctl: zones open: allowed are zones, *--all' zones open "$sock"
says 2 'nullblkctl: zones open: allowed are *' zones open --all "$sock" 3
says 2 'nullblkctl: nosuch: there is no such command; *' zones nosuch "$sock"
says 2 'nullblkctl: zones: there is no such command; *' zones
says 2 'nullblkctl: zones open: a URI or socket is missing; *' zones open
says 2 'nullblkctl: --cond: em,: allowed are *' --cond em, zones report "$sock"
says 2 'nullblkctl: --from: it is for zones report; *' --from 1 top "$sock"
says 2 'nullblkctl: --all: it is for zones reset, *' --all get "$sock"

# --all is for the zones that can take the command, and no others.
zones close --all
are 'em em em em em fu ro ol'
io 'write 2M 4K' 'write 3M 4K' 'write 4M 4K'
zones open 5
are 'cl oi oi oe em fu ro ol'
zones close --all
are 'cl cl cl em em fu ro ol'
zones open --all
are 'oe oe oe em em fu ro ol'
zones close 3
zones finish --all
are 'fu fu fu em em fu ro ol'
zones reset --all
are 'em em em em em em ro ol'
"$ctl" stats --json "$sock" >"$tmp/out"
jq -e '.written_blocks == 0 and .zones.offline == 1' "$tmp/out" >"$tmp/jq" ||
  fail "$(cat "$tmp/out")"
zones readonly --all
are 'ro ro ro ro ro ro ro ol ro ro ro ro ro ro'
zones offline --all
are 'ol ol ol ol ol ol ol ol ol ol ol ol ol ol'
zones offline 2-15
are em
says 0 '' set "$sock" read-only=true
refuses 'the device is read-only' close 2-3
refuses 'zones=reset: the device is read-only' reset --all
says 0 '' set "$sock" read-only=false

# Statistics.
zones finish 15
io 'write 2M 384K' 'write 3M 768K'
text='zones 16: 2 conventional, 11 empty, 1 implicitly open, 2 full'
prints "$text" stats "$sock"
says 0 '' stats --prometheus "$sock"
grep -qx 'nullblk_zones{device="nullb0",condition="empty"} 11' "$tmp/out" ||
  fail "$(cat "$tmp/out")"
says 0 '' top --count 1 "$sock"
grep -q " memory 1.12M $text\$" "$tmp/out" || fail "$(cat "$tmp/out")"

# The map.
zones readonly 4
zones offline 5
if command -v tmux; then
  in_tmux=(env -u TMUX TERM=screen tmux -S "$tmp/tmux" -f /dev/null)
  end_tmux ()
  {
    "${in_tmux[@]}" kill-server 2>/dev/null
  }
  at_exit+=(end_tmux)
  has ()
  {
    "${in_tmux[@]}" capture-pane -p -t top | grep -E -- "$1" >/dev/null
  }
  shows ()
  {
    wait_until 60 has "$1" ||
      fail "no '$1': $("${in_tmux[@]}" capture-pane -p -t top)"
  }

  "${in_tmux[@]}" new-session -d -s top -x 80 -y 24 "$ctl" top "$sock"
  shows '^zones 16: 2 conventional, 9 empty, 1 implicitly open, 2 full, 1 read'
  shows '^1 zone a letter: \. empty '
  shows '^  cc5#rx\.{9}#$'
  zones reset 3 15
  io 'write 6M 4K' 'write 2432K 376K'
  shows '^  cc9\.rx1\.{9}$'
  # Several zones a letter: 16 in two rows of 4.
  "${in_tmux[@]}" resize-window -t top -x 8 -y 24
  shows '^2 zones'
  shows '^  c4r1$'
  shows '^  \.\.\.\.$'
  # The terminal has no room for a map.
  "${in_tmux[@]}" resize-window -t top -x 80 -y 21
  shows '^zones 16: 2 conventional, 10 empty'
  without_map ()
  {
    has '^q quit' && ! has 'a letter'
  }
  wait_until 60 without_map || fail "there is no room for a map"
  "${in_tmux[@]}" send-keys -t top q
  ended ()
  {
    ! "${in_tmux[@]}" has-session -t top 2>/dev/null
  }
  wait_until 60 ended || fail "it does not end"
else
  leave_out "tmux is missing"
fi
stop_server

# 100,000 zones: commands and reports are split into several requests.
start_server 1T zoned=true zone-size=8M
says 0 '' zones finish "$sock" 0-99999
says 0 '' zones report --cond fu "$sock"
[ "$(wc -l <"$tmp/out")" = 100000 ] || fail "not all are full"
[[ $(tail -n 1 "$tmp/out") == 'Zone 99999: '* ]] || fail "others are full"
refuses 'zone 99999 is full: it must be reset before it can be opened' \
  open 99999-131071
prints 'zones 131072: 31072 empty, 100000 full' stats "$sock"
zones reset --all
says 0 '' zones report --cond fu "$sock"
[ ! -s "$tmp/out" ] || fail "some are full"
stop_server

# No zones.
start_server 1M
says 1 'nullblkctl: zones report: nullb0.zones: there is no *zoned=true *' \
  zones report "$sock"
says 1 'nullblkctl: zones open: nullb0.zones: there is no *zoned=true *' \
  zones open "$sock" 3
says 1 'nullblkctl: zones reset: zones=reset: the device has no zones *' \
  zones reset --all "$sock"

# A block device is no server.
block=$(find /dev -type b -print -quit)
if [ -z "$block" ]; then
  block=$tmp/block
  mknod "$block" b 43 0 2>"$tmp/err" || leave_out "there is no block device"
fi
if [ -b "$block" ]; then
  says 1 "nullblkctl: zones reset: $block is a block device: *blkzone(8))" \
    zones reset "$block" 3
fi
