/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The write log on files that take and give a few bytes at a time, that are
 * interrupted, and that fail.  The linker puts the calls here in the place of
 * the C library's (--wrap).
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistd.h>

#include "file-size.h"
#include "power/power.h"
#include "unit.h"

ssize_t __real_pwritev (int fd, const struct iovec *iov, int n, off_t at)
    OF_LARGE_FILES ("__real_pwritev");
ssize_t __wrap_pwritev (int fd, const struct iovec *iov, int n, off_t at)
    OF_LARGE_FILES ("__wrap_pwritev");
ssize_t __real_pread (int fd, void *buf, size_t n, off_t at)
    OF_LARGE_FILES ("__real_pread");
ssize_t __wrap_pread (int fd, void *buf, size_t n, off_t at)
    OF_LARGE_FILES ("__wrap_pread");
int __real_ftruncate (int fd, off_t len) OF_LARGE_FILES ("__real_ftruncate");
int __wrap_ftruncate (int fd, off_t len) OF_LARGE_FILES ("__wrap_ftruncate");
int __real_flock (int fd, int operation);
int __wrap_flock (int fd, int operation);
int __real_close (int fd);
int __wrap_close (int fd);

/* Of a call: its result, or with an error -1, is asked for so often. */
static struct {
  unsigned writes_left; /* the write that fails; 0: none */
  int write_error;      /* 0: it writes nothing */
  unsigned truncations_left;
  unsigned closes_left;
  int lock_error; /* 0: a lock is tried */
  size_t piece;   /* bytes that a call moves at most; 0: all */
  bool is_interrupted;
} calls;

/* Every second call is interrupted. */
static bool
is_interrupted (void)
{
  static unsigned n;

  errno = EINTR;
  return calls.is_interrupted && n++ % 2 == 0;
}

ssize_t
__wrap_pwritev (int fd, const struct iovec *iov, int n, off_t at)
{
  size_t left = calls.piece != 0 ? calls.piece : SIZE_MAX;
  struct iovec part[2];
  int i;

  if (is_interrupted ())
    return -1;
  if (calls.writes_left > 0 && --calls.writes_left == 0) {
    errno = calls.write_error;
    return calls.write_error != 0 ? -1 : 0;
  }
  for (i = 0; i < n && left > 0; i++) {
    part[i] = iov[i];
    if (part[i].iov_len > left)
      part[i].iov_len = left;
    left -= part[i].iov_len;
  }
  return __real_pwritev (fd, part, i, at);
}

ssize_t
__wrap_pread (int fd, void *buf, size_t n, off_t at)
{
  if (is_interrupted ())
    return -1;
  return __real_pread (
      fd, buf, calls.piece != 0 && n > calls.piece ? calls.piece : n, at);
}

int
__wrap_ftruncate (int fd, off_t len)
{
  if (calls.truncations_left > 0 && --calls.truncations_left == 0) {
    errno = EDQUOT;
    return -1;
  }
  return __real_ftruncate (fd, len);
}

int
__wrap_flock (int fd, int operation)
{
  errno = calls.lock_error;
  return calls.lock_error != 0 ? -1 : __real_flock (fd, operation);
}

int
__wrap_close (int fd)
{
  const int r = __real_close (fd);

  if (calls.closes_left > 0 && --calls.closes_left == 0) {
    errno = EDQUOT;
    return -1;
  }
  return r;
}

/*---------------------------------------------------------------------*/

static char path[] = "/tmp/nullblk-writelog-XXXXXX";

static int
set_up (void **state)
{
  int fd;

  (void) state;
  memset (&calls, 0, sizeof calls);
  memcpy (strrchr (path, '-') + 1, "XXXXXX", 6);
  fd = mkstemp (path);
  return fd == -1 ? -1 : close (fd);
}

static int
tear_down (void **state)
{
  (void) state;
  memset (&calls, 0, sizeof calls);
  return unlink (path);
}

static struct writelog *
open_log (void)
{
  struct writelog *log;
  struct message why;

  assert_int_equal (writelog_open (&log, path, 512, &why), 0);
  assert_int_equal (writelog_start (log), 0);
  return log;
}

static char data[5000 * 512], out[sizeof data];

