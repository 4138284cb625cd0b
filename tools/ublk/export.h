/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The export behind the device: what the server says of it, and connections to
 * it.
 */

#ifndef NULLBLK_UBLK_EXPORT_H
#define NULLBLK_UBLK_EXPORT_H

#include <stdbool.h>

#include "common/common.h"
#include "link.h"
#include "options.h"
#include "ublkdrv/ublkdrv.h"
#include "queue.h"

struct export
{
  const char *uri;
  unsigned patience; /* seconds that a connection may take to be made */
  uint64_t peer;     /* the server, from the first connection on; see peer.h */
  struct plan_export plan_export;
  struct zone_descriptor first_zone; /* as it is read before the others */
  struct zone_descriptor *table;     /* or NULL */
  bool holds_early_writes;        /* a write that comes before its turn waits */
  struct queue_connections first; /* the connections of export_open */
};

/* The functions below that return an int return 0, or -EIO with the reason in
 * *why.
 */

/* Make the connections of the first queue, e->first, and ask the server what
 * the export and its zones are like.
 */
int export_open (struct export *e, const char *uri, enum zones_wanted zones,
                 struct message *why);

/* Make the connections of one more queue.  The export must still be what
 * export_open has found.
 */
int export_connect (const struct export *e, struct queue_connections *c,
                    struct message *why);

/* Tell the server of the end of these connections, and close them. */
void export_disconnect (struct queue_connections *c);

/* Free what *E has, but for e->first, which is closed by export_disconnect. */
void export_close (struct export *e);

#endif /* NULLBLK_UBLK_EXPORT_H */
