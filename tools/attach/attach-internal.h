/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Declarations that the files of nullblk-attach share.  Each file calls only
 * those that stand below it:
 *
 *     nullblk-attach.c  the command line
 *     attach.c            attaching (with the layout of /run/nullblk)
 *     attach-detach.c     listing and detaching
 *     attach-device.c     nbd devices
 *     attach-ublk.c       ublk devices, by nullblk-ublk
 *     attach-server.c     the server and the watcher
 *     attach-find.c       how an attachment is found
 *     attach-directory.c  its directory, and locks
 *     persist.c           reconnects an nbd device
 *     offer.c             what a server offers, and connections to it
 *     attach-process.c    signals and programs
 *     netlink.c           the kernel's nbd driver
 *     attach-text.c       texts, files of one line, and the program's end
 *
 * A function that cannot go on ends the program, unless its comment says that
 * it returns on failure.  That holds also for what cannot be read: only what is
 * known not to be there (is_absent) is taken to be gone, as otherwise a device
 * in use would be forgotten, or attached twice.
 */

#ifndef NULLBLK_ATTACH_INTERNAL_H
#define NULLBLK_ATTACH_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libnbd.h>

#include "netlink.h"
#include "offer.h"
#include "persist.h"
#include "uri.h"

#ifndef RUN /* as for a test */
#define RUN "/run/nullblk"
#endif
#ifndef SYS
#define SYS "/sys"
#endif
#define MAX_NAME 64
#define MAX_CONNECTIONS 128
#define MAX_PATH 300
#define MAX_URI 16384

/*---------------------------------------------------------------------*/
/* Attaching: attach.c */

struct attach_options {
  unsigned connections;
  bool connections_given;
  unsigned depth;
  unsigned timeout; /* seconds; 0: the default of REQUEST_TIMEOUT and so on */
  unsigned persist; /* seconds; 0: not at all */
  const char *name; /* or NULL */
  enum { AS_AUTO, AS_NBD, AS_UBLK } as;
};

/* Attach the URI or the parameters in ARGUMENTS, which end with NULL.  Returns
 * the program's exit status.
 */
int attach (const struct attach_options *given, char **arguments);

/*---------------------------------------------------------------------*/
/* Directories of attachments: attach-directory.c */

/* The network namespace of this process, as text: in another one the names of
 * hosts may mean other hosts.
 */
void network_of_process (char *buf, size_t size);

/* The device's export, as it was when it was attached. */
bool write_offer (const char *directory, const struct offer *offer);
bool read_offer (const char *directory, struct offer *offer);

bool is_good_name (const char *name);
void directory_of (char *buf, size_t size, const char *name);
/* Make a directory that is locked from its first moment, or lock one that is
 * there.  While a directory is locked, no other nullblk-attach changes the
 * attachment; no nullblk-attach waits for the lock.  Return false and errno on
 * failure: EEXIST, ENOENT, EWOULDBLOCK.  The lock is held until
 * unlock_directory, or until this process, and each child that it has forked
 * without an exec, has ended or called leave_locks.
 */
bool make_directory (const char *directory);
bool lock_directory (const char *directory);
void unlock_directory (void);
/* Returns false and errno on failure; EEXIST: NEW is there already. */
bool move_directory (const char *directory, const char *new);
/* Returns false, after an error for the user, if something is left. */
bool remove_directory (const char *directory);

/* Call ACTION for each directory below RUN, which need not be there. */
void for_each_directory (void (*action) (const char *name,
                                         const char *directory));

/* As long as an export is locked, no other nullblk-attach looks whether it is
 * attached, or attaches it.  A nullblk-attach waits for this lock, as it is
 * held only while the kernel attaches, and while connections are made to a
 * server that has just answered.  Returns false and errno on failure.
 */
bool lock_export (const struct uri *uri);
void unlock_export (void);

/* Close the descriptors of all locks; a child leaves them to its parent so. */
void leave_locks (void);

/*---------------------------------------------------------------------*/
/* Signals and programs: attach-process.c */

