/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The device of this process; see bridge.h.  What is made is made in this
 * order, and taken away in the opposite one, whatever there is of it:
 *
 *     source       connections to the server, and what the export is like
 *     control      the driver
 *     record       that others find the device by
 *     device       in the kernel: /dev/ublkcN
 *     queues       threads, each with connections of its own
 *     block device /dev/ublkbN
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"
#include "control.h"
#include "queue.h"
#include "record.h"
#include "source.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* How long things that take no time may take before they have failed, and how
 * often they are looked at.
 */
#define PATIENCE_SECONDS 30
#define LOOKS_A_SECOND 50

/* How long an open device is given to be closed: udev looks at a new one. */
#define CLOSING_SECONDS 5

/* Appends of a zone that are on their way to a server that lets early writes
 * wait for their turn.
 */
#define APPENDS_ON_THEIR_WAY 16

struct bridge {
  struct source source;
  bool has_source;
  struct plan plan;
  struct control *control;
  struct record record;
  bool has_record;
  unsigned number; /* of the kernel's device */
  bool has_device;
  char name[32];
  struct device device;
  struct queue *queues[MOST_QUEUES];
  struct connections connections[MOST_QUEUES];
};

/*---------------------------------------------------------------------*/
/* Waiting, and users */

static void
pause_shortly (void)
{
  const struct timespec pause = {.tv_nsec = 1000000000 / LOOKS_A_SECOND};

  nanosleep (&pause, NULL);
}

/* Is the open file that LINK of /proc shows the device, or a part of it? */
static bool
is_file_of (const char *link, const char *name, dev_t number)
{
  const size_t len = strlen (name);
  char path[256];
  struct stat st;
  ssize_t n;

  if (stat (link, &st) == -1 || !S_ISBLK (st.st_mode))
    return false;
  if (st.st_rdev == number)
    return true;
  n = readlink (link, path, sizeof path - 1);
  path[n > 0 ? n : 0] = '\0';
  return strncmp (path, "/dev/", 5) == 0 &&
         strncmp (path + 5, name, len) == 0 && path[5 + len] == 'p';
}

static bool
process_has_open (const char *pid, const char *name, dev_t number)
{
  struct dirent *entry;
  char path[600];
  bool r = false;
  DIR *dir;

  snprintf (path, sizeof path, "/proc/%s/fd", pid);
  dir = opendir (path);
  if (dir == NULL)
    return false;
  while (!r && (entry = readdir (dir)) != NULL) {
    snprintf (path, sizeof path, "/proc/%s/fd/%s", pid, entry->d_name);
    r = isdigit ((unsigned char) entry->d_name[0]) &&
        is_file_of (path, name, number);
  }
  closedir (dir);
  return r;
}

static bool
is_open (const char *name)
{
  struct dirent *entry;
  char path[64];
  struct stat st;
  bool r = false;
  DIR *dir;

  snprintf (path, sizeof path, "/dev/%s", name);
  dir = opendir ("/proc");
  if (dir == NULL || stat (path, &st) == -1) {
    if (dir != NULL)
      closedir (dir);
    return false;
  }
  while (!r && (entry = readdir (dir)) != NULL)
    r = isdigit ((unsigned char) entry->d_name[0]) &&
        atoi (entry->d_name) != getpid () &&
        process_has_open (entry->d_name, name, st.st_rdev);
  closedir (dir);
  return r;
}

/* Open it so that nobody else can mount it or give it to a driver.  Returns -1
 * and errno on failure: EBUSY where somebody has done so.
 */
static int
hold (const char *name)
{
  char path[64];

  snprintf (path, sizeof path, "/dev/%s", name);
  return open (path, O_RDONLY | O_EXCL | O_CLOEXEC);
}

/*---------------------------------------------------------------------*/
/* The end */

static void
end_device (struct bridge *b)
{
  unsigned i;

  if (b->has_device)
    control_stop (b->control, b->number);
  for (i = 0; i < MOST_QUEUES; i++) {
    if (b->queues[i] != NULL)
      queue_join (b->queues[i]);
    source_disconnect (&b->connections[i]);
  }
  if (b->device.fd != -1)
    close (b->device.fd);
  if (b->has_device)
    control_delete (b->control, b->number);
}

