/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-ublk's journal: a process that is killed at whatever instruction has
 * left in it what it had with the server.  A child is stopped after each of its
 * instructions, and the file is read as the next process would read it.
 */

#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ublk/journal.h"
#include "unit.h"

#define MIB UINT64_C (1048576)
#define QUEUES 1
#define SLOTS 4

static int file; /* the journal's */
static struct journal *journal;

static int
new_file (void)
{
  const int fd = memfd_create ("journal", MFD_CLOEXEC);

  assert_int_not_equal (fd, -1);
  return fd;
}

static void
make (void)
{
  file = new_file ();
  assert_int_equal (journal_make (&journal, file, QUEUES, SLOTS), 0);
}

static void
end (void)
{
  journal_close (journal);
  close (file);
}

/* As the next process would read what there is at this moment. */
static struct journal *
read_copy (void)
{
  const int copy = new_file ();
  struct journal *j;
  struct stat st;
  void *from, *to;

  assert_int_equal (fstat (file, &st), 0);
  assert_int_equal (ftruncate (copy, st.st_size), 0);
  from = mmap (NULL, st.st_size, PROT_READ, MAP_SHARED, file, 0);
  to = mmap (NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0);
  assert_true (from != MAP_FAILED && to != MAP_FAILED);
  memcpy (to, from, st.st_size);
  munmap (from, st.st_size);
  munmap (to, st.st_size);
  assert_int_equal (journal_read (&j, copy, QUEUES, SLOTS), 0);
  close (copy);
  return j;
}

/* How many appends are orphans; each has the place and size of one that there
 * is, which are 1 MiB times its number and 4 KiB times its number.
 */
static unsigned
appends_in (struct journal *j, bool *has)
{
  unsigned i = 0, n = 0;
  uint64_t place;

  while (journal_find_append (j, &i, 0, UINT64_MAX, 0, &place)) {
    assert_int_equal (place % MIB, 0);
    assert_in_range (place / MIB, 1, 8);
    assert_true (journal_find_append (j, &i, place, place + 1,
                                      place / MIB * 4096, &place));
    assert_false (has[place / MIB]);
    has[place / MIB] = true;
    i++;
    n++;
  }
  return n;
}

static void
send_append (unsigned slot, unsigned number)
{
  journal_send (journal, slot, UBLK_IO_OP_ZONE_APPEND, number * MIB,
                number * 4096);
}

/*---------------------------------------------------------------------*/
/* Step by step */

/* What the child has come to, in memory of both. */
static struct phase {
  unsigned must; /* a bit for the number of each that must be found */
  unsigned may;
} * phase;

static void
set_phase (unsigned must, unsigned may)
{
  phase->may = 0xffff; /* in between */
  phase->must = must;
  phase->may = may;
}

static void
look (void)
{
  const struct phase p = *phase;
  bool has[9] = {false};
  struct journal *j = read_copy ();
  unsigned i;

  appends_in (j, has);
  for (i = 1; i <= 8; i++) {
    if (has[i])
      assert_true ((p.may & 1u << i) != 0);
    else
      assert_true ((p.must & 1u << i) == 0);
  }
  journal_close (j);
}

