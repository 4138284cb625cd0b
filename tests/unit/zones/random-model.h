/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For tests that do the same to a zoned device and to the model: places that
 * are worth a request, and whether both have the same zones.
 */

#ifndef NULLBLK_RANDOM_MODEL_H
#define NULLBLK_RANDOM_MODEL_H

#include <endian.h>

#include "unit.h"
#include "zones-model.h"
#include "zones/zones.h"

#define BLOCK 512

/* Returns an offset on the device; *COUNT becomes a length of up to MOST
 * blocks.
 */
static inline uint64_t
random_range (const struct model *m, uint64_t *random, uint64_t most,
              uint64_t *count)
{
  const uint64_t offset = BLOCK * random_below (random, m->size / BLOCK);

  *count = BLOCK * (1 + random_below (random, most));
  if (*count > m->size - offset)
    *count = m->size - offset;
  return offset;
}

/* The same for a write: mostly at a write pointer. */
static inline uint64_t
random_write (const struct model *m, uint64_t *random, uint64_t *count)
{
  const struct model_zone *zone = &m->zones[random_below (random, m->nr_zones)];
  uint64_t offset = random_range (m, random, 12, count);

  if (random_below (random, 8) != 0 && !zone->conventional &&
      zone->wp < zone->start + zone->capacity) {
    offset = zone->wp;
    if (random_below (random, 4) == 0)
      *count = zone->start + zone->capacity - offset;
    else if (random_below (random, 8) == 0)
      *count = BLOCK * (1 + random_below (random, (m->size - offset) / BLOCK));
    else if (*count > m->size - offset)
      *count = m->size - offset;
  }
  return offset;
}

/* The same for a trim: often of whole zones. */
static inline uint64_t
random_trim (const struct model *m, uint64_t *random, uint64_t *count)
{
  uint64_t offset = random_range (m, random, m->size / BLOCK, count);

  if (random_below (random, 2) == 0) {
    offset = offset / m->zone_size * m->zone_size;
    *count = (random_below (random, 3) + 1) * m->zone_size;
    if (*count > m->size - offset)
      *count = m->size - offset;
  }
  return offset;
}

/* Returns the condition for a command to ZONE, which need not exist.  Read-only
 * and offline are asked for less often, and half of the commands to a zone that
 * is so make it empty.
 */
static inline int
random_command (const struct model *m, uint64_t *random, uint64_t zone)
{
  static const int usual[] = {M_EMPTY,    M_EMPTY,  M_EMPTY,
                              M_EXP_OPEN, M_CLOSED, M_FULL};

  if (zone < (uint64_t) m->nr_zones && m->zones[zone].wp == MODEL_NO_WP &&
      random_below (random, 2) == 0)
    return m->zones[zone].cond;
  return random_below (random, 12) == 0 ? (int) random_below (random, 16)
                                        : usual[random_below (random, 6)];
}

/* Compare the descriptors of all zones.  LAST says after what, for messages. */
static inline void
compare_descriptors (const struct model *m, const struct zone_descriptor *r,
                     const char *last)
{
  const struct model_zone *zone;
  int i;

  for (i = 0; i < m->nr_zones; i++) {
    zone = &m->zones[i];
    if (le64toh (r[i].start) * 512 != zone->start ||
        le64toh (r[i].len) * 512 != zone->len ||
        le64toh (r[i].capacity) * 512 != zone->capacity ||
        r[i].type != (zone->conventional ? 1 : 2) ||
        r[i].cond != (uint8_t) zone->cond ||
        le64toh (r[i].wp) !=
            (zone->wp == MODEL_NO_WP ? UINT64_MAX : zone->wp / 512))
      fail_msg ("after %s: zone %d has condition %d, wp %llu, not %d, %llu",
                last, i, r[i].cond, (unsigned long long) le64toh (r[i].wp),
                zone->cond, (unsigned long long) zone->wp / 512);
  }
}

/* A test of a device, which is made anew after `each` operations. */
struct model_test {
  void (*create) (uint64_t *random, bool limits); /* device and model */
  void (*destroy) (void);
  void (*operate) (uint64_t *random); /* one operation; compare its results */
  void (*compare_table) (void);
  void (*compare_read) (uint64_t count, uint64_t offset);
  uint64_t each;       /* operations on one device */
  uint64_t data_every; /* operations from one comparison of data to the next */
};

/* Compare all data, zone by zone, as most reads of all of it would fail. */
static inline void
compare_data (const struct model *m, const struct model_test *t)
{
  int i;

  for (i = 0; i < m->nr_zones; i++)
    t->compare_read (m->zones[i].len, m->zones[i].start);
}

static inline void
run_model_test (const struct model *m, const struct model_test *t,
                uint64_t operations, bool limits)
{
  const char *what = limits ? "with limits" : "without limits";
  uint64_t random = new_seed (what), n = 0, i;

  while (n < operations) {
    t->create (&random, limits);
    t->compare_table ();
    for (i = 0; i < t->each && n < operations; i++, n++) {
      t->operate (&random);
      t->compare_table ();
      if (i % t->data_every == 0)
        compare_data (m, t);
    }
    compare_data (m, t);
    t->destroy ();
  }
  printf ("# %s: %llu operations\n", what, (unsigned long long) n);
}

#endif /* NULLBLK_RANDOM_MODEL_H */
