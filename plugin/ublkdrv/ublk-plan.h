/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The properties of the block device, computed from those of the export.  A
 * device that the kernel would refuse is refused here, with a reason: the
 * kernel would only say EINVAL.  Nothing here makes system calls.
 */

#ifndef NULLBLK_UBLKDRV_UBLK_PLAN_H
#define NULLBLK_UBLKDRV_UBLK_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"
#include "kernel.h"
#include "zones/zones.h"

/* A report of zones for which the kernel makes several requests comes out
 * wrong, as the kernel numbers the zones of each from 0.  So all zones have to
 * fit into one request, which has this many pages at most, at 64 bytes a zone:
 * 65536 zones where a page has 4 KiB.
 */
#define MAX_REPORT_PAGES 1024

/* The export; sizes are bytes. */
struct plan_export {
  uint64_t size;
  uint64_t block_size;      /* the smallest request; 0: does not say */
  uint64_t preferred_block; /* 0: does not say */
  uint64_t max_request;     /* 0: does not say */
  bool read_only, can_flush, can_fua, can_trim, can_zero;
  bool multi_conn; /* several connections see each other's writes */

  const struct zone_descriptor *table; /* as it is read; NULL: no zones */
  uint64_t nr_zones;
  uint64_t max_open, max_active; /* zones; 0: no limit */
  bool commands_refused;         /* .zones or .config is read-only */
};

/* The options of the user, and the limits of the machine. */
struct plan_options {
  unsigned queues; /* 0: as many as there are CPUs */
  unsigned depth;
  bool rotational, read_only;
  bool persists; /* the device is to outlive the process that serves it */
  bool always_with_zones; /* there is no option to do without them */
  unsigned cpus;
  unsigned page_size; /* bytes */
};

struct device_plan {
  unsigned queues, depth;
  uint32_t max_io;           /* bytes of one request */
  uint64_t fallback_discard; /* bytes: larger ones are cut to this size once
                              * the server has refused one */
  uint64_t zone_size;        /* bytes; 0: no zones */
  uint64_t nr_zones;
  const struct zone_descriptor *table; /* the export's; NULL: no zones */
  bool persists;                       /* as in the options */
  struct ublk_params params;
};

/* Returns 0, or -EINVAL with the reason in *why. */
int plan_make (struct device_plan *plan, const struct plan_export *export,
               const struct plan_options *options, struct message *why);

/* Does TABLE, of N descriptors, look like the zone table of a device of SIZE
 * bytes?  Only the first descriptor is looked at, and has to be there.  It may
 * be something else: some servers have an export of any name.
 */
bool plan_is_table (const struct zone_descriptor *table, uint64_t n,
                    uint64_t size);

#endif /* NULLBLK_UBLKDRV_UBLK_PLAN_H */
