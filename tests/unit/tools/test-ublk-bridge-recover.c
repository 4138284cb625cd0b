/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Devices of nullblk-ublk that outlive their processes, before a kernel that is
 * in bridge-world.c: another process takes them over, or takes them away.
 */

#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bridge-world.h"
#include "command-ring.h"
#include "records.h"

#define COOKIE 0xc00c1e

static const struct bridge_options lasting = {.argument = "nbd://server/nullb0",
                                              .cookie = COOKIE,
                                              .persist = 1,
                                              .timeout = 30,
                                              .queues = 1,
                                              .depth = 16};

/* A process makes a lasting device, or takes it over, and is killed. */
static void
leave_device_again (const struct bridge_options *o)
{
  int status;
  pid_t pid;

  pid = fork ();
  if (pid == 0)
    _exit (bridge_open (o, &failure, &why) == NULL);
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_int_equal (status, 0);
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  kernel->nr_asked = 0;
}

static void
make_lasting_kernel (const struct bridge_options *o, bool zones)
{
  make_kernel (zones);
  has_queues = o->queues == 2;
  kernel->features |= UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE;
  kernel->flags |= UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE;
}

static void
leave_device_of (const struct bridge_options *o, bool zones)
{
  make_lasting_kernel (o, zones);
  leave_device_again (o);
}

static void
leave_device (bool zones)
{
  leave_device_of (&lasting, zones);
}

static int
make_directory (void **state)
{
  FILE *fp;

  (void) state;
  assert_int_equal (mkdir ("devices", 0700), 0);
  fp = fopen ("devices/ublkc4095", "w");
  assert_non_null (fp);
  fclose (fp);
  return 0;
}

static int
remove_directory (void **state)
{
  (void) state;
  return unlink ("devices/ublkc4095") == 0 && rmdir ("devices") == 0 ? 0 : -1;
}

/* It is the same device, whose queues are there when it goes on. */
static void
recovers (bool zones)
{
  struct bridge_options o = lasting;

  leave_device (zones);
  assert_true ((kernel->info.flags & UBLK_F_USER_RECOVERY) != 0);
  refuse (START_RECOVERY, -EBUSY, 3); /* the kernel is not yet ready */
  away = 2;
  open_exports = 0;
  o.recovers = true;
  o.queues = 0; /* it has as many as before, whatever the machine has */
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, START_RECOVERY, START_RECOVERY, START_RECOVERY,
              END_RECOVERY);
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (records (), 0);
  assert_false (kernel->has_device);
}

static void
test_recover (void **state)
{
  (void) state;
  recovers (false);
  recovers (true);
}

/* The machine may have fewer CPUs by then. */
static void
test_recover_queues (void **state)
{
  struct bridge_options o = lasting;

  (void) state;
  o.queues = 2;
  leave_device_of (&o, true);
  assert_int_equal (kernel->info.queues, 2);
  o.recovers = true;
  o.queues = 0;
  cpus = 1;
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (records (), 0);
}

/* A record does not have all of a long URI. */
static void
test_recover_long (void **state)
{
  struct bridge_options o = lasting;
  static char uri[5000] = "nbd://server/";

  (void) state;
  memset (uri + strlen (uri), 'x', sizeof uri - strlen (uri) - 1);
  uri[sizeof uri - 1] = '\0';
  o.argument = uri;
  leave_device_of (&o, false);
  o.recovers = true;
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (BRIDGE_CLOSED);
}

/* A server may take one connection, and at first no other. */
static void
test_recover_full (void **state)
{
  struct bridge_options o = lasting;

  (void) state;
  o.queues = 2;
  leave_device_of (&o, true);
  full = 2;
  o.recovers = true;
  open_bridge_of (&o);
  assert_int_equal (open_exports, 1);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (open_exports, 0);

  o.recovers = false;
  leave_device_of (&o, true);
  full = UINT32_MAX;
  o.recovers = true;
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text, "the server takes no more connections");
  assert_false (kernel->has_device);
  assert_int_equal (open_exports, 0);
  assert_int_equal (records (), 0);
}

