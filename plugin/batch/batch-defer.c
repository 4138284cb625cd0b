/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Deferred replies: the device says when a request is to be answered, and goes
 * on to the next one at once.  So a connection needs no thread for each request
 * that waits, and no thread hands over to another; its one thread comes here
 * whenever it has nothing else to do.
 *
 *               next header wanted
 *   nbdkit ──────────────────────────> batch_defer_wait ──> read ──> nbdkit
 *     │                                  │         ^
 *     │ reply, of which the device       │ until   │ the socket is readable,
 *     │ had said when (batch_defer)      │ then    │ or nobody waits
 *     v                                  v         │
 *   partial ────whole──> waiting [first, ..., last] ──due──> held ──> socket
 *
 * waiting is a heap by due time.  A reply is kept as nbdkit gave it.  When it
 * is due the device is told (batch_due), and may still have it dropped, or
 * replaced by an error.
 *
 * A request that was set aside (batch_set_aside) has its payload behind the
 * room for its reply's headers.  It is in another heap, by the moment at which
 * its time is up, until it is hastened (batch_hasten), which any thread may
 * do.  Then it is ready, and the device tries it again (batch_retry) as soon as
 * its thread comes here, or has to wait for room in the socket:
 *
 *   partial ──whole──> aside ──hastened, or time up───> ready ─retry──> waiting
 *                        ^  ^                                  │
 *                        │  └───────────── in vain ────────────┘
 *   any thread ──> hastened [d, d, ...] ── eventfd ─> ends the wait
 *
 * All these together are at most `depth`: while so many wait, no further
 * request is read.
 *
 * All this is only for connections that are served by one thread, in nbdkit's
 * serial mode (batch_set_serial); what others look at is guarded by out_lock.
 */

#include <config.h>

/* batch_libc has the C library's calls by their names, see batch-libc.c. */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "batch-defer-internal.h"
#include "common/common.h"

/* Where more replies than this wait, SPIN_AUTO means not to spin: the CPU is
 * needed for what comes next.
 */
#define MAX_WAITING_FOR_SPIN 8

/* Replies wait while at most about so many bytes are moved. */
#define MAX_MOVED (64 * 1024)

/* The NBD protocol's. */
#define SIMPLE_REPLY_MAGIC 0x67446698
#define STRUCTURED_REPLY_MAGIC 0x668e33ef
#define REPLY_FLAG_DONE 1
#define REPLY_TYPE_ERROR 0x8001
#define SIMPLE_REPLY 16
#define CHUNK 20 /* its header */
#define ERROR_REPLY 26

/* The protocol's errors have numbers of its own. */
static const uint32_t protocol_errors[NR_ERRORS] = {
    [ERROR_EPERM] = 1,   [ERROR_EIO] = 5,     [ERROR_ENOMEM] = 12,
    [ERROR_EINVAL] = 22, [ERROR_ENOSPC] = 28, [ERROR_ESHUTDOWN] = 108,
};

static unsigned depth; /* 0: nothing is deferred */
static struct waiter waiter;

void
batch_set_depth (unsigned n)
{
  depth = n;
  waiter_init (&waiter, clock_cpus ());
}

unsigned
batch_depth (void)
{
  return depth;
}

/* Make D idle.  If it is in the list of hastened requests, take it out first:
 * nobody puts it there any more.
 */
static void
make_idle (struct batch_socket *c, struct deferred *d)
{
  d->retry = NULL;
  if (__builtin_expect (atomic_load (&d->is_hastened), 0))
    aside_take_hastened (c);
  deferred_make_idle (c, d);
}

/*---------------------------------------------------------------------*/
/* Sending */

/* Turn the reply into one that says R, a negative errno, for which its buffer
 * has room.  False: the reply has a form that is not known here.
 */
