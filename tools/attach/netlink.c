/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Connections for the kernel, and how it is given them; see netlink.h.
 */

#include <config.h>

#include "netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifdef HAVE_LIBNL
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#endif

#include "attach-internal.h"

/* How long to wait before it is asked whether we are to stop. */
#define SLICE_MS 200

/*---------------------------------------------------------------------*/
/* To the server */

static time_t
seconds_now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec;
}

/* What a server says does not lengthen it: it may go on for ever. */
struct nbd_handle *
connect_within (const char *uri, unsigned seconds, struct message *why)
{
  struct nbd_handle *h = nbd_create ();
  const time_t end = seconds_now () + seconds;
  int r = -1;

  if (h != NULL) {
    nbd_set_uri_allow_local_file (h, true);
    nbd_set_request_structured_replies (h, false);
#ifdef LIBNBD_HAVE_NBD_SET_REQUEST_EXTENDED_HEADERS
    nbd_set_request_extended_headers (h, false);
#endif
    r = nbd_aio_connect_uri (h, uri);
    while (r != -1 && nbd_aio_is_connecting (h) == 1 && seconds_now () <= end &&
           !is_stopped ())
      r = nbd_poll (h, SLICE_MS);
    if (r != -1 && nbd_aio_is_ready (h) == 1)
      return h;
  }
  if (r == -1)
    message_set (why, "%s: %s", uri, nbd_get_error ());
  else
    message_set (why, "%s: the server does not answer", uri);
  nbd_close (h);
  return NULL;
}

void
disconnect_from_server (struct nbd_handle *h)
{
  /* Not nbd_shutdown, which waits for what the server says to it. */
  if (h != NULL)
    nbd_aio_disconnect (h, 0);
  nbd_close (h);
}

/*---------------------------------------------------------------------*/
/* To the kernel */

#ifdef HAVE_LIBNL

struct netlink {
  struct nl_sock *socket;
  int family;
};

struct netlink *
netlink_open (struct message *why)
{
  struct netlink *n = calloc (1, sizeof *n);

  if (n != NULL) {
    n->family = -1;
    n->socket = nl_socket_alloc ();
    if (n->socket != NULL && genl_connect (n->socket) == 0)
      n->family = genl_ctrl_resolve (n->socket, NBD_GENL_FAMILY_NAME);
    if (n->family >= 0)
      return n;
    netlink_close (n);
  }
  message_set (why, "this kernel's nbd driver has no netlink");
  return NULL;
}

void
netlink_close (struct netlink *n)
{
  if (n != NULL)
    nl_socket_free (n->socket);
  free (n);
}

/* Begin a message; NULL without memory. */
static struct nl_msg *
begin (struct netlink *n, int command, unsigned index)
{
  struct nl_msg *msg = nlmsg_alloc ();

  if (msg != NULL &&
      genlmsg_put (msg, NL_AUTO_PORT, NL_AUTO_SEQ, n->family, 0, 0, command,
                   NBD_GENL_VERSION) != NULL &&
      nla_put_u32 (msg, NBD_ATTR_INDEX, index) == 0)
    return msg;
  nlmsg_free (msg);
  return NULL;
}

static bool
put_sockets (struct nl_msg *msg, struct nbd_handle *const *connections,
             size_t count)
{
  struct nlattr *sockets = nla_nest_start (msg, NBD_ATTR_SOCKETS), *item;
  const int on = 1;
  size_t i;
  int fd;

  if (sockets == NULL)
    return false;
  for (i = 0; i < count; i++) {
    fd = nbd_aio_get_fd (connections[i]);
    /* To notice a network that is gone; it does nothing for Unix sockets. */
    setsockopt (fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    item = nla_nest_start (msg, NBD_SOCK_ITEM);
    if (item == NULL || nla_put_u32 (msg, NBD_SOCK_FD, fd) < 0)
      return false;
    nla_nest_end (msg, item);
  }
  nla_nest_end (msg, sockets);
  return true;
}

/* Send it, free it, and wait for the kernel's verdict, before which there is an
 * answer where something was done that IS_ANSWERED.
 */
static int
finish (struct netlink *n, struct nl_msg *msg, bool is_answered)
{
  int r = nl_send_auto (n->socket, msg);

  nlmsg_free (msg);
  if (r >= 0 && is_answered)
    r = nl_recvmsgs_default (n->socket);
  return r < 0 ? r : nl_wait_for_ack (n->socket);
}

/* The protocol's transmission flags, which libnbd tells one by one. */
static uint64_t
flags_of (struct nbd_handle *h)
{
  uint64_t flags = 1; /* there are flags */

  flags |= nbd_is_read_only (h) == 1 ? 1 << 1 : 0;
  flags |= nbd_can_flush (h) == 1 ? 1 << 2 : 0;
  flags |= nbd_can_fua (h) == 1 ? 1 << 3 : 0;
  flags |= nbd_is_rotational (h) == 1 ? 1 << 4 : 0;
  flags |= nbd_can_trim (h) == 1 ? 1 << 5 : 0;
  flags |= nbd_can_zero (h) == 1 ? 1 << 6 : 0;
  flags |= nbd_can_multi_conn (h) == 1 ? 1 << 8 : 0;
  return flags;
}

int
netlink_connect (struct netlink *n, const struct netlink_device *device,
                 struct nbd_handle *const *connections, size_t count)
{
  struct nl_msg *msg = begin (n, NBD_CMD_CONNECT, device->index);

  if (msg == NULL)
    return -NLE_NOMEM;
  if (nla_put_u64 (msg, NBD_ATTR_SIZE_BYTES, device->size) < 0 ||
      nla_put_u64 (msg, NBD_ATTR_BLOCK_SIZE_BYTES, device->block_size) < 0 ||
      nla_put_u64 (msg, NBD_ATTR_SERVER_FLAGS, flags_of (connections[0])) < 0 ||
      nla_put_u64 (msg, NBD_ATTR_TIMEOUT, device->timeout) < 0 ||
      nla_put_u64 (msg, NBD_ATTR_DEAD_CONN_TIMEOUT, device->dead_timeout) < 0 ||
      nla_put_string (msg, NBD_ATTR_BACKEND_IDENTIFIER, device->identifier) <
          0 ||
      !put_sockets (msg, connections, count)) {
    nlmsg_free (msg);
    return -NLE_NOMEM;
  }
  return finish (n, msg, true);
}

int
netlink_reconnect (struct netlink *n, const struct netlink_device *device,
                   struct nbd_handle *connection)
{
  struct nl_msg *msg = begin (n, NBD_CMD_RECONFIGURE, device->index);

  if (msg == NULL)
    return -NLE_NOMEM;
  if (nla_put_string (msg, NBD_ATTR_BACKEND_IDENTIFIER, device->identifier) <
          0 ||
      !put_sockets (msg, &connection, 1)) {
    nlmsg_free (msg);
    return -NLE_NOMEM;
  }
  return finish (n, msg, false);
}

int
netlink_disconnect (struct netlink *n, unsigned index)
{
  struct nl_msg *msg = begin (n, NBD_CMD_DISCONNECT, index);

  return msg == NULL ? -NLE_NOMEM : finish (n, msg, false);
}

#endif
