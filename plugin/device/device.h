/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The devices of a server, the connections to them, and the path of a request
 * through one.  plugin.c, ublk/, control/ and batch-plugin.c call these, and
 * requests come from any number of threads.  nbdkit, or the kernel where a
 * request comes from there, has checked that offset and count lie within the
 * device, and that count is not 0 where a request has one.
 *
 * All sizes are in bytes.  Requests take as long as the settings say.  The
 * functions for them return 0 or a negative errno:
 *
 *     -EINVAL     offset or count is not a multiple of the block size
 *     -EROFS      a change to a read-only device
 *     -ENOSPC     memory-limit is in the way, or the system gives no memory
 *     -ENOMEM     a rule corrupts a write, and there is no memory for a copy;
 *                 or there is none for a new list of bad blocks, see below
 *     -EIO        bad blocks, or the write log cannot be written
 *     -ESHUTDOWN  see below
 *
 * and what zones.h says of zones, and the errors that fault rules ask for.
 *
 * A request that fails has changed nothing, with these exceptions:
 *
 *   - A write may have opened its zone, and closed another one to make room.
 *   - A write across zones has written the zones before that where it failed.
 *   - Blocks before the first bad one may have been written or trimmed.
 *   - A change to the middle of a range of bad blocks makes a new list of them
 *     (badblocks-mend).  When there is no memory for that, the change gets
 *     -ENOMEM and is there, and its blocks stay bad.
 *   - Of several zone commands those before the one that failed are done, and
 *     a trim or a reset of several zones may have reset some of them.
 *   - When the write log cannot be written, the first request of its device
 *     that meets this gets -EIO, and its change may be there.  Those after it
 *     succeed, and are not logged.
 *   - When the system gives less memory than it said, of a long write that gets
 *     -ENOSPC a part may be there.
 *   - When the connection or the server goes away, a request that waits gets
 *     -ESHUTDOWN.  It was done, unless it was still waiting for its zone, or
 *     hung by a rule.
 *   - When power goes off under a request, the request gets -ESHUTDOWN; its
 *     change may be there, or a part of it.
 *   - If the function that gives the data of a write (device_write_from) fails,
 *     the write fails, and what it was to change may be zero.
 *
 * While power is off every request that begins gets -ESHUTDOWN, and changes
 * nothing.  power-off-reply=disconnect drops the client of such a request, and
 * the client of a request under which power went off.
 *
 *   devices ──> device ──> settings, a version that never changes; a live
 *                 │        change puts another in its place
 *                 │            ^
 *                 └──> connection: the version that its requests use, their
 *                      number, and what it has counted
 */

#ifndef NULLBLK_DEVICE_H
#define NULLBLK_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/common.h"
#include "faults/faults.h"
#include "power/power.h"
#include "settings/settings.h"
#include "stats.h"
#include "store/store.h"
#include "timing/timing.h"
#include "zones/zones.h"

#define LOG_BUFFER MAX_BLOCK_SIZE

/* Settings as they were from one change to the next. */
struct settings_version {
  struct settings s; /* owns what it refers to */
  uint32_t users;    /* guarded by devices.settings_lock */
};

