/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The journal; see journal.h.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "journal.h"

/* Where the journal begins in the file: at a page, however large pages are. */
#define JOURNAL_OFFSET 65536

/* What a journal begins with; another version of it has another number. */
#define MAGIC UINT64_C (0x6e756c6c626c6b31)

enum state { FREE, SENT, ANSWERED };

struct entry {
  _Atomic uint32_t state;
  uint32_t operation;
  uint64_t place, count; /* bytes */
};

struct file {
  uint64_t magic;
  uint32_t queues, slots;
  _Atomic uint32_t begun;   /* queues that have begun to fetch ... */
  _Atomic uint32_t fetched; /* ... or have fetched, since the last process has
                             * begun to take the device over */
  uint64_t peer;            /* the server; 0: not known */
  uint64_t reserved[4];
  struct entry entries[]; /* slots, and then orphans */
};

struct journal {
  struct file *file;
  size_t size;
  unsigned slots;
  struct entry *orphans;
  unsigned orphans_end;          /* number of the last orphan, and 1 */
  _Atomic unsigned orphans_left; /* that are not FREE */
  _Atomic unsigned have_all; /* how often journal_queue_has_all was called */
};

static enum state
state_of (const struct entry *e)
{
  return atomic_load_explicit (&e->state, memory_order_acquire);
}

static void
set_state (struct entry *e, enum state state)
{
  atomic_store_explicit (&e->state, state, memory_order_release);
}

/*---------------------------------------------------------------------*/
/* The file */

static size_t
size_of (unsigned slots)
{
  return sizeof (struct file) + 2 * (size_t) slots * sizeof (struct entry);
}

static int
map (struct journal **journal, int fd, unsigned slots)
{
  struct journal *j = calloc (1, sizeof *j);
  void *p;
  int err;

  if (j == NULL)
    return -ENOMEM;
  j->size = size_of (slots);
  j->slots = slots;
  p = mmap (NULL, j->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
            JOURNAL_OFFSET);
  if (p == MAP_FAILED) {
    err = -errno;
    free (j);
    return err;
  }
  j->file = p;
  j->orphans = j->file->entries + slots;
  *journal = j;
  return 0;
}

int
journal_make (struct journal **j, int fd, unsigned queues, unsigned slots)
{
  /* If a page of the file had no room later, SIGBUS would end the process. */
  int err = -posix_fallocate (fd, JOURNAL_OFFSET, size_of (slots));

  if (err == 0)
    err = map (j, fd, slots);
  if (err < 0)
    return err;
  (*j)->file->queues = queues;
  (*j)->file->slots = slots;
  atomic_init (&(*j)->file->begun, queues);
  atomic_init (&(*j)->file->fetched, queues);
  (*j)->file->magic = MAGIC;
  return 0;
}

void
journal_set_peer (struct journal *j, uint64_t peer)
{
  j->file->peer = peer;
}

uint64_t
journal_peer (const struct journal *j)
{
  return j->file->peer;
}

/* The orphan, among the first N, that a slot takes the place of: a process was
 * killed while its slot took the orphan over, or the process has sent another
 * request to the orphan's place.  NULL: there is none.
 */
static struct entry *
find_same (struct journal *j, const struct entry *slot, unsigned n)
{
  struct entry *o;

  for (o = j->orphans; o < j->orphans + n; o++) {
    if (state_of (o) != FREE && o->operation == slot->operation &&
        o->place == slot->place)
      return o;
  }
  return NULL;
}

/* Returns the place for one more orphan: a free one, or else that of an orphan
 * that is not new.  If the kernel was told the answer of a request, it is the
 * least likely to repeat it; it may also have merged a request with the one
 * before it.  The kernel cannot have more requests than there are slots, so
 * there is room for all that it will repeat.
 */
static struct entry *
find_room (struct journal *j, const bool *is_new)
{
  unsigned i, room = 0;

  for (i = 0; i < j->slots; i++) {
    if (state_of (&j->orphans[i]) == FREE)
      return &j->orphans[i];
    if (!is_new[i] &&
        (is_new[room] || (state_of (&j->orphans[room]) != ANSWERED &&
                          state_of (&j->orphans[i]) == ANSWERED)))
      room = i;
  }
  return &j->orphans[room];
}

/* Make all entries in slots orphans.  Returns 0, or -ENOMEM. */
static int
gather (struct journal *j)
{
  bool *is_new = calloc (j->slots + 1, sizeof *is_new);
  unsigned i, before = 0, left = 0;
  struct entry *e, *o;
  enum state state;

  if (is_new == NULL)
    return -ENOMEM;
  for (i = 0; i < j->slots; i++) {
    if (state_of (&j->orphans[i]) != FREE)
      before = i + 1;
  }
  for (e = j->file->entries; e < j->file->entries + j->slots; e++) {
    state = state_of (e);
    if (state != FREE) {
      o = find_same (j, e, before);
      if (o == NULL)
        o = find_room (j, is_new);
      is_new[o - j->orphans] = true;
      set_state (o, FREE);
      atomic_signal_fence (memory_order_seq_cst);
      o->operation = e->operation;
      o->place = e->place;
      o->count = e->count;
      set_state (o, state);
    }
    set_state (e, FREE);
  }
  for (i = 0; i < j->slots; i++) {
    if (state_of (&j->orphans[i]) == FREE)
      continue;
    j->orphans_end = i + 1;
    left++;
  }
  atomic_init (&j->orphans_left, left);
  free (is_new);
  return 0;
}

