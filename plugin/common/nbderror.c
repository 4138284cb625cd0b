/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The table of errors; see nbderror.h.
 */

#include <config.h>

#include <errno.h>

#include "message.h"
#include "nbderror.h"

const struct nbd_error_row nbd_errors[NR_ERRORS] = {
    [ERROR_EPERM] = {"EPERM", EPERM, EROFS},
    [ERROR_EIO] = {"EIO", EIO, 0},
    [ERROR_ENOMEM] = {"ENOMEM", ENOMEM, 0},
    [ERROR_EINVAL] = {"EINVAL", EINVAL, 0},
    [ERROR_ENOSPC] = {"ENOSPC", ENOSPC, 0},
    [ERROR_ESHUTDOWN] = {"ESHUTDOWN", ESHUTDOWN, 0},
};

enum nbd_error
nbd_error_of (int r)
{
  unsigned i;

  for (i = 0; i < NR_ERRORS; i++) {
    if (-r == nbd_errors[i].number || -r == nbd_errors[i].synonym)
      return i;
  }
  return ERROR_EINVAL;
}

void
nbd_errors_list (char *buf, size_t len)
{
  unsigned i;

  buf[0] = '\0';
  for (i = 0; i < NR_ERRORS; i++)
    words_append (buf, len, nbd_errors[i].name,
                  i + 1 < NR_ERRORS ? NULL : "or");
}
