/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The actions of fault rules, a row each, in which all code and data of an
 * action stand.  A new action is an enumerator in faultrule-internal.h and a
 * row in faultactions.c; HACKING.md has the recipe.
 */

#ifndef NULLBLK_FAULTACTIONS_INTERNAL_H
#define NULLBLK_FAULTACTIONS_INTERNAL_H

#include <stdio.h>

#include "faults-internal.h"

/* Does the action make a request wait? */
enum fault_wait {
  NO_WAIT,
  WAIT_AFTER, /* after its data has moved, before its reply */
  WAIT_BEFORE /* before anything is done, until the rule is deleted */
};

struct fault_action_row {
  /* The action's words in a rule.  Where they end with '=' a value follows:
   * `parse` takes it, and returns 0, -EINVAL with *why, or -ENOMEM; `print`
   * writes it.
   */
  const char *text;
  int (*parse) (const char *value, struct fault_spec *r, struct message *why);
  void (*print) (FILE *fp, const struct fault_spec *r);

  unsigned operations; /* that it is for: 1 << enum operation, each */
  enum fault_wait wait;
  bool disconnects; /* the client is dropped */

  /* Add to the verdict on a request of kind OP.  NULL: the action adds no more
   * than follows from the rest of the row.  faults.lock is held.
   */
  void (*hit) (struct fault_rule *rule, enum operation op,
               struct fault_verdict *v);

  /* Corrupt one BLOCK of the data that is read from or written to OFFSET.
   * NULL: the action leaves data as it is.
   */
  void (*corrupt) (const struct fault_rule *rule, enum operation op,
                   uint64_t offset, uint8_t *block, uint32_t block_size);
};

extern const struct fault_action_row fault_actions[NR_FAULT_ACTIONS];

static inline const struct fault_action_row *
fault_action_of (const struct fault_rule *rule)
{
  return &fault_actions[rule->shared->spec.action];
}

/* Does a verdict keep the rule until the request is done, deleted or not?
 * There may be MAX_KEPT such rules.
 */
static inline bool
fault_is_kept (const struct fault_rule *rule)
{
  const struct fault_action_row *action = fault_action_of (rule);

  return action->corrupt != NULL || action->wait == WAIT_BEFORE;
}

#endif /* NULLBLK_FAULTACTIONS_INTERNAL_H */
