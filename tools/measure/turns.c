/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * See turns.h.
 */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cell.h"
#include "compare.h"
#include "die.h"
#include "fiofile.h"
#include "options.h"
#include "plan.h"
#include "run.h"
#include "settings/settings.h"
#include "target.h"
#include "turns.h"
#include "uri.h"

#define die(...) die_as ("nullblk-measure", __VA_ARGS__)

struct side {
  const char *name;
  bool is_file; /* a file with figures, which is not measured */
  struct target target;
  struct figures_list list;
};

static void
open_side (struct side *s, const char *name)
{
  struct message why;
  char version[32], *text;
  size_t len;

  memset (s, 0, sizeof *s);
  s->name = name;
  s->is_file = !uri_is_one (name) &&
               (ends_in (name, ".json") || ends_in (name, ".model"));
  if (!s->is_file)
    target_open (&s->target, name, options.write);
  else if (ends_in (name, ".json")) {
    if (fiofile_read (name, &s->list, version, &why) < 0)
      die ("%s", why.text);
  }
  else {
    if (textfile_read (name, MAX_MODEL_FILE, &text, &len, &why) < 0 ||
        figures_parse_text (text, &s->list, &why) < 0)
      die ("%s: %s", name, why.text);
    free (text);
    /* A part says little without those before it. */
    figures_drop_sustained (&s->list);
    if (s->list.n == 0)
      die ("%s: it has no figures", name);
  }
}

static bool
is_chosen (const struct cell *cell)
{
  static struct plan chosen;
  size_t i;

  if (!options.write && !kind_reads (cell->kind))
    return false;
  if (!options.is_chosen)
    return true;
  plan_choose (&chosen);
  for (i = 0; i < chosen.n; i++) {
    if (cell_compare (&chosen.c[i], cell) == 0)
      return true;
  }
  return false;
}

/* Measure both sides (but files) in turns, so that what changes on the machine
 * affects both.
 */
static void
measure_both (struct side sides[2], const struct cell *cell, size_t done,
              size_t all)
{
  const unsigned seconds = round_seconds ();
  static struct figures rounds[2][MAX_ROUNDS];
  struct figures f;
  char version[32];
  unsigned i, j;

  for (i = 0; i < options.rounds; i++) {
    for (j = 0; j < 2; j++) {
      if (!sides[j].is_file)
        run_cell (&sides[j].target, cell, seconds, &rounds[j][i], version);
    }
  }
  for (j = 0; j < 2; j++) {
    if (sides[j].is_file)
      continue;
    figures_take_median (rounds[j], options.rounds, &f);
    figures_add (&sides[j].list, &f);
    progress_say (done, all, &f, 0);
  }
}

void
turns_compare (const char *a, const char *b)
{
  static struct plan cells;
  struct side sides[2];
  const struct figures_list *list;
  size_t i;

  open_side (&sides[0], a);
  open_side (&sides[1], b);
  list = sides[0].is_file ? &sides[0].list : &sides[1].list;
  if (sides[0].is_file != sides[1].is_file) {
    cells.n = 0;
    for (i = 0; i < list->n && cells.n < sizeof cells.c / sizeof cells.c[0];
         i++) {
      if (is_chosen (&list->f[i].cell))
        cells.c[cells.n++] = list->f[i].cell;
    }
    if (cells.n == 0)
      die ("%s: it has no figures of cells to measure (writes need --write)",
           sides[0].is_file ? a : b);
  }
  else if (!sides[0].is_file)
    plan_choose (&cells);
  if (cells.n > 0) {
    fprintf (stderr, "nullblk-measure: %zu cells, about ", cells.n);
    progress_print_seconds ((unsigned) cells.n *
                            (options.seconds + options.rounds) *
                            (sides[0].is_file || sides[1].is_file ? 1 : 2));
    putc ('\n', stderr);
  }
  for (i = 0; i < cells.n; i++)
    measure_both (sides, &cells.c[i], i + 1, cells.n);
  compare_print (stdout, &sides[0].list, &sides[1].list);
  if (options.plot != NULL)
    compare_plot (options.plot, &sides[0].list, &sides[1].list, a, b);
  free (sides[0].list.f);
  free (sides[1].list.f);
}
