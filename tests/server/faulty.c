/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A server with a device that does wrong; see faulty.h.
 */

#include <config.h>

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "faulty.h"

uint8_t buf[64 * KIB], other_buf[64 * KIB], out[64 * KIB];
struct nbd_handle *h, *config, *stats, *zones;

void
serve_and_connect (const char *const *args)
{
  serve_with_control (args, &h, &config, &stats);
  memset (buf, 0xaa, sizeof buf);
  memset (other_buf, 0x33, sizeof other_buf);
}

int
write_at (uint64_t offset)
{
  return nbd_pwrite (h, buf, BLOCK, offset, 0);
}

int
request (enum operation op)
{
  return request_in_zone (h, zones, op, op == OP_ZONE);
}

struct zone_descriptor
descriptor (unsigned zone)
{
  struct zone_descriptor d;

  assert_done (nbd_pread (zones, &d, sizeof d, zone * sizeof d, 0));
  return d;
}

uint64_t
write_pointer (unsigned zone)
{
  return le64toh (descriptor (zone).wp) * 512 - zone * ZONE;
}

void
set_rule (const char *rule)
{
  char lines[160];

  snprintf (lines, sizeof lines, "fault-delete=all\nfault=%s\n", rule);
  change_settings (config, lines);
}
