/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What a request asks for, as far as settings and statistics tell requests
 * apart.  Used by every part that does; owns nothing.
 */

#ifndef NULLBLK_OPERATION_H
#define NULLBLK_OPERATION_H

enum operation {
  OP_READ,
  OP_WRITE,
  OP_FLUSH,
  OP_TRIM,
  OP_ZERO,
  OP_ZONE, /* a zone command: reset, open, close, finish */
  NR_OPERATIONS
};

/* What statistics and op= of fault rules call them: "read" and so on. */
extern const char *const operation_names[NR_OPERATIONS];

#endif /* NULLBLK_OPERATION_H */
