/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The fault rules of a device: each condition, each action, what several rules
 * do together, what is counted, and that a seed repeats all of it.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "faults/faults.h"
#include "unit.h"

#define NR(array) (sizeof (array) / sizeof ((array)[0]))

/* The linker puts it in the place of the C library's (--wrap). */
int __real_strcmp (const char *a, const char *b);
int __wrap_strcmp (const char *a, const char *b);

static uint64_t compared;

int
__wrap_strcmp (const char *a, const char *b)
{
  compared++;
  return __real_strcmp (a, b);
}

static struct faults faults;

/* What judge asks with; each test begins afresh. */
static uint64_t now, zone_size;

static void
begin (uint64_t seed, uint32_t device)
{
  assert_int_equal (faults_init (&faults, seed, device), 0);
  now = 1000 * NSEC_PER_SEC;
  zone_size = 0;
}

static int
set_up (void **state)
{
  (void) state;
  begin (1, 0);
  return 0;
}

static int
tear_down (void **state)
{
  (void) state;
  faults_destroy (&faults);
  return 0;
}

static void
begin_again (uint64_t seed, uint32_t device)
{
  faults_destroy (&faults);
  begin (seed, device);
}

static struct fault *
make (const char *text)
{
  struct fault *fault;
  struct message why;

  if (fault_new (text, &fault, &why) != 0)
    fail_msg ("'%s': %s", text, why.text);
  return fault;
}

static void
add (const char *text)
{
  struct message why;

  if (faults_change (&faults, NULL, make (text), now, &why) != 0)
    fail_msg ("'%s': %s", text, why.text);
}

static void
del (const char *which)
{
  struct message why;

  if (faults_change (&faults, which, NULL, 0, &why) != 0)
    fail_msg ("'%s': %s", which, why.text);
}

static struct fault_request
request (enum operation op, uint64_t offset, uint64_t count)
{
  const struct fault_request r = {.op = op,
                                  .offset = offset,
                                  .count = count,
                                  .arrival = now,
                                  .zone_size = zone_size};

  return r;
}

/* A verdict of which nothing is held. */
static struct fault_verdict
judge (enum operation op, uint64_t offset, uint64_t count)
{
  const struct fault_request r = request (op, offset, count);
  struct fault_verdict v;

  faults_judge (&faults, &r, &v);
  faults_done (&v);
  return v;
}

/* Is a write of 4096 bytes at OFFSET hit by error=EIO? */
static bool
is_hit_at (uint64_t offset)
{
  const int error = judge (OP_WRITE, offset, 4096).error;

  assert_true (error == 0 || error == -EIO);
  return error != 0;
}

static bool
is_hit (void)
{
  return is_hit_at (0);
}

struct wanted {
  uint32_t id;
  struct fault_info info;
};

static void
pick (void *opaque, const struct fault_info *info)
{
  struct wanted *w = opaque;

  if (info->id == w->id)
    w->info = *info;
}

static void
check_counters (uint32_t id, uint64_t evaluated, uint64_t hits)
{
  struct wanted w = {.id = id};

  faults_each (&faults, pick, &w);
  assert_int_equal (w.info.id, id);
  assert_int_equal (w.info.evaluated, evaluated);
  assert_int_equal (w.info.hits, hits);
}

/*---------------------------------------------------------------------*/
/* Conditions */

static void
test_no_rules (void **state)
{
  struct fault_verdict v;

  (void) state;
  assert_false (faults_any (&faults));
  v = judge (OP_WRITE, 0, 4096);
  assert_int_equal (v.error, 0);
  assert_int_equal (v.delay, 0);
  assert_false (v.lose || v.disconnect || v.corrupts || v.hangs);
  assert_int_equal (v.nr_held, 0);
  add ("error=EIO");
  assert_true (faults_any (&faults));
  del ("1");
  assert_false (faults_any (&faults));
}

static void
test_op (void **state)
{
  static const char *const names[] = {"read", "write", "flush",
                                      "trim", "zero",  "zone"};
  char text[64];
  unsigned i, op;

  (void) state;
  for (i = 0; i < NR_OPERATIONS; i++) {
    snprintf (text, sizeof text, "error=EIO op=%s", names[i]);
    add (text);
    for (op = 0; op < NR_OPERATIONS; op++)
      assert_int_equal (judge ((enum operation) op, 0, 512).error,
                        op == i ? -EIO : 0);
    check_counters (i + 1, 1, 1);
    del ("all");
  }
  add ("error=EIO op=trim,read");
  for (op = 0; op < NR_OPERATIONS; op++)
    assert_int_equal (judge ((enum operation) op, 0, 512).error,
                      op == OP_TRIM || op == OP_READ ? -EIO : 0);
  del ("all");
  add ("error=EIO");
  for (op = 0; op < NR_OPERATIONS; op++)
    assert_int_equal (judge ((enum operation) op, 0, 512).error, -EIO);
}

static void
test_range (void **state)
{
  (void) state;
  add ("error=EIO range=1M+64K");
  assert_false (is_hit_at (0));
  assert_false (is_hit_at ((1 << 20) - 4096));
  assert_true (is_hit_at ((1 << 20) - 512));
  assert_true (is_hit_at (1 << 20));
  assert_true (is_hit_at ((1 << 20) + 65536 - 512));
  assert_false (is_hit_at ((1 << 20) + 65536));
  assert_int_equal (judge (OP_FLUSH, 0, 0).error, 0);
  check_counters (1, 3, 3);
}

