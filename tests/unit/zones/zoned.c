/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A zoned device for tests; see zoned.h.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "zoned.h"

static int
zoned_trim (void *opaque, uint64_t count, uint64_t offset)
{
  struct zoned *d = opaque;

  if (d->store != NULL)
    store_trim (d->store, 0, count, offset);
  return d->reset_error;
}

static int
zoned_reset (void *opaque, uint64_t count, uint64_t offset)
{
  struct zoned *d = opaque;

  (void) count;
  if (d->during_reset != NULL)
    d->during_reset (offset);
  if (d->cut_after > 0 && --d->cut_after == 0)
    atomic_fetch_add (&d->epoch, 1);
  return d->reset_error;
}

static uint64_t
zoned_discard (void *opaque, uint64_t offset, uint64_t end)
{
  struct zoned *d = opaque;

  d->steps++;
  if (d->during_reset != NULL)
    d->during_reset (offset);
  return d->store != NULL ? store_trim_step (d->store, 0, offset, end) : end;
}

void
zoned_create (struct zoned *d, const struct zone_settings *settings,
              uint64_t size, bool memory)
{
  const struct arena_options o = {
      .limit = UINT64_C (64) << 20,
      .volumes = 1,
      .volume_size = size,
      .kernel_page = 4096,
  };
  struct zone_settings s = *settings;
  const struct zone_data_ops data = {
      .has_data = memory,
      .write_may_wait = d->write_may_wait,
      .step = d->step != 0 ? d->step : STORE_STEP,
      .trim = zoned_trim,
      .reset = zoned_reset,
      .discard = zoned_discard,
      .epoch = &d->epoch,
      .opaque = d,
  };
  struct message why;

  s.zoned = true;
  if (zone_settings_complete (&s, size, 512, &why) != 0)
    fail_msg ("%s", why.text);
  d->size = size;
  d->store = NULL;
  d->reset_error = 0;
  d->steps = 0;
  d->cut_after = 0;
  d->during_reset = NULL;
  atomic_init (&d->epoch, 0);
  if (memory)
    assert_int_equal (store_create (&d->store, &o), 0);
  assert_int_equal (zones_create (&d->zones, &s, size, &data), 0);
}

void
zoned_destroy (struct zoned *d)
{
  zones_destroy (d->zones);
  if (d->store != NULL)
    store_destroy (d->store);
}

/* Do a write that has its zone, but only its first CUT bytes. */
static int
move (struct zoned *d, struct zone_write *w, const void *buf, uint64_t cut)
{
  const uint64_t written = cut < w->count ? cut : w->count;
  int r = 0;

  if (d->store != NULL && written > 0) {
    if (buf != NULL)
      r = store_write (d->store, 0, buf, written, w->offset);
    else
      r = store_zero (d->store, 0, written, w->offset);
  }
  zones_end_write (w, r == 0 ? written : 0);
  return r == 0 && written < w->count ? -EIO : r;
}

int
zoned_write_cut (struct zoned *d, const void *buf, uint64_t count,
                 uint64_t offset, uint64_t cut)
{
  struct zone_write w;
  const int r = zones_begin_write (d->zones, &w, count, offset, NULL);

  return r < 0 ? r : move (d, &w, buf, cut);
}

int
zoned_append_cut (struct zoned *d, const void *buf, uint64_t count,
                  uint64_t *offset, uint64_t cut)
{
  struct zone_write w;
  const int r = zones_begin_append (d->zones, &w, count, *offset);

  if (r < 0)
    return r;
  *offset = w.offset;
  return move (d, &w, buf, cut);
}

int
zoned_write (struct zoned *d, const void *buf, uint64_t count, uint64_t offset)
{
  return zoned_write_cut (d, buf, count, offset, count);
}

int
zoned_read (struct zoned *d, void *buf, uint64_t count, uint64_t offset)
{
  struct zone_read part;
  char *to;
  int r;

  r = zones_begin_read (d->zones, &part, count, offset);
  if (r < 0)
    return r;
  while ((r = zones_read_part (&part)) == 1) {
    to = (char *) buf + (part.offset - offset);
    if (part.is_data)
      store_read (d->store, 0, to, part.count, part.offset);
    else
      memset (to, part.fill, part.count);
  }
  return r;
}
