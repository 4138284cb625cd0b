/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Preloaded into a program: one call of the C library fails, once.  Calls are
 * counted that can fail for a reason outside the program (allocations, files,
 * sockets, processes, threads) and that our own programs and modules make, or
 * jansson for them: the name of their file has "nullblk" in it.
 *
 * NULLBLK_FAIL_FILE names a file that all processes which inherit it share:
 * the number of calls so far, in 8 bytes, and in the 248 behind them which call
 * has failed, as text.  It is to be empty at first.  NULLBLK_FAIL_AT is the
 * number of the call that fails; 0, or none: all succeed.  Of the calls that
 * one place in a program makes, only the first NULLBLK_FAIL_SAME are counted.
 * Programs that are run by this one are left alone, but with
 * NULLBLK_FAIL_CHILDREN in the environment.
 */

#include <config.h>

/* The names as they are in the C library. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_PLACES 4096

static struct shared {
  _Atomic uint64_t calls;
  char failed[248];
  struct {
    _Atomic uint64_t hash; /* 0: none */
    _Atomic uint64_t calls;
  } place[NR_PLACES];
} * shared;
static uint64_t fails_at, same = UINT64_MAX;

static void __attribute__ ((constructor)) begin (void)
{
  const char *path = getenv ("NULLBLK_FAIL_FILE");
  const char *at = getenv ("NULLBLK_FAIL_AT");
  const char *most = getenv ("NULLBLK_FAIL_SAME");
  void *volatile first;
  void *p;
  int fd;

  /* LeakSanitizer begins at the first allocation, and before that not all of
   * its functions work.  Programs that are run are not to have it.
   */
  first = malloc (1);
  free (first);
  if (getenv ("NULLBLK_FAIL_CHILDREN") == NULL)
    unsetenv ("LD_PRELOAD");

  if (path == NULL)
    return;
  fails_at = at != NULL ? strtoull (at, NULL, 10) : 0;
  if (most != NULL)
    same = strtoull (most, NULL, 10);
  fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd == -1 || ftruncate (fd, sizeof *shared) == -1)
    return;
  p = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close (fd);
  if (p != MAP_FAILED)
    shared = p;
}

/* How often this place has made a call by now: at OFFSET of this file. */
static uint64_t
calls_of_place (const char *file, uint64_t offset)
{
  uint64_t hash = offset, nobody, i;

  for (; *file != '\0'; file++)
    hash = (hash ^ (unsigned char) *file) * UINT64_C (0x100000001b3);
  hash |= hash == 0;
  for (i = hash % NR_PLACES;; i = (i + 1) % NR_PLACES) {
    nobody = 0;
    if (atomic_compare_exchange_strong (&shared->place[i].hash, &nobody,
                                        hash) ||
        nobody == hash)
      return atomic_fetch_add (&shared->place[i].calls, 1) + 1;
  }
}

/* Does this call, of a function that returns to CALLER, fail? */
static bool
fails (const char *name, void *caller)
{
  const char *file;
  uint64_t offset;
  Dl_info in;

  if (shared == NULL || dladdr (caller, &in) == 0 || in.dli_fname == NULL)
    return false;
  file = strrchr (in.dli_fname, '/');
  file = file != NULL ? file + 1 : in.dli_fname;
  if (strstr (file, "nullblk") == NULL && strncmp (file, "libjansson", 10) != 0)
    return false;
  offset = (char *) caller - (char *) in.dli_fbase;
  if (calls_of_place (file, offset) > same ||
      atomic_fetch_add (&shared->calls, 1) + 1 != fails_at)
    return false;
  snprintf (shared->failed, sizeof shared->failed, "%s at %s+0x%lx", name, file,
            (unsigned long) offset);
  return true;
}

