/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Figures of two, side by side: a table, and a plot.
 */

#ifndef NULLBLK_COMPARE_H
#define NULLBLK_COMPARE_H

#include "cell.h"

/* Write a line for each cell that both lists have, and then how far B is from A
 * in the median over all cells.
 */
void compare_print (FILE *fp, const struct figures_list *a,
                    const struct figures_list *b);

/* Draw the same into a file: SVG; or PNG by rsvg-convert(1), where PATH ends
 * so.  Dies where that cannot be.
 */
void compare_plot (const char *path, const struct figures_list *a,
                   const struct figures_list *b, const char *name_a,
                   const char *name_b);

#endif /* NULLBLK_COMPARE_H */
