#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The rooms of plugin/ as HACKING.md draws them: a room includes only rooms that
# stand below it, each by the one header of its name, so there is no circle; a
# header that is the room's alone is called *-internal.h; and nbdkit's header is
# plugin.c's.  The tools include rooms by the same headers, and not each other.
# Unit tests may look into the room that they are of.

set -euo pipefail
# shellcheck source=build-aux/setup.sh
. "$(dirname "$0")/../../build-aux/setup.sh"
cd "$top"

status=0
# wrong FILE:LINE WHY
wrong ()
{
  echo "$1: $2"
  status=1
}

# From the bottom to the top, with numbers.
declare -A floor
n=0
while read -r room; do
  floor[$room]=$((n += 1))
done < <(sed -n '/^## The rooms/,/^## /s,^    \([a-z]*\)/ .*,\1,p' HACKING.md |
           tac)
[ "$n" -gt 5 ] || wrong HACKING.md "has no rooms"
for room in plugin/*/; do
  room=${room%/} room=${room##*/}
  [ -n "${floor[$room]-}" ] || wrong "plugin/$room" "HACKING.md has no such room"
  [ -f "plugin/$room/$room.h" ] ||
    wrong "plugin/$room" "has no header of its name"
done

# includes FILE...: each include in quotation marks, as FILE LINE HEADER.
includes ()
{
  grep -Hn '^ *# *include *"' "$@" |
    sed 's/^\([^:]*\):\([0-9]*\):[^"]*"\([^"]*\)".*/\1 \2 \3/'
}

# check_room FILE LINE HEADER LEVEL ROOM: what stands at LEVEL, in ROOM, includes
# a header of plugin/.
check_room ()
{
  local room=${3%%/*}

  if [ -z "${floor[$room]-}" ]; then
    wrong "$1:$2" "$3 is in no room"
  elif [ "$room" = "$5" ]; then
    wrong "$1:$2" "$3 is in its own room, and needs no path"
  elif [ "${floor[$room]}" -ge "$4" ]; then
    wrong "$1:$2" "$3 stands above"
  elif [ "$3" != "$room/$room.h" ]; then
    wrong "$1:$2" "$3 is the business of $room; its header is $room/$room.h"
  fi
}

while read -r file line header; do
  room=${file%/*} room=${room##*/}
  level=${floor[$room]-99}
  case $header in
    */*) check_room "$file" "$line" "$header" "$level" "$room" ;;
    *) [ -f "plugin/$room/$header" ] ||
         wrong "$file:$line" "$header is not in its room" ;;
  esac
done < <(includes plugin/*/*.[ch])

while read -r file line header; do
  check_room "$file" "$line" "$header" 99 ""
done < <(includes plugin/*.[ch])

while read -r file line header; do
  case $header in
    */*) check_room "$file" "$line" "$header" 99 "" ;;
    *) [ -f "${file%/*}/$header" ] || [ -f "tools/$header" ] ||
         wrong "$file:$line" "$header is another program's" ;;
  esac
done < <(includes tools/*.[ch] tools/*/*.[ch])

while read -r file line header; do
  room=${file%/*} room=${room##*/}
  case $header in
    "$room"/* | */*-model.h | attach/* | ctl/* | fio/* | measure/* | ublk/*) ;;
    */*) check_room "$file" "$line" "$header" 99 "" ;;
  esac
done < <(includes tests/unit/*.[ch] tests/unit/*/*.[ch])

# What the room's header shows, and what is the room's alone.
for header in plugin/*/*.h; do
  room=${header%/*} room=${room##*/}
  shown=" $room.h "
  for ((i = 0; i < 5; i++)); do
    for part in $shown; do
      while read -r _ _ more; do
        [[ $more == */* || $shown == *" $more "* ]] || shown+="$more "
      done < <(includes "plugin/$room/$part")
    done
  done
  case $header:$shown in
    "plugin/$room/$room.h:"*"-internal.h "*)
      wrong "$header" "shows an internal header" ;;
    *"-internal.h:"* | *" ${header##*/} "*) ;;
    *) wrong "$header" "is not shown by $room.h: call it *-internal.h" ;;
  esac
done

# What is in angle brackets is not looked at above, and is nobody's here.
while IFS=: read -r file line text; do
  header=${text#*<} header=${header%%>*}
  { [ ! -e "plugin/$header" ] && [ ! -e "tools/$header" ]; } ||
    wrong "$file:$line" "<$header> is ours, and wants quotation marks"
done < <(grep -Hn '^ *# *include *<' plugin/*.[ch] plugin/*/*.[ch] \
           tools/*.[ch] tools/*/*.[ch] tests/*/*.[ch] tests/unit/*/*.[ch])

while IFS=: read -r file line _; do
  [ "$file" = plugin/plugin.c ] || wrong "$file:$line" "nbdkit is plugin.c's"
done < <(grep -Hn '^ *# *include *<nbdkit' plugin/*.[ch] plugin/*/*.[ch] \
           tools/*.[ch] tools/*/*.[ch])
exit $status
