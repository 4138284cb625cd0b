/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For the files of percentiles: percent.c, which has one percentile as text;
 * percentiles.c, which reads files, and parses those of lines; and
 * percentiles-fio.c, which parses fio's output.
 */

#ifndef NULLBLK_PERCENTILES_INTERNAL_H
#define NULLBLK_PERCENTILES_INTERNAL_H

#include "percentiles.h"

/* fio's output, parsed. */
struct fio_output;

/* Returns the first line of TEXT that begins with '{'; NULL if there is none,
 * as the text is not fio's then.
 */
const char *fio_find (const char *text);

/* Parse TEXT, for which fio_find has not returned NULL.  PATH is for messages.
 * Returns 0, -ENOMEM, or -EINVAL with *why.
 */
int fio_open (const char *path, const char *text, struct fio_output **r,
              struct message *why);
void fio_close (struct fio_output *fio); /* NULL is allowed */

/* Do as percentiles_of, percentiles_load and percentiles_none; P has room for
 * MAX_FILE_PERCENTILES, and *load is empty.
 */
int fio_take (const char *path, const struct fio_output *fio, enum operation op,
              struct percentile *p, size_t *n, struct message *why);
void fio_load (const struct fio_output *fio, enum operation op,
               struct percentiles_load *load);
void fio_none (const char *path, const struct fio_output *fio,
               struct message *why);

#endif /* NULLBLK_PERCENTILES_INTERNAL_H */
