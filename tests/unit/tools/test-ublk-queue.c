/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue of nullblk-ublk between a kernel and a server that are both here: the
 * ring and the links are functions of this file, which the queue's thread
 * calls.  A test is a list of rounds.  In each of them the kernel has some
 * requests, or says what comes of a command; then the queue goes on until it
 * waits again.  What it has told the kernel, and asked the server, is looked at
 * when its thread has ended.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <liburing.h>

#include "ublk/link.h"
#include "ublk/queue.h"
#include "driver/driver.h"
#include "unit.h"

#define MIB UINT64_C (1048576)
#define DEPTH 16
#define NR_ZONES 8
#define ZONE_SIZE MIB
#define ZONE_SECTORS (ZONE_SIZE / 512)
#define MOST 256
#define TIMEOUT 30 /* seconds */
#define PERSIST 5

static struct plan plan;
static struct device device;
static struct zone_descriptor table[NR_ZONES];

/*---------------------------------------------------------------------*/
/* The kernel */

static struct {
  struct ublk_request *requests;
  struct io_uring_sqe entries[MOST];
  struct event *events[MOST];
  unsigned nr_entries;
  struct event *fetches[DEPTH]; /* NULL: the tag is being served */
  struct ublk_answer answers[MOST];
  unsigned nr_answers;
  void (*const *rounds) (void); /* NULL is the last one */
  bool has_lost;                /* a tag, at the end */
  struct event *second;         /* that is to be told in a second; NULL: none */
  bool takes_nothing;           /* says ring_is_taken, whatever it has taken */
} kernel;

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
ring_request (struct ring *r, struct event *event)
{
  (void) r;
  if (kernel.nr_entries == MOST)
    abort ();
  kernel.events[kernel.nr_entries] = event;
  return &kernel.entries[kernel.nr_entries++];
}

/* Commands, and what counts seconds, are of interest: the other entry is for
 * appends of other queues, and there are none.
 */
static void
take_commands (void)
{
  const struct io_uring_sqe *sqe;
  struct ublk_answer answer;
  unsigned i;

  for (i = 0; i < kernel.nr_entries; i++) {
    sqe = &kernel.entries[i];
    if (sqe->opcode == IORING_OP_TIMEOUT)
      kernel.second = kernel.events[i];
    if (sqe->opcode != IORING_OP_URING_CMD)
      continue;
    memcpy (&answer, sqe->cmd, sizeof answer);
    kernel.fetches[answer.tag] = kernel.events[i];
    if (sqe->cmd_op == UBLK_COMMIT_AND_FETCH && kernel.nr_answers < MOST)
      kernel.answers[kernel.nr_answers++] = answer;
  }
  kernel.nr_entries = 0;
}

/* The command of a tag is done. */
static void
say (unsigned tag, int result)
{
  struct event *event = kernel.fetches[tag];

  kernel.fetches[tag] = NULL;
  event->happened (event, result);
}

static void
ask (unsigned tag, enum ublk_operation operation, uint64_t sector,
     uint32_t count)
{
  kernel.requests[tag] = (struct ublk_request){
      .operation = operation, .count = count, .sector = sector};
  say (tag, 0);
}

/* So many seconds are over, all of which the queue counts. */
static void
pass_seconds (unsigned n)
{
  struct event *second;

  while (n-- > 0) {
    take_commands ();
    second = kernel.second;
    assert_non_null (second);
    kernel.second = NULL;
    second->happened (second, -ETIME);
  }
}

/* Is there nothing that the queue could wait for, while tags are missing? */
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
ring_tell (struct ring *r)
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
    ring_tell (r);
  return err < 0 ? err : 0;
}

/*---------------------------------------------------------------------*/
/* The server */

/* What was asked for, in its order. */
struct asked {
  struct link *link;
  enum io_kind kind;
  uint64_t offset, count;
};

struct link {
  struct io *first, **last;
  bool is_dead;
};

static struct link data, zones, config;
/* Those that others make for dead ones. */
static struct link new_data, new_zones, new_config;

static struct {
  struct asked asked[MOST];
  unsigned nr_asked;
  int read_error; /* of data */
  int write_error;
  bool refuses_once; /* with it */
  int dies;          /* the connection dies after so many requests; -1: never */
  bool is_silent;
  uint64_t ignored;      /* there it answers nothing; 0: nowhere */
  uint64_t most_cleared; /* bytes; more is an error */
  /* A write that another process has sent to zone 2 is done just before the
   * next one.
   */
  bool has_late_write;
  unsigned char late_byte; /* which it consists of */
  unsigned late_read;      /* or before so many reads of the table; 0: never */
} server;

