/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Each allocation fails once: the first one of a run fails, then in another run
 * the second one, and so on to the last.  A run makes zoned devices with a
 * cache, a write log, bad blocks, fault rules and latencies from files, and
 * connects to them, reads and changes settings, and does requests and zone
 * commands, with the mechanisms of drives, too.  What fails says that there is
 * no memory, and succeeds when it is tried once more; data that was written is
 * there at the end.  AddressSanitizer sees what is lost.
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "control/control.h"
#include "devices.h"

/*---------------------------------------------------------------------*/
/* The allocations of libcore */

static unsigned calls, fails_at; /* 0: none */

static bool
fails (void)
{
  return ++calls == fails_at;
}

void *__real_malloc (size_t n);
void *__wrap_malloc (size_t n);
void *
__wrap_malloc (size_t n)
{
  return fails () ? NULL : __real_malloc (n);
}

void *__real_calloc (size_t n, size_t size);
void *__wrap_calloc (size_t n, size_t size);
void *
__wrap_calloc (size_t n, size_t size)
{
  return fails () ? NULL : __real_calloc (n, size);
}

void *__real_realloc (void *p, size_t n);
void *__wrap_realloc (void *p, size_t n);
void *
__wrap_realloc (void *p, size_t n)
{
  return fails () ? NULL : __real_realloc (p, n);
}

void *__real_aligned_alloc (size_t alignment, size_t n);
void *__wrap_aligned_alloc (size_t alignment, size_t n);
void *
__wrap_aligned_alloc (size_t alignment, size_t n)
{
  return fails () ? NULL : __real_aligned_alloc (alignment, n);
}

char *__real_strdup (const char *s);
char *__wrap_strdup (const char *s);
char *
__wrap_strdup (const char *s)
{
  return fails () ? NULL : __real_strdup (s);
}

void *__real_mmap (void *at, size_t n, int protection, int flags, int fd,
                   off_t offset) OF_LARGE_FILES ("__real_mmap");
void *__wrap_mmap (void *at, size_t n, int protection, int flags, int fd,
                   off_t offset) OF_LARGE_FILES ("__wrap_mmap");