/* A write of N sectors at the beginning of the device. */
static int
write_sectors (struct writelog *log, uint64_t n, bool fua)
{
  int r, end;

  writelog_begin (log);
  r = writelog_write (log, data, n * 512, 0, fua);
  end = writelog_end (log, r == 0);
  return r < 0 ? r : end;
}

/* The log has so many writes of a sector. */
static void
check_entries (uint64_t n)
{
  struct writelog_reader *r;
  struct writelog_entry e;
  struct message why;
  uint64_t i;

  assert_int_equal (writelog_read_open (&r, path, &why), 0);
  assert_int_equal (writelog_read_entries (r), n);
  for (i = 0; i < n; i++) {
    assert_int_equal (writelog_read_next (r, &e, &why), 1);
    assert_int_equal (e.count, 512);
    assert_int_equal (writelog_read_data (r, out, 512, 0), 0);
    assert_memory_equal (out, data, 512);
  }
  assert_int_equal (writelog_read_next (r, &e, &why), 0);
  writelog_read_close (r);
}

static void
check_error (struct writelog *log, int error)
{
  struct writelog_status s;

  writelog_status (log, &s);
  assert_int_equal (s.error, error);
}

/*---------------------------------------------------------------------*/

/* Sizes that end in the entry, at its end, in the data. */
static void
test_pieces (void **state)
{
  static const size_t pieces[] = {1, 3, 100, 511, 512, 513, 1024, 4095};
  struct writelog_reader *r;
  struct writelog_entry e;
  struct writelog *log;
  struct message why;
  size_t i, n;

  (void) state;
  for (i = 0; i < sizeof data; i++)
    data[i] = (char) (i % 251);
  for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
    calls.piece = pieces[i];
    calls.is_interrupted = i % 2;
    n = pieces[i] < 100 ? 3 : 5000;
    log = open_log ();
    assert_int_equal (write_sectors (log, n, false), 0);
    assert_int_equal (write_sectors (log, 2, true), 0);
    assert_int_equal (writelog_close (log), 0);
    assert_int_equal (file_size (path), (3 + n + 2) * 512);

    assert_int_equal (writelog_read_open (&r, path, &why), 0);
    assert_int_equal (writelog_read_next (r, &e, &why), 1);
    assert_int_equal (e.count, n * 512);
    assert_int_equal (writelog_read_data (r, out, n * 512, 0), 0);
    assert_memory_equal (out, data, n * 512);
    assert_int_equal (writelog_read_data (r, out, 0, n * 512), 0);
    assert_int_equal (writelog_read_next (r, &e, &why), 1);
    assert_int_equal (e.flags, WRITELOG_FUA);
    assert_int_equal (writelog_read_next (r, &e, &why), 0);
    writelog_read_close (r);
  }
}

/* A write that takes nothing has no space. */
static void
test_nothing_written (void **state)
{
  struct writelog *log = open_log ();

  (void) state;
  assert_int_equal (write_sectors (log, 1, false), 0);
  calls.writes_left = 1;
  assert_int_equal (write_sectors (log, 1, false), -EIO);
  check_error (log, -ENOSPC);
  assert_int_equal (writelog_close (log), -ENOSPC);
  assert_int_equal (file_size (path), 3 * 512);
  check_entries (1);
}

/* The super block that a FUA write needs: the write fails, and is not there. */
static void
test_super_fails (void **state)
{
  struct writelog *log = open_log ();

  (void) state;
  assert_int_equal (write_sectors (log, 1, false), 0);
  calls.writes_left = 2;
  calls.write_error = EDQUOT;
  assert_int_equal (write_sectors (log, 1, true), -EIO);
  check_error (log, -EDQUOT);
  assert_int_equal (writelog_close (log), -EDQUOT);
  check_entries (1);
}

