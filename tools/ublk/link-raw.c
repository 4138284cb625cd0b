/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A link on which we speak to the server ourselves, after libnbd has made the
 * handshake.  Many requests leave by one send, and many replies come by one
 * receive.  Both are entries of the ring, beside the commands to the kernel: so
 * a round of the ring is one system call, and one more for the data of each
 * request:
 *
 *     io ──> waiting ──> out[] ──send──> server       data goes from the kernel
 *                                                     into out[]
 *     io->done <── table <── in <──receive── server   and out of in to it
 *
 * One buffer of out[] is filled while the other one is sent.  A request or a
 * reply with much data is longer than a buffer, and passes through it in
 * pieces.  What stands on the wire is in nbdwire.h.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <liburing.h>

#include "link-internal.h"
#include "nbdwire.h"

#define BUFFER ((size_t) 256 * 1024)

struct raw_link {
  struct link link;
  int fd;
  struct ring *ring;
  bool is_dead;

  /* To the server. */
  struct io *waiting, **last_waiting;
  size_t moved;    /* bytes of the data of the first that waits, if has_begun */
  bool has_begun;  /* its header is in a buffer */
  unsigned filled; /* the buffer that is being filled; the other one is sent */
  uint8_t *out[2];
  int out_known[2]; /* what ring_register_buffer has returned for it */
  size_t length[2]; /* bytes in each */
  size_t gone;      /* bytes that the socket has taken of the buffer sent */
  bool sends;
  struct ring_event sent;

  /* From the server. */
  uint8_t *in;
  int in_known;
  size_t begin, end; /* the bytes in `in` that have not been looked at */
  bool receives;
  struct ring_event received;
  struct io *reading; /* whose data comes; NULL: a reply's header is next */
  size_t read;        /* of that data */

  struct sent_table table;
  struct io *finished, **last_finished;
};

static void
finish (struct raw_link *l, struct io *io, int err)
{
  io->err = err;
  io->next = NULL;
  *l->last_finished = io;
  l->last_finished = &io->next;
}

/* The connection is dead from now on: all requests fail. */
static void
die (struct raw_link *l)
{
  struct io *io;

  if (l->is_dead)
    return;
  l->is_dead = true;
  shutdown (l->fd, SHUT_RDWR);
  ring_unregister_buffer (l->ring, l->in_known);
  ring_unregister_buffer (l->ring, l->out_known[0]);
  ring_unregister_buffer (l->ring, l->out_known[1]);
  if (l->has_begun) { /* it is in the table, too */
    l->waiting = l->waiting->next;
    l->has_begun = false;
  }
  while ((io = sent_take_any (&l->table)) != NULL)
    finish (l, io, -ENOTCONN);
  while ((io = l->waiting) != NULL) {
    l->waiting = io->next;
    finish (l, io, -ENOTCONN);
  }
  l->last_waiting = &l->waiting;
  if (l->reading != NULL)
    finish (l, l->reading, -ENOTCONN);
  l->reading = NULL;
}

/*---------------------------------------------------------------------*/
/* Requests */

static void
put_header (uint8_t *p, const struct io *io, uint64_t cookie)
{
  static const enum nbd_command types[] = {[IO_READ] = NBD_CMD_READ,
                                           [IO_WRITE] = NBD_CMD_WRITE,
                                           [IO_FLUSH] = NBD_CMD_FLUSH,
                                           [IO_TRIM] = NBD_CMD_TRIM,
                                           [IO_ZERO] = NBD_CMD_WRITE_ZEROES};
  const bool changes =
      io->kind == IO_WRITE || io->kind == IO_TRIM || io->kind == IO_ZERO;

  nbd_put_request (
      p, types[io->kind],
      (io->fua && changes ? NBD_CMD_FLAG_FUA : 0) |
          (io->no_hole && io->kind == IO_ZERO ? NBD_CMD_FLAG_NO_HOLE : 0),
      cookie, io->kind == IO_FLUSH ? 0 : io->offset,
      io->kind == IO_FLUSH ? 0 : io->count);
}

static int
get_data (struct io *io, void *buf, size_t n, size_t at)
{
  if (io->buf == NULL)
    return io->move (io, buf, n, at);
  memcpy (buf, (const char *) io->buf + at, n);
  return 0;
}

