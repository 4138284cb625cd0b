/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Proofs of the room common: numbers, sizes and durations as texts.
 */

#include "prove.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* What the text would be made of: a number, and a unit behind it. */
static struct {
  uint64_t number;
  const char *unit;
} printed;

static void
print (uint64_t number, const char *unit)
{
  printed.number = number;
  printed.unit = unit;
}

/* CBMC has no body for memchr. */
static const char *
find (const char *text, char c, size_t len)
{
  size_t i;

  for (i = 0; i < len; i++) {
    if (text[i] == c)
      return text + i;
  }
  return NULL;
}

#define memchr find
#define snprintf(buf, len, form, ...) print (__VA_ARGS__)
#include "common/number.c"
#undef snprintf
#define snprintf(buf, len, ...) print (PRINTED (__VA_ARGS__, 0, 0, 0))
#define PRINTED(form, number, unit, ...) number, unit
#include "common/duration.c"

static void
any_text (char *text, size_t len)
{
  size_t i;

  for (i = 0; i < len; i++)
    text[i] = nondet_char ();
}

/*---------------------------------------------------------------------*/

/* 16 to 20 digits, of which the first 16 are those of 2^64: what fits into 64
 * bits, and it alone, is taken.
 */
PROOF (number_parse, 21)
{
  char text[] = "18446744073709550000";
  const unsigned len = nondet_unsigned ();
  uint64_t n = 0, digit, r;
  bool fits = true;
  unsigned i;
  int status;

  ASSUME (len >= 16 && len <= 20);
  any_text (text + 16, 4);
  for (i = 0; i < 20; i++) {
    ASSUME (text[i] >= '0' && text[i] <= '9');
    digit = (uint64_t) (text[i] - '0');
    if (i < len && (n > UINT64_MAX / 10 || n * 10 > UINT64_MAX - digit))
      fits = false;
    if (i < len && fits)
      n = n * 10 + digit;
  }
  status = number_parse (text, len, &r);
  CHECK ((status == 0) == fits);
  CHECK (status != 0 || r == n);
}

/* Up to 5 bytes of any kind: a number with a letter that shifts it. */
PROOF (size_parse, 16)
{
  char text[5];
  const unsigned len = nondet_unsigned ();
  uint64_t bytes = 7, number = 0;

  ASSUME (len <= sizeof text);
  any_text (text, sizeof text);
  if (size_parse (text, len, &bytes) != 0)
    return;
  CHECK (len > 0 && number_digit (text[0]) < 10);
  if (number_digit (text[len - 1]) < 10)
    CHECK (number_parse (text, len, &number) == 0 && bytes == number);
  else if (text[len - 1] == 'k' || text[len - 1] == 'K')
    CHECK (number_parse (text, len - 1, &number) == 0 && bytes == number << 10);
  else if (text[len - 1] == 's' || text[len - 1] == 'S')
    CHECK (number_parse (text, len - 1, &number) == 0 && bytes == number << 9);
}

/* Any size: its unit is one that there is, the largest that divides it. */
PROOF (size_format, 8)
{
  static const char *const names[] = {"", "K", "M", "G", "T", "P", "E"};
  const uint64_t bytes = nondet_uint64 ();
  bool found = false;
  char buf[24];
  unsigned i;

  size_format (bytes, buf, sizeof buf);
  for (i = 0; i < 7; i++) {
    if (strcmp (printed.unit, names[i]) == 0) {
      found = true;
      CHECK (printed.number << 10 * i == bytes);
      CHECK (printed.number <= UINT64_MAX >> 10 * i);
    }
  }
  CHECK (found);
  CHECK (bytes == 0 || printed.number % 1024 != 0);
}

/* Up to 6 bytes of any kind: no more than 100 s. */
PROOF (duration_parse, 8)
{
  char text[6];
  const unsigned len = nondet_unsigned ();
  uint64_t nsec = 7;

  ASSUME (len <= sizeof text);
  any_text (text, sizeof text);
  if (duration_parse (text, len, &nsec) == 0) {
    CHECK (nsec <= MAX_DURATION);
    CHECK (len > 0 && text[0] >= '0' && text[0] <= '9');
  }
  else
    CHECK (nsec == 7);
}

/* Any duration has a unit that there is, and up to 65 us it is the largest that
 * leaves no fraction.
 */
PROOF (duration_format, 6)
{
  const uint64_t nsec = nondet_uint64 ();
  bool found = false;
  char buf[24];
  unsigned i;

  ASSUME (nsec != 0);
  duration_format (nsec, buf, sizeof buf);
  for (i = 0; i < NR_UNITS; i++) {
    if (printed.unit != units[i].name)
      continue;
    found = true;
    if (nsec < 1 << 16) {
      CHECK (printed.number * units[i].nsec == nsec);
      CHECK (i == 0 || nsec % units[i - 1].nsec != 0);
    }
  }
  CHECK (found);
}
