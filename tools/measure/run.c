/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * fio is run; see run.h.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "die.h"
#include "fiofile.h"
#include "run.h"

extern char **environ;

#define die(...) die_as ("nullblk-measure", __VA_ARGS__)

/* The whole of a request, and not what is left of it once it has been handed
 * on: that is what its user waits for.
 */
#define PERCENTILES "1:5:10:20:30:40:50:60:70:80:90:95:99:99.5:99.9:99.95:99.99"

#define MAX_ARGUMENTS 32

struct arguments {
  char *argv[MAX_ARGUMENTS + 1];
  unsigned n;
};

static void __attribute__ ((format (printf, 2, 3)))
add (struct arguments *a, const char *fs, ...)
{
  va_list args;
  char *text;
  int r;

  va_start (args, fs);
  r = vasprintf (&text, fs, args);
  va_end (args);
  if (r == -1 || a->n == MAX_ARGUMENTS)
    die ("%s", strerror (ENOMEM));
  a->argv[a->n++] = text;
}

static void
clear (struct arguments *a)
{
  while (a->n > 0)
    free (a->argv[--a->n]);
}

static void
add_load (struct arguments *a, const struct cell *cell, unsigned seconds)
{
  static const char *const loads[NR_KINDS] = {
      [RANDREAD] = "randread", [RANDWRITE] = "randwrite",
      [READ] = "read",         [WRITE] = "write",
      [FLUSH] = "randwrite",   [SUSTAIN] = "randwrite",
  };

  add (a, "--name=cell");
  add (a, "--rw=%s", loads[cell->kind]);
  add (a, "--bs=%" PRIu64, cell->size);
  add (a, "--iodepth=%u", cell->depth);
  add (a, "--time_based");
  add (a, "--runtime=%u", seconds);
  add (a, "--norandommap");
  add (a, "--randrepeat=0");
  add (a, "--clat_percentiles=0");
  add (a, "--lat_percentiles=1");
  add (a, "--percentile_list=" PERCENTILES);
  add (a, "--output-format=json");
  add (a, "--eta=never");
  if (kind_reads (cell->kind))
    add (a, "--readonly");
  if (cell->kind == FLUSH)
    add (a, "--fsync=%u", cell->n);
}

/* A file of our own; dies where there can be none. */
static void
make_file (char path[PATH_MAX])
{
  const char *dir = getenv ("TMPDIR");
  int fd;

  snprintf (path, PATH_MAX, "%s/nullblk-measure-XXXXXX",
            dir != NULL && dir[0] == '/' ? dir : "/tmp");
  fd = mkostemp (path, O_CLOEXEC);
  if (fd == -1)
    die ("%s: %s", path, strerror (errno));
  close (fd);
}

/* Run a program, and have what it says in the file SAID.  Returns its status,
 * or -errno where it cannot be run.
 */
