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
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libnbd.h>

#include "attach-internal.h"
#include "persist.h"
#include "uri.h"

#define MAX_CONNECTIONS 128

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

/*---------------------------------------------------------------------*/
/* Attaching */

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

static int
attach (char **arguments)
{
  const bool is_ours = !uri_is_one (arguments[0]);
  char device[32], folder[LONGEST_PATH], uri_text[1024];
  struct client_options client;
  struct persist_target target;
  struct persist *persist = NULL;
  struct expected expected;
  struct export_info info;
  static struct uri uri; /* large for a stack */
  struct message why;
  int status;

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
    if (!start_server (folder, arguments, options.depth))
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
  client = (struct client_options){
      .connections = info.multi_conn ? options.connections : 1,
      .block_size = info.block_size,
      .timeout = options.timeout,
      .read_only = info.read_only,
  };
  status = run_nbd_client (&uri, &client, device);
  if (status == 127)
    give_up (folder, NULL, "nbd-client is missing (Debian: nbd-client)");
  if (status != 0)
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
