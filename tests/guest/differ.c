/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Asks two block devices the same, over and over, and prints where they answer
 * differently.  A is a null_blk or zloop of Linux, and B is a device of ours.
 *
 *   differ [OPTION]... A B
 *   differ --rows
 *
 *     --seed=N --operations=N
 *     --configfs=DIRECTORY A's directory in configfs
 *     --config=URI         B's .config
 *     --bad                mark blocks as bad, by these two
 *     --zones=URI          B's .zones, by which zones become read-only and
 *                          offline
 *     --no-data            of reads, compare only their results
 *     --stop               end at the first difference that is not known
 *     --zloop              A is a zloop
 *
 * The operations are direct I/O and ioctls, drawn by the seed.  Most of them do
 * something, many are at the edges of what is allowed, and some are wrong.
 * After each operation its results, its data and the kernel's report of all
 * zones are compared; now and then all data.  There is no report after a read
 * or a flush: if one changed a zone, the next report would show it.
 *
 * A difference is known if it is one of the rows below, which are those of
 * DIFFERENCES FROM NULL_BLK in the manual; the cases of each row are counted.
 * Of other differences the first of each kind is printed, and then the zone is
 * made alike again.  The exit status is 1 if there are such differences, and 2
 * if the devices cannot be used.
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
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/blkzoned.h>
#include <linux/fs.h>

#include <libnbd.h>

#include "random-run.h"

#define SECTOR 512
#define MAX_SECTORS 1024 /* of a write or a read */
#define MAX_ZONES 256
#define ZONE_BYTES 64 /* of a descriptor, which is a struct blk_zone */
#define MAX_BAD 16    /* ranges that are marked at a time */
#define ALL_DATA 2000 /* operations between two looks at all data */

/*---------------------------------------------------------------------*/
/* The devices; sizes and places are in sectors */

enum { A, B };

static const char *path[2];
static int fd[2];
static uint64_t size, block = 1;
static uint64_t zone_size; /* 0: there are no zones */
static unsigned nr_zones;
static struct blk_zone zones[2][MAX_ZONES]; /* the last reports */
static struct blk_zone before[MAX_ZONES];   /* A's, before the operation */
static bool has_data = true, is_zloop;

static const char *configfs;
static bool marks_bad;
static struct nbd_handle *config_export, *zones_export;

static void __attribute__ ((noreturn, format (printf, 1, 2)))
give_up (const char *format, ...)
{
  va_list arguments;

  fputs ("differ: ", stderr);
  va_start (arguments, format);
  vfprintf (stderr, format, arguments);
  va_end (arguments);
  fputc ('\n', stderr);
  exit (2);
}

static bool
one_in (unsigned n)
{
  return below (n) == 0;
}

/* N, rounded down to whole blocks. */
static uint64_t
whole (uint64_t n)
{
  return n - n % block;
}

/*---------------------------------------------------------------------*/
/* Operations */

enum kind {
  READ,
  WRITE,
  WRITE_DURABLY,
  FLUSH,
  DISCARD,
  ZEROES,
  RESET,
  OPEN,
  CLOSE,
  FINISH,
  READONLY, /* these two to one zone; all four behind the kernel's back */
  OFFLINE,
  MARK_BAD, /* these two to some sectors */
  MARK_GOOD,
};

static const char *const names[] = {
    [READ] = "read",
    [WRITE] = "write",
    [WRITE_DURABLY] = "write with FUA",
    [FLUSH] = "flush",
    [DISCARD] = "discard",
    [ZEROES] = "write of zeroes",
    [RESET] = "reset",
    [OPEN] = "open",
    [CLOSE] = "close",
    [FINISH] = "finish",
    [READONLY] = "read-only",
    [OFFLINE] = "offline",
    [MARK_BAD] = "bad blocks",
    [MARK_GOOD] = "good blocks",
};

struct operation {
  enum kind kind;
  uint64_t first, count; /* sectors */
};

static unsigned char *written, *is_read[2]; /* the data of an operation */

/* The results of both: 0 or more, or a negative errno. */
static long answer[2];

static long
result_of (ssize_t r)
{
  return r == -1 ? -errno : r;
}

