# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The program differ asks Linux's null_blk and nullblk ("ours") the same, and
# both have to answer the same, except for what the manual says.  Ours is a
# block device in two ways: attached by nullblk-ublk, and made by the server
# (ublk=true), which is several times as fast.
#
# A geometry is a list of null_blk's parameters in configfs, with sizes in MiB;
# our server gets the same ones.  Words that begin with dashes are options of
# differ.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"

# shellcheck disable=SC2034 # for the tests
limits="zone_max_open=3 zone_max_active=5"
# shellcheck disable=SC2034
geometries=(
  "size=32 zoned=1 zone_size=2"
  "size=32 zoned=1 zone_size=2 zone_nr_conv=4 zone_capacity=1 $limits"
  "size=32 zoned=1 zone_size=2 zone_max_open=3"
  "size=32 zoned=1 zone_size=2 zone_max_active=4"
  "size=32 zoned=1 zone_size=2 zone_max_open=9 zone_max_active=4"
  "size=32 zoned=1 zone_size=4 zone_nr_conv=2 zone_capacity=3 zone_max_open=9"
  "size=64 zoned=1 zone_size=1 blocksize=4096 zone_max_open=6 zone_max_active=9"
  "size=32 zoned=1 zone_size=2 zone_full=1 zone_max_active=6"
  "size=32 zoned=1 zone_size=2 cache_size=1 zone_nr_conv=6"
  "size=32 zoned=1 zone_size=2 memory_backed=0 zone_nr_conv=1 $limits --no-data"
  "size=4 zoned=1 zone_size=2 zone_nr_conv=1"
  "size=32 zoned=1 zone_size=2 zone_nr_conv=3 $limits --bad"
  "size=32 zoned=1 zone_size=2 $limits badblocks_once=1 --bad"
  "size=32 zoned=1 zone_size=2 $limits badblocks_partial_io=1 --bad"
  "size=32 zoned=1 zone_size=2 blocksize=4096 badblocks_partial_io=1
   badblocks_once=1 --bad"
  "size=16 discard=1"
  "size=16 discard=1 blocksize=4096 --bad"
  "size=16 discard=1 cache_size=1 --bad"
  "size=16 discard=1 badblocks_once=1 --bad"
  "size=16 discard=1 blocksize=2048 badblocks_partial_io=1 --bad"
  "size=16 memory_backed=0 discard=0 --no-data"
)

# rows_are_documented: see that the manual has all rows of the table in
# differ.c.
rows_are_documented ()
{
  "$top_builddir/tests/guest/differ" --rows >"$tmp/rows"
  sed -n '/^=head1 DIFFERENCES FROM NULL_BLK/,/^=head1 [^D]/s/^=item //p' \
    "$top_srcdir/man/nbdkit-nullblk-plugin.pod" >"$tmp/documented"
  while read -r row; do
    grep -Fqx "$row" "$tmp/documented" ||
      fail "the manual does not have the row '$row'"
  done <"$tmp/rows"
}

boot_to_differ ()
{
  local program

  for program in tests/guest/differ tools/nullblk-ublk tools/nullblkctl; do
    [ -x "$top_builddir/$program" ] || skip "$program is not built"
  done
  rows_are_documented
  # One processor: each request goes through several processes, and emulated
  # processors take long to wake each other.
  boot_guest -smp 1
}

configfs=/sys/kernel/config/nullb/theirs
theirs=/dev/theirs

load_null_blk ()
{
  modprobe null_blk nr_devices=0
  mount -t configfs configfs /sys/kernel/config
  at_exit+=(remove_theirs)
  dmesg -n 1 # without the lines that each error has
}

# load_zloop: from now on Linux's zloop is asked in the place of null_blk.
load_zloop ()
{
  modprobe zloop || skip "Linux $(uname -r) has no zloop"
  theirs=/dev/zloop0
  mkdir -p "$tmp/zloop"
  mount -t tmpfs zloop "$tmp/zloop"
  at_exit+=(remove_theirs unmount_zloop)
  dmesg -n 1
}

