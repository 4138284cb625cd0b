#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# No test passes where a part of it was left out: it says so by skip or leave_out.

set -euo pipefail
# shellcheck source=build-aux/setup.sh
. "$(dirname "$0")/../../build-aux/setup.sh"

begin_with_shell_files
tests=()
for file in "${files[@]}"; do
  [[ $file != */test-*.sh ]] || tests+=("$file")
done
! grep -nE '(\|\||&&) *exit 0' "${tests[@]}" || exit
