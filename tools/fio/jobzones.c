/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The zones of a job's export; see jobzones.h.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "connect.h"
#include "ublkdrv/ublkdrv.h"
#include "jobzones.h"
#include "zonetable.h"

/* How long a server may take to answer. */
#define ANSWER_SECONDS 30

/* fio counts zones, and one more, in an int. */
#define MAX_FIO_ZONES (INT_MAX - 1)

/* The most bytes of .config that are read.  The settings that are looked for
 * are among the first.
 */
#define MAX_CONFIG 65536

/* The most commands that one request has. */
#define MAX_COMMANDS 64

#define fail(why, ...) (message_set (why, __VA_ARGS__), -EIO)

struct job_zones {
  struct nbd_handle *h;
  struct zonetable table;
};

/* Bytes of each zone; the last one may be shorter. */
static uint64_t
size_of_zones (const struct zonetable *t)
{
  return t->zone_len << ZONE_SECTOR_SHIFT;
}

/* Returns 0 if the table is that of an export of SIZE bytes, whose zones have
 * ZONE_SIZE bytes (0: any size).
 */
static int
check_table (const struct zonetable *t, uint64_t size, uint64_t zone_size,
             struct message *why)
{
  struct zone_descriptor d;

  if (!zonetable_read (t, &d, 0, 1, why))
    return -EIO;
  if (t->nr_zones > MAX_FIO_ZONES)
    return fail (why, "it has %llu zones: allowed are up to %d",
                 (unsigned long long) t->nr_zones, MAX_FIO_ZONES);
  if (!plan_is_table (&d, t->nr_zones, size))
    return fail (why, "it is not the table of an export of %llu bytes",
                 (unsigned long long) size);
  if (zone_size != 0 && size_of_zones (t) != zone_size)
    return fail (why, "its zones have %llu bytes, and fio's %llu",
                 (unsigned long long) size_of_zones (t),
                 (unsigned long long) zone_size);
  return 0;
}

struct job_zones *
job_zones_open (const char *uri, uint64_t size, uint64_t zone_size,
                bool *missing, struct message *why)
{
  struct job_zones *z = calloc (1, sizeof *z);
  struct message reason;

  *missing = false;
  if (z == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  z->h = connection_open (uri, ".zones", ANSWER_SECONDS, missing, why);
  if (z->h == NULL) {
    free (z);
    return NULL;
  }
  if (!zonetable_open (&z->table, z->h, &reason) ||
      check_table (&z->table, size, zone_size, &reason) < 0) {
    message_set (why, "%s: its export .zones: %s", uri, reason.text);
    job_zones_close (z);
    return NULL;
  }
  return z;
}

void
job_zones_close (struct job_zones *z)
{
  if (z == NULL)
    return;
  connection_close (z->h);
  free (z);
}

void
job_zones_abandon (struct job_zones *z)
{
  nbd_close (z->h);
  free (z);
}

int
job_zones_report (struct job_zones *z, uint64_t offset,
                  struct zone_descriptor *descriptors, unsigned n,
                  struct message *why)
{
  const uint64_t first = offset / size_of_zones (&z->table);
  uint64_t here;

  if (first >= z->table.nr_zones)
    return fail (why, "there is no zone at %llu", (unsigned long long) offset);
  here = min (min (n, ZONETABLE_PIECE), z->table.nr_zones - first);
  return zonetable_read (&z->table, descriptors, first, here, why) ? (int) here
                                                                   : -EIO;
}

int
job_zones_command (struct job_zones *z, uint64_t offset, uint64_t length,
                   enum zone_cond to, struct message *why)
{
  struct zone_descriptor d[MAX_COMMANDS];
  const uint64_t size = size_of_zones (&z->table);
  uint64_t zone = offset / size, here;
  uint64_t end = min (z->table.nr_zones, (offset + length + size - 1) / size);
  int err;
  unsigned i;

  memset (d, 0, sizeof d);
  for (i = 0; i < MAX_COMMANDS; i++)
    d[i].cond = to;
  for (; zone < end; zone += here) {
    here = min (end - zone, MAX_COMMANDS);
    if (nbd_pwrite (z->h, d, here * sizeof d[0], zone * sizeof d[0], 0) == -1) {
      err = nbd_get_errno ();
      message_set (why, "zones %llu to %llu: %s", (unsigned long long) zone,
                   (unsigned long long) (zone + here - 1),
                   strerror (err != 0 ? err : EIO));
      return err != 0 ? -err : -EIO;
    }
  }
  return 0;
}

void
job_zones_limits (const char *uri, uint64_t *most_open, uint64_t *most_active)
{
  struct message ignored;
  struct nbd_handle *h;
  uint64_t size = 0;
  int64_t told;
  char *text;
  bool missing;

  *most_open = *most_active = 0;
  h = connection_open (uri, ".config", ANSWER_SECONDS, &missing, &ignored);
  text = malloc (MAX_CONFIG + 1);
  told = h != NULL ? nbd_get_size (h) : -1;
  if (told > 0)
    size = min ((uint64_t) told, MAX_CONFIG);
  if (text != NULL && size > 0 &&
      connection_read (h, text, size, 0, ANSWER_SECONDS, &ignored) == 0) {
    text[size] = '\0';
    *most_open = zoned_config_limit (text, "zone-max-open");
    *most_active = zoned_config_limit (text, "zone-max-active");
  }
  connection_close (h);
  free (text);
}
