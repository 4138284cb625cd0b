/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Links, for their own files: link.c, which chooses one of the other two,
 * link-libnbd.c, where libnbd speaks to the server, as it must with TLS or
 * structured replies, and link-raw.c, where we do.
 */

#ifndef NULLBLK_UBLK_LINK_INTERNAL_H
#define NULLBLK_UBLK_LINK_INTERNAL_H

#include "link.h"

/* The functions of link.h for one kind of link. */
struct link_ops {
  void (*destroy) (struct link *l);
  void (*submit) (struct link *l, struct io *io);
  bool (*pump) (struct link *l);
  bool (*is_over) (struct link *l);
};

/* Each kind of link begins with this. */
struct link {
  const struct link_ops *ops;
};

struct link *link_libnbd_create (struct nbd_handle *h, struct ring *ring);
struct link *link_raw_create (struct nbd_handle *h, struct ring *ring);

#endif /* NULLBLK_UBLK_LINK_INTERNAL_H */
