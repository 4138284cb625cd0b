/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The language of fault rules: what each word means, what is refused and how,
 * and that a rule's text gives the same rule again.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "faults/faultactions-internal.h"
#include "faults/faultrule-internal.h"
#include "unit.h"

#define NR(array) (sizeof (array) / sizeof ((array)[0]))

static struct fault_spec rule;

static void
parse (const char *text)
{
  struct message why;

  fault_spec_clear (&rule);
  if (fault_spec_parse (text, &rule, &why) != 0)
    fail_msg ("'%s' is refused: %s", text, why.text);
}

static int
tear_down (void **state)
{
  (void) state;
  fault_spec_clear (&rule);
  return 0;
}

static void
test_plain (void **state)
{
  unsigned i;

  (void) state;
  parse ("error=EIO");
  assert_string_equal (rule.name, "");
  assert_int_equal (rule.device, ANY_DEVICE);
  assert_int_equal (rule.operations, (1U << NR_OPERATIONS) - 1);
  assert_int_equal (rule.end, 0);
  assert_int_equal (rule.nr_zones, 0);
  assert_int_equal (rule.from_ns, 0);
  assert_int_equal (rule.for_ns, 0);
  assert_int_equal (rule.after, 0);
  assert_int_equal (rule.every, 1);
  assert_int_equal (rule.rate, PARTS_PER_WHOLE);
  assert_int_equal (rule.count, 0);
  assert_int_equal (rule.action, FAULT_ERROR);
  assert_int_equal (rule.error, EIO);
  for (i = 0; i < NR_OPERATIONS; i++)
    assert_null (rule.delay[i]);
}

static void
test_all_words (void **state)
{
  (void) state;
  parse (
      " \tcount=5 error=ENOSPC  for=10s op=write,zero from=1.5ms "
      "range=1M+64K\nrate=1% after=100 every=10 name=a-b_c.9 device=nullb3 ");
  assert_string_equal (rule.name, "a-b_c.9");
  assert_int_equal (rule.device, 3);
  assert_int_equal (rule.operations, 1U << OP_WRITE | 1U << OP_ZERO);
  assert_int_equal (rule.start, 1 << 20);
  assert_int_equal (rule.end, (1 << 20) + 65536);
  assert_int_equal (rule.from_ns, 1500000);
  assert_int_equal (rule.for_ns, 10 * NSEC_PER_SEC);
  assert_int_equal (rule.after, 100);
  assert_int_equal (rule.every, 10);
  assert_int_equal (rule.rate, 10000000);
  assert_int_equal (rule.count, 5);
  assert_int_equal (rule.error, ENOSPC);
}

/* Blanks and backslashes of a path, and bytes by their number. */
static void
test_escapes (void **state)
{
  static const char file[] = "test-faultrule a\\b  \xff";
  FILE *fp = fopen (file, "w");
  struct message why;
  char *text, *again;

  (void) state;
  assert_non_null (fp);
  fputs ("50,100\n", fp);
  fclose (fp);
  parse ("op=read delay=file:test-faultrule\\ a\\\\b\\ \\ \\xfF  na\\me=x");
  assert_string_equal (rule.name, "x");
  text = fault_spec_format (&rule);
  assert_non_null (strstr (text, "/test-faultrule\\ a\\\\b\\ \\ \xff"));
  parse (text);
  again = fault_spec_format (&rule);
  assert_string_equal (again, text);
  free (again);
  free (text);
  remove (file);

  /* What is no number of a byte is what stands there. */
  fault_spec_clear (&rule);
  assert_int_equal (fault_spec_parse ("hang \\x00\\x0g\\", &rule, &why),
                    -EINVAL);
  assert_non_null (strstr (why.text, "'x00x0g\\': allowed words"));
}

