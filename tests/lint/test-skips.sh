#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# No test passes by what it has not looked at: it says by skip or leave_out what
# was left out, and takes no error of grep, as of a process that has just gone,
# for "none is there".

set -euo pipefail
# shellcheck source=build-aux/setup.sh
. "$(dirname "$0")/../../build-aux/setup.sh"

begin_with_shell_files
tests=()
for file in "${files[@]}"; do
  [[ $file != */test-*.sh ]] || tests+=("$file")
done
! grep -nE '(\|\||&&) *exit 0' "${tests[@]}" || exit
! grep -nE '! grep .*/proc/\[' "${files[@]}" || exit
