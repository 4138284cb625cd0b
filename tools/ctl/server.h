/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A nullblk server, as nullblkctl meets it: its devices, and the text of their
 * control exports (nbdkit-nullblk-plugin(1), CONTROL EXPORTS).
 *
 * Functions that return bool give false and the reason in *why.
 */

#ifndef NULLBLK_SERVER_H
#define NULLBLK_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"

struct nbd_handle;

struct server {
  char prefix[1024]; /* what stands before the export's name in its URI, */
  char suffix[1024]; /* and after it */
  char device[64];   /* nullb0 and so on */
  bool is_named;     /* it was given, not left to be the first */
};

/* WHERE is an NBD URI or the path of a Unix socket; DEVICE, NULL if it is not
 * given, comes before the export that a URI names.
 */
bool server_init (struct server *s, const char *where, const char *device,
                  struct message *why);

struct device_entry {
  char name[64];
  char description[128];
  int64_t size; /* bytes */
  bool can_control;
};

/* The devices, to be freed; *n is how many. */
bool server_list (const struct server *s, struct device_entry **devices,
                  unsigned *n, struct message *why);

/* Connect to the device's export with this ending (".config", ".stats",
 * ".zones"). nbd_close ends it.  NULL and the reason in *why if it cannot be
 * had.
 */
struct nbd_handle *server_open (const struct server *s, const char *ending,
                                struct message *why);

/* The document as it is now, to be freed. */
char *server_read (struct nbd_handle *h, struct message *why);

/* Change settings: lines of KEY=VALUE.  A refusal has the server's reason. */
bool server_change (struct nbd_handle *config, const char *lines,
                    struct message *why);

/* The same with a connection that lasts no longer. */
char *server_document (const struct server *s, const char *ending,
                       struct message *why);
bool server_configure (const struct server *s, const char *lines,
                       struct message *why);

#endif /* NULLBLK_SERVER_H */
