/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A server that does as nbdkit does, and a peer that follows a script, for
 * tests of batched socket I/O.  Where the server is about to wait for its
 * client, the peer has its turn, and first looks whether it has all replies
 * that are due.  The system's calls are ours to watch, to cut short and to
 * interrupt.
 */

#ifndef NULLBLK_TESTS_NBDKIT_H
#define NULLBLK_TESTS_NBDKIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "peer.h"
#include "stream.h"
#include "unit.h"

enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH };

/*---------------------------------------------------------------------*/
/* Requests and replies */

void add_request (struct stream *s, uint32_t cookie, int cmd, uint32_t count);

/* The reply to a request, in the pieces in which nbdkit sends it: up to two
 * small ones, and the data of a read.  The reply to a write has a checksum of
 * its payload.
 */
struct reply {
  unsigned char head[20], more[8];
  size_t head_len, more_len, data_len;
  unsigned char *data;
};

void make_reply (struct reply *r, const unsigned char *request,
                 const unsigned char *payload);

/* Answer a read with the N bytes at DATA, for which nbdkit has BUF.  The
 * library may have another buffer for them; then BUF gets other bytes.
 */
void answer (unsigned char *buf, const unsigned char *data, size_t n);

/* The replies to the first N bytes of a stream of requests, in order. */
struct stream replies_to (const struct stream *requests, size_t n);

/*---------------------------------------------------------------------*/
/* The server: nbdkit's loop */

/* Serve a request.  Returns 1, 0 when the client has ended, or -1 when it is
 * lost.
 */
int serve_one (int fd, pthread_mutex_t *read_lock, pthread_mutex_t *write_lock);

int serve (int fd);

/*---------------------------------------------------------------------*/
/* The system's calls */

extern struct calls {
  atomic_uint readvs, sends;
  atomic_uint polls; /* calls of recvmsg */
  atomic_uint polls_in_vain;

  /* What the peer does before the server waits for it.  NULL: nothing. */
  void (*turn) (int fd);

  /* Naps, and what the peer does in one; has the peer replies to take? */
  atomic_uint naps;
  void (*turn_in_nap) (int fd);
  atomic_bool unread;

  /* From 0 to 100: how often a call is interrupted, or cut short.  */
  unsigned trouble;
  uint64_t seed;

  /* How many threads are in a send that may wait. */
  atomic_int sending;
} calls;

int set_up (void **state);

/*---------------------------------------------------------------------*/
/* Sockets */

/* Connect both ends; ends[0] is the server's. */
void connect_unix (int ends[2]);

void connect_tcp (int ends[2]);

void end (int fd);

void end_both (const int ends[2]);

void shrink_buffers (const int ends[2]);

/* Assert that exactly these bytes come from FD. */
void expect (int fd, const void *bytes, size_t n);

void expect_end (int fd);

/* End the server, and assert that the peer has all that is due, and sees the
 * end.
 */
void end_with (const int ends[2], const struct stream *due);

/* The script: the peer sends REQUESTS in pieces that end at the cuts, one each
 * time that the server would wait, and then ends the connection.
 */
extern struct script {
  int fd;
  const struct stream *requests;
  size_t cuts[4096];
  size_t nr_cuts, next, sent, replied;
  bool has_ended;
} script;

void take_turn (int server);

/* Play the script, whose cuts are set, in ascending order; the last is the
 * length of REQUESTS.
 */
void play (const struct stream *requests, void (*connect) (int ends[2]));

void add_cut (size_t at);

struct stream few_requests (void);

void *serve_thread (void *arg);

/* Returns requests whose sizes are around all limits. */
struct stream random_requests (uint64_t *seed, unsigned most);

/* Send all of REQUESTS, in pieces of any size, and receive N bytes. */
void converse (int fd, const struct stream *requests, unsigned char *replies,
               size_t n, uint64_t *seed);

/* Have a conversation, from the beginning of a connection to its end. */
void random_conversation (uint64_t *seed);

/* Serve the first request of S, whose reply is held, as another one is here. */
void hold_one (int ends[2], const struct stream *s);

struct stream two_reads (void);

#endif /* NULLBLK_TESTS_NBDKIT_H */
