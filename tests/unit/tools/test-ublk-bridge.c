/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device of nullblk-ublk from its beginning to its end, before a kernel that
 * is in bridge-world.c.
 */

#include <config.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bridge-world.h"
#include "command-ring.h"
#include "records.h"

static const struct bridge_options options = {
    .argument = "nbd://server/nullb0", .queues = 1, .depth = 16};

static void
open_bridge (void)
{
  open_bridge_of (&options);
}

/* It says WORDS, and leaves nothing. */
static void
opens_none (const char *words)
{
  bridge = bridge_open (&options, &failure, &why);
  assert_null (bridge);
  if (strstr (why.text, words) == NULL)
    fail_msg ("\"%s\" has no \"%s\"", why.text, words);
  assert_false (kernel->has_device);
  assert_int_equal (records (), 0);
}

/* What may wait for the device is asked by the second process. */
static void
test_life (void **state)
{
  unsigned i;

  (void) state;
  for (i = 0; i < 2; i++) {
    make_kernel (i == 1);
    open_bridge ();
    WERE_ASKED (ADD, SET_PARAMS, START);
    assert_int_equal (kernel->asked_by[0], getpid ());
    assert_int_equal (kernel->asked_by[1], getpid ());
    assert_int_not_equal (kernel->asked_by[2], getpid ());
    close_bridge (BRIDGE_CLOSED);
    /* The first is asked while somebody may still refuse, the second to end
     * what there is.
     */
    WERE_ASKED (ADD, SET_PARAMS, START, STOP, STOP, DELETE_ASYNC);
    assert_int_not_equal (kernel->asked_by[3], getpid ());
    assert_int_not_equal (kernel->asked_by[5], getpid ());
    assert_false (kernel->has_device);
    assert_int_equal (records (), 0);
  }
}

static void
test_no_driver (void **state)
{
  (void) state;
  make_kernel (false);
  kernel->has_driver = false;
  opens_none ("the module ublk_drv is missing");
  assert_int_equal (failure, BRIDGE_IMPOSSIBLE);
  assert_int_equal (modules_asked, 1);
}

static void
test_no_rings (void **state)
{
  (void) state;
  make_kernel (false);
  command_ring_errno = EPERM;
  opens_none ("io_uring_disabled");
  command_ring_errno = EINVAL;
  opens_none ("too old: Linux 6.6");
}

static void
test_too_old (void **state)
{
  (void) state;
  make_kernel (false);
  kernel->features = UBLK_F_ZONED;
  opens_none ("ublk driver is too old: Linux 6.6");
  make_kernel (false);
  refuse (GET_FEATURES, -524, MOST); /* Linux 6.4 */
  opens_none ("ublk driver is too old: Linux 6.6");
  make_kernel (false);
  refuse (GET_FEATURES, -EPERM, MOST);
  opens_none ("only root");
  assert_int_equal (failure, BRIDGE_IMPOSSIBLE);
  make_kernel (false);
  refuse (GET_FEATURES, -ENOMEM, MOST);
  opens_none ("does not say what it can do: Cannot allocate memory");
  assert_int_equal (failure, BRIDGE_FAILED);
  assert_int_equal (kernel->nr_asked, 0);
}

/* Linux 6.5 does not know what zones are; one without BLK_DEV_ZONED does, and
 * does not do it.
 */
static void
test_no_zones (void **state)
{
  (void) state;
  make_kernel (true);
  kernel->features = UBLK_F_USER_COPY;
  opens_none ("ublk driver has no zones");
  assert_int_equal (failure, BRIDGE_IMPOSSIBLE);
  assert_int_equal (kernel->nr_asked, 0);
  make_kernel (true);
  kernel->flags = UBLK_F_USER_COPY;
  opens_none ("BLK_DEV_ZONED");
  assert_int_equal (failure, BRIDGE_IMPOSSIBLE);
  WERE_ASKED (ADD, STOP, DELETE_ASYNC);
  make_kernel (false);
  kernel->features = kernel->flags = UBLK_F_USER_COPY;
  open_bridge ();
  close_bridge (BRIDGE_CLOSED);
}

static void
test_refused (void **state)
{
  (void) state;
  make_kernel (false);
  refuse (ADD, -EACCES, 1);
  opens_none ("ublks_max");
  make_kernel (false);
  refuse (SET_PARAMS, -EINVAL, 1);
  opens_none ("does not take");
  assert_int_equal (failure, BRIDGE_FAILED);
  make_kernel (true);
  refuse (START, -EIO, 1);
  opens_none ("does not start the device");
  WERE_ASKED (ADD, SET_PARAMS, START, STOP, DELETE_ASYNC);
}

