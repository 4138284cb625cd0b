/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Dies, and collection, on moments made up here: by hand, and beside dies that
 * go on in steps of a microsecond.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIZE (UINT64_C (1) << 30)
#include "one-latency.h"

#define PAGE 4096

static struct latency_booking booking; /* of the last request */

static void
set_flash (const char *text)
{
  set_parts (&flash_parts, text, &s.drive.flash);
}

static void
set_distribution (struct distribution **d, const char *text)
{
  struct message why;

  distribution_unref (*d);
  if (distribution_parse (text, OP_WRITE, d, &why) != 0)
    fail_msg ("%s", why.text);
  latency_settings_complete (&s);
}

/* After START and from then on. */
static uint64_t
ask (enum operation op, uint64_t count, uint64_t offset, uint64_t when)
{
  const struct latency_request r = {.op = op,
                                    .count = (uint32_t) count,
                                    .offset = offset,
                                    .freed = op == OP_TRIM ? count : 0,
                                    .arrival = START + when};

  return latency_completion (&l, &s, &random_numbers, &r, &booking) - START;
}

static uint64_t
read_page (uint64_t page, uint64_t when)
{
  return ask (OP_READ, PAGE, page * PAGE, when);
}

static uint64_t
write_page (uint64_t page, uint64_t when)
{
  return ask (OP_WRITE, PAGE, page * PAGE, when);
}

/*---------------------------------------------------------------------*/

static void
test_reads (void **state)
{
  (void) state;
  set_flash ("dies:4,page:4K,read:50us");
  assert_true (s.waits);
  set_distribution (&s.durations[OP_READ], "10us");
  assert_int_equal (read_page (0, 0), 60 * USEC);
  assert_int_equal (read_page (1, 0), 60 * USEC);
  assert_int_equal (read_page (4, 0), 110 * USEC); /* the die of page 0 */
  assert_int_equal (read_page (8, 30 * USEC), 160 * USEC);
  assert_int_equal (read_page (12, 200 * USEC), 260 * USEC);
  /* It is at hand. */
  assert_int_equal (read_page (12, MSEC), MSEC + 10 * USEC);
  assert_int_equal (ask (OP_READ, 512, 12 * PAGE + 512, MSEC),
                    MSEC + 10 * USEC);
  assert_int_equal (read_page (16, MSEC), MSEC + 60 * USEC);
  assert_int_equal (read_page (12, MSEC), MSEC + 110 * USEC);
  /* Two pages, half of each; six pages, two on two of the dies. */
  assert_int_equal (ask (OP_READ, PAGE, 21 * PAGE / 2, 2 * MSEC),
                    2 * MSEC + 60 * USEC);
  assert_int_equal (ask (OP_READ, 6 * PAGE, 20 * PAGE, 3 * MSEC),
                    3 * MSEC + 110 * USEC);
  assert_int_equal (read_page (25, 3 * MSEC), 3 * MSEC + 110 * USEC);
  assert_int_equal (read_page (27, 3 * MSEC), 3 * MSEC + 110 * USEC);
  assert_int_equal (ask (OP_FLUSH, 0, 0, 3 * MSEC), 3 * MSEC);
  assert_int_equal (ask (OP_TRIM, PAGE, 0, 3 * MSEC), 3 * MSEC);
}

static void
test_channels (void **state)
{
  (void) state;
  /* 4 KiB take 1/128 s. */
  set_flash ("dies:4,page:8K,read:50us,channels:2,mbps:1");
  assert_int_equal (ask (OP_READ, PAGE, 0, 0), 50 * USEC + 3906250);
  /* Die 2 is on the same one, and die 1 is not. */
  assert_int_equal (ask (OP_READ, PAGE, 16384, 0), 50 * USEC + 7812500);
  assert_int_equal (ask (OP_READ, PAGE, 8192, 0), 50 * USEC + 3906250);
  /* Two whole pages, side by side. */
  assert_int_equal (ask (OP_READ, 16384, 8192, NSEC_PER_SEC),
                    NSEC_PER_SEC + 7812500);
}

