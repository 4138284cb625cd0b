#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Without -f nbdkit goes into the background, by a fork between .get_ready and
# .after_fork and with / as its directory: the plugin is named by a relative
# path, and serves afterwards.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io nbdinfo perl

stop_daemon ()
{
  [ ! -s "$tmp/pid" ] || end_process "$(cat "$tmp/pid")"
}
at_exit+=(stop_daemon)

sock=$tmp/sock
uri=$(uri_of '')
ln -s "$PLUGIN" "$tmp/nullblk.so"
cd "$tmp"
"$NBDKIT" -U sock -P pid ./nullblk.so 1G memory-backed=true
wait_until 60 test -s pid || fail "there is no pid file"
pid=$(cat pid)
[ "$(readlink "/proc/$pid/cwd")" = / ] || fail "this is not a daemon"

io 'write -P 5 512M 8M' 'read -P 5 512M 8M' 'read -P 0 0 8M' flush
[ "$(map | grep data)" = '536870912 8388608 data' ] || fail "wrong map: $(map)"
io 'discard 512M 8M' 'read -P 0 512M 8M'

end_process "$pid" || fail "the server had to be killed"
rm "$tmp/pid"

# Nobody waits for this child.
perl -e 'my $pid = fork; if ($pid == 0) { exit 0 } print "$pid\n"; close STDOUT;
  sleep 300' >zombie &
parent=$!
end_parent ()
{
  kill "$parent" 2>/dev/null || true
}
at_exit+=(end_parent)
wait_until 60 test -s zombie || fail "there is no zombie"
pid=$(cat zombie)
is_zombie ()
{
  grep -q '^State:.Z' "/proc/$pid/status"
}
wait_until 60 is_zombie || fail "the child does not end"
process_ended "$pid" || fail "a zombie has not ended"
