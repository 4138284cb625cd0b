/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For the files of the table of parameters: params-table.c, which has the rows,
 * params.c, which parses, checks and prints by them, and params-model.c, which
 * takes those of a model.
 */

#ifndef NULLBLK_PARAMS_INTERNAL_H
#define NULLBLK_PARAMS_INTERNAL_H

#include "params.h"

/* FIXED parameters cannot change while the server runs, all others can.  A
 * profile sets all that are MODEL, to their defaults where the profile has no
 * value.  STATE parameters are no settings: they change the state of a device.
 */
enum param_kind { FIXED, LIVE, MODEL, STATE };

struct param {
  const char *name;
  struct value_rule rule;
  enum param_kind kind;
  size_t field;        /* offset in struct settings; not of STATE */
  const char *initial; /* the default; NULL: params_complete computes it */
  const char *shown;   /* the default in --help */
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

void param_set_to_default (const struct param *param, struct settings *s);

/* Set what a new model of a drive has, and what is not given beside it.  In a
 * live change (LIVE) the model's FIXED settings go into a copy, only to be
 * compared with those in force; that may be a plain copy of the struct, as
 * FIXED settings own no memory.
 */
int params_take_model (struct params *p, bool live, struct message *why);

#endif /* NULLBLK_PARAMS_INTERNAL_H */
