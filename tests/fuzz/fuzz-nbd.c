/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A server that an input makes up; see fuzz-nbd.h.  The input has, one after
 * the other:
 *
 *     which call fails first, and which flags the exports have
 *     how many zones there are, of what length, and what is wrong with them
 *     the errors' text, the list of exports, .config, and .config as it is
 *     after it was written to: each up to a 0xff
 *     .stats: the rest
 */

#include <config.h>

#include <errno.h>
#include <libnbd.h>
#include <sanitizer/asan_interface.h>

#include "fuzz-nbd.h"
#include "zones/zones.h"

#define MOST_ZONES 64
#define DATA_SIZE (UINT64_C (1) << 30)
#define CAN_ZERO 0x10

/* The documents, by the ending of the export's name. */
enum { DATA, CONFIG, STATS, ZONES, NR_EXPORTS };

static const char *const endings[] = {"", ".config", ".stats", ".zones"};

struct text {
  char *bytes;
  size_t len;
};

static struct {
  unsigned calls, fails_at; /* 0: none */
  unsigned flags;
  struct text error, list, config, later, stats;
  struct zone_descriptor zones[MOST_ZONES];
  int64_t size[NR_EXPORTS];
  int64_t block;
  unsigned conditions; /* does a write to the table change it? */
  char last_error[200];
  int last_errno;
} s;

struct nbd_handle {
  char name[4097];
  bool opt_mode, is_negotiating, is_ready;
};

/*---------------------------------------------------------------------*/

static void
take_text (struct input *in, uint8_t end, struct text *text)
{
  text->bytes = take_up_to (in, end, &text->len);
}

/* Zones as they should be, and then some bytes of them as they should not. */
static void
take_zones (struct input *in)
{
  const unsigned n = take (in, 1) % (MOST_ZONES + 1);
  const uint64_t len = UINT64_C (1) << take (in, 1) % 64;
  unsigned i, wrong;
  uint8_t *p;

  for (i = 0; i < n; i++) {
    s.zones[i].start = i * len;
    s.zones[i].len = s.zones[i].capacity = len;
    s.zones[i].wp = i * len;
    s.zones[i].type = ZONE_TYPE_SEQUENTIAL;
    s.zones[i].cond = ZONE_COND_EMPTY;
  }
  s.size[ZONES] = n * sizeof s.zones[0];
  s.size[DATA] = n > 0 && len < INT64_MAX >> 16 ? n * len * 512 : DATA_SIZE;
  for (wrong = take (in, 1) % 32; wrong > 0; wrong--) {
    i = take (in, 1) % MOST_ZONES;
    p = (uint8_t *) &s.zones[i];
    p[take (in, 1) % sizeof s.zones[0]] = take (in, 1);
  }
  if (take (in, 1) % 4 == 1)
    s.size[ZONES] = (int64_t) take (in, 8);
  if (take (in, 1) % 4 == 1)
    s.size[DATA] = (int64_t) take (in, 8);
}

void
fuzz_nbd_begin (struct input *in)
{
  static struct input none;

  memset (&s, 0, sizeof s);
  if (in == NULL) {
    s.size[DATA] = DATA_SIZE;
    in = &none;
  }
  s.fails_at = take (in, 1);
  s.flags = in != &none ? take (in, 2) : CAN_ZERO;
  s.conditions = take (in, 1);
  if (in != &none)
    take_zones (in);
  take_text (in, 0xff, &s.error);
  take_text (in, 0xff, &s.list);
  take_text (in, 0xff, &s.config);
  take_text (in, 0xff, &s.later);
  take_text (in, 0, &s.stats);
  s.size[CONFIG] = s.config.len + (s.config.len > 0 ? 600 : 0);
  s.size[STATS] = s.stats.len + (s.stats.len > 0 ? 600 : 0);
  if (s.flags & 0x400)
    s.size[CONFIG] = s.config.len;
  if (s.flags & 0x800)
    s.size[STATS] = INT64_MAX;
  s.block = s.flags & 0x1000 ? (int64_t) s.calls - 1 : 1 << (s.flags >> 13);
}

