/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Lock a mutex, and unlock it.  Neither can fail unless the program is wrong:
 * every mutex is initialised, and only its holder unlocks it.
 */

#ifndef NULLBLK_LOCK_H
#define NULLBLK_LOCK_H

#include <assert.h>
#include <pthread.h>

static inline void
lock (pthread_mutex_t *mutex)
{
  int r = pthread_mutex_lock (mutex);

  assert (r == 0);
  (void) r;
}

static inline void
unlock (pthread_mutex_t *mutex)
{
  int r = pthread_mutex_unlock (mutex);

  assert (r == 0);
  (void) r;
}

#endif /* NULLBLK_LOCK_H */
