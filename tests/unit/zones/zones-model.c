/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The naive model of zones; see zones-model.h.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "zones-model.h"

void
model_begin (struct model *m)
{
  struct model_zone *zone;
  uint64_t start = 0;

  memset (m->data, 0, sizeof m->data);
  m->nr_zones = 0;
  m->cursor = m->nr_conv;
  while (start < m->size) {
    zone = &m->zones[m->nr_zones];
    zone->conventional = m->nr_zones < m->nr_conv;
    zone->start = start;
    zone->len = m->zone_size;
    if (start + zone->len > m->size)
      zone->len = m->size - start;
    zone->capacity = m->capacity;
    if (zone->conventional || zone->capacity > zone->len)
      zone->capacity = zone->len;
    zone->cond = M_EMPTY;
    zone->wp = start;
    if (zone->conventional) {
      zone->cond = M_NOT_WP;
      zone->wp = start + zone->len;
    }
    else if (m->full) {
      zone->cond = M_FULL;
      zone->wp = start + zone->capacity;
    }
    start += m->zone_size;
    m->nr_zones++;
  }
}

static int
count (const struct model *m, int cond)
{
  int i, n = 0;

  for (i = 0; i < m->nr_zones; i++) {
    if (m->zones[i].cond == cond)
      n++;
  }
  return n;
}

static bool
limited (const struct model *m)
{
  return m->max_open != 0 || m->max_active != 0;
}

static bool
active_ok (const struct model *m)
{
  return m->max_active == 0 ||
         count (m, M_IMP_OPEN) + count (m, M_EXP_OPEN) + count (m, M_CLOSED) <
             m->max_active;
}

/* Close the first implicitly open zone from the cursor on, round and round. */
static void
close_a_victim (struct model *m)
{
  struct model_zone *zone;

  do {
    zone = &m->zones[m->cursor];
    m->cursor++;
    if (m->cursor == m->nr_zones)
      m->cursor = m->nr_conv;
  } while (zone->cond != M_IMP_OPEN);
  zone->cond = zone->wp == zone->start ? M_EMPTY : M_CLOSED;
}

static bool
resources_ok (struct model *m, int cond)
{
  if (cond == M_EMPTY && !active_ok (m))
    return false;
  if (m->max_open == 0 ||
      count (m, M_IMP_OPEN) + count (m, M_EXP_OPEN) < m->max_open)
    return true;
  if (count (m, M_IMP_OPEN) > 0 && active_ok (m)) {
    close_a_victim (m);
    return true;
  }
  return false;
}

static struct model_zone *
find (struct model *m, uint64_t offset)
{
  int i;

  for (i = 0; i < m->nr_zones; i++) {
    if (offset >= m->zones[i].start &&
        offset < m->zones[i].start + m->zones[i].len)
      return &m->zones[i];
  }
  return NULL;
}

static void
store (struct model *m, const void *buf, uint64_t n, uint64_t offset)
{
  if (!m->memory)
    return;
  if (buf != NULL)
    memcpy (&m->data[offset], buf, n);
  else
    memset (&m->data[offset], 0, n);
}

static int
write_in_zone (struct model *m, const void *buf, uint64_t n, uint64_t offset,
               uint64_t cut)
{
  struct model_zone *zone = find (m, offset);
  const uint64_t done = n < cut ? n : cut;

  m->came_through = false;
  if (zone == NULL || offset + n > zone->start + zone->len)
    return -EIO;
  if (!zone->conventional) {
    if (zone->cond == M_READONLY)
      return -EROFS;
    if (offset != zone->wp)
      return -EIO;
    if (zone->wp + n > zone->start + zone->capacity)
      return -EIO;
    if (zone->cond == M_EMPTY || zone->cond == M_CLOSED) {
      if (!resources_ok (m, zone->cond))
        return -ENOSPC;
      zone->cond = M_IMP_OPEN;
    }
  }
  m->came_through = true;
  store (m, buf, done, offset);
  if (!zone->conventional) {
    zone->wp += done;
    if (zone->wp == zone->start + zone->capacity)
      zone->cond = M_FULL;
  }
  return done < n ? -EIO : 0;
}

int
model_write (struct model *m, const void *buf, uint64_t n, uint64_t offset,
             uint64_t cut)
{
  const uint8_t *from = buf;
  uint64_t done, part;
  int r = 0;

  if (!m->split)
    return write_in_zone (m, buf, n, offset, cut);
  for (done = 0; r == 0 && done < n; done += part) {
    part = m->zone_size - (offset + done) % m->zone_size;
    if (part > n - done)
      part = n - done;
    r = write_in_zone (m, from != NULL ? from + done : NULL, part,
                       offset + done, cut > done ? cut - done : 0);
  }
  return r;
}

int
model_append (struct model *m, const void *buf, uint64_t n, uint64_t *offset,
              uint64_t cut)
{
  const struct model_zone *zone = find (m, *offset);

  m->came_through = false;
  if (zone == NULL || zone->conventional || zone->cond == M_OFFLINE)
    return -EIO;
  if (zone->cond == M_READONLY)
    return -EROFS;
  *offset = zone->wp;
  if (zone->wp + n > zone->start + zone->capacity)
    return -EIO;
  return write_in_zone (m, buf, n, zone->wp, cut);
}

