/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The export of a job; see jobexport.h.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include <libnbd.h>

#include "connect.h"
#include "jobexport.h"

/* How long a server may take to answer. */
#define ANSWER_SECONDS 30

/* The most bytes that libnbd allows for a read or a write. */
#define MAX_BY_LIBNBD (UINT64_C (64) << 20)

#define fail(why, ...) (message_set (why, __VA_ARGS__), -EIO)

/* Do we speak NBD on its socket ourselves? */
static bool
is_raw (struct nbd_handle *h)
{
  return nbd_get_tls_negotiated (h) == 0 &&
         nbd_get_structured_replies_negotiated (h) == 0;
}

static int
ask (struct nbd_handle *h, struct job_export *e, const char *uri,
     struct message *why)
{
  const int64_t size = nbd_get_size (h);
  const int64_t block = nbd_get_block_size (h, LIBNBD_SIZE_MINIMUM);
  const int64_t most = nbd_get_block_size (h, LIBNBD_SIZE_MAXIMUM);

  memset (e, 0, sizeof *e);
  if (size == -1)
    return fail (why, "%s: %s", uri, nbd_get_error ());
  e->size = size;
  e->block_size = block > 0 ? block : 1;
  e->max_request = min (most > 0 ? (uint64_t) most : UINT64_MAX,
                        is_raw (h) ? UINT32_MAX : MAX_BY_LIBNBD);
  e->read_only = nbd_is_read_only (h) == 1;
  e->can_flush = nbd_can_flush (h) == 1;
  e->can_fua = nbd_can_fua (h) == 1;
  e->can_trim = nbd_can_trim (h) == 1;
  e->can_zero = nbd_can_zero (h) == 1;
  e->multi_conn = nbd_can_multi_conn (h) == 1;
  return 0;
}

static bool
is_same (const struct job_export *a, const struct job_export *b)
{
  return a->size == b->size && a->block_size == b->block_size &&
         a->max_request == b->max_request && a->read_only == b->read_only &&
         a->can_flush == b->can_flush && a->can_fua == b->can_fua &&
         a->can_trim == b->can_trim && a->can_zero == b->can_zero &&
         a->multi_conn == b->multi_conn;
}

int
job_export_ask (struct job_export *e, const char *uri, struct message *why)
{
  struct nbd_handle *h;
  bool missing;
  int r;

  h = connection_open (uri, NULL, ANSWER_SECONDS, &missing, why);
  if (h == NULL)
    return -EIO;
  r = ask (h, e, uri, why);
  connection_close (h);
  return r;
}

/* Make one more connection. */
static int
open_handle (struct handles *l, const struct job_export *e, const char *uri,
             struct session *s, unsigned depth, struct message *why)
{
  struct job_export other;
  struct nbd_handle *h;
  struct channel *c;
  bool missing;

  h = connection_open (uri, NULL, ANSWER_SECONDS, &missing, why);
  if (h == NULL)
    return -EIO;
  l->h[l->n++] = h;
  connection_be_patient (h);
  if (ask (h, &other, uri, why) < 0)
    return -EIO;
  if (!is_same (&other, e))
    return fail (why, "%s: its connections are to different exports", uri);
  if (is_raw (h))
    c = channel_raw_create (nbd_aio_get_fd (h), depth, session_answered (s));
  else
    c = channel_nbd_create (h, session_answered (s));
  if (c == NULL)
    return fail (why, "%s: %s", uri, strerror (ENOMEM));
  session_use (s, c);
  return 0;
}

int
handles_open (struct handles *l, const struct job_export *e, const char *uri,
              unsigned n, struct session *s, unsigned depth,
              struct message *why)
{
  unsigned i;

  l->n = 0;
  for (i = 0; i < n; i++) {
    if (open_handle (l, e, uri, s, depth, why) < 0)
      return -EIO;
  }
  return 0;
}

void
handles_close (struct handles *l)
{
  unsigned i;

  for (i = 0; i < l->n; i++)
    connection_close (l->h[i]);
  l->n = 0;
}
