#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit with the library of nullblk-serve preloaded: what $NBDKIT is for a test
# that is run with NULLBLK_TEST_BATCH=1.  As with nullblk-serve, -t says how
# many requests may be under way, and with -v nbdkit gets all requests, to print
# them.

depth=64 plain=1 last=
case " $* " in *' -v '*) plain=0 ;; esac
for argument; do
  [ "$last" != -t ] || depth=$argument
  case $argument in
    --dump-plugin | --tls=require | --tls=on | --tls-psk=* | --tls-cert* | -s)
      depth=0 && break
      ;;
  esac
  last=$argument
done
LD_PRELOAD=${NULLBLK_BATCH:?} NULLBLK_BATCH_DEPTH=$depth \
  NULLBLK_BATCH_PLAIN=$plain exec "${NULLBLK_NBDKIT:?}" "$@"
