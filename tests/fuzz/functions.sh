# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What fuzz/run and fuzz/test-fuzz.sh share; to be sourced by bash, with $fuzz,
# the directory of the sources.
#
# The corpus of a fuzzer is one file, corpus/NAME: an input a line, in base64.

: "${fuzz:?}"

# The names, without the fuzz- before them.
fuzzer_names ()
{
  local name

  for name in "$fuzz"/fuzz-*.c; do
    name=${name##*/fuzz-}
    [ "$name" = nbd.c ] || echo "${name%.c}"
  done
}

# unpack_corpus NAME DIRECTORY: an input a file, into a directory that is empty.
unpack_corpus ()
{
  local line n=0

  [ -e "$fuzz/corpus/$1" ] || return 0
  while read -r line; do
    base64 -d <<<"$line" >"$2/$n"
    n=$((n + 1))
  done <"$fuzz/corpus/$1"
}

# with_dictionary NAME: sets the array dictionary to an option, or to none.
with_dictionary ()
{
  # shellcheck disable=SC2034 # for the caller
  dictionary=()
  # shellcheck disable=SC2034
  [ ! -e "$fuzz/$1.dict" ] || dictionary=("-dict=$fuzz/$1.dict")
}

# An input that never ends is a finding, however slow the machine is.  To count
# how often each edge was met (-entropic) takes half of the time of device.
# shellcheck disable=SC2034 # for those who source this
options=(-timeout=600 -rss_limit_mb=2560 -entropic=0)
