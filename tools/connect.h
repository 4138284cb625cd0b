/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Connections to NBD exports, by libnbd, for requests with simple replies.
 * Without TLS, libnbd has read only the bytes of the handshake from the socket,
 * so the caller may speak NBD on the socket itself.
 */

#ifndef NULLBLK_CONNECT_H
#define NULLBLK_CONNECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libnbd.h>

#include "common/common.h"

/* Connect to the export of URI.  If ENDING is not NULL, connect instead to the
 * export whose name is that one ("nullb0" if the URI has none) followed by
 * ENDING: "nullb0.zones".  Gives up after SECONDS without an answer.  Once it
 * is made, a connection by TCP breaks when the server's machine has been
 * silent, or has taken no data that is to be sent, for two minutes.  Returns
 * NULL and the reason in *why; *missing says then whether the server is there
 * and has no such export for us.
 */
struct nbd_handle *connection_open (const char *uri, const char *ending,
                                    unsigned seconds, bool *missing,
                                    struct message *why);

/* From now on the connection does not break if the server takes no data, as
 * long as its machine answers.
 */
void connection_be_patient (struct nbd_handle *h);

/* Read N bytes at AT of the export into BUF, while only libnbd speaks NBD on
 * the socket.  If the server has not answered after SECONDS, this breaks the
 * connection, so that nothing is written to BUF later.  Returns 0, or -EIO and
 * the reason in *why.
 */
int connection_read (struct nbd_handle *h, void *buf, size_t n, uint64_t at,
                     unsigned seconds, struct message *why);

/* Returns a number for the server's address (peer.h); 0 if it is not known. */
uint64_t connection_peer (struct nbd_handle *h);

/* From now on connection_open fails, in all threads. */
void connection_open_no_more (void);

/* Disconnect, and wait for the server to hang up for a second at most.  H may
 * be NULL.
 */
void connection_close (struct nbd_handle *h);

/* Ask the server to hang up, and do not wait for it.  This and the next two
 * functions take NULL, too.
 */
void connection_begin_close (struct nbd_handle *h);

/* Has the server hung up since connection_begin_close? */
bool connection_has_closed (struct nbd_handle *h);

/* Shut the socket down, so that all requests on it fail.  Any thread may call
 * this.
 */
void connection_break (struct nbd_handle *h);

#endif /* NULLBLK_CONNECT_H */
