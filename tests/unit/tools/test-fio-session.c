/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The requests of fio's engine, on channels that we speak NBD on, to a server
 * that is a thread here, or the test itself.  The server may answer in any
 * order, in pieces, and with what is no answer at all.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "fio/session.h"
#include "unit.h"

#define DEPTH 32
#define BLOCK 4096
#define SIZE (8u << 20)

static unsigned sends, receives;

ssize_t __real_sendmsg (int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg (int fd, const struct msghdr *message, int flags);
ssize_t
__wrap_sendmsg (int fd, const struct msghdr *message, int flags)
{
  sends++;
  return __real_sendmsg (fd, message, flags);
}

ssize_t __real_recvmsg (int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg (int fd, struct msghdr *message, int flags);
ssize_t
__wrap_recvmsg (int fd, struct msghdr *message, int flags)
{
  receives++;
  return __real_recvmsg (fd, message, flags);
}

/*---------------------------------------------------------------------*/
/* A session, and the other ends of its channels */

struct ends {
  struct session *s;
  int here[2], there[2];
  unsigned n;
};

static void
begin (struct ends *e, unsigned channels, uint64_t zone_size, bool eager)
{
  int fds[2];

  e->s = session_create (DEPTH, zone_size, eager);
  assert_non_null (e->s);
  for (e->n = 0; e->n < channels; e->n++) {
    assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), 0);
    e->here[e->n] = fds[0];
    e->there[e->n] = fds[1];
    session_use (e->s,
                 channel_raw_create (fds[0], DEPTH, session_answered (e->s)));
  }
  sends = receives = 0;
}

static void
end (struct ends *e)
{
  unsigned i;

  session_destroy (e->s);
  for (i = 0; i < e->n; i++) {
    close (e->here[i]);
    close (e->there[i]);
  }
}

static void
prepare (struct channel_request *q, enum nbd_command type, uint64_t offset,
         uint32_t count, void *buf)
{
  memset (q, 0, sizeof *q);
  q->type = type;
  q->offset = offset;
  q->count = count;
  q->buf = buf;
  q->err = 1;
}

/*---------------------------------------------------------------------*/
/* The server */

struct asked {
  uint16_t flags, type;
  uint64_t cookie, offset;
  uint32_t count;
};

/* Returns false at the end. */
static bool
read_all (int fd, void *buf, size_t n)
{
  ssize_t r;

  for (; n > 0; n -= r, buf = (char *) buf + r) {
    r = read (fd, buf, n);
    if (r <= 0)
      return false;
  }
  return true;
}

static bool
read_request (int fd, struct asked *a)
{
  uint8_t p[NBD_REQUEST_SIZE];
  uint32_t magic;

  if (!read_all (fd, p, sizeof p))
    return false;
  memcpy (&magic, p, 4);
  memcpy (&a->flags, p + 4, 2);
  memcpy (&a->type, p + 6, 2);
  memcpy (&a->cookie, p + 8, 8);
  memcpy (&a->offset, p + 16, 8);
  memcpy (&a->count, p + 24, 4);
  a->flags = be16toh (a->flags);
  a->type = be16toh (a->type);
  a->offset = be64toh (a->offset);
  a->count = be32toh (a->count);
  return be32toh (magic) == 0x25609513;
}

/* The cookie is as it came. */
static void
put_reply (uint8_t *p, uint64_t cookie, uint32_t error)
{
  const uint32_t magic = htobe32 (0x67446698);

  error = htobe32 (error);
  memcpy (p, &magic, 4);
  memcpy (p + 4, &error, 4);
  memcpy (p + 8, &cookie, 8);
}

struct server {
  int fd;
  uint8_t *disk;
  bool reorders, breaks; /* in any order; in pieces */
  uint64_t seed;
  unsigned fails_every; /* that many requests; 0: none */
};

/* Write in pieces of any length. */
static void
answer (struct server *server, const uint8_t *p, size_t n)
{
  size_t here;

  while (n > 0) {
    here = n;
    if (server->breaks) {
      here = next_random (&server->seed) % 3 == 0
                 ? 1 + next_random (&server->seed) % 20
                 : 1 + next_random (&server->seed) % 20000;
      here = here < n ? here : n;
    }
    if (send (server->fd, p, here, MSG_NOSIGNAL) != (ssize_t) here)
      return;
    p += here;
    n -= here;
  }
}

