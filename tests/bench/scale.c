/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Measures what many things cost in the core, in one process without a server.
 *
 *   scale
 *
 * Prints a line for each figure: what it is, its value and its unit, with tabs
 * between them.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/control.h"
#include "device/device.h"

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)
#define MEMORY (1100 * MIB)
#define BLOCK (4 * KIB)

static char buf[128 * 1024];
static struct devices *devices;
static struct connection *d, *config;

static int
nap (void *opaque, uint64_t nsec)
{
  (void) opaque, (void) nsec;
  return -ESHUTDOWN;
}

static void __attribute__ ((noreturn)) die (const char *what)
{
  fprintf (stderr, "scale: %s\n", what);
  exit (EXIT_FAILURE);
}

static void
must (int r, const char *what)
{
  if (r < 0)
    die (what);
}

/* Make devices; GIVEN is keys and values, with NULL at the end. */
static void
create (const char *const *given)
{
  static const struct front_end front_end = {.wait = {.sleep_for = nap}};
  struct message why;
  struct params p;

  params_init (&p);
  for (; given[0] != NULL; given += 2) {
    if (params_set (&p, given[0], given[1], &why) < 0)
      die (why.text);
  }
  if (params_complete (&p, MEMORY, UINT64_MAX, 4096, &why) < 0)
    die (why.text);
  must (devices_create (&devices, &p.settings, MEMORY, 4096, &front_end),
        "no devices");
  d = device_connect (&devices->device[0], NULL);
  must (control_connect (devices, "nullb0.config", true, &config),
        "no .config");
  params_clear (&p);
}

#define CREATE(...) create ((const char *const[]){__VA_ARGS__, NULL})

static void
change (const char *text)
{
  struct message why;

  if (control_write (config, text, strlen (text), 0, &why) < 0)
    die (why.text);
}

static void
show (const char *what, double value, const char *unit)
{
  printf ("%s\t%.4g\t%s\n", what, value, unit);
  fflush (stdout);
}

static double
ms_since (uint64_t from)
{
  return (double) (clock_now () - from) / NSEC_PER_MSEC;
}

static double
us_each (uint64_t from, uint64_t n)
{
  return (double) (clock_now () - from) / 1000 / n;
}

/*---------------------------------------------------------------------*/
/* A thread that reads all the time: how long does its slowest read take? */

static struct watcher {
  pthread_t thread;
  atomic_bool stop;
  atomic_bool begun;
  uint64_t longest, reads;
} watcher;

static void *
watch (void *unused)
{
  struct connection *c = device_connect (&devices->device[0], NULL);
  char block[512];
  uint64_t begin, ns;

  (void) unused;
  while (!atomic_load (&watcher.stop)) {
    begin = clock_now ();
    must (device_read (c, block, sizeof block, INT64_C (1) << 39), "a read");
    ns = clock_now () - begin;
    if (ns > watcher.longest)
      watcher.longest = ns;
    watcher.reads++;
    atomic_store (&watcher.begun, true);
  }
  device_disconnect (c);
  return NULL;
}

static void
begin_watch (void)
{
  watcher.longest = watcher.reads = 0;
  atomic_store (&watcher.stop, false);
  atomic_store (&watcher.begun, false);
  if (pthread_create (&watcher.thread, NULL, watch, NULL) != 0)
    die ("no thread");
  while (!atomic_load (&watcher.begun))
    ;
}

static double
end_watch (void)
{
  atomic_store (&watcher.stop, true);
  pthread_join (watcher.thread, NULL);
  return (double) watcher.longest / NSEC_PER_MSEC;
}

/*---------------------------------------------------------------------*/

static void
reset_zones (void)
{
  static const struct {
    const char *zone_size, *what;
  } zones[] = {{"1T", "reset of a zone with 4 KiB: 1T"},
               {"1P", "reset of a zone with 4 KiB: 1P"},
               {"64P", "reset of a zone with 4 KiB: 64P"}};
  const struct zone_descriptor empty = {.cond = ZONE_COND_EMPTY};
  uint64_t begin, done;
  unsigned i;

  for (i = 0; i < sizeof zones / sizeof zones[0]; i++) {
    CREATE ("size", "4E", "memory-backed", "1", "zoned", "1", "zone-size",
            zones[i].zone_size);
    must (device_write (d, buf, BLOCK, 0, false), "a write");
    begin = clock_now ();
    must (device_zone_commands (d, 0, &empty, 1, &done), "a reset");
    show (zones[i].what, ms_since (begin), "ms");
    devices_destroy (devices);
  }
}

