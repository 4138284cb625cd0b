/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The export of a job: what it is like, and the connections to it.
 */

#ifndef NULLBLK_FIO_JOBEXPORT_H
#define NULLBLK_FIO_JOBEXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"
#include "session.h"

/* What a server says of the export; sizes are bytes. */
struct job_export {
  uint64_t size;
  uint64_t block_size; /* offsets and lengths are multiples of it; at least 1 */
  uint64_t max_request; /* for a read or a write */
  bool read_only, can_flush, can_fua, can_trim, can_zero;
  bool multi_conn; /* several connections see each other's writes */
};

/* The connections of one job. */
struct handles {
  struct nbd_handle *h[MAX_CONNECTIONS];
  unsigned n;
};

/* The functions below that return an int return 0, or -EIO with the reason in
 * *why.
 */

/* Connect to the export of URI, ask, and disconnect. */
int job_export_ask (struct job_export *e, const char *uri, struct message *why);

/* Connect N times to the export, which must still be like E, and let S use the
 * connections, each for at most DEPTH requests at a time.  Afterwards, and also
 * after a failure, the caller first destroys S and then calls handles_close.
 */
int handles_open (struct handles *l, const struct job_export *e,
                  const char *uri, unsigned n, struct session *s,
                  unsigned depth, struct message *why);
void handles_close (struct handles *l);

#endif /* NULLBLK_FIO_JOBEXPORT_H */
