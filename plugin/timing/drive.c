/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What real drives do; see drive.h.
 */

#include <config.h>

#include <string.h>

#include "drive.h"

void
drive_settings_complete (struct drive_settings *s)
{
  const bool drains_in_no_time =
      s->buffer.bytes_per_sec == 0 &&
      (s->drain == NULL || distribution_is_zero (s->drain)) &&
      (s->pause == NULL || distribution_is_zero (s->pause)) &&
      s->flash.program == 0 && s->flash.erase == 0;

  s->drains_to_disk = drains_in_no_time && s->disk.rpm != 0;
  s->buffer_size = drains_in_no_time && !s->drains_to_disk ? 0 : s->buffer.size;
  if (s->cache_size != 0)
    s->buffer_size = min (s->buffer_size, s->cache_size);
  s->has_any = s->buffer_size != 0 || s->io_credits.base != 0 ||
               s->byte_credits.base != 0 || s->flash.dies != 0 ||
               s->collection.factor != 0 || s->disk.rpm != 0;
  disk_settings_complete (&s->disk, s->size);
}

/*---------------------------------------------------------------------*/
/* The clock of work */

static uint64_t
worked_at (const struct work_clock *c, uint64_t moment)
{
  return stall_worked (&c->stall, c->origin, moment) + c->shift;
}

static uint64_t
moment_of (const struct work_clock *c, uint64_t worked)
{
  return worked < UINT64_MAX
             ? stall_moment (&c->stall, c->origin, worked - c->shift)
             : UINT64_MAX;
}

/* STALL is in force at NOW. */
static void
set_stall (struct work_clock *c, const struct stall *stall, uint64_t now)
{
  uint64_t worked;

  if (c->stall.every == stall->every && c->stall.length == stall->length)
    return;
  worked = worked_at (c, now);
  c->stall = *stall;
  c->shift = worked - stall_worked (stall, c->origin, now);
}

/*---------------------------------------------------------------------*/

/* Returns the nanoseconds of the pauses that fall into a write of BYTES from
 * the buffer to the medium.  If these are several pauses, one time is drawn for
 * all of them.
 */
static uint64_t
pause_cost (struct drive *m, const struct drive_settings *s,
            struct random *random, uint64_t bytes,
            const struct seek_place *place)
{
  const uint64_t every = s->pause_every != 0 ? s->pause_every : s->buffer_size;
  uint64_t pauses, nsec;

  /* A live change may have made it less. */
  m->unpaused = m->unpaused % every + bytes;
  pauses = m->unpaused / every;
  m->unpaused %= every;
  if (pauses == 0)
    return 0;
  nsec = distribution_draw (s->pause, random_next (random), place);
  return wide_quotient (wide_product (pauses, nsec), 1);
}

/* Returns how many nanoseconds the medium needs to take a write from the
 * buffer, with pauses and collection.
 */
static uint64_t
drain_cost (struct drive *m, const struct drive_settings *s,
            struct random *random, const struct latency_request *r,
            uint64_t factor)
{
  const uint64_t from = m->drained_to;
  const uint64_t bytes_per_sec =
      s->drains_to_disk ? s->disk.bytes_per_sec : s->buffer.bytes_per_sec;
  const struct seek_place place = {
      .distance = r->offset > from ? r->offset - from : from - r->offset,
      .size = s->size,
      .count = r->count};
  uint64_t nsec = 0;

  if (s->drain != NULL)
    nsec = distribution_draw (s->drain, random_next (random), &place);
  if (bytes_per_sec != 0)
    nsec +=
        (uint64_t) ((double) r->count * NSEC_PER_SEC / (double) bytes_per_sec);
  m->drained_to = r->offset + r->count;
  if (factor != 1000)
    nsec = nsec * factor / 1000;
  if (s->flash.dies != 0)
    nsec = moment_after (nsec, flash_cost (&s->flash, r->count, factor));
  if (s->pause != NULL)
    nsec = moment_after (
        nsec, pause_cost (m, s, random, r->count * factor / 1000, &place));
  return nsec;
}

/* Returns how long the dies are at a request, those before it included. */
static uint64_t
serve_by_dies (struct drive *m, const struct drive_settings *s,
               const struct latency_request *r, uint64_t factor,
               struct flash_booking *booking)
{
  uint64_t done = r->arrival;

