/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-attach: from plugin parameters or a URI to a block device in one
 * command.  nbd-client does the attaching; this finds a free device, starts a
 * server where one is wanted, waits until the device is ready, and remembers
 * what belongs together so that --detach can take all of it away again:
 *
 *   /run/nullblk/lock        held while a device is chosen or taken away
 *   /run/nullblk/NAME/       what was attached as NAME (by default nbdN)
 *       device               "nbdN"
 *       uri                  where it is served
 *       pid, socket          of the server, where it is ours
 *       watcher              the process that reconnects it (--persist)
 *
 * A folder is there before anything else is, and removed after everything
 * else: whatever a crash leaves can be found and cleared.
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libnbd.h>

#include "persist.h"
#include "uri.h"

#define RUN "/run/nullblk"
#define MAX_NAME 64
#define MAX_CONNECTIONS 128
#define LONGEST_PATH 300

/* How long things that take no time may take before they have failed. */
#define PATIENCE_SECONDS 30

extern char **environ;

static struct {
  unsigned connections; /* 0: as many as there are CPUs */
  unsigned depth;
  unsigned timeout; /* seconds; 0: for ever */
  unsigned persist; /* seconds; 0: not at all */
  const char *name;
} options = {.depth = 64};

/* What an export says of itself. */
struct export_info {
  uint64_t size; /* bytes */
  unsigned block_size;
  bool read_only;
  bool multi_conn;
};

static void __attribute__ ((format (printf, 1, 2), noreturn))
die (const char *fs, ...)
{
  va_list args;

  fputs ("nullblk-attach: ", stderr);
  va_start (args, fs);
  vfprintf (stderr, fs, args);
  va_end (args);
  fputc ('\n', stderr);
  exit (EXIT_FAILURE);
}

static void __attribute__ ((format (printf, 3, 4)))
format (char *buf, size_t size, const char *fs, ...)
{
  va_list args;
  int n;

  va_start (args, fs);
  n = vsnprintf (buf, size, fs, args);
  va_end (args);
  if (n < 0 || (size_t) n >= size)
    die ("%s...: too long", buf);
}

/*---------------------------------------------------------------------*/
/* Other programs and processes */

/* Run a program to its end.  Returns its exit status, 127 where there is no
 * such program.  QUIET: what it prints is not for the user.
 */
static int
run (const char *const *argv, bool quiet)
{
  posix_spawn_file_actions_t actions;
  char *const *args;
  int status, err;
  pid_t pid;

  /* exec's prototype is older than const. */
  memcpy (&args, &argv, sizeof args);
  posix_spawn_file_actions_init (&actions);
  /* Our own output is the device's name alone. */
  posix_spawn_file_actions_addopen (&actions, 1, "/dev/null", O_WRONLY, 0);
  if (quiet)
    posix_spawn_file_actions_adddup2 (&actions, 1, 2);
  err = posix_spawnp (&pid, argv[0], &actions, NULL, args, environ);
  posix_spawn_file_actions_destroy (&actions);
  if (err != 0)
    return 127;
  while (waitpid (pid, &status, 0) == -1) {
    if (errno != EINTR)
      die ("waitpid: %s", strerror (errno));
  }
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}

/* Wait for a condition, looking fifty times a second. */
static bool
wait_for (bool (*condition) (const void *), const void *arg)
{
  const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
  unsigned i;

  for (i = 0; i < PATIENCE_SECONDS * 50; i++) {
    if (condition (arg))
      return true;
    nanosleep (&pause, NULL);
  }
  return false;
}

/*---------------------------------------------------------------------*/
/* Small files */

/* The first line of a file, "" where there is none. */
static void
read_line (char *buf, size_t size, const char *folder, const char *file)
{
  char path[LONGEST_PATH];
  FILE *fp;

  buf[0] = '\0';
  format (path, sizeof path, "%s/%s", folder, file);
  fp = fopen (path, "re");
  if (fp == NULL)
    return;
  if (fgets (buf, size, fp) == NULL)
    buf[0] = '\0';
  buf[strcspn (buf, "\n")] = '\0';
  fclose (fp);
}

