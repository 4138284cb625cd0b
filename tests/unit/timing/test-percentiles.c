/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * file:, played back: lines of percentiles, and what fio writes; and files that
 * are neither.
 */

#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "timing/timing.h"
#include "unit.h"

static char path[] = "/tmp/test-percentiles-XXXXXX";
static struct message why;
static struct distribution *d;

static int
setup (void **state)
{
  int fd;

  (void) state;
  memcpy (strrchr (path, '-') + 1, "XXXXXX", 6);
  fd = mkstemp (path);
  if (fd < 0)
    return -1;
  close (fd);
  d = NULL;
  return 0;
}

static int
teardown (void **state)
{
  (void) state;
  distribution_unref (d);
  return unlink (path);
}

static int
parse (enum operation op)
{
  char text[512];

  distribution_unref (d);
  d = NULL;
  snprintf (text, sizeof text, "file:%s", path);
  return distribution_parse (text, op, &d, &why);
}

static void
put (const char *text)
{
  FILE *fp = fopen (path, "w");

  assert_non_null (fp);
  fputs (text, fp);
  assert_int_equal (fclose (fp), 0);
}

/* The duration at a percentile. */
static uint64_t
at (double percent)
{
  if (percent == 100)
    return distribution_draw (d, UINT64_MAX, NULL);
  return distribution_draw (
      d, (uint64_t) (percent / 100 * 18446744073709551616.0), NULL);
}

static void
take (const char *text)
{
  char same[512];

  put (text);
  if (parse (OP_READ) != 0)
    fail_msg ("%s: %s", text, why.text);
  snprintf (same, sizeof same, "file:%s", path);
  assert_string_equal (distribution_text (d), same);
}

/* WHY is what follows the path. */
static void
refuse_for (enum operation op, const char *text, const char *reason)
{
  char whole[512];

  put (text);
  assert_int_equal (parse (op), -EINVAL);
  snprintf (whole, sizeof whole, "%s: %s", path, reason);
  assert_string_equal (why.text, whole);
}

static void
refuse (const char *text, const char *reason)
{
  refuse_for (OP_READ, text, reason);
}

static void
test_lines (void **state)
{
  (void) state;
  take ("percentile,ns\n"
        "# from a drive\n"
        "\n"
        "1,10000\n"
        "  50 ,\t80000 \r\n"
        "99.9,5000000");
  assert_in_range (at (0.1), 10000, 10000);
  assert_in_range (at (1), 9999, 10001);
  assert_in_range (at (50), 79999, 80001);
  assert_in_range (at (99.9), 4999990, 5000010);
  assert_int_equal (at (100), 5000000);
  take ("50,1");
  assert_int_equal (at (50), 1);
}

#define LINE_FORM                                                              \
  "allowed is PERCENTILE,NANOSECONDS (as in 99.9,250000; up to 100 s), or "    \
  "the whole is what fio --output-format=json writes"

static void
test_wrong_lines (void **state)
{
  (void) state;
  refuse ("", "it has no percentiles");
  refuse ("# nothing\n\n", "it has no percentiles");
  refuse ("root:x:0:0\n", "line 1: " LINE_FORM);
  refuse ("50,1us\n", "line 1: " LINE_FORM);
  refuse ("50;1\n", "line 1: " LINE_FORM);
  refuse ("\n50,1\n60,\n", "line 3: " LINE_FORM);
  refuse ("50,1\npercentile,ns\n", "line 2: " LINE_FORM);
  refuse ("101,1\n", "line 1: " LINE_FORM);
  refuse ("50,-1\n", "line 1: " LINE_FORM);
  refuse ("50,100000000001\n", "line 1: " LINE_FORM);
  refuse ("50,99999999999999999999999999\n", "line 1: " LINE_FORM);
  refuse ("50,2\n40,3\n", "line 2: percentiles must ascend, and no duration "
                          "may be below the one before");
  refuse ("50,2\n60,1\n", "line 2: percentiles must ascend, and no duration "
                          "may be below the one before");
}

