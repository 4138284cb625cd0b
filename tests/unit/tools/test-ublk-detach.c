/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-ublk --detach, while processes that serve the device are killed.
 * They are children of this program, with real records; what is cleared by
 * --detach is noted.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ublk/list-detach.h"
#include "ublkdrv/ublkdrv.h"
#include "unit.h"
#include "wrapped-open.h"

#define COOKIE UINT64_C (0xc00c1e)
#define NAME "0000000000c00c1e"

static unsigned cleared;

/* What all processes see. */
static struct shared {
  atomic_uint asked;      /* how often a process to end */
  atomic_bool is_awaited; /* the next process, by --detach */
} * shared;

/*---------------------------------------------------------------------*/
/* The kernel has the device as long as there is a record. */

static bool may_be_asked = true, has_devices = true;

struct ublk_driver *
ublk_driver_open (struct message *why)
{
  message_set (why, "nobody may ask");
  errno = EPERM;
  return may_be_asked ? (struct ublk_driver *) &cleared : NULL;
}

bool
ublk_devices_exist (void)
{
  return has_devices;
}

void
ublk_driver_close (struct ublk_driver *d)
{
  (void) d;
}

int
ublk_driver_find (struct ublk_driver *d, uint64_t cookie,
                  struct ublksrv_ctrl_dev_info *info)
{
  (void) d;
  assert_int_equal (cookie, COOKIE);
  info->device = 4095;
  return 0;
}

int
setup_clear (struct ublk_driver *d, struct device_record *r, bool waits,
             unsigned *number)
{
  (void) d;
  assert_true (waits);
  *number = 4095;
  if (device_record_is_there (r)) {
    cleared++;
    device_record_remove (r);
  }
  else
    device_record_close (r);
  return 0;
}

/*---------------------------------------------------------------------*/

/* Somebody uses it, as far as its files tell. */
static bool may_be_used;

/* The device goes while its file is opened. */
FILE *__real_fopen (const char *path, const char *mode);
FILE *__wrap_fopen (const char *path, const char *mode);
FILE *
__wrap_fopen (const char *path, const char *mode)
{
  if (strcmp (path, "/sys/block/ublkb4095/dev") == 0 && may_be_used) {
    errno = EACCES;
    return NULL;
  }
  if (strcmp (path, "/sys/block/ublkb4095/size") != 0)
    return __real_fopen (path, mode);
  errno = ENODEV;
  return NULL;
}

/* What becomes of an open of it. */
static enum opening { OPENS, IS_HELD, WAITS } opening;
static unsigned opened_by_us;

const char *
path_in_place_of (const char *path, int flags)
{
  if (strcmp (path, "/dev/ublkb4095") != 0)
    return path;
  opened_by_us++; /* not if a child does it */
  while (opening == WAITS)
    pause ();
  errno = EBUSY;
  return (flags & O_EXCL) != 0 && opening == IS_HELD ? NULL : "/dev/null";
}

/* It sleeps a hundredth of what it means to. */
static bool is_hasty;

int __real_nanosleep (const struct timespec *wanted, struct timespec *left);
int __wrap_nanosleep (const struct timespec *wanted, struct timespec *left);
int
__wrap_nanosleep (const struct timespec *wanted, struct timespec *left)
{
  const struct timespec less = {.tv_nsec = wanted->tv_nsec / 100};

  return __real_nanosleep (is_hasty ? &less : wanted, left);
}

bool __real_device_record_is_supervised (const struct device_record *r);
bool __wrap_device_record_is_supervised (const struct device_record *r);
bool
__wrap_device_record_is_supervised (const struct device_record *r)
{
  shared->is_awaited = true;
  return __real_device_record_is_supervised (r);
}

/*---------------------------------------------------------------------*/

/* What a process does that is asked to end. */
enum answer { DIES = 1, ENDS, REFUSES };

