/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reconnecting; see persist.h.  The netlink messages and attributes are those
 * of linux/nbd-netlink.h.
 */

#include <config.h>

#include "persist.h"

#ifdef HAVE_LIBNL

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include <libnbd.h>
#include <linux/nbd-netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

/* Between two attempts to reach the server, and two looks whether the device
 * is still there.
 */
#define PAUSE_MS 200

struct persist {
  struct nl_sock *commands;
  struct nl_sock *events;
  int family;
  unsigned index;
  unsigned dead; /* connections that wait for another */
};

/* The kernel says that a connection of some device has died. */
static int
count_dead (struct nl_msg *msg, void *arg)
{
  struct genlmsghdr *header = nlmsg_data (nlmsg_hdr (msg));
  struct nlattr *attr[NBD_ATTR_MAX + 1];
  struct persist *p = arg;

  if (header->cmd == NBD_CMD_LINK_DEAD &&
      genlmsg_parse (nlmsg_hdr (msg), 0, attr, NBD_ATTR_MAX, NULL) == 0 &&
      attr[NBD_ATTR_INDEX] != NULL &&
      nla_get_u32 (attr[NBD_ATTR_INDEX]) == p->index)
    p->dead++;
  return NL_OK;
}

static struct nl_sock *
new_socket (void)
{
  struct nl_sock *s = nl_socket_alloc ();

  if (s != NULL && genl_connect (s) < 0) {
    nl_socket_free (s);
    s = NULL;
  }
  return s;
}

struct persist *
persist_begin (struct message *why)
{
  struct persist *p = calloc (1, sizeof *p);
  int group = -1;

  if (p == NULL)
    return NULL;
  p->commands = new_socket ();
  p->events = new_socket ();
  if (p->commands != NULL && p->events != NULL) {
    p->family = genl_ctrl_resolve (p->commands, NBD_GENL_FAMILY_NAME);
    group = genl_ctrl_resolve_grp (p->commands, NBD_GENL_FAMILY_NAME,
                                   NBD_GENL_MCAST_GROUP_NAME);
  }
  if (group < 0 || p->family < 0 ||
      nl_socket_add_membership (p->events, group) < 0 ||
      nl_socket_set_nonblocking (p->events) < 0) {
    message_set (why, "--persist: this kernel's nbd driver has no netlink");
    nl_socket_free (p->commands);
    nl_socket_free (p->events);
    free (p);
    return NULL;
  }
  /* Events are numbered by nobody. */
  nl_socket_disable_seq_check (p->events);
  nl_socket_modify_cb (p->events, NL_CB_VALID, NL_CB_CUSTOM, count_dead, p);
  return p;
}

/* Send NBD_CMD_RECONFIGURE with a dead-connection timeout in seconds, or with a
 * socket that takes the place of a dead one: one of them is 0 or -1.  Returns 0
 * or a negative error of libnl.
 */
static int
reconfigure (struct persist *p, unsigned index, unsigned seconds, int fd)
{
  struct nl_msg *msg = nlmsg_alloc ();
  struct nlattr *sockets, *item;

  if (msg == NULL ||
      genlmsg_put (msg, NL_AUTO_PORT, NL_AUTO_SEQ, p->family, 0, 0,
                   NBD_CMD_RECONFIGURE, NBD_GENL_VERSION) == NULL ||
      nla_put_u32 (msg, NBD_ATTR_INDEX, index) < 0 ||
      (seconds > 0 &&
       nla_put_u64 (msg, NBD_ATTR_DEAD_CONN_TIMEOUT, seconds) < 0))
    goto too_long;
  if (fd != -1) {
    sockets = nla_nest_start (msg, NBD_ATTR_SOCKETS);
    item = sockets != NULL ? nla_nest_start (msg, NBD_SOCK_ITEM) : NULL;
    if (item == NULL || nla_put_u32 (msg, NBD_SOCK_FD, fd) < 0)
      goto too_long;
    nla_nest_end (msg, item);
    nla_nest_end (msg, sockets);
  }
  return nl_send_sync (p->commands, msg); /* frees it */

too_long:
  nlmsg_free (msg);
  return -NLE_NOMEM;
}

bool
persist_hold_io (struct persist *p, const struct persist_target *target,
                 struct message *why)
{
  int r = reconfigure (p, target->index, target->seconds, -1);

  if (r < 0)
    message_set (why, "--persist: /dev/nbd%u: %s", target->index,
                 nl_geterror (r));
  return r >= 0;
}

/* Connect as the kernel wants it: no reply that it does not know.  NULL if the
 * server is not there, or no longer serves what it did.
 */
static struct nbd_handle *
connect_again (const struct persist_target *target)
{
  struct nbd_handle *h = nbd_create ();

  if (h == NULL)
    return NULL;
  nbd_set_request_structured_replies (h, false);
#ifdef LIBNBD_HAVE_NBD_SET_REQUEST_EXTENDED_HEADERS
  nbd_set_request_extended_headers (h, false);
#endif
  if (nbd_connect_uri (h, target->uri) == 0 &&
      nbd_get_size (h) == (int64_t) target->size &&
      nbd_is_read_only (h) == target->read_only)
    return h;
  nbd_close (h);
  return NULL;
}

/* Wait for news, or for a while. */
static void
listen_to_kernel (struct persist *p)
{
  struct pollfd fd = {.fd = nl_socket_get_fd (p->events), .events = POLLIN};

  if (poll (&fd, 1, PAUSE_MS) > 0)
    nl_recvmsgs_default (p->events);
}

void
persist_watch (struct persist *p, const struct persist_target *target,
               bool (*is_attached) (const void *), const void *arg)
{
  struct nbd_handle *h;

  p->index = target->index;
  while (is_attached (arg)) {
    listen_to_kernel (p);
    while (p->dead > 0 && (h = connect_again (target)) != NULL) {
      if (reconfigure (p, target->index, 0, nbd_aio_get_fd (h)) >= 0)
        p->dead--;
      /* Not a shutdown: the connection is the kernel's. */
      nbd_close (h);
      if (!is_attached (arg))
        return;
    }
  }
}

#else

struct persist *
persist_begin (struct message *why)
{
  message_set (why, "--persist: this nullblk-attach was built without libnl");
  return NULL;
}

bool
persist_hold_io (struct persist *p, const struct persist_target *target,
                 struct message *why)
{
  (void) p;
  (void) target;
  (void) why;
  return false;
}

void
persist_watch (struct persist *p, const struct persist_target *target,
               bool (*is_attached) (const void *), const void *arg)
{
  (void) p;
  (void) target;
  (void) is_attached;
  (void) arg;
}

#endif