static unsigned char content[NR_ZONES * ZONE_SIZE];

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
link_break (struct nbd_handle *h)
{
  struct link *l = (struct link *) h;

  if (l != NULL)
    l->is_dead = true;
}

void
link_disconnect (struct nbd_handle *h)
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

/* 4 KiB at the write pointer of zone 2, or from there on. */
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
    link_break ((struct nbd_handle *) l);
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
    return io->count > server.most_cleared ? -EINVAL : 0;
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

static void
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

/* A device, with zones or without, that has not been asked for anything. */
static void
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
  plan.sure_to_clear = 32 * MIB;
  if (zoned) {
    plan.zone_size = ZONE_SIZE;
    plan.nr_zones = NR_ZONES;
    plan.table = at_first;
  }
  device.plan = &plan;
  device.appends = zoned ? appends_create (NR_ZONES, ZONE_SIZE, 4) : NULL;
  device.ended = -1; /* nobody waits for the end */
  device.lost = -1;
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

static struct queue *queue;
static sem_t is_known;

static void
run (void (*const *rounds) (void))
{
  struct connections c = {(struct nbd_handle *) &data,
                          (struct nbd_handle *) &zones,
                          (struct nbd_handle *) &config};
  struct message why;

  /* A round that needs the queue waits for it. */
  sem_init (&is_known, 0, 0);
  kernel.rounds = rounds;
  queue = queue_start (&device, 0, &c, &why);
  assert_non_null (queue);
  sem_post (&is_known);
  queue_join (queue);
  munmap (kernel.requests, sysconf (_SC_PAGESIZE));
  close (device.fd);
  appends_destroy (device.appends);
  assert_false (kernel.has_lost);
}
#define RUN(...) run ((void (*const[]) (void)){__VA_ARGS__, NULL})

static void
answered (unsigned i, unsigned tag, int result)
{
  assert_true (i < kernel.nr_answers);
  assert_int_equal (kernel.answers[i].tag, tag);
  assert_int_equal (kernel.answers[i].result, result);
}

/*---------------------------------------------------------------------*/

static void
one_read (void)
{
  ask (3, UBLK_READ, 8, 16);
}

static void
test_read (void **state)
{
  (void) state;
  make_device (false);
  RUN (one_read);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 3, 8192);
  assert_int_equal (server.nr_asked, 1);
  assert_int_equal (server.asked[0].offset, 4096);
}

static void
no_memory (void)
{
  say (3, -ENOMEM);
}

static void
not_now (void)
{
  say (3, -EAGAIN);
}

/* An answer that the kernel cannot take is told again, and so is a fetch. */
static void
test_told_again (void **state)
{
  (void) state;
  make_device (false);
  RUN (one_read, no_memory, not_now, one_read);
  assert_int_equal (kernel.nr_answers, 4);
  answered (1, 3, 8192);
  answered (2, 3, 8192);
  answered (3, 3, 8192);
  make_device (false);
  RUN (no_memory, one_read);
  assert_int_equal (kernel.nr_answers, 1);
}

static bool went_on;

static void
not_taken (void)
{
  say (3, -EINVAL);
}

static void
go_on (void)
{
  went_on = true;
}

/* Where the kernel refuses an answer for good, the queue ends. */
static void
test_not_taken (void **state)
{
  (void) state;
  make_device (false);
  RUN (one_read, not_taken, go_on);
  assert_int_equal (kernel.nr_answers, 1);
  assert_false (went_on);
}

#define GIB_SECTORS 2097152

static void
one_discard (void)
{
  ask (0, UBLK_DISCARD, 2048, GIB_SECTORS);
}

static void
one_zeroing (void)
{
  ask (0, UBLK_WRITE_ZEROES, 0, 40 * MIB / 512);
}

/* What is too large for the server is sent in parts. */
static void
test_clearing (void **state)
{
  uint64_t at = MIB;
  unsigned i;

  (void) state;
  make_device (false);
  server.most_cleared = 1024 * MIB;
  RUN (one_discard);
  assert_int_equal (server.nr_asked, 1);
  answered (0, 0, 0);

  make_device (false);
  server.most_cleared = 32 * MIB;
  RUN (one_discard, one_zeroing);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 0, 0);
  answered (1, 0, 0);
  assert_int_equal (server.nr_asked, 1 + 32 + 2);
  for (i = 1; i <= 32; i++) {
    assert_int_equal (server.asked[i].kind, IO_TRIM);
    assert_int_equal (server.asked[i].offset, at);
    at += server.asked[i].count;
  }
  assert_int_equal (at, 1025 * MIB);
  /* The server is not asked for too much again. */
  assert_int_equal (server.asked[33].kind, IO_ZERO);
  assert_int_equal (server.asked[33].count, 32 * MIB);
  assert_int_equal (server.asked[34].count, 8 * MIB);

  /* Nothing is small enough. */
  make_device (false);
  RUN (one_discard);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, -EIO);
  assert_int_equal (server.nr_asked, 2);
}

