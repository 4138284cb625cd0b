/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A link on which libnbd speaks to the server: each request of ours is one of
 * libnbd's asynchronous commands, with memory for its data.  The ring tells
 * when the socket is ready for what libnbd wants to do next.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link-internal.h"

/* The most memory that an io keeps for its next request. */
#define MAX_KEPT (256 * 1024)

struct libnbd_link {
  struct link link;
  struct nbd_handle *h;
  struct ring *ring;
  int fd; /* a duplicate: libnbd closes its own when the connection dies, while
           * the ring may still poll */
  bool is_shut; /* so that the ring's polls end */
  struct ring_event readable, writable;
  bool awaits_readable, awaits_writable;
  struct io *answered; /* libnbd has called back; the last one first */
  struct io *failed;   /* libnbd did not take it */
};

static void
is_readable (struct ring_event *event, int result)
{
  struct libnbd_link *l =
      (struct libnbd_link *) ((char *) event -
                              offsetof (struct libnbd_link, readable));

  (void) result;
  l->awaits_readable = false;
}

static void
is_writable (struct ring_event *event, int result)
{
  struct libnbd_link *l =
      (struct libnbd_link *) ((char *) event -
                              offsetof (struct libnbd_link, writable));

  (void) result;
  l->awaits_writable = false;
}

/* Returns memory for the data of IO: its buf, or else its own.  NULL if there
 * is none.
 */
static void *
memory_of (struct io *io)
{
  if (io->buf != NULL)
    return io->buf;
  if (io->own_size < io->count || io->own_size > MAX_KEPT) {
    link_release_io (io);
    io->own_buf = malloc (io->count);
    io->own_size = io->own_buf != NULL ? io->count : 0;
  }
  return io->own_buf;
}

/* libnbd calls this back, and cannot be called from here. */
static int
answered (void *opaque, int *error)
{
  struct io *io = opaque;
  struct libnbd_link *l = (struct libnbd_link *) io->link;

  io->err = -*error;
  io->next = l->answered;
  l->answered = io;
  return 1;
}

static int64_t
start (struct libnbd_link *l, struct io *io)
{
  const nbd_completion_callback callback = {.callback = answered,
                                            .user_data = io};
  const uint32_t fua = io->fua ? LIBNBD_CMD_FLAG_FUA : 0;
  void *buf = NULL;
  int r;

  if (io->kind == IO_READ || io->kind == IO_WRITE) {
    buf = memory_of (io);
    if (buf == NULL)
      return -ENOMEM;
  }
  switch (io->kind) {
  case IO_READ:
    return nbd_aio_pread (l->h, buf, io->count, io->offset, callback, 0);
  case IO_WRITE:
    r = io->buf == NULL ? io->move (io, buf, io->count, 0) : 0;
    if (r < 0)
      return r;
    return nbd_aio_pwrite (l->h, buf, io->count, io->offset, callback, fua);
  case IO_FLUSH:
    return nbd_aio_flush (l->h, callback, 0);
  case IO_TRIM:
    return nbd_aio_trim (l->h, io->count, io->offset, callback, fua);
  case IO_ZERO:
    return nbd_aio_zero (l->h, io->count, io->offset, callback,
                         fua | (io->no_hole ? LIBNBD_CMD_FLAG_NO_HOLE : 0));
  }
  return -EINVAL;
}

static void
submit (struct link *link, struct io *io)
{
  struct libnbd_link *l = (struct libnbd_link *) link;
  int64_t r;

  io->link = link;
  io->err = 0;
  r = start (l, io);
  if (r >= 0)
    return;
  io->err = r == -1 ? -ENOTCONN : (int) r;
  io->next = l->failed;
  l->failed = io;
}

/* Call `done` for all in *LIST.  Returns whether there was any. */
static bool
finish (struct io **list)
{
  struct io *first = NULL, *io, *next;
  int err;

  /* In the order in which they were answered. */
  for (io = *list; io != NULL; io = next) {
    next = io->next;
    io->next = first;
    first = io;
  }
  *list = NULL;
  for (io = first; io != NULL; io = next) {
    next = io->next;
    err = io->err;
    if (err == 0 && io->kind == IO_READ && io->buf == NULL)
      err = io->move (io, io->own_buf, io->count, 0);
    io->done (io, err);
  }
  return first != NULL;
}

/* Returns the events of poll that libnbd waits for. */
static short
awaited (struct libnbd_link *l)
{
  const unsigned direction = nbd_aio_get_direction (l->h);

  return ((direction & LIBNBD_AIO_DIRECTION_READ) != 0 ? POLLIN : 0) |
         ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 ? POLLOUT : 0);
}

static bool
is_dead (struct libnbd_link *l)
{
  return nbd_aio_is_dead (l->h) == 1 || nbd_aio_is_closed (l->h) == 1;
}

/* Returns the events that libnbd waits for, and for which the ring does not yet
 * poll.
 */
static short
not_yet_asked (struct libnbd_link *l)
{
  return awaited (l) & ~((l->awaits_readable ? POLLIN : 0) |
                         (l->awaits_writable ? POLLOUT : 0));
}

/* Let libnbd go on as far as it can now. */
static void
go_on (struct libnbd_link *l)
{
  struct pollfd p = {.fd = l->fd};

  while (!is_dead (l) && (p.events = not_yet_asked (l)) != 0 &&
         poll (&p, 1, 0) == 1) {
    /* Either call may change what the other is allowed to do. */
    if ((p.events & POLLIN) != 0 &&
        (p.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
      nbd_aio_notify_read (l->h);
    else
      nbd_aio_notify_write (l->h);
  }
}

static bool
pump (struct link *link)
{
  struct libnbd_link *l = (struct libnbd_link *) link;
  bool r = false;
  short events;

  go_on (l);
  while (finish (&l->answered) || finish (&l->failed)) {
    r = true;
    go_on (l);
  }
  if (is_dead (l)) {
    if (!l->is_shut)
      shutdown (l->fd, SHUT_RDWR);
    l->is_shut = true;
    return r;
  }
  events = not_yet_asked (l);
  if ((events & POLLIN) != 0) {
    l->awaits_readable = true;
    ring_poll (l->ring, l->fd, POLLIN, &l->readable);
  }
  if ((events & POLLOUT) != 0) {
    l->awaits_writable = true;
    ring_poll (l->ring, l->fd, POLLOUT, &l->writable);
  }
  return r;
}

static bool
is_over (struct link *link)
{
  struct libnbd_link *l = (struct libnbd_link *) link;

  return is_dead (l) && !l->awaits_readable && !l->awaits_writable &&
         l->answered == NULL && l->failed == NULL;
}

static void
destroy (struct link *link)
{
  struct libnbd_link *l = (struct libnbd_link *) link;

  close (l->fd);
  free (l);
}

static const struct link_ops ops = {destroy, submit, pump, is_over};

struct link *
link_libnbd_create (struct nbd_handle *h, struct ring *ring)
{
  struct libnbd_link *l = calloc (1, sizeof *l);

  if (l == NULL)
    return NULL;
  l->link.ops = &ops;
  l->h = h;
  l->ring = ring;
  l->fd = fcntl (nbd_aio_get_fd (h), F_DUPFD_CLOEXEC, 0);
  if (l->fd == -1) {
    free (l);
    return NULL;
  }
  l->readable.happened = is_readable;
  l->writable.happened = is_writable;
  return &l->link;
}
