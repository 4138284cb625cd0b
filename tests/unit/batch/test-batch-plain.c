/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Plain requests, which are answered without nbdkit
 * (plugin/batch/batch-plain.c).  A server answers as nbdkit does, and has a
 * device whose data is in memory, or all zero.  What a client gets is compared
 * with what the NBD protocol has for its requests, byte for byte.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "peer.h"
#include "stream.h"
#include "unit.h"

enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH };
enum { FLAG_FUA = 1, FLAG_DF = 4 };

#define SIZE (1 << 20)
#define EINVAL_OF_NBD 22

/* What the case is about. */
static struct {
  bool structured, zeroes;
  bool offers;            /* the plugin offers its device */
  bool lies;              /* it offers another request than nbdkit has */
  bool two_chunks;        /* so nbdkit answers */
  int odd_byte;           /* of the head of nbdkit's replies; -1: none */
  int astray;             /* where nbdkit sends a reply to first; -1: nowhere */
  uint64_t base;          /* added to all offsets */
  bool fails;             /* nbdkit's first request fails */
  bool refuses;           /* the device */
  uint64_t refused_from;  /* reads and writes at this offset or behind it */
  unsigned trouble;       /* how often a call is cut short, in percent */
  unsigned failing_send;  /* its number; 0: none */
  unsigned waits_at_turn; /* requests wait from this turn on; 0: never */
  unsigned passes_at_turn; /* all calls pass through from this turn on */
  unsigned ends_at_turn; /* another thread ends the connection; 0: none does */
  unsigned stops_at;     /* nbdkit, at the header of this number; 0: never */
  uint64_t seed;
} world;

static struct {
  unsigned by_nbdkit, by_device, reads, sends, turns;
  size_t got_at_flush; /* bytes that the client has when nbdkit flushes */
  uint64_t asked_at;   /* when the kernel was asked for bytes last */
  unsigned expected;   /* requests that the device was told of beforehand */
} seen;

static unsigned char disk[SIZE];

/*---------------------------------------------------------------------*/
/* The client, which has its turn where the server would wait for it */

static struct {
  int fd, server_fd;
  const struct stream *requests;
  size_t sent;
  size_t cuts[512]; /* where its pieces end; in order */
  unsigned nr_cuts, next;
  bool at_random; /* its pieces end anywhere */
  struct stream got;
} client;

static void
take_replies (void)
{
  static unsigned char buf[65536];
  ssize_t r;

  while ((r = recv (client.fd, buf, sizeof buf, MSG_DONTWAIT)) > 0)
    memcpy (grow (&client.got, r), buf, r);
}

static void
take_turn (void)
{
  const size_t left = client.requests->len - client.sent;
  size_t end = client.requests->len;
  ssize_t r;

  seen.turns++;
  if (seen.turns == world.waits_at_turn)
    batch_set_waits (true);
  if (seen.turns == world.passes_at_turn)
    batch_pass_through (client.server_fd);
  if (seen.turns == world.ends_at_turn)
    batch_end (client.server_fd);
  take_replies ();
  if (client.next < client.nr_cuts)
    end = client.cuts[client.next++];
  else if (client.at_random)
    end = client.sent + random_below (&world.seed, left + 1);
  if (left == 0) {
    shutdown (client.fd, SHUT_WR);
    return;
  }
  if (end == client.sent)
    return;
  r = send (client.fd, client.requests->bytes + client.sent, end - client.sent,
            MSG_DONTWAIT | MSG_NOSIGNAL);
  assert_true (r > 0 || (r == -1 && errno == EAGAIN));
  client.sent += r > 0 ? r : 0;
}

static bool
is_trouble (void)
{
  return world.trouble > 0 && random_below (&world.seed, 100) < world.trouble;
}

/*---------------------------------------------------------------------*/
/* The system's calls */

static unsigned nr_open; /* requests that are to end before anything is sent */

static void
end_open (void *arg)
{
  must (arg == &nr_open && nr_open > 0, "requests end once");
  nr_open = 0;
}

static ssize_t
our_readv (int fd, const struct iovec *iov, int n)
{
  const struct iovec *first = iov[0].iov_len > 0 ? &iov[0] : &iov[1];

  must (nr_open == 0, "requests have ended before the kernel is asked");
  must (world.passes_at_turn == 0 || seen.turns < world.passes_at_turn,
        "nothing is read ahead any more");
  seen.reads++;
  while (!has_input (fd))
    take_turn ();
  seen.asked_at = clock_now ();
  if (is_trouble ())
    return read (fd, first->iov_base,
                 1 + random_below (&world.seed, first->iov_len));
  return readv (fd, iov, n);
}

static ssize_t
our_read (int fd, void *buf, size_t n)
{
  while (!has_input (fd))
    take_turn ();
  return read (fd, buf, n);
}

static unsigned naps;

static int
our_ppoll (struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
           const sigset_t *sigmask)
{
  naps += nfds == 0;
  return ppoll (fds, nfds, timeout, sigmask);
}

/* The client never takes all replies at once. */
static bool
always_has_unread (int fd)
{
  (void) fd;
  return true;
}

static ssize_t
our_sendmsg (int fd, const struct msghdr *msg, int flags)
{
  size_t n = bytes_of (msg);
  ssize_t r;

  must (nr_open == 0, "requests have ended before replies are sent");
  if (++seen.sends == world.failing_send) {
    errno = ENOBUFS;
    return -1;
  }
  if (is_trouble () && n > 0)
    n = 1 + random_below (&world.seed, n);
  while ((r = send_first (fd, msg, n, flags | MSG_DONTWAIT)) == -1 &&
         errno == EAGAIN)
    take_replies ();
  return r;
}

static ssize_t
our_send (int fd, const void *buf, size_t n, int flags)
{
  struct iovec iov = {(void *) (uintptr_t) buf, n};
  const struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

  return our_sendmsg (fd, &msg, flags);
}

static int
set_up (void **state)
{
  (void) state;
  batch_libc = systems_own;
  batch_libc.read = our_read;
  batch_libc.readv = our_readv;
  batch_libc.send = our_send;
  batch_libc.sendmsg = our_sendmsg;
  batch_set_serial (true);
  batch_set_waits (false);
  batch_set_poll (0);
  batch_set_plain (true);
  memset (&world, 0, sizeof world);
  memset (&seen, 0, sizeof seen);
  world.offers = true;
  world.odd_byte = world.astray = -1;
  world.refused_from = SIZE;
  return 0;
}

