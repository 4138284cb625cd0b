#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The man page's table of what each of nbdkit's filters does to a device and to
# its control exports.  Each row whose filter is installed is run, and each
# filter that is installed has a row, there or in the table of those that the
# server does not start with.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires qemu-io nbdinfo

filters=$("$NBDKIT" --dump-config | sed -n 's/^filterdir=//p')
[ -d "$filters" ] || skip "nbdkit has no filters"
page=$top_srcdir/man/nbdkit-nullblk-plugin.pod

# rows HEADING: print the lines of the table below it, without its head.
rows ()
{
  awk -v heading="$1" '/^=head/ { ours = $0 == heading }
    ours && /^ [a-z]/ && ++n > 1' "$page"
}

# Files that the table's parameters mean.
cd "$tmp"
echo '0x0 +' >map
echo '0x0 0x400000 +' >>map

# outcome STATUS: print the table's word for it.
outcome ()
{
  if [ "$1" = 0 ]; then
    echo ok
  elif grep -Eq 'let it be opened|there is no such export' "$tmp/err"; then
    echo refused
  elif grep -q 'lets nobody write' "$tmp/err"; then
    echo read-only
  else
    echo fails
  fi
}

# run COMMAND [ARGUMENT]...: run nullblkctl, and set status.
run ()
{
  status=0
  "$ctl" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
  [ "$status" = 0 ] || echo "    $(cat "$tmp/err")" >&2
}

# shows PATTERN COMMAND...: does it succeed, and print that?
shows ()
{
  "$ctl" "${@:2}" >"$tmp/shown" && grep -Eq -- "$1" "$tmp/shown"
}

data ()
{
  if qemu-io -f raw -c 'write -P 1 0 64K' -c 'read -P 1 0 64K' "$uri" \
    >"$tmp/io" 2>&1 && ! grep -q failed "$tmp/io"; then
    echo ok
  elif ! nbdinfo --size "$uri" >"$tmp/io" 2>&1; then
    echo refused
  elif nbdinfo --is readonly "$uri"; then
    echo read-only
  else
    echo fails
  fi
}

config ()
{
  run set "$sock" seed=7
  if [ "$status" = 0 ]; then
    shows '^seed +yes +7$' get "$sock" || fail "$row: it is not set"
  fi
  outcome "$status"
}

stats ()
{
  run stats "$sock" --json
  outcome "$status"
}

zones ()
{
  run zones finish "$sock" 3
  if [ "$status" = 0 ]; then
    shows '^Zone 00003: .* fu, ' zones report "$sock" ||
      fail "$row: it is not finished"
  fi
  outcome "$status"
}

declare -A seen
wrong=
while read -r row; do
  # The filter and its parameters, and what is said of it.
  # shellcheck disable=SC2001 # blanks, two and more
  mapfile -t column < <(sed 's/   */\n/g' <<<"$row")
  read -r name parameters <<<"${column[0]}"
  seen[$name]=yes
  [ -e "$filters/nbdkit-$name-filter.so" ] || continue
  if [ "$name" = luks ] && is_before_1_42; then
    echo "luks is not run, as it would end the server"
    continue
  fi
  read -ra words <<<"$parameters"
  if ! "$NBDKIT" --filter="$name" "$PLUGIN" 1M "${words[@]}" -U - \
    --run true >"$tmp/out" 2>&1; then
    # In 1.48 ext2 opens the export when the server starts, for no client.
    is='does not start'
    if [ "$name" = ext2 ] && grep -q 'unable to open plugin' "$tmp/out"; then
      is='refused refused refused refused'
    fi
  else
    # 64 zones are a table of 4 KiB.
    start_server --filter="$name" 64M memory-backed=true zoned=true \
      zone-size=1M zone-nr-conv=1 "${words[@]}"
    is=$(data)
    # This filter ends the server when that client has gone, or a little later.
    if [ "$name" = exitlast ]; then
      wait_until 60 process_ended "$server_pid" ||
        fail "exitlast does not end the server"
    fi
    is+=" $(config) $(stats) $(zones)"
    stop_server
  fi
  echo "$name $parameters: $is"
  if [ "${column[*]:1:4}" != "$is" ]; then
    echo "the table has: ${column[*]:1:4}" >&2
    wrong+=" $name"
  fi
done < <(rows '=head2 What each filter does')
[ "${#seen[@]}" -gt 20 ] || fail "the table has ${#seen[@]} rows"
[ -z "$wrong" ] || fail "the table is wrong of:$wrong"

# Filters with which the server does not start have a table of their own.
rows '=head1 FILTERS' | grep -oE '^ [a-z0-9-]+(, [a-z0-9-]+)*,?' | tr -d ' ' |
  tr ',' '\n' >"$tmp/refused"
for file in "$filters"/nbdkit-*-filter.so; do
  name=${file##*/nbdkit-} name=${name%-filter.so}
  [ -n "${seen[$name]-}" ] || grep -qx "$name" "$tmp/refused" ||
    fail "$name is installed and not in the tables"
done
