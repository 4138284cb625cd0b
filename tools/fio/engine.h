/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * nullblk-fio.so: an engine of fio for NBD, with zones (nullblk-fio(1)).
 *
 * The files engine*.c are BSD-3-Clause, as all of ours.  They are built with
 * fio's headers, whose inline functions become part of the object, and fio is
 * under the GNU General Public License, version 2.  So the object
 * nullblk-fio.so, as a work combined of both, is under that license.
 *
 * engine.c has fio's table of the engine and its options, and engine-job.c,
 * engine-requests.c and engine-zones.c have what fio calls by it:
 *
 *     setup -> [get_zoned_model -> report_zones -> get_max_..._zones] -> init
 *       -> { queue -> commit -> getevents -> event, reset_wp, finish_zone }
 *       -> cleanup
 *
 * The process in which fio sets a job up is not the one that runs it, unless
 * --thread is given.  So questions in setup, and about zones before the run,
 * are asked on connections that last no longer.  The connections of the run are
 * made in init, and that for commands to zones is made once in each process.
 */

#ifndef NULLBLK_FIO_ENGINE_H
#define NULLBLK_FIO_ENGINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "jobexport.h"
#include "jobzones.h"
#include "session.h"

/* Headers of fio, whose macros min and max hide our functions from here on.
 * FIO_IOOPS_VERSION, the number of fio's interface to engines, tells about
 * which release they are of, and FIO_RELEASE ("fio-3.33") exactly.
 */
#include <fio.h>
#include <optgroup.h>
#include <zbd.h>

#if FIO_IOOPS_VERSION < 31 || FIO_IOOPS_VERSION > 39
#error This release of fio is not known: 3.30 to 3.42 are.
#endif

#define say(...) log_err ("nullblk-fio: " __VA_ARGS__)

enum { ZONES_AUTO, ZONES_OFF };
enum { TRIMS_TRIM, TRIMS_ZERO };

struct options {
  void *fios_own;
  char *uri;
  unsigned connections;
  unsigned zones;
  unsigned trims;
};

/* What the engine has of a job. */
struct job {
  struct job_export export;
  struct channel_request *requests; /* of the io_u with the same index */
  struct session *session;
  struct handles handles;
  bool misfit_told;        /* a request that is not of whole blocks */
  struct job_zones *zones; /* NULL before a zone is reset or finished */
  pid_t zones_owner;       /* the process that has opened `zones` */
};

static inline const struct options *
options_of (const struct thread_data *td)
{
  return td->eo;
}

static inline struct job *
job_of (const struct thread_data *td)
{
  return td->io_ops_data;
}

/* What fio calls; its ioengines.h says when. */

int engine_setup (struct thread_data *td);
int engine_init (struct thread_data *td);
void engine_cleanup (struct thread_data *td);

int engine_io_u_init (struct thread_data *td, struct io_u *io_u);
void engine_io_u_free (struct thread_data *td, struct io_u *io_u);
enum fio_q_status engine_queue (struct thread_data *td, struct io_u *io_u);
int engine_commit (struct thread_data *td);
int engine_getevents (struct thread_data *td, unsigned int least,
                      unsigned int most, const struct timespec *t);
struct io_u *engine_event (struct thread_data *td, int event);
int engine_on_file (struct thread_data *td, struct fio_file *f);

int engine_get_zoned_model (struct thread_data *td, struct fio_file *f,
                            enum zbd_zoned_model *model);
int engine_report_zones (struct thread_data *td, struct fio_file *f,
                         uint64_t offset, struct zbd_zone *zones,
                         unsigned int n);
int engine_reset_wp (struct thread_data *td, struct fio_file *f,
                     uint64_t offset, uint64_t length);
int engine_get_max_open_zones (struct thread_data *td, struct fio_file *f,
                               unsigned int *n);
#if FIO_IOOPS_VERSION >= 33
int engine_get_max_active_zones (struct thread_data *td, struct fio_file *f,
                                 unsigned int *n);
#endif
#if FIO_IOOPS_VERSION >= 32
int engine_finish_zone (struct thread_data *td, struct fio_file *f,
                        uint64_t offset, uint64_t length);
#endif

/* Bytes of each zone; 0 if the job has no zones, or only those that fio
 * imagines.
 */
uint64_t zone_size_of (const struct thread_data *td);

/* The unit, in bytes, of an offset= that is given in zones, before fio has read
 * the zones: zonesize=, or else the size of the export's zones.  0 if there is
 * neither, or if the zones cannot be read; the reason is told when fio reads
 * them.
 */
uint64_t offset_unit_of (const struct thread_data *td);

/* For fio, a trim of a whole zone is a reset, which fio carries out itself.  Do
 * so if IO_U is one, and return true; its error is in IO_U.
 */
bool reset_instead (struct thread_data *td, struct io_u *io_u);

#endif /* NULLBLK_FIO_ENGINE_H */
