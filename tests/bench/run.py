#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Side by side with the reference and with a bare libmodbus loop: polling, events, start, latency, memory, the embedded event
server, Modbus lines. Every number is the median of several rounds, and what is compared takes turns within each round, because machines are
noisy: look at the ratios."""

import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import sys
import tempfile
import time

import embedded
import modbus
import scene
from harness.bus import Bus
from harness.eventer import Eventer, is_operational
from harness.gateway import Gateway
from harness.paths import DAEMON, VENV_BIN, sanitized
from harness.peer import run_loop
from harness.ports import free_port
from harness.process import Process
from harness.waiting import wait_until

SECONDS = 1.0
LATENCY_SAMPLES = 1000
PIPELINED = 8
REGISTERS_PER_REQUEST = 125
PREFIX = 'gateway/modbus_master'        # layout flat


class Table:
    """Rows of: what, ours, the other's, ratio, aim."""

    def __init__(self):
        self.rows = [('', 'gatewayd', 'other', 'ratio', 'aim', '')]

    def add(self, what, ours, other=None, aim='', reached=None, digits=2):
        def text(value):
            if value is None:
                return ''
            return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:,.{digits}f}'

        ratio = f'{ours / other:.3f}' if other else ''
        self.rows.append((what, text(ours), text(other), ratio, aim,
                          '' if reached is None else 'reached' if reached else 'NOT REACHED'))
        print(f'  {what}: {text(ours)} {text(other)} {ratio}', file=sys.stderr)

    def print(self):
        widths = [max(len(row[i]) for row in self.rows) for i in range(6)]
        for row in self.rows:
            print('  '.join(cell.ljust(w) if i in (0, 4, 5) else cell.rjust(w)
                            for i, (cell, w) in enumerate(zip(row, widths))).rstrip())


def median(values):
    return statistics.median(values)


# ---- the two gateways and the event server


class EventServer(Process):
    """hat-event. backend `lmdb` keeps only the events which gateways query, `dummy` keeps nothing: storage must not be what
    is measured."""

    def __init__(self, directory, backend='lmdb'):
        self.port = free_port()
        directory.mkdir(parents=True)
        conf = {'type': 'event', 'name': 'event', 'server_id': 1,
                'log': {'version': 1, 'disable_existing_loggers': False, 'root': {'level': 'ERROR'}},
                'backend': {'module': f'hat.event.backends.{backend}',
                            **(self._lmdb(directory) if backend == 'lmdb' else {})},
                'modules': [], 'eventer_server': {'host': '127.0.0.1', 'port': self.port}}
        path = directory / 'event.json'
        path.write_text(json.dumps(conf))
        super().__init__([VENV_BIN / 'hat-event-server', '--conf', path])
        wait_until(lambda: is_operational(self.port), 'hat-event-server is operational')

    @staticmethod
    def _lmdb(directory):
        return {'db_path': str(directory / 'event.db'), 'identifier': None, 'flush_period': 1, 'cleanup_period': 3600,
                'conditions': [], 'timeseries': [],
                'latest': {'subscriptions': [['gateway', 'modbus_master', '?', 'system', '*']]}}

    def enable(self, client, n_devices):
        items = []
        for i in range(n_devices):
            items += [(f'{PREFIX}/dev{i}/system/enable', True),
                      (f'{PREFIX}/dev{i}/system/remote_device/1/enable', True)]
        client.register_many(items)


class Ours:
    """gatewayd behind the interface of Reference."""

    name = 'gatewayd'

    def __init__(self, directory, config, cpus=(), bus='none', wait=True):
        directory.mkdir(exist_ok=True, parents=True)
        self.started = time.time()
        self._gateway = Gateway(config, directory, bus, prefix=scene.pinned(cpus), log_level='err', wait=wait)
        self.process = self._gateway.process

    def close(self):
        self._gateway.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Reference(Ours):
    """The Python hat-gateway."""

    name = 'hat-gateway'

    def __init__(self, directory, config, cpus=(), **_):
        directory.mkdir(exist_ok=True, parents=True)
        path = directory / 'gateway.json'
        path.write_text(json.dumps(config))
        self.started = time.time()
        self.process = Process([*scene.pinned(cpus), VENV_BIN / 'hat-gateway', '--conf', path])

    def close(self):
        self.process.close()


