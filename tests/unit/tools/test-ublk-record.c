/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The records of nullblk-ublk: whose they are, while somebody looks and while
 * somebody clears.
 */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ublkdrv/ublkdrv.h"
#include "records.h"
#include "unit.h"

static const char uri[] = "nbd://server/nullb0";

/* A process that does nothing until it is killed, and its record. */
struct child {
  pid_t pid;
  uint64_t cookie;
};

/* Calls ACT in it, and waits until that has returned 0. */
static struct child
begin_child (int (*act) (uint64_t *cookie), uint64_t cookie)
{
  struct child c = {.cookie = cookie};
  int fds[2];

  assert_int_equal (pipe (fds), 0);
  c.pid = fork ();
  assert_int_not_equal (c.pid, -1);
  if (c.pid == 0) {
    if (act (&c.cookie) != 0 ||
        write (fds[1], &c.cookie, sizeof c.cookie) != sizeof c.cookie)
      _exit (1);
    for (;;)
      pause ();
  }
  close (fds[1]);
  assert_int_equal (read (fds[0], &c.cookie, sizeof c.cookie), sizeof c.cookie);
  close (fds[0]);
  return c;
}

static void
kill_child (const struct child *c)
{
  assert_int_equal (kill (c->pid, SIGKILL), 0);
  assert_int_equal (waitpid (c->pid, NULL, 0), c->pid);
}

static int
make_one (uint64_t *cookie)
{
  static struct device_record r;
  const int err = device_record_make (&r, 0, uri);

  *cookie = r.cookie;
  return err;
}

static int
look (uint64_t *cookie)
{
  static struct device_record r;
  bool is_dead;

  return device_record_open (&r, *cookie, &is_dead);
}

static int
claim (uint64_t *cookie)
{
  static struct device_record r;
  bool is_dead;
  const int err = device_record_open (&r, *cookie, &is_dead);

  return err == 0 ? device_record_lock_to_clear (&r) : err;
}

static int
adopt (uint64_t *cookie)
{
  static struct device_record r;
  bool is_dead;
  const int err = device_record_open (&r, *cookie, &is_dead);

  return err == 0 ? device_record_adopt (&r) : err;
}

/*---------------------------------------------------------------------*/

static void
test_life (void **state)
{
  const struct child maker = begin_child (make_one, 0);
  struct device_record r;
  bool is_dead;

  (void) state;
  assert_int_equal (device_record_open (&r, maker.cookie, &is_dead), 0);
  assert_false (is_dead);
  assert_int_equal (r.pid, maker.pid);
  assert_int_equal (r.refused, 0);
  assert_string_equal (r.uri, uri);
  kill_child (&maker);
  assert_true (device_record_has_died (&r));
  assert_int_equal (r.pid, 0);
  assert_int_equal (device_record_lock_to_clear (&r), 0);
  device_record_remove (&r);
  assert_int_equal (records (), 0);
  assert_int_equal (device_record_open (&r, maker.cookie, &is_dead), -ENOENT);
}

/* Who looks at the record of a dead process is not taken for it. */
static void
test_onlooker (void **state)
{
  const struct child maker = begin_child (make_one, 0);
  struct child onlooker;
  struct device_record r;
  bool is_dead;

  (void) state;
  kill_child (&maker);
  onlooker = begin_child (look, maker.cookie);
  assert_int_equal (device_record_open (&r, maker.cookie, &is_dead), 0);
  assert_true (is_dead);
  assert_int_equal (device_record_lock_to_clear (&r), 0);
  device_record_remove (&r);
  kill_child (&onlooker);
}

/* Nor is who clears it; and only one does. */
static void
test_claim (void **state)
{
  const struct child maker = begin_child (make_one, 0);
  struct child clearer;
  struct device_record r;
  bool is_dead;

  (void) state;
  kill_child (&maker);
  clearer = begin_child (claim, maker.cookie);
  assert_int_equal (device_record_open (&r, maker.cookie, &is_dead), 0);
  assert_true (is_dead);
  assert_int_equal (r.pid, 0);
  assert_int_equal (device_record_lock_to_clear (&r), -EAGAIN);
  kill_child (&clearer);
  assert_int_equal (device_record_lock_to_clear (&r), 0);
  device_record_remove (&r);
}

