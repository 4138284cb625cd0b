/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * Numbers and tables; see show.h.
 */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "show.h"

/* N, which is not negative, and the letters of its power.  Without a letter it
 * has no decimals.  With one it has three digits, and from 1000 to 1023 bytes
 * four.
 */
static const char *
show_scaled (char buf[SHOWN], double n, double power,
             const char *const *letters)
{
  unsigned i = 0;

  while (n >= power - 0.5 && letters[i + 1] != NULL) {
    n /= power;
    i++;
  }
  snprintf (buf, SHOWN, "%.*f%s",
            n >= 100 || i == 0 ? 0
            : n >= 10          ? 1
                               : 2,
            n, letters[i]);
  return buf;
}

const char *
show_bytes (char buf[SHOWN], double bytes)
{
  static const char *const letters[] = {"", "K", "M", "G", "T", "P", "E", NULL};

  return bytes == 0 ? "-" : show_scaled (buf, bytes, 1024, letters);
}

const char *
show_count (char buf[SHOWN], double n)
{
  static const char *const letters[] = {"", "k", "M", "G", "T", NULL};

  return n == 0 ? "-" : show_scaled (buf, n, 1000, letters);
}

const char *
show_ns (char buf[SHOWN], uint64_t ns)
{
  static const char *const letters[] = {"ns", "us", "ms", "s", NULL};

  return ns == 0 ? "-" : show_scaled (buf, ns, 1000, letters);
}

const char *
show_zones (char buf[SHOWN_ZONES], const struct snapshot *s)
{
  const char *between = ": ";
  int used;
  unsigned i;
  char *p;

  used = snprintf (buf, SHOWN_ZONES, "zones %" PRIu64, s->nr_zones);
  for (i = 0; i < NR_SNAPSHOT_CONDS; i++) {
    if (s->zones[i] == 0)
      continue;
    used += snprintf (buf + used, SHOWN_ZONES - used, "%s%" PRIu64 " %s",
                      between, s->zones[i], snapshot_cond_names[i]);
    between = ", ";
  }
  for (p = buf; (p = strchr (p, '_')) != NULL;)
    *p = ' ';
  return buf;
}

void
show_text (FILE *fp, const char *text)
{
  for (; *text != '\0'; text++)
    fputc ((unsigned char) *text < ' ' || *text == 0x7f ? '?' : *text, fp);
}

/* Print NAME and the columns of percentiles, if there are any. */
static void
show_percentiles (FILE *fp, const char *name, const uint64_t *percentile)
{
  char buf[SHOWN];
  unsigned i;

  if (percentile[NR_PERCENTILES - 1] == 0)
    return;
  fprintf (fp, "%-6s %12s %8s %8s", name, "", "", "");
  for (i = 0; i < NR_PERCENTILES; i++)
    fprintf (fp, " %7s", show_ns (buf, percentile[i]));
  fprintf (fp, "\n");
}

/* Print a hint if a connection has often had as many requests waiting as it
 * can.  It can have one for each of its places: those are the server's threads
 * or, if replies are deferred, as many as the server was started with.
 * `saturated` counts requests that took the last place.  Deferred replies to
 * requests that came together are sent together, too; then as many requests
 * come as there are places, and only the last of them is counted.  So each that
 * is counted stands for as many as there are places.
 */
static void
show_hint (FILE *fp, const struct snapshot *s)
{
  const uint64_t together = s->defers_replies ? s->places : 1;
  uint64_t requests = 0;
  unsigned i;

  for (i = 0; i < NR_OPERATIONS; i++)
    requests += s->op[i].requests;
  if (requests < 64 || s->saturated * together < requests / 2 ||
      s->depth_largest < s->places)
    return;
  if (s->defers_replies)
    fprintf (fp,
             "hint: as many requests as a connection may have (%" PRIu64
             ") waited at %" PRIu64 " of %" PRIu64 " requests: for more "
             "depth, start nullblk-serve with a larger --depth\n",
             s->places, s->saturated, requests);
  else if (!s->parallel)
    fprintf (fp, "hint: requests of a connection wait one after another: start "
                 "the server with parallel=on, and without -t 1 and filters "
                 "that serialize them (noparallel)\n");
  else
    fprintf (fp,
             "hint: all threads of a connection (%" PRIu64 ") were in use at "
             "%" PRIu64 " of %" PRIu64 " requests: for more depth, start "
             "nbdkit with a larger -t\n",
             s->places, s->saturated, requests);
}

