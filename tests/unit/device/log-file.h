/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For tests of a device with a write log: the log's file, a new one for each
 * case, and what is read from it.
 */

#ifndef NULLBLK_TESTS_LOG_FILE_H
#define NULLBLK_TESTS_LOG_FILE_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "one-device.h"

static char log_path[] = "/tmp/nullblk-device-log-XXXXXX";
static struct writelog_reader *reader;
static struct message wrong; /* why the log cannot be read */

static inline int
begin_log (void **state)
{
  const int fd = mkstemp (log_path);

  reader = NULL;
  forget_devices (state);
  return fd == -1 ? -1 : close (fd);
}

static inline int
end_log (void **state)
{
  if (reader != NULL)
    writelog_read_close (reader);
  destroy_devices (state);
  unlink (log_path);
  strcpy (log_path + strlen (log_path) - 6, "XXXXXX");
  return 0;
}

static inline void
close_log (void)
{
  struct message why;

  assert_int_equal (devices_close_logs (devices, &why), 0);
  assert_int_equal (writelog_read_open (&reader, log_path, &wrong), 0);
}

/* Assert that the next entry is this one. */
static inline void
expect_entry (struct writelog_entry *e, uint64_t flags, uint64_t offset,
              uint64_t count)
{
  assert_int_equal (writelog_read_next (reader, e, &wrong), 1);
  assert_int_equal (e->flags, flags);
  assert_int_equal (e->offset, offset);
  assert_int_equal (e->count, count);
}

static inline void
expect_end (void)
{
  struct writelog_entry e;

  assert_int_equal (writelog_read_next (reader, &e, &wrong), 0);
}

#endif /* NULLBLK_TESTS_LOG_FILE_H */
