/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Changing the fault rules of a device; see faults.h.  What is looked at here
 * is changed by nobody else, so no lock is held except for the moment in which
 * a new array of rules takes the place of the old one.  Long lists are sorted,
 * not searched: 10,000 rules are as good as one.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "faultactions-internal.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

static uint32_t
count (const struct fault *fault)
{
  uint32_t r = 0;

  for (; fault != NULL; fault = fault->next)
    r++;
  return r;
}

static uint32_t
count_kept (const struct fault *fault)
{
  uint32_t r = 0;

  for (; fault != NULL; fault = fault->next)
    r += !fault->doomed && fault_is_kept (fault);
  return r;
}

/*---------------------------------------------------------------------*/
/* Rules in order */

/* Rules, in an order in which they can be looked up.  There is room for those
 * of the list and for the new ones.
 */
struct order {
  struct fault **fault;
  size_t count;
};

static void
add_all (struct order *o, struct fault *list)
{
  for (; list != NULL; list = list->next)
    o->fault[o->count++] = list;
}

/* Those that have a name, also those that are to go, or not. */
static void
add_named (struct order *o, struct fault *list, bool doomed)
{
  for (; list != NULL; list = list->next) {
    if ((doomed || !list->doomed) && list->shared->rule.name[0] != '\0')
      o->fault[o->count++] = list;
  }
}

/* Among those of the same text, or name, the older one is first. */
static int
by_text (const void *a, const void *b)
{
  const struct fault *x = *(struct fault *const *) a;
  const struct fault *y = *(struct fault *const *) b;
  const int r = strcmp (x->shared->text, y->shared->text);

  return r != 0 ? r : (x->id > y->id) - (x->id < y->id);
}

static int
by_name (const void *a, const void *b)
{
  const struct fault *x = *(struct fault *const *) a;
  const struct fault *y = *(struct fault *const *) b;
  const int r = strcmp (x->shared->rule.name, y->shared->rule.name);

  return r != 0 ? r : (x->id > y->id) - (x->id < y->id);
}

static int
by_number (const void *a, const void *b)
{
  const struct fault *x = *(struct fault *const *) a;
  const struct fault *y = *(struct fault *const *) b;

  return (x->id > y->id) - (x->id < y->id);
}

static void
sort (struct order *o, int (*compare) (const void *, const void *))
{
  if (o->count > 0)
    qsort (o->fault, o->count, sizeof o->fault[0], compare);
}

/* Find one by its name, in rules by name, or by its number, in rules as they
 * are listed.  NULL if there is none.
 */
