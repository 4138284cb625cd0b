/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the server tests share of what a device does wrong on purpose, bad
 * blocks, fault rules and power loss: a server with one device, connections to
 * all that it exports, and data to write and to read.
 */

#ifndef NULLBLK_TESTS_FAULTY_H
#define NULLBLK_TESTS_FAULTY_H

#include "client.h"
#include "zones/zones.h"

#define ZONE (64 * KIB)
#define BLOCK 4096

/* Data to write: all 0xaa and all 0x33 once there is a server; and a buffer to
 * read into.
 */
extern uint8_t buf[64 * KIB], other_buf[64 * KIB], out[64 * KIB];

/* Connections to nullb0 and to its control exports; `zones` is made by
 * SERVE_ZONED.
 */
extern struct nbd_handle *h, *config, *stats, *zones;

void serve_and_connect (const char *const *args);

#define SERVE_NULL(...)                                                        \
  serve_and_connect ((const char *const[]){__VA_ARGS__, NULL})
#define SERVE(...) SERVE_NULL ("memory-backed=true", __VA_ARGS__)

/* 16 zones, the first of which is conventional. */
#define SERVE_ZONED(...)                                                       \
  (SERVE ("1M", "zoned=true", "zone-size=64K", "zone-nr-conv=1",               \
          "zone-reorder-wait=0", __VA_ARGS__),                                 \
   zones = connect_to ("nullb0.zones"))

/* Write a block of BUF.  Returns 0 or -1, as libnbd does. */
int write_at (uint64_t offset);

/* The same for any operation: a zone command resets zone 1, the others are for
 * zone 0.
 */
int request (enum operation op);

/* What the zone table says of a zone. */
struct zone_descriptor descriptor (unsigned zone);

/* The write pointer, in bytes from the zone's start. */
uint64_t write_pointer (unsigned zone);

/* Put this rule in the place of all others. */
void set_rule (const char *rule);

#endif /* NULLBLK_TESTS_FAULTY_H */
