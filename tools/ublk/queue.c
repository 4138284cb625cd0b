/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue; see queue.h.
 *
 * A request goes this way.  Functions that are named for a moment (fetched,
 * is_done) are called at that moment by the ring, or by a link.
 *
 *     fetched ─> begin ─┬─> submit_data ─────────────────> data_is_done ─┐
 *                       ├─> clear ─> clear_part ───────> part_is_done ───┤
 *                       ├─> append ─> take_turn ─> ... ─> append_is_done ┤
 *                       ├─> command ───────────────────> command_is_done ┤
 *                       ├─> report ─────────────────────> report_is_done ┤
 *                       │     explain <── where one of them fails ───────┤
 *                       │     zone_is_read, all_zones_are_read ──────────┤
 *                       └──────────────────── answer <───────────────────┘
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <liburing.h>

#include "link.h"
#include "queue.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

static const char reset_all[] = "zones=reset\n";

struct request {
  struct event event;
  struct queue *queue;
  unsigned tag;
  const struct ublk_request *asked;
  unsigned command; /* what the kernel has last been told, and again if it */
  struct ublk_answer told; /* could not take it */

  struct io io;         /* what the server is asked for, one at a time */
  struct append append; /* of an append */
  uint64_t zone;
  uint64_t end; /* bytes within the device, of what clears */
  int error;    /* that explain looks into */
  struct zone_descriptor descriptor;
  struct zone_descriptor *table; /* a report, or NULL */

  struct request *next; /* of those that wait for the whole table */
};

/* A read of the table of all zones, of which a queue has one at a time. */
struct table_read {
  struct io io;
  struct zone_descriptor *table; /* while it is on its way */
  struct request *of;            /* those that it is for, in a list */
  struct request *later; /* those that failed after it was sent, in a list */
};

struct queue {
  const struct device *device;
  const struct plan *plan;
  unsigned index;
  pthread_t thread;
  sem_t is_ready;
  struct message *why; /* until it is ready: where it failed */
  bool has_failed;

  struct ring *ring;
  const struct ublk_request *table; /* the kernel's */
  size_t table_size;
  struct connections connections;
  struct link *data, *zones, *config;
  struct table_read all_zones;
  uint64_t most_cleared; /* bytes of one discard, or write of zeroes */
  unsigned fetching; /* tags whose command is the kernel's, or being served */
  int fetch_error;

  /* Appends of this queue whose turn has come through another queue. */
  pthread_mutex_t lock;
  struct append *woken, **last_woken;
  int wake_fd;
  uint64_t wakes;
  struct event wake;

  struct request requests[];
};

#define OF(type, member, pointer)                                              \
  ((type *) ((char *) (pointer) -offsetof (type, member)))

/*---------------------------------------------------------------------*/
/* Commands to the kernel */

static void
put_command (struct request *r)
{
  struct io_uring_sqe *sqe = ring_request (r->queue->ring, &r->event);

  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = r->queue->device->fd;
  sqe->cmd_op = r->command;
  memcpy (sqe->cmd, &r->told, sizeof r->told);
}

static void
tell (struct request *r, unsigned command, int result, uint64_t sector)
{
  r->command = command;
  r->told = (struct ublk_answer){.queue = r->queue->index,
                                 .tag = r->tag,
                                 .result = result,
                                 .sector = sector};
  put_command (r);
}

static void
answer_at (struct request *r, int result, uint64_t sector)
{
  tell (r, UBLK_COMMIT_AND_FETCH, result, sector);
}

static void
answer (struct request *r, int result)
{
  answer_at (r, result, 0);
}

/*---------------------------------------------------------------------*/
/* Data */

static uint64_t
bytes_of (uint64_t sectors)
{
  return sectors << ZONE_SECTOR_SHIFT;
}

