/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Declarations that the files of batched socket I/O share.  Each file calls
 * only those that stand below it, except for batch_set_window of batch-read.c
 * and batch_learn of batch-plain.c:
 *
 *     batch-libc.c      the C library's names
 *     batch-read.c      reading
 *     batch-plain.c     requests that are answered without nbdkit
 *     batch-poll.c      when the kernel is asked for what a client has sent
 *     batch-socket.c    sending, the beginning and the end (with the diagram)
 *     batch-defer.c     replies that are sent later
 *     batch-stop.c      signals that stop the server
 *     batch-stream.c    connections, and sending of held bytes
 *     batch-aside.c     requests that are set aside
 *     batch-waiting.c   heaps and lists of deferred replies, and their memory
 *     batch-held.c      the bytes that are held
 *     batch-nap.c       for how long to nap
 *
 * batch-plugin.c is the plugin's side.
 */

#ifndef NULLBLK_BATCH_INTERNAL_H
#define NULLBLK_BATCH_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "batch-held-internal.h"
#include "batch-nap-internal.h"
#include "batch-socket-internal.h"
#include "common/common.h"

/* The most bytes that are read ahead, besides the rest of an incomplete
 * request: MAX_AHEAD, or only MAX_AHEAD_AFTER_LARGE after a payload that costs
 * more to copy than reading ahead saves.  That is a payload of MIN_LARGE bytes
 * or more where payloads are copied from rx_buf to nbdkit.  Where the thread
 * leaves payloads in rx_buf (batch_payload), the bound is MIN_LARGE_LEFT:
 * longer payloads are mostly incomplete when nbdkit asks for them, and so are
 * copied after all.
 *
 * On every thread MIN_LARGE is also what is_large compares with, and the most
 * that a plain write writes in memory mode.
 */
#define MAX_AHEAD (256 * 1024)
#define MAX_AHEAD_AFTER_LARGE 4096
#define MIN_LARGE (32 * 1024)
#define MIN_LARGE_LEFT (96 * 1024)

/* Held zeroes are kept back while the next request is a read of at most so many
 * bytes: on a null device that read is answered with zeroes, too.
 */
#define MAX_NEXT_ZEROES (256 * 1024)

/* Requests, as the NBD protocol has them; HEADER is the bytes of one without
 * its payload.
 */
#define HEADER 28
#define REQUEST_MAGIC 0x25609513
#define CMD_READ 0
#define CMD_WRITE 1

/* The most bytes that a reply to a plain request has before its data. */
#define MAX_PLAIN_REPLY_HEAD 28

/* The longest piece that is copied to be held. */
#define MAX_COPIED_PIECE (16 * 1024)

struct deferred; /* batch-defer-internal.h */

/* How nbdkit answers the reads, or the writes, of a connection: see
 * batch-plain.c.
 */
enum form { FORM_UNKNOWN, FORM_SIMPLE, FORM_STRUCTURED };

/* Deferred replies, or requests set aside, by their moments. */
struct heap {
  struct deferred **element; /* NULL before the first */
  unsigned n;
};

struct batch_socket {
  int fd;
  atomic_bool open;
  atomic_bool passthrough; /* not batched any more, once nothing is ahead */
  atomic_uint in_service;  /* threads that have read and not yet replied */
  bool is_unix;            /* is the client on a Unix socket? */

  /* The only thread that has read since batch_begin; NULL: none has, and
   * batch_several: there were several.
   */
  _Atomic (const struct batch_thread *) reader;

  /* See batch-plain.c.  Only the reader looks at these, and batch_begin. */
  const struct batch_device *device; /* NULL: it is not known */
  void *device_arg;
  enum form form[2]; /* of reads and of writes */

  /* If the connection DROPS the payload of a plain write that had come only in
   * part: the write's header, and the bytes of the payload that are still to
   * come.
   */
  bool drops;
  char dropped[HEADER];
  size_t to_drop;

  /* If nbdkit gets that write after all: how many bytes of it, from the first
   * of the header on, are given back, and how many nbdkit has taken of these.
   */
  size_t given_back, taken_back;

  pthread_mutex_t in_lock; /* guards what follows */
  char *rx_buf;            /* NULL when there is no socket */
  size_t rx_start, rx_end;
  size_t window; /* the most bytes ahead, besides the rest of a request:
                  * MAX_AHEAD or MAX_AHEAD_AFTER_LARGE */
  bool is_large; /* the last payload, or the zeroes of the last plain read,
                  * had MIN_LARGE bytes or more */
  size_t last_read_size; /* bytes that the last read wanted */
  unsigned requests; /* that were read since the kernel was last asked for more
                      * bytes */
  unsigned reads;    /* a count: one of CHECK_BUSY_EVERY reads is followed by a
                      * check whether the client is busy */
  struct pace pace;
  struct naps naps;
  uint64_t read_at;  /* when the bytes of the last read came; 0: not known */
  uint64_t received; /* bytes in all */

