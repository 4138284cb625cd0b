/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblkctl badblocks, fault and power: what a device does wrong on purpose.
 * Changes are lines written to its .config export; what is printed is read from
 * its .stats export (nbdkit-nullblk-plugin(1), FAULTS and POWER LOSS).
 *
 * Functions that return bool give false and the reason in *why.  *bad_usage is
 * true then if an argument is malformed, and false if the server has refused
 * the change.
 */

#ifndef NULLBLK_CTL_FAULTS_H
#define NULLBLK_CTL_FAULTS_H

#include <stdbool.h>
#include <stdio.h>

#include "common/common.h"
#include "server.h"

/* Mark the sectors in RANGES ("8", "8-15"; NULL ends them) as bad ('+') or good
 * ('-').
 */
bool badblocks_mark (const struct server_address *s, char sign, char **ranges,
                     bool *bad_usage, struct message *why);

/* Print the bad sectors, a range in each line, or as JSON. */
bool badblocks_print (FILE *fp, const struct server_address *s, bool json,
                      struct message *why);

/* Add RULES, all of them or none. */
bool fault_rules_add (const struct server_address *s, char **rules,
                      bool *bad_usage, struct message *why);

/* Delete the rules with these numbers or names, all of them or none. */
bool fault_rules_delete (const struct server_address *s, char **names,
                         bool *bad_usage, struct message *why);

/* Print the rules and what they have counted, a line each or as JSON. */
bool fault_rules_print (FILE *fp, const struct server_address *s, bool json,
                        struct message *why);

/* Cut power now or, if AFTER is not NULL, at the AFTERth write from now.
 * AFTER, LOSE and SEED are values of the settings power-cut-after, lose and
 * power-seed; NULL: not given.
 */
bool power_cut (const struct server_address *s, const char *after,
                const char *lose, const char *seed, struct message *why);

/* Print whether power is on, what is volatile, and what the last cut lost. */
bool power_print (FILE *fp, const struct server_address *s, bool json,
                  struct message *why);

#endif /* NULLBLK_CTL_FAULTS_H */
