/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The functions of libnullblk-batch.so (batch-socket-internal.h) for the plugin
 * that is loaded into the same nbdkit, which finds their table by dlsym.  The
 * two may be of different releases: any change here, also of what a function
 * promises, needs another BATCH_VERSION, and a plugin that finds another
 * version does not use the library.
 */

#ifndef NULLBLK_BATCH_FUNCTIONS_INTERNAL_H
#define NULLBLK_BATCH_FUNCTIONS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BATCH_VERSION 12

/* The symbol's name: a const struct batch_functions. */
#define BATCH_FUNCTIONS "nullblk_batch_functions"

/* The library calls this when it answers a request whose reply was deferred: at
 * its due time, or before if the server stops or the client has GONE.  *MOMENT
 * is the present one.  It returns 0; or a negative errno, and the reply is
 * replaced by one with that error; or DUE_NO_ANSWER; or, unless GONE,
 * DUE_AGAIN, and is called again at the moment that it has put into *MOMENT.
 * It is called on the thread that serves the connection (or on one that ends
 * the connection), with locks of the library held: it may hasten requests, and
 * make the library shut the connection's socket down, and nothing else.
 */
typedef int batch_due (void *request, uint64_t *moment, bool gone);

/* The library calls this to have a request that was set aside tried again.  It
 * returns true, and the reply is due at *MOMENT, or at once if that has passed;
 * or false, and the request is to be tried again when it is hastened, or at
 * *MOMENT.  It is called as a batch_due is, but may take long: only its own
 * connection waits for it.  It may hasten requests, and nothing else.
 */
typedef bool batch_retry (void *request, const void *payload, uint64_t *moment);

/* What the library calls to have a plain request done (batch-plain.c), for the
 * connection that has nbdkit's handle ARG.  Each does the request at once,
 * on the thread that serves the connection, and with locks of the library held,
 * and returns true.  Or it returns false where the request is not allowed, may
 * wait or has failed, and nbdkit gets the request.  Then it is as if there had
 * been no call; but a write may have changed data if it has failed, or if power
 * was cut under it.
 */
struct batch_device {
  /* BUF is NULL where the device is_zero. */
  bool (*read) (void *arg, void *buf, uint32_t count, uint64_t offset);
  bool (*write) (void *arg, const void *buf, uint32_t count, uint64_t offset);

  /* A read or write at OFFSET, which may be any, is the next but one: this may
   * have the CPU fetch what it needs.  NULL: there is nothing to fetch.
   */
  void (*expect) (void *arg, bool is_write, uint64_t offset);
  bool is_zero; /* all reads are of zeroes, and nobody looks at what is written:
                 * not even nbdkit's plugin, if it gets the request */
};

/* Each is the function of batch-socket-internal.h with batch_ before its name
 * (set_serial is batch_set_serial).
 */
struct batch_functions {
  uint32_t version; /* stays the first */
  void (*set_serial) (bool serial);
  void (*set_waits) (bool waits);
  unsigned (*depth) (void);
  uint64_t (*arrival) (void);
  bool (*before_reply) (void (*end) (void *arg), void *arg);
  bool (*still_zero) (const void *buf, size_t n);
  const void *(*payload) (const void *buf, size_t n);
  void *(*answer_buffer) (void *buf, size_t n);
  bool (*defer) (uint64_t due_at, uint64_t spin, batch_due *due,
                 const void *request, size_t size, size_t data);
  void *(*set_aside) (uint64_t until, uint64_t spin, batch_retry *retry,
                      batch_due *due, const void *request, size_t size,
                      const void *payload, size_t n);
  void (*hasten) (void *request);
  bool (*has_deferred) (void);
  void (*defer_cancel) (void);
  void (*before_wait) (void);
  void (*offer) (const struct batch_device *device, void *arg, bool is_write,
                 uint32_t count, uint64_t offset);
};

#endif /* NULLBLK_BATCH_FUNCTIONS_INTERNAL_H */