static void
show_operation (FILE *fp, const char *name, const struct snapshot_op *op)
{
  static const unsigned parts[] = {5000, 9000, 9900, 9990, 9999};
  char a[SHOWN], b[SHOWN];
  unsigned i;

  fprintf (fp, "%-6s %12" PRIu64 " %8s %8s", name, op->requests,
           show_bytes (a, op->bytes), show_count (b, snapshot_errors (op)));
  for (i = 0; i < sizeof parts / sizeof parts[0]; i++)
    fprintf (fp, " %7s", show_ns (a, snapshot_percentile (op, parts[i])));
  fprintf (fp, " %7s\n", show_ns (a, op->max));
  show_percentiles (fp, " asked", op->asked);
}

void
show_stats (FILE *fp, const struct snapshot *s)
{
  const struct snapshot_op *op;
  char a[SHOWN], b[SHOWN], zones[SHOWN_ZONES];
  unsigned i, j;

  fprintf (fp,
           "%s: up %.1f s, counting for %.1f s, %" PRIu64 " connections, "
           "depth %" PRIu64 " (largest %" PRIu64 ")%s\n",
           s->device, s->uptime_ns / 1e9, s->since_reset_ns / 1e9,
           s->connections, s->depth, s->depth_largest,
           s->holds_replies ? ", batched socket I/O"
           : s->batch       ? ", batched socket I/O, one reply at a time"
                            : "");
  if (s->has_memory)
    fprintf (fp, "memory %s of %s, %" PRIu64 " blocks of 4K written\n",
             show_bytes (a, s->memory_held), show_bytes (b, s->memory_limit),
             s->written_blocks);
  if (s->has_zones)
    fprintf (fp, "%s\n", show_zones (zones, s));
  fprintf (fp, "\n%-6s %12s %8s %8s", "", "requests", "bytes", "errors");
  fprintf (fp, " %7s %7s %7s %7s %7s %7s\n", "p50", "p90", "p99", "p99.9",
           "p99.99", "max");
  for (i = 0; i < NR_OPERATIONS; i++)
    show_operation (fp, operation_names[i], &s->op[i]);
  show_percentiles (fp, "late", s->late);
  for (i = 0; i < NR_OPERATIONS; i++) {
    op = &s->op[i];
    for (j = 0; j < op->nr_errors; j++)
      fprintf (fp, "%s %s: %" PRIu64 "\n", operation_names[i],
               op->errors[j].name, op->errors[j].count);
  }
  show_hint (fp, s);
}

/*---------------------------------------------------------------------*/
/* Prometheus */

/* S as the value of a label, with '"' and '\\' escaped. */
static const char *
escape (char *buf, size_t size, const char *s)
{
  size_t used = 0;

  for (; *s != '\0' && used + 3 < size; s++) {
    if (*s == '"' || *s == '\\')
      buf[used++] = '\\';
    buf[used++] = *s;
  }
  buf[used] = '\0';
  return buf;
}

static void
head (FILE *fp, const char *name, const char *type, const char *help)
{
  fprintf (fp, "# HELP nullblk_%s %s\n# TYPE nullblk_%s %s\n", name, help, name,
           type);
}

/* Print a histogram with bounds of 1, 2.5 and 5 of each power of ten from 100
 * ns to 100 s.  All requests of a bucket of the server's count as if they had
 * taken the middle of it (beyond 100 s, its lower end), in _sum, too: the
 * server has no exact sums of time.
 */
static void
histogram (FILE *fp, const char *device, const char *op_name,
           const struct snapshot_op *op)
{
  static const double steps[] = {1, 2.5, 5};
  double power, sum = 0, middle;
  uint64_t i = 0, count = 0;
  unsigned step;

  for (power = 100; power <= 1e11; power *= 10) {
    for (step = 0; step < 3 && power * steps[step] <= 1e11; step++) {
      for (; i < op->nr_buckets; i++) {
        middle = (op->buckets[i].from + (double) op->buckets[i].below) / 2;
        if (middle > power * steps[step])
          break;
        count += op->buckets[i].count;
        sum += middle * op->buckets[i].count;
      }
      fprintf (fp,
               "nullblk_latency_seconds_bucket{device=\"%s\",op=\"%s\","
               "le=\"%.9g\"} %" PRIu64 "\n",
               device, op_name, power * steps[step] / 1e9, count);
    }
  }
  for (; i < op->nr_buckets; i++) {
    count += op->buckets[i].count;
    sum += (double) op->buckets[i].from * op->buckets[i].count;
  }
  fprintf (fp,
           "nullblk_latency_seconds_bucket{device=\"%s\",op=\"%s\","
           "le=\"+Inf\"} %" PRIu64 "\n"
           "nullblk_latency_seconds_sum{device=\"%s\",op=\"%s\"} %.9g\n"
           "nullblk_latency_seconds_count{device=\"%s\",op=\"%s\"} %" PRIu64
           "\n",
           device, op_name, count, device, op_name, sum / 1e9, device, op_name,
           count);
}

/* Print the samples that a family of metrics has of one device; DEVICE is the
 * value of their label.  There are none of what the device does not have.
 */