static void
test_many_lines (void **state)
{
  FILE *fp = fopen (path, "w");
  int i;

  (void) state;
  assert_non_null (fp);
  for (i = 0; i < MAX_FILE_PERCENTILES; i++)
    fprintf (fp, "%d.%03d,%d\n", i / 20, i % 20, 1000 + i);
  fflush (fp);
  assert_int_equal (parse (OP_READ), 0);
  assert_in_range (at (51), 2018, 2022);
  fprintf (fp, "100,5000\n");
  assert_int_equal (fclose (fp), 0);
  assert_int_equal (parse (OP_READ), -EINVAL);
  assert_non_null (strstr (why.text, ": a file may have 1024 percentiles"));
}

static void
test_not_a_file (void **state)
{
  char text[512];

  (void) state;
  assert_int_equal (distribution_parse ("file:/tmp", OP_READ, &d, &why),
                    -EINVAL);
  assert_string_equal (why.text, "/tmp: it is not a file of at most 16 MiB");
  assert_int_equal (distribution_parse ("file:/dev/zero", OP_READ, &d, &why),
                    -EINVAL);
  assert_int_equal (distribution_parse ("file:", OP_READ, &d, &why), -EINVAL);
  assert_string_equal (why.text, ": No such file or directory");

  /* A pipe would keep us waiting for a writer. */
  assert_int_equal (unlink (path), 0);
  assert_int_equal (mkfifo (path, 0600), 0);
  snprintf (text, sizeof text, "file:%s", path);
  assert_int_equal (distribution_parse (text, OP_READ, &d, &why), -EINVAL);
}

static void
test_blanks_in_path (void **state)
{
  char name[64], text[80];

  (void) state;
  put ("50,1000");
  snprintf (name, sizeof name, "%s a b", path);
  snprintf (text, sizeof text, "file:%s", name);
  assert_int_equal (link (path, name), 0);
  assert_int_equal (distribution_parse (text, OP_READ, &d, &why), 0);
  assert_string_equal (distribution_text (d), text);
  assert_int_equal (unlink (name), 0);
}

static void
test_too_large (void **state)
{
  (void) state;
  assert_int_equal (truncate (path, MAX_DISTRIBUTION_FILE + 1), 0);
  assert_int_equal (parse (OP_READ), -EINVAL);
}

/*---------------------------------------------------------------------*/
/* fio */

#ifdef HAVE_JANSSON

/* fio 3.33's output, cut down: reads and fsyncs were measured, and one job has
 * writes.
 */
static const char fio[] =
    "fio: this is a remark {\n"
    "{\n"
    "  \"fio version\" : \"fio-3.33\",\n"
    "  \"jobs\" : [\n"
    "    {\n"
    "      \"jobname\" : \"a\",\n"
    "      \"read\" : {\n"
    "        \"total_ios\" : 22128,\n"
    "        \"clat_ns\" : {\n"
    "          \"min\" : 981, \"max\" : 8470627, \"mean\" : 72339.340926,\n"
    "          \"stddev\" : 106343.086533, \"N\" : 22128,\n"
    "          \"percentile\" : {\n"
    "            \"1.000000\" : 1288, \"5.000000\" : 1608,\n"
    "            \"50.000000\" : 73216, \"99.000000\" : 218112,\n"
    "            \"99.990000\" : 3620864\n"
    "          }\n"
    "        },\n"
    "        \"lat_ns\" : { \"min\" : 1001, \"max\" : 8472439, \"N\" : 22128 "
    "}\n"
    "      },\n"
    "      \"write\" : {\n"
    "        \"clat_ns\" : { \"min\" : 0, \"max\" : 0, \"N\" : 0 },\n"
    "        \"lat_ns\" : { \"min\" : 0, \"max\" : 0, \"N\" : 0 }\n"
    "      },\n"
    "      \"sync\" : {\n"
    "        \"lat_ns\" : {\n"
    "          \"min\" : 2000, \"max\" : 5000, \"N\" : 7,\n"
    "          \"percentile\" : { \"50.000000\" : 2500, \"99.0\" : 5024 }\n"
    "        },\n"
    "        \"total_ios\" : 7\n"
    "      }\n"
    "    },\n"
    "    {\n"
    "      \"jobname\" : \"b\",\n"
    "      \"write\" : {\n"
    "        \"clat_ns\" : {\n"
    "          \"min\" : 100, \"max\" : 300, \"N\" : 3,\n"
    "          \"percentile\" : { \"50.000000\" : 200 }\n"
    "        }\n"
    "      }\n"
    "    }\n"
    "  ]\n"
    "}\n"
    "fio: and one more\n";

