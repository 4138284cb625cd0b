/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Flash: dies that read and program one page at a time each, and channels over
 * which the dies send what they have read.
 *
 *     die 0      [read][read]          [====program====][====program====]
 *     die 1    [====program====][read]........[====program====]
 *     channel        [data][data]    [data]
 *                              ^ a read that met a program
 *
 * A read goes to the dies that have its pages: page p is on die p modulo the
 * number of dies.  It begins when the reads before it are over, and the program
 * or erase that is under way; program operations that have not begun wait for
 * it.  A die that has just read a page has its data at hand, for as long as it
 * reads no other.  Programs go to one die after the other, as a log is written.
 * When so many pages of a die were programmed as a block has, it erases one.
 *
 * Of a die this is known: when its reads are over, from when to when it
 * programs (a row of program and erase operations), and how much it has
 * programmed since the last erase.  Nothing runs in the background.
 *
 * Collection: once a share of the device has been written without trims, the
 * drive has to move what is valid before it can erase, and each write costs the
 * medium some times as much.  Trims, resets of zones, and time give back what
 * they free.
 *
 * The lock of a device's struct latency_state guards these; drive.c calls them.
 */

#ifndef NULLBLK_FLASH_H
#define NULLBLK_FLASH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"
#include "request.h"

#define MAX_DIES 1024
#define MAX_CHANNELS 64

struct flash_settings {
  uint64_t dies;                 /* 0: there is no flash */
  uint64_t page;                 /* bytes */
  uint64_t read, program, erase; /* nanoseconds */
  uint64_t block;                /* bytes of a die; 0: it erases nothing */
  uint64_t channels;             /* 0: as many as needed */
  uint64_t bytes_per_sec;        /* of a channel */
};

/* `after` (a share of the device) and the factors are in thousandths. */
struct collection_settings {
  uint64_t after;
  uint64_t factor;     /* of a write beyond `after`; 0: no collection */
  uint64_t sequential; /* the same of a write that goes on where the last one
                        * ended; 0: as `factor` */
  uint64_t recovery;   /* bytes a second that are freed in any case */
};

struct die {
  uint64_t free_at;                  /* when its reads are over */
  uint64_t program_from, program_to; /* when it programs */
  uint64_t first_came;  /* when the first of what it programs has come */
  uint64_t since_erase; /* bytes programmed since its last erase */
  uint64_t page;        /* that it has at hand, plus 1; 0: none */
};

/* The time of dies and channels that a request has. */
struct flash_booking {
  uint64_t from;    /* when the first of the dies begins with it */
  uint64_t sending; /* nanoseconds, of a page on a channel */
  uint32_t die;     /* the first */
  uint32_t pages;   /* on this and the next dies; 0: there is no time */
  uint32_t page_nsec;
  uint16_t dies; /* that there are */
  uint8_t channels;
  bool is_read;
};

/* All zeroes are idle dies. */
struct flash {
  struct die *dies; /* nr of them; NULL if there is no memory */
  uint32_t nr;
  uint32_t next;     /* to program */
  uint64_t buffered; /* bytes that are no whole page yet */
  uint64_t owed;     /* thousandths of a page that are no whole page yet */
  uint64_t channels[MAX_CHANNELS]; /* when each is free */
};

/* All zeroes are a drive that was never written. */
struct collection {
  uint64_t used;  /* bytes written without trims, as far as they count */
  uint64_t since; /* the moment at which that was so */
  uint64_t end;   /* of the last write */
};

/* Read COUNT bytes at OFFSET, from ARRIVAL on.  Returns the moment at which all
 * of it has come, and in *BOOKING the time that it has.
 */
uint64_t flash_read (struct flash *f, const struct flash_settings *s,
                     uint64_t offset, uint32_t count, uint64_t arrival,
                     struct flash_booking *booking);

/* Program COUNT bytes, each FACTOR thousandths times, from ARRIVAL on.  Where
 * they are buffered, only whole pages of all bytes so far are programmed; if
 * not, whole pages of each write.  Returns the moment at which it is done,
 * ARRIVAL where there is nothing to program.
 */
uint64_t flash_program (struct flash *f, const struct flash_settings *s,
                        uint32_t count, uint64_t factor, bool is_buffered,
                        uint64_t arrival, struct flash_booking *booking);

/* A request that was given BOOKING is cancelled at NOW.  If no die has begun
 * with it, later requests need not wait for it; those that wait already keep
 * their times.  A block that it has filled is erased all the same.
 */
void flash_cancel (struct flash *f, const struct flash_booking *booking,
                   uint64_t now);

/* Returns how long all dies together need for COUNT bytes of a buffer, in
 * nanoseconds.
 */
uint64_t flash_cost (const struct flash_settings *s, uint32_t count,
                     uint64_t factor);

/* The dies are idle.  flash_destroy frees their memory, too. */
void flash_reset (struct flash *f);
void flash_destroy (struct flash *f);

/* Returns how many thousandths of its usual cost a request costs the medium:
 * 1000 or more.  SIZE is that of the device, in bytes.
 */
uint64_t collection_factor (struct collection *c,
                            const struct collection_settings *s, uint64_t size,
                            const struct latency_request *r);

extern const struct parts flash_parts, collection_parts;

#endif /* NULLBLK_FLASH_H */
