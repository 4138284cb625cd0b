/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * --compare: two drives, or a drive and its twin, measured in turns.
 */

#ifndef NULLBLK_TURNS_H
#define NULLBLK_TURNS_H

/* Measure A and B, or read the figures of those that are files.  Write how far
 * they are apart on standard output, and draw it into --plot.  Dies if that
 * fails.
 */
void turns_compare (const char *a, const char *b);

#endif /* NULLBLK_TURNS_H */
