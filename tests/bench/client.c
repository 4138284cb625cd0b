/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 *   client unix PATH  | tcp PORT   read|write SIZE CONNECTIONS DEPTH SECONDS
 *          [THINK]
 *
 * An NBD client that costs little CPU, to measure servers.  Each connection
 * keeps DEPTH requests of SIZE bytes in flight, at random places of the first
 * 64 MiB.  It receives all replies that are there by one call, and sends as
 * many requests by another, after a sleep of THINK microseconds.  Prints the
 * number of replies a second.
 */

#include <config.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/common.h"
#include "../server/unix.h"

#define SPAN (UINT32_C (64) << 20)
#define HEADER 28
#define MOST 1024 /* connections */

static const char *where; /* a path, or a port where IS_TCP */
static bool is_tcp, is_write;
static uint32_t size;
static unsigned depth;
static struct timespec think;
static atomic_bool enough;
static atomic_uint_fast64_t replies;

static void
put (unsigned char *p, uint64_t value, unsigned n)
{
  while (n-- > 0) {
    p[n] = value;
    value >>= 8;
  }
}

static uint32_t
get (const unsigned char *p)
{
  return (uint32_t) p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static int
open_socket (void)
{
  struct sockaddr_in port = {.sin_family = AF_INET};
  const int on = 1;
  int fd;

  if (!is_tcp)
    return connect_to (where);
  port.sin_port = htons (atoi (where));
  port.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  fd = socket (AF_INET, SOCK_STREAM, 0);
  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect (fd, (struct sockaddr *) &port, sizeof port) == -1)
    give_up (where);
  return fd;
}

/* Ask for structured replies, as usual clients do, and for the export "". */
static void
shake_hands (int fd)
{
  static const unsigned char hello[] = "\0\0\0\3"
                                       "IHAVEOPT\0\0\0\10\0\0\0\0"
                                       "IHAVEOPT\0\0\0\7\0\0\0\6\0\0\0\0\0";
  unsigned char buf[1024];
  uint32_t option, type;

  receive_all (fd, buf, 18);
  send_all (fd, hello, 4 + 16 + 16 + 6);
  do {
    receive_all (fd, buf, 20);
    option = get (buf + 8);
    type = get (buf + 12);
    if (get (buf + 16) > sizeof buf || type >> 31) {
      fputs ("client: the server refuses something\n", stderr);
      exit (EXIT_FAILURE);
    }
    receive_all (fd, buf, get (buf + 16));
  } while (option != 7 || type != 1);
}

struct connection {
  int fd;
  struct random random;
  unsigned char *out; /* DEPTH requests */
  unsigned char *in;
  size_t len; /* bytes in IN */
};

#define IN_SIZE ((size_t) 1 << 20)

static void
send_requests (struct connection *c, unsigned n)
{
  const size_t each = HEADER + (is_write ? size : 0);
  unsigned i;

  for (i = 0; i < n; i++)
    put (c->out + i * each + 16,
         random_next (&c->random) % (SPAN / size) * size, 8);
  send_all (c->fd, c->out, n * each);
}

/* Take the replies that are complete.  Returns how many. */
static unsigned
take_replies (struct connection *c)
{
  const size_t each = is_write ? 16 : 20 + 8 + (size_t) size;
  const unsigned char *p;
  unsigned n = 0;
  ssize_t r;

  r = recv (c->fd, c->in + c->len, IN_SIZE - c->len, 0);
  if (r <= 0)
    give_up ("recv");
  c->len += r;
  for (p = c->in; c->len >= 16; p += each, c->len -= each) {
    if (get (p) != (is_write ? 0x67446698 : 0x668e33ef) ||
        get (p + 4) != (is_write ? 0 : 0x00010001)) {
      fputs ("client: a reply that was not expected\n", stderr);
      exit (EXIT_FAILURE);
    }
    if (c->len < each)
      break;
    n++;
  }
  memmove (c->in, p, c->len);
  return n;
}

static void *
run (void *arg)
{
  struct connection *c = arg;
  const size_t each = HEADER + (is_write ? size : 0);
  unsigned i, n = depth, in_flight = 0;

  c->fd = open_socket ();
  shake_hands (c->fd);
  c->out = calloc (depth, each);
  c->in = malloc (IN_SIZE);
  if (c->out == NULL || c->in == NULL)
    give_up ("memory");
  for (i = 0; i < depth; i++) {
    put (c->out + i * each, 0x25609513, 4);
    put (c->out + i * each + 4, is_write, 4);
    put (c->out + i * each + 24, size, 4);
  }
#ifdef __linux__
  prctl (PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
#endif
  while (!enough || in_flight > 0) {
    if (!enough) {
      if (think.tv_nsec > 0)
        nanosleep (&think, NULL);
      send_requests (c, n);
      in_flight += n;
    }
    n = take_replies (c);
    in_flight -= n;
    if (!enough)
      replies += n;
  }
  put (c->out + 4, 2, 4); /* disconnect */
  send_all (c->fd, c->out, HEADER);
  close (c->fd);
  return NULL;
}

int
main (int argc, char *argv[])
{
  static struct connection connections[MOST];
  static pthread_t threads[MOST];
  struct timespec from, to;
  unsigned i, count;
  double seconds;

  if (argc < 8 || argc > 9 || atoi (argv[5]) > MOST)
    return EXIT_FAILURE;
  is_tcp = strcmp (argv[1], "tcp") == 0;
  where = argv[2];
  is_write = strcmp (argv[3], "write") == 0;
  size = atoi (argv[4]);
  count = atoi (argv[5]);
  depth = atoi (argv[6]);
  seconds = atof (argv[7]);
  if (argc == 9)
    think.tv_nsec = atoi (argv[8]) * 1000L;

  clock_gettime (CLOCK_MONOTONIC, &from);
  for (i = 0; i < count; i++) {
    random_init (&connections[i].random, 1, i);
    pthread_create (&threads[i], NULL, run, &connections[i]);
  }
  usleep (seconds * 1e6);
  enough = true;
  clock_gettime (CLOCK_MONOTONIC, &to);
  for (i = 0; i < count; i++)
    pthread_join (threads[i], NULL);
  printf ("%.1f\n", replies / (to.tv_sec - from.tv_sec +
                               (to.tv_nsec - from.tv_nsec) / 1e9));
  return 0;
}
