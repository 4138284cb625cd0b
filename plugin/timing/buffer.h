/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A write-back buffer: writes are done as soon as they are in it, and it drains
 * to the medium behind their backs.
 *
 *     dirty   room |         ______ a write waits here until the buffer has
 *                  |       _/      |  room for it
 *                  |     _/        \_
 *                  |   _/            \_   the medium takes each write's cost,
 *                  |__/                \_ one write after the other
 *                  +--------------------------------------------- time
 *                            since            empty_at
 *
 * Of what is dirty only this is known: how many bytes were dirty at the moment
 * `since`, and that all of them have drained at the moment `empty_at`.  Between
 * the two it drains evenly, so nothing runs in the background.  `since` is the
 * moment at which the last write came in; it is in the future where writes wait
 * for room, and those behind them come in later still.
 *
 * A flush is over when all that came before it has drained; with power-loss
 * protection at once.
 *
 * struct buffer belongs to a device.  The lock of its struct latency_state
 * guards it, and drive.c calls this.
 */

#ifndef NULLBLK_BUFFER_H
#define NULLBLK_BUFFER_H

#include <stdbool.h>
#include <stdint.h>

struct buffer_settings {
  uint64_t size;          /* bytes; 0: there is none */
  uint64_t bytes_per_sec; /* of the medium; 0: bytes take it no time */
  uint64_t drain_batch;   /* bytes that leave a full buffer before more come */
  bool plp;               /* power-loss protection */
};

/* All zeroes are an empty one. */
struct buffer {
  uint64_t since, empty_at; /* moments */
  uint64_t bytes;           /* dirty at `since` */
  uint32_t generation;      /* grows when a write finds none waiting */
};

/* What a write has of a buffer: how much it has added to each member of struct
 * buffer, for buffer_cancel to take it off again.
 */
struct buffer_booking {
  uint64_t from;       /* the moment at which the write begins to be in */
  uint64_t waits;      /* to `since`, in ns: how much longer it waits for room
                        * than those before it */
  uint64_t costs;      /* to `empty_at`, in ns, modulo 2^64 */
  int64_t grows;       /* to `bytes` */
  uint32_t generation; /* that of the buffer when the write came */
};

/* A write of COUNT bytes comes into a buffer of SIZE bytes at ARRIVAL, or as
 * soon as there is room: at booking->from.  What it costs the medium is not
 * known yet: buffer_set_cost has to be next.
 */
void buffer_enter (struct buffer *b, const struct buffer_settings *s,
                   uint64_t size, uint32_t count, uint64_t arrival,
                   struct buffer_booking *booking);

/* Say what the write that has just come in costs the medium, in nanoseconds:
 *
 *     COST    what the medium needs for the write
 *     SAVED   what it needs less, because of the write, for what was dirty
 *             before
 *     ALL     the least that it needs for all that is dirty now, counted from
 *             booking->from
 *
 * Returns the moment at which the write is in.  A write that is larger than the
 * buffer goes through it, and is in when its last byte is.
 */
uint64_t buffer_set_cost (struct buffer *b, uint64_t size, uint32_t count,
                          uint64_t cost, uint64_t saved, uint64_t all,
                          struct buffer_booking *booking);

/* Returns the moment, ARRIVAL or later, at which all that came in has
 * drained.
 */
uint64_t buffer_drained (const struct buffer *b, uint64_t arrival);

/* Returns how many bytes are dirty at NOW, those that wait for room included.
 */
uint64_t buffer_dirty (const struct buffer *b, uint64_t now);

/* A write that was given BOOKING is cancelled at NOW.  Returns whether it still
 * waits for room.  Then what comes later finds the buffer as if this write had
 * never come; those that wait already keep the moments that they were told.
 * Once a later write has found none waiting, this one counts as waiting no
 * more: then it gives nothing back.
 */
bool buffer_cancel (struct buffer *b, const struct buffer_booking *booking,
                    uint64_t now);

#endif /* NULLBLK_BUFFER_H */
