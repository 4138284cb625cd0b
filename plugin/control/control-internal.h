/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For the files of control exports: control.c has the exports, control-text.c
 * makes the documents that are texts, control-change.c carries out a text that
 * is written, and control-filters.c has the filters of nbdkit that would
 * falsify these exports.
 */

#ifndef NULLBLK_CONTROL_INTERNAL_H
#define NULLBLK_CONTROL_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "control.h"

/* A client gives its change a tag, by which it finds the change among those
 * that were done: up to 31 letters, digits and '-'.
 */
#define TAG_SIZE 32
#define MAX_TAGS 8

struct control {
  enum document document;
  struct device *device;

  pthread_mutex_t lock;          /* guards what follows */
  struct message error;          /* "" or why the last change was refused */
  uint64_t error_of;             /* the client who asked for that change */
  char done[MAX_TAGS][TAG_SIZE]; /* tags of the last changes; the rest "" */
  char *text;       /* NULL, or the text that is being read, without padding */
  uint64_t text_of; /* the client who reads the text */
  size_t used;      /* bytes of the text */
  uint64_t left;    /* bytes to be read, with padding, before it is freed */
};

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

/* Returns the size in bytes of a document that is a text. */
size_t control_text_size (enum document document);

/* Make c->text anew, as CLIENT is to read the document now.  control.lock is
 * held.  Returns 0; or -ENOMEM, and c->text is NULL.
 */
int control_make_text (struct control *c, uint64_t client);

/* Carry out the lines of TEXT, all or none; but a reset of zones, and then a
 * mark, come last, and may fail when everything else has been done.  TEXT has
 * room for LEN + 1 bytes, and is changed.  Returns 0; or -EINVAL, or the error
 * of that reset or mark, with the reason in *why; or -ENOMEM.
 */
int control_change (struct connection *c, char *text, size_t len,
                    struct message *why);

/* Do as control_check_filters for the file PATH, which is loaded.  IS_1_46:
 * nbdkit is 1.46 or later.
 */
int control_check_filter (const char *path, bool is_1_46,
                          const struct settings *s, struct message *why);

#endif /* NULLBLK_CONTROL_INTERNAL_H */