static void
test_zones (void **state)
{
  (void) state;
  add ("error=EIO zones=3,7-9");
  assert_false (is_hit_at (3 << 20)); /* there are no zones */
  zone_size = 1 << 20;
  assert_false (is_hit_at ((3 << 20) - 4096));
  assert_true (is_hit_at (3 << 20));
  assert_false (is_hit_at (4 << 20));
  assert_true (is_hit_at (8 << 20));
  assert_false (is_hit_at (10 << 20));
  assert_int_equal (judge (OP_ZONE, 7 << 20, 1 << 20).error, -EIO);
  assert_int_equal (judge (OP_ZONE, 6 << 20, 1 << 20).error, 0);
  check_counters (1, 3, 3);
}

static void
test_for (void **state)
{
  const uint64_t added = now;

  (void) state;
  add ("error=EIO for=10s");
  now = added - 1; /* arrived before, asked after */
  assert_true (is_hit ());
  now = added;
  assert_true (is_hit ());
  now = added + 10 * NSEC_PER_SEC - 1;
  assert_true (is_hit ());
  now = added + 10 * NSEC_PER_SEC;
  assert_false (is_hit ());
  now = UINT64_MAX;
  assert_false (is_hit ());
  check_counters (1, 5, 3);
}

static void
test_from (void **state)
{
  const uint64_t added = now;

  (void) state;
  add ("error=EIO from=2s");
  assert_false (is_hit ());
  now = added + 2 * NSEC_PER_SEC - 1;
  assert_false (is_hit ());
  now++;
  assert_true (is_hit ());
  now = UINT64_MAX;
  assert_true (is_hit ());
  check_counters (1, 4, 2);
}

/* for= counts from from= on. */
static void
test_from_for (void **state)
{
  const uint64_t added = now;

  (void) state;
  add ("error=EIO from=2s for=3s");
  now = added + 2 * NSEC_PER_SEC - 1;
  assert_false (is_hit ());
  now++;
  assert_true (is_hit ());
  now = added + 5 * NSEC_PER_SEC - 1;
  assert_true (is_hit ());
  now++;
  assert_false (is_hit ());
}

static void
test_after (void **state)
{
  int i;

  (void) state;
  add ("error=EIO after=100 op=write");
  for (i = 0; i < 200; i++) {
    assert_int_equal (judge (OP_READ, 0, 512).error, 0); /* does not count */
    assert_int_equal (is_hit (), i >= 100);
  }
  check_counters (1, 200, 100);
}

static void
test_every (void **state)
{
  int i;

  (void) state;
  add ("error=EIO every=10");
  for (i = 1; i <= 100; i++)
    assert_int_equal (is_hit (), i % 10 == 0);
  check_counters (1, 100, 10);
}

static void
test_count (void **state)
{
  struct wanted w = {.id = 1};
  int i;

  (void) state;
  add ("error=EIO count=5");
  for (i = 0; i < 20; i++) {
    faults_each (&faults, pick, &w);
    assert_int_equal (w.info.spent, i >= 5);
    assert_int_equal (is_hit (), i < 5);
  }
  check_counters (1, 20, 5);
}

static void
test_rate_none_and_all (void **state)
{
  int i;

  (void) state;
  add ("error=EIO rate=0%");
  for (i = 0; i < 10000; i++)
    assert_false (is_hit ());
  check_counters (1, 10000, 0);
  del ("all");
  add ("error=EIO rate=100%");
  for (i = 0; i < 10000; i++)
    assert_true (is_hit ());
}

/* Of n = 10^6 requests a share p is hit n p times, with a standard deviation of
 * sqrt (n p (1 - p)), which is at most 500; a normal distribution leaves its
 * mean by six of them twice in a billion.  Whole ones, rounded up, here.
 */
static void
test_rate_share (void **state)
{
  static const struct {
    const char *rate;
    int mean, six_deviations;
  } table[] = {
      {"1%", 10000, 597},    {"50%", 500000, 3000},  {"0.001", 1000, 190},
      {"2:3", 666667, 2829}, {"99.9%", 999000, 190},
  };
  const uint64_t seed = new_seed ("shares");
  char text[64];
  int i, hits;
  size_t t;

  (void) state;
  for (t = 0; t < NR (table); t++) {
    begin_again (seed, 0);
    snprintf (text, sizeof text, "error=EIO rate=%s", table[t].rate);
    add (text);
    for (i = hits = 0; i < 1000000; i++)
      hits += is_hit ();
    assert_in_range (hits, table[t].mean - table[t].six_deviations,
                     table[t].mean + table[t].six_deviations);
    check_counters (1, 1000000, hits);
  }
}

/*---------------------------------------------------------------------*/
/* Conditions together: the order that faults.h promises */

static void
test_after_then_every (void **state)
{
  int i;

  (void) state;
  add ("error=EIO after=7 every=10");
  for (i = 1; i <= 100; i++)
    assert_int_equal (is_hit (), i > 7 && (i - 7) % 10 == 0);
}

/* What is outside of the window is not counted by after and every. */
static void
test_window_then_after (void **state)
{
  const uint64_t added = now;
  int i;

  (void) state;
  add ("error=EIO from=1s after=2 every=2");
  for (i = 0; i < 5; i++)
    assert_false (is_hit ());
  now = added + NSEC_PER_SEC;
  for (i = 1; i <= 10; i++)
    assert_int_equal (is_hit (), i > 2 && i % 2 == 0);
  check_counters (1, 15, 4);
}

/* What is elsewhere is not counted by every. */
static void
test_range_then_every (void **state)
{
  int i;

  (void) state;
  add ("error=EIO range=0+4K every=3");
  for (i = 1; i <= 30; i++) {
    assert_false (is_hit_at (1 << 20));
    assert_int_equal (is_hit_at (0), i % 3 == 0);
  }
  check_counters (1, 30, 10);
}

