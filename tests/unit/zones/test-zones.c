/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The rules of zones, each as a case of its own: what null_blk does, and what
 * is different over NBD.
 */

#include <config.h>

#include <endian.h>
#include <string.h>
#include <errno.h>

#include "zoned.h"

#define KIB UINT64_C (1024)
#define BLOCK UINT64_C (512)

/* Eight zones, two of them conventional.  Z is where most happens. */
#define ZONE (16 * KIB)
#define CAPACITY (12 * KIB)
#define NR_CONV 2
#define NR_ZONES 8
#define SIZE (NR_ZONES * ZONE)
#define Z 4

#define EMPTY ZONE_COND_EMPTY
#define IMP_OPEN ZONE_COND_IMP_OPEN
#define EXP_OPEN ZONE_COND_EXP_OPEN
#define CLOSED ZONE_COND_CLOSED
#define FULL ZONE_COND_FULL
#define READONLY ZONE_COND_READONLY
#define OFFLINE ZONE_COND_OFFLINE

static const struct zone_settings usual = {
    .zone_size = ZONE, .capacity = CAPACITY, .nr_conv = NR_CONV};
static struct zoned d;
static char data[SIZE], back[SIZE];

/* Every test has memory but where it says so. */
static void
begin (const struct zone_settings *s)
{
  size_t i;

  for (i = 0; i < sizeof data; i++)
    data[i] = 'a' + i % 23;
  zoned_create (&d, s, SIZE, true);
}

static void
begin_with_limits (uint64_t max_open, uint64_t max_active)
{
  struct zone_settings s = usual;

  s.max_open = max_open;
  s.max_active = max_active;
  begin (&s);
}

static void
end (void)
{
  zoned_destroy (&d);
}

static struct zone_descriptor
descriptor (uint64_t zone)
{
  struct zone_descriptor r;

  assert_int_equal (zones_read_table (d.zones, zone, &r, 1), 1);
  return r;
}

/* Bytes from the zone's start. */
static uint64_t
wp_of (uint64_t zone)
{
  const struct zone_descriptor r = descriptor (zone);

  return (le64toh (r.wp) - le64toh (r.start)) * 512;
}

#define assert_zone(zone, condition, write_pointer)                            \
  do {                                                                         \
    assert_int_equal (descriptor (zone).cond, condition);                      \
    if (condition == READONLY || condition == OFFLINE)                         \
      assert_true (descriptor (zone).wp == UINT64_MAX);                        \
    else                                                                       \
      assert_int_equal (wp_of (zone), write_pointer);                          \
  } while (0)

static int
write_at (uint64_t zone, uint64_t offset, uint64_t count)
{
  return zoned_write (&d, data, count, zone * ZONE + offset);
}

static int
command (uint64_t zone, enum zone_cond cond)
{
  return zones_command (d.zones, zone, cond);
}

/* Bring an empty zone into a condition, with a block in it where it may. */
static void
put (uint64_t zone, enum zone_cond cond)
{
  if (cond == FULL)
    assert_int_equal (write_at (zone, 0, CAPACITY), 0);
  else if (cond != EMPTY)
    assert_int_equal (write_at (zone, 0, BLOCK), 0);
  if (cond != EMPTY && cond != IMP_OPEN && cond != FULL)
    assert_int_equal (command (zone, cond), 0);
  assert_int_equal (descriptor (zone).cond, cond);
}

static void
assert_bytes (uint64_t offset, uint64_t count, unsigned char byte)
{
  uint64_t i;

  memset (back, 'X', sizeof back);
  assert_int_equal (zoned_read (&d, back, count, offset), 0);
  for (i = 0; i < count; i++)
    assert_int_equal ((unsigned char) back[i], byte);
}

static void
assert_data (uint64_t zone, uint64_t offset, uint64_t count)
{
  memset (back, 'X', sizeof back);
  assert_int_equal (zoned_read (&d, back, count, zone * ZONE + offset), 0);
  assert_memory_equal (back, data, count);
}

/*---------------------------------------------------------------------*/
/* Layout */

static void
test_table_is_byte_exact (void **state)
{
  /* Conventional, open with 3 sectors written, and the last one, full. */
  static const unsigned char conventional[64] = {
      [0] = 32, [8] = 32, [16] = 64, [24] = 1, [25] = 0, [32] = 32};
  static const unsigned char open[64] = {
      [0] = 64, [8] = 32, [16] = 67, [24] = 2, [25] = 2, [32] = 24};
  static const unsigned char full[64] = {
      [0] = 224, [8] = 32, [16] = 0, [17] = 1, [24] = 2, [25] = 14, [32] = 24};
  struct zone_descriptor r[NR_ZONES + 1];

  (void) state;
  begin (&usual);
  assert_int_equal (write_at (2, 0, 3 * BLOCK), 0);
  assert_int_equal (command (7, FULL), 0);
  memset (r, 'X', sizeof r);
  assert_int_equal (zones_read_table (d.zones, 0, r, NR_ZONES + 1), NR_ZONES);
  assert_memory_equal (&r[1], conventional, 64);
  assert_memory_equal (&r[2], open, 64);
  assert_memory_equal (&r[7], full, 64);
  assert_int_equal (*(char *) &r[8], 'X');
  end ();
}

static void
test_table_from_the_middle_and_past_the_end (void **state)
{
  struct zone_descriptor r[NR_ZONES];

  (void) state;
  begin (&usual);
  assert_int_equal (zones_number (d.zones), NR_ZONES);
  assert_int_equal (zones_read_table (d.zones, 6, r, 1), 1);
  assert_int_equal (le64toh (r[0].start), 6 * ZONE / 512);
  assert_int_equal (zones_read_table (d.zones, 6, r, NR_ZONES), 2);
  assert_int_equal (zones_read_table (d.zones, 8, r, NR_ZONES), 0);
  assert_int_equal (zones_read_table (d.zones, UINT64_MAX, r, NR_ZONES), 0);
  end ();
}

/* null_blk's zone_full: the write pointer is at the capacity. */
static void
test_zone_full (void **state)
{
  struct zone_settings s = usual;
  uint64_t zone;

  (void) state;
  s.full = true;
  begin (&s);
  for (zone = NR_CONV; zone < NR_ZONES; zone++)
    assert_zone (zone, FULL, CAPACITY);
  assert_int_equal (descriptor (1).cond, ZONE_COND_NOT_WP);
  assert_bytes (Z * ZONE, CAPACITY, 0);
  assert_int_equal (command (Z, EMPTY), 0);
  assert_zone (Z, EMPTY, 0);
  end ();
}

static void
test_lists_of_readonly_and_offline_zones (void **state)
{
  struct zone_settings s = usual;
  struct message why;

  (void) state;
  s.full = true;
  assert_int_equal (zone_list_parse ("3,6-7", &s.readonly, &why), 0);
  assert_int_equal (zone_list_parse ("2", &s.offline, &why), 0);
  begin (&s);
  assert_zone (2, OFFLINE, 0);
  assert_zone (3, READONLY, 0);
  assert_zone (4, FULL, CAPACITY);
  assert_zone (5, FULL, CAPACITY);
  assert_zone (6, READONLY, 0);
  assert_zone (7, READONLY, 0);
  assert_bytes (6 * ZONE, 2 * ZONE, 0);
  assert_int_equal (command (2, OFFLINE), 0);
  assert_zone (2, EMPTY, 0);
  end ();
}

