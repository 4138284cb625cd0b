/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How the kernel is given connections; see netlink.h.
 */

#include <config.h>

#include "netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

struct netlink {
  struct nl_sock *socket;
  int family;
  /* The driver's answer to a CONNECT. */
  bool has_index;
  unsigned index;
};

static int
note_index (struct nl_msg *msg, void *arg)
{
  struct nlattr *attr[NBD_ATTR_MAX + 1];
  struct netlink *n = arg;

  if (genlmsg_parse (nlmsg_hdr (msg), 0, attr, NBD_ATTR_MAX, NULL) == 0 &&
      attr[NBD_ATTR_INDEX] != NULL) {
    n->index = nla_get_u32 (attr[NBD_ATTR_INDEX]);
    n->has_index = true;
  }
  return NL_OK;
}

struct netlink *
netlink_open (void)
{
  struct netlink *n = calloc (1, sizeof *n);

  if (n == NULL)
    return NULL;
  n->family = -1;
  n->socket = nl_socket_alloc ();
  if (n->socket != NULL && genl_connect (n->socket) == 0)
    n->family = genl_ctrl_resolve (n->socket, NBD_GENL_FAMILY_NAME);
  if (n->family < 0) {
    netlink_close (n);
    return NULL;
  }
  nl_socket_modify_cb (n->socket, NL_CB_VALID, NL_CB_CUSTOM, note_index, n);
  return n;
}

void
netlink_close (struct netlink *n)
{
  if (n != NULL)
    nl_socket_free (n->socket);
  free (n);
}

/*---------------------------------------------------------------------*/
/* Messages */

/* Begin a message; NULL if there is no memory. */
static struct nl_msg *
begin (int family, int command)
{
  struct nl_msg *msg = nlmsg_alloc ();

  if (msg != NULL && genlmsg_put (msg, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, 0,
                                  command, NBD_GENL_VERSION) != NULL)
    return msg;
  nlmsg_free (msg);
  return NULL;
}

static struct nl_msg *
begin_for (int family, int command, unsigned index)
{
  struct nl_msg *msg = begin (family, command);

  if (msg == NULL || nla_put_u32 (msg, NBD_ATTR_INDEX, index) == 0)
    return msg;
  nlmsg_free (msg);
  return NULL;
}

static bool
put_sockets (struct nl_msg *msg, const int *sockets, size_t count)
{
  struct nlattr *all = nla_nest_start (msg, NBD_ATTR_SOCKETS), *item;
  size_t i;

  if (all == NULL)
    return false;
  for (i = 0; i < count; i++) {
    item = nla_nest_start (msg, NBD_SOCK_ITEM);
    if (item == NULL || nla_put_u32 (msg, NBD_SOCK_FD, sockets[i]) < 0)
      return false;
    nla_nest_end (msg, item);
  }
  nla_nest_end (msg, all);
  return true;
}

struct nl_msg *
netlink_connect_message (int family, const struct netlink_device *device,
                         const int *sockets, size_t count)
{
  struct nl_msg *msg = begin (family, NBD_CMD_CONNECT);

  if (msg == NULL ||
      (nla_put_u64 (msg, NBD_ATTR_SIZE_BYTES, device->size) == 0 &&
       nla_put_u64 (msg, NBD_ATTR_BLOCK_SIZE_BYTES, device->block_size) == 0 &&
       nla_put_u64 (msg, NBD_ATTR_SERVER_FLAGS, device->flags) == 0 &&
       nla_put_u64 (msg, NBD_ATTR_CLIENT_FLAGS,
                    NBD_CFLAG_DESTROY_ON_DISCONNECT) == 0 &&
       nla_put_u64 (msg, NBD_ATTR_TIMEOUT, device->timeout) == 0 &&
       nla_put_u64 (msg, NBD_ATTR_DEAD_CONN_TIMEOUT,
                    device->reconnect_timeout) == 0 &&
       nla_put_string (msg, NBD_ATTR_BACKEND_IDENTIFIER, device->identifier) ==
           0 &&
       put_sockets (msg, sockets, count)))
    return msg;
  nlmsg_free (msg);
  return NULL;
}

struct nl_msg *
netlink_reconnect_message (int family, unsigned index, const char *identifier,
                           const int *sockets, size_t count)
{
  struct nl_msg *msg = begin_for (family, NBD_CMD_RECONFIGURE, index);

  if (msg == NULL ||
      (nla_put_string (msg, NBD_ATTR_BACKEND_IDENTIFIER, identifier) == 0 &&
       put_sockets (msg, sockets, count)))
    return msg;
  nlmsg_free (msg);
  return NULL;
}

/*---------------------------------------------------------------------*/
/* Commands */

/* Send a message, free it, and wait for the kernel's acknowledgement, or error.
 * If IS_ANSWERED, there is an answer before the acknowledgement: that of a
 * CONNECT, with the device's index.
 */
static int
do_command (struct netlink *n, struct nl_msg *msg, bool is_answered)
{
  int r;

  if (msg == NULL)
    return -NLE_NOMEM;
  n->has_index = false;
  r = nl_send_auto (n->socket, msg);
  nlmsg_free (msg);
  if (r >= 0 && is_answered) {
    r = nl_recvmsgs_default (n->socket);
    /* Without memory for the answer the kernel only acknowledges. */
    if (r >= 0 && !n->has_index)
      return -NLE_MISSING_ATTR;
  }
  return r < 0 ? r : nl_wait_for_ack (n->socket);
}

int
netlink_connect (struct netlink *n, const struct netlink_device *device,
                 const int *sockets, size_t count, unsigned *index)
{
  const int r = do_command (
      n, netlink_connect_message (n->family, device, sockets, count), true);

  *index = n->index;
  return r;
}

int
netlink_reconnect (struct netlink *n, unsigned index, const char *identifier,
                   const int *sockets, size_t count)
{
  return do_command (
      n,
      netlink_reconnect_message (n->family, index, identifier, sockets, count),
      false);
}

int
netlink_disconnect (struct netlink *n, unsigned index)
{
  return do_command (n, begin_for (n->family, NBD_CMD_DISCONNECT, index),
                     false);
}

/* Only a CONNECT makes a node.  This one connects the node to ourselves, as a
 * device of size 0, from which nobody can read.
 */
int
netlink_make_node (struct netlink *n, unsigned index)
{
  struct nl_msg *msg;
  int pair[2], r;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
    return -nl_syserr2nlerr (errno);
  msg = begin_for (n->family, NBD_CMD_CONNECT, index);
  /* The node keeps its block size: so it gets the least, and not the driver's
   * default of 1024.
   */
  if (msg != NULL && (nla_put_u64 (msg, NBD_ATTR_SIZE_BYTES, 0) < 0 ||
                      nla_put_u64 (msg, NBD_ATTR_BLOCK_SIZE_BYTES, 512) < 0 ||
                      !put_sockets (msg, pair, 1))) {
    nlmsg_free (msg);
    msg = NULL;
  }
  r = do_command (n, msg, true);
  if (r == 0)
    r = netlink_disconnect (n, index);
  close (pair[0]);
  close (pair[1]);
  return r;
}
