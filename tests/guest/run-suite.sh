#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Runs a test suite of another project in the guest, on Linux's null_blk and on
# devices of ours, and prints a table of the results on each:
#
#   cd BUILD; SOURCES/tests/guest/run-suite.sh SUITE [CHECKOUT [TEST...]]
#
#   blktests   those tests of its group block that take a device
#   zbd        blktests' group zbd
#   fio        fio's tests of zoned devices (t/zbd)
#   zonefs     those of zonefs-tools
#   nbd        nbd's own tests of servers; without a guest, on nbdkit's memory
#              plugin and on ours
#
# BUILD is a build tree, CHECKOUT the suite's sources, and a TEST is a number or
# a name, as the suite has it; by default all are run.  Without a CHECKOUT, or
# with -, fio's sources are fetched: those of the machine's package.  Our device
# becomes a block device in up to three ways: by the kernel's nbd driver (nbd),
# by nullblk-ublk (ublk), and made by the server itself (own).
# NULLBLK_GUEST_DEVICES may list other devices than null_blk and these; with
# NULLBLK_TEST_BATCH=yes the server is nullblk-serve.  The exit status is 1 if a
# test passes on the first device and fails on another.  This is no part of make
# check: it takes up to half an hour.  RESULTS.md has the results.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -z "${NULLBLK_GUEST-}" ]; then
  export NULLBLK_GUEST_SUITE=${1:?a suite}
  checkout=${2:--}
  NULLBLK_GUEST_TESTS=${*:3}
  export NULLBLK_GUEST_TESTS
  [ "$checkout" = - ] || checkout=$(realpath "$checkout")
  export top_srcdir=${here%/tests/guest} top_builddir=$PWD
  export NBDKIT=${NBDKIT:-nbdkit} PLUGIN=$PWD/plugin/nullblk.so
  export NULLBLK_TIMED=yes NULLBLK_LIMIT=${NULLBLK_LIMIT:-3600}
fi
# shellcheck source=differ.sh source-path=SCRIPTDIR
source "$here/differ.sh"

# table NAME...: print all results on these devices, and how many of each there
# are.  Status 1 if a test has passed on the first and failed on another.
table ()
{
  local name files=()

  for name; do
    files+=("$tmp/$name")
  done
  awk -v names="$*" '
    FNR == 1 { device++ }
    {
      test = $1; sub (/^[^ ]* /, "")
      if (! (test in number)) { number[test] = ++n; all[n] = test }
      result[test, device] = $0
      count[device, $0]++
      if (device > 1 && result[test, 1] == "passed" && $0 == "failed") bad++
    }
    END {
      split (names, name, " ")
      printf "%-14s", ""
      for (d = 1; d <= device; d++) printf "%-12s", name[d]
      print ""
      for (i = 1; i <= n; i++) {
        printf "%-14s", all[i]
        for (d = 1; d <= device; d++) printf "%-12s", result[all[i], d]
        print ""
      }
      split ("passed,failed,not run", words, ",")
      for (i = 1; i <= 3; i++) {
        printf "%-14s", words[i]
        for (d = 1; d <= device; d++) printf "%-12d", count[d, words[i]]
        print ""
      }
      exit bad != 0
    }' "${files[@]}"
}

#----------------------------------------------------------------------
# On the host: put what the suite needs into $add

# add_tools NAME|FILE...: add this machine's tools, for some of which busybox
# has one that is not enough.
add_tools ()
{
  local tool path library

  mkdir -p "$add/usr/bin" "$add/usr/lib"
  for tool; do
    path=$(command -v "$tool") || continue
    cp -L "$path" "$add/usr/bin/${tool##*/}"
    while read -r library; do
      cp -Ln "$library" "$add/usr/lib"
    done < <(ldd "$path" 2>/dev/null | grep -o '/[^ ]*')
  done
}

