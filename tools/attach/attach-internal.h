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
 *     export.c            connections to a server, and what its export is like
 *     attach-process.c    signals and programs
 *     netlink.c           the kernel's nbd driver
 *     attach-text.c       texts, files of one line, and the program's end
 *
 * A function that cannot go on ends the program, unless its comment says that
 * it returns on failure.  A file that cannot be read ends the program, too:
 * only one that is known not to be there (is_absent) counts as gone.  Otherwise
 * a device in use could be forgotten, or attached twice.
 */

#ifndef NULLBLK_ATTACH_INTERNAL_H
#define NULLBLK_ATTACH_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libnbd.h>

#include "netlink.h"
#include "export.h"
#include "persist.h"
#include "uri.h"

#ifndef RUN_DIR /* tests have another one */
#define RUN_DIR "/run/nullblk"
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
  unsigned timeout; /* seconds for a request; 0: --timeout is not given */
  unsigned persist; /* seconds; 0: --persist is not given */
  const char *name; /* or NULL */
  enum { AS_AUTO, AS_NBD, AS_UBLK } as;
};

/* Attach the URI or the parameters in ARGUMENTS, which end with NULL.  Returns
 * the program's exit status.
 */
int attach (const struct attach_options *given, char **arguments);

/*---------------------------------------------------------------------*/
/* Directories of attachments: attach-directory.c */

/* Put the network namespace of this process into BUF, as text: in another
 * namespace the names of hosts may mean other hosts.  "" if /proc does not say.
 */
void network_of_process (char *buf, size_t size);

/* Write the export, as it is when it is attached, to DIRECTORY, and read it
 * again.  Return false on failure: write_export_info with errno, and
 * read_export_info where the directory has none.
 */
bool write_export_info (const char *directory, const struct export_info *info);
bool read_export_info (const char *directory, struct export_info *info);

/* Can NAME be the name of an attachment? */
bool is_good_name (const char *name);
/* Put the path of the directory of the attachment NAME into BUF. */
void directory_of (char *buf, size_t size, const char *name);
/* Make a directory that is locked from its first moment, or lock one that is
 * there; a process has at most one such lock.  While a directory is locked, no
 * other nullblk-attach changes the attachment; no nullblk-attach waits for the
 * lock.  Return false and errno on failure.  EEXIST: there is such a directory;
 * ENOENT: there is none; EWOULDBLOCK: another process has locked it.  The lock
 * is held until unlock_directory, or until this process, and each child that it
 * has forked without an exec, has ended or called leave_locks.
 */
bool make_directory (const char *directory);
bool lock_directory (const char *directory);
void unlock_directory (void);
/* Returns false and errno on failure; EEXIST: NEW is there already. */
bool move_directory (const char *directory, const char *new);
/* Returns false, after an error for the user, if something is left. */
bool remove_directory (const char *directory);

/* Call ACTION for each attachment's directory below RUN_DIR, which need not be
 * there.
 */
void for_each_directory (void (*action) (const char *name,
                                         const char *directory));

/* As long as an export is locked, no other nullblk-attach looks whether it is
 * attached, or attaches it, except by nbd-client (by which no device is found
 * again).  This waits up to PATIENCE_SECONDS for the lock, which is held only
 * while the kernel attaches, and while connections are made to a server that
 * has just answered.  Returns false and errno on failure; ETIMEDOUT: another
 * process has the lock, or is_stopped.
 */
bool lock_export (const struct uri *uri);
void unlock_export (void);

/* Close the descriptors of all locks.  In a child this leaves the locks to its
 * parent.
 */
void leave_locks (void);

/*---------------------------------------------------------------------*/
/* Signals and programs: attach-process.c */

/* SIGHUP, SIGINT and SIGTERM: from note_signals on they do not end the program,
 * but is_stopped returns true; from ignore_signals on they are ignored, and
 * is_stopped returns false.  SIGPIPE has no effect in either case.  What was
 * ignored when the program began stays ignored.
 */
void note_signals (void);
void ignore_signals (void);
bool is_stopped (void);

/* In a child, after note_signals: these signals end the program again. */
void default_signals (void);

/* The longest wait for what as a rule takes no time. */
#define PATIENCE_SECONDS 30

/* Returns a pidfd of a process, or -1 and errno. */
int open_process (pid_t pid);

/* Wait until the process of the pidfd FD ends.  Returns false if it has not
 * ended after SECONDS, or if is_stopped.
 */
bool ends_within (int fd, unsigned seconds);

/* Run a program to its end.  Returns its exit status; 127 where it cannot be
 * run; and 128 and more where a signal killed it, after an error for the user.
 * Its standard output is dropped, and with QUIET its errors as well.
 */
int run (const char *const *argv, bool quiet);

