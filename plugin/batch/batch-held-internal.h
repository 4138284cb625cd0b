/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What is held of a connection's replies, as sendmsg takes it: pieces that
 * follow each other.  Most are copies, and are one piece as long as they follow
 * each other; zeroes are the same ones in all pieces, and are never copied:
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
#include <sys/uio.h>

/* The most bytes that are held. */
#define HELD (256 * 1024)

struct held {
  struct iovec *piece; /* NULL when there is no socket */
  size_t n;            /* pieces */
  size_t len;          /* bytes */
  char *copies;
  size_t copied; /* bytes that are in use, from the first */
  size_t kept;   /* of them, while data is placed: up to its end */
};

/* Returns false if there is no memory.  Nothing is held then, or at first. */
bool held_begin (struct held *h);

void held_end (struct held *h);

/* Forget all that is held, but not the bytes that are placed. */
void held_clear (struct held *h);

/* Hold the N bytes at BUF, or N zeroes where that is NULL.  Where BUF is in the
 * bytes that are placed, they are not copied.  Returns false, and nothing has
 * happened, if there is no room for them.
 */
bool held_add (struct held *h, const void *buf, size_t n);

/* Returns a place for N bytes, which the caller puts there, and may hold then,
 * until held_place_end; NULL where there is no room for them and the head of
 * their reply, or where a copy costs less.  Nothing is placed before.
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
