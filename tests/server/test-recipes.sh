#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# HACKING.md's recipes: a live parameter and a fault action are added to a copy
# of the sources, in the places that the recipes name and no other.  Then
# everything builds, the tests that compare tables, --help and man page pass,
# and a server does what the additions say.  If one of the places that are
# compared is left out, a test fails.

most_seconds=900
# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires perl qemu-io
ctl=$top_builddir/tools/nullblkctl
[ -x "$ctl" ] || skip "nullblkctl is not built"

# var NAME: print what configure has found.
var ()
{
  sed -n "s/^$1 = //p" "$top_builddir/tests/Makefile"
}

read -ra cc < <(var CC)
command -v -- "${cc[0]}" >/dev/null || skip "${cc[0]} is missing"
[ -n "$(var CMOCKA_LIBS)" ] || skip "cmocka is missing"
read -ra flags <<<"-DHAVE_CONFIG_H -I$top_builddir -pthread -O0 -fPIC \
  -fvisibility=hidden -w $(var JANSSON_CFLAGS) $(var NBDKIT_CFLAGS)"
read -ra libs <<<"$(var CMOCKA_LIBS) $(var JANSSON_LIBS) $(var LIBS) -lm"
copy=$tmp/copy
mkdir -p "$copy/tests" "$tmp/objects" "$tmp/build/tests/unit"
cp -r "$top_srcdir"/{plugin,man} "$copy"
cp -r "$top_srcdir"/tests/{unit,server,port.sh} "$copy/tests"
cp "$top_builddir/plugin/settings/models.c" "$copy/plugin/settings"
chmod -R u+w "$copy"

# places TITLE: print the files that a recipe names, one for each of its steps.
places ()
{
  sed -n "/^### $1\$/,/^##* [A-Z]/s/^[0-9]\. \`\([^\`]*\)\`.*/\1/p" \
    "$top_srcdir/HACKING.md"
}

# add FILE AFTER TEXT: put TEXT behind the line that matches AFTER for the first
# time.
add ()
{
  AFTER=$2 TEXT=$3 perl -0 -i -pe \
    's/^.*$ENV{AFTER}.*\n\K/$ENV{TEXT}\n/m or die "$ARGV: no $ENV{AFTER}\n"' \
    "$copy/$1" || fail "a recipe is wrong: $1"
  added+=("$1")
}

# follows TITLE: exactly its places have to be changed, which are 4 at most.
follows ()
{
  local named

  named=$(places "$1" | sort)
  [ "$(sort -u <<<"${added[*]/%/$'\n'}" | tr -d ' ' | sed '/^$/d' |
    sort -u)" = "$named" ] ||
    fail "'$1' names $(xargs <<<"$named"); it takes ${added[*]}"
  [ "$(wc -l <<<"$named")" -le 4 ] || fail "$1: there are more than 4 places"
}

manual=man/nbdkit-nullblk-plugin.pod

# In the footsteps of read-only.
added=()
add plugin/settings/params.h '^  bool read_only;' '  uint64_t toy;'
add plugin/settings/params-table.c 'read-only=BOOL ' \
  '  X (toy, "toy", LIMIT, LIVE, 1, 7, "none", "none", "toy=N  a test") '"\\"
add "$manual" '^Default: false\.  Allowed: true or false\.  Live: yes\.' '
=item B<toy=>N

Default: none.  Allowed: none, or a whole number from 1 to 7.  Live: yes.'
add plugin/device/device-internal.h '^  if \(request_admit_power \(r\) < 0\)' \
  '    return -ESHUTDOWN;
  if (r->version->s.toy == 7)'
follows 'A new live parameter'

# In the footsteps of corrupt=zero and disconnect.
added=()
add plugin/faults/faultrule-internal.h '^  FAULT_DISCONNECT,' '  FAULT_TOY,'
add plugin/faults/faultactions.c '^/\* Actions whose texts begin with the same' \
  'static void
corrupt_toy (const struct fault_rule *rule, enum operation op, uint64_t offset,
             uint8_t *block, uint32_t block_size)
{
  memset (block, 0x77, block_size);
}'
add plugin/faults/faultactions.c '\.disconnects = true\},' \
  '[FAULT_TOY] = {.text = "toy", .operations = DATA_OPERATIONS,
                  .corrupt = corrupt_toy},'
