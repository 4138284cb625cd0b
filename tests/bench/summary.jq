# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Makes a table of ratios and one of latencies as Markdown, for BENCHMARKING.md.
# Input: all rows, as one array.  $text: what other scripts have printed as
# Markdown, by name.  report.jq has every figure.

include "figures";

# Of sorted numbers, without one in twenty at each end.
def least: .[length / 20 | floor];
def most: .[length - 1 - (length / 20 | floor)];
def range_text:
  sort | if length == 0 then "-" else
    "\(median | digits (2)) (\(least | digits (2))-\(most | digits (2)))" end;

# A row: all loads of $table that the filter `wanted` takes, beside the best of
# $peers in each load.  A ratio is of two figures of the same round; the median
# is that of the ratios of all loads and rounds.  $plain and $served: our
# servers' names.
def ratio_row($name; $table; wanted; $peers; $plain; $served):
  map (select (.table == $table and wanted)) |
  select (length > 0) | . as $rows |
  [(map (load_key) | unique_in_order)[] as $load |
    ($rows | map (select (load_key == $load)) | group_by (.server) |
      map ({(.[0].server): .}) | add) as $by |
    ($peers | map (select ($by[.]))) as $there |
    select ($there | length > 0) |
    ($there | max_by ($by[.] | map (.rate) | median)) as $fast |
    ($there | min_by ($by[.] | map (.cpu) | median)) as $cheap |
    def ratios($own; $peer; f):
      ($by[$own] // []) as $figures |
      [range ([($figures, $by[$peer]) | length] | min) as $i |
        ($figures[$i] | f) / ($by[$peer][$i] | f)];
    {fast: $fast,
     plain_rate: ratios ($plain; $fast; .rate),
     plain_cpu: ratios ($plain; $cheap; .cpu),
     served_rate: ratios ($served; $fast; .rate),
     served_cpu: ratios ($served; $cheap; .cpu)}] |
  select (length > 0) |
  def all(f): map (f) | add | range_text;
  "| \($name) | \(map (.fast) | unique | join (", "))" +
  " | \(all (.plain_rate)) | \(all (.plain_cpu))" +
  " | \(all (.served_rate)) | \(all (.served_cpu)) |";

# Rows by the size of a request and by depth.
def rows_by_shape($name; $table; $peers; $plain; $served):
  ratio_row ("\($name): 4 KiB, 32 deep"; $table; .bs == "4k" and .depth == 32;
    $peers; $plain; $served),
  ratio_row ("\($name): 4 KiB, one at a time"; $table;
    .bs == "4k" and .depth == 1; $peers; $plain; $served),
  ratio_row ("\($name): 128 KiB, 32 deep"; $table;
    .bs == "128k" and .depth == 32; $peers; $plain; $served),
  ratio_row ("\($name): 128 KiB, one at a time"; $table;
    .bs == "128k" and .depth == 1; $peers; $plain; $served);

def null_peers: ["nbdkit-null", "qemu-null-co"];
def memory_peers: ["nbdkit-memory-sparse", "nbdkit-memory-malloc",
  "qemu-ram-file", "nbd-server-tmpfs"];
def rows_of_batch($transport; $with; $name):
  rows_by_shape ("null, \($name)"; "batch-null-\($transport)-\($with)";
    null_peers; ""; "nullblk-serve"),
  rows_by_shape ("memory, \($name)"; "batch-memory-\($transport)-\($with)";
    memory_peers + ["qemu-null-co"]; ""; "nullblk-serve");
def ratios:
  rows_of_batch ("unix"; "client"; "local"),
  rows_of_batch ("tcp"; "client"; "TCP"),
  rows_of_batch ("unix"; "engine"; "local, nullblk-fio"),
  rows_of_batch ("tcp"; "engine"; "TCP, nullblk-fio"),
  rows_by_shape ("null, fio"; "null"; null_peers; "nullblk"; "nullblk-serve"),
  rows_by_shape ("memory, fio"; "memory"; memory_peers; "nullblk";
    "nullblk-serve"),
  ratio_row ("first writes, fio: 4 KiB"; "first"; .bs == "4k"; memory_peers;
    "nullblk"; "nullblk-serve"),
  ratio_row ("first writes, fio: 128 KiB"; "first"; .bs == "128k";
    memory_peers; "nullblk"; "nullblk-serve"),
  ratio_row ("trims, fio: 4 KiB"; "trim"; .bs == "4k"; memory_peers; "nullblk";
    "nullblk-serve"),
  ratio_row ("trims, fio: 64 KiB"; "trim"; .bs == "64k"; memory_peers;
    "nullblk"; "nullblk-serve"),
  ratio_row ("null, nbdcopy"; "copy-null"; true; null_peers; "nullblk";
    "nullblk-serve"),
  ratio_row ("memory, nbdcopy"; "copy-memory"; true; memory_peers; "nullblk";
    "nullblk-serve"),
  ratio_row ("latency of 1 ms, fio: one at a time"; "delay"; .depth == 1;
    ["nbdkit-null-delay"]; "nullblk"; "nullblk-serve"),
  ratio_row ("latency of 1 ms, fio: 32 deep"; "delay"; .depth == 32;
    ["nbdkit-null-delay"]; "nullblk"; "nullblk-serve"),
  rows_by_shape ("/dev/nbd in a guest, beside nbdkit"; "guest-nbd"; ["nbdkit-null"];
    "nullblk-unbatched"; "nullblk-serve"),
  rows_by_shape ("/dev/nbd in a guest, beside the kernel"; "guest"; ["null_blk"];
    "nullblk-unbatched-4"; "nullblk-serve-4"),
  rows_by_shape ("/dev/ublkb in a guest, beside /dev/nbd"; "kernel";
    ["kernel-nbd"]; "nullblk-ublk=true"; "nullblk-ublk"),
  rows_by_shape ("/dev/ublkb in a guest, beside null_blk"; "kernel-near";
    ["null_blk"]; "nullblk-ublk=true"; "nullblk-ublk"),
  rows_by_shape ("/dev/ublkb with memory in a guest, beside null_blk";
    "kernel-near-memory"; ["null_blk"]; "nullblk-ublk=true"; "nullblk-ublk");

# Rows of the tables in the text of latency.sh that begin with one of $labels.
def latencies($labels):
  $text.latency // "" | split ("\n")[] |
  select (. as $line | any ($labels[]; . as $l | $line | startswith ("| \($l) |")));

if $text.machine == null then empty else $text.machine, "" end,
"| load | best peer | nullblk: requests/s | nullblk: CPU | nullblk-serve: requests/s | nullblk-serve: CPU |",
"|---|---|---|---|---|---|",
ratios,
(if $text.latency == null then empty else
  "",
  "How late a request is, one at a time, in us: median / p99.",
  "",
  "| server | seen by | 20 us | 100 us | 1 ms | 10 ms |",
  "|---|---|---|---|---|---|",
  latencies (["no server: a thread alone that spins | itself",
    "nullblk-serve --depth 1 latency-spin=10ms | itself",
    "nullblk | itself", "nullblk | fio",
    "nullblk-serve | itself", "nullblk-serve | fio",
    "nbdkit delay filter | fio", "qemu null-co | fio"]) end)
