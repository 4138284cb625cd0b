/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A server that is told to stop leaves its clients instead of answering errors.
 *
 * nbdkit answers what it is asked after a signal with ESHUTDOWN, on every
 * connection that there is, and waits for clients that ask nothing.  A client
 * that would connect anew and ask again, as the kernel does for nullblk-attach
 * --persist, is told by that answer that the device is broken.  So, before
 * nbdkit knows of the signal, all connections end, for both sides: the next
 * read finds an end of the client's requests, and what is sent goes nowhere.
 * nbdkit itself sees clients that have gone, and nothing that fails.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "batch-internal.h"

/* The signals that make nbdkit stop. */
static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
#define NR_SIGNALS (sizeof signals / sizeof signals[0])

static struct sigaction nbdkits[NR_SIGNALS];
static struct batch_calls calls; /* as they are without us */
static atomic_bool is_stopping;

/*---------------------------------------------------------------------*/
/* The calls */

static bool
is_over (int fd)
{
  return atomic_load_explicit (&is_stopping, memory_order_acquire) &&
         batch_find (fd) != NULL;
}

static ssize_t
stop_read (int fd, void *buf, size_t n)
{
  return is_over (fd) ? 0 : calls.read (fd, buf, n);
}

static ssize_t
stop_readv (int fd, const struct iovec *iov, int iovcnt)
{
  return is_over (fd) ? 0 : calls.readv (fd, iov, iovcnt);
}

static ssize_t
stop_recvfrom (int fd, void *buf, size_t n, int flags, struct sockaddr *from,
               socklen_t *fromlen)
{
  return is_over (fd) ? 0 : calls.recvfrom (fd, buf, n, flags, from, fromlen);
}

static ssize_t
stop_recvmsg (int fd, struct msghdr *msg, int flags)
{
  return is_over (fd) ? 0 : calls.recvmsg (fd, msg, flags);
}

/* A send may have begun before the end, and end with an error. */
static ssize_t
as_sent (int fd, ssize_t r, size_t n)
{
  return r == -1 && is_over (fd) ? (ssize_t) n : r;
}

static ssize_t
stop_send (int fd, const void *buf, size_t n, int flags)
{
  return is_over (fd) ? (ssize_t) n
                      : as_sent (fd, calls.send (fd, buf, n, flags), n);
}

static ssize_t
stop_sendmsg (int fd, const struct msghdr *msg, int flags)
{
  size_t n = 0, i;

  for (i = 0; i < msg->msg_iovlen; i++)
    n += msg->msg_iov[i].iov_len;
  return is_over (fd) ? (ssize_t) n
                      : as_sent (fd, calls.sendmsg (fd, msg, flags), n);
}

static ssize_t
stop_write (int fd, const void *buf, size_t n)
{
  return is_over (fd) ? (ssize_t) n : as_sent (fd, calls.write (fd, buf, n), n);
}

void
batch_stop_wrap_calls (void)
{
  calls = batch_libc;
  batch_libc.read = stop_read;
  batch_libc.readv = stop_readv;
  batch_libc.recvfrom = stop_recvfrom;
  batch_libc.recvmsg = stop_recvmsg;
  batch_libc.send = stop_send;
  batch_libc.sendmsg = stop_sendmsg;
  batch_libc.write = stop_write;
}

/*---------------------------------------------------------------------*/
/* The signal */

/* End the calls for a connection that wait for its client, be it for requests
 * or for room for replies.
 */
static void
end_connection (int fd)
{
  calls.shutdown (fd, SHUT_RDWR);
}

static void
stop (int signal, siginfo_t *info, void *context)
{
  const int saved = errno;
  size_t i;

  atomic_store_explicit (&is_stopping, true, memory_order_release);
  batch_each (end_connection);
  errno = saved;

  for (i = 0; i < NR_SIGNALS; i++) {
    if (signals[i] != signal)
      continue;
    if (nbdkits[i].sa_flags & SA_SIGINFO)
      nbdkits[i].sa_sigaction (signal, info, context);
    else
      nbdkits[i].sa_handler (signal);
  }
}

/* nbdkit has its own handlers before it accepts anything.  What is ignored, or
 * ends it at once, stays as it is.
 */
static void
take_signals (void)
{
  struct sigaction action;
  size_t i;

  for (i = 0; i < NR_SIGNALS; i++) {
    if (sigaction (signals[i], NULL, &action) == -1 ||
        (!(action.sa_flags & SA_SIGINFO) &&
         (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)))
      continue;
    nbdkits[i] = action;
    action.sa_flags |= SA_SIGINFO;
    action.sa_sigaction = stop;
    sigaction (signals[i], &action, NULL);
  }
}

void
batch_stop_install_handlers (void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;

  pthread_once (&once, take_signals);
}
