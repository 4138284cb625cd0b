#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# podchecker has nothing to say against a man page, its lines fit into 80
# columns, and no line of a command ends within a word: a shell that gets the
# lines pasted would see two words, as the next line begins with blanks.

set -euo pipefail
# shellcheck source=build-aux/setup.sh
. "$(dirname "$0")/../../build-aux/setup.sh"
command -v podchecker >/dev/null || { echo "no podchecker"; exit 77; }

status=0
for pod in "$top"/man/*.pod; do
  said=$(podchecker -warnings "$pod" 2>&1) || status=1
  echo "$said"
  [[ $said != *WARNING* ]] || status=1
  if LC_ALL=C.UTF-8 grep -nE '.{81}' "$pod"; then
    echo "$pod: lines of more than 80 columns"
    status=1
  fi
  if grep -nE '^ .*[^ ]\\$' "$pod"; then
    echo "$pod: lines that go on within a word"
    status=1
  fi
done
exit $status
