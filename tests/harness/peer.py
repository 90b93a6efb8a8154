# SPDX-License-Identifier: Apache-2.0
"""C peers that count what they do, and what they are asked for while they work."""

import re
import signal
import subprocess
import typing

from harness.paths import PEERS
from harness.process import Process
from harness.waiting import wait_until


class Peer(Process):
    """Prints where it listens, and how much it has done when it gets SIGUSR1. prefix: a command that runs it."""

    _LISTENING = re.compile(r'^listening on .*:(\d+)$', re.MULTILINE)
    _COUNTS = re.compile(r'^(?:answered|events)=(\d+) .*ns=(\d+)$', re.MULTILINE)

    def __init__(self, program, *arguments, prefix=()):
        super().__init__([*prefix, program, *arguments])
        self.port = int(self.wait_line(self._LISTENING)[1])

    def counts(self):
        """(how many, at which monotonic time in seconds)."""
        n, ns = ask(self, self._COUNTS)
        return int(n), int(ns) / 1e9


def ask(process, pattern):
    """What the peer prints when it gets SIGUSR1: the groups of the pattern."""
    before = len(pattern.findall(process.text()))
    process.signal(signal.SIGUSR1)
    return wait_until(lambda: pattern.findall(process.text())[before:], f'{process.argv} prints its counts', interval=0.001)[0]


# ---- a serial line that takes its time


class LineCounts(typing.NamedTuple):
    answered: int
    early: int          # of these, before the line was free
    wire: float         # seconds that they take at least
    late: float         # seconds that the peer itself was late
    at: float           # when the line was free after the last


class PacedLine(Process):
    """tests/peers/paced-line.c: Modbus RTU devices; those with unit ids below `first` do not answer."""

    _COUNTS = re.compile(r'^answered=(\d+) early=(\d+) wire=(\d+) late=(\d+) ns=(\d+)$', re.MULTILINE)
    _WRITE = re.compile(r'^write \d+ (\d+) (\d+)$', re.MULTILINE)

    def __init__(self, baudrate, prefix=(), first=0):
        super().__init__([*prefix, PEERS / 'paced-line', f'--baudrate={baudrate}', f'--first={first}'])
        self.baudrate = baudrate
        self.path = self.wait_line(re.compile(r'^line=(.*)$', re.MULTILINE))[1]

    def counts(self):
        answered, early, *times = map(int, ask(self, self._COUNTS))
        return LineCounts(answered, early, *(i / 1e9 for i in times))

    def writes(self):
        """Value → monotonic time in seconds at which it came."""
        return {int(value): int(ns) / 1e9 for value, ns in self._WRITE.findall(self.text())}

    def transaction(self, registers):
        """Seconds that reading them takes, the silence after both frames included."""
        return (8 + 5 + 2 * registers + 7) * 10 / self.baudrate

    def rate(self, run):
        """While `run` runs: (requests per second, the part of the time in which the line had to be busy). What the peer was
        late does not count. No request may come before the line is free."""
        a = self.counts()
        run()
        b = self.counts()
        assert b.early == a.early, f'{b.early - a.early} requests came before the silence was over'
        elapsed = b.at - a.at
        return (b.answered - a.answered) / elapsed, (b.wire - a.wire) / (elapsed - (b.late - a.late))


# ---- libmodbus' clients, many and one


def _printed(command):
    out = subprocess.run([str(i) for i in command], check=True, capture_output=True, text=True, timeout=60).stdout
    return {k: float(v) for k, v in re.findall(r'(\w+)=([\d.]+)', out)}


def run_loop(*arguments, prefix=()):
    """tests/peers/libmodbus-loop.c: what it prints, as a dict."""
    return _printed([*prefix, PEERS / 'libmodbus-loop', *arguments])


def run_load(port, masters, registers, seconds, prefix=()):
    """tests/peers/modbus-load.c: the same, of what so many masters are answered."""
    return _printed([*prefix, PEERS / 'modbus-load', port, masters, registers, seconds])
