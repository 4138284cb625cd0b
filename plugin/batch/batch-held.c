/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What is held of a connection's replies; see batch-held-internal.h.
 */

#include <config.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "batch-held-internal.h"

_Alignas(4096) char held_zeroes[HELD_ZEROES + HELD_CACHE_LINE];

/* Room that held_place leaves behind data, for the head of the reply. */
#define HELD_HEAD_RESERVE 64

/* SECURITY.md and nullblk-serve(1) say what a connection takes: these, and what
 * is read ahead.
 */
_Static_assert(MAX_HELD_WITH_ZEROES == 4 * 1024 * 1024 + 4096,
               "nullblk-serve(1): 4 MiB of zeroes");
_Static_assert((MAX_HELD_PIECES + 1) * sizeof (struct iovec) + MAX_HELD <=
                   265 * 1024,
               "521 KiB for a connection");

bool
held_begin (struct held *h)
{
  if (h->piece == NULL)
    h->piece = malloc ((MAX_HELD_PIECES + 1) * sizeof *h->piece);
  if (h->copies == NULL)
    h->copies = malloc (MAX_HELD);
  h->placed_end = 0;
  held_clear (h);
  return h->piece != NULL && h->copies != NULL;
}

void
held_end (struct held *h)
{
  free (h->piece);
  free (h->copies);
  h->piece = NULL;
  h->copies = NULL;
  h->placed_end = 0;
  held_clear (h);
}

void
held_clear (struct held *h)
{
  h->n = h->len = 0;
  h->copied = h->placed_end;
}

/* An iovec is older than const. */
static void *
unconst (const void *p)
{
  const union {
    const void *in;
    void *out;
  } u = {p};

  return u.out;
}

static void
add_copy (struct held *h, const void *buf, size_t n)
{
  char *const to = h->copies + h->copied;
  struct iovec *last = h->n > 0 ? &h->piece[h->n - 1] : NULL;

  if (buf != NULL)
    memcpy (to, buf, n);
  else
    memset (to, 0, n);
  if (last != NULL && (char *) last->iov_base + last->iov_len == to)
    last->iov_len += n;
  else
    h->piece[h->n++] = (struct iovec){to, n};
  h->copied += n;
}

/* Add N zeroes, in as many pieces as they need. */
static bool
add_zeroes (struct held *h, size_t n)
{
  const size_t pieces = (n + HELD_ZEROES - 1) / HELD_ZEROES;
  size_t first;

  if (n > MAX_HELD_WITH_ZEROES - h->len || h->n + pieces > MAX_HELD_PIECES)
    return false;
  for (; n > 0; n -= first) {
    first = n < HELD_ZEROES ? n : HELD_ZEROES;
    held_add_zeroes (h, first);
  }
  return true;
}

static bool
is_placed (const struct held *h, const char *buf)
{
  return (uintptr_t) buf - (uintptr_t) h->copies < h->placed_end;
}

bool
held_add (struct held *h, const void *buf, size_t n)
{
  if (buf == NULL && n >= MIN_BY_REFERENCE)
    return add_zeroes (h, n);
  if (n > MAX_HELD_WITH_ZEROES - h->len || h->n == MAX_HELD_PIECES)
    return false;
  if (n >= MIN_BY_REFERENCE && is_placed (h, buf))
    h->piece[h->n++] = (struct iovec){unconst (buf), n};
  else if (n <= MAX_HELD - h->copied)
    add_copy (h, buf, n);
  else
    return false;
  h->len += n;
  return true;
}

char *
held_place (struct held *h, size_t n)
{
  const size_t at =
      (h->copied + HELD_CACHE_LINE - 1) & ~(size_t) (HELD_CACHE_LINE - 1);

  if (n < MIN_BY_REFERENCE || n > MAX_HELD ||
      at + n + HELD_HEAD_RESERVE > MAX_HELD)
    return NULL;
  h->copied = h->placed_end = at + n;
  return h->copies + at;
}

void
held_place_end (struct held *h)
{
  h->placed_end = 0;
  if (h->n == 0)
    h->copied = 0;
}

struct iovec *
held_with (struct held *h, const void *data, size_t n_data, size_t *n)
{
  h->piece[h->n] = (struct iovec){unconst (data), n_data};
  *n = h->n + 1;
  return h->piece;
}
