/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The process that stays root; see ublk-keeper-internal.h.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ublk-keeper-internal.h"

/* Milliseconds between two calls of MEANWHILE, while a device is made a block
 * device.
 */
#define MEANWHILE_MSEC 20

struct keeper {
  int fd;
};

enum keeping { MAKE, OPEN, START, STOP, DELETE };

struct order {
  enum keeping task;
  unsigned index;
  pid_t server;
  struct device_plan plan; /* of what is to be made */
  char what[32];
};

/* The report on OPEN brings the descriptor of the device with it. */
struct report {
  int result;
  unsigned number, queues, depth;
  struct message why;
};

/*---------------------------------------------------------------------*/
/* In the keeper */

struct kept {
  bool is_made;
  unsigned number;
  struct device_record record;
};

struct work {
  int fd;
  int server; /* a pidfd, or -1 */
  struct ublk_driver *driver;
  unsigned count;
  struct kept *kept;
};

/* Clear what a dead server has left of its device.  A record that cannot be
 * read or cleared now is left to the next look: no server waits for the device
 * of another.
 */
static bool
clear_dead (uint64_t cookie, void *driver)
{
  struct device_record r;
  unsigned number;
  bool is_dead;

  if (device_record_open (&r, cookie, &is_dead) < 0)
    return true;
  if (is_dead && device_record_is_of_server (&r))
    setup_clear (driver, &r, false, &number);
  else
    device_record_close (&r);
  return true;
}

static int
open_driver (struct work *w, struct message *why)
{
  if (w->driver != NULL)
    return 0;
  w->driver = ublk_driver_open (why);
  if (w->driver == NULL)
    return -ENODEV;
  device_record_for_each (clear_dead, w->driver);
  return 0;
}

static int
make_record (struct kept *k, const struct order *o, struct message *why)
{
  char text[64];
  int r;

  snprintf (text, sizeof text, DEVICE_RECORD_OF_SERVER "%.31s", o->what);
  r = device_record_make (&k->record, 0, text);
  if (r < 0)
    message_set (why, RECORDS ": %s", strerror (-r));
  return r;
}

/* Is the device gone, or will it be within SECONDS?  Then this removes its
 * record, too.
 */
static bool
is_gone (struct work *w, struct kept *k, unsigned seconds)
{
  if (k->is_made &&
      setup_await_gone (w->driver, k->number, k->record.cookie, seconds)) {
    device_record_remove (&k->record);
    k->is_made = false;
  }
  return !k->is_made;
}

/* The device's number may be that of another device by now, if somebody else
 * has deleted the device.  A device stays for as long as somebody has it open,
 * or for a moment; then its record stays, too, at most until end_all.
 */
static void
end_device (struct work *w, struct kept *k)
{
  if (is_gone (w, k, 0))
    return;
  ublk_driver_stop (w->driver, k->number);
  ublk_driver_delete (w->driver, k->number, true);
  is_gone (w, k, 0);
}

/* The server does not wait for those who have a device open, except where the
 * deletion does (before Linux 6.9).
 */
static void
end_all (struct work *w)
{
  unsigned i, patience = SETUP_PATIENCE;

  for (i = 0; i < w->count; i++)
    end_device (w, &w->kept[i]);
  close (w->fd);
  for (i = 0; i < w->count; i++) {
    if (!is_gone (w, &w->kept[i], patience))
      patience = 0;
  }
  /* Last, as a process that reads its own record unlocks it.  Such a record
   * goes, too, if its device was deleted, and is only still open.
   */
  if (w->driver != NULL)
    device_record_for_each (clear_dead, w->driver);
}

static int
make (struct work *w, struct kept *k, struct order *o, struct report *report)
{
  struct ublksrv_ctrl_dev_info info;
  char name[32];
  int r;

  r = open_driver (w, &report->why);
  if (r == 0)
    r = setup_check_driver (w->driver, &o->plan, &report->why);
  if (r == 0)
    r = make_record (k, o, &report->why);
  if (r < 0)
    return r;
  r = setup_add (w->driver, &o->plan, k->record.cookie, &info, &report->why);
  if (r < 0) {
    device_record_remove (&k->record);
    return r;
  }
  k->is_made = true;
  k->number = report->number = info.device;
  snprintf (name, sizeof name, "ublkb%u", k->number);
  device_record_set_device (&k->record, name);
  r = setup_set_params (w->driver, &o->plan, &info, &report->why);
  if (r < 0)
    end_device (w, k);
  report->queues = o->plan.queues;
  report->depth = o->plan.depth;
  return r;
}

/* The kernel wants to be told the process that has opened the device: since
 * Linux 6.17 it refuses another one.
 */
static int
start (struct work *w, const struct kept *k, struct message *why)
{
  const int r = ublk_driver_start (w->driver, k->number, getpid ());

  if (r == 0)
    return setup_await (k->number, why);
  message_set (why, "the kernel does not start the device: %s; see dmesg",
               strerror (-r));
  return r;
}

/* The keeper ends when the process SERVER ends.  It finds that out by a pidfd,
 * as others may have the other end of its socket open, too.
 */
static void
watch (struct work *w, pid_t server)
{
  if (w->server == -1)
    w->server = syscall (SYS_pidfd_open, server, 0);
}

static int
do_task (struct work *w, struct order *o, struct report *report)
{
  struct kept *k = &w->kept[o->index];

  if (o->task == MAKE)
    return make (w, k, o, report);
  if (!k->is_made)
    return -ENODEV;
  switch (o->task) {
  case OPEN:
    watch (w, o->server);
    return setup_open (k->number, &report->why);
  case START:
    return start (w, k, &report->why);
  case STOP:
    return ublk_driver_stop (w->driver, k->number);
  default:
    end_device (w, k);
    return 0;
  }
}