/* Have a child DO it, and look after each step. */
static void
step_through (void (*act) (void))
{
  unsigned steps = 0;
  int status;
  pid_t pid;

  phase = mmap (NULL, sizeof *phase, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true (phase != MAP_FAILED);
  set_phase (0, 0xffff);
  pid = fork ();
  assert_int_not_equal (pid, -1);
  if (pid == 0) {
    if (ptrace (PTRACE_TRACEME, 0, NULL, NULL) == -1)
      _exit (77);
    raise (SIGSTOP);
    act ();
    _exit (0);
  }
  for (;;) {
    assert_int_equal (waitpid (pid, &status, 0), pid);
    if (!WIFSTOPPED (status))
      break;
    look ();
    steps++;
    assert_int_equal (ptrace (PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
  }
  munmap (phase, sizeof *phase);
  if (WIFEXITED (status) && WEXITSTATUS (status) == 77)
    skip (); /* nobody may trace here */
  assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
  assert_true (steps > 50);
}

/* Two requests of one tag, from the first step to the last. */
static void
two_lives (void)
{
  unsigned number;

  for (number = 1; number <= 2; number++) {
    set_phase (0, 1u << number);
    send_append (3, number);
    set_phase (1u << number, 1u << number);
    journal_answer (journal, 3);
    set_phase (0, 1u << number);
    journal_forget (journal, 3);
    set_phase (0, 0);
  }
}

static void
test_life (void **state)
{
  (void) state;
  make ();
  step_through (two_lives);
  end ();
}

/* A tag is asked for something else before anybody has forgotten the first. */
static void
used_again (void)
{
  send_append (0, 1);
  journal_answer (journal, 0);
  set_phase (0, 1u << 1 | 1u << 2);
  send_append (0, 2);
  set_phase (1u << 2, 1u << 2);
}

static void
test_used_again (void **state)
{
  (void) state;
  make ();
  step_through (used_again);
  end ();
}

static void
take_over (void)
{
  struct journal *j;

  set_phase (1u << 1 | 1u << 2 | 1u << 3, 1u << 1 | 1u << 2 | 1u << 3);
  if (journal_read (&j, file, QUEUES, SLOTS) < 0)
    _exit (1);
}

/* Who takes over is killed while he does so, and so is the next one. */
static void
test_take_over (void **state)
{
  struct journal *j;

  (void) state;
  make ();
  send_append (2, 1);
  assert_int_equal (journal_read (&j, file, QUEUES, SLOTS), 0);
  journal_close (j);
  send_append (0, 2);
  send_append (3, 3);
  journal_answer (journal, 3);
  step_through (take_over);
  end ();
}

/* One that has come again has a slot, and then is no orphan. */
static void
come_again (void)
{
  unsigned i = 0;
  uint64_t place;

  set_phase (1u << 1 | 1u << 2, 1u << 1 | 1u << 2);
  if (!journal_find_append (journal, &i, 0, 8 * MIB, 8192, &place))
    _exit (1);
  send_append (1, 2);
  if (!journal_take_append (journal, i) || journal_take_append (journal, i))
    _exit (1);
  journal_answer (journal, 1);
}

static void
test_come_again (void **state)
{
  struct journal *j;

  (void) state;
  make ();
  send_append (1, 1);
  send_append (2, 2);
  assert_int_equal (journal_read (&j, file, QUEUES, SLOTS), 0);
  journal_close (journal);
  journal = j;
  step_through (come_again);
  end ();
}

/*---------------------------------------------------------------------*/

/* What has been left becomes orphans, which are taken once. */
static void
test_take (void **state)
{
  unsigned i = 0;
  uint64_t place;
  struct journal *j;

  (void) state;
  make ();
  assert_false (journal_has_orphans (journal));
  journal_send (journal, 0, UBLK_IO_OP_WRITE, 4 * MIB, 4096);
  journal_send (journal, 1, UBLK_IO_OP_ZONE_FINISH, 8 * MIB, 0);
  journal_send (journal, 2, UBLK_IO_OP_WRITE, 5 * MIB, 4096);
  journal_forget (journal, 2);
  journal_send (journal, 3, UBLK_IO_OP_ZONE_APPEND, 6 * MIB, 8192);
  assert_false (journal_take (journal, UBLK_IO_OP_WRITE, 4 * MIB));
  assert_int_equal (journal_read (&j, file, QUEUES, SLOTS), 0);
  assert_true (journal_has_orphans (j));
  assert_false (journal_take (j, UBLK_IO_OP_WRITE, 5 * MIB));
  assert_false (journal_take (j, UBLK_IO_OP_ZONE_RESET, 8 * MIB));
  assert_false (journal_take (j, UBLK_IO_OP_WRITE, 4 * MIB + 4096));
  assert_true (journal_take (j, UBLK_IO_OP_WRITE, 4 * MIB));
  assert_false (journal_take (j, UBLK_IO_OP_WRITE, 4 * MIB));
  assert_true (journal_take (j, UBLK_IO_OP_ZONE_FINISH, 8 * MIB));
  assert_false (journal_find_append (j, &i, 0, 6 * MIB, 8192, &place));
  i = 0;
  assert_false (journal_find_append (j, &i, 0, 8 * MIB, 4096, &place));
  i = 0;
  assert_true (journal_find_append (j, &i, 6 * MIB, 8 * MIB, 8192, &place));
  assert_int_equal (place, 6 * MIB);
  journal_drop (j, 0, 6 * MIB);
  assert_true (journal_has_orphans (j));
  journal_drop (j, 6 * MIB, 7 * MIB);
  assert_false (journal_has_orphans (j));
  assert_false (journal_take_append (j, i));
  journal_close (j);
  end ();
}

/* What was sent last to a place counts, if two processes were killed. */
static void
test_same_place (void **state)
{
  unsigned i = 0;
  uint64_t place;
  struct journal *j;

  (void) state;
  make ();
  journal_send (journal, 0, UBLK_IO_OP_ZONE_APPEND, 6 * MIB, 4096);
  journal_answer (journal, 0);
  assert_int_equal (journal_read (&j, file, QUEUES, SLOTS), 0);
  journal_close (journal);
  journal_send (j, 1, UBLK_IO_OP_ZONE_APPEND, 6 * MIB, 8192);
  assert_int_equal (journal_read (&journal, file, QUEUES, SLOTS), 0);
  journal_close (j);
  assert_false (journal_find_append (journal, &i, 0, 8 * MIB, 4096, &place));
  i = 0;
  assert_true (journal_find_append (journal, &i, 0, 8 * MIB, 8192, &place));
  journal_drop_appends (journal, 6 * MIB + 1, 8 * MIB);
  assert_true (journal_has_orphans (journal));
  journal_drop_appends (journal, 6 * MIB, 6 * MIB + 1);
  assert_false (journal_has_orphans (journal));
  end ();
}

/* Orphans that nobody asks for again take no room from those that may be asked
 * for: first those that were answered go, and what was sent last has room.
 */
static void
test_room (void **state)
{
  bool has[9] = {false};
  struct journal *j;
  unsigned i;

  (void) state;
  make ();
  for (i = 0; i < SLOTS; i++) {
    send_append (i, 1 + i);
    if (i < 3)
      journal_answer (journal, i);
  }
  assert_int_equal (journal_read (&j, file, QUEUES, SLOTS), 0);
  journal_close (j);
  for (i = 0; i < 3; i++)
    send_append (i, 5 + i);
  assert_int_equal (journal_read (&j, file, QUEUES, SLOTS), 0);
  assert_int_equal (appends_in (j, has), 4);
  assert_true (has[4] && has[5] && has[6] && has[7]);
  journal_close (j);
  memset (has, 0, sizeof has);
  send_append (0, 8);
  assert_int_equal (journal_read (&j, file, QUEUES, SLOTS), 0);
  assert_int_equal (appends_in (j, has), 4);
  assert_true (has[8]);
  journal_close (j);
  end ();
}

/* What is new takes no room from what is new, answered or not. */
static void
test_new_room (void **state)
{
  bool has[9] = {false};
  struct journal *j;
  unsigned i = 0;
  uint64_t place;

  (void) state;
  make ();
  send_append (0, 1);
  send_append (1, 2);
  assert_int_equal (journal_read (&j, file, QUEUES, SLOTS), 0);
  assert_true (journal_find_append (j, &i, MIB, 2 * MIB, 0, &place));
  assert_true (journal_take_append (j, i)); /* in front of the other */
  journal_close (j);
  for (i = 0; i < SLOTS; i++) {
    send_append (i, 5 + i);
    journal_answer (journal, i);
  }
  assert_int_equal (journal_read (&j, file, QUEUES, SLOTS), 0);
  assert_int_equal (appends_in (j, has), 4);
  assert_true (has[5] && has[6] && has[7] && has[8]);
  journal_close (j);
  end ();
}

/* When all queues have been asked again for all, nothing is left. */
static void
test_all_asked (void **state)
{
  struct journal *j;

  (void) state;
  file = new_file ();
  assert_int_equal (journal_make (&journal, file, 2, SLOTS), 0);
  send_append (0, 1);
  journal_send (journal, 1, UBLK_IO_OP_WRITE, 4 * MIB, 4096);
  assert_int_equal (journal_read (&j, file, 2, SLOTS), 0);
  journal_queue_has_all (j);
  assert_true (journal_has_orphans (j));
  journal_queue_has_all (j);
  assert_false (journal_has_orphans (j));
  journal_close (j);
  assert_int_equal (journal_read (&j, file, 2, SLOTS), 0);
  assert_false (journal_has_orphans (j));
  journal_close (j);
  end ();
}

/* A journal of another device, or none. */
static void
test_other (void **state)
{
  struct journal *j;
  int empty = new_file ();

  (void) state;
  make ();
  assert_int_equal (journal_read (&j, file, QUEUES + 1, SLOTS), -ENODATA);
  assert_int_equal (journal_read (&j, file, QUEUES, SLOTS - 1), -ENODATA);
  assert_int_equal (journal_read (&j, file, QUEUES, 1000), -ENODATA);
  assert_int_equal (journal_read (&j, empty, QUEUES, SLOTS), -ENODATA);
  assert_int_equal (ftruncate (empty, 1 << 20), 0);
  assert_int_equal (journal_read (&j, empty, QUEUES, SLOTS), -ENODATA);
  close (empty);
  end ();
}

static void
test_fetched (void **state)
{
  (void) state;
  file = new_file ();
  assert_int_equal (journal_make (&journal, file, 2, 0), 0);
  assert_int_equal (journal_fetched (journal), FETCHED_ALL);
  journal_begin_fetching (journal);
  assert_int_equal (journal_fetched (journal), FETCHED_NONE_OR_ALL);
  journal_queue_fetches (journal);
  assert_int_equal (journal_fetched (journal), FETCHED_SOME);
  journal_queue_has_fetched (journal);
  assert_int_equal (journal_fetched (journal), FETCHED_SOME);
  journal_queue_fetches (journal);
  assert_int_equal (journal_fetched (journal), FETCHED_SOME);
  journal_queue_has_fetched (journal);
  assert_int_equal (journal_fetched (journal), FETCHED_ALL);
  end ();

  /* One queue has fetched all or nothing. */
  make ();
  journal_begin_fetching (journal);
  journal_queue_fetches (journal);
  assert_int_equal (journal_fetched (journal), FETCHED_NONE_OR_ALL);
  journal_queue_has_fetched (journal);
  assert_int_equal (journal_fetched (journal), FETCHED_ALL);
  end ();
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_life),      cmocka_unit_test (test_used_again),
      cmocka_unit_test (test_take_over), cmocka_unit_test (test_come_again),
      cmocka_unit_test (test_take),      cmocka_unit_test (test_same_place),
      cmocka_unit_test (test_room),      cmocka_unit_test (test_new_room),
      cmocka_unit_test (test_all_asked), cmocka_unit_test (test_other),
      cmocka_unit_test (test_fetched),
  };

  return RUN_TESTS (tests);
}
