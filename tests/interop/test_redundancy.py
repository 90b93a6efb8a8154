# SPDX-License-Identifier: Apache-2.0
"""Two gatewayd in one group of a real hat-monitor, with two real hat-event servers: exactly one polls, whatever happens to the other.
The device writes down who asks and when."""

import functools
import itertools
import os
import signal
import subprocess
import time

import pytest

from harness.bus import is_root
from harness.config import Form, data, master, remote
from harness.eventer import Eventer, payload
from harness.monitor import Monitor, MonitoredEventServer, wait_active
from harness.waiting import PATIENCE, wait_until

from field_device import FieldDevice

PLC = 'modbus_master/plc'
FORMS = [Form('native', 'flat'), Form('native', 'named')]
#: The monitor drops a silent component 40 s after its last message.
GIVEN_UP = 40
TAKEOVER = 60 * PATIENCE


class Recorder(FieldDevice):
    """Every request knows who asked: each gateway reaches the device at an address of its own."""

    def __init__(self, **options):
        super().__init__(host='0.0.0.0', **options)

    async def _respond(self, request, writer):
        request.owner = writer.get_extra_info('sockname')[0]
        await super()._respond(request, writer)

    def owners(self, since=0):
        """Who asked, in turns: two that poll at the same time would take many."""
        return [owner for owner, _ in itertools.groupby(i.owner for i in self.requests[since:])]

    def asked_by(self, owner, since=0):
        return [i for i in self.requests[since:] if i.owner == owner]


class Installation:
    """One monitor, two event servers, one device, and gateways that are started one by one."""

    def __init__(self, form, directory, gatewayd, monitors=None, host='127.0.0.1'):
        self.form = form
        self.directory = directory
        self._gatewayd = gatewayd
        self.monitors = monitors or [Monitor(directory / 'monitor', host=host)]
        self.monitor = self.monitors[0]
        self.servers = [MonitoredEventServer(directory / f'event{i}', self.monitors[-i % len(self.monitors)], i, host) for i in (1, 2)]
        self.device = Recorder()
        self.device.holding[0] = 42

    def __enter__(self):
        for part in (*reversed(self.monitors), *self.servers):
            part.start()
        with self.connect() as eventer:
            for kind in ('enable', 'remote_device/1/enable'):
                eventer.register_persisted(f'{self.prefix}/system/{kind}', True)
        return self

    def __exit__(self, *_):
        self.device.close()
        for part in (*self.servers, *self.monitors):
            part.close()

    @property
    def prefix(self):
        return self.form.prefix(PLC)

    @property
    def active(self):
        return wait_active(self.servers)

    def connect(self, server=None):
        """A client of this event server, or of the active one."""
        server = server or self.active
        return Eventer(server.port, host=server.host)

    def start(self, owner, monitor=None, **options):
        """A gateway that asks the device at this address, 127.0.0.N."""
        device = master('plc', self.device.port, [remote(1, [data('word')])])
        device['connection']['transport']['host'] = owner
        config = self.form.config([device], event_server={'monitor_component': (monitor or self.monitor).component(owner)})
        return self._gatewayd(config, **options)

    def start_pair(self, a='127.0.0.1', b='127.0.0.2'):
        """The first works, the second waits."""
        first = self.start(a)
        self.wait_polled(a)
        second = self.start(b)
        wait_until(lambda: f"Gateway '{a}' is blessed." in second.log_text(), 'the second waits')
        return first, second

    def wait_polled(self, owner, since=0, timeout=TAKEOVER, count=3):
        wait_until(lambda: len(self.device.asked_by(owner, since)) >= count,
                   lambda: f'{owner} polls; since then: {self.device.owners(since)}', timeout)

    def wait_latest(self, kind, value, server=None):
        """Waits until the last event of the gateway of this kind has this payload, at this server or the active one."""
        with self.connect(server) as eventer:
            def check():
                event = eventer.latest(f'{self.prefix}/gateway/{kind}')
                return event and payload(event) == value and (server is None or event.id.server == server.server_id)

            wait_until(check, f'{kind} is {value}', TAKEOVER, 0.05)


@pytest.fixture
def installation(tmp_path, gatewayd):
    """installation(form) makes and starts one."""
    made = []

    def make(form, **options):
        made.append(Installation(form, tmp_path, gatewayd, **options))
        return made[-1].__enter__()

    yield make
    for i in made:
        i.__exit__()


def report(capsys, what, seconds):
    with capsys.disabled():
        print(f'\n{what}: {seconds:.2f} s', end='')


# ---- the other takes over