void
fuzz_nbd_end (void)
{
  free (s.error.bytes);
  free (s.list.bytes);
  free (s.config.bytes);
  free (s.later.bytes);
  free (s.stats.bytes);
  memset (&s, 0, sizeof s);
}

void
fuzz_check_text (const char *text, size_t len)
{
  size_t i;

  for (i = 0; i < len; i++)
    CHECK ((unsigned char) text[i] >= ' ' || text[i] == '\n');
}

/* Does this call fail? */
static bool
fails (void)
{
  static const int errors[] = {EIO, EPERM, EINVAL, ENOSPC, ENOENT, 0};

  s.last_errno = 0;
  if (s.error.bytes == NULL || ++s.calls != s.fails_at)
    return false;
  s.last_errno = errors[s.flags % 6];
  snprintf (s.last_error, sizeof s.last_error, "it failed: %s", s.error.bytes);
  return true;
}

static unsigned
export_of (const struct nbd_handle *h)
{
  const char *dot = strrchr (h->name, '.');
  unsigned i;

  for (i = 1; dot != NULL && i < NR_EXPORTS; i++) {
    if (strcmp (dot, endings[i]) == 0)
      return i;
  }
  return DATA;
}

/* Bytes of an export; newlines follow texts. */
static void
copy (unsigned export, char *buf, size_t n, uint64_t at)
{
  const struct text *text = export == CONFIG ? &s.config : &s.stats;
  const char *bytes = text->bytes;
  size_t len = text->len;

  if (export == ZONES) {
    bytes = (const char *) s.zones;
    len = sizeof s.zones;
  }
  else if (export == DATA)
    len = 0;
  memset (buf, export == CONFIG || export == STATS ? '\n' : 0, n);
  if (at < len)
    memcpy (buf, bytes + at, len - at < n ? len - at : n);
}

/*---------------------------------------------------------------------*/
/* libnbd's functions */

struct nbd_handle *
nbd_create (void)
{
  return fails () ? NULL : calloc (1, sizeof (struct nbd_handle));
}

void
nbd_close (struct nbd_handle *h)
{
  free (h);
}

const char *
nbd_get_error (void)
{
  return s.last_error[0] != '\0' ? s.last_error : NULL;
}

int
nbd_get_errno (void)
{
  return s.last_errno;
}

int
nbd_set_uri_allow_local_file (struct nbd_handle *h, bool allow)
{
  (void) h;
  (void) allow;
  return 0;
}

int
nbd_set_opt_mode (struct nbd_handle *h, bool enable)
{
  h->opt_mode = enable;
  return 0;
}

int
nbd_set_full_info (struct nbd_handle *h, bool request)
{
  (void) h;
  (void) request;
  return 0;
}

int
nbd_set_strict_mode (struct nbd_handle *h, uint32_t flags)
{
  (void) h;
  (void) flags;
  return 0;
}

int
nbd_set_request_structured_replies (struct nbd_handle *h, bool request)
{
  (void) h;
  (void) request;
  return 0;
}

#ifdef LIBNBD_HAVE_NBD_SET_REQUEST_EXTENDED_HEADERS
int
nbd_set_request_extended_headers (struct nbd_handle *h, bool request)
{
  (void) h;
  (void) request;
  return 0;
}
#endif

#ifdef LIBNBD_HAVE_NBD_SET_REQUEST_META_CONTEXT
int
nbd_set_request_meta_context (struct nbd_handle *h, bool request)
{
  (void) h;
  (void) request;
  return 0;
}
#endif

#ifdef LIBNBD_HAVE_NBD_SET_PREAD_INITIALIZE
int
nbd_set_pread_initialize (struct nbd_handle *h, bool request)
{
  (void) h;
  (void) request;
  return 0;
}
#endif

