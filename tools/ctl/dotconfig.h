/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The text of a device's .config export, and changes that are written to it
 * (nbdkit-nullblk-plugin(1), nullbN.config).  What is read is believed only if
 * it is such a text.  A change is done only if the server itself shows that it
 * has got it: filters and proxies answer for a server, and may keep what is
 * written to themselves.
 *
 * Functions that return bool give false and the reason in *why.
 */

#ifndef NULLBLK_DOTCONFIG_H
#define NULLBLK_DOTCONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/common.h"
#include "server.h"

struct nbd_handle;

/* The text that CONFIG, a connection to a .config export, has now, to be freed.
 * NULL and the reason in *why if that cannot be had, or is no such text.
 */
char *config_read (struct nbd_handle *config, struct message *why);

/* Change settings: lines of KEY=VALUE.  A refusal has the server's reason. */
bool config_change (struct nbd_handle *config, const char *lines,
                    struct message *why);

/* The same with a connection that lasts no longer. */
char *config_of (const struct server_address *s, struct message *why);
bool config_change_of (const struct server_address *s, const char *lines,
                       struct message *why);

/* Take the value of KEY from a text.  Returns false where there is none, or it
 * does not fit.
 */
bool config_value (const char *text, const char *key, char *buf, size_t size);

#endif /* NULLBLK_DOTCONFIG_H */
