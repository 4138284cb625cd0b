/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The store: sparse RAM for all devices of a server.  A device is a *volume*
 * in it, a number below arena_options.volumes (at most MAX_VOLUMES); an address
 * is a volume and an offset in bytes, up to 2^63-1.  What was never written, or
 * was trimmed, reads as zeroes and counts as holding no memory.
 *
 * How it is built is drawn at the top of store.c.  Every function may be
 * called by any thread at any time.  A block of up to 128 KiB that is
 * aligned to its size is read and written as a whole, whatever the request
 * that it is part of: no read sees half of a write to it.
 */

#ifndef NULLBLK_STORE_H
#define NULLBLK_STORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "machine.h"

#define MAX_VOLUMES (1 << 16)

struct store;

/* Returns 0, or what arena_create fails with, or -ENOMEM. */
int store_create (struct store **store, const struct arena_options *o);
void store_destroy (struct store *store);

/* Data at OFFSET is soon to be read or written: have the CPU fetch the first of
 * it, and what guards it, meanwhile.  This is only for speed: the function
 * looks only at the place where a chunk usually stands in the hash table, and
 * takes no lock.
 */
void store_expect (struct store *store, uint32_t volume, bool is_write,
                   uint64_t offset);

/* Read COUNT bytes at OFFSET. */
void store_read (struct store *store, uint32_t volume, void *buf,
                 uint64_t count, uint64_t offset);

/* Write COUNT bytes at OFFSET.  Returns 0, or -ENOSPC when the memory for it
 * would pass the limit or the system gives none.  Then nothing has changed,
 * except that of more than STORE_STEP bytes the first may be written where the
 * system gives less memory than it said.
 */
int store_write (struct store *store, uint32_t volume, const void *buf,
                 uint64_t count, uint64_t offset);

/* The other side of a read or a write whose data is moved without a buffer in
 * between.  MOVE moves N bytes: from DATA, which is memory of the store's, to
 * that side for a read, and from there to DATA for a write.  AT is where they
 * are in the request, in bytes from its beginning.  Of a read, DATA is NULL for
 * N zeroes.  Returns 0 or a negative errno.  A stripe of the store's may be
 * locked meanwhile: so MOVE waits for nobody, and then N is a step at most.
 */
struct store_mover {
  int (*move) (struct store_mover *m, void *data, uint64_t n, uint64_t at);
};

/* Read COUNT bytes at OFFSET to where M moves them.  BUF, for data that lies in
 * many pieces, has room for COUNT bytes, or for a chunk if that is less.
 * Returns 0, or the error of M, which is not called any more after that.
 */
int store_read_to (struct store *store, uint32_t volume, struct store_mover *m,
                   void *buf, uint64_t count, uint64_t offset);

/* Do as store_write, for STORE_STEP bytes at most, which M moves.  Where M
 * fails, returns its error: the range counts as written then, with zeroes where
 * M has not moved anything, or not all of a piece.
 */
int store_write_from (struct store *store, uint32_t volume,
                      struct store_mover *m, uint64_t count, uint64_t offset);

/* Write old content back, COUNT bytes (at most STORE_STEP) at OFFSET, and
 * return as store_write does.  *CHARGED bytes have been charged already for the
 * memory that this needs, by store_charge; those that it uses are taken from
 * *CHARGED.  The caller sees to it that nobody else changes the range
 * meanwhile.
 */
int store_restore (struct store *store, uint32_t volume, const void *buf,
                   uint64_t count, uint64_t offset, uint64_t *charged);

/* Make COUNT bytes at OFFSET zero and keep, or take, the memory for them:
 * afterwards they count as written, and a write to them cannot fail.  Returns
 * as store_write does.
 */
int store_zero (struct store *store, uint32_t volume, uint64_t count,
                uint64_t offset);

/* Would there be memory for COUNT bytes at OFFSET, to be written, or made zero
 * and kept, if all that store_charge has charged were uncharged?  If not, it
 * does not help a request to uncharge that.  While nobody else changes the
 * range, the answer false was true at some moment of the call, whatever others
 * do elsewhere.
 */
bool store_could_hold (struct store *store, uint32_t volume, uint64_t count,
                       uint64_t offset);

/* Make COUNT bytes at OFFSET zero, and uncharge each 4 KiB page that is all
 * zero then, or in a whole arena (arena.h) each chunk, unless it is reserved
 * (store_reservation).  The system may get the memory later (store-trim.c).
 * The time that this takes depends on the data that is there, and not on COUNT.
 */
void store_trim (struct store *store, uint32_t volume, uint64_t count,
                 uint64_t offset);

