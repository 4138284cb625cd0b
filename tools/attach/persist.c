/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reconnecting; see persist.h.
 */

#include <config.h>

#include "persist.h"

#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <libnbd.h>
#include <linux/nbd-netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

/* The pause between two checks whether the device is still there, and the least
 * pause between two rounds of attempts to reconnect it, even if the first round
 * has succeeded: a server may take connections only to drop them.
 */
#define PAUSE_MS 200

/* How long it may take to connect to a server; if it takes longer, the server
 * counts as away.
 */
#define ANSWER_SECONDS 10

struct persist {
  struct netlink *commands;
  struct nl_sock *events;
  unsigned index;
  unsigned connections; /* of the device */
  unsigned dead;        /* at most so many of them are dead */
};

/* Take a message of the kernel: it may say that a connection has died, of this
 * or another device.
 */
static int
count_dead (struct nl_msg *msg, void *arg)
{
  struct genlmsghdr *header = nlmsg_data (nlmsg_hdr (msg));
  struct nlattr *attr[NBD_ATTR_MAX + 1];
  struct persist *p = arg;

  if (header->cmd == NBD_CMD_LINK_DEAD &&
      genlmsg_parse (nlmsg_hdr (msg), 0, attr, NBD_ATTR_MAX, NULL) == 0 &&
      attr[NBD_ATTR_INDEX] != NULL &&
      nla_get_u32 (attr[NBD_ATTR_INDEX]) == p->index &&
      p->dead < p->connections)
    p->dead++;
  return NL_OK;
}

struct persist *
persist_begin (struct netlink *commands, struct message *why)
{
  struct persist *p = calloc (1, sizeof *p);
  int group = -1;

  if (p == NULL) {
    message_set (why, "--persist: out of memory");
    return NULL;
  }
  p->commands = commands;
  p->events = nl_socket_alloc ();
  if (p->events != NULL && genl_connect (p->events) == 0)
    group = genl_ctrl_resolve_grp (p->events, NBD_GENL_FAMILY_NAME,
                                   NBD_GENL_MCAST_GROUP_NAME);
  if (group < 0 || nl_socket_add_membership (p->events, group) < 0 ||
      nl_socket_set_nonblocking (p->events) < 0) {
    message_set (why, "--persist: this kernel's nbd driver tells of no dead "
                      "connections");
    nl_socket_free (p->events);
    free (p);
    return NULL;
  }
  /* Events have no sequence numbers. */
  nl_socket_disable_seq_check (p->events);
  nl_socket_modify_cb (p->events, NL_CB_VALID, NL_CB_CUSTOM, count_dead, p);
  return p;
}

/* Returns NULL if the server is not there, or no longer serves what it did. */
static struct nbd_handle *
connect_again (const struct persist_target *target)
{
  struct message why;
  struct export_info info;
  struct nbd_handle *h =
      connect_within (target->uri, ANSWER_SECONDS, &info, NULL, &why);

  if (h != NULL && !export_info_serves (&info, &target->export_info)) {
    disconnect_from_server (h);
    h = NULL;
  }
  return h;
}

/* Wait for messages of the kernel, PAUSE_MS at most, and take all that there
 * are.  Where the kernel had no room for a message, all connections may be
 * dead: so all are made anew, and the kernel does not take more than it needs.
 */
static void
listen_to_kernel (struct persist *p)
{
  struct pollfd fd = {.fd = nl_socket_get_fd (p->events), .events = POLLIN};
  int r;

  if (poll (&fd, 1, PAUSE_MS) <= 0)
    return;
  while ((r = nl_recvmsgs_default (p->events)) >= 0)
    ;
  if (r == -NLE_NOMEM) /* ENOBUFS, too */
    p->dead = p->connections;
}

void
persist_watch (struct persist *p, const struct persist_target *target,
               bool (*is_attached) (const void *), const void *arg)
{
  const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000 * 1000};
  struct nbd_handle *h;
  unsigned wanted;
  int r, fd;

  p->index = target->index;
  p->connections = target->connections;
  while (is_attached (arg)) {
    listen_to_kernel (p);
    if (p->dead == 0)
      continue;
    for (wanted = p->dead; wanted > 0; wanted--) {
      h = connect_again (target);
      if (h == NULL)
        break;
      /* While this has connected, the device may have been detached, and its
       * number be another device's: one without an identifier would take the
       * connection.
       */
      if (!is_attached (arg)) {
        disconnect_from_server (h);
        return;
      }
      fd = nbd_aio_get_fd (h);
      r = netlink_reconnect (p->commands, target->index, target->identifier,
                             &fd, 1);
      /* This does not disconnect: the socket is the kernel's, too. */
      nbd_close (h);
      if (r == -NLE_INVAL) /* the device is disconnected, for good */
        return;
      if (r < 0)
        break;
      p->dead--;
    }
    nanosleep (&pause, NULL);
  }
}
