/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Settings, read and changed; see dotconfig.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libnbd.h>

#include "dotconfig.h"

#define fail(why, ...) (message_set (why, __VA_ARGS__), false)

static const char error_prefix[] = "# error: ";
static const char live_prefix[] = "# live:";
static const char done_prefix[] = "# done:";

static bool
begins (const char *text, const char *with)
{
  return strncmp (text, with, strlen (with)) == 0;
}

/* The line that begins with PREFIX among the comments at the beginning of TEXT;
 * NULL if there is none.
 */
static const char *
find_comment (const char *text, const char *prefix)
{
  while (text != NULL && *text == '#') {
    if (begins (text, prefix))
      return text;
    text = strchr (text, '\n');
    text = text != NULL ? text + 1 : NULL;
  }
  return NULL;
}

/* Is TEXT a server's settings?  Those of all versions begin in this way. */
static bool
is_config (const char *text)
{
  return (begins (text, live_prefix) || begins (text, error_prefix) ||
          begins (text, "# note: ")) &&
         find_comment (text, live_prefix) != NULL;
}

/* The first line of a text, for a message. */
static const char *
first_line (struct message *buf, const char *text)
{
  size_t len = strcspn (text, "\n");

  if (len == 0)
    message_set (buf, "an empty line");
  else
    message_set (buf, "'%.*s'", len < 40 ? (int) len : 40, text);
  return buf->text;
}

char *
config_read (struct nbd_handle *config, struct message *why)
{
  char *text = server_read (config, why);
  struct message line;

  if (text == NULL || is_config (text))
    return text;
  message_set (why,
               "these are no settings of nullblk's: the text begins with %s",
               first_line (&line, text));
  free (text);
  return NULL;
}

bool
config_value (const char *text, const char *key, char *buf, size_t size)
{
  const size_t key_len = strlen (key);
  size_t len;

  for (; text != NULL; text = strchr (text, '\n')) {
    text += *text == '\n';
    if (begins (text, key) && text[key_len] == '=') {
      text += key_len + 1;
      len = strcspn (text, "\n");
      if (len >= size)
        return false;
      memcpy (buf, text, len);
      buf[len] = '\0';
      return true;
    }
  }
  return false;
}

/*---------------------------------------------------------------------*/
/* Changes */

/* Make a tag that no other change on this connection has, and that no change of
 * another client is likely to have.
 */
static void
make_tag (char *tag, size_t size)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  snprintf (tag, size, "%08" PRIx32 "-%09ld-%lx", (uint32_t) now.tv_sec,
            now.tv_nsec, (unsigned long) getpid () & 0xffffffff);
}

#define ASK "# ask: "

/* Bytes of the line with TAG; 0 if TAG is "". */
static size_t
tag_length (const char *tag)
{
  return tag[0] != '\0' ? strlen (ASK) + strlen (tag) + 1 : 0;
}

/* Returns what to write to an export of SIZE bytes, to be freed: the line with
 * TAG, LINES, and newlines up to SIZE and at SIZE.  If there is no room for the
 * tag, it is left out, and TAG becomes "".  NULL and the reason in *why if
 * there is no room for LINES, or no memory.
 */
