/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The language of fault rules: which requests a rule hits, and how.
 *
 *     op=write range=1M+64K rate=1% count=5 error=EIO
 *
 * Words stand in any order, with blanks between them, each at most once;
 * exactly one of them is an action.  In a word a backslash takes away the
 * meaning of the character behind it, such as a blank, and \xHH is any byte
 * but 0.
 *
 *     name=NAME              for a person, and to delete the rule by
 *     device=nullbN          only for that device
 *   which requests:
 *     op=OP[,OP...]          read write flush trim zero zone, or all
 *     range=OFFSET+LENGTH    those that touch these bytes
 *     zones=N[-N][,N[-N]..]  those that touch these zones
 *   how many of them, asked in this order:
 *     from=DURATION          none before this time after the rule was added
 *     for=DURATION           then for this time
 *     after=N                not the first N
 *     every=N                then every N-th
 *     rate=N%|N.N|N:M        of these, that share, drawn by seed
 *     count=N                of these, N at most
 *   actions:
 *     error=ERROR            fail
 *     delay=DURATION         complete later; any distribution but seek
 *     corrupt=flip|zero      corrupt what is read or written
 *     corrupt=stale          acknowledge a change and do nothing
 *     hang                   wait until the rule is deleted
 *     disconnect             drop the client
 *
 * What a rule says never changes once it is parsed (struct fault_spec).  The
 * rule, with its counters and draws, is struct fault_rule (faults-internal.h).
 */

#ifndef NULLBLK_FAULTRULE_INTERNAL_H
#define NULLBLK_FAULTRULE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"
#include "timing/timing.h"

#define MAX_FAULT_NAME 31 /* characters */
#define MAX_ZONE_SPANS 64 /* that zones= may list */

/* The longest from= and for=: a day. */
#define MAX_FAULT_WINDOW (86400 * UINT64_C (1000000000))

#define ANY_DEVICE UINT32_MAX

enum fault_action {
  FAULT_ERROR,
  FAULT_DELAY,
  FAULT_FLIP,
  FAULT_ZERO,
  FAULT_STALE,
  FAULT_HANG,
  FAULT_DISCONNECT,
  NR_FAULT_ACTIONS
};

struct zone_span {
  uint64_t first, last;
};

/* What the text of a rule says. */
struct fault_spec {
  char name[MAX_FAULT_NAME + 1]; /* or "" */
  uint32_t device;               /* number, or ANY_DEVICE */

  unsigned operations; /* 1 << enum operation, each */
  uint64_t start, end; /* bytes; end is 0 where there is no range */
  unsigned nr_zones;   /* spans; 0 where there are no zones */
  struct zone_span *zones;

  uint64_t from_ns, for_ns; /* from=, for=; for_ns 0 has no end */
  uint64_t after, every;
  uint32_t rate;
  uint64_t count; /* 0: any number */

  enum fault_action action;
  int error; /* positive */
  struct distribution *delay[NR_OPERATIONS];
};

/* Parse a rule.  Returns 0 with *r, which fault_spec_clear frees, -ENOMEM, or
 * -EINVAL with *why: the word that is wrong, and what is allowed.
 */
int fault_spec_parse (const char *text, struct fault_spec *r,
                      struct message *why);
void fault_spec_clear (struct fault_spec *r);

/* The text of a rule, with its words in the order above, to be freed; NULL if
 * there is no memory.  Words that change nothing are left out.
 */
char *fault_spec_format (const struct fault_spec *r);

/* Does a request touch the rule's bytes or zones?  All do where the rule has
 * none; none does without an offset (COUNT 0, as a flush), or, where the rule
 * has zones, on a device that has none (ZONE_SIZE 0).
 */
bool fault_spec_touches (const struct fault_spec *r, uint64_t offset,
                         uint64_t count, uint64_t zone_size);

#endif /* NULLBLK_FAULTRULE_INTERNAL_H */
