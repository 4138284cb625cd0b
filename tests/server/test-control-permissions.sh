#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Who may use the control exports, and who neither sees nor opens them: root,
# the server's user, another user, over a Unix socket and TCP, with and without
# TLS, for each value of control=.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires nbdinfo nbdcopy setpriv psktool

[ "$(id -u)" = 0 ] || skip "only root can be several users"
server_user=65534 # nobody, as a rule; no user has to exist for these
other_user=65533
chmod 755 "$tmp"
umask 022
# The build may be where others may not look.
install -m 755 "$PLUGIN" "$tmp/nullblk.so"
PLUGIN=$tmp/nullblk.so

psktool -u alice -p "$tmp/psk" >"$tmp/out" 2>&1 || fail "$(cat "$tmp/out")"
chmod 644 "$tmp/psk"

as ()
{
  setpriv --reuid="$1" --regid="$1" --clear-groups -- "${@:2}"
}

# serve_as USER CONTROL unix|tcp [NBDKIT-OPTION]...: start a server, and set
# $base and $query, the parts of its URI before and behind the export's name.
serve_as ()
{
  local user=$1 control=$2 transport=$3 try

  sock=$tmp/run/sock
  rm -rf "$tmp/run"
  mkdir "$tmp/run"
  chown "$user" "$tmp/run"
  if [ "$transport" = unix ]; then
    base="nbd+unix:///" query="?socket=$sock"
    start_as "$user" -U "$sock" "${@:4}" "$PLUGIN" 1M control="$control" ||
      fail "the server does not listen"
    chmod 666 "$sock"
    return
  fi
  # Another program may have taken the port.
  for try in {1..50}; do
    port=$((20000 + RANDOM % 10000))
    base="nbd://127.0.0.1:$port/" query=
    start_as "$user" -i 127.0.0.1 -p "$port" "${@:4}" "$PLUGIN" 1M \
      control="$control" && return
    echo "attempt $try: no luck with port $port"
  done
  fail "the server does not listen"
}

# start_as USER ARGUMENT...: start nbdkit.  Returns 1 if it ends at once.
start_as ()
{
  setpriv --reuid="$1" --regid="$1" --clear-groups -- \
    "$NBDKIT" -f -P "$tmp/run/pid" "${@:2}" &
  server_pid=$!
  wait_until 60 has_begun_or_ended || fail "the server does not listen"
  [ -s "$tmp/run/pid" ] && return
  wait "$server_pid" || true
  server_pid=
  return 1
}

has_begun_or_ended ()
{
  [ -s "$tmp/run/pid" ] || process_ended "$server_pid"
}

# can USER: have the user list, read and change; print "yes" if all of it works,
# and "no" if none does.
can ()
{
  local user=$1 done=0 name

  as "$user" nbdinfo --list "$base$query" >"$tmp/list" 2>"$tmp/err" ||
    fail "$(cat "$tmp/err")"
  grep -q '^export="nullb0":' "$tmp/list" || fail "$(cat "$tmp/list")"
  for name in config stats; do
    if grep -q "^export=\"nullb0\.$name\":" "$tmp/list"; then
      done=$((done + 1))
    fi
    if as "$user" nbdinfo "${base}nullb0.$name$query" >"$tmp/out" \
        2>"$tmp/err"; then
      done=$((done + 1))
    else
      grep -q "nullb0.$name" "$tmp/err" || fail "$(cat "$tmp/err")"
    fi
  done
  if echo discard=false |
      as "$user" nbdcopy - "${base}nullb0.config$query" 2>"$tmp/err"; then
    done=$((done + 1))
  fi
  case $done in
    0) echo no ;;
    5) echo yes ;;
    *) fail "$user could do $done of 5 things" ;;
  esac
}

# expect WHAT USER yes|no
expect ()
{
  local got

  got=$(can "$2")
  printf '%-32s %s\n' "$1" "$got"
  [ "$got" = "$3" ] || fail "$1: $got, not $3"
}

# expect_all CONTROL ROOT SERVERS-USER OTHER TCP TLS TLS-OVER-UNIX
expect_all ()
{
  serve_as "$server_user" "$1" unix
  expect "control=$1: root" 0 "$2"
  expect "control=$1: server's user" "$server_user" "$3"
  expect "control=$1: another user" "$other_user" "$4"
  stop_server
  serve_as "$server_user" "$1" tcp
  expect "control=$1: TCP, root" 0 "$5"
  expect "control=$1: TCP, server's user" "$server_user" "$5"
  stop_server
  if has_tls; then
    serve_as "$server_user" "$1" tcp --tls=require --tls-psk="$tmp/psk"
    base="nbds://alice@127.0.0.1:$port/" query="?tls-psk-file=$tmp/psk"
    expect "control=$1: TLS, root" 0 "$6"
    stop_server
    serve_as "$server_user" "$1" unix --tls=require --tls-psk="$tmp/psk"
    base="nbds+unix://alice@/" query="?socket=$sock&tls-psk-file=$tmp/psk"
    expect "control=$1: TLS on Unix, root" 0 "$7"
    expect "control=$1: TLS on Unix, another" "$other_user" "$4"
    stop_server
  else
    leave_out "this nbdkit has no TLS"
  fi
}

expect_all local yes yes no no no yes
expect_all any yes yes yes yes yes yes
expect_all off no no no no no no
