/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Two drives, or a drive and its twin, side by side; see compare.h.
 */

#include <config.h>

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "compare.h"
#include "die.h"

extern char **environ;

#define die(...) die_as ("nullblk-measure", __VA_ARGS__)

enum { P50, P99, RATE, NR_COLUMNS };

static double
value_of (const struct figures *f, unsigned column)
{
  switch (column) {
  case P50:
    return figures_percentile (f, 50);
  case P99:
    return figures_percentile (f, 99);
  default:
    return f->cell.kind == LOAD_FLUSH ? 0 : f->iops;
  }
}

/*---------------------------------------------------------------------*/
/* The table */

static void
print_time (FILE *fp, double nsec)
{
  if (nsec <= 0)
    fprintf (fp, " %9s", "-");
  else if (nsec < 9.9995e6)
    fprintf (fp, " %7.1fus", nsec / 1e3);
  else
    fprintf (fp, " %7.1fms", nsec / 1e6);
}

static void
print_share (FILE *fp, double a, double b)
{
  if (a <= 0 || b <= 0)
    fprintf (fp, " %7s", "-");
  else
    fprintf (fp, " %+6.1f%%", 100 * (b / a - 1));
}

/* Print how far A and B are apart, in percent without a sign: the median over
 * the cells of flushes, or over all others.
 */
static void
print_median (FILE *fp, const struct figures_list *a,
              const struct figures_list *b, bool flushes)
{
  static const char *const names[] = {"p50", "p99", "rate"};
  double *v = calloc (a->n + 1, sizeof *v), x, y;
  const struct figures *f;
  const char *before = flushes ? "median of flushes:" : "median:";
  size_t i, n;
  unsigned c;

  if (v == NULL)
    die ("%s", strerror (errno));
  for (c = 0; c < NR_COLUMNS; c++) {
    n = 0;
    for (i = 0; i < a->n; i++) {
      f = figures_find (b, &a->f[i].cell);
      if (f == NULL || (f->cell.kind == LOAD_FLUSH) != flushes)
        continue;
      x = value_of (&a->f[i], c);
      y = value_of (f, c);
      if (x > 0 && y > 0)
        v[n++] = fabs (y / x - 1);
    }
    if (n == 0)
      continue;
    fprintf (fp, "%s %s %.1f%% (%zu cells)", before, names[c],
             100 * median (v, n), n);
    before = ",";
  }
  if (before[0] == ',')
    putc ('\n', fp);
  free (v);
}

void
compare_print (FILE *fp, const struct figures_list *a,
               const struct figures_list *b)
{
  const struct figures *f, *g;
  char cell[64];
  size_t i, n = 0;
  unsigned c;

  for (i = 0; i < a->n; i++)
    n += figures_find (b, &a->f[i].cell) != NULL;
  if (n == 0)
    die ("--compare: there is no load that both have figures of");
  fprintf (fp, "%-20s %9s %9s %7s %9s %9s %7s %9s %9s %7s\n", "", "p50 of A",
           "of B", "", "p99 of A", "of B", "", "rate of A", "of B", "");
  for (i = 0; i < a->n; i++) {
    f = &a->f[i];
    g = figures_find (b, &f->cell);
    if (g == NULL)
      continue;
    cell_format (&f->cell, cell, sizeof cell);
    fprintf (fp, "%-20s", cell);
    for (c = P50; c <= P99; c++) {
      print_time (fp, value_of (f, c));
      print_time (fp, value_of (g, c));
      print_share (fp, value_of (f, c), value_of (g, c));
    }
    if (value_of (f, RATE) > 0 && value_of (g, RATE) > 0)
      fprintf (fp, " %9.0f %9.0f", f->iops, g->iops);
    else
      fprintf (fp, " %9s %9s", "-", "-");
    print_share (fp, value_of (f, RATE), value_of (g, RATE));
    fprintf (fp, "%s\n", f->is_check || g->is_check ? "  check" : "");
  }
  print_median (fp, a, b, false);
  print_median (fp, a, b, true);
}

