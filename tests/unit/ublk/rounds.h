/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For tests of a queue of a block device, between a kernel that is in this file
 * and a real device of the plugin.  The functions of the ring are in this file;
 * the queue's thread calls them.  A test is a list of rounds.  Whenever the
 * queue sleeps, the next round begins, in which the kernel asks for something,
 * or the test does something to the device.  After the last round the queue may
 * sleep for as long as it wants.  When it would sleep for ever, the kernel
 * stops the device.
 */

#ifndef NULLBLK_TESTS_ROUNDS_H
#define NULLBLK_TESTS_ROUNDS_H

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <liburing.h>

#include "fake-ring.h"
#include "one-device.h"
#include "ublk/ublk-queue-internal.h"

#define MIB UINT64_C (1048576)
#define BLOCK 4096
#define DEPTH 16
#define MOST 256
#define MAX_IO MIB
#define ZONE MIB

/* After so many looks in vain, without a sleep between them, the queue must
 * wait elsewhere than in the ring.  While it spins, it looks as often as the
 * machine can, for as long as the machine's timers are late, 10 ms at most.
 */
#define MAX_LOOKS 1000000

static struct device_plan plan;
static struct front_end front_end;
static struct ublk_poll poll_of; /* no queue polls, unless a test says so */

/* Called when the queue looks into the ring without a sleep, and finds nothing;
 * NULL: none.
 */
static void (*looked) (void);

/*---------------------------------------------------------------------*/
/* The kernel */

static struct {
  int fd; /* of /dev/ublkcN */
  struct ublksrv_io_desc *requests;
  struct fake_ring ring;
  struct ring_event *fetches[DEPTH]; /* NULL: the tag is being served */
  struct ring_event *wake;           /* NULL: nobody reads wake_fd */
  int wake_fd;
  struct {
    struct ring_event *event;
    int result;
  } done[MOST]; /* events to dispatch */
  unsigned nr_done;
  struct ublksrv_io_cmd answers[MOST];
  unsigned nr_answers;
  unsigned looks;               /* in vain, one after the other */
  void (*const *rounds) (void); /* those that are left; NULL at the end */
  bool has_stopped;
} kernel;

struct ring *
ring_create (unsigned entries, bool wide)
{
  assert_true (entries > DEPTH);
  assert_false (wide);
  return (struct ring *) &kernel;
}

void
ring_destroy (struct ring *r)
{
  assert_ptr_equal (r, &kernel);
}

struct io_uring_sqe *
ring_get_sqe (struct ring *r, struct ring_event *event)
{
  (void) r;
  return fake_ring_get_sqe (&kernel.ring, event);
}

static inline void
take_entry (const struct io_uring_sqe *sqe, struct ring_event *event)
{
  struct ublksrv_io_cmd answer;

  if (sqe->opcode != IORING_OP_URING_CMD) {
    kernel.wake = event;
    kernel.wake_fd = sqe->fd;
    return;
  }
  memcpy (&answer, sqe->cmd, sizeof answer);
  must (kernel.fetches[answer.tag] == NULL, "a request is answered once");
  kernel.fetches[answer.tag] = event;
  if (sqe->cmd_op == UBLK_U_IO_COMMIT_AND_FETCH_REQ && kernel.nr_answers < MOST)
    kernel.answers[kernel.nr_answers++] = answer;
}

static inline void
is_done (struct ring_event *event, int result)
{
  kernel.done[kernel.nr_done].event = event;
  kernel.done[kernel.nr_done++].result = result;
}

static inline void
say (unsigned tag, int result)
{
  struct ring_event *event = kernel.fetches[tag];

  must (event != NULL, "a tag has no request that is being served");
  kernel.fetches[tag] = NULL;
  is_done (event, result);
}

static inline void
ask_for (unsigned tag, unsigned operation, uint64_t offset, uint32_t count)
{
  kernel.requests[tag] = (struct ublksrv_io_desc){
      .operation = operation, .count = count, .sector = offset / 512};
  say (tag, 0);
}

static inline void
ask (unsigned tag, unsigned operation, uint64_t offset, uint32_t size)
{
  ask_for (tag, operation, offset, size / 512);
}

/* Where the data of a tag's request is. */
static inline uint64_t
place_of_data (unsigned tag)
{
  return ublk_data_offset (0, tag);
}

/* Make the first SIZE bytes of the buffer of TAG's request all BYTE: what it
 * writes, or what a read finds in its buffer.
 */
static inline void
fill (unsigned tag, char byte, uint32_t size)
{
  static char data[MAX_IO];

  memset (data, byte, size);
  assert_int_equal (pwrite (kernel.fd, data, size, place_of_data (tag)), size);
}

/* Ask for a write of bytes that are all BYTE, or for a read into a buffer that
 * has such bytes.
 */
static inline void
ask_filled (unsigned tag, char byte, unsigned operation, uint64_t offset,
            uint32_t size)
{
  fill (tag, byte, size);
  ask (tag, operation, offset, size);
}

static inline void
is_filled (unsigned tag, char byte, uint32_t size)
{
  static char data[MAX_IO];
  uint32_t i;

  assert_int_equal (pread (kernel.fd, data, size, place_of_data (tag)), size);
  for (i = 0; i < size; i++)
    assert_int_equal (data[i], byte);
}

