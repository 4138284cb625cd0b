/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * See overhead.h.
 */

#include <config.h>

#include <math.h>

#include "overhead.h"
#include "run.h"

/* To a shorter wait less is added, as the CPUs sleep less deeply, or the same:
 * so the wait is sought which, with what is added to it, takes NSEC.  If none
 * is found, the run that came nearest counts.
 *
 * Where more was added than to a longer wait, something disturbed one of
 * the two runs.  It was this one, unless the next run says the same.
 */
double
overhead_find (const struct figures *f, double nsec, unsigned seconds)
{
  const double tolerance = fmax (1000, nsec / 50);
  double below = 0, above = nsec, wait = nsec, most = HUGE_VAL;
  double nearest = HUGE_VAL, best = -1, odd = -HUGE_VAL, overhead, more;
  unsigned i;

  for (i = 0; i < OVERHEAD_RUNS; i++) {
    overhead = run_client_overhead (f, (uint64_t) wait, seconds);
    if (overhead < 0)
      break;
    if (overhead > most + tolerance && fabs (overhead - odd) > tolerance) {
      odd = overhead;
      continue;
    }
    most = fmax (most, overhead);
    more = wait + overhead - nsec;
    if (fabs (more) < nearest) {
      nearest = fabs (more);
      best = overhead;
    }
    if (nearest < tolerance)
      break;
    if (more > 0) {
      above = wait;
      most = overhead;
    }
    else
      below = wait;
    wait = nsec - overhead;
    if (wait <= below || wait >= above)
      wait = (below + above) / 2;
  }
  return best;
}
