#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-attach and what is not its own: a device that another user has
# attached under the same number, before ours or after ours was gone; a process
# that has the pid of one of ours; a directory that a crash has left.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

if on_host; then
  boot_to_attach
  exit
fi

# Another user's server, device and filesystem, at nbd0.
start_server 64M memory-backed=true
theirs=$sock
mkdir -p "$tmp/mnt"
they_attach ()
{
  wait_until 30 is_theirs "$theirs" || fail "nbd0 is not theirs"
  try mkfs.ext4 -q -F /dev/nbd0
  try mount /dev/nbd0 "$tmp/mnt"
  echo kept >"$tmp/mnt/file"
  sync
}

# they_are_well WHAT: see that their file is there, also on the device, and that
# they can write.
they_are_well ()
{
  echo 3 >/proc/sys/vm/drop_caches
  [ "$(cat "$tmp/mnt/file")" = kept ] || fail "$1: their file is gone"
  echo more >"$tmp/mnt/more"
  try sync "$tmp/mnt/more"
}

they_detach ()
{
  try umount "$tmp/mnt"
  detach
}

nothing_left ()
{
  [ -z "$(ls /run/nullblk)" ] || fail "left: $(ls /run/nullblk)"
}

# They attach nbd0 while our server starts, when nullblk-attach has chosen nbd0.
cat >"$tmp/nbdkit" <<END
#!/bin/bash
nbd-client --unix "$theirs" /dev/nbd0 >/dev/null 2>&1
exec "$NULLBLK_NBDKIT" "\$@"
END
chmod +x "$tmp/nbdkit"
NULLBLK_NBDKIT=$tmp/nbdkit made /dev/nbd1 32M memory-backed=true
[ "$(ls /run/nullblk)" = nbd1 ] || fail "not nbd1: $(ls /run/nullblk)"
shows /sys/block/nbd0/size 131072
shows /sys/block/nbd1/size 65536
disk=/dev/nbd1 verify --rw=randwrite --bs=4k
try "$attach" --detach nbd1
nothing_left
shows /sys/block/nbd0/size 131072
detach

# The same, and no other node is free: the kernel makes one.
for n in 1 2 3; do
  made "/dev/nbd$((n - 1))" --name "n$n" 1M
done
sed -i 's,/dev/nbd0,/dev/nbd3,' "$tmp/nbdkit"
NULLBLK_NBDKIT=$tmp/nbdkit made /dev/nbd4 32M
shows /sys/block/nbd3/size 131072
shows /sys/block/nbd4/size 65536
try "$attach" --detach --all
nothing_left
shows /sys/block/nbd3/size 131072
nbd-client --disconnect /dev/nbd3 >/dev/null

# Ours is disconnected behind its back, and they attach the same number.
for what in --all scratch; do
  made /dev/nbd0 --name scratch 64M
  take_away
  they_attach
  "$attach" --list | grep '^scratch *(dead)' >/dev/null ||
      fail "theirs is ours"
  try "$attach" --detach $what
  they_are_well "--detach $what"
  nothing_left
  they_detach
done

# If another device of ours has the number by then, --detach of its path means
# that one.
try modprobe -r nbd
try modprobe nbd nbds_max=0
made /dev/nbd0 --name gone 1M
take_away
made_soon ()
{
  # The number is free again only when its node has gone.
  [ "$("$attach" --name here 1M)" = /dev/nbd0 ] ||
    { "$attach" --detach here && false; }
}
wait_until 60 made_soon || fail "it does not get the same number"
try "$attach" --detach /dev/nbd0
[ "$(ls /run/nullblk)" = gone ] || fail "left: $(ls /run/nullblk)"
try "$attach" --detach --all
nothing_left
try modprobe -r nbd
try modprobe nbd nbds_max=4

