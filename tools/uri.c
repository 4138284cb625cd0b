/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * NBD URIs; see uri.h.
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "uri.h"

static const struct scheme {
  const char *prefix;
  bool tls;
  bool local;
} schemes[] = {
    {"nbd://", false, false},
    {"nbds://", true, false},
    {"nbd+unix://", false, true},
    {"nbds+unix://", true, true},
};

static const struct scheme *
scheme_of (const char *text)
{
  size_t i;

  for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
    if (strncmp (text, schemes[i].prefix, strlen (schemes[i].prefix)) == 0)
      return &schemes[i];
  }
  return NULL;
}

bool
uri_is_one (const char *text)
{
  return scheme_of (text) != NULL;
}

static int
hex_digit (char c)
{
  if (isdigit ((unsigned char) c))
    return c - '0';
  return isxdigit ((unsigned char) c) ? tolower ((unsigned char) c) - 'a' + 10
                                      : -1;
}

/* Copy LEN characters, with what %XX stands for.  Returns false if a % has no
 * two hexadecimal digits behind it, if a character would be 0, or if they do
 * not fit.
 */
static bool
decode (char *to, size_t size, const char *from, size_t len)
{
  const char *end = from + len;
  char c;

  while (from < end) {
    c = *from++;
    if (c == '%') {
      if (end - from < 2 || hex_digit (from[0]) < 0 || hex_digit (from[1]) < 0)
        return false;
      c = hex_digit (from[0]) << 4 | hex_digit (from[1]);
      from += 2;
    }
    if (c == '\0' || size <= 1)
      return false;
    *to++ = c;
    size--;
  }
  *to = '\0';
  return true;
}

/* Parse HOST, HOST:PORT or [V6ADDRESS]:PORT. */
static bool
parse_authority (struct uri *uri, const char *text, size_t len)
{
  const char *end = text + len;
  const char *host = text, *host_end, *port = NULL;

  if (memchr (text, '@', len) != NULL) {
    host = (const char *) memchr (text, '@', len) + 1;
    len = end - host;
  }
  if (len > 0 && host[0] == '[') {
    host++;
    host_end = memchr (host, ']', end - host);
    if (host_end == NULL)
      return false;
    if (host_end + 1 < end) {
      if (host_end[1] != ':')
        return false;
      port = host_end + 2;
    }
  }
  else {
    host_end = memchr (host, ':', len);
    if (host_end != NULL)
      port = host_end + 1;
    else
      host_end = end;
  }
  if (host_end == host ||
      !decode (uri->host, sizeof uri->host, host, host_end - host))
    return false;
  if (port != NULL) {
    if (port == end || strspn (port, "0123456789") < (size_t) (end - port))
      return false;
    return decode (uri->port, sizeof uri->port, port, end - port);
  }
  return true;
}

/* Parse KEY=VALUE pairs with '&' or ';' between them.  Unknown keys are left to
 * libnbd.
 */
static bool
parse_query (struct uri *uri, const char *query)
{
  static const char socket_key[] = "socket=";
  static const char certificates_key[] = "tls-certificates=";
  size_t len;

  for (;;) {
    len = strcspn (query, "&;");
    if (strncmp (query, socket_key, sizeof socket_key - 1) == 0) {
      if (!decode (uri->socket, sizeof uri->socket,
                   query + sizeof socket_key - 1, len - sizeof socket_key + 1))
        return false;
    }
    else if (strncmp (query, certificates_key, sizeof certificates_key - 1) ==
             0) {
      if (!decode (uri->tls_certificates, sizeof uri->tls_certificates,
                   query + sizeof certificates_key - 1,
                   len - sizeof certificates_key + 1))
        return false;
    }
    if (query[len] == '\0')
      return true;
    query += len + 1;
  }
}

int
uri_parse (struct uri *uri, const char *text, struct message *why)
{
  const struct scheme *scheme = scheme_of (text);
  const char *rest, *path, *query;
  bool ok = true;

  memset (uri, 0, sizeof *uri);
  snprintf (uri->port, sizeof uri->port, "10809");
  if (scheme == NULL) {
    message_set (why,
                 "%.200s: a URI begins with nbd://, nbds://, nbd+unix:// "
                 "or nbds+unix://",
                 text);
    return -EINVAL;
  }
  uri->tls = scheme->tls;
  rest = text + strlen (scheme->prefix);
  query = rest + strcspn (rest, "?");
  path = rest + strcspn (rest, "/?");

  if (!scheme->local)
    ok = parse_authority (uri, rest, path - rest);
  if (*path == '/')
    ok = ok && decode (uri->export_name, sizeof uri->export_name, path + 1,
                       query - path - 1);
  if (*query == '?')
    ok = ok && parse_query (uri, query + 1);
  if (!ok || (uri->socket[0] != '\0') != scheme->local) {
    message_set (why,
                 "%.200s: a URI is nbd://HOST[:PORT]/EXPORT or "
                 "nbd+unix:///EXPORT?socket=PATH",
                 text);
    return -EINVAL;
  }
  return 0;
}
