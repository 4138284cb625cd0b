/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The parameters: every one's default, smallest, largest and wrong values,
 * null_blk's spellings, what is refused and with which words, and settings
 * printed and read back.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "params-of.h"
#include "settings/params-internal.h"

static void
test_defaults (void **state)
{
  const struct settings *s = &p.settings;

  (void) state;
  assert_int_equal (complete (), 0);
  assert_int_equal (s->size, 250 * GIB);
  assert_int_equal (s->block_size, 512);
  assert_int_equal (s->physical_block_size, 4096);
  assert_false (s->rotational);
  assert_false (s->read_only);
  assert_int_equal (s->devices, 1);
  assert_false (s->memory_backed);
  assert_int_equal (s->memory_limit, MEMORY / 2);
  assert_false (s->hugepages);
  assert_true (s->discard);
  assert_false (s->zero_memory);
  assert_int_equal (s->parallel, PARALLEL_AUTO);
}

static void
test_size_latency (void **state)
{
  (void) state;
  assert_int_equal (alone ("size", "512")->size, 512);
  assert_int_equal (alone ("size", "512b")->size, 512);
  assert_int_equal (alone ("size", "9223372036854775807")->size, INT64_MAX);
  assert_int_equal (alone ("size", "3s")->size, 1536);
  assert_int_equal (alone ("size", "1k")->size, 1024);
  assert_int_equal (alone ("size", "5M")->size, UINT64_C (5) << 20);
  assert_int_equal (alone ("size", "6G")->size, 6 * GIB);
  assert_int_equal (alone ("size", "7T")->size, UINT64_C (7) << 40);
  assert_int_equal (alone ("size", "8p")->size, UINT64_C (8) << 50);
  assert_int_equal (alone ("size", "7E")->size, UINT64_C (7) << 60);

  /* null_blk takes its numbers in hexadecimal, too, in their units. */
  assert_int_equal (alone ("size", "0x40000000")->size, GIB);
  assert_int_equal (alone ("gb", "0x10")->size, 16 * GIB);
  assert_int_equal (alone ("bs", "0x1000")->block_size, 4096);
  assert_int_equal (alone ("nr_devices", "0x1f")->devices, 31);
  assert_int_equal (alone ("cache_size", "0x10")->cache_size, 16 << 20);
  assert_int_equal (alone ("cache_size", "0x10K")->cache_size, 16 << 10);
}

static void
test_wrong_sizes (void **state)
{
  static const char *const wrong[] = {"",
                                      "0",
                                      "511",
                                      "-1",
                                      "+512",
                                      " 512",
                                      "512 ",
                                      "0x1ff",
                                      "0x",
                                      "8E",
                                      "1.5G",
                                      "1GiB",
                                      "K",
                                      "1KK",
                                      "ten",
                                      "9223372036854775808",
                                      "18446744073709551616",
                                      "16777216T",
                                      "99999999999999999999999"};
  char text[256];
  size_t i;

  (void) state;
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    snprintf (text, sizeof text,
              "size=%s: allowed is a size from 512 to 9223372036854775807 "
              "bytes (K, M, G, T, P and E are powers of 1024)",
              wrong[i]);
    refuse ("size", wrong[i], text);
  }
  /* Refused values leave no trace. */
  assert_int_equal (complete (), 0);
  assert_int_equal (p.settings.size, 250 * GIB);
}

static void
test_block_sizes (void **state)
{
  (void) state;
  assert_int_equal (alone ("block-size", "512")->block_size, 512);
  assert_int_equal (alone ("block-size", "64K")->block_size, 65536);
  assert_int_equal (alone ("physical-block-size", "512")->physical_block_size,
                    512);
  assert_int_equal (alone ("physical-block-size", "32M")->physical_block_size,
                    32 << 20);

  setup (NULL);
  refuse ("block-size", "256",
          "block-size=256: allowed is a power of two from 512 to 64K");
  refuse ("block-size", "1000",
          "block-size=1000: allowed is a power of two from 512 to 64K");
  refuse ("block-size", "128K",
          "block-size=128K: allowed is a power of two from 512 to 64K");
  refuse ("physical-block-size", "64M",
          "physical-block-size=64M: allowed is a power of two from 512 to "
          "32M");
  refuse ("physical-block-size", "511",
          "physical-block-size=511: allowed is a power of two from 512 to "
          "32M");
}

