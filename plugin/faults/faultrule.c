/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fault rules: parsing, and which requests they mean; see faultrule-internal.h.
 * One table says how each word is read; those of actions are in faultactions.c.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "faultactions-internal.h"
#include "faultrule-text-internal.h"
#include "timing/timing.h"

#define NR(array) (sizeof (array) / sizeof ((array)[0]))

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

/*---------------------------------------------------------------------*/
/* Values.  Each returns 0, -EINVAL or -ENOMEM. */

static int
whole_number (const char *value, uint64_t least, uint64_t *r)
{
  if (number_parse (value, strlen (value), r) < 0 || *r < least)
    return -EINVAL;
  return 0;
}

/* The next of a list with commas: its length, and *s behind it. */
static size_t
next_item (const char **s)
{
  const size_t len = strcspn (*s, ",");

  *s += len + ((*s)[len] == ',' && (*s)[len + 1] != '\0');
  return len;
}

/* Begins with a letter, so that it is no number. */
static int
parse_name (const char *value, struct fault_spec *r, struct message *why)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  static const char others[] = "0123456789-_.";
  const size_t begin = strspn (value, letters);
  size_t len = begin;

  (void) why;
  while (value[len] != '\0' && (strchr (letters, value[len]) != NULL ||
                                strchr (others, value[len]) != NULL))
    len++;
  if (begin == 0 || value[len] != '\0' || len > MAX_FAULT_NAME ||
      strcmp (value, "all") == 0 || strcmp (value, "others") == 0)
    return -EINVAL;
  memcpy (r->name, value, len + 1);
  return 0;
}

static int
parse_device (const char *value, struct fault_spec *r, struct message *why)
{
  uint64_t number;

  (void) why;
  if (strncmp (value, "nullb", 5) != 0 ||
      whole_number (value + 5, 0, &number) < 0 || number >= ANY_DEVICE)
    return -EINVAL;
  r->device = (uint32_t) number;
  return 0;
}

static int
parse_op (const char *value, struct fault_spec *r, struct message *why)
{
  const char *s = value, *item;
  size_t len;
  unsigned i;

  (void) why;
  if (strcmp (value, "all") == 0)
    return 0;
  r->operations = 0;
  do {
    item = s;
    len = next_item (&s);
    for (i = 0; i < NR_OPERATIONS; i++) {
      if (strlen (operation_names[i]) == len &&
          memcmp (operation_names[i], item, len) == 0)
        break;
    }
    if (i == NR_OPERATIONS)
      return -EINVAL;
    r->operations |= 1U << i;
  } while (*s != '\0' && *s != ',');
  return *s == '\0' ? 0 : -EINVAL;
}

static int
parse_range (const char *value, struct fault_spec *r, struct message *why)
{
  const char *plus = strchr (value, '+');
  uint64_t length;

  (void) why;
  if (plus == NULL || size_parse (value, plus - value, &r->start) < 0 ||
      size_parse (plus + 1, strlen (plus + 1), &length) < 0 || length == 0 ||
      __builtin_add_overflow (r->start, length, &r->end) ||
      r->end > (uint64_t) INT64_MAX + 1)
    return -EINVAL;
  return 0;
}

static int
parse_zones (const char *value, struct fault_spec *r, struct message *why)
{
  const char *s = value, *item, *dash;
  struct zone_span span;
  size_t len, first;
  unsigned most = 1;

  (void) why;
  for (; *s != '\0'; s++)
    most += *s == ',';
  if (most > MAX_ZONE_SPANS)
    return -EINVAL;
  r->zones = malloc (most * sizeof r->zones[0]);
  if (r->zones == NULL)
    return -ENOMEM;
  s = value;
  do {
    item = s;
    len = next_item (&s);
    dash = memchr (item, '-', len);
    first = dash != NULL ? (size_t) (dash - item) : len;
    if (number_parse (item, first, &span.first) < 0)
      return -EINVAL;
    span.last = span.first;
    if (dash != NULL &&
        number_parse (dash + 1, len - first - 1, &span.last) < 0)
      return -EINVAL;
    if (span.first > span.last)
      return -EINVAL;
    r->zones[r->nr_zones++] = span;
  } while (*s != '\0' && *s != ',');
  return *s == '\0' ? 0 : -EINVAL;
}

