/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Whole numbers and sizes in bytes as people write them.  Pure functions,
 * without locks.
 */

#ifndef NULLBLK_NUMBER_H
#define NULLBLK_NUMBER_H

#include <stddef.h>
#include <stdint.h>

/* Returns the value of C as a hexadecimal digit; 16 where C is none. */
unsigned number_digit (char c);

/* Parse a whole number without a sign, decimal or hexadecimal after 0x, in the
 * LEN bytes at TEXT.  Returns 0 or -EINVAL.
 */
int number_parse (const char *text, size_t len, uint64_t *n);

/* Parse a size in nbdkit's form: a number and at most one letter, b (1), s
 * (512) or k m g t p e (powers of 1024), in either case.  After 0x, b and e are
 * digits.  Returns 0 or -EINVAL.
 */
int size_parse (const char *text, size_t len, uint64_t *bytes);

/* Write a size with the largest suffix that divides it: "250G", "512", "4K".
 * 24 bytes are enough.
 */
void size_format (uint64_t bytes, char *buf, size_t len);

#endif /* NULLBLK_NUMBER_H */