static long
move (int d, const struct operation *o)
{
  struct iovec v = {.iov_base = written, .iov_len = o->count * SECTOR};
  const off_t at = o->first * SECTOR;

  switch (o->kind) {
  case READ:
    return result_of (pread (fd[d], is_read[d], o->count * SECTOR, at));
  case WRITE_DURABLY:
    return result_of (pwritev2 (fd[d], &v, 1, at, RWF_DSYNC));
  default:
    return result_of (pwritev2 (fd[d], &v, 1, at, 0));
  }
}

static long
clear (int d, const struct operation *o)
{
  uint64_t range[2] = {o->first * SECTOR, o->count * SECTOR};

  return result_of (
      ioctl (fd[d], o->kind == DISCARD ? BLKDISCARD : BLKZEROOUT, range));
}

static long
command (int d, const struct operation *o)
{
  static const unsigned long requests[] = {[RESET] = BLKRESETZONE,
                                           [OPEN] = BLKOPENZONE,
                                           [CLOSE] = BLKCLOSEZONE,
                                           [FINISH] = BLKFINISHZONE};
  struct blk_zone_range range = {.sector = o->first, .nr_sectors = o->count};

  return result_of (ioctl (fd[d], requests[o->kind], &range));
}

/* Write TEXT to a file of A's directory in configfs. */
static long
write_configfs (const char *name, const char *text)
{
  char file[256];
  ssize_t n;
  int f;

  snprintf (file, sizeof file, "%s/%s", configfs, name);
  f = open (file, O_WRONLY | O_CLOEXEC);
  if (f == -1)
    give_up ("%s: %s", file, strerror (errno));
  n = result_of (write (f, text, strlen (text)));
  close (f);
  return n < 0 ? n : 0;
}

static long
result_of_nbd (int r)
{
  return r == -1 ? -nbd_get_errno () : 0;
}

/* Ask B for a condition of a zone, by a descriptor. */
static long
set_condition (uint64_t zone, unsigned char cond)
{
  unsigned char descriptor[ZONE_BYTES] = {[25] = cond};

  return result_of_nbd (
      nbd_pwrite (zones_export, descriptor, ZONE_BYTES, zone * ZONE_BYTES, 0));
}

static long
mark_zone (int d, const struct operation *o)
{
  char text[32];

  if (d == A) {
    snprintf (text, sizeof text, "%" PRIu64, o->first);
    return write_configfs (
        o->kind == READONLY ? "zone_readonly" : "zone_offline", text);
  }
  return set_condition (o->first / zone_size, o->kind == READONLY
                                                  ? BLK_ZONE_COND_READONLY
                                                  : BLK_ZONE_COND_OFFLINE);
}

static long
mark_blocks (int d, const struct operation *o)
{
  char text[80];
  int n;

  n = snprintf (text, sizeof text, "%s%c%" PRIu64 "-%" PRIu64,
                d == A ? "" : "badblocks=", o->kind == MARK_BAD ? '+' : '-',
                o->first, o->first + o->count - 1);
  if (d == A)
    return write_configfs ("badblocks", text);
  text[n++] = '\n';
  return result_of_nbd (nbd_pwrite (config_export, text, n, 0, 0));
}

static void
ask (int d, const struct operation *o)
{
  switch (o->kind) {
  case READ:
  case WRITE:
  case WRITE_DURABLY:
    answer[d] = move (d, o);
    break;
  case FLUSH:
    answer[d] = result_of (fsync (fd[d]));
    break;
  case DISCARD:
  case ZEROES:
    answer[d] = clear (d, o);
    break;
  case RESET:
  case OPEN:
  case CLOSE:
  case FINISH:
    answer[d] = command (d, o);
    break;
  case READONLY:
  case OFFLINE:
    answer[d] = mark_zone (d, o);
    break;
  case MARK_BAD:
  case MARK_GOOD:
    answer[d] = mark_blocks (d, o);
    break;
  }
}

static bool
is_write (enum kind kind)
{
  return kind == WRITE || kind == WRITE_DURABLY;
}