  /* See batch-aside.c. */
  bool is_overdue;        /* the time of requests that are set aside is up */
  uint64_t overdue_at;    /* the moment at which that was found */
  uint64_t bytes_by_then; /* how many bytes had come by that moment */

  /* Guards what follows, except wake_fd and what is atomic; the thread that
   * serves the connection reads `error` without it, too.
   */
  _Alignas(64) pthread_mutex_t out_lock;
  struct held held;
  unsigned replies; /* whole ones that are held */
  int error;        /* of a send that failed */

  atomic_uint nr_waiting; /* members of the next three together */
  struct heap waiting;    /* replies that wait until they are due */
  struct heap aside;      /* requests that are set aside */
  struct deferred *ready; /* a list of requests to be tried now, and its end */
  struct deferred **end_of_ready; /* NULL before the first */

  struct deferred *idle; /* a list of structs that can be used again */
  size_t bytes; /* of the buffers of all deferred replies and requests, those in
                 * `idle` and partial_reply included */
  struct deferred *partial_reply; /* nbdkit is giving its pieces; or NULL */
  /* The thread that has deferred the last reply. */
  _Atomic (const struct batch_thread *) deferrer;

  /* Requests that were set aside, and are to be tried again: a thread that
   * hastens one pushes it, with no lock, and writes to the eventfd unless it
   * serves the connection itself.
   */
  _Atomic (struct deferred *) hastened;
  int wake_fd; /* -1 before the first was set aside */
};

/* The library's state of one thread. */
struct batch_thread {
  int holding; /* the descriptor for which it may have left bytes held; or -1 */
  struct batch_socket *serving; /* the connection whose request it serves */
  struct batch_socket *keeps; /* the connection both of whose locks it keeps */
  uint64_t arrival;           /* when that request arrived (batch_arrival) */

  /* What batch_before_reply was called with, while the thread keeps locks; or
   * NULL.
   */
  void (*end) (void *arg);
  void *end_arg;

  /* For batch_still_zero: the bytes that the thread has zeroed for an answer,
   * if it has received nothing into them since.  has_header: the thread's last
   * read was of a header, and neither batch_still_zero nor batch_answer_buffer
   * has been called after that.
   */
  const void *zeroes;
  size_t zeroes_len;
  bool has_header;

  /* How far it has come in reading a request: the first bytes of a header that
   * has not come as a whole yet; and of a payload the bytes that are to come.
   * If there are no such first bytes, header is the last that has come.
   */
  char header[HEADER];
  size_t header_len;
  size_t payload_missing;

  /* For batch_payload: how long the payload is of the request whose header it
   * has read last, until it reads again; where it was received, or NULL; and
   * where it was left, which is in rx_buf, or NULL if it was not.
   */
  size_t payload_expected;
  const void *payload_to;
  const char *payload;
  size_t payload_len;
  bool leaves_payloads; /* batch_payload has asked for one */

  /* The connection for which it learns, from its next reply, how nbdkit answers
   * the request of `header`, or NULL; and that reply's first bytes, and how
   * many there were.
   */
  struct batch_socket *learns_of;
  char reply[MAX_PLAIN_REPLY_HEAD];
  size_t reply_len;

  /* The zeroes with which it answers its present request; or NULL. */
  const void *answer;
  size_t answer_len;

  /* Data that the thread has placed among the bytes held for `keeps`, until the
   * last byte of it is sent or the thread reads again: where the data is, its
   * length, and where nbdkit wants it.  placed is NULL if there is none.
   */
  const char *placed;
  size_t placed_len;
  char *placed_for;

  struct batch_socket *deferring; /* where it last deferred a reply */
  struct batch_socket *answering; /* for which it calls a batch_due, with
                                   * out_lock held */
  /* Descriptors that end its next ppoll, or -1, and whether they did: the
   * client's, and the eventfd by which another thread wakes it.
   */
  int listening[2];
  bool heard[2];
  bool is_probing; /* its next ppoll only proves that we see nbdkit's sleeps */
};
#define BATCH_THREAD_INIT                                                      \
  {                                                                            \
    .holding = -1, .listening = { -1, -1 }                                     \
  }
extern _Thread_local struct batch_thread batch_thread;

/* What this thread reads next is not the rest of a request. */
static inline void
batch_expect_header (void)
{
  batch_thread.header_len = 0;
  batch_thread.payload_missing = 0;
  batch_thread.payload_expected = 0;
}

extern const struct batch_thread batch_several;

/* Do requests wait?  See batch_set_waits. */
extern atomic_bool batch_any_waits;