static void
test_shorter_last_zone (void **state)
{
  struct zone_settings s = usual;
  const uint64_t len = 5 * BLOCK;

  (void) state;
  s.capacity = 0;
  memset (data, 'd', sizeof data);
  zoned_create (&d, &s, SIZE + len, true);
  assert_int_equal (zones_number (d.zones), NR_ZONES + 1);
  assert_int_equal (le64toh (descriptor (8).len), 5);
  assert_int_equal (le64toh (descriptor (8).capacity), 5);
  assert_int_equal (write_at (8, 0, len + BLOCK), -EIO);
  assert_int_equal (write_at (8, 0, len), 0);
  assert_zone (8, FULL, len);
  assert_bytes (8 * ZONE, len, 'd');
  assert_int_equal (zones_trim (d.zones, len - BLOCK, 8 * ZONE), 0);
  assert_zone (8, FULL, len);
  assert_int_equal (zones_trim (d.zones, len, 8 * ZONE), 0);
  assert_zone (8, EMPTY, 0);
  assert_int_equal (command (8, FULL), 0);
  assert_zone (8, FULL, len);
  end ();
}

/* As large as a device can be, and as many zones as there may be. */
static void
test_largest (void **state)
{
  struct zone_settings s = {.zone_size = UINT64_C (1) << 62};
  uint64_t counts[NR_ZONE_CONDS];

  (void) state;
  zoned_create (&d, &s, (UINT64_C (1) << 63) - 512, true);
  assert_int_equal (zones_number (d.zones), 2);
  assert_int_equal (command (1, FULL), 0);
  assert_int_equal (le64toh (descriptor (1).wp), (UINT64_C (1) << 54) - 1);
  assert_bytes ((UINT64_C (1) << 63) - 1024, 512, 0);
  zoned_destroy (&d);

  s.zone_size = 4096;
  s.max_open = 1;
  zoned_create (&d, &s, MAX_ZONES * 4096, false);
  assert_int_equal (zones_number (d.zones), MAX_ZONES);
  assert_int_equal (zoned_write (&d, data, 512, (MAX_ZONES - 1) * 4096), 0);
  assert_int_equal (zoned_write (&d, data, 512, 0), 0);
  assert_int_equal (descriptor (MAX_ZONES - 1).cond, CLOSED);
  zones_count (d.zones, counts);
  assert_int_equal (counts[EMPTY], MAX_ZONES - 2);
  assert_int_equal (counts[IMP_OPEN], 1);
  assert_int_equal (counts[CLOSED], 1);
  zoned_destroy (&d);
}

static void
test_counts (void **state)
{
  uint64_t counts[NR_ZONE_CONDS], i, sum = 0;

  (void) state;
  begin (&usual);
  put (2, IMP_OPEN);
  put (3, EXP_OPEN);
  put (4, CLOSED);
  put (5, FULL);
  put (6, READONLY);
  put (7, OFFLINE);
  zones_count (d.zones, counts);
  for (i = 0; i < NR_ZONE_CONDS; i++)
    sum += counts[i];
  assert_int_equal (sum, NR_ZONES);
  assert_int_equal (counts[ZONE_COND_NOT_WP], 2);
  assert_int_equal (counts[IMP_OPEN], 1);
  assert_int_equal (counts[EXP_OPEN], 1);
  assert_int_equal (counts[CLOSED], 1);
  assert_int_equal (counts[FULL], 1);
  assert_int_equal (counts[READONLY], 1);
  assert_int_equal (counts[OFFLINE], 1);
  end ();
}

/*---------------------------------------------------------------------*/
/* Writes: the list of decisions */

static void
test_write_conventional_anywhere (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (1, 5 * BLOCK, BLOCK), 0);
  assert_int_equal (write_at (1, 2 * BLOCK, 4 * BLOCK), 0);
  assert_int_equal (write_at (1, ZONE - BLOCK, BLOCK), 0);
  assert_data (1, 2 * BLOCK, 4 * BLOCK);
  assert_int_equal (descriptor (1).cond, ZONE_COND_NOT_WP);
  assert_int_equal (wp_of (1), ZONE);
  end ();
}

static void
test_write_not_at_write_pointer (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, BLOCK, BLOCK), -EIO);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (write_at (Z, 0, 2 * BLOCK), 0);
  assert_int_equal (write_at (Z, 0, BLOCK), -EIO);
  assert_int_equal (write_at (Z, BLOCK, BLOCK), -EIO);
  assert_int_equal (write_at (Z, 3 * BLOCK, BLOCK), -EIO);
  assert_zone (Z, IMP_OPEN, 2 * BLOCK);
  end ();
}

static void
test_write_full_zone (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, FULL);
  assert_int_equal (write_at (Z, 0, BLOCK), -EIO);
  assert_int_equal (write_at (Z, CAPACITY, BLOCK), -EIO);
  assert_int_equal (command (Z + 1, FULL), 0);
  assert_int_equal (write_at (Z + 1, 0, BLOCK), -EIO);
  assert_int_equal (write_at (Z + 1, ZONE - BLOCK, BLOCK), -EIO);
  end ();
}

static void
test_write_readonly_zone (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, READONLY);
  assert_int_equal (write_at (Z, BLOCK, BLOCK), -EROFS);
  assert_int_equal (write_at (Z, 0, ZONE), -EROFS);
  assert_zone (Z, READONLY, 0);
  end ();
}

static void
test_write_offline_zone (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, OFFLINE);
  assert_int_equal (write_at (Z, BLOCK, BLOCK), -EIO);
  assert_zone (Z, OFFLINE, 0);
  end ();
}

static void
test_write_beyond_capacity_writes_nothing (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, 0, CAPACITY + BLOCK), -EIO);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (write_at (Z, 0, CAPACITY - BLOCK), 0);
  assert_int_equal (write_at (Z, CAPACITY - BLOCK, 2 * BLOCK), -EIO);
  assert_zone (Z, IMP_OPEN, CAPACITY - BLOCK);
  assert_bytes (Z * ZONE + CAPACITY - BLOCK, BLOCK, 0);
  end ();
}

/* Nothing splits requests for us. */
static void
test_write_across_a_border (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.capacity = ZONE;
  begin (&s);
  assert_int_equal (write_at (Z, 0, ZONE + BLOCK), -EIO);
  assert_int_equal (write_at (Z, 0, 2 * ZONE), -EIO);
  assert_int_equal (write_at (0, ZONE - BLOCK, 2 * BLOCK), -EIO);
  assert_int_equal (write_at (1, ZONE - BLOCK, 2 * BLOCK), -EIO);
  assert_int_equal (write_at (7, 0, ZONE + BLOCK), -EIO);
  assert_int_equal (write_at (8, 0, BLOCK), -EIO);
  assert_zone (2, EMPTY, 0);
  assert_zone (Z, EMPTY, 0);
  assert_bytes (0, SIZE, 0);
  end ();
}

static void
test_write_opens_empty_and_closed (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_zone (Z, IMP_OPEN, BLOCK);
  assert_int_equal (command (Z, CLOSED), 0);
  assert_int_equal (write_at (Z, BLOCK, BLOCK), 0);
  assert_zone (Z, IMP_OPEN, 2 * BLOCK);
  end ();
}

