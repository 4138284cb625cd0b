/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device with a volatile write cache; see blocks.h.
 */

#include <config.h>

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "blocks.h"
#include "power/durability-internal.h"

const struct power_cut lose_all = {.lose = LOSE_ALL};
const struct power_cut lose_none = {.lose = LOSE_NONE};

/* With such a lock, a program ends where a thread gives it back that does not
 * have it, or takes it twice: see lock.h.
 */
static void
check_lock (struct durability *d)
{
  pthread_mutexattr_t attr;

  pthread_mutexattr_init (&attr);
  pthread_mutexattr_settype (&attr, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_destroy (&d->lock);
  assert_int_equal (pthread_mutex_init (&d->lock, &attr), 0);
  pthread_mutexattr_destroy (&attr);
}

struct device
new_device (uint64_t cache_size, uint64_t limit, uint32_t block_size)
{
  const struct arena_options a = {.limit = limit,
                                  .volumes = 2,
                                  .volume_size = 64 * MIB,
                                  .kernel_page = 4096};
  struct device dev = {.block_size = block_size};
  struct durability_options o = {
      .volume = VOLUME, .block_size = block_size, .cache_size = cache_size};

  assert_int_equal (store_create (&dev.store, &a), 0);
  o.store = dev.store;
  assert_int_equal (durability_create (&dev.d, &o), 0);
  check_lock (dev.d);
  return dev;
}

struct device
new_zoned_device (uint64_t cache_size)
{
  struct device dev = new_device (cache_size, 64 * MIB, BLOCK);
  const struct durability_options o = {.store = dev.store,
                                       .volume = VOLUME,
                                       .block_size = BLOCK,
                                       .cache_size = cache_size,
                                       .zones_start = 4 * MIB,
                                       .zone_size = MIB,
                                       .nr_zones = 4};

  durability_destroy (dev.d);
  assert_int_equal (durability_create (&dev.d, &o), 0);
  check_lock (dev.d);
  return dev;
}

void
destroy_device (struct device *dev)
{
  durability_destroy (dev->d);
  store_trim (dev->store, 0, 64 * MIB, 0);
  store_trim (dev->store, VOLUME, 64 * MIB, 0);
  assert_int_equal (store_charged (dev->store), 0);
  store_destroy (dev->store);
}

int
try_to_write (struct device *dev, uint64_t first, uint64_t nr, uint8_t byte,
              bool fua)
{
  const uint64_t count = nr * dev->block_size;
  void *buf = malloc (count);
  int r;

  memset (buf, byte, count);
  r = durability_write (dev->d, buf, count, first * dev->block_size, fua);
  if (r == 1)
    durability_finish_cut (dev->d);
  free (buf);
  return r;
}

void
write_blocks (struct device *dev, uint64_t first, uint64_t nr, uint8_t byte)
{
  assert_int_equal (try_to_write (dev, first, nr, byte, false), 0);
}

void
write_fua (struct device *dev, uint64_t first, uint64_t nr, uint8_t byte)
{
  assert_int_equal (try_to_write (dev, first, nr, byte, true), 0);
}

void
flush (struct device *dev)
{
  assert_int_equal (durability_flush (dev->d), 0);
}

int
cut_power (struct device *dev, const struct power_cut *c)
{
  const int r = durability_begin_cut (dev->d, c);

  if (r == 0)
    durability_finish_cut (dev->d);
  return r;
}

void
cut (struct device *dev, const struct power_cut *c)
{
  assert_int_equal (cut_power (dev, c), 0);
  assert_int_equal (durability_restore_power (dev->d), 0);
}

uint8_t
byte_of (struct device *dev, uint64_t block)
{
  char *buf = malloc (dev->block_size);
  uint8_t byte;

  store_read (dev->store, VOLUME, buf, dev->block_size,
              block * dev->block_size);
  byte = buf[0];
  assert_memory_equal (buf, buf + 1, dev->block_size - 1);
  free (buf);
  return byte;
}

void
assert_blocks (struct device *dev, uint64_t first, uint64_t nr, uint8_t byte)
{
  for (; nr > 0; first++, nr--)
    assert_int_equal (byte_of (dev, first), byte);
}

struct durability_status
status (struct device *dev)
{
  struct durability_status s;

  durability_status (dev->d, &s);
  return s;
}
