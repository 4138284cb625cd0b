/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Records of ublk devices, by which processes find the devices of others: each
 * is a file that the process that serves the device keeps locked (with
 * ublk=true the server's keeper does), and whose name is the device's cookie.
 * The kernel keeps the cookie with the device, so that no other program's
 * device of the same number is taken for it:
 *
 *   /run/nullblk-ublk/COOKIE     in hexadecimal
 *       PID                      of the process, for people to read
 *       REFUSED                  how often it has refused to end
 *       LOST_DATA                1: at the end not all could be written
 *       DEVICE                   "ublkbN"; "-" before the kernel has made it
 *       URI
 *
 * Behind that nullblk-ublk has the journal of a device that outlives its
 * process (journal.h).
 *
 * A process that was killed has left a file that is not locked.  If a
 * supervisor is there to start another process then (nullblk-ublk's), the
 * supervisor keeps a lock on another byte all the time; and so does the aide
 * (aide.h) while it holds the device.  A process that only reads a record locks
 * nothing: others would believe that it serves the device.  The kernel knows
 * the pid of the lock's owner, and this pid counts.  The file is made before
 * the device, and removed after it.
 */

#ifndef NULLBLK_UBLKDRV_UBLK_RECORD_H
#define NULLBLK_UBLKDRV_UBLK_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef RECORDS /* as for a test */
#define RECORDS "/run/nullblk-ublk"
#endif

/* Where a server serves its own device (ublk=true), the record has a text that
 * begins with this instead of a URI.  That process is not asked to end: the
 * device goes when the server ends.
 */
#define DEVICE_RECORD_OF_SERVER "ublk=true "

struct device_record {
  uint64_t cookie;
  pid_t pid; /* who holds the lock; 0: nobody, or nobody that we can see */
  unsigned refused;
  bool lost_data;
  char device[32];
  char uri[1024];

  int fd; /* of the file; -1: none */
};

/* Make a record of a device of this process, and lock it.  With COOKIE 0 it has
 * a new cookie.  This and the functions below return 0 or a negative errno;
 * -EEXIST: the cookie is another record's.
 */
int device_record_make (struct device_record *r, uint64_t cookie,
                        const char *uri);

/* The kernel has made the device. */
int device_record_set_device (struct device_record *r, const char *device);

/* We refuse to end once more; we end, and not all that was written has reached
 * the server.
 */
int device_record_count_refusal (struct device_record *r);
int device_record_set_lost_data (struct device_record *r);

/* Read the record of COOKIE, and say in *is_dead whether the process that made
 * it has ended.  -ENOENT: there is no such record any more.
 */
int device_record_open (struct device_record *r, uint64_t cookie,
                        bool *is_dead);

/* Read the record again, if that is possible.  Returns whether its process has
 * ended meanwhile.
 */
bool device_record_has_died (struct device_record *r);

/* Has nobody removed the record's file?  A process that ends by itself removes
 * the file before it ends.
 */
bool device_record_is_there (const struct device_record *r);

/* Be the only one who clears what a dead process has left, until the record is
 * closed.  -EAGAIN: somebody else is at it; -EBUSY: somebody else serves the
 * device now; -ENOENT: somebody else has done it.
 */
int device_record_lock_to_clear (struct device_record *r);

/* Make this process the one that serves the record's device, in place of one
 * that has died.  Returns -EAGAIN where somebody else clears the record, or is
 * its process; or -ENOENT as above.
 */
int device_record_adopt (struct device_record *r);

/* Lock the supervisor's byte of the record of COOKIE: until this process ends,
 * others see that it will start another process, to adopt the record, if the
 * one that serves the device is killed.  Returns a descriptor, which stays open
 * here, and which a child closes before it touches a record; or a negative
 * errno.
 */
int device_record_supervise (uint64_t cookie);

/* Does a supervisor hold that lock? */
bool device_record_is_supervised (const struct device_record *r);

/* Lock the aide's byte of the record of COOKIE: others see that this process,
 * which has the device open with O_EXCL, does so in order to take the device
 * away, and is no user of it.  Returns a descriptor, which is closed before the
 * device is; or a negative errno.
 */
int device_record_hold_device (uint64_t cookie);

/* Returns the pid of the process that holds that lock; 0: there is none, or
 * none that we can see.  The process may be alive when the one that serves the
 * device is dead, as it waits for the device.
 */
pid_t device_record_aide (const struct device_record *r);

void device_record_close (struct device_record *r);

/* Remove the file of a record that is ours, or that
 * device_record_lock_to_clear has locked, and close it.
 */
int device_record_remove (struct device_record *r);

/* Is it the record of a server's own device (DEVICE_RECORD_OF_SERVER)? */
bool device_record_is_of_server (const struct device_record *r);

/* Call ACTION with the cookie of each record, until ACTION returns false.
 * Returns 0, or a negative errno where the directory of records is there and
 * cannot be read.
 */
int device_record_for_each (bool (*action) (uint64_t cookie, void *arg),
                            void *arg);

/* Is TEXT a cookie, as it is the name of a file?  Returns it; 0: it is none. */
uint64_t device_record_cookie (const char *text);

#endif /* NULLBLK_UBLKDRV_UBLK_RECORD_H */