/*---------------------------------------------------------------------*/
/* Requests, and the replies that are due */

static uint64_t
get64 (const unsigned char *p)
{
  return (uint64_t) get32 (p) << 32 | get32 (p + 4);
}

/* Where the disk has what a request is for. */
static uint64_t
place_of (const unsigned char *request)
{
  return get64 (request + 16) - world.base;
}

static void
add_with_flags (struct stream *s, unsigned flags, unsigned command,
                uint64_t offset, uint32_t count)
{
  const uint32_t number = s->len;
  unsigned char *p = grow (s, HEADER + (command == CMD_WRITE ? count : 0));
  uint32_t i;

  offset += world.base;
  put32 (p, MAGIC);
  put32 (p + 4, flags << 16 | command);
  put32 (p + 8, ~number);
  put32 (p + 12, number);
  put32 (p + 16, offset >> 32);
  put32 (p + 20, offset);
  put32 (p + 24, count);
  for (i = 0; command == CMD_WRITE && i < count; i++)
    p[HEADER + i] = number + i * 3 + (i >> 8);
}

static void
add (struct stream *s, unsigned command, uint64_t offset, uint32_t count)
{
  add_with_flags (s, 0, command, offset, count);
}

static bool
is_good (const unsigned char *request)
{
  const uint32_t count = get32 (request + 24);
  const uint64_t offset = place_of (request);

  return request[7] == CMD_FLUSH || (request[7] <= CMD_WRITE && count > 0 &&
                                     offset < SIZE && count <= SIZE - offset);
}

/* What nbdkit does with a request that is GOOD.  Returns the head of its reply,
 * and *n its length.  With DATA there is data behind it.
 */
static const unsigned char *
make_head (const unsigned char *request, bool good, size_t *n, bool *data)
{
  static unsigned char head[28];
  const bool is_read = request[7] == CMD_READ;

  memset (head, 0, sizeof head);
  memcpy (head + 8, request + 8, 8);
  *data = is_read && good;
  *n = 16;
  if (!is_read || !world.structured) {
    put32 (head, 0x67446698);
    put32 (head + 4, good ? 0 : EINVAL_OF_NBD);
    return head;
  }
  put32 (head, 0x668e33ef);
  put32 (head + 4, good ? 0x10001 : 0x18001);
  put32 (head + 16, good ? 8 + get32 (request + 24) : 6);
  if (good)
    memcpy (head + 20, request + 16, 8);
  else
    put32 (head + 20, EINVAL_OF_NBD);
  *n = good ? 28 : 26;
  return head;
}

/* The replies to all of them; the device's data is as before the first. */
static struct stream
replies_to (const struct stream *s)
{
  static unsigned char data[SIZE];
  struct stream due = {0};
  const unsigned char *p = s->bytes, *const end = p + s->len, *head;
  uint32_t count;
  bool good, has_data;
  size_t n;

  memcpy (data, disk, sizeof data);
  while (end - p >= HEADER && p[7] != CMD_DISC) {
    count = get32 (p + 24);
    good = is_good (p);
    head = make_head (p, good, &n, &has_data);
    memcpy (grow (&due, n), head, n);
    if (has_data)
      memcpy (grow (&due, count), data + place_of (p), count);
    if (p[7] == CMD_WRITE && good && !world.zeroes)
      memcpy (data + place_of (p), p + HEADER, count);
    p += HEADER + (p[7] == CMD_WRITE ? count : 0);
  }
  assert_true (p == end || p[7] == CMD_DISC);
  return due;
}

/*---------------------------------------------------------------------*/
/* The server: the device, and nbdkit's loop */

/* What the device was told of the next request, and of the one after that. */
static struct expectation {
  bool any, is_write;
  uint64_t offset;
} expectations[2];

static void
expect_plain (void *arg, bool is_write, uint64_t offset)
{
  must (arg == disk, "the handle is the one that was offered");
  expectations[1] = (struct expectation){true, is_write, offset - world.base};
  seen.expected++;
}

/* The device has done a request, or nbdkit has its header. */
static void
meet_expectation (bool is_write, uint64_t offset)
{
  const struct expectation e = expectations[0];

  must (!e.any || (e.is_write == is_write && e.offset == offset),
        "this request was expected");
  expectations[0] = expectations[1];
  expectations[1].any = false;
}

static bool
begin (bool is_write, uint32_t count, uint64_t offset)
{
  must (count > 0, "a plain request has data");
  must (batch_arrival () >= seen.asked_at, "its last bytes came after that");
  must (batch_before_reply (end_open, &nr_open), "it may end with others");
  nr_open++;
  if (world.refuses || offset >= SIZE || count > SIZE - offset ||
      offset >= world.refused_from)
    return false;
  meet_expectation (is_write, offset);
  seen.by_device++;
  return true;
}

static bool
read_plain (void *arg, void *buf, uint32_t count, uint64_t offset)
{
  must (arg == disk, "the handle is the one that was offered");
  must ((buf == NULL) == world.zeroes, "there is a buffer for data");
  offset -= world.base;
  if (!begin (false, count, offset)) {
    if (buf != NULL)
      memset (buf, 0xdd, count);
    return false;
  }
  if (buf != NULL)
    memcpy (buf, disk + offset, count);
  return true;
}

static bool
write_plain (void *arg, const void *buf, uint32_t count, uint64_t offset)
{
  must (arg == disk, "the handle is the one that was offered");
  must ((buf == NULL) == world.zeroes, "there is a buffer for data");
  offset -= world.base;
  if (!begin (true, count, offset))
    return false;
  if (!world.zeroes)
    memcpy (disk + offset, buf, count);
  return true;
}

static void
offer (const unsigned char *request)
{
  static const struct batch_device data = {.read = read_plain,
                                           .write = write_plain,
                                           .expect = expect_plain},
                                   zeroes = {.read = read_plain,
                                             .write = write_plain,
                                             .is_zero = true};

  if (world.offers)
    batch_offer (world.zeroes ? &zeroes : &data, disk, request[7] == CMD_WRITE,
                 get32 (request + 24), get64 (request + 16) + world.lies);
}

