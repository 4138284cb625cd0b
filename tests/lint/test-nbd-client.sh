#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# nbd-client is only ever given long options, with two dashes, in what we run
# and in what we tell people to type: its versions differ in the short ones,
# and 3.27.1 is killed by one of them.

set -euo pipefail
# shellcheck source=build-aux/setup.sh
. "$(dirname "$0")/../../build-aux/setup.sh"

cd "$top"
mapfile -t files < <(list_sources | grep -v '^\./tests/lint/')
mapfile -t guests < <(list_sources | grep '^\./tests/guest/.*\.sh$')
status=0
# none WHAT PATTERN FILE...: no line has PATTERN, and PATTERN without its dash
# is somewhere, so that this looks at the right files.
none ()
{
  local what=$1 command=$2 option=$3

  shift 3
  echo "$what"
  grep -qE -- "$command" "$@" || { echo "there is none"; status=1; }
  ! grep -nE -- "$command$option" "$@" || status=1
}
none "commands" 'nbd-client\b' '[^|;]*[[:space:]"(`]-[[:alpha:]]' "${files[@]}"
none "nullblk-attach's" '"--connections"' '^' tools/attach/attach-device.c
none "attach of the guest tests" \
  '^ *attach(_to)?\b' '[^|;]*[[:space:]]-[[:alpha:]]' "${guests[@]}"
echo "words of a command line"
! grep -n '"-[[:alpha:]]' tools/attach/attach-device.c || status=1
exit $status
