/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Which requests fault rules hit, on a real server: each condition by itself,
 * then several, several rules, and rules that come and go.  What each counted
 * proves it.  What rules do to requests is in test-faults-actions.c and
 * test-faults-hang.c.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "faulty.h"

/* For conditions: much longer than they take. */
#define BOUND (60000 * MSEC)

/* All rules here have error=ENOSPC, which nothing else gives. */
static bool
is_hit (int result)
{
  return result == -1 && nbd_get_errno () == ENOSPC;
}

/* Whether N writes in a row are hit: 'x' or '.'. */
static const char *
hits_of (unsigned n)
{
  static char hits[512];
  unsigned i;

  assert_true (n < sizeof hits);
  for (i = 0; i < n; i++)
    hits[i] = is_hit (write_at (0)) ? 'x' : '.';
  hits[n] = '\0';
  return hits;
}

/*---------------------------------------------------------------------*/
/* One condition */

/* A zone command in a zone that has a write pointer, all else in one that has
 * none, so that all of them succeed without rules.
 */
static bool
operation_is_hit (enum operation op)
{
  const int r = request (op);

  if (!is_hit (r))
    assert_done (r);
  return r == -1;
}

static void
op_each (void **state)
{
  char rule[40];
  unsigned i, op;

  (void) state;
  SERVE_ZONED ("seed=1");
  for (i = 0; i < NR_OPERATIONS; i++) {
    snprintf (rule, sizeof rule, "op=%s error=ENOSPC", operation_words[i]);
    set_rule (rule);
    for (op = 0; op < NR_OPERATIONS; op++)
      assert_int_equal (operation_is_hit (op), op == i);
    assert_rule (stats, i + 1, 1, 1);
  }
}

static void
op_several_and_all (void **state)
{
  static const struct {
    const char *op;
    unsigned operations;
  } table[] = {
      {"op=trim,read", 1U << OP_TRIM | 1U << OP_READ},
      {"op=zone,flush,zero", 1U << OP_ZONE | 1U << OP_FLUSH | 1U << OP_ZERO},
      {"op=all", (1U << NR_OPERATIONS) - 1},
      {"", (1U << NR_OPERATIONS) - 1},
  };
  char rule[40];
  unsigned i, op;

  (void) state;
  SERVE_ZONED ("seed=1");
  for (i = 0; i < sizeof table / sizeof table[0]; i++) {
    snprintf (rule, sizeof rule, "%s error=ENOSPC", table[i].op);
    set_rule (rule);
    for (op = 0; op < NR_OPERATIONS; op++)
      assert_int_equal (operation_is_hit (op), table[i].operations >> op & 1);
  }
}

/* Flags do not make another operation of a request, and what is none of the
 * words is not hit.
 */
static void
op_with_flags_and_others (void **state)
{
  (void) state;
  SERVE ("1M", "fault=op=write error=ENOSPC", "fault=op=zero error=ENOSPC",
         "fault=error=ENOSPC");
  assert_true (is_hit (nbd_pwrite (h, buf, 4096, 0, LIBNBD_CMD_FLAG_FUA)));
  assert_rule (stats, 1, 1, 1);
  assert_true (is_hit (nbd_zero (h, 4096, 0, LIBNBD_CMD_FLAG_FUA)));
  assert_true (is_hit (nbd_zero (h, 4096, 0, LIBNBD_CMD_FLAG_NO_HOLE)));
  assert_true (is_hit (nbd_zero (h, 4096, 0, LIBNBD_CMD_FLAG_FAST_ZERO)));
  assert_rule (stats, 2, 3, 3);
  assert_done (nbd_cache (h, 4096, 0, 0));
  assert_done (ask_extents (h, 4096, 0, 0));
  assert_rule (stats, 3, 4, 4);
}