/* Where the kernel cannot say now which device it is, nothing is taken away. */
static void
test_recover_untold (void **state)
{
  struct bridge_options o = lasting;

  (void) state;
  leave_device (false);
  refuse (GET_INFO, -EIO, 1);
  o.recovers = true;
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text, "what is left of the device cannot be told: "
                                 "Input/output error");
  assert_int_equal (failure, BRIDGE_FAILED_FOR_NOW);
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  assert_int_equal (kernel->nr_asked, 0);
  /* Another user's device is not ours, and does not tell. */
  refuse (GET_INFO, -EINVAL, 1);
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text, "there is no device any more that could be "
                                 "taken over");
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (BRIDGE_CLOSED);
}

/* The device is left to the next process. */
static void
fails_for_now (const struct bridge_options *o)
{
  assert_null (bridge_open (o, &failure, &why));
  assert_int_equal (failure, BRIDGE_FAILED_FOR_NOW);
  assert_int_equal (open_exports, 0);
  assert_int_equal (queues (), 0);
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
}

/* Somebody is about to clear what is left, and may not get it done. */
static void
test_recover_cleared (void **state)
{
  struct bridge_options o = lasting;
  struct device_record r;
  bool is_dead;
  int fds[2];
  pid_t pid;
  char c;

  (void) state;
  leave_device (true);
  assert_int_equal (pipe (fds), 0);
  pid = fork ();
  if (pid == 0) {
    if (device_record_open (&r, COOKIE, &is_dead) < 0 ||
        device_record_lock_to_clear (&r) < 0 || write (fds[1], "", 1) != 1)
      _exit (1);
    for (;;)
      pause ();
  }
  assert_int_equal (read (fds[0], &c, 1), 1);
  o.recovers = true;
  fails_for_now (&o);
  assert_int_equal (kernel->nr_asked, 0);
  assert_int_equal (kill (pid, SIGKILL), 0);
  assert_int_equal (waitpid (pid, NULL, 0), pid);
  open_bridge_of (&o);
  close_bridge (BRIDGE_CLOSED);
  close (fds[0]);
  close (fds[1]);
}

/* The server's name may have another server's address, too. */
static void
test_recover_moved (void **state)
{
  struct bridge_options o = lasting;

  (void) state;
  leave_device (true);
  moved = 2;
  o.recovers = true;
  open_bridge_of (&o);
  assert_int_equal (moved, 0);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (BRIDGE_CLOSED);

  leave_device (false);
  moved = UINT32_MAX;
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text,
                       "nbd://server/nullb0: the server has not the address "
                       "that it had when /dev/ublkb4095 was made");
  assert_int_equal (failure, BRIDGE_FAILED_FOR_NOW);
  assert_true (kernel->has_device);
  assert_int_equal (open_exports, 0);
  assert_int_equal (records (), 1);

  moved = 0;
  open_bridge_of (&o);
  close_bridge (BRIDGE_CLOSED);

  /* A process may not have known it: then the next one notes it. */
  make_lasting_kernel (&lasting, false);
  peer = 0;
  leave_device_again (&lasting);
  peer = 1;
  leave_device_again (&o);
  moved = UINT32_MAX;
  fails_for_now (&o);
  moved = 0;
  open_bridge_of (&o);
  close_bridge (BRIDGE_CLOSED);
}

/* What there is not enough of now may be there later. */
static void
test_recover_later (void **state)
{
  struct bridge_options o = lasting;

  (void) state;
  o.queues = 2;
  leave_device_of (&o, true);
  o.recovers = true;
  command_ring_errno = ENOMEM;
  fails_for_now (&o);
  command_ring_errno = 0;
  assert_int_equal (kernel->nr_asked, 0);

  refuse (GET_PARAMS, -ENOMEM, 1);
  fails_for_now (&o);
  refuse (START_RECOVERY, -ENOMEM, 1);
  fails_for_now (&o);
  /* No queue fetches before there are all. */
  for (most_queues = 0; most_queues < 2; most_queues++)
    fails_for_now (&o);
  can_reconnect = false;
  fails_for_now (&o);
  can_reconnect = true;
  WERE_ASKED (START_RECOVERY, START_RECOVERY, START_RECOVERY, START_RECOVERY);
  open_bridge_of (&o);
  assert_int_equal (queues (), 2);
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (queues (), 0);

  /* But not where somebody has deleted it meanwhile. */
  command_ring_errno = ENOMEM;
  assert_null (bridge_open (&o, &failure, &why));
  assert_int_equal (failure, BRIDGE_FAILED);
}

