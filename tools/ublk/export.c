/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The export; see export.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "export.h"

/* How long it may take to connect to a server, or to read from it. */
#define ANSWER_SECONDS 30

/* How many bytes to read at once, which every server allows. */
#define PIECE (UINT64_C (1) << 20)

/* How many bytes of .config to read at most.  The settings come first. */
#define MAX_CONFIG 65536

/* More than plan_make takes. */
#define MAX_TABLE_ZONES (UINT32_C (1) << 24)

#define fail(why, ...) (message_set (why, __VA_ARGS__), -EIO)

static int
read_all (struct nbd_handle *h, void *buf, uint64_t size, struct message *why)
{
  uint64_t at, n;

  for (at = 0; at < size; at += n) {
    n = size - at < PIECE ? size - at : PIECE;
    if (connection_read (h, (char *) buf + at, n, at, ANSWER_SECONDS, why) < 0)
      return -EIO;
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
ask_export (struct nbd_handle *h, struct plan_export *e, struct message *why)
{
  const int64_t size = nbd_get_size (h);

  memset (e, 0, sizeof *e);
  if (size == -1)
    return fail (why, "%s", nbd_get_error ());
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

/* Does the server say the same of the export by two connections? */
static bool
is_same_export (const struct plan_export *a, const struct plan_export *b)
{
  return a->size == b->size && a->block_size == b->block_size &&
         a->preferred_block == b->preferred_block &&
         a->max_request == b->max_request && a->read_only == b->read_only &&
         a->can_flush == b->can_flush && a->can_fua == b->can_fua &&
         a->can_trim == b->can_trim && a->can_zero == b->can_zero &&
         a->multi_conn == b->multi_conn;
}

/*---------------------------------------------------------------------*/
/* Connections */

/* Connect to the export, or to the one with ENDING (connection_open).  A name
 * may have the addresses of several servers, whose exports look the same: all
 * connections must be to the server of the first.
 */
static struct nbd_handle *
connect_to (const struct export *e, const char *ending, bool *missing,
            struct message *why)
{
  struct nbd_handle *h =
      connection_open (e->uri, ending, e->patience, missing, why);
  const uint64_t peer = h != NULL ? connection_peer (h) : 0;

  if (h == NULL || e->peer == 0 || e->peer == peer)
    return h;
  connection_close (h);
  message_set (why,
               peer == 0
                   ? "%s: the server has closed a connection at once"
                   : "%s: its connections are to different servers, as their "
                     "name has several addresses; a URI with one of these "
                     "attaches it",
               e->uri);
  return NULL;
}

/*---------------------------------------------------------------------*/
/* Zones */

/* Some servers have an export of whatever name they are asked for.  Then what
 * is read is no table of zones, as the first descriptor shows, and *missing
 * becomes true.
 */
static int
read_table (struct export *e, bool *missing, struct message *why)
{
  struct plan_export *p = &e->plan_export;
  const int64_t size = nbd_get_size (e->first.zones);
  const uint64_t n = size > 0 ? size / ZONE_DESCRIPTOR_SIZE : 0;
  int r;

  if (size == -1)
    return fail (why, "%s", nbd_get_error ());
  *missing = n == 0 || size % ZONE_DESCRIPTOR_SIZE != 0;
  if (!*missing) {
    r = read_all (e->first.zones, &e->first_zone, sizeof e->first_zone, why);
    if (r < 0)
      return r;
    *missing = !plan_is_table (&e->first_zone, n, p->size);
  }
  if (*missing)
    return fail (why, "it is no zone table");
  if (n > MAX_TABLE_ZONES)
    return fail (why, "it has more than %u zones", MAX_TABLE_ZONES);
  e->table = malloc (size);
  if (e->table == NULL)
    return fail (why, "%s", strerror (ENOMEM));
  if (read_all (e->first.zones, e->table, size, why) < 0)
    return -EIO;
  p->table = e->table;
  p->nr_zones = n;
  return 0;
}

static int
read_config (struct export *e, struct message *why)
{
  static char text[MAX_CONFIG + 1];
  const int64_t size = nbd_get_size (e->first.config);
  const uint64_t n = size < 0 ? 0 : size < MAX_CONFIG ? size : MAX_CONFIG;

  if (read_all (e->first.config, text, n, why) < 0)
    return -EIO;
  text[n] = '\0';
  e->plan_export.max_open = zoned_config_limit (text, "zone-max-open");
  e->plan_export.max_active = zoned_config_limit (text, "zone-max-active");
  e->plan_export.commands_refused = nbd_is_read_only (e->first.zones) == 1 ||
                                    nbd_is_read_only (e->first.config) == 1;
  e->holds_early_writes = zoned_config_has_duration (text, "zone-reorder-wait");
  return 0;
}

static int
ask_zones (struct export *e, enum zones_wanted zones, struct message *why)
{
  struct message reason;
  bool missing;

  if (zones == WANT_ZONES_NO)
    return 0;
  e->first.zones = connect_to (e, ".zones", &missing, why);
  if (e->first.zones == NULL)
    return missing && zones == WANT_ZONES_AUTO ? 0 : -EIO;
  if (read_table (e, &missing, &reason) < 0) {
    if (missing && zones == WANT_ZONES_AUTO) {
      connection_close (e->first.zones);
      e->first.zones = NULL;
      return 0;
    }
    return fail (why, "%s: its export .zones: %s", e->uri, reason.text);
  }
  e->first.config = connect_to (e, ".config", &missing, why);
  if (e->first.config == NULL)
    return -EIO;
  if (read_config (e, &reason) < 0)
    return fail (why, "%s: its export .config: %s", e->uri, reason.text);
  return 0;
}

/*---------------------------------------------------------------------*/

int
export_open (struct export *e, const char *uri, enum zones_wanted zones,
             struct message *why)
{
  struct message reason;
  bool missing;
  int r;

  memset (e, 0, sizeof *e);
  e->uri = uri;
  e->patience = ANSWER_SECONDS;
  e->first.data = connect_to (e, NULL, &missing, why);
  if (e->first.data == NULL)
    return -EIO;
  e->peer = connection_peer (e->first.data);
  r = ask_export (e->first.data, &e->plan_export, &reason);
  if (r < 0)
    message_set (why, "%s: %s", uri, reason.text);
  else
    r = ask_zones (e, zones, why);
  if (r < 0) {
    export_disconnect (&e->first);
    export_close (e);
  }
  return r;
}

/* Fail if C's connections are to another export than E. */
static int
check_same (const struct export *e, const struct queue_connections *c,
            struct message *why)
{
  struct plan_export now;

  if (ask_export (c->data, &now, why) < 0)
    return -EIO;
  if (!is_same_export (&now, &e->plan_export) ||
      (c->zones != NULL &&
       nbd_get_size (c->zones) !=
           (int64_t) e->plan_export.nr_zones * ZONE_DESCRIPTOR_SIZE))
    return fail (why, "%s: its connections are to different exports", e->uri);
  return 0;
}

int
export_connect (const struct export *e, struct queue_connections *c,
                struct message *why)
{
  const bool zoned = e->plan_export.table != NULL;
  bool missing;

  memset (c, 0, sizeof *c);
  c->data = connect_to (e, NULL, &missing, why);
  if (c->data != NULL && zoned)
    c->zones = connect_to (e, ".zones", &missing, why);
  if (c->zones != NULL)
    c->config = connect_to (e, ".config", &missing, why);
  if (c->data == NULL || (zoned && c->config == NULL) ||
      check_same (e, c, why) < 0) {
    export_disconnect (c);
    return -EIO;
  }
  return 0;
}

void
export_disconnect (struct queue_connections *c)
{
  connection_close (c->data);
  connection_close (c->zones);
  connection_close (c->config);
  memset (c, 0, sizeof *c);
}

void
export_close (struct export *e)
{
  free (e->table);
  e->table = NULL;
}
