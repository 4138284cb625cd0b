/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * A command line, with a KEY=VALUE on each line; behind a zero byte is what
 * the files hold that it names.  What is accepted must print as settings that
 * are accepted, too, and come to the same.
 */

#include <config.h>

#include <errno.h>

#include "fuzz.h"
#include "settings/settings.h"

#define MEMORY (UINT64_C (8) << 30)
#define ROOM (UINT64_C (1) << 46)

/* Takes the lines of TEXT, which it changes. */
static int
take_lines (struct params *p, char *text, struct message *why)
{
  char *value, *line, *rest = text;
  int r = 0;

  while (r == 0 && (line = strsep (&rest, "\n")) != NULL) {
    value = strchr (line, '=');
    if (value == NULL)
      continue;
    *value++ = '\0';
    why->text[0] = '\0';
    r = params_set (p, line, value, why);
  }
  return r == 0 ? params_complete (p, MEMORY, ROOM, 4096, why) : r;
}

/* To be freed. */
static char *
print_all (const struct settings *s)
{
  static char text[MAX_PARAMS * MAX_SETTING];
  char *end = text;
  size_t i;

  *end = '\0';
  for (i = 0; params_print (s, i, end, MAX_SETTING); i++) {
    CHECK (strlen (end) + 1 < MAX_SETTING);
    CHECK (strchr (end, '\n') == NULL);
    end += strlen (end);
    strcpy (end++, "\n");
  }
  end = strdup (text);
  CHECK (end != NULL);
  return end;
}

static void
check_again (const char *printed)
{
  char *copy = strdup (printed), *again;
  struct message why;
  struct params p;

  CHECK (copy != NULL);
  params_init (&p);
  if (take_lines (&p, copy, &why) != 0) {
    fprintf (stderr, "%s\nof\n%s", why.text, printed);
    abort ();
  }
  again = print_all (&p.settings);
  if (strcmp (printed, again) != 0) {
    fprintf (stderr, "%s\nis again\n%s", printed, again);
    abort ();
  }
  params_clear (&p);
  free (again);
  free (copy);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct input in = {data, size};
  struct message why = {{0}};
  struct params p;
  char *text, *printed;
  int r;

  fuzz_begin ();
  text = take_up_to (&in, 0, NULL);
  fuzz_file = in.p;
  fuzz_file_len = in.left;
  params_init (&p);
  r = take_lines (&p, text, &why);
  if (r == 0) {
    params_hint (&p, &why);
    params_delay_requests (&p);
    params_have_hang_rule (&p);
    params_check_limit (&p.settings, MEMORY, 4096, &why);
    printed = print_all (&p.settings);
    check_again (printed);
    free (printed);
  }
  else {
    CHECK (r == -EINVAL);
    CHECK (why.text[0] != '\0');
  }
  params_clear (&p);
  free (text);
  return 0;
}
