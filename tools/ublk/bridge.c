/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The device of this process; see bridge.h.  What is made is made in this
 * order, and taken away in the opposite one, whatever there is of it:
 *
 *     aide         a process that may wait for the device
 *     source       connections to the server, and what the export is like
 *     driver       the ublk driver
 *     record       that others find the device by
 *     device       in the kernel: /dev/ublkcN
 *     queues       threads, each with connections of its own
 *     block device /dev/ublkbN
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "driver/driver.h"
#include "bridge.h"
#include "link.h"
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

/* For so long no request may end before the server is given up, in the
 * beginning and in the end.
 */
#define SILENCE_SECONDS 120

/* Nobody gives up a server that answers, however often he says so; and the aide
 * waits for some seconds that the device is closed.
 */
#define DEAF_SECONDS 10

/* Appends of a zone that are on their way to a server that lets early writes
 * wait for their turn.
 */
#define APPENDS_ON_THEIR_WAY 16

struct bridge {
  struct source source;
  bool has_source;
  struct plan plan;
  struct driver *driver;
  struct record record;
  bool has_record;
  unsigned number; /* of the kernel's device */
  bool has_device;
  char name[32];
  struct device device;
  struct queue *queues[MOST_QUEUES];
  struct connections connections[MOST_QUEUES];
  unsigned queues_begun, queues_ended;
  int signals; /* a signalfd; -1: they end the process */
  struct aide *aide;
  bool is_stuck;     /* the aide does not end what it does */
  bool has_given_up; /* the server: all requests fail */
};

/*---------------------------------------------------------------------*/
/* Waiting */

static void
pause_shortly (void)
{
  const struct timespec pause = {.tv_nsec = 1000000000 / LOOKS_A_SECOND};

  nanosleep (&pause, NULL);
}

static unsigned
seconds_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

/* Have there been signals? */
static bool
take_signals (struct bridge *b)
{
  struct signalfd_siginfo info;
  bool r = false;

  while (read (b->signals, &info, sizeof info) == sizeof info)
    r = true;
  return r;
}

/* How many requests have ended so far, well or badly. */
static uint64_t
count_ended (const struct bridge *b)
{
  uint64_t reads = 0, writes = 0, discards = 0, flushes = 0;
  char path[64];
  FILE *fp;

  snprintf (path, sizeof path, "/sys/block/%s/stat", b->name);
  fp = fopen (path, "re");
  if (fp == NULL)
    return 0;
  if (fscanf (fp,
              "%" SCNu64 " %*u %*u %*u %" SCNu64 " %*u %*u %*u %*u %*u %*u"
              " %" SCNu64 " %*u %*u %*u %" SCNu64,
              &reads, &writes, &discards, &flushes) < 2)
    reads = 0;
  fclose (fp);
  return reads + writes + discards + flushes;
}

/* From now on all requests fail, those on their way included. */
static void
give_up (struct bridge *b)
{
  unsigned i;

  b->has_given_up = true;
  for (i = 0; i < MOST_QUEUES; i++) {
    link_break (b->connections[i].data);
    link_break (b->connections[i].zones);
    link_break (b->connections[i].config);
  }
}

static void
count_queues (struct bridge *b)
{
  uint64_t n;

  if (read (b->device.ended, &n, sizeof n) == sizeof n)
    b->queues_ended += n;
}

/* Wait until IS_DONE, which FD says when it can be read.  A signal gives up
 * the server if no request has ended for DEAF seconds then, and so do
 * SILENCE_SECONDS.  Returns false where nothing helps.
 */
static bool
await (struct bridge *b, int fd, unsigned deaf,
       bool (*is_done) (struct bridge *b))
{
  struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
                         {.fd = b->signals, .events = POLLIN}};
  uint64_t ended = count_ended (b), now_ended;
  unsigned last = seconds_now (), now;

  while (!is_done (b)) {
    poll (fds, 2, 1000);
    now = seconds_now ();
    now_ended = count_ended (b);
    if (now_ended != ended)
      last = now;
    ended = now_ended;
    if ((take_signals (b) && now - last >= deaf) ||
        now - last > SILENCE_SECONDS) {
      if (!b->has_given_up)
        last = now;
      give_up (b);
    }
    if (b->has_given_up && now - last > PATIENCE_SECONDS)
      return false;
  }
  return true;
}

