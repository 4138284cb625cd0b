/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The control exports; see control.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control-internal.h"
#include "device/device.h"

const char *const document_suffix[NR_DOCUMENTS] = {
    [DOCUMENT_CONFIG] = ".config",
    [DOCUMENT_STATS] = ".stats",
    [DOCUMENT_ZONES] = ".zones",
};

const char *const document_title[NR_DOCUMENTS] = {
    [DOCUMENT_CONFIG] = "settings",
    [DOCUMENT_STATS] = "statistics",
    [DOCUMENT_ZONES] = "zones",
};

bool
control_exists (const struct device *d, enum document document)
{
  return document != DOCUMENT_ZONES || d->zones != NULL;
}

enum document
control_document (const struct control *c)
{
  return c->document;
}

uint64_t
control_size (const struct control *c)
{
  if (c->document == DOCUMENT_ZONES)
    return zones_total (c->device->zones) * ZONE_DESCRIPTOR_SIZE;
  return control_text_size (c->document);
}

uint32_t
control_block_size (const struct control *c)
{
  return c->document == DOCUMENT_ZONES ? ZONE_DESCRIPTOR_SIZE : 1;
}

bool
control_can_write (const struct control *c)
{
  return c->document != DOCUMENT_STATS;
}

/*---------------------------------------------------------------------*/
/* Texts */

/* A filter of nbdkit may let several clients use one connection, in turns. */
static uint64_t
client_of (const struct connection *c)
{
  return c->front_end->client_id != NULL ? c->front_end->client_id () : 0;
}

/* A text is followed by new lines up to the end of the export.  When as many
 * bytes have been read as there are, it is not kept.  No client reads on in a
 * text that was made for another one.
 */
static int
read_text (struct connection *connection, char *buf, uint32_t count,
           uint64_t offset)
{
  struct control *c = control_of (connection);
  const uint64_t client = client_of (connection);
  uint64_t n = 0;
  int r = 0;

  pthread_mutex_lock (&c->lock);
  if (offset == 0 || c->text == NULL || c->text_of != client)
    r = control_make_text (c, client);
  if (r == 0) {
    if (offset < c->used)
      n = c->used - offset < count ? c->used - offset : count;
    if (n > 0)
      memcpy (buf, c->text + offset, n);
    memset (buf + n, '\n', count - n);
    c->left -= c->left < count ? c->left : count;
    if (c->left == 0) {
      free (c->text);
      c->text = NULL;
    }
  }
  pthread_mutex_unlock (&c->lock);
  return r;
}

static int
write_text (struct connection *connection, const void *buf, uint32_t count,
            uint64_t offset, struct message *why)
{
  struct control *c = control_of (connection);
  const uint64_t client = client_of (connection);
  char *text;
  int r;

  message_set (why, "%s", strerror (ENOMEM));
  if (offset != 0)
    r = refuse (why, "a write at offset %" PRIu64 ": allowed is 0", offset);
  else {
    text = malloc ((size_t) count + 1);
    r = -ENOMEM;
    if (text != NULL) {
      memcpy (text, buf, count);
      r = control_change (connection, text, count, why);
      free (text);
    }
  }
  pthread_mutex_lock (&c->lock);
  if (r < 0) {
    c->error = *why;
    c->error_of = client;
  }
  else if (c->error_of == client)
    c->error.text[0] = '\0';
  pthread_mutex_unlock (&c->lock);
  return r;
}

/*---------------------------------------------------------------------*/
/* The zone table */

static bool
is_whole (uint32_t count, uint64_t offset)
{
  return ((offset | count) & (ZONE_DESCRIPTOR_SIZE - 1)) == 0;
}

/* BUF is nbdkit's, and aligned as malloc does it. */
static int
read_zones (struct control *c, void *buf, uint32_t count, uint64_t offset)
{
  if (!is_whole (count, offset))
    return -EINVAL;
  zones_read_table (c->device->zones, offset / ZONE_DESCRIPTOR_SIZE, buf,
                    count / ZONE_DESCRIPTOR_SIZE);
  return 0;
}

