/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The plugin's side of batched socket I/O: nullblk-serve(1) preloads a library
 * (batch-socket-internal.h) into nbdkit.  The plugin finds the library's table
 * of functions by its name, and each of the two tells the other what only it
 * knows.  Where the library is not there this does nothing.
 */

#ifndef NULLBLK_BATCH_H
#define NULLBLK_BATCH_H

#include "device/device.h"

/* Returns how many requests of a connection the library would let wait at once,
 * without a thread for each.  0: the library is not there, or is not to do
 * that; or nbdkit has a filter, which may do something when a request is
 * answered; or, by the settings S, a thread may wait in a way that the library
 * does not see.
 */
uint32_t batch_plugin_depth (const struct settings *s);

/* Find out whether nbdkit has the library, before DEVICES serve anything. */
void batch_plugin_find (struct devices *devices);

/* Tell the library whether any request has to wait, so that its arrival counts,
 * and whether a reply may wait for the next request: it may as long as no
 * thread waits for anything that the library does not see.  Called after
 * batch_plugin_find, and whenever settings or fault rules of DEVICES have
 * changed; by any thread, at any time.
 */
void batch_plugin_tell (struct devices *devices);

/* Returns where the N bytes are that nbdkit gives as BUF to .pwrite, until the
 * thread is done with this request.  To be called for each.
 */
const void *batch_plugin_payload (const void *buf, uint32_t n);

/* This thread is about to do a read or write of COUNT bytes at OFFSET for
 * nbdkit, whose handle is C, to the data of a device: the library may have
 * others like it done without nbdkit.  To be called for each.
 */
void batch_plugin_offer (struct connection *c, bool is_write, uint32_t count,
                         uint64_t offset);

/* This thread's request, to a control export, may wait for something that
 * the library does not see: the library sends now what it holds for this
 * thread.
 */
void batch_plugin_before_wait (void);

/* Has this thread deferred replies of its connection to send? */
bool batch_plugin_has_deferred (void);

/* This thread's connection is about to be closed. */
void batch_plugin_close (void);

#endif /* NULLBLK_BATCH_H */
