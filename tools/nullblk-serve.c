/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-serve: nbdkit as it should be started for the plugin.  It chooses how
 * many threads a connection gets if the plugin wants threads, preloads the
 * library that batches socket I/O, and becomes nbdkit, with the plugin and with
 * all arguments but --depth.
 */

#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "count.h"
#include "die.h"

#define MAX_DEPTH 1024

static struct {
  unsigned depth;
  bool has_threads; /* the user has given nbdkit's -t */
  unsigned threads; /* its number; 0: none that can be used */
  bool is_single, is_verbose;
  const char *tls;      /* the value of the last --tls; NULL: none is given */
  bool has_credentials; /* --tls-certificates or --tls-psk */
} options = {.depth = 64};

/* The files that nbdkit is started with. */
static const char *nbdkit = NBDKIT_PROG;
static const char *plugin = PLUGINDIR "/nbdkit-nullblk-plugin.so";
static const char *library = PKGLIBDIR "/libnullblk-batch.so"; /* or NULL */

/* A list of arguments, with room for all of ours and a few more. */
struct arguments {
  char **argv;
  size_t n;
};

static struct arguments to_nbdkit; /* without the program's name */
/* Where the plugin's parameters begin in to_nbdkit; its end if there are none.
 */
static size_t first_parameter = SIZE_MAX;

#define die(...) die_as ("nullblk-serve", __VA_ARGS__)

static void
arguments_init (struct arguments *a, size_t room)
{
  a->argv = calloc (room + 8, sizeof *a->argv);
  if (a->argv == NULL)
    die ("%s", strerror (errno));
  a->n = 0;
}

static void
add (struct arguments *a, const char *argument)
{
  const union {
    const char *in;
    char *out;
  } unconst = {argument}; /* exec's prototype is older than const */

  a->argv[a->n++] = unconst.out;
}

/*---------------------------------------------------------------------*/
/* Our own command line */

static void
usage (FILE *fp)
{
  fputs ("nullblk-serve [--depth N] [NBDKIT-OPTION]... "
         "[SIZE | KEY=VALUE]...\n"
         "nullblk-serve --help|--version\n"
         "\n"
         "Serve a device of nbdkit's nullblk plugin: nbdkit with the plugin,\n"
         "with as many threads as its parameters need (--depth, 64, where\n"
         "requests wait), and with batched socket I/O (not with\n"
         "NULLBLK_BATCH=0).  Please read nullblk-serve(1), nbdkit(1) and\n"
         "nbdkit-nullblk-plugin(1).\n",
         fp);
}

enum { DEPTH = CHAR_MAX + 1, HELP, TLS, CREDENTIALS, FLAG, VALUE };

/* nbdkit's options, from 1.32 to 1.48: whether a value follows.  One that is
 * not known is taken for a flag, and passed on like all others.
 */
static const char short_options[] = "-46D:e:fg:i:nop:P:rst:u:U:vV";
static const struct option long_options[] = {
    {"depth", required_argument, NULL, DEPTH},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, 'V'},

    {"threads", required_argument, NULL, 't'},
    {"debug", required_argument, NULL, VALUE},
    {"export", required_argument, NULL, VALUE},
    {"export-name", required_argument, NULL, VALUE},
    {"exportname", required_argument, NULL, VALUE},
    {"filter", required_argument, NULL, VALUE},
    {"group", required_argument, NULL, VALUE},
    {"ip-addr", required_argument, NULL, VALUE},
    {"ipaddr", required_argument, NULL, VALUE},
    {"log", required_argument, NULL, VALUE},
    {"mask-handshake", required_argument, NULL, VALUE},
    {"name", required_argument, NULL, VALUE},
    {"pid-file", required_argument, NULL, VALUE},
    {"pidfile", required_argument, NULL, VALUE},
    {"port", required_argument, NULL, VALUE},
    {"run", required_argument, NULL, VALUE},
    {"selinux-label", required_argument, NULL, VALUE},
    {"time-out", required_argument, NULL, VALUE},
    {"timeout", required_argument, NULL, VALUE},
    {"tls", required_argument, NULL, TLS},
    {"tls-certificates", required_argument, NULL, CREDENTIALS},
    {"tls-priority", required_argument, NULL, VALUE},
    {"tls-psk", required_argument, NULL, CREDENTIALS},
    {"unix", required_argument, NULL, VALUE},
    {"user", required_argument, NULL, VALUE},

    {"dump-config", no_argument, NULL, FLAG},
    {"dump-plugin", no_argument, NULL, FLAG},
    {"exit-with-parent", no_argument, NULL, FLAG},
    {"foreground", no_argument, NULL, FLAG},
    {"ipv4-only", no_argument, NULL, FLAG},
    {"ipv6-only", no_argument, NULL, FLAG},
    {"keep-alive", no_argument, NULL, FLAG},
    {"keepalive", no_argument, NULL, FLAG},
    {"long-options", no_argument, NULL, FLAG},
    {"new-style", no_argument, NULL, FLAG},
    {"newstyle", no_argument, NULL, FLAG},
    {"no-fork", no_argument, NULL, FLAG},
    {"no-mc", no_argument, NULL, FLAG},
    {"no-meta-contexts", no_argument, NULL, FLAG},
    {"no-sr", no_argument, NULL, FLAG},
    {"no-structured-replies", no_argument, NULL, FLAG},
    {"old-style", no_argument, NULL, FLAG},
    {"oldstyle", no_argument, NULL, FLAG},
    {"print-uri", no_argument, NULL, FLAG},
    {"print-url", no_argument, NULL, FLAG},
    {"read-only", no_argument, NULL, FLAG},
    {"readonly", no_argument, NULL, FLAG},
    {"short-options", no_argument, NULL, FLAG},
    {"show-uri", no_argument, NULL, FLAG},
    {"show-url", no_argument, NULL, FLAG},
    {"single", no_argument, NULL, 's'},
    {"stdin", no_argument, NULL, 's'},
    {"swap", no_argument, NULL, FLAG},
    {"tls-verify-peer", no_argument, NULL, FLAG},
    {"verbose", no_argument, NULL, 'v'},
    {"vsock", no_argument, NULL, FLAG},
    {NULL, 0, NULL, 0},
};

