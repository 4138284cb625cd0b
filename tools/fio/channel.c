/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests that are answered; see channel.h.
 */

#include <config.h>

#include "channel.h"

void
answered_init (struct answered_list *a)
{
  *a = (struct answered_list){.last = &a->first};
}

void
answered_add (struct answered_list *a, struct channel_request *q, int err)
{
  q->err = err;
  q->next = NULL;
  *a->last = q;
  a->last = &q->next;
  a->count++;
}

struct channel_request *
answered_take (struct answered_list *a)
{
  struct channel_request *q = a->first;

  if (q == NULL)
    return NULL;
  a->first = q->next;
  if (a->first == NULL)
    a->last = &a->first;
  a->count--;
  return q;
}
