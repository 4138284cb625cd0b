#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Some of the tests of servers once more, on other machines: with one CPU; with
# 64, as far as the C library tells (cpus.c); with 64 descriptors; one second
# old, and 100 years.  And a write log on a full disk.  test-machines-all has
# all tests that are programs run on these machines, those of units, too.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
: "${srcdir:?is set by make check}"
tests=$top_builddir/tests/server
[ -x "$tests/test-latency" ] || skip "the tests of servers are not built"
unset NULLBLK_TIMED

programs=("$tests"/test-{latency,faults-hang,zones-queue,power})
if [ -n "${NULLBLK_ALL_PROGRAMS-}" ]; then
  mapfile -t programs < <(cd "$srcdir" &&
    find unit server -name 'test-*.c' | sed 's/\.c$//' | LC_ALL=C sort)
  programs=("${programs[@]/#/$top_builddir/tests/}")
fi

# run_on MACHINE COMMAND...: run the tests by this command.
run_on ()
{
  local program ran=0 failed=()

  for program in "${programs[@]}"; do
    [ -x "$program" ] || continue # its libraries are missing
    ran=$((ran + 1))
    "${@:2}" "$srcdir/run-program" "$program" >"$tmp/log" 2>&1 || {
      failed+=("${program##*/}")
      cat "$tmp/log"
    }
  done
  [ ${#failed[@]} = 0 ] || fail "on $1: ${failed[*]}"
  echo "$ran programs pass on $1"
}

cpus=$tests/.libs/cpus.so
[ -e "$cpus" ] || fail "$cpus is not built"
first=$(taskset --cpu-list --pid $$)
first=${first##* }
run_on "one CPU" taskset --cpu-list "${first%%[-,]*}"
run_on "64 CPUs" env LD_PRELOAD="$cpus"
(ulimit -n 64 && run_on "64 descriptors" env)

# aged SECONDS COMMAND...: run it with this monotonic clock.
aged ()
{
  local now

  now=$(perl -MTime::HiRes=clock_gettime,CLOCK_MONOTONIC \
    -e 'printf ("%d", clock_gettime (CLOCK_MONOTONIC))')
  unshare "${as_root[@]}" --time --fork --monotonic=$(($1 - now)) "${@:2}"
}
as_root=()
aged 1 true 2>/dev/null || as_root=(--user --map-root-user)
if aged 1 true 2>"$tmp/error"; then
  run_on "a machine that is a second old" aged 1
  run_on "a machine that is 100 years old" aged $((100 * 365 * 86400))
else
  leave_out "no time namespace: $(cat "$tmp/error")"
fi

# The write that finds no room in the log fails, and the log has all that was
# acknowledged before.
client=$tests/acknowledged
[ -x "$client" ] || skip "there is no libnbd"
mkdir "$tmp/mount"
cat >"$tmp/on-full-disk" <<'END'
set -e
mount -t tmpfs -o size=256K none "$tmp/mount"
"$NBDKIT" -U - "$PLUGIN" size=1M memory-backed=true \
  write-log="$tmp/mount/log" --run "exec '$client' \"\$uri\" 64"
"$ctl" replay "$tmp/replayed" "$tmp/mount/log"
END
as_root=()
unshare --mount true 2>/dev/null || as_root=(--user --map-root-user)
if unshare "${as_root[@]}" --mount true 2>"$tmp/error"; then
  export ctl client tmp
  unshare "${as_root[@]}" --mount bash "$tmp/on-full-disk" >"$tmp/out" \
    2>"$tmp/err" || fail "a full disk: $(cat "$tmp/out" "$tmp/err")"
  grep -q 'write-log=.*No space left on device' "$tmp/err" ||
    fail "a full disk: $(cat "$tmp/err")"
  entries=$(sed -n 's/ entries$//p' "$tmp/out")
  ((entries > 32 && entries < 64)) || fail "a full disk: $(cat "$tmp/out")"
  for ((i = 1; i <= entries; i++)); do
    head -c 4096 /dev/zero | tr '\0' "\\$(printf %03o $i)"
  done | cmp - <(head -c $((entries * 4096)) "$tmp/replayed") ||
    fail "the log has other data"
  echo "passed on a full disk"
else
  leave_out "no mount namespace: $(cat "$tmp/error")"
fi
