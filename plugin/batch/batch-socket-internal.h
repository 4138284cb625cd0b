/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fewer system calls for a server that reads and sends in small pieces: what
 * batch-libc.c puts in the place of the C library's socket calls.  The drawing
 * is in batch-socket.c.
 *
 * Every function stands for the call of its name, with its arguments and its
 * errno, on any descriptor.  Only those given to batch_begin are treated in any
 * way, and that only until another call than read, write, send, shutdown and
 * close transfers their data.
 */

#ifndef NULLBLK_BATCH_SOCKET_INTERNAL_H
#define NULLBLK_BATCH_SOCKET_INTERNAL_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "batch-functions-internal.h"

/* The system's own, to be set before anything else is called. */
struct batch_calls {
  ssize_t (*read) (int fd, void *buf, size_t n);
  ssize_t (*readv) (int fd, const struct iovec *iov, int iovcnt);
  ssize_t (*recvfrom) (int fd, void *buf, size_t n, int flags,
                       struct sockaddr *from, socklen_t *fromlen);
  ssize_t (*recvmsg) (int fd, struct msghdr *msg, int flags);
  ssize_t (*send) (int fd, const void *buf, size_t n, int flags);
  ssize_t (*sendmsg) (int fd, const struct msghdr *msg, int flags);
  ssize_t (*write) (int fd, const void *buf, size_t n);
  int (*shutdown) (int fd, int how);
  int (*ppoll) (struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
                const sigset_t *sigmask);

  /* Sleep for NSEC nanoseconds, by ppoll.  Returns 0, or -ESHUTDOWN when the
   * server stops, or the client of this thread's connection has gone.
   */
  int (*nap) (uint64_t nsec);

  /* Are there bytes for the other side of a Unix socket that it has not taken?
   * NULL: not known.
   */
  bool (*has_unread) (int fd);

  /* The clock, and what this thread has used of a CPU, in nanoseconds. */
  uint64_t (*now) (void);
  uint64_t (*cpu) (void);
};
extern struct batch_calls batch_libc;

/* Are the requests of a connection served one at a time, by one thread that
 * waits for nothing but the client?  Until this says so, no reply waits for
 * another.
 */
void batch_set_serial (bool serial);

/* Do requests wait?  Only then does batch_arrival know moments. */
void batch_set_timed (bool timed);

/* How many requests of a connection may be in service when replies are
 * deferred; 0, as it is at first: none is.  Before anything is served.
 */
void batch_set_depth (unsigned n);
unsigned batch_depth (void);

/* Poll for NS nanoseconds at most for the next request of a client that has one
 * at a time, while no other connection has any, instead of sleeping, where that
 * pays (batch-pace-internal.h).  0, as it is at first: never poll.
 */
void batch_set_poll (uint64_t ns);

/* A connection has been accepted as FD.  Stream sockets are treated from here
 * on, and nothing else.
 */
void batch_begin (int fd);

ssize_t batch_read (int fd, void *buf, size_t n);
ssize_t batch_readv (int fd, const struct iovec *iov, int iovcnt);
ssize_t batch_recvfrom (int fd, void *buf, size_t n, int flags,
                        struct sockaddr *from, socklen_t *fromlen);
ssize_t batch_recvmsg (int fd, struct msghdr *msg, int flags);
ssize_t batch_send (int fd, const void *buf, size_t n, int flags);
ssize_t batch_write (int fd, const void *buf, size_t n);
int batch_shutdown (int fd, int how);
int batch_ppoll (struct pollfd *fds, nfds_t nfds,
                 const struct timespec *timeout, const sigset_t *sigmask);

/* The moment (nanoseconds of the monotonic clock) at which the kernel gave the
 * bytes that this thread has read last: a request that was read ahead has been
 * here since then.  0 where that is of no use: if this thread has asked before,
 * or waited for anything since, or where requests do not wait.
 */
uint64_t batch_arrival (void);

/* This thread's request is to be answered at DEADLINE (of the monotonic clock,
 * ns), with SPIN as of waiter_wait: what the thread sends next, up to the end
 * of a reply, with DATA bytes besides its headers, waits until then; DUE is
 * told, with a copy of the SIZE bytes at REQUEST, 256 at most.  Where there is
 * no room for the reply it first answers, in their time, those that are due
 * before.  False: the caller has to wait by itself, as where the connection is
 * not treated, there is no memory or room, or depth is 0.
 */
bool batch_defer (uint64_t deadline, uint64_t spin, batch_due *due,
                  const void *request, size_t size, size_t data);

/* This thread's request cannot be done yet: have it tried by TURN, with a copy
 * of the SIZE bytes at REQUEST, 256 at most, and one of the N bytes at PAYLOAD,
 * when it is hastened, or after the moment UNTIL, when all that its client had
 * sent by then has been served.  What the thread sends next is the reply, as
 * for batch_defer, and is not longer than one without data.  Returns the copy
 * of the request; or NULL where the caller has to wait by itself.
 */
void *batch_set_aside (uint64_t until, uint64_t spin, batch_turn *turn,
                       batch_due *due, const void *request, size_t size,
                       const void *payload, size_t n);

/* The request whose copy this is is worth another try, from any thread, with
 * locks of its device held: it takes none.  It must not be called any more once
 * TURN has returned true or DUE has been called; the device sees to that.
 */
void batch_hasten (void *request);

/* Does any reply of the connection that this thread serves wait? */
bool batch_has_deferred (void);

/* The requests of the connection that this thread serves are over: drop their
 * replies.
 */
void batch_defer_cancel (void);

/* This thread is about to answer a read with the N bytes at BUF, all zero.
 * Returns true if they still are what it made them for an earlier answer; if
 * not, the caller zeroes them now.  nbdkit has a buffer for each thread, into
 * which it receives payloads, too: so this is known only as long as a thread
 * receives nothing but a header (read of 28 bytes, once) between two calls, and
 * only where it has received one: if requests are not seen here, payloads are
 * not either.  The caller has to know whether anything else, such as a filter,
 * writes into BUF.
 */
bool batch_still_zero (const void *buf, size_t n);

/* FD is about to be used in a way that is not known here: what is held is sent,
 * and FD is left alone from then on.
 */
void batch_pass_through (int fd);

/* FD is about to be closed. */
void batch_end (int fd);

/* This thread is about to wait for something: what it holds is sent. */
void batch_before_wait (void);

/* Before a signal tells nbdkit to stop, all connections end, for it and for its
 * clients.  batch_stop_find lets the calls of batch_libc, as it is by then,
 * know of that; batch_stop_heed goes before nbdkit's handlers, once these are
 * there.
 */
void batch_stop_find (void);
void batch_stop_heed (void);

/* In a child after fork: the connections are the parent's. */
void batch_after_fork (void);

#endif /* NULLBLK_BATCH_SOCKET_INTERNAL_H */