static void
test_operations (void **state)
{
  static const struct {
    const char *text;
    unsigned operations;
  } table[] = {
      {"op=read hang", 1U << OP_READ},
      {"op=write hang", 1U << OP_WRITE},
      {"op=flush hang", 1U << OP_FLUSH},
      {"op=trim hang", 1U << OP_TRIM},
      {"op=zero hang", 1U << OP_ZERO},
      {"op=zone hang", 1U << OP_ZONE},
      {"op=zone,read,read hang", 1U << OP_ZONE | 1U << OP_READ},
      {"op=all hang", 63},
      {"hang", 63},
      {"disconnect", 63},
      {"delay=1ms", 63},
      /* All that can be corrupted so. */
      {"corrupt=flip", 1U << OP_READ | 1U << OP_WRITE},
      {"corrupt=zero", 1U << OP_READ | 1U << OP_WRITE},
      {"op=all corrupt=zero", 1U << OP_READ | 1U << OP_WRITE},
      {"op=read corrupt=flip", 1U << OP_READ},
      {"corrupt=stale", 63 & ~(1U << OP_READ)},
      {"op=flush corrupt=stale", 1U << OP_FLUSH},
  };
  size_t i;

  (void) state;
  for (i = 0; i < NR (table); i++) {
    parse (table[i].text);
    if (rule.operations != table[i].operations)
      fail_msg ("%s: 0x%x", table[i].text, rule.operations);
  }
}

static void
test_errors (void **state)
{
  (void) state;
  parse ("error=EPERM");
  assert_int_equal (rule.error, EPERM);
  parse ("error=EIO");
  assert_int_equal (rule.error, EIO);
  parse ("error=ENOMEM");
  assert_int_equal (rule.error, ENOMEM);
  parse ("error=EINVAL");
  assert_int_equal (rule.error, EINVAL);
  parse ("error=ENOSPC");
  assert_int_equal (rule.error, ENOSPC);
  parse ("error=ESHUTDOWN");
  assert_int_equal (rule.error, ESHUTDOWN);
}

static void
test_rates (void **state)
{
  static const struct {
    const char *text;
    uint32_t rate;
  } table[] = {
      {"0", 0},
      {"0%", 0},
      {"0:7", 0},
      {"1", PARTS_PER_WHOLE},
      {"1.000", PARTS_PER_WHOLE},
      {"100%", PARTS_PER_WHOLE},
      {"7:7", PARTS_PER_WHOLE},
      {"1%", 10000000},
      {"0.5%", 5000000},
      {"0.0000001%", 1},
      {"99.9999999%", 999999999},
      {"0.01", 10000000},
      {"0.000000001", 1},
      {"0.0000000019", 1},
      {"1:3", 333333333},
      {"2:3", 666666666},
      {"1:1000000000", 1},
      {"999999999:1000000000", 999999999},
  };
  char text[64];
  size_t i;

  (void) state;
  for (i = 0; i < NR (table); i++) {
    snprintf (text, sizeof text, "rate=%s hang", table[i].text);
    parse (text);
    if (rule.rate != table[i].rate)
      fail_msg ("%s: %u", text, rule.rate);
  }
}

static void
test_zones (void **state)
{
  (void) state;
  parse ("zones=3,7-9,0-18446744073709551615 hang");
  assert_int_equal (rule.nr_zones, 3);
  assert_int_equal (rule.zones[0].first, 3);
  assert_int_equal (rule.zones[0].last, 3);
  assert_int_equal (rule.zones[1].first, 7);
  assert_int_equal (rule.zones[1].last, 9);
  assert_int_equal (rule.zones[2].first, 0);
  assert_int_equal (rule.zones[2].last, UINT64_MAX);
}

static void
test_delays (void **state)
{
  static const char *const texts[] = {
      "100us",
      "uniform:50us-150us",
      "normal:1ms,1us",
      "lognormal:p50=80us,p99=2ms",
      "0",
      "percentiles:p50=80us,p99=900us,p99.9=5ms",
  };
  char text[80];
  size_t i, op;

  (void) state;
  for (i = 0; i < NR (texts); i++) {
    snprintf (text, sizeof text, "delay=%s", texts[i]);
    parse (text);
    assert_int_equal (rule.action, FAULT_DELAY);
    for (op = 0; op < NR_OPERATIONS; op++)
      assert_string_equal (distribution_text (rule.delay[op]), texts[i]);
  }
}