static void
test_write_keeps_explicitly_open (void **state)
{
  (void) state;
  begin_with_limits (2, 3);
  assert_int_equal (command (Z, EXP_OPEN), 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_zone (Z, EXP_OPEN, BLOCK);
  end ();
}

static void
test_write_that_fails_leaves_zone_open (void **state)
{
  (void) state;
  begin_with_limits (1, 1);
  assert_int_equal (zoned_write_cut (&d, data, 4 * BLOCK, Z * ZONE, 0), -EIO);
  assert_zone (Z, IMP_OPEN, 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_zone (Z, IMP_OPEN, BLOCK);
  end ();
}

static void
test_write_without_memory_leaves_zone_open (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (store_set_limit (d.store, 4096), 0);
  assert_int_equal (write_at (Z, 0, 16 * BLOCK), -ENOSPC);
  assert_zone (Z, IMP_OPEN, 0);
  assert_int_equal (write_at (Z, 0, 8 * BLOCK), 0);
  assert_int_equal (write_at (Z, 8 * BLOCK, BLOCK), -ENOSPC);
  assert_zone (Z, IMP_OPEN, 8 * BLOCK);
  end ();
}

static void
test_write_in_part_advances_by_the_part (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (zoned_write_cut (&d, data, 4 * BLOCK, Z * ZONE, 3 * BLOCK),
                    -EIO);
  assert_zone (Z, IMP_OPEN, 3 * BLOCK);
  assert_data (Z, 0, 3 * BLOCK);
  end ();
}

/* ... and gives its place to another zone. */
static void
test_write_up_to_capacity_fills (void **state)
{
  (void) state;
  begin_with_limits (1, 1);
  assert_int_equal (write_at (Z, 0, CAPACITY - BLOCK), 0);
  assert_zone (Z, IMP_OPEN, CAPACITY - BLOCK);
  assert_int_equal (write_at (Z, CAPACITY - BLOCK, BLOCK), 0);
  assert_zone (Z, FULL, CAPACITY);
  assert_int_equal (command (3, EXP_OPEN), 0);
  assert_int_equal (write_at (3, 0, CAPACITY), 0);
  assert_zone (3, FULL, CAPACITY);
  assert_int_equal (command (2, EXP_OPEN), 0);
  assert_data (Z, 0, CAPACITY);
  end ();
}

static void
test_zeroes_obey_the_write_pointer (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (zoned_write (&d, NULL, BLOCK, Z * ZONE + BLOCK), -EIO);
  assert_int_equal (zoned_write (&d, NULL, BLOCK, Z * ZONE), 0);
  assert_zone (Z, IMP_OPEN, BLOCK);
  end ();
}

/*---------------------------------------------------------------------*/
/* Limits */

static void
test_limit_active_from_empty (void **state)
{
  (void) state;
  begin_with_limits (0, 2);
  put (2, IMP_OPEN);
  put (3, CLOSED);
  assert_int_equal (write_at (4, 0, BLOCK), -ENOSPC);
  assert_int_equal (command (4, EXP_OPEN), -ENOSPC);
  assert_int_equal (command (4, FULL), -ENOSPC);
  assert_zone (4, EMPTY, 0);
  /* Those that are active already may go on. */
  assert_int_equal (write_at (2, BLOCK, BLOCK), 0);
  assert_int_equal (write_at (3, BLOCK, BLOCK), 0);
  end ();
}

static void
test_limit_active_counts_all_kinds (void **state)
{
  (void) state;
  begin_with_limits (0, 3);
  put (2, IMP_OPEN);
  put (3, EXP_OPEN);
  put (4, CLOSED);
  assert_int_equal (write_at (5, 0, BLOCK), -ENOSPC);
  assert_int_equal (command (4, EMPTY), 0);
  assert_int_equal (write_at (5, 0, BLOCK), 0);
  assert_int_equal (write_at (6, 0, BLOCK), -ENOSPC);
  assert_int_equal (command (3, FULL), 0);
  assert_int_equal (write_at (6, 0, BLOCK), 0);
  end ();
}

static void
test_limit_open_closes_an_implicitly_open_zone (void **state)
{
  (void) state;
  begin_with_limits (2, 0);
  put (2, IMP_OPEN);
  put (3, IMP_OPEN);
  assert_int_equal (write_at (4, 0, BLOCK), 0);
  assert_zone (2, CLOSED, BLOCK);
  assert_zone (3, IMP_OPEN, BLOCK);
  assert_zone (4, IMP_OPEN, BLOCK);
  end ();
}

static void
test_limit_open_explicit_zones_stay (void **state)
{
  (void) state;
  begin_with_limits (2, 0);
  put (2, EXP_OPEN);
  put (3, EXP_OPEN);
  assert_int_equal (write_at (4, 0, BLOCK), -ENOSPC);
  assert_int_equal (command (4, EXP_OPEN), -ENOSPC);
  assert_int_equal (command (4, FULL), -ENOSPC);
  assert_zone (4, EMPTY, 0);
  assert_zone (2, EXP_OPEN, BLOCK);
  assert_zone (3, EXP_OPEN, BLOCK);
  end ();
}

/* Nobody's place is taken where no more may be active, even for a zone that is
 * active already.
 */
static void
test_limit_open_no_victim_while_active_is_full (void **state)
{
  (void) state;
  begin_with_limits (1, 2);
  put (2, CLOSED);
  put (3, IMP_OPEN);
  assert_int_equal (write_at (2, BLOCK, BLOCK), -ENOSPC);
  assert_int_equal (command (2, EXP_OPEN), -ENOSPC);
  assert_int_equal (command (2, FULL), -ENOSPC);
  assert_zone (2, CLOSED, BLOCK);
  assert_zone (3, IMP_OPEN, BLOCK);
  end ();
}

static void
test_limit_open_from_closed_looks_at_open_only (void **state)
{
  (void) state;
  begin_with_limits (2, 2);
  put (2, CLOSED);
  put (3, IMP_OPEN);
  assert_int_equal (write_at (2, BLOCK, BLOCK), 0);
  assert_zone (2, IMP_OPEN, 2 * BLOCK);
  end ();
}

static void
test_victim_without_data_is_empty (void **state)
{
  (void) state;
  begin_with_limits (1, 0);
  assert_int_equal (zoned_write_cut (&d, data, BLOCK, Z * ZONE, 0), -EIO);
  assert_zone (Z, IMP_OPEN, 0);
  assert_int_equal (write_at (3, 0, BLOCK), 0);
  assert_zone (Z, EMPTY, 0);
  end ();
}

static void
test_victims_go_round (void **state)
{
  (void) state;
  begin_with_limits (3, 0);
  put (2, IMP_OPEN);
  put (4, IMP_OPEN);
  put (7, IMP_OPEN);
  put (3, IMP_OPEN); /* closes 2; the next is looked for from 3 on */
  assert_zone (2, CLOSED, BLOCK);
  put (5, IMP_OPEN); /* closes 3 */
  assert_zone (3, CLOSED, BLOCK);
  assert_int_equal (write_at (2, BLOCK, BLOCK), 0); /* closes 4 */
  assert_zone (4, CLOSED, BLOCK);
  assert_int_equal (write_at (3, BLOCK, BLOCK), 0); /* closes 5 */
  assert_zone (5, CLOSED, BLOCK);
  assert_int_equal (write_at (4, BLOCK, BLOCK), 0); /* closes 7, then round */
  assert_zone (7, CLOSED, BLOCK);
  assert_int_equal (write_at (5, BLOCK, BLOCK), 0); /* closes 2 */
  assert_zone (2, CLOSED, 2 * BLOCK);
  assert_zone (3, IMP_OPEN, 2 * BLOCK);
  assert_zone (4, IMP_OPEN, 2 * BLOCK);
  assert_zone (5, IMP_OPEN, 2 * BLOCK);
  end ();
}

/* A zone is not closed while it is being written. */
static void
test_victim_is_not_being_written (void **state)
{
  struct zone_write w;

  (void) state;
  begin_with_limits (2, 0);
  put (3, IMP_OPEN);
  assert_int_equal (zones_begin_write (d.zones, &w, BLOCK, 2 * ZONE, NULL), 0);
  assert_int_equal (write_at (5, 0, BLOCK), 0);
  assert_zone (2, IMP_OPEN, 0);
  assert_zone (3, CLOSED, BLOCK);
  zones_end_write (&w, BLOCK);
  assert_zone (2, IMP_OPEN, BLOCK);
  end ();
}

/*---------------------------------------------------------------------*/
/* Commands: one to a zone in each condition */

struct row {
  enum zone_cond before;
  int r;
  enum zone_cond after;
  uint64_t wp;
};

/* With and without limits that are not in the way. */
static void
check_command (enum zone_cond asked, const struct row *rows, size_t n)
{
  int with_limits;
  size_t i;

  for (with_limits = 0; with_limits < 2; with_limits++) {
    for (i = 0; i < n; i++) {
      begin_with_limits (with_limits * 3, with_limits * 4);
      put (Z, rows[i].before);
      assert_int_equal (command (Z, asked), rows[i].r);
      assert_zone (Z, rows[i].after, rows[i].wp);
      end ();
    }
  }
}

#define CHECK_COMMAND(asked, rows)                                             \
  check_command (asked, rows, sizeof (rows) / sizeof (rows)[0])

static void
test_open_of_each_condition (void **state)
{
  static const struct row rows[] = {
      {EMPTY, 0, EXP_OPEN, 0},        {IMP_OPEN, 0, EXP_OPEN, BLOCK},
      {EXP_OPEN, 0, EXP_OPEN, BLOCK}, {CLOSED, 0, EXP_OPEN, BLOCK},
      {FULL, -EIO, FULL, CAPACITY},   {READONLY, -EIO, READONLY, 0},
      {OFFLINE, -EIO, OFFLINE, 0},
  };

  (void) state;
  CHECK_COMMAND (EXP_OPEN, rows);
}

static void
test_close_of_each_condition (void **state)
{
  static const struct row rows[] = {
      {EMPTY, -EIO, EMPTY, 0},      {IMP_OPEN, 0, CLOSED, BLOCK},
      {EXP_OPEN, 0, CLOSED, BLOCK}, {CLOSED, 0, CLOSED, BLOCK},
      {FULL, -EIO, FULL, CAPACITY}, {READONLY, -EIO, READONLY, 0},
      {OFFLINE, -EIO, OFFLINE, 0},
  };

  (void) state;
  CHECK_COMMAND (CLOSED, rows);
}

static void
test_close_without_data_is_empty (void **state)
{
  (void) state;
  begin_with_limits (1, 1);
  assert_int_equal (command (Z, EXP_OPEN), 0);
  assert_int_equal (command (Z, CLOSED), 0);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (zoned_write_cut (&d, data, BLOCK, Z * ZONE, 0), -EIO);
  assert_int_equal (command (Z, CLOSED), 0);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (command (3, EXP_OPEN), 0);
  end ();
}

static void
test_finish_of_each_condition (void **state)
{
  static const struct row rows[] = {
      {EMPTY, 0, FULL, ZONE},        {IMP_OPEN, 0, FULL, ZONE},
      {EXP_OPEN, 0, FULL, ZONE},     {CLOSED, 0, FULL, ZONE},
      {READONLY, -EIO, READONLY, 0}, {OFFLINE, -EIO, OFFLINE, 0},
  };

  (void) state;
  CHECK_COMMAND (FULL, rows);
}

/* Nothing happens with limits; without, null_blk does not even look. */
static void
test_finish_of_a_full_zone (void **state)
{
  (void) state;
  begin_with_limits (1, 1);
  put (Z, FULL);
  assert_int_equal (command (Z, FULL), 0);
  assert_zone (Z, FULL, CAPACITY);
  end ();
  begin (&usual);
  put (Z, FULL);
  assert_int_equal (command (Z, FULL), 0);
  assert_zone (Z, FULL, ZONE);
  end ();
}

static void
test_finish_may_take_a_place (void **state)
{
  (void) state;
  begin_with_limits (1, 0);
  put (3, IMP_OPEN);
  assert_int_equal (command (Z, FULL), 0);
  assert_zone (3, CLOSED, BLOCK);
  assert_zone (Z, FULL, ZONE);
  end ();
}

static void
test_finish_gives_its_place (void **state)
{
  static const enum zone_cond conds[] = {IMP_OPEN, EXP_OPEN, CLOSED};
  size_t i;

  (void) state;
  for (i = 0; i < 3; i++) {
    begin_with_limits (1, 1);
    put (Z, conds[i]);
    assert_int_equal (command (3, EXP_OPEN), -ENOSPC);
    assert_int_equal (command (Z, FULL), 0);
    assert_int_equal (command (3, EXP_OPEN), 0);
    end ();
  }
}

static void
test_finish_tail_reads_as_zeroes (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.past_wp = PAST_WP_ONES;
  begin (&s);
  put (Z, IMP_OPEN);
  assert_bytes (Z * ZONE + BLOCK, ZONE - BLOCK, 0xff);
  assert_int_equal (command (Z, FULL), 0);
  assert_data (Z, 0, BLOCK);
  assert_bytes (Z * ZONE + BLOCK, ZONE - BLOCK, 0);
  end ();
}

static void
test_reset_of_each_condition (void **state)
{
  static const struct row rows[] = {
      {EMPTY, 0, EMPTY, 0},        {IMP_OPEN, 0, EMPTY, 0},
      {EXP_OPEN, 0, EMPTY, 0},     {CLOSED, 0, EMPTY, 0},
      {FULL, 0, EMPTY, 0},         {READONLY, -EIO, READONLY, 0},
      {OFFLINE, -EIO, OFFLINE, 0},
  };

  (void) state;
  CHECK_COMMAND (EMPTY, rows);
}

static void
test_reset_gives_its_place (void **state)
{
  static const enum zone_cond conds[] = {IMP_OPEN, EXP_OPEN, CLOSED};
  size_t i;

  (void) state;
  for (i = 0; i < 3; i++) {
    begin_with_limits (1, 1);
    put (Z, conds[i]);
    assert_int_equal (command (Z, EMPTY), 0);
    assert_int_equal (command (3, EXP_OPEN), 0);
    end ();
  }
}

static void
test_reset_frees_memory (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, FULL);
  put (Z + 1, FULL);
  assert_int_equal (store_held (d.store), 2 * CAPACITY);
  assert_int_equal (command (Z, EMPTY), 0);
  assert_int_equal (store_held (d.store), CAPACITY);
  assert_int_equal (command (Z, FULL), 0);
  assert_bytes (Z * ZONE, ZONE, 0);
  assert_data (Z + 1, 0, CAPACITY);
  end ();
}

static void
test_reset_all (void **state)
{
  (void) state;
  begin_with_limits (3, 4);
  assert_int_equal (write_at (1, 0, BLOCK), 0);
  put (2, READONLY);
  put (3, OFFLINE);
  put (4, FULL);
  put (5, EXP_OPEN);
  put (6, CLOSED);
  put (7, IMP_OPEN);
  zones_reset_all (d.zones);
  assert_data (1, 0, BLOCK);
  assert_data (2, 0, BLOCK);
  assert_zone (2, READONLY, 0);
  assert_zone (3, OFFLINE, 0);
  assert_zone (4, EMPTY, 0);
  assert_zone (5, EMPTY, 0);
  assert_zone (6, EMPTY, 0);
  assert_zone (7, EMPTY, 0);
  /* One, that of the read-only and of the offline zone are left. */
  assert_int_equal (store_held (d.store), 3 * 4096);
  end ();
}

/* It is told, and what was to be reset is. */
static void
test_failed_reset (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_int_equal (write_at (Z + 1, 0, BLOCK), 0);
  d.reset_error = -EDOM;
  assert_int_equal (command (Z, EMPTY), -EDOM);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (command (Z, EMPTY), 0);
  assert_int_equal (zones_reset_all (d.zones), -EDOM);
  assert_zone (Z + 1, EMPTY, 0);
  assert_int_equal (zones_reset_all (d.zones), 0);
  assert_int_equal (write_at (0, 0, BLOCK), 0);
  assert_int_equal (zones_trim (d.zones, BLOCK, 0), -EDOM);
  end ();
}

static void
test_commands_to_conventional_zones (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (command (1, EMPTY), -EIO);
  assert_int_equal (command (1, EXP_OPEN), -EIO);
  assert_int_equal (command (1, CLOSED), -EIO);
  assert_int_equal (command (1, FULL), -EIO);
  assert_int_equal (command (1, READONLY), -EINVAL);
  assert_int_equal (command (1, OFFLINE), -EINVAL);
  end ();
}

static void
test_commands_that_there_are_not (void **state)
{
  static const enum zone_cond unknown[] = {ZONE_COND_NOT_WP, IMP_OPEN, 5, 12};
  size_t i;

  (void) state;
  begin (&usual);
  for (i = 0; i < 4; i++) {
    assert_int_equal (command (Z, unknown[i]), -EINVAL);
    assert_int_equal (command (1, unknown[i]), -EINVAL);
  }
  assert_int_equal (command (Z, (enum zone_cond) 255), -EINVAL);
  assert_int_equal (command (NR_ZONES, EMPTY), -EINVAL);
  assert_int_equal (command (UINT64_MAX, EMPTY), -EINVAL);
  end ();
}

/* Neither commands nor trims of many zones go on without power, nor does
 * anything else begin.
 */
static void
test_power_goes (void **state)
{
  struct zone_write w;
  uint64_t zone;

  (void) state;
  begin (&usual);
  for (zone = Z; zone < Z + 4; zone++)
    put (zone, FULL);
  d.cut_after = 2;
  assert_int_equal (zones_reset_all (d.zones), -ESHUTDOWN);
  assert_zone (Z, EMPTY, 0);
  assert_zone (Z + 1, EMPTY, 0);
  assert_zone (Z + 2, FULL, CAPACITY);
  assert_int_equal (zones_trim (d.zones, 2 * ZONE, (Z + 2) * ZONE), -ESHUTDOWN);
  assert_int_equal (command (Z, EXP_OPEN), -ESHUTDOWN);
  assert_int_equal (command (Z, FULL), -ESHUTDOWN);
  assert_int_equal (command (Z + 2, EMPTY), -ESHUTDOWN);
  assert_int_equal (command (Z, READONLY), -ESHUTDOWN);
  assert_int_equal (zones_begin_write (d.zones, &w, BLOCK, Z * ZONE, NULL),
                    -ESHUTDOWN);
  assert_zone (Z, EMPTY, 0);
  assert_zone (Z + 2, FULL, CAPACITY);

  atomic_fetch_add (&d.epoch, 1);
  d.cut_after = 1;
  assert_int_equal (zones_trim (d.zones, 2 * ZONE, (Z + 2) * ZONE), -ESHUTDOWN);
  assert_zone (Z + 2, EMPTY, 0);
  assert_zone (Z + 3, FULL, CAPACITY);
  end ();
}

/* A reset that learns that power has gone is none. */
static void
test_reset_without_power (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  d.reset_error = -ESHUTDOWN;
  assert_int_equal (command (Z, EMPTY), -ESHUTDOWN);
  assert_zone (Z, IMP_OPEN, BLOCK);
  assert_data (Z, 0, BLOCK);
  end ();
}

static void
restart (uint64_t zone, uint64_t lost)
{
  zones_restart (d.zones, zone, lost, false);
  zones_restart (d.zones, zone, lost, true);
}

/* After a power cut no zone is open. */
static void
test_restart (void **state)
{
  static const enum zone_cond before[] = {FULL, CLOSED, IMP_OPEN, EXP_OPEN};
  size_t i;

  (void) state;
  begin (&usual);
  for (i = 0; i < 4; i++) {
    assert_int_equal (write_at (Z, 0, 2 * BLOCK), 0);
    if (before[i] == FULL)
      assert_int_equal (write_at (Z, 2 * BLOCK, CAPACITY - 2 * BLOCK), 0);
    else if (before[i] != IMP_OPEN)
      assert_int_equal (command (Z, before[i]), 0);
    restart (Z, Z * ZONE + BLOCK);
    assert_zone (Z, CLOSED, BLOCK);
    restart (Z, Z * ZONE);
    assert_zone (Z, EMPTY, 0);
  }
  end ();
}

static void
test_restart_of_what_lost_nothing (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (Z, 0, 2 * BLOCK), 0);
  restart (Z, Z * ZONE + 2 * BLOCK);
  assert_zone (Z, CLOSED, 2 * BLOCK);
  assert_int_equal (command (Z, EXP_OPEN), 0);
  restart (Z, UINT64_MAX);
  assert_zone (Z, CLOSED, 2 * BLOCK);
  assert_int_equal (command (Z, FULL), 0);
  restart (Z, UINT64_MAX);
  assert_zone (Z, FULL, ZONE);
  put (Z + 1, READONLY);
  restart (Z + 1, (Z + 1) * ZONE);
  assert_zone (Z + 1, READONLY, 0);
  put (Z + 2, OFFLINE);
  restart (Z + 2, (Z + 2) * ZONE);
  assert_zone (Z + 2, OFFLINE, 0);
  assert_int_equal (command (Z + 3, EXP_OPEN), 0);
  restart (Z + 3, UINT64_MAX);
  assert_zone (Z + 3, EMPTY, 0);
  end ();
}

