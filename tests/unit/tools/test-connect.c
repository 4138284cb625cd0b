/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * How long the tools wait for a server (tools/connect.h): for one that is
 * silent from some point of the handshake on, and for one that does not answer
 * a read.  The server is a child of this program; time passes with polls in
 * vain.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "connect.h"
#include "unit.h"

#define URI "nbd+unix:///?socket=socket"
#define SECONDS 30

/*---------------------------------------------------------------------*/
/* The clock */

static time_t now, poll_takes; /* seconds; a poll in which nothing happens */

int __wrap_clock_gettime (clockid_t clock, struct timespec *ts);
int
__wrap_clock_gettime (clockid_t clock, struct timespec *ts)
{
  assert_int_equal (clock, CLOCK_MONOTONIC);
  *ts = (struct timespec){.tv_sec = now};
  return 0;
}

int __real_nbd_poll (struct nbd_handle *h, int msec);
int __wrap_nbd_poll (struct nbd_handle *h, int msec);
int
__wrap_nbd_poll (struct nbd_handle *h, int msec)
{
  const int r = __real_nbd_poll (h, msec);

  now += r == 0 ? poll_takes : 0;
  return r;
}

/*---------------------------------------------------------------------*/
/* The server */

/* What it does last. */
enum last { ACCEPTS, GREETS, LISTS, GOES, READS };

#define NBD_OPT_ABORT 2
#define NBD_OPT_LIST 3
#define NBD_OPT_GO 7
#define NBD_REP_ACK 1
#define NBD_REP_SERVER 2
#define NBD_REP_INFO 3
#define NBD_REP_ERR_UNSUP (UINT32_C (1) << 31 | 1)

static void
put (int fd, const void *bytes, size_t n)
{
  if (send (fd, bytes, n, MSG_NOSIGNAL) != (ssize_t) n)
    _exit (0); /* the client has gone */
}

static void
get (int fd, void *bytes, size_t n)
{
  if (n > 0 && recv (fd, bytes, n, MSG_WAITALL) != (ssize_t) n)
    _exit (0);
}

static void
reply (int fd, uint32_t option, uint32_t type, const void *data, size_t n)
{
  const struct __attribute__ ((packed)) {
    uint64_t magic;
    uint32_t option, type, len;
  } head = {htobe64 (UINT64_C (0x3e889045565a9)), htobe32 (option),
            htobe32 (type), htobe32 (n)};

  put (fd, &head, sizeof head);
  put (fd, data, n);
}

/* Returns when the client has an export. */
static void
negotiate (int fd, enum last last)
{
  static const char name[] = "\0\0\0\xdnullb0.config";
  static const char size[] = "\0\0\0\0\0\0\0\0\x10\0\0\1";
  struct __attribute__ ((packed)) {
    char magic[8];
    uint32_t option, len;
  } asked;
  char data[4096];
  uint32_t option;

  for (;;) {
    get (fd, &asked, sizeof asked);
    get (fd, data, be32toh (asked.len));
    option = be32toh (asked.option);
    if (option == NBD_OPT_LIST && last >= LISTS) {
      reply (fd, option, NBD_REP_SERVER, name, sizeof name - 1);
      reply (fd, option, NBD_REP_ACK, NULL, 0);
    }
    else if (option == NBD_OPT_GO && last >= GOES) {
      reply (fd, option, NBD_REP_INFO, size, sizeof size - 1);
      reply (fd, option, NBD_REP_ACK, NULL, 0);
      return;
    }
    else if (option != NBD_OPT_LIST && option != NBD_OPT_GO)
      reply (fd, option, NBD_REP_ERR_UNSUP, NULL, 0);
  }
}

