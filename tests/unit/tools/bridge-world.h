/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the tests of a device of nullblk-ublk have in common: a kernel that is
 * too old, has no driver or no zones, refuses a command, or stops no device
 * that is open.  All of nullblk-ublk that speaks to /dev/ublk-control is here
 * as it is, its second process included; its ring, its queues and its server
 * are functions of bridge-world.c.
 */

#ifndef NULLBLK_BRIDGE_WORLD_H
#define NULLBLK_BRIDGE_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ublk/bridge.h"
#include "ublkdrv/ublkdrv.h"
#include "unit.h"

#define MOST 64
#define NUMBER 4095 /* of its device, of which the machine has none */

/*---------------------------------------------------------------------*/
/* The kernel, which both processes see */

enum command {
  GET_INFO = 0x02,
  ADD = 0x04,
  DELETE = 0x05,
  START = 0x06,
  STOP = 0x07,
  SET_PARAMS = 0x08,
  GET_PARAMS = 0x09,
  START_RECOVERY = 0x10,
  END_RECOVERY = 0x11,
  GET_FEATURES = 0x13,
  DELETE_ASYNC = 0x14,
  TRY_STOP = 0x17,
  NR_COMMANDS
};

extern struct kernel {
  bool has_driver;
  uint64_t features;
  uint64_t flags; /* that a device can have */

  /* What a command answers before it is done, and how often. */
  struct {
    int result;
    unsigned times;
  } refusals[NR_COMMANDS];

  bool can_be_held;       /* /dev/ublkbN, by a file in its place */
  bool opens_badly;       /* it is there, and opening it fails */
  unsigned looks;         /* for users */
  unsigned opened_after;  /* so many looks; 0: by nobody */
  unsigned written_at;    /* that look; 0: at none */
  bool is_going;          /* files of it in /sys have no device any more */
  unsigned writes;        /* that have ended */
  unsigned flushes;       /* that there were */
  unsigned writes_during; /* so many flushes there are writes; then no more */
  int flush_errno;        /* of the flushes after that */
  unsigned failing_syncs; /* of what was written before a flush */

  bool has_device;
  struct ublksrv_ctrl_dev_info info;
  struct ublk_params params;

  /* What it was asked, but for what it only tells, and by whom. */
  enum command asked[MOST];
  pid_t asked_by[MOST];
  unsigned nr_asked;
} * kernel;

/* To be called first in a program. */
void share_kernel (void);

/* A kernel that does all that is asked of it, as Linux 6.12 does. */
void make_kernel (bool zones);

void refuse (enum command command, int result, unsigned times);

/* The commands were these, in this order; the last one is 0. */
void were_asked (const enum command *commands);
#define WERE_ASKED(...) were_asked ((const enum command[]){__VA_ARGS__, 0})

extern long cpus; /* that are online */

/*---------------------------------------------------------------------*/
/* The queue, and the server */

/* The process that begins the queue is killed before that has fetched, or while
 * it does.
 */
extern enum fetching { FETCHES, DIES_BEFORE, DIES_MEANWHILE } fetching;

/* There is memory for so many queues, and for what makes new connections. */
extern unsigned most_queues;
extern bool can_reconnect;

unsigned queues (void); /* that there are */
extern bool has_queues; /* two */
extern unsigned away;   /* so many attempts to connect fail */
extern unsigned full;   /* and so many to connect queues but the first */
extern unsigned moved;  /* and so many are taken by another server */
extern uint64_t peer;   /* whose number is 2; that of the first one */
extern int open_sources;
extern uint64_t size; /* of the export */

/*---------------------------------------------------------------------*/
/* The bridge */

extern struct message why;
extern enum bridge_failure failure; /* what bridge_open said last */
extern struct bridge *bridge;
extern struct bridge *kept; /* one that stays to the end of the program */

void open_bridge_of (const struct bridge_options *o);

void close_bridge (enum bridge_end how);

#endif /* NULLBLK_BRIDGE_WORLD_H */
