/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fault rules: what their actions do.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "judged.h"

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
    assert_false (v.is_skipped || v.disconnects || v.corrupts || v.hangs);
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
  assert_false (v.is_skipped || v.disconnects || v.corrupts || v.hangs);
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
  assert_false (judge (OP_READ, 0, 512).is_skipped);
  check_counters (1, 0, 0);
  v = judge (OP_WRITE, 0, 512);
  assert_true (v.is_skipped);
  assert_int_equal (v.error, 0);
  assert_false (v.disconnects || v.corrupts || v.hangs);
  assert_true (judge (OP_TRIM, 0, 512).is_skipped);
  assert_true (judge (OP_ZERO, 0, 512).is_skipped);
  assert_true (judge (OP_ZONE, 0, 512).is_skipped);
  assert_true (judge (OP_FLUSH, 0, 0).is_skipped);
  del ("all");
  add ("corrupt=stale op=flush");
  assert_false (judge (OP_WRITE, 0, 512).is_skipped);
  assert_true (judge (OP_FLUSH, 0, 0).is_skipped);
}

static void
test_disconnect (void **state)
{
  struct fault_verdict v;

  (void) state;
  add ("disconnect");
  v = judge (OP_WRITE, 0, 512);
  assert_true (v.disconnects);
  assert_int_equal (v.error, -ESHUTDOWN);
  del ("all");
  add ("disconnect");
  add ("error=EPERM");
  v = judge (OP_WRITE, 0, 512);
  assert_true (v.disconnects);
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
  struct io_info r;
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

static void
read_all (uint64_t offset)
{
  fill ();
  corrupt (OP_READ, offset, DATA, DATA, 4096);
}

/* Only what touches the range: bytes from 4096 - 1 up to 12288 + 1. */
static void
test_flip_range (void **state)
{
  uint32_t i;

  (void) state;
  add ("corrupt=flip range=1052671+8194"); /* 1M + 4K - 1 */
  read_all (1 << 20);
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
  read_all (1 << 20);
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
  read_all (1 << 20);
  assert_memory_equal (data, once, DATA);
  read_all (2 << 20);
  assert_memory_not_equal (data, once, DATA);
  del ("all");
  add ("corrupt=flip");
  read_all (1 << 20);
  assert_memory_not_equal (data, once, DATA);
  begin_again (2, 0);
  add ("corrupt=flip");
  read_all (1 << 20);
  assert_memory_not_equal (data, once, DATA);
  begin_again (1, 1);
  add ("corrupt=flip");
  read_all (1 << 20);
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
  const struct io_info r = request (OP_WRITE, 0, 512);
  const struct wait_ops nap = {.sleep_for = count_naps, .opaque = n};
  struct fault_verdict v;
  int result;

  faults_judge (&faults, &r, &v);
  assert_true (v.hangs);
  result = faults_hang (&faults, &v, &nap, is_over, n);
  faults_done (&v);
  return result;
}

/* It hangs until the rules that NAMES means are deleted, in its nap NAP. */
static void
assert_hangs_until_deleted (const char *names, unsigned nap)
{
  struct napper n = {.end = nap, .deletes = names};

  assert_int_equal (hang (&n), 0);
  assert_int_equal (n.naps, nap);
}

static void
test_hang_deleted (void **state)
{
  (void) state;
  add ("hang");
  assert_hangs_until_deleted ("1", 3);
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
  (void) state;
  add ("hang name=a");
  add ("corrupt=flip");
  add ("hang name=b");
  assert_hangs_until_deleted ("all", 3);
}

static void
test_hang_already_deleted (void **state)
{
  const struct io_info r = request (OP_WRITE, 0, 512);
  struct napper n = {.end = 1, .result = -EIO};
  const struct wait_ops nap = {.sleep_for = count_naps, .opaque = &n};
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
  (void) state;
  add ("hang count=1 for=1ms");
  assert_hangs_until_deleted ("1", 4);
  assert_false (judge (OP_WRITE, 0, 512).hangs);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
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
  };

  return RUN_TESTS (tests);
}
