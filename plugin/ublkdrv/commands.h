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

struct driver;

/* Load the driver where it is missing, and ask it what it can do.  Returns NULL
 * and the reason in *why where it is missing, or too old.  The thread that
 * calls it makes all other calls, too.
 */
struct driver *driver_open (struct message *why);
void driver_close (struct driver *c);

/* UBLK_F_... */
uint64_t driver_features (const struct driver *c);

/* These return 0 or a negative errno. */

/* Make a device that the kernel numbers; *info says what is wanted, and
 * afterwards what the device is like.
 */
int driver_add (struct driver *c, struct ublksrv_ctrl_dev_info *info);
int driver_set_params (struct driver *c, unsigned device,
                       const struct ublk_params *params);
int driver_get_params (struct driver *c, unsigned device,
                       struct ublk_params *params);
/* Make it a block device.  SERVER is the process that has opened /dev/ublkcN,
 * whichever serves it.  Returns when the kernel has read what it wants to know
 * first.
 */
int driver_start (struct driver *c, unsigned device, pid_t server);
/* A device with UBLK_F_USER_RECOVERY whose server has died has the state
 * UBLK_S_DEV_QUIESCED, after a moment; until then, this is -EBUSY.  Afterwards
 * another process can open it and fetch requests.
 */
int driver_begin_recovery (struct driver *c, unsigned device);
/* All has been fetched: SERVER serves it from now on. */
int driver_end_recovery (struct driver *c, unsigned device, pid_t server);
int driver_stop (struct driver *c, unsigned device);
/* -EBUSY: somebody has it open. */
int driver_try_stop (struct driver *c, unsigned device);
/* Delete it, since Linux 6.9 without waiting for those who have it open. */
int driver_delete (struct driver *c, unsigned device);
/* -ENODEV: there is no such device. */
int driver_info (struct driver *c, unsigned device,
                 struct ublksrv_ctrl_dev_info *info);

/* The device with this cookie, of all that there are.  -ENODEV: none has it. */
int driver_find (struct driver *c, uint64_t cookie,
                 struct ublksrv_ctrl_dev_info *info);

#endif /* NULLBLK_UBLKDRV_COMMANDS_H */
