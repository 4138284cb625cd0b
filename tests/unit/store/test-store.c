/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The store against a naive model: flat bytes and a flag a page, driven by
 * long random sequences; then its limit, and the ends of its range.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "new-store.h"

#define LONGEST UINT64_C (0xfffff000) /* as long as an NBD request can be */

/*---------------------------------------------------------------------*/
/* The other side of data that is moved without a buffer in between */

struct other_side {
  struct store_mover mover;
  uint8_t *bytes;
  const uint8_t *buf; /* what may be used, of SIZE bytes */
  uint64_t size;
  unsigned moves, zeroes, of_buf; /* calls: all, without data, with buf */
  unsigned fails;                 /* the call that does so; 0: none */
};

static int
move_out (struct store_mover *m, void *data, uint64_t n, uint64_t at)
{
  struct other_side *o = (struct other_side *) m;
  const uint8_t *from = data;

  if (++o->moves == o->fails)
    return -EFAULT;
  o->zeroes += from == NULL;
  if (from == NULL) {
    memset (o->bytes + at, 0, n);
    return 0;
  }
  o->of_buf += from >= o->buf && from < o->buf + o->size;
  memcpy (o->bytes + at, from, n);
  return 0;
}

static int
move_in (struct store_mover *m, void *data, uint64_t n, uint64_t at)
{
  struct other_side *o = (struct other_side *) m;

  memcpy (data, o->bytes + at, ++o->moves == o->fails ? n / 2 : n);
  return o->moves == o->fails ? -EFAULT : 0;
}

/*---------------------------------------------------------------------*/
/* The model */

#define MODEL_PAGES                                                            \
  1800 /* a little over 7 MiB: several chunks of each kind                     \
        */
#define MODEL_SIZE (MODEL_PAGES * PAGE)
#define VOLUMES 2

struct model {
  const struct kind *kind;
  struct store *store;
  uint64_t base; /* where the model begins in the volume, by page */
  uint64_t limit, most;
  uint8_t *bytes[VOLUMES];
  bool written[VOLUMES][MODEL_PAGES];
  uint8_t *buf;
  uint64_t random;
};

static uint64_t
model_unit (const struct model *m)
{
  return arena_unit (m->kind->hugepages, m->kind->kernel_page);
}

/* Bytes held if, besides what is written, the pages FIRST up to LAST of volume
 * V were.
 */
static uint64_t
model_held (const struct model *m, unsigned v, unsigned first, unsigned last)
{
  const uint64_t unit = model_unit (m);
  uint64_t held = 0, at, previous;
  unsigned i, j;

  for (i = 0; i < VOLUMES; i++) {
    previous = UINT64_MAX;
    for (j = 0; j < MODEL_PAGES; j++) {
      at = (m->base + j * PAGE) / unit;
      if ((m->written[i][j] || (i == v && j >= first && j < last)) &&
          at != previous) {
        held += unit;
        previous = at;
      }
    }
  }
  return held;
}

static uint64_t
model_written (const struct model *m, unsigned v)
{
  uint64_t pages = 0;
  unsigned i;

  for (i = 0; i < MODEL_PAGES; i++)
    pages += m->written[v][i];
  return pages;
}

static void
model_zero (struct model *m, unsigned v, uint64_t offset, uint64_t count,
            bool keep)
{
  const uint64_t end = offset + count;
  unsigned page;

  memset (m->bytes[v] + offset, 0, count);
  for (page = offset / PAGE; page * PAGE < end; page++) {
    if (keep)
      m->written[v][page] = true;
    else if (all_bytes_are (m->bytes[v] + page * PAGE, 0, PAGE) ||
             (offset <= page * PAGE && end >= (page + 1) * PAGE))
      m->written[v][page] = false;
  }
}

/* Sizes from one byte up to several chunks, small ones most often, and often
 * at the borders of pages and chunks.
 */
