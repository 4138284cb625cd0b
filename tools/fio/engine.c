/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-fio.so: an engine of fio for NBD, with zones (nullblk-fio(1)).
 *
 * This file is BSD-3-Clause, as all of ours.  It is built with fio's headers,
 * whose inline functions become part of the object, and fio is under the GNU
 * General Public License, version 2.  So the object nullblk-fio.so, as a work
 * combined of both, is under that license.
 *
 * The process in which fio sets a job up is not the one that runs it, but where
 * --thread is given.  So what is asked for in setup, and about zones before the
 * run, is asked on connections that end with the question; those of the run are
 * made in init.  What is between these functions:
 *
 *     setup -> [get_zoned_model -> report_zones -> get_max_..._zones] -> init
 *       -> { queue -> commit -> getevents -> event, reset_wp, finish_zone }
 *       -> cleanup
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobzones.h"
#include "session.h"
#include "target.h"
#include "zonetable.h"

/* Of fio; its macros min and max hide our functions from here on.  Its release
 * is told by the number of its interface to engines, and more exactly by
 * FIO_RELEASE, "fio-3.33".
 */
#include <fio.h>
#include <optgroup.h>
#include <zbd.h>

#if FIO_IOOPS_VERSION < 31 || FIO_IOOPS_VERSION > 39
#error This release of fio is not known: 3.30 to 3.42 are.
#endif

#define say(...) log_err ("nullblk-fio: " __VA_ARGS__)

enum { ZONES_AUTO, ZONES_OFF };
enum { TRIMS_TRIM, TRIMS_ZERO };

struct options {
  void *fios_own;
  char *uri;
  unsigned connections;
  unsigned zones;
  unsigned trims;
};

/* Of a job. */
struct job {
  struct target target;
  struct request *requests; /* of the io_u with the same index */
  struct session *session;
  struct links links;
  struct job_zones *zones; /* once any is reset or finished, and then ... */
  pid_t zones_owner;       /* ... the process that has the connection */
};

static const struct options *
options_of (const struct thread_data *td)
{
  return td->eo;
}

static struct job *
job_of (const struct thread_data *td)
{
  return td->io_ops_data;
}

/*---------------------------------------------------------------------*/
/* Before the run */

/* What the job asks for, and the export does not offer; NULL if it is all
 * there.
 */
static const char *
missing_offer (const struct thread_data *td, const struct target *t)
{
  const struct thread_options *o = &td->o;
  const bool zeroes = options_of (td)->trims == TRIMS_ZERO;
  const bool flushes = o->fsync_blocks != 0 || o->fdatasync_blocks != 0 ||
                       o->sync_file_range != 0 || o->end_fsync != 0 ||
                       o->fsync_on_close != 0;

  if ((td_write (td) || td_trim (td)) && t->read_only)
    return "the export is read-only";
  if (td_trim (td) && !zeroes && !t->can_trim)
    return "rw=: the server takes no trims; trims=zero sends write zeroes";
  if (td_trim (td) && zeroes && !t->can_zero)
    return "trims=zero: the server takes no write zeroes";
  if (td_write (td) && o->sync_io != 0 && !t->can_fua)
    return "sync=: the server takes no FUA";
  if (td_write (td) && flushes && !t->can_flush)
    return "fsync=, fdatasync=, sync_file_range=, end_fsync=: the server takes "
           "no flush";
  if (options_of (td)->connections > 1 && !t->multi_conn)
    return "connections=: the server allows 1 (it is not multi-conn)";
  return NULL;
}