int
journal_read (struct journal **j, int fd, unsigned queues, unsigned slots)
{
  struct stat st;
  int err;

  if (fstat (fd, &st) == -1)
    return -errno;
  if ((uint64_t) st.st_size < JOURNAL_OFFSET + size_of (slots))
    return -ENODATA;
  err = map (j, fd, slots);
  if (err < 0)
    return err;
  if ((*j)->file->magic != MAGIC || (*j)->file->queues != queues ||
      (*j)->file->slots != slots)
    err = -ENODATA;
  else
    err = gather (*j);
  if (err < 0)
    journal_close (*j);
  return err;
}

void
journal_close (struct journal *j)
{
  if (j == NULL)
    return;
  munmap (j->file, j->size);
  free (j);
}

/*---------------------------------------------------------------------*/
/* Slots */

void
journal_send (struct journal *j, unsigned slot, enum ublk_operation operation,
              uint64_t place, uint64_t count)
{
  struct entry *e = &j->file->entries[slot];

  set_state (e, FREE);
  atomic_signal_fence (memory_order_seq_cst);
  e->operation = operation;
  e->place = place;
  e->count = count;
  set_state (e, SENT);
}

void
journal_answer (struct journal *j, unsigned slot)
{
  set_state (&j->file->entries[slot], ANSWERED);
}

void
journal_forget (struct journal *j, unsigned slot)
{
  set_state (&j->file->entries[slot], FREE);
}

/*---------------------------------------------------------------------*/
/* Orphans */

bool
journal_has_orphans (const struct journal *j)
{
  return atomic_load_explicit (&j->orphans_left, memory_order_relaxed) > 0;
}

static bool
take (struct journal *j, struct entry *e)
{
  if (atomic_exchange (&e->state, FREE) == FREE)
    return false;
  atomic_fetch_sub (&j->orphans_left, 1);
  return true;
}

bool
journal_take (struct journal *j, enum ublk_operation operation, uint64_t place)
{
  struct entry *e;

  if (!journal_has_orphans (j))
    return false;
  for (e = j->orphans; e < j->orphans + j->orphans_end; e++) {
    if (state_of (e) != FREE && e->operation == operation && e->place == place)
      return take (j, e);
  }
  return false;
}

static bool
is_within (const struct entry *e, uint64_t start, uint64_t end)
{
  return start <= e->place && e->place < end;
}

bool
journal_find_append (const struct journal *j, unsigned *i, uint64_t start,
                     uint64_t end, uint64_t count, uint64_t *place)
{
  const struct entry *e;

  if (!journal_has_orphans (j))
    return false;
  for (; *i < j->orphans_end; ++*i) {
    e = &j->orphans[*i];
    *place = e->place;
    if (state_of (e) != FREE && e->operation == UBLK_IO_OP_ZONE_APPEND &&
        is_within (e, start, end) && (count == 0 || e->count == count))
      return true;
  }
  return false;
}

bool
journal_take_append (struct journal *j, unsigned i)
{
  return take (j, &j->orphans[i]);
}

void
journal_drop (struct journal *j, uint64_t start, uint64_t end)
{
  struct entry *e;

  if (!journal_has_orphans (j))
    return;
  for (e = j->orphans; e < j->orphans + j->orphans_end; e++) {
    if (state_of (e) != FREE && is_within (e, start, end))
      take (j, e);
  }
}

void
journal_drop_appends (struct journal *j, uint64_t start, uint64_t end)
{
  uint64_t place;
  unsigned i;

  for (i = 0; journal_find_append (j, &i, start, end, 0, &place); i++)
    take (j, &j->orphans[i]);
}

void
journal_queue_has_all (struct journal *j)
{
  if (atomic_fetch_add (&j->have_all, 1) + 1 == j->file->queues)
    journal_drop (j, 0, UINT64_MAX);
}

/*---------------------------------------------------------------------*/
/* Taking over */

void
journal_begin_fetching (struct journal *j)
{
  /* `fetched` last: until then journal_fetched says FETCHED_ALL. */
  atomic_store (&j->file->begun, 0);
  atomic_store (&j->file->fetched, 0);
}

void
journal_queue_fetches (struct journal *j)
{
  atomic_fetch_add (&j->file->begun, 1);
}

void
journal_queue_has_fetched (struct journal *j)
{
  atomic_fetch_add (&j->file->fetched, 1);
}

enum fetched
journal_fetched (const struct journal *j)
{
  const unsigned queues = j->file->queues;

  return atomic_load (&j->file->fetched) >= queues ? FETCHED_ALL
         : atomic_load (&j->file->begun) == 0 || queues == 1
             ? FETCHED_NONE_OR_ALL
             : FETCHED_SOME;
}
