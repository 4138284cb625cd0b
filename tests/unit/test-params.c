/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The parameters: every one's default, smallest, largest and wrong values,
 * null_blk's spellings, what is refused and with which words, and settings
 * printed and read back.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "params.h"
#include "unit.h"

#define GIB (UINT64_C (1) << 30)
#define MEMORY (16 * GIB) /* what the machine is said to have */

static struct params p;
static struct message why;

static int
setup (void **state)
{
  (void) state;
  params_init (&p);
  memset (&why, 0, sizeof why);
  return 0;
}

static int
complete (void)
{
  return params_complete (&p, MEMORY, 4096, &why);
}

static void
take (const char *key, const char *value)
{
  if (params_set (&p, key, value, &why) != 0)
    fail_msg ("%s", why.text);
}

static void
refuse (const char *key, const char *value, const char *text)
{
  assert_int_equal (params_set (&p, key, value, &why), -EINVAL);
  assert_string_equal (why.text, text);
}

/* Take a value that is all there is on a new command line. */
static const struct settings *
alone (const char *key, const char *value)
{
  params_init (&p);
  take (key, value);
  return &p.settings;
}

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
  assert_int_equal (s->parallel, PARALLEL_AUTO);
}

static void
test_sizes (void **state)
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
                                      "0x200",
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

static void
test_memory_limit (void **state)
{
  (void) state;
  take ("memory-backed", "1");
  take ("memory-limit", "4K");
  assert_int_equal (complete (), 0);
  assert_int_equal (p.settings.memory_limit, 4096);

  setup (NULL);
  take ("memory-backed", "1");
  take ("memory-limit", "16G");
  assert_int_equal (complete (), 0);

  setup (NULL);
  take ("memory-backed", "1");
  take ("memory-limit", "17G");
  assert_int_equal (complete (), -EINVAL);
  assert_string_equal (why.text,
                       "memory-limit=17G: allowed is a size from 4K to the "
                       "16G that this machine or cgroup has");

  /* Huge pages come by 2 MiB. */
  setup (NULL);
  take ("memory-backed", "1");
  take ("memory-limit", "1M");
  assert_int_equal (params_complete (&p, MEMORY, 2 << 20, &why), -EINVAL);
  assert_string_equal (why.text,
                       "memory-limit=1M: allowed is a size from 2M to the 16G "
                       "that this machine or cgroup has");

  /* A machine that has nothing left to give. */
  setup (NULL);
  take ("memory-backed", "1");
  assert_int_equal (params_complete (&p, 0, 4096, &why), -EINVAL);
  assert_string_equal (why.text,
                       "memory-limit=0 (by default): allowed is a size from "
                       "4K to the 0 that this machine or cgroup has");

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
      "",      "Size", "siz",     "sizes",   "memory",          "bs-",
      "zoned", "mbps", "latency", "irqmode", "completion-nsec", "controls"};
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
test_kernel_only (void **state)
{
  const char *name, *reason;
  char text[512];
  size_t i;

  (void) state;
  refuse ("submit_queues", "4",
          "submit_queues=4: this null_blk parameter is the kernel's: queues "
          "are connections; attach with as many as wanted (nbd-client -C)");
  for (i = 0; params_kernel_only (i, &name, &reason); i++) {
    snprintf (text, sizeof text,
              "%s=1: this null_blk parameter is the kernel's: %s", name,
              reason);
    refuse (name, "1", text);
  }
  assert_true (i > 10);
}

/* What comes from a command line may be long; a message stays one line. */
static void
test_long_values (void **state)
{
  static char value[10000];

  (void) state;
  memset (value, 'x', sizeof value - 1);
  assert_int_equal (params_set (&p, "size", value, &why), -EINVAL);
  assert_true (strlen (why.text) < sizeof why.text);
  assert_non_null (strstr (why.text, "allowed is a size"));
  assert_int_equal (params_set (&p, value, "1", &why), -EINVAL);
  assert_non_null (strstr (why.text, "unknown parameter"));
}

/* Nor do newlines make it two, or an escape colour it. */
static void
test_control_characters (void **state)
{
  (void) state;
  refuse ("rotational", "\033[31m\nno",
          "rotational=?[31m?no: allowed is true or false");
  refuse ("a\nb", "\177",
          "a?b=?: unknown parameter; 'nbdkit nullblk --help' lists them");
}

/* Every setting printed can be given again and means the same. */
static void
test_print (void **state)
{
  static const char *const given[][2] = {{"size", "123456789s"},
                                         {"block-size", "1K"},
                                         {"physical-block-size", "8K"},
                                         {"rotational", "1"},
                                         {"read-only", "1"},
                                         {"devices", "7"},
                                         {"memory-backed", "1"},
                                         {"memory-limit", "123M"},
                                         {"hugepages", "1"},
                                         {"discard", "0"},
                                         {"parallel", "off"},
                                         {"control", "any"}};
  struct params again;
  char line[128], *value;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof given / sizeof given[0]; i++)
    take (given[i][0], given[i][1]);
  assert_int_equal (complete (), 0);

  params_init (&again);
  for (i = 0; params_print (&p.settings, i, line, sizeof line); i++) {
    value = strchr (line, '=');
    assert_non_null (value);
    *value++ = '\0';
    assert_int_equal (params_set (&again, line, value, &why), 0);
  }
  assert_int_equal (i, sizeof given / sizeof given[0]);
  assert_memory_equal (&again.settings, &p.settings, sizeof p.settings);
  params_print (&p.settings, 0, line, sizeof line);
  assert_string_equal (line, "size=61728394K");
}

static void
test_format_size (void **state)
{
  char buf[32];

  (void) state;
  format_size (0, buf, sizeof buf);
  assert_string_equal (buf, "0");
  format_size (1536, buf, sizeof buf);
  assert_string_equal (buf, "1536");
  format_size (INT64_MAX, buf, sizeof buf);
  assert_string_equal (buf, "9223372036854775807");
  format_size (250 * GIB, buf, sizeof buf);
  assert_string_equal (buf, "250G");
  format_size (UINT64_C (7) << 60, buf, sizeof buf);
  assert_string_equal (buf, "7E");
}

#define TEST(f) cmocka_unit_test_setup (f, setup)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_defaults),
      TEST (test_sizes),
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
      TEST (test_kernel_only),
      TEST (test_long_values),
      TEST (test_control_characters),
      TEST (test_print),
      TEST (test_format_size),
  };

  return RUN_TESTS (tests);
}
