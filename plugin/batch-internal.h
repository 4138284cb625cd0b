/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the files of batched socket I/O share: batch.c (with the drawing) has
 * the connections and sends, batch-read.c reads.  Nobody else includes this.
 */

#ifndef NULLBLK_BATCH_INTERNAL_H
#define NULLBLK_BATCH_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "batch.h"

/* Of what is read ahead, and the same where payloads are large: these are not
 * worth another copy.
 */
#define AHEAD (64 * 1024)
#define AHEAD_OF_LARGE 4096
#define LARGE (32 * 1024)

/* Of a request, as the NBD protocol has it. */
#define HEADER 28

struct connection {
  atomic_bool open;
  atomic_bool settled;    /* left alone, once ahead is empty */
  atomic_uint in_service; /* threads that have read and not yet replied */
  bool first_piece_wakes; /* set by batch_begin */

  pthread_mutex_t in_lock; /* guards what follows */
  char *ahead;             /* NULL when there is no socket */
  size_t from, to;
  size_t window; /* how much of ahead may be used: AHEAD or AHEAD_OF_LARGE */
  size_t asked;  /* by the last read */
  unsigned requests; /* since the kernel was last asked for more */
  unsigned soon;     /* times in a row that the next one came soon after one */
  uint64_t read_at;  /* when ahead, and what came with it, did; 0: not known */

  _Alignas(64) pthread_mutex_t out_lock; /* guards what follows */
  char *held;
  size_t held_len;
  unsigned replies; /* whole ones in held */
  int error;        /* of a send that failed */
};

/* Of this thread: where it may have left something held, whose request it
 * serves, and when that came (batch_arrival); the bytes that it has zeroed for
 * an answer and not received anything into since, and whether its last read was
 * one of a header, and nobody has asked since (batch_still_zero).
 */
struct batch_thread {
  int holding;
  struct connection *serving;
  uint64_t arrival;
  const void *zeroes;
  size_t zeroes_len;
  bool has_header;
};
extern _Thread_local struct batch_thread batch_thread;

extern atomic_bool batch_is_serial;

/* The connection of a descriptor, or NULL. */
struct connection *batch_find (int fd);

/* Send what is held.  out_lock is held. */
bool batch_flush (struct connection *c, int fd, int flags);

static inline bool
is_settled (struct connection *c)
{
  return atomic_load_explicit (&c->settled, memory_order_relaxed);
}

static inline bool
try_lock (pthread_mutex_t *lock)
{
  return pthread_mutex_trylock (lock) == 0;
}

#endif /* NULLBLK_BATCH_INTERNAL_H */
