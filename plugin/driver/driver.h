/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What speaks with Linux's ublk driver, for programs that serve a device of
 * it.
 */

#ifndef NULLBLK_DRIVER_H
#define NULLBLK_DRIVER_H

#include "aide.h"
#include "apart.h"
#include "commands.h"
#include "kernel.h"
#include "making.h"
#include "plan.h"
#include "port.h"
#include "record.h"
#include "ring.h"
#include "users.h"
#include "zoned.h"

#endif /* NULLBLK_DRIVER_H */
