/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Plain requests: reads and writes that are ahead, and that the device does at
 * once, are answered here.  nbdkit does not see them:
 *
 *   ahead ──> header ──plain?──> device ──done──> held, and the next header
 *                │                  │
 *                └──no──> nbdkit <──┘ it has not
 *
 * The client gets the bytes that nbdkit would send, because nbdkit has shown
 * how it answers.  When nbdkit has the plugin do a read, the plugin offers the
 * device (batch_offer), and the reply is looked at that follows (batch_learn).
 * If it is what the NBD protocol has for a read that was done, a simple reply
 * or one chunk of data, then other reads of this connection may be plain.  So
 * it is with writes.  The form of replies is a part of the handshake, after
 * which it does not change.
 *
 * A request is plain
 * - if it has no flags, and no more data than is held; or if it is a write to a
 *   device that is all zeroes, of which the payload is dropped as it comes, and
 *   the write done when the last of it has.  Of other requests all bytes have
 *   to be here: if only the first are (batch_is_incomplete), batch_read asks
 *   the kernel for the rest, together with what comes behind it;
 * - if its thread keeps the locks.  Then requests of this connection are served
 *   one at a time, and nothing of the connection waits; and as a header is
 *   asked for, nbdkit has none of its requests;
 * - if the device does it.  It does not if anything is to wait, or may fail, as
 *   where faults, zones or a write log are.  If it fails all the same, or if
 *   power is cut under it, nbdkit has the request done once more.
 *
 * Replies are held as nbdkit's are: unless the next request is here, and takes
 * no time, all that is held is sent.  Then batch_read asks the kernel for more,
 * and returns to nbdkit when there is a request that is not plain, or after
 * MAX_IN_A_ROW that are: so nbdkit finds out in time that it is to stop.
 *
 * A write may turn out not to be plain when its payload has been dropped, or
 * the connection may end before the last of it comes.  Then nbdkit gets the
 * header, and zeroes for what was dropped (batch_give_back).
 */

#include <config.h>

#include <string.h>

#include "batch-internal.h"

/* The longest payload that is dropped: nbdkit refuses none that is shorter. */
#define MAX_DROPPED (32 * 1024 * 1024)

/* The NBD protocol's. */
#define SIMPLE_REPLY_MAGIC 0x67446698
#define STRUCTURED_REPLY_MAGIC 0x668e33ef
#define DONE_WITH_DATA                                                         \
  (UINT32_C (1) << 16 | 1) /* flags, and the chunk's type */
#define SIMPLE_REPLY 16
#define DATA_REPLY 28 /* of one chunk, without the data */
_Static_assert(DATA_REPLY <= MAX_PLAIN_REPLY_HEAD &&
                   DATA_REPLY <= MAX_HELD_SHORT,
               "");

static bool answers_plain;

void
batch_set_plain (bool plain)
{
  answers_plain = plain;
}

/*---------------------------------------------------------------------*/
/* The head of a reply */

static uint32_t
count_of (const char *request)
{
  return get32 (request + 24);
}

static uint64_t
offset_of (const char *request)
{
  return (uint64_t) get32 (request + 16) << 32 | get32 (request + 20);
}

/* Make the head of the reply to a request that was done.  Returns its length.
 */
static inline size_t
make_head (char head[MAX_PLAIN_REPLY_HEAD], enum form form, const char *request)
{
  memcpy (head + 8, request + 8, 8); /* the cookie */
  if (form == FORM_SIMPLE) {
    put32 (head, SIMPLE_REPLY_MAGIC);
    put32 (head + 4, 0);
    return SIMPLE_REPLY;
  }
  put32 (head, STRUCTURED_REPLY_MAGIC);
  put32 (head + 4, DONE_WITH_DATA);
  put32 (head + 16, 8 + count_of (request));
  memcpy (head + 20, request + 16, 8); /* the offset */
  return DATA_REPLY;
}

/*---------------------------------------------------------------------*/
/* How nbdkit answers */

void
batch_offer (const struct batch_device *device, void *arg, bool is_write,
             uint32_t count, uint64_t offset)
{
  struct batch_thread *t = &batch_thread;
  struct batch_socket *c = t->serving;
  const char *request = t->header;

  if (!answers_plain || c == NULL ||
      atomic_load_explicit (&c->reader, memory_order_relaxed) != t)
    return;
  if (c->device != device || c->device_arg != arg) {
    c->device = device;
    c->device_arg = arg;
    c->form[false] = c->form[true] = FORM_UNKNOWN;
  }
  if (c->form[is_write] == FORM_UNKNOWN && t->header_len == 0 &&
      get32 (request) == REQUEST_MAGIC &&
      get32 (request + 4) == (is_write ? CMD_WRITE : CMD_READ) &&
      count_of (request) == count && offset_of (request) == offset) {
    t->learns_of = c;
    t->reply_len = 0;
  }
}