/* Let the queue sleep for so long.  Returns whether it was woken. */
static inline bool
is_woken (int milliseconds)
{
  struct pollfd fds = {.fd = kernel.wake_fd, .events = POLLIN};
  uint64_t n;

  if (kernel.wake == NULL || poll (&fds, 1, milliseconds) <= 0)
    return false;
  assert_int_equal (read (kernel.wake_fd, &n, sizeof n), sizeof n);
  is_done (kernel.wake, sizeof n);
  kernel.wake = NULL;
  return true;
}

static inline void
end_device (void)
{
  unsigned i;

  kernel.has_stopped = true;
  for (i = 0; i < DEPTH; i++)
    say (i, -ENODEV);
}

int
ring_wait (struct ring *r, uint64_t nsec)
{
  (void) r;
  fake_ring_take (&kernel.ring, take_entry);
  if (kernel.nr_done > 0 || is_woken (0)) {
    kernel.looks = 0;
    return 1;
  }
  if (nsec == 0) {
    must (++kernel.looks < MAX_LOOKS, "the queue waits in the ring");
    if (looked != NULL)
      looked ();
    return kernel.nr_done > 0;
  }
  kernel.looks = 0;
  if (*kernel.rounds != NULL)
    (*kernel.rounds++) ();
  else if (nsec == UINT64_MAX)
    end_device ();
  else
    is_woken (nsec / NSEC_PER_MSEC + 1);
  return kernel.nr_done > 0;
}

void
ring_dispatch (struct ring *r)
{
  struct ring_event *event;
  int result;

  (void) r;
  while (kernel.nr_done > 0) {
    event = kernel.done[0].event;
    result = kernel.done[0].result;
    memmove (&kernel.done[0], &kernel.done[1],
             --kernel.nr_done * sizeof kernel.done[0]);
    event->happened (event, result);
  }
}

int
ring_run (struct ring *r, bool wait)
{
  assert_false (wait);
  fake_ring_take (&kernel.ring, take_entry);
  ring_dispatch (r);
  return 0;
}

/*---------------------------------------------------------------------*/

static unsigned reports;

static inline void
note_report (struct device *device, int r)
{
  assert_ptr_equal (device, &devices->device[0]);
  assert_true (r < 0);
  reports++;
}

/* Make a device with these parameters, and the kernel of a queue of it. */
static inline void
begin (const char *const *given)
{
  const size_t page = sysconf (_SC_PAGESIZE);
  const struct zone_settings *zones;

  memset (&kernel, 0, sizeof kernel);
  kernel.fd = memfd_create ("ublkc", MFD_CLOEXEC);
  assert_int_not_equal (kernel.fd, -1);
  assert_int_equal (ftruncate (kernel.fd, place_of_data (DEPTH)), 0);
  kernel.requests =
      mmap (NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, kernel.fd, 0);
  assert_true (kernel.requests != MAP_FAILED);
  create_with (given, &cancels);
  zones = &devices->settings.zones;
  memset (&plan, 0, sizeof plan);
  plan.queues = 1;
  plan.depth = DEPTH;
  plan.max_io = MAX_IO;
  if (zones->zoned) {
    plan.zone_size = zones->zone_size;
    plan.nr_zones = devices->settings.size / zones->zone_size;
    plan.params.max_open_zones = zones->max_open;
    plan.params.max_active_zones = zones->max_active;
  }
  memset (&front_end, 0, sizeof front_end);
  reports = 0;
  front_end.report = note_report;
  front_end.max_deferred = DEPTH;
  ublk_request_front_end (&front_end);
  ublk_poll_init (&poll_of);
  poll_of.longest = 0;
  looked = NULL;
}

/* Have a queue serve the rounds, up to its end. */
static inline void
serve (void (*const *rounds) (void))
{
  struct ublk_queue *queue;
  struct message why;

  kernel.rounds = rounds;
  queue = ublk_queue_start (&devices->device[0], &plan, kernel.fd, 0,
                            &front_end, &poll_of, &why);
  if (queue == NULL)
    fail_msg ("%s", why.text);
  ublk_queue_join (queue);
  assert_true (kernel.has_stopped);
  assert_null (*kernel.rounds);
  pthread_mutex_destroy (&poll_of.lock);
  munmap (kernel.requests, sysconf (_SC_PAGESIZE));
  close (kernel.fd);
}

#define BEGIN(...) begin ((const char *const[]){__VA_ARGS__, NULL})
#define SERVE(...) serve ((void (*const[]) (void)){__VA_ARGS__, NULL})

/* Assert that this was answer N, from 0. */
static inline void
answered (unsigned n, unsigned tag, int result)
{
  assert_true (n < kernel.nr_answers);
  assert_int_equal (kernel.answers[n].tag, tag);
  assert_int_equal (kernel.answers[n].result, result);
}

static inline uint64_t
count_of (enum operation op)
{
  const struct histogram *served = &counted_by (d)->op[op].served;
  uint64_t n = 0;
  unsigned i;

  for (i = 0; i < NR_BUCKETS; i++)
    n += served->bucket[i];
  return n;
}

#endif /* NULLBLK_TESTS_ROUNDS_H */
