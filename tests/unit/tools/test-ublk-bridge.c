/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device of nullblk-ublk from its beginning to its end, before a kernel that
 * is in this file: one that is too old, has no driver or no zones, refuses a
 * command, or stops no device that is open.  All of nullblk-ublk that speaks to
 * /dev/ublk-control is here as it is, its second process included; its ring,
 * its queues and its server are functions of this file.
 */

#include <config.h>

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ublkdrv/ublkdrv.h"
#include "ublk/bridge.h"
#include "ublk/reconnect.h"
#include "ublk/link.h"
#include "ublk/queue.h"
#include "ublk/source.h"
#include "command-ring.h"
#include "records.h"
#include "unit.h"

#define MOST 64
#define NUMBER 4095 /* of its device, of which the machine has none */

/*---------------------------------------------------------------------*/
/* The kernel, which both processes see */

enum command {
  GET_INFO = 0x02,
  ADD = 0x04,
  DELETE = 0x05,
  START = 0x06,
  STOP = 0x07,
  SET_PARAMS = 0x08,
  GET_PARAMS = 0x09,
  START_RECOVERY = 0x10,
  END_RECOVERY = 0x11,
  GET_FEATURES = 0x13,
  DELETE_ASYNC = 0x14,
  TRY_STOP = 0x17,
  NR_COMMANDS
};

static struct kernel {
  bool has_driver;
  uint64_t features;
  uint64_t flags; /* that a device can have */

  /* What a command answers before it is done, and how often. */
  struct {
    int result;
    unsigned times;
  } refusals[NR_COMMANDS];

  bool can_be_held;      /* /dev/ublkbN, by a file in its place */
  unsigned looks;        /* for users */
  unsigned opened_after; /* so many looks; 0: by nobody */

  bool has_device;
  struct ublksrv_ctrl_dev_info info;
  struct ublk_params params;

  /* What it was asked, but for what it only tells, and by whom. */
  enum command asked[MOST];
  pid_t asked_by[MOST];
  unsigned nr_asked;
} * kernel;

static int
obey (enum command command, const struct ublksrv_ctrl_cmd *c)
{
  void *const subject = (void *) (uintptr_t) c->address;
  struct ublksrv_ctrl_dev_info *const info = subject;

  if (command != ADD && command != GET_FEATURES &&
      (!kernel->has_device || c->device != NUMBER))
    return -ENODEV;
  switch (command) {
  case GET_FEATURES:
    memcpy (subject, &kernel->features, sizeof kernel->features);
    return 0;
  case ADD:
    info->device = NUMBER;
    info->flags &= kernel->flags;
    kernel->info = *info;
    kernel->has_device = true;
    return 0;
  case GET_INFO:
    *info = kernel->info;
    return 0;
  case SET_PARAMS:
    memcpy (&kernel->params, subject, sizeof kernel->params);
    return 0;
  case GET_PARAMS:
    memcpy (subject, &kernel->params, sizeof kernel->params);
    return 0;
  case DELETE:
  case DELETE_ASYNC:
    kernel->has_device = false;
    return 0;
  default:
    return 0;
  }
}

int
do_command (unsigned command, const struct ublksrv_ctrl_cmd *c)
{
  must (command < NR_COMMANDS, "the driver knows the command");
  if (command != GET_FEATURES && command != GET_INFO && command != GET_PARAMS) {
    must (kernel->nr_asked < MOST, "not more commands than are noted");
    kernel->asked[kernel->nr_asked] = command;
    kernel->asked_by[kernel->nr_asked++] = getpid ();
  }
  if (kernel->refusals[command].times > 0) {
    kernel->refusals[command].times--;
    return kernel->refusals[command].result;
  }
  return obey (command, c);
}

const char *
path_in_place_of (const char *path)
{
  if (strcmp (path, "/dev/ublk-control") == 0 && kernel->has_driver)
    return "/dev/null";
  if (begins_with (path, "/dev/ublkc") && kernel->has_device)
    return "/dev/null";
  if (begins_with (path, "/dev/ublkb") && kernel->can_be_held)
    return "/proc/self/exe";
  return begins_with (path, "/dev/ublk") ? NULL : path;
}