static void
many_writes (void)
{
  unsigned i;

  for (i = 0; i < DEPTH; i++)
    ask (i, UBLK_WRITE, i % NR_ZONES * ZONE_SECTORS, 8);
}

static void
count_reads (unsigned wanted, uint64_t size)
{
  unsigned i, n = 0;

  for (i = 0; i < server.nr_asked; i++) {
    if (server.asked[i].link == &zones) {
      assert_int_equal (server.asked[i].count, size);
      n++;
    }
  }
  assert_int_equal (n, wanted);
}

/* Many writes that limits may have refused share the table. */
static void
test_limits (void **state)
{
  unsigned i;

  (void) state;
  make_device (true);
  plan.params.max_active_zones = 2;
  table[6].cond = table[7].cond = ZONE_COND_CLOSED;
  server.write_error = -ENOSPC;
  RUN (many_writes);
  assert_int_equal (kernel.nr_answers, DEPTH);
  for (i = 0; i < DEPTH; i++)
    assert_int_equal (kernel.answers[i].result,
                      kernel.answers[i].tag % NR_ZONES < 6 ? -EOVERFLOW
                                                           : -ENOSPC);
  count_reads (2, sizeof table); /* the first one's, and that of all others */

  /* Other failures are about one zone. */
  make_device (true);
  plan.params.max_active_zones = 2;
  table[7].cond = ZONE_COND_READONLY;
  server.write_error = -EIO;
  RUN (many_writes);
  assert_int_equal (kernel.nr_answers, DEPTH);
  for (i = 0; i < DEPTH; i++)
    assert_int_equal (kernel.answers[i].result,
                      kernel.answers[i].tag % NR_ZONES == 7 ? -EREMOTEIO
                                                            : -EIO);
  count_reads (DEPTH, sizeof table[0]);
}

static void
one_report (void)
{
  ask (0, UBLK_REPORT_ZONES, 2 * ZONE_SECTORS, 100);
}

static void
one_append (void)
{
  ask (0, UBLK_ZONE_APPEND, 2 * ZONE_SECTORS, 8);
}

/* A report, and an append, where zone 2 is not what it was. */
static void
answers_to_lies (int report, int append)
{
  const struct zone_descriptor lie = table[2];

  make_device (true);
  table[2] = lie;
  RUN (one_report);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, report);
  make_device (true);
  table[2] = lie;
  RUN (one_append);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, append);
}

static void
test_lies (void **state)
{
  (void) state;
  set_zones ();
  answers_to_lies (4 * MIB, 4096);
  assert_int_equal (kernel.answers[0].sector, 2 * ZONE_SECTORS);
  set_zones ();
  table[2].len = 0;
  answers_to_lies (-EIO, -EIO);
  set_zones ();
  table[2].wp = htole64 (ZONE_SECTORS);
  table[2].cond = ZONE_COND_CLOSED;
  answers_to_lies (-EIO, -EIO);
  set_zones ();
  table[2].start = table[3].start;
  table[2].wp = table[3].wp;
  answers_to_lies (-EIO, -EIO);
}

/*---------------------------------------------------------------------*/
/* Connections that die */

static unsigned answers_then; /* how many there were when others came */

/* Others make connections. */
static void
renew (void)
{
  const struct connections c = {(struct nbd_handle *) &new_data,
                                (struct nbd_handle *) &new_zones,
                                (struct nbd_handle *) &new_config};

  sem_wait (&is_known);
  sem_post (&is_known);
  answers_then = kernel.nr_answers;
  assert_true (queue_is_lost (queue));
  queue_renew (queue, &c);
  assert_false (queue_is_lost (queue));
}

static void
three_seconds (void)
{
  pass_seconds (3);
}

static void
two_seconds (void)
{
  pass_seconds (2);
}

static void
one_second (void)
{
  answers_then = kernel.nr_answers;
  pass_seconds (1);
}

static void
give_up (void)
{
  sem_wait (&is_known);
  sem_post (&is_known);
  queue_give_up (queue);
}

static void
make_lasting_device (bool zoned, int dies)
{
  make_device (zoned);
  device.lost = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  device.persist = PERSIST;
  server.dies = dies;
}

static void
close_lost (void)
{
  close (device.lost);
}

static void
one_write (void)
{
  ask (0, UBLK_WRITE, 2 * ZONE_SECTORS + 8, 8);
}

static void
another_read (void)
{
  ask (4, UBLK_READ, 0, 8);
}

