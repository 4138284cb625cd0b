/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The devices of all processes of nullblk-ublk, and what those have left that
 * were killed.  A device of another program's is never touched.
 */

#ifndef NULLBLK_UBLK_OTHERS_H
#define NULLBLK_UBLK_OTHERS_H

/* List them.  End one, by its device or its cookie, or all.  The user is told
 * what could not be done.  They return the program's exit status.
 */
int others_list (void);
int others_detach (const char *what);
int others_detach_all (void);

#endif /* NULLBLK_UBLK_OTHERS_H */