/* What was full stays so where no more may be active. */
static void
test_restart_within_limits (void **state)
{
  uint64_t zone;

  (void) state;
  begin_with_limits (2, 2);
  for (zone = Z; zone < Z + 4; zone++) {
    assert_int_equal (write_at (zone, 0, 2 * BLOCK), 0);
    assert_int_equal (command (zone, FULL), 0);
  }
  restart (Z, Z * ZONE);
  assert_zone (Z, EMPTY, 0);
  for (zone = Z + 1; zone < Z + 4; zone++)
    restart (zone, zone * ZONE + BLOCK);
  assert_zone (Z + 1, CLOSED, BLOCK);
  assert_zone (Z + 2, CLOSED, BLOCK);
  assert_zone (Z + 3, FULL, ZONE);
  assert_int_equal (write_at (Z, 0, BLOCK), -ENOSPC);
  assert_int_equal (command (Z + 1, EMPTY), 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  end ();
}

/*---------------------------------------------------------------------*/
/* Read-only and offline */

static void
test_readonly_keeps_data (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.past_wp = PAST_WP_ONES;
  begin (&s);
  put (Z, READONLY);
  assert_data (Z, 0, BLOCK);
  assert_bytes (Z * ZONE + BLOCK, ZONE - BLOCK, 0);
  end ();
}

static void
test_readonly_twice_is_empty_without_data (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, READONLY);
  assert_int_equal (command (Z, READONLY), 0);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (store_held (d.store), 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  end ();
}

static void
test_offline_twice_is_empty_without_data (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, OFFLINE);
  assert_int_equal (command (Z, OFFLINE), 0);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (store_held (d.store), 0);
  end ();
}

