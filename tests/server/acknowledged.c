/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * acknowledged URI WRITES: a client of a server in which something may fail
 * once.  It writes as many blocks of 4 KiB, many at once, each to an offset and
 * with data of its own, up to the end of the connection; then it flushes.  By
 * other connections it reads all that was acknowledged, and fails where that is
 * not there, or where the server fails more than once.
 */

#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#define BLOCK 4096
#define MOST 1024
#define AT_ONCE 16

enum state { NOT_SENT, SENT, ACKNOWLEDGED, FAILED };

static enum state state[MOST];
static unsigned in_flight, failures;
static uint8_t data[MOST][BLOCK], read_back[BLOCK];

static struct nbd_handle *
try_to_open (const char *uri)
{
  struct nbd_handle *h = nbd_create ();

  if (h != NULL && nbd_connect_uri (h, uri) == -1) {
    nbd_close (h);
    h = NULL;
  }
  return h;
}

static void
failed (const char *what)
{
  fprintf (stderr, "%s: %s\n", what, nbd_get_error ());
  if (++failures > 3)
    exit (EXIT_FAILURE);
}

static struct nbd_handle *
open_again (const char *uri)
{
  struct nbd_handle *h;

  while ((h = try_to_open (uri)) == NULL)
    failed ("connection");
  return h;
}

static int
written (void *opaque, int *error)
{
  *(enum state *) opaque = *error == 0 ? ACKNOWLEDGED : FAILED;
  in_flight--;
  return 1;
}

static void
write_all (struct nbd_handle *h, unsigned n)
{
  unsigned i;

  for (i = 0; i < n; i++) {
    const nbd_completion_callback done = {.callback = written,
                                          .user_data = &state[i]};

    state[i] = SENT;
    in_flight++;
    if (nbd_aio_pwrite (h, data[i], BLOCK, (uint64_t) i * BLOCK, done, 0) ==
        -1) {
      state[i] = NOT_SENT;
      in_flight--;
      return failed ("write");
    }
    while (in_flight >= (i + 1 < n ? AT_ONCE : 1)) {
      if (nbd_poll (h, -1) == -1)
        return failed ("writes");
    }
  }
  if (nbd_flush (h, 0) == -1)
    failed ("flush");
}

/* The Nth block, by *h, which is opened anew where it fails. */
static void
check (struct nbd_handle **h, const char *uri, unsigned n)
{
  while (nbd_pread (*h, read_back, BLOCK, (uint64_t) n * BLOCK, 0) == -1) {
    failed ("read");
    nbd_close (*h);
    *h = open_again (uri);
  }
  if (memcmp (read_back, data[n], BLOCK) != 0) {
    fprintf (stderr, "block %u was acknowledged, and is lost\n", n);
    exit (EXIT_FAILURE);
  }
}

int
main (int argc, char *argv[])
{
  unsigned n = argc == 3 ? strtoul (argv[2], NULL, 10) : 0, i, there = 0;
  struct nbd_handle *h;

  if (n == 0 || n > MOST) {
    fprintf (stderr, "acknowledged URI WRITES\n");
    return EXIT_FAILURE;
  }
  for (i = 0; i < n; i++)
    memset (data[i], 1 + i % 251, BLOCK);
  h = open_again (argv[1]);
  write_all (h, n);
  nbd_close (h);
  h = open_again (argv[1]);
  for (i = 0; i < n; i++) {
    if (state[i] == ACKNOWLEDGED) {
      check (&h, argv[1], i);
      there++;
    }
  }
  nbd_shutdown (h, 0);
  nbd_close (h);
  printf ("%u of %u\n", there, n);
  return EXIT_SUCCESS;
}
