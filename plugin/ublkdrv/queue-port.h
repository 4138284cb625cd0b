/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The port of a queue of a ublk device: where its thread fetches requests,
 * moves their data, and answers them.
 *
 *     /dev/ublkcN
 *       │ a table, mapped: what is asked, by tag
 *       │ a command for each tag, in the ring: it fetches the first request of
 *       │   the tag, and then answers that and fetches the next one
 *       │ data: read and written at an offset for each tag
 *     port ── begin (request)
 *
 * Only the thread that has made the ring uses a port, except for port_close.
 */

#ifndef NULLBLK_UBLKDRV_QUEUE_PORT_H
#define NULLBLK_UBLKDRV_QUEUE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel.h"
#include "ring.h"

struct port;

/* One tag, of which the kernel has one request at a time. */
struct port_request {
  struct ring_event event;
  struct port *port;
  unsigned tag;
  const struct ublksrv_io_desc *asked; /* from `begin` until it is answered */

  /* The command that the kernel was given last, and the answer that the command
   * carries: if the kernel could not take the command, it is given again.
   */
  unsigned command;
  struct ublksrv_io_cmd told;
};

/* A port that is all 0 but for fd, which is -1, is closed. */
struct port {
  struct ring *ring;
  int fd; /* of /dev/ublkcN, the caller's */
  unsigned queue;
  void (*begin) (struct port_request *r); /* the kernel asks something */
  const struct ublksrv_io_desc *table;
  size_t table_size;
  unsigned fetching; /* tags whose command is the kernel's, or being served */
  int error;         /* 0, or what the kernel refused a command with */
};

/* The port of QUEUE of the device FD.  RING and FD outlive it. */
void port_open (struct port *p, struct ring *ring, int fd, unsigned queue,
                void (*begin) (struct port_request *r));

/* Map the table, which has DEPTH tags: when all have been fetched, and before
 * the device is started, or goes on.  If a process that had mapped the table
 * was killed before it fetched, Linux before 6.16 lets no other process have
 * the device.  Returns 0 or a negative errno.
 */
int port_map (struct port *p, unsigned depth);

/* Unmap the table, when the ring is gone; called by any thread. */
void port_close (struct port *p);

/* Fetch the first request of TAG into *r.  When it comes, ring_run calls BEGIN
 * with it.
 */
void port_fetch (struct port *p, struct port_request *r, unsigned tag);

/* May requests still come?  None do once the kernel has stopped the device, or
 * has refused a command.  In the second case the request of that command's tag
 * ends only when the ring is destroyed.
 */
static inline bool
port_is_open (const struct port *p)
{
  return p->fetching > 0 && p->error == 0;
}

/* Answer the request with RESULT, bytes or a negative errno, and fetch the next
 * one.  SECTOR is where an append has written; 0 for all others.
 */
void port_answer (struct port_request *r, int result, uint64_t sector);

/* Take N bytes from the kernel's buffer of a request that writes, or put N
 * bytes into the kernel's buffer of a request that reads, AT bytes behind the
 * beginning of the buffer.  Returns 0 or a negative errno.
 */
int port_take (const struct port_request *r, void *buf, size_t n, size_t at);
int port_put (const struct port_request *r, const void *buf, size_t n,
              size_t at);

#endif /* NULLBLK_UBLKDRV_QUEUE_PORT_H */
