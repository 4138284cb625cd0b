/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What passes between Linux's ublk driver and a program that serves one of its
 * devices.  These are definitions of our own, because the headers of Debian 12
 * are older than zones and than copying by read and write.  Structures have the
 * kernel's names, as have constants but for a few of our own; members have
 * names of our own.  All of it is in the byte order of the machine, and a
 * sector has 512 bytes.
 *
 * Commands are sent by io_uring (IORING_OP_URING_CMD): to /dev/ublk-control,
 * where the command stands in an entry of 128 bytes, and to /dev/ublkcN, where
 * one of 64 bytes suffices.
 */

#ifndef NULLBLK_UBLKDRV_KERNEL_H
#define NULLBLK_UBLKDRV_KERNEL_H

#include <stdint.h>

#include <linux/ioctl.h>

/*---------------------------------------------------------------------*/
/* Commands about a device, to /dev/ublk-control */

#define UBLK_NO_QUEUE UINT16_MAX   /* a command that is about no queue */
#define UBLK_NEW_DEVICE UINT32_MAX /* the kernel is to choose the number */

struct ublksrv_ctrl_cmd {
  uint32_t device;
  uint16_t queue;
  uint16_t length; /* of what is at address */
  uint64_t address;
  uint64_t value;
  uint16_t path_length; /* these three are for devices of other users: 0 */
  uint16_t pad;
  uint32_t reserved;
};

#define UBLK_ASK(number) _IOR ('u', number, struct ublksrv_ctrl_cmd)
#define UBLK_DO(number) _IOWR ('u', number, struct ublksrv_ctrl_cmd)

#define UBLK_U_CMD_GET_QUEUE_AFFINITY UBLK_ASK (0x01)
#define UBLK_U_CMD_GET_DEV_INFO UBLK_ASK (0x02)
#define UBLK_U_CMD_ADD_DEV UBLK_DO (0x04)
#define UBLK_U_CMD_DEL_DEV UBLK_DO (0x05)
#define UBLK_U_CMD_START_DEV UBLK_DO (0x06) /* value: pid that has it open */
#define UBLK_U_CMD_STOP_DEV UBLK_DO (0x07)
#define UBLK_U_CMD_SET_PARAMS UBLK_DO (0x08)
#define UBLK_U_CMD_GET_PARAMS UBLK_ASK (0x09)
#define UBLK_U_CMD_START_USER_RECOVERY UBLK_DO (0x10)
#define UBLK_U_CMD_END_USER_RECOVERY UBLK_DO (0x11) /* value: as for START */
#define UBLK_U_CMD_GET_FEATURES UBLK_ASK (0x13)     /* Linux 6.5 */
#define UBLK_U_CMD_DEL_DEV_ASYNC UBLK_ASK (0x14)    /* 6.9; waits for nobody */
#define UBLK_U_CMD_TRY_STOP_DEV UBLK_DO (0x17) /* with UBLK_F_SAFE_STOP_DEV */

/* Features: what GET_FEATURES answers, and flags of a device. */
#define UBLK_F_USER_RECOVERY (UINT64_C (1) << 3) /* it outlives its server */
#define UBLK_F_USER_RECOVERY_REISSUE (UINT64_C (1) << 4) /* its requests, too */
#define UBLK_F_USER_COPY (UINT64_C (1) << 7)             /* Linux 6.5 */
#define UBLK_F_ZONED (UINT64_C (1) << 8)                 /* Linux 6.6 */
#define UBLK_F_QUIESCE (UINT64_C (1) << 12)              /* Linux 6.16 */
#define UBLK_F_SAFE_STOP_DEV (UINT64_C (1) << 17)        /* Linux 7.0 */

enum ublk_state { UBLK_S_DEV_DEAD, UBLK_S_DEV_LIVE, UBLK_S_DEV_QUIESCED };

struct ublksrv_ctrl_dev_info {
  uint16_t queues;
  uint16_t depth; /* of each queue */
  uint16_t state;
  uint16_t pad;
  uint32_t max_io; /* bytes */
  uint32_t device;
  int32_t pid; /* of who serves it */
  uint32_t pad_too;
  uint64_t flags;
  uint64_t cookie; /* ours: the kernel keeps it and does not look at it */
  uint32_t uid;
  uint32_t gid;
  uint64_t reserved[2];
};

_Static_assert(sizeof (struct ublksrv_ctrl_cmd) == 32, "as the kernel has it");
_Static_assert(sizeof (struct ublksrv_ctrl_dev_info) == 64,
               "as the kernel has it");

