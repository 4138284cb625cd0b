/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblkctl zones: a device's zone table, and commands to its zones, through
 * its .zones export (nbdkit-nullblk-plugin(1), nullbN.zones).
 *
 * Functions that return bool give false and the reason in *why.
 */

#ifndef NULLBLK_CTL_ZONES_H
#define NULLBLK_CTL_ZONES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/common.h"
#include "server.h"
#include "zones/zones.h"

struct nbd_handle;

/* Which zones to report: of COUNT zones (0: all) from zone FROM on, those whose
 * condition is among CONDS, a bit for each (0: all).
 */
struct zones_query {
  uint64_t from, count;
  unsigned conds;
  bool json;
};

/* Make bits of the conditions in TEXT, two letters each, as in "em,fu". */
bool zones_parse_conds (const char *text, unsigned *conds, struct message *why);

/* Print the zones of QUERY, a line each as zbd does, or as JSON. */
bool zones_report (FILE *fp, const struct server_address *s,
                   const struct zones_query *query, struct message *why);

/* Bring the zones in RANGES ("3", "3-9"; NULL ends them) into condition TO; if
 * there are no ranges, the zones that --all means (nullblkctl(1)).  Zones that
 * are in TO already become empty if TO is read-only or offline.  *bad_usage is
 * true if a range is malformed.
 */
bool zones_change (const struct server_address *s, enum zone_cond to,
                   char **ranges, bool *bad_usage, struct message *why);

/* How full the zones of the table behind H are: a letter for each group of
 * *group zones.  There are at most CELLS groups; CELLS is at least 1.  To be
 * freed; NULL and the reason in *why if the map cannot be made.
 */
char *zones_map (struct nbd_handle *h, size_t cells, uint64_t *group,
                 struct message *why);

#endif /* NULLBLK_CTL_ZONES_H */
