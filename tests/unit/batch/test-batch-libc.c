/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The C library's calls by their names (plugin/batch/batch-libc.c), of a
 * program that has them in it; see preloaded.h.  What is decided once in a
 * process is seen in a child: in one that is started anew where its environment
 * decides.
 */

#include <config.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batch/batch-internal.h"
#include "common/common.h"
#include "preloaded.h"
#include "unit.h"

/* These have no declaration in the C library's headers. */
ssize_t __read_chk (int fd, void *buf, size_t n, size_t size);
ssize_t __recv_chk (int fd, void *buf, size_t n, size_t size, int flags);
int __poll_chk (struct pollfd *fds, nfds_t nfds, int timeout, size_t size);
int __ppoll_chk (struct pollfd *fds, nfds_t nfds,
                 const struct timespec *timeout, const sigset_t *sigmask,
                 size_t size);
int fcntl64 (int fd, int cmd, ...);

/*---------------------------------------------------------------------*/
/* What the library finds */

void *__real_dlsym (void *objects, const char *name);
void *__wrap_dlsym (void *objects, const char *name);
void *
__wrap_dlsym (void *objects, const char *name)
{
  return getenv ("TEST_OTHER_PROGRAM") != NULL &&
                 strcmp (name, "nbdkit_nanosleep") == 0
             ? NULL
             : __real_dlsym (objects, name);
}

int __wrap_sched_getaffinity (pid_t pid, size_t size, cpu_set_t *cpus);
int
__wrap_sched_getaffinity (pid_t pid, size_t size, cpu_set_t *cpus)
{
  const char *n = getenv ("TEST_CPUS");
  int i, most = n != NULL ? atoi (n) : 1;

  (void) pid;
  memset (cpus, 0, size);
  for (i = 0; i < most; i++)
    CPU_SET_S (i, size, cpus);
  return most > 0 ? 0 : -1;
}

static bool is_plain;

void __wrap_batch_set_plain (bool plain);
void
__wrap_batch_set_plain (bool plain)
{
  is_plain = plain;
}

static uint64_t poll_time = 1;

void __wrap_batch_set_poll (uint64_t ns);
void
__wrap_batch_set_poll (uint64_t ns)
{
  poll_time = ns;
}

/* Any of the calls may be the first of all.  Returns false where there is none
 * with that number.
 */
static bool
call_first (int nr)
{
  static const struct timespec at_once;
  char c = 'x';
  struct iovec iov = {&c, 1};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

  switch (nr) {
  case 0:
    return accept (-1, NULL, NULL) == -1;
  case 1:
    return accept4 (-1, NULL, NULL, 0) == -1;
  case 2:
    return shutdown (-1, SHUT_WR) == -1;
  case 3:
    return close (-1) == -1;
  case 4:
    return dup (-1) == -1;
  case 5:
    return dup2 (-1, 50) == -1;
  case 6:
    return dup3 (-1, 50, 0) == -1;
  case 7:
    return fcntl (-1, F_GETFD) == -1;
  case 8:
    return fcntl64 (-1, F_GETFD) == -1;
  case 9:
    return read (-1, &c, 1) == -1;
  case 10:
    return readv (-1, &iov, 1) == -1;
  case 11:
    return recv (-1, &c, 1, 0) == -1;
  case 12:
    return recvfrom (-1, &c, 1, 0, NULL, NULL) == -1;
  case 13:
    return recvmsg (-1, &msg, 0) == -1;
  case 14:
    return send (-1, &c, 1, 0) == -1;
  case 15:
    return sendmsg (-1, &msg, 0) == -1;
  case 16:
    return write (-1, &c, 1) == -1;
  case 17:
    return writev (-1, &iov, 1) == -1;
  case 18:
    return poll (NULL, 0, 0) == 0;
  case 19:
    return ppoll (NULL, 0, &at_once, NULL) == 0;
  case 20:
    return nanosleep (&at_once, NULL) == 0;
  case 21:
    return clock_nanosleep (CLOCK_MONOTONIC, 0, &at_once, NULL) == 0;
  default:
    return false;
  }
}

/* The loader has read LD_PRELOAD already, and the library has yet to. */
static void __attribute__ ((constructor (102))) before_library (void)
{
  const char *list = getenv ("TEST_PRELOAD"), *first = getenv ("TEST_FIRST");

  if (list != NULL)
    setenv ("LD_PRELOAD", list, 1);
  if (first != NULL && !call_first (atoi (first)))
    _exit (2);
}

/*---------------------------------------------------------------------*/
/* Connections */

