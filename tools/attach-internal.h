/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the files of nullblk-attach share: attach.c (with the layout of what is
 * remembered), attach-folder.c, attach-process.c and attach-device.c.  Nobody
 * else includes this.  Who cannot go on ends the program.
 */

#ifndef NULLBLK_ATTACH_INTERNAL_H
#define NULLBLK_ATTACH_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "persist.h"
#include "uri.h"

#define RUN "/run/nullblk"
#define MAX_NAME 64
#define LONGEST_PATH 300

/* One line for the user, and the end. */
void die (const char *fs, ...)
    __attribute__ ((format (printf, 1, 2), noreturn));

/* As snprintf; what does not fit is the end. */
void format (char *buf, size_t size, const char *fs, ...)
    __attribute__ ((format (printf, 3, 4)));

/*---------------------------------------------------------------------*/
/* What is remembered: attach-folder.c */

/* The first line of a file, "" where there is none. */
void read_line (char *buf, size_t size, const char *folder, const char *file);
/* Returns false and errno on failure. */
bool write_line (const char *folder, const char *file, const char *text);

/* One nullblk-attach at a time changes anything, until it ends; and so does the
 * lock for a child of it.
 */
void take_lock (void);
void leave_lock (void);

bool is_good_name (const char *name);
void folder_of (char *buf, size_t size, const char *name);
void remove_folder (const char *folder);

/* Call ACTION for each folder below RUN. */
void for_each_folder (void (*action) (const char *name, const char *folder));

/*---------------------------------------------------------------------*/
/* Programs and processes: attach-process.c */

/* Run a program to its end.  Returns its exit status; 127 where there is no
 * such program, and 128 and more where a signal killed it, which the user has
 * been told.  QUIET: what it prints itself is not for the user.
 */
int run (const char *const *argv, bool quiet);

/* Wait for a condition, looking fifty times a second, for 30 s. */
bool wait_for (bool (*condition) (const void *), const void *arg);

/* Start a server with the plugin's PARAMETERS, for QUEUE requests at a time, on
 * a socket in FOLDER.  It tells the user itself what is wrong with them.
 */
bool start_server (const char *folder, char *const *parameters, unsigned queue);
bool server_has_begun (const void *folder);

/* Its clients have gone by now, so that it ends when it is asked to. */
bool stop_server (const char *folder);

/* From here on the device's I/O waits for a server that is away, and a process
 * of its own reconnects it.  Returns false and the reason in *why on failure.
 */
bool start_watcher (struct persist *p, const char *folder, const char *device,
                    const struct persist_target *target, struct message *why);
bool stop_watcher (const char *folder);

/*---------------------------------------------------------------------*/
/* Devices, by their names "nbdN": attach-device.c */

/* Ends the program where nothing can be attached at all. */
void check_requirements (void);

bool is_device_name (const char *name);
bool is_attached (const void *device);
bool is_detached (const void *device);

/* In bytes. */
uint64_t size_of (const char *device);

/* As open does. */
int open_device (const char *device, int flags);

/* It has its size, and its first block can be read. */
struct expected {
  const char *device;
  uint64_t size;
};
bool is_ready (const void *expected);

/* A device that is neither attached nor in use by anyone. */
void find_free_device (char *buf, size_t size);

/* How nbd-client is to attach a device. */
struct client_options {
  unsigned connections;
  unsigned block_size; /* bytes */
  unsigned timeout;    /* seconds; 0: for ever */
  bool read_only;
};

/* Returns what run does. */
int run_nbd_client (const struct uri *uri, const struct client_options *options,
                    const char *device);
void disconnect (const char *device);

#endif /* NULLBLK_ATTACH_INTERNAL_H */
