/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A ring that no kernel reads: what a queue of a block device puts into it
 * stays there until the test takes it.
 */

#ifndef NULLBLK_TESTS_FAKE_RING_H
#define NULLBLK_TESTS_FAKE_RING_H

#include <liburing.h>

#include "unit.h"

#define FAKE_RING_ENTRIES 256

struct ring_event;

/* All 0 at first. */
struct fake_ring {
  struct io_uring_sqe entries[FAKE_RING_ENTRIES];
  struct ring_event *events[FAKE_RING_ENTRIES];
  unsigned nr_entries;
};

/* Does what ring_get_sqe does. */
static inline struct io_uring_sqe *
fake_ring_get_sqe (struct fake_ring *r, struct ring_event *event)
{
  must (r->nr_entries < FAKE_RING_ENTRIES, "the ring has room");
  r->events[r->nr_entries] = event;
  return &r->entries[r->nr_entries++];
}

/* Call TAKE with each entry and its event, and empty the ring. */
static inline void
fake_ring_take (struct fake_ring *r,
                void (*take) (const struct io_uring_sqe *, struct ring_event *))
{
  unsigned i;

  for (i = 0; i < r->nr_entries; i++)
    take (&r->entries[i], r->events[i]);
  r->nr_entries = 0;
}

#endif /* NULLBLK_TESTS_FAKE_RING_H */
