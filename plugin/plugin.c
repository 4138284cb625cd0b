/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nbdkit's callbacks: the only file that includes nbdkit's header.  It takes
 * the command line into struct params, hands each request to the device of the
 * connection, and tells nbdkit the error of a request that has failed.  A
 * handle of nbdkit's is a struct connection: to a device's data or, where it
 * has a struct control, to one of the device's control exports.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
/* The most parallel thread model that .thread_model may return. */
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#include <nbdkit-plugin.h>

#include "batch/batch.h"
#include "common/common.h"
#include "control/control.h"
#include "device/device.h"
#include "settings/settings.h"
#include "store/store.h"
#include "ublk/ublk.h"

/* nbdkit refuses a read or write of more than this. */
#define MAX_IO_SIZE (UINT32_C (64) << 20)

/* How many extents are reported at once at most: nbdkit sends each by itself
 * and a client asks again for the rest.
 */
#define MAX_EXTENTS 4096

static struct params params;
static struct devices *devices;    /* from .get_ready to .unload */
static struct ublk *block_devices; /* from .get_ready to .cleanup, or NULL */

/*---------------------------------------------------------------------*/
/* Start and end */

static void
nullblk_load (void)
{
  params_init (&params);
}

static void
nullblk_unload (void)
{
  struct message why;

  /* Where nbdkit ends before it serves it does not call .cleanup. */
  ublk_end (block_devices);
  if (devices != NULL) {
    if (devices_close_logs (devices, &why) < 0)
      nbdkit_error ("%s", why.text);
    devices_destroy (devices);
  }
  params_clear (&params);
}

static void
nullblk_dump_plugin (void)
{
  printf ("nullblk_null=yes\n");
  printf ("nullblk_memory_backed=yes\n");
  printf ("nullblk_memory_limit=yes\n");
  printf ("nullblk_hugepages=%s\n", machine_has_hugepages ("") ? "yes" : "no");
  printf ("nullblk_discard=yes\n");
  printf ("nullblk_devices=yes\n");
  printf ("nullblk_parallel=yes\n");
  printf ("nullblk_control=yes\n");
  printf ("nullblk_latency=yes\n");
  printf ("nullblk_lanes=yes\n");
  printf ("nullblk_stall=yes\n");
  printf ("nullblk_throttle=yes\n");
  printf ("nullblk_profile=yes\n");
  printf ("nullblk_model=yes\n");
  printf ("nullblk_zoned=yes\n");
  printf ("nullblk_cache=yes\n");
  printf ("nullblk_power=yes\n");
  printf ("nullblk_write_log=yes\n");
  printf ("nullblk_badblocks=yes\n");
  printf ("nullblk_fault=yes\n");
  printf ("nullblk_ublk=%s\n", ublk_is_built () ? "yes" : "no");
#if HAVE_DECL_NBDKIT_DISCONNECT
  printf ("nullblk_disconnect=yes\n");
#else
  printf ("nullblk_disconnect=no\n");
#endif
}

static int
nullblk_config (const char *key, const char *value)
{
  struct message why;

  message_set (&why, "%s: %s", key, strerror (ENOMEM));
  if (params_set (&params, key, value, &why) < 0) {
    nbdkit_error ("%s", why.text);
    return -1;
  }
  return 0;
}

static int
nullblk_config_complete (void)
{
  const struct settings *s = &params.settings;
  struct message why;

  message_set (&why, "%s", strerror (ENOMEM));
  if (params_complete (
          &params, machine_memory (""), arena_max_limit_here (s->hugepages),
          arena_unit (s->hugepages, sysconf (_SC_PAGESIZE)), &why) < 0) {
    nbdkit_error ("%s", why.text);
    return -1;
  }
  if (control_check_filters (s, &why) < 0) {
    nbdkit_error ("%s", why.text);
    return -1;
  }
  if (params_hint (&params, &why))
    nbdkit_error ("warning: %s", why.text);
  if (s->memory_backed && s->hugepages && !machine_has_hugepages ("")) {
    nbdkit_error ("hugepages=true: this kernel gives no transparent huge "
                  "pages; see /sys/kernel/mm/transparent_hugepage/enabled");
    return -1;
  }
  return 0;
}

