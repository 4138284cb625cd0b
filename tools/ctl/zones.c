/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The zone table, and commands; see zones.h.  A server says no more than that
 * one of several commands has failed: which it was, and why, is seen from the
 * table before and after.
 */

#include <config.h>

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "zones.h"

/* Descriptors that one request moves: 1 MiB. */
#define PIECE 16384

/* Zones that a map is made of: a table of 4 MiB. */
#define MOST_MAPPED 65536

#define fail(why, ...) (message_set (why, __VA_ARGS__), false)

static const struct {
  const char *letters, *name;
} conds[NR_ZONE_CONDS] = {
    [ZONE_COND_NOT_WP] = {"nw", "conventional"},
    [ZONE_COND_EMPTY] = {"em", "empty"},
    [ZONE_COND_IMP_OPEN] = {"oi", "implicitly open"},
    [ZONE_COND_EXP_OPEN] = {"oe", "explicitly open"},
    [ZONE_COND_CLOSED] = {"cl", "closed"},
    [ZONE_COND_READONLY] = {"ro", "read-only"},
    [ZONE_COND_FULL] = {"fu", "full"},
    [ZONE_COND_OFFLINE] = {"ol", "offline"},
};

static const char *
cond_letters (unsigned cond)
{
  return cond < NR_ZONE_CONDS && conds[cond].letters != NULL
             ? conds[cond].letters
             : "??";
}

static const char *
cond_name (unsigned cond)
{
  return cond < NR_ZONE_CONDS && conds[cond].name != NULL
             ? conds[cond].name
             : "in a condition that is not known";
}

