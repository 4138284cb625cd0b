/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The write cache against a naive model: for every block, all contents that it
 * has had since it was last durable for sure.  Four clients' writes, zeroes,
 * trims, flushes and FUA in random order, then a power cut; what the store
 * holds after it must be in the model.  NULLBLK_MODEL_OPERATIONS sets how many
 * operations each case runs.
 *
 * Which old content eviction has made durable the model does not know, but it
 * knows the rule: the oldest go first, and no more than the cache holds is
 * volatile.  So when a cut loses all, there must be one moment such that every
 * block is as it was then, and since which no more has been written than fits.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "power/power.h"
#include "unit.h"

#define KIB UINT64_C (1024)
#define BLOCKS 600 /* of 512 bytes: in three regions */
#define LONGEST 100
#define CLIENTS 4
#define MAX_VERSIONS 4096

/* A content of a block: a number, many times over; 0 is zeroes. */
struct version {
  uint64_t value;
  uint64_t moment; /* when it was written */
};

struct block {
  struct version *versions; /* the durable one, then the volatile ones */
  unsigned nr;
};

struct model {
  struct store *store;
  struct durability *d;
  uint32_t block_size;
  uint64_t cache_size, limit;
  uint64_t random;

  struct block blocks[BLOCKS];
  uint64_t moment;
  uint64_t *written_at; /* bytes that moment N has made volatile at most */
  uint64_t first;       /* moment since the last cut or flush */
  bool little_memory;   /* the model does not know how much */
  uint64_t client_value[CLIENTS];

  /* What the test has seen. */
  uint64_t cuts, lost, kept, between, torn, evicted, refused;
};

static uint64_t
operations (void)
{
  const char *given = getenv ("NULLBLK_MODEL_OPERATIONS");

  return given != NULL ? strtoull (given, NULL, 0) : 40000;
}

static struct version *
newest (struct block *b)
{
  return &b->versions[b->nr - 1];
}

static void
forget_old (struct block *b)
{
  b->versions[0] = *newest (b);
  b->nr = 1;
}

/* A change that leaves a block as it was is none, unless it may be: a write of
 * the same content again may be evicted for itself.
 */
static void
add_version (struct model *m, unsigned block, uint64_t value, bool fua)
{
  struct block *b = &m->blocks[block];

  if (value == 0 && newest (b)->value == 0 && !fua)
    return;
  assert_true (b->nr < MAX_VERSIONS);
  b->versions[b->nr++] = (struct version){value, m->moment};
  if (fua)
    forget_old (b);
}

static void
all_durable (struct model *m)
{
  unsigned i;

  for (i = 0; i < BLOCKS; i++)
    forget_old (&m->blocks[i]);
  m->first = m->moment;
}

/*---------------------------------------------------------------------*/
/* Operations */

struct range {
  unsigned first, nr;
  bool fua;
};

static struct range
random_range (struct model *m)
{
  struct range r;

  r.nr = random_below (&m->random, 8) == 0
             ? 1 + random_below (&m->random, LONGEST)
             : 1 + random_below (&m->random, 12);
  r.first = random_below (&m->random, BLOCKS - r.nr + 1);
  r.fua = random_below (&m->random, 12) == 0;
  return r;
}

static void
changed (struct model *m, const struct range *r, const uint64_t *values,
         int result)
{
  const uint64_t bytes = r->nr * m->block_size;
  unsigned i;

  if (result == -ENOSPC) {
    m->refused++;
    return;
  }
  assert_int_equal (result, 0);
  m->moment++;
  for (i = 0; i < r->nr; i++)
    add_version (m, r->first + i, values[i], r->fua);
  /* UNDO_DURABLE takes a block in each of at most five regions. */
  m->written_at[m->moment] =
      r->fua && bytes <= m->cache_size ? 5 * m->block_size : bytes;
}

static void
do_write (struct model *m, unsigned client)
{
  const struct range r = random_range (m);
  const size_t words = m->block_size / sizeof (uint64_t);
  uint64_t *buf = malloc ((size_t) r.nr * m->block_size);
  uint64_t values[LONGEST];
  size_t i, j;

  for (i = 0; i < r.nr; i++) {
    values[i] = ++m->client_value[client];
    for (j = 0; j < words; j++)
      buf[i * words + j] = values[i];
  }
  changed (m, &r, values,
           durability_write (m->d, buf, r.nr * m->block_size,
                             r.first * m->block_size, r.fua));
  free (buf);
}

