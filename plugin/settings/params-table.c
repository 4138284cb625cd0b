/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The table of parameters, null_blk's spellings and the kernel's parameters
 * that are refused; what --help says of them, and how a name finds its row.
 */

#include <config.h>

#include "common/common.h"
#include "params-internal.h"

/* X (field of struct settings, name, type, kind (enum param_kind), least, most,
 * default, default as --help shows it, line of --help)
 */
#define PARAMS(X)                                                              \
  X (size, "size", SIZE, FIXED, MIN_BLOCK_SIZE, INT64_MAX, "250G", "250G",     \
     "size=SIZE                capacity; the bare word, too")                  \
  X (block_size, "block-size", POWER_OF_TWO, FIXED, MIN_BLOCK_SIZE,            \
     MAX_BLOCK_SIZE, "512", "512", "block-size=SIZE          logical block")   \
  X (physical_block_size, "physical-block-size", POWER_OF_TWO, FIXED,          \
     MIN_BLOCK_SIZE, MAX_PHYSICAL_BLOCK_SIZE, "4K", "4K",                      \
     "physical-block-size=SIZE preferred I/O size")                            \
  X (rotational, "rotational", BOOL, FIXED, 0, 1, "false", "false",            \
     "rotational=BOOL          advertise a spinning disk")                     \
  X (read_only, "read-only", BOOL, LIVE, 0, 1, "false", "false",               \
     "read-only=BOOL           refuse to change the device")                   \
  X (devices, "devices", COUNT, FIXED, 1, MAX_DEVICES, "1", "1",               \
     "devices=N                how many devices, nullb0 and up")               \
  X (memory_backed, "memory-backed", BOOL, FIXED, 0, 1, "false", "false",      \
     "memory-backed=BOOL       keep what is written, in sparse RAM")           \
  X (memory_limit, "memory-limit", SIZE, LIVE, 4096, INT64_MAX, NULL,          \
     "half of the RAM there is",                                               \
     "memory-limit=SIZE        RAM that all devices may hold")                 \
  X (hugepages, "hugepages", BOOL, FIXED, 0, 1, "false", "false",              \
     "hugepages=BOOL           transparent huge pages for that RAM")           \
  X (discard, "discard", BOOL, LIVE, 0, 1, "true", "true",                     \
     "discard=BOOL             offer trim, which frees RAM")                   \
  X (zero_memory, "zero-memory", BOOL, LIVE, 0, 1, "false", "false",           \
     "zero-memory=BOOL         zeroes hold RAM where a client asks for it")    \
  X (cache_size, "cache-size", MIB, FIXED, 0, UINT64_C (4) << 60, "0", "0",    \
     "cache-size=SIZE          of a volatile write cache")                     \
  X (fua, "fua", BOOL, FIXED, 0, 1, "true", "true",                            \
     "fua=BOOL                 offer writes that are durable by themselves")   \
  X (power_off_reply, "power-off-reply", POWER_OFF_REPLY, LIVE, 0, 0, "error", \
     "error", "power-off-reply=WHAT     what requests get while power is cut") \
  X (write_log, "write-log", FILE, FIXED, 0, 0, "none", "none",                \
     "write-log=FILE           record all changes, for replay")                \
  X (parallel, "parallel", PARALLEL, FIXED, 0, 0, "auto", "auto",              \
     "parallel=auto|on|off     a connection's requests in parallel")           \
  X (control, "control", CONTROL, FIXED, 0, 0, "local", "local",               \
     "control=local|any|off    who may see statistics and change settings")    \
  X (ublk, "ublk", BOOL, FIXED, 0, 1, "false", "false",                        \
     "ublk=BOOL                block devices of this machine, too")            \
  X (submit_queues, "submit-queues", COUNT, FIXED, 1, MAX_SUBMIT_QUEUES, NULL, \
     "one for each CPU",                                                       \
     "submit-queues=N          hardware queues of a block device")             \
  X (hw_queue_depth, "hw-queue-depth", COUNT, FIXED, 1, MAX_HW_QUEUE_DEPTH,    \
     "128", "128", "hw-queue-depth=N         requests of such a queue")        \
  X (profile, "profile", PROFILE, LIVE, 0, 0, "none", "none",                  \
     "profile=NAME             the model of a drive: latency, lanes, limits")  \
  X (model, "model", MODEL, LIVE, 0, 0, "none", "none",                        \
     "model=FILE               ... of your own drive, see nullblk-measure")    \
  X (latency_all, "latency", LATENCY, MODEL, 0, 0, "0", "0",                   \
     "latency=DURATION         how long requests take; or a distribution")     \
  X (latency_of[OP_READ], "read-latency", LATENCY_OF, MODEL, OP_READ, 0,       \
     "default", "default", "read-latency=DURATION    ... reads alone")         \
  X (latency_of[OP_WRITE], "write-latency", LATENCY_OF, MODEL, OP_WRITE, 0,    \
     "default", "default", "write-latency=DURATION   ... writes")              \
  X (latency_of[OP_FLUSH], "flush-latency", LATENCY_OF, MODEL, OP_FLUSH, 0,    \
     "default", "default", "flush-latency=DURATION   ... flushes")             \
  X (latency_of[OP_TRIM], "trim-latency", LATENCY_OF, MODEL, OP_TRIM, 0,       \
     "default", "default", "trim-latency=DURATION    ... trims")               \
  X (latency_of[OP_ZERO], "zero-latency", LATENCY_OF, MODEL, OP_ZERO, 0,       \
     "default", "default", "zero-latency=DURATION    ... write-zeroes")        \
  X (latency_of[OP_ZONE], "zone-latency", LATENCY_OF, MODEL, OP_ZONE, 0,       \
     "default", "default", "zone-latency=DURATION    ... zone commands")       \
  X (latency.lanes, "lanes", LIMIT, MODEL, 1, MAX_LANES, "none", "none",       \
     "lanes=N                  how many requests are served at once")          \
  X (latency.stall, "stall", STALL, MODEL, 0, 0, "none", "none",               \
     "stall=every:D,for:D      from time to time serve nothing")               \
  X (latency.limits.bytes_per_sec[THROTTLE_ALL], "mbps", MBPS, MODEL,          \
     UINT64_C (1) << 20, MAX_BYTES_PER_SEC, "none", "none",                    \
     "mbps=N                   MiB a second, at most")                         \
  X (latency.limits.bytes_per_sec[THROTTLE_READS], "read-mbps", MBPS, MODEL,   \
     UINT64_C (1) << 20, MAX_BYTES_PER_SEC, "none", "none",                    \
     "read-mbps=N              ... read")                                      \
  X (latency.limits.bytes_per_sec[THROTTLE_WRITES], "write-mbps", MBPS, MODEL, \
     UINT64_C (1) << 20, MAX_BYTES_PER_SEC, "none", "none",                    \
     "write-mbps=N             ... written")                                   \
  X (latency.limits.operations_per_sec[THROTTLE_ALL], "iops", LIMIT, MODEL, 1, \
     MAX_OPERATIONS_PER_SEC, "none", "none",                                   \
     "iops=N                   requests a second, at most")                    \
  X (latency.limits.operations_per_sec[THROTTLE_READS], "read-iops", LIMIT,    \
     MODEL, 1, MAX_OPERATIONS_PER_SEC, "none", "none",                         \
     "read-iops=N              ... reads")                                     \
  X (latency.limits.operations_per_sec[THROTTLE_WRITES], "write-iops", LIMIT,  \
     MODEL, 1, MAX_OPERATIONS_PER_SEC, "none", "none",                         \
     "write-iops=N             ... changes")                                   \
  X (latency.read_size_latency, "read-size-latency", SIZE_LATENCY, MODEL, 0,   \
     0, "none", "none",                                                        \
     "read-size-latency=...    how much longer larger reads take")             \
  X (latency.write_size_latency, "write-size-latency", SIZE_LATENCY, MODEL, 0, \
     0, "none", "none", "write-size-latency=...   ... and writes")             \
  X (latency.read_load_latency, "read-load-latency", SIZE_LATENCY, MODEL, 0,   \
     0, "none", "none",                                                        \
     "read-load-latency=...    what each read in flight slows down others by") \
  X (latency.write_load_latency, "write-load-latency", SIZE_LATENCY, MODEL, 0, \
     0, "none", "none", "write-load-latency=...   ... and each write")         \
  X (latency.drive.buffer.size, "buffer-size", MIB, MODEL, 0,                  \
     UINT64_C (4) << 60, "0", "0",                                             \
     "buffer-size=SIZE         of a write-back buffer")                        \
  X (drain_latency, "drain-latency", DISTRIBUTION, MODEL, OP_WRITE, 0, "0",    \
     "0", "drain-latency=DURATION   of the medium, for each buffered write")   \
  X (latency.drive.buffer.bytes_per_sec, "drain-mbps", MBPS, MODEL,            \
     UINT64_C (1) << 20, MAX_BYTES_PER_SEC, "none", "none",                    \
     "drain-mbps=N             ... and for its bytes, in MiB a second")        \
  X (latency.drive.buffer.drain_batch, "drain-batch", MIB, MODEL, 0,           \
     UINT64_C (4) << 60, "0", "0",                                             \
     "drain-batch=SIZE         to drain from a full buffer before more comes") \
  X (drain_pause, "drain-pause", DISTRIBUTION, MODEL, OP_WRITE, 0, "0", "0",   \
     "drain-pause=DURATION     pauses of the medium, from time to time")       \
  X (latency.drive.pause_every, "drain-pause-every", MIB, MODEL, 0,            \
     UINT64_C (4) << 60, "0", "the buffer-size",                               \
     "drain-pause-every=SIZE   ... each time so much was buffered")            \
  X (latency.drive.buffer.plp, "plp", BOOL, MODEL, 0, 1, "false", "false",     \
     "plp=BOOL                 power-loss protection: flushes need not wait")  \
  X (latency.drive.disk, "disk", DISK, MODEL, 0, 0, "none", "none",            \
     "disk=track:D,full:D,...  a head, which serves what is nearest first")    \
  X (latency.drive.flash, "flash", FLASH, MODEL, 0, 0, "none", "none",         \
     "flash=dies:N,page:SIZE,. dies of an SSD, which requests wait for")       \
  X (latency.drive.collection, "collection", COLLECTION, MODEL, 0, 0, "none",  \
     "none",                                                                   \
     "collection=after:X,...   garbage collection, which slows writes")        \
  X (latency.drive.io_count.unit, "io-size", SIZE, MODEL, 0,                   \
     UINT64_C (1) << 40, "0", "0",                                             \
     "io-size=SIZE             most bytes that count as one request for iops") \
  X (latency.drive.io_count.merge, "io-merge", BOOL, MODEL, 0, 1, "false",     \
     "false", "io-merge=BOOL            requests in sequence count together")  \
  X (latency.drive.io_credits, "iops-credits", IO_CREDITS, MODEL, 0, 0,        \
     "none", "none",                                                           \
     "iops-credits=base:N,...  requests a second, with bursts")                \
  X (latency.drive.byte_credits, "mbps-credits", BYTE_CREDITS, MODEL, 0, 0,    \
     "none", "none", "mbps-credits=base:N,...  MiB a second, with bursts")     \
  X (client_overhead, "client-overhead", SIZE_LATENCY, MODEL, 0, 0, "none",    \
     "none",                                                                   \
     "client-overhead=DURATION the time that a client adds to each latency")   \
  X (spin, "latency-spin", SPIN, LIVE, 0, 0, "auto", "auto",                   \
     "latency-spin=DURATION    the end of a wait that a CPU spins for")        \
  X (seed, "seed", SEED, LIVE, 0, 0, "random", "random",                       \
     "seed=N                   of what is drawn for latencies and faults")     \
  X (zones.zoned, "zoned", BOOL, FIXED, 0, 1, "false", "false",                \
     "zoned=BOOL               a host-managed zoned device")                   \
  X (zones.zone_size, "zone-size", MIB, FIXED, MIN_ZONE_SIZE,                  \
     UINT64_C (4) << 60, "256M", "256M", "zone-size=SIZE           of a zone") \
  X (zones.capacity, "zone-capacity", MIB, FIXED, 0, UINT64_C (4) << 60, "0",  \
     "the zone-size", "zone-capacity=SIZE       what may be written of it")    \
  X (zones.nr_conv, "zone-nr-conv", COUNT, FIXED, 0, MAX_ZONES, "0", "0",      \
     "zone-nr-conv=N           conventional zones, at the beginning")          \
  X (zones.max_open, "zone-max-open", LIMIT, FIXED, 1, MAX_ZONES, "none",      \
     "none", "zone-max-open=N          zones open at once")                    \
  X (zones.max_active, "zone-max-active", LIMIT, FIXED, 1, MAX_ZONES, "none",  \
     "none", "zone-max-active=N        zones open or closed at once")          \
  X (zones.full, "zone-full", BOOL, FIXED, 0, 1, "false", "false",             \
     "zone-full=BOOL           zones begin full")                              \
  X (zones.readonly, "zone-readonly", ZONES, FIXED, 0, 0, "none", "none",      \
     "zone-readonly=ZONES      zones that begin read-only")                    \
  X (zones.offline, "zone-offline", ZONES, FIXED, 0, 0, "none", "none",        \
     "zone-offline=ZONES       zones that begin offline")                      \
  X (zones.past_wp, "zone-read-past-wp", PAST_WP, FIXED, 0, 0, "zero", "zero", \
     "zone-read-past-wp=WHAT   what reads get past the write pointer")         \
  X (zones.trim, "zone-trim", ZONE_TRIM, FIXED, 0, 0, "reset", "reset",        \
     "zone-trim=WHAT           what a trim of zones does")                     \
  X (zones.cross, "zone-cross", ZONE_CROSS, LIVE, 0, 0, "split", "split",      \
     "zone-cross=split|error   a write across zones: zone by zone, or EIO")    \
  X (zones.reorder_wait, "zone-reorder-wait", DURATION, FIXED, 0,              \
     MAX_DURATION, "1s", "1s",                                                 \
     "zone-reorder-wait=D      how long writes wait for those before them")    \
  X (badblocks.once, "badblocks-once", BOOL, LIVE, 0, 1, "false", "false",     \
     "badblocks-once=BOOL      bad blocks are good once they were hit")        \
  X (badblocks.partial_io, "badblocks-partial-io", BOOL, LIVE, 0, 1, "false",  \
     "false", "badblocks-partial-io=BOOL write what lies before bad blocks")   \
  X (badblocks.mend, "badblocks-mend", BOOL, LIVE, 0, 1, "false", "false",     \
     "badblocks-mend=BOOL      a write to bad blocks makes them good")

