#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Fetch the sources of the fio that is installed, of just the version of
# Debian's package, from where the machine has its packages:
#
#   build-aux/fetch-fio.sh DIRECTORY
#
# DIRECTORY is made anew if this has made it before; any other has to be empty.
# Where that cannot be done, the last line says why.
# An archive may have only newer sources than the package that is installed; and
# the fio that runs here may be another one.

set -euo pipefail
directory=$(realpath --canonicalize-missing "${1:?a directory is wanted}")

die ()
{
  echo "$*"
  exit 1
}

mark=.made-by-fetch-fio
if [ -e "$directory" ] && [ ! -e "$directory/$mark" ]; then
  rmdir "$directory" 2>/dev/null ||
    die "$directory is neither empty nor made by fetch-fio"
fi
# shellcheck disable=SC2016 # dpkg's own
version=$(dpkg-query --show --showformat '${source:Version}' fio 2>/dev/null) ||
  die "no package of fio is installed"
command -v apt-get >/dev/null || die "there is no apt-get"
[[ $version == "$(fio --version | sed 's/^fio-//')"[-+~]* ]] ||
  die "$(fio --version) is not the one of the package, which is $version"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/parts" "$tmp/lists" "$tmp/cache" "$tmp/fio"

# The machine's own sources of packages, as sources of sources.
# shellcheck disable=SC2016 # apt's own
apt-get indextargets --format '$(ORIGIN) $(SOURCESENTRY)' \
  'Created-By: Packages' |
  sed -n 's/^Debian \(.*\):[0-9]*$/\1/p' | sort -u |
  while read -r file; do
    sed 's/^deb /deb-src /; s/^Types:.*/Types: deb-src/' "$file" \
      >"$tmp/parts/${file##*/}"
  done
[ -n "$(ls "$tmp/parts")" ] || die "apt-get knows no archive of Debian's"

apt=(apt-get -q -o Dir::Etc::SourceList=/dev/null
     -o "Dir::Etc::SourceParts=$tmp/parts" -o "Dir::State::Lists=$tmp/lists"
     -o "Dir::Cache=$tmp/cache" -o APT::Sandbox::User=root
     -o Acquire::Retries=0 -o Acquire::http::Timeout=20)
cd "$tmp/fio"
{ timeout 120 "${apt[@]}" update &&
  timeout 120 "${apt[@]}" source --download-only "fio=$version"; } \
  >"$tmp/log" 2>&1 ||
  die "the archive has no sources of fio $version: $(grep '^[EW]:' "$tmp/log" |
    tail -n 1)"
rm -rf "$directory"
mkdir -p "$directory"
touch "$directory/$mark"
tar -C "$directory" --strip-components=1 -xf fio_*.orig.tar.[gx]z
