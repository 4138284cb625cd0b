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

#define CACHE_LINE 64

/* The zeroes of all connections.  As nobody writes to them, all of their pages
 * are the one page of zeroes that the kernel has, which stays in the cache.
 */
#define ZEROES ((size_t) 64 * 1024)
static _Alignas(4096) char zeroes[ZEROES + CACHE_LINE];

/* Fewer zeroes are copied: that costs less than a piece. */
#define FEW 1024

/* Of a reply with data. */
#define MOST_OF_HEAD 64

/* As many as HELD bytes may need, with copies before all zeroes, and one for
 * data that is not held.
 */
#define MOST_PIECES (2 * HELD / FEW + 1)

/* SECURITY.md and nullblk-serve(1) say what a connection takes: these, and what
 * is read ahead.
 */
_Static_assert((MOST_PIECES + 1) * sizeof (struct iovec) + HELD <= 265 * 1024,
               "521 KiB for a connection");

bool
held_begin (struct held *h)
{
  if (h->piece == NULL)
    h->piece = malloc ((MOST_PIECES + 1) * sizeof *h->piece);
  if (h->copies == NULL)
    h->copies = malloc (HELD);
  h->kept = 0;
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
  h->kept = 0;
  held_clear (h);
}

void
held_clear (struct held *h)
{
  h->n = h->len = 0;
  h->copied = h->kept;
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

/* A processor copies faster if both places are the same ones of a cache line.
 */
static void
add_zeroes (struct held *h, size_t n)
{
  char *const from = zeroes + h->len % CACHE_LINE;
  size_t piece;

  for (; n > 0; n -= piece) {
    piece = n < ZEROES ? n : ZEROES;
    h->piece[h->n++] = (struct iovec){from, piece};
  }
}

/* The most pieces of N bytes. */
static size_t
pieces_of (size_t n)
{
  return (n + ZEROES - 1) / ZEROES;
}

static bool
is_placed (const struct held *h, const char *buf)
{
  return (uintptr_t) buf - (uintptr_t) h->copies < h->kept;
}

bool
held_add (struct held *h, const void *buf, size_t n)
{
  if (n > HELD - h->len || h->n + pieces_of (n) > MOST_PIECES)
    return false;
  if (buf == NULL && n >= FEW)
    add_zeroes (h, n);
  else if (n >= FEW && is_placed (h, buf))
    h->piece[h->n++] = (struct iovec){unconst (buf), n};
  else if (n <= HELD - h->copied)
    add_copy (h, buf, n);
  else
    return false;
  h->len += n;
  return true;
}

char *
held_place (struct held *h, size_t n)
{
  const size_t at = (h->copied + CACHE_LINE - 1) & ~(size_t) (CACHE_LINE - 1);

  if (n < FEW || n > HELD || at + n + MOST_OF_HEAD > HELD)
    return NULL;
  h->copied = h->kept = at + n;
  return h->copies + at;
}

void
held_place_end (struct held *h)
{
  h->kept = 0;
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