/* The KiB of memory that this process has. */
static double
resident (void)
{
  unsigned long pages = 0;
  FILE *fp = fopen ("/proc/self/statm", "r");

  if (fp == NULL || fscanf (fp, "%*u %lu", &pages) != 1)
    die ("/proc/self/statm cannot be read");
  fclose (fp);
  return (double) pages * sysconf (_SC_PAGESIZE) / KIB;
}

/* A device with as many zones as it can have here. */
static void
most_zones (void)
{
  enum { ZONES = 1 << 24, A_READ = 1 << 12 };
  static struct zone_descriptor table[A_READ];
  const struct zone_descriptor full = {.cond = ZONE_COND_FULL};
  const double before = resident ();
  uint64_t begin, i, done;

  CREATE ("size", "16T", "zoned", "1", "zone-size", "1M");
  show ("2^24 zones: memory", (resident () - before) / 1024, "MiB");
  begin = clock_now ();
  for (i = 0; i < ZONES; i += A_READ)
    zones_read_table (devices->device[0].zones, i, table, A_READ);
  show ("... report of all", ms_since (begin), "ms");
  begin = clock_now ();
  for (i = 0; i < 100000; i++)
    must (device_zone_commands (d, i * 167, &full, 1, &done), "a finish");
  show ("... finish of an empty zone", us_each (begin, 100000), "us");
  begin = clock_now ();
  change ("zones=reset\n");
  show ("... zones=reset, 100,000 of them full", ms_since (begin), "ms");
  show ("... memory then", (resident () - before) / 1024, "MiB");
  devices_destroy (devices);
}

static void
many_zones (void)
{
  uint64_t begin;

  CREATE ("size", "4T", "zoned", "1", "zone-size", "4M", "zone-full", "1");
  begin = clock_now ();
  change ("zones=reset\n");
  show ("1M full zones: zones=reset", ms_since (begin), "ms");
  devices_destroy (devices);
}

static void
trims (void)
{
  const uint64_t n = 64 * MIB / BLOCK;
  uint64_t begin, i;
  unsigned history;

  for (history = 0; history < 2; history++) {
    CREATE ("size", "1T", "memory-backed", "1");
    for (i = 0; i < n; i++)
      must (device_write (d, buf, BLOCK, i * BLOCK, false), "a write");
    for (i = 0; history && i < 300; i++) {
      must (device_trim (d, BLOCK, 0, false), "a trim");
      must (device_write (d, buf, BLOCK, 0, false), "a write");
    }
    begin = clock_now ();
    for (i = 0; i < n; i++)
      must (device_trim (d, BLOCK, i * BLOCK, false), "a trim");
    show (history ? "trim of 4 KiB, after 300 x (trim; write) of one place"
                  : "trim of 4 KiB, fresh",
          us_each (begin, n), "us");
    devices_destroy (devices);
  }
}

/* Make a large device, and have a thread read it.  Returns room for a change of
 * SIZE bytes.
 */
static char *
begin_changes (size_t size)
{
  char *text = malloc (size);

  if (text == NULL)
    die ("no memory");
  CREATE ("size", "1T");
  begin_watch ();
  return text;
}

static void
bad_ranges (void)
{
  enum { RANGES = 100000, A_CHANGE = 4000 };
  char *text = begin_changes (A_CHANGE * 32 + 16);
  uint64_t begin = clock_now ();
  size_t used;
  int i, k;

  for (i = RANGES; i > 0; i -= A_CHANGE) {
    used = (size_t) sprintf (text, "badblocks=");
    for (k = 1; k <= A_CHANGE; k++)
      used += (size_t) sprintf (text + used, "%s+%d-%d", k > 1 ? "," : "",
                                8 * (i - k), 8 * (i - k));
    strcpy (text + used, "\n");
    change (text);
  }
  show ("100,000 bad ranges, descending, by 25 writes", ms_since (begin), "ms");
  show ("... longest read meanwhile", end_watch (), "ms");
  begin = clock_now ();
  for (i = 0; i < 100000; i++)
    must (device_read (d, buf, 512, (uint64_t) i * 4096 + 512), "a read");
  show ("... read between them", us_each (begin, 100000), "us");
  devices_destroy (devices);
  free (text);
}

