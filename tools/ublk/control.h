/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The ublk driver's commands about devices.
 */

#ifndef NULLBLK_UBLK_CONTROL_H
#define NULLBLK_UBLK_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/common.h"
#include "kernel.h"

struct control;

/* Load the driver where it is missing, and ask it what it can do.  Returns NULL
 * and the reason in *why where it is missing, or too old.  The thread that
 * calls it makes all other calls, too.
 */
struct control *control_open (struct message *why);
void control_close (struct control *c);

/* UBLK_F_... */
uint64_t control_features (const struct control *c);

/* These return 0 or a negative errno. */

/* Make a device that the kernel numbers; *info says what is wanted, and what it
 * has become.
 */
int control_add (struct control *c, struct ublk_info *info);
int control_set_params (struct control *c, unsigned device,
                        const struct ublk_params *params);
/* Make it a block device, that the process SERVER serves.  Returns when the
 * kernel has read what it wants to know first.
 */
int control_start (struct control *c, unsigned device, pid_t server);
int control_stop (struct control *c, unsigned device);
/* -EBUSY: somebody has it open. */
int control_try_stop (struct control *c, unsigned device);
/* Delete it, without waiting for those who still have it open. */
int control_delete (struct control *c, unsigned device);
/* -ENODEV: there is no such device. */
int control_info (struct control *c, unsigned device, struct ublk_info *info);

/* The device with this cookie, of all that there are.  -ENODEV: none has it. */
int control_find (struct control *c, uint64_t cookie, struct ublk_info *info);

#endif /* NULLBLK_UBLK_CONTROL_H */
