/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Settings of zones: what is refused, in which words, and what the defaults
 * and limits come to.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "unit.h"
#include "zones/zones.h"

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define LAST_SIZE ((UINT64_C (1) << 63) - 512)

/* 16 zones of 64 KiB. */
static struct zone_settings
usual (void)
{
  const struct zone_settings s = {.zoned = true, .zone_size = 64 * KIB};

  return s;
}

static void
assert_refused (const struct zone_settings *asked, uint64_t size,
                uint64_t block_size, const char *text)
{
  struct zone_settings s = *asked;
  struct message why = {""};

  assert_int_equal (zone_settings_complete (&s, size, block_size, &why),
                    -EINVAL);
  assert_string_equal (why.text, text);
}

/* What they come to. */
static const struct zone_settings *
completed (const struct zone_settings *asked, uint64_t size,
           uint64_t block_size)
{
  static struct zone_settings s;
  struct message why = {""};

  s = *asked;

  if (zone_settings_complete (&s, size, block_size, &why) != 0)
    fail_msg ("%s", why.text);
  return &s;
}

static void
test_not_zoned (void **state)
{
  const struct zone_settings s = {.zone_size = 3, .nr_conv = 1000};

  (void) state;
  assert_int_equal (completed (&s, MIB, 512)->zone_size, 3);
}

static void
test_zone_size (void **state)
{
  static const struct {
    uint64_t size;
    const char *text;
  } wrong[] = {{3 * MIB, "3M"}, {2048, "2K"}, {2 * GIB, "2G"}, {0, "0"}};
  struct zone_settings s = usual ();
  char text[200];
  unsigned i;

  (void) state;
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    s.zone_size = wrong[i].size;
    snprintf (text, sizeof text,
              "zone-size=%s: allowed is a power of two from 4K to the device's "
              "size, 1G (a device has at most 16777216 zones)",
              wrong[i].text);
    assert_refused (&s, GIB, 512, text);
  }
  s.zone_size = 32 * KIB;
  assert_refused (&s, GIB, 64 * KIB,
                  "zone-size=32K: allowed is a power of two from 64K to the "
                  "device's size, 1G (a device has at most 16777216 zones)");
  assert_refused (&s, 2048, 512,
                  "zone-size=32K: a device of 2K is too small for zones, which "
                  "have 4K at least");
  s.zone_size = 4 * KIB;
  completed (&s, 4 * KIB, 512);
  s.zone_size = GIB;
  completed (&s, GIB, 512);
}

static void
test_number_of_zones (void **state)
{
  struct zone_settings s = usual ();

  (void) state;
  s.zone_size = 4 * KIB;
  completed (&s, MAX_ZONES * 4 * KIB, 512);
  assert_refused (&s, MAX_ZONES * 4 * KIB + 512, 512,
                  "zone-size=4K: allowed is a power of two from 8K to the "
                  "device's size, 68719477248 (a device has at most 16777216 "
                  "zones)");
  s.zone_size = 256 * GIB;
  assert_refused (&s, LAST_SIZE, 512,
                  "zone-size=256G: allowed is a power of two from 512G to the "
                  "device's size, 9223372036854775296 (a device has at most "
                  "16777216 zones)");
  s.zone_size = 512 * GIB;
  completed (&s, LAST_SIZE, 512);
  s.zone_size = UINT64_C (1) << 62;
  completed (&s, LAST_SIZE, 512);
}

static void
test_capacity (void **state)
{
  struct zone_settings s = usual ();

  (void) state;
  assert_int_equal (completed (&s, MIB, 512)->capacity, 64 * KIB);
  s.capacity = 48 * KIB;
  assert_int_equal (completed (&s, MIB, 512)->capacity, 48 * KIB);
  assert_refused (&s, MIB + 32 * KIB, 512,
                  "zone-capacity=48K: allowed is the zone-size, 64K, where the "
                  "last zone is shorter: size=1056K is not a multiple of it");
  s.capacity = 65 * KIB;
  assert_refused (&s, MIB, 512,
                  "zone-capacity=65K: allowed is a multiple of the block-size, "
                  "512, up to the zone-size, 64K");
  s.capacity = 47 * KIB;
  assert_refused (&s, MIB, 4 * KIB,
                  "zone-capacity=47K: allowed is a multiple of the block-size, "
                  "4K, up to the zone-size, 64K");
  s.capacity = 64 * KIB;
  completed (&s, MIB + 32 * KIB, 512);
}

static void
test_conventional_zones (void **state)
{
  struct zone_settings s = usual ();

  (void) state;
  s.nr_conv = 15;
  completed (&s, MIB, 512);
  s.nr_conv = 16;
  assert_refused (&s, MIB, 512,
                  "zone-nr-conv=16: allowed is a whole number from 0 to 15: of "
                  "the 16 zones one is sequential at least");
  completed (&s, MIB + 512, 512);
  s.nr_conv = UINT64_MAX;
  assert_refused (&s, MIB, 512,
                  "zone-nr-conv=18446744073709551615: allowed is a whole "
                  "number from 0 to 15: of the 16 zones one is sequential at "
                  "least");
}

