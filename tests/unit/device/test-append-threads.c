/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Many threads append to few zones.  Of a zone that nobody resets each byte of
 * its capacity is taken once.  With others that write at write pointers, read,
 * finish and reset, every append is found once, whole, where it said that it
 * went, and not where it has failed before; and between them there is no gap.
 * Also run under ThreadSanitizer.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "devices.h"
#include "unit.h"

#define SECTOR 512
#define ZONE 65536
#define CAPACITY 49152
#define ZONES 4
#define WRITERS 5
#define HARVESTERS 2
#define REQUESTS 500 /* of a writer, each tried until it succeeds */
#define MOST 8       /* sectors of a request */
#define NOWHERE UINT64_MAX

/* Each sector of request NUMBER has this. */
struct sector {
  uint64_t number; /* from 1 on */
  uint32_t index;  /* of the sector in its request */
  uint32_t count;  /* of the request's sectors */
  uint64_t rest[62];
};
_Static_assert(sizeof (struct sector) == SECTOR, "a sector");

static struct devices *devices;
static struct device *device;
static uint64_t seed;
static _Atomic unsigned writing; /* threads */

/* Of each request: where it says that it went, and where it was found.  The
 * former has one writer, and the latter one harvester: that of its zone.
 */
static uint64_t went[1 + WRITERS * REQUESTS], found[1 + WRITERS * REQUESTS];

struct thread {
  pthread_t id;
  unsigned nr;
  struct connection *c;
  uint64_t random;
  uint64_t done;     /* what it is there for, so many times */
  const char *wrong; /* what was; or NULL */
};

/* Let others go between the moments at which an append begins and at which it
 * has its zone.
 */
static uint64_t
arrive (void)
{
  sched_yield ();
  return 0;
}

static const struct front_end front_end = {
    .wait = {.sleep_for = pass_by},
    .arrival = arrive,
};

static void
create (const char *const *given)
{
  struct message why;

  assert_int_equal (make_devices (&devices, given, &skips, &why), 0);
  assert_int_equal (devices_open_logs (devices, &why), 0);
  assert_int_equal (devices_start_logs (devices, &why), 0);
  device = &devices->device[0];
}

#define CREATE(...)                                                            \
  create ((const char *const[]){                                               \
      "size", "256K", "memory-backed", "1", "zoned", "1", "zone-size", "64K",  \
      "zone-capacity", "48K", "zone-reorder-wait", "0", __VA_ARGS__, NULL})

static void
begin_threads (struct thread *threads, unsigned n, void *(*body) (void *) )
{
  unsigned i;

  for (i = 0; i < n; i++) {
    threads[i] = (struct thread){.nr = i,
                                 .c = device_connect (device, &front_end),
                                 .random = seed + (i + 1) * 0x123456789};
    assert_int_equal (pthread_create (&threads[i].id, NULL, body, &threads[i]),
                      0);
  }
}

/* They have come to their end; returns how many requests succeeded. */
static uint64_t
end_threads (struct thread *threads, unsigned n)
{
  uint64_t done = 0;
  unsigned i;

  for (i = 0; i < n; i++) {
    assert_int_equal (pthread_join (threads[i].id, NULL), 0);
    if (threads[i].wrong != NULL)
      fail_msg ("%s", threads[i].wrong);
    device_disconnect (threads[i].c);
    done += threads[i].done;
  }
  return done;
}

static void
fill (struct sector *s, uint64_t number, uint32_t count)
{
  uint32_t i, k;

  for (i = 0; i < count; i++) {
    s[i] = (struct sector){.number = number, .index = i, .count = count};
    for (k = 0; k < 62; k++)
      s[i].rest[k] = number * 64 + i;
  }
}

/* Is this the whole request that begins here? */
static bool
is_whole (const struct sector *s, uint64_t left)
{
  struct sector expected[MOST];

  if (s->number == 0 || s->index != 0 || s->count == 0 || s->count > MOST ||
      s->count > left)
    return false;
  fill (expected, s->number, s->count);
  return memcmp (s, expected, s->count * SECTOR) == 0;
}

/* How many sectors of a zone, as it was at one moment, are requests one behind
 * the other.  What follows has to be nothing; or else NOWHERE.
 */
