/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Commands of nullblkctl: devices, their settings and statistics, and the write
 * log.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "die.h"
#include "dotconfig.h"
#include "replay.h"
#include "show.h"
#include "snapshot.h"
#include "top.h"

/* VALUE as a JSON string.  If it is not valid UTF-8, which a path need not be,
 * each byte above 0x7f stands in the string as \xHH.
 */
static json_t *
string_of (const char *value)
{
  json_t *string = json_string (value);
  char *text;
  size_t len;
  FILE *fp;

  if (string != NULL)
    return string;
  fp = open_memstream (&text, &len);
  if (fp == NULL)
    die_as ("nullblkctl", "%s", strerror (errno));
  for (; *value != '\0'; value++)
    fprintf (fp, (unsigned char) *value < 0x80 ? "%c" : "\\x%02x",
             (unsigned char) *value);
  if (fclose (fp) != 0)
    die_as ("nullblkctl", "%s", strerror (errno));
  string = json_string (text);
  free (text);
  return string;
}

static const char *
clean (struct message *buf, const char *text)
{
  message_set (buf, "%s", text);
  return buf->text;
}

int
command_list (struct context *c, char **arguments, struct message *why)
{
  struct device_entry *devices;
  json_t *array = json_array ();
  struct message name;
  char size[SHOWN];
  unsigned n, i;

  (void) arguments;
  if (!server_list (&c->server, &devices, &n, why)) {
    json_decref (array);
    return FAILED;
  }
  if (!has (c, JSON))
    printf ("%-12s %8s %-8s %s\n", "device", "size", "control", "description");
  for (i = 0; i < n; i++) {
    if (has (c, JSON))
      json_array_append_new (array,
                             json_pack ("{s:o, s:I, s:b, s:o}", "device",
                                        string_of (devices[i].name), "size",
                                        (json_int_t) devices[i].size, "control",
                                        devices[i].can_control, "description",
                                        string_of (devices[i].description)));
    else
      printf ("%-12s %8s %-8s %s\n", clean (&name, devices[i].name),
              devices[i].size < 0 ? "?" : show_bytes (size, devices[i].size),
              devices[i].can_control ? "yes" : "no", devices[i].description);
  }
  free (devices);
  if (has (c, JSON))
    return print_json (array);
  json_decref (array);
  return DONE;
}

/* Is KEY among the words of LIST? */
static bool
is_among (const char *list, const char *key)
{
  const size_t len = strlen (key);
  const char *p;

  for (p = list; (p = strstr (p, key)) != NULL; p += len) {
    if ((p == list || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
      return true;
  }
  return false;
}

/* '-' and '_' are the same letter. */
static bool
same_key (const char *a, const char *b)
{
  for (; *a != '\0' && *b != '\0'; a++, b++) {
    if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b))
      return false;
  }
  return *a == *b;
}

static bool
is_wanted (char **keys, const char *key)
{
  if (keys[0] == NULL)
    return true;
  for (; *keys != NULL; keys++) {
    if (same_key (*keys, key))
      return true;
  }
  return false;
}

/* Returns the key of the next setting in *TEXT, and in *VALUE its value; NULL
 * at the end.  Cuts the text into strings.  The line with the keys that are
 * live, which comes before the settings, is put into LIVE.
 */
static const char *
next_setting (char **text, char **value, char *live, size_t size)
{
  char *line;

  while ((line = strsep (text, "\n")) != NULL) {
    if (strncmp (line, "# live: ", 8) == 0)
      snprintf (live, size, "%s", line + 8);
    *value = line[0] != '#' ? strchr (line, '=') : NULL;
    if (*value != NULL) {
      *(*value)++ = '\0';
      return line;
    }
  }
  return NULL;
}

/* Add a line of .config.  Of fault rules there are any number, a line each:
 * their value is a list.  fault-delete, which comes before them, is no setting.
 */
