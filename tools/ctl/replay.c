/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Replay of a write log; see replay.h.  The log is opened twice: to count the
 * entries up to TO, and to apply or list them.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libnbd.h>

#include "power/power.h"
#include "replay.h"

#define fail(why, ...) (message_set (why, __VA_ARGS__), false)

/* The most bytes that are moved, and that are zeroed, at a time. */
#define PIECE (UINT64_C (1) << 20)
#define MAX_ZEROES (UINT64_C (1) << 30)

/* The target of a replay: a server, or else a file. */
struct replay_target {
  const char *name;
  struct nbd_handle *nbd; /* or NULL */
  int fd;
};

static bool
fail_nbd (const struct replay_target *t, struct message *why)
{
  return fail (why, "%.200s: %.200s", t->name, nbd_get_error ());
}

static bool
fail_file (const char *name, int err, struct message *why)
{
  return fail (why, "%.200s: %s", name, strerror (err));
}

static bool
is_socket (const char *name)
{
  struct stat st;

  return stat (name, &st) == 0 && S_ISSOCK (st.st_mode);
}

/* Are these two names of one file? */
static bool
is_same (const char *a, const char *b)
{
  struct stat sa, sb;

  return stat (a, &sa) == 0 && stat (b, &sb) == 0 && sa.st_dev == sb.st_dev &&
         sa.st_ino == sb.st_ino;
}

static bool
open_target (struct replay_target *t, const char *name, const char *log,
             struct message *why)
{
  const bool is_uri = strstr (name, "://") != NULL;

  *t = (struct replay_target){.name = name, .fd = -1};
  if (!is_uri && !is_socket (name)) {
    if (is_same (name, log))
      return fail (why, "%.200s: it is the log: allowed is another file", name);
    t->fd = open (name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    return t->fd >= 0 || fail_file (name, errno, why);
  }
  t->nbd = nbd_create ();
  if (t->nbd == NULL)
    return fail_nbd (t, why);
  /* The URI is the user's, who can read the files that it names. */
  nbd_set_uri_allow_local_file (t->nbd, true);
  if ((is_uri ? nbd_connect_uri (t->nbd, name)
              : nbd_connect_unix (t->nbd, name)) == -1) {
    fail_nbd (t, why);
    nbd_close (t->nbd);
    return false;
  }
  return true;
}

static bool
flush_target (struct replay_target *t, struct message *why)
{
  if (t->nbd == NULL)
    return fsync (t->fd) == 0 || errno == EINVAL ||
           fail_file (t->name, errno, why);
  if (nbd_can_flush (t->nbd) > 0 && nbd_flush (t->nbd, 0) == -1)
    return fail_nbd (t, why);
  return true;
}

static bool
close_target (struct replay_target *t, bool ok, struct message *why)
{
  if (t->nbd != NULL) {
    nbd_shutdown (t->nbd, 0);
    nbd_close (t->nbd);
  }
  else if (close (t->fd) == -1 && ok)
    ok = fail_file (t->name, errno, why);
  return ok;
}

static bool
write_piece (struct replay_target *t, const char *buf, size_t count,
             uint64_t offset, struct message *why)
{
  ssize_t r;

  if (t->nbd != NULL)
    return nbd_pwrite (t->nbd, buf, count, offset, 0) == 0 || fail_nbd (t, why);
  for (; count > 0; buf += r, count -= r, offset += r) {
    r = pwrite (t->fd, buf, count, offset);
    if (r < 0)
      return fail_file (t->name, errno, why);
  }
  return true;
}

/* Lower *COUNT, of zeroes at OFFSET, to what has to be written: nothing behind
 * the end of a file.  Returns false and the reason in *why.
 */
static bool
to_write (struct replay_target *t, uint64_t *count, uint64_t offset,
          struct message *why)
{
  struct stat st;

