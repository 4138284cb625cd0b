/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The lock that one thread owns; see ownedlock.h.
 */

#include <config.h>

#include <sched.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#endif

#include "lock.h"
#include "ownedlock.h"

#if defined SYS_membarrier && defined SYS_futex

/* After a fork a process may have to say so again, so each owner does. */
static bool
may_be_owned (void)
{
  return syscall (SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
                  0) == 0;
}

/* Once may_be_owned has returned true, only lack of memory can be in the way.
 */
static void
order_all_cpus (void)
{
  while (syscall (SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) == -1)
    sched_yield ();
}

static void
sleep_while_inside (struct owned_lock *l)
{
  syscall (SYS_futex, &l->inside, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

void
owned_lock_wake (struct owned_lock *l)
{
  syscall (SYS_futex, &l->inside, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#else

static bool
may_be_owned (void)
{
  return false;
}

static void
order_all_cpus (void)
{
}

static void
sleep_while_inside (struct owned_lock *l)
{
  (void) l;
}

void
owned_lock_wake (struct owned_lock *l)
{
  (void) l;
}

#endif

void
owned_lock_prepare (void)
{
  may_be_owned ();
}

void
owned_lock_init (struct owned_lock *l)
{
  atomic_init (&l->owner, 0);
  atomic_init (&l->inside, 0);
  atomic_init (&l->wanted, false);
  l->has_mutex = l->shared = false;
  pthread_mutex_init (&l->mutex, NULL);
}

void
owned_lock_destroy (struct owned_lock *l)
{
  pthread_mutex_destroy (&l->mutex);
}

/* Keep the owner out, who may be inside now.  The mutex is held. */
static void
keep_owner_out (struct owned_lock *l)
{
  atomic_store_explicit (&l->wanted, true, memory_order_relaxed);
  order_all_cpus ();
  while (atomic_load_explicit (&l->inside, memory_order_acquire) != 0)
    sleep_while_inside (l);
}

/* Let it be a mutex from now on.  One that still takes itself for the owner
 * finds it wanted.  The mutex is held.
 */
static void
share (struct owned_lock *l)
{
  l->shared = true;
  atomic_store_explicit (&l->owner, OWNED_BY_NOBODY, memory_order_relaxed);
}

void
owned_lock_by_mutex (struct owned_lock *l, bool by_owner)
{
  const uintptr_t self = (uintptr_t) pthread_self ();
  uintptr_t owner;

  lock (&l->mutex);
  owner = atomic_load_explicit (&l->owner, memory_order_relaxed);
  if (l->shared)
    ;
  else if (owner != 0 && owner != self) {
    keep_owner_out (l);
    if (by_owner)
      share (l);
  }
  else if (owner == 0 && by_owner) {
    if (may_be_owned ())
      atomic_store_explicit (&l->owner, self, memory_order_relaxed);
    else
      share (l);
  }
  l->has_mutex = true;
}

void
owned_unlock_mutex (struct owned_lock *l)
{
  l->has_mutex = false;
  if (!l->shared)
    atomic_store_explicit (&l->wanted, false, memory_order_release);
  unlock (&l->mutex);
}
