#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Every shell file passes shellcheck: all *.sh, and all that begins with #!
# and a shell.

set -euo pipefail
# shellcheck source=build-aux/setup.sh
. "$(dirname "$0")/../../build-aux/setup.sh"
command -v shellcheck >/dev/null || { echo "no shellcheck"; exit 77; }

cd "$top"
files=()
while read -r file; do
  first=
  IFS= read -rn 80 first <"$file" || true
  [[ $file != *.sh && $first != '#!'*sh ]] || files+=("$file")
done < <(list_sources)
echo "${files[@]}"
shellcheck "${files[@]}"
