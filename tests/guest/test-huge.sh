#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Filesystems with journals on devices that are far larger than memory.  Linux
# zeroes a journal with NO_HOLE, a gigabyte and more of it: so an empty
# filesystem must hold next to nothing, and leave room for data.  And the
# device of 7 EiB that README.md and the man page have.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

if on_host; then
  for program in nullblk-attach nullblkctl; do
    [ -x "$top_builddir/tools/$program" ] || skip "$program is not built"
  done
  NULLBLK_GUEST_HUGE=$(sed -n 's/^ *sudo nullblk-attach \(7E .*\)/\1/p' \
    "$top_srcdir/README.md")
  export NULLBLK_GUEST_HUGE
  grep -qx "=head2 nbdkit nullblk $NULLBLK_GUEST_HUGE" \
    "$top_srcdir/man/nbdkit-nullblk-plugin.pod" ||
    fail "README.md and the man page differ"
  boot_guest -m 1536
  exit
fi

# held: print how many bytes of memory all devices of the server have.
held ()
{
  /nullblkctl stats --json "$sock" |
    sed -n 's/.*"held": \([0-9]*\),.*/\1/p'
}

# shellcheck disable=SC2317 # at_exit
leave_huge ()
{
  /nullblk-attach --detach --all
}

# empty_holds_little TYPE SIZE: after mkfs with its defaults.
empty_holds_little ()
{
  local bytes most=$((8 * 1048576))

  # e2fsprogs after 1.47.0 write two megabytes more: 9.0 MB with 1.47.2.
  case $1:$(mkfs.ext4 -V 2>&1) in
  ext4:*'mke2fs 1.47.0 '*) ;;
  ext4:*) most=$((16 * 1048576)) ;;
  esac
  start_server "$2" memory-backed=true memory-limit=512M
  # shellcheck disable=SC2119
  attach
  make_filesystem "$1" $nbd
  bytes=$(held)
  echo "an empty $1 of $2 holds $bytes bytes"
  [ "$bytes" -le $most ] || fail "that is too much"
  ! dmesg | grep 'Other side returned error' || fail "mkfs meets errors"
  fill_filesystem "$1" $nbd
  detach
  stop_server
}

empty_holds_little ext4 250G
empty_holds_little xfs 2T

# A partition that is nearly all of the device, and one behind it, with a
# filesystem.
export NULLBLK_PLUGIN=$PLUGIN
read -ra huge <<<"$NULLBLK_GUEST_HUGE"
disk=$(/nullblk-attach "${huge[@]}") || fail "it does not attach"
at_exit+=(leave_huge)
sfdisk -q -X gpt "$disk" <<'END' || fail "sfdisk"
size=7340030TiB
size=1TiB
END
wait_until 30 test -b "${disk}p2" || fail "no second partition"
shows "/sys/block/${disk##*/}/${disk##*/}p1/size" $((7340030 << 31))
make_filesystem xfs "${disk}p2"
fill_filesystem xfs "${disk}p2"
try /nullblk-attach --detach "$disk"