static void
close_ends (const int ends[2])
{
  close (ends[0]);
  close (ends[1]);
}

static int
kernel_has (int fd)
{
  int n;

  must (ioctl (fd, FIONREAD, &n) == 0, "FIONREAD");
  return n;
}

static void
await_bytes (int fd, int n)
{
  while (kernel_has (fd) < n)
    sched_yield ();
}

/* The peer has sent N bytes, of which the server has read the first. */
static void
read_first (const int ends[2], const char *bytes)
{
  const size_t n = strlen (bytes);
  char c;

  must (send (ends[1], bytes, n, 0) == (ssize_t) n, "send");
  await_bytes (ends[0], n);
  must (read (ends[0], &c, 1) == 1 && c == bytes[0], "the first byte");
}

/* Is it read ahead? */
static bool
is_batched (const int ends[2])
{
  read_first (ends, "xy");
  return kernel_has (ends[0]) == 0;
}

/* The peer gets these bytes, and no others before the end, if it ENDS. */
static void
check_peer (int peer, const char *bytes, bool ends)
{
  const size_t n = strlen (bytes);
  char buf[64];

  must (recv (peer, buf, n, MSG_WAITALL) == (ssize_t) n &&
            memcmp (buf, bytes, n) == 0,
        bytes);
  if (ends)
    must (recv (peer, buf, 1, 0) == 0, "the end");
}

/*---------------------------------------------------------------------*/
/* Children that are started anew */

/* What a child tells of itself. */
struct told {
  char preload[80]; /* "-" if it is not there */
  uint64_t poll_time;
  unsigned depth;
  bool may_wait, batches, is_plain;
};

static void
tell (void)
{
  const char *preload = getenv ("LD_PRELOAD");
  struct told t = {.poll_time = poll_time,
                   .is_plain = is_plain,
                   .depth = batch_depth (),
                   .may_wait = batch_may_wait ()};
  int ends[2];

  snprintf (t.preload, sizeof t.preload, "%s", preload != NULL ? preload : "-");
  connect_ends (ends, false);
  t.batches = is_batched (ends);
  must (write (STDOUT_FILENO, &t, sizeof t) == sizeof t, "tell");
}

/* The path by which a child is started, as far as it knows. */
#define SELF "/a/self"

/* Start this program anew with such variables, up to a NULL.  Returns how it
 * has ended.
 */
static int
start_with (const char *const *variables, struct told *t)
{
  int fds[2];
  pid_t pid;

  assert_int_equal (pipe (fds), 0);
  pid = fork ();
  if (pid == 0) {
    unsetenv ("LD_PRELOAD");
    for (; *variables != NULL; variables++)
      putenv ((char *) (uintptr_t) *variables);
    dup2 (fds[1], STDOUT_FILENO);
    execl ("/proc/self/exe", SELF, "tell", NULL);
    _exit (1);
  }
  close (fds[1]);
  if (read (fds[0], t, sizeof *t) != sizeof *t)
    memset (t, 0, sizeof *t);
  close (fds[0]);
  return end_of (pid);
}

static struct told
start (const char *const *variables)
{
  struct told t;

  assert_int_equal (start_with (variables, &t), 0);
  return t;
}

#define START(...) start ((const char *const[]){__VA_ARGS__, NULL})

/*---------------------------------------------------------------------*/

static void
test_environment (void **state)
{
  (void) state;
  assert_int_equal (START ("NULLBLK_BATCH_DEPTH=7").depth, 7);
  assert_int_equal (START ("NULLBLK_BATCH_DEPTH=").depth, 0);
  assert_int_equal (START ("TEST_CPUS=1").depth, 0);
  assert_true (START ("NULLBLK_BATCH_SERIAL=1").may_wait);
  assert_false (START ("NULLBLK_BATCH_SERIAL=0").may_wait);
  assert_false (START ("TEST_CPUS=1").may_wait);

  assert_true (START ("NULLBLK_BATCH_PLAIN=1").is_plain);
  assert_false (START ("NULLBLK_BATCH_PLAIN=0").is_plain);
  assert_false (START ("TEST_CPUS=1").is_plain);

  assert_int_equal (START ("NULLBLK_BATCH_POLL=3", "TEST_CPUS=2").poll_time,
                    3000);
  assert_int_equal (START ("NULLBLK_BATCH_POLL=0", "TEST_CPUS=2").poll_time, 0);
  assert_int_equal (START ("TEST_CPUS=2").poll_time, 50000);
  assert_int_equal (START ("TEST_CPUS=1").poll_time, 0);
  assert_int_equal (START ("TEST_CPUS=0").poll_time, 0);
}

