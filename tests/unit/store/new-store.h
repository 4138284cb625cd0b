/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Stores of each kind, for tests of the store.
 */

#ifndef TEST_NEW_STORE_H
#define TEST_NEW_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "store/store.h"
#include "unit.h"

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)
#define LAST_BYTE ((uint64_t) INT64_MAX)

/* The three ways in which memory is taken: by 4 KiB pages, by chunks because
 * the kernel's pages are larger, by chunks of 2 MiB.
 */
struct kind {
  const char *name;
  bool hugepages;
  size_t kernel_page;
};
static const struct kind by_page = {"by page", false, 4096};
static const struct kind by_chunk = {"by chunk", false, 65536};
static const struct kind huge = {"huge pages", true, 4096};

static inline struct store *
new_store (const struct kind *kind, uint64_t limit, uint64_t volumes,
           uint64_t volume_size)
{
  const struct arena_options o = {
      .limit = limit,
      .volumes = volumes,
      .volume_size = volume_size,
      .hugepages = kind->hugepages,
      .kernel_page = kind->kernel_page,
  };
  struct store *store;

  if (store_create (&store, &o) != 0) {
    if (kind->hugepages)
      skip ();
    fail_msg ("store_create failed");
  }
  return store;
}

static inline bool
all_bytes_are (const void *buf, uint8_t byte, size_t len)
{
  const uint8_t *b = buf;

  return len == 0 || (b[0] == byte && memcmp (b, b + 1, len - 1) == 0);
}

#endif /* TEST_NEW_STORE_H */
