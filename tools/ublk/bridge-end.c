/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The end of the bridge; see bridge.h.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bridge-internal.h"

/* How long the server must have been silent before a signal gives it up: longer
 * than the aide waits for those who have the device open to close it.
 */
#define SIGNAL_SILENCE_SECONDS 10

void
bridge_disconnect (struct bridge *b)
{
  bool has_left;
  unsigned i, checks;

  for (i = 0; i < MAX_QUEUES; i++) {
    connection_begin_close (b->connections[i].data);
    connection_begin_close (b->connections[i].zones);
    connection_begin_close (b->connections[i].config);
  }
  for (checks = 0; checks < CHECKS_A_SECOND; checks++) {
    has_left = true;
    for (i = 0; i < MAX_QUEUES; i++) {
      has_left = connection_has_closed (b->connections[i].data) &&
                 connection_has_closed (b->connections[i].zones) &&
                 connection_has_closed (b->connections[i].config) && has_left;
    }
    if (has_left)
      break;
    bridge_pause ();
  }
  for (i = 0; i < MAX_QUEUES; i++)
    export_disconnect (&b->connections[i]);
  if (b->has_export)
    export_close (&b->export);
  b->has_export = false;
}

/* Stop the device, which ends its queues, and delete it.  Returns 0, or a
 * negative errno where only the end of this process ends it.
 */
static int
end_device (struct bridge *b)
{
  unsigned i;
  bool lost_data;
  int r = 0;

  if (b->has_device)
    r = bridge_have_done (b, AIDE_STOP, 0, &lost_data);
  if (r < 0)
    return r;
  if (b->queues_begun > 0 &&
      !bridge_await (b, b->device.ended, 0, bridge_queues_are_done))
    return -ETIMEDOUT;
  reconnector_stop (b->reconnector);
  b->reconnector = NULL;
  for (i = 0; i < MAX_QUEUES; i++) {
    if (b->queues[i] != NULL)
      queue_join (b->queues[i]);
    b->queues[i] = NULL;
  }
  if (b->device.fd != -1)
    close (b->device.fd);
  b->device.fd = -1;
  if (b->has_device)
    r = bridge_have_done (b, AIDE_DELETE, 0, &lost_data);
  if (r < 0 && r != -ENODEV)
    return r;
  return !b->has_device || setup_await_gone (b->driver, b->number,
                                             b->record.cookie, SETUP_PATIENCE)
             ? 0
             : -EBUSY;
}

int
bridge_take_away (struct bridge *b)
{
  const int r = end_device (b);

  if (r < 0)
    return r;
  bridge_disconnect (b);
  journal_close (b->device.journal);
  if (b->has_record)
    device_record_remove (&b->record);
  ublk_driver_close (b->driver);
  appends_destroy (b->device.appends);
  if (b->device.ended != -1)
    close (b->device.ended);
  if (b->device.disconnected != -1)
    close (b->device.disconnected);
  if (b->signals != -1)
    close (b->signals);
  aide_destroy (b->aide);
  free (b);
  return 0;
}

static enum bridge_end
refuse_to_end (struct bridge *b, int err, struct message *why)
{
  if (err == -EBUSY)
    message_set (why, "/dev/%s is in use", b->name);
  else
    message_set (why, "/dev/%s: it cannot be told whether it is in use: %s",
                 b->name, strerror (-err));
  device_record_count_refusal (&b->record);
  return BRIDGE_NOT_CLOSED;
}

enum bridge_end
bridge_close (struct bridge *b, struct message *why)
{
  bool lost_data = false, lost_later = false, is_refused = false;
  char name[32];
  int r = 0;

  snprintf (name, sizeof name, "%s", b->name);
  if (b->queues_ended == 0) {
    r = bridge_have_done (b, AIDE_FLUSH, SIGNAL_SILENCE_SECONDS, &lost_data);
    if (r == 0)
      r = bridge_have_done (b, AIDE_TRY_STOP, SIGNAL_SILENCE_SECONDS,
                            &lost_later);
    is_refused = r < 0 && r != -ETIMEDOUT;
    lost_data = (lost_data || lost_later || (b->has_given_up && !is_refused)) &&
                (b->plan.params.attributes & UBLK_ATTR_READ_ONLY) == 0;
  }
  else
    bridge_give_up (b);
  /* The next flush may succeed, as the kernel tells of an error once. */
  if (lost_data)
    device_record_set_lost_data (&b->record);
  if (is_refused)
    return refuse_to_end (b, r, why);
  lost_data = b->record.lost_data;
  r = bridge_take_away (b);
  if (r < 0)
    message_set (why, "/dev/%s does not end: %s", name, strerror (-r));
  else if (lost_data)
    message_set (why,
                 "/dev/%s: not all that was written to it has reached the "
                 "server",
                 name);
  return r < 0 || lost_data ? BRIDGE_CLOSED_BADLY : BRIDGE_CLOSED;
}