static void
op_zone_is_every_command (void **state)
{
  static const uint8_t conds[] = {ZONE_COND_EMPTY,    ZONE_COND_EXP_OPEN,
                                  ZONE_COND_CLOSED,   ZONE_COND_FULL,
                                  ZONE_COND_READONLY, ZONE_COND_OFFLINE};
  static const char reset[] = "zones=reset\n";
  struct zone_descriptor d = {.start = 0};
  unsigned i;

  (void) state;
  SERVE_ZONED ("fault=op=zone error=ENOSPC");
  assert_done (write_at (ZONE));
  for (i = 0; i < sizeof conds; i++) {
    d.cond = conds[i];
    assert_true (is_hit (nbd_pwrite (zones, &d, sizeof d, sizeof d, 0)));
    assert_int_equal (descriptor (1).cond, ZONE_COND_IMP_OPEN);
  }
  assert_true (is_hit (nbd_pwrite (config, reset, strlen (reset), 0, 0)));
  assert_int_equal (descriptor (1).cond, ZONE_COND_IMP_OPEN);
  assert_rule (stats, 1, 7, 7);
  /* A trim that resets is a trim. */
  assert_done (nbd_trim (h, ZONE, ZONE, 0));
  assert_int_equal (descriptor (1).cond, ZONE_COND_EMPTY);
  assert_rule (stats, 1, 7, 7);
}

/* The first and the last byte count, and nothing beside them. */
static void
check_range (uint64_t first, uint64_t end)
{
  assert_done (write_at (first - 4096));
  assert_true (is_hit (write_at (first)));
  assert_true (is_hit (write_at (first - 4096 + 512)));
  assert_true (is_hit (nbd_pwrite (h, buf, sizeof buf, first - 4096, 0)));
  assert_true (is_hit (write_at (end - 512)));
  assert_true (is_hit (nbd_trim (h, end + 4096, 0, 0)));
  assert_done (write_at (end));
  assert_done (nbd_flush (h, 0));
}

static void
range (void **state)
{
  (void) state;
  SERVE ("7E", "fault=range=1M+16K error=ENOSPC");
  check_range (MIB, MIB + 16 * KIB);
  assert_rule (stats, 1, 5, 5);
  assert_stats_have (stats, "\"rule\": \"range=1M+16K error=ENOSPC\"");
  set_rule ("range=1048576+4096 error=ENOSPC");
  check_range (MIB, MIB + 4096);
  assert_stats_have (stats, "\"rule\": \"range=1M+4K error=ENOSPC\"");
  /* A byte is enough to touch a block. */
  set_rule ("range=1048700+1 error=ENOSPC");
  assert_done (nbd_pwrite (h, buf, 512, MIB - 512, 0));
  assert_true (is_hit (nbd_pwrite (h, buf, 512, MIB, 0)));
  assert_done (nbd_pwrite (h, buf, 512, MIB + 512, 0));
  set_rule ("range=4E+4E error=ENOSPC");
  assert_done (write_at ((UINT64_C (1) << 62) - 4096));
  assert_true (is_hit (write_at (UINT64_C (1) << 62)));
  assert_true (is_hit (write_at (7 * (UINT64_C (1) << 60) - 4096)));
}

/* Zones 3 and 7 to 9, of all that has a place; a zone command's is its zone. */
static void
check_zones (void)
{
  unsigned zone, op;

  for (zone = 0; zone < 16; zone++) {
    for (op = 0; op < NR_OPERATIONS; op++)
      assert_int_equal (is_hit (request_in_zone (h, zones, op, zone)),
                        op != OP_FLUSH &&
                            (zone == 3 || (zone >= 7 && zone <= 9)));
  }
  assert_done (nbd_pread (h, out, ZONE - 512, 2 * ZONE, 0));
  assert_true (is_hit (nbd_pread (h, out, ZONE, 2 * ZONE + 512, 0)));
  assert_true (is_hit (nbd_pread (h, out, ZONE, 9 * ZONE + 512, 0)));
  assert_rule (stats, 1, 22, 22);
}

static void
zones_of_a_zoned_device (void **state)
{
  (void) state;
  SERVE_ZONED ("fault=zones=3,7-9 error=ENOSPC");
  check_zones ();
}

static void
range_of_a_zoned_device (void **state)
{
  unsigned zone;

  (void) state;
  SERVE_ZONED ("fault=op=zone range=255K+2K error=ENOSPC");
  for (zone = 0; zone < 16; zone++)
    assert_int_equal (is_hit (request_in_zone (h, zones, OP_ZONE, zone)),
                      zone == 3 || zone == 4);
  assert_rule (stats, 1, 2, 2);
}