static void
random_range (struct model *m, uint64_t *offset, uint64_t *count)
{
  const uint64_t sizes[] = {16, PAGE, 16 * PAGE, 128 * KIB, MIB, 5 * MIB};
  const uint64_t units[] = {1, 512, PAGE, 128 * KIB};
  const uint64_t unit = units[random_below (&m->random, 4)];

  *count = 1 + random_below (&m->random, sizes[random_below (&m->random, 6)]);
  if (random_below (&m->random, 2) == 0)
    *count = (*count + unit - 1) / unit * unit;
  *offset = random_below (&m->random, MODEL_SIZE - *count);
  if (random_below (&m->random, 2) == 0)
    *offset = *offset / unit * unit;
}

/* BUF and m->buf have room for all of the model. */
static void
check_read (struct model *m, unsigned v, uint64_t offset, uint64_t count,
            uint8_t *buf)
{
  struct other_side to = {.mover.move = move_out, .bytes = buf};

  memset (buf, 0xee, count);
  if (random_below (&m->random, 2) == 0)
    store_read (m->store, v, buf, count, m->base + offset);
  else
    assert_int_equal (
        store_read_to (m->store, v, &to.mover, m->buf, count, m->base + offset),
        0);
  assert_memory_equal (buf, m->bytes[v] + offset, count);
}

static int
write_model (struct model *m, unsigned v, uint64_t offset, uint64_t count,
             uint8_t *buf)
{
  struct other_side from = {.mover.move = move_in, .bytes = buf};

  if (count > STORE_STEP || random_below (&m->random, 2) == 0)
    return store_write (m->store, v, buf, count, m->base + offset);
  return store_write_from (m->store, v, &from.mover, count, m->base + offset);
}

static void
check_extents (struct model *m, unsigned v, uint64_t offset, uint64_t count)
{
  const uint64_t end = offset + count;
  uint64_t run_end, expected;
  bool written;

  while (offset < end) {
    run_end =
        store_extent (m->store, v, m->base + offset, m->base + end, &written) -
        m->base;
    assert_int_equal (written, m->written[v][offset / PAGE]);
    for (expected = offset / PAGE * PAGE;
         expected < end && m->written[v][expected / PAGE] == written;)
      expected += PAGE;
    assert_int_equal (run_end, expected < end ? expected : end);
    offset = run_end;
  }
}

static void
step (struct model *m, uint8_t *buf)
{
  const unsigned v = random_below (&m->random, VOLUMES);
  const unsigned action = random_below (&m->random, 100);
  uint64_t offset, count, i, held, allowed, value;
  unsigned first, last;
  int r;

  random_range (m, &offset, &count);
  first = offset / PAGE;
  last = (offset + count + PAGE - 1) / PAGE;
  held = model_held (m, v, first, last);
  /* What takes nothing is allowed even above the limit. */
  allowed = model_held (m, 0, 0, 0);
  allowed = allowed > m->limit ? allowed : m->limit;

  if (action < 35) {
    for (i = 0; i < count; i += sizeof value) {
      value = next_random (&m->random);
      memcpy (buf + i, &value, count - i < 8 ? count - i : 8);
    }
    /* Some writes of zeroes: they are data like any other. */
    if (action < 3)
      memset (buf, 0, count);
    r = write_model (m, v, offset, count, buf);
    assert_int_equal (r, held <= allowed ? 0 : -ENOSPC);
    if (r == 0) {
      memcpy (m->bytes[v] + offset, buf, count);
      for (; first < last; first++)
        m->written[v][first] = true;
    }
  }
  else if (action < 60)
    check_read (m, v, offset, count, buf);
  else if (action < 75) {
    store_trim (m->store, v, count, m->base + offset);
    model_zero (m, v, offset, count, false);
  }
  else if (action < 85) {
    r = store_zero (m->store, v, count, m->base + offset);
    assert_int_equal (r, held <= allowed ? 0 : -ENOSPC);
    if (r == 0)
      model_zero (m, v, offset, count, true);
  }
  else if (action < 99)
    check_extents (m, v, offset, count);
  else {
    /* Above or below what is held. */
    m->limit = m->most - random_below (&m->random, m->most / 4);
    assert_int_equal (store_set_limit (m->store, m->limit), 0);
  }

  assert_int_equal (store_charged (m->store), model_held (m, 0, 0, 0));
  assert_int_equal (store_written_pages (m->store, v), model_written (m, v));
}

