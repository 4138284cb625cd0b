/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The kernel's nbd driver, by generic netlink: it takes connections that
 * libnbd has made, and makes a device of them.  The identifier that a device
 * is given tells what we have attached from what anybody else has: it is known
 * before there is a device, the kernel shows it as long as there is one, and
 * gives a device that has one no connection of a caller with another.
 *
 * Messages and attributes are those of linux/nbd-netlink.h.  Errors are
 * libnl's: 0, or negative.
 */

#ifndef NULLBLK_NETLINK_H
#define NULLBLK_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libnbd.h>

#include "common/common.h"

#define IDENTIFIER_LENGTH 40

/* A connection for the kernel, made in this many seconds, or NULL and the
 * reason in *why.  Without TLS it has no reply that the kernel does not know,
 * and nothing of what the server sends is left in libnbd.  While is_stopped,
 * of attach-internal.h, says so, it is given up.
 */
struct nbd_handle *connect_within (const char *uri, unsigned seconds,
                                   struct message *why);

/* Let go of a connection that the kernel was not given. */
void disconnect_from_server (struct nbd_handle *h);

#ifdef HAVE_LIBNL

struct netlink;

/* NULL and the reason in *why where the kernel's driver has no netlink. */
struct netlink *netlink_open (struct message *why);
void netlink_close (struct netlink *n);

/* What a device is to be. */
struct netlink_device {
  unsigned index; /* of /dev/nbdINDEX */
  const char *identifier;
  uint64_t size;         /* bytes */
  unsigned block_size;   /* bytes */
  unsigned timeout;      /* seconds until a request has failed */
  unsigned dead_timeout; /* seconds that requests wait for a connection */
};

/* Attach a device to N connections, the first of which says what the server
 * can do.  -NLE_BUSY: it is in use.
 */
int netlink_connect (struct netlink *n, const struct netlink_device *device,
                     struct nbd_handle *const *connections, size_t count);

/* Give a device another connection for a dead one.  One that is not needed is
 * not taken.  -NLE_INVAL: the device is no longer connected, or has another
 * identifier; one that has none takes it, be it whose it may.
 */
int netlink_reconnect (struct netlink *n, const struct netlink_device *device,
                       struct nbd_handle *connection);

/* Whatever its identifier is. */
int netlink_disconnect (struct netlink *n, unsigned index);

#endif

#endif /* NULLBLK_NETLINK_H */
