#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
"""A compiler that puts all mutants of a source file into its object.

Called by make in the place of a compiler, as cc.py CC ARGUMENT...  A source of
a room of plugin/ that NULLBLK_ROOMS names is compiled with mutants: where the
source has "a < b", the object has "is mutant 17 on ? a <= b : a < b".  So one
build serves for all mutants, and the environment turns one of them on (see
mutant.h).  Every other source is compiled as it is.

The mutants of a file are listed in NULLBLK_MUTANTS/FILE.json.  They come from
clang's syntax tree; what a macro has expanded to is left alone.
"""

import json
import os
import subprocess
import sys
import zlib

OPERATORS = {
    '<': '<=', '<=': '<', '>': '>=', '>=': '>', '==': '!=', '!=': '==',
    '&&': '||', '||': '&&', '+': '-', '-': '+', '*': '+', '/': '*', '%': '/',
    '&': '|', '|': '&', '<<': '>>', '>>': '<<',
    '+=': '-=', '-=': '+=', '|=': '&=', '&=': '|=',
}
# Expressions that are a statement when nothing uses their value.
STATEMENTS = {'CallExpr', 'CompoundAssignOperator', 'UnaryOperator'}


def in_file(location):
    """The offset of a location, or None if a macro or a header has it."""
    if 'offset' not in location or 'includedFrom' in location:
        return None
    return location['offset']


def extent(node):
    """Where the text of a node begins and ends, or None."""
    r = node.get('range', {})
    begin, end = r.get('begin', {}), r.get('end', {})
    first, last = in_file(begin), in_file(end)
    if first is None or last is None:
        return None
    return first, last + end.get('tokLen', 0)


class Source:
    def __init__(self, name, text):
        self.text = text
        # The same for every object that is made of the file.
        self.base = zlib.crc32(name.encode()) % 20000 * 100000
        self.edits = []
        self.mutants = []

    def add(self, span, kind, template):
        """A mutant: {} of the template stands for the text of the span, and
        MUT for whether it is on."""
        number = self.base + len(self.mutants)
        line = self.text.count(b'\n', 0, span[0]) + 1
        self.mutants.append({'number': number, 'line': line, 'kind': kind,
                             'text': self.marked(span)})
        self.edits.append((span, template.replace(
            'MUT', 'NULLBLK_MUTANT (%dU)' % number)))

    def marked(self, span):
        """The lines of a span, with the span between two @."""
        first = self.text.rfind(b'\n', 0, span[0]) + 1
        last = self.text.find(b'\n', span[1])
        return ' '.join((self.piece(first, span[0]) + '@' + self.piece(*span) +
                         '@' + self.piece(span[1], last)).split())

    def piece(self, first, last):
        return self.text[first:last].decode(errors='replace')

    def mutated(self):
        """The text with all edits, inner ones within outer ones."""
        edits = sorted(self.edits, key=lambda e: (e[0][0], -e[0][1]))
        return self.render(0, len(self.text), edits)

    def render(self, first, last, edits):
        out, at = [], first
        while edits:
            span, template = edits[0]
            inner = [e for e in edits[1:] if e[0][0] < span[1]]
            out.append(self.piece(at, span[0]))
            body = self.render(span[0], span[1], inner)
            out.append(template.replace('{}', body))
            edits = edits[1 + len(inner):]
            at = span[1]
        out.append(self.piece(at, last))
        return ''.join(out)


def mutate_operator(source, node, span):
    op = node['opcode']
    left, right = extent(node['inner'][0]), extent(node['inner'][1])
    if op not in OPERATORS or left is None or right is None:
        return
    between = source.piece(left[1], right[0])
    if between.count(op) != 1 or '/*' in between:
        return
    # A pointer has no product, and is no part of a sum that is negative.
    types = [c.get('type', {}).get('qualType', '') for c in node['inner'][:2]]
    if op in '+-' and any('*' in t or '[' in t for t in types):
        return
    other = OPERATORS[op]
    a, b = source.piece(*left), source.piece(*right)
    changed = a + between.replace(op, other) + b
    source.add(span, op + ' to ' + other, '(MUT ? (%s) : ({}))' % changed)