/* From note_signals on, a signal that would end the program is only noted, for
 * is_stopped; from ignore_signals on, it is ignored.
 */
void note_signals (void);
void ignore_signals (void);
bool is_stopped (void);

/* In a child: signals end the program again. */
void default_signals (void);

/* How long to wait for events that as a rule take no time. */
#define PATIENCE_SECONDS 30

/* Returns a pidfd of a process, or -1 and errno. */
int open_process (pid_t pid);

/* Does the process of the pidfd FD end within that many seconds, and before
 * is_stopped?
 */
bool ends_within (int fd, unsigned seconds);

/* Run a program to its end.  Returns its exit status; 127 where there is no
 * such program; and 128 and more where a signal killed it, after an error for
 * the user.  Its standard output is dropped, and with QUIET its errors as well.
 */
int run (const char *const *argv, bool quiet);

/* As run, in steps: begin_program returns the pid, or -1; await_program waits
 * for the end of the program, and kills it after so many SECONDS, or if
 * is_stopped; end_program returns the status.  No other process can have the
 * pid before end_program.
 */
pid_t begin_program (const char *const *argv, bool quiet);
void await_program (pid_t pid, unsigned seconds);
int end_program (pid_t pid, const char *name);

/* As run, but the program's errors go to the file ERRORS. */
int run_with_errors (const char *const *argv, int errors);

/* As run, but the program's first line of output is put into LINE.  The program
 * gets SIGTERM if is_stopped, or if this process ends.
 */
int run_for_line (const char *const *argv, char *line, size_t size);

/* Returns the path of a program of this project: beside this program, as in a
 * build tree, otherwise in DIRECTORY.  The text is valid until the next call.
 */
const char *find_tool (const char *program, const char *directory);

/* Wait for a condition: look fifty times a second, for 30 s, or until
 * is_stopped.  Returns false if it has not come true.
 */
bool await_condition (bool (*condition) (const void *), const void *arg);

/*---------------------------------------------------------------------*/
/* Texts: attach-text.c */

/* As snprintf, but ends the program where the text does not fit. */
void format_text (char *buf, size_t size, const char *fs, ...)
    __attribute__ ((format (printf, 3, 4)));

/* Is ERR the error of a file that is not there, or of a file in /sys or /proc
 * whose device or process has just gone?
 */
bool is_absent (int err);

/* Read the first line of a file; "" where there is none.  try_line returns 0,
 * or a negative errno where the file cannot be read.
 */
void read_line (char *buf, size_t size, const char *directory,
                const char *file);
int try_line (char *buf, size_t size, const char *directory, const char *file);
/* Returns false and errno on failure. */
bool write_line (const char *directory, const char *file, const char *text);

/* Print one line for the user, and end the program as end_with does. */
void die (const char *fs, ...)
    __attribute__ ((format (printf, 1, 2), noreturn));

/* End the program, after the ACTION that was set last; NULL: none.  An action
 * that ends the program as well is not begun again.
 */
void before_end (void (*action) (void));
void end_with (int status) __attribute__ ((noreturn));

/*---------------------------------------------------------------------*/
/* The processes of an attachment: attach-server.c */

/* Start a server with the plugin's PARAMETERS, and MORE, which has MAX_MORE at
 * most and ends with NULL, for DEPTH requests at a time, on a socket in
 * DIRECTORY.  Returns false on failure; if it is of the parameters, the server
 * has printed the reason, unless this only TRIES.
 */
#define MAX_MORE 2
bool start_server (const char *directory, char *const *parameters,
                   const char *const *more, bool tries, unsigned depth);

/* Ask the server to end, and wait for that.  With NULLBLK_BATCH=0 it ends only
 * when its clients have gone.
 */
bool stop_server (const char *directory);

/* Begin the watcher, the process that reconnects the device.  Returns false and
 * the reason in *why on failure.
 */
struct attachment;
bool start_watcher (struct persist *p, const char *directory,
                    const struct attachment *attachment,
                    const struct persist_target *target, struct message *why);
