/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zones under many threads at once: nobody sees a mix of before and after, the
 * limits are kept and nothing is counted twice, all who write make progress,
 * and early writes come in order.  Also run under ThreadSanitizer.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "zoned.h"

#define NR_THREADS 8
#define KIB UINT64_C (1024)
#define BLOCK UINT64_C (512)
#define ZONE (16 * KIB)
#define CAPACITY (12 * KIB)
#define NR_ZONES 24
#define FOREVER MAX_DURATION

static struct zoned d;

struct thread {
  pthread_t id;
  unsigned nr;
  uint64_t random;
  uint64_t wrong; /* what the test counts */
};

static uint64_t
run_threads (void *(*body) (void *), const char *what)
{
  static struct thread threads[NR_THREADS];
  const uint64_t seed = new_seed (what);
  uint64_t wrong = 0;
  unsigned i;

  for (i = 0; i < NR_THREADS; i++) {
    threads[i] = (struct thread){.nr = i, .random = seed + i * 0x123456789};
    assert_int_equal (pthread_create (&threads[i].id, NULL, body, &threads[i]),
                      0);
  }
  for (i = 0; i < NR_THREADS; i++) {
    assert_int_equal (pthread_join (threads[i].id, NULL), 0);
    wrong += threads[i].wrong;
  }
  return wrong;
}

/*---------------------------------------------------------------------*/
/* Everything at once.  A block says where it is, and has the number that its
 * zone got when its first block was written; so a read of a zone that is one
 * moment's has blocks of one number, and then nothing but ones, or zeroes if
 * it was finished.
 */

struct block {
  uint64_t place;
  uint64_t number;
  uint64_t rest[62];
};

/* Guarded by what guards the zone between begin and end of a write. */
static uint64_t numbers[NR_ZONES];

static uint64_t
is_torn (const struct block *blocks, uint64_t zone)
{
  const uint64_t nr_blocks = ZONE / BLOCK;
  const unsigned char *tail;
  uint64_t i;

  for (i = 0; i < nr_blocks && blocks[i].place == zone * nr_blocks + i + 1; i++)
    if (blocks[i].number != blocks[0].number)
      return 1;
  tail = (const unsigned char *) &blocks[i];
  i = (nr_blocks - i) * BLOCK;
  if (i == 0)
    return 0;
  if (tail[0] != 0 && tail[0] != 0xff)
    return 1;
  return memcmp (tail, tail + 1, i - 1) != 0;
}

static void
write_some (struct thread *t, uint64_t zone)
{
  static _Thread_local struct block blocks[8];
  const uint64_t n = 1 + random_below (&t->random, 8);
  struct zone_descriptor r;
  struct zone_write w;
  uint64_t i, offset, written = n * BLOCK;
  int error;

  zones_read_table (d.zones, zone, &r, 1);
  offset = le64toh (r.wp) * 512;
  if (r.cond == ZONE_COND_READONLY || r.cond == ZONE_COND_OFFLINE)
    offset = zone * ZONE;
  if (offset >= NR_ZONES * ZONE)
    return;
  error = zones_begin_write (d.zones, &w, n * BLOCK, offset, NULL);
  if (error < 0) {
    t->wrong += error != -EIO && error != -EROFS && error != -ENOSPC;
    return;
  }
  zone = w.zone; /* that after one which was finished */
  if (offset == zone * ZONE)
    numbers[zone] = next_random (&t->random);
  for (i = 0; i < n; i++)
    blocks[i] = (struct block){.place = offset / BLOCK + i + 1,
                               .number = numbers[zone]};
  if (random_below (&t->random, 8) == 0)
    written = random_below (&t->random, n + 1) * BLOCK;
  if (written > 0)
    t->wrong += store_write (d.store, 0, blocks, written, offset) != 0;
  zones_end_write (&w, written);
}

static void
check_table (struct thread *t)
{
  struct zone_descriptor r[NR_ZONES];
  uint64_t i, wp;

  t->wrong += zones_read_table (d.zones, 0, r, NR_ZONES) != NR_ZONES;
  for (i = 0; i < NR_ZONES; i++) {
    wp = (le64toh (r[i].wp) - le64toh (r[i].start)) * 512;
    switch (r[i].cond) {
    case ZONE_COND_EMPTY:
      t->wrong += wp != 0;
      break;
    case ZONE_COND_CLOSED:
      t->wrong += wp == 0 || wp >= CAPACITY;
      break;
    case ZONE_COND_IMP_OPEN:
    case ZONE_COND_EXP_OPEN:
      t->wrong += wp >= CAPACITY;
      break;
    case ZONE_COND_FULL:
      t->wrong += wp != CAPACITY && wp != ZONE;
      break;
    default:
      t->wrong += r[i].wp != UINT64_MAX;
    }
  }
}