/* The k-th number is drawn for the k-th that every lets through. */
static void
test_every_then_rate (void **state)
{
  bool drawn[200];
  int i;

  (void) state;
  add ("error=EIO rate=30%");
  for (i = 0; i < 200; i++)
    drawn[i] = is_hit ();
  begin_again (1, 0);
  add ("error=EIO rate=30% every=5 after=3");
  for (i = 1; i <= 1003; i++)
    assert_int_equal (is_hit (),
                      i > 3 && (i - 3) % 5 == 0 && drawn[(i - 3) / 5 - 1]);
}

/* What is not drawn does not use count up. */
static void
test_rate_then_count (void **state)
{
  bool drawn[200];
  int i, hits = 0;

  (void) state;
  add ("error=EIO rate=30%");
  for (i = 0; i < 200; i++)
    drawn[i] = is_hit ();
  begin_again (1, 0);
  add ("error=EIO rate=30% count=20");
  for (i = 0; i < 200; i++) {
    assert_int_equal (is_hit (), drawn[i] && hits < 20);
    hits += drawn[i];
  }
  assert_true (hits > 20);
  check_counters (1, 200, 20);
}

static void
test_all_conditions (void **state)
{
  const uint64_t added = now;
  int i, hits = 0;

  (void) state;
  add ("op=write range=1M+64K rate=100% every=10 after=100 count=5 for=10s "
       "error=EIO");
  for (i = 1; i <= 200; i++) {
    judge (OP_READ, 1 << 20, 512);
    is_hit_at (0);
    hits += is_hit_at (1 << 20);
    assert_int_equal (hits, i <= 100             ? 0
                            : (i - 100) / 10 < 5 ? (i - 100) / 10
                                                 : 5);
  }
  check_counters (1, 200, 5);
  now = added + 10 * NSEC_PER_SEC;
  assert_false (is_hit_at (1 << 20));
}

/*---------------------------------------------------------------------*/
/* Actions */

static void
test_error (void **state)
{
  static const struct {
    const char *text;
    int error;
  } table[] = {
      {"error=EPERM", EPERM},   {"error=EIO", EIO},
      {"error=ENOMEM", ENOMEM}, {"error=EINVAL", EINVAL},
      {"error=ENOSPC", ENOSPC}, {"error=ESHUTDOWN", ESHUTDOWN},
  };
  struct fault_verdict v;
  size_t i;

  (void) state;
  for (i = 0; i < NR (table); i++) {
    add (table[i].text);
    v = judge (OP_WRITE, 0, 512);
    assert_int_equal (v.error, -table[i].error);
    assert_int_equal (v.delay, 0);
    assert_false (v.lose || v.disconnect || v.corrupts || v.hangs);
    del ("all");
  }
}

static void
test_delay (void **state)
{
  struct fault_verdict v;

  (void) state;
  add ("delay=1.5ms");
  v = judge (OP_WRITE, 0, 512);
  assert_int_equal (v.delay, 1500000);
  assert_int_equal (v.error, 0);
  assert_false (v.lose || v.disconnect || v.corrupts || v.hangs);
}

/* Drawn, within its bounds, and not always the same. */
static void
test_delay_drawn (void **state)
{
  uint64_t delay, least = UINT64_MAX, most = 0;
  int i;

  (void) state;
  add ("delay=uniform:50us-150us op=read");
  for (i = 0; i < 1000; i++) {
    assert_int_equal (judge (OP_WRITE, 0, 512).delay, 0);
    delay = judge (OP_READ, 0, 512).delay;
    assert_in_range (delay, 50000, 150000);
    least = delay < least ? delay : least;
    most = delay > most ? delay : most;
  }
  assert_true (least < 60000 && most > 140000); /* but for 2 0.9^1000 */
}

/* It only counts. */
static void
test_delay_zero (void **state)
{
  (void) state;
  add ("delay=0 op=flush");
  judge (OP_WRITE, 0, 512);
  assert_int_equal (judge (OP_FLUSH, 0, 0).delay, 0);
  check_counters (1, 1, 1);
}

static void
test_stale (void **state)
{
  struct fault_verdict v;

  (void) state;
  add ("corrupt=stale");
  assert_false (judge (OP_READ, 0, 512).lose);
  check_counters (1, 0, 0);
  v = judge (OP_WRITE, 0, 512);
  assert_true (v.lose);
  assert_int_equal (v.error, 0);
  assert_false (v.disconnect || v.corrupts || v.hangs);
  assert_true (judge (OP_TRIM, 0, 512).lose);
  assert_true (judge (OP_ZERO, 0, 512).lose);
  assert_true (judge (OP_ZONE, 0, 512).lose);
  assert_true (judge (OP_FLUSH, 0, 0).lose);
  del ("all");
  add ("corrupt=stale op=flush");
  assert_false (judge (OP_WRITE, 0, 512).lose);
  assert_true (judge (OP_FLUSH, 0, 0).lose);
}

static void
test_disconnect (void **state)
{
  struct fault_verdict v;

  (void) state;
  add ("disconnect");
  v = judge (OP_WRITE, 0, 512);
  assert_true (v.disconnect);
  assert_int_equal (v.error, -ESHUTDOWN);
  del ("all");
  add ("disconnect");
  add ("error=EPERM");
  v = judge (OP_WRITE, 0, 512);
  assert_true (v.disconnect);
  assert_int_equal (v.error, -EPERM);
}

/*---------------------------------------------------------------------*/
/* corrupt=flip and zero */

#define DATA (256 << 10)

static uint8_t before[DATA], data[DATA];

/* DATA with what a read or write of COUNT bytes at OFFSET makes of it, in
 * requests of EACH bytes.
 */
