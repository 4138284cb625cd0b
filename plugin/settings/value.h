/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Values of parameters: parsed from text into a field of struct settings,
 * printed as text, and described in words.  A type says how its field is
 * stored; params-table.c says which parameters there are.  Without state or
 * locks.
 */

#ifndef NULLBLK_VALUE_H
#define NULLBLK_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/common.h"

enum value_type {
  VALUE_SIZE,            /* uint64_t, bytes */
  VALUE_POWER_OF_TWO,    /* the same */
  VALUE_COUNT,           /* uint64_t */
  VALUE_BOOL,            /* bool */
  VALUE_PARALLEL,        /* unsigned, enum parallel */
  VALUE_CONTROL,         /* unsigned, enum control_access */
  VALUE_POWER_OFF_REPLY, /* unsigned, enum power_off_reply */
  VALUE_SEED,            /* uint64_t */
  VALUE_LIMIT,           /* uint64_t; none is 0 */
  VALUE_MBPS,            /* the same, in bytes; written in MiB */
  VALUE_STALL,           /* struct stall */
  VALUE_SIZE_LATENCY,    /* struct size_latency */
  VALUE_IO_CREDITS,      /* struct credit_settings */
  VALUE_BYTE_CREDITS,    /* the same, in bytes; written in MiB */
  VALUE_DISK,            /* struct disk_settings */
  VALUE_FLASH,           /* struct flash_settings */
  VALUE_COLLECTION,      /* struct collection_settings */
  VALUE_SPIN,            /* uint64_t, nanoseconds, or SPIN_AUTO of clock.h */
  VALUE_MIB,             /* uint64_t, bytes; a bare number is in MiB */
  VALUE_PAST_WP,         /* unsigned, enum zone_past_wp */
  VALUE_ZONE_TRIM,       /* unsigned, enum zone_trim */
  VALUE_ZONE_CROSS,      /* unsigned, enum zone_cross */
  VALUE_ZONES,           /* struct zone_list */
  VALUE_DURATION,        /* uint64_t, nanoseconds */
  VALUE_PROFILE,         /* const struct profile *; none is NULL */
  VALUE_LATENCY,         /* struct distribution *[NR_OPERATIONS]; NULL is 0 */
  VALUE_LATENCY_OF,      /* struct distribution *; NULL is as VALUE_LATENCY */
  VALUE_DISTRIBUTION,    /* the same; NULL is 0 */
  VALUE_FILE,            /* char[MAX_FILE_NAME + 1]; none is "" */
  VALUE_MODEL,           /* the same, of a file that is there */

  /* No field of settings: value_describe alone takes these. */
  VALUE_BADBLOCKS,
  VALUE_FAULT,
};

/* The type and the range of a value.  For VALUE_LATENCY_OF and
 * VALUE_DISTRIBUTION `least` is the operation.
 */
struct value_rule {
  enum value_type type;
  uint64_t least, most;
};

/* The longest path of a file that is a setting: settings are copied. */
#define MAX_FILE_NAME 255

/* More bytes than any value that value_print gives has.  The longest is a
 * distribution, file:PATH.
 */
#define MAX_VALUE 4200

/* Parse TEXT into *field, whose former value is freed.  UNIT is 0; or the unit
 * (in bytes or nanoseconds) of a bare number, and then only a bare number is
 * allowed.  Returns 0; or -EINVAL, with what is wrong and what is allowed in
 * *why, or -ENOMEM, and then *field is as it was.
 */
int value_parse (const struct value_rule *rule, const char *text, uint64_t unit,
                 void *field, struct message *why);

/* Write a value in a form that value_parse takes. */
void value_print (const struct value_rule *rule, const void *field, char *buf,
                  size_t len);

/* Write in words what values are allowed. */
void value_describe (const struct value_rule *rule, uint64_t unit, char *buf,
                     size_t len);

#endif /* NULLBLK_VALUE_H */
