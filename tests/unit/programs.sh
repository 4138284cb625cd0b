#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Make programs.am of programs.list, both beside this file: what automake has to
# know of each unit test, plain and with each sanitizer.

set -euo pipefail
cd "$(dirname "$0")"

# wrap FUNCTION: what has the linker put a test's function in its place, by each
# name that it may have.  Adds to the options of build.
wrap ()
{
  options+=" -Wl,--wrap=$1"
  case $1 in
    ftruncate | mmap | open | pread | pwritev) options+=" -Wl,--wrap=${1}64" ;;
  esac
}

# build PROGRAM KIND WORD...: a program of a kind (unit, which is plain, asan or
# tsan), with the words of its line.
build ()
{
  local program=$1 kind=$2 word part suffix="" var
  local sources=unit/$program.c libraries="" options="" macros=""

  shift 2
  [ "$kind" = unit ] || suffix=-$kind
  for word; do
    case $word in
      threads | attach | ctl) ;;
      ublk) macros+=" \$(LIBNBD_CFLAGS) \$(LIBURING_CFLAGS)" ;;
      sockets)
        for part in read plain poll socket defer aside waiting held stream nap; do
          sources+=" ../plugin/batch/batch-$part.c"
        done
        ;;
      queue)
        sources+=" unit/tools/queue-world.c ../tools/ublk/queue.c"
        for part in append data explain journal renew request time zones; do
          sources+=" ../tools/ublk/queue-$part.c"
        done
        sources+=" ../tools/ublk/append.c ../tools/ublk/journal.c"
        sources+=" ../plugin/ublkdrv/queue-port.c"
        ;;
      bridge)
        sources+=" unit/tools/bridge-world.c unit/command-ring.c"
        sources+=" unit/wrapped-open.c"
        for part in bridge bridge-end bridge-wait append journal; do
          sources+=" ../tools/ublk/$part.c"
        done
        for part in ublk-record aide helper-process commands setup; do
          sources+=" ../plugin/ublkdrv/$part.c"
        done
        macros+=" -DRECORDS='\"run\"'"
        for part in open access fopen fsync sync_file_range mlockall \
          posix_spawnp opendir sysconf users_find chdir; do
          wrap "$part"
        done
        ;;
      libnbd) libraries+=" \$(LIBNBD_LIBS)" ;;
      libnl) libraries+=" \$(LIBNL_LIBS)" ;;
      *.c) sources+=" $word" ;;
      -D*) macros+=" $word" ;;
      -l*) libraries+=" $word" ;;
      -Wl,--wrap=*) wrap "${word#*--wrap=}" ;;
      -*) options+=" $word" ;;
      *) echo "${0##*/}: $program: $word: unknown" >&2; exit 1 ;;
    esac
  done
  [ "$kind" = unit ] || options=" \$(${kind}_ldflags)$options"
  var=unit_${program//[^[:alnum:]]/_}${suffix/-/_}
  echo "PROGRAMS_TO_RUN += unit/$program$suffix"
  echo "${var}_SOURCES = $sources"
  [ -z "$macros" ] || echo "${var}_CPPFLAGS = \$(AM_CPPFLAGS)$macros"
  echo "${var}_CFLAGS = \$(${kind}_cflags)"
  echo "${var}_LDADD = \$(${kind}_ldadd)$libraries"
  [ -z "$options" ] || echo "${var}_LDFLAGS =$options"
}

# within CONDITION COMMAND...: what automake takes where the condition is true.
within ()
{
  echo "if $1"
  "${@:2}"
  echo endif
}

# all_kinds PROGRAM WORD...
all_kinds ()
{
  build "$1" unit "${@:2}"
  within HAVE_ASAN build "$1" asan "${@:2}"
  case " ${*:2} " in
    *" threads "*) within HAVE_TSAN build "$1" tsan "${@:2}" ;;
  esac
}

{
  echo "# Made of programs.list by programs.sh."
  echo "if HAVE_CMOCKA"
  sed -e ':more' -e '/\\$/ { N; s/\\\n//; b more' -e '}' \
      -e '/^#/ d; /^$/ d' programs.list |
    while read -r program words; do
      # shellcheck disable=SC2086 # words
      case " $words " in
        *" attach "*) within HAVE_ATTACH all_kinds "$program" $words ;;
        *" ctl "*) within HAVE_CTL all_kinds "$program" $words ;;
        *" ublk "*) within HAVE_UBLK all_kinds "$program" $words ;;
        *) all_kinds "$program" $words ;;
      esac
    done
  echo endif
} >programs.am.new
mv programs.am.new programs.am
