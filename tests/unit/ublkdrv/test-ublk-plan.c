/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The plan of a ublk device: what the kernel is told, and what is refused
 * in words, before the kernel is asked.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "ublkdrv/ublkdrv.h"
#include "unit.h"

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)

static struct plan_export export;
static struct plan_options options;
static struct device_plan plan;
static struct message why;
static struct zone_descriptor *table;

static void
set_zone (uint64_t zone, uint64_t size, uint64_t capacity)
{
  table[zone] = (struct zone_descriptor){
      .start = htole64 (zone * (size / 512)),
      .len = htole64 (size / 512),
      .wp = htole64 (zone * (size / 512)),
      .type = ZONE_TYPE_SEQUENTIAL,
      .cond = ZONE_COND_EMPTY,
      .capacity = htole64 (capacity / 512),
  };
}

static void
set_conventional (uint64_t zone)
{
  table[zone].type = ZONE_TYPE_CONVENTIONAL;
  table[zone].cond = ZONE_COND_NOT_WP;
  table[zone].capacity = table[zone].len;
}

/* An export of N zones, none if it is 0, that has everything. */
static void
make_export (uint64_t n, uint64_t size, uint64_t capacity)
{
  uint64_t i;

  free (table);
  table = calloc (n + 1, sizeof *table);
  assert_non_null (table);
  for (i = 0; i < n; i++)
    set_zone (i, size, capacity);
  export = (struct plan_export){
      .size = n != 0 ? n * size : size,
      .preferred_block = 4096,
      .max_request = 64 * MIB,
      .can_flush = true,
      .can_fua = true,
      .can_trim = true,
      .can_zero = true,
      .multi_conn = true,
      .table = n != 0 ? table : NULL,
      .nr_zones = n,
  };
  options = (struct plan_options){.depth = 64, .cpus = 4, .page_size = 4096};
}

static void
takes (void)
{
  if (plan_make (&plan, &export, &options, &why) != 0)
    fail_msg ("%s", why.text);
}

/* With these words in the reason. */
static void
refuses (const char *words)
{
  why.text[0] = '\0';
  assert_int_equal (plan_make (&plan, &export, &options, &why), -EINVAL);
  if (strstr (why.text, words) == NULL)
    fail_msg ("\"%s\" has no \"%s\"", why.text, words);
}

static void
test_plain (void **state)
{
  (void) state;
  make_export (0, 64 * MIB, 0);
  takes ();
  assert_int_equal (plan.params.types,
                    UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD);
  assert_int_equal (plan.params.sectors, 131072);
  assert_int_equal (plan.params.logical_block_shift, 9);
  assert_int_equal (plan.params.physical_block_shift, 12);
  assert_int_equal (plan.params.attributes,
                    UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_FUA);
  assert_int_equal (plan.params.max_discard_segments, 1);
  assert_true (plan.params.max_discard_sectors > 0);
  assert_true (plan.params.max_write_zeroes_sectors > 0);
  assert_int_equal (plan.params.chunk_sectors, 0);
  assert_int_equal (plan.max_io, plan.params.max_sectors * 512);
  assert_int_equal (plan.queues, 4);
  assert_int_equal (plan.depth, 64);
  assert_int_equal (plan.zone_size, 0);
}

static void
test_flags (void **state)
{
  (void) state;
  make_export (0, 64 * MIB, 0);
  export.can_flush = false;
  takes ();
  /* FUA means nothing where nothing is cached. */
  assert_int_equal (plan.params.attributes, 0);

  export.can_flush = true;
  export.can_fua = false;
  options.rotational = true;
  takes ();
  assert_int_equal (plan.params.attributes,
                    UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_ROTATIONAL);

  export.can_trim = false;
  takes ();
  assert_int_equal (plan.params.max_discard_sectors, 0);
  assert_true (plan.params.max_write_zeroes_sectors > 0);
  export.can_zero = false;
  takes ();
  assert_int_equal (plan.params.types, UBLK_PARAM_TYPE_BASIC);

  make_export (0, 64 * MIB, 0);
  export.read_only = true;
  takes ();
  assert_true ((plan.params.attributes & UBLK_ATTR_READ_ONLY) != 0);
  assert_int_equal (plan.params.types, UBLK_PARAM_TYPE_BASIC);
  export.read_only = false;
  options.read_only = true;
  takes ();
  assert_true ((plan.params.attributes & UBLK_ATTR_READ_ONLY) != 0);
}

/* A device lasts if it is to. */
static void
test_lasting (void **state)
{
  (void) state;
  make_export (0, 64 * MIB, 0);
  takes ();
  assert_false (plan.persists);
  options.persists = true;
  takes ();
  assert_true (plan.persists);
  make_export (16, 4 * MIB, 3 * MIB);
  options.persists = true;
  takes ();
  assert_true (plan.persists);
}