/* One device.
 *
 * The order of all locks outside of batch/: control.lock, devices.change_lock,
 * device.power_switch, device.power_lock, devices.lock, connection.lock,
 * devices.settings_lock, those of zones (zones.c), that of the write log, that
 * of durability, and the store's: backlog.reclaiming, the stripes in ascending
 * order, and its small ones (store-internal.h).  badblocks.change_lock comes
 * before badblocks.lock and both of faults (lock and hang_lock); these,
 * stats_lock and latency.lock take no other.  Zones come before the write log
 * because an early write, which waits for its zone, must not hold the log's
 * lock.
 *
 * A request takes
 *
 *     connection       for a moment when it begins, when it ends, and before
 *                      and after each wait
 *     stats_lock       with the connection locked, in about one request of
 *                      some hundreds
 *     settings_lock    with the connection locked, if the settings have changed
 *     power_lock       if it has met a power cut, or ends with -ESHUTDOWN
 *     badblocks        if there are any; change_lock of badblocks, too, if it
 *                      makes some good (badblocks-mend) and its data has moved
 *     faults           if there are any rules
 *     latency          if the settings make requests depend on one another
 *     its zone's       if the zone is a sequential one: while its data moves,
 *                      or, where that takes long, before and after (zones.c)
 *     the write log's  while its data moves, if there is a log
 *     durability       while its data moves, if there is a cache or a power cut
 *                      is due at a write
 *     the store's      while its data moves
 *
 * and none of these while it hangs, is early in a zone, or waits for its
 * due time.  One that is done at once (device_read_at_once) keeps its
 * connection locked from its beginning to its end, and of the others takes only
 * stats_lock and the store's.
 *
 * The work that is done with a lock held has a bound, whatever the request is:
 *
 *     control                    making a text; only users of this one control
 *                                connection wait
 *     change_lock                a change, for which files may be read; only
 *                                those who change settings wait
 *     change_lock of badblocks   a copy of the list; only those who change it
 *                                wait, also requests that make bad blocks good
 *     power_switch               a cut; only those who switch power wait
 *     power_lock, devices.lock   a look at each connection, or adding the
 *                                NR_SAMPLES samples that each may have
 *     stats_lock                 counting NR_SAMPLES samples, or copying
 *                                histograms
 *     connection                 the same; or a request that is done at once,
 *                                which moves at most 32 KiB of data
 *     settings_lock              some words
 *     latency                    some words; with disk=, a look at the requests
 *                                that wait, for each decision that is due
 *     a zone's stripe            one step, of STORE_STEP bytes; a request that
 *                                takes longer, or writes to the log, has a
 *                                place in the list of claims, where only
 *                                requests to the same zone wait
 *     limits of zones            a bit for each zone; limits.open_lock also the
 *                                end of another zone's write (zones-limits.c)
 *     write log, durability      one step, of STORE_STEP bytes
 *     the store's stripes        the same
 *     a tree's of the store      two walks from the root to a leaf
 *     badblocks                  BADBLOCKS_PIECE ranges, or those that lie in
 *                                one request (badblocks.h has an exception)
 *     faults                     a look at each rule
 */
struct device {
  char name[16]; /* nullb0 and up */
  uint32_t number;
  struct devices *devices;
  struct store *store; /* shared by all devices; NULL in null mode */
  struct zones *zones; /* NULL where it is not zoned */
  struct durability *durability;
  struct writelog *log; /* or NULL */
  char *log_buffer;     /* LOG_BUFFER bytes, guarded by the log's lock */
  _Atomic (struct settings_version *) version; /* changed under settings_lock */
  struct badblocks badblocks;
  struct faults faults;

  /* See device-power.c. */
  pthread_mutex_t power_switch;
  pthread_mutex_t power_lock;
  pthread_cond_t all_quiesced; /* signalled when a request is quiesced
                                * without power */

  /* Guarded by devices.lock.  The list has the open connections; the last three
   * members are about closed ones, since statistics began: the largest counts,
   * and the sum of began_saturated.
   */
  struct connection *connections;
  uint64_t counting_since; /* when statistics began, clock_now */
  uint32_t in_flight_most;
  uint32_t places_most;
  uint64_t began_saturated;

  /* The counts of all connections, except what they have yet to add; NULL
   * before the first connection.  It is a mapping, so that only what is used of
   * it takes memory.
   */
  pthread_mutex_t stats_lock;
  struct stats *stats;

  atomic_bool enospc_seen; /* the store has refused a write or a zero */
  atomic_bool is_end_of_log_told;

  /* "/dev/ublkbN" where it is one, or ""; it does not change once there are
   * connections.
   */
  char block_device[32];

  /* Requests touch these only where the settings make them wait. */
  _Alignas(64) struct random random;
  struct latency_state latency;
};

/* The most bytes of a request that a front end copies, for its functions
 * `defer` and `set_aside`, and for `park`.
 */
#define MAX_REQUEST_COPY 384
#define MAX_PARKED_COPY 592

/* The functions that a connection calls in its front end, which brings its
 * requests: nbdkit, with the batch library or without, or ublk/.  The front end
 * fills the struct before there are connections: plugin.c and batch_plugin_find
 * do so for devices.front_end, and ublk.c for one of its own.  After that only
 * the two atomic flags change.
 *
 * All functions but `hasten` are called on a thread that serves the connection,
 * and that holds no lock of a device.  Each may be NULL where its comment says
 * so.
 */
struct front_end {
  /* How a wait is cut short when the client or the server goes away. */
  struct wait_ops wait;

  /* Drop the client whose request this thread serves; it gets no answer.  Locks
   * of the batch library may be held.  NULL: there is no way to.
   */
  void (*disconnect) (void);

  /* The moment (clock_now) at which the request arrived that this thread is
   * about to begin; 0 where it was just now.  NULL: that is not known.
   */
  uint64_t (*arrival) (void);

