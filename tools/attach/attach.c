/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-attach: from plugin parameters or a URI to a block device in one
 * command.  It starts a server where one is wanted, connects to it, gives the
 * connections to a free device of the kernel's, and remembers what belongs
 * together so that --detach can take all of it away again:
 *
 *   /run/nullblk/NAME/       what was attached as NAME (by default nbdN)
 *       device               "nbdN"
 *       attachment           what tells it from others that nbdN is later given
 *       uri                  where it is served
 *       pid, socket          of the server, where it is ours
 *       server               that process, and when it was started
 *       watcher              the same of the process that reconnects it
 *
 * A folder is there before anything else is, and removed after everything
 * else: whatever a crash leaves can be found and cleared.  It is locked while
 * anything in it changes, and nobody waits for another's lock.
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
#include "netlink.h"
#include "persist.h"
#include "uri.h"

#define MAX_CONNECTIONS 128

/* After so many seconds a request has failed: the kernel forgets those that
 * were on their way when a connection died, and has a timeout in any case, of
 * 30 s or whatever the last device of that number had.  With --persist it is
 * also when they are sent again.
 */
#define REQUEST_TIMEOUT 600
#define RESEND_TIMEOUT 30

/* How long a server may take to answer. */
#define ANSWER_SECONDS 30

static struct {
  unsigned connections; /* 0: as many as there are CPUs */
  unsigned depth;
  unsigned timeout; /* seconds; 0: as above */
  unsigned persist; /* seconds; 0: not at all */
  const char *name;
} options = {.depth = 64};

/* What is attached: a URI, or where our own server is. */
static struct {
  bool is_ours;
  const char *text;
  struct uri uri;
} source;

/* What has been done so far: where this ends in a failure or by a signal,
 * wherever it is, all of it is taken back.
 */
static struct {
  char folder[LONGEST_PATH]; /* "": nothing */
  struct attachment attachment;
  struct nbd_handle *connections[MAX_CONNECTIONS];
} begun;

/*---------------------------------------------------------------------*/
/* Attaching */

static void
take_back (void)
{
  struct attachment *a = &begun.attachment;
  int fd;

  if (begun.folder[0] == '\0')
    return;
  ignore_signals ();
  fd = hold (a, O_RDONLY, true);
  if (fd != -1) {
    disconnect (a->device);
    close (fd);
  }
  if (fd != -1 || errno == ENOTCONN)
    wait_for (is_gone, a);
  stop_watcher (begun.folder);
  stop_server (begun.folder);
  remove_folder (begun.folder);
}

static void
end_if_stopped (void)
{
  if (is_stopped ())
    die ("interrupted");
}

static struct nbd_handle *
connect_to_source (void)
{
  struct message why;
  struct nbd_handle *h = connect_within (source.text, ANSWER_SECONDS, &why);

  end_if_stopped ();
  if (h == NULL)
    die ("%s", why.text);
  return h;
}

/* The first of the device's connections, which says what the export is. */
static struct client_options
ask_export (void)
{
  struct client_options o = {
      .timeout = options.timeout != 0   ? options.timeout
                 : options.persist != 0 ? RESEND_TIMEOUT
                                        : REQUEST_TIMEOUT,
      .dead_timeout = options.persist,
  };
  struct nbd_handle *h;
  int64_t size, block_size;

  h = connect_to_source ();
  size = nbd_get_size (h);
  if (size == -1)
    die ("%s: %s", source.text, nbd_get_error ());
  o.size = size;
  block_size = nbd_get_block_size (h, LIBNBD_SIZE_MINIMUM);
  o.block_size = block_size > 512 ? block_size : 512;
  o.read_only = nbd_is_read_only (h) == 1;
  o.connections = nbd_can_multi_conn (h) == 1 ? options.connections : 1;
  begun.connections[0] = h;
  return o;
}

/* By netlink where that is possible. */
static bool
by_client (void)
{
#ifdef HAVE_LIBNL
  return source.uri.tls;
#else
  return true;
#endif
}

/* The other connections, to what must be the same export.  nbd-client has its
 * own.
 */
static void
connect_all (const struct client_options *o)
{
  struct nbd_handle *h;
  unsigned i;

  if (by_client ()) {
    disconnect_from_server (begun.connections[0]);
    begun.connections[0] = NULL;
    return;
  }
  for (i = 1; i < o->connections; i++) {
    h = connect_to_source ();
    if (nbd_get_size (h) != (int64_t) o->size ||
        (nbd_is_read_only (h) == 1) != o->read_only)
      die ("%s: its connections are to different exports", source.text);
    begun.connections[i] = h;
  }
}

/* The kernel has them, or nobody. */
static void
close_connections (void)
{
  unsigned i;

  for (i = 0; i < MAX_CONNECTIONS; i++) {
    nbd_close (begun.connections[i]);
    begun.connections[i] = NULL;
  }
}

/* Choose a device from *NEXT on, and a folder, which has the device's name if
 * the user wants no other.
 */