/* What was in flight, and what came meanwhile, is sent by the new connection;
 * without one it fails at once, or when nobody waits any longer, until there is
 * one.
 */
static void
test_renew (void **state)
{
  (void) state;
  make_device (false);
  server.dies = 0;
  RUN (one_read, another_read);
  answered (0, 3, -EIO);
  answered (1, 4, -EIO);

  make_lasting_device (false, 0);
  RUN (one_read, another_read, renew, one_read);
  assert_int_equal (answers_then, 0);
  assert_int_equal (kernel.nr_answers, 3);
  answered (0, 3, 8192);
  answered (1, 4, 4096);
  answered (2, 3, 8192);
  assert_int_equal (server.nr_asked, 2 + 3);
  assert_ptr_equal (server.asked[2].link, &new_data);
  assert_int_equal (server.asked[2].offset, 4096);
  close_lost ();

  make_lasting_device (false, 0);
  RUN (one_read, three_seconds, two_seconds, one_second, another_read, renew,
       one_read);
  assert_int_equal (kernel.nr_answers, 3);
  answered (0, 3, -EIO);
  answered (1, 4, -EIO);
  assert_int_equal (answers_then, 2);
  answered (2, 3, 8192);
  close_lost ();

  make_lasting_device (false, 0);
  RUN (one_read, give_up, another_read);
  answered (0, 3, -EIO);
  answered (1, 4, -EIO);
  close_lost ();
}

static void
renew_in_vain (void)
{
  renew ();
  server.dies = 0;
}

static void
die (void)
{
  server.dies = 0;
}

static void
nothing_is_counted (void)
{
  take_commands ();
  assert_null (kernel.second);
}

/* Connections that bring no answer do not begin the seconds anew; one that
 * brings an answer does, and so does one that nobody has waited for.
 */
static void
test_seconds (void **state)
{
  (void) state;
  make_lasting_device (false, 0);
  RUN (one_read, three_seconds, renew_in_vain, two_seconds, one_second);
  assert_int_equal (answers_then, 0);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 3, -EIO);
  close_lost ();

  make_lasting_device (false, 0);
  RUN (one_read, three_seconds, renew_in_vain, three_seconds, renew_in_vain,
       another_read);
  assert_int_equal (kernel.nr_answers, 2);
  answered (1, 4, -EIO);
  close_lost ();

  make_lasting_device (false, 0);
  RUN (one_read, three_seconds, renew, die, one_read, three_seconds,
       two_seconds, one_second);
  assert_int_equal (answers_then, 1);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 3, 8192);
  answered (1, 3, -EIO);
  close_lost ();

  make_lasting_device (false, 0);
  RUN (one_read, three_seconds, three_seconds, renew, one_second,
       nothing_is_counted, die, another_read, three_seconds, two_seconds,
       one_second);
  assert_int_equal (answers_then, 1);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 3, -EIO);
  answered (1, 4, -EIO);
  close_lost ();
}

static void
fall_silent (void)
{
  server.is_silent = true;
}

static void
speak (void)
{
  server.is_silent = false;
}

/* After three_seconds. */
static void
almost_time_out (void)
{
  pass_seconds (TIMEOUT - 3);
}

static void
time_out (void)
{
  pass_seconds (TIMEOUT);
  one_second ();
}

/* A server that does not answer a request in time counts as dead; one that does
 * so at the last moment does not.
 */
static void
test_silence (void **state)
{
  (void) state;
  make_device (false);
  RUN (fall_silent, one_read, three_seconds, another_read, almost_time_out,
       one_second, one_read);
  assert_int_equal (answers_then, 0);
  assert_int_equal (kernel.nr_answers, 3);
  answered (0, 3, -ETIMEDOUT);
  answered (1, 4, -EIO);
  answered (2, 3, -EIO);

  make_device (false);
  RUN (fall_silent, one_read, three_seconds, almost_time_out, speak,
       another_read, one_second, nothing_is_counted, one_read);
  assert_int_equal (kernel.nr_answers, 3);
  answered (0, 3, 8192);
  answered (1, 4, 4096);
  answered (2, 3, 8192);

  /* Nor can anybody see then why a write to a zone has failed. */
  make_device (true);
  RUN (fall_silent, one_write, time_out);
  assert_int_equal (answers_then, 0);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, -ETIMEDOUT);
}

/* With others, what was not answered is sent again, and has time again; but not
 * for ever, where these do not answer either.
 */
static void
test_silence_lasting (void **state)
{
  (void) state;
  make_lasting_device (false, -1);
  RUN (fall_silent, one_read, time_out, speak, renew);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 3, 8192);
  assert_int_equal (server.nr_asked, 2);
  close_lost ();

  make_lasting_device (false, -1);
  device.persist = TIMEOUT + 5;
  RUN (fall_silent, one_read, time_out, renew, time_out, three_seconds,
       one_second, one_second);
  assert_int_equal (answers_then, 0);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 3, -EIO);
  assert_int_equal (server.nr_asked, 2);
  close_lost ();
}

