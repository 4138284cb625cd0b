/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Does random things to a block device of ours with a volatile cache, and to a
 * simple model of its data, its fault rules and its power, and prints where
 * they differ.
 *
 *   models [OPTION]... CONFIG-URI DEVICE
 *
 *     --seed=N --operations=N
 *     --evicts     the cache is smaller than the device, so volatile data may
 *                  become durable at any time
 *
 * The operations are direct I/O and ioctls.  In between, the device gets
 * another fault rule or latency by its .config, or its power is cut and put
 * back on.  The exit status is 1 if they differ, and 2 if the device cannot be
 * used.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/fs.h>

#include <libnbd.h>

#include "random-run.h"

#define SECTOR 512
#define SECTORS 2048 /* of the device */
#define MOST 64      /* sectors of a request */
#define MAX_NEWER 30

static uint64_t seed, operations = 3000, step;
static bool evicts;

static int fd;
static struct nbd_handle *config;
static unsigned char *buf;

static void __attribute__ ((noreturn, format (printf, 2, 3)))
stop (int status, const char *format, ...)
{
  va_list arguments;

  printf ("models: seed %" PRIu64 ", operation %" PRIu64 ": ", seed, step);
  va_start (arguments, format);
  vprintf (format, arguments);
  va_end (arguments);
  putchar ('\n');
  exit (status);
}

/*---------------------------------------------------------------------*/
/* The data: each change of a sector has a number; 0 stands for zeroes */

static struct sector {
  uint32_t durable;
  uint32_t newer[MAX_NEWER]; /* what was acknowledged since, in order */
  unsigned nr_newer;
} sectors[SECTORS];

static uint32_t last_change;

static uint64_t
word_of (uint32_t change, unsigned sector)
{
  return change == 0 ? 0 : (uint64_t) change << 32 | (sector + 1);
}

static void
fill (unsigned char *at, uint32_t change, unsigned sector)
{
  const uint64_t word = word_of (change, sector);
  unsigned i;

  for (i = 0; i < SECTOR; i += sizeof word)
    memcpy (at + i, &word, sizeof word);
}

static bool
holds (const unsigned char *at, uint32_t change, unsigned sector)
{
  unsigned char expected[SECTOR];

  fill (expected, change, sector);
  return memcmp (at, expected, SECTOR) == 0;
}

static uint32_t
newest (const struct sector *s)
{
  return s->nr_newer > 0 ? s->newer[s->nr_newer - 1] : s->durable;
}

static void
change (unsigned first, unsigned count, uint32_t to, bool durably)
{
  struct sector *s;

  for (s = &sectors[first]; s < &sectors[first + count]; s++) {
    if (durably) {
      s->durable = to;
      s->nr_newer = 0;
    }
    else
      s->newer[s->nr_newer++] = to;
  }
}

static void
make_durable (void)
{
  struct sector *s;

  for (s = sectors; s < sectors + SECTORS; s++) {
    s->durable = newest (s);
    s->nr_newer = 0;
  }
}

static void
show (const unsigned char *at, unsigned sector)
{
  const struct sector *s = &sectors[sector];
  uint64_t word;
  unsigned i;

  memcpy (&word, at, sizeof word);
  printf ("sector %u holds 0x%" PRIx64 "; durable %u, then", sector, word,
          s->durable);
  for (i = 0; i < s->nr_newer; i++)
    printf (" %u", s->newer[i]);
  putchar ('\n');
}

/*---------------------------------------------------------------------*/
/* One fault rule */

enum operation { READ, WRITE, FLUSH, TRIM, NR_OPERATIONS };
static const char *const operation_names[] = {"read", "write", "flush", "trim"};

enum action { ERROR, STALE, ZERO };

static struct rule {
  bool is_there;
  enum operation operation;
  unsigned first, count; /* sectors; of a flush, all */
  enum action action;
  int error;
  unsigned every, most, turn, hits;
} rule;

static bool
is_in_range (unsigned first, unsigned count)
{
  return first < rule.first + rule.count && rule.first < first + count;
}

/* Does the rule hit this operation? */
static bool
hits (enum operation operation, unsigned first, unsigned count)
{
  if (!rule.is_there || rule.operation != operation ||
      (operation != FLUSH && !is_in_range (first, count)))
    return false;
  if (++rule.turn < rule.every)
    return false;
  rule.turn = 0;
  if (rule.hits == rule.most)
    return false;
  rule.hits++;
  return true;
}

static void __attribute__ ((format (printf, 1, 2)))
configure (const char *format, ...)
{
  char text[512];
  va_list arguments;
  int n;

  va_start (arguments, format);
  n = vsnprintf (text, sizeof text, format, arguments);
  va_end (arguments);
  if (nbd_pwrite (config, text, n, 0, 0) == -1)
    stop (2, "%s: %s", text, nbd_get_error ());
}