static bool
write_line (const char *folder, const char *file, const char *text)
{
  char path[LONGEST_PATH];
  FILE *fp;
  bool ok;

  format (path, sizeof path, "%s/%s", folder, file);
  fp = fopen (path, "we");
  if (fp == NULL)
    return false;
  ok = fprintf (fp, "%s\n", text) > 0;
  return fclose (fp) == 0 && ok;
}

static void
folder_of (char *buf, size_t size, const char *name)
{
  format (buf, size, RUN "/%s", name);
}

static void
remove_folder (const char *folder)
{
  static const char *const files[] = {"device", "uri", "pid", "socket",
                                      "watcher"};
  char path[LONGEST_PATH];
  size_t i;

  for (i = 0; i < sizeof files / sizeof files[0]; i++) {
    format (path, sizeof path, "%s/%s", folder, files[i]);
    unlink (path);
  }
  rmdir (folder);
}

/* One nullblk-attach at a time changes anything. */
static int lock_fd = -1;

static void
take_lock (void)
{
  if (mkdir (RUN, 0755) == -1 && errno != EEXIST)
    die (RUN ": %s", strerror (errno));
  lock_fd = open (RUN "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd == -1 || flock (lock_fd, LOCK_EX) == -1)
    die (RUN "/lock: %s", strerror (errno));
}

/*---------------------------------------------------------------------*/
/* Devices */

static bool
is_device_name (const char *name)
{
  return strncmp (name, "nbd", 3) == 0 && isdigit ((unsigned char) name[3]) &&
         name[3 + strspn (name + 3, "0123456789")] == '\0';
}

static void
read_sys (char *buf, size_t size, const char *device, const char *file)
{
  char folder[LONGEST_PATH];

  format (folder, sizeof folder, "/sys/block/%s", device);
  read_line (buf, size, folder, file);
}

/* The kernel shows a pid while a device is attached. */
static bool
is_attached (const char *device)
{
  char pid[32];

  read_sys (pid, sizeof pid, device, "pid");
  return pid[0] != '\0';
}

static bool
is_still_attached (const void *device)
{
  return is_attached (device);
}

static bool
is_detached (const void *device)
{
  return !is_attached (device);
}

static uint64_t
size_of (const char *device)
{
  char sectors[32];

  read_sys (sectors, sizeof sectors, device, "size");
  return strtoull (sectors, NULL, 10) * 512;
}

static int
open_device (const char *device, int flags)
{
  char path[LONGEST_PATH];

  format (path, sizeof path, "/dev/%s", device);
  return open (path, flags | O_CLOEXEC);
}

struct expected {
  const char *device;
  uint64_t size;
};

/* It has its size, and its first block can be read. */
static bool
is_ready (const void *arg)
{
  const struct expected *e = arg;
  static char buf[512];
  ssize_t n;
  int fd;

  if (size_of (e->device) != e->size)
    return false;
  fd = open_device (e->device, O_RDONLY);
  if (fd == -1)
    return false;
  n = read (fd, buf, sizeof buf);
  close (fd);
  return n == sizeof buf;
}

static bool
nbd_is_there (const void *arg)
{
  (void) arg;
  return access ("/sys/block/nbd0", F_OK) == 0;
}

static void
load_module (void)
{
  const char *const modprobe[] = {"modprobe", "nbd", NULL};

  if (nbd_is_there (NULL))
    return;
  if (run (modprobe, true) != 0 || !wait_for (nbd_is_there, NULL))
    die ("this kernel has no nbd module (modprobe nbd)");
}

/* A device that is neither attached nor in use by anyone. */
static void
find_free_device (char *buf, size_t size)
{
  unsigned i;
  int fd;

  for (i = 0;; i++) {
    format (buf, size, "nbd%u", i);
    fd = open_device (buf, O_RDONLY | O_EXCL);
    if (fd == -1 && errno == ENOENT)
      die ("no free device: all of /dev/nbd0 to /dev/nbd%u are in use "
           "(nbds_max of the module says how many there are)",
           i - 1);
    if (fd == -1)
      continue;
    close (fd);
    if (!is_attached (buf))
      return;
  }
}

/*---------------------------------------------------------------------*/
/* Attaching */

static void
check_requirements (void)
{
  const char *const help[] = {"nbd-client", "-h", NULL};

  if (geteuid () != 0)
    die ("only root can attach a device");
  if (run (help, true) == 127)
    die ("nbd-client is missing (Debian: nbd-client)");
  load_module ();
}

/* Ask the server; the reason for a refusal is in nbd_get_error. */
static bool
ask_export (struct export_info *info, const char *uri)
{
  struct nbd_handle *h = nbd_create ();
  int64_t size = -1, block_size;

  if (h == NULL)
    return false;
  nbd_set_uri_allow_local_file (h, true);
  if (nbd_connect_uri (h, uri) == 0)
    size = nbd_get_size (h);
  if (size != -1) {
    info->size = size;
    block_size = nbd_get_block_size (h, LIBNBD_SIZE_MINIMUM);
    info->block_size = block_size > 512 ? block_size : 512;
    info->read_only = nbd_is_read_only (h) == 1;
    info->multi_conn = nbd_can_multi_conn (h) == 1;
    nbd_shutdown (h, 0);
  }
  nbd_close (h);
  return size != -1;
}

/* In a build tree, nullblk-serve is beside us. */
static const char *
find_serve (void)
{
  static char path[PATH_MAX + 16];
  ssize_t len;
  char *name;

  len = readlink ("/proc/self/exe", path, PATH_MAX);
  path[len > 0 ? len : 0] = '\0';
  name = strrchr (path, '/');
  if (name != NULL) {
    strcpy (name + 1, "nullblk-serve");
    if (access (path, X_OK) == 0)
      return path;
  }
  return BINDIR "/nullblk-serve";
}

/* Start a server with the plugin's PARAMETERS on a socket in FOLDER.  It tells
 * the user itself what is wrong with them.
 */
static bool
start_server (const char *folder, char *const *parameters)
{
  char socket[LONGEST_PATH], pid[LONGEST_PATH], depth[16];
  const char *argv[256] = {find_serve (), "-U",      socket, "-P",
                           pid,           "--depth", depth,  "--"};
  size_t n = 8;

  format (socket, sizeof socket, "%s/socket", folder);
  format (pid, sizeof pid, "%s/pid", folder);
  format (depth, sizeof depth, "%u", options.depth);
  for (; *parameters != NULL; parameters++) {
    if (n == sizeof argv / sizeof argv[0] - 1) {
      fputs ("nullblk-attach: too many parameters\n", stderr);
      return false;
    }
    argv[n++] = *parameters;
  }
  return run (argv, false) == 0;
}

/* A process that FILE in FOLDER has the number of. */
struct remembered {
  const char *folder;
  const char *file;
};

/* A zombie that nobody reaps has ended, too. */
static bool
process_has_ended (const void *arg)
{
  const struct remembered *r = arg;
  char pid[32], proc[64], stat[256];
  const char *state;

  read_line (pid, sizeof pid, r->folder, r->file);
  format (proc, sizeof proc, "/proc/%d", atoi (pid));
  read_line (stat, sizeof stat, proc, "stat");
  state = strrchr (stat, ')');
  return state == NULL || strncmp (state, ") Z", 3) == 0;
}

static bool
server_has_begun (const void *folder)
{
  char pid[32];

  read_line (pid, sizeof pid, folder, "pid");
  return pid[0] != '\0';
}

static bool
stop_process (const char *folder, const char *file, const char *name)
{
  const struct remembered r = {folder, file};
  char pid[32], comm[32], proc[64];

  read_line (pid, sizeof pid, folder, file);
  if (pid[0] == '\0')
    return true;
  /* After a crash the number may be somebody else's. */
  format (proc, sizeof proc, "/proc/%d", atoi (pid));
  read_line (comm, sizeof comm, proc, "comm");
  if (strcmp (comm, name) != 0)
    return true;
  kill (atoi (pid), SIGTERM);
  return wait_for (process_has_ended, &r);
}

/* Its clients have gone by now, so that it ends when it is asked to. */
static bool
stop_server (const char *folder)
{
  return stop_process (folder, "pid", "nbdkit");
}

/* The kernel shows 15 characters of a name. */
static bool
stop_watcher (const char *folder)
{
  return stop_process (folder, "watcher", "nullblk-attach");
}

/* From here on the device's I/O waits for a server that is away, and a process
 * of its own reconnects it.
 */
static bool
start_watcher (struct persist *p, const char *folder, const char *device,
               const struct persist_target *target, struct message *why)
{
  char text[16];
  pid_t pid;
  int fd;

  if (!persist_hold_io (p, target, why))
    return false;
  pid = fork ();
  if (pid == 0) {
    /* Whoever waits for our output, or for the lock, is not to wait for it. */
    fd = open ("/dev/null", O_RDWR);
    if (setsid () == -1 || chdir ("/") == -1 || fd == -1 ||
        dup2 (fd, 0) == -1 || dup2 (fd, 1) == -1 || dup2 (fd, 2) == -1)
      _exit (EXIT_FAILURE);
    close (fd);
    close (lock_fd);
    persist_watch (p, target, is_still_attached, device);
    _exit (EXIT_SUCCESS);
  }
  format (text, sizeof text, "%d", (int) pid);
  if (pid == -1 || !write_line (folder, "watcher", text)) {
    message_set (why, "--persist: %s", strerror (errno));
    if (pid > 0)
      kill (pid, SIGTERM);
    return false;
  }
  return true;
}

static int
run_nbd_client (const struct uri *uri, const struct export_info *info,
                const char *device)
{
  char path[64], connections[16], block_size[16], timeout[16];
  static char ca[1100], certificate[1100], key[1100];
  const char *argv[32] = {"nbd-client"};
  size_t n = 1;

  if (uri->socket[0] != '\0') {
    argv[n++] = "-unix";
    argv[n++] = uri->socket;
  }
  else {
    argv[n++] = uri->host;
    argv[n++] = uri->port;
  }
  format (path, sizeof path, "/dev/%s", device);
  argv[n++] = path;
  argv[n++] = "-N";
  argv[n++] = uri->export_name;
  format (connections, sizeof connections, "%u",
          info->multi_conn ? options.connections : 1);
  argv[n++] = "-C";
  argv[n++] = connections;
  format (block_size, sizeof block_size, "%u", info->block_size);
  argv[n++] = "-b";
  argv[n++] = block_size;
  if (info->read_only)
    argv[n++] = "-R";
  if (options.timeout > 0) {
    format (timeout, sizeof timeout, "%u", options.timeout);
    argv[n++] = "-t";
    argv[n++] = timeout;
  }
  if (uri->tls) {
    format (ca, sizeof ca, "%s/ca-cert.pem", uri->tls_certificates);
    format (certificate, sizeof certificate, "%s/client-cert.pem",
            uri->tls_certificates);
    format (key, sizeof key, "%s/client-key.pem", uri->tls_certificates);
    /* Not all of the short forms are understood by nbd-client 3.24. */
    argv[n++] = "-cacertfile";
    argv[n++] = ca;
    if (access (certificate, R_OK) == 0) {
      argv[n++] = "-certfile";
      argv[n++] = certificate;
      argv[n++] = "-keyfile";
      argv[n++] = key;
    }
    argv[n++] = "-tlshostname";
    argv[n++] = uri->host;
  }
  argv[n] = NULL;
  return run (argv, false);
}

static void
disconnect (const char *device)
{
  char path[64];
  const char *const argv[] = {"nbd-client", "-d", path, NULL};

  format (path, sizeof path, "/dev/%s", device);
  run (argv, true);
}

/* Take back what has been done so far, and end. */
static void __attribute__ ((format (printf, 3, 4), noreturn))
give_up (const char *folder, const char *device, const char *fs, ...)
{
  struct message why;
  va_list args;

  va_start (args, fs);
  vsnprintf (why.text, sizeof why.text, fs, args);
  va_end (args);
  if (device != NULL && is_attached (device)) {
    disconnect (device);
    wait_for (is_detached, device);
  }
  stop_watcher (folder);
  stop_server (folder);
  remove_folder (folder);
  die ("%s", why.text);
}

static bool
is_good_name (const char *name)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

  return name[0] != '\0' && name[0] != '.' && strcmp (name, "lock") != 0 &&
         strlen (name) <= MAX_NAME && name[strspn (name, letters)] == '\0';
}

