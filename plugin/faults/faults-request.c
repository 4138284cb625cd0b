/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fault rules meet a request: which of them hit it, the verdict, and how the
 * verdict is obeyed; see faults.h.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "faultactions-internal.h"

/* Does a rule hit a request?  What is asked first and what last, and which
 * counters count it, is promised in faults.h.  The lock is held.
 */
static bool
hits (struct fault_rule *rule, const struct io_info *r)
{
  const struct fault_spec *spec = &rule->shared->spec;
  const uint64_t age = r->arrival > rule->added ? r->arrival - rule->added : 0;

  if ((spec->operations & 1U << r->op) == 0 ||
      !fault_spec_touches (spec, r->offset, r->count, r->zone_size))
    return false;
  rule->evaluated++;
  if (age < spec->from_ns ||
      (spec->for_ns != 0 && age - spec->from_ns >= spec->for_ns))
    return false;
  if (rule->passed < spec->after) {
    rule->passed++;
    return false;
  }
  if (++rule->since_every < spec->every)
    return false;
  rule->since_every = 0;
  if (spec->rate < PARTS_PER_WHOLE &&
      random_next (&rule->rates) % PARTS_PER_WHOLE >= spec->rate)
    return false;
  if (spec->count != 0 && rule->count_used == spec->count)
    return false;
  rule->count_used++;
  rule->hits++;
  return true;
}

static void
keep (struct fault_verdict *v, struct fault_rule *rule)
{
  atomic_fetch_add (&rule->references, 1);
  v->kept[v->nr_kept++] = rule;
}

/* The lock is held. */
static void
act (struct fault_rule *rule, enum operation op, struct fault_verdict *v)
{
  const struct fault_action_row *action = fault_action_of (rule);

  if (fault_is_kept (rule))
    keep (v, rule);
  v->corrupts |= action->corrupt != NULL;
  v->hangs |= action->wait == WAIT_BEFORE;
  v->disconnects |= action->disconnects;
  if (action->hit != NULL)
    action->hit (rule, op, v);
}

void
faults_judge (struct faults *f, const struct io_info *r,
              struct fault_verdict *v)
{
  uint32_t i, n;

  memset (v, 0, sizeof *v);
  lock (&f->lock);
  n = f->count;
  for (i = 0; i < n; i++) {
    if (hits (f->rules[i], r))
      act (f->rules[i], r->op, v);
  }
  unlock (&f->lock);
  if (v->disconnects && v->error == 0)
    v->error = -ESHUTDOWN;
}

void
faults_done (struct fault_verdict *v)
{
  uint32_t i;

  for (i = 0; i < v->nr_kept; i++)
    fault_rule_unref (v->kept[i]);
}

/* Are all rules deleted by which a request hangs? */
static bool
is_released (const struct fault_verdict *v)
{
  uint32_t i;

  for (i = 0; i < v->nr_kept; i++) {
    if (fault_rule_hangs (v->kept[i]) && !atomic_load (&v->kept[i]->deleted))
      return false;
  }
  return true;
}

/* A thread that deletes a rule, or cuts power, calls faults_wake after that: so
 * a request that hangs either sees the change here, or is waiting by then and
 * is woken.
 */
int
faults_hang (struct faults *f, const struct fault_verdict *v,
             const struct wait_ops *wait,
             bool (*is_needless) (const void *opaque), const void *opaque)
{
  bool released = is_released (v), is_over = is_needless (opaque);
  const uint64_t began = clock_now ();
  struct timespec until;
  uint64_t moment, slice;
  int r;

  while (!released && !is_over) {
    slice = wait_slice (wait, clock_now () - began);
    r = wait->sleep_for (wait->opaque, 0);
    if (r < 0)
      return r;
    moment = moment_after (clock_now (), slice);
    until.tv_sec = (time_t) (moment / NSEC_PER_SEC);
    until.tv_nsec = (long) (moment % NSEC_PER_SEC);
    pthread_mutex_lock (&f->hang_lock);
    while (!(released = is_released (v)) && !(is_over = is_needless (opaque)) &&
           pthread_cond_timedwait (&f->release, &f->hang_lock, &until) !=
               ETIMEDOUT)
      ;
    pthread_mutex_unlock (&f->hang_lock);
  }
  return released ? 0 : -ESHUTDOWN;
}

static void
unlist (struct faults *f, struct fault_parked *h)
{
  if (h->link == NULL)
    return;
  *h->link = h->next;
  if (h->next != NULL)
    h->next->link = h->link;
  else
    f->last_parked = h->link;
  h->link = NULL;
}

/* H is in the list of requests that hang.  hang_lock is held. */
static void
wake_if_over (struct faults *f, struct fault_parked *h)
{
  if (!is_released (h->verdict) && !h->is_needless (h->opaque))
    return;
  unlist (f, h);
  h->woken (h);
}

void
faults_park (struct faults *f, struct fault_parked *h)
{
  pthread_mutex_lock (&f->hang_lock);
  h->next = NULL;
  h->link = f->last_parked;
  *f->last_parked = h;
  f->last_parked = &h->next;
  wake_if_over (f, h);
  pthread_mutex_unlock (&f->hang_lock);
}

void
faults_forget (struct faults *f, struct fault_parked *h)
{
  pthread_mutex_lock (&f->hang_lock);
  unlist (f, h);
  pthread_mutex_unlock (&f->hang_lock);
}

void
faults_wake (struct faults *f)
{
  struct fault_parked *h, *next;

  pthread_mutex_lock (&f->hang_lock);
  pthread_cond_broadcast (&f->release);
  for (h = f->parked; h != NULL; h = next) {
    next = h->next;
    wake_if_over (f, h);
  }
  pthread_mutex_unlock (&f->hang_lock);
}

void
faults_corrupt (const struct fault_verdict *v, const struct io_info *r,
                void *buf, uint32_t block_size)
{
  const struct fault_action_row *action;
  const struct fault_rule *rule;
  uint64_t at;
  uint32_t i;

  for (i = 0; i < v->nr_kept; i++) {
    rule = v->kept[i];
    action = fault_action_of (rule);
    if (action->corrupt == NULL)
      continue;
    for (at = 0; at < r->count; at += block_size) {
      if (fault_spec_touches (&rule->shared->spec, r->offset + at, block_size,
                              r->zone_size))
        action->corrupt (rule, r->op, r->offset + at, (uint8_t *) buf + at,
                         block_size);
    }
  }
}