static int
check_job (const struct thread_data *td, const struct target *t)
{
  const char *uri = options_of (td)->uri;
  const char *missing = missing_offer (td, t);
  const unsigned long long *smallest = td->o.min_bs, *greatest = td->o.max_bs;
  const bool used[] = {[DDIR_READ] = td_read (td),
                       [DDIR_WRITE] = td_write (td),
                       [DDIR_TRIM] = td_trim (td)};
  const unsigned long long first =
      td->o.start_offset + td->o.offset_increment * td->subjob_number;
  enum fio_ddir d;

  if (missing != NULL) {
    say ("%s: %s\n", uri, missing);
    return 1;
  }
  /* fio would do nothing, and call that a success. */
  if (first >= t->size) {
    say ("%s: offset=%llu: the export has %llu bytes\n", uri, first,
         (unsigned long long) t->size);
    return 1;
  }
  for (d = DDIR_READ; d <= DDIR_TRIM; d++) {
    if (!used[d])
      continue;
    if (smallest[d] % t->block != 0) {
      say ("%s: bs=%llu: the server takes multiples of %llu\n", uri,
           smallest[d], (unsigned long long) t->block);
      return 1;
    }
    if (d != DDIR_TRIM && greatest[d] > t->most) {
      say ("%s: bs=%llu: the server takes at most %llu\n", uri, greatest[d],
           (unsigned long long) t->most);
      return 1;
    }
  }
  return 0;
}

/* The export is the job's one file.  fio shares what it knows of zones between
 * jobs whose files have the same name, and asks about zones only of block
 * devices, which are to be used with direct=1.
 */
static int
set_file (struct thread_data *td, const struct target *t)
{
  struct fio_file *f;

  if (td->files_index == 0) {
    add_file (td, "nbd", 0, 0);
    td->o.nr_files = 1;
    td->o.open_files++;
  }
  if (td->files_index != 1) {
    say ("filename=, nrfiles=: allowed is one file, which is the export\n");
    return 1;
  }
  f = td->files[0];
  f->file_name = smalloc_strdup (options_of (td)->uri);
  if (f->file_name == NULL) {
    say ("%s\n", strerror (ENOMEM));
    return 1;
  }
  f->filetype = FIO_TYPE_BLOCK;
  f->real_file_size = t->size;
  fio_file_set_size_known (f);
  td->o.odirect = 1;
  return 0;
}

static int
engine_setup (struct thread_data *td)
{
  const struct options *o;
  struct message why;
  struct job *job;

  /* Nothing of TD may be touched before: it is laid out otherwise in another
   * release that has the same number of the interface.
   */
  if (strcmp (fio_version_string, FIO_RELEASE) != 0) {
    say ("this is built for " FIO_RELEASE ", and not for %s\n",
         fio_version_string);
    return 1;
  }
  o = options_of (td);
  if (o->uri == NULL || o->uri[0] == '\0') {
    say ("uri= is missing: an NBD URI such as nbd://HOST/EXPORT or "
         "nbd+unix:///EXPORT?socket=PATH\n");
    return 1;
  }
  job = calloc (1, sizeof *job);
  if (job == NULL) {
    say ("%s\n", strerror (ENOMEM));
    return 1;
  }
  td->io_ops_data = job;
  if (target_ask (&job->target, o->uri, &why) < 0) {
    say ("%s\n", why.text);
    return 1;
  }
  if (check_job (td, &job->target) != 0)
    return 1;
  /* fio resets a zone where others discard, and waits for that. */
  if (td->o.zone_mode == ZONE_MODE_ZBD)
    td->flags |= (unsigned long long) FIO_ASYNCIO_SYNC_TRIM
                 << TD_ENG_FLAG_SHIFT;
  return set_file (td, &job->target);
}

/*---------------------------------------------------------------------*/
/* Zones */

/* Returns 0, or -1 with errno, of which fio says more. */
static int
fails (int err)
{
  errno = -err;
  return -1;
}

/* Of ZONE_SIZE bytes each, once fio has seen how many; 0 before. */
static struct job_zones *
open_zones (const struct thread_data *td, uint64_t zone_size, bool *missing)
{
  const char *uri = options_of (td)->uri;
  struct job_zones *z;
  struct message why;

  z = job_zones_open (uri, job_of (td)->target.size, zone_size, missing, &why);
  if (z == NULL)
    say ("%s%s\n", why.text,
         *missing ? ": it has no zones but those that fio imagines" : "");
  return z;
}

static int
engine_get_zoned_model (struct thread_data *td, struct fio_file *f,
                        enum zbd_zoned_model *model)
{
  struct job_zones *z;
  bool missing;

