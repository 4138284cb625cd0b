/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What nullblk-attach tells the kernel's nbd driver: every attribute of its
 * messages, with the type and the value that linux/nbd-netlink.h wants.
 */

#include <config.h>

#include <stdbool.h>
#include <string.h>

#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "unit.h"
#include "attach/netlink.h"
#include "attach/export.h"

#define FAMILY 35

static struct nlattr *attr[NBD_ATTR_MAX + 1];

static void
take_apart (struct nl_msg *msg, int command)
{
  struct nlmsghdr *header;
  struct genlmsghdr *generic;

  assert_non_null (msg);
  header = nlmsg_hdr (msg);
  generic = nlmsg_data (header);
  assert_int_equal (header->nlmsg_type, FAMILY);
  assert_int_equal (generic->cmd, command);
  assert_int_equal (generic->version, NBD_GENL_VERSION);
  assert_return_code (genlmsg_parse (header, 0, attr, NBD_ATTR_MAX, NULL), 0);
}

static void
check_u64 (int type, uint64_t value)
{
  assert_non_null (attr[type]);
  assert_int_equal (nla_len (attr[type]), sizeof value);
  assert_int_equal (nla_get_u64 (attr[type]), value);
}

static void
check_sockets (const int *sockets, size_t count)
{
  struct nlattr *item, *fd;
  size_t i = 0;
  int left;

  assert_non_null (attr[NBD_ATTR_SOCKETS]);
  nla_for_each_nested (item, attr[NBD_ATTR_SOCKETS], left)
  {
    assert_in_range (i, 0, count - 1);
    assert_int_equal (nla_type (item), NBD_SOCK_ITEM);
    fd = nla_data (item);
    assert_int_equal (nla_type (fd), NBD_SOCK_FD);
    assert_int_equal (nla_get_u32 (fd), sockets[i++]);
  }
  assert_int_equal (i, count);
}

static unsigned
attributes (void)
{
  unsigned n = 0;
  size_t i;

  for (i = 0; i <= NBD_ATTR_MAX; i++)
    n += attr[i] != NULL;
  return n;
}

static void
test_connect (void **state)
{
  const struct netlink_device device = {
      .identifier = "nullblk-attach-0123456789abcdef",
      .size = (UINT64_C (1) << 63) - 1,
      .block_size = 65536,
      .flags = EXPORT_HAS_FLAGS | EXPORT_FLUSH | EXPORT_MULTI_CONN,
      .timeout = 86400,
      .reconnect_timeout = 60,
  };
  const int sockets[] = {7, 8, 300};
  struct nl_msg *msg;

  (void) state;
  msg = netlink_connect_message (FAMILY, &device, sockets, 3);
  take_apart (msg, NBD_CMD_CONNECT);
  check_u64 (NBD_ATTR_SIZE_BYTES, device.size);
  check_u64 (NBD_ATTR_BLOCK_SIZE_BYTES, 65536);
  check_u64 (NBD_ATTR_SERVER_FLAGS, NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH |
                                        NBD_FLAG_CAN_MULTI_CONN);
  check_u64 (NBD_ATTR_CLIENT_FLAGS, NBD_CFLAG_DESTROY_ON_DISCONNECT);
  check_u64 (NBD_ATTR_TIMEOUT, 86400);
  check_u64 (NBD_ATTR_DEAD_CONN_TIMEOUT, 60);
  assert_string_equal (nla_get_string (attr[NBD_ATTR_BACKEND_IDENTIFIER]),
                       device.identifier);
  check_sockets (sockets, 3);
  /* No index: the kernel chooses. */
  assert_null (attr[NBD_ATTR_INDEX]);
  assert_int_equal (attributes (), 8);
  nlmsg_free (msg);
}

/* As many as -C allows. */
static void
test_many_sockets (void **state)
{
  const struct netlink_device device = {.identifier = ""};
  struct nl_msg *msg;
  int sockets[128];
  size_t i;

  (void) state;
  for (i = 0; i < 128; i++)
    sockets[i] = (int) i + 3;
  msg = netlink_connect_message (FAMILY, &device, sockets, 128);
  take_apart (msg, NBD_CMD_CONNECT);
  check_sockets (sockets, 128);
  nlmsg_free (msg);
}

static void
test_reconnect (void **state)
{
  const int sockets[] = {5, 4};
  struct nl_msg *msg;

  (void) state;
  msg = netlink_reconnect_message (FAMILY, 20, "nullblk-attach-1", sockets, 2);
  take_apart (msg, NBD_CMD_RECONFIGURE);
  assert_int_equal (nla_get_u32 (attr[NBD_ATTR_INDEX]), 20);
  assert_string_equal (nla_get_string (attr[NBD_ATTR_BACKEND_IDENTIFIER]),
                       "nullblk-attach-1");
  check_sockets (sockets, 2);
  assert_int_equal (attributes (), 3);
  nlmsg_free (msg);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_connect),
      cmocka_unit_test (test_many_sockets),
      cmocka_unit_test (test_reconnect),
  };

  return RUN_TESTS (tests);
}
