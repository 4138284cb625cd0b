#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblkctl top on a terminal, driven in tmux: what it shows under load, its
# keys, a terminal that becomes tiny, and a server that goes and comes back.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires tmux fio

# A server of tmux of our own.
in_tmux=(env -u TMUX TERM=screen tmux -S "$tmp/tmux" -f /dev/null)

end_tmux ()
{
  "${in_tmux[@]}" kill-server 2>/dev/null
}
at_exit+=(end_tmux)

screen ()
{
  "${in_tmux[@]}" capture-pane -p -t top
}

# has PATTERN: does the screen have it now?
has ()
{
  screen | grep -E -- "$1" >/dev/null
}

# shows PATTERN: wait until the screen has it.
shows ()
{
  wait_until 60 has "$1" || fail "the screen has no '$1': $(screen)"
}

press ()
{
  "${in_tmux[@]}" send-keys -t top "$1"
}

has_ended ()
{
  ! "${in_tmux[@]}" has-session -t top 2>/dev/null
}

start_server 64M memory-backed=true devices=2
fio --name=load --ioengine=nbd --uri="$uri" --rw=randrw --bs=4k --iodepth=8 \
  --thread --size=16M --time_based --runtime=600 >"$tmp/fio" 2>&1 &
load=$!
end_load ()
{
  [ -z "$load" ] || end_process "$load"
}
at_exit+=(end_load)

"${in_tmux[@]}" new-session -d -s top -x 100 -y 30 "$ctl" top "$sock"
shows '^nullblk top: nullb0 .*connections 1 '
shows '^memory 16\.0M of .*written 16\.0M'
shows '^read +[0-9.]+k?/s +[0-9.]+[KMG]/s +- +[0-9.]+[num]s '
shows '^write +[0-9.]+k?/s '
shows '^ +.*##'

# Paused: the time stands still.
press p
shows '\[paused\]'
was=$(screen | sed -n 1p)
press x
[ "$(screen | sed -n 1p)" = "$was" ] || fail "it goes on: $(screen)"
press p
gone_on ()
{
  [ "$(screen | sed -n 1p)" != "$was" ] && ! has '\[paused\]'
}
wait_until 60 gone_on || fail "it does not go on: $(screen)"

press d
shows '^nullblk top: nullb1 .*connections 0 '
shows '^read +-/s'
press d
shows '^nullblk top: nullb0 '

# Without load, statistics that are reset stay 0.
end_load
load=
shows 'connections 0 '
"$ctl" stats --json "$sock" >"$tmp/before"
press r
is_reset ()
{
  "$ctl" stats "$sock" | grep -E '^read +0 ' >/dev/null
}
wait_until 60 is_reset || fail "statistics are as before"

# The terminal becomes tiny, and large again.
"${in_tmux[@]}" resize-window -t top -x 20 -y 3
shows 'nullblk top'
"${in_tmux[@]}" resize-window -t top -x 100 -y 30
shows '^q quit'

# The server goes away and comes back.
kill -KILL "$server_pid"
wait "$server_pid" || true
server_pid=
shows 'no statistics: '
start_server 64M memory-backed=true
shows '^nullblk top: nullb0 +up [0-9]+ s'

# If a key's action fails, that is shown until the next key.
kill -KILL "$server_pid"
wait "$server_pid" || true
server_pid=
start_server -r 64M memory-backed=true
shows '^nullblk top: nullb0 +up [0-9]+ s'
press r
shows '^no reset: the server lets nobody write to the settings'
press x
shows '^q quit'

press q
wait_until 60 has_ended || fail "it does not end: $(screen)"
