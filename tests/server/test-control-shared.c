/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Under a filter that opens an export once for several clients (sharing.c), a
 * client may use a control export if it may by itself, whoever has opened it;
 * and why a change was refused is told to the client who asked for it.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"

/* No user has to exist for that. */
#define SOMEBODY 65533

static char text[4097];
static struct nbd_handle *root, *other;

/* Two clients of an export: root, who has opened it, and somebody else. */
static void
serve_two (const char *control, const char *export)
{
  const char *build = getenv ("top_builddir");
  char filter[2048], socket[128];

  if (geteuid () != 0)
    skip ();
  assert_non_null (build);
  snprintf (filter, sizeof filter, "--filter=%s/tests/server/.libs/sharing.so",
            build);
  serve (filter, "64M", "zoned=true", "zone-size=1M", control);
  snprintf (socket, sizeof socket, "%s", server_socket ());
  assert_int_equal (chmod (socket, 0666), 0);
  *strrchr (socket, '/') = '\0';
  assert_int_equal (chmod (socket, 0711), 0);

  root = connect_to (export);
  assert_int_equal (seteuid (SOMEBODY), 0);
  other = connect_to (export);
  assert_int_equal (seteuid (0), 0);
}

static const char *
read_from (struct nbd_handle *h)
{
  assert_done (nbd_pread (h, text, sizeof text - 1, 0, 0));
  return text;
}

static int
change (struct nbd_handle *h, const char *lines)
{
  return nbd_pwrite (h, lines, strlen (lines), 0, 0);
}

static void
local_only (void **state)
{
  (void) state;
  serve_two ("control=local", "nullb0.config");
  assert_refused (EPERM, nbd_pread (other, text, 512, 0, 0));
  assert_refused (EPERM, change (other, "read-latency=1ms\n"));
  assert_non_null (strstr (read_from (root), "\nread-latency=default\n"));
  assert_done (change (root, "read-latency=2ms\n"));
  assert_refused (EPERM, nbd_pread (other, text, 512, 512, 0));
  assert_non_null (strstr (read_from (root), "\nread-latency=2ms\n"));
}

static void
local_zones_only (void **state)
{
  const char finish[64] = {[25] = 14};
  char zone[64];

  (void) state;
  serve_two ("control=local", "nullb0.zones");
  assert_refused (EPERM, nbd_pread (other, zone, 64, 0, 0));
  assert_refused (EPERM, nbd_pwrite (other, finish, 64, 0, 0));
  assert_done (nbd_pread (root, zone, 64, 0, 0));
  assert_int_equal (zone[25], 1);
  assert_done (nbd_pwrite (root, finish, 64, 0, 0));
  assert_done (nbd_pread (root, zone, 64, 0, 0));
  assert_int_equal (zone[25], 14);
}

/* Data is for all. */
static void
data_for_all (void **state)
{
  (void) state;
  serve_two ("control=local", "nullb0");
  assert_done (nbd_pread (other, text, 512, 0, 0));
  assert_done (nbd_pwrite (other, text, 512, 0, 0));
}

static void
reasons_for_who_asked (void **state)
{
  (void) state;
  serve_two ("control=any", "nullb0.config");
  assert_refused (EINVAL, change (root, "lanes=no\n"));
  assert_memory_equal (read_from (other), "# live: ", 8);
  assert_memory_equal (read_from (root), "# error: lanes=no: ", 19);
  /* Nor is another client told in the middle of what root reads. */
  assert_done (nbd_pread (other, text, 1, 1, 0));
  assert_done (nbd_pread (other, text, 6, 2, 0));
  assert_memory_equal (text, "live: ", 6);

  /* What somebody else gets done is no answer to root. */
  assert_done (change (other, "lanes=2\n"));
  assert_memory_equal (read_from (root), "# error: lanes=no: ", 19);
  assert_refused (EINVAL, change (other, "lanes=never\n"));
  assert_memory_equal (read_from (other), "# error: lanes=never: ", 22);
  assert_memory_equal (read_from (root), "# live: ", 8);
}

static const struct CMUnitTest tests[] = {
    CASE (local_only),
    CASE (local_zones_only),
    CASE (data_for_all),
    CASE (reasons_for_who_asked),
};

MAIN (tests)
