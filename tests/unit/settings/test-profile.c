/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The profiles: they can be found, and parameters take what they say.
 */

#include <config.h>

#include <string.h>

#include "params-of.h"

static void
test_find (void **state)
{
  static const char *const names[] = {
      "hdd",         "sata-ssd", "nvme",        "smr-hdd",  "zns-ssd",
      "cloud-disk",  "hdd-7200", "hdd-desktop", "sata-plp", "sata-consumer",
      "nvme-server", "gp2",      "azure-p15"};
  size_t i;

  (void) state;
  for (i = 0; i < sizeof names / sizeof names[0]; i++) {
    assert_ptr_equal (profile_find (names[i]), profile_at (i));
    assert_string_equal (profile_at (i)->name, names[i]);
  }
  assert_null (profile_at (i));
  assert_null (profile_find ("floppy"));
  assert_null (profile_find (""));
}

/* All are as parameters take them, and say what they are and from where their
 * numbers come.
 */
static void
test_settings (void **state)
{
  const struct profile *profile;
  size_t i;

  (void) state;
  for (i = 0; (profile = profile_at (i)) != NULL; i++) {
    setup (NULL);
    take ("profile", profile->name);
    if (complete () != 0)
      fail_msg ("%s", why.text);
    assert_true (p.settings.latency.waits);
    assert_int_equal (strncmp (profile->text, "# ", 2), 0);
    assert_non_null (strstr (profile->text, "\n# Source"));
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_find),
      TEST (test_settings),
  };

  return RUN_TESTS (tests);
}
