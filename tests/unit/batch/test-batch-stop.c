/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The signals that end all connections (plugin/batch/batch-stop.c), in children
 * that have the library in them, as nbdkit has it preloaded.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "batch/batch-internal.h"
#include "preloaded.h"
#include "unit.h"

static volatile sig_atomic_t heard, heard_info;

static void
hear (int signal)
{
  heard = signal;
}

static void
hear_info (int signal, siginfo_t *info, void *context)
{
  heard = signal;
  heard_info = info != NULL && info->si_signo == signal && context != NULL;
}

/* As nbdkit, before it accepts anything; what it does not handle is left alone,
 * as SIGINT and SIGQUIT here.
 */
static void
handle_signals (void)
{
  struct sigaction action = {.sa_sigaction = hear_info, .sa_flags = SA_SIGINFO};

  signal (SIGTERM, hear);
  sigaction (SIGHUP, &action, NULL);
  signal (SIGINT, SIG_IGN);
  signal (SIGQUIT, SIG_DFL);
}

static bool
is_handled_by (int signal, void (*handler) (int))
{
  struct sigaction action;

  return sigaction (signal, NULL, &action) == 0 && action.sa_handler == handler;
}

/* All calls to a connection after the end, by the C library's own names. */
static void
check_stopped (int fd)
{
  char buf[8];
  struct iovec iov[2] = {{buf, 3}, {buf, 4}};
  struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

  must (batch_libc.read (fd, buf, 1) == 0, "read");
  must (batch_libc.readv (fd, iov, 1) == 0, "readv");
  must (batch_libc.recvfrom (fd, buf, 1, 0, NULL, NULL) == 0, "recvfrom");
  must (batch_libc.recvmsg (fd, &msg, 0) == 0, "recvmsg");
  must (batch_libc.send (fd, buf, 5, MSG_NOSIGNAL) == 5, "send");
  must (batch_libc.sendmsg (fd, &msg, MSG_NOSIGNAL) == 7, "sendmsg");
  must (batch_libc.write (fd, buf, 6) == 6, "write");
}

