# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What the tests of plain TCP share.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires fio
fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"

# test_plain URI: everything that client_host does with the server
test_plain ()
{
  local sockets name size

  serve 256M memory-backed=true devices=2

  # Not a socket of the server's is here.
  sockets=$(ss -Hlntp)
  [[ $sockets != *"pid=$server_pid,"* ]] || fail "it listens here: $sockets"

  "${on_client[@]}" nbdinfo --list --json "$1" >"$tmp/list"
  for name in nullb0 nullb1; do
    grep -q "\"export-name\": \"$name\"" "$tmp/list" ||
      fail "nbdinfo sees no $name: $(cat "$tmp/list")"
  done
  size=$("${on_client[@]}" nbdinfo --size "$1")
  [ "$size" = $((256 << 20)) ] || fail "the size is $size"

  copy_both_ways "$1/nullb1"

  "${on_client[@]}" fio --name=net --ioengine=nbd --uri="$1" \
    --randseed="$(new_seed)" --thread --numjobs=4 --size=32M \
    --offset_increment=64M --iodepth=16 --rw=randwrite --bsrange=4k-64k \
    --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 \
    --group_reporting >"$tmp/out" 2>&1 || fail "fio: $(cat "$tmp/out")"
  if grep -Eq 'verify:|err= *[1-9]' "$tmp/out"; then
    fail "fio: $(cat "$tmp/out")"
  fi
  stop_server
}
