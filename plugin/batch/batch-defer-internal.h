/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A deferred reply, or a request that was set aside, and functions for these;
 * batch-defer.c has the diagram.  out_lock is held for a function unless its
 * comment says otherwise.  Only batch-defer.c, batch-aside.c and
 * batch-waiting.c include this.
 */

#ifndef NULLBLK_BATCH_DEFER_INTERNAL_H
#define NULLBLK_BATCH_DEFER_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch-internal.h"
#include "device/device.h"

/* The most bytes of a reply without its data, or of an error in its place. */
#define MAX_REPLY_HEADERS 64

struct deferred {
  struct deferred *next; /* in the list `idle` or `ready` */
  uint64_t due_at, spin;
  batch_due *due;
  unsigned place; /* in the heap that it is in */

  /* For a request that was set aside. */
  batch_retry *retry; /* NULL once its last try is over */
  bool is_ready;      /* it is to be tried now */
  struct batch_socket *connection;
  struct deferred *next_hastened;
  atomic_bool is_hastened; /* it is in the list `hastened` */

  char *reply;
  size_t len, room;
  _Alignas(max_align_t) char request[MAX_REQUEST_COPY];
};

/*---------------------------------------------------------------------*/
/* batch-waiting.c */

/* Put D into the heap or list in which it belongs: `waiting`, `aside` or
 * `ready`.
 */
void deferred_put_in (struct batch_socket *c, struct deferred *d);

/* Make a request that is set aside ready.  If nbdkit is still giving its reply,
 * the request becomes ready when that is complete.
 */
void deferred_make_ready (struct batch_socket *c, struct deferred *d);

/* Take out the reply that is due first, the request that has been ready
 * longest, or any of all.  There has to be one.
 */
struct deferred *deferred_take_first (struct batch_socket *c);
struct deferred *deferred_take_ready (struct batch_socket *c);
struct deferred *deferred_take_any (struct batch_socket *c);

/* Returns the first moment of a heap; UINT64_MAX if it is empty. */
uint64_t heap_first_moment (const struct heap *h);

/* Make the buffer of a reply at least N bytes long, and keep its content.
 * Returns false, with D as it was, where there is no room or no memory.
 */
bool deferred_grow (struct batch_socket *c, struct deferred *d, size_t n);

/* Give back the memory of a payload. */
void deferred_shrink (struct batch_socket *c, struct deferred *d);

/* Take a struct that is not in use, where DEPTH may wait.  Returns NULL if
 * there is no memory.
 */
struct deferred *deferred_take_idle (struct batch_socket *c, unsigned depth);
void deferred_make_idle (struct batch_socket *c, struct deferred *d);

/*---------------------------------------------------------------------*/
/* batch-aside.c */

/* Make all requests ready that have been hastened, except those whose last try
 * is over.
 */
void aside_take_hastened (struct batch_socket *c);

/* Try the first request that is ready.  After that it waits until it is due,
 * or to be hastened again.  Returns about how many bytes its payload has.
 */
size_t aside_retry (struct batch_socket *c);

/* Make the requests ready whose time is up, if all bytes that had come by then
 * have been read.  in_lock is held, too.  Returns whether such bytes are still
 * to be read.  If nothing can be read (IS_FULL), the first request whose time
 * is up becomes ready without that.
 */
bool aside_last_try (struct batch_socket *c, bool is_full);

/* Can another thread wake the one that serves C?  No lock is needed. */
bool aside_can_be_woken (struct batch_socket *c);

/* Reset the eventfd by which other threads wake the one that serves C.  No lock
 * is needed.
 */
void aside_clear_wake (const struct batch_socket *c);

/* Set D aside, to be tried at UNTIL at the latest, with a copy of the N bytes
 * at PAYLOAD, for which its buffer has room.
 */
void aside_begin (struct batch_socket *c, struct deferred *d, uint64_t until,
                  batch_retry *retry, const void *payload, size_t n);

#endif /* NULLBLK_BATCH_DEFER_INTERNAL_H */
