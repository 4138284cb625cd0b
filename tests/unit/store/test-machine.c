/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the machine can give, read from trees of files made here: RAM, cgroups
 * of both versions, a kernel that does not overcommit, huge pages.
 */

#include <config.h>

#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"
#include "unit.h"

static char root[] = "/tmp/test-machine-XXXXXX";

/* Write a file below root, with the directories that it stands in. */
static void
put (const char *path, const char *text)
{
  char name[PATH_MAX];
  char *slash;
  FILE *fp;

  snprintf (name, sizeof name, "%s%s", root, path);
  for (slash = name + strlen (root) + 1; (slash = strchr (slash, '/')) != NULL;
       slash++) {
    *slash = '\0';
    mkdir (name, 0700);
    *slash = '/';
  }
  fp = fopen (name, "w");
  assert_non_null (fp);
  fputs (text, fp);
  assert_int_equal (fclose (fp), 0);
}

static int
setup (void **state)
{
  (void) state;
  memcpy (strrchr (root, '-') + 1, "XXXXXX", 6);
  if (mkdtemp (root) == NULL)
    return -1;
  put ("/proc/meminfo", "MemTotal:        1048576 kB\n"
                        "MemFree:         1000000 kB\n"
                        "CommitLimit:      800000 kB\n"
                        "Committed_AS:     300000 kB\n");
  put ("/proc/sys/vm/overcommit_memory", "0\n");
  return 0;
}

static int
teardown (void **state)
{
  char command[PATH_MAX];

  (void) state;
  snprintf (command, sizeof command, "rm -rf '%s'", root);
  return system (command) == 0 ? 0 : -1;
}

static void
test_ram (void **state)
{
  (void) state;
  assert_int_equal (machine_memory (root), UINT64_C (1) << 30);
}

static void
test_cgroup_v2 (void **state)
{
  (void) state;
  put ("/proc/self/cgroup", "0::/a.slice/b.service\n");
  put ("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
  assert_int_equal (machine_memory (root), UINT64_C (1) << 30);
  put ("/sys/fs/cgroup/a.slice/memory.max", "536870912\n");
  assert_int_equal (machine_memory (root), UINT64_C (512) << 20);
  put ("/sys/fs/cgroup/a.slice/b.service/memory.max", "268435456\n");
  assert_int_equal (machine_memory (root), UINT64_C (256) << 20);
}

/* In a container the path may be the host's, and only its root is mounted. */
static void
test_cgroup_v2_in_a_container (void **state)
{
  (void) state;
  put ("/proc/self/cgroup", "0::/not/to/be/found/here\n");
  put ("/sys/fs/cgroup/memory.max", "536870912\n");
  assert_int_equal (machine_memory (root), UINT64_C (512) << 20);
}

static void
test_cgroup_v1 (void **state)
{
  (void) state;
  put ("/proc/self/cgroup", "9:name=systemd:/\n4:memory:/jobs/17\n0::/\n");
  put ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put ("/sys/fs/cgroup/memory/jobs/17/memory.limit_in_bytes", "268435456\n");
  assert_int_equal (machine_memory (root), UINT64_C (256) << 20);
  put ("/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "134217728\n");
  assert_int_equal (machine_memory (root), UINT64_C (128) << 20);
}

static void
test_no_overcommit (void **state)
{
  (void) state;
  put ("/proc/sys/vm/overcommit_memory", "2\n");
  assert_int_equal (machine_memory (root), UINT64_C (500000) * 1024);
  put ("/proc/meminfo", "MemTotal:        1048576 kB\n"
                        "CommitLimit:      800000 kB\n"
                        "Committed_AS:     800001 kB\n");
  assert_int_equal (machine_memory (root), 0);
}

static void
test_hugepages (void **state)
{
  const char *const path = "/sys/kernel/mm/transparent_hugepage/enabled";

  (void) state;
  assert_false (machine_has_hugepages (root));
  put (path, "always [madvise] never\n");
  assert_true (machine_has_hugepages (root));
  put (path, "[always] madvise never\n");
  assert_true (machine_has_hugepages (root));
  put (path, "always madvise [never]\n");
  assert_false (machine_has_hugepages (root));
}

/* Where there is nothing to read, as in a chroot without /proc, the machine's
 * RAM is still known.  All numbers above are below that of any machine.
 */
static void
test_real (void **state)
{
  (void) state;
  assert_true (machine_memory ("/nonexistent") < UINT64_C (1) << 50);
  assert_true (machine_memory ("") > 1 << 20);
  assert_true (machine_memory ("") < UINT64_C (1) << 50);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_ram),
      TEST (test_cgroup_v2),
      TEST (test_cgroup_v2_in_a_container),
      TEST (test_cgroup_v1),
      TEST (test_no_overcommit),
      TEST (test_hugepages),
      TEST (test_real),
  };

  return RUN_TESTS (tests);
}
