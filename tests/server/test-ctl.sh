#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblkctl with a real server: every command in every form, what it refuses,
# and its exit status.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires jq qemu-io perl

start_server 8M memory-backed=true devices=2 memory-limit=1M

prints 'nullb1 +8\.00M +yes +memory-backed block device, 8M' list "$sock"
prints 'nullb0 +8\.00M +yes +memory-backed block device, 8M' list "$uri"
says 0 '' --json list "$sock"
jq -e 'map(.device) == ["nullb0", "nullb1"] and (.[0].size == 8388608) and
  (all(.control))' "$tmp/out" >"$tmp/jq" || fail "$(cat "$tmp/out")"

prints 'read-only +yes +false' get "$sock"
prints 'size +no +8M' get "$sock"
prints 'memory-limit +yes +1M' get "$sock" memory_limit
[ "$(wc -l <"$tmp/out")" = 2 ] || fail "more than asked for: $(cat "$tmp/out")"
says 0 '' get --json "$sock" size read-only
jq -e '. == {"size": {"value": "8M", "live": false},
  "read-only": {"value": "false", "live": true}}' "$tmp/out" >"$tmp/jq" ||
  fail "$(cat "$tmp/out")"
says 1 'nullblkctl: get: nosuch: there is no such setting' get "$sock" nosuch

# A change is done as a whole or not at all, and to one device.
says 0 '' set "$sock" read-only=true discard=no
prints 'read-only +yes +true' get "$sock"
prints 'discard +yes +false' get "$sock"
prints 'read-only +yes +false' get "$sock" --device nullb1
prints 'read-only +yes +false' get "$(uri_of nullb1)"
says 1 'nullblkctl: set: discard=perhaps: allowed is true or false' \
  set "$sock" read-only=false discard=perhaps
prints 'read-only +yes +true' get "$sock"
says 1 'nullblkctl: set: size=9M: allowed is what it was started with, 8M: *' \
  set "$sock" size=9M
says 2 'nullblkctl: set: rubbish: allowed is KEY=VALUE' set "$sock" rubbish
says 0 '' set "$sock" read-only=false

# Statistics, in three forms that agree.
io 'write 0 64K' 'read 0 4K' flush 'discard 0 64K'
if qemu-io -f raw -c 'write 0 2M' "$uri" >"$tmp/io" 2>&1; then
  fail "there is room above the limit"
