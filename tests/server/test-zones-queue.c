/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Queued writes to zones, in all ways that requests may be served.
 */

#include <config.h>

#include <errno.h>

#include "zoned-server.h"

#define DEPTH 64

static int
count_result (void *opaque, int *error)
{
  unsigned *results = opaque;

  results[*error == 0 ? 0 : 1]++;
  return 1;
}

/* Fill zone 2 in blocks, DEPTH of them under way, turn by turn on N
 * connections; the rest of the zone with another size.
 */
static void
queue_writes (unsigned n)
{
  uint64_t seed = new_seed ("queued writes"), offset = 0;
  unsigned results[2] = {0, 0}, sent = 0, i;
  struct nbd_handle *h[4];
  nbd_completion_callback done = {.callback = count_result,
                                  .user_data = results};
  size_t len;

  fill_random (buf, sizeof buf, &seed);
  for (i = 0; i < n; i++)
    h[i] = connect_to ("");
  while (offset < CAPACITY || results[0] + results[1] < sent) {
    while (offset < CAPACITY && sent - results[0] - results[1] < DEPTH) {
      len = offset < CAPACITY / 2 ? 4096 : 1536;
      assert_true (nbd_aio_pwrite (h[sent % n], buf + offset, len,
                                   2 * ZONE + offset, done, 0) != -1);
      offset += len;
      sent++;
    }
    for (i = 0; i < n; i++)
      assert_done (nbd_poll (h[i], n > 1 ? 1 : -1));
  }
  assert_int_equal (results[1], 0);
  assert_int_equal (sent, CAPACITY / 2 / 4096 + CAPACITY / 2 / 1536);
  assert_zone (2, FU, CAPACITY);
  assert_reads (data, buf, CAPACITY, 2 * ZONE);
  for (i = 0; i < n; i++)
    disconnect (h[i]);
}

/* The wait is long, so that a busy machine does not matter. */
#define SERVE_QUEUES(...)                                                      \
  (serve ("16M", "memory-backed=true", "zoned=true", "zone-size=1M",           \
          "zone-capacity=768K", "zone-reorder-wait=60s", __VA_ARGS__),         \
   begin ())

static void
queue_of_one_connection_in_order (void **state)
{
  (void) state;
  SERVE_QUEUES ("parallel=off");
  queue_writes (1);
}

static void
queue_of_one_connection_side_by_side (void **state)
{
  (void) state;
  SERVE_QUEUES ("parallel=on");
  queue_writes (1);
}

static void
queue_of_four_connections_in_order (void **state)
{
  (void) state;
  SERVE_QUEUES ("parallel=off");
  queue_writes (4);
}

static void
queue_of_four_connections_side_by_side (void **state)
{
  (void) state;
  SERVE_QUEUES ("parallel=on");
  queue_writes (4);
}

static void
queue_with_latency (void **state)
{
  (void) state;
  SERVE_QUEUES ("write-latency=uniform:0-2ms");
  queue_writes (1);
}

/* Zones 2 to 5 are filled in blocks, SHUFFLED of which come in any order at a
 * time, by two connections.
 */
#define SHUFFLED 12
#define SHUFFLED_ZONES 4
#define BLOCKS_OF_ZONE (CAPACITY / BLOCK)

static void
shuffle_blocks (uint64_t *order, uint64_t *seed)
{
  unsigned next[SHUFFLED_ZONES] = {0}, n = 0, nr, i, k;
  uint64_t swap;

  while (n < SHUFFLED_ZONES * BLOCKS_OF_ZONE) {
    nr = random_below (seed, SHUFFLED_ZONES);
    if (next[nr] < BLOCKS_OF_ZONE)
      order[n++] = nr * ZONE + BLOCK * next[nr]++;
  }
  for (; n > 0; n -= SHUFFLED) {
    for (i = SHUFFLED - 1; i > 0; i--) {
      k = random_below (seed, i + 1);
      swap = order[n - SHUFFLED + i];
      order[n - SHUFFLED + i] = order[n - SHUFFLED + k];
      order[n - SHUFFLED + k] = swap;
    }
  }
}

static void
write_shuffled (void)
{
  static uint64_t order[SHUFFLED_ZONES * BLOCKS_OF_ZONE];
  static unsigned char all[SHUFFLED_ZONES * ZONE];
  const unsigned total = sizeof order / sizeof order[0];
  uint64_t seed = new_seed ("shuffled writes");
  unsigned results[2] = {0, 0}, sent = 0, i;
  struct nbd_handle *h[2] = {connect_to (""), connect_to ("")}, *to;
  nbd_completion_callback done = {.callback = count_result,
                                  .user_data = results};

  fill_random (all, sizeof all, &seed);
  shuffle_blocks (order, &seed);
  while (results[0] + results[1] < total) {
    while (sent < total && sent - results[0] - results[1] < SHUFFLED + 2) {
      to = h[random_below (&seed, 2)];
      if (random_below (&seed, 8) == 0) {
        memset (all + order[sent], 0, BLOCK);
        assert_true (
            nbd_aio_zero (to, BLOCK, 2 * ZONE + order[sent], done, 0) != -1);
      }
      else
        assert_true (nbd_aio_pwrite (to, all + order[sent], BLOCK,
                                     2 * ZONE + order[sent], done, 0) != -1);
      sent++;
    }
    for (i = 0; i < 2; i++)
      assert_done (nbd_poll (h[i], 1));
  }
  assert_int_equal (results[1], 0);
  for (i = 0; i < SHUFFLED_ZONES; i++) {
    assert_zone (2 + i, FU, CAPACITY);
    assert_reads (data, all + i * ZONE, CAPACITY, (2 + i) * ZONE);
  }
  for (i = 0; i < 2; i++)
    disconnect (h[i]);
}

static void
shuffled_writes (void **state)
{
  (void) state;
  SERVE_QUEUES ("parallel=auto");
  write_shuffled ();
  stop_server (NULL);
  SERVE_QUEUES ("write-latency=uniform:0-2ms");
  write_shuffled ();
}

/* An early write that nothing comes before waits in vain. */
static void
early_write_waits_and_fails (void **state)
{
  (void) state;
  serve ("16M", "memory-backed=true", "zoned=true", "zone-size=1M",
         "zone-reorder-wait=5ms", "parallel=on");
  begin ();
  assert_refused (EIO, write_at (2, BLOCK, BLOCK));
  assert_zone (2, EM, 0);
  assert_done (write_at (2, 0, BLOCK));
  assert_done (write_at (2, BLOCK, BLOCK));
}

static const struct CMUnitTest tests[] = {
    CASE (queue_of_one_connection_in_order),
    CASE (queue_of_one_connection_side_by_side),
    CASE (queue_of_four_connections_in_order),
    CASE (queue_of_four_connections_side_by_side),
    CASE (queue_with_latency),
    CASE (shuffled_writes),
    CASE (early_write_waits_and_fails),
};

MAIN (tests)