# --persist must not give their device a connection to our server.  A process
# that has nothing to do with us has nbdkit's name.
mkdir "$tmp/bin"
cp "$(command -v bash)" "$tmp/bin/nbdkit"
mkfifo "$tmp/fifo"
"$tmp/bin/nbdkit" -c "read -r < '$tmp/fifo'; :" &
sleeper=$!
made /dev/nbd0 --persist=60 -C 1 "$uri"
take_away
# The watcher's pid is that of this process by now.
read -r pid start </run/nullblk/nbd0/watcher
echo "$sleeper $start" >/run/nullblk/nbd0/watcher
wait_until 30 process_ended "$pid" || fail "the watcher lives on"
try "$attach" --detach nbd0
kill -0 "$sleeper" || fail "it killed what is not its own"
nothing_left

# Our watcher waits for the reply of our server, which has just come back.
# Meanwhile they attach the same number, and lose their server: ours does not
# serve them.
mkdir "$tmp/back"
serve ()
{
  rm -f "$2"
  "$NBDKIT" -f -U "$1" -P "$2" "$PLUGIN" 64M &
  wait_until 60 test -s "$2" || fail "$1: it does not listen"
}
watcher_has_asked ()
{
  [ "$(grep -c "$tmp/back/asked\$" /proc/net/unix)" -ge 2 ]
}
serve "$tmp/back/sock" "$tmp/back/pid"
made /dev/nbd0 --persist=60 -C 1 "nbd+unix:///?socket=$tmp/back/sock"
read -r pid start </run/nullblk/nbd0/watcher
kill -KILL "$(cat "$tmp/back/pid")"
serve "$tmp/back/theirs" "$tmp/back/theirs-pid"
serve "$tmp/back/asked" "$tmp/back/pid"
kill -STOP "$(cat "$tmp/back/pid")"
mv "$tmp/back/asked" "$tmp/back/sock"
wait_until 60 watcher_has_asked || fail "it does not reconnect"
take_away
wait_until 30 is_theirs "$tmp/back/theirs" || fail "nbd0 is not theirs"
kill -KILL "$(cat "$tmp/back/theirs-pid")"
kill -CONT "$(cat "$tmp/back/pid")"
wait_until 60 process_ended "$pid" || fail "the watcher lives on"
! dmesg | grep 'reconnected socket' || fail "theirs has a connection to ours"
detach
kill "$(cat "$tmp/back/pid")"
try "$attach" --detach nbd0
nothing_left

# The same with the pid of a server.
made /dev/nbd0 1M
read -r pid start </run/nullblk/nbd0/server
[ "$(cat "/proc/$sleeper/comm")" = nbdkit ] || fail "it is not called so"
kill -KILL "$pid"
echo "$sleeper $start" >/run/nullblk/nbd0/server
echo "$sleeper" >/run/nullblk/nbd0/pid
try "$attach" --detach nbd0
kill -0 "$sleeper" || fail "it killed what is not its own"
kill "$sleeper"
nothing_left

# A server of ours ends, whatever its program is called.
cp "$NULLBLK_NBDKIT" "$tmp/nbdkit-1.42"
NULLBLK_NBDKIT=$tmp/nbdkit-1.42 made /dev/nbd0 1M
pid=$(cat /run/nullblk/nbd0/pid)
[ "$(cat "/proc/$pid/comm")" = nbdkit-1.42 ] || fail "not the program"
try "$attach" --detach nbd0
! kill -0 "$pid" 2>/dev/null || fail "our server lives on"
# Also if nullblk-attach was killed before it had noted the server.
made /dev/nbd0 --name early 1M
pid=$(cat /run/nullblk/early/pid)
rm /run/nullblk/early/server
try "$attach" --detach early
! kill -0 "$pid" 2>/dev/null || fail "our server lives on"
nothing_left

# A directory that a crash has left is in nobody's way.
mkdir /run/nullblk/nbd0
made /dev/nbd0 1M
"$attach" --list >"$tmp/list"
grep '^nbd0 *(dead)' "$tmp/list" >/dev/null || fail "it is not listed"
grep '^nbd0\.1 */dev/nbd0 ' "$tmp/list" >/dev/null || fail "$(cat "$tmp/list")"
try "$attach" --detach --all
nothing_left
