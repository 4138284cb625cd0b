/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A zoned device for tests: zones and a store, put together as the path of a
 * request does it.
 */

#ifndef NULLBLK_ZONED_H
#define NULLBLK_ZONED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"
#include "unit.h"
#include "zones/zones.h"

struct zoned {
  struct zones *zones;
  struct store *store; /* NULL in null mode */
  uint64_t size;
  /* To be set before zoned_create; see struct zone_data_ops. */
  bool write_may_wait;
  uint64_t step; /* 0: STORE_STEP */
  /* zoned_create sets these to 0. */
  int reset_error; /* what the data answers to a reset or trim, done or not */
  _Atomic unsigned steps; /* of discards */
  _Atomic uint32_t epoch;
  unsigned cut_after; /* after so many resets power is off; 0: never */
  /* Called while the zone of OFFSET is reset, and at each step of a discard. */
  void (*during_reset) (uint64_t offset);
};

/* The settings need not be complete.  Without MEMORY it is in null mode. */
void zoned_create (struct zoned *d, const struct zone_settings *settings,
                   uint64_t size, bool memory);
void zoned_destroy (struct zoned *d);

/* Write BUF, or zeroes if it is NULL. */
int zoned_write (struct zoned *d, const void *buf, uint64_t count,
                 uint64_t offset);

/* The same, but if CUT is below COUNT, only CUT bytes are written, and -EIO is
 * returned.
 */
int zoned_write_cut (struct zoned *d, const void *buf, uint64_t count,
                     uint64_t offset, uint64_t cut);

/* The same for an append to the zone in which *OFFSET is.  *OFFSET becomes that
 * of the data.
 */
int zoned_append_cut (struct zoned *d, const void *buf, uint64_t count,
                      uint64_t *offset, uint64_t cut);

int zoned_read (struct zoned *d, void *buf, uint64_t count, uint64_t offset);

#endif /* NULLBLK_ZONED_H */
