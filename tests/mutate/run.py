#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The nullblk authors
"""Do the unit tests of a room notice when one token of it changes?

    tests/mutate/run.py [OPTION]... ROOM...

Builds the rooms with all their mutants (see cc.py), sees which of them each
test comes by, draws some, and runs the tests of the room that come by one until
one of them fails: first the plain ones, the quickest of them first, then those
with a sanitizer.  Prints the mutants that no test has noticed, and a row for
each room.  Those that none can notice are in the file "equivalent" beside this
one, with the reason, and do not count.  Only the tests of the room itself
count.

With --build DIR those that were noticed are listed in DIR/noticed, and are not
tried again, in whatever run: so a run that was broken off can go on, and a new
test is shown those alone that are left.

Not run by make check.  Needs clang, and what make check needs.
"""

import argparse
import concurrent.futures
import json
import os
import random
import re
import select
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
                   help='a directory of plugin/')
    p.add_argument('--build', metavar='DIR',
                   help='build there, and keep it; a temporary directory by '
                   'default')
    p.add_argument('--sample', type=int, default=100, metavar='N',
                   help='of each room, 100 by default; 0 for all')
    p.add_argument('--seed', type=int, default=1,
                   help='of the sample and of random tests, 1 by default')
    p.add_argument('--at', action='append', metavar='FILE:LINE',
                   help='all mutants of this line instead of a sample, such as '
                   'store/arena.c:30; may be given several times')
    p.add_argument('--only', action='append', metavar='FILE',
                   help='draw from this file alone, such as store/arena.c; may '
                   'be given several times')
    p.add_argument('--plain', action='store_true',
                   help='no tests with a sanitizer, which take much longer')
    p.add_argument('--for', type=float, metavar='SECONDS', dest='seconds',
                   help='begin with no mutant after that; the same call goes '
                   'on where this one has ended, if it has the same --build')
    p.add_argument('--verbose', action='store_true',
                   help='print the mutants that are noticed, too')
    p.add_argument('--jobs', type=int, default=os.cpu_count(), metavar='N',
                   help='tests at a time, as many as CPUs by default')
    p.add_argument('--cc', default='gcc', help='gcc by default')
    return p.parse_args()


def tests_of(room, is_plain):
    """The names of a room's programs in programs.list, and of those with a
    sanitizer."""
    names = []
    with open(os.path.join(TOP, 'tests/unit/programs.list')) as f:
        for line in f:
            words = line.split()
            if words and words[0].startswith(room + '/'):
                names += [words[0], words[0] + '-asan']
                if 'threads' in words:
                    names.append(words[0] + '-tsan')
    return [n for n in names if not is_plain or not is_sanitized(n)]


def is_sanitized(test):
    return test.endswith('-asan') or test.endswith('-tsan')


def build(options, directory):
    """Build the libraries with all mutants, and the tests."""
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
    programs = ['unit/' + t for room in options.rooms
                for t in tests_of(room, options.plain)]
    jobs = '-j%d' % options.jobs
    do('make', jobs, '-C', 'plugin')
    do('make', jobs, '-C', 'tests', *programs)
    return mutants


def usage(group):
    """How much CPU time the processes of a group have had, in seconds, and
    whether one of their threads runs, or would if the machine had time for it."""
    ticks, runs = 0, False
    for process in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/stat' % process) as f:
                fields = f.read().rpartition(')')[2].split()
            if int(fields[2]) != group:
                continue
            ticks += sum(map(int, fields[11:15]))
            for task in os.listdir('/proc/%s/task' % process):
                with open('/proc/%s/task/%s/stat' % (process, task)) as f:
                    runs |= f.read().rpartition(')')[2].split()[0] in 'RDT'
        except (FileNotFoundError, ProcessLookupError):
            pass
    return ticks / os.sysconf('SC_CLK_TCK'), runs