static void
test_fio (void **state)
{
  (void) state;
  take (fio);
  assert_int_equal (distribution_draw (d, 0, NULL), 981);
  assert_in_range (at (1), 1287, 1288);
  assert_in_range (at (5), 1607, 1608);
  assert_in_range (at (50), 73214, 73216);
  assert_in_range (at (99), 218100, 218112);
  assert_in_range (at (99.99), 3620000, 3621000);
  assert_int_equal (at (100), 8470627);

  /* The last percentile is a little above the longest: it stays. */
  assert_int_equal (parse (OP_FLUSH), 0);
  assert_int_equal (distribution_draw (d, 0, NULL), 2000);
  assert_in_range (at (50), 2499, 2500);
  assert_int_equal (at (100), 5024);

  assert_int_equal (parse (OP_WRITE), 0);
  assert_in_range (at (50), 199, 200);
  assert_int_equal (parse (OP_ZERO), 0);
  assert_in_range (at (50), 199, 200);
  assert_int_equal (parse (OP_ZONE), 0);
  assert_in_range (at (50), 199, 200);
}

/* The shortest and the longest are where nothing is shorter or longer. */
static void
test_fio_ends (void **state)
{
  struct percentiles_file *file;
  struct percentile *p;
  size_t n;

  (void) state;
  put (fio);
  assert_int_equal (percentiles_open (path, &file, &why), 0);
  assert_int_equal (percentiles_of (file, OP_READ, &p, &n, &why), 0);
  assert_int_equal (n, 7);
  assert_int_equal (p[0].above, 1000000000);
  assert_int_equal (p[0].nsec, 981);
  assert_int_equal (p[6].above, 0);
  assert_int_equal (p[6].nsec, 8470627);
  free (p);
  percentiles_close (file);
}

/* What was not measured cannot be played back. */
static void
test_fio_without (void **state)
{
  struct distribution *all[NR_OPERATIONS];
  char text[512];
  size_t i;

  (void) state;
  refuse_for (OP_TRIM, fio, "none of its jobs has \"trim\" requests");
  /* For all operations at once it takes no time. */
  snprintf (text, sizeof text, "file:%s", path);
  assert_int_equal (distribution_parse_all (text, all, &why), 0);
  assert_null (all[OP_TRIM]);
  for (i = 0; i < NR_OPERATIONS; i++) {
    assert_true (i == OP_TRIM || all[i] != NULL);
    distribution_unref (all[i]);
  }
  put ("{\"jobs\": [{\"read\": {}}]}");
  assert_int_equal (distribution_parse_all (text, all, &why), -EINVAL);
  assert_non_null (strstr (why.text,
                           ": none of its jobs has \"read\", \"write\", "
                           "\"trim\" or \"sync\" requests"));

  /* The reason is of what was done, whatever was looked for last. */
  put ("{\"jobs\": [{\"read\": {\"total_ios\": 5, \"clat_ns\": {\"N\": 0}},"
       "\"write\": {\"total_ios\": 0}}]}");
  assert_int_equal (distribution_parse_all (text, all, &why), -EINVAL);
  assert_non_null (
      strstr (why.text, ": its \"read\" requests have no percentiles of their "
                        "times; run fio without gtod_reduce and disable_clat, "
                        "with clat_percentiles, and with no 0 in "
                        "percentile_list"));
  assert_int_equal (parse (OP_READ), -EINVAL);
  assert_non_null (strstr (why.text, ": its \"read\" requests have no"));
}