/* A user that cannot be told is not waited for. */
int __real_users_find (const char *name);
int __wrap_users_find (const char *name);
int
__wrap_users_find (const char *name)
{
  assert_string_equal (name, "ublkb4095");
  kernel->looks++;
  return kernel->opened_after != 0 && kernel->looks > kernel->opened_after
             ? -EACCES
             : __real_users_find (name);
}

/* Where the driver's devices are listed. */
DIR *__real_opendir (const char *path);
DIR *__wrap_opendir (const char *path);
DIR *
__wrap_opendir (const char *path)
{
  if (strcmp (path, "/sys/class/ublk-char") == 0)
    path = kernel->has_device ? "devices" : "no-devices";
  return __real_opendir (path);
}

/* A test need not hold its memory. */
int __wrap_mlockall (int flags);
int
__wrap_mlockall (int flags)
{
  (void) flags;
  return 0;
}

static long cpus; /* that are online */

long __real_sysconf (int name);
long __wrap_sysconf (int name);
long
__wrap_sysconf (int name)
{
  return name == _SC_NPROCESSORS_ONLN ? cpus : __real_sysconf (name);
}

/*---------------------------------------------------------------------*/
/* The queue, and the server */

#define NR_ZONES 16
#define ZONE_SIZE UINT64_C (4194304)

/* The process that begins the queue is killed before that has fetched, or while
 * it does; or it can begin none.
 */
static enum { FETCHES, DIES_BEFORE, DIES_MEANWHILE, FAILS } fetching;

static bool has_zones, has_queues; /* the latter: two */
static unsigned away;              /* so many attempts to connect fail */
static unsigned full;  /* and so many to connect queues but the first */
static unsigned moved; /* and so many are taken by another server */
static int open_sources;
static uint64_t size; /* of the export */
static struct zone_descriptor table[NR_ZONES];

/* That it ends is looked at when the device has been stopped, not before. */
struct queue *
queue_start (const struct ublk_device *device, unsigned index,
             struct connections *connections, struct message *why)
{
  (void) index;
  (void) connections;
  if (fetching == DIES_BEFORE)
    _exit (0);
  message_set (why, "queue 0: no memory");
  if (fetching == FAILS)
    return NULL;
  if (device->journal != NULL)
    journal_queue_fetches (device->journal);
  if (fetching == DIES_MEANWHILE)
    _exit (0);
  if (device->journal != NULL)
    journal_queue_has_fetched (device->journal);
  assert_int_equal (eventfd_write (device->ended, 1), 0);
  return (struct queue *) kernel;
}

void
queue_join (struct queue *q)
{
  assert_ptr_equal (q, kernel);
}

void
queue_give_up (struct queue *q)
{
  assert_ptr_equal (q, kernel);
}

struct reconnector *
reconnector_start (const struct source *source, struct queue *const *queues,
                   unsigned count, int lost)
{
  (void) source;
  (void) queues;
  (void) count;
  (void) lost;
  return (struct reconnector *) kernel;
}

void
reconnector_stop (struct reconnector *r)
{
  assert_true (r == NULL || (struct kernel *) r == kernel);
}

int
source_open (struct source *s, const char *uri, enum zones_wanted zones,
             struct message *why)
{
  unsigned i;

  (void) zones;
  message_set (why, "the server is away");
  if (away > 0) {
    away--;
    return -EIO;
  }
  for (i = 0; i < NR_ZONES; i++) {
    table[i] = (struct zone_descriptor){
        .start = htole64 (i * (ZONE_SIZE / 512)),
        .len = htole64 (ZONE_SIZE / 512),
        .wp = htole64 (i * (ZONE_SIZE / 512)),
        .type = ZONE_TYPE_SEQUENTIAL,
        .cond = ZONE_COND_EMPTY,
        .capacity = htole64 (ZONE_SIZE / 512),
    };
  }
  open_sources++;
  s->uri = uri;
  s->peer = moved > 0 ? 2 : 1;
  moved -= moved > 0;
  s->export = (struct plan_export){
      .size = size,
      .can_flush = true,
      .can_fua = true,
      .multi_conn = has_queues,
      .table = has_zones ? table : NULL,
      .nr_zones = has_zones ? NR_ZONES : 0,
  };
  return 0;
}