static void
ask_both (const struct operation *o)
{
  uint64_t i, x = draw ();

  if (is_write (o->kind)) {
    for (i = 0; i < o->count * SECTOR; i += sizeof x) {
      x = x * UINT64_C (6364136223846793005) + 1442695040888963407;
      memcpy (written + i, &x, sizeof x);
    }
  }
  if (o->kind == READ && o->count > 0) {
    memset (is_read[A], 0x5a, o->count * SECTOR);
    memset (is_read[B], 0xa5, o->count * SECTOR);
  }
  ask (A, o);
  ask (B, o);
}

static void
report (int d)
{
  static struct blk_zone_report *r;

  if (r == NULL)
    r = calloc (1, sizeof *r + MAX_ZONES * ZONE_BYTES);
  if (r == NULL)
    give_up ("no memory");
  r->sector = 0;
  r->nr_zones = nr_zones;
  if (ioctl (fd[d], BLKREPORTZONE, r) == -1)
    give_up ("%s: no report: %s", path[d], strerror (errno));
  if (r->nr_zones != nr_zones)
    give_up ("%s: a report of %u zones of %u", path[d], r->nr_zones, nr_zones);
  memcpy (zones[d], r->zones, nr_zones * ZONE_BYTES);
}

/*---------------------------------------------------------------------*/
/* What is asked next */

static struct operation bad[MAX_BAD]; /* what has been marked */
static unsigned nr_bad;

static bool
is_sequential (const struct blk_zone *z)
{
  return z->type != BLK_ZONE_TYPE_CONVENTIONAL;
}

static bool
has_pointer (const struct blk_zone *z)
{
  switch (z->cond) {
  case BLK_ZONE_COND_EMPTY:
  case BLK_ZONE_COND_IMP_OPEN:
  case BLK_ZONE_COND_EXP_OPEN:
  case BLK_ZONE_COND_CLOSED:
    return true;
  default:
    return false;
  }
}

/* Draw a length: mostly a few blocks, sometimes up to the most. */
static uint64_t
some_sectors (void)
{
  const uint64_t most = one_in (4) ? MAX_SECTORS : 8 * block;

  return block * (1 + below (most / block));
}

static struct operation
somewhere (enum kind kind)
{
  return (struct operation){kind, whole (below (size)), some_sectors ()};
}

/* From a little before a place of zone Z to a little behind it. */
static uint64_t
near (const struct blk_zone *z, uint64_t place)
{
  const uint64_t at = place + block * below (9);

  if (one_in (3) || at < z->start + 4 * block)
    return place;
  return at - 4 * block;
}

static const struct blk_zone *
some_zone (void)
{
  return &zones[A][below (nr_zones)];
}

/* Draw a zone that is wanted, if one is soon found. */
static const struct blk_zone *
find_zone (bool (*is_wanted) (const struct blk_zone *z))
{
  const struct blk_zone *z = some_zone ();
  int i;

  for (i = 0; i < 4 && !is_wanted (z); i++)
    z = some_zone ();
  return z;
}

static bool
is_full (const struct blk_zone *z)
{
  return z->cond == BLK_ZONE_COND_FULL;
}

static bool
is_open (const struct blk_zone *z)
{
  return z->cond == BLK_ZONE_COND_IMP_OPEN || z->cond == BLK_ZONE_COND_EXP_OPEN;
}

/* Draw a write: most are at the write pointer, some end at the capacity or
 * behind it.
 */
static struct operation
next_write (void)
{
  const struct blk_zone *z =
      one_in (8) ? some_zone () : find_zone (has_pointer);
  struct operation o = {one_in (8) ? WRITE_DURABLY : WRITE, 0, some_sectors ()};
  uint64_t end;

  if (!has_pointer (z)) {
    o.first = z->start + (one_in (2) ? 0 : whole (below (z->len)));
    return o;
  }
  o.first = z->wp;
  end = z->start + (one_in (8) ? z->len : z->capacity);
  if (one_in (10))
    o.first = near (z, z->wp);
  else if (one_in (20))
    o.first = z->start + whole (below (z->len));
  if (one_in (6) && end > o.first)
    o.count = end - o.first;
  if (one_in (30))
    o.count += block;
  else if (o.first < end && o.count > end - o.first && !one_in (4))
    o.count = end - o.first;
  if (o.count > MAX_SECTORS)
    o.count = MAX_SECTORS;
  return o;
}

