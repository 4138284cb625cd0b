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
count (const struct fault_rule *rule)
{
  uint32_t r = 0;

  for (; rule != NULL; rule = rule->next)
    r++;
  return r;
}

static uint32_t
count_kept (const struct fault_rule *rule)
{
  uint32_t r = 0;

  for (; rule != NULL; rule = rule->next)
    r += !rule->doomed && fault_is_kept (rule);
  return r;
}

/*---------------------------------------------------------------------*/
/* Rules in order */

/* Rules, in an order in which they can be looked up.  There is room for those
 * of the list and for the new ones.
 */
struct order {
  struct fault_rule **rules;
  size_t count;
};

static void
add_all (struct order *o, struct fault_rule *list)
{
  for (; list != NULL; list = list->next)
    o->rules[o->count++] = list;
}

/* Add the rules that have a name; with DOOMED also those that are to go. */
static void
add_named (struct order *o, struct fault_rule *list, bool doomed)
{
  for (; list != NULL; list = list->next) {
    if ((doomed || !list->doomed) && list->shared->spec.name[0] != '\0')
      o->rules[o->count++] = list;
  }
}

/* by_text and by_name order rules: of two with the same text, or the same name,
 * the older one is first.
 */
static int
by_text (const void *a, const void *b)
{
  const struct fault_rule *x = *(struct fault_rule *const *) a;
  const struct fault_rule *y = *(struct fault_rule *const *) b;
  const int r = strcmp (x->shared->text, y->shared->text);

  return r != 0 ? r : (x->id > y->id) - (x->id < y->id);
}

static int
by_name (const void *a, const void *b)
{
  const struct fault_rule *x = *(struct fault_rule *const *) a;
  const struct fault_rule *y = *(struct fault_rule *const *) b;
  const int r = strcmp (x->shared->spec.name, y->shared->spec.name);

  return r != 0 ? r : (x->id > y->id) - (x->id < y->id);
}

static int
by_number (const void *a, const void *b)
{
  const struct fault_rule *x = *(struct fault_rule *const *) a;
  const struct fault_rule *y = *(struct fault_rule *const *) b;

  return (x->id > y->id) - (x->id < y->id);
}

static void
sort (struct order *o, int (*compare) (const void *, const void *))
{
  if (o->count > 0)
    qsort (o->rules, o->count, sizeof o->rules[0], compare);
}

/* Find a rule by its name, among rules in the order of their names; or, by the
 * second function, by its number, among rules in the order of the list.  NULL
 * if there is none.
 */
