/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The supervisor: the first process of nullblk-ublk with --persist.  A child of
 * it serves the device; when the child is killed, another one takes the device
 * over.  The supervisor does nothing else, and has nothing open that could need
 * the device.
 */

#ifndef NULLBLK_UBLK_SUPERVISE_H
#define NULLBLK_UBLK_SUPERVISE_H

#include <stdbool.h>

#include "options.h"

/* The exit status of a child that could not take the device over, though the
 * next one may.
 */
#define EXIT_AGAIN 75

/* Have children SERVE, one after the other, until one ends by itself, and
 * return the exit status of that child.  The first child writes a line with the
 * path of its device to READY, or exits without one.  ANNOUNCE is called with
 * that line; if it returns false, the child gets SIGTERM.  For the later
 * children READY is -1, and options->recovers is set; they may return
 * EXIT_AGAIN, too.  Signals that end a program are passed on to the child.
 * *OPTIONS gets a cookie if it has none.
 */
int supervise (struct bridge_options *options,
               int (*serve) (const struct bridge_options *options, int ready),
               bool (*announce) (const char *line));

#endif /* NULLBLK_UBLK_SUPERVISE_H */