static void
check_goes_on (void)
{
  char buf[4];
  struct iovec iov = {buf, 1};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
  int ends[2];

  must (socketpair (AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
  must (batch_libc.send (ends[0], "a", 1, 0) == 1, "send");
  must (batch_libc.write (ends[0], "b", 1) == 1, "write");
  must (batch_libc.read (ends[1], buf, 1) == 1 && buf[0] == 'a', "read");
  must (batch_libc.readv (ends[1], &iov, 1) == 1 && buf[0] == 'b', "readv");
  must (batch_libc.sendmsg (ends[0], &msg, 0) == 1, "sendmsg");
  must (batch_libc.recvfrom (ends[1], buf, 1, MSG_PEEK, NULL, NULL) == 1 &&
            buf[0] == 'b',
        "recvfrom");
  must (batch_libc.recvmsg (ends[1], &msg, 0) == 1 && buf[0] == 'b', "recvmsg");
  close (ends[1]);
  must (batch_libc.send (ends[0], "a", 1, MSG_NOSIGNAL) == -1, "EPIPE");
  must (batch_libc.sendmsg (ends[0], &msg, MSG_NOSIGNAL) == -1, "EPIPE");
  close (ends[0]);
}

static void
stop_by (int signal)
{
  int first[2], second[2];
  char c;

  handle_signals ();
  connect_ends (first, false);
  connect_ends (second, false);
  must (is_handled_by (SIGINT, SIG_IGN), "it is ignored");
  must (is_handled_by (SIGQUIT, SIG_DFL), "it is as it was");
  check_goes_on ();
  /* What has come, and was not read, is not read any more. */
  must (write (first[1], "unread", 6) == 6, "write");
  errno = EXDEV;
  raise (signal);
  must (errno == EXDEV, "errno is kept");
  must (heard == signal, "nbdkit has heard it");
  must (heard_info == (signal == SIGHUP), "... in its way");
  check_stopped (first[0]);
  check_stopped (second[0]);
  must (read (first[0], &c, 1) == 0, "the end of requests");
  must (recv (first[1], &c, 1, 0) == 0, "the end of replies");
  must (recv (second[1], &c, 1, 0) == 0, "the end of replies");
  check_goes_on ();
}

static void
stop_by_sigterm (void)
{
  stop_by (SIGTERM);
}

static void
stop_by_sighup (void)
{
  stop_by (SIGHUP);
}

static void
test_stop (void **state)
{
  (void) state;
  assert_int_equal (in_child (stop_by_sigterm), 0);
  assert_int_equal (in_child (stop_by_sighup), 0);
}

/* A call that has begun, and waits for room, is not told of the end either.
 * Where the other end's kernel has only just taken what was sent before, there
 * may be room for some more: then the call is made again.
 */
static struct {
  int fd, call;
  _Atomic pid_t thread;
  atomic_bool stops;
  ssize_t r;
} sender;

static void *
send_one (void *unused)
{
  static char byte[] = "x";
  struct iovec iov = {byte, 1};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

  (void) unused;
  atomic_store (&sender.thread, (pid_t) syscall (SYS_gettid));
  do {
    if (sender.call == 0)
      sender.r = batch_libc.send (sender.fd, byte, 1, MSG_NOSIGNAL);
    else if (sender.call == 1)
      sender.r = batch_libc.sendmsg (sender.fd, &msg, MSG_NOSIGNAL);
    else
      sender.r = batch_libc.write (sender.fd, byte, 1);
  } while (sender.r == 1 && !atomic_load (&sender.stops));
  return NULL;
}

static bool
sleeps (pid_t thread)
{
  char name[64], stat[256], *end;
  ssize_t n;
  int fd;

  snprintf (name, sizeof name, "/proc/self/task/%d/stat", (int) thread);
  fd = open (name, O_RDONLY);
  must (fd >= 0, name);
  n = read (fd, stat, sizeof stat - 1);
  close (fd);
  must (n > 0, name);
  stat[n] = '\0';
  end = strrchr (stat, ')');
  return end != NULL && end[2] == 'S';
}

static void
stop_while_sending (void)
{
  static char zeroes[65536];
  pthread_t thread;
  int ends[2];

  handle_signals ();
  signal (SIGPIPE, SIG_IGN);
  connect_ends (ends, false);
  sender.fd = ends[0];
  while (batch_libc.send (ends[0], zeroes, sizeof zeroes, MSG_DONTWAIT) > 0)
    ;
  while (batch_libc.send (ends[0], zeroes, 1, MSG_DONTWAIT) > 0)
    ;
  must (pthread_create (&thread, NULL, send_one, NULL) == 0, "a thread");
  while (atomic_load (&sender.thread) == 0 ||
         !sleeps (atomic_load (&sender.thread)))
    sched_yield ();
  atomic_store (&sender.stops, true);
  raise (SIGTERM);
  pthread_join (thread, NULL);
  must (sender.r == 1, "it is taken for sent");
}

static void
test_stop_while_sending (void **state)
{
  (void) state;
  for (sender.call = 0; sender.call < 3; sender.call++)
    assert_int_equal (in_child (stop_while_sending), 0);
}

/* What a sleep listens for besides ends it, and is not told to the caller, who
 * takes any event for the end of the server.
 */
static void
listen_in_sleep (void)
{
  struct pollfd none = {.fd = -1};
  int ends[2], i;

  must (socketpair (AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
  must (write (ends[1], "x", 1) == 1, "write");
  for (i = 0; i < 2; i++) {
    batch_thread.listening[i] = ends[0];
    must (batch_ppoll (&none, 1, NULL, NULL) == 0, "no event");
    must (batch_thread.heard[i] && !batch_thread.heard[1 - i], "it is heard");
    batch_thread.listening[i] = -1;
  }
}

static void
test_listen_in_sleep (void **state)
{
  (void) state;
  assert_int_equal (in_child (listen_in_sleep), 0);
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_stop),
      cmocka_unit_test (test_stop_while_sending),
      cmocka_unit_test (test_listen_in_sleep),
  };

  alarm (240);
  return RUN_TESTS (tests);
}
