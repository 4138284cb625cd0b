/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Making a ublk device, and taking it away; see setup.h.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "setup.h"

/* To clear what another has left takes longer. */
#define CLEARING_SECONDS 60

/* In this time the kernel notices that nobody serves a device any more, twice:
 * before Linux 6.7 it looks every 5 s.
 */
#define DYING_SECONDS 10

/* How often it is checked whether something has come about. */
#define CHECKS_A_SECOND 50

static void
pause_shortly (void)
{
  const struct timespec pause = {.tv_nsec = 1000000000 / CHECKS_A_SECOND};

  nanosleep (&pause, NULL);
}

int
setup_check_driver (const struct ublk_driver *d, const struct device_plan *plan,
                    struct message *why)
{
  if (plan->zone_size == 0 || (ublk_driver_features (d) & UBLK_F_ZONED) != 0)
    return 0;
  message_set (why, "this kernel's ublk driver has no zones: Linux 6.6 is "
                    "needed");
  return -EOPNOTSUPP;
}

static bool
lasts (const struct ublk_driver *d, const struct device_plan *plan)
{
  const uint64_t needed = UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE;

  return plan->persists && (ublk_driver_features (d) & needed) == needed;
}

int
setup_add (struct ublk_driver *d, const struct device_plan *plan,
           uint64_t cookie, struct ublksrv_ctrl_dev_info *info,
           struct message *why)
{
  int r;

  *info = (struct ublksrv_ctrl_dev_info){
      .queues = plan->queues,
      .depth = plan->depth,
      .max_io = plan->max_io,
      .flags =
          UBLK_F_USER_COPY | (plan->zone_size != 0 ? UBLK_F_ZONED : 0) |
          (lasts (d, plan) ? UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE
                           : 0),
      .cookie = cookie,
  };
  r = ublk_driver_add (d, info);
  if (r < 0)
    message_set (why, "the kernel makes no device: %s%s", strerror (-r),
                 r == -EACCES || r == -ENOSPC
                     ? " (there are as many as ublk_drv's ublks_max allows)"
                     : "");
  return r;
}

int
setup_set_params (struct ublk_driver *d, struct device_plan *plan,
                  const struct ublksrv_ctrl_dev_info *info, struct message *why)
{
  int r;

  if (plan->zone_size != 0 && (info->flags & UBLK_F_ZONED) == 0) {
    message_set (why, "this kernel makes no device with zones (it needs "
                      "BLK_DEV_ZONED, and Linux 6.6)");
    return -EOPNOTSUPP;
  }
  plan->queues = info->queues;
  plan->depth = info->depth;
  r = ublk_driver_set_params (d, info->device, &plan->params);
  if (r < 0)
    message_set (why,
                 "the kernel does not take what the device is to be "
                 "like: %s",
                 strerror (-r));
  return r;
}

/* Is the device of INFO, which is like THEN, what PLAN says? */
static bool
is_as_planned (const struct device_plan *plan,
               const struct ublksrv_ctrl_dev_info *info,
               const struct ublk_params *then)
{
  const struct ublk_params *now = &plan->params;

  return info->queues == plan->queues && info->depth == plan->depth &&
         info->max_io == plan->max_io && then->sectors == now->sectors &&
         then->attributes == now->attributes &&
         then->logical_block_shift == now->logical_block_shift &&
         then->physical_block_shift == now->physical_block_shift &&
         then->max_sectors == now->max_sectors &&
         then->chunk_sectors == now->chunk_sectors &&
         then->max_open_zones == now->max_open_zones &&
         then->max_active_zones == now->max_active_zones &&
         then->max_discard_sectors == now->max_discard_sectors &&
         then->max_write_zeroes_sectors == now->max_write_zeroes_sectors;
}

int
setup_recover (struct ublk_driver *d, const struct device_plan *plan,
               const struct ublksrv_ctrl_dev_info *info, bool has_begun,
               struct message *why)
{
  struct ublk_params then;
  unsigned i;
  int r;

