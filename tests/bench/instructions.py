#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions that the daemon executes per poll and per change event, counted by callgrind. Each number is the
difference of two runs of different length, so what a start and an end cost is not in it.

Without arguments: prints them. --update: writes them into docs/performance.md. --check: fails when one of them is more
than 10 % above what stands there."""

import argparse
import pathlib
import re
import shutil
import sys
import tempfile

import scene
from harness.gateway import Gateway

PERFORMANCE = scene.ROOT / 'docs/performance.md'
TOLERANCE = 0.10
REGISTERS = 1000
EVENTS_PER_POLL = 125
#: Requests of the short run, and of the long one.
POLLS = {False: (2000, 22000), True: (200, 1400)}

ROWS = {'poll': 'poll of 125 registers, values unchanged', 'event': 'change event, its part of the poll included'}


def count_run(directory, changing, n_polls, keep=None):
    """All instructions of one run of the daemon that polls so often."""
    out = directory / f'callgrind-{changing}-{n_polls}'
    arguments = [f'--stop-after={n_polls}', *(['--changing'] if changing else [])]
    valgrind = ('valgrind', '--tool=callgrind', f'--callgrind-out-file={out}')

    with scene.event_sink() as sink, scene.modbus_fast(*arguments) as device:
        config = scene.gateway_config(sink.port, device.port, n_registers=REGISTERS, request_timeout=3600)
        with Gateway(config, directory, prefix=valgrind, log_level='warning', wait=False) as gateway:
            gateway.wait_ready(timeout=120)
            device.wait_line(re.compile(f'^stopped={n_polls} ', re.MULTILINE), timeout=120)
            gateway.stop(timeout=60)

    if keep:
        shutil.copy(out, f'{keep}-{"changing" if changing else "unchanged"}-{n_polls}')
    return int(re.search(r'^(?:summary|totals): (\d+)$', out.read_text(), re.MULTILINE)[1])


def measure(directory, changing, keep=None):
    """Instructions per poll."""
    short, long = (count_run(directory, changing, n, keep) for n in POLLS[changing])
    return (long - short) / (POLLS[changing][1] - POLLS[changing][0])


def measure_all(keep=None):
    with tempfile.TemporaryDirectory(prefix='gatewayd-bench-') as name:
        directory = pathlib.Path(name)
        return {'poll': measure(directory, False, keep), 'event': measure(directory, True, keep) / EVENTS_PER_POLL}


def recorded():
    text = PERFORMANCE.read_text()
    return {key: int(re.search(rf'^\| {re.escape(row)} \| ([\d,]+) \|$', text, re.MULTILINE)[1].replace(',', ''))
            for key, row in ROWS.items()}


def update(measured):
    text = PERFORMANCE.read_text()
    for key, row in ROWS.items():
        text, n = re.subn(rf'^\| {re.escape(row)} \| [\d,]+ \|$', f'| {row} | {measured[key]:,.0f} |', text,
                          flags=re.MULTILINE)
        assert n == 1, f'docs/performance.md has no row: {row}'
    PERFORMANCE.write_text(text)


def check(measured):
    good = True
    for key, before in recorded().items():
        growth = measured[key] / before - 1
        bad = growth > TOLERANCE
        good = good and not bad
        print(f'{ROWS[key]}: {measured[key]:,.0f}, recorded {before:,}, {growth:+.1%}{": TOO MUCH" if bad else ""}')
    if not good:
        print('If that is wanted: tests/bench/instructions.py --update, and say in the commit why.', file=sys.stderr)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='compare with docs/performance.md')
    parser.add_argument('--update', action='store_true', help='write docs/performance.md')
    parser.add_argument('--keep', metavar='PATH', help='keep the callgrind files as PATH-…')
    arguments = parser.parse_args()

    measured = measure_all(arguments.keep)
    if arguments.update:
        update(measured)
    if arguments.check:
        return 0 if check(measured) else 1
    for key, row in ROWS.items():
        print(f'{row}: {measured[key]:,.1f}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
