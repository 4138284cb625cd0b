/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The parameters of zones, and whether they fit together.  This owns nothing
 * and locks nothing: parameters are parsed before the server listens, and but
 * for zone-cross none changes after that.
 */

#ifndef NULLBLK_ZONES_SETTINGS_H
#define NULLBLK_ZONES_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/common.h"

/* The most zones of a device.  A zone takes up to 16 bytes once it is used. */
#define MAX_ZONES (UINT64_C (1) << 24)

#define MIN_ZONE_SIZE UINT64_C (4096)

/* Zones by number, as in "3,7-9"; "none" if there are none. */
#define MAX_ZONE_RANGES 32
#define ZONE_LIST_TEXT 640 /* the longest, as text */

struct zone_list {
  unsigned count;
  struct {
    uint32_t first, last;
  } ranges[MAX_ZONE_RANGES];
};

/* The answer to a read at and past the write pointer. */
enum zone_past_wp { PAST_WP_ZERO, PAST_WP_ONES, PAST_WP_ERROR };

/* The effect of a trim of sequential zones. */
enum zone_trim { ZONE_TRIM_RESET, ZONE_TRIM_IGNORE, ZONE_TRIM_ERROR };

/* The ways to treat a write that crosses zone boundaries. */
enum zone_cross { ZONE_CROSS_SPLIT, ZONE_CROSS_ERROR };

/* All sizes are in bytes. */
struct zone_settings {
  bool zoned;
  uint64_t zone_size;                 /* a power of two */
  uint64_t capacity;                  /* what may be written of it; 0: all */
  uint64_t nr_conv;                   /* conventional zones, at the beginning */
  uint64_t max_open;                  /* 0: no limit */
  uint64_t max_active;                /* the same */
  bool full;                          /* sequential zones begin full */
  struct zone_list readonly, offline; /* zones that begin so */
  unsigned past_wp;                   /* enum zone_past_wp */
  unsigned trim;                      /* enum zone_trim */
  unsigned cross;                     /* enum zone_cross; live */
  uint64_t reorder_wait;              /* nanoseconds; 0: no wait */
};

/* Parse a list of zones.  Returns 0, or -EINVAL with what is allowed in *why.
 */
int zone_list_parse (const char *text, struct zone_list *list,
                     struct message *why);

/* Write a list as zone_list_parse takes it; ZONE_LIST_TEXT bytes are enough. */
void zone_list_format (const struct zone_list *list, char *buf, size_t len);

/* Check the parameters against each other and against a device of SIZE bytes
 * (not 0) with blocks of BLOCK_SIZE.  Replace a capacity of 0 by the zone size,
 * a max_open above max_active by that, and limits that cannot be reached by 0.
 * Returns 0, or -EINVAL with the reason in *why.  Nothing is done where zoned
 * is false.
 */
int zone_settings_complete (struct zone_settings *s, uint64_t size,
                            uint64_t block_size, struct message *why);

#endif /* NULLBLK_ZONES_SETTINGS_H */
