/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The write log: a file in the format of the kernel's dm-log-writes (version
 * 1), from which its replay tools, or ours, rebuild the device as of any entry.
 * The layout is drawn at the top of writelog.c.
 *
 * Entries stand in the order in which changes reached the store: a thread that
 * makes a change holds the log's lock (writelog_begin) until the change is in
 * both.  dm-log-writes needs more: it keeps writes back until a flush that was
 * sent after their completion.  Here a change takes effect in one moment, and a
 * flush makes durable all changes that took effect before it, so the log up to
 * a flush has just the changes that must survive.  (A write that was in place
 * and not yet answered when the flush came stands before it here; dm-log-writes
 * may have it after the flush.)
 *
 * A long change has several entries, as it is made step by step, and only the
 * last of them, or across zones the last in each zone, has the FUA flag.
 * Zeroes are logged as writes of zeroes, which every target of a replay can do;
 * in the file they are holes.  Trims are DISCARD entries.  No entry is longer
 * than replay tools take at a time, except trims of what was empty before.
 *
 * With a log, changes of the device are done one at a time, and each makes a
 * system call.  The number of entries in the super block is updated at every
 * flush, FUA and mark and at the end, so that the log of a server that was
 * killed replays up to the last of these.
 *
 * When the file cannot be written the request at hand gets -EIO, once; the log
 * ends before it, and nothing is logged from then on.
 */

#ifndef NULLBLK_WRITELOG_H
#define NULLBLK_WRITELOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/common.h"

#define WRITELOG_FLUSH 1
#define WRITELOG_FUA 2
#define WRITELOG_DISCARD 4
#define WRITELOG_MARK 8
#define WRITELOG_METADATA 16 /* never written here */

/* The longest DISCARD entry for a range with data in it.  A replay tool whose
 * target cannot discard writes zeroes instead, but skips entries that are
 * longer than this; an entry for what was empty before can have any length.
 */
#define WRITELOG_MAX_TRIM (UINT64_C (128) << 20)

struct writelog;

/* Open the log file, or make an empty one, and lock it where its filesystem has
 * locks: nothing else can open it as its log until it is closed in this process
 * and in all that were forked from it.  What is in it stays until
 * writelog_start, or the first change.  SECTOR_SIZE, a power of two from 512
 * up, is the unit of everything in a log: the device's block size.  Returns 0;
 * or -EINVAL if PATH is no regular file, -EWOULDBLOCK if it is locked, -ENOMEM,
 * or what open or write fails with, and says in *why what is wrong with it, and
 * what is allowed.
 */
int writelog_open (struct writelog **log, const char *path,
                   uint32_t sector_size, struct message *why);

/* Empty the file, unless that was done; changes may be logged meanwhile.
 * Returns 0, or what ftruncate or write fails with; then the first change tries
 * it again.
 */
int writelog_start (struct writelog *log);

/* Returns 0, or the error that ended the log, before or now.  The file of a log
 * that was not started is left as it is.
 */
int writelog_close (struct writelog *log);

/* To log a change: writelog_begin locks the log; then append the entries of the
 * change and make the change, in any order; writelog_end unlocks the log, and
 * without KEEP, as the change has failed, removes these entries.  All but begin
 * return 0, or -EIO when the file cannot be written (without KEEP, writelog_end
 * always returns 0); once the log has ended, they do nothing and return 0,
 * except that writelog_mark returns -EIO, as somebody will look for the mark.
 * writelog_mark returns -EINVAL for a mark longer than writelog_longest_mark.
 */
void writelog_begin (struct writelog *log);
int writelog_write (struct writelog *log, const void *buf, uint64_t count,
                    uint64_t offset, bool fua);
int writelog_zero (struct writelog *log, uint64_t count, uint64_t offset,
                   bool fua);
int writelog_trim (struct writelog *log, uint64_t count, uint64_t offset,
                   bool fua);
int writelog_flush (struct writelog *log);
int writelog_mark (struct writelog *log, const char *text);
int writelog_end (struct writelog *log, bool keep);

size_t writelog_longest_mark (const struct writelog *log);

struct writelog_status {
  uint64_t entries;
  uint64_t bytes; /* of the file */
  int error;      /* negative errno: why the log has ended; 0: it has not */
};
void writelog_status (struct writelog *log, struct writelog_status *s);

/* Reading a log, by one thread. */
struct writelog_reader;

struct writelog_entry {
  uint64_t nr; /* from 0 */
  uint64_t flags;
  uint64_t offset, count; /* bytes */
  bool has_data;          /* COUNT bytes of it */
  const char *mark;       /* of a mark; valid until the next entry */
};

/* PATH is a regular file or a block device.  Returns 0; or -EINVAL if it is
 * not, or is not such a log, -ENOMEM, or what open or read fails with, and says
 * in *why what is wrong with it.
 */
int writelog_read_open (struct writelog_reader **reader, const char *path,
                        struct message *why);
void writelog_read_close (struct writelog_reader *r);

uint64_t writelog_read_entries (const struct writelog_reader *r);
uint32_t writelog_read_sector_size (const struct writelog_reader *r);

/* The next entry.  Returns 1, or 0 at the end; or -EINVAL if it makes no sense
 * or the file is too short, or what read fails with, and the reason in *why.
 */
int writelog_read_next (struct writelog_reader *r, struct writelog_entry *e,
                        struct message *why);

/* COUNT bytes, at FROM, of the data of the last entry.  Returns 0, or -EINVAL
 * beyond its end or that of the file, or what read fails with.
 */
int writelog_read_data (struct writelog_reader *r, void *buf, size_t count,
                        uint64_t from);

#endif /* NULLBLK_WRITELOG_H */