static void
zones_of_a_device_without (void **state)
{
  unsigned op;

  (void) state;
  SERVE ("1M", "fault=zones=0-15 error=ENOSPC");
  for (op = 0; op < OP_ZONE; op++)
    assert_done (request_in_zone (h, NULL, op, 0));
  assert_rule (stats, 1, 0, 0);
}

static void
device (void **state)
{
  struct nbd_handle *other, *other_stats;

  (void) state;
  SERVE ("1M", "devices=2", "fault=device=nullb1 error=ENOSPC",
         "fault=op=flush count=1 error=ENOSPC");
  other = connect_to ("nullb1");
  other_stats = connect_to ("nullb1.stats");
  assert_done (nbd_pread (h, out, 512, 0, 0));
  assert_true (is_hit (nbd_pread (other, out, 512, 0, 0)));
  /* Each device has a rule of its own of what is for all. */
  assert_true (is_hit (nbd_flush (h, 0)));
  assert_done (nbd_flush (h, 0));
  assert_true (is_hit (nbd_flush (other, 0)));
  assert_rule (stats, 1, 2, 1);
  assert_rule (other_stats, 1, 2, 2);
  assert_rule (other_stats, 2, 1, 1);
  assert_change_refused (config, "fault=device=nullb1 error=ENOSPC\n",
                         "fault: 'device=nullb1': this is nullb0");
}

static void
after (void **state)
{
  (void) state;
  SERVE ("1M", "fault=op=write after=3 error=ENOSPC");
  assert_done (nbd_pread (h, out, 512, 0, 0)); /* which is not counted */
  assert_string_equal (hits_of (8), "...xxxxx");
  assert_rule (stats, 1, 8, 5);
}

static void
every (void **state)
{
  (void) state;
  SERVE ("1M", "fault=op=write every=3 error=ENOSPC");
  assert_string_equal (hits_of (10), "..x..x..x.");
  assert_rule (stats, 1, 10, 3);
}

static void
count (void **state)
{
  (void) state;
  SERVE ("1M", "fault=op=write count=3 error=ENOSPC");
  assert_string_equal (hits_of (2), "xx");
  assert_stats_have (stats, "\"hits\": 2, \"spent\": false}");
  assert_string_equal (hits_of (4), "x...");
  assert_stats_have (stats, "\"hits\": 3, \"spent\": true}");
  assert_rule (stats, 1, 6, 3);
}

/* All forms of a share mean the same. */
static void
rate (void **state)
{
  static const char *const rates[] = {
      "fault=op=write rate=25% error=ENOSPC",
      "fault=op=write rate=0.25 error=ENOSPC",
      "fault=op=write rate=1:4 error=ENOSPC",
  };
  char first[501];
  unsigned run, i, n;

  for (run = 0; run < 3; run++) {
    SERVE ("1M", "seed=3", rates[run]);
    if (run == 0)
      strcpy (first, hits_of (500));
    else
      assert_string_equal (hits_of (500), first);
    assert_stats_have (stats, "\"rule\": \"op=write rate=25% error=ENOSPC\"");
    for (i = n = 0; i < 500; i++)
      n += first[i] == 'x';
    assert_rule (stats, 1, 500, n);
    /* Always the same number; 125 and six deviations of it, of 10. */
    assert_in_range (n, 65, 185);
    stop_server (state);
  }
}

static void
rate_none_and_all (void **state)
{
  (void) state;
  SERVE ("1M", "fault=op=write rate=0% error=ENOSPC",
         "fault=op=flush rate=100% error=ENOSPC");
  assert_null (strchr (hits_of (500), 'x'));
  assert_rule (stats, 1, 500, 0);
  assert_true (is_hit (nbd_flush (h, 0)));
  assert_rule (stats, 2, 1, 1);
}

/*---------------------------------------------------------------------*/
/* A window of time.  When a request arrives is known to lie between when it was
 * sent and when it was answered, and so is when a rule was added: what is said
 * here holds however slow the machine is.
 */

static uint64_t added_after, added_before;

