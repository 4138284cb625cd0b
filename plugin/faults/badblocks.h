/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Bad blocks: sectors of a device that make all requests to them fail, as with
 * null_blk.  A sector is 512 bytes, whatever the block size.
 *
 *     +3-5,+9-20    ...[3 4 5]. . .[9 10 11 ... 20]...
 *                       |   |       |            |
 *     ranges        { first last } { first     last }   ascending; none touches
 *                                                       the next: such are one
 *
 * There may be any number of ranges: a request finds its place among them by
 * binary search.  A range that a hit makes good (badblocks-once), or a write
 * (badblocks-mend), only gets a mark, until the next change leaves it out; one
 * that a write makes good at an end becomes shorter where it is.  Any other
 * change, also a write to the middle of a range, first becomes such a list of
 * its own, of ranges that are to be bad and ranges that are not; then the old
 * list and this one are merged, once, into memory that was allocated before:
 *
 *     old           [3 4 5]. . . . . .[9 10 11 ... 20]
 *     change        . . . [5 6 7]. . . . . {11 ... 15} . .    { } not bad
 *     new           [3 4 5 6 7]. . . .[9 10]. . . . [16 ... 20]
 *
 * struct badblocks belongs to a device.  Its lock guards its list and takes no
 * other.  Where there are bad blocks every request of the device takes it for
 * the search, some dozens of nanoseconds; where there are none it looks at the
 * count and does not take the lock.  It is not a reader-writer lock: that would
 * be one shared cache line as well, and a stream of readers would keep out the
 * requests that make ranges good.  As a rule no thread holds the lock for more
 * than BADBLOCKS_PIECE ranges, or for more ranges than one request can meet,
 * which is one for every two of its sectors.  The list is copied in pieces and
 * merged without the lock, and then takes the place of the old one; if a range
 * has become good meanwhile, the new list is made again.  After sixteen lists
 * that were made in vain, one is made with the lock held.  Changes are made one
 * at a time, with change_lock held from badblocks_reserve to badblocks_apply:
 * live changes (control-change.c), and those by writes that make blocks good.
 */

#ifndef NULLBLK_BADBLOCKS_H
#define NULLBLK_BADBLOCKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/common.h"

#define SECTOR_SIZE 512

struct sector_range {
  uint64_t first, last; /* both belong to it */
  bool bad;
};

/* What becomes of a request that meets bad blocks, and of these. */
struct badblocks_mode {
  bool once;       /* the range that it meets is good after that */
  bool partial_io; /* the blocks before it are written */
  bool mend;       /* a change of their data is done, and makes them good */
};

#define BADBLOCKS_PIECE 4096

struct badblocks {
  _Atomic size_t count; /* bad ranges; changed under the lock */
  pthread_mutex_t lock; /* guards what follows */
  size_t listed;        /* ranges; those that are not bad have become good */
  struct sector_range *ranges;
  struct badblocks_mode mode;
  uint64_t changes;    /* lists that were made */
  uint64_t hits;       /* ranges that became good, or shorter, where they are */
  size_t most_at_once; /* ranges gone through at once, for tests */

  pthread_mutex_t change_lock; /* held while the list is changed; comes before
                                * `lock`, and guards what follows */

  /* Room for the new list, and for a copy of the old one. */
  struct sector_range *next, *copy;
};

/* A change, as a text asks for it: which sectors are bad after it, and which
 * are not.
 */
struct badblocks_change;

/* Nothing is bad, and the mode is all false.  Returns 0 or -ENOMEM. */
int badblocks_init (struct badblocks *b);
void badblocks_destroy (struct badblocks *b);

/* Parse a text of one or more of these, with commas or newlines between them:
 *
 *     +FIRST-LAST    mark these sectors
 *     -FIRST-LAST    clear them
 *     none           clear all; so does a text without anything in it
 *
 * Numbers are those of the kernel: decimal, 0x and hexadecimal, 0 and octal.
 * Returns 0 with *c, -ENOMEM, or -EINVAL with *why.
 */
int badblocks_parse (const char *text, struct badblocks_change **c,
                     struct message *why);
void badblocks_change_free (struct badblocks_change *c); /* NULL is allowed */

/* A change in two steps, so that only the first can fail, with -ENOMEM: make
 * room for it, and do it, or give it up.  Other changes wait between the two
 * steps, and so do writes that make blocks good: no file is to be read there,
 * and nobody waited for.  The list and, if MODE is not NULL, the mode change at
 * one moment: no request meets one of them without the other.
 */
int badblocks_reserve (struct badblocks *b, const struct badblocks_change *c);
void badblocks_apply (struct badblocks *b, const struct badblocks_change *c,
                      const struct badblocks_mode *mode);
void badblocks_give_up (struct badblocks *b);

/* Change the mode alone. */
void badblocks_set_mode (struct badblocks *b,
                         const struct badblocks_mode *mode);

/* Returns all bad ranges as a text that badblocks_parse takes: "+3-5,+9-20" or
 * "none".  The caller frees it; NULL if there is no memory.
 */
char *badblocks_format (struct badblocks *b);

/* Are there any bad blocks?  A request asks this first. */
static inline bool
badblocks_any (const struct badblocks *b)
{
  return atomic_load_explicit (&b->count, memory_order_relaxed) != 0;
}

/* badblocks_check returns this for a request that is to be done all the same.
 * The caller then calls badblocks_clear.
 */
#define BADBLOCKS_MEND 1

/* Check COUNT bytes at OFFSET, whole sectors, for a request that CHANGES their
 * data or reads.  Returns 0; or, where any is bad, BADBLOCKS_MEND if the
 * request changes data and mode.mend is set, or else -EIO with *bad, the byte
 * at which the first bad sector begins, and *mode.  With mode.once the
 * whole range that this sector belongs to is cleared: whatever was marked
 * without a gap.  Of several requests that meet it at the same time one fails.
 */
int badblocks_check (struct badblocks *b, uint64_t offset, uint32_t count,
                     bool changes, struct badblocks_mode *mode, uint64_t *bad);

/* Make COUNT bytes at OFFSET good, whole sectors.  It costs a binary search and
 * a look at each range there; but where some of a range is left on both sides,
 * the list is made anew, as with badblocks_reserve.  Returns 0, or -ENOMEM with
 * the list as it was.
 */
int badblocks_clear (struct badblocks *b, uint64_t offset, uint32_t count);

/* With badblocks-partial-io, the bytes from OFFSET, a whole number of blocks,
 * that are transferred although BAD is bad.
 */
static inline uint32_t
badblocks_transfer (uint64_t offset, uint64_t bad, uint64_t block_size)
{
  return (uint32_t) ((bad - offset) / block_size * block_size);
}

#endif /* NULLBLK_BADBLOCKS_H */
