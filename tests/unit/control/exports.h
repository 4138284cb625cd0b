/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device with control exports for tests, and what is read from them and
 * written to them.
 */

#ifndef NULLBLK_TESTS_EXPORTS_H
#define NULLBLK_TESTS_EXPORTS_H

#include "control/control.h"
#include "device/device.h"
#include "devices.h"
#include "unit.h"

extern struct devices *devices;
extern struct connection *data, *config, *stats;
extern char text[1 << 20];
extern uint8_t buf[65536];

struct connection *connect_to (const char *name);

void create (const char *const *given);

#define CREATE(...) create ((const char *const[]){__VA_ARGS__, NULL})

int setup (void **state);

int teardown (void **state);

/* Read all of a document, without the newlines at its end but one, into `text`.
 */
const char *read_all (struct connection *c);

void assert_has (const char *what);

int change (const char *lines, struct message *why);

void assert_changed (const char *lines);

/* Assert that a change is refused for REASON, which the next read has, too, and
 * that nothing has changed.
 */
void assert_refused (const char *lines, const char *reason);

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

#endif /* NULLBLK_TESTS_EXPORTS_H */
