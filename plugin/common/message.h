/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A message for a person: one line, whatever it is made from.  Core never
 * prints; whoever calls it does.
 */

#ifndef NULLBLK_MESSAGE_H
#define NULLBLK_MESSAGE_H

struct message {
  char text[512]; /* without a newline at its end */
};

/* As printf, cut to what fits; control characters, which a client or a command
 * line may have put into a name, become question marks.
 */
void message_set (struct message *m, const char *fs, ...)
    __attribute__ ((format (printf, 2, 3)));

#endif /* NULLBLK_MESSAGE_H */
