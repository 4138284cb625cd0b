/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What a server may answer to nullblkctl, nullblk-ublk, nullblk-attach and
 * fio's engine: zone tables, settings, statistics, lists and sizes, right or
 * wrong (fuzz-nbd.c).  The first byte chooses what is asked.
 */

#include <config.h>

#include <errno.h>

#include <sys/socket.h>
#include <unistd.h>

#include <libnbd.h>

#include "attach/export.h"
#include "ctl/dotconfig.h"
#include "ctl/ctl-faults.h"
#include "ctl/server.h"
#include "ctl/show.h"
#include "ctl/snapshot.h"
#include "ctl/ctl-zones.h"
#include "fio/jobexport.h"
#include "fio/jobzones.h"
#include "fuzz-nbd.h"
#include "fuzz.h"
#include "ublk/export.h"

#define URI "nbd://host/nullb0"

static struct server_address server;
static struct message why;
static char *shown;
static size_t shown_len;
static FILE *screen;

static void
check (bool ok)
{
  CHECK (ok || why.text[0] != '\0');
  CHECK (strlen (why.text) < sizeof why.text);
  fuzz_check_text (why.text, strlen (why.text));
}

/* Of nullblk-attach. */
bool is_stopped (void);
bool
is_stopped (void)
{
  return false;
}

static void
ask_zones (unsigned how)
{
  static const enum zone_cond conds[] = {
      ZONE_COND_EMPTY, ZONE_COND_EXP_OPEN, ZONE_COND_CLOSED,
      ZONE_COND_FULL,  ZONE_COND_READONLY, ZONE_COND_OFFLINE,
  };
  const struct zones_query query = {
      .from = how / 8 % 4, .count = how / 32, .json = how & 1};
  char first[] = "0-3", second[] = "4", wrong[] = "9-";
  char *ranges[] = {NULL, NULL, NULL, NULL};
  struct nbd_handle *h;
  bool bad_usage;
  uint64_t group;
  char *map;

  switch (how / 2 % 4) {
  case 0:
    check (zones_report (screen, &server, &query, &why));
    break;
  case 1:
    if (how & 1) {
      ranges[0] = first;
      ranges[1] = second;
      ranges[2] = how & 32 ? wrong : NULL;
    }
    check (
        zones_change (&server, conds[how / 32 % 6], ranges, &bad_usage, &why));
    break;
  default:
    h = server_open (&server, ".zones", &why);
    if (h == NULL) {
      check (false);
      break;
    }
    map = zones_map (h, 1 + how % 16, &group, &why);
    check (map != NULL);
    if (map != NULL)
      CHECK (strlen (map) <= 1 + how % 16);
    free (map);
    server_close (h);
  }
}

static void
ask_settings (unsigned how)
{
  char first[] = "1-3", second[] = "x";
  char *ranges[] = {first, how & 8 ? second : NULL, NULL};
  char rule[] = "op=read error=EIO", name[] = "1";
  char *rules[] = {rule, NULL}, *names[] = {name, NULL};
  bool bad_usage;
  char *text;

  switch (how % 8) {
  case 0:
    text = config_of (&server, &why);
    check (text != NULL);
    free (text);
    break;
  case 1:
    check (config_change_of (&server, "latency=1ms\n", &why));
    break;
  case 2:
    check (badblocks_print (screen, &server, how & 8, &why));
    break;
  case 3:
    check (fault_rules_print (screen, &server, how & 8, &why));
    break;
  case 4:
    check (power_print (screen, &server, how & 8, &why));
    break;
  case 5:
    check (badblocks_mark (&server, '+', ranges, &bad_usage, &why));
    break;
  case 6:
    check (fault_rules_add (&server, rules, &bad_usage, &why));
    break;
  default:
    check (fault_rules_delete (&server, names, &bad_usage, &why));
  }
}

static void
ask_statistics (void)
{
  char *text = server_document (&server, ".stats", &why);
  struct snapshot *snapshot, *since;
  struct snapshot *both[2];

  check (text != NULL);
  if (text == NULL)
    return;
  snapshot = snapshot_parse (text, &why);
  check (snapshot != NULL);
  if (snapshot != NULL) {
    show_stats (screen, snapshot);
    since = snapshot_since (snapshot, snapshot);
    CHECK (since != NULL);
    show_stats (screen, since);
    snapshot_percentile (&since->op[0], 9999);
    snapshot_free (since);
    since = snapshot_since (NULL, snapshot);
    both[0] = snapshot;
    both[1] = since;
    show_prometheus (screen, both, 2);
    snapshot_free (since);
    snapshot_free (snapshot);
  }
  free (text);
}

static void
ask_list (void)
{
  struct device_entry *list;
  unsigned n, i;

  if (!server_list (&server, &list, &n, &why)) {
    check (false);
    return;
  }
  for (i = 0; i < n; i++) {
    CHECK (strlen (list[i].name) < sizeof list[i].name);
    fuzz_check_text (list[i].description, strlen (list[i].description));
  }
  free (list);
}

static void
ask_as_ublk (unsigned how)
{
  const struct plan_options options = {
      .queues = how % 4, .depth = 128, .cpus = 2, .page_size = 4096};
  struct export export;
  struct device_plan plan;

  if (export_open (&export, URI, how % 3, &why) < 0) {
    check (false);
    return;
  }
  check (plan_make (&plan, &export.plan_export, &options, &why) == 0);
  export_disconnect (&export.first);
  export_close (&export);
}

