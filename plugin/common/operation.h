/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The kinds of requests that settings, statistics and fault rules tell apart.
 * Owns nothing.
 */

#ifndef NULLBLK_OPERATION_H
#define NULLBLK_OPERATION_H

enum operation {
  OP_READ,
  OP_WRITE,
  OP_FLUSH,
  OP_TRIM,
  OP_ZERO,
  OP_ZONE, /* a zone command (zones_command), or a reset of all */
  NR_OPERATIONS
};

/* Their names in statistics and in op= of fault rules: "read" and so on. */
extern const char *const operation_names[NR_OPERATIONS];

#endif /* NULLBLK_OPERATION_H */
