/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue of nullblk-ublk whose connections die, or bring no answers.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "queue-world.h"

/* Connections that die */

static unsigned answers_then; /* how many there were when others came */

/* Others make connections. */
static void
renew (void)
{
  const struct queue_connections c = {(struct nbd_handle *) &new_data,
                                      (struct nbd_handle *) &new_zones,
                                      (struct nbd_handle *) &new_config};

  answers_then = kernel.nr_answers;
  assert_true (queue_is_disconnected (queue));
  queue_renew (queue, &c);
  assert_false (queue_is_disconnected (queue));
}

static void
three_seconds (void)
{
  pass_seconds (3);
}

static void
two_seconds (void)
{
  pass_seconds (2);
}

static void
one_second (void)
{
  answers_then = kernel.nr_answers;
  pass_seconds (1);
}

static void
give_up (void)
{
  queue_give_up (queue);
}

static void
make_lasting_device (bool zoned, int dies)
{
  make_device (zoned);
  device.disconnected = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  device.persist = PERSIST;
  server.dies = dies;
}

static void
close_lost (void)
{
  close (device.disconnected);
}

/* What was in flight, and what came meanwhile, is sent by the new connection;
 * without one it fails at once, or when nobody waits any longer, until there is
 * one.
 */
static void
test_renew (void **state)
{
  (void) state;
  make_device (false);
  server.dies = 0;
  RUN (one_read, another_read);
  answered (0, 3, -EIO);
  answered (1, 4, -EIO);

  make_lasting_device (false, 0);
  RUN (one_read, another_read, renew, one_read);
  assert_int_equal (answers_then, 0);
  assert_int_equal (kernel.nr_answers, 3);
  answered (0, 3, 8192);
  answered (1, 4, 4096);
  answered (2, 3, 8192);
  assert_int_equal (server.nr_asked, 2 + 3);
  assert_ptr_equal (server.asked[2].link, &new_data);
  assert_int_equal (server.asked[2].offset, 4096);
  close_lost ();

  make_lasting_device (false, 0);
  RUN (one_read, three_seconds, two_seconds, one_second, another_read, renew,
       one_read);
  assert_int_equal (kernel.nr_answers, 3);
  answered (0, 3, -EIO);
  answered (1, 4, -EIO);
  assert_int_equal (answers_then, 2);
  answered (2, 3, 8192);
  close_lost ();

  make_lasting_device (false, 0);
  RUN (one_read, give_up, another_read);
  answered (0, 3, -EIO);
  answered (1, 4, -EIO);
  close_lost ();
}

static void
renew_in_vain (void)
{
  renew ();
  server.dies = 0;
}

static void
die (void)
{
  server.dies = 0;
}

static void
nothing_is_counted (void)
{
  take_commands ();
  assert_null (kernel.second);
}

/* Connections that bring no answer do not begin the seconds anew; one that
 * brings an answer does, and so does one that nobody has waited for.
 */
static void
test_seconds (void **state)
{
  (void) state;
  make_lasting_device (false, 0);
  RUN (one_read, three_seconds, renew_in_vain, two_seconds, one_second);
  assert_int_equal (answers_then, 0);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 3, -EIO);
  close_lost ();

  make_lasting_device (false, 0);
  RUN (one_read, three_seconds, renew_in_vain, three_seconds, renew_in_vain,
       another_read);
  assert_int_equal (kernel.nr_answers, 2);
  answered (1, 4, -EIO);
  close_lost ();

  make_lasting_device (false, 0);
  RUN (one_read, three_seconds, renew, die, one_read, three_seconds,
       two_seconds, one_second);
  assert_int_equal (answers_then, 1);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 3, 8192);
  answered (1, 3, -EIO);
  close_lost ();

  make_lasting_device (false, 0);
  RUN (one_read, three_seconds, three_seconds, renew, one_second,
       nothing_is_counted, die, another_read, three_seconds, two_seconds,
       one_second);
  assert_int_equal (answers_then, 1);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 3, -EIO);
  answered (1, 4, -EIO);
  close_lost ();
}

static void
fall_silent (void)
{
  server.is_silent = true;
}

static void
speak (void)
{
  server.is_silent = false;
}

