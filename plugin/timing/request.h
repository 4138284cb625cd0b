/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A request, as far as the time that it takes depends on it.
 */

#ifndef NULLBLK_REQUEST_H
#define NULLBLK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"

struct latency_request {
  enum operation op;
  bool fua;         /* takes as long as a flush besides; false where there is
                     * neither a write cache nor a write-back buffer */
  uint32_t count;   /* bytes */
  uint64_t offset;  /* bytes */
  uint64_t freed;   /* bytes that a trim, or the reset of zones, frees */
  uint64_t arrival; /* a moment of the monotonic clock */
};

#endif /* NULLBLK_REQUEST_H */