static void
change_rule (void)
{
  static const char *const errors[] = {"EIO", "ENOSPC", "EINVAL"};
  static const int told[] = {EIO, ENOSPC, EIO};
  char range[64] = "", action[32];
  unsigned i = below (3);

  if (rule.is_there)
    configure ("fault-delete=all\n");
  rule = (struct rule){.is_there = below (4) != 0,
                       .operation = below (NR_OPERATIONS),
                       .first = below (SECTORS),
                       .count = 1 + below (200),
                       .error = told[i],
                       .every = 1 + below (3),
                       .most = 1 + below (20)};
  if (!rule.is_there)
    return;
  if (rule.first + rule.count > SECTORS)
    rule.first = SECTORS - rule.count;
  snprintf (action, sizeof action, "error=%s", errors[i]);
  if (rule.operation != READ && below (3) == 0) {
    rule.action = STALE;
    snprintf (action, sizeof action, "corrupt=stale");
  }
  else if (rule.operation <= WRITE && below (3) == 0) {
    rule.action = ZERO;
    snprintf (action, sizeof action, "corrupt=zero");
  }
  if (rule.operation != FLUSH)
    snprintf (range, sizeof range, " range=%u+%u", rule.first * SECTOR,
              rule.count * SECTOR);
  configure ("fault=op=%s%s every=%u count=%u %s\n",
             operation_names[rule.operation], range, rule.every, rule.most,
             action);
}

/*---------------------------------------------------------------------*/
/* Operations */

static void
expect (const char *what, unsigned first, unsigned count, long is,
        long expected)
{
  if (is == -1)
    is = -errno;
  if (is != expected)
    stop (1, "%s of %u sectors at %u: %ld, not %ld", what, count, first, is,
          expected);
}

static void
read_some (unsigned first, unsigned count)
{
  const bool is_hit = hits (READ, first, count);
  unsigned i;

  expect ("read", first, count,
          pread (fd, buf, count * SECTOR, (off_t) first * SECTOR),
          is_hit && rule.action == ERROR ? -rule.error : (long) count * SECTOR);
  if (is_hit && rule.action == ERROR)
    return;
  for (i = 0; i < count; i++) {
    if (!holds (buf + i * SECTOR,
                is_hit && is_in_range (first + i, 1)
                    ? 0
                    : newest (&sectors[first + i]),
                first + i)) {
      show (buf + i * SECTOR, first + i);
      stop (1, "read of %u sectors at %u", count, first);
    }
  }
}

/* Returns the result that a flush has to have. */
static int
flush_model (void)
{
  const bool is_hit = hits (FLUSH, 0, 0);

  if (is_hit && rule.action == ERROR)
    return -rule.error;
  if (!is_hit)
    make_durable ();
  return 0;
}

/* Linux flushes after a write with RWF_DSYNC, although that has FUA. */
static void
write_some (unsigned first, unsigned count, bool durably)
{
  const bool is_hit = hits (WRITE, first, count);
  struct iovec v = {.iov_base = buf, .iov_len = count * SECTOR};
  long expected = count * SECTOR;
  int flushed = 0;
  unsigned i;

  last_change++;
  for (i = 0; i < count; i++)
    fill (buf + i * SECTOR, last_change, first + i);
  if (is_hit && rule.action == ERROR)
    expected = -rule.error;
  else if (!is_hit || rule.action == ZERO) {
    for (i = 0; i < count; i++)
      change (first + i, 1,
              is_hit && is_in_range (first + i, 1) ? 0 : last_change, durably);
  }
  if (durably && expected > 0)
    flushed = flush_model ();
  expect (durably ? "write with FUA" : "write", first, count,
          pwritev2 (fd, &v, 1, (off_t) first * SECTOR, durably ? RWF_DSYNC : 0),
          flushed < 0 ? flushed : expected);
}

static void
discard (unsigned first, unsigned count)
{
  const bool is_hit = hits (TRIM, first, count);
  const uint64_t range[2] = {(uint64_t) first * SECTOR,
                             (uint64_t) count * SECTOR};

  if (!is_hit)
    change (first, count, 0, false);
  expect ("discard", first, count, ioctl (fd, BLKDISCARD, range),
          is_hit && rule.action == ERROR ? -rule.error : 0);
}

static void
zero (unsigned first, unsigned count)
{
  const uint64_t range[2] = {(uint64_t) first * SECTOR,
                             (uint64_t) count * SECTOR};

  change (first, count, 0, false);
  expect ("write of zeroes", first, count, ioctl (fd, BLKZEROOUT, range), 0);
}

