#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nullblk beside other servers: all measurements, or some of them, and the
# report.
#
#   make bench [BENCH=quick] [BENCH_SECTIONS="null memory ..."] [OUT=DIRECTORY]
#
# A section is a script of this directory, which says at its top what it
# measures and how.  It leaves its figures in OUT (bench-out), where a later run
# of the same section replaces them, so that a run can be split, and parts of it
# repeated.  At the end report.md, raw.json and the plots are made from all that
# is in OUT.  How long a run takes is printed before anything is measured.
# BENCH=quick shows in minutes that everything works; its figures mean little.
# Without BENCH_SECTIONS the sections of `all` below are run.  latency, zones,
# clients, engines, guest, kernel, batch-*-fio and batch-*-engine have to be
# named.
#
# BENCHMARKING.md says how to read the figures.  report.sh writes its tables.

set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
top=${here%/tests/bench}
top_builddir=$(realpath "${top_builddir:-$PWD}")
OUT=${OUT:-bench-out}
mkdir -p "$OUT"
OUT=$(realpath "$OUT")
export top_builddir OUT BENCH="${BENCH-}"
unset BENCH_PLAN

all="null memory first batch-unix batch-tcp filters trim copy footprint \
instructions contention scale"
read -ra sections <<<"${BENCH_SECTIONS:-$all}"

# run SECTION
run ()
{
  case $1 in
    null | memory) bash "$here/speed.sh" "$1" ;;
    batch-unix | batch-tcp) bash "$here/batch.sh" "${1#batch-}" client ;;
    batch-unix-fio | batch-tcp-fio)
      name=${1#batch-}
      bash "$here/batch.sh" "${name%-fio}" fio
      ;;
    batch-unix-engine | batch-tcp-engine)
      name=${1#batch-}
      bash "$here/batch.sh" "${name%-engine}" engine
      ;;
    first | filters | trim | copy | footprint | instructions | contention | \
    scale | guest | kernel) bash "$here/$1.sh" ;;
    latency | zones) bash "$here/$1.sh" >"$OUT/$1.new" ;;
    clients | engines) bash "$here/$1.sh" | tee "$OUT/$1.new" ;;
    *)
      echo "${0##*/}: there is no section $1; there are: $all" \
        "latency zones clients engines guest kernel batch-unix-fio" \
        "batch-tcp-fio batch-unix-engine batch-tcp-engine" >&2
      return 1
      ;;
  esac
}

# keep SECTION: what a section has printed becomes its result, now that it is
# complete.
keep ()
{
  [ ! -e "$OUT/$1.new" ] || mv "$OUT/$1.new" "$OUT/$1.md"
}

# plan_of SECTION: print how many seconds it takes.
plan_of ()
{
  case $1 in
    latency | zones | clients) BENCH_PLAN=1 bash "$here/$1.sh" ;;
    *) BENCH_PLAN=1 run "$1" ;;
  esac
}

describe_machine ()
{
  local commit

  commit=$(git -C "$top" describe --always --dirty 2>/dev/null || echo release)
  echo "- nullblk $(nbdkit "$top_builddir/plugin/nullblk.so" --version |
    tail -n 1 | sed 's/^nullblk *//') ($commit), $(nbdkit --version |
    sed -n 1p), $(fio --version), $(qemu-nbd --version | sed -n 1p)"
  echo "- $(nproc) CPUs ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
    sed -n 1p)), Linux $(uname -r), $(date -u +%F)"
  echo "- ${ROUNDS:-$([ "$BENCH" = quick ] && echo 3 || echo 7)} rounds of" \
    "${RUNTIME:-200} ms${BENCH:+; a quick run, whose figures mean little}"
}

total=0
for section in "${sections[@]}"; do
  seconds=$(plan_of "$section")
  printf '%-14s %4d s\n' "$section" "$seconds"
  total=$((total + seconds))
done
echo "all of it      about $(((total + 59) / 60)) minutes"

describe_machine >"$OUT/machine.md"
for section in "${sections[@]}"; do
  SECONDS=0
  run "$section"
  keep "$section"
  echo "$section: done in $SECONDS s"
done
bash "$here/report.sh" "$OUT"
echo "Tables, raw figures and plots: $OUT"
