#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A wrong command line gives one line that names the key, the value and what is
# allowed; nbdkit fails, and has never listened.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
# try ARGUMENT...: run nbdkit, and set status, $tmp/err and $listened.
try ()
{
  rm -f "$tmp/sock" "$tmp/pid" "$tmp/ran"
  status=0
  # nbdkit 1.32 leaves the directory of -U - behind when it fails.
  "$NBDKIT" -U "$tmp/sock" -P "$tmp/pid" "$PLUGIN" "$@" \
    --run "touch '$tmp/ran'" 2>"$tmp/err" || status=$?
  listened=no
  if [ -e "$tmp/pid" ] || [ -e "$tmp/ran" ]; then
    listened=yes
  fi
}

# refused "KEY=VALUE: WHY" ARGUMENT...: nbdkit has to fail with a line that
# begins so.
refused ()
{
  local line="nbdkit: error: $1"

  shift
  try "$@"
  [ "$status" = 1 ] || fail "$*: exit status $status"
  [ "$listened" = no ] || fail "$*: the server listened"
  [ "$(wc -l <"$tmp/err")" = 1 ] || fail "$*: not one line: $(cat "$tmp/err")"
  case $(cat "$tmp/err") in
    "$line"*) ;;
    *) fail "$*: not '$line': $(cat "$tmp/err")" ;;
  esac
}

# With right parameters nbdkit listens, which try notices.
try size=1M block-size=4K
[ "$status-$listened" = 0-yes ] || fail "this is right: $(cat "$tmp/err")"

# A key that does not exist, is given twice, or is of the kernel's null_blk.
refused "foo=1: unknown parameter; 'nbdkit nullblk --help' lists them" foo=1
refused 'SIZE=1M: unknown parameter' SIZE=1M
refused 'size=2M: size is given twice' size=1M size=2M
refused 'size=2M: size is given twice' 1M 2M
refused 'size=1M: size is given twice' gb=1 1M
refused 'bs=512: block-size is given twice' block-size=512 bs=512
refused 'block_size=512: block-size is given twice' bs=512 block_size=512
refused "poll_queues=4: this null_blk parameter is the kernel's: " \
  poll_queues=4
refused "home-node=0: this null_blk parameter is the kernel's: " home-node=0

# Other failures have the right message.
refused "fault=op=write: a rule needs an action: " fault=op=write
refused "fault=hang for=soon: 'for=soon': allowed after for= is " \
  'fault=hang for=soon'
refused "fault: 'name=a': there is such a rule" fault='name=a hang' \
  fault='name=a error=EIO'
refused 'fault=device=nullb1 hang: there are nullb0 to nullb0' \
  'fault=device=nullb1 hang'
# A plugin that was built with nbdkit 1.34 or later can do this.
if grep -q 'HAVE_DECL_NBDKIT_DISCONNECT 1' "$top_builddir/config.h"; then
  try fault=disconnect
  [ "$status-$listened" = 0-yes ] || fail "disconnect: $(cat "$tmp/err")"
else
  refused 'fault=disconnect: this plugin cannot disconnect clients: it was ' \
    fault=disconnect
fi
refused "badblocks=3-5: '3-5': allowed is +FIRST-LAST" badblocks=3-5
refused 'badblocks=none: badblocks is given twice' badblocks=+1-1 \
  badblocks=none

# If nbdkit cannot, the server says so at its start.
if "$NBDKIT" "$PLUGIN" --dump-plugin |
   grep -x nullblk_disconnect=no >/dev/null; then
  for arg in power-off-reply=disconnect fault=disconnect; do
    refused "$arg: this plugin cannot disconnect clients: it was built with nbdkit before 1.34" \
      "$arg"
  done
fi

# Sizes.
for size in '' 0 511 -1 +1M 1.5G 1GB 1MiB 0x 0xK 0x100 K ' 1M' '1M ' 8E \
  9223372036854775808 18446744073709551616 99999999999999999999999 16E 17E \
  18014398509481985K foo; do
  refused "size=$size: allowed is a size from 512 to 9223372036854775807" \
    size="$size"
done
refused 'size=foo: allowed is a size' foo
refused 'size=512: allowed is at least the block-size, 4K' 512 block-size=4K
for gb in '' 0 1G -1 8589934592 18446744073709551615; do
  refused "gb=$gb: allowed is a whole number from 1 to 8589934591" gb="$gb"
done
for block in '' 0 1 256 513 1000 128K -512 x; do
  refused "block-size=$block: allowed is a power of two from 512 to 64K" \
    block-size="$block"
done
for block in '' 256 3K 64M x; do
  refused "physical-block-size=$block: allowed is a power of two from 512" \
    physical-block-size="$block"
done
refused 'physical-block-size=1K: allowed is at least the block-size, 4K' \
  physical-block-size=1K block-size=4K
for limit in '' 0 4095 -1 8E half; do
  refused "memory-limit=$limit: allowed is a size from 4K to " \
    memory-limit="$limit"
done
refused 'memory-limit=7E: allowed is a size from 4K to the ' \
  memory-backed=true memory-limit=7E
refused 'memory-limit=1M: allowed is a size from 2M to the ' \
  memory-backed=true memory-limit=1M hugepages=true

# Numbers and words.
for n in '' 0 1025 -1 1K 1.0 two 18446744073709551617; do
  refused "devices=$n: allowed is a whole number from 1 to 1024" devices="$n"
done
for key in rotational read-only memory-backed hugepages discard; do
  for value in '' 2 maybe truee ' true'; do
    refused "$key=$value: allowed is true or false" "$key=$value"
  done
done
for value in '' 2 maybe; do
  refused "parallel=$value: allowed is auto, off or on" parallel="$value"
done