/* 1, 0 at the end, or -1. */
static int
receive (int fd, unsigned char *buf, size_t n)
{
  size_t got = 0;
  ssize_t r;

  while (got < n) {
    r = batch_read (fd, buf + got, n - got);
    if (r == -1 && (errno == EINTR || errno == EAGAIN))
      continue;
    if (r <= 0)
      return r == 0 && got == 0 ? 0 : -1;
    got += r;
  }
  return 1;
}

static bool
transmit (int fd, const unsigned char *buf, size_t n, int flags)
{
  ssize_t r;

  for (; n > 0; buf += r, n -= r) {
    r = batch_send (fd, buf, n, flags);
    if (r == -1 && (errno == EINTR || errno == EAGAIN))
      r = 0;
    if (r == -1)
      return false;
  }
  return true;
}

static unsigned char buffer[SIZE]; /* nbdkit's */

/* Do a request that nbdkit has. */
static bool
do_request (const unsigned char *request)
{
  const uint32_t count = get32 (request + 24);
  const uint64_t offset = place_of (request);
  const bool good = is_good (request) && !world.fails;

  world.fails = false;
  if (!good)
    return false;
  if (request[7] == CMD_FLUSH) {
    take_replies ();
    seen.got_at_flush = client.got.len;
  }
  if (request[7] <= CMD_WRITE)
    offer (request);
  if (request[7] == CMD_WRITE && !world.zeroes)
    memcpy (disk + offset, batch_payload (buffer, count), count);
  if (request[7] == CMD_READ && !world.zeroes)
    memcpy (batch_answer_buffer (buffer, count), disk + offset, count);
  if (request[7] == CMD_READ && world.zeroes &&
      !batch_still_zero (buffer, count))
    memset (buffer, 0, count);
  if (batch_before_reply (end_open, &nr_open))
    nr_open++;
  return true;
}

static bool
send_reply (int fd, const unsigned char *request, bool good)
{
  const uint32_t count = get32 (request + 24);
  unsigned char head[28], copy[28];
  bool data;
  size_t n;

  memcpy (head, make_head (request, good, &n, &data), sizeof head);
  if (world.astray >= 0 &&
      (!transmit (world.astray, head, n, data ? MSG_MORE : 0) ||
       (data && !transmit (world.astray, buffer, count, 0))))
    return false;
  if (world.odd_byte >= 0)
    head[world.odd_byte] ^= 1;
  if (n == 16)
    return transmit (fd, head, n, data ? MSG_MORE : 0) &&
           (!data || transmit (fd, buffer, count, 0));
  if (!data)
    return transmit (fd, head, 20, MSG_MORE) && transmit (fd, head + 20, 6, 0);
  memcpy (copy, head, n);
  if (world.two_chunks) {
    put32 (copy + 4, 1);
    put32 (copy + 16, 8 + 1);
    if (!transmit (fd, copy, 20, MSG_MORE) ||
        !transmit (fd, copy + 20, 8, MSG_MORE) || !transmit (fd, buffer, 1, 0))
      return false;
    put32 (copy + 4, 0x10001);
    put32 (copy + 16, 8 + count - 1);
    put32 (copy + 24, get32 (copy + 24) + 1);
    return transmit (fd, copy, 28, MSG_MORE) &&
           transmit (fd, buffer + 1, count - 1, 0);
  }
  return transmit (fd, copy, 20, MSG_MORE) &&
         transmit (fd, copy + 20, 8, MSG_MORE) &&
         transmit (fd, buffer, count, 0);
}

/* Returns 0 at the client's end, and -1 where it is lost. */
static int
serve (int fd)
{
  unsigned char request[HEADER];
  int r;

  while ((r = receive (fd, request, HEADER)) == 1) {
    if (get32 (request) != MAGIC)
      return -1;
    if (request[7] == CMD_DISC)
      return 0;
    meet_expectation (request[7] == CMD_WRITE, place_of (request));
    seen.by_nbdkit++;
    if (seen.by_nbdkit == world.stops_at)
      return 0;
    if (request[7] == CMD_WRITE &&
        receive (fd, buffer, get32 (request + 24)) != 1)
      return -1;
    if (!send_reply (fd, request, do_request (request)))
      return -1;
  }
  return r;
}

static void
connect_client (int ends[2], const struct stream *requests)
{
  assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  client.fd = ends[1];
  client.server_fd = ends[0];
  client.requests = requests;
  client.sent = client.next = 0;
  client.got.len = 0;
  memset (expectations, 0, sizeof expectations);
  batch_begin (ends[0]);
}

static void
disconnect_client (const int ends[2])
{
  batch_end (ends[0]);
  must (nr_open == 0, "requests have ended with their connection");
  close (ends[0]);
  take_replies ();
  close (ends[1]);
}

/* Serve the requests, which come at once as a rule, and compare. */
static void
check (struct stream *s)
{
  struct stream due = replies_to (s);
  int ends[2];

  memset (&seen, 0, sizeof seen);
  connect_client (ends, s);
  assert_int_equal (serve (ends[0]), 0);
  disconnect_client (ends);
  if (world.two_chunks || world.odd_byte >= 0)
    assert_true (client.got.len >= due.len);
  else {
    assert_int_equal (client.got.len, due.len);
    assert_memory_equal (client.got.bytes, due.bytes, due.len);
  }
  free (client.got.bytes);
  memset (&client, 0, sizeof client);
  free (due.bytes);
  free (s->bytes);
  *s = (struct stream){0};
}

/* A device of all zeroes, or with data. */
static void
fill_disk (void)
{
  size_t i;

  for (i = 0; i < SIZE; i++)
    disk[i] = world.zeroes ? 0 : i * 7 + (i >> 12);
}

static void
add_many (struct stream *s, unsigned n)
{
  unsigned i;

  for (i = 0; i < n; i++)
    add (s, i % 2, i * 4096, 4096);
}

/*---------------------------------------------------------------------*/

/* The first read and the first write are nbdkit's, and those after them are
 * not; with either form of replies.
 */
