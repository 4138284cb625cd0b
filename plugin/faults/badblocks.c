/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Bad blocks; see badblocks.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "badblocks.h"
#include "common/common.h"

/* Ascending, and none touches the next if both are bad, or both not. */
struct badblocks_change {
  size_t count;
  struct sector_range *ranges;
};

static const struct sector_range clear_all = {0, UINT64_MAX, false};

/*---------------------------------------------------------------------*/
/* Lists of ranges */

/* Put a range at the end of a list.  If it touches the last range there, it
 * becomes a part of that.
 */
static void
put (struct sector_range *list, size_t *n, struct sector_range r)
{
  if (*n > 0 && list[*n - 1].bad == r.bad && list[*n - 1].last + 1 == r.first)
    list[*n - 1].last = r.last;
  else
    list[(*n)++] = r;
}

/* Lay the NB ranges of B over the NA of A: sectors that both have are as B
 * says.  OUT gets all of the result or, with ONLY_BAD, its bad ranges.  OUT has
 * room for NA + 2 NB ranges; NA + NB are enough with ONLY_BAD, if all ranges of
 * A are bad.  Returns how many ranges OUT has.
 */
static size_t
overlay (const struct sector_range *a, size_t na, const struct sector_range *b,
         size_t nb, struct sector_range *out, bool only_bad)
{
  const struct sector_range *const a_end = a + na, *const b_end = b + nb;
  struct sector_range rest; /* of *a */
  size_t n = 0;

  if (a < a_end)
    rest = *a;
  for (; b < b_end; b++) {
    while (a < a_end && rest.first < b->first) {
      put (out, &n,
           (struct sector_range){
               rest.first, rest.last < b->first ? rest.last : b->first - 1,
               rest.bad});
      if (rest.last >= b->first)
        rest.first = b->first;
      else if (++a < a_end)
        rest = *a;
    }
    if (b->bad || !only_bad)
      put (out, &n, *b);
    while (a < a_end && rest.last <= b->last) {
      if (++a < a_end)
        rest = *a;
    }
    if (a < a_end && rest.first <= b->last)
      rest.first = b->last + 1;
  }
  while (a < a_end) {
    put (out, &n, rest);
    if (++a < a_end)
      rest = *a;
  }
  return n;
}

/* Make one list of N steps; a later step counts more.  Two lists become one,
 * again and again, until there is one.  The lists begin at every second place,
 * and after I times at every 2^(I+1)-th.  LIST and OTHER have room for 2 N
 * ranges, and *count is N.  Returns LIST or OTHER, which has the result, and in
 * *count its number of ranges.
 */
static struct sector_range *
join_steps (struct sector_range *list, struct sector_range *other,
            size_t *lengths, size_t *count)
{
  size_t lists = *count, width = 2, i;
  struct sector_range *swap;

  for (; lists > 1; lists = (lists + 1) / 2, width *= 2) {
    for (i = 0; i < lists; i += 2) {
      lengths[i / 2] =
          i + 1 < lists
              ? overlay (list + i * width, lengths[i], list + (i + 1) * width,
                         lengths[i + 1], other + i * width, false)
              : overlay (list + i * width, lengths[i], list, 0,
                         other + i * width, false);
    }
    swap = list;
    list = other;
    other = swap;
  }
  *count = lengths[0];
  return list;
}

/*---------------------------------------------------------------------*/
/* Text */

static const char blanks[] = " \t\r\v\f";
static const char separators[] = ",\n";

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
parse_step (const char *s, const char *end, struct sector_range *step)
{
  if (end - s == 4 && memcmp (s, "none", 4) == 0) {
    *step = clear_all;
    return true;
  }
  if (s == end || (*s != '+' && *s != '-'))
    return false;
  step->bad = *s++ == '+';
  if (!parse_sector (&s, end, &step->first) || s == end || *s++ != '-' ||
      !parse_sector (&s, end, &step->last) || s != end)
    return false;
  return step->first <= step->last;
}

/* Take the steps of TEXT, for which there is room, to every second place of
 * LIST.  Returns 0 or -EINVAL.
 */
static int
parse_steps (const char *text, struct sector_range *list, size_t *count,
             struct message *why)
{
  const char *s, *begin, *end;

  *count = 0;
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
    if (!parse_step (begin, end, &list[2 * *count])) {
      message_set (why,
                   "'%.*s': allowed is +FIRST-LAST to mark bad sectors of 512 "
                   "bytes, -FIRST-LAST to clear them (FIRST at most LAST, both "
                   "below 2^64), or none",
                   (int) (end - begin < 80 ? end - begin : 80), begin);
      return -EINVAL;
    }
    ++*count;
    if (*s == '\0')
      break;
  }
  if (*count == 0)
    list[2 * (*count)++] = clear_all;
  return 0;
}

