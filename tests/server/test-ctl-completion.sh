#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# bash's completion of nullblkctl's command line.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires nbdcopy
"$NBDKIT" file --version >"$tmp/out" 2>&1 || skip "nbdkit has no file plugin"
start_server 8M
PATH=$top_builddir/tools:$PATH
# shellcheck source=../../tools/ctl/nullblkctl.bash
source "$top_srcdir/tools/ctl/nullblkctl.bash"

# completes "WORDS" WORD...: bash has to offer WORDS behind nullblkctl WORD...
completes ()
{
  COMP_WORDS=(nullblkctl "${@:2}")
  COMP_CWORD=$(($# - 1))
  COMPREPLY=()
  _nullblkctl
  [ "${COMPREPLY[*]}" = "$1" ] || fail "${*:2}: '${COMPREPLY[*]}', not '$1'"
}

completes "list get set stats top reset-stats zones badblocks fault power \
mark replay" ""
completes "set stats" s
completes "--json" --j
completes "$sock" get "$tmp/so"
mapfile -t all < <("$top_builddir/tests/unit/list-parameters" |
  awk -F '\t' '$1 == "parameter" && $5 == "live" { print $2 "=" }')
[ ${#all[@]} -gt 2 ] || fail "few parameters are live: ${all[*]}"
completes "${all[*]}" set "$sock" ""
completes "read-only=" set "$sock" read-o
completes "memory-backed memory-limit" get "$sock" mem
completes "memory-limit=" --device nullb0 set "$sock" read-only=1 mem
completes "" list "$sock" ""
# On a terminal bash splits URIs that are not quoted.
COMP_LINE="nullblkctl get nbd+unix:///?socket=$sock mem"
completes "memory-backed memory-limit" get nbd+unix : ///?socket = "$sock" mem
COMP_LINE="nullblkctl get 'nbd+unix:///?socket=$sock' mem"
completes "memory-backed memory-limit" get "'nbd+unix:///?socket=$sock'" mem
COMP_LINE="nullblkctl set $sock seed=1 mem"
completes "memory-limit=" set "$sock" seed = 1 mem
COMP_LINE="nullblkctl:"
completes "" :
unset COMP_LINE
completes "report reset readonly" zones re
completes "report reset open close finish readonly offline" \
  --from 3 --cond em zones ""
completes "$sock" zones reset "$tmp/so"
completes "" zones reset "$sock" ""
completes "random all none" power cut --lose ""
completes "cut on status" --lose all power ""
says 0 '' fault add "$sock" error=EIO 'name=slow delay=1s'
completes "1 slow" fault del "$sock" ""
completes "" fault list "$sock" ""
says 0 '' fault del "$sock" 1 slow

# A server's text is neither run nor offered to be run.  pad FILE SIZE TEXT:
# make a file of TEXT with newlines up to SIZE, as control exports are.
pad ()
{
  printf '%s' "$3" >"$1"
  head -c $(($2 - ${#3})) /dev/zero | tr '\0' '\n' >>"$1"
}

says 0 '' fault add "$sock" 'name=A error=EIO' 'name=B error=EIO' \
  'name=C error=EIO' 'name=D error=EIO' 'name=slow delay=1s'
nbdcopy "$(uri_of nullb0.stats)" "$tmp/stats"
stop_server
run="\$(touch\${IFS}$tmp/run)"
tick="\`touch\${IFS}$tmp/run\`"
stats=$(sed "s,\"A\",\"$run\",; s,\"B\",\"$tick\",; s,\"C\",\">$tmp/run\",
  s,\"D\",\"slow;id\"," "$tmp/stats")
mkdir "$tmp/exports"
truncate -s 8M "$tmp/exports/nullb0"
pad "$tmp/exports/nullb0.stats" 1048576 "$stats"
pad "$tmp/exports/nullb0.config" 65536 \
  "$(printf '%s\n' '# live: size' "$run=1" "$tick=1" 'a;id=1' 'size=8388608')"
PLUGIN='file' start_server dir="$tmp/exports"
says 0 '' fault list "$sock"
grep -F touch "$tmp/out" >/dev/null || fail "$(cat "$tmp/out")"
completes slow fault del "$sock" ""
says 0 '' get "$sock"
grep -F touch "$tmp/out" >/dev/null || fail "$(cat "$tmp/out")"
completes size get "$sock" ""
completes size= set "$sock" ""
[ ! -e "$tmp/run" ] || fail "completion has run what the server sent"

# All commands and options are offered.
"$ctl" --help >"$tmp/help"
mapfile -t all < <(sed -nE 's/^  ([a-z-]+)( [a-z]+)? URI.*/\1/p' "$tmp/help" |
  uniq)
completes "${all[*]}" ""
for first in zones badblocks fault power; do
  mapfile -t all < <(sed -nE "s/^  $first ([a-z]+) URI.*/\\1/p" "$tmp/help")
  [ ${#all[@]} -gt 2 ] || fail "few commands: ${all[*]}"
  completes "${all[*]}" "$first" ""
done
mapfile -t all < <(grep -oE -- '--[a-z]+' "$tmp/help" | grep -v -- '--help$' |
  awk '!seen[$0]++')
for option in "${all[@]}"; do
  completes "$option" "$option"
done