static int
parse_from (const char *value, struct fault_spec *r, struct message *why)
{
  (void) why;
  return duration_parse_up_to (value, strlen (value), MAX_FAULT_WINDOW,
                               &r->from_ns);
}

static int
parse_for (const char *value, struct fault_spec *r, struct message *why)
{
  (void) why;
  if (duration_parse_up_to (value, strlen (value), MAX_FAULT_WINDOW,
                            &r->for_ns) < 0 ||
      r->for_ns == 0)
    return -EINVAL;
  return 0;
}

static int
parse_after (const char *value, struct fault_spec *r, struct message *why)
{
  (void) why;
  return whole_number (value, 0, &r->after);
}

static int
parse_every (const char *value, struct fault_spec *r, struct message *why)
{
  (void) why;
  return whole_number (value, 1, &r->every);
}

/* "0.01" as a share. */
static int
parse_fraction (const char *s, uint32_t *rate)
{
  uint32_t part = PARTS_PER_WHOLE;

  if (*s != '0' && *s != '1')
    return -EINVAL;
  *rate = (uint32_t) (*s - '0') * part;
  if (*++s == '\0')
    return 0;
  if (*s != '.' || *++s == '\0')
    return -EINVAL;
  for (; *s >= '0' && *s <= '9'; s++) {
    part /= 10;
    *rate += (uint32_t) (*s - '0') * part;
  }
  return *s == '\0' && *rate <= PARTS_PER_WHOLE ? 0 : -EINVAL;
}

/* "1%" or "0.01" */
static int
parse_share (const char *value, size_t len, uint32_t *rate)
{
  uint32_t rest;

  if (len == 0 || value[len - 1] != '%')
    return parse_fraction (value, rate);
  if (percent_parse (value, len - 1, &rest) < 0)
    return -EINVAL;
  *rate = PARTS_PER_WHOLE - rest;
  return 0;
}

/* A rate that is not zero, and too little to be kept, would never hit. */
static int
parse_rate (const char *value, struct fault_spec *r, struct message *why)
{
  const char *colon = strchr (value, ':');
  uint64_t n, m;

  (void) why;
  if (colon == NULL) {
    if (parse_share (value, strlen (value), &r->rate) < 0 ||
        (r->rate == 0 && strpbrk (value, "123456789") != NULL))
      return -EINVAL;
    return 0;
  }
  if (number_parse (value, colon - value, &n) < 0 ||
      whole_number (colon + 1, 1, &m) < 0 || n > m || m > PARTS_PER_WHOLE)
    return -EINVAL;
  r->rate = (uint32_t) (n * PARTS_PER_WHOLE / m);
  return 0;
}

static int
parse_count (const char *value, struct fault_spec *r, struct message *why)
{
  (void) why;
  return whole_number (value, 1, &r->count);
}

/*---------------------------------------------------------------------*/
/* Words */

#define WINDOW_FORM "from 0 to 86400s (units: ns, us, ms, s)"

static const struct word {
  const char *name;
  int (*parse) (const char *value, struct fault_spec *r, struct message *why);
  const char *allowed;
} words[] = {
    {"name=", parse_name,
     "a letter and then up to 30 letters, digits, '-', '_' and '.', but not "
     "\"all\" or \"others\""},
    {"device=", parse_device, "nullb0 and up"},
    {"op=", parse_op,
     "read, write, flush, trim, zero and zone, joined with commas, or all"},
    {"range=", parse_range,
     "OFFSET+LENGTH in bytes (K, M, G, T, P and E are powers of 1024), LENGTH "
     "more than 0, both together at most 2^63"},
    {"zones=", parse_zones, "up to 64 zones N or N-N, joined with commas"},
    {"from=", parse_from, "a duration " WINDOW_FORM},
    {"for=", parse_for, "a duration " WINDOW_FORM ", more than 0"},
    {"after=", parse_after, "a whole number"},
    {"every=", parse_every, "a whole number, 1 or more"},
    {"rate=", parse_rate,
     "a share: 0% to 100%, 0 to 1, or N:M with N at most M and M at most "
     "10^9; 0, or no less than one of 10^9"},
    {"count=", parse_count, "a whole number, 1 or more"},
};