  if (r->op == OP_READ)
    done = flash_read (&m->flash, &s->flash, r->offset, r->count, r->arrival,
                       booking);
  else if ((r->op == OP_WRITE || r->op == OP_ZERO) && s->buffer_size == 0)
    done = flash_program (&m->flash, &s->flash, r->count, factor, false,
                          r->arrival, booking);
  return done - r->arrival;
}

/* In a stall moments are not as far apart as they are for the head. */
static void
note_decisions (struct drive *m)
{
  const uint64_t next =
      m->clock.stall.every == 0 ? moment_of (&m->clock, m->disk.free_at) : 0;

  atomic_store_explicit (&m->decides_at, next, memory_order_release);
}

/* Returns when a request that the head serves is done, or has to ask. */
static uint64_t
serve_by_head (struct drive *m, const struct drive_settings *s,
               const struct latency_request *r, uint64_t done,
               struct drive_booking *booking)
{
  booking->after_disk_nsec = done - r->arrival;
  done = moment_after (disk_enter (&m->disk, &s->disk, r, &booking->ticket),
                       booking->after_disk_nsec);
  note_decisions (m);
  return done;
}

/* Does the head serve it?  A buffer takes writes. */
static bool
is_for_head (const struct drive_settings *s, enum operation op)
{
  return s->disk.rpm != 0 &&
         (op == OP_READ ||
          ((op == OP_WRITE || op == OP_ZERO) && s->buffer_size == 0));
}

/* Not below 0, as sums of such numbers are not exact. */
static double
less (double from, double n)
{
  return from > n ? from - n : 0;
}

/* A write joins all runs that it touches, and makes them one run.  Only LONGEST
 * bytes of that are kept, the write among them.  Of what was dirty when the
 * write before this one came, the share LEFT still is.  Returns how many runs
 * the write has joined, of each as much as is left; the run that was written
 * last counts as a whole one, as the head is there.
 */
static double
join_runs (struct dirty *d, uint64_t from, uint64_t to, uint64_t longest,
           double left)
{
  const struct dirty before = *d;
  const uint64_t begin = from;
  double joined = 0;
  uint32_t i, n = 1;

  for (i = 0; i < before.nr_runs; i++) {
    if (from <= before.runs[i].to && to >= before.runs[i].from) {
      from = min (from, before.runs[i].from);
      to = max (to, before.runs[i].to);
      joined += i == 0 ? 1 : before.runs[i].left * left;
    }
    else if (n < DRIVE_RUNS) {
      d->runs[n] = before.runs[i];
      d->runs[n++].left *= left;
    }
  }
  to = min (to, begin + longest);
  d->runs[0].from = max (from, to - min (to, longest));
  d->runs[0].to = to;
  d->runs[0].left = 1;
  d->nr_runs = n;
  return joined;
}

/* Returns how many nanoseconds the disk needs for all that is dirty, in the
 * order of offsets, if it takes so many SEEKS.
 */
static uint64_t
drain_nsec (const struct drive *m, const struct drive_settings *s, double seeks)
{
  const double bytes = (double) m->buffer.bytes;
  double nsec = (double) disk_drain_nsec (&s->disk, seeks);

  if (s->disk.bytes_per_sec != 0)
    nsec += bytes * NSEC_PER_SEC / (double) s->disk.bytes_per_sec;
  if (m->dirty.extra > 0)
    nsec *= 1 + m->dirty.extra / bytes;
  return nsec < (double) UINT64_MAX ? (uint64_t) nsec : UINT64_MAX;
}

/* A write has come into a buffer whose share LEFT is still dirty, and has
 * joined so many RUNS.  All that it adds is kept, in order to be taken back.
 * Returns how many nanoseconds it saves the disk.
 */