/* A process that lacks something still obeys the signal of a --detach, unless
 * the device is in use.
 */
static void
test_recover_detached (void **state)
{
  struct bridge_options o = lasting;
  sigset_t set;

  (void) state;
  helper_block_signals (&set);
  leave_device (true);
  o.recovers = true;
  most_queues = 0;
  kernel->opened_after = 1;
  kernel->looks = 1;
  raise (SIGTERM);
  fails_for_now (&o);
  WERE_ASKED (START_RECOVERY);
  fails_for_now (&o); /* the signal has been refused, and is not kept */
  WERE_ASKED (START_RECOVERY, START_RECOVERY);

  kernel->opened_after = 0;
  raise (SIGTERM);
  assert_null (bridge_open (&o, &failure, &why));
  assert_int_equal (failure, BRIDGE_FAILED);
  assert_string_equal (why.text, "/dev/ublkb4095: not all that was written to "
                                 "it has reached the server");
  assert_false (kernel->has_device);
  assert_int_equal (records (), 0);
}

/* Begin the aide of a process that was killed.  It has done what it waits for
 * when the device has been told of that many times.
 */
static pid_t
begin_former_aide (unsigned told)
{
  const struct timespec pause = {.tv_nsec = 1000000};
  int ready[2], fd;
  pid_t pid;
  char c;

  assert_int_equal (pipe (ready), 0);
  pid = fork ();
  if (pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    /* The socket of the present aide, which would not see it closed. */
    for (fd = STDERR_FILENO + 1; fd < ready[1]; fd++)
      close (fd);
    if (device_record_hold_device (COOKIE) < 0 || write (ready[1], "", 1) != 1)
      _exit (1);
    while (kernel->told < told)
      nanosleep (&pause, NULL);
    _exit (0);
  }
  close (ready[1]);
  assert_int_equal (read (ready[0], &c, 1), 1);
  close (ready[0]);
  return pid;
}

/* It holds the device, but does not use it. */
static void
test_former_aide (void **state)
{
  struct bridge_options o = lasting;
  unsigned told;
  sigset_t set;
  pid_t pid;

  (void) state;
  leave_device (true);
  o.recovers = true;
  open_bridge_of (&o);
  kernel->can_be_held = true;
  told = kernel->told + 3;
  pid = begin_former_aide (told);
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (kernel->flushes, 1);
  assert_true (kernel->told_before_flush >= told);
  assert_int_equal (waitpid (pid, NULL, 0), pid);

  /* Nor is it waited for where nobody serves the device. */
  helper_block_signals (&set);
  leave_device (true);
  kernel->features |= UBLK_F_SAFE_STOP_DEV;
  kernel->opens_badly = true;
  most_queues = 0;
  pid = begin_former_aide (UINT32_MAX);
  raise (SIGTERM);
  assert_null (bridge_open (&o, &failure, &why));
  assert_int_equal (failure, BRIDGE_FAILED);
  assert_false (kernel->has_device);
  WERE_ASKED (START_RECOVERY, STOP, STOP, DELETE_ASYNC);
  assert_int_equal (records (), 0);
  kill (pid, SIGKILL);
  assert_int_equal (waitpid (pid, NULL, 0), pid);

  /* But who has it open beside it does. */
  leave_device (true);
  kernel->opened_after = 1;
  kernel->looks = 1;
  most_queues = 0;
  pid = begin_former_aide (UINT32_MAX);
  raise (SIGTERM);
  fails_for_now (&o);
  assert_true (kernel->has_device);
  kill (pid, SIGKILL);
  assert_int_equal (waitpid (pid, NULL, 0), pid);
  device_record_for_each (remove_record, NULL);
}

/* What cannot be taken over is taken away, so that nobody waits for it; but not
 * if somebody has asked for something else.
 */
static void
test_recover_in_vain (void **state)
{
  struct bridge_options o = lasting;

  (void) state;
  leave_device (false);
  o.read_only = true;
  assert_null (bridge_open (&o, &failure, &why));
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  assert_int_equal (kernel->nr_asked, 0);
  o.read_only = false;
  o.recovers = true;
  size *= 2;
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text, "the export is not what it was when the "
                                 "device was made");
  assert_false (kernel->has_device);
  assert_int_equal (records (), 0);

  leave_device (false);
  refuse (START_RECOVERY, -EINVAL, 1);
  assert_null (bridge_open (&o, &failure, &why));
  assert_non_null (strstr (why.text, "does not let the device be taken over"));
  assert_false (kernel->has_device);
  assert_int_equal (records (), 0);

  leave_device (false);
  away = UINT32_MAX;
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text, "the server is away");
  assert_int_equal (failure, BRIDGE_FAILED);
  assert_false (kernel->has_device);
  assert_int_equal (records (), 0);
}

