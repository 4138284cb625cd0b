/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The figures of two drives, or of a drive and its twin, side by side: as a
 * table, and as a plot.
 */

#ifndef NULLBLK_COMPARE_H
#define NULLBLK_COMPARE_H

#include "cell.h"

/* Write a line for each cell that both lists have.  Then write how far B is
 * from A, without a sign: the median over these cells, and over those of
 * flushes by themselves.  Dies if there is no such cell.
 */
void compare_print (FILE *fp, const struct figures_list *a,
                    const struct figures_list *b);

/* Draw the same into the file PATH as SVG or, if PATH ends in ".png", as PNG by
 * rsvg-convert(1).  Dies if that fails.
 */
void compare_plot (const char *path, const struct figures_list *a,
                   const struct figures_list *b, const char *name_a,
                   const char *name_b);

#endif /* NULLBLK_COMPARE_H */
