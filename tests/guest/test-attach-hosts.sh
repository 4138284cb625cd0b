#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# A name with the addresses of two servers, whose exports look the same: a
# device of nullblk-attach goes on with the server that it was made of, and with
# no other.

# shellcheck source=attach.sh source-path=SCRIPTDIR
source "${0%/*}/attach.sh"

if on_host; then
  boot_to_attach
  exit
fi

echo 'multi on' >/etc/host.conf
printf '127.0.0.2 pool\n127.0.0.3 pool\n' >/etc/hosts
uri=nbd://pool

# serve N: serve $tmp/diskN, whose first bytes say N, at the address 127.0.0.N.
serve ()
{
  rm -f "$tmp/pid"
  "$NBDKIT" -f -i "127.0.0.$1" -p 10809 -P "$tmp/pid" file "$tmp/disk$1" &
  pids[$1]=$!
  server_pid=$!
  wait_until 60 server_listens_or_ended || fail "server $1 does not listen"
  [ -s "$tmp/pid" ] || fail "server $1 ended instead of listening"
}

end_servers ()
{
  local pid

  for pid in "${pids[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
  done
}
at_exit+=(end_servers)

# leave N: kill server N.
leave ()
{
  kill -KILL "${pids[$1]}"
  wait "${pids[$1]}" || true
  unset "pids[$1]"
}

# is_of N: fail the test unless the device has the data of server N.
is_of ()
{
  local said

  said=$(dd if=/dev/nbd0 bs=4k count=1 iflag=direct status=none |
    tr -d '\0\n') || return 1
  [ "$said" = "$1" ] || fail "the device has the data of server $said"
}

cannot_be_read ()
{
  ! dd if=/dev/nbd0 bs=4k count=1 iflag=direct of=/dev/null 2>"$tmp/dd"
}

declare -A pids=()
for n in 2 3; do
  truncate -s 16M "$tmp/disk$n"
  echo "$n" | dd of="$tmp/disk$n" conv=notrunc status=none
  serve "$n"
done

made /dev/nbd0 --persist=3 -C 2 "$uri"
is_of 2 || fail "it cannot be read"
leave 2
cannot_be_read || is_of 2
serve 2
wait_until 60 is_of 2 || fail "it does not come back"
try "$attach" --detach nbd0

made /dev/nbd0 -C 2 "$uri"
leave 2
cannot_be_read || is_of 2
fails "$attach" "$uri"
grep -q 'has changed since then' "$tmp/fails" || fail "$(cat "$tmp/fails")"
serve 2
made /dev/nbd0 "$uri"
wait_until 60 is_of 2 || fail "it does not come back"
try "$attach" --detach nbd0

# The device of an export with zones, which --as=nbd has made, is found again
# without --as.
leave 3
rm -f "$tmp/pid"
"$NBDKIT" -f -i 127.0.0.3 -p 10809 -P "$tmp/pid" "$PLUGIN" 16M zoned=true \
  zone-size=1M control=any &
pids[3]=$!
server_pid=$!
wait_until 60 server_listens_or_ended || fail "the server does not listen"
made /dev/nbd0 --as=nbd nbd://127.0.0.3
made /dev/nbd0 nbd://127.0.0.3
try "$attach" --detach nbd0
[ -z "$(ls /run/nullblk)" ] || fail "left: $(ls /run/nullblk)"
