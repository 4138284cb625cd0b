/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The server that nullblkctl is about: where it is, its devices, and the text
 * of their control exports (nbdkit-nullblk-plugin(1), CONTROL EXPORTS).
 *
 * Functions that return bool give false and the reason in *why.
 */

#ifndef NULLBLK_SERVER_H
#define NULLBLK_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"

struct nbd_handle;

struct server_address {
  char prefix[1024]; /* the part of the URI before the export's name */
  char suffix[1024]; /* the part of the URI after the export's name */
  char device[64];   /* nullb0 and so on */
  bool is_named;     /* false: no device was given, it is nullb0 */
};

/* WHERE is an NBD URI or the path of a Unix socket.  DEVICE, unless it is NULL,
 * takes precedence over the export that the URI names.
 */
bool server_init (struct server_address *s, const char *where,
                  const char *device, struct message *why);

struct device_entry {
  char name[64];         /* as the server gives it: any bytes */
  char description[128]; /* for a terminal */
  int64_t size;          /* bytes; -1: it cannot be opened */
  bool can_control;      /* its .config is listed, and can be opened */
};

/* The devices, to be freed; *n is how many. */
bool server_list (const struct server_address *s, struct device_entry **devices,
                  unsigned *n, struct message *why);

/* Connect to the device's export with this ending (".config", ".stats",
 * ".zones").  NULL and the reason in *why if that fails.
 */
struct nbd_handle *server_open (const struct server_address *s,
                                const char *ending, struct message *why);

/* Disconnect. */
void server_close (struct nbd_handle *h);

/* The text that the export of H has now, to be freed, without the newlines at
 * its end; it has no zero bytes.  NULL and the reason in *why if it cannot be
 * read, or is no text of a control export.
 */
char *server_read (struct nbd_handle *h, struct message *why);

/* Do as server_read, for the export of the device with ENDING, by a connection
 * of its own.
 */
char *server_document (const struct server_address *s, const char *ending,
                       struct message *why);

#endif /* NULLBLK_SERVER_H */