  if (t->nbd != NULL)
    return true;
  if (fstat (t->fd, &st) == -1)
    return fail_file (t->name, errno, why);
  if (S_ISREG (st.st_mode))
    *count = offset < (uint64_t) st.st_size
                 ? min (*count, (uint64_t) st.st_size - offset)
                 : 0;
  return true;
}

/* Zero COUNT bytes at OFFSET, if possible without sending or storing zeroes.  A
 * file does not grow by that.  BUF has room for PIECE bytes.
 */
static bool
zero_range (struct replay_target *t, char *buf, uint64_t count, uint64_t offset,
            struct message *why)
{
  uint64_t n;

  if (t->nbd != NULL && nbd_can_zero (t->nbd) > 0) {
    for (; count > 0; offset += n, count -= n) {
      n = count < MAX_ZEROES ? count : MAX_ZEROES;
      if (nbd_zero (t->nbd, n, offset, 0) == -1)
        return fail_nbd (t, why);
    }
    return true;
  }
#ifdef FALLOC_FL_PUNCH_HOLE
  if (t->nbd == NULL &&
      fallocate (t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                 (off_t) offset, (off_t) count) == 0)
    return true;
#endif
  if (!to_write (t, &count, offset, why))
    return false;
  memset (buf, 0, PIECE);
  for (; count > 0; offset += n, count -= n) {
    n = count < PIECE ? count : PIECE;
    if (!write_piece (t, buf, n, offset, why))
      return false;
  }
  return true;
}

static bool
is_zero (const char *buf, size_t count)
{
  return buf[0] == 0 && memcmp (buf, buf + 1, count - 1) == 0;
}

/* Write COUNT zeroes at OFFSET as zero_range does, but so that a file reaches
 * to their end.
 */
static bool
write_zeroes (struct replay_target *t, char *buf, uint64_t count,
              uint64_t offset, struct message *why)
{
  const uint64_t end = offset + count;
  struct stat st;

  if (!zero_range (t, buf, count, offset, why))
    return false;
  if (t->nbd != NULL)
    return true;
  if (fstat (t->fd, &st) == -1 ||
      (S_ISREG (st.st_mode) && (uint64_t) st.st_size < end &&
       ftruncate (t->fd, (off_t) end) == -1))
    return fail_file (t->name, errno, why);
  return true;
}

/* Write the data of an entry, or the zeroes of a trim.  Zeroes that were
 * written are not stored, as they were not in the device.
 */
static bool
apply (struct replay_target *t, struct writelog_reader *r,
       const struct writelog_entry *e, char *buf, struct message *why)
{
  uint64_t done, count;
  int err;

  if (!e->has_data)
    return (e->flags & WRITELOG_DISCARD) == 0 ||
           zero_range (t, buf, e->count, e->offset, why);
  for (done = 0; done < e->count; done += count) {
    count = e->count - done < PIECE ? e->count - done : PIECE;
    err = writelog_read_data (r, buf, count, done);
    if (err < 0)
      return fail (why, "entry %" PRIu64 ": its data: %s", e->nr + 1,
                   strerror (-err));
    if (!(is_zero (buf, count)
              ? write_zeroes (t, buf, count, e->offset + done, why)
              : write_piece (t, buf, count, e->offset + done, why)))
      return false;
  }
  return true;
}

static bool
open_log (struct writelog_reader **r, const char *log, struct message *why)
{
  struct message reason;

  return writelog_read_open (r, log, &reason) == 0 ||
         fail (why, "%.200s: %s", log, reason.text);
}

static bool
next (struct writelog_reader *r, const char *log, struct writelog_entry *e,
      bool *end, struct message *why)
{
  struct message reason;
  const int err = writelog_read_next (r, e, &reason);

  *end = err == 0;
  return err >= 0 || fail (why, "%.200s: %s", log, reason.text);
}

/* Count the entries up to a mark, with the mark. */
static bool
find_mark (struct writelog_reader *r, const char *log, const char *mark,
           uint64_t *n, struct message *why)
{
  struct writelog_entry e = {.nr = 0};
  bool end = false;

  do {
    if (!next (r, log, &e, &end, why))
      return false;
    if (end)
      return fail (why, "--to %.80s: the log has no such mark", mark);
  } while (e.mark == NULL || strcmp (e.mark, mark) != 0);
  *n = e.nr + 1;
  return true;
}

/* How many entries are to be applied or listed. */
static bool
count_entries (const char *log, const char *to, uint64_t *n,
               struct message *why)
{
  struct writelog_reader *r;
  uint64_t all;
  bool ok = true;

