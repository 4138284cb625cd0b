/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Reconnecting; see reconnect.h.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "link.h"
#include "reconnect.h"

/* The pause between two rounds of attempts, even if the first has succeeded: a
 * server may take connections only to drop them.
 */
#define PAUSE_MS 200

/* How long it may take to connect to a server; if it takes longer, the server
 * counts as away.
 */
#define ANSWER_SECONDS 10

struct reconnector {
  struct export export; /* a copy, with less patience */
  struct queue *const *queues;
  unsigned count;
  int disconnected;
  int end; /* an eventfd, which is 1 when the thread is to end */
  pthread_t thread;
};

static bool
are_some_disconnected (const struct reconnector *r)
{
  unsigned i;

  for (i = 0; i < r->count; i++) {
    if (queue_is_disconnected (r->queues[i]))
      return true;
  }
  return false;
}

/* Connect the queues that wait for that, one after the other, until the server
 * does not take another connection.
 */
static void
connect_queues (struct reconnector *r)
{
  struct queue_connections connections;
  struct message ignored;
  unsigned i;

  for (i = 0; i < r->count; i++) {
    if (!queue_is_disconnected (r->queues[i]))
      continue;
    if (export_connect (&r->export, &connections, &ignored) < 0)
      return;
    queue_renew (r->queues[i], &connections);
  }
}

static void *
run (void *arg)
{
  struct reconnector *r = arg;
  struct pollfd fds[] = {{.fd = r->end, .events = POLLIN},
                         {.fd = r->disconnected, .events = POLLIN}};
  bool some = false;
  uint64_t n;

  /* After a round, the thread pauses: only `end` can wake it. */
  while (poll (fds, some ? 1 : 2, some ? PAUSE_MS : -1) != -1 ||
         errno == EINTR) {
    if ((fds[0].revents & POLLIN) != 0)
      break;
    if (read (r->disconnected, &n, sizeof n) == -1 && errno != EAGAIN)
      break;
    some = are_some_disconnected (r);
    if (some)
      connect_queues (r);
  }
  return NULL;
}

struct reconnector *
reconnector_start (const struct export *export, struct queue *const *queues,
                   unsigned count, int disconnected)
{
  struct reconnector *r = calloc (1, sizeof *r);

  if (r == NULL)
    return NULL;
  r->export = *export;
  r->export.patience = ANSWER_SECONDS;
  r->queues = queues;
  r->count = count;
  r->disconnected = disconnected;
  r->end = eventfd (0, EFD_CLOEXEC);
  if (r->end != -1) {
    errno = pthread_create (&r->thread, NULL, run, r);
    if (errno == 0)
      return r;
    close (r->end);
  }
  free (r);
  return NULL;
}

void
reconnector_stop (struct reconnector *r)
{
  if (r == NULL)
    return;
  connection_open_no_more ();
  eventfd_write (r->end, 1);
  pthread_join (r->thread, NULL);
  close (r->end);
  free (r);
}
