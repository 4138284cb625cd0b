/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The table of operations; see operation.h.
 */

#include <config.h>

#include "operation.h"

const char *const operation_names[NR_OPERATIONS] = {
    [OP_READ] = "read", [OP_WRITE] = "write", [OP_FLUSH] = "flush",
    [OP_TRIM] = "trim", [OP_ZERO] = "zero",   [OP_ZONE] = "zone",
};
