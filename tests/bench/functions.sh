# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the measurements share: servers side by side, each with its CPU time,
# fio's nbd engine as the load, and medians.  A script that sources this has a
# folder $tmp of its own; servers end with it.

set -euo pipefail
export LC_ALL=C

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tmp=$(mktemp -d)
declare -A server_pid server_uri

# shellcheck disable=SC2317 # trap
clean_up ()
{
  local pid

  for pid in "${server_pid[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
  rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

die ()
{
  echo "${0##*/}: $*" >&2
  exit 1
}

requires ()
{
  local program

  for program; do
    command -v "$program" >/dev/null || die "$program is missing"
  done
}

# find_plugin: the plugin that was asked for in $PLUGIN, or that of a build.
find_plugin ()
{
  local candidate

  for candidate in "${PLUGIN-}" "${top_builddir-$PWD}/plugin/nullblk.so" \
                   "$top/plugin/nullblk.so"; do
    if [ -e "$candidate" ]; then
      realpath -s "$candidate"
      return
    fi
  done
  die "there is no plugin; name one in PLUGIN"
}

# wait_for_socket NAME
wait_for_socket ()
{
  until [ -S "$tmp/$1.sock" ]; do
    kill -0 "${server_pid[$1]}" 2>/dev/null || die "server $1 has ended"
    sleep 0.05
  done
}

# serve NAME NBDKIT-ARGUMENT...: on a Unix socket of its own.
serve ()
{
  nbdkit -f -U "$tmp/$1.sock" "${@:2}" &
  server_pid[$1]=$!
  server_uri[$1]="nbd+unix:///?socket=$tmp/$1.sock"
  wait_for_socket "$1"
}

# serve_qemu NAME IMAGE-OPTIONS: qemu-nbd.
serve_qemu ()
{
  qemu-nbd --persistent --shared=0 --socket="$tmp/$1.sock" \
    --image-opts "$2" &
  server_pid[$1]=$!
  server_uri[$1]="nbd+unix:///?socket=$tmp/$1.sock"
  wait_for_socket "$1"
}

# stop NAME...
stop ()
{
  local name

  for name; do
    kill "${server_pid[$name]}"
    wait "${server_pid[$name]}" || true
    unset "server_pid[$name]"
    rm -f "$tmp/$name.sock"
  done
}

# cpu NAME: of the server, user and system, in ticks.
cpu ()
{
  sed 's/.*) //' "/proc/${server_pid[$1]}/stat" | awk '{ print $12 + $13 }'
}

# load NAME FIO-OPTION...: run fio; $tmp/fio.json is what it says.
load ()
{
  fio --name=load --ioengine=nbd --uri="${server_uri[$1]}" --thread \
    --group_reporting --output-format=json --output="$tmp/fio" "${@:2}" \
    >"$tmp/out" 2>&1 || die "fio: $(cat "$tmp/out")"
  # fio's notes may stand before it.
  sed -n '/^{/,$p' "$tmp/fio" >"$tmp/fio.json"
}

# median: of the numbers on stdin.
median ()
{
  sort -g | awk '{ n[NR] = $1 }
    END { print NR % 2 ? n[(NR + 1) / 2] : (n[NR / 2] + n[NR / 2 + 1]) / 2 }'
}