typedef void samples (FILE *fp, const char *device, const struct snapshot *s);

static void
uptime (FILE *fp, const char *device, const struct snapshot *s)
{
  fprintf (fp, "nullblk_uptime_seconds{device=\"%s\"} %.15g\n", device,
           s->uptime_ns / 1e9);
}

static void
connections (FILE *fp, const char *device, const struct snapshot *s)
{
  fprintf (fp, "nullblk_connections{device=\"%s\"} %.15g\n", device,
           (double) s->connections);
}

static void
queue_depth (FILE *fp, const char *device, const struct snapshot *s)
{
  fprintf (fp, "nullblk_queue_depth{device=\"%s\"} %.15g\n", device,
           (double) s->depth);
}

static void
memory_held (FILE *fp, const char *device, const struct snapshot *s)
{
  if (s->has_memory)
    fprintf (fp, "nullblk_memory_held_bytes{device=\"%s\"} %.15g\n", device,
             (double) s->memory_held);
}

static void
memory_limit (FILE *fp, const char *device, const struct snapshot *s)
{
  if (s->has_memory)
    fprintf (fp, "nullblk_memory_limit_bytes{device=\"%s\"} %.15g\n", device,
             (double) s->memory_limit);
}

static void
written (FILE *fp, const char *device, const struct snapshot *s)
{
  fprintf (fp, "nullblk_written_bytes{device=\"%s\"} %.15g\n", device,
           s->written_blocks * 4096.0);
}

static void
zones (FILE *fp, const char *device, const struct snapshot *s)
{
  unsigned i;

  for (i = 0; s->has_zones && i < NR_SNAPSHOT_CONDS; i++)
    fprintf (fp, "nullblk_zones{device=\"%s\",condition=\"%s\"} %" PRIu64 "\n",
             device, snapshot_cond_names[i], s->zones[i]);
}

static void
requests (FILE *fp, const char *device, const struct snapshot *s)
{
  unsigned i;

  for (i = 0; i < NR_OPERATIONS; i++)
    fprintf (fp,
             "nullblk_requests_total{device=\"%s\",op=\"%s\"} %" PRIu64 "\n",
             device, operation_names[i], s->op[i].requests);
}

static void
bytes (FILE *fp, const char *device, const struct snapshot *s)
{
  unsigned i;

  for (i = 0; i < NR_OPERATIONS; i++)
    fprintf (fp, "nullblk_bytes_total{device=\"%s\",op=\"%s\"} %" PRIu64 "\n",
             device, operation_names[i], s->op[i].bytes);
}

static void
errors (FILE *fp, const char *device, const struct snapshot *s)
{
  const struct snapshot_op *op;
  char name[40];
  unsigned i, j;

  for (i = 0; i < NR_OPERATIONS; i++) {
    op = &s->op[i];
    for (j = 0; j < op->nr_errors; j++)
      fprintf (fp,
               "nullblk_errors_total{device=\"%s\",op=\"%s\",error=\"%s\"} "
               "%" PRIu64 "\n",
               device, operation_names[i],
               escape (name, sizeof name, op->errors[j].name),
               op->errors[j].count);
  }
}

static void
latencies (FILE *fp, const char *device, const struct snapshot *s)
{
  unsigned i;

  for (i = 0; i < NR_OPERATIONS; i++)
    histogram (fp, device, operation_names[i], &s->op[i]);
}

static const struct family {
  const char *name, *type, *help;
  samples *print;
} families[] = {
    {"uptime_seconds", "gauge", "Since the server began.", uptime},
    {"connections", "gauge", "Connections to the device's data.", connections},
    {"queue_depth", "gauge", "Requests in service.", queue_depth},
    {"memory_held_bytes", "gauge",
     "Memory that all devices of the server hold.", memory_held},
    {"memory_limit_bytes", "gauge",
     "Memory that all devices of the server may hold.", memory_limit},
    {"written_bytes", "gauge", "Data that the device holds.", written},
    {"zones", "gauge", "Zones in each condition.", zones},
    {"requests_total", "counter", "Requests answered.", requests},
    {"bytes_total", "counter", "Bytes of requests that succeeded.", bytes},
    {"errors_total", "counter", "Requests that failed.", errors},
    {"latency_seconds", "histogram", "How long requests were served.",
     latencies},
};

/* The format wants one head for each family, and its samples side by side. */
void
show_prometheus (FILE *fp, struct snapshot *const *s, unsigned n)
{
  const struct family *f = families;
  const struct family *end = families + sizeof families / sizeof families[0];
  char device[140];
  unsigned i;

  for (; f < end; f++) {
    head (fp, f->name, f->type, f->help);
    for (i = 0; i < n; i++)
      f->print (fp, escape (device, sizeof device, s[i]->device), s[i]);
  }
}
