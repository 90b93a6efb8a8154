# SPDX-License-Identifier: Apache-2.0
"""What the measurements share: configurations, peers, processes tied to processors."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests'))

from harness.config import HAT, NATIVE, data, master, remote   # noqa: E402
from harness.paths import BUILD, PEERS                          # noqa: E402
from harness.peer import Peer                                   # noqa: E402

BENCH = BUILD / 'tests/bench'

#: Whether what is measured comes before everything else on the machine.
realtime = False


def pinned(cpus=()):
    """Arguments that tie a process to these processors."""
    return (*(('chrt', '--fifo', '1') if realtime else ()),
            *(('taskset', '-c', ','.join(map(str, cpus))) if cpus else ()))


def modbus_fast(*arguments, cpus=()):
    return Peer(PEERS / 'modbus-fast', *arguments, prefix=pinned(cpus))


def event_sink(*arguments, cpus=()):
    return Peer(BENCH / 'event-sink', *arguments, prefix=pinned(cpus))


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


def cpu_count():
    return len(os.sched_getaffinity(0))
