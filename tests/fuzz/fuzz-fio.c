/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * What fio writes: its JSON, as percentiles of a latency and as nullblk-measure
 * reads it; and model files, which have such figures as comments.
 */

#include <config.h>

#include <errno.h>

#include "fuzz.h"
#include "measure/fiofile.h"
#include "settings/settings.h"
#include "timing/timing.h"

static void
check_percentiles (void)
{
  struct percentiles_file *file;
  struct percentiles_load load;
  struct message why = {{0}};
  struct percentile *p;
  enum operation op;
  size_t n;
  int r = percentiles_open ("F", &file, &why);

  if (r != 0) {
    CHECK (r == -EINVAL && why.text[0] != '\0');
    return;
  }
  for (op = 0; op < NR_OPERATIONS; op++) {
    why.text[0] = '\0';
    r = percentiles_of (file, op, &p, &n, &why);
    if (r == 0) {
      CHECK (n > 0 && percentiles_ascend (p, n));
      if (percentiles_are_fios (file)) {
        percentiles_load (file, op, &load);
        CHECK (strlen (load.version) < sizeof load.version);
        CHECK (strlen (load.rw) < sizeof load.rw);
        CHECK (load.iops >= 0 && load.mean >= 0);
      }
      free (p);
    }
    else
      CHECK ((r == -EINVAL || r == -ENODATA) && why.text[0] != '\0');
  }
  if (percentiles_are_fios (file))
    percentiles_none (file, &why);
  percentiles_close (file);
}

static void
check_measure (void)
{
  struct figures_list list = {NULL, 0};
  char version[32] = "", line[512];
  struct message why = {{0}};
  size_t i;
  int r = fiofile_read ("F", &list, version, &why);

  CHECK (r == 0 ? list.n > 0 : r == -EINVAL && why.text[0] != '\0');
  CHECK (strlen (version) < sizeof version);
  for (i = 0; i < list.n; i++) {
    CHECK (list.f[i].nr_points <= MAX_POINTS);
    cell_format (&list.f[i].cell, line, sizeof line);
    figures_percentile (&list.f[i], 99.9);
  }
  free (list.f);
}

static int
take_setting (void *opaque, const char *name, const char *value,
              struct message *why)
{
  return params_set (opaque, name, value, why);
}

static void
check_model (const char *text)
{
  struct figures_list list = {NULL, 0};
  struct message why = {{0}};
  struct params p;
  int r = figures_parse_text (text, &list, &why);

  CHECK (r == 0 || (r == -EINVAL && why.text[0] != '\0'));
  free (list.f);
  params_init (&p);
  r = modelfile_parse (text, take_setting, &p, &why);
  CHECK (r == 0 || (r == -EINVAL && why.text[0] != '\0'));
  params_clear (&p);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct input in = {data, size};
  char *text;

  fuzz_begin ();
  fuzz_file = data;
  fuzz_file_len = size;
  check_percentiles ();
  check_measure ();
  text = take_up_to (&in, 0, NULL);
  check_model (text);
  free (text);
  return 0;
}
