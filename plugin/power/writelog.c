/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The write log; writelog.h says what it promises.
 *
 *     sector 0     1        2 ...                      all little endian
 *     | super    | entry  | its data         | entry | entry  | data ...
 *
 *     super   u64 magic, u64 version, u64 number of entries, u32 sector size
 *     entry   u64 sector, u64 sectors, u64 flags, u64 length of a mark,
 *             then the mark and a NUL
 *
 * Both take a whole sector, filled up with zeroes.  An entry is followed by its
 * data; that of a DISCARD has none.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/common.h"
#include "writelog.h"

#define LOG_MAGIC UINT64_C (0x6a736677736872)
#define LOG_VERSION 1
#define SUPER_SIZE 28
#define ENTRY_SIZE 32
#define MAX_SECTOR 65536

/* Replay tools read the data of an entry at once. */
#define MAX_ZERO (UINT64_C (64) << 20)

struct position {
  uint64_t entries;
  uint64_t end; /* of the file */
};

struct writelog {
  int fd;
  uint32_t sector_size;

  /* Guards all that follows, and the file.  A thread that makes a change holds
   * it for one step (STORE_STEP), and may write to the file meanwhile.
   */
  pthread_mutex_t lock;
  char *sector; /* an entry or the super block, being put together */
  struct position now;
  struct position begun; /* when the lock was taken */
  bool renew;            /* the super block is to be written */
  bool is_started;       /* the file has this log, and nothing else */
  int error;
};

static void
put (char *to, uint64_t n, unsigned bytes)
{
  for (; bytes > 0; bytes--, n >>= 8)
    *to++ = (char) n;
}

static uint64_t
get (const char *from, unsigned bytes)
{
  uint64_t n = 0;

  while (bytes-- > 0)
    n = n << 8 | (uint8_t) from[bytes];
  return n;
}

/*---------------------------------------------------------------------*/
/* Writing */

/* Write all of IOV, which is changed.  Returns 0 or a negative errno. */
static int
write_all (int fd, struct iovec *iov, int nr, uint64_t offset)
{
  ssize_t n;

  while (nr > 0) {
    n = pwritev (fd, iov, nr, offset);
    if (n == -1 && errno == EINTR)
      continue;
    if (n <= 0)
      return n == -1 ? -errno : -ENOSPC;
    offset += n;
    for (; nr > 0 && (size_t) n >= iov->iov_len; iov++, nr--)
      n -= iov->iov_len;
    if (nr > 0) {
      iov->iov_base = (char *) iov->iov_base + n;
      iov->iov_len -= n;
    }
  }
  return 0;
}

static int
write_super (struct writelog *log)
{
  struct iovec iov = {log->sector, log->sector_size};

  memset (log->sector, 0, log->sector_size);
  put (log->sector, LOG_MAGIC, 8);
  put (log->sector + 8, LOG_VERSION, 8);
  put (log->sector + 16, log->now.entries, 8);
  put (log->sector + 24, log->sector_size, 4);
  return write_all (log->fd, &iov, 1, 0);
}

/* Make the file end where the log does: past a hole, or before what is taken
 * back.
 */
static int
set_end (struct writelog *log)
{
  return ftruncate (log->fd, log->now.end) == -1 ? -errno : 0;
}

static void
take_back (struct writelog *log)
{
  int r;

  log->now = log->begun;
  r = set_end (log);
  if (r < 0 && log->error == 0)
    log->error = r;
}

/* The log ends where the request at hand began. */
static int
end_log (struct writelog *log, int error)
{
  log->error = error;
  take_back (log);
  write_super (log);
  return -EIO;
}

/* Empty the file, unless that was done.  The lock is held, or nobody else has
 * the log yet.
 */
static int
start (struct writelog *log)
{
  int r;

  if (log->is_started)
    return 0;
  if (ftruncate (log->fd, 0) == -1)
    return -errno;
  r = write_super (log);
  log->is_started = r == 0;
  return r;
}

/* Append an entry; DATA, if not NULL, are COUNT bytes of it.  The lock is held.
 */
