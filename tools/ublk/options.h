/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The command line of nullblk-ublk.
 */

#ifndef NULLBLK_UBLK_OPTIONS_H
#define NULLBLK_UBLK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/common.h"

#define DEFAULT_DEPTH 128
#define MAX_DEPTH 4096
#define MAX_QUEUES 128
#define DEFAULT_TIMEOUT 600
#define DEFAULT_TIMEOUT_PERSISTENT 30 /* the default with --persist */
#define MAX_TIMEOUT 86400
#define DEFAULT_PERSIST 60
#define MAX_PERSIST 86400

enum zones_wanted { WANT_ZONES_AUTO, WANT_ZONES_YES, WANT_ZONES_NO };

struct bridge_options {
  enum {
    DO_SERVE,
    DO_LIST,
    DO_DETACH,
    DO_DETACH_ALL,
    DO_HELP,
    DO_VERSION
  } action;
  const char *argument; /* the URI, or what is to be detached; or NULL */
  uint64_t cookie;      /* that the device is to have; 0: a random one */
  bool foreground, read_only, rotational;
  unsigned queues; /* 0: as many as there are CPUs */
  unsigned depth;
  unsigned timeout; /* seconds that the server may take to answer a request */
  unsigned persist; /* seconds that requests wait for a server; 0: none */
  enum zones_wanted zones;
  bool recovers; /* no option: the supervisor has its child take over the device
                  * of a child that has died */
};

/* Returns 0, or -EINVAL with the reason in *why; the reason is "" where the
 * user needs to be shown the usage.  The texts in *options are those of argv.
 */
int options_parse (struct bridge_options *options, int argc, char *argv[],
                   struct message *why);

#endif /* NULLBLK_UBLK_OPTIONS_H */
