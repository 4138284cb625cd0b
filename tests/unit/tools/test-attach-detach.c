/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-attach --detach, where a flush fails, where the kernel does not let
 * the device go, and where a server has several devices.  /sys, /run/nullblk
 * and the devices are this test's own.
 */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ublkdrv/ublkdrv.h"
#include "unit.h"
#include "attach/attach-internal.h"
#include "wrapped-open.h"

/*---------------------------------------------------------------------*/
/* The rest of nullblk-attach, and what it was asked for, by any process */

static struct done {
  int flush_errno;                /* 0: flushes succeed */
  unsigned writes_during;         /* so many flushes of nbd0 there are writes */
  bool stays;                     /* the kernel does not disconnect it */
  unsigned disconnected, flushed; /* devices */
  unsigned ended;                 /* servers and watchers */
  unsigned run;                   /* programs */
  bool breaks_off;                /* directories cannot be read to their ends */
  int go_on; /* the end of a pipe that is read before a disconnection; -1 */
  atomic_bool waits; /* a process has begun to wait for children */
} * done;

bool
await_condition (bool (*condition) (const void *), const void *arg)
{
  (void) condition;
  (void) arg;
  return true;
}

int
device_open (const struct attachment *a, int flags, bool may_disconnect)
{
  assert_string_equal (a->device, "nbd0");
  assert_true ((flags & O_EXCL) != 0);
  assert_true (may_disconnect);
  return open ("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

bool
disconnect_device (const char *device, struct message *why)
{
  char c;

  while (done->go_on != -1 && read (done->go_on, &c, 1) == -1)
    ;
  assert_string_equal (device, "nbd0");
  message_set (why, "it stays");
  if (!done->stays)
    done->disconnected++;
  return !done->stays;
}

void
restore_node (const struct attachment *a)
{
  assert_string_equal (a->device, "nbd0");
}

bool
stop_server (const char *directory)
{
  (void) directory;
  done->ended++;
  return true;
}

bool
stop_watcher (const char *directory)
{
  (void) directory;
  done->ended++;
  return true;
}

bool
is_stopped (void)
{
  return false;
}

/* Each program that is run fails, and no server is asked. */
const char *
find_tool (const char *program, const char *directory)
{
  (void) directory;
  return program;
}

int
run (const char *const *argv, bool quiet)
{
  (void) argv;
  (void) quiet;
  done->run++;
  return 1;
}

int
run_for_line (const char *const *argv, char *line, size_t size)
{
  (void) argv;
  (void) line;
  (void) size;
  return 1;
}

uid_t __wrap_geteuid (void);
uid_t
__wrap_geteuid (void)
{
  return 0;
}

static void count_writes (unsigned writes);

int __real_fsync (int fd);
int __wrap_fsync (int fd);
int
__wrap_fsync (int fd)
{
  assert_int_not_equal (fd, -1);
  done->flushed++;
  if (done->flushed <= done->writes_during)
    count_writes (done->flushed);
  errno = done->flush_errno;
  return errno == 0 ? 0 : -1;
}

pid_t __real_wait (int *status);
pid_t __wrap_wait (int *status);
pid_t
__wrap_wait (int *status)
{
  done->waits = true;
  return __real_wait (status);
}

struct dirent *__real_readdir (DIR *dir);
struct dirent *__wrap_readdir (DIR *dir);
struct dirent *
__wrap_readdir (DIR *dir)
{
  struct dirent *entry = __real_readdir (dir);

  if (entry == NULL && done->breaks_off)
    errno = EIO;
  return entry;
}

/* The devices of a server, of which one may be mounted. */
static const char *mounted;

const char *
path_in_place_of (const char *path, int flags)
{
  if (!begins_with (path, "/dev/ublkb"))
    return path;
  must ((flags & O_EXCL) != 0, "a device is opened with O_EXCL");
  errno = EBUSY;
  return mounted != NULL && strcmp (path, mounted) == 0 ? NULL : "/dev/null";
}

/*---------------------------------------------------------------------*/

/* Write a line to a file whose directories may be missing. */
static void
put (const char *path, const char *line)
{
  char part[256];
  const char *slash;
  FILE *fp;

  for (slash = strchr (path, '/'); slash != NULL;
       slash = strchr (slash + 1, '/')) {
    snprintf (part, sizeof part, "%.*s", (int) (slash - path), path);
    mkdir (part, 0700);
  }
  fp = fopen (path, "w");
  assert_non_null (fp);
  fprintf (fp, "%s\n", line);
  fclose (fp);
}

static int
begin (void **state)
{
  (void) state;
  memset (done, 0, sizeof *done);
  done->go_on = -1;
  mounted = NULL;
  return 0;
}

static int
remove_one (const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
  (void) st;
  (void) flag;
  (void) ftw;
  return remove (path);
}

static int
remove_all (void **state)
{
  (void) state;
  nftw ("sys", remove_one, 16, FTW_DEPTH | FTW_PHYS);
  nftw ("run", remove_one, 16, FTW_DEPTH | FTW_PHYS);
  nftw ("records", remove_one, 16, FTW_DEPTH | FTW_PHYS);
  return 0;
}

/* So many sectors of /dev/nbd0 have been written. */
static void
count_writes (unsigned writes)
{
  char stat[128];

  snprintf (stat, sizeof stat, "9 8 7 6 5 4 %u 3 2 1 0 1 2 0 5 6 7", writes);
  put ("sys/block/nbd0/stat", stat);
}

/* /dev/nbd0, attached as "a", with so many sectors written. */
static void
attach_nbd (unsigned writes)
{
  put ("run/a/device", "nbd0");
  put ("run/a/attachment", "backend nullblk-attach-1");
  put ("run/a/uri", "nbd://h");
  put ("sys/block/nbd0/backend", "nullblk-attach-1");
  put ("sys/block/nbd0/queue/iostats", "1");
  count_writes (writes);
}

static bool
is_there (const char *path)
{
  return access (path, F_OK) == 0;
}

/* What was written may not have reached the server. */
static void
test_flush_fails (void **state)
{
  (void) state;
  attach_nbd (1);
  assert_int_equal (detach ("a"), EXIT_SUCCESS);
  assert_false (is_there ("run/a"));
  assert_int_equal (done->flushed, 1);
  assert_int_equal (done->disconnected, 1);

  attach_nbd (1);
  done->flush_errno = EIO;
  assert_int_equal (detach ("a"), EXIT_FAILURE);
  assert_false (is_there ("run/a"));
  assert_int_equal (done->disconnected, 2);
}

/* Nothing was; or it is to end with its server. */
static void
test_nothing_lost (void **state)
{
  (void) state;
  done->flush_errno = EIO;
  attach_nbd (0);
  assert_int_equal (detach ("a"), EXIT_SUCCESS);
  attach_nbd (1);
  put ("run/a/server", "1 1");
  assert_int_equal (detach ("a"), EXIT_SUCCESS);
  assert_false (is_there ("run/a"));
  assert_int_equal (done->flushed, 2);
}

/* It cannot be told. */
static void
test_not_counted (void **state)
{
  (void) state;
  done->flush_errno = EIO;
  attach_nbd (0);
  put ("sys/block/nbd0/queue/iostats", "0");
  assert_int_equal (detach ("a"), EXIT_FAILURE);
}

/* By somebody who has it open only while it is flushed. */
static void
test_written_since (void **state)
{
  (void) state;
  attach_nbd (0);
  done->writes_during = 2;
  assert_int_equal (detach ("a"), EXIT_SUCCESS);
  assert_int_equal (done->flushed, 3);
  assert_false (is_there ("run/a"));

  attach_nbd (0);
  done->flushed = 0;
  done->writes_during = UINT32_MAX;
  assert_int_equal (detach ("a"), EXIT_FAILURE);
  assert_int_equal (done->flushed, 10);
  assert_int_equal (done->disconnected, 2);
  assert_false (is_there ("run/a"));
}

/* A device that stays attached keeps its server, and all else. */
static void
test_not_disconnected (void **state)
{
  (void) state;
  attach_nbd (0);
  put ("run/a/server", "1 1");
  done->stays = true;
  assert_int_equal (detach ("a"), EXIT_FAILURE);
  assert_int_equal (done->ended, 0);
  assert_true (is_there ("run/a/attachment"));
  done->stays = false;
  assert_int_equal (detach ("a"), EXIT_SUCCESS);
  assert_int_not_equal (done->ended, 0);
  assert_false (is_there ("run/a"));
}

static bool
has_ended (pid_t pid)
{
  siginfo_t info = {0};

  assert_int_equal (waitid (P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
  return info.si_pid == pid;
}

/* What cannot be read is told at once, and what has begun ends before. */
static void
test_all (void **state)
{
  int go_on[2], says[2], status;
  char text[300] = "";
  ssize_t n, more;
  pid_t pid;

  (void) state;
  attach_nbd (0);
  done->breaks_off = true;
  assert_int_equal (pipe (go_on), 0);
  assert_int_equal (pipe (says), 0);
  done->go_on = go_on[0];
  pid = fork ();
  if (pid == 0) {
    dup2 (says[1], 2);
    close (says[1]);
    close (go_on[1]);
    exit (detach_all ());
  }
  close (says[1]);
  n = read (says[0], text, sizeof text - 1);
  assert_true (n > 0);
  while (!done->waits && !has_ended (pid))
    sched_yield ();
  assert_true (done->waits);
  close (go_on[1]); /* now its child may go on */
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_int_equal (done->disconnected, 1);
  assert_false (is_there ("run/a"));
  assert_true (WIFEXITED (status));
  assert_int_equal (WEXITSTATUS (status), EXIT_FAILURE);
  while ((more = read (says[0], text + n, sizeof text - 1 - n)) > 0)
    n += more;
  assert_string_equal (text, "nullblk-attach: run: Input/output error\n");
  close (go_on[0]);
  close (says[0]);
}

/*---------------------------------------------------------------------*/
/* A server with several devices, of which ublkb1 is "a" */

/* A process that keeps the records of devices. */
static pid_t
keep_records (unsigned first, unsigned count)
{
  struct device_record r;
  char name[16], c;
  int ready[2];
  unsigned i;
  pid_t pid;

  assert_int_equal (pipe (ready), 0);
  pid = fork ();
  if (pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    for (i = first; i < first + count; i++) {
      snprintf (name, sizeof name, "ublkb%u", i);
      if (device_record_make (&r, i + 1, DEVICE_RECORD_OF_SERVER "x") < 0 ||
          device_record_set_device (&r, name) < 0)
        _exit (1);
    }
    if (write (ready[1], "", 1) != 1)
      _exit (1);
    for (;;)
      pause ();
  }
  close (ready[1]);
  assert_int_equal (read (ready[0], &c, 1), 1);
  close (ready[0]);
  return pid;
}

static void
end_keeper (pid_t pid)
{
  assert_int_equal (kill (pid, SIGKILL), 0);
  assert_int_equal (waitpid (pid, NULL, 0), pid);
}

static void
attach_own (void)
{
  put ("run/a/device", "ublkb1");
  put ("run/a/attachment", "cookie 0000000000000002");
  put ("run/a/server", "1 1");
}

/* All go with the server: so none may be mounted. */
static void
test_family (void **state)
{
  const pid_t keeper = keep_records (0, 3), other = keep_records (3, 1);

  (void) state;
  attach_own ();
  mounted = "/dev/ublkb2";
  assert_int_equal (detach ("a"), EXIT_FAILURE);
  assert_int_equal (done->ended, 0);
  done->flushed = 0;
  mounted = "/dev/ublkb3"; /* of another one */
  assert_int_equal (detach ("a"), EXIT_SUCCESS);
  assert_int_equal (done->flushed, 3);
  assert_int_equal (done->ended, 1);
  end_keeper (keeper);
  end_keeper (other);
}

/* Nobody knows any more whose they are. */
static void
test_family_without_keeper (void **state)
{
  const pid_t keeper = keep_records (0, 3), other = keep_records (3, 1);

  (void) state;
  end_keeper (keeper);
  attach_own ();
  mounted = "/dev/ublkb0";
  assert_int_equal (detach ("a"), EXIT_FAILURE);
  assert_int_equal (done->ended, 0);
  end_keeper (other);
}

/* A device of nullblk-ublk, whose process has died while it was mounted. */
static void
test_dead_and_mounted (void **state)
{
  struct device_record r;
  int fd, aide;
  pid_t pid;

  (void) state;
  pid = fork ();
  if (pid == 0)
    _exit (device_record_make (&r, 2, "nbd://h") < 0 ||
           device_record_set_device (&r, "ublkb1") < 0);
  assert_int_equal (waitpid (pid, NULL, 0), pid);
  put ("run/a/device", "ublkb1");
  put ("run/a/attachment", "cookie 0000000000000002");
  mounted = "/dev/ublkb1";
  assert_int_equal (detach_all (), EXIT_FAILURE);
  assert_int_equal (done->run, 0);
  assert_int_equal (detach ("a"), EXIT_FAILURE);
  assert_int_equal (done->run, 1);

  /* Also while another process is to take it over, as it may not come. */
  fd = device_record_supervise (2); /* as detach_all's children see it */
  assert_true (fd >= 0);
  assert_int_equal (detach_all (), EXIT_FAILURE);
  assert_int_equal (done->run, 1);
  close (fd);

  /* But not where it is only held by what is left of nullblk-ublk. */
  aide = device_record_hold_device (2);
  assert_true (aide >= 0);
  assert_int_equal (detach_all (), EXIT_FAILURE);
  assert_int_equal (done->run, 2);
  close (aide);

  mounted = NULL;
  assert_int_equal (detach_all (), EXIT_FAILURE);
  assert_int_equal (done->run, 3);
}

#define CASE(f) cmocka_unit_test_setup_teardown (f, begin, remove_all)

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      CASE (test_flush_fails),      CASE (test_nothing_lost),
      CASE (test_not_counted),      CASE (test_written_since),
      CASE (test_not_disconnected), CASE (test_all),
      CASE (test_family),           CASE (test_family_without_keeper),
      CASE (test_dead_and_mounted),
  };

  done = mmap (NULL, sizeof *done, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return done == MAP_FAILED || RUN_TESTS_IN_DIRECTORY (tests);
}
