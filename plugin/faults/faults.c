/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The fault rules of a device: making them, and the list of them; see faults.h.
 * The list is changed in faults-change.c; what rules do to requests is in
 * faults-request.c.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "faultactions-internal.h"

/* Sets the draws of faults apart from others with the same seed. */
#define FAULTS_SEED UINT64_C (0x6661756c7473)

/*---------------------------------------------------------------------*/
/* One rule */

static void
shared_unref (struct shared_rule *shared)
{
  if (atomic_fetch_sub (&shared->references, 1) != 1)
    return;
  fault_rule_clear (&shared->rule);
  free (shared->text);
  free (shared);
}

static struct shared_rule *
shared_ref (struct shared_rule *shared)
{
  atomic_fetch_add (&shared->references, 1);
  return shared;
}

/* A rule that takes over one reference to SHARED; NULL if there is no memory.
 */
static struct fault *
new_fault (struct shared_rule *shared)
{
  struct fault *fault = calloc (1, sizeof *fault);

  if (fault == NULL)
    return NULL;
  fault->shared = shared;
  fault->last = fault;
  atomic_init (&fault->references, 1);
  atomic_init (&fault->deleted, false);
  return fault;
}

int
fault_new (const char *text, struct fault **r, struct message *why)
{
  struct shared_rule *shared = calloc (1, sizeof *shared);
  int err;

  if (shared == NULL)
    return -ENOMEM;
  atomic_init (&shared->references, 1);
  err = fault_rule_parse (text, &shared->rule, why);
  if (err == 0) {
    shared->text = fault_rule_format (&shared->rule);
    *r = shared->text != NULL ? new_fault (shared) : NULL;
    if (*r == NULL)
      err = -ENOMEM;
  }
  if (err < 0)
    shared_unref (shared);
  return err;
}

/* The first of a chain knows the last. */
void
fault_append (struct fault **chain, struct fault *fault)
{
  if (*chain == NULL)
    *chain = fault;
  else
    (*chain)->last->next = fault;
  (*chain)->last = fault;
}

void
fault_destroy (struct fault *fault)
{
  shared_unref (fault->shared);
  free (fault);
}

void
fault_free (struct fault *chain)
{
  struct fault *fault;

  while ((fault = chain) != NULL) {
    chain = fault->next;
    fault_unref (fault);
  }
}

const struct fault *
fault_next (const struct fault *fault)
{
  return fault->next;
}

const char *
fault_text (const struct fault *fault)
{
  return fault->shared->text;
}

bool
fault_is_for (const struct fault *fault, uint32_t device)
{
  return fault->shared->rule.device == ANY_DEVICE ||
         fault->shared->rule.device == device;
}

bool
fault_disconnects (const struct fault *fault)
{
  return fault_action_of (fault)->disconnects;
}

bool
fault_hangs (const struct fault *fault)
{
  return fault_action_of (fault)->wait == WAIT_BEFORE;
}

bool
fault_waits (const struct fault *fault)
{
  return fault_action_of (fault)->wait != NO_WAIT;
}

int
fault_copy (const struct fault *chain, uint32_t device, struct fault **copy)
{
  struct fault *fault;

  *copy = NULL;
  for (; chain != NULL; chain = chain->next) {
    if (!fault_is_for (chain, device))
      continue;
    fault = new_fault (shared_ref (chain->shared));
    if (fault == NULL) {
      shared_unref (chain->shared);
      fault_free (*copy);
      return -ENOMEM;
    }
    fault_append (copy, fault);
  }
  return 0;
}

/*---------------------------------------------------------------------*/
/* The list */

void
fault_begin_draws (const struct faults *f, struct fault *fault)
{
  random_init (&fault->rates, f->seed, UINT64_C (3) * fault->id);
  random_init (&fault->delays, f->seed, UINT64_C (3) * fault->id + 1);
  fault->key = random_mix (f->seed + random_mix (fault->id));
}

/* The lock is held, and so is devices.change_lock, as for any change. */
static void
take_seed (struct faults *f, uint64_t seed)
{
  struct random random;

  random_init (&random, seed ^ FAULTS_SEED, f->device);
  f->seed = random_next (&random);
}

int
faults_init (struct faults *f, uint64_t seed, uint32_t device)
{
  pthread_condattr_t attr;

  memset (f, 0, sizeof *f);
  f->device = device;
  take_seed (f, seed);
  if (pthread_mutex_init (&f->lock, NULL) != 0)
    return -ENOMEM;
  pthread_mutex_init (&f->hang_lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&f->release, &attr);
  pthread_condattr_destroy (&attr);
  return 0;
}

void
faults_destroy (struct faults *f)
{
  fault_free (f->first);
  free (f->rules);
  pthread_cond_destroy (&f->release);
  pthread_mutex_destroy (&f->hang_lock);
  pthread_mutex_destroy (&f->lock);
}

/* A rule, and the counts that it had at one moment. */
struct sight {
  struct fault *fault;
  uint64_t evaluated, hits, done;
};

/* Returns how many there are, or -ENOMEM. */
static int64_t
look_at_all (struct faults *f, struct sight **r)
{
  struct sight *sight = NULL, *more;
  struct fault *fault;
  uint32_t room = 0, n;

  for (;;) {
    lock (&f->lock);
    if (f->count <= room)
      break;
    room = f->count;
    unlock (&f->lock);
    more = realloc (sight, room * sizeof *sight);
    if (more == NULL) {
      free (sight);
      return -ENOMEM;
    }
    sight = more;
  }
  for (n = 0; n < f->count; n++) {
    fault = f->rules[n];
    atomic_fetch_add (&fault->references, 1);
    sight[n] =
        (struct sight){fault, fault->evaluated, fault->hits, fault->done};
  }
  unlock (&f->lock);
  *r = sight;
  return n;
}

struct fault *
faults_find (struct faults *f, const char *text)
{
  struct fault *copy = NULL;
  uint32_t i;

  lock (&f->lock);
  for (i = 0; i < f->count; i++) {
    if (strcmp (f->rules[i]->shared->text, text) == 0) {
      copy = new_fault (shared_ref (f->rules[i]->shared));
      break;
    }
  }
  unlock (&f->lock);
  return copy;
}

int
faults_each (struct faults *f,
             void (*visit) (void *opaque, const struct fault_info *info),
             void *opaque)
{
  struct sight *sight;
  int64_t n, i;

  n = look_at_all (f, &sight);
  if (n < 0)
    return -ENOMEM;
  for (i = 0; i < n; i++) {
    const struct shared_rule *shared = sight[i].fault->shared;
    const struct fault_info info = {
        .id = sight[i].fault->id,
        .name = shared->rule.name,
        .text = shared->text,
        .evaluated = sight[i].evaluated,
        .hits = sight[i].hits,
        .spent = shared->rule.count != 0 && sight[i].done == shared->rule.count,
    };

    visit (opaque, &info);
    fault_unref (sight[i].fault);
  }
  free (sight);
  return 0;
}

void
faults_seed (struct faults *f, uint64_t seed)
{
  uint32_t i;

  lock (&f->lock);
  take_seed (f, seed);
  for (i = 0; i < f->count; i++)
    fault_begin_draws (f, f->rules[i]);
  unlock (&f->lock);
}

void
faults_reset_counters (struct faults *f)
{
  uint32_t i;

  lock (&f->lock);
  for (i = 0; i < f->count; i++)
    f->rules[i]->evaluated = f->rules[i]->hits = 0;
  unlock (&f->lock);
}