/* A discard may be larger than a request with data; one of fallback_discard
 * bytes is not.
 */
static void
test_clearing (void **state)
{
  (void) state;
  make_export (0, 64 * MIB, 0);
  takes ();
  assert_true (plan.params.max_discard_sectors > 64 * MIB / 512);
  assert_int_equal (plan.fallback_discard, 64 * MIB);
  export.max_request = 0;
  takes ();
  assert_int_equal (plan.fallback_discard, 32 * MIB);
  export.max_request = 100 * KIB;
  takes ();
  assert_int_equal (plan.fallback_discard, 64 * KIB);
}

/* Zones cannot be reset where the control exports are read-only. */
static void
test_commands_refused (void **state)
{
  (void) state;
  make_export (4, 16 * MIB, 16 * MIB);
  export.commands_refused = true;
  refuses ("read-only, so no zone can be reset");
  options.read_only = true;
  takes ();
  options.read_only = false;
  export.read_only = true;
  takes ();
  export.read_only = false;
  export.commands_refused = false;
  takes ();
}

static void
test_queues (void **state)
{
  (void) state;
  make_export (0, 64 * MIB, 0);
  options.queues = 2;
  takes ();
  assert_int_equal (plan.queues, 2);
  options.queues = 9; /* more than CPUs */
  takes ();
  assert_int_equal (plan.queues, 4);
  export.multi_conn = false;
  takes ();
  assert_int_equal (plan.queues, 1);
}

static void
test_blocks (void **state)
{
  (void) state;
  make_export (0, 64 * MIB, 0);
  export.block_size = 1;
  export.preferred_block = 0;
  takes ();
  assert_int_equal (plan.params.logical_block_shift, 9);
  assert_int_equal (plan.params.physical_block_shift, 12);
  export.block_size = 4096;
  export.preferred_block = 64 * KIB;
  takes ();
  assert_int_equal (plan.params.logical_block_shift, 12);
  assert_int_equal (plan.params.physical_block_shift, 12);
  export.block_size = 8192;
  refuses ("8192");
  options.page_size = 65536;
  takes ();
  assert_int_equal (plan.params.logical_block_shift, 13);
  export.block_size = 1536;
  refuses ("power of two");

  make_export (0, 64 * MIB + 512, 0);
  takes ();
  export.block_size = 4096;
  refuses ("not a multiple");
  export.size = 100;
  refuses ("not a multiple");
  export.size = 0;
  refuses ("empty");
  export.size = UINT64_C (1) << 63;
  refuses ("larger");
}

/* No request is larger than the server takes. */
static void
test_requests (void **state)
{
  (void) state;
  make_export (0, 64 * MIB, 0);
  export.max_request = 0;
  takes ();
  assert_in_range (plan.max_io, 1 * MIB, 32 * MIB);
  export.max_request = 3 * MIB;
  takes ();
  assert_int_equal (plan.max_io, 2 * MIB);
  export.max_request = 4096;
  takes ();
  assert_int_equal (plan.max_io, 4096);
  export.max_request = 2048;
  refuses ("page");
}

static void
test_zoned (void **state)
{
  (void) state;
  make_export (16, 4 * MIB, 3 * MIB);
  set_conventional (0);
  export.max_open = 3;
  export.max_active = 5;
  takes ();
  assert_int_equal (plan.params.types,
                    UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_ZONED);
  assert_int_equal (plan.zone_size, 4 * MIB);
  assert_int_equal (plan.nr_zones, 16);
  assert_int_equal (plan.params.chunk_sectors, 8192);
  assert_int_equal (plan.params.sectors, 131072);
  assert_int_equal (plan.params.max_open_zones, 3);
  assert_int_equal (plan.params.max_active_zones, 5);
  assert_int_equal (plan.params.max_append_sectors, 2048);

  make_export (1, 64 * KIB, 64 * KIB);
  takes ();
  assert_int_equal (plan.nr_zones, 1);
  assert_int_equal (plan.params.max_append_sectors, 128);
}

/* Each report is one request, however many zones there are. */
static void
test_reports (void **state)
{
  (void) state;
  make_export (65536, 4096, 4096);
  takes ();
  assert_int_equal (plan.max_io, 65536 * ZONE_DESCRIPTOR_SIZE);
  make_export (65537, 4096, 4096);
  refuses ("65537 zones");
  options.page_size = 65536;
  takes ();
  assert_int_equal (plan.max_io, 8 * MIB);
  export.max_request = 4 * MIB;
  refuses ("65537 zones");
  make_export (524288, 4096, 4096);
  options.page_size = 65536;
  takes ();
  assert_int_equal (plan.max_io, UBLK_MAX_IO);
  make_export (524289, 4096, 4096);
  options.page_size = 65536;
  refuses ("524289 zones");

  make_export (16384, 4096, 4096);
  export.max_request = 1 * MIB;
  takes ();
  make_export (16385, 4096, 4096);
  export.max_request = 1 * MIB;
  refuses ("16385 zones");
}

