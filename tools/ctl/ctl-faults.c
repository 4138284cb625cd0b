/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Bad blocks, fault rules and power; see ctl-faults.h.  The server checks what
 * it is sent, and its refusal names the word that is wrong.  Here is checked
 * only that sectors are numbers, and that each other argument is one line.
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "dotconfig.h"
#include "ctl-faults.h"
#include "show.h"
#include "snapshot.h"

#define fail(why, ...) (message_set (why, __VA_ARGS__), false)

/*---------------------------------------------------------------------*/
/* Lines to be sent */

struct lines {
  FILE *fp;
  char *text;
  size_t len;
};

static bool
begin (struct lines *l, struct message *why)
{
  l->text = NULL;
  l->fp = open_memstream (&l->text, &l->len);
  return l->fp != NULL ? true : fail (why, "%s", strerror (errno));
}

static void
drop (struct lines *l)
{
  fclose (l->fp);
  free (l->text);
}

static bool
send_lines (struct lines *l, const struct server_address *s,
            struct message *why)
{
  bool ok;

  if (fclose (l->fp) == 0)
    ok = config_change_of (s, l->text, why);
  else
    ok = fail (why, "%s", strerror (errno));
  free (l->text);
  return ok;
}

/*---------------------------------------------------------------------*/
/* What is in the server's statistics */

/* Returns the member KEY of the statistics, which the caller frees by
 * json_decref; NULL and the reason in *why if there is none, or if IS_RIGHT
 * says that it cannot be from a nullblk server.
 */
static json_t *
read_member (const struct server_address *s, const char *key,
             bool (*is_right) (json_t *member), struct message *why)
{
  char *text = server_document (s, ".stats", why);
  json_t *root, *member;

  if (text == NULL)
    return NULL;
  root = statistics_parse (text, why);
  free (text);
  if (root == NULL)
    return NULL;
  member = json_incref (json_object_get (root, key));
  if (member == NULL)
    message_set (why, "the statistics have no %s", key);
  else if (json_is_null (member) && strcmp (key, "power") != 0)
    message_set (why, "they are too many to be listed");
  else if (!is_right (member))
    message_set (why, "'%s' in the statistics is none of nullblk's", key);
  else {
    json_decref (root);
    return member;
  }
  json_decref (member);
  json_decref (root);
  return NULL;
}

/* Print VALUE, and free it.  Returns true. */
static bool
print_json (FILE *fp, json_t *value)
{
  json_dumpf (value, fp, JSON_INDENT (2) | JSON_PRESERVE_ORDER);
  fputc ('\n', fp);
  json_decref (value);
  return true;
}

static long long
number (const json_t *object, const char *key)
{
  return json_integer_value (json_object_get (object, key));
}

/*---------------------------------------------------------------------*/
/* Bad blocks */

/* Is TEXT a range such as "8" or "8-15"?  *last is where the last sector's
 * number begins.
 */
static bool
is_range (const char *text, const char **last)
{
  const char *p = text;

  for (*last = text; isdigit ((unsigned char) *p); p++)
    ;
  if (p > text && *p == '-') {
    for (*last = ++p; isdigit ((unsigned char) *p); p++)
      ;
  }
  return p > *last && *p == '\0';
}

bool
badblocks_mark (const struct server_address *s, char sign, char **ranges,
                bool *bad_usage, struct message *why)
{
  const char *between = "badblocks=", *last;
  struct lines l;

  *bad_usage = false;
  if (!begin (&l, why))
    return false;
  for (; *ranges != NULL; ranges++) {
    if (!is_range (*ranges, &last)) {
      drop (&l);
      *bad_usage = true;
      return fail (why, "%.80s: allowed are sectors, such as 8 or 8-15",
                   *ranges);
    }
    fprintf (l.fp, "%s%c%.*s-%s", between, sign, (int) strcspn (*ranges, "-"),
             *ranges, last);
    between = ",";
  }
  fputc ('\n', l.fp);
  return send_lines (&l, s, why);
}

/* Take the first range off *P, a list such as "+3-5,+9-20".  Returns false if
 * it begins with none.
 */
static bool
next_range (const char **p, unsigned long long range[2])
{
  int used = 0;

  if (sscanf (*p, "+%llu-%llu%n", &range[0], &range[1], &used) != 2)
    return false;
  *p += used;
  if (**p == ',')
    ++*p;
  return true;
}

/* Is it "none", or a list of ranges and nothing else? */
static bool
is_list (json_t *list)
{
  const char *p = json_string_value (list);
  unsigned long long range[2];

  if (p == NULL || *p == '\0')
    return false;
  if (strcmp (p, "none") == 0)
    return true;
  while (next_range (&p, range))
    ;
  return *p == '\0';
}

bool
badblocks_print (FILE *fp, const struct server_address *s, bool json,
                 struct message *why)
{
  json_t *list = read_member (s, "badblocks", is_list, why);
  const char *p = json_string_value (list), *between = "";
  unsigned long long range[2];

