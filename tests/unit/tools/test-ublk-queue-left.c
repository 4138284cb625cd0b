/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue of nullblk-ublk that takes over what a dead process has left.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "queue-world.h"

static int journal_file;

/* A process has made the device, and had an operation of 4 KiB with the server
 * at each of these sectors of zone 2, up to -1.
 */
static void
leave_requests (enum ublk_operation operation, const int *sectors)
{
  struct journal *j;
  unsigned i;

  make_device (true);
  device.was_served = true;
  journal_file = memfd_create ("journal", MFD_CLOEXEC);
  assert_int_not_equal (journal_file, -1);
  assert_int_equal (journal_make (&j, journal_file, 1, DEPTH), 0);
  for (i = 0; sectors[i] != -1; i++)
    journal_send (j, i, operation, 2 * ZONE_SIZE + sectors[i] * 512, 4096);
  journal_close (j);
  assert_int_equal (journal_read (&j, journal_file, 1, DEPTH), 0);
  device.journal = j;
}
#define LEAVE(operation, ...)                                                  \
  leave_requests (operation, (const int[]){__VA_ARGS__})

/* Would the next process find any? */
static bool
end_journal (void)
{
  struct journal *j;
  bool r;

  journal_close (device.journal);
  assert_int_equal (journal_read (&j, journal_file, 1, DEPTH), 0);
  r = journal_has_orphans (j);
  journal_close (j);
  close (journal_file);
  return r;
}

/* Zone 2 is written up to there, in sectors. */
static void
written_up_to (uint64_t sectors)
{
  table[2].cond = ZONE_COND_CLOSED;
  table[2].wp = htole64 (2 * ZONE_SECTORS + sectors);
}

/* What a request of the kernel's writes, or was written: 4 KiB of BYTE. */
static void
put_data_of (unsigned tag, unsigned at, unsigned char byte)
{
  unsigned char block[4096];

  memset (block, byte, sizeof block);
  assert_int_equal (
      pwrite (device.fd, block, sizeof block, ublk_data_offset (0, tag) + at),
      sizeof block);
}

static void
store (uint64_t sector, unsigned char byte)
{
  memset (content + 2 * ZONE_SIZE + sector * 512, byte, 4096);
}

static void
is_stored (uint64_t sector, unsigned char byte)
{
  unsigned i;

  for (i = 0; i < 4096; i++)
    assert_int_equal (content[2 * ZONE_SIZE + sector * 512 + i], byte);
}

static unsigned
writes (void)
{
  unsigned i, n = 0;

  for (i = 0; i < server.nr_asked; i++)
    n += server.asked[i].kind == IO_WRITE;
  return n;
}

static void
long_write (void)
{
  ask (0, UBLK_IO_OP_WRITE, 2 * ZONE_SECTORS + 8, 16);
}

/* A write, or a command, that a dead process has sent has been done if its zone
 * says so, and no other one has.
 */
static void
test_left_writes (void **state)
{
  (void) state;
  LEAVE (UBLK_IO_OP_WRITE, 8, -1);
  written_up_to (16);
  server.write_error = -EIO;
  RUN (one_write, one_write);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 0, 4096);
  answered (1, 0, -EIO);
  assert_false (end_journal ());

  LEAVE (UBLK_IO_OP_WRITE, 16, -1);
  written_up_to (16);
  server.write_error = -EIO;
  RUN (one_write);
  answered (0, 0, -EIO);
  assert_true (end_journal ());

  LEAVE (UBLK_IO_OP_WRITE, 8, -1);
  written_up_to (8);
  server.write_error = -EIO;
  RUN (one_write);
  answered (0, 0, -EIO);
  assert_false (end_journal ());

  LEAVE (UBLK_IO_OP_ZONE_FINISH, 0, -1);
  was_done (ZONE_COND_FULL, 0);
  RUN (one_finish);
  answered (0, 0, 0);
  assert_false (end_journal ());
}

/* The kernel has merged it with the one that follows it. */
static void
test_left_grown (void **state)
{
  (void) state;
  LEAVE (UBLK_IO_OP_WRITE, 8, -1);
  put_data_of (0, 0, 'a');
  put_data_of (0, 4096, 'b');
  written_up_to (16);
  store (8, 'a');
  server.write_error = -EIO;
  server.refuses_once = true;
  RUN (long_write);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, 8192);
  is_stored (8, 'a');
  is_stored (16, 'b');
  assert_false (end_journal ());

  /* Nothing of it was done. */
  LEAVE (UBLK_IO_OP_WRITE, 8, -1);
  put_data_of (0, 0, 'a');
  put_data_of (0, 4096, 'b');
  written_up_to (8);
  RUN (long_write);
  answered (0, 0, 8192);
  is_stored (8, 'a');
  is_stored (16, 'b');
  assert_false (end_journal ());
}

