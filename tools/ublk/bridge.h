/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The bridge of this process: its ublk device, with the connections to the
 * export behind it, the device record and the queues, from making the device to
 * deleting it.
 */

#ifndef NULLBLK_UBLK_BRIDGE_H
#define NULLBLK_UBLK_BRIDGE_H

#include <stdbool.h>

#include "common/common.h"
#include "options.h"

struct bridge;

/* Make the device of options->argument; or, with options->persist, take over
 * the device with the cookie options->cookie if its process has died.  What the
 * kernel could refuse is checked before the device is made.  Returns when the
 * device can be used.  From then on signals that end a program are blocked;
 * before there is a device they end the process, unless options->recovers.
 *
 * On failure returns NULL, and the reason in *why and *failure.  Nothing is
 * left then, except for
 *
 *   - a device that the kernel does not let go until this process ends;
 *   - without options->recovers, a device with that cookie which another
 *     process serves, or which could not be taken over;
 *   - with BRIDGE_FAILED_FOR_NOW, the device that was to be taken over.
 */
enum bridge_failure {
  BRIDGE_FAILED,
  /* This kernel can make no such device at all: its driver is missing or not
   * allowed, or the export is not what it takes.
   */
  BRIDGE_IMPOSSIBLE,
  /* With options->recovers: the device can still be taken over, for example
   * when there is more memory, or when the server has its address again.
   */
  BRIDGE_FAILED_FOR_NOW
};
struct bridge *bridge_open (const struct bridge_options *options,
                            enum bridge_failure *failure, struct message *why);

/* The name of the device: "ublkbN". */
const char *bridge_name (const struct bridge *b);

/* Wait until a signal asks for the end of the device, and return true; or until
 * the device has ended by itself, and return false: somebody else has stopped
 * it, or a queue has failed.
 */
bool bridge_wait (struct bridge *b);

enum bridge_end {
  BRIDGE_CLOSED,       /* the device is gone, and so is *b */
  BRIDGE_CLOSED_BADLY, /* so, as far as possible; *why says what is wrong */
  BRIDGE_NOT_CLOSED    /* it goes on: it is in use, or may be */
};

/* Flush, stop and delete the device, and free *b.  If the server is silent, all
 * requests fail after two minutes, or when a signal comes after 10 seconds.
 */
enum bridge_end bridge_close (struct bridge *b, struct message *why);

#endif /* NULLBLK_UBLK_BRIDGE_H */
