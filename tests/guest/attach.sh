# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What every test of nullblk-attach begins with: functions.sh, the program, and
# the end, at which all is detached.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

export NULLBLK_PLUGIN=$PLUGIN
# $attach makes an nbd device of parameters, unless a test gives another --as.
attach=$tmp/nullblk-attach-nbd
cat >"$attach" <<'END'
#!/bin/sh
case " $* " in
  *://* | *' --list '* | *' --detach '*) exec /nullblk-attach "$@" ;;
esac
exec /nullblk-attach --as=nbd "$@"
END
chmod +x "$attach"

# boot_to_attach: boot_guest, unless the program to test is not built.
boot_to_attach ()
{
  [ -x "$top_builddir/tools/nullblk-attach" ] ||
    skip "nullblk-attach is not built"
  # shellcheck disable=SC2119
  boot_guest
}

# A server that a test has stopped would keep its devices from being detached.
wake_server ()
{
  [ -z "$server_pid" ] || kill -CONT "$server_pid" 2>/dev/null || true
}

detach_all ()
{
  "$attach" --detach --all
}
on_host || at_exit+=(wake_server detach_all)

# leaves_nothing WHEN: fail the test if there is a file, a device, or a server
# other than the test's.
leaves_nothing ()
{
  local n left

  [ -z "$(ls /run/nullblk)" ] || fail "$1: left: $(ls /run/nullblk)"
  left=$(processes nbdkit | grep -vx "${server_pid:-none}" || true)
  [ -z "$left" ] || fail "$1: left: a server, $left"
  for n in 0 1 2 3; do
    [ ! -e "/sys/block/nbd$n/pid" ] || fail "$1: left: /dev/nbd$n"
  done
}

no_node ()
{
  [ ! -e /sys/block/nbd0/size ]
}

# take_away: disconnect our /dev/nbd0 behind nullblk-attach's back.
take_away ()
{
  nbd-client --disconnect /dev/nbd0 >/dev/null
  wait_until 30 no_node || fail "ours is not disconnected"
}

# is_theirs SOCKET: attach /dev/nbd0 to SOCKET as another program does, if it is
# not attached yet.  For a moment after the node has gone that fails.
is_theirs ()
{
  attached || { nbd-client --unix "$1" /dev/nbd0 >/dev/null 2>&1 && attached; }
}

# made DEVICE ARGUMENT...: nullblk-attach must print DEVICE, and nothing else.
made ()
{
  local out

  out=$("$attach" "${@:2}" 2>"$tmp/err") || fail "${*:2}: $(cat "$tmp/err")"
  [ "$out" = "$1" ] || fail "${*:2}: it says '$out', not '$1'"
}
