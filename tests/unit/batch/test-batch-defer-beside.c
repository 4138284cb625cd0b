/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Deferred replies beside others, and any requests with any replies.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deferring.h"

/*---------------------------------------------------------------------*/
/* Beside others */

static void
has_others_and_stops (void)
{
  const uint32_t others[] = {3, 4, 5, 6};

  expect_replies (others, 4);
  stop_server ();
}

/* What is not deferred overtakes, whether or not it is held for a while because
 * the next request is here.
 */
static void
test_overtakes (void **state)
{
  struct stream s = {0};

  (void) state;
  connect_again (2);
  assert_false (batch_has_deferred ());
  defer_for_long (1, 1);
  ask (2, 2);
  assert_int_equal (next_request (), 2);
  assert_true (batch_has_deferred ());
  answer (2);
  expect_reply (2);

  ask (3, 5);
  assert_int_equal (next_request (), 3);
  answer (3);
  assert_int_equal (next_request (), 4);
  expect_nothing (); /* 3 is held */
  answer (4);
  assert_int_equal (next_request (), 5);

  /* With a deferred one after it, which fills the connection up. */
  add_request (&s, 6, 0);
  add_request (&s, 7, 0);
  add_request (&s, 8, 0);
  write_all (peer, s.bytes, s.len);
  answer (5);
  assert_int_equal (next_request (), 6);
  answer (6);
  assert_int_equal (next_request (), 7);
  assert_true (defer (7, clock_now () + HOUR, 0));
  answer (7);
  calls.turn[AT_NAP] = has_others_and_stops;
  assert_int_equal (next_request (), 0);
  s.len = 0;
  add_error (&s, 1, 1);
  add_error (&s, 7, 1);
  expect (&s);
  free (s.bytes);
}

static void
has_first_sends_payload (void)
{
  expect_reply (1);
  write_all (peer, "payload", 7);
}

/* One that waits is answered while a payload is waited for. */
static void
test_payload_is_late (void **state)
{
  uint64_t ahead = 5 * NSEC_PER_MSEC;
  unsigned char payload[7];
  struct stream s = {0};

  (void) state;
  do {
    connect_again (8);
    s.len = 0;
    add_request (&s, 1, 0);
    add_request (&s, 2, 7);
    write_all (peer, s.bytes, s.len - 7);
    assert_int_equal (next_request (), 1);
    assert_true (defer (1, clock_now () + (ahead *= 2), 0));
    answer (1);
    assert_int_equal (next_request (), 2);
  } while (seen.dues > 0);
  calls.turn[AT_READ] = has_first_sends_payload;
  assert_int_equal (batch_read (server, payload, 7), 7);
  assert_memory_equal (payload, "payload", 7);
  assert_int_equal (seen.dues, 1);
  assert_int_equal (seen.early, 0);
  free (s.bytes);
}

/* Request 1 is due while 3 is in service, and 2 for long not. */
static void
due_in_service (void (*wait) (void))
{
  uint64_t ahead = 3 * NSEC_PER_MSEC, due_at;

  do {
    connect_again (8);
    ask (1, 3);
    due_at = clock_now () + (ahead *= 2);
    assert_int_equal (next_request (), 1);
    assert_true (defer (1, due_at, 0));
    answer (1);
    assert_int_equal (next_request (), 2);
    assert_true (defer (2, due_at + HOUR, 0));
    answer (2);
    assert_int_equal (next_request (), 3);
    wait ();
  } while (seen.dues > 0 || clock_now () >= due_at);
  expect_nothing ();
  while (clock_now () < due_at)
    ;
  wait ();
  assert_int_equal (seen.dues, 1);
  assert_int_equal (seen.nr_gone, 0);
  expect_reply (1);
  answer (3);
  expect_reply (3);
}

static void
poll_at_once (void)
{
  static const struct timespec at_once;
  struct pollfd stops = {.fd = quit[0], .events = POLLIN};

  assert_int_equal (batch_ppoll (&stops, 1, &at_once, NULL), 0);
}

static void
test_before_wait (void **state)
{
  (void) state;
  due_in_service (batch_before_wait);
  due_in_service (poll_at_once);
}

/*---------------------------------------------------------------------*/
/* Any requests, any replies */

#define NR_RANDOM 300

static struct {
  struct plan {
    bool deferred;
    int verdict;
    unsigned chunks;
    uint32_t payload;
    uint64_t delay;
    size_t size, piece;
  } plans[NR_RANDOM + 1]; /* by cookie, which begin with 1 */
  uint64_t spin;
} random_case;

static void
plan_all (uint64_t *seed)
{
  static const uint64_t most_us[] = {1, 1000, 5000, 12000};
  static const size_t sizes[] = {16383, 16384, 65536, 200000};
  struct plan *p;
  unsigned i;

  for (i = 1; i <= NR_RANDOM; i++) {
    p = &random_case.plans[i];
    p->deferred = random_below (seed, 8) != 0;
    p->verdict = 0;
    if (p->deferred && random_below (seed, 4) == 0)
      p->verdict = -ESHUTDOWN;
    p->chunks = random_below (seed, 4);
    p->payload =
        random_below (seed, 4) == 0 ? 1 + random_below (seed, 3000) : 0;
    p->delay =
        NSEC_PER_USEC * random_below (seed, most_us[random_below (seed, 4)]);
    p->size = random_below (seed, 10) != 0 ? random_below (seed, 5000)
                                           : sizes[random_below (seed, 4)];
    p->piece = 16 + random_below (seed, random_below (seed, 2) ? 100 : 300000);
  }
}