  /* The request that this thread serves is done, and its reply follows.  May it
   * be sent together with others, so that they all end at one moment?  Then
   * this returns true, and END is called with ARG by this thread when that
   * moment has come, once for all that have asked since.  END may take the
   * connection's lock.  NULL: each ends by itself.
   */
  bool (*before_reply) (void (*end) (void *arg), void *arg);

  /* Has nobody written to the N bytes at BUF since this thread last answered a
   * read with them, as zeroes?  Then the caller need not clear them.  A caller
   * that asks has to answer this read with zeroes, and clears the bytes where
   * the answer is false.  NULL: that is not known.
   */
  bool (*still_zero) (const void *buf, size_t n);

  /* The N bytes of data of a read are wanted at BUF.  Returns where the caller
   * is to put them: there, or at another place, from which they are sent.  The
   * caller puts all of them there before it waits for anything, and answers the
   * read with them or with an error.  NULL: at BUF.
   */
  void *(*answer_buffer) (void *buf, size_t n);

  /* Answer the request that this thread serves, with DATA bytes of data, at the
   * moment DUE_AT (clock_now), spinning for the last SPIN nanoseconds.  Just
   * before that, DUE is called with a copy of the SIZE bytes at REQUEST, at
   * most MAX_REQUEST_COPY, as a rule by the same thread.  On entry *MOMENT is
   * the present moment.  DUE returns 0; or a negative errno, with which the
   * request fails after all; or one of enum due_result.  GONE tells DUE that
   * the client or the server has gone; then it does not return DUE_AGAIN.
   * Returns false where the thread has to wait by itself.  NULL: the thread
   * always has to.
   */
  bool (*defer) (uint64_t due_at, uint64_t spin,
                 int (*due) (void *request, uint64_t *moment, bool gone),
                 const void *request, size_t size, size_t data);

  /* Returns a number of the client whose request this thread serves, which no
   * other client has at the same time.  NULL: a connection has one client.
   */
  uint64_t (*client_id) (void);

  /* Set a write aside that this thread serves, and answer it later.  The front
   * end copies the SIZE bytes at REQUEST, at most MAX_REQUEST_COPY, and the N
   * bytes at PAYLOAD.  A thread that serves the connection calls RETRY with
   * both copies once HASTEN was called for that copy of the request, or after
   * the moment UNTIL.  RETRY returns true when the write is over: then DUE is
   * called as for DEFER, at *moment, or at once if that has passed.  RETRY
   * returns false when the write still has to wait: then it is called again,
   * once HASTEN was called or after *moment.  Where the client or the server
   * goes away before, DUE is called, and RETRY is not.
   *
   * Returns the copy of the request, or NULL where the thread has to wait by
   * itself.  With a copy, the caller reports success; the front end keeps that
   * reply until DUE, which may make an error of it.  NULL: the thread always
   * has to wait by itself.
   *
   * HASTEN may be called on any thread, with locks of a device held, from
   * set_aside on until DUE is called or RETRY returns true.
   */
  void *(*set_aside) (uint64_t until, uint64_t spin,
                      bool (*retry) (void *request, const void *payload,
                                     uint64_t *moment),
                      int (*due) (void *request, uint64_t *moment, bool gone),
                      const void *request, size_t size, const void *payload,
                      size_t n);
  void (*hasten) (void *request);

  /* Keep a request that this thread serves, and that hangs, until HASTEN is
   * called for it, or the client or the server goes away; then a thread that
   * serves the connection calls device_resume_parked.  Returns a copy of the
   * SIZE bytes at REQUEST, at most MAX_PARKED_COPY, which stays where it is
   * until then.  HASTEN is as for set_aside.  Where there is this function,
   * device_zone_commands is called with one command at a time.  NULL: the
   * thread has to wait.
   */
  void *(*park) (const void *request, size_t size);

  /* Called when a request to D that was set aside has failed with R, so that
   * the front end can log that.  Locks of the batch library may be held.  NULL:
   * it is not called.
   */
  void (*report) (struct device *d, int r);

  uint32_t max_deferred;     /* replies that one connection may have deferred */
  bool may_be_parallel;      /* may its requests be served in parallel? */
  atomic_bool seen_serial;   /* they were seen to come one after the other */
  bool batch;                /* is socket I/O batched?  (batch/) */
  atomic_bool holds_replies; /* may a reply wait for the next request? */
};