static void
test_limits (void **state)
{
  /* Asked for, on 12 sequential zones, and what comes of it. */
  static const struct {
    uint64_t open, active, open_then, active_then;
  } rows[] = {
      {0, 0, 0, 0},     {11, 0, 11, 0}, {12, 0, 0, 0},   {13, 0, 0, 0},
      {0, 11, 0, 11},   {0, 12, 0, 0},  {5, 5, 5, 5},    {6, 5, 5, 5},
      {100, 5, 5, 5},   {4, 5, 4, 5},   {100, 12, 0, 0}, {5, 12, 5, 0},
      {12, 11, 11, 11}, {1, 1, 1, 1},
  };
  struct zone_settings s;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    s = usual ();
    s.nr_conv = 4;
    s.max_open = rows[i].open;
    s.max_active = rows[i].active;
    s = *completed (&s, MIB, 512);
    assert_int_equal (s.max_open, rows[i].open_then);
    assert_int_equal (s.max_active, rows[i].active_then);
  }
}

static void
parse (const char *text, struct zone_list *list)
{
  struct message why = {""};

  if (zone_list_parse (text, list, &why) != 0)
    fail_msg ("%s: %s", text, why.text);
}

static void
test_list_parse (void **state)
{
  static const char *const same[] = {"none", "3", "3,7-9", "0-16777215",
                                     "9,3-4,100"};
  static const char *const wrong[] = {
      "",      ",",  "3,",    "3,,4",     "x",   "3 ", "9-3", "3-", "-3",
      "3-4-5", " 3", "none,", "16777216", "3;4", "+3", "3-x", "0x3"};
  struct zone_list list = {.count = 7};
  struct message why;
  char buf[ZONE_LIST_TEXT];
  size_t i;

  (void) state;
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    assert_int_equal (zone_list_parse (wrong[i], &list, &why), -EINVAL);
    assert_non_null (strstr (why.text, "allowed is none, or numbers of zones "
                                       "and ranges of them, such as 3,7-9"));
    assert_int_equal (list.count, 7);
  }
  assert_int_equal (zone_list_parse ("3,9-7", &list, &why), -EINVAL);
  assert_string_equal (why.text,
                       "'9-7': allowed is none, or numbers of zones and ranges "
                       "of them, such as 3,7-9");
  for (i = 0; i < sizeof same / sizeof same[0]; i++) {
    parse (same[i], &list);
    zone_list_format (&list, buf, sizeof buf);
    assert_string_equal (buf, same[i]);
  }
  parse ("7-7", &list);
  zone_list_format (&list, buf, sizeof buf);
  assert_string_equal (buf, "7");
}

/* As many ranges as there may be, of the largest numbers, and one more. */
static void
test_list_length (void **state)
{
  char text[ZONE_LIST_TEXT] = "", buf[ZONE_LIST_TEXT];
  struct zone_list list;
  struct message why;
  int i;

  (void) state;
  for (i = 0; i < MAX_ZONE_RANGES; i++)
    strcat (text, i == 0 ? "16777210-16777211" : ",16777210-16777211");
  parse (text, &list);
  zone_list_format (&list, buf, sizeof buf);
  assert_string_equal (buf, text);
  strcat (text, ",1");
  assert_int_equal (zone_list_parse (text, &list, &why), -EINVAL);
  assert_non_null (
      strstr (why.text, ": allowed are 32 zones and ranges at most"));
}

static void
test_list_of_the_device (void **state)
{
  struct zone_settings s = usual ();

  (void) state;
  s.nr_conv = 4;
  parse ("4-5,15", &s.readonly);
  parse ("6-14", &s.offline);
  completed (&s, MIB, 512);
  parse ("3-5", &s.readonly);
  assert_refused (&s, MIB, 512,
                  "zone-readonly=3-5: allowed are the sequential zones, 4 to "
                  "15");
  parse ("5", &s.readonly);
  parse ("6-14,16", &s.offline);
  assert_refused (&s, MIB, 512,
                  "zone-offline=6-14,16: allowed are the sequential zones, 4 "
                  "to 15");
  parse ("5,8-12", &s.readonly);
  parse ("6,12-14", &s.offline);
  assert_refused (&s, MIB, 512,
                  "zone-offline=6,12-14: allowed are zones that zone-readonly "
                  "does not have, as it has 12");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_not_zoned),
      cmocka_unit_test (test_zone_size),
      cmocka_unit_test (test_number_of_zones),
      cmocka_unit_test (test_capacity),
      cmocka_unit_test (test_conventional_zones),
      cmocka_unit_test (test_limits),
      cmocka_unit_test (test_list_parse),
      cmocka_unit_test (test_list_length),
      cmocka_unit_test (test_list_of_the_device),
  };

  return RUN_TESTS (tests);
}