static void
test_programs (void **state)
{
  (void) state;
  set_flash ("dies:2,page:4K,read:50us,program:500us");
  set_distribution (&s.durations[OP_WRITE], "10us");
  /* In turns, wherever they go. */
  assert_int_equal (write_page (7, 0), 510 * USEC);
  assert_int_equal (write_page (7, 0), 510 * USEC);
  assert_int_equal (write_page (7, 0), 1010 * USEC); /* die 0 */
  assert_int_equal (ask (OP_ZERO, 512, 0, 0), 1000 * USEC);
  /* A read waits for the one under way; the next waits for the read. */
  assert_int_equal (read_page (0, 100 * USEC), 550 * USEC);
  assert_int_equal (write_page (7, 100 * USEC), 1560 * USEC);
  assert_int_equal (read_page (2, 600 * USEC), 1100 * USEC);
  assert_int_equal (read_page (4, 1090 * USEC), 1150 * USEC);
  assert_int_equal (read_page (6, 1160 * USEC), 1700 * USEC);
  /* Between two programs it has to wait for none. */
  assert_int_equal (ask (OP_WRITE, 4 * PAGE, 0, 10 * MSEC),
                    10 * MSEC + 1010 * USEC);
  assert_int_equal (read_page (0, 10 * MSEC + 500 * USEC),
                    10 * MSEC + 550 * USEC);
  assert_int_equal (read_page (2, 10 * MSEC + 560 * USEC),
                    10 * MSEC + 1100 * USEC);
}

static void
test_erases (void **state)
{
  (void) state;
  set_flash ("dies:1,page:4K,read:50us,program:500us,erase:3ms,block:8K");
  assert_int_equal (write_page (0, 0), 500 * USEC);
  assert_int_equal (write_page (0, 0), 4 * MSEC);
  assert_int_equal (write_page (0, 0), 4500 * USEC);
  assert_int_equal (read_page (0, 100 * USEC), 550 * USEC);
  assert_int_equal (read_page (1, 1060 * USEC), 4100 * USEC); /* the erase */
  /* The third has begun by then, and is 100 us later than it was to be. */
  assert_int_equal (read_page (2, 4200 * USEC), 4650 * USEC);
  assert_int_equal (write_page (0, 10 * MSEC), 13500 * USEC);
}

/* A die that has several blocks to erase, at 1 and at 5.1 ms.  Each read delays
 * what is behind it.
 */
static void
test_two_erases (void **state)
{
  unsigned i;

  (void) state;
  set_flash ("dies:1,page:4K,read:50us,program:500us,erase:3100us,block:8K");
  for (i = 0; i < 4; i++)
    write_page (0, 0);
  assert_int_equal (read_page (0, 700 * USEC), 1050 * USEC);
  assert_int_equal (read_page (1, 2 * MSEC), 4200 * USEC);
  assert_int_equal (read_page (2, 4400 * USEC), 4750 * USEC);
  assert_int_equal (read_page (3, 6 * MSEC), 8400 * USEC);
  /* A live change, with which there is nothing to erase. */
  for (i = 0; i < 4; i++)
    write_page (0, 10 * MSEC);
  set_flash ("dies:1,page:4K,read:50us,block:8K");
  assert_int_equal (read_page (4, 12 * MSEC), 12050 * USEC);
}

/* With a buffer writes are done when they are in it, fill pages together, and
 * drain as fast as all dies program.
 */
static void
test_buffer (void **state)
{
  unsigned i;

  (void) state;
  s.drive.buffer.size = 16 * PAGE;
  set_flash ("dies:2,page:8K,read:50us,program:400us");
  assert_true (s.drive.buffer_size > 0);
  assert_int_equal (ask (OP_WRITE, PAGE, 0, 0), 0);
  assert_int_equal (ask (OP_READ, 8192, 0, 0), 50 * USEC); /* no whole page */
  assert_int_equal (ask (OP_WRITE, PAGE, 0, 50 * USEC), 50 * USEC);
  assert_int_equal (ask (OP_READ, 8192, 16384, 100 * USEC), 500 * USEC);
  for (i = 0; i < 16; i++)
    assert_int_equal (write_page (i, 10 * MSEC), 10 * MSEC);
  /* Full: a page of 4K in 100 us. */
  for (i = 1; i < 10; i++)
    assert_int_equal (write_page (i, 10 * MSEC), 10 * MSEC + i * 100 * USEC);
  assert_int_equal (ask (OP_FLUSH, 0, 0, 10 * MSEC), 10 * MSEC + 2500 * USEC);
}

