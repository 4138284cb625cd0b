/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Requests, zone commands, live changes and power cuts, to a device with any of
 * the features.  The first bytes choose its settings and what its front end can
 * do (defer replies, set writes aside, park requests that hang); each further
 * few are an operation.
 *
 * A model knows, of each sector, the byte that fills it, or that it may have
 * any content; and whether a power cut may take that back.
 *
 *     content[]   0  7  7  ?  0 ...     ?: a write failed here, or was set
 *     is_dirty[]  .  .  x  .  . ...     aside; x: written since the last flush
 */

#include <config.h>

#include <errno.h>

#include "control/control.h"
#include "device/device.h"
#include "fuzz.h"

#define SIZE (UINT64_C (512) << 10)
#define SECTOR 512
#define NR_SECTORS (SIZE / SECTOR)
#define LONGEST 96 /* sectors of a request */
#define ANYTHING 256
#define MEMORY (UINT64_C (64) << 20)
#define MOST_PENDING 12
#define MOST_OPERATIONS 400

static const char *const presets[][12] = {
    {"memory-backed", "1"},
    {"memory-backed", "1", "cache-size", "64K"},
    {"memory-backed", "1", "zoned", "1", "zone-size", "64K"},
    {"memory-backed", "1", "zoned", "1", "zone-size", "64K", "cache-size",
     "64K"},
    {"memory-backed", "1", "zoned", "1", "zone-size", "32K", "zone-capacity",
     "24K", "zone-nr-conv", "2"},
    {"memory-backed", "1", "zoned", "1", "zone-size", "64K", "zone-max-open",
     "2", "zone-max-active", "3"},
    {"memory-backed", "0"},
    {"memory-backed", "0", "zoned", "1", "zone-size", "64K"},
};
#define NR_PRESETS (sizeof presets / sizeof presets[0])

/* One bit each of the input. */
static const char *const extras[][2] = {
    {"fault", "op=write rate=20% error=EIO"},
    {"fault", "op=read,zone count=3 hang"},
    {"fault", "op=flush,write every=3 delay=3ms"},
    {"badblocks", "+3-5,+40-41"},
    {"badblocks-partial-io", "1"},
    {"latency", "50us"},
    {"lanes", "2"},
    {"mbps", "100"},
    {"buffer-size", "32K"},
    {"memory-limit", "128K"},
    {"zero-memory", "1"},
    {"discard", "0"},
    {"block-size", "4096"},
    {"zone-read-past-wp", "error"},
    {"zone-reorder-wait", "10ms"},
    {"zone-readonly", "3"},
    {"zone-offline", "4-5"},
    {"zone-trim", "error"},
    {"zone-cross", "error"},
    {"fault", "op=write after=4 count=2 corrupt=stale"},
    {"fault", "zones=1 op=write error=ENOSPC count=1"},
    {"latency", "seek:track=1ms,full=16ms,rpm=7200,mbps=200"},
    {"stall", "every:10ms,for:1ms"},
    {"power-off-reply", "disconnect"},
};
#define NR_EXTRAS (sizeof extras / sizeof extras[0])

static const char *const changes[] = {
    "discard=1\n",
    "discard=0\n",
    "zero-memory=1\nlatency=0\n",
    "read-only=1\n",
    "read-only=0\n",
    "power-cut-after=2\nlose=all\n",
    "power-cut-after=0\n",
    "power=cut\nlose=random\npower-seed=7\n",
    "power=on\n",
    "zones=reset\n",
    "memory-limit=64K\n",
    "memory-limit=8M\n",
    "fault=op=write rate=50% error=EIO\n",
    "fault=op=all count=1 hang\n",
    "fault-delete=all\n",
    "badblocks=+8-9,-3-4\n",
    "badblocks=none\nbadblocks-once=1\n",
    "stats=reset\nseed=reset\n",
    "latency=normal:30us,10us\nseed=3\n",
    "iops=1000\nlanes=1\n",
    "profile=hdd\n",
    "profile=nvme\n",
    "zone-cross=error\n",
    "zone-cross=split\n",
    "fault=op=write count=1 corrupt=flip\n",
    "mark=here\n",
    "badblocks=+8-9,+12-15\nbadblocks-mend=1\n",
};
#define NR_CHANGES (sizeof changes / sizeof changes[0])

