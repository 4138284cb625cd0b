/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * See part.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "die.h"
#include "options.h"
#include "part.h"
#include "settings/settings.h"

#define die(...) die_as ("nullblk-measure", __VA_ARGS__)

/* The first line: of another measurement nothing can be taken. */
static void
format_head (struct message *head, const struct target *t)
{
  message_set (head, "# nullblk-measure: %u s of %.200s with %" PRIu64 " bytes",
               options.seconds, t->name, t->drive.size);
}

/* A sustained load is one measurement: the drive has drained since, so parts of
 * before say nothing of those that would follow.
 */
static void
forget_sustained (struct figures_list *list)
{
  size_t i, n = 0;

  for (i = 0; i < list->n; i++) {
    if (list->f[i].cell.kind != SUSTAIN)
      list->f[n++] = list->f[i];
  }
  list->n = n;
}

/* A line that was cut short as it was written may look like a whole one: what
 * stands behind the last newline goes.
 */
static void
drop_torn_line (const struct part *part, char *text, size_t len)
{
  while (len > 0 && text[len - 1] != '\n')
    len--;
  if (text[len] != '\0' && truncate (part->path, len) == -1)
    die ("%s: %s", part->path, strerror (errno));
  text[len] = '\0';
}

static void
take_part (struct part *part, const char *text, const char *head)
{
  static const char version[] = "\n# fio: ";
  const size_t len = strcspn (text, "\n");
  const char *at = strstr (text, version);
  struct message why;

  if (len != strlen (head) || strncmp (text, head, len) != 0)
    die ("%s: it is of another measurement; allowed is to go on with that, or "
         "--restart",
         part->path);
  if (at != NULL)
    snprintf (part->version, sizeof part->version, "%.*s",
              (int) strcspn (at + sizeof version - 1, "\n"),
              at + sizeof version - 1);
  if (figures_parse_text (text, &part->list, &why) < 0)
    die ("%s: %s", part->path, why.text);
  forget_sustained (&part->list);
  fprintf (stderr, "nullblk-measure: %s: %zu cells are done already\n",
           part->path, part->list.n);
}

void
part_open (struct part *part, const struct target *t)
{
  bool has_head = false;
  struct message head, why;
  char *text;
  size_t len;

  memset (part, 0, sizeof *part);
  if (options.output == NULL)
    return;
  snprintf (part->path, sizeof part->path, "%.4000s.part", options.output);
  format_head (&head, t);
  if (options.restart)
    unlink (part->path);
  if (access (part->path, F_OK) == 0) {
    if (textfile_read (part->path, MAX_MODEL_FILE, &text, &len, &why) < 0)
      die ("%s: %s", part->path, why.text);
    drop_torn_line (part, text, len);
    has_head = text[0] != '\0';
    if (has_head)
      take_part (part, text, head.text);
    free (text);
  }
  part->fp = fopen (part->path, "ae");
  if (part->fp == NULL)
    die ("%s: %s", part->path, strerror (errno));
  if (!has_head) {
    fprintf (part->fp, "%s\n", head.text);
    fflush (part->fp);
  }
}

void
part_add (struct part *part, const struct figures *f)
{
  figures_add (&part->list, f);
  if (part->fp == NULL)
    return;
  if (part->list.n == 1)
    fprintf (part->fp, "# fio: %s\n", part->version);
  figures_print (part->fp, f);
  if (fflush (part->fp) == EOF)
    die ("%s: %s", part->path, strerror (errno));
}

void
part_close (struct part *part)
{
  if (part->fp != NULL) {
    fclose (part->fp);
    unlink (part->path);
  }
  free (part->list.f);
}
