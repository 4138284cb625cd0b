/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Flash, and its collection; see flash.h.
 */

#include <config.h>

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "flash.h"
#include "throttle.h"

#define MIB (UINT64_C (1) << 20)

/* Make as many dies as S has, if there are not as many.  Returns whether there
 * are any: not without flash=, nor if there is no memory.
 */
static bool
has_dies (struct flash *f, const struct flash_settings *s)
{
  if (__builtin_expect (f->nr != s->dies, 0)) {
    free (f->dies);
    f->next = 0;
    f->dies = calloc (s->dies, sizeof *f->dies);
    f->nr = f->dies != NULL ? (uint32_t) s->dies : 0;
  }
  return f->nr != 0;
}

/*---------------------------------------------------------------------*/
/* Reads */

/* MOMENT is within the row of program and erase operations.  Returns when the
 * one that is under way then is over.  That is known from the end of the row:
 * behind the last erase are the pages of the block that is not full yet, and
 * behind each one before it a full block.
 */
static uint64_t
end_of_step (const struct die *d, const struct flash_settings *s,
             uint64_t moment)
{
  const uint64_t behind = d->since_erase / s->page * s->program;
  uint64_t left = d->program_to - moment;

  if (s->erase != 0 && left > behind) {
    left -= behind;
    left %= s->block / s->page * s->program + s->erase;
    if (left > 0 && left <= s->erase)
      return moment + left;
    left -= min (left, s->erase);
  }
  return s->program != 0 ? moment + left % s->program : moment;
}

/* Have a die read from ARRIVAL on, for NSEC.  What it is to program waits. */
static uint64_t
read_die (struct die *d, const struct flash_settings *s, uint64_t arrival,
          uint64_t nsec)
{
  uint64_t start = max (arrival, d->free_at), later;

  if (start < d->program_to) {
    if (start >= d->program_from) {
      start = end_of_step (d, s, start);
      later = nsec;
      d->program_from = start;
    }
    else
      later = moment_after (start, nsec) > d->program_from
                  ? moment_after (start, nsec) - d->program_from
                  : 0;
    d->program_from = moment_after (d->program_from, later);
    d->program_to = moment_after (d->program_to, later);
  }
  d->free_at = moment_after (start, nsec);
  return d->free_at;
}

/* COUNT bytes go over the channel of a die, from MOMENT on. */
static uint64_t
send (struct flash *f, const struct flash_settings *s, uint32_t die,
      uint64_t count, uint64_t moment)
{
  uint64_t *free_at;

  if (s->channels == 0)
    return moment;
  free_at = &f->channels[die % (uint32_t) s->channels];
  *free_at = moment_after (max (*free_at, moment),
                           count * NSEC_PER_SEC / s->bytes_per_sec);
  return *free_at;
}

uint64_t
flash_read (struct flash *f, const struct flash_settings *s, uint64_t offset,
            uint32_t count, uint64_t arrival, struct flash_booking *booking)
{
  const uint64_t first = offset / s->page;
  const uint64_t n = count > 0 ? (offset + count - 1) / s->page - first + 1 : 0;
  uint64_t done = arrival, from = UINT64_MAX, moment, pages, bytes, nsec;
  const uint64_t before = offset % s->page;             /* of the first page */
  const uint64_t behind = n * s->page - before - count; /* of the last one */
  bool is_at_hand = false;
  uint32_t i, die;

  if (!has_dies (f, s))
    return arrival;
  die = (uint32_t) (first % f->nr);
  *booking = (struct flash_booking){.die = die,
                                    .page_nsec = (uint32_t) s->read,
                                    .dies = (uint16_t) f->nr,
                                    .channels = (uint8_t) s->channels,
                                    .is_read = true};
  for (i = 0; i < n && i < f->nr; i++) {
    pages = n / f->nr + (i < n % f->nr);
    bytes = pages * s->page;
    if (i == 0)
      bytes -= before;
    if (i == (n - 1) % f->nr)
      bytes -= behind;
    nsec = pages * s->read;
    if (f->dies[die].page == first + i + 1) {
      nsec -= s->read;
      is_at_hand = true;
    }
    moment = read_die (&f->dies[die], s, arrival, nsec);
    from = min (from, moment - nsec);
    f->dies[die].page = first + i + (pages - 1) * f->nr + 1;
    done = max (done, send (f, s, die, bytes, moment));
    die = die + 1 < f->nr ? die + 1 : 0;
  }
  booking->from = from;
  booking->pages =
      is_at_hand ? 0 : (uint32_t) n; /* or too much would be given */
  if (s->channels != 0)
    booking->sending =
        min ((uint64_t) count, s->page) * NSEC_PER_SEC / s->bytes_per_sec;
  return done;
}