static bool
make_error (struct deferred *d, int r)
{
  const uint32_t error = protocol_errors[nbd_error_of (r)];
  char *p = d->reply;

  if (d->len >= SIMPLE_REPLY && get32 (p) == SIMPLE_REPLY_MAGIC) {
    put32 (p + 4, error);
    d->len = SIMPLE_REPLY;
    return true;
  }
  if (d->len >= CHUNK && get32 (p) == STRUCTURED_REPLY_MAGIC) {
    put32 (p + 4, (uint32_t) REPLY_FLAG_DONE << 16 | REPLY_TYPE_ERROR);
    put32 (p + 16, ERROR_REPLY - CHUNK);
    put32 (p + 20, error);
    p[24] = p[25] = 0; /* no message */
    d->len = ERROR_REPLY;
    return true;
  }
  return false;
}

/* D is due: send its reply, or let it wait again if the device names a later
 * moment.  out_lock is held.
 */
static bool
answer (struct batch_socket *c, struct deferred *d, uint64_t now, bool gone)
{
  bool ok;
  int r;

  batch_thread.answering = c;
  r = d->due (d->request, &now, gone);
  batch_thread.answering = NULL;
  if (r == DUE_AGAIN && !gone) {
    d->due_at = now;
    deferred_put_in (c, d);
    return true;
  }
  /* A failure must not look like success. */
  if (r < 0 && !make_error (d, r))
    c->error = EPROTO;
  if (r > 0)
    c->error = ESHUTDOWN;
  ok = batch_send_whole (c, d->reply, d->len);
  make_idle (c, d);
  return ok;
}

/* Send the replies that are due by UNTIL, and try the requests that are ready;
 * a try may make another request ready.  Before more than about MAX_MOVED bytes
 * of payload are moved, what is held is sent.  out_lock is held.
 */
static void
answer_due (struct batch_socket *c, uint64_t now, uint64_t until)
{
  bool any = false, ok = true;
  size_t moved = 0;

  aside_take_hastened (c);
  while (ok) {
    if (c->waiting.n > 0 && c->waiting.element[0]->due_at <= until) {
      ok = answer (c, deferred_take_first (c), now, false);
      any = true;
    }
    else if (c->ready != NULL) {
      if (moved >= MAX_MOVED) {
        ok = batch_flush (c, c->fd, 0);
        moved = 0;
      }
      moved += aside_retry (c);
      aside_take_hastened (c); /* as this request has moved a write pointer */
      now = clock_now ();
      until = now > until ? now : until;
    }
    else
      break;
  }
  if (any)
    batch_flush (c, c->fd, 0);
}

void
batch_defer_answer (struct batch_socket *c)
{
  const uint64_t now = clock_now ();

  answer_due (c, now, now);
}

void
batch_defer_end (struct batch_socket *c, bool send)
{
  uint64_t now = clock_now ();
  struct deferred *d = c->partial_reply;

  if (d != NULL) {
    c->partial_reply = NULL;
    d->due (d->request, &now, true);
    make_idle (c, d);
  }
  while (c->nr_waiting > 0) {
    d = deferred_take_any (c);
    if (send)
      send = answer (c, d, now, true);
    else {
      d->due (d->request, &now, true);
      make_idle (c, d);
    }
  }
}

bool
batch_has_deferred (void)
{
  const struct batch_socket *c = batch_thread.serving;

  return c != NULL && c->nr_waiting > 0;
}

void
batch_defer_cancel (void)
{
  struct batch_socket *c = batch_thread.deferring;

  batch_release ();
  /* If another thread is C's deferrer, now or once the lock is taken, the
   * descriptor's number belongs to another socket by then, and this thread's
   * requests are over.
   */
  if (c != NULL && c->deferrer == &batch_thread) {
    pthread_mutex_lock (&c->out_lock);
    if (c->deferrer == &batch_thread)
      batch_defer_end (c, false);
    pthread_mutex_unlock (&c->out_lock);
  }
  batch_thread.deferring = NULL;
}

/*---------------------------------------------------------------------*/
/* Waiting.  -EAGAIN ends a wait where the socket has something to read, -EINTR
 * where a request was hastened.
 */