/* fio 3.0 to 3.27 say in total_ios alone how many there were, have zeroes of
 * what was not done, and (3.1) members that stand for nothing.
 */
static void
test_fio_without_n (void **state)
{
#define TIMES(min, max, mean, p)                                               \
  "{\"min\": " min ", \"max\": " max ", \"mean\": " mean                       \
  ", \"stddev\": 0.0, \"percentile\": {" p "}}"
#define NO_TIMES                                                               \
  TIMES ("0", "0", "0.0", "\"1.000000\": 0, \"99.000000\": 0, \"0.00\": 0")
  static const char without[] =
      "{\"fio version\": \"fio-3.1\", \"jobs\": [{\"read\": {\"total_ios\": "
      "40, "
      "\"clat_ns\": " TIMES (
          "800", "90500", "5000.5",
          "\"1.000000\": 1000, \"99.000000\": 90000, "
          "\"0.00\": 0, \"0.00\": 0") "}, "
                                      "\"write\": {\"total_ios\": 0, "
                                      "\"clat_ns\": " NO_TIMES "}, "
                                      "\"sync\": {\"total_ios\": 0, "
                                      "\"lat_ns\": " NO_TIMES "}}, "
                                      "{\"read\": {\"total_ios\": 0, "
                                      "\"clat_ns\": " NO_TIMES "}}]}";

  (void) state;
  take (without);
  assert_int_equal (distribution_draw (d, 0, NULL), 800);
  assert_in_range (at (0.5), 800, 1000);
  assert_in_range (at (1), 998, 1000);
  assert_in_range (at (99), 89990, 90000);
  assert_int_equal (at (100), 90500);
  refuse_for (OP_WRITE, without, "none of its jobs has \"write\" requests");
  refuse_for (OP_FLUSH, without, "none of its jobs has \"sync\" requests");
}

/* fio 2 has microseconds. */
static void
test_fio_2 (void **state)
{
  (void) state;
  take ("{\"jobs\": [{\"read\": {\"total_ios\": 9, \"clat\": " TIMES (
      "7", "26", "12.5",
      "\"50.000000\": 10, \"90.000000\": 20, \"0.00\": 0") "}"
                                                           "}]}");
  assert_int_equal (distribution_draw (d, 0, NULL), 7000);
  assert_in_range (at (50), 9998, 10000);
  assert_int_equal (at (100), 26000);
  /* in nanoseconds it would be more than there is a number for */
  refuse ("{\"jobs\": [{\"read\": {\"total_ios\": 9, \"clat\": " TIMES (
              "18446744073709552", "26", "12.5",
              "\"50.000000\": 10, \"90.000000\": 20") "}}]}",
          "the percentiles are not as fio writes them");
}

/* The last of several documents has all that those before it have. */
static void
test_fio_documents (void **state)
{
#define JOB(p) "\"read\": {\"total_ios\": 9, \"clat_ns\": " p "}"
#define DOCUMENT(min)                                                          \
  "{\"jobs\": [{" JOB (TIMES (min, "90", "50.0", "\"50.000000\": 40")) "}]}"
  (void) state;
  take (DOCUMENT ("10") "\n" DOCUMENT ("20") "\nfio: a remark\n" DOCUMENT (
      "30") "\n");
  assert_int_equal (distribution_draw (d, 0, NULL), 30);
  refuse (DOCUMENT ("10") "\n{\n\"jobs\": [{\n",
          "it begins like JSON, and is wrong at line 4");
  refuse (DOCUMENT ("10") "\n{}\n",
          "it is JSON, but not fio's: it has no jobs");
}