static struct devices *devices;
static struct device *d;
static struct connection *data[2], *config, *table;
static uint8_t buf[LONGEST * SECTOR];

static uint16_t content[NR_SECTORS];
static bool is_dirty[NR_SECTORS];
static bool is_trusted; /* no rule has corrupted anything */
static uint64_t cuts;
static uint8_t last_byte;
static bool client_dropped;

/*---------------------------------------------------------------------*/
/* The front end */

static struct pending {
  enum { FREE, DEFERRED, ASIDE, PARKED } state;
  bool hastened;
  uint64_t moment;
  int (*due) (void *request, uint64_t *moment, bool over);
  bool (*retry) (void *request, const void *payload, uint64_t *moment);
  uint64_t first, n; /* sectors that it may change */
  _Alignas(max_align_t) uint8_t request[MAX_PARKED_COPY];
  uint8_t payload[LONGEST * SECTOR];
} pending[MOST_PENDING];

/* What is about to be asked. */
static uint64_t asked_first, asked_n;

static struct pending *
find_free (void)
{
  unsigned i;

  for (i = 0; i < MOST_PENDING; i++) {
    if (pending[i].state == FREE) {
      pending[i].hastened = false;
      pending[i].first = asked_first;
      pending[i].n = asked_n;
      return &pending[i];
    }
  }
  return NULL;
}

static void
disconnect (void)
{
  client_dropped = true;
}

static bool
defer (uint64_t due_at, uint64_t spin,
       int (*due) (void *request, uint64_t *moment, bool over),
       const void *request, size_t size, size_t count)
{
  struct pending *p = find_free ();

  (void) spin;
  CHECK (size <= MAX_REQUEST_COPY && count <= sizeof buf);
  if (p == NULL)
    return false;
  p->state = DEFERRED;
  p->moment = due_at;
  p->due = due;
  memcpy (p->request, request, size);
  return true;
}

static void *
set_aside (uint64_t until, uint64_t spin,
           bool (*retry) (void *request, const void *payload, uint64_t *moment),
           int (*due) (void *request, uint64_t *moment, bool over),
           const void *request, size_t size, const void *payload, size_t n)
{
  struct pending *p = find_free ();

  (void) spin;
  CHECK (size <= MAX_REQUEST_COPY && n <= sizeof p->payload);
  if (p == NULL)
    return NULL;
  p->state = ASIDE;
  p->moment = until;
  p->due = due;
  p->retry = retry;
  memcpy (p->request, request, size);
  if (n > 0)
    memcpy (p->payload, payload, n);
  return p->request;
}

static void
hasten (void *request)
{
  struct pending *p = (struct pending *) ((char *) request -
                                          offsetof (struct pending, request));

  CHECK (p >= pending && p < pending + MOST_PENDING && p->state != FREE);
  p->hastened = true;
}

static void *
park (const void *request, size_t size)
{
  struct pending *p = find_free ();

  CHECK (size <= sizeof p->request);
  if (p == NULL)
    return NULL;
  p->state = PARKED;
  p->moment = UINT64_MAX;
  memcpy (p->request, request, size);
  return p->request;
}

static void
report (struct device *device, int r)
{
  CHECK (device == d && r < 0);
}

/*---------------------------------------------------------------------*/
/* The model */

static void
set_content (uint64_t first, uint64_t n, uint16_t what, bool dirty)
{
  for (; n > 0 && first < NR_SECTORS; first++, n--) {
    content[first] = what;
    is_dirty[first] = dirty;
  }
}

/* A power cut has made unknown what was not durable. */
static void
look_at_power (void)
{
  struct durability_status status;
  unsigned i;

  device_power_status (d, &status);
  if (status.cuts == cuts)
    return;
  cuts = status.cuts;
  for (i = 0; i < NR_SECTORS; i++) {
    if (is_dirty[i])
      content[i] = ANYTHING;
  }
}