static void __attribute__ ((noreturn))
serve (struct device_record *r, enum answer answer, const sigset_t *set)
{
  int signal;

  do {
    sigwait (set, &signal);
    shared->asked++;
    if (answer == REFUSES)
      device_record_count_refusal (r);
  } while (answer == REFUSES);
  if (answer == DIES)
    raise (SIGKILL);
  device_record_remove (r);
  _exit (0);
}

/* Begin a process, which closes READY when it has its record. */
static pid_t
begin (enum answer answer, bool adopts, int ready)
{
  struct device_record r;
  bool is_dead;
  sigset_t set;
  pid_t pid;

  pid = fork ();
  if (pid != 0)
    return pid;
  prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  sigemptyset (&set);
  sigaddset (&set, SIGTERM);
  sigprocmask (SIG_BLOCK, &set, NULL);
  if (adopts ? device_record_open (&r, COOKIE, &is_dead) < 0 ||
                   device_record_adopt (&r) < 0
             : device_record_make (&r, COOKIE, "nbd://server/nullb0") < 0)
    _exit (1);
  close (ready);
  serve (&r, answer, &set);
}

static void
pause_shortly (void)
{
  const struct timespec pause = {.tv_nsec = 1000000};

  nanosleep (&pause, NULL);
}

/* Have processes serve the device, which answer so, one after the other: the
 * next one begins when --detach waits for it.  With IS_SUPERVISED it can know
 * that there will be one.  Returns the process that has them do so.
 */
static pid_t
have_served (const enum answer *answers, bool is_supervised)
{
  int ready[2], served[2];
  unsigned i;
  pid_t pid;
  char c;

  shared->asked = cleared = 0;
  assert_int_equal (pipe (ready), 0);
  pid = fork ();
  if (pid == 0) {
    for (i = 0; answers[i] != 0; i++) {
      shared->is_awaited = false;
      if (pipe (served) == -1 || begin (answers[i], i > 0, served[1]) == -1)
        _exit (1);
      close (served[1]);
      if (read (served[0], &c, 1) != 0 ||
          (i == 0 && is_supervised && device_record_supervise (COOKIE) < 0))
        _exit (1);
      if (i == 0 && write (ready[1], "", 1) != 1)
        _exit (1);
      wait (NULL);
      while (answers[i + 1] != 0 && !shared->is_awaited)
        pause_shortly ();
    }
    _exit (0);
  }
  close (ready[1]);
  assert_int_equal (read (ready[0], &c, 1), 1);
  close (ready[0]);
  return pid;
}

/* --detach says so; after ASKED processes were asked to end, CLEARED says how
 * many devices of dead ones it has deleted.
 */
static void
detaches (const enum answer *answers, bool is_supervised, int status,
          unsigned asked, unsigned clears)
{
  const pid_t pid = have_served (answers, is_supervised);

  assert_int_equal (detach_device (NAME), status);
  assert_int_equal (shared->asked, asked);
  assert_int_equal (cleared, clears);
  kill (pid, SIGKILL);
  assert_int_equal (waitpid (pid, NULL, 0), pid);
}

#define DETACHES(is_supervised, status, asked, clears, ...)                    \
  detaches ((const enum answer[]){__VA_ARGS__, 0}, is_supervised, status,      \
            asked, clears)

static void
test_ends (void **state)
{
  (void) state;
  DETACHES (false, EXIT_SUCCESS, 1, 0, ENDS);
  DETACHES (true, EXIT_SUCCESS, 1, 0, ENDS);
}

/* It had not yet written what there was to write, as far as anybody knows. */
static void
test_killed (void **state)
{
  (void) state;
  DETACHES (false, EXIT_FAILURE, 1, 1, DIES);
}

/* The next process can still say that the device is in use. */
static void
test_killed_supervised (void **state)
{
  (void) state;
  DETACHES (true, EXIT_FAILURE, 2, 0, DIES, REFUSES);
  unlink ("run/" NAME);
  DETACHES (true, EXIT_SUCCESS, 3, 0, DIES, DIES, ENDS);
}

/* Leave the record of a process that has died. */
static void
leave_record_of (const char *uri)
{
  const pid_t pid = fork ();
  struct device_record r;
  int status;

  if (pid == 0)
    _exit (device_record_make (&r, COOKIE, uri) < 0);
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_int_equal (status, 0);
  cleared = 0;
}