static void
test_booleans (void **state)
{
  static const char *const yes[] = {"1", "true", "T", "yes", "y", "On"};
  static const char *const no[] = {"0", "false", "f", "no", "N", "off"};
  size_t i;

  (void) state;
  for (i = 0; i < 6; i++) {
    assert_true (alone ("rotational", yes[i])->rotational);
    assert_true (alone ("read-only", yes[i])->read_only);
    assert_true (alone ("memory-backed", yes[i])->memory_backed);
    assert_true (alone ("hugepages", yes[i])->hugepages);
    assert_false (alone ("discard", no[i])->discard);
    assert_true (alone ("discard", yes[i])->discard);
    assert_true (alone ("zero-memory", yes[i])->zero_memory);
    assert_false (alone ("zero_memory", no[i])->zero_memory);
    assert_false (alone ("rotational", no[i])->rotational);
  }
  setup (NULL);
  refuse ("read-only", "2", "read-only=2: allowed is true or false");
  refuse ("read-only", "", "read-only=: allowed is true or false");
  refuse ("rotational", "truely",
          "rotational=truely: allowed is true or false");
  refuse ("memory-backed", "-1", "memory-backed=-1: allowed is true or false");
  refuse ("hugepages", "2M", "hugepages=2M: allowed is true or false");
  refuse ("discard", "maybe", "discard=maybe: allowed is true or false");
  refuse ("zero-memory", "8K", "zero-memory=8K: allowed is true or false");
}

static void
test_counts (void **state)
{
  (void) state;
  assert_int_equal (alone ("devices", "1")->devices, 1);
  assert_int_equal (alone ("devices", "1024")->devices, 1024);
  setup (NULL);
  refuse ("devices", "0",
          "devices=0: allowed is a whole number from 1 to 1024");
  refuse ("devices", "1025",
          "devices=1025: allowed is a whole number from 1 to 1024");
  refuse ("devices", "1K",
          "devices=1K: allowed is a whole number from 1 to 1024");
}

static void
test_parallel (void **state)
{
  (void) state;
  assert_int_equal (alone ("parallel", "AUTO")->parallel, PARALLEL_AUTO);
  assert_int_equal (alone ("parallel", "on")->parallel, PARALLEL_ON);
  assert_int_equal (alone ("parallel", "true")->parallel, PARALLEL_ON);
  assert_int_equal (alone ("parallel", "off")->parallel, PARALLEL_OFF);
  setup (NULL);
  refuse ("parallel", "16", "parallel=16: allowed is auto, off or on");
}

/* Parameters of a device in memory with this limit. */
static void
begin_with_limit (const char *limit)
{
  setup (NULL);
  take ("memory-backed", "1");
  take ("memory-limit", limit);
}

