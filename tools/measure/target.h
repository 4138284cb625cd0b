/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What is measured: a block device, a file or an NBD URI.
 */

#ifndef NULLBLK_TARGET_H
#define NULLBLK_TARGET_H

#include <stdbool.h>

#include "fit.h"

struct target {
  const char *name; /* as the user has given it */
  bool is_uri;
  /* For fio, if it is no URI: names the file as this program has opened it.
   * It stays open, and a device stays in use, until this program ends.
   */
  char path[32];
  struct drive_facts drive; /* all 0 for a URI */
};

/* See what NAME is, and open it.  Ends the program if NAME is none of the
 * three, is in use (mounted, as swap, or as a part of another device), is
 * smaller than 1 MiB, or cannot be read or, with TO_BE_WRITTEN, written.
 */
void target_open (struct target *t, const char *name, bool to_be_written);

#endif /* NULLBLK_TARGET_H */
