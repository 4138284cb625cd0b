/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Devices of the kernel's ublk driver, each of which a process of nullblk-ublk
 * makes and serves.  nullblk-attach chooses the cookie of a device; the kernel
 * keeps it, and nullblk-ublk's record has it as its name (driver/record.h).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "attach-internal.h"
#include "driver/driver.h"

/* nullblk-ublk's exit status where this kernel can make no such device. */
#define EXIT_IMPOSSIBLE 3

enum ublk_outcome
attach_by_ublk (struct attachment *a, const struct ublk_options *options,
                const char *uri)
{
  const char *argv[16] = {find_tool ("nullblk-ublk", SBINDIR)};
  char queues[16], timeout[16], persist[32], line[64];
  size_t n = 1;
  int status;

  argv[n++] = "--cookie";
  argv[n++] = cookie_of (a);
  format (queues, sizeof queues, "%u", options->connections);
  argv[n++] = "--queues";
  argv[n++] = queues;
  if (options->timeout != 0) {
    format (timeout, sizeof timeout, "%u", options->timeout);
    argv[n++] = "--timeout";
    argv[n++] = timeout;
  }
  if (options->persist != 0) {
    format (persist, sizeof persist, "--persist=%u", options->persist);
    argv[n++] = persist;
  }
  argv[n++] = uri;
  argv[n] = NULL;
  status = run_for_line (argv, line, sizeof line);
  if (status == 127) {
    fputs ("nullblk-attach: nullblk-ublk, which makes ublk devices, is not "
           "installed\n",
           stderr);
    return UBLK_IMPOSSIBLE;
  }
  if (status == EXIT_IMPOSSIBLE)
    return UBLK_IMPOSSIBLE;
  if (status != 0 || strncmp (line, "/dev/", 5) != 0 ||
      !is_device_name (line + 5))
    return UBLK_FAILED;
  format (a->device, sizeof a->device, "%s", line + 5);
  return UBLK_ATTACHED;
}

/* Is there a record?  There is one as long as anything of its device may be
 * left.
 */
static bool
has_record (const struct attachment *a)
{
  struct record r;
  bool is_dead;
  int err;

  err = record_open (&r, record_cookie (cookie_of (a)), &is_dead);
  if (err == 0)
    record_close (&r);
  return err != -ENOENT;
}

bool
detach_by_ublk (const struct attachment *a, bool *is_gone)
{
  const char *const argv[] = {find_tool ("nullblk-ublk", SBINDIR), "--detach",
                              cookie_of (a), NULL};
  int status = 0;

  if (has_record (a))
    status = run (argv, false);
  if (status == 127)
    fputs ("nullblk-attach: nullblk-ublk, which has made the device, is not "
           "installed\n",
           stderr);
  *is_gone = !has_record (a);
  return status == 0;
}