/* The word is named, and what is allowed. */
static void
test_wrong (void **state)
{
  static const struct {
    const char *text;
    const char *word, *allowed;
  } table[] = {
      {"", "", "a rule needs an action: error="},
      {" \t", "", "a rule needs an action"},
      {"op=write", "", "a rule needs an action"},
      {"error=EIO foo", "'foo'", "allowed words are name=, device=, op="},
      {"error=EIO foo=1", "'foo=1'", "allowed words are"},
      {"error=EIO op", "'op'", "allowed words are"},
      {"error=EIO =", "'='", "allowed words are"},
      {"hang=1", "'hang=1'", "allowed words are"},
      {"hangs", "'hangs'", "allowed words are"},
      {"Hang", "'Hang'", "allowed words are"},
      {"OP=read hang", "'OP=read'", "allowed words are"},
      {"on=read corrupt=flip", "'on=read'", "allowed words are"},
      {"op=read op=read hang", "'op=read'", "op= is given twice"},
      {"hang hang", "'hang'", "hang is given twice"},
      {"hang error=EIO", "'error=EIO'", "one action, and hang is given"},
      {"error=EIO delay=1ms", "'delay=1ms'", "one action, and error= is"},
      {"corrupt=flip hang", "'hang'", "one action, and corrupt= is given"},
      {"disconnect corrupt=flip", "'corrupt=flip'", "and disconnect is given"},

      {"hang op=", "'op='", "read, write, flush, trim, zero and zone"},
      {"hang op=reed", "'op=reed'", "read, write, flush"},
      {"hang op=read,", "'op=read,'", "read, write, flush"},
      {"hang op=,read", "'op=,read'", "read, write, flush"},
      {"hang op=read,,trim", "'op=read,,trim'", "read, write, flush"},
      {"hang op=read,all", "'op=read,all'", "read, write, flush"},
      {"hang op=READ", "'op=READ'", "read, write, flush"},
      {"hang op=read, write", "'op=read,'", "read, write, flush"},

      {"hang range=1M", "'range=1M'", "OFFSET+LENGTH"},
      {"hang range=", "'range='", "OFFSET+LENGTH"},
      {"hang range=+", "'range=+'", "OFFSET+LENGTH"},
      {"hang range=1M+", "'range=1M+'", "OFFSET+LENGTH"},
      {"hang range=+1M", "'range=+1M'", "OFFSET+LENGTH"},
      {"hang range=0+0", "'range=0+0'", "LENGTH more than 0"},
      {"hang range=1+1+1", "'range=1+1+1'", "OFFSET+LENGTH"},
      {"hang range=-1+1", "'range=-1+1'", "OFFSET+LENGTH"},
      {"hang range=8E+1", "'range=8E+1'", "at most 2^63"},
      {"hang range=15E+15E", "'range=15E+15E'", "at most 2^63"},
      {"hang range=99E+1", "'range=99E+1'", "OFFSET+LENGTH"},

      {"hang zones=", "'zones='", "zones N or N-N"},
      {"hang zones=a", "'zones=a'", "zones N or N-N"},
      {"hang zones=1,", "'zones=1,'", "zones N or N-N"},
      {"hang zones=,1", "'zones=,1'", "zones N or N-N"},
      {"hang zones=2-1", "'zones=2-1'", "zones N or N-N"},
      {"hang zones=1-2-3", "'zones=1-2-3'", "zones N or N-N"},
      {"hang zones=-1", "'zones=-1'", "zones N or N-N"},
      {"hang zones=1-", "'zones=1-'", "zones N or N-N"},
      {"hang zones=1K", "'zones=1K'", "zones N or N-N"},
      {"hang zones=0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,"
       "9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,"
       "4",
       "'zones=0,1", "up to 64 zones"},
      {"hang zones=1 range=0+1", "range= and zones=", "one of them"},

      {"hang from=1", "'from=1'", "a duration from 0 to 86400s"},
      {"hang from=", "'from='", "a duration"},
      {"hang from=86401s", "'from=86401s'", "a duration from 0 to 86400s"},
      {"hang for=0", "'for=0'", "more than 0"},
      {"hang for=0s", "'for=0s'", "more than 0"},
      {"hang for=1m", "'for=1m'", "units: ns, us, ms, s"},
      {"hang for=-1s", "'for=-1s'", "a duration"},
      {"hang after=", "'after='", "a whole number"},
      {"hang after=-1", "'after=-1'", "a whole number"},
      {"hang after=1K", "'after=1K'", "a whole number"},
      {"hang after=18446744073709551616", "'after=1844", "a whole number"},
      {"hang every=0", "'every=0'", "a whole number, 1 or more"},
      {"hang every=1.5", "'every=1.5'", "a whole number, 1 or more"},
      {"hang count=0", "'count=0'", "a whole number, 1 or more"},
      {"hang count=x", "'count=x'", "a whole number, 1 or more"},
      {"hang rate=", "'rate='", "0% to 100%, 0 to 1, or N:M"},
      {"hang rate=%", "'rate=%'", "0% to 100%"},
      {"hang rate=101%", "'rate=101%'", "0% to 100%"},
      {"hang rate=100.1%", "'rate=100.1%'", "0% to 100%"},
      {"hang rate=-1%", "'rate=-1%'", "0% to 100%"},
      {"hang rate=1.%", "'rate=1.%'", "0% to 100%"},
      {"hang rate=.5", "'rate=.5'", "0% to 100%"},
      {"hang rate=0.", "'rate=0.'", "0% to 100%"},
      {"hang rate=00.5", "'rate=00.5'", "0% to 100%"},
      {"hang rate=1.01", "'rate=1.01'", "0 to 1"},
      {"hang rate=2", "'rate=2'", "0 to 1"},
      {"hang rate=0.5x", "'rate=0.5x'", "0 to 1"},
      {"hang rate=1e-3", "'rate=1e-3'", "0 to 1"},
      {"hang rate=2:1", "'rate=2:1'", "N at most M"},
      {"hang rate=0:0", "'rate=0:0'", "N:M"},
      {"hang rate=1:", "'rate=1:'", "N:M"},
      {"hang rate=:1", "'rate=:1'", "N:M"},
      {"hang rate=1:2:3", "'rate=1:2:3'", "N:M"},
      {"hang rate=0.0000000005", "'rate=0.0000000005'", "no less than one of"},
      {"hang rate=0.00000009%", "'rate=0.00000009%'", "no less than one of"},
      {"hang rate=1:1000000001", "'rate=1:1000000001'", "M at most 10^9"},

      {"hang name=", "'name='", "a letter"},
      {"hang name=1a", "'name=1a'", "a letter"},
      {"hang name=all", "'name=all'", "not \"all\""},
      {"hang name=others", "'name=others'", "\"others\""},
      {"hang name=a/b", "'name=a/b'", "a letter"},
      {"hang name=a234567890123456789012345678901x", "'name=a2345",
       "30 letters"},
      {"hang device=", "'device='", "nullb0 and up"},
      {"hang device=0", "'device=0'", "nullb0 and up"},
      {"hang device=nullb", "'device=nullb'", "nullb0 and up"},
      {"hang device=nullb0.config", "'device=nullb0.config'", "nullb0"},
      {"hang device=nullb4294967295", "'device=nullb4", "nullb0 and up"},

      {"error=", "'error='", "EPERM, EIO, ENOMEM"},
      {"error=5", "'error=5'", "EPERM, EIO, ENOMEM"},
      {"error=EROFS", "'error=EROFS'", "NBD carries no other"},
      {"error=ETIMEDOUT", "'error=ETIMEDOUT'", "NBD carries no other"},
      {"error=eio", "'error=eio'", "EPERM, EIO"},
      {"delay=", "'delay='", "allowed"},
      {"delay=1", "'delay=1'", "allowed"},
      {"delay=101s", "'delay=101s'", "allowed"},
      {"delay=seek:track=1ms,full=16ms,rpm=7200", "'delay=seek:", "but seek"},
      {"delay=uniform:2ms-1ms", "'delay=uniform:2ms-1ms'", ""},
      {"delay=file:/nonexistent", "'delay=file:/nonexistent'", ""},
      {"corrupt=", "'corrupt='", "flip, zero or stale"},
      {"corrupt=random", "'corrupt=random'", "flip, zero or stale"},
      {"corrupt=flip op=trim", "'corrupt=flip'", "op= is read, write"},
      {"corrupt=zero op=read,flush", "'corrupt=zero'", "op= is read, write"},
      {"op=read corrupt=stale", "'corrupt=stale'",
       "op= is write, flush, trim, zero, zone"},
      {"op=flush range=0+1 hang", "'op=flush'", "range= never meets one"},
      {"zones=1 op=flush hang", "'op=flush'", "zones= never meets one"},
  };
  struct message why;
  size_t i;

  (void) state;
  for (i = 0; i < NR (table); i++) {
    why.text[0] = '\0';
    if (fault_spec_parse (table[i].text, &rule, &why) != -EINVAL)
      fail_msg ("'%s' is taken", table[i].text);
    if (strstr (why.text, table[i].word) == NULL ||
        strstr (why.text, table[i].allowed) == NULL || why.text[0] == '\0')
      fail_msg ("'%s': %s", table[i].text, why.text);
  }
}

