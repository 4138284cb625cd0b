/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The devices of a server and the path of a request through one.  plugin.c
 * calls these from any number of threads; it has checked, as nbdkit does, that
 * offset and count lie within the device and that count is not 0.
 *
 * All sizes are in bytes.  Functions that return int give 0 or a negative
 * errno: -EINVAL where offset or count is not a multiple of the block size,
 * -EROFS for a change to a read-only device, -ENOSPC where memory-limit is in
 * the way; a request that fails has changed nothing.
 */

#ifndef NULLBLK_DEVICE_H
#define NULLBLK_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "params.h"
#include "store.h"

/* One device: an export.
 *
 * Lock order: the store's stripes, in ascending order (store.c); nothing else
 * locks.
 */
struct device {
  char name[16]; /* nullb0 and up */
  uint32_t number;
  const struct settings *settings;
  struct store *store; /* shared by all devices; NULL in null mode */
};

/* All devices of a server, made from one command line. */
struct devices {
  struct settings settings;
  struct store *store; /* NULL in null mode */
  uint32_t count;
  struct device *device;
};

/* Returns 0, or -ENOMEM, or what store_create fails with. */
int devices_create (struct devices **devices, const struct settings *settings);
void devices_destroy (struct devices *devices);

/* The device that an export name means: "" is nullb0.  NULL if none. */
struct device *devices_find (struct devices *devices, const char *name);

/* What it is, for a list of exports. */
void device_describe (const struct device *d, char *buf, size_t len);

int device_read (struct device *d, void *buf, uint32_t count, uint64_t offset);
int device_write (struct device *d, const void *buf, uint32_t count,
                  uint64_t offset);

/* Make zero.  MAY_TRIM allows to give the memory back; without it the range
 * holds memory afterwards, so that a later write to it cannot meet the limit.
 */
int device_zero (struct device *d, uint32_t count, uint64_t offset,
                 bool may_trim);

/* Give memory back.  Without discard=true it does nothing and succeeds. */
int device_trim (struct device *d, uint32_t count, uint64_t offset);

/* Make what was acknowledged durable: as durable as RAM is. */
int device_flush (struct device *d);

/* Prepare to read: RAM is always prepared. */
int device_cache (struct device *d, uint32_t count, uint64_t offset);

/* Is the 4 KiB page at OFFSET data (*data) or a hole?  On success *end_of_run
 * is where that changes, at most OFFSET + COUNT.
 */
int device_extent (struct device *d, uint32_t count, uint64_t offset,
                   bool *data, uint64_t *end_of_run);

#endif /* NULLBLK_DEVICE_H */
