#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A server, with each call of nullblk-serve, the plugin and the batch library
# failing once.  Either it does not start, and says why; or it serves, and all
# that it has acknowledged is there.

# shellcheck source=failing.sh source-path=SCRIPTDIR
source "${0%/*}/failing.sh"
serve=$top_builddir/tools/nullblk-serve
client=$top_builddir/tests/server/acknowledged
[ -x "$client" ] || skip "there is no libnbd"
NBDKIT=${NULLBLK_NBDKIT:-$NBDKIT}
export NULLBLK_NBDKIT=$NBDKIT
unset NULLBLK_BATCH

prepare ()
{
  rm -f "$tmp"/log*
}

# The client runs by the server's --run, so both end together, and the server's
# status tells of both.  each_call_of_server_fails WORD...
each_call_of_server_fails ()
{
  local n=0 status

  while :; do
    status=0
    with_failing "$n" "$serve" -U - "$@" \
      --run "exec '$client' \"\$uri\" 64" || status=$?
    if [ "$n" = 0 ]; then
      [ "$status $(cat "$tmp/out")" = "0 64 of 64" ] ||
        fail "$*: status $status: $(cat "$tmp/out" "$tmp/err")"
    elif [ -z "$failed" ]; then
      break
    fi
    [ -z "${NULLBLK_VERBOSE-}" ] ||
      echo "$n: $failed: $status $(cat "$tmp/out") $(cat "$tmp/err")"
    case $status in
      0) ;;
      # nbdkit says nothing of some calls that it makes through the library.
      1) [ -s "$tmp/err" ] || [[ $failed = 'fcntl at libnullblk-batch'* ]] ||
           fail "$*: $failed, and it says nothing"
         [ ! -s "$tmp/out" ] || fail "$*: $failed: $(cat "$tmp/out")" ;;
      *) fail "$*: $failed: status $status: $(cat "$tmp/err")" ;;
    esac
    n=$((n + 1))
  done
  echo "$((n - 1)) calls: $*"
}

export NULLBLK_FAIL_CHILDREN=yes
same=${NULLBLK_FAIL_SAME:-1}
each_call_of_server_fails size=1M memory-backed=true latency=1ms
each_call_of_server_fails size=1M memory-backed=true zoned=true zone-size=64K \
  cache-size=64K write-log="$tmp/log" badblocks=+2000-2001 \
  fault='op=read every=7 delay=1ms'

# With files that it reads.
cat >"$tmp/drive.model" <<'END'
# a model
lanes=4
write-latency=1us
END
printf '50,10000\n99,20000\n' >"$tmp/latency"
each_call_of_server_fails size=1M memory-backed=true \
  model="$tmp/drive.model" read-latency=file:"$tmp/latency"