static uint64_t
note_dirty (struct drive *m, const struct drive_settings *s,
            const struct latency_request *r, double left, double runs,
            uint64_t factor, struct drive_booking *booking)
{
  struct dirty *d = &m->dirty;
  const double before = d->seeks * left, seeks = less (before + 1, runs);
  const double extra =
      d->extra * left + (double) r->count * (double) (factor - 1000) / 1000;
  uint64_t nsec;

  booking->seeks = seeks - d->seeks;
  booking->extra = extra - d->extra;
  d->seeks = seeks;
  d->extra = extra;
  if (!s->drains_to_disk || seeks >= before)
    return 0;
  nsec = drain_nsec (m, s, before);
  return nsec - min (nsec, drain_nsec (m, s, seeks));
}

/* A write comes into the buffer.  Returns the moment at which it is in. */
static uint64_t
buffer_write (struct drive *m, const struct drive_settings *s,
              struct random *random, const struct latency_request *r,
              uint64_t factor, struct drive_booking *booking)
{
  const uint64_t before = m->buffer.bytes;
  uint64_t cost = drain_cost (m, s, random, r, factor), saved;
  double left, runs;
  bool is_first;

  buffer_enter (&m->buffer, &s->buffer, s->buffer_size, r->count, r->arrival,
                &booking->buffer);
  is_first = m->buffer.bytes == r->count;
  left =
      before > 0 ? (double) (m->buffer.bytes - r->count) / (double) before : 0;
  if (is_first) /* the head is where the last run ended */
    m->dirty.nr_runs = (uint32_t) min (m->dirty.nr_runs, 1);
  runs = join_runs (&m->dirty, r->offset, r->offset + r->count, m->buffer.bytes,
                    left);
  if (is_first)
    m->dirty.nr_runs = 1;
  saved = note_dirty (m, s, r, left, runs, factor, booking);
  if (!s->drains_to_disk)
    return buffer_set_cost (&m->buffer, s->buffer_size, r->count, cost, 0, 0,
                            &booking->buffer);
  if (runs > 0 && is_first)
    cost = moment_after (cost, disk_rotational_latency (&s->disk, r->offset,
                                                        booking->buffer.from));
  return buffer_set_cost (&m->buffer, s->buffer_size, r->count, cost, saved,
                          drain_nsec (m, s, m->dirty.seeks), &booking->buffer);
}

/* A request would be over at DONE without the buffer.  Returns when it is.  A
 * flush's own time begins when all that is dirty has drained.
 */
static uint64_t
serve_buffered (struct drive *m, const struct drive_settings *s,
                struct random *random, const struct latency_request *r,
                uint64_t done, struct drive_input served,
                struct drive_booking *booking)
{
  uint64_t in = r->arrival;

  if (r->op == OP_WRITE || r->op == OP_ZERO) {
    in = buffer_write (m, s, random, r, served.factor, booking);
    done = max (done, in);
    if (s->flash.program != 0 || s->flash.erase != 0)
      flash_program (&m->flash, &s->flash, r->count, served.factor, true,
                     booking->buffer.from, &booking->flash);
  }
  if (r->op != OP_FLUSH && !r->fua)
    return done;
  if (!s->buffer.plp)
    in = max (in, buffer_drained (&m->buffer, r->arrival));
  return max (done, moment_after (in, served.flush_nsec));
}

uint64_t
drive_factor (struct drive *m, const struct drive_settings *s,
              const struct latency_request *r)
{
  return s->collection.factor == 0
             ? 1000
             : collection_factor (&m->collection, &s->collection, s->size, r);
}

bool
drive_has_medium (const struct drive_settings *s)
{
  return s->buffer_size != 0 ||
         (s->flash.dies != 0 && (s->flash.program != 0 || s->flash.erase != 0));
}

uint32_t
drive_operations (struct drive *m, const struct drive_settings *s,
                  const struct latency_request *r)
{
  return s->io_count.unit == 0
             ? 1
             : io_count_operations (&m->io_count, &s->io_count, r->op, r->count,
                                    r->offset);
}

/* Returns when the credits of a request are there. */
static uint64_t
take_credits (struct drive *m, const struct drive_settings *s,
              const struct latency_request *r, uint32_t operations,
              struct drive_booking *booking)
{
  const bool has_bytes =
      r->op == OP_READ || r->op == OP_WRITE || r->op == OP_ZERO;
  uint64_t paid = r->arrival;

