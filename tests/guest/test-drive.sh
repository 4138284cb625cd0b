#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# qemu gives exports to a guest as its virtio disks, one over a Unix socket and
# one, of 4096-byte blocks, over TCP.  The guest partitions them, makes
# filesystems, and verifies; the host then sees what the guest has done.  The
# guest needs no nbd driver for this.  The command lines are those of the man
# page.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
mib=1048576
if on_host; then
  requires e2fsck nbdcopy nbdinfo
  start_server 512M memory-backed=true
  unix_server=$server_pid unix_uri=$uri server_pid=
  # shellcheck disable=SC2317,SC2329 # at_exit
  end_unix_server ()
  {
    [ -z "$unix_server" ] || end_process "$unix_server"
  }
  at_exit+=(end_unix_server)
  start_tcp_server 256M memory-backed=true block-size=4096

  # Take each command line from the page, as bash does.
  page=$top_srcdir/man/nbdkit-nullblk-plugin.pod words=()
  # shellcheck disable=SC2317,SC2329 # the page's
  qemu-system-x86_64 ()
  {
    words+=("$@")
  }
  sed -n '/^To use it as a drive/,/^To put load/s/^ \(\$ \)\?//p' "$page" |
    sed "s,/tmp/nullblk.sock,$tmp/sock,; s,localhost:10809,127.0.0.1:$port," \
      >"$tmp/commands"
  # shellcheck disable=SC1091 # see above
  source "$tmp/commands"
  [ ${#words[@]} = 6 ] || fail "the man page has: ${words[*]}"
  boot_guest "${words[@]}"

  map_is=$(map)
  [ "$map_is" = "0 $((8 * mib)) hole
$((8 * mib)) $mib data
$((9 * mib)) $((247 * mib)) hole" ] || fail "the map is: $map_is"
  stop_server

  server_pid=$unix_server uri=$unix_uri
  unix_server=
  nbdcopy "$uri" "$tmp/disk"
  # The guest's first partition begins there, as sfdisk has it by default.
  e2fsck -fn "$tmp/disk?offset=$mib"
  stop_server
  exit
fi

# disk_of SECTORS: set $disk to the disk of this size, as qemu orders disks.
disk_of ()
{
  disk=$(grep -lx "$1" /sys/block/vd?/size) || fail "no disk of $1 sectors"
  disk=${disk#/sys/block/} disk=/dev/${disk%/size}
  queue=/sys/block/${disk#/dev/}/queue
}

disk_of $((1024 * 1024))
shows "$queue/logical_block_size" 512
shows "$queue/write_cache" "write back"
try sfdisk -q "$disk" <<<$'label: gpt\nsize=128M\nsize=320M'
filesystem ext4 "${disk}1"
filesystem xfs "${disk}2"

disk_of $((512 * 1024))
shows "$queue/logical_block_size" 4096
verify --rw=randwrite --bs=4k
verify --rw=randrw --bsrange=4k-64k
fails dd if="$disk" of=/dev/null bs=512 count=1 iflag=direct
filesystem ext4 "$disk"
try blkdiscard "$disk"
try dd if=/dev/urandom of="$disk" bs=1M seek=8 count=2 oflag=direct conv=fsync
try blkdiscard -z -o $((9 * mib)) -l $mib "$disk"
try cmp -i $((9 * mib)) -n $mib "$disk" /dev/zero
try blkdiscard -o $((9 * mib)) -l $mib "$disk"
