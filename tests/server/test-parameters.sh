#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
#
# The table of parameters, --help and the man page say the same: the same
# names, defaults and ranges, and the same spellings and refusals of null_blk's
# parameters.  All actions of fault rules have an item in the man page, and stand
# in its grammar.

# shellcheck source=functions.sh source-path=SCRIPTDIR
source "${0%/*}/functions.sh"
requires perl

table=$tmp/table
help=$tmp/help
page=$top_srcdir/man/nbdkit-nullblk-plugin.pod

"$top_builddir/tests/unit/list-parameters" >"$table"
"$NBDKIT" "$PLUGIN" --help >"$help"

perl - "$table" "$help" "$page" <<'PERL'
use strict;
use warnings;

my ($table, $help, $page) = @ARGV;
my (%param, %alias, %kernel, %action, %in_help, %item, %refused);
my $wrong = 0;

sub wrong { print STDERR "@_\n"; $wrong = 1 }
sub slurp { local (@ARGV, $/) = @_; scalar <> }

for (split /\n/, slurp ($table)) {
  my ($kind, @f) = split /\t/;
  $param{$f[0]} = { default => $f[1], range => $f[2], live => $f[3] // "" }
    if $kind eq "parameter";
  $alias{$f[0]} = $f[1] if $kind eq "alias";
  $kernel{$f[0]} = 1 if $kind eq "kernel";
  $action{$f[0]} = 1 if $kind eq "action";
}
wrong "the table is empty" unless %param && %alias && %kernel && %action;

# --help: "name=WHAT   text (default D)"
for (split /\n/, slurp ($help)) {
  $in_help{$1} = $2 if /^([a-z][a-z0-9-]*)=.*\(default (.*)\)$/;
}

# The man page: items that follow one another share the text after them.
my $pod = slurp ($page);
my ($text) = $pod =~ /^=head1 PARAMETERS$(.*?)^=head1 /ms;
my (@open, $seen_text);
for (split /\n\n+/, $text) {
  if (/^=item (.*)/) {
    my ($name) = $1 =~ /B<([a-z][a-z0-9_-]*)=>/;
    if (!$name) { wrong "man: no parameter in '=item $1'"; next }
    wrong "man: $name stands there twice" if exists $item{$name};
    $item{$name} = "";
    @open = () if $seen_text;
    $seen_text = 0;
    push @open, $name;
  }
  elsif (/^=(back|head2)/) { @open = () }
  elsif (!/^=/) {
    s/\s+/ /g;
    my $paragraph = $_;
    $item{$_} .= "$paragraph " for @open;
    $seen_text = 1;
  }
}
%refused = map { tr/_/-/r => 1 } $text =~ /refused, each.*?:(.*?)\.\n/s
  ? $1 =~ /C<([a-z_]+)>/g : ();

for my $name (sort keys %param) {
  my ($default, $range) = @{$param{$name}}{qw(default range)};
  wrong "--help: $name is missing" unless exists $in_help{$name};
  wrong "--help: $name: default is $default, not $in_help{$name}"
    if exists $in_help{$name} && $in_help{$name} ne $default;
  wrong "man: $name is missing" unless exists $item{$name};
  my $said = $item{$name} // "";
  wrong "man: $name: no 'Default: $default'"
    unless $said =~ /Default: \Q$default\E\b/;
  wrong "man: $name: no 'Allowed: $range'"
    unless $said =~ /Allowed: \Q$range\E(?![A-Za-z0-9])/;
  wrong "man: $name: 'Live: yes' and the table disagree"
    if ($said =~ /Live: yes/) != ($param{$name}{live} eq "live");
}
for my $name (sort keys %in_help) {
  wrong "--help: $name is not in the table" unless exists $param{$name};
}
for my $name (sort keys %item) {
  my $dashed = $name =~ tr/_/-/r;
  wrong "man: $name is not in the table"
    unless exists $param{$dashed} || exists $alias{$dashed};
}
for my $other (sort keys %alias) {
  my ($as_written) = grep { tr/_/-/r eq $other } keys %item;
  if (!$as_written) { wrong "man: $other is missing"; next }
  wrong "man: $other does not say C<$alias{$other}>"
    unless $item{$as_written} =~ /C<\Q$alias{$other}\E>/;
}
wrong "man: refused there, but not in the table: $_"
  for grep { !$kernel{$_} } sort keys %refused;
wrong "man: $_ is not among those refused"
  for grep { !$refused{$_} } sort keys %kernel;

# Actions of fault rules: "corrupt=flip", or "delay=" where a value follows.
my ($faults) = $pod =~ /^=head1 FAULTS$(.*?)^=head1 /ms;
my ($list) = $faults =~ /^(=over.*?)^=back/ms;
my %explained = map { s/^(\w+=)[A-Z].*/$1/r => 1 }
  map { s/B<([^>]*)>.*/$1/r } $list =~ /^=item (.*)/mg;
for my $name (sort keys %action) {
  wrong "man: FAULTS: no item for $name" unless $explained{$name};
  wrong "man: the grammar of rules has no $_"
    for grep { $faults !~ /"\Q$_\E"/ } $name =~ /^(\w+=?)(.*)/ ? grep { $_ ne "" } ($1, $2) : ();
}
for my $name (sort keys %explained) {
  wrong "man: FAULTS: $name is no action" unless $action{$name};
}
exit $wrong;
PERL