/* A device holds 4096 requests in each queue at most, each of 32 MiB. */
#define UBLK_MAX_QUEUE_DEPTH 4096
#define UBLK_MAX_IO (32u << 20)

#define UBLK_ATTR_READ_ONLY (1u << 0)
#define UBLK_ATTR_ROTATIONAL (1u << 1)
#define UBLK_ATTR_VOLATILE_CACHE (1u << 2)
#define UBLK_ATTR_FUA (1u << 3)

#define UBLK_PARAM_TYPE_BASIC (1u << 0)
#define UBLK_PARAM_TYPE_DISCARD (1u << 1)
#define UBLK_PARAM_TYPE_ZONED (1u << 3)

struct ublk_params {
  uint32_t length; /* of all of this */
  uint32_t types;  /* which parts count */

  uint32_t attributes;
  uint8_t logical_block_shift;
  uint8_t physical_block_shift;
  uint8_t io_opt_shift;
  uint8_t io_min_shift;
  uint32_t max_sectors;
  uint32_t chunk_sectors; /* of a zone */
  uint64_t sectors;
  uint64_t virt_boundary_mask;

  uint32_t discard_alignment;
  uint32_t discard_granularity;
  uint32_t max_discard_sectors;
  uint32_t max_write_zeroes_sectors;
  uint16_t max_discard_segments;
  uint16_t reserved;

  uint32_t device_numbers[4]; /* the kernel answers them */

  uint32_t max_open_zones;
  uint32_t max_active_zones;
  uint32_t max_append_sectors;
  uint8_t reserved_too[24]; /* and up to a multiple of 8 bytes */
};

_Static_assert(sizeof (struct ublk_params) == 112, "as the kernel has it");

/*---------------------------------------------------------------------*/
/* Requests, at /dev/ublkcN */

struct ublksrv_io_cmd {
  uint16_t queue;
  uint16_t tag;
  int32_t result;  /* bytes, or a negative errno */
  uint64_t sector; /* where an append has written; 0 for all others */
};

#define UBLK_U_IO_FETCH_REQ _IOWR ('u', 0x20, struct ublksrv_io_cmd)
#define UBLK_U_IO_COMMIT_AND_FETCH_REQ _IOWR ('u', 0x21, struct ublksrv_io_cmd)

/* A request, in the table that is mapped from /dev/ublkcN. */
struct ublksrv_io_desc {
  uint32_t operation; /* and flags, from bit 8 on */
  uint32_t count;     /* sectors; zones of a report */
  uint64_t sector;
  uint64_t address;
};

_Static_assert(sizeof (struct ublksrv_io_cmd) == 16, "as the kernel has it");
_Static_assert(sizeof (struct ublksrv_io_desc) == 24, "as the kernel has it");

enum ublk_operation {
  UBLK_IO_OP_READ = 0,
  UBLK_IO_OP_WRITE = 1,
  UBLK_IO_OP_FLUSH = 2,
  UBLK_IO_OP_DISCARD = 3,
  UBLK_IO_OP_WRITE_ZEROES = 5,
  UBLK_IO_OP_ZONE_OPEN = 10,
  UBLK_IO_OP_ZONE_CLOSE = 11,
  UBLK_IO_OP_ZONE_FINISH = 12,
  UBLK_IO_OP_ZONE_APPEND = 13,
  UBLK_IO_OP_ZONE_RESET_ALL = 14,
  UBLK_IO_OP_ZONE_RESET = 15,
  UBLK_IO_OP_REPORT_ZONES = 18,
};

#define UBLK_OPERATION(request) ((request)->operation & 0xff)
#define UBLK_IO_F_FUA (1u << 13)
#define UBLK_IO_F_NOUNMAP (1u << 15)

/* Where in /dev/ublkcN the table of a queue is mapped from, with PAGE its
 * alignment; and where the data of a request is read and written.
 */
static inline uint64_t
ublk_table_offset (unsigned queue, uint64_t page)
{
  const uint64_t most = UBLK_MAX_QUEUE_DEPTH * sizeof (struct ublksrv_io_desc);

  return queue * ((most + page - 1) / page * page);
}

static inline uint64_t
ublk_data_offset (unsigned queue, unsigned tag)
{
  return UINT64_C (0x80000000) + ((uint64_t) queue << 41) +
         ((uint64_t) tag << 25);
}

#endif /* NULLBLK_UBLKDRV_KERNEL_H */
