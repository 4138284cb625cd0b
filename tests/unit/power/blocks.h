/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device with a volatile write cache for tests, in blocks.
 */

#ifndef NULLBLK_TESTS_BLOCKS_H
#define NULLBLK_TESTS_BLOCKS_H

#include <stdbool.h>

#include "power/power.h"
#include "unit.h"

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)
#define BLOCK 4096
#define VOLUME 1

extern const struct power_cut lose_all;
extern const struct power_cut lose_none;

struct device {
  struct store *store;
  struct durability *d;
  uint32_t block_size;
};

struct device new_device (uint64_t cache_size, uint64_t limit,
                          uint32_t block_size);

/* Four conventional zones of a MiB, then four sequential ones. */
struct device new_zoned_device (uint64_t cache_size);

/* Also asserts that nothing is counted against the limit any more. */
void destroy_device (struct device *dev);

/* Each byte of these blocks is BYTE. */
int try_to_write (struct device *dev, uint64_t first, uint64_t nr, uint8_t byte,
                  bool fua);

void write_blocks (struct device *dev, uint64_t first, uint64_t nr,
                   uint8_t byte);

void write_fua (struct device *dev, uint64_t first, uint64_t nr, uint8_t byte);

void flush (struct device *dev);

int cut_power (struct device *dev, const struct power_cut *c);

/* Cut power, and put it back on. */
void cut (struct device *dev, const struct power_cut *c);

/* The byte that a block is full of. */
uint8_t byte_of (struct device *dev, uint64_t block);

void assert_blocks (struct device *dev, uint64_t first, uint64_t nr,
                    uint8_t byte);

struct durability_status status (struct device *dev);

#endif /* NULLBLK_TESTS_BLOCKS_H */
