/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A client's bytes through the batch library, to a server that does as nbdkit
 * does, and once more to the same server without the library.  The client must
 * get the same replies.  The first bytes choose how the library is set up, and
 * how the system's calls behave: the input comes in pieces, of any length or
 * where parts of requests might be taken for others, and sends may be
 * interrupted, take a part, or fail.
 *
 *     requests --> batch_read --> server --> batch_send --> replies
 *        |                          | batch_defer,             = the same
 *        |                            batch_set_aside
 *        +-------> server --> replies without the library      =
 *
 * A cookie begins with the number of its request.  Where replies are deferred
 * their order may differ.  A request without flags is answered as nbdkit does
 * it, so that the library may answer such requests by itself, as plain ones;
 * the reply to any other has the sum of what was received in the place of the
 * rest of its cookie.
 */

#include <config.h>

#include <errno.h>

#include "batch/batch-socket-internal.h"
#include "fuzz.h"

#define MAGIC 0x25609513
#define HEADER 28
#define MOST_COUNT 80000 /* bytes of a request; others end the connection */
#define MOST_REQUESTS 200
#define MOST_REPLIES (256 << 10)

enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH };

static unsigned
command_of (const uint8_t *header)
{
  return header[6] << 8 | header[7];
}

/* Bits of a request's low flags, for what the server does with it. */
enum {
  DEFERS = 1,      /* reply later */
  FAILS = 2,       /* with an error */
  STRUCTURED = 4,  /* in two chunks or one */
  ZEROES = 8,      /* a read of zeroes */
  HASTENS = 16,    /* others that are set aside */
  SETS_ASIDE = 32, /* a write */
  PASSES = 64      /* do what the library does not know */
};