/* Others of nbdkit's libraries make calls before this one has begun. */
static void
test_first_call (void **state)
{
  char first[40];
  const char *const variables[] = {first, NULL};
  struct told t;
  int i, status = 0;

  (void) state;
  for (i = 0; status == 0; i++) {
    snprintf (first, sizeof first, "TEST_FIRST=%d", i);
    status = start_with (variables, &t);
    assert_true (status != 0 || t.batches);
  }
  assert_int_equal (i - 1, 22);
  assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 2);
}

static void
test_preload (void **state)
{
  static const struct {
    const char *list, *left;
  } rows[] = {
      {"TEST_PRELOAD=" SELF, "-"},
      {"TEST_PRELOAD=" SELF ":b", "b"},
      {"TEST_PRELOAD=" SELF " b:c", "b:c"},
      {"TEST_PRELOAD=b:" SELF, "b"},
      {"TEST_PRELOAD=b " SELF ":c", "b:c"},
      {"TEST_PRELOAD=b:" SELF " c:" SELF, "b c:" SELF},
      {"TEST_PRELOAD=" SELF "2:b", SELF "2:b"},
      {"TEST_PRELOAD=b" SELF ":c", "b" SELF ":c"},
      {"TEST_PRELOAD=" SELF "2:" SELF ":b", SELF "2:b"},
      {"TEST_PRELOAD=b" SELF ":" SELF, "b" SELF},
      {"TEST_PRELOAD=b", "b"},
      {"TEST_CPUS=1", "-"},
  };
  size_t i;

  (void) state;
  for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_string_equal (START (rows[i].list).preload, rows[i].left);
}

/* A program that is not nbdkit hands the library on, and is left alone. */
static void
test_other_program (void **state)
{
  const struct told t = START ("TEST_OTHER_PROGRAM=1", "NULLBLK_BATCH_DEPTH=7",
                               "TEST_PRELOAD=b:" SELF);

  (void) state;
  assert_string_equal (t.preload, "b:" SELF);
  assert_int_equal (t.depth, 0);
  assert_false (t.batches);
  assert_true (START ("TEST_CPUS=1").batches);
}

/* Of all descriptors, and what cannot be accepted. */
static void
accept_as_0 (void)
{
  int ends[2], i, listener;

  for (i = 0; i < 2; i++) {
    connect_ends (ends, i);
    must (is_batched (ends), "it is batched");
    close_ends (ends);
  }
  listener = listen_for (&ends[1]);
  close (0);
  ends[0] = accept (listener, NULL, NULL);
  must (ends[0] == 0, "0 is free");
  must (is_batched (ends), "0 is batched");
  must (accept (-1, NULL, NULL) == -1 && errno == EBADF, "EBADF");
}

static void
test_accept (void **state)
{
  (void) state;
  assert_int_equal (in_child (accept_as_0), 0);
}

/* The functions that nbdkit's own tell of. */
static void
test_found (void **state)
{
  struct timespec ts;
  uint64_t before, after;
  int ends[2];
  char c;

  (void) state;
  nanosleep_of_nbdkit.result = 0;
  assert_int_equal (batch_libc.nap (UINT64_C (3000000007)), 0);
  assert_int_equal (nanosleep_of_nbdkit.sec, 3);
  assert_int_equal (nanosleep_of_nbdkit.nsec, 7);
  assert_int_equal (batch_libc.nap (UINT64_C (3000000000)), 0);
  assert_int_equal (nanosleep_of_nbdkit.sec, 3);
  assert_int_equal (nanosleep_of_nbdkit.nsec, 0);
  nanosleep_of_nbdkit.result = -1;
  assert_int_equal (batch_libc.nap (0), -ESHUTDOWN);
  nanosleep_of_nbdkit.result = 0;

  assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  assert_false (batch_libc.has_unread (ends[0]));
  assert_int_equal (write (ends[0], "x", 1), 1);
  assert_true (batch_libc.has_unread (ends[0]));
  assert_int_equal (read (ends[1], &c, 1), 1);
  assert_false (batch_libc.has_unread (ends[0]));
  close_ends (ends);
  assert_false (batch_libc.has_unread (ends[0]));

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &ts);
  before = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
  after = batch_libc.cpu ();
  assert_true (after >= before);
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &ts);
  assert_true (after <= ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec);
}

/*---------------------------------------------------------------------*/
/* Data */

