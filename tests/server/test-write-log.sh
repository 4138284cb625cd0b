#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# write-log, nullblkctl mark and nullblkctl replay: there are random changes by
# a client, with a mark after each, and a replay up to each mark, into a file
# and into another server, has what the device had then.  Also what is refused,
# a log that cannot be written any more, and who else opens a server's log.

# shellcheck source=ctl.sh source-path=SCRIPTDIR
source "${0%/*}/ctl.sh"
requires jq qemu-io nbdcopy cmp

steps=25
size=2M
RANDOM=$(($(new_seed) % 32768))

# A new log is its user's own, whatever the umask is; one that is there keeps its
# mode.
(umask 0; : >"$tmp/trims")
start_server 1M "write-log=$tmp/trims"
stop_server
[ "$(stat -c %a "$tmp/trims")" = 666 ] || fail "$(stat "$tmp/trims")"
start_server $size memory-backed=true "write-log=$tmp/log"
[ "$(stat -c %a "$tmp/log")" = 600 ] || fail "$(stat "$tmp/log")"

# change: make a change of a random kind.
change ()
{
  local from=$((RANDOM % 256 * 4)) count=$((RANDOM % 64 * 4 + 4))

  case $((RANDOM % 6)) in
    0 | 1) io "write -P $((RANDOM % 255 + 1)) ${from}K ${count}K" ;;
    2) io "write -f -P $((RANDOM % 255 + 1)) ${from}K 4K" ;;
    3) io "write -z ${from}K ${count}K" ;;
    4) io "discard ${from}K ${count}K" ;;
    5) io flush ;;
  esac
}

for ((i = 1; i <= steps; i++)); do
  change
  says 0 '' mark "$sock" "step $i"
  nbdcopy "$uri" "$tmp/then-$i"
done
stats=$("$ctl" stats --json "$sock")
jq -e '.write_log | .error == null and .entries >= 50 and .bytes > 512' \
  <<<"$stats" >"$tmp/jq" || fail "$stats"

says 2 'nullblkctl: mark: a mark is one line' mark "$sock" $'a\nb'
says 1 '*mark: allowed is a text' mark "$sock" ''
stop_server

# Replay up to each mark, into a file that is not there, and into one that has
# the content at the mark before.
for ((i = 1; i <= steps; i++)); do
  rm -f "$tmp/file"
  prints '[0-9]+ entries' replay --to "step $i" "$tmp/file" "$tmp/log"
  truncate -s $size "$tmp/file"
  cmp "$tmp/then-$i" "$tmp/file"
done
# Replay the whole log, into the last file.
says 0 '' replay "$tmp/file" "$tmp/log"
all=$(sed -n 's/ entries$//p' "$tmp/out")
cmp "$tmp/then-$steps" "$tmp/file"
prints '0 entries' replay --to 0 "$tmp/file" "$tmp/log"
prints "$all entries" replay --to "$all" "$tmp/file" "$tmp/log"

# Replay into a server, by its socket and by its URI.
start_server $size memory-backed=true
prints '[0-9]+ entries' replay --to "step 10" "$sock" "$tmp/log"
nbdcopy "$uri" "$tmp/copy"
cmp "$tmp/then-10" "$tmp/copy"
says 0 '' replay "$uri" "$tmp/log"
nbdcopy "$uri" "$tmp/copy"
cmp "$tmp/then-$steps" "$tmp/copy"
says 1 '*the device has no write log (write-log=FILE)' mark "$sock" x
stop_server

if has_tls && command -v psktool >/dev/null; then
  psktool -u alice -p "$tmp/psk" >"$tmp/out" 2>&1
  start_server --tls=require --tls-psk="$tmp/psk" $size memory-backed=true
  tls="nbds+unix://alice@/?socket=$sock&tls-psk-file=$tmp/psk"
  says 0 '' replay "$tls" "$tmp/log"
  nbdcopy "$tls" "$tmp/copy"
  cmp "$tmp/then-$steps" "$tmp/copy"
  stop_server
