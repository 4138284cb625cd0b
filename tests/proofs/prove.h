/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What proofs begin with.  A proof is a function for CBMC, which looks at all
 * values that the nondet_* functions may return, as far as ASSUME allows them:
 * no arithmetic of signed numbers overflows, nothing is divided by 0, shifted
 * by its width or accessed out of bounds, no loop has more rounds than the
 * proof says, and what CHECK says is true.  README.md lists the proofs.
 */

#ifndef NULLBLK_PROVE_H
#define NULLBLK_PROVE_H

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ASSUME(condition) __CPROVER_assume (condition)
#define CHECK(condition) __CPROVER_assert (condition, #condition)

/* A loop of the proof, or of what it proves, has fewer than UNWIND rounds. */
#define PROOF(name, unwind)                                                    \
  void proof_##name (void);                                                    \
  void proof_##name (void)

/* The largest device. */
#define MAX_SIZE ((uint64_t) INT64_MAX)

/* By their names CBMC knows these: they return any value. */
uint64_t nondet_uint64 (void);
uint32_t nondet_uint32 (void);
unsigned nondet_unsigned (void);
char nondet_char (void);
bool nondet_bool (void);

/* Call CHECKS (N) for one N from FIRST to LAST, each of them.  What a number
 * that is known is shifted by is much easier to prove than what any is.
 */
#define FOR_EACH(n, first, last, checks)                                       \
  do {                                                                         \
    const unsigned this_one = nondet_unsigned ();                              \
    unsigned n;                                                                \
                                                                               \
    for (n = (first); n <= (last); n++) {                                      \
      if (this_one == n)                                                       \
        checks (n);                                                            \
    }                                                                          \
  } while (0)

#endif /* NULLBLK_PROVE_H */
