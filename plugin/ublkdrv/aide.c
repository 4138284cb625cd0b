/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The process that may wait for the device; see aide.h.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "aide.h"
#include "commands.h"
#include "flush.h"
#include "helper-process.h"
#include "ublk-record.h"
#include "users.h"

/* How long an open device is given to be closed, and how often it is checked:
 * udev looks at a new one.
 */
#define CLOSING_SECONDS 5
#define CHECKS_A_SECOND 10

struct aide {
  pid_t pid;
  int fd;
};

struct order {
  enum aide_task task;
  unsigned device;
};

struct report {
  int result;
  bool lost_data;
};

/*---------------------------------------------------------------------*/
/* In the aide */

struct work {
  pid_t server;
  struct ublk_driver *driver;
  int held; /* the device; -1: it is not */
  int lock; /* of device_record_hold_device; negative: there is none */
  struct flush flush;
};

static void
let_go (struct work *w)
{
  if (w->lock >= 0)
    close (w->lock);
  if (w->held != -1)
    close (w->held);
  w->lock = w->held = -1;
}

static void
pause_shortly (void)
{
  const struct timespec pause = {.tv_nsec = 1000000000 / CHECKS_A_SECOND};

  nanosleep (&pause, NULL);
}

/* The former aide is that of a process that was killed, whose device ours has
 * taken over.  It may still wait for the device, which it holds.  Returns 0
 * where there is none.  Not to be called while we hold the device, as to close
 * the record's file ends our lock of it.
 */
static pid_t
find_former_aide (struct work *w, unsigned device)
{
  struct ublksrv_ctrl_dev_info info;
  struct device_record r;
  bool ignored;
  pid_t pid;

  if (ublk_driver_info (w->driver, device, &info) < 0 ||
      device_record_open (&r, info.cookie, &ignored) < 0)
    return 0;
  pid = device_record_aide (&r);
  device_record_close (&r);
  return pid;
}

/* Wait until nobody but the FORMER aide has the device open. */
static int
await_closing (unsigned device, pid_t former)
{
  char name[32];
  unsigned i;
  int r;

  snprintf (name, sizeof name, "ublkb%u", device);
  for (i = 0; (r = users_find (name, former)) == -EBUSY &&
              i < CLOSING_SECONDS * CHECKS_A_SECOND;
       i++)
    pause_shortly ();
  return r;
}

/* Hold the device so that nobody else can mount it or give it to a driver. */
static int
hold (struct work *w, unsigned device)
{
  struct ublksrv_ctrl_dev_info info;
  char path[64];
  int r;

  let_go (w);
  r = await_closing (device, 0);
  if (r < 0)
    return r;
  snprintf (path, sizeof path, "/dev/ublkb%u", device);
  w->held = open (path, O_RDONLY | O_EXCL | O_CLOEXEC);
  if (w->held == -1 && errno != ENOENT && errno != ENXIO && errno != ENODEV)
    return -errno;
  if (w->held != -1 && ublk_driver_info (w->driver, device, &info) == 0)
    w->lock = device_record_hold_device (info.cookie);
  return 0; /* also where it is gone already */
}

/* Flush what nobody has open, until nothing was written since.  Returns 1 where
 * something was nevertheless, again and again, or where flushes go on to fail.
 */
static int
flush (struct work *w, unsigned device, bool *lost_data)
{
  unsigned failures = 0;
  char name[32];
  int r = 0;

  snprintf (name, sizeof name, "ublkb%u", device);
  while (r == 0 && w->held != -1) {
    r = flush_what_is_new (&w->flush, w->held, name);
    if (r == 0)
      break;
    if (r < 0 && r != -EBUSY) {
      *lost_data = true;
      failures++;
    }
    if (r == -EBUSY || failures == MAX_FLUSHES)
      return 1;
    r = await_closing (device, 0);
  }
  return r;
}