static uint64_t
length_of (const struct sector *s)
{
  static const struct sector nothing;
  uint64_t n = 0, i;

  while (n < ZONE / SECTOR && is_whole (&s[n], ZONE / SECTOR - n))
    n += s[n].count;
  for (i = n; i < ZONE / SECTOR; i++) {
    if (memcmp (&s[i], &nothing, SECTOR) != 0)
      return NOWHERE;
  }
  return n;
}

static uint64_t
write_pointer (uint64_t zone)
{
  struct zone_descriptor z;

  zones_read_table (device->zones, zone, &z, 1);
  return le64toh (z.wp) * 512;
}

/*---------------------------------------------------------------------*/
/* Nobody resets: as many appends succeed as there is room. */

static void *
append_until_full (void *arg)
{
  struct sector sector;
  struct thread *t = arg;
  uint64_t zone, place, number;

  for (zone = 0; zone < ZONES; zone++) {
    for (;;) {
      number = 1 + zone * WRITERS + t->nr;
      fill (&sector, number, 1);
      if (device_append (t->c, &sector, SECTOR, zone * ZONE, false, &place) !=
          0)
        break;
      t->done++;
    }
    if (write_pointer (zone) < zone * ZONE + CAPACITY)
      t->wrong = "an append to a zone that is not full has failed";
  }
  return NULL;
}

static void
test_all_room_is_taken (void **state)
{
  static struct sector sectors[ZONE / SECTOR];
  struct thread threads[WRITERS];
  struct connection *c;
  uint64_t zone;

  (void) state;
  CREATE ("latency", "0");
  begin_threads (threads, WRITERS, append_until_full);
  assert_int_equal (end_threads (threads, WRITERS), ZONES * CAPACITY / SECTOR);
  c = device_connect (device, NULL);
  for (zone = 0; zone < ZONES; zone++) {
    assert_int_equal (device_read (c, sectors, ZONE, zone * ZONE), 0);
    assert_int_equal (length_of (sectors), CAPACITY / SECTOR);
  }
  devices_destroy (devices);
}

/*---------------------------------------------------------------------*/
/* Everything at once */

static int
command (struct connection *c, uint64_t zone, enum zone_cond cond)
{
  const struct zone_descriptor descriptor = {.cond = cond};
  uint64_t done;

  return device_zone_commands (c, zone, &descriptor, 1, &done);
}

/* Mostly an append; now and then a write to where the write pointer was just
 * now, which another request may have moved.
 */
static int
write_somewhere (struct thread *t, const struct sector *sectors, uint32_t count,
                 uint64_t *place)
{
  const uint64_t zone = random_below (&t->random, ZONES);
  const bool fua = random_below (&t->random, 16) == 0;

  *place = write_pointer (zone);
  if (random_below (&t->random, 6) != 0)
    return device_append (t->c, sectors, count * SECTOR, zone * ZONE, fua,
                          place);
  return *place + count * SECTOR <= (zone + 1) * ZONE
             ? device_write (t->c, sectors, count * SECTOR, *place, fua)
             : -EIO;
}

static void *
write_some (void *arg)
{
  static _Thread_local struct sector sectors[MOST];
  struct thread *t = arg;
  uint64_t i, number;
  uint32_t count;
  int r;

  for (i = 0; i < REQUESTS && t->wrong == NULL; i++) {
    number = 1 + t->nr * REQUESTS + i;
    count = 1 + random_below (&t->random, MOST);
    fill (sectors, number, count);
    while ((r = write_somewhere (t, sectors, count, &went[number])) == -EIO)
      sched_yield ();
    if (r != 0)
      t->wrong = "a write fails with another error than -EIO";
    t->done++;
  }
  atomic_fetch_sub (&writing, 1);
  return NULL;
}

/* A zone that is full stays as it is, as only its harvester resets it.  Returns
 * what is wrong, or NULL.
 */
