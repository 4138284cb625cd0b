/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Parameters: the table of them, the types of their values, and models of
 * drives.
 */

#ifndef NULLBLK_SETTINGS_H
#define NULLBLK_SETTINGS_H

#include "modelfile.h"
#include "params.h"
#include "profile.h"
#include "value.h"

#endif /* NULLBLK_SETTINGS_H */