/* State of a device that is no setting.  X (name, type, default, line of help)
 */
#define STATES(X)                                                              \
  X ("badblocks", BADBLOCKS, "none",                                           \
     "badblocks=+FIRST-LAST,.. sectors that fail")                             \
  X ("fault", FAULT, "none",                                                   \
     "fault=RULE               what else goes wrong; may be given again")

/* Other names of parameters, as null_blk or its users have them. */
static const struct alias {
  const char *other;
  const char *name;
  uint64_t unit; /* bytes or ns; 0 when the value is written as for NAME */
} aliases[] = {
    {"bs", "block-size", 0},
    {"blocksize", "block-size", 0},
    {"gb", "size", UINT64_C (1) << 30},
    {"nr-devices", "devices", 0},
    {"cache-size-mib", "cache-size", 0},
    {"completion-nsec", "latency", 1},
    {"irqmode", "latency", 1},
};

/* Parameters of null_blk that mean nothing to a server. */
static const struct kernel_only {
  const char *name;
  const char *reason;
} kernel_only[] = {
    {"blocking", "it says how the kernel runs a driver; nothing blocks here"},
    {"bounce-pfn", "it says from where on the kernel copies buffers; leave it "
                   "out"},
    {"features", "it lists what null_blk has; nbdkit nullblk --dump-plugin "
                 "lists what this one has"},
    {"home-node", "it places the kernel's memory; start the server under "
                  "numactl instead"},
    {"index", "it is a number that the kernel gives; exports are named "
              "nullb0 and up"},
    {"init-hctx", "it makes the kernel's queue set-up fail; there is none "
                  "here"},
    {"init-hctx-fault-inject", "it makes the kernel's queue set-up fail; there "
                               "is none here"},
    {"max-sectors", "NBD clients split their own requests; nbdkit takes up to "
                    "64M, and a block device of ublk=true up to 4M"},
    {"no-sched", "the I/O scheduler is the client kernel's; set it in "
                 "/sys/block there"},
    {"poll-queues", "polled queues are the client kernel's"},
    {"power", "it makes a configured device appear; leave it out, since a "
              "device is there when the server is (nullblkctl power cuts its "
              "power)"},
    {"queue-mode", "it chooses among the kernel's driver interfaces"},
    {"requeue", "it makes the kernel's block layer try again; NBD has no such "
                "reply"},
    {"requeue-inject",
     "it makes the kernel's block layer try again; NBD has no "
     "such reply"},
    {"shared-tag-bitmap", "tags are the client kernel's"},
    {"shared-tags", "tags are the client kernel's"},
    {"timeout", "the timeout is the client's (nbd-client --timeout)"},
    {"timeout-inject", "the timeout is the client's (nbd-client --timeout); "
                       "fault=hang makes requests meet it"},
    {"use-lightnvm",
     "kernels have no LightNVM any more; zoned=true is a device "
     "of zones"},
    {"use-per-node-hctx", "it counts the kernel's nodes; submit-queues=N says "
                          "how many queues a block device has (ublk=true)"},
    {"virt-boundary", "it shapes the kernel's own scatter lists"},
    {"zone-append-max-sectors",
     "NBD has no zone append; a block device of ublk=true takes up to 1M"},
};

