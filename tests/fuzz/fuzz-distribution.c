/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Distributions; after a zero byte comes the content of the file that they
 * name.
 */

#include <config.h>

#include <errno.h>

#include "fuzz.h"
#include "timing/timing.h"

#define DRAWS 9

static void
check_draws (const struct distribution *d, const struct distribution *same)
{
  const struct seek_place place = {
      .distance = 1 << 30, .size = UINT64_C (1) << 40, .count = 1 << 20};
  uint64_t last = 0, n;
  unsigned i;

  for (i = 0; i < DRAWS; i++) {
    n = distribution_draw (d, UINT64_MAX / (DRAWS - 1) * i, &place);
    CHECK (n <= MAX_DURATION);
    CHECK (n >= last);
    CHECK (n == distribution_draw (same, UINT64_MAX / (DRAWS - 1) * i, &place));
    last = n;
  }
  CHECK (!distribution_is_zero (d) || last == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct input in = {data, size};
  struct distribution *d, *same, *all[NR_OPERATIONS];
  struct message why = {{0}};
  enum operation op;
  char *text;
  unsigned i;
  int r;

  fuzz_begin ();
  op = take (&in, 1) % NR_OPERATIONS;
  text = take_up_to (&in, 0, NULL);
  fuzz_file = in.p;
  fuzz_file_len = in.left;
  r = distribution_parse (text, op, &d, &why);
  if (r == 0) {
    CHECK (distribution_parse (distribution_text (d), op, &same, &why) == 0);
    CHECK (strcmp (distribution_text (d), distribution_text (same)) == 0);
    check_draws (d, same);
    distribution_unref (d);
    distribution_unref (same);
  }
  else
    CHECK (r == -EINVAL && why.text[0] != '\0');
  r = distribution_parse_all (text, all, &why);
  CHECK (r == 0 || r == -EINVAL);
  for (i = 0; r == 0 && i < NR_OPERATIONS; i++)
    distribution_unref (all[i]);
  free (text);
  return 0;
}