add "$manual" '^plugin that was built with nbdkit E<ge> 1\.34\)\.' '
=item B<toy>

Blocks are toys.'
add "$manual" '^           / "hang" / "disconnect"' '           / "toy"'
add tests/unit/faults/test-faults-actions.c '^#include "judged.h"' \
  '
static void
test_toy (void **state)
{
  const struct io_info r = request (OP_READ, 0, 512);
  struct fault_verdict v;
  uint8_t block[512];

  add ("toy");
  faults_judge (&faults, &r, &v);
  assert_true (v.corrupts);
  faults_corrupt (&v, &r, block, 512);
  assert_int_equal (block[511], 0x77);
  faults_done (&v);
}'
add tests/unit/faults/test-faults-actions.c '^      CASE \(test_disconnect\),' \
  '      CASE (test_toy),'
follows 'A new fault action'

#----------------------------------------------------------------------
# It builds

# shellcheck disable=SC2016 # for bash -c
compile_one='
  name=${!#} name=${name//\//-}
  "${@:1:$#-1}" -c "${!#}" -o "$OBJECTS/${name%.c}.o"'

# compile: build the plugin, without the batch library.
compile ()
{
  find plugin -name '*.c' \( ! -name 'batch*' -o -name batch-plugin.c \) \
    -print0 |
    OBJECTS=$tmp/objects xargs -0 -n 1 -P "$(nproc)" bash -c "$compile_one" \
    compile "${cc[@]}" "${flags[@]}" -Iplugin || return
  rm -f "$tmp/core.a"
  mv "$tmp"/objects/plugin-{plugin,batch}*.o "$tmp"
  ar rc "$tmp/core.a" "$tmp"/objects/*.o
  "${cc[@]}" -shared -o "$tmp/nullblk.so" "$tmp"/plugin-*.o "$tmp/core.a" \
    "${libs[@]}"
}

# program NAME: build a program of tests/unit.
program ()
{
  local more

  read -ra more < <(sed -n "s,^$1 *\(threads\)*,,p" tests/unit/programs.list) ||
    true
  more=("${more[@]/#unit/tests/unit}")
  "${cc[@]}" "${flags[@]}" -Iplugin -Itests/unit -o "$tmp/build/tests/unit/$1" \
    "tests/unit/$1.c" "${more[@]}" "$tmp/core.a" "${libs[@]}"
}

cd "$copy"
compile || fail "it does not build"
mkdir -p "$tmp/build/tests/unit"/{faults,settings,control}
for name in list-parameters faults/test-faults-actions faults/test-faultrule \
  settings/test-params control/test-control; do
  program "$name" || fail "$name does not build"
done

#----------------------------------------------------------------------
# Tests

# passes TEST: run it in the copy, with what was built.
passes ()
{
  case $1 in
    *.sh) NULLBLK_TIMED='' PLUGIN=$tmp/nullblk.so top_builddir=$tmp/build \
      top_srcdir=$copy bash "$copy/tests/$1" >"$tmp/said" 2>&1 ;;
    *) "$tmp/build/tests/$1" >"$tmp/said" 2>&1 ;;
  esac
}

for name in server/test-help.sh server/test-parameters.sh \
  unit/faults/test-faults-actions unit/faults/test-faultrule \
  unit/settings/test-params unit/control/test-control; do
  passes "$name" || fail "$name: $(cat "$tmp/said")"
done
grep -q '^toy=N ' < <("$NBDKIT" "$tmp/nullblk.so" --help) || fail "no help"

PLUGIN=$tmp/nullblk.so
start_server 1M toy=6
io 'read -P 0 0 4K'
"$ctl" set "$sock" fault=toy
io 'read -P 0x77 0 4K'
"$ctl" set "$sock" fault-delete=all toy=7
! qemu-io -f raw -c 'read 0 4K' "$uri" >"$tmp/said" 2>&1 || fail "no toy=7"
grep -q 'shutdown\|failed' "$tmp/said" || fail "toy=7: $(cat "$tmp/said")"
stop_server

# A test notices what is left out.
cp "$manual" "$tmp/complete"
for what in 'B<toy=>N' 'B<toy>' '/ "toy"'; do
  grep -vF -- "$what" "$tmp/complete" >"$manual"
  ! passes server/test-parameters.sh || fail "nobody misses $what"
done
