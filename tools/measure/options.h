/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The command line.
 */

#ifndef NULLBLK_OPTIONS_H
#define NULLBLK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "settings/settings.h"

#define MAX_LIST 16

struct options {
  bool from, compare, write, restart;
  bool is_chosen; /* --sizes, --depths or --quick has chosen the cells */
  const char *output, *plot;
  uint64_t sizes[MAX_LIST];
  unsigned depths[MAX_LIST];
  size_t nr_sizes, nr_depths;
  unsigned seconds, sustain, rounds;
  bool has_client_overhead; /* or it is to be measured */
  struct size_latency client_overhead;
};

/* What options_parse has found.  Only client_overhead changes later, if it is
 * measured.
 */
extern struct options options;

/* Returns how long fio runs for a cell in each round. */
unsigned round_seconds (void);

/* Does NAME end in END? */
bool ends_in (const char *name, const char *end);

/* Take the options.  Ends the program after --help and --version, and if an
 * option is wrong.  Returns how many arguments follow, and makes *argv these.
 */
int options_parse (int argc, char **argv[]);

#endif /* NULLBLK_OPTIONS_H */
