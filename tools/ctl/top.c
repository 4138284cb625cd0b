/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The live view; see top.h.  Rates are by the server's clock.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curses.h>
#include <libnbd.h>

#include "dotconfig.h"
#include "show.h"
#include "snapshot.h"
#include "top.h"
#include "ctl-zones.h"

/* Connections to .stats and .zones, the last snapshot of .stats, and the
 * difference from the one before.
 */
struct view {
  struct server_address *server;
  struct nbd_handle *stats_nbd; /* NULL while the server is away */
  struct nbd_handle *zones_nbd; /* NULL until the screen first draws a map */
  struct snapshot *last;
  struct snapshot *interval; /* the difference, or NULL */
  struct message why;        /* where there is no connection */
  char *map; /* one letter for each `group` zones; NULL if there is no map */
  uint64_t group;
  struct message no_map; /* why there is no map */
  struct message failed; /* "", or why what a key asked for was not done */
};

static void
forget_server (struct view *v)
{
  nbd_close (v->stats_nbd);
  nbd_close (v->zones_nbd);
  snapshot_free (v->last);
  snapshot_free (v->interval);
  free (v->map);
  v->stats_nbd = v->zones_nbd = NULL;
  v->map = NULL;
  v->last = v->interval = NULL;
}

/* Look again.  Returns false, and the reason in v->why, where the server is
 * away or there is no memory.
 */
static bool
take_snapshot (struct view *v)
{
  struct snapshot *now, *interval = NULL;
  char *text;

  if (v->stats_nbd == NULL)
    v->stats_nbd = server_open (v->server, ".stats", &v->why);
  if (v->stats_nbd == NULL)
    return false;
  text = server_read (v->stats_nbd, &v->why);
  now = text != NULL ? snapshot_parse (text, &v->why) : NULL;
  free (text);
  if (now != NULL && v->last != NULL) {
    interval = snapshot_since (v->last, now);
    if (interval == NULL) {
      message_set (&v->why, "%s", strerror (ENOMEM));
      snapshot_free (now);
      now = NULL;
    }
  }
  if (now == NULL) {
    forget_server (v);
    return false;
  }
  snapshot_free (v->interval);
  v->interval = interval;
  snapshot_free (v->last);
  v->last = now;
  return true;
}

static double
per_second (const struct view *v, uint64_t n)
{
  return v->interval->interval_ns > 0 ? n * 1e9 / v->interval->interval_ns : 0;
}

/*---------------------------------------------------------------------*/
/* The lines without a terminal */

static void
print_line (const struct view *v)
{
  const struct snapshot_op *read = &v->interval->op[0];
  const struct snapshot_op *write = &v->interval->op[1];
  char a[SHOWN], b[SHOWN], c[SHOWN], d[SHOWN], e[SHOWN], f[SHOWN], g[SHOWN];
  char zones[SHOWN_ZONES];

  printf ("%s read %s/s %sB/s p50 %s p99 %s write %s/s %sB/s p50 %s p99 ",
          v->last->device, show_count (a, per_second (v, read->requests)),
          show_bytes (b, per_second (v, read->bytes)),
          show_ns (c, snapshot_percentile (read, 5000)),
          show_ns (d, snapshot_percentile (read, 9900)),
          show_count (e, per_second (v, write->requests)),
          show_bytes (f, per_second (v, write->bytes)),
          show_ns (g, snapshot_percentile (write, 5000)));
  printf ("%s depth %" PRIu64 " connections %" PRIu64 " memory %s%s%s\n",
          show_ns (a, snapshot_percentile (write, 9900)), v->last->depth,
          v->last->connections, show_bytes (b, v->last->memory_held),
          v->last->has_zones ? " " : "",
          v->last->has_zones ? show_zones (zones, v->last) : "");
  fflush (stdout);
}

static bool
top_lines (struct view *v, const struct top_options *options,
           struct message *why)
{
  const struct timespec pause = {.tv_sec = options->interval};
  unsigned i;

  if (!take_snapshot (v)) {
    *why = v->why;
    return false;
  }
  for (i = 0; options->count == 0 || i < options->count; i++) {
    nanosleep (&pause, NULL);
    if (!take_snapshot (v)) {
      *why = v->why;
      return false;
    }
    if (v->interval != NULL)
      print_line (v);
  }
  return true;
}