/* Is the reply of this thread that of FORM to a request that was done? */
static bool
is_of (const struct batch_thread *t, enum form form)
{
  char head[MAX_PLAIN_REPLY_HEAD];
  const size_t n = make_head (head, form, t->header);
  const bool is_read = t->header[7] == CMD_READ;

  return t->reply_len == n + (is_read ? count_of (t->header) : 0) &&
         memcmp (t->reply, head, n) == 0;
}

void
batch_learn (int fd, const char *buf, ssize_t r, bool more)
{
  struct batch_thread *t = &batch_thread;
  struct batch_socket *c = t->learns_of;
  enum form form;
  size_t i;

  if (c->fd != fd || r < 0) {
    t->learns_of = NULL;
    return;
  }
  for (i = 0; i < (size_t) r && t->reply_len + i < MAX_PLAIN_REPLY_HEAD; i++)
    t->reply[t->reply_len + i] = buf[i];
  t->reply_len += r;
  if (more)
    return;
  t->learns_of = NULL;
  form = is_of (t, FORM_SIMPLE) ? FORM_SIMPLE
         : t->header[7] == CMD_READ && is_of (t, FORM_STRUCTURED)
             ? FORM_STRUCTURED
             : FORM_UNKNOWN;
  c->form[t->header[7] == CMD_WRITE] = form;
}

/*---------------------------------------------------------------------*/
/* Answering */

/* If this fails, c->error says so to nbdkit when it reads or sends.  Then
 * nothing more is sent.
 */
static void
send_all (struct batch_socket *c)
{
  batch_end_requests ();
  batch_flush (c, c->fd, 0);
}

/* Hold N bytes, or zeroes.  Where there is no room, send what is held first. */
static __attribute__ ((noinline)) void
make_room_and_hold (struct batch_socket *c, const char *buf, size_t n)
{
  if (held_add (&c->held, buf, n))
    return;
  send_all (c);
  held_add (&c->held, buf, n);
}

/* Hold the head of the reply to REQUEST, which was done. */
static inline void
hold_head (struct batch_socket *c, enum form form, const char *request)
{
  char head[MAX_PLAIN_REPLY_HEAD];
  const size_t n = make_head (head, form, request);

  if (!held_add_short (&c->held, head, n))
    make_room_and_hold (c, head, n);
  c->replies++;
}

static inline bool
answer_zeroes (struct batch_socket *c, const char *request)
{
  const uint32_t count = count_of (request);

  if (count == 0 || count > MAX_NEXT_ZEROES ||
      !c->device->read (c->device_arg, NULL, count, offset_of (request)))
    return false;
  c->is_large = count >= MIN_LARGE;
  hold_head (c, c->form[CMD_READ], request);
  if (count < MIN_BY_REFERENCE || count > HELD_ZEROES ||
      !held_add_zeroes (&c->held, count))
    make_room_and_hold (c, NULL, count);
  return true;
}

/* Returns a place for the N bytes of a read, MIN_BY_REFERENCE to
 * MAX_COPIED_PIECE.
 */
static char *
place (struct batch_socket *c, size_t n)
{
  char *p = held_place (&c->held, n);

  if (p != NULL)
    return p;
  send_all (c);
  return held_place (&c->held, n);
}

/* The request that ends before NEXT is about to be done.  If the header at NEXT
 * has come, have the device expect that request.
 */
static inline void
expect_next (struct batch_socket *c, const char *next)
{
  const char *const end = c->rx_buf + c->rx_end;

  if (c->device->expect != NULL && end - next >= HEADER)
    c->device->expect (c->device_arg, next[7] == CMD_WRITE, offset_of (next));
}

static bool
answer_data (struct batch_socket *c, const char *request)
{
  const uint32_t count = count_of (request);
  char few[MIN_BY_REFERENCE];
  char *const p = count < MIN_BY_REFERENCE || count > MAX_COPIED_PIECE
                      ? few
                      : place (c, count);
  bool done;

  expect_next (c, request + HEADER);
  done = count > 0 && count <= MAX_COPIED_PIECE &&
         c->device->read (c->device_arg, p, count, offset_of (request));
  if (done) {
    hold_head (c, c->form[CMD_READ], request);
    make_room_and_hold (c, p, count);
  }
  held_place_end (&c->held);
  return done;
}

