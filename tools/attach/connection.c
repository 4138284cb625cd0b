/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Connections to a server that are made for the kernel; see connection.h.
 */

#include <config.h>

#include "connection.h"

#include <sys/socket.h>
#include <time.h>

#include "attach-internal.h"

/* How long to wait before it is asked whether we are to stop. */
#define SLICE_MS 200

/* The kernel goes on sending what OLD has offered. */
bool
offer_serves (const struct offer *offer, const struct offer *old)
{
  const unsigned offers = ~(unsigned) (EXPORT_READ_ONLY | EXPORT_ROTATIONAL);

  return offer->size == old->size && offer->block_size <= old->block_size &&
         ((offer->flags ^ old->flags) & EXPORT_READ_ONLY) == 0 &&
         (old->flags & ~offer->flags & offers) == 0;
}

static time_t
seconds_now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec;
}

static void
ask_for_simple_replies (struct nbd_handle *h)
{
  nbd_set_request_structured_replies (h, false);
#ifdef LIBNBD_HAVE_NBD_SET_REQUEST_EXTENDED_HEADERS
  nbd_set_request_extended_headers (h, false);
#endif
#ifdef LIBNBD_HAVE_NBD_SET_REQUEST_META_CONTEXT
  nbd_set_request_meta_context (h, false);
#endif
}

/* libnbd tells the flags one by one. */
static unsigned
flags_of (struct nbd_handle *h)
{
  unsigned flags = EXPORT_HAS_FLAGS;

  flags |= nbd_is_read_only (h) == 1 ? EXPORT_READ_ONLY : 0;
  flags |= nbd_can_flush (h) == 1 ? EXPORT_FLUSH : 0;
  flags |= nbd_can_fua (h) == 1 ? EXPORT_FUA : 0;
  flags |= nbd_is_rotational (h) == 1 ? EXPORT_ROTATIONAL : 0;
  flags |= nbd_can_trim (h) == 1 ? EXPORT_TRIM : 0;
  flags |= nbd_can_zero (h) == 1 ? EXPORT_ZEROES : 0;
  flags |= nbd_can_multi_conn (h) == 1 ? EXPORT_MULTI_CONN : 0;
  return flags;
}

static bool
ask_offer (struct nbd_handle *h, struct offer *offer)
{
  const int64_t size = nbd_get_size (h);
  const int64_t block_size = nbd_get_block_size (h, LIBNBD_SIZE_MINIMUM);

  offer->size = size;
  offer->block_size = block_size > 512 ? block_size : 512;
  offer->flags = flags_of (h);
  return size != -1;
}

/* What a server says does not lengthen the time: it may go on for ever. */
struct nbd_handle *
connect_within (const char *uri, unsigned seconds, struct offer *offer,
                struct message *why)
{
  struct nbd_handle *h = nbd_create ();
  const time_t end = seconds_now () + seconds;
  const int on = 1;
  int r = -1;

  if (h != NULL) {
    nbd_set_uri_allow_local_file (h, true);
    ask_for_simple_replies (h);
    r = nbd_aio_connect_uri (h, uri);
    while (r != -1 && nbd_aio_is_connecting (h) == 1 && seconds_now () <= end &&
           !is_stopped ())
      r = nbd_poll (h, SLICE_MS);
    if (r != -1 && nbd_aio_is_ready (h) == 1) {
      /* To notice a network that is gone; Unix sockets take no notice. */
      setsockopt (nbd_aio_get_fd (h), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
      if (ask_offer (h, offer))
        return h;
      r = -1;
    }
  }
  if (r == -1)
    message_set (why, "%s: %s", uri, nbd_get_error ());
  else
    message_set (why, "%s: the server does not answer", uri);
  nbd_close (h);
  return NULL;
}

void
disconnect_from_server (struct nbd_handle *h)
{
  /* Not nbd_shutdown, which waits for what the server says to it. */
  if (h != NULL)
    nbd_aio_disconnect (h, 0);
  nbd_close (h);
}
