/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 *   compare-streams SOCKET SOCKET COUNT
 *
 * Sends COUNT streams of bytes to two servers, each stream to one and then to
 * the other, cut up differently, and compares all that they answer.  A stream
 * is what an NBD client might say, or that with mistakes in it: bytes that are
 * changed, missing, too many or twice, wherever they are.  The servers hold the
 * same at first, and so they must at the end.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"
#include "unix.h"

#define SIZE (4 << 20) /* of the device */

/* Bytes in a row. */
struct bytes {
  unsigned char *p;
  size_t n, room;
};

static unsigned char *
append (struct bytes *b, const void *p, size_t n)
{
  if (b->n + n > b->room) {
    b->room = 2 * (b->n + n);
    b->p = realloc (b->p, b->room);
    if (b->p == NULL)
      give_up ("memory");
  }
  if (n > 0 && p != NULL)
    memcpy (b->p + b->n, p, n);
  b->n += n;
  return b->p + b->n - n;
}

static void
append_number (struct bytes *b, uint64_t value, unsigned n)
{
  unsigned char c[8];
  unsigned i;

  for (i = 0; i < n; i++)
    c[i] = value >> 8 * (n - 1 - i);
  append (b, c, n);
}

/*---------------------------------------------------------------------*/
/* Streams */

static void
append_option (struct bytes *b, uint32_t option, const void *data, uint32_t n)
{
  append (b, "IHAVEOPT", 8);
  append_number (b, option, 4);
  append_number (b, n, 4);
  append (b, data, n);
}

static void
append_handshake (struct bytes *b, uint64_t *seed)
{
  static const char context[] = "\0\0\0\0\0\0\0\1\0\0\0\17base:allocation";
  static const char info[] = "\0\0\0\0\0\1\0\3"; /* block sizes */

  append_number (b, 1 + random_below (seed, 2) * 2, 4);
  if (random_below (seed, 4) == 0)
    append_option (b, 3, NULL, 0); /* list */
  if (random_below (seed, 4) == 0)
    append_option (b, 6, info, 8); /* info */
  if (random_below (seed, 6) == 0)
    append_option (b, 99, "what?", 5);
  if (random_below (seed, 2))
    append_option (b, 8, NULL, 0); /* structured replies */
  if (random_below (seed, 2))
    append_option (b, 9 + random_below (seed, 2), context, 27);
  if (random_below (seed, 8) == 0)
    append_option (b, 2, NULL, 0); /* abort */
  if (random_below (seed, 8) == 0)
    append_option (b, 7, "\0\0\0\6nobody\0\0", 12);
  if (random_below (seed, 4) == 0)
    append_option (b, 1, "nullb0", 6); /* export name */
  else
    append_option (b, 7, info, random_below (seed, 2) ? 6 : 8); /* go */
}

static uint32_t
random_count (uint64_t *seed)
{
  switch (random_below (seed, 12)) {
  case 0:
    return random_below (seed, 20000);
  case 1:
    return 512 * random_below (seed, 512);
  case 2:
    return random_below (seed, 2) ? UINT32_C (65) << 20 : UINT32_C (0);
  default:
    return 512 * (1 + random_below (seed, 16));
  }
}

static void
append_request (struct bytes *b, uint64_t *seed)
{
  static const uint8_t types[] = {0, 0, 0, 0, 1, 1, 1, 3, 4, 5, 6, 7, 8};
  const uint16_t type = types[random_below (seed, sizeof types)];
  uint32_t count = random_count (seed), i;
  uint64_t offset = 512 * random_below (seed, SIZE / 512 + 1);
  unsigned char *p, first;

  if (type == 3 && random_below (seed, 8) > 0)
    count = offset = 0;
  if (offset + count > SIZE && random_below (seed, 8) > 0)
    offset = count <= SIZE ? SIZE - count : 0;
  if (type == 1 && count > SIZE)
    count = 512;
  append_number (b, 0x25609513, 4);
  append_number (b, random_below (seed, 4) ? 0 : random_below (seed, 32), 2);
  append_number (b, type, 2);
  append_number (b, next_random (seed), 8);
  append_number (b, offset, 8);
  append_number (b, count, 4);
  if (type == 1) {
    first = next_random (seed);
    p = append (b, NULL, count);
    for (i = 0; i < count; i++)
      p[i] = first + i / 100;
  }
}