unmount_zloop ()
{
  umount "$tmp/zloop"
}

# make_zloop GEOMETRY: its block size is that of the filesystem below it.
make_zloop ()
{
  local word words="id=0,base_dir=$tmp/zloop,buffered_io"

  mkdir "$tmp/zloop/0"
  for word in $1; do
    case $word in
      size=*) words+=",capacity_mb=${word#*=}" ;;
      zone_size=* | zone_capacity=*) words+=",${word/=/_mb=}" ;;
      zone_nr_conv=*) words+=",conv_zones=${word#*=}" ;;
      zoned=1 | blocksize=4096 | --*) ;;
      *) fail "zloop has no word for $word" ;;
    esac
  done
  [[ $words == *conv_zones* ]] || words+=",conv_zones=0"
  echo "add $words" >/dev/zloop-control
}

# make_theirs GEOMETRY: status 1 if this null_blk lacks one of the parameters.
make_theirs ()
{
  local word

  if [ "$theirs" = /dev/zloop0 ]; then
    make_zloop "$1"
    return
  fi
  mkdir "$configfs"
  # As ours has it, so that the kernel splits requests alike for both.
  echo 8192 >"$configfs/max_sectors"
  echo 1 >"$configfs/memory_backed"
  for word in $1; do
    [[ $word == --* ]] && continue
    if [ ! -e "$configfs/${word%=*}" ]; then
      rmdir "$configfs"
      return 1
    fi
    echo "${word#*=}" >"$configfs/${word%=*}"
  done
  echo 1 >"$configfs/power"
}

remove_theirs ()
{
  if [ -e /dev/zloop0 ]; then
    echo "remove id=0" >/dev/zloop-control
    rm -rf "$tmp/zloop/0"
  fi
  [ -d "$configfs" ] || return 0
  echo 0 >"$configfs/power"
  rmdir "$configfs"
}

# start_ours GEOMETRY [KEY=VALUE]...: start a server of that geometry.
start_ours ()
{
  local word words=("${@:2}")

  [[ $1 == *memory_backed* ]] || words+=(memory-backed=true)
  for word in $1; do
    case $word in
      --*) ;;
      size=* | cache_size=*) words+=("${word}M") ;;
      *) words+=("$word") ;;
    esac
  done
  start_server "${words[@]}"
}