int
model_read (const struct model *m, void *buf, uint64_t n, uint64_t offset)
{
  const struct model_zone *zone;
  unsigned char *to = buf;
  uint64_t at;
  int i;

  for (i = 0; i < m->nr_zones; i++) {
    zone = &m->zones[i];
    if (offset + n <= zone->start || offset >= zone->start + zone->len)
      continue;
    if (zone->cond == M_OFFLINE)
      return -EIO;
    if (m->past_wp != M_ERROR)
      continue;
    for (at = offset; at < offset + n; at += 512) {
      if (at >= zone->start && at < zone->start + zone->len && at >= zone->wp)
        return -EIO;
    }
  }
  for (i = 0; i < m->nr_zones; i++) {
    zone = &m->zones[i];
    for (at = offset; at < offset + n; at += 512) {
      if (at < zone->start || at >= zone->start + zone->len)
        continue;
      memcpy (to + (at - offset), &m->data[at], 512);
      if (at >= zone->wp)
        memset (to + (at - offset),
                m->memory && m->past_wp == M_ONES ? 0xff : 0, 512);
    }
  }
  return 0;
}

static void
reset (struct model *m, struct model_zone *zone)
{
  zone->cond = M_EMPTY;
  zone->wp = zone->start;
  memset (&m->data[zone->start], 0, zone->len);
}

static int
open_zone (struct model *m, struct model_zone *zone)
{
  if (zone->cond == M_FULL)
    return -EIO;
  if (zone->cond == M_EMPTY || zone->cond == M_CLOSED) {
    if (!resources_ok (m, zone->cond))
      return -ENOSPC;
  }
  zone->cond = M_EXP_OPEN;
  return 0;
}

static int
close_zone (struct model_zone *zone)
{
  if (zone->cond == M_EMPTY || zone->cond == M_FULL)
    return -EIO;
  if (zone->cond == M_CLOSED)
    return 0;
  zone->cond = zone->wp == zone->start ? M_EMPTY : M_CLOSED;
  return 0;
}

static int
finish (struct model *m, struct model_zone *zone)
{
  if (limited (m)) {
    if (zone->cond == M_FULL)
      return 0;
    if (zone->cond == M_EMPTY || zone->cond == M_CLOSED) {
      if (!resources_ok (m, zone->cond))
        return -ENOSPC;
    }
  }
  zone->cond = M_FULL;
  zone->wp = zone->start + zone->len;
  return 0;
}

int
model_command (struct model *m, uint64_t nr, int cond)
{
  struct model_zone *zone;

  if (nr >= (uint64_t) m->nr_zones)
    return -EINVAL;
  zone = &m->zones[nr];
  switch (cond) {
  case M_READONLY:
  case M_OFFLINE:
    if (zone->conventional)
      return -EINVAL;
    if (zone->cond == cond) {
      reset (m, zone);
      return 0;
    }
    if (zone->cond != M_READONLY && zone->cond != M_OFFLINE)
      finish (m, zone);
    zone->cond = cond;
    zone->wp = MODEL_NO_WP;
    return 0;
  case M_EMPTY:
  case M_EXP_OPEN:
  case M_CLOSED:
  case M_FULL:
    break;
  default:
    return -EINVAL;
  }
  if (zone->conventional || zone->cond == M_READONLY || zone->cond == M_OFFLINE)
    return -EIO;
  if (cond == M_EXP_OPEN)
    return open_zone (m, zone);
  if (cond == M_CLOSED)
    return close_zone (zone);
  if (cond == M_FULL)
    return finish (m, zone);
  reset (m, zone);
  return 0;
}

void
model_reset_all (struct model *m)
{
  int i;

  for (i = 0; i < m->nr_zones; i++)
    model_command (m, i, M_EMPTY);
}

int
model_trim (struct model *m, uint64_t n, uint64_t offset)
{
  struct model_zone *zone;
  uint64_t at;
  int i, pass;

  /* First see whether anything is wrong, then do it. */
  for (pass = 0; pass < 2; pass++) {
    for (i = 0; i < m->nr_zones; i++) {
      zone = &m->zones[i];
      for (at = offset; at < offset + n; at += 512) {
        if (at < zone->start || at >= zone->start + zone->len)
          continue;
        if (!zone->conventional && m->trim == M_TRIM_ERROR)
          return -EIO;
        if (zone->conventional && pass == 1)
          memset (&m->data[at], 0, 512);
      }
      if (zone->conventional || m->trim != M_RESET || zone->start < offset ||
          zone->start + zone->len > offset + n)
        continue;
      if (zone->cond == M_READONLY)
        return -EROFS;
      if (zone->cond == M_OFFLINE)
        return -EIO;
      if (pass == 1)
        reset (m, zone);
    }
  }
  return 0;
}

char
model_extent (const struct model *m, uint64_t offset)
{
  const struct model_zone *zone;
  int i;

  for (i = 0; i < m->nr_zones; i++) {
    zone = &m->zones[i];
    if (offset < zone->start || offset >= zone->start + zone->len)
      continue;
    if (zone->conventional)
      return 'c';
    if (offset < zone->wp)
      return 'd';
    if (m->past_wp == M_ERROR || (m->past_wp == M_ONES && m->memory))
      return 'h';
    return 'z';
  }
  return '?';
}
