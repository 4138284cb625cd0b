/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fault rules as texts; see faultrule-internal.h.
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/common.h"
#include "faultactions-internal.h"
#include "faultrule-text-internal.h"
#include "timing/timing.h"

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
print_place (FILE *fp, const struct fault_spec *r)
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

char *
fault_spec_format (const struct fault_spec *r)
{
  const struct fault_action_row *action = &fault_actions[r->action];
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
  if (r->operations != action->operations) {
    fault_list_operations (r->operations, ",", list, sizeof list);
    fprintf (fp, "op=%s ", list);
  }
  print_place (fp, r);
  print_duration (fp, "from=", r->from_ns);
  print_duration (fp, "for=", r->for_ns);
  print_number (fp, "after=", r->after, 0);
  print_number (fp, "every=", r->every, 1);
  if (r->rate != PARTS_PER_WHOLE) {
    percent_format (PARTS_PER_WHOLE - r->rate, list, sizeof list);
    fprintf (fp, "rate=%s%% ", list);
  }
  print_number (fp, "count=", r->count, 0);
  fputs (action->text, fp);
  if (action->print != NULL)
    action->print (fp, r);
  failed = ferror (fp);
  if (fclose (fp) == 0 && !failed)
    return text;
  free (text);
  return NULL;
}
