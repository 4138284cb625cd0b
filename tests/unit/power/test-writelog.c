/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The write log: its bytes, what is taken back, replays to every entry against
 * flat bytes, files that cannot be written, and files that are no log.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "file-size.h"
#include "power/power.h"
#include "unit.h"

#define KIB 1024
#define MIB (UINT64_C (1024) * KIB)

static char path[] = "/tmp/nullblk-writelog-XXXXXX";
static struct message reason; /* of the last refusal */

static int
make_file (void **state)
{
  const int fd = mkstemp (path);

  (void) state;
  if (fd == -1)
    return -1;
  return close (fd);
}

static int
remove_file (void **state)
{
  (void) state;
  return unlink (path);
}

static struct writelog *
open_log (uint32_t sector_size)
{
  static struct message why;
  struct writelog *log;

  assert_int_equal (writelog_open (&log, path, sector_size, &why), 0);
  assert_int_equal (writelog_start (log), 0);
  return log;
}

static struct writelog_reader *
open_reader (void)
{
  struct writelog_reader *r;

  assert_int_equal (writelog_read_open (&r, path, &reason), 0);
  return r;
}

static int
put_mark (struct writelog *log, const char *text)
{
  int r;

  writelog_begin (log);
  r = writelog_mark (log, text);
  assert_int_equal (writelog_end (log, true), 0);
  return r;
}

static void
assert_bytes (const char *bytes, size_t len, size_t at)
{
  const int fd = open (path, O_RDONLY);
  char *buf = malloc (len);

  assert_int_equal (pread (fd, buf, len, at), len);
  assert_memory_equal (buf, bytes, len);
  free (buf);
  close (fd);
}

static void
put_le (char *to, uint64_t n, unsigned bytes)
{
  unsigned i;

  for (i = 0; i < bytes; i++)
    to[i] = n >> (8 * i) & 0xff;
}

static void
assert_super (uint64_t entries, uint32_t sector_size)
{
  char *sector = calloc (1, sector_size);

  memcpy (sector, "rhswfsj\0\1", 9);
  put_le (sector + 16, entries, 8);
  put_le (sector + 24, sector_size, 4);
  assert_bytes (sector, sector_size, 0);
  free (sector);
}

static void
assert_entry (uint32_t sector_size, size_t at, uint64_t sector,
              uint64_t sectors, uint64_t flags, const char *mark)
{
  char *entry = calloc (1, sector_size);

  put_le (entry, sector, 8);
  put_le (entry + 8, sectors, 8);
  put_le (entry + 16, flags, 8);
  put_le (entry + 24, strlen (mark), 8);
  strcpy (entry + 32, mark);
  assert_bytes (entry, sector_size, at);
  free (entry);
}

/*---------------------------------------------------------------------*/

