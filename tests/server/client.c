/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A server and its connections for the tests; see client.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "zones/zones.h"

/* How long a server may take to start or to end, in seconds. */
#define PATIENCE 60

#define MAX_ARGS 32
#define MAX_HANDLES 8
#define PIECE (4 * MIB) /* what is read at once to look at it */

static struct {
  pid_t pid; /* 0 when there is none */
  char dir[32];
  char socket[64];
  char pidfile[64];
} server;

static struct nbd_handle *handles[MAX_HANDLES];

uint64_t
monotonic_ns (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 * MSEC + t.tv_nsec;
}

/*---------------------------------------------------------------------*/
/* The server */

static const char *
from_environment (const char *name)
{
  const char *value = getenv (name);

  if (value == NULL)
    fail_msg ("%s is not set; run this with make check", name);
  return value;
}

static void
wait_a_little (void)
{
  const struct timespec ten_ms = {.tv_nsec = 10000000};

  nanosleep (&ten_ms, NULL);
}

/* In the child.  What nbdkit prints must not look like our test results. */
static void __attribute__ ((noreturn))
exec_server (const char *nbdkit, const char *plugin, const char *const *args)
{
  char *argv[MAX_ARGS];
  size_t i = 0;

  argv[i++] = strdup (nbdkit);
  argv[i++] = strdup ("-f");
  argv[i++] = strdup ("--exit-with-parent");
  argv[i++] = strdup ("-U");
  argv[i++] = strdup (server.socket);
  argv[i++] = strdup ("-P");
  argv[i++] = strdup (server.pidfile);
  argv[i++] = strdup (plugin);
  for (; *args != NULL && i < MAX_ARGS - 1; args++)
    argv[i++] = strdup (*args);
  argv[i] = NULL;
  if (*args == NULL && dup2 (STDERR_FILENO, STDOUT_FILENO) != -1)
    execv (argv[0], argv);
  perror (argv[0]);
  _exit (127);
}

void
serve_args (const char *const *args)
{
  const char *nbdkit = from_environment ("NBDKIT");
  const char *plugin = from_environment ("PLUGIN");
  int tries;

  assert_int_equal (server.pid, 0);
  strcpy (server.dir, "/tmp/nullblk-XXXXXX");
  assert_non_null (mkdtemp (server.dir));
  snprintf (server.socket, sizeof server.socket, "%s/socket", server.dir);
  snprintf (server.pidfile, sizeof server.pidfile, "%s/pid", server.dir);

  fflush (stdout);
  server.pid = fork ();
  assert_int_not_equal (server.pid, -1);
  if (server.pid == 0)
    exec_server (nbdkit, plugin, args);

  for (tries = 0; tries < PATIENCE * 100; tries++) {
    if (access (server.pidfile, F_OK) == 0)
      return;
    if (waitpid (server.pid, NULL, WNOHANG) == server.pid) {
      server.pid = 0;
      fail_msg ("the server ended instead of listening");
    }
    wait_a_little ();
  }
  fail_msg ("the server does not listen");
}

const char *
server_socket (void)
{
  return server.socket;
}

void
terminate_server (void)
{
  assert_int_equal (kill (server.pid, SIGTERM), 0);
}

/* Returns the status of waitpid, or -1 if the server does not end. */
static int
end_server (void)
{
  int tries, status;

  kill (server.pid, SIGTERM);
  for (tries = 0; tries < PATIENCE * 100; tries++) {
    if (waitpid (server.pid, &status, WNOHANG) == server.pid)
      return status;
    wait_a_little ();
  }
  kill (server.pid, SIGKILL);
  waitpid (server.pid, NULL, 0);
  return -1;
}

static void
remove_files (void)
{
  unlink (server.socket);
  unlink (server.pidfile);
  rmdir (server.dir);
}

/* The program is ended from outside, or takes too long. */
static void
end_at_once (int sig)
{
  (void) sig;
  if (server.pid != 0)
    kill (server.pid, SIGKILL);
  remove_files ();
  _exit (EXIT_FAILURE);
}

void
end_with_server (unsigned seconds)
{
  signal (SIGALRM, end_at_once);
  signal (SIGHUP, end_at_once);
  signal (SIGINT, end_at_once);
  signal (SIGTERM, end_at_once);
  alarm (seconds);
}

int
stop_server (void **state)
{
  int status = 0;
  size_t i;

  (void) state;
  for (i = 0; i < MAX_HANDLES; i++) {
    if (handles[i] != NULL)
      disconnect (handles[i]);
  }
  if (server.pid != 0)
    status = end_server ();
  server.pid = 0;
  remove_files ();
  if (status != 0)
    print_error ("the server ended badly: status of waitpid %d\n", status);
  return status != 0 ? -1 : 0;
}

