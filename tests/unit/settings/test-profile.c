/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The profiles: they can be found, and every distribution in them is one.
 */

#include <config.h>

#include <string.h>

#include "settings/settings.h"
#include "timing/timing.h"
#include "unit.h"

static void
test_find (void **state)
{
  static const char *const names[] = {"hdd",     "sata-ssd", "nvme",
                                      "smr-hdd", "zns-ssd",  "cloud-disk"};
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

/* No setting twice, and each as its parameter takes it. */
static void
test_settings (void **state)
{
  static const char *const names[NR_OPERATIONS] = {
      "read-latency", "write-latency", "flush-latency",
      "trim-latency", "zero-latency",  "zone-latency"};
  const struct profile_setting *s;
  const struct profile *p;
  struct distribution *d;
  struct message why;
  size_t i, j, k, op;

  (void) state;
  for (i = 0; (p = profile_at (i)) != NULL; i++) {
    assert_true (strlen (p->description) > 0);
    for (j = 0; j < MAX_PROFILE_SETTINGS && p->settings[j].key != NULL; j++) {
      s = &p->settings[j];
      for (k = 0; k < j; k++)
        assert_string_not_equal (p->settings[k].key, s->key);
      for (op = 0; op < NR_OPERATIONS; op++) {
        if (strcmp (s->key, names[op]) != 0)
          continue;
        if (distribution_parse (s->value, (enum operation) op, &d, &why) != 0)
          fail_msg ("%s: %s: %s", p->name, s->key, why.text);
        distribution_unref (d);
      }
    }
    assert_true (j > 0 && j < MAX_PROFILE_SETTINGS);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_find),
      cmocka_unit_test (test_settings),
  };

  return RUN_TESTS (tests);
}