/* Until it is gone, its number is nobody else's. */
static void
await_end (struct bridge *b)
{
  struct ublk_info info;
  unsigned i;

  for (i = 0; i < PATIENCE_SECONDS * LOOKS_A_SECOND &&
              control_info (b->control, b->number, &info) == 0 &&
              info.cookie == b->record.cookie;
       i++)
    pause_shortly ();
}

static void
take_away (struct bridge *b)
{
  end_device (b);
  if (b->has_device)
    await_end (b);
  if (b->has_record)
    record_remove (&b->record);
  control_close (b->control);
  appends_destroy (b->device.appends);
  if (b->has_source)
    source_close (&b->source);
  free (b);
}

static bool
refuse_to_end (struct bridge *b, struct message *why)
{
  message_set (why, "/dev/%s is in use", b->name);
  record_refuse (&b->record);
  return false;
}

bool
bridge_close (struct bridge *b, struct message *why)
{
  int fd = -1;
  unsigned i;

  for (i = 0; is_open (b->name); i++) {
    if (i == CLOSING_SECONDS * LOOKS_A_SECOND)
      return refuse_to_end (b, why);
    pause_shortly ();
  }
  fd = hold (b->name);
  if (fd == -1 && errno == EBUSY)
    return refuse_to_end (b, why);
  if (fd != -1)
    fsync (fd);
  /* The kernel knows best, where it says so. */
  if ((control_features (b->control) & UBLK_F_SAFE_STOP) != 0) {
    if (fd != -1)
      close (fd);
    fd = -1;
    if (control_try_stop (b->control, b->number) == -EBUSY)
      return refuse_to_end (b, why);
  }
  else
    control_stop (b->control, b->number);
  if (fd != -1)
    close (fd);
  take_away (b);
  return true;
}

/*---------------------------------------------------------------------*/
/* The beginning */

static void
block_signals (void)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGHUP);
  sigprocmask (SIG_BLOCK, &set, NULL);
  signal (SIGPIPE, SIG_IGN);
}

/* The device must not need memory that only writing to the device could free,
 * nor end where there is no memory.
 */
