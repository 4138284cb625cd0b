/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A server that a fuzzer's input makes up, in the place of libnbd: what it
 * lists, the size and the bytes of its exports, and which of its answers are
 * errors.  Nothing of NBD's protocol is in it.
 */

#ifndef NULLBLK_FUZZ_NBD_H
#define NULLBLK_FUZZ_NBD_H

#include "fuzz.h"

/* Begin a server.  If IN is NULL, it has nothing, and takes all that is
 * written.
 */
void fuzz_nbd_begin (struct input *in);

/* Free what the server has. */
void fuzz_nbd_end (void);

/* Check that a text for people has no control characters but newlines. */
void fuzz_check_text (const char *text, size_t len);

#endif /* NULLBLK_FUZZ_NBD_H */