/* Out of what the kernel writes, and into what it reads. */
static int
from_kernel (struct io *io, void *buf, size_t n, size_t at)
{
  struct request *r = OF (struct request, io, io);
  const uint64_t offset = ublk_data_offset (r->queue->index, r->tag) + at;
  const ssize_t moved = pread (r->queue->device->fd, buf, n, offset);

  return moved == (ssize_t) n ? 0 : moved == -1 ? -errno : -EIO;
}

static int
put_to_kernel (struct request *r, const void *buf, size_t n, size_t at)
{
  const uint64_t offset = ublk_data_offset (r->queue->index, r->tag) + at;
  const ssize_t moved = pwrite (r->queue->device->fd, buf, n, offset);

  return moved == (ssize_t) n ? 0 : moved == -1 ? -errno : -EIO;
}

static int
to_kernel (struct io *io, void *buf, size_t n, size_t at)
{
  return put_to_kernel (OF (struct request, io, io), buf, n, at);
}

static void
submit (struct request *r, struct link *link, enum io_kind kind,
        uint64_t offset, uint64_t count, void *buf,
        void (*done) (struct io *io, int err))
{
  r->io.kind = kind;
  r->io.fua = (r->asked->operation & UBLK_IO_FUA) != 0;
  r->io.no_hole = (r->asked->operation & UBLK_IO_NO_UNMAP) != 0;
  r->io.offset = offset;
  r->io.count = count;
  r->io.buf = buf;
  r->io.move = kind == IO_READ ? to_kernel : from_kernel;
  r->io.done = done;
  link_submit (link, &r->io);
}

/*---------------------------------------------------------------------*/
/* Failures of what is about a zone */

/* TABLE has NR_ZONES, and the request's is the one at ZONE; or it is NULL. */
static void
answer_failure (struct request *r, const struct zone_descriptor *table,
                uint64_t nr_zones, uint64_t zone)
{
  const struct ublk_params *p = &r->queue->plan->params;
  const struct zoned_failure f = {
      .error = r->error,
      .table = table,
      .nr_zones = nr_zones,
      .zone = zone,
      .max_open = p->max_open_zones,
      .max_active = p->max_active_zones,
  };

  answer (r, zoned_error (&f));
}

static void
zone_is_read (struct io *io, int err)
{
  struct request *r = OF (struct request, io, io);

  answer_failure (r, err == 0 ? &r->descriptor : NULL, 1, 0);
}

static void
read_zone (struct request *r)
{
  submit (r, r->queue->zones, IO_READ, r->zone * ZONE_DESCRIPTOR_SIZE,
          ZONE_DESCRIPTOR_SIZE, &r->descriptor, zone_is_read);
}

static void read_all_zones (struct queue *q);

static void
all_zones_are_read (struct io *io, int err)
{
  struct queue *q = OF (struct queue, all_zones.io, io);
  struct table_read *t = &q->all_zones;
  struct request *r;

  while ((r = t->of) != NULL) {
    t->of = r->next;
    answer_failure (r, err == 0 ? t->table : NULL, q->plan->nr_zones, r->zone);
  }
  free (t->table);
  t->table = NULL;
  if (t->later != NULL)
    read_all_zones (q);
}

/* For all that have failed by now: the table is as it is after each of their
 * failures.
 */
static void
read_all_zones (struct queue *q)
{
  const uint64_t size = q->plan->nr_zones * ZONE_DESCRIPTOR_SIZE;
  struct table_read *t = &q->all_zones;
  struct request *r;

  t->table = malloc (size);
  if (t->table == NULL) {
    while ((r = t->later) != NULL) {
      t->later = r->next;
      read_zone (r);
    }
    return;
  }
  t->of = t->later;
  t->later = NULL;
  t->io.kind = IO_READ;
  t->io.count = size;
  t->io.buf = t->table;
  t->io.done = all_zones_are_read;
  link_submit (q->zones, &t->io);
}

/* Read the zone, or where it may be limits that have refused it, all zones, to
 * tell the kernel why it has failed.  A table of many zones is large, and many
 * writes fail for one reason, so those that fail while it is read share the
 * next one.
 */