void *
__wrap_mmap (void *at, size_t n, int protection, int flags, int fd,
             off_t offset)
{
  if (fails ()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return __real_mmap (at, n, protection, flags, fd, offset);
}

/*---------------------------------------------------------------------*/

static struct devices *devices;
static struct message why;
static char log_path[] = "/tmp/nullblk-no-memory-XXXXXX";
static char lines_path[] = "/tmp/nullblk-no-memory-lines-XXXXXX";
#ifdef HAVE_JANSSON
static char fio_path[] = "/tmp/nullblk-no-memory-fio-XXXXXX";
#endif
static uint8_t buf[65536];

/* Do something that may fail for memory, and then once more. */
#define STEP(what)                                                             \
  do {                                                                         \
    int r_;                                                                    \
                                                                               \
    why.text[0] = '\0';                                                        \
    r_ = (what);                                                               \
    if (r_ != 0) {                                                             \
      if (calls < fails_at || (r_ != -ENOMEM && r_ != -ENOSPC))                \
        fail_msg ("allocation %u: %s: %d %s", fails_at, #what, r_, why.text);  \
      assert_int_equal (what, 0);                                              \
    }                                                                          \
  } while (0)

static int
set_file (struct params *p, const char *key, const char *path)
{
  char value[80];

  snprintf (value, sizeof value, "file:%s", path);
  return params_set (p, key, value, &why);
}

static int
set_parameters (struct params *p)
{
  static const char *const given[][2] = {
      {"size", "1M"},
      {"memory-backed", "1"},
      {"devices", "2"},
      {"cache-size", "64K"},
      {"zoned", "1"},
      {"zone-size", "64K"},
      {"zone-max-open", "3"},
      {"zone-readonly", "15"},
      {"latency", "lognormal:p50=1ns,p99=2ns"},
      {"read-latency", "percentiles:p50=1ns,p99=2ns"},
      {"lanes", "2"},
      {"badblocks", "+2000-2001,+2004-2005"},
      {"fault", "name=a op=read zones=9 error=EIO"},
      {"fault", "op=zone count=1 delay=uniform:1ns-2ns"},
      {"fault", "op=read range=640K+4K corrupt=flip"},
      {"fault", "op=write range=128K+4K corrupt=flip"},
  };
  size_t i;
  int r = 0;

  for (i = 0; r == 0 && i < sizeof given / sizeof given[0]; i++)
    r = params_set (p, given[i][0], given[i][1], &why);
  if (r == 0)
    r = set_file (p, "trim-latency", lines_path);
#ifdef HAVE_JANSSON
  if (r == 0)
    r = set_file (p, "zero-latency", fio_path);
#endif
  if (r == 0)
    r = params_set (p, "write-log", log_path, &why);
  return r != 0 ? r
                : params_complete (p, DEVICES_MEMORY, UINT64_MAX, 4096, &why);
}

static int
make (void)
{
  const struct front_end front_end = {.wait = skips};
  struct params p;
  int r;

  params_init (&p);
  r = set_parameters (&p);
  if (r == 0)
    r = devices_create (&devices, &p.settings, DEVICES_MEMORY, 4096,
                        &front_end);
  if (r == 0) {
    r = devices_add_faults (devices, p.badblocks, p.faults, &why);
    if (r == 0)
      r = devices_open_logs (devices, &why);
    if (r == 0)
      r = devices_start_logs (devices, &why);
    if (r != 0)
      devices_destroy (devices);
  }
  params_clear (&p);
  return r;
}

static int
change (struct connection *config, const char *lines)
{
  return control_write (config, lines, strlen (lines), 0, &why);
}

static int
command (struct connection *table, uint64_t zone, enum zone_cond cond)
{
  struct zone_descriptor d = {.cond = cond};

  return control_write (table, &d, sizeof d, zone * sizeof d, &why);
}

static void
use (struct connection *data, struct connection *config,
     struct connection *stats, struct connection *table)
{
  memset (buf, 7, 4096);
  STEP (device_write (data, buf, 4096, 0, false));
  STEP (device_write (data, buf, 4096, 65536, true));
  STEP (device_zero (data, 4096, 4096, true, false));
  STEP (device_flush (data));
  STEP (device_read (data, buf, 4096, 655360));
  STEP (change (config, "read-latency=normal:2ns,1ns\niops=1000000\n"));
  STEP (change (config, "fault=op=flush every=2 delay=1ns\n"));
  STEP (change (config, "fault-delete=a\nbadblocks=+1900-1901,-2004-2005\n"));
  STEP (change (config, "memory-limit=4M\nprofile=nvme\n"));
  STEP (device_read (data, buf, 4096, 0));
  STEP (change (config, "profile=none\nmark=here\n"));
  STEP (change (config, "disk=track:0,full:0,rpm:100000,queue:2\n"
                        "read-load-latency=1ns\n"));
  STEP (device_read (data, buf, 4096, 8192));
  STEP (change (config, "disk=none\n"));
  STEP (control_read (config, buf, sizeof buf, 0));
  STEP (control_read (stats, buf, sizeof buf, 0));
  STEP (control_read (table, buf, 64, 64));
  STEP (command (table, 3, ZONE_COND_EXP_OPEN));
  STEP (command (table, 3, ZONE_COND_EMPTY));
  STEP (device_trim (data, 65536, 131072, false));
  memset (buf, 9, 8192);
  STEP (device_write (data, buf, 8192, 131072, false));
  STEP (change (config, "power=cut\nlose=all\n"));
  STEP (change (config, "power=on\n"));
  STEP (change (config, "fault-delete=all\nbadblocks=none\nstats=reset\n"));

  /* What was flushed, or had FUA. */
  STEP (device_read (data, buf, 4096, 0));
  assert_int_equal (buf[0], 7);
  assert_int_equal (buf[4095], 7);
  STEP (device_read (data, buf, 4096, 65536));
  assert_int_equal (buf[4095], 7);
}

static void
run (void)
{
  struct connection *data, *config, *stats, *table;

  STEP (make ());
  STEP (control_connect (devices, "nullb0", true, &data));
  STEP (control_connect (devices, "nullb0.config", true, &config));
  STEP (control_connect (devices, "nullb0.stats", true, &stats));
  STEP (control_connect (devices, "nullb0.zones", true, &table));
  use (data, config, stats, table);
  device_disconnect (data);
  assert_int_equal (devices_close_logs (devices, &why), 0);
  devices_destroy (devices);
}

static void
test_each_fails_once (void **state)
{
  (void) state;
  fails_at = 0;
  run ();
  fails_at = 0;
  do {
    fails_at++;
    calls = 0;
    run ();
  } while (calls >= fails_at);
  assert_true (fails_at > 100);
  printf ("# %u allocations\n", fails_at - 1);
  fails_at = 0;
}

static bool
make_file (char *path, const char *text)
{
  const size_t len = strlen (text);
  const int fd = mkstemp (path);

  return fd != -1 && write (fd, text, len) == (ssize_t) len && close (fd) == 0;
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_each_fails_once),
  };
  char name[sizeof log_path + 8];
  unsigned i;
  int r;

  if (!make_file (log_path, "") || !make_file (lines_path, "50,1\n99,2\n"))
    return EXIT_FAILURE;
#ifdef HAVE_JANSSON
  if (!make_file (fio_path, "{\"jobs\": [{\"write\": {\"total_ios\": 9,"
                            " \"clat_ns\": {\"min\": 1, \"max\": 3,"
                            " \"mean\": 2, \"N\": 9, \"percentile\":"
                            " {\"50.000000\": 2}}}}]}"))
    return EXIT_FAILURE;
#endif
  r = RUN_TESTS (tests);
#ifdef HAVE_JANSSON
  unlink (fio_path);
#endif
  unlink (lines_path);
  unlink (log_path);
  for (i = 0; i < 2; i++) {
    snprintf (name, sizeof name, "%s.nullb%u", log_path, i);
    unlink (name);
  }
  return r;
}
