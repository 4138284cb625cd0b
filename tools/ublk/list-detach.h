/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The devices of all processes of nullblk-ublk, and what those have left that
 * were killed.  A device of another program's is never touched.
 */

#ifndef NULLBLK_UBLK_LIST_DETACH_H
#define NULLBLK_UBLK_LIST_DETACH_H

/* List them.  End one, by its device or its cookie, or all.  The user is told
 * what could not be done.  They return the program's exit status.
 */
int list_devices (void);
int detach_device (const char *what);
int detach_all_devices (void);

#endif /* NULLBLK_UBLK_LIST_DETACH_H */
