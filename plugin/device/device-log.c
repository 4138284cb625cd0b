/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Changes of a device with a write log: each goes into the store and into the
 * log, both with the log's lock held, so that both have the same order.  See
 * writelog.h.
 *
 * The log has what the device did: of a request that failed nothing, or only
 * what it wrote before bad blocks; corrupted data as it was written; nothing of
 * a request that a fault rule has the device skip.  A long change
 * has an entry for each of its steps, and others may come between them.  A
 * change across zones has one entry at least for each zone; so the entries of a
 * change that fails in a later zone, or under which power is cut, are of the
 * parts that were done.
 *
 * At a power cut, older content that comes back is logged as writes, and then
 * there is a mark: a replay up to the mark makes the device as it was after the
 * cut.  The log's lock is released now and then meanwhile; as power is off, no
 * request changes anything.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device-internal.h"

#define CUT_MARK "power cut"

/* End the entries of a change, and release the log's lock.  RESULT is the
 * change's: 0; DURABILITY_CUT; or an error, and then nothing was changed,
 * except by log_reset.
 */
static int
end_change (struct device *d, int result)
{
  int r = writelog_end (d->log, result >= 0);

  if (durability_needs_lock (d->durability))
    durability_free_deferred (d->durability);
  return result == 0 ? r : result;
}

/* A step of a change has ended at TO: let other requests in before the next
 * step.  Returns false if there is no next one.
 */
static bool
step_on (uint64_t *offset, uint64_t to, uint64_t end)
{
  *offset = to;
  if (to < end)
    sched_yield (); /* or else this thread locks it again at once */
  return to < end;
}

/* Make zeroes that trim, step by step; other requests come in between.  They
 * are one write, or a part of one, and only the last step counts as a write for
 * durability_cut_after.
 */
static int
log_holes (struct request *request)
{
  struct device *d = request->connection->device;
  uint64_t offset = request_place (request), to;
  const uint64_t end = offset + request->nr_to_move;
  bool fua;
  int r;

  do {
    writelog_begin (d->log);
    to = d->store != NULL ? store_step_end (d->store, d->number, offset, end)
                          : end;
    fua = request->fua && to == end;
    r = writelog_zero (d->log, to - offset, offset, fua);
    if (r == 0)
      r = to < end || request->has_more_parts
              ? durability_trim (d->durability, to - offset, offset,
                                 request->fua)
              : durability_zero (d->durability, to - offset, offset,
                                 request->fua, true);
    if (r == 0)
      request->nr_done += (uint32_t) (to - offset);
    r = end_change (d, r);
  } while (step_on (&offset, to, end) && r == 0);
  return r;
}

/* Do the next step of a long change, and log it. */
static int
log_step (struct request *request, struct durability_long_change *l,
          const char *buf)
{
  struct device *d = request->connection->device;
  uint64_t len;
  bool fua;
  int r;

  writelog_begin (d->log);
  len = durability_long_step_end (d->durability, l) - l->at;
  fua = request->fua && l->at + len == l->end;
  r = buf != NULL ? writelog_write (d->log, buf, len, l->at, fua)
                  : writelog_zero (d->log, len, l->at, fua);
  if (r == 0)
    r = durability_step_long_change (d->durability, l, buf, request->fua);
  return end_change (d, r);
}

int
device_change_long (struct request *request, const char *buf)
{
  struct device *d = request->connection->device;
  const uint64_t offset = request_place (request);
  struct durability_long_change l;
  const char *from;
  int r;

  r = durability_begin_long_change (d->durability, &l, request->nr_to_move,
                                    offset, request->has_more_parts);
  while (r == 0 && l.at < l.end) {
    from = buf != NULL ? buf + (l.at - offset) : NULL;
    r = has_log (d) ? log_step (request, &l, from)
                    : durability_step_long_change (d->durability, &l, from,
                                                   request->fua);
    if (r == 0 && l.at < l.end)
      sched_yield (); /* or else this thread locks it again at once */
  }
  request->nr_done = (uint32_t) (l.at - offset);
  durability_end_long_change (d->durability, &l);
  if (r == -ENOSPC)
    atomic_store_explicit (&d->enospc_seen, true, memory_order_relaxed);
  return r;
}