static int
attach (char **arguments)
{
  const bool is_ours = !uri_is_one (arguments[0]);
  char device[32], folder[LONGEST_PATH], uri_text[1024];
  struct persist_target target;
  struct persist *persist = NULL;
  struct expected expected;
  struct export_info info;
  static struct uri uri; /* large for a stack */
  struct message why;

  if (!is_ours && arguments[1] != NULL)
    die ("%s: nothing may follow a URI", arguments[1]);
  if (!is_ours && uri_parse (&uri, arguments[0], &why) < 0)
    die ("%s", why.text);
  if (!is_ours && uri.tls &&
      (uri.tls_certificates[0] == '\0' || uri.host[0] == '\0'))
    die ("%s: for TLS nbd-client wants a host and tls-certificates=FOLDER",
         arguments[0]);
  if (options.persist > 0 && is_ours)
    die ("--persist is for a URI: what a server of our own holds ends with it");
  if (options.persist > 0 && uri.tls)
    die ("%s: --persist cannot reconnect with TLS", arguments[0]);
  check_requirements ();
  if (options.persist > 0 && (persist = persist_begin (&why)) == NULL)
    die ("%s", why.text);

  take_lock ();
  find_free_device (device, sizeof device);
  folder_of (folder, sizeof folder,
             options.name != NULL ? options.name : device);
  if (mkdir (folder, 0700) == -1)
    die ("%s: %s", folder,
         errno == EEXIST ? "is taken; --list shows what is attached, and "
                           "--detach clears it"
                         : strerror (errno));

  if (is_ours) {
    format (uri_text, sizeof uri_text, "nbd+unix:///?socket=%s/socket", folder);
    if (!start_server (folder, arguments))
      give_up (folder, NULL, "nbdkit did not start the device");
    if (!wait_for (server_has_begun, folder))
      give_up (folder, NULL, "nbdkit did not begin");
    if (uri_parse (&uri, uri_text, &why) < 0)
      give_up (folder, NULL, "%s", why.text);
  }
  else
    format (uri_text, sizeof uri_text, "%s", arguments[0]);

  if (!ask_export (&info, uri_text))
    give_up (folder, NULL, "%s: %s", uri_text, nbd_get_error ());
  if (!write_line (folder, "device", device) ||
      !write_line (folder, "uri", uri_text))
    give_up (folder, NULL, "%s: %s", folder, strerror (errno));
  if (run_nbd_client (&uri, &info, device) != 0)
    give_up (folder, device, "nbd-client could not attach %s to /dev/%s",
             uri_text, device);
  expected = (struct expected){device, info.size};
  if (!wait_for (is_ready, &expected))
    give_up (folder, device, "/dev/%s does not get ready", device);
  if (persist != NULL) {
    target = (struct persist_target){
        .index = atoi (device + strlen ("nbd")),
        .seconds = options.persist,
        .uri = uri_text,
        .size = info.size,
        .read_only = info.read_only,
    };
    if (!start_watcher (persist, folder, device, &target, &why))
      give_up (folder, device, "%s", why.text);
  }

  printf ("/dev/%s\n", device);
  return EXIT_SUCCESS;
}