static void
ignore_reads (void)
{
  server.ignored = 4096;
}

static void
stop_ignoring (void)
{
  server.ignored = 0;
  renew ();
}

/* Nor is one sent again for ever that is ignored while others are answered. */
static void
test_ignored (void **state)
{
  (void) state;
  make_lasting_device (false, -1);
  RUN (ignore_reads, one_read, another_read, time_out, renew, another_read,
       time_out, renew, another_read);
  assert_int_equal (kernel.nr_answers, 4);
  answered (0, 4, 4096);
  answered (1, 4, 4096);
  answered (2, 3, -ETIMEDOUT);
  answered (3, 4, 4096);
  close_lost ();

  /* It was ignored for a while. */
  make_lasting_device (false, -1);
  RUN (ignore_reads, one_read, time_out, stop_ignoring, another_read);
  answered (0, 3, 8192);
  answered (1, 4, 4096);
  close_lost ();

  /* It has its time with each connection. */
  make_lasting_device (false, -1);
  device.persist = 2 * TIMEOUT;
  RUN (ignore_reads, one_read, time_out, renew, another_read, time_out, renew,
       another_read, time_out, renew, another_read);
  answered (0, 4, 4096);
  answered (1, 4, 4096);
  answered (2, 3, -ETIMEDOUT);
  answered (3, 4, 4096);
  close_lost ();
}

static void
one_finish (void)
{
  ask (0, UBLK_ZONE_FINISH, 2 * ZONE_SECTORS, 0);
}

static void
two_appends (void)
{
  one_append ();
  ask (1, UBLK_ZONE_APPEND, 2 * ZONE_SECTORS, 8);
}

/* The server refuses what was sent again, and its zone 2 is in that condition,
 * written up to there (in sectors).
 */
static void
was_done (enum zone_cond cond, uint64_t sectors)
{
  server.write_error = -EIO;
  table[2].cond = cond;
  table[2].wp = htole64 (2 * ZONE_SECTORS + sectors);
}

static void
written_before (void)
{
  was_done (ZONE_COND_CLOSED, 16);
  renew ();
}

static void
not_written_before (void)
{
  was_done (ZONE_COND_CLOSED, 8);
  renew ();
}

static void
plain_write (void)
{
  ask (5, UBLK_WRITE, 0, 8);
}

static void
durable_write (void)
{
  ask (5, UBLK_WRITE | UBLK_IO_FUA, 0, 8);
}

static void
flush (void)
{
  ask (6, UBLK_FLUSH, 0, 0);
}

/* What was written before connections died may not be durable by a flush of
 * others, unless the server says so: that flush fails, and no other.
 */
static void
test_flush (void **state)
{
  (void) state;
  make_lasting_device (false, -1);
  RUN (plain_write, die, another_read, renew, flush, flush);
  assert_int_equal (kernel.nr_answers, 4);
  answered (0, 5, 4096);
  answered (1, 4, 4096);
  answered (2, 6, -EIO);
  answered (3, 6, 0);
  close_lost ();

  /* A flush that was in flight. */
  make_lasting_device (false, -1);
  RUN (plain_write, die, flush, renew);
  answered (1, 6, -EIO);
  close_lost ();

  make_lasting_device (false, -1);
  device.multi_conn = true;
  RUN (plain_write, die, flush, renew);
  answered (1, 6, 0);
  close_lost ();

  make_lasting_device (false, -1);
  RUN (durable_write, die, flush, renew);
  answered (1, 6, 0);
  close_lost ();

  make_lasting_device (false, -1);
  RUN (plain_write, flush, die, another_read, renew, plain_write, flush);
  assert_int_equal (kernel.nr_answers, 5);
  answered (1, 6, 0);
  answered (4, 6, 0);
  close_lost ();
}

static void
finished_before (void)
{
  was_done (ZONE_COND_FULL, 0);
  renew ();
}

/* Of two appends the first has been done; the server takes the second one. */
static void
one_appended_before (void)
{
  was_done (ZONE_COND_CLOSED, 8);
  server.refuses_once = true;
  renew ();
}