int
source_connect (const struct source *s, struct connections *c,
                struct message *why)
{
  (void) s;
  assert_true (has_queues);
  memset (c, 0, sizeof *c);
  message_set (why, "the server takes no more connections");
  if (full > 0) {
    full--;
    return -EIO;
  }
  return 0;
}

void
source_disconnect (struct connections *c)
{
  (void) c;
}

void
source_close (struct source *s)
{
  (void) s;
  open_sources--;
}

void
connection_begin_close (struct nbd_handle *h)
{
  assert_null (h);
}

bool
connection_has_closed (struct nbd_handle *h)
{
  assert_null (h);
  return true;
}

void
connection_break (struct nbd_handle *h)
{
  assert_null (h);
}

/*---------------------------------------------------------------------*/

static const struct options options = {
    .argument = "nbd://server/nullb0", .queues = 1, .depth = 16};
static struct message why;
static enum failure failure; /* what bridge_open said last */
static struct bridge *bridge;

/* A kernel that does all that is asked of it, as Linux 6.12 does. */
static void
make_kernel (bool zones)
{
  memset (kernel, 0, sizeof *kernel);
  command_ring_errno = 0;
  modules_asked = 0;
  kernel->has_driver = true;
  kernel->features = kernel->flags = UBLK_F_USER_COPY | UBLK_F_ZONED;
  has_zones = zones;
  has_queues = false;
  size = NR_ZONES * ZONE_SIZE;
  away = full = moved = open_sources = 0;
  cpus = 4;
}

static void
refuse (enum command command, int result, unsigned times)
{
  kernel->refusals[command].result = result;
  kernel->refusals[command].times = times;
}

static void
open_bridge_of (const struct options *o)
{
  bridge = bridge_open (o, &failure, &why);
  if (bridge == NULL)
    fail_msg ("%s", why.text);
  assert_string_equal (bridge_name (bridge), "ublkb4095");
  assert_int_equal (records (), 1);
}

static void
open_bridge (void)
{
  open_bridge_of (&options);
}

/* It says WORDS, and leaves nothing. */
static void
opens_none (const char *words)
{
  bridge = bridge_open (&options, &failure, &why);
  assert_null (bridge);
  if (strstr (why.text, words) == NULL)
    fail_msg ("\"%s\" has no \"%s\"", why.text, words);
  assert_false (kernel->has_device);
  assert_int_equal (records (), 0);
}

static void
close_bridge (enum closed how)
{
  assert_int_equal (bridge_close (bridge, &why), how);
}

/* The commands were these, in this order; the last one is 0. */
static void
were_asked (const enum command *commands)
{
  unsigned i;

  for (i = 0; commands[i] != 0; i++) {
    assert_true (i < kernel->nr_asked);
    assert_int_equal (kernel->asked[i], commands[i]);
  }
  assert_int_equal (kernel->nr_asked, i);
}

#define WERE_ASKED(...) were_asked ((const enum command[]){__VA_ARGS__, 0})

/*---------------------------------------------------------------------*/

/* What may wait for the device is asked by the second process. */
static void
test_life (void **state)
{
  unsigned i;

  (void) state;
  for (i = 0; i < 2; i++) {
    make_kernel (i == 1);
    open_bridge ();
    WERE_ASKED (ADD, SET_PARAMS, START);
    assert_int_equal (kernel->asked_by[0], getpid ());
    assert_int_equal (kernel->asked_by[1], getpid ());
    assert_int_not_equal (kernel->asked_by[2], getpid ());
    close_bridge (CLOSED);
    /* The first is asked while somebody may still refuse, the second to end
     * what there is.
     */
    WERE_ASKED (ADD, SET_PARAMS, START, STOP, STOP, DELETE_ASYNC);
    assert_int_not_equal (kernel->asked_by[3], getpid ());
    assert_int_not_equal (kernel->asked_by[5], getpid ());
    assert_false (kernel->has_device);
    assert_int_equal (records (), 0);
  }
}

static void
test_no_driver (void **state)
{
  (void) state;
  make_kernel (false);
  kernel->has_driver = false;
  opens_none ("the module ublk_drv is missing");
  assert_int_equal (failure, IMPOSSIBLE);
  assert_int_equal (modules_asked, 1);
}

static void
test_no_rings (void **state)
{
  (void) state;
  make_kernel (false);
  command_ring_errno = EPERM;
  opens_none ("io_uring_disabled");
  command_ring_errno = EINVAL;
  opens_none ("too old: Linux 6.6");
}

