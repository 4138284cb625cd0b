/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The errors that a reply of NBD can carry to any command: their names, their
 * errnos, and which of them a client gets for any other errno.  Owns nothing.
 */

#ifndef NULLBLK_NBDERROR_H
#define NULLBLK_NBDERROR_H

#include <stddef.h>

enum nbd_error {
  ERROR_EPERM,
  ERROR_EIO,
  ERROR_ENOMEM,
  ERROR_EINVAL,
  ERROR_ENOSPC,
  ERROR_ESHUTDOWN,
  NR_ERRORS
};

struct nbd_error_row {
  const char *name; /* "EPERM" */
  int number;       /* EPERM */
  int synonym;      /* another errno that nbdkit sends as this one, or 0 */
};

extern const struct nbd_error_row nbd_errors[NR_ERRORS];

/* The error that a client gets for R, a negative errno: ERROR_EINVAL for all
 * that are not in the table, as nbdkit sends them.  (nbdkit sends ENOSPC for
 * EDQUOT and EFBIG, too, but no request fails with these here.)
 */
enum nbd_error nbd_error_of (int r);

/* The names of all of them in words: "EPERM, EIO, ... or ESHUTDOWN". */
void nbd_errors_list (char *buf, size_t len);

#endif /* NULLBLK_NBDERROR_H */
