# SPDX-License-Identifier: Apache-2.0
"""Modbus lines and masters: a serial line that is as slow as a real one, many devices in one daemon, a slave with many masters,
writes on a line that is busy, the recorder of a line."""

import random
import re
import signal
import statistics
import subprocess
import time

import scene
from harness.config import NATIVE, data, master, remote, slave, slave_data
from harness.gateway import Gateway
from harness.line import serial_transport
from harness.paths import PEERS
from harness.peer import PacedLine, Peer, run_load, run_loop
from harness.ports import connects, free_port
from harness.waiting import wait_until

BAUDRATES = (9600, 115200)
SERIAL_SECONDS = 4.0
MANY_SECONDS = 10.0
SLAVE_SECONDS = 2.0
MASTERS = 100
SLAVE_REGISTERS = 100
WRITES = 200
WRITE_REGISTERS = 10
POLL_SECONDS = 2.0


def start(directory, config, cpus=()):
    directory.mkdir(parents=True, exist_ok=True)
    return Gateway(config, directory, prefix=scene.pinned(cpus), log_level='err')


# ---- a serial line


def serial_config(event_port, line, items, **connection):
    device = master('dev', None, [remote(1, items)], 'RTU', transport=serial_transport(line.path, baudrate=line.baudrate),
                    request_timeout=5, **connection)
    return NATIVE.config([device], event_port, name='bench')


def run_serial(directory, baudrate, registers):
    """PacedLine.rate() with the gateway as master."""
    with scene.event_sink() as sink, PacedLine(baudrate, scene.pinned()) as line, \
            start(directory, serial_config(sink.port, line, scene.registers(registers, 0))):
        wait_until(lambda: line.counts().answered > 3, 'the gateway polls')
        return line.rate(lambda: time.sleep(SERIAL_SECONDS))


def run_serial_loop(baudrate, registers):
    """The same of the bare libmodbus loop."""
    with PacedLine(baudrate, scene.pinned()) as line:
        arguments = ['--rtu', line.path, baudrate, registers]
        run_loop(*arguments, 3 * line.transaction(registers), prefix=scene.pinned())
        return line.rate(lambda: run_loop(*arguments, SERIAL_SECONDS, prefix=scene.pinned()))


def bench_serial(table, directory, rounds):
    for baudrate in BAUDRATES:
        for registers in (125, 10):
            ours, loop = [], []
            for i in range(rounds):
                ours.append(run_serial(directory / f'{baudrate}-{registers}-{i}', baudrate, registers))
                loop.append(run_serial_loop(baudrate, registers))
            (rate, share), (other, other_share) = ([statistics.median(i) for i in zip(*runs)] for runs in (ours, loop))
            what = f'serial RTU, {baudrate} bit/s, {registers} registers'
            table.add(f'{what}: requests/s; other: libmodbus loop', rate, other)
            table.add(f'{what}: % of the wire-time bound', 100 * share, 100 * other_share, '>= 97', share >= 0.97, digits=1)


# ---- many devices


def run_many(directory, n_devices, n_registers, interval, *arguments):
    """(share of a core, PSS in KiB) of a gateway that polls so many devices."""
    with scene.event_sink() as sink, scene.modbus_fast(*arguments) as device:
        config = scene.gateway_config(sink.port, device.port, n_devices, n_registers, interval)
        with start(directory, config) as gateway:
            wait_until(lambda: device.counts()[0] > 3 * n_devices, 'all are polled', 60)
            (n0, t0), cpu0 = device.counts(), gateway.process.cpu_seconds()
            time.sleep(MANY_SECONDS)
            (n1, t1), cpu1 = device.counts(), gateway.process.cpu_seconds()
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


