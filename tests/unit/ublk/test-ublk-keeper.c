/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The keeper before a kernel that is in this file: it makes, opens, starts,
 * stops and deletes devices, takes away what is left when its server ends, and
 * clears what others have left.
 */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command-ring.h"
#include "ublkdrv/ublkdrv.h"
#include "records.h"
#include "ublk/ublk-keeper-internal.h"
#include "unit.h"
#include "wrapped-open.h"

#define MAX_KERNEL_DEVICES 4
#define FIRST                                                                  \
  4000 /* number of its first device, of which the machine has none */

/*---------------------------------------------------------------------*/
/* The kernel, which all processes see */

static struct kernel {
  bool has_driver;
  uint64_t features;
  struct {
    bool is_there, is_started;
    bool is_in_use; /* so it stays when it is deleted */
    unsigned looks; /* how often somebody has asked about it; it is served, as
                     * far as the kernel knows, at so many of these: */
    unsigned served_looks;
    uint64_t cookie;
    pid_t opener;
  } devices[MAX_KERNEL_DEVICES];
  unsigned nr_devices; /* that were made */
  int start_result, params_result, stop_result;
  int async_result;         /* of deleting without waiting */
  unsigned waiting_deletes; /* of the other kind */
  bool start_hangs;
} * kernel;

static int
add (struct ublksrv_ctrl_dev_info *info)
{
  if (kernel->nr_devices == MAX_KERNEL_DEVICES)
    return -EACCES;
  info->device = FIRST + kernel->nr_devices;
  if (info->queues > 2)
    info->queues = 2;
  kernel->devices[kernel->nr_devices].is_there = true;
  kernel->devices[kernel->nr_devices++].cookie = info->cookie;
  return 0;
}

int
do_command (unsigned command, const struct ublksrv_ctrl_cmd *c)
{
  struct ublksrv_ctrl_dev_info *const info = (void *) (uintptr_t) c->address;
  const unsigned n = c->device - FIRST;

  if (command == (UBLK_U_CMD_GET_FEATURES & 0xff)) {
    memcpy (info, &kernel->features, sizeof kernel->features);
    return 0;
  }
  if (command == (UBLK_U_CMD_ADD_DEV & 0xff))
    return add (info);
  if (n >= kernel->nr_devices || !kernel->devices[n].is_there)
    return -ENODEV;
  switch (command) {
  case UBLK_U_CMD_GET_DEV_INFO & 0xff:
    info->device = c->device;
    info->cookie = kernel->devices[n].cookie;
    info->state = kernel->devices[n].looks++ < kernel->devices[n].served_looks
                      ? UBLK_S_DEV_LIVE
                      : UBLK_S_DEV_DEAD;
    return 0;
  case UBLK_U_CMD_SET_PARAMS & 0xff:
    return kernel->params_result;
  case UBLK_U_CMD_START_DEV & 0xff:
    if (c->value != (uint64_t) kernel->devices[n].opener)
      return -EINVAL;
    while (*(volatile bool *) &kernel->start_hangs)
      usleep (1000);
    kernel->devices[n].is_started = kernel->start_result == 0;
    return kernel->start_result;
  case UBLK_U_CMD_STOP_DEV & 0xff:
    kernel->devices[n].is_started = false;
    return kernel->stop_result;
  case UBLK_U_CMD_DEL_DEV & 0xff:
    kernel->waiting_deletes++;
    kernel->devices[n].is_there = false;
    return 0;
  case UBLK_U_CMD_DEL_DEV_ASYNC & 0xff:
    if (kernel->async_result < 0)
      return kernel->async_result;
    kernel->devices[n].is_there = kernel->devices[n].is_in_use;
    return 0;
  default:
    return -EOPNOTSUPP;
  }
}

