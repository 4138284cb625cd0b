/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-attach: makes a block device of plugin parameters or of a URI in one
 * command.  If it is given parameters, it starts a server, which makes a ublk
 * device itself if it can.  Otherwise nullblk-attach connects to the server,
 * and gives the connections to the kernel's nbd driver, which makes a device of
 * them; or it has nullblk-ublk make a ublk device.  It keeps a directory for
 * the attachment, so that --detach can find and end all its parts:
 *
 *   /run/nullblk/NAME/       the attachment NAME (by default the device's name;
 *                            before that is known, new-PID.0)
 *       device               "nbdN" or "ublkbN"
 *       attachment           its identity (struct attachment)
 *       uri                  of the export
 *       network              the network namespace in which the URI was given
 *       export               its size, block size and flags, and who
 *                            serves it (struct export_info)
 *       pid, socket          of the server, if nullblk-attach has started it
 *       server               the server's pid, and when it was started
 *       watcher              the same of the process that reconnects the device
 *       persist, timeout     seconds, if nullblk-ublk reconnects the device
 *
 * The directory is made before the server and the device, and removed after
 * them: so --detach can find and remove all that a crash leaves.  It is locked
 * while anything in it changes, and no nullblk-attach waits for the lock of a
 * directory.
 *
 * nullblk-attach ends when the device is attached; with --persist, a child of
 * it stays for an nbd device (start_watcher).  If a later Linux ends a device
 * when the netlink socket that has attached it is closed (see netlink.h), every
 * nbd device needs such a process, which keeps begun.netlink.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
#include "export.h"
#include "persist.h"
#include "uri.h"

/* Seconds that the server has to answer a request of an nbd device, without and
 * with --persist.  A request that was in flight when its connection died waits
 * for this timeout, too; then it is sent again by another connection, or fails
 * if there is none.  If the kernel is given no timeout, it takes 30 s, or that
 * of the last device of the same number.  nullblk-ublk has the same timeouts
 * (options.h).
 */
#define REQUEST_TIMEOUT 600
#define RESEND_TIMEOUT 30

/* How long it may take to connect to a server. */
#define ANSWER_SECONDS 30

static struct attach_options options;

/* The export to attach: a URI that was given, or that of our own server. */
static struct {
  bool is_ours;
  const char *text;
  struct uri uri;
  bool has_zones; /* asked only if options.as is AS_AUTO */
  bool by_ublk;   /* it becomes a ublk device; with AS_AUTO the server's answer
                   * says so */
} export;

/* All that has been made so far: when the program ends by a failure or by a
 * signal, take_back removes it.
 */
static struct {
  struct netlink *netlink;
  struct persist *persist;  /* NULL: nbd does not reconnect */
  char directory[MAX_PATH]; /* "": nothing */
  struct attachment attachment;
  struct nbd_handle *connections[MAX_CONNECTIONS];
} begun;

/*---------------------------------------------------------------------*/
/* Attaching */

/* Is it nbd-client that attaches the device? */
static bool
by_client (void)
{
  return !export.by_ublk && export.uri.tls;
}

/* Remove a ublk device, which a server that has made it removes itself.  If
 * that is not possible, the directory stays, for --detach.
 */
static void
take_back_ublk (const struct attachment *a)
{
  bool is_gone = true, is_dead;

  if (!is_of_server (a, &is_dead) || is_dead)
    detach_by_ublk (a, &is_gone);
  if (stop_server (begun.directory) && is_gone)
    remove_directory (begun.directory);
}

