/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-attach finds again what it has attached, and takes nothing of anybody
 * else's for it: by the kernel's identifier, by the device, by the export.  It
 * does not take what it cannot read to be missing.  /sys and /run/nullblk are
 * directories of this test's own.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ublkdrv/ublkdrv.h"
#include "unit.h"
#include "attach/attach-internal.h"

/* One look: nothing here changes while it is waited for. */
bool
await_condition (bool (*condition) (const void *), const void *arg)
{
  return condition (arg);
}

bool
is_stopped (void)
{
  return false;
}

/* Write a line to a file whose directories may be missing. */
static void __attribute__ ((format (printf, 2, 3)))
put (const char *path, const char *fs, ...)
{
  char part[256];
  const char *slash;
  va_list args;
  FILE *fp;

  for (slash = strchr (path, '/'); slash != NULL;
       slash = strchr (slash + 1, '/')) {
    snprintf (part, sizeof part, "%.*s", (int) (slash - path), path);
    mkdir (part, 0700);
  }
  fp = fopen (path, "w");
  assert_non_null (fp);
  va_start (args, fs);
  vfprintf (fp, fs, args);
  va_end (args);
  fputc ('\n', fp);
  fclose (fp);
}

/* Hosts of URIs are looked for in our own network namespace. */
static void
put_network (const char *name, const char *network)
{
  char path[64], ours[64];

  network_of_process (ours, sizeof ours);
  snprintf (path, sizeof path, "run/%s/network", name);
  put (path, "%s", network != NULL ? network : ours);
}

static int
remove_one (const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
  (void) st;
  (void) flag;
  (void) ftw;
  return remove (path);
}

static int
remove_all (void **state)
{
  (void) state;
  nftw ("sys", remove_one, 16, FTW_DEPTH | FTW_PHYS);
  nftw ("run", remove_one, 16, FTW_DEPTH | FTW_PHYS);
  nftw ("records", remove_one, 16, FTW_DEPTH | FTW_PHYS);
  return 0;
}

/* The kernel has a device, with an identifier unless that is NULL. */
static void
attached (const char *device, const char *identifier)
{
  char path[64];

  snprintf (path, sizeof path, "sys/block/%s/pid", device);
  put (path, "1");
  snprintf (path, sizeof path, "sys/block/%s/backend", device);
  if (identifier != NULL)
    put (path, "%s", identifier);
}

/* NULL: that file is missing. */
static void
remember (const char *name, const char *device, const char *identity,
          const char *uri)
{
  char path[64];

  snprintf (path, sizeof path, "run/%s/device", name);
  if (device != NULL)
    put (path, "%s", device);
  snprintf (path, sizeof path, "run/%s/attachment", name);
  if (identity != NULL)
    put (path, "%s", identity);
  snprintf (path, sizeof path, "run/%s/uri", name);
  if (uri != NULL)
    put (path, "%s", uri);
}

static void
check_remembered (const char *name, const char *device, bool there)
{
  char directory[64];
  struct attachment a;

  snprintf (directory, sizeof directory, "run/%s", name);
  a = attachment_read (directory);
  assert_string_equal (a.device, device);
  assert_int_equal (attachment_exists (&a), there);
  assert_int_equal (attachment_is_gone (&a), !there);
}

static void
test_identifier (void **state)
{
  (void) state;
  attached ("nbd0", "nullblk-attach-1");
  attached ("nbd3", "nullblk-attach-12");
  attached ("nbd4", NULL);
  remember ("a", "nbd0", "backend nullblk-attach-1", NULL);
  check_remembered ("a", "nbd0", true);
  /* Somebody else's by now. */
  remember ("b", "nbd3", "backend nullblk-attach-1", NULL);
  check_remembered ("b", "nbd3", false);
  remember ("c", "nbd4", "backend nullblk-attach-1", NULL);
  check_remembered ("c", "nbd4", false);
  /* Nobody's, and no device at all. */
  remember ("d", "nbd5", "backend nullblk-attach-1", NULL);
  check_remembered ("d", "nbd5", false);
  remember ("e", "../nbd0", "backend nullblk-attach-0", NULL);
  check_remembered ("e", "", false);
  /* What gives identifiers has none that is empty. */
  attached ("nbd6", "");
  remember ("f", "nbd6", "backend ", NULL);
  check_remembered ("f", "nbd6", false);
}