class Paused:
    """A process that runs only inside the `with`."""

    def __init__(self, process):
        self.process = process
        process.signal(signal.SIGSTOP)

    def __enter__(self):
        self.process.signal(signal.SIGCONT)
        time.sleep(0.2)

    def __exit__(self, *_):
        self.process.signal(signal.SIGSTOP)


def wait_polling(device):
    first = device.counts()[0]
    wait_until(lambda: device.counts()[0] > first + 100, 'the gateway polls')


def measure(process, device, seconds=SECONDS):
    """(requests per second, CPU seconds per request) of a polling process."""
    n0, t0 = device.counts()
    cpu0 = process.cpu_seconds()
    time.sleep(seconds)
    n1, t1 = device.counts()
    cpu1 = process.cpu_seconds()
    return (n1 - n0) / (t1 - t0), (cpu1 - cpu0) / (n1 - n0)


# ---- polling against a bare loop


def measure_loop(device, cpus):
    """… of the bare libmodbus loop."""
    values = run_loop('127.0.0.1', device.port, SECONDS, prefix=scene.pinned(cpus))
    return values['rate'], values['cpu_per_million'] / 1e6


def poll_beside_loop(directory, rounds, cpus, outstanding):
    """[((requests per second, CPU seconds per request) of ours, of the loop)] by round."""
    ours, loop = [], []
    with scene.event_sink(cpus=cpus) as sink, scene.modbus_fast(cpus=cpus) as device:
        config = scene.gateway_config(sink.port, device.port, max_outstanding=outstanding)
        with Ours(directory, config, cpus) as gateway:
            wait_polling(device)
            daemon = Paused(gateway.process)
            for _ in range(rounds):
                with daemon:
                    ours.append(measure(gateway.process, device))
                loop.append(measure_loop(device, cpus))
            gateway.process.signal(signal.SIGCONT)
    return list(zip(ours, loop))


def bench_polling_on(table, directory, rounds, cpus, where):
    pairs = poll_beside_loop(directory, rounds, cpus, 1)
    ratio = median(a[0] / b[0] for a, b in pairs)
    rate, cpu = (median(a[i] for a, _ in pairs) for i in range(2))
    loop_cpu = median(b[1] for _, b in pairs)
    table.add(f'polling, {where}: requests/s; other: libmodbus loop', rate, rate / ratio, '>= 0.95', ratio >= 0.95)
    table.add(f'polling, {where}: CPU s per million requests', cpu * 1e6, loop_cpu * 1e6,
              '<= 40 where the loop takes 29', cpu / loop_cpu <= 40 / 29)

    pairs = poll_beside_loop(directory.with_name(f'{directory.name}-pipelined'), rounds, cpus, PIPELINED)
    ratio = median(a[0] / b[0] for a, b in pairs)
    rate, cpu = (median(a[i] for a, _ in pairs) for i in range(2))
    table.add(f'polling, {where}, max_outstanding {PIPELINED}: requests/s; other: libmodbus loop', rate, rate / ratio,
              '>= 3', ratio >= 3)
    table.add(f'polling, {where}, max_outstanding {PIPELINED}: CPU s per million requests', cpu * 1e6,
              median(b[1] for _, b in pairs) * 1e6)


def bench_polling(table, directory, rounds):
    bench_polling_on(table, directory / 'one', rounds, [0], 'one core')
    if scene.cpu_count() > 1:
        bench_polling_on(table, directory / 'two', rounds, [0, 1], 'two cores')


# ---- change events against the reference, through the same event server


def run_events(directory, kind, seconds=4):
    """(events per second, CPU seconds per event) of one gateway with an event server of its own. Every answer of the device
    changes every value, so events are counted in answers: a client that is notified of them would cost the server more than
    they do. What a gateway has read and not yet handed over is bounded and the same at the beginning and the end."""
    with EventServer(directory / 'event', 'dummy') as server, scene.modbus_fast('--changing') as device:
        client = Eventer(server.port, subscriptions=[])
        config = scene.gateway_config(server.port, device.port, hat=True)
        with kind(directory, config) as gateway:
            def polls():
                server.enable(client, 1)        # this server forgets it: until the gateway is there to hear it
                return device.counts()[0] > 0

            wait_until(polls, 'the gateway polls', interval=0.2)
            client.close()
            time.sleep(1)
            requests, cpu = measure(gateway.process, device, seconds)
            return requests * REGISTERS_PER_REQUEST, cpu / REGISTERS_PER_REQUEST