bool stop_watcher (const char *directory);

/*---------------------------------------------------------------------*/
/* Devices, by their names "nbdN" and "ublkbN", and attachments: attach-find.c
 */

bool is_device_name (const char *name);
bool is_nbd_name (const char *name);
/* Returns the number N of an nbd device. */
unsigned index_of (const char *device);

/* Read a file of the device in /sys; "" if there is none. */
void read_sys (char *buf, size_t size, const char *device, const char *file);

/* Open the record of a ublk device (device_record_open).  Returns false where
 * there is none.
 */
struct device_record;
bool open_record (struct device_record *r, uint64_t cookie, bool *is_dead);

/* Is there a node of that name?  Is it attached, by whatever program? */
bool is_node (const char *device);
bool is_attached (const char *device);

/* The size of a device in bytes. */
uint64_t size_of (const char *device);

/* Does the kernel show the size of a struct expected, in whole sectors? */
struct expected {
  const char *device;
  uint64_t size;
};
bool is_ready (const void *expected);

/* A device, and the identity of this attachment of it, which no other has:
 * "backend ID", the identifier that was given to the kernel's nbd driver;
 * "cookie ID", which nullblk-ublk's record and the kernel's ublk driver have;
 * or, for nbd-client and before Linux 5.14, "pid PID INODE" of the file pid in
 * /sys, which the kernel makes anew for each attachment.  An identity of ""
 * means that there is no attachment.
 */
struct attachment {
  char device[32];
  char identity[80];
};

/* Draw an identity for an attachment that is to be made, of nbd or of ublk. */
void attachment_draw_identity (struct attachment *a, bool by_ublk);
/* Take the identity of a ublk device that has been made with COOKIE. */
void attachment_take_cookie (struct attachment *a, uint64_t cookie);
/* Is its identity an identifier?  Is it a cookie? */
bool has_identifier (const struct attachment *a);
bool has_cookie (const struct attachment *a);
/* Returns the identifier as the kernel shows it; the cookie as the name of a
 * record.
 */
const char *identifier_of (const struct attachment *a);
const char *cookie_of (const struct attachment *a);
/* Set the identity to "pid PID INODE" of the device's present attachment; ""
 * if there is none.
 */
void attachment_read_identity (struct attachment *a);
/* Is its identity of process PID, which is still there? */
bool is_attached_by (const struct attachment *a, pid_t pid);
/* Is the device still attached with this identity?  Or is it not? */
bool attachment_exists (const void *attachment);
bool attachment_is_gone (const void *attachment);
/* As attachment_exists, of an nbd device with an identifier; true also where
 * that cannot be read just now.
 */
bool attachment_may_exist (const void *attachment);

/* Is it a ublk device that has been made with --persist, and was left by
 * processes that were killed?
 */
bool attachment_is_left (const struct attachment *a, const char *directory);

/* Returns the attachment of DIRECTORY; after a crash there may be none.  If
 * nullblk-attach was killed when the kernel had just attached the device, the
 * device is looked for by its identifier.
 */
struct attachment attachment_read (const char *directory);

/* The name of the attachment of DEVICE: of one that is there, or else of one
 * that a crash has left.  NULL if there is none.
 */
const char *name_of_device (const char *device);

/* The name of an attachment of this export that has an identifier or a cookie,
 * and that either is there, or is one of which attachment_is_left is true.
 * NULL if there is none.
 */
const char *name_of_export (const struct uri *uri);
bool is_of_export (const char *name, const struct uri *uri);

/*---------------------------------------------------------------------*/
/* Working with devices: attach-device.c */

/* Load the nbd driver and connect to it; end the program where no nbd device
 * can be attached at all.
 */
struct netlink *open_nbd_driver (void);

/* Hold an attachment's device open, as open does with FLAGS.  As long as it is
 * held, the kernel does not give the device to another attachment.  Returns -1
 * and errno on failure.  ESTALE: the attachment is no longer there.  ENOTCONN:
 * the device could not be opened, as reads hang, and was disconnected, which is
 * only done with MAY_DISCONNECT; no process had written to it.
 */