struct listener {
  const struct batch_socket *c;
  int fds[2]; /* the client's, and the one that wakes; or -1 */
};

static int
nap_listening (void *opaque, uint64_t nsec)
{
  const struct listener *l = opaque;
  struct batch_thread *t = &batch_thread;
  unsigned i;
  int r;

  for (i = 0; i < 2; i++) {
    t->listening[i] = l->fds[i];
    t->heard[i] = false;
  }
  r = batch_libc.nap (nsec);
  t->listening[0] = t->listening[1] = -1;
  return t->heard[0] ? -EAGAIN : t->heard[1] ? -EINTR : r;
}

static int
nap (void *opaque, uint64_t nsec)
{
  (void) opaque;
  return batch_libc.nap (nsec);
}

static int
sleep_listening (void *opaque, uint64_t moment)
{
  const struct listener *l = opaque;
  struct pollfd readable[2] = {{.fd = l->fds[0], .events = POLLIN},
                               {.fd = l->fds[1], .events = POLLIN}};
  struct timespec ts;
  uint64_t now, left;
  int r;

  clock_lose_slack ();
  do {
    now = clock_now ();
    left = moment > now ? moment - now : 0;
    ts.tv_sec = (time_t) (left / NSEC_PER_SEC);
    ts.tv_nsec = (long) (left % NSEC_PER_SEC);
    r = batch_libc.ppoll (readable, l->fds[1] >= 0 ? 2 : 1, &ts, NULL);
  } while (r == -1 && errno == EINTR);
  if (r <= 0)
    return 0;
  return readable[0].revents != 0 ? -EAGAIN : -EINTR;
}

static int
check_wait (void *opaque)
{
  const struct listener *l = opaque;
  char byte;

  if (atomic_load_explicit (&l->c->hastened, memory_order_relaxed) != NULL)
    return -EINTR;
  return l->fds[0] < 0 || (batch_libc.recvfrom (l->fds[0], &byte, 1,
                                                MSG_PEEK | MSG_DONTWAIT, NULL,
                                                NULL) == -1 &&
                           (errno == EAGAIN || errno == EINTR))
             ? 0
             : -EAGAIN;
}

/* The longest wait; no system call refuses it. */
#define MAX_WAIT (3600 * NSEC_PER_SEC)

/* When do requests that are set aside, and whose time is up, get their last
 * try?  Never; or when all bytes have been read that had come by that time; or
 * at once, though some may not have been read, as there is no room for them.
 */
enum last_try { NO_LAST_TRY, LAST_TRY_AFTER_READ, LAST_TRY_UNREAD };

/* When is there something to do again?  A request whose time is up is ready
 * then.  Returns -EAGAIN where something is to be read first.  out_lock is
 * held.
 */
static int
first_moment (struct batch_socket *c, enum last_try last_try, uint64_t *moment,
              uint64_t *spin)
{
  uint64_t aside;

  aside_take_hastened (c);
  if (last_try != NO_LAST_TRY &&
      aside_last_try (c, last_try == LAST_TRY_UNREAD))
    return -EAGAIN;
  *moment = *spin = 0;
  if (c->ready != NULL)
    return 0;
  *moment = heap_first_moment (&c->waiting);
  if (c->waiting.n > 0)
    *spin = c->waiting.element[0]->spin;
  aside = heap_first_moment (&c->aside);
  if (last_try != NO_LAST_TRY && aside < *moment) {
    *moment = aside;
    *spin = 0;
  }
  if (*spin == SPIN_AUTO && c->waiting.n > MAX_WAITING_FOR_SPIN)
    *spin = 0;
  if (*moment == UINT64_MAX)
    *moment = clock_now () + MAX_WAIT;
  return 0;
}

/* Wait until the first reply is due, and send it, and with it all others that a
 * further sleep would make late.  If it LISTENS, bytes from the client end the
 * wait.
 */