@pytest.mark.parametrize('form', FORMS, ids=repr)
def test_kill_and_stop(form, installation, capsys):
    """kill -9, then the new one is stopped: each time the other takes over, and what was stopped says so before."""
    site = installation(form)
    a, b = site.start_pair()
    assert site.device.owners() == ['127.0.0.1']

    begin = time.monotonic()
    a.kill()
    site.wait_polled('127.0.0.2')
    report(capsys, 'takeover after kill -9', site.device.asked_by('127.0.0.2')[0].time - begin)
    site.wait_latest('running', True)

    a = site.start('127.0.0.1')
    wait_until(lambda: "Gateway '127.0.0.2' is blessed." in a.log_text(), 'the restarted one waits')
    with site.connect() as eventer:
        since, mark = len(site.device.requests), eventer.mark()
        begin = time.monotonic()
        b.stop()
        site.wait_polled('127.0.0.1', since)
        report(capsys, 'takeover after SIGTERM', site.device.asked_by('127.0.0.1', since)[0].time - begin)
        eventer.wait(f'{site.prefix}/gateway/running', True, since=mark)
        running = eventer.payloads(f'{site.prefix}/gateway/running', since=mark)
    assert running == [False, False, True]      # said by the one that ends, by the one that begins, and when it runs
    assert site.device.owners() == ['127.0.0.1', '127.0.0.2', '127.0.0.1']
    a.stop()


@pytest.mark.timeout(150)
def test_freeze(installation, capsys):
    """A frozen gateway is given up by the monitor; when it wakes it says nothing and ends with 69."""
    site = installation(FORMS[0])
    a, b = site.start_pair()
    begin = time.monotonic()
    a.process.signal(signal.SIGSTOP)
    site.wait_polled('127.0.0.2')
    report(capsys, 'takeover after SIGSTOP', site.device.asked_by('127.0.0.2')[0].time - begin)
    site.wait_latest('running', True)
    with site.connect() as eventer:
        mark, since = eventer.mark(), len(site.device.requests)
        a.process.signal(signal.SIGCONT)
        begin = time.monotonic()
        assert a.process.wait() == 69
        assert time.monotonic() < begin + 2 * PATIENCE
        site.wait_polled('127.0.0.2', since, count=10)
        assert eventer.payloads(f'{site.prefix}/gateway/running', since=mark) == []
    assert site.device.owners() == ['127.0.0.1', '127.0.0.2']
    assert 'another gateway may work by now' in a.log_text()
    b.stop()


class Network:
    """A network namespace with two links to ours: one for monitor and event servers, which can be cut, and one for the field."""

    def __init__(self):
        self.name = f'gatewayd-{os.getpid()}'
        ip = functools.partial(subprocess.run, check=True, timeout=10, capture_output=True)
        self._ip = lambda text: ip(['ip', *text.split()])
        self.prefix = ['ip', 'netns', 'exec', self.name]
        self.links = [f'gwd{os.getpid() % 100000}{i}' for i in 'cf']
        self.hosts = ['10.231.17.1', '10.231.18.1']

    def __enter__(self):
        self._ip(f'netns add {self.name}')
        for link, host in zip(self.links, self.hosts):
            self._ip(f'link add {link} type veth peer name {link}p netns {self.name}')
            self._ip(f'addr add {host}/24 dev {link}')
            self._ip(f'link set {link} up')
            self._ip(f'-n {self.name} addr add {host[:-1]}2/24 dev {link}p')
            self._ip(f'-n {self.name} link set {link}p up')
        self._ip(f'-n {self.name} link set lo up')
        return self

    def cut(self):
        self._ip(f'link set {self.links[0]} down')

    def mend(self):
        self._ip(f'link set {self.links[0]} up')

    def __exit__(self, *_):
        self._ip(f'netns del {self.name}')      # and with it the links


@pytest.fixture
def network():
    if not is_root():
        pytest.skip('needs root: a network namespace')
    with Network() as n:
        yield n


@pytest.mark.timeout(150)
def test_cut_off(network, installation, capsys):
    """A gateway that reaches the device and nobody else stops by itself, long before the monitor gives it up, and nothing of it
    arrives when the network is mended."""
    site = installation(FORMS[0], host=network.hosts[0])
    field = network.hosts[1]
    a = site.start(field, prefix=network.prefix)
    site.wait_polled(field)
    b = site.start('127.0.0.2')
    wait_until(lambda: f"Gateway '{field}' is blessed." in b.log_text(), 'the second waits')
    network.cut()
    begin = time.monotonic()
    assert a.process.wait(20 * PATIENCE) == 69
    stopped = site.device.asked_by(field)[-1].time
    report(capsys, 'cut off, stops after', stopped - begin)
    assert 5 < stopped - begin < 13 * PATIENCE
    assert site.device.owners() == [field]
    site.wait_polled('127.0.0.2')
    report(capsys, 'takeover after the cut', site.device.asked_by('127.0.0.2')[0].time - begin)
    site.wait_latest('running', True)
    with site.connect() as eventer:
        mark, since = eventer.mark(), len(site.device.requests)
        network.mend()
        site.wait_polled('127.0.0.2', since, count=40)
        assert eventer.payloads(f'{site.prefix}/gateway/running', since=mark) == []
    assert site.device.owners() == [field, '127.0.0.2']
    b.stop()


