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
count (const struct fault_entry *entry)
{
  uint32_t r = 0;

  for (; entry != NULL; entry = entry->next)
    r++;
  return r;
}

static uint32_t
count_kept (const struct fault_entry *entry)
{
  uint32_t r = 0;

  for (; entry != NULL; entry = entry->next)
    r += !entry->doomed && fault_is_kept (entry);
  return r;
}

/*---------------------------------------------------------------------*/
/* Rules in order */

/* Rules, in an order in which they can be looked up.  There is room for those
 * of the list and for the new ones.
 */
struct order {
  struct fault_entry **entry;
  size_t count;
};

static void
add_all (struct order *o, struct fault_entry *list)
{
  for (; list != NULL; list = list->next)
    o->entry[o->count++] = list;
}

/* Those that have a name, also those that are to go, or not. */
static void
add_named (struct order *o, struct fault_entry *list, bool doomed)
{
  for (; list != NULL; list = list->next) {
    if ((doomed || !list->doomed) && list->shared->rule.name[0] != '\0')
      o->entry[o->count++] = list;
  }
}

/* Among those of the same text, or name, the older one is first. */
static int
by_text (const void *a, const void *b)
{
  const struct fault_entry *x = *(struct fault_entry *const *) a;
  const struct fault_entry *y = *(struct fault_entry *const *) b;
  const int r = strcmp (x->shared->text, y->shared->text);

  return r != 0 ? r : (x->id > y->id) - (x->id < y->id);
}

static int
by_name (const void *a, const void *b)
{
  const struct fault_entry *x = *(struct fault_entry *const *) a;
  const struct fault_entry *y = *(struct fault_entry *const *) b;
  const int r = strcmp (x->shared->rule.name, y->shared->rule.name);

  return r != 0 ? r : (x->id > y->id) - (x->id < y->id);
}

static int
by_number (const void *a, const void *b)
{
  const struct fault_entry *x = *(struct fault_entry *const *) a;
  const struct fault_entry *y = *(struct fault_entry *const *) b;

  return (x->id > y->id) - (x->id < y->id);
}

static void
sort (struct order *o, int (*compare) (const void *, const void *))
{
  if (o->count > 0)
    qsort (o->entry, o->count, sizeof o->entry[0], compare);
}

/* Find one by its name, in rules by name, or by its number, in rules as they
 * are listed.  NULL if there is none.
 */
