/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The journal of a device that outlives its process: which writes, appends and
 * commands to zones the process has sent to the server.  Linux gives the next
 * process again all requests that a dead one had not answered, and does not say
 * which these are.  With a scheduler not even their tags are the same, and a
 * write may have grown by what follows it.  So the next process reads here what
 * may have been done already.
 *
 * The journal is in the file of the device's record (ublkdrv/ublk-record.h),
 * behind the record, and mapped by the process that serves the device:
 *
 *     header | slots                        | orphans
 *            | one for each queue and tag   | as many: what dead processes had
 *
 *     FREE ──send──> SENT ──answer──> ANSWERED ──forget──> FREE
 *
 * Of an ANSWERED entry nobody knows whether the kernel has the answer: a
 * process may be killed before or after the kernel takes the entries of its
 * ring.  When another process takes over, the entries in slots become orphans.
 * An orphan stays until the kernel has repeated the request, or until it must
 * have repeated all that it wants.  An entry's state is written after its other
 * fields, when it is sent or becomes an orphan.  When a request that has come
 * again takes an orphan over, its slot is written before the orphan becomes
 * FREE.  So nothing is missed, whenever a process is killed.
 *
 * A slot is written by the thread of its queue alone; orphans are taken by any
 * thread.  There is no lock.
 */

#ifndef NULLBLK_UBLK_JOURNAL_H
#define NULLBLK_UBLK_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "ublkdrv/ublkdrv.h"

struct journal;

/* Make an empty journal in the file FD, for QUEUES queues and SLOTS slots,
 * which may be 0; or read the one that a dead process has left, whose slots
 * become orphans.  These return 0 and the journal in *j, or a negative errno.
 * -ENODATA: there is none, or one of another version or other numbers.
 */
int journal_make (struct journal **j, int fd, unsigned queues, unsigned slots);
int journal_read (struct journal **j, int fd, unsigned queues, unsigned slots);

/* The server of the device's export, as a number of peer.h; 0: not known. */
void journal_set_peer (struct journal *j, uint64_t peer);
uint64_t journal_peer (const struct journal *j);

/* The journal stays in the file.  Nothing happens if J is NULL. */
void journal_close (struct journal *j);

/*---------------------------------------------------------------------*/
/* Slots */

/* OPERATION is about to be sent to PLACE (bytes within the device), for COUNT
 * bytes.
 */
void journal_send (struct journal *j, unsigned slot,
                   enum ublk_operation operation, uint64_t place,
                   uint64_t count);
/* The kernel is about to be told that the operation is done. */
void journal_answer (struct journal *j, unsigned slot);
/* Nothing is to be remembered of the operation any more. */
void journal_forget (struct journal *j, unsigned slot);

/*---------------------------------------------------------------------*/
/* Orphans */

/* Are there any orphans?  This takes no time: it reads one number. */
bool journal_has_orphans (const struct journal *j);

/* OPERATION, a write or a command, has come from the kernel, and has its slot.
 * Returns whether a dead process had sent the same to the same place, with any
 * number of bytes: if so, that is no orphan any more.
 */
bool journal_take (struct journal *j, enum ublk_operation operation,
                   uint64_t place);

/* Find an orphan that is an append of COUNT bytes (0: of any number) to a place
 * from START to END, in bytes within the device.  Sets *i to the first such
 * orphan from number *i on, and *place.  Returns false if there is none.
 */
bool journal_find_append (const struct journal *j, unsigned *i, uint64_t start,
                          uint64_t end, uint64_t count, uint64_t *place);

/* Orphan I, an append, has come again, and has its slot.  Returns false if
 * another thread has taken the orphan.
 */
bool journal_take_append (struct journal *j, unsigned i);

/* Zones were reset: drop all orphans at places from START to END. */
void journal_drop (struct journal *j, uint64_t start, uint64_t end);

/* This process has written from START to END: so no append of a dead one is
 * there, or can come there.  Drop such orphans.
 */
void journal_drop_appends (struct journal *j, uint64_t start, uint64_t end);

/* To be called once by each queue, when the kernel has repeated all requests of
 * the queue whose answers it had not got.  When all queues have called it, the
 * orphans that are left are requests whose answers the kernel did get before
 * the process was killed: so these are dropped.
 */
void journal_queue_has_all (struct journal *j);

/*---------------------------------------------------------------------*/
/* Taking over.  Each queue calls journal_queue_fetches before it fetches its
 * requests, by one system call, and journal_queue_has_fetched afterwards.
 */

/* The device is to be taken over, and no queue has fetched. */
void journal_begin_fetching (struct journal *j);
void journal_queue_fetches (struct journal *j);
void journal_queue_has_fetched (struct journal *j);

/* How many queues of the dead process had fetched their requests.  After
 * FETCHED_SOME, Linux before 6.16 lets no process take the device over.
 */
enum fetched {
  FETCHED_ALL,
  FETCHED_NONE_OR_ALL, /* none; or perhaps the only queue of the device */
  FETCHED_SOME         /* perhaps some and not others */
};
enum fetched journal_fetched (const struct journal *j);

#endif /* NULLBLK_UBLK_JOURNAL_H */
