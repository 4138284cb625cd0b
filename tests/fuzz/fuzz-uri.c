/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * URIs, as nullblk-attach and nullblk-measure take them.
 */

#include <config.h>

#include <errno.h>

#include "fuzz.h"
#include "uri.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct input in = {data, size};
  char *text = take_up_to (&in, 0, NULL);
  struct message why = {{0}};
  struct uri uri;
  int r;

  fuzz_begin ();
  memset (&uri, 'x', sizeof uri);
  r = uri_parse (&uri, text, &why);
  if (r == 0) {
    CHECK (uri_is_one (text));
    CHECK (strlen (uri.host) < sizeof uri.host);
    CHECK (strlen (uri.port) < sizeof uri.port);
    CHECK (strlen (uri.socket) < sizeof uri.socket);
    CHECK (strlen (uri.export_name) < sizeof uri.export_name);
    CHECK (strlen (uri.tls_certificates) < sizeof uri.tls_certificates);
    CHECK ((uri.host[0] == '\0') == (uri.socket[0] != '\0'));
    CHECK (uri.port[0] != '\0');
  }
  else {
    CHECK (r == -EINVAL);
    CHECK (why.text[0] != '\0');
  }
  free (text);
  return 0;
}
