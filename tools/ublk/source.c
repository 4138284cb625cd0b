/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The export; see source.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "source.h"
#include "zoned.h"

/* How long a server may take to answer. */
#define ANSWER_SECONDS 30

/* What is read at once, as every server allows it. */
#define PIECE (UINT64_C (1) << 20)

/* The settings in .config; what follows is less important. */
#define MOST_CONFIG 65536

/* More than plan_make takes. */
#define MOST_ZONES (UINT32_C (1) << 24)

#define fail(why, ...) (message_set (why, __VA_ARGS__), -EIO)

static int
read_all (struct nbd_handle *h, void *buf, uint64_t size, struct message *why)
{
  uint64_t at, n;

  for (at = 0; at < size; at += n) {
    n = size - at < PIECE ? size - at : PIECE;
    if (nbd_pread (h, (char *) buf + at, n, at, 0) == -1)
      return fail (why, "%s", nbd_get_error ());
  }
  return 0;
}

static uint64_t
block_size (struct nbd_handle *h, int which)
{
  const int64_t n = nbd_get_block_size (h, which);

  return n > 0 ? n : 0;
}

static int
ask_export (struct source *s, struct message *why)
{
  struct nbd_handle *h = s->first.data;
  struct export *e = &s->export;
  const int64_t size = nbd_get_size (h);

  if (size == -1)
    return fail (why, "%s: %s", s->uri, nbd_get_error ());
  e->size = size;
  e->block_size = block_size (h, LIBNBD_SIZE_MINIMUM);
  e->preferred_block = block_size (h, LIBNBD_SIZE_PREFERRED);
  e->max_request = block_size (h, LIBNBD_SIZE_MAXIMUM);
  e->read_only = nbd_is_read_only (h) == 1;
  e->can_flush = nbd_can_flush (h) == 1;
  e->can_fua = nbd_can_fua (h) == 1;
  e->can_trim = nbd_can_trim (h) == 1;
  e->can_zero = nbd_can_zero (h) == 1;
  e->multi_conn = nbd_can_multi_conn (h) == 1;
  return 0;
}

/* Some servers have an export of whatever name they are asked for: then it is
 * no table.
 */
static int
read_table (struct source *s, struct message *why)
{
  struct export *e = &s->export;
  const int64_t size = nbd_get_size (s->first.zones);
  const uint64_t n = size > 0 ? size / ZONE_DESCRIPTOR_SIZE : 0;

  if (n == 0 || size % ZONE_DESCRIPTOR_SIZE != 0)
    return fail (why, "its export .zones is no zone table");
  if (n > MOST_ZONES)
    return fail (why, "it has more than %u zones", MOST_ZONES);
  s->table = malloc (size);
  if (s->table == NULL)
    return fail (why, "%s", strerror (ENOMEM));
  if (read_all (s->first.zones, s->table, size, why) < 0)
    return -EIO;
  if (!plan_is_table (s->table, n, e->size))
    return fail (why, "its export .zones is no zone table");
  e->table = s->table;
  e->nr_zones = n;
  return 0;
}

static int
read_config (struct source *s, struct message *why)
{
  static char text[MOST_CONFIG + 1];
  const int64_t size = nbd_get_size (s->first.config);
  const uint64_t n = size < 0 ? 0 : size < MOST_CONFIG ? size : MOST_CONFIG;

  if (read_all (s->first.config, text, n, why) < 0)
    return -EIO;
  text[n] = '\0';
  s->export.max_open = zoned_limit (text, "zone-max-open");
  s->export.max_active = zoned_limit (text, "zone-max-active");
  s->holds_early_writes = zoned_waits (text, "zone-reorder-wait");
  return 0;
}

static void
drop_zones (struct source *s)
{
  link_disconnect (s->first.zones);
  link_disconnect (s->first.config);
  s->first.zones = s->first.config = NULL;
  free (s->table);
  s->table = NULL;
  s->export.table = NULL;
  s->export.nr_zones = 0;
}

static int
ask_zones (struct source *s, enum zones_wanted zones, struct message *why)
{
  bool missing;

  if (zones == ZONES_NO)
    return 0;
  s->first.zones =
      link_connect (s->uri, ".zones", ANSWER_SECONDS, &missing, why);
  if (s->first.zones == NULL)
    return missing && zones == ZONES_AUTO ? 0 : -EIO;
  if (read_table (s, why) < 0) {
    if (zones == ZONES_YES)
      return -EIO;
    drop_zones (s);
    return 0;
  }
  s->first.config =
      link_connect (s->uri, ".config", ANSWER_SECONDS, &missing, why);
  return s->first.config != NULL ? read_config (s, why) : -EIO;
}

int
source_open (struct source *s, const char *uri, enum zones_wanted zones,
             struct message *why)
{
  bool missing;
  int r;

  memset (s, 0, sizeof *s);
  s->uri = uri;
  s->first.data = link_connect (uri, NULL, ANSWER_SECONDS, &missing, why);
  if (s->first.data == NULL)
    return -EIO;
  r = ask_export (s, why);
  if (r == 0)
    r = ask_zones (s, zones, why);
  if (r < 0) {
    source_disconnect (&s->first);
    source_close (s);
  }
  return r;
}

int
source_connect (const struct source *s, struct connections *c,
                struct message *why)
{
  bool missing;

  memset (c, 0, sizeof *c);
  c->data = link_connect (s->uri, NULL, ANSWER_SECONDS, &missing, why);
  if (c->data != NULL && s->export.table != NULL)
    c->zones = link_connect (s->uri, ".zones", ANSWER_SECONDS, &missing, why);
  if (c->zones != NULL)
    c->config = link_connect (s->uri, ".config", ANSWER_SECONDS, &missing, why);
  if (c->data == NULL || (s->export.table != NULL && c->config == NULL)) {
    source_disconnect (c);
    return -EIO;
  }
  if (nbd_get_size (c->data) != (int64_t) s->export.size ||
      (nbd_is_read_only (c->data) == 1) != s->export.read_only) {
    source_disconnect (c);
    return fail (why, "%s: its connections are to different exports", s->uri);
  }
  return 0;
}

void
source_disconnect (struct connections *c)
{
  link_disconnect (c->data);
  link_disconnect (c->zones);
  link_disconnect (c->config);
  memset (c, 0, sizeof *c);
}

void
source_close (struct source *s)
{
  free (s->table);
  s->table = NULL;
}
