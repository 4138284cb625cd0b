/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Translates zones as the .zones export has them into zones as the kernel wants
 * them; and chooses the error that the kernel is to see, as its block layer has
 * more errors than NBD has.  Nothing here makes requests.
 */

#ifndef NULLBLK_UBLKDRV_ZONED_H
#define NULLBLK_UBLKDRV_ZONED_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel.h"
#include "zones/zones.h"

/* Is D, as it was read, a descriptor of the zone that was FIRST when the device
 * was made?  Its start, length, capacity and type do not change; its condition
 * is one that its type can have; and its write pointer, where it has one, is in
 * the zone.
 */
bool zoned_is_same (const struct zone_descriptor *d,
                    const struct zone_descriptor *first);

/* Make what was read of a table what the kernel calls a report, in its place:
 * struct blk_zone, in the machine's byte order.
 */
void zoned_report (struct zone_descriptor *table, uint64_t n);

/* The condition that a descriptor asks for, for a zone command of the kernel's
 * about one zone.
 */
enum zone_cond zoned_condition (enum ublk_operation operation);

/* Where the next append to a zone goes, and up to where it can be written
 * (bytes within the device); both the same if it can take nothing.  The
 * descriptor is as it was read, and zoned_is_same has said yes.
 */
void zoned_append_range (const struct zone_descriptor *d, uint64_t *pointer,
                         uint64_t *end);

/* OPERATION has failed, perhaps because an earlier try of the same request had
 * succeeded, and D is the zone's descriptor as it was read after the failure.
 * Does D look as it would after that success?  OPERATION is a write or an
 * append up to END (bytes within the device), or a command to the zone; and
 * nobody else changes the zone.
 */
bool zoned_was_done (enum ublk_operation operation, uint64_t end,
                     const struct zone_descriptor *d);

/* A write, an append, or a command to a zone, that has failed. */
struct zoned_failure {
  int error;                           /* NBD's, a negative errno */
  const struct zone_descriptor *table; /* as read after the failure; or NULL */
  uint64_t nr_zones;                   /* that the table has */
  uint64_t zone;                       /* in the table, that was meant */
  uint64_t max_open, max_active;       /* zones; 0: no limit */
  bool is_command;                     /* to the zone: it needs no memory */
};

/* The negative errno that the kernel is to see: -ETOOMANYREFS where no more
 * zones may be open, -EOVERFLOW where no more may be active, -EREMOTEIO (a
 * target's refusal) where the zone is read-only, -EIO where it is offline,
 * otherwise what zoned_plain_error says.
 */
int zoned_error (const struct zoned_failure *f);

/* For all other requests: -ENOSPC, -EOPNOTSUPP, -ETIMEDOUT and -ENOMEM stay
 * what they are, -EREMOTEIO is for what is read-only, and -EIO for all else.
 */
int zoned_plain_error (int error);

/* Must the whole table be read for zoned_error, and not only the zone? */
bool zoned_needs_table (const struct zoned_failure *f);

/* The number that a line of .config has for KEY; 0 if it says "none", or has no
 * such line.
 */
uint64_t zoned_config_limit (const char *config, const char *key);

/* Is the value of KEY in .config a duration other than 0? */
bool zoned_config_has_duration (const char *config, const char *key);

#endif /* NULLBLK_UBLKDRV_ZONED_H */