static void
test_reads (void **state)
{
  enum { READ, READ_CHK, READV, RECV, RECV_CHK, RECVFROM, RECVMSG, NR };
  char buf[2];
  struct iovec iov = {buf, 2};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
  int ends[2], i;
  ssize_t r = 0;

  (void) state;
  for (i = 0; i < NR; i++) {
    connect_ends (ends, false);
    read_first (ends, "0123");
    assert_int_equal (kernel_has (ends[0]), 0);
    switch (i) {
    case READ:
      r = read (ends[0], buf, 2);
      break;
    case READ_CHK:
      r = __read_chk (ends[0], buf, 2, 2);
      break;
    case READV:
      r = readv (ends[0], &iov, 1);
      break;
    case RECV:
      r = recv (ends[0], buf, 2, 0);
      break;
    case RECV_CHK:
      r = __recv_chk (ends[0], buf, 2, 2, 0);
      break;
    case RECVFROM:
      r = recvfrom (ends[0], buf, 2, 0, NULL, NULL);
      break;
    case RECVMSG:
      r = recvmsg (ends[0], &msg, 0);
      break;
    }
    assert_int_equal (r, 2);
    assert_memory_equal (buf, "12", 2);
    close_ends (ends);
  }
}

/* What is held goes before anything else, and before any wait. */
static void
test_held_goes_first (void **state)
{
  enum {
    SEND,
    WRITE,
    WRITEV,
    SENDMSG,
    DUP,
    DUP2,
    DUP3,
    DUPFD,
    DUPFD_CLOEXEC,
    DUPFD_64,
    POLL,
    POLL_CHK,
    PPOLL,
    PPOLL_CHK,
    NANOSLEEP,
    CLOCK_NANOSLEEP,
    SHUTDOWN, /* from here on the connection ends */
    CLOSE,
    DUP2_ONTO,
    DUP3_ONTO,
    NR
  };
  static const struct timespec at_once;
  struct pollfd none = {.fd = -1};
  struct iovec iov = {(char[]){'c', 'd'}, 2};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
  int ends[2], i, copy, r = 0;
  const int spare = dup (STDERR_FILENO);

  (void) state;
  for (i = 0; i < NR; i++) {
    connect_ends (ends, false);
    assert_int_equal (send (ends[0], "ab", 2, MSG_MORE), 2);
    copy = -1;
    switch (i) {
    case SEND:
      r = send (ends[0], "cd", 2, 0) == 2;
      break;
    case WRITE:
      r = write (ends[0], "cd", 2) == 2;
      break;
    case WRITEV:
      r = writev (ends[0], &iov, 1) == 2;
      break;
    case SENDMSG:
      r = sendmsg (ends[0], &msg, 0) == 2;
      break;
    case DUP:
      r = (copy = dup (ends[0])) >= 0;
      break;
    case DUP2:
      r = dup2 (ends[0], spare) == spare;
      break;
    case DUP3:
      r = dup3 (ends[0], spare, O_CLOEXEC) == spare;
      break;
    case DUPFD:
      r = (copy = fcntl (ends[0], F_DUPFD, 50)) >= 50;
      break;
    case DUPFD_CLOEXEC:
      r = (copy = fcntl (ends[0], F_DUPFD_CLOEXEC, 50)) >= 50;
      break;
    case DUPFD_64:
      r = (copy = fcntl64 (ends[0], F_DUPFD, 50)) >= 50;
      break;
    case POLL:
      r = poll (&none, 1, 0) == 0;
      break;
    case POLL_CHK:
      r = __poll_chk (&none, 1, 0, sizeof none) == 0;
      break;
    case PPOLL:
      r = ppoll (&none, 1, &at_once, NULL) == 0;
      break;
    case PPOLL_CHK:
      r = __ppoll_chk (&none, 1, &at_once, NULL, sizeof none) == 0;
      break;
    case NANOSLEEP:
      r = nanosleep (&at_once, NULL) == 0;
      break;
    case CLOCK_NANOSLEEP:
      r = clock_nanosleep (CLOCK_MONOTONIC, 0, &at_once, NULL) == 0;
      break;
    case SHUTDOWN:
      r = shutdown (ends[0], SHUT_WR) == 0;
      break;
    case CLOSE:
      r = close (ends[0]) == 0;
      break;
    case DUP2_ONTO:
      r = dup2 (spare, ends[0]) == ends[0];
      break;
    case DUP3_ONTO:
      r = dup3 (spare, ends[0], 0) == ends[0];
      break;
    }
    assert_true (r);
    check_peer (ends[1], i <= SENDMSG ? "abcd" : "ab", i >= SHUTDOWN);
    if (i == DUP2 || i == DUP3)
      assert_int_equal (dup2 (STDERR_FILENO, spare), spare);
    if (copy >= 0)
      close (copy);
    if (i != CLOSE)
      close (ends[0]);
    close (ends[1]);
  }
  close (spare);
}

