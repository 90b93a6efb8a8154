#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Edges on simulated lines, inside User-Mode Linux (tests/uml/boot): how long until a client of the embedded event server has the
event, what an edge costs the daemon, and how many a second it takes."""

import contextlib
import os
import pathlib
import statistics
import tempfile
import time

import scene
from harness import wire
from harness.config import NATIVE
from harness.embedded import embedded_config
from harness.gateway import Gateway
from harness.gpio_device import library, line
from harness.gpio_sim import Chip, is_held
from harness.ports import free_port
from harness.waiting import wait_until

SAMPLES = 2000
SECONDS = 5
FIRST = ('chrt', '--fifo', '1')         # there is one processor
DEVICE = ('gateway', 'bench', 'gpio', 'io')


def config(chip, n, **main):
    device = {'type': 'gpio', 'name': 'io', 'chip': chip.label, 'lines': [line(f'l{i}', i) for i in range(n)]}
    return NATIVE.config([device], name='bench', **main)


class Client:
    """Is subscribed to states, and waits for one after the other."""

    def __init__(self, port):
        self._connection = wire.RawConnection(port)
        self._connection.init(subscriptions=[(*DEVICE, 'gateway', 'line', '*')])

    def next(self):
        """(when it was here, the source timestamp), both in s."""
        message = self._connection.receive()
        here = time.time()
        source = wire.read_events(wire.Reader(message.body))[-1].source
        return here, source[0] + source[1] / 1e6

    def close(self):
        self._connection.close()


def measure_latency(directory):
    """([edge to event], [edge to the kernel's stamp]) in us."""
    port = free_port()
    initial = [{'type': [*DEVICE, 'system', 'enable'], 'payload': True}]
    whole, kernel = [], []
    with contextlib.closing(Chip()) as chip, \
            Gateway(config(chip, 1, event_server=embedded_config(port, initial=initial)), directory, prefix=FIRST,
                    log_level='err') as gateway:
        wait_until(lambda: gateway.process.running and is_held(chip.path, 0), 'the line is held')
        with contextlib.closing(Client(port)) as client:
            for i in range(SAMPLES):
                time.sleep(0.002)
                begin = time.time()
                chip.pull(0, (i + 1) % 2)
                here, source = client.next()
                whole.append((here - begin) * 1e6)
                kernel.append((source - begin) * 1e6)
    return whole, kernel


def cpu_seconds(pid):
    """In ticks of 10 ms: this kernel keeps no more."""
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Edges:
    """A gateway whose events are only counted, and edges for it."""

    def __init__(self, directory, n):
        self._n = n
        self._chip = Chip(n)
        self._sink = scene.event_sink()
        self._gateway = Gateway(config(self._chip, n, event_server={'eventer_server': {'host': '127.0.0.1',
                                                                                        'port': self._sink.port}}),
                                directory, prefix=FIRST, log_level='err')
        self._sent = 0
        wait_until(lambda: self._sink.counts()[0] >= n + 4, 'every line is interrogated')

    def _step(self):
        self._chip.pull(self._sent % self._n, (self._sent // self._n + 1) % 2)
        self._sent += 1

    def run(self, rate=None):
        """(edges a second, share that was reported, CPU us an edge); without a rate as fast as the simulation goes."""
        before, cpu, sent = self._sink.counts()[0], cpu_seconds(self._gateway.pid), self._sent
        begin = time.monotonic()
        while (now := time.monotonic() - begin) < SECONDS:
            if rate is None or self._sent - sent < now * rate:
                self._step()
            else:
                time.sleep(0.0005)
        took = time.monotonic() - begin
        time.sleep(0.5)
        n = self._sent - sent
        cpu = cpu_seconds(self._gateway.pid) - cpu
        return n / took, (self._sink.counts()[0] - before) / n, cpu / n * 1e6

    def close(self):
        self._gateway.close()
        self._sink.close()
        self._chip.close()


def time_system_call(n=20000):
    """us of one, here, which says how much slower than elsewhere this machine is."""
    with open('/dev/null', 'wb', buffering=0) as f:
        begin = time.perf_counter()
        for _ in range(n):
            f.write(b'x')
        return (time.perf_counter() - begin) / n * 1e6


def percentiles(samples):
    return statistics.median(samples), statistics.quantiles(samples, n=100)[98]


def main():
    print(f'libgpiod {library()}; a system call takes {time_system_call():.1f} us')
    with tempfile.TemporaryDirectory(prefix='gatewayd-bench-') as directory:
        directory = pathlib.Path(directory)
        for what, samples in zip(('event at the client', "the kernel's stamp"), measure_latency(directory)):
            print('edge to {}: median {:.0f} us, 99th percentile {:.0f} us'.format(what, *percentiles(samples)))
        for n in (1, 32):
            with contextlib.closing(Edges(directory, n)) as edges:
                for rate in (1000, None):
                    print('{} lines, {}: {:.0f} edges/s, {:.2%} reported, CPU {:.0f} us an edge'.format(
                        n, f'{rate} a second' if rate else 'as fast as it goes', *edges.run(rate)))


if __name__ == '__main__':
    main()
