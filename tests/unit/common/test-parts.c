/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Values of several parts, as text and back.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "common/common.h"
#include "unit.h"

struct value {
  uint64_t count, mib, size, duration, factor;
};

static const char *
check (const void *value)
{
  const struct value *v = value;

  return v->count == 13 ? "13 is not allowed" : NULL;
}

#define PART(name, type, least, most, is_needed, initial)                      \
  {                                                                            \
#name, type, offsetof(struct value, name), least, most, is_needed, initial \
  }

static const struct value_part table[] = {
    PART (count, PART_COUNT, 1, 100, true, 0),
    PART (mib, PART_MIB, 1 << 20, 1 << 30, false, 0),
    PART (size, PART_SIZE, 512, 65536, false, 4096),
    PART (duration, PART_DURATION, 0, NSEC_PER_SEC, false, 0),
    PART (factor, PART_FACTOR, 1000, 100000, false, 1000),
};

static const struct parts parts = {table, sizeof table / sizeof table[0],
                                   sizeof (struct value), check};

static struct value v;
static struct message why;

static void
takes (const char *text, const char *shown)
{
  char buf[256];

  if (parts_parse (&parts, text, &v, &why) != 0)
    fail_msg ("%s: %s", text, why.text);
  parts_format (&parts, &v, buf, sizeof buf);
  assert_string_equal (buf, shown);
}

static void
refuses (const char *text, const char *reason)
{
  const struct value before = v;

  assert_int_equal (parts_parse (&parts, text, &v, &why), -EINVAL);
  assert_string_equal (why.text, reason);
  assert_memory_equal (&v, &before, sizeof v);
}

#define ALLOWED "none, or count:N[,mib:][,size:][,duration:][,factor:]"

static void
test_parts (void **state)
{
  char buf[256];

  (void) state;
  takes ("count:7", "count:7");
  assert_int_equal (v.size, 4096);
  assert_int_equal (v.factor, 1000);
  takes ("factor:2.5,size:8K,duration:1.5us,mib:3,count:100",
         "count:100,mib:3,size:8K,duration:1500ns,factor:2.5");
  assert_int_equal (v.count, 100);
  assert_int_equal (v.mib, 3 << 20);
  assert_int_equal (v.size, 8192);
  assert_int_equal (v.duration, 1500);
  assert_int_equal (v.factor, 2500);
  takes ("count:1,factor:99.999", "count:1,factor:99.999");
  takes ("count:1,factor:10", "count:1,factor:10");
  takes ("count:1,factor:1.0,size:4K", "count:1");
  takes ("none", "none");
  assert_int_equal (v.size, 0);

  parts_describe (&parts, buf, sizeof buf);
  assert_string_equal (buf, ALLOWED);
  refuses ("", "allowed is " ALLOWED);
  refuses ("7", "allowed is " ALLOWED);
  refuses ("mib:3", "allowed is " ALLOWED);
  refuses ("count:1,count:2", "allowed is " ALLOWED);
  refuses ("count:1,", "allowed is " ALLOWED);
  refuses ("count:1,counts:1", "allowed is " ALLOWED);
  refuses ("count:13", "13 is not allowed");
  refuses ("count:101",
           "'101': allowed after count: is a whole number from 1 to 100");
  refuses ("count:",
           "'': allowed after count: is a whole number from 1 to 100");
  refuses ("count:1,mib:17592186044416",
           "'17592186044416': allowed after mib: is a whole number from 1 to "
           "1024");
  refuses ("count:1,size:5",
           "'5': allowed after size: is a size from 512 to 64K");
  refuses ("count:1,duration:5",
           "'5': allowed after duration: is a duration from 0 to 1s");
  refuses ("count:1,factor:2.",
           "'2.': allowed after factor: is a number from 1 to 100");
  refuses ("count:1,factor:2.1234",
           "'2.1234': allowed after factor: is a number from 1 to 100");
  refuses ("count:1,factor:100.001",
           "'100.001': allowed after factor: is a number from 1 to 100");
  refuses ("count:1,factor:18446744073709551.616",
           "'18446744073709551.616': allowed after factor: is a number from 1 "
           "to 100");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test (test_parts)};

  return RUN_TESTS (tests);
}