/* Each word that is allowed, and no other. */
static void
test_wrong_whole (void **state)
{
  struct message why;

  (void) state;
  assert_int_equal (fault_spec_parse ("corrupt=random", &rule, &why), -EINVAL);
  assert_string_equal (why.text, "'corrupt=random': allowed after corrupt= is "
                                 "flip, zero or stale");
}

/* Any bytes at all: nothing breaks, and what is refused has a reason. */
static void
test_garbage (void **state)
{
  static const char *const pieces[] = {
      "op=",      "read",         "write",  ",",     "range=", "1M",
      "+",        "zones=",       "-",      "9",     "rate=",  "%",
      ":",        "every=",       "error=", "EIO",   "delay=", "uniform:",
      "1ms",      "for=",         " ",      "hang",  "name=",  "a",
      "corrupt=", "flip",         "\x80",   "\x01",  " ",      " ",
      "=",        "device=nullb", "0",      "stale", "count=",
  };
  uint64_t random = new_seed ("garbage");
  unsigned taken = 0;
  struct message why;
  char text[512];
  int i, n, r;

  (void) state;
  for (i = 0; i < 200000; i++) {
    text[0] = '\0';
    for (n = (int) random_below (&random, 14); n > 0; n--)
      strcat (text, pieces[random_below (&random, NR (pieces))]);
    why.text[0] = '\0';
    fault_spec_clear (&rule);
    r = fault_spec_parse (text, &rule, &why);
    if (r != 0 && (r != -EINVAL || why.text[0] == '\0'))
      fail_msg ("'%s': %d", text, r);
    taken += r == 0;
  }
  assert_in_range (taken, 1, 199999);
}