/*---------------------------------------------------------------------*/
/* Connections */

struct nbd_handle *
new_handle (void)
{
  struct nbd_handle *h = nbd_create ();
  size_t i;

  assert_non_null (h);
  for (i = 0; i < MAX_HANDLES && handles[i] != NULL; i++)
    ;
  assert_true (i < MAX_HANDLES);
  handles[i] = h;
  assert_done (nbd_set_strict_mode (h, 0));
  assert_done (nbd_add_meta_context (h, LIBNBD_CONTEXT_BASE_ALLOCATION));
  return h;
}

struct nbd_handle *
connect_to (const char *export_name)
{
  struct nbd_handle *h = new_handle ();

  assert_done (nbd_set_export_name (h, export_name));
  assert_done (nbd_connect_unix (h, server.socket));
  return h;
}

void
abandon (struct nbd_handle *h)
{
  size_t i;

  for (i = 0; i < MAX_HANDLES; i++) {
    if (handles[i] == h)
      handles[i] = NULL;
  }
  nbd_close (h);
}

void
disconnect (struct nbd_handle *h)
{
  if (nbd_aio_is_ready (h))
    nbd_shutdown (h, 0);
  abandon (h);
}

/*---------------------------------------------------------------------*/
/* What the server says */

struct text {
  char buf[4096];
  size_t len;
};

static int
print_extents (void *opaque, const char *context, uint64_t offset,
               uint32_t *entries, size_t nr, int *error)
{
  static const char *const kinds[] = {
      [0] = "data",
      [LIBNBD_STATE_HOLE | LIBNBD_STATE_ZERO] = "hole",
      [LIBNBD_STATE_ZERO] = "zero",
      [LIBNBD_STATE_HOLE] = "hole that is not zero",
  };
  struct text *text = opaque;
  size_t i;

  (void) context;
  (void) offset;
  (void) error;
  for (i = 0; i + 1 < nr && text->len < sizeof text->buf; i += 2)
    text->len += snprintf (text->buf + text->len, sizeof text->buf - text->len,
                           "%s%" PRIu32 " %s", text->len > 0 ? ", " : "",
                           entries[i], kinds[entries[i + 1] & 3]);
  return 0;
}

/* What the last ask_extents was told. */
static struct text extents;

int
ask_extents (struct nbd_handle *h, uint64_t count, uint64_t offset,
             uint32_t flags)
{
  extents.len = 0;
  extents.buf[0] = '\0';
  return nbd_block_status (
      h, count, offset,
      (nbd_extent_callback){.callback = print_extents, .user_data = &extents},
      flags);
}

const char *
extents_of (struct nbd_handle *h, uint64_t count, uint64_t offset,
            uint32_t flags)
{
  assert_done (ask_extents (h, count, offset, flags));
  assert_true (extents.len < sizeof extents.buf);
  return extents.buf;
}

void
fill_random (void *buf, size_t len, uint64_t *seed)
{
  unsigned char *p = buf;
  uint64_t r;
  size_t n;

  for (; len > 0; p += n, len -= n) {
    r = next_random (seed);
    n = len < sizeof r ? len : sizeof r;
    memcpy (p, &r, n);
  }
}

/* nbdkit hands a plugin the buffer that an earlier request of the connection
 * left.  Have it hold something that no test expects, through a write that is
 * refused for its alignment: else what a read does not fill looks right.
 */
static void
spoil_buffer (struct nbd_handle *h, size_t len)
{
  static unsigned char buf[PIECE];

  memset (buf, 0xdb, len);
  assert_int_equal (nbd_pwrite (h, buf, len - 1, 1, 0), -1);
}

/* DATA is NULL for zeroes. */
static void
check_reads (struct nbd_handle *h, const unsigned char *data, uint64_t len,
             uint64_t offset)
{
  static unsigned char buf[PIECE];
  uint64_t done, i;
  size_t n;

  for (done = 0; done < len; done += n) {
    n = len - done < PIECE ? len - done : PIECE;
    memset (buf, 0x55, n);
    spoil_buffer (h, n);
    assert_done (nbd_pread (h, buf, n, offset + done, 0));
    for (i = 0; i < n; i++) {
      if (buf[i] != (data != NULL ? data[done + i] : 0))
        fail_msg ("wrong byte 0x%02x at %" PRIu64, buf[i], offset + done + i);
    }
  }
}

void
assert_reads (struct nbd_handle *h, const void *data, size_t len,
              uint64_t offset)
{
  check_reads (h, data, len, offset);
}

void
assert_reads_zero (struct nbd_handle *h, uint64_t len, uint64_t offset)
{
  check_reads (h, NULL, len, offset);
}

/*---------------------------------------------------------------------*/
/* Control exports */