/* Put the header of the first request that waits into the buffer.  Returns
 * false if there is no room, or if the connection dies for want of memory.
 */
static bool
begin_first (struct raw_link *l)
{
  uint8_t *p = l->out[l->filled] + l->length[l->filled];
  struct io *io = l->waiting;
  uint64_t cookie;

  if (BUFFER - l->length[l->filled] < NBD_REQUEST_SIZE + 1)
    return false;
  if (!sent_add (&l->table, io, &cookie)) {
    die (l);
    return false;
  }
  put_header (p, io, cookie);
  l->length[l->filled] += NBD_REQUEST_SIZE;
  l->has_begun = true;
  l->moved = 0;
  return true;
}

/* Put requests that wait into the buffer, as much as it has room for. */
static void
fill (struct raw_link *l)
{
  size_t n, room;
  struct io *io;

  while (!l->is_dead && (io = l->waiting) != NULL) {
    if (!l->has_begun && !begin_first (l))
      return;
    if (io->kind == IO_WRITE) {
      room = BUFFER - l->length[l->filled];
      n = io->count - l->moved < room ? io->count - l->moved : room;
      if (n > 0 && get_data (io, l->out[l->filled] + l->length[l->filled], n,
                             l->moved) < 0) {
        die (l); /* the server has been promised that data */
        return;
      }
      l->length[l->filled] += n;
      l->moved += n;
      if (l->moved < io->count)
        return;
    }
    l->waiting = io->next;
    if (l->waiting == NULL)
      l->last_waiting = &l->waiting;
    l->has_begun = false;
  }
}

static void
send_rest (struct raw_link *l)
{
  const unsigned other = !l->filled;
  struct io_uring_sqe *sqe = ring_get_sqe (l->ring, &l->sent);

  if (l->out_known[other] >= 0)
    io_uring_prep_write_fixed (sqe, l->fd, l->out[other] + l->gone,
                               l->length[other] - l->gone, 0,
                               l->out_known[other]);
  else
    io_uring_prep_send (sqe, l->fd, l->out[other] + l->gone,
                        l->length[other] - l->gone, MSG_NOSIGNAL);
  io_uring_sqe_set_data (sqe, &l->sent);
  l->sends = true;
}

static void
send_next (struct raw_link *l)
{
  if (l->is_dead)
    return;
  fill (l);
  if (l->is_dead || l->sends || l->length[l->filled] == 0)
    return;
  l->filled = !l->filled;
  l->length[l->filled] = 0;
  l->gone = 0;
  send_rest (l);
  fill (l); /* the other one */
}

static void
has_sent (struct ring_event *event, int result)
{
  struct raw_link *l = CONTAINER_OF (struct raw_link, sent, event);

  l->sends = false;
  if (result > 0)
    l->gone += result;
  if (result == -EINTR || result == -EAGAIN)
    result = 1;
  if (result <= 0)
    die (l);
  else if (!l->is_dead && l->gone < l->length[!l->filled])
    send_rest (l);
}

static void
submit (struct link *link, struct io *io)
{
  struct raw_link *l = (struct raw_link *) link;

  io->link = link;
  if (l->is_dead) {
    finish (l, io, -ENOTCONN);
    return;
  }
  io->next = NULL;
  *l->last_waiting = io;
  l->last_waiting = &io->next;
}

/*---------------------------------------------------------------------*/
/* Replies */

static int
put_data (struct io *io, void *buf, size_t n, size_t at)
{
  if (io->buf == NULL)
    return io->move (io, buf, n, at);
  memcpy ((char *) io->buf + at, buf, n);
  return 0;
}

/* Take the header of a reply.  Returns false if it is none, or to no request.
 */
static bool
take_header (struct raw_link *l)
{
  struct io *io = NULL;
  uint64_t cookie;
  int err;

  if (nbd_take_reply (l->in + l->begin, &cookie, &err))
    io = sent_find (&l->table, cookie);
  /* A server may refuse a request before it has received all of its data.  The
   * rest would have to be sent nevertheless; the connection ends instead.
   */
  if (io == NULL || (l->has_begun && io == l->waiting))
    return false;
  l->begin += NBD_REPLY_SIZE;
  sent_remove (&l->table, cookie);
  io->err = err;
  if (io->kind == IO_READ && err == 0) {
    l->reading = io;
    l->read = 0;
  }
  else
    finish (l, io, err);
  return true;
}