static void
test_too_old (void **state)
{
  (void) state;
  make_kernel (false);
  kernel->features = UBLK_F_ZONED;
  opens_none ("ublk driver is too old: Linux 6.6");
  make_kernel (false);
  refuse (GET_FEATURES, -EOPNOTSUPP, MOST); /* Linux 6.4 */
  opens_none ("ublk driver is too old: Linux 6.6");
  make_kernel (false);
  refuse (GET_FEATURES, -EPERM, MOST);
  opens_none ("only root");
  assert_int_equal (kernel->nr_asked, 0);
}

/* Linux 6.5 does not know what zones are; one without BLK_DEV_ZONED does, and
 * does not do it.
 */
static void
test_no_zones (void **state)
{
  (void) state;
  make_kernel (true);
  kernel->features = UBLK_F_USER_COPY;
  opens_none ("ublk driver has no zones");
  assert_int_equal (failure, IMPOSSIBLE);
  assert_int_equal (kernel->nr_asked, 0);
  make_kernel (true);
  kernel->flags = UBLK_F_USER_COPY;
  opens_none ("BLK_DEV_ZONED");
  assert_int_equal (failure, IMPOSSIBLE);
  WERE_ASKED (ADD, STOP, DELETE_ASYNC);
  make_kernel (false);
  kernel->features = kernel->flags = UBLK_F_USER_COPY;
  open_bridge ();
  close_bridge (CLOSED);
}

static void
test_refused (void **state)
{
  (void) state;
  make_kernel (false);
  refuse (ADD, -EACCES, 1);
  opens_none ("ublks_max");
  make_kernel (false);
  refuse (SET_PARAMS, -EINVAL, 1);
  opens_none ("does not take");
  assert_int_equal (failure, FAILED);
  make_kernel (true);
  refuse (START, -EIO, 1);
  opens_none ("does not start the device");
  WERE_ASKED (ADD, SET_PARAMS, START, STOP, DELETE_ASYNC);
}

/* Linux 7.0 says itself whether a device is open; here that fails at first. */
static void
open_with_try_stop (int result, unsigned times)
{
  make_kernel (false);
  kernel->features |= UBLK_F_SAFE_STOP_DEV;
  refuse (TRY_STOP, result, times);
  open_bridge ();
}

static void
test_in_use (void **state)
{
  (void) state;
  open_with_try_stop (-EBUSY, 2);
  close_bridge (NOT_CLOSED);
  assert_string_equal (why.text, "/dev/ublkb4095 is in use");
  close_bridge (NOT_CLOSED);
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  close_bridge (CLOSED);
  WERE_ASKED (ADD, SET_PARAMS, START, TRY_STOP, TRY_STOP, TRY_STOP, STOP,
              DELETE_ASYNC);
  assert_int_equal (records (), 0);
}

/* By who has opened it while it was flushed. */
static void
test_used_since (void **state)
{
  (void) state;
  make_kernel (false);
  kernel->can_be_held = true;
  kernel->opened_after = 1;
  open_bridge ();
  close_bridge (NOT_CLOSED);
  assert_non_null (strstr (why.text, "cannot be told"));
  WERE_ASKED (ADD, SET_PARAMS, START);
  kernel->opened_after = 0;
  close_bridge (CLOSED);
  WERE_ASKED (ADD, SET_PARAMS, START, STOP, STOP, DELETE_ASYNC);
}

static void
test_cannot_be_told (void **state)
{
  (void) state;
  open_with_try_stop (-EIO, 1);
  close_bridge (NOT_CLOSED);
  assert_non_null (strstr (why.text, "cannot be told"));
  close_bridge (CLOSED);
}

/* A device that does not know the command although the driver does. */
static void
test_try_stop_unknown (void **state)
{
  (void) state;
  open_with_try_stop (-EOPNOTSUPP, 1);
  close_bridge (CLOSED);
  WERE_ASKED (ADD, SET_PARAMS, START, TRY_STOP, STOP, STOP, DELETE_ASYNC);
}

