#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The server starts with all of nbdkit's filters that are installed, except
# those that would silently falsify control exports, or several devices.  It
# refuses these by one line, and starts with them and the parameters that the
# line names.  Then they leave data as it is.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires qemu-io

filters=$("$NBDKIT" --dump-config | sed -n 's/^filterdir=//p')
[ -d "$filters" ] || skip "nbdkit has no filters"
minor=$("$NBDKIT" --dump-config | sed -n 's/^version_minor=//p')

# Parameters that a filter needs.
echo '0 64K hole,zero' >"$tmp/extents"
echo '0x0 +' >"$tmp/map"
echo '0x0 0x4000000 +' >>"$tmp/map"
declare -A needs=(
  [ddrescue]="ddrescue-mapfile=$tmp/map"
  [exitwhen]="exit-when-file-created=$tmp/exit"
  [ext2]="ext2file=/"
  [extentlist]="extentlist=$tmp/extents"
  [indexed-gzip]="gzip-index-path=$tmp/index"
  [log]="logfile=$tmp/log"
  [luks]="passphrase=secret"
  [partition]="partition=1"
  [pause]="pause-control=$tmp/pause"
  [stats]="statsfile=$tmp/stats"
  [tar]="tar-entry=disk"
  [xor]="xor=1 xorlen=1"
)
declare -A refused=(
  [cache]='control=off devices=1'
  [cacheextents]='devices=1'
  [cow]='control=off devices=1'
  [evil]='control=off'
  [extentlist]='control=off devices=1'
  [map]='control=off'
  [offset]='control=off'
  [retry]='control=off'
  [retry-request]='control=off'
  [swab]='control=off'
  [truncate]='control=off'
  [xor]='control=off'
)

# try FILTER-OPTION PLUGIN ARGUMENT...: run nbdkit, and set status and $tmp/err.
try ()
{
  rm -f "$tmp/sock" "$tmp/pause" "$tmp/ran"
  status=0
  "$NBDKIT" -U "$tmp/sock" "$@" --run "touch '$tmp/ran'" 2>"$tmp/err" ||
    status=$?
  [ -e "$tmp/ran" ] || status=1
}

# starts WHAT ARGUMENT...: nbdkit has to start, or to fail without this plugin,
# too.
starts ()
{
  try "${@:2}" "$PLUGIN" 64M zoned=true zone-size=1M "${given[@]}"
  [ "$status" != 0 ] || return 0
  if ! grep -q ': allowed is with ' "$tmp/err"; then
    cp "$tmp/err" "$tmp/ours"
    try "${@:2}" null 64M "${given[@]:0:$own}"
    if [ "$status" != 0 ]; then
      echo "$1: not with nbdkit's null plugin, either"
      return 0
    fi
    mv "$tmp/ours" "$tmp/err"
  fi
  fail "$1: $(cat "$tmp/err")"
}

# refuses WHAT FILTER ALLOWED ARGUMENT...
refuses ()
{
  local line="nbdkit: error: --filter=$2 "

  try "${@:4}" "$PLUGIN" 64M zoned=true zone-size=1M "${given[@]}"
  [ "$status" = 1 ] || fail "$1: status $status: $(cat "$tmp/err")"
  [ "$(wc -l <"$tmp/err")" = 1 ] || fail "$1: not one line: $(cat "$tmp/err")"
  # shellcheck disable=SC2053 # a pattern
  [[ $(cat "$tmp/err") == "$line"*": allowed is with ${3// / and }" ]] ||
    fail "$1: $(cat "$tmp/err")"
}

# keeps_data FILTER: what is written through the filter has to be read again.
keeps_data ()
{
  # shellcheck disable=SC2016 # nbdkit's $uri
  "$NBDKIT" -U - --filter="$1" "$PLUGIN" 64M memory-backed=true \
    "${given[@]}" --run 'qemu-io -f raw -c "write -P 7 1M 64K" \
      -c "read -P 7 1M 64K" "$uri"' >"$tmp/io" 2>&1 || fail "$(cat "$tmp/io")"
  if grep -q failed "$tmp/io"; then
    fail "$1: $(cat "$tmp/io")"
  fi
}

n=0
for file in "$filters"/nbdkit-*-filter.so; do
  name=${file##*/nbdkit-} name=${name%-filter.so}
  given=()
  # shellcheck disable=SC2206 # words
  [ -z "${needs[$name]-}" ] || given=(${needs[$name]})
  own=${#given[@]}
  n=$((n + 1))
  if [ -z "${refused[$name]-}" ]; then
    given+=(devices=2)
    starts "$name" --filter="$name"
    echo "$name: starts"
    continue
  fi
  given+=(devices=2)
  wanted=${refused[$name]}
  if [ "$name" = cow ] && [ "$minor" -ge 46 ]; then
    wanted=control=off
  fi
  refuses "$name" "$name" "$wanted" --filter="$name"
  cp "$file" "$tmp"
  refuses "$name by path" "$name" "$wanted" --filter="$tmp/${file##*/}"
  refuses "$name below another" "$name" "$wanted" --filter=nofilter \
    --filter="$name"
  case $wanted in *devices=1*) unset 'given[-1]' ;; esac
  case $wanted in *control=off*) given+=(control=off) ;; esac
  starts "$name with $wanted" --filter="$name"
  [ "$status" != 0 ] || [ "$name" = evil ] || keeps_data "$name"
  echo "$name: starts with $wanted"
done
[ "$n" -gt 10 ] || fail "only $n filters"
