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

#include "distribution.h"
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

/* What was not measured cannot be played back. */
static void
test_fio_without (void **state)
{
  struct distribution *all[NR_OPERATIONS];
  char text[512];
  size_t i;

  (void) state;
  refuse_for (OP_TRIM, fio,
              "none of its jobs has percentiles of \"trim\" times in "
              "nanoseconds, as fio 3 writes them");
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
  assert_non_null (strstr (why.text, "none of its jobs has percentiles"));
}

static void
test_wrong_fio (void **state)
{
  (void) state;
  refuse ("{\n\n!", "it begins like JSON, and is wrong at line 3");
  refuse ("{}", "it is JSON, but not fio's: it has no jobs");
  refuse ("{\"jobs\": 5}", "it is JSON, but not fio's: it has no jobs");
  refuse ("{\"jobs\": []}", "it is JSON, but not fio's: it has no jobs");
  refuse ("{\"jobs\": [5]}",
          "none of its jobs has percentiles of \"read\" times in nanoseconds, "
          "as fio 3 writes them");
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
      TEST (test_lines),      TEST (test_wrong_lines), TEST (test_many_lines),
      TEST (test_not_a_file), TEST (test_too_large),
#ifdef HAVE_JANSSON
      TEST (test_fio),        TEST (test_fio_without), TEST (test_wrong_fio),
#else
      TEST (test_no_json),
#endif
  };

  return RUN_TESTS (tests);
}
