/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Bad blocks; see badblocks.h.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "badblocks.h"
#include "size.h"

struct badblocks_change {
  size_t count;
  struct step {
    bool bad;
    struct sector_range range;
  } steps[];
};

static const struct step clear_all = {false, {0, UINT64_MAX}};

static void
lock (struct badblocks *b)
{
  int r = pthread_mutex_lock (&b->lock);

  assert (r == 0);
  (void) r;
}

static void
unlock (struct badblocks *b)
{
  int r = pthread_mutex_unlock (&b->lock);

  assert (r == 0);
  (void) r;
}

static const char blanks[] = " \t\r\v\f";
static const char separators[] = ",\n";

/*---------------------------------------------------------------------*/
/* Text */

/* A number as the kernel's kstrtoull takes it with base 0, from *s to END, of
 * which *s becomes what follows.
 */
static bool
parse_sector (const char **s, const char *end, uint64_t *r)
{
  const char *p = *s, *begin;
  unsigned base = 10;

  if (p < end && *p == '+')
    p++;
  if (p < end && *p == '0') {
    base = 8;
    if (end - p > 1 && (p[1] == 'x' || p[1] == 'X')) {
      base = 16;
      p += 2;
    }
  }
  *r = 0;
  for (begin = p; p < end && number_digit (*p) < base; p++) {
    if (__builtin_mul_overflow (*r, base, r) ||
        __builtin_add_overflow (*r, number_digit (*p), r))
      return false;
  }
  *s = p;
  return p > begin;
}

static bool
parse_step (const char *s, const char *end, struct step *step)
{
  if (end - s == 4 && memcmp (s, "none", 4) == 0) {
    *step = clear_all;
    return true;
  }
  if (s == end || (*s != '+' && *s != '-'))
    return false;
  step->bad = *s++ == '+';
  if (!parse_sector (&s, end, &step->range.first) || s == end || *s++ != '-' ||
      !parse_sector (&s, end, &step->range.last) || s != end)
    return false;
  return step->range.first <= step->range.last;
}

int
badblocks_parse (const char *text, struct badblocks_change **r,
                 struct message *why)
{
  struct badblocks_change *c;
  const char *s, *begin, *end;
  size_t most = 1;

  for (s = text; *s != '\0'; s++)
    most += strchr (separators, *s) != NULL;
  c = malloc (sizeof *c + most * sizeof c->steps[0]);
  if (c == NULL)
    return -ENOMEM;
  c->count = 0;

  for (s = text;; s++) {
    begin = s + strspn (s, blanks);
    s += strcspn (s, separators);
    for (end = s; end > begin && strchr (blanks, end[-1]) != NULL; end--)
      ;
    /* Lines may be empty, and nothing at all is none. */
    if (end == begin && *s != ',' && (s == text || s[-1] != ',')) {
      if (*s == '\0')
        break;
      continue;
    }
    if (!parse_step (begin, end, &c->steps[c->count])) {
      message_set (why,
                   "'%.*s': allowed is +FIRST-LAST to mark bad sectors of 512 "
                   "bytes, -FIRST-LAST to clear them (FIRST at most LAST, both "
                   "below 2^64), or none",
                   (int) (end - begin < 80 ? end - begin : 80), begin);
      badblocks_change_free (c);
      return -EINVAL;
    }
    c->count++;
    if (*s == '\0')
      break;
  }
  if (c->count == 0)
    c->steps[c->count++] = clear_all;
  *r = c;
  return 0;
}

void
badblocks_change_free (struct badblocks_change *c)
{
  free (c);
}

char *
badblocks_format (struct badblocks *b)
{
  char *text = NULL;
  size_t len, i;
  bool failed;
  FILE *fp;

  fp = open_memstream (&text, &len);
  if (fp == NULL)
    return NULL;
  lock (b);
  for (i = 0; i < b->count; i++)
    fprintf (fp, "%s+%" PRIu64 "-%" PRIu64, i > 0 ? "," : "",
             b->ranges[i].first, b->ranges[i].last);
  if (i == 0)
    fprintf (fp, "none");
  unlock (b);
  failed = ferror (fp);
  if (fclose (fp) == 0 && !failed)
    return text;
  free (text);
  return NULL;
}