static void
appended_at (unsigned i, unsigned tag, uint64_t sector)
{
  answered (i, tag, 4096);
  assert_int_equal (kernel.answers[i].sector, 2 * ZONE_SECTORS + sector);
}

/* An append is where the dead process has sent it, if its data is there; or
 * goes to the write pointer.
 */
static void
test_left_appends (void **state)
{
  (void) state;
  LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  store (8, 'a');
  written_up_to (24);
  RUN (one_append);
  appended_at (0, 0, 8);
  assert_int_equal (writes (), 0);
  assert_false (end_journal ());

  /* It is something else that is there. */
  LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  store (8, 'b');
  written_up_to (24);
  RUN (one_append);
  appended_at (0, 0, 24);
  is_stored (24, 'a');
  assert_true (end_journal ());

  /* Nothing is there, whatever can be read. */
  LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, -1);
  written_up_to (8);
  RUN (one_append);
  appended_at (0, 0, 8);
  assert_int_equal (writes (), 1);
  assert_false (end_journal ()); /* nor can it come to be there */

  /* It cannot be read what is there. */
  LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  store (8, 'a');
  written_up_to (24);
  server.read_error = -EIO;
  RUN (one_append);
  answered (0, 0, -EIO);
  assert_int_equal (writes (), 0);
  assert_true (end_journal ());

  /* The zone was reset since. */
  LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, -1);
  written_up_to (24);
  journal_drop (device.journal, 2 * ZONE_SIZE, 3 * ZONE_SIZE);
  RUN (one_append);
  appended_at (0, 0, 24);
  assert_false (end_journal ());
}

static void
fifty_nine_seconds (void)
{
  pass_seconds (59);
}

static void
one_second (void)
{
  pass_seconds (1);
}

static void
nothing_is_counted (void)
{
  take_commands ();
  assert_null (kernel.second);
}

/* The server does not answer what has all tags, until a second is over. */
static void
ask_all_tags (void)
{
  unsigned tag;

  server.is_silent = true;
  for (tag = 0; tag < DEPTH; tag++)
    ask (tag, UBLK_IO_OP_READ, 8, 16);
}

static void
speak (void)
{
  pass_seconds (1);
  server.is_silent = false;
}

/* An append that a dead process has sent is at sector 8 of zone 2. */
static void
leave_append (void)
{
  LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  store (8, 'a');
  written_up_to (24);
}

/* The kernel has heard of an append that nobody had forgotten.  When it must
 * have asked again for all others, one with the same data is another one.
 */
static void
test_left_for_ever (void **state)
{
  (void) state;
  leave_append ();
  RUN (fifty_nine_seconds, one_append);
  appended_at (0, 0, 8);
  assert_false (end_journal ());

  leave_append ();
  RUN (fifty_nine_seconds, one_second, nothing_is_counted, one_append);
  appended_at (0, 0, 24);
  assert_false (end_journal ());

  /* Meanwhile it could not ask. */
  leave_append ();
  RUN (fifty_nine_seconds, ask_all_tags, speak, one_second, fifty_nine_seconds,
       nothing_is_counted);
  assert_int_equal (kernel.nr_answers, DEPTH);
  assert_false (end_journal ());

  leave_append ();
  RUN (fifty_nine_seconds, ask_all_tags, speak, fifty_nine_seconds);
  assert_true (end_journal ());
}

static void
reset_then_append (void)
{
  ask (1, UBLK_IO_OP_ZONE_RESET, 2 * ZONE_SECTORS, 0);
}

static void
reset_all (void)
{
  ask (1, UBLK_IO_OP_ZONE_RESET_ALL, 0, 0);
}

/* After a reset there is nothing of a dead process. */
static void
test_left_and_reset (void **state)
{
  unsigned i;

  (void) state;
  for (i = 0; i < 2; i++) {
    LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, 16, -1);
    written_up_to (24); /* this server does not say that it has done it */
    if (i == 0)
      RUN (reset_then_append, one_append);
    else
      RUN (reset_all, one_append);
    answered (0, 1, 0);
    appended_at (1, 0, 24);
    assert_false (end_journal ());
  }
}