static int
write_zones (struct connection *c, const void *buf, uint32_t count,
             uint64_t offset, struct message *why)
{
  const struct zone_descriptor *descriptors = buf;
  const uint64_t first = offset / ZONE_DESCRIPTOR_SIZE;
  uint64_t done;
  int r;

  if (!is_whole (count, offset)) {
    message_set (why,
                 "a write of %" PRIu32 " bytes at offset %" PRIu64
                 ": allowed are whole zone descriptors of %d bytes",
                 count, offset, ZONE_DESCRIPTOR_SIZE);
    return -EINVAL;
  }
  r = device_zone_commands (c, first, descriptors, count / ZONE_DESCRIPTOR_SIZE,
                            &done);
  if (r < 0 && done < count / ZONE_DESCRIPTOR_SIZE)
    message_set (why,
                 "zone %" PRIu64 ": no change to condition 0x%x: %s; %" PRIu64
                 " before it are done",
                 first + done, descriptors[done].cond, strerror (-r), done);
  else if (r < 0)
    message_set (why, "%s", strerror (-r));
  return r;
}

/*---------------------------------------------------------------------*/

int
control_read (struct connection *c, void *buf, uint32_t count, uint64_t offset)
{
  struct control *control = control_of (c);

  return control->document == DOCUMENT_ZONES
             ? read_zones (control, buf, count, offset)
             : read_text (c, buf, count, offset);
}

int
control_write (struct connection *c, const void *buf, uint32_t count,
               uint64_t offset, struct message *why)
{
  return control_of (c)->document == DOCUMENT_ZONES
             ? write_zones (c, buf, count, offset, why)
             : write_text (c, buf, count, offset, why);
}

/*---------------------------------------------------------------------*/
/* Connections */

static struct control *
control_create (struct device *d, enum document document)
{
  struct control *c;

  c = malloc (sizeof *c);
  if (c == NULL)
    return NULL;
  c->document = document;
  c->device = d;
  c->error.text[0] = '\0';
  memset (c->done, 0, sizeof c->done);
  c->error_of = c->text_of = 0;
  c->text = NULL;
  pthread_mutex_init (&c->lock, NULL);
  return c;
}

static void
control_destroy (void *opaque)
{
  struct control *c = opaque;

  pthread_mutex_destroy (&c->lock);
  free (c->text);
  free (c);
}

struct control *
control_of (const struct connection *c)
{
  return c->control;
}

/* The document that NAME, which has room for it, means; its suffix is cut off.
 * NR_DOCUMENTS where it is a device's own.
 */
static enum document
cut_suffix (char *name)
{
  char *suffix = strrchr (name, '.');
  enum document i = NR_DOCUMENTS;

  if (suffix != NULL) {
    for (i = 0; i < NR_DOCUMENTS; i++) {
      if (strcmp (suffix, document_suffix[i]) == 0) {
        *suffix = '\0';
        break;
      }
    }
  }
  return i;
}

int
control_connect (struct devices *devices, const char *export, bool may_control,
                 struct connection **r_connection)
{
  struct control *control = NULL;
  enum document document;
  struct device *d;
  char name[64];

  if (strlen (export) >= sizeof name)
    return -ENOENT;
  strcpy (name, export);
  document = cut_suffix (name);
  if (document != NR_DOCUMENTS && (!may_control || name[0] == '\0'))
    return -ENOENT;
  d = devices_find (devices, name);
  if (d == NULL)
    return -ENOENT;
  if (document != NR_DOCUMENTS && !control_exists (d, document))
    return -ENOENT;
  if (document != NR_DOCUMENTS) {
    control = control_create (d, document);
    if (control == NULL)
      return -ENOMEM;
  }
  *r_connection = control != NULL
                      ? device_connect_control (d, control, control_destroy)
                      : device_connect (d, NULL);
  if (*r_connection == NULL) {
    if (control != NULL)
      control_destroy (control);
    return -ENOMEM;
  }
  return 0;
}
