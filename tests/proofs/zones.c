/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Proofs of the room zones: where zones lie, and which geometries there are.
 */

#include "prove.h"

#include "zones/zones-internal.h"

/* Texts for people are no part of these proofs. */
#define message_set(why, ...) ((void) (why))
#define size_format(bytes, buf, len) ((void) (buf))
#include "zones/zones-settings.c"
#include "zones/zones.c"

/*---------------------------------------------------------------------*/

/* Any geometry with zones of 1 << SHIFT bytes that settings allow. */
static struct zones
any_zones (unsigned shift)
{
  const uint64_t zone_size = UINT64_C (1) << shift;
  struct zones z = {.size = nondet_uint64 (),
                    .shift = shift,
                    .nr_conv = nondet_uint64 (),
                    .capacity = nondet_uint64 ()};

  ASSUME (z.size > 0 && z.size <= MAX_SIZE && zone_size <= z.size);
  ASSUME ((z.size - 1) >> shift < MAX_ZONES);
  z.nr_zones = ((z.size - 1) >> shift) + 1;
  ASSUME (z.nr_conv < z.nr_zones);
  ASSUME (z.capacity > 0 && z.capacity <= zone_size);
  return z;
}

static void
check_bounds (unsigned shift)
{
  const struct zones z = any_zones (shift);
  const uint64_t zone = nondet_uint64 ();
  uint64_t start, len, capacity;

  ASSUME (zone < z.nr_zones);
  start = zone_start (&z, zone);
  len = zone_len (&z, zone);
  capacity = zone_capacity (&z, zone);
  CHECK (start < z.size);
  CHECK (len > 0 && len <= z.size - start);
  CHECK (capacity > 0 && capacity <= len);
  CHECK (zone >= z.nr_conv ? capacity == len || capacity == z.capacity
                           : capacity == len);
  CHECK (start >> shift == zone && (start + len - 1) >> shift == zone);
  CHECK (start + len ==
         (zone + 1 == z.nr_zones ? z.size : zone_start (&z, zone + 1)));
}

/* Every zone lies within the device, and ends where the next one begins. */
PROOF (zone_bounds, 64) { FOR_EACH (shift, 12, 62, check_bounds); }

/* The word of a zone's state has both of what it is made of. */
PROOF (zone_state, 1)
{
  const uint64_t wp = nondet_uint64 ();
  const enum zone_cond cond = (enum zone_cond) nondet_unsigned ();
  uint64_t state;

  ASSUME (wp <= MAX_SIZE && wp % (1 << ZONE_SECTOR_SHIFT) == 0);
  ASSUME ((unsigned) cond < 16); /* as standards have them */
  state = state_make (cond, wp);
  CHECK (state_wp (state) == wp);
  CHECK (state_cond (state) == cond);
  CHECK ((state == 0) == (wp == 0 && cond == ZONE_COND_EMPTY));
}

/* Any number of zones: each stripe has a row of whole cache lines, with a word
 * for each of its zones.
 */
PROOF (zone_rows, 12)
{
  struct zones z = {.nr_zones = nondet_uint64 ()};

  ASSUME (z.nr_zones > 0 && z.nr_zones <= MAX_ZONES);
  lay_out (&z);
  CHECK (z.nr_stripes == UINT64_C (1) << z.stripe_bits);
  CHECK (z.nr_stripes <= MAX_ZONE_STRIPES);
  CHECK (z.row > (z.nr_zones - 1) >> z.stripe_bits);
  CHECK (z.row <= ((z.nr_zones - 1) >> z.stripe_bits) + 8);
  CHECK (z.row % 8 == 0);
}

static void
check_index (unsigned stripe_bits)
{
  const uint64_t a = nondet_uint64 (), b = nondet_uint64 ();
  const struct zones z = {.stripe_bits = stripe_bits,
                          .nr_stripes = UINT64_C (1) << stripe_bits,
                          .row = MAX_ZONES >> stripe_bits};
  uint64_t row;

  ASSUME (a < MAX_ZONES && b < MAX_ZONES && a != b);
  row = (a & (z.nr_stripes - 1)) * z.row;
  CHECK (zone_index (&z, a) >= row && zone_index (&z, a) - row < z.row);
  CHECK (zone_index (&z, a) < MAX_ZONES);
  CHECK (zone_index (&z, a) != zone_index (&z, b));
}

/* Each zone has a word of its own, in the row of its stripe. */
PROOF (zone_index, 12) { FOR_EACH (bits, 0, 10, check_index); }

static void
check_settings (unsigned block_shift)
{
  const uint64_t block_size = UINT64_C (1) << block_shift;
  const uint64_t size = nondet_uint64 ();
  struct zone_settings s = {.zoned = true,
                            .zone_size = nondet_uint64 (),
                            .capacity = nondet_uint64 (),
                            .nr_conv = nondet_uint64 (),
                            .max_open = nondet_uint64 (),
                            .max_active = nondet_uint64 ()};
  struct message why;

  ASSUME (size > 0 && size <= MAX_SIZE);
  if (zone_settings_complete (&s, size, block_size, &why) != 0)
    return;
  CHECK ((s.zone_size & (s.zone_size - 1)) == 0);
  CHECK (s.zone_size >= MIN_ZONE_SIZE && s.zone_size >= block_size);
  CHECK (s.zone_size <= size && s.zone_size > (size - 1) / MAX_ZONES);
  CHECK (s.capacity > 0 && s.capacity <= s.zone_size);
  CHECK (s.capacity % block_size == 0);
  CHECK (s.max_active == 0 || s.max_open <= s.max_active);
}

/* Of any settings but lists of zones, those that are accepted are as any_zones
 * has them: with blocks of 512 bytes to 64 KiB.
 */
PROOF (zone_settings, 40) { FOR_EACH (shift, 9, 16, check_settings); }
