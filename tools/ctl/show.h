/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Numbers, texts and tables for people, and statistics for Prometheus.
 */

#ifndef NULLBLK_SHOW_H
#define NULLBLK_SHOW_H

#include <stdint.h>
#include <stdio.h>

#include "snapshot.h"

#define SHOWN 16        /* room for any of the texts but that of zones */
#define SHOWN_ZONES 320 /* room for that of show_zones */

/* "1.50M", powers of 1024; "12.3k", powers of 1000; "-" for 0. */
const char *show_bytes (char buf[SHOWN], double bytes);
const char *show_count (char buf[SHOWN], double n);

/* "850ns", "1.25us", "31.4ms", "2.00s". */
const char *show_ns (char buf[SHOWN], uint64_t ns);

/* "zones 64: 4 conventional, 59 empty, 1 full": those that there are. */
const char *show_zones (char buf[SHOWN_ZONES], const struct snapshot *s);

/* Print a text of any length so that no terminal obeys what is in it: control
 * characters become question marks.
 */
void show_text (FILE *fp, const char *text);

/* Statistics as a table. */
void show_stats (FILE *fp, const struct snapshot *s);

/* Print N devices in Prometheus' text format, as one document. */
void show_prometheus (FILE *fp, struct snapshot *const *s, unsigned n);

#endif /* NULLBLK_SHOW_H */