static void
add_setting (json_t *settings, const char *key, const char *value, bool live)
{
  json_t *rules;

  if (strcmp (key, "fault-delete") == 0)
    return;
  if (strcmp (key, "fault") != 0) {
    json_object_set_new (
        settings, key,
        json_pack ("{s:o, s:b}", "value", string_of (value), "live", live));
    return;
  }
  if (json_object_get (settings, key) == NULL)
    json_object_set_new (settings, key,
                         json_pack ("{s:[], s:b}", "value", "live", live));
  rules = json_object_get (json_object_get (settings, key), "value");
  if (strcmp (value, "none") != 0)
    json_array_append_new (rules, string_of (value));
}

/* Print the notes among the comments at the beginning of .config. */
static void
print_notes (const char *text)
{
  struct message note;
  size_t len;

  for (; *text == '#'; text += len + (text[len] == '\n')) {
    len = strcspn (text, "\n");
    message_set (&note, "%.*s", (int) len, text);
    if (strncmp (text, "# note: ", 8) == 0)
      puts (note.text);
  }
}

/* The settings as an object of key: {value, live}.  NULL and the reason in *why
 * if they cannot be had.  With NOTES, print the notes.
 */
static json_t *
read_settings (struct context *c, bool notes, struct message *why)
{
  char live[4096] = "", *value, *text, *rest;
  json_t *settings = json_object ();
  const char *key;

  rest = text = config_of (&c->server, why);
  if (text == NULL) {
    json_decref (settings);
    return NULL;
  }
  if (notes)
    print_notes (text);
  while ((key = next_setting (&rest, &value, live, sizeof live)) != NULL)
    add_setting (settings, key, value, is_among (live, key));
  free (text);
  return settings;
}

static bool
has_key (json_t *settings, const char *key)
{
  const char *name;
  json_t *setting;

  json_object_foreach (settings, name, setting)
  {
    if (same_key (key, name))
      return true;
  }
  return false;
}

/* A line of the table. */
static void
print_setting (const char *name, bool live, const char *value)
{
  printf ("%-20s %-5s ", name, live ? "yes" : "no");
  show_text (stdout, value);
  putchar ('\n');
}

/* Print all lines of one setting. */
static void
print_settings (const char *name, json_t *setting)
{
  const bool live = json_is_true (json_object_get (setting, "live"));
  json_t *value = json_object_get (setting, "value"), *rule;
  size_t i;

  if (json_is_string (value))
    print_setting (name, live, json_string_value (value));
  else if (json_array_size (value) == 0)
    print_setting (name, live, "none");
  json_array_foreach (value, i, rule)
  {
    print_setting (name, live, json_string_value (rule));
  }
}

int
command_get (struct context *c, char **keys, struct message *why)
{
  json_t *settings, *setting;
  const char *name;
  void *next;
  char **key;

  settings = read_settings (c, keys[0] == NULL && !has (c, JSON), why);
  if (settings == NULL)
    return FAILED;
  for (key = keys; *key != NULL; key++) {
    if (!has_key (settings, *key)) {
      message_set (why, "%.80s: there is no such setting", *key);
      json_decref (settings);
      return FAILED;
    }
  }
  if (!has (c, JSON))
    printf ("%-20s %-5s %s\n", "setting", "live", "value");
  json_object_foreach_safe (settings, next, name, setting)
  {
    if (!is_wanted (keys, name))
      json_object_del (settings, name);
    else if (!has (c, JSON))
      print_settings (name, setting);
  }
  if (has (c, JSON))
    return print_json (settings);
  json_decref (settings);
  return DONE;
}

static int
change_and_free (struct context *c, char *lines, struct message *why)
{
  const int r = change (c, lines, why);

  free (lines);
  return r;
}

int
command_set (struct context *c, char **settings, struct message *why)
{
  char *lines = NULL;
  size_t len;
  FILE *fp;

  fp = open_memstream (&lines, &len);
  if (fp == NULL) {
    message_set (why, "%s", strerror (errno));
    return FAILED;
  }
  for (; *settings != NULL; settings++) {
    if (strchr (*settings, '=') == NULL || strchr (*settings, '\n') != NULL ||
        (*settings)[0] == '#') {
      fclose (fp);
      free (lines);
      message_set (why, "%.80s: allowed is KEY=VALUE", *settings);
      return USAGE;
    }
    fprintf (fp, "%s\n", *settings);
  }
  if (fclose (fp) != 0) {
    message_set (why, "%s", strerror (errno));
    free (lines);
    return FAILED;
  }
  return change_and_free (c, lines, why);
}

