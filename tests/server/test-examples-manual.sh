#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The commands by which the man pages' EXAMPLES and the README start a server
# are run as they stand there, but for their files, which are in $tmp.  A
# command without --run ends when nbdinfo has seen its export.

# shellcheck source=serve.sh source-path=SCRIPTDIR
source "${0%/*}/serve.sh"
requires fio nbdcopy nbdinfo
fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"

# The programs that the examples name.
mkdir "$tmp/bin"
cat >"$tmp/bin/nbdkit" <<'END'
#!/usr/bin/env bash
args=()
for a; do
  [ "$a" = nullblk ] && args+=("$PLUGIN") || args+=("$a")
done
[[ " $* " = *' --run '* ]] || args+=(-U - --run 'nbdinfo "$uri" >&2')
exec "$REAL_NBDKIT" "${args[@]}"
END
cat >"$tmp/bin/nullblk-serve" <<'END'
#!/usr/bin/env bash
args=("$@")
[[ " $* " = *' --run '* ]] || args+=(-U - --run 'nbdinfo "$uri" >&2')
exec "$SERVE" "${args[@]}"
END
printf '#!/bin/sh\nexit 0\n' >"$tmp/bin/qemu-system-x86_64"
chmod +x "$tmp"/bin/*
export PLUGIN REAL_NBDKIT=$NBDKIT SERVE=$serve
PATH=$tmp/bin:$PATH

# What examples read.
cd "$tmp"
cat >job.fio <<'END'
[job]
ioengine=nbd
uri=${uri}
rw=randread
io_size=64k
size=1M
END
cat >disk.model <<'END'
read-latency=20us
END
fio --name=j --ioengine=null --size=1M --rw=randread --output-format=json \
  --output=fio.json >/dev/null

# of_pages: the headings of EXAMPLES that start a server.
of_pages ()
{
  awk '/^=head1 / { ours = $0 == "=head1 EXAMPLES" }
    ours && /^=head2 (nbdkit|nullblk-serve) / { print substr ($0, 8) }' \
    "$top_srcdir"/man/*.pod
}

# of_readme: its servers for this machine, as tabs stand for "\" and a new line.
of_readme ()
{
  sed -e ':a' -e '/\\$/N; s/\\\n/\t/; ta' "$top_srcdir/README.md" |
    sed -nE '/nullblk\.so/d; s/^    (nbdkit|nullblk-serve) /\1 /p'
}

nr=0
while IFS= read -r command; do
  command=${command//$'\t'/$'\\\n'}
  command=${command//\/tmp\//$tmp/}
  echo "$command"
  bash -c "$command" </dev/null >out 2>err ||
    fail "$command: $(cat out err)"
  nr=$((nr + 1))
done < <(
  of_pages
  of_readme
)
[ "$nr" -ge 20 ] || fail "there are only $nr"
