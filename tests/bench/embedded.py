# SPDX-License-Identifier: Apache-2.0
"""The embedded event server beside hat-event with its lmdb storage, which keeps the same: the last event of each type, and all
events by time and by source time. One client, tests/bench/event-load.c, loads both."""

import json
import pathlib
import re
import statistics
import subprocess
import tempfile
import time
import typing

import scene
from harness import wire
from harness.embedded import EmbeddedServer, embedded_config
from harness.event_server import EventServer, server_conf
from harness.gateway import Gateway
from harness.ports import free_port
from harness.process import Process
from harness.waiting import wait_until

LOAD = scene.BENCH / 'event-load'
DISK_FLOOR = scene.BENCH / 'disk-floor'
COMMIT_BYTES = 2 * (4096 + 24)  # what the commit of one event writes: a page of history, one of the latest events
SECONDS = 1.5               # of one measurement, about
FLUSH_PERIOD = 1            # of hat-event; ours is as lazy with what nobody waits for
STORED = 1_000_000
TYPES = 100_000
POLL_INTERVAL = 0.01
POLLS = 500


class Reference(EventServer):
    """hat-event, which logs nothing and flushes once a second."""

    def __init__(self, directory):
        super().__init__(directory, flush_period=FLUSH_PERIOD)
        conf = server_conf(self.port, self.directory / 'event.db', flush_period=FLUSH_PERIOD)
        conf['log'] = {'version': 1, 'disable_existing_loggers': False, 'root': {'level': 'ERROR'}}
        self._conf.write_text(json.dumps(conf))


class Ours(EmbeddedServer):
    def __init__(self, directory, **options):
        super().__init__(directory, log_level='err', **options)


KINDS = {'gatewayd': Ours, 'hat-event': Reference}


def load(server, *arguments, timeout=120):
    """Runs the client and returns what it printed as a dict."""
    with Process([LOAD, f'--server=tcp:127.0.0.1:{server.port}', *arguments]) as client:
        assert client.wait(timeout) == 0, f'{arguments}: {client.log_text()}'
        return {k: float(v) for k, v in re.findall(r'(\w+)=([\d.]+)', client.text())}


# ---- events per second


class Case(typing.NamedTuple):
    events: int             # a message
    window: int             # requests unanswered at a time; 0: without response
    subscribers: int
    memory: bool = False    # the databases are in a file system in memory

    @property
    def what(self):
        window = f'with response, {self.window} at a time' if self.window else 'without response'
        return f'{self.events} a message, {window}, {self.subscribers} subscribed' + (', no disk' if self.memory else '')

    @property
    def is_bound_by_disk(self):
        return self.events == 1 and self.window == 1 and self.subscribers == 0 and not self.memory

    @property
    def arguments(self):
        return [f'--events={self.events}', f'--window={self.window}', f'--subscribers={self.subscribers}']


# One request at a time measures the disk: we answer when it has the events, hat-event does not wait for it. So what the disk takes is
# measured by turns with it.
CASES = [Case(events, window, subscribers) for events in (1, 125) for window in (0, 1, 100) for subscribers in (0, 10)] + \
    [Case(events, 1, subscribers, True) for events in (1, 125) for subscribers in (0, 10)]
AIMS = {1: 5, 125: 2}


class Loader:
    """Measures one case of one server, as often as wanted, each time with an empty storage. What is sent without response is
    a number of messages, because a slow server takes long to work off what it has received."""

    def __init__(self, kind, case, directory):
        self._kind = kind
        self._case = case
        self._directory = directory
        self._n = 0
        self._amount = [f'--seconds={SECONDS}']
        if case.window == 0:
            messages = 20
            while (took := self._run([f'--messages={messages}'])['seconds']) < SECONDS / 3:
                messages *= 4
            self._amount = [f'--messages={max(messages, int(messages * SECONDS / took))}']

    def _run(self, amount):
        self._n += 1
        with KINDS[self._kind](self._directory / f'{self._kind}-{self._n}') as server:
            return load(server, *self._case.arguments, *amount)

    def rate(self):
        return self._run(self._amount)['rate']


