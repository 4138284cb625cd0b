/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A thread that makes new connections for queues whose connections have died,
 * and goes on trying until the server takes them.
 */

#ifndef NULLBLK_UBLK_RECONNECT_H
#define NULLBLK_UBLK_RECONNECT_H

#include "queue.h"
#include "source.h"

struct reconnector;

/* Start it for COUNT queues, each of which adds to the eventfd LOST (which does
 * not block) when its connections have died.  For how long requests wait is the
 * queues' to say: a connection may take as long as a server that is silent.
 * Source and queues stay the caller's, who keeps them until reconnector_stop.
 * Returns NULL and errno on failure.
 */
struct reconnector *reconnector_start (const struct source *source,
                                       struct queue *const *queues,
                                       unsigned count, int lost);

/* End the thread.  Nothing in this process can connect from then on
 * (connection_open_no_more).  Nothing happens if R is NULL.
 */
void reconnector_stop (struct reconnector *r);

#endif /* NULLBLK_UBLK_RECONNECT_H */
