/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A server that defers replies as the plugin does, and a peer, for tests of
 * plugin/batch/batch-defer.c.  Where the server is about to wait, in one of the
 * ways that it has, the peer has its turn.
 */

#ifndef NULLBLK_TESTS_DEFERRING_H
#define NULLBLK_TESTS_DEFERRING_H

#include <stdatomic.h>
#include <stdbool.h>

#include "peer.h"
#include "stream.h"
#include "unit.h"

#define HOUR (3600 * NSEC_PER_SEC)

/* A spin that is longer than the waits in which there are no naps. */
#define LONG_SPIN (10 * NSEC_PER_MSEC)

/* The most by which the waiter expects a sleep to be late (common/clock.c).
 * Without a spin, a wait may end that much too early.
 */
#define LATENESS (250 * NSEC_PER_USEC)

/*---------------------------------------------------------------------*/
/* Bytes */

/* Add a request: a write with a payload of COUNT bytes, or a read if COUNT is
 * 0.
 */
void add_request (struct stream *s, uint32_t cookie, uint32_t count);

/* Add a reply with CHUNKS chunks of SIZE bytes each; 0: a simple reply with
 * SIZE bytes.
 */
void add_reply (struct stream *s, uint32_t cookie, unsigned chunks,
                size_t size);

void add_error (struct stream *s, uint32_t cookie, unsigned chunks);

/*---------------------------------------------------------------------*/
/* The system's calls, and what the peer does before the server waits in them */

enum place { AT_READ, AT_NAP, AT_SLEEP, AT_LOOK, NR_PLACES };

extern int server, peer;
extern int quit[2]; /* written to when the server stops */

extern struct calls {
  void (*turn[NR_PLACES]) (void); /* what the peer does, once; NULL: nothing */
  atomic_uint waits[NR_PLACES];   /* how often the peer had its turn */
  bool short_naps;                /* naps take no time */
  bool naps_elsewhere;            /* the server naps by a function of its own */
  unsigned lies;          /* so many sleeps find input where there is none, and
                           * looks are interrupted */
  unsigned interruptions; /* so many sleeps are interrupted */
  unsigned trouble;       /* how many percent of sends fail; others are cut */
  uint64_t seed;
} calls;

/*---------------------------------------------------------------------*/
/* What happened, in order: requests that were read, and calls of due */

extern struct seen {
  struct {
    uint32_t cookie;
    bool is_due, gone;
  } events[4096];
  unsigned nr, reads, dues, nr_gone, early;
} seen;

void note (uint32_t cookie, bool is_due, bool gone);

/* What batch_defer hands to due: what it returns (verdict_gone if the
 * connection has gone), and the earliest moment at which it may be called.
 */
struct request {
  uint32_t cookie;
  int verdict, verdict_gone;
  uint64_t earliest;
};

int due (void *arg, uint64_t *moment, bool gone);

/* How often was `due` called for COOKIE? */
unsigned dues_of (uint32_t cookie);

/*---------------------------------------------------------------------*/
/* The connection */

void connect_again (unsigned depth);

int set_up (void **state);

int tear_down (void **state);

/* The peer sends requests FIRST to LAST together. */
void ask (uint32_t first, uint32_t last);

/* Assert that the peer can read just these bytes now. */
void expect (const struct stream *s);

void expect_nothing (void);

/* Assert that the peer can read just the replies to these requests, in this
 * order, as `answer` makes them.
 */
void expect_replies (const uint32_t *cookies, unsigned n);

void expect_reply (uint32_t cookie);

/* Have the server read a request.  Returns its cookie, or 0 at the end. */
uint32_t next_request (void);

/* The bytes of data that a reply is said to have, unless a test says otherwise:
 * more than most have here.
 */
#define DATA 6000

/* Defer the reply to a request until DUE_AT. */
bool defer_data (uint32_t cookie, uint64_t due_at, uint64_t spin, int verdict,
                 int verdict_gone, size_t data);

bool defer_with (uint32_t cookie, uint64_t due_at, uint64_t spin, int verdict,
                 int verdict_gone);

/* The same with the results that the device's function has. */
bool defer (uint32_t cookie, uint64_t due_at, uint64_t spin);

/* Have the server send in pieces of SIZE bytes.  Returns false if the
 * connection is lost.
 */
bool send_pieces (const struct stream *s, size_t size);

void answer_with (uint32_t cookie, unsigned chunks, size_t size);

void answer (uint32_t cookie);

/* Requests FIRST to LAST come together, and are deferred for an hour. */
void defer_for_long (uint32_t first, uint32_t last);

/* The peer sends request 1, and the server reads it. */
void reads_first (void);

void stop_server (void);

/* The peer ends the connection. */
void ends (void);

#endif /* NULLBLK_TESTS_DEFERRING_H */
