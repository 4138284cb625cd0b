/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-attach's directories: one that is made is locked when others first
 * see it, so that a --detach --all at any moment neither takes it away nor
 * keeps it from being locked.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"
#include "attach/attach-internal.h"

/* Nothing here waits. */
bool
await_condition (bool (*condition) (const void *), const void *arg)
{
  (void) condition;
  (void) arg;
  return false;
}

/* What another nullblk-attach does just after a directory was made. */
static void (*interfere) (const char *name, const char *directory);

int __real_mkdir (const char *path, mode_t mode);
int __wrap_mkdir (const char *path, mode_t mode);

int
__wrap_mkdir (const char *path, mode_t mode)
{
  const int r = __real_mkdir (path, mode);
  const int err = errno;

  if (interfere != NULL)
    for_each_directory (interfere);
  errno = err;
  return r;
}

/* Detach what has nothing in it. */
static void
detach_it (const char *name, const char *directory)
{
  (void) name;
  if (!lock_directory (directory))
    return;
  remove_directory (directory);
  unlock_directory ();
}

/* Be at work on it, for ever. */
static void
lock_it (const char *name, const char *directory)
{
  const int fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  (void) name;
  assert_return_code (fd, errno);
  flock (fd, LOCK_EX | LOCK_NB);
}

static unsigned directories;

static void
count (const char *name, const char *directory)
{
  (void) name;
  (void) directory;
  directories++;
}

static bool
is_locked (const char *directory)
{
  const int fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool r;

  assert_return_code (fd, errno);
  r = flock (fd, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK;
  close (fd);
  return r;
}

static void
check_made (const char *directory)
{
  if (!make_directory (directory))
    fail_msg ("%s: %s", directory, strerror (errno));
  assert_true (is_locked (directory));
  unlock_directory ();
  assert_false (is_locked (directory));
}

static void
test_detached (void **state)
{
  (void) state;
  interfere = detach_it;
  check_made (RUN_DIR "/a");
}

static void
test_locked (void **state)
{
  (void) state;
  interfere = lock_it;
  check_made (RUN_DIR "/b");
}

/* A name that is taken stays as it is, and nothing else is left. */
static void
test_taken (void **state)
{
  struct stat before, after;

  (void) state;
  interfere = NULL;
  check_made (RUN_DIR "/c");
  assert_return_code (stat (RUN_DIR "/c", &before), errno);
  assert_false (make_directory (RUN_DIR "/c"));
  assert_int_equal (errno, EEXIST);
  assert_return_code (stat (RUN_DIR "/c", &after), errno);
  assert_int_equal (before.st_ino, after.st_ino);
  assert_false (is_locked (RUN_DIR "/c"));

  remove_directory (RUN_DIR "/a");
  remove_directory (RUN_DIR "/b");
  for_each_directory (count);
  assert_int_equal (directories, 1);
  remove_directory (RUN_DIR "/c");
  /* Not even a hidden one. */
  assert_return_code (rmdir (RUN_DIR), errno);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_detached),
      cmocka_unit_test (test_locked),
      cmocka_unit_test (test_taken),
  };

  return RUN_TESTS_IN_DIRECTORY (tests);
}