static void
test_readonly_then_offline_and_back (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, READONLY);
  assert_int_equal (command (Z, OFFLINE), 0);
  assert_zone (Z, OFFLINE, 0);
  assert_int_equal (command (Z, READONLY), 0);
  assert_zone (Z, READONLY, 0);
  assert_data (Z, 0, BLOCK);
  end ();
}

static void
test_readonly_and_offline_give_their_place (void **state)
{
  static const enum zone_cond before[] = {IMP_OPEN, EXP_OPEN, CLOSED};
  static const enum zone_cond asked[] = {READONLY, OFFLINE};
  size_t i, j;

  (void) state;
  for (i = 0; i < 3; i++) {
    for (j = 0; j < 2; j++) {
      begin_with_limits (1, 1);
      put (Z, before[i]);
      assert_int_equal (command (Z, asked[j]), 0);
      assert_zone (Z, asked[j], 0);
      assert_int_equal (command (3, EXP_OPEN), 0);
      end ();
    }
  }
}

/* They are finished first, which takes a place, but need not succeed. */
static void
test_readonly_finishes_first (void **state)
{
  (void) state;
  begin_with_limits (1, 0);
  put (3, IMP_OPEN);
  assert_int_equal (command (Z, READONLY), 0);
  assert_zone (Z, READONLY, 0);
  assert_zone (3, CLOSED, BLOCK);
  put (5, EXP_OPEN);
  assert_int_equal (command (6, OFFLINE), 0);
  assert_zone (6, OFFLINE, 0);
  assert_zone (5, EXP_OPEN, BLOCK);
  end ();
}