static struct operation
next_read (void)
{
  const struct blk_zone *z = some_zone ();
  struct operation o = somewhere (READ);

  if (one_in (4))
    return o;
  o.first = z->start + whole (below (z->len));
  if (has_pointer (z) && !one_in (3))
    o.first = near (z, z->wp);
  else if (one_in (4))
    o.first = near (z, z->start + z->capacity);
  return o;
}

/* Draw a command: to one zone, to several, to all, or to no whole zone. */
static struct operation
next_command (void)
{
  static const enum kind kinds[] = {RESET, RESET, RESET, RESET, OPEN,
                                    OPEN,  OPEN,  CLOSE, CLOSE, FINISH};
  struct operation o = {kinds[below (10)], 0, zone_size};
  const struct blk_zone *z = some_zone ();

  if (o.kind == RESET && !one_in (3))
    z = find_zone (is_full);
  else if (o.kind == CLOSE && !one_in (3))
    z = find_zone (is_open);
  o.first = z->start;
  if (one_in (6))
    o.count *= 1 + below (4);
  if (one_in (100)) {
    o.first = 0;
    o.count = size;
  }
  if (o.first + o.count > size)
    o.count = size - o.first;
  if (one_in (40))
    o.first += block;
  if (one_in (40))
    o.count -= block;
  return o;
}

/* Draw a zone to become read-only or offline, or one that is so to become
 * empty, so that none stays so for long.  No closed zone is drawn: see
 * leaks_active_zones in differ.sh.
 */
static struct operation
next_mark (void)
{
  const struct blk_zone *z = some_zone ();
  unsigned i;

  for (i = 0; i < nr_zones && !one_in (4); i++) {
    if (zones[A][i].cond == BLK_ZONE_COND_READONLY ||
        zones[A][i].cond == BLK_ZONE_COND_OFFLINE) {
      z = &zones[A][i];
      return (struct operation){z->cond == BLK_ZONE_COND_READONLY ? READONLY
                                                                  : OFFLINE,
                                z->start, zone_size};
    }
  }
  if (z->cond == BLK_ZONE_COND_CLOSED)
    return next_read ();
  return (struct operation){one_in (2) ? READONLY : OFFLINE, z->start,
                            zone_size};
}

/* Draw bad blocks near where something will be written soon, which touch no
 * others.
 */
static struct operation
next_badblocks (void)
{
  struct operation o = {MARK_BAD, below (size),
                        1 + below (one_in (4) ? 40 : 4)};
  const struct blk_zone *z;
  unsigned i;

  if (nr_bad == MAX_BAD || (nr_bad > 0 && one_in (2))) {
    i = below (nr_bad);
    o = bad[i];
    o.kind = MARK_GOOD;
    bad[i] = bad[--nr_bad];
    return o;
  }
  if (zone_size != 0) {
    z = find_zone (has_pointer);
    if (has_pointer (z))
      o.first = z->wp + below (64);
  }
  if (o.first + o.count > size)
    o.first = size - o.count;
  for (i = 0; i < nr_bad; i++) {
    if (o.first <= bad[i].first + bad[i].count &&
        bad[i].first <= o.first + o.count)
      return (struct operation){FLUSH, 0, 0};
  }
  bad[nr_bad++] = o;
  return o;
}

static struct operation
next_without_zones (void)
{
  const uint64_t r = below (100);

  if (r < 45)
    return somewhere (one_in (8) ? WRITE_DURABLY : WRITE);
  if (r < 80)
    return somewhere (READ);
  if (r < 82)
    return (struct operation){FLUSH, 0, 0};
  return somewhere (r < 91 ? DISCARD : ZEROES);
}

static struct operation
next_with_zones (void)
{
  const uint64_t r = below (100);

  if (r < 48)
    return next_write ();
  if (r < 70)
    return next_read ();
  if (r < 96)
    return next_command ();
  if (r < 97)
    return (struct operation){FLUSH, 0, 0};
  if (r < 98)
    return somewhere (one_in (2) ? DISCARD : ZEROES);
  return zones_export != NULL ? next_mark () : next_read ();
}

