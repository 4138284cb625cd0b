/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Exports: which there are, what each says of itself before and after a
 * client takes it, and that no other name gets in.
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

static unsigned char data[64 * KIB];

/*---------------------------------------------------------------------*/
/* Names */

/* Still at the point where a client may ask for the list. */
static struct nbd_handle *
negotiate (const char *export_name)
{
  struct nbd_handle *h = new_handle ();

  assert_done (nbd_set_opt_mode (h, true));
  assert_done (nbd_set_export_name (h, export_name));
  assert_done (nbd_connect_unix (h, server_socket ()));
  return h;
}

static int
print_export (void *opaque, const char *name, const char *description)
{
  char *list = opaque;
  const size_t len = strlen (list);

  snprintf (list + len, 1024 - len, "%s: %s\n", name, description);
  return 0;
}

static void
assert_list (const char *expected)
{
  struct nbd_handle *h = negotiate ("");
  char list[1024] = "";

  assert_done (nbd_opt_list (
      h, (nbd_list_callback){.callback = print_export, .user_data = list}));
  assert_string_equal (list, expected);
  assert_done (nbd_opt_abort (h));
  disconnect (h);
}

static void
list_of_one (void **state)
{
  (void) state;
  serve ("1G");
  assert_list ("nullb0: null block device, 1G\n"
               "nullb0.config: settings of nullb0\n"
               "nullb0.stats: statistics of nullb0\n");
}

static void
list_of_many (void **state)
{
  (void) state;
  serve ("3M", "memory-backed=true", "read-only=true", "devices=3");
  assert_list ("nullb0: memory-backed block device, 3M, read-only\n"
               "nullb1: memory-backed block device, 3M, read-only\n"
               "nullb2: memory-backed block device, 3M, read-only\n"
               "nullb0.config: settings of nullb0\n"
               "nullb0.stats: statistics of nullb0\n"
               "nullb1.config: settings of nullb1\n"
               "nullb1.stats: statistics of nullb1\n"
               "nullb2.config: settings of nullb2\n"
               "nullb2.stats: statistics of nullb2\n");
}

/* As many as there may be: the first and the last are served. */
static void
most_devices (void **state)
{
  struct nbd_handle *h;

  (void) state;
  serve ("1M", "memory-backed=true", "devices=1024");
  memset (data, 1, sizeof data);
  h = connect_to ("nullb1023");
  assert_done (nbd_pwrite (h, data, 512, 0, 0));
  assert_reads (h, data, 512, 0);
  assert_reads_zero (connect_to ("nullb0"), 512, 0);
  assert_reads_zero (connect_to ("nullb1022"), 512, 0);
}

static void
empty_name_is_the_first (void **state)
{
  uint64_t seed = new_seed ("empty_name_is_the_first");
  struct nbd_handle *unnamed, *named;
  char *name, *description;

  (void) state;
  serve ("1M", "memory-backed=true", "devices=2");
  unnamed = negotiate ("");
  assert_done (nbd_set_full_info (unnamed, true));
  assert_done (nbd_opt_go (unnamed));
  name = nbd_get_canonical_export_name (unnamed);
  description = nbd_get_export_description (unnamed);
  assert_non_null (name);
  assert_non_null (description);
  assert_string_equal (name, "nullb0");
  assert_string_equal (description, "memory-backed block device, 1M");
  free (name);
  free (description);

  named = connect_to ("nullb0");
  fill_random (data, sizeof data, &seed);
  assert_done (nbd_pwrite (unnamed, data, sizeof data, 4096, 0));
  assert_reads (named, data, sizeof data, 4096);
  assert_done (nbd_trim (named, 4096, 4096, 0));
  assert_reads_zero (unnamed, 8192, 0);
}

static void
each_has_its_own_data (void **state)
{
  uint64_t seed = new_seed ("each_has_its_own_data");
  struct nbd_handle *a, *b;

  (void) state;
  serve ("1M", "memory-backed=true", "devices=2");
  a = connect_to ("nullb0");
  b = connect_to ("nullb1");
  fill_random (data, sizeof data, &seed);
  assert_done (nbd_pwrite (b, data, sizeof data, 4096, 0));
  assert_reads_zero (a, MIB, 0);
  assert_extents (a, MIB, 0, "1048576 hole");
  assert_done (nbd_pwrite (a, data, 4096, 4096, 0));
  assert_done (nbd_trim (a, MIB, 0, 0));
  assert_reads (b, data, sizeof data, 4096);
  assert_extents (b, MIB, 0, "4096 hole, 65536 data, 978944 hole");
}

/* And the server lives on. */
static void
assert_unknown (const char *name)
{
  struct nbd_handle *h = new_handle ();

  assert_done (nbd_set_export_name (h, name));
  assert_refused (ENOENT, nbd_connect_unix (h, server_socket ()));
  disconnect (h);
  h = connect_to ("nullb1");
  assert_reads_zero (h, 512, 0);
  disconnect (h);
}

