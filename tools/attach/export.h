/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Connections to a server, which libnbd makes for the kernel, and what the
 * server says on them of its export.  The kernel knows simple
 * replies alone, so no others are negotiated.  Without TLS, libnbd has read
 * just the bytes of the handshake, so the kernel can have the socket.
 */

#ifndef NULLBLK_ATTACH_EXPORT_H
#define NULLBLK_ATTACH_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include <libnbd.h>

#include "common/common.h"

/* NBD's transmission flags. */
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

/* An export, as its server describes it on one connection. */
struct export_info {
  uint64_t size;       /* bytes */
  unsigned block_size; /* the minimum, or 512 bytes if that is less */
  unsigned flags;
  uint64_t peer; /* the server, as a number of peer.h; 0: not known */
};

/* Can a device that was made of the export OLD go on with the export INFO?
 * Not if it is known that another server has it: nothing tells whether the data
 * is the same.
 */
bool export_info_serves (const struct export_info *info,
                         const struct export_info *old);

/* Connect within this many seconds.  Returns the connection, with its export in
 * *info; or NULL and the reason in *why, also if is_stopped
 * (attach-internal.h).  *HAS_ZONES says whether the server lists an export with
 * the name of this one and ".zones"; if HAS_ZONES is NULL, it is not asked.
 */
struct nbd_handle *connect_within (const char *uri, unsigned seconds,
                                   struct export_info *info, bool *has_zones,
                                   struct message *why);

/* Put the IP address to which H is connected into BUF; "" if there is none. */
void numeric_host (struct nbd_handle *h, char *buf, size_t size);

/* Close a connection that was not given to the kernel. */
void disconnect_from_server (struct nbd_handle *h);

#endif /* NULLBLK_ATTACH_EXPORT_H */
