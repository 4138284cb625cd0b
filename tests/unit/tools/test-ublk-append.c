/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Where nullblk-ublk's appends go: pointers that are read once and then kept,
 * many appends in flight, and what becomes of those behind one that fails.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "ublk/append.h"
#include "unit.h"

#define ZONE UINT64_C (4096)
#define CAPACITY UINT64_C (3000)
#define N 8

static struct appends *appends;
static struct append a[N];

/* To zone 1; most tests use no other. */
static void
begin (unsigned i, uint64_t count, enum append_turn turn)
{
  a[i] = (struct append){.zone = 1, .count = count};
  assert_ptr_equal (appends_begin (appends, &a[i]), &a[i]);
  assert_int_equal (a[i].turn, turn);
}

static void
begin_waits (unsigned i, uint64_t count)
{
  a[i] = (struct append){.zone = 1, .count = count};
  assert_null (appends_begin (appends, &a[i]));
}

/* The list has these, up to -1, and nothing else. */
static void
are (struct append *list, const int *wanted)
{
  for (; *wanted != -1; wanted++) {
    assert_non_null (list);
    assert_ptr_equal (list, &a[*wanted]);
    list = list->next;
  }
  assert_null (list);
}
#define ARE(list, ...) are (list, (const int[]){__VA_ARGS__})

static bool is_over;

static struct append *
end_with (unsigned i, int err)
{
  return appends_end (appends, &a[i], err, &is_over);
}

/* Written, or refused as what is at the wrong place is. */
static struct append *
end (unsigned i, bool is_written)
{
  return end_with (i, is_written ? 0 : -EIO);
}

static void
learn (unsigned i, uint64_t written)
{
  appends_learn (appends, &a[i], true, ZONE + written, ZONE + CAPACITY);
}

static int
set_up (void **state)
{
  (void) state;
  appends = appends_create (4, 3);
  return appends == NULL;
}

static int
tear_down (void **state)
{
  (void) state;
  appends_destroy (appends);
  return 0;
}

static void
test_pipelined (void **state)
{
  (void) state;
  /* The first reads, others wait for that. */
  begin (0, 100, APPEND_READS);
  begin_waits (1, 200);
  begin_waits (2, 300);
  begin_waits (3, 50);
  ARE (appends_learn (appends, &a[0], true, ZONE + 1000, ZONE + CAPACITY), 0, 1,
       2, -1);
  assert_int_equal (a[0].turn, APPEND_GOES);
  assert_int_equal (a[0].offset, ZONE + 1000);
  assert_int_equal (a[1].offset, ZONE + 1100);
  assert_int_equal (a[2].offset, ZONE + 1300);
  /* Three are in flight, and may be answered in any order. */
  ARE (end (1, true), 3, -1);
  assert_int_equal (a[3].turn, APPEND_GOES);
  assert_int_equal (a[3].offset, ZONE + 1600);
  ARE (end (0, true), -1);
  ARE (end (3, true), -1);
  ARE (end (2, true), -1);
  begin (4, 1, APPEND_GOES);
  assert_int_equal (a[4].offset, ZONE + 1650);
}

static void
test_zones (void **state)
{
  (void) state;
  begin (0, 100, APPEND_READS);
  a[1] = (struct append){.zone = 2, .count = 1};
  assert_ptr_equal (appends_begin (appends, &a[1]), &a[1]);
  assert_int_equal (a[1].turn, APPEND_READS);
  learn (0, 0);
  ARE (appends_learn (appends, &a[1], true, 2 * ZONE, 3 * ZONE), 1, -1);
  assert_int_equal (a[0].offset, ZONE);
  assert_int_equal (a[1].offset, 2 * ZONE);
}

static void
test_full (void **state)
{
  (void) state;
  begin (0, 100, APPEND_READS);
  begin_waits (1, CAPACITY - 100);
  begin_waits (2, CAPACITY - 99);
  learn (0, 0);
  assert_int_equal (a[0].turn, APPEND_GOES);
  assert_int_equal (a[1].turn, APPEND_GOES);
  assert_int_equal (a[2].turn, APPEND_REFUSED);
  ARE (end (0, true), -1);
  begin (3, 1, APPEND_REFUSED);
}