static void
check_data (const uint8_t *bytes, uint64_t first, uint64_t n)
{
  uint64_t i, j;

  for (i = 0; i < n && is_trusted; i++) {
    for (j = 0; content[first + i] != ANYTHING && j < SECTOR; j++)
      CHECK (bytes[i * SECTOR + j] == content[first + i]);
  }
}

static void
check_zones (void)
{
  const struct zone_settings *s = &devices->settings.zones;
  uint64_t i, open = 0, active = 0, at = 0;
  const uint64_t nr = zones_total (d->zones);
  struct zone_descriptor z;

  for (i = 0; i < nr; i++) {
    CHECK (zones_read_table (d->zones, i, &z, 1) == 1);
    CHECK (z.start == at && z.len > 0 && z.capacity <= z.len);
    at += z.len;
    if (z.type == ZONE_TYPE_CONVENTIONAL) {
      CHECK (z.cond == ZONE_COND_NOT_WP);
      continue;
    }
    CHECK (z.type == ZONE_TYPE_SEQUENTIAL);
    switch (z.cond) {
    case ZONE_COND_EMPTY:
      CHECK (z.wp == z.start);
      break;
    case ZONE_COND_IMP_OPEN:
    case ZONE_COND_EXP_OPEN:
      open++;
      active++;
      CHECK (z.wp >= z.start && z.wp < z.start + z.capacity);
      break;
    case ZONE_COND_CLOSED:
      active++;
      CHECK (z.wp > z.start && z.wp < z.start + z.capacity);
      break;
    case ZONE_COND_FULL:
      CHECK (z.wp == z.start + z.len || z.wp == z.start + z.capacity);
      break;
    default:
      CHECK (z.cond == ZONE_COND_READONLY || z.cond == ZONE_COND_OFFLINE);
      CHECK (z.wp == ZONE_NO_WP);
    }
  }
  CHECK (at == SIZE / SECTOR);
  CHECK (s->max_open == 0 || open <= s->max_open);
  CHECK (s->max_active == 0 || active <= s->max_active);
}

static unsigned
count_pending (void)
{
  unsigned i, n = 0;

  for (i = 0; i < MOST_PENDING; i++)
    n += pending[i].state != FREE;
  return n;
}

static void
check_all (void)
{
  look_at_power ();
  CHECK (data[0]->in_flight + data[1]->in_flight + table->in_flight ==
         count_pending ());
  if (d->zones != NULL)
    check_zones ();
}

/*---------------------------------------------------------------------*/
/* What waits goes on */

static void
go_on (struct pending *p, bool over)
{
  uint64_t offset, moment;
  struct pending was;
  int r;

  switch (p->state) {
  case DEFERRED:
    moment = fuzz_now;
    r = p->due (p->request, &moment, over);
    CHECK (r <= 2 && (r != 2 || !over));
    p->moment = moment;
    if (r != 2)
      p->state = FREE;
    break;
  case ASIDE:
    moment = p->moment;
    if (over) {
      p->due (p->request, &moment, true);
      p->state = FREE;
    }
    else if (p->retry (p->request, p->payload, &moment))
      p->state = DEFERRED;
    p->moment = moment;
    p->hastened = false;
    break;
  case PARKED:
    /* The request may be kept once more, in another place. */
    was = *p;
    asked_first = p->first;
    asked_n = p->n;
    p->state = FREE;
    memset (buf, ++last_byte, sizeof buf);
    r = device_resume_parked (was.request, buf, over, &offset);
    CHECK (r <= 0);
    break;
  case FREE:
    return;
  }
  set_content (p->first, p->n, ANYTHING, true);
}

