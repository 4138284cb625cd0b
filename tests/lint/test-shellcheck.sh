#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Every shell file passes shellcheck.

set -euo pipefail
# shellcheck source=build-aux/setup.sh
. "$(dirname "$0")/../../build-aux/setup.sh"
command -v shellcheck >/dev/null || { echo "no shellcheck"; exit 77; }

begin_with_shell_files
shellcheck "${files[@]}"