static void
choose_device (unsigned *next)
{
  struct attachment *a = &begun.attachment;
  char folder[LONGEST_PATH];
  bool done;

  do {
    next_free_device (a->device, sizeof a->device, next);
    folder_of (folder, sizeof folder,
               options.name != NULL ? options.name : a->device);
    if (begun.folder[0] == '\0')
      done = make_folder (folder);
    else if (options.name == NULL)
      done = move_folder (begun.folder, folder);
    else
      done = true;
    /* Another device, or what is left of one, has this default name. */
  } while (!done && errno == EEXIST && options.name == NULL);
  if (!done)
    die ("%s: %s", folder,
         errno == EEXIST ? "is taken; --list shows what is attached, and "
                           "--detach clears it"
                         : strerror (errno));
  format (begun.folder, sizeof begun.folder, "%s", folder);
}

/* Attach the device that was chosen.  By netlink its identity is remembered
 * before it is attached, by nbd-client only afterwards.
 */
static enum outcome
attach_device (const struct client_options *o, struct message *why)
{
  struct attachment *a = &begun.attachment;
  enum outcome outcome;

  if (!by_client ())
    attachment_name (a);
  if (!write_line (begun.folder, "device", a->device) ||
      !write_line (begun.folder, "uri", source.text) ||
      !write_line (begun.folder, "attachment", a->identity))
    die ("%s: %s", begun.folder, strerror (errno));
  outcome = by_client () ? attach_by_client (a, o, &source.uri, why)
                         : attach_connections (a, o, begun.connections, why);
  if (outcome == ATTACHED &&
      !write_line (begun.folder, "attachment", a->identity))
    die ("%s: %s", begun.folder, strerror (errno));
  return outcome;
}

static void
watch (struct persist *persist, const struct client_options *o)
{
  const struct persist_target target = {
      .index = index_of (begun.attachment.device),
      .identifier = identifier_of (&begun.attachment),
      .uri = source.text,
      .size = o->size,
      .read_only = o->read_only,
      .connections = o->connections,
  };
  struct message why;

  if (!has_identifier (&begun.attachment))
    die ("--persist: before Linux 5.14 the kernel would give a new connection "
         "to whoever has /dev/%s by then",
         begun.attachment.device);
  if (!start_watcher (persist, begun.folder, &begun.attachment, &target, &why))
    die ("%s", why.text);
}

/* Find out whether SOURCE is served already, and end the program where the
 * options do not fit.
 */
static void
check_source (char **arguments)
{
  struct message why;

  source.is_ours = !uri_is_one (arguments[0]);
  if (source.is_ours) {
    if (options.persist > 0)
      die ("--persist is for a URI: what a server of our own holds ends with "
           "it");
    return;
  }
  source.text = arguments[0];
  if (arguments[1] != NULL)
    die ("%s: nothing may follow a URI", arguments[1]);
  if (uri_parse (&source.uri, source.text, &why) < 0)
    die ("%s", why.text);
  if (source.uri.tls &&
      (source.uri.tls_certificates[0] == '\0' || source.uri.host[0] == '\0'))
    die ("%s: for TLS nbd-client wants a host and tls-certificates=FOLDER",
         source.text);
  if (source.uri.tls && options.persist > 0)
    die ("%s: --persist cannot reconnect with TLS", source.text);
}

/* A server of our own is where the folder is. */
static void
find_own_server (void)
{
  static char text[LONGEST_PATH];
  struct message why;

  format (text, sizeof text, "nbd+unix:///?socket=%s/socket", begun.folder);
  source.text = text;
  if (uri_parse (&source.uri, text, &why) < 0)
    die ("%s", why.text);
}

static int
attach (char **arguments)
{
  struct client_options o;
  struct expected expected;
  struct persist *persist = NULL;
  struct message why;
  enum outcome outcome;
  unsigned next = 0;

  check_source (arguments);
  check_requirements ();
  if (options.persist > 0 && (persist = persist_begin (&why)) == NULL)
    die ("%s", why.text);

  note_signals ();
  atexit (take_back);
  if (source.is_ours) {
    choose_device (&next);
    if (!start_server (begun.folder, arguments, options.depth)) {
      end_if_stopped ();
      die ("nbdkit did not start the device");
    }
    find_own_server ();
    o = ask_export ();
  }
  else {
    o = ask_export ();
    choose_device (&next);
  }
  connect_all (&o);
  while ((outcome = attach_device (&o, &why)) == TAKEN) {
    choose_device (&next);
    if (source.is_ours)
      find_own_server ();
  }
  close_connections ();
  end_if_stopped ();
  if (outcome == FAILED)
    die ("%s: %s", source.text, why.text);
  expected = (struct expected){begun.attachment.device, o.size};
  if (!wait_for (is_ready, &expected)) {
    end_if_stopped ();
    die ("/dev/%s does not get ready", begun.attachment.device);
  }
  if (persist != NULL)
    watch (persist, &o);
  end_if_stopped ();

  printf ("/dev/%s\n", begun.attachment.device);
  begun.folder[0] = '\0';
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

  if (list && argc == 0 && !want_detach && !all)
    return list_all ();
  if (want_detach && !list && all && argc == 0)
    return detach_all ();
  if (want_detach && !list && !all && argc == 1)
    return detach (argv[0]);
  if (list || want_detach || all || argc == 0)
    bad_usage ();
  return attach (argv);
}