/* Undo what was made.  What cannot be undone stays, with its directory. */
static void
take_back (void)
{
  struct attachment a;
  struct message why;
  bool has_ended;
  int fd;

  if (begun.directory[0] == '\0')
    return;
  ignore_signals ();
  /* The device may be there even if its name is not known: it is found by the
   * identifier in the directory.
   */
  a = begun.attachment.device[0] != '\0' ? begun.attachment
                                         : attachment_read (begun.directory);
  if (has_cookie (&a)) {
    take_back_ublk (&a);
    return;
  }
  fd = device_open (&a, O_RDONLY, true);
  if (fd != -1) {
    if (!disconnect_device (a.device, &why))
      die ("/dev/%s stays, for --detach: %s", a.device, why.text);
    close (fd);
  }
  if (fd != -1 || errno == ENOTCONN)
    await_condition (attachment_is_gone, &a);
  has_ended = stop_watcher (begun.directory);
  has_ended = stop_server (begun.directory) && has_ended;
  if (!by_client ())
    restore_node (&a);
  if (has_ended)
    remove_directory (begun.directory);
}

static void
end_if_stopped (void)
{
  if (is_stopped ())
    die ("interrupted");
}

/* Make connection I of the device.  Returns what the server says of the export
 * on this connection.
 */
static struct export_info
connect_to_export (unsigned i)
{
  struct export_info info;
  struct message why;
  const bool asks = i == 0 && options.as == AS_AUTO;
  struct nbd_handle *h = connect_within (export.text, ANSWER_SECONDS, &info,
                                         asks ? &export.has_zones : NULL, &why);

  end_if_stopped ();
  if (h == NULL)
    die ("%s", why.text);
  begun.connections[i] = h;
  return info;
}

/* Close our ends of all connections: by nbd_close if they are the kernel's, and
 * otherwise by disconnect_from_server.
 */
static void
close_connections (void (*close_one) (struct nbd_handle *))
{
  unsigned i;

  for (i = 0; i < MAX_CONNECTIONS; i++) {
    close_one (begun.connections[i]);
    begun.connections[i] = NULL;
  }
}

/* End the program if neither the kernel's nbd driver nor nbd-client can attach
 * the export with these options.
 */
static void
check_nbd (void)
{
  if (export.uri.tls &&
      (export.uri.tls_certificates[0] == '\0' || export.uri.host[0] == '\0'))
    die ("%s: for TLS nbd-client wants a host and tls-certificates=DIRECTORY",
         export.text);
  if (export.uri.tls && options.persist > 0)
    die ("%s: --persist cannot reconnect with TLS, except by --as=ublk",
         export.text);
}

/* Prepare for a device of the kernel's nbd driver. */
static void
choose_nbd (void)
{
  struct message why;

  export.by_ublk = false;
  check_nbd ();
  begun.netlink = open_nbd_driver ();
  if (options.persist == 0)
    return;
  begun.persist = persist_begin (begun.netlink, &why);
  if (begun.persist == NULL)
    die ("%s", why.text);
}

/* Connect to the export.  On the first connection the server says whether there
 * may be several; all others must be to the same export of the same server.
 * nbd-client and nullblk-ublk make their own connections, and a device that the
 * server makes itself needs none: then the first one is closed.
 */
static struct nbd_options
connect_all (void)
{
  struct nbd_options o = {
      .timeout = options.timeout != 0   ? options.timeout
                 : options.persist != 0 ? RESEND_TIMEOUT
                                        : REQUEST_TIMEOUT,
      .reconnect_timeout = options.persist,
  };
  struct export_info other;
  unsigned i;

  o.export_info = connect_to_export (0);
  o.connections =
      (o.export_info.flags & EXPORT_MULTI_CONN) != 0 ? options.connections : 1;
  if (options.as == AS_AUTO && begun.netlink == NULL) {
    export.by_ublk = export.has_zones;
    if (!export.by_ublk)
      choose_nbd ();
  }
  if (export.by_ublk || by_client ()) {
    if (export.by_ublk) /* nullblk-ublk may connect to another address */
      o.export_info.peer = 0;
    else
      numeric_host (begun.connections[0], o.host, sizeof o.host);
    close_connections (disconnect_from_server);
    return o;
  }
  if (nbd_get_tls_negotiated (begun.connections[0]) == 1)
    die ("%s: with TLS the URI begins with nbds", export.text);
  for (i = 1; i < o.connections; i++) {
    other = connect_to_export (i);
    if (other.peer == 0 && o.export_info.peer != 0)
      die ("%s: the server has closed a connection at once", export.text);
    if (other.peer != o.export_info.peer)
      die ("%s: its connections are to different servers, as their name has "
           "several addresses; a URI with one of these attaches it",
           export.text);
    if (other.size != o.export_info.size ||
        other.flags != o.export_info.flags ||
        other.block_size != o.export_info.block_size)
      die ("%s: its connections are to different exports", export.text);
  }
  return o;
}