  if (s->io_credits.base != 0) {
    booking->operations = operations;
    paid =
        credits_take (&m->io_credits, &s->io_credits, operations, r->arrival);
  }
  if (s->byte_credits.base != 0 && has_bytes) {
    booking->bytes = r->count;
    paid = max (paid, credits_take (&m->byte_credits, &s->byte_credits,
                                    r->count, r->arrival));
  }
  booking->credits_at = paid;
  return paid;
}

uint64_t
drive_serve (struct drive *m, const struct drive_settings *s,
             const struct stall *stall, struct random *random,
             const struct latency_request *request, struct drive_input served,
             struct drive_booking *booking)
{
  struct latency_request r = *request; /* by the clock of work */
  uint64_t done, without;

  booking->generation = m->generation;
  set_stall (&m->clock, stall, r.arrival);
  r.arrival = worked_at (&m->clock, r.arrival);
  without = done = worked_at (&m->clock, served.done);
  if (s->flash.dies != 0)
    done = moment_after (
        done, serve_by_dies (m, s, &r, served.factor, &booking->flash));
  if (is_for_head (s, r.op))
    done = serve_by_head (m, s, &r, done, booking);
  if (s->buffer_size != 0)
    done = serve_buffered (m, s, random, &r, done, served, booking);
  /* The clock does not know the end of a stall from its beginning. */
  if (done != without)
    served.done = max (served.done, moment_of (&m->clock, done));
  if (s->io_credits.base != 0 || s->byte_credits.base != 0)
    served.done = max (
        served.done, take_credits (m, s, request, served.operations, booking));
  return served.done;
}

/* The head is done with a request at DONE, by the clock of work.  Returns when
 * the request completes.
 */
static uint64_t
after_head (const struct drive *m, const struct drive_booking *booking,
            uint64_t done)
{
  return max (
      booking->credits_at,
      moment_of (&m->clock, moment_after (done, booking->after_disk_nsec)));
}

uint64_t
drive_ask (struct drive *m, const struct drive_settings *s, uint64_t now,
           struct drive_booking *booking)
{
  const uint64_t done = disk_ask (&m->disk, &s->disk,
                                  worked_at (&m->clock, now), &booking->ticket);

  note_decisions (m);
  return after_head (m, booking, done);
}

void
drive_decide_before (struct drive *m, const struct drive_settings *s,
                     uint64_t now)
{
  if (s->disk.rpm == 0)
    return;
  disk_decide_before (&m->disk, &s->disk, worked_at (&m->clock, now));
  note_decisions (m);
}

uint64_t
drive_decided (const struct drive *m, const struct drive_booking *booking)
{
  const struct disk_slot *slot = booking->ticket.slot;

  return disk_waits (booking->ticket)
             ? 0
             : after_head (
                   m, booking,
                   atomic_load_explicit (&slot->done, memory_order_relaxed));
}

uint64_t
drive_dirty (const struct drive *m, uint64_t now)
{
  return buffer_dirty (&m->buffer, worked_at (&m->clock, now));
}

void
drive_cancel (struct drive *m, const struct drive_booking *booking,
              uint64_t now)
{
  if (booking->generation != m->generation)
    return;
  if (buffer_cancel (&m->buffer, &booking->buffer,
                     worked_at (&m->clock, now))) {
    m->dirty.seeks = less (m->dirty.seeks, booking->seeks);
    m->dirty.extra = less (m->dirty.extra, booking->extra);
  }
  flash_cancel (&m->flash, &booking->flash, worked_at (&m->clock, now));
  disk_cancel (&m->disk, booking->ticket);
  if (booking->credits_at > now) {
    credits_return (&m->io_credits, booking->operations);
    credits_return (&m->byte_credits, booking->bytes);
  }
}

void
drive_reset (struct drive *m)
{
  m->generation++;
  memset (&m->buffer, 0, sizeof m->buffer);
  m->unpaused = 0;
  credits_reset (&m->io_credits);
  credits_reset (&m->byte_credits);
  flash_reset (&m->flash);
  disk_reset (&m->disk);
  atomic_store_explicit (&m->decides_at, 0, memory_order_release);
}

void
drive_destroy (struct drive *m)
{
  flash_destroy (&m->flash);
  disk_destroy (&m->disk);
}
