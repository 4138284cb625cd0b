/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblkctl replay: a device as it was after an entry of its write log
 * (nbdkit-nullblk-plugin(1), The write log).
 */

#ifndef NULLBLK_TOOLS_REPLAY_H
#define NULLBLK_TOOLS_REPLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/common.h"

/* Apply the entries of LOG to TARGET, which is an NBD URI, the path of a Unix
 * socket, or a file, made if it is not there: all of them, or those up to TO, a
 * number of entries or the text of a mark.  What was trimmed becomes zero.
 * TARGET is flushed then; *n is how many were applied.  Returns false and the
 * reason in *why; nothing has been changed if LOG has no such entry.
 */
bool replay (const char *log, const char *target, const char *to, uint64_t *n,
             struct message *why);

/* Print these entries instead, a line each, with the numbers that TO takes.
 * Returns false and the reason in *why; some entries may have been printed.
 */
bool replay_list (FILE *fp, const char *log, const char *to,
                  struct message *why);

#endif /* NULLBLK_TOOLS_REPLAY_H */
