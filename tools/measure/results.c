/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * See results.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "die.h"
#include "options.h"
#include "results.h"
#include "settings/settings.h"

#define die(...) die_as ("nullblk-measure", __VA_ARGS__)

/* The first line of the file, which differs if it is of another measurement. */
static void
format_head (struct message *head, const struct target *t)
{
  message_set (head, "# nullblk-measure: %u s of %.200s with %" PRIu64 " bytes",
               options.seconds, t->name, t->drive.size);
}

/* A line that was cut short as it was written may look like a whole one: what
 * stands behind the last newline goes.
 */
static void
drop_torn_line (const struct results *results, char *text, size_t len)
{
  while (len > 0 && text[len - 1] != '\n')
    len--;
  if (text[len] != '\0' && truncate (results->path, len) == -1)
    die ("%s: %s", results->path, strerror (errno));
  text[len] = '\0';
}

static void
take_results (struct results *results, const char *text, const char *head)
{
  static const char version[] = "\n# fio: ";
  const size_t len = strcspn (text, "\n");
  const char *at = strstr (text, version);
  struct message why;

  if (len != strlen (head) || strncmp (text, head, len) != 0)
    die ("%s: it is of another measurement; allowed is to go on with that, or "
         "--restart",
         results->path);
  if (at != NULL)
    snprintf (results->version, sizeof results->version, "%.*s",
              (int) strcspn (at + sizeof version - 1, "\n"),
              at + sizeof version - 1);
  if (figures_parse_text (text, &results->list, &why) < 0)
    die ("%s: %s", results->path, why.text);
  /* A sustained load is one measurement: the drive has had a rest since, so
   * parts of before say nothing of those that would follow.
   */
  figures_drop_sustained (&results->list);
  fprintf (stderr, "nullblk-measure: %s: %zu cells are done already\n",
           results->path, results->list.n);
}

/* Open the file, which no other nullblk-measure may write to meanwhile, where
 * its filesystem has locks: it would take results of this one for its own, or
 * delete them.  One that has just ended removes its file before it unlocks it,
 * see results_close; then this makes another.
 */
static void
open_file (struct results *results)
{
  struct stat st, named;

  do {
    if (results->fp != NULL)
      fclose (results->fp);
    results->fp = fopen (results->path, "a+e");
    if (results->fp == NULL)
      die ("%s: %s", results->path, strerror (errno));
    if (flock (fileno (results->fp), LOCK_EX | LOCK_NB) == -1 &&
        errno != ENOLCK && errno != ENOSYS && errno != EOPNOTSUPP)
      die ("%s: another nullblk-measure writes to it", results->path);
    if (fstat (fileno (results->fp), &st) == -1)
      die ("%s: %s", results->path, strerror (errno));
  } while (stat (results->path, &named) == -1 || named.st_dev != st.st_dev ||
           named.st_ino != st.st_ino);
  if (options.restart && ftruncate (fileno (results->fp), 0) == -1)
    die ("%s: %s", results->path, strerror (errno));
}

void
results_open (struct results *results, const struct target *t)
{
  struct message head, why;
  bool has_head;
  char *text;
  size_t len;

  memset (results, 0, sizeof *results);
  if (options.output == NULL)
    return;
  snprintf (results->path, sizeof results->path, "%.4000s.part",
            options.output);
  format_head (&head, t);
  open_file (results);
  if (textfile_read (results->path, MAX_MODEL_FILE, &text, &len, &why) < 0)
    die ("%s: %s", results->path, why.text);
  drop_torn_line (results, text, len);
  has_head = text[0] != '\0';
  if (has_head)
    take_results (results, text, head.text);
  free (text);
  if (!has_head) {
    fprintf (results->fp, "%s\n", head.text);
    fflush (results->fp);
  }
}

void
results_add (struct results *results, const struct figures *f)
{
  figures_add (&results->list, f);
  if (results->fp == NULL)
    return;
  if (results->list.n == 1)
    fprintf (results->fp, "# fio: %s\n", results->version);
  figures_print (results->fp, f);
  if (fflush (results->fp) == EOF)
    die ("%s: %s", results->path, strerror (errno));
}

void
results_close (struct results *results)
{
  if (results->fp != NULL) {
    unlink (results->path);
    fclose (results->fp);
  }
  free (results->list.f);
}
