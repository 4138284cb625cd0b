/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Where appends go.  NBD has no append, so each becomes a write at a write
 * pointer that is kept here for each zone, and that moves when the append is
 * sent, not when it is done: so many appends of one zone can be in flight.
 *
 *     zone    |#########|1111|22|33333|            |
 *             start     three appends  \           end of capacity
 *                       in flight       next
 *
 * A zone's pointer is not known at first, and no longer known after a zone
 * command, a write or an append that failed, or new connections.  Then, as soon
 * as no append of the zone is in flight, the next one reads the descriptor
 * before it is sent, and others wait for that.
 *
 * An append can fail although nothing is wrong with it, just because of another
 * append.  When one fails, those behind it are no longer at the zone's write
 * pointer, and fail as well.  And a server that serves requests in parallel may
 * come to an append before it has done the one in front of that.  In both cases
 * the error is EIO or EINVAL, and nothing is written.  So an append that fails
 * with one of these errors is sent again, to another offset, if one in front of
 * it, at a lower offset of the zone
 *
 *     - has failed, with whatever error, since the descriptor was read, or
 *     - is not answered yet.
 *
 * Neither is so for the append in front of all others: if that fails, it is
 * over.  So all of them come to an end.
 *
 * Appends of two connections would overtake each other, so only those of one
 * connection are in flight to a zone at the same time.
 *
 * An append belongs to its caller, who keeps it from appends_begin to
 * appends_end.  All functions may be called by any thread; the lock is this
 * file's own, and held for a moment.
 */

#ifndef NULLBLK_UBLK_APPEND_H
#define NULLBLK_UBLK_APPEND_H

#include <stdbool.h>
#include <stdint.h>

enum append_turn {
  APPEND_READS,   /* read the zone's descriptor, then call appends_learn */
  APPEND_GOES,    /* write at offset, then call appends_end */
  APPEND_REFUSED, /* it does not fit, or the zone could not be read */
};

struct append {
  struct append *next; /* in the list that a function returns; else private */
  struct append *sent; /* private */
  uint64_t zone;       /* its number */
  uint64_t count;      /* bytes */
  unsigned connection; /* by which it is sent: any number */
  uint64_t offset;     /* of APPEND_GOES: where, in bytes within the device */
  enum append_turn turn;
};

struct appends;

/* Make the pointers of so many zones.  Up to DEPTH appends of a zone are sent
 * before the first of them is answered.  NULL if there is no memory.
 */
struct appends *appends_create (uint64_t nr_zones, unsigned depth);
void appends_destroy (struct appends *a);

/* An append has come; its zone, count and connection are set.  Returns the
 * append, with its turn set; or NULL if it has to wait: then one of the
 * functions below returns it later, perhaps in another thread and before
 * appends_begin returns.
 */
struct append *appends_begin (struct appends *a, struct append *append);

/* An append whose turn was APPEND_READS has read the zone's descriptor.  If
 * IS_KNOWN, the next append goes to POINTER, and the zone can be written up to
 * END, both in bytes within the device, and both the same if the zone can take
 * nothing.  Otherwise the descriptor could not be read.  Returns a list of
 * the appends whose turn it is now, with their turns set; APPEND is among them.
 */
struct append *appends_learn (struct appends *a, struct append *append,
                              bool is_known, uint64_t pointer, uint64_t end);

/* An append whose turn was APPEND_GOES was written, if ERR is 0, or has failed
 * with ERR, a negative errno of NBD's.  *is_over says whether that was the end
 * of it.  If not, it is to be sent again: it is in the list that this or a
 * later call returns, and may be another thread's already.  Returns a list of
 * those whose turn it is now.
 */
struct append *appends_end (struct appends *a, struct append *append, int err,
                            bool *is_over);

/* A write (no append) has written the zone up to END. */
void appends_note_write (struct appends *a, uint64_t zone, uint64_t end);

/* The write pointer of the zone may be anywhere. */
void appends_forget (struct appends *a, uint64_t zone);
/* As appends_forget, for all zones. */
void appends_forget_all (struct appends *a);

#endif /* NULLBLK_UBLK_APPEND_H */
