/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Power: the volatile write cache, power cuts, and the log of all changes.
 */

#ifndef NULLBLK_POWER_H
#define NULLBLK_POWER_H

#include "durability.h"
#include "writelog.h"

#endif /* NULLBLK_POWER_H */