def bench_slave(table, directory, rounds):
    """The servers take turns on one processor, the masters have the other."""
    load, server = (scene.pinned([i]) for i in ((0, 1) if scene.cpu_count() > 1 else (0, 0)))
    port = free_port()
    items = [slave_data(f'r{i}', start=i) for i in range(SLAVE_REGISTERS)]
    ours, other = [], []
    with scene.event_sink() as sink, Peer(PEERS / 'modbus-device', prefix=server) as library:
        config = NATIVE.config([slave('dev', port, items)], sink.port, name='bench')
        directory.mkdir()
        with Gateway(config, directory, prefix=server, log_level='err'):
            wait_until(lambda: connects(port), 'the slave listens')
            for _ in range(rounds):
                for rates, at in ((ours, port), (other, library.port)):
                    rates.append(run_load(at, MASTERS, SLAVE_REGISTERS, SLAVE_SECONDS, prefix=load)['rate'])
    ratio = statistics.median(a / b for a, b in zip(ours, other))
    table.add(f'slave, {MASTERS} masters x {SLAVE_REGISTERS} registers: requests/s; other: libmodbus', statistics.median(ours),
              statistics.median(other), '>= 1', ratio >= 1)


# ---- writes


_SENT = re.compile(r'^sent (\d+) (\d+)$', re.MULTILINE)


def run_writes(directory, baudrate, polled):
    """(bound, samples) in milliseconds from the departure of a write event to the begin of its request on the line."""
    items = [data('w', start=500, interval=None), *(scene.registers(WRITE_REGISTERS, 0) if polled else [])]
    chance = random.Random(1)
    with scene.event_sink() as sink, PacedLine(baudrate, scene.pinned()) as line, \
            start(directory, serial_config(sink.port, line, items, write_priority=True)):
        step = line.transaction(WRITE_REGISTERS)
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
    return 1 + (1e3 * step if polled else 0), [1e3 * (came[i] - sent[i]) for i in sent if i > first]


def bench_writes(table, directory, _rounds):
    for baudrate in BAUDRATES:
        for polled, where in ((False, 'an idle'), (True, 'a fully polled')):
            bound, samples = run_writes(directory / f'{baudrate}-{polled}', baudrate, polled)
            p99 = sorted(samples)[len(samples) * 99 // 100 - 1]
            what = f'write on {where} line, {baudrate} bit/s'
            table.add(f'{what}, median: ms', statistics.median(samples))
            table.add(f'{what}, 99th percentile: ms', p99, None, f'<= {bound:.1f}', p99 <= bound)


# ---- the recorder


def run_tap(_round):
    """Nanoseconds of both frames of a poll."""
    printed = subprocess.run([*scene.pinned(), scene.BENCH / 'tap-cost'], check=True, capture_output=True, text=True, timeout=60).stdout
    return [float(re.search(rf'\b{name}50=([\d.]+)', printed)[1]) for name in ('counted', 'kept', 'told')]


def run_polls(directory):
    """Nanoseconds of processor time of a poll."""
    with scene.event_sink() as sink, scene.modbus_fast() as device, \
            start(directory, scene.gateway_config(sink.port, device.port)) as gateway:
        wait_until(lambda: device.counts()[0] > 1000, 'the gateway polls')
        n0, cpu0 = device.counts()[0], gateway.process.cpu_seconds()
        time.sleep(POLL_SECONDS)
        n1, cpu1 = device.counts()[0], gateway.process.cpu_seconds()
        return 1e9 * (cpu1 - cpu0) / (n1 - n0)


def bench_recorder(table, directory, rounds):
    """Of the three, `kept` is what runs when nobody looks: it differs from `told` only in the listener that is not there."""
    counted, kept, told = (statistics.median(i) for i in zip(*map(run_tap, range(rounds))))
    poll = statistics.median(run_polls(directory / str(i)) for i in range(rounds))
    cost = 100 * (kept - counted) / poll
    table.add('poll of 125 registers: CPU ns', poll, digits=0)
    table.add('recorder: ns of a poll', kept - counted, digits=1)
    table.add('recorder: % of a poll', cost, None, '<= 2', cost <= 2)
    table.add('live trace, somebody looks, before decoding: ns of a poll', told - kept, digits=1)


PARTS = {'serial': bench_serial, 'many': bench_many, 'slave': bench_slave, 'writes': bench_writes, 'recorder': bench_recorder}


def bench(table, directory, rounds):
    """All of it."""
    for name, part in PARTS.items():
        part(table, directory / name, rounds)
