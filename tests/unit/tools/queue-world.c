/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * See queue-world.h.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "queue-world.h"

struct device_plan plan;
struct ublk_device device;
struct zone_descriptor table[NR_ZONES];

/*---------------------------------------------------------------------*/
/* The kernel */

struct fake_kernel kernel;

struct ring *
ring_create (unsigned entries, bool wide)
{
  (void) entries;
  (void) wide;
  return (struct ring *) &kernel;
}

void
ring_destroy (struct ring *r)
{
  (void) r;
}

struct io_uring_sqe *
ring_get_sqe (struct ring *r, struct ring_event *event)
{
  (void) r;
  return fake_ring_get_sqe (&kernel.ring, event);
}

static void
take_entry (const struct io_uring_sqe *sqe, struct ring_event *event)
{
  struct ublksrv_io_cmd answer;

  if (sqe->opcode == IORING_OP_TIMEOUT)
    kernel.second = event;
  if (sqe->opcode != IORING_OP_URING_CMD)
    return;
  memcpy (&answer, sqe->cmd, sizeof answer);
  kernel.fetches[answer.tag] = event;
  if (sqe->cmd_op == UBLK_U_IO_COMMIT_AND_FETCH_REQ && kernel.nr_answers < MOST)
    kernel.answers[kernel.nr_answers++] = answer;
}

void
take_commands (void)
{
  fake_ring_take (&kernel.ring, take_entry);
}

void
say (unsigned tag, int result)
{
  struct ring_event *event = kernel.fetches[tag];

  kernel.fetches[tag] = NULL;
  event->happened (event, result);
}

void
ask (unsigned tag, enum ublk_operation operation, uint64_t sector,
     uint32_t count)
{
  kernel.requests[tag] = (struct ublksrv_io_desc){
      .operation = operation, .count = count, .sector = sector};
  say (tag, 0);
}

void
pass_seconds (unsigned n)
{
  struct ring_event *second;

  while (n-- > 0) {
    take_commands ();
    second = kernel.second;
    assert_non_null (second);
    kernel.second = NULL;
    second->happened (second, -ETIME);
  }
}

/* Are the rounds over, and a tag is not answered? */
static bool
waits_for_ever (void)
{
  unsigned i;

  for (i = 0; i < DEPTH && *kernel.rounds == NULL; i++)
    kernel.has_lost |= kernel.fetches[i] == NULL;
  return kernel.has_lost;
}

int
ring_wait (struct ring *r, uint64_t nsec)
{
  (void) r;
  take_commands ();
  if (nsec == 0)
    return 0;
  return waits_for_ever () ? -EIO : 1;
}

void
ring_dispatch (struct ring *r)
{
  unsigned i;

  (void) r;
  if (*kernel.rounds != NULL) {
    (*kernel.rounds++) ();
    return;
  }
  for (i = 0; i < DEPTH; i++)
    say (i, -ENODEV);
}

bool
ring_is_taken (const struct ring *r)
{
  (void) r;
  return !kernel.takes_nothing;
}

int
ring_run (struct ring *r, bool wait)
{
  int err = 0;

  if (!wait)
    take_commands ();
  else
    err = ring_wait (r, UINT64_MAX);
  if (wait && err >= 0)
    ring_dispatch (r);
  return err < 0 ? err : 0;
}

/*---------------------------------------------------------------------*/
/* The server */

struct link data, zones, config, new_data, new_zones, new_config;

struct fake_server server;

unsigned char content[NR_ZONES * ZONE_SIZE];

struct link *
link_create (struct nbd_handle *h, struct ring *ring)
{
  struct link *l = (struct link *) h;

  (void) ring;
  l->is_dead = false;
  l->first = NULL;
  l->last = &l->first;
  return l;
}

bool
link_is_over (struct link *l)
{
  return l->is_dead && l->first == NULL;
}

void
connection_break (struct nbd_handle *h)
{
  struct link *l = (struct link *) h;

  if (l != NULL)
    l->is_dead = true;
}

void
connection_close (struct nbd_handle *h)
{
  (void) h;
}

void
link_destroy (struct link *l)
{
  (void) l;
}

void
link_release_io (struct io *io)
{
  (void) io;
}

void
link_submit (struct link *l, struct io *io)
{
  if (server.nr_asked < MOST)
    server.asked[server.nr_asked++] =
        (struct asked){l, io->kind, io->offset, io->count};
  io->next = NULL;
  *l->last = io;
  l->last = &io->next;
}

/* Write 4 KiB at the write pointer of zone 2. */
static void
write_late (void)
{
  const uint64_t pointer = le64toh (table[2].wp);

  server.has_late_write = false;
  memset (content + pointer * 512, server.late_byte, 4096);
  table[2].wp = htole64 (pointer + 8);
  table[2].cond = ZONE_COND_CLOSED;
}

