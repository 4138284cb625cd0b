/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * fio's output (--output-format=json) as figures of cells.
 */

#ifndef NULLBLK_FIOFILE_H
#define NULLBLK_FIOFILE_H

#include "cell.h"

/* Add the figures of a file to LIST, one cell for each kind of request that the
 * file has, and put the version of the fio that wrote it into VERSION
 * ("fio-3.33").  Returns 0, -ENOMEM, or -EINVAL with *why, which begins with
 * PATH.
 */
int fiofile_read (const char *path, struct figures_list *list, char version[32],
                  struct message *why);

#endif /* NULLBLK_FIOFILE_H */
