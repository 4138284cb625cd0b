/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Ends a program when jansson gets no memory.  jansson itself would leave out a
 * member, say that a text is no JSON, or, while it reads a string (jansson
 * 2.14), write behind the end of its buffer.
 */

#ifndef NULLBLK_JSONMEMORY_H
#define NULLBLK_JSONMEMORY_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "die.h"

static const char *json_memory_program;

static inline void *
json_memory_allocate (size_t n)
{
  void *p = malloc (n);

  if (p == NULL)
    die_as (json_memory_program, "%s", strerror (errno));
  return p;
}

/* From now on PROGRAM ends, as by die_as, when jansson gets no memory.  To be
 * called before jansson is used.
 */
static inline void
json_memory_or_die (const char *program)
{
  json_memory_program = program;
  json_set_alloc_funcs (json_memory_allocate, free);
}

#endif /* NULLBLK_JSONMEMORY_H */