/* As run, in steps: begin_program returns the pid, or -1; await_program waits
 * for the end of the program, and kills it after so many SECONDS, or if
 * is_stopped (before Linux 5.3, which brought pidfds, it only waits);
 * end_program returns the status.  No other process can have the pid before
 * end_program.
 */
pid_t begin_program (const char *const *argv, bool quiet);
void await_program (pid_t pid, unsigned seconds);
int end_program (pid_t pid, const char *name);

/* As run, but the program's errors go to the descriptor ERRORS. */
int run_with_errors (const char *const *argv, int errors);

/* As run, but argv[0] is a path, and the program's first line of output is put
 * into LINE ("" if it has none).  The program gets SIGTERM if is_stopped, or if
 * this process ends.
 */
int run_for_line (const char *const *argv, char *line, size_t size);

/* Returns the path of a program of this project: beside this program, as in a
 * build tree, otherwise in DIRECTORY.  The text is valid until the next call.
 */
const char *find_tool (const char *program, const char *directory);

/* Call CONDITION with ARG fifty times a second, until it returns true, for
 * PATIENCE_SECONDS, or until is_stopped.  Returns whether it has returned true.
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

/* Read the first line of a file, or as much as fits; "" where there is none, or
 * where a signal comes first.  Where the file cannot be read, read_line ends
 * the program; try_line returns 0 or a negative errno.
 */
void read_line (char *buf, size_t size, const char *directory,
                const char *file);
int try_line (char *buf, size_t size, const char *directory, const char *file);
/* Make TEXT the content of a file.  Returns false and errno on failure. */
bool write_line (const char *directory, const char *file, const char *text);

/* Print one line for the user, and end the program as end_with does. */
void die (const char *fs, ...)
    __attribute__ ((format (printf, 1, 2), noreturn));

/* end_with ends the program, after it has called the ACTION that before_end was
 * given last (NULL: none).  An action that ends the program as well is not
 * called again.
 */
void before_end (void (*action) (void));
void end_with (int status) __attribute__ ((noreturn));

/*---------------------------------------------------------------------*/
/* The processes of an attachment: attach-server.c */

/* Start a server with the plugin's PARAMETERS, and MORE, which has MAX_MORE at
 * most and ends with NULL, for DEPTH requests of a connection at a time, on a
 * socket in DIRECTORY.  Returns false if the server does not start: then it has
 * printed the reason, unless this only TRIES, which drops the errors of a
 * server that does not start.
 */
#define MAX_MORE 2
bool start_server (const char *directory, char *const *parameters,
                   const char *const *more, bool tries, unsigned depth);

/* Have the server end, if there is one.  Returns false if it has not ended
 * after PATIENCE_SECONDS: without the batch library (NULLBLK_BATCH=0) it ends
 * only when its clients have gone.
 */
bool stop_server (const char *directory);

/* Start the watcher, the process that reconnects the device.  Returns false and
 * the reason in *why on failure.  stop_watcher is as stop_server.
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

/* Read the first line of a file of the device in /sys; "" if there is none. */
void read_sys (char *buf, size_t size, const char *device, const char *file);

/* Open the record of a ublk device (device_record_open).  Returns false where
 * there is none.
 */
struct device_record;
bool open_record (struct device_record *r, uint64_t cookie, bool *is_dead);

/* Is there a node of that name?  Is the nbd device attached, by whatever
 * program?
 */
bool is_node (const char *device);
bool is_attached (const char *device);

/* The size of a device in bytes; 0 if it is not there. */
uint64_t size_of (const char *device);

/* Does the device have the expected size?  The kernel shows whole sectors of
 * it.
 */
struct expected {
  const char *device;
  uint64_t size;
};
bool is_ready (const void *expected);

/* A device, and the identity of this attachment of it, which no other has:
 *
 *     backend ID     the identifier that was given to the kernel's nbd driver
 *     cookie ID      the cookie of a ublk device, which names its device record
 *     pid PID INODE  for nbd-client and before Linux 5.14: what the device's
 *                    file pid in /sys says, and the inode of that file, which
 *                    the kernel makes anew for each attachment
 *
 * An identity of "" means that there is no attachment.
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
/* Is its identity "pid PID INODE" with this PID?  The process, which may be a
 * zombie, still has its pid.
 */
bool is_attached_by (const struct attachment *a, pid_t pid);
/* Is the device still attached with this identity (that of ublk: served by a
 * process that lives)?  attachment_is_gone says the opposite.
 */
bool attachment_exists (const void *attachment);
bool attachment_is_gone (const void *attachment);
/* As attachment_exists, of an nbd device with an identifier; true also where
 * that cannot be read just now.
 */
bool attachment_may_exist (const void *attachment);

/* Is it a ublk device that was made with --persist, and all of whose processes
 * were killed, so that another one may take it over?
 */
