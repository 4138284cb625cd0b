/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Proofs of the write log: where its entries and their data lie.
 */

#include "prove.h"

#include <sys/uio.h>
#include <unistd.h>

#include "common/common.h"

/* The file: each call does all that it is asked to, or nothing. */
static uint64_t written_at, written_len, read_at, read_len;
static ssize_t write_some (const struct iovec *iov, int nr, uint64_t offset);
static ssize_t read_some (char *buf, size_t count, uint64_t offset);

#define message_set(why, ...) ((void) (why))
#define pwritev(fd, iov, nr, offset) write_some (iov, nr, offset)
#define ftruncate(fd, len) (nondet_bool () ? 0 : -1)
#define pread(fd, buf, count, offset) read_some (buf, count, offset)
#include "power/writelog.c"

static ssize_t
write_some (const struct iovec *iov, int nr, uint64_t offset)
{
  if (nondet_bool ())
    return 0;
  written_at = offset;
  written_len = iov[0].iov_len + (nr > 1 ? iov[1].iov_len : 0);
  return (ssize_t) written_len;
}

static ssize_t
read_some (char *buf, size_t count, uint64_t offset)
{
  (void) buf; /* may have anything in it already */
  read_at = offset;
  read_len = count;
  return nondet_bool () ? 0 : (ssize_t) count;
}

#define SECTOR 512

/* A field of any width has what was put into it. */
PROOF (log_fields, 9)
{
  const uint64_t n = nondet_uint64 ();
  const unsigned bytes = nondet_unsigned ();
  char field[9];

  ASSUME (bytes > 0 && bytes <= 8);
  field[bytes] = 77;
  put (field, n, bytes);
  CHECK (get (field, bytes) ==
         (bytes < 8 ? n & ((UINT64_C (1) << 8 * bytes) - 1) : n));
  CHECK (field[bytes] == 77);
}

/* An entry of any range, with data or without: it says which range it is, and
 * the next one begins behind it.
 */
PROOF (log_append, 9)
{
  char sector[SECTOR];
  struct writelog log = {.sector_size = SECTOR, .sector = sector};
  const uint64_t offset = nondet_uint64 () * SECTOR;
  const uint64_t count = nondet_uint64 () * SECTOR;
  const bool is_discard = nondet_bool ();
  const bool has_data = !is_discard && nondet_bool ();
  struct position was;

  log.now.end = nondet_uint64 ();
  log.now.entries = nondet_uint64 ();
  ASSUME (count <= MAX_SIZE && offset <= MAX_SIZE - count);
  ASSUME (log.now.end <= MAX_SIZE - SECTOR - count);
  log.begun = was = log.now;
  if (append (&log, is_discard ? WRITELOG_DISCARD : 0, offset, count,
              has_data ? sector : NULL, "") < 0) {
    CHECK (log.now.end == was.end && log.now.entries == was.entries);
    CHECK (log.error != 0);
    return;
  }
  CHECK (written_at == was.end);
  CHECK (written_len == SECTOR + (has_data ? count : 0));
  CHECK (get (sector, 8) * SECTOR == offset);
  CHECK (get (sector + 8, 8) * SECTOR == count);
  CHECK (log.now.entries == was.entries + 1);
  CHECK (log.now.end == was.end + SECTOR + (is_discard ? 0 : count));
}

/* An entry of any bytes, in a file of any size: what is made of it lies within
 * the largest device and within the file, and so does a part of its data that
 * is read.
 */
PROOF (log_read, 9)
{
  char sector[SECTOR], data[1];
  struct writelog_reader r = {.size = nondet_uint64 (),
                              .sector_size = SECTOR,
                              .sector = sector,
                              .entries = nondet_uint64 (),
                              .nr = nondet_uint64 (),
                              .next = nondet_uint64 ()};
  const uint64_t begin = r.next, nr = r.nr;
  const uint64_t from = nondet_uint64 (), count = nondet_uint64 ();
  struct writelog_entry e;
  struct message why;

  ASSUME (r.size <= MAX_SIZE && r.next <= r.size);
  if (writelog_read_next (&r, &e, &why) != 1)
    return;
  CHECK (e.nr == nr && r.nr == nr + 1);
  CHECK (e.count <= MAX_SIZE && e.offset <= MAX_SIZE - e.count);
  CHECK (r.data == begin + SECTOR);
  CHECK (r.len == (e.has_data ? e.count : 0));
  CHECK (r.data <= r.size && r.len <= r.size - r.data);
  CHECK (r.next == r.data + r.len);
  if (e.flags & WRITELOG_MARK)
    CHECK (e.mark == sector + ENTRY_SIZE);
  read_len = 0;
  if (writelog_read_data (&r, data, count, from) == 0 && read_len > 0)
    CHECK (read_at >= r.data && read_len <= r.next - read_at);
}