static void
run_model (const struct kind *kind, uint64_t base, uint64_t limit,
           unsigned steps)
{
  static struct model m;
  uint8_t *buf;
  unsigned i;

  memset (&m, 0, sizeof m);
  m.kind = kind;
  m.base = base;
  m.limit = m.most = limit;
  m.random = new_seed (kind->name);
  m.store = new_store (kind, limit, VOLUMES, LAST_BYTE);
  buf = malloc (MODEL_SIZE);
  m.buf = malloc (MODEL_SIZE);
  assert_non_null (buf);
  assert_non_null (m.buf);
  for (i = 0; i < VOLUMES; i++) {
    m.bytes[i] = calloc (1, MODEL_SIZE);
    assert_non_null (m.bytes[i]);
  }

  for (i = 0; i < steps; i++)
    step (&m, buf);

  for (i = 0; i < VOLUMES; i++) {
    check_read (&m, i, 0, MODEL_SIZE, buf);
    check_extents (&m, i, 0, MODEL_SIZE);
    store_trim (m.store, i, MODEL_SIZE, m.base);
    model_zero (&m, i, 0, MODEL_SIZE, false);
    check_read (&m, i, 0, MODEL_SIZE, buf);
  }
  assert_int_equal (store_charged (m.store), 0);

  store_destroy (m.store);
  for (i = 0; i < VOLUMES; i++)
    free (m.bytes[i]);
  free (m.buf);
  free (buf);
}

#define PLENTY (64 * MIB)
#define SCARCE (8 * MIB) /* of the 14 that both volumes could hold */

static void
test_model_by_page (void **state)
{
  (void) state;
  run_model (&by_page, 0, PLENTY, 6000);
}

static void
test_model_at_limit (void **state)
{
  (void) state;
  run_model (&by_page, 3 * PAGE, SCARCE, 6000);
}

static void
test_model_at_end_of_range (void **state)
{
  (void) state;
  run_model (&by_page, (LAST_BYTE - MODEL_SIZE) / PAGE * PAGE, SCARCE, 4000);
}

static void
test_model_by_chunk (void **state)
{
  (void) state;
  run_model (&by_chunk, 0, PLENTY, 4000);
}

static void
test_model_by_chunk_at_limit (void **state)
{
  (void) state;
  run_model (&by_chunk, 5 * PAGE, SCARCE, 4000);
}

static void
test_model_hugepages (void **state)
{
  (void) state;
  run_model (&huge, 7 * PAGE, PLENTY, 2000);
}

static void
test_model_hugepages_at_limit (void **state)
{
  (void) state;
  run_model (&huge, 0, SCARCE, 2000);
}

/*---------------------------------------------------------------------*/

/* What passes the limit is refused as a whole, in whichever chunk it does; all
 * else goes on, and what is trimmed can be used again.
 */
