#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Boots the guest with the plugin, and runs a test of this directory in it.
#
#   run-guest.sh TEST-SCRIPT [QEMU-ARGUMENT]...
#
# Prints the guest's console, and returns the guest's verdict: the status of the
# script, or 98 if the kernel has complained.  It returns 1 for a guest that
# panics, hangs or ends without a verdict.  The script gets variables
# NULLBLK_GUEST_*, too.  The processor is emulated: so no KVM is needed.  In qemu
# the words of NULLBLK_BOOT are added to the kernel's command line; and with
# NULLBLK_COUNTED=yes there is one processor, which takes 2 ns for each
# instruction, whatever the host does meanwhile.
#
# $PLUGIN and $top_builddir are from make check.

set -euo pipefail

: "${PLUGIN:?is set by make check}" "${top_builddir:?is set by make check}"

# The seconds after which a guest counts as hung: far more than any test needs.
limit=${NULLBLK_LIMIT:-900}

here=$(cd "$(dirname "$0")" && pwd)
script=${1:?}
shift
image=$top_builddir/tests/guest/image${NULLBLK_KERNEL:+-$NULLBLK_KERNEL}

command -v qemu-system-x86_64 >/dev/null ||
  { echo "skipped: qemu-system-x86_64 is missing"; exit 77; }
bash "$here/build-guest.sh" "$image"