/* One mistake. */
static void
mutate (struct bytes *b, uint64_t *seed)
{
  const size_t at = random_below (seed, b->n);
  size_t n = 1 + random_below (seed, random_below (seed, 2) ? 4 : 100);

  if (n > b->n - at)
    n = b->n - at;
  switch (random_below (seed, 5)) {
  case 0: /* another byte */
    b->p[at] ^= 1 << random_below (seed, 8);
    break;
  case 1: /* missing */
    memmove (b->p + at, b->p + at + n, b->n - at - n);
    b->n -= n;
    break;
  case 2: /* twice */
  case 3: /* or others */
    append (b, NULL, n);
    memmove (b->p + at + n, b->p + at, b->n - at - n);
    if (random_below (seed, 2))
      memset (b->p + at, random_below (seed, 256), n);
    break;
  case 4: /* the end */
    b->n = at + 1;
    break;
  }
}

static void
make_stream (struct bytes *b, uint64_t *seed)
{
  unsigned n = random_below (seed, 80);

  b->n = 0;
  append_handshake (b, seed);
  while (n-- > 0)
    append_request (b, seed);
  if (random_below (seed, 2)) {
    append_number (b, 0x25609513, 4);
    append_number (b, 2, 4); /* disconnect */
    append_number (b, 0, 8);
    append_number (b, 0, 8);
    append_number (b, 0, 4);
  }
  if (random_below (seed, 8) == 0)
    append_request (b, seed);
  if (random_below (seed, 2)) {
    for (n = 1 + random_below (seed, 3); n > 0 && b->n > 0; n--)
      mutate (b, seed);
  }
}

/*---------------------------------------------------------------------*/
/* Conversations */

/* Returns false when the server has ended. */
static bool
receive (int fd, struct bytes *answer)
{
  static unsigned char buf[65536];
  ssize_t r;

  r = recv (fd, buf, sizeof buf, MSG_DONTWAIT);
  if (r > 0)
    append (answer, buf, r);
  /* It may end with our requests unread. */
  if (r == 0 || (r == -1 && errno == ECONNRESET))
    return false;
  if (r == -1 && errno != EAGAIN)
    give_up ("recv");
  return true;
}

/* Send the stream in pieces, say that this was all, and take all answers. */
static void
converse (const char *path, const struct bytes *stream, struct bytes *answer,
          uint64_t *seed)
{
  const bool small = random_below (seed, 2);
  struct pollfd p = {.fd = connect_to (path)};
  size_t sent = 0, n;
  ssize_t r;

  answer->n = 0;
  if (stream->n == 0)
    shutdown (p.fd, SHUT_WR);
  for (;;) {
    p.events = POLLIN | (sent < stream->n ? POLLOUT : 0);
    if (poll (&p, 1, 60000) != 1)
      give_up ("no answer within a minute");
    if ((p.revents & ~POLLOUT) && !receive (p.fd, answer))
      break;
    if (p.revents & POLLOUT) {
      n = 1 + random_below (seed, small ? 200 : 200000);
      if (n > stream->n - sent)
        n = stream->n - sent;
      r = send (p.fd, stream->p + sent, n, MSG_DONTWAIT | MSG_NOSIGNAL);
      /* It may have ended, and answers still be there. */
      if (r == -1 && (errno == EPIPE || errno == ECONNRESET))
        sent = stream->n;
      else if (r == -1 && errno != EAGAIN)
        give_up ("send");
      sent += r > 0 ? r : 0;
      if (sent == stream->n)
        shutdown (p.fd, SHUT_WR);
    }
  }
  close (p.fd);
}

int
main (int argc, char *argv[])
{
  struct bytes stream = {0}, a = {0}, b = {0};
  uint64_t seed, of_stream, total = 0;
  unsigned i, count;

  if (argc != 4)
    return EXIT_FAILURE;
  count = atoi (argv[3]);
  seed = new_seed ("replay");
  for (i = 0; i < count; i++) {
    of_stream = next_random (&seed);
    make_stream (&stream, &of_stream);
    converse (argv[1], &stream, &a, &of_stream);
    converse (argv[2], &stream, &b, &of_stream);
    total += stream.n + a.n;
    if (a.n != b.n || memcmp (a.p, b.p, a.n) != 0) {
      fprintf (stderr,
               "compare-streams: stream %u of %zu bytes: the answers, of %zu "
               "and %zu bytes, differ\n",
               i, stream.n, a.n, b.n);
      return EXIT_FAILURE;
    }
  }
  printf ("%u streams, %" PRIu64 " bytes of requests and answers: the same\n",
          count, total);
  free (stream.p);
  free (a.p);
  free (b.p);
  return EXIT_SUCCESS;
}