static struct fault_entry *
find_name (const struct order *o, const char *name, size_t len)
{
  size_t low = 0, high = o->count, middle;
  const char *there;
  int r;

  while (low < high) {
    middle = low + (high - low) / 2;
    there = o->entry[middle]->shared->rule.name;
    r = strncmp (name, there, len);
    if (r == 0 && there[len] == '\0')
      return o->entry[middle];
    if (r > 0)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

static struct fault_entry *
find_number (const struct order *o, uint64_t id)
{
  size_t low = 0, high = o->count, middle;

  while (low < high) {
    middle = low + (high - low) / 2;
    if (id == o->entry[middle]->id)
      return o->entry[middle];
    if (id > o->entry[middle]->id)
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
  struct fault_entry *entry;
  uint64_t id;
  size_t len;

  all->count = named->count = 0;
  add_all (all, f->first);
  sort (all, by_number);
  for (;; list += len + 1) {
    len = strcspn (list, ",");
    if (number_parse (list, len, &id) == 0)
      entry = find_number (all, id);
    else {
      if (named->count == 0) {
        add_named (named, f->first, true);
        sort (named, by_name);
      }
      entry = find_name (named, list, len);
    }
    if (entry == NULL)
      return refuse (why,
                     "'%.*s': allowed is a rule's number or name, all or "
                     "others",
                     (int) (len < 80 ? len : 80), list);
    entry->doomed = true;
    if (list[len] == '\0')
      return 0;
  }
}

/* A new one that is there already, word for word, is not needed: that one
 * stays.
 */
static void
spare_known (struct faults *f, struct fault_entry *entries, struct order *old,
             struct order *new)
{
  size_t i = 0, j = 0;
  int r;

  old->count = new->count = 0;
  add_all (old, f->first);
  add_all (new, entries);
  sort (old, by_text);
  sort (new, by_text);
  while (i < old->count && j < new->count) {
    r = strcmp (old->entry[i]->shared->text, new->entry[j]->shared->text);
    if (r == 0) {
      old->entry[i]->doomed = false;
      new->entry[j]->doomed = true;
      new->entry[j]->known = old->entry[i];
    }
    i += r <= 0;
    j += r >= 0;
  }
}

static int
doom (struct faults *f, const char *which, struct fault_entry *entries,
      struct order *a, struct order *b, struct message *why)
{
  const bool others = which != NULL && strcmp (which, "others") == 0;
  const bool all = others || (which != NULL && strcmp (which, "all") == 0);
  struct fault_entry *entry;

  for (entry = f->first; entry != NULL; entry = entry->next)
    entry->doomed = all;
  if (others)
    spare_known (f, entries, a, b);
  return which == NULL || all ? 0 : doom_listed (f, which, a, b, why);
}

static bool
have_same_name (const struct fault_entry *a, const struct fault_entry *b)
{
  return strcmp (a->shared->rule.name, b->shared->rule.name) == 0;
}

/* Has a new rule the name of another one that is to stay? */
static int
check_names (struct faults *f, struct fault_entry *entries, struct order *old,
             struct order *new, struct message *why)
{
  const struct fault_entry *taken = NULL;
  size_t i;

  old->count = new->count = 0;
  add_named (new, entries, false);
  if (new->count == 0)
    return 0;
  add_named (old, f->first, false);
  sort (new, by_name);
  for (i = 1; i < new->count &&taken == NULL; i++) {
    if (have_same_name (new->entry[i], new->entry[i - 1]))
      taken = new->entry[i];
  }
  for (i = 0; i < old->count && taken == NULL; i++)
    taken = find_name (new, old->entry[i]->shared->rule.name,
                       strlen (old->entry[i]->shared->rule.name));
  if (taken == NULL)
    return 0;
  return refuse (why, "'name=%s': there is such a rule",
                 taken->shared->rule.name);
}

static int
check_new (struct faults *f, struct fault_entry *entries, struct order *a,
           struct order *b, struct message *why)
{
  struct fault_entry *entry;

  if (count_kept (f->first) + count_kept (entries) > MAX_KEPT)
    return refuse (why,
                   "allowed are %d rules with corrupt=flip, corrupt=zero "
                   "or hang on a device",
                   MAX_KEPT);
  for (entry = entries; entry != NULL; entry = entry->next) {
    if (!fault_entry_is_for (entry, f->device))
      return refuse (why, "'device=nullb%" PRIu32 "': this is nullb%" PRIu32,
                     entry->shared->rule.device, f->device);
  }
  return check_names (f, entries, a, b, why);
}

/* Take those that are to go out of a list, and return them; *END becomes where
 * the list ends.
 */
static struct fault_entry *
take_doomed (struct fault_entry **p, struct fault_entry ***end)
{
  struct fault_entry *doomed = NULL, *entry;

  while ((entry = *p) != NULL) {
    if (!entry->doomed) {
      p = &entry->next;
      continue;
    }
    *p = entry->next;
    entry->next = doomed;
    doomed = entry;
  }
  *end = p;
  return doomed;
}

static uint32_t
count_wait_rules (const struct fault_entry *entry)
{
  uint32_t r = 0;

  for (; entry != NULL; entry = entry->next)
    r += fault_entry_waits (entry);
  return r;
}

/* The list as the change has it, from the new rules: those that are known in
 * the place of those that only say so, which become *spare.
 */
static struct fault_entry *
take_order (struct fault_entry *entries, struct fault_entry **spare)
{
  struct fault_entry *first = NULL, **end = &first, *entry;

  while ((entry = entries) != NULL) {
    entries = entry->next;
    if (entry->known != NULL) {
      entry->next = *spare;
      *spare = entry;
      entry = entry->known;
    }
    *end = entry;
    end = &entry->next;
  }
  *end = NULL;
  return first;
}

/* Have requests ask the rules of the list, of which RULES is to be the array,
 * and no others.
 */
static void
replace_rules (struct faults *f, struct fault_entry **rules)
{
  const uint32_t waiting = count_wait_rules (f->first);
  struct fault_entry *entry, **old;
  uint32_t n = 0;

  for (entry = f->first; entry != NULL; entry = entry->next)
    rules[n++] = entry;
  lock (&f->lock);
  old = f->rules;
  f->rules = rules;
  f->count = n;
  f->nr_wait_rules = waiting;
  unlock (&f->lock);
  free (old);
}

/* Put ENTRIES behind those that stay or, if they are in it by what is known, in
 * their place.  Returns those that do not stay, and adds to *spare those of
 * ENTRIES that are not needed.
 */
static struct fault_entry *
replace_list (struct faults *f, struct fault_entry *entries, bool others,
              struct fault_entry **rules, struct fault_entry **spare)
{
  struct fault_entry *gone, *entry, **end;

  gone = take_doomed (&f->first, &end);
  if (others)
    f->first = take_order (entries, spare);
  else
    *end = entries;
  replace_rules (f, rules);
  for (entry = gone; entry != NULL; entry = entry->next)
    atomic_store (&entry->deleted, true);
  return gone;
}

/* Can it be done?  If so, *rules has room for what it comes to.  A new rule's
 * number is its place among them, for now.
 */
static int
prepare (struct faults *f, const char *which, struct fault_entry *entries,
         struct fault_entry ***rules, struct message *why)
{
  const uint32_t news = count (entries), most = f->count + news;
  struct order a, b;
  struct fault_entry *entry;
  uint32_t id = f->last_id;
  int r = -ENOMEM;

  for (entry = entries; entry != NULL; entry = entry->next)
    entry->id = ++id;
  message_set (why, "%s", strerror (ENOMEM));
  a.entry = calloc (most + 1, sizeof a.entry[0]);
  b.entry = calloc (most + 1, sizeof b.entry[0]);
  *rules = calloc (most + 1, sizeof **rules);
  if (a.entry != NULL && b.entry != NULL && *rules != NULL) {
    r = doom (f, which, entries, &a, &b, why);
    if (r == 0)
      r = check_new (f, entries, &a, &b, why);
  }
  free (b.entry);
  free (a.entry);
  if (r < 0)
    free (*rules);
  return r;
}

int
faults_change (struct faults *f, const char *which, struct fault_entry *entries,
               uint64_t now, struct message *why)
{
  const bool others = which != NULL && strcmp (which, "others") == 0;
  struct fault_entry *entry, *spare = NULL, **rules;
  int r;

  r = prepare (f, which, entries, &rules, why);
  if (r < 0)
    return r;
  for (entry = entries; entry != NULL; entry = entry->next) {
    if (entry->known != NULL)
      continue;
    entry->id = ++f->last_id;
    entry->added = now;
    fault_entry_begin_draws (f, entry);
  }
  fault_entry_free (replace_list (f, entries, others, rules, &spare));
  fault_entry_free (spare);
  if (which != NULL)
    faults_wake (f);
  return 0;
}
