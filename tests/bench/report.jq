# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# Makes all tables of raw figures as Markdown, for report.sh.  Input: all rows,
# as one array.  $text: what other scripts have printed as Markdown, by name.

include "figures";

def is_ours: startswith ("nullblk");
def verdict: if . then "met" else "**not met**" end;

# The servers that a table is compared with; the best of them counts in each
# cell.  A target is what the ratio of ours must reach (rate), or must not
# exceed (cpu); null if there is none.
def is_null_batch: startswith ("batch-null");
def is_memory_batch: startswith ("batch-memory");
def peers:
  if . == "null" or . == "copy-null" or is_null_batch then ["nbdkit-null"]
  elif . == "memory" or . == "first" or . == "copy-memory" or . == "trim"
    then ["nbdkit-memory-sparse", "nbdkit-memory-malloc"]
  elif is_memory_batch then ["nbdkit-memory-sparse", "qemu-null-co"]
  elif . == "delay" then ["nbdkit-null-delay"]
  elif startswith ("rate") then ["nbdkit-null-rate"]
  elif . == "guest" then ["null_blk"]
  elif . == "kernel" or . == "kernel-memory" then ["kernel-nbd"]
  elif startswith ("kernel-near") then ["null_blk"]
  elif . == "guest-nbd" then ["nbdkit-null"]
  else [] end;
def rate_target($r; $server):
  if . == "null" then 1
  elif . == "memory" then
    if $r.rw == "randwrite" and $r.bs == "4k" and $r.connections == 4
    then 1.3 else 1 end
  elif . == "first" then 1.5
  elif . == "trim" then 1
  elif . == "kernel" or . == "kernel-memory" then
    if $server == "nullblk-ublk=true" then
      if $r.bs == "4k" then 3 else null end
    elif $r.bs == "4k" and $r.depth == 32 then 1.3 else 1 end
  elif startswith ("kernel-near") then
    if $server != "nullblk-ublk=true" then null
    elif $r.bs == "4k" and $r.depth == 32 then
      if $r.rw == "randread" then 0.6 else 0.5 end
    elif $r.bs == "128k" and . == "kernel-near-memory" then 0.8
    else null end
  elif (is_null_batch or is_memory_batch) and $server == "nullblk-serve" then
    if $r.depth == 1 then 0.97
    elif $r.connections == 1 then 1
    elif $r.bs == "4k" then if $r.rw == "randread" then 2.2 else 1.5 end
    elif $r.bs == "128k" and $r.rw == "randread" then 1.2
    else 1 end
  else null end;
def cpu_target($r; $server):
  if (. == "null" or . == "memory") and $r.depth == 32 then 0.85
  elif is_null_batch and $server == "nullblk-serve" and $r.depth == 32 then
    if $r.rw == "randread" then 0.55 else 0.75 end
  else null end;

def load_name: "\(.rw) \(.bs), \(.depth) deep, \(.connections) conn.";