static void
be_careful (void)
{
  FILE *fp;

  mlockall (MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  prctl (PR_SET_IO_FLUSHER, 1, 0, 0, 0);
  fp = fopen ("/proc/self/oom_score_adj", "we");
  if (fp != NULL) {
    fputs ("-1000\n", fp);
    fclose (fp);
  }
}

static int
make_plan (struct bridge *b, const struct options *o, struct message *why)
{
  const long cpus = sysconf (_SC_NPROCESSORS_ONLN);
  const struct wishes wishes = {
      .queues = o->queues,
      .depth = o->depth,
      .rotational = o->rotational,
      .read_only = o->read_only,
      .cpus = cpus < 1             ? 1
              : cpus > MOST_QUEUES ? MOST_QUEUES
                                   : cpus,
      .page_size = sysconf (_SC_PAGESIZE),
  };
  struct message reason;

  if (plan_make (&b->plan, &b->source.export, &wishes, &reason) == 0)
    return 0;
  message_set (why, "%s: %s", b->source.uri, reason.text);
  return -1;
}

static int
add_device (struct bridge *b, struct message *why)
{
  const bool zoned = b->plan.zone_size != 0;
  struct ublk_info info = {
      .queues = b->plan.queues,
      .depth = b->plan.depth,
      .max_io = b->plan.max_io,
      .flags = UBLK_F_USER_COPY | (zoned ? UBLK_F_ZONED : 0),
      .cookie = b->record.cookie,
  };
  int r;

  r = control_add (b->control, &info);
  if (r < 0) {
    message_set (why, "the kernel makes no device: %s%s", strerror (-r),
                 r == -EACCES || r == -ENOSPC
                     ? " (there are as many as ublk_drv's ublks_max allows)"
                     : "");
    return -1;
  }
  b->number = info.device;
  b->has_device = true;
  snprintf (b->name, sizeof b->name, "ublkb%u", b->number);
  if (zoned && (info.flags & UBLK_F_ZONED) == 0) {
    message_set (why, "this kernel makes no device with zones (it needs "
                      "BLK_DEV_ZONED, and Linux 6.6); --zones=no attaches it "
                      "without zones");
    return -1;
  }
  /* The kernel has no more queues than CPUs. */
  b->plan.queues = info.queues;
  b->plan.depth = info.depth;
  r = control_set_params (b->control, b->number, &b->plan.params);
  if (r < 0) {
    message_set (why,
                 "the kernel does not take what the device is to be "
                 "like: %s",
                 strerror (-r));
    return -1;
  }
  return 0;
}

/* The node is made by the kernel, and given to us by nobody else. */
static int
open_device (struct bridge *b, struct message *why)
{
  char path[64];
  unsigned i;

  snprintf (path, sizeof path, "/dev/ublkc%u", b->number);
  for (i = 0; i < PATIENCE_SECONDS * LOOKS_A_SECOND; i++) {
    b->device.fd = open (path, O_RDWR | O_CLOEXEC);
    if (b->device.fd != -1)
      return 0;
    if (errno != ENOENT)
      break;
    pause_shortly ();
  }
  message_set (why, "%s: %s", path, strerror (errno));
  return -1;
}

static int
start_queues (struct bridge *b, struct message *why)
{
  unsigned i;

  b->device.plan = &b->plan;
  if (b->plan.zone_size != 0) {
    b->device.appends = appends_create (
        b->plan.nr_zones, b->plan.zone_size,
        b->source.holds_early_writes ? APPENDS_ON_THEIR_WAY : 1);
    if (b->device.appends == NULL) {
      message_set (why, "%s", strerror (ENOMEM));
      return -1;
    }
  }
  for (i = 0; i < b->plan.queues; i++) {
    b->queues[i] = queue_start (&b->device, i, &b->connections[i], why);
    if (b->queues[i] == NULL)
      return -1;
  }
  return 0;
}

static int
start_device (struct bridge *b, struct message *why)
{
  char path[64];
  unsigned i;
  int r;

  r = control_start (b->control, b->number);
  if (r < 0) {
    message_set (why, "the kernel does not start the device: %s; see dmesg",
                 strerror (-r));
    return -1;
  }
  snprintf (path, sizeof path, "/dev/%s", b->name);
  for (i = 0; access (path, F_OK) == -1; i++) {
    if (i == PATIENCE_SECONDS * LOOKS_A_SECOND) {
      message_set (why, "%s does not appear", path);
      return -1;
    }
    pause_shortly ();
  }
  return 0;
}

/* All that can be wrong without the kernel's help. */
static int
look_first (struct bridge *b, const struct options *o, struct message *why)
{
  unsigned i;

  if (source_open (&b->source, o->argument, o->zones, why) < 0)
    return -1;
  b->has_source = true;
  b->connections[0] = b->source.first;
  if (make_plan (b, o, why) < 0)
    return -1;
  for (i = 1; i < b->plan.queues; i++) {
    if (source_connect (&b->source, &b->connections[i], why) < 0)
      return -1;
  }
  b->control = control_open (why);
  if (b->control == NULL)
    return -1;
  if (b->plan.zone_size != 0 &&
      (control_features (b->control) & UBLK_F_ZONED) == 0) {
    message_set (why, "this kernel's ublk driver has no zones: Linux 6.6 is "
                      "needed; --zones=no attaches it without zones");
    return -1;
  }
  return 0;
}

static int
make (struct bridge *b, const struct options *o, struct message *why)
{
  int r;

  if (look_first (b, o, why) < 0)
    return -1;
  block_signals ();
  be_careful ();
  r = record_make (&b->record, o->argument);
  if (r < 0) {
    message_set (why, RUN ": %s", strerror (-r));
    return -1;
  }
  b->has_record = true;
  if (add_device (b, why) < 0 || open_device (b, why) < 0 ||
      start_queues (b, why) < 0)
    return -1;
  return start_device (b, why);
}

struct bridge *
bridge_open (const struct options *o, struct message *why)
{
  struct bridge *b = calloc (1, sizeof *b);

  if (b == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  b->device.fd = -1;
  if (make (b, o, why) == 0)
    return b;
  take_away (b);
  return NULL;
}

const char *
bridge_name (const struct bridge *b)
{
  return b->name;
}