/* Let time pass until the first that waits is to go on. */
static void
run_one (bool over)
{
  struct pending *first = NULL;
  unsigned i;

  for (i = 0; i < MOST_PENDING; i++) {
    if (pending[i].state == FREE)
      continue;
    if (pending[i].hastened) {
      first = &pending[i];
      break;
    }
    if (first == NULL || pending[i].moment < first->moment)
      first = &pending[i];
  }
  if (first == NULL)
    return;
  if (first->state == PARKED && !first->hastened)
    over = true;
  else if (first->moment > fuzz_now && !first->hastened)
    fuzz_now = first->moment;
  go_on (first, over);
}

/*---------------------------------------------------------------------*/
/* Operations */

struct where {
  uint64_t offset;
  uint32_t count;
};

static struct where
take_where (struct input *in)
{
  const uint64_t block = devices->settings.block_size;
  uint64_t first = take (in, 2) % NR_SECTORS;
  uint64_t n = 1 + take (in, 1) % LONGEST;

  if (first % 7 != 0) {
    first -= first % (block / SECTOR);
    n += block / SECTOR - 1;
    n -= n % (block / SECTOR);
  }
  if (n > LONGEST)
    n = LONGEST;
  if (n > NR_SECTORS - first)
    n = NR_SECTORS - first;
  asked_first = first;
  asked_n = n;
  return (struct where){.offset = first * SECTOR, .count = n * SECTOR};
}

/* Of zones, all that a command or a trim may touch. */
static void
forget_zones (uint64_t offset, uint64_t count)
{
  const uint64_t zone = devices->settings.zones.zone_size;
  const uint64_t start = offset - offset % zone;
  const uint64_t end = (offset + count + zone - 1) / zone * zone;

  set_content (start / SECTOR, (end - start) / SECTOR, ANYTHING, true);
}

/* At the write pointer of the zone of *AT, where the most is allowed. */
static void
move_to_wp (struct where *at)
{
  struct zone_descriptor z;
  const uint64_t zone = at->offset / devices->settings.zones.zone_size;

  zones_read_table (d->zones, zone, &z, 1);
  if (z.wp == ZONE_NO_WP || z.wp >= z.start + z.capacity)
    return;
  at->offset = z.wp * SECTOR;
  if (at->count > SIZE - at->offset)
    at->count = SIZE - at->offset;
  asked_first = at->offset / SECTOR;
  asked_n = at->count / SECTOR;
}

static void
do_read (struct connection *c, struct input *in)
{
  const struct where at = take_where (in);
  int r;

  asked_n = 0;
  memset (buf, 0xee, sizeof buf);
  r = device_read (c, buf, at.count, at.offset);
  CHECK (r <= 0 || r == DEVICE_PARKED);
  if (r == 0 && devices->store != NULL)
    check_data (buf, at.offset / SECTOR, at.count / SECTOR);
}

/* A request at AT, with FUA or without, has made the data WHAT if R says so,
 * and if it waits for nothing but its due time: as many wait now as before.
 */
static void
has_changed (const struct where *at, uint16_t what, bool fua, int r,
             unsigned waiting_before)
{
  CHECK (r <= 0 || r == DEVICE_PARKED);
  if (r == 0 && count_pending () == waiting_before)
    set_content (at->offset / SECTOR, at->count / SECTOR, what, !fua);
  else
    set_content (at->offset / SECTOR, at->count / SECTOR, ANYTHING, true);
}

static void
do_write (struct connection *c, struct input *in, bool at_wp)
{
  const unsigned waiting = count_pending ();
  struct where at = take_where (in);
  const bool fua = take (in, 1) % 2;

  if (at_wp && d->zones != NULL)
    move_to_wp (&at);
  last_byte += 1 + (last_byte == 255);
  memset (buf, last_byte, at.count);
  has_changed (&at, last_byte, fua,
               device_write (c, buf, at.count, at.offset, fua), waiting);
}

static void
do_zero (struct connection *c, struct input *in)
{
  const unsigned waiting = count_pending ();
  struct where at = take_where (in);
  const unsigned how = take (in, 1);

  if (how & 4 && d->zones != NULL)
    move_to_wp (&at);
  has_changed (&at, 0, how & 2,
               device_zero (c, at.count, at.offset, how & 1, how & 2), waiting);
}