static void
corrupt (enum operation op, uint64_t offset, uint32_t count, uint32_t each,
         uint32_t block_size)
{
  struct fault_request r;
  struct fault_verdict v;
  uint32_t at;

  for (at = 0; at < count; at += each) {
    r = request (op, offset + at, each);
    faults_judge (&faults, &r, &v);
    if (v.corrupts)
      faults_corrupt (&v, &r, data + at, block_size);
    faults_done (&v);
  }
}

static void
fill (void)
{
  uint64_t random = 5;
  size_t i;

  for (i = 0; i < DATA; i++)
    before[i] = (uint8_t) next_random (&random);
  memcpy (data, before, DATA);
}

/* How many bits of the N-th block are other than they were. */
static unsigned
bits (uint32_t n, uint32_t block_size)
{
  const size_t begin = (size_t) n * block_size;

  return count_flipped (data + begin, before + begin, block_size);
}

static void
test_flip (void **state)
{
  static const uint32_t block_sizes[] = {512, 4096, 65536};
  static const enum operation ops[] = {OP_READ, OP_WRITE};
  uint32_t i;
  size_t b, o;

  (void) state;
  add ("corrupt=flip");
  for (b = 0; b < NR (block_sizes); b++) {
    for (o = 0; o < NR (ops); o++) {
      fill ();
      corrupt (ops[o], 7 << 20, DATA, DATA, block_sizes[b]);
      for (i = 0; i < DATA / block_sizes[b]; i++)
        assert_int_equal (bits (i, block_sizes[b]), 1);
    }
  }
}

/* Only what touches the range: bytes from 4096 - 1 up to 12288 + 1. */
static void
test_flip_range (void **state)
{
  uint32_t i;

  (void) state;
  add ("corrupt=flip range=1052671+8194"); /* 1M + 4K - 1 */
  fill ();
  corrupt (OP_READ, 1 << 20, DATA, DATA, 4096);
  for (i = 0; i < DATA / 4096; i++)
    assert_int_equal (bits (i, 4096), i <= 3 ? 1 : 0);
  fill ();
  corrupt (OP_READ, 1 << 20, DATA, DATA, 512);
  for (i = 0; i < DATA / 512; i++)
    assert_int_equal (bits (i, 512), i >= 7 && i <= 24 ? 1 : 0);
}

static void
test_flip_zones (void **state)
{
  uint32_t i;

  (void) state;
  zone_size = 16384;
  add ("corrupt=flip zones=1,3-4");
  fill ();
  corrupt (OP_WRITE, 0, DATA, DATA, 4096);
  for (i = 0; i < DATA / 4096; i++)
    assert_int_equal (bits (i, 4096),
                      i / 4 == 1 || i / 4 == 3 || i / 4 == 4 ? 1 : 0);
}

/* The same bits whatever the requests are, and however often. */
static void
test_flip_by_place (void **state)
{
  static uint8_t once[DATA];

  (void) state;
  add ("corrupt=flip");
  fill ();
  corrupt (OP_READ, 1 << 20, DATA, DATA, 4096);
  memcpy (once, data, DATA);
  fill ();
  corrupt (OP_READ, 1 << 20, DATA, 4096, 4096);
  assert_memory_equal (data, once, DATA);
  fill ();
  corrupt (OP_READ, 1 << 20, DATA, 65536, 4096);
  assert_memory_equal (data, once, DATA);

  /* The same seed; another place, rule, seed or device. */
  begin_again (1, 0);
  add ("corrupt=flip");
  fill ();
  corrupt (OP_READ, 1 << 20, DATA, DATA, 4096);
  assert_memory_equal (data, once, DATA);
  fill ();
  corrupt (OP_READ, 2 << 20, DATA, DATA, 4096);
  assert_memory_not_equal (data, once, DATA);
  del ("all");
  add ("corrupt=flip");
  fill ();
  corrupt (OP_READ, 1 << 20, DATA, DATA, 4096);
  assert_memory_not_equal (data, once, DATA);
  begin_again (2, 0);
  add ("corrupt=flip");
  fill ();
  corrupt (OP_READ, 1 << 20, DATA, DATA, 4096);
  assert_memory_not_equal (data, once, DATA);
  begin_again (1, 1);
  add ("corrupt=flip");
  fill ();
  corrupt (OP_READ, 1 << 20, DATA, DATA, 4096);
  assert_memory_not_equal (data, once, DATA);
}

/* Reading does not undo what writing did. */
static void
test_flip_twice (void **state)
{
  uint32_t i;

  (void) state;
  add ("corrupt=flip");
  fill ();
  corrupt (OP_WRITE, 0, DATA, DATA, 512);
  corrupt (OP_READ, 0, DATA, DATA, 512);
  for (i = 0; i < DATA / 512; i++)
    assert_int_equal (bits (i, 512), 2);
}

/* Each bit is as likely: of 8 * 512 places, half belong to reads; 2^20 blocks
 * hit each 512 times on average, and never a place that is not theirs.  Six
 * standard deviations are 136, with 4096 tries of two in a billion.
 */
static void
test_flip_everywhere (void **state)
{
  static uint32_t hits[4096];
  uint32_t i, block;

  (void) state;
  begin_again (new_seed ("flips"), 0);
  memset (hits, 0, sizeof hits);
  add ("corrupt=flip");
  for (block = 0; block < 1 << 20; block++) {
    memset (data, 0, 512);
    corrupt (OP_READ, block * UINT64_C (512), 512, 512, 512);
    for (i = 0; data[i] == 0; i++)
      ;
    hits[i * 8 + (uint32_t) __builtin_ctz (data[i])]++;
  }
  for (i = 0; i < 4096; i++) {
    if (i % 2 == 0)
      assert_in_range (hits[i], 512 - 136, 512 + 136);
    else
      assert_int_equal (hits[i], 0);
  }
}

