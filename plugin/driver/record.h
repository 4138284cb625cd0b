/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What a running nullblk-ublk leaves for others of its kind to find: a file for
 * each device, whose name is the device's cookie, and which its process keeps
 * locked.  The kernel keeps the cookie with the device, so that nobody's else
 * device of the same number is taken for it:
 *
 *   /run/nullblk-ublk/COOKIE     in hexadecimal
 *       PID                      of the process, for people to read
 *       REFUSED                  how often it has refused to end
 *       LOST                     1: at the end not all could be written
 *       DEVICE                   "ublkbN"; "-" before the kernel has made it
 *       URI
 *
 * A file that is not locked is what has been left by a process that was killed.
 * Who only looks takes no lock: he could be taken for the process.  The PID
 * that counts is that of the lock's owner, as the kernel knows it. The file is
 * there before the device is, and goes after it.
 */

#ifndef NULLBLK_DRIVER_RECORD_H
#define NULLBLK_DRIVER_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef RECORDS /* as for a test */
#define RECORDS "/run/nullblk-ublk"
#endif

struct record {
  uint64_t cookie;
  pid_t pid; /* who holds the lock; 0: nobody, or nobody that we can see */
  unsigned refused;
  bool lost;
  char device[32];
  char uri[1024];

  int fd; /* of the file; -1: none */
};

/* Make one that is locked, of this process, with that cookie; 0: with one of
 * its own.  These functions return 0 or a negative errno; -EEXIST: the cookie
 * is another record's.
 */
int record_make (struct record *r, uint64_t cookie, const char *uri);

/* The kernel has made the device. */
int record_name (struct record *r, const char *device);

/* We refuse to end once more; we end, and not all that was written has reached
 * the server.
 */
int record_refuse (struct record *r);
int record_lose (struct record *r);

/* Read the one of COOKIE, and say in *is_dead whether the process that made it
 * has ended.  -ENOENT: there is none any more.
 */
int record_open (struct record *r, uint64_t cookie, bool *is_dead);

/* Read it again; has its process ended meanwhile? */
bool record_has_died (struct record *r);

/* Be the only one who clears what a dead process has left, until the record is
 * closed.  -EAGAIN: somebody else is at it; -EBUSY: somebody else serves the
 * device now; -ENOENT: somebody else has done it.
 */
int record_claim (struct record *r);

/* Be the process of it from now on, instead of a dead one.  Returns -EAGAIN
 * where somebody else clears it, or is its process; or -ENOENT as above.
 */
int record_adopt (struct record *r);

void record_close (struct record *r);

/* Remove the file of one that is ours, or claimed. */
void record_remove (struct record *r);

/* Call ACTION for each.  Stops, and returns false, where ACTION does. */
bool record_for_each (bool (*action) (uint64_t cookie, void *arg), void *arg);

/* Is TEXT a cookie, as it is the name of a file?  Returns it; 0: it is none. */
uint64_t record_cookie (const char *text);

#endif /* NULLBLK_DRIVER_RECORD_H */
