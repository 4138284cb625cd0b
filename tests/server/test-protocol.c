/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What libnbd does not send: requests that are too long or that do not
 * exist, and a client that hangs up in the middle of one.  So this speaks
 * NBD by hand: the fixed newstyle handshake with NBD_OPT_EXPORT_NAME, and
 * simple replies.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"

/* From the NBD protocol. */
#define CLIENT_FIXED_NEWSTYLE_NO_ZEROES 3
#define OPTION_MAGIC UINT64_C (0x49484156454f5054) /* IHAVEOPT */
#define OPT_EXPORT_NAME 1
#define REQUEST_MAGIC 0x25609513
#define REPLY_MAGIC 0x67446698
enum { CMD_READ = 0, CMD_WRITE = 1, CMD_FLUSH = 3, CMD_TRIM = 4 };
enum { NBD_ENOMEM = 12, NBD_EINVAL = 22 };

struct __attribute__ ((packed)) greeting {
  char magic[8]; /* NBDMAGIC */
  uint64_t option_magic;
  uint16_t flags;
};

struct __attribute__ ((packed)) option {
  uint32_t client_flags;
  uint64_t magic;
  uint32_t option;
  uint32_t len;
};

struct __attribute__ ((packed)) export_info {
  uint64_t size;
  uint16_t flags;
};

struct __attribute__ ((packed)) request {
  uint32_t magic;
  uint16_t flags;
  uint16_t type;
  uint64_t cookie;
  uint64_t offset;
  uint32_t count;
};

struct __attribute__ ((packed)) reply {
  uint32_t magic;
  uint32_t error;
  uint64_t cookie;
};

static unsigned char data[64 * KIB], other[64 * KIB];

static int fd = -1; /* the connection */

static void
hang_up (void)
{
  if (fd != -1)
    close (fd);
  fd = -1;
}

static int
end_case (void **state)
{
  hang_up ();
  return stop_server (state);
}

static void
send_all (const void *buf, size_t len)
{
  const char *p = buf;
  ssize_t n;

  for (; len > 0; p += n, len -= n) {
    n = send (fd, p, len, MSG_NOSIGNAL);
    assert_true (n > 0);
  }
}

static void
receive_all (void *buf, size_t len)
{
  char *p = buf;
  ssize_t n;

  for (; len > 0; p += n, len -= n) {
    n = recv (fd, p, len, 0);
    assert_true (n > 0);
  }
}

static void
connect_by_hand (void)
{
  const struct option option = {
      .client_flags = htobe32 (CLIENT_FIXED_NEWSTYLE_NO_ZEROES),
      .magic = htobe64 (OPTION_MAGIC),
      .option = htobe32 (OPT_EXPORT_NAME),
  };
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct export_info info;
  struct greeting greeting;

  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_not_equal (fd, -1);
  strncpy (address.sun_path, server_socket (), sizeof address.sun_path - 1);
  assert_int_equal (
      connect (fd, (const struct sockaddr *) &address, sizeof address), 0);
  receive_all (&greeting, sizeof greeting);
  assert_int_equal (be64toh (greeting.option_magic), OPTION_MAGIC);
  send_all (&option, sizeof option);
  receive_all (&info, sizeof info);
  assert_int_equal (be64toh (info.size), GIB);
}

static void
send_request (uint16_t type, uint16_t flags, uint32_t count, uint64_t offset)
{
  const struct request request = {
      .magic = htobe32 (REQUEST_MAGIC),
      .flags = htobe16 (flags),
      .type = htobe16 (type),
      .cookie = 1234,
      .offset = htobe64 (offset),
      .count = htobe32 (count),
  };

  send_all (&request, sizeof request);
}

static uint32_t
receive_error (void)
{
  struct reply reply;

  receive_all (&reply, sizeof reply);
  assert_int_equal (be32toh (reply.magic), REPLY_MAGIC);
  assert_int_equal (reply.cookie, 1234);
  return be32toh (reply.error);
}

/* The connection still works, and nothing has changed. */
static void
assert_all_is_well (void)
{
  send_request (CMD_READ, 0, sizeof data, 4096);
  assert_int_equal (receive_error (), 0);
  receive_all (other, sizeof other);
  assert_memory_equal (other, data, sizeof data);
}

/* A server with data at 4096, and a connection by hand. */
static void
begin (const char *name)
{
  uint64_t seed = new_seed (name);

  serve ("1G", "memory-backed=true");
  fill_random (data, sizeof data, &seed);
  connect_by_hand ();
  send_request (CMD_WRITE, 0, sizeof data, 4096);
  send_all (data, sizeof data);
  assert_int_equal (receive_error (), 0);
  assert_all_is_well ();
}

/* nbdkit takes reads and writes of up to 64 MiB and answers longer ones with
 * ENOMEM, without asking the plugin.
 */
static void
too_long_to_read (void **state)
{
  (void) state;
  begin ("too_long_to_read");
  send_request (CMD_READ, 0, 64 * MIB + 512, 0);
  assert_int_equal (receive_error (), NBD_ENOMEM);
  send_request (CMD_READ, 0, GIB, 0);
  assert_int_equal (receive_error (), NBD_ENOMEM);
  assert_all_is_well ();
}

static void
too_long_to_write (void **state)
{
  const uint32_t count = 64 * MIB + 512;
  uint32_t sent, n;

  (void) state;
  begin ("too_long_to_write");
  memset (other, 0x55, sizeof other);
  send_request (CMD_WRITE, 0, count, 0);
  for (sent = 0; sent < count; sent += n) {
    n = count - sent < sizeof other ? count - sent : sizeof other;
    send_all (other, n);
  }
  assert_int_equal (receive_error (), NBD_ENOMEM);
  assert_all_is_well ();
}

static void
no_such_request (void **state)
{
  (void) state;
  begin ("no_such_request");
  send_request (99, 0, 4096, 4096);
  assert_int_equal (receive_error (), NBD_EINVAL);
  send_request (CMD_TRIM, 1 << 15, 4096, 4096);
  assert_int_equal (receive_error (), NBD_EINVAL);
  send_request (CMD_FLUSH, 0, 4096, 4096); /* neither is meant here */
  assert_int_equal (receive_error (), NBD_EINVAL);
  assert_all_is_well ();
}

/* A write of which only a part has come changes nothing. */
static void
hang_up_in_a_write (void **state)
{
  int i;

  (void) state;
  begin ("hang_up_in_a_write");
  memset (other, 0x55, sizeof other);
  for (i = 0; i < 20; i++) {
    send_request (CMD_WRITE, 0, sizeof other, 4096);
    send_all (other, i * 3000);
    hang_up ();
    connect_by_hand ();
    assert_all_is_well ();
  }
}

/* CASE would leave the connection open. */
#define BY_HAND(f) cmocka_unit_test_teardown (f, end_case)

static const struct CMUnitTest tests[] = {
    BY_HAND (too_long_to_read),
    BY_HAND (too_long_to_write),
    BY_HAND (no_such_request),
    BY_HAND (hang_up_in_a_write),
};

MAIN (tests)