/*---------------------------------------------------------------------*/
/* Format */

static void
test_format (void **state)
{
  static const struct {
    const char *text, *format;
  } table[] = {
      {"hang", "hang"},
      {"disconnect", "disconnect"},
      {"  error=EIO  op=all after=0 every=1 rate=1 from=0", "error=EIO"},
      {"op=write,read corrupt=flip", "corrupt=flip"},
      {"op=write corrupt=zero", "op=write corrupt=zero"},
      {"corrupt=stale", "corrupt=stale"},
      {"delay=1.5ms op=zone,read", "op=read,zone delay=1500us"},
      {"delay=uniform:50us-150us", "delay=uniform:50us-150us"},
      {"for=10s error=EIO count=5 op=write rate=1:100 after=100 every=10 "
       "range=1048576+64K name=x from=1000ms device=nullb7",
       "name=x device=nullb7 op=write range=1M+64K from=1s for=10s after=100 "
       "every=10 rate=1% count=5 error=EIO"},
      {"hang zones=3,7-9,5-5", "zones=3,7-9,5 hang"},
      {"rate=1:3 hang", "rate=33.3333333% hang"},
      {"rate=0 hang", "rate=0% hang"},
      {"range=0+8E hang", "range=0+8E hang"},
  };
  char *text;
  size_t i;

  (void) state;
  for (i = 0; i < NR (table); i++) {
    parse (table[i].text);
    text = fault_spec_format (&rule);
    assert_string_equal (text, table[i].format);
    free (text);
  }
}

static uint64_t
some_number (uint64_t *random)
{
  return next_random (random) >> random_below (random, 64);
}

static bool
now_and_then (uint64_t *random)
{
  return random_below (random, 3) == 0;
}