def run_sunk(directory):
    """The same of gatewayd against an event server that only counts: what it could do."""
    with scene.event_sink() as sink, scene.modbus_fast('--changing') as device:
        with Ours(directory, scene.gateway_config(sink.port, device.port)) as gateway:
            wait_polling(device)
            n0, t0 = sink.counts()
            cpu0 = gateway.process.cpu_seconds()
            time.sleep(SECONDS)
            n1, t1 = sink.counts()
            cpu1 = gateway.process.cpu_seconds()
            return (n1 - n0) / (t1 - t0), (cpu1 - cpu0) / (n1 - n0)


def bench_events(table, directory, rounds):
    ours, reference, sunk = [], [], []
    for i in range(rounds):
        ours.append(run_events(directory / f'ours-{i}', Ours))
        reference.append(run_events(directory / f'reference-{i}', Reference))
        sunk.append(run_sunk(directory / f'sunk-{i}'))

    rate, cpu = median(i[0] for i in ours), median(i[1] for i in ours)
    table.add('change events/s through hat-event; other: hat-gateway', rate, median(i[0] for i in reference),
              '>= 90,000 where it does 12,270', rate >= 90000)
    table.add('CPU us per change event', cpu * 1e6, median(i[1] for i in reference) * 1e6, '<= 1 where it takes 42',
              cpu * 1e6 <= 1)
    table.add('change events/s to a server that only counts', median(i[0] for i in sunk))
    table.add('CPU us per change event, so', median(i[1] for i in sunk) * 1e6)


# ---- from start to running


def run_start(directory, kind, server, client, config, n_devices):
    """Seconds from the start of the process to the last device's `running`, by the event server's clock."""
    since = client.mark()
    with kind(directory, config, wait=False) as gateway:
        def running():
            return [i for i in client.events(f'{PREFIX}/?/gateway/running', since) if i.payload.data is True]

        wait_until(lambda: len(running()) >= n_devices, f'{n_devices} devices run', interval=0.005)
        last = max(i.timestamp.s + i.timestamp.us / 1e6 for i in running())
        return last - gateway.started


def bench_start_of(table, directory, rounds, n_devices, aim):
    ours, reference = [], []
    with EventServer(directory / 'event') as server, scene.modbus_fast() as device:
        client = Eventer(server.port, subscriptions=[f'{PREFIX}/?/gateway/running'])
        server.enable(client, n_devices)
        config = scene.gateway_config(server.port, device.port, n_devices=n_devices, n_registers=10, interval=1, hat=True)
        for _ in range(rounds):
            ours.append(run_start(directory, Ours, server, client, config, n_devices))
            reference.append(run_start(directory, Reference, server, client, config, n_devices))
        client.close()

    table.add(f'start to running, {n_devices} device{"s" if n_devices > 1 else ""}: s', median(ours), median(reference),
              f'<= {aim}', median(ours) <= aim, digits=3)


def bench_start(table, directory, rounds):
    bench_start_of(table, directory / 'one', rounds, 1, 0.03)
    bench_start_of(table, directory / 'hundred', rounds, 100, 0.06)


# ---- our share of the latency


def run_latency(directory, mode):
    """The peer on one processor; the gateway, and the child that it is compared with, on the other."""
    peer_cpu, gateway_cpu = (0, 1) if scene.cpu_count() > 1 else (0, 0)
    with Process([*scene.pinned([peer_cpu]), scene.BENCH / 'latency-peer', f'--{mode}', f'--count={LATENCY_SAMPLES}',
                  f'--child-cpu={gateway_cpu}']) as peer:
        ports = peer.wait_line(re.compile(r'^modbus=(\d+) event=(\d+)$', re.MULTILINE))
        config = scene.latency_config(int(ports[2]), int(ports[1]), mode)
        with Ours(directory, config, [gateway_cpu]):
            peer.wait(60)
        assert peer.returncode == 0, peer.log_tail()
        return {k: float(v) for k, v in re.findall(r'(\w+)=([\d.]+)', peer.text().splitlines()[-1])}


