/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue's thread: what it needs, and how it sleeps; see
 * ublk-queue-internal.h.
 */

#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <liburing.h>

#include "ublk-queue-internal.h"

/* The longest sleep; no system call refuses it. */
#define MAX_WAIT (3600 * NSEC_PER_SEC)

static _Thread_local struct ublk_queue *of_thread;

struct ublk_queue *
ublk_queue_of_thread (void)
{
  return of_thread;
}

/*---------------------------------------------------------------------*/
/* Waking the thread of a queue */

void
ublk_queue_wake (struct ublk_queue *q)
{
  const uint64_t one = 1;
  const int saved = errno;
  const ssize_t written = write (q->wake_fd, &one, sizeof one);

  (void) written; /* it fails only when 2^64 of them are unread */
  errno = saved;
}

void
ublk_queue_fail_all (struct ublk_queue *q)
{
  atomic_store (&q->fails_all, true);
  ublk_queue_wake (q);
}

void
ublk_queue_leave (struct ublk_queue *q)
{
  atomic_store (&q->has_left, true);
  ublk_queue_wake (q);
}

static void
await_wake (struct ublk_queue *q)
{
  struct io_uring_sqe *sqe = ring_get_sqe (q->ring, &q->wake);

  io_uring_prep_read (sqe, q->wake_fd, &q->wakes, sizeof q->wakes, 0);
  io_uring_sqe_set_data (sqe, &q->wake);
}

/* Whatever has woken the queue is looked at before the next sleep. */
static void
woken (struct ring_event *event, int result)
{
  (void) result;
  await_wake (CONTAINER_OF (struct ublk_queue, wake, event));
}

/*---------------------------------------------------------------------*/
/* Sleeping.  -EAGAIN ends a sleep where something has come. */

struct listener {
  struct ublk_queue *queue;
  bool has_looked; /* in the ring, at the end of the sleep */
};

static int
listen_for (void *opaque, uint64_t nsec)
{
  struct listener *l = opaque;
  const int r = ring_wait (l->queue->ring, nsec);

  l->has_looked = true;
  return r > 0 ? -EAGAIN : r;
}

static int
listen_until (void *opaque, uint64_t moment)
{
  const uint64_t now = clock_now ();

  clock_lose_slack ();
  return listen_for (opaque, moment > now ? moment - now : 0);
}

static int
check_wait (void *opaque)
{
  return listen_for (opaque, 0);
}

/* Sleep until MOMENT, or until something has come.  Returns up to when what is
 * due is answered: a further sleep would make that late which is due just after
 * MOMENT.
 */
static uint64_t
sleep_until (struct ublk_queue *q, uint64_t moment, uint64_t spin)
{
  struct waiter *waiter = &q->device->devices->waiter;
  struct listener l = {.queue = q};
  const struct wait_ops how = {.sleep_for = listen_for,
                               .sleep_until = listen_until,
                               .check = check_wait,
                               .opaque = &l};
  uint64_t now = clock_now ();
  int r;

  if (moment > now + MAX_WAIT)
    moment = now + MAX_WAIT;
  r = waiter_wait (waiter, moment, spin, &how, &now);
  if (r == 0 && !l.has_looked)
    r = ring_wait (q->ring, 0);
  if (r < 0 && r != -EAGAIN)
    q->error = r;
  if (r == -EAGAIN)
    return now;
  now = spin != 0 ? now : now + waiter_usual (waiter) / 2;
  return now > moment ? now : moment;
}

/* Tell what has come, after what is due; sleep for it. */
static void
go_on (struct ublk_queue *q)
{
  uint64_t moment, spin, due;
  int r;

  if (atomic_load (&q->fails_all))
    ublk_queue_cancel_waiting (q);
  moment = ublk_queue_first_moment (q, &spin);
  if (moment == UINT64_MAX) {
    r = ublk_queue_wait (q);
    due = 0;
    if (r < 0)
      q->error = r;
  }
  else
    due = sleep_until (q, moment, spin);
  q->arrived = clock_now ();
  ublk_queue_settle (q, q->arrived, due);
  ring_dispatch (q->ring);
}

