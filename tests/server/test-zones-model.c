/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A real server against the naive model of zones, by random requests to random
 * devices: every result, the zone table after every request, and all data and
 * extents must be the same.  NULLBLK_OPERATIONS in the environment is how many
 * there are.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client.h"
#include "zones/random-model.h"

#define DEFAULT_OPERATIONS 8000

static struct model m;
static struct nbd_handle *data, *zones, *config;
static unsigned char buf[MODEL_MAX_SIZE], back[MODEL_MAX_SIZE];

/* What was done last, for whoever reads a failure. */
static char last[128];

static void
serve_zones (uint64_t *random, bool limits)
{
  static const char *const past_wp[] = {"zero", "ones", "error"};
  static const char *const trim[] = {"reset", "ignore", "error"};
  char arg[11][48];
  const char *args[14] = {"zoned=true", "zone-reorder-wait=0"};
  uint64_t nr_zones, short_by = 0;
  unsigned i, n = 2;

  m.zone_size = UINT64_C (4096) << random_below (random, 3);
  nr_zones = 2 + random_below (random, 15);
  m.capacity = m.zone_size;
  if (random_below (random, 2) == 0)
    m.capacity = BLOCK * (1 + random_below (random, m.zone_size / BLOCK));
  else
    short_by = BLOCK * random_below (random, m.zone_size / BLOCK);
  m.size = nr_zones * m.zone_size - short_by;
  m.nr_conv = (int) random_below (random, nr_zones < 4 ? nr_zones : 4);
  m.max_open = limits ? (int) random_below (random, 6) : 0;
  m.max_active = limits ? (int) random_below (random, 6) : 0;
  m.full = random_below (random, 8) == 0;
  m.past_wp = (int) random_below (random, 3);
  m.trim = (int) random_below (random, 3);
  m.memory = random_below (random, 3) != 0;
  m.split = random_below (random, 4) != 0;

  snprintf (arg[0], sizeof arg[0], "size=%" PRIu64, m.size);
  snprintf (arg[1], sizeof arg[1], "zone-size=%" PRIu64 "b", m.zone_size);
  snprintf (arg[2], sizeof arg[2], "zone-capacity=%" PRIu64 "b", m.capacity);
  snprintf (arg[3], sizeof arg[3], "zone-nr-conv=%d", m.nr_conv);
  snprintf (arg[4], sizeof arg[4], "zone-full=%s", m.full ? "true" : "false");
  snprintf (arg[5], sizeof arg[5], "zone-read-past-wp=%s", past_wp[m.past_wp]);
  snprintf (arg[6], sizeof arg[6], "zone-trim=%s", trim[m.trim]);
  snprintf (arg[7], sizeof arg[7], "memory-backed=%s",
            m.memory ? "true" : "false");
  snprintf (arg[8], sizeof arg[8], "zone-cross=%s",
            m.split ? "split" : "error");
  for (i = 0; i < 9; i++)
    args[n++] = arg[i];
  snprintf (arg[9], sizeof arg[9], "zone-max-open=%d", m.max_open);
  if (m.max_open != 0)
    args[n++] = arg[9];
  snprintf (arg[10], sizeof arg[10], "zone-max-active=%d", m.max_active);
  if (m.max_active != 0)
    args[n++] = arg[10];
  serve_args (args);

  /* As zone_settings_complete has it. */
  if (m.max_active >= (int) nr_zones - m.nr_conv)
    m.max_active = 0;
  if (m.max_active != 0 && m.max_open > m.max_active)
    m.max_open = m.max_active;
  if (m.max_open >= (int) nr_zones - m.nr_conv)
    m.max_open = 0;
  model_begin (&m);
  data = connect_to ("");
  zones = connect_to ("nullb0.zones");
  config = connect_to ("nullb0.config");
}

static void
compare_table (void)
{
  struct zone_descriptor r[MODEL_MAX_ZONES];

  assert_done (nbd_pread (zones, r, m.nr_zones * sizeof r[0], 0, 0));
  compare_descriptors (&m, r, last);
}

/* R is libnbd's, MODEL_R the model's negative errno, which NBD may have to
 * express in another.
 */
static void
compare_results (int r, int model_r)
{
  const int expected = model_r == -EROFS ? EPERM : -model_r;
  const int is = r == -1 ? nbd_get_errno () : 0;

  if (is != expected)
    fail_msg ("%s: %d, not %d", last, is, expected);
}

static void
compare_read (uint64_t count, uint64_t offset)
{
  static unsigned char model_back[MODEL_MAX_SIZE];
  int r, model_r;

  snprintf (last, sizeof last, "read of %" PRIu64 " at %" PRIu64, count,
            offset);
  r = nbd_pread (data, back, count, offset, 0);
  model_r = model_read (&m, model_back, count, offset);
  compare_results (r, model_r);
  if (r == 0 && memcmp (back, model_back, count) != 0)
    fail_msg ("%s: other data", last);
}

/* The extents of one answer, a letter a block, as the model has them. */
struct letters {
  char letter[MODEL_MAX_SIZE / BLOCK];
  size_t n;
};

