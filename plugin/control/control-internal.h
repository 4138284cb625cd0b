/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The control exports, for their own files: control.c has the exports,
 * control-text.c makes the documents that are texts, control-change.c does what
 * one that is written says, control-filters.c knows which filters of nbdkit
 * stand in the way.  Nobody else includes this.
 */

#ifndef NULLBLK_CONTROL_INTERNAL_H
#define NULLBLK_CONTROL_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "control.h"

/* A tag is what a client gives a change, to find it among those that were
 * done: up to 31 letters, digits and '-'.
 */
#define TAG_SIZE 32
#define MOST_TAGS 8

struct control {
  enum document document;
  struct device *device;

  pthread_mutex_t lock;           /* guards what follows */
  struct message error;           /* "" or why the last change was refused */
  uint64_t error_of;              /* the client who asked for that change */
  char done[MOST_TAGS][TAG_SIZE]; /* of the last changes; the rest are "" */
  char *text;       /* NULL, or what is being read, without its padding */
  uint64_t text_of; /* the client who reads it */
  size_t used;      /* bytes of it */
  uint64_t left;    /* bytes, with the padding, to be read before it goes */
};

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

/* Bytes of text; zones have none. */
size_t control_text_size (enum document document);

/* Make a text of what a document has to tell CLIENT now, in the place of the
 * one that is there.  control.lock is held.  Returns 0; or -ENOMEM, and there
 * is none.
 */
int control_make_text (struct control *c, uint64_t client);

/* Do what the lines of TEXT say, all or nothing; the text is changed.  Returns
 * 0, or -EINVAL, or what a reset of zones or a mark fails with, and the reason
 * in *why, or -ENOMEM.
 */
int control_change (struct connection *c, char *text, size_t len,
                    struct message *why);

/* control_check_filters for one file that is loaded.  IS_1_46: nbdkit is of
 * that version or a later one.
 */
int control_check_filter (const char *path, bool is_1_46,
                          const struct settings *s, struct message *why);

#endif /* NULLBLK_CONTROL_INTERNAL_H */