static void
command_some (struct thread *t, uint64_t zone)
{
  static const enum zone_cond conds[] = {
      ZONE_COND_EMPTY, ZONE_COND_EMPTY,    ZONE_COND_EXP_OPEN, ZONE_COND_CLOSED,
      ZONE_COND_FULL,  ZONE_COND_READONLY, ZONE_COND_OFFLINE};
  const enum zone_cond cond = conds[random_below (&t->random, 7)];
  int r;

  r = zones_command (d.zones, zone, cond);
  t->wrong += r != 0 && r != -EIO && r != -ENOSPC;
  if (cond == ZONE_COND_READONLY || cond == ZONE_COND_OFFLINE)
    zones_command (d.zones, zone, cond); /* often brings it back */
}

static void *
everything (void *arg)
{
  static _Thread_local struct block blocks[ZONE / BLOCK];
  struct thread *t = arg;
  uint64_t i, zone, end;
  int r;

  for (i = 0; i < 20000; i++) {
    zone = random_below (&t->random, NR_ZONES);
    switch (random_below (&t->random, 16)) {
    case 0:
      command_some (t, zone);
      break;
    case 1:
      check_table (t);
      break;
    case 2:
      r = zones_trim (d.zones, ZONE, zone * ZONE);
      t->wrong += r != 0 && r != -EIO && r != -EROFS;
      break;
    case 3:
      zones_extent (d.zones, zone * ZONE, NR_ZONES * ZONE, &end);
      t->wrong += end <= zone * ZONE || end > NR_ZONES * ZONE;
      break;
    case 4:
    case 5:
    case 6:
      r = zoned_read (&d, blocks, ZONE, zone * ZONE);
      t->wrong += r == 0 ? is_torn (blocks, zone) : r != -EIO;
      break;
    default:
      write_some (t, zone);
    }
  }
  return NULL;
}

static void
check_limits (const struct zone_settings *s)
{
  uint64_t counts[NR_ZONE_CONDS], open, zone, opened = 0;
  struct zone_descriptor r;

  zones_count_by_condition (d.zones, counts);
  open = counts[ZONE_COND_IMP_OPEN] + counts[ZONE_COND_EXP_OPEN];
  if (s->max_open != 0)
    assert_true (open <= s->max_open);
  if (s->max_active != 0)
    assert_true (open + counts[ZONE_COND_CLOSED] <= s->max_active);

  /* Nothing is counted that is not there: as many as ever can be opened. */
  for (zone = 0; zone < NR_ZONES; zone++) {
    zones_read_table (d.zones, zone, &r, 1);
    if (r.cond == ZONE_COND_READONLY || r.cond == ZONE_COND_OFFLINE)
      zones_command (d.zones, zone, (enum zone_cond) r.cond);
  }
  zones_reset_all (d.zones);
  assert_int_equal (store_charged (d.store), 0);
  for (zone = 0; zone < NR_ZONES; zone++)
    opened += zones_command (d.zones, zone, ZONE_COND_EXP_OPEN) == 0;
  if (s->max_open != 0)
    assert_int_equal (opened, s->max_open);
  else if (s->max_active != 0)
    assert_int_equal (opened, s->max_active);
  else
    assert_int_equal (opened, NR_ZONES);
}

static void
check_everything (uint64_t max_open, uint64_t max_active, const char *what)
{
  struct zone_settings s = {.zone_size = ZONE, .capacity = CAPACITY};

  s.max_open = max_open;
  s.max_active = max_active;
  s.past_wp = PAST_WP_ONES;
  zoned_create (&d, &s, NR_ZONES * ZONE, true);
  assert_int_equal (run_threads (everything, what), 0);
  check_limits (&s);
  zoned_destroy (&d);
}

static void
test_everything_without_limits (void **state)
{
  (void) state;
  check_everything (0, 0, "everything without limits");
}

static void
test_everything_with_limits (void **state)
{
  (void) state;
  check_everything (6, 10, "everything with limits");
}

/* Nothing moves with a stripe locked: whole zones are long reads, which share
 * their zone, and each write tells a log.
 */
