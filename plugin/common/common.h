/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Code that every room may use: time and waiting, sizes, durations and values
 * of several parts as texts, min and max, random numbers, the kinds of
 * operations, NBD's errors, locks, messages, and whether polling pays.
 */

#ifndef NULLBLK_COMMON_H
#define NULLBLK_COMMON_H

#include "clock.h"
#include "duration.h"
#include "fairlock.h"
#include "lock.h"
#include "message.h"
#include "minmax.h"
#include "nbderror.h"
#include "number.h"
#include "operation.h"
#include "ownedlock.h"
#include "pace.h"
#include "parts.h"
#include "random.h"
#include "textfile.h"
#include "wide.h"

#endif /* NULLBLK_COMMON_H */