static int
append (struct writelog *log, uint64_t flags, uint64_t offset, uint64_t count,
        const void *data, const char *mark)
{
  const size_t mark_len = strlen (mark);
  struct iovec iov[2] = {
      {log->sector, log->sector_size},
      {(void *) (uintptr_t) data, count},
  };
  int r;

  if (log->error != 0)
    return 0;
  r = start (log);
  if (r < 0)
    return end_log (log, r);
  memset (log->sector, 0, log->sector_size);
  put (log->sector, offset / log->sector_size, 8);
  put (log->sector + 8, count / log->sector_size, 8);
  put (log->sector + 16, flags, 8);
  put (log->sector + 24, mark_len, 8);
  memcpy (log->sector + ENTRY_SIZE, mark, mark_len);
  r = write_all (log->fd, iov, data != NULL ? 2 : 1, log->now.end);
  if (r < 0)
    return end_log (log, r);
  log->now.entries++;
  log->now.end += log->sector_size;
  if ((flags & WRITELOG_DISCARD) == 0)
    log->now.end += count;
  log->renew |= (flags & (WRITELOG_FLUSH | WRITELOG_FUA | WRITELOG_MARK)) != 0;
  return 0;
}

void
writelog_begin (struct writelog *log)
{
  lock (&log->lock);
  log->begun = log->now;
  log->renew = false;
}

int
writelog_end (struct writelog *log, bool keep)
{
  int r = 0;

  if (log->error == 0) {
    if (!keep) {
      if (log->now.end != log->begun.end)
        take_back (log);
    }
    else if (log->renew) {
      r = write_super (log);
      if (r < 0)
        r = end_log (log, r);
    }
  }
  unlock (&log->lock);
  return r;
}

int
writelog_write (struct writelog *log, const void *buf, uint64_t count,
                uint64_t offset, bool fua)
{
  return append (log, fua ? WRITELOG_FUA : 0, offset, count, buf, "");
}

int
writelog_zero (struct writelog *log, uint64_t count, uint64_t offset, bool fua)
{
  uint64_t len;
  int r = 0;

  for (; count > 0 && r == 0; offset += len, count -= len) {
    len = min (count, MAX_ZERO);
    r = append (log, fua && len == count ? WRITELOG_FUA : 0, offset, len, NULL,
                "");
  }
  if (r == 0 && log->error == 0) {
    r = set_end (log);
    if (r < 0)
      r = end_log (log, r);
  }
  return r;
}

int
writelog_trim (struct writelog *log, uint64_t count, uint64_t offset, bool fua)
{
  return append (log, WRITELOG_DISCARD | (fua ? WRITELOG_FUA : 0), offset,
                 count, NULL, "");
}

int
writelog_flush (struct writelog *log)
{
  return append (log, WRITELOG_FLUSH, 0, 0, NULL, "");
}

size_t
writelog_longest_mark (const struct writelog *log)
{
  return log->sector_size - ENTRY_SIZE - 1;
}

int
writelog_mark (struct writelog *log, const char *text)
{
  if (strlen (text) > writelog_longest_mark (log))
    return -EINVAL;
  if (log->error != 0)
    return -EIO;
  return append (log, WRITELOG_MARK, 0, 0, NULL, text);
}

void
writelog_status (struct writelog *log, struct writelog_status *s)
{
  lock (&log->lock);
  s->entries = log->now.entries;
  s->bytes = log->now.end;
  s->error = log->error;
  unlock (&log->lock);
}

/* The kind of a file that can be opened and is not a regular one. */
static const char *
kind_of (mode_t mode)
{
  switch (mode & S_IFMT) {
  case S_IFDIR:
    return "a directory";
  case S_IFIFO:
    return "a FIFO";
  case S_IFCHR:
    return "a character device";
  default:
    return "a block device";
  }
}

/* Only a regular file can be cut off where the log ends. */
static int
refuse_file (mode_t mode, int flags, struct message *why)
{
  message_set (why, "it is %s: %s", kind_of (mode),
               (flags & O_ACCMODE) == O_RDONLY
                   ? "a log is a regular file or a block device"
                   : "allowed is a regular file, or a name for a new one");
  return -EINVAL;
}

/* See to it that no other open file, of this process or of another one, writes
 * a log to FD.  The lock is that of the open file: it goes with it to the
 * processes that nbdkit forks, and ends with the last of them.  A filesystem
 * that has no locks, as NFS may have none, can hold a log all the same.  (Of a
 * file that is locked SMB says EACCES.)  Returns 0; or -EWOULDBLOCK and the
 * reason in *why.
 */
static int
reserve_file (int fd, struct message *why)
{
  if (flock (fd, LOCK_EX | LOCK_NB) == 0 || errno == ENOLCK ||
      errno == ENOSYS || errno == EOPNOTSUPP)
    return 0;
  message_set (why, "it is in use: another device writes its log to it");
  return -EWOULDBLOCK;
}

/* Open a file with holes and an end, a regular one, or, to read it, a block
 * device.  A new file is for its user alone, as all data of the device will be
 * in it; the umask is nbdkit's own, and not the user's.  Returns a descriptor;
 * or -EINVAL, or what open or fstat fails with, and the reason in *why.
 */