static const char *
look_at (struct connection *c, uint64_t zone)
{
  static _Thread_local struct sector sectors[ZONE / SECTOR];
  uint64_t n, i, *place;

  if (device_read (c, sectors, ZONE, zone * ZONE) != 0)
    return "a zone cannot be read";
  n = length_of (sectors);
  if (n == NOWHERE)
    return "a zone that is full has a gap";
  for (i = 0; i < n; i += sectors[i].count) {
    place = &found[sectors[i].number];
    if (*place != NOWHERE)
      return "a request is there twice";
    *place = zone * ZONE + i * SECTOR;
  }
  return NULL;
}

static const char *
harvest (struct connection *c, uint64_t zone)
{
  const bool finished = command (c, zone, ZONE_COND_FULL) == 0;
  const char *wrong = finished ? look_at (c, zone) : NULL;

  if (command (c, zone, ZONE_COND_EMPTY) != 0 || !finished)
    return "a zone cannot be finished and reset";
  return wrong;
}

static void *
harvest_some (void *arg)
{
  struct thread *t = arg;
  uint64_t zone = t->nr;
  const char *wrong;

  while (atomic_load (&writing) > 0) {
    if (write_pointer (zone) - zone * ZONE >
        random_below (&t->random, CAPACITY)) {
      wrong = harvest (t->c, zone);
      t->wrong = t->wrong != NULL ? t->wrong : wrong;
      t->done++;
    }
    else
      sched_yield ();
    zone = (zone + HARVESTERS) % ZONES;
  }
  return NULL;
}

static void *
read_some (void *arg)
{
  static _Thread_local struct sector sectors[ZONE / SECTOR];
  struct thread *t = arg;
  uint64_t zone;

  while (atomic_load (&writing) > 0) {
    zone = random_below (&t->random, ZONES);
    if (device_read (t->c, sectors, ZONE, zone * ZONE) != 0)
      t->wrong = "a read fails";
    else if (length_of (sectors) == NOWHERE)
      t->wrong = "a zone has a gap";
    t->done++;
  }
  return NULL;
}

static void
check_everything (const char *what)
{
  struct thread writers[WRITERS], harvesters[HARVESTERS], reader;
  uint64_t i, zone, harvests;
  struct connection *c;

  seed = new_seed (what);
  memset (went, 0xff, sizeof went);
  memset (found, 0xff, sizeof found);
  atomic_store (&writing, WRITERS);
  begin_threads (harvesters, HARVESTERS, harvest_some);
  begin_threads (&reader, 1, read_some);
  begin_threads (writers, WRITERS, write_some);
  assert_int_equal (end_threads (writers, WRITERS), WRITERS * REQUESTS);
  harvests = end_threads (harvesters, HARVESTERS);
  end_threads (&reader, 1);
  c = device_connect (device, NULL);
  for (zone = 0; zone < ZONES; zone++)
    assert_null (harvest (c, zone));
  for (i = 1; i <= WRITERS * REQUESTS; i++) {
    if (went[i] != found[i])
      fail_msg ("request %llu went to %lld, and was found at %lld",
                (unsigned long long) i, (long long) went[i],
                (long long) found[i]);
  }
  printf ("# %s: %llu harvests\n", what, (unsigned long long) harvests);
}

static void
test_everything (void **state)
{
  (void) state;
  CREATE ("latency", "0");
  check_everything ("appends");
  devices_destroy (devices);
}

/* Zones take each other's places. */
static void
test_one_open (void **state)
{
  (void) state;
  CREATE ("zone-max-open", "1");
  check_everything ("appends, one open zone");
  devices_destroy (devices);
}

/* Nothing moves with a stripe locked, and all of it in the lock of a cache. */
static void
test_log_and_cache (void **state)
{
  char path[] = "/tmp/nullblk-log-XXXXXX";
  struct message why;

  (void) state;
  assert_int_equal (close (mkstemp (path)), 0);
  CREATE ("write-log", path, "cache-size", "64K", "zone-max-open", "2");
  check_everything ("appends, log and cache");
  assert_int_equal (devices_close_logs (devices, &why), 0);
  devices_destroy (devices);
  unlink (path);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_all_room_is_taken),
      cmocka_unit_test (test_everything),
      cmocka_unit_test (test_one_open),
      cmocka_unit_test (test_log_and_cache),
  };

  return RUN_TESTS (tests);
}