static void
three_appends (void)
{
  two_appends ();
  ask (2, UBLK_IO_OP_ZONE_APPEND, 2 * ZONE_SECTORS, 8);
}

/* Each has its own data; those that have the same are as good as each other. */
static void
test_left_many (void **state)
{
  (void) state;
  LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, 16, 24, -1);
  put_data_of (0, 0, 'c');
  put_data_of (1, 0, 'b');
  put_data_of (2, 0, 'a');
  store (8, 'a');
  store (16, 'b');
  store (24, 'c');
  written_up_to (32);
  RUN (three_appends);
  assert_int_equal (kernel.nr_answers, 3);
  assert_int_equal (writes (), 0);
  appended_at (0, 2, 8);
  appended_at (1, 1, 16);
  appended_at (2, 0, 24);
  assert_false (end_journal ());

  LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, 16, -1);
  put_data_of (0, 0, 'a');
  put_data_of (1, 0, 'a');
  put_data_of (2, 0, 'a');
  store (8, 'a');
  store (16, 'a');
  written_up_to (24);
  RUN (three_appends);
  assert_int_equal (kernel.nr_answers, 3);
  assert_int_equal (writes (), 1);
  assert_int_equal (kernel.answers[0].sector + kernel.answers[1].sector,
                    4 * ZONE_SECTORS + 8 + 16);
  assert_int_equal (kernel.answers[2].sector, 2 * ZONE_SECTORS + 24);
  assert_false (end_journal ());
}

/* The server does what a dead process has sent only when the same has been sent
 * once more: that fails, and is found.
 */
static void
test_left_late (void **state)
{
  (void) state;
  LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  written_up_to (8);
  server.has_late_write = true;
  server.late_byte = 'a';
  RUN (one_append);
  appended_at (0, 0, 8);
  assert_int_equal (writes (), 1);
  assert_false (end_journal ());

  /* It was another one, which comes later. */
  LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  put_data_of (1, 0, 'b');
  written_up_to (8);
  server.has_late_write = true;
  server.late_byte = 'b';
  RUN (one_append, two_appends);
  appended_at (0, 0, 16);
  assert_int_equal (kernel.nr_answers, 3);
  appended_at (1, 1, 8);
  assert_false (end_journal ());

  /* There is no room for it any more. */
  LEAVE (UBLK_IO_OP_ZONE_APPEND, ZONE_SECTORS - 8, -1);
  put_data_of (0, 0, 'a');
  written_up_to (ZONE_SECTORS - 8);
  server.late_read = 2;
  server.late_byte = 'a';
  RUN (one_append);
  appended_at (0, 0, ZONE_SECTORS - 8);
  assert_int_equal (writes (), 0);
  assert_false (end_journal ());

  /* It fails for another reason. */
  LEAVE (UBLK_IO_OP_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  written_up_to (8);
  server.write_error = -EIO;
  RUN (one_append);
  answered (0, 0, -EIO);
  assert_int_equal (writes (), 2);
  end_journal ();
}

static void
take_nothing (void)
{
  kernel.takes_nothing = true;
  one_append ();
}

/* What the kernel may not have heard of is remembered. */
static void
test_remembered (void **state)
{
  (void) state;
  LEAVE (UBLK_IO_OP_READ, -1);
  RUN (one_append, one_write);
  assert_int_equal (kernel.nr_answers, 2);
  assert_false (end_journal ());

  LEAVE (UBLK_IO_OP_READ, -1);
  RUN (take_nothing);
  assert_int_equal (kernel.nr_answers, 1);
  assert_true (end_journal ());

  /* One of the same tag takes its place. */
  LEAVE (UBLK_IO_OP_READ, -1);
  RUN (take_nothing, one_read, one_write, another_read);
  assert_int_equal (kernel.nr_answers, 4);
  assert_true (end_journal ());
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_left_writes),
      cmocka_unit_test (test_left_grown),
      cmocka_unit_test (test_left_appends),
      cmocka_unit_test (test_left_for_ever),
      cmocka_unit_test (test_left_and_reset),
      cmocka_unit_test (test_left_many),
      cmocka_unit_test (test_left_late),
      cmocka_unit_test (test_remembered),
  };

  return RUN_TESTS (tests);
}
