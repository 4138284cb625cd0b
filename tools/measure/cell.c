/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Cells, and figures as text; see cell.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cell.h"
#include "die.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

/* A line of figures has fewer bytes than this, behind "# figure:". */
#define MAX_LINE 2048

static const char *const names[NR_LOAD_KINDS] = {
    [LOAD_RANDREAD] = "randread",
    [LOAD_RANDWRITE] = "randwrite",
    [LOAD_READ] = "read",
    [LOAD_WRITE] = "write",
    [LOAD_FLUSH] = "flush",
    [LOAD_SUSTAIN] = "sustain",
    [LOAD_SUSTAINREAD] = "sustainread",
};

bool
kind_reads (enum load_kind kind)
{
  return kind == LOAD_RANDREAD || kind == LOAD_READ || kind == LOAD_SUSTAINREAD;
}

bool
kind_sustains (enum load_kind kind)
{
  return kind == LOAD_SUSTAIN || kind == LOAD_SUSTAINREAD;
}

const char *
kind_name (enum load_kind kind)
{
  return names[kind];
}

bool
kind_find (const char *name, enum load_kind *kind)
{
  unsigned i;

  for (i = 0; i < NR_LOAD_KINDS; i++) {
    if (strcmp (name, names[i]) == 0) {
      *kind = i;
      return true;
    }
  }
  return false;
}

static int
order (uint64_t a, uint64_t b)
{
  return a < b ? -1 : a > b;
}

int
cell_compare (const struct cell *a, const struct cell *b)
{
  int r = order (a->kind, b->kind);

  if (r == 0)
    r = order (a->size, b->size);
  if (r == 0)
    r = order (a->depth, b->depth);
  return r != 0 ? r : order (a->n, b->n);
}

void
cell_format (const struct cell *cell, char *buf, size_t len)
{
  char size[32];

  size_format (cell->size, size, sizeof size);
  if (cell->kind == LOAD_FLUSH)
    snprintf (buf, len, "flush %s n%u", size, cell->n);
  else if (kind_sustains (cell->kind))
    snprintf (buf, len, "%s %s q%u n%u", names[cell->kind], size, cell->depth,
              cell->n);
  else
    snprintf (buf, len, "%s %s q%u", names[cell->kind], size, cell->depth);
}

double
figures_percentile (const struct figures *f, double percent)
{
  const double above = (100 - percent) * (PARTS_PER_WHOLE / 100);
  const struct percentile *p = f->points, *end = p + f->nr_points;
  double share;

  if (p == end)
    return 0;
  while (p < end && p->above > above)
    p++;
  if (p == end)
    return 0; /* beyond all that is known */
  if (p == f->points || p->above == above)
    return (double) p->nsec;
  /* Nobody knows what is between the last percentile and the longest time. */
  if (p->above == 0)
    return 0;
  share = (p[-1].above - above) / (p[-1].above - (double) p->above);
  return (double) p[-1].nsec + share * ((double) p->nsec - (double) p[-1].nsec);
}

double
figures_rate (const struct figures *f)
{
  return f->iops * (double) f->cell.size;
}

/*---------------------------------------------------------------------*/
/* Lists */

void
figures_add (struct figures_list *list, const struct figures *f)
{
  struct figures *more = realloc (list->f, (list->n + 1) * sizeof *more);

  if (more == NULL)
    die_as ("nullblk-measure", "%s", strerror (errno));
  list->f = more;
  more[list->n++] = *f;
}

const struct figures *
figures_find (const struct figures_list *list, const struct cell *cell)
{
  size_t i;

  for (i = 0; i < list->n; i++) {
    if (cell_compare (&list->f[i].cell, cell) == 0)
      return &list->f[i];
  }
  return NULL;
}

static int
compare (const void *a, const void *b)
{
  const struct figures *f = a, *g = b;

  return cell_compare (&f->cell, &g->cell);
}

void
figures_sort (struct figures_list *list)
{
  if (list->n > 1)
    qsort (list->f, list->n, sizeof *list->f, compare);
}