/* After three_seconds. */
static void
almost_time_out (void)
{
  pass_seconds (TIMEOUT - 3);
}

static void
time_out (void)
{
  pass_seconds (TIMEOUT);
  one_second ();
}

/* A server that does not answer a request in time counts as dead; one that does
 * so at the last moment does not.
 */
static void
test_silence (void **state)
{
  (void) state;
  make_device (false);
  RUN (fall_silent, one_read, three_seconds, another_read, almost_time_out,
       one_second, one_read);
  assert_int_equal (answers_then, 0);
  assert_int_equal (kernel.nr_answers, 3);
  answered (0, 3, -ETIMEDOUT);
  answered (1, 4, -EIO);
  answered (2, 3, -EIO);

  make_device (false);
  RUN (fall_silent, one_read, three_seconds, almost_time_out, speak,
       another_read, one_second, nothing_is_counted, one_read);
  assert_int_equal (kernel.nr_answers, 3);
  answered (0, 3, 8192);
  answered (1, 4, 4096);
  answered (2, 3, 8192);

  /* Nor can anybody see then why a write to a zone has failed. */
  make_device (true);
  RUN (fall_silent, one_write, time_out);
  assert_int_equal (answers_then, 0);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, -ETIMEDOUT);
}

/* With others, what was not answered is sent again, and has time again; but not
 * for ever, where these do not answer either.
 */
static void
test_silence_lasting (void **state)
{
  (void) state;
  make_lasting_device (false, -1);
  RUN (fall_silent, one_read, time_out, speak, renew);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 3, 8192);
  assert_int_equal (server.nr_asked, 2);
  close_lost ();

  make_lasting_device (false, -1);
  device.persist = TIMEOUT + 5;
  RUN (fall_silent, one_read, time_out, renew, time_out, three_seconds,
       one_second, one_second);
  assert_int_equal (answers_then, 0);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 3, -EIO);
  assert_int_equal (server.nr_asked, 2);
  close_lost ();
}

static void
ignore_reads (void)
{
  server.ignored = 4096;
}

static void
stop_ignoring (void)
{
  server.ignored = 0;
  renew ();
}

/* Nor is one sent again for ever that is ignored while others are answered. */
static void
test_ignored (void **state)
{
  (void) state;
  make_lasting_device (false, -1);
  RUN (ignore_reads, one_read, another_read, time_out, renew, another_read,
       time_out, renew, another_read);
  assert_int_equal (kernel.nr_answers, 4);
  answered (0, 4, 4096);
  answered (1, 4, 4096);
  answered (2, 3, -ETIMEDOUT);
  answered (3, 4, 4096);
  close_lost ();

  /* It was ignored for a while. */
  make_lasting_device (false, -1);
  RUN (ignore_reads, one_read, time_out, stop_ignoring, another_read);
  answered (0, 3, 8192);
  answered (1, 4, 4096);
  close_lost ();

  /* It has its time with each connection. */
  make_lasting_device (false, -1);
  device.persist = 2 * TIMEOUT;
  RUN (ignore_reads, one_read, time_out, renew, another_read, time_out, renew,
       another_read, time_out, renew, another_read);
  answered (0, 4, 4096);
  answered (1, 4, 4096);
  answered (2, 3, -ETIMEDOUT);
  answered (3, 4, 4096);
  close_lost ();
}

static void
written_before (void)
{
  was_done (ZONE_COND_CLOSED, 16);
  renew ();
}

static void
not_written_before (void)
{
  was_done (ZONE_COND_CLOSED, 8);
  renew ();
}

static void
plain_write (void)
{
  ask (5, UBLK_IO_OP_WRITE, 0, 8);
}

static void
durable_write (void)
{
  ask (5, UBLK_IO_OP_WRITE | UBLK_IO_F_FUA, 0, 8);
}

static void
flush (void)
{
  ask (6, UBLK_IO_OP_FLUSH, 0, 0);
}

/* What was written before connections died may not be durable by a flush of
 * others, unless the server says so: that flush fails, and no other.
 */