static void
add (const char *lines)
{
  added_after = monotonic_ns ();
  change_settings (config, lines);
  added_before = monotonic_ns ();
}

/* Writes until one of them is hit, or is not.  Returns when it was answered. */
static uint64_t
wait_until_hit (bool hit)
{
  const uint64_t begin = monotonic_ns ();

  while (is_hit (write_at (0)) != hit) {
    if (monotonic_ns () > begin + BOUND)
      fail_msg ("it never becomes %d", hit);
  }
  return monotonic_ns ();
}

static void
window_for (void **state)
{
  uint64_t end;

  (void) state;
  SERVE ("1M", "fault=op=flush for=86400s error=ENOSPC");
  assert_true (is_hit (nbd_flush (h, 0)));
  add ("fault=op=write for=300ms error=ENOSPC\n");
  end = wait_until_hit (false);
  assert_true (end - added_after >= 300 * MSEC);
  assert_string_equal (hits_of (20), "....................");
  assert_true (is_hit (nbd_flush (h, 0)));
  /* It counts on, and is not spent. */
  assert_stats_have (stats, "for=300ms error=ENOSPC\", \"evaluated\": ");
  assert_null (strstr (read_stats (stats), "\"spent\": true"));
}

static void
window_from (void **state)
{
  uint64_t begin;

  (void) state;
  SERVE ("1M", "fault=op=flush from=86400s error=ENOSPC");
  assert_done (nbd_flush (h, 0));
  assert_rule (stats, 1, 1, 0);
  add ("fault=op=write from=300ms error=ENOSPC\n");
  begin = wait_until_hit (true);
  assert_true (begin - added_after >= 300 * MSEC);
  assert_string_equal (hits_of (20), "xxxxxxxxxxxxxxxxxxxx");
  assert_done (nbd_flush (h, 0));
}

/* From 200 ms on and for 400 ms, and what is outside is not counted by count;
 * a rule beside it says that the requests were seen.
 */
static void
window_from_for (void **state)
{
  const uint64_t from = 200 * MSEC, length = 400 * MSEC;
  uint64_t sent, answered;
  unsigned n = 0;
  bool hit;

  (void) state;
  SERVE ("1M", "fault=op=write delay=0");
  add ("fault=op=write from=200ms for=400ms error=ENOSPC\n");
  do {
    sent = monotonic_ns ();
    hit = is_hit (write_at (0));
    answered = monotonic_ns ();
    n++;
    if (answered < added_after + from)
      assert_false (hit);
    else if (sent >= added_before + from &&
             answered < added_after + from + length)
      assert_true (hit);
  } while (sent < added_before + from + length);
  assert_false (hit);
  assert_rule (stats, 1, n, n);
}

/*---------------------------------------------------------------------*/
/* Several conditions, and several rules */

static void
conditions_in_order (void **state)
{
  (void) state;
  SERVE ("64M",
         "fault=op=write range=0+4K after=2 every=2 count=2 error=ENOSPC");
  assert_done (nbd_pread (h, out, 512, 0, 0));
  assert_done (write_at (MIB));
  assert_string_equal (hits_of (9), "...x.x...");
  assert_rule (stats, 1, 9, 2);
  assert_stats_have (stats, "\"spent\": true}");
}

/* What a window leaves out is counted by none of the others.  Should the
 * machine be so slow that the window begins meanwhile, once more.
 */
static void
window_before_the_others (void **state)
{
  const uint64_t from = 300 * MSEC;
  unsigned tries;
  uint64_t answered;

  (void) state;
  SERVE ("1M");
  for (tries = 0; tries < 100; tries++) {
    add ("fault-delete=all\n"
         "fault=op=write from=300ms after=2 every=2 count=1 error=ENOSPC\n");
    assert_done (write_at (0));
    assert_done (write_at (0));
    assert_done (write_at (0));
    answered = monotonic_ns ();
    if (answered < added_after + from)
      break;
  }
  while (monotonic_ns () < added_before + from)
    ;
  assert_string_equal (hits_of (7), "...x...");
  assert_rule (stats, tries + 1, 10, 1);
}