static void
test_zero (void **state)
{
  static const uint8_t zeroes[8192];

  (void) state;
  add ("corrupt=zero range=4K+8K");
  fill ();
  corrupt (OP_READ, 0, 65536, 65536, 4096);
  assert_memory_equal (data, before, 4096);
  assert_memory_equal (data + 4096, zeroes, 8192);
  assert_memory_equal (data + 12288, before + 12288, 65536 - 12288);
}

/* flip for one range, zero for another, in the order of the rules. */
static void
test_corrupt_together (void **state)
{
  static const uint8_t zeroes[4096];
  uint32_t i;

  (void) state;
  add ("corrupt=flip range=0+8K");
  add ("corrupt=zero range=4K+8K");
  fill ();
  corrupt (OP_WRITE, 0, 65536, 65536, 4096);
  assert_int_equal (bits (0, 4096), 1);
  assert_memory_equal (data + 4096, zeroes, 4096);
  assert_memory_equal (data + 8192, zeroes, 4096);
  for (i = 3; i < 16; i++)
    assert_int_equal (bits (i, 4096), 0);

  del ("all");
  add ("corrupt=zero");
  add ("corrupt=flip");
  memset (before, 0, DATA);
  corrupt (OP_WRITE, 0, 4096, 4096, 4096);
  assert_int_equal (bits (0, 4096), 1);
}

/*---------------------------------------------------------------------*/
/* hang */

struct napper {
  int naps;
  int end;             /* the nap at which ... */
  const char *deletes; /* ... this is deleted, or */
  int result;          /* ... this is returned */
  bool is_over;        /* from then on */
};

static bool
is_over (const void *opaque)
{
  const struct napper *n = opaque;

  return n->is_over && n->naps >= n->end;
}

static int
count_naps (void *opaque, uint64_t nsec)
{
  struct napper *n = opaque;

  assert_int_equal (nsec, 0);
  if (++n->naps < n->end)
    return 0;
  if (n->deletes != NULL)
    del (n->deletes);
  return n->result;
}

static int
hang (struct napper *n)
{
  const struct fault_request r = request (OP_WRITE, 0, 512);
  const struct nap nap = {.nap = count_naps, .opaque = n};
  struct fault_verdict v;
  int result;

  faults_judge (&faults, &r, &v);
  assert_true (v.hangs);
  result = faults_hang (&faults, &v, &nap, is_over, n);
  faults_done (&v);
  return result;
}

static void
test_hang_deleted (void **state)
{
  struct napper n = {.end = 3, .deletes = "1"};

  (void) state;
  add ("hang");
  assert_int_equal (hang (&n), 0);
  assert_int_equal (n.naps, 3);
}

static void
test_hang_gone (void **state)
{
  struct napper n = {.end = 5, .result = -ESHUTDOWN};

  (void) state;
  add ("hang");
  assert_int_equal (hang (&n), -ESHUTDOWN);
  assert_int_equal (n.naps, 5);
  check_counters (1, 1, 1);
}

/* It need not be done any more: at once, or after some time. */
static void
test_hang_over (void **state)
{
  struct napper n = {.is_over = true};

  (void) state;
  add ("hang");
  assert_int_equal (hang (&n), -ESHUTDOWN);
  assert_int_equal (n.naps, 0);
  n.end = 3;
  assert_int_equal (hang (&n), -ESHUTDOWN);
  assert_int_equal (n.naps, 3);
}

/* Until the last of them is deleted. */
static void
test_hang_twice (void **state)
{
  struct napper n = {.end = 3, .deletes = "all"};

  (void) state;
  add ("hang name=a");
  add ("corrupt=flip");
  add ("hang name=b");
  assert_int_equal (hang (&n), 0);
  assert_int_equal (n.naps, 3);
}

static void
test_hang_already_deleted (void **state)
{
  const struct fault_request r = request (OP_WRITE, 0, 512);
  struct napper n = {.end = 1, .result = -EIO};
  const struct nap nap = {.nap = count_naps, .opaque = &n};
  struct fault_verdict v;

  (void) state;
  add ("hang count=1");
  faults_judge (&faults, &r, &v);
  del ("1");
  assert_int_equal (faults_hang (&faults, &v, &nap, is_over, &n), 0);
  assert_int_equal (n.naps, 0);
  faults_done (&v);
}

/* It does nothing to data, though others do. */
static void
test_hang_and_flip (void **state)
{
  uint32_t i;

  (void) state;
  add ("hang");
  add ("corrupt=flip");
  fill ();
  corrupt (OP_WRITE, 0, DATA, DATA, 512);
  for (i = 0; i < DATA / 512; i++)
    assert_int_equal (bits (i, 512), 1);
}

/* The window ends, and the count is used up: who hangs goes on hanging. */
static void
test_hang_spent (void **state)
{
  struct napper n = {.end = 4, .deletes = "1"};

  (void) state;
  add ("hang count=1 for=1ms");
  assert_int_equal (hang (&n), 0);
  assert_int_equal (n.naps, 4);
  assert_false (judge (OP_WRITE, 0, 512).hangs);
}

/*---------------------------------------------------------------------*/
/* Several rules */

static void
test_first_error (void **state)
{
  (void) state;
  add ("error=ENOSPC every=2");
  add ("error=EIO");
  add ("error=EPERM");
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -EIO);
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -ENOSPC);
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -EIO);
  /* All count, whoever wins. */
  check_counters (1, 3, 1);
  check_counters (2, 3, 3);
  check_counters (3, 3, 3);
}