qemu=
tmp=$(mktemp -d)
# shellcheck disable=SC2317,SC2329 # trap
clean_up ()
{
  local status=$?

  [ -z "$qemu" ] || kill -KILL "$qemu" 2>/dev/null
  rm -rf "$tmp"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

mkdir -p "$tmp/root/tests/guest" "$tmp/root/tests/server"
cp "$script" "$here/attach.sh" "$here/functions.sh" "$here/crash.sh" \
  "$here/differ.sh" "$here/ublk.sh" "$tmp/root/tests/guest"
cp "$here/../port.sh" "$tmp/root/tests"
cp "$here/../server/functions.sh" "$tmp/root/tests/server"
cp -L "$PLUGIN" "$tmp/root/nullblk.so"
# libraries_of FILE: copy those of its libraries that the image may not have.
libraries_of ()
{
  local library

  mkdir -p "$tmp/root/usr/lib"
  while read -r library; do
    cp -L "$library" "$tmp/root/usr/lib"
  done < <(ldd "$1" | grep -o '/[^ ]*/lib\(jansson\|ncurses\|nl-\|uring\)[^ ]*')
}
libraries_of "$PLUGIN"
for program in tools/nullblk-attach tools/nullblk-measure tools/nullblk-ublk \
               tools/nullblkctl tests/bench/alone tests/guest/crash-files \
               tests/guest/differ tests/guest/models tests/guest/relay \
               tests/guest/user; do
  if [ -x "$top_builddir/$program" ]; then
    cp "$top_builddir/$program" "$tmp/root"
    libraries_of "$top_builddir/$program"
  fi
done
# nullblk-attach starts servers by nullblk-serve.  With NULLBLK_TEST_BATCH all
# servers of tests have the batch library.
nbdkit=/usr/bin/nbdkit
if [ -x "$top_builddir/tools/nullblk-serve" ]; then
  cp "$top_builddir/tools/nullblk-serve" "$here/../server/nbdkit-batched.sh" \
    "$tmp/root"
  cp -L "$top_builddir/plugin/.libs/libnullblk-batch.so" "$tmp/root"
  [ -z "${NULLBLK_TEST_BATCH-}" ] || nbdkit=/nbdkit-batched.sh
fi
{
  echo "export NULLBLK_GUEST=${script##*/} NULLBLK_TIMED=yes"
  echo "export NBDKIT=$nbdkit PLUGIN=/nullblk.so"
  echo "export NULLBLK_NBDKIT=/usr/bin/nbdkit"
  echo "export NULLBLK_BATCH=/libnullblk-batch.so"
  echo "export top_srcdir=/ top_builddir=/ srcdir=/tests"
  [ -z "${NULLBLK_SEED-}" ] || echo "export NULLBLK_SEED=$NULLBLK_SEED"
  for variable in "${!NULLBLK_GUEST_@}"; do
    printf 'export %s=%q\n' "$variable" "${!variable}"
  done
} >"$tmp/root/tests/guest/environment"
cp "$image/base" "$tmp/initramfs"
# NULLBLK_ADD is a directory of more files for the guest.
if [ -n "${NULLBLK_ADD-}" ]; then
  cp -r "$NULLBLK_ADD/." "$tmp/root"
fi
(cd "$tmp/root" && find . | cpio -o -H newc --quiet -R 0:0) \
  >>"$tmp/initramfs"

# User mode Linux maps each page of a guest's process by itself.  If it is not
# allowed so many maps, the process is killed by SIGSEGV, or hangs.
most_maps=$(cat /proc/sys/vm/max_map_count)
if [ "${NULLBLK_KERNEL-}" = uml ] && [ "$most_maps" -lt 1000000 ]; then
  echo "note: processes of the guest may have no more than $most_maps pages," \
    "until the host has sysctl vm.max_map_count=1000000"
fi

# The host may be too busy to let the guest's processors run for half a minute,
# which their kernel would report as its own fault.
patience='nosoftlockup rcupdate.rcu_cpu_stall_suppress=1'
words="console=ttyS0 quiet panic=-1 oops=panic $patience ${NULLBLK_BOOT-}"

processors=(-accel "tcg,thread=multi" -smp 2)
[ -z "${NULLBLK_COUNTED-}" ] ||
  processors=(-accel "tcg,thread=single" -smp 1 -icount shift=1)

# boot [QEMU-ARGUMENT]...: run the guest, with its console in $tmp/lines, and
# set $hung if it does not end.
boot ()
{
  local end=$((SECONDS + limit))

  # Not in a pipe, so that it can be ended by its pid.  With seccomp, which
  # user mode Linux has since 6.16, a system call there costs far less than with
  # ptrace.
  if [ "${NULLBLK_KERNEL-}" = uml ]; then
    "$image/kernel" mem=3072M initrd="$tmp/initramfs" con=null con0=null,fd:1 \
      quiet panic=-1 oops=panic null_blk.nr_devices=0 seccomp=auto \
      uml_dir="$tmp" >"$tmp/console" 2>&1 </dev/null &
  else
    qemu-system-x86_64 -machine q35 "${processors[@]}" -cpu max -m 1024 \
      -display none -nodefaults -no-reboot -serial stdio \
      -kernel "$image/kernel" -initrd "$tmp/initramfs" \
      -append "$words" "$@" \
      >"$tmp/console" 2>&1 </dev/null &
  fi
  qemu=$!

  hung=
  while kill -0 "$qemu" 2>/dev/null; do
    if ((SECONDS >= end)); then
      hung=yes
      break
    fi
    sleep 0.1
  done
  if [ -z "$hung" ]; then
    wait "$qemu" || true
    qemu=
  fi
  tr -d '\r' <"$tmp/console" | tee "$tmp/lines"
}

# While it boots, the kernel changes its own code, and qemu's emulation of two
# processors sometimes runs into that (int3 in sched_clock_cpu) on a busy
# machine.  Before its first process the guest runs nothing of ours, so it is
# booted again then.  Later a panic counts, except for an int3: only the kernel
# itself puts it into its code, as when the first TCP socket is made (in
# inet_ehashfn).
for try in 1 2 3 4 5; do
  boot "$@"
  if [ -n "$hung" ] || { grep -q guest-boots "$tmp/lines" &&
                         ! grep -q 'int3: 0000 \[#' "$tmp/lines"; }; then
    break
  fi
  echo "try $try: the guest's kernel did not get as far as its first process," \
    "or ran into an int3 of its own"
done

verdict=$(sed -n 's/^.*guest-verdict \([0-9]*\)$/\1/p' "$tmp/lines" | tail -n 1)
if [ -n "$hung" ]; then
  echo "the guest was still there after $limit seconds" >&2
  exit 1
elif [ -z "$verdict" ]; then
  echo "the guest ended without a verdict" >&2
  exit 1
fi
exit "$verdict"
