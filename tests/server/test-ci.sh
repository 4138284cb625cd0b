#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The recipes of CI.md that need neither root nor several hosts do what they
# say, as they stand there.  The programs are those of the build tree.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires_load
requires qemu-io pkg-config
python=/usr/bin/python3
"$python" -c 'import nbd, pytest' 2>/dev/null ||
  skip "python3-libnbd or python3-pytest is missing"
read -ra cc < <(sed -n 's/^CC = //p' "$top_builddir/tests/Makefile")
command -v -- "${cc[0]}" >/dev/null || skip "${cc[0]} is missing"

export NULLBLK_PLUGIN=$PLUGIN NULLBLK_BATCH=$library
mkdir "$tmp/bin"
ln -s "$serve" "$ctl" "$tmp/bin"
PATH=$tmp/bin:$PATH
cd "$tmp"

# block TITLE LANGUAGE: the block of code below a title, with its files in $tmp.
block ()
{
  sed -n "/^## $1/,/^## /p" "$top_srcdir/CI.md" |
    sed -n "/^\`\`\`$2\$/,/^\`\`\`\$/p" | sed "/^\`\`\`/d; s,/tmp/,$tmp/,g"
}

# Those of servers are in files whose names end so.
end_servers ()
{
  local file

  for file in "$tmp"/*.pid; do
    [ ! -s "$file" ] || kill "$(cat "$file")" 2>/dev/null || true
  done
}
at_exit+=(end_servers)

# check_install NAME LINE: packages of ours that a command installs are in the
# directory that make deb makes, and are packages.
folder=$(sed -n "s/.*make-deb'.* \(packages[^ ]*\) .*/\1/p" \
  "$top_srcdir/Makefile.am")
check_install ()
{
  local word words name

  read -ra words <<<"$2"
  for word in "${words[@]}"; do
    [[ $word == ./* ]] || continue
    name=${word##*/}
    [ "${word%/*}" = "./$folder" ] ||
      fail "$1: $word: make deb makes packages in $folder"
    grep -x "Package: ${name%%_*}" "$top_srcdir/debian/control" >/dev/null ||
      fail "$1: $word: there is no such package"
  done
}

# run_lines NAME: the lines of the standard input are commands, each by itself,
# as such a service runs them.
run_lines ()
{
  local line n=0

  while IFS= read -r line; do
    # A whole line in quotes is YAML's.
    [[ $line != \'*\' ]] || line=${line:1:-1}
    check_install "$1" "$line"
    [[ $line != apt-get* ]] || continue
    sh -e -c "$line" >"$tmp/out" 2>&1 </dev/null ||
      fail "$1: $line: $(cat "$tmp/out")"
    n=$((n + 1))
  done
  ((n >= 4)) || fail "$1: there are only $n commands"
}

block GitHub yaml | sed -n 's/^ *- run: //p' >"$tmp/lines"
run_lines GitHub <"$tmp/lines"
block GitLab yaml | sed -n '/script:/,$s/^    - //p' >"$tmp/lines"
run_lines GitLab <"$tmp/lines"

block pytest python >"$tmp/test_device.py"
"$python" -m pytest -q -p no:cacheprovider "$tmp/test_device.py" \
  >"$tmp/out" 2>&1 || fail "pytest: $(cat "$tmp/out")"
grep '^2 passed' "$tmp/out" >/dev/null || fail "pytest: $(cat "$tmp/out")"

block C c >"$tmp/test.c"
read -ra flags < <(pkg-config --cflags --libs libnbd)
"${cc[@]}" -Wall -Wextra -Werror "$tmp/test.c" "${flags[@]}" -o "$tmp/test" ||
  fail "C: it does not build"
"$tmp/test" || fail "C: it fails"
