#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Makes what the guest tests boot, or finds that it is up to date: Debian's
# kernel with an nbd driver, and an initramfs of busybox, of copies of this
# machine's tools with their libraries, and of the modules they need.
#
#   build-guest.sh DIRECTORY
#
# With NULLBLK_KERNEL=full the kernel is the one for all machines, which is
# three times as large, and has f2fs; with NULLBLK_KERNEL=uml it is that which
# build-uml.sh has put into DIRECTORY.
#
# DIRECTORY holds afterwards
#
#   kernel    to be booted
#   base      the initramfs, to which run-guest.sh appends a test
#   inputs    what both were made from
#   package   the kernel's package, unpacked
#
# The package is fetched as the user who runs this, and is never installed.  It
# stays until DIRECTORY is removed.  If it cannot be fetched, no other test of
# the same run of make ($NULLBLK_MAKE) tries that again.  This script may run
# several times at once.  Status 77, with one line, if something is missing.

set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

# The cloud kernel is the smallest that has the modules nbd and ublk_drv.
# Debian 12 also has a newer one than its 6.1.
cloud=-cloud
[ "${NULLBLK_KERNEL-}" != full ] || cloud=
meta=linux-image$cloud-amd64
# shellcheck source=/dev/null
if [ "$(. /etc/os-release && echo "${VERSION_ID-}")" = 12 ]; then
  meta=linux-image-6.12$cloud-amd64
fi

tools=(bash blkdiscard blkzone blockdev cmp dd e2fsck fio lsblk mkfs.ext4 mkfs.xfs
       nbd-client nbdinfo nbdkit sfdisk sqlite3 timeout xfs_repair)
filters=(delay log nozero)
modules=(nbd null_blk brd ext4 crc32c_generic xfs virtio_pci virtio_net
         virtio_blk)
# What only some tests need; these are skipped without it.
more_tools=(btrfs mkfs.btrfs mkfs.f2fs fsck.f2fs dmsetup ip)
more_modules=(ublk_drv mq_deadline btrfs crc32_generic f2fs zonefs
              loop veth dm_mod dm_crypt dm_mirror md_mod raid0 raid1 linear xts)

directory=${1:?}
here=$(cd "$(dirname "$0")" && pwd)
for name in "${more_tools[@]}"; do
  ! command -v "$name" >/dev/null || tools+=("$name")
done

missing ()
{
  echo "skipped: $*"
  exit 77
}

fail ()
{
  echo "${0##*/}: $*" >&2
  exit 1
}

#----------------------------------------------------------------------
# The kernel

