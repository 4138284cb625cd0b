/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What outlives power: the volatile write cache and what a cut takes of it, and
 * the log of all changes.
 */

#ifndef NULLBLK_POWER_H
#define NULLBLK_POWER_H

#include "durability.h"
#include "writelog.h"

#endif /* NULLBLK_POWER_H */
