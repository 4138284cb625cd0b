/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The control exports: what nullbN.config, nullbN.stats and nullbN.zones read
 * and accept.  A struct control is one connection to one of them; for the first
 * two it has the text that the connection is reading, and the reason why its
 * last change was refused.
 *
 * Functions that return int give 0 or a negative errno.  Any thread may call
 * them; control.lock guards a control's text and reason.  Statistics are
 * gathered with it held; settings are changed without.
 */

#ifndef NULLBLK_CONTROL_H
#define NULLBLK_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"

enum document {
  DOCUMENT_CONFIG,
  DOCUMENT_STATS,
  DOCUMENT_ZONES, /* zoned devices only */
  NR_DOCUMENTS
};

/* ".config" and so on; "settings" and so on */
extern const char *const document_suffix[NR_DOCUMENTS];
extern const char *const document_title[NR_DOCUMENTS];

struct settings;
struct devices;
struct device;
struct connection;
struct control;

/* Has a device such an export? */
bool control_exists (const struct device *d, enum document document);

/* Connect to an export by its name.  Control exports are there only for a
 * client that MAY_CONTROL.  Returns 0, -ENOENT for an unknown name, or -ENOMEM.
 */
int control_connect (struct devices *devices, const char *name,
                     bool may_control, struct connection **r_connection);

/* The struct control of a connection; NULL where the connection is to data. */
struct control *control_of (const struct connection *c);

enum document control_document (const struct control *control);

/* Bytes. */
uint64_t control_size (const struct control *control);
uint32_t control_block_size (const struct control *control);
bool control_can_write (const struct control *control);

/* Read COUNT bytes at OFFSET, which nbdkit has checked, of the export that the
 * connection C is to.  A text is made afresh by a read from offset 0, and other
 * reads continue it.  Of zones, -EINVAL where OFFSET or COUNT cuts a
 * descriptor.
 */
int control_read (struct connection *c, void *buf, uint32_t count,
                  uint64_t offset);

/* Write COUNT bytes at OFFSET.  Of lines all take effect, or on error none:
 * -EINVAL with the reason in *why, which the next read from offset 0 by the
 * same client has, too, or -ENOMEM.  Of zone descriptors those before the first
 * error have taken effect, and *why tells which it was.
 */
int control_write (struct connection *c, const void *buf, uint32_t count,
                   uint64_t offset, struct message *why);

/* Do the filters of nbdkit that are loaded go with these settings?  Returns 0;
 * or -EINVAL and in *why what a filter would do unnoticed, and what to give to
 * have it nevertheless.
 */
int control_check_filters (const struct settings *s, struct message *why);

#endif /* NULLBLK_CONTROL_H */
