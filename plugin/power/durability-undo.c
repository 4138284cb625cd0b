/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * One record of old content; durability.c has the list of them.
 */

#include <config.h>

#include <stdlib.h>

#include "durability-internal.h"

/* The bytes that a record counts for against memory-limit: its own memory; and
 * where the change may give back pages of the store, all of these pages, since
 * a power cut may need them again and must not meet the limit.
 */
uint64_t
undo_charge (const struct undo *u)
{
  const uint64_t begin = u->frees_pages ? u->offset & -PAGE : u->offset;
  uint64_t end = u->offset + u->len;

  if (u->kind != DATA)
    return sizeof *u;
  if (u->frees_pages)
    end = (end + PAGE - 1) & -PAGE;
  else if (u->len >= PAGE)
    end = begin + ((u->len + PAGE - 1) & -PAGE);
  return sizeof *u + (end - begin);
}

void
undo_free (struct durability *d, struct undo *u, bool now)
{
  if (u->is_copy)
    store_give_copy (d->o.store, &d->copies, u->data, u->len, now);
  free (u);
}
