/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * URIs taken apart, and what is none refused with a message.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "unit.h"
#include "uri.h"

static struct uri uri;
static struct message why;

static void
parse (const char *text)
{
  if (uri_parse (&uri, text, &why) != 0)
    fail_msg ("%s", why.text);
}

static void
test_tcp (void **state)
{
  (void) state;
  parse ("nbd://server");
  assert_string_equal (uri.host, "server");
  assert_string_equal (uri.port, "10809");
  assert_string_equal (uri.export_name, "");
  assert_string_equal (uri.socket, "");
  assert_false (uri.tls);

  parse ("nbd://10.0.0.1:2000/nullb0");
  assert_string_equal (uri.host, "10.0.0.1");
  assert_string_equal (uri.port, "2000");
  assert_string_equal (uri.export_name, "nullb0");

  parse ("nbd://[::1]:2000/");
  assert_string_equal (uri.host, "::1");
  assert_string_equal (uri.port, "2000");
  parse ("nbd://[fe80::1%25eth0]");
  assert_string_equal (uri.host, "fe80::1%eth0");
  assert_string_equal (uri.port, "10809");
}

static void
test_tls (void **state)
{
  (void) state;
  parse ("nbds://alice@server/x?tls-certificates=/etc/pki");
  assert_true (uri.tls);
  assert_string_equal (uri.host, "server");
  assert_string_equal (uri.export_name, "x");
  assert_string_equal (uri.tls_certificates, "/etc/pki");
}

static void
test_unix (void **state)
{
  (void) state;
  parse ("nbd+unix:///?socket=/tmp/a%20b");
  assert_string_equal (uri.socket, "/tmp/a b");
  assert_string_equal (uri.host, "");
  assert_string_equal (uri.export_name, "");

  parse ("nbd+unix:///a/b%2fc?tls-certificates=x&socket=/s");
  assert_string_equal (uri.export_name, "a/b/c");
  assert_string_equal (uri.socket, "/s");
  assert_string_equal (uri.tls_certificates, "x");
}

static void
test_none (void **state)
{
  static const char *const wrong[] = {
      "8G",
      "http://server/",
      "nbd:server:10809",
      "nbd://",
      "nbd:///x",
      "nbd://:10809/",
      "nbd://server:/",
      "nbd://server:http/",
      "nbd://server:123456789012345678",
      "nbd://[::1",
      "nbd://[::1]x",
      "nbd://server/%zz",
      "nbd://server/%0",
      "nbd://server/%00",
      "nbd://server/x?socket=/s",
      "nbd+unix:///x",
      "nbd+unix:///x?socket=",
      "nbd+unix://x",
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    why.text[0] = '\0';
    if (uri_parse (&uri, wrong[i], &why) != -EINVAL)
      fail_msg ("%s was taken", wrong[i]);
    assert_int_equal (strncmp (why.text, wrong[i], strlen (wrong[i])), 0);
    assert_non_null (strstr (why.text, "a URI "));
  }
}

/* Nothing is written past the end of what is too long. */
static void
test_long (void **state)
{
  static char text[8192];

  (void) state;
  memset (text, 'a', sizeof text - 1);
  memcpy (text, "nbd://", 6);
  assert_int_equal (uri_parse (&uri, text, &why), -EINVAL);
  memcpy (text, "nbd://h/", 8);
  assert_int_equal (uri_parse (&uri, text, &why), -EINVAL);
  text[8 + 4096] = '\0';
  parse (text);
  assert_int_equal (strlen (uri.export_name), 4096);
}

static void
test_is_one (void **state)
{
  (void) state;
  assert_true (uri_is_one ("nbd://x"));
  assert_true (uri_is_one ("nbds+unix:///?socket=s"));
  assert_false (uri_is_one ("size=8G"));
  assert_false (uri_is_one ("nbd"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_tcp),  cmocka_unit_test (test_tls),
      cmocka_unit_test (test_unix), cmocka_unit_test (test_none),
      cmocka_unit_test (test_long), cmocka_unit_test (test_is_one),
  };

  return RUN_TESTS (tests);
}
