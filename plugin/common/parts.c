/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Values of several parts; see parts.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "duration.h"
#include "minmax.h"
#include "number.h"
#include "parts.h"

#define MIB (UINT64_C (1) << 20)

/* The most parts that a kind of values may have, and the most bytes. */
#define MAX_PARTS 16

static uint64_t *
number_of (const struct value_part *part, void *value)
{
  return (uint64_t *) ((char *) value + part->offset);
}

static uint64_t
number_in (const struct value_part *part, const void *value)
{
  return *(const uint64_t *) ((const char *) value + part->offset);
}

/* "2.375" is 2375. */
static int
parse_factor (const char *text, size_t len, uint64_t *r)
{
  const char *point = memchr (text, '.', len);
  size_t whole = point != NULL ? (size_t) (point - text) : len, i;
  uint64_t thousandths = 0, weight = 100;

  if (whole > 0 && memchr (text, 'x', whole) != NULL)
    return -EINVAL;
  if (number_parse (text, whole, r) < 0 ||
      __builtin_mul_overflow (*r, 1000, r) || whole + 1 == len)
    return -EINVAL;
  for (i = whole + 1; i < len; i++, weight /= 10) {
    if (text[i] < '0' || text[i] > '9' || weight == 0)
      return -EINVAL;
    thousandths += weight * (uint64_t) (text[i] - '0');
  }
  return __builtin_add_overflow (*r, thousandths, r) ? -EINVAL : 0;
}

static int
parse_number (const struct value_part *part, const char *text, size_t len,
              uint64_t *r)
{
  int e = -EINVAL;

  switch (part->type) {
  case PART_COUNT:
    e = number_parse (text, len, r);
    break;
  case PART_MIB:
    e = number_parse (text, len, r);
    if (e == 0 && __builtin_mul_overflow (*r, MIB, r))
      e = -EINVAL;
    break;
  case PART_SIZE:
    e = size_parse (text, len, r);
    break;
  case PART_DURATION:
    e = duration_parse (text, len, r);
    break;
  case PART_FACTOR:
    e = parse_factor (text, len, r);
    break;
  }
  return e == 0 && *r >= part->least && *r <= part->most ? 0 : -EINVAL;
}

static void
format_number (const struct value_part *part, uint64_t n, char *buf, size_t len)
{
  switch (part->type) {
  case PART_COUNT:
    snprintf (buf, len, "%" PRIu64, n);
    break;
  case PART_MIB:
    snprintf (buf, len, "%" PRIu64, n / MIB);
    break;
  case PART_SIZE:
    size_format (n, buf, len);
    break;
  case PART_DURATION:
    duration_format (n, buf, len);
    break;
  case PART_FACTOR:
    snprintf (buf, len, "%" PRIu64 ".%03" PRIu64, n / 1000, n % 1000);
    while (buf[strlen (buf) - 1] == '0')
      buf[strlen (buf) - 1] = '\0';
    if (buf[strlen (buf) - 1] == '.')
      buf[strlen (buf) - 1] = '\0';
    break;
  }
}

static int
refuse_part (const struct value_part *part, const char *text, size_t len,
             struct message *why)
{
  char least[32], most[32];

  format_number (part, part->least, least, sizeof least);
  format_number (part, part->most, most, sizeof most);
  message_set (why, "'%.*s': allowed after %s: is %s from %s to %s",
               (int) min (len, 80), text, part->name,
               part->type == PART_SIZE       ? "a size"
               : part->type == PART_DURATION ? "a duration"
               : part->type == PART_FACTOR   ? "a number"
                                             : "a whole number",
               least, most);
  return -EINVAL;
}

/* The part whose "NAME:" TEXT begins with; parts->n if there is none. */
static size_t
find (const struct parts *parts, const char *text)
{
  size_t i, len;

  for (i = 0; i < parts->n; i++) {
    len = strlen (parts->part[i].name);
    if (strncmp (text, parts->part[i].name, len) == 0 && text[len] == ':')
      break;
  }
  return i;
}

static int
refuse (const struct parts *parts, struct message *why)
{
  char allowed[256];

  parts_describe (parts, allowed, sizeof allowed);
  message_set (why, "allowed is %s", allowed);
  return -EINVAL;
}

int
parts_parse (const struct parts *parts, const char *text, void *value,
             struct message *why)
{
  uint64_t r[MAX_PARTS] = {0};
  bool given[MAX_PARTS] = {false};
  const char *wrong;
  size_t i, len;

  if (strcmp (text, "none") == 0) {
    memset (value, 0, parts->size);
    return 0;
  }
  for (i = 0; i < parts->n; i++)
    *number_of (&parts->part[i], r) = parts->part[i].initial;
  for (;; text += len + 1) {
    i = find (parts, text);
    if (i == parts->n || given[i])
      return refuse (parts, why);
    given[i] = true;
    text += strlen (parts->part[i].name) + 1;
    len = strcspn (text, ",");
    if (parse_number (&parts->part[i], text, len,
                      number_of (&parts->part[i], r)) < 0)
      return refuse_part (&parts->part[i], text, len, why);
    if (text[len] == '\0')
      break;
  }
  for (i = 0; i < parts->n; i++) {
    if (parts->part[i].is_needed && !given[i])
      return refuse (parts, why);
  }
  wrong = parts->check != NULL ? parts->check (r) : NULL;
  if (wrong != NULL) {
    message_set (why, "%s", wrong);
    return -EINVAL;
  }
  memcpy (value, r, parts->size);
  return 0;
}

void
parts_format (const struct parts *parts, const void *value, char *buf,
              size_t len)
{
  static const uint64_t none[MAX_PARTS];
  const struct value_part *part = parts->part;
  char number[32];
  size_t i, used = 0;

  snprintf (buf, len, "none");
  if (memcmp (value, none, parts->size) == 0)
    return;
  for (i = 0; i < parts->n && used < len; i++, part++) {
    if (!part->is_needed && number_in (part, value) == part->initial)
      continue;
    format_number (part, number_in (part, value), number, sizeof number);
    snprintf (buf + used, len - used, "%s%s:%s", used > 0 ? "," : "",
              part->name, number);
    used += strlen (buf + used);
  }
}

void
parts_describe (const struct parts *parts, char *buf, size_t len)
{
  static const char *const forms[] = {[PART_COUNT] = "N",
                                      [PART_MIB] = "N",
                                      [PART_SIZE] = "SIZE",
                                      [PART_DURATION] = "DURATION",
                                      [PART_FACTOR] = "X"};
  const struct value_part *part = parts->part;
  size_t i, used;

  snprintf (buf, len, "none, or ");
  used = strlen (buf);
  for (i = 0; i < parts->n && used < len; i++, part++) {
    if (part->is_needed)
      snprintf (buf + used, len - used, "%s%s:%s", i > 0 ? "," : "", part->name,
                forms[part->type]);
    else
      snprintf (buf + used, len - used, "[,%s:]", part->name);
    used += strlen (buf + used);
  }
}