/*---------------------------------------------------------------------*/
/* The screen */

#define HISTOGRAM_ROWS 8
#define MAP_ROW 20 /* of the map's heading */
#define MAP_ROWS 8 /* the most that the map has below its heading */

/* Draw the service times of all requests of the interval as bars.  The first
 * column counts requests that took less than 512 ns, each further column those
 * that took up to twice as long, and the last one all that took longer; the
 * label below a column is the time that its requests took less than.
 */
static void
draw_histogram (const struct view *v, int row)
{
  uint64_t column[28] = {0}, most = 1;
  const struct bucket *b;
  unsigned i, j, k;
  char label[SHOWN];
  int y, full;

  for (i = 0; i < NR_OPERATIONS; i++) {
    for (j = 0; j < v->interval->op[i].nr_buckets; j++) {
      b = &v->interval->op[i].buckets[j];
      for (k = 0; k < 27 && b->from >> (k + 9) > 0; k++)
        ;
      column[k] += b->count;
    }
  }
  for (k = 0; k < 28; k++)
    most = column[k] > most ? column[k] : most;
  for (y = 0; y < HISTOGRAM_ROWS; y++) {
    move (row + y, 2);
    for (k = 0; k < 28; k++) {
      full = (int) ((column[k] * HISTOGRAM_ROWS * 2 + most - 1) / most);
      full -= 2 * (HISTOGRAM_ROWS - 1 - y);
      addch (full >= 2 ? '#' : full == 1 ? '.' : ' ');
      addch (full >= 2 ? '#' : full == 1 ? '.' : ' ');
    }
  }
  for (k = 0; k < 28; k += 4)
    mvprintw (row + HISTOGRAM_ROWS, 2 + 2 * (int) k, "%s",
              show_ns (label, UINT64_C (512) << k));
}

static int
map_rows (void)
{
  const int rows = LINES - 1 - (MAP_ROW + 1);

  return rows < MAP_ROWS ? rows : MAP_ROWS;
}

static int
map_width (void)
{
  return COLS - 4;
}

/* Read the zone table, and make a map of it. */
static void
take_map (struct view *v)
{
  free (v->map);
  v->map = NULL;
  if (v->last == NULL || !v->last->has_zones || map_rows () < 1 ||
      map_width () < 1)
    return;
  if (v->zones_nbd == NULL)
    v->zones_nbd = server_open (v->server, ".zones", &v->no_map);
  if (v->zones_nbd != NULL)
    v->map = zones_map (v->zones_nbd, (size_t) map_rows () * map_width (),
                        &v->group, &v->no_map);
}

static void
draw_map (const struct view *v)
{
  const int width = map_width (), rows = map_rows ();
  char heading[120];
  int i, len;

  if (rows < 1 || width < 1)
    return;
  if (v->map == NULL) {
    mvprintw (MAP_ROW, 0, "no map of zones: %.*s", width, v->no_map.text);
    return;
  }
  snprintf (heading, sizeof heading,
            "%" PRIu64 " zone%s a letter: . empty 1-9 tenths # full "
            "c conventional r read-only x offline",
            v->group, v->group > 1 ? "s" : "");
  mvaddnstr (MAP_ROW, 0, heading, COLS);
  len = (int) strlen (v->map);
  for (i = 0; i < rows && i * width < len; i++)
    mvprintw (MAP_ROW + 1 + i, 2, "%.*s", width, v->map + i * width);
}