static struct fault *
find_name (const struct order *o, const char *name, size_t len)
{
  size_t low = 0, high = o->count, middle;
  const char *there;
  int r;

  while (low < high) {
    middle = low + (high - low) / 2;
    there = o->fault[middle]->shared->rule.name;
    r = strncmp (name, there, len);
    if (r == 0 && there[len] == '\0')
      return o->fault[middle];
    if (r > 0)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

static struct fault *
find_number (const struct order *o, uint64_t id)
{
  size_t low = 0, high = o->count, middle;

  while (low < high) {
    middle = low + (high - low) / 2;
    if (id == o->fault[middle]->id)
      return o->fault[middle];
    if (id > o->fault[middle]->id)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

/* Those that a list of numbers and names means are to go.  A number is no name.
 */
static int
doom_listed (struct faults *f, const char *list, struct order *all,
             struct order *named, struct message *why)
{
  struct fault *fault;
  uint64_t id;
  size_t len;

  all->count = named->count = 0;
  add_all (all, f->first);
  sort (all, by_number);
  for (;; list += len + 1) {
    len = strcspn (list, ",");
    if (number_parse (list, len, &id) == 0)
      fault = find_number (all, id);
    else {
      if (named->count == 0) {
        add_named (named, f->first, true);
        sort (named, by_name);
      }
      fault = find_name (named, list, len);
    }
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
spare_known (struct faults *f, struct fault *chain, struct order *old,
             struct order *new)
{
  size_t i = 0, j = 0;
  int r;

  old->count = new->count = 0;
  add_all (old, f->first);
  add_all (new, chain);
  sort (old, by_text);
  sort (new, by_text);
  while (i < old->count && j < new->count) {
    r = strcmp (old->fault[i]->shared->text, new->fault[j]->shared->text);
    if (r == 0) {
      old->fault[i]->doomed = false;
      new->fault[j]->doomed = true;
      new->fault[j]->known = old->fault[i];
    }
    i += r <= 0;
    j += r >= 0;
  }
}

static int
doom (struct faults *f, const char *which, struct fault *chain, struct order *a,
      struct order *b, struct message *why)
{
  const bool others = which != NULL && strcmp (which, "others") == 0;
  const bool all = others || (which != NULL && strcmp (which, "all") == 0);
  struct fault *fault;

  for (fault = f->first; fault != NULL; fault = fault->next)
    fault->doomed = all;
  if (others)
    spare_known (f, chain, a, b);
  return which == NULL || all ? 0 : doom_listed (f, which, a, b, why);
}

static bool
have_same_name (const struct fault *a, const struct fault *b)
{
  return strcmp (a->shared->rule.name, b->shared->rule.name) == 0;
}

/* Has a new rule the name of another one that is to stay? */
static int
check_names (struct faults *f, struct fault *chain, struct order *old,
             struct order *new, struct message *why)
{
  const struct fault *taken = NULL;
  size_t i;

  old->count = new->count = 0;
  add_named (new, chain, false);
  if (new->count == 0)
    return 0;
  add_named (old, f->first, false);
  sort (new, by_name);
  for (i = 1; i < new->count &&taken == NULL; i++) {
    if (have_same_name (new->fault[i], new->fault[i - 1]))
      taken = new->fault[i];
  }
  for (i = 0; i < old->count && taken == NULL; i++)
    taken = find_name (new, old->fault[i]->shared->rule.name,
                       strlen (old->fault[i]->shared->rule.name));
  if (taken == NULL)
    return 0;
  return refuse (why, "'name=%s': there is such a rule",
                 taken->shared->rule.name);
}

static int
check_new (struct faults *f, struct fault *chain, struct order *a,
           struct order *b, struct message *why)
{
  struct fault *fault;

  if (count_kept (f->first) + count_kept (chain) > MAX_KEPT)
    return refuse (why,
                   "allowed are %d rules with corrupt=flip, corrupt=zero "
                   "or hang on a device",
                   MAX_KEPT);
  for (fault = chain; fault != NULL; fault = fault->next) {
    if (!fault_is_for (fault, f->device))
      return refuse (why, "'device=nullb%" PRIu32 "': this is nullb%" PRIu32,
                     fault->shared->rule.device, f->device);
  }
  return check_names (f, chain, a, b, why);
}

/* Take those that are to go out of a list, and return them; *END becomes where
 * the list ends.
 */
static struct fault *
take_doomed (struct fault **p, struct fault ***end)
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
  *end = p;
  return doomed;
}

static uint32_t
count_wait_rules (const struct fault *fault)
{
  uint32_t r = 0;

  for (; fault != NULL; fault = fault->next)
    r += fault_waits (fault);
  return r;
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

/* Have requests ask the rules of the list, of which RULES is to be the array,
 * and no others.
 */
static void
replace_rules (struct faults *f, struct fault **rules)
{
  const uint32_t waiting = count_wait_rules (f->first);
  struct fault *fault, **old;
  uint32_t n = 0;

  for (fault = f->first; fault != NULL; fault = fault->next)
    rules[n++] = fault;
  lock (&f->lock);
  old = f->rules;
  f->rules = rules;
  f->count = n;
  f->nr_wait_rules = waiting;
  unlock (&f->lock);
  free (old);
}

/* Put CHAIN behind those that stay or, if they are in it by what is known, in
 * their place.  Returns those that do not stay, and adds to *spare those of
 * CHAIN that are not needed.
 */
static struct fault *
replace_list (struct faults *f, struct fault *chain, bool others,
              struct fault **rules, struct fault **spare)
{
  struct fault *gone, *fault, **end;

  gone = take_doomed (&f->first, &end);
  if (others)
    f->first = take_order (chain, spare);
  else
    *end = chain;
  replace_rules (f, rules);
  for (fault = gone; fault != NULL; fault = fault->next)
    atomic_store (&fault->deleted, true);
  return gone;
}

/* Can it be done?  If so, *rules has room for what it comes to.  A new rule's
 * number is its place among them, for now.
 */
static int
prepare (struct faults *f, const char *which, struct fault *chain,
         struct fault ***rules, struct message *why)
{
  const uint32_t news = count (chain), most = f->count + news;
  struct order a, b;
  struct fault *fault;
  uint32_t id = f->last_id;
  int r = -ENOMEM;

  for (fault = chain; fault != NULL; fault = fault->next)
    fault->id = ++id;
  message_set (why, "%s", strerror (ENOMEM));
  a.fault = calloc (most + 1, sizeof a.fault[0]);
  b.fault = calloc (most + 1, sizeof b.fault[0]);
  *rules = calloc (most + 1, sizeof **rules);
  if (a.fault != NULL && b.fault != NULL && *rules != NULL) {
    r = doom (f, which, chain, &a, &b, why);
    if (r == 0)
      r = check_new (f, chain, &a, &b, why);
  }
  free (b.fault);
  free (a.fault);
  if (r < 0)
    free (*rules);
  return r;
}

int
faults_change (struct faults *f, const char *which, struct fault *chain,
               uint64_t now, struct message *why)
{
  const bool others = which != NULL && strcmp (which, "others") == 0;
  struct fault *fault, *spare = NULL, **rules;
  int r;

  r = prepare (f, which, chain, &rules, why);
  if (r < 0)
    return r;
  for (fault = chain; fault != NULL; fault = fault->next) {
    if (fault->known != NULL)
      continue;
    fault->id = ++f->last_id;
    fault->added = now;
    fault_begin_draws (f, fault);
  }
  fault_free (replace_list (f, chain, others, rules, &spare));
  fault_free (spare);
  if (which != NULL)
    faults_wake (f);
  return 0;
}