/* nullblk-attach was killed before it knew the device. */
static void
test_killed (void **state)
{
  (void) state;
  attached ("nbd1", "nullblk-attach-123");
  attached ("nbd17", "nullblk-attach-12");
  attached ("nbd18", NULL);
  attached ("sda", "nullblk-attach-9");
  remember ("a", NULL, "backend nullblk-attach-12", NULL);
  check_remembered ("a", "nbd17", true);
  remember ("b", NULL, "backend nullblk-attach-2", NULL);
  check_remembered ("b", "", false);
  remember ("c", NULL, "backend nullblk-attach-9", NULL);
  check_remembered ("c", "", false);
  remember ("d", NULL, "pid 1 1", NULL);
  check_remembered ("d", "", false);
  remember ("e", NULL, NULL, "nbd://h");
  check_remembered ("e", "", false);
}

static void
check_name (const char *name, const char *expected)
{
  if (expected == NULL)
    assert_null (name);
  else {
    assert_non_null (name);
    assert_string_equal (name, expected);
  }
}

/* What is there goes before what a crash has left. */
static void
test_device (void **state)
{
  (void) state;
  attached ("nbd1", "nullblk-attach-1");
  remember ("a", "nbd1", "backend nullblk-attach-0", NULL);
  check_name (name_of_device ("nbd1"), "a");
  remember ("b", "nbd1", "backend nullblk-attach-1", NULL);
  check_name (name_of_device ("nbd1"), "b");
  remember ("c", "nbd1", "backend nullblk-attach-2", NULL);
  check_name (name_of_device ("nbd1"), "b");
  check_name (name_of_device ("nbd0"), NULL);
  check_name (name_of_device (""), NULL);
}

/* The identity of what was attached without an identifier. */
static const char *
inode_of_pid (const char *device)
{
  static char identity[64];
  char path[64];
  struct stat st;

  snprintf (path, sizeof path, "sys/block/%s/pid", device);
  assert_return_code (stat (path, &st), errno);
  snprintf (identity, sizeof identity, "pid 1 %ju", (uintmax_t) st.st_ino);
  return identity;
}

static void
test_offer (void **state)
{
  const struct export_info then = {.size = 512,
                                   .block_size = 4096,
                                   .flags = EXPORT_HAS_FLAGS | EXPORT_FUA,
                                   .peer = UINT64_MAX};
  struct export_info now;

  (void) state;
  put ("run/a/uri", "x");
  assert_false (read_export_info ("run/a", &now));
  assert_true (write_export_info ("run/a", &then));
  assert_true (read_export_info ("run/a", &now));
  assert_memory_equal (&now, &then, sizeof now);
  assert_true (export_info_serves (&now, &then));
  assert_true (write_line ("run/a", "export", "512 512 1"));
  assert_false (read_export_info ("run/a", &now));
  assert_true (write_export_info ("run/a", &then));
  assert_true (read_export_info ("run/a", &now));
  /* It can do more, and may be something else to sit on. */
  now.block_size = 512;
  now.flags |= EXPORT_TRIM | EXPORT_ROTATIONAL;
  assert_true (export_info_serves (&now, &then));
  assert_false (export_info_serves (&then, &now));
  now = then;
  now.size++;
  assert_false (export_info_serves (&now, &then));
  now = then;
  now.flags &= ~(unsigned) EXPORT_FUA;
  assert_false (export_info_serves (&now, &then));
  now = then;
  now.flags |= EXPORT_READ_ONLY;
  assert_false (export_info_serves (&now, &then));
  assert_false (export_info_serves (&then, &now));
  /* Another server may have other data. */
  now = then;
  now.peer--;
  assert_false (export_info_serves (&now, &then));
  now.peer = 0;
  assert_false (export_info_serves (&now, &then));
  assert_true (export_info_serves (&then, &now));
}

static void
check_export (const char *text, const char *expected)
{
  struct message why;
  static struct uri uri;

  assert_int_equal (uri_parse (&uri, text, &why), 0);
  check_name (name_of_export (&uri), expected);
}

