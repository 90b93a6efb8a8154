# SPDX-License-Identifier: Apache-2.0
"""Modbus lines and masters: a serial line that is as slow as a real one, many devices in one daemon, a slave with many masters,
writes on a line that is busy."""

import random
import re
import signal
import socket
import statistics
import subprocess
import time
import typing

import scene
from harness.config import NATIVE, data, master, remote, slave, slave_data
from harness.gateway import Gateway
from harness.line import serial_transport
from harness.paths import PEERS
from harness.ports import free_port
from harness.process import Process
from harness.waiting import wait_until

BAUDRATES = (9600, 115200)
SERIAL_SECONDS = 4.0
MANY_SECONDS = 10.0
SLAVE_SECONDS = 2.0
MASTERS = 100
SLAVE_REGISTERS = 100
WRITES = 200
WRITE_REGISTERS = 10


def start(directory, config, cpus=()):
    directory.mkdir(parents=True, exist_ok=True)
    return Gateway(config, directory, prefix=scene.pinned(cpus), log_level='err')


# ---- a serial line


class LineCounts(typing.NamedTuple):
    answered: int
    early: int          # of these, before the line was free
    wire: float         # seconds that they take at least
    late: float         # seconds that the peer itself was late
    at: float           # when the line was free after the last


class PacedLine(Process):
    """tests/peers/paced-line.c."""

    _COUNTS = re.compile(r'^answered=(\d+) early=(\d+) wire=(\d+) late=(\d+) ns=(\d+)$', re.MULTILINE)
    _WRITE = re.compile(r'^write \d+ (\d+) (\d+)$', re.MULTILINE)

    def __init__(self, baudrate, cpus=()):
        super().__init__([*scene.pinned(cpus), PEERS / 'paced-line', f'--baudrate={baudrate}'])
        self.path = self.wait_line(re.compile(r'^line=(.*)$', re.MULTILINE))[1]

    def counts(self):
        answered, early, *times = map(int, scene.ask(self, self._COUNTS))
        return LineCounts(answered, early, *(i / 1e9 for i in times))

    def writes(self):
        """Value → monotonic time in seconds at which it came."""
        return {int(value): int(ns) / 1e9 for value, ns in self._WRITE.findall(self.text())}


def characters(baudrate, n):
    """Seconds."""
    return n * 10 / baudrate


def transaction(baudrate, registers):
    """Seconds that reading them takes, both silences included."""
    return characters(baudrate, 8 + 5 + 2 * registers + 7)


def serial_config(event_port, line, baudrate, items, **connection):
    device = master('dev', None, [remote(1, items)], 'RTU', transport=serial_transport(line.path, baudrate=baudrate),
                    request_timeout=5, **connection)
    return NATIVE.config([device], event_port, name='bench')


def run_serial(directory, baudrate, registers):
    """(requests per second, the most that the line takes, its share of the time that the peer was not late)."""
    with scene.event_sink() as sink, PacedLine(baudrate) as line:
        config = serial_config(sink.port, line, baudrate, scene.registers(registers, 0))
        with start(directory, config):
            wait_until(lambda: line.counts().answered > 3, 'the gateway polls')
            a = line.counts()
            time.sleep(SERIAL_SECONDS)
            b = line.counts()
        assert b.early == 0, f'{b.early} requests came before the silence was over'
        elapsed, n = b.at - a.at, b.answered - a.answered
        return n / elapsed, n / (b.wire - a.wire), (b.wire - a.wire) / (elapsed - (b.late - a.late))


def bench_serial(table, directory, rounds):
    for baudrate in BAUDRATES:
        for registers in (125, 10):
            runs = [run_serial(directory / f'{baudrate}-{registers}-{i}', baudrate, registers) for i in range(rounds)]
            rate, bound, share = (statistics.median(i) for i in zip(*runs))
            table.add(f'serial RTU, {baudrate} bit/s, {registers} registers: requests/s; other: the wire', rate, bound)
            table.add(f'serial RTU, {baudrate} bit/s, {registers} registers: % of the wire-time bound', 100 * share, None,
                      '>= 97', share >= 0.97, digits=1)


# ---- many devices


def run_many(directory, n_devices, n_registers, interval, *arguments):
    """(share of a core, PSS in KiB) of a gateway that polls so many devices."""
    with scene.event_sink() as sink, scene.modbus_fast(*arguments) as device:
        config = scene.gateway_config(sink.port, device.port, n_devices, n_registers, interval)
        with start(directory, config) as gateway:
            wait_until(lambda: device.counts()[0] > 3 * n_devices, 'all are polled', 60)
            (n0, t0), cpu0 = device.counts(), scene.cpu_seconds(gateway.pid)
            time.sleep(MANY_SECONDS)
            (n1, t1), cpu1 = device.counts(), scene.cpu_seconds(gateway.pid)
            rate = (n1 - n0) / (t1 - t0)
            assert rate >= 0.97 * n_devices / interval, f'only {rate:.0f} requests/s'
            return (cpu1 - cpu0) / (t1 - t0), gateway.process.memory_kib('Pss')


