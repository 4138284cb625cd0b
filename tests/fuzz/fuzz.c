/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The world of a fuzzer; see fuzz.h.  The linker puts these functions in the
 * place of the C library's (--wrap).
 */

#include <config.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <time.h>

#include "fuzz.h"

uint64_t fuzz_now;
bool (*fuzz_others) (void);
const uint8_t *fuzz_file;
size_t fuzz_file_len;

/* Memory that was freed is kept for as long as an input takes, not for a
 * thousand more, which would all come anew from the system; nor does the shadow
 * of large pieces go back to the system each time.  Who took a piece of memory
 * is of interest only once there is a finding: run its input with
 * ASAN_OPTIONS=malloc_context_size=30.
 */
const char *__asan_default_options (void);
const char *
__asan_default_options (void)
{
  return "malloc_context_size=1:quarantine_size_mb=4:"
         "thread_local_quarantine_size_kb=64:"
         "clear_shadow_mmap_threshold=16777216";
}

void
fuzz_begin (void)
{
  fuzz_now = 1000 * NSEC_PER_SEC;
  fuzz_others = NULL;
  fuzz_file = NULL;
  fuzz_file_len = 0;
}

static void
pass_until (const struct timespec *moment)
{
  const uint64_t nsec =
      (uint64_t) moment->tv_sec * NSEC_PER_SEC + (uint64_t) moment->tv_nsec;

  if (nsec > fuzz_now)
    fuzz_now = nsec;
}

int __wrap_clock_gettime (clockid_t clock, struct timespec *now);
int
__wrap_clock_gettime (clockid_t clock, struct timespec *now)
{
  (void) clock;
  fuzz_now += 100;
  now->tv_sec = (time_t) (fuzz_now / NSEC_PER_SEC);
  now->tv_nsec = (long) (fuzz_now % NSEC_PER_SEC);
  return 0;
}

int __wrap_clock_nanosleep (clockid_t clock, int flags,
                            const struct timespec *moment,
                            struct timespec *left);
int
__wrap_clock_nanosleep (clockid_t clock, int flags,
                        const struct timespec *moment, struct timespec *left)
{
  (void) clock;
  (void) left;
  CHECK (flags == TIMER_ABSTIME);
  pass_until (moment);
  return 0;
}

int __wrap_pthread_cond_timedwait (pthread_cond_t *cond, pthread_mutex_t *lock,
                                   const struct timespec *moment);
int
__wrap_pthread_cond_timedwait (pthread_cond_t *cond, pthread_mutex_t *lock,
                               const struct timespec *moment)
{
  (void) cond;
  (void) lock;
  pass_until (moment);
  return ETIMEDOUT;
}

int __wrap_pthread_cond_wait (pthread_cond_t *cond, pthread_mutex_t *lock);
int
__wrap_pthread_cond_wait (pthread_cond_t *cond, pthread_mutex_t *lock)
{
  (void) cond;
  pthread_mutex_unlock (lock);
  CHECK (fuzz_others != NULL && fuzz_others ());
  pthread_mutex_lock (lock);
  return 0;
}

int __wrap_textfile_read (const char *path, size_t most, char **text,
                          size_t *len, struct message *why);
int
__wrap_textfile_read (const char *path, size_t most, char **text, size_t *len,
                      struct message *why)
{
  const size_t n = strlen (path);

  if (fuzz_file == NULL || n == 0 || path[n - 1] != 'F' ||
      fuzz_file_len > most) {
    message_set (why, "%s", strerror (ENOENT));
    return -EINVAL;
  }
  *text = malloc (fuzz_file_len + 1);
  CHECK (*text != NULL);
  memcpy (*text, fuzz_file, fuzz_file_len);
  (*text)[fuzz_file_len] = '\0';
  *len = fuzz_file_len;
  return 0;
}

/* The same files, by a name that is absolute. */
char *__wrap_realpath (const char *path, char *resolved);
char *
__wrap_realpath (const char *path, char *resolved)
{
  const size_t n = strlen (path);

  if (n == 0 || n >= PATH_MAX - 1) {
    errno = n == 0 ? ENOENT : ENAMETOOLONG;
    return NULL;
  }
  if (resolved == NULL)
    resolved = malloc (PATH_MAX);
  CHECK (resolved != NULL);
  resolved[0] = '/';
  strcpy (resolved + (path[0] != '/'), path);
  return resolved;
}
