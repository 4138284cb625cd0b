/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A job of fio, from what is checked before the run to its end; see engine.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

/* Does fio reset a zone in place of each trim? */
static bool
resets_for_trims (struct thread_data *td)
{
  enum zbd_zoned_model model;

  return td_trim (td) && td->o.zone_mode == ZONE_MODE_ZBD &&
         engine_get_zoned_model (td, NULL, &model) == 0 && model != ZBD_NONE;
}

/* What the job asks for and the export does not offer; NULL if there is no such
 * thing.
 */
static const char *
missing_offer (const struct thread_data *td, const struct job_export *e,
               bool trims)
{
  const struct thread_options *o = &td->o;
  const bool zeroes = options_of (td)->trims == TRIMS_ZERO;
  const bool flushes = o->fsync_blocks != 0 || o->fdatasync_blocks != 0 ||
                       o->sync_file_range != 0 || o->end_fsync != 0 ||
                       o->fsync_on_close != 0;

  if ((td_write (td) || td_trim (td)) && e->read_only)
    return "the export is read-only";
  if (trims && !zeroes && !e->can_trim)
    return "rw=: the server takes no trims; trims=zero sends write zeroes";
  if (trims && zeroes && !e->can_zero)
    return "trims=zero: the server takes no write zeroes";
  if (td_write (td) && o->sync_io != 0 && !e->can_fua)
    return "sync=: the server takes no FUA";
  if (td_write (td) && flushes && !e->can_flush)
    return "fsync=, fdatasync=, sync_file_range=, end_fsync=, "
           "fsync_on_close=: the server takes no flush";
  return NULL;
}

/* PERCENT of SIZE, rounded down. */
static uint64_t
share (uint64_t size, unsigned percent)
{
  return size / 100 * percent + size % 100 * percent / 100;
}

/* The byte at which the job begins.  fio turns offsets in zones into bytes only
 * after it has read the zones, and then ignores a file that ends before them.
 */
static uint64_t
first_offset (const struct thread_data *td, const struct job_export *e)
{
  const struct thread_options *o = &td->o;
  const bool in_zones = o->start_offset_nz > 0 || o->offset_increment_nz > 0;
  const uint64_t zone = in_zones ? offset_unit_of (td) : 0;
  uint64_t first = o->start_offset, step = o->offset_increment;

  if (o->start_offset_percent > 0)
    first = share (e->size, o->start_offset_percent);
  else if (o->start_offset_nz > 0)
    first = o->start_offset_nz * zone;
  if (o->offset_increment_percent > 0)
    step = share (e->size, o->offset_increment_percent);
  else if (o->offset_increment_nz > 0)
    step = o->offset_increment_nz * zone;
  return first + step * td->subjob_number;
}