int device_open (const struct attachment *a, int flags, bool may_disconnect);

/* Disconnect a device that is held.  Returns false and the reason in *why where
 * it stays attached.
 */
bool disconnect_device (const char *device, struct message *why);

/* The node of an attachment that was made by netlink goes with it.  Make it
 * again if the kernel had made it with the module, as other programs may expect
 * it.
 */
void restore_node (const struct attachment *a);

/* Options of an nbd device. */
struct nbd_options {
  struct offer offer;
  unsigned connections;
  unsigned timeout;           /* seconds */
  unsigned reconnect_timeout; /* seconds; 0: none, and so for nbd-client */
  char host[64]; /* for nbd-client: the address that the URI's host has */
};

/* Attach by netlink, over these connections, with the identity that was drawn;
 * where the kernel does not know identifiers, the identity is found afterwards.
 * The kernel chooses a->device.  Returns false and the reason in *why on
 * failure.
 */
bool attach_connections (struct netlink *n, struct attachment *a,
                         const struct nbd_options *options,
                         struct nbd_handle *const *connections,
                         struct message *why);

/* Give a device that is attached, with an identifier, these connections for
 * dead ones, as many as it needs.  Returns false where it is no longer
 * attached.
 */
bool revive_connections (struct netlink *n, const struct attachment *a,
                         const struct nbd_options *options,
                         struct nbd_handle *const *connections);

/* Attach by nbd-client, which makes its own connections, and needs the name of
 * a device: a free one is chosen, and another one if that is taken meanwhile.
 * The identity is found afterwards.  Returns false and the reason in *why on
 * failure.
 */
bool attach_by_client (struct attachment *a, const struct nbd_options *options,
                       const struct uri *uri, struct message *why);

/*---------------------------------------------------------------------*/
/* Devices of ublk: attach-ublk.c */

struct ublk_options {
  unsigned connections; /* to the export, of which each is a queue */
  unsigned timeout;     /* seconds for a request; 0: nullblk-ublk's default,
                         * which is that of nbd devices */
  unsigned persist;     /* seconds that requests wait for the server; 0: none */
};

enum ublk_outcome {
  UBLK_ATTACHED,
  UBLK_IMPOSSIBLE, /* this kernel can make no such device of the export */
  UBLK_FAILED
};

/* Attach by nullblk-ublk, with the identity that was drawn.  Sets a->device.  A
 * failure has been printed for the user.
 */
enum ublk_outcome attach_by_ublk (struct attachment *a,
                                  const struct ublk_options *options,
                                  const char *uri);

/* Find the ublk device that a server of ours has made of its nullb0 itself
 * (ublk=true), and its cookie.  URI is that of nullb0; the server has so many
 * SECONDS to answer.  Returns false and the reason in *why on failure.
 */
bool find_device_of_server (struct attachment *a, const char *uri,
                            unsigned seconds, struct message *why);

/* Is it the device of a server, which has made it itself?  *IS_DEAD says then
 * whether the server's keeper has ended, which as a rule it does last.
 */
bool is_of_server (const struct attachment *a, bool *is_dead);

/* Call ACTION for each device of the server that has made this one, until it
 * returns false, and return what it has returned last.
 */
bool for_each_of_server (const struct attachment *a,
                         bool (*action) (const char *device, const void *arg),
                         const void *arg);

/* Flush and delete the device, if it is there.  Returns false, after an error
 * for the user, where not all of that was possible; *IS_GONE says whether the
 * device is gone nevertheless.
 */
bool detach_by_ublk (const struct attachment *a, bool *is_gone);

/*---------------------------------------------------------------------*/
/* Listing and detaching: attach-detach.c */

/* Return the program's exit status. */
int list_all (void);
int detach (const char *what); /* a name or a device */
int detach_all (void);

#endif /* NULLBLK_ATTACH_INTERNAL_H */
