# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What every test of nullblk-ublk begins with: functions.sh, the program, and
# the end, at which all is detached.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

ublk=/nullblk-ublk

# boot_to_ublk: boot_guest, unless the program to test is not built.
boot_to_ublk ()
{
  [ -x "$top_builddir/tools/nullblk-ublk" ] || skip "nullblk-ublk is not built"
  # shellcheck disable=SC2119
  boot_guest
}

# load_btrfs: without the kernel's module for a fast checksum.  With a slow one
# btrfs computes those of several bios in parallel, which has shown faults.
# Returns 1 if there is no btrfs.
load_btrfs ()
{
  modprobe btrfs
}

# has_zoned_xfs: have the kernel and xfsprogs zones, which came with 6.15 of
# both?
has_zoned_xfs ()
{
  local oldest

  oldest=$(printf '%s\n' 6.15 "$(uname -r)" "$(mkfs.xfs -V | sed 's/.* //')" |
    sort -V | sed -n 1p)
  [ "$oldest" = 6.15 ]
}

detach_all ()
{
  "$ublk" --detach --all
}
if ! on_host; then
  modprobe ublk_drv || skip "this kernel has no ublk"
  at_exit+=(detach_all)
fi

# attach_ublk ARGUMENT...: run nullblk-ublk, on $ublk_host if that is not empty,
# and set $disk to the device, whose path must be all that it prints, and
# $queue.
ublk_host=()
attach_ublk ()
{
  disk=$("${ublk_host[@]}" "$ublk" "$@" 2>"$tmp/err") ||
    fail "$*: $(cat "$tmp/err")"
  [[ $disk =~ ^/dev/ublkb[0-9]+$ ]] || fail "$*: it says '$disk'"
  [ -b "$disk" ] || fail "$*: there is no $disk"
  # shellcheck disable=SC2034 # for the tests
  queue=/sys/block/${disk##*/}/queue
}

# takes_data: see that what is written to $disk, of 256 MiB, can be read, and
# that a discard of all of it leaves a hole.
takes_data ()
{
  local mib=1048576

  verify --rw=randwrite --bsrange=512-256k --blockalign=512
  try dd if=/dev/urandom of="$tmp/content" bs=4M count=2
  try dd if="$tmp/content" of="$disk" bs=4M seek=8 oflag=direct
  try cmp -i $((32 * mib)):0 -n $((8 * mib)) "$disk" "$tmp/content"
  filesystem ext4 "$disk"
  try blkdiscard "$disk"
  [ "$(map)" = "0 $((256 * mib)) hole" ] || fail "the map is: $(map)"
}

# find_disk: set $disk to the device that the running server has made, and
# $queue.
find_disk ()
{
  disk=$(/nullblkctl list "$sock" | sed -n 's/^nullb0 .*, here //p')
  [[ $disk =~ ^/dev/ublkb[0-9]+$ ]] || fail "it says '$disk'"
  [ -b "$disk" ] || fail "there is no $disk"
  # shellcheck disable=SC2034 # for the tests
  queue=/sys/block/${disk##*/}/queue
}

# serve_disk [NBDKIT-OPTION | KEY=VALUE]...: start_server, and find_disk.
serve_disk ()
{
  start_server ublk=true "$@"
  find_disk
}

# shows_zones: check what /sys has of $disk, with 16 zones of 4 MiB, of which 3
# may be open and 5 active.
shows_zones ()
{
  local appends

  shows "$queue/zoned" host-managed
  shows "$queue/nr_zones" 16
  shows "$queue/chunk_sectors" 8192
  shows "$queue/max_open_zones" 3
  shows "$queue/max_active_zones" 5
  appends=$(cat "$queue/zone_append_max_bytes")
  [ "$appends" -ge 65536 ] || fail "no appends"
  [ "$appends" -le 1048576 ] || fail "btrfs mixes up the bios of an extent"
}

detach_ublk ()
{
  try "$ublk" --detach "$disk"
}

# process_of: print the pid of the process that serves $disk.  It is in the only
# record that there is.
process_of ()
{
  head -n 1 "$(echo /run/nullblk-ublk/*)"
}

# replace_bridge: kill that process, and wait until another one serves $disk.
replace_bridge ()
{
  local before

  before=$(process_of)
  kill -KILL "$before"
  wait_until 60 served_by_another "$before" || fail "nobody takes it over"
}

# served_by_another PID
served_by_another ()
{
  local now

  now=$(process_of)
  [ "$now" != "$1" ] && kill -0 "$now" 2>/dev/null
}

# kill_processes: kill that process, and before it the supervisor, which would
# start another one.
kill_processes ()
{
  local pid supervisor

  pid=$(process_of)
  supervisor=$(awk '$1 == "PPid:" { print $2 }' "/proc/$pid/status")
  kill -KILL "$supervisor"
  kill -KILL "$pid"
}

# kill_for_good: the same, and wait until the aide has ended, too.
kill_for_good ()
{
  kill_processes
  wait_until 20 has_no_ublk_process || fail "they cannot be killed"
}

# sockets_of: print the sockets that the process of $disk has, a line each.
sockets_of ()
{
  local f

  for f in "/proc/$(process_of)/fd"/*; do
    readlink "$f" | grep '^socket:' || true
  done
}

# connects_anew SOCKETS: has that process a socket that is none of these?
connects_anew ()
{
  sockets_of | grep -vxF "$1" >/dev/null
}

# nothing_is_left WHEN: fail the test if a server with devices leaves a device,
# a record or a process.
nothing_is_left ()
{
  wait_until 60 has_no_device || fail "$1: left: $(ls /sys/class/ublk-char)"
  wait_until 60 has_no_record || fail "$1: left: $(ls /run/nullblk-ublk)"
  wait_until 60 has_no_process || fail "$1: a process is left"
}
has_no_device ()
{
  [ -z "$(ls /sys/class/ublk-char)" ]
}
has_no_record ()
{
  [ -z "$(ls /run/nullblk-ublk)" ]
}
has_no_process ()
{
  [ -z "$(processes nbdkit)" ]
}

# disk_is_open: has any process $disk open?  One that is about to end has not.
disk_is_open ()
{
  local fd

  for fd in /proc/[0-9]*/fd/*; do
    [ "$(readlink "$fd")" != "$disk" ] || return 0
  done 2>/dev/null
  return 1
}

disk_is_gone ()
{
  [ ! -e "$disk" ]
}

# leave_server: end the server, to which nobody must be connected any more.
leave_server ()
{
  wait_until 60 has_connections 0 || fail "connections stay"
  stop_server
}

# leaves_nothing WHEN
leaves_nothing ()
{
  leaves_nothing_of_ublk "$1"
}

# refuses TEXT ARGUMENT...: nullblk-ublk must fail with one line, TEXT (a
# pattern).
refuses ()
{
  local said=$tmp/refuses-$BASHPID

  ! "$ublk" "${@:2}" >"$tmp/out" 2>"$said" || fail "${*:2}: it succeeds"
  # shellcheck disable=SC2053 # a pattern
  [[ $(cat "$said") == "nullblk-ublk: "$1 ]] ||
    fail "${*:2}: it says: $(cat "$said")"
  [ "$(wc -l <"$said")" = 1 ] || fail "${*:2}: more than a line"
}

#----------------------------------------------------------------------
# Two hosts, which are network namespaces; put these before a command to run it
# on one of them.  Mounts are the same on both.

# shellcheck disable=SC2034 # for the tests
on_server=(nsenter --net=/run/netns/server)
on_client=(nsenter --net=/run/netns/client)

make_hosts ()
{
  modprobe veth
  ip netns add server
  ip netns add client
  ip -n server link add to-client type veth peer name to-server netns client
  ip -n server addr add 10.77.1.1/24 dev to-client
  ip -n client addr add 10.77.1.2/24 dev to-server
  ip -n server link set to-client up
  ip -n client link set to-server up
}

# serve_remotely [NBDKIT-OPTION | KEY=VALUE]...: start_server on the server's
# host.  Devices are attached on the client's from now on.
serve_remotely ()
{
  uri=nbd://10.77.1.1
  rm -f "$tmp/pid"
  "${on_server[@]}" "$NBDKIT" -f -i 10.77.1.1 -P "$tmp/pid" "$PLUGIN" \
    control=any "$@" &
  server_pid=$!
  wait_until 60 server_listens_or_ended || fail "the server does not listen"
  [ -s "$tmp/pid" ] || fail "the server ended instead of listening"
  ublk_host=("${on_client[@]}")
}

# serve local|remote [NBDKIT-OPTION | KEY=VALUE]...: start_server or
# serve_remotely.
serve ()
{
  case $1 in
    local)
      ublk_host=()
      start_server "${@:2}"
      ;;
    remote) serve_remotely "${@:2}" ;;
  esac
}

# make_zonefs DEVICE: make a zonefs, as Debian has no mkzonefs.  All that the
# kernel wants is a block at the beginning of the first zone: "SFOZ", and a
# checksum of the block with four zeroes in the checksum's place (gzip's
# checksum, inverted).
make_zonefs ()
{
  local crc

  {
    printf SFOZ
    head -c 4092 /dev/zero
  } >"$tmp/super"
  crc=$(gzip -c "$tmp/super" | tail -c 8 | od -An -N 4 -tu4)
  crc=$(printf '%08x' $((crc ^ 0xffffffff)))
  printf %b "\\x${crc:6:2}\\x${crc:4:2}\\x${crc:2:2}\\x${crc:0:2}" |
    dd of="$tmp/super" bs=4 seek=1 conv=notrunc 2>"$tmp/dd"
  try blkzone reset "$1"
  try dd if="$tmp/super" of="$1" bs=4k oflag=direct
}

# filesystem_lives TYPE WHERE [KEY=VALUE]...: make a filesystem on a device with
# zones, fill and check it, and see that all is there when the device is
# attached anew.
filesystem_lives ()
{
  serve "$2" memory-backed=true zoned=true "${@:3}"
  attach_ublk "$uri"
  filesystem "$1" "$disk"
  detach_ublk
  attach_ublk "$uri"
  try mount -t "$1" "$disk" /mnt
  try diff -r /usr/sbin /mnt/directory/sbin
  try umount /mnt
  detach_ublk
  leave_server
  leaves_nothing "$1, $2"
  works "$1" "$2"
}

# works WHAT WHERE: print what has been shown, for the table in nullblk-ublk(1).
works ()
{
  echo "works: $1, $2, Linux $(uname -r)"
}

#----------------------------------------------------------------------
# Which requests the kernel has sent to $disk, by the block layer's trace.

trace=/sys/kernel/tracing/events/block/block_rq_complete

# count_requests: begin to count requests that have data and an offset.
count_requests ()
{
  local major minor

  [ -e "$trace" ] || mount -t tracefs trace /sys/kernel/tracing
  IFS=: read -r major minor <"/sys/block/${disk##*/}/dev"
  trigger="hist:keys=rwbs,error:vals=nr_sector"
  trigger+=" if dev == $((major << 20 | minor)) && nr_sector > 0"
  # A report of zones has no offset, which is the greatest number.
  trigger+=" && sector < $(cat "/sys/block/${disk##*/}/size")"
  echo "$trigger" >"$trace/trigger"
}

# count_no_more: end that, and leave the counts to `requests` and `appends`.
# Fails the test if some requests were not counted.
count_no_more ()
{
  cp "$trace/hist" "$tmp/requests"
  echo "!$trigger" >"$trace/trigger"
  grep -qx ' *Dropped: 0' "$tmp/requests" || fail "not all requests are counted"
}

# requests hitcount|nr_sector KIND...: print how many requests there were whose
# letters in the trace begin with a KIND, or how many sectors they had.
requests ()
{
  local pattern

  pattern=$(IFS='|'; echo "${*:2}")
  # A line: { rwbs: WS , error: 0 } hitcount: 12 nr_sector: 96
  sed -nE "s/^\\{ rwbs: *F?($pattern)[A-Z]* *, error: *0 *\\}.* $1: *([0-9]+).*/\\2/p" \
    "$tmp/requests" | awk '{ n += $1 } END { print n + 0 }'
}

# appends hitcount|nr_sector: the same of appends.  Before Linux 6.18 these have
# N, as have all kinds without a letter; the others are zone commands, which
# have no data and are not counted.
appends ()
{
  requests "$1" N ZA
}