static void
test_export (void **state)
{
  struct message why;
  static struct uri uri;

  (void) state;
  attached ("nbd0", "nullblk-attach-0");
  attached ("nbd1", "nullblk-attach-1");
  attached ("nbd2", "nullblk-attach-2");
  attached ("nbd4", "nullblk-attach-44");
  attached ("nbd5", NULL);
  remember ("tcp", "nbd0", "backend nullblk-attach-0", "nbd://Host/a%20b");
  put_network ("tcp", NULL);
  remember ("unix", "nbd1", "backend nullblk-attach-1",
            "nbd+unix:///x?socket=/tmp/s");
  put_network ("unix", "net:[1]");
  remember ("relative", "nbd2", "backend nullblk-attach-2",
            "nbd+unix:///x?socket=s");
  attached ("nbd6", "nullblk-attach-6");
  remember ("away", "nbd6", "backend nullblk-attach-6", "nbd://away");
  put_network ("away", "net:[1]");
  put_network ("dead", NULL);
  put_network ("old", NULL);
  remember ("old", "nbd5", inode_of_pid ("nbd5"), "nbd://old");
  remember ("dead", "nbd4", "backend nullblk-attach-4", "nbd://dead");

  check_export ("nbd://host:10809/a%20b", "tcp");
  check_export ("nbd://Host/a b", "tcp");
  check_export ("nbd://host/a", NULL);
  check_export ("nbd://host:10810/a%20b", NULL);
  check_export ("nbd://other/a%20b", NULL);
  check_export ("nbds://host/a%20b", NULL);
  check_export ("nbd+unix:///x?socket=/tmp/s", "unix");
  check_export ("nbd+unix:///x?socket=%2ftmp/s", "unix");
  check_export ("nbd+unix:///X?socket=/tmp/s", NULL);
  check_export ("nbd+unix:///x?socket=/tmp/S", NULL);
  /* In another directory it is another one. */
  check_export ("nbd+unix:///x?socket=s", NULL);
  check_export ("nbd://dead", NULL);
  /* A host by the same name, of another network namespace. */
  check_export ("nbd://away", NULL);
  put_network ("away", NULL);
  check_export ("nbd://away", "away");
  /* There, but nobody can tell whether it lives. */
  check_remembered ("old", "nbd5", true);
  check_export ("nbd://old", NULL);

  assert_int_equal (uri_parse (&uri, "nbd://host/a%20b", &why), 0);
  assert_true (is_of_export ("tcp", &uri));
  assert_false (is_of_export ("unix", &uri));
  assert_false (is_of_export ("dead", &uri));
  assert_false (is_of_export ("nobody", &uri));
}

/* nullblk-ublk serves DEVICE by COOKIE, until it is killed. */
static pid_t
served (const char *device, uint64_t cookie)
{
  struct device_record r;
  int fds[2];
  pid_t pid;
  char c;

  assert_return_code (pipe (fds), errno);
  pid = fork ();
  assert_int_not_equal (pid, -1);
  if (pid == 0) {
    if (device_record_make (&r, cookie, "nbd://h") != 0 ||
        device_record_set_device (&r, device) != 0 ||
        write (fds[1], "x", 1) != 1)
      _exit (1);
    for (;;)
      pause ();
  }
  close (fds[1]);
  assert_int_equal (read (fds[0], &c, 1), 1);
  close (fds[0]);
  return pid;
}

static void
killed (pid_t pid)
{
  assert_return_code (kill (pid, SIGKILL), errno);
  assert_int_equal (waitpid (pid, NULL, 0), pid);
}

