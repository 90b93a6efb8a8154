# SPDX-License-Identifier: Apache-2.0
"""What the measurements share: configurations, peers, processes tied to processors."""

import os
import pathlib
import re
import signal
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests'))

from harness.config import HAT, NATIVE, data, master, remote   # noqa: E402
from harness.paths import BUILD, PEERS                          # noqa: E402
from harness.process import Process                             # noqa: E402
from harness.waiting import wait_until                          # noqa: E402

BENCH = BUILD / 'tests/bench'

_LISTENING = re.compile(r'^listening on .*:(\d+)$', re.MULTILINE)
_COUNTS = re.compile(r'^(?:answered|events)=(\d+) .*ns=(\d+)$', re.MULTILINE)


#: Whether what is measured comes before everything else on the machine.
realtime = False


def pinned(cpus=()):
    """Arguments that tie a process to these processors."""
    return (*(('chrt', '--fifo', '1') if realtime else ()),
            *(('taskset', '-c', ','.join(map(str, cpus))) if cpus else ()))


def ask(process, pattern):
    """What a C peer prints when it gets SIGUSR1: the groups of the pattern."""
    before = len(pattern.findall(process.text()))
    process.signal(signal.SIGUSR1)
    return wait_until(lambda: pattern.findall(process.text())[before:], f'{process.argv} prints its counts', interval=0.001)[0]


class Peer(Process):
    """A C peer that prints where it listens, and how much it has done when it gets SIGUSR1."""

    def __init__(self, program, *arguments, cpus=()):
        super().__init__([*pinned(cpus), program, *arguments])
        self.port = int(self.wait_line(_LISTENING)[1])

    def counts(self):
        """(how many, at which monotonic time in seconds)."""
        n, ns = ask(self, _COUNTS)
        return int(n), int(ns) / 1e9


def modbus_fast(*arguments, cpus=()):
    return Peer(PEERS / 'modbus-fast', *arguments, cpus=cpus)


def event_sink(*arguments, cpus=()):
    return Peer(BENCH / 'event-sink', *arguments, cpus=cpus)


def registers(n, interval):
    """n holding registers as n data items."""
    return [data(f'r{i}', start=i, interval=interval) for i in range(n)]


def gateway_config(event_port, modbus_port, n_devices=1, n_registers=1000, interval=0, hat=False, **connection):
    """A gateway `bench` whose devices `dev0` … poll n_registers of one modbus-fast each. hat: the configuration that both
    gateways take, in the hat form."""
    values = {'connect_timeout': 5, 'request_timeout': 5, **connection}
    devices = [master(f'dev{i}', modbus_port, [remote(1, registers(n_registers, interval), timeout_poll_delay=1)],
                      **values) for i in range(n_devices)]
    if not hat:
        return NATIVE.config(devices, event_port, name='bench')
    return {'type': 'gateway', 'log': {'version': 1, 'disable_existing_loggers': False, 'root': {'level': 'ERROR'}},
            **HAT.config(devices, event_port, name='bench')}


def latency_config(event_port, modbus_port, mode):
    """The gateway that latency-peer wants."""
    item = data('r', interval=0.002) if mode == 'read' else data('w', interval=None)
    device = master('dev', modbus_port, [remote(1, [item])], connect_timeout=5, request_timeout=5)
    return NATIVE.config([device], event_port, name='bench')


def poll_config(modbus_port, interval, **main):
    """A gateway `bench` whose device `dev` polls one register."""
    device = master('dev', modbus_port, [remote(1, [data('r', interval=interval)])], connect_timeout=5, request_timeout=5)
    return NATIVE.config([device], name='bench', **main)


def cpu_seconds(pid):
    """User and system time of all threads of a process so far, as exact as the scheduler has it."""
    return sum(int(i.read_text().split()[0]) for i in pathlib.Path(f'/proc/{pid}/task').glob('*/schedstat')) / 1e9


def cpu_count():
    return len(os.sched_getaffinity(0))