static void
test_limit (void **state)
{
  const uint64_t limit = MIB;
  struct store *store = new_store (&by_page, limit, 3, LAST_BYTE);
  uint8_t *buf = malloc (2 * MIB), *out = malloc (2 * MIB);
  bool written;

  (void) state;
  memset (buf, 1, 2 * MIB);

  /* All but one page, from the middle of a chunk over several others. */
  assert_int_equal (store_write (store, 0, buf, limit - PAGE, 64 * KIB), 0);
  assert_int_equal (store_charged (store), limit - PAGE);

  /* Over written pages and two that are not: one too many. */
  memset (buf, 2, 2 * MIB);
  assert_int_equal (store_write (store, 0, buf, limit + PAGE, 64 * KIB),
                    -ENOSPC);
  assert_int_equal (store_write (store, 1, buf, 2 * PAGE, 128 * KIB - PAGE),
                    -ENOSPC);
  assert_int_equal (store_zero (store, 1, 2 * PAGE, 128 * KIB - PAGE), -ENOSPC);
  assert_int_equal (store_zero (store, 1, limit * 4000, 0), -ENOSPC);
  assert_int_equal (store_charged (store), limit - PAGE);
  store_read (store, 0, out, limit - PAGE, 64 * KIB);
  assert_true (all_bytes_are (out, 1, limit - PAGE));
  assert_int_equal (store_extent (store, 1, 0, LONGEST, &written), LONGEST);
  assert_false (written);

  /* Into the other volume: the last page there is, in the middle of one. */
  assert_int_equal (store_write (store, 1, buf, 100, PAGE + 7), 0);
  assert_int_equal (store_charged (store), limit);
  assert_int_equal (store_write (store, 1, buf, 1, 2 * PAGE), -ENOSPC);

  /* Full: rewrites work, large and small, and zeroes that keep memory. */
  assert_int_equal (store_write (store, 0, buf, limit - PAGE, 64 * KIB), 0);
  assert_int_equal (store_write (store, 1, buf, PAGE, PAGE), 0);
  assert_int_equal (store_zero (store, 0, limit - PAGE, 64 * KIB), 0);
  assert_int_equal (store_charged (store), limit);

  /* Room again. */
  store_trim (store, 0, 3 * PAGE, 128 * KIB);
  assert_int_equal (store_charged (store), limit - 3 * PAGE);
  assert_int_equal (store_write (store, 2, buf, 3 * PAGE, 0), 0);
  assert_int_equal (store_charged (store), limit);

  store_destroy (store);
  free (buf);
  free (out);
}

/* Data goes right from the store, but by way of a buffer where it lies in many
 * pieces; and what fails leaves no trace of what was there before.
 */
static void
test_movers (void **state)
{
  struct store *store = new_store (&by_page, MIB, 1, MIB);
  uint8_t *bytes = malloc (MIB), *buf = malloc (MIB);
  struct other_side o = {
      .mover.move = move_out, .bytes = bytes, .buf = buf, .size = MIB};
  unsigned i;

  (void) state;
  memset (bytes, 1, MIB);
  assert_int_equal (store_write (store, 0, bytes, 128 * KIB, 0), 0);
  assert_int_equal (store_read_to (store, 0, &o.mover, buf, 256 * KIB, 0), 0);
  assert_int_equal (o.moves, 2);
  assert_int_equal (o.zeroes, 1);
  assert_int_equal (o.of_buf, 0);
  assert_true (all_bytes_are (bytes, 1, 128 * KIB));
  assert_true (all_bytes_are (bytes + 128 * KIB, 0, 128 * KIB));

  for (i = 1; i < 32; i += 2)
    store_trim (store, 0, PAGE, i * PAGE);
  o.moves = o.zeroes = 0;
  assert_int_equal (store_read_to (store, 0, &o.mover, buf, 4 * PAGE, 0), 0);
  assert_int_equal (o.moves, 4);
  assert_int_equal (o.zeroes, 2);
  assert_int_equal (o.of_buf, 0);
  assert_int_equal (store_read_to (store, 0, &o.mover, buf, 5 * PAGE, 0), 0);
  assert_int_equal (o.moves, 5);
  assert_int_equal (o.of_buf, 1);
  for (i = 0; i < 5; i++)
    assert_true (all_bytes_are (bytes + i * PAGE, (i + 1) % 2, PAGE));

  o.fails = 7;
  assert_int_equal (store_read_to (store, 0, &o.mover, buf, 4 * PAGE, 0),
                    -EFAULT);
  assert_int_equal (o.moves, 7);

  store_trim (store, 0, MIB, 0);
  memset (bytes, 2, MIB);
  o = (struct other_side){.mover.move = move_in, .bytes = bytes, .fails = 2};
  assert_int_equal (store_write_from (store, 0, &o.mover, 256 * KIB, 64 * KIB),
                    -EFAULT);
  assert_int_equal (o.moves, 2);
  assert_int_equal (store_charged (store), 256 * KIB);
  store_read (store, 0, buf, 256 * KIB, 64 * KIB);
  assert_true (all_bytes_are (buf, 2, 64 * KIB));
  assert_true (all_bytes_are (buf + 64 * KIB, 0, 192 * KIB));

  o.moves = 0;
  assert_int_equal (store_set_limit (store, 256 * KIB), 0);
  assert_int_equal (store_write_from (store, 0, &o.mover, 256 * KIB, 128 * KIB),
                    -ENOSPC);
  assert_int_equal (o.moves, 0);
  store_destroy (store);
  free (bytes);
  free (buf);
}