/*---------------------------------------------------------------------*/
/* Exports that are attached already */

/* Returns the name of this export's attachment, or NULL if there is none; with
 * --name, only of an attachment of that name.
 */
static const char *
find_attached (void)
{
  if (options.name == NULL)
    return name_of_export (&export.uri);
  return is_of_export (options.name, &export.uri) ? options.name : NULL;
}

/* Print the device's path.  If that fails, detach the device again, unless
 * another process works on the attachment by then, or has detached it and made
 * another one of that name.  The attachment's directory is unlocked already, as
 * who reads the path may call --detach at once.
 */
static void
announce (const char *device)
{
  const char *why;

  if (printf ("/dev/%s\n", device) >= 0 && fflush (stdout) == 0)
    return;
  why = strerror (errno);
  if (begun.directory[0] != '\0' &&
      (!lock_directory (begun.directory) ||
       strcmp (attachment_read (begun.directory).identity,
               begun.attachment.identity) != 0))
    begun.directory[0] = '\0';
  die ("the path of the device cannot be printed: %s", why);
}

/* Choose nbd for an export with zones after all, and connect to it again. */
static struct nbd_options
fall_back (void)
{
  choose_nbd ();
  return connect_all ();
}

/* Returns the number in a file of the directory; 0 if there is none. */
static unsigned
read_number (const char *directory, const char *file)
{
  char text[32];

  read_line (text, sizeof text, directory, file);
  return strtoul (text, NULL, 10);
}

/* Have nullblk-ublk take over a device whose processes were killed, with the
 * timeouts that the device had.  If another process has taken it over
 * meanwhile, that is no error.
 */
static void
revive_ublk (struct attachment *a, const char *name, const char *directory)
{
  static char uri[MAX_URI];
  const struct ublk_options o = {.connections = options.connections,
                                 .timeout = read_number (directory, "timeout"),
                                 .persist = read_number (directory, "persist")};

  read_line (uri, sizeof uri, directory, "uri");
  if (attach_by_ublk (a, &o, uri) != UBLK_ATTACHED && !attachment_exists (a))
    die ("%s: it is attached as %s to /dev/%s, whose process was killed; "
         "--detach %s clears that",
         export.text, name, a->device, name);
  if (!write_line (directory, "device", a->device))
    die ("%s: %s", directory, strerror (errno));
}

/* Print the device of the export's attachment NAME, after new connections have
 * taken the place of dead ones.
 */