static void
do_trim (struct connection *c, struct input *in)
{
  const bool can = device_can_discard (d);
  const unsigned waiting = count_pending ();
  const struct where at = take_where (in);
  const bool fua = take (in, 1) % 2;
  const int r = device_trim (c, at.count, at.offset, fua);

  if (d->zones != NULL) {
    CHECK (r <= 0 || r == DEVICE_PARKED);
    forget_zones (at.offset, at.count);
  }
  else if (can || r != 0 || count_pending () != waiting)
    has_changed (&at, 0, fua, r, waiting);
}

static void
do_flush (struct connection *c)
{
  unsigned waiting = count_pending ();
  int r;

  asked_n = 0;
  r = device_flush (c);
  CHECK (r <= 0 || r == DEVICE_PARKED);
  look_at_power ();
  if (r == 0 && waiting == 0 && count_pending () == 0)
    memset (is_dirty, 0, sizeof is_dirty);
}

static void
do_append (struct connection *c, struct input *in)
{
  const struct where at = take_where (in);
  uint64_t start, place = 0;
  int r;

  if (d->zones == NULL)
    return;
  start = at.offset - at.offset % devices->settings.zones.zone_size;
  asked_first = start / SECTOR;
  asked_n = devices->settings.zones.zone_size / SECTOR;
  r = device_append (c, buf, at.count, start, false, &place);
  CHECK (r <= 0 || r == DEVICE_PARKED);
  /* One that corrupt=stale has lost may have had no room. */
  if (r == 0 && is_trusted)
    CHECK (place >= start && place + at.count <= start + asked_n * SECTOR);
  forget_zones (start, 1);
}

static void
do_extent (struct connection *c, struct input *in)
{
  const struct where asked = take_where (in);
  const uint64_t end = asked.offset + asked.count;
  uint64_t at, next;
  enum extent extent;

  for (at = asked.offset; at < end; at = next) {
    if (device_extent (c, end - at, at, &extent, &next) != 0)
      break;
    CHECK (next > at && next <= end);
    CHECK (extent <= EXTENT_HOLE);
  }
}

/* Descriptors as they come, or only with a condition. */
static void
do_commands (struct input *in)
{
  struct zone_descriptor z[4];
  const uint64_t zone_size = devices->settings.zones.zone_size;
  uint64_t first, n, i, nr;
  struct message why = {{0}};
  unsigned how;
  int r;

  if (d->zones == NULL)
    return;
  nr = zones_total (d->zones);
  how = take (in, 1);
  first = take (in, 1) % nr;
  n = 1 + how % 4;
  if (n > nr - first)
    n = nr - first;
  zones_read_table (d->zones, first, z, n);
  for (i = 0; i < n; i++) {
    if (how & 16)
      z[i].wp ^= take (in, 4);
    z[i].cond = take (in, 1);
    if (how & 32)
      z[i].cond &= 0xf;
  }
  asked_first = first * zone_size / SECTOR;
  asked_n = n * zone_size / SECTOR;
  r = control_write (table, z, n * sizeof z[0] - (how & 64 ? 8 : 0),
                     first * sizeof z[0], &why);
  CHECK (r <= 0 || r == DEVICE_PARKED);
  forget_zones (first * zone_size, n * zone_size);
}

static void
do_change (struct input *in)
{
  const char *lines = changes[take (in, 1) % NR_CHANGES];
  struct message why = {{0}};
  int r;

  if (strstr (lines, "corrupt") != NULL)
    is_trusted = false;
  asked_n = 0;
  r = control_write (config, lines, strlen (lines), 0, &why);
  CHECK (r == 0 || why.text[0] != '\0');
  look_at_power ();
  if (strstr (lines, "zones=") != NULL && d->zones != NULL)
    forget_zones (0, SIZE);
}

