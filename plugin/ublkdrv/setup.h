/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The steps by which a ublk device is made and taken away, which every program
 * that serves one takes in this order:
 *
 *     setup_check_driver  can the driver do what the plan wants?
 *     setup_add           the kernel makes /dev/ublkcN, and chooses N
 *     setup_set_params    the kernel is told what the device is like
 *     setup_open          of /dev/ublkcN; queues fetch from it
 *     ublk_driver_start  /dev/ublkbN is there ...
 *     setup_await         ... and has its node
 *     ublk_driver_stop, ublk_driver_delete
 *     setup_await_gone       nothing of it is left
 *
 * None of these locks.  Those that return int return 0 (setup_open a
 * descriptor) or a negative errno, and the reason in *why if they take a WHY.
 */

#ifndef NULLBLK_UBLKDRV_SETUP_H
#define NULLBLK_UBLKDRV_SETUP_H

#include <stdbool.h>
#include <stdint.h>

#include "commands.h"
#include "common/common.h"
#include "kernel.h"
#include "ublk-plan.h"
#include "ublk-record.h"

/* Seconds after which a step that as a rule takes no time counts as failed. */
#define SETUP_PATIENCE 30

/* -EOPNOTSUPP: not with zones. */
int setup_check_driver (const struct ublk_driver *d,
                        const struct device_plan *plan, struct message *why);

/* *info is what the device is like then. */
int setup_add (struct ublk_driver *d, const struct device_plan *plan,
               uint64_t cookie, struct ublksrv_ctrl_dev_info *info,
               struct message *why);

/* PLAN has as many queues as INFO afterwards, of the same depth: the kernel has
 * no more queues than CPUs.  -EOPNOTSUPP: the kernel makes no device with
 * zones.
 */
int setup_set_params (struct ublk_driver *d, struct device_plan *plan,
                      const struct ublksrv_ctrl_dev_info *info,
                      struct message *why);

/* Take over the device of INFO, whose server has died, instead of the first
 * steps: it has to be as PLAN says.  Then it is opened and fetched from, and
 * ublk_driver_end_recovery has it go on.  HAS_BEGUN: another process may have
 * begun to take the device over, and been killed before it fetched requests.
 * Then it is no error if the kernel does not let us begin.
 */
int setup_recover (struct ublk_driver *d, const struct device_plan *plan,
                   const struct ublksrv_ctrl_dev_info *info, bool has_begun,
                   struct message *why);

int setup_open (unsigned number, struct message *why);

int setup_await (unsigned number, struct message *why);

/* Wait for SECONDS at most, which may be 0, until device NUMBER, which was
 * deleted, is gone.  By then another device may have the number: the deleted
 * one is told by its COOKIE.  Returns false if it stays.
 */
bool setup_await_gone (struct ublk_driver *d, unsigned number, uint64_t cookie,
                       unsigned seconds);

/* Take away what a killed process has left, and its device record, which is
 * open, and which this closes.  *NUMBER is that of its device, or
 * UBLK_NEW_DEVICE if the kernel has none.  D may be NULL, where there is no
 * driver, and so no device.  Returns 0, also where somebody else has done it;
 * or an error of the driver or of the record's file.  Before Linux 6.9 a device
 * is deleted only with WAITS.
 *
 * These are returned at once without WAITS, and with it after so long:
 *
 *   -EBUSY   0 s   a process has locked the record
 *   -EBUSY   10 s  the kernel counts a process as the device's server: a killed
 *                  one for a moment; a server whose keeper alone was killed for
 *                  as long as it lives
 *   -EBUSY   60 s  somebody has the device open
 *   -EAGAIN  60 s  somebody else is clearing the record
 */
int setup_clear (struct ublk_driver *d, struct device_record *r, bool waits,
                 unsigned *number);

#endif /* NULLBLK_UBLKDRV_SETUP_H */
