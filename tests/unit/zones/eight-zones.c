/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device of eight zones; see eight-zones.h.
 */

#include <config.h>

#include <endian.h>
#include <string.h>
#include <errno.h>

#include "eight-zones.h"

const struct zone_settings usual = {
    .zone_size = ZONE, .capacity = CAPACITY, .nr_conv = NR_CONV};
struct zoned d;
char data[SIZE], back[SIZE];

void
begin (const struct zone_settings *s)
{
  size_t i;

  for (i = 0; i < sizeof data; i++)
    data[i] = 'a' + i % 23;
  zoned_create (&d, s, SIZE, true);
}

void
begin_with_limits (uint64_t max_open, uint64_t max_active)
{
  struct zone_settings s = usual;

  s.max_open = max_open;
  s.max_active = max_active;
  begin (&s);
}

void
end (void)
{
  zoned_destroy (&d);
}

struct zone_descriptor
descriptor (uint64_t zone)
{
  struct zone_descriptor r;

  assert_int_equal (zones_read_table (d.zones, zone, &r, 1), 1);
  return r;
}

uint64_t
wp_of (uint64_t zone)
{
  const struct zone_descriptor r = descriptor (zone);

  return (le64toh (r.wp) - le64toh (r.start)) * 512;
}

int
write_at (uint64_t zone, uint64_t offset, uint64_t count)
{
  return zoned_write (&d, data, count, zone * ZONE + offset);
}

int
command (uint64_t zone, enum zone_cond cond)
{
  return zones_command (d.zones, zone, cond);
}

void
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

void
assert_bytes (uint64_t offset, uint64_t count, unsigned char byte)
{
  uint64_t i;

  memset (back, 'X', sizeof back);
  assert_int_equal (zoned_read (&d, back, count, offset), 0);
  for (i = 0; i < count; i++)
    assert_int_equal ((unsigned char) back[i], byte);
}

void
assert_data (uint64_t zone, uint64_t offset, uint64_t count)
{
  memset (back, 'X', sizeof back);
  assert_int_equal (zoned_read (&d, back, count, zone * ZONE + offset), 0);
  assert_memory_equal (back, data, count);
}