/* Clear: zero, or trim. */
static void
do_clear (struct model *m, bool trims)
{
  const struct range r = random_range (m);
  const uint64_t zeroes[LONGEST] = {0};
  const uint64_t offset = r.first * m->block_size, count = r.nr * m->block_size;

  changed (m, &r, zeroes,
           trims ? durability_trim (m->d, count, offset, r.fua)
                 : durability_zero (m->d, count, offset, r.fua,
                                    random_below (&m->random, 2)));
}

/*---------------------------------------------------------------------*/
/* Cuts */

static void
read_all (struct model *m, uint64_t *values)
{
  uint64_t *buf = malloc (m->block_size);
  unsigned i;

  for (i = 0; i < BLOCKS; i++) {
    store_read (m->store, 0, buf, m->block_size, (uint64_t) i * m->block_size);
    assert_memory_equal (buf, buf + 1, m->block_size - sizeof *buf);
    values[i] = buf[0];
  }
  free (buf);
}

static bool
has_version (const struct block *b, uint64_t value)
{
  unsigned i;

  for (i = 0; i < b->nr; i++) {
    if (b->versions[i].value == value)
      return true;
  }
  return false;
}

/* Was the block so at this moment?  A request may have been evicted in part, so
 * that what happened in the moment itself counts either way.
 */
static bool
was_so_at (const struct block *b, uint64_t value, uint64_t moment)
{
  unsigned i;

  for (i = 0; i < b->nr; i++) {
    if (b->versions[i].value == value &&
        (i == 0 || b->versions[i].moment <= moment) &&
        (i + 1 == b->nr || b->versions[i + 1].moment >= moment))
      return true;
  }
  return false;
}

static bool
all_were_so_at (const struct model *m, const uint64_t *values, uint64_t moment)
{
  unsigned i;

  for (i = 0; i < BLOCKS; i++) {
    if (!was_so_at (&m->blocks[i], values[i], moment))
      return false;
  }
  return true;
}

/* All was lost: there is a moment to which.  What came last and surely fits
 * into the cache was not evicted, unless memory was missing.
 */
static void
check_all_lost (struct model *m, const uint64_t *values)
{
  uint64_t moment = m->moment, fits = 0;

  while (!m->little_memory && moment > m->first &&
         fits + m->written_at[moment] <= m->cache_size)
    fits += m->written_at[moment--];
  m->evicted += moment > m->first;
  while (moment > m->first && !all_were_so_at (m, values, moment))
    moment--;
  if (!all_were_so_at (m, values, moment))
    fail_msg ("what is left is of no one moment");
}

static void
count_fates (struct model *m, const uint64_t *values)
{
  struct block *b;
  uint64_t lost = 0, kept = 0;
  unsigned i;

  for (i = 0; i < BLOCKS; i++) {
    b = &m->blocks[i];
    if (b->nr == 1)
      continue;
    if (values[i] == newest (b)->value)
      kept++;
    else {
      lost++;
      m->between += values[i] != b->versions[0].value;
    }
    /* Neighbours of one request with different fates. */
    if (i > 0 && m->blocks[i - 1].nr > 1 &&
        newest (b - 1)->moment == newest (b)->moment &&
        (values[i] == newest (b)->value) !=
            (values[i - 1] == newest (b - 1)->value))
      m->torn++;
  }
  m->lost += lost;
  m->kept += kept;
}

static void
do_cut (struct model *m)
{
  static const enum lose loses[] = {LOSE_RANDOM, LOSE_RANDOM, LOSE_ALL,
                                    LOSE_NONE};
  const struct power_cut c = {.lose = loses[random_below (&m->random, 4)],
                              .seed = next_random (&m->random)};
  static uint64_t values[BLOCKS];
  unsigned i;

  assert_int_equal (durability_begin_cut (m->d, &c), 0);
  durability_finish_cut (m->d);
  assert_true (store_charged (m->store) <= m->limit);
  assert_int_equal (durability_restore_power (m->d), 0);
  read_all (m, values);
  for (i = 0; i < BLOCKS; i++) {
    if (!has_version (&m->blocks[i], values[i]))
      fail_msg ("block %u: %#llx is none of its contents", i,
                (unsigned long long) values[i]);
    if (c.lose == LOSE_NONE)
      assert_int_equal (values[i], newest (&m->blocks[i])->value);
  }
  if (c.lose == LOSE_ALL)
    check_all_lost (m, values);
  if (c.lose == LOSE_RANDOM)
    count_fates (m, values);
  m->cuts++;

  m->moment = 0;
  for (i = 0; i < BLOCKS; i++)
    m->blocks[i].versions[m->blocks[i].nr++] = (struct version){values[i], 0};
  all_durable (m);
}