/* It is left alone by who has not made it, or does not make it last; and nobody
 * makes another one in its place.
 */
static void
test_recover_other (void **state)
{
  struct bridge_options o = lasting;

  (void) state;
  leave_device (false);
  o.argument = "nbd://server/nullb1";
  assert_null (bridge_open (&o, &failure, &why));
  o = lasting;
  o.persist = 0;
  assert_null (bridge_open (&o, &failure, &why));
  assert_true (kernel->has_device);
  assert_int_equal (kernel->nr_asked, 0);
  kernel->has_device = false;
  o = lasting;
  o.recovers = true;
  assert_null (bridge_open (&o, &failure, &why));
  assert_non_null (strstr (why.text, "no device any more"));
  assert_int_equal (kernel->nr_asked, 0);
  device_record_for_each (remove_record, NULL);
}

/* A process that has taken the device over is killed when it begins a queue. */
static void
die_recovering (const struct bridge_options *options_then, int when)
{
  struct bridge_options o = *options_then;
  int status;
  pid_t pid;

  o.recovers = true;
  fetching = when;
  pid = fork ();
  if (pid == 0) {
    bridge_open (&o, &failure, &why);
    _exit (1);
  }
  fetching = FETCHES;
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_int_equal (status, 0);
  kernel->nr_asked = 0;
}

/* Linux 6.12 says EINVAL to whoever comes after one that has not fetched. */
static void
test_died_before (void **state)
{
  struct bridge_options o = lasting;

  (void) state;
  leave_device (true);
  die_recovering (&lasting, DIES_BEFORE);
  o.recovers = true;
  refuse (START_RECOVERY, -EINVAL, 1);
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (records (), 0);
}

/* It cannot do with one that was killed meanwhile: nobody asks it to.  The
 * device is deleted, and there is another one if somebody wants one.
 */
static void
test_died_meanwhile (void **state)
{
  struct bridge_options o = lasting;

  (void) state;
  o.queues = 2;
  leave_device_of (&o, true);
  die_recovering (&o, DIES_MEANWHILE);
  o.recovers = true;
  assert_null (bridge_open (&o, &failure, &why));
  assert_non_null (strstr (why.text, "/dev/ublkb4095 cannot be taken over"));
  WERE_ASKED (STOP, DELETE_ASYNC);
  assert_int_equal (records (), 0);

  o.recovers = false;
  leave_device_of (&o, true);
  die_recovering (&o, DIES_MEANWHILE);
  open_bridge_of (&o);
  WERE_ASKED (STOP, DELETE_ASYNC, ADD, SET_PARAMS, START);
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (records (), 0);

  /* Linux 6.16 can. */
  o.recovers = false;
  leave_device_of (&o, true);
  die_recovering (&o, DIES_MEANWHILE);
  kernel->features |= UBLK_F_QUIESCE;
  o.recovers = true;
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (BRIDGE_CLOSED);
  assert_int_equal (records (), 0);

  /* So can all with one queue. */
  leave_device (true);
  die_recovering (&lasting, DIES_MEANWHILE);
  open_bridge_of (&lasting);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (BRIDGE_CLOSED);
}

#define RECOVER(f)                                                             \
  cmocka_unit_test_setup_teardown (f, make_directory, remove_directory)

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      RECOVER (test_recover),         RECOVER (test_recover_queues),
      RECOVER (test_recover_long),    RECOVER (test_recover_full),
      RECOVER (test_recover_moved),   RECOVER (test_recover_later),
      RECOVER (test_died_before),     RECOVER (test_died_meanwhile),
      RECOVER (test_recover_in_vain), RECOVER (test_recover_other),
      RECOVER (test_recover_untold),  RECOVER (test_recover_detached),
      RECOVER (test_former_aide),     RECOVER (test_recover_cleared),
  };

  share_kernel ();
  return RUN_TESTS_IN_DIRECTORY (tests);
}