add_blktests ()
{
  [ -x "$checkout/check" ] || fail "$checkout: no blktests"
  cp -r "$checkout" "$add/suite"
  rm -rf "$add/suite/.git" "$add/suite/results"
  # Build its programs, as far as this machine can.
  make -k -C "$add/suite/src" >"$tmp/make" 2>&1 || true
  add_tools awk cat column cut date dd dmesg find findmnt flock gawk getconf \
    getopt grep hexdump ln ls mktemp nproc od ps readlink realpath sed seq \
    sort stat tail timeout tput tr truncate udevadm uname wc xfs_io
  # The suite looks for both programs; any awk is enough, and no udev is needed.
  [ -e "$add/usr/bin/gawk" ] || ln -s awk "$add/usr/bin/gawk"
  [ -e "$add/usr/bin/udevadm" ] || ln -s true "$add/usr/bin/udevadm"
  # zgrep is for the kernel's configuration, which is not compressed here.
  printf '%s\n' '#!/bin/sh' 'exec grep "$@"' >"$add/usr/bin/zgrep"
  chmod 755 "$add/usr/bin/zgrep"
  mkdir "$add/boot"
  cp "$image"/package/boot/config-* "$add/boot"
}

# fetch_fio: get the sources of the machine's package of fio.
fetch_fio ()
{
  "$top_srcdir/build-aux/fetch-fio.sh" "$tmp/fio" >"$tmp/fetch" 2>&1 ||
    fail "fio's sources cannot be fetched: $(tail -n 1 "$tmp/fetch")"
  checkout=$tmp/fio
}

add_fio ()
{
  [ "$checkout" != - ] || fetch_fio
  [ -e "$checkout/t/zbd/test-zbd-support" ] || fail "$checkout: no fio"
  mkdir -p "$add/suite/t"
  cp -r "$checkout/t/zbd" "$add/suite/t"
  if [ -x "$checkout/fio" ]; then
    cp "$checkout/fio" "$add/suite"
  else
    ln -s /usr/bin/fio "$add/suite/fio"
  fi
  add_tools awk bc date dd grep ps readlink realpath sed sort tail timeout tr
}