/*---------------------------------------------------------------------*/
/* What is attached */

/* Call ACTION for each folder below RUN.  Returns how many there were. */
static unsigned
for_each_folder (void (*action) (const char *name, const char *folder))
{
  char folder[LONGEST_PATH];
  struct dirent *entry;
  unsigned n = 0;
  DIR *dir;

  dir = opendir (RUN);
  if (dir == NULL)
    return 0;
  while ((entry = readdir (dir)) != NULL) {
    if (!is_good_name (entry->d_name))
      continue;
    folder_of (folder, sizeof folder, entry->d_name);
    action (entry->d_name, folder);
    n++;
  }
  closedir (dir);
  return n;
}

static void
list_one (const char *name, const char *folder)
{
  char device[32], uri[1024];

  read_line (device, sizeof device, folder, "device");
  read_line (uri, sizeof uri, folder, "uri");
  if (is_device_name (device) && is_attached (device))
    printf ("%-16s /dev/%-8s %20" PRIu64 " %s\n", name, device,
            size_of (device), uri);
  else
    printf ("%-16s %-13s %20s %s\n", name, "(dead)", "-", uri);
}

/* DEVICE may be "": then only a server or a folder is left. */
static void
detach_one (const char *name, const char *folder)
{
  char device[32];
  int fd;

  read_line (device, sizeof device, folder, "device");
  if (is_device_name (device) && is_attached (device)) {
    /* Nobody else may have it open; what is written goes to the server. */
    fd = open_device (device, O_RDONLY | O_EXCL);
    if (fd == -1 && errno == EBUSY)
      die ("/dev/%s is in use: it is mounted, or held by another driver",
           device);
    if (fd != -1) {
      if (fsync (fd) == -1)
        fprintf (stderr, "nullblk-attach: /dev/%s: flush: %s\n", device,
                 strerror (errno));
      close (fd);
    }
    disconnect (device);
    if (!wait_for (is_detached, device))
      die ("/dev/%s does not go away", device);
  }
  if (!stop_watcher (folder))
    die ("%s: the process that reconnects it does not end", name);
  if (!stop_server (folder))
    die ("%s: its server does not end: other clients are connected to it",
         name);
  remove_folder (folder);
}

