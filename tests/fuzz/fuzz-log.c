/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Write logs.  Where the first byte is even, the rest is a log that is read,
 * listed and replayed to a server; where it is odd, it is changes that are
 * logged, and must be read back as they were.
 *
 * The log is a file in memory, and what is replayed goes to fuzz-nbd.c.
 */

#include <config.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ctl/replay.h"
#include "fuzz-nbd.h"
#include "fuzz.h"
#include "power/power.h"

#define MOST_ENTRIES 300
#define MOST_CHANGES 60
#define TARGET "nbd://host/nullb0"

static int fd = -1;
static char path[40];

static void
begin_file (const uint8_t *data, size_t size)
{
  if (fd == -1) {
    fd = memfd_create ("log", 0);
    CHECK (fd >= 0);
    snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  }
  CHECK (ftruncate (fd, 0) == 0);
  CHECK (size == 0 || pwrite (fd, data, size, 0) == (ssize_t) size);
}

static void
read_entries (void)
{
  struct writelog_reader *r;
  struct message why = {{0}};
  struct writelog_entry e;
  char piece[4096];
  unsigned n;
  int err = writelog_read_open (&r, path, &why);

  if (err != 0) {
    CHECK (err == -EINVAL && why.text[0] != '\0');
    return;
  }
  for (n = 0; n < MOST_ENTRIES; n++) {
    why.text[0] = '\0';
    err = writelog_read_next (r, &e, &why);
    CHECK (err >= 0 || why.text[0] != '\0');
    if (err <= 0)
      break;
    CHECK (e.nr == n && n < writelog_read_entries (r));
    CHECK (e.offset <= INT64_MAX && e.count <= INT64_MAX - e.offset);
    CHECK (e.mark == NULL || strlen (e.mark) < writelog_read_sector_size (r));
    if (e.has_data && e.count <= sizeof piece)
      CHECK (writelog_read_data (r, piece, e.count, 0) == 0);
    CHECK (writelog_read_data (r, piece, sizeof piece, e.count) < 0);
    CHECK (writelog_read_data (r, piece, 1, UINT64_MAX) < 0);
  }
  writelog_read_close (r);
}

static void
read_log (struct input *in)
{
  char *mark = take_up_to (in, '\n', NULL), *list = NULL;
  struct message why = {{0}};
  size_t len = 0;
  uint64_t n;
  FILE *fp;

  begin_file (in->p, in->left);
  read_entries ();
  fp = open_memstream (&list, &len);
  CHECK (fp != NULL);
  CHECK (replay_list (fp, path, mark[0] != '\0' ? mark : NULL, &why) ||
         why.text[0] != '\0');
  fclose (fp);
  fuzz_check_text (list, len);
  free (list);
  fuzz_nbd_begin (NULL);
  why.text[0] = '\0';
  CHECK (replay (path, TARGET, mark[0] != '\0' ? mark : NULL, &n, &why) ||
         why.text[0] != '\0');
  fuzz_nbd_end ();
  free (mark);
}

/*---------------------------------------------------------------------*/

static struct change {
  unsigned kind; /* write, zero, trim, flush, mark */
  uint64_t offset, count;
  bool fua, kept;
  uint8_t byte;
} changes[MOST_CHANGES];

static int
log_one (struct writelog *log, struct input *in, struct change *c)
{
  static char buf[65536];
  const unsigned what = take (in, 1);

  *c = (struct change){.kind = what % 5,
                       .offset = take (in, 5) * 512,
                       .count = (1 + what / 8) * UINT64_C (512),
                       .fua = what & 64,
                       .kept = !(what & 128),
                       .byte = what};
  switch (c->kind) {
  case 0:
    memset (buf, c->byte, c->count);
    return writelog_write (log, buf, c->count, c->offset, c->fua);
  case 1:
    return writelog_zero (log, c->count, c->offset, c->fua);
  case 2:
    return writelog_trim (log, c->count, c->offset, c->fua);
  case 3:
    return writelog_flush (log);
  default:
    return writelog_mark (log, "mark");
  }
}

static void
check_one (struct writelog_reader *r, const struct change *c)
{
  struct writelog_entry e;
  struct message why;
  char piece[512];

  CHECK (writelog_read_next (r, &e, &why) == 1);
  if (c->kind == 4) {
    CHECK (e.mark != NULL && strcmp (e.mark, "mark") == 0);
    return;
  }
  CHECK (e.mark == NULL);
  if (c->kind == 3) {
    CHECK (e.count == 0 && (e.flags & WRITELOG_FLUSH));
    return;
  }
  CHECK (e.offset == c->offset && e.count == c->count);
  CHECK (e.has_data == (c->kind != 2));
  CHECK ((e.flags & WRITELOG_DISCARD) == (c->kind == 2 ? WRITELOG_DISCARD : 0));
  if (c->kind != 2)
    CHECK ((e.flags & WRITELOG_FUA) == (c->fua ? WRITELOG_FUA : 0));
  if (!e.has_data)
    return;
  CHECK (writelog_read_data (r, piece, sizeof piece, e.count - 512) == 0);
  CHECK ((uint8_t) piece[511] == (c->kind == 0 ? c->byte : 0));
}

static void
write_log (struct input *in)
{
  struct writelog_reader *r;
  struct message why = {{0}};
  struct writelog_entry e;
  struct writelog *log;
  unsigned n, i;

  begin_file (NULL, 0);
  CHECK (writelog_open (&log, path, 512, &why) == 0);
  CHECK (writelog_start (log) == 0);
  for (n = 0; n < MOST_CHANGES && in->left > 0; n++) {
    writelog_begin (log);
    CHECK (log_one (log, in, &changes[n]) == 0);
    CHECK (writelog_end (log, changes[n].kept) == 0);
  }
  CHECK (writelog_close (log) == 0);
  CHECK (writelog_read_open (&r, path, &why) == 0);
  for (i = 0; i < n; i++) {
    if (changes[i].kept)
      check_one (r, &changes[i]);
  }
  CHECK (writelog_read_next (r, &e, &why) == 0);
  writelog_read_close (r);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct input in = {data, size};

  fuzz_begin ();
  if (take (&in, 1) % 2 == 0)
    read_log (&in);
  else
    write_log (&in);
  return 0;
}
