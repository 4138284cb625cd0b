#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblkctl believes nothing: its exit status is 1 unless the server itself has
# done a change that was answered with success; it neither shows nor writes to
# exports that are not those of nullblk; and the reasons that it gives are true.
# The servers here are toys that keep what is written, drop it or refuse it, and
# nullblk behind qemu-nbd, with and without a snapshot.

# shellcheck disable=SC2016 # what is for sh or perl

# The toys are slow: a program is run for each request.
# shellcheck disable=SC2034 # for what comes next
most_seconds=900

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires perl

"$NBDKIT" eval --version >"$tmp/out" 2>&1 || skip "nbdkit has no eval plugin"
requires_filter blocksize

#----------------------------------------------------------------------
# A toy serves the files of $tmp/toy: NAME.config, NAME.stats and NAME.zones.

toy=$tmp/toy
mkdir "$toy"

# padded SIZE: print stdin with newlines up to SIZE.
padded ()
{
  perl -e 'local $/; $_ = <STDIN>; print $_, "\n" x ($ARGV[0] - length)' "$1"
}

# make_config LINE...: make a text of settings with these lines behind those
# that all servers have.
make_config ()
{
  {
    echo '# live: read-only'
    printf '%s\n' "$@" 'size=4M' 'read-only=false'
  } | padded 65536 >"$toy/nullb0.config"
}

# make_stats [PERL]: make statistics: a server's, changed by PERL.
make_stats ()
{
  local op=

  for op in read write flush trim zero zone; do
    printf '"%s": {"requests": 0, "histogram": []}, ' "$op"
  done >"$tmp/operations"
  cat <<END | perl -0pe "${1-}" | padded 65536 >"$toy/nullb0.stats"
{"version": 1, "device": "nullb0", "server": {"uptime_ns": 5},
 "power": {"on": true}, "badblocks": "+3-5,+9-9",
 "faults": [{"id": 1, "name": null, "rule": "hang"}],
 "operations": {$(cat "$tmp/operations") "copy": 1}}
END
}

# make_zones [PERL]: make a table of 8 zones of 1 MiB: a conventional one, then
# one full, read-only, offline and partly written, and the rest empty.  PERL may
# change @zone, whose elements are [start, length, wp, type, condition,
# capacity].
make_zones ()
{
  perl -e '
    my $none = 0xffffffffffffffff;
    my @zone = map { [$_ * 2048, 2048, $_ * 2048, 2, 1, 1536] } 0 .. 7;
    @{$zone[0]}[2 .. 5] = (2048, 1, 0, 2048);
    @{$zone[1]}[2, 4] = (4096, 14);
    @{$zone[2]}[2, 4] = ($none, 13);
    @{$zone[3]}[2, 4] = ($none, 15);
    @{$zone[4]}[2, 4] = (8200, 4);
    eval $ARGV[0];
    die $@ if $@;
    print pack ("(Q<)3 C2 x6 Q< x24", @$_) for @zone' "${1-}" \
    >"$toy/nullb0.zones"
}

# serve_toy PWRITE [PARAMETER...]: PWRITE is what a write does, in sh: "$2" is
# the export, "$3" bytes at "$4" come from stdin.
serve_toy ()
{
  PLUGIN='eval' start_server "${@:2}" \
    open="echo \"\$3\"; test -e '$toy/'\"\$3\" || exit 1" \
    list_exports="echo INTERLEAVED; echo nullb0; echo toy
      echo nullb0.config; echo settings" \
    get_size="stat -c %s '$toy/'\"\$2\"" \
    can_write='exit 0' \
    pread="dd if='$toy/'\"\$2\" bs=64K iflag=skip_bytes,count_bytes \
      skip=\"\$4\" count=\"\$3\" status=none" \
    pwrite="$1"
}

# refuse ERROR
refuse ()
{
  echo "cat >/dev/null; echo $1 >&2; exit 1"
}
drop='cat >/dev/null'
keep="dd of='$toy/'\"\$2\" bs=1M oflag=seek_bytes seek=\"\$4\" conv=notrunc \
  status=none iflag=fullblock"

# Commands that change settings; @ stands for the server.
changes=(
  'set @ read-only=true'
  'reset-stats @'
  'badblocks add @ 8-15'
  'badblocks del @ 8'
  'badblocks clear @'
  'fault add @ error=EIO'
  'fault del @ 1'
  'fault del @ --all'
  'power cut @'
  'power cut @ --after 3 --lose all'
  'power on @'
  'mark @ here'
  'zones reset @ --all'
)

