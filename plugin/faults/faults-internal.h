/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the files of fault rules share: faults.c makes rules and has the list of
 * them, faults-change.c changes it, faults-request.c asks rules of requests.
 * Nobody else includes this.
 */

#ifndef NULLBLK_FAULTS_INTERNAL_H
#define NULLBLK_FAULTS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/common.h"
#include "faultrule-internal.h"
#include "faults.h"

/* What never changes, and devices that were given the same rule share. */
struct shared_rule {
  atomic_uint references;
  struct fault_rule rule;
  char *text;
};

struct fault {
  struct shared_rule *shared;
  struct fault *next;
  struct fault *last;     /* of a chain of new ones, in its first */
  atomic_uint references; /* the list's, and of each verdict that holds it */
  atomic_bool deleted;    /* what those look at that hang */

  /* Since it was added. */
  uint32_t id;
  uint64_t added;
  uint64_t key; /* of flips */
  struct random rates, delays;

  /* Only during a change, for the thread that makes it: this rule is to go;
   * and, if this rule is new, the older one that stays in its place.
   */
  bool doomed;
  struct fault *known;

  /* Guarded by faults.lock. */
  uint64_t evaluated, hits; /* since the counters' last reset */
  uint64_t passed;          /* of `after` */
  uint64_t turn;            /* of `every` */
  uint64_t done;            /* of `count` */
};

/* The draws of a rule begin.  The lock is held, or the rule is in no list. */
void fault_begin_draws (const struct faults *f, struct fault *fault);

/* When nobody has a reference any more. */
void fault_destroy (struct fault *fault);

static inline void
fault_unref (struct fault *fault)
{
  if (atomic_fetch_sub (&fault->references, 1) == 1)
    fault_destroy (fault);
}

#endif /* NULLBLK_FAULTS_INTERNAL_H */
