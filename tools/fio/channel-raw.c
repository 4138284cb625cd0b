/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A channel on which we speak to the server ourselves.  Many requests leave by
 * one sendmsg, with the data of writes out of their own buffers; many replies
 * come by one recvmsg:
 *
 *     requests, oldest first:   R1   R2   W3   R4 | W5   R6
 *                               sent              ^ to_send
 *
 *     sendmsg   header 5 | data of W5 | header 6
 *
 *     recvmsg   head | data of R1 | head | data of R2 | head | head | ...
 *
 * A head is the NBD_REPLY_SIZE bytes of a reply that are not its data.  Most
 * servers answer one connection's requests in their order, so recvmsg is told
 * to put the data right where it belongs if it comes in that order.  If a reply
 * is not the one that was guessed, the bytes behind it lie in buffers of other
 * reads.  They are gathered in a buffer of SPARE bytes, and handed out from
 * there.  So are the bytes of the next recvmsg, until all replies of one
 * recvmsg have come in order.  Nobody has looked into the buffers in which such
 * bytes lay, as their reads were not answered yet.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "channel.h"

/* The most that one system call moves: parts of requests or replies, and bytes
 * of replies.
 */
#define MAX_PARTS 128
#define SPARE ((size_t) 256 * 1024)

/* A part of what is expected: a head, or the data of a read. */
struct part {
  uint8_t *at;
  size_t length;
  struct channel_request *request;
  bool is_data;
};

struct raw_channel {
  struct channel channel;
  unsigned depth;
  struct sent_table table;

  struct channel_request *oldest, *newest, *to_send; /* of those not answered */
  size_t sent;                                       /* bytes of to_send */
  uint8_t *headers;     /* of the last DEPTH requests, in turn */
  unsigned next_header; /* of these */

  bool guesses;
  bool in_order;                   /* all replies of the last recvmsg */
  struct channel_request *reading; /* whose data comes; NULL: a head is next */
  size_t read;                     /* of that data */
  uint8_t head[NBD_REPLY_SIZE];
  size_t head_length; /* what is there of the next head */
  uint8_t heads[MAX_PARTS][NBD_REPLY_SIZE];
  struct part parts[MAX_PARTS];
  unsigned nr_parts;
  uint8_t *spare;
};

/* Add LENGTH bytes at AT to the N vectors of V: to the last of these, if they
 * are right behind it.  Returns how many vectors there are then.
 */
static unsigned
add_vector (struct iovec *v, unsigned n, void *at, size_t length)
{
  if (n > 0 && (uint8_t *) v[n - 1].iov_base + v[n - 1].iov_len == at)
    v[n - 1].iov_len += length;
  else
    v[n++] = (struct iovec){.iov_base = at, .iov_len = length};
  return n;
}

static void
forget (struct raw_channel *c, struct channel_request *q)
{
  *(q->older != NULL ? &q->older->newer : &c->oldest) = q->newer;
  *(q->newer != NULL ? &q->newer->older : &c->newest) = q->older;
  if (c->to_send == q)
    c->to_send = q->newer;
  sent_remove (&c->table, q->cookie);
}

/* Declare the connection dead: all its requests are answered with -ENOTCONN. */
static void
die (struct raw_channel *c, const char *why, const char *reason)
{
  struct channel_request *q;

  if (c->channel.is_dead)
    return;
  c->channel.is_dead = true;
  message_set (&c->channel.why, "%s%s", why, reason);
  shutdown (c->channel.fd, SHUT_RDWR);
  if (c->reading != NULL)
    answered_add (c->channel.answered, c->reading, -ENOTCONN);
  c->reading = NULL;
  while ((q = c->oldest) != NULL) {
    forget (c, q);
    answered_add (c->channel.answered, q, -ENOTCONN);
  }
}

/*---------------------------------------------------------------------*/
/* To the server */

static void
raw_add (struct channel *channel, struct channel_request *q)
{
  struct raw_channel *c = (struct raw_channel *) channel;

  if (channel->is_dead || !sent_add (&c->table, q, &q->cookie)) {
    answered_add (channel->answered, q, channel->is_dead ? -ENOTCONN : -ENOMEM);
    return;
  }
  q->channel = channel;
  q->is_sent = false;
  q->newer = NULL;
  q->older = c->newest;
  *(c->newest != NULL ? &c->newest->newer : &c->oldest) = q;
  c->newest = q;
  if (c->to_send == NULL) {
    c->to_send = q;
    c->sent = 0;
  }
  q->header = c->headers + (size_t) c->next_header * NBD_REQUEST_SIZE;
  c->next_header = (c->next_header + 1) % c->depth;
  nbd_put_request (q->header, q->type, q->fua ? NBD_CMD_FLAG_FUA : 0, q->cookie,
                   q->type == NBD_CMD_FLUSH ? 0 : q->offset,
                   q->type == NBD_CMD_FLUSH ? 0 : q->count);
}