void
figures_drop_sustained (struct figures_list *list)
{
  size_t i, n = 0;

  for (i = 0; i < list->n; i++) {
    if (!kind_sustains (list->f[i].cell.kind))
      list->f[n++] = list->f[i];
  }
  list->n = n;
}

bool
figures_are_steady (const struct figures_list *list, enum load_kind kind)
{
  double least = HUGE_VAL, most = 0, first = 0;
  unsigned parts = 0;
  size_t i;

  for (i = list->n; i > 0 && list->f[i - 1].cell.kind == kind; i--) {
    first = list->f[i - 1].iops;
    if (parts++ < 4) {
      least = fmin (least, first);
      most = fmax (most, first);
    }
  }
  return parts >= 4 && most < least * 1.05 &&
         (kind != LOAD_SUSTAINREAD || first > SUSTAIN_FALL * most);
}

/*---------------------------------------------------------------------*/
/* Text */

/* Four digits are enough for any measurement. */
static void
print_duration (FILE *fp, const char *name, double nsec)
{
  const double units[] = {1e9, 1e6, 1e3, 1};
  const char *const words[] = {"s", "ms", "us", "ns"};
  unsigned i = 0;

  while (i < 3 && nsec < units[i])
    i++;
  fprintf (fp, " %s=%.*f%s", name,
           i == 3                   ? 0
           : nsec / units[i] >= 100 ? 1
           : nsec / units[i] >= 10  ? 2
                                    : 3,
           nsec / units[i], words[i]);
}

void
figures_print (FILE *fp, const struct figures *f)
{
  char text[64], name[32] = "p";
  size_t i;

  cell_format (&f->cell, text, sizeof text);
  fprintf (fp, "# %s: %s", f->is_check ? "check" : "figure", text);
  if (f->iops > 0)
    fprintf (fp, " iops=%.*f",
             f->iops < 0.1    ? 15
             : f->iops < 1000 ? 2
                              : 0,
             f->iops);
  if (f->mean > 0)
    print_duration (fp, "mean", f->mean);
  for (i = 0; i < f->nr_points; i++) {
    percent_format (f->points[i].above, name + 1, sizeof name - 1);
    print_duration (fp, name, (double) f->points[i].nsec);
  }
  putc ('\n', fp);
}

/* Take the word that *at leads to, moved past it; NULL at the end. */
static char *
next_word (char **at)
{
  char *word = *at + strspn (*at, " \t\r\n");

  if (*word == '\0')
    return NULL;
  *at = word + strcspn (word, " \t\r\n");
  if (**at != '\0')
    *(*at)++ = '\0';
  return word;
}

static bool
parse_number (const char *text, double *n)
{
  char *end;

  *n = strtod (text, &end);
  return end > text && *end == '\0' && *n > 0 && *n < 1e15;
}

/* "q8" or "n8". */
static bool
parse_letter (const char *word, unsigned *n, unsigned most)
{
  uint64_t value;

  if (number_parse (word + 1, strlen (word + 1), &value) < 0 || value < 1 ||
      value > most)
    return false;
  *n = value;
  return true;
}

static bool
parse_cell (char **at, struct cell *cell)
{
  char *word = next_word (at), *size = next_word (at), *more;

  *cell = (struct cell){.depth = 1};
  if (word == NULL || size == NULL || !kind_find (word, &cell->kind) ||
      size_parse (size, strlen (size), &cell->size) < 0 || cell->size == 0 ||
      cell->size > UINT32_MAX)
    return false;
  for (;;) {
    more = *at + strspn (*at, " \t");
    if ((*more == 'q' || *more == 'n') &&
        memchr (more, '=', strcspn (more, " ")) == NULL) {
      word = next_word (at);
      if (!parse_letter (word, *word == 'q' ? &cell->depth : &cell->n,
                         *word == 'q' ? MAX_DEPTH : 1000000))
        return false;
    }
    else
      break;
  }
  return (cell->kind != LOAD_FLUSH && !kind_sustains (cell->kind)) ||
         cell->n > 0;
}