/* What cannot be read fails, and the next one reads. */
static void
test_unreadable (void **state)
{
  (void) state;
  begin (0, 100, APPEND_READS);
  begin_waits (1, 100);
  ARE (appends_learn (appends, &a[0], false, 0, 0), 0, 1, -1);
  assert_int_equal (a[0].turn, APPEND_REFUSED);
  assert_int_equal (a[1].turn, APPEND_READS);
}

/* The first that has failed has failed; those behind it are sent again. */
static void
test_failure (void **state)
{
  (void) state;
  begin (0, 100, APPEND_READS);
  begin_waits (1, 100);
  begin_waits (2, 100);
  learn (0, 0);
  ARE (end (0, true), -1);
  begin (3, 100, APPEND_GOES);
  ARE (end (1, false), -1);
  assert_true (is_over);
  begin_waits (4, 100);
  ARE (end (2, false), -1);
  assert_false (is_over);
  /* It was the last in flight: the first that waits reads anew. */
  ARE (end (3, false), 4, -1);
  assert_false (is_over);
  assert_int_equal (a[4].turn, APPEND_READS);
  ARE (appends_learn (appends, &a[4], true, ZONE + 100, ZONE + CAPACITY), 4, 2,
       3, -1);
  assert_int_equal (a[4].offset, ZONE + 100);
  assert_int_equal (a[2].offset, ZONE + 200);
  assert_int_equal (a[3].offset, ZONE + 300);
}

/* One that fails while another that is before it is not answered came too
 * early, and so is sent again.
 */
static void
test_early (void **state)
{
  (void) state;
  begin (0, 100, APPEND_READS);
  begin_waits (1, 100);
  learn (0, 0);
  ARE (end (1, false), -1);
  assert_false (is_over);
  ARE (end (0, true), 1, -1);
  assert_int_equal (a[1].turn, APPEND_READS);
  learn (1, 100);
  assert_int_equal (a[1].turn, APPEND_GOES);
  /* Alone it has nobody to wait for. */
  ARE (end (1, false), -1);
  assert_true (is_over);
}

/* One that came too early leaves a hole, for which those behind it are not to
 * blame, whatever becomes of those before it.
 */
static void
test_hole (void **state)
{
  (void) state;
  begin (0, 100, APPEND_READS);
  begin_waits (1, 100);
  begin_waits (2, 100);
  learn (0, 0);
  ARE (end (1, false), -1);
  assert_false (is_over);
  ARE (end (0, true), -1);
  ARE (end (2, false), 1, -1);
  assert_false (is_over);
  assert_int_equal (a[1].turn, APPEND_READS);
  ARE (appends_learn (appends, &a[1], true, ZONE + 100, ZONE + CAPACITY), 1, 2,
       -1);
  assert_int_equal (a[1].offset, ZONE + 100);
  assert_int_equal (a[2].offset, ZONE + 200);
  /* What had failed before the zone was read is forgotten. */
  ARE (end (1, false), -1);
  assert_true (is_over);
  ARE (end (2, true), -1);
}

/* The failures come in the order 2, 1, 0: the last of them is the first of the
 * zone, and it alone is to blame.
 */
static void
test_backwards (void **state)
{
  (void) state;
  begin (0, 100, APPEND_READS);
  begin_waits (1, 100);
  begin_waits (2, 100);
  learn (0, 0);
  ARE (end (2, false), -1);
  assert_false (is_over);
  ARE (end (1, false), -1);
  assert_false (is_over);
  ARE (end (0, false), 2, -1);
  assert_true (is_over);
}

/* What no order of requests causes is told at once, and those behind it are not
 * to blame.
 */
static void
test_errors (void **state)
{
  static const int own[] = {-ENOSPC, -EPERM, -ENOTCONN};
  unsigned i;

  (void) state;
  for (i = 0; i < sizeof own / sizeof own[0]; i++) {
    begin (0, 100, APPEND_READS);
    begin_waits (1, 100);
    begin_waits (2, 100);
    learn (0, 0);
    ARE (end_with (1, own[i]), -1);
    assert_true (is_over);
    ARE (end (0, true), -1);
    ARE (end_with (2, -EINVAL), 2, -1);
    assert_false (is_over);
    learn (2, 100);
    ARE (end (2, true), -1);
    appends_forget (appends, 1);
  }
}