/* Before Linux 6.9 it has to be waited for. */
static void
test_delete_waits (void **state)
{
  (void) state;
  make_kernel (false);
  refuse (DELETE_ASYNC, -EOPNOTSUPP, 1);
  open_bridge ();
  close_bridge (CLOSED);
  WERE_ASKED (ADD, SET_PARAMS, START, STOP, STOP, DELETE_ASYNC, DELETE);
}

/* Somebody else has been quicker. */
static void
test_gone (void **state)
{
  (void) state;
  make_kernel (false);
  open_bridge ();
  kernel->has_device = false;
  close_bridge (CLOSED);
  assert_int_equal (records (), 0);
}

/* The record stays, by which --list and --detach find the device: the process
 * is to end, and keeps what it has.
 */
static void
fails_to_end (enum command command)
{
  make_kernel (false);
  refuse (command, -EIO, MOST);
  open_bridge ();
  close_bridge (CLOSED_BADLY);
  assert_string_equal (why.text,
                       "/dev/ublkb4095 does not end: Input/output error");
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  device_record_for_each (remove_record, NULL);
}

static void
test_delete_fails (void **state)
{
  (void) state;
  fails_to_end (DELETE_ASYNC);
}

/*---------------------------------------------------------------------*/
/* Devices that outlive their processes */

#define COOKIE 0xc00c1e

static const struct options lasting = {.argument = "nbd://server/nullb0",
                                       .cookie = COOKIE,
                                       .persist = 1,
                                       .timeout = 30,
                                       .queues = 1,
                                       .depth = 16};

/* A kernel in which a process has made a lasting device, and was killed. */
static void
leave_device_of (const struct options *o, bool zones)
{
  int status;
  pid_t pid;

  make_kernel (zones);
  has_queues = o->queues == 2;
  kernel->features |= UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE;
  kernel->flags |= UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE;
  pid = fork ();
  if (pid == 0)
    _exit (bridge_open (o, &failure, &why) == NULL);
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_int_equal (status, 0);
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  kernel->nr_asked = 0;
}

static void
leave_device (bool zones)
{
  leave_device_of (&lasting, zones);
}

static int
make_directory (void **state)
{
  FILE *fp;

  (void) state;
  assert_int_equal (mkdir ("devices", 0700), 0);
  fp = fopen ("devices/ublkc4095", "w");
  assert_non_null (fp);
  fclose (fp);
  return 0;
}

static int
remove_directory (void **state)
{
  (void) state;
  return unlink ("devices/ublkc4095") == 0 && rmdir ("devices") == 0 ? 0 : -1;
}

/* It is the same device, whose queues are there when it goes on. */
static void
recovers (bool zones)
{
  struct options o = lasting;

  leave_device (zones);
  assert_true ((kernel->info.flags & UBLK_F_USER_RECOVERY) != 0);
  refuse (START_RECOVERY, -EBUSY, 3); /* the kernel is not yet ready */
  away = 2;
  open_sources = 0;
  o.recovers = true;
  o.queues = 0; /* it has as many as before, whatever the machine has */
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, START_RECOVERY, START_RECOVERY, START_RECOVERY,
              END_RECOVERY);
  close_bridge (CLOSED);
  assert_int_equal (records (), 0);
  assert_false (kernel->has_device);
}

static void
test_recover (void **state)
{
  (void) state;
  recovers (false);
  recovers (true);
}

/* The machine may have fewer CPUs by then. */
static void
test_recover_queues (void **state)
{
  struct options o = lasting;

  (void) state;
  o.queues = 2;
  leave_device_of (&o, true);
  assert_int_equal (kernel->info.queues, 2);
  o.recovers = true;
  o.queues = 0;
  cpus = 1;
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (CLOSED);
  assert_int_equal (records (), 0);
}

/* A record does not have all of a long URI. */
static void
test_recover_long (void **state)
{
  struct options o = lasting;
  static char uri[5000] = "nbd://server/";

  (void) state;
  memset (uri + strlen (uri), 'x', sizeof uri - strlen (uri) - 1);
  uri[sizeof uri - 1] = '\0';
  o.argument = uri;
  leave_device_of (&o, false);
  o.recovers = true;
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (CLOSED);
}

