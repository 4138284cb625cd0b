/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Settings of zones; see zones-settings.h.
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/common.h"
#include "zones-settings.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

/*---------------------------------------------------------------------*/
/* Lists of zones */

/* The number of a zone.  Returns what follows it, or NULL. */
static const char *
parse_zone (const char *s, uint32_t *r)
{
  uint32_t n = 0;

  if (!isdigit ((unsigned char) *s))
    return NULL;
  for (; isdigit ((unsigned char) *s); s++) {
    n = n * 10 + (uint32_t) (*s - '0');
    if (n >= MAX_ZONES)
      return NULL;
  }
  *r = n;
  return s;
}

/* "7" or "7-9", up to a comma or the end. */
static const char *
parse_range (const char *s, uint32_t *first, uint32_t *last)
{
  s = parse_zone (s, first);
  if (s == NULL)
    return NULL;
  *last = *first;
  if (*s == '-') {
    s = parse_zone (s + 1, last);
    if (s == NULL || *last < *first)
      return NULL;
  }
  return *s == ',' || *s == '\0' ? s : NULL;
}

int
zone_list_parse (const char *text, struct zone_list *list, struct message *why)
{
  struct zone_list r = {.count = 0};
  const char *s = text, *next;

  if (strcmp (text, "none") != 0) {
    do {
      if (r.count == MAX_ZONE_RANGES)
        return refuse (why, "'%.80s': allowed are %d zones and ranges at most",
                       text, MAX_ZONE_RANGES);
      next = parse_range (s, &r.ranges[r.count].first, &r.ranges[r.count].last);
      if (next == NULL)
        return refuse (why,
                       "'%.80s': allowed is none, or numbers of zones and "
                       "ranges of them, such as 3,7-9",
                       s);
      r.count++;
      s = next + 1;
    } while (*next == ',');
  }
  *list = r;
  return 0;
}

void
zone_list_format (const struct zone_list *list, char *buf, size_t len)
{
  const char *comma = "";
  size_t used = 0;
  unsigned i;

  if (list->count == 0)
    snprintf (buf, len, "none");
  for (i = 0; i < list->count && used < len; i++) {
    used += snprintf (buf + used, len - used, "%s%" PRIu32, comma,
                      list->ranges[i].first);
    if (list->ranges[i].last != list->ranges[i].first && used < len)
      used +=
          snprintf (buf + used, len - used, "-%" PRIu32, list->ranges[i].last);
    comma = ",";
  }
}

/* A zone that is in both lists. */
static bool
find_common (const struct zone_list *a, const struct zone_list *b,
             uint32_t *zone)
{
  unsigned i, j;

  for (i = 0; i < a->count; i++) {
    for (j = 0; j < b->count; j++) {
      if (a->ranges[i].first <= b->ranges[j].last &&
          b->ranges[j].first <= a->ranges[i].last) {
        *zone = a->ranges[i].first > b->ranges[j].first ? a->ranges[i].first
                                                        : b->ranges[j].first;
        return true;
      }
    }
  }
  return false;
}

/*---------------------------------------------------------------------*/
/* All settings together */

static int
check_zone_size (const struct zone_settings *s, uint64_t size,
                 uint64_t block_size, struct message *why)
{
  uint64_t least = block_size > MIN_ZONE_SIZE ? block_size : MIN_ZONE_SIZE;
  char text[32], from[32], to[32];

  while ((size - 1) / least >= MAX_ZONES)
    least *= 2;
  if (s->zone_size >= least && s->zone_size <= size &&
      (s->zone_size & (s->zone_size - 1)) == 0)
    return 0;
  size_format (s->zone_size, text, sizeof text);
  size_format (least, from, sizeof from);
  size_format (size, to, sizeof to);
  if (least > size)
    return refuse (why,
                   "zone-size=%s: a device of %s is too small for zones, which "
                   "have %s at least",
                   text, to, from);
  return refuse (why,
                 "zone-size=%s: allowed is a power of two from %s to the "
                 "device's size, %s (a device has at most %" PRIu64 " zones)",
                 text, from, to, MAX_ZONES);
}

static int
check_capacity (struct zone_settings *s, uint64_t size, uint64_t block_size,
                struct message *why)
{
  char text[32], block[32], most[32], whole[32];

  if (s->capacity == 0)
    s->capacity = s->zone_size;
  size_format (s->capacity, text, sizeof text);
  size_format (block_size, block, sizeof block);
  size_format (s->zone_size, most, sizeof most);
  size_format (size, whole, sizeof whole);
  if (s->capacity > s->zone_size || s->capacity % block_size != 0)
    return refuse (why,
                   "zone-capacity=%s: allowed is a multiple of the block-size, "
                   "%s, up to the zone-size, %s",
                   text, block, most);
  if (s->capacity < s->zone_size && size % s->zone_size != 0)
    return refuse (why,
                   "zone-capacity=%s: allowed is the zone-size, %s, where the "
                   "last zone is shorter: size=%s is not a multiple of it",
                   text, most, whole);
  return 0;
}

/* A limit that cannot be reached is none. */
static void
adjust_limits (struct zone_settings *s, uint64_t nr_sequential)
{
  if (s->max_active >= nr_sequential)
    s->max_active = 0;
  if (s->max_active != 0 && s->max_open > s->max_active)
    s->max_open = s->max_active;
  if (s->max_open >= nr_sequential)
    s->max_open = 0;
}

static int
check_list (const char *key, const struct zone_list *list, uint64_t nr_conv,
            uint64_t nr_zones, struct message *why)
{
  char text[ZONE_LIST_TEXT];
  unsigned i;

  for (i = 0; i < list->count; i++) {
    if (list->ranges[i].first < nr_conv || list->ranges[i].last >= nr_zones) {
      zone_list_format (list, text, sizeof text);
      return refuse (why,
                     "%s=%.80s: allowed are the sequential zones, %" PRIu64
                     " to %" PRIu64,
                     key, text, nr_conv, nr_zones - 1);
    }
  }
  return 0;
}

int
zone_settings_complete (struct zone_settings *s, uint64_t size,
                        uint64_t block_size, struct message *why)
{
  char text[ZONE_LIST_TEXT];
  uint64_t nr_zones;
  uint32_t zone;
  int r;

  if (!s->zoned)
    return 0;
  r = check_zone_size (s, size, block_size, why);
  if (r == 0)
    r = check_capacity (s, size, block_size, why);
  if (r < 0)
    return r;

  nr_zones = (size - 1) / s->zone_size + 1;
  if (s->nr_conv >= nr_zones)
    return refuse (why,
                   "zone-nr-conv=%" PRIu64 ": allowed is a whole number from 0 "
                   "to %" PRIu64 ": of the %" PRIu64 " zones one is "
                   "sequential at least",
                   s->nr_conv, nr_zones - 1, nr_zones);
  adjust_limits (s, nr_zones - s->nr_conv);

  r = check_list ("zone-readonly", &s->readonly, s->nr_conv, nr_zones, why);
  if (r == 0)
    r = check_list ("zone-offline", &s->offline, s->nr_conv, nr_zones, why);
  if (r == 0 && find_common (&s->readonly, &s->offline, &zone)) {
    zone_list_format (&s->offline, text, sizeof text);
    r = refuse (why,
                "zone-offline=%.80s: allowed are zones that zone-readonly does "
                "not have, as it has %" PRIu32,
                text, zone);
  }
  return r;
}
