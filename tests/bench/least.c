/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 *   least -U PATH | -i ADDRESS -p PORT  [-f] SIZE [memory]
 *
 * The least that an NBD server can do, as a bound for all others.  A thread
 * for each connection receives all requests that are there by one call, makes
 * the replies in their place, and sends all of them by another.  The zeroes of
 * a null device are never copied; with "memory", data is sent from where it is,
 * and copied once when it is written.  Requests are not checked.  The server
 * runs until it is killed.  -f is accepted because nbdkit has it.
 */

#include <config.h>

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define IN ((size_t) 256 * 1024) /* bytes that are received at once */
#define VECTORS 1024
#define REQUEST 28
#define REPLY 16
#define REPLY_MAGIC UINT32_C (0x67446698)
#define CHUNK_MAGIC UINT32_C (0x668e33ef)
#define OPTION_MAGIC UINT64_C (0x49484156454f5054)

/* Flush, FUA, trim, write zeroes, multi-conn. */
#define FLAGS (1 | 4 | 8 | 32 | 64 | 256)

enum { READ, WRITE, DISC };
enum { EXPORT_NAME = 1, ABORT = 2, INFO = 6, GO = 7, STRUCTURED = 8 };

static uint64_t size;
static bool is_memory;
static uint8_t *data;

struct connection {
  int fd;
  bool is_structured;
  uint8_t in[IN];
  struct iovec v[VECTORS];
  unsigned n;
  /* A write of which not all has come: its reply (of two, as the last one may
   * not be sent yet), where its data goes, and how much is to come.
   */
  uint8_t head[2][REPLY];
  unsigned turn;
  uint64_t at, left;
};

static void __attribute__ ((noreturn)) die (const char *what)
{
  perror (what);
  exit (EXIT_FAILURE);
}

static bool
receive_all (int fd, void *p, size_t n)
{
  return n == 0 || recv (fd, p, n, MSG_WAITALL) == (ssize_t) n;
}

static bool
send_all (int fd, const void *p, size_t n)
{
  return send (fd, p, n, MSG_NOSIGNAL) == (ssize_t) n;
}

/*---------------------------------------------------------------------*/
/* The handshake */

static bool
answer_option (int fd, uint32_t option, uint32_t type, const void *p,
               uint32_t length)
{
  struct __attribute__ ((packed)) {
    uint64_t magic;
    uint32_t option, type, length;
  } head = {htobe64 (UINT64_C (0x3e889045565a9)), htobe32 (option),
            htobe32 (type), htobe32 (length)};

  return send_all (fd, &head, sizeof head) &&
         (length == 0 || send_all (fd, p, length));
}

/* What the client is told of the export; NBD_REP_INFO has it from KIND on. */
struct __attribute__ ((packed)) about {
  uint16_t kind;
  uint64_t size;
  uint16_t flags;
};

static bool
shake_hands (struct connection *c)
{
  static const uint8_t hello[] = "NBDMAGICIHAVEOPT\0\3", none[124];
  const struct about about = {0, htobe64 (size), htobe16 (FLAGS)};
  struct __attribute__ ((packed)) {
    uint64_t magic;
    uint32_t option, length;
  } asked;
  uint32_t flags, option, length;
  const int fd = c->fd;

  if (!send_all (fd, hello, 18) || !receive_all (fd, &flags, 4))
    return false;
  while (receive_all (fd, &asked, sizeof asked)) {
    option = be32toh (asked.option);
    length = be32toh (asked.length);
    if (be64toh (asked.magic) != OPTION_MAGIC || length > IN ||
        !receive_all (fd, c->in, length))
      return false;
    switch (option) {
    case EXPORT_NAME:
      return send_all (fd, &about.size, 10) &&
             ((be32toh (flags) & 2) != 0 || send_all (fd, none, sizeof none));
    case INFO:
    case GO:
      if (!answer_option (fd, option, 3, &about, sizeof about) ||
          !answer_option (fd, option, 1, NULL, 0))
        return false;
      if (option == GO)
        return true;
      break;
    case ABORT:
      answer_option (fd, option, 1, NULL, 0);
      return false;
    case STRUCTURED:
      c->is_structured = true;
      if (!answer_option (fd, option, 1, NULL, 0))
        return false;
      break;
    default:
      if (!answer_option (fd, option, UINT32_C (0x80000001), NULL, 0))
        return false;
    }
  }
  return false;
}

/*---------------------------------------------------------------------*/
/* Requests */

static bool
flush (struct connection *c)
{
  struct msghdr message = {.msg_iov = c->v, .msg_iovlen = c->n};
  ssize_t r;

  while (message.msg_iovlen > 0) {
    r = sendmsg (c->fd, &message, MSG_NOSIGNAL);
    if (r <= 0)
      return false;
    while (message.msg_iovlen > 0 && (size_t) r >= message.msg_iov->iov_len) {
      r -= message.msg_iov->iov_len;
      message.msg_iov++;
      message.msg_iovlen--;
    }
    if (r > 0) {
      message.msg_iov->iov_base = (uint8_t *) message.msg_iov->iov_base + r;
      message.msg_iov->iov_len -= r;
    }
  }
  c->n = 0;
  return true;
}

/* Turn the request at P into its reply: the cookie of both is at byte 8. */
static bool
reply (struct connection *c, uint8_t *p)
{
  const uint32_t head[] = {htobe32 (REPLY_MAGIC), 0};

  memcpy (p, head, sizeof head);
  c->v[c->n++] = (struct iovec){p, REPLY};
  return c->n + 2 <= VECTORS || flush (c);
}