static void
check_bytes (uint32_t size)
{
  struct writelog *log = open_log (size);
  char *data = malloc (2 * size), *zeroes = calloc (1, 3 * size);
  struct writelog_status s;

  memset (data, 'a', 2 * size);
  assert_super (0, size);
  writelog_begin (log);
  assert_int_equal (writelog_write (log, data, 2 * size, 7 * size, false), 0);
  assert_int_equal (writelog_end (log, true), 0);
  assert_super (0, size); /* not before a flush */
  writelog_begin (log);
  assert_int_equal (writelog_flush (log), 0);
  assert_int_equal (writelog_end (log, true), 0);
  assert_super (2, size);
  writelog_begin (log);
  assert_int_equal (writelog_write (log, data, size, 0, true), 0);
  assert_int_equal (writelog_end (log, true), 0);
  assert_super (3, size);
  writelog_begin (log);
  assert_int_equal (writelog_trim (log, 4 * size, size, false), 0);
  assert_int_equal (writelog_end (log, true), 0);
  assert_int_equal (put_mark (log, "here"), 0);
  assert_super (5, size);
  writelog_begin (log);
  assert_int_equal (writelog_zero (log, 3 * size, 2 * size, false), 0);
  assert_int_equal (writelog_end (log, true), 0);
  writelog_status (log, &s);
  assert_int_equal (s.entries, 6);
  assert_int_equal (s.bytes, 13 * size);
  assert_int_equal (s.error, 0);
  assert_super (5, size);
  assert_int_equal (writelog_close (log), 0);

  assert_super (6, size);
  assert_entry (size, size, 7, 2, 0, "");
  assert_bytes (data, 2 * size, 2 * size);
  assert_entry (size, 4 * size, 0, 0, 1, "");
  assert_entry (size, 5 * size, 0, 1, 2, "");
  assert_bytes (data, size, 6 * size);
  assert_entry (size, 7 * size, 1, 4, 4, "");
  assert_entry (size, 8 * size, 0, 0, 8, "here");
  assert_entry (size, 9 * size, 2, 3, 0, "");
  assert_bytes (zeroes, 3 * size, 10 * size);
  assert_int_equal (file_size (path), 13 * size);
  free (data);
  free (zeroes);
}

static void
test_bytes (void **state)
{
  (void) state;
  check_bytes (512);
}

static void
test_bytes_of_large_sectors (void **state)
{
  (void) state;
  check_bytes (4096);
}

static void
assert_next (struct writelog_reader *r, uint64_t flags, uint64_t offset,
             uint64_t count)
{
  struct writelog_entry e;

  assert_int_equal (writelog_read_next (r, &e, &reason), 1);
  assert_int_equal (e.flags, flags);
  assert_int_equal (e.offset, offset);
  assert_int_equal (e.count, count);
}

/* Long zeroes become several entries, and FUA is that of the last; a trim is
 * one.
 */
static void
test_long_requests (void **state)
{
  struct writelog *log = open_log (512);
  struct writelog_reader *r;
  struct writelog_entry e;
  char byte = 1;

  (void) state;
  writelog_begin (log);
  assert_int_equal (writelog_trim (log, 300 * MIB, MIB, true), 0);
  assert_int_equal (writelog_zero (log, 100 * MIB, 512, true), 0);
  assert_int_equal (writelog_end (log, true), 0);
  assert_int_equal (writelog_close (log), 0);
  assert_int_equal (file_size (path), 100 * MIB + 4 * 512);

  r = open_reader ();
  assert_int_equal (writelog_read_entries (r), 3);
  assert_next (r, WRITELOG_DISCARD | WRITELOG_FUA, MIB, 300 * MIB);
  assert_next (r, 0, 512, 64 * MIB);
  assert_int_equal (writelog_read_data (r, &byte, 1, 64 * MIB), -EINVAL);
  assert_int_equal (writelog_read_data (r, &byte, 2, 64 * MIB - 1), -EINVAL);
  assert_next (r, WRITELOG_FUA, 64 * MIB + 512, 36 * MIB);
  assert_int_equal (writelog_read_data (r, &byte, 1, 36 * MIB - 1), 0);
  assert_int_equal (byte, 0);
  assert_int_equal (writelog_read_data (r, &byte, 1, 36 * MIB), -EINVAL);
  assert_int_equal (writelog_read_next (r, &e, &reason), 0);
  writelog_read_close (r);
}

