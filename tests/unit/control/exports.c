/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A device with control exports; see exports.h.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "exports.h"

struct devices *devices;
struct connection *data, *config, *stats;
char text[1 << 20];
uint8_t buf[65536];

struct connection *
connect_to (const char *name)
{
  struct connection *c;

  assert_int_equal (control_connect (devices, name, true, &c), 0);
  return c;
}

void
create (const char *const *given)
{
  struct message why;

  assert_int_equal (make_devices (&devices, given, &cancels, &why), 0);
  data = connect_to ("nullb0");
  config = connect_to ("nullb0.config");
  stats = connect_to ("nullb0.stats");
}

int
setup (void **state)
{
  (void) state;
  devices = NULL;
  return 0;
}

int
teardown (void **state)
{
  (void) state;
  if (devices != NULL)
    devices_destroy (devices);
  return 0;
}

const char *
read_all (struct connection *c)
{
  const uint64_t size = control_size (c->control);
  uint64_t offset;
  size_t len;

  memset (text, 'x', sizeof text);
  for (offset = 0; offset < size; offset += 4096)
    assert_int_equal (control_read (c, text + offset, 4096, offset), 0);
  for (len = size; len > 0 && text[len - 1] == '\n';)
    len--;
  assert_true (len + 1 < size);
  text[len + 1] = '\0';
  return text;
}

void
assert_has (const char *what)
{
  if (strstr (text, what) == NULL)
    fail_msg ("no '%s' in: %s", what, text);
}

int
change (const char *lines, struct message *why)
{
  return control_write (config, lines, strlen (lines), 0, why);
}

void
assert_changed (const char *lines)
{
  struct message why;

  if (change (lines, &why) != 0)
    fail_msg ("%s: %s", lines, why.text);
  assert_null (strstr (read_all (config), "# error:"));
}

void
assert_refused (const char *lines, const char *reason)
{
  static char before[65536];
  struct message why;
  const char *after;

  read_all (config);
  strcpy (before, strstr (text, "# live:"));
  assert_int_equal (change (lines, &why), -EINVAL);
  assert_string_equal (why.text, reason);
  after = read_all (config);
  assert_memory_equal (after, "# error: ", 9);
  assert_memory_equal (after + 9, reason, strlen (reason));
  assert_int_equal (after[9 + strlen (reason)], '\n');
  assert_string_equal (after + 9 + strlen (reason) + 1, before);
}