static void
test_delays_add (void **state)
{
  (void) state;
  add ("delay=1ms");
  add ("delay=20us op=write");
  add ("delay=300ns op=read");
  assert_int_equal (judge (OP_WRITE, 0, 512).delay, 1020000);
  assert_int_equal (judge (OP_READ, 0, 512).delay, 1000300);
  assert_int_equal (judge (OP_TRIM, 0, 512).delay, 1000000);
}

static void
test_everything_at_once (void **state)
{
  const struct fault_request r = request (OP_WRITE, 0, 512);
  struct fault_verdict v;
  uint32_t id;

  (void) state;
  add ("delay=1ms");
  add ("corrupt=flip");
  add ("hang");
  add ("corrupt=stale");
  add ("disconnect");
  add ("error=EIO");
  faults_judge (&faults, &r, &v);
  assert_int_equal (v.error, -EIO);
  assert_int_equal (v.delay, 1000000);
  assert_true (v.lose && v.disconnect && v.corrupts && v.hangs);
  assert_int_equal (v.nr_held, 2);
  faults_done (&v);
  for (id = 1; id <= 6; id++)
    check_counters (id, 1, 1);
}

/* A rule hits what it would hit alone. */
static void
test_rules_are_independent (void **state)
{
  static bool alone[1000];
  static uint64_t delays[1000];
  int i;

  (void) state;
  add ("error=EIO rate=10% every=2");
  add ("delay=uniform:0-1ms rate=50%");
  for (i = 0; i < 1000; i++) {
    struct fault_verdict v = judge (OP_WRITE, 0, 512);

    alone[i] = v.error != 0;
    delays[i] = v.delay;
  }
  begin_again (1, 0);
  add ("error=EIO rate=10% every=2");
  add ("delay=uniform:0-1ms rate=50%");
  add ("disconnect rate=50%");
  add ("error=EPERM rate=0%");
  del ("1");
  for (i = 0; i < 1000; i++)
    assert_int_equal (judge (OP_WRITE, 0, 512).delay, delays[i]);
  begin_again (1, 0);
  add ("error=EIO rate=10% every=2");
  add ("disconnect rate=50%");
  for (i = 0; i < 1000; i++)
    assert_int_equal (judge (OP_WRITE, 0, 512).error == -EIO, alone[i]);
}

/*---------------------------------------------------------------------*/
/* Seeds */

#define SEQUENCE 20000

/* What a connection's requests, all kinds of them, are met with. */
static void
run_sequence (uint64_t seed, uint32_t device, struct fault_verdict *results)
{
  uint64_t random = 99, offset;
  enum operation op;
  int i;

  begin_again (seed, device);
  add ("error=EIO rate=1% op=read,write");
  add ("error=ENOSPC rate=0.1 op=write range=0+512M");
  add ("delay=lognormal:p50=80us,p99=2ms rate=1:3");
  add ("corrupt=stale rate=5% every=3 op=flush,write");
  add ("disconnect rate=0.1% after=50");
  for (i = 0; i < SEQUENCE; i++) {
    op = (enum operation) random_below (&random, NR_OPERATIONS);
    offset = random_below (&random, 1 << 20) * 4096;
    results[i] = judge (op, offset, op == OP_FLUSH ? 0 : 4096);
  }
}

static int
count_differences (const struct fault_verdict *a, const struct fault_verdict *b)
{
  int i, r = 0;

  for (i = 0; i < SEQUENCE; i++)
    r += a[i].error != b[i].error || a[i].delay != b[i].delay ||
         a[i].lose != b[i].lose || a[i].disconnect != b[i].disconnect;
  return r;
}

static void
test_seed (void **state)
{
  static struct fault_verdict first[SEQUENCE], second[SEQUENCE];
  const uint64_t seed = new_seed ("runs");

  (void) state;
  run_sequence (seed, 0, first);
  run_sequence (seed, 0, second);
  assert_int_equal (count_differences (first, second), 0);
  run_sequence (seed + 1, 0, second);
  assert_true (count_differences (first, second) > 1000);
  run_sequence (seed, 1, second);
  assert_true (count_differences (first, second) > 1000);
}

/*---------------------------------------------------------------------*/
/* The list */

static void
write_down (void *opaque, const struct fault_info *info)
{
  char *s = opaque;

  sprintf (s + strlen (s), "%u[%s] %s\n", info->id, info->name, info->text);
}

static void
check_list (const char *expected)
{
  static char text[4096];

  text[0] = '\0';
  faults_each (&faults, write_down, text);
  assert_string_equal (text, expected);
}

static void
check_refused (struct fault *chain, const char *expected)
{
  struct message why;

  assert_int_equal (faults_change (&faults, NULL, chain, now, &why), -EINVAL);
  assert_string_equal (why.text, expected);
  fault_free (chain);
}

/* Not one of them is. */
static void
check_not_deleted (const char *which)
{
  struct message why;

  assert_int_equal (faults_change (&faults, which, NULL, now, &why), -EINVAL);
  check_list ("1[one] name=one hang\n3[three] name=three delay=1ms\n");
}

static void
test_list (void **state)
{
  (void) state;
  check_list ("");
  add ("hang  name=one");
  add ("error=EIO op=write");
  add ("name=three delay=1ms");
  check_list ("1[one] name=one hang\n2[] op=write error=EIO\n"
              "3[three] name=three delay=1ms\n");
  del ("2");
  check_list ("1[one] name=one hang\n3[three] name=three delay=1ms\n");
  del ("three");
  add ("disconnect"); /* numbers are not used again */
  check_list ("1[one] name=one hang\n4[] disconnect\n");
  del ("all");
  check_list ("");
  del ("all");
  add ("name=one hang"); /* but names are */
  check_list ("5[one] name=one hang\n");
}

