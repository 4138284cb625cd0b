/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The least that a server with latency can be: threads that read 28 bytes from
 * a socket one after another, wait, and answer with 4 KiB, and a client that
 * asks again for each answer.  No server with a thread for each request that
 * waits can be more exact on the same machine.
 *
 *   bare sleep|spin NSEC SECONDS DEPTH
 *
 * Prints the median and p99 of how late the threads were, in nanoseconds, and
 * how many answers the client got, in % of what arithmetic gives.  A sleep ends
 * earlier by the median of the lateness, as in plugin/common/clock.c.
 */

#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "common/common.h"

#define REQUEST 28
#define ANSWER 4112
#define STEP 500 /* by which the estimate of the median moves, in ns */

/* What the server tells the client. */
struct record {
  atomic_size_t n;
  uint64_t late[];
};

static struct {
  int fd;
  uint64_t nsec;
  bool spins;
  size_t most;
  struct record *record;
  atomic_uint_least64_t usual;
  pthread_mutex_t in, out;
} server = {.usual = 50000,
            .in = PTHREAD_MUTEX_INITIALIZER,
            .out = PTHREAD_MUTEX_INITIALIZER};

static int
compare (const void *a, const void *b)
{
  const uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

  return (x > y) - (x < y);
}

/* Wait, and return how late it is then, in ns. */
static uint64_t
wait_until (uint64_t until)
{
  const uint64_t usual = atomic_load (&server.usual);
  const uint64_t ahead = usual < server.nsec ? usual : server.nsec - 1;
  const uint64_t moment = until - (server.spins ? 0 : ahead);
  const struct timespec ts = {.tv_sec = (time_t) (moment / NSEC_PER_SEC),
                              .tv_nsec = (long) (moment % NSEC_PER_SEC)};
  uint64_t now;

  if (!server.spins)
    clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
  do
    now = clock_now ();
  while (server.spins && now < until);
  if (!server.spins)
    atomic_store (&server.usual, now - moment > usual ? usual + STEP
                                 : usual > STEP       ? usual - STEP
                                                      : 0);
  return now > until ? now - until : 0;
}

static void *
serve (void *unused)
{
  static const char answer[ANSWER];
  char request[REQUEST];
  uint64_t late;
  ssize_t r;
  size_t i;

  (void) unused;
#ifdef __linux__
  prctl (PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
#endif
  do {
    pthread_mutex_lock (&server.in);
    r = read (server.fd, request, REQUEST);
    pthread_mutex_unlock (&server.in);
    if (r != REQUEST)
      break;
    late = wait_until (clock_now () + server.nsec);
    i = atomic_fetch_add (&server.record->n, 1);
    if (i < server.most)
      server.record->late[i] = late;
    pthread_mutex_lock (&server.out);
    r = write (server.fd, answer, ANSWER);
    pthread_mutex_unlock (&server.out);
  } while (r == ANSWER);
  return NULL;
}

/* Serve until the client has gone. */
static void
run_server (unsigned depth)
{
  static pthread_t thread[1024];
  unsigned i;

  for (i = 0; i < depth; i++)
    if (pthread_create (&thread[i], NULL, serve, NULL) != 0)
      exit (EXIT_FAILURE);
  for (i = 0; i < depth; i++)
    pthread_join (thread[i], NULL);
}

/* Returns how many answers come in NSEC nanoseconds; 0 if the server has gone.
 */
static uint64_t
ask (int fd, unsigned depth, uint64_t nsec)
{
  static const char request[REQUEST];
  static char answers[64 * ANSWER];
  const uint64_t end = clock_now () + nsec;
  size_t due = depth, here = 0;
  uint64_t n = 0;
  ssize_t r;

  do {
    for (; due > 0; due--)
      if (write (fd, request, REQUEST) != REQUEST)
        return 0;
    r = read (fd, answers, sizeof answers);
    if (r <= 0)
      return 0;
    here += r;
    due = here / ANSWER;
    here %= ANSWER;
    n += due;
  } while (clock_now () < end);
  return n;
}

int
main (int argc, char *argv[])
{
  uint64_t seconds, n, answers;
  struct record *record;
  unsigned long depth;
  pid_t child;
  size_t size;
  int ends[2];

  if (argc != 5) {
    fprintf (stderr, "usage: bare sleep|spin NSEC SECONDS DEPTH\n");
    return EXIT_FAILURE;
  }
  server.spins = strcmp (argv[1], "spin") == 0;
  server.nsec = strtoull (argv[2], NULL, 10);
  seconds = strtoull (argv[3], NULL, 10);
  depth = strtoul (argv[4], NULL, 10);
  if (server.nsec == 0 || seconds == 0 || depth == 0 || depth > 1024)
    return EXIT_FAILURE;
  server.most = (seconds + 1) * NSEC_PER_SEC / server.nsec * depth;
  size = sizeof *record + server.most * sizeof record->late[0];
  record = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
  if (record == MAP_FAILED || socketpair (AF_UNIX, SOCK_STREAM, 0, ends) == -1)
    return EXIT_FAILURE;
  server.record = record;

  child = fork ();
  if (child == -1)
    return EXIT_FAILURE;
  if (child == 0) {
    close (ends[1]);
    server.fd = ends[0];
    run_server (depth);
    return EXIT_SUCCESS;
  }
  close (ends[0]);
  answers = ask (ends[1], depth, seconds * NSEC_PER_SEC);
  close (ends[1]);
  waitpid (child, NULL, 0);

  n = atomic_load (&record->n);
  if (n > server.most)
    n = server.most;
  if (answers == 0 || n == 0)
    return EXIT_FAILURE;
  qsort (record->late, n, sizeof record->late[0], compare);
  printf ("%llu %llu %.1f\n", (unsigned long long) record->late[n / 2],
          (unsigned long long) record->late[n * 99 / 100],
          100.0 * (double) answers * (double) server.nsec / 1e9 /
              (double) seconds / (double) depth);
  return EXIT_SUCCESS;
}
