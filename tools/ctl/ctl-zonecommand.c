/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Commands to zones; see ctl-zones.h.  Whether they were done, and which was
 * not and why, is seen from the table before and after.  What a message says of
 * the server has to be true even if a filter or a proxy has answered for it.
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "dotconfig.h"
#include "ctl-zones.h"
#include "zonetable.h"

#define fail(why, ...) (message_set (why, __VA_ARGS__), false)

struct range {
  uint64_t first, last;
};

/* Commands that bring zones into the condition TO, for a piece of the table at
 * a time.
 */
struct commands {
  const struct server_address *server;
  struct nbd_handle *h; /* NULL once settings_instead has closed it */
  struct zonetable table;
  enum zone_cond to;
  bool reaches_server; /* commands are known to reach it */
  struct zone_descriptor asked[ZONETABLE_PIECE]; /* all alike */
  struct zone_descriptor before[ZONETABLE_PIECE];
  struct zone_descriptor after[ZONETABLE_PIECE];
  struct zone_descriptor all[ZONETABLE_PIECE]; /* for --all */
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

/*---------------------------------------------------------------------*/
/* Was a command done? */

/* A condition that does not exist. */
#define NO_COND 0xff

/* Does a second command undo the first?  All others bear a zone that is named
 * twice.
 */
static bool
is_toggle (enum zone_cond to)
{
  return to == ZONE_COND_READONLY || to == ZONE_COND_OFFLINE;
}

/* Is zone D in the condition that the command asks for? */
static bool
is_result (enum zone_cond to, const struct zone_descriptor *d)
{
  return d->cond == to;
}

/* Does what is written to the table reach the server?  The server refuses
 * NO_COND, and changes nothing; a filter or proxy that answers for it accepts
 * anything.
 */
static bool
reaches_server (struct commands *c, uint64_t zone)
{
  const struct zone_descriptor none = {.cond = NO_COND};

  c->reaches_server =
      c->reaches_server ||
      nbd_pwrite (c->h, &none, sizeof none, zone * sizeof none, 0) == -1;
  return c->reaches_server;
}

/* The write of commands to N zones from FIRST on was answered with success:
 * were they done?  That a zone is in another condition than was asked for
 * proves nothing, as another client may have changed it since.  But if a zone
 * that should have changed is the same to the last bit, either nothing was
 * done, or another client has changed it back; reaches_server tells which.
 */
static bool
check_done (struct commands *c, uint64_t first, uint64_t n, struct message *why)
{
  struct message reason;
  const bool toggles = is_toggle (c->to);
  bool right;
  uint64_t i;

  if (!zonetable_try (&c->table, c->after, first, n, &right, &reason))
    return fail (why,
                 "the command was answered, but the zones can't be read back: "
                 "%.300s",
                 reason.text);
  if (!right)
    return fail (why,
                 "the server has not got it: what is read back is no zone; "
                 "something in between keeps what is written, as a filter "
                 "(cow, cache) or a snapshot does");
  for (i = 0; i < n; i++) {
    if (memcmp (&c->before[i], &c->after[i], sizeof c->after[i]) == 0 &&
        (toggles || !is_result (c->to, &c->after[i])) &&
        !reaches_server (c, first + i))
      return fail (why,
                   "zone %" PRIu64 " is %s as before: the server has not got "
                   "it; something in between, a filter or a proxy, has "
                   "answered for it, or a fault rule loses it",
                   first + i, zone_cond_name (c->after[i].cond));
  }
  return true;
}

/*---------------------------------------------------------------------*/
/* Why was it not done? */

/* The server's rule that forbids the command to zone D; NULL if there is none.
 */
static const char *
broken_rule (enum zone_cond to, const struct zone_descriptor *d)
{
  if (d->type == ZONE_TYPE_CONVENTIONAL)
    return "only sequential zones take commands";
  if (to == ZONE_COND_READONLY || to == ZONE_COND_OFFLINE)
    return NULL;
  if (d->cond == ZONE_COND_READONLY)
    return "it takes no command until zones readonly has made it empty";
  if (d->cond == ZONE_COND_OFFLINE)
    return "it takes no command until zones offline has made it empty";
  if (to == ZONE_COND_CLOSED &&
      (d->cond == ZONE_COND_EMPTY || d->cond == ZONE_COND_FULL))
    return "only an open zone can be closed";
  if (to == ZONE_COND_EXP_OPEN && d->cond == ZONE_COND_FULL)
    return "it must be reset before it can be opened";
  return NULL;
}

/* Has the command to zone I of a piece been done, as far as its condition
 * shows?  An open zone to which nothing was written becomes empty when it is
 * closed.
 */
static bool
seems_done (const struct commands *c, uint64_t i)
{
  const unsigned was = c->before[i].cond, is = c->after[i].cond;

  switch (c->to) {
  case ZONE_COND_CLOSED:
    return is == ZONE_COND_CLOSED ||
           (is == ZONE_COND_EMPTY && was != ZONE_COND_EMPTY);
  case ZONE_COND_READONLY:
  case ZONE_COND_OFFLINE:
    return is != was;
  default:
    return is_result (c->to, &c->after[i]);
  }
}

/* Count the zones in each condition.  Overwrites c->before.  Returns false if
 * the table cannot be read.
 */
static bool
count_conds (struct commands *c, uint64_t counts[NR_ZONE_CONDS])
{
  struct message ignored;
  uint64_t first, n, i;

  memset (counts, 0, NR_ZONE_CONDS * sizeof counts[0]);
  for (first = 0; first < c->table.nr_zones; first += n) {
    n = c->table.nr_zones - first;
    if (n > ZONETABLE_PIECE)
      n = ZONETABLE_PIECE;
    if (!zonetable_read (&c->table, c->before, first, n, &ignored))
      return false;
    for (i = 0; i < n; i++)
      counts[c->before[i].cond]++;
  }
  return true;
}

/* The settings, to be freed, or NULL.  This closes the connection to .zones
 * first, as the server may allow only one connection at a time.
 */
static char *
settings_instead (struct commands *c)
{
  struct message ignored;

  server_close (c->h);
  c->h = NULL;
  return config_of (c->server, &ignored);
}

/* Do the SETTINGS have a limit KEY that N zones reach? */
static bool
is_limit (const char *settings, const char *key, uint64_t n)
{
  char value[32], *end;
  uint64_t limit;

  if (!config_value (settings, key, value, sizeof value))
    return false;
  limit = strtoull (value, &end, 10);
  return end > value && *end == '\0' && n >= limit;
}

/* Are there as many open or active zones as there may be? */
static bool
limits_are_reached (struct commands *c)
{
  uint64_t counts[NR_ZONE_CONDS], opened, active;
  char *settings;
  bool reached;

  if (!count_conds (c, counts))
    return false;
  /* Implicitly open zones are not in the way: one is closed for the next. */
  opened = counts[ZONE_COND_EXP_OPEN];
  active = opened + counts[ZONE_COND_IMP_OPEN] + counts[ZONE_COND_CLOSED];
  settings = settings_instead (c);
  reached =
      settings != NULL && (is_limit (settings, "zone-max-open", opened) ||
                           is_limit (settings, "zone-max-active", active));
  free (settings);
  return reached;
}

/* A command was refused with EPERM. */
static bool
explain_eperm (struct commands *c, struct message *why)
{
  char *settings = settings_instead (c), value[8];

  if (settings == NULL ||
      !config_value (settings, "read-only", value, sizeof value))
    message_set (why, "%s", strerror (EPERM));
  else if (strcmp (value, "true") == 0)
    message_set (why, "the device is read-only");
  else
    message_set (why,
                 "%s: the device is not read-only; a filter of the server "
                 "(protect) or a fault rule may have refused it",
                 strerror (EPERM));
  free (settings);
  return false;
}

/* The write of commands to N zones from FIRST on has failed with ERR.  That is
 * all that the server says: which zone it was, and why, is seen from the table.
 */
static bool
explain (struct commands *c, uint64_t first, uint64_t n, int err,
         struct message *why)
{
  struct zone_descriptor d;
  const char *rule;
  uint64_t i;

