/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Power that is cut and put back on at once, under requests that change
 * something or wait to: nothing that began before the cut is done after it.
 * Also run under ThreadSanitizer.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/device.h"
#include "devices.h"
#include "unit.h"

#define BLOCK 4096
#define ZONE 65536
#define SECTOR 512 /* what a number fills */
#define WRITERS 4
#define CYCLES 400
#define MARKS 200

static struct devices *devices;
static struct device *device;
static atomic_bool stuck;                     /* a nap ends when it is not */
static _Thread_local atomic_bool *has_napped; /* this thread's; or NULL */

static int
nap (void *opaque, uint64_t nsec)
{
  (void) opaque;
  (void) nsec;
  if (has_napped != NULL)
    atomic_store (has_napped, true);
  do
    sched_yield ();
  while (atomic_load (&stuck));
  return 0;
}

static const struct wait_ops how = {.sleep_for = nap};

static struct connection *
client (void)
{
  struct connection *c = device_connect (device, NULL);

  assert_non_null (c);
  return c;
}

static void
create (const char *const *given)
{
  struct message why;

  assert_int_equal (make_devices (&devices, given, &how, &why), 0);
  device = &devices->device[0];
}

#define CREATE(...)                                                            \
  create ((const char *const[]){"size", "1M", "memory-backed", "1",            \
                                __VA_ARGS__, NULL})
#define CREATE_ZONED(...)                                                      \
  CREATE ("cache-size", "1M", "zoned", "1", "zone-size", "64K",                \
          "zone-reorder-wait", "100s", __VA_ARGS__)

/* A request of its own thread, and what became of it. */
struct task {
  pthread_t thread;
  struct connection *c;
  enum operation op;
  uint64_t offset;
  int result;
  atomic_bool has_napped;
};

static void *
run (void *arg)
{
  struct zone_descriptor z = {.cond = ZONE_COND_FULL};
  static char page[BLOCK] = "before";
  struct task *t = arg;
  uint64_t done;

  has_napped = &t->has_napped;
  switch (t->op) {
  case OP_WRITE:
    t->result = device_write (t->c, page, BLOCK, t->offset, false);
    break;
  case OP_TRIM:
    t->result = device_trim (t->c, ZONE, t->offset, false);
    break;
  default:
    t->result = device_zone_commands (t->c, t->offset / ZONE, &z, 1, &done);
    break;
  }
  return NULL;
}

/* Come back when it waits. */
static void
start (struct task *t, enum operation op, uint64_t offset)
{
  *t = (struct task){.c = client (), .op = op, .offset = offset};
  assert_int_equal (pthread_create (&t->thread, NULL, run, t), 0);
  while (!atomic_load (&t->has_napped))
    sched_yield ();
}

static int
result (struct task *t)
{
  assert_int_equal (pthread_join (t->thread, NULL), 0);
  return t->result;
}

static void
cycle (void)
{
  device_cut_power (device, LOSE_ALL, 0);
  device_power_on (device);
}

static void
check_first (uint64_t offset, const char *text)
{
  struct connection *c = client ();
  static char page[BLOCK];

  assert_int_equal (device_read (c, page, BLOCK, offset), 0);
  assert_string_equal (page, text);
  device_disconnect (c);
}

static void
write_text (uint64_t offset, const char *text, bool fua)
{
  struct connection *c = client ();
  static char page[BLOCK];

  memset (page, 0, sizeof page);
  strcpy (page, text);
  assert_int_equal (device_write (c, page, BLOCK, offset, fua), 0);
  device_disconnect (c);
}

static void
delete_rules (void)
{
  struct message why;

  assert_int_equal (faults_change (&device->faults, "all", NULL, 0, &why), 0);
}

static void
test_hang (void **state)
{
  static const char *const caches[] = {"0", "1M"};
  struct task write;
  unsigned i;

  (void) state;
  for (i = 0; i < 2; i++) {
    CREATE ("cache-size", caches[i], "fault", "name=h op=write count=1 hang");
    start (&write, OP_WRITE, 0);
    cycle ();
    delete_rules ();
    assert_int_equal (result (&write), -ESHUTDOWN);
    check_first (0, "");
    write_text (0, "after", false);
    check_first (0, "after");
    devices_destroy (devices);
  }
}

static void
test_hang_of_zone_commands (void **state)
{
  struct task command, trim;
  struct zone_descriptor z[2];

  (void) state;
  CREATE_ZONED ("fault", "op=zone,trim hang");
  write_text (0, "kept", true);
  start (&command, OP_ZONE, ZONE);
  start (&trim, OP_TRIM, 0);
  cycle ();
  delete_rules ();
  assert_int_equal (result (&command), -ESHUTDOWN);
  assert_int_equal (result (&trim), -ESHUTDOWN);
  zones_read_table (device->zones, 0, z, 2);
  assert_int_equal (z[0].cond, ZONE_COND_CLOSED);
  assert_int_equal (z[1].cond, ZONE_COND_EMPTY);
  check_first (0, "kept");
  devices_destroy (devices);
}

