/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Several connections to one device, and many requests in flight on each, in
 * every thread model: all see one store, nothing is lost, and a block is
 * never seen half written.
 *
 * Every request is waited for before its connection closes: nbdkit 1.32 may
 * abort when a client hangs up on a parallel server that still has requests
 * of it.
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

#define BLOCK 4096
#define NR_CONNECTIONS 4
#define DEPTH 32 /* requests in flight on a connection */

/* What one connection is about, in BLOCKs. */
#define NR_BLOCKS 256
#define REGION (NR_BLOCKS * BLOCK)

static unsigned char data[NR_CONNECTIONS * REGION];
static unsigned char back[NR_CONNECTIONS * REGION];
static struct nbd_handle *connections[NR_CONNECTIONS];

static void
connect_all (void)
{
  size_t i;

  for (i = 0; i < NR_CONNECTIONS; i++)
    connections[i] = connect_to ("");
}

/*---------------------------------------------------------------------*/
/* Requests in flight */

static unsigned failed;

static int
completed (void *opaque, int *error)
{
  (void) opaque;
  failed += *error != 0;
  return 1;
}

static const nbd_completion_callback on_completion = {.callback = completed};

/* Wait until at most MOST requests are in flight. */
static void
drain (struct nbd_handle *h, int most)
{
  while (nbd_aio_in_flight (h) > most)
    assert_int_equal (nbd_poll (h, 60000), 1);
}

static void
drain_all (void)
{
  size_t i;

  for (i = 0; i < NR_CONNECTIONS; i++)
    drain (connections[i], 0);
  assert_int_equal (failed, 0);
}

static void
start_write (struct nbd_handle *h, const void *buf, uint64_t offset)
{
  drain (h, DEPTH - 1);
  assert_done (nbd_aio_pwrite (h, buf, BLOCK, offset, on_completion, 0));
}

static void
start_read (struct nbd_handle *h, void *buf, uint64_t offset)
{
  drain (h, DEPTH - 1);
  assert_done (nbd_aio_pread (h, buf, BLOCK, offset, on_completion, 0));
}

/* The numbers below NR_BLOCKS in random order. */
static void
shuffle (unsigned *order, uint64_t *seed)
{
  unsigned i, j;

  for (i = 0; i < NR_BLOCKS; i++) {
    j = random_below (seed, i + 1);
    order[i] = order[j];
    order[j] = i;
  }
}

/* Each connection writes the blocks of its region, and reads those of the
 * next one's.
 */
static void
write_and_read_back (const char *parallel)
{
  uint64_t seed = new_seed (parallel);
  unsigned order[NR_BLOCKS], i, n;
  uint64_t offset;

  serve ("1G", "memory-backed=true", parallel);
  connect_all ();
  failed = 0;
  fill_random (data, sizeof data, &seed);
  shuffle (order, &seed);
  for (i = 0; i < NR_BLOCKS; i++) {
    for (n = 0; n < NR_CONNECTIONS; n++) {
      offset = n * REGION + order[i] * BLOCK;
      start_write (connections[n], data + offset, offset);
    }
  }
  drain_all ();
  memset (back, 0x55, sizeof back);
  shuffle (order, &seed);
  for (i = 0; i < NR_BLOCKS; i++) {
    for (n = 0; n < NR_CONNECTIONS; n++) {
      offset = n * REGION + order[i] * BLOCK;
      start_read (connections[(n + 1) % NR_CONNECTIONS], back + offset, offset);
    }
  }
  drain_all ();
  assert_memory_equal (back, data, sizeof data);
}

static void
in_flight_by_default (void **state)
{
  (void) state;
  write_and_read_back ("parallel=auto");
}

static void
in_flight_in_parallel (void **state)
{
  (void) state;
  write_and_read_back ("parallel=on");
}

static void
in_flight_one_at_a_time (void **state)
{
  (void) state;
  write_and_read_back ("parallel=off");
}

/* Two connections write blocks that are all one byte, over and over to the
 * same few places; two read them, and see no block of two bytes.
 */
static void
blocks_are_whole (void **state)
{
  enum { PLACES = 4, ROUNDS = 40 };
  uint64_t seed = new_seed ("blocks_are_whole");
  unsigned i, j, n, round;

  (void) state;
  serve ("1G", "memory-backed=true", "parallel=on");
  connect_all ();
  failed = 0;
  for (i = 0; i < NR_BLOCKS; i++)
    memset (data + i * BLOCK, 1 + i % 255, BLOCK);
  for (round = 0; round < ROUNDS; round++) {
    for (i = 0; i < NR_BLOCKS; i++) {
      for (n = 0; n < NR_CONNECTIONS / 2; n++)
        start_write (connections[n],
                     data + random_below (&seed, NR_BLOCKS) * BLOCK,
                     random_below (&seed, PLACES) * BLOCK);
      for (; n < NR_CONNECTIONS; n++)
        start_read (connections[n], back + (n * NR_BLOCKS + i) * BLOCK,
                    random_below (&seed, PLACES) * BLOCK);
    }
    drain_all ();
    for (n = NR_CONNECTIONS / 2; n < NR_CONNECTIONS; n++) {
      for (i = 0; i < NR_BLOCKS; i++) {
        const unsigned char *block = back + (n * NR_BLOCKS + i) * BLOCK;

        for (j = 1; j < BLOCK; j++)
          assert_int_equal (block[j], block[0]);
      }
    }
  }
}