/* Linux 7.0 says itself whether a device is open; here that fails at first. */
static void
open_with_try_stop (int result, unsigned times)
{
  make_kernel (false);
  kernel->features |= UBLK_F_SAFE_STOP_DEV;
  refuse (TRY_STOP, result, times);
  open_bridge ();
}

static void
test_in_use (void **state)
{
  (void) state;
  open_with_try_stop (-EBUSY, 2);
  close_bridge (BRIDGE_NOT_CLOSED);
  assert_string_equal (why.text, "/dev/ublkb4095 is in use");
  close_bridge (BRIDGE_NOT_CLOSED);
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  close_bridge (BRIDGE_CLOSED);
  WERE_ASKED (ADD, SET_PARAMS, START, TRY_STOP, TRY_STOP, TRY_STOP, STOP,
              DELETE_ASYNC);
  assert_int_equal (records (), 0);
}

/* By who has opened it while it was flushed. */
static void
test_used_since (void **state)
{
  (void) state;
  make_kernel (false);
  kernel->can_be_held = true;
  kernel->opened_after = 1;
  open_bridge ();
  close_bridge (BRIDGE_NOT_CLOSED);
  assert_non_null (strstr (why.text, "cannot be told"));
  WERE_ASKED (ADD, SET_PARAMS, START);
  assert_true (is_aide (0));
  kernel->opened_after = 0;
  close_bridge (BRIDGE_CLOSED);
  WERE_ASKED (ADD, SET_PARAMS, START, STOP, STOP, DELETE_ASYNC);
}

/* The kernel tells of a flush that fails once only. */
static void
test_lost_before_refusal (void **state)
{
  (void) state;
  make_kernel (false);
  kernel->can_be_held = true;
  kernel->opened_after = 1;
  kernel->flush_errno = EIO;
  open_bridge ();
  close_bridge (BRIDGE_NOT_CLOSED);
  kernel->opened_after = 0;
  kernel->flush_errno = 0;
  close_bridge (BRIDGE_CLOSED_BADLY);
  assert_non_null (strstr (why.text, "not all that was written"));
}

/* The kernel may tell of what it could not write before the flush, once or for
 * ever.
 */
static void
test_lost_before_flush (void **state)
{
  static const unsigned failures[] = {1, UINT32_MAX};
  unsigned i;

  (void) state;
  for (i = 0; i < sizeof failures / sizeof *failures; i++) {
    make_kernel (false);
    kernel->can_be_held = true;
    kernel->failing_syncs = failures[i];
    open_bridge ();
    close_bridge (BRIDGE_CLOSED_BADLY);
    assert_non_null (strstr (why.text, "not all that was written"));
    assert_int_equal (kernel->flushes, 1);
  }
}

/* Where it cannot be opened to flush it, nothing is stopped. */
static void
test_not_held (void **state)
{
  (void) state;
  make_kernel (false);
  kernel->opens_badly = true;
  open_bridge ();
  close_bridge (BRIDGE_NOT_CLOSED);
  assert_non_null (strstr (why.text, "cannot be told"));
  WERE_ASKED (ADD, SET_PARAMS, START);
  kernel->opens_badly = false;
  close_bridge (BRIDGE_CLOSED);
}

/* The aide is killed, as where memory is short: nobody can be asked whether the
 * device is in use, and it is served on.
 */
static void
test_aide_killed (void **state)
{
  siginfo_t info;
  pid_t aide;

  (void) state;
  make_kernel (false);
  open_bridge ();
  aide = kernel->asked_by[2];
  assert_int_equal (kill (aide, SIGKILL), 0);
  assert_int_equal (waitid (P_PID, aide, &info, WEXITED | WNOWAIT), 0);
  close_bridge (BRIDGE_NOT_CLOSED);
  assert_string_equal (why.text, "/dev/ublkb4095: it cannot be told whether it "
                                 "is in use: No such process");
  WERE_ASKED (ADD, SET_PARAMS, START);
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  kept = bridge;
  device_record_for_each (remove_record, NULL);
}