static void __attribute__ ((noreturn)) serve (int fd, enum last last)
{
  struct __attribute__ ((packed)) {
    uint32_t magic;
    uint16_t flags, type;
    uint64_t cookie, offset;
    uint32_t count;
  } request;
  struct __attribute__ ((packed)) {
    uint32_t magic, error;
    uint64_t cookie;
    char data[512];
  } answer = {.magic = htobe32 (0x67446698), .data = "data"};
  char flags[4];

  if (last == ACCEPTS)
    get (fd, flags, 4);
  put (fd, "NBDMAGICIHAVEOPT\0\3", 18);
  get (fd, flags, 4);
  negotiate (fd, last);
  for (;;) {
    get (fd, &request, sizeof request);
    if (be16toh (request.type) != 0)
      _exit (0);
    answer.cookie = request.cookie;
    if (last == READS)
      put (fd, &answer, sizeof answer);
  }
}

static pid_t server;

static void
begin_server (enum last last)
{
  const struct sockaddr_un address = {.sun_family = AF_UNIX,
                                      .sun_path = "socket"};
  const int listener = socket (AF_UNIX, SOCK_STREAM, 0);

  assert_int_equal (bind (listener, (const void *) &address, sizeof address),
                    0);
  assert_int_equal (listen (listener, 1), 0);
  server = fork ();
  assert_int_not_equal (server, -1);
  if (server == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    serve (accept (listener, NULL, NULL), last);
  }
  close (listener);
}

static void
end_server (void)
{
  assert_int_equal (waitpid (server, NULL, 0), server);
  unlink ("socket");
}

/*---------------------------------------------------------------------*/

static struct message why;
static bool missing;

static int
set_up (void **state)
{
  (void) state;
  poll_takes = 0;
  return 0;
}

static void
test_answers (void **state)
{
  char data[512] = "";
  struct nbd_handle *h;

  (void) state;
  begin_server (READS);
  h = connection_open (URI, ".config", SECONDS, &missing, &why);
  if (h == NULL)
    fail_msg ("%s", why.text);
  assert_int_equal (nbd_get_size (h), 4096);
  assert_int_equal (connection_read (h, data, 512, 0, SECONDS, &why), 0);
  assert_string_equal (data, "data");
  connection_close (h);
  end_server ();
}

/* It is given up when its time is over, and not before, and sees the end of the
 * connection.
 */
static void
test_silent_in_handshake (void **state)
{
  enum last last;
  time_t began;

  (void) state;
  for (last = ACCEPTS; last < GOES; last++) {
    begin_server (last);
    began = now;
    poll_takes = 10;
    assert_null (connection_open (URI, ".config", SECONDS, &missing, &why));
    assert_in_range (now - began, SECONDS + 1, SECONDS + 10);
    assert_non_null (strstr (why.text, "the server does not answer"));
    assert_false (missing);
    end_server ();
  }
}

static void
test_silent_at_read (void **state)
{
  char data[512] = "";
  struct nbd_handle *h;
  time_t began;

  (void) state;
  begin_server (GOES);
  h = connection_open (URI, ".config", SECONDS, &missing, &why);
  assert_non_null (h);
  began = now;
  poll_takes = 10;
  assert_int_equal (connection_read (h, data, 512, 0, SECONDS, &why), -EIO);
  assert_in_range (now - began, SECONDS + 1, SECONDS + 10);
  assert_string_equal (why.text, "the server does not answer");
  end_server ();
  connection_close (h);
}

static void
test_missing (void **state)
{
  (void) state;
  begin_server (READS);
  assert_null (connection_open (URI, ".zones", SECONDS, &missing, &why));
  assert_true (missing);
  assert_non_null (strstr (why.text, "there is no export \"....zones\""));
  end_server ();
}

/* For good: it is the last one. */
static void
test_no_more (void **state)
{
  (void) state;
  connection_open_no_more ();
  begin_server (ACCEPTS);
  assert_null (connection_open (URI, ".config", SECONDS, &missing, &why));
  end_server ();
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup (f, set_up)
  static const struct CMUnitTest tests[] = {
      CASE (test_answers),        CASE (test_silent_in_handshake),
      CASE (test_silent_at_read), CASE (test_missing),
      CASE (test_no_more),
  };

  return RUN_TESTS_IN_DIRECTORY (tests);
}