static void
use_attached (const char *name, struct nbd_options o)
{
  char directory[MAX_PATH], persists[64];
  struct attachment a;
  struct export_info then;
  bool left;

  directory_of (directory, sizeof directory, name);
  if (!lock_directory (directory))
    die ("%s: it is attached as %s, %s", export.text, name,
         errno == EWOULDBLOCK ? "and another nullblk-attach is at work on that"
                              : strerror (errno));
  a = attachment_read (directory);
  left = attachment_is_left (&a, directory);
  if (!left && !attachment_exists (&a))
    die ("%s: it was attached as %s, and has just been detached", export.text,
         name);
  if (options.as != AS_AUTO && has_cookie (&a) != export.by_ublk)
    die ("%s: it is attached as %s to /dev/%s, which is no %s device; --detach "
         "%s first, or give this one a --name",
         export.text, name, a.device, export.by_ublk ? "ublk" : "nbd", name);
  /* Compare the export as the connections have it that the kernel is to get. */
  if (!has_cookie (&a) && export.by_ublk)
    o = fall_back ();
  if (!read_export_info (directory, &then) ||
      !export_info_serves (&o.export_info, &then))
    die ("%s: it is attached as %s to /dev/%s, and has changed since then; "
         "--detach %s first",
         export.text, name, a.device, name);
  read_line (persists, sizeof persists, directory,
             has_cookie (&a) ? "persist" : "watcher");
  if (options.persist > 0 && persists[0] == '\0')
    die ("%s: it is attached as %s to /dev/%s without --persist", export.text,
         name, a.device);
  if (left)
    revive_ublk (&a, name, directory);
  if (!has_cookie (&a) &&
      !revive_connections (begun.netlink, &a, &o, begun.connections))
    die ("%s: it was attached as %s, and has just been disconnected",
         export.text, name);
  announce (a.device);
}

/*---------------------------------------------------------------------*/
/* The directory */

/* Make a directory for the attachment: NAME of --name, or for now new-PID.0. */
static void
begin_directory (void)
{
  char name[MAX_NAME + 1], directory[MAX_PATH];
  unsigned i = 0;
  bool done;

  do {
    if (options.name != NULL)
      format_text (name, sizeof name, "%s", options.name);
    else
      format_text (name, sizeof name, "new-%d.%u", (int) getpid (), i++);
    directory_of (directory, sizeof directory, name);
    done = make_directory (directory);
    /* EEXIST: a crash of a process of the same pid has left one. */
  } while (!done && errno == EEXIST && options.name == NULL);
  if (!done)
    die ("%s: %s", directory,
         errno == EEXIST ? "is taken; --list shows what is attached, and "
                           "--detach clears it"
                         : strerror (errno));
  format_text (begun.directory, sizeof begun.directory, "%s", directory);
}

/* Make the export that of our own server, whose socket is in the directory.
 * The directory may have been renamed since the last call.
 */
static void
set_own_uri (void)
{
  static char text[MAX_PATH];
  struct message why;

  format_text (text, sizeof text, "nbd+unix:///?socket=%s/socket",
               begun.directory);
  export.text = text;
  if (uri_parse (&export.uri, text, &why) < 0)
    die ("%s", why.text);
}

static void
write_or_die (const char *file, const char *text)
{
  if (!write_line (begun.directory, file, text))
    die ("%s: %s", begun.directory, strerror (errno));
}

static void
write_number (const char *file, unsigned n)
{
  char text[32];

  format_text (text, sizeof text, "%u", n);
  write_or_die (file, text);
}

static void
write_export_info_or_die (const struct export_info *info)
{
  if (!write_export_info (begun.directory, info))
    die ("%s: %s", begun.directory, strerror (errno));
}

/* Give the directory the device's name; or nbdN.1 and so on where a crash has
 * left one of that name.
 */
static void
name_directory (void)
{
  const char *device = begun.attachment.device;
  char directory[MAX_PATH];
  unsigned i = 0;

  directory_of (directory, sizeof directory, device);
  while (!move_directory (begun.directory, directory)) {
    if (errno != EEXIST)
      die ("%s: %s", directory, strerror (errno));
    format_text (directory, sizeof directory, RUN_DIR "/%s.%u", device, ++i);
  }
  format_text (begun.directory, sizeof begun.directory, "%s", directory);
  if (export.is_ours) {
    set_own_uri ();
    write_or_die ("uri", export.text);
  }
}

/*---------------------------------------------------------------------*/

/* Attach by the nbd driver.  With netlink, the directory gets the identity
 * before there is a device; with nbd-client, afterwards.
 */
