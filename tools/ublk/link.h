/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A connection to an NBD export, whose requests are sent, and whose replies are
 * received, by the ring of the thread that owns it.  Nothing here waits.
 *
 *     link_submit ──> socket ──> server
 *          io->done <── link's events in the ring <──┘
 *
 * Each link belongs to one thread, which makes all calls; when the thread has
 * ended, another one may call link_destroy.
 */

#ifndef NULLBLK_UBLK_LINK_H
#define NULLBLK_UBLK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "connect.h"
#include "ublkdrv/ublkdrv.h"

enum io_kind { IO_READ, IO_WRITE, IO_FLUSH, IO_TRIM, IO_ZERO };

struct link;

/* A request to the server.  It belongs to its owner until link_submit, and
 * again from `done` on, which link_pump calls once.  ERR there is 0, or a
 * negative errno: NBD's, or -ENOTCONN if the connection is dead.  `done` may
 * submit this or other requests.
 */
struct io {
  enum io_kind kind;
  bool fua;
  bool no_hole; /* of IO_ZERO */
  uint64_t offset;
  uint32_t count; /* bytes */

  /* Where the data is: COUNT bytes at buf.  If buf is NULL, `move` is called
   * for one piece of the data after the other, N bytes that are AT bytes behind
   * the beginning.  For a write, `move` puts these bytes into BUF; for a read,
   * it takes them from BUF.  It returns 0 or a negative errno.
   */
  void *buf;
  int (*move) (struct io *io, void *buf, size_t n, size_t at);

  void (*done) (struct io *io, int err);

  /* Private.  All 0 at first; link_release_io frees what is there. */
  struct io *next;
  struct link *link;
  void *own_buf;
  size_t own_size;
  int err;
};

void link_release_io (struct io *io);

/* Make a link on the connection H, whose events come by RING.  NULL if there is
 * no memory or no descriptor.  link_destroy does not close H.
 */
struct link *link_create (struct nbd_handle *h, struct ring *ring);
void link_destroy (struct link *l);

/* Is the connection dead, with none of the link's events left in the ring, and
 * no `done` left to call?  Only then link_destroy may be called while the ring
 * goes on.
 */
bool link_is_over (struct link *l);

void link_submit (struct link *l, struct io *io);

/* Send what has been submitted, as far as the socket takes it, call `done` for
 * what is answered, and ask the ring for the next events.  Returns whether
 * there was any `done` to call.  To be called before each wait for the ring,
 * until it returns false.
 */
bool link_pump (struct link *l);

#endif /* NULLBLK_UBLK_LINK_H */
