/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A command line of parameters; see params-of.h.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "params-of.h"

struct params p;
struct message why;

int
setup (void **state)
{
  (void) state;
  params_clear (&p);
  params_init (&p);
  memset (&why, 0, sizeof why);
  return 0;
}

int
teardown (void **state)
{
  (void) state;
  params_clear (&p);
  return 0;
}

int
complete (void)
{
  return params_complete (&p, MEMORY, UINT64_MAX, 4096, &why);
}

void
take (const char *key, const char *value)
{
  if (params_set (&p, key, value, &why) != 0)
    fail_msg ("%s", why.text);
}

void
refuse (const char *key, const char *value, const char *text)
{
  assert_int_equal (params_set (&p, key, value, &why), -EINVAL);
  assert_string_equal (why.text, text);
}

const struct settings *
alone (const char *key, const char *value)
{
  setup (NULL);
  take (key, value);
  return &p.settings;
}
