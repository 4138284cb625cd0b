#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit PLUGIN --dump-plugin says what the plugin can do, in lines that a
# script can look for, and the thread model that the parameters choose.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
# dump ARGUMENT...
dump ()
{
  "$NBDKIT" "$PLUGIN" "$@" --dump-plugin >"$tmp/out" 2>"$tmp/err" ||
    fail "--dump-plugin $* failed: $(cat "$tmp/err")"
  [ ! -s "$tmp/err" ] || fail "--dump-plugin $*: $(cat "$tmp/err")"
}

has ()
{
  local line

  for line; do
    grep -Eqx "$line" "$tmp/out" || fail "no $line: $(cat "$tmp/out")"
  done
}

# --dump-plugin does not check parameters together: size is below the block
# size.
for args in '' 'size=1G memory-backed=true' 'size=512 block-size=4K'; do
  # shellcheck disable=SC2086 # none or two
  dump $args
  has name=nullblk magic_config_key=size max_thread_model=parallel \
    thread_model=serialize_requests nullblk_null=yes \
    nullblk_memory_backed=yes nullblk_memory_limit=yes \
    'nullblk_hugepages=(yes|no)' nullblk_discard=yes nullblk_devices=yes \
    nullblk_parallel=yes nullblk_model=yes nullblk_badblocks=yes \
    nullblk_fault=yes \
    nullblk_cache=yes nullblk_power=yes nullblk_write_log=yes \
    'nullblk_disconnect=(yes|no)' 'nullblk_ublk=(yes|no)'
  # All lines of the plugin are of this form.
  if grep ^nullblk_ "$tmp/out" | grep -Evx 'nullblk_[a-z0-9_]+=(yes|no)'; then
    fail "that line is not nullblk_FEATURE=yes or no"
  fi
done

dump parallel=on
has thread_model=parallel
dump parallel=off
has thread_model=serialize_requests
dump parallel=auto
has thread_model=serialize_requests
for args in latency=1us flush-latency=uniform:0-1ms iops=5 profile=hdd \
            irqmode=2 stall=every:1s,for:1ms fault=hang fault=delay=1ms; do
  dump "$args"
  has thread_model=parallel
  dump "$args" parallel=off
  has thread_model=serialize_requests
done
dump latency=0 lanes=1 irqmode=1 fault=error=EIO badblocks=+1-2
has thread_model=serialize_requests

if "$NBDKIT" "$PLUGIN" foo=1 --dump-plugin >/dev/null 2>&1; then
  fail "foo=1 is taken"
fi