static int
wait_for_first (struct batch_socket *c, bool listens, enum last_try last_try)
{
  struct listener listener = {.c = c,
                              .fds = {listens ? c->fd : -1, c->wake_fd}};
  const bool hears = listens || c->wake_fd >= 0;
  const struct wait_ops how = {.sleep_for = hears ? nap_listening : nap,
                               .sleep_until = hears ? sleep_listening : NULL,
                               .check = hears ? check_wait : NULL,
                               .opaque = &listener};
  uint64_t due_at, spin, now, until;
  int r;

  pthread_mutex_lock (&c->out_lock);
  batch_flush (c, c->fd, 0);
  r = first_moment (c, last_try, &due_at, &spin);
  pthread_mutex_unlock (&c->out_lock);
  if (r < 0)
    return r;

  r = waiter_wait (&waiter, due_at, spin, &how, &now);
  if (r == -EINTR) {
    aside_clear_wake (c);
    due_at = now;
  }
  else if (r < 0)
    return r;
  until = spin != 0 ? now : now + waiter_usual (&waiter) / 2;
  pthread_mutex_lock (&c->out_lock);
  answer_due (c, now, until > due_at ? until : due_at);
  pthread_mutex_unlock (&c->out_lock);
  return 0;
}

/*---------------------------------------------------------------------*/
/* From batch_defer to the whole reply */

/* Take a struct deferred with room for N bytes.  Where there is no room, first
 * wait for the replies that are due before DUE_AT, and send them.  NULL:
 * there is no room even then, or no memory.  out_lock is held, except during
 * such a wait.
 */
static struct deferred *
take_with_room (struct batch_socket *c, uint64_t due_at, size_t n)
{
  struct deferred *d = deferred_take_idle (c, depth);
  int r;

  while (d != NULL && !deferred_grow (c, d, n)) {
    r = -1;
    aside_take_hastened (c);
    if (c->ready != NULL ||
        (c->waiting.n > 0 && heap_first_moment (&c->waiting) <= due_at)) {
      pthread_mutex_unlock (&c->out_lock);
      r = wait_for_first (c, false, NO_LAST_TRY);
      pthread_mutex_lock (&c->out_lock);
    }
    if (r < 0 || c->error != 0) {
      make_idle (c, d);
      d = NULL;
    }
  }
  return d;
}

/* Begin to defer the reply to this thread's request, with room for N bytes;
 * out_lock is held then.  NULL: it cannot be, and nothing is locked.
 */
static struct deferred *
begin_deferring (struct batch_socket *c, uint64_t due_at, uint64_t spin,
                 batch_due *due, const void *request, size_t size, size_t n)
{
  struct deferred *d = NULL;

  if (c == NULL || depth == 0 || size > MAX_REQUEST_COPY ||
      passes_through (c) || !batch_may_wait ())
    return NULL;
  batch_release ();
  pthread_mutex_lock (&c->out_lock);
  if (c->partial_reply == NULL && c->nr_waiting < depth &&
      c->held.piece != NULL && c->error == 0)
    d = take_with_room (c, due_at, n);
  if (d == NULL) {
    pthread_mutex_unlock (&c->out_lock);
    return NULL;
  }
  d->due_at = due_at;
  d->spin = spin;
  d->due = due;
  memcpy (d->request, request, size);
  c->partial_reply = d;
  c->deferrer = &batch_thread;
  batch_thread.deferring = c;
  return d;
}

bool
batch_defer (uint64_t due_at, uint64_t spin, batch_due *due,
             const void *request, size_t size, size_t data)
{
  struct batch_socket *c = batch_thread.serving;

  if (begin_deferring (c, due_at, spin, due, request, size,
                       MAX_REPLY_HEADERS + data) == NULL)
    return false;
  pthread_mutex_unlock (&c->out_lock);
  return true;
}

