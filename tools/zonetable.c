/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The zone table, read and checked; see zonetable.h.
 */

#include <config.h>

#include <endian.h>
#include <inttypes.h>
#include <string.h>

#include <libnbd.h>

#include "connect.h"
#include "zonetable.h"

/* How long a server may take to answer. */
#define ANSWER_SECONDS 30

#define fail(why, ...) (message_set (why, __VA_ARGS__), false)

static const struct {
  const char *letters, *name;
} conds[NR_ZONE_CONDS] = {
    [ZONE_COND_NOT_WP] = {"nw", "conventional"},
    [ZONE_COND_EMPTY] = {"em", "empty"},
    [ZONE_COND_IMP_OPEN] = {"oi", "implicitly open"},
    [ZONE_COND_EXP_OPEN] = {"oe", "explicitly open"},
    [ZONE_COND_CLOSED] = {"cl", "closed"},
    [ZONE_COND_READONLY] = {"ro", "read-only"},
    [ZONE_COND_FULL] = {"fu", "full"},
    [ZONE_COND_OFFLINE] = {"ol", "offline"},
};

unsigned
zone_cond_parse (const char *text)
{
  unsigned i;

  for (i = 0; i < NR_ZONE_CONDS; i++) {
    if (conds[i].letters != NULL && strncmp (text, conds[i].letters, 2) == 0)
      break;
  }
  return i;
}

const char *
zone_cond_letters (unsigned cond)
{
  return conds[cond].letters;
}

const char *
zone_cond_name (unsigned cond)
{
  return conds[cond].name;
}

bool
zone_has_wp (const struct zone_descriptor *d)
{
  return d->type == ZONE_TYPE_SEQUENTIAL && le64toh (d->wp) != ZONE_NO_WP;
}

uint64_t
zone_field_bytes (uint64_t le_sectors)
{
  return le64toh (le_sectors) << ZONE_SECTOR_SHIFT;
}

/*---------------------------------------------------------------------*/
/* Is it a zone table? */

/* Is the write pointer where that of a zone in this condition can be? */
static bool
has_possible_wp (const struct zone_descriptor *d)
{
  const uint64_t start = le64toh (d->start), wp = le64toh (d->wp);

  if (d->cond == ZONE_COND_READONLY || d->cond == ZONE_COND_OFFLINE)
    return wp == ZONE_NO_WP;
  if (d->cond == ZONE_COND_EMPTY)
    return wp == start;
  return wp >= start && wp - start <= le64toh (d->len);
}

/* Returns why D cannot be zone ZONE of the table, or NULL.  Units are sectors,
 * of which a device has less than 2^54.
 */
static const char *
flaw (const struct zonetable *t, uint64_t zone, const struct zone_descriptor *d)
{
  const uint64_t len = le64toh (d->len), capacity = le64toh (d->capacity);
  const uint64_t most = INT64_MAX >> ZONE_SECTOR_SHIFT;
  const bool is_last = zone + 1 == t->nr_zones;

  if (d->type != ZONE_TYPE_CONVENTIONAL && d->type != ZONE_TYPE_SEQUENTIAL)
    return "there is no such type";
  if (d->cond >= NR_ZONE_CONDS || conds[d->cond].name == NULL ||
      (d->cond == ZONE_COND_NOT_WP) != (d->type == ZONE_TYPE_CONVENTIONAL))
    return "its type has no such condition";
  if (len == 0 || len > most || len > t->zone_len ||
      (len < t->zone_len && !is_last))
    return "it is not as long as the others";
  if (zone > most / t->zone_len || le64toh (d->start) != zone * t->zone_len)
    return "it does not begin where those before it end";
  if (capacity == 0 || capacity > len)
    return "it has no such capacity";
  if (!has_possible_wp (d))
    return "its write pointer is outside of it";
  return NULL;
}

bool
zonetable_try (const struct zonetable *t, struct zone_descriptor *zones,
               uint64_t first, uint64_t n, bool *right, struct message *why)
{
  const char *wrong;
  uint64_t i;

  *right = true;
  if (connection_read (t->h, zones, n * sizeof *zones, first * sizeof *zones,
                       ANSWER_SECONDS, why) < 0)
    return false;
  for (i = 0; i < n && *right; i++) {
    wrong = flaw (t, first + i, &zones[i]);
    if (wrong != NULL) {
      *right = false;
      message_set (why, "this is no zone table: zone %" PRIu64 ": %s",
                   first + i, wrong);
    }
  }
  return true;
}

bool
zonetable_read (const struct zonetable *t, struct zone_descriptor *zones,
                uint64_t first, uint64_t n, struct message *why)
{
  bool right;

  return zonetable_try (t, zones, first, n, &right, why) && right;
}

/* The first zone says how long zones are.  The last one is read, too, as a
 * filter may make an export longer: it fills it up with zeroes, which are no
 * zone.
 */
bool
zonetable_open (struct zonetable *t, struct nbd_handle *h, struct message *why)
{
  const int64_t size = nbd_get_size (h);
  struct zone_descriptor d;

  *t = (struct zonetable){.h = h};
  if (size <= 0 || size % ZONE_DESCRIPTOR_SIZE != 0)
    return fail (why, "this is no zone table: it has %lld bytes",
                 (long long) size);
  t->nr_zones = size / ZONE_DESCRIPTOR_SIZE;
  if (connection_read (h, &d, sizeof d, 0, ANSWER_SECONDS, why) < 0)
    return false;
  t->zone_len = le64toh (d.len);
  return zonetable_read (t, &d, 0, 1, why) &&
         zonetable_read (t, &d, t->nr_zones - 1, 1, why);
}
