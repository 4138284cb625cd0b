# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# For the scripts beside it: Debian's packages of one version, unpacked in a
# temporary directory and not installed.  Needs Debian's apt-get, with the suite
# that has the version among its sources; apt-get ends with 100 where a newer one
# has taken its place there.  Libraries are those of the day, and so is the
# machine's own linker of them.
#
#   begin                  make $tmp, go there, and remove it at the end; programs
#                          run from it, so TMPDIR must not be noexec
#   unpack PKG=VERSION...  these, with all libraries that they want, in $root
#   run PROGRAM ARG...     one of $root's programs, with $root's libraries
#   serve SOCKET ARG...    nbdkit of $root, on SOCKET, until the script ends;
#                          plugin and filters are given without their path
#   stop SOCKET            or until here

root="" tmp=""

finish ()
{
  local pid

  for pid in "$tmp"/*.pid; do
    [ ! -e "$pid" ] || kill "$(cat "$pid")" 2>/dev/null || true
  done
  rm -rf "$tmp"
}

begin ()
{
  tmp=$(mktemp -d)
  root=$tmp/root
  trap finish EXIT
  mkdir "$root" "$tmp/deb"
  cd "$tmp" || exit 1
}

unpack ()
{
  local deb
  local -a libraries folders

  mapfile -t libraries < <(apt-cache depends --recurse --no-recommends \
    --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
    awk '/^lib/ { print $1 }' | sort -u)
  (cd "$tmp/deb" && apt-get -q -o APT::Sandbox::User=root download "$@" \
    "${libraries[@]}" >/dev/null)
  for deb in "$tmp"/deb/*.deb; do
    dpkg-deb -x "$deb" "$root"
  done
  mapfile -t folders < <(find "$root" -name '*.so.*' -printf '%h\n' | sort -u)
  library_path=$(IFS=:; echo "${folders[*]}")
}

run ()
{
  local program=$1

  shift
  env "LD_LIBRARY_PATH=$library_path" "$(find "$root/usr" -name "$program" \
    -path "*bin/*" -print -quit)" "$@"
}

# part KIND NAME: the file of a plugin or filter.
part ()
{
  find "$root" -name "nbdkit-$2-$1.so"
}

serve ()
{
  local socket=$1 argument
  local -a line=()

  shift
  for argument in "$@"; do
    case $argument in
      --filter=*) line+=("--filter=$(part filter "${argument#*=}")");;
      plugin:*) line+=("$(part plugin "${argument#*:}")");;
      *) line+=("$argument");;
    esac
  done
  run nbdkit -U "$tmp/$socket" -P "$tmp/$socket.pid" "${line[@]}"
}

stop ()
{
  local pid i

  pid=$(cat "$tmp/$1.pid")
  kill "$pid"
  # A zombie has ended, though in a container nobody may ask what became of it.
  for ((i = 0; i < 600; i++)); do
    if ! kill -0 "$pid" 2>/dev/null ||
      grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; then
      rm -f "$tmp/$1.pid"
      return
    fi
    sleep 0.1
  done
  echo "the server of $1 has not ended in a minute" >&2
  exit 1
}
