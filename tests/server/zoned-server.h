/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A server with zones of 1 MiB, and short names for what is asked of them.
 */

#ifndef NULLBLK_ZONED_SERVER_H
#define NULLBLK_ZONED_SERVER_H

#include <endian.h>
#include <inttypes.h>
#include <string.h>

#include "client.h"
#include "zones/zones.h"

#define ZONE MIB
#define CAPACITY (768 * KIB)
#define BLOCK 4096

enum {
  EM = ZONE_COND_EMPTY,
  OI = ZONE_COND_IMP_OPEN,
  OE = ZONE_COND_EXP_OPEN,
  CL = ZONE_COND_CLOSED,
  RO = ZONE_COND_READONLY,
  FU = ZONE_COND_FULL,
  OL = ZONE_COND_OFFLINE,
  NW = ZONE_COND_NOT_WP
};

static struct nbd_handle *data, *zones;
static unsigned char buf[ZONE], zeroes[ZONE];

/* Two conventional zones and 14 others. */
#define SERVE(...)                                                             \
  (serve ("16M", "memory-backed=true", "zoned=true", "zone-size=1M",           \
          "zone-nr-conv=2", "zone-capacity=768K", "zone-reorder-wait=0",       \
          ##__VA_ARGS__),                                                      \
   begin ())

static inline void
begin (void)
{
  memset (buf, 0xa5, sizeof buf);
  data = connect_to ("");
  zones = connect_to ("nullb0.zones");
}

static inline struct zone_descriptor
zone (uint64_t nr)
{
  struct zone_descriptor d;

  assert_done (nbd_pread (zones, &d, sizeof d, nr * sizeof d, 0));
  return d;
}

#define assert_zone(nr, cond_, written)                                        \
  do {                                                                         \
    assert_int_equal (zone (nr).cond, cond_);                                  \
    assert_int_equal (le64toh (zone (nr).wp) * 512, (nr) *ZONE + (written));   \
  } while (0)

static inline int
command (uint64_t nr, unsigned cond)
{
  const struct zone_descriptor d = {.cond = cond};

  return nbd_pwrite (zones, &d, sizeof d, nr * sizeof d, 0);
}

static inline int
write_at (uint64_t nr, uint64_t offset, uint64_t count)
{
  return nbd_pwrite (data, buf, count, nr * ZONE + offset, 0);
}

static inline int
read_at (uint64_t nr, uint64_t offset, uint64_t count)
{
  return nbd_pread (data, zeroes, count, nr * ZONE + offset, 0);
}

static inline int
trim (uint64_t nr, uint64_t offset, uint64_t count)
{
  return nbd_trim (data, count, nr * ZONE + offset, 0);
}

/* Bring an empty zone into a condition, with a block in it where it can. */
static inline void
put (uint64_t nr, unsigned cond)
{
  if (cond == OI || cond == OE || cond == CL)
    assert_done (write_at (nr, 0, BLOCK));
  if (cond != EM && cond != OI)
    assert_done (command (nr, cond));
  assert_int_equal (zone (nr).cond, cond);
}

#endif /* NULLBLK_ZONED_SERVER_H */
