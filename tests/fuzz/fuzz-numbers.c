/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The numbers of which settings are made: whole numbers, sizes, durations and
 * percentages.  What is taken prints as a text that comes to the same.  Nothing
 * may be read behind the text, which ends with the memory that it is in.
 */

#include <config.h>

#include <errno.h>

#include "fuzz.h"
#include "timing/timing.h"

#define LONGEST_DURATION UINT64_C (1000000000000000000)
#define ENOUGH 24 /* for each that is printed */

static void
check_whole (const char *text, size_t len)
{
  uint64_t n, again;
  char printed[ENOUGH];
  int r = number_parse (text, len, &n);

  CHECK (r == 0 || r == -EINVAL);
  if (r == 0) {
    snprintf (printed, sizeof printed, "%llu", (unsigned long long) n);
    CHECK (number_parse (printed, strlen (printed), &again) == 0);
    CHECK (n == again);
  }
}

static void
check_size (const char *text, size_t len)
{
  uint64_t n, again;
  char printed[ENOUGH];
  int r = size_parse (text, len, &n);

  CHECK (r == 0 || r == -EINVAL);
  if (r == 0) {
    size_format (n, printed, sizeof printed);
    CHECK (size_parse (printed, strlen (printed), &again) == 0);
    CHECK (n == again);
  }
}

static void
check_duration (const char *text, size_t len)
{
  uint64_t n, same, again;
  char printed[ENOUGH];
  int r = duration_parse_up_to (text, len, LONGEST_DURATION, &n);

  CHECK (r == 0 || r == -EINVAL);
  if (r == 0) {
    CHECK (n <= LONGEST_DURATION);
    duration_format (n, printed, sizeof printed);
    r = duration_parse_up_to (printed, strlen (printed), LONGEST_DURATION,
                              &again);
    CHECK (r == 0 && n == again);
    r = duration_parse (text, len, &same);
    CHECK (n <= MAX_DURATION ? r == 0 && same == n : r == -EINVAL);
  }
  else
    CHECK (duration_parse (text, len, &same) == -EINVAL);
}

static void
check_percent (const char *text, size_t len)
{
  uint32_t above, same;
  char printed[ENOUGH];
  int r = percent_parse (text, len, &above);

  CHECK (r == 0 || r == -EINVAL);
  if (r == 0) {
    CHECK (above <= 1000000000);
    percent_format (above, printed, sizeof printed);
    CHECK (percent_parse (printed, strlen (printed), &same) == 0);
    CHECK (above == same);
  }
}

/* libFuzzer itself hands over a copy, which ends where its memory does. */
int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *text = (const char *) data;

  check_whole (text, size);
  check_size (text, size);
  check_duration (text, size);
  check_percent (text, size);
  return 0;
}
