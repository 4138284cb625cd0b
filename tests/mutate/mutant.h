/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Included before each source that has mutants.  NULLBLK_MUTANT of the
 * environment says which of them is on; without it none is.  If it is
 * "reached", none is either, and the number of each mutant that the program
 * comes by is added to the file NULLBLK_REACHED, as four bytes.
 */

#ifndef NULLBLK_MUTANT_H
#define NULLBLK_MUTANT_H

/* First, as in the sources: it says which extensions headers declare. */
#include <config.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NULLBLK_NOTE 1U

/* One of each in a program. */
__attribute__ ((weak)) unsigned nullblk_mutant;
__attribute__ ((weak)) int nullblk_reached_fd;

/* Before all other constructors of the program. */
static __attribute__ ((constructor (101))) void
nullblk_choose_mutant (void)
{
  const char *which = getenv ("NULLBLK_MUTANT");
  const char *file = getenv ("NULLBLK_REACHED");

  if (which == NULL || nullblk_mutant != 0)
    return;
  if (strcmp (which, "reached") != 0) {
    nullblk_mutant = (unsigned) strtoul (which, NULL, 10);
    return;
  }
  nullblk_reached_fd = open (file, O_WRONLY | O_APPEND | O_CREAT, 0666);
  if (nullblk_reached_fd != -1)
    nullblk_mutant = NULLBLK_NOTE;
}

/* Is this mutant on?  An atomic, or it would be the first race that TSan finds;
 * and not write (), which may be a function with mutants.
 */
#define NULLBLK_MUTANT(number)                                                 \
  ({                                                                           \
    static unsigned char has_noted;                                            \
    const unsigned number_ = (number);                                         \
                                                                               \
    if (__builtin_expect (nullblk_mutant == NULLBLK_NOTE, 0) &&                \
        !__atomic_exchange_n (&has_noted, 1, __ATOMIC_RELAXED))                \
      syscall (SYS_write, nullblk_reached_fd, &number_, sizeof number_);       \
    __builtin_expect (nullblk_mutant == number_, 0);                           \
  })

#endif /* NULLBLK_MUTANT_H */
