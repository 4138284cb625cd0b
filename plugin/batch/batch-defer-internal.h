/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A deferred reply, or a request that was set aside, and what the files share
 * that defer; batch-defer.c has the drawing.  out_lock is held wherever nothing
 * else is said.  Each file calls only those below it:
 *
 *     batch-defer.c     from the device's promise to the reply
 *     batch-aside.c     requests that are set aside
 *     batch-waiting.c   those that wait, and their room
 *
 * Nobody else includes this.
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
  struct deferred *next; /* of those that are idle */
  uint64_t deadline, spin;
  batch_due *due;

  /* Of a request that was set aside. */
  batch_turn *turn; /* until its turn is over; NULL: none is to come */
  struct batch_socket *connection;
  struct deferred *next_hastened;
  atomic_bool is_hastened; /* it is among those */

  char *reply;
  size_t len, room;
  _Alignas(max_align_t) char request[MAX_REQUEST_COPY];
};

/*---------------------------------------------------------------------*/
/* batch-waiting.c */

void deferred_put_in (struct batch_socket *c, struct deferred *d);
struct deferred *deferred_take_first (struct batch_socket *c);

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

/* Move those forward that have been hastened.  One that is not in the heap, as
 * its reply is still being given, is put in with its new deadline; one whose
 * turn is over has been hastened in vain.
 */
void aside_take_hastened (struct batch_socket *c);

/* A request that was set aside is tried again.  Returns whether it is due now;
 * otherwise it waits again.
 */
bool aside_take_turn (struct batch_socket *c, struct deferred *d);

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