/* Returns NULL, or what is wrong. */
static const char *
parse_figure (char *word, struct figures *f)
{
  char *value = strchr (word, '=');
  struct percentile *p;
  uint64_t nsec;

  if (value == NULL)
    return "allowed are NAME=FIGURE";
  *value++ = '\0';
  if (strcmp (word, "iops") == 0)
    return parse_number (value, &f->iops) ? NULL : "allowed is a number";
  if (duration_parse (value, strlen (value), &nsec) < 0)
    return "allowed is " DURATION_FORM;
  if (strcmp (word, "mean") == 0) {
    f->mean = (double) nsec;
    return NULL;
  }
  if (f->nr_points == MAX_POINTS)
    return "there are too many percentiles";
  p = &f->points[f->nr_points];
  if (word[0] != 'p' ||
      percent_parse (word + 1, strlen (word + 1), &p->above) < 0)
    return "allowed are iops, mean and percentiles such as p99.9";
  p->nsec = nsec;
  f->nr_points++;
  return percentiles_ascend (f->points, f->nr_points)
             ? NULL
             : "percentiles and their durations must ascend";
}

int
figures_parse (const char *line, struct figures *f, struct message *why)
{
  static const char figure[] = "# figure:", check[] = "# check:";
  char copy[MAX_LINE], name[64], *at = copy, *word;
  const char *wrong;
  size_t skip;

  memset (f, 0, sizeof *f);
  f->is_check = strncmp (line, check, sizeof check - 1) == 0;
  if (!f->is_check && strncmp (line, figure, sizeof figure - 1) != 0)
    return 0;
  skip = (f->is_check ? sizeof check : sizeof figure) - 1;
  if (snprintf (copy, sizeof copy, "%s", line + skip) >= (int) sizeof copy)
    return refuse (why, "it is too long for figures");
  if (!parse_cell (&at, &f->cell))
    return refuse (why,
                   "%.80s: allowed is a load such as randread 4K q8, "
                   "flush 4K n8 or sustain 4K q32 n1",
                   line);
  while ((word = next_word (&at)) != NULL) {
    snprintf (name, sizeof name, "%s", word);
    wrong = parse_figure (word, f);
    if (wrong != NULL)
      return refuse (why, "%s: %s", name, wrong);
  }
  return 1;
}

int
figures_parse_text (const char *text, struct figures_list *list,
                    struct message *why)
{
  struct message wrong;
  struct figures f;
  char line[MAX_LINE + 16]; /* if it is cut, it is still too long for figures */
  unsigned number;
  size_t len;
  int r;

  for (number = 1; *text != '\0'; number++) {
    len = strcspn (text, "\n");
    snprintf (line, sizeof line, "%.*s", (int) min (len, sizeof line - 1),
              text);
    r = figures_parse (line, &f, &wrong);
    if (r < 0)
      return refuse (why, "line %u: %s", number, wrong.text);
    if (r > 0)
      figures_add (list, &f);
    text += len + (text[len] == '\n');
  }
  return 0;
}

static int
compare_numbers (const void *a, const void *b)
{
  const double *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

double
median (double *v, size_t n)
{
  qsort (v, n, sizeof *v, compare_numbers);
  return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

void
figures_take_median (const struct figures *rounds, unsigned n,
                     struct figures *f)
{
  double v[MAX_ROUNDS], nsec;
  uint64_t before = 0;
  unsigned i, known;
  size_t k;

  *f = rounds[0];
  for (i = 0; i < n; i++)
    v[i] = rounds[i].iops;
  f->iops = median (v, n);
  for (i = 0; i < n; i++)
    v[i] = rounds[i].mean;
  f->mean = median (v, n);
  for (k = 0; k < f->nr_points; k++) {
    known = 0;
    for (i = 0; i < n; i++) {
      nsec = figures_percentile (&rounds[i],
                                 100 - (double) f->points[k].above / 1e7);
      if (nsec > 0)
        v[known++] = nsec;
    }
    if (known > 0)
      before = max (before, (uint64_t) median (v, known));
    f->points[k].nsec = before;
  }
}
