#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk-serve passes all arguments of nbdkit and of the plugin on as they are,
# and adds the plugin and the right number of threads.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"

# A fake nbdkit that prints its arguments, one a line.
cat >"$tmp/nbdkit" <<END
#!/bin/sh
echo "preload=\$LD_PRELOAD" >"$tmp/preload"
echo "depth=\$NULLBLK_BATCH_DEPTH" >"$tmp/depth"
echo "plain=\$NULLBLK_BATCH_PLAIN" >"$tmp/is_plain"
printf '%s\n' "\$@"
END
chmod +x "$tmp/nbdkit"
export NULLBLK_NBDKIT=$tmp/nbdkit

# gives EXPECTED... '=>' ARGUMENT...: nbdkit has to get these; P stands for the
# plugin.
gives ()
{
  local expected=()

  while [ "$1" != '=>' ]; do
    expected+=("${1/#P/$PLUGIN}")
    shift
  done
  shift
  diff <(printf '%s\n' "${expected[@]}") <("$serve" "$@" 2>&1) ||
    fail "wrong for: $*"
}

PLUGIN=$top_builddir/plugin/nullblk.so # in a build tree, that tree's
gives -t 64 P '=>'
gives -t 64 P 8G '=>' 8G
gives -t 64 P -fU sock -P pid 8G memory-backed=1 '=>' \
  -fU sock -P pid 8G memory-backed=1
gives -t 64 P --unix=sock --filter log --run 'a  b' -v size=1G '=>' \
  --unix=sock --filter log --run 'a  b' -v size=1G
gives -t 64 P --new-option value 8G --new=1 '=>' --new-option value 8G --new=1
gives -t 64 P 8G -r '=>' 8G -r
gives -t 64 P 8G -f -- -r '=>' 8G -f -- -r
gives -t 64 P '' 'a b' $'c\nd' '=>' '' 'a b' $'c\nd'

# Threads: as many as --depth or the user says.
gives -t 7 P latency=1ms '=>' --depth 7 latency=1ms
gives -t 7 P -f latency=1ms -U x '=>' -f latency=1ms --depth=7 -U x
gives -t 7 P 8G '=>' --depth 7 8G
gives P -t 9 parallel=on '=>' -t 9 --depth 7 parallel=on
gives P --threads=9 parallel=on '=>' --threads=9 parallel=on
gives P -ft9 '=>' -ft9
gives -t 64 P -- parallel=on '=>' -- parallel=on
# A value of another option that looks like -t.
gives -t 64 P --run -t8 -U --depth '=>' --run -t8 -U --depth

# An environment in which options must come first.
export POSIXLY_CORRECT=1
gives -t 64 -f -U x P 8G '=>' -f -U x 8G
gives -t 64 -f P '=>' -f
unset POSIXLY_CORRECT

# What is preloaded.
# preloads LIST: LD_PRELOAD has to be this if another library is preloaded, too.
preloads ()
{
  "$serve" >"$tmp/out"
  grep -qxF "preload=$1" "$tmp/preload" || fail "$(cat "$tmp/preload"), not $1"
}
preloads "$library"
LD_PRELOAD=$library:libm.so.6 preloads "$library:$library:libm.so.6"
NULLBLK_BATCH=0 preloads ""
NULLBLK_BATCH=0 LD_PRELOAD=libm.so.6 preloads libm.so.6
NULLBLK_BATCH=1 preloads "$library"
cp "$library" "$tmp/x.so"
NULLBLK_BATCH=$tmp/x.so preloads "$tmp/x.so"

# How many requests may wait without a thread; 0 if the library sees no
# requests.  defers EXPECTED ARGUMENT...
defers ()
{
  "$serve" "${@:2}" >"$tmp/out"
  grep -qx "depth=$1" "$tmp/depth" || fail "$(cat "$tmp/depth") for: ${*:2}"
}
defers 64
defers 7 --depth 7 latency=1ms
defers 9 -t 9
defers 9 -ft9 --depth 7
defers 9 --threads=9
defers 64 -t 0
defers 1024 -t 5000
defers 64 --tls=off
defers 0 --tls=on
defers 0 --tls require --depth 7
# Without --tls a client may use it where nbdkit has certificates or keys.
defers 0 --tls-psk keys
defers 0 --tls-certificates=.
defers 64 --tls=off --tls-psk keys
for directory in .pki .config/pki; do
  mkdir -p "$tmp/$directory/nbdkit"
  defers 64
  touch "$tmp/$directory/nbdkit/ca-cert.pem"
  defers 0
  defers 64 --tls=off
  rm "$tmp/$directory/nbdkit/ca-cert.pem"
done
for single in -s --single --stdin; do
  defers 0 "$single"
