/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The fault rules of a device: making them, and the list of them; see faults.h.
 * What they do to requests is in faults-request.c.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "faults-internal.h"
#include "size.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

/* Sets the draws of faults apart from others with the same seed. */
#define FAULTS_SEED UINT64_C (0x6661756c7473)

/*---------------------------------------------------------------------*/
/* One rule */

int
fault_new (const char *text, struct fault **r, struct message *why)
{
  struct fault *fault = calloc (1, sizeof *fault);
  int err;

  if (fault == NULL)
    return -ENOMEM;
  err = fault_rule_parse (text, &fault->rule, why);
  if (err == 0) {
    fault->text = fault_rule_format (&fault->rule);
    if (fault->text == NULL)
      err = -ENOMEM;
  }
  atomic_init (&fault->references, 1);
  atomic_init (&fault->deleted, false);
  if (err < 0)
    fault_free (fault);
  else
    *r = fault;
  return err;
}

void
fault_append (struct fault **chain, struct fault *fault)
{
  while (*chain != NULL)
    chain = &(*chain)->next;
  *chain = fault;
}

void
fault_destroy (struct fault *fault)
{
  fault_rule_clear (&fault->rule);
  free (fault->text);
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
  return fault->text;
}

bool
fault_is_for (const struct fault *fault, uint32_t device)
{
  return fault->rule.device == ANY_DEVICE || fault->rule.device == device;
}

bool
fault_disconnects (const struct fault *fault)
{
  return fault->rule.action == FAULT_DISCONNECT;
}

bool
fault_hangs (const struct fault *fault)
{
  return fault->rule.action == FAULT_HANG;
}

bool
fault_waits (const struct fault *fault)
{
  return fault_hangs (fault) || fault->rule.action == FAULT_DELAY;
}

/* NULL if there is no memory. */
static struct fault *
copy_one (const struct fault *fault)
{
  struct fault *copy = calloc (1, sizeof *copy);
  unsigned op;

  if (copy == NULL)
    return NULL;
  copy->rule = fault->rule;
  for (op = 0; op < NR_OPERATIONS; op++)
    distribution_ref (copy->rule.delay[op]);
  atomic_init (&copy->references, 1);
  copy->text = strdup (fault->text);
  if (copy->text == NULL) {
    fault_free (copy);
    return NULL;
  }
  return copy;
}

int
fault_copy (const struct fault *chain, uint32_t device, struct fault **copy)
{
  struct fault *fault;

  *copy = NULL;
  for (; chain != NULL; chain = chain->next) {
    if (!fault_is_for (chain, device))
      continue;
    fault = copy_one (chain);
    if (fault == NULL) {
      fault_free (*copy);
      return -ENOMEM;
    }
    fault_append (copy, fault);
  }
  return 0;
}

/* Does its verdict need it? */
static bool
is_held (const struct fault *fault)
{
  const enum fault_action action = fault->rule.action;

  return action == FAULT_FLIP || action == FAULT_ZERO || action == FAULT_HANG;
}

/*---------------------------------------------------------------------*/
/* The list */

/* The draws of a rule begin.  The lock is held. */
static void
begin_draws (const struct faults *f, struct fault *fault)
{
  random_init (&fault->rates, f->seed, UINT64_C (3) * fault->id);
  random_init (&fault->delays, f->seed, UINT64_C (3) * fault->id + 1);
  fault->key = random_mix (f->seed + random_mix (fault->id));
}

/* The lock is held. */
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
  pthread_cond_destroy (&f->release);
  pthread_mutex_destroy (&f->hang_lock);
  pthread_mutex_destroy (&f->lock);
}

static bool
is_named (const struct fault *fault, const char *which, size_t len)
{
  uint64_t id;

  if (number_parse (which, len, &id) == 0)
    return id == fault->id;
  return len > 0 && strlen (fault->rule.name) == len &&
         memcmp (which, fault->rule.name, len) == 0;
}

static struct fault *
find (struct fault *fault, const char *which, size_t len)
{
  while (fault != NULL && !is_named (fault, which, len))
    fault = fault->next;
  return fault;
}

/* The first of this name that is to stay. */
static struct fault *
find_staying (struct fault *fault, const char *name)
{
  while (fault != NULL &&
         (fault->doomed || strcmp (fault->rule.name, name) != 0))
    fault = fault->next;
  return fault;
}

static uint32_t
count (const struct fault *fault)
{
  uint32_t r = 0;

  for (; fault != NULL; fault = fault->next)
    r++;
  return r;
}

static uint32_t
count_held (const struct fault *fault)
{
  uint32_t r = 0;

  for (; fault != NULL; fault = fault->next)
    r += !fault->doomed && is_held (fault);
  return r;
}

static int
check_new (struct faults *f, struct fault *chain, struct message *why)
{
  struct fault *fault;

  if (count_held (f->first) + count_held (chain) > MAX_HELD)
    return refuse (why,
                   "allowed are %d rules with corrupt=flip, corrupt=zero "
                   "or hang on a device",
                   MAX_HELD);
  for (fault = chain; fault != NULL; fault = fault->next) {
    if (!fault_is_for (fault, f->device))
      return refuse (why, "'device=nullb%" PRIu32 "': this is nullb%" PRIu32,
                     fault->rule.device, f->device);
    if (fault->rule.name[0] != '\0' && !fault->doomed &&
        (find_staying (f->first, fault->rule.name) != NULL ||
         find_staying (chain, fault->rule.name) != fault))
      return refuse (why, "'name=%s': there is such a rule", fault->rule.name);
  }
  return 0;
}