extern atomic_bool batch_is_serial;

/* Do nbdkit's sleeps come to batch_ppoll, which sends what waits, and listens
 * for requests?  The function finds out.
 */
enum { SLEEPS_UNKNOWN, SLEEPS_SEEN, SLEEPS_UNSEEN };
extern atomic_int batch_sleeps;
int batch_find_sleeps (void);

/* May replies wait?  They may if batch_set_serial has said so, and sleeps are
 * seen.
 */
static inline bool
batch_may_wait (void)
{
  int sleeps = atomic_load_explicit (&batch_sleeps, memory_order_relaxed);

  if (!atomic_load_explicit (&batch_is_serial, memory_order_relaxed))
    return false;
  if (__builtin_expect (sleeps == SLEEPS_UNKNOWN, 0))
    sleeps = batch_find_sleeps ();
  return sleeps == SLEEPS_SEEN;
}

/* As batch_may_wait, for a thread that keeps locks: batch_keep_locks has found
 * out whether sleeps are seen.
 */
static inline bool
batch_may_wait_here (void)
{
  return atomic_load_explicit (&batch_is_serial, memory_order_relaxed) &&
         atomic_load_explicit (&batch_sleeps, memory_order_relaxed) ==
             SLEEPS_SEEN;
}

/* While a connection's only thread serves what it has read ahead, it may keep
 * the connection's locks, instead of taking them for each call.
 * batch_keep_locks does that, with in_lock held, where the thread is to come
 * back soon; if it returns false, in_lock is the caller's as before.
 * batch_release unlocks what the thread keeps, if anything: before it waits, or
 * needs another lock.
 */
bool batch_keep_locks (struct batch_socket *c);
void batch_release (void);

/* End the requests for which this thread has called batch_before_reply.  To be
 * called before anything is sent, and by batch_release.
 */
static inline void
batch_end_requests (void)
{
  void (*const end) (void *arg) = batch_thread.end;

  if (end != NULL) {
    batch_thread.end = NULL;
    end (batch_thread.end_arg);
  }
}

/* Copy the data that this thread has placed among the held bytes
 * (batch_answer_buffer), and that is not sent yet, to where nbdkit wants it.
 */
void batch_copy_answer_back (void);

static inline void
batch_settle_answer (void)
{
  if (batch_thread.placed != NULL)
    batch_copy_answer_back ();
}

/* Does this thread keep the locks of C? */
static inline bool
batch_keeps (const struct batch_socket *c)
{
  return batch_thread.keeps == c;
}

/* This thread serves no request of C any more, if it did. */
void batch_end_service (struct batch_socket *c);

/* Where this thread learns (learns_of): it has sent R bytes at BUF, and said
 * whether there are MORE.  R is -1 where the send has failed.
 */
void batch_learn (int fd, const char *buf, ssize_t r, bool more);

/* The most plain requests that are answered while nbdkit has none. */
#define MAX_IN_A_ROW 64

/* Answer the plain requests that are ahead: at most MOST, and none behind the
 * first that is not plain or has not come as a whole.  Returns how many were
 * answered.  This thread keeps the locks of C, the device is known, and a
 * header comes next.
 */
unsigned batch_answer_plain (struct batch_socket *c, unsigned most);

/* Is what is ahead a request that may be plain, but not all of it (perhaps only
 * a part of its header)?  Then the rest is to be read before anybody has the
 * request.  in_lock is held, and batch_has_plain (C) is true.
 */
bool batch_is_incomplete (const struct batch_socket *c);

/* The payload of a write was dropped, but for what is still to come, and nbdkit
 * is to have that write: its header is ahead again, and zeroes after it.
 */
void batch_give_back (struct batch_socket *c);

static inline bool
batch_has_plain (const struct batch_socket *c)
{
  return c->device != NULL && (c->form[CMD_READ] != FORM_UNKNOWN ||
                               c->form[CMD_WRITE] != FORM_UNKNOWN);
}

static inline bool
has_given_back (const struct batch_socket *c)
{
  return c->taken_back < c->given_back;
}

/* Is there anything for a read, without the kernel?  in_lock is held. */
static inline bool
is_ahead (const struct batch_socket *c)
{
  return c->rx_start < c->rx_end || has_given_back (c);
}

/* N bytes are asked for.  If these are the first of a payload, they decide how
 * much is read ahead.
 */
void batch_set_window (struct batch_socket *c, size_t n);

/* The connection of a descriptor, or NULL. */
struct batch_socket *batch_find (int fd);

/* Returns the connection of a descriptor, open or not, and makes it if there is
 * none.  NULL: FD is too large, or there is no memory.
 */
struct batch_socket *batch_connection_of (int fd);

