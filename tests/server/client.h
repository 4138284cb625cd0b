/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the server tests in C share: a server of their own on a private socket,
 * libnbd connections to it, and helpers that turn what a server says into
 * something an assertion can show.
 *
 * There is one server at a time.  CASE stops it after each case, passed or
 * failed, after it has closed the connections, as nbdkit stays up while a
 * client is connected.  A server that has to be killed, or that ends with
 * anything but success, fails the case.
 */

#ifndef NULLBLK_CLIENT_H
#define NULLBLK_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libnbd.h>

#include "common/common.h"
#include "unit.h"

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define MSEC UINT64_C (1000000) /* in ns */

/* The clock by which the server waits, too. */
uint64_t monotonic_ns (void);

#define CASE(f) cmocka_unit_test_teardown (f, stop_server)

/* A program that hangs is ended after three minutes, and its server with it. */
#define MAIN(cases)                                                            \
  int main (void)                                                              \
  {                                                                            \
    end_with_server (180);                                                     \
    return RUN_TESTS (cases);                                                  \
  }
void end_with_server (unsigned seconds);

/* Start nbdkit with the plugin and these arguments, and wait until it
 * listens.
 */
#define serve(...) serve_args ((const char *const[]){__VA_ARGS__, NULL})
void serve_args (const char *const *args);
int stop_server (void **state);

/* Ask it to end while clients are connected; stop_server still has to be
 * called.
 */
void terminate_server (void);

/* Forget a connection, as if the client had been killed. */
void abandon (struct nbd_handle *h);

/* The path of the socket on which the server listens. */
const char *server_socket (void);

/* A handle that is not connected yet.  It asks for base:allocation, and its
 * strict mode is off so that the server sees bad requests, too.
 */
struct nbd_handle *new_handle (void);

/* Returns a connection to an export of the server. */
struct nbd_handle *connect_to (const char *export_name);

/* The same as serve, with a connection to the first device. */
#define serve_with_connection(...) (serve (__VA_ARGS__), connect_to (""))

/* End a connection before the case does. */
void disconnect (struct nbd_handle *h);

/* The same as serve_args, with connections to the device and to its control
 * exports.
 */
void serve_with_control (const char *const *args, struct nbd_handle **device,
                         struct nbd_handle **config, struct nbd_handle **stats);

/* Change settings: lines of KEY=VALUE. */
void change_settings (struct nbd_handle *config, const char *lines);

/* Returns the statistics as they are now; the text lasts until the next call.
 */
const char *read_stats (struct nbd_handle *stats);

void assert_stats_have (struct nbd_handle *stats, const char *what);

/* Assert that a change is refused, with a reason that begins with REASON. */
void assert_change_refused (struct nbd_handle *config, const char *lines,
                            const char *reason);

/* Wait until the device has so many requests in service. */
void wait_for_depth (struct nbd_handle *stats, unsigned depth);

/* Does the server have the batch library, which defers replies? */
bool defers_replies (struct nbd_handle *stats);

/* The longest time that an operation, as "read", was asked to take, in ns. */
uint64_t longest_asked (struct nbd_handle *stats, const char *op);

/* Assert what fault rule ID has counted. */
void assert_rule (struct nbd_handle *stats, unsigned id, uint64_t evaluated,
                  uint64_t hits);

/* The word for each operation in rules. */
extern const char *const operation_words[NR_OPERATIONS];

/* A request of any operation but a zone command: read into DATA, or write from
 * it.  Returns 0 or -1, as libnbd does.
 */
int request_at (struct nbd_handle *device, enum operation op, void *data,
                uint64_t count, uint64_t offset);

/* The same for 4 KiB at the beginning of a zone of 64 KiB, or for none, or a
 * zone command, which resets it.
 */
int request_in_zone (struct nbd_handle *device, struct nbd_handle *zones,
                     enum operation op, unsigned zone);

/* Assert that CALL fails with this errno. */
#define assert_refused(expected, call)                                         \
  do {                                                                         \
    assert_int_equal (call, -1);                                               \
    assert_int_equal (nbd_get_errno (), expected);                             \
  } while (0)

#define assert_done(call)                                                      \
  do {                                                                         \
    if ((call) == -1)                                                          \
      fail_msg ("%s: %s", #call, nbd_get_error ());                            \
  } while (0)

/* Send one block-status request.  Returns 0 or -1, as libnbd does. */
int ask_extents (struct nbd_handle *h, uint64_t count, uint64_t offset,
                 uint32_t flags);

/* The extents that one block-status request gives, as "8192 data, 4096 hole".
 * The text lasts until the next call.
 */
const char *extents_of (struct nbd_handle *h, uint64_t count, uint64_t offset,
                        uint32_t flags);

#define assert_extents(h, count, offset, expected)                             \
  assert_string_equal (extents_of (h, count, offset, 0), expected)

void fill_random (void *buf, size_t len, uint64_t *seed);

/* Assert that LEN bytes from OFFSET on are those at DATA, or zeroes. */
void assert_reads (struct nbd_handle *h, const void *data, size_t len,
                   uint64_t offset);
void assert_reads_zero (struct nbd_handle *h, uint64_t len, uint64_t offset);

#endif /* NULLBLK_CLIENT_H */