static struct fault_rule *
find_name (const struct order *o, const char *name, size_t len)
{
  size_t low = 0, high = o->count, middle;
  const char *there;
  int r;

  while (low < high) {
    middle = low + (high - low) / 2;
    there = o->rules[middle]->shared->spec.name;
    r = strncmp (name, there, len);
    if (r == 0 && there[len] == '\0')
      return o->rules[middle];
    if (r > 0)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

static struct fault_rule *
find_number (const struct order *o, uint64_t id)
{
  size_t low = 0, high = o->count, middle;

  while (low < high) {
    middle = low + (high - low) / 2;
    if (id == o->rules[middle]->id)
      return o->rules[middle];
    if (id > o->rules[middle]->id)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

/* Doom the rules whose numbers or names are in LIST.  A number is no name. */
static int
doom_listed (struct faults *f, const char *list, struct order *all,
             struct order *named, struct message *why)
{
  struct fault_rule *rule;
  uint64_t id;
  size_t len;

  all->count = named->count = 0;
  add_all (all, f->first);
  sort (all, by_number);
  for (;; list += len + 1) {
    len = strcspn (list, ",");
    if (number_parse (list, len, &id) == 0)
      rule = find_number (all, id);
    else {
      if (named->count == 0) {
        add_named (named, f->first, true);
        sort (named, by_name);
      }
      rule = find_name (named, list, len);
    }
    if (rule == NULL)
      return refuse (why,
                     "'%.*s': allowed is a rule's number or name, all or "
                     "others",
                     (int) (len < 80 ? len : 80), list);
    rule->doomed = true;
    if (list[len] == '\0')
      return 0;
  }
}

/* A new one that is there already, word for word, is not needed: that one
 * stays.
 */
static void
spare_known (struct faults *f, struct fault_rule *new_rules, struct order *old,
             struct order *new)
{
  size_t i = 0, j = 0;
  int r;

  old->count = new->count = 0;
  add_all (old, f->first);
  add_all (new, new_rules);
  sort (old, by_text);
  sort (new, by_text);
  while (i < old->count && j < new->count) {
    r = strcmp (old->rules[i]->shared->text, new->rules[j]->shared->text);
    if (r == 0) {
      old->rules[i]->doomed = false;
      new->rules[j]->doomed = true;
      new->rules[j]->known = old->rules[i];
    }
    i += r <= 0;
    j += r >= 0;
  }
}

static int
doom (struct faults *f, const char *which, struct fault_rule *new_rules,
      struct order *a, struct order *b, struct message *why)
{
  const bool others = which != NULL && strcmp (which, "others") == 0;
  const bool all = others || (which != NULL && strcmp (which, "all") == 0);
  struct fault_rule *rule;

  for (rule = f->first; rule != NULL; rule = rule->next)
    rule->doomed = all;
  if (others)
    spare_known (f, new_rules, a, b);
  return which == NULL || all ? 0 : doom_listed (f, which, a, b, why);
}

static bool
have_same_name (const struct fault_rule *a, const struct fault_rule *b)
{
  return strcmp (a->shared->spec.name, b->shared->spec.name) == 0;
}

/* Refuse a new rule that has the name of another rule that is to stay. */
static int
check_names (struct faults *f, struct fault_rule *new_rules, struct order *old,
             struct order *new, struct message *why)
{
  const struct fault_rule *taken = NULL;
  size_t i;

  old->count = new->count = 0;
  add_named (new, new_rules, false);
  if (new->count == 0)
    return 0;
  add_named (old, f->first, false);
  sort (new, by_name);
  for (i = 1; i < new->count &&taken == NULL; i++) {
    if (have_same_name (new->rules[i], new->rules[i - 1]))
      taken = new->rules[i];
  }
  for (i = 0; i < old->count && taken == NULL; i++)
    taken = find_name (new, old->rules[i]->shared->spec.name,
                       strlen (old->rules[i]->shared->spec.name));
  if (taken == NULL)
    return 0;
  return refuse (why, "'name=%s': there is such a rule",
                 taken->shared->spec.name);
}

static int
check_new (struct faults *f, struct fault_rule *new_rules, struct order *a,
           struct order *b, struct message *why)
{
  struct fault_rule *rule;

  if (count_kept (f->first) + count_kept (new_rules) > MAX_KEPT)
    return refuse (why,
                   "allowed are %d rules with corrupt=flip, corrupt=zero "
                   "or hang on a device",
                   MAX_KEPT);
  for (rule = new_rules; rule != NULL; rule = rule->next) {
    if (!fault_rule_is_for (rule, f->device))
      return refuse (why, "'device=nullb%" PRIu32 "': this is nullb%" PRIu32,
                     rule->shared->spec.device, f->device);
  }
  return check_names (f, new_rules, a, b, why);
}

/* Take the rules that are to go out of the list P, and return them; *END
 * becomes where the list ends.
 */
static struct fault_rule *
take_doomed (struct fault_rule **p, struct fault_rule ***end)
{
  struct fault_rule *doomed = NULL, *rule;

  while ((rule = *p) != NULL) {
    if (!rule->doomed) {
      p = &rule->next;
      continue;
    }
    *p = rule->next;
    rule->next = doomed;
    doomed = rule;
  }
  *end = p;
  return doomed;
}

static uint32_t
count_wait_rules (const struct fault_rule *rule)
{
  uint32_t r = 0;

  for (; rule != NULL; rule = rule->next)
    r += fault_rule_waits (rule);
  return r;
}

/* Make the new list of the new rules.  A new rule that only says that an old
 * one stays (`known`) goes to *spare, and the old one takes its place.
 */
static struct fault_rule *
take_order (struct fault_rule *new_rules, struct fault_rule **spare)
{
  struct fault_rule *first = NULL, **end = &first, *rule;

  while ((rule = new_rules) != NULL) {
    new_rules = rule->next;
    if (rule->known != NULL) {
      rule->next = *spare;
      *spare = rule;
      rule = rule->known;
    }
    *end = rule;
    end = &rule->next;
  }
  *end = NULL;
  return first;
}

/* Have requests ask the rules of the list, and no others.  RULES is to be the
 * array of the list.
 */
static void
replace_rules (struct faults *f, struct fault_rule **rules)
{
  const uint32_t waiting = count_wait_rules (f->first);
  struct fault_rule *rule, **old;
  uint32_t n = 0;

  for (rule = f->first; rule != NULL; rule = rule->next)
    rules[n++] = rule;
  lock (&f->lock);
  old = f->rules;
  f->rules = rules;
  f->count = n;
  f->nr_wait_rules = waiting;
  unlock (&f->lock);
  free (old);
}

/* Put NEW_RULES behind the rules that stay.  With OTHERS the list becomes
 * NEW_RULES: where one has the same text as an old rule, the old one stays in
 * its place, and it goes into *spare.  Returns the old rules that do not stay.
 */
static struct fault_rule *
replace_list (struct faults *f, struct fault_rule *new_rules, bool others,
              struct fault_rule **rules, struct fault_rule **spare)
{
  struct fault_rule *gone, *rule, **end;

  gone = take_doomed (&f->first, &end);
  if (others)
    f->first = take_order (new_rules, spare);
  else
    *end = new_rules;
  replace_rules (f, rules);
  for (rule = gone; rule != NULL; rule = rule->next)
    atomic_store (&rule->deleted, true);
  return gone;
}

/* Can the change be made?  If so, *rules has room for all rules that there are
 * after it.  For now, the numbers of new rules are those that they get if none
 * of them is known already.
 */
static int
prepare (struct faults *f, const char *which, struct fault_rule *new_rules,
         struct fault_rule ***rules, struct message *why)
{
  const uint32_t news = count (new_rules), most = f->count + news;
  struct order a, b;
  struct fault_rule *rule;
  uint32_t id = f->last_id;
  int r = -ENOMEM;

  for (rule = new_rules; rule != NULL; rule = rule->next)
    rule->id = ++id;
  message_set (why, "%s", strerror (ENOMEM));
  a.rules = calloc (most + 1, sizeof a.rules[0]);
  b.rules = calloc (most + 1, sizeof b.rules[0]);
  *rules = calloc (most + 1, sizeof **rules);
  if (a.rules != NULL && b.rules != NULL && *rules != NULL) {
    r = doom (f, which, new_rules, &a, &b, why);
    if (r == 0)
      r = check_new (f, new_rules, &a, &b, why);
  }
  free (b.rules);
  free (a.rules);
  if (r < 0)
    free (*rules);
  return r;
}

int
faults_change (struct faults *f, const char *which,
               struct fault_rule *new_rules, uint64_t now, struct message *why)
{
  const bool others = which != NULL && strcmp (which, "others") == 0;
  struct fault_rule *rule, *spare = NULL, **rules;
  int r;

  r = prepare (f, which, new_rules, &rules, why);
  if (r < 0)
    return r;
  for (rule = new_rules; rule != NULL; rule = rule->next) {
    if (rule->known != NULL)
      continue;
    rule->id = ++f->last_id;
    rule->added = now;
    fault_rule_begin_draws (f, rule);
  }
  fault_rule_free (replace_list (f, new_rules, others, rules, &spare));
  fault_rule_free (spare);
  if (which != NULL)
    faults_wake (f);
  return 0;
}