/* Serve rounds: what is there is done, and then answered. */
static void *
serve (void *opaque)
{
  struct server *server = opaque;
  uint8_t *out = malloc (DEPTH * (SIZE / 8 + NBD_REPLY_SIZE));
  struct asked a[DEPTH], swapped;
  unsigned n, i, j, done = 0;
  size_t length;
  int there;
  bool goes_on = out != NULL;

  while (goes_on) {
    for (n = 0; n < DEPTH && goes_on; n++) {
      if (n > 0 && (ioctl (server->fd, FIONREAD, &there) != 0 || there == 0))
        break;
      goes_on = read_request (server->fd, &a[n]);
      if (goes_on && a[n].type == NBD_CMD_WRITE)
        goes_on = read_all (server->fd, server->disk + a[n].offset, a[n].count);
      if (!goes_on)
        break;
    }
    for (i = 0; server->reorders && i < n; i++) {
      j = i + next_random (&server->seed) % (n - i);
      swapped = a[i];
      a[i] = a[j];
      a[j] = swapped;
    }
    for (i = 0, length = 0; i < n; i++) {
      const bool fails =
          server->fails_every != 0 && ++done % server->fails_every == 0;

      put_reply (out + length, a[i].cookie, fails ? 28 : 0);
      length += NBD_REPLY_SIZE;
      if (a[i].type == NBD_CMD_READ && !fails) {
        memcpy (out + length, server->disk + a[i].offset, a[i].count);
        length += a[i].count;
      }
    }
    answer (server, out, length);
  }
  free (out);
  return NULL;
}

/*---------------------------------------------------------------------*/

/* Blocks of a disk are written and read, DEPTH of them at a time, no two of
 * which are the same, and what is read is what was written.
 */
static void
exercise (bool reorders, bool breaks, unsigned fails_every, uint32_t count,
          unsigned rounds)
{
  struct server server = {.reorders = reorders,
                          .breaks = breaks,
                          .fails_every = fails_every,
                          .seed = new_seed ("orders")};
  static uint8_t model[SIZE], disk[SIZE];
  uint8_t *bufs = malloc ((size_t) DEPTH * count);
  struct channel_request q[DEPTH], *answered;
  const uint32_t blocks = SIZE / count;
  uint64_t random = server.seed + 1;
  uint32_t at, i, j, n;
  unsigned round, taken, failed = 0;
  pthread_t thread;
  struct ends e;

  assert_non_null (bufs);
  memset (model, 0, sizeof model);
  memset (disk, 0, sizeof disk);
  begin (&e, 1, 0, false);
  server.fd = e.there[0];
  server.disk = disk;
  assert_int_equal (pthread_create (&thread, NULL, serve, &server), 0);
  for (round = 0; round < rounds; round++) {
    n = 1 + next_random (&random) % (blocks < DEPTH ? blocks : DEPTH);
    at = next_random (&random) % blocks;
    for (i = 0; i < n; i++) {
      const uint64_t offset = (uint64_t) ((at + i) % blocks) * count;
      uint8_t *buf = bufs + (size_t) i * count;
      const unsigned kind = next_random (&random) % 9;

      prepare (&q[i],
               kind < 4   ? NBD_CMD_READ
               : kind < 8 ? NBD_CMD_WRITE
                          : NBD_CMD_FLUSH,
               offset, count, buf);
      q[i].owner = buf;
      for (j = 0; q[i].type == NBD_CMD_WRITE && j < count; j += 8)
        *(uint64_t *) (void *) (buf + j) = next_random (&random);
      assert_true (session_add (e.s, &q[i]));
      session_commit (e.s);
    }
    for (taken = 0; taken < n;) {
      assert_true (session_wait (e.s, 1) >= 1);
      while ((answered = session_take (e.s)) != NULL) {
        taken++;
        failed += answered->err != 0;
        assert_true (answered->err == 0 ||
                     (answered->err == -ENOSPC && fails_every != 0));
        if (answered->type == NBD_CMD_WRITE)
          memcpy (model + answered->offset, answered->owner, count);
        if (answered->type == NBD_CMD_READ && answered->err == 0)
          assert_memory_equal (answered->owner, model + answered->offset,
                               count);
      }
    }
    assert_null (session_why_dead (e.s));
  }
  assert_true ((failed > 0) == (fails_every != 0));
  shutdown (e.here[0], SHUT_RDWR);
  pthread_join (thread, NULL);
  end (&e);
  free (bufs);
}

