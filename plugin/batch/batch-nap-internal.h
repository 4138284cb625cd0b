/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * For how long a thread naps before it reads, for a client with many requests.
 * No system call is made here, and no lock taken.
 *
 * As long as such a client has not taken all of its replies, it is busy, and
 * need not be hurried: to be woken for each part of each request costs more
 * than the requests do.  So the thread naps for some time, and then finds
 * several requests.  A nap was too long if the client has taken all replies
 * meanwhile, and has sent requests: it may be waiting for us.  Then naps get
 * shorter, and where short ones are too long, there are none for a while.
 */

#ifndef NULLBLK_BATCH_NAP_INTERNAL_H
#define NULLBLK_BATCH_NAP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

struct naps {
  bool busy;           /* has the client not taken all replies? */
  uint32_t nap;        /* ns; 0: not now */
  uint8_t nr_too_long; /* of the shortest, in a row */
  uint32_t skip_now;   /* chances to nap that are still to be left out */
  uint32_t skip_next;  /* how many are to be left out the next time */
};

void naps_init (struct naps *n);

/* The ns to nap before the next request is asked for; 0: not at all. */
uint32_t naps_next (struct naps *n);

/* Something came, after a nap if NAPPED, and the client had not taken all
 * replies if BUSY: so it has more than one request.
 */
void naps_note_arrival (struct naps *n, bool napped, bool busy);

#endif /* NULLBLK_BATCH_NAP_INTERNAL_H */