static void
test_memory_limit (void **state)
{
  (void) state;
  begin_with_limit ("4K");
  assert_int_equal (complete (), 0);
  assert_int_equal (p.settings.memory_limit, 4096);
  begin_with_limit ("16G");
  assert_int_equal (complete (), 0);
  begin_with_limit ("17G");
  assert_int_equal (complete (), -EINVAL);
  assert_string_equal (why.text,
                       "memory-limit=17G: allowed is a size from 4K to the "
                       "16G that this machine or cgroup has");

  /* Huge pages come by 2 MiB. */
  begin_with_limit ("1M");
  assert_int_equal (params_complete (&p, MEMORY, UINT64_MAX, 2 << 20, &why),
                    -EINVAL);
  assert_string_equal (why.text,
                       "memory-limit=1M: allowed is a size from 2M to the 16G "
                       "that this machine or cgroup has");

  /* A machine that has nothing left to give: no limit is named, since none
   * was given.
   */
  setup (NULL);
  take ("memory-backed", "1");
  assert_int_equal (params_complete (&p, 8191, UINT64_MAX, 4096, &why),
                    -EINVAL);
  assert_string_equal (why.text,
                       "memory-backed=true: there is less than 4K of this "
                       "machine's or cgroup's memory that it may take");

  /* A process that has less address space than the machine has memory. */
  setup (NULL);
  take ("memory-backed", "1");
  assert_int_equal (params_complete (&p, MEMORY, 12345678, 4096, &why), 0);
  assert_int_equal (p.settings.memory_limit, 12345678 / 4096 * 4096);

  setup (NULL);
  take ("memory-backed", "1");
  assert_int_equal (params_complete (&p, MEMORY, 4095, 4096, &why), -EINVAL);
  assert_string_equal (why.text,
                       "memory-backed=true: there is less than 4K of address "
                       "space (ulimit -v) that it may take");

  setup (NULL);
  refuse ("memory-limit", "4095",
          "memory-limit=4095: allowed is a size from 4K to "
          "9223372036854775807 bytes (K, M, G, T, P and E are powers of "
          "1024)");

  /* Without memory to limit it does not matter. */
  take ("memory-limit", "1000T");
  assert_int_equal (complete (), 0);
}

/* A size that is no multiple of the block size is rounded down. */
static void
test_rounding (void **state)
{
  (void) state;
  take ("size", "10001");
  assert_int_equal (complete (), 0);
  assert_int_equal (p.settings.size, 9728);

  setup (NULL);
  take ("size", "9223372036854775807");
  take ("block-size", "64K");
  assert_int_equal (complete (), 0);
  assert_int_equal (p.settings.size, INT64_MAX - 65535);
  assert_int_equal (p.settings.physical_block_size, 65536);

  setup (NULL);
  take ("size", "2K");
  take ("block-size", "4K");
  assert_int_equal (complete (), -EINVAL);
  assert_string_equal (why.text,
                       "size=2K: allowed is at least the block-size, 4K");
}

static void
test_physical_below_logical (void **state)
{
  (void) state;
  take ("physical-block-size", "512");
  take ("block-size", "4K");
  assert_int_equal (complete (), -EINVAL);
  assert_string_equal (
      why.text,
      "physical-block-size=512: allowed is at least the block-size, 4K");
}

static void
test_null_blk_spellings (void **state)
{
  (void) state;
  assert_int_equal (alone ("bs", "4096")->block_size, 4096);
  assert_int_equal (alone ("blocksize", "4096")->block_size, 4096);
  assert_int_equal (alone ("nr_devices", "4")->devices, 4);
  assert_int_equal (alone ("gb", "8")->size, 8 * GIB);
  assert_true (alone ("memory_backed", "1")->memory_backed);
  assert_int_equal (alone ("block_size", "1K")->block_size, 1024);

  setup (NULL);
  refuse ("gb", "8G", "gb=8G: allowed is a whole number from 1 to 8589934591");
  refuse ("gb", "0", "gb=0: allowed is a whole number from 1 to 8589934591");
  refuse ("gb", "8589934592",
          "gb=8589934592: allowed is a whole number from 1 to 8589934591");
  refuse ("gb", "18446744073709551615",
          "gb=18446744073709551615: allowed is a whole number from 1 to "
          "8589934591");
}

static void
test_twice (void **state)
{
  (void) state;
  take ("size", "1G");
  refuse ("size", "1G", "size=1G: size is given twice");
  refuse ("gb", "1", "gb=1: size is given twice");
  take ("memory_backed", "1");
  refuse ("memory-backed", "1",
          "memory-backed=1: memory-backed is given "
          "twice");
}