const char *
path_in_place_of (const char *path, int flags)
{
  unsigned n;

  (void) flags;
  if (strcmp (path, "/dev/ublk-control") == 0 && kernel->has_driver)
    return "/dev/null";
  if (sscanf (path, "/dev/ublkc%u", &n) == 1) {
    kernel->devices[n - FIRST].opener = getpid ();
    return "/dev/zero"; /* by which it is known */
  }
  errno = ENOENT;
  return begins_with (path, "/dev/ublk") ? NULL : path;
}

/* The records are here, also for a process that is made to be in the root. */
static pid_t maker;

int __real_chdir (const char *path);
int __wrap_chdir (const char *path);
int
__wrap_chdir (const char *path)
{
  return getpid () == maker ? __real_chdir (path) : 0;
}

/* Where the driver's devices are listed: the first one, where it is served. */
DIR *__real_opendir (const char *path);
DIR *__wrap_opendir (const char *path);
DIR *
__wrap_opendir (const char *path)
{
  return __real_opendir (strcmp (path, "/sys/class/ublk-char") == 0 ? "devices"
                                                                    : path);
}

/* A keeper sleeps a hundredth of what it means to. */
static bool is_hasty;

int __real_nanosleep (const struct timespec *wanted, struct timespec *left);
int __wrap_nanosleep (const struct timespec *wanted, struct timespec *left);
int
__wrap_nanosleep (const struct timespec *wanted, struct timespec *left)
{
  const struct timespec less = {.tv_nsec = wanted->tv_nsec / 100};

  return __real_nanosleep (is_hasty ? &less : wanted, left);
}

/*---------------------------------------------------------------------*/

static struct message why;

static void
make_kernel (void)
{
  memset (kernel, 0, sizeof *kernel);
  kernel->has_driver = true;
  kernel->features = UBLK_F_USER_COPY;
}

static struct device_plan
a_plan (void)
{
  return (struct device_plan){.queues = 8, .depth = 16, .max_io = 65536};
}

static struct keeper *
create (unsigned count)
{
  struct keeper *k = keeper_create (count, &why);

  if (k == NULL)
    fail_msg ("%s", why.text);
  return k;
}

static void
make (struct keeper *k, unsigned index)
{
  struct device_plan plan = a_plan ();
  unsigned number = 0;

  if (keeper_make (k, index, "nullb0", &plan, &number, &why) != 0)
    fail_msg ("%s", why.text);
  assert_int_equal (number, FIRST + kernel->nr_devices - 1);
  assert_int_equal (plan.queues, 2);
}

/* It says WORDS. */
static void
makes_none (const char *words)
{
  struct keeper *k = create (1);
  struct device_plan plan = a_plan ();
  unsigned number;

  assert_true (keeper_make (k, 0, "nullb0", &plan, &number, &why) < 0);
  if (strstr (why.text, words) == NULL)
    fail_msg ("\"%s\" has no \"%s\"", why.text, words);
  keeper_destroy (k);
  assert_int_equal (records (), 0);
}

static void
no_look (void *opaque)
{
  (void) opaque;
}

static void
test_life (void **state)
{
  struct keeper *k;
  unsigned i;
  char byte;
  int fd;

  (void) state;
  assert_false (ublk_devices_exist ());
  make_kernel ();
  k = create (2);
  for (i = 0; i < 2; i++)
    make (k, i);
  assert_int_equal (records (), 2);
  for (i = 0; i < 2; i++) {
    fd = keeper_open (k, i, &why);
    assert_true (fd >= 0);
    assert_int_equal (read (fd, &byte, 1), 1);
    close (fd);
    assert_int_equal (keeper_start (k, i, no_look, NULL, &why), 0);
    assert_true (kernel->devices[i].is_started);
  }
  assert_int_equal (keeper_stop (k, 0), 0);
  assert_false (kernel->devices[0].is_started);
  keeper_delete (k, 0);
  assert_false (kernel->devices[0].is_there);
  assert_true (kernel->devices[1].is_started);
  assert_int_equal (records (), 1);
  keeper_destroy (k);
  assert_false (kernel->devices[1].is_there);
  assert_int_equal (records (), 0);
}