int
command_reset_stats (struct context *c, char **arguments, struct message *why)
{
  (void) arguments;
  return change (c, "stats=reset\n", why);
}

/* The devices whose control exports can be opened; if there are none, the first
 * device, so that reading its statistics fails with the reason.  NULL and the
 * reason in *why if the devices cannot be listed, or there are none.
 */
static struct device_entry *
list_for_stats (const struct server_address *server, unsigned *n,
                struct message *why)
{
  struct device_entry *devices;
  unsigned all, i;

  if (!server_list (server, &devices, &all, why))
    return NULL;
  for (i = *n = 0; i < all; i++) {
    if (devices[i].can_control)
      devices[(*n)++] = devices[i];
  }
  if (all == 0)
    message_set (why, "the server lists no devices");
  if (*n == 0 && all > 0)
    *n = 1;
  return devices;
}

static struct snapshot *
read_snapshot (const struct server_address *server, struct message *why)
{
  char *text = server_document (server, ".stats", why);
  struct snapshot *s = text != NULL ? snapshot_parse (text, why) : NULL;

  free (text);
  return s;
}

/* Print the statistics of all devices, as one document. */
static int
show_all_to_prometheus (struct context *c, struct message *why)
{
  struct server_address server = c->server;
  struct device_entry *devices;
  struct snapshot **s;
  unsigned n, i;
  bool ok;

  devices = list_for_stats (&server, &n, why);
  if (devices == NULL)
    return FAILED;
  s = calloc (n + 1, sizeof s[0]);
  message_set (why, "%s", strerror (ENOMEM));
  ok = s != NULL;
  for (i = 0; ok && i < n; i++) {
    snprintf (server.device, sizeof server.device, "%s", devices[i].name);
    s[i] = read_snapshot (&server, why);
    ok = s[i] != NULL;
  }
  if (ok)
    show_prometheus (stdout, s, n);
  for (i = 0; s != NULL && s[i] != NULL; i++)
    snapshot_free (s[i]);
  free (s);
  free (devices);
  return outcome (ok, false);
}

int
command_stats (struct context *c, char **arguments, struct message *why)
{
  struct snapshot *s;
  char *text;

  (void) arguments;
  if (has (c, PROMETHEUS) && !c->server.is_named)
    return show_all_to_prometheus (c, why);
  text = server_document (&c->server, ".stats", why);
  s = text != NULL ? snapshot_parse (text, why) : NULL;
  if (s == NULL) {
    free (text);
    return FAILED;
  }
  if (has (c, JSON))
    puts (text);
  else if (has (c, PROMETHEUS))
    show_prometheus (stdout, &s, 1);
  else
    show_stats (stdout, s);
  snapshot_free (s);
  free (text);
  return DONE;
}

int
command_top (struct context *c, char **arguments, struct message *why)
{
  const struct top_options options = {.interval = c->interval,
                                      .count = c->count};

  (void) arguments;
  return outcome (top (&c->server, &options, why), false);
}

/*---------------------------------------------------------------------*/
/* The write log */

int
command_mark (struct context *c, char **text, struct message *why)
{
  char *line;

  if (strchr (text[0], '\n') != NULL) {
    message_set (why, "a mark is one line");
    return USAGE;
  }
  if (asprintf (&line, "mark=%s\n", text[0]) < 0) {
    message_set (why, "%s", strerror (ENOMEM));
    return FAILED;
  }
  return change_and_free (c, line, why);
}

/* WHERE is a server or a file, to which the log is applied; with --list it is
 * the log.
 */
int
command_replay_log (struct context *c, char **log, struct message *why)
{
  uint64_t n;

  if (has (c, LIST)) {
    if (log[0] != NULL)
      return bad_usage (log[0], "one argument too many");
    return outcome (replay_list (stdout, c->where, c->to, why), false);
  }
  if (log[0] == NULL)
    return bad_usage (c->command, "an argument is missing");
  if (!replay (log[0], c->where, c->to, &n, why))
    return FAILED;
  printf ("%" PRIu64 " entries\n", n);
  return DONE;
}