static void
test_live (void **state)
{
  (void) state;
  set_flash ("dies:1,page:4K,read:50us");
  assert_int_equal (read_page (0, 0), 50 * USEC);
  assert_int_equal (read_page (1, 0), 100 * USEC);
  set_flash ("dies:2,page:4K,read:60us");
  assert_int_equal (read_page (1, 0), 60 * USEC);
  latency_reset (&l);
  assert_int_equal (read_page (1, 0), 60 * USEC);
  assert_int_equal (read_page (3, 0), 120 * USEC);
}

/*---------------------------------------------------------------------*/

#define STEPS 400000 /* of a microsecond */

/* Dies as they go on, one step after the other: a read or a program runs to its
 * end; then the next read that has come is first, and else the next program.
 */
struct job {
  unsigned arrival, length, done;
};

struct naive {
  struct job reads[STEPS / 20], programs[STEPS / 20];
  unsigned nr_reads, nr_programs, next_read, next_program, busy;
};

static void
step (struct naive *d, unsigned now)
{
  struct job *job = NULL;

  if (d->busy > 0)
    d->busy--;
  if (d->busy > 0)
    return;
  if (d->next_read < d->nr_reads && d->reads[d->next_read].arrival <= now)
    job = &d->reads[d->next_read++];
  else if (d->next_program < d->nr_programs &&
           d->programs[d->next_program].arrival <= now)
    job = &d->programs[d->next_program++];
  if (job == NULL)
    return;
  d->busy = job->length;
  job->done = now + job->length;
}

/* One page a request, a read and a program now and then. */
static void
test_beside_steps (void **state)
{
  enum { DIES = 3 };
  static struct naive dies[DIES];
  static struct {
    uint64_t done;
    struct job *job;
  } reads[STEPS];
  uint64_t seed = new_seed ("dies beside steps");
  const unsigned read = 20 + (unsigned) random_below (&seed, 80);
  const unsigned program = 100 + (unsigned) random_below (&seed, 900);
  const unsigned pause = 100 + (unsigned) random_below (&seed, 300);
  unsigned now, i, n = 0, next = 0, page = 0;
  uint64_t at;
  struct naive *d;

  (void) state;
  memset (dies, 0, sizeof dies);
  s.drive.flash = (struct flash_settings){.dies = DIES,
                                          .page = PAGE,
                                          .read = read * USEC,
                                          .program = program * USEC};
  latency_settings_complete (&s);
  for (now = 0; now < STEPS; now++) {
    if (random_below (&seed, pause) == 0 &&
        dies[next].nr_programs < STEPS / 20) {
      d = &dies[next];
      d->programs[d->nr_programs++] = (struct job){now, program, 0};
      next = (next + 1) % DIES;
      write_page (0, now * USEC);
    }
    if (random_below (&seed, pause / 2) == 0) {
      /* Never the page that is at hand. */
      page += 1 + (unsigned) random_below (&seed, 1000);
      d = &dies[page % DIES];
      if (d->nr_reads == STEPS / 20)
        continue;
      reads[n].job = &d->reads[d->nr_reads++];
      *reads[n].job = (struct job){now, read, 0};
      at = read_page (page, now * USEC);
      reads[n++].done = at / USEC;
    }
    for (i = 0; i < DIES; i++)
      step (&dies[i], now);
  }
  /* The last are not done by then. */
  for (i = 0; i < n; i++) {
    if (reads[i].job->done != 0 && reads[i].done != reads[i].job->done)
      fail_msg ("read %u, at %u: done at %" PRIu64 ", and not %u", i,
                reads[i].job->arrival, reads[i].done, reads[i].job->done);
  }
  assert_true (n > 100);
}

/* Reads that meet a program wait for what is left of it, which is any part of
 * it alike: Kolmogorov and Smirnov's distance of 2000 such waits.
 */