static struct operation
next_operation (void)
{
  struct operation o;

  if (marks_bad && one_in (50))
    return next_badblocks ();
  o = zone_size != 0 ? next_with_zones () : next_without_zones ();
  if (o.first + o.count > size && !one_in (50)) {
    if (o.first > size - block)
      o.first = size - block;
    o.count = size - o.first;
  }
  return o;
}

/*---------------------------------------------------------------------*/
/* Differences */

enum what { RESULT, DATA, REPORT };

struct difference {
  enum what what;
  const struct operation *operation;
  uint64_t sector; /* DATA: the first that differs */
  unsigned zone;   /* REPORT: the first that differs */
};

/* Was a zone that the operation touches in this condition before? */
static bool
met (const struct operation *o, unsigned cond)
{
  unsigned i;

  for (i = 0; i < nr_zones; i++) {
    if (before[i].cond == cond && before[i].start < o->first + o->count &&
        o->first < before[i].start + before[i].len)
      return true;
  }
  return false;
}

static bool
is_readonly_error (const struct difference *d)
{
  return d->what == RESULT && answer[A] == -EIO && answer[B] == -EREMOTEIO &&
         met (d->operation, BLK_ZONE_COND_READONLY);
}

static bool
is_one_of_the_limits (long error)
{
  return error == -ETOOMANYREFS || error == -EOVERFLOW;
}

static bool
is_other_limit (const struct difference *d)
{
  return d->what == RESULT && d->operation->count > zone_size &&
         d->operation->kind >= RESET && is_one_of_the_limits (answer[A]) &&
         is_one_of_the_limits (answer[B]);
}

static bool
is_emptied (const struct difference *d)
{
  const struct blk_zone *z = &before[d->zone];

  return is_zloop && d->what == REPORT && answer[A] < 0 && answer[B] < 0 &&
         z->cond == BLK_ZONE_COND_EXP_OPEN && z->wp == z->start &&
         zones[A][d->zone].cond == BLK_ZONE_COND_EMPTY &&
         zones[B][d->zone].cond == BLK_ZONE_COND_EXP_OPEN;
}

/* Known differences, in the words of the manual. */
static struct row {
  const char *text;
  bool (*is_it) (const struct difference *d);
  unsigned long count;
} rows[] = {
    {"The error of a read-only zone", is_readonly_error, 0},
    {"Which limit has refused a command to a range of zones", is_other_limit,
     0},
    {"zloop: an open zone, after its first write has failed", is_emptied, 0},
};
#define NR_ROWS (sizeof rows / sizeof rows[0])

/* The kinds of differences that were found, so that only the first is printed.
 */
static char *seen[1000];
static unsigned nr_seen;
static unsigned long nr_unknown;

static const char *
cond_name (unsigned cond)
{
  static const char *const conds[16] = {
      [BLK_ZONE_COND_NOT_WP] = "conventional",
      [BLK_ZONE_COND_EMPTY] = "empty",
      [BLK_ZONE_COND_IMP_OPEN] = "implicitly open",
      [BLK_ZONE_COND_EXP_OPEN] = "explicitly open",
      [BLK_ZONE_COND_CLOSED] = "closed",
      [BLK_ZONE_COND_READONLY] = "read-only",
      [BLK_ZONE_COND_FULL] = "full",
      [BLK_ZONE_COND_OFFLINE] = "offline",
  };

  return cond < 16 && conds[cond] != NULL ? conds[cond] : "unknown";
}

static void
show_zone (const char *when, const struct blk_zone *z)
{
  printf ("  %s: zone at %" PRIu64 ", type %u, length %" PRIu64
          ", capacity %" PRIu64 ", %s, ",
          when, (uint64_t) z->start, z->type, (uint64_t) z->len,
          (uint64_t) z->capacity, cond_name (z->cond));
  if (z->wp == UINT64_MAX)
    printf ("no write pointer\n");
  else
    printf ("write pointer %" PRIu64 "\n", (uint64_t) z->wp);
}