int
nbd_set_export_name (struct nbd_handle *h, const char *name)
{
  if (strlen (name) >= sizeof h->name)
    return -1;
  strcpy (h->name, name);
  return 0;
}

char *
nbd_get_export_name (struct nbd_handle *h)
{
  return strdup (h->name);
}

static int
connect_to (struct nbd_handle *h)
{
  if (fails ())
    return -1;
  h->is_negotiating = h->opt_mode && !(s.flags & 0x200);
  h->is_ready = !h->is_negotiating;
  return 0;
}

int
nbd_connect_uri (struct nbd_handle *h, const char *uri)
{
  const char *name = strstr (uri, "://");

  name = name != NULL ? strchr (name + 3, '/') : NULL;
  if (name != NULL) {
    snprintf (h->name, sizeof h->name, "%s", name + 1);
    h->name[strcspn (h->name, "?#")] = '\0';
  }
  return connect_to (h);
}

int
nbd_aio_connect_uri (struct nbd_handle *h, const char *uri)
{
  return nbd_connect_uri (h, uri);
}

int
nbd_connect_unix (struct nbd_handle *h, const char *path)
{
  (void) path;
  return connect_to (h);
}

static int
go (struct nbd_handle *h)
{
  if (fails ())
    return -1;
  h->is_negotiating = false;
  h->is_ready = true;
  return 0;
}

int
nbd_opt_go (struct nbd_handle *h)
{
  return go (h);
}

int
nbd_aio_opt_go (struct nbd_handle *h, nbd_completion_callback callback)
{
  (void) callback;
  return go (h);
}

int
nbd_opt_info (struct nbd_handle *h)
{
  (void) h;
  return fails () ? -1 : 0;
}

int
nbd_opt_abort (struct nbd_handle *h)
{
  h->is_negotiating = false;
  return 0;
}

int
nbd_aio_opt_abort (struct nbd_handle *h)
{
  return nbd_opt_abort (h);
}

/* A name a line, with its description behind a '|'. */
int
nbd_opt_list (struct nbd_handle *h, nbd_list_callback callback)
{
  char *copy_of_list, *rest, *name, *description;
  int n = 0;

  (void) h;
  if (fails ())
    return -1;
  copy_of_list = strdup (s.list.bytes);
  CHECK (copy_of_list != NULL);
  rest = copy_of_list;
  while ((name = strsep (&rest, "\n")) != NULL) {
    description = strchr (name, '|');
    if (description != NULL)
      *description++ = '\0';
    callback.callback (callback.user_data, name,
                       description != NULL ? description : "");
    n++;
  }
  free (copy_of_list);
  return n;
}

int
nbd_aio_opt_list (struct nbd_handle *h, nbd_list_callback callback,
                  nbd_completion_callback completion)
{
  (void) completion;
  return nbd_opt_list (h, callback) == -1 ? -1 : 0;
}

int
nbd_poll (struct nbd_handle *h, int timeout)
{
  (void) h;
  (void) timeout;
  return fails () ? -1 : 1;
}

int
nbd_shutdown (struct nbd_handle *h, uint32_t flags)
{
  (void) flags;
  h->is_ready = false;
  return 0;
}

int
nbd_aio_disconnect (struct nbd_handle *h, uint32_t flags)
{
  return nbd_shutdown (h, flags);
}

int
nbd_aio_get_fd (struct nbd_handle *h)
{
  (void) h;
  return -1;
}

int
nbd_aio_is_connecting (struct nbd_handle *h)
{
  (void) h;
  return 0;
}

int
nbd_aio_is_negotiating (struct nbd_handle *h)
{
  return h->is_negotiating;
}

int
nbd_aio_is_ready (struct nbd_handle *h)
{
  return h->is_ready;
}

int
nbd_aio_is_dead (struct nbd_handle *h)
{
  (void) h;
  return 0;
}

int
nbd_aio_is_closed (struct nbd_handle *h)
{
  return !h->is_ready && !h->is_negotiating;
}