static bool
writes_may_be_early (void)
{
  const struct zone_settings *zones = &params.settings.zones;

  return zones->zoned && zones->reorder_wait != 0;
}

/* Are the requests of a connection to be served in parallel?  Where no request
 * waits, or those that wait need no thread, handing a connection's requests to
 * other threads only costs; clients scale by connections.  A write that comes
 * early to its zone waits for another, which may be the next of its connection.
 * With --dump-plugin this is called before the parameters are complete.
 */
static bool
is_parallel (void)
{
  switch (params.settings.parallel) {
  case PARALLEL_ON:
    return true;
  case PARALLEL_AUTO:
    return params_have_hang_rule (&params) ||
           ((params_delay_requests (&params) || writes_may_be_early ()) &&
            batch_plugin_depth (&params.settings) == 0);
  default:
    return false;
  }
}

static int
nullblk_thread_model (void)
{
  return is_parallel () ? NBDKIT_THREAD_MODEL_PARALLEL
                        : NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS;
}

/* Say why devices_create has failed. */
static void
report_no_devices (const struct settings *s, int r)
{
  const uint64_t largest = arena_max_limit_here (s->hugepages);
  char limit[32], most[32];

  size_format (s->memory_limit, limit, sizeof limit);
  size_format (largest, most, sizeof most);
  errno = -r;
  if (s->memory_backed && s->memory_limit > largest)
    nbdkit_error ("cannot make the devices: %m; memory-limit=%s is more than "
                  "the %s that fit into the address space that this process "
                  "may have (ulimit -v)",
                  limit, most);
  else
    nbdkit_error ("cannot make the devices: %m");
}

/* See wait_ops.sleep_for: nbdkit ends the sleep when the connection or the
 * server goes away.
 */
static int
nap (void *opaque, uint64_t nsec)
{
  (void) opaque;
  return nbdkit_nanosleep (nsec / NSEC_PER_SEC, nsec % NSEC_PER_SEC) == 0
             ? 0
             : -ESHUTDOWN;
}

#if HAVE_DECL_NBDKIT_DISCONNECT
static void
disconnect (void)
{
  nbdkit_disconnect (1);
}
#endif

/* See front_end.client_id.  A local client is a process of a user, any other
 * an address.
 */
static uint64_t
client_id (void)
{
  union {
    struct sockaddr_storage address;
    unsigned char bytes[sizeof (struct sockaddr_storage)];
  } peer = {0};
  socklen_t len = sizeof peer.address, i;
  uint64_t r = 0;

  if (nbdkit_peer_name ((struct sockaddr *) &peer.address, &len) == -1)
    return 0;
  if (peer.address.ss_family == AF_UNIX)
    return (uint64_t) nbdkit_peer_pid () << 32 | (uint32_t) nbdkit_peer_uid ();
  for (i = 0; i < len && i < sizeof peer.bytes; i++)
    r = r * 1099511628211 + peer.bytes[i];
  return r;
}

/* Say in the log, once, that memory-limit was met. */
static void
report_full (struct device *d)
{
  static atomic_flag reported = ATOMIC_FLAG_INIT;
  struct settings_version *version;
  char limit[32];

  if (atomic_flag_test_and_set (&reported))
    return;
  version = device_hold_settings (d);
  size_format (version->s.memory_limit, limit, sizeof limit);
  device_drop_settings (d, version);
  nbdkit_error ("%s: memory-limit=%s is reached, or the system gives no more "
                "memory; writes that need more fail with ENOSPC (said once)",
                d->name, limit);
}

/* Say in the log, once for each device, that its write log has ended. */
static void
report_end_of_log (struct device *d)
{
  struct writelog_status s;

  if (d->log == NULL)
    return;
  writelog_status (d->log, &s);
  if (s.error == 0 || atomic_exchange (&d->is_end_of_log_told, true))
    return;
  errno = -s.error;
  nbdkit_error ("%s: the write log ends after %" PRIu64 " entries: %m; changes "
                "are not logged from now on (said once)",
                d->name, s.entries);
}