  if (list == NULL)
    return false;
  if (json)
    fputs ("[", fp);
  while (p != NULL && next_range (&p, range)) {
    if (json)
      fprintf (fp, "%s\n  {\"first\": %llu, \"last\": %llu}", between, range[0],
               range[1]);
    else
      fprintf (fp, "%llu-%llu\n", range[0], range[1]);
    between = ",";
  }
  if (json)
    fprintf (fp, "%s]\n", between[0] != '\0' ? "\n" : "");
  json_decref (list);
  return true;
}

/*---------------------------------------------------------------------*/
/* Fault rules */

/* Send KEY and the arguments, with BETWEEN between each two arguments. */
static bool
send_arguments (const struct server_address *s, const char *key,
                const char *between, char **arguments, bool *bad_usage,
                struct message *why)
{
  struct lines l;

  *bad_usage = false;
  if (!begin (&l, why))
    return false;
  fputs (key, l.fp);
  for (; *arguments != NULL; arguments++) {
    if (strchr (*arguments, '\n') != NULL) {
      drop (&l);
      *bad_usage = true;
      return fail (why, "%.80s: allowed is one line", *arguments);
    }
    fprintf (l.fp, "%s%s", *arguments, arguments[1] != NULL ? between : "\n");
  }
  return send_lines (&l, s, why);
}

bool
fault_rules_add (const struct server_address *s, char **rules, bool *bad_usage,
                 struct message *why)
{
  return send_arguments (s, "fault=", "\nfault=", rules, bad_usage, why);
}

bool
fault_rules_delete (const struct server_address *s, char **names,
                    bool *bad_usage, struct message *why)
{
  return send_arguments (s, "fault-delete=", ",", names, bad_usage, why);
}

static bool
are_rules (json_t *list)
{
  json_t *rule;
  size_t i;

  json_array_foreach (list, i, rule)
  {
    if (number (rule, "id") <= 0 ||
        !json_is_string (json_object_get (rule, "rule")))
      return false;
  }
  return json_is_array (list);
}

bool
fault_rules_print (FILE *fp, const struct server_address *s, bool json,
                   struct message *why)
{
  json_t *list = read_member (s, "faults", are_rules, why), *rule;
  struct message name;
  const char *text;
  size_t i;

  if (list == NULL)
    return false;
  if (json)
    return print_json (fp, list);
  fprintf (fp, "%6s %-12s %10s %10s %-5s %s\n", "number", "name", "evaluated",
           "hits", "spent", "rule");
  json_array_foreach (list, i, rule)
  {
    text = json_string_value (json_object_get (rule, "name"));
    message_set (&name, "%s", text != NULL ? text : "-");
    fprintf (fp, "%6lld %-12s %10lld %10lld %-5s ", number (rule, "id"),
             name.text, number (rule, "evaluated"), number (rule, "hits"),
             json_is_true (json_object_get (rule, "spent")) ? "yes" : "no");
    show_text (fp, json_string_value (json_object_get (rule, "rule")));
    fputc ('\n', fp);
  }
  json_decref (list);
  return true;
}

/*---------------------------------------------------------------------*/
/* Power */

bool
power_cut (const struct server_address *s, const char *after, const char *lose,
           const char *seed, struct message *why)
{
  const struct {
    const char *key, *value;
  } given[] = {{"power-cut-after", after},
               {"power", after == NULL ? "cut" : NULL},
               {"lose", lose},
               {"power-seed", seed}};
  struct lines l;
  unsigned i;

  if (!begin (&l, why))
    return false;
  for (i = 0; i < sizeof given / sizeof given[0]; i++) {
    if (given[i].value == NULL)
      continue;
    if (strchr (given[i].value, '\n') != NULL) {
      drop (&l);
      return fail (why, "%s=%.80s: allowed is one line", given[i].key,
                   given[i].value);
    }
    fprintf (l.fp, "%s=%s\n", given[i].key, given[i].value);
  }
  return send_lines (&l, s, why);
}

static bool
is_power (json_t *power)
{
  return json_is_boolean (json_object_get (power, "on"));
}

bool
power_print (FILE *fp, const struct server_address *s, bool json,
             struct message *why)
{
  json_t *power = read_member (s, "power", is_power, why);

  if (power == NULL)
    return false;
  if (json)
    return print_json (fp, power);
  fprintf (fp, "power %s",
           json_is_true (json_object_get (power, "on")) ? "on" : "cut");
  if (number (power, "writes_left") > 0)
    fprintf (fp, ", to be cut at write %lld", number (power, "writes_left"));
  fprintf (fp,
           "\nvolatile %lld bytes, undo %lld bytes\n"
           "cuts %lld, the last lost %lld blocks and kept %lld\n",
           number (power, "volatile"), number (power, "undo"),
           number (power, "cuts"), number (power, "lost"),
           number (power, "kept"));
  json_decref (power);
  return true;
}