else
  leave_out "there is no TLS"
fi

# What is refused changes nothing, and makes no file.
says 1 "nullblkctl: replay: --to $((all + 1)): the log has $all entries" \
  replay --to $((all + 1)) "$tmp/none" "$tmp/log"
says 1 'nullblkctl: replay: --to step 0: the log has no such mark' \
  replay --to 'step 0' "$tmp/none" "$tmp/log"
says 1 'nullblkctl: replay: *: it is not a write log: it does not begin with *' \
  replay "$tmp/none" "$tmp/then-1"
cp "$tmp/log" "$tmp/then"
ln -s log "$tmp/link"
for log in log link; do
  says 1 'nullblkctl: replay: *: it is the log: allowed is another file' \
    replay "$tmp/$log" "$tmp/log"
done
cmp "$tmp/log" "$tmp/then"
says 1 'nullblkctl: replay: */dev/null: it is a character device: *' \
  replay "$tmp/none" /dev/null
says 1 'nullblkctl: replay: *: it is a directory: a log is *' \
  replay "$tmp/none" "$tmp"
says 1 'nullblkctl: replay: *: No such file or directory' \
  replay "$tmp/none" "$tmp/no-log"
says 1 'nullblkctl: replay: *: *' \
  replay 'nbd+unix:///?socket=/none' "$tmp/log"
says 2 '*' replay "$tmp/none"
[ ! -e "$tmp/none" ] || fail "a file was made"

# What there is, as qemu-io has it: it writes through.
start_server $size memory-backed=true "write-log=$tmp/listed"
io 'write -P 1 0 64K' 'discard 0 32K' flush 'write -f -P 2 8K 4K' \
  'write -z 64K 4K'
says 0 '' mark "$sock" $'a mark\tof mine'
stop_server
says 0 '' replay --list "$tmp/listed"
diff "$tmp/out" - <<'END' || fail "that is not what was done"
  number entry     offset+length, or mark
       1 write+fua 0+65536
       2 trim      0+32768
       3 flush
       4 write+fua 8192+4096
       5 write+fua 65536+4096
       6 flush
       7 mark a mark?of mine
END
says 0 '' replay --to 3 --list "$tmp/listed"
[ "$(wc -l <"$tmp/out")" = 4 ] || fail "it lists more: $(cat "$tmp/out")"
says 1 'nullblkctl: replay: --to no: the log has no such mark' \
  replay --list --to no "$tmp/listed"
says 2 '*one argument too many*' replay --list "$tmp/file" "$tmp/listed"
says 1 'nullblkctl: replay: *: it is not a write log: *' \
  replay --list "$tmp/then-1"
says 2 'nullblkctl: --list: it is for replay; *' list --list "$sock"
# All flags that there are: those of the first entry stand at 512 + 16.
printf '\x13' | dd of="$tmp/listed" bs=1 seek=528 conv=notrunc status=none
prints ' +1 write\+flush\+fua\+metadata 0\+65536' replay --list "$tmp/listed"

# A FUA write in several steps has FUA in the last one.
start_server 8M memory-backed=true "write-log=$tmp/long"
io 'write -f -P 1 0 5M'
stop_server
says 0 '' replay --list "$tmp/long"
grep -Eq '^ +[0-9]+ write\+fua 4194304\+1048576$' "$tmp/out" ||
  fail "the log has: $(cat "$tmp/out")"

# A log with too little data in it.
head -c $(($(stat -c %s "$tmp/log") / 2)) "$tmp/log" >"$tmp/short"
says 1 'nullblkctl: replay: */short: it is cut off in entry * of *: it ends *' \
  replay "$tmp/file" "$tmp/short"