int
badblocks_parse (const char *text, struct badblocks_change **r,
                 struct message *why)
{
  struct badblocks_change *c = NULL;
  struct sector_range *list, *other;
  size_t most = 1, i, *lengths;
  const char *s;
  int err = -ENOMEM;

  for (s = text; *s != '\0'; s++)
    most += strchr (separators, *s) != NULL;
  list = malloc (2 * most * sizeof *list);
  other = malloc (2 * most * sizeof *other);
  lengths = malloc (most * sizeof *lengths);
  if (list == NULL || other == NULL || lengths == NULL)
    goto out;
  c = calloc (1, sizeof *c);
  if (c == NULL)
    goto out;
  err = parse_steps (text, list, &c->count, why);
  if (err < 0)
    goto out;
  for (i = 0; i < c->count; i++)
    lengths[i] = 1;
  c->ranges = join_steps (list, other, lengths, &c->count);
  if (c->ranges == list)
    list = NULL;
  else
    other = NULL;
  *r = c;
  c = NULL;
out:
  free (c);
  free (lengths);
  free (other);
  free (list);
  return err;
}

void
badblocks_change_free (struct badblocks_change *c)
{
  if (c != NULL)
    free (c->ranges);
  free (c);
}

/* Copy the ranges that are bad, of LISTED, in pieces.  Returns how many, or
 * SIZE_MAX if there are others by now.
 */
static size_t
copy_bad (struct badblocks *b, struct sector_range *to, size_t listed,
          uint64_t changes)
{
  size_t i = 0, end, n = 0;

  do {
    lock (&b->lock);
    if (b->changes != changes) {
      unlock (&b->lock);
      return SIZE_MAX;
    }
    end = min (listed, i + BADBLOCKS_PIECE);
    b->most_at_once = max (b->most_at_once, end - i);
    for (; i < end; i++) {
      if (b->ranges[i].bad)
        to[n++] = b->ranges[i];
    }
    unlock (&b->lock);
  } while (i < listed);
  return n;
}

/* A copy of what is bad; NULL if there is no memory. */
static struct sector_range *
copy_ranges (struct badblocks *b, size_t *count)
{
  struct sector_range *r;
  uint64_t changes;
  size_t listed;

  do {
    lock (&b->lock);
    listed = b->listed;
    changes = b->changes;
    unlock (&b->lock);
    r = malloc ((listed + 1) * sizeof *r);
    if (r == NULL)
      return NULL;
    *count = copy_bad (b, r, listed, changes);
    if (*count == SIZE_MAX)
      free (r);
  } while (*count == SIZE_MAX);
  return r;
}

char *
badblocks_format (struct badblocks *b)
{
  struct sector_range *ranges;
  size_t len, count, i;
  char *text = NULL;
  bool failed;
  FILE *fp;

  ranges = copy_ranges (b, &count);
  if (ranges == NULL)
    return NULL;
  fp = open_memstream (&text, &len);
  if (fp == NULL) {
    free (ranges);
    return NULL;
  }
  for (i = 0; i < count; i++)
    fprintf (fp, "%s+%" PRIu64 "-%" PRIu64, i > 0 ? "," : "", ranges[i].first,
             ranges[i].last);
  if (i == 0)
    fprintf (fp, "none");
  free (ranges);
  failed = ferror (fp);
  if (fclose (fp) == 0 && !failed)
    return text;
  free (text);
  return NULL;
}

/*---------------------------------------------------------------------*/
/* The set */

/* The first range that ends at SECTOR or after it, or as many as there are. The
 * lock is held.
 */