/* What a caller holds elsewhere counts, and what it puts back is not refused.
 */
static void
test_charge_and_restore (void **state)
{
  struct store *store = new_store (&by_page, 4 * PAGE, 1, MIB);
  uint64_t charged = PAGE;
  char page[PAGE];
  bool written;

  (void) state;
  memset (page, 7, sizeof page);
  assert_int_equal (store_charge (store, 3 * PAGE + 1), 0);
  assert_int_equal (store_charged (store), 3 * PAGE + 1);
  assert_int_equal (store_charge (store, PAGE), -ENOSPC);
  assert_int_equal (store_write (store, 0, page, PAGE, 0), -ENOSPC);
  assert_int_equal (store_charged (store), 3 * PAGE + 1);

  assert_true (store_could_hold (store, 0, 4 * PAGE, 0));
  assert_false (store_could_hold (store, 0, 4 * PAGE + 1, 0));

  /* What has been charged is not charged again. */
  assert_int_equal (store_restore (store, 0, page, PAGE, PAGE, &charged), 0);
  assert_int_equal (charged, 0);
  assert_true (store_could_hold (store, 0, 4 * PAGE, 0));
  assert_true (store_could_hold (store, 0, 3 * PAGE, 2 * PAGE));
  assert_false (store_could_hold (store, 0, 3 * PAGE + 1, 2 * PAGE));
  assert_int_equal (store_restore (store, 0, page, PAGE, 0, &charged), -ENOSPC);
  assert_int_equal (charged, 0);
  assert_int_equal (store_charged (store), 3 * PAGE + 1);
  assert_int_equal (store_written_pages (store, 0), 1);
  store_read (store, 0, page, PAGE, PAGE);
  assert_true (all_bytes_are (page, 7, PAGE));
  assert_int_equal (store_extent (store, 0, 0, MIB, &written), PAGE);
  assert_false (written);

  store_uncharge (store, 2 * PAGE + 1);
  assert_int_equal (store_charged (store), PAGE);
  assert_int_equal (store_write (store, 0, page, PAGE, 0), 0);
  store_trim (store, 0, MIB, 0);
  assert_int_equal (store_charged (store), 0);
  store_destroy (store);
}

/* The last bytes that a device can have, and the first of the next volume. */
static void
test_ends_of_range (void **state)
{
  struct store *store = new_store (&by_page, MIB, MAX_VOLUMES, LAST_BYTE);
  char out[8];
  bool written;

  (void) state;
  assert_int_equal (store_write (store, 0, "last", 4, LAST_BYTE - 4), 0);
  assert_int_equal (
      store_write (store, MAX_VOLUMES - 1, "end!", 4, LAST_BYTE - 4), 0);
  assert_int_equal (store_write (store, 1, "zero", 4, 0), 0);

  store_expect (store, 0, true, LAST_BYTE - 1);
  store_expect (store, MAX_VOLUMES - 1, false, LAST_BYTE - 1);
  store_read (store, 0, out, 8, LAST_BYTE - 8);
  assert_memory_equal (out, "\0\0\0\0last", 8);
  store_read (store, MAX_VOLUMES - 1, out, 8, LAST_BYTE - 8);
  assert_memory_equal (out, "\0\0\0\0end!", 8);
  store_read (store, 1, out, 8, 0);
  assert_memory_equal (out, "zero\0\0\0\0", 8);
  store_read (store, 0, out, 8, 0);
  assert_true (all_bytes_are (out, 0, 8));

  assert_int_equal (
      store_extent (store, 0, LAST_BYTE - LONGEST, LAST_BYTE, &written),
      LAST_BYTE / PAGE * PAGE);
  assert_false (written);
  assert_int_equal (store_extent (store, 0, LAST_BYTE - 1, LAST_BYTE, &written),
                    LAST_BYTE);
  assert_true (written);

  store_trim (store, 0, LONGEST, LAST_BYTE - LONGEST);
  assert_int_equal (store_charged (store), 2 * PAGE);
  store_destroy (store);
}

