/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Writes that come early to their zone, on a connection that can set them aside
 * (front_end.set_aside): when they are tried again, and how they end.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "one-device.h"

#define BLOCK 4096
#define ZONE (16 * BLOCK)
#define SIZE (8 * ZONE)

/* A write that is set aside, and who serves its connection. */
struct aside {
  struct aside *before; /* that was set aside before it */
  struct aside *next;   /* of those that are hastened; guarded by its lock */
  struct client *client;
  uint64_t until;
  bool (*retry) (void *request, const void *payload, uint64_t *moment);
  int (*due) (void *request, uint64_t *moment, bool gone);
  void *payload;
  bool is_hastened, is_over;
  int result;
  _Alignas(max_align_t) char copy[MAX_REQUEST_COPY];
};

struct client {
  struct connection *connection;
  pthread_mutex_t lock;
  struct aside *hastened;
  struct aside *last; /* that was set aside */
  unsigned set_aside, ended, failed;
};

static struct client clients[2];
static _Thread_local struct client *serving = &clients[0];
static bool has_room;

static void *
set_aside (uint64_t until, uint64_t spin,
           bool (*retry) (void *request, const void *payload, uint64_t *moment),
           int (*due) (void *request, uint64_t *moment, bool gone),
           const void *request, size_t size, const void *payload, size_t n)
{
  struct aside *a;

  (void) spin;
  if (!has_room)
    return NULL;
  a = calloc (1, sizeof *a);
  assert_non_null (a);
  assert_true (size <= sizeof a->copy);
  a->client = serving;
  a->until = until;
  a->retry = retry;
  a->due = due;
  memcpy (a->copy, request, size);
  if (n > 0) {
    a->payload = malloc (n);
    memcpy (a->payload, payload, n);
  }
  a->before = serving->last;
  serving->last = a;
  serving->set_aside++;
  return a->copy;
}

static void
hasten (void *request)
{
  struct aside *a =
      (struct aside *) ((char *) request - offsetof (struct aside, copy));
  struct client *c = a->client;

  pthread_mutex_lock (&c->lock);
  if (!a->is_hastened) {
    a->is_hastened = true;
    a->next = c->hastened;
    c->hastened = a;
  }
  pthread_mutex_unlock (&c->lock);
}

/* What comes at the third nap since NAPS was set to 0; or NULL. */
static unsigned naps;
static void (*at_third_nap) (void);

static int
count_nap (void *opaque, uint64_t nsec)
{
  if (++naps == 3 && at_third_nap != NULL)
    at_third_nap ();
  return note_nap (opaque, nsec);
}

static void
get_room (void)
{
  has_room = true;
}

static void
write_before (void)
{
  assert_int_equal (device_zero (clients[1].connection, BLOCK, 0, true, false),
                    0);
}

static int reported;

static void
note_failure (struct device *device, int r)
{
  assert_ptr_equal (device, d->device);
  reported = r;
}

static const struct front_end front_end = {
    .report = note_failure,
    .wait = {.sleep_for = count_nap},
    .set_aside = set_aside,
    .hasten = hasten,
};

static bool
is_hastened (struct aside *a)
{
  bool r;

  pthread_mutex_lock (&a->client->lock);
  r = a->is_hastened;
  pthread_mutex_unlock (&a->client->lock);
  return r;
}

static struct aside *
next_hastened (struct client *c)
{
  struct aside *a;

  pthread_mutex_lock (&c->lock);
  a = c->hastened;
  if (a != NULL) {
    c->hastened = a->next;
    a->is_hastened = false;
  }
  pthread_mutex_unlock (&c->lock);
  return a;
}

static void
end_aside (struct aside *a, bool gone)
{
  uint64_t moment = clock_now ();

  a->result = a->due (a->copy, &moment, gone);
  a->is_over = true;
  a->client->ended++;
  a->client->failed += a->result != 0;
}

/* It is retried; returns false where it has to wait again, or for its time. */
static bool
retry (struct aside *a, uint64_t *moment)
{
  if (!a->retry (a->copy, a->payload, moment))
    return false;
  free (a->payload);
  a->payload = NULL;
  if (*moment > clock_now ())
    return false;
  end_aside (a, false);
  return true;
}