static const char *
answer_text (int d, char text[64])
{
  snprintf (text, 64, "%s", answer[d] < 0 ? strerror (-answer[d]) : "success");
  if (answer[d] > 0)
    snprintf (text, 64, "%ld bytes", answer[d]);
  return text;
}

/* The kind of a difference, as a text.  Those of one kind have one cause. */
static char *
kind_of (const struct difference *d)
{
  static const char *const whats[] = {"result", "data", "report"};
  const struct operation *o = d->operation;
  char *text, a[64], b[64];
  const char *cond = "no zone";

  if (d->what == REPORT)
    cond = cond_name (before[d->zone].cond);
  else if (nr_zones > 0 && o->first < size)
    cond = cond_name (before[o->first / zone_size].cond);
  if (answer[A] > 0)
    snprintf (a, sizeof a, "success");
  else
    answer_text (A, a);
  if (answer[B] > 0)
    snprintf (b, sizeof b, "success");
  else
    answer_text (B, b);
  if (asprintf (&text, "%s of %s, %s: %s, %s", whats[d->what], names[o->kind],
                cond, a, b) == -1)
    give_up ("no memory");
  return text;
}

static bool
is_new (char *kind)
{
  unsigned i;

  for (i = 0; i < nr_seen; i++) {
    if (strcmp (seen[i], kind) == 0) {
      free (kind);
      return false;
    }
  }
  if (nr_seen == sizeof seen / sizeof seen[0])
    give_up ("too many kinds of differences");
  seen[nr_seen++] = kind;
  return true;
}

static uint64_t seed, operations = 10000, step;
static bool stops;

static void
show (const struct difference *d)
{
  const struct operation *o = d->operation;
  char a[64], b[64];
  unsigned i;

  printf ("difference: %s\n", seen[nr_seen - 1]);
  printf ("  seed %" PRIu64 ", operation %" PRIu64 ": %s of %" PRIu64
          " sectors at %" PRIu64 "\n",
          seed, step, names[o->kind], o->count, o->first);
  printf ("  %s: %s; %s: %s\n", path[A], answer_text (A, a), path[B],
          answer_text (B, b));
  for (i = 0; i < nr_zones; i++) {
    if ((d->what == REPORT && d->zone == i) ||
        (before[i].start < o->first + o->count &&
         o->first < before[i].start + before[i].len))
      show_zone ("before", &before[i]);
  }
  if (d->what == REPORT) {
    show_zone (path[A], &zones[A][d->zone]);
    show_zone (path[B], &zones[B][d->zone]);
  }
  if (d->what == DATA) {
    i = (d->sector - o->first) * SECTOR;
    while (is_read[A][i] == is_read[B][i])
      i++;
    printf ("  in sector %" PRIu64 ": 0x%02x, 0x%02x\n", d->sector,
            is_read[A][i], is_read[B][i]);
  }
  fflush (stdout);
}

static bool is_report_known; /* the reports differ as a row says */

/* Note a difference.  Returns whether it is known. */
static bool
note (const struct difference *d)
{
  struct row *row;

  for (row = rows; row < rows + NR_ROWS; row++) {
    if (row->is_it (d)) {
      row->count++;
      is_report_known |= d->what == REPORT;
      return true;
    }
  }
  nr_unknown++;
  if (is_new (kind_of (d)))
    show (d);
  return false;
}

static bool
is_same (const struct blk_zone *a, const struct blk_zone *b)
{
  /* zloop reports no write pointer for zones in other conditions. */
  const bool ok = a->wp == b->wp || (is_zloop && !has_pointer (a));

  return ok && a->start == b->start && a->len == b->len && a->type == b->type &&
         a->cond == b->cond && a->non_seq == b->non_seq &&
         a->reset == b->reset && a->capacity == b->capacity;
}

static bool
compare_results (const struct operation *o)
{
  const struct difference d = {.what = RESULT, .operation = o};

  return answer[A] == answer[B] || note (&d);
}

