/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A message for a person, of one line.  The rooms below plugin.c never print:
 * they return messages, and their callers print these.
 */

#ifndef NULLBLK_MESSAGE_H
#define NULLBLK_MESSAGE_H

#include <stddef.h>

struct message {
  char text[512]; /* without a newline at its end */
};

/* Make a message as printf does, cut to what fits; control characters, which a
 * client or a command line may have put into a name, become question marks.
 */
void message_set (struct message *m, const char *fs, ...)
    __attribute__ ((format (printf, 2, 3)));

/* Append WORD to a list, which begins as "": "auto, off or on".  LAST is NULL,
 * or what stands before the last one: "or".  What does not fit is cut.
 */
void words_append (char *buf, size_t len, const char *word, const char *last);

#endif /* NULLBLK_MESSAGE_H */
