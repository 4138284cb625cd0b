/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The fault rules of a device (their language is in faultrule-internal.h):
 * which of them hit a request, and what the verdict on the request is.
 *
 *     faults --> fault 1 --> fault 2 --> fault 5      in the order in which
 *                  ^ rule, counters, draws            they were added; 3 and 4
 *                  |                                  were deleted
 *     verdict: error, delay, is_skipped, disconnects,
 *              kept[] the rules that corrupt (but corrupt=stale) or hang, kept
 *                     until faults_done, deleted or not
 *
 * Every rule is asked about a request, in that order, and each counts by itself
 * whatever the others do:
 *
 *     op, range, zones     no: nothing.       yes: it is evaluated
 *     from, for            arrived before `from` or after `for`: nothing
 *     after                the first N: counted, nothing else
 *     every                N-1 of N: counted, nothing else
 *     rate                 a number is drawn: more than the share: nothing
 *     count                N hits: nothing.   else: the rule hits the request
 *
 * So other rules do not change what a rule hits; and one connection that
 * repeats its requests has the same ones hit for the same seed, unless from= or
 * for= make that depend on time.  Of several rules that hit one request, the
 * first error counts, delays add up, all corruption is done, and the request
 * waits for all that hang.
 *
 * The lock guards the array of the rules that requests ask, and the rules'
 * counters and draws; no other lock is taken while it is held.  Where there are
 * rules every request of the device takes it, for some dozens of nanoseconds a
 * rule; where there are no rules, a request looks at their number and does not
 * take the lock.  Changes come from one thread at a time (control-change.c,
 * under devices.change_lock), which alone touches the list that is drawn above:
 * a change is worked out without the lock, and takes the lock only to put a new
 * array in the place of the old one.  So a request holds it for one look at
 * each rule, and a change for some words.
 */

#ifndef NULLBLK_FAULTS_H
#define NULLBLK_FAULTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "badblocks.h"
#include "common/common.h"

/* The most rules of a device that a verdict has to keep: those that corrupt by
 * flip or zero, or hang.
 */
#define MAX_KEPT 16

struct fault_rule;

struct faults {
  /* How many rules there are, and how many of them make requests wait; changed
   * under the lock.
   */
  _Atomic uint32_t count;
  _Atomic uint32_t nr_wait_rules;

  pthread_mutex_t lock;
  struct fault_rule **rules; /* as many as COUNT, in the order of the list */
  struct fault_rule *first;  /* the list, which is the changer's */
  uint32_t device;           /* number */
  uint32_t last_id;          /* numbers begin at 1 and are not used again */
  uint64_t seed;

  /* Requests that hang wait for `release`, with hang_lock.  Requests that hang
   * without a thread are in a list, in the order in which they came; hang_lock
   * guards the list.
   */
  pthread_mutex_t hang_lock;
  pthread_cond_t release;
  struct fault_parked *parked, **last_parked;
};

/* A request, or one of several zone commands of a request. */
struct io_info {
  enum operation op;
  uint64_t offset;    /* bytes; for a zone command the zone's offset */
  uint64_t count;     /* bytes; 0 for a flush, the zone's size for a zone
                         command */
  uint64_t arrival;   /* a moment of the monotonic clock */
  uint64_t zone_size; /* bytes; 0 for a device without zones */
};

struct fault_verdict {
  int error;        /* 0, or a negative errno to fail with */
  uint64_t delay;   /* nanoseconds on top of the request's own time */
  bool is_skipped;  /* acknowledge the change, and do nothing */
  bool disconnects; /* drop the client; then error is -ESHUTDOWN, or a rule's */
  bool corrupts;    /* faults_corrupt has something to do */
  bool hangs;       /* faults_hang has something to wait for */
  uint32_t nr_kept;
  struct fault_rule *kept[MAX_KEPT];
};

/* Begin without rules, for device number DEVICE.  SEED and DEVICE decide what
 * is drawn.  Returns 0 or a negative errno.
 */
int faults_init (struct faults *f, uint64_t seed, uint32_t device);

/* Free all rules; no request is in service. */
void faults_destroy (struct faults *f);

/* Make a rule of TEXT.  Returns 0 with *r, -ENOMEM, or -EINVAL with *why. */
int fault_rule_new (const char *text, struct fault_rule **r,
                    struct message *why);

/* Put a new rule at the end of a list of new rules; an empty list is NULL. */
void fault_rule_append (struct fault_rule **rules, struct fault_rule *rule);

/* Free a list of rules, NULL if empty. */
void fault_rule_free (struct fault_rule *rules);

/* The next rule of a list, or NULL. */
const struct fault_rule *fault_rule_next (const struct fault_rule *rule);

/* The rule as a text that fault_rule_new takes. */
const char *fault_rule_text (const struct fault_rule *rule);

/* Is the rule for this device, or for any? */
bool fault_rule_is_for (const struct fault_rule *rule, uint32_t device);

/* Does the rule drop clients?  Not every nbdkit can. */
bool fault_rule_disconnects (const struct fault_rule *rule);

/* Does the rule make requests wait? */
bool fault_rule_waits (const struct fault_rule *rule);

/* Does the rule make requests wait before anything is done for them? */
bool fault_rule_hangs (const struct fault_rule *rule);