static void
test_answers (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  for (i = 0; i < 4; i++) {
    world.structured = i & 1;
    world.zeroes = i & 2;
    fill_disk ();
    add_many (&s, 20);
    check (&s);
    assert_int_equal (seen.by_nbdkit, 2);
    assert_int_equal (seen.by_device, 18);
    assert_int_equal (seen.expected, world.zeroes ? 0 : 17);
    assert_true (seen.sends <= 2);
  }
}

/* Beyond 4 GiB they are as elsewhere. */
static void
test_large_offsets (void **state)
{
  struct stream s = {0};

  (void) state;
  world.base = UINT64_C (0x300000000);
  fill_disk ();
  add_many (&s, 20);
  check (&s);
  assert_int_equal (seen.by_nbdkit, 2);
}

/* Around all limits, a request is answered right, by whom ever. */
static void
test_sizes (void **state)
{
  static const uint32_t sizes[] = {1,     16,    512,    1023,   1024,   1025,
                                   4096,  16383, 16384,  16385,  32768,  32769,
                                   65536, 65537, 131072, 262144, 262145, 7};
  struct stream s = {0};
  unsigned i, k;

  (void) state;
  for (i = 0; i < 4; i++) {
    world.structured = i & 1;
    world.zeroes = i & 2;
    fill_disk ();
    add_many (&s, 2);
    for (k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
      add (&s, CMD_READ, k * 3, sizes[k]);
      add (&s, CMD_READ, k * 5, 4096);
    }
    check (&s);
    /* Of zeroes only the last but one is too many. */
    assert_int_equal (seen.by_nbdkit, world.zeroes ? 3 : 10);
    for (k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
      if (sizes[k] <= 65537)
        add (&s, CMD_WRITE, k * 3, sizes[k]);
      add (&s, CMD_READ, k * 3, 4096);
    }
    check (&s);
    assert_true (seen.by_device > 20);
  }
}

/* As many as there is room for, and more. */
static void
test_full (void **state)
{
  struct stream s = {0};
  unsigned i, k;

  (void) state;
  for (i = 0; i < 4; i++) {
    world.structured = i & 1;
    world.zeroes = i & 2;
    fill_disk ();
    for (k = 0; k < 60; k++)
      add (&s, CMD_READ, k, 16384 - k);
    check (&s);
    assert_true (seen.by_device >= 58);
    for (k = 0; k < 1500; k++)
      add (&s, CMD_READ, k, 1 + k * 11 % 1100);
    check (&s);
    assert_true (seen.by_device > 1400);
    for (k = 0; k < 1500; k++)
      add (&s, CMD_READ, k, 1024);
    check (&s);
    assert_true (seen.by_device > 1400);
  }
}

/* A request that is not plain is nbdkit's, in its place. */
static void
test_not_plain (void **state)
{
  static const struct {
    unsigned flags, command;
    uint64_t offset;
    uint32_t count;
  } others[] = {{FLAG_FUA, CMD_WRITE, 0, 4096},
                {FLAG_DF, CMD_READ, 0, 4096},
                {0x8000, CMD_READ, 0, 4096},
                {0, CMD_FLUSH, 0, 0},
                {0, 9, 0, 4096},
                {0, 0x101, 0, 0},
                {0, CMD_READ, 0, 0},
                {0, CMD_READ, SIZE, 4096},
                {0, CMD_WRITE, SIZE - 1, 512},
                {0, CMD_READ, UINT64_MAX, 1},
                {0, CMD_READ, 600000, 4096},
                {0, CMD_WRITE, 600000, 4096},
                {0, CMD_READ, 0, 300000},
                {0, CMD_WRITE, 0, 0}};
  struct stream s = {0};
  unsigned i, k;

  (void) state;
  for (i = 0; i < 4 * sizeof others / sizeof others[0]; i++) {
    k = i / 4;
    world.structured = i % 2;
    world.zeroes = i / 2 % 2;
    world.refused_from = 600000;
    fill_disk ();
    add_many (&s, 10);
    add_with_flags (&s, others[k].flags, others[k].command, others[k].offset,
                    others[k].count);
    add_many (&s, 10);
    check (&s);
    assert_int_equal (seen.by_nbdkit, 3);
    assert_int_equal (seen.by_device, 18);
  }
}

/* nbdkit ends a connection with something else than a request. */
static void
test_no_request (void **state)
{
  struct stream s = {0};
  int ends[2];

  (void) state;
  fill_disk ();
  add_many (&s, 4);
  put32 (s.bytes + s.len - HEADER - 4096, MAGIC + 1);
  connect_client (ends, &s);
  assert_int_equal (serve (ends[0]), -1);
  disconnect_client (ends);
  assert_int_equal (seen.by_device, 1);
  free (s.bytes);
  free (client.got.bytes);
  memset (&client, 0, sizeof client);
}

/* What comes next takes time: nothing is held meanwhile. */
static void
test_slow_request (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  fill_disk ();
  for (i = 0; i < 5; i++)
    add (&s, CMD_READ, 0, 4096);
  add (&s, CMD_FLUSH, 0, 0);
  check (&s);
  assert_int_equal (seen.by_device, 4);
  assert_int_equal (seen.got_at_flush, 5 * (16 + 4096));
}

/* nbdkit answers in a way that is not known here: then it has all requests. */
static void
test_unknown_form (void **state)
{
  struct stream s = {0};
  unsigned i, k;
  int ends[2];

  (void) state;
  fill_disk ();
  world.structured = world.two_chunks = true;
  for (i = 0; i < 10; i++)
    add (&s, CMD_READ, i * 4096, 4096);
  check (&s);
  assert_int_equal (seen.by_device, 0);
  world.two_chunks = false;

  for (i = 0; i < 2 * 28; i++) {
    world.structured = i % 2;
    world.odd_byte = i / 2;
    for (k = 0; k < 3; k++) {
      if (world.odd_byte < 16 || world.structured)
        add (&s, CMD_READ, 0, 4096);
      if (world.odd_byte < 16)
        add (&s, CMD_WRITE, 0, 4096);
    }
    if (s.len > 0)
      check (&s);
    assert_int_equal (seen.by_device, 0);
  }
  world.structured = true;

  /* What nbdkit sends elsewhere is no reply. */
  world.odd_byte = 15;
  assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  world.astray = ends[0];
  for (i = 0; i < 3; i++)
    add (&s, CMD_READ, 0, 512);
  check (&s);
  assert_int_equal (seen.by_device, 0);
  close (ends[0]);
  close (ends[1]);
  world.astray = world.odd_byte = -1;

  /* It is not a request that nbdkit has shown. */
  world.lies = true;
  add_many (&s, 10);
  check (&s);
  assert_int_equal (seen.by_device, 0);
  world.lies = false;

  /* One has failed, the next shows it. */
  add (&s, CMD_READ, SIZE, 4096);
  add (&s, CMD_READ, SIZE - 1, 4096);
  add (&s, CMD_READ, SIZE - 4096, 4096);
  add (&s, CMD_READ, 0, 4096);
  check (&s);
  assert_int_equal (seen.by_device, 1);

  /* How it reads does not say how it writes. */
  for (i = 0; i < 10; i++)
    add (&s, CMD_READ, i * 4096, 4096);
  add (&s, CMD_WRITE, 0, 4096);
  add (&s, CMD_READ, 0, 4096);
  add (&s, CMD_WRITE, 1, 4096);
  check (&s);
  assert_int_equal (seen.by_nbdkit, 2);
}

