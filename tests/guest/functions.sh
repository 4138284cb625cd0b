# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What every guest test begins with.  Such a test has two halves in one file.
# On the host it calls boot_guest, which runs the same file in a guest.  There
# on_host is false, and the kernel's nbd driver is loaded.  Both halves have the
# functions of server/functions.sh.

# The guest's processors are emulated, by a machine that may be busy.
# shellcheck disable=SC2034 # for what comes next
most_seconds=1000

# shellcheck source=../server/functions.sh source-path=SCRIPTDIR
source "${0%/*}/../server/functions.sh"

on_host ()
{
  [ -z "${NULLBLK_GUEST-}" ]
}

# shellcheck disable=SC2120 # most need no arguments
# boot_guest [QEMU-ARGUMENT]...: run this file in a guest.  Returns if it has
# passed there, and ends the test if not.
boot_guest ()
{
  local status=0

  # In the background, as bash handles signals only when a command has ended.
  bash "${0%/*}/run-guest.sh" "$0" "$@" &
  guest=$!
  wait "$guest" || status=$?
  guest=
  case $status in
    0) ;;
    77) exit 77 ;;
    *) fail "the guest's verdict is $status" ;;
  esac
}

# make_file SIZE: make $tmp/disk, and set $sock and $uri for serve_file.
make_file ()
{
  truncate -s "$1" "$tmp/disk"
  sock=$tmp/sock
  # shellcheck disable=SC2034 # the test attaches it
  uri="nbd+unix:///?socket=$sock"
}

# serve_file NBDKIT-OPTION...: start a server of $tmp/disk, which outlives the
# server.  The options say where it listens.
serve_file ()
{
  rm -f "$tmp/pid" "$tmp/sock"
  "$NBDKIT" -f -P "$tmp/pid" "$@" file "$tmp/disk" &
  server_pid=$!
  wait_until 60 server_listens_or_ended || fail "the server does not listen"
  [ -s "$tmp/pid" ] || fail "the server ended instead of listening"
}

guest=
end_guest ()
{
  [ -z "$guest" ] || end_process "$guest"
}
at_exit+=(end_guest)

on_host && return

#----------------------------------------------------------------------
# In the guest

nbd=/dev/nbd0
# shellcheck disable=SC2034 # for the tests
queue=/sys/block/nbd0/queue
modprobe nbd max_part=8 nbds_max=4

attached ()
{
  [ "$(cat /sys/block/nbd0/size)" != 0 ] && nbd-client --check "$nbd" >/dev/null
}

# The node may have gone with the attachment.
detached ()
{
  ! nbd-client --check "$nbd" >/dev/null &&
    { [ ! -e /sys/block/nbd0/size ] || [ "$(cat /sys/block/nbd0/size)" = 0 ]; }
}

# attach [NBD-CLIENT-OPTION]...: attach the running server's export as $nbd.
attach ()
{
  attach_to --unix "$sock" "$@"
}

# attach_to --unix SOCKET | HOST PORT [NBD-CLIENT-OPTION]...: the same of
# another server.
attach_to ()
{
  local connection=("$1" "$2")

  shift 2
  nbd-client "${connection[@]}" "$nbd" "$@" >"$tmp/nbd-client" 2>&1 ||
    fail "nbd-client ${connection[*]} $*: $(cat "$tmp/nbd-client")"
  wait_until 30 attached || fail "$nbd is not attached: ${connection[*]} $*"
}

detach ()
{
  nbd-client --disconnect "$nbd" >"$tmp/nbd-client" 2>&1 ||
    fail "nbd-client --disconnect: $(cat "$tmp/nbd-client")"
  wait_until 30 detached || fail "$nbd is not detached"
}

# While the kernel is connected, the server would not end.
leave_device ()
{
  detached || nbd-client --disconnect "$nbd" >/dev/null
}
at_exit+=(leave_device)

kill_server ()
{
  kill -KILL "$server_pid"
  wait "$server_pid" || true
  server_pid=
}

# reads_disk: can $disk be read?
reads_disk ()
{
  dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct 2>"$tmp/dd"
}

comes_back ()
{
  wait_until 60 reads_disk || fail "it does not come back: $(cat "$tmp/dd")"
}

# away_for_long: the server of $tmp/disk is away for longer than the I/O of
# $disk waits.  The I/O must fail, and not hang; then $disk must come back, but
# not with another export in the place of its own.
away_for_long ()
{
  kill_server
  fails reads_disk
  grep -q 'Input/output error' "$tmp/dd" || fail "$(cat "$tmp/dd")"
  serve_file -U "$sock"
  comes_back
  verify --rw=randwrite --bs=4k --size=1M

  kill_server
  mv "$tmp/disk" "$tmp/right"
  truncate -s 8M "$tmp/disk"
  serve_file -U "$sock"
  fails reads_disk
  mv "$tmp/right" "$tmp/disk"
  kill_server
  serve_file -U "$sock"
  comes_back
}