/* Parameters of parts that are not there yet are unknown, too. */
static void
test_unknown (void **state)
{
  static const char *const unknown[] = {
      "",      "Size",  "siz",        "sizes", "memory", "bs-",
      "zones", "mbpss", "latencies-", "lat",   "faults", "controls"};
  char text[256];
  size_t i;

  (void) state;
  for (i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
    snprintf (text, sizeof text,
              "%s=1: unknown parameter; 'nbdkit nullblk --help' lists them",
              unknown[i]);
    refuse (unknown[i], "1", text);
  }
}

static void
test_latencies (void **state)
{
  (void) state;
  take ("latency", "100us");
  take ("read-latency", "uniform:1us-2us");
  take ("flush-latency", "default");
  assert_int_equal (complete (), 0);
  assert_string_equal (
      distribution_text (p.settings.latency.durations[OP_READ]),
      "uniform:1us-2us");
  assert_ptr_equal (p.settings.latency.durations[OP_FLUSH],
                    p.settings.latency_all[OP_FLUSH]);
  assert_true (p.settings.latency.waits);
  assert_false (p.settings.latency.remembers);
  refuse ("zone_latency", "fast",
          "zone_latency=fast: allowed is a duration from 0 to 100s (units: ns, "
          "us, ms, s), uniform:A-B, normal:MEAN,DEVIATION, "
          "lognormal:p50=A,p99=B, percentiles:pN=A,..., "
          "seek:track=A,full=B,rpm=N,mbps=N or file:PATH");
  refuse ("write-latency", "normal:1us",
          "write-latency=normal:1us: '1us': a ',' is missing after the "
          "duration");
  refuse ("latency", "1us", "latency=1us: latency is given twice");
}

static void
test_zero_latency_owns_nothing (void **state)
{
  unsigned op;

  (void) state;
  take ("latency", "0");
  assert_int_equal (complete (), 0);
  for (op = 0; op < NR_OPERATIONS; op++)
    assert_null (p.settings.latency.durations[op]);
  assert_false (p.settings.latency.waits);
}

static void
test_limits (void **state)
{
  const struct throttle_limits *limits = &p.settings.latency.limits;

  (void) state;
  take ("mbps", "none");
  take ("read-mbps", "40960");
  take ("write_mbps", "1");
  take ("iops", "0");
  take ("read-iops", "1");
  take ("write-iops", "1000000000");
  take ("lanes", "1");
  assert_int_equal (complete (), 0);
  assert_int_equal (limits->bytes_per_sec[THROTTLE_ALL], 0);
  assert_int_equal (limits->bytes_per_sec[THROTTLE_READS], 40 * GIB);
  assert_int_equal (limits->bytes_per_sec[THROTTLE_WRITES], 1 << 20);
  assert_int_equal (limits->operations_per_sec[THROTTLE_ALL], 0);
  assert_int_equal (limits->operations_per_sec[THROTTLE_READS], 1);
  assert_int_equal (limits->operations_per_sec[THROTTLE_WRITES], 1000000000);
  assert_int_equal (p.settings.latency.lanes, 1);

  setup (NULL);
  refuse ("mbps", "40961",
          "mbps=40961: allowed is none, or a whole number from 1 to 40960");
  refuse ("mbps", "1M",
          "mbps=1M: allowed is none, or a whole number from 1 to 40960");
  refuse ("mbps", "18446744073709551615",
          "mbps=18446744073709551615: allowed is none, or a whole number from "
          "1 to 40960");
  refuse ("iops", "1000000001",
          "iops=1000000001: allowed is none, or a whole number from 1 to "
          "1000000000");
  refuse ("lanes", "1025",
          "lanes=1025: allowed is none, or a whole number from 1 to 1024");
  refuse ("stall", "every:1s",
          "stall=every:1s: allowed is none or every:DURATION,for:DURATION");
}