static void
make_action (struct fault_spec *r, uint64_t *random)
{
  static const int errors[] = {EPERM, EIO, ENOMEM, EINVAL, ENOSPC, ESHUTDOWN};
  char text[64];
  struct message why;

  r->action = (enum fault_action) random_below (random, NR_FAULT_ACTIONS);
  switch (r->action) {
  case FAULT_ERROR:
    r->error = errors[random_below (random, NR (errors))];
    break;
  case FAULT_DELAY:
    snprintf (text, sizeof text,
              now_and_then (random) ? "uniform:0-%dns" : "%dns",
              1 + (int) random_below (random, INT32_MAX));
    assert_int_equal (distribution_parse_all (text, r->delay, &why), 0);
    break;
  default:
    break;
  }
  r->operations &= fault_actions[r->action].operations;
  if (r->operations == 0)
    r->operations = fault_actions[r->action].operations;
}

static void
make_rule (struct fault_spec *r, uint64_t *random)
{
  unsigned i;

  memset (r, 0, sizeof *r);
  if (now_and_then (random))
    snprintf (r->name, sizeof r->name, "n%u",
              (unsigned) random_below (random, 1000));
  r->device = now_and_then (random) ? (uint32_t) random_below (random, 1024)
                                    : ANY_DEVICE;
  r->operations =
      now_and_then (random) ? 1 + (unsigned) random_below (random, 63) : 63;
  make_action (r, random);
  if (r->operations != 1U << OP_FLUSH && now_and_then (random)) {
    if (now_and_then (random)) {
      r->nr_zones = 1 + (unsigned) random_below (random, MAX_ZONE_SPANS);
      r->zones = malloc (r->nr_zones * sizeof r->zones[0]);
      assert_non_null (r->zones);
      for (i = 0; i < r->nr_zones; i++) {
        r->zones[i].first = some_number (random);
        r->zones[i].last = r->zones[i].first;
        if (now_and_then (random) && r->zones[i].first < UINT64_MAX)
          r->zones[i].last +=
              some_number (random) % (UINT64_MAX - r->zones[i].first);
      }
    }
    else {
      r->start = some_number (random) % INT64_MAX;
      r->end = r->start + 1 + some_number (random) % (INT64_MAX - r->start);
    }
  }
  r->from_ns =
      now_and_then (random) ? some_number (random) % MAX_FAULT_WINDOW : 0;
  r->for_ns =
      now_and_then (random) ? some_number (random) % MAX_FAULT_WINDOW : 0;
  r->after = now_and_then (random) ? some_number (random) : 0;
  r->every = now_and_then (random) ? 1 + some_number (random) / 2 : 1;
  r->count = now_and_then (random) ? some_number (random) : 0;
  r->rate = now_and_then (random)
                ? (uint32_t) random_below (random, PARTS_PER_WHOLE + 1)
                : PARTS_PER_WHOLE;
}

static void
compare (const struct fault_spec *a, const struct fault_spec *b)
{
  unsigned i;

  assert_string_equal (a->name, b->name);
  assert_int_equal (a->device, b->device);
  assert_int_equal (a->operations, b->operations);
  assert_int_equal (a->start, b->start);
  assert_int_equal (a->end, b->end);
  assert_int_equal (a->nr_zones, b->nr_zones);
  for (i = 0; i < a->nr_zones; i++) {
    assert_int_equal (a->zones[i].first, b->zones[i].first);
    assert_int_equal (a->zones[i].last, b->zones[i].last);
  }
  assert_int_equal (a->from_ns, b->from_ns);
  assert_int_equal (a->for_ns, b->for_ns);
  assert_int_equal (a->after, b->after);
  assert_int_equal (a->every, b->every);
  assert_int_equal (a->rate, b->rate);
  assert_int_equal (a->count, b->count);
  assert_int_equal (a->action, b->action);
  assert_int_equal (a->error, b->error);
  for (i = 0; i < NR_OPERATIONS; i++) {
    assert_int_equal (a->delay[i] != NULL, b->delay[i] != NULL);
    if (a->delay[i] != NULL)
      assert_string_equal (distribution_text (a->delay[i]),
                           distribution_text (b->delay[i]));
  }
}

/* The words of TEXT in another order; it changes. */
static char *
shuffle (char *text, uint64_t *random)
{
  char *words[20], *mixed = calloc (strlen (text) + 2, 1), *rest;
  size_t n = 0, i, j;

  for (words[n] = strtok_r (text, " ", &rest); words[n] != NULL;
       words[n] = strtok_r (NULL, " ", &rest))
    n++;
  for (i = 0; i < n; i++) {
    j = i + random_below (random, n - i);
    strcat (strcat (mixed, words[j]), " ");
    words[j] = words[i];
  }
  return mixed;
}

