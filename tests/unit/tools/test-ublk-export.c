/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What nullblk-ublk makes of a server that does not answer, has other exports,
 * or is several servers.  The server is here: instead of libnbd there are
 * functions that answer for it.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ublk/link.h"
#include "ublk/export.h"
#include "unit.h"

#define SIZE UINT64_C (65536)
#define NR_ZONES 4
#define GONE 9 /* the server that has hung up at once */

enum { DATA, TABLE, CONFIG, NR_EXPORTS };

struct nbd_handle {
  unsigned export;
  unsigned server;
};

/* What the server is like; each test changes some of it. */
static struct {
  struct zone_descriptor table[NR_ZONES];
  const char *config;
  bool is_missing[NR_EXPORTS], is_silent[NR_EXPORTS];
  bool cannot_be_read[NR_EXPORTS], is_read_only[NR_EXPORTS];
  uint64_t size[NR_EXPORTS];
  bool can_trim;
  int64_t largest;
  unsigned server; /* which of several answers */
} server;

static unsigned connected;

struct nbd_handle *
connection_open (const char *uri, const char *ending, unsigned seconds,
                 bool *missing, struct message *why)
{
  const unsigned e = ending == NULL                   ? DATA
                     : strcmp (ending, ".zones") == 0 ? TABLE
                                                      : CONFIG;
  struct nbd_handle *h;

  (void) seconds;
  *missing = server.is_missing[e];
  if (server.is_missing[e] || server.is_silent[e]) {
    message_set (why, "%s: no connection", uri);
    return NULL;
  }
  h = malloc (sizeof *h);
  assert_non_null (h);
  h->export = e;
  h->server = server.server;
  connected++;
  return h;
}

void
connection_close (struct nbd_handle *h)
{
  connected -= h != NULL;
  free (h);
}

uint64_t
connection_peer (struct nbd_handle *h)
{
  return h->server == GONE ? 0 : 1 + h->server;
}

const char *
nbd_get_error (void)
{
  return "the server's error";
}

int
connection_read (struct nbd_handle *h, void *buf, size_t n, uint64_t at,
                 unsigned seconds, struct message *error)
{
  (void) seconds;
  if (server.cannot_be_read[h->export]) {
    message_set (error, "%s", nbd_get_error ());
    return -EIO;
  }
  if (h->export == TABLE)
    memcpy (buf, (const char *) server.table + at, n);
  else
    memcpy (buf, server.config + at, n);
  return 0;
}

int64_t
nbd_get_size (struct nbd_handle *h)
{
  return server.size[h->export];
}

int64_t
nbd_get_block_size (struct nbd_handle *h, int which)
{
  (void) h;
  return which == LIBNBD_SIZE_MAXIMUM ? server.largest : 0;
}

int
nbd_is_read_only (struct nbd_handle *h)
{
  return server.is_read_only[h->export];
}

int
nbd_can_trim (struct nbd_handle *h)
{
  (void) h;
  return server.can_trim;
}

static int
yes (struct nbd_handle *h)
{
  (void) h;
  return 1;
}

int nbd_can_flush (struct nbd_handle *h) __attribute__ ((alias ("yes")));
int nbd_can_fua (struct nbd_handle *h) __attribute__ ((alias ("yes")));
int nbd_can_zero (struct nbd_handle *h) __attribute__ ((alias ("yes")));
int nbd_can_multi_conn (struct nbd_handle *h) __attribute__ ((alias ("yes")));

/*---------------------------------------------------------------------*/

static struct export export;
static struct queue_connections more;
static struct message why;

static int
set_up (void **state)
{
  unsigned i;

  (void) state;
  memset (&server, 0, sizeof server);
  for (i = 0; i < NR_ZONES; i++)
    server.table[i] = (struct zone_descriptor){
        .start = htole64 (i * SIZE / NR_ZONES / 512),
        .len = htole64 (SIZE / NR_ZONES / 512),
        .type = ZONE_TYPE_SEQUENTIAL,
        .cond = ZONE_COND_EMPTY,
    };
  server.config = "zone-max-open=3\nzone-reorder-wait=20ms\n";
  server.size[DATA] = SIZE;
  server.size[TABLE] = sizeof server.table;
  server.size[CONFIG] = strlen (server.config);
  server.can_trim = true;
  server.largest = 1 << 20;
  connected = 0;
  return 0;
}

static void
opens (enum zones_wanted zones, bool zoned)
{
  if (export_open (&export, "nbd://x", zones, &why) < 0)
    fail_msg ("%s", why.text);
  assert_int_equal (export.plan_export.table != NULL, zoned);
  assert_int_equal (connected, zoned ? 3 : 1);
  assert_int_equal (export.plan_export.size, SIZE);
}

static void
closes (void)
{
  export_disconnect (&export.first);
  export_close (&export);
  assert_int_equal (connected, 0);
}