void
serve_with_control (const char *const *args, struct nbd_handle **device,
                    struct nbd_handle **config, struct nbd_handle **stats)
{
  serve_args (args);
  *device = connect_to ("");
  *config = connect_to ("nullb0.config");
  *stats = connect_to ("nullb0.stats");
}

void
change_settings (struct nbd_handle *config, const char *lines)
{
  assert_done (nbd_pwrite (config, lines, strlen (lines), 0, 0));
}

const char *
read_stats (struct nbd_handle *stats)
{
  static char text[MIB + 1];

  assert_done (nbd_pread (stats, text, MIB, 0, 0));
  text[MIB] = '\0';
  return text;
}

void
assert_stats_have (struct nbd_handle *stats, const char *what)
{
  const char *text = read_stats (stats);

  if (strstr (text, what) == NULL)
    fail_msg ("no '%s' in: %.2000s", what, text);
}

void
assert_change_refused (struct nbd_handle *config, const char *lines,
                       const char *reason)
{
  static char text[64 * KIB + 1];
  char expected[256];

  assert_refused (EINVAL, nbd_pwrite (config, lines, strlen (lines), 0, 0));
  assert_done (nbd_pread (config, text, sizeof text - 1, 0, 0));
  snprintf (expected, sizeof expected, "# error: %s", reason);
  if (strncmp (text, expected, strlen (expected)) != 0)
    fail_msg ("not '%s': %.300s", expected, text);
}

bool
defers_replies (struct nbd_handle *stats)
{
  return strstr (read_stats (stats), "\"defers_replies\": true") != NULL;
}

void
wait_for_depth (struct nbd_handle *stats, unsigned depth)
{
  char what[64];
  int tries;

  snprintf (what, sizeof what, "\"queue_depth\": {\"now\": %u,", depth);
  for (tries = 0; tries < PATIENCE * 100; tries++) {
    if (strstr (read_stats (stats), what) != NULL)
      return;
    wait_a_little ();
  }
  fail_msg ("the depth is never %u: %.500s", depth, read_stats (stats));
}

uint64_t
longest_asked (struct nbd_handle *stats, const char *op)
{
  static const char asked[] = "\"asked_ns\": ", most[] = "\"max\": ";
  const char *at = read_stats (stats);
  char section[32];

  snprintf (section, sizeof section, "\n    \"%s\": {", op);
  at = strstr (at, section);
  assert_non_null (at);
  at = strstr (at, asked);
  assert_non_null (at);
  at = strstr (at, most);
  assert_non_null (at);
  return strtoull (at + strlen (most), NULL, 10);
}

/*---------------------------------------------------------------------*/
/* Fault rules */

void
assert_rule (struct nbd_handle *stats, unsigned id, uint64_t evaluated,
             uint64_t hits)
{
  const char *text = read_stats (stats), *rule;
  char what[32], counters[80];

  snprintf (what, sizeof what, "{\"id\": %u,", id);
  rule = strstr (text, what);
  if (rule == NULL)
    fail_msg ("no rule %u in: %.2000s", id, text);
  snprintf (counters, sizeof counters,
            "\"evaluated\": %" PRIu64 ", \"hits\": %" PRIu64 ",", evaluated,
            hits);
  rule = strstr (rule, "\"evaluated\": ");
  assert_non_null (rule);
  if (strncmp (rule, counters, strlen (counters)) != 0)
    fail_msg ("rule %u: not '%s': %.80s", id, counters, rule);
}

const char *const operation_words[NR_OPERATIONS] = {
    [OP_READ] = "read", [OP_WRITE] = "write", [OP_FLUSH] = "flush",
    [OP_TRIM] = "trim", [OP_ZERO] = "zero",   [OP_ZONE] = "zone",
};

int
request_at (struct nbd_handle *device, enum operation op, void *data,
            uint64_t count, uint64_t offset)
{
  switch (op) {
  case OP_READ:
    return nbd_pread (device, data, count, offset, 0);
  case OP_WRITE:
    return nbd_pwrite (device, data, count, offset, 0);
  case OP_FLUSH:
    return nbd_flush (device, 0);
  case OP_TRIM:
    return nbd_trim (device, count, offset, 0);
  case OP_ZERO:
    return nbd_zero (device, count, offset, 0);
  default:
    fail_msg ("no operation of a place: %d", op);
    return -1;
  }
}

int
request_in_zone (struct nbd_handle *device, struct nbd_handle *zones,
                 enum operation op, unsigned zone)
{
  static const struct zone_descriptor empty = {.cond = ZONE_COND_EMPTY};
  static char buf[4096];

  if (op == OP_ZONE)
    return nbd_pwrite (zones, &empty, sizeof empty, zone * sizeof empty, 0);
  return request_at (device, op, buf, sizeof buf, zone * 64 * KIB);
}
