# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the tests of crash consistency share: a filesystem on /dev/nbd0 with
# files that are changed durably and with a database of sqlite3's, power that is
# cut at some write while both are changed, and what must be there when it is
# back.  A test says in $fs which filesystem, and in $journal how sqlite3
# commits, and calls crash_test, in both halves.
#
# NULLBLK_GUEST_CUTS is the number of cuts, in place of the test's.  Hundreds
# take longer than a test may, unless NULLBLK_TIMED=yes and NULLBLK_LIMIT=3600
# are set.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

crash_host ()
{
  local program

  requires sqlite3
  for program in tools/nullblkctl tests/guest/crash-files; do
    [ -x "$top_builddir/$program" ] || skip "$program is not built"
  done
  boot_guest
}

# crash_test COUNT LYING: COUNT cuts of power, half of them with FUA and half
# without, must lose nothing that was promised.  Of LYING cuts of a device whose
# flushes do nothing, some must.
crash_test ()
{
  local count=${NULLBLK_GUEST_CUTS:-$1} fua

  if on_host; then
    crash_host
    return
  fi
  for fua in true false; do
    begin "fua=$fua"
    cut_many_times $(((count + 1) / 2))
    [ "$losses" = 0 ] || fail "$losses losses in $cuts cuts"
    [ "$durable" -gt "$cuts" ] || fail "$durable changes in $cuts cuts"
    end
  done

  flush='op=flush corrupt=stale'
  begin fua=false
  cut_many_times "$2"
  [ "$losses" -gt 0 ] || fail "no losses, and flushes lie"
  end
}

on_host && return

ctl=/nullblkctl
files=/crash-files
flush=none   # the fault rule that `cut` sets
files_done=0 # changes of files that are durable,
db_done=1000 # and transactions
cuts=0 losses=0 durable=0

# shellcheck disable=SC2154 # the test sets it
case $fs in
  ext4)
    make=(mkfs.ext4 -q -F -b 4096) check=(e2fsck -fn) size=24M options=noatime
    ;;
  xfs) # smaller than mkfs.xfs wants, so that it is quicker, but for the log,
    # which is as small as xfsprogs allow since 6.13
    make=(mkfs.xfs -q -f --unsupported -l size=13m) check=(xfs_repair -n)
    size=32M options=noatime
    ;;
esac

# sql STATEMENT...: print their results in the database.
sql ()
{
  sqlite3 -bail /mnt/db "$@" 2>&1
}

# Each transaction changes the counter and one row of t, both or neither: row I
# is changed by every 32nd transaction.
make_database ()
{
  # shellcheck disable=SC2154 # the test sets it
  sql "PRAGMA page_size=1024; PRAGMA journal_mode=$journal;
    CREATE TABLE counter (n INTEGER);
    CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, b BLOB);
    CREATE INDEX t_b ON t (b);
    INSERT INTO counter VALUES ($db_done);
    WITH RECURSIVE i (id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM i
      WHERE id < 31)
    INSERT INTO t SELECT id, $db_done - ($db_done - id) % 32, '' FROM i;" \
    >"$tmp/sql" || fail "$(cat "$tmp/sql")"
}

# A transaction prints the counter after it is committed.  synchronous=EXTRA
# makes commits durable that remove their journal.  The SELECT has a line of its
# own: if a statement fails, -bail of sqlite3 3.53 still does the rest of its
# line.
{
  echo "PRAGMA journal_mode=$journal; PRAGMA synchronous=EXTRA;"
  echo "PRAGMA wal_autocheckpoint=30;"
  for ((i = 0; i < 400; i++)); do
    echo "BEGIN; UPDATE counter SET n = n + 1;
      UPDATE t SET n = c.n, b = randomblob (abs (random () % 1500))
        FROM counter c WHERE t.id = c.n % 32;
      COMMIT;
      SELECT 'n', n FROM counter;"
  done
} >"$tmp/transactions"

make_filesystem ()
{
  modprobe "$fs"
  try "${make[@]}" "$nbd"
  try mount -t "$fs" -o "$options" "$nbd" /mnt
  mkdir /mnt/files
  files_done=0
  make_database
  try umount /mnt
}

