/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The block devices of a server; see ublk.h.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ublkdrv/ublkdrv.h"
#include "ublk-keeper-internal.h"
#include "ublk-queue-internal.h"
#include "ublk.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

struct disk {
  struct device_plan plan;
  int fd; /* of /dev/ublkcN */
  struct ublk_queue **queues;
  unsigned nr_queues; /* that have begun */
};

struct ublk {
  struct devices *devices;
  struct keeper *keeper;
  struct front_end front_end;
  struct ublk_poll poll;
  struct disk disks[]; /* by number of the device */
};

bool
ublk_is_built (void)
{
  return true;
}

/*---------------------------------------------------------------------*/
/* Beginning */

static int
plan_zoned (struct device_plan *plan, struct plan_export *export,
            const struct plan_options *options, struct zones *zones,
            const struct zone_settings *s, struct message *why)
{
  const uint64_t n = zones_total (zones);
  struct zone_descriptor *table = malloc (n * sizeof *table);
  int r;

  if (table == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return -ENOMEM;
  }
  export->table = table;
  export->nr_zones = zones_read_table (zones, 0, table, n);
  export->max_open = s->max_open;
  export->max_active = s->max_active;
  r = plan_make (plan, export, options, why);
  plan->table = NULL;
  free (table);
  return r;
}

static int
plan_device (struct device_plan *plan, struct device *d, struct message *why)
{
  const struct settings *s = &d->devices->settings;
  const long cpus = sysconf (_SC_NPROCESSORS_ONLN);
  const struct plan_options options = {
      .queues = s->submit_queues,
      .depth = s->hw_queue_depth,
      .rotational = s->rotational,
      .always_with_zones = true,
      .cpus = cpus < 1 ? 1 : cpus,
      .page_size = sysconf (_SC_PAGESIZE),
  };
  struct plan_export export = {
      .size = s->size,
      .block_size = s->block_size,
      .preferred_block = s->physical_block_size,
      .read_only = device_is_read_only (d),
      .can_flush = true,
      .can_fua = s->fua,
      .can_trim = device_can_discard (d),
      .can_zero = true,
      .multi_conn = true,
  };

  return d->zones != NULL
             ? plan_zoned (plan, &export, &options, d->zones, &s->zones, why)
             : plan_make (plan, &export, &options, why);
}

/* First all is checked that can be checked without the kernel. */
static int
make_all (struct ublk *u, struct message *why)
{
  struct device *d;
  unsigned number;
  uint32_t i;

  for (i = 0; i < u->devices->count; i++) {
    if (plan_device (&u->disks[i].plan, &u->devices->device[i], why) < 0)
      return -1;
  }
  u->keeper = keeper_create (u->devices->count, why);
  if (u->keeper == NULL)
    return -1;
  for (i = 0; i < u->devices->count; i++) {
    d = &u->devices->device[i];
    if (keeper_make (u->keeper, i, d->name, &u->disks[i].plan, &number, why) <
        0)
      return -1;
    snprintf (d->block_device, sizeof d->block_device, "/dev/ublkb%u", number);
  }
  return 0;
}

struct ublk *
ublk_prepare (struct devices *devices, void (*report) (struct device *d, int r),
              struct message *why)
{
  struct ublk *u;
  uint32_t i;

  if (geteuid () != 0) {
    message_set (why, "only root can make a ublk device");
    return NULL;
  }
  u = calloc (1, sizeof *u + devices->count * sizeof u->disks[0]);
  if (u == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  u->devices = devices;
  u->front_end.report = report;
  u->front_end.max_deferred = devices->settings.hw_queue_depth;
  ublk_request_front_end (&u->front_end);
  ublk_poll_init (&u->poll);
  for (i = 0; i < devices->count; i++)
    u->disks[i].fd = -1;
  if (make_all (u, why) < 0) {
    ublk_end (u);
    return NULL;
  }
  /* What a thread allocates while it serves a write, or has a lock of the
   * device, must not wait for that write.  All threads inherit this, and all
   * children.
   */
  why->text[0] = '\0';
  if (prctl (PR_SET_IO_FLUSHER, 1, 0, 0, 0) == -1)
    message_set (why,
                 "PR_SET_IO_FLUSHER: %s: where memory is short, the server "
                 "may wait for what only its block devices could write",
                 strerror (errno));
  return u;
}

/*---------------------------------------------------------------------*/

static void
fail_all (struct disk *disk)
{
  unsigned i;

  for (i = 0; i < disk->nr_queues; i++)
    ublk_queue_fail_all (disk->queues[i]);
}

/* While a device is made a block device. */
struct start {
  struct disk *disk;
  bool (*is_ending) (void);
  bool server_ends;
};

static void
look_for_end (void *opaque)
{
  struct start *s = opaque;

  if (s->server_ends || !s->is_ending ())
    return;
  s->server_ends = true;
  fail_all (s->disk);
}

/* Returns 1 if the server is to end. */
static int
serve_disk (struct ublk *u, uint32_t i, bool (*is_ending) (void),
            struct message *why)
{
  struct disk *disk = &u->disks[i];
  struct start start = {.disk = disk, .is_ending = is_ending};
  struct ublk_queue *q;
  int r;

  disk->fd = keeper_open (u->keeper, i, why);
  if (disk->fd < 0)
    return -1;
  disk->queues = calloc (disk->plan.queues, sizeof (struct ublk_queue *));
  if (disk->queues == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return -1;
  }
  while (disk->nr_queues < disk->plan.queues) {
    q = ublk_queue_start (&u->devices->device[i], &disk->plan, disk->fd,
                          disk->nr_queues, &u->front_end, &u->poll, why);
    if (q == NULL)
      return -1;
    disk->queues[disk->nr_queues++] = q;
  }
  r = keeper_start (u->keeper, i, look_for_end, &start, why);
  return start.server_ends ? 1 : r;
}

int
ublk_serve (struct ublk *u, bool (*is_ending) (void), struct message *why)
{
  struct message reason;
  uint32_t i;
  int r = 0;

  for (i = 0; i < u->devices->count && r == 0; i++) {
    r = serve_disk (u, i, is_ending, &reason);
    if (r < 0) {
      message_set (why, "%s: %s", u->devices->device[i].name, reason.text);
      return -1;
    }
  }
  return 0;
}

static void
end_disk (struct ublk *u, uint32_t i)
{
  struct disk *disk = &u->disks[i];
  unsigned j;

  fail_all (disk);
  if (keeper_stop (u->keeper, i) < 0) {
    for (j = 0; j < disk->nr_queues; j++)
      ublk_queue_leave (disk->queues[j]);
  }
  for (j = 0; j < disk->nr_queues; j++)
    ublk_queue_join (disk->queues[j]);
  free (disk->queues);
  if (disk->fd >= 0)
    close (disk->fd);
  keeper_delete (u->keeper, i);
}

void
ublk_end (struct ublk *u)
{
  uint32_t i;

  if (u == NULL)
    return;
  for (i = 0; u->keeper != NULL && i < u->devices->count; i++)
    end_disk (u, i);
  keeper_destroy (u->keeper);
  pthread_mutex_destroy (&u->poll.lock);
  free (u);
}