/* The same with data; the header of a structured reply with one chunk is as
 * long as the request.
 */
static bool
reply_data (struct connection *c, uint8_t *p, void *what, uint32_t n,
            uint64_t offset)
{
  const uint32_t magic = htobe32 (CHUNK_MAGIC), length = htobe32 (8 + n);
  const uint16_t flags_type[] = {htobe16 (1), htobe16 (1)};

  if (!c->is_structured) {
    if (!reply (c, p))
      return false;
  }
  else {
    offset = htobe64 (offset);
    memcpy (p, &magic, 4);
    memcpy (p + 4, flags_type, 4);
    memcpy (p + 16, &length, 4);
    memcpy (p + 20, &offset, 8);
    c->v[c->n++] = (struct iovec){p, REQUEST};
  }
  c->v[c->n++] = (struct iovec){what, n};
  return c->n + 2 <= VECTORS || flush (c);
}

/* Returns false if the connection is to end. */
static bool
begin (struct connection *c, uint8_t *p)
{
  uint16_t type;
  uint64_t offset;
  uint32_t count;

  memcpy (&type, p + 6, sizeof type);
  memcpy (&offset, p + 16, sizeof offset);
  memcpy (&count, p + 24, sizeof count);
  type = be16toh (type);
  offset = be64toh (offset);
  count = be32toh (count);
  if (type == DISC || offset > size || count > size - offset)
    return false;
  if (type == READ)
    return reply_data (c, p, data + (is_memory ? offset : 0), count, offset);
  if (type != WRITE)
    return reply (c, p);
  c->at = offset;
  c->left = count;
  return true;
}

/* Take the requests in the N bytes at P, but not one that is incomplete.
 * Returns how many bytes were taken, or -1 if the connection is to end.
 */
static ssize_t
take (struct connection *c, uint8_t *p, size_t n)
{
  uint8_t *const start = p, *head = NULL;
  size_t here;

  while (n > 0) {
    if (c->left == 0) {
      if (n < REQUEST)
        break;
      if (!begin (c, p))
        return -1;
      head = p;
      p += REQUEST;
      n -= REQUEST;
    }
    if (c->left == 0)
      continue;
    here = n < c->left ? n : c->left;
    if (is_memory)
      memcpy (data + c->at, p, here);
    c->at += here;
    c->left -= here;
    p += here;
    n -= here;
    if (c->left == 0 && !reply (c, head != NULL ? head : c->head[c->turn]))
      return -1;
  }
  if (c->left > 0 && head != NULL) {
    c->turn ^= 1;
    memcpy (c->head[c->turn], head, REPLY);
  }
  return p - start;
}

static void *
serve (void *opaque)
{
  struct connection *c = opaque;
  size_t there = 0;
  ssize_t r = 0;

  if (shake_hands (c)) {
    while ((r = recv (c->fd, c->in + there, IN - there, 0)) > 0) {
      there += r;
      r = take (c, c->in, there);
      if (!flush (c) || r == -1)
        break;
      there -= r;
      memmove (c->in, c->in + r, there);
    }
  }
  close (c->fd);
  free (c);
  return NULL;
}

/*---------------------------------------------------------------------*/

static int
listen_on (const char *path, const char *address, const char *port)
{
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  struct sockaddr_in in = {.sin_family = AF_INET};
  const int on = 1, fd = socket (path != NULL ? AF_UNIX : AF_INET,
                                 SOCK_STREAM | SOCK_CLOEXEC, 0);
  int r;

  if (path != NULL) {
    snprintf (un.sun_path, sizeof un.sun_path, "%s", path);
    r = bind (fd, (struct sockaddr *) &un, sizeof un);
  }
  else {
    in.sin_port = htons (strtoul (port, NULL, 10));
    if (inet_pton (AF_INET, address, &in.sin_addr) != 1)
      die (address);
    setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    r = bind (fd, (struct sockaddr *) &in, sizeof in);
  }
  if (r == -1 || listen (fd, 128) == -1)
    die ("listen");
  return fd;
}

int
main (int argc, char *argv[])
{
  const char *path = NULL, *address = NULL, *port = NULL;
  struct connection *c;
  const int on = 1;
  pthread_t thread;
  int option, fd;

  while ((option = getopt (argc, argv, "U:i:p:f")) != -1) {
    if (option == 'U')
      path = optarg;
    else if (option == 'i')
      address = optarg;
    else if (option == 'p')
      port = optarg;
    else if (option != 'f')
      return EXIT_FAILURE;
  }
  if (optind == argc || (path == NULL && (address == NULL || port == NULL))) {
    fputs ("least -U PATH | -i ADDRESS -p PORT  [-f] SIZE [memory]\n", stderr);
    return EXIT_FAILURE;
  }
  size = strtoull (argv[optind], NULL, 10);
  is_memory = optind + 1 < argc && strcmp (argv[optind + 1], "memory") == 0;
  data = mmap (NULL, size, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    die ("mmap");
  fd = listen_on (path, address, port);
  while (true) {
    c = calloc (1, sizeof *c);
    if (c == NULL)
      die ("calloc");
    c->fd = accept (fd, NULL, NULL);
    if (c->fd == -1)
      die ("accept");
    setsockopt (c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    errno = pthread_create (&thread, NULL, serve, c);
    if (errno != 0)
      die ("pthread_create");
    pthread_detach (thread);
  }
}