/* nbdkit has one of so many: it has to find out that it is to stop. */
static void
test_in_a_row (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  fill_disk ();
  for (i = 0; i < 650; i++)
    add (&s, CMD_READ, i * 512, 512);
  check (&s);
  assert_int_equal (seen.by_nbdkit, 10);

  /* Those that come together are as others are. */
  for (i = 0; i < 200; i++) {
    add (&s, CMD_READ, i * 512, 512);
    if (i % 5 == 4)
      client.cuts[client.nr_cuts++] = s.len;
  }
  check (&s);
  assert_int_equal (seen.by_nbdkit, 4);
  assert_int_equal (seen.sends, 40);
}

/* What a client has one at a time, whole or in pieces. */
static void
test_one_at_a_time (void **state)
{
  struct stream s = {0};
  unsigned i, k;

  (void) state;
  for (k = 0; k < 2; k++) {
    world.zeroes = k;
    fill_disk ();
    for (i = 0; i < 50; i++) {
      add (&s, i % 2, i * 512, 512);
      client.cuts[client.nr_cuts++] = s.len;
    }
    check (&s);
    assert_int_equal (seen.by_nbdkit, 2);
    assert_int_equal (seen.sends, 50 + 1); /* nbdkit's read takes two */
  }
}

/* Of a read or write only a part has come, and then the rest, with requests
 * behind it.  However it is cut, it is plain, unless it is too large for that.
 */
static void
test_cut (void **state)
{
  static const uint32_t counts[] = {1, 512, 4096, 32768, 32769};
  struct stream s = {0};
  size_t from, cut;
  unsigned i, k;

  (void) state;
  for (i = 0; i < 2 * sizeof counts / sizeof counts[0]; i++) {
    for (k = 0; k < 40; k++) {
      fill_disk ();
      add_many (&s, 10);
      from = s.len;
      add (&s, i % 2, 4096, counts[i / 2]);
      cut = k < HEADER ? k + 1 : HEADER + (k - HEADER) * 301;
      if (from + cut >= s.len)
        cut = 1;
      client.cuts[client.nr_cuts++] = from + cut;
      if (k % 2 == 0 && from + cut + 1 < s.len)
        client.cuts[client.nr_cuts++] = from + cut + 1;
      add_many (&s, 10);
      check (&s);
      /* The first two, and what is too large. */
      assert_int_equal (seen.by_nbdkit,
                        counts[i / 2] > (i % 2 ? 32768 : 16384) ? 3 : 2);
    }
  }
}

/* The rest of an incomplete write is read at once, also after a large write,
 * which has little read ahead.
 */
static void
test_incomplete_after_large (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  fill_disk ();
  add_many (&s, 10);
  for (i = 0; i < 20; i++) {
    add (&s, CMD_WRITE, 0, 131072);
    add (&s, CMD_WRITE, 262144, 32768);
  }
  check (&s);
  assert_true (seen.reads <= 4 * 20);
}

/* What has come of an incomplete request goes to nbdkit where requests are not
 * plain any more, and where the client is gone.
 */
static void
test_incomplete_and_no_more (void **state)
{
  struct stream s = {0};
  unsigned i, k;
  int ends[2];

  (void) state;
  fill_disk ();
  for (i = 0; i < 3; i++) {
    for (k = 1; k < 60; k++) {
      add_many (&s, 10);
      client.cuts[client.nr_cuts++] = s.len + (k < 30 ? k : k * 30);
      add (&s, CMD_WRITE, 4096, 2048);
      world.waits_at_turn = i == 0 ? 2 : 0;
      world.passes_at_turn = i == 1 ? 2 : 0;
      if (i < 2) {
        add_many (&s, 4);
        check (&s);
        assert_int_equal (seen.by_nbdkit, 7);
        batch_set_waits (false);
        continue;
      }
      s.len = client.cuts[0];
      memset (&seen, 0, sizeof seen);
      connect_client (ends, &s);
      assert_int_equal (serve (ends[0]), -1);
      disconnect_client (ends);
      assert_int_equal (seen.by_nbdkit, k < HEADER ? 2 : 3);
      free (client.got.bytes);
      free (s.bytes);
      s = (struct stream){0};
      memset (&client, 0, sizeof client);
    }
  }
}

/* There is no nap before the next request if the last was a large read. */
static void
test_no_nap_after_large_reads (void **state)
{
  struct stream s = {0};
  unsigned i, large;

  (void) state;
  batch_libc.ppoll = our_ppoll;
  batch_libc.has_unread = always_has_unread;
  world.zeroes = true;
  fill_disk ();
  for (large = 0; large < 2; large++) {
    for (i = 0; i < 40; i++) {
      add (&s, CMD_READ, 0, large ? 32768 : 32767);
      client.cuts[client.nr_cuts++] = s.len;
    }
    naps = 0;
    check (&s);
    assert_true (large ? naps == 0 : naps > 10);
  }
}

static unsigned header_polls, payload_polls;

/* A look at the clock takes 1 us, and a sleep 30. */
static uint64_t
ticking_now (void)
{
  static unsigned looks;

  return ++looks * UINT64_C (1000) +
         (seen.reads - payload_polls) * UINT64_C (30000);
}