static char *
make_text (const char *lines, char *tag, size_t size, struct message *why)
{
  char *text;
  size_t n;

  if (strlen (lines) > size) {
    message_set (why, "%zu bytes: allowed are %zu at once", strlen (lines),
                 size);
    return NULL;
  }
  text = malloc (size + 1);
  if (text == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  n = snprintf (text, size + 1, ASK "%s\n%s", tag, lines);
  if (n > size) {
    tag[0] = '\0';
    n = snprintf (text, size + 1, "%s", lines);
  }
  memset (text + n, '\n', size - n + 1);
  return text;
}

/* Returns LEN rounded up to whole blocks of the export's size KIND
 * (LIBNBD_SIZE_...); LEN itself if that were more than SIZE.
 */
static size_t
fill_block (struct nbd_handle *config, size_t len, size_t size, int kind)
{
  const int64_t block = nbd_get_block_size (config, kind);
  size_t more = 0;

  if (block > 1)
    more = (block - len % block) % block;
  return more <= size - len ? len + more : len;
}

/* Is TAG in LINE, which is "# done: TAG TAG..."? */
static bool
has_tag (const char *line, const char *tag)
{
  const char *end = line + strcspn (line, "\n");
  const size_t len = strlen (tag);
  const char *p;

  for (p = line; (p = strstr (p, tag)) != NULL && p < end; p += len) {
    if (p[-1] == ' ' && strchr (" \n", p[len]) != NULL)
      return true;
  }
  return false;
}

/* The write of a change was answered with success.  Was the change done?  The
 * text of a server that is older than the line with tags has none.  Such a
 * server has done the change if what is read back is a server's text: something
 * in between that had kept the write would give back what was written.
 */
static bool
check_done (struct nbd_handle *config, const char *tag, struct message *why)
{
  char *text = server_read (config, why);
  struct message reason = *why;
  const char *done;
  bool ok = false;

  if (text == NULL)
    return fail (why,
                 "the change was answered, but the settings can't be read "
                 "back: %.300s",
                 reason.text);
  done = find_comment (text, done_prefix);
  if (!is_config (text))
    message_set (why,
                 "the server has not got it: what is read back begins with %s; "
                 "something in between keeps what is written, as a filter "
                 "(cow, cache) or a snapshot does",
                 first_line (&reason, text));
  else if (done != NULL && tag[0] != '\0' && !has_tag (done, tag))
    message_set (why, "the server has not got it: something in between, a "
                      "filter or a proxy, has answered for it");
  else
    ok = true;
  free (text);
  return ok;
}

/* The write of a change has failed.  Set *why to the reason in the server's
 * text, or else to the error that was answered.
 */
static void
explain (struct nbd_handle *config, struct message *why)
{
  struct message error, ignored;
  char *text;

  message_set (&error, "%s", nbd_get_error ());
  *why = error;
  text = server_read (config, &ignored);
  if (text == NULL)
    return;
  if (begins (text, error_prefix)) {
    text[strcspn (text, "\n")] = '\0';
    message_set (why, "%s", text + strlen (error_prefix));
  }
  else if (is_config (text))
    message_set (why,
                 "%.300s; nullblk gives no reason: a filter of the server may "
                 "have refused it",
                 error.text);
  free (text);
}

/* Does the reason of a refusal look as if a filter had completed the write to a
 * block, with a part of the text that is read?  The text begins with long lines
 * of comment; a part of such a line, without its '#', is no KEY=VALUE.
 */
static bool
has_met_text (const struct message *why)
{
  static const char reason[] = ": allowed are lines of KEY=VALUE";
  const size_t len = strlen (why->text);

  return len >= sizeof reason - 1 &&
         strcmp (why->text + len - (sizeof reason - 1), reason) == 0;
}

/* Write the first LEN bytes of TEXT and, of the newlines behind them, as many
 * as fill the last block, but not more than SIZE bytes.  This is first the
 * smallest block that the server takes.  If it refuses because of has_met_text,
 * write once more with the preferred block: a filter that completes requests to
 * blocks of its own tells their size only as the preferred one, and other
 * filters do not let whole blocks of that size through.
 */
static bool
write_text (struct nbd_handle *config, const char *text, size_t len,
            size_t size, struct message *why)
{
  const size_t least = fill_block (config, len, size, LIBNBD_SIZE_MINIMUM);
  const size_t whole = fill_block (config, len, size, LIBNBD_SIZE_PREFERRED);

  if (nbd_pwrite (config, text, least, 0, 0) == 0)
    return true;
  explain (config, why);
  if (whole == least || !has_met_text (why))
    return false;
  if (nbd_pwrite (config, text, whole, 0, 0) == 0)
    return true;
  explain (config, why);
  return false;
}

/* An export whose text is not one of settings is not written to: it may be
 * anybody's disk.
 */
bool
config_change (struct nbd_handle *config, const char *lines,
               struct message *why)
{
  char tag[40], *text;
  int64_t size;
  bool ok;

  text = config_read (config, why);
  if (text == NULL)
    return false;
  free (text);
  if (nbd_is_read_only (config) == 1)
    return fail (why, "the server lets nobody write to the settings: it was "
                      "started with -r, or a filter (readonly) forbids it");
  size = nbd_get_size (config);
  if (size == -1)
    return fail (why, "%s", nbd_get_error ());
  make_tag (tag, sizeof tag);
  text = make_text (lines, tag, size, why);
  if (text == NULL)
    return false;
  ok = write_text (config, text, strlen (lines) + tag_length (tag), size, why);
  free (text);
  return ok && check_done (config, tag, why);
}

/*---------------------------------------------------------------------*/

char *
config_of (const struct server_address *s, struct message *why)
{
  struct nbd_handle *h = server_open (s, ".config", why);
  char *text;

  if (h == NULL)
    return NULL;
  text = config_read (h, why);
  server_close (h);
  return text;
}

bool
config_change_of (const struct server_address *s, const char *lines,
                  struct message *why)
{
  struct nbd_handle *h = server_open (s, ".config", why);
  bool ok;

  if (h == NULL)
    return false;
  ok = config_change (h, lines, why);
  server_close (h);
  return ok;
}
