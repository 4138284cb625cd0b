/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * When a request completes: latency.h computes the moment from distributions,
 * lanes, stalls and limits, and what mechanisms of drives add (drive.h).
 * Nothing here waits.
 */

#ifndef NULLBLK_TIMING_H
#define NULLBLK_TIMING_H

#include "buffer.h"
#include "credits.h"
#include "disk.h"
#include "distribution.h"
#include "flash.h"
#include "gaps.h"
#include "lanes.h"
#include "latency.h"
#include "drive.h"
#include "load.h"
#include "percentiles.h"
#include "request.h"
#include "size-latency.h"
#include "throttle.h"

#endif /* NULLBLK_TIMING_H */
