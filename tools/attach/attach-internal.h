/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the files of nullblk-attach share: attach.c (with the layout of what is
 * remembered), attach-detach.c, attach-folder.c, attach-process.c,
 * attach-find.c, attach-device.c and attach-ublk.c; connection.c asks
 * is_stopped.  Nobody else includes this.  A function that cannot go on ends
 * the program, unless its comment says that it returns on failure.
 */

#ifndef NULLBLK_ATTACH_INTERNAL_H
#define NULLBLK_ATTACH_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libnbd.h>

#include "connection.h"
#include "die.h"
#include "netlink.h"
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
#define LONGEST_PATH 300
#define LONGEST_URI 16384

/* Print one line for the user, and end the program. */
#define die(...) die_as ("nullblk-attach", __VA_ARGS__)

/* As snprintf, but ends the program where the text does not fit. */
void format (char *buf, size_t size, const char *fs, ...)
    __attribute__ ((format (printf, 3, 4)));

/*---------------------------------------------------------------------*/
/* What is remembered: attach-folder.c */

/* The first line of a file, "" where there is none. */
void read_line (char *buf, size_t size, const char *folder, const char *file);
/* Returns false and errno on failure. */
bool write_line (const char *folder, const char *file, const char *text);

/* Where this process looks for hosts: another network namespace may have others
 * by the same names.
 */
void network_of_process (char *buf, size_t size);

/* What the device's export was when it was attached. */
bool write_offer (const char *folder, const struct offer *offer);
bool read_offer (const char *folder, struct offer *offer);

bool is_good_name (const char *name);
void folder_of (char *buf, size_t size, const char *name);
/* Make a folder that is locked from its first moment, or lock one that is
 * there. While a folder is locked, no other nullblk-attach changes what the
 * folder is about; nobody waits for a lock.  Return false and errno on failure:
 * EEXIST, ENOENT, EWOULDBLOCK.  The lock is held until unlock_folder, or until
 * this process, and each child that it has forked without an exec, has ended or
 * called leave_locks.
 */
bool make_folder (const char *folder);
bool lock_folder (const char *folder);
void unlock_folder (void);
/* Returns false and errno on failure; EEXIST: NEW is there already. */
bool move_folder (const char *folder, const char *new);
void remove_folder (const char *folder);

/* Call ACTION for each folder below RUN. */
void for_each_folder (void (*action) (const char *name, const char *folder));

/* As long as an export is locked, no other nullblk-attach looks whether it is
 * attached, or attaches it.  It is locked only for what the kernel does at
 * once, and for nullblk-ublk's connections to a server that has just answered,
 * so one that is locked is waited for.  Returns false and errno on failure.
 */
bool lock_export (const struct uri *uri);
void unlock_export (void);

/* In a child: leave all locks to the parent. */
void leave_locks (void);

/*---------------------------------------------------------------------*/
/* Programs and processes: attach-process.c */

/* From note_signals on, a signal that would end us is only noted, for
 * is_stopped; from ignore_signals on, it does not count.
 */
void note_signals (void);
void ignore_signals (void);
bool is_stopped (void);

/* Run a program to its end.  Returns its exit status; 127 where there is no
 * such program, and 128 and more where a signal killed it, which the user has
 * been told.  QUIET: what it prints itself is not for the user.
 */
int run (const char *const *argv, bool quiet);

/* As run, in steps: begin_program returns the pid, or -1; await_program waits
 * for the end of the program, and kills it after so many SECONDS, or when we
 * are to stop; end_program returns the status.  Until end_program the pid is
 * still nobody else's.
 */
/* Where a program of ours is: in a build tree beside us, otherwise in FOLDER.
 * The text is there until the next call.
 */
const char *find_tool (const char *program, const char *folder);

/* As run, but the program's first line of output is put into LINE.  It is asked
 * to end (SIGTERM) where we are to stop, or end.
 */
int run_for_line (const char *const *argv, char *line, size_t size);

pid_t begin_program (const char *const *argv, bool quiet);
void await_program (pid_t pid, unsigned seconds);
int end_program (pid_t pid, const char *name);

/* Wait for a condition, looking fifty times a second, for 30 s, or until we are
 * to stop.
 */
bool wait_for (bool (*condition) (const void *), const void *arg);

/* Start a server with the plugin's PARAMETERS, for QUEUE requests at a time, on
 * a socket in FOLDER.  The server itself tells the user what is wrong with its
 * parameters.
 */
bool start_server (const char *folder, char *const *parameters, unsigned queue);

/* Ask the server to end, and wait for that.  Its clients must have gone, or it
 * does not end.
 */
bool stop_server (const char *folder);

/* Begin a process that reconnects the device.  Returns false and the reason in
 * *why on failure.
 */
struct attachment;
bool start_watcher (struct persist *p, const char *folder,
                    const struct attachment *attachment,
                    const struct persist_target *target, struct message *why);
bool stop_watcher (const char *folder);

/*---------------------------------------------------------------------*/
/* Devices, by their names "nbdN" and "ublkbN", and what is remembered:
 * attach-find.c
 */