static size_t
find (const struct badblocks *b, uint64_t sector)
{
  size_t low = 0, high = b->listed, middle;

  while (low < high) {
    middle = low + (high - low) / 2;
    if (b->ranges[middle].last < sector)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Leave out of a list what was healed.  Returns how many are left. */
static size_t
drop_healed (struct sector_range *list, size_t count)
{
  size_t i, n = 0;

  for (i = 0; i < count; i++) {
    if (list[i].bad)
      list[n++] = list[i];
  }
  return n;
}

/*---------------------------------------------------------------------*/

int
badblocks_init (struct badblocks *b)
{
  int r;

  memset (b, 0, sizeof *b);
  atomic_init (&b->count, 0);
  r = -pthread_mutex_init (&b->lock, NULL);
  if (r < 0)
    return r;
  r = -pthread_mutex_init (&b->change_lock, NULL);
  if (r < 0)
    pthread_mutex_destroy (&b->lock);
  return r;
}

void
badblocks_destroy (struct badblocks *b)
{
  pthread_mutex_destroy (&b->lock);
  pthread_mutex_destroy (&b->change_lock);
  free (b->ranges);
  free (b->next);
  free (b->copy);
}

/* A range of a change adds one at most: a mark itself, a clear what is left on
 * its other side.  There may be fewer ranges when it is done, not more.
 */
int
badblocks_reserve (struct badblocks *b, const struct badblocks_change *c)
{
  pthread_mutex_lock (&b->change_lock);
  b->next = malloc ((b->listed + c->count) * sizeof *b->next);
  b->copy = malloc ((b->listed + 1) * sizeof *b->copy);
  if (b->next != NULL && b->copy != NULL)
    return 0;
  badblocks_give_up (b);
  return -ENOMEM;
}

void
badblocks_give_up (struct badblocks *b)
{
  free (b->next);
  free (b->copy);
  b->next = b->copy = NULL;
  pthread_mutex_unlock (&b->change_lock);
}

/* A list is made without the lock this many times at most.  After that it is
 * made with the lock held.
 */
#define TRIES 16

/* change_lock is held, so nobody else changes what is listed.  A hit that comes
 * while the list is made must not be undone by it.
 */
void
badblocks_apply (struct badblocks *b, const struct badblocks_change *c,
                 const struct badblocks_mode *mode)
{
  struct sector_range *old;
  uint64_t hits;
  size_t n;
  int i = 0;

  do {
    lock (&b->lock);
    hits = b->hits;
    unlock (&b->lock);
    n = copy_bad (b, b->copy, b->listed, b->changes);
    n = overlay (b->copy, n, c->ranges, c->count, b->next, true);
    lock (&b->lock);
    if (b->hits == hits)
      break;
    if (++i < TRIES)
      unlock (&b->lock);
  } while (i < TRIES);
  if (i == TRIES) {
    b->most_at_once = b->listed;
    n = overlay (b->ranges, drop_healed (b->ranges, b->listed), c->ranges,
                 c->count, b->next, true);
  }
  old = b->ranges;
  b->ranges = b->next;
  b->count = b->listed = n;
  if (mode != NULL)
    b->mode = *mode;
  b->changes++;
  unlock (&b->lock);
  free (old);
  b->next = NULL;
  badblocks_give_up (b);
}

void
badblocks_set_mode (struct badblocks *b, const struct badblocks_mode *mode)
{
  lock (&b->lock);
  b->mode = *mode;
  unlock (&b->lock);
}

/* Make sectors good where that needs no range more than there are.  Returns
 * false, with nothing done, if it leaves some of a range on both sides.  The
 * lock is held.
 */
static bool
clear_in_place (struct badblocks *b, uint64_t first, uint64_t last)
{
  const size_t from = find (b, first);
  struct sector_range *r;
  size_t i;

  for (i = from; i < b->listed && b->ranges[i].first <= last; i++) {
    r = &b->ranges[i];
    if (!r->bad)
      continue;
    if (r->first < first && r->last > last)
      return false;
    if (r->first < first)
      r->last = first - 1;
    else if (r->last > last)
      r->first = last + 1;
    else {
      r->bad = false;
      b->count--;
    }
    b->hits++;
  }
  b->most_at_once = max (b->most_at_once, i - from);
  return true;
}

int
badblocks_clear (struct badblocks *b, uint64_t offset, uint32_t count)
{
  struct sector_range range = {offset / SECTOR_SIZE,
                               (offset + count - 1) / SECTOR_SIZE, false};
  const struct badblocks_change change = {1, &range};
  bool is_done;
  int r;

  lock (&b->lock);
  is_done = clear_in_place (b, range.first, range.last);
  unlock (&b->lock);
  if (is_done)
    return 0;
  r = badblocks_reserve (b, &change);
  if (r == 0)
    badblocks_apply (b, &change, NULL);
  return r;
}

int
badblocks_check (struct badblocks *b, uint64_t offset, uint32_t count,
                 bool changes, struct badblocks_mode *mode, uint64_t *bad)
{
  const uint64_t last = (offset + count - 1) / SECTOR_SIZE;
  uint64_t first = offset / SECTOR_SIZE;
  int r = 0;
  size_t i;

  lock (&b->lock);
  i = find (b, first);
  while (i < b->listed && b->ranges[i].first <= last && !b->ranges[i].bad)
    i++;
  if (i < b->listed && b->ranges[i].first <= last) {
    *mode = b->mode;
    r = changes && mode->mend ? BADBLOCKS_MEND : -EIO;
    *bad = max (first, b->ranges[i].first) * SECTOR_SIZE;
    if (r < 0 && mode->once) {
      b->ranges[i].bad = false;
      b->hits++;
      b->count--;
    }
  }
  unlock (&b->lock);
  return r;
}