static void
test_everything_unlocked (void **state)
{
  (void) state;
  d.write_may_wait = true;
  d.step = 4 * BLOCK;
  check_everything (0, 0, "everything unlocked");
  check_everything (6, 10, "everything unlocked, with limits");
  check_everything (1, 0, "everything unlocked, with one open zone");
  d.write_may_wait = false;
  d.step = 0;
}

static void
test_everything_with_one_open (void **state)
{
  (void) state;
  check_everything (1, 0, "everything with one open zone");
}

static void
test_everything_with_active (void **state)
{
  (void) state;
  check_everything (0, 5, "everything with a limit of active zones");
}

/*---------------------------------------------------------------------*/
/* Fewer zones may be open than there are writers, each of its own zone: they
 * close each other's zones, never one that is being written, and nobody is
 * refused.
 */

static void *
take_places (void *arg)
{
  static const char buf[BLOCK];
  struct thread *t = arg;
  const uint64_t zone = t->nr;
  struct zone_descriptor r;
  struct zone_write w;
  uint64_t i, offset;

  for (i = 0; i < 3000; i++) {
    offset = i % (CAPACITY / BLOCK) * BLOCK;
    if (zones_begin_write (d.zones, &w, BLOCK, zone * ZONE + offset, NULL) != 0)
      t->wrong++;
    else {
      sched_yield ();
      zones_read_table (d.zones, zone, &r, 1);
      t->wrong += r.cond != ZONE_COND_IMP_OPEN;
      t->wrong +=
          store_write (d.store, 0, buf, BLOCK, zone * ZONE + offset) != 0;
      zones_end_write (&w, BLOCK);
    }
    if (offset + BLOCK == CAPACITY)
      t->wrong += zones_command (d.zones, zone, ZONE_COND_EMPTY) != 0;
  }
  return NULL;
}

static void
test_writers_take_places (void **state)
{
  struct zone_settings s = {.zone_size = ZONE, .capacity = CAPACITY};

  (void) state;
  for (s.max_open = 1; s.max_open <= 3; s.max_open++) {
    zoned_create (&d, &s, NR_ZONES * ZONE, true);
    assert_int_equal (run_threads (take_places, "writers take places"), 0);
    check_limits (&s);
    zoned_destroy (&d);
  }
}

/*---------------------------------------------------------------------*/
/* Sequential writers of one zone after another: each writes every eighth block,
 * and all have to find their turn.
 */

static void *
write_in_turn (void *arg)
{
  struct thread *t = arg;
  struct block block = {.place = 0};
  uint64_t i;

  for (i = t->nr; i < NR_ZONES * (ZONE / BLOCK); i += NR_THREADS) {
    block.place = i + 1;
    t->wrong += zoned_write (&d, &block, BLOCK, i * BLOCK) != 0;
  }
  return NULL;
}

static void
test_early_writes_come_in_order (void **state)
{
  struct zone_settings s = {.zone_size = ZONE, .reorder_wait = FOREVER};
  struct block block;
  uint64_t counts[NR_ZONE_CONDS], i;

  (void) state;
  zoned_create (&d, &s, NR_ZONES * ZONE, true);
  assert_int_equal (run_threads (write_in_turn, "early writes"), 0);
  zones_count_by_condition (d.zones, counts);
  assert_int_equal (counts[ZONE_COND_FULL], NR_ZONES);
  for (i = 0; i < NR_ZONES * (ZONE / BLOCK); i++) {
    assert_int_equal (zoned_read (&d, &block, BLOCK, i * BLOCK), 0);
    assert_int_equal (block.place, i + 1);
  }
  zoned_destroy (&d);
}

/*---------------------------------------------------------------------*/
/* What becomes of an early write: a thread waits for a turn at block 2, until
 * what its test does has made it look again.
 */

struct early {
  pthread_t id;
  sem_t waits; /* it has taken a nap */
  bool naps;
  int r;
};

static int
tell (void *opaque, uint64_t nsec)
{
  struct early *e = opaque;

  (void) nsec;
  if (!e->naps)
    sem_post (&e->waits);
  e->naps = true;
  return 0;
}

static void *
write_early (void *arg)
{
  static const char buf[BLOCK];
  struct early *e = arg;
  const struct wait_ops ops = {.sleep_for = tell, .opaque = e};
  struct zone_wait wait = {.ops = &ops};
  struct zone_write w;

  e->r = zones_begin_write (d.zones, &w, BLOCK, 2 * BLOCK, &wait);
  if (e->r == 0) {
    e->r = store_write (d.store, 0, buf, BLOCK, 2 * BLOCK);
    zones_end_write (&w, BLOCK);
  }
  return NULL;
}

