/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What a program has in common with nbdkit whose library of batched I/O is
 * preloaded: plugin/batch/batch-libc.c and batch-stop.c are part of it, and
 * where it calls read, send or dup, it calls the library's.  It has connections
 * that it has accepted, and children, for what is done once in a process.
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

/* Returns a socket from which the connection of *client can be accepted. */
int listen_for (int *client);

/* ends[0] is the server's, which it has accepted. */
void connect_ends (int ends[2], bool by_accept4);

/* Returns how a child has ended, as waitpid does. */
int end_of (pid_t pid);

/* Call WHAT in a child.  Returns how the child has ended: 0 if WHAT returned.
 */
int in_child (void (*what) (void));

#endif /* NULLBLK_TESTS_PRELOADED_H */