  r = ublk_driver_get_params (d, info->device, &then);
  if (r == 0 && !is_as_planned (plan, info, &then)) {
    message_set (why, "the export is not what it was when the device was made");
    return -EINVAL;
  }
  for (i = 0;
       r == 0 && (r = ublk_driver_begin_recovery (d, info->device)) == -EBUSY &&
       i < SETUP_PATIENCE * CHECKS_A_SECOND;
       i++) {
    r = 0;
    pause_shortly ();
  }
  if (r == -EINVAL && has_begun)
    r = 0;
  if (r < 0)
    message_set (why, "the kernel does not let the device be taken over: %s",
                 strerror (-r));
  return r;
}

/* The node is made by the kernel, and given to us by nobody else. */
int
setup_open (unsigned number, struct message *why)
{
  char path[64];
  unsigned i;
  int fd;

  snprintf (path, sizeof path, "/dev/ublkc%u", number);
  for (i = 0; i < SETUP_PATIENCE * CHECKS_A_SECOND; i++) {
    fd = open (path, O_RDWR | O_CLOEXEC);
    if (fd != -1)
      return fd;
    if (errno != ENOENT)
      break;
    pause_shortly ();
  }
  fd = -errno;
  message_set (why, "%s: %s", path, strerror (errno));
  return fd;
}

int
setup_await (unsigned number, struct message *why)
{
  char path[64];
  unsigned i;

  snprintf (path, sizeof path, "/dev/ublkb%u", number);
  for (i = 0; access (path, F_OK) == -1; i++) {
    if (i == SETUP_PATIENCE * CHECKS_A_SECOND) {
      message_set (why, "%s does not appear", path);
      return -ENOENT;
    }
    pause_shortly ();
  }
  return 0;
}

bool
setup_await_gone (struct ublk_driver *d, unsigned number, uint64_t cookie,
                  unsigned seconds)
{
  struct ublksrv_ctrl_dev_info info;
  unsigned i;
  int r;

  for (i = 0;; i++) {
    r = ublk_driver_info (d, number, &info);
    if (r == -ENODEV || (r == 0 && info.cookie != cookie))
      return true;
    if (r < 0 || i == seconds * CHECKS_A_SECOND)
      return false;
    pause_shortly ();
  }
}

/* A record whose process has died does not say that nobody serves the device: a
 * server goes on when its keeper was killed.
 */
static int
delete_device (struct ublk_driver *d, uint64_t cookie, bool waits,
               unsigned *number)
{
  struct ublksrv_ctrl_dev_info info;
  unsigned i;
  int r;

  *number = UBLK_NEW_DEVICE;
  r = d != NULL ? ublk_driver_find (d, cookie, &info) : -ENODEV;
  if (r < 0)
    return r == -ENODEV ? 0 : r;
  *number = info.device;
  for (i = 0; info.state == UBLK_S_DEV_LIVE; i++) {
    if (!waits || i == DYING_SECONDS * CHECKS_A_SECOND)
      return -EBUSY;
    pause_shortly ();
    r = ublk_driver_info (d, *number, &info);
    if (r == -ENODEV || (r == 0 && info.cookie != cookie))
      return 0;
    if (r < 0)
      return r;
  }
  ublk_driver_stop (d, info.device);
  r = ublk_driver_delete (d, info.device, waits);
  if (r < 0 && r != -ENODEV)
    return r;
  return setup_await_gone (d, info.device, cookie, waits ? CLEARING_SECONDS : 0)
             ? 0
             : -EBUSY;
}

int
setup_clear (struct ublk_driver *d, struct device_record *r, bool waits,
             unsigned *number)
{
  unsigned i;
  int err;

  *number = UBLK_NEW_DEVICE;
  for (i = 0; (err = device_record_lock_to_clear (r)) == -EAGAIN && waits &&
              i < CLEARING_SECONDS * CHECKS_A_SECOND;
       i++)
    pause_shortly ();
  if (err == 0)
    err = delete_device (d, r->cookie, waits, number);
  if (err == 0)
    return device_record_remove (r);
  device_record_close (r);
  return err == -ENOENT ? 0 : err;
}
