/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Texts of models: lines, and which settings they may have.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings/settings.h"
#include "unit.h"

static char seen[256];
static struct message why;

static int
note (void *opaque, const char *name, const char *value, struct message *wrong)
{
  const size_t used = strlen (seen);

  assert_ptr_equal (opaque, seen);
  if (strcmp (name, "bad") == 0) {
    message_set (wrong, "bad=%s: allowed is none", value);
    return -EINVAL;
  }
  snprintf (seen + used, sizeof seen - used, "[%s|%s]", name, value);
  return 0;
}

static int
parse (const char *text)
{
  seen[0] = '\0';
  return modelfile_parse (text, note, seen, &why);
}

static void
test_lines (void **state)
{
  (void) state;
  assert_int_equal (parse (""), 0);
  assert_string_equal (seen, "");
  assert_int_equal (parse ("# a=b\n\n  lanes=1 \r\n\ta=b=c\n#\nx= y"), 0);
  assert_string_equal (seen, "[lanes|1][a|b=c][x| y]");
  assert_int_equal (parse ("a=\n"), 0);
  assert_string_equal (seen, "[a|]");
}

static void
test_wrong_lines (void **state)
{
  (void) state;
  assert_int_equal (parse ("a=1\n\nlanes\nb=2\n"), -EINVAL);
  assert_string_equal (why.text, "line 3: allowed are lines of NAME=VALUE");
  assert_string_equal (seen, "[a|1]");
  assert_int_equal (parse ("#\nbad=7\nb=2\n"), -EINVAL);
  assert_string_equal (why.text, "line 2: bad=7: allowed is none");
  assert_string_equal (seen, "");
}

static void
test_files (void **state)
{
  char path[] = "/tmp/nullblk-model-XXXXXX", *text;
  int fd = mkstemp (path);

  (void) state;
  assert_true (fd >= 0);
  assert_int_equal (write (fd, "lanes=1\n", 8), 8);
  assert_int_equal (modelfile_read (path, &text, &why), 0);
  assert_string_equal (text, "lanes=1\n");
  free (text);

  assert_int_equal (write (fd, "\0a=b\n", 5), 5);
  assert_int_equal (modelfile_read (path, &text, &why), -EINVAL);
  assert_string_equal (why.text,
                       "it is no text: allowed are lines of NAME=VALUE");

  assert_int_equal (ftruncate (fd, MAX_MODEL_FILE + 1), 0);
  assert_int_equal (modelfile_read (path, &text, &why), -EINVAL);
  assert_string_equal (why.text, "it is not a file of at most 1 MiB");

  assert_int_equal (unlink (path), 0);
  assert_int_equal (modelfile_read (path, &text, &why), -EINVAL);
  assert_string_equal (why.text, "No such file or directory");

  assert_int_equal (mkfifo (path, 0600), 0);
  assert_int_equal (modelfile_read (path, &text, &why), -EINVAL);
  assert_string_equal (why.text, "it is not a file of at most 1 MiB");
  assert_int_equal (unlink (path), 0);
  close (fd);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_lines),
      cmocka_unit_test (test_wrong_lines),
      cmocka_unit_test (test_files),
  };

  return RUN_TESTS (tests);
}
