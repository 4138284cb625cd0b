/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Puts requests on a device without a server, so that callgrind can count their
 * instructions:
 *
 *   core-load read|write|append|zero|trim|flush COUNT [KEY=VALUE]...
 *
 * These are COUNT requests of 4 KiB, one behind the other, in the first 8 MiB
 * of a device that was written before, again and again.  If the device has
 * zones, of at least 8 MiB, the first zone is reset each time that writes or
 * appends begin anew.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"

#define MIB (UINT64_C (1) << 20)
#define MEMORY (512 * MIB)
#define BLOCK 4096
#define BLOCKS 2048 /* 8 MiB, after which requests begin anew */

static char buf[BLOCK];

static int
nap (void *opaque, uint64_t nsec)
{
  (void) opaque, (void) nsec;
  return -ESHUTDOWN;
}

static void __attribute__ ((noreturn)) die (const char *what)
{
  fprintf (stderr, "core-load: %s\n", what);
  exit (EXIT_FAILURE);
}

static struct connection *
create (int n, char *const *given)
{
  const struct front_end front_end = {.wait = {.sleep_for = nap}};
  struct devices *devices;
  struct message why;
  struct params p;
  char *value;
  int i;

  params_init (&p);
  for (i = 0; i < n; i++) {
    value = strchr (given[i], '=');
    if (value == NULL)
      die (given[i]);
    *value++ = '\0';
    if (params_set (&p, given[i], value, &why) < 0)
      die (why.text);
  }
  if (params_complete (&p, MEMORY, UINT64_MAX, 4096, &why) < 0)
    die (why.text);
  if (devices_create (&devices, &p.settings, MEMORY, 4096, &front_end) < 0)
    die ("no devices");
  return device_connect (&devices->device[0], NULL);
}

static int
request (struct connection *c, char op, uint64_t offset)
{
  uint64_t at;

  switch (op) {
  case 'a':
    return device_append (c, buf, BLOCK, 0, false, &at);
  case 'r':
    return device_read (c, buf, BLOCK, offset);
  case 'w':
    return device_write (c, buf, BLOCK, offset, false);
  case 'z':
    return device_zero (c, BLOCK, offset, false, false);
  case 't':
    return device_trim (c, BLOCK, offset, false);
  default:
    return device_flush (c);
  }
}

int
main (int argc, char *argv[])
{
  struct connection *c;
  uint64_t i, count;
  bool resets;

  if (argc < 3)
    die ("usage: core-load read|write|append|zero|trim|flush COUNT "
         "[KEY=VALUE]...");
  count = strtoull (argv[2], NULL, 10);
  c = create (argc - 3, argv + 3);
  memset (buf, 0x5a, sizeof buf);
  for (i = 0; i < BLOCKS; i++) {
    if (device_write (c, buf, BLOCK, i * BLOCK, false) < 0)
      die ("the device cannot be written");
  }
  resets = c->device->zones != NULL && strchr ("aw", argv[1][0]) != NULL;
  for (i = 0; i < count; i++) {
    if (resets && i % BLOCKS == 0 && device_reset_zones (c) < 0)
      die ("the zones cannot be reset");
    if (request (c, argv[1][0], i % BLOCKS * BLOCK) < 0)
      die ("a request has failed");
  }
  devices_destroy (c->device->devices);
  return EXIT_SUCCESS;
}