static void
other_names_are_refused (void **state)
{
  static const char *const names[] = {
      "nullb2",          "nullb00", "nullb01", "nullb",
      "nullb-1",         "nullb0 ", " nullb0", "Nullb0",
      "nullb0x",         "nullb0/", "x",       "0",
      "/nullb0",         "../etc",  "%s%n",    "nullb0\n",
      "nullb4294967296",
  };
  static char longest[4097];
  size_t i;

  (void) state;
  serve ("1M", "devices=2");
  for (i = 0; i < sizeof names / sizeof names[0]; i++)
    assert_unknown (names[i]);
  memset (longest, 'n', sizeof longest - 1);
  assert_unknown (longest);
  memcpy (longest, "nullb0", 6);
  assert_unknown (longest);
}

/*---------------------------------------------------------------------*/
/* What a device says of itself */

struct says {
  int read_only, rotational, trim, zero, fast_zero, fua, flush, cache;
  int multi_conn;
  int64_t minimum, preferred, maximum, size;
};

static void
assert_says (const struct says *expected)
{
  struct nbd_handle *h = connect_to ("");

  assert_int_equal (nbd_is_read_only (h), expected->read_only);
  assert_int_equal (nbd_is_rotational (h), expected->rotational);
  assert_int_equal (nbd_can_trim (h), expected->trim);
  assert_int_equal (nbd_can_zero (h), expected->zero);
  assert_int_equal (nbd_can_fast_zero (h), expected->fast_zero);
  assert_int_equal (nbd_can_fua (h), expected->fua);
  assert_int_equal (nbd_can_flush (h), expected->flush);
  assert_int_equal (nbd_can_cache (h), expected->cache);
  assert_int_equal (nbd_can_multi_conn (h), expected->multi_conn);
  assert_int_equal (nbd_can_meta_context (h, LIBNBD_CONTEXT_BASE_ALLOCATION),
                    1);
  assert_int_equal (nbd_get_block_size (h, LIBNBD_SIZE_MINIMUM),
                    expected->minimum);
  assert_int_equal (nbd_get_block_size (h, LIBNBD_SIZE_PREFERRED),
                    expected->preferred);
  assert_int_equal (nbd_get_block_size (h, LIBNBD_SIZE_MAXIMUM),
                    expected->maximum);
  assert_int_equal (nbd_get_size (h), expected->size);
}

/* What is so unless a setting says otherwise. */
#define DEFAULTS                                                               \
  .trim = 1, .zero = 1, .fast_zero = 1, .fua = 1, .flush = 1, .cache = 1,      \
  .multi_conn = 1, .minimum = 512, .preferred = 4096, .maximum = 64 * MIB

static void
says_defaults (void **state)
{
  const struct says expected = {DEFAULTS, .size = 250 * GIB};

  (void) state;
  serve ("devices=1");
  assert_says (&expected);
}

static void
says_defaults_in_memory (void **state)
{
  const struct says expected = {DEFAULTS, .size = MIB};

  (void) state;
  serve ("1M", "memory-backed=true");
  assert_says (&expected);
}

/* nbdkit offers no way to change what cannot be changed. */
static void
says_read_only (void **state)
{
  const struct says expected = {
      .read_only = 1,
      .flush = 1,
      .cache = 1,
      .multi_conn = 1,
      .minimum = 512,
      .preferred = 4096,
      .maximum = 64 * MIB,
      .size = MIB,
  };

  (void) state;
  serve ("1M", "read-only=true");
  assert_says (&expected);
}

static void
says_no_discard (void **state)
{
  struct says expected = {DEFAULTS, .size = MIB};

  (void) state;
  expected.trim = 0;
  serve ("1M", "discard=false");
  assert_says (&expected);
}

static void
says_rotational (void **state)
{
  struct says expected = {DEFAULTS, .size = MIB};

  (void) state;
  expected.rotational = 1;
  serve ("1M", "rotational=true");
  assert_says (&expected);
}

static void
says_block_sizes (void **state)
{
  struct says expected = {DEFAULTS, .size = MIB};

  (void) state;
  expected.minimum = 4096;
  expected.preferred = 32 * MIB;
  serve ("1M", "block-size=4096", "physical-block-size=32M");
  assert_says (&expected);
}

/* The preferred block is no less than the logical one; a size that is no
 * multiple of it is rounded down.
 */
static void
says_large_blocks (void **state)
{
  struct says expected = {DEFAULTS, .size = MIB};

  (void) state;
  expected.minimum = 64 * KIB;
  expected.preferred = 64 * KIB;
  serve ("1049088", "block-size=64K");
  assert_says (&expected);
}

static void
says_the_same_in_parallel (void **state)
{
  const struct says expected = {DEFAULTS, .size = MIB};

  (void) state;
  serve ("1M", "parallel=on");
  assert_says (&expected);
}

static const struct CMUnitTest tests[] = {
    CASE (list_of_one),           CASE (list_of_many),
    CASE (most_devices),          CASE (empty_name_is_the_first),
    CASE (each_has_its_own_data), CASE (other_names_are_refused),
    CASE (says_defaults),         CASE (says_defaults_in_memory),
    CASE (says_read_only),        CASE (says_no_discard),
    CASE (says_rotational),       CASE (says_block_sizes),
    CASE (says_large_blocks),     CASE (says_the_same_in_parallel),
};

MAIN (tests)