# ---- event servers

def test_event_server_killed(installation, capsys):
    """The engine moves to the other server; all is registered there; what was commanded meanwhile is done at most once."""
    site = installation(FORMS[1])
    gateway = site.start('127.0.0.1')
    site.wait_polled('127.0.0.1')
    first = site.active
    other = next(i for i in site.servers if i is not first)
    word = f'{site.prefix}/system/remote_device/1/write/word'
    site.wait_latest('remote_device/1/status', 'CONNECTED')
    with site.connect(first) as eventer:
        eventer.register(word, {'request_id': 'before', 'value': 7})
    begin = time.monotonic()
    first.kill()
    wait_until(other.is_active, 'the other is operational', TAKEOVER)
    with site.connect(other) as eventer:
        eventer.register(word, {'request_id': 'during', 'value': 8})
        site.wait_latest('running', True, other)
        report(capsys, 'moved to the other event server', time.monotonic() - begin)
        site.wait_latest('remote_device/1/status', 'CONNECTED', other)
        read = f'{site.prefix}/gateway/remote_device/1/read/word'
        wait_until(lambda: (event := eventer.latest(read)) and event.id.server == other.server_id,
                   'the last value is registered there', TAKEOVER, 0.05)
        eventer.register(word, {'request_id': 'after', 'value': 9})
        wait_until(lambda: site.device.holding[0] == 9, 'a command at the other server arrives')
    writes = site.device.writes()
    assert [writes.count(f'06: 0={i:04x}') for i in (7, 8)] in ([0, 0], [0, 1], [1, 0], [1, 1]), writes
    assert writes.count('06: 0=0009') == 1
    assert site.device.owners() == ['127.0.0.1']
    gateway.stop()


# ---- the monitor

def test_monitor_lost(installation, tmp_path, gatewayd):
    """The monitor ends, or was never there: running false is said, the exit status is 69, within 2 s."""
    site = installation(FORMS[0])
    for end in (site.monitor.stop, site.monitor.kill):
        if not site.monitor.process.running:
            site.monitor.start()
            for server in site.servers:
                server.start()
            wait_active(site.servers)
        gateway = site.start('127.0.0.1')
        site.wait_polled('127.0.0.1', len(site.device.requests))
        begin = time.monotonic()
        end()
        assert gateway.process.wait() == 69
        assert time.monotonic() < begin + 4 * PATIENCE
        assert site.device.connected == 0 or wait_until(lambda: site.device.connected == 0, 'the field connection is closed')
    gateway = site.start('127.0.0.1', wait=False)
    assert gateway.process.wait() == 69
    assert 'Cannot connect to monitor server' in gateway.log_text()


def test_monitor_master_lost(installation, tmp_path):
    """Two monitors, a gateway at each. The one of the blessed gateway is killed: the other monitor becomes master, its gateway takes
    over. The first comes back as master and finds the other's gateway: never do both poll."""
    master_monitor = Monitor(tmp_path / 'monitor1')
    slave_monitor = Monitor(tmp_path / 'monitor2', parents=[master_monitor])
    site = installation(FORMS[0], monitors=[slave_monitor, master_monitor])
    a = site.start('127.0.0.1', master_monitor)
    site.wait_polled('127.0.0.1')
    b = site.start('127.0.0.2', slave_monitor)
    wait_until(lambda: "Gateway '127.0.0.1' is blessed." in b.log_text(), 'the second waits')
    master_monitor.kill()
    assert a.process.wait() == 69
    site.wait_polled('127.0.0.2')
    assert site.device.owners() == ['127.0.0.1', '127.0.0.2']

    master_monitor.start()
    wait_until(master_monitor.has_slave, 'the monitors are connected')
    a = site.start('127.0.0.1', master_monitor)
    since = len(site.device.requests)
    wait_until(lambda: 'blessed' in a.log_text(), 'the monitors agree', TAKEOVER)
    wait_until(lambda: len(site.device.requests) >= since + 20, 'one goes on', TAKEOVER)
    assert len(site.device.owners(since)) <= 2