done
NULLBLK_BATCH=0 defers ''

# Requests may be answered without nbdkit, unless it prints them.
# plain EXPECTED ARGUMENT...
plain ()
{
  "$serve" "${@:2}" >"$tmp/out"
  grep -qx "plain=$1" "$tmp/is_plain" ||
    fail "$(cat "$tmp/is_plain") for: ${*:2}"
}
plain 1
plain 1 8G -f -U -v
plain 0 -v 8G
plain 0 8G -fv
plain 0 --verbose
NULLBLK_BATCH_PLAIN=0 plain 0
NULLBLK_BATCH_PLAIN=1 plain 1
NULLBLK_BATCH_PLAIN=1 plain 0 -v
NULLBLK_BATCH=0 plain ''

# All options of this nbdkit and of newer ones: if an option has a value, that
# is the next argument, even if it looks like an option of nullblk-serve.
wants_value ()
{
  "$NBDKIT" "$1" </dev/null >"$tmp/out" 2>&1 || true
  grep -q 'requires an argument' "$tmp/out"
}
newer=(--name --time-out --timeout --tls-priority)
values=0
for option in $("$NBDKIT" --long-options) $("$NBDKIT" --short-options) \
  "${newer[@]}"; do
  case $option in
  --help | --version | -V) continue ;; # our own, too
  --threads | -t) gives P "$option" --depth=7 '=>' "$option" --depth=7 ;;
  *)
    if [[ " ${newer[*]} " == *" $option "* ]] || wants_value "$option"; then
      gives -t 64 P "$option" --depth=7 '=>' "$option" --depth=7
      values=$((values + 1))
    else
      gives -t 7 P "$option" 8G '=>' "$option" --depth=7 8G
    fi
    ;;
  esac
done
[ "$values" -ge 20 ] || fail "only $values options with a value"

# Another plugin.
export NULLBLK_PLUGIN=$tmp/nullblk.so
cp "$PLUGIN" "$NULLBLK_PLUGIN"
gives -t 64 "$NULLBLK_PLUGIN" parallel=on '=>' parallel=on
unset NULLBLK_PLUGIN

# refused STATUS TEXT ARGUMENT...
refused ()
{
  local status=0

  "$serve" "${@:3}" >"$tmp/out" 2>"$tmp/err" || status=$?
  [ "$status" = "$1" ] || fail "${*:3}: status $status"
  [ ! -s "$tmp/out" ] || fail "${*:3}: $(cat "$tmp/out")"
  grep -q "$2" "$tmp/err" || fail "${*:3}: $(cat "$tmp/err")"
}
refused 1 'nullblk-serve: --depth 0: allowed' --depth 0
refused 1 'nullblk-serve: --depth 1025: allowed' --depth=1025
refused 1 'nullblk-serve: --depth 5x: allowed' 8G --depth 5x
NULLBLK_BATCH=/nowhere.so refused 1 '/nowhere.so: No such file'
for batch in '' off no false 2 00 libnullblk-batch.so ./libnullblk-batch.so; do
  NULLBLK_BATCH=$batch refused 1 "NULLBLK_BATCH=$batch: allowed are 0, 1, and"
done
for poll in '' 5x -1 1000000; do
  NULLBLK_BATCH_POLL=$poll refused 1 "NULLBLK_BATCH_POLL=$poll: allowed"
done
for is_plain in '' 2 on 01; do
  NULLBLK_BATCH_PLAIN=$is_plain refused 1 \
    "NULLBLK_BATCH_PLAIN=$is_plain: allowed are 0 and 1"
done
cp "$library" "$tmp/a b.so"
NULLBLK_BATCH="$tmp/a b.so" refused 1 'a b.so: what is preloaded cannot'
NULLBLK_NBDKIT=$tmp/none refused 1 "$tmp/none: No such file"

# What nbdkit refuses it reports itself, once.
export NULLBLK_NBDKIT=$NBDKIT
refused 1 'nbdkit: error: colour=red: unknown parameter' colour=red
[ "$(wc -l <"$tmp/err")" = 1 ] || fail "more than a line: $(cat "$tmp/err")"
! "$serve" --depht 7 >"$tmp/out" 2>"$tmp/err" || fail "--depht is taken"
grep -q "nbdkit: unrecognized option '--depht'" "$tmp/err" ||
  fail "--depht: $(cat "$tmp/err")"

"$serve" --help >"$tmp/out" || fail "--help"
grep -q -- --depth "$tmp/out" || fail "--help: $(cat "$tmp/out")"
[[ $("$serve" --version) == "nullblk-serve "[0-9]* ]] || fail "--version"
[ "$("$serve" -V)" = "$("$serve" --version)" ] || fail "-V"
