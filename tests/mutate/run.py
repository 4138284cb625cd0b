#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
"""Do the unit tests of a room notice when one token of it changes?

    tests/mutate/run.py [OPTION]... ROOM...

Builds the rooms with all their mutants (see cc.py), sees which of them each
test comes by, draws some, and runs the tests of the room that come by one, the
quickest first, until one of them fails.  Prints a row for each room, and the
mutants that no test has noticed.  Those that none can notice are in the file
"equivalent" beside this one, with the reason, and are not drawn.  Only the tests of the room itself count, plain, without the
sanitizers.

Not run by make check.  Needs clang, and what make check needs.
"""

import argparse
import concurrent.futures
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))


def parse():
    p = argparse.ArgumentParser(
        description='Do the unit tests of a room notice when one token of it '
        'changes?')
    p.add_argument('rooms', nargs='+', metavar='ROOM',
                   help='a folder of plugin/')
    p.add_argument('--build', metavar='DIR',
                   help='build there, and keep it; a temporary folder by '
                   'default')
    p.add_argument('--sample', type=int, default=100, metavar='N',
                   help='of each room, 100 by default; 0 for all')
    p.add_argument('--seed', type=int, default=1,
                   help='of the sample and of random tests, 1 by default')
    p.add_argument('--jobs', type=int, default=os.cpu_count(), metavar='N',
                   help='tests at a time, as many as CPUs by default')
    p.add_argument('--cc', default='gcc', help='gcc by default')
    return p.parse_args()


def tests_of(room):
    """The names of a room's programs in programs.list."""
    names = []
    with open(os.path.join(TOP, 'tests/unit/programs.list')) as f:
        for line in f:
            name = line.split()[0] if line.strip() else ''
            if name.startswith(room + '/') and not line[0].isspace():
                names.append(name)
    return names


def build(options, directory):
    """Build the libraries with all mutants, and the plain tests."""
    mutants = os.path.join(directory, 'mutants')
    os.makedirs(mutants, exist_ok=True)
    environment = dict(os.environ, NULLBLK_ROOMS=' '.join(options.rooms),
                       NULLBLK_MUTANTS=mutants)
    log = os.path.join(directory, 'log')

    def do(*command, where=directory):
        with open(log, 'a') as f:
            r = subprocess.run(command, cwd=where, env=environment, stdout=f,
                               stderr=f, stdin=subprocess.DEVNULL)
        if r.returncode != 0:
            sys.exit('%s: this failed: %s' % (log, ' '.join(command)))

    if not os.path.exists(os.path.join(TOP, 'configure')):
        do(os.path.join(TOP, 'bootstrap'), where=TOP)
    if not os.path.exists(os.path.join(directory, 'config.status')):
        do(os.path.join(TOP, 'configure'), 'CFLAGS=-O1 -w',
           'CC=%s %s %s' % (sys.executable, os.path.join(HERE, 'cc.py'),
                            options.cc))
    programs = ['unit/' + t for room in options.rooms for t in tests_of(room)]
    jobs = '-j%d' % options.jobs
    do('make', jobs, '-C', 'plugin')
    do('make', jobs, '-C', 'tests', *programs)
    return mutants


def run_test(directory, test, limit, **environment):
    """Returns whether the test passed, and how long it took, in seconds."""
    tests = os.path.join(directory, 'tests')
    environment = dict(os.environ, MALLOC_PERTURB_='165', srcdir=os.path.join(
        TOP, 'tests'), top_srcdir=TOP, top_builddir=directory, **environment)
    began = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([os.path.join(tests, 'unit', test)],
                                   cwd=tests, env=environment, stdout=out,
                                   stderr=out, stdin=subprocess.DEVNULL,
                                   start_new_session=True)
        try:
            passed = process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            passed = False
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            pass
        process.wait()
    return passed, time.monotonic() - began


def find_reached(directory, test, seed):
    """Which mutants a test comes by, and how long it takes."""
    with tempfile.TemporaryDirectory() as tmp:
        name = os.path.join(tmp, 'reached')
        passed, seconds = run_test(directory, test, 600,
                                   NULLBLK_MUTANT='reached',
                                   NULLBLK_REACHED=name, NULLBLK_SEED=seed)
        if not passed:
            sys.exit('%s fails without a mutant' % test)
        data = b''
        if os.path.exists(name):
            with open(name, 'rb') as f:
                data = f.read()
    return {n for (n,) in struct.iter_unpack('=I', data)}, seconds


def read_equivalent():
    """Those that no test can notice."""
    known = set()
    path = os.path.join(HERE, 'equivalent')
    with open(path) as f:
        for line in f:
            if line.strip() and line[0] != '#':
                known.add(tuple(w.strip() for w in line.split(' | ', 2)))
    return known


def key_of(file, mutant):
    return file, mutant['kind'], ' '.join(mutant['text'].split())


def look_at(directory, mutant, tests, seed):
    """The test that notices a mutant, or None."""
    for seconds, test in tests:
        passed, _ = run_test(directory, test, 5 + 20 * seconds,
                             NULLBLK_MUTANT=str(mutant['number']),
                             NULLBLK_SEED=seed)
        if not passed:
            return test
    return None


def look_at_room(options, directory, mutants, room, known):
    seed = str(options.seed)
    tests = [(t, *find_reached(directory, t, seed)) for t in tests_of(room)]
    every = []
    for name in sorted(os.listdir(mutants)):
        if name.startswith(room + ':') and name.endswith('.json'):
            with open(os.path.join(mutants, name)) as f:
                listed = json.load(f)
            every += [(listed['file'], m) for m in listed['mutants']]
    drawn = every
    if 0 < options.sample < len(every):
        drawn = random.Random(options.seed).sample(every, options.sample)
    drawn = [(file, m) for file, m in drawn if key_of(file, m) not in known]

    def look(entry):
        number = entry[1]['number']
        reaching = sorted((seconds, t) for t, reached, seconds in tests
                          if number in reached)
        return look_at(directory, entry[1], reaching, seed), bool(reaching)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(look, drawn))
    noticed = sum(r[0] is not None for r in results)
    print('%-8s %6d mutants, %4d drawn, %4d noticed: %5.1f %%' %
          (room, len(every), len(drawn), noticed,
           100 * noticed / max(1, len(drawn))))
    for (file, m), (test, is_reached) in zip(drawn, results):
        if test is None:
            print('  plugin/%s:%d: %s%s: %s' % (
                file, m['line'], m['kind'], '' if is_reached else
                ' (no test comes by)', ' '.join(m['text'].split())[:100]))
    sys.stdout.flush()
    return 10 * noticed >= 9 * len(drawn)


def main():
    options = parse()
    for room in options.rooms:
        if not tests_of(room):
            sys.exit('%s: no room of plugin/ with tests' % room)
    known = read_equivalent()
    with tempfile.TemporaryDirectory() as temporary:
        directory = os.path.abspath(options.build or temporary)
        os.makedirs(directory, exist_ok=True)
        mutants = build(options, directory)
        good = [look_at_room(options, directory, mutants, room, known)
                for room in options.rooms]
    sys.exit(0 if all(good) else 1)


main()