# A trim is not replayed as a write of zeroes.
start_server 4G memory-backed=true "write-log=$tmp/trims"
io 'write -P 1 0 4K' 'discard 0 1G' 'write -P 2 4K 4K'
stop_server
rm -f "$tmp/file"
prints '[0-9]+ entries' replay "$tmp/file" "$tmp/trims"
[ "$(stat -c %s "$tmp/file")" = 8192 ] || fail "$(stat "$tmp/file")"
cmp -n 4096 "$tmp/file" /dev/zero
start_server 4G memory-backed=true
io 'write -P 3 0 4K'
prints '[0-9]+ entries' replay "$sock" "$tmp/trims"
[ "$(map)" = "0 4096 hole
4096 4096 data
8192 4294959104 hole" ] || fail "the map is: $(map)"

# Zeroes that were written need no memory, and no space in a file, in which they
# reach to their end all the same.
little=(1G memory-backed=true memory-limit=4M)
start_server "${little[@]}" "write-log=$tmp/zeroes"
io 'write -P 1 0 1M' 'write -z 4K 256M' 'write -P 2 1M 64K'
nbdcopy "$uri" "$tmp/copy"
stop_server
start_server "${little[@]}"
prints '[0-9]+ entries' replay "$sock" "$tmp/zeroes"
nbdcopy "$uri" "$tmp/copy2"
cmp "$tmp/copy" "$tmp/copy2"
stop_server
rm -f "$tmp/file" "$tmp/copy2"
prints '[0-9]+ entries' replay "$tmp/file" "$tmp/zeroes"
[ "$(stat -c %s "$tmp/file")" = $((256 * 1024 * 1024 + 4096)) ] ||
  fail "$(stat "$tmp/file")"
(($(stat -c '%b * %B' "$tmp/file") < 4 * 1024 * 1024)) ||
  fail "zeroes are stored: $(stat "$tmp/file")"
cmp -n "$(stat -c %s "$tmp/file")" "$tmp/copy" "$tmp/file"
rm -f "$tmp/copy"

# A log that a server writes is its own: a second server with the same file is
# refused, and has changed nothing, even if the first one has forked.  A server
# that does not start leaves the log of the one before as it was.
refused_start ()
{
  local status=0

  "$NBDKIT" -f "${@:3}" -P "$tmp/pid2" "$PLUGIN" 64M "write-log=$1" \
    2>"$tmp/err" || status=$?
  [ "$status" = 1 ] || fail "status $status: $(cat "$tmp/err")"
  # shellcheck disable=SC2053 # a pattern
  [[ $(cat "$tmp/err") == $2 ]] || fail "not '$2': $(cat "$tmp/err")"
}

in_use='nbdkit: error: write-log=*/mine: it is in use: another device writes'
in_use+=' its log to it'
sock=$tmp/sock
rm -f "$tmp/pid" "$sock"
"$NBDKIT" -U "$sock" -P "$tmp/pid" "$PLUGIN" 64M memory-backed=true \
  "write-log=$tmp/mine"
wait_until 60 test -s "$tmp/pid" || fail "there is no pid file"
server_pid=$(cat "$tmp/pid")
io 'write -P 1 0 64K' flush
says 0 '' mark "$sock" one
cp "$tmp/mine" "$tmp/then"
refused_start "$tmp/mine" "$in_use" -U "$tmp/sock2"
refused_start "$tmp/mine" "$in_use" -U "$sock"
cmp "$tmp/mine" "$tmp/then"
io 'write -P 2 64K 64K'
says 0 '' mark "$sock" two
refused_start "$tmp/long" '*Address already in use' -U "$sock"
end_process "$server_pid" || fail "the server had to be killed"
server_pid=
rm -f "$tmp/file"
prints '[6-9] entries' replay "$tmp/file" "$tmp/mine"
qemu-io -f raw -c 'read -P 1 0 64K' -c 'read -P 2 64K 64K' "$tmp/file" \
  >"$tmp/out" || fail "$(cat "$tmp/out")"
says 0 '' replay --list "$tmp/long"
grep -Eq '^ +[0-9]+ write\+fua 4194304\+1048576$' "$tmp/out" ||
  fail "a server that did not start has emptied a log: $(cat "$tmp/out")"
start_server 64M "write-log=$tmp/mine"
stop_server
prints 0\ entries replay "$tmp/file" "$tmp/mine"
