/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Listing devices, and taking them away; see list-detach.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ublkdrv/ublkdrv.h"
#include "list-detach.h"

/* How long a process that is asked to end may take, and how often to check
 * whether it has ended.  It waits some seconds for those who have the device
 * open to close it.
 */
#define DETACH_SECONDS 60
#define CHECKS_A_SECOND 50

/* How many processes of a device may die, one after the other, before --detach
 * stops trying.
 */
#define MAX_DEATHS 10

struct work {
  struct ublk_driver *driver; /* NULL: it is not open */
  const char *silent; /* why it cannot be opened, although there are devices */
  const char *device; /* "ublkbN" that is wanted; or NULL */
  uint64_t cookie;    /* that is wanted; or 0: all are, if DEVICE is NULL */
  bool found, failed;
};

static void __attribute__ ((format (printf, 2, 3)))
complain (const char *name, const char *fs, ...)
{
  char text[300];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  fprintf (stderr, "nullblk-ublk: %s: %s\n", name, text);
}

/* The device of a record: "ublkbN", or "" if the kernel has none.  Returns
 * NULL, or why that cannot be told.
 */
static const char *
find_device (const struct work *w, uint64_t cookie, char *name, size_t size)
{
  struct ublksrv_ctrl_dev_info info;
  int r = -ENODEV;

  if (w->driver != NULL)
    r = ublk_driver_find (w->driver, cookie, &info);
  name[0] = '\0';
  if (r == 0)
    snprintf (name, size, "ublkb%u", info.device);
  return r == 0 || r == -ENODEV ? w->silent : strerror (-r);
}

/* A record that is open, and its device. */
struct found {
  struct device_record record;
  bool is_dead;  /* the process that has made it */
  char name[32]; /* of the device, as find_device says it */
};

/* Returns false if the record is gone, or cannot be read, or its device cannot
 * be found out.
 */
static bool
find (struct work *w, uint64_t cookie, struct found *f)
{
  const int err = device_record_open (&f->record, cookie, &f->is_dead);
  const char *why;
  char path[64];

  if (err == -ENOENT)
    return false;
  why = err < 0 ? strerror (-err)
                : find_device (w, cookie, f->name, sizeof f->name);
  if (why == NULL)
    return true;
  if (err == 0)
    device_record_close (&f->record);
  snprintf (path, sizeof path, RECORDS "/%016" PRIx64, cookie);
  complain (path, "%s", why);
  w->failed = true;
  return false;
}

static struct work
begin (const char *device)
{
  static struct message why;
  struct work w = {.device = device};

  w.driver = ublk_driver_open (&why);
  if (w.driver == NULL && errno != ENODEV && ublk_devices_exist ())
    w.silent = why.text;
  return w;
}

static void
for_each_record (struct work *w, bool (*action) (uint64_t cookie, void *arg))
{
  const int err = device_record_for_each (action, w);

  if (err < 0) {
    complain (RECORDS, "%s", strerror (-err));
    w->failed = true;
  }
}