void *
batch_set_aside (uint64_t until, uint64_t spin, batch_retry *retry,
                 batch_due *due, const void *request, size_t size,
                 const void *payload, size_t n)
{
  struct batch_socket *c = batch_thread.serving;
  struct deferred *d;

  if (!aside_can_be_woken (c))
    return NULL;
  d = begin_deferring (c, clock_now (), spin, due, request, size,
                       MAX_REPLY_HEADERS + n);
  if (d == NULL)
    return NULL;
  aside_begin (c, d, until, retry, payload, n);
  pthread_mutex_unlock (&c->out_lock);
  return d->request;
}

/*---------------------------------------------------------------------*/
/* The reply */

/* Is the reply complete, rather than only one of its chunks? */
static bool
is_whole (const struct deferred *d)
{
  const char *p = d->reply;
  size_t left = d->len, chunk;

  while (left >= CHUNK && get32 (p) == STRUCTURED_REPLY_MAGIC) {
    chunk = CHUNK + (size_t) get32 (p + 16);
    if ((get32 (p + 4) >> 16 & REPLY_FLAG_DONE) != 0 || chunk > left)
      return true;
    p += chunk;
    left -= chunk;
  }
  return left > 0;
}

bool
batch_defer_piece (struct batch_socket *c, const void *buf, size_t n, bool more)
{
  struct deferred *d = c->partial_reply;

  /* A payload is behind it. */
  if (d->retry != NULL && d->len + n > MAX_REPLY_HEADERS)
    return false;
  /* Make room for half as much again, so that a reply of many pieces is not
   * copied for each of them.
   */
  if (d->len + n > d->room && !deferred_grow (c, d, d->len + n + d->len / 2) &&
      !deferred_grow (c, d, d->len + n))
    return false;
  memcpy (d->reply + d->len, buf, n);
  d->len += n;
  if (!more && is_whole (d)) {
    c->partial_reply = NULL;
    deferred_put_in (c, d);
  }
  return true;
}

/*---------------------------------------------------------------------*/
/* The event loop: what waits and what comes */

/* The server stops, or the client has gone. */
static void
close_all (struct batch_socket *c)
{
  pthread_mutex_lock (&c->out_lock);
  batch_defer_end (c, true);
  batch_flush (c, c->fd, 0);
  pthread_mutex_unlock (&c->out_lock);
}

/* A thread of plain nbdkit that waits for less than NAP_FROM cannot be ended,
 * and would still answer: so replies that are due that soon are waited for
 * here.
 */
void
batch_defer_finish (struct batch_socket *c)
{
  const struct wait_ops how = {.sleep_for = nap, .opaque = c};
  const uint64_t last = clock_now () + NAP_FROM;
  uint64_t now;

  if (c->error == 0)
    answer_due (c, clock_now (), 0);
  while (heap_first_moment (&c->waiting) <= last && c->error == 0 &&
         batch_flush (c, c->fd, 0)) {
    waiter_wait (&waiter, c->waiting.element[0]->due_at,
                 c->waiting.element[0]->spin, &how, &now);
    answer (c, deferred_take_first (c), now, false);
  }
  batch_defer_end (c, true);
}

bool
batch_defer_make_room (struct batch_socket *c)
{
  int r = 0;

  pthread_mutex_lock (&c->out_lock);
  aside_take_hastened (c);
  aside_last_try (c, false);
  batch_defer_answer (c);
  pthread_mutex_unlock (&c->out_lock);
  while (r == 0 && c->nr_waiting >= depth && c->error == 0)
    r = wait_for_first (c, false, LAST_TRY_UNREAD);
  if (r < 0)
    close_all (c);
  return r == 0 && c->error == 0;
}

bool
batch_defer_wait (struct batch_socket *c, bool between)
{
  int r = 0;

  while (r == 0 && c->nr_waiting > 0 && c->error == 0)
    r = wait_for_first (c, true, between ? LAST_TRY_AFTER_READ : NO_LAST_TRY);
  if (r < 0 && r != -EAGAIN)
    close_all (c);
  return r == 0 || r == -EAGAIN;
}
