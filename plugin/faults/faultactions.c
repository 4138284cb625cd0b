/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The actions of fault rules; see faultactions-internal.h.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "common/common.h"
#include "faultactions-internal.h"
#include "timing/timing.h"

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

#define ALL_OPERATIONS ((1U << NR_OPERATIONS) - 1)
#define DATA_OPERATIONS (1U << OP_READ | 1U << OP_WRITE)

/*---------------------------------------------------------------------*/
/* error= */

static int
parse_error (const char *value, struct fault_spec *r, struct message *why)
{
  char allowed[80];
  size_t i;

  for (i = 0; i < NR_ERRORS; i++) {
    if (strcmp (value, nbd_errors[i].name) == 0) {
      r->error = nbd_errors[i].number;
      return 0;
    }
  }
  nbd_errors_list (allowed, sizeof allowed);
  return refuse (why,
                 "'error=%.80s': allowed after error= is %s: NBD carries no "
                 "other",
                 value, allowed);
}

static void
print_error (FILE *fp, const struct fault_spec *r)
{
  fputs (nbd_errors[nbd_error_of (-r->error)].name, fp);
}

/* If several rules give an error, the first counts. */
static void
hit_error (struct fault_rule *rule, enum operation op, struct fault_verdict *v)
{
  (void) op;
  if (v->error == 0)
    v->error = -rule->shared->spec.error;
}

/*---------------------------------------------------------------------*/
/* delay= */

static int
parse_delay (const char *value, struct fault_spec *r, struct message *why)
{
  struct message reason;
  int err;

  if (strncmp (value, "seek:", 5) == 0)
    return refuse (why,
                   "'delay=%.80s': allowed is a duration or any distribution "
                   "but seek, which is a device's latency",
                   value);
  err = distribution_parse_all (value, r->delay, &reason);
  if (err == -EINVAL)
    return refuse (why, "'delay=%.80s': %s", value, reason.text);
  return err;
}

/* Print the delay as one word: blanks in it get a backslash. */
static void
print_delay (FILE *fp, const struct fault_spec *r)
{
  const char *s;
  unsigned op;

  for (op = 0; r->delay[op] == NULL; op++)
    ;
  for (s = distribution_text (r->delay[op]); *s != '\0'; s++) {
    if (*s == ' ' || *s == '\\')
      fputc ('\\', fp);
    fputc (*s, fp);
  }
}

static void
hit_delay (struct fault_rule *rule, enum operation op, struct fault_verdict *v)
{
  struct distribution *delay = rule->shared->spec.delay[op];

  if (delay != NULL)
    v->delay += distribution_draw (delay, random_next (&rule->delays), NULL);
}

/*---------------------------------------------------------------------*/
/* corrupt= */

/* Flip a bit of a block: an even one at a read, an odd one at a write, so that
 * neither undoes the other.
 */
static void
corrupt_flip (const struct fault_rule *rule, enum operation op, uint64_t offset,
              uint8_t *block, uint32_t block_size)
{
  const uint64_t random = random_mix (rule->key + random_mix (offset));
  const uint64_t bit =
      random % (UINT64_C (4) * block_size) * 2 + (op == OP_WRITE);

  block[bit / 8] ^= 1U << bit % 8;
}

static void
corrupt_zero (const struct fault_rule *rule, enum operation op, uint64_t offset,
              uint8_t *block, uint32_t block_size)
{
  (void) rule;
  (void) op;
  (void) offset;
  memset (block, 0, block_size);
}

static void
hit_stale (struct fault_rule *rule, enum operation op, struct fault_verdict *v)
{
  (void) rule;
  (void) op;
  v->is_skipped = true;
}

/*---------------------------------------------------------------------*/

/* Actions whose texts begin with the same word stand together. */
const struct fault_action_row fault_actions[NR_FAULT_ACTIONS] = {
    [FAULT_ERROR] = {.text = "error=",
                     .parse = parse_error,
                     .print = print_error,
                     .operations = ALL_OPERATIONS,
                     .hit = hit_error},
    [FAULT_DELAY] = {.text = "delay=",
                     .parse = parse_delay,
                     .print = print_delay,
                     .operations = ALL_OPERATIONS,
                     .wait = WAIT_AFTER,
                     .hit = hit_delay},
    [FAULT_FLIP] = {.text = "corrupt=flip",
                    .operations = DATA_OPERATIONS,
                    .corrupt = corrupt_flip},
    [FAULT_ZERO] = {.text = "corrupt=zero",
                    .operations = DATA_OPERATIONS,
                    .corrupt = corrupt_zero},
    [FAULT_STALE] = {.text = "corrupt=stale",
                     .operations = ALL_OPERATIONS & ~(1U << OP_READ),
                     .hit = hit_stale},
    [FAULT_HANG] = {.text = "hang",
                    .operations = ALL_OPERATIONS,
                    .wait = WAIT_BEFORE},
    [FAULT_DISCONNECT] = {.text = "disconnect",
                          .operations = ALL_OPERATIONS,
                          .disconnects = true},
};

const char *
fault_action_text (size_t i)
{
  return i < NR_FAULT_ACTIONS ? fault_actions[i].text : NULL;
}