static void
attach_nbd (const struct nbd_options *o)
{
  struct attachment *a = &begun.attachment;
  struct expected expected = {a->device, o->export_info.size};
  char identity[sizeof a->identity];
  struct message why;
  bool done;

  if (!by_client ())
    attachment_draw_identity (a, false);
  write_or_die ("attachment", a->identity);
  strcpy (identity, a->identity);
  done = by_client () ? attach_by_client (a, o, &export.uri, &why)
                      : attach_connections (begun.netlink, a, o,
                                            begun.connections, &why);
  close_connections (done ? nbd_close : disconnect_from_server);
  end_if_stopped ();
  if (!done)
    die ("%s: %s", export.text, why.text);
  write_or_die ("device", a->device);
  /* Not without need: for a moment the file is empty, and identifies nothing.
   */
  if (strcmp (a->identity, identity) != 0)
    write_or_die ("attachment", a->identity);
  if (by_client () && !await_condition (is_ready, &expected)) {
    end_if_stopped ();
    die ("/dev/%s does not get the size of the export", a->device);
  }
}

/* Find the device that our own server has made. */
static void
find_own_device (void)
{
  struct attachment *a = &begun.attachment;
  struct message why;

  if (!find_device_of_server (a, export.text, ANSWER_SECONDS, &why)) {
    end_if_stopped ();
    die ("%s", why.text);
  }
  write_or_die ("attachment", a->identity);
  write_or_die ("device", a->device);
}

/* Attach by nullblk-ublk; the directory gets the identity before there is a
 * device.  Returns false where this kernel can make no such device, and
 * options.as allows one of nbd.
 */
static bool
attach_ublk (void)
{
  const struct ublk_options o = {.connections = options.connections,
                                 .timeout = options.timeout,
                                 .persist = options.persist};
  struct attachment *a = &begun.attachment;
  enum ublk_outcome outcome;

  attachment_draw_identity (a, true);
  write_or_die ("attachment", a->identity);
  outcome = attach_by_ublk (a, &o, export.text);
  end_if_stopped ();
  if (outcome == UBLK_IMPOSSIBLE && options.as == AS_AUTO) {
    a->identity[0] = '\0';
    return false;
  }
  if (outcome != UBLK_ATTACHED)
    end_with (EXIT_FAILURE); /* nullblk-ublk has said why */
  write_or_die ("device", a->device);
  if (options.persist > 0) {
    write_number ("timeout", options.timeout);
    write_number ("persist", options.persist);
  }
  return true;
}

/* Attach the device.  *O changes if it becomes one of nbd and not of ublk. */
static void
attach_device (struct nbd_options *o)
{
  char network[64];

  write_or_die ("uri", export.text);
  network_of_process (network, sizeof network);
  write_or_die ("network", network);
  write_export_info_or_die (&o->export_info);
  if (export.is_ours && options.as == AS_UBLK) {
    find_own_device ();
    return;
  }
  if (export.by_ublk && attach_ublk ())
    return;
  if (export.by_ublk) {
    *o = fall_back ();
    write_export_info_or_die (&o->export_info);
  }
  attach_nbd (o);
  if (export.has_zones)
    fprintf (stderr,
             "nullblk-attach: %s: it has zones, which /dev/%s of the kernel's "
             "nbd driver does not show: writes that break their rules fail\n",
             export.text, begun.attachment.device);
}

/* Start the watcher. */
static void
watch (const struct nbd_options *o)
{
  const struct persist_target target = {
      .index = index_of (begun.attachment.device),
      .identifier = identifier_of (&begun.attachment),
      .uri = export.text,
      .export_info = o->export_info,
      .connections = o->connections,
  };
  struct message why;

  if (!has_identifier (&begun.attachment))
    die ("--persist: before Linux 5.14 the kernel would give a new connection "
         "to whoever has /dev/%s by then",
         begun.attachment.device);
  if (!start_watcher (begun.persist, begun.directory, &begun.attachment,
                      &target, &why))
    die ("%s", why.text);
}