static void
send_report (int fd, const struct report *report, int descriptor)
{
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE (sizeof (int))];
  } control;
  struct report copy = *report;
  struct iovec data = {.iov_base = &copy, .iov_len = sizeof copy};
  struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1};

  if (descriptor >= 0) {
    memset (&control, 0, sizeof control);
    m.msg_control = &control;
    m.msg_controllen = sizeof control;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN (sizeof (int));
    memcpy (CMSG_DATA (&control.header), &descriptor, sizeof descriptor);
  }
  sendmsg (fd, &m, MSG_NOSIGNAL);
}

/* Returns false when the server has ended. */
static bool
next_order (const struct work *w, struct order *o)
{
  struct pollfd fds[] = {{.fd = w->fd, .events = POLLIN},
                         {.fd = w->server, .events = POLLIN}};

  while (poll (fds, 2, -1) == -1 && errno == EINTR)
    ;
  return fds[0].revents != 0 && recv (w->fd, o, sizeof *o, 0) == sizeof *o &&
         o->index < w->count;
}

static void
run (int fd, const void *opaque)
{
  const unsigned *count = opaque;
  struct work w = {.fd = fd, .server = -1, .count = *count};
  struct report report;
  struct order order;

  w.kept = calloc (w.count, sizeof *w.kept);
  if (w.kept == NULL)
    return;
  while (next_order (&w, &order)) {
    memset (&report, 0, sizeof report);
    report.result = do_task (&w, &order, &report);
    if (report.result < 0 && report.why.text[0] == '\0')
      message_set (&report.why, "%s", strerror (-report.result));
    send_report (fd, &report, order.task == OPEN ? report.result : -1);
    if (order.task == OPEN && report.result >= 0)
      close (report.result);
  }
  end_all (&w);
}

/*---------------------------------------------------------------------*/
/* In the server */

struct keeper *
keeper_create (unsigned count, struct message *why)
{
  struct keeper *k = calloc (1, sizeof *k);
  pid_t pid;

  if (k == NULL) {
    message_set (why, "%s", strerror (ENOMEM));
    return NULL;
  }
  k->fd = helper_make (&pid, run, &count, why);
  if (k->fd == -1) {
    free (k);
    return NULL;
  }
  return k;
}

void
keeper_destroy (struct keeper *k)
{
  char byte;

  if (k == NULL)
    return;
  shutdown (k->fd, SHUT_WR);
  while (recv (k->fd, &byte, 1, 0) == -1 && errno == EINTR)
    ;
  close (k->fd);
  free (k);
}

/* Returns the descriptor that came with it, or -1. */
static int
receive (int fd, struct report *report)
{
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE (sizeof (int))];
  } control;
  struct iovec data = {.iov_base = report, .iov_len = sizeof *report};
  struct msghdr m = {.msg_iov = &data,
                     .msg_iovlen = 1,
                     .msg_control = &control,
                     .msg_controllen = sizeof control};
  int descriptor = -1;
  ssize_t n;

  while ((n = recvmsg (fd, &m, MSG_CMSG_CLOEXEC)) == -1 && errno == EINTR)
    ;
  if (n != sizeof *report) {
    report->result = -ESRCH;
    message_set (&report->why, "the process that makes block devices has "
                               "ended");
  }
  else if (m.msg_controllen >= CMSG_LEN (sizeof (int)) &&
           control.header.cmsg_type == SCM_RIGHTS)
    memcpy (&descriptor, CMSG_DATA (&control.header), sizeof descriptor);
  return descriptor;
}

static int
ask (struct keeper *k, const struct order *order, struct report *report)
{
  /* Where it is dead, that can be read. */
  send (k->fd, order, sizeof *order, MSG_NOSIGNAL);
  return receive (k->fd, report);
}

static int
result_of (const struct report *report, struct message *why)
{
  if (report->result < 0)
    *why = report->why;
  return report->result;
}

int
keeper_make (struct keeper *k, unsigned index, const char *what,
             struct device_plan *plan, unsigned *number, struct message *why)
{
  struct order order = {.task = MAKE, .index = index, .plan = *plan};
  struct report report;

  snprintf (order.what, sizeof order.what, "%s", what);
  ask (k, &order, &report);
  if (report.result == 0) {
    plan->queues = report.queues;
    plan->depth = report.depth;
    *number = report.number;
  }
  return result_of (&report, why);
}

int
keeper_open (struct keeper *k, unsigned index, struct message *why)
{
  const struct order order = {
      .task = OPEN, .index = index, .server = getpid ()};
  struct report report;
  const int fd = ask (k, &order, &report);

  if (report.result >= 0 && fd == -1) {
    message_set (why, "%s", strerror (EMFILE));
    return -EMFILE;
  }
  return report.result >= 0 ? fd : result_of (&report, why);
}

int
keeper_start (struct keeper *k, unsigned index,
              void (*meanwhile) (void *opaque), void *opaque,
              struct message *why)
{
  const struct order order = {.task = START, .index = index};
  struct pollfd fds = {.fd = k->fd, .events = POLLIN};
  struct report report;
  int n;

  send (k->fd, &order, sizeof order, MSG_NOSIGNAL);
  while ((n = poll (&fds, 1, MEANWHILE_MSEC)) == 0 ||
         (n == -1 && errno == EINTR))
    meanwhile (opaque);
  receive (k->fd, &report);
  return result_of (&report, why);
}

int
keeper_stop (struct keeper *k, unsigned index)
{
  const struct order order = {.task = STOP, .index = index};
  struct report report;

  ask (k, &order, &report);
  return report.result;
}

void
keeper_delete (struct keeper *k, unsigned index)
{
  const struct order order = {.task = DELETE, .index = index};
  struct report report;

  ask (k, &order, &report);
}