# change_settings STATUS PATTERN: run each of them, with this result.  After
# each the settings are restored if begin_again is set.
change_settings ()
{
  local c words

  for c in "${changes[@]}"; do
    read -ra words <<<"$c"
    says "$1" "${2:+nullblkctl: ${c%% @*}: $2}" "${words[@]/#@/$sock}"
    [ -z "${begin_again-}" ] || cp "$tmp/was" "$toy/nullb0.config"
  done
}

# unchanged FILE: the toy's file has to be as it was.
unchanged ()
{
  cmp "$toy/$1" "$tmp/was" || fail "$1 was written to"
}

touch "$toy/nullb0"
make_stats
make_zones

#----------------------------------------------------------------------
# Changes of settings.

# Somebody in between keeps what is written.
make_config '# done:'
cp "$toy/nullb0.config" "$tmp/was"
serve_toy "$keep"
begin_again=yes
change_settings 1 "the server has not got it: what is read back begins with \
'# ask: *'; something in between keeps *"
begin_again=
# What is there after one more is no settings.
says 1 'nullblkctl: set: the server has not got it: *' set "$sock" seed=1
cp "$toy/nullb0.config" "$tmp/was"
change_settings 1 "these are no settings of nullblk's: the text begins with \
'# ask: *"
unchanged nullb0.config
says 1 "nullblkctl: get: these are no settings of nullblk's: *" get "$sock"
stop_server

# Somebody in between answers and does nothing, and shows what the server has.
make_config '# done:'
serve_toy "$drop"
change_settings 1 'the server has not got it: something in between, *'
stop_server
make_config '# done: other'
serve_toy "$drop"
change_settings 1 'the server has not got it: something in between, *'
stop_server

# A server without tags cannot prove more than that it is there.
make_config
serve_toy "$drop"
change_settings 0 ''
prints 'size +no +4M' get "$sock"
stop_server
make_config
serve_toy "$keep"
says 1 'nullblkctl: set: the server has not got it: *' set "$sock" seed=1
stop_server

# Something in between refuses the change, without a reason of the server.
make_config '# done:'
serve_toy "$(refuse EIO)"
change_settings 1 '*Input/output error; nullblk gives no reason: a filter *'
stop_server
serve_toy "$drop" -r
change_settings 1 'the server lets nobody write to the settings: *-r*filter*'
stop_server

# Texts that are not a server's are neither shown nor written to.
no_settings ()
{
  cp "$toy/nullb0.config" "$tmp/was"
  serve_toy "$keep"
  says 1 "nullblkctl: get: $1" get "$sock"
  says 1 "nullblkctl: get: $1" get "$sock" --json size
  change_settings 1 "$1"
  unchanged nullb0.config
  stop_server
}
head -c 65536 /dev/zero >"$toy/nullb0.config"
no_settings "this is no control export's text: *"
echo 'size=1M' | padded 65536 >"$toy/nullb0.config"
no_settings "these are no settings *begins with 'size=1M'"
printf 'ize\n# live: size\nsize=1M\n' | padded 65536 >"$toy/nullb0.config"
no_settings "these are no settings *begins with 'ize'"
printf '# error: no\nsize=1M\n' | padded 65536 >"$toy/nullb0.config"
no_settings "these are no settings *begins with '# error: no'"
printf '# live: \n\033[2J=\n' >"$toy/nullb0.config"
truncate -s 65536 "$toy/nullb0.config"
no_settings "this is no control export's text: *"
make_config
truncate -s 20 "$toy/nullb0.config"
no_settings "this is no control export's text: newlines are missing *"
padded 4096 </dev/null >"$toy/nullb0.config"
no_settings 'these are no settings *begins with an empty line'
truncate -s 0 "$toy/nullb0.config"
no_settings 'this is no control export: it has 0 bytes'
truncate -s 1G "$toy/nullb0.config"
no_settings 'this is no control export: it has 1073741824 bytes'

# Text that a terminal would obey, or that JSON cannot have.
{
  echo '# live: '
  printf 'write-log=/tmp/\033[2J\377\nsize=1M\n'
} | padded 65536 >"$toy/nullb0.config"
serve_toy "$drop"
says 0 '' get "$sock" write-log
grep -q '/tmp/?\[2J\\xff$' "$tmp/out" || fail "$(cat -A "$tmp/out")"
says 0 '' get "$sock" --json write-log
grep -qi '/tmp/\\u001b\[2J\\\\xff' "$tmp/out" || fail "$(cat -A "$tmp/out")"
stop_server