/* The error is that of the first rule, and each counts for itself. */
static void
rules_count_for_themselves (void **state)
{
  unsigned i;

  (void) state;
  SERVE ("1M", "fault=op=write every=2 error=EPERM",
         "fault=op=write every=3 error=ENOSPC");
  for (i = 1; i <= 12; i++) {
    if (i % 2 == 0)
      assert_refused (EPERM, write_at (0));
    else if (i % 3 == 0)
      assert_refused (ENOSPC, write_at (0));
    else
      assert_done (write_at (0));
  }
  assert_rule (stats, 1, 12, 6);
  assert_rule (stats, 2, 12, 4);
}

/* Rules that come and go do not change what another one hits. */
static void
rules_do_not_disturb_others (void **state)
{
  char alone[301], among[301];

  (void) state;
  SERVE ("1M", "seed=4", "fault=op=write rate=40% error=ENOSPC");
  strcpy (alone, hits_of (300));
  stop_server (state);
  SERVE ("1M", "seed=4", "fault=op=write rate=40% error=ENOSPC",
         "fault=op=write rate=30% delay=0");
  strcpy (among, hits_of (100));
  change_settings (config, "fault=name=new op=write rate=50% delay=0\n");
  strcpy (among + 100, hits_of (100));
  change_settings (config, "fault-delete=2,new\n");
  strcpy (among + 200, hits_of (100));
  assert_string_equal (among, alone);
}

static void
rules_by_name_and_number (void **state)
{
  (void) state;
  SERVE ("1M", "fault=name=a op=read error=ENOSPC",
         "fault=name=b op=write error=ENOSPC",
         "fault=name=c op=flush error=ENOSPC");
  assert_stats_have (stats, "{\"id\": 2, \"name\": \"b\", \"rule\": \"name=b "
                            "op=write error=ENOSPC\"");
  change_settings (config, "fault-delete=b\n");
  assert_done (write_at (0));
  assert_true (is_hit (nbd_pread (h, out, 512, 0, 0)));
  change_settings (config, "fault-delete=1\n");
  assert_done (nbd_pread (h, out, 512, 0, 0));
  assert_true (is_hit (nbd_flush (h, 0)));
  assert_change_refused (config, "fault-delete=b\n", "fault: 'b': allowed is");
  assert_change_refused (config, "fault-delete=2\n", "fault: '2': allowed is");
  assert_change_refused (config, "fault=name=c error=EIO\n",
                         "fault: 'name=c': there is such a rule");
  assert_true (is_hit (nbd_flush (h, 0)));
  /* A name may be used again, a number is not. */
  change_settings (config, "fault=name=b op=trim error=ENOSPC\n");
  assert_stats_have (stats, "{\"id\": 4, \"name\": \"b\",");
  change_settings (config, "fault-delete=all\n");
  assert_stats_have (stats, "\"faults\": [],");
  assert_done (nbd_flush (h, 0));
}

/* What is counted begins anew, what is hit goes on. */
static void
reset_of_the_statistics (void **state)
{
  (void) state;
  SERVE ("1M", "fault=op=write after=2 every=2 count=2 error=ENOSPC");
  assert_string_equal (hits_of (5), "...x.");
  change_settings (config, "stats=reset\n");
  assert_rule (stats, 1, 0, 0);
  assert_string_equal (hits_of (5), "x....");
  assert_rule (stats, 1, 5, 1);
  assert_stats_have (stats, "\"spent\": true}");
}

static const struct CMUnitTest tests[] = {
    CASE (op_each),
    CASE (op_several_and_all),
    CASE (op_with_flags_and_others),
    CASE (op_zone_is_every_command),
    CASE (range),
    CASE (range_of_a_zoned_device),
    CASE (zones_of_a_zoned_device),
    CASE (zones_of_a_device_without),
    CASE (device),
    CASE (after),
    CASE (every),
    CASE (count),
    CASE (rate),
    CASE (rate_none_and_all),
    CASE (window_for),
    CASE (window_from),
    CASE (window_from_for),
    CASE (window_before_the_others),
    CASE (conditions_in_order),
    CASE (rules_count_for_themselves),
    CASE (rules_do_not_disturb_others),
    CASE (rules_by_name_and_number),
    CASE (reset_of_the_statistics),
};

MAIN (tests)
