/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Declarations that the files of fault rules share.  Each file calls only those
 * that stand below it:
 *
 *     faults-change.c     changes the list of rules
 *     faults-request.c    asks the rules about a request, and obeys them
 *     faults.c            makes rules, and has the list of them
 *     faultrule.c         parses the text of a rule
 *     faultrule-format.c  writes the text of a rule
 *     faultactions.c      the actions, a row each
 */

#ifndef NULLBLK_FAULTS_INTERNAL_H
#define NULLBLK_FAULTS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/common.h"
#include "faultrule-internal.h"
#include "faults.h"

/* The part of a rule that never changes.  Devices that were given the same rule
 * share it.
 */
struct shared_spec {
  atomic_uint references;
  struct fault_spec spec;
  char *text;
};

/* A rule in the list of a device, or in a list of new rules. */
struct fault_rule {
  struct shared_spec *shared;
  struct fault_rule *next;
  struct fault_rule *last; /* in the first of new rules: the last one */
  atomic_uint
      references;      /* the list's, and one of each verdict that keeps it */
  atomic_bool deleted; /* requests that hang by it look at this */

  /* Set when the rule is added to the list. */
  uint32_t id;
  uint64_t added;
  uint64_t key; /* of flips */
  struct random rates, delays;

  /* For the thread that makes a change, during the change. */
  bool doomed;              /* the rule is to be deleted */
  struct fault_rule *known; /* of a new rule: the old one, which stays */

  /* Guarded by faults.lock. */
  uint64_t evaluated, hits; /* since the counters' last reset */
  uint64_t passed;          /* requests that after= has let pass so far */
  uint64_t since_every;     /* requests since the last that every= picked */
  uint64_t count_used;      /* how much of count= is used up */
};

/* Begin the draws of a rule.  The lock is held, or the rule is in no list. */
void fault_rule_begin_draws (const struct faults *f, struct fault_rule *rule);

/* Free a rule to which nobody has a reference any more. */
void fault_rule_destroy (struct fault_rule *rule);

static inline void
fault_rule_unref (struct fault_rule *rule)
{
  if (atomic_fetch_sub (&rule->references, 1) == 1)
    fault_rule_destroy (rule);
}

#endif /* NULLBLK_FAULTS_INTERNAL_H */
