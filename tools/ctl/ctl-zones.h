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

/* Which zones to report: of COUNT zones (0: all) after the first FROM, those
 * whose condition is among CONDS, a bit for each (0: all).
 */
struct zones_query {
  uint64_t from, count;
  unsigned conds;
  bool json;
};

/* Take conditions by their two letters, as in "em,fu". */
bool zones_parse_conds (const char *text, unsigned *conds, struct message *why);

/* Print them, a line each as zbd does, or as JSON. */
bool zones_report (FILE *fp, const struct server_address *s,
                   const struct zones_query *query, struct message *why);

/* Ask a condition of the zones in RANGES ("3", "3-9"; NULL ends them), or of
 * all that can take it where there are none.  *bad_usage where a range is none.
 */
bool zones_change (const struct server_address *s, enum zone_cond to,
                   char **ranges, bool *bad_usage, struct message *why);

/* How full zones are: a letter for each, or for each group of *group zones, so
 * that CELLS letters are enough for all of the table that H reads.  NULL and
 * the reason in *why if that cannot be had; to be freed.
 */
char *zones_map (struct nbd_handle *h, size_t cells, uint64_t *group,
                 struct message *why);

#endif /* NULLBLK_CTL_ZONES_H */
