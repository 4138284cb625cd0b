/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Connections to a server that are made for the kernel, by libnbd, and what the
 * server says of the export.  The kernel knows simple replies alone, so nothing
 * else is asked for, and without TLS libnbd has read no byte that the kernel
 * should get.
 */

#ifndef NULLBLK_CONNECTION_H
#define NULLBLK_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include <libnbd.h>

#include "common/common.h"

/* NBD's transmission flags, as the kernel is told of them. */
enum {
  EXPORT_HAS_FLAGS = 1 << 0, /* always */
  EXPORT_READ_ONLY = 1 << 1,
  EXPORT_FLUSH = 1 << 2,
  EXPORT_FUA = 1 << 3,
  EXPORT_ROTATIONAL = 1 << 4,
  EXPORT_TRIM = 1 << 5,
  EXPORT_ZEROES = 1 << 6,
  EXPORT_MULTI_CONN = 1 << 8
};

/* What an export is, as its server says on one connection. */
struct offer {
  uint64_t size;       /* bytes */
  unsigned block_size; /* bytes, from 512: the least that a request may have */
  unsigned flags;
};

/* May a device that was made of the export OLD go on with this one? */
bool offer_serves (const struct offer *offer, const struct offer *old);

/* A connection, made in this many seconds, and what its export is; or NULL and
 * the reason in *why.  While is_stopped, of attach-internal.h, says so, it is
 * given up.  *HAS_ZONES says whether the server lists an export .zones beside
 * it; it is not asked for that where HAS_ZONES is NULL.
 */
struct nbd_handle *connect_within (const char *uri, unsigned seconds,
                                   struct offer *offer, bool *has_zones,
                                   struct message *why);

/* Let go of a connection that the kernel was not given. */
void disconnect_from_server (struct nbd_handle *h);

#endif /* NULLBLK_CONNECTION_H */
