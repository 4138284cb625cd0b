/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * soak SOCKET PID ROUNDS SEED: load of all kinds on a server, every byte of
 * which is verified.  Three clients have a MiB each of nullb0, and write, zero,
 * trim, flush and read it; a fourth one writes and resets the zones of nullb1,
 * and cuts its power.  Meanwhile the main thread cuts the power of nullb0,
 * changes settings, connects, closes connections with requests under way, and
 * kills processes that have some.  After each round all data is read, and the
 * server PID is to have as many threads and descriptors as after the first, and
 * hardly more memory.  A line tells how that is, ten times in a run, and the
 * last one what was done in all.
 *
 *     block  | version 7 | 8  | 9 (zeroes) | 11 |     of one block; a power
 *              durable    since the last flush        cut leaves any of them
 *
 * The main thread counts a cut before it makes it.  A client that sees after a
 * request that there was one more takes nothing from that request.
 */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libnbd.h>

#define BLOCK 4096
#define BLOCKS 256 /* of a client */
#define MOST 8     /* blocks of a request */
#define VERSIONS 24
#define CLIENTS 3
#define OPERATIONS 1500 /* of a client in a round */
#define FIRST_ZONE 20   /* those before it are conventional */
#define ZONES 12
#define ZONE_BLOCKS 64
#define SCRATCH (UINT64_C (4) << 20) /* where nobody verifies */
#define UNDER_WAY 8 /* requests of a client that vanishes, or is killed */
#define LINES 10    /* on the server's size */

extern char **environ;

static const char *socket_path;
static atomic_uint cuts, restored; /* of nullb0 */
static atomic_uint seen[CLIENTS];  /* cuts, after which it has read all */
static atomic_bool is_last;        /* the main thread is done with a round */
static pthread_barrier_t barrier;
static atomic_ullong verified; /* bytes */
static atomic_ullong requests; /* of the clients that verify */
static atomic_uint zone_cuts;  /* of nullb1's power */
static unsigned changes, connects, vanished, killed; /* of the main thread */

#define fail(...)                                                              \
  (fprintf (stderr, __VA_ARGS__), fputc ('\n', stderr), exit (EXIT_FAILURE))

static uint64_t
next_random (uint64_t *state)
{
  *state += *state == 0;
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C (0x2545f4914f6cdd1d);
}

static unsigned
below (uint64_t *state, unsigned n)
{
  return (next_random (state) >> 33) % n;
}