def measure_floor(directory):
    """How often a second the disk takes as many bytes as a commit of one event: (bare, when a client waits for each of them)."""
    floor = subprocess.run([DISK_FLOOR, directory / 'floor', str(COMMIT_BYTES), str(SECONDS)], capture_output=True, text=True,
                           check=True, timeout=120).stdout
    return tuple(float(i) for i in re.fullmatch(r'bare=([\d.]+) answered=([\d.]+)\n', floor).groups())


def bench_case(table, case, directory, rounds):
    loaders = {kind: Loader(kind, case, directory / case.what.replace(' ', '-')) for kind in KINDS}
    rates = {kind: [] for kind in KINDS}
    floors = []
    for _ in range(rounds):
        for kind, loader in loaders.items():
            rates[kind].append(loader.rate())
        if case.is_bound_by_disk:
            floors.append(measure_floor(directory))
    ours, other = (statistics.median(rates[kind]) for kind in KINDS)
    table.add(f'events/s, {case.what}; other: hat-event', ours, other, f'>= {AIMS[case.events]} times',
              ours >= AIMS[case.events] * other, digits=0)
    if floors:
        bare, answered = (statistics.median(i) for i in zip(*floors))
        table.add('the same; other: a process that only writes, waits for the disk and answers', ours, answered, '>= 0.9 times',
                  ours >= 0.9 * answered, digits=0)
        table.add('the same; other: a bare loop of pwrite() and fdatasync()', ours, bare, digits=0)


def bench_rates(table, directory, rounds):
    for case in CASES:
        if case.memory:
            with tempfile.TemporaryDirectory(prefix='gatewayd-bench-', dir='/dev/shm') as folder:
                bench_case(table, case, pathlib.Path(folder), rounds)
        else:
            bench_case(table, case, directory, rounds)


# ---- latency, memory, start


def bench_notification(table, directory, rounds):
    times = {kind: [] for kind in KINDS}
    for i in range(rounds):
        for kind, make in KINDS.items():
            with make(directory / f'latency-{kind}-{i}') as server:
                times[kind].append(load(server, '--latency=1000'))
    for p in ('p50', 'p99'):
        ours, other = (statistics.median(i[p] for i in times[kind]) for kind in KINDS)
        table.add(f'register to notification, {p}: us; other: hat-event', ours, other, 'not more', ours <= other, digits=1)


def bench_types(table, directory):
    pss = {}
    for kind, make in KINDS.items():
        with make(directory / f'types-{kind}') as server:
            load(server, f'--types={TYPES}', '--events=125', f'--messages={TYPES // 125}', '--window=4')
            time.sleep(3)           # stored
            pss[kind] = server.process.memory_kib('Pss')
    table.add(f'PSS with {TYPES:,} types, KiB; other: hat-event', pss['gatewayd'], pss['hat-event'], digits=0)


def time_start(directory, state):
    """Seconds from the start of the process to READY."""
    server = Ours(directory, state=state)
    try:
        begin = time.monotonic()
        server.start(wait=False)
        server.gateway.wait_ready()
        return time.monotonic() - begin
    finally:
        server.close()


def time_latest(server, n=1000):
    """Seconds of one query for the last event of one type."""
    body = wire.choice(0, wire.optional(wire.array([wire.event_type('gateway/load/modbus_master/dev0/gateway/remote_device/1/read/r7')])))
    with wire.RawConnection(server.port) as c:
        c.init(name='bench')
        begin = time.monotonic()
        for _ in range(n):
            c.answer(c.send_message('HatEventer.MsgQueryReq', body, last=False))
        return (time.monotonic() - begin) / n