/* A request to D has failed with R: is that worth a line in the log? */
static void
report (struct device *d, int r)
{
  /* Limits on zones give ENOSPC, too. */
  if (r == -ENOSPC &&
      atomic_load_explicit (&d->enospc_seen, memory_order_relaxed))
    report_full (d);
  if (r == -EIO)
    report_end_of_log (d);
}

/* See wait_ops.may_nap_seldom.  The replies that a thread has deferred are sent
 * in the naps of its own request: so a thread that has deferred replies naps
 * often.
 */
static bool
naps_seldom (void)
{
  return !batch_plugin_has_deferred ();
}

static int
nullblk_get_ready (void)
{
  const struct settings *s = &params.settings;
  const struct front_end front_end = {
    .wait = {.sleep_for = nap, .may_nap_seldom = naps_seldom},
    .client_id = client_id,
    .report = report,
    .may_be_parallel = is_parallel (),
#if HAVE_DECL_NBDKIT_DISCONNECT
    .disconnect = disconnect,
#endif
  };
  struct message why;
  char setting[MAX_SETTING];
  size_t i;
  int r;

  for (i = 0; params_print (s, i, setting, sizeof setting); i++)
    nbdkit_debug ("%s", setting);

  r = devices_create (&devices, s, machine_memory (""),
                      arena_unit (s->hugepages, sysconf (_SC_PAGESIZE)),
                      &front_end);
  if (r < 0) {
    report_no_devices (s, r);
    return -1;
  }
  message_set (&why, "%s", strerror (ENOMEM));
  if (devices_check_power_off_reply (devices, s, &why) < 0 ||
      devices_add_faults (devices, params.badblocks, params.faults, &why) < 0) {
    nbdkit_error ("%s", why.text);
    return -1;
  }
  if (s->write_log[0] != '\0') {
    /* A write beyond the limit of file sizes fails, and kills nobody. */
    signal (SIGXFSZ, SIG_IGN);
    if (devices_open_logs (devices, &why) < 0) {
      nbdkit_error ("%s", why.text);
      return -1;
    }
  }
  batch_plugin_find (devices);
  batch_plugin_tell (devices);
  if (s->ublk) {
    block_devices = ublk_prepare (devices, report, &why);
    if (block_devices == NULL) {
      nbdkit_error ("ublk=true: %s", why.text);
      return -1;
    }
    if (why.text[0] != '\0')
      nbdkit_error ("ublk=true: %s", why.text);
  }
  return 0;
}

static bool
is_ending (void)
{
  return nap (NULL, 0) < 0;
}

/* The server has its sockets, and is the process that it will be; there may be
 * threads.  Once the kernel has taken the block devices the server will serve,
 * and only then are the logs of the server before this one given up.  (A write
 * of the kernel's that is faster does that for its log.)  A file that cannot be
 * emptied is as one that cannot be written later: to end now would leave a
 * command of --run waiting for good.
 */
static int
nullblk_after_fork (void)
{
  struct message why;
  uint32_t i;

  if (block_devices != NULL &&
      ublk_serve (block_devices, is_ending, &why) < 0) {
    nbdkit_error ("ublk=true: %s", why.text);
    return -1;
  }
  if (devices_start_logs (devices, &why) < 0)
    nbdkit_error ("%s", why.text);
  if (block_devices == NULL)
    return 0;
  for (i = 0; i < devices->count; i++)
    nbdkit_debug ("%s is %s", devices->device[i].name,
                  devices->device[i].block_device);
  return 0;
}

/* The sockets of all connections are closed.  Those that were open when nbdkit
 * was told to end have not been given to nullblk_close.
 */
static void
nullblk_cleanup (void)
{
  ublk_end (block_devices);
  block_devices = NULL;
}

/*---------------------------------------------------------------------*/
/* Exports */

/* May this client see and use the control exports?  Over a Unix socket the
 * kernel tells the client's user; for any other socket nbdkit would print an
 * error if asked for that.
 */
static bool
may_control (void)
{
  struct sockaddr_storage address;
  socklen_t len = sizeof address;
  int64_t uid;

  switch (params.settings.control) {
  case CONTROL_ANY:
    return true;
  case CONTROL_LOCAL:
    if (nbdkit_peer_name ((struct sockaddr *) &address, &len) == -1 ||
        address.ss_family != AF_UNIX)
      return false;
    uid = nbdkit_peer_uid ();
    return uid == 0 || uid == (int64_t) geteuid ();
  default:
    return false;
  }
}

