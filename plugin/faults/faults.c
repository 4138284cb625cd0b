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
shared_unref (struct shared_spec *shared)
{
  if (atomic_fetch_sub (&shared->references, 1) != 1)
    return;
  fault_spec_clear (&shared->spec);
  free (shared->text);
  free (shared);
}

static struct shared_spec *
shared_ref (struct shared_spec *shared)
{
  atomic_fetch_add (&shared->references, 1);
  return shared;
}

/* A rule that takes over one reference to SHARED; NULL if there is no memory.
 */
static struct fault_rule *
new_rule (struct shared_spec *shared)
{
  struct fault_rule *rule = calloc (1, sizeof *rule);

  if (rule == NULL)
    return NULL;
  rule->shared = shared;
  rule->last = rule;
  atomic_init (&rule->references, 1);
  atomic_init (&rule->deleted, false);
  return rule;
}

int
fault_rule_new (const char *text, struct fault_rule **r, struct message *why)
{
  struct shared_spec *shared = calloc (1, sizeof *shared);
  int err;

  if (shared == NULL)
    return -ENOMEM;
  atomic_init (&shared->references, 1);
  err = fault_spec_parse (text, &shared->spec, why);
  if (err == 0) {
    shared->text = fault_spec_format (&shared->spec);
    *r = shared->text != NULL ? new_rule (shared) : NULL;
    if (*r == NULL)
      err = -ENOMEM;
  }
  if (err < 0)
    shared_unref (shared);
  return err;
}

/* The first of a list knows the last. */
void
fault_rule_append (struct fault_rule **rules, struct fault_rule *rule)
{
  if (*rules == NULL)
    *rules = rule;
  else
    (*rules)->last->next = rule;
  (*rules)->last = rule;
}

void
fault_rule_destroy (struct fault_rule *rule)
{
  shared_unref (rule->shared);
  free (rule);
}

void
fault_rule_free (struct fault_rule *rules)
{
  struct fault_rule *rule;

  while ((rule = rules) != NULL) {
    rules = rule->next;
    fault_rule_unref (rule);
  }
}

const struct fault_rule *
fault_rule_next (const struct fault_rule *rule)
{
  return rule->next;
}

const char *
fault_rule_text (const struct fault_rule *rule)
{
  return rule->shared->text;
}

bool
fault_rule_is_for (const struct fault_rule *rule, uint32_t device)
{
  return rule->shared->spec.device == ANY_DEVICE ||
         rule->shared->spec.device == device;
}

bool
fault_rule_disconnects (const struct fault_rule *rule)
{
  return fault_action_of (rule)->disconnects;
}

bool
fault_rule_hangs (const struct fault_rule *rule)
{
  return fault_action_of (rule)->wait == WAIT_BEFORE;
}

bool
fault_rule_waits (const struct fault_rule *rule)
{
  return fault_action_of (rule)->wait != NO_WAIT;
}

int
fault_rule_copy (const struct fault_rule *rules, uint32_t device,
                 struct fault_rule **copy)
{
  struct fault_rule *rule;

  *copy = NULL;
  for (; rules != NULL; rules = rules->next) {
    if (!fault_rule_is_for (rules, device))
      continue;
    rule = new_rule (shared_ref (rules->shared));
    if (rule == NULL) {
      shared_unref (rules->shared);
      fault_rule_free (*copy);
      return -ENOMEM;
    }
    fault_rule_append (copy, rule);
  }
  return 0;
}

/*---------------------------------------------------------------------*/
/* The list */

void
fault_rule_begin_draws (const struct faults *f, struct fault_rule *rule)
{
  random_init (&rule->rates, f->seed, UINT64_C (3) * rule->id);
  random_init (&rule->delays, f->seed, UINT64_C (3) * rule->id + 1);
  rule->key = random_mix (f->seed + random_mix (rule->id));
}

/* The lock is held, and so is devices.change_lock, as for any change; or F is
 * being made.
 */
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
  f->last_parked = &f->parked;
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&f->release, &attr);
  pthread_condattr_destroy (&attr);
  return 0;
}

void
faults_destroy (struct faults *f)
{
  fault_rule_free (f->first);
  free (f->rules);
  pthread_cond_destroy (&f->release);
  pthread_mutex_destroy (&f->hang_lock);
  pthread_mutex_destroy (&f->lock);
}

/* A rule, and the counts that it had at one moment. */
struct sight {
  struct fault_rule *rule;
  uint64_t evaluated, hits, count_used;
};

/* Returns how many there are, or -ENOMEM. */
static int64_t
look_at_all (struct faults *f, struct sight **r)
{
  struct sight *sight = NULL, *more;
  struct fault_rule *rule;
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
    rule = f->rules[n];
    atomic_fetch_add (&rule->references, 1);
    sight[n] =
        (struct sight){rule, rule->evaluated, rule->hits, rule->count_used};
  }
  unlock (&f->lock);
  *r = sight;
  return n;
}

struct fault_rule *
faults_find (struct faults *f, const char *text)
{
  struct fault_rule *copy = NULL;
  uint32_t i;

  lock (&f->lock);
  for (i = 0; i < f->count; i++) {
    if (strcmp (f->rules[i]->shared->text, text) == 0) {
      copy = new_rule (shared_ref (f->rules[i]->shared));
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
    const struct shared_spec *shared = sight[i].rule->shared;
    const struct fault_info info = {
        .id = sight[i].rule->id,
        .name = shared->spec.name,
        .text = shared->text,
        .evaluated = sight[i].evaluated,
        .hits = sight[i].hits,
        .spent = shared->spec.count != 0 &&
                 sight[i].count_used == shared->spec.count,
    };

    visit (opaque, &info);
    fault_rule_unref (sight[i].rule);
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
    fault_rule_begin_draws (f, f->rules[i]);
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
