# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Makes the data of a panel of a plot, for gnuplot: requests a second in
# thousands, as median, least and most.  Input: all rows, as one array.
# $servers: names of servers, with spaces between them.  $bars: the groups of
# bars from left to right, lines of "LABEL=TABLE RW SIZE DEPTH CONNECTIONS".

include "figures";

. as $rows | ($servers | split (" ")) as $names |
(["load"] + ($names | map (., "-", "-")) | map ("\"\(.)\"") | join (" ")),
($bars | split ("\n")[] | select (. != "") | split ("=") |
  .[0] as $bar | (.[1] | split (" ")) as $of |
  [$rows[] | select (.table == $of[0] and .rw == $of[1] and .bs == $of[2] and
    (.depth | tostring) == $of[3] and (.connections | tostring) == $of[4])] |
  . as $here |
  ["\"\($bar)\""] + ($names | map (. as $name |
    [$here[] | select (.server == $name) | .rate / 1000] |
    if length == 0 then "0", "0", "0" else (median, min, max | tostring) end)) |
  join (" "))
