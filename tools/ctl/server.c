/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A nullblk server, through libnbd; see server.h.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "server.h"
#include "uri.h"

#define MOST_DOCUMENT (64 << 20) /* that is believed of any server */

#define fail(why, ...) (message_set (why, __VA_ARGS__), false)

/*---------------------------------------------------------------------*/
/* Where it is */

static bool
is_plain (char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || strchr ("-._~/", c) != NULL;
}

/* Append S to BUF as a URI wants it.  Returns false if it is too long. */
static bool
append_encoded (char *buf, size_t size, const char *s)
{
  size_t used = strlen (buf);

  for (; *s != '\0'; s++) {
    if (used + 4 > size)
      return false;
    used += snprintf (buf + used, size - used, is_plain (*s) ? "%c" : "%%%02X",
                      (unsigned char) *s);
  }
  return true;
}

/* SCHEME://AUTHORITY/EXPORT?QUERY */
static bool
split_uri (struct server *s, const char *uri, char *name, size_t size)
{
  const char *authority = strstr (uri, "://") + 3;
  const char *path = authority + strcspn (authority, "/?#");
  const char *rest = path + strcspn (path, "?#");
  const char *from = *path == '/' ? path + 1 : path;

  return snprintf (s->prefix, sizeof s->prefix, "%.*s/", (int) (path - uri),
                   uri) < (int) sizeof s->prefix &&
         snprintf (s->suffix, sizeof s->suffix, "%s", rest) <
             (int) sizeof s->suffix &&
         snprintf (name, size, "%.*s", (int) (rest - from), from) < (int) size;
}

bool
server_init (struct server *s, const char *where, const char *device,
             struct message *why)
{
  char name[sizeof s->device] = "";
  size_t i;

  if (uri_is_one (where)) {
    if (!split_uri (s, where, name, sizeof name))
      return fail (why, "%.80s...: too long", where);
  }
  else {
    strcpy (s->prefix, "nbd+unix:///");
    strcpy (s->suffix, "?socket=");
    if (!append_encoded (s->suffix, sizeof s->suffix, where))
      return fail (why, "%.80s...: too long", where);
  }
  if (device != NULL &&
      snprintf (name, sizeof name, "%s", device) >= (int) sizeof name)
    return fail (why, "--device %.80s...: too long", device);
  for (i = 0; name[i] != '\0'; i++) {
    if (!is_plain (name[i]) || name[i] == '/')
      return fail (why, "%s: no device has such a name", name);
  }
  s->is_named = name[0] != '\0';
  snprintf (s->device, sizeof s->device, "%s", s->is_named ? name : "nullb0");
  return true;
}

static struct nbd_handle *
new_handle (struct message *why)
{
  struct nbd_handle *h = nbd_create ();

  if (h == NULL)
    message_set (why, "%s", nbd_get_error ());
  else
    nbd_set_uri_allow_local_file (h, true);
  return h;
}

static void
export_uri (const struct server *s, const char *export, char *buf, size_t size)
{
  snprintf (buf, size, "%s%s%s", s->prefix, export, s->suffix);
}

/*---------------------------------------------------------------------*/
/* The devices */

struct list {
  struct device_entry *entry;
  unsigned n;
  bool failed;
};

static struct device_entry *
find_entry (const struct list *list, const char *name, size_t len)
{
  unsigned i;

  for (i = 0; i < list->n; i++) {
    if (strlen (list->entry[i].name) == len &&
        memcmp (list->entry[i].name, name, len) == 0)
      return &list->entry[i];
  }
  return NULL;
}

/* Devices come before their control exports. */
static int
add_export (void *arg, const char *name, const char *description)
{
  const char *dot = strrchr (name, '.');
  struct list *list = arg;
  struct device_entry *e;

  if (dot != NULL) {
    e = find_entry (list, name, dot - name);
    if (e != NULL && strcmp (dot, ".config") == 0)
      e->can_control = true;
    return 0;
  }
  if (strlen (name) >= sizeof e->name)
    return 0;
  e = realloc (list->entry, (list->n + 1) * sizeof *e);
  if (e == NULL) {
    list->failed = true;
    return 0;
  }
  list->entry = e;
  e = &list->entry[list->n++];
  memset (e, 0, sizeof *e);
  strcpy (e->name, name);
  snprintf (e->description, sizeof e->description, "%s", description);
  return 0;
}

static bool
list_exports (const struct server *s, struct list *list, struct message *why)
{
  nbd_list_callback callback = {.callback = add_export, .user_data = list};
  struct nbd_handle *h = new_handle (why);
  char uri[2200];
  bool ok;

  if (h == NULL)
    return false;
  export_uri (s, "", uri, sizeof uri);
  nbd_set_opt_mode (h, true);
  ok = nbd_connect_uri (h, uri) == 0 && nbd_opt_list (h, callback) != -1;
  if (!ok)
    message_set (why, "%s", nbd_get_error ());
  if (nbd_aio_is_negotiating (h) == 1)
    nbd_opt_abort (h);
  nbd_close (h);
  if (ok && list->failed)
    return fail (why, "%s", strerror (ENOMEM));
  return ok;
}

