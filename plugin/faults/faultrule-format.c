/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fault rules: the names of what they are about, and rules as texts; see
 * faultrule-internal.h.
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/common.h"
#include "faultrule-parse-internal.h"
#include "timing/timing.h"

#define ALL_OPERATIONS ((1U << NR_OPERATIONS) - 1)

const struct fault_action_row fault_actions[NR_FAULT_ACTIONS] = {
    [FAULT_ERROR] = {"error=", ALL_OPERATIONS},
    [FAULT_DELAY] = {"delay=", ALL_OPERATIONS},
    [FAULT_FLIP] = {"corrupt=flip", 1U << OP_READ | 1U << OP_WRITE},
    [FAULT_ZERO] = {"corrupt=zero", 1U << OP_READ | 1U << OP_WRITE},
    [FAULT_STALE] = {"corrupt=stale", ALL_OPERATIONS & ~(1U << OP_READ)},
    [FAULT_HANG] = {"hang", ALL_OPERATIONS},
    [FAULT_DISCONNECT] = {"disconnect", ALL_OPERATIONS},
};

void
fault_list_operations (unsigned operations, const char *comma, char *buf,
                       size_t len)
{
  size_t used = 0;
  unsigned i;

  for (i = 0; i < NR_OPERATIONS; i++) {
    if ((operations & 1U << i) != 0)
      used += snprintf (buf + used, len - used, "%s%s", used > 0 ? comma : "",
                        operation_names[i]);
  }
}

/*---------------------------------------------------------------------*/

static void
print_place (FILE *fp, const struct fault_rule *r)
{
  char start[24], length[24];
  unsigned i;

  if (r->end != 0) {
    size_format (r->start, start, sizeof start);
    size_format (r->end - r->start, length, sizeof length);
    fprintf (fp, "range=%s+%s ", start, length);
  }
  for (i = 0; i < r->nr_zones; i++) {
    fprintf (fp, "%s%" PRIu64, i == 0 ? "zones=" : ",", r->zones[i].first);
    if (r->zones[i].last != r->zones[i].first)
      fprintf (fp, "-%" PRIu64, r->zones[i].last);
    if (i + 1 == r->nr_zones)
      fputc (' ', fp);
  }
}

static void
print_duration (FILE *fp, const char *word, uint64_t nsec)
{
  char text[24];

  if (nsec == 0)
    return;
  duration_format (nsec, text, sizeof text);
  fprintf (fp, "%s%s ", word, text);
}

static void
print_number (FILE *fp, const char *word, uint64_t n, uint64_t without)
{
  if (n != without)
    fprintf (fp, "%s%" PRIu64 " ", word, n);
}

/* A word with blanks in it is still one. */
static void
print_escaped (FILE *fp, const char *s)
{
  for (; *s != '\0'; s++) {
    if (*s == ' ' || *s == '\\')
      fputc ('\\', fp);
    fputc (*s, fp);
  }
}

static void
print_action (FILE *fp, const struct fault_rule *r)
{
  size_t i;

  fputs (fault_actions[r->action].text, fp);
  if (r->action == FAULT_ERROR)
    fputs (nbd_errors[nbd_error_of (-r->error)].name, fp);
  if (r->action != FAULT_DELAY)
    return;
  for (i = 0; r->delay[i] == NULL; i++)
    ;
  print_escaped (fp, distribution_text (r->delay[i]));
}

char *
fault_rule_format (const struct fault_rule *r)
{
  char *text = NULL, list[64];
  size_t len;
  bool failed;
  FILE *fp;

  fp = open_memstream (&text, &len);
  if (fp == NULL)
    return NULL;
  if (r->name[0] != '\0')
    fprintf (fp, "name=%s ", r->name);
  if (r->device != ANY_DEVICE)
    fprintf (fp, "device=nullb%" PRIu32 " ", r->device);
  if (r->operations != fault_actions[r->action].operations) {
    fault_list_operations (r->operations, ",", list, sizeof list);
    fprintf (fp, "op=%s ", list);
  }
  print_place (fp, r);
  print_duration (fp, "from=", r->from);
  print_duration (fp, "for=", r->length);
  print_number (fp, "after=", r->after, 0);
  print_number (fp, "every=", r->every, 1);
  if (r->rate != ALL_REQUESTS) {
    percent_format (ALL_REQUESTS - r->rate, list, sizeof list);
    fprintf (fp, "rate=%s%% ", list);
  }
  print_number (fp, "count=", r->count, 0);
  print_action (fp, r);
  failed = ferror (fp);
  if (fclose (fp) == 0 && !failed)
    return text;
  free (text);
  return NULL;
}