static void
test_marks (void **state)
{
  struct writelog *log = open_log (512);
  char longest[512 - 32];
  struct writelog_reader *r;
  struct writelog_entry e;

  (void) state;
  assert_int_equal (writelog_longest_mark (log), sizeof longest - 1);
  memset (longest, 'm', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  assert_int_equal (put_mark (log, longest), 0);
  assert_int_equal (put_mark (log, ""), 0);
  assert_int_equal (writelog_close (log), 0);
  r = open_reader ();
  assert_int_equal (writelog_read_next (r, &e, &reason), 1);
  assert_int_equal (e.flags, WRITELOG_MARK);
  assert_string_equal (e.mark, longest);
  assert_int_equal (writelog_read_next (r, &e, &reason), 1);
  assert_string_equal (e.mark, "");
  assert_int_equal (writelog_read_next (r, &e, &reason), 0);
  writelog_read_close (r);

  log = open_log (512);
  assert_int_equal (put_mark (log, "0123456789"), 0);
  {
    char too_long[sizeof longest + 1];

    memset (too_long, 'm', sizeof longest);
    too_long[sizeof longest] = '\0';
    assert_int_equal (put_mark (log, too_long), -EINVAL);
  }
  assert_int_equal (writelog_close (log), 0);
  assert_super (1, 512);
}

/* What a failed request has appended goes, and leaves no trace under zeroes
 * that come after.
 */
static void
test_take_back (void **state)
{
  struct writelog *log = open_log (512);
  char data[1024], zeroes[512] = "";

  (void) state;
  memset (data, 'a', sizeof data);
  writelog_begin (log);
  assert_int_equal (writelog_write (log, data, 1024, 0, true), 0);
  assert_int_equal (writelog_end (log, false), 0);
  assert_super (0, 512);
  assert_int_equal (file_size (path), 512);
  writelog_begin (log);
  assert_int_equal (writelog_zero (log, 512, 512, false), 0);
  assert_int_equal (writelog_end (log, true), 0);
  assert_int_equal (writelog_close (log), 0);
  assert_super (1, 512);
  assert_entry (512, 512, 1, 1, 0, "");
  assert_bytes (zeroes, 512, 1024);
}

/* A server that is killed leaves what was before the last flush, and what comes
 * after it does not disturb.
 */
static void
test_killed (void **state)
{
  struct writelog *log = open_log (512);
  struct writelog_reader *r;
  struct writelog_entry e;
  char data[512] = "x";

  (void) state;
  writelog_begin (log);
  writelog_write (log, data, 512, 0, false);
  writelog_flush (log);
  writelog_write (log, data, 512, 1024, false);
  assert_int_equal (writelog_end (log, true), 0);
  writelog_begin (log);
  writelog_write (log, data, 512, 512, false);
  assert_int_equal (writelog_end (log, true), 0);

  r = open_reader ();
  assert_int_equal (writelog_read_entries (r), 3);
  assert_next (r, 0, 0, 512);
  assert_next (r, WRITELOG_FLUSH, 0, 0);
  assert_next (r, 0, 1024, 512);
  assert_int_equal (writelog_read_next (r, &e, &reason), 0);
  writelog_read_close (r);
  assert_int_equal (writelog_close (log), 0);
}

/* Who opens the log of another device is refused, and has changed nothing of
 * it.
 */
static void
test_in_use (void **state)
{
  struct writelog *log = open_log (512), *second;
  struct message why;

  (void) state;
  assert_int_equal (put_mark (log, "one"), 0);
  assert_int_equal (writelog_open (&second, path, 512, &why), -EWOULDBLOCK);
  assert_string_equal (why.text,
                       "it is in use: another device writes its log to it");
  assert_super (1, 512);
  assert_entry (512, 512, 0, 0, WRITELOG_MARK, "one");
  assert_int_equal (put_mark (log, "two"), 0);
  assert_int_equal (writelog_close (log), 0);
  assert_super (2, 512);
}

/* A log that is opened and not begun leaves the file as it was. */
static void
test_not_begun (void **state)
{
  struct writelog *log = open_log (512);
  struct message why;

  (void) state;
  assert_int_equal (put_mark (log, "kept"), 0);
  assert_int_equal (writelog_close (log), 0);
  assert_int_equal (writelog_open (&log, path, 4096, &why), 0);
  assert_super (1, 512);
  assert_int_equal (writelog_close (log), 0);
  assert_super (1, 512);
  assert_entry (512, 512, 0, 0, WRITELOG_MARK, "kept");
  assert_int_equal (file_size (path), 1024);
  log = open_log (512);
  assert_super (0, 512);
  assert_int_equal (file_size (path), 512);
  assert_int_equal (writelog_close (log), 0);
}

/*---------------------------------------------------------------------*/
/* Replay */

#define BLOCKS 64
#define OPERATIONS 400

static void
replay_next (struct writelog_reader *r, uint8_t *device)
{
  struct writelog_entry e;

  assert_int_equal (writelog_read_next (r, &e, &reason), 1);
  assert_true (e.offset + e.count <= BLOCKS * 512);
  if (e.has_data)
    assert_int_equal (writelog_read_data (r, device + e.offset, e.count, 0), 0);
  else
    memset (device + e.offset, 0, e.count);
}

static void
test_replay (void **state)
{
  static uint8_t model[OPERATIONS][BLOCKS * 512], device[BLOCKS * 512];
  static uint8_t now[BLOCKS * 512];
  uint64_t random = new_seed ("replay"), first, nr;
  struct writelog *log = open_log (512);
  struct writelog_reader *r;
  bool fua, keep;
  unsigned i, j;

  (void) state;
  for (i = 0; i < OPERATIONS;) {
    first = random_below (&random, BLOCKS);
    nr = 1 + random_below (&random, BLOCKS - first);
    fua = random_below (&random, 4) == 0;
    keep = random_below (&random, 5) != 0;
    memcpy (model[i], now, sizeof now);
    writelog_begin (log);
    switch (random_below (&random, 6)) {
    case 0:
      memset (model[i] + first * 512, 0, nr * 512);
      assert_int_equal (writelog_trim (log, nr * 512, first * 512, fua), 0);
      break;
    case 1:
      memset (model[i] + first * 512, 0, nr * 512);
      assert_int_equal (writelog_zero (log, nr * 512, first * 512, fua), 0);
      break;
    case 2:
      assert_int_equal (writelog_flush (log), 0);
      break;
    default:
      for (j = first * 512; j < (first + nr) * 512; j++)
        model[i][j] = next_random (&random);
      assert_int_equal (writelog_write (log, model[i] + first * 512, nr * 512,
                                        first * 512, fua),
                        0);
    }
    assert_int_equal (writelog_end (log, keep), 0);
    if (keep) {
      memcpy (now, model[i], sizeof now);
      i++;
    }
  }
  assert_int_equal (writelog_close (log), 0);

  r = open_reader ();
  assert_int_equal (writelog_read_sector_size (r), 512);
  assert_int_equal (writelog_read_entries (r), OPERATIONS);
  for (i = 0; i < OPERATIONS; i++) {
    replay_next (r, device);
    assert_memory_equal (device, model[i], sizeof device);
  }
  writelog_read_close (r);
}

/*---------------------------------------------------------------------*/
/* Errors */

/* The file may not grow: one request fails, and what was before it replays. */
static void
test_no_space (void **state)
{
  struct rlimit old, little;
  struct writelog *log = open_log (512);
  struct writelog_status s;
  struct writelog_reader *r;
  struct writelog_entry e;
  char data[4096] = "x";

  (void) state;
  writelog_begin (log);
  assert_int_equal (writelog_write (log, data, 512, 0, false), 0);
  assert_int_equal (writelog_end (log, true), 0);

  signal (SIGXFSZ, SIG_IGN);
  assert_int_equal (getrlimit (RLIMIT_FSIZE, &old), 0);
  little = old;
  little.rlim_cur = 4096;
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &little), 0);
  writelog_begin (log);
  assert_int_equal (writelog_write (log, data, 512, 512, false), 0);
  assert_int_equal (writelog_write (log, data, 4096, 1024, true), -EIO);
  assert_int_equal (writelog_end (log, false), 0);
  writelog_begin (log);
  assert_int_equal (writelog_zero (log, 64 * KIB, 0, false), 0);
  assert_int_equal (writelog_flush (log), 0);
  assert_int_equal (writelog_end (log, true), 0);
  assert_int_equal (put_mark (log, "late"), -EIO);
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &old), 0);
  writelog_status (log, &s);
  assert_int_equal (s.error, -EFBIG);
  assert_int_equal (s.entries, 1);
  assert_int_equal (writelog_close (log), -EFBIG);

  r = open_reader ();
  assert_int_equal (writelog_read_entries (r), 1);
  assert_next (r, 0, 0, 512);
  assert_int_equal (writelog_read_next (r, &e, &reason), 0);
  writelog_read_close (r);

  /* Zeroes that do not fit are no different. */
  log = open_log (512);
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &little), 0);
  writelog_begin (log);
  assert_int_equal (writelog_zero (log, 64 * KIB, 0, false), -EIO);
  assert_int_equal (writelog_end (log, false), 0);
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &old), 0);
  assert_int_equal (writelog_close (log), -EFBIG);
  assert_int_equal (file_size (path), 512);
}

