/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The kernel's nbd driver, by generic netlink: it takes sockets that are
 * connected to a server, and makes a device of them.  A device is given an
 * identifier, by which we recognize it: we know the identifier before there is
 * a device, the kernel shows it as long as there is one, and the kernel takes
 * new connections for the device only from a caller with the same identifier.
 *
 * Messages and attributes are those of linux/nbd-netlink.h.  Functions that
 * return an int return 0 or a negative error of libnl (-NLE_...).
 */

#ifndef NULLBLK_NETLINK_H
#define NULLBLK_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A netlink socket to the driver.  A kernel may one day end a device when the
 * netlink socket by which it was attached is closed (a patch that does so was
 * discussed in July 2026, and is in no release).  So the process that --persist
 * leaves keeps the socket that has attached its device, and sends all commands
 * by it; see attach.c for devices without that process.
 */
struct netlink;
struct nl_msg;

/* Returns NULL where no nbd driver can be reached by netlink. */
struct netlink *netlink_open (void);
void netlink_close (struct netlink *n);

/* A device that is to be made. */
struct netlink_device {
  const char *identifier;
  uint64_t size;              /* bytes */
  unsigned block_size;        /* bytes */
  unsigned flags;             /* of the export: export.h */
  unsigned timeout;           /* seconds until a request has failed */
  unsigned reconnect_timeout; /* seconds that requests wait for a connection */
};

/* Attach a device to COUNT sockets.  The kernel keeps references to them, so
 * the caller closes its own descriptors.  The kernel chooses a node that is not
 * in use, or makes one; *index is that of /dev/nbdINDEX.  When the device is
 * disconnected, its node goes with it, and so the next device of the same
 * number gets no properties of this one.
 */
int netlink_connect (struct netlink *n, const struct netlink_device *device,
                     const int *sockets, size_t count, unsigned *index);

/* Give a device new sockets in place of dead ones.  The kernel does not take
 * sockets that are not needed, and does not say which.  -NLE_INVAL: the device
 * is no longer attached, or has another identifier.  A device that has no
 * identifier takes the sockets, whoever has attached it.
 */
int netlink_reconnect (struct netlink *n, unsigned index,
                       const char *identifier, const int *sockets,
                       size_t count);

/* Disconnect a device, whatever its identifier is. */
int netlink_disconnect (struct netlink *n, unsigned index);

/* Make the node /dev/nbdINDEX, without a device attached to it.  Fails where
 * there is a node that is attached, or that is about to go.
 */
int netlink_make_node (struct netlink *n, unsigned index);

/* The messages of netlink_connect and netlink_reconnect, for tests.  NULL if
 * there is no memory.
 */
struct nl_msg *netlink_connect_message (int family,
                                        const struct netlink_device *device,
                                        const int *sockets, size_t count);
struct nl_msg *netlink_reconnect_message (int family, unsigned index,
                                          const char *identifier,
                                          const int *sockets, size_t count);

#endif /* NULLBLK_NETLINK_H */