/*---------------------------------------------------------------------*/
/* The plot: a panel for each figure, with cells from left to right */

#define LEFT 70
#define PANEL_HEIGHT 190
#define PANEL_GAP 34
#define TOP 50
#define BOTTOM 130

struct plot {
  FILE *fp;
  const struct figures_list *a, *b;
  size_t n;           /* cells that both have */
  double step;        /* from one cell to the next, in pixels */
  double bottom;      /* of the panel that is drawn */
  double least, most; /* logarithms of the values in it */
};

/* Print TEXT with '&' and '<' as XML has them, and no control characters. */
static void
print_quoted (FILE *fp, const char *text)
{
  for (; *text != '\0'; text++) {
    if (*text == '&')
      fputs ("&amp;", fp);
    else if (*text == '<')
      fputs ("&lt;", fp);
    else if ((unsigned char) *text >= ' ')
      putc (*text, fp);
  }
}

static double
y_of (const struct plot *p, double value)
{
  return p->bottom -
         (log10 (value) - p->least) / (p->most - p->least) * PANEL_HEIGHT;
}

static double
x_of (const struct plot *p, size_t i)
{
  return LEFT + ((double) i + 0.5) * p->step;
}

/* Find the whole powers of ten around all values of a column.  Returns false if
 * there is no value.
 */
static bool
find_range (struct plot *p, unsigned column)
{
  const struct figures *f;
  double v, least = HUGE_VAL, most = 0;
  size_t i;
  unsigned side;

  for (i = 0; i < p->a->n; i++) {
    f = figures_find (p->b, &p->a->f[i].cell);
    for (side = 0; f != NULL && side < 2; side++) {
      v = value_of (side == 0 ? &p->a->f[i] : f, column);
      if (v > 0) {
        least = fmin (least, v);
        most = fmax (most, v);
      }
    }
  }
  if (most == 0)
    return false;
  p->least = floor (log10 (least));
  p->most = fmax (ceil (log10 (most)), p->least + 1);
  return true;
}

static void
print_axis (const struct plot *p, unsigned column)
{
  static const char *const titles[] = {"p50", "p99", "requests a second"};
  static const char *const units[] = {"ns",    "10ns",  "100ns", "1us",
                                      "10us",  "100us", "1ms",   "10ms",
                                      "100ms", "1s",    "10s",   "100s"};
  double power, y;

  fprintf (p->fp, "<text x=\"%d\" y=\"%.1f\" font-weight=\"bold\">%s</text>\n",
           LEFT, p->bottom - PANEL_HEIGHT - 8, titles[column]);
  for (power = p->least; power <= p->most; power++) {
    y = p->bottom - (power - p->least) / (p->most - p->least) * PANEL_HEIGHT;
    fprintf (p->fp,
             "<line x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" "
             "stroke=\"#ddd\"/>\n<text x=\"%d\" y=\"%.1f\" "
             "text-anchor=\"end\">",
             LEFT, LEFT + p->step * (double) p->n, y, y, LEFT - 6, y + 4);
    if (column == RATE || power < 0 || power > 11)
      fprintf (p->fp, "%.0f</text>\n", pow (10, power));
    else
      fprintf (p->fp, "%s</text>\n", units[(int) power]);
  }
}

static void
print_marks (const struct plot *p, unsigned column)
{
  const struct figures *f;
  double v;
  size_t i, place = 0;

  for (i = 0; i < p->a->n; i++) {
    f = figures_find (p->b, &p->a->f[i].cell);
    if (f == NULL)
      continue;
    v = value_of (&p->a->f[i], column);
    if (v > 0)
      fprintf (p->fp,
               "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"none\" "
               "stroke=\"#06c\" stroke-width=\"2\"/>\n",
               x_of (p, place), y_of (p, v));
    v = value_of (f, column);
    if (v > 0)
      fprintf (p->fp,
               "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"#d40\"/>\n",
               x_of (p, place), y_of (p, v));
    place++;
  }
}