static unsigned
parse_depth (const char *text)
{
  unsigned n;

  if (!count_parse (text, 1, MAX_DEPTH, &n))
    die ("--depth %s: allowed is a whole number from 1 to %u", text, MAX_DEPTH);
  return n;
}

/* nbdkit itself refuses a text that is no number.  0 is nbdkit's default. */
static void
take_threads (const char *text)
{
  const unsigned long n = strtoul (text, NULL, 10);

  options.has_threads = true;
  options.threads = n < MAX_DEPTH ? n : MAX_DEPTH;
}

/* The next argument of to_nbdkit is a parameter of the plugin. */
static void
note_parameter (void)
{
  if (first_parameter > to_nbdkit.n)
    first_parameter = to_nbdkit.n;
}

/* Take our own option out, and note the options of nbdkit that decide something
 * here.  As short_options begins with "-", getopt_long keeps the order of the
 * arguments, and returns 1 for each that is no option.
 */
static void
parse (int argc, char *argv[])
{
  int c, from = 1;

  arguments_init (&to_nbdkit, argc);
  opterr = 0;
  while ((c = getopt_long (argc, argv, short_options, long_options, NULL)) !=
         -1) {
    switch (c) {
    case DEPTH:
      options.depth = parse_depth (optarg);
      from = optind;
      break;
    case HELP:
      usage (stdout);
      exit (EXIT_SUCCESS);
    case 'V':
      printf ("nullblk-serve %s\n", PACKAGE_VERSION);
      exit (EXIT_SUCCESS);
    case 's':
      options.is_single = true;
      break;
    case 't':
      take_threads (optarg);
      break;
    case 'v':
      options.is_verbose = true;
      break;
    case TLS:
      options.tls = optarg;
      break;
    case CREDENTIALS:
      options.has_credentials = true;
      break;
    case 1:
      note_parameter ();
      break;
    }
    while (from < optind)
      add (&to_nbdkit, argv[from++]);
  }
  /* "--", and after it. */
  for (; from < argc; from++) {
    if (from >= optind)
      note_parameter ();
    add (&to_nbdkit, argv[from]);
  }
  note_parameter ();
}

/* Are there certificates where nbdkit looks for them if it is given none?  See
 * nbdkit-tls(1).
 */
static bool
has_certificates (void)
{
  static const char *const below_home[] = {".pki", ".config/pki"};
  const char *home = getenv ("HOME");
  char path[PATH_MAX];
  size_t i;

  for (i = 0; home != NULL && i < 2; i++) {
    if (snprintf (path, sizeof path, "%s/%s/nbdkit/ca-cert.pem", home,
                  below_home[i]) < (int) sizeof path &&
        access (path, F_OK) == 0)
      return true;
  }
  return access ("/etc/pki/nbdkit/ca-cert.pem", F_OK) == 0;
}

/* May a client use TLS?  Without --tls it may if there are certificates or
 * keys.
 */
static bool
may_use_tls (void)
{
  if (options.tls != NULL)
    return strcmp (options.tls, "off") != 0;
  return options.has_credentials || has_certificates ();
}

/* Does the library see all that it needs to see, on each connection? */
static bool
sees_all (void)
{
  return !options.is_single && !may_use_tls ();
}

/*---------------------------------------------------------------------*/
/* The program that is started, and its arguments */