/* A caller that holds a lock while it trims goes step by step, and releases the
 * lock between two steps.  A step is a range with at most STORE_STEP bytes of
 * data in it, and so may be of any length.  store_trim_step trims one step from
 * OFFSET on, up to END at most, and returns where the step ends; store_step_end
 * only returns where it would end.
 */
#define STORE_STEP (UINT64_C (2) << 20)
uint64_t store_trim_step (struct store *store, uint32_t volume, uint64_t offset,
                          uint64_t end);
uint64_t store_step_end (struct store *store, uint32_t volume, uint64_t offset,
                         uint64_t end);

/* A write, or a zero that keeps memory, that is longer than STORE_STEP also
 * goes step by step, and other requests come in between.  So that it is refused
 * as a whole or not at all, memory for all of it is reserved first: the request
 * is charged for pages that are missing; a trim that comes in between makes
 * reserved pages zero, but does not take their memory.  If two requests have
 * reservations for one place, both are charged for the pages that are missing
 * there, and each is uncharged for what it did not need.
 */
struct store_reservation {
  uint32_t volume;
  uint64_t offset, end; /* the range that is not done yet */
  uint64_t cost;        /* bytes, of the pages that are missing */
  uint64_t charged;     /* bytes of these, charged and not used yet */
  struct store_reservation *next;
};

/* Use a reservation in this order: begin it, for COUNT bytes at OFFSET; charge
 * it, which returns 0, or -ENOSPC; do the steps, each from p->offset up to
 * store_reserved_step_limit, with the step's data at BUF, or NULL for zeroes;
 * and end the reservation, in any case.  It may be tried again to charge it, if
 * it could be charged when all that store_charge has charged is uncharged.
 * When it has been charged, a step fails, with -ENOSPC, only where the system
 * has less memory than it said.
 */
void store_begin_reservation (struct store *store, struct store_reservation *p,
                              uint32_t volume, uint64_t count, uint64_t offset);
int store_charge_reservation (struct store *store, struct store_reservation *p);
bool store_could_charge_reservation (struct store *store,
                                     const struct store_reservation *p);
uint64_t store_reserved_step_limit (const struct store *store,
                                    const struct store_reservation *p);
int store_write_reserved_step (struct store *store, struct store_reservation *p,
                               const void *buf);
void store_end_reservation (struct store *store, struct store_reservation *p);

/* Is the page at OFFSET written?  *written is the answer.  Returns the offset
 * at which that changes, or END if it does not change before; OFFSET < END.
 */
uint64_t store_extent (struct store *store, uint32_t volume, uint64_t offset,
                       uint64_t end, bool *written);

/* Bytes charged against the limit now: for all volumes, for reservations, and
 * by callers of store_charge.
 */
uint64_t store_charged (struct store *store);

/* How many 4 KiB pages of a volume are written. */
uint64_t store_written_pages (struct store *store, uint32_t volume);

/* How often the next chunk of a volume was looked for, for tests that count
 * work: at each step over a range without chunks, and for each chunk that a
 * trim or store_step_end meets.
 */
uint64_t store_count_lookups (struct store *store, uint32_t volume);

/* The most bytes that any request which changed several chunks has had locked
 * at once, for tests that count work.
 */
uint64_t store_most_locked (struct store *store);

/* Memory for copies of data that a caller keeps, and for which it calls
 * store_charge itself.  A struct is for copies that are given back in about the
 * order in which they were taken.  It is drawn at the top of store-copies.c.
 */
struct store_copies {
  pthread_mutex_t lock; /* guards all that follows */
  uint32_t filling, spare;
  unsigned next;
  uint64_t pages;
};
void store_copies_init (struct store_copies *c);

/* Call this when all copies have been given back.  STORE may be NULL, if no
 * copy was ever taken.
 */
void store_copies_destroy (struct store *store, struct store_copies *c);

/* Take memory for BYTES, a chunk at most, in whole pages.  Returns NULL if
 * there is none, or if the arena is a whole one: then use other memory.
 */
char *store_take_copy (struct store *store, struct store_copies *c,
                       uint64_t bytes);

/* Give the memory of a copy back: with NOW to the system at once, otherwise
 * with the last copy of the same chunk, or later.
 */
void store_give_copy (struct store *store, struct store_copies *c,
                      const char *copy, uint64_t bytes, bool now);

/* Charge BYTES that a caller has elsewhere to the budget.  Returns 0, or
 * -ENOSPC when that would pass the limit; then nothing is charged.
 */
int store_charge (struct store *store, uint64_t bytes);
void store_uncharge (struct store *store, uint64_t bytes);

/* Change the limit; see arena_set_limit. */
int store_set_limit (struct store *store, uint64_t limit);

#endif /* NULLBLK_STORE_H */
