/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What fault rules do to a request: which of them hit it, the verdict, and what
 * that asks for; see faults.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "faults-internal.h"

/* In the order that faults.h promises.  The lock is held. */
static bool
hits (struct fault *fault, const struct fault_request *r)
{
  const struct fault_rule *rule = &fault->shared->rule;
  const uint64_t age =
      r->arrival > fault->added ? r->arrival - fault->added : 0;

  if ((rule->operations & 1U << r->op) == 0 ||
      !fault_rule_touches (rule, r->offset, r->count, r->zone_size))
    return false;
  fault->evaluated++;
  if (age < rule->from ||
      (rule->length != 0 && age - rule->from >= rule->length))
    return false;
  if (fault->passed < rule->after) {
    fault->passed++;
    return false;
  }
  if (++fault->turn < rule->every)
    return false;
  fault->turn = 0;
  if (rule->rate < ALL_REQUESTS &&
      random_next (&fault->rates) % ALL_REQUESTS >= rule->rate)
    return false;
  if (rule->count != 0 && fault->done == rule->count)
    return false;
  fault->done++;
  fault->hits++;
  return true;
}

static void
hold (struct fault_verdict *v, struct fault *fault)
{
  atomic_fetch_add (&fault->references, 1);
  v->held[v->nr_held++] = fault;
}

/* The lock is held. */
static void
act (struct fault *fault, enum operation op, struct fault_verdict *v)
{
  struct distribution *delay;

  switch (fault->shared->rule.action) {
  case FAULT_ERROR:
    if (v->error == 0)
      v->error = -fault->shared->rule.error;
    break;
  case FAULT_DELAY:
    delay = fault->shared->rule.delay[op];
    if (delay != NULL)
      v->delay += distribution_draw (delay, random_next (&fault->delays), NULL);
    break;
  case FAULT_FLIP:
  case FAULT_ZERO:
    v->corrupts = true;
    hold (v, fault);
    break;
  case FAULT_STALE:
    v->lose = true;
    break;
  case FAULT_HANG:
    v->hangs = true;
    hold (v, fault);
    break;
  case FAULT_DISCONNECT:
    v->disconnect = true;
    break;
  case NR_FAULT_ACTIONS:
    abort ();
  }
}

void
faults_judge (struct faults *f, const struct fault_request *r,
              struct fault_verdict *v)
{
  struct fault *fault;

  memset (v, 0, sizeof *v);
  lock (&f->lock);
  for (fault = f->first; fault != NULL; fault = fault->next) {
    if (hits (fault, r))
      act (fault, r->op, v);
  }
  unlock (&f->lock);
  if (v->disconnect && v->error == 0)
    v->error = -ESHUTDOWN;
}

void
faults_done (struct fault_verdict *v)
{
  uint32_t i;

  for (i = 0; i < v->nr_held; i++)
    fault_unref (v->held[i]);
}

/* Are all rules deleted that it hangs by? */
static bool
is_released (const struct fault_verdict *v)
{
  uint32_t i;

  for (i = 0; i < v->nr_held; i++) {
    if (v->held[i]->shared->rule.action == FAULT_HANG &&
        !atomic_load (&v->held[i]->deleted))
      return false;
  }
  return true;
}

/* What changes something for those that hang does so before it wakes them, so
 * that they see it or are waiting by then.
 */
int
faults_hang (struct faults *f, const struct fault_verdict *v,
             const struct nap *nap, bool (*over) (const void *opaque),
             const void *opaque)
{
  bool released = is_released (v), is_over = over (opaque);
  const uint64_t began = clock_now ();
  struct timespec until;
  uint64_t moment;
  int r;

  while (!released && !is_over) {
    r = nap->nap (nap->opaque, 0);
    if (r < 0)
      return r;
    moment = clock_now ();
    moment = moment_after (moment, nap_slice (nap, moment - began));
    until.tv_sec = (time_t) (moment / NSEC_PER_SEC);
    until.tv_nsec = (long) (moment % NSEC_PER_SEC);
    pthread_mutex_lock (&f->hang_lock);
    while (!(released = is_released (v)) && !(is_over = over (opaque)) &&
           pthread_cond_timedwait (&f->release, &f->hang_lock, &until) !=
               ETIMEDOUT)
      ;
    pthread_mutex_unlock (&f->hang_lock);
  }
  return released ? 0 : -ESHUTDOWN;
}

void
faults_wake (struct faults *f)
{
  pthread_mutex_lock (&f->hang_lock);
  pthread_cond_broadcast (&f->release);
  pthread_mutex_unlock (&f->hang_lock);
}

/* Of the bits of a block that are read the even ones, of those that are written
 * the odd ones: neither undoes the other.
 */
static void
flip (const struct fault *fault, enum operation op, uint64_t offset,
      uint8_t *block, uint32_t block_size)
{
  const uint64_t random = random_mix (fault->key + random_mix (offset));
  const uint64_t bit =
      random % (UINT64_C (4) * block_size) * 2 + (op == OP_WRITE);

  block[bit / 8] ^= 1U << bit % 8;
}

void
faults_corrupt (const struct fault_verdict *v, const struct fault_request *r,
                void *buf, uint32_t block_size)
{
  const struct fault *fault;
  uint64_t at;
  uint32_t i;

  for (i = 0; i < v->nr_held; i++) {
    fault = v->held[i];
    if (fault->shared->rule.action == FAULT_HANG)
      continue;
    for (at = 0; at < r->count; at += block_size) {
      uint8_t *block = (uint8_t *) buf + at;

      if (!fault_rule_touches (&fault->shared->rule, r->offset + at, block_size,
                               r->zone_size))
        continue;
      if (fault->shared->rule.action == FAULT_ZERO)
        memset (block, 0, block_size);
      else
        flip (fault, r->op, r->offset + at, block, block_size);
    }
  }
}