/* Those that a list of numbers and names means are to go. */
static int
doom_listed (struct faults *f, const char *list, struct message *why)
{
  struct fault *fault;
  size_t len;

  for (;; list += len + 1) {
    len = strcspn (list, ",");
    fault = find (f->first, list, len);
    if (fault == NULL)
      return refuse (why,
                     "'%.*s': allowed is a rule's number or name, all or "
                     "others",
                     (int) (len < 80 ? len : 80), list);
    fault->doomed = true;
    if (list[len] == '\0')
      return 0;
  }
}

/* A new one that is there already, word for word, is not needed: that one
 * stays.
 */
static void
spare_known (struct faults *f, struct fault *chain)
{
  struct fault *fault;

  for (; chain != NULL; chain = chain->next) {
    for (fault = f->first; fault != NULL; fault = fault->next) {
      if (fault->doomed && strcmp (fault->text, chain->text) == 0) {
        fault->doomed = false;
        chain->doomed = true;
        chain->known = fault;
        break;
      }
    }
  }
}

static int
doom (struct faults *f, const char *which, struct fault *chain,
      struct message *why)
{
  const bool others = which != NULL && strcmp (which, "others") == 0;
  const bool all = others || (which != NULL && strcmp (which, "all") == 0);
  struct fault *fault;

  for (fault = f->first; fault != NULL; fault = fault->next)
    fault->doomed = all;
  if (others)
    spare_known (f, chain);
  return which == NULL || all ? 0 : doom_listed (f, which, why);
}

/* Take those that are to go out of a list, and return them. */
static struct fault *
take_doomed (struct fault **p)
{
  struct fault *doomed = NULL, *fault;

  while ((fault = *p) != NULL) {
    if (!fault->doomed) {
      p = &fault->next;
      continue;
    }
    *p = fault->next;
    fault->next = doomed;
    doomed = fault;
  }
  return doomed;
}

/* The list as the change has it, from its chain: those that are known in the
 * place of those that only say so, which become *spare.
 */
static struct fault *
take_order (struct fault *chain, struct fault **spare)
{
  struct fault *first = NULL, **end = &first, *fault;

  while ((fault = chain) != NULL) {
    chain = fault->next;
    if (fault->known != NULL) {
      fault->next = *spare;
      *spare = fault;
      fault = fault->known;
    }
    *end = fault;
    end = &fault->next;
  }
  *end = NULL;
  return first;
}

struct fault *
faults_find (struct faults *f, const char *text)
{
  struct fault *fault, *copy = NULL;

  lock (f);
  for (fault = f->first; fault != NULL; fault = fault->next) {
    if (strcmp (fault->text, text) == 0) {
      copy = copy_one (fault);
      break;
    }
  }
  unlock (f);
  return copy;
}

int
faults_change (struct faults *f, const char *which, struct fault *chain,
               uint64_t now, struct message *why)
{
  const bool others = which != NULL && strcmp (which, "others") == 0;
  struct fault *fault, *gone, *spare = NULL;
  int r;

  lock (f);
  r = doom (f, which, chain, why);
  if (r == 0)
    r = check_new (f, chain, why);
  if (r == 0) {
    for (gone = take_doomed (&f->first), fault = gone; fault != NULL;
         fault = fault->next)
      atomic_store (&fault->deleted, true);
    fault_free (gone);
    for (fault = chain; fault != NULL; fault = fault->next) {
      if (fault->known != NULL)
        continue;
      fault->id = ++f->last_id;
      fault->added = now;
      begin_draws (f, fault);
    }
    if (others)
      f->first = take_order (chain, &spare);
    else
      fault_append (&f->first, chain);
    fault_free (spare);
    f->count = count (f->first);
  }
  unlock (f);
  if (r == 0 && which != NULL)
    faults_wake (f);
  return r;
}

void
faults_each (struct faults *f,
             void (*visit) (void *opaque, const struct fault_info *info),
             void *opaque)
{
  const struct fault *fault;

  lock (f);
  for (fault = f->first; fault != NULL; fault = fault->next) {
    const uint64_t count = fault->rule.count;
    const struct fault_info info = {
        .id = fault->id,
        .name = fault->rule.name,
        .text = fault->text,
        .evaluated = fault->evaluated,
        .hits = fault->hits,
        .spent = count != 0 && fault->done == count,
        .waits = fault_waits (fault),
    };

    visit (opaque, &info);
  }
  unlock (f);
}

void
faults_seed (struct faults *f, uint64_t seed)
{
  struct fault *fault;

  lock (f);
  take_seed (f, seed);
  for (fault = f->first; fault != NULL; fault = fault->next)
    begin_draws (f, fault);
  unlock (f);
}

void
faults_reset_counters (struct faults *f)
{
  struct fault *fault;

  lock (f);
  for (fault = f->first; fault != NULL; fault = fault->next)
    fault->evaluated = fault->hits = 0;
  unlock (f);
}