static bool
compare_data (const struct operation *o)
{
  struct difference d = {.what = DATA, .operation = o, .sector = o->first};
  const long n = answer[A];
  long i;

  if (o->kind != READ || n <= 0 || n != answer[B] || !has_data)
    return true;
  for (i = 0; i < n; i += SECTOR, d.sector++) {
    if (memcmp (is_read[A] + i, is_read[B] + i, SECTOR) != 0)
      return note (&d);
  }
  return true;
}

static bool
compare_reports (const struct operation *o)
{
  struct difference d = {.what = REPORT, .operation = o};
  bool ok = true;

  if (nr_zones == 0)
    return true;
  report (A);
  report (B);
  for (; d.zone < nr_zones; d.zone++) {
    if (!is_same (&zones[A][d.zone], &zones[B][d.zone]))
      ok = note (&d) && ok;
  }
  return ok;
}

/* Make a zone of a device empty. */
static void
empty_zone (int d, unsigned zone)
{
  struct operation o = {RESET, zones[d][zone].start, zones[d][zone].len};

  if (zones[d][zone].cond == BLK_ZONE_COND_READONLY)
    o.kind = READONLY;
  else if (zones[d][zone].cond == BLK_ZONE_COND_OFFLINE)
    o.kind = OFFLINE;
  ask (d, &o);
}

/* Make both alike again, where an operation has made them differ. */
static void
make_alike (const struct operation *o)
{
  struct operation zeroes = {WRITE, o->first, o->count};
  unsigned i;
  bool touched;

  for (i = 0; i < nr_zones; i++) {
    touched = zones[A][i].start < o->first + o->count &&
              o->first < zones[A][i].start + zones[A][i].len;
    if (!is_sequential (&zones[A][i]) ||
        (!touched && is_same (&zones[A][i], &zones[B][i])))
      continue;
    empty_zone (A, i);
    empty_zone (B, i);
  }
  if (nr_zones == 0) {
    memset (written, 0, o->count * SECTOR);
    ask (A, &zeroes);
    ask (B, &zeroes);
    return;
  }
  report (A);
  report (B);
  for (i = 0; i < nr_zones; i++) {
    if (!is_same (&zones[A][i], &zones[B][i])) {
      show_zone (path[A], &zones[A][i]);
      show_zone (path[B], &zones[B][i]);
      give_up ("the devices cannot be made alike");
    }
  }
}

/* An operation has shown a difference that is not known. */
static void
meet_difference (const struct operation *o)
{
  if (stops)
    exit (1);
  make_alike (o);
}

static bool
may_change_zones (const struct operation *o)
{
  return o->kind != READ && o->kind != FLUSH;
}

/* Ask both, and compare their answers. */
static void
try_operation (const struct operation *o)
{
  bool ok;

  is_report_known = false;
  memcpy (before, zones[A], sizeof before);
  ask_both (o);
  ok = compare_results (o);
  ok = compare_data (o) && ok;
  if (may_change_zones (o))
    ok = compare_reports (o) && ok;
  if (!ok)
    meet_difference (o);
  else if (is_report_known)
    make_alike (o);
}

static void
compare_all_data (void)
{
  struct operation o = {READ, 0, 0};

  for (; o.first < size; o.first += o.count) {
    o.count = size - o.first < MAX_SECTORS ? size - o.first : MAX_SECTORS;
    try_operation (&o);
  }
  if (!compare_reports (&o))
    meet_difference (&o);
}

/*---------------------------------------------------------------------*/

static void
open_device (int d)
{
  struct stat st;
  uint64_t bytes;
  uint32_t sectors = 0;
  int block_bytes = SECTOR;

  fd[d] = open (path[d], O_RDWR | O_DIRECT | O_CLOEXEC);
  if (fd[d] == -1 || fstat (fd[d], &st) == -1)
    give_up ("%s: %s", path[d], strerror (errno));
  bytes = st.st_size;
  if (S_ISBLK (st.st_mode) && (ioctl (fd[d], BLKGETSIZE64, &bytes) == -1 ||
                               ioctl (fd[d], BLKSSZGET, &block_bytes) == -1 ||
                               ioctl (fd[d], BLKGETZONESZ, &sectors) == -1))
    give_up ("%s: %s", path[d], strerror (errno));
  if (d == B && (size != bytes / SECTOR || zone_size != sectors ||
                 block != (uint64_t) block_bytes / SECTOR))
    give_up ("%s and %s have other sizes: %" PRIu64 ", %" PRIu64
             ", blocks of %" PRIu64 ", %d, zones of %" PRIu64 ", %u",
             path[A], path[B], size, bytes / SECTOR, block * SECTOR,
             block_bytes, zone_size, sectors);
  size = bytes / SECTOR;
  block = block_bytes / SECTOR;
  zone_size = sectors;
}

