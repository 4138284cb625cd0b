#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# nbdkit loads plugins with RTLD_GLOBAL: the module shows it plugin_init and
# debug flags, and nothing else.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires nm

nm -D --defined-only "$PLUGIN" | awk '{ print $NF }' >"$tmp/symbols"
grep -qx plugin_init "$tmp/symbols" || fail "there is no plugin_init"
if grep -Evx 'plugin_init|nullblk_debug_[a-z0-9_]+' "$tmp/symbols" \
  >"$tmp/others"; then
  fail "it also shows $(xargs <"$tmp/others")"
fi
