/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A queue, for its own files.  A request goes this way.  Functions that are
 * named for an event (data_is_done) are called by the ring, the port or a link
 * when that has happened.
 *
 *     queue.c       port ─> begin ─┐
 *       ┌──────────────────────────┘
 *       ├─ queue-data.c      request_move_data ────────> data_is_done ───┐
 *       │                    request_clear ─> clear_part > part_is_done ─┤
 *       ├─ queue-append.c    request_append ─> take_turn > append_is_done┤
 *       ├─ queue-zones.c     request_command ──────────> command_is_done ┤
 *       │                    request_reset_all ────────> all_are_reset ──┤
 *       │                    request_report ───────────> report_is_done ─┤
 *       │                                                                │
 *       │     queue-explain.c, where a request to a zone fails:          │
 *       │     request_explain ─> zone_is_read, all_zones_are_read <──────┤
 *       │                                │                               │
 *       │     queue-request.c            v                               │
 *       └─────────────────────────> request_answer <─────────────────────┘
 *
 * queue-renew.c has what is done when connections die: a request that is with
 * the server waits for another connection, and is sent again.  queue-time.c
 * counts the seconds of that.  queue-journal.c writes down what the next
 * process has to know if this one is killed, and finds what a dead one has
 * left.
 *
 * The files from queue.c to queue-explain.c call only those that stand below
 * them, except that queue-append.c and queue-journal.c call each other.  The
 * last four, queue-request.c, queue-renew.c, queue-time.c and queue-journal.c,
 * call each other.  All functions are called by the queue's thread.
 */

#ifndef NULLBLK_UBLK_QUEUE_INTERNAL_H
#define NULLBLK_UBLK_QUEUE_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "append.h"
#include "ublkdrv/ublkdrv.h"
#include "journal.h"
#include "link.h"
#include "queue.h"

struct queue_request {
  struct port_request at_port;
  struct queue *queue;
  struct io io;       /* what the server is asked for, one at a time */
  struct link **link; /* the member of the queue by which io is sent */
  void (*done) (struct io *io, int err); /* called when io is done */

  bool awaits_answer; /* io was sent, and the server has not answered it */
  uint32_t sent_at;   /* the queue's `now` when io was sent last */
  uint32_t begun_at;  /* the queue's `now` when io was sent first */
  bool is_late;       /* the server has had io for longer than --timeout */
  bool is_sent_again; /* io may have been done before: it was sent by a
                         * connection, or a process, that has died */
  /* io came while connections were dead: the server has not got it. */
  bool came_disconnected;
  uint64_t changes; /* of a flush: queue->changes when it came */

  /* A request to a zone that was sent again has failed, and the zone is read to
   * see whether it had been done the first time.  The read uses the request's
   * `io` and `done`, and this keeps what they were before.
   */
  struct zone_check {
    struct io io;
    void (*done) (struct io *io, int err);
    int err; /* with which the request has failed */
  } zone_check;

  struct append append; /* of an append */
  uint64_t zone;        /* number of the zone that the request is about */
  uint64_t end; /* of a discard or a write of zeroes: bytes within the device */
  uint64_t skipped; /* bytes at the start of a write that were written before */
  int error;        /* that request_explain was called with */
  struct zone_descriptor descriptor; /* as read from the server */
  struct zone_descriptor *table;     /* of a report: its zones; or NULL */

  /* In the list in which it waits: for the table of all zones, or for a
   * connection.
   */
  struct queue_request *next;

  /* Only queue-journal.c uses these. */
  bool is_searching; /* it is an append that is compared with orphans */
  unsigned orphan;   /* the one that it is compared with */
  unsigned searches; /* how often it was compared again after it failed */
  uint64_t pointer;  /* of its zone, in bytes within the device */
  bool compares;     /* a read is under way whose data is compared with that of
                      * the kernel's append */
  bool differs;      /* the data was not the same */
  bool is_answered;  /* and still in the journal, as the kernel may not have
                      * taken the answer yet */
  bool is_listed;    /* in queue->answered */
  struct queue_request *next_answered; /* in that list */
};

