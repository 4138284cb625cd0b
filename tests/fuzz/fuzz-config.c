/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What a client writes to .config: the first byte chooses a device, and each
 * piece behind it, up to a 0xff, is a write.  A refused write has changed no
 * setting and says why; what is read after it is whole text, and its lines can
 * be written back, which changes nothing.  .stats stays JSON.
 */

#include <config.h>

#include <errno.h>

#include <jansson.h>

#include "control/control.h"
#include "device/device.h"
#include "fuzz.h"

#define MEMORY (UINT64_C (64) << 20)
#define MOST_WRITES 8

static const char *const presets[][12] = {
    {"size", "1M", "memory-backed", "1"},
    {"size", "1M", "memory-backed", "1", "zoned", "1", "zone-size", "64K",
     "zone-max-open", "4"},
    {"size", "1M", "memory-backed", "1", "cache-size", "64K", "devices", "2"},
    {"size", "1T", "profile", "nvme"},
    {"size", "1T", "profile", "hdd", "latency", "lognormal:p50=80us,p99=2ms"},
    {"size", "1M", "memory-backed", "1", "badblocks", "+3-5", "fault",
     "name=a op=read rate=1% error=EIO"},
};
#define NR_PRESETS (sizeof presets / sizeof presets[0])

static struct devices *devices;
static char text[128 * 1024 + 1];

/* Of each preset, once it has been used: what it is parsed to, and the settings
 * that .config has at first.
 */
static struct {
  bool known;
  struct params params;
  char *settings;
} parsed[NR_PRESETS];

static const struct params *
parse (unsigned which)
{
  struct params *p = &parsed[which].params;
  const char *const *given;
  struct message why;

  if (!parsed[which].known) {
    params_init (p);
    CHECK (params_set (p, "seed", "1", &why) == 0);
    for (given = presets[which]; given[0] != NULL; given += 2)
      CHECK (params_set (p, given[0], given[1], &why) == 0);
    CHECK (params_complete (p, MEMORY, UINT64_MAX, 4096, &why) == 0);
    parsed[which].known = true;
  }
  return p;
}

static void
make_devices (unsigned which)
{
  const struct front_end front_end = {.wait = {.sleep_for = fuzz_cancel}};
  const struct params *p = parse (which);
  struct message why;

  CHECK (devices_create (&devices, &p->settings, MEMORY, 4096, &front_end) ==
         0);
  CHECK (devices_add_faults (devices, p->badblocks, p->faults, &why) == 0);
}

/* The text that there is now, without the newlines behind it. */
static char *
read_all (struct connection *c)
{
  const uint64_t size = control_size (control_of (c));
  uint64_t at;

  for (at = 0; at < size && at < sizeof text - 4096; at += 4096) {
    CHECK (control_read (c, text + at, 4096, at) == 0);
    CHECK (memchr (text + at, '\0', 4096) == NULL);
    if (memcmp (text + at + 4094, "\n\n", 2) == 0)
      break;
  }
  CHECK (at < size);
  at += 4096;
  while (at > 0 && text[at - 1] == '\n')
    at--;
  text[at] = '\0';
  return strdup (text);
}

/* The settings and state of a text, without its comments. */
static char *
settings_of (const char *all)
{
  char *r = malloc (strlen (all) + 2), *to = r;
  size_t len;

  for (; *all != '\0'; all += len + (all[len] == '\n')) {
    len = strcspn (all, "\n");
    if (len == 0 || all[0] == '#')
      continue;
    memcpy (to, all, len);
    to += len;
    *to++ = '\n';
  }
  *to = '\0';
  return r;
}

static char *
read_settings (struct connection *config)
{
  char *all = read_all (config), *r = settings_of (all);

  free (all);
  return r;
}

static void
write_back (struct connection *config, const char *settings)
{
  struct message why = {{0}};
  char *again;

  if (control_write (config, settings, strlen (settings), 0, &why) != 0) {
    fprintf (stderr, "%s\nof\n%s", why.text, settings);
    abort ();
  }
  again = read_settings (config);
  if (strcmp (again, settings) != 0) {
    fprintf (stderr, "%s\nis again\n%s", settings, again);
    abort ();
  }
  free (again);
}

/* BEFORE are the settings until now; returns those that there are then.  They
 * are written back where they are others, or ALWAYS.
 */
static char *
do_write (struct connection *config, const char *lines, size_t len,
          char *before, bool always)
{
  struct message why = {{0}};
  int r = control_write (config, lines, len, 0, &why);
  char *all = read_all (config), *after = settings_of (all);
  const bool is_changed = strcmp (before, after) != 0;

  if (r != 0) {
    CHECK (why.text[0] != '\0');
    CHECK (strchr (why.text, '\n') == NULL);
    CHECK (strncmp (all, "# error: ", 9) == 0);
    if (r == -EINVAL && strncmp (why.text, "zones=reset", 11) != 0 &&
        strncmp (why.text, "mark", 4) != 0)
      CHECK (!is_changed);
  }
  else if (is_changed || always)
    write_back (config, after);
  free (all);
  free (before);
  return after;
}

static void
check_stats (struct connection *stats)
{
  char *all = read_all (stats);
  json_error_t error;
  json_t *json = json_loads (all, JSON_REJECT_DUPLICATES, &error);

  if (json == NULL) {
    fprintf (stderr, "%s\nin\n%s\n", error.text, all);
    abort ();
  }
  json_decref (json);
  free (all);
}

/* The settings before the first write. */
static char *
first_settings (struct connection *config, unsigned which)
{
  char *r;

  if (parsed[which].settings == NULL)
    parsed[which].settings = read_settings (config);
  r = strdup (parsed[which].settings);
  CHECK (r != NULL);
  return r;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct input in = {data, size};
  struct connection *config, *stats;
  char *lines, *settings;
  unsigned i, how;
  size_t len;

  fuzz_begin ();
  how = take (&in, 1);
  make_devices (how % NR_PRESETS);
  CHECK (control_connect (devices, "nullb0.config", true, &config) == 0);
  CHECK (control_connect (devices, "nullb0.stats", true, &stats) == 0);
  settings = first_settings (config, how % NR_PRESETS);
  for (i = 0; i < MOST_WRITES && in.left > 0; i++) {
    lines = take_up_to (&in, 0xff, &len);
    settings = do_write (config, lines, len, settings, how & 128);
    free (lines);
  }
  free (settings);
  if (how & 64)
    check_stats (stats);
  devices_destroy (devices);
  return 0;
}
