/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Which of nbdkit's filters go with which settings, by the names of their
 * files.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/control-internal.h"
#include "settings/settings.h"
#include "unit.h"

static struct settings s;
static struct message why;

static int
check (const char *path, unsigned control, unsigned devices, bool is_1_46)
{
  s.control = control;
  s.devices = devices;
  message_set (&why, "untouched");
  return control_check_filter (path, is_1_46, &s, &why);
}

static void
assert_goes (const char *path, unsigned control, unsigned devices, bool is_1_46)
{
  if (check (path, control, devices, is_1_46) != 0)
    fail_msg ("%s: %s", path, why.text);
}

static void
assert_refused (const char *path, unsigned control, unsigned devices,
                bool is_1_46, const char *text)
{
  assert_int_equal (check (path, control, devices, is_1_46), -EINVAL);
  assert_string_equal (why.text, text);
}

static void
keeps_what_is_written (void **state)
{
  const char *const cache = "/usr/lib/nbdkit/filters/nbdkit-cache-filter.so";

  (void) state;
  assert_refused (cache, CONTROL_LOCAL, 2, true,
                  "--filter=cache keeps what is written to control exports, "
                  "and has one cache for all devices: allowed is with "
                  "control=off and devices=1");
  assert_refused (cache, CONTROL_ANY, 1, true,
                  "--filter=cache keeps what is written to control exports: "
                  "allowed is with control=off");
  assert_refused (cache, CONTROL_OFF, 2, true,
                  "--filter=cache has one cache for all devices: allowed is "
                  "with devices=1");
  assert_goes (cache, CONTROL_OFF, 1, false);
}

static void
differs_by_version (void **state)
{
  const char *const cow = "nbdkit-cow-filter.so";

  (void) state;
  assert_refused (cow, CONTROL_OFF, 2, false,
                  "--filter=cow has one copy for all devices: allowed is with "
                  "devices=1");
  assert_goes (cow, CONTROL_OFF, 2, true);
  assert_refused (cow, CONTROL_LOCAL, 2, true,
                  "--filter=cow keeps what is written to control exports: "
                  "allowed is with control=off");
}

static void
mixes_devices (void **state)
{
  const char *const path = "./nbdkit-cacheextents-filter.so";

  (void) state;
  assert_goes (path, CONTROL_ANY, 1, false);
  assert_refused (path, CONTROL_ANY, 2, false,
                  "--filter=cacheextents has one map of data and holes for all "
                  "devices: allowed is with devices=1");
}

static void
falsifies (void **state)
{
  static const char *const names[] = {
      "evil",          "map",  "offset",   "retry",
      "retry-request", "swab", "truncate", "xor"};
  char path[64];
  unsigned i;

  (void) state;
  for (i = 0; i < sizeof names / sizeof names[0]; i++) {
    snprintf (path, sizeof path, "../nbdkit-%s-filter.so", names[i]);
    assert_int_equal (check (path, CONTROL_LOCAL, 1024, true), -EINVAL);
    assert_non_null (strstr (why.text, names[i]));
    assert_non_null (strstr (why.text, ": allowed is with control=off"));
    assert_goes (path, CONTROL_OFF, 1024, false);
  }
}

static void
others (void **state)
{
  static const char *const paths[] = {
      "",
      "linux-vdso.so.1",
      "/usr/sbin/nbdkit",
      "/cache/libc.so.6",
      "nbdkit-nullblk-plugin.so",
      "nbdkit-nocache-filter.so",
      "nbdkit-cache-plugin.so",
      "nbdkit-cachefilter.so",
      "nbdkit-log-filter.so",
      "nbdkit-offset-more-filter.so",
      "nbdkit-retry-more-filter.so",
      "/nbdkit-cow-filter.so/nbdkit-log-filter.so",
  };
  unsigned i;

  (void) state;
  for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
    assert_goes (paths[i], CONTROL_ANY, 1024, false);
}

static void
none_is_loaded (void **state)
{
  (void) state;
  s.control = CONTROL_ANY;
  s.devices = 2;
  assert_int_equal (control_check_filters (&s, &why), 0);
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (keeps_what_is_written),
      cmocka_unit_test (differs_by_version),
      cmocka_unit_test (mixes_devices),
      cmocka_unit_test (falsifies),
      cmocka_unit_test (others),
      cmocka_unit_test (none_is_loaded),
  };

  return RUN_TESTS (tests);
}