#----------------------------------------------------------------------
# Statistics.

make_config
read_statistics ()
{
  local c

  cp "$toy/nullb0.stats" "$tmp/was"
  serve_toy "$drop"
  for c in stats 'stats --json' 'stats --prometheus' 'fault list' \
    'badblocks list' 'power status' 'fault list --json' top; do
    # shellcheck disable=SC2086 # words
    says "$1" "${2:+nullblkctl: ${c%% --*}: $2}" $c "$sock" --device nullb0
    [ "$1" = 0 ] || [ ! -s "$tmp/out" ] || fail "$c: $(cat "$tmp/out")"
  done
  stop_server
}
lacks ()
{
  make_stats "s/\"$1\":/\"x\":/"
  read_statistics 1 "these are no statistics of nullblk's: they have no $1"
}
lacks version
lacks device
lacks server
lacks operations
lacks write
make_stats 's/\{"version"/["version"/'
read_statistics 1 'the statistics are not JSON: *'
truncate -s 100 "$toy/nullb0.stats"
read_statistics 1 "this is no control export's text: *"

# Statistics with one member that is none of nullblk's.
wrong_member ()
{
  make_stats "$1"
  serve_toy "$drop"
  # shellcheck disable=SC2086 # words
  says 1 "nullblkctl: $2: $3" $2 "$sock"
  [ ! -s "$tmp/out" ] || fail "$2: $(cat "$tmp/out")"
  stop_server
}
wrong_member 's/"power"/"x"/' 'power status' 'the statistics have no power'
wrong_member 's/true/1/' 'power status' "*none of nullblk's"
wrong_member 's/\{"on": true\}/null/' 'power status' "*none of nullblk's"
wrong_member 's/9-9/9/' 'badblocks list' "*none of nullblk's"
wrong_member 's/"\+3-5,/[/; s/9-9"/]/; s/\[.*?\]/["+9-9"]/' 'badblocks list' \
  "*none of nullblk's"
wrong_member 's/"rule"/"x"/' 'fault list' "*none of nullblk's"
wrong_member 's/\[\{"id.*?\]/{}/' 'fault list' "*none of nullblk's"
make_stats

#----------------------------------------------------------------------
# Zones.

# zones STATUS PATTERN COMMAND...
zones ()
{
  says "$1" "${2:+nullblkctl: zones $3: $2}" zones "$3" "$sock" "${@:4}"
}

# With this table all is right.
serve_toy "$drop"
zones 0 '' report
[ "$(wc -l <"$tmp/out")" = 8 ] || fail "$(cat "$tmp/out")"
stop_server

# Somebody in between keeps what is written.
cp "$toy/nullb0.zones" "$tmp/was"
serve_toy "$keep"
for c in reset open close finish readonly offline; do
  cp "$tmp/was" "$toy/nullb0.zones"
  zones 1 'the server has not got it: what is read back is no zone; *' "$c" 4
done
zones 1 'this is no zone table: zone 4: there is no such type' report
stop_server

# Something in between answers and does nothing.  A zone that already is in the
# condition is no failure.
cp "$tmp/was" "$toy/nullb0.zones"
serve_toy "$drop"
dropped='the server has not got it; something in between, *'
zones 1 "zone 1 is full as before: $dropped" reset 1
zones 1 "zone 4 is closed as before: $dropped" open 4
zones 1 "zone 5 is empty as before: $dropped" close 4-5
zones 1 "zone 6 is empty as before: $dropped" finish 1 6
zones 1 "zone 2 is read-only as before: $dropped" readonly 2
zones 1 "zone 3 is offline as before: $dropped" offline 3
zones 1 "zone 7 is empty as before: $dropped" offline 7
zones 1 "zone 4 is closed as before: $dropped" finish --all
zones 0 '' reset 5-7
zones 0 '' close 4
zones 0 '' finish 1
stop_server

# The reason is the zone's condition only if that forbids the command.
serve_toy "$(refuse EIO)"
zones 1 'zone 0 is conventional: only sequential zones take commands' open 0
zones 1 'zone 2 is read-only: it takes no command *' reset 2
zones 1 'zone 3 is offline: it takes no command *' reset 3
zones 1 'zone 1 is full: only an open zone can be closed' close 1
other='which does not forbid it: Input/output error; a fault rule or a filter *'
zones 1 "zone 1 is full, $other" reset 1
zones 1 "zone 5 is empty, $other" open 5
zones 1 "zone 4 is closed, $other" finish 4
zones 1 "zone 2 is read-only, $other" offline 2
stop_server
serve_toy "$(refuse ENOSPC)"
zones 1 'zone 5 is empty, which does not forbid it: No space left on device; *' \
  open 5
