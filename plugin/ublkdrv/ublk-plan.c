/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The block device as it will be; see ublk-plan.h.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ublk-plan.h"

#define SECTOR (UINT64_C (1) << ZONE_SECTOR_SHIFT)

/* The largest request, unless a report of all zones is larger.  The kernel
 * makes requests of 1280 KiB at most by itself (4 MiB since Linux 6.19).
 */
#define DEFAULT_MAX_IO (UINT64_C (4) << 20)

/* By NBD's rules a server that names no limit takes requests up to this size.
 */
#define NBD_MAX_REQUEST (UINT64_C (32) << 20)

/* The largest append.  btrfs makes an extent as large as an append may be, and
 * takes the order in which the checksums of its bios are ready for the order of
 * the data (Linux 6.12).  A bio has 256 pages at least, so up to this size an
 * extent is one bio.
 */
#define MAX_APPEND (UINT64_C (1) << 20)

/* One discard or write of zeroes has no more bytes: NBD counts them in 32 bits.
 */
#define MAX_CLEARED (UINT64_C (1) << 30)

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

static bool
is_power_of_two (uint64_t n)
{
  return n != 0 && (n & (n - 1)) == 0;
}

static unsigned
shift_of (uint64_t power_of_two)
{
  return __builtin_ctzll (power_of_two);
}

/* At most UINT64_MAX, which is no number of bytes of any zone. */
static uint64_t
bytes (uint64_t little_endian_sectors)
{
  const uint64_t sectors = le64toh (little_endian_sectors);

  return sectors <= UINT64_MAX / SECTOR ? sectors * SECTOR : UINT64_MAX;
}

bool
plan_is_table (const struct zone_descriptor *table, uint64_t n, uint64_t size)
{
  const uint64_t sectors = le64toh (table[0].len);

  return n > 0 && table[0].start == 0 && sectors > 0 &&
         sectors <= UINT64_MAX / SECTOR / n &&
         (table[0].type == ZONE_TYPE_CONVENTIONAL ||
          table[0].type == ZONE_TYPE_SEQUENTIAL) &&
         n * sectors * SECTOR >= size && (n - 1) * sectors * SECTOR < size;
}

/*---------------------------------------------------------------------*/
/* Blocks */

static int
plan_blocks (struct device_plan *plan, const struct plan_export *e,
             const struct plan_options *o, struct message *why)
{
  const uint64_t block = e->block_size > SECTOR ? e->block_size : SECTOR;
  uint64_t physical = e->preferred_block;
  struct ublk_params *p = &plan->params;

  if (!is_power_of_two (block))
    return refuse (why,
                   "its blocks have %" PRIu64 " bytes: the kernel wants "
                   "a power of two",
                   block);
  if (block > o->page_size)
    return refuse (why,
                   "its blocks have %" PRIu64 " bytes: the kernel's ublk "
                   "driver takes up to %u, a page of memory",
                   block, o->page_size);
  if (e->size == 0)
    return refuse (why, "the export is empty");
  if (e->size > INT64_MAX)
    return refuse (why, "the export is larger than a device can be");
  if (e->size % block != 0)
    return refuse (why,
                   "its size is %" PRIu64 " bytes, which is not a multiple of "
                   "its blocks of %" PRIu64,
                   e->size, block);
  if (!is_power_of_two (physical) || physical > o->page_size)
    physical = o->page_size;
  if (physical < block)
    physical = block;
  p->logical_block_shift = shift_of (block);
  p->physical_block_shift = shift_of (physical);
  p->io_min_shift = p->io_opt_shift = p->physical_block_shift;
  p->sectors = e->size / SECTOR;
  return 0;
}

/* The largest request that the server is sure to take. */
static uint64_t
largest_request (const struct plan_export *e)
{
  return e->max_request != 0 ? e->max_request : NBD_MAX_REQUEST;
}

