/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The beginning of the device; see bridge.h and, for the order in which it is
 * made, bridge-internal.h.
 */

#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bridge-internal.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* How many appends to a zone are in flight at most, if the server lets early
 * writes wait for their turn.
 */
#define APPENDS_IN_FLIGHT 16

static int
catch_signals (struct bridge *b, struct message *why)
{
  sigset_t set;

  helper_block_signals (&set);
  b->signals = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  b->device.ended = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (b->signals != -1 && b->device.ended != -1)
    return 0;
  message_set (why, "%s", strerror (errno));
  return -1;
}

/* Serving the device must not need memory that only a write to the device could
 * free.
 */
static void
lock_memory (void)
{
  mlockall (MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  prctl (PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

/* The device must not end because memory is short. */
static void
avoid_oom_killer (void)
{
  FILE *fp;

  fp = fopen ("/proc/self/oom_score_adj", "we");
  if (fp != NULL) {
    fputs ("-1000\n", fp);
    fclose (fp);
  }
}

/* A device that is taken over keeps its queues, even if the machine has fewer
 * CPUs by now.
 */
static int
make_plan (struct bridge *b, const struct bridge_options *o,
           struct message *why)
{
  const long cpus =
      b->recovers ? b->left_device.queues : sysconf (_SC_NPROCESSORS_ONLN);
  const struct plan_options options = {
      .queues = b->recovers ? b->left_device.queues : o->queues,
      .depth = b->recovers ? b->left_device.depth : o->depth,
      .persists = o->persist > 0,
      .rotational = o->rotational,
      .read_only = o->read_only,
      .cpus = cpus < 1            ? 1
              : cpus > MAX_QUEUES ? MAX_QUEUES
                                  : cpus,
      .page_size = sysconf (_SC_PAGESIZE),
  };
  struct message reason;

  if (plan_make (&b->plan, &b->export.plan_export, &options, &reason) == 0)
    return 0;
  message_set (why, "%s: %s", b->export.uri, reason.text);
  b->impossible = true;
  return -1;
}

/* Refuse an export with zones: this kernel has no ublk devices with zones. */
static int
refuse_zones (struct bridge *b, struct message *why)
{
  const struct message reason = *why;

  b->impossible = true;
  message_set (why, "%s; --zones=no attaches it without zones", reason.text);
  return -1;
}

/* Returns how many slots the journal has: one for each request of a device with
 * zones.  A device without zones needs none, as its requests can be done twice.
 */
static unsigned
journal_slots (const struct ublksrv_ctrl_dev_info *info)
{
  return (info->flags & UBLK_F_ZONED) != 0 ? info->queues * info->depth : 0;
}

static int
make_journal (struct bridge *b, const struct ublksrv_ctrl_dev_info *info,
              struct message *why)
{
  const int r = journal_make (&b->device.journal, b->record.fd, info->queues,
                              journal_slots (info));

  if (r < 0)
    message_set (why, RECORDS ": %s", strerror (-r));
  else
    journal_set_peer (b->device.journal, b->export.peer);
  return r;
}

static int
add_device (struct bridge *b, struct message *why)
{
  struct ublksrv_ctrl_dev_info info;
  int r;

  r = setup_add (b->driver, &b->plan, b->record.cookie, &info, why);
  if (r < 0)
    return -1;
  b->number = info.device;
  b->has_device = true;
  snprintf (b->name, sizeof b->name, "ublkb%u", b->number);
  r = device_record_set_device (&b->record, b->name);
  if (r < 0) {
    message_set (why, RECORDS ": %s", strerror (-r));
    return -1;
  }
  r = setup_set_params (b->driver, &b->plan, &info, why);
  if (r == -EOPNOTSUPP)
    return refuse_zones (b, why);
  return r < 0 || !b->plan.persists ? r : make_journal (b, &info, why);
}

/* Begin to take over the device that another process has left. */
static int
recover_device (struct bridge *b, struct message *why)
{
  const bool has_begun = journal_fetched (b->device.journal) != FETCHED_ALL;
  int r;

  b->device.was_served = true;
  journal_begin_fetching (b->device.journal);
  r = setup_recover (b->driver, &b->plan, &b->left_device, has_begun, why);
  b->is_over = r == -EINVAL || r == -EBUSY;
  return r;
}

static int
open_device (struct bridge *b, struct message *why)
{
  const int fd = setup_open (b->number, why);

  if (fd < 0)
    return -1;
  b->device.fd = fd;
  return 0;
}

/* All for which memory or descriptors may be missing is made before the first
 * queue fetches: before Linux 6.16, once one queue has fetched, no other
 * process can take the device over unless all have.  Only the kernel's table of
 * a queue's requests (port_map) is mapped afterwards: such a kernel lets one
 * process map tables, until another one has begun to take the device over.  It
 * refuses that if this process has begun to, and is killed before the first
 * fetch; then no process could map them.
 */
static int
start_queues (struct bridge *b, const struct bridge_options *o,
              struct message *why)
{
  unsigned i;

  b->device.plan = &b->plan;
  b->device.timeout = o->timeout;
  b->device.multi_conn = b->export.plan_export.multi_conn;
  if (b->plan.zone_size != 0) {
    b->device.appends = appends_create (
        b->plan.nr_zones, b->export.holds_early_writes ? APPENDS_IN_FLIGHT : 1);
    if (b->device.appends == NULL) {
      message_set (why, "%s", strerror (ENOMEM));
      return -1;
    }
  }
  if (o->persist > 0) {
    b->device.persist = o->persist;
    b->device.disconnected = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->device.disconnected == -1) {
      message_set (why, "%s", strerror (errno));
      return -1;
    }
  }
  for (i = 0; i < b->plan.queues; i++) {
    b->queues[i] = queue_start (&b->device, i, &b->connections[i], why);
    if (b->queues[i] == NULL)
      return -1;
  }
  if (o->persist > 0) {
    b->reconnector = reconnector_start (&b->export, b->queues, b->plan.queues,
                                        b->device.disconnected);
    if (b->reconnector == NULL) {
      message_set (why, "%s", strerror (errno));
      return -1;
    }
  }
  for (i = 0; i < b->plan.queues; i++) {
    if (!queue_fetch (b->queues[i], why))
      return -1;
    b->queues_begun++;
  }
  return 0;
}

static int
start_device (struct bridge *b, struct message *why)
{
  bool ignored;
  int r;

  if (b->recovers) {
    r = ublk_driver_end_recovery (b->driver, b->number, getpid ());
    if (r < 0)
      message_set (why, "the kernel does not let /dev/%s go on: %s", b->name,
                   strerror (-r));
    else if (journal_peer (b->device.journal) == 0) /* not known so far */
      journal_set_peer (b->device.journal, b->export.peer);
    return r;
  }
  r = bridge_have_done (b, AIDE_START, 0, &ignored);
  if (b->has_given_up) {
    message_set (why, "interrupted, or the server does not answer");
    return -1;
  }
  if (r < 0) {
    message_set (why, "the kernel does not start the device: %s; see dmesg",
                 strerror (-r));
    return -1;
  }
  return setup_await (b->number, why);
}

/* Open the driver, if it is not open yet. */
static int
open_driver (struct bridge *b, struct message *why)
{
  if (b->driver == NULL)
    b->driver = ublk_driver_open (why);
  if (b->driver != NULL)
    return 0;
  b->impossible = errno == ENODEV || errno == EPERM;
  return -1;
}

/* What a dead process has left of a device. */
enum left {
  LEFT_NOTHING,
  LEFT_RECORD, /* and no device that can be taken over */
  LEFT_DEVICE
};

/* Look for what a dead process has left of a device of that cookie and that
 * URI, and adopt the record if there is one.  A record has only the beginning
 * of a long URI.  Returns an enum left, or a negative errno.
 */
static int
look_for_left (struct bridge *b, const struct bridge_options *o)
{
  const uint64_t needed = UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE;
  bool is_dead, is_it;
  int r, found;

  r = device_record_open (&b->record, o->cookie, &is_dead);
  if (r < 0)
    return r == -ENOENT ? LEFT_NOTHING : r;
  found = ublk_driver_find (b->driver, o->cookie, &b->left_device);
  r = found < 0 && found != -ENODEV ? found : 0;
  is_it = is_dead &&
          strncmp (b->record.uri, o->argument, sizeof b->record.uri - 1) == 0;
  if (r == 0 && is_it)
    r = device_record_adopt (&b->record);
  if (r < 0 || !is_it) {
    device_record_close (&b->record);
    return r == 0 || r == -ENOENT ? LEFT_NOTHING : r;
  }
  return found == 0 && (b->left_device.flags & needed) == needed ? LEFT_DEVICE
                                                                 : LEFT_RECORD;
}

/* Read the journal.  Returns 0 if by what it says the device can go on, or a
 * negative errno and the reason in *why.
 */
static int
read_journal (struct bridge *b, struct message *why)
{
  int r;

  r = journal_read (&b->device.journal, b->record.fd, b->left_device.queues,
                    journal_slots (&b->left_device));
  if (r < 0) {
    message_set (why, "/dev/%s cannot be taken over: its journal: %s", b->name,
                 strerror (-r));
    b->is_over = r != -ENOMEM;
    return r;
  }
  if (journal_fetched (b->device.journal) != FETCHED_SOME ||
      (ublk_driver_features (b->driver) & UBLK_F_QUIESCE) != 0)
    return 0;
  b->is_over = true;
  message_set (why,
               "/dev/%s cannot be taken over: another process was killed while "
               "it took the device over, and Linux before 6.16 then lets no "
               "process do so",
               b->name);
  return -EINVAL;
}

/* Remove what is left: a new device is made in its place. */
static int
clear_left (struct bridge *b, struct message *why)
{
  unsigned ignored;
  int r;

  journal_close (b->device.journal);
  b->device.journal = NULL;
  b->has_record = b->has_device = b->recovers = false;
  r = setup_clear (b->driver, &b->record, true, &ignored);
  if (r < 0)
    message_set (why, "what is left of %s cannot be cleared: %s", b->name,
                 strerror (-r));
  b->name[0] = '\0';
  return r;
}

/* If a killed process has left a device with this cookie, and --persist is
 * given, adopt the device.  If it cannot be taken over, clear what is left of
 * it; but with options->recovers that is a failure.
 */
static int
find_left (struct bridge *b, const struct bridge_options *o,
           struct message *why)
{
  int left = LEFT_NOTHING;

  if (o->cookie != 0 && o->persist > 0) {
    if (open_driver (b, why) < 0)
      return -1;
    left = look_for_left (b, o);
    if (left < 0) {
      message_set (why, "what is left of the device cannot be told: %s",
                   strerror (-left));
      return -1;
    }
    b->has_record = left != LEFT_NOTHING;
  }
  b->recovers = b->has_device = left == LEFT_DEVICE;
  if (b->recovers) {
    b->number = b->left_device.device;
    snprintf (b->name, sizeof b->name, "ublkb%u", b->number);
    if (read_journal (b, why) == 0)
      return 0;
    if (o->recovers)
      return -1;
    fprintf (stderr, "nullblk-ublk: %s; it is deleted\n", why->text);
  }
  else if (o->recovers) {
    if (b->has_record) /* it stays, for --detach */
      device_record_close (&b->record);
    b->has_record = false;
    b->is_over = true;
    message_set (why, "there is no device any more that could be taken over");
    return -1;
  }
  return left == LEFT_NOTHING ? 0 : clear_left (b, why);
}

/* If a signal has asked for the end of the device, which nobody serves just
 * now, stop it: then not all data may have reached the server.  If it is in
 * use, it goes on, and its record counts the refusal.  Returns whether it was
 * stopped.
 */
static bool
try_to_detach (struct bridge *b, struct message *why)
{
  bool ignored;

  if (!bridge_is_to_end (b))
    return false;
  if (bridge_have_done (b, AIDE_TRY_STOP, 0, &ignored) < 0) {
    device_record_count_refusal (&b->record);
    return false;
  }
  device_record_set_lost_data (&b->record);
  b->is_over = true;
  message_set (why,
               "/dev/%s: not all that was written to it has reached the server",
               b->name);
  return true;
}

/* A name may have the addresses of several servers, whose exports look the
 * same: a device goes on only with the server that it was made of.
 */
static int
check_server (struct bridge *b, struct message *why)
{
  const uint64_t then = b->recovers ? journal_peer (b->device.journal) : 0;

  b->is_elsewhere = then != 0 && then != b->export.peer;
  if (!b->is_elsewhere)
    return 0;
  message_set (
      why,
      "%s: the server has not the address that it had when /dev/%s was "
      "made",
      b->export.uri, b->name);
  return -1;
}

/* Connect all queues.  After a failure, bridge_disconnect closes what there is.
 */
static int
connect_queues (struct bridge *b, const struct bridge_options *o,
                struct message *why)
{
  unsigned i;

  b->is_elsewhere = false;
  if (export_open (&b->export, o->argument, o->zones, why) < 0)
    return -1;
  b->has_export = true;
  b->connections[0] = b->export.first;
  if (check_server (b, why) < 0 || make_plan (b, o, why) < 0)
    return -1;
  for (i = 1; i < b->plan.queues; i++) {
    if (export_connect (&b->export, &b->connections[i], why) < 0)
      return -1;
  }
  return 0;
}

/* Connect; for a device that is taken over, try for as long as --persist says,
 * as the server may be away for a while, or not take all connections yet.  If
 * by then only a server with another address answers, the device is left for a
 * later try.
 */
static int
connect_to_source (struct bridge *b, const struct bridge_options *o,
                   struct message *why)
{
  const unsigned begun = bridge_seconds_now ();
  bool is_late;

  while (connect_queues (b, o, why) < 0) {
    is_late = bridge_seconds_now () - begun > o->persist;
    b->is_over = !b->recovers || b->impossible || (is_late && !b->is_elsewhere);
    if (b->is_over || is_late || try_to_detach (b, why))
      return -1;
    bridge_disconnect (b);
    bridge_pause ();
  }
  return 0;
}

/* Connect, and check all that can be checked before the kernel makes a device.
 */
static int
connect_and_check (struct bridge *b, const struct bridge_options *o,
                   struct message *why)
{
  if (connect_to_source (b, o, why) < 0)
    return -1;
  if (open_driver (b, why) < 0)
    return -1;
  return setup_check_driver (b->driver, &b->plan, why) == 0
             ? 0
             : refuse_zones (b, why);
}

static int
make (struct bridge *b, const struct bridge_options *o, struct message *why)
{
  int r;

  avoid_oom_killer (); /* and the aide, which inherits that */
  b->aide = aide_create (why);
  /* Until there is a device, a signal ends the process. */
  if (b->aide == NULL || (o->recovers && catch_signals (b, why) < 0) ||
      find_left (b, o, why) < 0 || connect_and_check (b, o, why) < 0 ||
      (!o->recovers && catch_signals (b, why) < 0))
    return -1;
  lock_memory ();
  r = b->has_record ? 0
                    : device_record_make (&b->record, o->cookie, o->argument);
  if (r < 0) {
    message_set (why, RECORDS ": %s", strerror (-r));
    return -1;
  }
  b->has_record = true;
  if ((b->recovers ? recover_device (b, why) : add_device (b, why)) < 0 ||
      open_device (b, why) < 0 || start_queues (b, o, why) < 0)
    return -1;
  return start_device (b, why);
}

/* The device could not be taken over for now.  May that be tried again, with
 * options->recovers, as nobody has deleted the device?
 */
static bool
may_try_again (const struct bridge_options *o)
{
  struct device_record r;
  bool ignored;
  int err;

  if (!o->recovers)
    return false;
  err = device_record_open (&r, o->cookie, &ignored);
  if (err == 0)
    device_record_close (&r);
  return err != -ENOENT;
}

/* The device that was to be taken over stays as it was. */
static void
leave_device (struct bridge *b)
{
  device_record_close (&b->record);
  b->has_record = b->has_device = false;
}

struct bridge *
bridge_open (const struct bridge_options *o, enum bridge_failure *failure,
             struct message *why)
{
  struct bridge *b = calloc (1, sizeof *b);
  bool is_over;

  *failure = o->recovers ? BRIDGE_FAILED_FOR_NOW : BRIDGE_FAILED;
  if (b == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  b->device.fd = b->device.ended = b->device.disconnected = b->signals = -1;
  if (make (b, o, why) == 0)
    return b;
  /* A signal that has come meanwhile would be lost with this process. */
  if (o->recovers && b->recovers && b->queues_begun == 0 && !b->is_over)
    try_to_detach (b, why);
  /* Once a queue has begun, the kernel may let no other process have it. */
  is_over = b->is_over || b->impossible || b->queues_begun > 0;
  *failure = b->impossible ? BRIDGE_IMPOSSIBLE : BRIDGE_FAILED;
  if (b->recovers && b->queues_begun == 0 && !(o->recovers && is_over))
    leave_device (b);
  bridge_take_away (b); /* where it cannot, --list shows what is left */
  if (!is_over && may_try_again (o))
    *failure = BRIDGE_FAILED_FOR_NOW;
  return NULL;
}

const char *
bridge_name (const struct bridge *b)
{
  return b->name;
}
