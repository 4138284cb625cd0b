/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Waiting: for the aide, for the queues, and for a signal that ends the device.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "bridge-internal.h"

/* How many seconds without the end of a request the server is waited for, while
 * the device is made and while it ends.
 */
#define MAX_SILENCE_SECONDS 120

void
bridge_pause (void)
{
  const struct timespec pause = {.tv_nsec = 1000000000 / CHECKS_A_SECOND};

  nanosleep (&pause, NULL);
}

unsigned
bridge_seconds_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

bool
bridge_is_to_end (struct bridge *b)
{
  struct signalfd_siginfo info;
  bool r = false;

  while (read (b->signals, &info, sizeof info) == sizeof info)
    r = true;
  return r;
}

/* Returns how many requests have ended so far, with success or without. */
static uint64_t
count_ended (const struct bridge *b)
{
  uint64_t reads = 0, writes = 0, discards = 0, flushes = 0;
  char path[64];
  FILE *fp;

  snprintf (path, sizeof path, "/sys/block/%s/stat", b->name);
  fp = fopen (path, "re");
  if (fp == NULL)
    return 0;
  if (fscanf (fp,
              "%" SCNu64 " %*u %*u %*u %" SCNu64 " %*u %*u %*u %*u %*u %*u"
              " %" SCNu64 " %*u %*u %*u %" SCNu64,
              &reads, &writes, &discards, &flushes) < 2)
    reads = 0;
  fclose (fp);
  return reads + writes + discards + flushes;
}

void
bridge_give_up (struct bridge *b)
{
  unsigned i;

  b->has_given_up = true;
  for (i = 0; i < MAX_QUEUES; i++) {
    if (b->queues[i] != NULL) {
      queue_give_up (b->queues[i]);
      continue;
    }
    connection_break (b->connections[i].data);
    connection_break (b->connections[i].zones);
    connection_break (b->connections[i].config);
  }
}

static void
count_queues (struct bridge *b)
{
  uint64_t n;

  if (read (b->device.ended, &n, sizeof n) == sizeof n)
    b->queues_ended += n;
}

bool
bridge_await (struct bridge *b, int fd, unsigned silence,
              bool (*is_done) (struct bridge *b))
{
  struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
                         {.fd = b->signals, .events = POLLIN}};
  uint64_t ended = count_ended (b), now_ended;
  unsigned last = bridge_seconds_now (), now;

  while (!is_done (b)) {
    poll (fds, 2, 1000);
    now = bridge_seconds_now ();
    now_ended = count_ended (b);
    if (now_ended != ended)
      last = now;
    ended = now_ended;
    if ((bridge_is_to_end (b) && now - last >= silence) ||
        now - last > MAX_SILENCE_SECONDS) {
      if (!b->has_given_up)
        last = now;
      bridge_give_up (b);
    }
    if (b->has_given_up && now - last > SETUP_PATIENCE)
      return false;
  }
  return true;
}

static bool
aide_is_done (struct bridge *b)
{
  struct pollfd fds = {.fd = aide_fd (b->aide), .events = POLLIN};

  return poll (&fds, 1, 0) > 0;
}

int
bridge_have_done (struct bridge *b, enum aide_task task, unsigned silence,
                  bool *lost_data)
{
  if (b->is_stuck)
    return -ETIMEDOUT;
  aide_begin (b->aide, task, b->number);
  b->is_stuck = !bridge_await (b, aide_fd (b->aide), silence, aide_is_done);
  return b->is_stuck ? -ETIMEDOUT : aide_result (b->aide, lost_data);
}

bool
bridge_queues_are_done (struct bridge *b)
{
  count_queues (b);
  return b->queues_ended >= b->queues_begun;
}

bool
bridge_wait (struct bridge *b)
{
  struct pollfd fds[] = {{.fd = b->device.ended, .events = POLLIN},
                         {.fd = b->signals, .events = POLLIN}};

  for (;;) {
    poll (fds, 2, -1);
    count_queues (b);
    if (b->queues_ended > 0)
      return false;
    if (bridge_is_to_end (b))
      return true;
  }
}
