/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What speaks with Linux's ublk driver, for programs that serve a device of
 * it.
 */

#ifndef NULLBLK_UBLKDRV_H
#define NULLBLK_UBLKDRV_H

#include "aide.h"
#include "commands.h"
#include "flush.h"
#include "helper-process.h"
#include "kernel.h"
#include "queue-port.h"
#include "ring.h"
#include "setup.h"
#include "ublk-plan.h"
#include "ublk-record.h"
#include "users.h"
#include "zoned.h"

#endif /* NULLBLK_UBLKDRV_H */