# So long no thread of a test has anything to do, if it waits for ever; and so
# much more CPU time than without a mutant it takes, if it has a loop for ever.
# Threads that wait for each other by sched_yield get hardly any CPU time on a
# machine that has other work, so a test has a limit of time, too: so long, or
# so many times what it took without a mutant.  All but MORE_TIMES in seconds.
IDLE, MORE_CPU, LIMIT, MORE_TIMES = 15, 1, 60, 20


def await_end(process, cpu, limit):
    """Read what a test writes, which takes CPU seconds without a mutant, up to
    the first case that fails.  Returns 'failed', 'ended', 'hangs', or 'slow' if
    LIMIT seconds have passed."""
    text = b''
    looked = time.monotonic()
    lasted = last = had = 0
    while True:
        if select.select([process.stdout], [], [], 1)[0]:
            more = os.read(process.stdout.fileno(), 65536)
            if not more:
                return 'ended'
            text += more
            for line in text.split(b'\n')[:-1]:
                if line.startswith(b'not ok') and b'# SKIP' not in line:
                    return 'failed'
            text = text.rpartition(b'\n')[2]
        now = time.monotonic()
        if now - looked < 1:
            continue
        # This program may have been stopped for a while.
        lasted += min(now - looked, 5)
        looked = now
        has, runs = usage(process.pid)
        if runs or has != had:
            had, last = has, lasted
        if lasted - last > IDLE or has > MORE_CPU + 5 * cpu:
            return 'hangs'
        if lasted > limit:
            return 'slow'


def run_test(directory, test, cpu, limit, **environment):
    """Run a test, which takes CPU seconds without a mutant.  Returns 'passed',
    'failed', 'hangs', or 'slow' if it is none of these within LIMIT seconds,
    and its CPU time."""
    tests = os.path.join(directory, 'tests')
    environment = dict(
        os.environ, MALLOC_PERTURB_='165', srcdir=os.path.join(TOP, 'tests'),
        TSAN_OPTIONS='halt_on_error=1', UBSAN_OPTIONS='halt_on_error=1',
        top_srcdir=TOP, top_builddir=directory, **environment)
    process = subprocess.Popen([os.path.join(tests, 'unit', test)], cwd=tests,
                               env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL,
                               start_new_session=True)
    result = await_end(process, cpu, limit)
    if result != 'ended':
        end(process)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    # What it has started may still be there.
    end(process)
    process.stdout.close()
    if result == 'ended':
        result = 'passed' if status == 0 else 'failed'
    return result, used.ru_utime + used.ru_stime


def end(process):
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass


def find_reached(directory, test, seed):
    """Which mutants a test comes by, its CPU time, and its limit of time.  They
    are kept until the test is made again."""
    kept = os.path.join(directory, 'reached', test.replace('/', ':') + seed)
    program = os.path.join(directory, 'tests/unit', test)
    if os.path.exists(kept) and \
       os.path.getmtime(kept) > os.path.getmtime(program):
        with open(kept) as f:
            reached, cpu, limit = json.load(f)
        return set(reached), cpu, limit
    found = see_reached(directory, test, seed)
    os.makedirs(os.path.dirname(kept), exist_ok=True)
    with open(kept + '.new', 'w') as f:
        json.dump([sorted(found[0]), *found[1:]], f)
    os.rename(f.name, kept)
    return found


def see_reached(directory, test, seed):
    with tempfile.TemporaryDirectory() as tmp:
        name = os.path.join(tmp, 'reached')
        began = time.monotonic()
        result, cpu = run_test(directory, test, 600, 3600,
                               NULLBLK_MUTANT='reached', NULLBLK_REACHED=name,
                               NULLBLK_SEED=seed)
        limit = max(LIMIT, MORE_TIMES * (time.monotonic() - began))
        if result != 'passed':
            sys.exit('%s without a mutant: %s' % (test, result))
        data = b''
        if os.path.exists(name):
            with open(name, 'rb') as f:
                data = f.read()
    return {n for (n,) in struct.iter_unpack('=I', data)}, cpu, limit


def pattern(text):
    """An expression of a text in which * is anything."""
    return re.compile('.*'.join(map(re.escape, text.split('*'))), re.DOTALL)