static void
test_refused (void **state)
{
  (void) state;
  make_kernel ();
  kernel->has_driver = false;
  makes_none ("the module ublk_drv is missing");
  make_kernel ();
  kernel->features = 0;
  makes_none ("too old: Linux 6.6");
  make_kernel ();
  kernel->nr_devices = MAX_KERNEL_DEVICES;
  makes_none ("ublks_max");
  make_kernel ();
  kernel->params_result = -EINVAL;
  makes_none ("does not take");
  assert_false (kernel->devices[0].is_there);
}

static void
test_start_fails (void **state)
{
  struct keeper *k;
  int fd;

  (void) state;
  make_kernel ();
  kernel->start_result = -EIO;
  k = create (1);
  make (k, 0);
  fd = keeper_open (k, 0, &why);
  assert_true (fd >= 0);
  close (fd);
  assert_int_equal (keeper_start (k, 0, no_look, NULL, &why), -EIO);
  assert_non_null (strstr (why.text, "does not start"));
  keeper_delete (k, 0);
  assert_int_equal (keeper_start (k, 0, no_look, NULL, &why), -ENODEV);
  keeper_destroy (k);
  assert_false (kernel->devices[0].is_there);
}

/* It hangs, until somebody looks who has it go on. */
static void
count_looks (void *looks)
{
  ++*(unsigned *) looks;
  kernel->start_hangs = false;
}

static void
test_start_hangs (void **state)
{
  unsigned looks = 0;
  struct keeper *k;
  int fd;

  (void) state;
  make_kernel ();
  kernel->start_hangs = true;
  k = create (1);
  make (k, 0);
  fd = keeper_open (k, 0, &why);
  assert_true (fd >= 0);
  close (fd);
  assert_int_equal (keeper_start (k, 0, count_looks, &looks, &why), 0);
  assert_int_not_equal (looks, 0);
  assert_true (kernel->devices[0].is_started);
  keeper_destroy (k);
}

static void
await_end_of (unsigned n)
{
  const struct timespec pause = {.tv_nsec = 1000000};
  unsigned i;

  for (i = 0; i < 60000 && (kernel->devices[n].is_there || records () > 0); i++)
    nanosleep (&pause, NULL);
  assert_false (kernel->devices[n].is_there);
  assert_int_equal (records (), 0);
}

/* What is in use stays, and nobody waits for that but the keeper. */
static void
test_in_use (void **state)
{
  const struct timespec pause = {.tv_nsec = 1000000};
  struct keeper *k;
  unsigned i;

  (void) state;
  make_kernel ();
  k = create (2);
  make (k, 0);
  make (k, 1);
  kernel->devices[0].is_in_use = true;
  keeper_delete (k, 0);
  assert_int_equal (records (), 2);
  keeper_destroy (k);
  assert_false (kernel->devices[1].is_there);
  assert_true (kernel->devices[0].is_there);
  assert_int_not_equal (records (), 0);
  kernel->devices[0].looks = 0;
  for (i = 0; i < 60000 && kernel->devices[0].looks < 2; i++)
    nanosleep (&pause, NULL);
  assert_int_not_equal (records (), 0);
  kernel->devices[0].is_there = false;
  await_end_of (0);
}

/* Somebody else has deleted it, and its number is another's. */
static void
test_replaced (void **state)
{
  struct keeper *k;

  (void) state;
  make_kernel ();
  k = create (1);
  make (k, 0);
  kernel->devices[0].cookie++;
  kernel->devices[0].is_started = true;
  keeper_delete (k, 0);
  keeper_destroy (k);
  assert_true (kernel->devices[0].is_there);
  assert_true (kernel->devices[0].is_started);
  assert_int_equal (records (), 0);
}