/* What was told of one or of several servers. */
static void
test_fio_clients (void **state)
{
#define CLIENT(name, min)                                                      \
  "{\"jobname\": \"" name                                                      \
  "\", " JOB (TIMES (min, "90", "50.0", "\"50.000000\": 40")) "}"
  (void) state;
  take ("<a> a line\n{\"client_stats\": [" CLIENT ("a", "10") "]}");
  assert_int_equal (distribution_draw (d, 0, NULL), 10);
  take ("{\"client_stats\": [" CLIENT ("a", "10") ", " CLIENT (
      "a", "20") ", " CLIENT ("All clients", "5") "]}");
  assert_int_equal (distribution_draw (d, 0, NULL), 5);
  refuse ("{\"client_stats\": [" CLIENT ("a", "10") ", " CLIENT (
              "a", "20") ", {\"jobname\": \"All clients\", \"read\": "
                         "{\"total_ios\": 18}}]}",
          "fio gives no percentiles of \"read\" times of several clients "
          "together; take one of them");
  refuse (
      "{\"client_stats\": [" CLIENT ("a", "10") ", " CLIENT ("a", "20") "]}",
      "several of its clients have \"read\" times, and \"All clients\" is "
      "missing");
}

/* unified_rw_reporting=1: reads and writes are one. */
static void
test_fio_mixed (void **state)
{
#define SECTION                                                                \
  "\"mixed\": {\"total_ios\": 9, \"clat_ns\": " TIMES (                        \
      "10", "90", "50.0", "\"50.000000\": 40") "}"
#define MIXED(also) "{\"jobs\": [{" also SECTION "}]}"
#define HINT                                                                   \
  "; \"mixed\" ones are of unified_rw_reporting: run fio without that"
  (void) state;
  take (MIXED (""));
  assert_int_equal (distribution_draw (d, 0, NULL), 10);
  assert_int_equal (parse (OP_WRITE), 0);
  assert_int_equal (parse (OP_ZERO), 0);
  refuse_for (OP_FLUSH, MIXED (""), "none of its jobs has \"sync\" requests");
  refuse_for (OP_TRIM, MIXED (""),
              "none of its jobs has \"trim\" requests" HINT);
  /* both */
  refuse_for (OP_WRITE, MIXED ("\"write\": {\"total_ios\": 0},"),
              "none of its jobs has \"write\" requests" HINT);

  /* Without percentiles, and in two jobs, it is called what fio calls it. */
  refuse_for (OP_READ, "{\"jobs\": [{\"mixed\": {\"total_ios\": 9}}]}",
              "its \"mixed\" requests have no percentiles of their times; run "
              "fio without gtod_reduce and disable_clat, with "
              "clat_percentiles, and with no 0 in percentile_list");
  refuse_for (OP_WRITE, "{\"jobs\": [{" SECTION "}, {" SECTION "}]}",
              "several of its jobs have \"mixed\" times; run fio with "
              "--group_reporting");
}

static void
test_fio_groups (void **state)
{
#define GROUP(n)                                                               \
  "{\"groupid\": " n                                                           \
  ", " JOB (TIMES ("10", "90", "50.0", "\"50.000000\": 40")) "}"
  (void) state;
  refuse ("{\"jobs\": [" GROUP ("0") ", " GROUP ("1") "]}",
          "jobs of several groups have \"read\" times; run fio with one of "
          "them, or without new_group and stonewall");
  refuse ("{\"jobs\": [" GROUP ("3") ", " GROUP ("3") "]}",
          "several of its jobs have \"read\" times; run fio with "
          "--group_reporting");
}

/* Times that fio has got wrong are not played, those of a drive that hung are.
 */