/*---------------------------------------------------------------------*/
/* Reads */

static void
test_read_offline_zone (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, OFFLINE);
  assert_int_equal (zoned_read (&d, back, BLOCK, Z * ZONE), -EIO);
  assert_int_equal (zoned_read (&d, back, BLOCK, Z * ZONE + ZONE - BLOCK),
                    -EIO);
  /* A read that touches it gets nothing at all. */
  memset (back, 'X', sizeof back);
  assert_int_equal (zoned_read (&d, back, SIZE, 0), -EIO);
  assert_int_equal (back[0], 'X');
  assert_int_equal (zoned_read (&d, back, ZONE + BLOCK, (Z - 1) * ZONE), -EIO);
  assert_int_equal (zoned_read (&d, back, ZONE, (Z - 1) * ZONE), 0);
  assert_int_equal (zoned_read (&d, back, ZONE, (Z + 1) * ZONE), 0);
  end ();
}

/* Conventional, half, full, empty. */
static void
read_all_with (enum zone_past_wp past_wp, unsigned char past)
{
  struct zone_settings s = usual;

  s.past_wp = past_wp;
  begin (&s);
  assert_int_equal (write_at (1, 0, BLOCK), 0);
  assert_int_equal (write_at (2, 0, 5 * BLOCK), 0);
  put (3, FULL);
  assert_int_equal (zoned_read (&d, back, 4 * ZONE, ZONE), 0);
  assert_memory_equal (back, data, BLOCK);
  assert_int_equal (back[BLOCK], 0);
  assert_int_equal (back[ZONE - 1], 0);
  assert_memory_equal (back + ZONE, data, 5 * BLOCK);
  assert_int_equal ((unsigned char) back[ZONE + 5 * BLOCK], past);
  assert_int_equal ((unsigned char) back[2 * ZONE - 1], past);
  assert_memory_equal (back + 2 * ZONE, data, CAPACITY);
  assert_bytes (2 * ZONE + 5 * BLOCK, ZONE - 5 * BLOCK, past);
  assert_bytes (3 * ZONE + CAPACITY, ZONE - CAPACITY, past);
  assert_bytes (4 * ZONE, ZONE, past);
  end ();
}

static void
test_read_past_wp_zero (void **state)
{
  (void) state;
  read_all_with (PAST_WP_ZERO, 0);
}

static void
test_read_past_wp_ones (void **state)
{
  (void) state;
  read_all_with (PAST_WP_ONES, 0xff);
}

static void
test_read_past_wp_error (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.past_wp = PAST_WP_ERROR;
  begin (&s);
  assert_int_equal (write_at (2, 0, 5 * BLOCK), 0);
  assert_int_equal (zoned_read (&d, back, 2 * ZONE + 5 * BLOCK, 0), 0);
  assert_memory_equal (back + 2 * ZONE, data, 5 * BLOCK);
  memset (back, 'X', sizeof back);
  assert_int_equal (zoned_read (&d, back, 2 * ZONE + 6 * BLOCK, 0), -EIO);
  assert_int_equal (back[0], 'X');
  assert_int_equal (zoned_read (&d, back, BLOCK, 2 * ZONE + 5 * BLOCK), -EIO);
  put (3, FULL);
  assert_int_equal (zoned_read (&d, back, CAPACITY, 3 * ZONE), 0);
  assert_int_equal (zoned_read (&d, back, ZONE, 3 * ZONE), -EIO);
  assert_int_equal (command (4, FULL), 0);
  assert_int_equal (zoned_read (&d, back, ZONE, 4 * ZONE), 0);
  put (5, READONLY);
  assert_int_equal (zoned_read (&d, back, 2 * ZONE, 4 * ZONE), 0);
  end ();
}

