/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * libnullblk-batch.so, preloaded into nbdkit by nullblk-serve: the C library's
 * calls by their names, each as in batch-socket-internal.h.  Sockets that
 * nbdkit accepts are batched; every other descriptor, and every program that is
 * not nbdkit, only passes through.
 *
 * These are the calls that nbdkit and gnutls make for a socket, those that some
 * compilers turn them into (__read_chk), and those in which a request waits.
 */

#include <config.h>

/* Names as they are in the C library, and no inline functions in their place.
 */
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS
#if defined _TIME_BITS && _TIME_BITS == 64
#define HAS_TIME_BITS 1
#endif
#undef _TIME_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#ifdef __linux__
#include <linux/sockios.h>
#endif
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "batch-socket-internal.h"
#include "common/common.h"

#define PUBLIC __attribute__ ((visibility ("default")))

/* Functions that the C library's headers do not declare. */
PUBLIC ssize_t __read_chk (int fd, void *buf, size_t n, size_t size);
PUBLIC ssize_t __recv_chk (int fd, void *buf, size_t n, size_t size, int flags);
PUBLIC int __poll_chk (struct pollfd *fds, nfds_t nfds, int timeout,
                       size_t size);
PUBLIC int __ppoll_chk (struct pollfd *fds, nfds_t nfds,
                        const struct timespec *timeout, const sigset_t *sigmask,
                        size_t size);
PUBLIC int fcntl64 (int fd, int cmd, ...);

/* The functions that the plugin looks for. */
PUBLIC extern const struct batch_functions nullblk_batch_functions;
const struct batch_functions nullblk_batch_functions = {
    .version = BATCH_VERSION,
    .set_serial = batch_set_serial,
    .set_waits = batch_set_waits,
    .depth = batch_depth,
    .arrival = batch_arrival,
    .before_reply = batch_before_reply,
    .still_zero = batch_still_zero,
    .payload = batch_payload,
    .answer_buffer = batch_answer_buffer,
    .defer = batch_defer,
    .set_aside = batch_set_aside,
    .hasten = batch_hasten,
    .has_deferred = batch_has_deferred,
    .defer_cancel = batch_defer_cancel,
    .before_wait = batch_before_wait,
    .offer = batch_offer,
};

/* The C library's functions that batch-socket.c has no need of. */
static struct {
  int (*accept) (int fd, struct sockaddr *addr, socklen_t *len);
  int (*accept4) (int fd, struct sockaddr *addr, socklen_t *len, int flags);
  ssize_t (*writev) (int fd, const struct iovec *iov, int iovcnt);
  int (*close) (int fd);
  int (*dup) (int fd);
  int (*dup2) (int fd, int to);
  int (*dup3) (int fd, int to, int flags);
  int (*fcntl) (int fd, int cmd, ...);
  int (*nanosleep) (const struct timespec *time, struct timespec *left);
  int (*clock_nanosleep) (clockid_t clock, int flags,
                          const struct timespec *time, struct timespec *left);
  int (*nbdkit_nanosleep) (unsigned sec, unsigned nsec);
} system_calls;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_bool is_found;
static bool is_nbdkit;

/* ISO C has no cast from an object's address to a function's. */
#define FIND_IN(objects, where, name)                                          \
  do {                                                                         \
    void *address = dlsym (objects, #name);                                    \
                                                                               \
    memcpy (&(where).name, &address, sizeof address);                          \
  } while (0)
#define FIND(where, name) FIND_IN (RTLD_NEXT, where, name)

static int
nap (uint64_t nsec)
{
  return system_calls.nbdkit_nanosleep (nsec / 1000000000, nsec % 1000000000) ==
                 0
             ? 0
             : -ESHUTDOWN;
}

static bool
has_unread (int fd)
{
#ifdef SIOCOUTQ
  int n;

  return ioctl (fd, SIOCOUTQ, &n) == 0 && n > 0;
#else
  (void) fd;
  return false;
#endif
}

static uint64_t
cpu_time (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &ts);
  return (uint64_t) ts.tv_sec * NSEC_PER_SEC + (uint64_t) ts.tv_nsec;
}