/* What was done the first time has been done. */
static void
test_done_before (void **state)
{
  (void) state;
  make_lasting_device (true, 0);
  RUN (one_write, written_before);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, 4096);
  close_lost ();

  make_lasting_device (true, 0);
  RUN (one_write, not_written_before);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, -EIO);
  close_lost ();

  /* This one was never sent before: it was only ever refused. */
  make_lasting_device (true, 0);
  RUN (one_read, one_write, written_before);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 3, 8192);
  answered (1, 0, -EIO);
  close_lost ();

  make_lasting_device (true, 0);
  RUN (one_finish, finished_before);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, 0);
  close_lost ();

  make_lasting_device (true, 0);
  RUN (one_finish, written_before);
  answered (0, 0, -EIO);
  close_lost ();

  /* The zone's pointer is read first. */
  make_lasting_device (true, 1);
  RUN (two_appends, one_appended_before);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 1, 4096);
  assert_int_equal (kernel.answers[0].sector, 2 * ZONE_SECTORS + 8);
  answered (1, 0, 4096);
  assert_int_equal (kernel.answers[1].sector, 2 * ZONE_SECTORS);
  close_lost ();
}

static void
write_to_zone_2 (void)
{
  ask (1, UBLK_WRITE, 2 * ZONE_SECTORS, 8);
}

static void
limits_are_full (void)
{
  server.write_error = -ENOSPC;
  table[6].cond = table[7].cond = ZONE_COND_CLOSED;
}

/* The second one waits for the next table. */
static void
two_refused_writes (void)
{
  limits_are_full ();
  one_write ();
  write_to_zone_2 ();
}

/* The table is read again where the connection dies under it: the first, or the
 * next one.
 */
static void
test_table_again (void **state)
{
  int dies;
  unsigned i;

  (void) state;
  for (dies = 2; dies <= 3; dies++) {
    make_lasting_device (true, dies);
    plan.params.max_active_zones = 2;
    RUN (two_refused_writes, renew);
    assert_int_equal (kernel.nr_answers, 2);
    for (i = 0; i < 2; i++)
      assert_int_equal (kernel.answers[i].result, -EOVERFLOW);
    close_lost ();
  }
}

/*---------------------------------------------------------------------*/
/* What a dead process has left */

static int journal_file;

/* A process has made the device, and had an operation of 4 KiB with the server
 * at each of these sectors of zone 2, up to -1.
 */
static void
leave_requests (enum ublk_operation operation, const int *sectors)
{
  struct journal *j;
  unsigned i;

  make_device (true);
  device.was_served = true;
  journal_file = memfd_create ("journal", MFD_CLOEXEC);
  assert_int_not_equal (journal_file, -1);
  assert_int_equal (journal_make (&j, journal_file, 1, DEPTH), 0);
  for (i = 0; sectors[i] != -1; i++)
    journal_send (j, i, operation, 2 * ZONE_SIZE + sectors[i] * 512, 4096);
  journal_close (j);
  assert_int_equal (journal_read (&j, journal_file, 1, DEPTH), 0);
  device.journal = j;
}
#define LEAVE(operation, ...)                                                  \
  leave_requests (operation, (const int[]){__VA_ARGS__})

/* Would the next process find any? */
static bool
end_journal (void)
{
  struct journal *j;
  bool r;

  journal_close (device.journal);
  assert_int_equal (journal_read (&j, journal_file, 1, DEPTH), 0);
  r = journal_has_orphans (j);
  journal_close (j);
  close (journal_file);
  return r;
}

/* Zone 2 is written up to there, in sectors. */
static void
written_up_to (uint64_t sectors)
{
  table[2].cond = ZONE_COND_CLOSED;
  table[2].wp = htole64 (2 * ZONE_SECTORS + sectors);
}

/* What a request of the kernel's writes, or was written: 4 KiB of BYTE. */
static void
put_data_of (unsigned tag, unsigned at, unsigned char byte)
{
  unsigned char block[4096];

  memset (block, byte, sizeof block);
  assert_int_equal (
      pwrite (device.fd, block, sizeof block, ublk_data_offset (0, tag) + at),
      sizeof block);
}

static void
store (uint64_t sector, unsigned char byte)
{
  memset (content + 2 * ZONE_SIZE + sector * 512, byte, 4096);
}

static void
is_stored (uint64_t sector, unsigned char byte)
{
  unsigned i;

  for (i = 0; i < 4096; i++)
    assert_int_equal (content[2 * ZONE_SIZE + sector * 512 + i], byte);
}

static unsigned
writes (void)
{
  unsigned i, n = 0;

  for (i = 0; i < server.nr_asked; i++)
    n += server.asked[i].kind == IO_WRITE;
  return n;
}

static void
long_write (void)
{
  ask (0, UBLK_WRITE, 2 * ZONE_SECTORS + 8, 16);
}

/* A write, or a command, that a dead process has sent has been done if its zone
 * says so, and no other one has.
 */