/* What cannot be taken back is an error, of which the first one stays. */
static void
test_not_taken_back (void **state)
{
  struct writelog *log = open_log ();

  (void) state;
  writelog_begin (log);
  assert_int_equal (writelog_write (log, data, 512, 0, false), 0);
  calls.truncations_left = 1;
  assert_int_equal (writelog_end (log, false), 0);
  check_error (log, -EDQUOT);
  assert_int_equal (writelog_close (log), -EDQUOT);

  log = open_log ();
  calls.writes_left = 1;
  calls.write_error = EIO;
  calls.truncations_left = 1;
  assert_int_equal (write_sectors (log, 1, false), -EIO);
  check_error (log, -EIO);

  /* The device goes on without its log, whose file is left alone. */
  calls.truncations_left = 1;
  writelog_begin (log);
  assert_int_equal (writelog_zero (log, 512, 0, false), 0);
  assert_int_equal (writelog_end (log, true), 0);
  assert_int_equal (calls.truncations_left, 1);
  assert_int_equal (writelog_close (log), -EIO);
  check_entries (0);
}

/* A log that cannot be opened leaves no file descriptor behind. */
static void
test_not_opened (void **state)
{
  int before = dup (0), after, i;
  struct writelog *log;
  struct message why;

  (void) state;
  assert_int_equal (close (before), 0);
  calls.writes_left = 1;
  calls.write_error = EDQUOT;
  assert_int_equal (writelog_open (&log, path, 512, &why), -EDQUOT);
  assert_string_equal (why.text, strerror (EDQUOT));
  for (i = 0; i < 2; i++) {
    calls.lock_error = i == 0 ? EWOULDBLOCK : EACCES;
    assert_int_equal (writelog_open (&log, path, 512, &why), -EWOULDBLOCK);
    assert_string_equal (why.text,
                         "it is in use: another device writes its log to it");
  }
  after = dup (0);
  assert_int_equal (after, before);
  assert_int_equal (close (after), 0);
}

/* Filesystems without locks hold logs, too. */
static void
test_no_locks (void **state)
{
  static const int errors[] = {ENOLCK, ENOSYS, EOPNOTSUPP};
  struct writelog *log;
  struct message why;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof errors / sizeof errors[0]; i++) {
    calls.lock_error = errors[i];
    assert_int_equal (writelog_open (&log, path, 512, &why), 0);
    assert_int_equal (write_sectors (log, 1, true), 0);
    assert_int_equal (writelog_close (log), 0);
    check_entries (1);
  }
}

/* A file that cannot be emptied: the first change fails if that is still so. */
static void
test_not_started (void **state)
{
  struct writelog *log = open_log ();
  struct message why;

  (void) state;
  assert_int_equal (write_sectors (log, 1, true), 0);
  assert_int_equal (writelog_close (log), 0);
  assert_int_equal (writelog_open (&log, path, 512, &why), 0);
  check_entries (1);
  calls.truncations_left = 1;
  assert_int_equal (writelog_start (log), -EDQUOT);
  check_entries (1);
  calls.writes_left = 1;
  calls.write_error = ENOSPC;
  assert_int_equal (writelog_start (log), -ENOSPC);
  assert_int_equal (write_sectors (log, 1, true), 0);
  assert_int_equal (writelog_start (log), 0);
  assert_int_equal (writelog_close (log), 0);
  check_entries (1);

  assert_int_equal (writelog_open (&log, path, 512, &why), 0);
  calls.truncations_left = 1;
  assert_int_equal (write_sectors (log, 1, true), -EIO);
  check_error (log, -EDQUOT);
  assert_int_equal (write_sectors (log, 1, true), 0);
  assert_int_equal (writelog_close (log), -EDQUOT);
  check_entries (0);
}

/* A file system may say only in the end that it has no room. */
static void
test_not_closed (void **state)
{
  struct writelog *log = open_log ();

  (void) state;
  assert_int_equal (write_sectors (log, 1, false), 0);
  calls.closes_left = 1;
  assert_int_equal (writelog_close (log), -EDQUOT);

  log = open_log ();
  calls.writes_left = 1;
  calls.write_error = EIO;
  assert_int_equal (write_sectors (log, 1, false), -EIO);
  calls.closes_left = 1;
  assert_int_equal (writelog_close (log), -EIO);
}

#define CASE(test) cmocka_unit_test_setup_teardown (test, set_up, tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      CASE (test_pieces),      CASE (test_nothing_written),
      CASE (test_super_fails), CASE (test_not_taken_back),
      CASE (test_not_opened),  CASE (test_no_locks),
      CASE (test_not_started), CASE (test_not_closed),
  };

  return RUN_TESTS (tests);
}