# fetch_kernel [APT-OPTION]...: into the current directory.  A meta package
# depends on the newest kernel, whose name changes.  Since Linux 7 that is a
# package each for the kernel, its modules, and lists of the modules.
fetch_kernel ()
{
  local names

  mapfile -t names < <(
    apt-cache "$@" depends --recurse --important "$meta" |
      grep -E '^linux-(image|binary|modules|base)-[0-9]' | grep -vx "$meta")
  [ ${#names[@]} -gt 0 ] &&
    apt-get "$@" -o APT::Sandbox::User=root download "${names[@]}"
}

# get_package: fetch and unpack the kernel that the machine's lists of packages
# have; where they are missing or older than the archive, that of new lists.
get_package ()
{
  local own=(-o "Dir::State::lists=$new/lists" -o "Dir::Cache=$new/cache"
             -o APT::Sandbox::User=root)
  local f

  mkdir "$new/deb" "$new/lists" "$new/cache"
  cd "$new/deb"
  fetch_kernel ||
    { apt-get "${own[@]}" update && fetch_kernel "${own[@]}"; } ||
    return 1
  mkdir "$new/package"
  for f in *.deb; do
    dpkg-deb -x "$f" "$new/package" || return 1
  done
  cd /
}

# this_run: print which run of make this is for: its process, and when that was
# started.  Nothing if it is for none.
this_run ()
{
  [ -z "${NULLBLK_MAKE-}" ] ||
    awk -v pid="$NULLBLK_MAKE" '{ print pid, $22 }' "/proc/$NULLBLK_MAKE/stat"
}

# get_package_once: get_package, but not again if that has failed in this run of
# make.  Its output is in $directory/said.
get_package_once ()
{
  local run

  run=$(this_run)
  if [ -n "$run" ] &&
     [ "$(cat "$directory/failed" 2>/dev/null)" = "$run" ]; then
    echo "tried for an earlier test"
    return 1
  fi
  get_package >"$directory/said" 2>&1 9>&- && return
  cat "$directory/said"
  echo "$run" >"$directory/failed"
  return 1
}

#----------------------------------------------------------------------
# The initramfs

# copy FILE...: copy what it is or links to, to the same place in $root.
copy ()
{
  local f

  for f; do
    mkdir -p "$root${f%/*}"
    [ -e "$root$f" ] || cp -L "$f" "$root$f"
  done
}

# copy_with_libraries FILE...
copy_with_libraries ()
{
  local f libraries

  for f; do
    copy "$f"
    mapfile -t libraries < <(ldd "$f" 2>/dev/null | grep -o '/[^ ]*')
    copy "${libraries[@]}"
  done
}

# make_tree: fill $root.  /bin and its like are links to /usr, so that a file is
# found by either of its names.
make_tree ()
{
  local d tool name dir

  mkdir -p "$root"/{usr/{bin,sbin,lib,lib64},dev,etc,mnt,proc,run,sys,tmp}
  for d in bin sbin lib lib64; do
    ln -s "usr/$d" "$root/$d"
  done

  for tool in "${tools[@]}"; do
    copy_with_libraries "$(command -v "$tool")"
  done
  dir=$(nbdkit --dump-config | sed -n 's/^filterdir=//p')
  for name in "${filters[@]}"; do
    copy_with_libraries "$dir/nbdkit-$name-filter.so"
  done
  dir=$(nbdkit --dump-config | sed -n 's/^plugindir=//p')
  copy_with_libraries "$dir/nbdkit-file-plugin.so"
  # libgcc, which the C library loads when a thread is cancelled.
  copy "$(ldconfig -p | awk '/libgcc_s.so.1 .*x86-64/ && !n++ { print $NF }')"

  copy_with_libraries "$busybox"
  while read -r name; do
    command -v "$root/usr/bin/$name" "$root/usr/sbin/$name" >/dev/null ||
      ln -s "$busybox" "$root/usr/bin/$name"
  done < <("$busybox" --list)

  cp "$here/init.sh" "$root/init"
  chmod 755 "$root/init"
  echo root:x:0:0:root:/:/bin/sh >"$root/etc/passwd"
  ln -s /proc/mounts "$root/etc/mtab"
}

# module_file NAME: print the module's file, as modules.dep has it; nothing if
# it is built in or, like crc32c_generic in newer kernels, is not needed any
# more.
module_file ()
{
  local pattern="/${1//[-_]/[-_]}\\.ko$"

  ! grep -q "$pattern" "$lib/modules.builtin" || return 0
  cut -d: -f1 "$lib/modules.dep" | grep "$pattern" ||
    [[ " crc32c_generic ${more_modules[*]} " == *" $1 "* ]] ||
    [ "${NULLBLK_KERNEL-}" = uml ] || fail "$meta has no module $1"
}

# Modules may be compressed, and in /usr/lib; they are wanted uncompressed, and
# in /lib.
prepare_package ()
{
  local package=$directory/package

  mkdir -p "$package/lib"
  [ -e "$package/lib/modules" ] ||
    ln -s ../usr/lib/modules "$package/lib/modules"
  find "$package/lib/modules/" -name '*.ko.xz' -exec xz -d {} +
  find "$package/lib/modules/" -name '*.ko.zst' -exec zstd -dq --rm {} +
}

copy_modules ()
{
  local lib version f name all=()

  version=$(ls "$directory/package/lib/modules")
  lib=$directory/package/lib/modules/$version
  "$busybox" depmod -b "$directory/package" "$version"
  for name in "${modules[@]}" "${more_modules[@]}"; do
    f=$(module_file "$name")
    [ -n "$f" ] || continue
    all+=("$f")
    # shellcheck disable=SC2207 # words
    all+=($(sed -n "s,^$f: *,,p" "$lib/modules.dep"))
  done
  mkdir -p "$root/lib/modules/$version"
  for f in "${all[@]}"; do
    mkdir -p "$root/lib/modules/$version/${f%/*}"
    cp "$lib/$f" "$root/lib/modules/$version/$f"
  done
  cp "$lib"/modules.{builtin,order} "$root/lib/modules/$version"
  "$busybox" depmod -b "$root" "$version"
}

#----------------------------------------------------------------------

# inputs: print what the tree is made from, to see whether that has changed.
inputs ()
{
  local tool

  cat "$here/build-guest.sh" "$here/init.sh" | sha256sum
  for tool in "$busybox" "${tools[@]}"; do
    stat -L --format='%n %s %Y' "$(command -v "$tool")"
  done
}

[ "$(uname -m)" = x86_64 ] || missing "the guest tests are for x86_64 only"
for program in apt-get awk busybox cpio dpkg-deb flock xz zstd \
               "${tools[@]}"; do
  command -v "$program" >/dev/null || missing "$program is missing"
done
busybox=$(command -v busybox)

mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
exec 9>"$directory/lock"
flock 9
if [ -e "$directory/base" ] && [ -e "$directory/kernel" ] &&
   cmp -s "$directory/inputs" <(inputs); then
  exit 0
fi

new=$(mktemp -d "$directory/new-XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM

if [ ! -e "$directory/package" ]; then
  [ "${NULLBLK_KERNEL-}" != uml ] || missing "build-uml.sh has not been run"
  get_package_once || missing "the kernel ($meta) cannot be fetched"
  mv "$new/package" "$directory/package"
fi

root=$new/root
make_tree
prepare_package
copy_modules
(cd "$root" && find . -print0 | cpio --null -o -H newc --quiet -R 0:0) |
  zstd -q -3 >"$new/base"
# The kernel wants archives to begin at a multiple of four.
truncate -s %4 "$new/base"
find "$directory/package" -name 'vmlinuz*' -type f -exec cp {} "$new/kernel" \;
rm -f "$directory/inputs"
mv "$new/kernel" "$new/base" "$directory"
inputs >"$directory/inputs"
