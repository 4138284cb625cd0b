/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For the two files of the language of fault rules: faultrule.c, which parses a
 * text, and faultrule-format.c, which writes one: what both need.
 */

#ifndef NULLBLK_FAULTRULE_TEXT_INTERNAL_H
#define NULLBLK_FAULTRULE_TEXT_INTERNAL_H

#include <stddef.h>

#include "faultrule-internal.h"

/* The names of OPERATIONS (1 << enum operation, each) with COMMA between. */
void fault_list_operations (unsigned operations, const char *comma, char *buf,
                            size_t len);

#endif /* NULLBLK_FAULTRULE_TEXT_INTERNAL_H */
