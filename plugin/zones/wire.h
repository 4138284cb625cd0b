/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Layouts that cross the wire: the zone descriptor that a .zones export is
 * read and written in.  It is laid out as Linux's struct blk_zone, and numbers
 * mean what they mean there, so that a client may hand it on as it is; but it
 * is little endian on every machine.
 */

#ifndef NULLBLK_WIRE_H
#define NULLBLK_WIRE_H

#include <stdint.h>

/* The unit of zones on the wire, a sector of 512 bytes whatever the block size.
 */
#define ZONE_SECTOR_SHIFT 9

enum zone_type {
  ZONE_TYPE_CONVENTIONAL = 1,
  ZONE_TYPE_SEQUENTIAL = 2, /* write required */
};

enum zone_cond {
  ZONE_COND_NOT_WP = 0, /* conventional: has no write pointer */
  ZONE_COND_EMPTY = 1,
  ZONE_COND_IMP_OPEN = 2,
  ZONE_COND_EXP_OPEN = 3,
  ZONE_COND_CLOSED = 4,
  ZONE_COND_READONLY = 0xd,
  ZONE_COND_FULL = 0xe,
  ZONE_COND_OFFLINE = 0xf,
  NR_ZONE_CONDS = 16
};

/* The write pointer of a zone that has none: read-only and offline ones. */
#define ZONE_NO_WP UINT64_MAX

struct zone_descriptor {
  uint64_t start; /* these three in sectors of the device */
  uint64_t len;
  uint64_t wp;
  uint8_t type;
  uint8_t cond;
  uint8_t non_seq; /* always 0, as is what is reserved */
  uint8_t reset;
  uint8_t reserved[4];
  uint64_t capacity; /* sectors */
  uint8_t reserved_too[24];
};

#define ZONE_DESCRIPTOR_SIZE 64

_Static_assert(sizeof (struct zone_descriptor) == ZONE_DESCRIPTOR_SIZE,
               "a zone descriptor has 64 bytes");

#endif /* NULLBLK_WIRE_H */