def mutate_condition(source, node):
    span = extent(node)
    if span is not None:
        raw = source.piece(*span)
        source.add(span, 'negated', '(MUT ? !(%s) : !!({}))' % raw.replace(
            '{}', '{ }'))


def mutate_statement(source, node):
    """A call or an assignment is left out."""
    span = extent(node)
    if span is None:
        return
    kind = node.get('kind')
    if kind not in STATEMENTS and not (
            kind == 'BinaryOperator' and node.get('opcode') == '='):
        return
    source.add(span, 'left out', '(MUT ? (void) 0 : (void) ({}))')


def walk(source, node, in_body):
    kind = node.get('kind')
    children = [c for c in node.get('inner', []) if c]
    # What has to be a constant, or is no code.
    if kind in ('ConstantExpr', 'StmtExpr', 'StaticAssertDecl', 'OffsetOfExpr',
                'UnaryExprOrTypeTraitExpr', 'GCCAsmStmt'):
        return
    if kind == 'VarDecl' and node.get('storageClass') == 'static':
        return
    if in_body:
        span = extent(node)
        if span is not None:
            if kind in ('BinaryOperator', 'CompoundAssignOperator'):
                mutate_operator(source, node, span)
            elif kind == 'IntegerLiteral':
                source.add(span, 'plus 1', '(MUT ? {} + 1 : {})')
        if kind in ('IfStmt', 'WhileStmt', 'ConditionalOperator') and children:
            mutate_condition(source, children[0])
        if kind == 'CompoundStmt':
            for child in children:
                mutate_statement(source, child)
        elif kind in ('IfStmt', 'WhileStmt'):
            for child in children[1:]:
                mutate_statement(source, child)
        elif kind in ('ForStmt', 'CaseStmt', 'DefaultStmt', 'LabelStmt'):
            mutate_statement(source, children[-1])
    for child in children:
        walk(source, child, in_body or kind == 'FunctionDecl')


def main():
    cc, arguments = sys.argv[1], sys.argv[2:]
    rooms = os.environ.get('NULLBLK_ROOMS', '').split()
    sources = [a for a in arguments if a.endswith('.c')]
    name = None
    if len(sources) == 1 and '-c' in arguments:
        parts = os.path.realpath(sources[0]).split(os.sep)
        if len(parts) > 3 and parts[-3] == 'plugin' and parts[-2] in rooms:
            name = '/'.join(parts[-2:])
    if name is None:
        sys.exit(subprocess.call([cc] + arguments))
    path = sources[0]
    with open(path, 'rb') as f:
        source = Source(name, f.read())
    flags = [a for a in arguments if a[:2] in ('-I', '-D', '-U')]
    tree = json.loads(subprocess.run(
        ['clang', '-fsyntax-only', '-w', '-Xclang', '-ast-dump=json'] + flags +
        [path], check=True, stdout=subprocess.PIPE,
        # A clang that is ccache's would show the preprocessed text.
        env=dict(os.environ, CCACHE_DISABLE='1')).stdout)
    for node in tree['inner']:
        if node.get('kind') == 'FunctionDecl' and \
           'includedFrom' not in node.get('loc', {}):
            walk(source, node, False)
    listed = os.path.join(os.environ['NULLBLK_MUTANTS'],
                          name.replace('/', ':') + '.json')
    with open(listed + '.%d' % os.getpid(), 'w') as f:
        json.dump({'file': name, 'mutants': source.mutants}, f)
    os.rename(f.name, listed)
    # Its name goes into make's dependencies, so it stays; and it is older than
    # the objects that have been made of it already.
    folder = os.path.join(os.environ['NULLBLK_MUTANTS'], name)
    os.makedirs(folder, exist_ok=True)
    mutated = os.path.join(folder, os.path.basename(path))
    text = source.mutated()
    if not os.path.exists(mutated) or open(mutated).read() != text:
        with open(mutated + '.%d' % os.getpid(), 'w') as f:
            f.write(text)
        os.rename(f.name, mutated)
    here = os.path.dirname(os.path.abspath(__file__))
    changed = [mutated if a == path else a for a in arguments]
    sys.exit(subprocess.call(
        [cc, '-w', '-iquote', os.path.dirname(path), '-include',
         os.path.join(here, 'mutant.h')] + changed))


main()