static int
open_file (const char *path, int flags, struct message *why)
{
  struct stat st;
  int fd, r = -EINVAL;

  /* The opening of a FIFO must not wait for its other end. */
  fd = open (path, flags | O_CLOEXEC | O_NONBLOCK, 0600);
  if (fd == -1) {
    if (errno == EISDIR)
      return refuse_file (S_IFDIR, flags, why);
    r = -errno;
    message_set (why, "%s", strerror (errno));
    return r;
  }
  if (fstat (fd, &st) == -1) {
    r = -errno;
    message_set (why, "%s", strerror (errno));
  }
  else if (S_ISREG (st.st_mode) ||
           (S_ISBLK (st.st_mode) && (flags & O_ACCMODE) == O_RDONLY))
    return fd;
  else
    r = refuse_file (st.st_mode, flags, why);
  close (fd);
  return r;
}

int
writelog_open (struct writelog **out, const char *path, uint32_t sector_size,
               struct message *why)
{
  struct writelog *log = calloc (1, sizeof *log);
  int r = -ENOMEM;

  message_set (why, "%s", strerror (ENOMEM));

  if (log == NULL)
    return r;
  log->sector_size = sector_size;
  log->now.end = sector_size;
  log->sector = malloc (sector_size);
  if (log->sector == NULL)
    goto free_log;
  log->fd = r = open_file (path, O_RDWR | O_CREAT, why);
  if (r < 0)
    goto free_sector;
  r = reserve_file (log->fd, why);
  if (r < 0)
    goto close_file;
  /* Where there is nothing to lose, it is found out now whether the file can be
   * written.
   */
  if (lseek (log->fd, 0, SEEK_END) == 0) {
    r = start (log);
    if (r < 0) {
      message_set (why, "%s", strerror (-r));
      goto close_file;
    }
  }
  pthread_mutex_init (&log->lock, NULL);
  *out = log;
  return 0;

close_file:
  close (log->fd);
free_sector:
  free (log->sector);
free_log:
  free (log);
  return r;
}

int
writelog_start (struct writelog *log)
{
  int r;

  lock (&log->lock);
  r = start (log);
  unlock (&log->lock);
  return r;
}

int
writelog_close (struct writelog *log)
{
  int r = log->error;

  if (r == 0 && log->is_started)
    r = write_super (log);
  if (close (log->fd) == -1 && r == 0)
    r = -errno;
  pthread_mutex_destroy (&log->lock);
  free (log->sector);
  free (log);
  return r;
}

/*---------------------------------------------------------------------*/
/* Reading */

struct writelog_reader {
  int fd;
  uint64_t size;
  uint32_t sector_size;
  char *sector;
  uint64_t entries;
  uint64_t nr;   /* of the next entry */
  uint64_t next; /* where it is */
  uint64_t data; /* place of the last entry's data in the file */
  uint64_t len;  /* bytes of it */
};

/* Returns 0, 1 where the file ends before that, or what pread fails with. */
static int
read_all (int fd, void *buf, size_t count, uint64_t offset)
{
  char *to = buf;
  ssize_t n;

  while (count > 0) {
    n = pread (fd, to, count, offset);
    if (n == -1 && errno == EINTR)
      continue;
    if (n <= 0)
      return n == -1 ? -errno : 1;
    to += n;
    count -= n;
    offset += n;
  }
  return 0;
}

#define refuse(why, ...) (message_set (why, __VA_ARGS__), -EINVAL)

static int
fail (int error, struct message *why)
{
  message_set (why, "%s", strerror (-error));
  return error;
}

/* A block device has a size, too, where its status has none. */
static int
read_super (struct writelog_reader *r, struct message *why)
{
  const off_t size = lseek (r->fd, 0, SEEK_END);
  char super[SUPER_SIZE];
  int e;

  if (size == -1)
    return fail (-errno, why);
  r->size = size;
  e = read_all (r->fd, super, sizeof super, 0);
  if (e < 0)
    return fail (e, why);
  if (e > 0)
    return refuse (
        why, "it is not a write log: it ends after %" PRIu64 " bytes", r->size);
  if (get (super, 8) != LOG_MAGIC)
    return refuse (why, "it is not a write log: it does not begin with the "
                        "magic number of dm-log-writes");
  if (get (super + 8, 8) != LOG_VERSION)
    return refuse (why, "it is a write log of version %" PRIu64 ", not %d",
                   get (super + 8, 8), LOG_VERSION);
  r->entries = get (super + 16, 8);
  r->sector_size = (uint32_t) get (super + 24, 4);
  if (r->sector_size < 512 || r->sector_size > MAX_SECTOR ||
      (r->sector_size & (r->sector_size - 1)) != 0)
    return refuse (why,
                   "it is a write log with sectors of %" PRIu32
                   " bytes: allowed are powers of two from 512 to %d",
                   r->sector_size, MAX_SECTOR);
  r->next = r->sector_size;
  r->sector = malloc (r->sector_size);
  return r->sector == NULL ? fail (-ENOMEM, why) : 0;
}