static void
assert_not_log (const char *name, int error, const char *expected)
{
  struct writelog_reader *r;

  assert_int_equal (writelog_read_open (&r, name, &reason), error);
  assert_string_equal (reason.text, expected);
}

static void
test_not_a_file (void **state)
{
  struct writelog *log;
  struct message why;

  (void) state;
  assert_int_equal (writelog_open (&log, "/nonexistent/log", 512, &why),
                    -ENOENT);
  assert_string_equal (why.text, "No such file or directory");
  assert_int_equal (writelog_open (&log, "/dev/null", 512, &why), -EINVAL);
  assert_string_equal (why.text, "it is a character device: allowed is a "
                                 "regular file, or a name for a new one");
  assert_int_equal (writelog_open (&log, "/tmp", 512, &why), -EINVAL);
  assert_string_equal (why.text, "it is a directory: allowed is a regular "
                                 "file, or a name for a new one");
  assert_not_log ("/nonexistent/log", -ENOENT, "No such file or directory");
  assert_not_log ("/tmp", -EINVAL,
                  "it is a directory: a log is a regular file or a block "
                  "device");
  assert_not_log ("/dev/null", -EINVAL,
                  "it is a character device: a log is a regular file or a "
                  "block device");
  assert_int_equal (unlink (path), 0);
  assert_int_equal (mkfifo (path, 0600), 0);
  assert_not_log (path, -EINVAL,
                  "it is a FIFO: a log is a regular file or a block device");
  assert_int_equal (unlink (path), 0);
}

