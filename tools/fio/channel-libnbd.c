/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A channel on which libnbd speaks to the server, as it must where there is
 * TLS: each request is one of libnbd's asynchronous commands.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include <libnbd.h>

#include "channel.h"

struct nbd_channel {
  struct channel channel;
  struct nbd_handle *h;
};

static int
answered (void *opaque, int *error)
{
  struct channel_request *q = opaque;

  answered_add (q->channel->answered, q, -*error);
  return 1;
}

static void
notice_death (struct nbd_channel *c)
{
  if (c->channel.is_dead ||
      (nbd_aio_is_dead (c->h) != 1 && nbd_aio_is_closed (c->h) != 1))
    return;
  c->channel.is_dead = true;
  message_set (&c->channel.why, "the server has ended the connection");
}

static int64_t
start (struct nbd_channel *c, struct channel_request *q)
{
  const nbd_completion_callback callback = {.callback = answered,
                                            .user_data = q};
  const uint32_t fua = q->fua ? LIBNBD_CMD_FLAG_FUA : 0;

  switch (q->type) {
  case NBD_CMD_READ:
    return nbd_aio_pread (c->h, q->buf, q->count, q->offset, callback, 0);
  case NBD_CMD_WRITE:
    return nbd_aio_pwrite (c->h, q->buf, q->count, q->offset, callback, fua);
  case NBD_CMD_FLUSH:
    return nbd_aio_flush (c->h, callback, 0);
  case NBD_CMD_TRIM:
    return nbd_aio_trim (c->h, q->count, q->offset, callback, fua);
  case NBD_CMD_WRITE_ZEROES:
    return nbd_aio_zero (c->h, q->count, q->offset, callback, fua);
  }
  return -1;
}

static void
nbd_channel_add (struct channel *channel, struct channel_request *q)
{
  struct nbd_channel *c = (struct nbd_channel *) channel;
  int err;

  q->channel = channel;
  if (start (c, q) != -1)
    return;
  err = nbd_get_errno ();
  notice_death (c);
  answered_add (channel->answered, q,
                channel->is_dead ? -ENOTCONN : -(err != 0 ? err : EINVAL));
}

static short
nbd_channel_awaited (struct channel *channel)
{
  const struct nbd_channel *c = (const struct nbd_channel *) channel;
  const unsigned direction = nbd_aio_get_direction (c->h);

  return ((direction & LIBNBD_AIO_DIRECTION_READ) != 0 ? POLLIN : 0) |
         ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 ? POLLOUT : 0);
}

/* Let libnbd go on as far as it can.  If WAITS, wait until it can. */
static void
go_on (struct nbd_channel *c, bool waits)
{
  struct pollfd p = {.fd = c->channel.fd};

  for (notice_death (c); !c->channel.is_dead; notice_death (c)) {
    p.events = nbd_channel_awaited (&c->channel);
    if (p.events == 0 || poll (&p, 1, waits ? -1 : 0) <= 0)
      return;
    waits = false;
    /* Only one of the calls: it may change whether libnbd allows the other. */
    if ((p.events & POLLIN) != 0 &&
        (p.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
      nbd_aio_notify_read (c->h);
    else
      nbd_aio_notify_write (c->h);
  }
}

static void
nbd_channel_send (struct channel *channel)
{
  (void) channel; /* libnbd sends what it can when it is given a command */
}

static void
nbd_channel_receive (struct channel *channel, bool waits)
{
  go_on ((struct nbd_channel *) channel, waits);
}

static void
nbd_channel_destroy (struct channel *channel)
{
  free (channel);
}

static const struct channel_ops ops = {nbd_channel_destroy, nbd_channel_add,
                                       nbd_channel_send, nbd_channel_receive,
                                       nbd_channel_awaited};

struct channel *
channel_nbd_create (struct nbd_handle *h, struct answered_list *answered)
{
  struct nbd_channel *c = calloc (1, sizeof *c);

  if (c == NULL)
    return NULL;
  c->channel.ops = &ops;
  c->channel.answered = answered;
  c->channel.fd = nbd_aio_get_fd (h);
  c->h = h;
  return &c->channel;
}