# are_alike ATTRIBUTE...: both queues must have the same.
are_alike ()
{
  local a

  for a; do
    shows "$queue/$a" "$(cat "/sys/block/${theirs##*/}/queue/$a")"
  done
}

declare -A rows
operations=0 unknown=0
read -ra ways <<<"${NULLBLK_GUEST_WAYS-nullblk-ublk ublk=true}"

# The server's log has a line for each command that it refuses.
with_log ()
{
  exec "$@" 2>"$tmp/server"
}

# start_disk WAY GEOMETRY [KEY=VALUE]...: start_ours, and set $disk.
start_disk ()
{
  if [ "$1" = ublk=true ]; then
    start_ours "${@:2}" "$1"
    find_disk
  else
    start_ours "${@:2}"
    attach_ublk -q 1 "$uri"
  fi
}

end_disk ()
{
  if [ "$1" = ublk=true ]; then
    stop_server
  else
    detach_ublk
    leave_server
  fi
}

# differ_in GEOMETRY WAY OPERATIONS SEED: compare both in one geometry.
differ_in ()
{
  local options=(--operations="$3" --seed="$4") ours=() word n row

  echo "geometry: $1, by $2"
  wrapper=(with_log)
  # Have ours do what null_blk does, which has no parameters for that.  A
  # command to a range of zones is one for each; null_blk does these one after
  # another.
  [[ $1 != *zoned=1* ]] || ours=(zone-reorder-wait=0)
  [[ $1 != *zoned=1* || $theirs == *zloop* ]] || ours+=(zone-read-past-wp=ones)
  start_disk "$2" "$1" parallel=off "${ours[@]}"
  if [[ $theirs == *zloop* ]]; then
    options+=(--zloop)
  else
    options+=(--configfs="$configfs" --config="$(uri_of nullb0.config)")
    [[ $1 != *zoned=1* ]] || options+=(--zones="$(uri_of nullb0.zones)")
  fi
  for word in $1; do
    [[ $word != --* ]] || options+=("$word")
  done
  # A scheduler would do the requests of one call in an order of its own.
  echo none >"/sys/block/${theirs##*/}/queue/scheduler"
  echo none >"$queue/scheduler"
  are_alike logical_block_size zoned
  [[ $1 != *zoned=1* ]] ||
    are_alike nr_zones chunk_sectors max_open_zones max_active_zones
  /differ "${options[@]}" "$theirs" "$disk" >"$tmp/differ" 2>&1 ||
    different+=("$1, by $2")
  grep -v ^row: "$tmp/differ" || true
  while read -r n row; do
    rows[$row]=$((${rows[$row]-0} + n))
  done < <(sed -n 's/^row: //p' "$tmp/differ")
  n=$(sed -n 's/^seed .* operations, \([0-9]*\) differences .*/\1/p' \
    "$tmp/differ")
  operations=$((operations + $3)) unknown=$((unknown + ${n:-1}))
  end_disk "$2"
}

# differ_in_all OPERATIONS GEOMETRY...: compare both by at least so many
# operations, in all geometries and by all $ways.
differ_in_all ()
{
  local each geometry those=() way i=0

  for geometry in "${@:2}"; do
    if make_theirs "$geometry"; then
      remove_theirs
      those+=("$geometry")
    else
      echo "left out, as Linux $(uname -r) has no such thing: $geometry"
    fi
  done
  each=$(($1 / (${#those[@]} * ${#ways[@]}) + 1))
  different=()
  for geometry in "${those[@]}"; do
    for way in "${ways[@]}"; do
      make_theirs "$geometry"
      differ_in "$geometry" "$way" "$each" $((seed + i++))
      remove_theirs
    done
  done
  echo "operations: $operations, not known: $unknown," \
    "geometries: ${#those[@]} of $(($# - 1)), by: ${ways[*]}," \
    "Linux: $(uname -r)"
  [ ${#different[@]} = 0 ] ||
    fail "they differ in $(printf '\n%s' "${different[@]}")"
}

# closes DEVICE ZONE: write to the zone, and close it.  Returns 1 if the limits
# refuse the write.
closes ()
{
  dd if=/dev/zero of="$1" bs=4k count=1 seek=$(($2 * 512)) oflag=direct \
    2>"$tmp/dd" && try blkzone close -o $(($2 * 4096)) -c 1 "$1"
}

# leaks_active_zones: show a fault of null_blk.  A zone that is made offline is
# finished first.  If a limit forbids that, as the zone is closed and no more
# may be open, null_blk counts the zone as active for ever.  So differ makes no
# closed zone offline.
leaks_active_zones ()
{
  local device
  local geometry="size=32 zoned=1 zone_size=2 zone_max_open=1 zone_max_active=2"

  make_theirs "$geometry"
  start_ours "$geometry"
  attach_ublk "$uri"
  for device in "$theirs" "$disk"; do
    closes "$device" 1
    try blkzone open -o $((2 * 4096)) -c 1 "$device"
    if [ "$device" = "$theirs" ]; then
      echo $((1 * 4096)) >"$configfs/zone_offline"
    else
      try /nullblkctl zones offline "$sock" 1
    fi
    try blkzone close -o $((2 * 4096)) -c 1 "$device"
    closes "$device" 3
  done
  closes "$disk" 4 || fail "ours counts an offline zone as active"
  ! closes "$theirs" 4 || fail "null_blk counts offline zones correctly by now"
  detach_ublk
  leave_server
  remove_theirs
}
