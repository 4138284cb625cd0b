/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A model to compare a zoned device with, written from the rules: with a flat
 * array for the data, a struct for each zone, a loop for everything, and no
 * locks.  It must be so simple that one sees that it is right.
 */

#ifndef NULLBLK_ZONES_MODEL_H
#define NULLBLK_ZONES_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_MAX_ZONES 64
#define MODEL_MAX_SIZE (1 << 20)

/* Conditions as on the wire; values of zone-read-past-wp= and of zone-trim=. */
enum { M_NOT_WP, M_EMPTY, M_IMP_OPEN, M_EXP_OPEN, M_CLOSED };
enum { M_READONLY = 13, M_FULL, M_OFFLINE };
enum { M_ZERO, M_ONES, M_ERROR };
enum { M_RESET, M_IGNORE, M_TRIM_ERROR };

struct model_zone {
  bool conventional;
  uint64_t start, len, capacity, wp; /* bytes; wp may be MODEL_NO_WP */
  int cond;
};

#define MODEL_NO_WP UINT64_MAX

struct model {
  /* To be set before model_begin. */
  uint64_t size, zone_size, capacity;
  int nr_conv, max_open, max_active;
  bool memory, full;
  bool split; /* zone-cross=split */
  int past_wp, trim;

  int nr_zones, cursor;
  bool came_through; /* has the last write met no rule but bad blocks? */
  struct model_zone zones[MODEL_MAX_ZONES];
  unsigned char data[MODEL_MAX_SIZE];
};

void model_begin (struct model *m);

/* Write BUF, or zeroes if it is NULL; after CUT bytes the medium fails. */
int model_write (struct model *m, const void *buf, uint64_t count,
                 uint64_t offset, uint64_t cut);

/* The same for an append to the zone in which *OFFSET is.  *OFFSET becomes the
 * zone's write pointer, if the zone has one.
 */
int model_append (struct model *m, const void *buf, uint64_t count,
                  uint64_t *offset, uint64_t cut);
int model_read (const struct model *m, void *buf, uint64_t count,
                uint64_t offset);
int model_trim (struct model *m, uint64_t count, uint64_t offset);
int model_command (struct model *m, uint64_t zone, int cond);
void model_reset_all (struct model *m);

/* Returns what the byte at OFFSET is: 'd' data, 'z' a hole of zeroes, 'h'
 * another hole, 'c' in a conventional zone.
 */
char model_extent (const struct model *m, uint64_t offset);

#endif /* NULLBLK_ZONES_MODEL_H */
