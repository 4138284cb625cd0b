/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * An exit status of nullblk-ublk by which nullblk-attach knows that it may try
 * another driver.
 */

#ifndef NULLBLK_EXIT_STATUS_H
#define NULLBLK_EXIT_STATUS_H

/* This kernel can make no ublk device of the export. */
#define EXIT_IMPOSSIBLE 3

#endif /* NULLBLK_EXIT_STATUS_H */