/* A device of ublk is there as long as it is served. */
static void
test_ublk (void **state)
{
  const pid_t pid = served ("ublkb1", 0x11);

  (void) state;
  remember ("a", "ublkb1", "cookie 0000000000000011", "nbd://h");
  put_network ("a", NULL);
  check_remembered ("a", "ublkb1", true);
  check_name (name_of_device ("ublkb1"), "a");
  /* nullblk-attach was killed before it knew the device. */
  remember ("b", NULL, "cookie 0000000000000011", NULL);
  check_remembered ("b", "ublkb1", true);
  /* Others. */
  remember ("c", "ublkb1", "cookie 0000000000000012", NULL);
  check_remembered ("c", "ublkb1", false);
  remember ("d", "ublkb0", "cookie 0000000000000011", NULL);
  check_remembered ("d", "ublkb0", false);
  attached ("nbd0", "0000000000000011");
  remember ("e", "nbd0", "cookie 0000000000000011", NULL);
  check_remembered ("e", "nbd0", false);
  check_export ("nbd://h", "a");

  killed (pid);
  check_remembered ("a", "ublkb1", false);
  check_remembered ("b", "", false);
  check_export ("nbd://h", NULL);
  /* One that is to last can be brought back to life. */
  assert_true (write_line (RUN_DIR "/a", "persist", "60"));
  check_export ("nbd://h", "a");
}

/* Can somebody else lock it, for a moment? */
static bool
is_lockable (const char *text)
{
  const pid_t pid = fork ();
  struct message why;
  static struct uri uri;
  int status;

  assert_int_not_equal (pid, -1);
  if (pid == 0) {
    leave_locks ();
    _exit (uri_parse (&uri, text, &why) == 0 && lock_export (&uri) ? 0 : 1);
  }
  assert_int_equal (waitpid (pid, &status, 0), pid);
  return status == 0;
}

static void
test_lock (void **state)
{
  struct message why;
  static struct uri uri;
  int pipe_fd[2];
  pid_t pid;
  char c;

  (void) state;
  assert_int_equal (uri_parse (&uri, "nbd://host/a", &why), 0);
  assert_true (lock_export (&uri));
  assert_false (is_lockable ("nbd://host/a"));
  assert_false (is_lockable ("nbd://HOST:10809/a"));
  assert_true (is_lockable ("nbd://host/b"));

  /* A child that stays has left it to us. */
  assert_return_code (pipe (pipe_fd), errno);
  pid = fork ();
  assert_int_not_equal (pid, -1);
  if (pid == 0) {
    close (pipe_fd[1]);
    leave_locks ();
    _exit (read (pipe_fd[0], &c, 1) == 0 ? 0 : 1);
  }
  assert_false (is_lockable ("nbd://host/a"));
  unlock_export ();
  assert_true (is_lockable ("nbd://host/a"));
  close (pipe_fd[0]);
  close (pipe_fd[1]);
  assert_int_equal (waitpid (pid, NULL, 0), pid);
}

/*---------------------------------------------------------------------*/
/* What cannot be read: here a link to itself, which not even root can follow */

static void
make_unreadable (const char *path)
{
  const char *last = strrchr (path, '/');

  put (path, "in the way");
  assert_return_code (unlink (path), errno);
  assert_return_code (symlink (last + 1, path), errno);
}

/* ACT ends the program, after these words on stderr. */
static void
check_says (void (*act) (void), const char *words)
{
  char text[256];
  int fds[2], status;
  ssize_t n;
  pid_t pid;

  assert_return_code (pipe (fds), errno);
  pid = fork ();
  assert_int_not_equal (pid, -1);
  if (pid == 0) {
    dup2 (fds[1], 2);
    act ();
    _exit (0);
  }
  close (fds[1]);
  assert_int_equal (waitpid (pid, &status, 0), pid);
  n = read (fds[0], text, sizeof text - 1);
  text[n > 0 ? n : 0] = '\0';
  close (fds[0]);
  assert_string_equal (text, words);
  assert_int_equal (status, W_EXITCODE (EXIT_FAILURE, 0));
}

static void
check_dies (void (*act) (void), const char *path, int why)
{
  char words[256];

  snprintf (words, sizeof words, "nullblk-attach: %s: %s\n", path,
            strerror (why));
  check_says (act, words);
}

static void
find_device (void)
{
  name_of_device ("nbd1");
}

static void
find_export (void)
{
  static struct uri uri;
  struct message why;

  if (uri_parse (&uri, "nbd://h", &why) == 0)
    name_of_export (&uri);
}

static void
look_at_device (void)
{
  const struct attachment a = attachment_read ("run/a");

  attachment_exists (&a);
}

static void
look_whether_orphaned (void)
{
  const struct attachment a = attachment_read ("run/a");

  attachment_is_left (&a, "run/a");
}

static void
ask_for_node (void)
{
  is_node ("nbd1");
}

