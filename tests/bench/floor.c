/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A bound for every plugin: an nbdkit plugin that returns at once.  What it
 * costs is nbdkit's; what another plugin costs above it is its own.  It does
 * not even fill the buffer of a read.
 */

#include <config.h>

#include <stdint.h>

#define NBDKIT_API_VERSION 2
#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS
#include <nbdkit-plugin.h>

static void *
floor_open (int readonly)
{
  (void) readonly;
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t
floor_get_size (void *handle)
{
  (void) handle;
  return INT64_C (1) << 30;
}

static int
floor_can_multi_conn (void *handle)
{
  (void) handle;
  return 1;
}

static int
floor_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
             uint32_t flags)
{
  (void) handle, (void) buf, (void) count, (void) offset, (void) flags;
  return 0;
}

static int
floor_pwrite (void *handle, const void *buf, uint32_t count, uint64_t offset,
              uint32_t flags)
{
  (void) handle, (void) buf, (void) count, (void) offset, (void) flags;
  return 0;
}

static int
floor_trim (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  (void) handle, (void) count, (void) offset, (void) flags;
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "floor",
    .open = floor_open,
    .get_size = floor_get_size,
    .can_multi_conn = floor_can_multi_conn,
    .pread = floor_pread,
    .pwrite = floor_pwrite,
    .trim = floor_trim,
};

/* nbdkit's macro defines it without having declared it. */
struct nbdkit_plugin *plugin_init (void);

NBDKIT_REGISTER_PLUGIN (plugin)