/* The name that WHAT, a name or a device, was attached by. */
static const char *wanted_device;
static char found_name[NAME_MAX + 1];

static void
match_device (const char *name, const char *folder)
{
  char device[32];

  read_line (device, sizeof device, folder, "device");
  if (strcmp (device, wanted_device) == 0)
    snprintf (found_name, sizeof found_name, "%s", name);
}

static int
detach (const char *what)
{
  char folder[LONGEST_PATH];
  struct stat st;

  if (geteuid () != 0)
    die ("only root can detach a device");
  take_lock ();
  if (strncmp (what, "/dev/", 5) == 0) {
    wanted_device = what + 5;
    for_each_folder (match_device);
  }
  else if (is_good_name (what))
    snprintf (found_name, sizeof found_name, "%s", what);
  folder_of (folder, sizeof folder, found_name);
  if (found_name[0] == '\0' || stat (folder, &st) == -1)
    die ("%s: not attached by nullblk-attach; --list shows what is", what);
  detach_one (found_name, folder);
  return EXIT_SUCCESS;
}

static int
detach_all (void)
{
  if (geteuid () != 0)
    die ("only root can detach a device");
  take_lock ();
  for_each_folder (detach_one);
  return EXIT_SUCCESS;
}

/*---------------------------------------------------------------------*/

