/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Bad blocks: their text, what a request meets, and a million random steps
 * against a model that keeps a flag for each sector; and that long lists are
 * not moved range by range.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "faults/faults.h"
#include "unit.h"

#define HEALED 20000

static struct badblocks bad;

/* The linker puts it in the place of the C library's (--wrap). */
void *__real_memmove (void *to, const void *from, size_t len);
void *__wrap_memmove (void *to, const void *from, size_t len);

static uint64_t moved;

void *
__wrap_memmove (void *to, const void *from, size_t len)
{
  moved += len;
  return __real_memmove (to, from, len);
}

static int
set_up (void **state)
{
  (void) state;
  return badblocks_init (&bad);
}

static int
tear_down (void **state)
{
  (void) state;
  badblocks_destroy (&bad);
  return 0;
}

static void
change (const char *text)
{
  struct badblocks_change *c;
  struct message why;

  if (badblocks_parse (text, &c, &why) != 0)
    fail_msg ("'%s' is refused: %s", text, why.text);
  assert_int_equal (badblocks_reserve (&bad, c), 0);
  badblocks_apply (&bad, c, &bad.mode);
  badblocks_change_free (c);
}

static void
check_text (const char *expected)
{
  char *text = badblocks_format (&bad);

  assert_non_null (text);
  assert_string_equal (text, expected);
  assert_int_equal (badblocks_any (&bad), strcmp (expected, "none") != 0);
  free (text);
}

/* The first bad sector of COUNT at FIRST, or -1. */
static int64_t
check (uint64_t first, uint32_t count, bool once)
{
  struct badblocks_mode mode = {.once = once};
  uint64_t byte = 1;
  int r;

  badblocks_set_mode (&bad, &mode);
  r = badblocks_check (&bad, first * 512, count * 512, false, &mode, &byte);
  if (r == 0) {
    assert_int_equal (byte, 1);
    return -1;
  }
  assert_int_equal (r, -EIO);
  assert_int_equal (byte % 512, 0);
  return (int64_t) (byte / 512);
}

/* A change of COUNT sectors at FIRST meets bad ones: the result of the check.
 */
static int
meet (uint64_t first, uint32_t count, struct badblocks_mode mode)
{
  uint64_t byte;

  badblocks_set_mode (&bad, &mode);
  return badblocks_check (&bad, first * 512, count * 512, true, &mode, &byte);
}

static void
test_mend (void **state)
{
  const struct badblocks_mode mend = {.mend = true, .once = true},
                              fail = {.mend = false};

  (void) state;
  change ("+8-15,+20-20");
  assert_int_equal (meet (0, 8, mend), 0);
  assert_int_equal (meet (0, 9, fail), -EIO);
  assert_int_equal (meet (0, 9, mend), BADBLOCKS_MEND);
  check_text ("+8-15,+20-20");
  assert_int_equal (badblocks_clear (&bad, 10 * 512, 2 * 512), 0);
  check_text ("+8-9,+12-15,+20-20");
  assert_int_equal (badblocks_clear (&bad, 12 * 512, 100 * 512), 0);
  check_text ("+8-9");
  /* The mode stays. */
  assert_true (bad.mode.mend && bad.mode.once);
  assert_int_equal (check (8, 1, true), 8);
  check_text ("none");
}

/* The list is made anew only where a range becomes two. */
static void
test_mend_in_place (void **state)
{
  uint64_t changes;

  (void) state;
  change ("+8-15,+20-27,+30-30,+40-47");
  changes = bad.changes;
  assert_int_equal (badblocks_clear (&bad, 0, 8 * 512), 0);
  assert_int_equal (badblocks_clear (&bad, 16 * 512, 4 * 512), 0);
  assert_int_equal (badblocks_clear (&bad, 48 * 512, 512), 0);
  check_text ("+8-15,+20-27,+30-30,+40-47");
  assert_int_equal (bad.hits, 0);
  assert_int_equal (badblocks_clear (&bad, 8 * 512, 512), 0);
  assert_int_equal (badblocks_clear (&bad, 14 * 512, 2 * 512), 0);
  check_text ("+9-13,+20-27,+30-30,+40-47");
  assert_int_equal (badblocks_clear (&bad, 13 * 512, 28 * 512), 0);
  check_text ("+9-12,+41-47");
  assert_int_equal (check (13, 28, false), -1);
  assert_int_equal (bad.changes, changes);
  assert_int_equal (badblocks_clear (&bad, 44 * 512, 512), 0);
  check_text ("+9-12,+41-43,+45-47");
  assert_int_equal (bad.changes, changes + 1);
  change ("+13-40,+44-44");
  check_text ("+9-47");
  assert_int_equal (badblocks_clear (&bad, 0, 48 * 512), 0);
  check_text ("none");
}