static void
test_in_order (void **state)
{
  (void) state;
  exercise (false, false, 0, BLOCK, 300);
  exercise (false, true, 0, BLOCK, 100);
}

static void
test_any_order (void **state)
{
  (void) state;
  exercise (true, false, 0, BLOCK, 300);
  exercise (true, true, 0, 512, 100);
}

static void
test_errors (void **state)
{
  (void) state;
  exercise (false, false, 7, BLOCK, 100);
  exercise (true, true, 3, BLOCK, 100);
}

/* Requests and answers that are longer than sockets and SPARE have room for. */
static void
test_large (void **state)
{
  (void) state;
  exercise (false, false, 0, SIZE / 8, 20);
  exercise (true, true, 5, SIZE / 8, 10);
}

/*---------------------------------------------------------------------*/
/* How many system calls */

/* The server: answers to N requests, by one write. */
static void
answer_all (int fd, unsigned n)
{
  static uint8_t out[DEPTH * (NBD_REPLY_SIZE + BLOCK)];
  struct asked a;
  size_t length = 0;
  unsigned i;

  for (i = 0; i < n; i++) {
    assert_true (read_request (fd, &a));
    put_reply (out + length, a.cookie, 0);
    length += NBD_REPLY_SIZE;
    if (a.type == NBD_CMD_READ) {
      memset (out + length, 1 + a.offset / BLOCK, a.count);
      length += a.count;
    }
  }
  assert_int_equal (write (fd, out, length), length);
}

static int
arrived (int fd)
{
  int n;

  assert_int_equal (ioctl (fd, FIONREAD, &n), 0);
  return n;
}

static void
test_batches (void **state)
{
  static uint8_t bufs[DEPTH][BLOCK], expected[BLOCK];
  struct channel_request q[DEPTH], more, *answered;
  unsigned i;
  struct ends e;

  (void) state;
  begin (&e, 1, 0, false);
  for (i = 0; i < DEPTH; i++)
    prepare (&q[i], NBD_CMD_READ, i * BLOCK, BLOCK, bufs[i]);

  /* The first leaves at once, as nothing is on its way; then half of all, and
   * the rest when it is looked for.
   */
  for (i = 0; i < DEPTH; i++) {
    assert_true (session_add (e.s, &q[i]));
    session_commit (e.s);
    assert_int_equal (arrived (e.there[0]),
                      (i < DEPTH / 2 ? 1 : 1 + DEPTH / 2) * NBD_REQUEST_SIZE);
  }
  prepare (&more, NBD_CMD_FLUSH, 0, 0, NULL);
  assert_false (session_add (e.s, &more));
  assert_int_equal (sends, 2);
  assert_int_equal (session_wait (e.s, 0), 0);
  assert_int_equal (sends, 3);
  assert_int_equal (arrived (e.there[0]), DEPTH * NBD_REQUEST_SIZE);

  receives = 0;
  answer_all (e.there[0], DEPTH);
  assert_int_equal (session_wait (e.s, 1), DEPTH);
  assert_int_equal (receives, 1);
  for (i = 0; i < DEPTH; i++) {
    answered = session_take (e.s);
    assert_ptr_equal (answered, &q[i]);
    assert_int_equal (answered->err, 0);
    memset (expected, 1 + i, BLOCK);
    assert_memory_equal (bufs[i], expected, BLOCK);
  }
  assert_null (session_take (e.s));
  end (&e);
}

/* What is kept back is sent when there are no answers for fio, or the server
 * has nothing to do.
 */