bool
zones_parse_conds (const char *text, unsigned *wanted, struct message *why)
{
  const char *p = text;
  unsigned i;

  *wanted = 0;
  for (;;) {
    for (i = 0; i < NR_ZONE_CONDS; i++) {
      if (conds[i].letters != NULL && strncmp (p, conds[i].letters, 2) == 0)
        break;
    }
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
/* The table */

static bool
read_table (struct nbd_handle *h, struct zone_descriptor *table, uint64_t first,
            uint64_t n, struct message *why)
{
  if (nbd_pread (h, table, n * sizeof *table, first * sizeof *table, 0) == -1)
    return fail (why, "%s", nbd_get_error ());
  return true;
}

/* How many zones there are; 0 and the reason in *why if it is no table. */
static uint64_t
number_of_zones (struct nbd_handle *h, struct message *why)
{
  const int64_t size = nbd_get_size (h);

  if (size > 0 && size % ZONE_DESCRIPTOR_SIZE == 0)
    return size / ZONE_DESCRIPTOR_SIZE;
  message_set (why, "this is no zone table: it has %lld bytes",
               (long long) size);
  return 0;
}

static void
end (struct nbd_handle *h)
{
  nbd_shutdown (h, 0);
  nbd_close (h);
}

static bool
has_wp (const struct zone_descriptor *d)
{
  return d->type == ZONE_TYPE_SEQUENTIAL && le64toh (d->wp) != ZONE_NO_WP;
}

static uint64_t
bytes (uint64_t sectors)
{
  return le64toh (sectors) << ZONE_SECTOR_SHIFT;
}

static const char *
type_letters (const struct zone_descriptor *d)
{
  return d->type == ZONE_TYPE_CONVENTIONAL ? "cnv"
         : d->type == ZONE_TYPE_SEQUENTIAL ? "swr"
                                           : "???";
}

/*---------------------------------------------------------------------*/
/* Reports */

/* Print zbd's line, digit for digit, except for zones that have lost their
 * write pointer.
 */
static void
print_line (FILE *fp, uint64_t zone, const struct zone_descriptor *d)
{
  fprintf (fp,
           "Zone %05" PRIu64 ": %s, ofst %014" PRIu64 ", len %014" PRIu64
           ", cap %014" PRIu64,
           zone, type_letters (d), bytes (d->start), bytes (d->len),
           bytes (d->capacity));
  if (d->type == ZONE_TYPE_CONVENTIONAL) {
    fputc ('\n', fp);
    return;
  }
  if (has_wp (d))
    fprintf (fp, ", wp %014" PRIu64, bytes (d->wp));
  else
    fputs (", wp --------------", fp);
  fprintf (fp, ", %s, non_seq %u, reset %u\n", cond_letters (d->cond),
           d->non_seq, d->reset);
}

static void
print_json (FILE *fp, uint64_t zone, const struct zone_descriptor *d)
{
  fprintf (fp,
           "  {\"zone\": %" PRIu64 ", \"type\": \"%s\", \"ofst\": %" PRIu64
           ", \"len\": %" PRIu64 ", \"cap\": %" PRIu64 ", \"wp\": ",
           zone, type_letters (d), bytes (d->start), bytes (d->len),
           bytes (d->capacity));
  if (has_wp (d))
    fprintf (fp, "%" PRIu64, bytes (d->wp));
  else
    fputs ("null", fp);
  fprintf (fp, ", \"cond\": \"%s\"}", cond_letters (d->cond));
}

static bool
report (FILE *fp, struct nbd_handle *h, struct zone_descriptor *table,
        const struct zones_query *query, struct message *why)
{
  const uint64_t nr_zones = number_of_zones (h, why);
  uint64_t zone = query->from, last = nr_zones, n, i;
  const char *between = "";

  if (nr_zones == 0)
    return false;
  if (zone >= nr_zones)
    return fail (why,
                 "zone %" PRIu64 ": there are %" PRIu64 " zones, from 0 on",
                 zone, nr_zones);
  if (query->count != 0 && query->count < nr_zones - zone)
    last = zone + query->count;
  if (query->json)
    fputs ("[", fp);
  for (; zone < last; zone += n) {
    n = last - zone < PIECE ? last - zone : PIECE;
    if (!read_table (h, table, zone, n, why))
      return false;
    for (i = 0; i < n; i++) {
      if (query->conds != 0 && (query->conds >> (table[i].cond & 31) & 1) == 0)
        continue;
      if (query->json) {
        fprintf (fp, "%s\n", between);
        print_json (fp, zone + i, &table[i]);
      }
      else
        print_line (fp, zone + i, &table[i]);
      between = ",";
    }
  }
  if (query->json)
    fputs ("\n]\n", fp);
  return true;
}

bool
zones_report (FILE *fp, const struct server *s, const struct zones_query *query,
              struct message *why)
{
  struct zone_descriptor *table;
  struct nbd_handle *h;
  bool ok;

  h = server_open (s, ".zones", why);
  if (h == NULL)
    return false;
  table = calloc (PIECE, sizeof *table);
  ok = table != NULL ? report (fp, h, table, query, why)
                     : fail (why, "%s", strerror (ENOMEM));
  free (table);
  end (h);
  return ok;
}

/*---------------------------------------------------------------------*/
/* Commands */

struct range {
  uint64_t first, last;
};

/* Commands to bring zones into a condition, a piece of the table at a time. */
struct commands {
  struct nbd_handle *h;
  enum zone_cond to;
  uint64_t nr_zones;
  struct zone_descriptor asked[PIECE];  /* all alike */
  struct zone_descriptor before[PIECE]; /* where it matters */
  struct zone_descriptor after[PIECE];
};

static bool
parse_number (const char *text, char **end_of_number, uint64_t *n)
{
  errno = 0;
  *n = strtoull (text, end_of_number, 10);
  return isdigit ((unsigned char) text[0]) && errno == 0;
}

static bool
parse_range (const char *text, struct range *r)
{
  char *p;

  if (!parse_number (text, &p, &r->first))
    return false;
  r->last = r->first;
  if (*p == '-' && !parse_number (p + 1, &p, &r->last))
    return false;
  return *p == '\0' && r->first <= r->last;
}

/* The rule that a command to a zone like D has broken. */
static const char *
broken_rule (enum zone_cond to, const struct zone_descriptor *d, int err)
{
  if (d->type == ZONE_TYPE_CONVENTIONAL)
    return "only sequential zones take commands";
  if (d->cond == ZONE_COND_READONLY)
    return "it takes no command until zones readonly has made it empty";
  if (d->cond == ZONE_COND_OFFLINE)
    return "it takes no command until zones offline has made it empty";
  if (err == ENOSPC)
    return "as many zones are open or active as zone-max-open and "
           "zone-max-active allow";
  if (to == ZONE_COND_CLOSED)
    return "only an open zone can be closed";
  if (to == ZONE_COND_EXP_OPEN)
    return "it must be reset before it can be opened";
  return strerror (err);
}

/* Has the command to zone I of a piece been done, as far as its condition
 * shows?  An empty zone cannot be closed, but what is closed becomes empty when
 * nothing is written to it.
 */
static bool
is_done (const struct commands *c, uint64_t i)
{
  const unsigned was = c->before[i].cond, is = c->after[i].cond;

  switch (c->to) {
  case ZONE_COND_CLOSED:
    return is == ZONE_COND_CLOSED ||
           (is == ZONE_COND_EMPTY && was != ZONE_COND_EMPTY);
  case ZONE_COND_READONLY:
  case ZONE_COND_OFFLINE:
    return c->after[i].type != ZONE_TYPE_CONVENTIONAL;
  default:
    return is == c->to;
  }
}

/* The write of commands to N zones from FIRST on has failed with ERR. */
static bool
explain (struct commands *c, uint64_t first, uint64_t n, int err,
         struct message *why)
{
  uint64_t i;

  message_set (why, "%s", strerror (err));
  if (err == EPERM)
    return fail (why, "the device is read-only");
  if ((err != EIO && err != EINVAL && err != ENOSPC) ||
      !read_table (c->h, c->after, first, n, why))
    return false;
  for (i = 0; i < n && is_done (c, i); i++)
    ;
  if (i == n) /* somebody else was there, too */
    return fail (why, "zones %" PRIu64 "-%" PRIu64 ": %s", first, first + n - 1,
                 strerror (err));
  return fail (why, "zone %" PRIu64 " is %s: %s%s", first + i,
               cond_name (c->after[i].cond),
               broken_rule (c->to, &c->after[i], err),
               i > 0 ? "; those before it are done" : "");
}

static bool
command (struct commands *c, const struct range *r, struct message *why)
{
  uint64_t first, n;

  for (first = r->first; first <= r->last; first += n) {
    n = r->last - first < PIECE ? r->last - first + 1 : PIECE;
    if (c->to == ZONE_COND_CLOSED &&
        !read_table (c->h, c->before, first, n, why))
      return false;
    if (nbd_pwrite (c->h, c->asked, n * sizeof c->asked[0],
                    first * sizeof c->asked[0], 0) == -1)
      return explain (c, first, n, nbd_get_errno (), why);
  }
  return true;
}

/* The zones that are meant, those that follow one another together. */
static bool
command_ranges (struct commands *c, char **ranges, bool *bad_usage,
                struct message *why)
{
  struct range r, next;
  char **p;

  for (p = ranges; *p != NULL; p++) {
    if (!parse_range (*p, &r)) {
      *bad_usage = true;
      return fail (why, "%.80s: allowed are zones, such as 3 or 3-9", *p);
    }
    if (r.last >= c->nr_zones)
      return fail (why,
                   "zone %" PRIu64 ": there are %" PRIu64 " zones, from 0 on",
                   r.last, c->nr_zones);
  }
  for (p = ranges; *p != NULL;) {
    parse_range (*p++, &r);
    for (; *p != NULL && parse_range (*p, &next) && next.first == r.last + 1;
         p++)
      r.last = next.last;
    if (!command (c, &r, why))
      return false;
  }
  return true;
}

/* What a command to all zones is for: as drives have it ("select all"), and of
 * ours, which drives have not, all that are not so yet.
 */
static bool
is_meant_by_all (enum zone_cond to, const struct zone_descriptor *d)
{
  const bool is_open =
      d->cond == ZONE_COND_IMP_OPEN || d->cond == ZONE_COND_EXP_OPEN;

  switch (to) {
  case ZONE_COND_EXP_OPEN:
    return d->cond == ZONE_COND_CLOSED;
  case ZONE_COND_CLOSED:
    return is_open;
  case ZONE_COND_FULL:
    return is_open || d->cond == ZONE_COND_CLOSED;
  case ZONE_COND_READONLY:
    return d->type == ZONE_TYPE_SEQUENTIAL && d->cond != ZONE_COND_READONLY &&
           d->cond != ZONE_COND_OFFLINE;
  default:
    return d->type == ZONE_TYPE_SEQUENTIAL && d->cond != ZONE_COND_OFFLINE;
  }
}

static bool
command_all (struct commands *c, struct message *why)
{
  uint64_t first, n, i;
  struct range r;

  for (first = 0; first < c->nr_zones; first += n) {
    n = c->nr_zones - first < PIECE ? c->nr_zones - first : PIECE;
    if (!read_table (c->h, c->after, first, n, why))
      return false;
    for (i = 0; i < n; i++) {
      if (!is_meant_by_all (c->to, &c->after[i]))
        continue;
      r.first = first + i;
      while (i + 1 < n && is_meant_by_all (c->to, &c->after[i + 1]))
        i++;
      r.last = first + i;
      if (!command (c, &r, why))
        return false;
    }
  }
  return true;
}

bool
zones_change (const struct server *s, enum zone_cond to, char **ranges,
              bool *bad_usage, struct message *why)
{
  struct commands *c;
  struct nbd_handle *h;
  unsigned i;
  bool ok;

  *bad_usage = false;
  h = server_open (s, ".zones", why);
  if (h == NULL)
    return false;
  c = calloc (1, sizeof *c);
  if (c == NULL) {
    end (h);
    return fail (why, "%s", strerror (ENOMEM));
  }
  c->h = h;
  c->to = to;
  for (i = 0; i < PIECE; i++)
    c->asked[i].cond = to;
  c->nr_zones = number_of_zones (h, why);
  if (c->nr_zones == 0)
    ok = false;
  else if (ranges[0] != NULL)
    ok = command_ranges (c, ranges, bad_usage, why);
  else
    ok = command_all (c, why);
  free (c);
  end (h);
  return ok;
}

/*---------------------------------------------------------------------*/
/* The map */

/* What is written of N zones, by the letters that the man page explains. */
static char
map_letter (const struct zone_descriptor *d, uint64_t n)
{
  double written = 0, capacity = 0;
  uint64_t i, used;

  for (i = 0; i < n; i++) {
    if (!has_wp (&d[i]))
      continue;
    used = bytes (d[i].wp) - bytes (d[i].start);
    written += used < bytes (d[i].capacity) ? used : bytes (d[i].capacity);
    capacity += bytes (d[i].capacity);
  }
  if (capacity == 0)
    return d->cond == ZONE_COND_OFFLINE    ? 'x'
           : d->cond == ZONE_COND_READONLY ? 'r'
                                           : 'c';
  if (written == 0)
    return '.';
  return "1123456789#"[(int) (written / capacity * 10)];
}

char *
zones_map (struct nbd_handle *h, size_t cells, uint64_t *group,
           struct message *why)
{
  const uint64_t nr_zones = number_of_zones (h, why);
  struct zone_descriptor *table;
  char *map = NULL;
  uint64_t i, n;

  if (nr_zones == 0 || cells == 0)
    return NULL;
  if (nr_zones > MOST_MAPPED) {
    message_set (why, "more than %d zones", MOST_MAPPED);
    return NULL;
  }
  message_set (why, "%s", strerror (ENOMEM));
  *group = (nr_zones + cells - 1) / cells;
  table = calloc (nr_zones, sizeof *table);
  if (table != NULL && read_table (h, table, 0, nr_zones, why))
    map = calloc (nr_zones / *group + 2, 1);
  for (i = 0; map != NULL && i * *group < nr_zones; i++) {
    n = nr_zones - i * *group;
    map[i] = map_letter (&table[i * *group], n < *group ? n : *group);
  }
  free (table);
  return map;
}
