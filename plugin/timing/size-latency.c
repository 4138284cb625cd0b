/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Nanoseconds by the size of a request; see size-latency.h.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "size-latency.h"

static int
refuse (struct message *why)
{
  message_set (why,
               "allowed is none, a duration, or from 2 to %d points "
               "SIZE:DURATION that ascend, joined with commas",
               MAX_SIZE_POINTS);
  return -EINVAL;
}

int
size_latency_parse (const char *text, struct size_latency *s,
                    struct message *why)
{
  struct size_latency r = {0};
  size_t size, duration;

  if (strcmp (text, "none") == 0) {
    *s = r;
    return 0;
  }
  if (duration_parse (text, strlen (text), &r.points[0].nsec) == 0) {
    r.n = r.points[0].nsec != 0;
    *s = r;
    return 0;
  }
  for (;; text += duration + 1, r.n++) {
    size = strcspn (text, ":");
    if (r.n == MAX_SIZE_POINTS || text[size] != ':' ||
        size_parse (text, size, &r.points[r.n].size) < 0 ||
        r.points[r.n].size > UINT32_MAX)
      return refuse (why);
    text += size + 1;
    duration = strcspn (text, ",");
    if (duration_parse (text, duration, &r.points[r.n].nsec) < 0 ||
        (r.n > 0 && (r.points[r.n].size <= r.points[r.n - 1].size ||
                     r.points[r.n].nsec < r.points[r.n - 1].nsec)))
      return refuse (why);
    if (text[duration] == '\0')
      break;
  }
  if (++r.n < 2)
    return refuse (why);
  *s = r;
  return 0;
}

void
size_latency_format (const struct size_latency *s, char *buf, size_t len)
{
  char size[24], nsec[24];
  size_t used = 0;
  uint32_t i;

  if (s->n == 0)
    snprintf (buf, len, "none");
  if (s->n == 1) {
    duration_format (s->points[0].nsec, buf, len);
    return;
  }
  for (i = 0; i < s->n && used < len; i++) {
    size_format (s->points[i].size, size, sizeof size);
    duration_format (s->points[i].nsec, nsec, sizeof nsec);
    snprintf (buf + used, len - used, "%s%s:%s", i > 0 ? "," : "", size, nsec);
    used += strlen (buf + used);
  }
}

uint64_t
size_latency_nsec (const struct size_latency *s, uint32_t count)
{
  double r, per_byte;
  uint32_t i = 1;

  if (s->n == 0)
    return 0;
  if (s->n == 1 || count <= s->points[0].size)
    return s->points[0].nsec;
  while (i + 1 < s->n && count > s->points[i].size)
    i++;
  per_byte = (double) (s->points[i].nsec - s->points[i - 1].nsec) /
             (double) (s->points[i].size - s->points[i - 1].size);
  r = (double) s->points[i - 1].nsec +
      (double) (count - s->points[i - 1].size) * per_byte + 0.5;
  return r < (double) MAX_DURATION ? (uint64_t) r : MAX_DURATION;
}