/* Returns the parent of the directory that this program is in; "" if /proc does
 * not say.
 */
static const char *
find_tree (void)
{
  static char path[PATH_MAX];
  ssize_t len;
  char *p;
  int i;

  len = readlink ("/proc/self/exe", path, sizeof path - 1);
  path[len > 0 ? len : 0] = '\0';
  for (i = 0; i < 2; i++) {
    p = strrchr (path, '/');
    if (p != NULL)
      *p = '\0';
  }
  return path;
}

/* If this program is in a build tree, use the tree's plugin and library, or
 * else what was installed; the environment can name others.
 */
static void
find_parts (void)
{
  static char built_plugin[PATH_MAX + 64], built_library[PATH_MAX + 64];
  const char *tree = find_tree (), *given;

  snprintf (built_plugin, sizeof built_plugin, "%s/plugin/nullblk.so", tree);
  snprintf (built_library, sizeof built_library,
            "%s/plugin/.libs/libnullblk-batch.so", tree);
  if (access (built_plugin, R_OK) == 0 && access (built_library, R_OK) == 0) {
    plugin = built_plugin;
    library = built_library;
  }

  if ((given = getenv ("NULLBLK_NBDKIT")) != NULL)
    nbdkit = given;
  if ((given = getenv ("NULLBLK_PLUGIN")) != NULL)
    plugin = given;
  if ((given = getenv ("NULLBLK_BATCH")) != NULL) {
    if (strcmp (given, "0") == 0)
      library = NULL;
    else if (given[0] == '/')
      library = given;
    else if (strcmp (given, "1") != 0)
      die ("NULLBLK_BATCH=%s: allowed are 0, 1, and the library's path from "
           "the root",
           given);
  }
  given = getenv ("NULLBLK_BATCH_PLAIN");
  if (given != NULL && strcmp (given, "0") != 0 && strcmp (given, "1") != 0)
    die ("NULLBLK_BATCH_PLAIN=%s: allowed are 0 and 1", given);
  given = getenv ("NULLBLK_BATCH_POLL");
  if (given != NULL && (given[0] == '\0' || strlen (given) > 6 ||
                        strspn (given, "0123456789") != strlen (given)))
    die ("NULLBLK_BATCH_POLL=%s: allowed are 0 to 999999, in microseconds",
         given);
}

/* Put the library before what LD_PRELOAD has already. */
static void
preload (void)
{
  const char *others = getenv ("LD_PRELOAD");
  char *list, depth[16];

  if (access (library, R_OK) == -1)
    die ("%s: %s (NULLBLK_BATCH=0 does without)", library, strerror (errno));
  if (strpbrk (library, ": ") != NULL)
    die ("%s: what is preloaded cannot have a blank or colon in its path "
         "(NULLBLK_BATCH=0 does without)",
         library);
  if (others == NULL || others[0] == '\0')
    others = "";
  list = malloc (strlen (library) + 1 + strlen (others) + 1);
  if (list == NULL)
    die ("%s", strerror (errno));
  sprintf (list, "%s%s%s", library, others[0] != '\0' ? ":" : "", others);
  snprintf (depth, sizeof depth, "%u",
            !sees_all ()           ? 0
            : options.threads != 0 ? options.threads
                                   : options.depth);
  if (setenv ("LD_PRELOAD", list, 1) == -1 ||
      setenv ("NULLBLK_BATCH_DEPTH", depth, 1) == -1 ||
      /* nbdkit prints each request that it gets. */
      setenv ("NULLBLK_BATCH_PLAIN", options.is_verbose ? "0" : "1",
              options.is_verbose) == -1)
    die ("%s", strerror (errno));
  free (list);
}

int
main (int argc, char *argv[])
{
  struct arguments a;
  char threads[16];
  size_t i, place = 0;

  parse (argc, argv);
  find_parts ();

  arguments_init (&a, to_nbdkit.n);
  add (&a, nbdkit);
  /* If the plugin wants no threads, nbdkit ignores -t. */
  if (!options.has_threads) {
    snprintf (threads, sizeof threads, "%u", options.depth);
    add (&a, "-t");
    add (&a, threads);
  }
  /* The plugin must be the first that is no option.  As options may follow it,
   * unless the environment says otherwise, it is safest before all of them: one
   * that is new may have a value, which would look like a parameter.
   */
  if (getenv ("POSIXLY_CORRECT") != NULL)
    place = first_parameter;
  for (i = 0; i < to_nbdkit.n; i++) {
    if (i == place)
      add (&a, plugin);
    add (&a, to_nbdkit.argv[i]);
  }
  if (place == to_nbdkit.n)
    add (&a, plugin);

  if (library != NULL)
    preload ();
  execvp (nbdkit, a.argv);
  die ("%s: %s", nbdkit, strerror (errno));
}
