/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The chunks of a volume in order; tree-internal.h says what for.
 *
 * It is a binary tree that branches where keys differ.  A node has the highest
 * bit in which the keys below it are not all the same: those with a 0 there are
 * on its left, those with a 1 on its right.  Bits get lower on the way down.
 *
 *     chunks with the keys 0001, 0100, 0101 and 1000; nodes in brackets
 *
 *                      [bit 3]
 *                     /       \
 *               [bit 2]       1000
 *              /       \
 *           0001      [bit 0]
 *                    /       \
 *                 0100      0101
 *
 * So N chunks have N - 1 nodes, whatever their keys are.  Each chunk brings the
 * room for one in its header, and may serve as a leaf and as a node at once: a
 * link says which of the two it means.  The room of a chunk is unused (of one
 * chunk in each tree), or has a node that is an ancestor of the chunk.  That
 * stays so when chunk X goes.  Then its parent P goes, too, so the room in
 * which P was, of some chunk Y, is free; and the node N that was in the room of
 * X, if any, moves there.  N is an ancestor of Y: it was an ancestor of X, so
 * it is P itself, which is gone, or an ancestor of P, and Y is below P.
 */

#include <config.h>

#include <assert.h>

#include "common/common.h"
#include "tree-internal.h"

void
tree_init (struct tree *t)
{
  pthread_mutex_init (&t->lock, NULL);
  t->root = (struct tree_link){0, false};
  t->lookups = 0;
}

void
tree_destroy (struct tree *t)
{
  pthread_mutex_destroy (&t->lock);
}

/* The chunk that a link means, or the node in its header. */
static struct chunk *
at (const struct arena *arena, const struct tree_link *link)
{
  return arena_chunk (arena, link->nr);
}

static bool
side (const struct chunk *node, uint64_t key)
{
  return key >> node->bit & 1;
}

/* The leaf that KEY would be, or one that has as much in common with it as any
 * other.  The tree is not empty.
 */
static const struct tree_link *
closest (const struct tree *t, const struct arena *arena, uint64_t key)
{
  const struct tree_link *link = &t->root;
  const struct chunk *node;

  while (link->is_node) {
    node = at (arena, link);
    link = &node->child[side (node, key)];
  }
  return link;
}

/* The highest bit in which two keys differ, or -1. */
static int
difference (uint64_t a, uint64_t b)
{
  return a == b ? -1 : 63 - __builtin_clzll (a ^ b);
}

void
tree_add (struct tree *t, const struct arena *arena, uint32_t nr)
{
  struct chunk *c = arena_chunk (arena, nr), *node;
  struct tree_link *link = &t->root;

  lock (&t->lock);
  if (link->nr == 0)
    *link = (struct tree_link){nr, false};
  else {
    c->bit = difference (at (arena, closest (t, arena, c->key))->key, c->key);
    while (link->is_node && (node = at (arena, link))->bit > c->bit)
      link = &node->child[side (node, c->key)];
    c->child[side (c, c->key)] = (struct tree_link){nr, false};
    c->child[!side (c, c->key)] = *link;
    *link = (struct tree_link){nr, true};
  }
  unlock (&t->lock);
}

void
tree_remove (struct tree *t, const struct arena *arena, uint32_t nr)
{
  const struct chunk *c = arena_chunk (arena, nr);
  struct tree_link *link = &t->root, *above = NULL, *room = NULL;
  struct chunk *node = NULL;
  uint32_t parent;

  lock (&t->lock);
  while (link->is_node) {
    above = link;
    if (link->nr == nr)
      room = link;
    node = at (arena, link);
    link = &node->child[side (node, c->key)];
  }
  assert (link->nr == nr);
  if (above == NULL)
    *link = (struct tree_link){0, false};
  else {
    parent = above->nr;
    *above = node->child[!side (node, c->key)];
    if (room != NULL && room != above) {
      node->child[0] = c->child[0];
      node->child[1] = c->child[1];
      node->bit = c->bit;
      room->nr = parent;
    }
  }
  unlock (&t->lock);
}

static uint64_t
least (const struct arena *arena, const struct tree_link *link)
{
  while (link->is_node)
    link = &at (arena, link)->child[0];
  return at (arena, link)->key;
}

/* All keys below a node that branches at a lower bit than that in which KEY
 * differs from one of them are on the same side of KEY.
 */
bool
tree_next (struct tree *t, const struct arena *arena, uint64_t *key)
{
  const struct tree_link *link = &t->root, *right = NULL;
  const struct chunk *node;
  int bit;

  lock (&t->lock);
  t->lookups++;
  if (link->nr == 0)
    link = NULL;
  else {
    bit = difference (at (arena, closest (t, arena, *key))->key, *key);
    while (link->is_node && (node = at (arena, link))->bit > bit) {
      if (!side (node, *key))
        right = &node->child[1];
      link = &node->child[side (node, *key)];
    }
    if (bit >= 0 && (*key >> bit & 1) != 0)
      link = right;
  }
  if (link != NULL)
    *key = least (arena, link);
  unlock (&t->lock);
  return link != NULL;
}

uint64_t
tree_count_lookups (struct tree *t)
{
  uint64_t r;

  lock (&t->lock);
  r = t->lookups;
  unlock (&t->lock);
  return r;
}