  message_set (why, "%s", strerror (err));
  if (err == EPERM)
    return explain_eperm (c, why);
  if ((err != EIO && err != EINVAL && err != ENOSPC) ||
      !zonetable_read (&c->table, c->after, first, n, why))
    return false;
  for (i = 0; i < n && seems_done (c, i); i++)
    ;
  if (i == n) /* another client has changed the zones meanwhile */
    return fail (why, "zones %" PRIu64 "-%" PRIu64 ": %s", first, first + n - 1,
                 strerror (err));
  d = c->after[i];
  rule = err != ENOSPC ? broken_rule (c->to, &d) : NULL;
  if (err == ENOSPC &&
      (d.cond == ZONE_COND_EMPTY || d.cond == ZONE_COND_CLOSED) &&
      (c->to == ZONE_COND_EXP_OPEN || c->to == ZONE_COND_FULL) &&
      limits_are_reached (c))
    rule = "as many zones are open or active as zone-max-open and "
           "zone-max-active allow";
  if (rule != NULL)
    return fail (why, "zone %" PRIu64 " is %s: %s%s", first + i,
                 zone_cond_name (d.cond), rule,
                 i > 0 ? "; those before it are done" : "");
  return fail (why,
               "zone %" PRIu64 " is %s, which does not forbid it: %s; a fault "
               "rule or a filter of the server may be the cause%s",
               first + i, zone_cond_name (d.cond), strerror (err),
               i > 0 ? "; the zones before it are done" : "");
}

/*---------------------------------------------------------------------*/

static bool
send_commands (struct commands *c, const struct range *r, struct message *why)
{
  uint64_t first, n;

  for (first = r->first; first <= r->last; first += n) {
    n = r->last - first < ZONETABLE_PIECE ? r->last - first + 1
                                          : ZONETABLE_PIECE;
    if (!zonetable_read (&c->table, c->before, first, n, why))
      return false;
    if (nbd_pwrite (c->h, c->asked, n * sizeof c->asked[0],
                    first * sizeof c->asked[0], 0) == -1)
      return explain (c, first, n, nbd_get_errno (), why);
    if (!check_done (c, first, n, why))
      return false;
  }
  return true;
}

/* Two of RANGES, of which P is one, may not have a zone in common that a second
 * command would reset.
 */
static bool
check_overlap (char **ranges, char **p, struct message *why)
{
  struct range r, other;

  parse_range (*p, &r);
  for (; ranges < p; ranges++) {
    parse_range (*ranges, &other);
    if (other.first <= r.last && r.first <= other.last)
      return fail (why,
                   "%.80s and %.80s: both have zone %" PRIu64
                   ", and a second command would reset it: allowed is each "
                   "zone once",
                   *ranges, *p, r.first > other.first ? r.first : other.first);
  }
  return true;
}

/* Send commands to the zones of RANGES; ranges that follow one another are
 * joined.
 */
static bool
send_to_ranges (struct commands *c, char **ranges, bool *bad_usage,
                struct message *why)
{
  struct range r, next;
  char **p;