static void
do_something (void)
{
  const unsigned first = below (SECTORS);
  unsigned count = 1 + below (below (4) == 0 ? MOST : 8), i;

  if (count > SECTORS - first)
    count = SECTORS - first;
  for (i = first; i < first + count; i++) {
    if (sectors[i].nr_newer == MAX_NEWER) { /* no room to remember more */
      expect ("flush", 0, 0, fsync (fd), flush_model ());
      return;
    }
  }
  switch (below (20)) {
  case 0:
    expect ("flush", 0, 0, fsync (fd), flush_model ());
    break;
  case 1:
    write_some (first, count, true);
    break;
  case 2:
    discard (first, count);
    break;
  case 3:
    zero (first, count);
    break;
  default:
    if (below (16) < 7)
      read_some (first, count);
    else
      write_some (first, count, false);
  }
}

/*---------------------------------------------------------------------*/
/* Power */

enum lose { RANDOM, ALL, NONE };

static bool
may_be (const unsigned char *at, struct sector *s, enum lose lose)
{
  const unsigned sector = s - sectors;
  unsigned i;

  if (lose == NONE || s->nr_newer == 0)
    return holds (at, newest (s), sector);
  if (holds (at, s->durable, sector))
    return true;
  for (i = 0; i < s->nr_newer && (lose == RANDOM || evicts); i++) {
    if (holds (at, s->newer[i], sector)) {
      s->durable = s->newer[i];
      return true;
    }
  }
  return false;
}

static void
look_at_all (enum lose lose)
{
  unsigned first, i;
  struct sector *s;

  for (first = 0; first < SECTORS; first += MOST) {
    expect ("read after a cut", first, MOST,
            pread (fd, buf, MOST * SECTOR, (off_t) first * SECTOR),
            MOST * SECTOR);
    for (i = 0; i < MOST; i++) {
      s = &sectors[first + i];
      if (!may_be (buf + i * SECTOR, s, lose)) {
        show (buf + i * SECTOR, first + i);
        stop (1, "after a cut of lose=%u", lose);
      }
      if (lose == NONE)
        s->durable = newest (s);
      s->nr_newer = 0;
    }
  }
}

static void
cut_power (void)
{
  static const char *const loses[] = {"random", "all", "none"};
  const enum lose lose = below (3);

  configure ("power=cut\nlose=%s\nfault-delete=all\n", loses[lose]);
  rule.is_there = false;
  expect ("read without power", 0, 1, pread (fd, buf, SECTOR, 0), -EIO);
  expect ("write without power", 0, 1, pwrite (fd, buf, SECTOR, 0), -EIO);
  expect ("flush without power", 0, 0, fsync (fd), -EIO);
  configure ("power=on\n");
  look_at_all (lose);
}

/*---------------------------------------------------------------------*/

static void
parse (int argc, char *argv[])
{
  static const struct option options[] = {
      {"evicts", no_argument, NULL, 'e'},
      {"operations", required_argument, NULL, 'o'},
      {"seed", required_argument, NULL, 's'},
      {NULL, 0, NULL, 0}};
  int c;

  while ((c = getopt_long (argc, argv, "", options, NULL)) != -1) {
    switch (c) {
    case 'e':
      evicts = true;
      break;
    case 'o':
      operations = number (optarg);
      break;
    case 's':
      seed = number (optarg);
      break;
    default:
      exit (2);
    }
  }
  if (argc - optind != 2)
    stop (2, "a URI and a device are wanted");
}

int
main (int argc, char *argv[])
{
  uint64_t bytes;
  unsigned cuts = 0, rules = 0;
  void *p;

  parse (argc, argv);
  random_state = seed;
  config = nbd_create ();
  if (config == NULL || nbd_connect_uri (config, argv[optind]) == -1)
    stop (2, "%s: %s", argv[optind], nbd_get_error ());
  fd = open (argv[optind + 1], O_RDWR | O_DIRECT | O_CLOEXEC);
  if (fd == -1 || ioctl (fd, BLKGETSIZE64, &bytes) == -1 ||
      bytes != SECTORS * SECTOR)
    stop (2, "%s: it is to be a device of %u sectors", argv[optind + 1],
          SECTORS);
  if (posix_memalign (&p, 4096, MOST * SECTOR) != 0)
    stop (2, "no memory");
  buf = p;
  for (step = 1; step <= operations; step++) {
    do_something ();
    if (below (40) == 0) {
      change_rule ();
      rules += rule.is_there;
    }
    if (below (100) == 0)
      configure ("latency=%s\n", below (2) == 0 ? "0" : "uniform:0-300us");
    if (below (80) == 0) {
      cut_power ();
      cuts++;
    }
  }
  configure ("fault-delete=all\n");
  rule.is_there = false;
  expect ("flush", 0, 0, fsync (fd), 0);
  make_durable ();
  look_at_all (NONE);
  printf ("seed %" PRIu64 ": %" PRIu64 " operations, %u rules, %u cuts\n", seed,
          operations, rules, cuts);
  return EXIT_SUCCESS;
}