static void
take_data (struct raw_link *l)
{
  struct io *io = l->reading;
  const size_t here = l->end - l->begin, wanted = io->count - l->read;
  const size_t n = here < wanted ? here : wanted;
  int err;

  if (n > 0 && io->err == 0) {
    err = put_data (io, l->in + l->begin, n, l->read);
    if (err < 0)
      io->err = err;
  }
  l->begin += n;
  l->read += n;
  if (l->read == io->count) {
    l->reading = NULL;
    finish (l, io, io->err);
  }
}

/* Take all that has been received: whole headers, and any part of data. */
static void
take_all (struct raw_link *l)
{
  while (!l->is_dead) {
    if (l->reading != NULL) {
      if (l->begin == l->end)
        break;
      take_data (l);
    }
    else {
      if (l->end - l->begin < NBD_REPLY_SIZE)
        break;
      if (!take_header (l))
        die (l);
    }
  }
  memmove (l->in, l->in + l->begin, l->end - l->begin);
  l->end -= l->begin;
  l->begin = 0;
}

static void
receive (struct raw_link *l)
{
  struct io_uring_sqe *sqe;

  if (l->receives || l->is_dead)
    return;
  sqe = ring_get_sqe (l->ring, &l->received);
  if (l->in_known >= 0)
    io_uring_prep_read_fixed (sqe, l->fd, l->in + l->end, BUFFER - l->end, 0,
                              l->in_known);
  else
    io_uring_prep_recv (sqe, l->fd, l->in + l->end, BUFFER - l->end, 0);
  io_uring_sqe_set_data (sqe, &l->received);
  l->receives = true;
}

static void
has_received (struct ring_event *event, int result)
{
  struct raw_link *l = CONTAINER_OF (struct raw_link, received, event);

  l->receives = false;
  if (result == -EINTR || result == -EAGAIN)
    return;
  if (result <= 0) {
    die (l);
    return;
  }
  l->end += result;
  take_all (l);
}

/*---------------------------------------------------------------------*/

static bool
pump (struct link *link)
{
  struct raw_link *l = (struct raw_link *) link;
  struct io *io = l->finished, *next;
  const bool r = io != NULL;

  l->finished = NULL;
  l->last_finished = &l->finished;
  for (; io != NULL; io = next) {
    next = io->next;
    io->done (io, io->err);
  }
  if (!r) {
    send_next (l);
    receive (l);
  }
  return r || l->finished != NULL;
}

static bool
is_over (struct link *link)
{
  const struct raw_link *l = (const struct raw_link *) link;

  return l->is_dead && !l->sends && !l->receives && l->finished == NULL;
}

/* libnbd wants a socket that does not block, and io_uring one that does. */
static void
set_blocking (int fd, bool blocks)
{
  const int flags = fcntl (fd, F_GETFL);

  fcntl (fd, F_SETFL, blocks ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

static void
destroy (struct link *link)
{
  struct raw_link *l = (struct raw_link *) link;

  set_blocking (l->fd, false);
  sent_destroy (&l->table);
  free (l->in);
  free (l->out[0]);
  free (l->out[1]);
  free (l);
}

static const struct link_ops ops = {destroy, submit, pump, is_over};

struct link *
link_raw_create (struct nbd_handle *h, struct ring *ring)
{
  struct raw_link *l = calloc (1, sizeof *l);

  if (l == NULL)
    return NULL;
  l->link.ops = &ops;
  l->fd = nbd_aio_get_fd (h);
  l->ring = ring;
  l->last_waiting = &l->waiting;
  l->last_finished = &l->finished;
  l->sent.happened = has_sent;
  l->received.happened = has_received;
  set_blocking (l->fd, true);
  l->in_known = l->out_known[0] = l->out_known[1] = -1;
  l->in = malloc (BUFFER);
  l->out[0] = malloc (BUFFER);
  l->out[1] = malloc (BUFFER);
  if (l->in == NULL || l->out[0] == NULL || l->out[1] == NULL) {
    destroy (&l->link);
    return NULL;
  }
  l->in_known = ring_register_buffer (ring, l->in, BUFFER);
  l->out_known[0] = ring_register_buffer (ring, l->out[0], BUFFER);
  l->out_known[1] = ring_register_buffer (ring, l->out[1], BUFFER);
  return &l->link;
}