static int
serve (struct link *l, struct io *io)
{
  int err;

  if (server.dies == 0)
    connection_break ((struct nbd_handle *) l);
  if (server.dies >= 0)
    server.dies--;
  if (l->is_dead)
    return -ENOTCONN;
  if (l == &zones && io->kind == IO_READ && server.late_read > 0 &&
      --server.late_read == 0)
    write_late ();
  if ((l == &zones || l == &new_zones) && io->kind == IO_READ)
    memcpy (io->buf, (const char *) table + io->offset, io->count);
  if (io->kind == IO_READ && io->buf == NULL && server.read_error != 0)
    return server.read_error;
  if (io->kind == IO_READ && io->buf == NULL)
    return io->move (io, content + io->offset, io->count, 0);
  if (io->kind == IO_WRITE) {
    err = server.write_error;
    if (server.has_late_write) {
      write_late ();
      return -EIO;
    }
    if (server.refuses_once)
      server.write_error = 0;
    if (err == 0 && io->buf == NULL)
      err = io->move (io, content + io->offset, io->count, 0);
    return err;
  }
  if (io->kind == IO_TRIM || io->kind == IO_ZERO)
    return io->count > server.max_discard ? -EINVAL : 0;
  return 0;
}

bool
link_pump (struct link *l)
{
  struct io *io = l->first, *next;
  bool r = false;

  if (server.is_silent && !l->is_dead)
    return false;
  l->first = NULL;
  l->last = &l->first;
  for (; io != NULL; io = next) {
    next = io->next;
    if (!l->is_dead && server.ignored != 0 && io->offset == server.ignored) {
      io->next = NULL;
      *l->last = io;
      l->last = &io->next;
      continue;
    }
    io->done (io, serve (l, io));
    r = true;
  }
  return r;
}

/*---------------------------------------------------------------------*/

void
set_zones (void)
{
  unsigned i;

  for (i = 0; i < NR_ZONES; i++)
    table[i] = (struct zone_descriptor){
        .start = htole64 (i * ZONE_SECTORS),
        .len = htole64 (ZONE_SECTORS),
        .wp = htole64 (i * ZONE_SECTORS),
        .capacity = htole64 (ZONE_SECTORS),
        .type = ZONE_TYPE_SEQUENTIAL,
        .cond = ZONE_COND_EMPTY,
    };
}

void
make_device (bool zoned)
{
  static struct zone_descriptor at_first[NR_ZONES];
  const size_t page = sysconf (_SC_PAGESIZE);

  memset (&kernel, 0, sizeof kernel);
  memset (&server, 0, sizeof server);
  server.dies = -1;
  memset (&plan, 0, sizeof plan);
  set_zones ();
  memcpy (at_first, table, sizeof table);
  plan.queues = 1;
  plan.depth = DEPTH;
  plan.max_io = 4 * MIB;
  plan.fallback_discard = 32 * MIB;
  if (zoned) {
    plan.zone_size = ZONE_SIZE;
    plan.nr_zones = NR_ZONES;
    plan.table = at_first;
  }
  device.plan = &plan;
  device.appends = zoned ? appends_create (NR_ZONES, 4) : NULL;
  device.ended = -1; /* nobody waits for the end */
  device.disconnected = -1;
  device.timeout = TIMEOUT;
  device.multi_conn = false;
  device.journal = NULL;
  device.was_served = false;
  memset (content, 0, sizeof content);
  device.fd = memfd_create ("ublkc", MFD_CLOEXEC);
  assert_int_not_equal (device.fd, -1);
  assert_int_equal (ftruncate (device.fd, ublk_data_offset (0, DEPTH)), 0);
  kernel.requests =
      mmap (NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, device.fd, 0);
  assert_true (kernel.requests != MAP_FAILED);
}

struct queue *queue;

void
run (void (*const *rounds) (void))
{
  struct queue_connections c = {(struct nbd_handle *) &data,
                                (struct nbd_handle *) &zones,
                                (struct nbd_handle *) &config};
  struct message why;

  kernel.rounds = rounds;
  queue = queue_start (&device, 0, &c, &why);
  assert_non_null (queue);
  assert_true (queue_fetch (queue, &why));
  queue_join (queue);
  munmap (kernel.requests, sysconf (_SC_PAGESIZE));
  close (device.fd);
  appends_destroy (device.appends);
  assert_false (kernel.has_lost);
}

void
answered (unsigned i, unsigned tag, int result)
{
  assert_true (i < kernel.nr_answers);
  assert_int_equal (kernel.answers[i].tag, tag);
  assert_int_equal (kernel.answers[i].result, result);
}

/*---------------------------------------------------------------------*/
/* Rounds */

void
one_read (void)
{
  ask (3, UBLK_IO_OP_READ, 8, 16);
}

void
another_read (void)
{
  ask (4, UBLK_IO_OP_READ, 0, 8);
}

void
one_write (void)
{
  ask (0, UBLK_IO_OP_WRITE, 2 * ZONE_SECTORS + 8, 8);
}

void
one_append (void)
{
  ask (0, UBLK_IO_OP_ZONE_APPEND, 2 * ZONE_SECTORS, 8);
}

void
two_appends (void)
{
  one_append ();
  ask (1, UBLK_IO_OP_ZONE_APPEND, 2 * ZONE_SECTORS, 8);
}

void
one_finish (void)
{
  ask (0, UBLK_IO_OP_ZONE_FINISH, 2 * ZONE_SECTORS, 0);
}

void
was_done (enum zone_cond cond, uint64_t sectors)
{
  server.write_error = -EIO;
  table[2].cond = cond;
  table[2].wp = htole64 (2 * ZONE_SECTORS + sectors);
}
