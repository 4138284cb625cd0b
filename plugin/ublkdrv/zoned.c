/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Zones on their way to the kernel; see zoned.h.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zoned.h"

bool
zoned_is_same (const struct zone_descriptor *d,
               const struct zone_descriptor *first)
{
  const uint64_t start = le64toh (d->start), wp = le64toh (d->wp);

  if (d->start != first->start || d->len != first->len ||
      d->capacity != first->capacity || d->type != first->type)
    return false;
  switch (d->cond) {
  case ZONE_COND_NOT_WP:
    return d->type == ZONE_TYPE_CONVENTIONAL;
  case ZONE_COND_EMPTY:
    return d->type == ZONE_TYPE_SEQUENTIAL && wp == start;
  case ZONE_COND_IMP_OPEN:
  case ZONE_COND_EXP_OPEN:
  case ZONE_COND_CLOSED:
    return d->type == ZONE_TYPE_SEQUENTIAL && start <= wp &&
           wp <= start + le64toh (d->len);
  case ZONE_COND_FULL:
  case ZONE_COND_READONLY:
  case ZONE_COND_OFFLINE:
    return d->type == ZONE_TYPE_SEQUENTIAL;
  default:
    return false;
  }
}

void
zoned_report (struct zone_descriptor *table, uint64_t n)
{
  struct zone_descriptor *d;

  for (d = table; d < table + n; d++) {
    d->start = le64toh (d->start);
    d->len = le64toh (d->len);
    d->wp = le64toh (d->wp);
    d->capacity = le64toh (d->capacity);
  }
}

enum zone_cond
zoned_condition (enum ublk_operation operation)
{
  switch (operation) {
  case UBLK_IO_OP_ZONE_OPEN:
    return ZONE_COND_EXP_OPEN;
  case UBLK_IO_OP_ZONE_CLOSE:
    return ZONE_COND_CLOSED;
  case UBLK_IO_OP_ZONE_FINISH:
    return ZONE_COND_FULL;
  case UBLK_IO_OP_ZONE_RESET:
    return ZONE_COND_EMPTY;
  default:
    return ZONE_COND_NOT_WP;
  }
}

void
zoned_append_range (const struct zone_descriptor *d, uint64_t *pointer,
                    uint64_t *end)
{
  const uint64_t last = le64toh (d->start) + le64toh (d->capacity);
  uint64_t wp = le64toh (d->wp);

  if (d->type != ZONE_TYPE_SEQUENTIAL || d->cond == ZONE_COND_FULL ||
      d->cond == ZONE_COND_READONLY || d->cond == ZONE_COND_OFFLINE ||
      wp > last)
    wp = last;
  *pointer = wp << ZONE_SECTOR_SHIFT;
  *end = last << ZONE_SECTOR_SHIFT;
}

static bool
is_written (const struct zone_descriptor *d, uint64_t end)
{
  uint64_t pointer, most;

  zoned_append_range (d, &pointer, &most);
  return d->type == ZONE_TYPE_SEQUENTIAL && d->cond != ZONE_COND_READONLY &&
         d->cond != ZONE_COND_OFFLINE && end <= pointer;
}

bool
zoned_was_done (enum ublk_operation operation, uint64_t end,
                const struct zone_descriptor *d)
{
  switch (operation) {
  case UBLK_IO_OP_WRITE:
  case UBLK_IO_OP_ZONE_APPEND:
    return is_written (d, end);
  /* One in which nothing was written is empty then. */
  case UBLK_IO_OP_ZONE_CLOSE:
    return d->cond == ZONE_COND_CLOSED || d->cond == ZONE_COND_EMPTY;
  case UBLK_IO_OP_ZONE_OPEN:
  case UBLK_IO_OP_ZONE_FINISH:
  case UBLK_IO_OP_ZONE_RESET:
    return d->cond == zoned_condition (operation);
  default:
    return false;
  }
}

/*---------------------------------------------------------------------*/
/* Errors */

int
zoned_plain_error (int error)
{
  switch (error) {
  case -ENOSPC:
  case -EOPNOTSUPP:
  case -ETIMEDOUT:
  case -ENOMEM:
    return error;
  case -EPERM:
  case -EROFS:
    return -EREMOTEIO;
  default:
    return -EIO;
  }
}

bool
zoned_needs_table (const struct zoned_failure *f)
{
  return f->error == -ENOSPC && (f->max_open != 0 || f->max_active != 0);
}

/* An empty zone has to become active and open, and one that is closed has to
 * become open.  Where as many are open as may be, one that a write has opened
 * gives way, but only if one more could be active.
 */
static int
limit_error (const struct zoned_failure *f)
{
  const unsigned cond = f->table[f->zone].cond;
  uint64_t i, implicitly = 0, explicitly = 0, active = 0;
  bool one_more_active;

  if (cond == ZONE_COND_IMP_OPEN || cond == ZONE_COND_EXP_OPEN)
    return -ENOSPC; /* nothing was missing but memory */
  for (i = 0; i < f->nr_zones; i++) {
    implicitly += f->table[i].cond == ZONE_COND_IMP_OPEN;
    explicitly += f->table[i].cond == ZONE_COND_EXP_OPEN;
    active += f->table[i].cond == ZONE_COND_CLOSED;
  }
  active += implicitly + explicitly;
  one_more_active = f->max_active == 0 || active < f->max_active;
  if (!one_more_active && cond != ZONE_COND_CLOSED)
    return -EOVERFLOW;
  if (f->max_open != 0 && implicitly + explicitly >= f->max_open &&
      (implicitly == 0 || !one_more_active))
    return -ETOOMANYREFS;
  if (!f->is_command)
    return -ENOSPC;
  /* A limit that is not full any more: commands to other zones of the same
   * range were done before the table was read.
   */
  return cond == ZONE_COND_CLOSED || f->max_active == 0 ? -ETOOMANYREFS
                                                        : -EOVERFLOW;
}

int
zoned_error (const struct zoned_failure *f)
{
  if (f->table != NULL) {
    if (f->table[f->zone].cond == ZONE_COND_READONLY)
      return -EREMOTEIO;
    if (f->table[f->zone].cond == ZONE_COND_OFFLINE)
      return -EIO;
    if (zoned_needs_table (f))
      return limit_error (f);
  }
  return zoned_plain_error (f->error);
}

/*---------------------------------------------------------------------*/
/* Settings */

/* The value of KEY: what follows "KEY=" at the beginning of a line, or NULL. */
static const char *
find_value (const char *config, const char *key)
{
  const size_t len = strlen (key);
  const char *line;

  for (line = config; line != NULL; line = strchr (line, '\n')) {
    line += *line == '\n';
    if (strncmp (line, key, len) == 0 && line[len] == '=')
      return line + len + 1;
  }
  return NULL;
}

uint64_t
zoned_config_limit (const char *config, const char *key)
{
  const char *value = find_value (config, key);

  return value != NULL ? strtoull (value, NULL, 10) : 0;
}

bool
zoned_config_has_duration (const char *config, const char *key)
{
  return zoned_config_limit (config, key) != 0;
}
