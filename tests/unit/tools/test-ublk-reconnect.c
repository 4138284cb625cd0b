/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The thread of nullblk-ublk that makes new connections, between queues and a
 * server that are both here.  It never really pauses between two attempts.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>

#include "ublk/link.h"
#include "ublk/queue.h"
#include "ublk/reconnect.h"
#include "ublk/export.h"
#include "unit.h"

#define COUNT 3

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* All of it is locked. */
static struct world {
  bool is_disconnected[COUNT];
  struct queue_connections given[COUNT]; /* to each queue, last */
  unsigned renewed;                      /* how often any has been given some */
  unsigned refuses;       /* the server, so many attempts; then it takes all */
  unsigned attempts;      /* since the last that it took */
  unsigned most_attempts; /* of these between two pauses */
  unsigned taken;
  bool is_silent, is_asked; /* an attempt waits until it is stopped */
  bool is_stopped;
  unsigned pauses;
  unsigned patience; /* of the last attempt */
} world;

static sem_t is_idle; /* once for each time that it waits for a queue */

static struct queue *queues[COUNT];

static unsigned
index_of (const struct queue *q)
{
  unsigned i;

  for (i = 0; queues[i] != q; i++)
    ;
  return i;
}

bool
queue_is_disconnected (struct queue *q)
{
  bool r;

  pthread_mutex_lock (&mutex);
  r = world.is_disconnected[index_of (q)];
  pthread_mutex_unlock (&mutex);
  return r;
}

void
queue_renew (struct queue *q, const struct queue_connections *connections)
{
  pthread_mutex_lock (&mutex);
  world.given[index_of (q)] = *connections;
  world.is_disconnected[index_of (q)] = false;
  world.renewed++;
  pthread_mutex_unlock (&mutex);
}

void
connection_open_no_more (void)
{
  pthread_mutex_lock (&mutex);
  world.is_stopped = true;
  pthread_cond_broadcast (&changed);
  pthread_mutex_unlock (&mutex);
}

int
export_connect (const struct export *e, struct queue_connections *c,
                struct message *why)
{
  int r = -EIO;

  (void) why;
  pthread_mutex_lock (&mutex);
  world.patience = e->patience;
  world.attempts++;
  if (world.attempts > world.most_attempts)
    world.most_attempts = world.attempts;
  if (world.is_silent) {
    world.is_asked = true;
    pthread_cond_broadcast (&changed);
    while (!world.is_stopped)
      pthread_cond_wait (&changed, &mutex);
  }
  else if (world.refuses > 0)
    world.refuses--;
  else {
    world.attempts = 0;
    world.taken++;
    memset (c, 0, sizeof *c);
    /* Each is another one. */
    c->data = (struct nbd_handle *) (uintptr_t) world.taken;
    r = 0;
  }
  pthread_mutex_unlock (&mutex);
  return r;
}

int __real_poll (struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll (struct pollfd *fds, nfds_t n, int timeout);
int
__wrap_poll (struct pollfd *fds, nfds_t n, int timeout)
{
  if (timeout == -1) {
    sem_post (&is_idle);
    return __real_poll (fds, n, timeout);
  }
  pthread_mutex_lock (&mutex);
  world.attempts = 0;
  world.pauses++;
  pthread_mutex_unlock (&mutex);
  return __real_poll (fds, n, 0);
}

/*---------------------------------------------------------------------*/

static const struct export export = {.uri = "nbd://x", .patience = 30};
static struct reconnector *reconnector;
static int disconnected;

/* Returns the world as it is when the thread waits for a queue. */
static struct world
await_idle (void)
{
  struct world r;

  while (sem_wait (&is_idle) == -1)
    ;
  pthread_mutex_lock (&mutex);
  r = world;
  pthread_mutex_unlock (&mutex);
  return r;
}

static int
set_up (void **state)
{
  static char places[COUNT];
  unsigned i;

  (void) state;
  memset (&world, 0, sizeof world);
  sem_init (&is_idle, 0, 0);
  for (i = 0; i < COUNT; i++)
    queues[i] = (struct queue *) &places[i];
  disconnected = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  reconnector = reconnector_start (&export, queues, COUNT, disconnected);
  assert_non_null (reconnector);
  await_idle ();
  return 0;
}

static int
tear_down (void **state)
{
  (void) state;
  reconnector_stop (reconnector);
  assert_true (world.is_stopped);
  close (disconnected);
  sem_destroy (&is_idle);
  return 0;
}

/* They lose their connections at once. */
static void
disconnect (bool first, bool second, bool third)
{
  pthread_mutex_lock (&mutex);
  world.is_disconnected[0] |= first;
  world.is_disconnected[1] |= second;
  world.is_disconnected[2] |= third;
  pthread_mutex_unlock (&mutex);
  assert_int_equal (eventfd_write (disconnected, first + second + third), 0);
}

/* Each queue has another connection; and nobody but those that lost theirs has
 * got one.
 */
static void
test_all (void **state)
{
  struct world w;

  (void) state;
  disconnect (false, true, false);
  w = await_idle ();
  assert_int_equal (w.taken, 1);
  assert_int_equal (w.renewed, 1);
  assert_ptr_equal (w.given[1].data, 1);
  assert_int_equal (w.patience, 10);
  disconnect (true, false, true);
  w = await_idle ();
  assert_int_equal (w.taken, 3);
  assert_int_equal (w.renewed, 3);
  assert_ptr_equal (w.given[0].data, 2);
  assert_ptr_equal (w.given[1].data, 1);
  assert_ptr_equal (w.given[2].data, 3);
}

/* It goes on until the server takes connections, with a pause after each that
 * it did not take, also where there are more queues.
 */
static void
test_refused (void **state)
{
  struct world w;

  (void) state;
  pthread_mutex_lock (&mutex);
  world.refuses = 7;
  pthread_mutex_unlock (&mutex);
  disconnect (true, true, true);
  w = await_idle ();
  assert_int_equal (w.refuses, 0);
  assert_int_equal (w.most_attempts, 1);
  assert_true (w.pauses >= 7);
  assert_int_equal (w.renewed, 3);
}

/* A server that says nothing does not keep it from ending, in tear_down. */
static void
test_silent (void **state)
{
  (void) state;
  pthread_mutex_lock (&mutex);
  world.is_silent = true;
  pthread_mutex_unlock (&mutex);
  disconnect (true, false, false);
  pthread_mutex_lock (&mutex);
  while (!world.is_asked)
    pthread_cond_wait (&changed, &mutex);
  pthread_mutex_unlock (&mutex);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_all),
      TEST (test_refused),
      TEST (test_silent),
  };

  return RUN_TESTS (tests);
}
