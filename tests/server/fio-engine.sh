# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the tests of the engine of fio share.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires fio
engine=$top_builddir/tools/.libs/nullblk-fio.so
[ -e "$engine" ] || skip "the engine of fio is not built (--with-fio)"
ctl=$top_builddir/tools/nullblkctl
[ -x "$ctl" ] || skip "nullblkctl is not built"
requires jq

seed=$(new_seed)

# run_fio OPTION...: run fio with the engine on $uri; its output is in $tmp/fio.
run_fio ()
{
  fio --name=job --ioengine=external:"$engine" --uri="$uri" \
    --randseed="$seed" --verify_state_save=0 --group_reporting "$@" \
    >"$tmp/fio" 2>&1
}

# works OPTION...: fio must succeed, without errors.
works ()
{
  run_fio "$@" || fail "fio $*: $(cat "$tmp/fio")"
  ! grep -Eq 'err= *[1-9]|verify:' "$tmp/fio" || fail "fio $*: $(cat "$tmp/fio")"
}

# fails_with TEXT OPTION...: fio must fail, and say TEXT.
fails_with ()
{
  ! run_fio "${@:2}" || fail "fio ${*:2}: it was to fail"
  grep -qF -- "$1" "$tmp/fio" || fail "fio ${*:2}: not $1: $(cat "$tmp/fio")"
}