/* A change that is given up leaves the list as it is, and lets others change
 * it.
 */
static void
test_give_up (void **state)
{
  struct badblocks_change *c;
  struct message why;

  (void) state;
  change ("+8-15");
  assert_int_equal (badblocks_parse ("+1-2", &c, &why), 0);
  assert_int_equal (badblocks_reserve (&bad, c), 0);
  badblocks_give_up (&bad);
  badblocks_change_free (c);
  check_text ("+8-15");
  change ("+20-21");
  check_text ("+8-15,+20-21");
}

/*---------------------------------------------------------------------*/
/* Text */

static void
test_numbers (void **state)
{
  static const struct {
    const char *text;
    const char *means;
  } table[] = {
      {"+0-0", "+0-0"},
      {"+1-2", "+1-2"},
      {"+0x10-0X1f", "+16-31"},
      {"+0xAb-0xaC", "+171-172"},
      {"+010-020", "+8-16"},
      {"+00-01", "+0-1"},
      {"++1-+2", "+1-2"},
      {"+5-18446744073709551615", "+5-18446744073709551615"},
      {"+0xffffffffffffffff-0xffffffffffffffff",
       "+18446744073709551615-18446744073709551615"},
      {"+1-01777777777777777777777", "+1-18446744073709551615"},
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof table / sizeof table[0]; i++) {
    change ("none");
    change (table[i].text);
    check_text (table[i].means);
  }
}

static void
test_separators (void **state)
{
  (void) state;
  change ("+1-2,+5-6");
  check_text ("+1-2,+5-6");
  change ("\n  +10-11 \t\r\n\n +20-21\n");
  check_text ("+1-2,+5-6,+10-11,+20-21");
  change ("-5-6, +7-7 ,-20-20");
  check_text ("+1-2,+7-7,+10-11,+21-21");
}

static void
test_clear_all (void **state)
{
  static const char *const texts[] = {
      "none",
      "",
      "\n",
      " \n \n",
      " none\n",
      "+7-7,none",
      "-0-0xffffffffffffffff",
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    change ("+0-5,+7-9,+18446744073709551615-18446744073709551615");
    change (texts[i]);
    check_text ("none");
  }
  change ("+1-1");
  change ("none,+5-6");
  check_text ("+5-6");
}

static void
test_wrong (void **state)
{
  static const char *const wrong[] = {
      "1-2",
      "+1",
      "+1-",
      "+-2",
      "+",
      "-",
      "+2-1",
      "-2-1",
      "+1-2-3",
      "+1 -2",
      "+1- 2",
      "+ 1-2",
      "+1--2",
      "+a-b",
      "+08-9",
      "+0x-1",
      "+0xg-1",
      "+1-2x",
      "+1-0x1g",
      "+1k-2k",
      "+1.0-2",
      "+1-18446744073709551616",
      "+0x10000000000000000-0x10000000000000000",
      "+1-2,",
      ",+1-2",
      "+1-2,,+3-4",
      ",",
      "+1-2;+3-4",
      "+1-2 +3-4",
      "None",
      "none+1-2",
      "all",
      "+1-2,x",
  };
  struct badblocks_change *c;
  struct message why;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    why.text[0] = '\0';
    if (badblocks_parse (wrong[i], &c, &why) != -EINVAL)
      fail_msg ("'%s' is taken", wrong[i]);
    assert_non_null (strstr (why.text, "allowed is +FIRST-LAST"));
  }
  assert_int_equal (badblocks_parse ("+1-2,+9-3", &c, &why), -EINVAL);
  assert_non_null (strstr (why.text, "'+9-3': "));
  assert_int_equal (badblocks_parse ("+9-3,+1-2", &c, &why), -EINVAL);
  assert_non_null (strstr (why.text, "'+9-3': "));
  /* 80 bytes of it at most. */
  assert_int_equal (
      badblocks_parse ("abcdefghijabcdefghijabcdefghijabcdefghij"
                       "abcdefghijabcdefghijabcdefghijabcdefghiJK",
                       &c, &why),
      -EINVAL);
  assert_non_null (strstr (why.text, "abcdefghiJ': "));
}

/* What badblocks_format says is taken back. */
static void
test_format_again (void **state)
{
  char *text;

  (void) state;
  change ("+1-2,+0x20-0x30,+18446744073709551615-18446744073709551615");
  text = badblocks_format (&bad);
  change ("none");
  change (text);
  check_text (text);
  free (text);
}

/*---------------------------------------------------------------------*/
/* The set */

