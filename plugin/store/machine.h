/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The limits of the machine: how much memory this process may use, and
 * whether huge pages can be had.  Both are asked only at the start, and need no
 * lock.
 */

#ifndef NULLBLK_MACHINE_H
#define NULLBLK_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of memory that this process may use at most: the machine's RAM, less
 * where a cgroup (v1 or v2) of ours or above us has a limit, and less where
 * vm.overcommit_memory is 2 and the kernel has little left to promise.
 * Swap does not count.  ROOT is where /proc and /sys are found: "" except
 * in tests.
 */
uint64_t machine_memory (const char *root);

/* Does the kernel give transparent huge pages to those that ask? */
bool machine_has_hugepages (const char *root);

#endif /* NULLBLK_MACHINE_H */