static int
compare (const void *a, const void *b)
{
  const uint64_t *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

static void
test_waits_are_uniform (void **state)
{
  enum { N = 2000 };
  static uint64_t waits[N];
  uint64_t seed = new_seed ("waits for programs");
  const uint64_t program = 700 * USEC;
  double most = 0, share;
  uint64_t now = 0;
  unsigned i;

  (void) state;
  s.drive.flash = (struct flash_settings){
      .dies = 1, .page = PAGE, .read = USEC, .program = program};
  latency_settings_complete (&s);
  for (i = 0; i < N; i++) {
    now += 10 * MSEC;
    ask (OP_WRITE, 8 * PAGE, 0, now);
    waits[i] = now + random_below (&seed, 4 * program);
    waits[i] = read_page (i, waits[i]) - waits[i] - USEC;
  }
  qsort (waits, N, sizeof waits[0], compare);
  for (i = 0; i < N; i++) {
    share = (double) waits[i] / (double) program;
    most = fmax (most, fabs (share - (double) i / N));
    most = fmax (most, fabs (share - (double) (i + 1) / N));
  }
  /* One of 100,000 seeds has more. */
  if (most > 2.47 / sqrt (N))
    fail_msg ("%g from a uniform distribution", most);
}

/*---------------------------------------------------------------------*/

/* Alone it makes writes longer. */
static void
test_collection (void **state)
{
  (void) state;
  set_distribution (&s.durations[OP_WRITE], "10us");
  set_distribution (&s.durations[OP_ZERO], "10us");
  set_distribution (&s.durations[OP_READ], "20us");
  set_collection ("after:0.5,factor:2.5,sequential:1.5");
  assert_true (s.remembers);
  assert_int_equal (write_page (9, 0), 10 * USEC);
  assert_int_equal (ask (OP_WRITE, SIZE / 2 - 2 * PAGE, 0, 0), 10 * USEC);
  assert_int_equal (write_page (9, 0), 10 * USEC); /* half of it now */
  assert_int_equal (write_page (9, 0), 25 * USEC);
  assert_int_equal (write_page (10, 0), 15 * USEC);
  assert_int_equal (ask (OP_ZERO, PAGE, 0, 0), 25 * USEC);
  assert_int_equal (read_page (9, 0), 20 * USEC);
  /* Two pages more are left, whatever was written since. */
  assert_int_equal (ask (OP_TRIM, 2 * PAGE, 0, 0), 0);
  assert_int_equal (write_page (9, 0), 10 * USEC);
  assert_int_equal (write_page (9, 0), 10 * USEC);
  assert_int_equal (write_page (9, 0), 25 * USEC);
  ask (OP_TRIM, SIZE, 0, 0);
  assert_int_equal (ask (OP_WRITE, SIZE / 2, 0, 0), 10 * USEC);
  assert_int_equal (write_page (9, 0), 25 * USEC);
  latency_reset (&l); /* the power does not change it */
  assert_int_equal (write_page (9, 0), 25 * USEC);
}

/* Of the first and the last page only that goes over a channel which is read.
 */
static void
test_parts_of_pages (void **state)
{
  (void) state;
  set_flash ("dies:2,page:4K,read:0,channels:1,mbps:1");
  assert_int_equal (ask (OP_READ, 1024, PAGE - 512, 0) / USEC, 976);
  set_flash ("dies:1,page:4K,read:0,channels:1,mbps:1");
  latency_reset (&l);
  assert_int_equal (ask (OP_READ, PAGE + 512, 512, 0) / USEC, 4394);
}

/* What programs in no time erases, behind a buffer as well. */
static void
test_erases_alone (void **state)
{
  struct message why;

  (void) state;
  assert_int_equal (parts_parse (&flash_parts,
                                 "dies:1,page:4K,read:50us,erase:1ms",
                                 &s.drive.flash, &why),
                    -EINVAL);
  assert_non_null (strstr (why.text, "together with block:"));
  s.drive.buffer.size = 16 * PAGE;
  set_flash ("dies:1,page:4K,read:50us,erase:1ms,block:4K");
  assert_int_equal (write_page (0, 0), 0);
  assert_int_equal (read_page (0, 100 * USEC), 1050 * USEC);
}

/* Times that are out of reach are not over all at once. */
static void
test_far_away (void **state)
{
  uint64_t done = 0, next;
  unsigned i;

  (void) state;
  set_flash ("dies:1,page:512,read:1s,program:1s");
  set_collection ("after:0,factor:1000");
  for (i = 0; i < 4; i++) {
    next = ask (OP_ZERO, UINT32_MAX, 0, 0);
    assert_true (next >= done);
    done = next;
  }
  assert_true (ask (OP_READ, UINT32_MAX, 0, 0) > NSEC_PER_SEC);
}

/* A client goes away with all that it has sent, and the next one does not wait
 * for more than what the dies have begun.
 */
static void
test_cancel (void **state)
{
  static struct latency_booking bookings[64];
  unsigned i;

  (void) state;
  set_flash ("dies:4,page:4K,read:50us,program:1ms,channels:2,mbps:1000");
  for (i = 0; i < 64; i++) {
    ask (OP_READ, 16 * PAGE, 0, 0);
    bookings[i] = booking;
    ask (OP_READ, PAGE, 8 * PAGE, 0); /* so that no page is at hand */
    latency_cancel (&l, &booking, START);
  }
  assert_in_range (read_page (9, 0), 64 * 200 * USEC, 65 * 200 * USEC);
  latency_cancel (&l, &booking, START);
  for (i = 0; i < 64; i++)
    latency_cancel (&l, &bookings[i], START + USEC);
  assert_in_range (read_page (9, USEC), 250 * USEC, 262 * USEC);

  latency_reset (&l);
  for (i = 0; i < 64; i++) {
    ask (OP_WRITE, 4 * PAGE, 0, 0);
    bookings[i] = booking;
  }
  assert_int_equal (booking.told, START + 64 * MSEC);
  for (i = 0; i < 64; i++)
    latency_cancel (&l, &bookings[i], START + USEC);
  assert_int_equal (write_page (0, USEC), 2 * MSEC);
  /* After a power cut there is nothing to give back. */
  latency_reset (&l);
  ask (OP_WRITE, 64 * PAGE, 0, 0);
  bookings[1].drive.flash.from = START + 2 * USEC;
  latency_cancel (&l, &bookings[1], START);
  assert_int_equal (write_page (0, 0), 17 * MSEC);
}

/* From 1.0 to 1.9 s and so on the dies stand still, and the buffer. */
static void
test_cancel_before_erase (void **state)
{
  (void) state;
  set_flash ("dies:1,page:4K,read:50us,program:200us,erase:1ms,block:8K");
  assert_int_equal (write_page (0, 0), 200 * USEC);
  assert_int_equal (write_page (1, 0), 1400 * USEC);
  latency_cancel (&l, &booking, START + 10 * USEC);
  assert_int_equal (read_page (5, 250 * USEC), 1250 * USEC);
}

/* A single die is idle after a power cut, too. */
static void
test_reset (void **state)
{
  (void) state;
  set_flash ("dies:1,page:4K,read:50us,program:200us");
  assert_int_equal (write_page (0, 0), 200 * USEC);
  assert_int_equal (read_page (1, 0), 50 * USEC);
  latency_reset (&l);
  assert_int_equal (write_page (0, 0), 200 * USEC);
  assert_int_equal (read_page (1, 0), 50 * USEC);
}

/* A die that is to program later reads until then, and programs later where it
 * has not come to the end of that.
 */
static void
test_program_to_come (void **state)
{
  struct flash_booking unused;
  struct flash f = {0};

  (void) state;
  set_flash ("dies:1,page:4K,read:50us,program:200us");
  flash_program (&f, &s.drive.flash, PAGE, 1000, false, 100 * USEC, &unused);
  assert_int_equal (
      flash_read (&f, &s.drive.flash, 0, PAGE, 20 * USEC, &unused), 70 * USEC);
  assert_int_equal (
      flash_program (&f, &s.drive.flash, PAGE, 1000, false, 20 * USEC, &unused),
      500 * USEC);
  assert_int_equal (
      flash_read (&f, &s.drive.flash, PAGE, PAGE, 70 * USEC, &unused),
      120 * USEC);
  assert_int_equal (
      flash_program (&f, &s.drive.flash, PAGE, 1000, false, 70 * USEC, &unused),
      720 * USEC);
  flash_destroy (&f);
}

/* A read that a die was to begin before a program gives back only that by which
 * it has made the program later.
 */
static void
test_cancel_before_program (void **state)
{
  struct flash_booking first, second, unused;
  struct flash f = {0};

  (void) state;
  set_flash ("dies:1,page:4K,read:50us,program:200us");
  flash_program (&f, &s.drive.flash, PAGE, 1000, false, 100 * USEC, &unused);
  /* One that is over when the program begins has not. */
  flash_read (&f, &s.drive.flash, 0, PAGE, 50 * USEC, &first);
  flash_cancel (&f, &first, 40 * USEC);
  assert_int_equal (f.dies[0].program_to, 300 * USEC);
  flash_read (&f, &s.drive.flash, 0, PAGE, 70 * USEC, &first);
  flash_read (&f, &s.drive.flash, PAGE, PAGE, 70 * USEC, &second);
  assert_int_equal (f.dies[0].program_to, 370 * USEC);
  flash_cancel (&f, &second, 60 * USEC);
  assert_int_equal (f.dies[0].program_to, 320 * USEC);
  flash_cancel (&f, &first, 60 * USEC);
  assert_int_equal (f.dies[0].free_at, 70 * USEC);
  assert_int_equal (f.dies[0].program_to, 300 * USEC);
  flash_destroy (&f);
}

/* A program operation that was to begin later, and is cancelled, keeps no other
 * from beginning before.
 */
static void
test_cancel_program_to_come (void **state)
{
  struct flash_booking first, unused;
  struct flash f = {0};

  (void) state;
  set_flash ("dies:1,page:4K,read:50us,program:200us");
  flash_program (&f, &s.drive.flash, PAGE, 1000, false, 100 * USEC, &first);
  flash_cancel (&f, &first, 20 * USEC);
  assert_int_equal (
      flash_program (&f, &s.drive.flash, PAGE, 1000, false, 20 * USEC, &unused),
      220 * USEC);
  flash_destroy (&f);
}

static void
test_stall (void **state)
{
  (void) state;
  s.stall = (struct stall){NSEC_PER_SEC, 900 * MSEC};
  set_flash ("dies:1,page:4K,read:20ms,program:30ms");
  assert_int_equal (read_page (0, 995 * MSEC), 1915 * MSEC);
  assert_int_equal (read_page (1, 1200 * MSEC), 1935 * MSEC);
  assert_int_equal (read_page (2, 1800 * MSEC), 1955 * MSEC);
  assert_int_equal (read_page (2, 2800 * MSEC), 2900 * MSEC); /* at hand */
  s.drive.buffer.size = 16 * PAGE;
  latency_settings_complete (&s);
  assert_int_equal (write_page (0, 2980 * MSEC), 2980 * MSEC);
  assert_int_equal (latency_dirty (&l, START + 2980 * MSEC), UINT64_MAX);
  latency_install (&l, &s);
  assert_int_equal (latency_dirty (&l, START + 3800 * MSEC), (PAGE + 2) / 3);
  assert_int_equal (ask (OP_FLUSH, 0, 0, 3500 * MSEC), 3910 * MSEC);
}

/* A MiB a second comes back. */
static void
test_recovery (void **state)
{
  unsigned i;

  (void) state;
  set_distribution (&s.durations[OP_WRITE], "10us");
  set_collection ("after:0.5,factor:2,recovery:1");
  ask (OP_WRITE, SIZE / 2, 0, 0);
  assert_int_equal (write_page (9, 0), 20 * USEC);
  /* Half of a page, and a whole one. */
  assert_int_equal (write_page (9, 1953 * USEC), 1968 * USEC);
  assert_int_equal (write_page (9, 5860 * USEC), 5870 * USEC);
  /* Requests that come often do not lose it. */
  for (i = 0; i < 8000; i++)
    read_page (0, 5860 * USEC + i * 500);
  assert_int_equal (write_page (9, 9767 * USEC), 9777 * USEC);
}

/* With a buffer the medium has more to do, and with dies these have. */
static void
test_what_costs_more (void **state)
{
  (void) state;
  s.drive.buffer.size = 2 * PAGE;
  set_distribution (&s.drive.drain, "1ms");
  set_collection ("after:0,factor:3");
  assert_int_equal (write_page (0, 0), 0);
  assert_int_equal (ask (OP_FLUSH, 0, 0, 0), 3 * MSEC);
  set_flash ("dies:2,page:4K,read:0,program:500us");
  assert_int_equal (write_page (0, NSEC_PER_SEC), NSEC_PER_SEC);
  assert_int_equal (ask (OP_FLUSH, 0, 0, NSEC_PER_SEC),
                    NSEC_PER_SEC + 3750 * USEC);
  s.drive.buffer.size = 0;
  latency_settings_complete (&s);
  latency_reset (&l);
  assert_int_equal (write_page (0, 2 * NSEC_PER_SEC),
                    2 * NSEC_PER_SEC + 1000 * USEC); /* 3 of 2 dies */
  set_collection ("after:0,factor:1.5");
  latency_reset (&l);
  /* One and a half: now and then two. */
  assert_int_equal (write_page (0, 3 * NSEC_PER_SEC),
                    3 * NSEC_PER_SEC + 500 * USEC);
  assert_int_equal (write_page (0, 4 * NSEC_PER_SEC),
                    4 * NSEC_PER_SEC + 500 * USEC);
  assert_int_equal (l.drive.flash.owed, 0);
}

/* Where dies have nothing to program, a write itself costs more. */
static void
test_dies_that_only_read (void **state)
{
  (void) state;
  set_flash ("dies:4,page:4K,read:55us");
  set_distribution (&s.durations[OP_WRITE], "60us");
  set_collection ("after:0,factor:10");
  assert_int_equal (write_page (0, 0), 600 * USEC);
}

/* A write with FUA takes a flush besides, which costs no more than
 * otherwise.
 */
static void
test_fua_costs_once (void **state)
{
  const struct latency_request r = {
      .op = OP_WRITE, .fua = true, .count = PAGE, .arrival = START};

  (void) state;
  set_distribution (&s.durations[OP_WRITE], "60us");
  set_distribution (&s.durations[OP_FLUSH], "1ms");
  set_collection ("after:0,factor:10");
  assert_int_equal (latency_completion (&l, &s, &random_numbers, &r, &booking),
                    START + 1600 * USEC);
}

/* Two dies: 100 ns a byte to program, and 10 to erase where they do. */
static void
test_cost (void **state)
{
  struct flash_settings flash = {.dies = 2,
                                 .page = PAGE,
                                 .program = 100 * PAGE,
                                 .erase = 10 << 20,
                                 .block = 1 << 20};

  (void) state;
  assert_int_equal (flash_cost (&flash, PAGE, 1000), 110 * PAGE / 2);
  assert_int_equal (flash_cost (&flash, PAGE, 3000), 3 * 110 * PAGE / 2);
  flash.block = 0;
  assert_int_equal (flash_cost (&flash, PAGE, 1000), 100 * PAGE / 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_reads),
      TEST (test_channels),
      TEST (test_programs),
      TEST (test_erases),
      TEST (test_two_erases),
      TEST (test_buffer),
      TEST (test_live),
      TEST (test_beside_steps),
      TEST (test_waits_are_uniform),
      TEST (test_collection),
      TEST (test_recovery),
      TEST (test_cancel),
      TEST (test_cancel_before_erase),
      TEST (test_cancel_before_program),
      TEST (test_cancel_program_to_come),
      TEST (test_program_to_come),
      TEST (test_reset),
      TEST (test_dies_that_only_read),
      TEST (test_erases_alone),
      TEST (test_parts_of_pages),
      TEST (test_far_away),
      TEST (test_stall),
      TEST (test_what_costs_more),
      TEST (test_fua_costs_once),
      TEST (test_cost),
  };

  return RUN_TESTS (tests);
}
