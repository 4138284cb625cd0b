/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The control exports: reads of nullbN.config, nullbN.stats and nullbN.zones,
 * and writes to them.  A struct control belongs to one connection to one of
 * them; for the first two it has the text that the connection is reading, and
 * the reason why its last change was refused.
 *
 * Functions that return int give 0 or a negative errno.  Any thread may call
 * them; control.lock guards a control's text, its reason, and the tags of
 * changes that were done.  Statistics are gathered with it held; settings are
 * changed without.
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

/* The endings of their names, ".config" and so on; and "settings" and so on,
 * for descriptions.
 */
extern const char *const document_suffix[NR_DOCUMENTS];
extern const char *const document_title[NR_DOCUMENTS];

struct settings;
struct devices;
struct device;
struct connection;
struct control;

/* Does the device have this control export?  Its document is what the export
 * shows: the zone table of .zones, the lines KEY=VALUE of .config, the JSON of
 * .stats.
 */
bool control_exists (const struct device *d, enum document document);

/* Connect to an export by its name.  Control exports are there only for a
 * client that MAY_CONTROL.  Returns 0, -ENOENT for an unknown name, or -ENOMEM.
 */
int control_connect (struct devices *devices, const char *name,
                     bool may_control, struct connection **r_connection);

/* The struct control of a connection; NULL where the connection is to data. */
struct control *control_of (const struct connection *c);

enum document control_document (const struct control *control);

/* The size and the minimum block size of the export, in bytes. */
uint64_t control_size (const struct control *control);
uint32_t control_block_size (const struct control *control);
bool control_can_write (const struct control *control);

/* Read COUNT bytes at OFFSET, which nbdkit has checked, of the export of
 * connection C.  A read from offset 0 makes a new text.  Other reads continue
 * that text, or make a new one if the text was read to its end or was made for
 * another client.  -EINVAL if a read of zones begins or ends within a
 * descriptor.
 */
int control_read (struct connection *c, void *buf, uint32_t count,
                  uint64_t offset);

/* Write COUNT bytes at OFFSET.  Of lines, all take effect or none (but see
 * control_change).  If none does, this returns -ENOMEM, or -EINVAL with the
 * reason in *why, which the same client also finds in its next read from offset
 * 0.  Of zone descriptors, those before the first error have taken effect, and
 * *why says which one failed.
 */
int control_write (struct connection *c, const void *buf, uint32_t count,
                   uint64_t offset, struct message *why);

/* May the server start with these settings and the filters of nbdkit that are
 * loaded?  Returns 0; or -EINVAL, and *why says what a filter would falsify
 * unnoticed, and which parameter allows it nevertheless.
 */
int control_check_filters (const struct settings *s, struct message *why);

#endif /* NULLBLK_CONTROL_H */