/* ISO C has no cast from an object's address to a function's. */
#define FIND(name)                                                             \
  do {                                                                         \
    void *address = dlsym (RTLD_NEXT, #name);                                  \
                                                                               \
    memcpy (&real, &address, sizeof address);                                  \
  } while (0)

/* A function that does FIRST and then fails, by setting errno to ERROR and
 * returning RESULT; PARAMS are its parameters and ARGS their names, both in
 * parentheses.
 */
#define CALL_AFTER(first, type, name, result, error, params, args)             \
  type name params;                                                            \
  type name params                                                             \
  {                                                                            \
    static type (*real) params;                                                \
                                                                               \
    if (real == NULL)                                                          \
      FIND (name);                                                             \
    if (fails (#name, __builtin_return_address (0))) {                         \
      first;                                                                   \
      errno = error;                                                           \
      return result;                                                           \
    }                                                                          \
    return real args;                                                          \
  }

/* One that does nothing when it fails, and one that is done all the same. */
#define CALL(type, name, result, error, params, args)                          \
  CALL_AFTER ((void) 0, type, name, result, error, params, args)
#define CALL_DONE(type, name, result, error, params, args)                     \
  CALL_AFTER (real args, type, name, result, error, params, args)

/* One whose optional argument is a number or a pointer. */
#define CALL_OPTIONAL(name, error, params, last, args)                         \
  int name params;                                                             \
  int name params                                                              \
  {                                                                            \
    static int (*real) params;                                                 \
    va_list list;                                                              \
    void *more;                                                                \
                                                                               \
    if (real == NULL)                                                          \
      FIND (name);                                                             \
    if (fails (#name, __builtin_return_address (0))) {                         \
      errno = error;                                                           \
      return -1;                                                               \
    }                                                                          \
    va_start (list, last);                                                     \
    more = va_arg (list, void *);                                              \
    va_end (list);                                                             \
    return real args;                                                          \
  }

/*---------------------------------------------------------------------*/
/* Memory */

CALL (void *, malloc, NULL, ENOMEM, (size_t n), (n))
CALL (void *, realloc, NULL, ENOMEM, (void *p, size_t n), (p, n))
CALL (void *, aligned_alloc, NULL, ENOMEM, (size_t to, size_t n), (to, n))
CALL (char *, strdup, NULL, ENOMEM, (const char *s), (s))
CALL (int, vasprintf, -1, ENOMEM, (char **to, const char *fs, va_list args),
      (to, fs, args))
CALL (void *, mmap, MAP_FAILED, ENOMEM,
      (void *at, size_t n, int prot, int flags, int fd, off_t offset),
      (at, n, prot, flags, fd, offset))
CALL (int, mprotect, -1, ENOMEM, (void *at, size_t n, int prot), (at, n, prot))
CALL (int, madvise, -1, EINVAL, (void *at, size_t n, int advice),
      (at, n, advice))
CALL (int, mlockall, -1, EPERM, (int flags), (flags))

/* A call of libnbd's in which there is no memory for the handle; what it needs
 * before that is smaller.
 */
#define LEAST_HANDLE 512
static _Thread_local bool is_creating;

struct nbd_handle *nbd_create (void);
struct nbd_handle *
nbd_create (void)
{
  static struct nbd_handle *(*real) (void);
  struct nbd_handle *r;

  if (real == NULL)
    FIND (nbd_create);
  is_creating = fails ("nbd_create", __builtin_return_address (0));
  r = real ();
  is_creating = false;
  return r;
}

/* The C library's dlsym may allocate. */
void *
calloc (size_t n, size_t size)
{
  static void *(*real) (size_t n, size_t size);
  static char early[4096];
  static size_t used;
  static bool is_finding;
  void *r = early + used;

  if (real == NULL && is_finding) {
    used += (n * size + 15) / 16 * 16;
    return used <= sizeof early ? r : NULL;
  }
  if (real == NULL) {
    is_finding = true;
    FIND (calloc);
    is_finding = false;
  }
  if ((is_creating && n * size >= LEAST_HANDLE) ||
      fails ("calloc", __builtin_return_address (0))) {
    errno = ENOMEM;
    return NULL;
  }
  return real (n, size);
}

int
asprintf (char **to, const char *fs, ...)
{
  va_list args;
  int r;

  if (fails ("asprintf", __builtin_return_address (0))) {
    errno = ENOMEM;
    return -1;
  }
  va_start (args, fs);
  r = vasprintf (to, fs, args);
  va_end (args);
  return r;
}

/*---------------------------------------------------------------------*/
/* Files */

CALL_OPTIONAL (open, EMFILE, (const char *path, int flags, ...), flags,
               (path, flags, more))
CALL (int, memfd_create, -1, EMFILE, (const char *name, unsigned flags),
      (name, flags))
CALL (FILE *, fopen, NULL, EMFILE, (const char *path, const char *mode),
      (path, mode))
CALL (FILE *, fdopen, NULL, ENOMEM, (int fd, const char *mode), (fd, mode))
CALL (FILE *, open_memstream, NULL, ENOMEM, (char **text, size_t *len),
      (text, len))
CALL (int, fflush, EOF, ENOSPC, (FILE * fp), (fp))
CALL_DONE (int, fclose, EOF, ENOSPC, (FILE * fp), (fp))
CALL_DONE (int, close, -1, EIO, (int fd), (fd))
CALL (ssize_t, read, -1, EIO, (int fd, void *buf, size_t n), (fd, buf, n))
CALL (ssize_t, write, -1, ENOSPC, (int fd, const void *buf, size_t n),
      (fd, buf, n))
CALL (ssize_t, pread, -1, EIO, (int fd, void *buf, size_t n, off_t at),
      (fd, buf, n, at))
CALL (ssize_t, pwrite, -1, ENOSPC,
      (int fd, const void *buf, size_t n, off_t at), (fd, buf, n, at))
CALL (ssize_t, pwritev, -1, ENOSPC,
      (int fd, const struct iovec *iov, int n, off_t at), (fd, iov, n, at))
CALL (ssize_t, readv, -1, EIO, (int fd, const struct iovec *iov, int n),
      (fd, iov, n))
CALL (size_t, fread, 0, EIO, (void *p, size_t size, size_t n, FILE *fp),
      (p, size, n, fp))
CALL (char *, fgets, NULL, EIO, (char *s, int n, FILE *fp), (s, n, fp))
CALL (off_t, lseek, -1, EINVAL, (int fd, off_t offset, int whence),
      (fd, offset, whence))
CALL (int, ftruncate, -1, EIO, (int fd, off_t size), (fd, size))
CALL (int, truncate, -1, EIO, (const char *path, off_t size), (path, size))
CALL (int, fallocate, -1, EOPNOTSUPP, (int fd, int mode, off_t at, off_t n),
      (fd, mode, at, n))
CALL (int, posix_fallocate, ENOSPC, ENOSPC, (int fd, off_t at, off_t n),
      (fd, at, n))
CALL (int, fsync, -1, EIO, (int fd), (fd))
CALL (int, sync_file_range, -1, EIO,
      (int fd, off64_t offset, off64_t n, unsigned flags),
      (fd, offset, n, flags))
CALL (int, fstat, -1, EIO, (int fd, struct stat *st), (fd, st))
CALL (int, stat, -1, EACCES, (const char *path, struct stat *st), (path, st))
CALL (int, statx, -1, EACCES,
      (int fd, const char *restrict path, int flags, unsigned mask,
       struct statx *restrict st),
      (fd, path, flags, mask, st))
CALL (int, access, -1, EACCES, (const char *path, int mode), (path, mode))
CALL (int, chdir, -1, EACCES, (const char *path), (path))
CALL (int, mkdir, -1, EACCES, (const char *path, mode_t mode), (path, mode))
CALL (int, rmdir, -1, EACCES, (const char *path), (path))
CALL (int, unlink, -1, EACCES, (const char *path), (path))
CALL (int, remove, -1, EACCES, (const char *path), (path))
CALL (int, rename, -1, EACCES, (const char *from, const char *to), (from, to))
CALL (int, renameat2, -1, EINVAL,
      (int fd, const char *from, int to_fd, const char *to, unsigned flags),
      (fd, from, to_fd, to, flags))
CALL (ssize_t, readlink, -1, EACCES, (const char *path, char *buf, size_t n),
      (path, buf, n))
CALL (char *, realpath, NULL, ENOENT, (const char *path, char *resolved),
      (path, resolved))
CALL (int, glob, GLOB_NOSPACE, ENOMEM,
      (const char *restrict pattern, int flags,
       int (*on_error) (const char *, int), glob_t *restrict found),
      (pattern, flags, on_error, found))
CALL (DIR *, opendir, NULL, EMFILE, (const char *path), (path))
CALL (struct dirent *, readdir, NULL, EIO, (DIR * dir), (dir))
CALL (int, flock, -1, ENOLCK, (int fd, int operation), (fd, operation))
CALL (int, dup2, -1, EMFILE, (int fd, int to), (fd, to))
CALL_OPTIONAL (fcntl, EMFILE, (int fd, int cmd, ...), cmd, (fd, cmd, more))
CALL_OPTIONAL (ioctl, EIO, (int fd, unsigned long cmd, ...), cmd,
               (fd, cmd, more))

/*---------------------------------------------------------------------*/
/* Sockets, and what is like them */

CALL (int, socketpair, -1, EMFILE,
      (int domain, int type, int protocol, int fd[2]),
      (domain, type, protocol, fd))
CALL (int, pipe, -1, EMFILE, (int fd[2]), (fd))
CALL (int, pipe2, -1, EMFILE, (int fd[2], int flags), (fd, flags))
CALL (int, eventfd, -1, EMFILE, (unsigned value, int flags), (value, flags))
CALL (int, signalfd, -1, EMFILE, (int fd, const sigset_t *mask, int flags),
      (fd, mask, flags))
CALL (int, accept, -1, EMFILE,
      (int fd, struct sockaddr *restrict addr, socklen_t *restrict len),
      (fd, addr, len))
CALL (int, accept4, -1, EMFILE,
      (int fd, struct sockaddr *restrict addr, socklen_t *restrict len,
       int flags),
      (fd, addr, len, flags))
CALL (ssize_t, recv, -1, ECONNRESET, (int fd, void *buf, size_t n, int flags),
      (fd, buf, n, flags))
CALL (ssize_t, recvfrom, -1, ECONNRESET,
      (int fd, void *restrict buf, size_t n, int flags,
       struct sockaddr *restrict from, socklen_t *restrict len),
      (fd, buf, n, flags, from, len))
CALL (ssize_t, recvmsg, -1, ECONNRESET, (int fd, struct msghdr *msg, int flags),
      (fd, msg, flags))
CALL (ssize_t, send, -1, EPIPE, (int fd, const void *buf, size_t n, int flags),
      (fd, buf, n, flags))
CALL (ssize_t, sendmsg, -1, EPIPE,
      (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
CALL_DONE (int, shutdown, -1, ENOTCONN, (int fd, int how), (fd, how))
CALL (int, getpeername, -1, ENOTCONN,
      (int fd, struct sockaddr *restrict addr, socklen_t *restrict len),
      (fd, addr, len))
CALL (int, getnameinfo, EAI_MEMORY, ENOMEM,
      (const struct sockaddr *restrict addr, socklen_t len, char *restrict host,
       socklen_t host_size, char *restrict port, socklen_t port_size,
       int flags),
      (addr, len, host, host_size, port, port_size, flags))
CALL (int, getsockopt, -1, ENOPROTOOPT,
      (int fd, int level, int name, void *restrict value,
       socklen_t *restrict len),
      (fd, level, name, value, len))
CALL (int, setsockopt, -1, ENOPROTOOPT,
      (int fd, int level, int name, const void *value, socklen_t len),
      (fd, level, name, value, len))
CALL (int, poll, -1, EINTR, (struct pollfd * fds, nfds_t n, int timeout),
      (fds, n, timeout))
CALL (int, ppoll, -1, EINTR,
      (struct pollfd * fds, nfds_t n, const struct timespec *timeout,
       const sigset_t *mask),
      (fds, n, timeout, mask))

/* Of libraries; the errors are their own, and the names of structures, too. */
struct io_uring;
struct nl_sock;
struct nl_msg;
CALL (int, io_uring_queue_init, -ENOMEM, ENOMEM,
      (unsigned entries, struct io_uring *ring, unsigned flags),
      (entries, ring, flags))
CALL (struct nl_sock *, nl_socket_alloc, NULL, ENOMEM, (void), ())
CALL (int, genl_connect, -5 /* NLE_NOMEM */, ENOMEM, (struct nl_sock * s), (s))
CALL (struct nl_msg *, nlmsg_alloc, NULL, ENOMEM, (void), ())

/*---------------------------------------------------------------------*/
/* Processes and threads */

CALL (pid_t, fork, -1, EAGAIN, (void), ())
CALL (pid_t, setsid, -1, EPERM, (void), ())
CALL (int, execv, -1, ENOMEM, (const char *path, char *const argv[]),
      (path, argv))
CALL (int, execvp, -1, ENOMEM, (const char *path, char *const argv[]),
      (path, argv))
CALL (int, posix_spawnp, EAGAIN, EAGAIN,
      (pid_t *restrict pid, const char *restrict path,
       const posix_spawn_file_actions_t *actions,
       const posix_spawnattr_t *restrict attr, char *const argv[],
       char *const envp[]),
      (pid, path, actions, attr, argv, envp))
CALL (int, posix_spawn_file_actions_init, ENOMEM, ENOMEM,
      (posix_spawn_file_actions_t * a), (a))
CALL (int, posix_spawn_file_actions_adddup2, ENOMEM, ENOMEM,
      (posix_spawn_file_actions_t * a, int fd, int to), (a, fd, to))
CALL (int, posix_spawn_file_actions_addopen, ENOMEM, ENOMEM,
      (posix_spawn_file_actions_t *restrict a, int fd,
       const char *restrict path, int flags, mode_t mode),
      (a, fd, path, flags, mode))
CALL (pid_t, waitpid, -1, EINTR, (pid_t pid, int *status, int options),
      (pid, status, options))
CALL (int, waitid, -1, EINTR,
      (idtype_t type, id_t id, siginfo_t *info, int options),
      (type, id, info, options))
CALL (int, nanosleep, -1, EINTR,
      (const struct timespec *time, struct timespec *left), (time, left))
CALL (int, sched_getaffinity, -1, EINVAL,
      (pid_t pid, size_t size, cpu_set_t *set), (pid, size, set))
CALL (int, pthread_create, EAGAIN, EAGAIN,
      (pthread_t *restrict id, const pthread_attr_t *restrict attr,
       void *(*start) (void *), void *restrict opaque),
      (id, attr, start, opaque))
CALL (int, setenv, -1, ENOMEM, (const char *name, const char *value, int over),
      (name, value, over))
CALL (ssize_t, getrandom, -1, ENOSYS, (void *buf, size_t n, unsigned flags),
      (buf, n, flags))
CALL (long, sysconf, -1, EINVAL, (int name), (name))
CALL (int, kill, -1, EPERM, (pid_t pid, int sig), (pid, sig))

/* N arguments, each a number or a pointer. */
static void
take_arguments (unsigned long *a, unsigned n, va_list list)
{
  unsigned i;

  for (i = 0; i < n; i++)
    a[i] = va_arg (list, unsigned long);
}

int
prctl (int option, ...)
{
  static int (*real) (int option, ...);
  unsigned long a[4];
  va_list list;

  if (real == NULL)
    FIND (prctl);
  if (fails ("prctl", __builtin_return_address (0))) {
    errno = EINVAL;
    return -1;
  }
  va_start (list, option);
  take_arguments (a, 4, list);
  va_end (list);
  return real (option, a[0], a[1], a[2], a[3]);
}

/* As where a kernel is older, or a container forbids it.  No kernel is without
 * futexes.
 */
long
syscall (long number, ...)
{
  static long (*real) (long number, ...);
  unsigned long a[6];
  va_list list;

  if (real == NULL)
    FIND (syscall);
  if (number != SYS_futex && fails ("syscall", __builtin_return_address (0))) {
    errno = ENOSYS;
    return -1;
  }
  va_start (list, number);
  take_arguments (a, 6, list);
  va_end (list);
  return real (number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
