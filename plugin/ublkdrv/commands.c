/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Commands to /dev/ublk-control; see commands.h.
 */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <liburing.h>

#include "commands.h"
#include "ring.h"

#define CONTROL "/dev/ublk-control"
#define DEVICES "/sys/class/ublk-char"

/* How kernels refused a command that they do not know until the end of 2024
 * (Linux 6.6.64, 6.12.2 and 6.13 say EOPNOTSUPP): a number that is the kernel's
 * own, and that no header for programs has.
 */
#define KERNEL_ENOTSUPP 524

extern char **environ;

/* The largest of what commands are about. */
union subject {
  uint64_t features;
  struct ublksrv_ctrl_dev_info info;
  struct ublk_params params;
};

struct ublk_driver {
  int fd;
  struct ring *ring;
  uint64_t features;
  struct ring_event event;
  bool is_done;
  int result;
  union subject subject; /* of a command that is the kernel's */
  int broken; /* the ring's error, after which the command stays the kernel's */
};

static void
is_done (struct ring_event *event, int result)
{
  struct ublk_driver *d =
      (struct ublk_driver *) ((char *) event -
                              offsetof (struct ublk_driver, event));

  d->is_done = true;
  d->result = result;
}

/* If the ring has failed while the kernel had a command, the completion of that
 * command may still come, and would be taken for that of the next one: so there
 * is no next one.
 */
static int
ask (struct ublk_driver *d, unsigned request,
     const struct ublksrv_ctrl_cmd *command)
{
  struct io_uring_sqe *sqe;

  if (d->broken < 0)
    return d->broken;
  sqe = ring_get_sqe (d->ring, &d->event);
  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = d->fd;
  sqe->cmd_op = request;
  memcpy (sqe->cmd, command, sizeof *command);
  d->is_done = false;
  while (!d->is_done) {
    d->broken = ring_run (d->ring, true);
    if (d->broken < 0)
      return d->broken;
  }
  return d->result == -KERNEL_ENOTSUPP ? -EOPNOTSUPP : d->result;
}

/* About the first LENGTH bytes of d->subject, which are the kernel's to read or
 * to write until it has answered.
 */
static int
ask_about (struct ublk_driver *d, unsigned request, unsigned device,
           size_t length, uint64_t value)
{
  const struct ublksrv_ctrl_cmd command = {
      .device = device,
      .queue = UBLK_NO_QUEUE,
      .length = length,
      .address = length != 0 ? (uintptr_t) &d->subject : 0,
      .value = value,
  };

  return ask (d, request, &command);
}

/*---------------------------------------------------------------------*/
/* The driver */

/* Without a word: what is wrong is seen by what is missing afterwards. */
static void
load_module (void)
{
  char name[] = "modprobe", module[] = "ublk_drv";
  char *argv[] = {name, module, NULL};
  posix_spawn_file_actions_t actions;
  pid_t pid;

  if (posix_spawn_file_actions_init (&actions) != 0)
    return;
  if (posix_spawn_file_actions_addopen (&actions, 1, "/dev/null", O_WRONLY,
                                        0) == 0 &&
      posix_spawn_file_actions_adddup2 (&actions, 1, 2) == 0 &&
      posix_spawnp (&pid, argv[0], &actions, NULL, argv, environ) == 0) {
    while (waitpid (pid, NULL, 0) == -1 && errno == EINTR)
      ;
  }
  posix_spawn_file_actions_destroy (&actions);
}

static int
open_control (void)
{
  int fd = open (CONTROL, O_RDWR | O_CLOEXEC);

  if (fd == -1 && (errno == ENOENT || errno == ENXIO || errno == ENODEV)) {
    load_module ();
    fd = open (CONTROL, O_RDWR | O_CLOEXEC);
  }
  return fd;
}

static int
set_up (struct ublk_driver *d, struct message *why)
{
  int r;

  d->fd = open_control ();
  r = -errno;
  if (d->fd == -1 && (r == -ENOENT || r == -ENXIO || r == -ENODEV)) {
    message_set (why, "this kernel has no ublk driver: the module ublk_drv is "
                      "missing (it is part of Linux 6.6 and later, where it "
                      "has been configured)");
    return -ENODEV;
  }
  if (d->fd == -1) {
    message_set (why, CONTROL ": %s", strerror (-r));
    return r;
  }
  d->ring = ring_create (4, true);
  r = -errno;
  if (d->ring == NULL && (r == -EPERM || r == -ENOSYS)) {
    message_set (why, "this kernel lets nobody use io_uring (see sysctl "
                      "kernel.io_uring_disabled)");
    return -EPERM;
  }
  if (d->ring == NULL && r == -EINVAL) {
    message_set (why, "this kernel is too old: Linux 6.6 is needed");
    return -ENODEV;
  }
  if (d->ring == NULL) {
    message_set (why, "io_uring: %s", strerror (-r));
    return r;
  }
  r = ask_about (d, UBLK_U_CMD_GET_FEATURES, UBLK_NEW_DEVICE,
                 sizeof d->subject.features, 0);
  d->features = d->subject.features;
  if (d->broken < 0) {
    message_set (why, "io_uring: %s", strerror (-d->broken));
    return d->broken;
  }
  if (r == -EPERM || r == -EACCES) {
    message_set (why, "only root may make a ublk device");
    return -EPERM;
  }
  if (r == -ENOMEM || r == -EAGAIN || r == -EINTR) {
    message_set (why, "the ublk driver does not say what it can do: %s",
                 strerror (-r));
    return r;
  }
  if (r < 0 || (d->features & UBLK_F_USER_COPY) == 0) {
    message_set (why, "this kernel's ublk driver is too old: Linux 6.6 is "
                      "needed");
    return -ENODEV;
  }
  return 0;
}