/*---------------------------------------------------------------------*/
/* Programs */

/* Have a die program N pages from ARRIVAL on, behind what it is to program
 * already.
 */
static uint64_t
program_die (struct die *d, const struct flash_settings *s, uint64_t n,
             uint64_t arrival)
{
  const uint64_t idle = max (arrival, d->free_at);

  if (d->program_to <= idle || d->program_to <= d->program_from) {
    d->program_from = d->program_to = idle;
    d->first_came = arrival;
  }
  d->program_to = moment_after (d->program_to, n * s->program);
  if (s->block != 0) {
    d->since_erase += n * s->page;
    if (d->since_erase >= s->block) {
      d->program_to =
          moment_after (d->program_to, d->since_erase / s->block * s->erase);
      d->since_erase %= s->block;
    }
  }
  return d->program_to;
}

uint64_t
flash_program (struct flash *f, const struct flash_settings *s, uint32_t count,
               uint64_t factor, bool is_buffered, uint64_t arrival,
               struct flash_booking *booking)
{
  uint64_t done = arrival, n = ((uint64_t) count + s->page - 1) / s->page;
  uint64_t from = UINT64_MAX, moment;
  uint32_t i;

  if (is_buffered) {
    f->buffered += count;
    n = f->buffered / s->page;
    f->buffered %= s->page;
  }
  if (factor != 1000) {
    f->owed += n * factor;
    n = f->owed / 1000;
    f->owed %= 1000;
  }
  if (!has_dies (f, s))
    return arrival;
  *booking = (struct flash_booking){.die = f->next,
                                    .pages = (uint32_t) min (n, UINT32_MAX),
                                    .page_nsec = (uint32_t) s->program,
                                    .dies = (uint16_t) f->nr};
  for (i = 0; i < n && i < f->nr; i++) {
    from = min (from, max (max (arrival, f->dies[f->next].free_at),
                           f->dies[f->next].program_to));
    moment = program_die (&f->dies[f->next], s, n / f->nr + (i < n % f->nr),
                          arrival);
    done = max (done, moment);
    f->next = f->next + 1 < f->nr ? f->next + 1 : 0;
  }
  booking->from = from;
  return done;
}

/*---------------------------------------------------------------------*/
/* Requests that are cancelled */

/* A die reads NSEC less.  What it programs right after that begins earlier, but
 * not before it has come.
 */
static void
unread (struct die *d, uint64_t nsec, uint64_t now)
{
  const uint64_t end = d->free_at;
  uint64_t later;

  nsec = min (nsec, end > now ? end - now : 0);
  d->free_at -= nsec;
  d->page = 0;
  if (d->program_from == end && d->program_to > end) {
    later = min (nsec, d->program_from - min (d->first_came, d->program_from));
    d->program_from -= later;
    d->program_to -= later;
  }
}

/* A die programs NSEC less.  What there is to erase it erases. */
static void
unprogram (struct die *d, uint64_t nsec, uint64_t now)
{
  const uint64_t base = max (now, d->program_from);

  d->program_to -= min (nsec, d->program_to > base ? d->program_to - base : 0);
}

void
flash_cancel (struct flash *f, const struct flash_booking *booking,
              uint64_t now)
{
  uint64_t pages, nsec, *free_at;
  uint32_t i, die;

  if (booking->pages == 0 || booking->from < now || booking->dies != f->nr)
    return;
  for (i = 0; i < booking->pages && i < f->nr; i++) {
    die = (booking->die + i) % f->nr;
    pages = booking->pages / f->nr + (i < booking->pages % f->nr);
    if (!booking->is_read) {
      unprogram (&f->dies[die], pages * booking->page_nsec, now);
      continue;
    }
    unread (&f->dies[die], pages * booking->page_nsec, now);
    /* One of a channel's dies is enough.  The channel waits for the dies, or
     * they for it.
     */
    if (i < booking->channels) {
      free_at = &f->channels[die % booking->channels];
      nsec = max (pages * booking->page_nsec,
                  booking->sending * booking->pages / booking->channels);
      *free_at -= min (nsec, *free_at > now ? *free_at - now : 0);
    }
  }
}

