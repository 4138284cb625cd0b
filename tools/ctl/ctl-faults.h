/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblkctl badblocks, fault and power: what a device does wrong on purpose,
 * as lines for its .config export and from the document of its .stats export
 * (nbdkit-nullblk-plugin(1), FAULTS and POWER LOSS).
 *
 * Functions that return bool give false and the reason in *why, and
 * *bad_usage where an argument is none.
 */

#ifndef NULLBLK_CTL_FAULTS_H
#define NULLBLK_CTL_FAULTS_H

#include <stdbool.h>
#include <stdio.h>

#include "common/common.h"
#include "server.h"

/* Mark sectors as bad ('+') or good ('-'): RANGES such as "8" and "8-15"; NULL
 * ends them.
 */
bool badblocks_mark (const struct server_address *s, char sign, char **ranges,
                     bool *bad_usage, struct message *why);

/* Print those that are bad, a range each line, or as JSON. */
bool badblocks_print (FILE *fp, const struct server_address *s, bool json,
                      struct message *why);

/* Add RULES, all of them or none. */
bool fault_rules_add (const struct server_address *s, char **rules,
                      bool *bad_usage, struct message *why);

/* Delete rules by number or name, all that are named or none. */
bool fault_rules_delete (const struct server_address *s, char **names,
                         bool *bad_usage, struct message *why);

/* Print the rules and what they have counted, a line each or as JSON. */
bool fault_rules_print (FILE *fp, const struct server_address *s, bool json,
                        struct message *why);

/* Cut the power, now or, where AFTER is not NULL, at so many writes from now;
 * LOSE and SEED are as the server takes them, or NULL.
 */
bool power_cut (const struct server_address *s, const char *after,
                const char *lose, const char *seed, struct message *why);

/* Print whether it is on, and what is in the write cache. */
bool power_print (FILE *fp, const struct server_address *s, bool json,
                  struct message *why);

#endif /* NULLBLK_CTL_FAULTS_H */
