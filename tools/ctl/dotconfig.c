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

static const char error_mark[] = "# error: ";
static const char live_mark[] = "# live:";
static const char done_mark[] = "# done:";

static bool
begins (const char *text, const char *with)
{
  return strncmp (text, with, strlen (with)) == 0;
}

/* The line that begins so among the comments that a text begins with. */
static const char *
find_mark (const char *text, const char *mark)
{
  while (text != NULL && *text == '#') {
    if (begins (text, mark))
      return text;
    text = strchr (text, '\n');
    text = text != NULL ? text + 1 : NULL;
  }
  return NULL;
}

/* Is it the text of a server's settings?  Those of any version begin so. */
static bool
is_config (const char *text)
{
  return (begins (text, live_mark) || begins (text, error_mark) ||
          begins (text, "# note: ")) &&
         find_mark (text, live_mark) != NULL;
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

/* Something that no other change on this connection has, and no other client's
 * is likely to have.
 */
static void
make_tag (char *tag, size_t size)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  snprintf (tag, size, "%08" PRIx32 "-%09ld-%lx", (uint32_t) now.tv_sec,
            now.tv_nsec, (unsigned long) getpid () & 0xffffffff);
}

/* A text that does this, to be freed; *len bytes.  It has a tag where there is
 * room for one, and else TAG is "".  Newlines make it as long as the server
 * likes requests to be: a filter that has to complete a request would put a
 * piece of what it has read behind the lines.
 */
static char *
make_text (struct nbd_handle *config, const char *lines, char *tag, size_t *len,
           struct message *why)
{
  const int64_t size = nbd_get_size (config);
  const int64_t block = nbd_get_block_size (config, LIBNBD_SIZE_PREFERRED);
  char *text;
  size_t n;

  if (strlen (lines) > (uint64_t) size) {
    message_set (why, "%zu bytes: allowed are %" PRIi64 " at once",
                 strlen (lines), size);
    return NULL;
  }
  text = malloc (size + 1);
  if (text == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  n = snprintf (text, size + 1, "# ask: %s\n%s", tag, lines);
  if (n > (uint64_t) size) {
    tag[0] = '\0';
    n = snprintf (text, size + 1, "%s", lines);
  }
  *len = n;
  if (block > 1 && block <= size) {
    *len = (n + block - 1) / block * block;
    if (*len > (uint64_t) size)
      *len = n;
  }
  memset (text + n, '\n', *len - n);
  return text;
}

/* Does a line "# done: TAG TAG..." have it? */
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

/* The write of a change was answered with success.  Was it done?  A server that
 * is older than the line with tags gets what it is sent if anybody reads its
 * text, and not what was written.
 */
static bool
check_done (struct nbd_handle *config, const char *tag, struct message *why)
{
  char *text = server_read (config, why);
  struct message reason = *why;
  const char *done;
  bool ok = false;

  if (text == NULL)
    return fail (why, "it was answered, but can't be read back: %s",
                 reason.text);
  done = find_mark (text, done_mark);
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

/* The write of a change has failed: the reason is the server's, or else that
 * of whoever answered.
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
  if (begins (text, error_mark)) {
    text[strcspn (text, "\n")] = '\0';
    message_set (why, "%s", text + strlen (error_mark));
  }
  else if (is_config (text))
    message_set (why,
                 "%.300s; nullblk gives no reason: a filter of the server may "
                 "have refused it",
                 error.text);
  free (text);
}

/* What is no text of settings is not written to: it may be anybody's disk. */
bool
config_change (struct nbd_handle *config, const char *lines,
               struct message *why)
{
  char tag[40], *text;
  size_t len;
  bool ok;

  text = config_read (config, why);
  if (text == NULL)
    return false;
  free (text);
  if (nbd_is_read_only (config) == 1)
    return fail (why, "the server lets nobody write to the settings: it was "
                      "started with -r, or a filter (readonly) forbids it");
  make_tag (tag, sizeof tag);
  text = make_text (config, lines, tag, &len, why);
  if (text == NULL)
    return false;
  ok = nbd_pwrite (config, text, len, 0, 0) == 0;
  free (text);
  if (ok)
    return check_done (config, tag, why);
  explain (config, why);
  return false;
}

/*---------------------------------------------------------------------*/

char *
config_of (const struct server *s, struct message *why)
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
config_change_of (const struct server *s, const char *lines,
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