static int
list_control_exports (struct nbdkit_exports *exports)
{
  char name[32], description[128];
  const struct device *d;
  uint32_t i;
  unsigned k;

  for (i = 0; i < devices->count; i++) {
    d = &devices->device[i];
    for (k = 0; k < NR_DOCUMENTS; k++) {
      if (!control_exists (d, k))
        continue;
      snprintf (name, sizeof name, "%s%s", d->name, document_suffix[k]);
      snprintf (description, sizeof description, "%s of %s", document_title[k],
                d->name);
      if (nbdkit_add_export (exports, name, description) == -1)
        return -1;
    }
  }
  return 0;
}

static int
nullblk_list_exports (int readonly, int is_tls, struct nbdkit_exports *exports)
{
  char description[128];
  uint32_t i;

  (void) readonly;
  (void) is_tls;
  for (i = 0; i < devices->count; i++) {
    device_describe (&devices->device[i], description, sizeof description);
    if (nbdkit_add_export (exports, devices->device[i].name, description) == -1)
      return -1;
  }
  return may_control () ? list_control_exports (exports) : 0;
}

static const char *
nullblk_default_export (int readonly, int is_tls)
{
  (void) readonly;
  (void) is_tls;
  return devices->device[0].name;
}

/* The connection that this thread has opened last. */
static _Thread_local const struct connection *opened;

static void *
nullblk_open (int readonly)
{
  const char *name = nbdkit_export_name ();
  struct connection *c;
  struct message why;
  int r;

  (void) readonly;
  if (name == NULL)
    return NULL;
  r = control_connect (devices, name, may_control (), &c);
  if (r == 0) {
    opened = c;
    return c;
  }
  if (r == -ENOENT)
    message_set (&why, "unknown export '%.80s'; there are nullb0 to nullb%u",
                 name, devices->count - 1);
  else
    message_set (&why, "%.80s: no memory for a connection", name);
  nbdkit_error ("%s", why.text);
  return NULL;
}

static void
nullblk_close (void *handle)
{
  batch_plugin_close ();
  device_disconnect (handle);
}

static const char *
nullblk_export_description (void *handle)
{
  const struct connection *c = handle;
  char description[128];

  if (control_of (c) != NULL)
    snprintf (description, sizeof description, "%s of %s",
              document_title[control_document (control_of (c))],
              c->device->name);
  else
    device_describe (c->device, description, sizeof description);
  return nbdkit_strdup_intern (description);
}

/*---------------------------------------------------------------------*/
/* Abilities of an export */

static int64_t
nullblk_get_size (void *handle)
{
  const struct connection *c = handle;

  if (control_of (c) != NULL)
    return control_size (control_of (c));
  return devices->settings.size;
}

static int
nullblk_block_size (void *handle, uint32_t *minimum, uint32_t *preferred,
                    uint32_t *maximum)
{
  const struct connection *c = handle;

  if (control_of (c) != NULL) {
    *minimum = control_block_size (control_of (c));
    *preferred = 4096;
  }
  else {
    *minimum = devices->settings.block_size;
    *preferred = devices->settings.physical_block_size;
  }
  *maximum = MAX_IO_SIZE;
  return 0;
}

static int
nullblk_can_write (void *handle)
{
  const struct connection *c = handle;

  if (control_of (c) != NULL)
    return control_can_write (control_of (c));
  return !device_is_read_only (c->device);
}

static int
nullblk_is_rotational (void *handle)
{
  const struct connection *c = handle;

  return control_of (c) == NULL && devices->settings.rotational;
}

static int
nullblk_can_trim (void *handle)
{
  const struct connection *c = handle;

  return control_of (c) == NULL && device_can_discard (c->device);
}

/* For abilities that only a device's data has.  (Where an export has no zeroes,
 * nbdkit makes a write of them.)
 */
static int
is_data (void *handle)
{
  const struct connection *c = handle;

  return control_of (c) == NULL;
}

static int
always (void *handle)
{
  (void) handle;
  return 1;
}