static void
test_delete_what_is_not_there (void **state)
{
  struct message why;

  (void) state;
  add ("hang name=one");
  add ("error=EIO");
  add ("delay=1ms name=three");
  del ("2");
  assert_int_equal (faults_change (&faults, "2", NULL, now, &why), -EINVAL);
  assert_string_equal (
      why.text, "'2': allowed is a rule's number or name, all or others");
  check_not_deleted ("");
  check_not_deleted ("one,");
  check_not_deleted ("one,two");
  check_not_deleted ("one,all");
}

static void
test_chain (void **state)
{
  struct fault *chain = NULL;
  struct message why;

  (void) state;
  add ("name=a hang");
  fault_append (&chain, make ("name=b hang"));
  fault_append (&chain, make ("name=c hang"));
  assert_int_equal (faults_change (&faults, NULL, chain, now, &why), 0);
  check_list ("1[a] name=a hang\n2[b] name=b hang\n3[c] name=c hang\n");

  /* All or none. */
  chain = NULL;
  fault_append (&chain, make ("name=d hang"));
  fault_append (&chain, make ("name=b hang"));
  check_refused (chain, "'name=b': there is such a rule");
  chain = NULL;
  fault_append (&chain, make ("name=d hang"));
  fault_append (&chain, make ("name=d hang"));
  check_refused (chain, "'name=d': there is such a rule");
  check_list ("1[a] name=a hang\n2[b] name=b hang\n3[c] name=c hang\n");
}

static void
change (const char *which, struct fault *chain)
{
  struct message why;

  if (faults_change (&faults, which, chain, now, &why) != 0)
    fail_msg ("%s", why.text);
}

static void
test_replace (void **state)
{
  struct fault *chain = NULL;
  struct message why;

  (void) state;
  add ("name=a error=EIO");
  add ("error=EPERM");
  add ("name=b hang");

  /* A name is free when its rule goes, not if the change is refused. */
  change ("a,2", make ("name=a error=ENOSPC"));
  check_list ("3[b] name=b hang\n4[a] name=a error=ENOSPC\n");
  assert_int_equal (faults_change (&faults, "a,nosuch", chain, now, &why),
                    -EINVAL);
  chain = make ("name=b hang");
  fault_append (&chain, make ("name=b hang"));
  assert_int_equal (faults_change (&faults, "b", chain, now, &why), -EINVAL);
  assert_string_equal (why.text, "'name=b': there is such a rule");
  check_list ("3[b] name=b hang\n4[a] name=a error=ENOSPC\n");
  fault_free (chain);
}

/* Rules that hang or delay, and no others, make requests wait. */
static void
test_waits (void **state)
{
  (void) state;
  assert_false (faults_any_waits (&faults));
  add ("name=a error=EIO");
  assert_false (faults_any_waits (&faults));
  add ("name=b delay=1ms");
  add ("name=c hang");
  assert_true (faults_any_waits (&faults));
  change ("b", NULL);
  assert_true (faults_any_waits (&faults));
  change ("others", make ("name=c hang"));
  assert_true (faults_any_waits (&faults));
  change ("c", make ("corrupt=flip"));
  assert_false (faults_any_waits (&faults));
  change ("all", make ("delay=1ms"));
  assert_true (faults_any_waits (&faults));
  change ("all", NULL);
  assert_false (faults_any_waits (&faults));
}

/* A change compares each rule with few others, however many there are. */
static void
test_many_rules (void **state)
{
  enum { RULES = 4000, A_CHANGE = 1000 };
  struct fault *chain = NULL, *again = NULL;
  char text[64];
  unsigned i;

  (void) state;
  compared = 0;
  for (i = 0; i < RULES; i++) {
    snprintf (text, sizeof text, "name=n%u op=write error=EIO", i);
    fault_append (&chain, make (text));
    fault_append (&again, make (text));
    if ((i + 1) % A_CHANGE == 0) {
      change (NULL, chain);
      chain = NULL;
    }
  }
  change ("others", again);
  for (i = 0; i < RULES; i += 4) {
    snprintf (text, sizeof text, "%u", i + 1);
    change (text, NULL);
    snprintf (text, sizeof text, "n%u", i + 1);
    if (i < 64)
      change (text, NULL);
  }
  assert_int_equal (faults.count, RULES - RULES / 4 - 16);
  assert_true (compared < RULES * UINT64_C (1000));
}

/* What is listed stays as it is, the same twice if it is there twice. */
static void
test_others (void **state)
{
  struct fault *chain;

  (void) state;
  add ("op=write count=1 error=EIO");
  add ("name=b error=EPERM");
  add ("name=c error=EPERM after=1");
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -EIO);
  chain = make ("name=c error=ENOSPC after=1");
  fault_append (&chain, make ("count=1 error=EIO op=write"));
  fault_append (&chain, make ("count=1 error=EIO op=write"));
  change ("others", chain);
  check_list ("4[c] name=c after=1 error=ENOSPC\n"
              "1[] op=write count=1 error=EIO\n"
              "5[] op=write count=1 error=EIO\n");
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -EIO); /* 5 */
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -ENOSPC);
  change ("others", NULL);
  assert_false (faults_any (&faults));
}

/* Those that are kept and those that go do not count twice. */
static void
test_others_held (void **state)
{
  struct fault *chain = NULL;
  char text[32];
  int i;

  (void) state;
  for (i = 0; i < 2 * MAX_HELD; i++) {
    snprintf (text, sizeof text, "op=read count=%d hang", 1 + i % 24);
    if (i < MAX_HELD)
      add (text);
    else
      fault_append (&chain, make (text));
  }
  change ("others", chain);
  assert_int_equal (faults.count, MAX_HELD);
}