bool is_device_name (const char *name);
bool is_nbd_name (const char *name);
/* Of an nbd device. */
unsigned index_of (const char *device);

/* What the kernel says of a device, "" if nothing. */
void read_sys (char *buf, size_t size, const char *device, const char *file);

/* Is there a node of that name?  Is it attached, by us or by anybody else? */
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

/* A device, and what tells this attachment of it from all others: "backend ID",
 * the identifier that the kernel's nbd driver was given with it; "cookie ID",
 * of nullblk-ublk's record and the kernel's ublk driver; or "pid PID INODE", of
 * the file pid that the kernel makes anew for each, where it was given none or,
 * before Linux 5.14, does not know them.  "" is no attachment.
 */
struct attachment {
  char device[32];
  char identity[80];
};

/* Take an identity for an attachment that is to be made, of nbd or of ublk. */
void attachment_name (struct attachment *a, bool by_ublk);
/* Has it an identifier, or a cookie?  A cookie? */
bool has_identifier (const struct attachment *a);
bool has_cookie (const struct attachment *a);
/* The identifier as the kernel shows it; the cookie as it is a record's. */
const char *identifier_of (const struct attachment *a);
const char *cookie_of (const struct attachment *a);
/* Take the identity of the one that is there: "" if there is none. */
void attachment_find (struct attachment *a);
/* Was one without an identifier made by a process that is still there? */
bool is_attached_by (const struct attachment *a, pid_t pid);
/* Is a struct attachment still there?  Or is it gone? */
bool is_there (const void *attachment);
bool is_gone (const void *attachment);

/* What FOLDER remembers; after a crash that may be nothing.  Where
 * nullblk-attach was killed as the kernel had just attached the device, the
 * device is looked for by its identifier.
 */
struct attachment remembered (const char *folder);

/* The name that a device has, rather that of what is there than of what a crash
 * has left; or that an export has which is attached with an identifier or a
 * cookie.  NULL if there is none.
 */
const char *name_of_device (const char *device);
const char *name_of_export (const struct uri *uri);
bool is_of_export (const char *name, const struct uri *uri);

/*---------------------------------------------------------------------*/
/* Working with devices: attach-device.c */

/* Ends the program where nothing can be attached at all. */
struct netlink *check_requirements (void);

/* Hold an attachment's device open, as open does with FLAGS.  As long as it is
 * held, the kernel gives the device to nobody else, and what is done to it is
 * done to this attachment.  Returns -1 and errno on failure.  ESTALE: it is no
 * longer there.  ENOTCONN: it could not be opened, as reads hang, and is
 * disconnected, which is only done if it MAY_DISCONNECT; nobody had written to
 * it.
 */
int hold (const struct attachment *a, int flags, bool may_disconnect);

/* Disconnect a device that is held. */
void disconnect (const char *device);

/* When an attachment is gone that was made by netlink, its node goes with it.
 * Make that again where the kernel had made it with the module, as others may
 * count on it.
 */
void restore_node (const struct attachment *a);

/* How a device is to be attached. */
struct client_options {
  struct offer offer;
  unsigned connections;
  unsigned timeout;      /* seconds */
  unsigned dead_timeout; /* seconds; 0: none, and so for nbd-client */
};

/* Attach by netlink, over these connections, with the identity that
 * attachment_name has chosen; where the kernel does not know identifiers, the
 * identity is found afterwards.  The kernel chooses a->device.  Returns false
 * and the reason in *why on failure.
 */
bool attach_connections (struct netlink *n, struct attachment *a,
                         const struct client_options *options,
                         struct nbd_handle *const *connections,
                         struct message *why);

/* Give a device that is attached, with an identifier, these connections for
 * dead ones, as many as it needs.  Returns false where it is no longer
 * attached.
 */
bool revive_connections (struct netlink *n, const struct attachment *a,
                         const struct client_options *options,
                         struct nbd_handle *const *connections);

/* Attach by nbd-client, which makes its own connections, and has to be told of
 * a device; a->device is another one if that was taken meanwhile.  The identity
 * is found afterwards.  Returns false and the reason in *why on failure.
 */
bool attach_by_client (struct attachment *a,
                       const struct client_options *options,
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
  UBLK_IMPOSSIBLE, /* as this kernel can make no such device of the export */
  UBLK_FAILED
};

/* Attach by nullblk-ublk, with the identity that attachment_name has chosen.
 * Chooses a->device.  The user has been told what has failed.
 */
enum ublk_outcome attach_by_ublk (struct attachment *a,
                                  const struct ublk_options *options,
                                  const char *uri);

/* Flush and take away the device, if it is there.  Returns false, and the user
 * has been told why, where not all of that was possible; *IS_GONE says whether
 * nothing is left of it all the same.
 */
bool detach_by_ublk (const struct attachment *a, bool *is_gone);

/*---------------------------------------------------------------------*/
/* What is attached: attach-detach.c */

/* Return the program's exit status. */
int list_all (void);
int detach (const char *what); /* a name or a device */
int detach_all (void);

#endif /* NULLBLK_ATTACH_INTERNAL_H */