/* All devices of a server, made from one command line. */
struct devices {
  struct waiter waiter;
  struct front_end front_end; /* for connections that have none of their own */

  /* The settings at the start; only the fields that cannot change live may be
   * read here.
   */
  struct settings settings;
  uint64_t machine_memory; /* as for params_complete */
  uint64_t arena_unit;
  uint64_t started;            /* clock_now */
  struct store *store;         /* NULL in null mode */
  struct durability_pool pool; /* of the caches of all devices */
  uint32_t count;
  struct device *device;

  pthread_mutex_t change_lock; /* held while settings are changed */
  pthread_mutex_t lock; /* guards the next member, and members of each device:
                         * see struct device */
  uint64_t last_connection; /* its number; they begin with 1 */
  pthread_mutex_t settings_lock;
};

/* A connection to an export of a device. */
struct connection {
  struct device *device;
  struct connection *next, **link; /* of the device; guarded by devices.lock */
  const struct front_end *front_end;

  /* The struct control of a connection to a control export, and how it is
   * freed; NULL where the connection is to data.
   */
  void *control;
  void (*free_control) (void *control);

  /* Guards all that follows.  Whoever serves the connection takes it as the
   * owner, and those who look at all connections visit it.
   */
  _Alignas(64) struct owned_lock lock;
  struct settings_version *version;
  uint64_t number;         /* it is the Nth connection that there ever was */
  uint32_t version_users;  /* requests in service that use this version */
  uint32_t in_flight;      /* requests that are not answered yet */
  uint32_t nr_quiesced;    /* those of them that are quiesced, see
                            * device-power.c */
  uint32_t in_flight_most; /* since statistics began */

  /* The next three count every request where the settings make requests wait,
   * and only early writes where nothing waits.  `places` is how many such
   * requests can wait at once: the threads that have served one, or
   * front_end.max_deferred where that is not 0.  A request that took the last
   * free place counts as began_saturated: requests after it may have had to
   * queue.  places_most and began_saturated are since statistics began.
   */
  uint32_t places;
  uint32_t places_most;
  uint64_t began_saturated;
  struct counts counts;
};
_Static_assert(sizeof (struct connection) <= 4096, "a connection is small");

/* MEMORY is what the machine can give, UNIT the least that memory mode takes at
 * a time, as for params_complete; FRONT_END is copied.  Returns 0, or -ENOMEM,
 * or what store_create fails with.
 */
int devices_create (struct devices **devices, const struct settings *settings,
                    uint64_t memory, uint64_t unit,
                    const struct front_end *front_end);

/* Give the devices the bad blocks and the fault rules of the command line,
 * before there are connections: each device gets a copy of those of RULES
 * that are for it.  Either may be NULL.  Returns 0, or -ENOMEM, or -EINVAL with
 * the reason in *why.
 */
int devices_add_faults (struct devices *devices,
                        const struct badblocks_change *badblocks,
                        const struct fault_rule *rules, struct message *why);

/* Open the write logs: write-log=FILE for one device, and FILE.nullbN for each
 * of several.  What is in the files stays: the server may still fail to start.
 * Returns 0, or what writelog_open fails with and the reason in *why.
 */
int devices_open_logs (struct devices *devices, struct message *why);

/* Begin the write logs, which empties their files, before nbdkit has
 * connections; requests of the kernel may come meanwhile.  Returns 0; or what
 * writelog_start fails with, and names in *why the first log that cannot be
 * begun: the first change of its device will fail.
 */
int devices_start_logs (struct devices *devices, struct message *why);

/* Close the write logs, when no request is in service.  Returns 0, or -EIO, and
 * names in *why the first log that is incomplete.
 */
int devices_close_logs (struct devices *devices, struct message *why);

/* Can this server do what new rules ask for?  Returns 0, or -EINVAL with *why.
 */
int devices_check_faults (const struct devices *devices,
                          const struct fault_rule *rules, struct message *why);

/* Can this server do what power-off-reply= of new settings asks for?  Returns
 * as devices_check_faults.
 */
int devices_check_power_off_reply (const struct devices *devices,
                                   const struct settings *s,
                                   struct message *why);

/* Free all devices, and their connections, which nbdkit does not close when the
 * server ends.
 */
void devices_destroy (struct devices *devices);

/* Returns the device of an export's name: "" is nullb0.  NULL if there is none.
 */
struct device *devices_find (struct devices *devices, const char *name);

/* Returns the settings in force, which stay as they are until the caller drops
 * them.
 */
struct settings_version *device_hold_settings (struct device *d);
void device_drop_settings (struct device *d, struct settings_version *version);

