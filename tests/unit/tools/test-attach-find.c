/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-attach finds again what it has attached, and takes nothing of anybody
 * else's for it: by the kernel's identifier, by the device. /sys
 * and /run/nullblk are folders of this test's own.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"
#include "attach/attach-internal.h"

/* Write a line to a file whose folders may be missing. */
static void __attribute__ ((format (printf, 2, 3)))
put (const char *path, const char *fs, ...)
{
  char part[256];
  const char *slash;
  va_list args;
  FILE *fp;

  for (slash = strchr (path, '/'); slash != NULL;
       slash = strchr (slash + 1, '/')) {
    snprintf (part, sizeof part, "%.*s", (int) (slash - path), path);
    mkdir (part, 0700);
  }
  fp = fopen (path, "w");
  assert_non_null (fp);
  va_start (args, fs);
  vfprintf (fp, fs, args);
  va_end (args);
  fputc ('\n', fp);
  fclose (fp);
}

static int
remove_one (const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
  (void) st;
  (void) flag;
  (void) ftw;
  return remove (path);
}

static int
remove_all (void **state)
{
  (void) state;
  nftw ("sys", remove_one, 16, FTW_DEPTH | FTW_PHYS);
  nftw ("run", remove_one, 16, FTW_DEPTH | FTW_PHYS);
  return 0;
}

/* The kernel has a device, with an identifier unless that is NULL. */
static void
attached (const char *device, const char *identifier)
{
  char path[64];

  snprintf (path, sizeof path, "sys/block/%s/pid", device);
  put (path, "1");
  snprintf (path, sizeof path, "sys/block/%s/backend", device);
  if (identifier != NULL)
    put (path, "%s", identifier);
}

/* NULL: that file is missing. */
static void
remember (const char *name, const char *device, const char *identity,
          const char *uri)
{
  char path[64];

  snprintf (path, sizeof path, "run/%s/device", name);
  if (device != NULL)
    put (path, "%s", device);
  snprintf (path, sizeof path, "run/%s/attachment", name);
  if (identity != NULL)
    put (path, "%s", identity);
  snprintf (path, sizeof path, "run/%s/uri", name);
  if (uri != NULL)
    put (path, "%s", uri);
}

static void
check_remembered (const char *name, const char *device, bool there)
{
  char folder[64];
  struct attachment a;

  snprintf (folder, sizeof folder, "run/%s", name);
  a = remembered (folder);
  assert_string_equal (a.device, device);
  assert_int_equal (is_there (&a), there);
  assert_int_equal (is_gone (&a), !there);
}

static void
test_identifier (void **state)
{
  (void) state;
  attached ("nbd0", "nullblk-attach-1");
  attached ("nbd3", "nullblk-attach-12");
  attached ("nbd4", NULL);
  remember ("a", "nbd0", "backend nullblk-attach-1", NULL);
  check_remembered ("a", "nbd0", true);
  /* Somebody else's by now. */
  remember ("b", "nbd3", "backend nullblk-attach-1", NULL);
  check_remembered ("b", "nbd3", false);
  remember ("c", "nbd4", "backend nullblk-attach-1", NULL);
  check_remembered ("c", "nbd4", false);
  /* Nobody's, and no device at all. */
  remember ("d", "nbd5", "backend nullblk-attach-1", NULL);
  check_remembered ("d", "nbd5", false);
  remember ("e", "../nbd0", "backend nullblk-attach-0", NULL);
  check_remembered ("e", "", false);
  /* What gives identifiers has none that is empty. */
  attached ("nbd6", "");
  remember ("f", "nbd6", "backend ", NULL);
  check_remembered ("f", "nbd6", false);
}

/* nullblk-attach was killed before it knew the device. */
static void
test_killed (void **state)
{
  (void) state;
  attached ("nbd1", "nullblk-attach-123");
  attached ("nbd17", "nullblk-attach-12");
  attached ("nbd18", NULL);
  attached ("sda", "nullblk-attach-9");
  remember ("a", NULL, "backend nullblk-attach-12", NULL);
  check_remembered ("a", "nbd17", true);
  remember ("b", NULL, "backend nullblk-attach-2", NULL);
  check_remembered ("b", "", false);
  remember ("c", NULL, "backend nullblk-attach-9", NULL);
  check_remembered ("c", "", false);
  remember ("d", NULL, "pid 1 1", NULL);
  check_remembered ("d", "", false);
  remember ("e", NULL, NULL, "nbd://h");
  check_remembered ("e", "", false);
}

static void
check_name (const char *name, const char *expected)
{
  if (expected == NULL)
    assert_null (name);
  else {
    assert_non_null (name);
    assert_string_equal (name, expected);
  }
}

/* What is there goes before what a crash has left. */
static void
test_device (void **state)
{
  (void) state;
  attached ("nbd1", "nullblk-attach-1");
  remember ("a", "nbd1", "backend nullblk-attach-0", NULL);
  check_name (name_of_device ("nbd1"), "a");
  remember ("b", "nbd1", "backend nullblk-attach-1", NULL);
  check_name (name_of_device ("nbd1"), "b");
  remember ("c", "nbd1", "backend nullblk-attach-2", NULL);
  check_name (name_of_device ("nbd1"), "b");
  check_name (name_of_device ("nbd0"), NULL);
  check_name (name_of_device (""), NULL);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown (test_identifier, remove_all),
      cmocka_unit_test_teardown (test_killed, remove_all),
      cmocka_unit_test_teardown (test_device, remove_all),
  };
  char folder[] = "/tmp/nullblk-test-XXXXXX";
  int r;

  if (mkdtemp (folder) == NULL || chdir (folder) == -1)
    return EXIT_FAILURE;
  r = RUN_TESTS (tests);
  if (chdir ("/") == -1 || rmdir (folder) == -1)
    r = 1;
  return r;
}
