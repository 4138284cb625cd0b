/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The lock that keeps nobody out, where somebody has to wait; see fairlock.h.
 */

#include <config.h>

#include <assert.h>
#include <stddef.h>

#include "fairlock.h"

#define WAITERS FAIRLOCK_WAITERS
#define FAIR FAIRLOCK_FAIR
#define WRITER FAIRLOCK_WRITER
#define READER FAIRLOCK_READER

/* Guarded by fairlock.lock. */
struct fairlock_waiter {
  struct fairlock_waiter *next;
  bool shared;  /* a reader */
  bool granted; /* it holds the lock now */
  pthread_cond_t turn;
};

void
fairlock_init (struct fairlock *l)
{
  atomic_init (&l->state, 0);
  pthread_mutex_init (&l->lock, NULL);
  l->first = NULL;
}

void
fairlock_destroy (struct fairlock *l)
{
  assert (atomic_load (&l->state) == 0);
  pthread_mutex_destroy (&l->lock);
}

/* The static functions below are called with `lock` held. */

static bool
change (struct fairlock *l, uint32_t *from, uint32_t to)
{
  return atomic_compare_exchange_strong_explicit (
      &l->state, from, to, memory_order_acq_rel, memory_order_relaxed);
}

/* WAITERS if somebody is in the queue besides WHO. */
static uint32_t
others (const struct fairlock *l, const struct fairlock_waiter *who)
{
  return l->first != who || who->next != NULL ? WAITERS : 0;
}

/* Is it free by now?  Take it, or announce that somebody waits. */
static bool
take_or_announce (struct fairlock *l, bool shared)
{
  uint32_t s = atomic_load_explicit (&l->state, memory_order_relaxed), to;
  bool is_free;

  do {
    is_free = shared ? s % READER == 0 : (s & ~WAITERS) == 0;
    to = !is_free ? s | WAITERS : shared ? s + READER : s | WRITER;
  } while (!change (l, &s, to));
  return is_free;
}

static void
enqueue (struct fairlock *l, struct fairlock_waiter *me)
{
  struct fairlock_waiter **p = &l->first;

  while (*p != NULL)
    p = &(*p)->next;
  me->next = NULL;
  *p = me;
}

static void
dequeue (struct fairlock *l, struct fairlock_waiter *who)
{
  struct fairlock_waiter **p = &l->first;

  while (*p != who)
    p = &(*p)->next;
  *p = who->next;
}

/* A writer was woken.  Take the lock if it is free, or have its next holder
 * hand it to the first in the queue.
 */
static bool
take_or_insist (struct fairlock *l, struct fairlock_waiter *me)
{
  uint32_t s = atomic_load_explicit (&l->state, memory_order_relaxed);

  for (;;) {
    if (s == WAITERS) {
      if (change (l, &s, WRITER | others (l, me))) {
        dequeue (l, me);
        return true;
      }
    }
    else if ((s & FAIR) != 0 || change (l, &s, s | FAIR))
      return false;
  }
}

void
fairlock_wait (struct fairlock *l, bool shared)
{
  struct fairlock_waiter me = {.shared = shared};

  pthread_mutex_lock (&l->lock);
  if (!take_or_announce (l, shared)) {
    pthread_cond_init (&me.turn, NULL);
    enqueue (l, &me);
    do {
      pthread_cond_wait (&me.turn, &l->lock);
    } while (!me.granted && (shared || !take_or_insist (l, &me)));
    pthread_cond_destroy (&me.turn);
  }
  pthread_mutex_unlock (&l->lock);
}

static void
grant (struct fairlock *l, struct fairlock_waiter *who)
{
  dequeue (l, who);
  who->granted = true;
  pthread_cond_signal (&who->turn);
}

/* The first waiter in the queue that wants to read, or to write; NULL if there
 * is none.
 */
static struct fairlock_waiter *
find (const struct fairlock *l, bool shared)
{
  struct fairlock_waiter *w = l->first;

  while (w != NULL && w->shared != shared)
    w = w->next;
  return w;
}

void
fairlock_pass_from_writer (struct fairlock *l)
{
  struct fairlock_waiter *w;
  uint32_t s, readers = 0;

  pthread_mutex_lock (&l->lock);
  s = atomic_load_explicit (&l->state, memory_order_relaxed);
  while ((w = find (l, true)) != NULL) {
    readers += READER;
    grant (l, w);
  }
  w = l->first;
  if (readers > 0)
    s = readers | (w != NULL ? WAITERS | (s & FAIR) : 0);
  else if ((s & FAIR) != 0) {
    s = WRITER | others (l, w);
    grant (l, w);
  }
  else {
    s = WAITERS;
    pthread_cond_signal (&w->turn);
  }
  atomic_store_explicit (&l->state, s, memory_order_release);
  pthread_mutex_unlock (&l->lock);
}

/* A writer may have taken it since, and passes it on or has done so.  Nobody
 * queues to read but behind a writer.
 */
void
fairlock_pass_from_readers (struct fairlock *l)
{
  struct fairlock_waiter *w;
  uint32_t s;

  pthread_mutex_lock (&l->lock);
  s = atomic_load_explicit (&l->state, memory_order_relaxed);
  while ((s & WAITERS) != 0 && s < WRITER) {
    w = find (l, false);
    assert (w != NULL);
    if (change (l, &s, WRITER | others (l, w))) {
      grant (l, w);
      break;
    }
  }
  pthread_mutex_unlock (&l->lock);
}

unsigned
fairlock_queued (struct fairlock *l)
{
  const struct fairlock_waiter *w;
  unsigned r = 0;

  pthread_mutex_lock (&l->lock);
  for (w = l->first; w != NULL; w = w->next)
    r++;
  pthread_mutex_unlock (&l->lock);
  return r;
}
