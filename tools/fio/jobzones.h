/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The zones of a job's export, through the export .zones beside it, and their
 * limits, from .config (nbdkit-nullblk-plugin(1), nullbN.zones).
 */

#ifndef NULLBLK_FIO_JOBZONES_H
#define NULLBLK_FIO_JOBZONES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"
#include "zones/zones.h"

struct job_zones;

/* Connect to the zone table of the export of URI, which has SIZE bytes.  Its
 * zones must have ZONE_SIZE bytes, unless that is 0.  NULL and the reason in
 * *why if that fails; *missing says then whether the server is there and has no
 * such table for us.
 */
struct job_zones *job_zones_open (const char *uri, uint64_t size,
                                  uint64_t zone_size, bool *missing,
                                  struct message *why);
void job_zones_close (struct job_zones *z);

/* Free Z in a process that was forked from the one that opened it; the server
 * is told nothing.
 */
void job_zones_abandon (struct job_zones *z);

/* Read the descriptors from the zone of OFFSET on, at most N and one piece
 * (ZONETABLE_PIECE).  Returns how many there are, at least 1, or -EIO with the
 * reason in *why.
 */
int job_zones_report (struct job_zones *z, uint64_t offset,
                      struct zone_descriptor *descriptors, unsigned n,
                      struct message *why);

/* Have the server bring the zones of LENGTH bytes at OFFSET into the condition
 * TO, ZONE_COND_EMPTY or ZONE_COND_FULL.  Returns 0, or the server's error as a
 * negative errno, with the reason in *why.
 */
int job_zones_command (struct job_zones *z, uint64_t offset, uint64_t length,
                       enum zone_cond to, struct message *why);

/* How many zones may be open, and active; 0: any number, or not known, as this
 * client may not read .config.
 */
void job_zones_limits (const char *uri, uint64_t *most_open,
                       uint64_t *most_active);

#endif /* NULLBLK_FIO_JOBZONES_H */
