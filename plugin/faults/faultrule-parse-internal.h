/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the files of fault rules' language share: faultrule.c takes a text
 * apart, faultrule-format.c writes one.  Nobody else includes this.
 */

#ifndef NULLBLK_FAULTRULE_PARSE_INTERNAL_H
#define NULLBLK_FAULTRULE_PARSE_INTERNAL_H

#include <stddef.h>

#include "faultrule-internal.h"

/* By action. */
struct fault_action_row {
  const char *text;    /* without what follows error= and delay= */
  unsigned operations; /* that it can be done to */
};
extern const struct fault_action_row fault_actions[NR_FAULT_ACTIONS];

/* The names of OPERATIONS (1 << enum operation, each) with COMMA between. */
void fault_list_operations (unsigned operations, const char *comma, char *buf,
                            size_t len);

#endif /* NULLBLK_FAULTRULE_PARSE_INTERNAL_H */