static ssize_t
recvmsg_payloads_only (int fd, struct msghdr *msg, int flags)
{
  (void) flags;
  if (msg->msg_iov[0].iov_len <= HEADER) {
    header_polls++;
    errno = EAGAIN;
    return -1;
  }
  payload_polls++;
  return our_readv (fd, msg->msg_iov, msg->msg_iovlen);
}

/* A client that is slower than the time it is polled for is soon left alone,
 * also where nbdkit has its writes, and waits for their payloads.
 */
static void
test_slow_client (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  fill_disk ();
  batch_libc.recvmsg = recvmsg_payloads_only;
  batch_libc.now = batch_libc.cpu = ticking_now;
  batch_set_poll (1);
  header_polls = payload_polls = 0;
  for (i = 0; i < 120; i++) {
    client.cuts[client.nr_cuts++] = s.len + HEADER;
    add (&s, CMD_WRITE, 0, 50000);
    client.cuts[client.nr_cuts++] = s.len;
  }
  check (&s);
  assert_int_equal (seen.by_nbdkit, 120);
  assert_int_equal (header_polls, 4);
}

/* Nobody polls for a client that has several requests at a time, be they plain,
 * or nbdkit's, as from the third turn on they wait, or the last bytes of one
 * that is dropped together with the next one.
 */
static void
test_no_poll_for_several (void **state)
{
  struct stream s = {0};
  unsigned i, k;

  (void) state;
  batch_libc.recvmsg = recvmsg_payloads_only;
  batch_libc.now = batch_libc.cpu = ticking_now;
  batch_set_poll (1);
  for (k = 0; k < 3; k++) {
    world.zeroes = k == 2;
    world.waits_at_turn = k == 1 ? 3 : 0;
    fill_disk ();
    header_polls = payload_polls = 0;
    add_many (&s, 4);
    client.cuts[client.nr_cuts++] = s.len;
    for (i = 0; i < 250; i++) {
      add (&s, CMD_WRITE, 0, 4096);
      if (k == 2)
        client.cuts[client.nr_cuts++] = s.len - 1;
      add (&s, CMD_READ, 0, 4096);
      client.cuts[client.nr_cuts++] = s.len;
    }
    check (&s);
    assert_true (k == 1 ? seen.by_nbdkit == 500 : seen.by_nbdkit < 12);
    assert_int_equal (header_polls, 0);
    batch_set_waits (false);
  }
}

/*---------------------------------------------------------------------*/
/* Payloads that are dropped */

/* nbdkit's first write, and one of COUNT bytes. */
static void
add_large (struct stream *s, uint32_t count)
{
  add (s, CMD_WRITE, 0, 512);
  client.cuts[client.nr_cuts++] = s->len;
  add (s, CMD_WRITE, 4096, count);
}

/* Its payload comes in pieces, with other requests behind it. */
static void
test_drops (void **state)
{
  static const uint32_t counts[] = {1, 512, 32769, 131072, 262144, 1000000};
  struct stream s = {0};
  unsigned i, k, from;

  (void) state;
  world.zeroes = true;
  fill_disk ();
  for (i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    for (k = 0; k < 6; k++) {
      add_large (&s, counts[i]);
      from = client.cuts[0];
      /* After the header, within, before the end, and behind it. */
      if (k > 0)
        client.cuts[client.nr_cuts++] = from + HEADER;
      if (k > 1 && counts[i] > 1)
        client.cuts[client.nr_cuts++] = from + HEADER + counts[i] / 2;
      if (k > 2)
        client.cuts[client.nr_cuts++] = s.len - 1;
      if (k > 3)
        client.cuts[client.nr_cuts++] = s.len;
      if (k > 4)
        client.cuts[client.nr_cuts++] = s.len + 5;
      add (&s, CMD_READ, 0, 4096);
      add (&s, CMD_WRITE, 0, counts[i]);
      add (&s, CMD_WRITE, 0, 100);
      check (&s);
      assert_int_equal (seen.by_nbdkit, 2);
    }
  }
}

/* Each read from the kernel has all of the buffer. */
static void
test_drops_by_large_reads (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  world.zeroes = true;
  fill_disk ();
  add_large (&s, 200000);
  for (i = 0; i < 9; i++)
    add (&s, CMD_WRITE, 0, 200000);
  check (&s);
  assert_int_equal (seen.by_nbdkit, 1);
  assert_true (seen.reads < 30);
}

/* nbdkit has its next request in time, too, where a payload comes in many
 * pieces, and requests one at a time.
 */
static void
test_drops_in_a_row (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  world.zeroes = true;
  fill_disk ();
  add (&s, CMD_READ, 0, 512);
  add_large (&s, 100000);
  for (i = 1; i < 100; i++)
    client.cuts[client.nr_cuts++] = client.cuts[0] + HEADER + i * 1000;
  client.cuts[client.nr_cuts++] = s.len;
  for (i = 0; i < 150; i++) {
    add (&s, CMD_READ, i * 512, 512);
    client.cuts[client.nr_cuts++] = s.len;
  }
  check (&s);
  assert_int_equal (seen.by_nbdkit, 1 + 1 + 2);
}

/* nbdkit has these bytes of the last payload. */
static void
assert_given_back (const unsigned char *payload, size_t lost, size_t count)
{
  size_t i;

  for (i = 0; i < lost; i++)
    assert_int_equal (buffer[i], 0);
  assert_memory_equal (buffer + lost, payload + lost, count - lost);
}

/* The device refuses the write after all. */
static void
test_drops_and_refuses (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  world.zeroes = true;
  world.refused_from = 4096;
  fill_disk ();
  for (i = 0; i < 40; i++) {
    memset (buffer, 1, sizeof buffer);
    add_large (&s, 70000);
    client.cuts[client.nr_cuts++] = client.cuts[0] + HEADER + i * 1777;
    client.cuts[client.nr_cuts++] = s.len + i; /* in the next header, or not */
    add (&s, CMD_WRITE, 0, 100);
    check (&s);
    assert_int_equal (seen.by_nbdkit, 2);
    assert_int_equal (seen.by_device, 1);
    assert_given_back (NULL, 70000, 70000);
  }
}