/* Sizes of requests.  Each report of zones has to be one. */
static int
plan_requests (struct device_plan *plan, const struct plan_export *e,
               const struct plan_options *o, struct message *why)
{
  const uint64_t most = largest_request (e);
  const uint64_t report = e->nr_zones * ZONE_DESCRIPTOR_SIZE;
  uint64_t most_report = (uint64_t) MAX_REPORT_PAGES * o->page_size;
  uint64_t max_io = DEFAULT_MAX_IO;

  if (most_report > UBLK_MAX_IO)
    most_report = UBLK_MAX_IO;
  while (max_io > most)
    max_io /= 2;
  if (max_io < o->page_size)
    return refuse (why,
                   "it takes requests of up to %" PRIu64 " bytes: the kernel "
                   "makes some of %u, a page of memory",
                   most, o->page_size);
  if (report > most_report)
    return refuse (why,
                   "it has %" PRIu64 " zones: the kernel's ublk driver can "
                   "report up to %" PRIu64,
                   e->nr_zones, most_report / ZONE_DESCRIPTOR_SIZE);
  while (max_io < report)
    max_io *= 2;
  if (max_io > most)
    return refuse (why,
                   "it takes requests of up to %" PRIu64 " bytes, and has "
                   "%" PRIu64 " zones: reports of all of them need requests "
                   "of %" PRIu64 " bytes",
                   most, e->nr_zones, max_io);
  plan->max_io = max_io;
  plan->params.max_sectors = max_io / SECTOR;
  return 0;
}

/*---------------------------------------------------------------------*/
/* Zones */

/* The first zone that differs from what the kernel wants, if any. */
static int
check_table (const struct plan_export *e, const struct plan_options *o,
             uint64_t size, struct message *why)
{
  const struct zone_descriptor *d;
  uint64_t i, capacity = 0;

  for (i = 0; i < e->nr_zones; i++) {
    d = &e->table[i];
    if (bytes (d->start) != i * size || bytes (d->len) != size)
      return refuse (why,
                     "zone %" PRIu64 " begins at %" PRIu64 " and has %" PRIu64
                     " bytes: the kernel wants zones that are all of one size",
                     i, bytes (d->start), bytes (d->len));
    if (d->type == ZONE_TYPE_CONVENTIONAL && d->cond == ZONE_COND_NOT_WP) {
      if (bytes (d->capacity) != size)
        return refuse (why,
                       "zone %" PRIu64 " is conventional and has a capacity of "
                       "%" PRIu64 " bytes: the kernel wants the zone's size",
                       i, bytes (d->capacity));
      continue;
    }
    if (d->type != ZONE_TYPE_SEQUENTIAL || d->cond == ZONE_COND_NOT_WP)
      return refuse (why,
                     "zone %" PRIu64 " is neither conventional nor to be "
                     "written sequentially (type %u, condition %u)",
                     i, d->type, d->cond);
    if (d->capacity == 0 || bytes (d->capacity) > size)
      return refuse (why,
                     "zone %" PRIu64 " has a capacity of %" PRIu64
                     " bytes: the kernel wants from 1 sector to the zone's "
                     "size",
                     i, bytes (d->capacity));
    if (capacity == 0)
      capacity = bytes (d->capacity);
    if (bytes (d->capacity) != capacity && i + 1 < e->nr_zones)
      return refuse (why,
                     "zone %" PRIu64 " has a capacity of %" PRIu64 " bytes, "
                     "and others have %" PRIu64 ": the kernel wants one "
                     "capacity for all but the last",
                     i, bytes (d->capacity), capacity);
  }
  if (capacity == 0)
    return refuse (
        why,
        "all its zones are conventional: the kernel's ublk driver "
        "wants one at least that is not%s",
        o->always_with_zones ? "" : "; --zones=no attaches it without zones");
  return 0;
}

static int
check_limits (const struct plan_export *e, struct message *why)
{
  if (e->max_open > e->nr_zones || e->max_active > e->nr_zones)
    return refuse (why,
                   "its limits are %" PRIu64 " open and %" PRIu64
                   " active zones: the kernel takes no more than there are "
                   "zones, %" PRIu64,
                   e->max_open, e->max_active, e->nr_zones);
  if (e->max_active != 0 && e->max_open > e->max_active)
    return refuse (why,
                   "%" PRIu64 " zones may be open, and only %" PRIu64
                   " active: the kernel wants it the other way round",
                   e->max_open, e->max_active);
  return 0;
}