static void
usage (FILE *fp)
{
  fputs ("nullblk-attach [-C N] [--name NAME] [--depth N] [--timeout SECONDS]\n"
         "               PARAMETER...\n"
         "nullblk-attach [-C N] [--name NAME] [--timeout SECONDS]\n"
         "               [--persist[=SECONDS]] URI\n"
         "nullblk-attach --list\n"
         "nullblk-attach --detach DEVICE|NAME|--all\n"
         "nullblk-attach --help|--version\n"
         "\n"
         "Attach a block device: one of its own, made by nbdkit's nullblk\n"
         "plugin with these parameters, or one that is served at URI.\n"
         "Please read nullblk-attach(1).\n",
         fp);
}

static void __attribute__ ((noreturn)) bad_usage (void)
{
  usage (stderr);
  exit (2);
}

/* A whole number from 1 to MOST. */
static unsigned
parse_count (const char *option, const char *text, unsigned most)
{
  unsigned long n;
  char *end;

  errno = 0;
  n = strtoul (text, &end, 10);
  if (!isdigit ((unsigned char) text[0]) || *end != '\0' || errno != 0 ||
      n < 1 || n > most) {
    fprintf (stderr,
             "nullblk-attach: %s %s: allowed is a whole number from 1 to %u\n",
             option, text, most);
    exit (2);
  }
  return n;
}