add_zonefs ()
{
  local tool

  [ -e "$checkout/tests/zonefs-tests.sh" ] || fail "$checkout: no zonefs-tools"
  cp -r "$checkout/tests" "$add/suite"
  echo '#define PACKAGE_VERSION "0"' >"$tmp/config.h"
  cc -w -D_GNU_SOURCE -I"$tmp" -o "$tmp/mkzonefs" "$checkout"/src/*.c -lblkid \
    -luuid || fail "mkzonefs cannot be built; it needs libblkid-dev, uuid-dev"
  for tool in zio zopen; do
    cc -w -D_GNU_SOURCE -o "$add/suite/tools/$tool" \
      "$checkout/tests/tools/$tool.c" || fail "$tool cannot be built"
  done
  add_tools "$tmp/mkzonefs" awk basename cat chmod chown cut date dd fallocate \
    grep head id ln ls mkdir mkswap readlink realpath sed seq sort stat sync \
    swapon tail tee tr truncate wc
  # The suite makes swap files by sudo, waits for udev, and asks modinfo whether
  # there is a module null_blk.
  ln -s true "$add/usr/bin/udevadm"
  # shellcheck disable=SC2016 # for that shell
  printf '%s\n' '#!/bin/sh' 'exec "$@"' >"$add/usr/bin/sudo"
  # shellcheck disable=SC2016
  printf '%s\n' '#!/bin/sh' 'echo "$@"' >"$add/usr/bin/modinfo"
  chmod 755 "$add/usr/bin/sudo" "$add/usr/bin/modinfo"
}

#----------------------------------------------------------------------
# nbd's own tests, on the host

# run_nbd NAME PLUGIN [KEY=VALUE]...: run the tests, each with a new server.
run_nbd ()
{
  local logs=$checkout/tests/run test words

  echo "on $1:"
  PLUGIN=$2
  for test in "${tests[@]}"; do
    case $test in
      read) words=() ;;
      write) words=(-w) ;;
      flush) words=(-w -f) ;;
      handshake) words=(-h) ;;
      oversize) words=(-o) ;;
      integrity | integrityhuge) words=(-i -t "$logs/$test-test.tr") ;;
      *) fail "nbd has no test '$test'" ;;
    esac
    start_server 50M "${@:3}"
    if timeout 120 "$tmp/tester" -N nullb0 -u "$sock" "${words[@]}" \
         >"$tmp/said" 2>&1; then
      echo "$test passed"
    else
      tail -n 5 "$tmp/said" >&2
      echo "$test failed"
    fi >>"$tmp/$1"
    stop_server
  done
}

run_nbd_suite ()
{
  local parts

  [ -e "$checkout/tests/run/nbd-tester-client.c" ] || fail "$checkout: no nbd"
  printf '#define %s\n' 'HAVE_GNUTLS 0' 'VERSION "0"' 'PACKAGE_VERSION "0"' \
    >"$tmp/config.h"
  read -ra parts < <(pkg-config --cflags --libs glib-2.0 | xargs)
  cc -w -D_GNU_SOURCE -DPROG_NAME='"nbd-tester-client"' -I"$tmp" -I"$checkout" \
    -o "$tmp/tester" "$checkout"/{tests/run/nbd-tester-client,cliserv}.c \
    "${parts[@]}" || fail "the tester cannot be built; it needs libglib2.0-dev"
  # oversize reads a block and a half at byte 1, which only a server can serve
  # whose blocks are bytes.
  [ ${#tests[@]} -gt 0 ] ||
    tests=(read write flush handshake integrity integrityhuge)
  run_nbd memory memory
  run_nbd nullblk "$top_builddir/plugin/nullblk.so" memory-backed=true
  export NULLBLK_NBDKIT=$NBDKIT
  export NULLBLK_BATCH=$top_builddir/plugin/.libs/libnullblk-batch.so
  NBDKIT=$top_srcdir/tests/server/nbdkit-batched.sh
  run_nbd batched "$PLUGIN" memory-backed=true
  echo "nbd, $("$NULLBLK_NBDKIT" --version)"
  table memory nullblk batched
}

if on_host; then
  read -ra tests <<<"$NULLBLK_GUEST_TESTS"
  if [ "$NULLBLK_GUEST_SUITE" = nbd ]; then
    run_nbd_suite
    exit
  fi
  [ -x "$top_builddir/tools/nullblk-ublk" ] || fail "nullblk-ublk is not built"
  image=$top_builddir/tests/guest/image${NULLBLK_KERNEL:+-$NULLBLK_KERNEL}
  bash "$here/build-guest.sh" "$image" || exit
  add=$tmp/add
  mkdir "$add"
  case $NULLBLK_GUEST_SUITE in
    blktests | zbd) add_blktests ;;
    fio) add_fio ;;
    zonefs) add_zonefs ;;
    *) fail "there is no suite '$NULLBLK_GUEST_SUITE'" ;;
  esac
  export NULLBLK_ADD=$add
  boot_guest -m 3072
  exit
fi

#----------------------------------------------------------------------
# In the guest

# run_SUITE DEVICE: run $tests of the suite on a device.  Prints a line "TEST
# RESULT" for each.

run_blktests ()
{
  echo "TEST_DEVS=($1) DEVICE_ONLY=1 TIMEOUT=30" >config
  rm -rf results
  ./check "${tests[@]}" >"$tmp/check" 2>&1 || true
  cat "$tmp/check" >&2
  # Show why tests have failed.
  find results -name '*.bad' -exec tail -n 20 {} + >&2
  sed -nE 's,^([a-z]+/[0-9]+) .*\[(.*)\]$,\1 \2,p' "$tmp/check"
}

run_fio ()
{
  local n options=(-r)

  for n in "${tests[@]}"; do
    options+=(-t "$n")
  done
  t/zbd/test-zbd-support "${options[@]}" "$1" >"$tmp/check" 2>&1 || true
  cat "$tmp/check" >&2
  while read -r n; do
    tail -n 20 "t/zbd/test-zbd-support.log.$((10#$n))" >&2
  done < <(sed -nE 's/^Running test ([0-9]+) .*FAIL.*/\1/p' "$tmp/check")
  sed -nE 's/^Running test ([0-9]+) \.\.\. (PASS|SKIP|FAIL).*/\1 \2/p' \
    "$tmp/check" | sed 's/PASS/passed/; s/FAIL/failed/; s/SKIP/not run/'
}