static bool
aide_is_done (struct bridge *b)
{
  struct pollfd fds = {.fd = aide_fd (b->aide), .events = POLLIN};

  return poll (&fds, 1, 0) > 0;
}

/* Returns 0 or a negative errno; -ETIMEDOUT: the aide is still at it, and will
 * do nothing else.
 */
static int
have_done (struct bridge *b, enum task task, unsigned deaf, bool *lost)
{
  if (b->is_stuck)
    return -ETIMEDOUT;
  aide_begin (b->aide, task, b->number);
  b->is_stuck = !await (b, aide_fd (b->aide), deaf, aide_is_done);
  return b->is_stuck ? -ETIMEDOUT : aide_result (b->aide, lost);
}

static bool
queues_are_done (struct bridge *b)
{
  count_queues (b);
  return b->queues_ended >= b->queues_begun;
}

bool
bridge_wait (struct bridge *b)
{
  struct pollfd fds[] = {{.fd = b->device.ended, .events = POLLIN},
                         {.fd = b->signals, .events = POLLIN}};

  for (;;) {
    poll (fds, 2, -1);
    count_queues (b);
    if (b->queues_ended > 0)
      return false;
    if (take_signals (b))
      return true;
  }
}

/*---------------------------------------------------------------------*/
/* The end */

static void
disconnect (struct bridge *b)
{
  bool has_left;
  unsigned i, looks;

  for (i = 0; i < MOST_QUEUES; i++) {
    link_leave (b->connections[i].data);
    link_leave (b->connections[i].zones);
    link_leave (b->connections[i].config);
  }
  for (looks = 0; looks < LOOKS_A_SECOND; looks++) {
    has_left = true;
    for (i = 0; i < MOST_QUEUES; i++) {
      has_left = link_has_left (b->connections[i].data) &&
                 link_has_left (b->connections[i].zones) &&
                 link_has_left (b->connections[i].config) && has_left;
    }
    if (has_left)
      break;
    pause_shortly ();
  }
  for (i = 0; i < MOST_QUEUES; i++)
    source_disconnect (&b->connections[i]);
}

/* Is it gone, so that its number is another's at most? */
static bool
is_gone (struct bridge *b)
{
  struct ublk_info info;
  unsigned i;
  int r;

  for (i = 0; i < PATIENCE_SECONDS * LOOKS_A_SECOND; i++) {
    r = driver_info (b->driver, b->number, &info);
    if (r == -ENODEV || (r == 0 && info.cookie != b->record.cookie))
      return true;
    if (r < 0)
      return false;
    pause_shortly ();
  }
  return false;
}

/* What is stopped ends its queues.  Returns 0, or a negative errno where it can
 * only be left to the kernel, which ends it with this process.
 */
static int
end_device (struct bridge *b)
{
  unsigned i;
  bool lost;
  int r = 0;

  if (b->has_device)
    r = have_done (b, TASK_STOP, 0, &lost);
  if (r < 0)
    return r;
  if (b->queues_begun > 0 && !await (b, b->device.ended, 0, queues_are_done))
    return -ETIMEDOUT;
  for (i = 0; i < MOST_QUEUES; i++) {
    if (b->queues[i] != NULL)
      queue_join (b->queues[i]);
    b->queues[i] = NULL;
  }
  if (b->device.fd != -1)
    close (b->device.fd);
  b->device.fd = -1;
  if (b->has_device)
    r = have_done (b, TASK_DELETE, 0, &lost);
  if (r < 0 && r != -ENODEV)
    return r;
  return !b->has_device || is_gone (b) ? 0 : -EBUSY;
}