fi
says 0 '' stats "$sock"
grep -Eq '^read +1 +4\.00K +- ' "$tmp/out" || fail "$(cat "$tmp/out")"
grep -Eq '^write +2 +64\.0K +1 ' "$tmp/out" || fail "$(cat "$tmp/out")"
grep -Eq '^write ENOSPC: 1$' "$tmp/out" || fail "$(cat "$tmp/out")"
says 0 '' stats --json "$sock"
jq -e '.version == 1 and .device == "nullb0" and
  .operations.write.requests == 2 and .operations.write.errors.ENOSPC == 1 and
  (.operations | all(.[]; ([.histogram[][2]] | add // 0) == .requests))' \
  "$tmp/out" >"$tmp/jq" || fail "$(cat "$tmp/out")"

# What is in "$tmp/out" has the metrics of $1 devices, as one document.
check_metrics ()
{
  if command -v promtool; then
    promtool check metrics <"$tmp/out" || fail "$(cat "$tmp/out")"
  fi
  perl - "$1" "$tmp/out" <<'PERL' || fail "$(cat "$tmp/out")"
# The text format: for each family HELP, TYPE, then its samples; no sample
# twice; buckets that grow and end in +Inf, which is the count.
use strict;
use warnings;
my $devices = shift;
my (%type, %seen, $family, %last, %inf, %count);
while (<>) {
  if (/^# HELP (\w+) \S.*$/) { $family = $1; die "again: $_" if $type{$1} }
  elsif (/^# TYPE (\w+) (counter|gauge|histogram)$/) {
    die "no HELP: $_" unless $1 eq $family;
    $type{$1} = $2;
  }
  elsif (/^(\w+)(\{(?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*\}) ([0-9.e+-]+)$/) {
    my ($name, $labels, $value) = ($1, $2, $3);
    (my $of = $name) =~ s/_(bucket|sum|count)$// if $type{$family} eq
      "histogram";
    $of = $name unless $type{$family} eq "histogram";
    die "not of $family: $_" unless $of eq $family;
    die "a counter's name: $_" if $type{$family} eq "counter" &&
      $name !~ /_total$/;
    die "twice: $_" if $seen{"$name$labels"}++;
    if ($name =~ /_bucket$/) {
      (my $key = $labels) =~ s/,le="([^"]*)"// or die "no le: $_";
      die "it shrinks: $_" if $value < ($last{$key} // 0);
      $last{$key} = $value;
      $inf{$key} = $value if $1 eq "+Inf";
    }
    $count{$labels} = $value if $name =~ /_count$/;
  }
  else { die "what is this? $_" }
}
die "not of $devices devices" unless keys %count == 6 * $devices;
$inf{$_} == $count{$_} or die "$_: +Inf" for keys %count;
PERL
}
enospc='nullblk_errors_total{device="nullb0",op="write",error="ENOSPC"} 1'
says 0 '' stats --prometheus "$sock"
check_metrics 2
grep -qxF "$enospc" "$tmp/out" || fail "$(cat "$tmp/out")"
says 0 '' stats --prometheus "$sock" --device nullb0
check_metrics 1
grep -qxF "$enospc" "$tmp/out" || fail "$(cat "$tmp/out")"
says 0 '' stats --prometheus "$(uri_of nullb1)"
check_metrics 1
grep -q 'nullb0' "$tmp/out" && fail "$(cat "$tmp/out")"
says 0 '' reset-stats "$sock"
says 0 '' stats "$sock"
grep -Eq '^write +0 +- +- ' "$tmp/out" || fail "$(cat "$tmp/out")"

# Without a terminal, top prints a line a second.
says 0 '' top --count 1 "$sock" --device nullb1
grep -q '^nullb1 read -/s ' "$tmp/out" || fail "$(cat "$tmp/out")"

# Called wrongly.
says 2 'nullblkctl: nosuch: there is no such command; *' nosuch "$sock"
says 2 'nullblkctl: get: a URI or socket is missing; *' get
says 2 'nullblkctl: set: an argument is missing; *' set "$sock"
says 2 'nullblkctl: set: #size=1M: allowed is KEY=VALUE*' set "$sock" '#size=1M'
says 2 'nullblkctl: x: one argument too many; *' list "$sock" x
says 2 'nullblkctl: 0: allowed is a whole number*' --interval 0 top "$sock"
says 2 'nullblkctl: 1x: allowed is a whole number*' --count 1x top "$sock"
says 2 'nullblkctl: --json: it is for *' --json top "$sock"
says 2 'nullblkctl: --prometheus: it is for stats; *' --prometheus get "$sock"
says 2 'nullblkctl: --prometheus: not together with --json; *' \
  --prometheus stats --json "$sock"
says 2 'nullblkctl: --interval: it is for top; *' --interval 1 get "$sock"
says 2 'nullblkctl: --device: not with list and replay; *' \
  --device nullb0 list "$sock"
says 2 'nullblkctl: --device: not with list and replay; *' \
  --device nullb0 replay "$sock" /dev/null
says 2 '*unrecognized option*' --nonsense
prints 'nullblkctl [0-9.]+, libnbd 1\..*' --version

# No server, a device that does not exist, and a client without permission.
says 1 'nullblkctl: stats: nullb7.stats: there is no such export *control=*' \
  stats "$sock" --device nullb7
says 1 'nullblkctl: get: a/b: no device has such a name' \
  get "$sock" --device a/b
says 1 'nullblkctl: stats: *No such file or directory' stats "$tmp/nobody"
stop_server
start_server 8M control=off
says 1 'nullblkctl: get: nullb0.config: there is no such export *' get "$sock"
prints 'nullb0 +8\.00M +no +null block device, 8M' list "$sock"
stop_server

# TLS, where nbdkit has it.
if has_tls && command -v psktool; then
  psktool -u alice -p "$tmp/psk" >"$tmp/out" 2>&1
  start_server --tls=require --tls-psk="$tmp/psk" 8M
  tls="nbds+unix://alice@/?socket=$sock&tls-psk-file=$tmp/psk"
  prints 'size +no +8M' get "$tls"
  prints 'nullb0 .* yes .*' list "$tls"
  says 0 '' set "$tls" read-only=1
  says 1 'nullblkctl: get: nullb0.config: *' get "$sock"
  stop_server
else
  leave_out "there is no TLS"
fi

# --help and the man page have the same options and commands.
page=$top_srcdir/man/nullblkctl.pod
"$ctl" --help >"$tmp/help"
grep -oE -- '--[a-z]+' "$tmp/help" | sort -u >"$tmp/options"
grep -oE '^=item B<--[a-z]+>' "$page" | grep -oE -- '--[a-z]+' | sort -u |
  diff "$tmp/options" - || fail "--help and the man page differ"
sed -nE 's/^  ([a-z -]+) URI.*/\1/p' "$tmp/help" | sort >"$tmp/commands"
sed -nE 's/^=item B<([a-z][a-z -]+)> .*/\1/p' "$page" | sort |
  diff "$tmp/commands" - || fail "--help and the man page differ"
[ "$(wc -l <"$tmp/commands")" -ge 13 ] || fail "$(cat "$tmp/help")"
