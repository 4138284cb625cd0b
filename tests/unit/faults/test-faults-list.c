/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fault rules: the list of them, and how it changes.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "faults/faultrule-internal.h"
#include "judged.h"

/* The linker puts it in the place of the C library's (--wrap). */
int __real_strcmp (const char *a, const char *b);
int __wrap_strcmp (const char *a, const char *b);

static uint64_t compared;

int
__wrap_strcmp (const char *a, const char *b)
{
  compared++;
  return __real_strcmp (a, b);
}

/* What is done for each rule, and how much of it while the lock is held. */
int __real_pthread_mutex_lock (pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock (pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock (pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock (pthread_mutex_t *mutex);
bool __real_fault_rule_waits (const struct fault_rule *rule);
bool __wrap_fault_rule_waits (const struct fault_rule *rule);
bool __real_fault_spec_touches (const struct fault_spec *rule, uint64_t offset,
                                uint64_t count, uint64_t zone);
bool __wrap_fault_spec_touches (const struct fault_spec *rule, uint64_t offset,
                                uint64_t count, uint64_t zone);

static bool is_locked;
static uint64_t looks, looks_locked;

int
__wrap_pthread_mutex_lock (pthread_mutex_t *mutex)
{
  const int r = __real_pthread_mutex_lock (mutex);

  is_locked |= mutex == &faults.lock;
  return r;
}

int
__wrap_pthread_mutex_unlock (pthread_mutex_t *mutex)
{
  is_locked &= mutex != &faults.lock;
  return __real_pthread_mutex_unlock (mutex);
}

static void
look (void)
{
  looks++;
  looks_locked += is_locked;
}

bool
__wrap_fault_rule_waits (const struct fault_rule *rule)
{
  look ();
  return __real_fault_rule_waits (rule);
}

bool
__wrap_fault_spec_touches (const struct fault_spec *rule, uint64_t offset,
                           uint64_t count, uint64_t zone)
{
  look ();
  return __real_fault_spec_touches (rule, offset, count, zone);
}

/*---------------------------------------------------------------------*/
/* The list */

static void
write_down (void *opaque, const struct fault_info *info)
{
  char *s = opaque;

  sprintf (s + strlen (s), "%u[%s] %s\n", info->id, info->name, info->text);
}

static void
check_list (const char *expected)
{
  static char text[4096];

  text[0] = '\0';
  faults_each (&faults, write_down, text);
  assert_string_equal (text, expected);
}

static void
check_refused (struct fault_rule *rules, const char *expected)
{
  struct message why;

  assert_int_equal (faults_change (&faults, NULL, rules, now, &why), -EINVAL);
  assert_string_equal (why.text, expected);
  fault_rule_free (rules);
}

/* Not one of them is. */
static void
check_not_deleted (const char *which)
{
  struct message why;

  assert_int_equal (faults_change (&faults, which, NULL, now, &why), -EINVAL);
  check_list ("1[one] name=one hang\n3[three] name=three delay=1ms\n");
}

static void
test_list (void **state)
{
  (void) state;
  check_list ("");
  add ("hang  name=one");
  add ("error=EIO op=write");
  add ("name=three delay=1ms");
  check_list ("1[one] name=one hang\n2[] op=write error=EIO\n"
              "3[three] name=three delay=1ms\n");
  del ("2");
  check_list ("1[one] name=one hang\n3[three] name=three delay=1ms\n");
  del ("three");
  add ("disconnect"); /* numbers are not used again */
  check_list ("1[one] name=one hang\n4[] disconnect\n");
  del ("all");
  check_list ("");
  del ("all");
  add ("name=one hang"); /* but names are */
  check_list ("5[one] name=one hang\n");
}

static void
test_delete_what_is_not_there (void **state)
{
  struct message why;

  (void) state;
  add ("hang name=one");
  add ("error=EIO");
  add ("delay=1ms name=three");
  del ("2");
  assert_int_equal (faults_change (&faults, "2", NULL, now, &why), -EINVAL);
  assert_string_equal (
      why.text, "'2': allowed is a rule's number or name, all or others");
  check_not_deleted ("");
  check_not_deleted ("one,");
  check_not_deleted ("one,two");
  check_not_deleted ("one,all");
}

static void
test_several (void **state)
{
  struct fault_rule *rules = NULL;
  struct message why;

  (void) state;
  add ("name=a hang");
  fault_rule_append (&rules, make ("name=b hang"));
  fault_rule_append (&rules, make ("name=c hang"));
  assert_int_equal (faults_change (&faults, NULL, rules, now, &why), 0);
  check_list ("1[a] name=a hang\n2[b] name=b hang\n3[c] name=c hang\n");

  /* All or none. */
  rules = NULL;
  fault_rule_append (&rules, make ("name=d hang"));
  fault_rule_append (&rules, make ("name=b hang"));
  check_refused (rules, "'name=b': there is such a rule");
  rules = NULL;
  fault_rule_append (&rules, make ("name=d hang"));
  fault_rule_append (&rules, make ("name=d hang"));
  check_refused (rules, "'name=d': there is such a rule");
  check_list ("1[a] name=a hang\n2[b] name=b hang\n3[c] name=c hang\n");
}

static void
change (const char *which, struct fault_rule *rules)
{
  struct message why;

  if (faults_change (&faults, which, rules, now, &why) != 0)
    fail_msg ("%s", why.text);
}

static void
test_replace (void **state)
{
  struct fault_rule *rules = NULL;
  struct message why;

  (void) state;
  add ("name=a error=EIO");
  add ("error=EPERM");
  add ("name=b hang");

  /* A name is free when its rule goes, not if the change is refused. */
  change ("a,2", make ("name=a error=ENOSPC"));
  check_list ("3[b] name=b hang\n4[a] name=a error=ENOSPC\n");
  assert_int_equal (faults_change (&faults, "a,nosuch", rules, now, &why),
                    -EINVAL);
  rules = make ("name=b hang");
  fault_rule_append (&rules, make ("name=b hang"));
  assert_int_equal (faults_change (&faults, "b", rules, now, &why), -EINVAL);
  assert_string_equal (why.text, "'name=b': there is such a rule");
  check_list ("3[b] name=b hang\n4[a] name=a error=ENOSPC\n");
  fault_rule_free (rules);
}

/* Rules that hang or delay, and no others, make requests wait. */
static void
test_waits (void **state)
{
  (void) state;
  assert_false (faults_any_waits (&faults));
  add ("name=a error=EIO");
  assert_false (faults_any_waits (&faults));
  add ("name=b delay=1ms");
  add ("name=c hang");
  assert_true (faults_any_waits (&faults));
  change ("b", NULL);
  assert_true (faults_any_waits (&faults));
  change ("others", make ("name=c hang"));
  assert_true (faults_any_waits (&faults));
  change ("c", make ("corrupt=flip"));
  assert_false (faults_any_waits (&faults));
  change ("all", make ("delay=1ms"));
  assert_true (faults_any_waits (&faults));
  change ("all", NULL);
  assert_false (faults_any_waits (&faults));
}

/* A change compares each rule with few others, however many there are. */
static void
test_many_rules (void **state)
{
  enum { RULES = 4000, A_CHANGE = 1000 };
  struct fault_rule *rules = NULL, *again = NULL;
  char text[64];
  unsigned i;

  (void) state;
  compared = 0;
  for (i = 0; i < RULES; i++) {
    snprintf (text, sizeof text, "name=n%u op=write error=EIO", i);
    fault_rule_append (&rules, make (text));
    fault_rule_append (&again, make (text));
    if ((i + 1) % A_CHANGE == 0) {
      change (NULL, rules);
      rules = NULL;
    }
  }
  change ("others", again);
  for (i = 0; i < RULES; i += 4) {
    snprintf (text, sizeof text, "%u", i + 1);
    change (text, NULL);
    snprintf (text, sizeof text, "n%u", i + 1);
    if (i < 64)
      change (text, NULL);
  }
  assert_int_equal (faults.count, RULES - RULES / 4 - 16);
  assert_true (compared < RULES * UINT64_C (1000));
}

/* A change keeps no request waiting, however many rules there are; and a
 * request keeps others waiting for a look at each rule.
 */
static void
test_many_rules_and_requests (void **state)
{
  enum { RULES = 10000 };
  struct fault_rule *rules = NULL, *again = NULL;
  char text[64];
  unsigned i;

  (void) state;
  for (i = 0; i < RULES; i++) {
    snprintf (text, sizeof text, "name=n%u op=write range=0+512 error=EIO", i);
    fault_rule_append (&rules, make (text));
    if (i % 2 == 0)
      fault_rule_append (&again, make (text));
  }
  looks = looks_locked = 0;
  change (NULL, rules);
  change ("n1,n3", NULL);
  change ("others", again);
  assert_true (looks >= 2 * RULES);
  assert_int_equal (looks_locked, 0);

  assert_int_equal (judge (OP_WRITE, 0, 512).error, -EIO);
  assert_int_equal (looks_locked, RULES / 2);
  assert_int_equal (judge (OP_READ, 0, 512).error, 0);
  assert_int_equal (looks_locked, RULES / 2);
  change ("all", NULL);
  assert_int_equal (looks_locked, RULES / 2);
}

/* What is listed stays as it is, the same twice if it is there twice. */
static void
test_others (void **state)
{
  struct fault_rule *rules;

  (void) state;
  add ("op=write count=1 error=EIO");
  add ("name=b error=EPERM");
  add ("name=c error=EPERM after=1");
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -EIO);
  rules = make ("name=c error=ENOSPC after=1");
  fault_rule_append (&rules, make ("count=1 error=EIO op=write"));
  fault_rule_append (&rules, make ("count=1 error=EIO op=write"));
  change ("others", rules);
  check_list ("4[c] name=c after=1 error=ENOSPC\n"
              "1[] op=write count=1 error=EIO\n"
              "5[] op=write count=1 error=EIO\n");
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -EIO); /* 5 */
  assert_int_equal (judge (OP_WRITE, 0, 512).error, -ENOSPC);
  change ("others", NULL);
  assert_false (faults_any (&faults));
}

/* A rule is known again beside one that differs as little as can be. */
static void
test_others_alike (void **state)
{
  struct fault_rule *rules;

  (void) state;
  add ("delay=2ms");
  rules = make ("delay=1ms");
  fault_rule_append (&rules, make ("delay=2ms"));
  fault_rule_append (&rules, make ("delay=3ms"));
  change ("others", rules);
  check_list ("2[] delay=1ms\n"
              "1[] delay=2ms\n"
              "3[] delay=3ms\n");
}

/* They are known again in whatever order they are listed. */
static void
test_others_in_any_order (void **state)
{
  static const char *const texts[] = {"delay=1ms", "delay=2ms", "delay=3ms"};
  static const unsigned orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                       {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  struct fault_rule *rules;
  char expected[100];
  unsigned i, j;

  (void) state;
  for (i = 0; i < 3; i++)
    add (texts[i]);
  for (i = 0; i < NR (orders); i++) {
    rules = NULL;
    expected[0] = '\0';
    for (j = 0; j < 3; j++) {
      fault_rule_append (&rules, make (texts[orders[i][j]]));
      sprintf (expected + strlen (expected), "%u[] %s\n", orders[i][j] + 1,
               texts[orders[i][j]]);
    }
    change ("others", rules);
    check_list (expected);
  }
}

/* A rule is found by its text, wherever it is in the list, and what is found is
 * a rule of its own.
 */
static void
test_find (void **state)
{
  static const char *const texts[] = {"name=a hang", "error=EIO",
                                      "name=c delay=1ms"};
  struct fault_rule *rules = NULL, *found;
  unsigned i;

  (void) state;
  for (i = 0; i < NR (texts); i++)
    add (texts[i]);
  for (i = 0; i < NR (texts); i++) {
    found = faults_find (&faults, texts[i]);
    assert_non_null (found);
    fault_rule_append (&rules, found);
  }
  assert_null (faults_find (&faults, "error=EPERM"));
  del ("all");
  change (NULL, rules);
  check_list ("4[a] name=a hang\n5[] error=EIO\n6[c] name=c delay=1ms\n");
}

/* Those that are kept and those that go do not count twice. */
static void
test_others_held (void **state)
{
  struct fault_rule *rules = NULL;
  char text[32];
  int i;

  (void) state;
  for (i = 0; i < 2 * MAX_KEPT; i++) {
    snprintf (text, sizeof text, "op=read count=%d hang", 1 + i % 24);
    if (i < MAX_KEPT)
      add (text);
    else
      fault_rule_append (&rules, make (text));
  }
  change ("others", rules);
  assert_int_equal (faults.count, MAX_KEPT);
}

/* Draws begin again, those of flips, too. */
static void
test_seed_again (void **state)
{
  bool first[100];
  int i;

  (void) state;
  add ("rate=50% error=EIO");
  for (i = 0; i < 100; i++)
    first[i] = is_hit ();
  faults_seed (&faults, 1);
  for (i = 0; i < 100; i++)
    assert_int_equal (is_hit (), first[i]);
  faults_seed (&faults, 2);
  for (i = 0; i < 100 && is_hit () == first[i]; i++)
    ;
  assert_true (i < 100);
}

static void
test_copy (void **state)
{
  struct fault_rule *rules = NULL, *copy;

  (void) state;
  begin_again (1, 3);
  fault_rule_append (&rules, make ("name=a device=nullb1 hang"));
  fault_rule_append (&rules, make ("name=b delay=uniform:1ms-2ms"));
  fault_rule_append (&rules, make ("device=nullb3 error=EIO"));
  assert_int_equal (fault_rule_copy (rules, 3, &copy), 0);
  fault_rule_free (rules);
  assert_true (fault_rule_waits (copy));
  change (NULL, copy);
  check_list ("1[b] name=b delay=uniform:1ms-2ms\n"
              "2[] device=nullb3 error=EIO\n");
  assert_in_range (judge (OP_READ, 0, 512).delay, NSEC_PER_MSEC,
                   2 * NSEC_PER_MSEC);
}

static void
test_device (void **state)
{
  struct fault_rule *rule;

  (void) state;
  begin_again (1, 3);
  add ("device=nullb3 hang");
  check_refused (make ("device=nullb1 hang"),
                 "'device=nullb1': this is nullb3");
  rule = make ("device=nullb3 hang");
  assert_true (fault_rule_is_for (rule, 3));
  assert_false (fault_rule_is_for (rule, 1));
  assert_false (fault_rule_disconnects (rule));
  fault_rule_free (rule);
  rule = make ("disconnect");
  assert_true (fault_rule_is_for (rule, 0));
  assert_true (fault_rule_disconnects (rule));
  fault_rule_free (rule);
  fault_rule_free (NULL);
}

static void
test_most_held (void **state)
{
  int i;

  (void) state;
  for (i = 0; i < MAX_KEPT; i++)
    add (i % 2 ? "corrupt=flip" : "corrupt=zero");
  check_refused (make ("hang"), "allowed are 16 rules with corrupt=flip, "
                                "corrupt=zero or hang on a device");
  add ("error=EIO");
  add ("corrupt=stale");
  assert_int_equal (judge (OP_WRITE, 0, 512).nr_kept, MAX_KEPT);
  del ("1");
  add ("hang");
  assert_int_equal (judge (OP_WRITE, 0, 512).nr_kept, MAX_KEPT);
}

static void
test_reset_counters (void **state)
{
  int i;

  (void) state;
  add ("error=EIO every=4 count=3 after=1");
  for (i = 1; i <= 7; i++)
    assert_int_equal (is_hit (), i == 5);
  check_counters (1, 7, 1);
  faults_reset_counters (&faults);
  check_counters (1, 0, 0);
  for (i = 8; i <= 30; i++)
    assert_int_equal (is_hit (), i == 9 || i == 13);
  check_counters (1, 23, 2);
}

static void
test_wrong_rule (void **state)
{
  struct fault_rule *rule = NULL;
  struct message why;

  (void) state;
  assert_int_equal (fault_rule_new ("hang op=reed", &rule, &why), -EINVAL);
  assert_null (rule);
  assert_non_null (strstr (why.text, "'op=reed'"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      CASE (test_list),           CASE (test_delete_what_is_not_there),
      CASE (test_several),        CASE (test_replace),
      CASE (test_others),         CASE (test_others_alike),
      CASE (test_waits),          CASE (test_many_rules),
      CASE (test_others_held),    CASE (test_many_rules_and_requests),
      CASE (test_seed_again),     CASE (test_copy),
      CASE (test_device),         CASE (test_most_held),
      CASE (test_reset_counters), CASE (test_wrong_rule),
      CASE (test_find),           CASE (test_others_in_any_order),
  };

  return RUN_TESTS (tests);
}
