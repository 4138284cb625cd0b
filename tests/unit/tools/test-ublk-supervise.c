/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-ublk's supervisor: whose children are killed, cannot take the device
 * over for now, or cannot be made for a while.
 */

#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ublk/supervise.h"
#include "ublkdrv/ublkdrv.h"
#include "unit.h"

#define LINE "/dev/ublkb0\n"

static unsigned *children; /* that have served so far; all processes see it */
static unsigned no_forks;  /* so many fail, after the first child's */
static unsigned forks;

pid_t __real_fork (void);
pid_t __wrap_fork (void);
pid_t
__wrap_fork (void)
{
  if (forks++ > 0 && no_forks > 0) {
    no_forks--;
    errno = EAGAIN;
    return -1;
  }
  return __real_fork ();
}

int
device_record_supervise (uint64_t cookie)
{
  assert_int_equal (cookie, 1);
  return -ENOENT;
}

/* The first is killed, the second one cannot yet, the third one is killed, the
 * fourth one ends by itself.
 */
static int
serve (const struct bridge_options *o, int ready)
{
  const unsigned n = (*children)++;

  if (o->recovers != (n > 0) || (ready == -1) != (n > 0))
    return 9;
  if (n == 0 && write (ready, LINE, strlen (LINE)) != (ssize_t) strlen (LINE))
    return 9;
  if (n == 1)
    return EXIT_AGAIN;
  if (n == 0 || n == 2)
    raise (SIGKILL);
  return 7;
}

static bool
is_ready (const char *line)
{
  assert_string_equal (line, LINE);
  return true;
}

static void
test_children (void **state)
{
  struct bridge_options o = {.cookie = 1, .persist = 60};

  (void) state;
  no_forks = 2;
  assert_int_equal (supervise (&o, serve, is_ready), 7);
  assert_int_equal (*children, 4);
  assert_int_equal (no_forks, 0);
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {cmocka_unit_test (test_children)};

  children = mmap (NULL, sizeof *children, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return children == MAP_FAILED || RUN_TESTS (tests);
}
