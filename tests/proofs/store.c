/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Proofs of the room store: where data lies.
 */

#include "prove.h"

#include "store/store-internal.h"

static void
check_piece (unsigned chunk_shift)
{
  struct store s = {.arena = {.chunk_shift = chunk_shift}};
  const uint64_t size = UINT64_C (1) << chunk_shift;
  const uint64_t offset = nondet_uint64 (), end = nondet_uint64 ();
  const uint32_t volume = nondet_uint32 ();
  struct piece p;

  ASSUME (offset < end && end <= MAX_SIZE && volume < 1 << 16);
  p = piece_at (&s, volume, offset, end);
  CHECK (p.len > 0 && p.len <= end - offset);
  CHECK (p.offset < size && p.len <= size - p.offset);
  CHECK ((p.key & ((UINT64_C (1) << VOLUME_SHIFT) - 1)) ==
         offset >> chunk_shift);
  CHECK (p.key >> VOLUME_SHIFT == volume);
  CHECK (p.len == end - offset || p.offset + p.len == size);
  CHECK (first_page (&p) < stop_page (&p));
  CHECK (stop_page (&p) <= pages_in_chunk (&s));
  p = piece_at (&s, volume, end, end);
  CHECK (p.len == 0);
}

/* The part of a request in a chunk: of that chunk alone, and not empty before
 * the request's end.
 */
PROOF (piece, 23)
{
  FOR_EACH (shift, CHUNK_SHIFT, HUGE_CHUNK_SHIFT, check_piece);
}

/* A key has a bucket and a stripe that there are, and of 1024 keys in a row
 * each has its own: for any keys, tables of 2^10 to 2^32 buckets, and the
 * secret 1, as products of any numbers are too hard.
 */
PROOF (bucket, 1)
{
  const uint64_t row = nondet_uint64 () << 10;
  const uint64_t a = row | (nondet_uint64 () & 1023);
  const uint64_t b = row | (nondet_uint64 () & 1023);
  const unsigned bits = nondet_unsigned ();
  struct store s = {.table = {.secret = 1}};

  ASSUME (bits >= 10 && bits <= 32 && a != b);
  s.table.bucket_mask = (UINT64_C (1) << bits) - 1;
  s.table.secret_shift = 64 - bits;
  CHECK (table_bucket (&s.table, a) < UINT64_C (1) << bits);
  CHECK (stripe_of (&s, a) < NR_STRIPES);
  CHECK (stripe_of (&s, a) != stripe_of (&s, b));
}

/* Bits from FIRST up to LAST of a map of 64, and no others. */
PROOF (map, 3)
{
  uint32_t map[2], before[2];
  const unsigned first = nondet_unsigned (), last = nondet_unsigned ();
  const unsigned page = nondet_unsigned ();
  unsigned end;

  map[0] = before[0] = nondet_uint32 ();
  map[1] = before[1] = nondet_uint32 ();
  ASSUME (first < last && last <= 64 && page < 64);
  end = map_end_of_run (map, first, last);
  CHECK (end > first && end <= last);
  CHECK (page < first || page >= end ||
         map_has (map, page) == map_has (map, first));
  CHECK (end == last || map_has (map, end) != map_has (map, first));
  map_set (map, first, last);
  CHECK (map_has (map, page) ==
         ((page >= first && page < last) || map_has (before, page)));
  CHECK (map_count (map, first, last) == last - first);
  map_clear (map, first, last);
  CHECK (map_has (map, page) ==
         (!(page >= first && page < last) && map_has (before, page)));
  CHECK (map_count (map, first, last) == 0);
}
