/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The journal of a device that outlives its process: which writes, appends and
 * commands to zones the process has with the server.  Linux has another process
 * do anew all that a dead one had begun, and does not say what that is; with a
 * scheduler not even the tags are the same, and a write may have grown
 * meanwhile by what follows it.  So the next process reads here what it may
 * find done.
 *
 * The journal is in the file of the device's record (ublkdrv/device-record.h),
 * behind the record, and mapped by the process that serves the device:
 *
 *     header | slots                        | orphans
 *            | one for each queue and tag   | as many: what dead processes had
 *
 *     FREE ──send──> SENT ──answer──> ANSWERED ──forget──> FREE
 *
 * ANSWERED is what the kernel may have heard of or not: a process is killed
 * before or after its ring's entries are taken.  What is in slots when a
 * process takes over become orphans, until the same is asked again, or until
 * the kernel must have asked again for all that it wants.  The state of an
 * entry is written last where it becomes an orphan, or is sent, and the slot of
 * what takes the place of an orphan is written before that is FREE: so nothing
 * is missed, whenever a process is killed.
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

/* Make an empty one in the file FD, for QUEUES queues and SLOTS slots, which
 * may be 0; or read the one that a dead process has left, whose slots become
 * orphans.  These return 0 and the journal in *j, or a negative errno:
 * -ENODATA: there is none, or one of another kind.
 */
int journal_make (struct journal **j, int fd, unsigned queues, unsigned slots);
int journal_read (struct journal **j, int fd, unsigned queues, unsigned slots);

/* The file keeps it.  Nothing happens if J is NULL. */
void journal_close (struct journal *j);

/*---------------------------------------------------------------------*/
/* Slots */

/* OPERATION is about to be sent to PLACE (bytes within the device), for COUNT
 * bytes; the kernel is about to be told that it is done; nothing is to be
 * remembered of it any more.
 */
void journal_send (struct journal *j, unsigned slot,
                   enum ublk_operation operation, uint64_t place,
                   uint64_t count);
void journal_answer (struct journal *j, unsigned slot);
void journal_forget (struct journal *j, unsigned slot);

/*---------------------------------------------------------------------*/
/* Orphans */

/* Is there any?  It costs a look at a number. */
bool journal_has_orphans (const struct journal *j);

/* The same has come again, and has its slot.  Returns whether a dead process
 * has had it: OPERATION, a write or a command, at the same place.  It is no
 * orphan any more then.
 */
bool journal_take (struct journal *j, enum ublk_operation operation,
                   uint64_t place);

/* Orphans that are appends of COUNT bytes to somewhere from START to END (bytes
 * within the device); 0 bytes: of any number.  Returns the first one from *i on
 * in *i, and its place; or false if there is none.
 */
bool journal_find_append (const struct journal *j, unsigned *i, uint64_t start,
                          uint64_t end, uint64_t count, uint64_t *place);

/* It has come again, and has its slot.  Returns false if another thread has
 * taken it.
 */
bool journal_take_append (struct journal *j, unsigned i);

/* From START to END nothing is any more what a dead process may have written.
 */
void journal_drop (struct journal *j, uint64_t start, uint64_t end);

/* From START to END this process has written: so no append of a dead one is
 * there, or comes to be there.
 */
void journal_drop_appends (struct journal *j, uint64_t start, uint64_t end);

/* A queue, which may say so once, has been asked again for all that the kernel
 * had not heard of.  Where all queues have been, nothing is an orphan any more:
 * what is left the kernel has heard of.
 */
void journal_queue_has_all (struct journal *j);

/*---------------------------------------------------------------------*/
/* Taking over.  Each queue says before and after it fetches its requests, for
 * which it makes one system call.
 */

/* The device is to be taken over, and no queue has fetched. */
void journal_begin_fetching (struct journal *j);
void journal_queue_fetches (struct journal *j);
void journal_queue_has_fetched (struct journal *j);

/* What the dead process has come to: all queues had fetched; none had, or all
 * had; or perhaps some, which Linux before 6.16 cannot do with: it lets nobody
 * take over the device, or stumbles over its own foot when it does.
 */
enum fetched { FETCHED_ALL, FETCHED_NOTHING, FETCHED_SOME };
enum fetched journal_fetched (const struct journal *j);

#endif /* NULLBLK_UBLK_JOURNAL_H */
