/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The requests of a job; see session.h.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "session.h"

struct session {
  struct channel *channels[MAX_CONNECTIONS];
  unsigned nr_channels, next_channel;
  uint64_t zone_size;
  unsigned depth, busy; /* busy: requests that were added and not taken */
  bool eager;
  unsigned kept_back, most_kept_back; /* added since the last send */
  struct answered_list answered;
  bool is_told; /* session_why_dead has told why */
};

struct session *
session_create (unsigned depth, uint64_t zone_size, bool eager)
{
  struct session *s = calloc (1, sizeof *s);

  if (s == NULL)
    return NULL;
  s->depth = depth;
  s->zone_size = zone_size;
  s->eager = eager;
  /* Less than half is kept back, so that the server has the others to do. */
  s->most_kept_back = max (1, depth / 2);
  answered_init (&s->answered);
  return s;
}

void
session_destroy (struct session *s)
{
  unsigned i;

  if (s == NULL)
    return;
  for (i = 0; i < s->nr_channels; i++)
    channel_destroy (s->channels[i]);
  free (s);
}

struct answered_list *
session_answered (struct session *s)
{
  return &s->answered;
}

void
session_use (struct session *s, struct channel *c)
{
  s->channels[s->nr_channels++] = c;
}

static struct channel *
channel_for (struct session *s, const struct channel_request *q)
{
  if (s->nr_channels == 1)
    return s->channels[0];
  if (s->zone_size != 0 && q->type != NBD_CMD_FLUSH)
    return s->channels[q->offset / s->zone_size % s->nr_channels];
  return s->channels[s->next_channel++ % s->nr_channels];
}

bool
session_add (struct session *s, struct channel_request *q)
{
  const unsigned answered = s->answered.count;

  if (s->busy == s->depth)
    return false;
  s->busy++;
  channel_add (channel_for (s, q), q);
  if (s->answered.count == answered) /* it has not failed at once */
    s->kept_back++;
  return true;
}

static void
send_all (struct session *s)
{
  unsigned i;

  s->kept_back = 0;
  for (i = 0; i < s->nr_channels; i++)
    channel_send (s->channels[i]);
}

/* Are there requests to send that may wait for more? */
static bool
may_keep_back (const struct session *s)
{
  const unsigned in_flight = s->busy - s->answered.count - s->kept_back;

  return !s->eager && s->kept_back > 0 && s->kept_back < s->most_kept_back &&
         in_flight > 0;
}

void
session_commit (struct session *s)
{
  if (!may_keep_back (s))
    send_all (s);
}

static void
poll_channels (struct session *s, bool waits, bool sends)
{
  struct pollfd p[MAX_CONNECTIONS];
  unsigned i;

  for (i = 0; i < s->nr_channels; i++) {
    p[i] = (struct pollfd){.fd = s->channels[i]->fd,
                           .events = channel_awaited (s->channels[i])};
    if (s->channels[i]->is_dead)
      p[i].fd = -1;
  }
  if (poll (p, s->nr_channels, waits ? -1 : 0) <= 0)
    return;
  for (i = 0; i < s->nr_channels; i++) {
    if (p[i].revents == 0)
      continue;
    channel_receive (s->channels[i], false);
    if (sends)
      channel_send (s->channels[i]);
  }
}

/* Take what has come; if WAITS, wait until something comes.  If SENDS, send
 * what is left to send, as it has to be before a wait.
 */
static void
receive_some (struct session *s, bool waits, bool sends)
{
  struct channel *c = s->channels[0];

  /* With one channel, and nothing left to send, the receive itself waits. */
  if (s->nr_channels == 1 && (!waits || (channel_awaited (c) & POLLOUT) == 0)) {
    channel_receive (c, waits);
    if (sends)
      channel_send (c);
  }
  else
    poll_channels (s, waits, sends);
}

unsigned
session_wait (struct session *s, unsigned n)
{
  const unsigned wanted = min (n, s->busy);

  /* What has come is taken first: if it is enough, fio comes back with more to
   * send, and the server still has something to do.
   */
  if (wanted > 0 && may_keep_back (s)) {
    if (s->answered.count < wanted)
      receive_some (s, false, false);
    if (s->answered.count >= wanted && may_keep_back (s))
      return s->answered.count;
  }
  send_all (s);
  if (n == 0 && s->answered.count < s->busy)
    receive_some (s, false, true);
  while (s->answered.count < wanted)
    receive_some (s, true, true);
  return s->answered.count;
}

struct channel_request *
session_take (struct session *s)
{
  struct channel_request *q = answered_take (&s->answered);

  if (q != NULL)
    s->busy--;
  return q;
}

const char *
session_why_dead (struct session *s)
{
  unsigned i;

  for (i = 0; i < s->nr_channels && !s->is_told; i++) {
    if (s->channels[i]->is_dead) {
      s->is_told = true;
      return s->channels[i]->why.text;
    }
  }
  return NULL;
}