static void
test_left_writes (void **state)
{
  (void) state;
  LEAVE (UBLK_WRITE, 8, -1);
  written_up_to (16);
  server.write_error = -EIO;
  RUN (one_write, one_write);
  assert_int_equal (kernel.nr_answers, 2);
  answered (0, 0, 4096);
  answered (1, 0, -EIO);
  assert_false (end_journal ());

  LEAVE (UBLK_WRITE, 16, -1);
  written_up_to (16);
  server.write_error = -EIO;
  RUN (one_write);
  answered (0, 0, -EIO);
  assert_true (end_journal ());

  LEAVE (UBLK_WRITE, 8, -1);
  written_up_to (8);
  server.write_error = -EIO;
  RUN (one_write);
  answered (0, 0, -EIO);
  assert_false (end_journal ());

  LEAVE (UBLK_ZONE_FINISH, 0, -1);
  was_done (ZONE_COND_FULL, 0);
  RUN (one_finish);
  answered (0, 0, 0);
  assert_false (end_journal ());
}

/* The kernel has merged it with the one that follows it. */
static void
test_left_grown (void **state)
{
  (void) state;
  LEAVE (UBLK_WRITE, 8, -1);
  put_data_of (0, 0, 'a');
  put_data_of (0, 4096, 'b');
  written_up_to (16);
  store (8, 'a');
  server.write_error = -EIO;
  server.refuses_once = true;
  RUN (long_write);
  assert_int_equal (kernel.nr_answers, 1);
  answered (0, 0, 8192);
  is_stored (8, 'a');
  is_stored (16, 'b');
  assert_false (end_journal ());

  /* Nothing of it was done. */
  LEAVE (UBLK_WRITE, 8, -1);
  put_data_of (0, 0, 'a');
  put_data_of (0, 4096, 'b');
  written_up_to (8);
  RUN (long_write);
  answered (0, 0, 8192);
  is_stored (8, 'a');
  is_stored (16, 'b');
  assert_false (end_journal ());
}

static void
appended_at (unsigned i, unsigned tag, uint64_t sector)
{
  answered (i, tag, 4096);
  assert_int_equal (kernel.answers[i].sector, 2 * ZONE_SECTORS + sector);
}

/* An append is where the dead process has sent it, if its data is there; or
 * goes to the write pointer.
 */