static struct nbd_handle *
open_export (const char *uri)
{
  struct nbd_handle *nbd = nbd_create ();

  if (nbd == NULL || nbd_connect_uri (nbd, uri) == -1)
    give_up ("%s: %s", uri, nbd_get_error ());
  return nbd;
}

static void
open_devices (char *paths[])
{
  void *buf[3];
  int i;

  for (i = 0; i < 3; i++) {
    if (posix_memalign (&buf[i], 4096, MAX_SECTORS * SECTOR) != 0)
      give_up ("no memory");
  }
  written = buf[0];
  is_read[A] = buf[1];
  is_read[B] = buf[2];
  for (i = A; i <= B; i++) {
    path[i] = paths[i];
    open_device (i);
  }
  if (zone_size == 0)
    return;
  if (size / zone_size > MAX_ZONES - 1)
    give_up ("more than %d zones", MAX_ZONES - 1);
  nr_zones = (size + zone_size - 1) / zone_size;
}

static void
list_rows (void)
{
  unsigned i;

  for (i = 0; i < NR_ROWS; i++)
    printf ("%s\n", rows[i].text);
}

static void
parse (int argc, char *argv[])
{
  static const struct option options[] = {
      {"bad", no_argument, NULL, 'b'},
      {"configfs", required_argument, NULL, 'c'},
      {"config", required_argument, NULL, 'e'},
      {"no-data", no_argument, NULL, 'd'},
      {"operations", required_argument, NULL, 'o'},
      {"rows", no_argument, NULL, 'r'},
      {"seed", required_argument, NULL, 's'},
      {"stop", no_argument, NULL, 'x'},
      {"zloop", no_argument, NULL, 'l'},
      {"zones", required_argument, NULL, 'z'},
      {NULL, 0, NULL, 0}};
  int c;

  while ((c = getopt_long (argc, argv, "", options, NULL)) != -1) {
    switch (c) {
    case 'b':
      marks_bad = true;
      break;
    case 'c':
      configfs = optarg;
      break;
    case 'd':
      has_data = false;
      break;
    case 'e':
      config_export = open_export (optarg);
      break;
    case 'l':
      is_zloop = true;
      break;
    case 'o':
      operations = number (optarg);
      break;
    case 'r':
      list_rows ();
      exit (EXIT_SUCCESS);
    case 's':
      seed = number (optarg);
      break;
    case 'x':
      stops = true;
      break;
    case 'z':
      zones_export = open_export (optarg);
      break;
    default:
      exit (2);
    }
  }
  if (argc - optind != 2)
    give_up ("two devices are wanted");
  if ((marks_bad || zones_export != NULL) && configfs == NULL)
    give_up ("--configfs is wanted, too");
  if (marks_bad && config_export == NULL)
    give_up ("--config is wanted, too");
}

int
main (int argc, char *argv[])
{
  const struct operation nothing = {FLUSH, 0, 0};
  struct operation o;
  unsigned i;

  parse (argc, argv);
  open_devices (argv + optind);
  random_state = seed;
  compare_reports (&nothing);
  for (step = 1; step <= operations; step++) {
    o = next_operation ();
    try_operation (&o);
    if (step % ALL_DATA == 0 || step == operations)
      compare_all_data ();
  }
  for (i = 0; i < NR_ROWS; i++)
    printf ("row: %lu %s\n", rows[i].count, rows[i].text);
  printf ("seed %" PRIu64 ": %" PRIu64 " operations, %lu differences that are "
          "not known, of %u kinds\n",
          seed, operations, nr_unknown, nr_seen);
  return nr_unknown == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
