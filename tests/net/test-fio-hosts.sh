#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# CI.md's recipe for several hosts: fio on two hosts, which a third one commands,
# writes to one server and finds every block as it wrote it.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires fio jq
fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"

hosts_of_load=("$client_host" "$prefix-second")
new_host "${hosts_of_load[1]}" 2
serve 64M memory-backed=true
# fio's own port; whoever commands is on the server's host.
for i in 0 1; do
  ip netns exec "${hosts_of_load[i]}" fio --server="ip:10.77.$((i + 1)).2" \
    >"$tmp/fio-$i" 2>&1 &
  clients+=($!)
  # listens: does it?
  listens ()
  {
    ip netns exec "${hosts_of_load[i]}" ss -Hltn 'sport = :8765' | grep . >/dev/null
  }
  wait_until 60 listens || fail "fio --server: $(cat "$tmp/fio-$i")"
done

# job NUMBER: the one in CI.md, for a smaller device.
job ()
{
  # shellcheck disable=SC2016 # no commands
  sed -n '/^[`]``ini$/,/^[`]``$/p' "$top_srcdir/CI.md" |
    sed "/^\`\`\`/d; s,SERVER,10.77.$(($1 + 1)).1,
         s/^offset=.*/offset=$((32 * $1))M/; s/^size=.*/size=32M/"
}

commands=()
for i in 0 1; do
  job "$i" >"$tmp/host$i.fio"
  commands+=(--client="ip:10.77.$((i + 1)).2" "$tmp/host$i.fio")
done
# fio cannot be told at which end to look, so it has a bound.
"${on_server[@]}" timeout --foreground 200 fio \
  --output-format=json "${commands[@]}" >"$tmp/out" 2>&1 || fail "fio: $(cat "$tmp/out")"
sed -n '/^{/,$p' "$tmp/out" >"$tmp/json"
jq -e '[.client_stats[] | select (.jobname == "load")] | length == 2 and
  all(.error == 0 and .write.io_kbytes == 32768 and
      .read.io_kbytes == 32768)' "$tmp/json" >/dev/null ||
  fail "not two hosts, all written and read: $(cat "$tmp/out")"

# Both have written to this server, each to its own half.
map=$("${on_client[@]}" nbdinfo --map --totals "nbd://$ipv4")
grep -E '^ *67108864 +100\.0%.* data' <<<"$map" >/dev/null ||
  fail "not all is written: $map"