/* The word that TEXT begins with, and what stands behind its '='. */
static const struct word *
look_up (const char *text, const char **value)
{
  size_t i, len;

  for (i = 0; i < NR (words); i++) {
    len = strlen (words[i].name);
    if (strncmp (text, words[i].name, len) == 0) {
      *value = text + len;
      return &words[i];
    }
  }
  return NULL;
}

/* The length of an action's word: of TEXT up to the '=' and with it, or of all.
 */
static size_t
key_length (const char *text)
{
  const size_t len = strcspn (text, "=");

  return len + (text[len] == '=');
}

static bool
same_key (const char *a, const char *b)
{
  const size_t len = key_length (a);

  return len == key_length (b) && memcmp (a, b, len) == 0;
}

/* The first action whose key TEXT begins with, or NR_FAULT_ACTIONS. */
static unsigned
look_up_action (const char *text)
{
  unsigned i;

  for (i = 0; i < NR_FAULT_ACTIONS && !same_key (fault_actions[i].text, text);
       i++)
    ;
  return i;
}

/* All actions in words, by their keys: "error=, ... or disconnect". */
static void
list_actions (char *buf, size_t len)
{
  char word[32];
  unsigned i, next;

  buf[0] = '\0';
  for (i = 0; i < NR_FAULT_ACTIONS; i = next) {
    next = i + 1;
    while (next < NR_FAULT_ACTIONS &&
           same_key (fault_actions[i].text, fault_actions[next].text))
      next++;
    snprintf (word, sizeof word, "%.*s",
              (int) key_length (fault_actions[i].text), fault_actions[i].text);
    words_append (buf, len, word, next < NR_FAULT_ACTIONS ? NULL : "or");
  }
}

struct parser {
  struct fault_spec *spec;
  struct message *why;
  bool has_action;
  bool given[NR (words)];
};

/* TEXT has the key of action FIRST, and of those that follow it. */
static int
parse_value (struct parser *p, const char *text, unsigned first)
{
  const size_t key = key_length (text);
  char allowed[80] = "";
  unsigned i;

  for (i = first;
       i < NR_FAULT_ACTIONS && same_key (fault_actions[i].text, text); i++) {
    p->spec->action = (enum fault_action) i;
    if (fault_actions[i].parse != NULL)
      return fault_actions[i].parse (text + key, p->spec, p->why);
    if (strcmp (fault_actions[i].text, text) == 0)
      return 0;
  }
  for (; first < i; first++)
    words_append (allowed, sizeof allowed, fault_actions[first].text + key,
                  first + 1 < i ? NULL : "or");
  return refuse (p->why, "'%.80s': allowed after %.*s is %s", text, (int) key,
                 text, allowed);
}

static int
parse_action (struct parser *p, const char *text, unsigned first)
{
  const char *given = fault_actions[p->spec->action].text;

  if (p->has_action && same_key (given, text))
    return refuse (p->why, "'%.80s': %.*s is given twice", text,
                   (int) key_length (given), given);
  if (p->has_action)
    return refuse (p->why,
                   "'%.80s': a rule has one action, and %.*s is given; add "
                   "another rule",
                   text, (int) key_length (given), given);
  p->has_action = true;
  return parse_value (p, text, first);
}

static int
parse_word (struct parser *p, const char *text)
{
  const unsigned action = look_up_action (text);
  const struct word *word;
  const char *value;
  char actions[128];
  int r;

  if (action < NR_FAULT_ACTIONS)
    return parse_action (p, text, action);
  word = look_up (text, &value);
  if (word == NULL) {
    list_actions (actions, sizeof actions);
    return refuse (p->why,
                   "'%.80s': allowed words are name=, device=, op=, range=, "
                   "zones=, from=, for=, after=, every=, rate=, count=, and "
                   "one action: %s",
                   text, actions);
  }
  if (p->given[word - words])
    return refuse (p->why, "'%.80s': %s is given twice", text, word->name);
  p->given[word - words] = true;
  r = word->parse (value, p->spec, p->why);
  if (r == -EINVAL)
    return refuse (p->why, "'%.80s': allowed after %s is %s", text, word->name,
                   word->allowed);
  return r;
}