/* What it waits for comes only after power is back. */
static void
test_early_write (void **state)
{
  struct zone_descriptor z;
  struct task early;

  (void) state;
  CREATE_ZONED ("seed", "1");
  start (&early, OP_WRITE, BLOCK);
  cycle ();
  write_text (0, "after", false);
  assert_int_equal (result (&early), -ESHUTDOWN);
  zones_read_table (device->zones, 0, &z, 1);
  assert_int_equal (le64toh (z.wp) * 512, BLOCK);
  check_first (BLOCK, "");
  devices_destroy (devices);
}

/* Power waits for nobody who sends replies that the client does not read. */
static void
test_stuck_nap (void **state)
{
  struct zone_descriptor z;
  struct task early, hung;

  (void) state;
  CREATE_ZONED ("fault", "name=h op=write count=1 hang");
  atomic_store (&stuck, true);
  start (&hung, OP_WRITE, 0);
  start (&early, OP_WRITE, BLOCK);
  cycle ();
  write_text (0, "after", false);
  atomic_store (&stuck, false);
  assert_int_equal (result (&hung), -ESHUTDOWN);
  assert_int_equal (result (&early), -ESHUTDOWN);
  zones_read_table (device->zones, 0, &z, 1);
  assert_int_equal (le64toh (z.wp) * 512, BLOCK);
  check_first (0, "after");
  devices_destroy (devices);
}

/*---------------------------------------------------------------------*/

static atomic_bool over;
static _Atomic uint64_t met;

/* Each has a sector of its own and writes a number more at a time.  All is lost
 * at every cut: a number whose write has failed may never be there.
 */
static void *
write_numbers (void *arg)
{
  static _Atomic uint64_t clients;
  const uint64_t offset = atomic_fetch_add (&clients, 1) % WRITERS * SECTOR;
  uint64_t page[SECTOR / 8] = {1}, back[SECTOR / 8];
  struct connection *c = client ();
  int r;

  (void) arg;
  while (!atomic_load (&over)) {
    page[0]++;
    r = device_write (c, page, SECTOR, offset, false);
    if (r == 0)
      continue;
    assert_int_equal (r, -ESHUTDOWN);
    while (device_read (c, back, SECTOR, offset) != 0)
      sched_yield ();
    if (back[0] == page[0])
      fail_msg ("number %llu was written after power came back",
                (unsigned long long) back[0]);
    atomic_fetch_add (&met, 1);
  }
  return NULL;
}

static void
test_writers (void **state)
{
  pthread_t threads[WRITERS];
  uint64_t before;
  unsigned i;

  (void) state;
  CREATE ("cache-size", "1G");
  atomic_store (&over, false);
  atomic_store (&met, 0);
  for (i = 0; i < WRITERS; i++)
    assert_int_equal (pthread_create (&threads[i], NULL, write_numbers, NULL),
                      0);
  for (i = 0; i < CYCLES; i++) {
    before = atomic_load (&met);
    cycle ();
    /* Some meet it, some do not; now and then wait for one that does. */
    while (i % 4 == 0 && atomic_load (&met) == before)
      cycle ();
  }
  atomic_store (&over, true);
  for (i = 0; i < WRITERS; i++)
    assert_int_equal (pthread_join (threads[i], NULL), 0);
  devices_destroy (devices);
}

/*---------------------------------------------------------------------*/

/* Keep the lock of the write log busy, so that the mark has to wait for it. */
static void *
keep_log_busy (void *arg)
{
  unsigned i;

  (void) arg;
  while (!atomic_load (&over)) {
    writelog_begin (device->log);
    for (i = 0; i < 20; i++)
      sched_yield ();
    writelog_end (device->log, true);
  }
  return NULL;
}

/* What it is by now, whoever has its lock. */
static off_t
size_of_log (const char *path)
{
  struct stat st;

  assert_int_equal (stat (path, &st), 0);
  return st.st_size;
}

/* The mark of a cut at a write comes before whatever is done after it. */
static void
test_mark (void **state)
{
  char path[] = "/tmp/nullblk-log-XXXXXX";
  struct task write = {.op = OP_WRITE};
  struct message why;
  pthread_t busy;
  unsigned i;
  off_t size;

  (void) state;
  assert_int_equal (close (mkstemp (path)), 0);
  CREATE ("cache-size", "1M", "write-log", path);
  assert_int_equal (devices_open_logs (devices, &why), 0);
  assert_int_equal (devices_start_logs (devices, &why), 0);
  write.c = client ();
  atomic_store (&over, false);
  assert_int_equal (pthread_create (&busy, NULL, keep_log_busy, NULL), 0);
  for (i = 0; i < MARKS; i++) {
    device_cut_power_after (device, 1, LOSE_ALL, 0);
    assert_int_equal (pthread_create (&write.thread, NULL, run, &write), 0);
    while ((durability_epoch (device->durability) & 1) == 0)
      sched_yield ();
    device_power_on (device);
    size = size_of_log (path);
    assert_int_equal (result (&write), -ESHUTDOWN);
    assert_int_equal (size_of_log (path), size);
  }
  atomic_store (&over, true);
  assert_int_equal (pthread_join (busy, NULL), 0);
  devices_destroy (devices);
  unlink (path);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_hang),
      cmocka_unit_test (test_hang_of_zone_commands),
      cmocka_unit_test (test_early_write),
      cmocka_unit_test (test_stuck_nap),
      cmocka_unit_test (test_writers),
      cmocka_unit_test (test_mark),
  };

  return RUN_TESTS (tests);
}