# The cells of a table: medians for each load and server, and their ratios to
# the best peer, round by round.
def cells($table):
  map (select (.table == $table)) as $rows | ($table | peers) as $peers |
  ($rows | map (.server) | unique_in_order) as $servers |
  ($rows | map (load_key) | unique_in_order)[] as $load |
  ($rows | map (select (load_key == $load))) as $cell |
  (reduce $servers[] as $s ({}; .[$s] =
    ($cell | map (select (.server == $s))))) as $by |
  ($peers | map (select ($by[.] // [] | length > 0))) as $there |
  ($there | max_by ($by[.] | map (.rate) | median)) as $fast |
  ($there | min_by ($by[.] | map (.cpu) | median)) as $cheap |
  $servers[] as $server | $by[$server] | select (length > 0) | . as $own |
  def ratios($peer; f):
    if $peer == null or $peer == $server then [] else
      [range ([length, ($by[$peer] | length)] | min) as $i |
        ($by[$peer][$i] | f) as $to | select ($to > 0) |
        ($own[$i] | f) / $to] end;
  {table: $table, load: $load, name: ($load | load_name), $server, $fast,
   rate: (map (.rate) | median), cpu: (map (.cpu) | median),
   rates: (ratios ($fast; .rate)),
   cpus: (ratios ($cheap; .cpu))} |
  .rate_ratio = (.rates | median) | .cpu_ratio = (.cpus | median) |
  if $server | is_ours then
    .rate_target = ($table | rate_target ($load; $server)) |
    .cpu_target = ($table | cpu_target ($load; $server))
  else . end |
  .rate_met = (if .rate_target == null or .rate_ratio == null then null
    else .rate_ratio >= .rate_target end) |
  .cpu_met = (if .cpu_target == null or .cpu_ratio == null then null
    else .cpu_ratio <= .cpu_target end);

def ratio_text:
  if length == 0 then "" else
    "\(median | digits (2)) (\(min | digits (2))-\(max | digits (2)))" end;
def target_text($target; $met; $sign):
  if $met == null then "" else "\($sign) \($target): \($met | verdict)" end;

# A table of cells.  $unit and $cpu are headings; rates are divided by $by.
def show($table; $unit; $by; $cpu):
  [cells ($table)] as $cells |
  "| load | server | \($unit) | to the best of " +
    "\($table | peers | join (", ")) | target | \($cpu) | to the least of them | target |",
  "|---|---|---|---|---|---|---|---|",
  ($cells[] | "| \(.name) | \(.server) | \(.rate / $by | digits (1))" +
    " | \(.rates | ratio_text)" +
    " | \(target_text (.rate_target; .rate_met; ">="))" +
    " | \(.cpu | digits (2)) | \(.cpus | ratio_text)" +
    " | \(target_text (.cpu_target; .cpu_met; "<=")) |");
def has($table): any (.[]; .table == $table);
def section($table; $title; $text; $unit; $by; $cpu):
  if has ($table) then
    "", "### \($title)", "", ($text | if . == "" then empty else ., "" end),
    show ($table; $unit; $by; $cpu)
  else empty end;
def section($table; $title; $text):
  section ($table; $title; $text; "k/s"; 1000; "CPU us");

# The ratios of nullblk-serve to bench/least.c, round by round.
def show_least($tables):
  . as $all |
  [$tables[] as $table | map (select (.table == $table)) as $rows |
    ($rows | map (load_key) | unique_in_order)[] as $load |
    ($rows | map (select (load_key == $load))) as $cell |
    ($cell | map (select (.server == "nullblk-serve"))) as $own |
    ($cell | map (select (.server == "least"))) as $least |
    select (($own | length) > 0 and ($least | length) > 0) |
    def ratios(f): [range ([$own, $least | length] | min) as $i |
      ($least[$i] | f) as $to | select ($to > 0) | ($own[$i] | f) / $to];
    {table: $table, name: ($load | load_name), rates: ratios (.rate),
     cpus: ratios (.cpu)}] |
  if length == 0 then empty else
    "", "### nullblk-serve to least (bench/least.c)", "",
    "| table | load | requests/s | server CPU |", "|---|---|---|---|",
    (.[] | "| \(.table) | \(.name) | \(.rates | ratio_text) | " +
      "\(.cpus | ratio_text) |")
  end;

# Four connections beside one.
def scaling:
  map (select ((.table == "null" or .table == "memory") and
    ((.server | is_ours) or .server == "floor"))) as $rows |
  ($rows | map ({table, server, rw, bs, depth}) | unique_in_order)[] as $k |
  ($rows | map (select ({table, server, rw, bs, depth} == $k))) as $cell |
  ($cell | map (select (.connections == 1))) as $one |
  ($cell | map (select (.connections == 4))) as $four |
  select (($one | length) > 0 and ($four | length) > 0) |
  $k + {ratios: [range ([$one, $four | length] | min) as $i |
    $four[$i].rate / $one[$i].rate]} |
  .met = ((.ratios | median) >= 1);
def show_scaling:
  [scaling] as $all | if ($all | length) == 0 then empty else
    "", "### Four connections beside one", "",
    "| device | load | server | 4 to 1 | target |", "|---|---|---|---|---|",
    ($all[] | "| \(.table) | \(.rw) \(.bs), \(.depth) deep | \(.server)" +
      " | \(.ratios | ratio_text) | " +
      "\(if .server == "floor" then "" else ">= 1: \(.met | verdict)" end) |")
  end;

def show_footprint:
  if has ("footprint") then
    "", "### Memory", "",
    "| what | server | value | target |", "|---|---|---|---|",
    (.[] | select (.table == "footprint") |
      "| \(.what) | \(.server) | \(.value | digits (3)) \(.unit)" +
      " | \(if .most == null then "" else
        "<= \(.most): \(.value <= .most | verdict)" end) |")
  else empty end;

def show_scale:
  if has ("scale") then
    "", "### Scale", "",
    "In process (core), or a server (nullblk); each of one run.", "",
    "| what | where | value | target |", "|---|---|---|---|",
    (.[] | select (.table == "scale") |
      "| \(.what) | \(.server) | \(.value | digits (3)) \(.unit)" +
      " | \(if .most == null then "" else
        "<= \(.most): \(.value <= .most | verdict)" end) |")
  else empty end;

def show_instructions:
  if has ("instructions") then
    "", "### Instructions", "",
    "In the core, of a request of 4 KiB. What is on, beside the same without it:",
    "", "| device | request | instructions | without | ratio | target |",
    "|---|---|---|---|---|---|",
    (.[] | select (.table == "instructions") |
      "| \(.device) | \(.op) | \(.instructions) | " + (if .most == null
        then " | | |" else "\(.base) | \(.instructions / .base | digits (3))" +
        " | <= \(.most): \(.instructions / .base <= .most | verdict) |" end)),
    "", "What is off, by the lines of the sources that are there for it " +
      "(statistics are always on):", "",
    "| device | request | what | instructions | of all | target |",
    "|---|---|---|---|---|---|",
    (.[] | select (.table == "shares") | (.instructions / .total) as $share |
      (if .feature == "statistics" then 0.05
       elif .feature == "the request itself" then null else 0.01 end) as $most |
      "| \(.device) | \(.op) | \(.feature) | \(.instructions | digits (0))" +
      " | \($share * 100 | digits (1)) % | \(if $most == null then "" else
        "< \($most * 100) %: \($share < $most | verdict)" end) |")
  else empty end;

def show_contention:
  if has ("system-calls") then
    "", "### System calls and contention", "",
    "4 KiB random writes, 32 deep, 4 connections:", "",
    "| server | system calls a request | futex calls a request | most of them |",
    "|---|---|---|---|",
    (.[] | select (.table == "system-calls") | .requests as $n |
      "| \(.server) | \(.total / $n | digits (2)) | \(.futex / $n | digits (4))" +
      " | \(.calls | to_entries | sort_by (-.value)[:3] |
        map ("\(.key) \(.value / $n | digits (2))") | join (", ")) |")
  else empty end,
  if has ("futex-callers") then
    "", "Who calls futex, the first ten, in samples of one call in 19:", "",
    "| server | callers | target: none of ours |", "|---|---|---|",
    (.[] | select (.table == "futex-callers") |
      "| \(.server) | \(.callers | map ("\(.module)\(if .function // "" == ""
        then "" else " \(.function)" end) \(.samples)") | join (", ") |
        if . == "" then "nobody" else . end) | \(if .server | is_ours then
        (all (.callers[]; .module | test ("nullblk") | not) | verdict)
        else "" end) |")
  else empty end;

# From the call to the first read, beside what nbd-client takes in the same
# round.
def show_attaching:
  if has ("attaching") then
    map (select (.table == "attaching")) as $rows |
    "", "### In a guest: attaching a device", "",
    "From the call to the end of the first read of 4 KiB; ms, median (least-most).",
    "", "| by | ms | to nbd-client | target |", "|---|---|---|---|",
    (($rows | map (.server) | unique_in_order)[] as $server |
      ($rows | map (select (.server == $server))) as $own |
      [$own[] as $row | $rows[] |
        select (.server == "nbd-client" and .round == $row.round) |
        $row.us / .us] as $ratios |
      "| \($server) | \($own | map (.us / 1000) | ratio_text)" +
      (if $server == "nbd-client" then " | | |" else
        " | \($ratios | ratio_text)" +
        " | <= 0.6: \(($ratios | median) <= 0.6 | verdict) |" end))
  else empty end;

# How late reads of a fixed latency are, and how long those take that have none,
# beside null_blk's in the same round.
def show_kernel_latency:
  if has ("kernel-latency") then
    map (select (.table == "kernel-latency")) as $rows |
    "", "### In a guest: a fixed latency, beside null_blk's timer", "",
    "Reads of 4 KiB, one job; us, achieved less asked, from the call of fio to " +
      "its end; medians of all rounds (least-most). The last ratio is that of " +
      "the median to null_blk's in the same round.",
    "", "| asked | depth | device | median | p99 | to null_blk | target |",
    "|---|---|---|---|---|---|---|",
    (($rows | map ({us, depth}) | unique_in_order)[] as $load |
      ($rows | map (select ({us, depth} == $load))) as $cell |
      ($cell | map (.server) | unique_in_order)[] as $server |
      ($cell | map (select (.server == $server))) as $own |
      [$own[] as $row | $cell[] |
        select (.server == "null_blk" and .round == $row.round and .p50 > 0) |
        $row.p50 / .p50] as $ratios |
      "| \($load.us) us | \($load.depth) | \($server)" +
      " | \($own | map (.p50) | ratio_text) | \($own | map (.p99) | ratio_text)" +
      (if $server == "null_blk" then " | | |" else
        " | \($ratios | ratio_text) | \(if $load.us == 0 or
          $server != "nullblk-ublk=true" or ($ratios | length) == 0 then "" else
          "<= 1: \(($ratios | median) <= 1 | verdict)" end) |" end))
  else empty end;

# One line for each target: how many cells reach it, and the cell that is
# farthest from it.
def summary:
  (map (.table) | unique_in_order | map (select (peers != []))) as $tables |
  [$tables[] as $t | cells ($t) | select (.rate_met != null)] as $rates |
  [$tables[] as $t | cells ($t) | select (.cpu_met != null)] as $cpus |
  def lines($what; $sign; target; met; value; worst):
    group_by ([.table, target])[] |
    (map (.cell = value / target) | worst) as $w |
    "| \(.[0].table): \($what) | \($sign) \(.[0] | target)" +
    " | \(map (select (met)) | length) of \(length) | \($w | value | digits (2)):" +
    " \($w.server), \($w.name) |";
  if ($rates + $cpus | length) == 0 then empty else
    "", "### Targets", "",
    "| target | of the best peer | cells that reach it | the farthest cell |",
    "|---|---|---|---|",
    ($rates | lines ("requests a second"; ">="; .rate_target; .rate_met;
      .rate_ratio; min_by (.cell))),
    ($cpus | lines ("CPU a request"; "<="; .cpu_target; .cpu_met; .cpu_ratio;
      max_by (.cell)))
  end;

# What another script has printed.
def show_text($name; $title):
  if $text[$name] == null then empty else
    "", "### \($title)", "", $text[$name] end;

if length == 0 and ($text | length) == 0 then "Nothing has been measured."
else
  (if $text.machine == null then empty else $text.machine end),
  summary,
  section ("null"; "Null mode"; ""),
  section ("memory"; "Memory mode, written before"; ""),
  section ("first"; "First writes to fresh memory"; ""),
  show_scaling,
  (["unix", "tcp"][] as $transport | ["fio", "engine", "client"][] as $with |
    section ("batch-null-\($transport)-\($with)";
      "Batched socket I/O: null, \($transport), load by \($with)"; ""),
    section ("batch-memory-\($transport)-\($with)";
      "Batched socket I/O: memory, \($transport), load by \($with)"; "")),
  show_least ([("null", "memory") as $device | ("unix", "tcp") as $transport |
    ("fio", "engine", "client") as $with | "batch-\($device)-\($transport)-\($with)"]),
  section ("delay"; "Latency of 1 ms, and nbdkit's delay filter"; ""),
  section ("rate-unreached"; "A limit that is not reached, and nbdkit's rate filter";
    ""),
  section ("rate-100M"; "A limit of 100 MiB/s (800 requests a second)"; "";
    "requests/s"; 1; "CPU us"),
  section ("trim"; "Trims, and resets of zones"; ""),
  section ("copy-null"; "Bulk copy (nbdcopy), null mode"; ""; "MiB/s"; 1;
    "CPU us a MiB"),
  section ("copy-memory"; "Bulk copy (nbdcopy), memory mode"; ""; "MiB/s"; 1;
    "CPU us a MiB"),
  show_footprint, show_instructions, show_contention, show_scale,
  show_text ("latency"; "Latency: how exact"),
  show_text ("zones"; "Zones: what they cost"),
  show_text ("engines"; "Two engines of fio, nbd and nullblk-fio"),
  show_text ("clients"; "Clients that think, and real ones"),
  section ("guest"; "In a guest: block devices of the kernel";
    "The guest's processor is emulated (TCG), so only ratios mean anything, " +
    "and those of the path through the kernel, not of a real machine. CPU is " +
    "that of the whole guest, client included. fio has two jobs (conn.)."; "k/s";
    1000; "guest CPU us"),
  section ("guest-nbd"; "In a guest: the servers, beside nbdkit null";
    "The same figures; conn. are the connections of the kernel's driver.";
    "k/s"; 1000; "guest CPU us"),
  (["null", "memory"][] as $backing |
    (if $backing == "null" then "" else "-memory" end) as $tail |
    section ("kernel\($tail)";
      "In a guest: ublk, beside the kernel's nbd driver: \($backing)";
      "nullblk-ublk and the kernel's nbd driver are on one nullblk-serve. All " +
      "but brd have two queues or connections; conn. are fio's jobs. The guest's " +
      "processor is emulated (TCG). CPU is that of the whole guest.";
      "k/s"; 1000; "guest CPU us"),
    section ("kernel-near\($tail)"; "The same, beside null_blk: \($backing)"; "";
      "k/s"; 1000; "guest CPU us")),
  show_kernel_latency,
  show_attaching
end