/* After a fork: forget all connections, which are the parent's. */
void batch_forget_connections (void);

/* Call ACTION for the descriptors of all connections; from a signal handler,
 * too.
 */
void batch_each (void (*action) (int fd));

/* Does readv of the two at IOV from FD, after a nap where the client still has
 * replies to take, or polling where it has one request at a time.  Where
 * replies wait it does not sleep: -1 and EAGAIN if nothing is there.  in_lock
 * is held.
 */
ssize_t batch_read_paced (struct batch_socket *c, int fd,
                          const struct iovec *iov);

/* Send the held bytes, and behind them the N bytes at DATA; without WHOLE, only
 * as many of the N as the socket has room for.  Returns how many of the N were
 * sent, or -1; then nothing can be sent on the connection any more.  out_lock
 * is held.
 */
ssize_t batch_send_held (struct batch_socket *c, int fd, const void *data,
                         size_t n, int flags, bool whole);

/* Send the held bytes.  Returns false if nothing can be sent on the connection
 * any more.  out_lock is held.
 */
bool batch_flush (struct batch_socket *c, int fd, int flags);

/* Send the N bytes at BUF, or hold them until batch_flush.  out_lock is held.
 */
bool batch_send_whole (struct batch_socket *c, const char *buf, size_t n);

/* Deferred replies.  out_lock is held for these five. */

/* Add a piece to the reply that nbdkit is giving.  False: there is no room. */
bool batch_defer_piece (struct batch_socket *c, const void *buf, size_t n,
                        bool more);

/* Send the replies that are due. */
void batch_defer_answer (struct batch_socket *c);

/* Call batch_due, with GONE, for all requests that wait; with SEND also send
 * their replies.
 */
void batch_defer_end (struct batch_socket *c, bool send);

/* Wait for the replies that are due within NAP_FROM, and send them; then do as
 * batch_defer_end does with SEND.
 */
void batch_defer_finish (struct batch_socket *c);

/* Free the memory of deferred replies, when none waits. */
void batch_defer_free (struct batch_socket *c);

/* Both of these send replies as they become due.  batch_defer_make_room does so
 * before a request is read, until one more request may wait.  batch_defer_wait
 * does so until there are bytes to read, or until no reply waits any more.
 * BETWEEN: a header is to be read, and not the rest of a request.  Both return
 * false if the server stops or the client has gone.  When a send has failed
 * (c->error), batch_defer_make_room returns false, too, and batch_defer_wait
 * leaves that to the caller.  in_lock is held.
 */
bool batch_defer_make_room (struct batch_socket *c);
bool batch_defer_wait (struct batch_socket *c, bool between);

/* Are there requests that are set aside or ready?  Then a thread that has to
 * wait for room in its socket waits in batch_aside_await_room, which tries
 * these requests until there may be room.  out_lock is held.
 */
static inline bool
batch_has_aside (const struct batch_socket *c)
{
  return c->aside.n > 0 || c->ready != NULL;
}
void batch_aside_await_room (struct batch_socket *c, int fd);

static inline bool
passes_through (struct batch_socket *c)
{
  return atomic_load_explicit (&c->passthrough, memory_order_relaxed);
}

/* A number of 4 bytes, the most significant first, as in the NBD protocol. */
static inline uint32_t
get32 (const char *p)
{
  const unsigned char *u = (const unsigned char *) p;

  return (uint32_t) u[0] << 24 | u[1] << 16 | u[2] << 8 | u[3];
}

static inline void
put32 (char *p, uint32_t n)
{
  p[0] = (char) (n >> 24);
  p[1] = (char) (n >> 16);
  p[2] = (char) (n >> 8);
  p[3] = (char) n;
}

/* Is the next request here, to its last byte, and one that takes no time?  That
 * depends on whether the device answers reads with ZEROES.  in_lock is held.
 * Between two requests of a connection, the bytes ahead begin with a request.
 */
static inline __attribute__ ((always_inline)) bool
next_is_here (const struct batch_socket *c, bool zeroes)
{
  const char *p = c->rx_buf + c->rx_start;
  const size_t here = c->rx_end - c->rx_start;
  uint32_t count;

  if (here < HEADER)
    return false;
  count = get32 (p + 24);
  if (get32 (p) != REQUEST_MAGIC || p[6] != 0)
    return false;
  if (p[7] == CMD_READ)
    return count <= (zeroes ? MAX_NEXT_ZEROES : MIN_LARGE);
  return p[7] == CMD_WRITE && count <= MIN_LARGE && here - HEADER >= count;
}

static inline bool
try_lock (pthread_mutex_t *lock)
{
  return pthread_mutex_trylock (lock) == 0;
}

#endif /* NULLBLK_BATCH_INTERNAL_H */
