/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fault rules, one a line, and requests that they judge.  A rule that is
 * accepted prints as one that is the same.  A line that begins with '-' deletes
 * rules, and one with '+' or '!' is of bad blocks.
 */

#include <config.h>

#include <errno.h>

#include "faults/faults.h"
#include "faults/faultrule-internal.h"
#include "fuzz.h"

#define BLOCK 512

static struct faults faults;
static struct badblocks badblocks;

static void
check_rule (const char *text)
{
  struct fault_spec rule, again;
  char *printed, *printed_again;
  struct message why = {{0}};
  int r = fault_spec_parse (text, &rule, &why);

  if (r != 0) {
    CHECK (r == -EINVAL && why.text[0] != '\0');
    return;
  }
  printed = fault_spec_format (&rule);
  CHECK (printed != NULL);
  if (fault_spec_parse (printed, &again, &why) != 0) {
    fprintf (stderr, "'%s': %s\n", printed, why.text);
    abort ();
  }
  printed_again = fault_spec_format (&again);
  CHECK (printed_again != NULL && strcmp (printed, printed_again) == 0);
  fault_spec_touches (&rule, 0, 512, 0);
  fault_spec_touches (&rule, INT64_MAX - 511, 512, 4096);
  free (printed);
  free (printed_again);
  fault_spec_clear (&rule);
  fault_spec_clear (&again);
}

static void
judge (struct input *in)
{
  static const uint8_t zero[8 * BLOCK];
  uint8_t buf[8 * BLOCK] = {0};
  struct io_info info = {
      .op = take (in, 1) % NR_OPERATIONS,
      .offset = take (in, 3) * BLOCK,
      .count = (take (in, 1) % 8 + 1) * BLOCK,
      .arrival = fuzz_now,
      .zone_size = take (in, 1) % 2 ? 1 << 20 : 0,
  };
  struct fault_verdict v;

  if (info.op == OP_FLUSH)
    info.count = 0;
  faults_judge (&faults, &info, &v);
  CHECK (v.error <= 0 && v.nr_kept <= MAX_KEPT);
  if (v.corrupts && (info.op == OP_READ || info.op == OP_WRITE)) {
    faults_corrupt (&v, &info, buf, BLOCK);
    /* A rule may hit a part of the request, but nothing behind it. */
    CHECK (memcmp (buf + info.count, zero, sizeof buf - info.count) == 0);
  }
  faults_done (&v);
}

static void
visit (void *opaque, const struct fault_info *info)
{
  unsigned *n = opaque;

  CHECK (info->hits <= info->evaluated);
  check_rule (info->text);
  (*n)++;
}

static void
check_badblocks (const char *text)
{
  struct badblocks_change *change, *same;
  struct message why = {{0}};
  char *printed, *again;

  if (badblocks_parse (text, &change, &why) != 0) {
    CHECK (why.text[0] != '\0');
    return;
  }
  CHECK (badblocks_reserve (&badblocks, change) == 0);
  badblocks_apply (&badblocks, change, &(struct badblocks_mode){0});
  badblocks_change_free (change);
  printed = badblocks_format (&badblocks);
  CHECK (printed != NULL);
  CHECK (badblocks_parse (printed, &same, &why) == 0);
  CHECK (badblocks_reserve (&badblocks, same) == 0);
  badblocks_apply (&badblocks, same, &(struct badblocks_mode){0});
  badblocks_change_free (same);
  again = badblocks_format (&badblocks);
  CHECK (strcmp (printed, again) == 0);
  free (printed);
  free (again);
}

static void
take_line (const char *line)
{
  struct fault_rule *rule = NULL;
  struct message why = {{0}};
  int r;

  if (line[0] == '!' || line[0] == '+') {
    check_badblocks (line + (line[0] == '!'));
    return;
  }
  check_rule (line);
  if (line[0] != '-') {
    r = fault_rule_new (line, &rule, &why);
    if (r != 0)
      return;
    CHECK (fault_rule_next (rule) == NULL);
    fault_rule_waits (rule);
    fault_rule_hangs (rule);
    r = faults_change (&faults, NULL, rule, fuzz_now, &why);
    if (r != 0)
      fault_rule_free (rule);
  }
  else
    r = faults_change (&faults, line + 1, NULL, fuzz_now, &why);
  CHECK (r == 0 || (r == -EINVAL && why.text[0] != '\0'));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct input in = {data, size};
  unsigned n = 0;
  char *line;

  fuzz_begin ();
  CHECK (faults_init (&faults, 1, 0) == 0);
  CHECK (badblocks_init (&badblocks) == 0);
  while (in.left > 0) {
    if (*in.p == 0) {
      take (&in, 1);
      judge (&in);
      continue;
    }
    line = take_up_to (&in, '\n', NULL);
    take_line (line);
    free (line);
    fuzz_now += NSEC_PER_MSEC;
  }
  CHECK (faults_each (&faults, visit, &n) == 0);
  CHECK (n == faults.count);
  faults_destroy (&faults);
  badblocks_destroy (&badblocks);
  return 0;
}