static bool
receive_payload (size_t n)
{
  unsigned char buf[3000];
  ssize_t r;

  while (n > 0) {
    r = batch_read (server, buf, n);
    if (r <= 0)
      return false;
    n -= r;
  }
  return true;
}

/* Returns what went wrong, or NULL. */
static void *
serve_any (void *arg)
{
  static char failed[] = "failed";
  unsigned char header[HEADER];
  const struct plan *p;
  struct stream s = {0};
  uint32_t cookie;
  size_t n;
  ssize_t r;
  bool ok = true;

  (void) arg;
  while (ok) {
    for (n = 0; n < HEADER; n += r) {
      r = batch_read (server, header + n, HEADER - n);
      if (r <= 0)
        break;
    }
    if (n < HEADER)
      break;
    cookie = get32 (header + 12);
    note (cookie, false, false);
    p = &random_case.plans[cookie];
    ok = receive_payload (p->payload);
    if (ok && p->deferred)
      ok = defer_with (cookie, clock_now () + p->delay, random_case.spin,
                       p->verdict, 1);
    s.len = 0;
    add_reply (&s, cookie, p->chunks, p->size);
    ok = ok && send_pieces (&s, p->piece);
  }
  free (s.bytes);
  return ok && r == 0 ? NULL : failed;
}

/* Is this the whole reply to a request that has one? */
static uint32_t
take_reply (const struct stream *got, size_t *at)
{
  struct stream wanted = {0};
  const struct plan *p;
  uint32_t cookie;

  assert_true (got->len - *at >= 16);
  cookie = get32 (got->bytes + *at + 12);
  assert_in_range (cookie, 1, NR_RANDOM);
  p = &random_case.plans[cookie];
  if (p->verdict < 0)
    add_error (&wanted, cookie, p->chunks);
  else
    add_reply (&wanted, cookie, p->chunks, p->size);
  assert_true (got->len - *at >= wanted.len);
  assert_memory_equal (got->bytes + *at, wanted.bytes, wanted.len);
  *at += wanted.len;
  free (wanted.bytes);
  return cookie;
}

static void
converse (const struct stream *requests, struct stream *got, size_t n,
          uint64_t *seed)
{
  struct pollfd p = {.fd = peer};
  size_t sent = 0;
  ssize_t r;

  while (sent < requests->len || got->len < n) {
    p.events = (sent < requests->len ? POLLOUT : 0) | POLLIN;
    assert_int_equal (poll (&p, 1, 60000), 1);
    if (p.revents & (POLLIN | POLLHUP)) {
      r = recv (peer, grow (got, 65536), 65536, MSG_DONTWAIT);
      assert_true (r > 0);
      got->len -= 65536 - r;
    }
    if (p.revents & POLLOUT)
      sent += send_random_piece (peer, requests, sent, 10000, seed);
  }
}

static void
play_random (uint64_t *seed, unsigned depth, uint64_t spin)
{
  struct stream requests = {0}, wanted = {0}, got = {0};
  unsigned replies[NR_RANDOM + 1] = {0};
  const struct plan *p;
  pthread_t thread;
  size_t at = 0;
  unsigned i;
  void *failed;

  connect_again (depth);
  random_case.spin = spin;
  calls.trouble = random_below (seed, 2) * random_below (seed, 50);
  calls.seed = next_random (seed);
  plan_all (seed);
  for (i = 1; i <= NR_RANDOM; i++) {
    p = &random_case.plans[i];
    add_request (&requests, i, p->payload);
    if (p->verdict == 0)
      add_reply (&wanted, i, p->chunks, p->size);
    else if (p->verdict < 0)
      add_error (&wanted, i, p->chunks);
  }
  assert_int_equal (pthread_create (&thread, NULL, serve_any, NULL), 0);
  converse (&requests, &got, wanted.len, seed);
  shutdown (peer, SHUT_WR);
  pthread_join (thread, &failed);
  assert_null (failed);
  batch_end (server);
  expect_nothing ();
  assert_int_equal (got.len, wanted.len);
  while (at < got.len)
    replies[take_reply (&got, &at)]++;
  for (i = 1; i <= NR_RANDOM; i++) {
    p = &random_case.plans[i];
    assert_int_equal (replies[i], p->verdict <= 0);
    assert_int_equal (dues_of (i), p->deferred);
  }
  assert_int_equal (seen.early, 0);
  free (requests.bytes);
  free (wanted.bytes);
  free (got.bytes);
}

/* With spin for all of a wait, but not for more than are spun for. */
static void
test_random (void **state)
{
  uint64_t seed = new_seed ("random");

  (void) state;
  play_random (&seed, 1, 0);
  play_random (&seed, 3, LONG_SPIN);
  play_random (&seed, 8, SPIN_AUTO);
  play_random (&seed, 64, 0);
  batch_set_poll (50000);
  play_random (&seed, 400, 0);
  play_random (&seed, 5, 0);
}

int
main (void)
{
#define CASE(f) cmocka_unit_test_setup_teardown (f, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      CASE (test_overtakes),
      CASE (test_payload_is_late),
      CASE (test_before_wait),
      CASE (test_random),
  };

  alarm (240);
  return RUN_TESTS (tests);
}