/* Is the device read-only, and does it offer trims, by the settings in force?
 */
bool device_is_read_only (struct device *d);
bool device_can_discard (struct device *d);

/* Does anything make its requests wait: its settings, or a fault rule? */
bool device_waits (struct device *d);

/* A change in two steps, so that only the first can fail: make a version (NULL
 * if there is no memory), and put it in the place of the one in force.
 * Requests that begin after that see all of the change, and those that began
 * before see nothing of it.  device_install is called with change_lock held,
 * and owns the version then.
 */
struct settings_version *settings_version_new (const struct settings *s);
void settings_version_free (struct settings_version *version);
void device_install (struct device *d, struct settings_version *version);

/* Begin the sequences of drawn numbers that the seed in force has. */
void device_seed (struct device *d);

/* Describe the device in a line, for a list of exports. */
void device_describe (struct device *d, char *buf, size_t len);

/* Connect FRONT_END, which outlives the connection, to the data of a device;
 * NULL: devices.front_end.  Returns NULL if there is no memory.
 */
struct connection *device_connect (struct device *d,
                                   const struct front_end *front_end);

/* Connect to a control export of a device.  CONTROL, which is not NULL, belongs
 * to the connection from then on, and is freed with it by FREE_CONTROL.
 * Statistics do not count such a connection, power that is off does not drop
 * it, and its thread waits by itself.
 */
struct connection *
device_connect_control (struct device *d, void *control,
                        void (*free_control) (void *control));

/* End a connection of which no request is in service. */
void device_disconnect (struct connection *c);

/* Cut the power, and put it back on.  A cut of power that is off, and switching
 * on power that is on, do nothing.  Otherwise, when either function returns, no
 * request that began before the cut will change anything any more: both wait
 * for requests whose data move, and the cut ends those that hang or are early.
 * device_cut_power_after cuts power at the Nth write or zero from now on, or
 * calls that off where N is 0.  Where SEED is 0, the cut has a seed that is
 * made of the settings' seed, the device's number and the number of cuts.
 */
void device_cut_power (struct device *d, enum lose lose, uint64_t seed);
void device_power_on (struct device *d);

/* As durability_status; of what is volatile only what is dirty in the
 * write-back buffer counts, where there is one.
 */
void device_power_status (struct device *d, struct durability_status *s);
void device_cut_power_after (struct device *d, uint64_t n, enum lose lose,
                             uint64_t seed);

/* Put a mark into the write log.  Returns 0; or -EINVAL where there is no log,
 * or TEXT is empty or too long for it, or -EIO where the log has ended or ends
 * here, and the reason in *why.  device_check_mark only checks, and writes no
 * mark.
 */
int device_check_mark (struct device *d, const char *text, struct message *why);
int device_mark (struct device *d, const char *text, struct message *why);

/* Sum up over all connections, or begin all counts anew.  devices.lock is held.
 */
struct device_stats {
  struct stats stats;
  uint32_t connections; /* open ones */
  uint32_t in_flight;
  uint32_t in_flight_most; /* of any one connection */
  uint32_t places;         /* the same */
  uint64_t began_saturated;
};
void device_stats (struct device *d, struct device_stats *sum);
void device_reset_stats (struct device *d);

/* What the functions below return for a request that hangs, and that
 * front_end.park has taken: nothing has been done for it yet, and
 * device_resume_parked does it later.
 */
#define DEVICE_PARKED 4

int device_read (struct connection *c, void *buf, uint32_t count,
                 uint64_t offset);

/* Do a read, or a write without FUA, at once, if nothing can keep it waiting or
 * refuse it: on a device without zones, faults and bad blocks, and, for a
 * write, without a log and a cache.  COUNT is not 0; apart from that, OFFSET
 * and COUNT are checked here.  Others wait for the connection's lock while the
 * data moves.  If device_reads_zeroes, BUF is left alone, and may be NULL.  The
 * request ends with others, as front_end.before_reply says.  Returns false if
 * it was not done, or power was cut under it, when its change may be there:
 * then it is not counted, and the caller has it done by device_read or
 * device_write.
 */
bool device_read_at_once (struct connection *c, void *buf, uint32_t count,
                          uint64_t offset);
bool device_write_at_once (struct connection *c, const void *buf,
                           uint32_t count, uint64_t offset);

/* A read or write at OFFSET, which may lie outside of the device, is soon to be
 * done at once: have the CPU fetch some of what it needs meanwhile.  Takes no
 * lock.
 */