static void
test_flush (void **state)
{
  (void) state;
  make_lasting_device (false, -1);
  RUN (plain_write, die, another_read, renew, flush, flush);
  assert_int_equal (kernel.nr_answers, 4);
  answered (0, 5, 4096);
  answered (1, 4, 4096);
  answered (2, 6, -EIO);
  answered (3, 6, 0);
  close_lost ();

  /* A flush that was in flight. */
  make_lasting_device (false, -1);
  RUN (plain_write, die, flush, renew);
  answered (1, 6, -EIO);
  close_lost ();

  make_lasting_device (false, -1);
  device.multi_conn = true;
  RUN (plain_write, die, flush, renew);
  answered (1, 6, 0);
  close_lost ();

  make_lasting_device (false, -1);
  RUN (durable_write, die, flush, renew);
  answered (1, 6, 0);
  close_lost ();

  make_lasting_device (false, -1);
  RUN (plain_write, flush, die, another_read, renew, plain_write, flush);
  assert_int_equal (kernel.nr_answers, 5);
  answered (1, 6, 0);
  answered (4, 6, 0);
  close_lost ();
}

static void
finished_before (void)
{
  was_done (ZONE_COND_FULL, 0);
  renew ();
}

/* Of two appends the first has been done; the server takes the second one. */
static void
one_appended_before (void)
{
  was_done (ZONE_COND_CLOSED, 8);
  server.refuses_once = true;
  renew ();
}

/* What was done the first time has been done. */
static void
test_done_before (void **state)
{
  (void) state;
  make_lasting_device (true, 0);
  RUN (one_write, written_before);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, 4096);
  close_lost ();

  /* But by a connection for which no other one can flush. */
  make_lasting_device (true, 0);
  RUN (one_write, written_before, flush, flush);
  answered (0, 0, 4096);
  answered (1, 6, -EIO);
  answered (2, 6, 0);
  close_lost ();

  make_lasting_device (true, 0);
  RUN (one_write, not_written_before);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, -EIO);
  close_lost ();

  /* This one was never sent before: it was only ever refused. */
  make_lasting_device (true, 0);
  RUN (one_read, one_write, written_before);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 3, 8192);
  answered (1, 0, -EIO);
  close_lost ();

  make_lasting_device (true, 0);
  RUN (one_finish, finished_before);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, 0);
  close_lost ();

  make_lasting_device (true, 0);
  RUN (one_finish, written_before);
  answered (0, 0, -EIO);
  close_lost ();

  /* The zone's pointer is read first. */
  make_lasting_device (true, 1);
  RUN (two_appends, one_appended_before);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 1, 4096);
  assert_int_equal (kernel.answers[0].sector, 2 * ZONE_SECTORS + 8);
  answered (1, 0, 4096);
  assert_int_equal (kernel.answers[1].sector, 2 * ZONE_SECTORS);
  close_lost ();
}

static void
write_to_zone_2 (void)
{
  ask (1, UBLK_IO_OP_WRITE, 2 * ZONE_SECTORS, 8);
}

static void
limits_are_full (void)
{
  server.write_error = -ENOSPC;
  table[6].cond = table[7].cond = ZONE_COND_CLOSED;
}

/* The second one waits for the next table. */
static void
two_refused_writes (void)
{
  limits_are_full ();
  one_write ();
  write_to_zone_2 ();
}

/* The table is read again where the connection dies under it: the first, or the
 * next one.
 */
static void
test_table_again (void **state)
{
  int dies;
  unsigned i;

  (void) state;
  for (dies = 2; dies <= 3; dies++) {
    make_lasting_device (true, dies);
    plan.params.max_active_zones = 2;
    RUN (two_refused_writes, renew);
    assert_int_equal (kernel.nr_answers, 2);
    for (i = 0; i < 2; i++)
      assert_int_equal (kernel.answers[i].result, -EOVERFLOW);
    close_lost ();
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_renew),
      cmocka_unit_test (test_seconds),
      cmocka_unit_test (test_silence),
      cmocka_unit_test (test_silence_lasting),
      cmocka_unit_test (test_ignored),
      cmocka_unit_test (test_flush),
      cmocka_unit_test (test_done_before),
      cmocka_unit_test (test_table_again),
  };

  return RUN_TESTS (tests);
}