static void
explain (struct request *r, int err)
{
  struct queue *q = r->queue;
  const struct zoned_failure f = {.error = err,
                                  .max_open = q->plan->params.max_open_zones,
                                  .max_active =
                                      q->plan->params.max_active_zones};

  r->error = err;
  if (!zoned_needs_table (&f)) {
    read_zone (r);
    return;
  }
  r->next = q->all_zones.later;
  q->all_zones.later = r;
  if (q->all_zones.table == NULL)
    read_all_zones (q);
}

/*---------------------------------------------------------------------*/
/* Reads, writes, flushes, and what clears */

static void
data_is_done (struct io *io, int err)
{
  struct request *r = OF (struct request, io, io);
  struct appends *appends = r->queue->device->appends;
  const bool is_write = io->kind == IO_WRITE && appends != NULL;

  if (err == 0) {
    if (is_write)
      appends_note_write (appends, r->zone, io->offset + io->count);
    answer (r, io->kind == IO_READ || io->kind == IO_WRITE ? io->count : 0);
  }
  else if (is_write) {
    appends_forget (appends, r->zone);
    explain (r, err);
  }
  else
    answer (r, zoned_plain_error (err));
}

static void
submit_data (struct request *r, enum io_kind kind)
{
  const uint64_t offset = bytes_of (r->asked->sector);

  if (r->queue->plan->zone_size != 0)
    r->zone = offset / r->queue->plan->zone_size;
  submit (r, r->queue->data, kind, offset, bytes_of (r->asked->count), NULL,
          data_is_done);
}

/* Discards and writes of zeroes have no data, and so their size has no limit in
 * NBD but that of its 32 bits.  A server that finds one too large says EINVAL
 * or EOVERFLOW; then the queue clears in parts from there on.
 */

static void clear_part (struct request *r, enum io_kind kind, uint64_t offset);

static void
part_is_done (struct io *io, int err)
{
  struct request *r = OF (struct request, io, io);
  struct queue *q = r->queue;
  const uint64_t at = io->offset + io->count;

  if (err == 0 && at < r->end)
    clear_part (r, io->kind, at);
  else if ((err == -EINVAL || err == -EOVERFLOW) &&
           io->count > q->plan->sure_to_clear) {
    q->most_cleared = q->plan->sure_to_clear;
    clear_part (r, io->kind, io->offset);
  }
  else
    answer (r, err == 0 ? 0 : zoned_plain_error (err));
}

static void
clear_part (struct request *r, enum io_kind kind, uint64_t offset)
{
  const uint64_t left = r->end - offset, most = r->queue->most_cleared;

  submit (r, r->queue->data, kind, offset, left < most ? left : most, NULL,
          part_is_done);
}

static void
clear (struct request *r, enum io_kind kind)
{
  const uint64_t offset = bytes_of (r->asked->sector);

  r->end = offset + bytes_of (r->asked->count);
  clear_part (r, kind, offset);
}

/*---------------------------------------------------------------------*/
/* Appends */

static void take_turns (struct append *list, struct queue *here);

static void
append_is_done (struct io *io, int err)
{
  struct request *r = OF (struct request, io, io);
  struct queue *q = r->queue;
  struct append *list;
  bool is_over;

  list = appends_end (q->device->appends, &r->append, err, &is_over);
  if (is_over) {
    if (err == 0)
      answer_at (r, io->count, io->offset >> ZONE_SECTOR_SHIFT);
    else
      explain (r, err);
  }
  take_turns (list, q);
}

static void
pointer_is_read (struct io *io, int err)
{
  struct request *r = OF (struct request, io, io);
  struct queue *q = r->queue;
  uint64_t pointer = 0, end = 0;

  if (err == 0 && !zoned_is_same (&r->descriptor, &q->plan->table[r->zone]))
    err = -EIO;
  if (err == 0)
    zoned_room (&r->descriptor, &pointer, &end);
  take_turns (
      appends_learn (q->device->appends, &r->append, err == 0, pointer, end),
      q);
}

