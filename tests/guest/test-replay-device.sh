#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A write log on a block device, which is where the kernel's dm-log-writes puts
# one, is listed and replayed as from a file; a device without one is refused.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"

if on_host; then
  [ -x "$top_builddir/tools/nullblkctl" ] || skip "nullblkctl is not built"
  boot_guest
  exit
fi

log=/dev/ram0
modprobe brd rd_nr=1 rd_size=98304

fails /nullblkctl replay --list $log
grep -q "$log" "$tmp/fails" || fail "it does not say where: $(cat "$tmp/fails")"
grep -q 'magic' "$tmp/fails" || fail "it does not say why: $(cat "$tmp/fails")"

# A device with a filesystem; the log of it as a file, and in blocks.
start_server 32M memory-backed=true "write-log=$tmp/log"
# shellcheck disable=SC2119
attach
make_filesystem ext4 $nbd
fill_filesystem ext4 $nbd
dd if=$nbd of="$tmp/wanted" bs=64k status=none
detach
stop_server
dd if="$tmp/log" of=$log bs=64k conv=fsync status=none

/nullblkctl replay --list "$tmp/log" >"$tmp/of-file"
/nullblkctl replay --list $log >"$tmp/of-device"
[ "$(wc -l <"$tmp/of-device")" -gt 10 ] || fail "the list is short"
cmp "$tmp/of-file" "$tmp/of-device" || fail "the lists differ"

truncate -s 32M "$tmp/image"
/nullblkctl replay "$tmp/image" $log
cmp "$tmp/image" "$tmp/wanted" || fail "the replay differs"