/* Another process can be that of a dead one, and then nobody clears it. */
static void
test_adopt (void **state)
{
  const struct child maker = begin_child (make_one, 0);
  struct child clearer, other;
  struct device_record r;
  bool is_dead;

  (void) state;
  assert_int_equal (device_record_open (&r, maker.cookie, &is_dead), 0);
  assert_int_equal (device_record_adopt (&r), -EAGAIN);
  device_record_close (&r);
  kill_child (&maker);
  clearer = begin_child (claim, maker.cookie);
  assert_int_equal (device_record_open (&r, maker.cookie, &is_dead), 0);
  assert_int_equal (device_record_adopt (&r), -EAGAIN);
  kill_child (&clearer);
  other = begin_child (adopt, maker.cookie);
  assert_false (device_record_has_died (&r));
  assert_int_equal (r.pid, other.pid);
  assert_int_equal (device_record_lock_to_clear (&r), -EBUSY);
  device_record_close (&r);
  kill_child (&other);
  assert_int_equal (device_record_open (&r, maker.cookie, &is_dead), 0);
  assert_true (is_dead);
  assert_int_equal (device_record_lock_to_clear (&r), 0);
  device_record_remove (&r);
}

static int
supervise (uint64_t *cookie)
{
  return device_record_supervise (*cookie) >= 0 ? 0 : -1;
}

/* That another process has it taken over is known until that one ends, with or
 * without a process that serves the device.
 */
static void
test_supervised (void **state)
{
  const struct child maker = begin_child (make_one, 0);
  struct child supervisor, other;
  struct device_record r;
  bool is_dead;

  (void) state;
  assert_int_equal (device_record_open (&r, maker.cookie, &is_dead), 0);
  assert_false (device_record_is_supervised (&r));
  supervisor = begin_child (supervise, maker.cookie);
  assert_true (device_record_is_supervised (&r));
  assert_int_equal (device_record_supervise (maker.cookie), -EAGAIN);
  kill_child (&maker);
  assert_true (device_record_has_died (&r));
  assert_true (device_record_is_supervised (&r));
  other = begin_child (adopt, maker.cookie);
  assert_false (device_record_has_died (&r));
  kill_child (&other);
  kill_child (&supervisor);
  assert_false (device_record_is_supervised (&r));
  assert_int_equal (device_record_lock_to_clear (&r), 0);
  device_record_remove (&r);
  assert_int_equal (device_record_supervise (maker.cookie), -ENOENT);
}

static int
hold_device (uint64_t *cookie)
{
  return device_record_hold_device (*cookie) >= 0 ? 0 : -1;
}

/* So is the process that holds the device in order to take it away. */
static void
test_aide (void **state)
{
  const struct child maker = begin_child (make_one, 0);
  struct child aide;
  struct device_record r;
  bool is_dead;

  (void) state;
  assert_int_equal (device_record_open (&r, maker.cookie, &is_dead), 0);
  assert_int_equal (device_record_aide (&r), 0);
  aide = begin_child (hold_device, maker.cookie);
  assert_int_equal (device_record_aide (&r), aide.pid);
  assert_int_equal (r.pid, maker.pid);
  assert_false (device_record_is_supervised (&r));
  kill_child (&maker);
  assert_true (device_record_has_died (&r));
  assert_int_equal (device_record_aide (&r), aide.pid);
  assert_int_equal (device_record_lock_to_clear (&r), 0);
  kill_child (&aide);
  assert_int_equal (device_record_aide (&r), 0);
  device_record_remove (&r);
}

