/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The plugin's side of batched socket I/O: nullblk-serve(1) preloads a library
 * (batch-socket-internal.h) into nbdkit, for which the plugin looks by name,
 * and each tells the other what only it knows.  Where the library is not there
 * this does nothing.
 */

#ifndef NULLBLK_BATCH_H
#define NULLBLK_BATCH_H

#include "device/device.h"

/* How many requests of a connection the library would let wait at once, without
 * a thread for each; 0: it is not there, or cannot, as with filters, of which
 * each may have something to do when a request is answered, and with settings
 * S by which a thread may wait without the library's knowing.
 */
uint32_t batch_client_depth (const struct settings *s);

/* Look for the library, before D serves anything. */
void batch_client_find (struct devices *d);

/* The same, and again whenever settings of D have changed: the library may let
 * a reply wait for the next request as long as it is known that no thread waits
 * for anything that the library does not see.  From any thread, side by side.
 */
void batch_client_tell (struct devices *d);

/* This thread's request is one that may wait so, other than data's: what waits
 * for it is sent now.
 */
void batch_client_before_wait (void);

/* Are there replies of this thread's connection that wait, and that it has to
 * send?
 */
bool batch_client_has_deferred (void);

/* This thread's connection is about to be closed. */
void batch_client_close (void);

#endif /* NULLBLK_BATCH_H */
