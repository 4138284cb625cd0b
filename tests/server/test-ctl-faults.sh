#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblkctl badblocks and nullblkctl fault with a real server: every command,
# both forms of what is listed, and that what is refused names the word that is
# wrong and changes nothing.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires jq qemu-io

start_server 8M memory-backed=true devices=2 seed=1

# lists RANGES: nullblkctl has to list exactly these, in both forms.
lists ()
{
  says 0 '' badblocks list "$sock"
  [ "$(paste -sd ' ' "$tmp/out")" = "$1" ] || fail "bad: $(cat "$tmp/out")"
  says 0 '' badblocks list --json "$sock"
  [ "$(jq -r 'map("\(.first)-\(.last)") | join(" ")' "$tmp/out")" = "$1" ] ||
    fail "bad: $(cat "$tmp/out")"
}

# io_fails COMMAND: qemu-io has to fail with EIO.
io_fails ()
{
  if qemu-io -f raw -c "$1" "$uri" >"$tmp/io" 2>&1; then
    fail "this should have failed: $1"
  fi
  grep -q 'Input/output error' "$tmp/io" || fail "$1: $(cat "$tmp/io")"
}

# Bad blocks.
lists ''
says 0 '' badblocks add "$sock" 8-15 100 2048-4095
lists '8-15 100-100 2048-4095'
io_fails 'read 4K 512'
io 'read 0 4K' 'write 8K 4K'
says 0 '' badblocks del "$sock" 8-11 3000
lists '12-15 100-100 2048-2999 3001-4095'
says 0 '' badblocks list --device nullb1 "$sock"
[ ! -s "$tmp/out" ] || fail "nullb1 has bad blocks, too"
for bad in x 3- -3 3-4x '' 3,4 +3-4 '3 - 4' $'3\nseed=2'; do
  says 2 "nullblkctl: badblocks add: *: allowed are sectors, such as 8 or 8-15" \
    badblocks add "$sock" 7 -- "$bad"
done
says 1 'nullblkctl: badblocks add: badblocks=+9-8: *' badblocks add "$sock" 9-8
says 2 'nullblkctl: badblocks add: an argument is missing; *' \
  badblocks add "$sock"
says 2 'nullblkctl: 7: one argument too many; *' badblocks clear "$sock" 7
lists '12-15 100-100 2048-2999 3001-4095'
says 0 '' badblocks clear "$sock"
lists ''
io 'read 4K 512'

# Rules.
says 0 '' fault list "$sock"
[ "$(wc -l <"$tmp/out")" = 1 ] || fail "there are rules: $(cat "$tmp/out")"
says 0 '' fault add "$sock" 'op=write range=1M+64K error=EIO' \
  'name=third op=write after=2 count=1 error=EIO'
io 'write 0 4K'
io_fails 'write 1M 4K'
io_fails 'write 0 4K'
io 'write 0 4K' 'read 1M 4K'
prints ' *1 - +1 +1 no +op=write range=1M\+64K error=EIO' fault list "$sock"
prints ' *2 third +4 +1 yes +name=third op=write after=2 count=1 error=EIO' \
  fault list "$sock"
prints 'fault +yes +op=write range=1M\+64K error=EIO' get "$sock"
prints 'fault +yes +name=third op=write after=2 count=1 error=EIO' get "$sock" fault
! grep fault-delete "$tmp/out" || fail "fault-delete is no setting"
says 0 '' get --json "$sock" fault
jq -e '. == {"fault": {"live": true, "value": [
  "op=write range=1M+64K error=EIO",
  "name=third op=write after=2 count=1 error=EIO"]}}' "$tmp/out" >"$tmp/jq" ||
  fail "$(cat "$tmp/out")"
says 0 '' fault list --json "$sock"
jq -e '. == [
  {"id": 1, "name": null, "rule": "op=write range=1M+64K error=EIO",
   "evaluated": 1, "hits": 1, "spent": false},
  {"id": 2, "name": "third",
   "rule": "name=third op=write after=2 count=1 error=EIO",
   "evaluated": 4, "hits": 1, "spent": true}]' "$tmp/out" >"$tmp/jq" ||
  fail "$(cat "$tmp/out")"