static void
find_all (void)
{
  FIND (batch_libc, read);
  FIND (batch_libc, readv);
  FIND (batch_libc, recvfrom);
  FIND (batch_libc, recvmsg);
  FIND (batch_libc, send);
  FIND (batch_libc, sendmsg);
  FIND (batch_libc, write);
  FIND (batch_libc, shutdown);
  FIND (batch_libc, ppoll);
  FIND (system_calls, accept);
  FIND (system_calls, accept4);
  FIND (system_calls, writev);
  FIND (system_calls, close);
  FIND (system_calls, dup);
  FIND (system_calls, dup2);
  FIND (system_calls, dup3);
  FIND (system_calls, fcntl);
  FIND (system_calls, nanosleep);
  FIND (system_calls, clock_nanosleep);
  FIND_IN (RTLD_DEFAULT, system_calls, nbdkit_nanosleep);
  is_nbdkit = system_calls.nbdkit_nanosleep != NULL;
  batch_libc.nap = nap;
  batch_stop_wrap_calls ();
  batch_libc.has_unread = has_unread;
  batch_libc.now = clock_now;
  batch_libc.cpu = cpu_time;
  pthread_atfork (NULL, NULL, batch_after_fork);
  atomic_store_explicit (&is_found, true, memory_order_release);
}

/* Other libraries make calls before our constructor runs. */
static inline bool
is_found_already (void)
{
  return __builtin_expect (
      atomic_load_explicit (&is_found, memory_order_acquire), 1);
}

static inline void
find_calls (void)
{
  if (!is_found_already ())
    pthread_once (&once, find_all);
}

/* Take PATH out of LD_PRELOAD, whose names are separated by colons or blanks.
 */
static void
leave_environment (const char *path)
{
  const size_t len = strlen (path);
  char *list = getenv ("LD_PRELOAD"), *p;

  for (p = list; p != NULL && (p = strstr (p, path)) != NULL; p += len) {
    if ((p != list && strchr (": ", p[-1]) == NULL) ||
        strchr (": ", p[len]) == NULL) /* or at its end */
      continue;
    if (p == list && p[len] == '\0')
      unsetenv ("LD_PRELOAD");
    else if (p == list)
      memmove (p, p + len + 1, strlen (p + len));
    else
      memmove (p - 1, p + len, strlen (p + len) + 1);
    return;
  }
}

/* 64-bit time on a 32-bit machine: nbdkit sleeps by a call that is not here,
 * and a request of the client would not wake it.
 */
#if defined HAS_TIME_BITS && __WORDSIZE == 32
#define NBDKIT_SLEEPS_ELSEWHERE true
#else
#define NBDKIT_SLEEPS_ELSEWHERE false
#endif

/* Programs that nbdkit runs are not to have us preloaded.  A program that runs
 * nbdkit, such as a shell script of its name, hands us on.
 */
static void __attribute__ ((constructor)) begin (void)
{
  const char *serial = getenv ("NULLBLK_BATCH_SERIAL");
  const char *depth = getenv ("NULLBLK_BATCH_DEPTH");
  const char *plain = getenv ("NULLBLK_BATCH_PLAIN");
  Dl_info self;

  find_calls ();
  if (serial != NULL && strcmp (serial, "1") == 0)
    batch_set_serial (true);
  batch_set_plain (plain != NULL && strcmp (plain, "1") == 0);
  batch_set_poll (pace_longest (50 * NSEC_PER_USEC));
  if (is_nbdkit && depth != NULL && !NBDKIT_SLEEPS_ELSEWHERE)
    batch_set_depth (strtoul (depth, NULL, 10));
  if (is_nbdkit && dladdr (&once, &self) != 0 && self.dli_fname != NULL)
    leave_environment (self.dli_fname);
}

/*---------------------------------------------------------------------*/
/* Sockets that begin and end */

static int
begin_batching (int fd)
{
  if (fd >= 0 && is_nbdkit) {
    batch_stop_install_handlers ();
    batch_begin (fd);
  }
  return fd;
}

PUBLIC int
accept (int fd, struct sockaddr *addr, socklen_t *len)
{
  find_calls ();
  return begin_batching (system_calls.accept (fd, addr, len));
}

PUBLIC int
accept4 (int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
  find_calls ();
  return begin_batching (system_calls.accept4 (fd, addr, len, flags));
}

PUBLIC int
shutdown (int fd, int how)
{
  find_calls ();
  return batch_shutdown (fd, how);
}

PUBLIC int
close (int fd)
{
  find_calls ();
  batch_end (fd);
  return system_calls.close (fd);
}

PUBLIC int
dup (int fd)
{
  find_calls ();
  batch_pass_through (fd);
  return system_calls.dup (fd);
}

PUBLIC int
dup2 (int fd, int to)
{
  find_calls ();
  batch_pass_through (fd);
  if (fd != to)
    batch_end (to);
  return system_calls.dup2 (fd, to);
}

PUBLIC int
dup3 (int fd, int to, int flags)
{
  find_calls ();
  batch_pass_through (fd);
  if (fd != to)
    batch_end (to);
  return system_calls.dup3 (fd, to, flags);
}

static int
do_fcntl (int fd, int cmd, void *arg)
{
  find_calls ();
  if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
    batch_pass_through (fd);
  return system_calls.fcntl (fd, cmd, arg);
}