static void
test_spin_and_seed (void **state)
{
  uint64_t seed;

  (void) state;
  assert_int_equal (p.settings.spin, SPIN_AUTO);
  seed = p.settings.seed;
  setup (NULL);
  assert_int_not_equal (p.settings.seed, seed);
  assert_int_equal (alone ("latency-spin", "0")->spin, 0);
  assert_int_equal (alone ("latency-spin", "10ms")->spin, 10000000);
  assert_int_equal (alone ("latency-spin", "auto")->spin, SPIN_AUTO);
  assert_int_equal (alone ("seed", "0")->seed, 0);
  assert_int_equal (alone ("seed", "18446744073709551615")->seed, UINT64_MAX);

  setup (NULL);
  refuse ("latency-spin", "11ms",
          "latency-spin=11ms: allowed is auto, or a duration from 0 to 10ms");
  refuse ("seed", "-1",
          "seed=-1: allowed is random, or a whole number from 0 to "
          "18446744073709551615");
  refuse ("seed", "18446744073709551616",
          "seed=18446744073709551616: allowed is random, or a whole number "
          "from 0 to 18446744073709551615");
}

/* As a modprobe line has it. */
static void
test_completion_nsec (void **state)
{
  (void) state;
  take ("irqmode", "2");
  take ("completion_nsec", "50000");
  assert_int_equal (complete (), 0);
  assert_string_equal (distribution_text (p.settings.latency_all[OP_READ]),
                       "50us");

  setup (NULL);
  take ("irqmode", "2");
  assert_int_equal (complete (), 0);
  assert_string_equal (distribution_text (p.settings.latency_all[OP_ZONE]),
                       "10us");

  setup (NULL);
  take ("irqmode", "1");
  assert_int_equal (complete (), 0);
  assert_null (p.settings.latency_all[OP_READ]);

  setup (NULL);
  take ("completion_nsec", "50000");
  assert_int_equal (complete (), -EINVAL);
  assert_string_equal (why.text,
                       "completion_nsec=50000: allowed is with irqmode=2: "
                       "null_blk makes nothing of it otherwise");

  setup (NULL);
  take ("irqmode", "2");
  take ("latency", "1us");
  assert_int_equal (complete (), -EINVAL);
  assert_string_equal (why.text,
                       "irqmode=2: latency is given, too; allowed is one of "
                       "the two");

  setup (NULL);
  refuse ("irqmode", "3", "irqmode=3: allowed is a whole number from 0 to 2");
  take ("irqmode", "0");
  refuse ("irqmode", "0", "irqmode=0: irqmode is given twice");
  refuse ("completion_nsec", "10us",
          "completion_nsec=10us: allowed is a whole number from 0 to "
          "100000000000");
}

/* What is given beside it wins, in any order. */
static void
test_profile (void **state)
{
  const struct settings *s = &p.settings;

  (void) state;
  take ("lanes", "7");
  take ("profile", "hdd");
  take ("write-latency", "1us");
  assert_int_equal (complete (), 0);
  assert_true (s->rotational);
  assert_int_equal (s->latency.lanes, 7);
  assert_string_equal (distribution_text (s->latency.durations[OP_WRITE]),
                       "1us");
  assert_true (distribution_seeks (s->latency.durations[OP_READ]));

  setup (NULL);
  refuse ("profile", "floppy",
          "profile=floppy: allowed is none, hdd, sata-ssd, nvme, smr-hdd, "
          "zns-ssd, cloud-disk, hdd-7200, hdd-desktop, sata-plp, "
          "sata-consumer, nvme-server, gp2 or azure-p15");
  take ("profile", "zns-ssd");
  assert_int_equal (complete (), 0);
  assert_true (s->zones.zoned);
  assert_int_equal (s->zones.zone_size, 2 * GIB);
  assert_int_equal (s->zones.capacity, UINT64_C (1077) << 20);
  assert_int_equal (s->zones.max_open, 14);
}