/*---------------------------------------------------------------------*/
/* The set.  The lock is held by the callers of these. */

/* The first range that ends at SECTOR or after it, or the count. */
static size_t
find (const struct badblocks *b, uint64_t sector)
{
  size_t low = 0, high = b->count, middle;

  while (low < high) {
    middle = low + (high - low) / 2;
    if (b->ranges[middle].last < sector)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Put the N ranges of WITH in the place of those from I up to J. */
static void
replace (struct badblocks *b, size_t i, size_t j,
         const struct sector_range *with, size_t n)
{
  const size_t count = b->count;
  size_t k;

  assert (count - (j - i) + n <= b->room);
  memmove (&b->ranges[i + n], &b->ranges[j], (count - j) * sizeof *b->ranges);
  b->count = count - (j - i) + n;
  for (k = 0; k < n; k++)
    b->ranges[i + k] = with[k];
}

static void
mark (struct badblocks *b, struct sector_range r)
{
  /* Those that touch it become one with it. */
  const uint64_t before = r.first > 0 ? r.first - 1 : 0;
  const uint64_t after = r.last < UINT64_MAX ? r.last + 1 : UINT64_MAX;
  const size_t i = find (b, before);
  size_t j;

  for (j = i; j < b->count && b->ranges[j].first <= after; j++) {
    if (r.first > b->ranges[j].first)
      r.first = b->ranges[j].first;
    if (r.last < b->ranges[j].last)
      r.last = b->ranges[j].last;
  }
  replace (b, i, j, &r, 1);
}

static void
clear (struct badblocks *b, struct sector_range r)
{
  const size_t i = find (b, r.first);
  struct sector_range left[2];
  size_t j, n = 0;

  for (j = i; j < b->count && b->ranges[j].first <= r.last; j++) {
    if (b->ranges[j].first < r.first)
      left[n++] = (struct sector_range){b->ranges[j].first, r.first - 1};
    if (b->ranges[j].last > r.last)
      left[n++] = (struct sector_range){r.last + 1, b->ranges[j].last};
  }
  replace (b, i, j, left, n);
}

/*---------------------------------------------------------------------*/

int
badblocks_init (struct badblocks *b)
{
  atomic_init (&b->count, 0);
  b->ranges = NULL;
  b->room = 0;
  return -pthread_mutex_init (&b->lock, NULL);
}

void
badblocks_destroy (struct badblocks *b)
{
  pthread_mutex_destroy (&b->lock);
  free (b->ranges);
}

/* A step adds one range at most: a mark itself, a clear what is left on its
 * other side.
 */
int
badblocks_reserve (struct badblocks *b, const struct badblocks_change *c)
{
  struct sector_range *ranges;
  int r = 0;

  lock (b);
  if (b->room < b->count + c->count) {
    ranges = realloc (b->ranges, (b->count + c->count) * sizeof *ranges);
    if (ranges == NULL)
      r = -ENOMEM;
    else {
      b->ranges = ranges;
      b->room = b->count + c->count;
    }
  }
  unlock (b);
  return r;
}

void
badblocks_apply (struct badblocks *b, const struct badblocks_change *c)
{
  size_t i;

  lock (b);
  for (i = 0; i < c->count; i++) {
    if (c->steps[i].bad)
      mark (b, c->steps[i].range);
    else
      clear (b, c->steps[i].range);
  }
  unlock (b);
}

int
badblocks_check (struct badblocks *b, uint64_t offset, uint32_t count,
                 bool once, uint64_t *bad)
{
  const uint64_t last = (offset + count - 1) / SECTOR_SIZE;
  uint64_t first = offset / SECTOR_SIZE;
  int r = 0;
  size_t i;

  lock (b);
  i = find (b, first);
  if (i < b->count && b->ranges[i].first <= last) {
    r = -EIO;
    if (first < b->ranges[i].first)
      first = b->ranges[i].first;
    *bad = first * SECTOR_SIZE;
    if (once)
      replace (b, i, i + 1, NULL, 0);
  }
  unlock (b);
  return r;
}