bool attachment_is_left (const struct attachment *a, const char *directory);

/* Returns the attachment of DIRECTORY; after a crash there may be none.  If
 * nullblk-attach was killed when the device had just been made, the device is
 * looked for by its identifier or cookie.
 */
struct attachment attachment_read (const char *directory);

/* The name of the attachment of DEVICE: of one that exists, or else of one of
 * which a crash has left the directory.  NULL if there is none.  The text is
 * valid until the next call of this or the next two functions.
 */
const char *name_of_device (const char *device);

/* The name of an attachment of this export that has an identifier or a cookie,
 * and for which attachment_exists or attachment_is_left returns true.  NULL if
 * there is none.  is_of_export says whether NAME is such an attachment.
 */
const char *name_of_export (const struct uri *uri);
bool is_of_export (const char *name, const struct uri *uri);

/*---------------------------------------------------------------------*/
/* Working with devices: attach-device.c */

/* Connect to the nbd driver, and load its module before that if it is missing.
 * Ends the program where no nbd device can be attached at all.
 */
struct netlink *open_nbd_driver (void);

/* Open the device of an nbd attachment, with the flags of open.  As long as it
 * is open, the kernel does not give the device to another attachment.  Returns
 * a descriptor, or -1 and errno.  ESTALE: the attachment is no longer there.
 * ENOTCONN: the device could not be opened, as reads hang, and was
 * disconnected, which is only done with MAY_DISCONNECT; no process had written
 * to it.
 */
int device_open (const struct attachment *a, int flags, bool may_disconnect);

/* Disconnect a device, which cannot become another attachment's meanwhile, as
 * it is open or is being opened.  Returns false and the reason in *why where it
 * stays attached.
 */
bool disconnect_device (const char *device, struct message *why);

/* With an attachment that was made by netlink its node goes, too.  Make the
 * node again if it is one that the kernel makes when the module is loaded, as
 * other programs may expect it.
 */
void restore_node (const struct attachment *a);

/* Options of an nbd device. */
struct nbd_options {
  struct export_info export_info;
  unsigned connections;
  unsigned timeout;           /* seconds */
  unsigned reconnect_timeout; /* seconds; 0: none (nbd-client: always) */
  char host[64]; /* for nbd-client: the address that the URI's host has */
};

/* Attach by netlink, over options->connections CONNECTIONS, with the identity
 * that was drawn; where the kernel does not know identifiers, the identity is
 * found afterwards.  The kernel chooses a->device.  Returns false and the
 * reason in *why on failure.
 */
bool attach_connections (struct netlink *n, struct attachment *a,
                         const struct nbd_options *options,
                         struct nbd_handle *const *connections,
                         struct message *why);

/* Give a device that is attached with an identifier as many of CONNECTIONS as
 * it has dead ones.  Returns false where the kernel takes none, as a rule
 * because the device is no longer attached.
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
/* ublk devices: attach-ublk.c */

struct ublk_options {
  unsigned connections; /* to the export, of which each is a queue */
  unsigned timeout;     /* seconds for a request; 0: nullblk-ublk's default,
                         * which is that of nbd devices */
  unsigned persist;     /* seconds that requests wait for the server; 0: none */
};

enum ublk_outcome {
  UBLK_ATTACHED,
  UBLK_IMPOSSIBLE, /* this kernel can make no such device of the export, or
                    * nullblk-ublk is not installed */
  UBLK_FAILED
};

/* Attach by nullblk-ublk, with the identity that was drawn.  Sets a->device.
 * The reason of a failure has been printed, unless a signal was the reason.
 */
enum ublk_outcome attach_by_ublk (struct attachment *a,
                                  const struct ublk_options *options,
                                  const char *uri);

/* Set *a to the ublk device that a server of ours has made of its nullb0 itself
 * (ublk=true).  URI is that of nullb0; the server has so many SECONDS to
 * answer.  Returns false and the reason in *why on failure.
 */
bool find_device_of_server (struct attachment *a, const char *uri,
                            unsigned seconds, struct message *why);

/* Is it a device that a server has made itself?  Then *IS_DEAD says whether the
 * server's keeper has ended, which as a rule ends after the server.
 */
bool is_of_server (const struct attachment *a, bool *is_dead);

/* Call ACTION for each device of the server that has made this one, until it
 * returns false, and return what it has returned last.  Where the server's
 * keeper is not known, these are the devices of all servers whose keepers are
 * not known.
 */
bool for_each_of_server (const struct attachment *a,
                         bool (*action) (const char *device, const void *arg),
                         const void *arg);

/* Is a device in use, whose nullblk-ublk was killed?  True also where that
 * cannot be told, or where a supervisor may soon start another nullblk-ublk.
 * Takes up to 5 s.
 */
bool is_used_without_server (const struct attachment *a);

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