static int
flag (unsigned bit)
{
  return s.flags >> bit & 1;
}

int
nbd_is_read_only (struct nbd_handle *h)
{
  (void) h;
  return flag (0);
}

int
nbd_can_flush (struct nbd_handle *h)
{
  (void) h;
  return flag (1);
}

int
nbd_can_fua (struct nbd_handle *h)
{
  (void) h;
  return flag (2);
}

int
nbd_can_trim (struct nbd_handle *h)
{
  (void) h;
  return flag (3);
}

int
nbd_can_zero (struct nbd_handle *h)
{
  (void) h;
  return flag (4);
}

int
nbd_can_multi_conn (struct nbd_handle *h)
{
  (void) h;
  return flag (5);
}

int
nbd_is_rotational (struct nbd_handle *h)
{
  (void) h;
  return flag (6);
}

int
nbd_get_tls_negotiated (struct nbd_handle *h)
{
  (void) h;
  return 1;
}

int
nbd_get_structured_replies_negotiated (struct nbd_handle *h)
{
  (void) h;
  return 1;
}

int64_t
nbd_get_size (struct nbd_handle *h)
{
  return fails () ? -1 : s.size[export_of (h)];
}

int64_t
nbd_get_block_size (struct nbd_handle *h, int type)
{
  (void) h;
  (void) type;
  return s.block;
}

int
nbd_pread (struct nbd_handle *h, void *buf, size_t n, uint64_t at,
           uint32_t flags)
{
  (void) flags;
  if (fails ())
    return -1;
  copy (export_of (h), buf, n, at);
  return 0;
}

int64_t
nbd_aio_pread (struct nbd_handle *h, void *buf, size_t n, uint64_t at,
               nbd_completion_callback completion, uint32_t flags)
{
  (void) completion;
  return nbd_pread (h, buf, n, at, flags) == -1 ? -1 : 1;
}

int
nbd_aio_command_completed (struct nbd_handle *h, uint64_t cookie)
{
  (void) h;
  (void) cookie;
  return fails () ? -1 : 1;
}

/* A server takes nothing beyond the end of its data. */
static bool
is_beyond (unsigned export, uint64_t n, uint64_t at)
{
  const uint64_t size = s.size[DATA] > 0 ? (uint64_t) s.size[DATA] : 0;

  if (export != DATA || (at <= size && n <= size - at))
    return false;
  s.last_errno = EINVAL;
  snprintf (s.last_error, sizeof s.last_error, "it is beyond the end");
  return true;
}

/* A change of settings shows another text; a command to zones does something or
 * nothing.
 */
int
nbd_pwrite (struct nbd_handle *h, const void *buf, size_t n, uint64_t at,
            uint32_t flags)
{
  const unsigned export = export_of (h);
  const struct zone_descriptor *command = buf;
  uint64_t zone = at / sizeof *command;

  (void) flags;
  CHECK (__asan_region_is_poisoned ((void *) (uintptr_t) buf, n) == NULL);
  if (fails () || is_beyond (export, n, at))
    return -1;
  if (export == CONFIG && s.later.len > 0) {
    free (s.config.bytes);
    s.config = s.later;
    s.later = (struct text){strdup (""), 0};
  }
  for (; export == ZONES && (s.conditions & 1) && n >= sizeof *command;
       n -= sizeof *command, zone++, command++) {
    if (zone < MOST_ZONES)
      s.zones[zone].cond = command->cond;
  }
  return 0;
}

int
nbd_zero (struct nbd_handle *h, uint64_t n, uint64_t at, uint32_t flags)
{
  (void) flags;
  CHECK (at <= INT64_MAX && n <= INT64_MAX - at);
  return fails () || is_beyond (export_of (h), n, at) ? -1 : 0;
}

int
nbd_flush (struct nbd_handle *h, uint32_t flags)
{
  (void) h;
  (void) flags;
  return fails () ? -1 : 0;
}