bool
server_list (const struct server *s, struct device_entry **devices, unsigned *n,
             struct message *why)
{
  struct list list = {NULL, 0, false};
  struct nbd_handle *h;
  char uri[2200];
  unsigned i;

  if (!list_exports (s, &list, why)) {
    free (list.entry);
    return false;
  }
  for (i = 0; i < list.n; i++) {
    h = new_handle (why);
    list.entry[i].size = -1;
    if (h == NULL)
      continue;
    export_uri (s, list.entry[i].name, uri, sizeof uri);
    if (nbd_connect_uri (h, uri) == 0) {
      list.entry[i].size = nbd_get_size (h);
      nbd_shutdown (h, 0);
    }
    nbd_close (h);
  }
  *devices = list.entry;
  *n = list.n;
  return true;
}

/*---------------------------------------------------------------------*/
/* The control exports */

struct nbd_handle *
server_open (const struct server *s, const char *ending, struct message *why)
{
  struct nbd_handle *h = new_handle (why);
  char uri[2200], name[80];
  bool is_server;

  if (h == NULL)
    return NULL;
  snprintf (name, sizeof name, "%s%s", s->device, ending);
  export_uri (s, name, uri, sizeof uri);
  /* In two steps, so that a missing export is not taken for a missing socket:
   * both are ENOENT, and what libnbd says of them differs by version.
   */
  nbd_set_opt_mode (h, true);
  is_server = nbd_connect_uri (h, uri) == 0;
  if (is_server && (nbd_aio_is_ready (h) == 1 || nbd_opt_go (h) == 0))
    return h;
  if (is_server && nbd_get_errno () == ENOENT)
    message_set (why,
                 "%s: there is no such export for this client: %s"
                 "control=local shows it to root and the server's user on a "
                 "Unix socket, control=any to everybody",
                 name,
                 strcmp (ending, ".zones") == 0
                     ? "zoned=true at the server's start makes it, "
                     : "");
  else
    message_set (why, "%s: %s", name, nbd_get_error ());
  if (nbd_aio_is_negotiating (h) == 1)
    nbd_opt_abort (h);
  nbd_close (h);
  return NULL;
}

char *
server_read (struct nbd_handle *h, struct message *why)
{
  int64_t size = nbd_get_size (h);
  uint64_t offset = 0;
  size_t piece;
  char *text;

  if (size < 0 || size > MOST_DOCUMENT) {
    message_set (why, "this is no control export: it has %lld bytes",
                 (long long) size);
    return NULL;
  }
  text = malloc (size + 1);
  if (text == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  /* What follows the text are newlines: no need to read all of them. */
  while (offset < (uint64_t) size) {
    piece = size - offset < 65536 ? size - offset : 65536;
    if (nbd_pread (h, text + offset, piece, offset, 0) == -1) {
      message_set (why, "%s", nbd_get_error ());
      free (text);
      return NULL;
    }
    offset += piece;
    if (piece >= 2 && memcmp (text + offset - 2, "\n\n", 2) == 0)
      break;
  }
  while (offset > 0 && text[offset - 1] == '\n')
    offset--;
  text[offset] = '\0';
  return text;
}

bool
server_change (struct nbd_handle *config, const char *lines,
               struct message *why)
{
  static const char mark[] = "# error: ";
  const int64_t size = nbd_get_size (config);
  const size_t len = strlen (lines);
  char *text;

  if (size >= 0 && len > (uint64_t) size) {
    message_set (why, "%zu bytes: allowed are %lld at once", len,
                 (long long) size);
    return false;
  }
  if (nbd_pwrite (config, lines, len, 0, 0) == 0)
    return true;
  message_set (why, "%s", nbd_get_error ());
  text = server_read (config, why);
  if (text != NULL) {
    if (strncmp (text, mark, strlen (mark)) == 0) {
      text[strcspn (text, "\n")] = '\0';
      message_set (why, "%s", text + strlen (mark));
    }
    free (text);
  }
  return false;
}

static void
end (struct nbd_handle *h)
{
  nbd_shutdown (h, 0);
  nbd_close (h);
}

char *
server_document (const struct server *s, const char *ending,
                 struct message *why)
{
  struct nbd_handle *h = server_open (s, ending, why);
  char *text;

  if (h == NULL)
    return NULL;
  text = server_read (h, why);
  end (h);
  return text;
}

bool
server_configure (const struct server *s, const char *lines,
                  struct message *why)
{
  struct nbd_handle *h = server_open (s, ".config", why);
  bool ok;

  if (h == NULL)
    return false;
  ok = server_change (h, lines, why);
  end (h);
  return ok;
}
