#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The geometries of nullblk-ublk(1)'s table, each with each of its filesystems:
# those that the table says work are made, filled, mounted anew, compared and
# checked; the others fail.  A filesystem that this kernel or these tools do not
# have on zones is left out.

# shellcheck source=ublk.sh source-path=SCRIPTDIR
source "${0%/*}/ublk.sh"
if on_host; then
  requires mkfs.btrfs btrfs mkfs.f2fs fsck.f2fs
  mkdir "$tmp/add"
  [ -z "${NULLBLK_ADD-}" ] || cp -r "$NULLBLK_ADD/." "$tmp/add"
  export NULLBLK_ADD=$tmp/add
  cp "$top_srcdir/man/nullblk-ublk.pod" "$NULLBLK_ADD"
  NULLBLK_KERNEL=${NULLBLK_KERNEL-full} boot_to_ublk
  exit
fi

# has TYPE: do kernel and tools have this filesystem on zones?
has ()
{
  case $1 in
    btrfs) load_btrfs ;;
    xfs) has_zoned_xfs ;;
    f2fs)
      modprobe crc32_generic 2>/dev/null || true
      modprobe f2fs
      ;;
    *) modprobe "$1" ;;
  esac
}

# lives TYPE DEVICE: make it, fill it, and see that all is there.
lives ()
{
  if [ "$1" = zonefs ]; then
    make_zonefs "$2"
    fill_zonefs "$2"
  else
    filesystem "$1" "$2"
  fi
}

# fill_zonefs DEVICE: the same of a zonefs that is empty.
fill_zonefs ()
{
  local f files

  try dd if=/dev/urandom of="$tmp/content" bs=64k count=4
  try mount -t zonefs "$1" /mnt
  files=(/mnt/seq/0 "/mnt/seq/$(find /mnt/seq -type f | wc -l)")
  files[1]=/mnt/seq/$((${files[1]##*/} - 1))
  for f in "${files[@]}"; do
    try dd if="$tmp/content" of="$f" bs=64k oflag=direct conv=notrunc
  done
  try umount /mnt
  try mount -t zonefs "$1" /mnt
  for f in "${files[@]}"; do
    try cmp -n 262144 "$tmp/content" "$f"
  done
  try umount /mnt
}

# result TYPE: print whether it works or fails on $disk; $tmp/why has the
# reason.
result ()
{
  if (lives "$1" "$disk") >"$tmp/why" 2>&1; then
    echo works
  else
    umount /mnt 2>/dev/null || true
    echo fails
  fi
}

table ()
{
  sed -n '/^=head2 Geometries/,/^=head1/s/^ \([0-9]*G zone-size.*\)/\1/p' \
    /nullblk-ublk.pod
}

types=(zonefs btrfs f2fs xfs)
declare -A here
for type in "${types[@]}"; do
  if has "$type" >/dev/null 2>&1; then
    here[$type]=yes
  else
    echo "left out: $type"
  fi
done

bad=
while read -r line; do
  read -ra words <<<"$line"
  parameters=("${words[@]::${#words[@]}-4}")
  promised=("${words[@]: -4}")
  start_server memory-backed=true zoned=true "${parameters[@]}"
  seen=()
  for ((i = 0; i < ${#types[@]}; i++)); do
    type=${types[i]}
    if [ -z "${here[$type]-}" ]; then
      seen+=("(${promised[i]})")
      continue
    fi
    attach_ublk "$uri"
    seen+=("$(result "$type")")
    if [ "${seen[i]}" != "${promised[i]}" ]; then
      bad=yes
      echo "${parameters[*]}: $type ${seen[i]}: $(tail -n 20 "$tmp/why")"
    fi
    try blkzone reset "$disk"
    detach_ublk
  done
  echo "${parameters[*]}: ${seen[*]}"
  leave_server
done < <(table)
[ -z "$bad" ] || fail "the manual says something else"
