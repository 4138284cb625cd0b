/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The port of a queue; see queue-port.h.
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <liburing.h>

#include "queue-port.h"

static void
put_command (struct port_request *r)
{
  struct io_uring_sqe *sqe = ring_get_sqe (r->port->ring, &r->event);

  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = r->port->fd;
  sqe->cmd_op = r->command;
  memcpy (sqe->cmd, &r->told, sizeof r->told);
}

static void
tell (struct port_request *r, unsigned command, int result, uint64_t sector)
{
  r->command = command;
  r->told = (struct ublksrv_io_cmd){.queue = r->port->queue,
                                    .tag = r->tag,
                                    .result = result,
                                    .sector = sector};
  put_command (r);
}

/* The command of a tag is done: there is a request, or the device is stopped;
 * or the kernel could not take the command for the moment, and so has not heard
 * the answer in it.
 */
static void
fetched (struct ring_event *event, int result)
{
  struct port_request *r = CONTAINER_OF (struct port_request, event, event);
  struct port *p = r->port;

  if (result == 0) {
    r->asked = &p->table[r->tag];
    p->begin (r);
    return;
  }
  if (result == -EAGAIN || result == -ENOMEM || result == -EINTR) {
    put_command (r);
    return;
  }
  p->fetching--;
  if (result != -ENODEV)
    p->error = result;
}

void
port_open (struct port *p, struct ring *ring, int fd, unsigned queue,
           void (*begin) (struct port_request *r))
{
  *p = (struct port){.ring = ring, .fd = fd, .queue = queue, .begin = begin};
}

int
port_map (struct port *p, unsigned depth)
{
  const size_t page = sysconf (_SC_PAGESIZE);
  void *table;

  p->table_size = (depth * sizeof *p->table + page - 1) / page * page;
  table = mmap (NULL, p->table_size, PROT_READ, MAP_SHARED | MAP_POPULATE,
                p->fd, ublk_table_offset (p->queue, page));
  if (table == MAP_FAILED)
    return -errno;
  p->table = table;
  return 0;
}

void
port_close (struct port *p)
{
  if (p->table != NULL)
    munmap ((void *) (uintptr_t) p->table, p->table_size);
  p->table = NULL;
}

void
port_fetch (struct port *p, struct port_request *r, unsigned tag)
{
  r->event.happened = fetched;
  r->port = p;
  r->tag = tag;
  p->fetching++;
  tell (r, UBLK_U_IO_FETCH_REQ, -1, 0);
}

void
port_answer (struct port_request *r, int result, uint64_t sector)
{
  tell (r, UBLK_U_IO_COMMIT_AND_FETCH_REQ, result, sector);
}

/* The kernel's buffer is read where it writes, and written where it reads. */
int
port_take (const struct port_request *r, void *buf, size_t n, size_t at)
{
  const uint64_t offset = ublk_data_offset (r->port->queue, r->tag) + at;
  const ssize_t moved = pread (r->port->fd, buf, n, offset);

  return moved == (ssize_t) n ? 0 : moved == -1 ? -errno : -EIO;
}

int
port_put (const struct port_request *r, const void *buf, size_t n, size_t at)
{
  const uint64_t offset = ublk_data_offset (r->port->queue, r->tag) + at;
  const ssize_t moved = pwrite (r->port->fd, buf, n, offset);

  return moved == (ssize_t) n ? 0 : moved == -1 ? -errno : -EIO;
}
