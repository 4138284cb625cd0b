#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Every C file begins with the two lines of its licence, and every header of
# ours compiles by itself, as C11, without a warning.

set -euo pipefail
# shellcheck source=build-aux/setup.sh
. "$(dirname "$0")/../../build-aux/setup.sh"
command -v gcc >/dev/null || { echo "no gcc"; exit 77; }

status=0
licence='/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors'
while IFS= read -r file; do
  [ "$(head -n 2 "$file")" = "$licence" ] || {
    echo "$file: its first two lines are not those of the licence"
    status=1
  }
done < <(find "$top/plugin" "$top/tools" "$top/tests" -name '*.[ch]')
for header in "$top"/plugin/*/*.h "$top"/tools/*.h "$top"/tools/*/*.h; do
  # fio's headers are there only where its sources are.
  ! grep -q '^#include <fio.h>' "$header" || continue
  echo "$header"
  gcc -std=c11 -Wall -Wextra -Werror -fsyntax-only \
    -I "${top_builddir:-$top}" -I "$top/plugin" -I "$top/tools" -include config.h \
    -x c "$header" || status=1
done
exit $status
