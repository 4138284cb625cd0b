#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# No shell file pipes into what may end before it has read everything, as grep
# -q does: who still writes then is killed by SIGPIPE, and under pipefail the
# whole pipe fails, once in a while.  grep >/dev/null and sed -n 1p read on.

set -euo pipefail
# shellcheck source=build-aux/setup.sh
. "$(dirname "$0")/../../build-aux/setup.sh"
command -v perl >/dev/null || { echo "no perl"; exit 77; }

begin_with_shell_files
# Comments become empty, so that lines keep their numbers.
perl -0777 -ne '
  my $word = qr/(?:[^\s|;&()\x27"]|"[^"]*"|\x27[^\x27]*\x27)+/;
  my $reader = qr/
      head \b
    | [ef]?grep (?:\s+ $word)*? \s+
        (?: -[a-zA-Z]*[qm][a-zA-Z0-9]* | --quiet | --silent | --max-count ) \b
    | sed (?:\s+ -\w+)* \s+ \x27? [^\s\x27]* \d*[qQ] [\s\x27)]
    | awk \s+ $word*? \x27 [^\x27]* \b exit \b
  /x;
  s/^[ \t]*#.*$//mg;
  while (/(?<![|>])\|&?(?!\|)\s*(?:\w+=$word?\s+)*($reader)/g) {
    my $line = 1 + (substr ($_, 0, $-[1]) =~ tr,\n,,);
    print "$ARGV:$line: $1\n";
    $found = 1;
  }
  END { exit ($found ? 1 : 0) }' "${files[@]}"
