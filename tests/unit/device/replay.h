/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Replays of a write log into memory.
 */

#ifndef NULLBLK_TESTS_REPLAY_H
#define NULLBLK_TESTS_REPLAY_H

#include "power/power.h"
#include "unit.h"

/* Apply an entry to the bytes of a device. */
static inline void
replay_entry (struct writelog_reader *r, const struct writelog_entry *e,
              uint8_t *bytes, uint64_t size)
{
  assert_true (e->offset + e->count <= size);
  if (e->has_data)
    assert_int_equal (writelog_read_data (r, bytes + e->offset, e->count, 0),
                      0);
  else if ((e->flags & WRITELOG_DISCARD) != 0)
    memset (bytes + e->offset, 0, e->count);
}

/* Make of BYTES, all zero at first, what it was after N entries of the log, and
 * return the mark of the last of them, or "".
 */
static inline const char *
replay_to (const char *path, uint64_t n, uint8_t *bytes, uint64_t size)
{
  struct writelog_reader *r;
  struct writelog_entry e;
  static char mark[512];
  struct message reason;

  memset (bytes, 0, size);
  mark[0] = '\0';
  assert_int_equal (writelog_read_open (&r, path, &reason), 0);
  for (; n > 0; n--) {
    assert_int_equal (writelog_read_next (r, &e, &reason), 1);
    replay_entry (r, &e, bytes, size);
    snprintf (mark, sizeof mark, "%s", e.mark != NULL ? e.mark : "");
  }
  writelog_read_close (r);
  return mark;
}

#endif /* NULLBLK_TESTS_REPLAY_H */