/* All that are hastened are tried, and those that they hasten. */
static void
run (struct client *c)
{
  struct aside *a;
  uint64_t moment;

  while ((a = next_hastened (c)) != NULL)
    retry (a, &moment);
}

static int
end_case (void **state)
{
  struct aside *a;
  unsigned i;

  for (i = 0; i < 2; i++) {
    while ((a = clients[i].last) != NULL) {
      clients[i].last = a->before;
      free (a->payload);
      free (a);
    }
  }
  return destroy_devices (state);
}

static void
begin (const char *const *given)
{
  unsigned i;

  create_with (given, &noted);
  memset (clients, 0, sizeof clients);
  for (i = 0; i < 2; i++) {
    pthread_mutex_init (&clients[i].lock, NULL);
    clients[i].connection = device_connect (&devices->device[0], &front_end);
  }
  d = clients[0].connection;
  has_room = true;
  nap_result = 0;
}

#define BEGIN(...)                                                             \
  begin ((const char *const[]){"size", "512K", "memory-backed", "1", "zoned",  \
                               "1", "zone-size", "64K", ##__VA_ARGS__, NULL})

static void
check_wp (uint64_t zone, uint64_t written)
{
  struct zone_descriptor is;

  zones_read_table (d->device->zones, zone, &is, 1);
  assert_int_equal (le64toh (is.wp) * 512 - zone * ZONE, written);
}

/* A block of one letter; early. */
static struct aside *
write_early (uint64_t offset, char byte)
{
  const unsigned before = clients[0].set_aside;

  assert_int_equal (write_with (d, offset, BLOCK, byte, false), 0);
  assert_int_equal (clients[0].set_aside, before + 1);
  assert_false (is_hastened (clients[0].last));
  return clients[0].last;
}

static void
test_retry (void **state)
{
  const struct stats *stats;
  struct aside *a;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s");
  a = write_early (BLOCK, 'b');
  check_wp (0, 0);
  assert_int_equal (d->in_flight, 1);
  assert_int_equal (d->places, 1);
  assert_int_equal (d->began_saturated, 1);
  put_block (0, 'a');
  assert_true (is_hastened (a));
  run (&clients[0]);
  assert_true (a->is_over);
  assert_int_equal (a->result, 0);
  check_wp (0, 2 * BLOCK);
  check_block (0, 'a');
  check_block (BLOCK, 'b');
  assert_int_equal (d->in_flight, 0);
  assert_int_equal (d->nr_quiesced, 0);
  stats = counted_by (d);
  assert_int_equal (histogram_total (&stats->op[OP_WRITE].served), 2);
}

/* Of another connection, and zeroes. */
static void
test_zeroes (void **state)
{
  struct aside *a;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s");
  assert_int_equal (device_zero (d, BLOCK, BLOCK, true, false), 0);
  a = clients[0].last;
  assert_null (a->payload);
  assert_int_equal (write_with (clients[1].connection, 0, BLOCK, 'a', false),
                    0);
  assert_true (is_hastened (a));
  run (&clients[0]);
  assert_true (a->is_over);
  check_wp (0, 2 * BLOCK);
}

/* It begins early, and goes on in the next zones. */
static void
test_across (void **state)
{
  static char data[3 * ZONE], back[3 * ZONE];
  struct aside *a;
  unsigned i;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s", "zone-readonly", "6");
  for (i = 0; i < sizeof data; i++)
    data[i] = i % 253;
  assert_int_equal (device_write (d, data, sizeof data, BLOCK, false), 0);
  a = clients[0].last;
  put_block (0, 'a');
  run (&clients[0]);
  assert_true (a->is_over);
  assert_int_equal (a->result, 0);
  check_wp (2, ZONE);
  check_wp (3, BLOCK);
  assert_int_equal (device_read (d, back, sizeof back, BLOCK), 0);
  assert_memory_equal (data, back, sizeof back);

  /* What was done stays. */
  assert_int_equal (
      device_write (d, data, sizeof data, 4 * ZONE + BLOCK, false), 0);
  a = clients[0].last;
  put_block (4 * ZONE, 'a');
  run (&clients[0]);
  assert_int_equal (a->result, -EROFS);
  check_wp (4, ZONE);
  check_wp (5, ZONE);
  assert_int_equal (d->in_flight, 0);
}

/* Nothing comes before it. */
static void
test_its_time (void **state)
{
  struct aside *a;
  uint64_t moment;

  (void) state;
  BEGIN ("zone-reorder-wait", "3ms");
  a = write_early (BLOCK, 'b');
  while (!retry (a, &moment))
    assert_in_range (moment, a->until, a->until + 3600 * NSEC_PER_SEC);
  assert_true (clock_now () >= a->until);
  assert_int_equal (a->result, -EIO);
  check_wp (0, 0);
  assert_int_equal (d->in_flight, 0);
  /* It is not listed any more. */
  put_block (0, 'a');
  assert_false (is_hastened (a));
}

static void
test_in_vain (void **state)
{
  struct aside *a;
  uint64_t moment;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s");
  a = write_early (2 * BLOCK, 'c');
  assert_false (retry (a, &moment));
  assert_in_range (moment, a->until, a->until + 100 * NSEC_PER_SEC);
  put_block (0, 'a');
  assert_false (is_hastened (a));
  assert_false (retry (a, &moment));
  put_block (BLOCK, 'b');
  assert_true (is_hastened (a));
  run (&clients[0]);
  assert_int_equal (a->result, 0);
  check_wp (0, 3 * BLOCK);
}

/* Its wait begins anew with each progress in the zone, and not when it is tried
 * in vain.
 */
static void
test_progress (void **state)
{
  struct aside *a;
  uint64_t moment[5];

  (void) state;
  BEGIN ("zone-reorder-wait", "100s");
  a = write_early (3 * BLOCK, 'd');
  assert_false (retry (a, &moment[0]));
  put_block (0, 'a');
  assert_false (retry (a, &moment[1]));
  write_early (6 * BLOCK, 'g');
  assert_false (retry (a, &moment[2]));
  assert_false (retry (a, &moment[3]));
  write_early (ZONE + BLOCK, 'b');
  put_block (ZONE, 'a');
  assert_false (retry (a, &moment[4]));
  assert_true (moment[0] < moment[1] && moment[1] < moment[2]);
  assert_int_equal (moment[3], moment[2]);
  assert_int_equal (moment[4], moment[2]);
}

/* Its client goes. */
static void
test_over (void **state)
{
  struct aside *a, *b;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s", "lanes", "1", "latency", "1ms");
  a = write_early (BLOCK, 'b');
  b = write_early (2 * BLOCK, 'c');
  end_aside (a, true);
  assert_int_equal (a->result, -ESHUTDOWN);
  put_block (0, 'a');
  assert_int_equal (d->in_flight, 1);
  end_aside (b, true);
  assert_int_equal (d->in_flight, 0);
  check_wp (0, BLOCK);
}

static void
test_commands (void **state)
{
  struct aside *a;
  uint64_t moment;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s");
  a = write_early (BLOCK, 'b');
  /* It can still come to its place. */
  assert_int_equal (command_zone (0, ZONE_COND_EMPTY), 0);
  assert_false (is_hastened (a));
  assert_int_equal (command_zone (0, ZONE_COND_FULL), 0);
  assert_true (is_hastened (a));
  assert_true (retry (next_hastened (&clients[0]), &moment));
  assert_int_equal (a->result, -EIO);

  a = write_early (ZONE + BLOCK, 'b');
  assert_int_equal (command_zone (1, ZONE_COND_READONLY), 0);
  reported = 0;
  run (&clients[0]);
  assert_int_equal (a->result, -EROFS);
  assert_int_equal (reported, -EROFS);
}

/* Power waits for none of them, and none changes anything after a cut. */
static void
test_power (void **state)
{
  struct aside *a, *b;
  uint64_t moment;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s");
  a = write_early (BLOCK, 'b');
  device_cut_power (d->device, LOSE_ALL, 0);
  assert_true (is_hastened (a));
  run (&clients[0]);
  assert_int_equal (a->result, -ESHUTDOWN);
  device_power_on (d->device);

  a = write_early (BLOCK, 'b');
  b = write_early (ZONE + BLOCK, 'b');
  device_cut_power (d->device, LOSE_ALL, 0);
  device_power_on (d->device);
  put_block (0, 'a');
  assert_ptr_equal (next_hastened (&clients[0])->client, &clients[0]);
  assert_true (retry (a, &moment));
  assert_int_equal (a->result, -ESHUTDOWN);
  end_aside (b, true);
  assert_int_equal (b->result, -ESHUTDOWN);
  check_wp (0, BLOCK);
  assert_int_equal (d->nr_quiesced, 0);
}

/* The write at which power goes may be one of them. */
static void
test_cut_at_it (void **state)
{
  struct aside *a, *b;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s");
  b = write_early (ZONE + BLOCK, 'b');
  a = write_early (BLOCK, 'b');
  device_cut_power_after (d->device, 2, LOSE_NONE, 1);
  put_block (0, 'a');
  run (&clients[0]);
  assert_true (a->is_over && b->is_over);
  assert_int_equal (a->result, -ESHUTDOWN);
  assert_int_equal (b->result, -ESHUTDOWN);
  device_power_on (d->device);
  check_wp (0, 2 * BLOCK);
  assert_int_equal (d->in_flight, 0);
}

/* The last retry of a write is over, but its thread has not come to answer it,
 * as where the client takes no replies: a power cut does not wait for that.
 */
static void
test_cut_before_its_reply (void **state)
{
  struct aside *a;
  uint64_t moment;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s");
  a = write_early (BLOCK, 'b');
  put_block (0, 'a');
  assert_ptr_equal (next_hastened (&clients[0]), a);
  assert_true (a->retry (a->copy, a->payload, &moment));
  assert_int_equal (moment, 0);
  check_wp (0, 2 * BLOCK);
  assert_int_equal (d->in_flight, 1);
  assert_int_equal (d->nr_quiesced, 1);
  device_cut_power (d->device, LOSE_NONE, 0);
  device_power_on (d->device);
  end_aside (a, false);
  assert_int_equal (a->result, -ESHUTDOWN);
  assert_int_equal (d->in_flight, 0);
  assert_int_equal (d->nr_quiesced, 0);
}

/* Its own time passes after its last retry. */
static void
test_latency (void **state)
{
  struct aside *a;
  uint64_t moment;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s", "write-latency", "100s");
  a = write_early (BLOCK, 'b');
  nap_result = -ESHUTDOWN; /* in place of the wait */
  assert_int_equal (write_with (d, 0, BLOCK, 'a', false), -ESHUTDOWN);
  assert_ptr_equal (next_hastened (&clients[0]), a);
  assert_false (retry (a, &moment));
  assert_true (moment > clock_now () + 50 * NSEC_PER_SEC);
  check_wp (0, 2 * BLOCK);
  assert_int_equal (d->nr_quiesced, 1);
  device_cut_power (d->device, LOSE_NONE, 0);
  device_power_on (d->device);
  end_aside (a, false);
  assert_int_equal (a->result, -ESHUTDOWN);
  assert_int_equal (d->nr_quiesced, 0);
}

/* Rules are asked once, and what they corrupt is what is written. */
static void
test_rules (void **state)
{
  struct aside *a;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s", "fault",
         "corrupt=zero op=write after=1 count=1", "fault",
         "error=EPERM op=write after=2 count=1");
  a = write_early (2 * BLOCK, 'c');
  end_aside (a, true);
  a = write_early (BLOCK, 'b');
  assert_int_equal (write_with (d, 0, BLOCK, 'a', false), -EPERM);
  put_block (0, 'a');
  run (&clients[0]);
  assert_int_equal (a->result, 0);
  check_block (BLOCK, 0);
}

static void
test_live_change (void **state)
{
  struct settings_version *now, *set;
  struct aside *a;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s");
  a = write_early (BLOCK, 'b');
  now = device_hold_settings (d->device);
  set = settings_version_new (&now->s);
  set->s.read_only = true;
  pthread_mutex_lock (&devices->change_lock);
  device_install (d->device, set);
  assert_int_equal (write_with (d, 0, BLOCK, 'a', false), -EROFS);
  device_install (d->device, settings_version_new (&now->s));
  pthread_mutex_unlock (&devices->change_lock);
  device_drop_settings (d->device, now);
  put_block (0, 'a');
  run (&clients[0]);
  assert_int_equal (a->result, 0);
}

/* Then it waits on its thread. */
static void
test_no_room (void **state)
{
  (void) state;
  BEGIN ("zone-reorder-wait", "2ms");
  has_room = false;
  assert_int_equal (write_with (d, BLOCK, BLOCK, 'b', false), -EIO);
  assert_int_equal (d->in_flight, 0);
  assert_int_equal (d->nr_quiesced, 0);
}

/* There is room by the third nap. */
static void
test_room_comes (void **state)
{
  struct aside *a;

  (void) state;
  BEGIN ("zone-reorder-wait", "100s");
  has_room = false;
  naps = 0;
  at_third_nap = get_room;
  assert_int_equal (write_with (d, BLOCK, BLOCK, 'b', false), 0);
  at_third_nap = NULL;
  a = clients[0].last;
  assert_non_null (a);
  put_block (0, 'a');
  run (&clients[0]);
  assert_int_equal (a->result, 0);
  check_block (BLOCK, 'b');
  assert_int_equal (d->in_flight, 0);
  assert_int_equal (d->nr_quiesced, 0);
}

/* Its retry comes first. */
static void
test_retry_without_room (void **state)
{
  (void) state;
  BEGIN ("zone-reorder-wait", "100s");
  has_room = false;
  naps = 0;
  at_third_nap = write_before;
  assert_int_equal (write_with (d, BLOCK, BLOCK, 'b', false), 0);
  at_third_nap = NULL;
  assert_null (clients[0].last);
  check_block (BLOCK, 'b');
  check_wp (0, 2 * BLOCK);
  assert_int_equal (d->in_flight, 0);
}

/*---------------------------------------------------------------------*/
/* Two connections write the blocks of all zones in a random order. */

#define BLOCKS (SIZE / BLOCK)

static uint32_t order[2][BLOCKS / 2];

static void *
write_half (void *arg)
{
  struct client *c = arg;
  unsigned i;

  serving = c;
  for (i = 0; i < BLOCKS / 2; i++) {
    assert_int_equal (write_with (c->connection, order[c - clients][i] * BLOCK,
                                  BLOCK, 1 + order[c - clients][i], false),
                      0);
    run (c);
  }
  while (c->ended < c->set_aside)
    run (c);
  return NULL;
}

static void
test_random (void **state)
{
  uint64_t random = new_seed ("writes that are set aside");
  uint32_t all[BLOCKS], i, k, other;
  pthread_t threads[2];
  unsigned round;

  (void) state;
  for (round = 0; round < 50; round++) {
    BEGIN ("zone-reorder-wait", "100s");
    for (i = 0; i < BLOCKS; i++)
      all[i] = i;
    for (i = BLOCKS - 1; i > 0; i--) {
      k = random_below (&random, i + 1);
      other = all[i];
      all[i] = all[k];
      all[k] = other;
    }
    for (i = 0; i < BLOCKS; i++)
      order[i % 2][i / 2] = all[i];
    for (i = 0; i < 2; i++)
      assert_int_equal (
          pthread_create (&threads[i], NULL, write_half, &clients[i]), 0);
    for (i = 0; i < 2; i++)
      pthread_join (threads[i], NULL);
    for (i = 0; i < 2; i++) {
      assert_int_equal (clients[i].failed, 0);
      assert_int_equal (clients[i].connection->in_flight, 0);
    }
    for (i = 0; i < BLOCKS; i++)
      check_block ((uint64_t) i * BLOCK, 1 + i);
    end_case (state);
    devices = NULL;
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, forget_devices, end_case)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_retry),
      TEST (test_zeroes),
      TEST (test_across),
      TEST (test_its_time),
      TEST (test_in_vain),
      TEST (test_over),
      TEST (test_commands),
      TEST (test_power),
      TEST (test_cut_at_it),
      TEST (test_latency),
      TEST (test_rules),
      TEST (test_live_change),
      TEST (test_no_room),
      TEST (test_random),
      TEST (test_progress),
      TEST (test_room_comes),
      TEST (test_retry_without_room),
      TEST (test_cut_before_its_reply),
  };

  return RUN_TESTS (tests);
}