static void
test_kept_back (void **state)
{
  static uint8_t bufs[DEPTH][BLOCK];
  struct channel_request q[5];
  struct ends e;
  unsigned i;

  (void) state;
  begin (&e, 1, 0, false);
  for (i = 0; i < 5; i++)
    prepare (&q[i], NBD_CMD_READ, i * BLOCK, BLOCK, bufs[i]);
  for (i = 0; i < 4; i++)
    assert_true (session_add (e.s, &q[i]));
  assert_int_equal (session_wait (e.s, 0), 0);
  answer_all (e.there[0], 2);
  assert_true (session_add (e.s, &q[4]));
  session_commit (e.s);
  assert_int_equal (sends, 1);
  receives = 0;
  assert_int_equal (session_wait (e.s, 1), 2);
  assert_int_equal (receives, 1);
  assert_ptr_equal (session_take (e.s), &q[0]);
  assert_int_equal (session_wait (e.s, 1), 1);
  assert_int_equal (receives, 1);
  assert_int_equal (sends, 1);
  assert_ptr_equal (session_take (e.s), &q[1]);

  /* Once the server has nothing to do, it is sent. */
  answer_all (e.there[0], 2);
  assert_int_equal (session_wait (e.s, 1), 2);
  assert_int_equal (sends, 2);
  answer_all (e.there[0], 1);
  assert_int_equal (session_wait (e.s, 3), 3);
  end (&e);
}

/* Where fio sleeps, nothing waits for it. */
static void
test_eager (void **state)
{
  struct channel_request q[DEPTH];
  struct ends e;
  unsigned i;

  (void) state;
  begin (&e, 1, 0, true);
  for (i = 0; i < DEPTH; i++) {
    prepare (&q[i], NBD_CMD_TRIM, i * BLOCK, BLOCK, NULL);
    assert_true (session_add (e.s, &q[i]));
    session_commit (e.s);
    assert_int_equal (arrived (e.there[0]), (i + 1) * NBD_REQUEST_SIZE);
  }
  end (&e);
}

/* Requests to a zone go by one channel, and others take turns. */
static void
test_channels (void **state)
{
  struct channel_request q[DEPTH];
  struct ends e;
  struct asked a;
  unsigned i;

  (void) state;
  begin (&e, 2, 8 * BLOCK, false);
  for (i = 0; i < DEPTH; i++) {
    prepare (&q[i], NBD_CMD_WRITE_ZEROES, i * BLOCK, BLOCK, NULL);
    q[i].fua = true;
    assert_true (session_add (e.s, &q[i]));
  }
  assert_int_equal (session_wait (e.s, 0), 0);
  for (i = 0; i < DEPTH; i++) {
    assert_true (read_request (e.there[i / 8 % 2], &a));
    assert_int_equal (a.offset, i * BLOCK);
    assert_int_equal (a.type, NBD_CMD_WRITE_ZEROES);
    assert_int_equal (a.flags, NBD_CMD_FLAG_FUA);
  }
  end (&e);

  begin (&e, 2, 0, false);
  for (i = 0; i < DEPTH; i++) {
    prepare (&q[i], NBD_CMD_TRIM, i * BLOCK, BLOCK, NULL);
    assert_true (session_add (e.s, &q[i]));
  }
  assert_int_equal (session_wait (e.s, 0), 0);
  answer_all (e.there[1], DEPTH / 2);
  answer_all (e.there[0], DEPTH / 2);
  assert_int_equal (session_wait (e.s, DEPTH), DEPTH);
  end (&e);
}

/*---------------------------------------------------------------------*/
/* Servers that lie */

/* Two reads and a write are on their way when the server sends N bytes of P,
 * with the cookies of the reads in the place of A and B, and hangs up if HANGS.
 */
enum { A = 0xa1, B = 0xb2 };

static void
lie (const uint8_t *p, size_t n, bool hangs)
{
  static uint8_t bufs[3][BLOCK];
  struct channel_request q[3], more, *answered;
  struct asked a[3];
  static uint8_t out[3 * BLOCK];
  unsigned i, dead = 0;
  struct ends e;

  begin (&e, 1, 0, true);
  for (i = 0; i < 3; i++) {
    prepare (&q[i], i < 2 ? NBD_CMD_READ : NBD_CMD_WRITE, i * BLOCK, BLOCK,
             bufs[i]);
    assert_true (session_add (e.s, &q[i]));
  }
  session_commit (e.s);
  for (i = 0; i < 3; i++)
    assert_true (read_request (e.there[0], &a[i]));
  assert_true (n <= sizeof out);
  memcpy (out, p, n);
  for (i = 0; i + 8 <= n; i++) {
    if (p[i] == A && p[i + 7] == A)
      memcpy (out + i, &a[0].cookie, 8);
    if (p[i] == B && p[i + 7] == B)
      memcpy (out + i, &a[1].cookie, 8);
  }
  assert_int_equal (write (e.there[0], out, n), n);
  if (hangs)
    shutdown (e.there[0], SHUT_WR);

  assert_int_equal (session_wait (e.s, 3), 3);
  while ((answered = session_take (e.s)) != NULL)
    dead += answered->err == -ENOTCONN;
  assert_true (dead >= 1);
  assert_non_null (session_why_dead (e.s));
  assert_null (session_why_dead (e.s)); /* once is enough */

  /* And all that comes later. */
  prepare (&more, NBD_CMD_READ, 0, BLOCK, bufs[0]);
  assert_true (session_add (e.s, &more));
  session_commit (e.s);
  assert_int_equal (session_wait (e.s, 1), 1);
  assert_ptr_equal (session_take (e.s), &more);
  assert_int_equal (more.err, -ENOTCONN);
  end (&e);
}

