/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Runs fio; see run.h.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "die.h"
#include "fiofile.h"
#include "fit-internal.h"
#include "run.h"

#define die(...) die_as ("nullblk-measure", __VA_ARGS__)

/* The percentiles that fio is asked for.  They are of the time of the whole
 * request (fio's lat), which is what a user waits for, and not of that after it
 * was submitted (clat).
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
  static const char *const loads[NR_LOAD_KINDS] = {
      [LOAD_RANDREAD] = "randread",
      [LOAD_RANDWRITE] = "randwrite",
      [LOAD_READ] = "read",
      [LOAD_WRITE] = "write",
      [LOAD_FLUSH] = "randwrite",
      [LOAD_SUSTAIN] = "randwrite",
      [LOAD_SUSTAINREAD] = "randread",
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
  if (cell->kind == LOAD_FLUSH)
    add (a, "--fsync=%u", cell->n);
  if (kind_sustains (cell->kind) && cell->n > 1)
    add (a, "--ramp_time=%u", SUSTAIN_RAMP);
}

/* Make a file in memory that is in no directory, so that nothing is left of it,
 * however this program ends.  Returns its descriptor, and in PATH the path by
 * which other programs find it.  Dies if that fails.
 */
static int
make_file (const char *name, char path[PATH_MAX])
{
  const int fd = memfd_create (name, MFD_CLOEXEC);

  if (fd == -1)
    die ("%s: %s", name, strerror (errno));
  snprintf (path, PATH_MAX, "/proc/%ld/fd/%d", (long) getpid (), fd);
  return fd;
}

/* Become a program whose stdout and stderr are MESSAGES_FD, and which gets
 * SIGTERM when PARENT ends, in whatever way.  If that fails, an errno goes to
 * the pipe.
 */
static void __attribute__ ((noreturn))
become (char *const *argv, int messages_fd, pid_t parent, int pipe)
{
  const int in = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  int e;

  if (prctl (PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid () == parent &&
      in != -1 && dup2 (in, 0) != -1 && dup2 (messages_fd, 1) != -1 &&
      dup2 (messages_fd, 2) != -1)
    execvp (argv[0], argv);
  e = errno;
  if (write (pipe, &e, sizeof e) == -1)
    _exit (126);
  _exit (127);
}

/* Run a program with MESSAGES_FD as stdout and stderr.  Returns its exit
 * status, 128 and a signal, or -errno if it cannot be run.
 */
static int
run (char *const *argv, int messages_fd)
{
  const pid_t parent = getpid ();
  int pipes[2], status, e = 0;
  pid_t pid;

  if (pipe2 (pipes, O_CLOEXEC) == -1)
    return -errno;
  pid = fork ();
  if (pid == 0)
    become (argv, messages_fd, parent, pipes[1]);
  e = pid == -1 ? errno : 0;
  close (pipes[1]);
  if (pid != -1 && read (pipes[0], &e, sizeof e) != sizeof e)
    e = 0;
  close (pipes[0]);
  if (pid == -1)
    return -e;
  while (waitpid (pid, &status, 0) == -1) {
    if (errno != EINTR)
      return -errno;
  }
  if (e != 0)
    return -e;
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

/* The first line that a program has written, for a message. */
static void
first_line (int messages_fd, char line[256])
{
  const ssize_t len = pread (messages_fd, line, 255, 0);

  line[len > 0 ? len : 0] = '\0';
  line[strcspn (line, "\r\n")] = '\0';
}

/* Take the figures of CELL from fio's output.  Returns false with *why. */
static bool
take_output (const char *path, const struct cell *cell, struct figures *f,
             char version[32], struct message *why)
{
  struct figures_list list = {0};
  const struct figures *found;
  struct cell wanted = *cell;
  bool ok;

  if (kind_sustains (cell->kind)) {
    wanted.kind = cell->kind == LOAD_SUSTAIN ? LOAD_RANDWRITE : LOAD_RANDREAD;
    wanted.n = 0;
  }
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
  static char output[PATH_MAX], unused[PATH_MAX];
  const int output_fd = make_file ("output", output);
  const int messages_fd = make_file ("messages", unused);
  char line[256];
  struct message why;
  int status;
  bool ok = false;

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
  status = run (a.argv, messages_fd);
  first_line (messages_fd, line);
  clear (&a);
  if (status == 0)
    ok = take_output (output, cell, f, version, &why);
  close (output_fd);
  close (messages_fd);
  if (status < 0)
    die ("fio: %s", strerror (-status));
  if (status != 0)
    die ("%s: fio ends with status %d: %s", t->name, status,
         line[0] != '\0' ? line
         : kind_reads (cell->kind)
             ? "it gives no reason"
             : "it gives no reason; is the export read-only?");
  if (!ok)
    die ("%s: %s", t->name, why.text);
}

/*---------------------------------------------------------------------*/

/* Find nullblk-serve, beside this program or else where it is installed. */
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

/* Quote FROM for a shell. */
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
run_client_overhead (const struct figures *like, uint64_t nsec,
                     unsigned seconds)
{
  const struct cell cell = {LOAD_RANDREAD, like->cell.size, 1, 0};
  struct arguments serve = {.n = 0}, fio = {.n = 0};
  static char path[PATH_MAX], output[PATH_MAX], unused[PATH_MAX];
  const int output_fd = make_file ("output", output);
  const int messages_fd = make_file ("messages", unused);
  static char command[8192], word[2048];
  static struct text latency;
  char version[32];
  struct figures f;
  struct message why;
  unsigned i;
  size_t used;
  bool ok;

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
  latency.len = 0;
  fit_add_latency (&latency, "read-latency", like,
                   figures_percentile (like, 50) - (double) nsec);
  add (&serve, "%.*s", (int) strcspn (latency.s, "\n"), latency.s);
  add (&serve, "--run");
  add (&serve, "%s", command);
  serve.argv[serve.n] = NULL;
  ok = run (serve.argv, messages_fd) == 0 &&
       take_output (output, &cell, &f, version, &why);
  clear (&serve);
  clear (&fio);
  close (output_fd);
  close (messages_fd);
  return ok ? figures_percentile (&f, 50) - (double) nsec : -1;
}