static void
check_nothing_changed (struct model *m)
{
  static uint64_t values[BLOCKS];
  unsigned i;

  read_all (m, values);
  for (i = 0; i < BLOCKS; i++)
    assert_int_equal (values[i], newest (&m->blocks[i])->value);
}

static void
do_one (struct model *m)
{
  const unsigned client = random_below (&m->random, CLIENTS);
  const unsigned what = random_below (&m->random, 100);

  if (what == 0)
    do_cut (m);
  else if (what <= 2) {
    assert_int_equal (durability_flush (m->d), 0);
    all_durable (m);
  }
  else if (what == 3)
    check_nothing_changed (m);
  else if (what <= 15)
    do_clear (m, false);
  else if (what <= 30)
    do_clear (m, true);
  else
    do_write (m, client);
}

static void
run_model (const char *name, uint32_t block_size, uint64_t cache_size,
           uint64_t limit)
{
  const struct arena_options a = {.limit = limit,
                                  .volumes = 1,
                                  .volume_size = BLOCKS * block_size,
                                  .kernel_page = 4096};
  static struct model m;
  struct durability_options o = {.block_size = block_size,
                                 .cache_size = cache_size};
  struct durability_status s;
  const uint64_t n = operations ();
  uint64_t i;

  m = (struct model){.block_size = block_size,
                     .cache_size = cache_size,
                     .limit = limit,
                     .little_memory = limit < BLOCKS * block_size,
                     .random = new_seed (name)};
  assert_int_equal (store_create (&m.store, &a), 0);
  o.store = m.store;
  assert_int_equal (durability_create (&m.d, &o), 0);
  m.written_at = calloc (n + 1, sizeof *m.written_at);
  for (i = 0; i < BLOCKS; i++) {
    m.blocks[i].versions = calloc (MAX_VERSIONS, sizeof (struct version));
    m.blocks[i].nr = 1;
  }
  for (i = 0; i < CLIENTS; i++)
    m.client_value[i] = (i + 1) << 48;

  for (i = 0; i < n; i++) {
    do_one (&m);
    durability_status (m.d, &s);
    assert_true (s.volatile_bytes <= cache_size);
    assert_true (store_charged (m.store) <= limit);
  }
  do_cut (&m);
  printf ("# %s: %llu operations, %llu cuts; of volatile blocks %llu lost, "
          "%llu kept, %llu between; %llu tears, %llu cuts after evictions, "
          "%llu refused\n",
          name, (unsigned long long) n, (unsigned long long) m.cuts,
          (unsigned long long) m.lost, (unsigned long long) m.kept,
          (unsigned long long) m.between, (unsigned long long) m.torn,
          (unsigned long long) m.evicted, (unsigned long long) m.refused);
  if (n >= 10000) {
    assert_true (m.cuts > n / 400);
    assert_true (m.kept > m.cuts);
    if (cache_size > 0) {
      assert_true (m.lost > m.cuts / 8);
      assert_true (m.torn > m.cuts / 16);
      assert_true (m.between > m.cuts / 32);
    }
    assert_int_equal (m.little_memory, m.refused > 0);
  }

  durability_destroy (m.d);
  store_destroy (m.store);
  free (m.written_at);
  for (i = 0; i < BLOCKS; i++)
    free (m.blocks[i].versions);
}

#define NO_LIMIT (UINT64_C (1) << 30)

static void
test_large_cache (void **state)
{
  (void) state;
  run_model ("large cache", 512, 1024 * 1024 * KIB, NO_LIMIT);
}

static void
test_small_cache (void **state)
{
  (void) state;
  run_model ("small cache", 512, 64 * KIB, NO_LIMIT);
}

static void
test_tiny_cache (void **state)
{
  (void) state;
  run_model ("tiny cache", 512, 4 * KIB, NO_LIMIT);
}

static void
test_pages (void **state)
{
  (void) state;
  run_model ("blocks of 4 KiB", 4096, 1024 * KIB, NO_LIMIT);
}

static void
test_no_cache (void **state)
{
  (void) state;
  run_model ("no cache", 512, 0, NO_LIMIT);
}

/* Little memory makes old changes durable, and refuses some. */
static void
test_little_memory (void **state)
{
  (void) state;
  run_model ("little memory", 4096, 1024 * KIB, 2000 * KIB);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_large_cache),
      cmocka_unit_test (test_small_cache),
      cmocka_unit_test (test_tiny_cache),
      cmocka_unit_test (test_pages),
      cmocka_unit_test (test_no_cache),
      cmocka_unit_test (test_little_memory),
  };

  return RUN_TESTS (tests);
}