/* A bare number is in MiB, as null_blk has it. */
static void
test_zone_sizes (void **state)
{
  (void) state;
  assert_int_equal (alone ("zone_size", "64")->zones.zone_size, 64 << 20);
  assert_int_equal (alone ("zone-size", "64K")->zones.zone_size, 65536);
  assert_int_equal (alone ("zone-capacity", "0")->zones.capacity, 0);
  assert_int_equal (alone ("zone-capacity", "1536b")->zones.capacity, 1536);
  assert_int_equal (alone ("zone-max-open", "0")->zones.max_open, 0);
  assert_int_equal (alone ("zone-reorder-wait", "0")->zones.reorder_wait, 0);
  assert_int_equal (alone ("zone-read-past-wp", "ones")->zones.past_wp,
                    PAST_WP_ONES);
  assert_int_equal (alone ("zone-trim", "error")->zones.trim, ZONE_TRIM_ERROR);
  assert_int_equal (alone ("zone-trim", "error")->zones.cross,
                    ZONE_CROSS_SPLIT);
  assert_int_equal (alone ("zone-cross", "error")->zones.cross,
                    ZONE_CROSS_ERROR);

  setup (NULL);
  refuse ("zone-size", "2K",
          "zone-size=2K: allowed is a size from 4K to 4E (K, M, G, T, P and E "
          "are powers of 1024; a bare number is in MiB)");
  refuse ("zone-size", "17592186044416",
          "zone-size=17592186044416: allowed is a size from 4K to 4E (K, M, G, "
          "T, P and E are powers of 1024; a bare number is in MiB)");
  refuse ("zone-trim", "maybe",
          "zone-trim=maybe: allowed is reset, ignore or error");
  refuse ("zone-cross", "maybe", "zone-cross=maybe: allowed is split or error");
  refuse ("zone-reorder-wait", "20",
          "zone-reorder-wait=20: allowed is a duration from 0 to 100s (units: "
          "ns, us, ms, s)");
  refuse ("zone-offline", "3-",
          "zone-offline=3-: '3-': allowed is none, or numbers of zones and "
          "ranges of them, such as 3,7-9");

  take ("zoned", "1");
  take ("size", "1G");
  take ("zone-size", "300");
  assert_int_equal (complete (), -EINVAL);
  assert_string_equal (why.text,
                       "zone-size=300M: allowed is a power of two from 4K to "
                       "the device's size, 1G (a device has at most 16777216 "
                       "zones)");
}

/* Does it wait?  Known before all is complete, and nothing is left behind. */
static void
test_wait (void **state)
{
  static const struct {
    const char *key, *value;
    bool waits;
  } cases[] = {{"size", "1G", false},
               {"latency", "0", false},
               {"latency", "1ns", true},
               {"zone-latency", "1ns", true},
               {"profile", "nvme", true},
               {"profile", "none", false},
               {"irqmode", "2", true},
               {"irqmode", "1", false},
               {"lanes", "1", false},
               {"stall", "every:1s,for:1ms", true},
               {"read-iops", "10", true},
               {"mbps", "10", true},
               {"latency-spin", "0", false},
               {"buffer-size", "1M", false},
               {"drain-latency", "1ms", false},
               {"io-size", "4K", false},
               {"disk", "track:0,full:0,rpm:7200", true},
               {"flash", "dies:1,page:4K,read:0", true},
               {"collection", "after:0,factor:1", true},
               {"read-size-latency", "4K:0,8K:1ns", true},
               {"write-size-latency", "none", false},
               {"read-load-latency", "1ns", true},
               {"write-load-latency", "0", false},
               {"iops-credits", "base:1,burst:1,bucket:1", true},
               {"mbps-credits", "base:1,burst:1,bucket:1", true}};
  size_t i;

  (void) state;
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    setup (NULL);
    take (cases[i].key, cases[i].value);
    assert_int_equal (params_delay_requests (&p), cases[i].waits);
    assert_int_equal (params_delay_requests (&p), cases[i].waits);
    /* nbdkit asks after it is complete. */
    assert_int_equal (complete (), 0);
    assert_int_equal (params_delay_requests (&p), cases[i].waits);
  }
}

