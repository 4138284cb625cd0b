/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What a running nullblk-ublk leaves for others of its kind to find: a file for
 * each device, whose name is the device's cookie, and which its process keeps
 * locked.  The kernel keeps the cookie with the device, so that nobody's else
 * device of the same number is taken for it:
 *
 *   /run/nullblk-ublk/COOKIE     in hexadecimal
 *       PID                      of the process
 *       REFUSED                  how often it has refused to end
 *       URI
 *
 * A file that is not locked is what has been left by a process that was killed.
 * The file is there before the device is, and goes after it.
 */

#ifndef NULLBLK_UBLK_RECORD_H
#define NULLBLK_UBLK_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef RUN /* as for a test */
#define RUN "/run/nullblk-ublk"
#endif

struct record {
  uint64_t cookie;
  pid_t pid;
  unsigned refused;
  char uri[1024];

  int fd; /* of the file; -1: none */
};

/* Make one that is locked, of this process, with a cookie of its own.  These
 * three return 0 or a negative errno.
 */
int record_make (struct record *r, const char *uri);

/* We refuse to end once more. */
int record_refuse (struct record *r);

/* Read the one of COOKIE, and lock it if *is_dead: whoever made it has ended.
 * -ENOENT: there is none any more.
 */
int record_open (struct record *r, uint64_t cookie, bool *is_dead);

/* Read it again; has its process ended meanwhile?  Then it is locked. */
bool record_has_died (struct record *r);

void record_close (struct record *r);

/* Remove what is locked. */
void record_remove (struct record *r);

/* Call ACTION for each.  Stops, and returns false, where ACTION does. */
bool record_for_each (bool (*action) (uint64_t cookie, void *arg), void *arg);

#endif /* NULLBLK_UBLK_RECORD_H */
