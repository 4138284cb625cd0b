/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests and replies as bytes, and the table of what has been sent.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "nbdwire.h"
#include "unit.h"

static void
test_request (void **state)
{
  static const uint8_t bytes[NBD_REQUEST_SIZE] = {
      0x25, 0x60, 0x95, 0x13, 0, 3, 0, 6, 1, 2, 3,    4,    5,    6,
      7,    8,    0,    0,    0, 1, 0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78};
  uint8_t p[NBD_REQUEST_SIZE];

  (void) state;
  nbd_put_request (
      p, NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE,
      UINT64_C (0x0102030405060708), UINT64_C (1) << 32, 0x12345678);
  assert_memory_equal (p, bytes, sizeof bytes);
}

static void
test_reply (void **state)
{
  static const struct {
    unsigned number;
    int err;
  } errors[] = {{0, 0},           {1, -EPERM},       {5, -EIO},
                {12, -ENOMEM},    {22, -EINVAL},     {28, -ENOSPC},
                {75, -EOVERFLOW}, {95, -EOPNOTSUPP}, {108, -ESHUTDOWN},
                {2, -EIO}};
  uint8_t p[NBD_REPLY_SIZE] = {0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0,
                               1,    2,    3,    4,    5, 6, 7, 8};
  uint64_t cookie;
  size_t i;
  int err;

  (void) state;
  for (i = 0; i < sizeof errors / sizeof errors[0]; i++) {
    p[7] = errors[i].number;
    assert_true (nbd_take_reply (p, &cookie, &err));
    assert_int_equal (err, errors[i].err);
    assert_true (cookie == UINT64_C (0x0102030405060708));
  }
  p[4] = 1; /* more than any error of NBD's */
  assert_true (nbd_take_reply (p, &cookie, &err));
  assert_int_equal (err, -EIO);
  p[0] = 0x66;
  assert_false (nbd_take_reply (p, &cookie, &err));
}

static void
test_sent (void **state)
{
  struct sent_table t = {.size = 0};
  char things[100];
  uint64_t cookie[100], again;
  unsigned i, n;

  (void) state;
  assert_null (sent_find (&t, 0));
  assert_null (sent_take_any (&t));
  for (i = 0; i < 100; i++)
    assert_true (sent_add (&t, &things[i], &cookie[i]));
  for (i = 0; i < 100; i++)
    assert_ptr_equal (sent_find (&t, cookie[i]), &things[i]);
  assert_null (sent_find (&t, UINT64_MAX));
  assert_null (sent_find (&t, cookie[5] + (UINT64_C (1) << 32)));

  /* A cookie is good for once. */
  sent_remove (&t, cookie[5]);
  assert_null (sent_find (&t, cookie[5]));
  assert_true (sent_add (&t, &things[5], &again));
  assert_true (again != cookie[5]);
  assert_null (sent_find (&t, cookie[5]));
  assert_ptr_equal (sent_find (&t, again), &things[5]);

  for (n = 0; sent_take_any (&t) != NULL; n++)
    ;
  assert_int_equal (n, 100);
  assert_null (sent_find (&t, again));
  sent_destroy (&t);
  assert_null (sent_find (&t, again));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_request),
      cmocka_unit_test (test_reply),
      cmocka_unit_test (test_sent),
  };

  return RUN_TESTS (tests);
}