static int
end (struct work *w)
{
  ublk_driver_close (w->driver);
  return w->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*---------------------------------------------------------------------*/

/* Returns the device's size in bytes; 0 if it is gone, or cannot be read. */
static uint64_t
size_of (struct work *w, const char *name)
{
  uint64_t sectors = 0;
  char path[64];
  FILE *fp;

  snprintf (path, sizeof path, "/sys/block/%s/size", name);
  fp = fopen (path, "re");
  if (fp == NULL && errno != ENOENT && errno != ENODEV) {
    complain (path, "%s", strerror (errno));
    w->failed = true;
  }
  if (fp == NULL)
    return 0;
  if (fscanf (fp, "%" SCNu64, &sectors) != 1)
    sectors = 0;
  fclose (fp);
  return sectors * 512;
}

static bool
list_one (uint64_t cookie, void *arg)
{
  struct found f;

  if (!find (arg, cookie, &f))
    return true;
  if (f.is_dead)
    printf ("%-13s %20s %s (dead)\n", f.name[0] != '\0' ? f.name : "-", "-",
            f.record.uri);
  else if (f.name[0] != '\0')
    printf ("/dev/%-8s %20" PRIu64 " %s\n", f.name, size_of (arg, f.name),
            f.record.uri);
  device_record_close (&f.record);
  return true;
}

int
list_devices (void)
{
  struct work w = begin (NULL);

  for_each_record (&w, list_one);
  return end (&w);
}

/*---------------------------------------------------------------------*/

static void
pause_shortly (void)
{
  const struct timespec pause = {.tv_nsec = 1000000000 / CHECKS_A_SECOND};

  nanosleep (&pause, NULL);
}

/* Remove what a killed process has left, and close the record. */
static bool
clear (struct work *w, struct device_record *r)
{
  char name[32];
  unsigned number;
  int err;

  err = setup_clear (w->driver, r, true, &number);
  snprintf (name, sizeof name, "ublkb%u", number);
  if (err < 0)
    complain (number != UBLK_NEW_DEVICE ? name : r->uri, "%s",
              err == -EBUSY ? "a process still serves it, or it does not go"
                            : strerror (-err));
  return err == 0;
}

/* Ask the process that has the record to end, by a pidfd.  Its pid may have
 * become another process's before the pidfd was open: so check, before the
 * signal is sent, that the process of that pid holds the lock of the record.
 * Returns false if the process is alive and cannot be signalled.
 */
static bool
ask_to_end (struct device_record *r, bool *has_died)
{
  const pid_t pid = r->pid;
  const int fd = pid > 0 ? syscall (SYS_pidfd_open, pid, 0) : -1;
  int sent = -1;

  *has_died = device_record_has_died (r);
  if (fd != -1 && !*has_died && r->pid == pid)
    sent = syscall (SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
  if (fd != -1)
    close (fd);
  if (sent != 0 && !*has_died)
    *has_died = device_record_has_died (r);
  return sent == 0 || *has_died;
}

/* What became of a process that was asked to end. */
enum end {
  ENDED,    /* by itself, and the device with it */
  KILLED,   /* since it was asked; what is left of the device is there */
  WAS_DEAD, /* before it could be asked */
  REFUSED   /* the user has been told why */
};

static enum end
end_process (struct device_record *r, const char *name)
{
  const unsigned refused = r->refused;
  bool has_died, is_asked;
  unsigned i;

  is_asked = ask_to_end (r, &has_died);
  if (has_died && device_record_is_there (r))
    return WAS_DEAD;
  for (i = 0; is_asked && !has_died && r->refused == refused &&
              i < DETACH_SECONDS * CHECKS_A_SECOND;
       i++) {
    pause_shortly ();
    has_died = device_record_has_died (r);
  }
  if (has_died)
    return device_record_is_there (r) ? KILLED : ENDED;
  complain (name,
            !is_asked ? "its process is alive, and cannot be asked to end: it "
                        "may be in another PID namespace"
            : r->refused != refused
                ? "it is in use: mounted, held by another driver, or open in a "
                  "process; or that cannot be told"
                : "its process does not end; does the server answer?  If "
                  "not, another --detach gives up what is not written");
  return REFUSED;
}

/* While no process serves the device, nobody can tell whether it is in use, or
 * write what is not written yet.  So if there is a supervisor, wait until its
 * next child has taken the device over.  Returns true if none has.
 */
static bool
await_successor (struct device_record *r)
{
  bool is_dead = device_record_has_died (r);
  unsigned i;

  for (i = 0; is_dead && device_record_is_supervised (r) &&
              i < DETACH_SECONDS * CHECKS_A_SECOND;
       i++) {
    pause_shortly ();
    is_dead = device_record_has_died (r);
  }
  return is_dead;
}

static bool
is_for_all (const struct work *w)
{
  return w->cookie == 0 && w->device == NULL;
}

/* Is --all to leave this device alone, whose process was killed, as it is in
 * use?  Another process may take such a device over, with all that waits for
 * it: so only --detach with its name deletes it.  The user is told.  A server's
 * device is not taken over, and is only deleted if the server has died, too
 * (setup_clear).
 */
static bool
spare (const struct work *w, const struct found *f)
{
  if (!is_for_all (w) || f->name[0] == '\0' ||
      device_record_is_of_server (&f->record) ||
      users_find_of_dead (f->name, device_record_aide (&f->record)) == 0)
    return false;
  complain (f->name,
            "it is in use, or that cannot be told, and the process that "
            "served it was killed: "
            "nullblk-ublk --detach %s deletes it nevertheless",
            f->name);
  return true;
}

/* End the device, and close its record. */
static bool
end_device (struct work *w, struct found *f, const char *name)
{
  struct device_record *r = &f->record;
  bool is_dead = f->is_dead;
  enum end end = WAS_DEAD;
  unsigned deaths;
  bool lost_data;

  for (deaths = 0; deaths < MAX_DEATHS; deaths++) {
    if (is_dead && await_successor (r))
      break;
    end = end_process (r, name);
    if (end == ENDED || end == REFUSED)
      break;
    is_dead = true;
  }
  if (deaths == MAX_DEATHS) {
    complain (name, "each process that takes it over dies");
    end = REFUSED;
  }
  if (end != ENDED && end != REFUSED && spare (w, f))
    end = REFUSED;
  if (end == REFUSED) {
    device_record_close (r);
    return false;
  }
  /* An aide that outlives its process flushes what it was asked to detach. */
  if (end == WAS_DEAD && device_record_aide (r) != 0)
    end = KILLED;
  lost_data = r->lost_data;
  if (lost_data)
    complain (name, "not all that was written to it has reached the server");
  else if (end == KILLED)
    complain (name, "its process was killed before it had ended; perhaps not "
                    "all that was written to it has reached the server");
  return clear (w, r) && !lost_data && end != KILLED;
}

/* Leave the device of a server alone, as it goes with the server.  Returns
 * false, after an error for the user, if it is this device that is to be
 * detached; --all does not mean it.
 */
static bool
leave (struct work *w, struct device_record *r, const char *name)
{
  if (!is_for_all (w))
    complain (name, "a server has made it, by ublk=true: it goes when the "
                    "server ends");
  device_record_close (r);
  return is_for_all (w);
}

static bool
detach_one (uint64_t cookie, void *arg)
{
  struct work *w = arg;
  const char *name;
  struct found f;

  if ((w->cookie != 0 && w->cookie != cookie) || !find (w, cookie, &f))
    return true;
  if (w->device != NULL && strcmp (f.name, w->device) != 0) {
    device_record_close (&f.record);
    return true;
  }
  w->found = true;
  name = f.name[0] != '\0' ? f.name : f.record.uri;
  if (!(!f.is_dead && device_record_is_of_server (&f.record)
            ? leave (w, &f.record, name)
            : end_device (w, &f, name)))
    w->failed = true;
  return true;
}

int
detach_device (const char *what)
{
  const char *device = strncmp (what, "/dev/", 5) == 0 ? what + 5 : what;
  const uint64_t cookie = device_record_cookie (what);
  struct work w = begin (cookie == 0 ? device : NULL);
  unsigned number;
  char after;

  w.cookie = cookie;
  /* Not "", which is the name in a record without a device. */
  if (cookie != 0 || sscanf (device, "ublkb%u%c", &number, &after) == 1)
    for_each_record (&w, detach_one);
  if (!w.found && !w.failed) {
    complain (what, "not attached by nullblk-ublk; --list shows what is");
    w.failed = true;
  }
  return end (&w);
}

int
detach_all_devices (void)
{
  struct work w = begin (NULL);

  for_each_record (&w, detach_one);
  return end (&w);
}