int
log_change (struct request *request, const void *buf, bool may_trim)
{
  struct device *d = request->connection->device;
  const uint32_t count = request->nr_to_move;
  const uint64_t offset = request_place (request);
  int r;

  if (buf == NULL && zeroes_are_holes (&request->version->s, may_trim))
    return log_holes (request);
  if (count > STORE_STEP || request->has_more_parts)
    return device_change_long (request, buf);
  writelog_begin (d->log);
  if (buf != NULL)
    r = writelog_write (d->log, buf, count, offset, request->fua);
  else
    r = writelog_zero (d->log, count, offset, request->fua);
  if (r == 0) {
    r = change_store (request, buf, may_trim);
    if (r == 0)
      request->nr_done = count; /* even if the log fails now */
  }
  return end_change (d, r);
}

/* Returns where the next entry of a trim from OFFSET to END ends.  A range
 * without data is one entry, whatever its length is.  This looks at no more
 * data than the entry has.
 */
static uint64_t
end_of_trim (struct device *d, uint64_t offset, uint64_t end)
{
  const uint64_t most =
      end - offset > WRITELOG_MAX_TRIM ? offset + WRITELOG_MAX_TRIM : end;
  uint64_t hole_end;
  bool is_data;

  if (d->store == NULL)
    return most;
  hole_end = store_extent (d->store, d->number, offset, most, &is_data);
  if (is_data || hole_end < most)
    return most;
  hole_end = store_extent (d->store, d->number, offset, end, &is_data);
  hole_end &= ~((uint64_t) d->devices->settings.block_size - 1);
  return hole_end > most ? hole_end : most;
}

/* The trim is done step by step; other requests come in between. */
int
log_trim (struct device *d, uint64_t count, uint64_t offset, bool fua)
{
  const uint64_t end = offset + count;
  uint64_t to;
  int r;

  do {
    writelog_begin (d->log);
    to = end_of_trim (d, offset, end);
    if (d->store != NULL)
      to = min (to, store_step_end (d->store, d->number, offset, to));
    r = writelog_trim (d->log, to - offset, offset, fua && to == end);
    if (r == 0)
      r = durability_trim (d->durability, to - offset, offset, fua);
    r = end_change (d, r);
  } while (step_on (&offset, to, end) && r == 0);
  return r;
}

int
log_flush (struct device *d)
{
  int r;

  writelog_begin (d->log);
  r = writelog_flush (d->log);
  if (r == 0)
    r = durability_flush (d->durability);
  return end_change (d, r);
}

/* The most entries that are made while the lock is held. */
#define RESET_ENTRIES 256

/* A reset is durable at once.  While power is on it is done even if it cannot
 * be logged.  It may have many entries, and other requests come between them:
 * but none of this zone, which the request has, and no power cut is finished,
 * as that waits for this request.
 */
int
log_reset (struct device *d, uint64_t count, uint64_t offset)
{
  const uint64_t end = offset + count;
  unsigned entries = 0;
  uint64_t to;
  int r;

  writelog_begin (d->log);
  r = durability_reset_zone (d->durability, offset);
  for (; r == 0 && offset < end; offset = to) {
    if (entries++ == RESET_ENTRIES) {
      entries = 1;
      r = end_change (d, 0);
      sched_yield (); /* or else this thread locks it again at once */
      writelog_begin (d->log);
      if (r < 0)
        break;
    }
    to = end_of_trim (d, offset, end);
    r = writelog_trim (d->log, to - offset, offset, to == end);
  }
  return end_change (d, r);
}

/*---------------------------------------------------------------------*/
/* Power */

/* Log a range that went back to older content, with the content that it has
 * now.  The log's lock is held.
 */
static void
log_undone (void *arg, uint64_t offset, uint64_t count)
{
  struct device *d = arg;
  uint64_t len;
  bool is_data;

  if (store_extent (d->store, d->number, offset, offset + count, &is_data) ==
          offset + count &&
      !is_data) {
    writelog_zero (d->log, count, offset, false);
    return;
  }
  for (; count > 0; offset += len, count -= len) {
    len = count < LOG_BUFFER ? count : LOG_BUFFER;
    store_read (d->store, d->number, d->log_buffer, len, offset);
    writelog_write (d->log, d->log_buffer, len, offset, false);
  }
}

static void
begin_undoing (void *arg)
{
  struct device *d = arg;

  writelog_begin (d->log);
}

static void
end_undoing (void *arg)
{
  struct device *d = arg;

  writelog_end (d->log, true);
}

/* Log a mark: all entries behind it are of changes after the cut. */
static void
mark_cut (void *arg)
{
  struct device *d = arg;

  writelog_begin (d->log);
  writelog_mark (d->log, CUT_MARK);
  writelog_end (d->log, true);
}