/* A zone that changes for the worse between two parts of a read. */
static void
test_read_meets_a_zone_that_goes_offline (void **state)
{
  struct zone_read part;

  (void) state;
  begin (&usual);
  put (2, FULL);
  assert_int_equal (zones_begin_read (d.zones, &part, 2 * ZONE, 2 * ZONE), 0);
  assert_int_equal (zones_read_part (&part), 1);
  assert_true (part.is_data);
  assert_int_equal (part.offset, 2 * ZONE);
  assert_int_equal (part.count, CAPACITY);
  assert_int_equal (zones_read_part (&part), 1);
  assert_false (part.is_data);
  assert_int_equal (part.offset, 2 * ZONE + CAPACITY);
  assert_int_equal (part.count, ZONE - CAPACITY);
  assert_int_equal (command (3, OFFLINE), 0);
  assert_int_equal (zones_read_part (&part), -EIO);
  /* No lock is left. */
  assert_int_equal (command (2, EMPTY), 0);
  assert_int_equal (command (3, OFFLINE), 0);
  end ();
}

/*---------------------------------------------------------------------*/
/* Null mode */

static void
test_null_mode (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.past_wp = PAST_WP_ONES;
  zoned_create (&d, &s, SIZE, false);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_int_equal (write_at (Z, 0, BLOCK), -EIO);
  assert_zone (Z, IMP_OPEN, BLOCK);
  assert_bytes (0, SIZE, 0);
  assert_int_equal (zones_trim (d.zones, SIZE, 0), 0);
  assert_zone (Z, EMPTY, 0);
  put (Z, OFFLINE);
  assert_int_equal (zoned_read (&d, back, BLOCK, Z * ZONE), -EIO);
  end ();

  s.past_wp = PAST_WP_ERROR;
  zoned_create (&d, &s, SIZE, false);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  assert_int_equal (zoned_read (&d, back, BLOCK, Z * ZONE), 0);
  assert_int_equal (zoned_read (&d, back, 2 * BLOCK, Z * ZONE), -EIO);
  end ();
}

/*---------------------------------------------------------------------*/
/* Trims */

static void
test_trim_resets_whole_zones (void **state)
{
  uint64_t zone;

  (void) state;
  begin_with_limits (3, 4);
  for (zone = NR_CONV; zone < NR_ZONES; zone++)
    put (zone, FULL);
  assert_int_equal (zones_trim (d.zones, 3 * ZONE, 3 * ZONE - BLOCK), 0);
  assert_zone (2, FULL, CAPACITY);
  assert_zone (3, EMPTY, 0);
  assert_zone (4, EMPTY, 0);
  assert_zone (5, FULL, CAPACITY);
  assert_int_equal (store_held (d.store), 4 * CAPACITY);
  end ();
}

static void
test_trim_of_parts_does_nothing (void **state)
{
  (void) state;
  begin (&usual);
  put (Z, FULL);
  put (Z + 1, READONLY);
  assert_int_equal (zones_trim (d.zones, ZONE - BLOCK, Z * ZONE), 0);
  assert_int_equal (zones_trim (d.zones, ZONE - BLOCK, Z * ZONE + BLOCK), 0);
  assert_int_equal (
      zones_trim (d.zones, 2 * ZONE - 2 * BLOCK, Z * ZONE + BLOCK), 0);
  assert_data (Z, 0, CAPACITY);
  assert_zone (Z, FULL, CAPACITY);
  end ();
}

static void
test_trim_of_conventional_zones (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (0, 0, ZONE), 0);
  assert_int_equal (write_at (1, 0, ZONE), 0);
  put (2, FULL);
  assert_int_equal (zones_trim (d.zones, 3 * ZONE - 4096, 4096), 0);
  assert_data (0, 0, 4096);
  assert_bytes (4096, 2 * ZONE - 4096, 0);
  assert_zone (2, EMPTY, 0);
  assert_int_equal (store_held (d.store), 4096);
  end ();
}

static void
test_trim_meets_readonly_and_offline (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (1, 0, BLOCK), 0);
  put (2, FULL);
  put (3, READONLY);
  assert_int_equal (zones_trim (d.zones, 3 * ZONE, ZONE), -EROFS);
  assert_data (1, 0, BLOCK);
  assert_zone (2, FULL, CAPACITY);
  assert_int_equal (command (3, OFFLINE), 0);
  assert_int_equal (zones_trim (d.zones, SIZE, 0), -EIO);
  assert_data (1, 0, BLOCK);
  assert_zone (2, FULL, CAPACITY);
  end ();
}

static void
test_trim_ignore (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.trim = ZONE_TRIM_IGNORE;
  begin (&s);
  assert_int_equal (write_at (1, 0, BLOCK), 0);
  put (2, FULL);
  put (3, OFFLINE);
  assert_int_equal (zones_trim (d.zones, SIZE, 0), 0);
  assert_bytes (ZONE, BLOCK, 0);
  assert_data (2, 0, CAPACITY);
  assert_zone (2, FULL, CAPACITY);
  end ();
}

static void
test_trim_error (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.trim = ZONE_TRIM_ERROR;
  begin (&s);
  assert_int_equal (write_at (1, 0, BLOCK), 0);
  put (2, FULL);
  assert_int_equal (zones_trim (d.zones, SIZE, 0), -EIO);
  assert_int_equal (zones_trim (d.zones, BLOCK, 2 * ZONE), -EIO);
  assert_data (1, 0, BLOCK);
  assert_zone (2, FULL, CAPACITY);
  assert_int_equal (zones_trim (d.zones, 2 * ZONE, 0), 0);
  assert_bytes (ZONE, BLOCK, 0);
  end ();
}

/*---------------------------------------------------------------------*/
/* Extents */

static void
assert_extent (uint64_t offset, uint64_t end_of_request,
               enum zone_extent extent, uint64_t end_of_extent)
{
  uint64_t end_of_run;

  assert_int_equal (zones_extent (d.zones, offset, end_of_request, &end_of_run),
                    extent);
  assert_int_equal (end_of_run, end_of_extent);
}

static void
test_extents (void **state)
{
  (void) state;
  begin (&usual);
  assert_int_equal (write_at (2, 0, 5 * BLOCK), 0);
  assert_int_equal (command (4, FULL), 0);
  put (5, OFFLINE);
  assert_extent (0, SIZE, ZONE_EXTENT_CONVENTIONAL, 2 * ZONE);
  assert_extent (ZONE, ZONE + BLOCK, ZONE_EXTENT_CONVENTIONAL, ZONE + BLOCK);
  assert_extent (2 * ZONE, SIZE, ZONE_EXTENT_DATA, 2 * ZONE + 5 * BLOCK);
  assert_extent (2 * ZONE + 4 * BLOCK, 2 * ZONE + 5 * BLOCK, ZONE_EXTENT_DATA,
                 2 * ZONE + 5 * BLOCK);
  assert_extent (2 * ZONE + 5 * BLOCK, SIZE, ZONE_EXTENT_ZERO, 4 * ZONE);
  assert_extent (4 * ZONE, SIZE, ZONE_EXTENT_DATA, 6 * ZONE);
  assert_extent (6 * ZONE, SIZE, ZONE_EXTENT_ZERO, SIZE);
  assert_extent (6 * ZONE, 7 * ZONE, ZONE_EXTENT_ZERO, 7 * ZONE);
  end ();
}

