/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A file that is read whole, because somebody has named it in a parameter.
 */

#ifndef NULLBLK_TEXTFILE_H
#define NULLBLK_TEXTFILE_H

#include <stddef.h>

#include "message.h"

/* Read a file of at most MOST bytes, a multiple of 1 MiB.  *text, to be freed,
 * has its *len bytes and a 0 behind them.  Returns 0; or -ENOMEM or -EINVAL,
 * with the reason in *why.
 */
int textfile_read (const char *path, size_t most, char **text, size_t *len,
                   struct message *why);

#endif /* NULLBLK_TEXTFILE_H */