/* The record stays where the device does.  Nothing is freed then that a queue
 * may use: the process is to end.
 */
static int
take_away (struct bridge *b)
{
  const int r = end_device (b);

  if (r < 0)
    return r;
  disconnect (b);
  if (b->has_record)
    record_remove (&b->record);
  driver_close (b->driver);
  appends_destroy (b->device.appends);
  if (b->has_source)
    source_close (&b->source);
  if (b->device.ended != -1)
    close (b->device.ended);
  if (b->signals != -1)
    close (b->signals);
  aide_destroy (b->aide);
  free (b);
  return 0;
}

static enum closed
refuse_to_end (struct bridge *b, int err, struct message *why)
{
  if (err == -EBUSY)
    message_set (why, "/dev/%s is in use", b->name);
  else
    message_set (why, "/dev/%s: it cannot be told whether it is in use: %s",
                 b->name, strerror (-err));
  record_refuse (&b->record);
  return NOT_CLOSED;
}

enum closed
bridge_close (struct bridge *b, struct message *why)
{
  bool lost = false, ignored;
  char name[32];
  int r = 0;

  snprintf (name, sizeof name, "%s", b->name);
  if (b->queues_ended == 0) {
    r = have_done (b, TASK_FLUSH, DEAF_SECONDS, &lost);
    if (r == 0)
      r = have_done (b, TASK_TRY_STOP, DEAF_SECONDS, &ignored);
    if (r < 0 && r != -ETIMEDOUT)
      return refuse_to_end (b, r, why);
    lost = (lost || b->has_given_up) &&
           (b->plan.params.attributes & UBLK_ATTR_READ_ONLY) == 0;
  }
  else
    give_up (b);
  if (lost)
    record_lose (&b->record);
  r = take_away (b);
  if (r < 0)
    message_set (why, "/dev/%s does not end: %s", name, strerror (-r));
  else if (lost)
    message_set (why,
                 "/dev/%s: not all that was written to it has reached the "
                 "server",
                 name);
  return r < 0 || lost ? CLOSED_BADLY : CLOSED;
}

/*---------------------------------------------------------------------*/
/* The beginning */

static int
catch_signals (struct bridge *b)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGHUP);
  sigprocmask (SIG_BLOCK, &set, NULL);
  signal (SIGPIPE, SIG_IGN);
  b->signals = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  b->device.ended = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  return b->signals == -1 || b->device.ended == -1 ? -errno : 0;
}

/* The device must not need memory that only writing to the device could free,
 * nor end where there is no memory.
 */
static void
be_careful (void)
{
  mlockall (MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  prctl (PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

static void
outlive_others (void)
{
  FILE *fp;

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

  r = driver_add (b->driver, &info);
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
  r = driver_set_params (b->driver, b->number, &b->plan.params);
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
    b->queues_begun++;
  }
  return 0;
}

static int
start_device (struct bridge *b, struct message *why)
{
  char path[64];
  bool ignored;
  unsigned i;
  int r;

  r = have_done (b, TASK_START, 0, &ignored);
  if (b->has_given_up) {
    message_set (why, "interrupted, or the server does not answer");
    return -1;
  }
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
  b->driver = driver_open (why);
  if (b->driver == NULL)
    return -1;
  if (b->plan.zone_size != 0 &&
      (driver_features (b->driver) & UBLK_F_ZONED) == 0) {
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

  outlive_others (); /* so does the aide */
  b->aide = aide_create (why);
  if (b->aide == NULL || look_first (b, o, why) < 0)
    return -1;
  r = catch_signals (b);
  if (r < 0) {
    message_set (why, "%s", strerror (-r));
    return -1;
  }
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
  b->device.fd = b->device.ended = b->signals = -1;
  if (make (b, o, why) == 0)
    return b;
  take_away (b); /* where it cannot, --list shows what is left */
  return NULL;
}

const char *
bridge_name (const struct bridge *b)
{
  return b->name;
}
