/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Model files: what a drive is like, as settings.  A line is NAME=VALUE, as in
 * .config; lines that are empty or begin with '#' say nothing to the plugin.
 * Which settings a model may have, and what becomes of them, is for
 * params-model.c.  Without state or locks.
 */

#ifndef NULLBLK_MODELFILE_H
#define NULLBLK_MODELFILE_H

#include <stddef.h>

#include "common/common.h"

/* The largest file that is read, in bytes. */
#define MAX_MODEL_FILE (1 << 20)

/* Takes NAME=VALUE.  Returns 0; or a negative errno, with *why. */
typedef int modelfile_line (void *opaque, const char *name, const char *value,
                            struct message *why);

/* Give each setting in TEXT to TAKE, up to the first that it refuses.  Returns
 * 0; -ENOMEM; or -EINVAL, and *why begins with the number of the line.
 */
int modelfile_parse (const char *text, modelfile_line *take, void *opaque,
                     struct message *why);

/* Read a file whole, as a text to be freed.  Returns 0; -ENOMEM; or -EINVAL
 * with *why: it is no file, it is too long, or no text.
 */
int modelfile_read (const char *path, char **text, struct message *why);

#endif /* NULLBLK_MODELFILE_H */