/* Returns 0, or 1 when it has said why the export cannot serve the job. */
static int
check_job (struct thread_data *td, const struct job_export *e)
{
  const char *uri = options_of (td)->uri;
  const bool trims = td_trim (td) && !resets_for_trims (td);
  const char *missing = missing_offer (td, e, trims);
  const unsigned long long *smallest = td->o.min_bs, *greatest = td->o.max_bs;
  const bool used[] = {[DDIR_READ] = td_read (td),
                       [DDIR_WRITE] = td_write (td),
                       [DDIR_TRIM] = td_trim (td)};
  const unsigned long long first = first_offset (td, e);
  enum fio_ddir d;
  uint64_t most;

  if (missing != NULL) {
    say ("%s: %s\n", uri, missing);
    return 1;
  }
  if (options_of (td)->connections > 1 && !e->multi_conn) {
    say ("%s: connections=%u: the server allows 1 (it is not multi-conn)\n",
         uri, options_of (td)->connections);
    return 1;
  }
  /* fio would do nothing, and call that a success. */
  if (first >= e->size) {
    say ("%s: offset=%llu: the export has %llu bytes\n", uri, first,
         (unsigned long long) e->size);
    return 1;
  }
  for (d = DDIR_READ; d <= DDIR_TRIM; d++) {
    if (!used[d])
      continue;
    if (smallest[d] % e->block_size != 0) {
      say ("%s: bs=%llu: the server takes multiples of %llu\n", uri,
           smallest[d], (unsigned long long) e->block_size);
      return 1;
    }
    most = d != DDIR_TRIM ? e->max_request : trims ? UINT32_MAX : UINT64_MAX;
    if (greatest[d] > most) {
      say ("%s: bs=%llu: the server takes at most %llu\n", uri, greatest[d],
           (unsigned long long) most);
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
set_file (struct thread_data *td, const struct job_export *e)
{
  struct fio_file *f;

  if (td->files_index == 0) {
    add_file (td, "nbd", 0, 0);
    td->o.nr_files = 1;
    td->o.open_files++;
  }
  if (td->files_index != 1) {
    say ("filename=, nrfiles=: allowed is one file, which is the export\n");
    td_verror (td, EINVAL, "setup"); /* all that create_serialize=0 heeds */
    return 1;
  }
  f = td->files[0];
  f->file_name = smalloc_strdup (options_of (td)->uri);
  if (f->file_name == NULL) {
    say ("%s\n", strerror (ENOMEM));
    return 1;
  }
  f->filetype = FIO_TYPE_BLOCK;
  f->real_file_size = e->size;
  fio_file_set_size_known (f);
  td->o.odirect = 1;
  return 0;
}

/* Make TD's job, and see whether its export can serve it.  Returns 0, or 1 when
 * it has said why not.
 */
static int
begin_job (struct thread_data *td)
{
  const struct options *o;
  struct message why;
  struct job *job;

  /* Use nothing of TD before this: its members lie elsewhere in other releases
   * with the same FIO_IOOPS_VERSION.
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
  if (job_export_ask (&job->export, o->uri, &why) < 0) {
    say ("%s\n", why.text);
    return 1;
  }
  return check_job (td, &job->export);
}

/* With create_serialize=0, fio calls engine_init first, and this in the process
 * of the job.
 */
int
engine_setup (struct thread_data *td)
{
  if (job_of (td) == NULL && begin_job (td) != 0)
    return 1;
  /* With zonemode=zbd a trim of fio is a reset of a zone, and fio waits for it.
   */
  if (td->o.zone_mode == ZONE_MODE_ZBD)
    td->flags |= (unsigned long long) FIO_ASYNCIO_SYNC_TRIM
                 << TD_ENG_FLAG_SHIFT;
  return set_file (td, &job_of (td)->export);
}

/* Does fio come back for completions as soon as it can?  If not, a request that
 * the session keeps back would stay there for as long as fio sleeps.
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

int
engine_init (struct thread_data *td)
{
  const struct options *o = options_of (td);
  struct message why;
  struct job *job;

  if (job_of (td) == NULL && begin_job (td) != 0)
    return 1;
  job = job_of (td);
  job->requests = calloc (td->o.iodepth, sizeof *job->requests);
  job->session =
      session_create (td->o.iodepth, zone_size_of (td), !comes_back (td));
  if (job->session == NULL || job->requests == NULL) {
    say ("%s\n", strerror (ENOMEM));
    return 1;
  }
  if (handles_open (&job->handles, &job->export, o->uri, o->connections,
                    job->session, td->o.iodepth, &why) < 0) {
    say ("%s\n", why.text);
    return 1;
  }
  return 0;
}

void
engine_cleanup (struct thread_data *td)
{
  struct job *job = job_of (td);

  if (job == NULL)
    return;
  session_destroy (job->session);
  handles_close (&job->handles);
  free (job->requests);
  if (job->zones_owner == getpid ())
    job_zones_close (job->zones);
  free (job);
  td->io_ops_data = NULL;
}
