/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 *   plain SOCKET zero|data SIZE COUNT [fua]
 *
 * A client of requests that are plain, but for those with FUA.  It writes COUNT
 * blocks of SIZE bytes and reads them, first one at a time, and then TOGETHER,
 * and looks at each reply: a device of zeroes has zeroes, and any other what
 * was written.  So it sends four times COUNT requests.
 */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unix.h"

#define TOGETHER 16
#define HEADER 28
#define REPLY 16

enum { READ, WRITE, DISC };

static int fd;
static bool is_zero, has_fua;
static uint32_t size;

static void
put (unsigned char *p, uint64_t value, unsigned n)
{
  while (n-- > 0) {
    p[n] = value;
    value >>= 8;
  }
}

static void
make_header (unsigned char *p, unsigned command, unsigned block)
{
  memset (p, 0, HEADER);
  put (p, 0x25609513, 4);
  put (p + 4, has_fua && command == WRITE, 2);
  put (p + 6, command, 2);
  put (p + 8, block, 8);
  put (p + 16, (uint64_t) block * size, 8);
  put (p + 24, command == DISC ? 0 : size, 4);
}

static void
check_reply (unsigned command, unsigned block, unsigned char *buf)
{
  unsigned char due[REPLY] = {0x67, 0x44, 0x66, 0x98};
  const unsigned char byte = is_zero ? 0 : block % 255 + 1;
  uint32_t i;

  put (due + 8, block, 8);
  receive_all (fd, buf, REPLY);
  if (memcmp (buf, due, REPLY) != 0)
    give_up ("a reply is not what it should be");
  if (command != READ)
    return;
  receive_all (fd, buf, size);
  for (i = 0; i < size; i++) {
    if (buf[i] != byte)
      give_up ("data is not what it should be");
  }
}

/* N requests at a time, for COUNT blocks. */
static void
run (unsigned command, unsigned count, unsigned n)
{
  const size_t each = HEADER + (command == WRITE ? size : 0);
  unsigned char *out = malloc (n * each), *in = malloc (REPLY + size);
  unsigned i, block = 0;

  if (out == NULL || in == NULL)
    give_up ("malloc");
  for (; block < count; block += n) {
    for (i = 0; i < n; i++) {
      make_header (out + i * each, command, block + i);
      if (command == WRITE)
        memset (out + i * each + HEADER, (block + i) % 255 + 1, size);
    }
    send_all (fd, out, n * each);
    for (i = 0; i < n; i++)
      check_reply (command, block + i, in);
  }
  free (out);
  free (in);
}

int
main (int argc, char *argv[])
{
  unsigned char disconnect[HEADER];
  unsigned count;

  alarm (60);
  if (argc < 5 || argc > 6)
    return EXIT_FAILURE;
  is_zero = strcmp (argv[2], "zero") == 0;
  size = atoi (argv[3]);
  count = atoi (argv[4]);
  has_fua = argc == 6;
  fd = open_device (argv[1]);
  run (WRITE, count, 1);
  run (READ, count, 1);
  run (WRITE, count, TOGETHER);
  run (READ, count, TOGETHER);
  make_header (disconnect, DISC, 0);
  send_all (fd, disconnect, HEADER);
  close (fd);
  return EXIT_SUCCESS;
}
