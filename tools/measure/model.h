/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The model file: settings that have the figures, and the figures.
 */

#ifndef NULLBLK_MODEL_H
#define NULLBLK_MODEL_H

#include "cell.h"
#include "fit.h"

/* The model takes the place of a file.  Dies where --output is something else,
 * or the file OF, of which the model is made.
 */
void model_refuse_output (const char *of);

/* Write the model of OF to --output, or standard output.  The file is not there
 * before it is whole.  VERSION is fio's.  Dies where that cannot be.
 */
void model_write (const char *of, const char *version,
                  const struct figures_list *list,
                  const struct drive_facts *drive);

#endif /* NULLBLK_MODEL_H */
