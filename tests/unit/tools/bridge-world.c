/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A kernel, queues and a server for nullblk-ublk; see bridge-world.h.
 */

#include <config.h>

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ublk/link.h"
#include "ublk/queue.h"
#include "ublk/reconnect.h"
#include "ublk/export.h"
#include "bridge-world.h"
#include "command-ring.h"
#include "records.h"
#include "wrapped-open.h"

/*---------------------------------------------------------------------*/
/* The kernel, which both processes see */

struct kernel *kernel;

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
    kernel->told++;
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
path_in_place_of (const char *path, int flags)
{
  (void) flags;
  if (strcmp (path, "/dev/ublk-control") == 0 && kernel->has_driver)
    return "/dev/null";
  if (begins_with (path, "/dev/ublkc") && kernel->has_device)
    return "/dev/null";
  if (begins_with (path, "/dev/ublkb") && kernel->opens_badly)
    return "/dev/null/no-directory";
  if (begins_with (path, "/dev/ublkb") && kernel->can_be_held)
    return "/proc/self/exe";
  errno = ENOENT;
  return begins_with (path, "/dev/ublk") ? NULL : path;
}

/* A look that fails, as with EACCES, is not repeated. */
int __real_users_find (const char *name, pid_t aide);
int __wrap_users_find (const char *name, pid_t aide);
int
__wrap_users_find (const char *name, pid_t aide)
{
  assert_string_equal (name, "ublkb4095");
  kernel->looks++;
  if (kernel->looks == kernel->written_at)
    kernel->writes++;
  return kernel->opened_after != 0 && kernel->looks > kernel->opened_after
             ? -EACCES
             : __real_users_find (name, aide);
}

/* Another process looks: where one closes the file, it loses its locks. */
bool
is_aide (pid_t pid)
{
  struct device_record r;
  bool is_dead;
  pid_t child;
  int status;

  child = fork ();
  if (child == 0)
    _exit (device_record_open (&r, kernel->info.cookie, &is_dead) < 0 ||
           device_record_aide (&r) != pid);
  return child != -1 && waitpid (child, &status, 0) == child && status == 0;
}

/* The aide looks for records here, too. */
int __real_chdir (const char *path);
int __wrap_chdir (const char *path);
int
__wrap_chdir (const char *path)
{
  return strcmp (path, "/") == 0 ? 0 : __real_chdir (path);
}

int __real_fsync (int fd);
int __wrap_fsync (int fd);
int
__wrap_fsync (int fd)
{
  assert_int_not_equal (fd, -1);
  kernel->flushed_by_aide = is_aide (getpid ());
  kernel->told_before_flush = kernel->told;
  kernel->flushes++;
  if (kernel->flushes <= kernel->writes_during)
    kernel->writes++;
  errno = kernel->flushes > kernel->writes_during ? kernel->flush_errno : 0;
  return errno == 0 ? 0 : -1;
}

int __wrap_sync_file_range (int fd, off_t offset, off_t n, unsigned flags);
int
__wrap_sync_file_range (int fd, off_t offset, off_t n, unsigned flags)
{
  assert_int_not_equal (fd, -1);
  assert_true (offset == 0 && n == 0 && flags != 0);
  if (kernel->failing_syncs == 0)
    return 0;
  kernel->failing_syncs--;
  errno = EIO;
  return -1;
}

