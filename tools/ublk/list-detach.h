/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The devices of all processes of nullblk-ublk, also of those that were killed.
 * A device of another program is never touched.
 */

#ifndef NULLBLK_UBLK_LIST_DETACH_H
#define NULLBLK_UBLK_LIST_DETACH_H

/* All of these functions tell the user what could not be done, and return the
 * program's exit status.
 */

/* Print a list of the devices. */
int list_devices (void);
/* End one device; WHAT is its name or its cookie. */
int detach_device (const char *what);
int detach_all_devices (void);

#endif /* NULLBLK_UBLK_LIST_DETACH_H */