int
writelog_read_open (struct writelog_reader **reader, const char *path,
                    struct message *why)
{
  struct writelog_reader *r = calloc (1, sizeof *r);
  int e;

  if (r == NULL)
    return fail (-ENOMEM, why);
  r->fd = e = open_file (path, O_RDONLY, why);
  if (e < 0) {
    free (r);
    return e;
  }
  e = read_super (r, why);
  if (e < 0) {
    writelog_read_close (r);
    return e;
  }
  *reader = r;
  return 0;
}

void
writelog_read_close (struct writelog_reader *r)
{
  close (r->fd);
  free (r->sector);
  free (r);
}

uint64_t
writelog_read_entries (const struct writelog_reader *r)
{
  return r->entries;
}

uint32_t
writelog_read_sector_size (const struct writelog_reader *r)
{
  return r->sector_size;
}

/* Sectors in bytes, if no device were too small for that. */
static bool
to_bytes (const struct writelog_reader *r, uint64_t sectors, uint64_t *bytes)
{
  return !__builtin_mul_overflow (sectors, (uint64_t) r->sector_size, bytes) &&
         *bytes <= INT64_MAX;
}

/* The next entry is not whole. */
static int
refuse_end (const struct writelog_reader *r, struct message *why)
{
  return refuse (why,
                 "it is cut off in entry %" PRIu64 " of %" PRIu64
                 ": it ends after %" PRIu64 " bytes",
                 r->nr + 1, r->entries, r->size);
}

int
writelog_read_next (struct writelog_reader *r, struct writelog_entry *e,
                    struct message *why)
{
  uint64_t mark_len, end;
  int error;

  if (r->nr == r->entries)
    return 0;
  error = read_all (r->fd, r->sector, r->sector_size, r->next);
  if (error < 0)
    return fail (error, why);
  if (error > 0)
    return refuse_end (r, why);
  e->nr = r->nr;
  e->flags = get (r->sector + 16, 8);
  e->mark = NULL;
  mark_len = get (r->sector + 24, 8);
  if (!to_bytes (r, get (r->sector, 8), &e->offset) ||
      !to_bytes (r, get (r->sector + 8, 8), &e->count) ||
      e->offset > INT64_MAX - e->count)
    return refuse (why,
                   "entry %" PRIu64 " of %" PRIu64 " makes no sense: %" PRIu64
                   " sectors at sector %" PRIu64,
                   r->nr + 1, r->entries, get (r->sector + 8, 8),
                   get (r->sector, 8));
  /* Such an entry is in no log: it is a sector of zeroes that was left where a
   * machine crashed, or where another program emptied the file.
   */
  if (e->count == 0 && (e->flags & (WRITELOG_FLUSH | WRITELOG_MARK)) == 0)
    return refuse (why,
                   "entry %" PRIu64 " of %" PRIu64
                   " makes no sense: it has no sectors, and is neither a flush "
                   "nor a mark",
                   r->nr + 1, r->entries);
  e->has_data = e->count > 0 && (e->flags & WRITELOG_DISCARD) == 0;
  if (e->flags & WRITELOG_MARK) {
    if (mark_len >= r->sector_size - ENTRY_SIZE)
      return refuse (why,
                     "entry %" PRIu64 " of %" PRIu64
                     " makes no sense: a mark of %" PRIu64 " bytes",
                     r->nr + 1, r->entries, mark_len);
    r->sector[ENTRY_SIZE + mark_len] = '\0';
    e->mark = r->sector + ENTRY_SIZE;
  }
  r->data = r->next + r->sector_size;
  r->len = e->has_data ? e->count : 0;
  end = r->data + r->len;
  if (end < r->data || end > r->size)
    return refuse_end (r, why);
  r->next = end;
  r->nr++;
  return 1;
}

int
writelog_read_data (struct writelog_reader *r, void *buf, size_t count,
                    uint64_t from)
{
  int e;

  if (from > r->len || count > r->len - from)
    return -EINVAL;
  e = read_all (r->fd, buf, count, r->data + from);
  return e > 0 ? -EINVAL : e;
}