struct ublk_driver *
ublk_driver_open (struct message *why)
{
  struct ublk_driver *d = calloc (1, sizeof *d);
  int r;

  if (d == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    errno = ENOMEM;
    return NULL;
  }
  d->fd = -1;
  d->event.happened = is_done;
  r = set_up (d, why);
  if (r < 0) {
    ublk_driver_close (d);
    errno = -r;
    return NULL;
  }
  return d;
}

void
ublk_driver_close (struct ublk_driver *d)
{
  if (d == NULL)
    return;
  ring_destroy (d->ring);
  if (d->fd != -1)
    close (d->fd);
  if (d->broken == 0)
    free (d);
}

uint64_t
ublk_driver_features (const struct ublk_driver *d)
{
  return d->features;
}

/*---------------------------------------------------------------------*/
/* Devices */

int
ublk_driver_add (struct ublk_driver *d, struct ublksrv_ctrl_dev_info *info)
{
  int r;

  d->subject.info = *info;
  d->subject.info.device = UBLK_NEW_DEVICE;
  r = ask_about (d, UBLK_U_CMD_ADD_DEV, UBLK_NEW_DEVICE, sizeof *info, 0);
  *info = d->subject.info;
  return r;
}

int
ublk_driver_set_params (struct ublk_driver *d, unsigned device,
                        const struct ublk_params *params)
{
  d->subject.params = *params;
  return ask_about (d, UBLK_U_CMD_SET_PARAMS, device, sizeof *params, 0);
}

int
ublk_driver_get_params (struct ublk_driver *d, unsigned device,
                        struct ublk_params *params)
{
  int r;

  d->subject.params = (struct ublk_params){.length = sizeof *params};
  r = ask_about (d, UBLK_U_CMD_GET_PARAMS, device, sizeof *params, 0);
  *params = d->subject.params;
  return r;
}

int
ublk_driver_begin_recovery (struct ublk_driver *d, unsigned device)
{
  return ask_about (d, UBLK_U_CMD_START_USER_RECOVERY, device, 0, 0);
}

int
ublk_driver_end_recovery (struct ublk_driver *d, unsigned device, pid_t server)
{
  return ask_about (d, UBLK_U_CMD_END_USER_RECOVERY, device, 0, server);
}

int
ublk_driver_start (struct ublk_driver *d, unsigned device, pid_t server)
{
  return ask_about (d, UBLK_U_CMD_START_DEV, device, 0, server);
}

int
ublk_driver_stop (struct ublk_driver *d, unsigned device)
{
  return ask_about (d, UBLK_U_CMD_STOP_DEV, device, 0, 0);
}

int
ublk_driver_try_stop (struct ublk_driver *d, unsigned device)
{
  return ask_about (d, UBLK_U_CMD_TRY_STOP_DEV, device, 0, 0);
}

int
ublk_driver_delete (struct ublk_driver *d, unsigned device, bool may_wait)
{
  int r = ask_about (d, UBLK_U_CMD_DEL_DEV_ASYNC, device, 0, 0);

  if ((r == -EOPNOTSUPP || r == -EINVAL) && may_wait)
    r = ask_about (d, UBLK_U_CMD_DEL_DEV, device, 0, 0);
  return r;
}

int
ublk_driver_info (struct ublk_driver *d, unsigned device,
                  struct ublksrv_ctrl_dev_info *info)
{
  int r;

  memset (&d->subject, 0, sizeof d->subject);
  r = ask_about (d, UBLK_U_CMD_GET_DEV_INFO, device, sizeof *info, 0);
  *info = d->subject.info;
  return r;
}

/* Is it this device that has the cookie?  Returns -ENODEV where it is not: a
 * device may have just gone, and a device of a user who is not root, as ours
 * never is, wants to be asked in another way, and says -EINVAL.
 */
static int
compare (struct ublk_driver *d, unsigned device, uint64_t cookie,
         struct ublksrv_ctrl_dev_info *info)
{
  const int r = ublk_driver_info (d, device, info);

  return r == -EINVAL || (r == 0 && info->cookie != cookie) ? -ENODEV : r;
}

bool
ublk_devices_exist (void)
{
  DIR *dir = opendir (DEVICES);
  struct dirent *entry;
  bool r;

  if (dir == NULL)
    return errno != ENOENT;
  do {
    errno = 0;
    entry = readdir (dir);
  } while (entry != NULL && entry->d_name[0] == '.');
  r = entry != NULL || errno != 0;
  closedir (dir);
  return r;
}

int
ublk_driver_find (struct ublk_driver *d, uint64_t cookie,
                  struct ublksrv_ctrl_dev_info *info)
{
  struct dirent *entry;
  unsigned device;
  char after;
  int r = -ENODEV;
  DIR *dir;

  dir = opendir (DEVICES);
  if (dir == NULL)
    return errno == ENOENT ? -ENODEV : -errno;
  while (r == -ENODEV && (errno = 0, entry = readdir (dir)) != NULL) {
    if (sscanf (entry->d_name, "ublkc%u%c", &device, &after) == 1)
      r = compare (d, device, cookie, info);
  }
  if (r == -ENODEV && errno != 0)
    r = -errno;
  closedir (dir);
  return r;
}
