/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * NBD's requests and replies as bytes; see nbdwire.h.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nbdwire.h"

#define REQUEST_MAGIC 0x25609513
#define REPLY_MAGIC 0x67446698

void
nbd_put_request (uint8_t *p, enum nbd_command type, unsigned flags,
                 uint64_t cookie, uint64_t offset, uint32_t count)
{
  const uint32_t magic = htobe32 (REQUEST_MAGIC);
  const uint16_t flags_on_wire = htobe16 (flags);
  const uint16_t type_on_wire = htobe16 (type);

  cookie = htobe64 (cookie);
  offset = htobe64 (offset);
  count = htobe32 (count);
  memcpy (p, &magic, 4);
  memcpy (p + 4, &flags_on_wire, 2);
  memcpy (p + 6, &type_on_wire, 2);
  memcpy (p + 8, &cookie, 8);
  memcpy (p + 16, &offset, 8);
  memcpy (p + 24, &count, 4);
}

static int
error_of (uint32_t error)
{
  switch (error) {
  case 0:
    return 0;
  case 1:
    return -EPERM;
  case 12:
    return -ENOMEM;
  case 22:
    return -EINVAL;
  case 28:
    return -ENOSPC;
  case 75:
    return -EOVERFLOW;
  case 95:
    return -EOPNOTSUPP;
  case 108:
    return -ESHUTDOWN;
  default:
    return -EIO;
  }
}

bool
nbd_take_reply (const uint8_t *p, uint64_t *cookie, int *err)
{
  uint32_t magic, error;

  memcpy (&magic, p, 4);
  memcpy (&error, p + 4, 4);
  memcpy (cookie, p + 8, 8);
  *cookie = be64toh (*cookie);
  *err = error_of (be32toh (error));
  return be32toh (magic) == REPLY_MAGIC;
}

/*---------------------------------------------------------------------*/
/* The table */

static bool
grow (struct sent_table *t)
{
  const uint32_t size = t->size != 0 ? 2 * t->size : 32;
  struct sent *entry = realloc (t->entry, size * sizeof *entry);
  uint32_t i;

  if (entry == NULL)
    return false;
  for (i = t->size; i < size; i++)
    entry[i] = (struct sent){.next_free = i + 1 < size ? i + 2 : 0};
  t->first_free = t->size + 1;
  t->entry = entry;
  t->size = size;
  return true;
}

bool
sent_add (struct sent_table *t, void *request, uint64_t *cookie)
{
  uint32_t i;

  if (t->first_free == 0 && !grow (t))
    return false;
  i = t->first_free - 1;
  t->first_free = t->entry[i].next_free;
  t->entry[i].request = request;
  *cookie = (uint64_t) t->entry[i].number << 32 | i;
  return true;
}

void *
sent_find (const struct sent_table *t, uint64_t cookie)
{
  const uint32_t i = cookie & UINT32_MAX;

  return i < t->size && t->entry[i].number == cookie >> 32 ? t->entry[i].request
                                                           : NULL;
}

void
sent_remove (struct sent_table *t, uint64_t cookie)
{
  const uint32_t i = cookie & UINT32_MAX;

  t->entry[i].request = NULL;
  t->entry[i].number++;
  t->entry[i].next_free = t->first_free;
  t->first_free = i + 1;
}

void *
sent_take_any (struct sent_table *t)
{
  void *request;
  uint32_t i;

  for (i = 0; i < t->size; i++) {
    request = t->entry[i].request;
    if (request != NULL) {
      sent_remove (t, (uint64_t) t->entry[i].number << 32 | i);
      return request;
    }
  }
  return NULL;
}

void
sent_destroy (struct sent_table *t)
{
  free (t->entry);
  *t = (struct sent_table){.size = 0};
}
