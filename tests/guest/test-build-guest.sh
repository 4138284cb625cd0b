#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The image that guest tests boot is made from the kernel's packages, as each
# suite of Debian has them.  Here apt-cache and apt-get are scripts of this
# test, and the packages have modules that are one line of text.  A kernel is
# fetched once, and not once a test; if that fails, not every test tries it
# again.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires dpkg-deb xz zstd

version=9.8.7-cloud
mkdir "$tmp/bin" "$tmp/debs"
export PATH=$tmp/bin:$PATH archive=$tmp/debs
: >"$archive/calls"

cat >"$tmp/bin/apt-cache" <<'END'
#!/bin/bash
echo linux-image-cloud-amd64
cd "$archive"
for f in *.deb; do
  [ ! -e "$f" ] || printf '%s\n  Depends: linux-base\n' "${f%.deb}"
done
echo linux-base
END
cat >"$tmp/bin/apt-get" <<'END'
#!/bin/bash
printf '%s\n' "$*" >>"$archive/calls"
case $* in
  *update) ;;
  *" download "*)
    shift $(($# - $(ls "$archive"/*.deb | wc -l)))
    for name; do
      cp "$archive/$name.deb" . || exit
    done
    ;;
esac
END
chmod +x "$tmp/bin/apt-cache" "$tmp/bin/apt-get"

# package NAME FILE...: make a package of these files, with a line in each.
package ()
{
  local root=$tmp/package f

  mkdir -p "$root/DEBIAN"
  printf '%s\n' "Package: $1" 'Version: 1' 'Architecture: all' \
    'Maintainer: nobody' 'Description: none' >"$root/DEBIAN/control"
  for f in "${@:2}"; do
    mkdir -p "$root/${f%/*}"
    case $f in
      *.xz) xz <<<"$f" >"$root/$f" ;;
      *.zst) zstd -q <<<"$f" >"$root/$f" ;;
      *.builtin) printf '%s\n' "${built_in[@]}" >"$root/$f" ;;
      *) echo "$f" >"$root/$f" ;;
    esac
  done
  dpkg-deb --build "$root" "$archive/$1.deb" >"$tmp/out"
  rm -rf "$root"
}

# module_files DIRECTORY EXTENSION: set $files to all modules but $not_there.
module_files ()
{
  local m

  files=()
  for m in nbd null_blk brd ext4 crc32c_generic xfs virtio_pci virtio_net \
           virtio_blk; do
    [[ " $not_there " == *" $m "* ]] || files+=("$1/kernel/any/$m.ko$2")
  done
}

# build [STATUS]: run build-guest.sh, with its output in $tmp/out.
build ()
{
  local status=0

  bash "${0%/*}/build-guest.sh" "$tmp/image" >"$tmp/out" 2>&1 || status=$?
  [ "$status" = 0 ] || [ "$status" = "${1-0}" ] || {
    [ "$status" != 77 ] || skip "$(tail -n 1 "$tmp/out")"
    fail "build-guest.sh: $status: $(cat "$tmp/out")"
  }
  [ "$status" = "${1-0}" ] || fail "it should not work: $(cat "$tmp/out")"
}

calls_are ()
{
  [ "$(wc -l <"$archive/calls")" = "$1" ] ||
    fail "$1 calls of apt-get, not: $(cat "$archive/calls")"
}

# check_image KERNEL: see that the image has this kernel and all modules.
check_image ()
{
  [ "$(cat "$tmp/image/kernel")" = "$1" ] || fail "the kernel is not $1"
  # Zeroes follow the archive.
  { zstd -dqc "$tmp/image/base" 2>/dev/null || true; } |
    cpio -it --quiet >"$tmp/list"
  module_files "lib/modules/$version" ''
  for f in "${files[@]}"; do
    grep -qE "^(usr/)?$f$" "$tmp/list" || fail "no $f: $(grep ko "$tmp/list")"
  done
}

# Nothing can be fetched: one run of make tries once, for all its tests.
export NULLBLK_MAKE=$$
build 77
calls_are 1
build 77
calls_are 1
grep -q 'tried for an earlier test' "$tmp/out" || fail "$(cat "$tmp/out")"
export NULLBLK_MAKE=1
build 77
calls_are 2
export NULLBLK_MAKE=$$

# One package, as in Debian 12 and 13: modules in /lib, or /usr/lib.
not_there='' built_in=()
for suite in 12 13; do
  rm -rf "$tmp/image"
  : >"$archive/calls"
  d=lib/modules/$version compressed=''
  [ $suite = 12 ] || d=usr/$d compressed=.xz
  module_files "$d" "$compressed"
  package "linux-image-$version" "boot/vmlinuz-$version" \
    "$d/modules.builtin" "$d/modules.order" "${files[@]}"
  build
  check_image "boot/vmlinuz-$version"
  build
  calls_are 1
done

# Several packages, as in sid; some modules are built in, and one does not
# exist.
rm -rf "$tmp/image"
: >"$archive/calls"
d=usr/lib/modules/$version
not_there='crc32c_generic ext4 virtio_pci'
built_in=(kernel/fs/ext4/ext4.ko kernel/drivers/virtio/virtio_pci.ko)
module_files "$d" .zst
package "linux-image-$version" usr/share/doc/none
package "linux-base-$version" "$d/modules.builtin" "$d/modules.order"
package "linux-binary-$version" "$d/vmlinuz"
package "linux-modules-$version" "${files[@]}"
build
check_image "$d/vmlinuz"
calls_are 1

# A kernel without nbd is refused.
rm -rf "$tmp/image"
not_there='crc32c_generic ext4 virtio_pci nbd'
module_files "$d" .zst
package "linux-modules-$version" "${files[@]}"
build 1
grep -q 'has no module nbd$' "$tmp/out" || fail "$(cat "$tmp/out")"