static void
test_bad_zones (void **state)
{
  (void) state;
  make_export (16, 3 * MIB, 3 * MIB);
  refuses ("power of two");
  make_export (16, 4 * MIB, 4 * MIB);
  export.size -= 1 * MIB;
  refuses ("last zone is shorter");
  make_export (16, 4 * MIB, 4 * MIB);
  table[15].len = htole64 (1024);
  refuses ("zone 15");
  make_export (16, 4 * MIB, 4 * MIB);
  table[3].start = htole64 (1024);
  refuses ("zone 3");
  make_export (2, 2048 * KIB * MIB, 4 * MIB);
  refuses ("32 bits");
  make_export (16, 512, 512);
  export.block_size = 4096;
  refuses ("smaller");

  make_export (16, 4 * MIB, 0);
  refuses ("zone 0 has a capacity of 0 bytes");
  make_export (16, 4 * MIB, 5 * MIB);
  refuses ("zone 0 has a capacity of 5242880 bytes");
  make_export (16, 4 * MIB, 3 * MIB);
  table[7].capacity = htole64 (4096);
  refuses ("zone 7 has a capacity of 2097152 bytes");
  /* The last may differ. */
  table[7].capacity = table[6].capacity;
  table[15].capacity = htole64 (4096);
  takes ();

  make_export (2, 4 * MIB, 4 * MIB);
  set_conventional (0);
  takes ();
  set_conventional (1);
  refuses ("conventional");
  assert_non_null (strstr (why.text, "--zones=no"));
  options.always_with_zones = true;
  refuses ("conventional");
  assert_null (strstr (why.text, "--zones=no"));
  table[1].cond = ZONE_COND_EMPTY;
  refuses ("zone 1");
  table[1].type = 3;
  refuses ("zone 1");

  make_export (2, 4 * MIB, 3 * MIB);
  set_conventional (0);
  takes ();
  table[0].capacity = table[1].capacity;
  refuses ("zone 0 is conventional and has a capacity of 3145728 bytes");

  /* In bytes these would be what the kernel wants, but for what has no room. */
  make_export (16, 4 * MIB, 4 * MIB);
  table[3].start |= htole64 (UINT64_C (1) << 55);
  refuses ("zone 3");
  make_export (16, 4 * MIB, 4 * MIB);
  table[3].len |= htole64 (UINT64_C (1) << 55);
  refuses ("zone 3");
  make_export (16, 4 * MIB, 4 * MIB);
  table[3].capacity |= htole64 (UINT64_C (1) << 55);
  refuses ("zone 3");
}

static void
test_limits (void **state)
{
  (void) state;
  make_export (8, 4 * MIB, 4 * MIB);
  export.max_open = 8;
  takes ();
  export.max_open = 9;
  refuses ("9 open");
  export.max_open = 0;
  export.max_active = 9;
  refuses ("9 active");
  export.max_open = 5;
  export.max_active = 4;
  refuses ("other way round");
  export.max_open = 4;
  takes ();
}

static void
test_is_table (void **state)
{
  (void) state;
  make_export (4, 4 * MIB, 3 * MIB);
  assert_true (plan_is_table (table, 4, 16 * MIB));
  assert_true (plan_is_table (table, 4, 13 * MIB)); /* the last is short */
  assert_false (plan_is_table (table, 4, 12 * MIB));
  assert_false (plan_is_table (table, 4, 16 * MIB + 512));
  assert_false (plan_is_table (table, 0, 0));
  table[0].type = 0;
  assert_false (plan_is_table (table, 4, 16 * MIB));
  memset (table, 0xff, sizeof *table);
  assert_false (plan_is_table (table, 4, 16 * MIB));
  memset (table, 0, sizeof *table);
  assert_false (plan_is_table (table, 4, 16 * MIB));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_plain),
      cmocka_unit_test (test_flags),
      cmocka_unit_test (test_lasting),
      cmocka_unit_test (test_queues),
      cmocka_unit_test (test_clearing),
      cmocka_unit_test (test_commands_refused),
      cmocka_unit_test (test_blocks),
      cmocka_unit_test (test_requests),
      cmocka_unit_test (test_zoned),
      cmocka_unit_test (test_reports),
      cmocka_unit_test (test_bad_zones),
      cmocka_unit_test (test_limits),
      cmocka_unit_test (test_is_table),
  };
  const int r = RUN_TESTS (tests);

  free (table);
  return r;
}
