# SPDX-License-Identifier: Apache-2.0
"""Coarse bounds of what Modbus lines cost, with libmodbus in the same run where there is something to compare;
tests/bench/modbus.py measures it properly. What is measured is the CPU time of the process, or a ratio, or a line that is so slow
that the machine does not matter."""

import statistics
import time

import pytest

from harness.config import NATIVE, data, master, remote, slave, slave_data
from harness.eventer import Eventer
from harness.line import serial_transport
from harness.paths import PEERS
from harness.peer import PacedLine, Peer, run_load, run_loop
from harness.ports import connects, free_port
from harness.waiting import PATIENCE, wait_until

pytestmark = [pytest.mark.release, pytest.mark.timeout(240), pytest.mark.event_servers('embedded')]

SLACK = 2               # of the aims: other things run on this machine
BAUDRATE = 9600
REGISTERS = 10


@pytest.fixture
def eventer(event_server):
    """A client that is told nothing: it only enables and writes."""
    with Eventer(event_server.port, subscriptions=[]) as client:
        yield client


def registers(n, interval=0):
    return [data(f'r{i}', start=i, interval=interval) for i in range(n)]


def enable(eventer, names, units=(1,)):
    eventer.register_many([(f'{NATIVE.prefix(name)}/system/{rest}enable', True) for name in names
                           for rest in ('', *(f'remote_device/{i}/' for i in units))])


@pytest.fixture
def line():
    with PacedLine(BAUDRATE) as paced:
        yield paced


@pytest.fixture
def polling(line, gatewayd, event_server, eventer):
    """polling(units, items, …) runs a master on the line, until it polls."""
    def run(units, items, **connection):
        transport = serial_transport(line.path, baudrate=BAUDRATE)
        gatewayd(NATIVE.config([master('plc', None, [remote(i, items) for i in units], 'RTU', transport=transport,
                                       request_timeout=5, **connection)], event_server.port), log_level='err')
        enable(eventer, ['modbus_master/plc'], units)
        wait_until(lambda: line.counts().answered > len(units), 'the gateway polls', 30 * PATIENCE)

    return run


def test_serial_line_is_busy(line, polling, n=125):
    with PacedLine(BAUDRATE) as other:
        loop = ['--rtu', other.path, BAUDRATE, n]
        run_loop(*loop, 0.1)
        library = other.rate(lambda: run_loop(*loop, 4))[1]
    polling([1], registers(n))
    ours = line.rate(lambda: time.sleep(5))[1]
    print(f'{ours:.1%} of the wire-time bound, the libmodbus loop {library:.1%}')
    assert ours >= library * (1 - 0.03 * SLACK)
    assert ours >= 1 - 0.03 * SLACK     # of a transaction of 0.28 s that is 17 ms, the peer's own delays not counted


def test_write_overtakes_polls(line, polling, eventer):
    """Ten units wait for their turn; a write does not."""
    polling(range(1, 11), [*registers(REGISTERS), data('w', start=500, interval=None)], write_priority=True)
    took = []
    for value in range(1, 21):
        begin = time.monotonic()
        eventer.register(f'{NATIVE.prefix("modbus_master/plc")}/system/remote_device/7/write/w',
                         {'request_id': str(value), 'value': value})
        took.append(wait_until(lambda v=value: line.writes().get(v), 'the write came', 30 * PATIENCE) - begin)
    step = line.transaction(REGISTERS)
    print(f'a write is on the line after {statistics.median(took) * 1e3:.0f} ms, a transaction takes {step * 1e3:.0f} ms')
    assert statistics.median(took) <= step + 0.001 + 2 * step


def test_dead_units(gatewayd, event_server, eventer, n=20, n_dead=5, timeout=1, budget=0.05):
    """Two lines in one daemon, of which one has dead units besides."""
    units = {'alone': range(n_dead + 1, n + 1), 'with-dead': range(1, n + 1)}
    with PacedLine(BAUDRATE) as alone, PacedLine(BAUDRATE, first=n_dead + 1) as with_dead:
        lines = {'alone': alone, 'with-dead': with_dead}
        gatewayd(NATIVE.config([master(name, None, [remote(i, registers(REGISTERS)) for i in units[name]], 'RTU',
                                       transport=serial_transport(line.path, baudrate=BAUDRATE), request_timeout=timeout,
                                       probe_budget=budget) for name, line in lines.items()], event_server.port), log_level='err')
        for name in lines:
            enable(eventer, [f'modbus_master/{name}'], units[name])
        # Ten rounds later the dead are known.
        wait_until(lambda: with_dead.counts().answered > 10 * n, 'the gateway polls', 60 * PATIENCE)
        before = [line.counts().answered for line in lines.values()]
        time.sleep(2 * timeout / budget)
        answered = [line.counts().answered - n for line, n in zip(lines.values(), before)]
    print(f'{answered[0]} requests, with dead units {answered[1]}: {answered[1] / answered[0]:.1%}')
    assert answered[1] >= (1 - SLACK * budget) * answered[0]


@pytest.mark.parametrize('n,n_registers,interval,percent', [(1000, 10, 1, 15), (500, 30, 0.5, 12)])
def test_many_devices(n, n_registers, interval, percent, gatewayd, event_server, eventer):
    names = [f'plc-{i}' for i in range(n)]
    with Peer(PEERS / 'modbus-fast') as device:
        gateway = gatewayd(NATIVE.config([master(i, device.port, [remote(1, registers(n_registers, interval))], request_timeout=5)
                                          for i in names], event_server.port), log_level='err')
        enable(eventer, [f'modbus_master/{i}' for i in names])
        wait_until(lambda: device.counts()[0] > 4 * n, 'all are polled', 60 * PATIENCE)
        before, cpu = device.counts(), gateway.process.cpu_seconds()
        time.sleep(5)
        after, cpu = device.counts(), gateway.process.cpu_seconds() - cpu
        pss = gateway.process.memory_kib('Pss')
    polls = after[0] - before[0]
    print(f'{polls / (after[1] - before[1]):.0f} polls/s, {cpu / polls * 1e6:.0f} us of CPU each, {pss} KiB')
    assert cpu / polls <= SLACK * percent / 100 * interval / n
    assert pss <= 20 << 10


def cpu_per_request(server, port, n, seconds=0.5):
    before = server.cpu_seconds()
    requests = run_load(port, 100, n, seconds)['requests']
    return (server.cpu_seconds() - before) / requests


def test_slave_with_many_masters(gatewayd, event_server, eventer):
    port, n = free_port(), 100
    gateway = gatewayd(NATIVE.config([slave('view', port, [slave_data(f'r{i}', start=i) for i in range(n)])], event_server.port),
                       log_level='err')
    eventer.register(f'{NATIVE.prefix("modbus_slave/view")}/system/enable', True)
    wait_until(lambda: connects(port), 'the slave listens', 30 * PATIENCE)
    ratios = []
    with Peer(PEERS / 'modbus-device') as library:
        for _ in range(5):
            ours, other = (cpu_per_request(*i, n) for i in ((gateway.process, port), (library, library.port)))
            ratios.append(ours / other)
    print(f'{[f"{i:.2f}" for i in ratios]} of the CPU time that libmodbus takes for a request')
    assert statistics.median(ratios) <= SLACK