/* A page of which only parts are trimmed goes once all of it is zero. */
static void
test_trim_of_sectors (void **state)
{
  struct store *store = new_store (&by_page, MIB, 3, LAST_BYTE);
  static uint8_t buf[2 * PAGE];
  unsigned i;

  (void) state;
  memset (buf, 3, sizeof buf);
  assert_int_equal (store_write (store, 0, buf, sizeof buf, 0), 0);
  for (i = 0; i < 8; i++) {
    assert_int_equal (store_charged (store), 2 * PAGE);
    store_trim (store, 0, 512, i * 512);
  }
  assert_int_equal (store_charged (store), PAGE);
  store_destroy (store);
}

/* Devices that are smaller than a chunk can all be written at once. */
static void
test_small_volumes (void **state)
{
  static const struct kind *const kinds[] = {&by_page, &by_chunk, &huge};
  const uint64_t size = 200 * KIB; /* one chunk of 128 KiB, and more */
  struct store *store;
  uint32_t volume;
  size_t i;

  (void) state;
  for (i = 0; i < 3; i++) {
    store = new_store (kinds[i], 1024 * MIB, 100, size);
    for (volume = 0; volume < 100; volume++) {
      assert_int_equal (store_write (store, volume, "a", 1, 0), 0);
      assert_int_equal (store_write (store, volume, "z", 1, size - 1), 0);
    }
    store_destroy (store);
  }
}

/* A zero that keeps memory zeroes in place, and takes none for what was not
 * written before it is used.
 */
static void
test_zero_keeps_memory (void **state)
{
  struct store *store = new_store (&by_page, 8 * MIB, 3, LAST_BYTE);
  uint8_t *buf = malloc (MIB);
  bool written;

  (void) state;
  memset (buf, 6, MIB);
  assert_int_equal (store_write (store, 0, buf, MIB, 0), 0);
  assert_int_equal (store_zero (store, 0, 2 * MIB, 100), 0);
  store_read (store, 0, buf, MIB, 0);
  assert_true (all_bytes_are (buf, 6, 100));
  assert_true (all_bytes_are (buf + 100, 0, MIB - 100));
  assert_int_equal (store_extent (store, 0, 0, 8 * MIB, &written),
                    2 * MIB + PAGE);
  assert_true (written);
  assert_int_equal (store_charged (store), 2 * MIB + PAGE);
  store_destroy (store);
  free (buf);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_model_by_page),
      cmocka_unit_test (test_model_at_limit),
      cmocka_unit_test (test_model_at_end_of_range),
      cmocka_unit_test (test_model_by_chunk),
      cmocka_unit_test (test_model_by_chunk_at_limit),
      cmocka_unit_test (test_model_hugepages),
      cmocka_unit_test (test_model_hugepages_at_limit),
      cmocka_unit_test (test_limit),
      cmocka_unit_test (test_movers),
      cmocka_unit_test (test_charge_and_restore),
      cmocka_unit_test (test_ends_of_range),
      cmocka_unit_test (test_trim_of_sectors),
      cmocka_unit_test (test_small_volumes),
      cmocka_unit_test (test_zero_keeps_memory),
  };

  return RUN_TESTS (tests);
}
