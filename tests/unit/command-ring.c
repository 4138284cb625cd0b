/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A ring of commands; see command-ring.h.
 */

#include <config.h>

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <unistd.h>

#include <liburing.h>

#include "command-ring.h"
#include "unit.h"
#include "wrapped-open.h"

int command_ring_errno;
unsigned modules_asked;

struct ring {
  /* An entry has 128 bytes. */
  union {
    struct io_uring_sqe sqe;
    unsigned char bytes[128];
  } entry;
  struct ring_event *event; /* NULL: nothing is asked */
};

struct ring *
ring_create (unsigned entries, bool wide)
{
  assert_true (entries >= 1);
  assert_true (wide);
  errno = command_ring_errno;
  return errno == 0 ? calloc (1, sizeof (struct ring)) : NULL;
}

void
ring_destroy (struct ring *r)
{
  free (r);
}

struct io_uring_sqe *
ring_get_sqe (struct ring *r, struct ring_event *event)
{
  must (r->event == NULL, "one command at a time");
  memset (&r->entry, 0, sizeof r->entry);
  r->event = event;
  return &r->entry.sqe;
}

int
ring_run (struct ring *r, bool wait)
{
  struct ring_event *const event = r->event;
  struct ublksrv_ctrl_cmd c;

  must (wait && event != NULL, "a command is waited for");
  memcpy (&c, r->entry.sqe.cmd, sizeof c);
  r->event = NULL;
  event->happened (event, do_command (r->entry.sqe.cmd_op & 0xff, &c));
  return 0;
}

int __real_access (const char *path, int mode);
int __wrap_access (const char *path, int mode);
int
__wrap_access (const char *path, int mode)
{
  return begins_with (path, "/dev/ublkb") ? 0 : __real_access (path, mode);
}

int __wrap_posix_spawnp (pid_t *pid, const char *file,
                         const posix_spawn_file_actions_t *actions,
                         const posix_spawnattr_t *attr, char *const argv[],
                         char *const envp[]);
int
__wrap_posix_spawnp (pid_t *pid, const char *file,
                     const posix_spawn_file_actions_t *actions,
                     const posix_spawnattr_t *attr, char *const argv[],
                     char *const envp[])
{
  (void) pid;
  (void) actions;
  (void) attr;
  (void) envp;
  assert_string_equal (file, "modprobe");
  assert_string_equal (argv[1], "ublk_drv");
  modules_asked++;
  return ENOENT;
}