/* A server with one device, whose process is *server. */
static void
begin_server (pid_t *server)
{
  int fds[2];
  char byte;
  struct keeper *k;

  assert_int_equal (pipe (fds), 0);
  *server = fork ();
  assert_int_not_equal (*server, -1);
  if (*server == 0) {
    k = keeper_create (1, &why);
    make (k, 0);
    if (keeper_open (k, 0, &why) < 0 ||
        keeper_start (k, 0, no_look, NULL, &why) < 0 ||
        write (fds[1], "", 1) != 1)
      _exit (1);
    for (;;)
      pause ();
  }
  assert_int_equal (read (fds[0], &byte, 1), 1);
  close (fds[0]);
  close (fds[1]);
}

static void
end_server (pid_t server)
{
  kill (server, SIGKILL);
  assert_int_equal (waitpid (server, NULL, 0), server);
}

static void
test_killed (void **state)
{
  pid_t server;

  (void) state;
  make_kernel ();
  begin_server (&server);
  assert_true (kernel->devices[0].is_started);
  end_server (server);
  await_end_of (0);
}

/* Both are killed: the device is left, and the next one clears it. */
static bool
kill_keeper (uint64_t cookie, void *arg)
{
  struct device_record r;
  bool is_dead;

  (void) arg;
  assert_int_equal (device_record_open (&r, cookie, &is_dead), 0);
  assert_false (is_dead);
  assert_true (device_record_is_of_server (&r));
  assert_string_equal (r.device, "ublkb4000");
  assert_int_equal (kill (r.pid, SIGKILL), 0);
  while (!device_record_has_died (&r))
    ;
  device_record_close (&r);
  return true;
}

static void
test_left (void **state)
{
  struct keeper *k;
  pid_t server;

  (void) state;
  make_kernel ();
  begin_server (&server);
  device_record_for_each (kill_keeper, NULL);
  end_server (server);
  assert_true (kernel->devices[0].is_there);
  assert_int_equal (records (), 1);
  k = create (1);
  make (k, 0);
  assert_int_equal (records (), 1);
  assert_true (kernel->devices[1].is_there);
  keeper_destroy (k);
  assert_int_equal (records (), 0);
}

/* A server with a device that the kernel sees is served, for so many LOOKS; its
 * keeper has been killed.
 */
static void
serve_without_keeper (pid_t *server, unsigned looks)
{
  make_kernel ();
  begin_server (server);
  device_record_for_each (kill_keeper, NULL);
  assert_int_equal (records (), 1);
  kernel->devices[0].looks = 0;
  kernel->devices[0].served_looks = looks;
}

static int
list_device (void **state)
{
  (void) state;
  is_hasty = true;
  return mkdir ("devices", 0700) == 0 && mkdir ("devices/ublkc4000", 0700) == 0
             ? 0
             : -1;
}

static int
list_no_device (void **state)
{
  (void) state;
  is_hasty = false;
  return rmdir ("devices/ublkc4000") == 0 && rmdir ("devices") == 0 ? 0 : -1;
}

/* The keeper alone is killed: the device of its server works, and no other
 * server waits for it.
 */
static void
test_served (void **state)
{
  struct keeper *k;
  pid_t server;

  (void) state;
  serve_without_keeper (&server, UINT32_MAX);
  k = create (1);
  make (k, 0);
  assert_int_equal (kernel->devices[0].looks, 1);
  assert_true (kernel->devices[0].is_started);
  assert_true (kernel->devices[0].is_there);
  keeper_destroy (k);
  assert_true (kernel->devices[0].is_there);
  k = create (1);
  make (k, 0);
  assert_true (kernel->devices[0].is_there);
  end_server (server);
  kernel->devices[0].served_looks = 0; /* what the kernel notices later */
  keeper_destroy (k);
  await_end_of (0);
}

static int
clear (unsigned *number)
{
  struct ublk_driver *d = ublk_driver_open (&why);
  struct device_record r;
  bool is_dead;
  int err;

  assert_non_null (d);
  assert_int_equal (
      device_record_open (&r, kernel->devices[0].cookie, &is_dead), 0);
  assert_true (is_dead);
  err = setup_clear (d, &r, true, number);
  ublk_driver_close (d);
  return err;
}

