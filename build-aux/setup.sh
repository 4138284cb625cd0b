# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What quickstart, run-tests and the lint tests share: messages, Debian
# packages, which files are sources, and building outside of the source tree.
# To be sourced by bash; sourcing it only sets variables, LC_ALL among them.
#
# Everything is made in build/: a copy of the sources in build/src, since
# automake builds nowhere else once the tree itself has been configured; one
# directory a build beside it; and in build/log what the commands said.

# Lists of files are in one order everywhere, and what programs say is in the
# language in which it is looked for here.
export LC_ALL=C

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/build

say ()
{
  printf '%s: %s\n' "${0##*/}" "$*"
}

die ()
{
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# quietly NAME COMMAND...
# Run COMMAND, which must not be a function, and keep what it says for
# build/log/NAME.log.  Where it fails, show the end of that and die.
quietly ()
{
  local log=build/log/$1.log

  shift
  "$@" >"$top/$log" 2>&1 </dev/null && return
  tail -n 30 "$top/$log"
  die "this failed: $*; all that it said is in $log"
}

prepare_build ()
{
  { mkdir -p "$build/log" && [ -w "$build" ] && [ -w "$build/log" ]; } \
    2>/dev/null || die "$build cannot be written; another user made it?"
}

# install_packages PACKAGE...
# Install those that are missing.
install_packages ()
{
  local package missing=() as_root=()

  command -v dpkg-query >/dev/null ||
    die "this is not Debian; README.md says how to build by hand"
  for package; do
    dpkg-query --show --showformat '${db:Status-Status}\n' "$package" \
      2>/dev/null | grep -x installed >/dev/null || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
      die "not root, and no sudo to install: ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  as_root+=(env DEBIAN_FRONTEND=noninteractive
            apt-get --option DPkg::Lock::Timeout=300)
  quietly apt-update "${as_root[@]}" update
  quietly apt-install "${as_root[@]}" install --yes --no-install-recommends \
    "${missing[@]}"
}

# Files that are no sources: what bootstrap (and, for a release, make dist)
# makes, and what is left by configure and make in a tree built in place.
bootstrapped=(aclocal.m4 ar-lib compile config.guess config.h.in config.sub
              configure depcomp install-sh libtool.m4 'lt*.m4' ltmain.sh
              Makefile.in missing programs.am tap-driver.sh test-driver '*.1')
made=(config.h config.log config.status libtool stamp-h1 Makefile .dirstamp
      '*.a' '*.la' '*.lo' '*.log' '*.o' '*.service' '*.so' '*.tar.xz' '*.trs'
      '*~')

# list_files PATTERN...
# The files below top, but not those whose name matches a PATTERN, and not what a
# build makes of other names: programs in tools/ and in the directories of tests/,
# where sources have an extension but in a few places, and the list of models.
list_files ()
{
  local pattern but=() but_here=()

  for pattern; do
    but+=(! -name "$pattern")
  done
  for pattern in './tests/systems/*' './tests/mutate/*' ./tests/fuzz/run \
                 './tests/fuzz/corpus/*'; do
    but_here+=(! -path "$pattern")
  done
  (cd "$top" &&
    find . \( -name .git -o -path ./build -o -path ./packages \
      -o -path './tests/guest/image*' -o -path ./tools/fio/configured -o -name autom4te.cache \
      -o -name .deps -o -name .libs -o -name _build -o -name _inst \
      -o -name 'nullblk-[0-9]*' \) -prune \
      -o -type f "${but[@]}" \
      ! \( -path './tests/*/*' ! -name '*.*' "${but_here[@]}" \) \
      ! \( -path './tools/nullblk*' ! -name '*.*' \) \
      ! -path ./plugin/settings/models.c \
      -print |
    sort)
}

list_sources ()
{
  list_files "${bootstrapped[@]}" "${made[@]}"
}

# All *.sh and *.bash, and all that begins with #! and a shell.
list_shell_files ()
{
  local file first

  while read -r file; do
    first=
    IFS= read -rn 80 first <"$top/$file" || true
    [[ $file != *.@(sh|bash) && $first != '#!'*sh ]] || printf '%s\n' "$file"
  done < <(list_sources)
}

# A release brings what bootstrap makes, so that autotools are not needed.
is_release ()
{
  [ -e "$top/configure" ] && [ ! -e "$top/.git" ]
}

# What a lint of shell files begins with: they are "files", and are shown.
begin_with_shell_files ()
{
  cd "$top" || exit
  # shellcheck disable=SC2034 # the lint uses them
  mapfile -t files < <(list_shell_files)
  echo "${files[@]}"
}

# Make build/src what the sources are now, with a configure.
copy_sources ()
{
  local src=$build/src list=$build/sources

  if is_release; then
    list_files "${made[@]}"
  else
    list_sources
  fi >"$list.new"
  mkdir -p "$src"
  if [ -e "$list" ]; then
    comm -13 "$list.new" "$list" | (cd "$src" && xargs -r -d '\n' rm -f)
  fi
  (cd "$top" && xargs -d '\n' cp --parents --preserve=mode,timestamps \
    --target-directory="$src" <"$list.new")
  mv "$list.new" "$list"

  if ! is_release && [ ! "$build/bootstrapped" -nt "$src/configure.ac" ]; then
    quietly bootstrap "$src/bootstrap"
    touch "$build/bootstrapped"
  fi
}

# build_tree NAME [CONFIGURE-ARGUMENT...]
# Build what is not up to date in build/NAME.
build_tree ()
{
  local name=$1 dir=$build/$1

  shift
  if [ "$(cat "$dir/configured" 2>/dev/null)" != "$top $*" ]; then
    rm -rf "$dir"
    mkdir "$dir"
    quietly "$name-configure" env -C "$dir" ../src/configure "$@"
    printf '%s\n' "$top $*" >"$dir/configured"
  fi
  quietly "$name-make" make -C "$dir" -j"$(nproc)"
}
