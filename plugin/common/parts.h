/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Values of several parts, as "base:100,burst:3000,bucket:5400000".  A table
 * says which parts there are; each is a uint64_t of a structure.  Pure
 * functions, without locks.
 */

#ifndef NULLBLK_PARTS_H
#define NULLBLK_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"

enum part_type {
  PART_COUNT,    /* a whole number */
  PART_MIB,      /* a whole number of MiB; bytes in the structure */
  PART_SIZE,     /* bytes */
  PART_DURATION, /* nanoseconds */
  PART_FACTOR,   /* with up to three decimals; thousandths in the structure */
};

struct value_part {
  const char *name;
  enum part_type type;
  size_t offset;        /* of the uint64_t in the structure */
  uint64_t least, most; /* as in the structure */
  bool is_needed;
  uint64_t initial; /* where it is not given */
};

/* A kind of values. */
struct parts {
  const struct value_part *part;
  size_t n;
  size_t size; /* of the structure, which has nothing but such numbers */

  /* Returns what is wrong with the parts together, or NULL if nothing is.  The
   * pointer may be NULL: then nothing is checked.
   */
  const char *(*check) (const void *value);
};

/* Parse TEXT, with parts in any order, or "none", where all parts are 0.
 * Returns 0; or -EINVAL, with what is allowed in *why, and *value is as it was.
 */
int parts_parse (const struct parts *parts, const char *text, void *value,
                 struct message *why);

/* Write a value as parts_parse takes it, and leave out the parts that have
 * their initial values.
 */
void parts_format (const struct parts *parts, const void *value, char *buf,
                   size_t len);

/* Write in words what values are allowed. */
void parts_describe (const struct parts *parts, char *buf, size_t len);

#endif /* NULLBLK_PARTS_H */
