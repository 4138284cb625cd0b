/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Helper processes: a program forks one of itself, for work that it must not do
 * itself (what may wait for its own device), or will not be allowed to do later
 * (what needs root).
 */

#ifndef NULLBLK_UBLKDRV_HELPER_PROCESS_H
#define NULLBLK_UBLKDRV_HELPER_PROCESS_H

#include <signal.h>
#include <sys/types.h>

#include "common/common.h"

/* Make a process in which RUN is called, with its end of a SOCK_SEQPACKET
 * socket, and which ends when RUN returns.  It keeps nothing else open of what
 * the calling process, which has one thread, has open; it has no terminal, is
 * in the root directory, and blocks the signals that end programs.  Returns the
 * other end of the socket and the process in *pid, or -1 and the reason in
 * *why.
 */
int helper_make (pid_t *pid, void (*run) (int fd, const void *opaque),
                 const void *opaque, struct message *why);

/* Block the signals that end a program (*SET is which).  SIGPIPE is ignored
 * from then on: a write to a pipe or socket that is closed at the other end
 * only fails.
 */
void helper_block_signals (sigset_t *set);

#endif /* NULLBLK_UBLKDRV_HELPER_PROCESS_H */