static void
poke (size_t at, uint64_t n, unsigned bytes)
{
  const int fd = open (path, O_WRONLY);
  char buf[8];

  put_le (buf, n, bytes);
  assert_int_equal (pwrite (fd, buf, bytes, at), bytes);
  close (fd);
}

/* One flush, one write of a sector, one mark. */
static void
small_log (void)
{
  struct writelog *log = open_log (512);
  char data[512] = "x";

  writelog_begin (log);
  writelog_flush (log);
  writelog_write (log, data, 512, 0, false);
  assert_int_equal (writelog_end (log, true), 0);
  assert_int_equal (put_mark (log, "end"), 0);
  assert_int_equal (writelog_close (log), 0);
}

static void
test_not_a_log (void **state)
{
  static const struct {
    size_t at;
    uint64_t n;
    unsigned bytes;
    const char *expected;
  } supers[] = {{0, 1, 1,
                 "it is not a write log: it does not begin with the magic "
                 "number of dm-log-writes"},
                {8, 2, 8, "it is a write log of version 2, not 1"},
                {24, 0, 4,
                 "it is a write log with sectors of 0 bytes: allowed are "
                 "powers of two from 512 to 65536"},
                {24, 256, 4, NULL},
                {24, 768, 4, NULL},
                {24, 1 << 17, 4, NULL}};
  struct writelog_reader *r;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof supers / sizeof supers[0]; i++) {
    small_log ();
    poke (supers[i].at, supers[i].n, supers[i].bytes);
    assert_int_equal (writelog_read_open (&r, path, &reason), -EINVAL);
    if (supers[i].expected != NULL)
      assert_string_equal (reason.text, supers[i].expected);
  }
  assert_int_equal (truncate (path, 27), 0);
  assert_not_log (path, -EINVAL,
                  "it is not a write log: it ends after 27 bytes");
  assert_int_equal (truncate (path, 0), 0);
  assert_not_log (path, -EINVAL,
                  "it is not a write log: it ends after 0 bytes");
}