/* A server may take one connection, and at first no other. */
static void
test_recover_full (void **state)
{
  struct options o = lasting;

  (void) state;
  o.queues = 2;
  leave_device_of (&o, true);
  full = 2;
  o.recovers = true;
  open_bridge_of (&o);
  assert_int_equal (open_sources, 1);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (CLOSED);
  assert_int_equal (open_sources, 0);

  o.recovers = false;
  leave_device_of (&o, true);
  full = UINT32_MAX;
  o.recovers = true;
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text, "the server takes no more connections");
  assert_false (kernel->has_device);
  assert_int_equal (open_sources, 0);
  assert_int_equal (records (), 0);
}

/* Where the kernel cannot say now which device it is, nothing is taken away. */
static void
test_recover_untold (void **state)
{
  struct options o = lasting;

  (void) state;
  leave_device (false);
  refuse (GET_INFO, -EIO, 1);
  o.recovers = true;
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text, "what is left of the device cannot be told: "
                                 "Input/output error");
  assert_int_equal (failure, FAILED_FOR_NOW);
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  assert_int_equal (kernel->nr_asked, 0);
  /* Another user's device is not ours, and does not tell. */
  refuse (GET_INFO, -EINVAL, 1);
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text, "there is no device any more that could be "
                                 "taken over");
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (CLOSED);
}

/* The server's name may have another server's address, too. */
static void
test_recover_moved (void **state)
{
  struct options o = lasting;

  (void) state;
  leave_device (true);
  moved = 2;
  o.recovers = true;
  open_bridge_of (&o);
  assert_int_equal (moved, 0);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (CLOSED);

  leave_device (false);
  moved = UINT32_MAX;
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text,
                       "nbd://server/nullb0: the server has not the address "
                       "that it had when /dev/ublkb4095 was made");
  assert_int_equal (failure, FAILED_FOR_NOW);
  assert_true (kernel->has_device);
  assert_int_equal (open_sources, 0);
  assert_int_equal (records (), 1);

  moved = 0;
  open_bridge_of (&o);
  close_bridge (CLOSED);
}

/* What there is not enough of now may be there later. */
static void
test_recover_later (void **state)
{
  struct options o = lasting;

  (void) state;
  leave_device (true);
  o.recovers = true;
  command_ring_errno = ENOMEM;
  assert_null (bridge_open (&o, &failure, &why));
  assert_int_equal (failure, FAILED_FOR_NOW);
  command_ring_errno = 0;
  fetching = FAILS;
  assert_null (bridge_open (&o, &failure, &why));
  assert_int_equal (failure, FAILED_FOR_NOW);
  fetching = FETCHES;
  assert_int_equal (open_sources, 0);
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  WERE_ASKED (START_RECOVERY);

  /* But not where somebody has deleted it meanwhile. */
  open_bridge_of (&o);
  close_bridge (CLOSED);
  command_ring_errno = ENOMEM;
  assert_null (bridge_open (&o, &failure, &why));
  assert_int_equal (failure, FAILED);
}

/* What cannot be taken over is taken away, so that nobody waits for it; but not
 * if somebody has asked for something else.
 */
static void
test_recover_in_vain (void **state)
{
  struct options o = lasting;

  (void) state;
  leave_device (false);
  o.read_only = true;
  assert_null (bridge_open (&o, &failure, &why));
  assert_true (kernel->has_device);
  assert_int_equal (records (), 1);
  assert_int_equal (kernel->nr_asked, 0);
  o.read_only = false;
  o.recovers = true;
  size *= 2;
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text, "the export is not what it was when the "
                                 "device was made");
  assert_false (kernel->has_device);
  assert_int_equal (records (), 0);

  leave_device (false);
  refuse (START_RECOVERY, -EINVAL, 1);
  assert_null (bridge_open (&o, &failure, &why));
  assert_non_null (strstr (why.text, "does not let the device be taken over"));
  assert_false (kernel->has_device);
  assert_int_equal (records (), 0);

  leave_device (false);
  away = UINT32_MAX;
  assert_null (bridge_open (&o, &failure, &why));
  assert_string_equal (why.text, "the server is away");
  assert_int_equal (failure, FAILED);
  assert_false (kernel->has_device);
  assert_int_equal (records (), 0);
}

/* It is left alone by who has not made it, or does not make it last; and nobody
 * makes another one in its place.
 */