# Each error names the wrong word; the first rule, which is right, is not added.
refused ()
{
  says 1 "nullblkctl: fault add: $2" fault add "$sock" error=EIO "$1"
}
refused 'op=wirte error=EIO' '*op=wirte*'
refused 'op=write range=1M error=EIO' "*'range=1M'*"
refused 'op=write rate=200% error=EIO' "*'rate=200%'*"
refused 'every=0 error=EIO' "*'every=0'*"
refused 'after=-1 error=EIO' "*'after=-1'*"
refused 'count=0 error=EIO' "*'count=0'*"
refused 'from=2 error=EIO' "*'from=2'*"
refused 'for=0 error=EIO' "*'for=0'*"
refused 'for=86401s error=EIO' "*'for=86401s'*"
refused 'zones=3-1 error=EIO' "*'zones=3-1'*"
refused 'zones=1 range=0+1 error=EIO' '*a rule has one of them'
refused 'op=flush range=0+1 error=EIO' '*a flush has no offset*'
refused 'device=nullb2 error=EIO' '*device=nullb2*'
refused 'name=3 error=EIO' "*'name=3'*"
refused 'name=all error=EIO' "*'name=all'*"
refused 'error=EBADF' "*'error=EBADF'*"
refused 'delay=fast' "*'delay=fast'*"
refused 'corrupt=much' "*'corrupt=much'*"
refused 'op=read corrupt=stale' '*corrupt=stale*'
refused 'eror=EIO' '*eror=EIO*'
refused 'op=read op=write hang' '*op=write*'
refused 'error=EIO hang' '*hang*'
refused 'op=read' '*op=read*'
refused 'name=third error=EIO' '*third*'
says 2 'nullblkctl: fault add: hang?seed=2: allowed is one line' \
  fault add "$sock" $'hang\nseed=2'
says 1 'nullblkctl: fault del: *nosuch*' fault del "$sock" third nosuch
says 1 'nullblkctl: fault del: *7*' fault del "$sock" 1 7
says 2 'nullblkctl: fault del: allowed are rules *--all' fault del "$sock"
says 2 'nullblkctl: fault del: allowed are *--all' fault del --all "$sock" 1
says 2 'nullblkctl: fault: there is no such command; *' fault
says 2 'nullblkctl: kill: there is no such command; *' fault kill "$sock"
says 0 '' fault list "$sock"
[ "$(wc -l <"$tmp/out")" = 3 ] || fail "other rules: $(cat "$tmp/out")"

# Rules are deleted by number, by name, and all; numbers are not used again.
says 0 '' fault del "$sock" 1
io 'write 1M 4K'
says 0 '' fault add "$sock" 'op=flush error=EIO' 'op=read delay=0'
prints ' *4 - +0 +0 no +op=read delay=0' fault list "$sock"
says 0 '' fault del "$sock" third 3
says 0 '' --json fault list "$sock"
[ "$(jq -c 'map(.id)' "$tmp/out")" = '[4]' ] || fail "$(cat "$tmp/out")"
says 0 '' fault del --all "$sock"
says 0 '' --json fault list "$sock"
jq -e '. == []' "$tmp/out" >"$tmp/jq" || fail "$(cat "$tmp/out")"

# A rule is shown whole, however long it is.
spans=$(seq -s, 1000000000000000000 1000000000000000040)
says 0 '' fault add "$sock" "op=read zones=$spans count=3 error=EIO"
prints " *5 - +0 +0 no +op=read zones=$spans count=3 error=EIO" \
  fault list "$sock"
says 0 '' fault del --all "$sock"

# More than the documents have room for.
rules=()
for ((i = 0; i < 500; i++)); do
  rules+=("op=write range=${i}K+4K count=1000 delay=lognormal:p50=80us,p99=2ms")
done
if "$ctl" fault add "$sock" "${rules[@]}" "${rules[@]}" 2>"$tmp/err"; then
  fail "there is room for a thousand rules at once"
fi
grep -qx 'nullblkctl: fault add: 7[0-9]* bytes: allowed are 65536 at once' \
  "$tmp/err" || fail "$(cut -c 1-200 "$tmp/err")"
for ((i = 0; i < 8; i++)); do
  "$ctl" fault add "$sock" "${rules[@]}"
done
says 1 'nullblkctl: fault list: they are too many to be listed' \
  fault list "$sock"
says 0 '' fault del --all "$sock"
stop_server