static void
nap (void)
{
  nanosleep (&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static struct nbd_handle *
open_export (const char *name)
{
  struct nbd_handle *h = nbd_create ();

  if (h == NULL || nbd_set_export_name (h, name) == -1 ||
      nbd_connect_unix (h, socket_path) == -1)
    fail ("%s: %s", name, nbd_get_error ());
  return h;
}

static void
close_export (struct nbd_handle *h)
{
  nbd_shutdown (h, 0);
  nbd_close (h);
}

/*---------------------------------------------------------------------*/
/* Data: version 0 is zeroes */

static void
fill (uint8_t *buf, unsigned of, unsigned block, uint32_t version)
{
  uint64_t word = (uint64_t) of << 48 | (uint64_t) block << 32 | version;
  unsigned i;

  for (i = 0; i < BLOCK; i += 8, word += UINT64_C (0x9e3779b97f4a7c15))
    memcpy (buf + i, version != 0 ? &word : &(uint64_t){0}, 8);
}

static bool
is_version (const uint8_t *buf, unsigned of, unsigned block, uint32_t version)
{
  uint8_t wanted[BLOCK];

  fill (wanted, of, block, version);
  return memcmp (buf, wanted, BLOCK) == 0;
}

/*---------------------------------------------------------------------*/
/* A client of nullb0 */

struct client {
  unsigned number, rounds;
  uint64_t random;
  struct nbd_handle *h;
  unsigned cuts; /* that it knows of */
  uint32_t version;
  struct {
    unsigned n; /* at least 1; the first is durable, the last the newest */
    uint32_t version[VERSIONS];
  } block[BLOCKS];
  uint8_t buf[MOST * BLOCK];
};

static uint64_t
offset_of (const struct client *c, unsigned block)
{
  return ((uint64_t) c->number << 20) + (uint64_t) block * BLOCK;
}

/* Read all, after a cut or at the end of a round: each block has one of the
 * versions that it may have, which is its only one from then on.
 */
static void
look_at_all (struct client *c, const char *when)
{
  unsigned i, j;

  for (i = 0; i < BLOCKS; i++) {
    if (nbd_pread (c->h, c->buf, BLOCK, offset_of (c, i), 0) == -1)
      fail ("client %u, %s: %s", c->number, when, nbd_get_error ());
    for (j = c->block[i].n; j > 0; j--) {
      if (is_version (c->buf, c->number, i, c->block[i].version[j - 1]))
        break;
    }
    if (j == 0)
      fail ("client %u, %s: block %u is none of its %u versions", c->number,
            when, i, c->block[i].n);
    c->block[i].version[0] = c->block[i].version[j - 1];
    c->block[i].n = 1;
    atomic_fetch_add (&verified, BLOCK);
  }
}

/* After each request, which may have failed.  Returns whether power was on all
 * the time.
 */
static bool
power_was_on (struct client *c, bool ok)
{
  const unsigned now = atomic_load (&cuts);

  if (now == c->cuts) {
    if (!ok)
      fail ("client %u: with power: %s", c->number, nbd_get_error ());
    return true;
  }
  while (atomic_load (&restored) != now)
    nap ();
  c->cuts = now;
  /* The request may have reached the server after the cut. */
  if (nbd_flush (c->h, 0) == -1)
    fail ("client %u, after a cut: %s", c->number, nbd_get_error ());
  look_at_all (c, "after a cut");
  atomic_store (&seen[c->number], now);
  return false;
}

static void
flush (struct client *c)
{
  unsigned i;

  if (!power_was_on (c, nbd_flush (c->h, 0) == 0))
    return;
  for (i = 0; i < BLOCKS; i++) {
    c->block[i].version[0] = c->block[i].version[c->block[i].n - 1];
    c->block[i].n = 1;
  }
}

static void
change (struct client *c, unsigned first, unsigned n, unsigned how)
{
  const uint32_t fua = below (&c->random, 8) == 0 ? LIBNBD_CMD_FLAG_FUA : 0;
  const uint32_t version = how < 8 ? ++c->version : 0;
  unsigned i;
  int r;

  for (i = first; i < first + n; i++) {
    if (c->block[i].n == VERSIONS)
      flush (c);
  }
  for (i = 0; i < n; i++) {
    fill (c->buf + i * BLOCK, c->number, first + i, version);
    c->block[first + i].version[c->block[first + i].n++] = version;
  }
  if (version != 0)
    r = nbd_pwrite (c->h, c->buf, n * BLOCK, offset_of (c, first), fua);
  else if (how == 8)
    r = nbd_zero (c->h, n * BLOCK, offset_of (c, first), fua);
  else
    r = nbd_trim (c->h, n * BLOCK, offset_of (c, first), fua);
  if (!power_was_on (c, r == 0) || fua == 0)
    return;
  for (i = first; i < first + n; i++) {
    c->block[i].version[0] = version;
    c->block[i].n = 1;
  }
}

static void
look (struct client *c, unsigned first, unsigned n)
{
  unsigned i;
  int r = nbd_pread (c->h, c->buf, n * BLOCK, offset_of (c, first), 0);

  if (!power_was_on (c, r == 0))
    return;
  for (i = 0; i < n; i++) {
    if (!is_version (c->buf + i * BLOCK, c->number, first + i,
                     c->block[first + i].version[c->block[first + i].n - 1]))
      fail ("client %u: block %u is not what was written", c->number,
            first + i);
  }
  atomic_fetch_add (&verified, n * BLOCK);
}

static void *
run_client (void *opaque)
{
  struct client *c = opaque;
  unsigned round, i, n, first;

  c->h = open_export ("nullb0");
  for (i = 0; i < BLOCKS; i++)
    c->block[i].n = 1;
  for (round = 0; round < c->rounds; round++) {
    for (i = 0; i < OPERATIONS || !atomic_load (&is_last); i++) {
      atomic_fetch_add (&requests, 1);
      n = 1 + below (&c->random, MOST);
      first = below (&c->random, BLOCKS - n);
      switch (below (&c->random, 4)) {
      case 0:
        look (c, first, n);
        break;
      case 1:
        if (below (&c->random, 16) == 0) {
          flush (c);
          break;
        }
        /* fall through */
      default:
        change (c, first, n, below (&c->random, 10));
      }
    }
    pthread_barrier_wait (&barrier); /* there are no more cuts */
    power_was_on (c, true);
    flush (c);
    look_at_all (c, "at the end of a round");
    pthread_barrier_wait (&barrier); /* all is quiet */
    pthread_barrier_wait (&barrier); /* the server was looked at */
  }
  close_export (c->h);
  return NULL;
}

/*---------------------------------------------------------------------*/
/* The client of nullb1 */

struct zone {
  uint32_t life;        /* which its data has, grows with each reset */
  unsigned wp, durable; /* blocks */
  bool was_reset;       /* since the last flush */
};

struct zoned {
  unsigned rounds;
  uint64_t random;
  struct nbd_handle *h, *table, *config;
  struct zone zone[ZONES];
  uint8_t buf[ZONE_BLOCKS * BLOCK];
};

static void
done (int r, const char *what)
{
  if (r == -1)
    fail ("zones: %s: %s", what, nbd_get_error ());
}

static uint64_t
zone_offset (unsigned zone)
{
  return (uint64_t) (FIRST_ZONE + zone) * ZONE_BLOCKS * BLOCK;
}

/* A zone descriptor's write pointer, in blocks of the zone. */
static unsigned
pointer_of (struct zoned *z, unsigned zone)
{
  uint8_t d[64];
  uint64_t wp = 0;
  int i;

  done (nbd_pread (z->table, d, sizeof d, (FIRST_ZONE + zone) * sizeof d, 0),
        "a descriptor");
  for (i = 7; i >= 0; i--)
    wp = wp << 8 | d[16 + i];
  return (unsigned) ((wp * 512 - zone_offset (zone)) / BLOCK);
}

static void
look_at_zone (struct zoned *z, unsigned zone)
{
  const struct zone *s = &z->zone[zone];
  unsigned i;

  if (s->wp == 0)
    return;
  done (nbd_pread (z->h, z->buf, s->wp * BLOCK, zone_offset (zone), 0), "read");
  for (i = 0; i < s->wp; i++) {
    if (!is_version (z->buf + i * BLOCK, 9 + zone, i, s->life))
      fail ("zone %u: block %u is not what was written", zone, i);
  }
  atomic_fetch_add (&verified, s->wp * BLOCK);
}

static void
reset_zone (struct zoned *z, unsigned zone)
{
  struct zone *s = &z->zone[zone];

  done (nbd_trim (z->h, ZONE_BLOCKS * BLOCK, zone_offset (zone), 0), "reset");
  s->life++;
  s->wp = s->durable = 0;
  s->was_reset = true;
}

static void
flush_zones (struct zoned *z)
{
  unsigned i;

  done (nbd_flush (z->h, 0), "flush");
  for (i = 0; i < ZONES; i++) {
    z->zone[i].durable = z->zone[i].wp;
    z->zone[i].was_reset = false;
  }
}

static void
set (struct nbd_handle *config, const char *lines)
{
  if (nbd_pwrite (config, lines, strlen (lines), 0, 0) == -1)
    fail ("%s: %s", lines, nbd_get_error ());
}

/* What a cut leaves of a zone that was reset is of its lives before, too. */
static void
cut_zones (struct zoned *z)
{
  unsigned i, wp;

  atomic_fetch_add (&zone_cuts, 1);
  set (z->config, "power=cut\n");
  set (z->config, "power=on\n");
  for (i = 0; i < ZONES; i++) {
    wp = pointer_of (z, i);
    if (z->zone[i].was_reset) {
      reset_zone (z, i);
      continue;
    }
    if (wp < z->zone[i].durable || wp > z->zone[i].wp)
      fail ("zone %u: after a cut it has %u blocks, and not %u to %u", i, wp,
            z->zone[i].durable, z->zone[i].wp);
    z->zone[i].wp = z->zone[i].durable = wp;
    look_at_zone (z, i);
  }
}

static void
write_zone (struct zoned *z, unsigned zone)
{
  struct zone *s = &z->zone[zone];
  unsigned n = 1 + below (&z->random, 16), i;

  if (s->wp == ZONE_BLOCKS)
    reset_zone (z, zone);
  if (n > ZONE_BLOCKS - s->wp)
    n = ZONE_BLOCKS - s->wp;
  for (i = 0; i < n; i++)
    fill (z->buf + i * BLOCK, 9 + zone, s->wp + i, s->life);
  if (nbd_pwrite (z->h, z->buf, n * BLOCK, zone_offset (zone) + s->wp * BLOCK,
                  0) == -1)
    fail ("zone %u, at block %u: write: %s; its pointer is at %u", zone, s->wp,
          nbd_get_error (), pointer_of (z, zone));
  s->wp += n;
}

static void *
run_zones (void *opaque)
{
  struct zoned *z = opaque;
  unsigned round, i, zone;

  z->h = open_export ("nullb1");
  z->table = open_export ("nullb1.zones");
  z->config = open_export ("nullb1.config");
  for (i = 0; i < ZONES; i++)
    z->zone[i].life = 1;
  for (round = 0; round < z->rounds; round++) {
    for (i = 0; i < OPERATIONS || !atomic_load (&is_last); i++) {
      atomic_fetch_add (&requests, 1);
      zone = below (&z->random, ZONES);
      switch (below (&z->random, 32)) {
      case 0:
        reset_zone (z, zone);
        break;
      case 1:
        flush_zones (z);
        break;
      case 2:
        if (below (&z->random, 8) == 0)
          cut_zones (z);
        break;
      case 3 ... 12:
        look_at_zone (z, zone);
        break;
      default:
        write_zone (z, zone);
      }
    }
    pthread_barrier_wait (&barrier);
    flush_zones (z);
    for (i = 0; i < ZONES; i++)
      look_at_zone (z, i);
    pthread_barrier_wait (&barrier);
    pthread_barrier_wait (&barrier);
  }
  close_export (z->h);
  close_export (z->table);
  close_export (z->config);
  return NULL;
}

/*---------------------------------------------------------------------*/
/* The main thread */

static void
cut_power (struct nbd_handle *config, uint64_t *random)
{
  static const char *const how[] = {"power=cut\nlose=random\n",
                                    "power=cut\nlose=all\n",
                                    "power=cut\nlose=none\n"};
  const unsigned n = atomic_load (&cuts) + 1;
  unsigned i;

  for (i = 0; i < CLIENTS; i++) {
    while (atomic_load (&seen[i]) != n - 1)
      nap ();
  }
  atomic_store (&cuts, n);
  set (config, how[below (random, 3)]);
  nap ();
  set (config, "power=on\n");
  atomic_store (&restored, n);
}

static void
change_settings (struct nbd_handle *config, uint64_t *random)
{
  static const char *const lines[] = {
      "latency=20us\n",
      "latency=0\nread-latency=normal:10us,2us\n",
      "lanes=2\nlatency=5us\n",
      "lanes=1\n",
      "iops=1000000\n",
      "iops=0\nmbps=0\n",
      "fault=op=write rate=1% delay=10us\n",
      "fault=op=read range=4M+1M error=EIO\n",
      "fault-delete=all\n",
      "badblocks=+8192-8200\n",
      "badblocks=none\n",
      "memory-limit=32M\n",
      "stats=reset\n",
      "profile=nvme\n",
      "profile=none\n",
  };

  set (config, lines[below (random, sizeof lines / sizeof lines[0])]);
  changes++;
}

static int
ignore (void *opaque, int *error)
{
  (void) opaque;
  (void) error;
  return 1;
}

/* Begin requests that nobody waits for, where nobody verifies. */
static void
begin_some (struct nbd_handle *h, uint64_t *random)
{
  static const nbd_completion_callback done_with = {.callback = ignore};
  static uint8_t data[MOST * BLOCK];
  uint64_t offset = SCRATCH;
  unsigned i;

  for (i = 0; i < UNDER_WAY; i++, offset += sizeof data) {
    switch (below (random, 5)) {
    case 0:
      nbd_aio_trim (h, sizeof data, offset, done_with, 0);
      break;
    case 1:
      nbd_aio_flush (h, done_with, 0);
      break;
    case 2:
      nbd_aio_pread (h, data, sizeof data, offset, done_with, 0);
      break;
    default:
      nbd_aio_pwrite (h, data, sizeof data, offset, done_with, 0);
    }
    nbd_poll (h, 0);
  }
}

/* A client that goes away with its requests under way. */
static void
vanish (uint64_t *random)
{
  struct nbd_handle *h = open_export ("nullb0");

  begin_some (h, random);
  nbd_close (h);
  vanished++;
}

/* A process that is to be killed: it says so once requests are under way, and
 * goes on with them.
 */
static int
be_killed (uint64_t random)
{
  struct nbd_handle *h = open_export ("nullb0");

  begin_some (h, &random);
  if (write (STDOUT_FILENO, "", 1) != 1)
    return EXIT_FAILURE;
  for (;;) {
    if (nbd_aio_in_flight (h) == 0)
      begin_some (h, &random);
    nbd_poll (h, -1);
  }
}

static void
kill_one (uint64_t *random)
{
  char number[32], program[] = "soak", path[256];
  char *argv[] = {program, path, number, NULL};
  posix_spawn_file_actions_t actions;
  int out[2], status;
  pid_t pid;
  char byte;

  snprintf (path, sizeof path, "%s", socket_path);
  snprintf (number, sizeof number, "%u", below (random, 1 << 30));
  if (pipe2 (out, O_CLOEXEC) == -1 ||
      posix_spawn_file_actions_init (&actions) != 0 ||
      posix_spawn_file_actions_adddup2 (&actions, out[1], STDOUT_FILENO) != 0 ||
      posix_spawn (&pid, "/proc/self/exe", &actions, NULL, argv, environ) != 0)
    fail ("a process that is to be killed cannot be started");
  posix_spawn_file_actions_destroy (&actions);
  close (out[1]);
  if (read (out[0], &byte, 1) != 1)
    fail ("a process that is to be killed has ended");
  close (out[0]);
  nanosleep (&(struct timespec){.tv_nsec = below (random, 3000000)}, NULL);
  kill (pid, SIGKILL);
  if (waitpid (pid, &status, 0) != pid || !WIFSIGNALED (status))
    fail ("a process that is to be killed has ended by itself");
  killed++;
}

/* One that only looks. */
static void
look_at_statistics (void)
{
  static char text[65536];
  struct nbd_handle *h = open_export ("nullb0.stats");

  if (nbd_pread (h, text, sizeof text, 0, 0) == -1 || text[0] != '{')
    fail ("nullb0.stats: %s", nbd_get_error ());
  close_export (h);
  connects++;
}

struct size {
  unsigned threads, descriptors, kib;
};

static struct size
size_of_server (const char *pid)
{
  struct size r = {0};
  char path[64], line[256];
  struct dirent *entry;
  FILE *fp;
  DIR *dir;

  snprintf (path, sizeof path, "/proc/%s/status", pid);
  fp = fopen (path, "re");
  if (fp == NULL)
    fail ("%s: %s", path, strerror (errno));
  while (fgets (line, sizeof line, fp) != NULL) {
    sscanf (line, "Threads: %u", &r.threads);
    sscanf (line, "VmRSS: %u", &r.kib);
  }
  fclose (fp);
  snprintf (path, sizeof path, "/proc/%s/fd", pid);
  dir = opendir (path);
  if (dir == NULL)
    fail ("%s: %s", path, strerror (errno));
  while ((entry = readdir (dir)) != NULL)
    r.descriptors += entry->d_name[0] != '.';
  closedir (dir);
  return r;
}

/* Connections that were closed may take the server a moment. */
static struct size
level (const char *pid, const struct size *first)
{
  struct size r = size_of_server (pid);
  unsigned i;

  for (i = 0; i < 60000 && (r.threads > first->threads ||
                            r.descriptors > first->descriptors);
       i++) {
    nap ();
    r = size_of_server (pid);
  }
  if (r.threads > first->threads || r.descriptors > first->descriptors)
    fail ("the server has %u threads and %u descriptors, and had %u and %u",
          r.threads, r.descriptors, first->threads, first->descriptors);
  if (r.kib > first->kib + 16384)
    fail ("the server has %u KiB, and had %u", r.kib, first->kib);
  return r;
}

int
main (int argc, char *argv[])
{
  static struct client client[CLIENTS];
  static struct zoned zoned;
  pthread_t thread[CLIENTS + 1];
  struct size first = {0}, now;
  unsigned rounds, round, i, step;
  struct nbd_handle *config;
  uint64_t seed, random;

  if (argc != 3 && argc != 5)
    fail ("soak SOCKET PID ROUNDS SEED");
  socket_path = argv[1];
  if (argc == 3)
    return be_killed (strtoull (argv[2], NULL, 10));
  rounds = strtoul (argv[3], NULL, 10);
  seed = random = strtoull (argv[4], NULL, 10);
  config = open_export ("nullb0.config");
  pthread_barrier_init (&barrier, NULL, CLIENTS + 2);
  for (i = 0; i < CLIENTS; i++) {
    client[i] = (struct client){
        .number = i, .rounds = rounds, .random = seed * 31 + i + 1};
    pthread_create (&thread[i], NULL, run_client, &client[i]);
  }
  zoned.rounds = rounds;
  zoned.random = seed * 37 + 5;
  pthread_create (&thread[CLIENTS], NULL, run_zones, &zoned);
  for (round = 1; round <= rounds; round++) {
    for (step = 0; step < 24; step++) {
      change_settings (config, &random);
      if (step % 8 == 3)
        cut_power (config, &random);
      if (step % 3 == 0)
        vanish (&random);
      if (step % 6 == 1)
        kill_one (&random);
      if (step % 5 == 0)
        look_at_statistics ();
    }
    atomic_store (&is_last, true);
    pthread_barrier_wait (&barrier);
    pthread_barrier_wait (&barrier);
    atomic_store (&is_last, false);
    if (round == 1)
      first = size_of_server (argv[2]);
    now = level (argv[2], &first);
    if (round == 1 || round * LINES / rounds != (round - 1) * LINES / rounds)
      printf ("round %u: threads %u, descriptors %u, KiB %u\n", round,
              now.threads, now.descriptors, now.kib);
    fflush (stdout);
    pthread_barrier_wait (&barrier);
  }
  for (i = 0; i <= CLIENTS; i++)
    pthread_join (thread[i], NULL);
  printf ("%llu requests, %llu MiB verified, %u cuts of power, %u changes of "
          "settings, %u connections that looked, %u that vanished, %u clients "
          "killed\n",
          (unsigned long long) atomic_load (&requests),
          (unsigned long long) atomic_load (&verified) >> 20,
          atomic_load (&cuts) + atomic_load (&zone_cuts), changes, connects,
          vanished, killed);
  close_export (config);
  return EXIT_SUCCESS;
}
