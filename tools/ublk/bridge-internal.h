/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The bridge of this process, for its own files.  Its parts are made in this
 * order, and taken away in the opposite one, except that the connections to the
 * server are closed once the device is gone:
 *
 *     aide         a process that may wait for the device
 *     export       connections to the server, and what the export is like
 *     driver       the ublk driver
 *     record       by which others find the device; and its journal, if the
 *                  device is to outlive this process
 *     device       in the kernel: /dev/ublkcN
 *     queues       threads, each with connections of its own; and with
 *                  --persist another thread, which makes new connections in
 *                  place of dead ones
 *     block device /dev/ublkbN
 *
 * Where another process has left the device, its driver, record and device come
 * right after the aide, and the block device is there already.
 *
 * bridge.c makes the bridge, bridge-end.c takes it away, and both wait by the
 * functions of bridge-wait.c.  Each calls only those that come after it.
 */

#ifndef NULLBLK_UBLK_BRIDGE_INTERNAL_H
#define NULLBLK_UBLK_BRIDGE_INTERNAL_H

#include <stdbool.h>

#include "bridge.h"
#include "ublkdrv/ublkdrv.h"
#include "journal.h"
#include "link.h"
#include "queue.h"
#include "reconnect.h"
#include "export.h"

/* How often to check whether something is done. */
#define CHECKS_A_SECOND 50

struct bridge {
  struct export export;
  bool has_export;
  struct device_plan plan;
  struct ublk_driver *driver;
  struct device_record record;
  bool has_record;
  bool recovers; /* it takes over the device that another process has left */
  struct ublksrv_ctrl_dev_info left_device;
  unsigned number; /* of the kernel's device */
  bool has_device;
  char name[32];
  struct ublk_device device;
  struct queue *queues[MAX_QUEUES];
  struct reconnector *reconnector; /* or NULL: connections are not made anew */
  struct queue_connections connections[MAX_QUEUES];
  unsigned queues_begun, queues_ended;
  int signals; /* a signalfd; -1: they end the process */
  struct aide *aide;
  bool impossible;   /* bridge_open fails with BRIDGE_IMPOSSIBLE */
  bool is_over;      /* the device can never be taken over */
  bool is_elsewhere; /* the server that answers has another address */
  bool is_stuck;     /* the aide does not end what it does */
  bool has_given_up; /* the server was given up: all requests fail */
};

/*---------------------------------------------------------------------*/
/* bridge-end.c */

/* Disconnect from the server, and forget what it has said of its export. */
void bridge_disconnect (struct bridge *b);

/* End the device and free *b, whatever parts there are.  Returns 0; or a
 * negative errno where only the end of this process ends the device.  Then the
 * record stays, too, and nothing is freed that a queue may use.
 */
int bridge_take_away (struct bridge *b);

/*---------------------------------------------------------------------*/
/* bridge-wait.c */

/* Sleep for the time between two checks, of CHECKS_A_SECOND. */
void bridge_pause (void);

/* Returns the seconds of CLOCK_MONOTONIC. */
unsigned bridge_seconds_now (void);

/* Has a signal asked for the end of the device since the last call? */
bool bridge_is_to_end (struct bridge *b);

/* From now on all requests fail, those in flight included. */
void bridge_give_up (struct bridge *b);

/* True if each queue that was started has ended. */
bool bridge_queues_are_done (struct bridge *b);

/* Wait until IS_DONE returns true; it is called when FD can be read, and each
 * second.  The server is given up (bridge_give_up) when a signal comes after no
 * request has ended for SILENCE seconds, or when none has ended for two
 * minutes.  Returns false if after that no request ends for half a minute, and
 * IS_DONE still returns false.
 */
bool bridge_await (struct bridge *b, int fd, unsigned silence,
                   bool (*is_done) (struct bridge *b));

/* Have the aide do TASK.  SILENCE is that of bridge_await, *LOST_DATA that of
 * aide_result.  Returns 0 or a negative errno; -ETIMEDOUT: the aide does not
 * come to an end, and takes no other task.
 */
int bridge_have_done (struct bridge *b, enum aide_task task, unsigned silence,
                      bool *lost_data);

#endif /* NULLBLK_UBLK_BRIDGE_INTERNAL_H */
