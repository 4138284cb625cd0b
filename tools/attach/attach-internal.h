/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the files of nullblk-attach share: attach.c (with the layout of what is
 * remembered), attach-detach.c, attach-folder.c, attach-process.c and
 * attach-device.c; netlink.c asks is_stopped.  Nobody else includes this.  A
 * function that cannot go on ends the program, unless its comment says that it
 * returns on failure.
 */

#ifndef NULLBLK_ATTACH_INTERNAL_H
#define NULLBLK_ATTACH_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libnbd.h>

#include "die.h"
#include "persist.h"
#include "uri.h"

#ifndef RUN /* as for a test */
#define RUN "/run/nullblk"
#endif
#define MAX_NAME 64
#define LONGEST_PATH 300

/* One line for the user, and the end. */
#define die(...) die_as ("nullblk-attach", __VA_ARGS__)

/* As snprintf; what does not fit is the end. */
void format (char *buf, size_t size, const char *fs, ...)
    __attribute__ ((format (printf, 3, 4)));

/*---------------------------------------------------------------------*/
/* What is remembered: attach-folder.c */

/* The first line of a file, "" where there is none. */
void read_line (char *buf, size_t size, const char *folder, const char *file);
/* Returns false and errno on failure. */
bool write_line (const char *folder, const char *file, const char *text);

bool is_good_name (const char *name);
void folder_of (char *buf, size_t size, const char *name);
/* Make one that is locked from its first moment, or lock one that is there.
 * While it is locked, no other nullblk-attach changes what it is about; nobody
 * waits for a lock.
 * Return false and errno on failure: EEXIST, ENOENT, EWOULDBLOCK.  The lock
 * goes with the process, or by unlock_folder, also for a child of it.
 */
bool make_folder (const char *folder);
bool lock_folder (const char *folder);
void unlock_folder (void);
/* Returns false and errno on failure; EEXIST: NEW is there already. */
bool move_folder (const char *folder, const char *new);
void remove_folder (const char *folder);

/* Call ACTION for each folder below RUN. */
void for_each_folder (void (*action) (const char *name, const char *folder));

/*---------------------------------------------------------------------*/
/* Programs and processes: attach-process.c */

/* From here on, a signal that would end us is only noted. */
void note_signals (void);
/* And does not count from here on. */
void ignore_signals (void);
bool is_stopped (void);

/* Run a program to its end.  Returns its exit status; 127 where there is no
 * such program, and 128 and more where a signal killed it, which the user has
 * been told.  QUIET: what it prints itself is not for the user.
 */
int run (const char *const *argv, bool quiet);

/* As run, in two steps: begin_program returns the pid, or -1; and end_program
 * the status.  In between the program ends, at the latest after that many
 * SECONDS, or when we are to stop; and the pid is still nobody else's.
 */
pid_t begin_program (const char *const *argv, bool quiet);
void await_program (pid_t pid, unsigned seconds);
int end_program (pid_t pid, const char *name);

/* Wait for a condition, looking fifty times a second, for 30 s, or until we are
 * to stop.
 */
bool wait_for (bool (*condition) (const void *), const void *arg);

/* Start a server with the plugin's PARAMETERS, for QUEUE requests at a time, on
 * a socket in FOLDER.  It tells the user itself what is wrong with them.
 */
bool start_server (const char *folder, char *const *parameters, unsigned queue);

/* Its clients have gone by now, so that it ends when it is asked to. */
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
/* Devices, by their names "nbdN": attach-device.c */

/* Ends the program where nothing can be attached at all. */
void check_requirements (void);

bool is_device_name (const char *name);
unsigned index_of (const char *device);

/* By anybody. */
bool is_attached (const char *device);

/* A device, and what tells this attachment of it from all others: "backend ID",
 * the identifier that the kernel was given with it; or "pid PID INODE", of the
 * file pid that the kernel makes anew for each, where it was given none or,
 * before Linux 5.14, does not know them.  "" is no attachment.
 */
struct attachment {
  char device[32];
  char identity[80];
};

/* Take an identity for an attachment that is to be made. */
void attachment_name (struct attachment *a);
bool has_identifier (const struct attachment *a);
/* As the kernel has it. */
const char *identifier_of (const struct attachment *a);
/* Take the identity of the one that is there: "" if there is none. */
void attachment_find (struct attachment *a);
/* Is it still there?  Both are for struct attachment. */
bool is_there (const void *attachment);
bool is_gone (const void *attachment);

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

/* In bytes. */
uint64_t size_of (const char *device);

/* It has its size, in whole sectors. */
struct expected {
  const char *device;
  uint64_t size;
};
bool is_ready (const void *expected);

/* The next device from *NEXT on that is not attached.  Ends the program where
 * there is none.
 */
void next_free_device (char *buf, size_t size, unsigned *next);

/* How a device is to be attached. */
struct client_options {
  unsigned connections;
  uint64_t size;         /* bytes */
  unsigned block_size;   /* bytes */
  unsigned timeout;      /* seconds */
  unsigned dead_timeout; /* seconds; 0: none, and so for nbd-client */
  bool read_only;
};

/* Attach a->device.  TAKEN: it is no longer free.  FAILED: with the reason in
 * *why.  a->identity is "" unless it is attached now.
 */
enum outcome { ATTACHED, TAKEN, FAILED };

/* By netlink, over the connections that there are, with an identity that was
 * chosen before; where the kernel does not know identifiers, it is found then.
 */
enum outcome attach_connections (struct attachment *a,
                                 const struct client_options *options,
                                 struct nbd_handle *const *connections,
                                 struct message *why);

/* By nbd-client, which makes its own; the identity is found then. */
enum outcome attach_by_client (struct attachment *a,
                               const struct client_options *options,
                               const struct uri *uri, struct message *why);

/*---------------------------------------------------------------------*/
/* What is attached: attach-detach.c */

/* Return the program's exit status. */
int list_all (void);
int detach (const char *what); /* a name or a device */
int detach_all (void);

#endif /* NULLBLK_ATTACH_INTERNAL_H */
