/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The table of parameters, for its two files: params-table.c has the rows, and
 * params.c does what they say.  Nobody else includes this.
 */

#ifndef NULLBLK_PARAMS_INTERNAL_H
#define NULLBLK_PARAMS_INTERNAL_H

#include "params.h"

/* May a parameter change while the server runs?  All may but FIXED.  A profile
 * sets those that are MODEL, to their defaults where it does not say more.
 * STATE is for parameters of what a device has, which are no settings.
 */
enum change { FIXED, LIVE, MODEL, STATE };

struct param {
  const char *name;
  struct value_rule rule;
  enum change change;
  size_t field;        /* offset in struct settings; not of STATE */
  const char *initial; /* or NULL: params_complete works it out */
  const char *shown;
};

extern const struct param param_table[];
extern const size_t nr_params;

static inline void *
field_of (const struct param *param, struct settings *s)
{
  return (char *) s + param->field;
}

static inline const void *
const_field_of (const struct param *param, const struct settings *s)
{
  return (const char *) s + param->field;
}

/* '-' and '_' are the same letter, as in the kernel's module parameters. */
bool param_same_name (const char *a, const char *b);

/* The row of a parameter by its name in the table, or nr_params. */
size_t param_find (const char *name);

/* The parameter that KEY means, and the unit of a bare number.  NULL and the
 * reason in *why if none.
 */
const struct param *param_look_up (const char *key, const char *value,
                                   uint64_t *unit, struct message *why);

#endif /* NULLBLK_PARAMS_INTERNAL_H */