/* Returns the words of the I-th action ("corrupt=flip", or "error=" where a
 * value follows), for a test that compares them with the manual.  NULL past the
 * last.
 */
const char *fault_action_text (size_t i);

/* Copy the rules of a list that are for this device.  A copy counts and draws
 * for itself, and shares the rest with its original.  Returns 0 or -ENOMEM.
 */
int fault_rule_copy (const struct fault_rule *rules, uint32_t device,
                     struct fault_rule **copy);

/* Delete rules and add a list of new ones (NULL is none), all or nothing.
 * Returns 0; -ENOMEM; or -EINVAL with *why if WHICH names no rule, a name is in
 * use, a rule is for another device, or a verdict would have to keep more than
 * MAX_KEPT rules.  WHICH is NULL, or says what to delete:
 *
 *     NUMBER|NAME[,...]    these
 *     all                  all that there are
 *     others               all that are not in NEW_RULES, word for word; rules
 *                          that are in NEW_RULES stay as they are and are not
 *                          added once more, and the list has the order of
 *                          NEW_RULES
 *
 * A request that hangs by a rule goes on when the rule is deleted.  The times
 * of from= and for= of new rules count from NOW.  On success the list belongs
 * to F.
 */
int faults_change (struct faults *f, const char *which,
                   struct fault_rule *new_rules, uint64_t now,
                   struct message *why);

/* Returns a new rule like the one in the list whose text is TEXT.  It shares
 * that one's parsed form, so that the file of a delay=file: is not read again.
 * NULL if there is no such rule, or no memory.
 */
struct fault_rule *faults_find (struct faults *f, const char *text);

/* Begin all draws anew, with another seed. */
void faults_seed (struct faults *f, uint64_t seed);

/* Call VISIT for each rule, in order, with its counters as they all were at one
 * moment.  No lock is held while VISIT is called.  Returns 0 or -ENOMEM.
 */
struct fault_info {
  uint32_t id;
  const char *name;   /* or "" */
  const char *text;   /* in a form that fault_rule_new takes, name and all */
  uint64_t evaluated; /* requests of its op, range and zones */
  uint64_t hits;
  bool spent; /* it will hit no more: count= is used up */
};
int faults_each (struct faults *f,
                 void (*visit) (void *opaque, const struct fault_info *info),
                 void *opaque);

/* Set the counters that are shown to 0.  The counts of after=, every= and
 * count= go on.
 */
void faults_reset_counters (struct faults *f);

/* Are there any rules?  A request asks this first. */
static inline bool
faults_any (const struct faults *f)
{
  return atomic_load_explicit (&f->count, memory_order_relaxed) != 0;
}

/* Does any rule make requests wait? */
static inline bool
faults_any_waits (const struct faults *f)
{
  return atomic_load_explicit (&f->nr_wait_rules, memory_order_relaxed) != 0;
}

/* Ask all rules about a request. */
void faults_judge (struct faults *f, const struct io_info *r,
                   struct fault_verdict *v);

/* End a verdict: release the rules that it keeps.  To be called for each. */
void faults_done (struct fault_verdict *v);

/* Wait, before anything is done, until all rules that V hangs by are deleted,
 * or IS_NEEDLESS says that the request no longer needs to be done.  Must be
 * called with no lock held.  Returns 0, -ESHUTDOWN because of IS_NEEDLESS, or
 * what WAIT failed with.
 */
int faults_hang (struct faults *f, const struct fault_verdict *v,
                 const struct wait_ops *wait,
                 bool (*is_needless) (const void *opaque), const void *opaque);

/* A request that hangs without a thread. */
struct fault_parked {
  const struct fault_verdict *verdict;
  bool (*is_needless) (const void *opaque);
  const void *opaque;
  void (*woken) (struct fault_parked *h);

  /* Guarded by hang_lock.  link is NULL where it is not in the list. */
  struct fault_parked *next, **link;
};

/* Put H into the list of requests that hang.  h->woken is called once, by any
 * thread, with hang_lock held, as soon as all rules that h->verdict hangs by
 * are deleted, or h->is_needless returns true; perhaps before this returns.  *H
 * stays where it is until faults_forget, after which h->woken is not called.
 */
void faults_park (struct faults *f, struct fault_parked *h);
void faults_forget (struct faults *f, struct fault_parked *h);

/* Have the requests that hang ask is_needless again. */
void faults_wake (struct faults *f);

/* Corrupt BUF, which holds the data of R, a read or a write of whole blocks, by
 * the rules that V keeps: of a read after its data has come, of a write before
 * its data is stored.  A client's data must not change in its own buffer, so
 * for a write BUF is a copy.
 *
 * Every block that the rule's range touches is hit.  corrupt=zero makes it
 * zero.  corrupt=flip flips one bit of it, which depends on nothing but the
 * seed, the numbers of the device and of the rule, the offset and size of the
 * block, and whether it is read or written.  So a block that is read twice, or
 * as part of another request, is wrong in the same way, and a rule that flips a
 * block's bit on write does not flip the same bit on read.
 */
void faults_corrupt (const struct fault_verdict *v, const struct io_info *r,
                     void *buf, uint32_t block_size);

#endif /* NULLBLK_FAULTS_H */