/* What the process says is read, also when it has gone with its record. */
static void
test_words (void **state)
{
  struct device_record mine, other;
  bool is_dead;

  (void) state;
  assert_int_equal (device_record_make (&mine, 0, uri), 0);
  /* Of one's own lock the kernel says that it is none, and closing any other
   * descriptor of the file ends it: so only the words are looked at.
   */
  assert_int_equal (device_record_open (&other, mine.cookie, &is_dead), 0);
  assert_int_equal (device_record_count_refusal (&mine), 0);
  device_record_has_died (&other);
  assert_int_equal (other.refused, 1);
  assert_false (other.lost_data);
  assert_int_equal (device_record_set_lost_data (&mine), 0);
  device_record_remove (&mine);
  device_record_has_died (&other);
  assert_int_equal (other.refused, 1);
  assert_true (other.lost_data);
  assert_string_equal (other.uri, uri);
  assert_int_equal (device_record_lock_to_clear (&other), -ENOENT);
  device_record_close (&other);
}

/* A file or a directory that cannot be read is not one that is missing. */
static void
test_unreadable (void **state)
{
  const uint64_t cookie = 0x1d;
  struct device_record r;
  unsigned n = 0;
  bool is_dead;

  (void) state;
  assert_int_equal (device_record_make (&r, 0, uri), 0);
  assert_int_equal (symlink ("000000000000001d", "run/000000000000001d"), 0);
  assert_int_equal (device_record_open (&r, cookie, &is_dead), -ELOOP);
  assert_int_equal (unlink ("run/000000000000001d"), 0);
  assert_int_equal (device_record_open (&r, cookie, &is_dead), -ENOENT);
  assert_int_equal (rename ("run", "there"), 0);
  assert_int_equal (device_record_for_each (count_record, &n), 0);
  assert_int_equal (symlink ("run", "run"), 0);
  assert_int_equal (device_record_for_each (count_record, &n), -ELOOP);
  assert_int_equal (n, 0);
  assert_int_equal (unlink ("run"), 0);
  assert_int_equal (rename ("there", "run"), 0);
  assert_int_equal (records (), 1);
  device_record_close (&r);
  assert_int_equal (device_record_for_each (remove_record, NULL), 0);
  assert_int_equal (records (), 0);
}

/* A cookie that somebody else has chosen, and the device that it is of. */
static void
test_cookie (void **state)
{
  const uint64_t cookie = 0xfedcba9876543210;
  struct device_record mine, other, same;
  bool is_dead;

  (void) state;
  assert_int_equal (device_record_make (&mine, cookie, uri), 0);
  assert_int_equal (access ("run/fedcba9876543210", F_OK), 0);
  assert_int_equal (device_record_make (&same, cookie, "nbd://other"), -EEXIST);
  assert_int_equal (device_record_open (&other, cookie, &is_dead), 0);
  assert_string_equal (other.device, "-");
  assert_int_equal (device_record_set_device (&mine, "ublkb123"), 0);
  assert_int_equal (device_record_count_refusal (&mine), 0);
  device_record_has_died (&other);
  assert_string_equal (other.device, "ublkb123");
  assert_string_equal (other.uri, uri);
  device_record_close (&other);
  device_record_remove (&mine);
  assert_int_equal (records (), 0);

  assert_true (device_record_cookie ("fedcba9876543210") == cookie);
  assert_int_equal (device_record_cookie ("0000000000000001"), 1);
  assert_int_equal (device_record_cookie ("0000000000000000"), 0);
  assert_int_equal (device_record_cookie ("fedcba987654321"), 0);
  assert_int_equal (device_record_cookie ("0xdcba9876543210"), 0);
  assert_int_equal (device_record_cookie (".fedcba987654321"), 0);
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_life),       cmocka_unit_test (test_onlooker),
      cmocka_unit_test (test_claim),      cmocka_unit_test (test_words),
      cmocka_unit_test (test_cookie),     cmocka_unit_test (test_adopt),
      cmocka_unit_test (test_supervised), cmocka_unit_test (test_unreadable),
      cmocka_unit_test (test_aide),
  };

  return RUN_TESTS_IN_DIRECTORY (tests);
}
