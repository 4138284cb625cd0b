#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# xfs, and sqlite3 with journal_mode=wal, lose nothing durable when the
# power is cut, with FUA and without.  When flushes lie they do lose, which shows
# that this test would see it.

fs=xfs journal=wal
# shellcheck source=crash.sh source-path=SCRIPTDIR
source "${0%/*}/crash.sh"
if on_host; then
  crash_host
  exit
fi

count=${NULLBLK_GUEST_CUTS:-8}
for fua in true false; do
  begin "fua=$fua"
  cut_many_times $(((count + 1) / 2))
  [ "$losses" = 0 ] || fail "$losses losses in $cuts cuts"
  [ "$durable" -gt "$cuts" ] || fail "$durable changes in $cuts cuts"
  end
done

flush='op=flush corrupt=stale'
begin fua=false
cut_many_times 4
[ "$losses" -gt 0 ] || fail "no losses, and flushes lie"
end
