# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What every network test begins with: hosts.  A host is a network namespace of
# the test's own.  There are $server_host and $client_host, and new_host makes
# more; each is joined to the server's by a veth pair, with an IPv4 and an IPv6
# subnet.  The server listens on all its addresses and on no other host's.
#
#     server_host                      client_host
#     to-1  10.77.1.1  fd77:1::1 ----- eth0  10.77.1.2  fd77:1::2
#     to-2  10.77.2.1  fd77:2::1 ----- eth0  of the next host, and so on
#
# The test runs in a mount namespace of its own, so that its network namespaces
# are gone with its last process even if it is killed, and nothing is mounted
# in the machine's.

if [ -z "${NULLBLK_HOSTS-}" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "skipped: only root may make network namespaces"
    exit 77
  fi
  if ! unshare --mount true 2>/dev/null; then
    echo "skipped: there are no mount namespaces"
    exit 77
  fi
  export NULLBLK_HOSTS=yes
  exec unshare --mount --propagation private bash "$0" "$@"
fi

# shellcheck source=../server/functions.sh
source "${BASH_SOURCE[0]%/*}/../server/functions.sh"
requires ip ss sysctl nbdinfo nbdcopy cmp

# Nobody else should see these names; if somebody does, they say whose they are.
prefix=nullblk-$$
server_host=$prefix-server
client_host=$prefix-client
hosts=()

mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns 2>"$tmp/err" ||
  skip "mount is refused: $(cat "$tmp/err")"

# new_host NAME NUMBER: join it to the server's as subnet NUMBER.
new_host ()
{
  local name=$1 number=$2 dev

  ip netns add "$name"
  hosts+=("$name")
  ip -n "$name" link set lo up
  ((number > 0)) || return 0

  dev=to-$number
  ip -n "$server_host" link add "$dev" type veth peer name eth0 netns "$name"
  add_addresses "$server_host" "$dev" "$number" 1
  add_addresses "$name" eth0 "$number" 2
}

# keep_ipv6 HOST INTERFACE: let the interface keep its address when it goes
# down.
keep_ipv6 ()
{
  ip netns exec "$1" sysctl -qw "net.ipv6.conf.$2.keep_addr_on_down=1"
}

# Some kernels are booted without IPv6.
has_ipv6 ()
{
  ip netns exec "$server_host" test -e /proc/sys/net/ipv6
}

requires_ipv6 ()
{
  has_ipv6 || skip "there is no IPv6"
}

# add_addresses HOST INTERFACE SUBNET NUMBER.  nodad: usable at once.
add_addresses ()
{
  ip -n "$1" addr add "10.77.$3.$4/24" dev "$2"
  if has_ipv6; then
    keep_ipv6 "$1" "$2"
    ip -n "$1" addr add "fd77:$3::$4/64" dev "$2" nodad
  fi
  ip -n "$1" link set "$2" up
}

# Clients in the background, to be ended with the test.
clients=()

end_clients ()
{
  local pid

  for pid in "${clients[@]}"; do
    kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
  done
}

remove_hosts ()
{
  local name

  for name in "${hosts[@]}"; do
    ip netns del "$name"
  done
}

# The server ends after its clients and before the hosts are removed, with the
# cable in place: nbdkit waits until it knows that its clients are gone.
end_all ()
{
  end_clients
  if [ -n "$server_pid" ] && ! process_ended "$server_pid"; then
    restore 1
    end_process "$server_pid"
    server_pid=
  fi
  remove_hosts
}

ip netns add "$server_host" 2>"$tmp/err" ||
  skip "ip netns add is refused: $(cat "$tmp/err")"
hosts+=("$server_host")
at_exit+=(end_all)
ip -n "$server_host" link set lo up
! has_ipv6 || keep_ipv6 "$server_host" lo 2>"$tmp/err" ||
  skip "sysctl is refused: $(cat "$tmp/err")"
new_host "$client_host" 1

# Put before a command, these run it on a host.
on_server=(ip netns exec "$server_host")
on_client=(ip netns exec "$client_host")

# Where client_host finds the server.
# shellcheck disable=SC2034 # for tests
ipv4=10.77.1.1
# shellcheck disable=SC2034
ipv6='[fd77:1::1]'

#----------------------------------------------------------------------

# serve [NBDKIT-OPTION | KEY=VALUE]...: start the server on its host, with what
# it says in $tmp/log.
serve ()
{
  rm -f "$tmp/pid" "$tmp/log"
  "${on_server[@]}" "$NBDKIT" -f -P "$tmp/pid" "$PLUGIN" "$@" \
    2>>"$tmp/log" &
  server_pid=$!
  wait_until 60 server_listens_or_ended || fail "the server does not listen"
  [ -s "$tmp/pid" ] || fail "the server ended: $(cat "$tmp/log")"
  [ "$(readlink "/proc/$server_pid/ns/net")" != \
    "$(readlink /proc/self/ns/net)" ] ||
    fail "the server listens on this machine"
}

# received: how many bytes the server has read since it was started.  All but
# its start comes from clients.
received ()
{
  awk '$1 == "rchar:" { print $2 }' "/proc/$server_pid/io"
}

# received_more_than COUNT
received_more_than ()
{
  (($(received) > $1))
}

# sockets HOST [SS-OPTION]...: TCP connections to or from the server's port.
sockets ()
{
  ip netns exec "$1" ss -Htn "${@:2}" state established \
    '( sport = :10809 or dport = :10809 )'
}

# cut_off NUMBER: pull the server's end of the cable of subnet NUMBER.
cut_off ()
{
  ip -n "$server_host" link set "to-$1" down
}

# restore NUMBER: put it back.
restore ()
{
  ip -n "$server_host" link set "to-$1" up 2>/dev/null
}

# copy FROM TO: by client_host.
copy ()
{
  "${on_client[@]}" nbdcopy "$1" "$2" 2>"$tmp/err" ||
    fail "nbdcopy $*: $(cat "$tmp/err")"
}

# same FILE FILE
same ()
{
  cmp "$1" "$2" || fail "what came back is not what was sent"
}

# copy_both_ways URI: random bytes through it, and back.
copy_both_ways ()
{
  local size=$((16 << 20))

  random_file "$tmp/sent" "$(new_seed)" "$size"
  copy "$tmp/sent" "$1"
  copy "$1" "$tmp/back"
  truncate -s "$size" "$tmp/back"
  same "$tmp/sent" "$tmp/back"
  rm "$tmp/sent" "$tmp/back"
}

# refused client|server WHY COMMAND...: COMMAND must fail, and either it or the
# server's log give a reason that the extended regular expression WHY matches.
refused ()
{
  local side=$1 why=$2 file

  shift 2
  : >"$tmp/log"
  ! "$@" >"$tmp/out" 2>&1 || fail "this should be refused: $*"
  file=$tmp/out
  [ "$side" = client ] || file=$tmp/log
  wait_until 10 grep -Eq -- "$why" "$file" ||
    fail "$*: refused, but not for /$why/: $(cat "$tmp/out" "$tmp/log")"
}