/* The payload of a write to a device of zeroes is not copied, so it may be read
 * ahead.
 */
static void
note_payload (struct batch_socket *c, uint32_t count)
{
  batch_set_window (c, count);
  if (c->device->is_zero)
    c->window = MAX_AHEAD;
}

/* Nobody looks at what is written to a device of zeroes.  So where not all of a
 * payload is ahead, what is of it makes room for the rest.
 */
static void
begin_dropping (struct batch_socket *c, const char *request, uint32_t count)
{
  memcpy (c->dropped, request, HEADER);
  c->drops = true;
  c->to_drop = count - (c->rx_end - c->rx_start - HEADER);
  c->rx_start = c->rx_end;
  note_payload (c, count);
}

/* Returns true where the rest was ahead, and the write is done and answered. */
static bool
go_on_dropping (struct batch_socket *c)
{
  const size_t n = min (c->to_drop, c->rx_end - c->rx_start);

  c->rx_start += n;
  c->to_drop -= n;
  if (c->to_drop > 0)
    return false;
  batch_thread.arrival = c->read_at;
  if (!c->device->write (c->device_arg, NULL, count_of (c->dropped),
                         offset_of (c->dropped))) {
    batch_give_back (c);
    return false;
  }
  c->drops = false;
  c->requests++;
  hold_head (c, c->form[CMD_WRITE], c->dropped);
  return true;
}

void
batch_give_back (struct batch_socket *c)
{
  c->drops = false;
  c->taken_back = 0;
  c->given_back = HEADER + count_of (c->dropped) - c->to_drop;
}

static inline bool
answer_write (struct batch_socket *c, const char *request)
{
  const uint32_t count = count_of (request);
  const size_t here = c->rx_end - c->rx_start - HEADER;
  const bool is_zero = c->device->is_zero;

  if (count > here && is_zero && count <= MAX_DROPPED) {
    begin_dropping (c, request, count);
    return false;
  }
  if (count == 0 || count > here || (count > MIN_LARGE && !is_zero))
    return false;
  expect_next (c, request + HEADER + count);
  if (!c->device->write (c->device_arg, is_zero ? NULL : request + HEADER,
                         count, offset_of (request)))
    return false;
  note_payload (c, count);
  c->rx_start += count;
  hold_head (c, c->form[CMD_WRITE], request);
  return true;
}

bool
batch_is_incomplete (const struct batch_socket *c)
{
  const char *const request = c->rx_buf + c->rx_start;
  const size_t here = c->rx_end - c->rx_start;

  if (has_given_back (c) || here < HEADER)
    return !has_given_back (c) && here > 0;
  return get32 (request) == REQUEST_MAGIC && get32 (request + 4) == CMD_WRITE &&
         c->form[CMD_WRITE] != FORM_UNKNOWN &&
         count_of (request) > here - HEADER && count_of (request) <= MIN_LARGE;
}

/* Answer the next request that is ahead, if it is a plain one. */
static inline bool
answer_next (struct batch_socket *c)
{
  const char *const request = c->rx_buf + c->rx_start;
  const uint32_t flags_and_command = get32 (request + 4);
  bool r;

  if (get32 (request) != REQUEST_MAGIC || flags_and_command > CMD_WRITE ||
      c->form[flags_and_command] == FORM_UNKNOWN)
    return false;
  batch_thread.arrival = c->read_at;
  c->last_read_size = HEADER;
  if (flags_and_command == CMD_WRITE)
    r = answer_write (c, request);
  else
    r = c->device->is_zero ? answer_zeroes (c, request)
                           : answer_data (c, request);
  if (r) {
    c->rx_start += HEADER;
    c->requests++;
  }
  return r;
}

unsigned
batch_answer_plain (struct batch_socket *c, unsigned most)
{
  unsigned n = 0;

  batch_settle_answer ();
  if (c->drops) {
    if (!go_on_dropping (c))
      return 0;
    n++;
  }
  while (c->error == 0 && c->rx_end - c->rx_start >= HEADER && n < most &&
         answer_next (c))
    n++;
  if (n == 0)
    return 0;
  batch_thread.holding = c->fd;
  if (c->error != 0)
    held_clear (&c->held); /* the rest of a reply */
  else if (!batch_may_wait_here () || !next_is_here (c, c->device->is_zero))
    send_all (c);
  return n;
}