static size_t
data_to_send (const struct channel_request *q)
{
  return q->type == NBD_CMD_WRITE ? q->count : 0;
}

/* Make V what is to be sent.  Returns how many vectors that takes. */
static unsigned
gather_requests (const struct raw_channel *c, struct iovec *v)
{
  size_t gone = c->sent, here;
  struct channel_request *q;
  unsigned n = 0;

  for (q = c->to_send; q != NULL && n + 2 <= MAX_PARTS; q = q->newer) {
    if (gone < NBD_REQUEST_SIZE) {
      n = add_vector (v, n, q->header + gone, NBD_REQUEST_SIZE - gone);
      gone = NBD_REQUEST_SIZE;
    }
    gone -= NBD_REQUEST_SIZE;
    here = data_to_send (q) - gone;
    if (here > 0)
      n = add_vector (v, n, (uint8_t *) q->buf + gone, here);
    gone = 0;
  }
  return n;
}

/* N more bytes have been sent. */
static void
advance (struct raw_channel *c, size_t n)
{
  struct channel_request *q;
  size_t size;

  c->sent += n;
  while ((q = c->to_send) != NULL) {
    size = NBD_REQUEST_SIZE + data_to_send (q);
    if (c->sent < size)
      break;
    c->sent -= size;
    q->is_sent = true;
    c->to_send = q->newer;
  }
}