def bench_latency(table, directory, rounds):
    for mode, what in (('read', 'register change to event'), ('write', 'write event to request')):
        runs = [run_latency(directory, mode) for _ in range(rounds)]
        share = median(i['p50'] - i['floor50'] for i in runs)
        for p, name in (('50', 'median'), ('99', '99th percentile')):
            table.add(f'{what}: ms, {name}; other: a process that only copies', median(i[f'p{p}'] for i in runs) / 1e3,
                      median(i[f'floor{p}'] for i in runs) / 1e3, digits=3)
        table.add(f'{what}: our share, ms', share / 1e3, None, '<= 0.1', share <= 100, digits=3)


# ---- memory


def run_memory(directory, kind, n_devices, bus='none'):
    """(private dirty, PSS) in KiB with that many connected devices."""
    with EventServer(directory / f'event-{kind.name}-{n_devices}-{bus != "none"}') as server, \
            scene.modbus_fast() as device:
        client = Eventer(server.port, subscriptions=[f'{PREFIX}/?/gateway/status'])
        if n_devices:
            server.enable(client, n_devices)
        config = scene.gateway_config(server.port, device.port, n_devices=max(n_devices, 1), n_registers=10, interval=1,
                                      hat=True)     # idle: one device, not enabled
        with kind(directory, config, bus=bus) as gateway:
            def connected():
                return {i.type for i in client.events() if i.payload.data == 'CONNECTED'}

            wait_until(lambda: len(connected()) >= n_devices, f'{n_devices} devices are connected', 60, 0.05)
            time.sleep(3)       # every register was polled, every burst is over
            result = gateway.process.memory_kib('Private_Dirty'), gateway.process.memory_kib('Pss')
        client.close()
        return result


def bench_memory(table, directory, _rounds):
    os.sync()       # pages of a program that was just built count as dirty until they are on the disk
    ours = {n: run_memory(directory, Ours, n) for n in (0, 100, 1000)}
    reference = {n: run_memory(directory, Reference, n) for n in (0, 100)}
    with Bus() as bus:
        on_bus = run_memory(directory, Ours, 0, bus.address)

    for n, (dirty, pss) in ours.items():
        other = reference.get(n, (None, None))
        bound = 1024 + 16 * n
        what = f'{n} devices' if n else 'idle'
        table.add(f'memory, {what}: private dirty, KiB; other: hat-gateway', dirty, other[0], f'<= {bound:,}',
                  dirty <= bound, digits=0)
        table.add(f'memory, {what}: PSS, KiB', pss, other[1], '<= 4,096' if n == 0 else '', pss <= 4096 if n == 0 else None,
                  digits=0)
    device = (ours[1000][0] - ours[0][0]) / 1000
    table.add('memory, a device: private dirty, KiB', device, (reference[100][0] - reference[0][0]) / 100, '<= 16', device <= 16)
    table.add('memory, idle with D-Bus: private dirty, KiB', on_bus[0], None, '<= 1,024', on_bus[0] <= 1024, digits=0)
    table.add('memory, idle with D-Bus: PSS, KiB', on_bus[1], None, '<= 4,096', on_bus[1] <= 4096, digits=0)


BENCHES = {'polling': bench_polling, 'events': bench_events, 'start': bench_start, 'latency': bench_latency,
           'memory': bench_memory, 'embedded': embedded.bench, 'modbus': modbus.bench}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bench', nargs='*', choices=[*BENCHES, []], help='which (default: all)')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--realtime', action='store_true', help='for a machine that others use, too: what is measured has '
                        'real-time priority (needs root)')
    arguments = parser.parse_args()
    scene.realtime = arguments.realtime

    if sanitized():
        print(f'{DAEMON} has sanitizers: nothing to measure', file=sys.stderr)
        return 1

    table = Table()
    with tempfile.TemporaryDirectory(prefix='gatewayd-bench-') as directory:
        for name in arguments.bench or BENCHES:
            print(f'{name} …', file=sys.stderr)
            folder = pathlib.Path(directory) / name
            folder.mkdir()
            BENCHES[name](table, folder, arguments.rounds)
    table.print()
    print(f'load average {os.getloadavg()[0]:.1f} on {scene.cpu_count()} processors')
    return 0


if __name__ == '__main__':
    sys.exit(main())
