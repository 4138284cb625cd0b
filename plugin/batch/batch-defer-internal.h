/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A deferred reply, or a request that was set aside, and what the files share
 * that defer; batch-defer.c has the drawing.  out_lock is held wherever nothing
 * else is said.  batch-defer.c, batch-aside.c and batch-waiting.c include this,
 * and nobody else.
 */

#ifndef NULLBLK_BATCH_DEFER_INTERNAL_H
#define NULLBLK_BATCH_DEFER_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch-internal.h"

/* The most bytes that the headers of a reply take, or an error in its place. */
#define HEADERS 64

/* The most bytes of the device's request that are copied (batch_defer). */
#define MAX_REQUEST_COPY 256

struct deferred {
  struct deferred *next; /* of those that are idle, or ready */
  uint64_t deadline, spin;
  batch_due *due;
  unsigned place; /* in the heap that it is in */

  /* Of a request that was set aside. */
  batch_turn *turn; /* until its turn is over; NULL: none is to come */
  bool is_ready;    /* to be tried now */
  struct batch_socket *connection;
  struct deferred *next_hastened;
  atomic_bool is_hastened; /* it is among those */

  char *reply;
  size_t len, room;
  _Alignas(max_align_t) char request[MAX_REQUEST_COPY];
};

/*---------------------------------------------------------------------*/
/* batch-waiting.c */

/* Have D wait for what it is to wait for: its time, being hastened, or its
 * thread.
 */
void deferred_put_in (struct batch_socket *c, struct deferred *d);

/* A request that is set aside is ready.  Where its reply is still being given
 * it will be so when it is put in.
 */
void deferred_make_ready (struct batch_socket *c, struct deferred *d);

/* Take the reply that is due first; what has been ready for longest; any of
 * all.  There has to be one.
 */
struct deferred *deferred_take_first (struct batch_socket *c);
struct deferred *deferred_take_ready (struct batch_socket *c);
struct deferred *deferred_take_any (struct batch_socket *c);

/* When the first is due; UINT64_MAX if there is none. */
uint64_t deferred_first (const struct heap *h);

/* Make the buffer of a reply N bytes long, unless it has as many already; what
 * is in it stays.  Where there is no room or no memory, returns false, and D is
 * as it was.
 */
bool deferred_grow (struct batch_socket *c, struct deferred *d, size_t n);

/* Give back what a payload took. */
void deferred_shrink (struct batch_socket *c, struct deferred *d);

/* Take one that can be used, where DEPTH may wait.  NULL: there is no memory.
 */
struct deferred *deferred_take_idle (struct batch_socket *c, unsigned depth);
void deferred_make_idle (struct batch_socket *c, struct deferred *d);

/*---------------------------------------------------------------------*/
/* batch-aside.c */

/* Those that have been hastened are ready, except those whose turn is over. */
void aside_take_hastened (struct batch_socket *c);

/* The first request that is ready is tried.  It then waits for its time, which
 * may have come, or again.  Returns the bytes of its payload, about.
 */
size_t aside_take_turn (struct batch_socket *c);

/* Those whose time is up are ready, if all that had come by then has been read,
 * and in_lock is held.  Returns whether there is more of that to read.  If
 * nothing can be read (IS_FULL), the first of them is ready.
 */
bool aside_give_up (struct batch_socket *c, bool is_full);

/* Can another thread wake the one that serves C?  No lock is needed. */
bool aside_can_be_woken (struct batch_socket *c);

/* Whoever woke it has been heard.  No lock is needed. */
void aside_clear_wake (const struct batch_socket *c);

/* D is to be tried at UNTIL, with a copy of the N bytes at PAYLOAD, for which
 * its buffer has room.
 */
void aside_begin (struct batch_socket *c, struct deferred *d, uint64_t until,
                  batch_turn *turn, const void *payload, size_t n);

#endif /* NULLBLK_BATCH_DEFER_INTERNAL_H */