/* A directory, and each file that an attachment is known by. */
static void
test_unreadable (void **state)
{
  static const char *const files[] = {"device", "attachment"};
  char path[64];
  unsigned i;

  (void) state;
  attached ("nbd1", "nullblk-attach-1");
  for (i = 0; i < 2; i++) {
    remember ("a", "nbd1", "backend nullblk-attach-1", "nbd://h");
    put_network ("a", NULL);
    snprintf (path, sizeof path, "run/a/%s", files[i]);
    make_unreadable (path);
    check_dies (find_device, path, ELOOP);
    check_dies (find_export, path, ELOOP);
    assert_return_code (unlink (path), errno);
  }
  remember ("a", "nbd1", "backend nullblk-attach-1", "nbd://h");
  make_unreadable ("run/a/uri");
  check_dies (find_export, "run/a/uri", ELOOP);
  assert_return_code (unlink ("run/a/uri"), errno);
  /* A file that can be opened, and not read. */
  assert_return_code (mkdir ("run/a/uri", 0700), errno);
  check_dies (find_export, "run/a/uri", EISDIR);
  remove_all (NULL);
  make_unreadable ("run/a");
  check_dies (find_device, "run/a", ELOOP);
  remove_all (NULL);
  put ("run", "no directory");
  check_dies (find_device, "run", ENOTDIR);
  assert_return_code (unlink ("run"), errno);
}

static void
test_unreadable_sys (void **state)
{
  struct attachment a;

  (void) state;
  attached ("nbd1", "nullblk-attach-1");
  remember ("a", "nbd1", "backend nullblk-attach-1", NULL);
  a = attachment_read ("run/a");
  assert_true (attachment_may_exist (&a));
  assert_return_code (unlink ("sys/block/nbd1/backend"), errno);
  assert_false (attachment_may_exist (&a));
  make_unreadable ("sys/block/nbd1/backend");
  check_dies (look_at_device, "sys/block/nbd1/backend", ELOOP);
  assert_true (attachment_may_exist (&a)); /* it is looked at again */
  make_unreadable ("sys/block/nbd1/size");
  check_dies (ask_for_node, "sys/block/nbd1/size", ELOOP);
  make_unreadable ("sys/block/nbd1/pid");
  put ("run/a/attachment", "pid 1 1");
  check_dies (look_at_device, "sys/block/nbd1/pid", ELOOP);
  /* All devices are looked at where it is not known which one it is. */
  remove_all (NULL);
  remember ("a", NULL, "backend nullblk-attach-1", NULL);
  make_unreadable ("sys/block");
  check_dies (look_at_device, "sys/block", ELOOP);
}

static void
test_unreadable_record (void **state)
{
  (void) state;
  remember ("a", "ublkb1", "cookie 0123456789abcdef", NULL);
  put ("run/a/persist", "60");
  make_unreadable ("records/0123456789abcdef");
  check_dies (look_at_device, "records/0123456789abcdef", ELOOP);
  check_dies (look_whether_orphaned, "records/0123456789abcdef", ELOOP);
}

static void
take_back (void)
{
  die ("not taken back");
}

static void
end_badly (void)
{
  before_end (take_back);
  die ("done badly");
}

/* What is done at the end may end the program itself. */
static void
test_end (void **state)
{
  (void) state;
  check_says (end_badly, "nullblk-attach: done badly\n"
                         "nullblk-attach: not taken back\n");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown (test_identifier, remove_all),
      cmocka_unit_test_teardown (test_killed, remove_all),
      cmocka_unit_test_teardown (test_device, remove_all),
      cmocka_unit_test_teardown (test_export, remove_all),
      cmocka_unit_test_teardown (test_ublk, remove_all),
      cmocka_unit_test_teardown (test_offer, remove_all),
      cmocka_unit_test_teardown (test_lock, remove_all),
      cmocka_unit_test_teardown (test_unreadable, remove_all),
      cmocka_unit_test_teardown (test_unreadable_sys, remove_all),
      cmocka_unit_test_teardown (test_unreadable_record, remove_all),
      cmocka_unit_test_teardown (test_end, remove_all),
  };

  return RUN_TESTS_IN_DIRECTORY (tests);
}