/* No request is plain any more, or the client is gone, when a part has come. */
static void
test_drops_no_more (void **state)
{
  const size_t count = 70000, most = 40;
  struct stream s = {0};
  unsigned char *payload;
  unsigned i, k;
  int ends[2];

  (void) state;
  world.zeroes = true;
  fill_disk ();
  payload = malloc (count);
  must (payload != NULL, "there is memory");
  for (i = 0; i < 2 * most; i++) {
    k = i / 2;
    world.waits_at_turn = i % 2 == 0 ? 3 : 0;
    memset (buffer, 1, sizeof buffer);
    add_large (&s, count);
    memcpy (payload, s.bytes + s.len - count, count);
    client.cuts[client.nr_cuts++] = client.cuts[0] + HEADER + k * 1777;
    if (i % 2 == 0) {
      add (&s, CMD_FLUSH, 0, 0);
      add (&s, CMD_FLUSH, 0, 0);
      check (&s);
      assert_int_equal (seen.by_nbdkit, 4);
      assert_given_back (payload, k * 1777, count);
      batch_set_waits (false);
      continue;
    }
    s.len = client.cuts[1];
    memset (&seen, 0, sizeof seen);
    connect_client (ends, &s);
    assert_int_equal (serve (ends[0]), -1);
    disconnect_client (ends);
    assert_int_equal (seen.by_nbdkit, 2);
    assert_int_equal (client.got.len, 16);
    free (client.got.bytes);
    free (s.bytes);
    s = (struct stream){0};
    memset (&client, 0, sizeof client);
  }
  free (payload);
}

/* nbdkit ends the connection when it has the header of a write that it was
 * given back; the next connection of this number is like any other.
 */
static void
test_drops_and_next_connection (void **state)
{
  struct stream s = {0};
  int ends[2];

  (void) state;
  world.zeroes = true;
  world.refused_from = 4096;
  world.stops_at = 2;
  fill_disk ();
  add_large (&s, 70000);
  client.cuts[client.nr_cuts++] = client.cuts[0] + HEADER + 512;
  memset (&seen, 0, sizeof seen);
  connect_client (ends, &s);
  assert_int_equal (serve (ends[0]), 0);
  disconnect_client (ends);
  free (client.got.bytes);
  free (s.bytes);
  s = (struct stream){0};
  memset (&client, 0, sizeof client);

  world.stops_at = 0;
  add_many (&s, 20);
  check (&s);
}

/* Another thread ends a connection whose payload is being dropped; the next
 * connection of this number is like any other.
 */
static void
test_drops_until_the_end (void **state)
{
  struct stream s = {0};
  int ends[2];

  (void) state;
  world.zeroes = true;
  world.ends_at_turn = 3;
  fill_disk ();
  add_large (&s, 70000);
  client.cuts[client.nr_cuts++] = client.cuts[0] + HEADER + 512;
  client.cuts[client.nr_cuts++] = client.cuts[0] + HEADER + 1024;
  memset (&seen, 0, sizeof seen);
  connect_client (ends, &s);
  assert_int_equal (serve (ends[0]), -1);
  disconnect_client (ends);
  free (client.got.bytes);
  free (s.bytes);
  s = (struct stream){0};
  memset (&client, 0, sizeof client);

  world.ends_at_turn = 0;
  add_many (&s, 20);
  check (&s);
  assert_int_equal (seen.by_nbdkit, 2);
}

/* nbdkit refuses a payload that is too long, and does not wait for it. */
static void
test_too_long_to_drop (void **state)
{
  const uint32_t most = 32 * 1024 * 1024;
  struct stream s = {0};
  unsigned i;
  int ends[2];

  (void) state;
  world.zeroes = true;
  fill_disk ();
  for (i = 0; i < 2; i++) {
    world.stops_at = 2;
    add_large (&s, 512);
    s.len -= 512;
    put32 (s.bytes + s.len - 4, most + i);
    memset (&seen, 0, sizeof seen);
    connect_client (ends, &s);
    assert_int_equal (serve (ends[0]), 0);
    disconnect_client (ends);
    /* Two turns for the headers; and one for the end, if it was awaited. */
    assert_int_equal (seen.turns, i == 0 ? 3 : 2);
    free (client.got.bytes);
    free (s.bytes);
    s = (struct stream){0};
    memset (&client, 0, sizeof client);
  }
}

/* Once all calls pass through, nothing is read ahead. */
static void
test_passes_through (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  fill_disk ();
  world.passes_at_turn = 3;
  for (i = 0; i < 120; i++) {
    add (&s, CMD_READ, i * 512, 512);
    if (i % 5 == 4)
      client.cuts[client.nr_cuts++] = s.len;
  }
  check (&s);
  assert_int_equal (seen.by_device, 9);
}

/* Where requests may wait, or others may serve them, all are nbdkit's. */
static void
test_modes (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  fill_disk ();
  for (i = 0; i < 5; i++) {
    batch_set_plain (i != 0);
    batch_set_serial (i != 1);
    batch_set_waits (i == 2);
    world.offers = i != 3;
    world.refuses = i == 4;
    add_many (&s, 20);
    check (&s);
    assert_int_equal (seen.by_nbdkit, 20);
    assert_int_equal (seen.by_device, 0);
  }
}

static void *
read_and_offer (void *fd)
{
  char c;

  must (batch_read (*(int *) fd, &c, 1) == 1, "a byte comes");
  offer ((const unsigned char[HEADER]){0});
  return NULL;
}

/* Others have read of the connection before, and offer it, too. */
static void
test_several_threads (void **state)
{
  struct stream s = {0};
  pthread_t threads[2];
  int ends[2];
  unsigned i;

  (void) state;
  fill_disk ();
  add_many (&s, 20);
  connect_client (ends, &s);
  write_all (ends[1], "01", 2);
  for (i = 0; i < 2; i++)
    assert_int_equal (
        pthread_create (&threads[i], NULL, read_and_offer, &ends[0]), 0);
  for (i = 0; i < 2; i++)
    pthread_join (threads[i], NULL);
  assert_int_equal (serve (ends[0]), 0);
  disconnect_client (ends);
  assert_int_equal (seen.by_device, 0);
  free (s.bytes);
  free (client.got.bytes);
  memset (&client, 0, sizeof client);
}