/* A read of the table of all zones, of which a queue has one at a time. */
struct table_read {
  struct zone_descriptor *table; /* while the read is in flight */

  /* Lists: the other requests that wait for it; and those that failed after it
   * was sent, and need the next read.
   */
  struct queue_request *waiting_for_it, *waiting_for_next;
};

struct queue {
  const struct ublk_device *device;
  const struct device_plan *plan;
  unsigned index;
  pthread_t thread;
  sem_t is_ready;      /* a step of the thread has ended, or has failed */
  sem_t may_go_on;     /* the thread is to fetch, or else to end */
  struct message *why; /* where the reason of a step's failure goes */
  bool has_failed, is_to_fetch;

  struct ring *ring;
  struct port port;
  struct link *data, *zones, *config;
  struct table_read all_zones;
  uint64_t max_discard; /* bytes of one discard, or write of zeroes */

  struct journal *journal;        /* or NULL: nothing is to be remembered */
  struct queue_request *answered; /* a list: those that are is_listed */
  bool has_answered_append;       /* is one of them an append? */
  unsigned nr_requests;           /* that have come, and are not answered */
  unsigned seconds_with_room;     /* in a row; see queue_await_orphans */

  /* A list of the requests that wait for connections. */
  struct queue_request *waiting, **last_waiting;

  /* How many changes the server has done, without FUA, and how many of them are
   * durable; and whether there may be one that a flush on the present
   * connections does not make durable.
   */
  uint64_t changes, flushed;
  bool may_have_lost_data;

  /* Time in seconds, which begins at 1, and stands still while nothing is
   * awaited.
   */
  uint32_t now;
  uint32_t died_at; /* when its connections died; 0: they have not, or new ones
                     * have brought an answer since */
  bool is_counting; /* the ring will have queue_second called */
  struct ring_event second;

  /* The lock guards what follows it, as other threads use that, too. */
  pthread_mutex_t lock;
  struct queue_connections *connections; /* the caller's of queue_start */
  bool is_disconnected; /* `connections` are dead; only the queue's thread
                         * changes it */
  bool has_renewed;     /* queue_renew has brought `renewed` */
  struct queue_connections renewed;
  bool has_given_up; /* queue_give_up was called: all requests fail */
  /* Appends of this queue whose turn has come through another queue. */
  struct append *woken, **last_woken;
  int wake_fd; /* an eventfd, by which other threads wake the queue's */
  uint64_t wakes;
  struct ring_event wake;

  struct queue_request requests[];
};

static inline uint64_t
bytes_of (uint64_t sectors)
{
  return sectors << ZONE_SECTOR_SHIFT;
}

/* Returns the kernel's request. */
static inline const struct ublksrv_io_desc *
kernel_request (const struct queue_request *r)
{
  return r->at_port.asked;
}

/*---------------------------------------------------------------------*/
/* queue-data.c */

/* Begin a read, a write or a flush. */
void request_move_data (struct queue_request *r, enum io_kind kind);

/* Begin a discard or a write of zeroes. */
void request_clear (struct queue_request *r, enum io_kind kind);

/*---------------------------------------------------------------------*/
/* queue-append.c */

/* request_append begins an append: where a dead process may have written its
 * data already, it looks for that data first.  request_begin_append sends it
 * when no dead process has.
 */
void request_append (struct queue_request *r);
void request_begin_append (struct queue_request *r);

/* Have queue_wake called when another thread writes to wake_fd, as it does when
 * it has given appends of this queue their turns.
 */
void queue_await_wake (struct queue *q);
void queue_wake (struct ring_event *event, int result);

/*---------------------------------------------------------------------*/
/* queue-zones.c */

/* Begin a command about one zone, the reset of all zones, or a report. */
void request_command (struct queue_request *r);
void request_reset_all (struct queue_request *r);
void request_report (struct queue_request *r);

/*---------------------------------------------------------------------*/
/* queue-explain.c */

/* Answer a request to a zone that has failed with ERR, a negative errno of
 * NBD's, when it is known what the kernel is to be told.
 */
void request_explain (struct queue_request *r, int err);

/*---------------------------------------------------------------------*/
/* queue-renew.c */

