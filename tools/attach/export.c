/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What a server says of its export, and connections to it; see export.h.
 */

#include <config.h>

#include "export.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "attach-internal.h"
#include "peer.h"

/* How long to wait between two calls of is_stopped. */
#define SLICE_MS 200

/* The kernel goes on to send all kinds of requests that OLD has offered, so
 * INFO must have them, too.
 */
bool
export_info_serves (const struct export_info *info,
                    const struct export_info *old)
{
  const unsigned kinds = ~(unsigned) (EXPORT_READ_ONLY | EXPORT_ROTATIONAL);

  return (info->peer == old->peer || old->peer == 0) &&
         info->size == old->size && info->block_size <= old->block_size &&
         ((info->flags ^ old->flags) & EXPORT_READ_ONLY) == 0 &&
         (old->flags & ~info->flags & kinds) == 0;
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

/* The transmission flags, which libnbd tells one by one. */
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
ask_export_info (struct nbd_handle *h, struct export_info *info)
{
  const int64_t size = nbd_get_size (h);
  const int64_t block_size = nbd_get_block_size (h, LIBNBD_SIZE_MINIMUM);

  info->size = size;
  info->block_size = block_size > 512 ? block_size : 512;
  info->flags = flags_of (h);
  info->peer = peer_of (nbd_aio_get_fd (h));
  return size != -1;
}

/* Wait for the end of a step of the handshake, until END at most, however much
 * the server sends until then.  Returns -1 where libnbd has failed.
 */
static int
await (struct nbd_handle *h, time_t end)
{
  int r = 0;

  while (r != -1 && nbd_aio_is_connecting (h) == 1 && seconds_now () <= end &&
         !is_stopped ())
    r = nbd_poll (h, SLICE_MS);
  return r;
}

/* A search for the export's zone table in the server's list. */
struct zones_name {
  char text[4096 + 16]; /* the export's name, or "nullb0" if that is "", and
                         * ".zones" */
  bool is_listed;
};

static int
compare_name (void *opaque, const char *name, const char *description)
{
  struct zones_name *zones = opaque;

  (void) description;
  if (strcmp (name, zones->text) == 0)
    zones->is_listed = true;
  return 0;
}

/* Before an export is chosen, look for its zone table in the server's list of
 * exports.  Returns -1 where libnbd has failed.
 */
static int
list_zones (struct nbd_handle *h, time_t end, bool *has_zones)
{
  char *name = nbd_get_export_name (h);
  struct zones_name zones = {.is_listed = false};
  const nbd_list_callback callback = {.callback = compare_name,
                                      .user_data = &zones};
  int r = -1;

  if (name != NULL) {
    format_text (zones.text, sizeof zones.text, "%s.zones",
                 name[0] != '\0' ? name : "nullb0");
    r = nbd_aio_opt_list (h, callback, NBD_NULL_COMPLETION);
  }
  free (name);
  if (r != -1)
    r = await (h, end);
  /* The callback is not called any more. */
  *has_zones = nbd_aio_is_negotiating (h) == 1 && zones.is_listed;
  return r;
}

/* Do the handshake.  Servers of the oldest kind (oldstyle) have one export,
 * which cannot be chosen, and no list.
 */
static int
negotiate (struct nbd_handle *h, time_t end, bool *has_zones)
{
  int r = await (h, end);

  if (r == -1 || nbd_aio_is_negotiating (h) != 1)
    return r;
  r = list_zones (h, end, has_zones);
  if (r == -1 || nbd_aio_is_negotiating (h) != 1)
    return r;
  r = nbd_aio_opt_go (h, NBD_NULL_COMPLETION);
  if (r != -1)
    r = await (h, end);
  /* Where the server refuses the export, negotiation goes on, and libnbd has
   * the reason.
   */
  return nbd_aio_is_negotiating (h) == 1 ? -1 : r;
}

struct nbd_handle *
connect_within (const char *uri, unsigned seconds, struct export_info *info,
                bool *has_zones, struct message *why)
{
  struct nbd_handle *h = nbd_create ();
  const time_t end = seconds_now () + seconds;
  const char *said;
  const int on = 1;
  int r = -1;

  if (has_zones != NULL)
    *has_zones = false;

  if (h != NULL) {
    nbd_set_uri_allow_local_file (h, true);
    ask_for_simple_replies (h);
    nbd_set_full_info (h, true); /* ask for the description, too */
    nbd_set_opt_mode (h, has_zones != NULL);
    r = nbd_aio_connect_uri (h, uri);
    if (r != -1)
      r = negotiate (h, end, has_zones);
    if (r != -1 && nbd_aio_is_ready (h) == 1) {
      /* To notice a network that is gone; Unix sockets ignore it. */
      setsockopt (nbd_aio_get_fd (h), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
      if (ask_export_info (h, info))
        return h;
      r = -1;
    }
  }
  said = r == -1 ? nbd_get_error () : "the server does not answer";
  message_set (why, "%s: %s", uri,
               said != NULL ? said : "the server does not serve it");
  if (h != NULL && nbd_aio_is_negotiating (h) == 1)
    nbd_aio_opt_abort (h);
  nbd_close (h);
  return NULL;
}

void
numeric_host (struct nbd_handle *h, char *buf, size_t size)
{
  struct sockaddr_storage address;
  socklen_t length = sizeof address;

  if (getpeername (nbd_aio_get_fd (h), (struct sockaddr *) &address, &length) ==
          -1 ||
      getnameinfo ((struct sockaddr *) &address, length, buf, size, NULL, 0,
                   NI_NUMERICHOST) != 0)
    buf[0] = '\0';
}

void
disconnect_from_server (struct nbd_handle *h)
{
  /* Not nbd_shutdown, which waits for what the server says to it. */
  if (h != NULL)
    nbd_aio_disconnect (h, 0);
  nbd_close (h);
}