static void
test_fio_untrue (void **state)
{
#define TOP "17112760320"
  (void) state;
  refuse ("{\"jobs\": [{\"read\": {\"total_ios\": 9, "
          "\"lat_ns\": {\"min\": 20, \"max\": 200, \"mean\": 70000.0}, "
          "\"clat_ns\": " TIMES ("10000000000", "99000000000", "50000000000.0",
                                 "\"1.000000\": 12000000000, "
                                 "\"5.000000\": " TOP
                                 ", \"99.000000\": " TOP) "}}]}",
          "its \"read\" times cannot be true: until they complete (clat_ns) "
          "requests take 50000000 us on average, and altogether (lat_ns) 70 "
          "us");
  refuse ("{\"jobs\": [{\"write\": {}, " JOB (
              TIMES ("10000000000", "99000000000", "50000000000.0",
                     "\"5.000000\": " TOP ", \"99.000000\": " TOP)) "}]}",
          "its \"read\" times cannot be true: half of them are beyond the 17 s "
          "that fio can tell");
  take ("{\"jobs\": [{" JOB (
      TIMES ("7000000", "31000000000", "370000000.0",
             "\"50.000000\": 100000000, \"99.500000\": " TOP
             ", \"99.900000\": " TOP)) "}]}");
  assert_true (at (100) == UINT64_C (31000000000));
  /* Two of five hung. */
  take ("{\"jobs\": [{" JOB (
      TIMES ("7000000", "31000000000", "370000000.0",
             "\"50.000000\": 100000000, \"60.000000\": " TOP)) "}]}");
}

static void
test_wrong_fio (void **state)
{
  (void) state;
  refuse ("{\n\n!", "it begins like JSON, and is wrong at line 3");
  refuse ("{}", "it is JSON, but not fio's: it has no jobs");
  refuse ("{\"jobs\": 5}", "it is JSON, but not fio's: it has no jobs");
  refuse ("{\"jobs\": []}", "it is JSON, but not fio's: it has no jobs");
  refuse ("{\"jobs\": [5]}", "none of its jobs has \"read\" requests");
  refuse ("{\"jobs\": [{\"read\": {\"clat_ns\": {\"N\": 1, \"percentile\": "
          "{\"x\": 1}}}}]}",
          "the percentiles are not as fio writes them");
  refuse ("{\"jobs\": [{\"read\": {\"clat_ns\": {\"N\": 1, \"percentile\": "
          "{\"50\": 1.5}}}}]}",
          "the percentiles are not as fio writes them");
  refuse ("{\"jobs\": [{\"read\": {\"clat_ns\": {\"N\": 1, \"percentile\": "
          "{\"50\": -1}}}}]}",
          "the percentiles are not as fio writes them");
  refuse ("{\"jobs\": [{\"read\": {\"clat_ns\": {\"N\": 1, \"percentile\": "
          "{\"50\": 5, \"60\": 4}}}}]}",
          "the percentiles do not ascend");
  refuse ("{\"jobs\": [{\"read\": {\"clat_ns\": {\"N\": 1, \"percentile\": "
          "{\"50\": 5, \"50.0\": 6}}}}]}",
          "the percentiles do not ascend");
  refuse ("{\"jobs\": [{\"read\": {\"clat_ns\": {\"N\": 1, \"percentile\": "
          "{\"50\": 100000000001}}}}]}",
          "a duration is above 100 s");
  refuse ("{\"jobs\": [{\"read\": {\"clat_ns\": {\"N\": 1, \"percentile\": "
          "{\"50\": 1}}}}, {\"read\": {\"lat_ns\": {\"N\": 1, "
          "\"percentile\": {\"50\": 1}}}}]}",
          "several of its jobs have \"read\" times; run fio with "
          "--group_reporting");
}

/* The load that PATH has of OP; VERSION and RW are all its texts. */
static void
check_load (const char *text, enum operation op,
            const struct percentiles_load *is_to_be)
{
  struct percentiles_file *file;
  struct percentiles_load load;

  put (text);
  assert_int_equal (percentiles_open (path, &file, &why), 0);
  assert_true (percentiles_are_fios (file));
  percentiles_load (file, op, &load);
  percentiles_close (file);
  assert_string_equal (load.version, is_to_be->version);
  assert_string_equal (load.rw, is_to_be->rw);
  assert_int_equal (load.size, is_to_be->size);
  assert_int_equal (load.depth, is_to_be->depth);
  assert_int_equal (load.sync, is_to_be->sync);
  assert_true (load.iops == is_to_be->iops);
  assert_true (load.mean == is_to_be->mean);
}