void device_expect (const struct connection *c, bool is_write, uint64_t offset);

/* Are all reads of the device of zeroes, whatever is written to it? */
bool device_reads_zeroes (const struct device *d);

/* Do as device_read, to where TO moves the data; BUF is room for COUNT bytes,
 * for data that is not moved right from the store.  Where TO fails, so does the
 * read.  If the read is parked, device_resume_parked puts its data into a
 * buffer, as for device_read, and does not use TO.
 */
int device_read_to (struct connection *c, struct store_mover *to, void *buf,
                    uint32_t count, uint64_t offset);

/* FUA: the write is durable when it is done, as after a flush.  The same goes
 * for device_zero and device_trim.
 */
int device_write (struct connection *c, const void *buf, uint32_t count,
                  uint64_t offset, bool fua);

/* Do as device_write, with data that FROM moves; BUF is room for COUNT bytes,
 * as for device_read_to.  Where FROM fails, so does the write, and what it was
 * to change may be zero.
 */
int device_write_from (struct connection *c, struct store_mover *from,
                       void *buf, uint32_t count, uint64_t offset, bool fua);

/* Zone append: write COUNT bytes at the write pointer of the zone that begins
 * at ZONE_START.  Where it returns 0, *offset is where that was; it is set
 * before the reply is deferred.  In all else it is a write: it fails as one
 * does, and statistics, op= of fault rules and power-cut-after count it as one.
 * -EIO is also for a conventional zone, and for one without room for all of it:
 * COUNT may be more than a zone has.  It waits for other requests to have their
 * zone, and never as an early write; no append fails because of another one,
 * unless the zone has no room then.  The device is zoned.
 *
 * The offset is settled when the append has its zone.  Bad blocks, corrupt= and
 * the write log go by this offset.  Three decisions come before it,
 * and go by the write pointer as it was when the append began: which rules of
 * range= hit it, how far a disk's head moves, and *offset if corrupt=stale
 * loses the append.
 */
int device_append (struct connection *c, const void *buf, uint32_t count,
                   uint64_t zone_start, bool fua, uint64_t *offset);

/* Make zero.  By default that gives memory back, and cannot fail at the limit.
 * Where zero_memory is set, and not both MAY_TRIM and discard, the range holds
 * memory afterwards: then this can fail at the limit, and a later write to the
 * range cannot.
 */
int device_zero (struct connection *c, uint32_t count, uint64_t offset,
                 bool may_trim, bool fua);

/* Give memory back.  Without discard=true a trim that is allowed, and meets no
 * bad blocks and no fault rule, does nothing and succeeds.
 */
int device_trim (struct connection *c, uint32_t count, uint64_t offset,
                 bool fua);

/* Make what was acknowledged durable, on all connections. */
int device_flush (struct connection *c);

/* NBD's CACHE: RAM needs no preparation.  Statistics do not count this. */
int device_cache (struct connection *c, uint32_t count, uint64_t offset);

enum extent {
  EXTENT_DATA,
  EXTENT_ZERO, /* a hole that reads as zeroes */
  EXTENT_HOLE  /* a hole that does not */
};

/* Set *extent to the kind of extent at OFFSET, and *end_of_run to the offset at
 * which it ends, at most OFFSET + COUNT.  Statistics do not count this.
 */
int device_extent (struct connection *c, uint32_t count, uint64_t offset,
                   enum extent *extent, uint64_t *end_of_run);

/* Do the commands of N zone descriptors, one after the other, for the zones
 * from FIRST on, up to the first that fails; *done is how many were done.  A
 * descriptor that zones_read_table would give for its zone, byte for byte, is
 * no command; of all others only `cond` counts.  The device is zoned.  All of
 * them are one request, in which each command has its own time and meets faults
 * by itself.
 */
int device_zone_commands (struct connection *c, uint64_t first,
                          const struct zone_descriptor *descriptors, uint64_t n,
                          uint64_t *done);

/* Reset all zones; see zones_reset_all.  It is one command. */
int device_reset_zones (struct connection *c);

/* Go on with PARKED, which front_end.park has returned, and which was hastened
 * or, if GONE, is to be cancelled.  BUF is for the data of a read, or has
 * that of a write or an append.  Returns what the request's own function does,
 * and may defer the reply, or set the write aside, as that does; *offset is as
 * for device_append.
 */
int device_resume_parked (void *parked, void *buf, bool gone, uint64_t *offset);

#endif /* NULLBLK_DEVICE_H */
