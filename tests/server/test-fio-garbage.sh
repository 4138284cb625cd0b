#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The engine of fio with servers whose zone tables are wrong, or too large: fio
# says why it cannot use them, and ends by itself.

# What is quoted is for perl, and for the sh of nbdkit's plugin eval.
# shellcheck disable=SC2016

# shellcheck source=fio-engine.sh source-path=SCRIPTDIR
source "${0%/*}/fio-engine.sh"
requires perl
"$NBDKIT" eval --version >"$tmp/out" 2>&1 || skip "nbdkit has no eval plugin"

# Of zones of $length sectors: [start, length, write pointer, type, condition,
# capacity] of zone $n, which the code given first may change.
cat >"$tmp/read" <<'END'
my ($code, $count, $at) = @ARGV;
for (my $n = $at / 64; $n < ($at + $count) / 64; $n++) {
  our $length = 2048;
  our @zone = (undef, undef, undef, 2, 1, undef);
  eval $code;
  die $@ if $@;
  $zone[0] //= $n * $length;
  $zone[1] //= $length;
  $zone[2] //= $zone[0];
  $zone[5] //= $zone[1];
  print pack ("(Q<)3 C2 x6 Q< x24", @zone);
}
END

# serve_zones SIZE BYTES [CODE]: an export of SIZE bytes, with a table of BYTES,
# an expression of the shell.  $reads is how often the table was read.
serve_zones ()
{
  code=${3-}
  export code
  : >"$tmp/reads"
  PLUGIN='eval' start_server open='echo "$3"' can_write='exit 0' \
    list_exports='echo INTERLEAVED; echo nullb0; echo; echo nullb0.zones; echo' \
    get_size="reads=\$(stat -c %s '$tmp/reads')
      case \"\$2\" in *.zones) echo \$(($2));; *) echo $1;; esac" \
    pread="printf . >>'$tmp/reads'
      reads=\$(stat -c %s '$tmp/reads') \
      perl '$tmp/read' \"\$code\" \"\$3\" \"\$4\"" \
    pwrite='cat >/dev/null'
  uri=$(uri_of nullb0)
}

# refuses TEXT SIZE BYTES [CODE]
refuses ()
{
  serve_zones "${@:2}"
  fails_with "$1" --zonemode=zbd --rw=read --bs=4k
  ! grep -qE 'Assertion|signal|dumped' "$tmp/fio" || fail "$(cat "$tmp/fio")"
  stop_server
}

M=1048576

# A right table.
serve_zones $((16 * M)) 1024 '@zone[2, 4] = (2048 * $n + 8, 4)'
works --zonemode=zbd --rw=read --bs=4k
grep -q ' io=64.0KiB' "$tmp/fio" || fail "$(cat "$tmp/fio")"
stop_server

# A table of a wrong size, or of another export.
refuses 'it has 0 bytes' $((16 * M)) 0
refuses 'it has 1000 bytes' $((16 * M)) 1000
for bytes in 64 960 1088; do
  refuses 'it is not the table of an export' $((16 * M)) $bytes
done
refuses 'it is not the table of an export' $((16 * M + 512)) 1024

# More zones than there can be, or than fio can count, or has memory for.
refuses 'this is no zone table' 9223372036854774784 $((1 << 61)) '$length = 1'
for zones in 4294967296 2147483647; do
  refuses 'allowed are up to 2147483646' 9223372036854774784 $((zones * 64)) \
    '$length = 1'
done
refuses 'Cannot allocate memory' $((2147483646 * 512)) \
  $((2147483646 * 64)) '$length = 1'

# Zones that are none.
why='this is no zone table: zone'
refuses "$why 0: it does not begin" $((16 * M)) 1024 '$zone[0] = 8'
refuses "$why 0: it is not as long" $((16 * M)) 1024 '$zone[1] = 0'
refuses "$why 0: it is not as long" $((16 * M)) 1024 '$zone[1] = 1 << 63'
refuses "$why 15: it is not as long" $((16 * M)) 1024 \
  '$zone[1] = 2049 if $n == 15'
refuses "$why 7: it is not as long" $((16 * M)) 1024 '$zone[1] = 1024 if $n == 7'
refuses "$why 3: its write pointer" $((16 * M)) 1024 \
  '@zone[2, 4] = (2048 * $n - 1, 4) if $n == 3'
refuses "$why 3: its write pointer" $((16 * M)) 1024 \
  '@zone[2, 4] = (2048 * $n + 2049, 4) if $n == 3'
refuses "$why 3: it has no such cap" $((16 * M)) 1024 '$zone[5] = 2049 if $n == 3'
refuses "$why 3: it has no such cap" $((16 * M)) 1024 '$zone[5] = 0 if $n == 3'
refuses "$why 3: its type has no" $((16 * M)) 1024 '$zone[4] = 9 if $n == 3'
refuses "$why 3: there is no such type" $((16 * M)) 1024 '$zone[3] = 7 if $n == 3'

# A table that has changed when fio asks for the rest of it.  fio asks for 8192
# zones first; until then there are 9 reads.
refuses 'its zones have 524288 bytes, and fio' $((16384 * M)) \
  'reads < 9 ? 1048576 : 2097152' '$length = $ENV{reads} <= 9 ? 2048 : 1024'
