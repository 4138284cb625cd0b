/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Changes of settings, as nullblkctl writes them: what is written where there
 * is room for more than the lines and where there is not, and that nothing is
 * written to an export that has no size, or is no text of settings.  In the
 * place of libnbd there is an export here.
 */

#include <config.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#include "ctl/dotconfig.h"
#include "unit.h"

#define SIZE 512

/* The export. */
struct nbd_handle {
  int64_t size;     /* as libnbd says it; -1: it fails */
  int64_t block;    /* which requests are to be whole blocks of; 0: none */
  const char *text; /* what is read */
  bool read_only;
  bool shows_tags; /* does it read as a server that has done the change? */
  unsigned writes;
  char written[SIZE + 1];
  size_t len; /* of what was written */
};

static const char settings[] = "# live: lanes\nlanes=1\n";
static const char line[] = "lanes=2\n";

const char *
nbd_get_error (void)
{
  return "this export has no size";
}

int64_t
nbd_get_size (struct nbd_handle *h)
{
  return h->size;
}

int64_t
nbd_get_block_size (struct nbd_handle *h, int kind)
{
  return kind == LIBNBD_SIZE_MINIMUM ? h->block : 0;
}

int
nbd_is_read_only (struct nbd_handle *h)
{
  return h->read_only;
}

int
nbd_pwrite (struct nbd_handle *h, const void *buf, size_t count,
            uint64_t offset, uint32_t flags)
{
  assert_int_equal (offset, 0);
  assert_int_equal (flags, 0);
  assert_true (h->size >= 0 && count <= (uint64_t) h->size && count <= SIZE);
  h->writes++;
  memcpy (h->written, buf, count);
  h->written[count] = '\0';
  h->len = count;
  return 0;
}

char *
server_read (struct nbd_handle *h, struct message *why)
{
  static const char ask[] = "# ask: ";
  const char *tag = h->written + sizeof ask - 1;
  char *text = malloc (2 * SIZE);

  (void) why;
  assert_non_null (text);
  if (h->shows_tags && strncmp (h->written, ask, sizeof ask - 1) == 0)
    snprintf (text, 2 * SIZE, "# live: lanes\n# done: %.*s\nlanes=2\n",
              (int) strcspn (tag, "\n"), tag);
  else
    snprintf (text, 2 * SIZE, "%s", h->text);
  return text;
}

/* No test needs a connection of its own. */
struct nbd_handle *
server_open (const struct server_address *s, const char *ending,
             struct message *why)
{
  (void) s;
  (void) ending;
  (void) why;
  return NULL;
}

void
server_close (struct nbd_handle *h)
{
  (void) h;
}

/*---------------------------------------------------------------------*/

static struct message why;

static struct nbd_handle
export_of (int64_t size, const char *text)
{
  return (struct nbd_handle){.size = size, .text = text};
}

static void
test_no_size (void **state)
{
  struct nbd_handle h = export_of (-1, settings);

  (void) state;
  assert_false (config_change (&h, line, &why));
  assert_string_equal (why.text, nbd_get_error ());
  assert_int_equal (h.writes, 0);
}

static void
test_none_of_ours (void **state)
{
  struct nbd_handle h = export_of (SIZE, "somebody's data\n");

  (void) state;
  assert_false (config_change (&h, line, &why));
  assert_non_null (strstr (why.text, "these are no settings of nullblk's"));
  assert_int_equal (h.writes, 0);
}

static void
test_read_only (void **state)
{
  struct nbd_handle h = export_of (SIZE, settings);

  (void) state;
  h.read_only = true;
  assert_false (config_change (&h, line, &why));
  assert_non_null (strstr (why.text, "lets nobody write to the settings"));
  assert_int_equal (h.writes, 0);
}

/* A tag, the lines, and newlines to the end of a block. */
static void
test_whole_block (void **state)
{
  struct nbd_handle h = export_of (SIZE, settings);
  const char *lines;

  (void) state;
  h.block = 128;
  h.shows_tags = true;
  assert_true (config_change (&h, line, &why));
  assert_int_equal (h.writes, 1);
  assert_int_equal (h.len, 128);
  lines = strchr (h.written, '\n') + 1;
  assert_memory_equal (h.written, "# ask: ", 7);
  assert_memory_equal (lines, line, strlen (line));
  lines += strlen (line);
  assert_int_equal (strspn (lines, "\n"), h.written + h.len - lines);
}

/* The server shows other tags, but not this one. */
static void
test_has_not_got_it (void **state)
{
  struct nbd_handle h =
      export_of (SIZE, "# live: lanes\n# done: 1-2-3\nlanes=1\n");

  (void) state;
  assert_false (config_change (&h, line, &why));
  assert_non_null (strstr (why.text, "the server has not got it"));
  assert_int_equal (h.writes, 1);
}

/* Where the lines fill the export there is no tag, and one byte less is no room
 * for them.
 */
static void
test_just_room (void **state)
{
  struct nbd_handle h = export_of (sizeof line - 1, settings);

  (void) state;
  assert_true (config_change (&h, line, &why));
  assert_int_equal (h.len, sizeof line - 1);
  assert_string_equal (h.written, line);

  h = export_of (sizeof line - 2, settings);
  assert_false (config_change (&h, line, &why));
  assert_string_equal (why.text, "8 bytes: allowed are 7 at once");
  assert_int_equal (h.writes, 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_no_size),
      cmocka_unit_test (test_none_of_ours),
      cmocka_unit_test (test_read_only),
      cmocka_unit_test (test_whole_block),
      cmocka_unit_test (test_has_not_got_it),
      cmocka_unit_test (test_just_room),
  };

  return RUN_TESTS (tests);
}