/* A former aide flushes as well, and so it waits for the server as we would. */
static int
begin_flush (struct work *w, unsigned device, bool *lost_data)
{
  pid_t former;
  int r = 0;

  let_go (w);
  while (r == 0 && (former = find_former_aide (w, device)) != 0) {
    r = await_closing (device, former);
    pause_shortly ();
  }
  if (r == 0)
    r = hold (w, device);
  memset (&w->flush, 0, sizeof w->flush);
  if (r == 0)
    r = flush (w, device, lost_data);
  if (r < 0)
    let_go (w);
  return r < 0 ? r : 0; /* try_stop looks for what is left */
}

static int
stop (struct work *w, unsigned device)
{
  const int r = ublk_driver_stop (w->driver, device);

  let_go (w);
  return r == -ENODEV ? 0 : r;
}

/* The kernel knows best who uses it, where it says so; but it takes a former
 * aide for a user.  What was flushed is looked at once more, as since then
 * nobody else could hold it, but anybody could open it, write, and close it.
 * Where MAX_FLUSHES were not enough, what was written last counts as lost: no
 * flush has sent it.
 */
static int
try_stop (struct work *w, unsigned device, bool *lost_data)
{
  const bool was_flushed = w->held != -1;
  const pid_t former = was_flushed ? 0 : find_former_aide (w, device);
  bool is_dirty;
  int r;

  r = was_flushed || former != 0 ? await_closing (device, former)
                                 : hold (w, device);
  if (r == 0 && was_flushed)
    r = flush (w, device, lost_data);
  is_dirty = r > 0;
  if (r >= 0) {
    r = -EOPNOTSUPP;
    if (former == 0 &&
        (ublk_driver_features (w->driver) & UBLK_F_SAFE_STOP_DEV) != 0) {
      let_go (w);
      r = ublk_driver_try_stop (w->driver, device);
    }
    if (r == -EOPNOTSUPP)
      r = ublk_driver_stop (w->driver, device);
    *lost_data = *lost_data || (r == 0 && is_dirty);
  }
  let_go (w);
  return r == -ENODEV ? 0 : r;
}

static int
work (struct work *w, const struct order *order, bool *lost_data)
{
  struct message why;

  if (w->driver == NULL)
    w->driver = ublk_driver_open (&why);
  if (w->driver == NULL)
    return -EIO;
  switch (order->task) {
  case AIDE_START:
    return ublk_driver_start (w->driver, order->device, w->server);
  case AIDE_FLUSH:
    return begin_flush (w, order->device, lost_data);
  case AIDE_TRY_STOP:
    return try_stop (w, order->device, lost_data);
  case AIDE_STOP:
    return stop (w, order->device);
  case AIDE_DELETE:
    return ublk_driver_delete (w->driver, order->device, true);
  }
  return -EINVAL;
}

static void
run (int fd, const void *server)
{
  struct work w = {.server = *(const pid_t *) server, .held = -1, .lock = -1};
  struct report report;
  struct order order;

  while (recv (fd, &order, sizeof order, 0) == sizeof order) {
    memset (&report, 0, sizeof report);
    report.result = work (&w, &order, &report.lost_data);
    send (fd, &report, sizeof report, 0);
  }
}

/*---------------------------------------------------------------------*/
/* In the process that serves */

struct aide *
aide_create (struct message *why)
{
  struct aide *a = calloc (1, sizeof *a);
  const pid_t server = getpid ();

  if (a == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  a->fd = helper_make (&a->pid, run, &server, why);
  if (a->fd == -1) {
    free (a);
    return NULL;
  }
  return a;
}

void
aide_destroy (struct aide *a)
{
  if (a == NULL)
    return;
  close (a->fd);
  while (waitpid (a->pid, NULL, 0) == -1 && errno == EINTR)
    ;
  free (a);
}

void
aide_begin (struct aide *a, enum aide_task task, unsigned device)
{
  const struct order order = {.task = task, .device = device};

  /* Where it is dead, that can be read. */
  send (a->fd, &order, sizeof order, MSG_NOSIGNAL);
}

int
aide_fd (const struct aide *a)
{
  return a->fd;
}

int
aide_result (struct aide *a, bool *lost_data)
{
  struct report report;

  if (recv (a->fd, &report, sizeof report, 0) != sizeof report)
    return -ESRCH;
  *lost_data = report.lost_data;
  return report.result;
}
