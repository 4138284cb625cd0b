/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A connection to an NBD export, whose requests are sent and answered by the
 * ring of the thread that owns it.  Nothing here waits, except for the
 * functions that connect and disconnect.
 *
 *     link_submit ──> socket ──> server
 *          io->done <── link's events in the ring <──┘
 *
 * Each link belongs to one thread, which makes all calls.
 */

#ifndef NULLBLK_UBLK_LINK_H
#define NULLBLK_UBLK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <libnbd.h>

#include "common/common.h"
#include "driver/driver.h"

enum io_kind { IO_READ, IO_WRITE, IO_FLUSH, IO_TRIM, IO_ZERO };

struct link;

/* A request.  It is its owner's until link_submit, and again from done on,
 * which is called once; there, ERR is 0 or a negative errno: NBD's, or
 * -ENOTCONN where the connection is dead.  done may submit it, or another,
 * anew, but not before link_submit has returned.
 */
struct io {
  enum io_kind kind;
  bool fua;
  bool no_hole; /* of IO_ZERO */
  uint64_t offset;
  uint32_t count; /* bytes */

  /* Where the data is: COUNT bytes at buf, or, where that is NULL, what is
   * moved in pieces: N bytes, AT bytes behind the beginning, are to be put into
   * BUF for a write, and taken out of BUF for a read.  move returns 0 or a
   * negative errno.
   */
  void *buf;
  int (*move) (struct io *io, void *buf, size_t n, size_t at);

  void (*done) (struct io *io, int err);

  /* Private.  All 0 at first; link_release_io frees what is there. */
  struct io *next;
  struct link *link;
  void *own;
  size_t own_size;
  int err;
};

void link_release_io (struct io *io);

/* Connect to the export of URI; to that of which the name is the URI's (or
 * "nullb0" if that is empty) and then ENDING, if ENDING is not NULL.  Gives up
 * after SECONDS without an answer.  Once it is made, a connection by TCP breaks
 * when the server's machine has been silent for two minutes.  Returns NULL and
 * the reason in *why;
 * *missing says then whether the server is there and has no such export for us.
 */
struct nbd_handle *link_connect (const char *uri, const char *ending,
                                 unsigned seconds, bool *missing,
                                 struct message *why);

/* Read N bytes at AT (of the export) into BUF, before there is a link.
 * Gives up after SECONDS without an answer; what comes later may be written to
 * BUF until the connection is closed.  Returns 0, or -EIO and the reason in
 * *why.
 */
int link_read (struct nbd_handle *h, void *buf, size_t n, uint64_t at,
               unsigned seconds, struct message *why);

/* Where the server is: an address, or the path of a local one; all 0 where that
 * cannot be known.  Two of them are the same if their bytes are.
 */
struct address {
  struct sockaddr_storage address;
};
void link_address (struct nbd_handle *h, struct address *address);

/* From now on nobody connects: link_connect fails, in all threads. */
void link_stop_connecting (void);

/* Take leave of the server, as far as that takes no time; NULL is none. */
void link_disconnect (struct nbd_handle *h);

/* Begin to take leave, so that many can be waited for at once; whether the
 * server has hung up since; and break the connection, so that all that is asked
 * by it fails: this may be called by any thread.  NULL is none.
 */
void link_leave (struct nbd_handle *h);
bool link_has_left (struct nbd_handle *h);
void link_break (struct nbd_handle *h);

/* A link on a connection that is made, whose events come by RING; NULL if there
 * is no memory.  link_destroy leaves the connection alone.
 */
struct link *link_create (struct nbd_handle *h, struct ring *ring);
void link_destroy (struct link *l);

/* Is its connection dead, and nothing in the ring that would tell it of
 * anything?  Only then link_destroy may be called while the ring goes on.
 */
bool link_is_over (struct link *l);

void link_submit (struct link *l, struct io *io);

/* Send what has been submitted, as far as the socket takes it, call done for
 * what is answered, and ask the ring for the events that are to come.  To be
 * called before each wait for the ring, until it returns that it had nothing to
 * call done for.
 */
bool link_pump (struct link *l);

#endif /* NULLBLK_UBLK_LINK_H */
