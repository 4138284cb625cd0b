/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What is held of a connection's replies, as sendmsg takes it: pieces that
 * follow each other.  Most bytes are copied, and copies that follow each other
 * are one piece.  Runs of MIN_BY_REFERENCE zeroes or more are not copied: their
 * pieces all point to the same zeroes:
 *
 *     piece [0] ─────────┐      [1]       [2] ─┐       [3]
 *                        v       │             v        │
 *     copies ┌──────────────────┬┼────────────────────┐ │
 *            │ reply, its head  │v   head     │       │ v
 *            └──────────────────┴─zeroes──────┴───────┘ zeroes
 *
 * Data may also be put between the copies by the caller itself (held_place),
 * before the head of its reply comes.  It is a piece of its own, or several.
 *
 * The caller holds the lock of whatever has a struct held.
 */

#ifndef NULLBLK_BATCH_HELD_INTERNAL_H
#define NULLBLK_BATCH_HELD_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

/* The most bytes that are held as copies, and those together with zeroes: as
 * many as 32 reads of 128 KiB have, which a program of a benchmark has at once.
 */
#define MAX_HELD (256 * 1024)
#define MAX_HELD_WITH_ZEROES (4 * 1024 * 1024 + 4096)

/* Fewer zeroes, or bytes that are placed, are copied: that costs less than a
 * piece.
 */
#define MIN_BY_REFERENCE 1024

/* The most pieces that are held: enough for MAX_HELD bytes of zeroes in pieces
 * of MIN_BY_REFERENCE, with a copy before each and one behind the last.  What
 * would take more pieces is not held.  The array has room for one more, for
 * data that is sent without being held (held_with).
 */
#define MAX_HELD_PIECES (2 * MAX_HELD / MIN_BY_REFERENCE + 1)

/* The most bytes of held_add_short. */
#define MAX_HELD_SHORT 32

/* The zeroes of all connections.  As nobody writes to them, all of their pages
 * are the one page of zeroes that the kernel has, which stays in the cache.
 */
#define HELD_CACHE_LINE 64
#define HELD_ZEROES ((size_t) 64 * 1024)
extern char held_zeroes[HELD_ZEROES + HELD_CACHE_LINE];

struct held {
  struct iovec *piece; /* NULL when there is no socket */
  size_t n;            /* pieces */
  size_t len;          /* bytes */
  char *copies;
  size_t copied;     /* bytes of `copies` that are in use, from the first */
  size_t placed_end; /* while data is placed there: where it ends; 0: none is */
};

/* Returns false if there is no memory.  Afterwards, whatever this returns,
 * nothing is held.
 */
bool held_begin (struct held *h);

void held_end (struct held *h);

/* Forget all that is held, but not the bytes that are placed. */
void held_clear (struct held *h);

/* Hold the N bytes at BUF, or N zeroes where that is NULL.  Where BUF is in the
 * bytes that are placed, MIN_BY_REFERENCE of them and more are not copied.
 * Returns false, and nothing has happened, if there is no room for them.
 */
bool held_add (struct held *h, const void *buf, size_t n);

/* Do as held_add, for N zeroes, from MIN_BY_REFERENCE to HELD_ZEROES.  The
 * zeroes begin at the same offset within a cache line as the place in the
 * stream to which they go: so a processor copies faster.
 */
static inline bool
held_add_zeroes (struct held *h, size_t n)
{
  if (n > MAX_HELD_WITH_ZEROES - h->len || h->n == MAX_HELD_PIECES)
    return false;
  h->piece[h->n++] = (struct iovec){held_zeroes + h->len % HELD_CACHE_LINE, n};
  h->len += n;
  return true;
}

/* Copy N bytes, 1 to MAX_HELD_SHORT. */
static inline void
held_copy_short (char *to, const char *from, size_t n)
{
  if (n >= 16) {
    memcpy (to, from, 16);
    memcpy (to + n - 16, from + n - 16, 16);
  }
  else if (n >= 8) {
    memcpy (to, from, 8);
    memcpy (to + n - 8, from + n - 8, 8);
  }
  else
    while (n-- > 0)
      to[n] = from[n];
}

/* Do as held_add, for N bytes, 1 to MAX_HELD_SHORT, that are not placed. */
static inline bool
held_add_short (struct held *h, const char *buf, size_t n)
{
  char *const to = h->copies + h->copied;
  struct iovec *last = h->piece + h->n - 1;

  if (n > MAX_HELD_WITH_ZEROES - h->len || n > MAX_HELD - h->copied)
    return false;
  if (h->n > 0 && (char *) last->iov_base + last->iov_len == to)
    last->iov_len += n;
  else if (h->n < MAX_HELD_PIECES)
    h->piece[h->n++] = (struct iovec){to, n};
  else
    return false;
  held_copy_short (to, buf, n);
  h->copied += n;
  h->len += n;
  return true;
}

/* Returns a place for N bytes, which the caller puts there, and may hold then,
 * until held_place_end; NULL where there is no room for them and the head of
 * their reply, or where a copy costs less.  To be called only while nothing is
 * placed.
 */
char *held_place (struct held *h, size_t n);

/* The bytes that are placed are not added any more. */
void held_place_end (struct held *h);

/* Returns an array of *N pieces, which are those that are held, and behind them
 * the N_DATA bytes at DATA.  The caller may change the array; then it calls
 * held_clear.
 */
struct iovec *held_with (struct held *h, const void *data, size_t n_data,
                         size_t *n);

#endif /* NULLBLK_BATCH_HELD_INTERNAL_H */
