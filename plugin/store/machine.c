/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The limits of the machine; see machine.h.  A file that cannot be read sets no
 * limit; the kernel's own count of its RAM always does.
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "common/common.h"
#include "machine.h"

/* Plenty for a cgroup, and little on a thread's stack. */
#define MAX_PATH 1024

static FILE *
open_under (const char *root, const char *path)
{
  char name[MAX_PATH];
  int n;

  n = snprintf (name, sizeof name, "%s%s", root, path);
  return n < (int) sizeof name ? fopen (name, "re") : NULL;
}

/* The number after NAME at the start of a line of FILE ("" is the first line
 * as a whole), or UINT64_MAX when there is none ("max" is none, too).
 */
static uint64_t
read_field (const char *root, const char *path, const char *name)
{
  uint64_t value, r = UINT64_MAX;
  const size_t len = strlen (name);
  char line[256];
  FILE *fp;

  fp = open_under (root, path);
  if (fp == NULL)
    return r;
  while (fgets (line, sizeof line, fp) != NULL) {
    if (strncmp (line, name, len) == 0 &&
        sscanf (line + len, "%" SCNu64, &value) == 1) {
      r = value;
      break;
    }
  }
  fclose (fp);
  return r;
}

/* The least of FIELD in FILE over the cgroup PATH below MOUNT and all above
 * it.  PATH is cut down on the way.
 */
static uint64_t
cgroup_limit (const char *root, const char *mount, char *path, const char *file,
              const char *field)
{
  uint64_t r = UINT64_MAX;
  char name[MAX_PATH];
  char *slash;

  for (;;) {
    if (snprintf (name, sizeof name, "%s%s/%s", mount, path, file) <
        (int) sizeof name)
      r = min (r, read_field (root, name, field));
    slash = strrchr (path, '/');
    if (slash == NULL)
      return r;
    *slash = '\0';
  }
}

/* /proc/self/cgroup has a line "id:controllers:path" for each hierarchy; the
 * one of cgroup v2 is "0::path".
 */
static uint64_t
cgroups_limit (const char *root)
{
  uint64_t r = UINT64_MAX;
  char line[MAX_PATH];
  char *controllers, *path;
  FILE *fp;

  fp = open_under (root, "/proc/self/cgroup");
  if (fp == NULL)
    return r;
  while (fgets (line, sizeof line, fp) != NULL) {
    line[strcspn (line, "\n")] = '\0';
    controllers = strchr (line, ':');
    if (controllers == NULL)
      continue;
    controllers++;
    path = strchr (controllers, ':');
    if (path == NULL)
      continue;
    *path++ = '\0';
    if (*controllers == '\0')
      r = min (r,
               cgroup_limit (root, "/sys/fs/cgroup", path, "memory.max", ""));
    else if (strcmp (controllers, "memory") == 0)
      r = min (r, cgroup_limit (root, "/sys/fs/cgroup/memory", path,
                                "memory.limit_in_bytes", ""));
  }
  fclose (fp);
  return r;
}

/* A field of /proc/meminfo, in bytes. */
static uint64_t
meminfo (const char *root, const char *name)
{
  uint64_t kib = read_field (root, "/proc/meminfo", name);

  return kib < UINT64_MAX / 1024 ? kib * 1024 : UINT64_MAX;
}

uint64_t
machine_memory (const char *root)
{
  uint64_t promised, limit, r;
  struct sysinfo info;

  r = min (meminfo (root, "MemTotal:"), cgroups_limit (root));
  if (sysinfo (&info) == 0)
    r = min (r, (uint64_t) info.totalram * info.mem_unit);
  if (read_field (root, "/proc/sys/vm/overcommit_memory", "") == 2) {
    promised = meminfo (root, "Committed_AS:");
    limit = meminfo (root, "CommitLimit:");
    r = min (r, limit > promised ? limit - promised : 0);
  }
  return r;
}

bool
machine_has_hugepages (const char *root)
{
  char line[256] = "";
  FILE *fp;

  fp = open_under (root, "/sys/kernel/mm/transparent_hugepage/enabled");
  if (fp == NULL)
    return false;
  if (fgets (line, sizeof line, fp) == NULL)
    line[0] = '\0';
  fclose (fp);
  return line[0] != '\0' && strstr (line, "[never]") == NULL;
}