static void
raw_send (struct channel *channel)
{
  struct raw_channel *c = (struct raw_channel *) channel;
  struct iovec v[MAX_PARTS];
  struct msghdr message = {.msg_iov = v};
  ssize_t r;

  while (c->to_send != NULL) {
    message.msg_iovlen = gather_requests (c, v);
    r = sendmsg (channel->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (r >= 0)
      advance (c, r);
    else if (errno == EAGAIN)
      return;
    else if (errno != EINTR)
      die (c, "the connection is lost: ", strerror (errno));
  }
}

/*---------------------------------------------------------------------*/
/* From the server */

static size_t
data_to_read (const struct channel_request *q)
{
  return q->type == NBD_CMD_READ ? q->count : 0;
}

static void
add_part (struct raw_channel *c, void *at, size_t length,
          struct channel_request *request, bool is_data)
{
  c->parts[c->nr_parts++] = (struct part){
      .at = at, .length = length, .request = request, .is_data = is_data};
}

/* Expect replies to the requests that were sent, in the order of these; only as
 * many bytes as SPARE has room for, in case they come in another order.
 */
static void
guess (struct raw_channel *c)
{
  size_t room = SPARE, here;
  struct channel_request *q;

  for (q = c->oldest; q != NULL && q->is_sent; q = q->newer) {
    if (c->nr_parts + 2 > MAX_PARTS || room < NBD_REPLY_SIZE)
      return;
    add_part (c, c->heads[c->nr_parts], NBD_REPLY_SIZE, q, false);
    room -= NBD_REPLY_SIZE;
    here = min (data_to_read (q), room);
    if (here > 0)
      add_part (c, q->buf, here, q, true);
    if (here < data_to_read (q))
      return;
    room -= here;
  }
}

/* Make c->parts what is expected next, and V where to receive it.  Returns how
 * many vectors that takes.
 */
static unsigned
expect (struct raw_channel *c, struct iovec *v)
{
  const struct part *p;
  unsigned n = 0;

  c->nr_parts = 0;
  if (c->reading != NULL)
    add_part (c, (uint8_t *) c->reading->buf + c->read,
              c->reading->count - c->read, c->reading, true);
  /* If a piece of the next head has come, that is in c->head, and no part. */
  if (c->guesses && c->head_length == 0)
    guess (c);
  for (p = c->parts; p < c->parts + c->nr_parts; p++)
    n = add_vector (v, n, p->at, p->length);
  if (c->nr_parts == 0 || !c->guesses)
    v[n++] = (struct iovec){.iov_base = c->spare, .iov_len = SPARE};
  return n;
}

/* Returns the request to which HEAD is the reply.  If it is a reply to none,
 * the connection is dead from now on, and this returns NULL.
 */
static struct channel_request *
take_head (struct raw_channel *c, const uint8_t *head)
{
  struct channel_request *q = NULL;
  uint64_t cookie;
  int err;

  if (nbd_take_reply (head, &cookie, &err))
    q = sent_find (&c->table, cookie);
  /* A server may refuse a request that it has not received all of, but then
   * nobody knows what it takes the rest for.
   */
  if (q == NULL || !q->is_sent) {
    die (c, "the server has sent what is no reply to any request", "");
    return NULL;
  }
  if (q != c->oldest)
    c->in_order = false;
  forget (c, q);
  if (err == 0 && data_to_read (q) > 0) {
    c->reading = q;
    c->read = 0;
  }
  else
    answered_add (c->channel.answered, q, err);
  return q;
}

/* N bytes of data are where they belong. */
static void
take_data (struct raw_channel *c, size_t n)
{
  struct channel_request *q = c->reading;

  c->read += n;
  if (c->read < q->count)
    return;
  c->reading = NULL;
  answered_add (c->channel.answered, q, 0);
}

/* Copy the N bytes at P to where they belong. */
static void
take_bytes (struct raw_channel *c, const uint8_t *p, size_t n)
{
  size_t here;

  while (n > 0 && !c->channel.is_dead) {
    if (c->reading != NULL) {
      here = min (n, c->reading->count - c->read);
      memcpy ((uint8_t *) c->reading->buf + c->read, p, here);
      take_data (c, here);
    }
    else {
      here = min (n, NBD_REPLY_SIZE - c->head_length);
      memcpy (c->head + c->head_length, p, here);
      c->head_length += here;
      if (c->head_length == NBD_REPLY_SIZE) {
        c->head_length = 0;
        take_head (c, c->head);
      }
    }
    p += here;
    n -= here;
  }
}

/* N bytes were received into the parts from P on, where they do not belong. */
static void
take_wrong_parts (struct raw_channel *c, const struct part *p, size_t n)
{
  size_t length = 0, here;

  for (; length < n; p++) {
    here = min (n - length, p->length);
    memcpy (c->spare + length, p->at, here);
    length += here;
  }
  take_bytes (c, c->spare, length);
}

/* N bytes were received into the parts and, behind them, into the spare buffer.
 * Take those in the parts.  Returns how many of the others there are.
 */
static size_t
take_parts (struct raw_channel *c, size_t n)
{
  const struct part *p, *end = c->parts + c->nr_parts;
  const struct channel_request *q;
  size_t here;

  for (p = c->parts; p < end && n > 0; p++) {
    here = min (n, p->length);
    n -= here;
    if (p->is_data)
      take_data (c, here);
    else if (here < NBD_REPLY_SIZE)
      take_bytes (c, p->at, here);
    else {
      q = take_head (c, p->at);
      if (q == NULL)
        return 0;
      /* Is what follows not what was guessed? */
      if (q != p->request || (c->reading != NULL) != (data_to_read (q) > 0)) {
        c->in_order = false;
        take_wrong_parts (c, p + 1, n);
        return 0;
      }
    }
  }
  return n;
}

static void
raw_receive (struct channel *channel, bool waits)
{
  struct raw_channel *c = (struct raw_channel *) channel;
  struct iovec v[MAX_PARTS + 1];
  struct msghdr message = {.msg_iov = v};
  size_t rest;
  ssize_t r;

  if (channel->is_dead)
    return;
  message.msg_iovlen = expect (c, v);
  do
    r = recvmsg (channel->fd, &message, waits ? 0 : MSG_DONTWAIT);
  while (r == -1 && errno == EINTR);
  if (r == 0)
    die (c, "the server has ended the connection", "");
  else if (r == -1 && errno != EAGAIN)
    die (c, "the connection is lost: ", strerror (errno));
  if (r <= 0)
    return;
  c->in_order = true;
  rest = take_parts (c, r);
  take_bytes (c, c->spare, rest);
  c->guesses = c->in_order;
}

static short
raw_awaited (struct channel *channel)
{
  const struct raw_channel *c = (const struct raw_channel *) channel;

  return c->to_send != NULL ? POLLIN | POLLOUT : POLLIN;
}

/*---------------------------------------------------------------------*/

/* libnbd has made the socket non-blocking.  Here a receive may wait. */
static bool
set_blocking (int fd, bool blocks)
{
  const int flags = fcntl (fd, F_GETFL);

  return fcntl (fd, F_SETFL,
                blocks ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) != -1;
}

static void
raw_destroy (struct channel *channel)
{
  struct raw_channel *c = (struct raw_channel *) channel;

  set_blocking (channel->fd, false);
  sent_destroy (&c->table);
  free (c->headers);
  free (c->spare);
  free (c);
}

static const struct channel_ops ops = {raw_destroy, raw_add, raw_send,
                                       raw_receive, raw_awaited};

struct channel *
channel_raw_create (int fd, unsigned depth, struct answered_list *answered)
{
  struct raw_channel *c = calloc (1, sizeof *c);

  if (c == NULL)
    return NULL;
  c->channel.ops = &ops;
  c->channel.answered = answered;
  c->channel.fd = fd;
  c->depth = depth;
  c->guesses = true;
  c->headers = malloc ((size_t) depth * NBD_REQUEST_SIZE);
  c->spare = malloc (SPARE);
  if (c->headers == NULL || c->spare == NULL || !set_blocking (fd, true)) {
    raw_destroy (&c->channel);
    return NULL;
  }
  return &c->channel;
}
