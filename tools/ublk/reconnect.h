/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A thread that makes new connections for queues whose connections have died,
 * and goes on trying until the server takes them.
 */

#ifndef NULLBLK_UBLK_RECONNECT_H
#define NULLBLK_UBLK_RECONNECT_H

#include "queue.h"
#include "export.h"

struct reconnector;

/* Start the thread for COUNT queues, each of which adds to the eventfd
 * DISCONNECTED (which does not block) when its connections have died.  The
 * thread tries for as long as the server is silent; the queues decide how long
 * their requests wait.  The caller keeps EXPORT and QUEUES until
 * reconnector_stop.  Returns NULL and errno on failure.
 */
struct reconnector *reconnector_start (const struct export *export,
                                       struct queue *const *queues,
                                       unsigned count, int disconnected);

/* End the thread.  Nothing in this process can connect from then on
 * (connection_open_no_more).  Nothing happens if R is NULL.
 */
void reconnector_stop (struct reconnector *r);

#endif /* NULLBLK_UBLK_RECONNECT_H */