/* A hole must not be called zero where it does not read as zero. */
static void
test_extents_of_holes (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.past_wp = PAST_WP_ONES;
  begin (&s);
  assert_extent (3 * ZONE, SIZE, ZONE_EXTENT_HOLE, SIZE);
  end ();
  zoned_create (&d, &s, SIZE, false);
  assert_extent (3 * ZONE, SIZE, ZONE_EXTENT_ZERO, SIZE);
  end ();
  s.past_wp = PAST_WP_ERROR;
  begin (&s);
  assert_extent (3 * ZONE, SIZE, ZONE_EXTENT_HOLE, SIZE);
  end ();
}

/*---------------------------------------------------------------------*/
/* Early writes, as far as one thread can tell */

static int
count_naps (void *opaque, uint64_t nsec)
{
  int *left = opaque;

  assert_int_equal (nsec, 0);
  return --*left == 0 ? -ESHUTDOWN : 0;
}

static int
write_early (uint64_t zone, uint64_t offset, uint64_t count, int naps)
{
  const struct nap nap = {.nap = count_naps, .opaque = &naps};
  struct zone_write w;
  int r;

  r = zones_begin_write (d.zones, &w, count, zone * ZONE + offset, &nap);
  if (r == 0)
    zones_end_write (&w, count);
  return r;
}

static void
test_early_write_times_out (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.reorder_wait = 15 * NSEC_PER_MSEC;
  begin (&s);
  assert_int_equal (write_early (Z, BLOCK, BLOCK, 1000000), -EIO);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  end ();
}

static void
test_early_write_of_a_client_that_is_gone (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.reorder_wait = MAX_DURATION;
  begin (&s);
  assert_int_equal (write_early (Z, BLOCK, BLOCK, 2), -ESHUTDOWN);
  assert_zone (Z, EMPTY, 0);
  assert_int_equal (write_at (Z, 0, BLOCK), 0);
  end ();
}

/* What no other write can make right fails at once: the nap would say so. */
static void
test_write_that_cannot_come_right_does_not_wait (void **state)
{
  struct zone_settings s = usual;

  (void) state;
  s.reorder_wait = MAX_DURATION;
  begin (&s);
  assert_int_equal (write_early (Z, CAPACITY - BLOCK, 2 * BLOCK, 1), -EIO);
  assert_int_equal (write_early (Z, ZONE - BLOCK, BLOCK, 1), -EIO);
  put (Z, IMP_OPEN);
  assert_int_equal (write_early (Z, 0, BLOCK, 1), -EIO);
  put (3, FULL);
  assert_int_equal (write_early (3, BLOCK, BLOCK, 1), -EIO);
  put (5, READONLY);
  assert_int_equal (write_early (5, 2 * BLOCK, BLOCK, 1), -EROFS);
  put (6, OFFLINE);
  assert_int_equal (write_early (6, 2 * BLOCK, BLOCK, 1), -EIO);
  end ();
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_table_is_byte_exact),
      cmocka_unit_test (test_table_from_the_middle_and_past_the_end),
      cmocka_unit_test (test_zone_full),
      cmocka_unit_test (test_lists_of_readonly_and_offline_zones),
      cmocka_unit_test (test_shorter_last_zone),
      cmocka_unit_test (test_largest),
      cmocka_unit_test (test_counts),
      cmocka_unit_test (test_write_conventional_anywhere),
      cmocka_unit_test (test_write_not_at_write_pointer),
      cmocka_unit_test (test_write_full_zone),
      cmocka_unit_test (test_write_readonly_zone),
      cmocka_unit_test (test_write_offline_zone),
      cmocka_unit_test (test_write_beyond_capacity_writes_nothing),
      cmocka_unit_test (test_write_across_a_border),
      cmocka_unit_test (test_write_opens_empty_and_closed),
      cmocka_unit_test (test_write_keeps_explicitly_open),
      cmocka_unit_test (test_write_that_fails_leaves_zone_open),
      cmocka_unit_test (test_write_without_memory_leaves_zone_open),
      cmocka_unit_test (test_write_in_part_advances_by_the_part),
      cmocka_unit_test (test_write_up_to_capacity_fills),
      cmocka_unit_test (test_zeroes_obey_the_write_pointer),
      cmocka_unit_test (test_limit_active_from_empty),
      cmocka_unit_test (test_limit_active_counts_all_kinds),
      cmocka_unit_test (test_limit_open_closes_an_implicitly_open_zone),
      cmocka_unit_test (test_limit_open_explicit_zones_stay),
      cmocka_unit_test (test_limit_open_no_victim_while_active_is_full),
      cmocka_unit_test (test_limit_open_from_closed_looks_at_open_only),
      cmocka_unit_test (test_victim_without_data_is_empty),
      cmocka_unit_test (test_victims_go_round),
      cmocka_unit_test (test_victim_is_not_being_written),
      cmocka_unit_test (test_open_of_each_condition),
      cmocka_unit_test (test_close_of_each_condition),
      cmocka_unit_test (test_close_without_data_is_empty),
      cmocka_unit_test (test_finish_of_each_condition),
      cmocka_unit_test (test_finish_of_a_full_zone),
      cmocka_unit_test (test_finish_may_take_a_place),
      cmocka_unit_test (test_finish_gives_its_place),
      cmocka_unit_test (test_finish_tail_reads_as_zeroes),
      cmocka_unit_test (test_reset_of_each_condition),
      cmocka_unit_test (test_reset_gives_its_place),
      cmocka_unit_test (test_reset_frees_memory),
      cmocka_unit_test (test_reset_all),
      cmocka_unit_test (test_failed_reset),
      cmocka_unit_test (test_commands_to_conventional_zones),
      cmocka_unit_test (test_commands_that_there_are_not),
      cmocka_unit_test (test_power_goes),
      cmocka_unit_test (test_reset_without_power),
      cmocka_unit_test (test_restart),
      cmocka_unit_test (test_restart_of_what_lost_nothing),
      cmocka_unit_test (test_restart_within_limits),
      cmocka_unit_test (test_readonly_keeps_data),
      cmocka_unit_test (test_readonly_twice_is_empty_without_data),
      cmocka_unit_test (test_offline_twice_is_empty_without_data),
      cmocka_unit_test (test_readonly_then_offline_and_back),
      cmocka_unit_test (test_readonly_and_offline_give_their_place),
      cmocka_unit_test (test_readonly_finishes_first),
      cmocka_unit_test (test_read_offline_zone),
      cmocka_unit_test (test_read_past_wp_zero),
      cmocka_unit_test (test_read_past_wp_ones),
      cmocka_unit_test (test_read_past_wp_error),
      cmocka_unit_test (test_read_meets_a_zone_that_goes_offline),
      cmocka_unit_test (test_null_mode),
      cmocka_unit_test (test_trim_resets_whole_zones),
      cmocka_unit_test (test_trim_of_parts_does_nothing),
      cmocka_unit_test (test_trim_of_conventional_zones),
      cmocka_unit_test (test_trim_meets_readonly_and_offline),
      cmocka_unit_test (test_trim_ignore),
      cmocka_unit_test (test_trim_error),
      cmocka_unit_test (test_extents),
      cmocka_unit_test (test_extents_of_holes),
      cmocka_unit_test (test_early_write_times_out),
      cmocka_unit_test (test_early_write_of_a_client_that_is_gone),
      cmocka_unit_test (test_write_that_cannot_come_right_does_not_wait),
  };

  return RUN_TESTS (tests);
}
