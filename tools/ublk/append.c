/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Where appends go; see append.h.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "append.h"

/* Zones share locks, by their number. */
#define STRIPES 64

/* All 0 at first, so that a zone that takes no append costs no memory. */
struct zone {
  uint64_t pointer, end;
  struct append *last; /* the last that waits; its next is the first */
  struct append *sent; /* those in flight, in a list */
  unsigned in_flight;
  bool is_known;
  bool is_read;    /* an append is reading the descriptor */
  bool has_failed; /* of the appends sent since that was read, some failed */
  uint64_t failed; /* the least offset to which one of these was sent */
};

struct appends {
  uint64_t nr_zones;
  unsigned depth;
  pthread_mutex_t locks[STRIPES];
  struct zone zones[];
};

struct appends *
appends_create (uint64_t nr_zones, unsigned depth)
{
  struct appends *a;
  unsigned i;

  a = calloc (1, sizeof *a + nr_zones * sizeof a->zones[0]);
  if (a == NULL)
    return NULL;
  a->nr_zones = nr_zones;
  a->depth = depth;
  for (i = 0; i < STRIPES; i++)
    pthread_mutex_init (&a->locks[i], NULL);
  return a;
}

void
appends_destroy (struct appends *a)
{
  unsigned i;

  if (a == NULL)
    return;
  for (i = 0; i < STRIPES; i++)
    pthread_mutex_destroy (&a->locks[i]);
  free (a);
}

static struct zone *
lock (struct appends *a, uint64_t zone)
{
  pthread_mutex_lock (&a->locks[zone % STRIPES]);
  return &a->zones[zone];
}

static void
unlock (struct appends *a, uint64_t zone)
{
  pthread_mutex_unlock (&a->locks[zone % STRIPES]);
}

/*---------------------------------------------------------------------*/
/* Appends that wait.  All these functions are called with the zone locked. */

static void
add_waiting (struct zone *z, struct append *append)
{
  if (z->last == NULL)
    append->next = append;
  else {
    append->next = z->last->next;
    z->last->next = append;
  }
  z->last = append;
}

static struct append *
take_waiting (struct zone *z)
{
  struct append *first = z->last->next;

  if (first == z->last)
    z->last = NULL;
  else
    z->last->next = first->next;
  return first;
}

static bool
may_send (const struct appends *a, const struct zone *z,
          const struct append *append)
{
  return z->is_known &&
         (z->sent == NULL || (z->sent->connection == append->connection &&
                              z->in_flight < a->depth));
}

/* It is the append's turn: it goes to where the pointer is, if there is room.
 */
static void
send_append (struct zone *z, struct append *append)
{
  if (append->count > z->end - z->pointer) {
    append->turn = APPEND_REFUSED;
    return;
  }
  append->offset = z->pointer;
  z->pointer += append->count;
  z->in_flight++;
  append->sent = z->sent;
  z->sent = append;
  append->turn = APPEND_GOES;
}

static void
take_sent (struct zone *z, const struct append *append)
{
  struct append **p = &z->sent;

  while (*p != append)
    p = &(*p)->sent;
  *p = append->sent;
  z->in_flight--;
}

/* Is the append sent again, as it may have failed only because one in front of
 * it has failed, or was served after it?  A server that finds a write at the
 * wrong offset has two errors for that; any other error is about the append
 * itself.
 */
static bool
goes_again (const struct zone *z, const struct append *append, int err)
{
  const struct append *p;

  if (err != -EIO && err != -EINVAL)
    return false;
  if (z->has_failed && z->failed < append->offset)
    return true;
  for (p = z->sent; p != NULL; p = p->sent) {
    if (p->offset < append->offset)
      return true;
  }
  return false;
}

static bool
must_read (const struct zone *z)
{
  return !z->is_known && !z->is_read && z->sent == NULL;
}

static void
let_read (struct zone *z, struct append *append)
{
  z->is_read = true;
  append->turn = APPEND_READS;
}

/* Set *LAST to a list of all appends that need not wait any longer. */
static void
release (struct appends *a, struct zone *z, struct append **last)
{
  while (z->last != NULL && (may_send (a, z, z->last->next) || must_read (z))) {
    *last = take_waiting (z);
    if (z->is_known)
      send_append (z, *last);
    else
      let_read (z, *last);
    last = &(*last)->next;
  }
  *last = NULL;
}

/*---------------------------------------------------------------------*/

struct append *
appends_begin (struct appends *a, struct append *append)
{
  const uint64_t zone = append->zone;
  struct zone *z = lock (a, zone);
  struct append *now = append;

  append->next = NULL;
  if (z->last == NULL && may_send (a, z, append))
    send_append (z, append);
  else if (z->last == NULL && must_read (z))
    let_read (z, append);
  else {
    add_waiting (z, append);
    now = NULL;
  }
  unlock (a, zone);
  return now;
}

struct append *
appends_learn (struct appends *a, struct append *append, bool is_known,
               uint64_t pointer, uint64_t end)
{
  const uint64_t zone = append->zone;
  struct zone *z = lock (a, zone);

  z->is_read = false;
  z->has_failed = false;
  if (is_known) {
    z->is_known = true;
    z->pointer = pointer;
    z->end = end;
    send_append (z, append);
  }
  else
    append->turn = APPEND_REFUSED;
  release (a, z, &append->next);
  unlock (a, zone);
  return append;
}

struct append *
appends_end (struct appends *a, struct append *append, int err, bool *is_over)
{
  const uint64_t zone = append->zone;
  struct zone *z = lock (a, zone);
  struct append *released;

  take_sent (z, append);
  *is_over = true;
  if (err != 0) {
    *is_over = !goes_again (z, append, err);
    if (!z->has_failed || z->failed > append->offset)
      z->failed = append->offset;
    z->has_failed = true;
    z->is_known = false;
    if (!*is_over)
      add_waiting (z, append);
  }
  release (a, z, &released);
  unlock (a, zone);
  return released;
}

void
appends_note_write (struct appends *a, uint64_t zone, uint64_t end)
{
  struct zone *z = lock (a, zone);

  if (z->is_known && z->pointer < end)
    z->pointer = end < z->end ? end : z->end;
  unlock (a, zone);
}

void
appends_forget (struct appends *a, uint64_t zone)
{
  struct zone *z = lock (a, zone);

  if (z->is_known) /* a zone that takes no append must not cost memory */
    z->is_known = false;
  unlock (a, zone);
}

void
appends_forget_all (struct appends *a)
{
  uint64_t i;

  for (i = 0; i < a->nr_zones; i++)
    appends_forget (a, i);
}