def bench_many_of(table, directory, rounds, what, aim, *arguments):
    runs = [run_many(directory / str(i), *arguments) for i in range(rounds)]
    cpu, pss = (statistics.median(i) for i in zip(*runs))
    table.add(f'{what}: % of a core', 100 * cpu, None, f'<= {aim}', 100 * cpu <= aim, digits=1)
    table.add(f'{what}: PSS, KiB', pss, None, '<= 20,480', pss <= 20480, digits=0)


def bench_many(table, directory, rounds):
    bench_many_of(table, directory / 'thousand', rounds, '1,000 devices x 10 registers each second', 15, 1000, 10, 1)
    bench_many_of(table, directory / 'five-hundred', rounds, '500 devices x 30 changing registers each 0.5 s', 12, 500, 30, 0.5,
                  '--changing')


# ---- a slave with many masters


def run_load(port, cpus):
    """Requests per second that they are answered."""
    out = subprocess.run([*scene.pinned(cpus), PEERS / 'modbus-load', str(port), str(MASTERS), str(SLAVE_REGISTERS),
                          str(SLAVE_SECONDS)], check=True, capture_output=True, text=True, timeout=60).stdout
    return float(re.search(r'rate=(\d+)', out)[1])


def connects(port):
    with socket.socket() as s:
        return s.connect_ex(('127.0.0.1', port)) == 0


def bench_slave(table, directory, rounds):
    """The servers take turns on one processor, the masters have the other."""
    load_cpu, server_cpu = ([0], [1]) if scene.cpu_count() > 1 else ([0], [0])
    port = free_port()
    items = [slave_data(f'r{i}', start=i) for i in range(SLAVE_REGISTERS)]
    config = NATIVE.config([slave('dev', port, items)], name='bench')
    ours, other = [], []
    with scene.event_sink(cpus=load_cpu) as sink, scene.Peer(PEERS / 'modbus-device', cpus=server_cpu) as library:
        config['event_server'] = {'eventer_server': {'host': '127.0.0.1', 'port': sink.port}}
        with start(directory, config, server_cpu):
            wait_until(lambda: connects(port), 'the slave listens')
            for _ in range(rounds):
                ours.append(run_load(port, load_cpu))
                other.append(run_load(library.port, load_cpu))
    ratio = statistics.median(a / b for a, b in zip(ours, other))
    table.add(f'slave, {MASTERS} masters x {SLAVE_REGISTERS} registers: requests/s; other: libmodbus', statistics.median(ours),
              statistics.median(other), '>= 1', ratio >= 1)


# ---- writes


_SENT = re.compile(r'^sent (\d+) (\d+)$', re.MULTILINE)


def run_writes(directory, baudrate, polled):
    """Milliseconds from the departure of a write event to the begin of its request on the line, of each of many."""
    chance, step = random.Random(1), transaction(baudrate, WRITE_REGISTERS)
    items = [data('w', start=500, interval=None), *(scene.registers(WRITE_REGISTERS, 0) if polled else [])]
    with scene.event_sink() as sink, PacedLine(baudrate) as line, \
            start(directory, serial_config(sink.port, line, baudrate, items, write_priority=True)):
        while not line.writes():        # until the gateway is there to hear it
            sink.signal(signal.SIGUSR2)
            time.sleep(0.2)
        time.sleep(1)
        first = len(_SENT.findall(sink.text()))
        for i in range(first + 1, first + 1 + WRITES):
            time.sleep(step * (1 + 2 * chance.random()))
            sink.signal(signal.SIGUSR2)
            wait_until(lambda value=i: value in line.writes(), 'the write came', interval=0.001)
        sent, came = {int(value): int(ns) / 1e9 for value, ns in _SENT.findall(sink.text())}, line.writes()
        return [1e3 * (came[i] - sent[i]) for i in sent if i > first]


def bench_writes(table, directory, _rounds):
    for baudrate in BAUDRATES:
        for polled in (False, True):
            samples = sorted(run_writes(directory / f'{baudrate}-{polled}', baudrate, polled))
            bound = 1 + (1e3 * transaction(baudrate, WRITE_REGISTERS) if polled else 0)
            what = f'write on a {"fully polled" if polled else "idle"} line, {baudrate} bit/s'
            table.add(f'{what}, median: ms', statistics.median(samples), digits=2)
            p99 = samples[len(samples) * 99 // 100 - 1]
            table.add(f'{what}, 99th percentile: ms', p99, None, f'<= {bound:.1f}', p99 <= bound, digits=2)


PARTS = {'serial': bench_serial, 'many': bench_many, 'slave': bench_slave, 'writes': bench_writes}


def bench(table, directory, rounds):
    """All of it."""
    for name, part in PARTS.items():
        part(table, directory / name, rounds)