/* Draws begin again, those of flips, too. */
static void
test_seed_again (void **state)
{
  bool first[100];
  int i;

  (void) state;
  add ("rate=50% error=EIO");
  for (i = 0; i < 100; i++)
    first[i] = is_hit ();
  faults_seed (&faults, 1);
  for (i = 0; i < 100; i++)
    assert_int_equal (is_hit (), first[i]);
  faults_seed (&faults, 2);
  for (i = 0; i < 100 && is_hit () == first[i]; i++)
    ;
  assert_true (i < 100);
}

static void
test_copy (void **state)
{
  struct fault *chain = NULL, *copy;

  (void) state;
  begin_again (1, 3);
  fault_append (&chain, make ("name=a device=nullb1 hang"));
  fault_append (&chain, make ("name=b delay=uniform:1ms-2ms"));
  fault_append (&chain, make ("device=nullb3 error=EIO"));
  assert_int_equal (fault_copy (chain, 3, &copy), 0);
  fault_free (chain);
  assert_true (fault_waits (copy));
  change (NULL, copy);
  check_list ("1[b] name=b delay=uniform:1ms-2ms\n"
              "2[] device=nullb3 error=EIO\n");
  assert_in_range (judge (OP_READ, 0, 512).delay, NSEC_PER_MSEC,
                   2 * NSEC_PER_MSEC);
}

static void
test_device (void **state)
{
  struct fault *fault;

  (void) state;
  begin_again (1, 3);
  add ("device=nullb3 hang");
  check_refused (make ("device=nullb1 hang"),
                 "'device=nullb1': this is nullb3");
  fault = make ("device=nullb3 hang");
  assert_true (fault_is_for (fault, 3));
  assert_false (fault_is_for (fault, 1));
  assert_false (fault_disconnects (fault));
  fault_free (fault);
  fault = make ("disconnect");
  assert_true (fault_is_for (fault, 0));
  assert_true (fault_disconnects (fault));
  fault_free (fault);
  fault_free (NULL);
}

static void
test_most_held (void **state)
{
  int i;

  (void) state;
  for (i = 0; i < MAX_HELD; i++)
    add (i % 2 ? "corrupt=flip" : "corrupt=zero");
  check_refused (make ("hang"), "allowed are 16 rules with corrupt=flip, "
                                "corrupt=zero or hang on a device");
  add ("error=EIO");
  add ("corrupt=stale");
  assert_int_equal (judge (OP_WRITE, 0, 512).nr_held, MAX_HELD);
  del ("1");
  add ("hang");
  assert_int_equal (judge (OP_WRITE, 0, 512).nr_held, MAX_HELD);
}

static void
test_reset_counters (void **state)
{
  int i;

  (void) state;
  add ("error=EIO every=4 count=3 after=1");
  for (i = 1; i <= 7; i++)
    assert_int_equal (is_hit (), i == 5);
  check_counters (1, 7, 1);
  faults_reset_counters (&faults);
  check_counters (1, 0, 0);
  for (i = 8; i <= 30; i++)
    assert_int_equal (is_hit (), i == 9 || i == 13);
  check_counters (1, 23, 2);
}

static void
test_wrong_rule (void **state)
{
  struct fault *fault = NULL;
  struct message why;

  (void) state;
  assert_int_equal (fault_new ("hang op=reed", &fault, &why), -EINVAL);
  assert_null (fault);
  assert_non_null (strstr (why.text, "'op=reed'"));
}

#define CASE(test) cmocka_unit_test_setup_teardown (test, set_up, tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      CASE (test_no_rules),
      CASE (test_op),
      CASE (test_range),
      CASE (test_zones),
      CASE (test_for),
      CASE (test_from),
      CASE (test_from_for),
      CASE (test_after),
      CASE (test_every),
      CASE (test_count),
      CASE (test_rate_none_and_all),
      CASE (test_rate_share),
      CASE (test_after_then_every),
      CASE (test_window_then_after),
      CASE (test_range_then_every),
      CASE (test_every_then_rate),
      CASE (test_rate_then_count),
      CASE (test_all_conditions),
      CASE (test_error),
      CASE (test_delay),
      CASE (test_delay_drawn),
      CASE (test_delay_zero),
      CASE (test_stale),
      CASE (test_disconnect),
      CASE (test_flip),
      CASE (test_flip_range),
      CASE (test_flip_zones),
      CASE (test_flip_by_place),
      CASE (test_flip_twice),
      CASE (test_flip_everywhere),
      CASE (test_zero),
      CASE (test_corrupt_together),
      CASE (test_hang_deleted),
      CASE (test_hang_over),
      CASE (test_hang_gone),
      CASE (test_hang_twice),
      CASE (test_hang_already_deleted),
      CASE (test_hang_and_flip),
      CASE (test_hang_spent),
      CASE (test_first_error),
      CASE (test_delays_add),
      CASE (test_everything_at_once),
      CASE (test_rules_are_independent),
      CASE (test_seed),
      CASE (test_list),
      CASE (test_delete_what_is_not_there),
      CASE (test_chain),
      CASE (test_replace),
      CASE (test_others),
      CASE (test_waits),
      CASE (test_many_rules),
      CASE (test_others_held),
      CASE (test_seed_again),
      CASE (test_copy),
      CASE (test_device),
      CASE (test_most_held),
      CASE (test_reset_counters),
      CASE (test_wrong_rule),
  };

  return RUN_TESTS (tests);
}
