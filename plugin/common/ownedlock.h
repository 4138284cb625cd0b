/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A lock that one thread takes again and again, and others hardly ever: that
 * thread, the owner, takes it by one write to memory and one read, without an
 * instruction that waits for other CPUs.  In return, anybody else has the
 * kernel interrupt all CPUs that run a thread of this process.
 *
 *     owner                          another thread, with `mutex`
 *       inside = 1                     wanted = 1
 *       (the compiler's order only)    membarrier
 *       wanted?  if not, it has it     while inside: sleep
 *       ...                            ...
 *       inside = 0                     wanted = 0
 *       wanted?  if so, wake it        unlock the mutex
 *
 * A CPU may look at `wanted` before others see its `inside`.  But when the call
 * of membarrier is over, every CPU has passed a point where it had done all
 * that came before.  If the owner passed this point before its look at
 * `wanted`, it finds `wanted` set; if it passed the point after that look, the
 * other thread sees its `inside`.  An owner that finds the lock wanted takes
 * the mutex, as all others do.
 *
 * The owner is the first thread that takes the lock by owned_lock.  When
 * another thread does that, the lock is `shared` from there on, has no owner
 * any more, and `wanted` stays set: it is a mutex then.  So it is where the
 * kernel has no membarrier.
 */

#ifndef NULLBLK_OWNEDLOCK_H
#define NULLBLK_OWNEDLOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define OWNED_BY_NOBODY UINTPTR_MAX /* no thread's pthread_self */

struct owned_lock {
  _Atomic uintptr_t owner; /* pthread_self; 0: none yet; OWNED_BY_NOBODY */
  _Atomic uint32_t inside; /* has the owner taken it without the mutex? */
  atomic_bool wanted;
  bool has_mutex; /* its holder has it by the mutex; guarded by the lock */
  bool shared;    /* guarded by the mutex */
  pthread_mutex_t mutex;
};

/* Tell the kernel that this process uses such locks.  Each thread that becomes
 * an owner does so, too; that takes no time if this was called before there
 * were threads.
 */
void owned_lock_prepare (void);

void owned_lock_init (struct owned_lock *l);

/* Nobody may have the lock then. */
void owned_lock_destroy (struct owned_lock *l);

/* The slow paths of the functions below: take the lock by the mutex, and with
 * BY_OWNER become its owner, or make it shared; release the lock; and wake the
 * thread that waits for the owner to release it.
 */
void owned_lock_by_mutex (struct owned_lock *l, bool by_owner);
void owned_unlock_mutex (struct owned_lock *l);
void owned_lock_wake (struct owned_lock *l);

/* Take the lock, as one that takes it often. */
static inline void
owned_lock (struct owned_lock *l)
{
  if (atomic_load_explicit (&l->owner, memory_order_relaxed) ==
      (uintptr_t) pthread_self ()) {
    atomic_store_explicit (&l->inside, 1, memory_order_relaxed);
    atomic_signal_fence (memory_order_seq_cst);
    if (__builtin_expect (
            !atomic_load_explicit (&l->wanted, memory_order_acquire), 1))
      return;
    atomic_store_explicit (&l->inside, 0, memory_order_release);
    owned_lock_wake (l);
  }
  owned_lock_by_mutex (l, true);
}

/* Take the lock, as one that hardly ever does. */
static inline void
owned_lock_visit (struct owned_lock *l)
{
  owned_lock_by_mutex (l, false);
}

static inline void
owned_unlock (struct owned_lock *l)
{
  if (__builtin_expect (l->has_mutex, 0)) {
    owned_unlock_mutex (l);
    return;
  }
  atomic_store_explicit (&l->inside, 0, memory_order_release);
  atomic_signal_fence (memory_order_seq_cst);
  if (__builtin_expect (atomic_load_explicit (&l->wanted, memory_order_relaxed),
                        0))
    owned_lock_wake (l);
}

#endif /* NULLBLK_OWNEDLOCK_H */