  for (p = ranges; *p != NULL; p++) {
    if (!parse_range (*p, &r)) {
      *bad_usage = true;
      return fail (why, "%.80s: allowed are zones, such as 3 or 3-9", *p);
    }
    if (r.last >= c->table.nr_zones)
      return fail (why,
                   "zone %" PRIu64 ": there are %" PRIu64 " zones, from 0 on",
                   r.last, c->table.nr_zones);
    if (is_toggle (c->to) && !check_overlap (ranges, p, why)) {
      *bad_usage = true;
      return false;
    }
  }
  for (p = ranges; *p != NULL;) {
    parse_range (*p++, &r);
    for (; *p != NULL && parse_range (*p, &next) && next.first == r.last + 1;
         p++)
      r.last = next.last;
    if (!send_commands (c, &r, why))
      return false;
  }
  return true;
}

/* Is --all for zone D, too?  Commands that drives have are for the conditions
 * that their "select all" means.  Drives do not have readonly, which is for all
 * sequential zones that are neither read-only nor offline, and offline, which
 * is for all that are not offline.  Resets of all zones do not come here.
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
  default: /* ZONE_COND_OFFLINE */
    return d->type == ZONE_TYPE_SEQUENTIAL && d->cond != ZONE_COND_OFFLINE;
  }
}

static bool
send_to_all (struct commands *c, struct message *why)
{
  uint64_t first, n, i;
  struct range r;

  for (first = 0; first < c->table.nr_zones; first += n) {
    n = c->table.nr_zones - first;
    if (n > ZONETABLE_PIECE)
      n = ZONETABLE_PIECE;
    if (!zonetable_read (&c->table, c->all, first, n, why))
      return false;
    for (i = 0; i < n; i++) {
      if (!is_meant_by_all (c->to, &c->all[i]))
        continue;
      r.first = first + i;
      while (i + 1 < n && is_meant_by_all (c->to, &c->all[i + 1]))
        i++;
      r.last = first + i;
      if (!send_commands (c, &r, why))
        return false;
    }
  }
  return true;
}

bool
zones_change (const struct server_address *s, enum zone_cond to, char **ranges,
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
    server_close (h);
    return fail (why, "%s", strerror (ENOMEM));
  }
  c->server = s;
  c->h = h;
  c->to = to;
  for (i = 0; i < ZONETABLE_PIECE; i++)
    c->asked[i].cond = to;
  /* An export that is no zone table is not written to: it may be anybody's
   * disk.
   */
  ok = zonetable_open (&c->table, h, why);
  if (ok && nbd_is_read_only (h) == 1)
    ok = fail (why, "the server lets nobody write to the table: it was started "
                    "with -r, or a filter (readonly) forbids it");
  if (ok && ranges[0] != NULL)
    ok = send_to_ranges (c, ranges, bad_usage, why);
  else if (ok)
    ok = send_to_all (c, why);
  if (c->h != NULL)
    server_close (c->h);
  free (c);
  return ok;
}
