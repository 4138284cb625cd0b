/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The zone descriptor, of which a .zones export consists.  It has the layout
 * and the numbers of Linux's struct blk_zone, so that a client on a little
 * endian machine may use it as one; it is little endian on every machine.
 */

#ifndef NULLBLK_ZONE_DESCRIPTOR_H
#define NULLBLK_ZONE_DESCRIPTOR_H

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

/* The write pointer in the descriptor of a read-only or an offline zone, which
 * has none.
 */
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

#endif /* NULLBLK_ZONE_DESCRIPTOR_H */