static int
plan_zones (struct device_plan *plan, const struct plan_export *e,
            const struct plan_options *o, struct message *why)
{
  const uint64_t size = bytes (e->table[0].len);
  struct ublk_params *p = &plan->params;
  int r;

  if (!is_power_of_two (size))
    return refuse (why,
                   "its zones have %" PRIu64 " bytes: the kernel wants a "
                   "power of two",
                   size);
  if (size >> p->logical_block_shift == 0)
    return refuse (why, "its zones are smaller than its blocks");
  if (size / SECTOR > UINT32_C (1) << 31)
    return refuse (why,
                   "its zones have %" PRIu64 " bytes: the kernel counts "
                   "their sectors in 32 bits",
                   size);
  if (e->nr_zones * size != e->size)
    return refuse (why,
                   "its last zone is shorter than others, which have %" PRIu64
                   " bytes: the kernel's ublk driver wants whole zones",
                   size);
  r = check_table (e, o, size, why);
  if (r == 0)
    r = check_limits (e, why);
  if (r < 0)
    return r;
  plan->zone_size = size;
  plan->nr_zones = e->nr_zones;
  plan->table = e->table;
  p->types |= UBLK_PARAM_TYPE_ZONED;
  p->chunk_sectors = size / SECTOR;
  p->max_open_zones = e->max_open;
  p->max_active_zones = e->max_active;
  p->max_append_sectors =
      min (min (p->max_sectors, p->chunk_sectors), MAX_APPEND / SECTOR);
  return 0;
}

/*---------------------------------------------------------------------*/

/* Without zones: a zoned device is reset, which is a command of its own.
 * Discards have no data, so most servers take larger ones than the largest
 * request that they tell of; those that do not take them get parts.
 */
static void
plan_clearing (struct device_plan *plan, const struct plan_export *e)
{
  struct ublk_params *p = &plan->params;

  if (!e->can_trim && !e->can_zero)
    return;
  p->types |= UBLK_PARAM_TYPE_DISCARD;
  p->discard_granularity = 1u << p->physical_block_shift;
  p->max_discard_segments = 1;
  plan->fallback_discard = MAX_CLEARED;
  while (plan->fallback_discard > largest_request (e))
    plan->fallback_discard /= 2;
  if (e->can_trim)
    p->max_discard_sectors = MAX_CLEARED / SECTOR;
  if (e->can_zero)
    p->max_write_zeroes_sectors = MAX_CLEARED / SECTOR;
}

int
plan_make (struct device_plan *plan, const struct plan_export *e,
           const struct plan_options *o, struct message *why)
{
  struct ublk_params *p = &plan->params;
  int r;

  memset (plan, 0, sizeof *plan);
  p->length = sizeof *p;
  p->types = UBLK_PARAM_TYPE_BASIC;
  r = plan_blocks (plan, e, o, why);
  if (r == 0)
    r = plan_requests (plan, e, o, why);
  if (r == 0 && e->table != NULL)
    r = plan_zones (plan, e, o, why);
  if (r < 0)
    return r;
  if (e->read_only || o->read_only)
    p->attributes |= UBLK_ATTR_READ_ONLY;
  if (o->rotational)
    p->attributes |= UBLK_ATTR_ROTATIONAL;
  if (e->can_flush)
    p->attributes |= UBLK_ATTR_VOLATILE_CACHE;
  if (e->can_flush && e->can_fua)
    p->attributes |= UBLK_ATTR_FUA;
  if (e->table != NULL && e->commands_refused &&
      (p->attributes & UBLK_ATTR_READ_ONLY) == 0)
    return refuse (why, "its exports .zones and .config are read-only, so no "
                        "zone can be reset; --read-only attaches it as a "
                        "read-only device, and --zones=no without zones");
  if (e->table == NULL && (p->attributes & UBLK_ATTR_READ_ONLY) == 0)
    plan_clearing (plan, e);

  plan->persists = o->persists;
  plan->depth = o->depth;
  plan->queues = o->queues != 0 && o->queues < o->cpus ? o->queues : o->cpus;
  if (!e->multi_conn || plan->queues == 0)
    plan->queues = 1;
  return 0;
}
