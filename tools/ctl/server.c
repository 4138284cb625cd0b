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
#include <sys/stat.h>

#include <libnbd.h>

#include "server.h"
#include "uri.h"

/* The most that is accepted from any server: bytes of a document, and devices.
 */
#define MAX_DOCUMENT (64 << 20)
#define MAX_LISTED 16384

#define fail(why, ...) (message_set (why, __VA_ARGS__), false)

/*---------------------------------------------------------------------*/
/* Where the server is */

static bool
needs_no_encoding (char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || strchr ("-._~/", c) != NULL;
}

/* Append S to BUF, percent-encoded.  Returns false if that is too long. */
static bool
append_encoded (char *buf, size_t size, const char *s)
{
  size_t used = strlen (buf);

  for (; *s != '\0'; s++) {
    if (used + 4 > size)
      return false;
    used +=
        snprintf (buf + used, size - used,
                  needs_no_encoding (*s) ? "%c" : "%%%02X", (unsigned char) *s);
  }
  return true;
}

/* Split SCHEME://AUTHORITY/EXPORT?QUERY before and behind EXPORT.  Returns
 * false if a part is too long.
 */
static bool
split_uri (struct server_address *s, const char *uri, char *name, size_t size)
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
server_init (struct server_address *s, const char *where, const char *device,
             struct message *why)
{
  char name[sizeof s->device] = "";
  struct stat st;
  size_t i;

  if (uri_is_one (where)) {
    if (!split_uri (s, where, name, sizeof name))
      return fail (why, "%.80s...: too long", where);
  }
  else if (stat (where, &st) == 0 && S_ISBLK (st.st_mode))
    return fail (why,
                 "%.80s is a block device: allowed is a URI or a socket "
                 "(for the zones of a block device there is blkzone(8))",
                 where);
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
    if (!needs_no_encoding (name[i]) || name[i] == '/')
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
export_uri (const struct server_address *s, const char *export, char *buf,
            size_t size)
{
  snprintf (buf, size, "%s%s%s", s->prefix, export, s->suffix);
}

/*---------------------------------------------------------------------*/
/* The list of exports */

/* The URI of an export by the name that a server gives, whatever is in it. */
static bool
export_uri_of (const struct server_address *s, const char *name, char *buf,
               size_t size)
{
  const size_t suffix = strlen (s->suffix);

  buf[0] = '\0';
  if (snprintf (buf, size, "%s", s->prefix) >= (int) size ||
      !append_encoded (buf, size, name) || strlen (buf) + suffix >= size)
    return false;
  memcpy (buf + strlen (buf), s->suffix, suffix + 1);
  return true;
}

struct list {
  struct device_entry *entry;
  unsigned n;
  int failed; /* an errno, or 0 */
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

/* The server lists a device before its control exports. */
static int
add_export (void *arg, const char *name, const char *description)
{
  const char *dot = strrchr (name, '.');
  struct list *list = arg;
  struct device_entry *e;
  struct message clean;

  if (dot != NULL) {
    e = find_entry (list, name, dot - name);
    if (e != NULL && strcmp (dot, ".config") == 0)
      e->can_control = true;
    return 0;
  }
  if (strlen (name) >= sizeof e->name)
    return 0;
  if (list->n == MAX_LISTED) {
    list->failed = E2BIG;
    return 0;
  }
  e = realloc (list->entry, (list->n + 1) * sizeof *e);
  if (e == NULL) {
    list->failed = ENOMEM;
    return 0;
  }
  list->entry = e;
  e = &list->entry[list->n++];
  memset (e, 0, sizeof *e);
  strcpy (e->name, name);
  message_set (&clean, "%.*s", (int) sizeof e->description - 1, description);
  strcpy (e->description, clean.text);
  return 0;
}

/* Let CALLBACK, with USER_DATA, see each export that the server lists. */
static bool
list_exports (const struct server_address *s,
              int (*callback) (void *user_data, const char *name,
                               const char *description),
              void *user_data, struct message *why)
{
  nbd_list_callback list = {.callback = callback, .user_data = user_data};
  struct nbd_handle *h = new_handle (why);
  char uri[2200];
  bool ok;

  if (h == NULL)
    return false;
  export_uri (s, "", uri, sizeof uri);
  nbd_set_opt_mode (h, true);
  ok = nbd_connect_uri (h, uri) == 0 && nbd_opt_list (h, list) != -1;
  if (!ok)
    message_set (why, "%s", nbd_get_error ());
  if (nbd_aio_is_negotiating (h) == 1)
    nbd_opt_abort (h);
  nbd_close (h);
  return ok;
}

/* Ask for the size of E's device and, if its .config is listed, whether that
 * can be opened.  That the server refuses to tell is no failure: then the size
 * is -1.
 */
static bool
look_at_entry (const struct server_address *s, struct device_entry *e,
               struct message *why)
{
  const bool is_listed = e->can_control;
  char uri[2200], config[sizeof e->name + 8];
  struct nbd_handle *h = new_handle (why);