/* With these words in the reason, and with nothing left. */
static void
refuses (enum zones_wanted zones, const char *words)
{
  assert_int_equal (export_open (&export, "nbd://x", zones, &why), -EIO);
  if (strstr (why.text, words) == NULL || strstr (why.text, "nbd://x") == NULL)
    fail_msg ("\"%s\" has no \"%s\"", why.text, words);
  assert_int_equal (connected, 0);
}

static void
test_zoned (void **state)
{
  (void) state;
  opens (WANT_ZONES_AUTO, true);
  assert_int_equal (export.plan_export.nr_zones, NR_ZONES);
  assert_int_equal (export.plan_export.max_open, 3);
  assert_int_equal (export.plan_export.max_active, 0);
  assert_false (export.plan_export.commands_refused);
  assert_true (export.holds_early_writes);
  closes ();
  opens (WANT_ZONES_NO, false);
  closes ();
}

/* Without a zone table the device has no zones, unless it is to have some. */
static void
test_unzoned (void **state)
{
  (void) state;
  server.is_missing[TABLE] = true;
  opens (WANT_ZONES_AUTO, false);
  closes ();
  refuses (WANT_ZONES_YES, "no connection");
  server.is_missing[TABLE] = false;

  server.size[TABLE] = 100;
  opens (WANT_ZONES_AUTO, false);
  closes ();
  server.size[TABLE] = 0;
  opens (WANT_ZONES_AUTO, false);
  closes ();
  refuses (WANT_ZONES_YES, "no zone table");

  /* Some have the same data under each name, also much of it. */
  server.table[0].len = 0;
  server.size[TABLE] = UINT64_C (1) << 40;
  opens (WANT_ZONES_AUTO, false);
  closes ();
  refuses (WANT_ZONES_YES, "no zone table");
}

/* What cannot be known is no reason to go on without zones. */
static void
test_errors (void **state)
{
  (void) state;
  server.cannot_be_read[TABLE] = true;
  refuses (WANT_ZONES_AUTO, "the server's error");
  refuses (WANT_ZONES_YES, "the server's error");
  server.cannot_be_read[TABLE] = false;
  server.cannot_be_read[CONFIG] = true;
  refuses (WANT_ZONES_AUTO, "the server's error");
  server.cannot_be_read[CONFIG] = false;
  server.is_silent[TABLE] = true;
  refuses (WANT_ZONES_AUTO, "no connection");
  server.is_silent[TABLE] = false;
  server.is_missing[CONFIG] = true;
  refuses (WANT_ZONES_AUTO, "no connection");
  server.is_missing[CONFIG] = false;
  opens (WANT_ZONES_AUTO, true);
  closes ();
}

static void
test_read_only (void **state)
{
  (void) state;
  server.is_read_only[CONFIG] = true;
  opens (WANT_ZONES_AUTO, true);
  assert_true (export.plan_export.commands_refused);
  closes ();
  server.is_read_only[CONFIG] = false;
  server.is_read_only[TABLE] = true;
  opens (WANT_ZONES_AUTO, true);
  assert_true (export.plan_export.commands_refused);
  closes ();
}

/* A queue's connections are to what the first ones are to. */
static void
connects (void)
{
  if (export_connect (&export, &more, &why) < 0)
    fail_msg ("%s", why.text);
  assert_int_equal (connected, 6);
  export_disconnect (&more);
}

static void
does_not_connect (const char *words)
{
  assert_int_equal (export_connect (&export, &more, &why), -EIO);
  if (strstr (why.text, words) == NULL)
    fail_msg ("\"%s\" has no \"%s\"", why.text, words);
  assert_int_equal (connected, 3);
}

static void
test_different (void **state)
{
  (void) state;
  opens (WANT_ZONES_AUTO, true);
  connects ();
  server.size[DATA]++;
  does_not_connect ("different exports");
  server.size[DATA]--;
  server.is_read_only[DATA] = true;
  does_not_connect ("different exports");
  server.is_read_only[DATA] = false;
  server.can_trim = false;
  does_not_connect ("different exports");
  server.can_trim = true;
  server.largest *= 2;
  does_not_connect ("different exports");
  server.largest /= 2;
  server.size[TABLE] /= 2;
  does_not_connect ("different exports");
  server.size[TABLE] *= 2;
  connects ();
  /* All of it is the same, and still it is another server. */
  server.server = 1;
  does_not_connect ("different servers");
  server.server = GONE;
  does_not_connect ("has closed a connection at once");
  closes ();
}

#define TEST(f) cmocka_unit_test_setup (f, set_up)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_zoned),     TEST (test_unzoned),   TEST (test_errors),
      TEST (test_read_only), TEST (test_different),
  };

  return RUN_TESTS (tests);
}