static void
draw (const struct view *v, bool paused)
{
  const struct snapshot *s = v->last;
  char zones[SHOWN_ZONES];
  const struct snapshot_op *op;
  char a[SHOWN], b[SHOWN];
  unsigned i;

  erase ();
  mvprintw (0, 0, "nullblk top: %s%s", v->server->device,
            paused ? "  [paused]" : "");
  if (s == NULL)
    mvprintw (2, 0, "no statistics: %s", v->why.text);
  else {
    printw ("  up %" PRIu64 " s  connections %" PRIu64 "  depth %" PRIu64
            " (largest %" PRIu64 ")",
            s->uptime_ns / 1000000000, s->connections, s->depth,
            s->depth_largest);
    if (s->has_memory)
      mvprintw (1, 0, "memory %s of %s  written %s",
                show_bytes (a, s->memory_held), show_bytes (b, s->memory_limit),
                s->written_blocks == 0 ? "-" : "");
    if (s->has_memory && s->written_blocks > 0)
      printw ("%s", show_bytes (a, s->written_blocks * 4096.0));
    if (s->has_zones)
      mvaddnstr (2, 0, show_zones (zones, s), COLS);
  }
  if (s != NULL && v->interval != NULL) {
    attron (A_REVERSE);
    mvprintw (3, 0, "%-6s %9s %9s %9s %8s %8s %8s %8s", "", "requests", "bytes",
              "errors", "p50", "p90", "p99", "p99.9");
    attroff (A_REVERSE);
    for (i = 0; i < NR_OPERATIONS; i++) {
      op = &v->interval->op[i];
      mvprintw (4 + (int) i, 0, "%-6s %7s/s %7s/s", operation_names[i],
                show_count (a, per_second (v, op->requests)),
                show_bytes (b, per_second (v, op->bytes)));
      printw (" %9s %8s", show_count (a, per_second (v, snapshot_errors (op))),
              show_ns (b, snapshot_percentile (op, 5000)));
      printw (" %8s %8s", show_ns (a, snapshot_percentile (op, 9000)),
              show_ns (b, snapshot_percentile (op, 9900)));
      printw (" %8s", show_ns (a, snapshot_percentile (op, 9990)));
    }
    if (LINES > 13 + HISTOGRAM_ROWS)
      draw_histogram (v, 11);
  }
  if (s != NULL && s->has_zones)
    draw_map (v);
  if (v->failed.text[0] != '\0')
    mvprintw (LINES - 1, 0, "%.*s", COLS - 1, v->failed.text);
  else
    mvprintw (LINES - 1, 0,
              "q quit  p pause  r reset statistics  d next device");
  refresh ();
}

static void
reset_statistics (struct view *v)
{
  struct message why;

  if (!config_change_of (v->server, "stats=reset\n", &why))
    message_set (&v->failed, "no reset: %.400s", why.text);
}

static void
next_device (struct view *v)
{
  struct device_entry *devices;
  struct message why;
  unsigned n, i;

  if (!server_list (v->server, &devices, &n, &why)) {
    message_set (&v->failed, "no list of devices: %.400s", why.text);
    return;
  }
  for (i = 0; i < n && strcmp (devices[i].name, v->server->device) != 0; i++)
    ;
  if (n > 0) {
    forget_server (v);
    snprintf (v->server->device, sizeof v->server->device, "%s",
              devices[i + 1 < n ? i + 1 : 0].name);
  }
  free (devices);
}

static void
run_screen (struct view *v, const struct top_options *options)
{
  bool paused = false;
  unsigned looks = 0;
  int key;

  timeout ((int) options->interval * 1000);
  for (;;) {
    if (!paused) {
      take_snapshot (v);
      take_map (v);
      looks++;
    }
    draw (v, paused);
    if (options->count > 0 && looks > options->count)
      return;
    key = getch ();
    if (key != ERR)
      v->failed.text[0] = '\0';
    switch (key) {
    case 'q':
      return;
    case 'p':
    case ' ':
      paused = !paused;
      break;
    case 'r':
      reset_statistics (v);
      break;
    case 'd':
      next_device (v);
      break;
    }
  }
}

static bool
top_screen (struct view *v, const struct top_options *options,
            struct message *why)
{
  SCREEN *screen;

  if (!take_snapshot (v)) {
    *why = v->why;
    return false;
  }
  screen = newterm (NULL, stdout, stdin);
  if (screen == NULL) {
    message_set (why, "this terminal (TERM) is not known to ncurses");
    return false;
  }
  cbreak ();
  noecho ();
  curs_set (0);
  keypad (stdscr, TRUE);
  run_screen (v, options);
  endwin ();
  delscreen (screen);
  return true;
}

bool
top (struct server_address *s, const struct top_options *options,
     struct message *why)
{
  struct view v = {.server = s};
  bool ok;

  if (isatty (STDIN_FILENO) && isatty (STDOUT_FILENO))
    ok = top_screen (&v, options, why);
  else
    ok = top_lines (&v, options, why);
  forget_server (&v);
  return ok;
}
