#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblkctl power with a real server: what each command does to the device,
# now and at a later write, what it says of it, and what is refused.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires jq qemu-io nbdcopy

start_server 8M memory-backed=true cache-size=1M seed=1

# is JQ-CONDITION: it has to be true of the JSON of power status.
is ()
{
  says 0 '' power status --json "$sock"
  jq -e "$1" "$tmp/out" >"$tmp/jq" || fail "not $1: $(cat "$tmp/out")"
}

# fails_to REQUEST: qemu-io has to fail.
fails_to ()
{
  if qemu-io -f raw -c "$1" "$uri" >"$tmp/io" 2>&1; then
    fail "this should have failed: $1"
  fi
}

is '. == {"on": true, "volatile": 0, "undo": 0, "writes_left": 0, "cuts": 0,
  "lost": 0, "kept": 0}'
prints 'power on' power status "$sock"

# nbdcopy does not flush.
random_file "$tmp/content" "$(new_seed)" 65536
nbdcopy "$tmp/content" "$uri"
is '.on and .volatile == 65536'
prints 'volatile 65536 bytes, undo [0-9]+ bytes' power status "$sock"

# All is lost, or nothing, and no request succeeds until power is back on.
says 0 '' power cut --lose all "$sock"
prints 'power cut' power status "$sock"
is '(.on | not) and .cuts == 1 and .lost > 0 and .kept == 0 and .volatile == 0'
fails_to 'read 0 4K'
says 0 '' power cut "$sock"
is '.cuts == 1'
says 0 '' power on "$sock"
says 0 '' power on "$sock"
prints 'cuts 1, the last lost [1-9][0-9]* blocks and kept 0' power status "$sock"
io 'read -P 0 0 64K'
nbdcopy "$tmp/content" "$uri"
says 0 '' --lose none power cut "$sock"
says 0 '' power on "$sock"
is '.on and .lost == 0 and .kept > 0'
nbdcopy "$uri" "$tmp/copy"
cmp -n 65536 "$tmp/content" "$tmp/copy"

# A cut at a later write, which can be called off.
says 0 '' power cut --after 3 --lose all "$sock"
prints 'power on, to be cut at write 3' power status "$sock"
io 'write 0 4K'
is '.on and .writes_left == 2'
says 0 '' power cut --after 0 "$sock"
io 'write 0 4K' 'write 0 4K' 'write 0 4K'
is '.on and .writes_left == 0'
says 0 '' power cut --after 9223372036854775807 "$sock"
prints 'power on, to be cut at write 9223372036854775807' power status "$sock"
says 1 '*: power-cut-after=9223372036854775808: allowed is a whole number *' \
  power cut --after 9223372036854775808 "$sock"
says 0 '' power cut --after 2 "$sock"
io 'write 0 4K'
fails_to 'write 0 4K'
is '.on | not'
says 0 '' power on "$sock"

# Clients can be dropped meanwhile, where nbdkit can drop them.
if "$NBDKIT" "$PLUGIN" --dump-plugin |
   grep -x nullblk_disconnect=yes >/dev/null; then
  says 0 '' set "$sock" power-off-reply=disconnect power=cut
  fails_to 'read 0 4K'
  ! grep -q 'endpoint shutdown' "$tmp/io" || fail "it got an answer"
  says 0 '' set "$sock" power-off-reply=error
  fails_to 'read 0 4K'
  grep -q 'endpoint shutdown' "$tmp/io" || fail "not ESHUTDOWN: $(cat "$tmp/io")"
  says 0 '' power on "$sock"
  io 'read 0 4K'
else
  says 1 '*: power-off-reply=disconnect: this plugin cannot disconnect *' \
    set "$sock" power-off-reply=disconnect
fi

# Refused commands change nothing.
says 1 'nullblkctl: power cut: lose=some: allowed is random, all or none' \
  power cut --lose some "$sock"
for seed in x 0; do
  says 1 "nullblkctl: power cut: power-seed=$seed: allowed is a whole number *" \
    power cut --seed $seed "$sock"
done
says 1 'nullblkctl: power cut: power-cut-after=-1: allowed is a whole *' \
  power cut --after -1 "$sock"
says 1 'nullblkctl: power cut: lose: allowed is with *' \
  power cut --after 0 --lose all "$sock"
says 1 'nullblkctl: power cut: lose=all?power=cut: allowed is one line' \
  power cut --lose $'all\npower=cut' "$sock"
says 2 'nullblkctl: --lose: it is for power cut; *' power on --lose all "$sock"
says 2 'nullblkctl: now: one argument too many; *' power cut "$sock" now
says 2 'nullblkctl: off: there is no such command; *' power off "$sock"
is '.on'

# The same seed loses the same blocks again, from the start of the server on.
stop_server
for file in a b; do
  start_server 8M memory-backed=true cache-size=1M seed=1
  nbdcopy --connections=1 --requests=1 "$tmp/content" "$uri"
  says 0 '' power cut --lose random --seed 7 "$sock"
  says 0 '' power on "$sock"
  is '.lost > 0 and .kept > 0'
  nbdcopy "$uri" "$tmp/$file"
  stop_server
done
cmp "$tmp/a" "$tmp/b"

# One device's power is not another's.
start_server 8M memory-backed=true devices=2
says 0 '' power cut --device nullb1 "$sock"
prints 'power on' power status "$sock"
prints 'power cut' power status "$(uri_of nullb1)"
io 'write 0 4K'
stop_server