  e->size = -1;
  e->can_control = false;
  if (h == NULL)
    return false;
  snprintf (config, sizeof config, "%s.config", e->name);
  nbd_set_opt_mode (h, true);
  if (export_uri_of (s, e->name, uri, sizeof uri) &&
      nbd_connect_uri (h, uri) == 0) {
    if (is_listed && nbd_aio_is_negotiating (h) == 1)
      e->can_control =
          nbd_set_export_name (h, config) == 0 && nbd_opt_info (h) == 0;
    if (nbd_aio_is_ready (h) == 1 ||
        (nbd_set_export_name (h, e->name) == 0 && nbd_opt_go (h) == 0)) {
      e->size = nbd_get_size (h);
      nbd_shutdown (h, 0);
    }
  }
  if (nbd_aio_is_negotiating (h) == 1)
    nbd_opt_abort (h);
  nbd_close (h);
  return true;
}

bool
server_list (const struct server_address *s, struct device_entry **devices,
             unsigned *n, struct message *why)
{
  struct list list = {NULL, 0, 0};
  unsigned i;
  bool ok;

  ok = list_exports (s, add_export, &list, why);
  if (ok && list.failed != 0)
    ok = fail (why, "%s",
               list.failed == E2BIG ? "this is no nullblk: it lists too many "
                                      "exports"
                                    : strerror (list.failed));
  for (i = 0; ok && i < list.n; i++)
    ok = look_at_entry (s, &list.entry[i], why);
  if (!ok) {
    free (list.entry);
    return false;
  }
  *devices = list.entry;
  *n = list.n;
  return true;
}

/*---------------------------------------------------------------------*/
/* The control exports */

struct search {
  const char *name;
  bool found;
};

static int
compare_export (void *arg, const char *name, const char *description)
{
  struct search *search = arg;

  (void) description;
  if (strcmp (name, search->name) == 0)
    search->found = true;
  return 0;
}

/* Find the server's reason in TEXT, libnbd's message about a refused export,
 * which ends in "named 'NAME': REASON: No such file or directory"; libnbd
 * before 1.22 has no REASON there.  *buf becomes "; it says: REASON", or "".
 */
static void
take_reason (struct message *buf, const char *name, const char *text)
{
  struct message start, end;
  const char *reason;
  size_t len;

  buf->text[0] = '\0';
  message_set (&start, "named '%s': ", name);
  message_set (&end, ": %s", strerror (ENOENT));
  reason = strstr (text, start.text);
  if (reason == NULL)
    return;
  reason += strlen (start.text);
  len = strlen (reason);
  if (len > strlen (end.text) &&
      strcmp (reason + len - strlen (end.text), end.text) == 0)
    message_set (buf, "; it says: %.*s", (int) (len - strlen (end.text)),
                 reason);
}

/* The server has answered that it has no export NAME; TEXT is libnbd's message.
 */
static void
explain_refusal (const struct server_address *s, const char *name,
                 const char *text, struct message *why)
{
  struct search search = {.name = name, .found = false};
  struct message reason;

  if (list_exports (s, compare_export, &search, &reason) && search.found) {
    take_reason (&reason, name, text);
    message_set (why,
                 "%s: the server lists this export and does not let it be "
                 "opened: a filter (multi-conn, openonce) may refuse it, as "
                 "nbdkit's error log says%.200s",
                 name, reason.text);
  }
  else
    message_set (why,
                 "%s: there is no such export for this client: %s"
                 "control=local shows it to root and the server's user on a "
                 "Unix socket, control=any to everybody; or a filter of the "
                 "server (exportname) refuses it",
                 name,
                 strstr (name, ".zones") != NULL
                     ? "zoned=true at the server's start makes it, "
                     : "");
}

struct nbd_handle *
server_open (const struct server_address *s, const char *ending,
             struct message *why)
{
  struct nbd_handle *h = new_handle (why);
  char uri[2200], name[80];
  bool is_server, is_unknown;

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
  is_unknown = is_server && nbd_get_errno () == ENOENT;
  message_set (why, "%s: %s", name, nbd_get_error ());
  if (nbd_aio_is_negotiating (h) == 1)
    nbd_opt_abort (h);
  nbd_close (h);
  if (is_unknown) {
    const struct message text = *why;

    explain_refusal (s, name, text.text, why);
  }
  return NULL;
}

void
server_close (struct nbd_handle *h)
{
  nbd_shutdown (h, 0);
  nbd_close (h);
}

char *
server_read (struct nbd_handle *h, struct message *why)
{
  int64_t size = nbd_get_size (h);
  uint64_t offset = 0;
  size_t piece;
  char *text;

  if (size <= 0 || size > MAX_DOCUMENT) {
    message_set (why, "this is no control export: it has %lld bytes",
                 (long long) size);
    return NULL;
  }
  text = malloc (size + 1);
  if (text == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  /* Newlines follow the text: no need to read all of them. */
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
  if (memchr (text, '\0', offset) != NULL || text[offset - 1] != '\n') {
    message_set (why, "this is no control export's text: %s",
                 text[offset - 1] != '\n' ? "newlines are missing at its end"
                                          : "there are zero bytes in it");
    free (text);
    return NULL;
  }
  while (offset > 0 && text[offset - 1] == '\n')
    offset--;
  text[offset] = '\0';
  return text;
}

char *
server_document (const struct server_address *s, const char *ending,
                 struct message *why)
{
  struct nbd_handle *h = server_open (s, ending, why);
  char *text;

  if (h == NULL)
    return NULL;
  text = server_read (h, why);
  server_close (h);
  return text;
}