  if (!open_log (&r, log, why))
    return false;
  *n = all = writelog_read_entries (r);
  if (to != NULL && to[0] != '\0' && to[strspn (to, "0123456789")] == '\0') {
    errno = 0;
    *n = strtoull (to, NULL, 10);
    if (errno != 0 || *n > all)
      ok = fail (why, "--to %.80s: the log has %" PRIu64 " entries", to, all);
  }
  else if (to != NULL)
    ok = find_mark (r, log, to, n, why);
  writelog_read_close (r);
  return ok;
}

static bool
apply_entries (struct replay_target *t, const char *log, uint64_t n,
               struct message *why)
{
  struct writelog_entry e = {.nr = 0};
  struct writelog_reader *r;
  bool ok = true, end = false;
  char *buf;

  buf = malloc (PIECE);
  if (buf == NULL)
    return fail (why, "%s", strerror (ENOMEM));
  if (!open_log (&r, log, why)) {
    free (buf);
    return false;
  }
  for (; ok && n > 0; n--) {
    ok = next (r, log, &e, &end, why);
    if (ok && end)
      ok = fail (why, "%.200s: it ends too soon", log);
    ok = ok && apply (t, r, &e, buf, why);
  }
  writelog_read_close (r);
  free (buf);
  return ok && flush_target (t, why);
}

bool
replay (const char *log, const char *target, const char *to, uint64_t *n,
        struct message *why)
{
  struct replay_target t;

  if (!count_entries (log, to, n, why) || !open_target (&t, target, log, why))
    return false;
  return close_target (&t, apply_entries (&t, log, *n, why), why);
}

/*---------------------------------------------------------------------*/
/* The list of entries */

/* Print a mark as one line, whatever bytes it has. */
static void
print_mark (FILE *fp, const char *mark)
{
  for (; *mark != '\0'; mark++)
    putc ((unsigned char) *mark < ' ' || *mark == 0x7f ? '?' : *mark, fp);
}

static void
print_entry (FILE *fp, const struct writelog_entry *e)
{
  const bool is_trim = (e->flags & WRITELOG_DISCARD) != 0;
  const bool flushes = (e->flags & WRITELOG_FLUSH) != 0;
  char what[40];

  snprintf (what, sizeof what, "%s%s%s%s",
            e->mark != NULL ? "mark"
            : is_trim       ? "trim"
            : e->has_data   ? "write"
                            : "flush",
            flushes && (is_trim || e->has_data) ? "+flush" : "",
            e->flags & WRITELOG_FUA ? "+fua" : "",
            e->flags & WRITELOG_METADATA ? "+metadata" : "");
  fprintf (fp, "%8" PRIu64 " ", e->nr + 1);
  if (e->mark != NULL) {
    fprintf (fp, "%s ", what);
    print_mark (fp, e->mark);
  }
  else if (e->count > 0)
    fprintf (fp, "%-9s %" PRIu64 "+%" PRIu64, what, e->offset, e->count);
  else
    fputs (what, fp);
  putc ('\n', fp);
}

bool
replay_list (FILE *fp, const char *log, const char *to, struct message *why)
{
  struct writelog_entry e = {.nr = 0};
  struct writelog_reader *r;
  bool ok = true, end = false;
  uint64_t n;

  if (!count_entries (log, to, &n, why) || !open_log (&r, log, why))
    return false;
  fprintf (fp, "%8s %-9s %s\n", "number", "entry", "offset+length, or mark");
  for (; ok && n > 0; n--) {
    ok = next (r, log, &e, &end, why);
    if (ok && end)
      ok = fail (why, "%.200s: it ends too soon", log);
    if (ok)
      print_entry (fp, &e);
  }
  writelog_read_close (r);
  return ok;
}