static int
nullblk_can_cache (void *handle)
{
  return is_data (handle) ? NBDKIT_CACHE_NATIVE : NBDKIT_CACHE_NONE;
}

static int
nullblk_can_fua (void *handle)
{
  return is_data (handle) && devices->settings.fua ? NBDKIT_FUA_NATIVE
                                                   : NBDKIT_FUA_NONE;
}

/*---------------------------------------------------------------------*/
/* Requests */

/* Return from a callback with R, 0 or a negative errno.  nbdkit sends EIO
 * unless told, and a message for every bad request would let a client fill
 * the log: it is for -v.
 */
static int
set_nbd_error (void *handle, const char *request, uint32_t count,
               uint64_t offset, int r)
{
  struct device *d = ((struct connection *) handle)->device;

  if (r == 0)
    return 0;
  report (d, r);
  errno = -r;
  nbdkit_debug ("%s: %s count=%" PRIu32 " offset=%" PRIu64 ": %m", d->name,
                request, count, offset);
  nbdkit_set_error (-r);
  return -1;
}

/* Note it if requests of a connection are serialized.  nbdkit does not say what
 * -t and filters make of the thread model.  But where it serves a connection's
 * requests in parallel, none of them is served by the thread that has opened
 * the connection.
 */
static void
note_serial_service (const struct connection *c)
{
  if (opened == c)
    atomic_store (&devices->front_end.seen_serial, true);
}

/* Whether the client may read is asked with each request, and not only when the
 * export is opened: nbdkit's filter openonce opens an export once for all
 * clients.
 */
static int
read_control (struct connection *c, void *buf, uint32_t count, uint64_t offset)
{
  if (!may_control ())
    return -EPERM;
  note_serial_service (c);
  batch_plugin_before_wait ();
  return control_read (c, buf, count, offset);
}

static int
read_device (struct connection *c, void *buf, uint32_t count, uint64_t offset)
{
  batch_plugin_offer (c, false, count, offset);
  return device_read (c, buf, count, offset);
}

static int
nullblk_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
               uint32_t flags)
{
  struct connection *c = handle;

  assert (flags == 0);
  (void) flags;
  return set_nbd_error (c, "read", count, offset,
                        control_of (c) != NULL
                            ? read_control (c, buf, count, offset)
                            : read_device (c, buf, count, offset));
}

/* The reason of each refusal goes to nbdkit's error log: a client that may
 * control the server may also fill that.
 */
static int
write_control (struct connection *c, const void *buf, uint32_t count,
               uint64_t offset)
{
  struct message why;
  int r;

  if (!may_control ())
    return -EPERM;
  batch_plugin_before_wait ();
  r = control_write (c, buf, count, offset, &why);
  if (r < 0)
    nbdkit_error ("%s%s: refused: %s", c->device->name,
                  document_suffix[control_document (control_of (c))], why.text);
  else if (control_document (control_of (c)) == DOCUMENT_CONFIG) {
    /* Only a change of .config changes whether requests wait. */
    batch_plugin_tell (devices);
    report_end_of_log (c->device); /* at a power cut */
  }
  return r;
}

static int
write_device (struct connection *c, const void *buf, uint32_t count,
              uint64_t offset, bool fua)
{
  batch_plugin_offer (c, true, count, offset);
  return device_write (c, batch_plugin_payload (buf, count), count, offset,
                       fua);
}

static int
nullblk_pwrite (void *handle, const void *buf, uint32_t count, uint64_t offset,
                uint32_t flags)
{
  struct connection *c = handle;

  assert ((flags & ~NBDKIT_FLAG_FUA) == 0);
  /* control_write reads structs from the buffer, so it gets nbdkit's, which is
   * aligned.
   */
  return set_nbd_error (c, "write", count, offset,
                        control_of (c) != NULL
                            ? write_control (c, buf, count, offset)
                            : write_device (c, buf, count, offset,
                                            (flags & NBDKIT_FLAG_FUA) != 0));
}

/* No data crosses, and pages without data are not touched: as a rule a zero is
 * faster than a write, so FAST_ZERO is never refused.
 */
