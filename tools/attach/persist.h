/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reconnecting: the kernel's nbd driver holds the I/O of a device whose server
 * is away, and takes new connections for those that died.  A process of ours
 * for each device makes the new connections.
 */

#ifndef NULLBLK_PERSIST_H
#define NULLBLK_PERSIST_H

#include <stdbool.h>

#include "common/common.h"
#include "netlink.h"
#include "offer.h"

struct persist;

/* The device to reconnect, and its export as it was. */
struct persist_target {
  unsigned index;         /* of /dev/nbdINDEX */
  const char *identifier; /* that the kernel has for it */
  const char *uri;
  struct offer offer;
  unsigned connections; /* how many it has */
};

/* Call this before the device is attached by the socket COMMANDS.  It opens a
 * second socket, to listen to the kernel; later commands go by COMMANDS.
 * Returns NULL, with the reason in *why, if devices cannot be reconnected on
 * this machine.
 */
struct persist *persist_begin (struct netlink *commands, struct message *why);

/* Give the kernel a new connection for each that dies, until the device is
 * detached, as IS_ATTACHED says, or disconnected.
 */
void persist_watch (struct persist *p, const struct persist_target *target,
                    bool (*is_attached) (const void *), const void *arg);

#endif /* NULLBLK_PERSIST_H */