void
log_prepare_cut (struct device *d, struct power_cut *cut)
{
  cut->begin = begin_undoing;
  cut->undone = log_undone;
  cut->end = end_undoing;
  cut->finished = mark_cut;
  cut->arg = d;
}

/* Power is cut with the log's lock held, and so not between a change and its
 * entry.
 */
int
log_begin_cut (struct device *d, const struct power_cut *cut)
{
  int r;

  writelog_begin (d->log);
  r = durability_begin_cut (d->durability, cut);
  writelog_end (d->log, true);
  return r;
}

/*---------------------------------------------------------------------*/
/* Marks */

int
device_check_mark (struct device *d, const char *text, struct message *why)
{
  struct writelog_status s;
  int r = -EINVAL;

  if (d->log == NULL) {
    message_set (why, "mark: the device has no write log (write-log=FILE)");
    return r;
  }
  writelog_status (d->log, &s);
  if (text[0] == '\0')
    message_set (why, "mark: allowed is a text");
  else if (strlen (text) > writelog_longest_mark (d->log))
    message_set (why, "mark=%.80s: allowed is a text of at most %zu bytes",
                 text, writelog_longest_mark (d->log));
  else if (s.error != 0) {
    message_set (why, "mark=%.80s: the write log has ended: %s", text,
                 strerror (-s.error));
    r = -EIO;
  }
  else
    r = 0;
  return r;
}

int
device_mark (struct device *d, const char *text, struct message *why)
{
  int r = device_check_mark (d, text, why);

  if (r < 0)
    return r;
  writelog_begin (d->log);
  r = end_change (d, writelog_mark (d->log, text));
  if (r < 0)
    device_check_mark (d, text, why);
  return r;
}

/*---------------------------------------------------------------------*/
/* The files of write logs */

static void
path_of_log (const struct device *d, char *path, size_t len)
{
  const struct settings *s = &d->devices->settings;

  if (s->devices == 1)
    snprintf (path, len, "%s", s->write_log);
  else
    snprintf (path, len, "%s.%s", s->write_log, d->name);
}

static int
open_log (struct device *d, struct message *why)
{
  char path[MAX_FILE_NAME + 32];
  struct message wrong;
  int r;

  path_of_log (d, path, sizeof path);
  message_set (&wrong, "%s", strerror (ENOMEM));
  d->log_buffer = malloc (LOG_BUFFER);
  if (d->log_buffer == NULL)
    r = -ENOMEM;
  else
    r = writelog_open (&d->log, path, d->devices->settings.block_size, &wrong);
  if (r == 0)
    durability_defer_frees (d->durability);
  else
    message_set (why, "write-log=%.300s: %s", path, wrong.text);
  return r;
}

int
devices_open_logs (struct devices *devices, struct message *why)
{
  uint32_t i;
  int r = 0;

  if (devices->settings.write_log[0] == '\0')
    return 0;
  for (i = 0; r == 0 && i < devices->count; i++)
    r = open_log (&devices->device[i], why);
  return r;
}

int
devices_start_logs (struct devices *devices, struct message *why)
{
  char path[MAX_FILE_NAME + 32];
  struct device *d;
  int r, first = 0;
  uint32_t i;

  for (i = 0; i < devices->count; i++) {
    d = &devices->device[i];
    r = d->log != NULL ? writelog_start (d->log) : 0;
    if (r < 0 && first == 0) {
      first = r;
      path_of_log (d, path, sizeof path);
      message_set (why, "write-log=%.300s: %s", path, strerror (-r));
    }
  }
  return first;
}

static int
close_log (struct device *d, struct message *why)
{
  char path[MAX_FILE_NAME + 32];
  int r = 0;

  if (d->log != NULL)
    r = writelog_close (d->log);
  d->log = NULL;
  free (d->log_buffer);
  d->log_buffer = NULL;
  if (r < 0) {
    path_of_log (d, path, sizeof path);
    message_set (why, "write-log=%.300s: %s", path, strerror (-r));
  }
  return r;
}

int
devices_close_logs (struct devices *devices, struct message *why)
{
  struct message first;
  uint32_t i;
  int r = 0;

  for (i = 0; i < devices->count; i++) {
    if (close_log (&devices->device[i], &first) < 0 && r == 0) {
      r = -EIO;
      *why = first;
    }
  }
  return r;
}