/* Check that a request can match the rule.  Without op=, set all operations
 * that its action can be done to.
 */
static int
check_rule (struct parser *p)
{
  struct fault_spec *r = p->spec;
  const struct fault_action_row *action;
  char allowed[128];

  if (!p->has_action) {
    list_actions (allowed, sizeof allowed);
    return refuse (p->why, "a rule needs an action: %s", allowed);
  }
  action = &fault_actions[r->action];
  if (r->operations == 0)
    r->operations = action->operations;
  if ((r->operations & ~action->operations) != 0) {
    fault_list_operations (action->operations, ", ", allowed, sizeof allowed);
    return refuse (p->why, "'%s': allowed with it in op= is %s", action->text,
                   allowed);
  }
  if (r->end != 0 && r->nr_zones != 0)
    return refuse (p->why,
                   "range= and zones= are given: a rule has one of them");
  if (r->operations == 1U << OP_FLUSH && (r->end != 0 || r->nr_zones != 0))
    return refuse (p->why,
                   "'op=flush': a flush has no offset; %s never meets "
                   "one",
                   r->end != 0 ? "range=" : "zones=");
  return 0;
}

static int
hex_digit (char c)
{
  static const char digits[] = "0123456789abcdef";
  const char *at = c != '\0' ? strchr (digits, c | 0x20) : NULL;

  return at != NULL ? (int) (at - digits) : -1;
}

/* The character that the escape at *s stands for; *s is moved past it. */
static char
take_escape (char **s)
{
  const char *e = *s + 1;
  int high, low;

  if (e[0] == 'x' && (high = hex_digit (e[1])) >= 0 &&
      (low = hex_digit (e[2])) >= 0 && high + low > 0) {
    *s += 4;
    return (char) (high << 4 | low);
  }
  *s += e[0] != '\0' ? 2 : 1;
  return e[0] != '\0' ? e[0] : '\\';
}

/* The next word at *s, without its backslashes; *s is moved past it.  NULL if
 * there is none.
 */
static char *
take_word (char **s)
{
  static const char blanks[] = " \t\n\r\v\f";
  char *word, *end;

  *s += strspn (*s, blanks);
  if (**s == '\0')
    return NULL;
  word = end = *s;
  while (**s != '\0' && strchr (blanks, **s) == NULL) {
    if (**s == '\\')
      *end++ = take_escape (s);
    else
      *end++ = *(*s)++;
  }
  *s += **s != '\0';
  *end = '\0';
  return word;
}

int
fault_spec_parse (const char *text, struct fault_spec *r, struct message *why)
{
  struct parser p = {.spec = r, .why = why};
  char *copy, *word, *rest;
  int err = 0;

  memset (r, 0, sizeof *r);
  r->device = ANY_DEVICE;
  r->every = 1;
  r->rate = PARTS_PER_WHOLE;
  copy = strdup (text);
  if (copy == NULL)
    return -ENOMEM;
  for (rest = copy; err == 0 && (word = take_word (&rest)) != NULL;)
    err = parse_word (&p, word);
  if (err == 0)
    err = check_rule (&p);
  free (copy);
  if (err < 0)
    fault_spec_clear (r);
  return err;
}

void
fault_spec_clear (struct fault_spec *r)
{
  unsigned i;

  free (r->zones);
  r->zones = NULL;
  for (i = 0; i < NR_OPERATIONS; i++) {
    distribution_unref (r->delay[i]);
    r->delay[i] = NULL;
  }
}

/*---------------------------------------------------------------------*/

bool
fault_spec_touches (const struct fault_spec *r, uint64_t offset, uint64_t count,
                    uint64_t zone_size)
{
  unsigned i;

  if (r->end == 0 && r->nr_zones == 0)
    return true;
  if (count == 0)
    return false;
  if (r->end != 0)
    return offset < r->end && offset + count > r->start;
  for (i = 0; zone_size != 0 && i < r->nr_zones; i++) {
    if (r->zones[i].first <= (offset + count - 1) / zone_size &&
        r->zones[i].last >= offset / zone_size)
      return true;
  }
  return false;
}
