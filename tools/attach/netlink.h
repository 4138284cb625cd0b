/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The kernel's nbd driver, by generic netlink: it takes sockets that are
 * connected to a server, and makes a device of them.  The identifier that a
 * device is given tells what we have attached from what anybody else has: it is
 * known before there is a device, the kernel shows it as long as there is one,
 * and gives a device that has one no connection of a caller with another.
 *
 * Messages and attributes are those of linux/nbd-netlink.h.  Errors are
 * libnl's: 0, or negative.
 */

#ifndef NULLBLK_NETLINK_H
#define NULLBLK_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDENTIFIER_LENGTH 40

/* A connection with the driver.  A kernel may one day end a device when the
 * netlink socket is closed that has connected it (a patch that does so was
 * discussed in July 2026, and is in no release).  So everything that is done to
 * a device goes by one of these from beginning to end, also in the process that
 * --persist leaves; see attach.c for devices without that process.
 */
struct netlink;
struct nl_msg;

/* NULL where no nbd driver is to be reached by netlink. */
struct netlink *netlink_open (void);
void netlink_close (struct netlink *n);

/* A device as it is wanted. */
struct netlink_device {
  const char *identifier;
  uint64_t size;         /* bytes */
  unsigned block_size;   /* bytes */
  unsigned flags;        /* of the export: connection.h */
  unsigned timeout;      /* seconds until a request has failed */
  unsigned dead_timeout; /* seconds that requests wait for a connection */
};

/* Attach a device to COUNT sockets, which are the kernel's afterwards, too: the
 * caller closes its own.  The kernel chooses a node that is not in use, or
 * makes one; *index is that of /dev/nbdINDEX.  When the device is disconnected,
 * its node goes with it, and all that the kernel would keep of the one for the
 * next.
 */
int netlink_connect (struct netlink *n, const struct netlink_device *device,
                     const int *sockets, size_t count, unsigned *index);

/* Give a device other sockets for dead ones.  Those that are not needed are not
 * taken, and nothing says which.  -NLE_INVAL: the device is no longer
 * connected, or has another identifier; one that has none takes them, be it
 * whose it may.
 */
int netlink_reconnect (struct netlink *n, unsigned index,
                       const char *identifier, const int *sockets,
                       size_t count);

/* Whatever its identifier is. */
int netlink_disconnect (struct netlink *n, unsigned index);

/* Make the node /dev/nbdINDEX, which is not attached afterwards.  Fails where
 * there is one that is attached, or that is about to go.
 */
int netlink_make_node (struct netlink *n, unsigned index);

/* The messages that make up the first two, for tests.  NULL without memory. */
struct nl_msg *netlink_connect_message (int family,
                                        const struct netlink_device *device,
                                        const int *sockets, size_t count);
struct nl_msg *netlink_reconnect_message (int family, unsigned index,
                                          const char *identifier,
                                          const int *sockets, size_t count);

#endif /* NULLBLK_NETLINK_H */
