/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The chunks of a volume in the order of their keys, so that the next one is
 * found however far away it is: work on a range of any size takes as long as
 * the data in it needs.  The table has a tree for each volume, drawn at the top
 * of tree.c.
 *
 * Each tree has a lock, taken after any stripe's, and held for two walks from
 * the root to a leaf at most (each is 17 steps in 16 GiB of data side by side,
 * 46 at most).  It is taken only when a chunk comes or goes, and to find the
 * next chunk.
 */

#ifndef NULLBLK_TREE_INTERNAL_H
#define NULLBLK_TREE_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "arena.h"

struct tree {
  _Alignas(64) pthread_mutex_t lock; /* guards all that follows, and the nodes
                                        in the headers of its chunks */
  struct tree_link root;
  uint64_t lookups; /* how often a next chunk was looked for */
};

void tree_init (struct tree *t);
void tree_destroy (struct tree *t);

/* Add chunk NR, whose header has its key, which no other chunk has. */
void tree_add (struct tree *t, const struct arena *arena, uint32_t nr);
/* Take chunk NR out. */
void tree_remove (struct tree *t, const struct arena *arena, uint32_t nr);

/* Is there a chunk with *KEY or a larger key?  If so, the least is put into
 * *KEY.
 */
bool tree_next (struct tree *t, const struct arena *arena, uint64_t *key);

/* How often tree_next was called, for tests that count work. */
uint64_t tree_count_lookups (struct tree *t);

#endif /* NULLBLK_TREE_INTERNAL_H */