stop_server
make_config '# done:' zone-max-open=none zone-max-active=1
serve_toy "$(refuse ENOSPC)"
zones 1 'zone 5 is empty: as many zones are open or active as *' open 5
stop_server
make_config '# done:' zone-max-open=1 zone-max-active=2
serve_toy "$(refuse ENOSPC)"
zones 1 'zone 5 is empty, which does not forbid it: No space left on device; *' \
  open 5
stop_server
serve_toy "$(refuse EPERM)"
zones 1 'Operation not permitted: the device is not read-only; a filter *' open 5
sed -i 's/^read-only=false/read-only=true/' "$toy/nullb0.config"
zones 1 'the device is read-only' open 5
rm "$toy/nullb0.config"
zones 1 'Operation not permitted' open 5
stop_server
serve_toy "$drop" -r
zones 1 'the server lets nobody write to the table: *-r*filter*' open 5
stop_server

# Tables that are none are shown up to the first wrong zone, and not written to.
no_table ()
{
  make_zones "$2"
  cp "$toy/nullb0.zones" "$tmp/was"
  serve_toy "$keep"
  zones 1 "this is no zone table: $1" report
  ! grep -q '?' "$tmp/out" || fail "$(cat "$tmp/out")"
  zones 1 "this is no zone table: $1" reset 1-7
  zones 1 "this is no zone table: $1" finish --all
  unchanged nullb0.zones
  stop_server
}
no_table 'zone 0: it does not begin *' 'shift @zone'
no_table 'zone 7: it does not begin *' 'splice @zone, 3, 1, [6144, 2048, 6144,
  2, 1, 1536]; $zone[7][0] = 9 << 11'
no_table 'zone 5: it does not begin *' '$zone[5][0]++'
no_table 'zone 7: there is no such type' '@{$zone[7]} = (0) x 6'
no_table 'zone 5: there is no such type' '$zone[5][3] = 3'
no_table 'zone 5: its type has no such condition' '$zone[5][4] = 5'
no_table 'zone 5: its type has no such condition' '$zone[5][4] = 0x21'
no_table 'zone 5: its type has no such condition' '$zone[5][4] = 0'
no_table 'zone 0: its type has no such condition' '$zone[0][4] = 1'
no_table 'zone 5: it is not as long as the others' '$zone[5][1] = 2049'
no_table 'zone 5: it is not as long as the others' '$zone[5][1] = 1024'
no_table 'zone 7: it is not as long as the others' '$zone[7][1] = 1 << 60'
no_table 'zone 0: it is not as long as the others' '$zone[0][1] = 0'
no_table 'zone 0: it is not as long as the others' '$_->[1] = 1 << 60 for @zone'
no_table 'zone 5: it has no such capacity' '$zone[5][5] = 0'
no_table 'zone 5: it has no such capacity' '$zone[5][5] = 2049'
no_table 'zone 1: its write pointer is outside *' '$zone[1][2] = 4097'
no_table 'zone 4: its write pointer is outside *' '$zone[4][2] = 8191'
no_table 'zone 5: its write pointer is outside *' '$zone[5][2]++'
no_table 'zone 2: its write pointer is outside *' '$zone[2][2] = 4096'
no_table 'it has 0 bytes' '@zone = ()'
make_zones
truncate -s 500 "$toy/nullb0.zones"
serve_toy "$drop"
zones 1 'this is no zone table: it has 500 bytes' report
stop_server
# The last zone may be shorter.
make_zones '$zone[7][1] = 1600'
serve_toy "$drop"
zones 0 '' report
stop_server

#----------------------------------------------------------------------
# Exports that are listed and refused, and strange lists.

rm -f "$toy/nullb0.config"
serve_toy "$drop"
says 1 'nullblkctl: set: nullb0.config: the server lists this export and *: a '\
'filter (multi-conn, openonce) *' set "$sock" seed=1
prints 'nullb0 +- +no +toy' list "$sock"
says 1 'nullblkctl: get: nullb9.config: there is no such export for this *'\
'control=local*control=any*; or a filter of the server (exportname) refuses it' \
  get "$sock" --device nullb9
