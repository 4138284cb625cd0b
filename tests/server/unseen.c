/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 *   unseen disk SOCKET FILE
 *   unseen pause SOCKET CONTROL LOG
 *
 * Is every reply sent whose request is done, while a later request of the same
 * connection waits for something that the library does not see?
 *
 * disk sends a read and a write at once, and removes FILE, without which the
 * write is not done, when it has the reply to the read.  pause sends many reads
 * while nbdkit's pause filter, whose socket is CONTROL, stops them; as many
 * replies as the log filter has written into LOG have to arrive.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unix.h"

#define HEADER 28
#define REPLY 16
#define SIZE 512

#define TOGETHER 64 /* requests by one send */
#define MOST 2048   /* in flight */
#define ROUNDS 30

static void
make_request (unsigned char *p, int type)
{
  memset (p, 0, HEADER);
  memcpy (p, "\x25\x60\x95\x13", 4);
  p[7] = type;
  p[26] = SIZE >> 8;
}

/*---------------------------------------------------------------------*/

static void
write_to_slow_disk (const char *path, const char *file)
{
  const int fd = open_device (path);
  unsigned char requests[HEADER + HEADER + SIZE] = {0};
  unsigned char replies[REPLY + SIZE];

  make_request (requests, 0);
  make_request (requests + HEADER, 1);
  send_all (fd, requests, sizeof requests);
  receive_all (fd, replies, REPLY + SIZE);
  if (unlink (file) == -1)
    give_up (file);
  receive_all (fd, replies, REPLY);
  close (fd);
}

/*---------------------------------------------------------------------*/

/* How many requests are done by now? */
static unsigned
count_done (const char *log)
{
  FILE *fp = fopen (log, "r");
  char line[512];
  unsigned r = 0;

  if (fp == NULL)
    give_up (log);
  while (fgets (line, sizeof line, fp) != NULL)
    r += strstr (line, "...Read ") != NULL;
  fclose (fp);
  return r;
}

/* Of the device, in whole replies. */
static struct {
  int fd;
  unsigned sent, replies;
  size_t part;
} device;

/* As many as may be in flight. */
static void
ask (void)
{
  unsigned char requests[TOGETHER * HEADER];
  unsigned i;

  for (i = 0; i < TOGETHER; i++)
    make_request (requests + i * HEADER, 0);
  while (device.sent - device.replies <= MOST - TOGETHER) {
    send_all (device.fd, requests, sizeof requests);
    device.sent += TOGETHER;
  }
}

/* What has come, or comes within some ms. */
static void
take_replies (void)
{
  static unsigned char buf[1 << 20];
  struct pollfd p = {.fd = device.fd, .events = POLLIN};
  ssize_t r;

  if (poll (&p, 1, 10) < 1)
    return;
  r = recv (device.fd, buf, sizeof buf, MSG_DONTWAIT);
  if (r <= 0)
    give_up ("recv");
  device.part += r;
  device.replies += device.part / (REPLY + SIZE);
  device.part %= REPLY + SIZE;
}

static void
tell (int control, char command)
{
  struct pollfd p = {.fd = control, .events = POLLIN};
  char answer;

  send_all (control, &command, 1);
  while (poll (&p, 1, 0) == 0) {
    ask ();
    take_replies ();
  }
  receive_all (control, &answer, 1);
}

static void
pause_and_resume (const char *path, const char *control_path, const char *log)
{
  const int control = connect_to (control_path);
  unsigned i, goal, done;

  device.fd = open_device (path);
  for (i = 0; i < ROUNDS; i++) {
    goal = device.replies + MOST / 8;
    do {
      ask ();
      take_replies ();
    } while (device.replies < goal);
    tell (control, 'p');
    done = count_done (log);
    while (device.replies < done)
      take_replies ();
    printf ("paused: %u sent, %u done and answered\n", device.sent, done);
    tell (control, 'r');
  }
  while (device.replies < device.sent)
    take_replies ();
}

int
main (int argc, char *argv[])
{
  alarm (60);
  if (argc == 4 && strcmp (argv[1], "disk") == 0)
    write_to_slow_disk (argv[2], argv[3]);
  else if (argc == 5 && strcmp (argv[1], "pause") == 0)
    pause_and_resume (argv[2], argv[3], argv[4]);
  else
    return EXIT_FAILURE;
  return EXIT_SUCCESS;
}
