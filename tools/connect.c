/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Connections to NBD exports; see connect.h.
 */

#include <config.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "connect.h"
#include "peer.h"

/* How long to wait for the server before the deadline is looked at again. */
#define SLICE_MS 100

/* How long a server may take to hang up. */
#define LEAVE_MS 1000

/* A server's machine that is silent for this long is gone.  If nothing is in
 * flight, TCP probes it after half of this time, and then every PROBE_SECONDS.
 */
#define SILENCE_SECONDS 120
#define PROBE_SECONDS 15

/* NBD's longest name. */
#define MAX_NAME 4096

/*---------------------------------------------------------------------*/
/* Connecting */

static uint64_t
seconds_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

static atomic_bool connects_no_more;

void
connection_open_no_more (void)
{
  atomic_store (&connects_no_more, true);
}

/* Wait until libnbd has done a step of the handshake.  Returns 0, -1 with
 * libnbd's error, or -ETIMEDOUT.
 */
static int
await (struct nbd_handle *h, uint64_t deadline)
{
  while (nbd_aio_is_connecting (h) == 1) {
    if (seconds_now () > deadline || atomic_load (&connects_no_more))
      return -ETIMEDOUT;
    if (nbd_poll (h, SLICE_MS) == -1)
      return -1;
  }
  return nbd_aio_is_negotiating (h) == 1 || nbd_aio_is_ready (h) == 1 ? 0 : -1;
}

/* Give H the name of the export with ENDING.  Returns 0 or -1. */
static int
name_export (struct nbd_handle *h, const char *ending)
{
  char *name = nbd_get_export_name (h);
  char other[MAX_NAME + 1];
  int n;

  if (name == NULL)
    return -1;
  n = snprintf (other, sizeof other, "%s%s", name[0] != '\0' ? name : "nullb0",
                ending);
  free (name);
  return n <= MAX_NAME ? nbd_set_export_name (h, other) : -1;
}

struct search {
  char *name;
  bool is_found;
};

static int
compare_name (void *opaque, const char *name, const char *description)
{
  struct search *search = opaque;

  (void) description;
  if (strcmp (name, search->name) == 0)
    search->is_found = true;
  return 0;
}

/* Returns 0 if the export is in the server's list.  A server complains in its
 * log when it is asked for an export that it does not have, and some servers
 * have an export of any name.
 */
static int
find_export (struct nbd_handle *h, uint64_t deadline)
{
  struct search search = {.name = nbd_get_export_name (h)};
  const nbd_list_callback callback = {.callback = compare_name,
                                      .user_data = &search};
  int r = -1;

  if (search.name != NULL &&
      nbd_aio_opt_list (h, callback, NBD_NULL_COMPLETION) == 0)
    r = await (h, deadline);
  free (search.name);
  return r == 0 && !search.is_found ? -1 : r;
}

static int
choose_export (struct nbd_handle *h, const char *ending, uint64_t deadline,
               bool *missing)
{
  int r;

  /* A server of the oldest kind (oldstyle) has only one export. */
  *missing = nbd_aio_is_negotiating (h) != 1;
  if (*missing || name_export (h, ending) == -1)
    return -1;
  r = find_export (h, deadline);
  if (r == 0)
    r = nbd_aio_opt_go (h, NBD_NULL_COMPLETION);
  if (r == 0)
    r = await (h, deadline);
  if (r == 0 && nbd_aio_is_ready (h) != 1)
    r = -1;
  *missing = r == -1 && nbd_aio_is_negotiating (h) == 1;
  return r;
}

/* Have the kernel end a TCP connection to a machine that is gone.  On a socket
 * of another kind the options that are TCP's fail, and none is needed.
 */