  (void) f;
  *model = ZBD_NONE;
  if (options_of (td)->zones == ZONES_OFF)
    return 0;
  z = open_zones (td, 0, &missing);
  if (z == NULL)
    return missing ? 0 : fails (-EIO);
  job_zones_close (z);
  *model = ZBD_HOST_MANAGED;
  return 0;
}

/* As fio has it, with bytes for sectors.  It believes no write pointer outside
 * of its zone, which the zones that have none are reported with.
 */
static void
translate (struct zbd_zone *to, const struct zone_descriptor *d)
{
  to->start = zone_bytes (d->start);
  to->len = zone_bytes (d->len);
  to->capacity = zone_bytes (d->capacity);
  to->wp = zone_has_wp (d) && d->cond != ZONE_COND_FULL
               ? zone_bytes (d->wp)
               : to->start + to->capacity;
  to->type =
      d->type == ZONE_TYPE_CONVENTIONAL ? ZBD_ZONE_TYPE_CNV : ZBD_ZONE_TYPE_SWR;
  to->cond = d->cond;
}

static int
engine_report_zones (struct thread_data *td, struct fio_file *f,
                     uint64_t offset, struct zbd_zone *zones, unsigned int n)
{
  struct zone_descriptor *descriptors = calloc (n, sizeof *descriptors);
  struct job_zones *z;
  struct message why;
  bool missing;
  int r = -EIO, i;

  (void) f;
  z = open_zones (td, offset > 0 ? td->o.zone_size : 0, &missing);
  if (z != NULL && descriptors != NULL) {
    r = job_zones_report (z, offset, descriptors, n, &why);
    if (r < 0)
      say ("%s: %s\n", options_of (td)->uri, why.text);
    for (i = 0; i < r; i++)
      translate (&zones[i], &descriptors[i]);
  }
  job_zones_close (z);
  free (descriptors);
  return r < 0 ? fails (r) : r;
}

static unsigned
as_limit (uint64_t n)
{
  return n < UINT_MAX ? n : 0;
}

static int
engine_get_max_open_zones (struct thread_data *td, struct fio_file *f,
                           unsigned int *n)
{
  uint64_t most_open, most_active;

  (void) f;
  job_zones_limits (options_of (td)->uri, &most_open, &most_active);
  *n = as_limit (most_open);
  return 0;
}

#if FIO_IOOPS_VERSION >= 33
static int
engine_get_max_active_zones (struct thread_data *td, struct fio_file *f,
                             unsigned int *n)
{
  uint64_t most_open, most_active;

  (void) f;
  job_zones_limits (options_of (td)->uri, &most_open, &most_active);
  *n = as_limit (most_active);
  return 0;
}
#endif

/* The connection for commands, of this process: fio may give some before it
 * forks.
 */
static struct job_zones *
own_zones (const struct thread_data *td)
{
  struct job *job = job_of (td);
  bool missing;

  if (job->zones != NULL && job->zones_owner != getpid ()) {
    job_zones_abandon (job->zones);
    job->zones = NULL;
  }
  if (job->zones == NULL) {
    job->zones = open_zones (td, td->o.zone_size, &missing);
    job->zones_owner = getpid ();
  }
  return job->zones;
}

static int
command (struct thread_data *td, uint64_t offset, uint64_t length,
         enum zone_cond to)
{
  struct job *job = job_of (td);
  struct job_zones *z = own_zones (td);
  struct message why;
  int r;

  if (z == NULL)
    return fails (-EIO);
  /* What the job has written is to be there first. */
  if (job->session != NULL)
    session_wait (job->session, UINT_MAX);
  r = job_zones_command (z, offset, length, to, &why);
  if (r == 0)
    return 0;
  say ("%s: %s\n", options_of (td)->uri, why.text);
  return fails (r);
}

static int
engine_reset_wp (struct thread_data *td, struct fio_file *f, uint64_t offset,
                 uint64_t length)
{
  (void) f;
  return command (td, offset, length, ZONE_COND_EMPTY);
}

