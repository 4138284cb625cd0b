/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A request that hung without a thread goes on; see device.h.
 */

#include <config.h>

#include <errno.h>

#include "device-internal.h"

/* This works on a copy of the request, as a reply that is deferred may be kept
 * where PARKED is.
 */
int
device_resume_parked (void *parked, void *buf, bool gone, uint64_t *offset)
{
  struct request *const there = parked;
  struct request r;
  int result;

  faults_forget (&there->connection->device->faults, &there->parked);
  r = *there;
  *offset = r.io.offset;
  result = gone ? -ESHUTDOWN : request_reactivate (&r);
  if (result == 0)
    result = r.verdict.error;
  result = r.resume_op == RESUME_COMMAND || r.resume_op == RESUME_RESET_ALL
               ? command_resume (&r, result)
               : request_resume (&r, result, buf, offset);
  return result;
}
