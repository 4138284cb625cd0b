/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The zone table, shown; see ctl-zones.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl-zones.h"
#include "zonetable.h"

/* The most zones that a map is made of: a table of 4 MiB. */
#define MAX_MAPPED 65536

#define fail(why, ...) (message_set (why, __VA_ARGS__), false)

bool
zones_parse_conds (const char *text, unsigned *wanted, struct message *why)
{
  const char *p = text;
  unsigned i;

  *wanted = 0;
  for (;;) {
    i = zone_cond_parse (p);
    if (i == NR_ZONE_CONDS || (p[2] != '\0' && p[2] != ','))
      return fail (why,
                   "%.80s: allowed are em, oi, oe, cl, fu, ro, ol, nw, with "
                   "commas between them",
                   text);
    *wanted |= 1u << i;
    if (p[2] == '\0')
      return true;
    p += 3;
  }
}

/*---------------------------------------------------------------------*/
/* Reports */

static const char *
type_letters (const struct zone_descriptor *d)
{
  return d->type == ZONE_TYPE_CONVENTIONAL ? "cnv" : "swr";
}

/* Print zbd's line, digit for digit, except for zones that have lost their
 * write pointer.
 */
static void
print_line (FILE *fp, uint64_t zone, const struct zone_descriptor *d)
{
  fprintf (fp,
           "Zone %05" PRIu64 ": %s, ofst %014" PRIu64 ", len %014" PRIu64
           ", cap %014" PRIu64,
           zone, type_letters (d), zone_field_bytes (d->start),
           zone_field_bytes (d->len), zone_field_bytes (d->capacity));
  if (d->type == ZONE_TYPE_CONVENTIONAL) {
    fputc ('\n', fp);
    return;
  }
  if (zone_has_wp (d))
    fprintf (fp, ", wp %014" PRIu64, zone_field_bytes (d->wp));
  else
    fputs (", wp --------------", fp);
  fprintf (fp, ", %s, non_seq %u, reset %u\n", zone_cond_letters (d->cond),
           d->non_seq, d->reset);
}

static void
print_json (FILE *fp, uint64_t zone, const struct zone_descriptor *d)
{
  fprintf (fp,
           "  {\"zone\": %" PRIu64 ", \"type\": \"%s\", \"ofst\": %" PRIu64
           ", \"len\": %" PRIu64 ", \"cap\": %" PRIu64 ", \"wp\": ",
           zone, type_letters (d), zone_field_bytes (d->start),
           zone_field_bytes (d->len), zone_field_bytes (d->capacity));
  if (zone_has_wp (d))
    fprintf (fp, "%" PRIu64, zone_field_bytes (d->wp));
  else
    fputs ("null", fp);
  fprintf (fp, ", \"cond\": \"%s\"}", zone_cond_letters (d->cond));
}

static bool
report (FILE *fp, struct nbd_handle *h, struct zone_descriptor *zones,
        const struct zones_query *query, struct message *why)
{
  const char *between = "";
  uint64_t zone, last, n, i;
  struct zonetable t;

  if (!zonetable_open (&t, h, why))
    return false;
  zone = query->from;
  last = t.nr_zones;
  if (zone >= last)
    return fail (why,
                 "zone %" PRIu64 ": there are %" PRIu64 " zones, from 0 on",
                 zone, last);
  if (query->count != 0 && query->count < last - zone)
    last = zone + query->count;
  if (query->json)
    fputs ("[", fp);
  for (; zone < last; zone += n) {
    n = last - zone < ZONETABLE_PIECE ? last - zone : ZONETABLE_PIECE;
    if (!zonetable_read (&t, zones, zone, n, why))
      return false;
    for (i = 0; i < n; i++) {
      if (query->conds != 0 && (query->conds >> zones[i].cond & 1) == 0)
        continue;
      if (query->json) {
        fprintf (fp, "%s\n", between);
        print_json (fp, zone + i, &zones[i]);
      }
      else
        print_line (fp, zone + i, &zones[i]);
      between = ",";
    }
  }
  if (query->json)
    fputs ("\n]\n", fp);
  return true;
}

bool
zones_report (FILE *fp, const struct server_address *s,
              const struct zones_query *query, struct message *why)
{
  struct zone_descriptor *zones;
  struct nbd_handle *h;
  bool ok;

  h = server_open (s, ".zones", why);
  if (h == NULL)
    return false;
  zones = calloc (ZONETABLE_PIECE, sizeof *zones);
  ok = zones != NULL ? report (fp, h, zones, query, why)
                     : fail (why, "%s", strerror (ENOMEM));
  free (zones);
  server_close (h);
  return ok;
}

/*---------------------------------------------------------------------*/
/* The map */

/* The letter for the N zones from D on; nullblkctl(1), top, explains it. */
static char
map_letter (const struct zone_descriptor *d, uint64_t n)
{
  double written = 0, capacity = 0;
  uint64_t i, used;

  for (i = 0; i < n; i++) {
    if (!zone_has_wp (&d[i]))
      continue;
    used = zone_field_bytes (d[i].wp) - zone_field_bytes (d[i].start);
    written += used < zone_field_bytes (d[i].capacity)
                   ? used
                   : zone_field_bytes (d[i].capacity);
    capacity += zone_field_bytes (d[i].capacity);
  }
  if (capacity == 0)
    return d->cond == ZONE_COND_OFFLINE    ? 'x'
           : d->cond == ZONE_COND_READONLY ? 'r'
                                           : 'c';
  if (written == 0)
    return '.';
  return "1123456789#"[(int) (written / capacity * 10)];
}

/* Read all descriptors of a table.  Returns them, to be freed; or NULL and the
 * reason in *why.
 */
static struct zone_descriptor *
read_all (const struct zonetable *t, struct message *why)
{
  struct zone_descriptor *zones = calloc (t->nr_zones, sizeof *zones);
  uint64_t first, n;

  if (zones == NULL)
    message_set (why, "%s", strerror (ENOMEM));
  for (first = 0; zones != NULL && first < t->nr_zones; first += n) {
    n = t->nr_zones - first;
    if (n > ZONETABLE_PIECE)
      n = ZONETABLE_PIECE;
    if (!zonetable_read (t, &zones[first], first, n, why)) {
      free (zones);
      zones = NULL;
    }
  }
  return zones;
}

char *
zones_map (struct nbd_handle *h, size_t cells, uint64_t *group,
           struct message *why)
{
  struct zone_descriptor *zones;
  struct zonetable t;
  uint64_t i, n;
  char *map;

  if (cells == 0 || !zonetable_open (&t, h, why))
    return NULL;
  if (t.nr_zones > MAX_MAPPED) {
    message_set (why, "more than %d zones", MAX_MAPPED);
    return NULL;
  }
  zones = read_all (&t, why);
  if (zones == NULL)
    return NULL;
  *group = (t.nr_zones + cells - 1) / cells;
  map = calloc (t.nr_zones / *group + 2, 1);
  if (map == NULL)
    message_set (why, "%s", strerror (ENOMEM));
  for (i = 0; map != NULL && i * *group < t.nr_zones; i++) {
    n = t.nr_zones - i * *group;
    map[i] = map_letter (&zones[i * *group], n < *group ? n : *group);
  }
  free (zones);
  return map;
}
