/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What the tests of a bridge of nullblk-ublk have in common: a kernel that may
 * be too old, have no driver or no zones, refuse a command, or not stop a
 * device that is open.  The code of nullblk-ublk that speaks to
 * /dev/ublk-control is the real one, the aide included; the ring, the queues
 * and the server are functions of bridge-world.c.
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
#define NUMBER 4095 /* of the device; the machine has none of that number */

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

  /* The error with which a command fails at first, and how often it does. */
  struct {
    int result;
    unsigned times;
  } refusals[NR_COMMANDS];

  bool can_be_held;      /* /dev/ublkbN can be opened: it is another file */
  bool opens_badly;      /* it is there, and opening it fails */
  unsigned looks;        /* how often users of the device were looked for */
  unsigned opened_after; /* after so many looks there may be one; 0: never */
  unsigned written_at;   /* at which look a write ends; 0: at none */
  bool is_going;         /* files of it in /sys have no device any more */
  unsigned writes;       /* how many have ended */
  unsigned flushes;      /* how many there were */
  bool flushed_by_aide;  /* the record said so of who flushed last */
  unsigned told;         /* how often GET_INFO has told of the device */
  unsigned told_before_flush;
  unsigned writes_during; /* so many flushes there are writes; then no more */
  int flush_errno;        /* of the flushes after that */
  unsigned failing_syncs; /* of what was written before a flush */

  bool has_device;
  struct ublksrv_ctrl_dev_info info;
  struct ublk_params params;

  /* The commands that change something, and which process gave each. */
  enum command asked[MOST];
  pid_t asked_by[MOST];
  unsigned nr_asked;
} * kernel;

/* Does the record say that this process is the aide (0: nobody is)? */
bool is_aide (pid_t pid);

/* To be called first in a program. */
void share_kernel (void);

/* Make a kernel that does all commands, as Linux 6.12 does. */
void make_kernel (bool zones);

void refuse (enum command command, int result, unsigned times);

/* Assert that the commands were these, in this order; the last one is 0. */
void were_asked (const enum command *commands);
#define WERE_ASKED(...) were_asked ((const enum command[]){__VA_ARGS__, 0})

extern long cpus; /* that are online */

/*---------------------------------------------------------------------*/
/* The queue, and the server */

/* Whether the process ends before the queue fetches, or while it does. */
extern enum fetching { FETCHES, DIES_BEFORE, DIES_MEANWHILE } fetching;

/* For how many queues there is memory, and whether there is for reconnects. */
extern unsigned most_queues;
extern bool can_reconnect;

unsigned queues (void); /* how many there are */
extern bool has_queues; /* the export allows several connections */
extern unsigned away;   /* so many attempts to connect fail */
extern unsigned full;   /* and so many to connect queues but the first */
extern unsigned moved;  /* and so many are taken by another server, number 2 */
extern uint64_t peer;   /* the number of the first server */
extern int open_exports;
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
