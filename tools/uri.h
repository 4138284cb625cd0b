/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * NBD URIs, split into their parts for programs that need these: libnbd takes a
 * URI, and nbd-client does not.  See uri.md of the NBD project:
 *
 *   nbd://HOST[:PORT]/EXPORT          nbd+unix:///EXPORT?socket=PATH
 *   nbds://...                        with TLS; ?tls-certificates=DIRECTORY
 */

#ifndef NULLBLK_URI_H
#define NULLBLK_URI_H

#include <stdbool.h>

#include "common/common.h"

struct uri {
  bool tls;
  char host[256];              /* "" where there is a socket */
  char port[16];               /* "10809" unless given */
  char socket[256];            /* "" where there is a host */
  char export_name[4097];      /* NBD's longest name is 4096 bytes */
  char tls_certificates[1024]; /* "" unless given */
};

/* Does TEXT begin as an NBD URI does? */
bool uri_is_one (const char *text);

/* Returns 0 or -EINVAL with the reason in *why. */
int uri_parse (struct uri *uri, const char *text, struct message *why);

#endif /* NULLBLK_URI_H */
