#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Run tests of a blktests checkout in the guest, on a device of nullblk's that
# the kernel's nbd driver has attached:
#
#   cd BUILD; SOURCES/tests/guest/run-suite.sh CHECKOUT [TEST...]
#
# BUILD is a build tree, and TESTs are those of blktests' check: by default the
# ones of block/ that take a device which is given to them.  What blktests says
# is printed; the exit status is that of check.  It is no part of make check:
# blktests is not ours, and takes its time.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -z "${NULLBLK_GUEST-}" ]; then
  checkout=$(realpath "${1:?the folder of a blktests checkout}")
  shift
  [ -x "$checkout/check" ] || { echo "$checkout: no blktests" >&2; exit 1; }
  export top_srcdir=${here%/tests/guest} top_builddir=$PWD
  export NBDKIT=${NBDKIT:-nbdkit} PLUGIN=$PWD/plugin/nullblk.so
  export NULLBLK_TIMED=yes NULLBLK_LIMIT=3600
fi
# shellcheck source=functions.sh source-path=SCRIPTDIR
source "$here/functions.sh"

if on_host; then
  NULLBLK_GUEST_TESTS=${*:-block/003 block/004 block/005 block/007 block/008 \
block/012}
  export NULLBLK_GUEST_TESTS
  export NULLBLK_ADD=$tmp/add
  mkdir -p "$NULLBLK_ADD/usr/bin" "$NULLBLK_ADD/usr/lib"
  cp -r "$checkout" "$NULLBLK_ADD/blktests"
  rm -rf "$NULLBLK_ADD/blktests/.git" "$NULLBLK_ADD/blktests/results"
  # Its programs, as far as this machine can build them.
  make -k -C "$NULLBLK_ADD/blktests/src" >"$tmp/make" 2>&1 || true
  # busybox is not enough for it.
  for tool in awk blkdiscard blockdev cat column cut date dd dmesg find gawk \
      findmnt flock getconf getopt grep hexdump ln ls lsblk mktemp nproc od ps \
      readlink realpath sed seq sort stat tail timeout tput tr truncate udevadm \
      uname wc xfs_io; do
    path=$(command -v "$tool") || continue
    cp -L "$path" "$NULLBLK_ADD/usr/bin/$tool"
    ldd "$path" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
      cp -Ln "$library" "$NULLBLK_ADD/usr/lib"
    done
  done
  boot_guest
  exit
fi

cd /blktests
export PATH=/usr/bin:/usr/sbin LD_LIBRARY_PATH=/usr/lib
start_server 1G memory-backed=true
attach --connections 2
echo "TEST_DEVS=($nbd) DEVICE_ONLY=0 TIMEOUT=30" >config
read -ra tests <<<"$NULLBLK_GUEST_TESTS"
status=0
./check "${tests[@]}" || status=$?
# Why those failed that did.
find results -name '*.bad' -exec tail -n 20 {} +
detach
stop_server
exit "$status"