static int
run (char *const *argv, const char *said)
{
  posix_spawn_file_actions_t actions;
  int r, status;
  pid_t pid;

  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_addopen (&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen (&actions, 1, said, O_WRONLY | O_TRUNC, 0);
  posix_spawn_file_actions_adddup2 (&actions, 1, 2);
  r = posix_spawnp (&pid, argv[0], &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy (&actions);
  if (r != 0)
    return -r;
  while (waitpid (pid, &status, 0) == -1) {
    if (errno != EINTR)
      return -errno;
  }
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

/* The first line that a program has said, for a message. */
static void
first_line (const char *said, char line[256])
{
  FILE *fp = fopen (said, "re");

  line[0] = '\0';
  if (fp == NULL)
    return;
  if (fgets (line, 256, fp) == NULL)
    line[0] = '\0';
  fclose (fp);
  line[strcspn (line, "\r\n")] = '\0';
}

/* Take what fio has written.  Returns false with *why. */
static bool
take_output (const char *path, const struct cell *cell, struct figures *f,
             char version[32], struct message *why)
{
  struct figures_list list = {0};
  const struct figures *found;
  struct cell wanted = *cell;
  bool ok;

  if (cell->kind == SUSTAIN)
    wanted = (struct cell){RANDWRITE, cell->size, cell->depth, 0};
  ok = fiofile_read (path, &list, version, why) == 0;
  found = ok ? figures_find (&list, &wanted) : NULL;
  if (ok && found == NULL)
    message_set (why, "fio has done something else");
  if (found != NULL) {
    *f = *found;
    f->cell = *cell;
  }
  free (list.f);
  return found != NULL;
}

void
run_cell (const struct target *t, const struct cell *cell, unsigned seconds,
          struct figures *f, char version[32])
{
  struct arguments a = {.n = 0};
  static char output[PATH_MAX], said[PATH_MAX];
  char line[256];
  struct message why;
  int status;
  bool ok = false;

  make_file (output);
  make_file (said);
  add (&a, "fio");
  add_load (&a, cell, seconds);
  add (&a, "--output=%s", output);
  if (t->is_uri) {
    add (&a, "--ioengine=nbd");
    add (&a, "--uri=%s", t->name);
  }
  else {
    add (&a, "--ioengine=libaio");
    add (&a, "--direct=1");
    add (&a, "--size=%" PRIu64, t->drive.size);
    add (&a, "--filename=%s", t->path);
  }
  a.argv[a.n] = NULL;
  status = run (a.argv, said);
  first_line (said, line);
  clear (&a);
  if (status == 0)
    ok = take_output (output, cell, f, version, &why);
  unlink (output);
  unlink (said);
  if (status < 0)
    die ("fio: %s", strerror (-status));
  if (status != 0)
    die ("%s: fio ends with status %d: %s", t->name, status, line);
  if (!ok)
    die ("%s: %s", t->name, why.text);
}

/*---------------------------------------------------------------------*/

/* nullblk-serve beside this program, where it was built or installed. */
static void
find_serve (char path[PATH_MAX])
{
  ssize_t len = readlink ("/proc/self/exe", path, PATH_MAX - 32);
  char *name;

  path[len > 0 ? len : 0] = '\0';
  name = strrchr (path, '/');
  if (name != NULL) {
    strcpy (name + 1, "nullblk-serve");
    if (access (path, X_OK) == 0)
      return;
  }
  snprintf (path, PATH_MAX, "%s/nullblk-serve", BINDIR);
}

/* For a shell. */
static void
quote (const char *from, char *to, size_t size)
{
  char *end = to + size - 8;

  *to++ = '\'';
  for (; *from != '\0' && to < end; from++) {
    if (*from == '\'') {
      strcpy (to, "'\\''");
      to += 4;
    }
    else
      *to++ = *from;
  }
  strcpy (to, "'");
}

double
run_way (uint64_t nsec, unsigned seconds)
{
  const struct cell cell = {RANDREAD, 4096, 1, 0};
  struct arguments serve = {.n = 0}, fio = {.n = 0};
  static char path[PATH_MAX], output[PATH_MAX], said[PATH_MAX];
  static char command[8192], word[2048];
  char version[32];
  struct figures f;
  struct message why;
  unsigned i;
  size_t used;
  bool ok;

  make_file (output);
  make_file (said);
  add_load (&fio, &cell, seconds);
  add (&fio, "--output=%s", output);
  add (&fio, "--ioengine=nbd");
  strcpy (command, "fio");
  for (i = 0; i < fio.n; i++) {
    quote (fio.argv[i], word, sizeof word);
    used = strlen (command);
    snprintf (command + used, sizeof command - used, " %s", word);
  }
  used = strlen (command);
  snprintf (command + used, sizeof command - used, " --uri=\"$uri\"");
  find_serve (path);
  add (&serve, "%s", path);
  add (&serve, "-U");
  add (&serve, "-");
  add (&serve, "1G");
  add (&serve, "latency=%" PRIu64 "ns", nsec);
  add (&serve, "--run");
  add (&serve, "%s", command);
  serve.argv[serve.n] = NULL;
  ok = run (serve.argv, said) == 0 &&
       take_output (output, &cell, &f, version, &why);
  clear (&serve);
  clear (&fio);
  unlink (output);
  unlink (said);
  return ok ? figures_percentile (&f, 50) - (double) nsec : -1;
}