/* Those of another connection would overtake. */
static void
test_connections (void **state)
{
  (void) state;
  begin (0, 100, APPEND_READS);
  learn (0, 0);
  a[1] = (struct append){.zone = 1, .count = 100, .connection = 1};
  assert_null (appends_begin (appends, &a[1]));
  /* Nor does one of the first connection, which might keep it waiting on and
   * on.
   */
  begin_waits (2, 100);
  ARE (end (0, true), 1, -1);
  assert_int_equal (a[1].offset, ZONE + 100);
  ARE (end (1, true), 2, -1);
  assert_int_equal (a[2].offset, ZONE + 200);
}

/* A zone command, or a write that is no append. */
static void
test_others (void **state)
{
  (void) state;
  begin (0, 100, APPEND_READS);
  learn (0, 0);
  appends_note_write (appends, 1, ZONE + 500);
  appends_note_write (appends, 1, ZONE + 400);
  begin (1, 100, APPEND_GOES);
  assert_int_equal (a[1].offset, ZONE + 500);
  appends_forget (appends, 1);
  begin_waits (2, 100);
  ARE (end (1, true), -1);
  ARE (end (0, true), 2, -1);
  assert_int_equal (a[2].turn, APPEND_READS);
  learn (2, 0);
  assert_int_equal (a[2].offset, ZONE);
  ARE (end (2, true), -1);
  appends_forget_all (appends);
  begin (3, 100, APPEND_READS);
}

/* Four threads append to one zone by one connection, which a server serves in
 * any order: nothing fails, is written twice or left out.
 */
static struct {
  pthread_mutex_t lock;
  uint64_t pointer; /* of the server's zone */
  uint64_t written, done;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool
server_writes (const struct append *append)
{
  bool ok;

  pthread_mutex_lock (&server.lock);
  ok = append->offset == server.pointer;
  if (ok) {
    server.pointer += append->count;
    server.written++;
  }
  pthread_mutex_unlock (&server.lock);
  return ok;
}

static void
serve_all (struct append *list)
{
  struct append *append, *others;
  bool ok, over;

  while ((append = list) != NULL) {
    list = append->next;
    switch (append->turn) {
    case APPEND_READS:
      pthread_mutex_lock (&server.lock);
      append->offset = server.pointer;
      pthread_mutex_unlock (&server.lock);
      serve_all (appends_learn (appends, append, true, append->offset,
                                ZONE + CAPACITY));
      break;
    case APPEND_GOES:
      ok = server_writes (append);
      others = appends_end (appends, append, ok ? 0 : -EIO, &over);
      if (over) {
        must (ok, "nobody's wait ends with an error");
        pthread_mutex_lock (&server.lock);
        server.done++;
        pthread_mutex_unlock (&server.lock);
      }
      serve_all (others);
      break;
    default:
      must (false, "no append is refused");
    }
  }
}

static void *
append_many (void *arg)
{
  struct append *mine = arg;
  unsigned i;

  for (i = 0; i < 100; i++) {
    mine[i] = (struct append){.zone = 1, .count = 1};
    serve_all (appends_begin (appends, &mine[i]));
  }
  return NULL;
}

static void
test_threads (void **state)
{
  static struct append of[4][100];
  pthread_t threads[4];
  unsigned i;

  (void) state;
  server.pointer = ZONE;
  for (i = 0; i < 4; i++)
    assert_int_equal (pthread_create (&threads[i], NULL, append_many, of[i]),
                      0);
  for (i = 0; i < 4; i++)
    pthread_join (threads[i], NULL);
  assert_int_equal (server.written, 400);
  assert_int_equal (server.done, 400);
  assert_int_equal (server.pointer, ZONE + 400);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_pipelined),   TEST (test_zones),     TEST (test_full),
      TEST (test_unreadable),  TEST (test_failure),   TEST (test_early),
      TEST (test_hole),        TEST (test_backwards), TEST (test_errors),
      TEST (test_connections), TEST (test_others),    TEST (test_threads),
  };

  return RUN_TESTS (tests);
}
