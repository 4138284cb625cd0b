/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Bytes as they go through an NBD connection, for tests of batched socket I/O.
 */

#ifndef NULLBLK_TESTS_STREAM_H
#define NULLBLK_TESTS_STREAM_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "unit.h"

/* Magic number and size of the header of a request. */
#define MAGIC 0x25609513
#define HEADER 28

static inline void
put32 (unsigned char *p, uint32_t n)
{
  p[0] = n >> 24;
  p[1] = n >> 16;
  p[2] = n >> 8;
  p[3] = n;
}

static inline uint32_t
get32 (const unsigned char *p)
{
  return (uint32_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

/* A stream of bytes that grows. */
struct stream {
  unsigned char *bytes;
  size_t len, room;
};

static inline unsigned char *
grow (struct stream *s, size_t n)
{
  unsigned char *p;

  if (s->bytes == NULL || s->len + n > s->room) {
    s->room = 2 * (s->len + n);
    s->bytes = realloc (s->bytes, s->room);
    assert_non_null (s->bytes);
  }
  p = s->bytes + s->len;
  memset (p, 0, n);
  s->len += n;
  return p;
}

/* Send to FD a random piece, of up to MOST bytes or often of few, of what comes
 * after the first SENT bytes.  Returns how much of it FD has taken.
 */
static inline size_t
send_random_piece (int fd, const struct stream *s, size_t sent, size_t most,
                   uint64_t *seed)
{
  size_t piece = 1 + random_below (seed, random_below (seed, 2) ? 100 : most);
  ssize_t r;

  if (piece > s->len - sent)
    piece = s->len - sent;
  r = send (fd, s->bytes + sent, piece, MSG_DONTWAIT);
  assert_true (r > 0 || (r == -1 && errno == EAGAIN));
  return r > 0 ? r : 0;
}

#endif /* NULLBLK_TESTS_STREAM_H */
