#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The cable is pulled in the middle of a transfer and put back: the transfer
# goes on by itself, and every byte is right.  In both directions, over IPv4 and
# IPv6.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires_filter rate

size=$((32 << 20))
some=$((4 << 20))

# passed: how many bytes the cable has carried, both ways
passed ()
{
  awk '$1 == "to-1:" { print $2 + $10 }' "/proc/$server_pid/net/dev"
}

# copied: how many of them since the copy was begun
copied ()
{
  echo $(($(passed) - before))
}

copied_some ()
{
  (($(copied) > some))
}

# lost: does TCP on either side send for the second time or later what nobody
# acknowledges?
lost ()
{
  local host

  for host in "$server_host" "$client_host"; do
    ! sockets "$host" -i | grep 'backoff:' >/dev/null || return 0
  done
  return 1
}

# still: does nothing arrive any more?
still ()
{
  local n

  n=$(copied)
  sleep 0.1
  [ "$(copied)" = "$n" ]
}

# rate BITS-A-SECOND
rate ()
{
  echo "$1" >"$tmp/new-rate"
  mv "$tmp/new-rate" "$tmp/rate"
}

# copy_with_cut FROM TO.  By the rate file the copy is too slow to be over
# before the cut, and as fast as it can be from then on.
copy_with_cut ()
{
  local pid before status=0

  before=$(passed)
  rate 16M
  "${on_client[@]}" nbdcopy "$1" "$2" 2>"$tmp/err" &
  pid=$!
  clients+=("$pid")
  wait_until 60 copied_some || fail "no transfer: $(cat "$tmp/err")"
  cut_off 1
  rate 1000G

  wait_until 60 lost || fail "the cable is out, and nothing is lost"
  wait_until 60 still || fail "the cable is out, and bytes still pass"
  (($(copied) < size)) || fail "the transfer was over before the cut"
  ! process_ended "$pid" || fail "nbdcopy gave up: $(cat "$tmp/err")"

  restore 1
  wait "$pid" || status=$?
  clients=()
  [ "$status" = 0 ] || fail "nbdcopy: $(cat "$tmp/err")"
  (($(copied) >= size)) || fail "only $(copied) bytes passed"
}

rate 1000G
serve --filter=rate 32M memory-backed=true rate-file="$tmp/rate"
for uri in "nbd://$ipv4" "nbd://$ipv6"; do
  [ "$uri" = "nbd://$ipv4" ] || requires_ipv6
  random_file "$tmp/sent" "$(new_seed)" "$size"
  copy_with_cut "$tmp/sent" "$uri"
  copy "$uri" "$tmp/back"
  same "$tmp/sent" "$tmp/back"
  rm "$tmp/back"
  copy_with_cut "$uri" "$tmp/back"
  same "$tmp/sent" "$tmp/back"
done
stop_server