/* The mechanisms of drives. */
static void
test_drive (void **state)
{
  const struct drive_settings *d = &p.settings.latency.drive;

  (void) state;
  take ("buffer-size", "64");
  take ("drain-latency", "seek:track=1ms,full=16ms,rpm=7200");
  take ("drain-mbps", "200");
  take ("drain-batch", "1M");
  take ("drain-pause", "2ms");
  take ("drain-pause-every", "244K");
  take ("plp", "true");
  take ("memory-backed", "true");
  take ("cache-size", "1M");
  assert_int_equal (complete (), 0);
  assert_int_equal (d->buffer.size, 64 << 20);
  assert_int_equal (d->buffer_size, 1 << 20);
  assert_int_equal (d->buffer.bytes_per_sec, 200 << 20);
  assert_int_equal (d->buffer.drain_batch, 1 << 20);
  assert_int_equal (distribution_draw (d->pause, 0, NULL), 2000000);
  assert_int_equal (d->pause_every, 244 << 10);
  assert_true (d->buffer.plp);
  assert_true (distribution_seeks (d->drain));
  assert_true (p.settings.latency.waits);
  refuse ("drain-latency", "1",
          "drain-latency=1: drain-latency is given twice");
  params_clear (&p);
  setup (NULL);
  refuse ("drain-latency", "1",
          "drain-latency=1: allowed is a duration from 0 to 100s (units: ns, "
          "us, ms, s), uniform:A-B, normal:MEAN,DEVIATION, "
          "lognormal:p50=A,p99=B, percentiles:pN=A,..., "
          "seek:track=A,full=B,rpm=N,mbps=N or file:PATH");
}

static void
test_credits (void **state)
{
  const struct drive_settings *d = &p.settings.latency.drive;

  (void) state;
  take ("io-size", "256K");
  take ("io-merge", "true");
  take ("iops-credits", "base:100,burst:3000,bucket:5400000");
  take ("mbps-credits", "burst:170,base:150,bucket:36000");
  assert_int_equal (complete (), 0);
  assert_int_equal (d->io_count.unit, 256 << 10);
  assert_true (d->io_count.merge);
  assert_int_equal (d->io_credits.base, 100);
  assert_int_equal (d->io_credits.burst, 3000);
  assert_int_equal (d->io_credits.bucket, 5400000);
  assert_int_equal (d->byte_credits.base, 150 << 20);
  assert_int_equal (d->byte_credits.burst, 170 << 20);
  assert_int_equal (d->byte_credits.bucket, UINT64_C (36000) << 20);
  params_clear (&p);
  setup (NULL);
  refuse ("iops-credits", "base:3,burst:2,bucket:1",
          "iops-credits=base:3,burst:2,bucket:1: allowed after burst: is no "
          "less than after base:");
  refuse ("mbps-credits", "base:3",
          "mbps-credits=base:3: allowed is none, or base:N,burst:N,bucket:N");
  refuse ("mbps-credits", "base:0,burst:2,bucket:1",
          "mbps-credits=base:0,burst:2,bucket:1: '0': allowed after base: is a "
          "whole number from 1 to 40960");
}

static void
test_kernel_only (void **state)
{
  const char *name, *reason;
  char text[512];
  size_t i;

  (void) state;
  refuse ("poll_queues", "4",
          "poll_queues=4: this null_blk parameter is the kernel's: polled "
          "queues are the client kernel's");
  for (i = 0; params_kernel_only (i, &name, &reason); i++) {
    snprintf (text, sizeof text,
              "%s=1: this null_blk parameter is the kernel's: %s", name,
              reason);
    refuse (name, "1", text);
  }
  assert_true (i > 10);
}

