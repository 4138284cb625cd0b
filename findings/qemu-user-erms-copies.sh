#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# qemu's emulated x86 processors copy memory four times as slowly if they have a
# feature that says that copies are fast.
#
# Seen with qemu-user 1:7.2+dfsg-7+deb12u18+b3 and glibc 2.36 (Debian 12).
#
# A processor with "erms" promises that `rep movsb` is the quick way to move many
# bytes, so glibc's memcpy, and the kernel's, use it there.  qemu without KVM has
# the feature in `-cpu max` and in models from Ivy Bridge on, but emulates the
# instruction byte by byte.  With erms=off glibc copies by vectors, for which
# qemu takes a quarter of the time.  Figures of block devices, pipes and sockets
# in an emulated guest with large requests are mostly this instruction.  What was
# printed is microseconds of CPU for a copy of 128 KiB:
#
#   -cpu max: 100 us
#   -cpu max,erms=off: 26 us
#
# Needs what packages.sh says, and gcc; an x86-64 machine.  Ends with 1 where a
# copy is not at least twice as fast with erms=off.

set -euo pipefail
# shellcheck source=findings/packages.sh
. "$(dirname "$0")/packages.sh"
begin
unpack qemu-user=1:7.2+dfsg-7+deb12u18+b3

cat >copy.c <<'EOF'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZE (128 << 10)
#define COPIES 500

int
main (void)
{
  char *from = malloc (SIZE), *to = malloc (SIZE);
  int i;

  memset (from, 1, SIZE);
  memset (to, 2, SIZE);
  const clock_t start = clock ();
  for (i = 0; i < COPIES; i++) {
    memcpy (to, from, SIZE);
    __asm__ volatile ("" ::"r"(to) : "memory");
  }
  printf ("%.0f\n", (clock () - start) * 1e6 / CLOCKS_PER_SEC / COPIES);
  return 0;
}
EOF
gcc -O2 -o copy copy.c

slow=$(run qemu-x86_64 -cpu max ./copy)
fast=$(run qemu-x86_64 -cpu max,erms=off ./copy)
echo "-cpu max: $slow us"
echo "-cpu max,erms=off: $fast us"
((slow >= 2 * fast))
