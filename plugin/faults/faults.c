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
static struct fault_entry *
new_fault (struct shared_rule *shared)
{
  struct fault_entry *entry = calloc (1, sizeof *entry);

  if (entry == NULL)
    return NULL;
  entry->shared = shared;
  entry->last = entry;
  atomic_init (&entry->references, 1);
  atomic_init (&entry->deleted, false);
  return entry;
}

int
fault_entry_new (const char *text, struct fault_entry **r, struct message *why)
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

/* The first of a list knows the last. */
void
fault_entry_append (struct fault_entry **entries, struct fault_entry *entry)
{
  if (*entries == NULL)
    *entries = entry;
  else
    (*entries)->last->next = entry;
  (*entries)->last = entry;
}

void
fault_entry_destroy (struct fault_entry *entry)
{
  shared_unref (entry->shared);
  free (entry);
}

void
fault_entry_free (struct fault_entry *entries)
{
  struct fault_entry *entry;

  while ((entry = entries) != NULL) {
    entries = entry->next;
    fault_entry_unref (entry);
  }
}

const struct fault_entry *
fault_entry_next (const struct fault_entry *entry)
{
  return entry->next;
}

const char *
fault_entry_text (const struct fault_entry *entry)
{
  return entry->shared->text;
}

bool
fault_entry_is_for (const struct fault_entry *entry, uint32_t device)
{
  return entry->shared->rule.device == ANY_DEVICE ||
         entry->shared->rule.device == device;
}

bool
fault_entry_disconnects (const struct fault_entry *entry)
{
  return fault_action_of (entry)->disconnects;
}

bool
fault_entry_hangs (const struct fault_entry *entry)
{
  return fault_action_of (entry)->wait == WAIT_BEFORE;
}

bool
fault_entry_waits (const struct fault_entry *entry)
{
  return fault_action_of (entry)->wait != NO_WAIT;
}

int
fault_entry_copy (const struct fault_entry *entries, uint32_t device,
                  struct fault_entry **copy)
{
  struct fault_entry *entry;

  *copy = NULL;
  for (; entries != NULL; entries = entries->next) {
    if (!fault_entry_is_for (entries, device))
      continue;
    entry = new_fault (shared_ref (entries->shared));
    if (entry == NULL) {
      shared_unref (entries->shared);
      fault_entry_free (*copy);
      return -ENOMEM;
    }
    fault_entry_append (copy, entry);
  }
  return 0;
}

/*---------------------------------------------------------------------*/
/* The list */

void
fault_entry_begin_draws (const struct faults *f, struct fault_entry *entry)
{
  random_init (&entry->rates, f->seed, UINT64_C (3) * entry->id);
  random_init (&entry->delays, f->seed, UINT64_C (3) * entry->id + 1);
  entry->key = random_mix (f->seed + random_mix (entry->id));
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
  fault_entry_free (f->first);
  free (f->rules);
  pthread_cond_destroy (&f->release);
  pthread_mutex_destroy (&f->hang_lock);
  pthread_mutex_destroy (&f->lock);
}

/* A rule, and the counts that it had at one moment. */
struct sight {
  struct fault_entry *entry;
  uint64_t evaluated, hits, done;
};

/* Returns how many there are, or -ENOMEM. */
static int64_t
look_at_all (struct faults *f, struct sight **r)
{
  struct sight *sight = NULL, *more;
  struct fault_entry *entry;
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
    entry = f->rules[n];
    atomic_fetch_add (&entry->references, 1);
    sight[n] =
        (struct sight){entry, entry->evaluated, entry->hits, entry->done};
  }
  unlock (&f->lock);
  *r = sight;
  return n;
}

struct fault_entry *
faults_find (struct faults *f, const char *text)
{
  struct fault_entry *copy = NULL;
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
    const struct shared_rule *shared = sight[i].entry->shared;
    const struct fault_info info = {
        .id = sight[i].entry->id,
        .name = shared->rule.name,
        .text = shared->text,
        .evaluated = sight[i].evaluated,
        .hits = sight[i].hits,
        .spent = shared->rule.count != 0 && sight[i].done == shared->rule.count,
    };

    visit (opaque, &info);
    fault_entry_unref (sight[i].entry);
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
    fault_entry_begin_draws (f, f->rules[i]);
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