stop_server
make_config
serve_toy "$drop"
prints 'nullb0 +- +yes +toy' list "$sock"
stop_server
PLUGIN='eval' start_server get_size='echo 512' pread='exit 1' \
  list_exports='echo INTERLEAVED
    printf "a?socket=/nobody#\\nbad \\033[2J\\na\\377b\\n\\nnullb0\\nx\\n"'
says 0 '' list "$sock"
grep -qx 'a?socket=/n.* no  *bad ?\[2J' "$tmp/out" || fail "$(cat -A "$tmp/out")"
says 0 '' --json list "$sock"
grep -qF '"a\\xffb"' "$tmp/out" || fail "$(cat -A "$tmp/out")"
stop_server
PLUGIN='eval' start_server get_size='echo 512' pread='exit 1' \
  list_exports='echo INTERLEAVED'
says 1 'nullblkctl: stats: the server lists no devices' \
  stats --prometheus "$sock"
stop_server

#----------------------------------------------------------------------
# A filter that completes requests to its own blocks writes text that it has
# read behind the change.

for size in 4096 64K; do
  start_server --filter=blocksize 4M minblock=$size
  says 0 '' set "$sock" seed=7
  says 0 '' fault add "$sock" error=EIO
  prints 'seed +yes +7' get "$sock"
  prints 'fault +yes +error=EIO' get "$sock"
  says 1 'nullblkctl: set: seed=x: allowed is *' set "$sock" seed=x
  stop_server
done
# A filter that splits requests gets none that it has to split.
start_server --filter=blocksize 4M maxlen=512
says 0 '' set "$sock" seed=7
prints 'seed +yes +7' get "$sock"
stop_server

#----------------------------------------------------------------------
# nullblk itself: changes of other clients meanwhile are no failure.

start_server 4M zoned=true zone-size=1M memory-backed=true
# again WORD...: @ stands for the server.
again ()
{
  local i

  for ((i = 0; i < 100; i++)); do
    "$ctl" "${@/#@/$sock}" || return 1
  done
}
again zones finish @ 0-2 &
pids=($!)
again zones offline @ 3 &
pids+=($!)
again zones offline @ 3 &
pids+=($!)
again fault add @ 'range=0+4K delay=0' &
pids+=($!)
again zones reset @ --all || fail "a reset of all zones was not believed"
again zones finish @ 0 || fail "a finish was not believed"
for pid in "${pids[@]}"; do
  wait "$pid" || fail "a command was not believed"
done
says 0 '' fault del --all "$sock"

# Behind qemu-nbd, which opens an export of ours once for all of its clients.
front=
end_front ()
{
  [ -z "$front" ] || end_process "$front"
  front=
}
at_exit+=(end_front)
front_listens ()
{
  [ -S "$tmp/front" ] || process_ended "$front"
}
# in_front EXPORT OPTION...
in_front ()
{
  rm -f "$tmp/front"
  qemu-nbd -t -e 8 -k "$tmp/front" -f raw -x "$1" "${@:2}" \
    "$(uri_of "$1")" &
  front=$!
  wait_until 60 front_listens || fail "qemu-nbd does not listen"
}
if command -v qemu-nbd >"$tmp/out"; then
  plain=$sock
  in_front nullb0.config
  sock=$tmp/front
  again set @ read-only=false seed=1 &
  pid=$!
  again set @ lanes=none seed=2 || fail "it was not believed behind qemu-nbd"
  wait "$pid" || fail "it was not believed behind qemu-nbd"
  says 1 'nullblkctl: set: seed=x: allowed is *' set "$sock" seed=x
  end_front
  sock=$plain
  in_front nullb0.config -s
  says 1 'nullblkctl: set: the server has not got it: *' \
    set "$tmp/front" read-only=true
  prints 'read-only +yes +false' get "$sock"
  end_front
  # 8 descriptors are as many bytes as qemu's blocks have at least.
  stop_server
  start_server 8M zoned=true zone-size=1M memory-backed=true
  in_front nullb0.zones
  says 0 '' zones finish "$tmp/front" 1-2
  prints 'Zone 00001: .* fu, .*' zones report "$sock"
  end_front
  in_front nullb0.zones -s
  says 1 'nullblkctl: zones reset: the server has not got it: *' \
    zones reset "$tmp/front" 1-2
  prints 'Zone 00001: .* fu, .*' zones report "$sock"
  end_front
else
  leave_out "qemu-nbd is missing"
fi
stop_server