static void
take_turn (struct request *r)
{
  struct queue *q = r->queue;

  switch (r->append.turn) {
  case APPEND_WAITS:
    break;
  case APPEND_READS:
    submit (r, q->zones, IO_READ, r->zone * ZONE_DESCRIPTOR_SIZE,
            ZONE_DESCRIPTOR_SIZE, &r->descriptor, pointer_is_read);
    break;
  case APPEND_GOES:
    submit (r, q->data, IO_WRITE, r->append.offset, r->append.count, NULL,
            append_is_done);
    break;
  case APPEND_REFUSED:
    explain (r, -EIO);
    break;
  }
}

/* Have each go on in the thread of its queue. */
static void
take_turns (struct append *list, struct queue *here)
{
  static const uint64_t one = 1;
  struct append *append;
  struct request *r;
  ssize_t written;

  while ((append = list) != NULL) {
    list = append->next;
    r = OF (struct request, append, append);
    if (r->queue == here) {
      take_turn (r);
      continue;
    }
    append->next = NULL;
    pthread_mutex_lock (&r->queue->lock);
    *r->queue->last_woken = append;
    r->queue->last_woken = &append->next;
    pthread_mutex_unlock (&r->queue->lock);
    written = write (r->queue->wake_fd, &one, sizeof one);
    (void) written; /* it fails only when 2^64 of them are unread */
  }
}

static void
await_wake (struct queue *q)
{
  struct io_uring_sqe *sqe = ring_request (q->ring, &q->wake);

  io_uring_prep_read (sqe, q->wake_fd, &q->wakes, sizeof q->wakes, 0);
  io_uring_sqe_set_data (sqe, &q->wake);
}

static void
woken (struct event *event, int result)
{
  struct queue *q = OF (struct queue, wake, event);
  struct append *list;

  (void) result;
  pthread_mutex_lock (&q->lock);
  list = q->woken;
  q->woken = NULL;
  q->last_woken = &q->woken;
  pthread_mutex_unlock (&q->lock);
  take_turns (list, q);
  await_wake (q);
}

static void
append (struct request *r)
{
  struct queue *q = r->queue;

  r->zone = bytes_of (r->asked->sector) / q->plan->zone_size;
  r->append.zone = r->zone;
  r->append.count = bytes_of (r->asked->count);
  r->append.connection = q->index;
  appends_begin (q->device->appends, &r->append);
  take_turn (r);
}

/*---------------------------------------------------------------------*/
/* Zones */

static void
command_is_done (struct io *io, int err)
{
  struct request *r = OF (struct request, io, io);

  appends_forget (r->queue->device->appends, r->zone);
  if (err == 0)
    answer (r, 0);
  else
    explain (r, err);
}

/* A descriptor in the condition that is asked for. */
static void
command (struct request *r)
{
  struct queue *q = r->queue;

  r->zone = bytes_of (r->asked->sector) / q->plan->zone_size;
  memset (&r->descriptor, 0, sizeof r->descriptor);
  r->descriptor.cond = zoned_condition (UBLK_OPERATION (r->asked));
  submit (r, q->zones, IO_WRITE, r->zone * ZONE_DESCRIPTOR_SIZE,
          ZONE_DESCRIPTOR_SIZE, &r->descriptor, command_is_done);
}

static void
all_are_reset (struct io *io, int err)
{
  struct request *r = OF (struct request, io, io);

  appends_forget_all (r->queue->device->appends);
  answer (r, err == 0 ? 0 : zoned_plain_error (err));
}

static void
command_all (struct request *r)
{
  char *text;

  memcpy (&text, &(const char *){reset_all}, sizeof text); /* it is only read */
  submit (r, r->queue->config, IO_WRITE, 0, sizeof reset_all - 1, text,
          all_are_reset);
}

/* The kernel believes what it is told, and goes on for ever after a zone
 * without a length: a report is as true as the one at the beginning, or fails.
 */
static bool
is_true (const struct request *r, uint64_t first, uint64_t n)
{
  uint64_t i;

  for (i = 0; i < n; i++) {
    if (!zoned_is_same (&r->table[i], &r->queue->plan->table[first + i]))
      return false;
  }
  return true;
}