static void
operate (struct input *in)
{
  const unsigned what = take (in, 1);
  struct connection *c = data[what >> 7];

  switch (what % 16) {
  case 0:
  case 1:
    do_read (c, in);
    break;
  case 2:
    do_write (c, in, false);
    break;
  case 3:
  case 4:
    do_write (c, in, true);
    break;
  case 5:
    do_zero (c, in);
    break;
  case 6:
    do_trim (c, in);
    break;
  case 7:
    do_flush (c);
    break;
  case 8:
    do_append (c, in);
    break;
  case 9:
    do_extent (c, in);
    break;
  case 10:
    do_commands (in);
    break;
  case 11:
    do_change (in);
    break;
  case 12:
    fuzz_now += take (in, 2) * NSEC_PER_USEC;
    break;
  case 13:
    run_one (false);
    break;
  case 14:
    run_one (true);
    break;
  default:
    device_cache (c, SECTOR, 0);
  }
}

/*---------------------------------------------------------------------*/

/* Returns false where the settings contradict each other. */
static bool
make_devices (struct input *in)
{
  const char *const *preset = presets[take (in, 1) % NR_PRESETS];
  const unsigned can = take (in, 1);
  struct front_end front_end = {.wait = {.sleep_for = fuzz_cancel},
                                .disconnect = disconnect,
                                .report = report,
                                .hasten = hasten,
                                .may_be_parallel = true};
  uint64_t more = take (in, 4) & take (in, 4);
  struct message why = {{0}};
  struct params p;
  unsigned i;
  int r;

  if (can & 1) {
    front_end.defer = defer;
    front_end.max_deferred = MOST_PENDING;
  }
  if (can & 2)
    front_end.set_aside = set_aside;
  if (can & 4)
    front_end.park = park;
  params_init (&p);
  r = params_set (&p, "size", "512K", &why);
  if (r == 0)
    r = params_set (&p, "seed", "1", &why);
  for (i = 0; r == 0 && preset[i] != NULL; i += 2)
    r = params_set (&p, preset[i], preset[i + 1], &why);
  for (i = 0; r == 0 && i < NR_EXTRAS; i++) {
    if (more >> i & 1) {
      r = params_set (&p, extras[i][0], extras[i][1], &why);
      is_trusted = is_trusted && strstr (extras[i][1], "corrupt") == NULL;
    }
  }
  if (r == 0)
    r = params_complete (&p, MEMORY, UINT64_MAX, 4096, &why);
  if (r == 0) {
    CHECK (devices_create (&devices, &p.settings, MEMORY, 4096, &front_end) ==
           0);
    CHECK (devices_add_faults (devices, p.badblocks, p.faults, &why) == 0);
  }
  params_clear (&p);
  return r == 0;
}

static struct connection *
connect_to (const char *name)
{
  struct connection *c;

  CHECK (control_connect (devices, name, true, &c) == 0);
  return c;
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes, size_t size)
{
  struct input in = {bytes, size};
  unsigned i;

  fuzz_begin ();
  memset (content, 0, sizeof content);
  memset (is_dirty, 0, sizeof is_dirty);
  is_trusted = true;
  cuts = 0;
  last_byte = 0;
  for (i = 0; i < MOST_PENDING; i++)
    pending[i].state = FREE;
  if (!make_devices (&in))
    return 0;
  d = &devices->device[0];
  data[0] = connect_to ("nullb0");
  data[1] = connect_to ("");
  config = connect_to ("nullb0.config");
  table = connect_to (d->zones != NULL ? "nullb0.zones" : "nullb0.config");
  if (d->zones != NULL && devices->settings.zones.past_wp != PAST_WP_ZERO)
    set_content (0, NR_SECTORS, ANYTHING, true);
  for (i = 0; i < MOST_OPERATIONS && in.left > 0; i++) {
    /* Who holds requests that hang has room for each. */
    while (count_pending () > MOST_PENDING - 2)
      run_one (true);
    operate (&in);
    check_all ();
  }
  while (count_pending () > 0) {
    run_one (in.left % 2);
    check_all ();
  }
  CHECK (d->store == NULL || store_charged (d->store) <= MEMORY);
  devices_destroy (devices);
  return 0;
}
