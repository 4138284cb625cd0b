/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the tests of a queue of nullblk-ublk have in common: a fake kernel and a
 * fake server.  The ring and the links are functions of queue-world.c, which
 * the queue's thread calls.  A test is a list of rounds.  In each of them the
 * kernel has some requests, or says what comes of a command; then the queue
 * goes on until it waits again.  What it has told the kernel, and asked the
 * server, is looked at when its thread has ended.
 */

#ifndef NULLBLK_QUEUE_WORLD_H
#define NULLBLK_QUEUE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include <liburing.h>

#include "fake-ring.h"
#include "ublk/link.h"
#include "ublk/queue.h"
#include "ublkdrv/ublkdrv.h"
#include "unit.h"

#define MIB UINT64_C (1048576)
#define DEPTH 16
#define NR_ZONES 8
#define ZONE_SIZE MIB
#define ZONE_SECTORS (ZONE_SIZE / 512)
#define MOST 256
#define TIMEOUT 30 /* seconds */
#define PERSIST 5

extern struct device_plan plan;
extern struct ublk_device device;
extern struct zone_descriptor table[NR_ZONES];

extern struct fake_kernel {
  struct ublksrv_io_desc *requests;
  struct fake_ring ring;
  struct ring_event *fetches[DEPTH]; /* NULL: the tag is being served */
  struct ublksrv_io_cmd answers[MOST];
  unsigned nr_answers;
  void (*const *rounds) (void); /* NULL is the last one */
  bool has_lost;                /* a tag was not answered at the end */
  struct ring_event *second;    /* that is due in a second; NULL: none */
  bool takes_nothing;           /* ring_is_taken returns false */
} kernel;

/* A request to the server. */
struct asked {
  struct link *link;
  enum io_kind kind;
  uint64_t offset, count;
};

struct link {
  struct io *first, **last;
  bool is_dead;
};

extern struct link data, zones, config;
/* The new ones in place of dead ones. */
extern struct link new_data, new_zones, new_config;

extern struct fake_server {
  struct asked asked[MOST];
  unsigned nr_asked;
  int read_error; /* of data */
  int write_error;
  bool refuses_once; /* write_error is that of one write */
  int dies;          /* the connection dies after so many requests; -1: never */
  bool is_silent;
  uint64_t ignored;     /* no request at this offset is answered; 0: all are */
  uint64_t max_discard; /* bytes; more is an error */
  /* A write that another process has sent to zone 2 is done late: just before
   * the next write, or before this read of the table, from 1 (0: none).
   */
  bool has_late_write;
  unsigned char late_byte; /* each byte of it */
  unsigned late_read;      /* or before so many reads of the table; 0: never */
} server;

extern unsigned char content[NR_ZONES * ZONE_SIZE];

/* The queue, while rounds go on. */
extern struct queue *queue;

/* Make all zones of the table empty. */
void set_zones (void);

/* Make a device, with zones or without, without any requests. */
void make_device (bool zoned);

/* Start a queue, and go through the rounds, which NULL ends. */
void run (void (*const *rounds) (void));
#define RUN(...) run ((void (*const[]) (void)){__VA_ARGS__, NULL})

/* Take what the queue has put into the ring: its commands and its timer.  The
 * one other entry is for appends of other queues, which there are not.
 */
void take_commands (void);

/* The command of a tag is done. */
void say (unsigned tag, int result);

/* The kernel has a request for a tag: COUNT sectors from SECTOR on. */
void ask (unsigned tag, enum ublk_operation operation, uint64_t sector,
          uint32_t count);

/* Let N seconds pass for the queue's timer. */
void pass_seconds (unsigned n);

/* Assert that the answer I, from 0, is RESULT, for a tag. */
void answered (unsigned i, unsigned tag, int result);

/* Rounds: requests of zone 2, and reads outside of it. */
void one_read (void);
void another_read (void);
void one_write (void);
void one_append (void);
void two_appends (void);
void one_finish (void);

/* A write was done before its connection died: the server refuses it when it is
 * sent again, and zone 2 is in this condition, with SECTORS written.
 */
void was_done (enum zone_cond cond, uint64_t sectors);

#endif /* NULLBLK_QUEUE_WORLD_H */
