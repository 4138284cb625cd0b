/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A thread that makes new connections for the queues whose connections have
 * died, as long as that takes.
 */

#ifndef NULLBLK_UBLK_RECONNECT_H
#define NULLBLK_UBLK_RECONNECT_H

#include "queue.h"
#include "source.h"

struct reconnector;

/* For COUNT queues, which add to the eventfd LOST when they are lost.  Their
 * requests wait for SECONDS at most; then they fail until the server is back.
 * Source and queues stay the caller's, and are there until reconnector_stop.
 * Returns NULL and errno on failure.
 */
struct reconnector *reconnector_start (const struct source *source,
                                       struct queue *const *queues,
                                       unsigned count, int lost,
                                       unsigned seconds);

/* Nobody connects in this process any more.  NULL is none. */
void reconnector_stop (struct reconnector *r);

#endif /* NULLBLK_UBLK_RECONNECT_H */
