/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Print the tables of parameters and of fault actions for test-parameters.sh, a
 * line each with tabs between the fields.
 */

#include <config.h>

#include <stdio.h>

#include "faults/faults.h"
#include "settings/settings.h"

int
main (void)
{
  const char *a, *b;
  struct param_row row;
  size_t i;

  for (i = 0; params_row (i, &row); i++)
    printf ("parameter\t%s\t%s\t%s\t%s\n", row.name, row.default_value,
            row.range, row.is_live ? "live" : "");
  for (i = 0; params_alias (i, &a, &b); i++)
    printf ("alias\t%s\t%s\n", a, b);
  for (i = 0; params_kernel_only (i, &a, &b); i++)
    printf ("kernel\t%s\n", a);
  for (i = 0; (a = fault_action_text (i)) != NULL; i++)
    printf ("action\t%s\n", a);
  return 0;
}
