/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What every fuzzer begins with: an input that is used up from its front, and
 * a check that ends the fuzzer.  The world is the same for each input: no
 * thread is made, no file is opened, and the clock (fuzz.c) goes on only where
 * the code asks for it or waits.
 */

#ifndef NULLBLK_FUZZ_H
#define NULLBLK_FUZZ_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"

/* libFuzzer calls this with each input. */
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf (stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__,            \
               #condition);                                                    \
      abort ();                                                                \
    }                                                                          \
  } while (0)

struct input {
  const uint8_t *p;
  size_t left;
};

/* The next N bytes as a number, the lowest first; what is missing is 0. */
static inline uint64_t
take (struct input *in, unsigned n)
{
  uint64_t r = 0;
  unsigned i;

  for (i = 0; i < n && in->left > 0; i++, in->left--)
    r |= (uint64_t) *in->p++ << (8 * i);
  return r;
}

/* Returns a number from 0 up to N, without N; it uses up two bytes. */
static inline unsigned
take_below (struct input *in, unsigned n)
{
  return take (in, 2) % n;
}

/* The next bytes up to one that is END, which is used up, too, or all.  To be
 * freed; it has a zero byte behind it and, if END is not 0, may have others.
 */
static inline char *
take_up_to (struct input *in, uint8_t end, size_t *len)
{
  const uint8_t *stop = in->left > 0 ? memchr (in->p, end, in->left) : NULL;
  const size_t n = stop != NULL ? (size_t) (stop - in->p) : in->left;
  char *r = malloc (n + 1);

  CHECK (r != NULL);
  if (n > 0)
    memcpy (r, in->p, n);
  r[n] = '\0';
  if (n + (stop != NULL) > 0)
    in->p += n + (stop != NULL);
  in->left -= n + (stop != NULL);
  if (len != NULL)
    *len = n;
  return r;
}

/* The clock, in nanoseconds; and begin a world. */
extern uint64_t fuzz_now;
void fuzz_begin (void);

/* If this is not NULL, it is called where the thread would wait for another
 * one, with no lock held.  If it returns false, or is NULL, nothing could end
 * that wait, and the fuzzer ends.
 */
extern bool (*fuzz_others) (void);

/* A wait_ops.sleep_for by which no request waits: the server ends. */
static inline int
fuzz_cancel (void *opaque, uint64_t nsec)
{
  (void) opaque;
  (void) nsec;
  return -ESHUTDOWN;
}

/* What each file holds that is read whole (textfile.h), if its name ends in
 * "F"; others are not there.  NULL: none is there.
 */
extern const uint8_t *fuzz_file;
extern size_t fuzz_file_len;

#endif /* NULLBLK_FUZZ_H */