static void
many_rules (void)
{
  enum { RULES = 10000, A_CHANGE = 1000 };
  char *text = begin_changes (A_CHANGE * 64);
  uint64_t begin = clock_now ();
  size_t used;
  int i, k;

  for (i = 0; i < RULES; i += A_CHANGE) {
    for (k = 0, used = 0; k < A_CHANGE; k++)
      used += (size_t) sprintf (text + used,
                                "fault=name=n%d op=flush error=EIO\n", i + k);
    change (text);
  }
  show ("10,000 rules, by 10 writes", ms_since (begin), "ms");
  show ("... longest read meanwhile", end_watch (), "ms");
  begin = clock_now ();
  for (i = 0; i < 1000; i++)
    must (device_read (d, buf, 512, 0), "a read");
  show ("... read that meets none", us_each (begin, 1000), "us");
  devices_destroy (devices);
  free (text);
}

/*---------------------------------------------------------------------*/
/* Eight threads that write 128 KiB at one place, and one that reads there. */

#define WRITERS 8

static atomic_bool stop;

static void *
write_on (void *unused)
{
  struct connection *c = device_connect (&devices->device[0], NULL);

  (void) unused;
  while (!atomic_load (&stop))
    must (device_write (c, buf, sizeof buf, 0, false), "a write");
  device_disconnect (c);
  return NULL;
}

static void *
read_on (void *reads)
{
  struct connection *c = device_connect (&devices->device[0], NULL);
  char block[512];

  while (!atomic_load (&stop)) {
    must (device_read (c, block, sizeof block, 0), "a read");
    ++*(uint64_t *) reads;
  }
  device_disconnect (c);
  return NULL;
}

static void
writers_and_reader (void)
{
  const struct timespec second = {.tv_sec = 1};
  pthread_t threads[WRITERS + 1];
  uint64_t reads = 0;
  unsigned i;

  CREATE ("size", "1T", "memory-backed", "1");
  atomic_store (&stop, false);
  for (i = 0; i <= WRITERS; i++) {
    if (pthread_create (&threads[i], NULL, i < WRITERS ? write_on : read_on,
                        &reads) != 0)
      die ("no thread");
  }
  nanosleep (&second, NULL);
  atomic_store (&stop, true);
  for (i = 0; i <= WRITERS; i++)
    pthread_join (threads[i], NULL);
  show ("reads beside 8 writers of 128 KiB at one place", (double) reads,
        "in 1 s");
  devices_destroy (devices);
}

static void
lonely_blocks (void)
{
  const uint64_t n = 100000, stride = UINT64_C (1) << 24;
  uint64_t begin, i;

  CREATE ("size", "4E", "memory-backed", "1");
  begin = clock_now ();
  for (i = 0; i < n; i++)
    must (device_write (d, buf, BLOCK, i * stride, false), "a write");
  show ("100,000 lonely blocks: write", us_each (begin, n), "us");
  begin = clock_now ();
  for (i = 0; i < n; i++)
    must (device_read (d, buf, BLOCK, i * stride), "a read");
  show ("... read", us_each (begin, n), "us");
  devices_destroy (devices);
}

/* Make N writes, one behind the other from 0 on. */
static void
write_blocks (uint64_t n)
{
  uint64_t i;

  for (i = 0; i < n; i++)
    must (device_write (d, buf, BLOCK, i * BLOCK, false), "a write");
}

static void
flushes (void)
{
  const uint64_t n = 100000;
  uint64_t begin, i;

  CREATE ("size", "1T", "memory-backed", "1", "cache-size", "1G");
  begin = clock_now ();
  for (i = 0; i < n; i++)
    must (device_flush (d), "a flush");
  show ("flush of an empty cache", us_each (begin, n), "us");
  write_blocks (n);
  write_blocks (n);
  begin = clock_now ();
  must (device_flush (d), "a flush");
  show ("flush of 200,000 volatile blocks", ms_since (begin), "ms");
  devices_destroy (devices);
}

static void
power_cut (void)
{
  uint64_t begin;

  CREATE ("size", "1T", "memory-backed", "1", "cache-size", "1G");
  write_blocks (100000);
  begin = clock_now ();
  change ("power=cut\nlose=random\n");
  show ("power cut of 100,000 volatile blocks", ms_since (begin), "ms");
  devices_destroy (devices);
}

int
main (void)
{
  memset (buf, 0x5a, sizeof buf);
  reset_zones ();
  most_zones ();
  many_zones ();
  trims ();
  bad_ranges ();
  many_rules ();
  writers_and_reader ();
  lonely_blocks ();
  flushes ();
  power_cut ();
  return EXIT_SUCCESS;
}