/*---------------------------------------------------------------------*/
/* The thread */

static int
prepare (struct ublk_queue *q)
{
  const unsigned depth = q->plan->depth;
  unsigned i;
  int r;

  q->ring = ring_create (2 * depth + 16, false);
  if (q->ring == NULL)
    return -errno;
  port_open (&q->port, q->ring, q->fd, q->index, ublk_request_begin);
  await_wake (q);
  for (i = 0; i < depth; i++) {
    q->tags[i].queue = q;
    port_fetch (&q->port, &q->tags[i].at_port, i);
  }
  r = ring_run (q->ring, false);
  if (r == 0)
    r = q->port.error;
  return r < 0 ? r : port_map (&q->port, depth);
}

static void *
run (void *arg)
{
  struct ublk_queue *q = arg;
  const int r = prepare (q);

  of_thread = q;
  q->unready = r;
  sem_post (&q->is_ready);
  while (r == 0 && q->error == 0 && port_is_open (&q->port) &&
         !atomic_load (&q->has_left))
    go_on (q);
  ublk_queue_cancel_waiting (q); /* the device counts them */
  ring_destroy (q->ring);
  return NULL;
}

static void
unmap (struct ublk_queue *q, void *p)
{
  if (p != NULL)
    munmap (p, q->plan->max_io);
}

static void
destroy (struct ublk_queue *q)
{
  if (q->connection != NULL)
    device_disconnect (q->connection);
  port_close (&q->port);
  unmap (q, q->buffer);
  unmap (q, q->zeroes);
  if (q->wake_fd != -1)
    close (q->wake_fd);
  sem_destroy (&q->is_ready);
  free (q->heap);
  free (q);
}

/* Signals are for the server's other threads. */
static int
make_thread (struct ublk_queue *q)
{
  sigset_t all, old;
  int err;

  sigfillset (&all);
  pthread_sigmask (SIG_BLOCK, &all, &old);
  err = pthread_create (&q->thread, NULL, run, q);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  return err;
}

/* Room for the data of a request; NULL: there is none. */
static void *
map (struct ublk_queue *q)
{
  void *const p = mmap (NULL, q->plan->max_io, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  return p != MAP_FAILED ? p : NULL;
}

/* Make what the queue's thread does not have to make itself.  Returns 0 or an
 * errno.
 */
static int
provide (struct ublk_queue *q, const struct front_end *front_end)
{
  q->wake_fd = eventfd (0, EFD_CLOEXEC);
  if (q->wake_fd == -1)
    return errno;
  q->heap = calloc (q->plan->depth, sizeof (struct ublk_request *));
  q->buffer = map (q);
  q->zeroes = map (q);
  q->connection = device_connect (q->device, front_end);
  return q->heap == NULL || q->buffer == NULL || q->zeroes == NULL ||
                 q->connection == NULL
             ? ENOMEM
             : 0;
}

struct ublk_queue *
ublk_queue_start (struct device *d, const struct device_plan *plan, int fd,
                  unsigned index, const struct front_end *front_end,
                  struct ublk_poll *poll, struct message *why)
{
  struct ublk_queue *q =
      calloc (1, sizeof *q + plan->depth * sizeof q->tags[0]);
  int err;

  if (q == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  q->device = d;
  q->plan = plan;
  q->fd = fd;
  q->index = index;
  q->poll = poll;
  q->wake.happened = woken;
  q->wake_fd = -1;
  sem_init (&q->is_ready, 0, 0);
  err = provide (q, front_end);
  if (err == 0)
    err = make_thread (q);
  if (err != 0) {
    message_set (why, "queue %u: %s", index, strerror (err));
    destroy (q);
    return NULL;
  }
  while (sem_wait (&q->is_ready) == -1)
    ;
  if (q->unready == 0)
    return q;
  message_set (why, "queue %u: %s", index, strerror (-q->unready));
  ublk_queue_join (q);
  return NULL;
}

void
ublk_queue_join (struct ublk_queue *q)
{
  pthread_join (q->thread, NULL);
  destroy (q);
}
