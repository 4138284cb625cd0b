/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * NBD's requests and simple replies as bytes, for programs that speak to a
 * server themselves once libnbd has shaken hands, and the table of the requests
 * that a server has not answered yet.
 *
 * Integers are big endian on the wire.  A request has 28 bytes before its data,
 * a reply 16:
 *
 *     magic 4, flags 2, type 2, cookie 8, offset 8, count 4
 *     magic 4, error 4, cookie 8
 */

#ifndef NULLBLK_NBDWIRE_H
#define NULLBLK_NBDWIRE_H

#include <stdbool.h>
#include <stdint.h>

#define NBD_REQUEST_SIZE 28
#define NBD_REPLY_SIZE 16

enum nbd_command {
  NBD_CMD_READ = 0,
  NBD_CMD_WRITE = 1,
  NBD_CMD_FLUSH = 3,
  NBD_CMD_TRIM = 4,
  NBD_CMD_WRITE_ZEROES = 6
};

enum nbd_command_flag { NBD_CMD_FLAG_FUA = 1, NBD_CMD_FLAG_NO_HOLE = 2 };

/* Write a request to the NBD_REQUEST_SIZE bytes at P. */
void nbd_put_request (uint8_t *p, enum nbd_command type, unsigned flags,
                      uint64_t cookie, uint64_t offset, uint32_t count);

/* Parse the NBD_REPLY_SIZE bytes at P: *ERR becomes 0 or a negative errno, -EIO
 * for an error that NBD does not define.  Returns false if they are no simple
 * reply.
 */
bool nbd_take_reply (const uint8_t *p, uint64_t *cookie, int *err);

/* The requests that a server was sent and has not answered, by their cookies.
 * A cookie is an index of the table, and a number that grows each time that the
 * entry is freed, so that a second reply to a request is noticed.  All 0 at
 * first.  Nothing here locks.
 */
struct sent_table {
  struct sent {
    void *request; /* NULL: free */
    uint32_t number;
    uint32_t next_free; /* index of the next free one, and 1; 0: none */
  } * entry;
  uint32_t size;
  uint32_t first_free; /* index of a free one, and 1; 0: none */
};

/* Add a request.  Returns false if there is no memory. */
bool sent_add (struct sent_table *t, void *request, uint64_t *cookie);

/* Returns the request with this cookie, or NULL. */
void *sent_find (const struct sent_table *t, uint64_t cookie);

/* Remove the request of that cookie, which sent_find has found. */
void sent_remove (struct sent_table *t, uint64_t cookie);

/* Remove any request, and return it; NULL if there is none. */
void *sent_take_any (struct sent_table *t);

void sent_destroy (struct sent_table *t);

#endif /* NULLBLK_NBDWIRE_H */