static void
report_is_done (struct io *io, int err)
{
  struct request *r = OF (struct request, io, io);
  const uint64_t n = io->count / ZONE_DESCRIPTOR_SIZE;

  if (err == 0 && !is_true (r, io->offset / ZONE_DESCRIPTOR_SIZE, n))
    err = -EIO;
  if (err == 0) {
    zoned_report (r->table, n);
    err = put_to_kernel (r, r->table, io->count, 0);
  }
  /* The kernel's buffer may have room for more zones than it asks for, and less
   * than all of it would be taken for a part: so this is at least all of it.
   */
  answer (r, err == 0 ? (int) r->queue->plan->max_io : zoned_plain_error (err));
  free (r->table);
  r->table = NULL;
}

static void
report (struct request *r)
{
  const struct plan *plan = r->queue->plan;
  const uint64_t first = bytes_of (r->asked->sector) / plan->zone_size;
  uint64_t n = r->asked->count;

  if (first >= plan->nr_zones || n == 0) {
    answer (r, -EIO);
    return;
  }
  if (n > plan->nr_zones - first)
    n = plan->nr_zones - first;
  r->table = malloc (n * sizeof *r->table);
  if (r->table == NULL)
    answer (r, -ENOMEM);
  else
    submit (r, r->queue->zones, IO_READ, first * ZONE_DESCRIPTOR_SIZE,
            n * ZONE_DESCRIPTOR_SIZE, r->table, report_is_done);
}

/*---------------------------------------------------------------------*/
/* The queue */

static void
begin (struct request *r)
{
  switch (UBLK_OPERATION (r->asked)) {
  case UBLK_READ:
    submit_data (r, IO_READ);
    return;
  case UBLK_WRITE:
    submit_data (r, IO_WRITE);
    return;
  case UBLK_FLUSH:
    submit_data (r, IO_FLUSH);
    return;
  case UBLK_DISCARD:
    clear (r, IO_TRIM);
    return;
  case UBLK_WRITE_ZEROES:
    clear (r, IO_ZERO);
    return;
  }
  if (r->queue->plan->zone_size != 0) {
    switch (UBLK_OPERATION (r->asked)) {
    case UBLK_ZONE_OPEN:
    case UBLK_ZONE_CLOSE:
    case UBLK_ZONE_FINISH:
    case UBLK_ZONE_RESET:
      command (r);
      return;
    case UBLK_ZONE_RESET_ALL:
      command_all (r);
      return;
    case UBLK_ZONE_APPEND:
      append (r);
      return;
    case UBLK_REPORT_ZONES:
      report (r);
      return;
    }
  }
  answer (r, -EOPNOTSUPP);
}

/* The command of a tag is done: there is a request, or the device is stopped;
 * or the kernel could not take the command for the moment, and so has not heard
 * the answer in it.
 */
static void
fetched (struct event *event, int result)
{
  struct request *r = OF (struct request, event, event);

  if (result == 0) {
    begin (r);
    return;
  }
  if (result == -EAGAIN || result == -ENOMEM || result == -EINTR) {
    put_command (r);
    return;
  }
  r->queue->fetching--;
  if (result != -ENODEV)
    r->queue->fetch_error = result;
}

static int
map_table (struct queue *q)
{
  const size_t page = sysconf (_SC_PAGESIZE);
  void *p;

  q->table_size = (q->plan->depth * sizeof *q->table + page - 1) / page * page;
  p = mmap (NULL, q->table_size, PROT_READ, MAP_SHARED | MAP_POPULATE,
            q->device->fd, ublk_table_offset (q->index, page));
  if (p == MAP_FAILED)
    return -errno;
  q->table = p;
  return 0;
}