static uint32_t
get32 (const uint8_t *p)
{
  return (uint32_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static void
put32 (uint8_t *p, uint32_t n)
{
  p[0] = n >> 24;
  p[1] = n >> 16;
  p[2] = n >> 8;
  p[3] = n;
}

/*---------------------------------------------------------------------*/
/* The client's end */

static struct {
  const uint8_t *bytes; /* what it sends */
  size_t len, at;
  size_t come;                        /* up to there it is here */
  struct input pieces;                /* how it comes */
  size_t cuts[2 + 4 * MOST_REQUESTS]; /* where pieces may end; in order */
  unsigned nr_cuts;
  bool comes_by_cuts;
  uint8_t replies[MOST_REPLIES];
  size_t got;
} client;

static struct input trouble;
static bool has_trouble, is_broken;

/* Requests that are to end before anything is sent or waited for. */
static unsigned nr_open;

static void
end_open (void *arg)
{
  CHECK (arg == &nr_open && nr_open > 0);
  nr_open = 0;
}

/* One more piece comes: up to one of the next cuts, or of any length. */
static void
come_more (void)
{
  size_t n;
  unsigned i;

  if (client.comes_by_cuts) {
    for (i = 0; i < client.nr_cuts && client.cuts[i] <= client.come; i++)
      ;
    i += take (&client.pieces, 1) % 4;
    n = i < client.nr_cuts ? client.cuts[i] - client.come : SIZE_MAX;
  }
  else
    n = take (&client.pieces, 1) * take (&client.pieces, 1) + 1;
  if (client.pieces.left == 0 || n > client.len - client.come)
    n = client.len - client.come;
  client.come += n;
}

/* Once it has no more to say about that, all of the input comes where the
 * server waits.
 */
static void
may_come (void)
{
  if (client.pieces.left == 0 || take (&client.pieces, 1) % 2)
    come_more ();
}

static bool
has_input (void)
{
  return client.at < client.come || client.come == client.len;
}

static ssize_t
receive_now (const struct iovec *iov, size_t n, bool peek)
{
  size_t at = client.at, here, i;

  if (client.at == client.come && client.come < client.len) {
    errno = EAGAIN;
    return -1;
  }
  for (i = 0; i < n; i++) {
    here = client.come - at;
    if (here > iov[i].iov_len)
      here = iov[i].iov_len;
    if (here > 0)
      memcpy (iov[i].iov_base, client.bytes + at, here);
    at += here;
  }
  here = at - client.at;
  if (!peek)
    client.at = at;
  return here;
}

static bool
is_interrupted (void)
{
  if (!has_trouble || trouble.left == 0 || take (&trouble, 1) % 4 != 0)
    return false;
  errno = EINTR;
  return true;
}

static ssize_t
our_readv (int fd, const struct iovec *iov, int n)
{
  (void) fd;
  CHECK (nr_open == 0);
  if (is_interrupted ())
    return -1;
  if (!has_input ())
    come_more ();
  return receive_now (iov, n, false);
}

static ssize_t
our_read (int fd, void *buf, size_t n)
{
  const struct iovec iov = {buf, n};

  return our_readv (fd, &iov, 1);
}

static ssize_t
our_recvmsg (int fd, struct msghdr *msg, int flags)
{
  (void) fd;
  if (is_interrupted ())
    return -1;
  may_come ();
  return receive_now (msg->msg_iov, msg->msg_iovlen, flags & MSG_PEEK);
}

static ssize_t
our_recvfrom (int fd, void *buf, size_t n, int flags, struct sockaddr *from,
              socklen_t *fromlen)
{
  const struct iovec iov = {buf, n};

  (void) fd;
  (void) from;
  (void) fromlen;
  return receive_now (&iov, 1, flags & MSG_PEEK);
}

/* Some of what is sent, or all, or an error. */
static ssize_t
deliver (const struct iovec *iov, size_t n)
{
  const unsigned what = has_trouble ? take (&trouble, 1) : 0;
  size_t most = SIZE_MAX, i, sent = 0, here;

  CHECK (nr_open == 0);
  if (what % 8 == 1) {
    errno = what & 8 ? EINTR : EAGAIN;
    return -1;
  }
  if (what % 8 == 2)
    most = what / 8 + 1;
  if (what == 255)
    is_broken = true;
  if (is_broken) {
    errno = EPIPE;
    return -1;
  }
  for (i = 0; i < n && sent < most; i++) {
    here = iov[i].iov_len;
    if (here > most - sent)
      here = most - sent;
    CHECK (client.got + here <= sizeof client.replies);
    if (here > 0)
      memcpy (client.replies + client.got, iov[i].iov_base, here);
    client.got += here;
    sent += here;
  }
  return sent;
}

static ssize_t
our_sendmsg (int fd, const struct msghdr *msg, int flags)
{
  (void) fd;
  (void) flags;
  return deliver (msg->msg_iov, msg->msg_iovlen);
}

static ssize_t
our_send (int fd, const void *buf, size_t n, int flags)
{
  const struct iovec iov = {(void *) (uintptr_t) buf, n};

  (void) fd;
  (void) flags;
  return deliver (&iov, 1);
}

static ssize_t
our_write (int fd, const void *buf, size_t n)
{
  (void) fd;
  (void) buf;
  return n; /* to the eventfd */
}

static int
our_shutdown (int fd, int how)
{
  (void) fd;
  (void) how;
  return 0;
}

static int
our_ppoll (struct pollfd *fds, nfds_t n, const struct timespec *timeout,
           const sigset_t *sigmask)
{
  int r = 0;
  nfds_t i;

  (void) sigmask;
  may_come ();
  for (i = 0; i < n; i++) {
    fds[i].revents = 0;
    if (fds[i].fd >= 0 && (fds[i].events & POLLOUT))
      fds[i].revents = POLLOUT;
    else if (fds[i].fd >= 0 && i == 0 && has_input ())
      fds[i].revents = POLLIN;
    r += fds[i].revents != 0;
  }
  if (r == 0 && timeout == NULL)
    come_more ();
  if (r == 0 && timeout != NULL)
    fuzz_now += (uint64_t) timeout->tv_sec * NSEC_PER_SEC + timeout->tv_nsec;
  return r;
}

/* As nbdkit_nanosleep does it, by ppoll. */
static int
our_nap (uint64_t nsec)
{
  const struct timespec ts = {.tv_sec = (time_t) (nsec / NSEC_PER_SEC),
                              .tv_nsec = (long) (nsec % NSEC_PER_SEC)};
  struct pollfd none = {.fd = -1};

  batch_ppoll (&none, 1, &ts, NULL);
  return 0;
}

static bool
our_has_unread (int fd)
{
  (void) fd;
  return take (&client.pieces, 1) % 2;
}

/*---------------------------------------------------------------------*/
/* The server, with the library or without */

static struct {
  bool batches;
  bool structured, zeroes; /* how requests without flags are answered */
  int fd;
  uint32_t number; /* of the next request */
  uint8_t *buf;    /* nbdkit's, of this thread */
  void *aside[MOST_REQUESTS];
  unsigned nr_aside;
} server;

/* The library is to see all that becomes of the buffer that it knows. */
static uint8_t buffers[2][MOST_COUNT];

/* The sums of payloads that were received, without the library and with it. */
static uint32_t sums[2][MOST_REQUESTS];

/* What the library copies of a request. */
struct copy {
  bool fails;
  bool is_late;   /* it is due once more */
  unsigned tries; /* to come */
  uint32_t number;
  uint32_t sum;
};

static int
due (void *request, uint64_t *moment, bool over)
{
  struct copy *copy = request;

  if (copy->is_late && !over) {
    copy->is_late = false;
    *moment += 5 * NSEC_PER_USEC;
    return 2;
  }
  return copy->fails ? -EIO : 0;
}

static uint32_t
sum (const uint8_t *p, size_t n)
{
  uint32_t r = 1;

  while (n-- > 0)
    r = r * 31 + *p++;
  return r;
}

/* From now on nobody may hasten it. */
static void
forget_aside (const void *request)
{
  unsigned i;

  for (i = 0; i < server.nr_aside; i++) {
    if (server.aside[i] == request)
      server.aside[i] = NULL;
  }
}

static int
due_aside (void *request, uint64_t *moment, bool over)
{
  forget_aside (request);
  return due (request, moment, over);
}

static bool
retry (void *request, const void *payload, uint64_t *moment)
{
  struct copy *copy = request;

  CHECK (sum (payload, copy->number % 512) == copy->sum);
  if (copy->tries-- == 0) {
    forget_aside (request);
    *moment = fuzz_now + copy->number * 1000;
    return true;
  }
  *moment = fuzz_now + 100000;
  return false;
}

static int
receive (void *buf, size_t n)
{
  uint8_t *p = buf;
  ssize_t r;

  while (n > 0) {
    r = server.batches ? batch_read (server.fd, p, n)
                       : our_read (server.fd, p, n);
    if (r == -1 && (errno == EINTR || errno == EAGAIN))
      continue;
    if (r <= 0)
      return -1;
    p += r;
    n -= r;
  }
  return 0;
}

static int
transmit (const void *buf, size_t n, int flags)
{
  const uint8_t *p = buf;
  ssize_t r;

  while (n > 0) {
    r = server.batches ? batch_send (server.fd, p, n, flags | MSG_NOSIGNAL)
                       : our_send (server.fd, p, n, flags);
    if (r == -1 && (errno == EINTR || errno == EAGAIN))
      continue;
    if (r == -1)
      return -1;
    CHECK (r > 0);
    p += r;
    n -= r;
  }
  return 0;
}

static int
send_simple (uint32_t number, uint32_t s, uint32_t error, const void *data,
             size_t n)
{
  uint8_t head[16];

  put32 (head, 0x67446698);
  put32 (head + 4, error);
  put32 (head + 8, number);
  put32 (head + 12, s);
  if (error != 0)
    n = 0;
  if (transmit (head, sizeof head, n > 0 ? MSG_MORE : 0) < 0)
    return -1;
  return transmit (data, n, 0);
}

static int
send_chunk (uint32_t number, uint32_t s, const uint8_t *offset, bool done,
            const uint8_t *data, size_t n)
{
  uint8_t head[20], place[8] = {0};

  put32 (head, 0x668e33ef);
  put32 (head + 4, (uint32_t) done << 16 | 1);
  put32 (head + 8, number);
  put32 (head + 12, s);
  put32 (head + 16, 8 + n);
  put32 (place + 4, s);
  if (offset != NULL)
    memcpy (place, offset, sizeof place);
  if (transmit (head, sizeof head, MSG_MORE) < 0 ||
      transmit (place, sizeof place, MSG_MORE) < 0)
    return -1;
  return transmit (data, n, 0);
}

static int
send_structured_error (uint32_t number, uint32_t s)
{
  uint8_t chunk[26] = {0};

  put32 (chunk, 0x668e33ef);
  put32 (chunk + 4, 1 << 16 | 0x8001);
  put32 (chunk + 8, number);
  put32 (chunk + 12, s);
  put32 (chunk + 16, 6);
  put32 (chunk + 20, 5);
  return transmit (chunk, sizeof chunk, 0);
}

static int
send_reply (uint32_t number, uint32_t s, unsigned flags, bool is_read,
            uint32_t count, bool fails)
{
  const uint32_t half = count / 2;

  if (!(flags & STRUCTURED) || !is_read || count < 2)
    return send_simple (number, s, fails ? 5 : 0, server.buf,
                        is_read ? count : 0);
  if (fails)
    return send_structured_error (number, s);
  if (send_chunk (number, s, NULL, false, server.buf, half) < 0)
    return -1;
  return send_chunk (number, s, NULL, true, server.buf + half, count - half);
}

/* As nbdkit does it. */
static int
send_plain_reply (const uint8_t *header)
{
  const uint32_t count = get32 (header + 24);
  const bool is_read = command_of (header) == CMD_READ;

  if (server.structured && is_read)
    return send_chunk (get32 (header + 8), get32 (header + 12), header + 16,
                       true, server.buf, count);
  return send_simple (get32 (header + 8), get32 (header + 12), 0, server.buf,
                      is_read ? count : 0);
}

static void
hasten_all (void)
{
  unsigned i;

  for (i = 0; i < server.nr_aside; i++) {
    if (server.aside[i] != NULL)
      batch_hasten (server.aside[i]);
  }
}

/* Make the data of a read. */
static void
make_data (uint32_t number, uint32_t count, bool zeroes)
{
  uint8_t *p = server.buf;
  uint32_t i;

  if (zeroes) {
    if (!server.batches || !batch_still_zero (server.buf, count))
      memset (server.buf, 0, count);
    for (i = 0; i < count; i++)
      CHECK (server.buf[i] == 0);
    return;
  }
  if (server.batches)
    p = batch_answer_buffer (server.buf, count);
  if (p != server.buf)
    memset (server.buf, 0xee, count);
  for (i = 0; i < count; i++)
    p[i] = number * 5 + i;
}

/* Of some requests the library thinks that they are plain, but they are not. */
static bool
is_plain (uint32_t count, uint64_t offset)
{
  CHECK (count > 0);
  if (count > MOST_COUNT || server.number == MOST_REQUESTS || (offset & 7) == 7)
    return false;
  batch_arrival ();
  CHECK (batch_before_reply (end_open, &nr_open));
  nr_open++;
  return true;
}

static bool
read_plain (void *arg, void *buf, uint32_t count, uint64_t offset)
{
  uint8_t *p = buf;
  uint32_t i;

  CHECK (arg == &server && (buf == NULL) == server.zeroes);
  if (!is_plain (count, offset)) {
    if (buf != NULL)
      memset (buf, 0xdd, count);
    return false;
  }
  for (i = 0; buf != NULL && i < count; i++)
    p[i] = server.number * 5 + i;
  sums[true][server.number++] = count;
  return true;
}

static bool
write_plain (void *arg, const void *buf, uint32_t count, uint64_t offset)
{
  CHECK (arg == &server && (buf == NULL) == server.zeroes);
  if (!is_plain (count, offset))
    return false;
  sums[true][server.number++] = server.zeroes ? count : sum (buf, count);
  return true;
}

static void
offer (bool is_write, const uint8_t *header)
{
  static const struct batch_device data = {.read = read_plain,
                                           .write = write_plain},
                                   zeroes = {.read = read_plain,
                                             .write = write_plain,
                                             .is_zero = true};
  const uint64_t offset =
      (uint64_t) get32 (header + 16) << 32 | get32 (header + 20);

  batch_offer (server.zeroes ? &zeroes : &data, &server, is_write,
               get32 (header + 24), offset);
}

/* Returns 1; or 0 at the end; or -1 where the client is lost. */
static int
serve_one (void)
{
  struct copy copy = {0};
  uint8_t header[HEADER];
  const uint8_t *payload;
  bool is_read, is_write, is_plain, fails, later = false;
  uint32_t number, count;
  unsigned flags;

  if (server.number == MOST_REQUESTS)
    return 0;
  if (receive (header, HEADER) < 0 || server.number == MOST_REQUESTS)
    return 0;
  number = copy.number = server.number++;
  flags = header[5];
  count = get32 (header + 24);
  is_read = command_of (header) == CMD_READ;
  is_write = command_of (header) == CMD_WRITE;
  is_plain = (is_read || is_write) && flags == 0 && header[4] == 0;
  if (get32 (header) != MAGIC || command_of (header) == CMD_DISC)
    return 0;
  if ((is_read || is_write) && (count > MOST_COUNT || count == 0))
    return 0;
  if (server.batches)
    batch_arrival ();
  if (is_write && receive (server.buf, count) < 0)
    return 0;
  payload = is_write && server.batches ? batch_payload (server.buf, count)
                                       : server.buf;
  /* Nobody looks at what is written to a device of zeroes. */
  copy.sum =
      is_write && !(is_plain && server.zeroes) ? sum (payload, count) : count;
  sums[server.batches][number] = copy.sum;
  if (is_plain && server.batches)
    offer (is_write, header);
  copy.fails = flags & FAILS;
  copy.is_late = header[18] & 1;
  fails = copy.fails;
  /* The buffer is nobody else's, as long as no reply is deferred. */
  if (is_read)
    make_data (number, count,
               is_plain ? server.zeroes
                        : (flags & ZEROES) && !(flags & DEFERS));
  if (server.batches && (flags & HASTENS))
    hasten_all ();
  if (server.batches && (flags & PASSES))
    batch_before_wait ();
  if (server.batches && is_write && (flags & SETS_ASIDE)) {
    const uint32_t s = copy.sum;
    void *request;

    copy.sum = sum (payload, number % 512 < count ? number % 512 : 0);
    copy.tries = header[16] % 3;
    if (number % 512 < count) {
      request = batch_set_aside (fuzz_now + header[17] * 1000, 0, retry,
                                 due_aside, &copy, sizeof copy, payload, count);
      if (request != NULL) {
        later = true;
        server.aside[server.nr_aside++] = request;
      }
    }
    copy.sum = s;
  }
  if (server.batches && !later && (flags & DEFERS))
    later = batch_defer (fuzz_now + header[16] * 10000, 0, due, &copy,
                         sizeof copy, is_read ? count : 0);
  if (server.batches && !later && batch_before_reply (end_open, &nr_open))
    nr_open++;
  if (is_plain)
    return send_plain_reply (header) == 0 ? 1 : -1;
  return send_reply (number, copy.sum, flags, is_read, count,
                     fails && !later) == 0
             ? 1
             : -1;
}

static int
serve (const uint8_t *bytes, size_t n)
{
  int r;

  client.bytes = bytes;
  client.len = n;
  client.at = client.come = client.got = 0;
  server.number = server.nr_aside = 0;
  server.buf = buffers[server.batches];
  memset (sums[server.batches], 0, sizeof sums[0]);
  if (server.batches)
    batch_begin (server.fd);
  while ((r = serve_one ()) == 1)
    ;
  if (server.batches)
    batch_end (server.fd);
  CHECK (nr_open == 0);
  return r;
}

/*---------------------------------------------------------------------*/
/* The comparison */

struct span {
  size_t at, len;
};

/* Which bytes of the replies are to each request, of which there is the count
 * in COUNTS where a simple reply has data.
 */
static void
find_replies (const uint8_t *p, size_t n, const uint32_t *counts,
              struct span *spans, bool whole)
{
  size_t at = 0, len, more;
  uint32_t number;

  memset (spans, 0, MOST_REQUESTS * sizeof *spans);
  while (at < n) {
    len = 16;
    if (n - at < len)
      break;
    number = get32 (p + at + 8);
    CHECK (number < MOST_REQUESTS);
    if (get32 (p + at) == 0x67446698) {
      if (get32 (p + at + 4) == 0)
        len += counts[number];
    }
    else {
      for (len = 0;; len += more) {
        if (len > n - at || n - at - len < 20)
          break; /* the connection broke within this chunk */
        CHECK (get32 (p + at + len) == 0x668e33ef);
        CHECK (get32 (p + at + len + 8) == number);
        more = 20 + get32 (p + at + len + 16);
        if (get32 (p + at + len + 4) >> 16 & 1) {
          len += more;
          break;
        }
      }
    }
    if (len > n - at || len == 0)
      break;
    CHECK (spans[number].len == 0);
    spans[number] = (struct span){at, len};
    at += len;
  }
  CHECK (!whole || at == n);
}

/* Number the requests, and find the count of each read. */
static void
number_requests (uint8_t *bytes, size_t n, uint32_t *counts)
{
  uint32_t count, number;

  memset (counts, 0, MOST_REQUESTS * sizeof *counts);
  for (number = 0; n >= HEADER && number < MOST_REQUESTS; number++) {
    put32 (bytes + 8, number);
    count = get32 (bytes + 24);
    if (command_of (bytes) == CMD_READ)
      counts[number] = count;
    bytes += HEADER;
    n -= HEADER;
    if (command_of (bytes - HEADER) == CMD_WRITE) {
      if (count > n)
        break;
      bytes += count;
      n -= count;
    }
  }
}

static void
add_cut (size_t at)
{
  if (client.nr_cuts < sizeof client.cuts / sizeof client.cuts[0])
    client.cuts[client.nr_cuts++] = at;
}

/* Where the library might take one part of a request for another: within each
 * header, after it, and where a payload has as many bytes left as a header.  If
 * the header says so, these bytes are one of a write of as many bytes.
 */
static void
cut_requests (uint8_t *bytes, size_t n)
{
  size_t at = 0, count;
  uint8_t *rest;

  client.nr_cuts = 0;
  while (n - at >= HEADER) {
    count = command_of (bytes + at) == CMD_WRITE ? get32 (bytes + at + 24) : 0;
    add_cut (at + 1 + bytes[at + 19] / 2 % (HEADER - 1));
    add_cut (at + HEADER);
    if (count > n - at - HEADER)
      break;
    if (count > HEADER) {
      add_cut (at + count);
      rest = bytes + at + count;
      if (bytes[at + 19] & 1) {
        memcpy (rest, bytes + at, HEADER);
        put32 (rest + 24, HEADER);
      }
    }
    at += HEADER + count;
    add_cut (at);
  }
}

static void
compare (const uint8_t *plain, size_t n, const uint32_t *counts, bool whole)
{
  static struct span ours[MOST_REQUESTS], theirs[MOST_REQUESTS];
  unsigned i;

  find_replies (plain, n, counts, theirs, true);
  find_replies (client.replies, client.got, counts, ours, whole);
  for (i = 0; i < MOST_REQUESTS; i++) {
    if (!whole && ours[i].len == 0)
      continue;
    /* Where the connection broke, the last one may lack its last chunk. */
    CHECK (ours[i].len == theirs[i].len ||
           (!whole && ours[i].len < theirs[i].len));
    CHECK (memcmp (client.replies + ours[i].at, plain + theirs[i].at,
                   ours[i].len) == 0);
  }
}

/*---------------------------------------------------------------------*/

static void
set_up (unsigned how, unsigned poll)
{
  static const struct batch_calls ours = {.read = our_read,
                                          .readv = our_readv,
                                          .recvfrom = our_recvfrom,
                                          .recvmsg = our_recvmsg,
                                          .send = our_send,
                                          .sendmsg = our_sendmsg,
                                          .write = our_write,
                                          .shutdown = our_shutdown,
                                          .ppoll = our_ppoll,
                                          .nap = our_nap,
                                          .now = clock_now,
                                          .cpu = clock_now};

  batch_libc = ours;
  if (how & 1)
    batch_libc.has_unread = our_has_unread;
  batch_set_serial (how & 2);
  batch_set_waits (how & 4);
  batch_set_depth (how & 8 ? 1 + poll % 16 : 0);
  batch_set_poll (how & 16 ? poll * 20 : 0);
  batch_set_plain (true);
  has_trouble = how & 32;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static uint8_t plain[MOST_REPLIES];
  static uint32_t counts[MOST_REQUESTS];
  static int ends[2][2];
  struct input in = {data, size}, pieces;
  uint8_t *bytes;
  unsigned how, poll;
  size_t n, len;
  int r;

  fuzz_begin ();
  if (ends[0][0] == 0)
    CHECK (socketpair (AF_UNIX, SOCK_STREAM, 0, ends[0]) == 0 &&
           socketpair (AF_UNIX, SOCK_STREAM, 0, ends[1]) == 0);
  how = take (&in, 1);
  poll = take (&in, 1);
  pieces.left = take (&in, 1);
  if (pieces.left > in.left)
    pieces.left = in.left;
  pieces.p = in.p;
  in.p += pieces.left;
  in.left -= pieces.left;
  n = in.left;
  bytes = malloc (n + 1);
  CHECK (bytes != NULL);
  if (n > 0)
    memcpy (bytes, in.p, n);
  server.structured = poll & 128;
  server.zeroes = poll & 64;
  client.comes_by_cuts = how & 64;
  number_requests (bytes, n, counts);
  if (client.comes_by_cuts)
    cut_requests (bytes, n);
  /* Replies have to have room, so that there may not be too many. */
  for (r = 0, len = 0; r < MOST_REQUESTS; r++)
    len += counts[r] < MOST_COUNT ? counts[r] : 0;
  if (len > MOST_REPLIES / 2) {
    free (bytes);
    return 0;
  }

  set_up (0, 0);
  has_trouble = is_broken = false;
  client.pieces.left = trouble.left = 0;
  server.batches = false;
  CHECK (serve (bytes, n) == 0);
  len = client.got;
  memcpy (plain, client.replies, len);

  set_up (how, poll);
  client.pieces = trouble = pieces;
  server.batches = true;
  server.fd = ends[how >> 7][0];
  r = serve (bytes, n);
  CHECK (r == 0 || is_broken);
  compare (plain, len, counts, !is_broken);
  for (r = 0; r < MOST_REQUESTS; r++)
    CHECK (sums[true][r] == sums[false][r] ||
           (is_broken && sums[true][r] == 0));
  if (!(how & 8) && !is_broken)
    CHECK (len == client.got && memcmp (plain, client.replies, len) == 0);
  free (bytes);
  return 0;
}