static int
nullblk_zero (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  assert ((flags & ~(NBDKIT_FLAG_FUA | NBDKIT_FLAG_MAY_TRIM |
                     NBDKIT_FLAG_FAST_ZERO)) == 0);
  return set_nbd_error (handle, "zero", count, offset,
                        device_zero (handle, count, offset,
                                     (flags & NBDKIT_FLAG_MAY_TRIM) != 0,
                                     (flags & NBDKIT_FLAG_FUA) != 0));
}

static int
nullblk_trim (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  assert ((flags & ~NBDKIT_FLAG_FUA) == 0);
  return set_nbd_error (
      handle, "trim", count, offset,
      device_trim (handle, count, offset, (flags & NBDKIT_FLAG_FUA) != 0));
}

/* A change that is written to a control export is done when the write is
 * answered, so that there is nothing to flush.  The export takes flushes all
 * the same: without them nbdcopy --flush fails at its end, and nbdkit's
 * multi-conn filter does not open it.
 */
static int
nullblk_flush (void *handle, uint32_t flags)
{
  struct connection *c = handle;

  assert (flags == 0);
  (void) flags;
  return set_nbd_error (c, "flush", 0, 0,
                        control_of (c) != NULL ? 0 : device_flush (c));
}

static int
nullblk_cache (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  assert (flags == 0);
  (void) flags;
  return set_nbd_error (handle, "cache", count, offset,
                        device_cache (handle, count, offset));
}

/* An extent past the end of the request would be clipped by nbdkit, but not
 * safely by all versions; device_extent never gives one.
 */
static int
nullblk_extents (void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                 struct nbdkit_extents *extents)
{
  static const uint32_t types[] = {
      [EXTENT_DATA] = 0,
      [EXTENT_ZERO] = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO,
      [EXTENT_HOLE] = NBDKIT_EXTENT_HOLE,
  };
  const unsigned most = flags & NBDKIT_FLAG_REQ_ONE ? 1 : MAX_EXTENTS;
  const uint64_t end = offset + count;
  uint64_t run_end;
  unsigned i;
  enum extent extent;
  int r;

  assert ((flags & ~NBDKIT_FLAG_REQ_ONE) == 0);
  for (i = 0; i < most && offset < end; i++) {
    r = device_extent (handle, end - offset, offset, &extent, &run_end);
    if (r < 0)
      return set_nbd_error (handle, "extents", count, offset, r);
    if (nbdkit_add_extent (extents, offset, run_end - offset, types[extent]) ==
        -1)
      return -1;
    offset = run_end;
  }
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "nullblk",
    .longname = "nullblk: null and RAM-backed block device",
    .version = PACKAGE_VERSION,
    .description = "Linux's null_blk for user space and for the network",
    .load = nullblk_load,
    .unload = nullblk_unload,
    .config = nullblk_config,
    .config_complete = nullblk_config_complete,
    .config_help = params_help,
    .magic_config_key = "size",
    .dump_plugin = nullblk_dump_plugin,
    .thread_model = nullblk_thread_model,
    .get_ready = nullblk_get_ready,
    .after_fork = nullblk_after_fork,
    .cleanup = nullblk_cleanup,
    .list_exports = nullblk_list_exports,
    .default_export = nullblk_default_export,
    .open = nullblk_open,
    .close = nullblk_close,
    .export_description = nullblk_export_description,
    .get_size = nullblk_get_size,
    .block_size = nullblk_block_size,
    .can_write = nullblk_can_write,
    .can_flush = always,
    .is_rotational = nullblk_is_rotational,
    .can_trim = nullblk_can_trim,
    .can_zero = is_data,
    .can_fast_zero = always,
    .can_fua = nullblk_can_fua,
    .can_cache = nullblk_can_cache,
    .can_extents = is_data,
    .can_multi_conn = is_data,
    .pread = nullblk_pread,
    .pwrite = nullblk_pwrite,
    .zero = nullblk_zero,
    .trim = nullblk_trim,
    .flush = nullblk_flush,
    .cache = nullblk_cache,
    .extents = nullblk_extents,
};

/* nbdkit's macro defines it without having declared it. */
struct nbdkit_plugin *plugin_init (void);

NBDKIT_REGISTER_PLUGIN (plugin)