static int
take_extents (void *opaque, const char *context, uint64_t offset,
              uint32_t *entries, size_t nr, int *error)
{
  struct letters *is = opaque;
  uint32_t left;
  size_t i;

  (void) context;
  (void) offset;
  (void) error;
  for (i = 0; i + 1 < nr; i += 2) {
    for (left = entries[i]; left >= BLOCK && is->n < sizeof is->letter;
         left -= BLOCK)
      is->letter[is->n++] = "dhxz"[entries[i + 1] & 3];
  }
  return 0;
}

/* What is conventional the store knows; it must not call data a hole. */
static void
compare_extents (uint64_t count, uint64_t offset)
{
  static struct letters is;
  nbd_extent_callback callback = {.callback = take_extents, .user_data = &is};
  uint64_t at;
  char letter;
  size_t i;

  snprintf (last, sizeof last, "extents of %" PRIu64 " at %" PRIu64, count,
            offset);
  is.n = 0;
  assert_done (nbd_block_status (data, count, offset, callback, 0));
  assert_true (is.n > 0);
  for (i = 0; i < is.n; i++) {
    at = offset + i * BLOCK;
    letter = model_extent (&m, at);
    if (letter == 'c' && is.letter[i] == 'z')
      assert_int_equal (m.data[at], 0);
    else if (is.letter[i] != (letter == 'c' ? 'd' : letter))
      fail_msg ("%s: %c, not %c, at %" PRIu64, last, is.letter[i], letter, at);
  }
}

/* Mostly at a write pointer; sometimes zeroes. */
static void
do_write (uint64_t *random)
{
  uint64_t offset, count;
  bool zero;
  int r;

  offset = random_write (&m, random, &count);
  zero = random_below (random, 6) == 0;
  fill_random (buf, count, random);
  snprintf (last, sizeof last, "%s of %" PRIu64 " at %" PRIu64,
            zero ? "zero" : "write", count, offset);
  if (zero)
    r = nbd_zero (data, count, offset,
                  random_below (random, 2) ? LIBNBD_CMD_FLAG_NO_HOLE : 0);
  else
    r = nbd_pwrite (data, buf, count, offset, 0);
  compare_results (r,
                   model_write (&m, zero ? NULL : buf, count, offset, count));
}

static void
do_trim (uint64_t *random)
{
  uint64_t offset, count;

  offset = random_trim (&m, random, &count);
  snprintf (last, sizeof last, "trim of %" PRIu64 " at %" PRIu64, count,
            offset);
  compare_results (nbd_trim (data, count, offset, 0),
                   model_trim (&m, count, offset));
}

/* To one zone, or to up to four: the first that fails ends it. */
static void
do_commands (uint64_t *random)
{
  struct zone_descriptor d[4];
  const int first = (int) random_below (random, m.nr_zones);
  int n = 1, i, model_r = 0;

  if (random_below (random, 3) == 0)
    n += (int) random_below (random, 4);
  if (n > m.nr_zones - first)
    n = m.nr_zones - first;
  memset (d, 0, sizeof d);
  for (i = 0; i < n; i++)
    d[i].cond = random_command (&m, random, first + i);
  snprintf (last, sizeof last, "%d commands from zone %d: %d ...", n, first,
            d[0].cond);
  for (i = 0; i < n && model_r == 0; i++)
    model_r = model_command (&m, first + i, d[i].cond);
  compare_results (
      nbd_pwrite (zones, d, n * sizeof d[0], first * sizeof d[0], 0), model_r);
}

static void
do_something (uint64_t *random)
{
  uint64_t offset, count;

  offset = random_range (&m, random, m.size / BLOCK, &count);
  switch (random_below (random, 32)) {
  case 0:
    snprintf (last, sizeof last, "reset of all");
    assert_done (nbd_pwrite (config, "zones=reset\n", 12, 0, 0));
    model_reset_all (&m);
    break;
  case 1:
    do_trim (random);
    break;
  case 2:
  case 3:
    compare_extents (count, offset);
    break;
  case 4:
  case 5:
  case 6:
  case 7:
    compare_read (count, offset);
    break;
  default:
    if (random_below (random, 3) == 0)
      do_commands (random);
    else
      do_write (random);
  }
}

static void
destroy (void)
{
  assert_int_equal (stop_server (NULL), 0);
}

static const struct model_test test = {
    .create = serve_zones,
    .destroy = destroy,
    .operate = do_something,
    .compare_table = compare_table,
    .compare_read = compare_read,
    .each = 500,
    .data_every = 50,
};

static void
without_limits (void **state)
{
  (void) state;
  run_model_test (&m, &test, nr_operations (DEFAULT_OPERATIONS) / 2, false);
}

static void
with_limits (void **state)
{
  (void) state;
  run_model_test (&m, &test, nr_operations (DEFAULT_OPERATIONS) / 2, true);
}

static const struct CMUnitTest tests[] = {
    CASE (without_limits),
    CASE (with_limits),
};

MAIN (tests)