/* What does not concern the data, and a copy of a descriptor onto itself, which
 * is none.
 */
static void
test_other_calls (void **state)
{
  char buf[2];
  int ends[2], i;

  (void) state;
  for (i = 0; i < 2; i++) {
    connect_ends (ends, false);
    read_first (ends, "0123");
    if (i == 0) {
      assert_int_equal (dup2 (ends[0], ends[0]), ends[0]);
      assert_int_equal (read (ends[0], buf, 2), 2);
      assert_memory_equal (buf, "12", 2);
    }
    else {
      assert_int_equal (dup3 (ends[0], ends[0], 0), -1);
      assert_int_equal (errno, EINVAL);
      assert_int_equal (read (ends[0], buf, 2), 2);
      assert_memory_equal (buf, "12", 2);
    }
    close_ends (ends);
  }
  connect_ends (ends, false);
  assert_int_equal (send (ends[0], "ab", 2, MSG_MORE), 2);
  assert_int_equal (fcntl (ends[0], F_SETFD, FD_CLOEXEC), 0);
  assert_int_equal (fcntl (ends[0], F_GETFD), FD_CLOEXEC);
  assert_int_equal (fcntl64 (ends[0], F_SETFL, O_NONBLOCK), 0);
  assert_true (fcntl64 (ends[0], F_GETFL) & O_NONBLOCK);
  assert_true (is_batched (ends));
  close_ends (ends);
}

static void
read_too_much (void)
{
  char buf[4];

  __read_chk (STDIN_FILENO, buf, 3, 2);
}

static void
recv_too_much (void)
{
  char buf[4];

  __recv_chk (STDIN_FILENO, buf, 3, 2, 0);
}

static void
poll_too_much (void)
{
  struct pollfd none[2] = {{.fd = -1}, {.fd = -1}};

  __poll_chk (none, 2, 0, sizeof none - 1);
}

static void
ppoll_too_much (void)
{
  static const struct timespec at_once;
  struct pollfd none[2] = {{.fd = -1}, {.fd = -1}};

  __ppoll_chk (none, 2, &at_once, NULL, sizeof none - 1);
}

/* As the C library's do. */
static void
test_too_much_aborts (void **state)
{
  static void (*const calls[]) (void) = {read_too_much, recv_too_much,
                                         poll_too_much, ppoll_too_much};
  size_t i;

  (void) state;
  for (i = 0; i < sizeof calls / sizeof calls[0]; i++)
    assert_int_equal (in_child (calls[i]) & 0x7f, SIGABRT);
}

static struct {
  nfds_t nfds;
  bool has_timeout;
  struct timespec timeout;
} polled;

static int
our_ppoll (struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
           const sigset_t *sigmask)
{
  (void) fds;
  (void) sigmask;
  polled.nfds = nfds;
  polled.has_timeout = timeout != NULL;
  if (timeout != NULL)
    polled.timeout = *timeout;
  return 0;
}

static void
test_poll_timeout (void **state)
{
  static const int timeouts[] = {0, 1, 999, 1000, 2345};
  const struct batch_calls before = batch_libc;
  struct pollfd none = {.fd = -1};
  size_t i;

  (void) state;
  batch_libc.ppoll = our_ppoll;
  for (i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
    assert_int_equal (poll (&none, 1, timeouts[i]), 0);
    assert_int_equal (polled.nfds, 1);
    assert_true (polled.has_timeout);
    assert_int_equal (polled.timeout.tv_sec, timeouts[i] / 1000);
    assert_int_equal (polled.timeout.tv_nsec, timeouts[i] % 1000 * 1000000);
  }
  assert_int_equal (poll (&none, 1, -1), 0);
  assert_false (polled.has_timeout);
  batch_libc = before;
}

int
main (int argc, char *argv[])
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_environment),
      cmocka_unit_test (test_first_call),
      cmocka_unit_test (test_preload),
      cmocka_unit_test (test_other_program),
      cmocka_unit_test (test_accept),
      cmocka_unit_test (test_found),
      cmocka_unit_test (test_reads),
      cmocka_unit_test (test_held_goes_first),
      cmocka_unit_test (test_other_calls),
      cmocka_unit_test (test_too_much_aborts),
      cmocka_unit_test (test_poll_timeout),
  };

  alarm (240);
  if (argc == 2 && strcmp (argv[1], "tell") == 0) {
    tell ();
    return 0;
  }
  return RUN_TESTS (tests);
}