static void
watch_machine (int fd)
{
  const int on = 1, idle = SILENCE_SECONDS / 2, interval = PROBE_SECONDS;
  const int probes = SILENCE_SECONDS / 2 / PROBE_SECONDS;
  const unsigned most_ms = SILENCE_SECONDS * 1000;

  setsockopt (fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt (fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt (fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt (fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  setsockopt (fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &most_ms, sizeof most_ms);
}

void
connection_be_patient (struct nbd_handle *h)
{
  const unsigned no_limit = 0;

  setsockopt (nbd_aio_get_fd (h), IPPROTO_TCP, TCP_USER_TIMEOUT, &no_limit,
              sizeof no_limit);
}

struct nbd_handle *
connection_open (const char *uri, const char *ending, unsigned seconds,
                 bool *missing, struct message *why)
{
  struct nbd_handle *h = nbd_create ();
  const uint64_t deadline = seconds_now () + seconds;
  const char *said;
  int r = -1;

  *missing = false;
  if (h != NULL) {
    nbd_set_uri_allow_local_file (h, true);
    nbd_set_request_structured_replies (h, false);
#ifdef LIBNBD_HAVE_NBD_SET_REQUEST_EXTENDED_HEADERS
    nbd_set_request_extended_headers (h, false);
#endif
    /* The kernel does not ask for what is beyond the end. */
    nbd_set_strict_mode (h, 0);
#ifdef LIBNBD_HAVE_NBD_SET_PREAD_INITIALIZE
    nbd_set_pread_initialize (h, false);
#endif
    nbd_set_opt_mode (h, ending != NULL);
    r = nbd_aio_connect_uri (h, uri);
    if (r == 0)
      r = await (h, deadline);
    if (r == 0 && ending != NULL)
      r = choose_export (h, ending, deadline, missing);
    if (r == 0) {
      watch_machine (nbd_aio_get_fd (h));
      return h;
    }
  }
  said = nbd_get_error ();
  if (h != NULL && nbd_aio_is_negotiating (h) == 1)
    nbd_aio_opt_abort (h); /* as the protocol wants it */
  if (r == -ETIMEDOUT)
    message_set (why, "%s: the server does not answer", uri);
  else if (*missing)
    message_set (why, "%s: there is no export \"...%s\" for this client", uri,
                 ending);
  else
    message_set (why, "%s: %s", uri,
                 said != NULL ? said : "the server does not serve it");
  nbd_close (h);
  return NULL;
}

int
connection_read (struct nbd_handle *h, void *buf, size_t n, uint64_t at,
                 unsigned seconds, struct message *why)
{
  const uint64_t deadline = seconds_now () + seconds;
  const int64_t cookie = nbd_aio_pread (h, buf, n, at, NBD_NULL_COMPLETION, 0);
  int done = cookie == -1 ? -1 : 0;

  while (done == 0 && (done = nbd_aio_command_completed (h, cookie)) == 0) {
    if (seconds_now () > deadline) {
      connection_break (h);
      while (nbd_aio_command_completed (h, cookie) == 0 &&
             nbd_poll (h, SLICE_MS) != -1)
        ;
      message_set (why, "the server does not answer");
      return -EIO;
    }
    if (nbd_poll (h, SLICE_MS) == -1)
      done = -1;
  }
  if (done == 1)
    return 0;
  message_set (why, "%s", nbd_get_error ());
  return -EIO;
}

uint64_t
connection_peer (struct nbd_handle *h)
{
  return peer_of (nbd_aio_get_fd (h));
}

void
connection_begin_close (struct nbd_handle *h)
{
  if (h != NULL && nbd_aio_is_ready (h) == 1)
    nbd_aio_disconnect (h, 0);
}

bool
connection_has_closed (struct nbd_handle *h)
{
  return h == NULL || nbd_poll (h, 0) == -1 || nbd_aio_is_closed (h) == 1 ||
         nbd_aio_is_dead (h) == 1;
}

void
connection_break (struct nbd_handle *h)
{
  const int fd = h != NULL ? nbd_aio_get_fd (h) : -1;

  if (fd != -1)
    shutdown (fd, SHUT_RDWR);
}

void
connection_close (struct nbd_handle *h)
{
  unsigned i;

  if (h == NULL)
    return;
  if (nbd_aio_is_ready (h) == 1 && nbd_aio_disconnect (h, 0) == 0) {
    for (i = 0; i < LEAVE_MS / SLICE_MS && nbd_aio_is_closed (h) != 1 &&
                nbd_aio_is_dead (h) != 1;
         i++) {
      if (nbd_poll (h, SLICE_MS) == -1)
        break;
    }
  }
  nbd_close (h);
}