/* The connection by which the request was sent has died.  Returns true if the
 * request waits for a new connection, by which it is sent again; then its
 * `done` is called as usual, or with -ENOTCONN if nobody waits for connections
 * any longer, or with -ETIMEDOUT if the server leaves this request unanswered
 * whatever happens.
 */
bool request_wait_for_connection (struct queue_request *r);

/* A write, an append or a command has ended with ERR: 0 or a negative errno.
 * One that was sent twice may have been done the first time, and have failed
 * the second time for that reason.  Returns true if its zone is read to find
 * out; r->done is called once more after that.
 */
bool request_begin_zone_check (struct queue_request *r, int err);

/* A flush, before which the queue had seen CHANGES, has ended with ERR: 0 or a
 * negative errno.  Returns what the kernel is to be told: an error, once, where
 * changes before the flush may not be durable.
 */
int queue_has_flushed (struct queue *q, uint64_t changes, int err);

/* If connections have died, use others, if there are any.  Returns whether
 * requests may have been sent or answered by that, so that link_pump is due.
 */
bool queue_look_for_connections (struct queue *q);

/* Have all that is with the server fail, as if the connections had died. */
void queue_break_connections (struct queue *q);

/* At the end: close `renewed`, if the queue has not come to use it. */
void queue_close_renewed (struct queue *q);

/*---------------------------------------------------------------------*/
/* queue-journal.c.  Without a journal these do nothing, and find nothing. */

/* A request has come from the kernel. */
void request_note (struct queue_request *r);
/* An append is about to be sent to PLACE, in bytes within the device. */
void request_note_append (struct queue_request *r, uint64_t place);
/* An append has failed, and may be sent to another place. */
void request_note_failure (struct queue_request *r);
/* The server has done a write or an append. */
void request_note_written (struct queue_request *r);
/* The kernel is about to be told RESULT. */
void request_note_answer (struct queue_request *r, int result);

/* Called each second.  Returns whether the queue still awaits requests that a
 * dead process had begun.  It does until, each second of a minute, it has had
 * room for more requests, and connections, and no append that was compared with
 * orphans.
 */
bool queue_await_orphans (struct queue *q);

/* N zones have been reset. */
void queue_forget_zones (struct queue *q, uint64_t first, uint64_t n);

/* Have the kernel take all answers, wait for at least one event, and dispatch
 * all events that there are.  Returns 0 or a negative errno.
 */
int queue_wait (struct queue *q);

/* An append has come, or is to be tried again.  Returns true if its data is
 * looked for first; then it is answered, or goes on by request_begin_append.
 */
bool request_search (struct queue_request *r);

/* An append has failed with ERR.  May that be because of an append that a dead
 * process has sent, so that this one is to be tried again?
 */
bool request_may_search_again (struct queue_request *r, int err);

/* Compare N bytes in BUF, which were read AT bytes behind the place of an
 * orphan, with the data of the kernel's append.  Returns 0 if they are the
 * same; or a negative errno, and sets r->differs if they are not.
 */
int request_compare (struct queue_request *r, const void *buf, size_t n,
                     size_t at);

/*---------------------------------------------------------------------*/
/* queue-time.c */

/* Have the ring call queue_second in a second, if it is not about to. */
void queue_count_second (struct queue *q);
void queue_second (struct ring_event *event, int result);

/*---------------------------------------------------------------------*/
/* queue-request.c */

/* Answer the request with RESULT: bytes, or a negative errno.  The answer to an
 * append also has the sector to which its data went.
 */
void request_answer (struct queue_request *r, int result);
void request_answer_at (struct queue_request *r, int result, uint64_t sector);

/* Send a request of KIND to the server, and have DONE called when it is done.
 * The data is at BUF or, where that is NULL, in the kernel's buffer.
 */
void request_submit (struct queue_request *r, struct link *link,
                     enum io_kind kind, uint64_t offset, uint64_t count,
                     void *buf, void (*done) (struct io *io, int err));

/* Send the same once more, by another connection. */
void request_submit_again (struct queue_request *r);

#endif /* NULLBLK_UBLK_QUEUE_INTERNAL_H */