static void
test_recover_other (void **state)
{
  struct options o = lasting;

  (void) state;
  leave_device (false);
  o.argument = "nbd://server/nullb1";
  assert_null (bridge_open (&o, &failure, &why));
  o = lasting;
  o.persist = 0;
  assert_null (bridge_open (&o, &failure, &why));
  assert_true (kernel->has_device);
  assert_int_equal (kernel->nr_asked, 0);
  kernel->has_device = false;
  o = lasting;
  o.recovers = true;
  assert_null (bridge_open (&o, &failure, &why));
  assert_non_null (strstr (why.text, "no device any more"));
  assert_int_equal (kernel->nr_asked, 0);
  device_record_for_each (remove_record, NULL);
}

/* A process that has taken the device over is killed when it begins a queue. */
static void
die_recovering (const struct options *options_then, int when)
{
  struct options o = *options_then;
  int status;
  pid_t pid;

  o.recovers = true;
  fetching = when;
  pid = fork ();
  if (pid == 0) {
    bridge_open (&o, &failure, &why);
    _exit (1);
  }
  fetching = FETCHES;
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_int_equal (status, 0);
  kernel->nr_asked = 0;
}

/* Linux 6.12 says EINVAL to whoever comes after one that has not fetched. */
static void
test_died_before (void **state)
{
  struct options o = lasting;

  (void) state;
  leave_device (true);
  die_recovering (&lasting, DIES_BEFORE);
  o.recovers = true;
  refuse (START_RECOVERY, -EINVAL, 1);
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (CLOSED);
  assert_int_equal (records (), 0);
}

/* It cannot do with one that was killed meanwhile: nobody asks it to.  The
 * device is deleted, and there is another one if somebody wants one.
 */
static void
test_died_meanwhile (void **state)
{
  struct options o = lasting;

  (void) state;
  o.queues = 2;
  leave_device_of (&o, true);
  die_recovering (&o, DIES_MEANWHILE);
  o.recovers = true;
  assert_null (bridge_open (&o, &failure, &why));
  assert_non_null (strstr (why.text, "/dev/ublkb4095 cannot be taken over"));
  WERE_ASKED (STOP, DELETE_ASYNC);
  assert_int_equal (records (), 0);

  o.recovers = false;
  leave_device_of (&o, true);
  die_recovering (&o, DIES_MEANWHILE);
  open_bridge_of (&o);
  WERE_ASKED (STOP, DELETE_ASYNC, ADD, SET_PARAMS, START);
  close_bridge (CLOSED);
  assert_int_equal (records (), 0);

  /* Linux 6.16 can. */
  o.recovers = false;
  leave_device_of (&o, true);
  die_recovering (&o, DIES_MEANWHILE);
  kernel->features |= UBLK_F_QUIESCE;
  o.recovers = true;
  open_bridge_of (&o);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (CLOSED);
  assert_int_equal (records (), 0);

  /* So can all with one queue. */
  leave_device (true);
  die_recovering (&lasting, DIES_MEANWHILE);
  open_bridge_of (&lasting);
  WERE_ASKED (START_RECOVERY, END_RECOVERY);
  close_bridge (CLOSED);
}

#define RECOVER(f)                                                             \
  cmocka_unit_test_setup_teardown (f, make_directory, remove_directory)

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_life),
      cmocka_unit_test (test_no_driver),
      cmocka_unit_test (test_no_rings),
      cmocka_unit_test (test_too_old),
      cmocka_unit_test (test_no_zones),
      cmocka_unit_test (test_refused),
      cmocka_unit_test (test_in_use),
      cmocka_unit_test (test_used_since),
      cmocka_unit_test (test_cannot_be_told),
      cmocka_unit_test (test_try_stop_unknown),
      cmocka_unit_test (test_delete_waits),
      cmocka_unit_test (test_gone),
      RECOVER (test_recover),
      RECOVER (test_recover_queues),
      RECOVER (test_recover_long),
      RECOVER (test_recover_full),
      RECOVER (test_recover_moved),
      RECOVER (test_recover_later),
      RECOVER (test_died_before),
      RECOVER (test_died_meanwhile),
      RECOVER (test_recover_in_vain),
      RECOVER (test_recover_other),
      RECOVER (test_recover_untold),
      cmocka_unit_test (test_delete_fails),
  };

  kernel = mmap (NULL, sizeof *kernel, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return kernel == MAP_FAILED || RUN_TESTS_IN_DIRECTORY (tests);
}
