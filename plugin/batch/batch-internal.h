/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the files of batched socket I/O share.  Each calls only those that stand
 * below it:
 *
 *     batch-libc.c      the C library's names
 *     batch-read.c      reading
 *     batch-socket.c    sending, the beginning and the end (with the drawing)
 *     batch-defer.c     replies that are sent later
 *     batch-stop.c      the server is told to stop
 *     batch-stream.c    connections, and what is held for them
 *     batch-pace.c      when to poll, and for how long to nap
 *
 * batch-client.c is the plugin's side.  Nobody else includes this.
 */

#ifndef NULLBLK_BATCH_INTERNAL_H
#define NULLBLK_BATCH_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "batch-pace-internal.h"
#include "batch-socket-internal.h"

/* Of what is read ahead, and the same where payloads are large: these are not
 * worth another copy.
 */
#define AHEAD (64 * 1024)
#define AHEAD_OF_LARGE 4096
#define LARGE (32 * 1024)

/* Of a request, as the NBD protocol has it. */
#define HEADER 28

/* Of what is held, and of one piece of it. */
#define HELD (64 * 1024)
#define PIECE (16 * 1024)

struct deferred; /* batch-defer.c */

struct batch_socket {
  int fd;
  atomic_bool open;
  atomic_bool passthrough; /* left alone, once ahead is empty */
  atomic_uint in_service;  /* threads that have read and not yet replied */
  bool first_piece_wakes;  /* set by batch_begin */

  pthread_mutex_t in_lock; /* guards what follows */
  char *rx_buf;            /* NULL when there is no socket */
  size_t rx_start, rx_end;
  size_t window; /* how much of ahead may be used: AHEAD or AHEAD_OF_LARGE */
  size_t asked;  /* by the last read */
  unsigned requests; /* since the kernel was last asked for more */
  unsigned looks;    /* chances to see whether it is busy */
  struct pace pace;
  uint64_t read_at; /* when ahead, and what came with it, did; 0: not known */

  _Alignas(64) pthread_mutex_t out_lock; /* guards what follows */
  char *tx_buf;
  size_t tx_len;
  unsigned replies; /* whole ones in held */
  int error;        /* of a send that failed */

  struct deferred **waiting; /* NULL before the first; a heap of */
  atomic_uint nr_waiting;    /* that many */
  struct deferred *idle;
  size_t bytes;                   /* of the buffers of all of these */
  struct deferred *partial_reply; /* its reply is being given; or NULL */
  _Atomic (const struct batch_thread *) deferrer; /* by whom the last one was */
};

/* Of this thread: where it may have left something held, whose request it
 * serves, and when that came (batch_arrival); the bytes that it has zeroed for
 * an answer and not received anything into since, and whether its last read was
 * one of a header, and nobody has asked since (batch_still_zero); where it last
 * deferred a reply, and where it is telling the device of one, with out_lock
 * held; the socket that ends the ppoll that it is about to make, or -1, and
 * whether it did; and whether that ppoll is only looked for.
 */
struct batch_thread {
  int holding;
  struct batch_socket *serving;
  uint64_t arrival;
  const void *zeroes;
  size_t zeroes_len;
  bool has_header;
  struct batch_socket *deferring;
  struct batch_socket *answering;
  int listening;
  bool heard;
  bool is_probing;
};
#define BATCH_THREAD_INIT                                                      \
  {                                                                            \
    .holding = -1, .listening = -1                                             \
  }
extern _Thread_local struct batch_thread batch_thread;

extern atomic_bool batch_is_timed;

/* Is it so that replies may wait: as batch_set_serial said, and are nbdkit's
 * sleeps known to be seen?
 */
bool batch_may_wait (void);

/* The connection of a descriptor, or NULL. */
struct batch_socket *batch_find (int fd);

/* The same, made where there is none: open or not. */
struct batch_socket *batch_connection_of (int fd);

/* There are none any more: they were the parent's. */
void batch_forget_connections (void);

/* Call ACTION for the descriptors of all connections; from a signal handler,
 * too.
 */
void batch_each (void (*action) (int fd));

/* Send what is held, and N bytes at DATA after it, or, unless WHOLE, as many of
 * them as there is room for.  Returns how many of the N were sent, or -1; then
 * the connection is of no use for sending any more.  out_lock is held.
 */
ssize_t batch_send_held (struct batch_socket *c, int fd, const void *data,
                         size_t n, int flags, bool whole);

/* Send what is held.  out_lock is held. */
bool batch_flush (struct batch_socket *c, int fd, int flags);

/* Send the N bytes at BUF, or hold them until batch_flush.  out_lock is held.
 */
bool batch_send_whole (struct batch_socket *c, const char *buf, size_t n);

/* Deferred replies.  A piece of what is being composed: false if that is more
 * than there is room for.  Answer what is due.  Tell the device that all others
 * are over, and answer them if SEND; the same after those that are due within
 * some ms.  Give the memory back, when there are none.  out_lock is held for
 * all.
 */
bool batch_defer_piece (struct batch_socket *c, const void *buf, size_t n,
                        bool more);
void batch_defer_answer (struct batch_socket *c);
void batch_defer_end (struct batch_socket *c, bool send);
void batch_defer_finish (struct batch_socket *c);
void batch_defer_free (struct batch_socket *c);

/* Before another request is taken, and before the kernel is asked for one:
 * answer what is due, until there is room for one more, or until there is
 * something to read, or nobody waits.  False: the server stops, or the client
 * has gone.  in_lock is held.
 */
bool batch_defer_make_room (struct batch_socket *c);
bool batch_defer_wait (struct batch_socket *c);

static inline bool
passes_through (struct batch_socket *c)
{
  return atomic_load_explicit (&c->passthrough, memory_order_relaxed);
}

/* As the NBD protocol has numbers. */
static inline uint32_t
get32 (const char *p)
{
  const unsigned char *u = (const unsigned char *) p;

  return (uint32_t) u[0] << 24 | u[1] << 16 | u[2] << 8 | u[3];
}

static inline bool
try_lock (pthread_mutex_t *lock)
{
  return pthread_mutex_trylock (lock) == 0;
}

#endif /* NULLBLK_BATCH_INTERNAL_H */