/* Who wants it to be cleared waits: the kernel may notice late that nobody
 * serves it, but does so within ten seconds.
 */
static void
test_cleared (void **state)
{
  unsigned number;
  pid_t server;

  (void) state;
  serve_without_keeper (&server, UINT32_MAX);
  assert_int_equal (clear (&number), -EBUSY);
  assert_int_equal (number, FIRST);
  assert_int_equal (kernel->devices[0].looks, 10 * 50 + 1);
  assert_true (kernel->devices[0].is_started);
  end_server (server);
  kernel->devices[0].served_looks = kernel->devices[0].looks + 400;
  assert_int_equal (clear (&number), 0);
  assert_false (kernel->devices[0].is_there);
  assert_int_equal (records (), 0);
}

/* Where a deletion waits for those who have the device open, no server deletes
 * one that is not its own.
 */
static void
test_left_before_linux_6_9 (void **state)
{
  struct keeper *k;
  unsigned number;
  pid_t server;

  (void) state;
  assert_true (ublk_devices_exist ());
  assert_int_equal (rmdir ("devices/ublkc4000"), 0);
  assert_false (ublk_devices_exist ());
  assert_int_equal (mkdir ("devices/ublkc4000", 0700), 0);
  serve_without_keeper (&server, 0);
  end_server (server);
  kernel->async_result = -EOPNOTSUPP;
  k = create (1);
  make (k, 0);
  assert_int_equal (kernel->waiting_deletes, 0);
  assert_int_equal (records (), 2);
  keeper_delete (k, 0);
  assert_int_equal (kernel->waiting_deletes, 1);
  keeper_destroy (k);
  assert_int_equal (clear (&number), 0);
  assert_int_equal (kernel->waiting_deletes, 2);
  assert_int_equal (records (), 0);
}

/* One that stays open after it was deleted is left to the kernel. */
static void
test_stays_open (void **state)
{
  const struct timespec pause = {.tv_nsec = 1000000};
  struct keeper *k;
  unsigned i;

  (void) state;
  make_kernel ();
  is_hasty = true;
  k = create (1);
  is_hasty = false;
  make (k, 0);
  kernel->devices[0].is_in_use = true;
  keeper_destroy (k);
  for (i = 0; i < 60000 && records () > 0; i++)
    nanosleep (&pause, NULL);
  assert_int_equal (records (), 0);
  assert_true (kernel->devices[0].is_there);
}

/* It has been killed: the server hears of it. */
static void
test_keeper_killed (void **state)
{
  struct keeper *k;

  (void) state;
  make_kernel ();
  k = create (1);
  make (k, 0);
  device_record_for_each (kill_keeper, NULL);
  assert_int_equal (keeper_stop (k, 0), -ESRCH);
  assert_int_equal (keeper_open (k, 0, &why), -ESRCH);
  keeper_destroy (k);
  k = create (1);
  make (k, 0);
  keeper_destroy (k);
  assert_int_equal (records (), 0);
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_life),
      cmocka_unit_test (test_refused),
      cmocka_unit_test (test_start_fails),
      cmocka_unit_test (test_start_hangs),
      cmocka_unit_test (test_in_use),
      cmocka_unit_test (test_replaced),
      cmocka_unit_test (test_killed),
      cmocka_unit_test (test_left),
      cmocka_unit_test_setup_teardown (test_served, list_device,
                                       list_no_device),
      cmocka_unit_test_setup_teardown (test_cleared, list_device,
                                       list_no_device),
      cmocka_unit_test_setup_teardown (test_left_before_linux_6_9, list_device,
                                       list_no_device),
      cmocka_unit_test (test_stays_open),
      cmocka_unit_test (test_keeper_killed),
  };

  maker = getpid ();
  kernel = mmap (NULL, sizeof *kernel, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return kernel == MAP_FAILED || RUN_TESTS_IN_DIRECTORY (tests);
}