/* By who has written while it was flushed, and has closed it again. */
static void
test_written_since (void **state)
{
  (void) state;
  make_kernel (false);
  kernel->can_be_held = true;
  open_bridge ();
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (kernel->flushes, 1);
  assert_true (kernel->flushed_by_aide);

  make_kernel (false);
  kernel->can_be_held = true;
  kernel->writes_during = 2;
  open_bridge ();
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (kernel->flushes, 3);

  /* That these writes get lost is told as well. */
  make_kernel (false);
  kernel->can_be_held = true;
  kernel->writes_during = 1;
  kernel->flush_errno = EIO;
  open_bridge ();
  close_bridge (BRIDGE_CLOSED_BADLY);
  assert_non_null (strstr (why.text, "not all that was written"));
  assert_int_equal (kernel->flushes, 2);

  /* Somebody writes again and again; what is written last gets lost. */
  make_kernel (false);
  kernel->can_be_held = true;
  kernel->writes_during = UINT32_MAX;
  open_bridge ();
  close_bridge (BRIDGE_CLOSED_BADLY);
  assert_non_null (strstr (why.text, "not all that was written"));
  assert_int_equal (kernel->flushes, 10);

  /* Also where the kernel refuses to stop what is open: no flush follows. */
  open_with_try_stop (0, 1);
  kernel->can_be_held = true;
  kernel->writes_during = UINT32_MAX;
  close_bridge (BRIDGE_CLOSED_BADLY);
  assert_int_equal (kernel->flushes, 10);

  /* While it is looked once more whether somebody has it open. */
  make_kernel (false);
  kernel->can_be_held = true;
  kernel->written_at = 3;
  open_bridge ();
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (kernel->looks, 4);
  assert_int_equal (kernel->flushes, 2);
}

static void
test_cannot_be_told (void **state)
{
  (void) state;
  open_with_try_stop (-EIO, 1);
  close_bridge (BRIDGE_NOT_CLOSED);
  assert_non_null (strstr (why.text, "cannot be told"));
  close_bridge (BRIDGE_CLOSED);
}

/* A device that does not know the command although the driver does. */
static void
test_try_stop_unknown (void **state)
{
  (void) state;
  open_with_try_stop (-EOPNOTSUPP, 1);
  close_bridge (BRIDGE_CLOSED);
  WERE_ASKED (ADD, SET_PARAMS, START, TRY_STOP, STOP, STOP, DELETE_ASYNC);
}

/* Before Linux 6.9 it has to be waited for; and until the end of 2024 kernels
 * refused commands that they did not know with a number of their own.
 */
static void
test_delete_waits (void **state)
{
  static const int refusals[] = {-EOPNOTSUPP, -EINVAL, -524};
  unsigned i;

  (void) state;
  for (i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    make_kernel (false);
    refuse (DELETE_ASYNC, refusals[i], 1);
    open_bridge ();
    close_bridge (BRIDGE_CLOSED);
    WERE_ASKED (ADD, SET_PARAMS, START, STOP, STOP, DELETE_ASYNC, DELETE);
  }
}

/* Somebody else has been quicker. */
static void
test_gone (void **state)
{
  (void) state;
  make_kernel (false);
  open_bridge ();
  kernel->has_device = false;
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (records (), 0);

  make_kernel (false);
  kernel->is_going = true;
  open_bridge ();
  close_bridge (BRIDGE_CLOSED);
}

/* The record stays, by which --list and --detach find the device: the process
 * is to end, and keeps what it has.
 */
static void
fails_to_end (enum command command)
{
  make_kernel (false);
  refuse (command, -EIO, MOST);
  open_bridge ();
  close_bridge (BRIDGE_CLOSED_BADLY);
  assert_string_equal (why.text,
                       "/dev/ublkb4095 does not end: Input/output error");
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  device_record_for_each (remove_record, NULL);
}

static void
test_delete_fails (void **state)
{
  (void) state;
  fails_to_end (DELETE_ASYNC);
}

/* The kernel has waited for the child that opens the device: then nobody knows
 * what the child has found.
 */
static void
test_child_unknown (void **state)
{
  void (*const before) (int) = signal (SIGCHLD, SIG_IGN);

  (void) state;
  make_kernel (false);
  assert_int_equal (users_find_of_dead ("ublkb4095", 0), -ECHILD);
  assert_ptr_not_equal (signal (SIGCHLD, before), SIG_ERR);
  assert_int_equal (users_find_of_dead ("ublkb4095", 0), 0);
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_life),
      cmocka_unit_test (test_no_driver),
      cmocka_unit_test (test_no_rings),
      cmocka_unit_test (test_too_old),
      cmocka_unit_test (test_no_zones),
      cmocka_unit_test (test_refused),
      cmocka_unit_test (test_in_use),
      cmocka_unit_test (test_used_since),
      cmocka_unit_test (test_lost_before_refusal),
      cmocka_unit_test (test_lost_before_flush),
      cmocka_unit_test (test_not_held),
      cmocka_unit_test (test_aide_killed),
      cmocka_unit_test (test_written_since),
      cmocka_unit_test (test_cannot_be_told),
      cmocka_unit_test (test_try_stop_unknown),
      cmocka_unit_test (test_delete_waits),
      cmocka_unit_test (test_gone),
      cmocka_unit_test (test_delete_fails),
      cmocka_unit_test (test_child_unknown),
  };

  share_kernel ();
  return RUN_TESTS_IN_DIRECTORY (tests);
}