/* The files `stat` and `dev` of the device in /sys. */
FILE *__real_fopen (const char *path, const char *mode);
FILE *__wrap_fopen (const char *path, const char *mode);
FILE *
__wrap_fopen (const char *path, const char *mode)
{
  static char text[128];

  if (kernel->is_going && strcmp (path, "/sys/block/ublkb4095/dev") == 0) {
    errno = ENODEV;
    return NULL;
  }
  if (strcmp (path, "/sys/block/ublkb4095/stat") != 0)
    return __real_fopen (path, mode);
  snprintf (text, sizeof text, "9 8 7 6 %u 5 %u 3 2 1 0 9 8 7 6 5 4\n",
            kernel->writes + kernel->flushes, 8 * kernel->writes);
  return fmemopen (text, strlen (text), "r");
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

/* A test need not lock its memory. */
int __wrap_mlockall (int flags);
int
__wrap_mlockall (int flags)
{
  (void) flags;
  return 0;
}

long cpus;

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

enum fetching fetching;
unsigned most_queues;
bool can_reconnect;
bool has_queues;
unsigned away, full, moved;
int open_exports;
uint64_t peer, size;

static bool has_zones;
static struct zone_descriptor table[NR_ZONES];

/* The address of each stands for a queue. */
static const struct ublk_device *devices[MAX_QUEUES];

struct queue *
queue_start (const struct ublk_device *device, unsigned index,
             struct queue_connections *connections, struct message *m)
{
  (void) connections;
  message_set (m, "queue %u: no memory", index);
  if (index >= most_queues)
    return NULL;
  devices[index] = device;
  return (struct queue *) &devices[index];
}

/* The queue ends at once, which the bridge sees only when it stops the device.
 */
bool
queue_fetch (struct queue *q, struct message *m)
{
  const struct ublk_device *device = *(const struct ublk_device **) q;

  (void) m;
  if (fetching == DIES_BEFORE)
    _exit (0);
  if (device->journal != NULL)
    journal_queue_fetches (device->journal);
  if (fetching == DIES_MEANWHILE)
    _exit (0);
  if (device->journal != NULL)
    journal_queue_has_fetched (device->journal);
  assert_int_equal (eventfd_write (device->ended, 1), 0);
  return true;
}

void
queue_join (struct queue *q)
{
  assert_non_null (*(const struct ublk_device **) q);
  *(const struct ublk_device **) q = NULL;
}

void
queue_give_up (struct queue *q)
{
  assert_non_null (*(const struct ublk_device **) q);
}

unsigned
queues (void)
{
  unsigned i, n = 0;

  for (i = 0; i < MAX_QUEUES; i++)
    n += devices[i] != NULL;
  return n;
}

struct reconnector *
reconnector_start (const struct export *export, struct queue *const *queues,
                   unsigned count, int disconnected)
{
  (void) export;
  (void) queues;
  (void) count;
  (void) disconnected;
  errno = EAGAIN;
  return can_reconnect ? (struct reconnector *) kernel : NULL;
}

void
reconnector_stop (struct reconnector *r)
{
  assert_true (r == NULL || (struct kernel *) r == kernel);
}

int
export_open (struct export *e, const char *uri, enum zones_wanted zones,
             struct message *m)
{
  unsigned i;

  (void) zones;
  message_set (m, "the server is away");
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
  open_exports++;
  e->uri = uri;
  e->peer = moved > 0 ? 2 : peer;
  moved -= moved > 0;
  e->plan_export = (struct plan_export){
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
export_connect (const struct export *e, struct queue_connections *c,
                struct message *m)
{
  (void) e;
  assert_true (has_queues);
  memset (c, 0, sizeof *c);
  message_set (m, "the server takes no more connections");
  if (full > 0) {
    full--;
    return -EIO;
  }
  return 0;
}

void
export_disconnect (struct queue_connections *c)
{
  (void) c;
}

void
export_close (struct export *e)
{
  (void) e;
  open_exports--;
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
/* What tests call */

struct message why;
enum bridge_failure failure;
struct bridge *bridge, *kept;

void
share_kernel (void)
{
  kernel = mmap (NULL, sizeof *kernel, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must (kernel != MAP_FAILED, "mmap");
}

void
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
  away = full = moved = open_exports = 0;
  cpus = 4;
  peer = 1;
  most_queues = MAX_QUEUES;
  can_reconnect = true;
}

void
refuse (enum command command, int result, unsigned times)
{
  kernel->refusals[command].result = result;
  kernel->refusals[command].times = times;
}

void
open_bridge_of (const struct bridge_options *o)
{
  bridge = bridge_open (o, &failure, &why);
  if (bridge == NULL)
    fail_msg ("%s", why.text);
  assert_string_equal (bridge_name (bridge), "ublkb4095");
  assert_int_equal (records (), 1);
}

void
close_bridge (enum bridge_end how)
{
  assert_int_equal (bridge_close (bridge, &why), how);
}

void
were_asked (const enum command *commands)
{
  unsigned i;

  for (i = 0; commands[i] != 0; i++) {
    assert_true (i < kernel->nr_asked);
    assert_int_equal (kernel->asked[i], commands[i]);
  }
  assert_int_equal (kernel->nr_asked, i);
}
