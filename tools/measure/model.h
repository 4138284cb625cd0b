/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The model file: settings with which the plugin gives about the figures that
 * were measured, and these figures.
 */

#ifndef NULLBLK_MODEL_H
#define NULLBLK_MODEL_H

#include "cell.h"
#include "fit.h"

/* --output may name a new file, or a regular one, which is replaced.  Ends the
 * program if it names anything else, or the file SOURCE, which the model is
 * made from.
 */
void model_refuse_output (const char *source);

/* Write the model of SOURCE to --output, or standard output.  The file is not
 * there before it is whole.  VERSION is fio's.  Ends the program if the model
 * cannot be written.
 */
void model_write (const char *source, const char *version,
                  const struct figures_list *list,
                  const struct drive_facts *drive);

#endif /* NULLBLK_MODEL_H */