# write_in_vain: the process $writer writes to $disk while the server is silent.
# It writes by one call, so all data is in the page cache once any is in flight.
write_in_vain ()
{
  (
    exec 7>"$disk"
    kill -STOP "$server_pid"
    dd if=/dev/urandom bs=64k count=1 iflag=fullblock status=none >&7
  ) &
  # shellcheck disable=SC2034 # for the tests
  writer=$!
  wait_until 60 is_inflight || fail "nothing is written"
}
is_inflight ()
{
  [ "$(awk '{ print $2 }' "/sys/block/${disk##*/}/inflight")" != 0 ]
}

# fails COMMAND...: run it, and fail the test if it succeeds.
fails ()
{
  if "$@" >"$tmp/fails" 2>&1; then
    fail "this should have failed: $*"
  fi
}

# shows FILE VALUE: fail the test unless this is what FILE, of /sys, has.
shows ()
{
  local is

  is=$(cat "$1")
  [ "$is" = "$2" ] || fail "$1 is '$is', not '$2'"
}

# try COMMAND...: run it; if it fails, fail the test with what it said.
try ()
{
  local said=$tmp/try-$BASHPID

  "$@" >"$said" 2>&1 || fail "$*: $(cat "$said")"
}

# verify FIO-OPTION...: write $disk at depth 32, and check what is read again.
disk=$nbd
verify ()
{
  try fio --name=job --filename="$disk" --ioengine=libaio --direct=1 \
    --iodepth=32 --thread --randseed="$seed" --size=4M --verify=crc32c \
    --verify_fatal=1 --do_verify=1 --verify_state_save=0 "$@"
  if grep -Eq 'verify:|err= *[1-9]' "$tmp/try-$BASHPID"; then
    fail "fio $*: $(cat "$tmp/try-$BASHPID")"
  fi
}

# start_load COMMAND...: run it over and over in the background.
start_load ()
{
  rm -f "$tmp/enough"
  (while [ ! -e "$tmp/enough" ]; do "$@"; done) &
  load=$!
  io_goes_on
}

# stop_load: do not run the command again, and wait until it has ended.  Fails
# the test if the command has failed.
stop_load ()
{
  touch "$tmp/enough"
  wait_until 90 process_ended "$load" || fail "the load hangs"
  wait "$load" || fail "the load has failed"
}

# io_goes_on: wait until the device has completed something more.
io_goes_on ()
{
  local before

  before=$(completed)
  wait_until 60 has_completed_more_than "$before" || fail "$disk does nothing"
}

completed ()
{
  awk '{ print $1 + $5 + $12 }' "/sys/block/${disk##*/}/stat"
}

has_completed_more_than ()
{
  [ "$(completed)" -gt "$1" ]
}

# connections: print how many the running server has.
connections ()
{
  local f n=-1 # one socket is that on which it listens

  for f in "/proc/$server_pid/fd"/*; do
    [[ $(readlink "$f") != socket:* ]] || n=$((n + 1))
  done
  echo "$n"
}

has_connections ()
{
  [ "$(connections)" = "$1" ]
}

# make_filesystem TYPE DEVICE
make_filesystem ()
{
  local make

  case $1 in
    ext4) make=(mkfs.ext4 -q -F) ;;
    xfs) make=(mkfs.xfs -q -f) ;;
    btrfs) make=(mkfs.btrfs -q -f -d single -m single) ;;
    f2fs) make=(mkfs.f2fs -q -f -m) ;;
  esac
  modprobe "$1"
  try "${make[@]}" "$2"
}

# fill_filesystem TYPE DEVICE: write files, and see that its checker has nothing
# to say, and that all is there when it is mounted again.
fill_filesystem ()
{
  local type=$1 device=$2 check

  case $type in
    ext4) check=(e2fsck -fn) ;;
    xfs) check=(xfs_repair -n) ;;
    btrfs) check=(btrfs check) ;;
    f2fs) check=(fsck.f2fs --dry-run) ;;
  esac
  try mount -t "$type" "$device" /mnt
  try dd if=/dev/urandom of="$tmp/content" bs=1M count=4
  mkdir /mnt/directory
  cp "$tmp/content" /mnt/directory/a
  cp -r /usr/sbin /mnt/gone
  cp -r /usr/sbin /mnt/directory/sbin
  cp /mnt/directory/a /mnt/b
  rm -r /mnt/gone
  try umount /mnt
  try "${check[@]}" "$device"

  echo 3 >/proc/sys/vm/drop_caches
  try mount -t "$type" "$device" /mnt
  try cmp "$tmp/content" /mnt/directory/a
  try cmp "$tmp/content" /mnt/b
  try diff -r /usr/sbin /mnt/directory/sbin
  try umount /mnt
}

# filesystem TYPE DEVICE: make one, and fill it.
filesystem ()
{
  make_filesystem "$@"
  fill_filesystem "$@"
}

# resident: print how much memory the server has, in KiB.
resident ()
{
  awk '$1 == "VmRSS:" { print $2 }' "/proc/$server_pid/status"
}

# leaves_nothing_of_ublk WHEN: fail the test if there is a device, a process or
# a record of nullblk-ublk.
leaves_nothing_of_ublk ()
{
  wait_until 20 has_no_ublk_process ||
    fail "$1: left: a process of nullblk-ublk"
  [ -z "$(ls /run/nullblk-ublk)" ] || fail "$1: left: $(ls /run/nullblk-ublk)"
  [ -z "$(ls /sys/class/ublk-char)" ] ||
    fail "$1: left: $(ls /sys/class/ublk-char)"
}

# processes NAME: print their pids.  The exit status says nothing, as for grep a
# process that has gone meanwhile is an error.
processes ()
{
  grep -l "^$1\$" /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3 || true
}

# has_no_ublk_process: an aide or a supervisor ends a moment after the process
# that serves the device.
has_no_ublk_process ()
{
  [ -z "$(processes nullblk-ublk)" ]
}

seed=$(new_seed)