static void
assert_bad_entry (unsigned nr)
{
  struct writelog_reader *r = open_reader ();
  struct writelog_entry e;

  for (; nr > 0; nr--)
    assert_int_equal (writelog_read_next (r, &e, &reason), 1);
  assert_int_equal (writelog_read_next (r, &e, &reason), -EINVAL);
  writelog_read_close (r);
}

static void
test_bad_entries (void **state)
{
  (void) state;
  small_log ();
  assert_int_equal (truncate (path, 4 * 512), 0); /* in the mark */
  assert_bad_entry (2);
  assert_string_equal (reason.text, "it is cut off in entry 3 of 3: it ends "
                                    "after 2048 bytes");
  assert_int_equal (truncate (path, 4 * 512 - 1), 0); /* in the data */
  assert_bad_entry (1);
  assert_string_equal (reason.text, "it is cut off in entry 2 of 3: it ends "
                                    "after 2047 bytes");
  assert_int_equal (truncate (path, 2 * 512 + 31), 0);
  assert_bad_entry (1);
  assert_string_equal (reason.text, "it is cut off in entry 2 of 3: it ends "
                                    "after 1055 bytes");

  small_log ();
  poke (16, 4, 8); /* more entries than there are */
  assert_bad_entry (3);
  small_log ();
  poke (512, UINT64_MAX, 8); /* sector */
  assert_bad_entry (0);
  assert_string_equal (reason.text, "entry 1 of 3 makes no sense: 0 sectors at "
                                    "sector 18446744073709551615");
  small_log ();
  poke (512, UINT64_MAX / 1024, 8);
  poke (520, 2, 8);
  assert_bad_entry (0);
  small_log ();
  poke (520, UINT64_MAX / 512, 8); /* sectors */
  assert_bad_entry (0);
  small_log ();
  poke (520, UINT64_MAX / 1024, 8); /* beyond the file */
  assert_bad_entry (0);
  small_log ();
  poke (512 + 16, 0, 8); /* zeroes instead of an entry */
  assert_bad_entry (0);
  assert_string_equal (reason.text,
                       "entry 1 of 3 makes no sense: it has no sectors, and is "
                       "neither a flush nor a mark");
  small_log ();
  poke (512 + 16, WRITELOG_FUA | WRITELOG_METADATA | WRITELOG_DISCARD, 8);
  assert_bad_entry (0);
  small_log ();
  poke (4 * 512 + 24, 480, 8); /* a mark without its NUL */
  assert_bad_entry (2);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_bytes),
      cmocka_unit_test (test_bytes_of_large_sectors),
      cmocka_unit_test (test_long_requests),
      cmocka_unit_test (test_marks),
      cmocka_unit_test (test_take_back),
      cmocka_unit_test (test_killed),
      cmocka_unit_test (test_in_use),
      cmocka_unit_test (test_not_begun),
      cmocka_unit_test (test_replay),
      cmocka_unit_test (test_no_space),
      cmocka_unit_test (test_not_a_file),
      cmocka_unit_test (test_not_a_log),
      cmocka_unit_test (test_bad_entries),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, make_file, remove_file) != 0;
}