/* The third argument is passed on as it is, a number or a pointer. */
#define FCNTL(name)                                                            \
  PUBLIC int name (int fd, int cmd, ...)                                       \
  {                                                                            \
    va_list args;                                                              \
    void *arg;                                                                 \
                                                                               \
    va_start (args, cmd);                                                      \
    arg = va_arg (args, void *);                                               \
    va_end (args);                                                             \
    return do_fcntl (fd, cmd, arg);                                            \
  }

FCNTL (fcntl)
FCNTL (fcntl64)

/*---------------------------------------------------------------------*/
/* Data */

/* The two that each request makes have their first call elsewhere: so the
 * compiler has nothing to keep for them while it calls pthread_once.
 */
static __attribute__ ((noinline)) ssize_t
find_and_read (int fd, void *buf, size_t n)
{
  find_calls ();
  return batch_read (fd, buf, n);
}

PUBLIC ssize_t
read (int fd, void *buf, size_t n)
{
  return is_found_already () ? batch_read (fd, buf, n)
                             : find_and_read (fd, buf, n);
}

PUBLIC ssize_t
__read_chk (int fd, void *buf, size_t n, size_t size)
{
  if (n > size)
    abort ();
  return read (fd, buf, n);
}

PUBLIC ssize_t
readv (int fd, const struct iovec *iov, int iovcnt)
{
  find_calls ();
  return batch_readv (fd, iov, iovcnt);
}

PUBLIC ssize_t
recv (int fd, void *buf, size_t n, int flags)
{
  find_calls ();
  return batch_recvfrom (fd, buf, n, flags, NULL, NULL);
}

PUBLIC ssize_t
__recv_chk (int fd, void *buf, size_t n, size_t size, int flags)
{
  if (n > size)
    abort ();
  return recv (fd, buf, n, flags);
}

PUBLIC ssize_t
recvfrom (int fd, void *buf, size_t n, int flags, struct sockaddr *from,
          socklen_t *fromlen)
{
  find_calls ();
  return batch_recvfrom (fd, buf, n, flags, from, fromlen);
}

PUBLIC ssize_t
recvmsg (int fd, struct msghdr *msg, int flags)
{
  find_calls ();
  return batch_recvmsg (fd, msg, flags);
}

static __attribute__ ((noinline)) ssize_t
find_and_send (int fd, const void *buf, size_t n, int flags)
{
  find_calls ();
  return batch_send (fd, buf, n, flags);
}

PUBLIC ssize_t
send (int fd, const void *buf, size_t n, int flags)
{
  return is_found_already () ? batch_send (fd, buf, n, flags)
                             : find_and_send (fd, buf, n, flags);
}

PUBLIC ssize_t
sendmsg (int fd, const struct msghdr *msg, int flags)
{
  find_calls ();
  batch_pass_through (fd);
  return batch_libc.sendmsg (fd, msg, flags);
}

PUBLIC ssize_t
write (int fd, const void *buf, size_t n)
{
  find_calls ();
  return batch_write (fd, buf, n);
}

PUBLIC ssize_t
writev (int fd, const struct iovec *iov, int iovcnt)
{
  find_calls ();
  batch_pass_through (fd);
  return system_calls.writev (fd, iov, iovcnt);
}

/*---------------------------------------------------------------------*/
/* Waiting */

PUBLIC int
ppoll (struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
       const sigset_t *sigmask)
{
  find_calls ();
  return batch_ppoll (fds, nfds, timeout, sigmask);
}

PUBLIC int
__ppoll_chk (struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
             const sigset_t *sigmask, size_t size)
{
  if (nfds > size / sizeof *fds)
    abort ();
  return ppoll (fds, nfds, timeout, sigmask);
}

PUBLIC int
poll (struct pollfd *fds, nfds_t nfds, int timeout)
{
  const struct timespec ts = {.tv_sec = timeout / 1000,
                              .tv_nsec = timeout % 1000 * 1000000L};

  return ppoll (fds, nfds, timeout < 0 ? NULL : &ts, NULL);
}

PUBLIC int
__poll_chk (struct pollfd *fds, nfds_t nfds, int timeout, size_t size)
{
  if (nfds > size / sizeof *fds)
    abort ();
  return poll (fds, nfds, timeout);
}

PUBLIC int
nanosleep (const struct timespec *time, struct timespec *left)
{
  find_calls ();
  batch_before_wait ();
  return system_calls.nanosleep (time, left);
}

PUBLIC int
clock_nanosleep (clockid_t clock, int flags, const struct timespec *time,
                 struct timespec *left)
{
  find_calls ();
  batch_before_wait ();
  return system_calls.clock_nanosleep (clock, flags, time, left);
}