#if FIO_IOOPS_VERSION >= 32
static int
engine_finish_zone (struct thread_data *td, struct fio_file *f, uint64_t offset,
                    uint64_t length)
{
  (void) f;
  return command (td, offset, length, ZONE_COND_FULL);
}
#endif

/*---------------------------------------------------------------------*/
/* The run */

/* Does fio come back for completions as soon as it can?  If not, a request that
 * waits for others would wait for as long as fio sleeps.
 */
static bool
comes_back (const struct thread_data *td)
{
  const struct thread_options *o = &td->o;
  unsigned i;

  for (i = 0; i < DDIR_RWDIR_CNT; i++) {
    if (o->rate[i] != 0 || o->rate_iops[i] != 0)
      return false;
  }
  return o->thinktime == 0 && o->latency_target == 0 && o->flow == 0 &&
         o->read_iolog_file == NULL;
}

/* 0 if it has no zones, or none but those that fio imagines. */
static uint64_t
zone_size_of (const struct thread_data *td)
{
  const struct zoned_block_device_info *zones = td->files[0]->zbd_info;

  return zones != NULL && zones->model != ZBD_NONE ? zones->zone_size : 0;
}

static int
engine_init (struct thread_data *td)
{
  const struct options *o = options_of (td);
  struct job *job = job_of (td);
  struct message why;

  job->requests = calloc (td->o.iodepth, sizeof *job->requests);
  job->session =
      session_create (td->o.iodepth, zone_size_of (td), !comes_back (td));
  if (job->session == NULL || job->requests == NULL) {
    say ("%s\n", strerror (ENOMEM));
    return 1;
  }
  if (links_open (&job->links, &job->target, o->uri, o->connections,
                  job->session, td->o.iodepth, &why) < 0) {
    say ("%s\n", why.text);
    return 1;
  }
  return 0;
}

static void
engine_cleanup (struct thread_data *td)
{
  struct job *job = job_of (td);

  if (job == NULL)
    return;
  session_destroy (job->session);
  links_close (&job->links);
  free (job->requests);
  if (job->zones_owner == getpid ())
    job_zones_close (job->zones);
  free (job);
  td->io_ops_data = NULL;
}

static int
engine_io_u_init (struct thread_data *td, struct io_u *io_u)
{
  struct request *q = &job_of (td)->requests[io_u->index];

  q->owner = io_u;
  io_u->engine_data = q;
  return 0;
}

/* With read_iolog= and latency_target= fio ends a job without waiting for what
 * is on its way.  The buffers of that are freed after this was called for those
 * io_u that are not on their way, of which there is at least one.
 */
static void
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

/* A trim of a whole zone is a reset of it to fio, which does that itself.
 * Returns whether it was one.
 */
static bool
reset_instead (struct thread_data *td, struct io_u *io_u)
{
  int r;

  if (zone_size_of (td) == 0)
    return false;
  r = zbd_do_io_u_trim (td, io_u);
  if (r < 0)
    io_u->error = -r;
  return r != 0;
}

static enum fio_q_status
engine_queue (struct thread_data *td, struct io_u *io_u)
{
  struct request *q = io_u->engine_data;

  q->fua = false;
  q->offset = io_u->offset;
  q->count = io_u->xfer_buflen;
  q->buf = io_u->xfer_buf;
  switch (io_u->ddir) {
  case DDIR_READ:
    q->kind = NBD_READ;
    break;
  case DDIR_WRITE:
    q->kind = NBD_WRITE;
    q->fua = td->o.sync_io != 0;
    break;
  case DDIR_TRIM:
    if (reset_instead (td, io_u))
      return FIO_Q_COMPLETED;
    if (io_u->xfer_buflen > UINT32_MAX)
      return fail_at_once (io_u, EINVAL);
    q->kind = options_of (td)->trims == TRIMS_ZERO ? NBD_ZERO : NBD_TRIM;
    break;
  case DDIR_SYNC:
  case DDIR_DATASYNC:
  case DDIR_SYNC_FILE_RANGE:
    q->kind = NBD_FLUSH;
    break;
  default:
    return fail_at_once (io_u, EINVAL);
  }
  return session_add (job_of (td)->session, q) ? FIO_Q_QUEUED : FIO_Q_BUSY;
}

