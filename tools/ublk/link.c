/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Links of either kind; see link.h.
 */

#include <config.h>

#include <stdlib.h>

#include "link-internal.h"

struct link *
link_create (struct nbd_handle *h, struct ring *ring)
{
  if (nbd_get_tls_negotiated (h) == 0 &&
      nbd_get_structured_replies_negotiated (h) == 0)
    return link_raw_create (h, ring);
  return link_libnbd_create (h, ring);
}

void
link_destroy (struct link *l)
{
  if (l != NULL)
    l->ops->destroy (l);
}

bool
link_is_over (struct link *l)
{
  return l->ops->is_over (l);
}

void
link_submit (struct link *l, struct io *io)
{
  l->ops->submit (l, io);
}

bool
link_pump (struct link *l)
{
  return l->ops->pump (l);
}

void
link_release_io (struct io *io)
{
  free (io->own_buf);
  io->own_buf = NULL;
  io->own_size = 0;
}
