# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What every server test in shell begins with.  A test that sources this has
#
#   $tmp      a directory of its own, removed at the end
#   $NBDKIT, $PLUGIN, $top_srcdir, $top_builddir    from make check
#
# and at most one server at a time ($server_pid, listening on $sock or $port),
# which is ended with the test.  A server that has to be killed fails the test;
# so does one that stop_server ends, if its exit status is not 0.
#
# A test that runs for more than five minutes, or $most_seconds where that is
# set before, is ended by SIGTERM.  The test is a process group of its own, so
# that what it waits for is ended, too.  The process that starts it stays in
# make's group, and passes on the signals of that group, as of Ctrl-C or at the
# end of CI's time.

set -euo pipefail
export LC_ALL=C # for what clients say of errors

if [ -z "${NULLBLK_TIMED-}" ]; then
  export NULLBLK_TIMED=yes
  set -m # for a group that Ctrl-C can be handed to
  timeout --kill-after=90 "${most_seconds-300}" bash "$0" "$@" &
  trap 'kill "$!"' HUP INT TERM
  until wait "$!"; status=$?; ! kill -0 "$!" 2>/dev/null; do :; done
  exit "$status"
fi

: "${NBDKIT:?is set by make check}" "${PLUGIN:?is set by make check}"
: "${top_srcdir:?is set by make check}" "${top_builddir:?is set by make check}"

# mke2fs is in one of these, which not every user has in the path.
PATH=$PATH:/usr/sbin:/sbin

fail ()
{
  echo "${0##*/}: $*" >&2
  exit 1
}

skip ()
{
  echo "skipped: $*"
  exit 77
}

# leave_out WHAT: skip a part of the test.  The rest is run, and then the test
# counts as one that was skipped.
left_out=''
leave_out ()
{
  echo "skipped: $*"
  left_out=yes
}

# requires PROGRAM...: skip the test if one is missing.
requires ()
{
  local prog

  for prog; do
    command -v -- "$prog" >/dev/null || skip "$prog is missing"
  done
}

# requires_filter NAME: skip the test where nbdkit has no such filter.
requires_filter ()
{
  "$NBDKIT" --filter="$1" "$PLUGIN" --version >/dev/null 2>&1 ||
    skip "nbdkit's filter $1 is missing"
}

# is_before_1_42: is nbdkit older than 1.42?
is_before_1_42 ()
{
  "$NBDKIT" --dump-config |
    grep -Ex 'version_minor=([12]?[0-9]|3[0-9]|4[01])' >/dev/null
}

has_tls ()
{
  "$NBDKIT" --dump-config | grep -x tls=yes >/dev/null
}

# wait_until SECONDS COMMAND...: run it until it succeeds.  Returns 1 if it has
# not after so many seconds.
wait_until ()
{
  local end=$((SECONDS + $1))

  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.05
  done
}

# new_seed: print a seed, and say so; NULLBLK_SEED in the environment repeats a
# run.
new_seed ()
{
  local seed=${NULLBLK_SEED:-$((RANDOM << 15 | RANDOM))}

  echo "NULLBLK_SEED=$seed" >&2
  echo "$seed"
}

# random_file FILE SEED COUNT: the same bytes for the same seed and awk.
random_file ()
{
  awk -v seed="$2" -v lines=$(($3 / 10 + 1)) 'BEGIN {
    srand (seed)
    while (lines-- > 0)
      printf "%09d\n", rand () * 1e9
  }' >"$1"
  truncate -s "$3" "$1"
}

#----------------------------------------------------------------------
# The server

# shellcheck source=../port.sh
source "${BASH_SOURCE[0]%/*}/../port.sh"

server_pid=
sock=

# What is put before nbdkit, such as valgrind.
wrapper=()