def bench_stored(table, directory, rounds):
    latest = {}
    for name, messages in (('full', STORED // 125), ('empty', 8)):
        with Ours(directory / f'fill-{name}', state=directory / name, options={'history': {'max_events': None}}) as server:
            load(server, '--events=125', f'--messages={messages}', '--window=8')
            latest[name] = statistics.median(time_latest(server) for _ in range(rounds))

    starts = {name: [] for name in latest}
    for i in range(rounds):
        for name, times in starts.items():
            times.append(time_start(directory / f'start-{name}-{i}', directory / name))
    full, empty = (statistics.median(starts[name]) for name in latest)
    table.add(f'start to READY with {STORED:,} events, s; other: with 1,000', full, empty, '<= other + 0.1', full <= empty + 0.1,
              digits=3)
    table.add(f'latest query with {STORED:,} events, us; other: with 1,000', latest['full'] * 1e6, latest['empty'] * 1e6,
              '<= 1.5 times', latest['full'] <= 1.5 * latest['empty'], digits=1)


# ---- a device beside it


class PollTimes(scene.Peer):
    """The device of poll-times.c."""

    _LINE = re.compile(r'^p50=([\d.]+) p99=([\d.]+) pmax=([\d.]+) $', re.MULTILINE)

    def __init__(self):
        super().__init__(scene.BENCH / 'poll-times', f'--interval={POLL_INTERVAL * 1e6:.0f}', f'--count={POLLS}')

    def next(self, skip=0):
        """(median, 99th percentile) in us of the next whole count of requests."""
        wanted = len(self._LINE.findall(self.text())) + 1 + skip
        lines = wait_until(lambda: (i := self._LINE.findall(self.text()))[wanted - 1:] and i, 'the gateway polls',
                           timeout=60, interval=0.05)
        return tuple(float(i) for i in lines[wanted - 1][:2])


def polling_gateway(directory, device_port):
    """A gateway that keeps events itself and polls one register; and the port of its event server."""
    port = free_port()
    enable = ['gateway', 'bench', 'modbus_master', 'dev', 'system']
    initial = [{'type': [*enable, 'enable'], 'payload': True},
               {'type': [*enable, 'remote_device', '1', 'enable'], 'payload': True}]
    config = scene.poll_config(device_port, POLL_INTERVAL, event_server=embedded_config(port, initial=initial))
    directory.mkdir(parents=True)
    return Gateway(config, directory, log_level='err'), port


class LoadInBackground:
    """Two clients that register as fast as the server takes it, inside the `with`."""

    def __init__(self, port):
        self._process = Process([LOAD, f'--server=tcp:127.0.0.1:{port}', '--connections=2', '--events=125', '--window=0',
                                 '--seconds=600'])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        assert self._process.running, self._process.log_text()
        self._process.close()


def bench_jitter(table, directory, rounds):
    """The processors are busy in both cases: what counts is whether it matters that the busy store is in the same process."""
    times = {name: [] for name in ('idle', 'own', 'neighbour')}
    with PollTimes() as device, Ours(directory / 'neighbour') as neighbour:
        gateway, port = polling_gateway(directory / 'own', device.port)
        with gateway:
            for _ in range(rounds):
                times['idle'].append(device.next(skip=1))
                for name, loaded in (('own', port), ('neighbour', neighbour.port)):
                    with LoadInBackground(loaded):
                        times[name].append(device.next(skip=1))
    for i, p in enumerate(('p50', 'p99')):
        idle, own, neighbour = (statistics.median(t[i] for t in times[name]) for name in ('idle', 'own', 'neighbour'))
        table.add(f'jitter of a poll each {POLL_INTERVAL * 1e3:.0f} ms, idle, {p}: us', idle, digits=1)
        table.add(f'the same, store under full load, {p}: us; other: that of another process', own, neighbour, digits=1)


def bench(table, directory, rounds):
    """All of it."""
    assert pathlib.Path(LOAD).exists(), f'{LOAD} is not built: -Dbench=true'
    bench_rates(table, directory, rounds)
    bench_notification(table, directory, rounds)
    bench_types(table, directory)
    bench_stored(table, directory, rounds)
    bench_jitter(table, directory, rounds)