uint64_t
flash_cost (const struct flash_settings *s, uint32_t count, uint64_t factor)
{
  double nsec = (double) s->program / (double) s->page;

  if (s->block != 0)
    nsec += (double) s->erase / (double) s->block;
  return (uint64_t) (nsec * (double) count * (double) factor /
                     (1000.0 * (double) s->dies));
}

void
flash_reset (struct flash *f)
{
  if (f->nr != 0)
    memset (f->dies, 0, f->nr * sizeof *f->dies);
  memset (f->channels, 0, sizeof f->channels);
  f->buffered = 0;
}

void
flash_destroy (struct flash *f)
{
  free (f->dies);
  memset (f, 0, sizeof *f);
}

/*---------------------------------------------------------------------*/
/* Collection */

/* Free what the drive has freed in the time from c->since to NOW, in whole
 * bytes.  Time that was not enough for one more byte counts at the next call.
 */
static void
recover (struct collection *c, const struct collection_settings *s,
         uint64_t now)
{
  const double per_nsec = (double) s->recovery / NSEC_PER_SEC;
  uint64_t freed;

  if (s->recovery != 0 && now > c->since) {
    freed = (uint64_t) ((double) (now - c->since) * per_nsec);
    c->since = freed < c->used ? c->since + (uint64_t) (freed / per_nsec) : now;
    c->used -= min (freed, c->used);
  }
}

uint64_t
collection_factor (struct collection *c, const struct collection_settings *s,
                   uint64_t size, const struct latency_request *r)
{
  const uint64_t most = (uint64_t) ((double) size * (double) s->after / 1000);
  uint64_t factor = 1000, room;
  bool is_sequential;

  recover (c, s, r->arrival);
  c->used -= min (c->used, r->freed);
  if (r->op != OP_WRITE && r->op != OP_ZERO)
    return factor;
  is_sequential = r->offset == c->end;
  c->end = r->offset + r->count;
  room = most > c->used ? most - c->used : 0;
  if (r->count > room) { /* the rest of it costs more */
    factor = is_sequential && s->sequential != 0 ? s->sequential : s->factor;
    factor = (1000 * room + factor * (r->count - room)) / r->count;
  }
  c->used = min (c->used + r->count, most);
  return factor;
}

/*---------------------------------------------------------------------*/
/* As text */

static const char *
check_flash (const void *value)
{
  const struct flash_settings *s = value;

  if (s->erase != 0 && s->block == 0)
    return "allowed is erase: together with block:";
  if (s->block != 0 && s->block < s->page)
    return "allowed after block: is no less than after page:";
  if ((s->channels != 0) != (s->bytes_per_sec != 0))
    return "allowed is channels: together with mbps:";
  return s->channels > s->dies
             ? "allowed after channels: is no more than after dies:"
             : NULL;
}

#define PART(member, name, type, least, most, is_needed)                       \
  {                                                                            \
    name, type, offsetof (struct flash_settings, member), least, most,         \
        is_needed, 0                                                           \
  }

static const struct value_part flash_part[] = {
    PART (dies, "dies", PART_COUNT, 1, MAX_DIES, true),
    PART (page, "page", PART_SIZE, 512, 16 * MIB, true),
    PART (read, "read", PART_DURATION, 0, NSEC_PER_SEC, true),
    PART (program, "program", PART_DURATION, 0, NSEC_PER_SEC, false),
    PART (erase, "erase", PART_DURATION, 0, NSEC_PER_SEC, false),
    PART (block, "block", PART_SIZE, 512, 1024 * MIB, false),
    PART (channels, "channels", PART_COUNT, 1, MAX_CHANNELS, false),
    PART (bytes_per_sec, "mbps", PART_MIB, MIB, MAX_BYTES_PER_SEC, false),
};
#undef PART

const struct parts flash_parts = {flash_part,
                                  sizeof flash_part / sizeof flash_part[0],
                                  sizeof (struct flash_settings), check_flash};

#define PART(member, name, type, least, most, is_needed)                       \
  {                                                                            \
    name, type, offsetof (struct collection_settings, member), least, most,    \
        is_needed, 0                                                           \
  }

static const struct value_part collection_part[] = {
    PART (after, "after", PART_FACTOR, 0, 1000, true),
    PART (factor, "factor", PART_FACTOR, 1000, 1000000, true),
    PART (sequential, "sequential", PART_FACTOR, 1000, 1000000, false),
    PART (recovery, "recovery", PART_MIB, MIB, MAX_BYTES_PER_SEC, false),
};

const struct parts collection_parts = {
    collection_part, sizeof collection_part / sizeof collection_part[0],
    sizeof (struct collection_settings), NULL};