static void
test_merge (void **state)
{
  (void) state;
  change ("+10-19,+30-39,+50-59");
  change ("+20-29"); /* touches both */
  check_text ("+10-39,+50-59");
  change ("+9-9,+40-40");
  check_text ("+9-40,+50-59");
  change ("+12-13"); /* is there */
  check_text ("+9-40,+50-59");
  change ("+42-48"); /* touches none */
  check_text ("+9-40,+42-48,+50-59");
  change ("+5-100");
  check_text ("+5-100");
  change ("+0-0,+2-2,+1-1");
  check_text ("+0-2,+5-100");
  change ("+0-18446744073709551615");
  check_text ("+0-18446744073709551615");
}

static void
test_split (void **state)
{
  (void) state;
  change ("+10-19");
  change ("-12-13");
  check_text ("+10-11,+14-19");
  change ("-10-10,-19-19");
  check_text ("+11-11,+14-18");
  change ("-0-9,-12-13,-19-100");
  check_text ("+11-11,+14-18");
  change ("+20-29,+40-49");
  change ("-15-44");
  check_text ("+11-11,+14-14,+45-49");
  change ("none,+0-18446744073709551615,-0-0,-18446744073709551615-"
          "18446744073709551615");
  check_text ("+1-18446744073709551614");
}

static void
test_check (void **state)
{
  (void) state;
  assert_int_equal (check (0, 8, false), -1);
  change ("+10-12,+20-20");
  assert_int_equal (check (0, 10, false), -1);
  assert_int_equal (check (0, 11, false), 10);
  assert_int_equal (check (10, 1, false), 10);
  assert_int_equal (check (11, 8, false), 11);
  assert_int_equal (check (12, 1, false), 12);
  assert_int_equal (check (13, 7, false), -1);
  assert_int_equal (check (13, 8, false), 20);
  assert_int_equal (check (0, 100, false), 10);
  assert_int_equal (check (21, 100, false), -1);
  check_text ("+10-12,+20-20");
}

/* The last sectors that a device can have. */
static void
test_check_end (void **state)
{
  const uint64_t last = INT64_MAX / 512;
  char text[80];

  (void) state;
  snprintf (text, sizeof text, "+%llu-18446744073709551615",
            (unsigned long long) last);
  change (text);
  assert_int_equal (check (last - 8, 8, false), -1);
  assert_int_equal (check (last - 8, 9, false), last);
}

static void
test_transfer (void **state)
{
  (void) state;
  /* Blocks of 4096 bytes are 8 sectors. */
  assert_int_equal (badblocks_transfer (8 * 512, 8 * 512, 4096), 0);
  assert_int_equal (badblocks_transfer (8 * 512, 15 * 512, 4096), 0);
  assert_int_equal (badblocks_transfer (8 * 512, 16 * 512, 4096), 4096);
  assert_int_equal (badblocks_transfer (8 * 512, 31 * 512, 4096), 8192);
  assert_int_equal (badblocks_transfer (8 * 512, 31 * 512, 512), 23 * 512);
  assert_int_equal (badblocks_transfer (0, 1 << 30, 65536), 1 << 30);
}

static void
test_once (void **state)
{
  (void) state;
  change ("+10-12,+20-29,+40-40");
  assert_int_equal (check (0, 10, true), -1);
  assert_int_equal (check (11, 20, true), 11); /* the whole range heals, */
  check_text ("+20-29,+40-40");                /* and that one alone */
  assert_int_equal (check (25, 1, true), 25);
  check_text ("+40-40");
  assert_int_equal (check (0, 100, true), 40);
  check_text ("none");
  assert_int_equal (check (0, 100, true), -1);
}

/* What a change does grows with a list's length, not with its square, in
 * whatever order it comes, and with the lock held it does only pieces of that.
 * A hit moves nothing.
 */
static void
test_long_lists (void **state)
{
  enum { RANGES = 20000, A_CHANGE = 4000 };
  char *text = malloc (A_CHANGE * 32), *all;
  unsigned i, used = 0;
  const char *s;

  (void) state;
  assert_non_null (text);
  moved = 0;
  for (i = RANGES; i-- > 0;) {
    used += sprintf (text + used, "+%u-%u,", 4 * i, 4 * i + 1);
    if (i % A_CHANGE == 0) {
      text[used - 1] = '\0';
      change (text);
      used = 0;
    }
  }
  assert_true (moved <= RANGES * UINT64_C (1024));
  moved = 0;
  for (i = 0; i < RANGES; i += 2)
    assert_int_equal (check (4 * i, 1, true), 4 * i);
  assert_int_equal (moved, 0);
  assert_int_equal (check (0, 4 * RANGES, false), 4);
  all = badblocks_format (&bad);
  assert_non_null (all);
  for (i = 0, s = all; *s != '\0'; s++)
    i += *s == '+';
  assert_int_equal (i, RANGES / 2);
  assert_in_range (bad.most_at_once, 1, BADBLOCKS_PIECE);
  free (all);
  free (text);
}

