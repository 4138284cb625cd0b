/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Nanoseconds by the size of a request: what larger ones take longer.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "common/common.h"
#include "timing/timing.h"
#include "unit.h"

#define KIB 1024
#define MIB (1 << 20)
#define USEC NSEC_PER_USEC

static struct size_latency s;
static struct message why;

static void
takes (const char *text)
{
  char buf[400];

  if (size_latency_parse (text, &s, &why) != 0)
    fail_msg ("%s: %s", text, why.text);
  size_latency_format (&s, buf, sizeof buf);
  assert_string_equal (buf, text);
}

static void
test_points (void **state)
{
  (void) state;
  takes ("none");
  assert_int_equal (size_latency_nsec (&s, MIB), 0);
  takes ("4K:1us,64K:91us,1M:901us");
  assert_int_equal (size_latency_nsec (&s, 0), USEC);
  assert_int_equal (size_latency_nsec (&s, 4 * KIB), USEC);
  assert_int_equal (size_latency_nsec (&s, 34 * KIB), 46 * USEC);
  assert_int_equal (size_latency_nsec (&s, 64 * KIB), 91 * USEC);
  assert_int_equal (size_latency_nsec (&s, MIB), 901 * USEC);
  assert_int_equal (size_latency_nsec (&s, MIB + 960 * KIB), 1711 * USEC);
  takes ("512:0,1K:100s");
  assert_int_equal (size_latency_nsec (&s, UINT32_MAX), MAX_DURATION);
  takes ("1:0,2:1ns,3:2ns,4:3ns,5:4ns,6:5ns,7:6ns,8:7ns");
  assert_int_equal (size_latency_nsec (&s, 100), 99);
  takes ("7us");
  assert_int_equal (size_latency_nsec (&s, 0), 7 * USEC);
  assert_int_equal (size_latency_nsec (&s, UINT32_MAX), 7 * USEC);
  assert_int_equal (size_latency_parse ("0", &s, &why), 0);
  assert_int_equal (s.n, 0);
}

static void
test_text (void **state)
{
  static const char *const wrong[] = {
      "",
      "5",
      "101s",
      "1us,4K:2us",
      "4K:1us",
      "4K:1us,",
      "4K:1us,4K:2us",
      "4K:1us,8K:0",
      "4K:1us,8K",
      "4K:1us,8K:5",
      "4K:1us,4G:2us",
      "1:0,2:1ns,3:2ns,4:3ns,5:4ns,6:5ns,7:6ns,8:7ns,9:8ns"};
  size_t i;

  (void) state;
  takes ("4K:1us,64K:91us");
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    assert_int_equal (size_latency_parse (wrong[i], &s, &why), -EINVAL);
    assert_string_equal (why.text,
                         "allowed is none, a duration, or from 2 to 8 points "
                         "SIZE:DURATION that ascend, joined with commas");
    assert_int_equal (s.n, 2);
  }
}

/* It is part of the time of service: a lane is busy for so long. */
static void
test_service (void **state)
{
  static struct latency_state l;
  static struct latency_settings settings;
  struct random random;
  struct latency_booking booking;
  struct latency_request r = {.count = 64 * KIB, .arrival = NSEC_PER_SEC};
  const uint64_t start = NSEC_PER_SEC;

  (void) state;
  random_init (&random, 1, 0);
  assert_int_equal (latency_init (&l, 0), 0);
  takes ("4K:1us,64K:91us");
  settings.read_size_latency = s;
  takes ("4K:2us,64K:92us");
  settings.write_size_latency = s;
  latency_settings_complete (&settings);
  assert_true (settings.waits);
  assert_false (settings.remembers);
  for (r.op = 0; r.op < NR_OPERATIONS; r.op++)
    assert_int_equal (latency_completion (&l, &settings, &random, &r, &booking),
                      start + (r.op == OP_READ                       ? 91 * USEC
                               : r.op == OP_WRITE || r.op == OP_ZERO ? 92 * USEC
                                                                     : 0));
  settings.lanes = 1;
  latency_settings_complete (&settings);
  r.op = OP_READ;
  assert_int_equal (latency_completion (&l, &settings, &random, &r, &booking),
                    start + 91 * USEC);
  r.op = OP_WRITE;
  assert_int_equal (latency_completion (&l, &settings, &random, &r, &booking),
                    start + 183 * USEC);
  latency_destroy (&l);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_points),
      cmocka_unit_test (test_text),
      cmocka_unit_test (test_service),
  };

  return RUN_TESTS (tests);
}
