/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Fewer system calls for a server that reads and sends in small pieces: the
 * functions by which batch-libc.c replaces the C library's socket calls.  The
 * diagram is in batch-socket.c.
 *
 * A function with the name of a call (batch_read) takes any descriptor, and has
 * the call's arguments and errno.  Only descriptors that were given to
 * batch_begin are batched, and only until they are duplicated, or their data is
 * transferred by another call than read, write, shutdown, close, or a send of
 * some bytes with no flags but MSG_MORE and MSG_NOSIGNAL.
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

/* The C library's own functions, to be set before anything else is called. */
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

/* Say whether the requests of a connection are served one at a time, by one
 * thread that waits for nothing but the client, and that has read all of the
 * connection's handshake.  At first they are not, and then no reply waits for
 * another.
 */
void batch_set_serial (bool serial);

/* Say whether the settings make requests wait.  If so, no thread naps before it
 * reads (batch-nap-internal.h), and none keeps locks (batch_keep_locks).
 */
void batch_set_waits (bool waits);

/* Set how many requests of a connection may be in service, before anything is
 * served; 0, as it is at first: no reply is deferred.
 */
void batch_set_depth (unsigned n);
unsigned batch_depth (void);

/* Set for how many nanoseconds at most a thread polls, instead of sleeping, for
 * the next request of a client that has one at a time, while no other
 * connection has requests, and where polling pays (common/pace.h).  0,
 * as it is at first: it never polls.
 */
void batch_set_poll (uint64_t ns);

/* Set whether plain requests are answered without nbdkit (batch-plain.c),
 * before anything is served.  At first they are not.
 */
void batch_set_plain (bool plain);

/* Call this when a connection has been accepted as FD.  If it is a stream
 * socket, it is batched from here on.
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

/* Returns the moment (nanoseconds of the monotonic clock) at which the kernel
 * gave the bytes that this thread has read last: a request that was read ahead
 * has been here since then.  Returns 0 if this thread has asked before, or has
 * waited for anything since.
 */
uint64_t batch_arrival (void);

/* The request that this thread serves is done, and the thread sends its reply
 * next.  Returns true if that may be held with others of the connection: then
 * END is called with ARG, once for all calls of this thread since the last
 * time, just before the thread sends the first of these replies, waits for
 * anything or reads from the kernel; a lock of the library is held.  All calls
 * of a connection have the same END and ARG.  Returns false where the request
 * ends now.
 */
bool batch_before_reply (void (*end) (void *arg), void *arg);

/* Have this thread's request answered at DUE_AT (of the monotonic clock, ns),
 * with SPIN as for waiter_wait.  The bytes that the thread sends next, up to
 * the end of a reply, with DATA bytes besides its headers, wait until then, and
 * DUE is called with a copy of the SIZE bytes at REQUEST, MAX_REQUEST_COPY at
 * most.  Where there is no room for the reply, this first waits for the
 * replies that are due before it, and sends them.  Returns false if the caller
 * has to wait by itself: the connection is not batched, there is no memory or
 * room, or depth is 0.
 */
bool batch_defer (uint64_t due_at, uint64_t spin, batch_due *due,
                  const void *request, size_t size, size_t data);

/* This thread's request cannot be done yet: have RETRY try it, with a copy of
 * the SIZE bytes at REQUEST, MAX_REQUEST_COPY at most, and one of the N bytes
 * at PAYLOAD, when it is hastened, or after the moment UNTIL, when all requests
 * that its client had sent by then have been served.  The bytes that the thread
 * sends next are the reply, as for batch_defer, which must have no data.
 * Returns the copy of the request; or NULL where the caller has to wait by
 * itself.
 */
void *batch_set_aside (uint64_t until, uint64_t spin, batch_retry *retry,
                       batch_due *due, const void *request, size_t size,
                       const void *payload, size_t n);

/* Have the request whose copy is REQUEST tried again.  Any thread may call
 * this, with locks of a device held: it takes none.  It must not be called any
 * more once RETRY has returned true or DUE has been called; the device sees to
 * that.
 */
void batch_hasten (void *request);

/* Has the connection that this thread serves any reply that waits, or any
 * request that was set aside?
 */
bool batch_has_deferred (void);

/* Drop the deferred replies of the connection that this thread serves. */
void batch_defer_cancel (void);

/* Call this when this thread is about to answer a read with N zeroes at BUF.
 * Returns true if the bytes there are still the zeroes of an earlier answer; if
 * not, the caller makes them zero now.  nbdkit has a buffer for each thread,
 * into which it also receives payloads.  So the answer is known only if the
 * thread has received a header (one read of 28 bytes), and nothing else, since
 * the last call: if no requests are seen here, payloads are not seen either.
 * The caller has to know whether anything else, such as a filter, writes into
 * BUF.
 */
bool batch_still_zero (const void *buf, size_t n);

/* Returns where this thread is to put the N bytes with which it answers a read,
 * and which nbdkit wants at BUF: a place from which they are sent, or BUF.  The
 * caller puts all of them there before it waits for anything, and leaves BUF
 * alone then.  If they are not sent from there after all, they are copied to
 * BUF.  Nobody else, such as a filter, may want them.
 */
void *batch_answer_buffer (void *buf, size_t n);

/* Returns where the payload of N bytes is of the write that this thread serves,
 * until the thread reads again: as a rule where it was received, which is BUF.
 * But once this has been called on a thread, a payload may be left where it was
 * read ahead, and BUF has other bytes.  So who calls this has to do so for each
 * write, and nobody else may want a payload.
 */
const void *batch_payload (const void *buf, size_t n);

/* This thread is about to do a read or write of COUNT bytes at OFFSET for
 * nbdkit, whose handle of the connection is ARG.  Where nbdkit answers it as
 * the library knows to, the library may have other reads, or writes, of this
 * connection done by DEVICE, which stays until the connection is closed.
 */
void batch_offer (const struct batch_device *device, void *arg, bool is_write,
                  uint32_t count, uint64_t offset);

/* Call this before FD is used in a way that is not known here: it sends the
 * bytes that are held, and FD is not batched any more.
 */
void batch_pass_through (int fd);

/* Call this before FD is closed. */
void batch_end (int fd);

/* Call this before this thread waits for anything: it sends the bytes that are
 * held.
 */
void batch_before_wait (void);

/* When a signal tells nbdkit to stop, all connections are to end first, for
 * nbdkit and for its clients.  Call batch_stop_wrap_calls when batch_libc is
 * set: it wraps those calls.  Call batch_stop_install_handlers when nbdkit has
 * installed its signal handlers: it puts others in front of them.
 */
void batch_stop_wrap_calls (void);
void batch_stop_install_handlers (void);

/* Call this in a child after fork: the connections are the parent's. */
void batch_after_fork (void);

#endif /* NULLBLK_BATCH_SOCKET_INTERNAL_H */
