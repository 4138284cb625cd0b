/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A fair reader-writer lock.  The C library's locks prefer readers, and then a
 * stream of readers can keep writers out for ever, or prefer writers, and then
 * writers can keep readers out.
 *
 *     state     | readers, 29 bits | WRITER | FAIR | WAITERS |
 *     waiting   first -> writer -> reader -> writer       on their stacks
 *
 * One word says how many readers, or a writer, hold the lock, and a thread that
 * takes a free lock changes only that word.  A thread that finds the lock taken
 * queues, and sets WAITERS; then
 *
 *   - a reader that comes queues, too, even while readers hold it: the writer's
 *     turn is next;
 *   - a writer that lets go gives it to all readers that wait by then;
 *   - the last reader that lets go gives it to the writer that has waited
 *     longest;
 *   - a writer that lets go where only writers wait leaves it free and wakes
 *     the one that has waited longest.  Another writer may take the lock before
 *     that wakes, which spares it a sleep; but if the woken writer comes too
 *     late, it sets FAIR, and then the next writer to hold the lock is the one
 *     that has waited longest.
 *
 * So a reader waits for at most one writer that came after it.  A writer waits
 * for those that came before it, and for readers that came after it while
 * another writer held the lock.  Later writers may take the lock before it
 * until it has woken, and after that at most one that holds the lock at that
 * moment.
 *
 * Only the holder changes the word from "taken" to anything else.  WAITERS and
 * FAIR are set, and the queue is changed, with `lock` held, which is needed
 * only where somebody waits.
 */

#ifndef NULLBLK_FAIRLOCK_H
#define NULLBLK_FAIRLOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FAIRLOCK_WAITERS UINT32_C (1)
#define FAIRLOCK_FAIR UINT32_C (2)
#define FAIRLOCK_WRITER UINT32_C (4)
#define FAIRLOCK_READER UINT32_C (8) /* each */

struct fairlock_waiter;

struct fairlock {
  _Atomic uint32_t state;
  pthread_mutex_t lock; /* guards the queue */
  struct fairlock_waiter *first;
};

void fairlock_init (struct fairlock *l);

/* Destroy a lock that nobody has. */
void fairlock_destroy (struct fairlock *l);

/* The slow paths of the functions below: take a lock that is not free; let go
 * of one for which others may wait; and hand it on after the last reader let
 * go.
 */
void fairlock_wait (struct fairlock *l, bool shared);
void fairlock_pass_from_writer (struct fairlock *l);
void fairlock_pass_from_readers (struct fairlock *l);

/* How many are in the queue, for tests.  Takes the lock's `lock`. */
unsigned fairlock_queued (struct fairlock *l);

/* Take the lock to read. */
static inline void
fairlock_shared (struct fairlock *l)
{
  uint32_t s = atomic_load_explicit (&l->state, memory_order_relaxed);

  while ((s & (FAIRLOCK_READER - 1)) == 0) {
    if (atomic_compare_exchange_weak_explicit (
            &l->state, &s, s + FAIRLOCK_READER, memory_order_acquire,
            memory_order_relaxed))
      return;
  }
  fairlock_wait (l, true);
}

/* Take the lock to write. */
static inline void
fairlock_exclusive (struct fairlock *l)
{
  uint32_t s = atomic_load_explicit (&l->state, memory_order_relaxed);

  while ((s & ~FAIRLOCK_WAITERS) == 0) {
    if (atomic_compare_exchange_weak_explicit (
            &l->state, &s, s | FAIRLOCK_WRITER, memory_order_acquire,
            memory_order_relaxed))
      return;
  }
  fairlock_wait (l, false);
}

/* Let go. */
static inline void
fairlock_release (struct fairlock *l)
{
  uint32_t s = atomic_load_explicit (&l->state, memory_order_relaxed);

  if ((s & FAIRLOCK_WRITER) != 0) {
    if (s != FAIRLOCK_WRITER ||
        !atomic_compare_exchange_strong_explicit (
            &l->state, &s, 0, memory_order_release, memory_order_relaxed))
      fairlock_pass_from_writer (l);
    return;
  }
  s = atomic_fetch_sub_explicit (&l->state, FAIRLOCK_READER,
                                 memory_order_release) -
      FAIRLOCK_READER;
  if (s != 0 && s < FAIRLOCK_READER)
    fairlock_pass_from_readers (l);
}

#endif /* NULLBLK_FAIRLOCK_H */
