#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Makes a kernel for the guest tests that runs as a program of this machine
# (user mode Linux), and so answers several times as fast as one that is
# emulated, and that has drivers which no kernel of Debian's has, such as zloop:
#
#   build-uml.sh DIRECTORY [SUITE|SOURCES]
#
# DIRECTORY is BUILD/tests/guest/image-uml: guest tests use what is there with
# NULLBLK_KERNEL=uml.  SOURCES is a kernel's source tree, or Debian's
# linux-source package of it; or the newest package of SUITE (sid) is fetched.
# It takes about ten minutes, and needs bison and flex.  Only
# test-differ-zloop.sh needs this kernel; run-differ.sh is slow without it.

set -euo pipefail
export LC_ALL=C # for what apt-cache says

directory=${1:?}
from=${2:-sid}

die ()
{
  echo "${0##*/}: $*" >&2
  exit 1
}

for program in bison flex make cc apt-get dpkg-deb tar xz; do
  command -v "$program" >/dev/null || die "$program is missing"
done
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
tmp=$(mktemp -d "$directory/uml-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# fetch SUITE: the package with the newest sources, into $tmp.
fetch ()
{
  local own=(-o "Dir::Etc::SourceList=$tmp/sources.list"
             -o Dir::Etc::SourceParts=- -o "Dir::State::lists=$tmp/lists"
             -o "Dir::Cache=$tmp/cache" -o APT::Sandbox::User=root)
  local mirror name

  # shellcheck disable=SC2016 # apt's own
  mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' \
    'Created-By: Packages' |
    awk '$1 == "Debian" && $2 == "Debian" && !n++ { print $3 }')
  [ -n "$mirror" ] || die "apt-get indextargets tells of no archive of Debian's"
  echo "deb $mirror $1 main" >"$tmp/sources.list"
  mkdir "$tmp/lists" "$tmp/cache"
  apt-get "${own[@]}" update
  name=$(apt-cache "${own[@]}" depends linux-source |
           awk '$1 == "Depends:" && !n++ { print $2 }')
  (cd "$tmp" && apt-get "${own[@]}" download "${name:?no linux-source in $1}")
}

# unpack PACKAGE: its sources into $tmp/tree.
unpack ()
{
  dpkg-deb -x "$1" "$tmp/package"
  mkdir "$tmp/tree"
  tar -C "$tmp/tree" --strip-components=1 -xf "$tmp"/package/usr/src/*.tar.xz
}

if [ -d "$from" ]; then
  cp -r "$from" "$tmp/tree"
elif [ -f "$from" ]; then
  unpack "$from"
else
  fetch "$from"
  unpack "$tmp"/linux-source-*.deb
fi

cat >"$tmp/config" <<'CONFIG'
CONFIG_64BIT=y
CONFIG_MULTIUSER=y
CONFIG_PRINTK=y
CONFIG_KALLSYMS=y
CONFIG_BINFMT_ELF=y
CONFIG_BINFMT_SCRIPT=y
CONFIG_EPOLL=y
CONFIG_EVENTFD=y
CONFIG_SIGNALFD=y
CONFIG_TIMERFD=y
CONFIG_FUTEX=y
CONFIG_AIO=y
CONFIG_IO_URING=y
CONFIG_SYSVIPC=y
CONFIG_POSIX_TIMERS=y
CONFIG_HIGH_RES_TIMERS=y
CONFIG_NO_HZ_IDLE=y
CONFIG_ADVISE_SYSCALLS=y
CONFIG_MEMBARRIER=y
CONFIG_FILE_LOCKING=y
CONFIG_INOTIFY_USER=y
CONFIG_NET=y
CONFIG_UNIX=y
CONFIG_INET=y
CONFIG_PROC_FS=y
CONFIG_PROC_SYSCTL=y
CONFIG_SYSFS=y
CONFIG_DEBUG_FS=y
CONFIG_CONFIGFS_FS=y
CONFIG_SHMEM=y
CONFIG_TMPFS=y
CONFIG_SWAP=y
CONFIG_DEVTMPFS=y
CONFIG_BLK_DEV_INITRD=y
CONFIG_RD_ZSTD=y
CONFIG_TTY=y
CONFIG_STDERR_CONSOLE=y
CONFIG_STDIO_CONSOLE=y
CONFIG_NULL_CHAN=y
CONFIG_FD_CHAN=y
CONFIG_CON_ZERO_CHAN="fd:0,fd:1"
CONFIG_CON_CHAN="null"
CONFIG_UML_RANDOM=y
CONFIG_BLOCK=y
CONFIG_BLK_DEV=y
CONFIG_BLK_DEV_ZONED=y
CONFIG_BLK_DEV_NBD=y
CONFIG_BLK_DEV_NULL_BLK=y
CONFIG_BLK_DEV_UBLK=y
CONFIG_BLK_DEV_ZONED_LOOP=y
CONFIG_ZONEFS_FS=y
CONFIG_XFS_FS=y
CONFIG_XFS_RT=y
CONFIG_MQ_IOSCHED_DEADLINE=y
CONFIG

# All options that the file does not have are off.
(
  cd "$tmp/tree"
  make -s ARCH=um KCONFIG_ALLCONFIG="$tmp/config" allnoconfig
  make -s ARCH=um -j"$(nproc)" linux
) >"$directory/uml.log" 2>&1 || die "it cannot be built: see $directory/uml.log"

# Lay it out as a package of Debian's kernel is, for build-guest.sh.
version=$(make -s -C "$tmp/tree" ARCH=um kernelrelease)
rm -rf "$tmp/package"
mkdir -p "$tmp/package/boot" "$tmp/package/usr/lib/modules/$version"
cp "$tmp/tree/linux" "$tmp/package/boot/vmlinuz-$version"
cp "$tmp/tree/.config" "$tmp/package/boot/config-$version"
cp "$tmp/tree/modules.builtin" "$tmp/package/usr/lib/modules/$version"
: >"$tmp/package/usr/lib/modules/$version/modules.order"
rm -rf "$directory/package" "$directory/inputs"
mv "$tmp/package" "$directory"
echo "Linux $version is in $directory"
