/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The zones of the export, as fio has zones; see engine.h.
 */

#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "zonetable.h"

#include "engine.h"

/* Set errno to that of ERR, which is negative, for fio's message; return -1. */
static int
fails (int err)
{
  errno = -err;
  return -1;
}

/* Open the zone table of the job's export.  Its zones must have ZONE_SIZE
 * bytes, unless that is 0, as fio knows no size yet.  Returns NULL when it has
 * said why.
 */
static struct job_zones *
open_zones (const struct thread_data *td, uint64_t zone_size, bool *missing)
{
  const char *uri = options_of (td)->uri;
  struct job_zones *z;
  struct message why;

  z = job_zones_open (uri, job_of (td)->export.size, zone_size, missing, &why);
  if (z == NULL)
    say ("%s%s\n", why.text,
         *missing ? ": it has no zones but those that fio imagines" : "");
  return z;
}

int
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

uint64_t
offset_unit_of (const struct thread_data *td)
{
  const struct thread_options *o = &td->o;
  struct zone_descriptor first;
  struct job_zones *z;
  struct message why;
  uint64_t bytes = 0;
  bool missing;

  if (o->zone_size > 0 || o->zone_mode != ZONE_MODE_ZBD ||
      options_of (td)->zones == ZONES_OFF)
    return o->zone_size;
  z = job_zones_open (options_of (td)->uri, job_of (td)->export.size, 0,
                      &missing, &why);
  if (z != NULL && job_zones_report (z, 0, &first, 1, &why) == 1)
    bytes = zone_field_bytes (first.len);
  job_zones_close (z);
  return bytes;
}

/* Make *TO, which is fio's and has bytes instead of sectors.  fio refuses a
 * write pointer outside of its zone, so zones without one get that of a full
 * zone.
 */
static void
translate (struct zbd_zone *to, const struct zone_descriptor *d)
{
  to->start = zone_field_bytes (d->start);
  to->len = zone_field_bytes (d->len);
  to->capacity = zone_field_bytes (d->capacity);
  to->wp = zone_has_wp (d) && d->cond != ZONE_COND_FULL
               ? zone_field_bytes (d->wp)
               : to->start + to->capacity;
  to->type =
      d->type == ZONE_TYPE_CONVENTIONAL ? ZBD_ZONE_TYPE_CNV : ZBD_ZONE_TYPE_SWR;
  to->cond = d->cond;
}

int
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

int
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
int
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

/* The connection of this process for commands to zones.  fio may give commands
 * before it forks, too.
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
  /* The zone's writes that are in flight have to be done before. */
  if (job->session != NULL)
    session_wait (job->session, UINT_MAX);
  r = job_zones_command (z, offset, length, to, &why);
  if (r == 0)
    return 0;
  say ("%s: %s\n", options_of (td)->uri, why.text);
  return fails (r);
}

int
engine_reset_wp (struct thread_data *td, struct fio_file *f, uint64_t offset,
                 uint64_t length)
{
  (void) f;
  return command (td, offset, length, ZONE_COND_EMPTY);
}

#if FIO_IOOPS_VERSION >= 32
int
engine_finish_zone (struct thread_data *td, struct fio_file *f, uint64_t offset,
                    uint64_t length)
{
  (void) f;
  return command (td, offset, length, ZONE_COND_FULL);
}
#endif

uint64_t
zone_size_of (const struct thread_data *td)
{
  const struct zoned_block_device_info *zones;

  /* There is no file yet with create_serialize=0, which fio refuses for zones.
   */
  if (td->files_index == 0)
    return 0;
  zones = td->files[0]->zbd_info;
  return zones != NULL && zones->model != ZBD_NONE ? zones->zone_size : 0;
}

bool
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
