/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How far the models of drives are from what was published of them: each is
 * played by arithmetic, and compared with the figures in its file that its
 * settings were not made of.  Each figure becomes a line of output.  The manual
 * has a table of them all, which is to be what comes out here.
 */

#include <config.h>

#include <math.h>
#include <string.h>

#include "measure/simulate.h"
#include "settings/settings.h"
#include "unit.h"

/* Requests of a cell; more where a buffer has to be full before. */
#define REQUESTS 20000
#define SUSTAINED 200000

/* The most figures of a model. */
#define MOST 64

/* What is compared. */
enum what { MEDIAN, P99, RATE, NR_WHAT };

struct errors {
  double error[NR_WHAT][MOST]; /* without their signs */
  unsigned n[NR_WHAT], cells;
};

static void
note_error (struct errors *e, enum what what, const char *cell,
            const char *figure, double is, double is_to_be)
{
  const double error = is / is_to_be - 1;

  printf ("#   %-18s %-6s %12.1f %12.1f %+6.1f %%\n", cell, figure, is_to_be,
          is, 100 * error);
  assert_true (e->n[what] < MOST);
  e->error[what][e->n[what]++] = fabs (error);
}

/* Of percentiles, those above the median up to p99 count as p99. */
static void
compare_cell (const char *text, const struct figures_list *list,
              const struct figures *f, struct errors *e)
{
  const unsigned n = f->cell.kind == LOAD_SUSTAIN ? SUSTAINED : REQUESTS;
  struct figures is;
  struct message why;
  char cell[64], name[32] = "p";
  size_t i;

  if (simulate (text, &f->cell, client_pause (list, &f->cell), n, 1, &is,
                &why) != 0)
    fail_msg ("%s", why.text);
  cell_format (&f->cell, cell, sizeof cell);
  e->cells++;
  if (f->iops > 0)
    note_error (e, RATE, cell, "rate", is.iops, f->iops);
  for (i = 0; i < f->nr_points; i++) {
    if (f->points[i].above < 10000000)
      continue;
    percent_format (f->points[i].above, name + 1, sizeof name - 1);
    note_error (e, f->points[i].above >= 500000000 ? MEDIAN : P99, cell, name,
                figures_percentile (&is, 100 - f->points[i].above / 1e7) / 1000,
                (double) f->points[i].nsec / 1000);
  }
}

static int
ascending (const void *a, const void *b)
{
  const double *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

/* The median of the errors and the largest, in whole percents; "-" if there are
 * none.
 */
static void
summarize (struct errors *e, enum what what, char *text, size_t len)
{
  const unsigned n = e->n[what];
  double *error = e->error[what];

  if (n == 0) {
    snprintf (text, len, "-");
    return;
  }
  qsort (error, n, sizeof *error, ascending);
  snprintf (
      text, len, "%.0f, %.0f",
      100 * (n % 2 == 1 ? error[n / 2] : (error[n / 2 - 1] + error[n / 2]) / 2),
      100 * error[n - 1]);
}

/* The text of the manual. */
static char *
read_manual (void)
{
  const char *top = getenv ("top_srcdir");
  static char path[4096];
  char *text;
  struct message why;
  size_t len;

  snprintf (path, sizeof path, "%s/man/nbdkit-nullblk-plugin.pod",
            top != NULL ? top : "..");
  if (textfile_read (path, 1 << 20, &text, &len, &why) < 0)
    fail_msg ("%s: %s", path, why.text);
  return text;
}

static void
test_models (void **state)
{
  char line[128], text[NR_WHAT][32], *manual = read_manual ();
  const struct profile *profile;
  struct figures_list list;
  static struct errors errors;
  struct message why;
  unsigned what, models = 0, missing = 0;
  size_t i, j;

  (void) state;
  for (i = 0; (profile = profile_at (i)) != NULL; i++) {
    list = (struct figures_list){0};
    if (figures_parse_text (profile->text, &list, &why) < 0)
      fail_msg ("%s: %s", profile->name, why.text);
    memset (&errors, 0, sizeof errors);
    for (j = 0; j < list.n; j++) {
      if (list.f[j].is_check)
        compare_cell (profile->text, &list, &list.f[j], &errors);
    }
    free (list.f);
    if (errors.cells == 0)
      continue;
    for (what = 0; what < NR_WHAT; what++)
      summarize (&errors, what, text[what], sizeof text[what]);
    snprintf (line, sizeof line, " %-13s %2u      %-10s %-10s %s\n",
              profile->name, errors.cells, text[MEDIAN], text[P99], text[RATE]);
    models++;
    if (strstr (manual, line) == NULL) {
      printf ("# not in the manual:\n#%s", line);
      missing++;
    }
  }
  free (manual);
  assert_int_equal (missing, 0);
  assert_true (models >= 8);
}

/* A whole disk written in sequence, 1 MiB at a time: fast until its cache of
 * SLC is full, and then as fast as that is emptied meanwhile.  1.9 GB a second
 * on average were measured, of which the model has how fast it is emptied.
 */
static void
test_whole_disk (void **state)
{
  const struct latency_settings *s;
  static struct latency_state l;
  static struct params p;
  struct latency_request r = {.op = OP_WRITE, .count = 1 << 20};
  struct latency_booking booking;
  struct random random;
  struct message why;
  const uint64_t start = NSEC_PER_SEC;
  double rate;

  (void) state;
  params_init (&p);
  assert_int_equal (params_set (&p, "profile", "nvme", &why), 0);
  assert_int_equal (params_set (&p, "size", "931G", &why), 0);
  assert_int_equal (
      params_complete (&p, UINT64_C (1) << 34, UINT64_C (1) << 34, 4096, &why),
      0);
  s = &p.settings.latency;
  random_init (&random, 1, 0);
  assert_int_equal (latency_init (&l, start), 0);
  r.arrival = start;
  for (r.offset = 0; r.offset < p.settings.size; r.offset += r.count)
    r.arrival = latency_completion (&l, s, &random, &r, &booking);
  rate = (double) p.settings.size / (double) (r.arrival - start);
  printf ("# nvme: the whole disk in sequence at %.2f GB/s; 1.9 was measured\n",
          rate);
  assert_true (rate > 1.85 && rate < 1.95);
  latency_destroy (&l);
  params_clear (&p);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_models),
      cmocka_unit_test (test_whole_disk),
  };

  return RUN_TESTS (tests);
}