/*---------------------------------------------------------------------*/

/* What multi-conn promises: a flush on one connection covers what was
 * acknowledged on all.
 */
static void
all_see_one_store (void **state)
{
  uint64_t seed = new_seed ("all_see_one_store");
  struct nbd_handle *a, *b;

  (void) state;
  serve ("1G", "memory-backed=true");
  a = connect_to ("nullb0");
  b = connect_to ("nullb0");
  fill_random (data, sizeof data, &seed);
  assert_done (nbd_pwrite (a, data, BLOCK, 0, 0));
  assert_done (nbd_flush (b, 0));
  assert_reads (b, data, BLOCK, 0);
  assert_done (nbd_pwrite (b, data + BLOCK, BLOCK, BLOCK, LIBNBD_CMD_FLAG_FUA));
  assert_reads (a, data, 2 * BLOCK, 0);
  assert_done (nbd_trim (b, BLOCK, 0, 0));
  assert_extents (a, 4 * BLOCK, 0, "4096 hole, 4096 data, 8192 hole");

  /* The data is the server's, not the connection's. */
  disconnect (a);
  disconnect (b);
  a = connect_to ("nullb0");
  assert_reads_zero (a, BLOCK, 0);
  assert_reads (a, data + BLOCK, BLOCK, BLOCK);
}

/* A client that hangs up amid its requests takes nobody with it.  One request
 * at a time, because of nbdkit 1.32 (above).
 */
static void
client_that_vanishes (void **state)
{
  uint64_t seed = new_seed ("client_that_vanishes");
  struct nbd_handle *h, *vanishing;
  unsigned round, i;

  (void) state;
  serve ("1G", "memory-backed=true", "parallel=off");
  h = connect_to ("");
  fill_random (data, sizeof data, &seed);
  assert_done (nbd_pwrite (h, data, REGION, 0, 0));
  for (round = 0; round < 20; round++) {
    vanishing = nbd_create ();
    assert_non_null (vanishing);
    assert_done (nbd_connect_unix (vanishing, server_socket ()));
    for (i = 0; i < DEPTH; i++)
      assert_done (nbd_aio_pread (vanishing, back + i * BLOCK, BLOCK, i * BLOCK,
                                  NBD_NULL_COMPLETION, 0));
    nbd_close (vanishing);
    assert_reads (h, data, REGION, 0);
  }
}

/* A server that libnbd starts, for this connection alone. */
static void
assert_serves (struct nbd_handle *h)
{
  uint64_t seed = new_seed ("assert_serves");

  fill_random (data, BLOCK, &seed);
  assert_done (nbd_pwrite (h, data, BLOCK, MIB - BLOCK, 0));
  assert_done (nbd_flush (h, 0));
  assert_reads (h, data, BLOCK, MIB - BLOCK);
  assert_extents (h, MIB, 0, "1044480 hole, 4096 data");
}

/* nbdkit -s: over the server's standard input and output. */
static void
over_stdin (void **state)
{
  char single[] = "-s", with_parent[] = "--exit-with-parent";
  char size[] = "1M", memory[] = "memory-backed=true";
  char *argv[] = {getenv ("NBDKIT"),
                  single,
                  with_parent,
                  getenv ("PLUGIN"),
                  size,
                  memory,
                  NULL};
  struct nbd_handle *h = new_handle ();

  (void) state;
  assert_done (nbd_connect_command (h, argv));
  assert_serves (h);
}

/* Over a socket that libnbd made, as systemd does. */
static void
over_socket_activation (void **state)
{
  char with_parent[] = "--exit-with-parent";
  char size[] = "1M", memory[] = "memory-backed=true";
  char *argv[] = {
      getenv ("NBDKIT"), with_parent, getenv ("PLUGIN"), size, memory, NULL};
  struct nbd_handle *h = new_handle ();

  (void) state;
  assert_done (nbd_connect_systemd_socket_activation (h, argv));
  assert_serves (h);
}

static const struct CMUnitTest tests[] = {
    CASE (in_flight_by_default),
    CASE (in_flight_in_parallel),
    CASE (in_flight_one_at_a_time),
    CASE (blocks_are_whole),
    CASE (all_see_one_store),
    CASE (client_that_vanishes),
    CASE (over_stdin),
    CASE (over_socket_activation),
};

MAIN (tests)
