/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Changes files so that each change is durable before the next one begins,
 * until a change fails; and checks afterwards that all durable changes are
 * there.
 *
 *   crash-files write DIRECTORY DONE     prints how many are durable
 *   crash-files check DIRECTORY DONE     prints what is wrong, and fails
 *
 * Changes have numbers, from 1, and DONE of them are known to be durable.  An
 * even change replaces a file of its slot, by fsync, rename and fsync of the
 * directory.  An odd one appends a record to the current one of two logs, by
 * fdatasync.  The content of a change follows from its number.  A change that
 * failed, of which anything may be there, is made once more by the next
 * `write`; so it is the only one that may be incomplete.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS 16
#define LONGEST 12000 /* bytes of a file */
#define RECORD 512    /* of a log: never torn */
#define RECORDS 48    /* of a log before the other one begins */

static uint8_t expected[LONGEST], buf[LONGEST + 1];
static int directory;

static void
fill (uint64_t number, size_t len)
{
  uint64_t x = number * UINT64_C (0x9e3779b97f4a7c15);
  size_t i;

  for (i = 0; i < len; i++) {
    x = x * UINT64_C (6364136223846793005) + 1;
    expected[i] = x >> 56;
  }
  memcpy (expected, &number, sizeof number);
}

static size_t
length (uint64_t number)
{
  return 8 + number * 2654435761 % (LONGEST - 8);
}

/* Put the name of the file that has a change into NAME.  Returns the offset. */
static off_t
place (uint64_t number, char name[32])
{
  const uint64_t n = number / 2;

  if (number % 2 == 0) {
    snprintf (name, 32, "slot-%" PRIu64, n % SLOTS);
    return 0;
  }
  snprintf (name, 32, "log-%" PRIu64, n / RECORDS % 2);
  return n % RECORDS * RECORD;
}

/*---------------------------------------------------------------------*/

static bool
put (int fd, size_t len, off_t offset)
{
  return pwrite (fd, expected, len, offset) == (ssize_t) len;
}

/* Close a file after one more fsync, to see that it and its directory are
 * durable: when xfs's log has failed already, fsync of a directory succeeds,
 * and that of a file does not.
 */
static bool
is_durable (int fd)
{
  const bool ok = fsync (directory) == 0 && fsync (fd) == 0;

  return close (fd) == 0 && ok;
}

static bool
replace (uint64_t number)
{
  const size_t len = length (number);
  char name[32];
  bool ok;
  int fd;

  place (number, name);
  fill (number, len);
  fd = openat (directory, "new", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd == -1)
    return false;
  ok = put (fd, len, 0) && fsync (fd) == 0 &&
       renameat (directory, "new", directory, name) == 0;
  return is_durable (fd) && ok;
}

static bool
append (uint64_t number)
{
  char name[32];
  const off_t offset = place (number, name);
  bool ok;
  int fd;

  fill (number, RECORD);
  fd = openat (directory, name,
               O_WRONLY | O_CREAT | (offset == 0 ? O_TRUNC : 0), 0600);
  if (fd == -1)
    return false;
  ok = put (fd, RECORD, offset) && fdatasync (fd) == 0;
  if (offset == 0)
    return is_durable (fd) && ok;
  return close (fd) == 0 && ok;
}

static int
make_changes (uint64_t done)
{
  while (done % 2 == 0 ? append (done + 1) : replace (done + 1))
    done++;
  printf ("%" PRIu64 "\n", done);
  return EXIT_SUCCESS;
}

/*---------------------------------------------------------------------*/

/* Is this change there?  What follows a log's record does not matter. */
static bool
is_there (uint64_t number)
{
  const size_t len = number % 2 == 0 ? length (number) : RECORD;
  const size_t asked = number % 2 == 0 ? len + 1 : len;
  char name[32];
  const off_t offset = place (number, name);
  const int fd = openat (directory, name, O_RDONLY);
  ssize_t n;

  if (fd < 0)
    return false;
  n = pread (fd, buf, asked, offset);
  close (fd);
  fill (number, len);
  return n == (ssize_t) len && memcmp (buf, expected, len) == 0;
}

/* Is this change there, or the one that was in progress, which replaced it? */
static bool
is_kept (uint64_t number, uint64_t done)
{
  return is_there (number) || (done + 1 == number + 2 * SLOTS &&
                               number % 2 == 0 && is_there (done + 1));
}

static int
check_changes (uint64_t done)
{
  const uint64_t slots = done > 2 * SLOTS ? done - 2 * SLOTS : 0;
  /* The first record of the newest log that has a durable one. */
  const uint64_t log =
      done > 0 ? (done - 1) / 2 / RECORDS * RECORDS * 2 + 1 : 1;
  unsigned missing = 0;
  uint64_t i;

  for (i = log < slots ? log : slots + 1; i <= done; i++) {
    if (i % 2 == 0 ? i <= slots : i < log)
      continue;
    if (!is_kept (i, done)) {
      missing++;
      printf ("change %" PRIu64 " of %" PRIu64 " is missing\n", i, done);
    }
  }
  return missing == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main (int argc, char *argv[])
{
  bool writes;

  if (argc != 4) {
    fprintf (stderr, "crash-files write|check DIRECTORY DONE\n");
    return EXIT_FAILURE;
  }
  writes = strcmp (argv[1], "write") == 0;
  directory = open (argv[2], O_RDONLY | O_DIRECTORY);
  /* If power is off already, no change is made. */
  if (directory == -1 && !writes) {
    printf ("%s: %s\n", argv[2], strerror (errno));
    return EXIT_FAILURE;
  }
  return writes ? make_changes (strtoull (argv[3], NULL, 10))
                : check_changes (strtoull (argv[3], NULL, 10));
}
