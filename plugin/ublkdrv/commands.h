/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The ublk driver's commands about devices.
 */

#ifndef NULLBLK_UBLKDRV_COMMANDS_H
#define NULLBLK_UBLKDRV_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/common.h"
#include "kernel.h"

struct ublk_driver;

/* Load the driver where it is missing, and ask it what it can do.  The thread
 * that calls it makes all other calls, too.  Returns NULL, the reason in *why,
 * and errno on failure.  ENODEV: the driver is missing, or too old, so that
 * none of its devices is ours.  EPERM or EACCES: we may not use it, or
 * io_uring.
 */
struct ublk_driver *ublk_driver_open (struct message *why);
void ublk_driver_close (struct ublk_driver *d);

/* UBLK_F_... */
uint64_t ublk_driver_features (const struct ublk_driver *d);

/* The functions from here on return 0 or a negative errno. */

/* Make a device that the kernel numbers; *info says what is wanted, and
 * afterwards what the device is like.
 */
int ublk_driver_add (struct ublk_driver *d, struct ublksrv_ctrl_dev_info *info);
int ublk_driver_set_params (struct ublk_driver *d, unsigned device,
                            const struct ublk_params *params);
int ublk_driver_get_params (struct ublk_driver *d, unsigned device,
                            struct ublk_params *params);
/* Have DEVICE appear as a block device.  SERVER is the pid of the process that
 * has opened /dev/ublkcN, even if another process answers its requests.
 * Returns when the kernel has read what it wants to know first.
 */
int ublk_driver_start (struct ublk_driver *d, unsigned device, pid_t server);
/* A device with UBLK_F_USER_RECOVERY whose server has died has the state
 * UBLK_S_DEV_QUIESCED, after a moment; until then, this is -EBUSY.  Afterwards
 * another process can open it and fetch requests.
 */
int ublk_driver_begin_recovery (struct ublk_driver *d, unsigned device);
/* End the recovery once SERVER has fetched a request for each tag: SERVER
 * serves the device from now on.
 */
int ublk_driver_end_recovery (struct ublk_driver *d, unsigned device,
                              pid_t server);
int ublk_driver_stop (struct ublk_driver *d, unsigned device);
/* As ublk_driver_stop, but -EBUSY if somebody has the block device open. */
int ublk_driver_try_stop (struct ublk_driver *d, unsigned device);
/* Delete DEVICE, without waiting for those who have it open.  Linux before 6.9
 * deletes it only if MAY_WAIT, and then waits until they have closed it.
 */
int ublk_driver_delete (struct ublk_driver *d, unsigned device, bool may_wait);
/* -ENODEV: there is no such device. */
int ublk_driver_info (struct ublk_driver *d, unsigned device,
                      struct ublksrv_ctrl_dev_info *info);

/* Does the kernel have any ublk device?  True also where that cannot be told.
 * This needs no driver that answers.
 */
bool ublk_devices_exist (void);

/* The device with this cookie, of all that there are.  -ENODEV: none has it;
 * any other error: that cannot be told.
 */
int ublk_driver_find (struct ublk_driver *d, uint64_t cookie,
                      struct ublksrv_ctrl_dev_info *info);

#endif /* NULLBLK_UBLKDRV_COMMANDS_H */