int
main (int argc, char *argv[])
{
  enum {
    NAME = CHAR_MAX + 1,
    DEPTH,
    TIMEOUT,
    PERSIST,
    LIST,
    DETACH,
    ALL,
    HELP
  };
  static const struct option long_options[] = {
      {"connections", required_argument, NULL, 'C'},
      {"name", required_argument, NULL, NAME},
      {"depth", required_argument, NULL, DEPTH},
      {"timeout", required_argument, NULL, TIMEOUT},
      {"persist", optional_argument, NULL, PERSIST},
      {"list", no_argument, NULL, LIST},
      {"detach", no_argument, NULL, DETACH},
      {"all", no_argument, NULL, ALL},
      {"help", no_argument, NULL, HELP},
      {"version", no_argument, NULL, 'V'},
      {NULL, 0, NULL, 0},
  };
  bool list = false, want_detach = false, all = false;
  long cpus;
  int c;

  cpus = sysconf (_SC_NPROCESSORS_ONLN);
  options.connections = cpus < 1                 ? 1
                        : cpus > MAX_CONNECTIONS ? MAX_CONNECTIONS
                                                 : cpus;
  /* + : what follows the first parameter is the plugin's. */
  while ((c = getopt_long (argc, argv, "+C:V", long_options, NULL)) != -1) {
    switch (c) {
    case 'C':
      options.connections = parse_count ("-C", optarg, MAX_CONNECTIONS);
      break;
    case NAME:
      if (!is_good_name (optarg)) {
        fprintf (stderr,
                 "nullblk-attach: --name %s: allowed are up to %d "
                 "letters, digits and ._- after the first\n",
                 optarg, MAX_NAME);
        exit (2);
      }
      options.name = optarg;
      break;
    case DEPTH:
      options.depth = parse_count ("--depth", optarg, 1024);
      break;
    case TIMEOUT:
      options.timeout = parse_count ("--timeout", optarg, 86400);
      break;
    case PERSIST:
      options.persist =
          optarg != NULL ? parse_count ("--persist", optarg, 86400) : 60;
      break;
    case LIST:
      list = true;
      break;
    case DETACH:
      want_detach = true;
      break;
    case ALL:
      all = true;
      break;
    case HELP:
      usage (stdout);
      return EXIT_SUCCESS;
    case 'V':
      printf ("nullblk-attach %s\n", PACKAGE_VERSION);
      return EXIT_SUCCESS;
    default:
      bad_usage ();
    }
  }
  argc -= optind;
  argv += optind;

  if (list && argc == 0 && !want_detach && !all) {
    if (geteuid () != 0)
      die ("only root can see what is attached");
    for_each_folder (list_one);
    return EXIT_SUCCESS;
  }
  if (want_detach && !list && all && argc == 0)
    return detach_all ();
  if (want_detach && !list && !all && argc == 1)
    return detach (argv[0]);
  if (list || want_detach || all || argc == 0)
    bad_usage ();
  return attach (argv);
}
