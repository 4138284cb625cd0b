/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The requests of a job of fio; see engine.h.
 */

#include <config.h>

#include <errno.h>
#include <limits.h>

#include "engine.h"

int
engine_io_u_init (struct thread_data *td, struct io_u *io_u)
{
  struct channel_request *q = &job_of (td)->requests[io_u->index];

  q->owner = io_u;
  io_u->engine_data = q;
  return 0;
}

/* With read_iolog= and latency_target= fio ends a job without waiting for
 * requests in flight, and frees their buffers.  Before that it calls this for
 * the io_u that are not in flight, of which there is at least one.
 */
void
engine_io_u_free (struct thread_data *td, struct io_u *io_u)
{
  if (job_of (td)->session != NULL)
    session_wait (job_of (td)->session, UINT_MAX);
  io_u->engine_data = NULL;
}

static enum fio_q_status
fail_at_once (struct io_u *io_u, int err)
{
  io_u->error = err;
  return FIO_Q_COMPLETED;
}

/* Are offset and length multiples of the server's smallest block?  check_job
 * has seen only bs=.  Of a job only the first request that does not fit is
 * reported.
 */
static bool
fits_blocks (const struct thread_data *td, const struct channel_request *q)
{
  struct job *job = job_of (td);
  const uint64_t block = job->export.block_size;

  if (q->offset % block == 0 && q->count % block == 0)
    return true;
  if (!job->misfit_told) {
    job->misfit_told = true;
    say ("%s: offset %llu, length %u (of offset=, blockalign=, bs_unaligned, "
         "zonesize=): the server takes multiples of %llu\n",
         options_of (td)->uri, (unsigned long long) q->offset, q->count,
         (unsigned long long) block);
  }
  return false;
}

enum fio_q_status
engine_queue (struct thread_data *td, struct io_u *io_u)
{
  struct channel_request *q = io_u->engine_data;

  q->fua = false;
  q->offset = io_u->offset;
  q->count = io_u->xfer_buflen;
  q->buf = io_u->xfer_buf;
  switch (io_u->ddir) {
  case DDIR_READ:
    q->type = NBD_CMD_READ;
    break;
  case DDIR_WRITE:
    q->type = NBD_CMD_WRITE;
    q->fua = td->o.sync_io != 0;
    break;
  case DDIR_TRIM:
    if (reset_instead (td, io_u))
      return FIO_Q_COMPLETED;
    if (io_u->xfer_buflen > UINT32_MAX)
      return fail_at_once (io_u, EINVAL);
    q->type = options_of (td)->trims == TRIMS_ZERO ? NBD_CMD_WRITE_ZEROES
                                                   : NBD_CMD_TRIM;
    break;
  case DDIR_SYNC:
  case DDIR_DATASYNC:
  case DDIR_SYNC_FILE_RANGE:
    q->type = NBD_CMD_FLUSH;
    break;
  default:
    return fail_at_once (io_u, EINVAL);
  }
  if (q->type != NBD_CMD_FLUSH && !fits_blocks (td, q))
    return fail_at_once (io_u, EINVAL);
  return session_add (job_of (td)->session, q) ? FIO_Q_QUEUED : FIO_Q_BUSY;
}

int
engine_commit (struct thread_data *td)
{
  session_commit (job_of (td)->session);
  return 0;
}

int
engine_getevents (struct thread_data *td, unsigned int least, unsigned int most,
                  const struct timespec *t)
{
  struct session *s = job_of (td)->session;
  const char *why;
  unsigned n;

  (void) t; /* fio gives a time only if LEAST is 0, and means: do not wait */
  n = session_wait (s, least);
  why = session_why_dead (s);
  if (why != NULL)
    say ("%s: %s\n", options_of (td)->uri, why);
  return n < most ? n : most;
}

struct io_u *
engine_event (struct thread_data *td, int event)
{
  struct channel_request *q = session_take (job_of (td)->session);
  struct io_u *io_u = q->owner;

  (void) event; /* fio asks for all that getevents counted, in turn */
  io_u->error = -q->err;
  return io_u;
}

/* fio calls this to open or close a file, or to drop its cache: there is none.
 */
int
engine_on_file (struct thread_data *td, struct fio_file *f)
{
  (void) td;
  (void) f;
  return 0;
}