static void
test_left_appends (void **state)
{
  (void) state;
  LEAVE (UBLK_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  store (8, 'a');
  written_up_to (24);
  RUN (one_append);
  appended_at (0, 0, 8);
  assert_int_equal (writes (), 0);
  assert_false (end_journal ());

  /* It is something else that is there. */
  LEAVE (UBLK_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  store (8, 'b');
  written_up_to (24);
  RUN (one_append);
  appended_at (0, 0, 24);
  is_stored (24, 'a');
  assert_true (end_journal ());

  /* Nothing is there, whatever can be read. */
  LEAVE (UBLK_ZONE_APPEND, 8, -1);
  written_up_to (8);
  RUN (one_append);
  appended_at (0, 0, 8);
  assert_int_equal (writes (), 1);
  assert_false (end_journal ()); /* nor can it come to be there */

  /* It cannot be read what is there. */
  LEAVE (UBLK_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  store (8, 'a');
  written_up_to (24);
  server.read_error = -EIO;
  RUN (one_append);
  answered (0, 0, -EIO);
  assert_int_equal (writes (), 0);
  assert_true (end_journal ());

  /* The zone was reset since. */
  LEAVE (UBLK_ZONE_APPEND, 8, -1);
  written_up_to (24);
  journal_drop (device.journal, 2 * ZONE_SIZE, 3 * ZONE_SIZE);
  RUN (one_append);
  appended_at (0, 0, 24);
  assert_false (end_journal ());
}

static void
reset_then_append (void)
{
  ask (1, UBLK_ZONE_RESET, 2 * ZONE_SECTORS, 0);
}

static void
reset_all (void)
{
  ask (1, UBLK_ZONE_RESET_ALL, 0, 0);
}

/* After a reset there is nothing of a dead process. */
static void
test_left_and_reset (void **state)
{
  unsigned i;

  (void) state;
  for (i = 0; i < 2; i++) {
    LEAVE (UBLK_ZONE_APPEND, 8, 16, -1);
    written_up_to (24); /* this server does not say that it has done it */
    if (i == 0)
      RUN (reset_then_append, one_append);
    else
      RUN (reset_all, one_append);
    answered (0, 1, 0);
    appended_at (1, 0, 24);
    assert_false (end_journal ());
  }
}

static void
three_appends (void)
{
  two_appends ();
  ask (2, UBLK_ZONE_APPEND, 2 * ZONE_SECTORS, 8);
}

/* Each has its own data; those that have the same are as good as each other. */
static void
test_left_many (void **state)
{
  (void) state;
  LEAVE (UBLK_ZONE_APPEND, 8, 16, 24, -1);
  put_data_of (0, 0, 'c');
  put_data_of (1, 0, 'b');
  put_data_of (2, 0, 'a');
  store (8, 'a');
  store (16, 'b');
  store (24, 'c');
  written_up_to (32);
  RUN (three_appends);
  assert_int_equal (kernel.nr_answers, 3);
  assert_int_equal (writes (), 0);
  appended_at (0, 2, 8);
  appended_at (1, 1, 16);
  appended_at (2, 0, 24);
  assert_false (end_journal ());

  LEAVE (UBLK_ZONE_APPEND, 8, 16, -1);
  put_data_of (0, 0, 'a');
  put_data_of (1, 0, 'a');
  put_data_of (2, 0, 'a');
  store (8, 'a');
  store (16, 'a');
  written_up_to (24);
  RUN (three_appends);
  assert_int_equal (kernel.nr_answers, 3);
  assert_int_equal (writes (), 1);
  assert_int_equal (kernel.answers[0].sector + kernel.answers[1].sector,
                    4 * ZONE_SECTORS + 8 + 16);
  assert_int_equal (kernel.answers[2].sector, 2 * ZONE_SECTORS + 24);
  assert_false (end_journal ());
}

/* The server does what a dead process has sent only when the same has been sent
 * once more: that fails, and is found.
 */
static void
test_left_late (void **state)
{
  (void) state;
  LEAVE (UBLK_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  written_up_to (8);
  server.has_late_write = true;
  server.late_byte = 'a';
  RUN (one_append);
  appended_at (0, 0, 8);
  assert_int_equal (writes (), 1);
  assert_false (end_journal ());

  /* It was another one, which comes later. */
  LEAVE (UBLK_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  put_data_of (1, 0, 'b');
  written_up_to (8);
  server.has_late_write = true;
  server.late_byte = 'b';
  RUN (one_append, two_appends);
  appended_at (0, 0, 16);
  assert_int_equal (kernel.nr_answers, 3);
  appended_at (1, 1, 8);
  assert_false (end_journal ());

  /* There is no room for it any more. */
  LEAVE (UBLK_ZONE_APPEND, ZONE_SECTORS - 8, -1);
  put_data_of (0, 0, 'a');
  written_up_to (ZONE_SECTORS - 8);
  server.late_read = 2;
  server.late_byte = 'a';
  RUN (one_append);
  appended_at (0, 0, ZONE_SECTORS - 8);
  assert_int_equal (writes (), 0);
  assert_false (end_journal ());

  /* It fails for another reason. */
  LEAVE (UBLK_ZONE_APPEND, 8, -1);
  put_data_of (0, 0, 'a');
  written_up_to (8);
  server.write_error = -EIO;
  RUN (one_append);
  answered (0, 0, -EIO);
  assert_int_equal (writes (), 2);
  end_journal ();
}

static void
take_nothing (void)
{
  kernel.takes_nothing = true;
  one_append ();
}

/* What the kernel may not have heard of is remembered. */
static void
test_remembered (void **state)
{
  (void) state;
  LEAVE (UBLK_READ, -1);
  RUN (one_append, one_write);
  assert_int_equal (kernel.nr_answers, 2);
  assert_false (end_journal ());

  LEAVE (UBLK_READ, -1);
  RUN (take_nothing);
  assert_int_equal (kernel.nr_answers, 1);
  assert_true (end_journal ());

  /* One of the same tag takes its place. */
  LEAVE (UBLK_READ, -1);
  RUN (take_nothing, one_read, one_write, another_read);
  assert_int_equal (kernel.nr_answers, 4);
  assert_true (end_journal ());
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_read),
      cmocka_unit_test (test_told_again),
      cmocka_unit_test (test_not_taken),
      cmocka_unit_test (test_clearing),
      cmocka_unit_test (test_limits),
      cmocka_unit_test (test_lies),
      cmocka_unit_test (test_renew),
      cmocka_unit_test (test_done_before),
      cmocka_unit_test (test_table_again),
      cmocka_unit_test (test_seconds),
      cmocka_unit_test (test_flush),
      cmocka_unit_test (test_silence),
      cmocka_unit_test (test_silence_lasting),
      cmocka_unit_test (test_ignored),
      cmocka_unit_test (test_left_writes),
      cmocka_unit_test (test_left_grown),
      cmocka_unit_test (test_left_appends),
      cmocka_unit_test (test_left_and_reset),
      cmocka_unit_test (test_left_many),
      cmocka_unit_test (test_left_late),
      cmocka_unit_test (test_remembered),
  };

  return RUN_TESTS (tests);
}
