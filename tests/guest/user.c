/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Uses a file until it is killed, in a way that a shell cannot:
 *
 *   user map FILE       maps a page of it, and does not have it open
 *   user thread FILE    has it open in a thread with its own descriptors, and
 *                       not in the process
 *
 * Prints "used" once it uses the file.
 */

#include <config.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void __attribute__ ((noreturn)) use_it (void)
{
  puts ("used");
  fflush (stdout);
  for (;;)
    pause ();
}

static int
open_file (const char *path)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC);

  if (fd == -1) {
    perror (path);
    exit (EXIT_FAILURE);
  }
  return fd;
}

static void *
open_in_thread (void *path)
{
  if (unshare (CLONE_FILES) == -1) {
    perror ("unshare");
    exit (EXIT_FAILURE);
  }
  open_file (path);
  use_it ();
}

int
main (int argc, char *argv[])
{
  pthread_t thread;
  int fd;

  if (argc == 3 && strcmp (argv[1], "map") == 0) {
    fd = open_file (argv[2]);
    if (mmap (NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED) {
      perror ("mmap");
      return EXIT_FAILURE;
    }
    close (fd);
    use_it ();
  }
  if (argc == 3 && strcmp (argv[1], "thread") == 0) {
    if (pthread_create (&thread, NULL, open_in_thread, argv[2]) != 0)
      return EXIT_FAILURE;
    pthread_join (thread, NULL);
  }
  fprintf (stderr, "user map|thread FILE\n");
  return 2;
}