/* Is it a URI of any kind? */
static bool
has_scheme (const char *text)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz+";

  return strncmp (text + strspn (text, letters), "://", 3) == 0;
}

/* Find out whether ARGUMENTS are a URI or parameters for a server of our own,
 * and end the program where the options do not fit.
 */
static void
check_arguments (char **arguments)
{
  struct message why;

  export.is_ours = !uri_is_one (arguments[0]);
  if (export.is_ours && has_scheme (arguments[0]))
    die ("%s: the kernel takes TCP and Unix sockets only: nbd://, nbds:// and "
         "nbd+unix://",
         arguments[0]);
  if (export.is_ours) {
    if (options.persist > 0)
      die ("--persist is for a URI: the data of a server that nullblk-attach "
           "starts ends with the server");
    if (options.as == AS_UBLK && options.timeout > 0)
      die ("--timeout is for connections, which a device made of parameters "
           "does not have with --as=ublk");
    return;
  }
  export.text = arguments[0];
  if (arguments[1] != NULL)
    die ("%s: nothing may follow a URI", arguments[1]);
  if (uri_parse (&export.uri, export.text, &why) < 0)
    die ("%s", why.text);
}

/* If the options allow it, start a server that makes the device itself.
 * Returns whether it has: then the rest is as with --as=ublk.
 */
static bool
start_server_of_device (char **arguments)
{
  char queues[64];
  const char *more[MAX_MORE + 1] = {"ublk=true"};
  const bool tries = options.as == AS_AUTO;

  if (options.as == AS_NBD || (tries && options.timeout > 0))
    return false;
  if (options.connections_given) {
    format_text (queues, sizeof queues, "submit-queues=%u",
                 options.connections);
    more[1] = queues;
  }
  if (!start_server (begun.directory, arguments, more, tries, options.depth))
    return false;
  options.as = AS_UBLK;
  export.by_ublk = true;
  return true;
}

static void
start_own_server (char **arguments)
{
  static const char *const no_more[] = {NULL};

  begin_directory ();
  if (!start_server_of_device (arguments)) {
    end_if_stopped ();
    if (options.as == AS_UBLK ||
        !start_server (begun.directory, arguments, no_more, false,
                       options.depth)) {
      end_if_stopped ();
      die ("the server for the device does not start");
    }
  }
  set_own_uri ();
}

int
attach (const struct attach_options *given, char **arguments)
{
  struct nbd_options o;
  const char *name;

  options = *given;
  check_arguments (arguments);
  export.by_ublk = options.as == AS_UBLK;
  if (options.as == AS_NBD)
    check_nbd ();
  if (geteuid () != 0)
    die ("only root can attach a device");
  if (options.as == AS_NBD)
    choose_nbd ();
  note_signals ();
  before_end (take_back);
  if (export.is_ours)
    start_own_server (arguments);
  o = connect_all ();
  if (!export.is_ours && !by_client ()) {
    if (!lock_export (&export.uri)) {
      end_if_stopped ();
      if (errno != ETIMEDOUT)
        die ("%s: " RUN_DIR "/.exports cannot be locked: %s", export.text,
             strerror (errno));
      die ("%s: another nullblk-attach that attaches it does not come to an "
           "end",
           export.text);
    }
    name = find_attached ();
    if (name != NULL) {
      use_attached (name, o);
      return EXIT_SUCCESS;
    }
  }
  if (!export.is_ours)
    begin_directory ();
  attach_device (&o);
  if (options.name == NULL)
    name_directory ();
  if (begun.persist != NULL)
    watch (&o);
  end_if_stopped ();

  /* A nullblk-attach that waits for the export may use its device now. */
  unlock_directory ();
  unlock_export ();
  announce (begun.attachment.device);
  begun.directory[0] = '\0';
  return EXIT_SUCCESS;
}