static void
test_round_trip (void **state)
{
  uint64_t random = new_seed ("rules");
  struct fault_spec made, again;
  char *text, *mixed, *last;
  struct message why;
  int i;

  (void) state;
  for (i = 0; i < 50000; i++) {
    make_rule (&made, &random);
    text = fault_spec_format (&made);
    if (fault_spec_parse (text, &again, &why) != 0)
      fail_msg ("%s: %s", text, why.text);
    compare (&made, &again);
    fault_spec_clear (&again);

    mixed = shuffle (last = strdup (text), &random);
    free (last);
    assert_int_equal (fault_spec_parse (mixed, &again, &why), 0);
    last = fault_spec_format (&again);
    assert_string_equal (last, text);
    fault_spec_clear (&again);
    fault_spec_clear (&made);
    free (last);
    free (mixed);
    free (text);
  }
}

/*---------------------------------------------------------------------*/
/* Places */

static void
test_range (void **state)
{
  (void) state;
  parse ("range=4K+8K hang");
  assert_false (fault_spec_touches (&rule, 0, 4096, 0));
  assert_true (fault_spec_touches (&rule, 0, 4097, 0));
  assert_true (fault_spec_touches (&rule, 4096, 512, 0));
  assert_true (fault_spec_touches (&rule, 8192, 512, 1 << 20));
  assert_true (fault_spec_touches (&rule, 12287, 1, 0));
  assert_false (fault_spec_touches (&rule, 12288, 4096, 0));
  assert_true (fault_spec_touches (&rule, 0, INT64_MAX, 0));
  assert_false (fault_spec_touches (&rule, 0, 0, 0));
  assert_false (fault_spec_touches (&rule, 8192, 0, 0));
  parse ("range=9223372036854775807+1 hang");
  assert_true (fault_spec_touches (&rule, INT64_MAX - 1, 2, 0));
  assert_false (fault_spec_touches (&rule, INT64_MAX - 1, 1, 0));
  parse ("hang");
  assert_true (fault_spec_touches (&rule, 0, 0, 0));
  assert_true (fault_spec_touches (&rule, 123, 1, 0));
}

static void
test_zone_places (void **state)
{
  const uint64_t size = 1000; /* any size will do */

  (void) state;
  parse ("zones=3,7-9 hang");
  assert_false (fault_spec_touches (&rule, 2999, 1, size));
  assert_true (fault_spec_touches (&rule, 2999, 2, size));
  assert_true (fault_spec_touches (&rule, 3000, 1, size));
  assert_true (fault_spec_touches (&rule, 3999, 1, size));
  assert_false (fault_spec_touches (&rule, 4000, 3000, size));
  assert_true (fault_spec_touches (&rule, 4000, 3001, size));
  assert_true (fault_spec_touches (&rule, 9999, 500, size));
  assert_false (fault_spec_touches (&rule, 10000, 500, size));
  assert_true (fault_spec_touches (&rule, 0, 100000, size));
  assert_false (fault_spec_touches (&rule, 3000, 0, size));
  assert_false (fault_spec_touches (&rule, 3000, 1, 0));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown (test_plain, tear_down),
      cmocka_unit_test_teardown (test_all_words, tear_down),
      cmocka_unit_test_teardown (test_escapes, tear_down),
      cmocka_unit_test_teardown (test_operations, tear_down),
      cmocka_unit_test_teardown (test_errors, tear_down),
      cmocka_unit_test_teardown (test_rates, tear_down),
      cmocka_unit_test_teardown (test_zones, tear_down),
      cmocka_unit_test_teardown (test_delays, tear_down),
      cmocka_unit_test_teardown (test_wrong, tear_down),
      cmocka_unit_test_teardown (test_wrong_whole, tear_down),
      cmocka_unit_test_teardown (test_garbage, tear_down),
      cmocka_unit_test_teardown (test_format, tear_down),
      cmocka_unit_test_teardown (test_round_trip, tear_down),
      cmocka_unit_test_teardown (test_range, tear_down),
      cmocka_unit_test_teardown (test_zone_places, tear_down),
  };

  return RUN_TESTS (tests);
}