static void
begin_early (struct early *e)
{
  e->naps = false;
  assert_int_equal (sem_init (&e->waits, 0, 0), 0);
  assert_int_equal (pthread_create (&e->id, NULL, write_early, e), 0);
  while (sem_wait (&e->waits) == -1)
    ;
}

static int
end_early (struct early *e)
{
  assert_int_equal (pthread_join (e->id, NULL), 0);
  sem_destroy (&e->waits);
  return e->r;
}

static void
begin (void)
{
  const struct zone_settings s = {.zone_size = ZONE, .reorder_wait = FOREVER};

  zoned_create (&d, &s, NR_ZONES * ZONE, true);
}

static int
write_blocks (uint64_t first, uint64_t n)
{
  static const char buf[8 * BLOCK];

  return zoned_write (&d, buf, n * BLOCK, first * BLOCK);
}

static void
check_command (enum zone_cond cond, int r)
{
  struct early e;

  begin ();
  begin_early (&e);
  assert_int_equal (zones_command (d.zones, 0, cond), 0);
  assert_int_equal (end_early (&e), r);
  zoned_destroy (&d);
}

static void
test_early_write_meets_finish (void **state)
{
  (void) state;
  check_command (ZONE_COND_FULL, -EIO);
}

static void
test_early_write_meets_readonly (void **state)
{
  (void) state;
  check_command (ZONE_COND_READONLY, -EROFS);
}

static void
test_early_write_meets_offline (void **state)
{
  (void) state;
  check_command (ZONE_COND_OFFLINE, -EIO);
}

static void
test_early_write_is_passed (void **state)
{
  struct early e;

  (void) state;
  begin ();
  begin_early (&e);
  assert_int_equal (write_blocks (0, 3), 0);
  assert_int_equal (end_early (&e), -EIO);
  zoned_destroy (&d);
}

static void
test_two_early_writes_of_one_place (void **state)
{
  struct early e[2];
  int r[2];

  (void) state;
  begin ();
  begin_early (&e[0]);
  begin_early (&e[1]);
  assert_int_equal (write_blocks (0, 2), 0);
  r[0] = end_early (&e[0]);
  r[1] = end_early (&e[1]);
  assert_true ((r[0] == 0 && r[1] == -EIO) || (r[0] == -EIO && r[1] == 0));
  assert_int_equal (write_blocks (3, 1), 0);
  zoned_destroy (&d);
}

/* A reset is not the end: the write pointer may come once more. */
static void
test_early_write_lives_through_reset (void **state)
{
  struct early e;

  (void) state;
  begin ();
  assert_int_equal (write_blocks (0, 1), 0);
  begin_early (&e);
  assert_int_equal (zones_command (d.zones, 0, ZONE_COND_EMPTY), 0);
  assert_int_equal (write_blocks (0, 1), 0);
  assert_int_equal (write_blocks (1, 1), 0);
  assert_int_equal (end_early (&e), 0);
  zoned_destroy (&d);
}

/* One that waits keeps neither its own zone nor those of its stripe. */
static void
test_early_write_keeps_nobody (void **state)
{
  struct early e;
  char buf[BLOCK];

  (void) state;
  begin ();
  begin_early (&e);
  assert_int_equal (zoned_read (&d, buf, BLOCK, 0), 0);
  assert_int_equal (write_blocks (ZONE / BLOCK, 1), 0);
  assert_int_equal (write_blocks (0, 1), 0);
  assert_int_equal (write_blocks (1, 1), 0);
  assert_int_equal (end_early (&e), 0);
  zoned_destroy (&d);
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_everything_without_limits),
      cmocka_unit_test (test_everything_with_limits),
      cmocka_unit_test (test_everything_with_one_open),
      cmocka_unit_test (test_everything_with_active),
      cmocka_unit_test (test_everything_unlocked),
      cmocka_unit_test (test_writers_take_places),
      cmocka_unit_test (test_early_writes_come_in_order),
      cmocka_unit_test (test_early_write_meets_finish),
      cmocka_unit_test (test_early_write_meets_readonly),
      cmocka_unit_test (test_early_write_meets_offline),
      cmocka_unit_test (test_early_write_is_passed),
      cmocka_unit_test (test_two_early_writes_of_one_place),
      cmocka_unit_test (test_early_write_lives_through_reset),
      cmocka_unit_test (test_early_write_keeps_nobody),
  };

  return RUN_TESTS (tests);
}