#define MAGIC 0x67, 0x44, 0x66, 0x98
#define GOOD 0, 0, 0, 0
#define COOKIE_A A, A, A, A, A, A, A, A
#define COOKIE_B B, B, B, B, B, B, B, B

static void
test_lies (void **state)
{
  static const uint8_t wrong_cookie[] = {MAGIC, GOOD, 9, 9, 9, 9, 9, 9, 9, 9};
  static const uint8_t wrong_magic[] = {0x67, 0x44, 0x66, 0x99, GOOD, COOKIE_A};
  static const uint8_t structured[] = {0x66, 0x8e,     0x33, 0xef, 0, 1, 0,
                                       1,    COOKIE_A, 0,    0,    0, 0};
  static const uint8_t twice[] = {MAGIC, 0, 0, 0, 5, COOKIE_B,
                                  MAGIC, 0, 0, 0, 5, COOKIE_B};
  static const uint8_t half_a_head[] = {MAGIC, GOOD, A};
  static uint8_t half_of_data[NBD_REPLY_SIZE + BLOCK / 2] = {MAGIC, GOOD,
                                                             COOKIE_A};
  static uint8_t other_first[2 * NBD_REPLY_SIZE + BLOCK] = {MAGIC, GOOD,
                                                            COOKIE_B};
  static uint8_t garbage[3 * BLOCK];
  uint64_t random = new_seed ("garbage");
  unsigned i, j;

  (void) state;
  lie (wrong_cookie, sizeof wrong_cookie, false);
  lie (wrong_magic, sizeof wrong_magic, false);
  lie (structured, sizeof structured, false);
  lie (twice, sizeof twice, false);
  lie (half_a_head, sizeof half_a_head, true);
  lie (half_of_data, sizeof half_of_data, true);
  /* A right answer that was not guessed, and no answer behind it. */
  lie (other_first, sizeof other_first, false);
  lie (other_first, 0, true);
  for (i = 0; i < 200; i++) {
    for (j = 0; j < sizeof garbage; j++)
      garbage[j] = next_random (&random);
    /* Some of it begins as an answer should. */
    memcpy (garbage, half_of_data, i % 2 == 0 ? 0 : NBD_REPLY_SIZE);
    lie (garbage, sizeof garbage, true);
  }
}

/* The answer to a request that has not been sent wholly. */
static void
test_too_early (void **state)
{
  static uint8_t buf[SIZE];
  struct channel_request q;
  struct asked a;
  uint8_t reply[NBD_REPLY_SIZE];
  struct ends e;

  (void) state;
  begin (&e, 1, 0, true);
  prepare (&q, NBD_CMD_WRITE, 0, sizeof buf, buf);
  assert_true (session_add (e.s, &q));
  session_commit (e.s);
  assert_true (read_request (e.there[0], &a));
  put_reply (reply, a.cookie, 0);
  assert_int_equal (write (e.there[0], reply, sizeof reply), sizeof reply);
  assert_int_equal (session_wait (e.s, 1), 1);
  assert_ptr_equal (session_take (e.s), &q);
  assert_int_equal (q.err, -ENOTCONN);
  end (&e);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_in_order),  cmocka_unit_test (test_any_order),
      cmocka_unit_test (test_errors),    cmocka_unit_test (test_large),
      cmocka_unit_test (test_batches),   cmocka_unit_test (test_eager),
      cmocka_unit_test (test_channels),  cmocka_unit_test (test_lies),
      cmocka_unit_test (test_kept_back), cmocka_unit_test (test_too_early),
  };

  return RUN_TESTS (tests);
}
