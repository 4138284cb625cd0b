/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device's zone table, as its .zones export has it (nbdkit-nullblk-plugin(1),
 * nullbN.zones).  What is read is believed only if it is such a table: filters
 * cut, shift and fill exports up, and a command to zone N of a table that is
 * shifted would be done to another zone.
 *
 * Functions that return bool give false and the reason in *why.  If a server
 * has not answered a read after 30 seconds, they fail, and the connection is
 * broken.  Writes of commands to the table are the caller's, and have no such
 * limit.
 */

#ifndef NULLBLK_ZONETABLE_H
#define NULLBLK_ZONETABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"
#include "zones/zones.h"

struct nbd_handle;

/* The most descriptors that one request moves: 1 MiB. */
#define ZONETABLE_PIECE 16384

struct zonetable {
  struct nbd_handle *h; /* the caller's */
  uint64_t nr_zones;
  uint64_t zone_len; /* sectors; the last zone may be shorter */
};

/* Find out what table H, a connection to a .zones export, has; this reads its
 * first and its last zone.
 */
bool zonetable_open (struct zonetable *t, struct nbd_handle *h,
                     struct message *why);

/* Read N descriptors from zone FIRST on, at most ZONETABLE_PIECE. */
bool zonetable_read (const struct zonetable *t, struct zone_descriptor *zones,
                     uint64_t first, uint64_t n, struct message *why);

/* As zonetable_read, but if what was read are no zones, this returns true, and
 * sets *right to false.
 */
bool zonetable_try (const struct zonetable *t, struct zone_descriptor *zones,
                    uint64_t first, uint64_t n, bool *right,
                    struct message *why);

/* The condition with whose two letters TEXT begins, or NR_ZONE_CONDS. */
unsigned zone_cond_parse (const char *text);

/* The letters and the name, as "em" and "empty", of a condition that
 * zonetable_read has let through.
 */
const char *zone_cond_letters (unsigned cond);
const char *zone_cond_name (unsigned cond);

/* Does the zone have a write pointer? */
bool zone_has_wp (const struct zone_descriptor *d);

/* The bytes of a descriptor's start, length, capacity or write pointer, which
 * is a number of sectors in little endian.
 */
uint64_t zone_field_bytes (uint64_t le_sectors);

#endif /* NULLBLK_ZONETABLE_H */