/* All that its thread needs, which makes it. */
static int
prepare (struct queue *q)
{
  unsigned i;
  int r;

  /* What it allocates while it serves a write must not wait for that write. */
  prctl (PR_SET_IO_FLUSHER, 1, 0, 0, 0);
  q->ring = ring_create (2 * q->plan->depth + 16, false);
  if (q->ring == NULL)
    return -errno;
  r = map_table (q);
  if (r < 0)
    return r;
  q->data = link_create (q->connections.data, q->ring);
  if (q->data == NULL)
    return -ENOMEM;
  if (q->plan->zone_size != 0) {
    q->zones = link_create (q->connections.zones, q->ring);
    q->config = link_create (q->connections.config, q->ring);
    if (q->zones == NULL || q->config == NULL)
      return -ENOMEM;
  }
  await_wake (q);
  for (i = 0; i < q->plan->depth; i++) {
    q->requests[i].event.happened = fetched;
    q->requests[i].queue = q;
    q->requests[i].tag = i;
    q->requests[i].asked = &q->table[i];
    tell (&q->requests[i], UBLK_FETCH, -1, 0);
    q->fetching++;
  }
  r = ring_run (q->ring, false);
  return r < 0 ? r : q->fetch_error;
}

/* Until the device is stopped, or the kernel has refused what it was told: the
 * request would have no end then, unless the queue has one.
 */
static void
serve (struct queue *q)
{
  while (q->fetching > 0 && q->fetch_error == 0) {
    /* What is answered by one may ask another for something. */
    while (link_pump (q->data) || (q->zones != NULL && (link_pump (q->zones) ||
                                                        link_pump (q->config))))
      ;
    if (ring_run (q->ring, true) < 0)
      break;
  }
}

static void *
run (void *arg)
{
  static const uint64_t one = 1;
  struct queue *q = arg;
  const int r = prepare (q);
  ssize_t written;

  if (r < 0) {
    q->has_failed = true;
    message_set (q->why, "queue %u: %s", q->index, strerror (-r));
  }
  sem_post (&q->is_ready);
  if (r == 0)
    serve (q);
  ring_destroy (q->ring);
  if (r == 0) {
    written = write (q->device->ended, &one, sizeof one);
    (void) written; /* it fails only when 2^64 of them are unread */
  }
  return NULL;
}

static void
destroy (struct queue *q)
{
  unsigned i;

  for (i = 0; i < q->plan->depth; i++)
    link_release_io (&q->requests[i].io);
  link_release_io (&q->all_zones.io);
  free (q->all_zones.table);
  link_destroy (q->data);
  link_destroy (q->zones);
  link_destroy (q->config);
  if (q->table != NULL)
    munmap ((void *) (uintptr_t) q->table, q->table_size);
  if (q->wake_fd != -1)
    close (q->wake_fd);
  pthread_mutex_destroy (&q->lock);
  sem_destroy (&q->is_ready);
  free (q);
}

struct queue *
queue_start (const struct device *device, unsigned index,
             const struct connections *connections, struct message *why)
{
  const unsigned depth = device->plan->depth;
  struct queue *q = calloc (1, sizeof *q + depth * sizeof q->requests[0]);
  int err;

  if (q == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  q->device = device;
  q->plan = device->plan;
  q->index = index;
  q->connections = *connections;
  q->most_cleared = UINT32_MAX; /* no request of the kernel's has more */
  q->why = why;
  q->last_woken = &q->woken;
  q->wake.happened = woken;
  q->wake_fd = eventfd (0, EFD_CLOEXEC);
  pthread_mutex_init (&q->lock, NULL);
  sem_init (&q->is_ready, 0, 0);
  err = q->wake_fd == -1 ? errno : pthread_create (&q->thread, NULL, run, q);
  if (err != 0) {
    message_set (why, "queue %u: %s", index, strerror (err));
    destroy (q);
    return NULL;
  }
  while (sem_wait (&q->is_ready) == -1)
    ;
  if (q->has_failed) {
    queue_join (q);
    return NULL;
  }
  return q;
}

void
queue_join (struct queue *q)
{
  pthread_join (q->thread, NULL);
  destroy (q);
}
