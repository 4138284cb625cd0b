# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the tests share in which each call fails once: failing.c counts the calls
# of the C library that may fail, and makes one of them fail.  If the compiler
# has LeakSanitizer, a leak fails these tests, too.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

preloaded=$top_builddir/tests/server/.libs/failing.so
[ -e "$preloaded" ] || fail "$preloaded is not built"
leaks=$(gcc -print-file-name=liblsan.so 2>/dev/null) || leaks=
if [[ $leaks != /* ]]; then
  leave_out "gcc has no LeakSanitizer"
elif ! env LD_PRELOAD="$leaks" od -N 0 /dev/null >/dev/null 2>&1; then
  leave_out "LeakSanitizer may not look at a process" # as in some containers
else
  preloaded+=:$leaks
fi

# Of the calls at one place of a program, the first two fail, or as many as this
# says.
same=${NULLBLK_FAIL_SAME:-2}

# Of the last run: how many calls there were, and which one failed.
calls=0
failed=

# To be called before each run.
prepare ()
{
  :
}

# with_failing N COMMAND...: run it, and its Nth call fails; 0: none.  Its
# output is in the files out and err.  Returns what the command does.
with_failing ()
{
  local status attempt

  for attempt in 1 2 3 4 5; do
    prepare
    : >"$tmp/failing"
    status=0
    timeout --kill-after=5 60 env LD_PRELOAD="$preloaded" \
      NULLBLK_FAIL_AT="$1" NULLBLK_FAIL_FILE="$tmp/failing" \
      NULLBLK_FAIL_SAME="$same" LSAN_OPTIONS=exitcode=99 "${@:2}" \
      >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
    # LeakSanitizer knows threads by pthread_t, which a new thread may have as
    # soon as the old one is joined.  Where two threads of nbdkit join others at
    # the same time, it may take one for the other, and ends the process.  That
    # is no leak, so the command is run again.
    grep -q 'LeakSanitizer: CHECK failed: sanitizer_thread_registry' \
      "$tmp/err" || break
    echo "attempt $attempt: $(tail -n 1 "$tmp/err")"
  done
  calls=$(od -An -tu8 -N8 "$tmp/failing" | tr -d ' ')
  failed=$(dd if="$tmp/failing" bs=8 skip=1 count=31 status=none | tr -d "\0")
  return "$status"
}

# Has to succeed after a run that succeeds.
check ()
{
  cmp -s "$tmp/out" "$tmp/expected"
}

# Has to succeed after a run that fails.
check_failed ()
{
  :
}

# The exit status when no call fails; if it is not 0, the commands are to fail
# in any case.
status_without=0

# each_call_fails COMMAND...: run the command again and again, each time with
# another call that fails.  Each time it must do what it does when no call fails
# (check), or say why it does not.
each_call_fails ()
{
  local n=0 status

  while :; do
    status=0
    with_failing "$n" "$@" || status=$?
    if [ "$n" = 0 ]; then
      [ "$status" = "$status_without" ] ||
        fail "$*: status $status: $(cat "$tmp/err")"
      cp "$tmp/out" "$tmp/expected"
    elif [ -z "$failed" ]; then
      [ "$calls" -lt "$n" ] || fail "$*: call $n did not fail"
      break
    fi
    case $status in
      0) [ "$status_without" = 0 ] || fail "$*: $failed, and it succeeds"
         check || fail "$*: $failed, and it says nothing of it" ;;
      # Of its own, or of another program of ours that it runs.
      1 | "$status_without")
         [[ $(tail -n 1 "$tmp/err") == nullblk*": "?* ]] ||
           fail "$*: $failed, and it says no more than: $(cat "$tmp/err")"
         check_failed || fail "$*: $failed, and that is left behind" ;;
      *) fail "$*: $failed: status $status: $(cat "$tmp/err")" ;;
    esac
    [ -z "${NULLBLK_VERBOSE-}" ] ||
      echo "$n: $failed: $status $(tail -n 1 "$tmp/err")"
    n=$((n + 1))
  done
  [ "$n" -gt 3 ] || fail "$*: $((n - 1)) calls"
  echo "$((n - 1)) calls: ${*##*/}"
}
