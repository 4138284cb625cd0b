/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The parameters: one table (params-table.c) has the name, type (see value.h),
 * range, default and line of help of each.  Parsing, range checks, --help and
 * the printing of settings all use it; null_blk's spellings and the kernel's
 * parameters that are refused stand beside it.
 *
 * Nothing here locks, except that params_change looks at known_rules
 * (faults_find): parameters are parsed by one thread before the server listens,
 * and a live change works on a copy (control-change.c).
 */

#ifndef NULLBLK_PARAMS_H
#define NULLBLK_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/common.h"
#include "faults/faults.h"
#include "profile.h"
#include "timing/timing.h"
#include "value.h"
#include "zones/zones.h"

/* The smallest and largest logical block.  null_blk takes 512 up to the page
 * size; NBD allows a minimum block of up to 64 KiB.
 */
#define MIN_BLOCK_SIZE 512
#define MAX_BLOCK_SIZE 65536

/* NBD's largest preferred block. */
#define MAX_PHYSICAL_BLOCK_SIZE (UINT64_C (32) << 20)

/* Each device has four exports; nbdkit lists 10,000 exports at most. */
#define MAX_DEVICES 1024

/* The limits of the kernel's ublk driver. */
#define MAX_SUBMIT_QUEUES 4096
#define MAX_HW_QUEUE_DEPTH 4096
#define DEFAULT_HW_QUEUE_DEPTH 128

/* Words that a parameter allows, stored as unsigned. */
enum parallel { PARALLEL_AUTO, PARALLEL_OFF, PARALLEL_ON };
enum control_access { CONTROL_LOCAL, CONTROL_ANY, CONTROL_OFF };
enum power_off_reply { POWER_OFF_REPLY_ERROR, POWER_OFF_REPLY_DISCONNECT };

/* The values of the parameters.  All sizes are in bytes.  A copy of the struct
 * shares the distributions of the original: settings_ref takes references for
 * the copy, and settings_unref releases those of a struct.
 */
struct settings {
  uint64_t size; /* a multiple of block_size once params_complete is done */
  uint64_t block_size;          /* a power of two */
  uint64_t physical_block_size; /* a power of two, at least block_size */
  bool rotational;
  bool read_only;
  uint64_t devices;
  bool memory_backed;
  uint64_t memory_limit; /* for all devices together */
  bool hugepages;
  bool discard;
  bool zero_memory;    /* do zeroes hold memory, unless a hole is allowed and
                        * discard is true? */
  uint64_t cache_size; /* of the volatile write cache; 0: none */
  bool fua;
  unsigned power_off_reply; /* enum power_off_reply */
  unsigned parallel;        /* enum parallel */
  unsigned control;         /* enum control_access */
  bool ublk;
  uint64_t submit_queues;  /* queues of each block device */
  uint64_t hw_queue_depth; /* requests of each queue */

  const struct profile *profile; /* or NULL */
  char model[MAX_FILE_NAME + 1]; /* path of a model file, or "" */
  struct distribution *latency_all[NR_OPERATIONS]; /* latency=; NULL is 0 */
  struct distribution *latency_of[NR_OPERATIONS];  /* read-latency= and so on */
  struct latency_settings latency; /* lanes and so on, and what is computed */
  struct distribution *drain_latency; /* NULL is 0 */
  struct distribution *drain_pause;   /* the same */
  struct zone_settings zones;
  struct badblocks_mode badblocks;
  struct size_latency client_overhead; /* what a client sees on top of each
                                        * latency */
  uint64_t spin;                       /* as for waiter_wait */
  uint64_t seed;
  char write_log[MAX_FILE_NAME + 1]; /* its path, or "" */
};

void settings_ref (const struct settings *s);
void settings_unref (struct settings *s);

/* The most parameters that the table may have. */
#define MAX_PARAMS 80

struct params {
  struct settings settings;
  bool given[MAX_PARAMS]; /* by place in the table */

  uint64_t bare_size; /* size= in bytes, where it is a number alone; or 0 */