/* What every script for configfs says. */
static void
test_configfs (void **state)
{
  struct message hint;

  (void) state;
  refuse ("power", "1",
          "power=1: this null_blk parameter is the kernel's: it makes a "
          "configured device appear; leave it out, since a device is there "
          "when the server is (nullblkctl power cuts its power)");
  take ("size", "112640");
  assert_int_equal (p.settings.size, 112640);
  assert_true (params_hint (&p, &hint));
  assert_string_equal (hint.text,
                       "size=112640 is 110K; for so many MiB, as null_blk's "
                       "configfs means it, it is size=112640M");
  setup (NULL);
  take ("size", "110K");
  assert_false (params_hint (&p, &hint));
  setup (NULL);
  take ("size", "1048576");
  assert_false (params_hint (&p, &hint));
  setup (NULL);
  take ("gb", "1");
  take ("cache_size_mib", "5");
  assert_int_equal (p.settings.cache_size, 5 << 20);
  assert_false (params_hint (&p, &hint));
}

/* Those of a block device, where there is none. */
static void
test_queues (void **state)
{
  struct message hint;
  uint64_t usual;
  char text[32];

  (void) state;
  assert_int_equal (complete (), 0);
  usual = p.settings.submit_queues;
  assert_in_range (usual, 1, MAX_SUBMIT_QUEUES);
  assert_int_equal (p.settings.hw_queue_depth, 128);
  snprintf (text, sizeof text, "%" PRIu64, usual);
  setup (NULL);
  take ("submit_queues", text);
  take ("hw_queue_depth", "128");
  assert_false (params_hint (&p, &hint));
  setup (NULL);
  take ("hw_queue_depth", "64");
  assert_true (params_hint (&p, &hint));
  assert_string_equal (hint.text, "hw-queue-depth=64 is for ublk=true; over "
                                  "NBD the depth is nbdkit's -t (threads a "
                                  "connection)");
  take ("ublk", "true");
  assert_false (params_hint (&p, &hint));
  setup (NULL);
  snprintf (text, sizeof text, "%" PRIu64, usual + 1);
  take ("submit_queues", text);
  assert_true (params_hint (&p, &hint));
  assert_null (strstr (hint.text, "hw-queue-depth"));
  /* Both. */
  take ("hw_queue_depth", "64");
  assert_true (params_hint (&p, &hint));
  assert_non_null (strstr (hint.text, "submit-queues="));
  assert_non_null (strstr (hint.text, "); hw-queue-depth=64 is for ublk=true"));
  refuse ("zone_append_max_sectors", "8",
          "zone_append_max_sectors=8: this null_blk parameter is the kernel's: "
          "NBD has no zone append; a block device of ublk=true takes up to 1M");
  setup (NULL);
  refuse ("hw_queue_depth", "4097",
          "hw_queue_depth=4097: allowed is a whole number from 1 to 4096");
}

/* A pair of many benchmarks, in any mode that null_blk waits in or not. */
static void
test_no_completion_nsec (void **state)
{
  unsigned mode;
  char text[2] = "0";

  (void) state;
  for (mode = 0; mode < 3; mode++) {
    setup (NULL);
    text[0] = (char) ('0' + mode);
    take ("irqmode", text);
    take ("completion_nsec", "0");
    assert_int_equal (complete (), 0);
    assert_false (p.settings.latency.waits);
  }
  setup (NULL);
  take ("completion_nsec", "0");
  assert_int_equal (complete (), 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_latencies),
      TEST (test_zero_latency_owns_nothing),
      TEST (test_limits),
      TEST (test_spin_and_seed),
      TEST (test_completion_nsec),
      TEST (test_profile),
      TEST (test_zone_sizes),
      TEST (test_wait),
      TEST (test_defaults),
      TEST (test_size_latency),
      TEST (test_wrong_sizes),
      TEST (test_block_sizes),
      TEST (test_booleans),
      TEST (test_counts),
      TEST (test_parallel),
      TEST (test_memory_limit),
      TEST (test_rounding),
      TEST (test_physical_below_logical),
      TEST (test_null_blk_spellings),
      TEST (test_twice),
      TEST (test_unknown),
      TEST (test_drive),
      TEST (test_credits),
      TEST (test_kernel_only),
      TEST (test_configfs),
      TEST (test_queues),
      TEST (test_no_completion_nsec),
  };

  return RUN_TESTS (tests);
}
