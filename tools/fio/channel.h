/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A connection of a job to its export, on which many requests are in flight at
 * once.  Only channel_receive may wait, and only if it is told to.  Each
 * channel belongs to one thread, which makes all calls.
 */

#ifndef NULLBLK_FIO_CHANNEL_H
#define NULLBLK_FIO_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/common.h"
#include "nbdwire.h"

struct nbd_handle;

/* A request.  It belongs to its owner until it is added to a channel, and again
 * once it is in the list of answered ones.
 */
struct channel_request {
  enum nbd_command type;
  bool fua;
  uint64_t offset;
  uint32_t count; /* bytes */
  void *buf;      /* COUNT bytes, for a read or a write */
  void *owner;    /* for the owner alone */

  /* Once it is answered: 0, or a negative errno.  This is the server's, or
   * -ENOTCONN if the connection is dead, or -ENOMEM if there was no memory.
   */
  int err;

  /* Private. */
  struct channel_request *older, *newer; /* on the same channel, not answered */
  struct channel_request *next;          /* in the list of answered ones */
  struct channel *channel;
  uint64_t cookie;
  uint8_t *header; /* as it is sent */
  bool is_sent;
};

/* Requests that are answered, the first one first. */
struct answered_list {
  struct channel_request *first, **last;
  unsigned count;
};

void answered_init (struct answered_list *a);
void answered_add (struct answered_list *a, struct channel_request *q, int err);

/* Returns NULL if there are none. */
struct channel_request *answered_take (struct answered_list *a);

struct channel_ops {
  void (*destroy) (struct channel *c);
  void (*add) (struct channel *c, struct channel_request *q);
  void (*send) (struct channel *c);
  void (*receive) (struct channel *c, bool waits);
  short (*awaited) (struct channel *c);
};

/* Each kind of channel begins with this. */
struct channel {
  const struct channel_ops *ops;
  struct answered_list *answered; /* the session's list */
  int fd;
  bool is_dead;       /* new requests are answered with -ENOTCONN at once */
  struct message why; /* why it is dead */
};

/* Make a channel of the socket FD, on which the handshake is over and replies
 * are simple ones.  At most DEPTH requests are on it at a time.  The caller
 * closes FD after the channel.  NULL if there is no memory.
 */
struct channel *channel_raw_create (int fd, unsigned depth,
                                    struct answered_list *answered);

/* Make a channel of a connection of libnbd, which the caller closes after the
 * channel.  NULL if there is no memory.
 */
struct channel *channel_nbd_create (struct nbd_handle *h,
                                    struct answered_list *answered);

/* Free C, which may be NULL.  Requests that are not answered are forgotten. */
static inline void
channel_destroy (struct channel *c)
{
  if (c != NULL)
    c->ops->destroy (c);
}

/* Have Q sent by the next channel_send. */
static inline void
channel_add (struct channel *c, struct channel_request *q)
{
  c->ops->add (c, q);
}

/* Send what was added, as far as the socket takes it. */
static inline void
channel_send (struct channel *c)
{
  c->ops->send (c);
}

/* Take what has come from the server.  If WAITS, wait until something has. */
static inline void
channel_receive (struct channel *c, bool waits)
{
  c->ops->receive (c, waits);
}

/* Returns the events of poll to wait for while requests are in flight.  If
 * POLLOUT is among them, there is something left to send.
 */
static inline short
channel_awaited (struct channel *c)
{
  return c->ops->awaited (c);
}

#endif /* NULLBLK_FIO_CHANNEL_H */