static atomic_bool is_healed;

/* Heal one range after the other, each once. */
static void *
heal (void *unused)
{
  unsigned i;

  (void) unused;
  for (i = 0; i < HEALED; i++)
    assert_int_equal (check (2 * i, 1, true), 2 * i);
  atomic_store (&is_healed, true);
  return NULL;
}

/* What is healed while a change is made stays so. */
static void
test_healed_meanwhile (void **state)
{
  char *text = malloc (HEALED * 32);
  unsigned i, used = 0;
  pthread_t thread;

  (void) state;
  assert_non_null (text);
  for (i = 0; i < HEALED; i++)
    used += sprintf (text + used, "+%u-%u,", 2 * i, 2 * i);
  text[used - 1] = '\0';
  change (text);
  assert_int_equal (pthread_create (&thread, NULL, heal, NULL), 0);
  while (!atomic_load (&is_healed)) {
    change ("+1000000-1000000");
    change ("-1000000-1000000");
  }
  assert_int_equal (pthread_join (thread, NULL), 0);
  check_text ("none");
  free (text);
}

/*---------------------------------------------------------------------*/
/* The model */

#define SECTORS 300
#define STEPS 1000000

static bool model[SECTORS];

static int64_t
model_check (uint64_t first, uint32_t count, bool once)
{
  uint64_t i, found;

  for (found = first; found < first + count && !model[found]; found++)
    ;
  if (found == first + count)
    return -1;
  if (once) {
    for (i = found; i > 0 && model[i - 1]; i--)
      ;
    for (; i < SECTORS && model[i]; i++)
      model[i] = false;
  }
  return (int64_t) found;
}

static void
compare_all (void)
{
  char text[SECTORS * 12], *end = text;
  int i, first;

  strcpy (text, "none");
  for (i = 0; i < SECTORS; i++) {
    if (!model[i])
      continue;
    for (first = i; i + 1 < SECTORS && model[i + 1]; i++)
      ;
    end += sprintf (end, "%s+%d-%d", end > text ? "," : "", first, i);
  }
  check_text (text);
}

static void
random_range (uint64_t *random, uint64_t *first, uint64_t *count)
{
  *first = random_below (random, SECTORS);
  *count =
      1 + random_below (random,
                        random_below (random, 8) == 0 ? SECTORS - *first : 5);
  if (*count > SECTORS - *first)
    *count = SECTORS - *first;
}

/* Up to 16 marks and clears in one change: later ones count. */
static void
random_change (uint64_t *random)
{
  unsigned n = 1 + random_below (random, 4) * random_below (random, 6);
  uint64_t first, count, i;
  char text[512];
  size_t used = 0;
  bool mark;

  for (; n > 0; n--) {
    random_range (random, &first, &count);
    mark = random_below (random, 2) == 0;
    used += snprintf (text + used, sizeof text - used, "%s%c%d-%d",
                      used > 0 ? "," : "", mark ? '+' : '-', (int) first,
                      (int) (first + count - 1));
    for (i = first; i < first + count; i++)
      model[i] = mark;
  }
  change (text);
}

static void
test_model (void **state)
{
  uint64_t random = new_seed ("bad blocks"), first, count;
  bool once;
  int step;

  (void) state;
  memset (model, 0, sizeof model);
  for (step = 0; step < STEPS; step++) {
    if (random_below (&random, 2) == 0)
      random_change (&random);
    else if (random_below (&random, 4) == 0) {
      random_range (&random, &first, &count);
      assert_int_equal (badblocks_clear (&bad, first * 512, count * 512), 0);
      memset (&model[first], false, count);
    }
    else {
      random_range (&random, &first, &count);
      once = random_below (&random, 4) == 0;
      assert_int_equal (check (first, count, once),
                        model_check (first, count, once));
    }
    if (step % 64 == 0)
      compare_all ();
  }
  compare_all ();
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown (test_numbers, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_mend, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_mend_in_place, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_give_up, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_separators, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_clear_all, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_wrong, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_format_again, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_merge, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_split, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_check, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_check_end, set_up, tear_down),
      cmocka_unit_test (test_transfer),
      cmocka_unit_test_setup_teardown (test_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_long_lists, set_up, tear_down),
      cmocka_unit_test_setup_teardown (test_healed_meanwhile, set_up,
                                       tear_down),
      cmocka_unit_test_setup_teardown (test_model, set_up, tear_down),
  };

  return RUN_TESTS (tests);
}
