#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The man page's table of what a qemu guest does with a zoned device that it has
# as a virtio disk: each row is a command that the guest runs on an empty
# device, and what comes of it.  The disk has the options that the man page
# gives it; a second one has them without discard=unmap.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
size=67108864
if on_host; then
  page=$top_srcdir/man/nbdkit-nullblk-plugin.pod
  mkdir "$tmp/add"
  # section: what is to be typed in it.
  section ()
  {
    awk '/^=head/ { ours = $0 == "=head2 Zones as a disk of a qemu guest" }
      ours && /^ [^ ]/ { print substr ($0, 2) }' "$page"
  }
  section | sed '1,/^command /d' >"$tmp/add/rows"
  [ "$(wc -l <"$tmp/add/rows")" -gt 2 ] || fail "there is no table"
  export NULLBLK_ADD=$tmp/add

  drive=$(section | sed -n 's/^-drive //p')
  device=$(section | sed -n 's/^-device //p')
  [[ $drive == *file=URI,*,discard=unmap && $device == *,drive=ID* ]] ||
    fail "the man page has -drive $drive -device $device"
  start_server $size memory-backed=true zoned=true zone-size=4M devices=2
  # add_disk EXPORT DRIVE: whose serial number is EXPORT.
  disks=()
  add_disk ()
  {
    local d=${2//ID/$1}

    disks+=(-drive "${d//URI/$(uri_of "$1")}"
            -device "${device//ID/$1},serial=$1")
  }
  add_disk nullb0 "$drive"
  add_disk nullb1 "${drive%,discard=unmap}"
  boot_guest "${disks[@]}"
  exit
fi

# disk_of SERIAL: its name in the guest.
disk_of ()
{
  local d

  d=$(grep -lx "$1" /sys/block/vd?/serial) || fail "no disk is $1"
  d=${d#/sys/block/}
  echo "/dev/${d%/serial}"
}

# run COMMAND: sets status.
run ()
{
  local command=${1//FILE/$tmp/full}

  status=0
  bash -c "${command//DISK/$disk}" >"$tmp/out" 2>&1 || status=$?
  # What the kernel has yet to write, or has given up to.
  sync "$disk" || true
  blockdev --flushbufs "$disk"
}

random_file "$tmp/full" "$(new_seed)" $size
disk=$(disk_of nullb0)
wrong=
while read -r row; do
  expected=${row##*  } command=${row%%  *}
  # A trim resets the zones.
  blkdiscard "$disk"
  run "$command"
  if [ "$status" != 0 ]; then
    is=fails
  elif [ "$command" = "${command#*FILE}" ] ||
    cmp "$tmp/full" "$disk" >"$tmp/cmp" 2>&1; then
    is=works
  else
    is='loses data'
  fi
  echo "$command: $is"
  [ "$is" = "$expected" ] ||
    wrong+=" $command: $is, not $expected: $(cat "$tmp/out")"
done </rows
[ -z "$wrong" ] || fail "the table is wrong of$wrong"

# Without discard=unmap a trim has no effect, and no error.
disk=$(disk_of nullb1)
fill='dd if=FILE of=DISK bs=1M oflag=direct'
run "$fill"
[ "$status" = 0 ] || fail "without discard: $(cat "$tmp/out")"
try blkdiscard "$disk"
run "$fill"
[ "$status" != 0 ] || fail "a trim that is not passed on resets zones"
