#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Every C file is formatted as .clang-format says.  Versions of clang-format
# differ; Debian 12's is the one that counts.  It leaves comments as they are,
# so that diagrams and tables stay what they are: nobody but this test sees that
# a comment is too wide.

set -euo pipefail
# shellcheck source=build-aux/setup.sh
. "$(dirname "$0")/../../build-aux/setup.sh"
[[ $(clang-format --version 2>&1) == *"version 14."* ]] ||
  { echo "no clang-format 14"; exit 77; }

cd "$top"
mapfile -t files < <(list_sources | grep '\.[ch]$')
echo "${files[@]}"
clang-format --style=file --dry-run --Werror "${files[@]}"

if LC_ALL=C.UTF-8 grep -nE '^.{81}' "${files[@]}"; then
  echo "lines of more than 80 columns"
  exit 1
fi