const struct param param_table[] = {
#define ROW(field, name, type, kind, least, most, initial, shown, help)        \
  {name,    {VALUE_##type, least, most},                                       \
   kind,    offsetof (struct settings, field),                                 \
   initial, shown},
    PARAMS (ROW)
#undef ROW
#define ROW(name, type, shown, help)                                           \
  {name, {VALUE_##type, 0, 0}, STATE, 0, NULL, shown},
        STATES (ROW)
#undef ROW
};

#define NR(array) (sizeof (array) / sizeof ((array)[0]))

_Static_assert(NR (param_table) <= MAX_PARAMS, "given[] is too short");

const size_t nr_params = NR (param_table);

const char params_help[] =
#define HELP(field, name, type, kind, least, most, initial, shown, help)       \
  help " (default " shown ")\n"
    PARAMS (HELP)
#undef HELP
#define HELP(name, type, shown, help) help " (default " shown ")\n"
        STATES (HELP)
#undef HELP
    ;

bool
param_same_name (const char *a, const char *b)
{
  for (; *a && *b; a++, b++) {
    if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b))
      return false;
  }
  return *a == *b;
}

size_t
param_find (const char *name)
{
  size_t i;

  for (i = 0; i < nr_params; i++) {
    if (param_same_name (name, param_table[i].name))
      break;
  }
  return i;
}

const struct param *
param_look_up (const char *key, const char *value, uint64_t *unit,
               struct message *why)
{
  const char *name = key;
  size_t i;

  *unit = 0;
  for (i = 0; i < NR (kernel_only); i++) {
    if (param_same_name (key, kernel_only[i].name)) {
      message_set (why, "%s=%.80s: this null_blk parameter is the kernel's: %s",
                   key, value, kernel_only[i].reason);
      return NULL;
    }
  }
  for (i = 0; i < NR (aliases); i++) {
    if (param_same_name (key, aliases[i].other)) {
      name = aliases[i].name;
      *unit = aliases[i].unit;
    }
  }
  i = param_find (name);
  if (i < nr_params)
    return &param_table[i];
  message_set (why,
               "%.80s=%.80s: unknown parameter; 'nbdkit nullblk --help' "
               "lists them",
               key, value);
  return NULL;
}

/*---------------------------------------------------------------------*/
/* The table, for others */

bool
params_row (size_t i, struct param_row *row)
{
  if (i >= nr_params)
    return false;
  row->name = param_table[i].name;
  row->default_value = param_table[i].shown;
  row->is_live = param_table[i].kind != FIXED;
  value_describe (&param_table[i].rule, 0, row->range, sizeof row->range);
  return true;
}

bool
params_alias (size_t i, const char **other, const char **name)
{
  if (i >= NR (aliases))
    return false;
  *other = aliases[i].other;
  *name = aliases[i].name;
  return true;
}

bool
params_kernel_only (size_t i, const char **name, const char **reason)
{
  if (i >= NR (kernel_only))
    return false;
  *name = kernel_only[i].name;
  *reason = kernel_only[i].reason;
  return true;
}