/* A file of lines says nothing of a load. */
static void
test_load_of_lines (void **state)
{
  struct percentiles_load load;
  struct percentiles_file *file;

  (void) state;
  put ("50,1000");
  assert_int_equal (percentiles_open (path, &file, &why), 0);
  assert_false (percentiles_are_fios (file));
  memset (&load, 1, sizeof load);
  percentiles_load (file, OP_READ, &load);
  assert_string_equal (load.version, "");
  assert_string_equal (load.rw, "");
  assert_int_equal (load.size, 0);
  assert_int_equal (load.depth, 0);
  assert_false (load.sync);
  assert_true (load.iops == 0 && load.mean == 0);
  percentiles_close (file);
}

#define READS                                                                  \
  "\"read\":{\"total_ios\":9,\"iops\":12.5,\"lat_ns\":{\"mean\":70.5,"         \
  "\"percentile\":{\"50.000000\":70}}}"

static void
test_fio_load (void **state)
{
  (void) state;
  check_load (
      "{\"fio version\":\"fio-3.33\",\"global options\":{\"bs\":\"4Ki\","
      "\"rw\":\"read\",\"numjobs\":\"2\"},\"jobs\":[{\"job options\":{"
      "\"rw\":\"randread\",\"iodepth\":\"08\",\"ioengine\":\"libaio\"}," READS
      "}]}",
      OP_READ,
      &(struct percentiles_load){.version = "fio-3.33",
                                 .rw = "randread",
                                 .size = 4096,
                                 .depth = 16,
                                 .iops = 12.5,
                                 .mean = 70.5});
  /* What is not said is fio's default, or not known. */
  check_load ("{\"jobs\":[{" READS "}]}", OP_READ,
              &(struct percentiles_load){.version = "fio",
                                         .rw = "",
                                         .size = 4096,
                                         .depth = 1,
                                         .iops = 12.5,
                                         .mean = 70.5});
  check_load ("{\"fio version\":3,\"jobs\":[{\"job options\":{\"bs\":\"4k-8k\","
              "\"rw\":[],\"iodepth\":\"99999999999\",\"fsync\":\"-1\","
              "\"ioengine\":\"libaio\"}," READS "}]}",
              OP_READ,
              &(struct percentiles_load){
                  .version = "fio", .rw = "", .iops = 12.5, .mean = 70.5});
  check_load (
      "{\"fio version\":\"fio-2.18\",\"jobs\":[{\"job options\":{"
      "\"blocksize\":\"1M\",\"readwrite\":\"randwrite\",\"fsync\":\"8\"},"
      "\"sync\":{\"total_ios\":3,\"lat\":{\"mean\":7,\"percentile\":{"
      "\"50.000000\":7}}}}]}",
      OP_FLUSH,
      &(struct percentiles_load){.version = "fio-2.18",
                                 .rw = "randwrite",
                                 .size = 1 << 20,
                                 .depth = 1,
                                 .sync = 8,
                                 .mean = 7000});
}

#else

static void
test_no_json (void **state)
{
  (void) state;
  refuse ("{\"jobs\": []}",
          "it is JSON, which this build cannot read (jansson was missing); "
          "lines PERCENTILE,NANOSECONDS can be read");
}

#endif

#define TEST(f) cmocka_unit_test_setup_teardown (f, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
      TEST (test_lines),         TEST (test_wrong_lines),
      TEST (test_many_lines),    TEST (test_not_a_file),
      TEST (test_too_large),
#ifdef HAVE_JANSSON
      TEST (test_fio),           TEST (test_fio_ends),
      TEST (test_load_of_lines), TEST (test_blanks_in_path),
      TEST (test_fio_without),   TEST (test_wrong_fio),
      TEST (test_fio_without_n), TEST (test_fio_2),
      TEST (test_fio_documents), TEST (test_fio_clients),
      TEST (test_fio_mixed),     TEST (test_fio_groups),
      TEST (test_fio_untrue),    TEST (test_fio_load),
#else
      TEST (test_no_json),
#endif
  };

  return RUN_TESTS (tests);
}