/* The next connection of this number has to show its replies by itself. */
static void
test_next_connection (void **state)
{
  struct stream s = {0};
  unsigned i;

  (void) state;
  fill_disk ();
  for (i = 0; i < 3; i++) {
    world.structured = i & 1;
    add_many (&s, 20);
    check (&s);
    assert_int_equal (seen.by_nbdkit, 2);
  }
}

/* A payload may look like requests, however it comes. */
static void
test_looks_like_requests (void **state)
{
  struct stream s = {0}, look = {0};
  size_t at, cut, i;

  (void) state;
  add (&look, CMD_WRITE, 0, 28);
  for (cut = 1; cut < 1200; cut++) {
    fill_disk ();
    add_many (&s, 2);
    at = s.len;
    add (&s, CMD_WRITE, 8192, 1024);
    for (i = 0; i + 28 <= 1024; i += 28)
      memcpy (s.bytes + at + HEADER + 1024 - 28 - i, look.bytes, 28);
    add (&s, CMD_WRITE, 0, 100);
    add (&s, CMD_READ, 0, 16384);
    client.cuts[0] = at;
    client.cuts[1] = at + cut;
    client.nr_cuts = 2;
    if (at + cut < s.len)
      check (&s);
    free (s.bytes);
    s = (struct stream){0};
  }
  free (look.bytes);
}

/* The client is gone: nbdkit finds out by its next call. */
static void
test_client_is_gone (void **state)
{
  struct stream s = {0};
  int ends[2];

  (void) state;
  fill_disk ();
  add_many (&s, 40);
  connect_client (ends, &s);
  take_turn ();
  shutdown (ends[1], SHUT_RD);
  assert_int_equal (serve (ends[0]), -1);
  disconnect_client (ends);
  assert_true (seen.by_nbdkit <= 4);
  free (s.bytes);
  memset (&client, 0, sizeof client);
}

/* When a send has failed, nothing is sent after it, be it the rest of a reply.
 */
static void
test_failing_send (void **state)
{
  struct stream s = {0}, due;
  unsigned i, k;
  int ends[2];

  (void) state;
  for (i = 0; i < 24; i++) {
    world.zeroes = i % 2;
    world.structured = i / 2 % 2;
    world.failing_send = 1 + i / 4;
    fill_disk ();
    for (k = 0; k < 400; k++)
      add (&s, CMD_READ, k, world.zeroes ? 40000 : 16000);
    due = replies_to (&s);
    memset (&seen, 0, sizeof seen);
    connect_client (ends, &s);
    assert_int_equal (serve (ends[0]), -1);
    disconnect_client (ends);
    assert_true (seen.sends >= world.failing_send);
    assert_true (client.got.len < due.len);
    if (client.got.len > 0)
      assert_memory_equal (client.got.bytes, due.bytes, client.got.len);
    free (client.got.bytes);
    memset (&client, 0, sizeof client);
    free (due.bytes);
    free (s.bytes);
    s = (struct stream){0};
  }
}

/* Any requests, in any pieces, with sends that take a part. */
static void
test_random (void **state)
{
  const unsigned n = 60;
  struct stream s = {0};
  uint64_t offset;
  uint32_t count;
  unsigned i, k, r, plain = 0;

  (void) state;
  world.seed = new_seed ("plain");
  for (i = 0; i < 200; i++) {
    world.structured = random_below (&world.seed, 2);
    world.zeroes = random_below (&world.seed, 2);
    world.trouble = random_below (&world.seed, 3) * 20;
    world.refused_from = random_below (&world.seed, 2) ? SIZE : SIZE / 2;
    fill_disk ();
    for (k = 0; k < n; k++) {
      r = random_below (&world.seed, 30);
      offset = random_below (&world.seed, SIZE);
      count = r < 25 ? 1 + random_below (&world.seed, 8192)
                     : random_below (&world.seed, 100000);
      if (r == 0)
        add (&s, CMD_FLUSH, 0, 0);
      else
        add_with_flags (&s, r == 1, random_below (&world.seed, 2), offset,
                        count);
    }
    client.at_random = random_below (&world.seed, 2);
    check (&s);
    plain += seen.by_device;
  }
  assert_true (plain > n * 20);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup (test_answers, set_up),
      cmocka_unit_test_setup (test_large_offsets, set_up),
      cmocka_unit_test_setup (test_sizes, set_up),
      cmocka_unit_test_setup (test_full, set_up),
      cmocka_unit_test_setup (test_not_plain, set_up),
      cmocka_unit_test_setup (test_no_request, set_up),
      cmocka_unit_test_setup (test_slow_request, set_up),
      cmocka_unit_test_setup (test_unknown_form, set_up),
      cmocka_unit_test_setup (test_in_a_row, set_up),
      cmocka_unit_test_setup (test_one_at_a_time, set_up),
      cmocka_unit_test_setup (test_cut, set_up),
      cmocka_unit_test_setup (test_incomplete_after_large, set_up),
      cmocka_unit_test_setup (test_incomplete_and_no_more, set_up),
      cmocka_unit_test_setup (test_no_nap_after_large_reads, set_up),
      cmocka_unit_test_setup (test_slow_client, set_up),
      cmocka_unit_test_setup (test_no_poll_for_several, set_up),
      cmocka_unit_test_setup (test_drops, set_up),
      cmocka_unit_test_setup (test_drops_by_large_reads, set_up),
      cmocka_unit_test_setup (test_drops_in_a_row, set_up),
      cmocka_unit_test_setup (test_drops_and_refuses, set_up),
      cmocka_unit_test_setup (test_drops_no_more, set_up),
      cmocka_unit_test_setup (test_drops_and_next_connection, set_up),
      cmocka_unit_test_setup (test_drops_until_the_end, set_up),
      cmocka_unit_test_setup (test_too_long_to_drop, set_up),
      cmocka_unit_test_setup (test_passes_through, set_up),
      cmocka_unit_test_setup (test_modes, set_up),
      cmocka_unit_test_setup (test_several_threads, set_up),
      cmocka_unit_test_setup (test_next_connection, set_up),
      cmocka_unit_test_setup (test_looks_like_requests, set_up),
      cmocka_unit_test_setup (test_client_is_gone, set_up),
      cmocka_unit_test_setup (test_failing_send, set_up),
      cmocka_unit_test_setup (test_random, set_up),
  };

  return RUN_TESTS (tests);
}
