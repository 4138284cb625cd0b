/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The engine as fio sees it: its options, and its functions; see engine.h.
 */

#include <config.h>

#include <stddef.h>

#include "engine.h"

static struct fio_option engine_options[] = {
    {
        .name = "uri",
        .lname = "NBD URI",
        .type = FIO_OPT_STR_STORE,
        .off1 = offsetof (struct options, uri),
        .help = "The NBD URI of the export",
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_NBD,
    },
    {
        .name = "connections",
        .lname = "Connections of a job",
        .type = FIO_OPT_INT,
        .off1 = offsetof (struct options, connections),
        .help = "How many connections each job makes to the server",
        .def = "1",
        .minval = 1,
        .maxval = MAX_CONNECTIONS,
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_NBD,
    },
    {
        .name = "zones",
        .lname = "Zones of the export",
        .type = FIO_OPT_STR,
        .off1 = offsetof (struct options, zones),
        .help = "Where zonemode=zbd has its zones from",
        .def = "auto",
        .posval =
            {
                {.ival = "auto",
                 .oval = ZONES_AUTO,
                 .help = "The export's, if the server shows any"},
                {.ival = "off",
                 .oval = ZONES_OFF,
                 .help = "Those that fio imagines"},
            },
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_NBD,
    },
    {
        .name = "trims",
        .lname = "Trims on the wire",
        .type = FIO_OPT_STR,
        .off1 = offsetof (struct options, trims),
        .help = "As what a trim of fio's is sent",
        .def = "trim",
        .posval =
            {
                {.ival = "trim", .oval = TRIMS_TRIM, .help = "As a trim"},
                {.ival = "zero", .oval = TRIMS_ZERO, .help = "As write zeroes"},
            },
        .category = FIO_OPT_C_ENGINE,
        .group = FIO_OPT_G_NBD,
    },
    {
        .name = NULL,
    },
};

__attribute__ ((visibility ("default"))) struct ioengine_ops ioengine = {
    .name = "nullblk-fio",
    .version = FIO_IOOPS_VERSION,
    .flags = FIO_DISKLESSIO | FIO_NOEXTEND | FIO_NODISKUTIL | FIO_NO_OFFLOAD,
    .setup = engine_setup,
    .init = engine_init,
    .queue = engine_queue,
    .commit = engine_commit,
    .getevents = engine_getevents,
    .event = engine_event,
    .cleanup = engine_cleanup,
    .open_file = engine_on_file,
    .close_file = engine_on_file,
    .invalidate = engine_on_file,
    .io_u_init = engine_io_u_init,
    .io_u_free = engine_io_u_free,
    .get_zoned_model = engine_get_zoned_model,
    .report_zones = engine_report_zones,
    .reset_wp = engine_reset_wp,
    .get_max_open_zones = engine_get_max_open_zones,
#if FIO_IOOPS_VERSION >= 33
    .get_max_active_zones = engine_get_max_active_zones,
#endif
#if FIO_IOOPS_VERSION >= 32
    .finish_zone = engine_finish_zone,
#endif
    .options = engine_options,
    .option_struct_size = sizeof (struct options),
};