static void
leave_record (void)
{
  leave_record_of ("nbd://server/nullb0");
}

/* All that are dead are cleared, unless they are in use; the one that is named
 * is cleared.
 */
static void
test_dead (void **state)
{
  (void) state;
  leave_record ();
  assert_int_equal (detach_all_devices (), EXIT_SUCCESS);
  assert_int_equal (cleared, 1);

  leave_record ();
  opening = IS_HELD;
  assert_int_equal (detach_all_devices (), EXIT_FAILURE);
  assert_int_equal (cleared, 0);
  assert_int_equal (detach_device ("ublkb4095"), EXIT_SUCCESS);
  assert_int_equal (cleared, 1);

  /* The keeper of a server: setup_clear knows whether the server goes on. */
  leave_record_of (DEVICE_RECORD_OF_SERVER "nullb0");
  assert_int_equal (detach_all_devices (), EXIT_SUCCESS);
  assert_int_equal (cleared, 1);

  leave_record ();
  opening = OPENS;
  may_be_used = true;
  assert_int_equal (detach_all_devices (), EXIT_FAILURE);
  assert_int_equal (cleared, 0);
  assert_int_equal (detach_device (NAME), EXIT_SUCCESS);
  assert_int_equal (cleared, 1);
  may_be_used = false;
}

/* It is only held by an aide, whose process was killed while it flushed. */
static void
test_aide_is_left (void **state)
{
  int ready[2];
  pid_t pid;
  char c;

  (void) state;
  leave_record ();
  opening = IS_HELD;
  assert_int_equal (pipe (ready), 0);
  pid = fork ();
  if (pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (device_record_hold_device (COOKIE) < 0 || write (ready[1], "", 1) != 1)
      _exit (1);
    for (;;)
      pause ();
  }
  close (ready[1]);
  assert_int_equal (read (ready[0], &c, 1), 1);
  close (ready[0]);
  assert_int_equal (detach_all_devices (), EXIT_FAILURE); /* data is lost */
  assert_int_equal (cleared, 1);
  kill (pid, SIGKILL);
  assert_int_equal (waitpid (pid, NULL, 0), pid);
  opening = OPENS;
}

/* What a dead process has left is cleared without the driver if there is no
 * device at all.
 */
static void
test_driver_is_silent (void **state)
{
  (void) state;
  leave_record ();
  may_be_asked = false;
  assert_int_equal (detach_all_devices (), EXIT_FAILURE);
  assert_int_equal (cleared, 0);
  has_devices = false;
  assert_int_equal (detach_all_devices (), EXIT_SUCCESS);
  assert_int_equal (cleared, 1);
  may_be_asked = has_devices = true;
}

/* Who holds it has opened it. */
static void
test_open_waits (void **state)
{
  (void) state;
  leave_record ();
  opening = WAITS;
  is_hasty = true;
  assert_int_equal (detach_all_devices (), EXIT_SUCCESS);
  assert_int_equal (cleared, 1);
  assert_int_equal (opened_by_us, 0);
  opening = OPENS;
  is_hasty = false;
}

static void
test_list (void **state)
{
  const enum answer answers[] = {ENDS, 0};
  const pid_t pid = have_served (answers, false);

  (void) state;
  assert_int_equal (list_devices (), EXIT_SUCCESS);
  assert_int_equal (detach_device (NAME), EXIT_SUCCESS);
  assert_int_equal (waitpid (pid, NULL, 0), pid);
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_ends),
      cmocka_unit_test (test_killed),
      cmocka_unit_test (test_killed_supervised),
      cmocka_unit_test (test_dead),
      cmocka_unit_test (test_aide_is_left),
      cmocka_unit_test (test_driver_is_silent),
      cmocka_unit_test (test_open_waits),
      cmocka_unit_test (test_list),
  };

  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return shared == MAP_FAILED || RUN_TESTS_IN_DIRECTORY (tests);
}