static void
print_cells (const struct plot *p)
{
  char cell[64];
  size_t i, place = 0;

  for (i = 0; i < p->a->n; i++) {
    if (figures_find (p->b, &p->a->f[i].cell) == NULL)
      continue;
    cell_format (&p->a->f[i].cell, cell, sizeof cell);
    fprintf (p->fp,
             "<text transform=\"translate(%.1f %.1f) rotate(-60)\" "
             "text-anchor=\"end\">%s</text>\n",
             x_of (p, place) + 4, p->bottom + 14, cell);
    place++;
  }
}

static void
print_svg (struct plot *p, const char *name_a, const char *name_b)
{
  const double width = fmax (LEFT + p->step * (double) p->n + 20, 420);
  const int height = TOP + 3 * (PANEL_HEIGHT + PANEL_GAP) + BOTTOM;
  unsigned c;

  fprintf (p->fp,
           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
           "height=\"%d\" font-family=\"sans-serif\" font-size=\"11\">\n"
           "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
           "<circle cx=\"%d\" cy=\"16\" r=\"5\" fill=\"none\" stroke=\"#06c\" "
           "stroke-width=\"2\"/>\n<text x=\"%d\" y=\"20\">A: ",
           width, height, LEFT, LEFT + 12);
  print_quoted (p->fp, name_a);
  fprintf (p->fp,
           "</text>\n<circle cx=\"%d\" cy=\"32\" r=\"2.5\" fill=\"#d40\"/>\n"
           "<text x=\"%d\" y=\"36\">B: ",
           LEFT, LEFT + 12);
  print_quoted (p->fp, name_b);
  fputs ("</text>\n", p->fp);
  p->bottom = TOP;
  for (c = 0; c < NR_COLUMNS; c++) {
    p->bottom += PANEL_GAP + PANEL_HEIGHT;
    if (find_range (p, c)) {
      print_axis (p, c);
      print_marks (p, c);
    }
  }
  print_cells (p);
  fputs ("</svg>\n", p->fp);
}

/* Have rsvg-convert make PNG of an SVG. */
static void
convert (const char *svg, const char *png)
{
  const char *const argv[] = {"rsvg-convert", "--output", png, svg, NULL};
  char *copies[5] = {NULL};
  int r, i, status = 1;
  pid_t pid;

  for (i = 0; i < 4; i++) {
    copies[i] = strdup (argv[i]);
    if (copies[i] == NULL)
      die ("%s", strerror (errno));
  }
  r = posix_spawnp (&pid, copies[0], NULL, NULL, copies, environ);
  if (r != 0)
    die ("%s: PNG is made by rsvg-convert: %s", png, strerror (r));
  while (waitpid (pid, &status, 0) == -1 && errno == EINTR)
    ;
  if (status != 0)
    die ("%s: rsvg-convert has failed", png);
  for (i = 0; i < 4; i++)
    free (copies[i]);
}

void
compare_plot (const char *path, const struct figures_list *a,
              const struct figures_list *b, const char *name_a,
              const char *name_b)
{
  const size_t len = strlen (path);
  const bool is_png = len > 4 && strcmp (path + len - 4, ".png") == 0;
  struct plot p = {.a = a, .b = b, .step = 22};
  static char svg[4096];
  size_t i;

  snprintf (svg, sizeof svg, "%s%s", path, is_png ? ".svg" : "");
  for (i = 0; i < a->n; i++)
    p.n += figures_find (b, &a->f[i].cell) != NULL;
  p.fp = fopen (svg, "we");
  if (p.fp == NULL)
    die ("%s: %s", svg, strerror (errno));
  print_svg (&p, name_a, name_b);
  if (ferror (p.fp) || fclose (p.fp) == EOF)
    die ("%s: %s", svg, strerror (errno));
  if (is_png) {
    convert (svg, path);
    remove (svg);
  }
}
