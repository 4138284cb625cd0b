/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The text of a device's .config export, and changes that are written to it
 * (nbdkit-nullblk-plugin(1), nullbN.config).  What is read is believed only if
 * it is such a text.  A change counts as done only if the server itself shows
 * that it has got it: a filter or a proxy may keep what is written, and answer
 * for the server.
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

/* Change the settings that LINES of KEY=VALUE name.  If the server refuses,
 * *why has its reason.
 */
bool config_change (struct nbd_handle *config, const char *lines,
                    struct message *why);

/* Do as config_read and config_change, by a connection of their own to .config
 * of the device of S.
 */
char *config_of (const struct server_address *s, struct message *why);
bool config_change_of (const struct server_address *s, const char *lines,
                       struct message *why);

/* Copy the value of KEY in a text to BUF.  Returns false if the text has none,
 * or if it has SIZE bytes or more.
 */
bool config_value (const char *text, const char *key, char *buf, size_t size);

#endif /* NULLBLK_DOTCONFIG_H */