# start_server [NBDKIT-OPTION | KEY=VALUE]...
start_server ()
{
  sock=$tmp/sock
  uri="nbd+unix:///?socket=$sock"
  rm -f "$tmp/pid" "$sock"
  "${wrapper[@]}" "$NBDKIT" -f -U "$sock" -P "$tmp/pid" "$PLUGIN" "$@" &
  server_pid=$!
  wait_until 60 server_listens_or_ended || fail "the server does not listen"
  [ -s "$tmp/pid" ] || fail "the server ended instead of listening"
}

# start_tcp_server [NBDKIT-OPTION | KEY=VALUE]...: like start_server, but on
# $port of 127.0.0.1.  If another process takes the port first, there is another
# try.
start_tcp_server ()
{
  local try

  for try in 1 2 3 4 5; do
    port=$(free_port)
    rm -f "$tmp/pid"
    "$NBDKIT" -f -i 127.0.0.1 -p "$port" -P "$tmp/pid" "$PLUGIN" "$@" &
    server_pid=$!
    wait_until 60 server_listens_or_ended || fail "the server does not listen"
    if [ -s "$tmp/pid" ]; then
      uri=nbd://127.0.0.1:$port
      return
    fi
    echo "try $try: nbdkit does not listen on port $port"
  done
  fail "the server ended instead of listening"
}

server_listens_or_ended ()
{
  [ -s "$tmp/pid" ] || process_ended "$server_pid"
}

# uri_of EXPORT
uri_of ()
{
  echo "nbd+unix:///$1?socket=$sock"
}

# process_ended PID: a zombie has ended, too.  In a container the first process
# may be one that never waits for the daemons that it inherits.
process_ended ()
{
  ! kill -0 "$1" 2>/dev/null ||
    grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

# end_process PID: ask it to end, and wait.  Returns 1 if it had to be killed.
end_process ()
{
  kill "$1" 2>/dev/null || true
  wait_until 60 process_ended "$1" && return
  kill -KILL "$1"
  return 1
}

stop_server ()
{
  local pid=$server_pid status=0

  server_pid=
  end_process "$pid" || fail "the server had to be killed"
  wait "$pid" || status=$?
  [ "$status" = 0 ] || fail "the server ended with status $status"
}

#----------------------------------------------------------------------

# map: print the map that nbdinfo shows, in lines "OFFSET LENGTH KIND", where
# KIND is "data" or "hole".
map ()
{
  nbdinfo --map "$uri" |
    awk '{ print $1, $2, $3 == 0 ? "data" : $3 == 3 ? "hole" : "type " $3 }'
}

# io COMMAND...: run commands of qemu-io.  Fails the test when one fails, or
# finds another pattern than it should.
io ()
{
  local c args=() out

  for c; do
    args+=(-c "$c")
  done
  out=$(qemu-io -f raw -d unmap "${args[@]}" "$uri" 2>&1) ||
    fail "qemu-io $*: $out"
  case $out in
    *'verification failed'* | *'failed:'*) fail "qemu-io $*: $out" ;;
  esac
}

#----------------------------------------------------------------------

# Functions to call at the end, in addition.
at_exit=()

clean_up ()
{
  local status=$? f

  set +e
  for f in "${at_exit[@]}"; do
    "$f"
  done
  if [ -n "$server_pid" ]; then
    end_process "$server_pid" || status=1
  fi
  rm -rf "$tmp"
  [ "$status" != 0 ] || [ -z "$left_out" ] || status=77
  exit "$status"
}

tmp=$(mktemp -d)
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# What tests need of TMPDIR; otherwise they would fail with other messages.
[ ${#tmp} -le 80 ] || fail "TMPDIR: $tmp is too long for the names of sockets"
[[ $tmp =~ ^[A-Za-z0-9/._-]+$ ]] ||
  fail "TMPDIR: $tmp has characters that mean something in a URI"
printf '#!/bin/sh\n' >"$tmp/program"
chmod +x "$tmp/program"
"$tmp/program" || fail "TMPDIR: no program runs from $tmp; is it noexec?"
rm "$tmp/program"

[ "$NBDKIT" != no ] || skip "nbdkit is missing" # configure says no
[ -e "$PLUGIN" ] || fail "$PLUGIN is not built"