static void
ask_as_fio (unsigned how)
{
  struct zone_descriptor z[8];
  struct job_zones *zones;
  struct job_export export;
  uint64_t open, active, size;
  bool missing;
  int n;

  if (job_export_ask (&export, URI, &why) < 0) {
    check (false);
    return;
  }
  zones =
      job_zones_open (URI, export.size, how & 64 ? 65536 : 0, &missing, &why);
  check (zones != NULL);
  if (zones == NULL)
    return;
  size = how & 64 ? 65536 : 4096 << how / 16;
  n = job_zones_report (zones, size * (how % 8), z, 8, &why);
  check (n >= 0);
  CHECK (n <= 8);
  check (job_zones_command (zones, 0, size * (how % 8), ZONE_COND_EMPTY,
                            &why) == 0);
  job_zones_limits (URI, &open, &active);
  job_zones_close (zones);
}

static void
ask_as_attach (unsigned how)
{
  struct nbd_handle *h;
  struct export_info info;
  bool has_zones;

  h = connect_within (URI, 10, &info, how & 1 ? &has_zones : NULL, &why);
  check (h != NULL);
  if (h == NULL)
    return;
  CHECK (info.block_size >= 512);
  CHECK (export_info_serves (&info, &info));
  disconnect_from_server (h);
}

/*---------------------------------------------------------------------*/
/* Replies to requests of fio's engine, right or wrong */

#define MOST_ASKED 8
#define MOST_COUNT 4096

struct channel *
channel_nbd_create (struct nbd_handle *h, struct answered_list *list)
{
  (void) h;
  (void) list;
  return NULL;
}

/* Each is answered once at most. */
static unsigned
count_answered (struct answered_list *list, struct channel_request *asked)
{
  struct channel_request *q;
  unsigned n = 0;

  while ((q = answered_take (list)) != NULL) {
    CHECK (q >= asked && q < asked + MOST_ASKED && q->owner == asked);
    CHECK (q->err <= 0);
    q->owner = NULL;
    n++;
  }
  return n;
}

static void
put (uint8_t *p, uint64_t n, unsigned size)
{
  while (size > 0) {
    p[--size] = n;
    n >>= 8;
  }
}

static void
ask_by_channel (struct input *in)
{
  static uint8_t data[MOST_ASKED][MOST_COUNT], bytes[65536];
  struct channel_request asked[MOST_ASKED];
  struct answered_list list;
  struct channel *c;
  unsigned n = 1 + take (in, 1) % MOST_ASKED, i, answered = 0;
  uint8_t reply[16];
  int ends[2];
  size_t len;

  CHECK (socketpair (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  answered_init (&list);
  c = channel_raw_create (ends[0], MOST_ASKED, &list);
  CHECK (c != NULL);
  memset (asked, 0, sizeof asked);
  for (i = 0; i < n; i++) {
    asked[i].type = take (in, 1) % 2 ? NBD_CMD_READ : NBD_CMD_WRITE;
    asked[i].count = 1 + take (in, 2) % MOST_COUNT;
    asked[i].buf = data[i];
    asked[i].owner = asked;
    channel_add (c, &asked[i]);
  }
  channel_send (c);
  CHECK (recv (ends[1], bytes, sizeof bytes, 0) > 0);
  while (in->left > 0) {
    const unsigned what = take (in, 1);
    const struct channel_request *q = &asked[what % n];

    put (reply, 0x67446698, 4);
    put (reply + 4, what & 8 ? take (in, 4) : 0, 4);
    put (reply + 8, q->cookie, 8);
    if (what & 16)
      reply[take (in, 1) % 16] ^= take (in, 1);
    len = what & 32 ? take (in, 1) % 17 : 16;
    if (send (ends[1], reply, len, MSG_NOSIGNAL) == -1)
      break;
    len = q->type == NBD_CMD_READ ? q->count : 0;
    if (what & 64)
      len = take (in, 2) % MOST_COUNT;
    if (len > 0 && send (ends[1], bytes, len, MSG_NOSIGNAL) == -1)
      break;
    if (what & 128) {
      channel_receive (c, false);
      answered += count_answered (&list, asked);
    }
  }
  close (ends[1]);
  for (i = 0; i < 1000 && !c->is_dead; i++)
    channel_receive (c, false);
  CHECK (c->is_dead && c->why.text[0] != '\0');
  answered += count_answered (&list, asked);
  CHECK (answered == n);
  channel_destroy (c);
  close (ends[0]);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct input in = {data, size};
  unsigned what, how;

  fuzz_begin ();
  what = take (&in, 1);
  how = take (&in, 1);
  if (what % 8 == 7) {
    ask_by_channel (&in);
    return 0;
  }
  fuzz_nbd_begin (&in);
  why.text[0] = '\0';
  CHECK (server_init (&server, URI, NULL, &why));
  screen = open_memstream (&shown, &shown_len);
  CHECK (screen != NULL);
  switch (what % 8) {
  case 0:
    ask_zones (how);
    break;
  case 1:
    ask_settings (how);
    break;
  case 2:
    ask_statistics ();
    break;
  case 3:
    ask_list ();
    break;
  case 4:
    ask_as_ublk (how);
    break;
  case 5:
    ask_as_fio (how);
    break;
  default:
    ask_as_attach (how);
  }
  fclose (screen);
  fuzz_check_text (shown, shown_len);
  free (shown);
  fuzz_nbd_end ();
  return 0;
}
