/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The keeper: a process that stays root, and makes, opens, starts, stops and
 * deletes the block devices of a server that may not be root any more.  When
 * the server ends, in whatever way, the keeper takes away what is left of them,
 * and ends, too.  For each device it keeps a record (ublk-record.h).  If both
 * the server and its keeper are killed, the keeper of the next server finds by
 * the records what they have left, and clears that: when it begins, or when it
 * ends, if the kernel had not noticed yet that they were killed.
 *
 * It has no ring or device open that a request could be in, so nothing waits
 * for it.  These functions are called by one thread, which waits for the
 * keeper.  Those that have a WHY return 0, or a negative errno and the reason
 * in *why.
 */

#ifndef NULLBLK_UBLK_KEEPER_INTERNAL_H
#define NULLBLK_UBLK_KEEPER_INTERNAL_H

#include "ublkdrv/ublkdrv.h"

struct keeper;

/* Make the keeper of COUNT devices.  The calling process has one thread, and is
 * root.  Returns NULL and the reason in *why.
 */
struct keeper *keeper_create (unsigned count, struct message *why);

/* Make device INDEX of the server, which others see by the name WHAT. */
int keeper_make (struct keeper *k, unsigned index, const char *what,
                 struct device_plan *plan, unsigned *number,
                 struct message *why);

/* Open /dev/ublkcN of device INDEX for this process, which is its server from
 * now on.  Returns the descriptor.
 */
int keeper_open (struct keeper *k, unsigned index, struct message *why);

/* Make device INDEX a block device.  Its queues have to be there, which answer
 * meanwhile what the kernel asks; MEANWHILE is called with OPAQUE every now and
 * then until the block device is made, so that it can have all requests fail.
 */
int keeper_start (struct keeper *k, unsigned index,
                  void (*meanwhile) (void *opaque), void *opaque,
                  struct message *why);

/* Stop a device, so that its queues end.  Returns 0 or a negative errno. */
int keeper_stop (struct keeper *k, unsigned index);

/* Delete device INDEX, when the server has closed it.  It is gone when nobody
 * has it open any more.
 */
void keeper_delete (struct keeper *k, unsigned index);

/* Have the keeper stop and delete all devices, and end.  This function waits
 * until the kernel has done the deletions.  Somebody may still have a device
 * open then; but Linux before 6.9 deletes a device only when nobody has it
 * open.
 *
 * The keeper process goes on after that: it waits for one device after the
 * other until the device is gone, so until nobody has it open, and removes its
 * record.  It ends when all are gone, or when one has not gone within half a
 * minute.
 */
void keeper_destroy (struct keeper *k);

#endif /* NULLBLK_UBLK_KEEPER_INTERNAL_H */
