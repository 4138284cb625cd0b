#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The man page's tables of clients on a zoned device: each row is a command and
# what comes of it, and is run as it stands there.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires nbdcopy qemu-img fio jq

page=$top_srcdir/man/nbdkit-nullblk-plugin.pod
PATH=$top_builddir/tools:$PATH

# rows HEADING: print the lines of the table below it, without its head.
rows ()
{
  awk -v heading="=head2 $1" '/^=head/ { ours = $0 == heading; table = 0 }
    ours && /^ [^ ]/ && ++n > 1' "$page"
}

# split ROW: set ${column[@]} to its columns, which two blanks or more divide.
split ()
{
  # shellcheck disable=SC2001 # see above
  mapfile -t column < <(sed 's/   */\n/g; s/^ //' <<<"$1")
}

# run COMMAND: run it on the device, and set status.
run ()
{
  local command=$1

  command=${command//FILE/$file}
  command=${command//URI/\'$uri\'}
  command=${command//SOCKET/$sock}
  status=0
  bash -c "$command" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
}

wrong=
# compare WHAT IS: the result has to be the table's.
compare ()
{
  echo "$1: $2"
  if [ "$2" != "$3" ]; then
    echo "the table has $3: $(head -c 1000 "$tmp/err")" >&2
    wrong+="
  $1"
  fi
}

# end_server: stop_server, after a client whose result is $is.  A client that
# fails hangs up while replies are due, and nbdkit before 1.42 may abort then,
# as NOTES in the man page says.
end_server ()
{
  local pid=$server_pid status=0

  if [ "$is" != fails ] || ! is_before_1_42; then
    stop_server
    return
  fi
  server_pid=
  end_process "$pid" || fail "the server had to be killed"
  wait "$pid" || status=$?
  [ "$status" = 0 ] || [ "$status" = $((128 + $(kill -l ABRT))) ] ||
    fail "the server ended with status $status"
}

#----------------------------------------------------------------------
# Clients, that fill the device with a file.

seed=$(new_seed)
random_file "$tmp/full" "$seed" $((64 << 20))
# A file with holes that cover zones, and holes that end within a zone.
truncate -s 64M "$tmp/holes"
for at in 0 9 10 11 40 63; do
  dd if="$tmp/full" of="$tmp/holes" bs=700K seek=$at skip=$at count=1 \
    conv=notrunc status=none
done

# copy FILE COMMAND [PARAMETER]...: run it, and print the result.
copy ()
{
  file=$tmp/$1
  start_server 64M memory-backed=true zoned=true zone-size=4M "${@:3}"
  run "$2"
  if [ "$status" != 0 ]; then
    is=fails
  elif [ "$2" = "${2#*FILE}" ]; then
    is=works
  else
    rm -f "$tmp/back"
    nbdcopy "$uri" "$tmp/back"
    is=works
    cmp "$file" "$tmp/back" >"$tmp/cmp" 2>&1 || is='loses data'
  fi
  end_server
}

n=0
while IFS= read -r row; do
  split "$row"
  n=$((n + 1))
  copy full "${column[0]}"
  compare "${column[0]}" "$is" "${column[1]}"
  [ "${column[2]}" != - ] || continue
  copy holes "${column[0]}"
  compare "${column[0]}, a file with holes" "$is" "${column[2]}"
done < <(rows 'Clients on zones')
[ "$n" -gt 5 ] || fail "the table of clients has $n rows"

# The same with parameters of the server, which may stand for words in what
# follows the table.
names=$(awk '/^=head/ { ours = $0 == "=head2 The first sector" }
  ours && /^ [A-Z_]+=/' "$page")
n=0
while IFS= read -r row; do
  [[ $row != *=\'* ]] || continue
  split "$row"
  n=$((n + 1))
  parameter=$(bash -c "$names
    printf %s ${column[0]}")
  copy full "${column[1]}" "$parameter"
  compare "$parameter, ${column[1]}" "$is" "${column[2]}"
  copy holes "${column[1]}" "$parameter"
  compare "$parameter, ${column[1]}, a file with holes" "$is" "${column[3]}"
done < <(rows 'The first sector')
[ "$n" -gt 1 ] || fail "the table of the first sector has $n rows"

#----------------------------------------------------------------------
# fio.  The command that all rows have stands before the table, and what they
# mean by names behind it.

# section: print the examples of the section on fio.
section ()
{
  awk '/^=head/ { ours = $0 == "=head2 fio on zones" }
    ours && (/^ / || /^$/) { sub (/^ /, ""); print }' "$page"
}
fio=$(section | awk '/^\$ fio/ { sub (/^\$ /, ""); more = 1 }
  more { print; more = /\\$/ }')
[[ $fio == fio* ]] || fail "there is no command of fio's"
names=$(section | grep -E '^[A-Z_]+=')

n=0
file=
while IFS= read -r row; do
  split "$row"
  n=$((n + 1))
  parameters=()
  [ "${column[0]}" = - ] || read -ra parameters <<<"${column[0]}"
  options=${column[1]}
  [ "$options" != - ] || options=
  start_server 64M memory-backed=true zoned=true zone-size=4M "${parameters[@]}"
  run "$names
    $fio $options --output-format=json --output='$tmp/json'"
  # fio's messages come before the JSON.
  moved=$(sed -n '/^{/,$p' "$tmp/json" |
    jq '[.jobs[] | .read.io_bytes + .write.io_bytes] | add') || moved=0
  if [ "$status" != 0 ]; then
    is=fails
  elif [ "$moved" = 0 ]; then
    is=nothing
  else
    is=works
  fi
  end_server
  compare "${column[0]}, fio $options" "$is" "${column[2]}"
done < <(section | awk '/^$/ { table = 0 }
  table { print }
  /^server/ { table = 1 }')
[ "$n" -gt 5 ] || fail "the table of fio has $n rows"

[ -z "$wrong" ] || fail "the tables are wrong of:$wrong"