def read_equivalent():
    """Those that no test can notice: an expression for each column."""
    known = []
    with open(os.path.join(HERE, 'equivalent')) as f:
        for line in f:
            if line.strip() and line[0] != '#':
                known.append([pattern(w.strip())
                              for w in line.split(' | ', 2)])
    return known


def is_known(known, file, mutant):
    columns = file, mutant['kind'], mutant['text']
    return any(all(map(re.Pattern.fullmatch, line, columns)) for line in known)


def look_at(directory, mutant, tests, seed):
    """The test that notices a mutant, or None, and how its last one ended."""
    result = 'not reached'
    for cpu, limit, test in tests:
        result, _ = run_test(directory, test, cpu, limit, NULLBLK_SEED=seed,
                             NULLBLK_MUTANT=str(mutant['number']))
        if result != 'passed':
            return test, result
    return None, result


class Noticed:
    """The file that lists who was noticed, and by what."""

    def __init__(self, directory):
        self.name = os.path.join(directory, 'noticed')
        self.of = {}
        if os.path.exists(self.name):
            with open(self.name) as f:
                self.of = {tuple(line[0]): tuple(line[1])
                           for line in map(json.loads, f)}

    def add(self, key, result):
        self.of[key] = result
        with open(self.name, 'a') as f:
            f.write(json.dumps([key, result]) + '\n')


def look_at_room(options, directory, mutants, room, known):
    seed = str(options.seed)
    noticed = Noticed(directory)
    tests = [(t, *find_reached(directory, t, seed))
             for t in tests_of(room, options.plain)]
    every = []
    for name in sorted(os.listdir(mutants)):
        if name.startswith(room + ':') and name.endswith('.json'):
            with open(os.path.join(mutants, name)) as f:
                listed = json.load(f)
            every += [(listed['file'], m) for m in listed['mutants']]
    if options.only:
        every = [(file, m) for file, m in every if file in options.only]
    if options.at:
        drawn = [(file, m) for file, m in every
                 if '%s:%d' % (file, m['line']) in options.at]
    elif 0 < options.sample < len(every):
        drawn = random.Random(options.seed).sample(every, options.sample)
    else:
        drawn = every
    unknown = [(file, m) for file, m in drawn if not is_known(known, file, m)]

    stop = time.monotonic() + (options.seconds or float('inf'))

    def look(entry):
        file, mutant = entry
        number = mutant['number']
        key = file, mutant['line'], mutant['kind'], mutant['text']
        if key in noticed.of and not options.at:
            return noticed.of[key]
        if time.monotonic() > stop:
            return None, 'not tried'
        reaching = sorted((is_sanitized(t), cpu, limit, t)
                          for t, reached, cpu, limit in tests
                          if number in reached)
        test, result = look_at(directory, mutant, [r[1:] for r in reaching],
                               seed)
        if test is not None:
            noticed.add(key, (test, result))
        if test is None or options.verbose or options.at:
            print('%s:%d | %s | %s (%s%s)' % (
                file, mutant['line'], mutant['kind'], mutant['text'], result,
                ' ' + test if test else ''), flush=True)
        return test, result

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(look, unknown))
    tried = [r for r in results if r[1] != 'not tried']
    good = [r for r in results if r[0] is not None]
    print('%-8s %5d mutants, %4d drawn, %3d equivalent, %3d not tried, '
          '%4d noticed: %5.1f %%, '
          '%d of them by a sanitizer, %d as a test hangs, %d as one is slow' %
          (room, len(every), len(drawn), len(drawn) - len(unknown),
           len(results) - len(tried),
           len(good), 100 * len(good) / max(1, len(tried)),
           sum(is_sanitized(r[0]) for r in good),
           sum(r[1] == 'hangs' for r in good),
           sum(r[1] == 'slow' for r in good)))
    sys.stdout.flush()
    return 10 * len(good) >= 9 * len(unknown)


def main():
    options = parse()
    for room in options.rooms:
        if not tests_of(room, True):
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
