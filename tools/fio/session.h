/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The requests of one job of fio, on the channels to its export:
 *
 *     queue        commit              getevents            event
 *       v            v                     v                  ^
 *     session_add  session_commit      session_wait      session_take
 *       |            |                     |                  |
 *       +-> channel -+-> socket ─> server ─> socket -> answered+
 *
 * Requests to the same zone go by the same channel, as a server serves the
 * writes of one connection in the order in which they come; without zones the
 * channels take turns.  A session belongs to one thread, which makes all calls.
 */

#ifndef NULLBLK_FIO_SESSION_H
#define NULLBLK_FIO_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "channel.h"

#define MAX_CONNECTIONS 64

struct session;

/* Make a session for DEPTH requests at a time, at least 1.  Zones have
 * ZONE_SIZE bytes; 0: there are none.  If EAGER, session_commit sends each
 * request at once.  NULL if there is no memory.
 */
struct session *session_create (unsigned depth, uint64_t zone_size, bool eager);

/* Free S, which may be NULL, and its channels.  All requests are forgotten. */
void session_destroy (struct session *s);

/* The list to which the channels of S add the requests that are answered. */
struct answered_list *session_answered (struct session *s);

/* Give S one more channel, of at most MAX_CONNECTIONS; session_destroy frees
 * it.
 */
void session_use (struct session *s, struct channel *c);

/* Add a request.  Returns false if there are DEPTH requests already. */
bool session_add (struct session *s, struct channel_request *q);

/* Send what was added.  But if the session is not eager, other requests are in
 * flight, and less than half of DEPTH was added, keep that back, so that it is
 * sent together with more.  The caller calls session_wait soon.
 */
void session_commit (struct session *s);

/* Wait until N requests are answered, or all that were added if these are
 * fewer; if N is 0, only look.  What was kept back is sent first; but if N is
 * above 0, so many are answered without a wait, and the server still has a
 * request, it stays kept back.  Returns how many are answered.
 */
unsigned session_wait (struct session *s, unsigned n);

/* Returns the next answered request; NULL if there is none. */
struct channel_request *session_take (struct session *s);

/* Returns why a connection has died, the first time that it is called after
 * that; or NULL.
 */
const char *session_why_dead (struct session *s);

#endif /* NULLBLK_FIO_SESSION_H */
