/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reconnecting: the kernel's nbd driver has the I/O of a device wait while the
 * server is away, and takes new connections in place of those that died.  A
 * process of ours for each device, the watcher, makes the new connections.
 */

#ifndef NULLBLK_PERSIST_H
#define NULLBLK_PERSIST_H

#include <stdbool.h>

#include "common/common.h"
#include "netlink.h"
#include "export.h"

struct persist;

/* The device to reconnect, and its export as it was. */
struct persist_target {
  unsigned index;         /* of /dev/nbdINDEX */
  const char *identifier; /* of the device */
  const char *uri;
  struct export_info export_info;
  unsigned connections; /* how many the device has */
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