static int
engine_commit (struct thread_data *td)
{
  session_commit (job_of (td)->session);
  return 0;
}

static int
engine_getevents (struct thread_data *td, unsigned int least, unsigned int most,
                  const struct timespec *t)
{
  struct session *s = job_of (td)->session;
  const char *obituary;
  unsigned n;

  (void) t; /* with a time, fio only looks */
  n = session_wait (s, least);
  obituary = session_obituary (s);
  if (obituary != NULL)
    say ("%s: %s\n", options_of (td)->uri, obituary);
  return n < most ? n : most;
}

static struct io_u *
engine_event (struct thread_data *td, int event)
{
  struct request *q = session_take (job_of (td)->session);
  struct io_u *io_u = q->owner;

  (void) event; /* fio asks for all that it was told of, in turn */
  io_u->error = -q->err;
  return io_u;
}

/* There is no file, and no cache of it. */
static int
engine_on_file (struct thread_data *td, struct fio_file *f)
{
  (void) td;
  (void) f;
  return 0;
}

/*---------------------------------------------------------------------*/

static struct fio_option engine_options[] = {
    {
        .name = "uri",
        .lname = "NBD URI",
        .type = FIO_OPT_STR_STORE,
        .off1 = offsetof (struct options, uri),
        .help = "The NBD URI of the export",
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_NBD,
    },
    {
        .name = "connections",
        .lname = "Connections of a job",
        .type = FIO_OPT_INT,
        .off1 = offsetof (struct options, connections),
        .help = "How many connections each job makes to the server",
        .def = "1",
        .minval = 1,
        .maxval = MOST_CONNECTIONS,
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_NBD,
    },
    {
        .name = "zones",
        .lname = "Zones of the export",
        .type = FIO_OPT_STR,
        .off1 = offsetof (struct options, zones),
        .help = "Where zonemode=zbd has its zones from",
        .def = "auto",
        .posval =
            {
                {.ival = "auto",
                 .oval = ZONES_AUTO,
                 .help = "The export's, if the server shows any"},
                {.ival = "off",
                 .oval = ZONES_OFF,
                 .help = "Those that fio imagines"},
            },
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_NBD,
    },
    {
        .name = "trims",
        .lname = "Trims on the wire",
        .type = FIO_OPT_STR,
        .off1 = offsetof (struct options, trims),
        .help = "As what a trim of fio's is sent",
        .def = "trim",
        .posval =
            {
                {.ival = "trim", .oval = TRIMS_TRIM, .help = "As a trim"},
                {.ival = "zero", .oval = TRIMS_ZERO, .help = "As write zeroes"},
            },
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_NBD,
    },
    {
        .name = NULL,
    },
};

__attribute__ ((visibility ("default"))) struct ioengine_ops ioengine = {
    .name = "nullblk-fio",
    .version = FIO_IOOPS_VERSION,
    .flags = FIO_DISKLESSIO | FIO_NOEXTEND | FIO_NODISKUTIL | FIO_NO_OFFLOAD,
    .setup = engine_setup,
    .init = engine_init,
    .queue = engine_queue,
    .commit = engine_commit,
    .getevents = engine_getevents,
    .event = engine_event,
    .cleanup = engine_cleanup,
    .open_file = engine_on_file,
    .close_file = engine_on_file,
    .invalidate = engine_on_file,
    .io_u_init = engine_io_u_init,
    .io_u_free = engine_io_u_free,
    .get_zoned_model = engine_get_zoned_model,
    .report_zones = engine_report_zones,
    .reset_wp = engine_reset_wp,
    .get_max_open_zones = engine_get_max_open_zones,
#if FIO_IOOPS_VERSION >= 33
    .get_max_active_zones = engine_get_max_active_zones,
#endif
#if FIO_IOOPS_VERSION >= 32
    .finish_zone = engine_finish_zone,
#endif
    .options = engine_options,
    .option_struct_size = sizeof (struct options),
};