# begin KEY=VALUE...: start a server, and make the filesystem.  A cut of power
# tears writes between blocks of the device, and neither filesystem is safe from
# that within a block of its own: at 512 bytes, one cut in forty makes of ext4's
# superblock, or of a directory of XFS, something with a wrong checksum.
begin ()
{
  start_server "$size" memory-backed=true block-size=4K cache-size=64M \
    "seed=$seed" "$@"
  attach --block-size 4096
  make_filesystem
  cuts=0 losses=0 durable=0
}

end ()
{
  detach
  stop_server
}

# lost WHAT: note the loss of something that was promised.
lost ()
{
  losses=$((losses + 1))
  echo "cut $cuts: $*"
}

# work: change files and the database, side by side, until power is cut.
work ()
{
  local n

  "$files" write /mnt/files "$files_done" >"$tmp/files" 2>&1 &
  sqlite3 -bail /mnt/db <"$tmp/transactions" >"$tmp/committed" 2>"$tmp/sql" ||
    true
  wait $! || fail "$(cat "$tmp/files")"
  n=$(cat "$tmp/files")
  durable=$((durable + n - files_done))
  files_done=$n
  n=$(awk -F '|' '$1 == "n" { n = $2 } END { print n }' "$tmp/committed")
  if [ -n "$n" ]; then
    durable=$((durable + n - db_done))
    db_done=$n
  fi
}

# Check that what was promised is there; what was under way may be there or not.
check_content ()
{
  local n

  "$files" check /mnt/files "$files_done" >"$tmp/files" 2>&1 ||
    lost "files: $(head -n 3 "$tmp/files")"
  sql 'PRAGMA integrity_check; SELECT n FROM counter;
    SELECT count (*) FROM t, counter c
    WHERE t.n != c.n - (c.n - t.id) % 32;' >"$tmp/sql" || true
  n=$(sed -n 2p "$tmp/sql")
  if [ "$(paste -sd ' ' "$tmp/sql")" != "ok $n 0" ]; then
    lost "the database: $(head -n 3 "$tmp/sql")"
  elif [ "$n" != "$db_done" ] && [ "$n" != $((db_done + 1)) ]; then
    lost "$n transactions are there of $db_done"
  else
    db_done=$n
  fi
}

# Mount the filesystem, whose device may fail meanwhile.  XFS tries a write of
# metadata that has failed again for ever, in a mount, too, unless it is told
# not to, which can be done from some point of the mount on.
mount_it ()
{
  local retries=/sys/fs/xfs/${nbd##*/}/error/metadata/EIO/max_retries pid

  mount -t "$fs" -o "$options" "$nbd" /mnt 2>"$tmp/mount" &
  pid=$!
  while [ "$fs" = xfs ] && kill -0 "$pid" 2>/dev/null; do
    { echo 0 >"$retries"; } 2>/dev/null || true
    sleep 0.1
  done
  wait "$pid"
}

# Check what is there after power is back, and the journal was replayed.
check_all ()
{
  local before=$losses

  if mount_it; then
    check_content
    try umount /mnt
    "${check[@]}" "$nbd" >"$tmp/check" 2>&1 ||
      lost "${check[0]}: $(tail -n 3 "$tmp/check")"
  else
    lost "$(cat "$tmp/mount")"
  fi
  [ "$losses" = "$before" ] || make_filesystem
}

# cut WRITES LOSE: cut power at that write from now on, which may be one of the
# mount, and lose LOSE of what is volatile.
cut ()
{
  try "$ctl" set "$sock" "power-cut-after=$1" "lose=$2" "fault=$flush"
  if mount_it; then
    work
    try umount /mnt
  fi
  if dd if="$nbd" of=/dev/null count=1 iflag=direct 2>"$tmp/dd"; then
    fail "power is not cut at write $1: $("$ctl" power status "$sock")"
  fi
  try "$ctl" set "$sock" power=on fault-delete=all
  cuts=$((cuts + 1))
}

# cut_many_times COUNT: count $cuts, the changes that are $durable, and $losses
# of what was promised.  Sometimes power is cut once more while the journal is
# replayed.
cut_many_times ()
{
  local lose=(random random all)

  while ((cuts < $1)); do
    cut $((1 + RANDOM % 200)) "${lose[cuts % 3]}"
    if [ "$flush" = none ] && ((cuts % 4 == 3)); then
      cut $((1 + RANDOM % 12)) "${lose[cuts % 3]}"
    fi
    check_all
  done
  echo "$fs, journal_mode=$journal: $cuts cuts," \
    "$durable durable changes, $losses losses, ${SECONDS}s"
}

RANDOM=$seed
