/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * --compare: two drives, or a drive and its twin, measured in turns.
 */

#ifndef NULLBLK_TURNS_H
#define NULLBLK_TURNS_H

/* Measure A and B, or read the figures of a file, and write how far they are
 * apart on standard output, and into --plot.  Dies where that cannot be.
 */
void turns_compare (const char *a, const char *b);

#endif /* NULLBLK_TURNS_H */
