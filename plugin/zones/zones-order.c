/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The early writes of a stripe, in the order of their zones and offsets: a
 * treap (a search tree whose nodes have random priorities, and parents higher
 * ones than their children), so that each of the functions here takes about as
 * many steps as the logarithm of their number.  The stripe is locked.
 */

#include <config.h>

#include "zones-internal.h"

/* Does A stand before B?  Writes of the same offset are ordered by their own
 * addresses, so that the order never changes.
 */
static bool
is_before (struct zone_order *o, const struct zone_early *a,
           const struct zone_early *b)
{
  o->steps++;
  if (a->zone != b->zone)
    return a->zone < b->zone;
  return a->wp != b->wp ? a->wp < b->wp : (uintptr_t) a < (uintptr_t) b;
}

void
zone_order_add (struct zone_order *o, struct zone_early *e)
{
  struct zone_early **link = &o->root, **left, **right, *t;

  /* O's address, which no client knows, is hashed, too: so no client can choose
   * places whose priorities make a tree that is no better than a list.
   */
  e->priority = random_mix ((uintptr_t) o ^ random_mix (++o->added));
  while ((t = *link) != NULL && t->priority >= e->priority)
    link = is_before (o, e, t) ? &t->left : &t->right;
  *link = e;
  left = &e->left;
  right = &e->right;
  while (t != NULL) {
    if (is_before (o, t, e)) {
      *left = t;
      left = &t->right;
      t = t->right;
    }
    else {
      *right = t;
      right = &t->left;
      t = t->left;
    }
  }
  *left = *right = NULL;
}

void
zone_order_remove (struct zone_order *o, struct zone_early *e)
{
  struct zone_early **link = &o->root;
  struct zone_early *left = e->left, *right = e->right;

  while (*link != e)
    link = is_before (o, e, *link) ? &(*link)->left : &(*link)->right;
  while (left != NULL && right != NULL) {
    o->steps++;
    if (left->priority > right->priority) {
      *link = left;
      link = &left->right;
      left = *link;
    }
    else {
      *link = right;
      link = &right->left;
      right = *link;
    }
  }
  *link = left != NULL ? left : right;
}

struct zone_early *
zone_order_first (struct zone_order *o, uint64_t zone)
{
  struct zone_early *e = o->root, *first = NULL;

  while (e != NULL) {
    o->steps++;
    if (e->zone >= zone)
      first = e;
    e = e->zone >= zone ? e->left : e->right;
  }
  return first != NULL && first->zone == zone ? first : NULL;
}
