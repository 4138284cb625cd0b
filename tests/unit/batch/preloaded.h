/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For test programs that are what nbdkit with the preloaded batch library is:
 * plugin/batch/batch-libc.c and batch-stop.c are part of them, so that read,
 * send or dup are the library's.  Connections that such a program has accepted,
 * and children, for what is done once in a process.
 */

#ifndef NULLBLK_TESTS_PRELOADED_H
#define NULLBLK_TESTS_PRELOADED_H

#include <stdbool.h>
#include <sys/types.h>

/* The last call of nbdkit_nanosleep, by which the library knows nbdkit. */
extern struct nanosleep {
  unsigned sec, nsec;
  int result; /* of the next call */
} nanosleep_of_nbdkit;

/* Connect *CLIENT, and return the listening socket that can accept it. */
int listen_for (int *client);

/* Connect both ends; ends[0] was accepted. */
void connect_ends (int ends[2], bool by_accept4);

/* Wait for a child, and return its status as waitpid gives it. */
int end_of (pid_t pid);

/* Call WHAT in a child.  Returns how the child has ended: 0 if WHAT returned.
 */
int in_child (void (*what) (void));

#endif /* NULLBLK_TESTS_PRELOADED_H */
