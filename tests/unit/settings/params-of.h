/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A command line of parameters for tests.
 */

#ifndef NULLBLK_TESTS_PARAMS_OF_H
#define NULLBLK_TESTS_PARAMS_OF_H

#include "settings/settings.h"
#include "unit.h"

#define GIB (UINT64_C (1) << 30)
#define MEMORY (16 * GIB) /* what the machine is said to have */

extern struct params p;
extern struct message why;

int setup (void **state);

int teardown (void **state);

int complete (void);

void take (const char *key, const char *value);

void refuse (const char *key, const char *value, const char *text);

/* Take KEY=VALUE as the only parameter of a new command line. */
const struct settings *alone (const char *key, const char *value);

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

#endif /* NULLBLK_TESTS_PARAMS_OF_H */