  /* null_blk's way to say latency=. */
  bool irqmode_given, completion_nsec_given;
  uint64_t irqmode;
  uint64_t completion_nsec;

  /* Bad blocks, or NULL, and a list of new rules: they change lists of a
   * device, and are no settings.
   */
  struct badblocks_change *badblocks;
  struct fault_rule *faults;

  /* Rules whose files are not read again if they are given once more; or NULL.
   */
  struct faults *known_rules;
};

/* "NAME=" and the longest value. */
#define MAX_SETTING (MAX_VALUE + 64)

/* The lines of --help, one for each parameter. */
extern const char params_help[];

/* Set every parameter to its default.  memory_limit is 0 until
 * params_complete.  params_clear lets go of what is owned.
 */
void params_init (struct params *p);
void params_clear (struct params *p);

/* Take KEY=VALUE from the command line.  '-' and '_' are the same letter in
 * KEY.  Returns 0, -ENOMEM, or -EINVAL with the reason in *why: KEY is unknown,
 * given twice (except fault=) or meaningful to the kernel alone, or VALUE is
 * out of range.
 */
int params_set (struct params *p, const char *key, const char *value,
                struct message *why);

/* Has the user given a value that is allowed, but is probably a mistake?  If
 * so, *hint says which parameter, and why.
 */
bool params_hint (const struct params *p, struct message *hint);

/* When all parameters have been set: check them against each other and against
 * the machine, and fill in the defaults that depend on something.  MEMORY is
 * the memory in bytes that the machine can give (machine_memory), ROOM the
 * largest limit that this process has address space for (arena_max_limit_here),
 * UNIT the least that memory mode takes at a time (arena_unit).  Returns 0,
 * -ENOMEM, or -EINVAL with the reason in *why.
 */
int params_complete (struct params *p, uint64_t memory, uint64_t room,
                     uint64_t unit, struct message *why);

/* Will any request have to wait, by the parameters so far?  This may be called
 * before params_complete.
 */
bool params_delay_requests (const struct params *p);

/* Does a fault rule keep requests from being begun? */
bool params_have_hang_rule (const struct params *p);

/* A live change: begin with NOW, the settings in force; take KEY=VALUE of each
 * line; and complete the whole.  Then p->settings can take the place of NOW.  A
 * parameter that is not live may be given with the value that it has.  Return
 * 0, -ENOMEM, or -EINVAL with the reason in *why.  After a failure, too, the
 * caller ends with params_clear.
 */
void params_begin_change (struct params *p, const struct settings *now);
int params_change (struct params *p, const char *key, const char *value,
                   struct message *why);
int params_complete_change (struct params *p, struct message *why);

/* Has a parameter been given by its NAME in the table? */
bool params_given (const struct params *p, const char *name);

/* Does this machine have the memory for memory_limit, which the user has given?
 * MEMORY and UNIT are as for params_complete.  Returns 0, or -EINVAL with *why.
 */
int params_check_limit (const struct settings *s, uint64_t memory,
                        uint64_t unit, struct message *why);

/* Print the I-th setting as "name=value" with the value in force, in a form
 * that params_set takes.  Returns false past the last one; bad blocks and
 * faults are no settings.
 */
bool params_print (const struct settings *s, size_t i, char *buf, size_t len);

/* The I-th parameter's row of the table, for a test that compares the table,
 * --help and the man page.  Returns false past the end.
 */
struct param_row {
  const char *name;
  const char *default_value; /* as --help shows it */
  bool is_live;              /* may change while the server runs */
  char range[256];           /* as an error shows it */
};
bool params_row (size_t i, struct param_row *row);

/* The I-th of null_blk's spellings: OTHER means NAME.  Returns false past the
 * end.
 */
bool params_alias (size_t i, const char **other, const char **name);

/* The I-th of the kernel's parameters that are refused, and the reason.
 * Returns false past the end.
 */
bool params_kernel_only (size_t i, const char **name, const char **reason);

#endif /* NULLBLK_PARAMS_H */
