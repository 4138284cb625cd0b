# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# What report.jq, summary.jq and plots.jq share.

def median:
  sort | if length == 0 then null
    elif length % 2 == 1 then .[length / 2 | floor]
    else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def unique_in_order:
  reduce .[] as $x ([]; if index ([$x]) then . else . + [$x] end);
# A number as text with $n digits after the point.
def digits($n):
  if . == null then "-"
  else pow (10; $n) as $p | . * $p | round / $p | tostring |
    if $n == 0 or test ("e") then . else
      (if test ("\\.") then . else . + "." end) |
      . + ("0" * ($n - (split (".")[1] | length)) // "") end end;

# Rows with the same key are rounds of the same measurement.
def load_key: {rw, bs, depth, connections};