run_zonefs ()
{
  local n options=(-s)

  for n in "${tests[@]}"; do
    options+=(-t "$n")
  done
  modprobe zonefs
  ./zonefs-tests.sh -g logs "${options[@]}" "$1" >"$tmp/check" 2>&1 || true
  # Drop the colours.
  sed -i 's/\x1b\[[0-9]*m//g' "$tmp/check"
  cat "$tmp/check" >&2
  while read -r n; do
    tail -n 20 "logs/$n.log" >&2
  done < <(sed -nE 's/^ *Test ([0-9]+):.*FAIL$/\1/p' "$tmp/check")
  sed -nE 's/^ *Test ([0-9]+):.* (PASS|skip|FAIL)$/\1 \2/p' "$tmp/check" |
    sed 's/PASS/passed/; s/FAIL/failed/; s/skip/not run/'
}

# run_on NAME DEVICE: run the suite, with the results in $tmp/NAME.
run_on ()
{
  echo "on $1:"
  (cd /suite && "run_${suite/zbd/blktests}" "$2") >"$tmp/$1"
  [ -s "$tmp/$1" ] || fail "no test has run on $1"
}

export LD_LIBRARY_PATH=/usr/lib
suite=$NULLBLK_GUEST_SUITE
read -ra tests <<<"${NULLBLK_GUEST_TESTS-}"
geometry="size=512"
devices="null_blk ublk own"
case $suite in
  blktests)
    [ ${#tests[@]} -gt 0 ] || tests=(block)
    devices="null_blk nbd ublk own"
    ;;
  zbd)
    [ ${#tests[@]} -gt 0 ] || tests=(zbd)
    geometry="size=1024 zoned=1 zone_size=4"
    ;;
  fio)
    geometry="size=1024 zoned=1 zone_size=4 zone_capacity=3 zone_nr_conv=10
              zone_max_open=8"
    ;;
  zonefs)
    geometry="size=1024 zoned=1 zone_size=16 zone_nr_conv=10 zone_max_open=8
              zone_max_active=9"
    ;;
esac
read -ra devices <<<"${NULLBLK_GUEST_DEVICES-$devices}"

load_null_blk
modprobe mq-deadline
for device in "${devices[@]}"; do
  case $device in
    null_blk)
      make_theirs "$geometry" || fail "null_blk does not take $geometry"
      run_on null_blk "$theirs"
      remove_theirs
      ;;
    nbd)
      start_ours "$geometry"
      attach --connections 2
      run_on nbd "$nbd"
      detach
      stop_server
      ;;
    ublk)
      start_ours "$geometry"
      attach_ublk "$uri"
      run_on ublk "$disk"
      detach_ublk
      leave_server
      ;;
    own)
      start_ours "$geometry" ublk=true
      find_disk
      run_on own "$disk"
      stop_server
      ;;
    *) fail "there is no device '$device'" ;;
  esac
done
# zonefs warns of errors that its tests cause on purpose.
[ "$suite" != zonefs ] || dmesg -c >/dev/null
echo "$suite, Linux $(uname -r), fio $(fio --version)"
table "${devices[@]}"
