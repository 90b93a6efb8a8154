# SPDX-License-Identifier: Apache-2.0
"""A Modbus device vanishes, misbehaves and comes back; its neighbour does not notice."""

import time

import pytest

from harness.bus import device_path
from harness.config import NATIVE, data, master, remote
from harness.waiting import PATIENCE, wait_until

SICK = 'modbus_master/sick'
HEALTHY = 'modbus_master/healthy'
PREFIX = NATIVE.prefix(SICK)
STATUS = f'{PREFIX}/gateway/status'
REMOTE = f'{PREFIX}/gateway/remote_device/1/status'
READ = f'{PREFIX}/gateway/remote_device/1/read/word'
INTERVAL = 0.05
WINDOW = 2              # seconds over which the neighbour's rate is measured
CONNECT_DELAY = 0.2
TIMEOUT = 1             # what the sick one has for an answer; longer than a busy machine keeps a healthy one from giving it


class Ward:
    """A sick and a healthy device behind one gateway, both polled."""

    def __init__(self, sick, healthy, eventer, bus_client):
        self.sick, self.healthy, self.eventer, self.bus_client = sick, healthy, eventer, bus_client
        self.signal_mark = bus_client.mark()
        self.healthy_mark = eventer.mark()

    def rate(self, duration=WINDOW):
        """Requests a second at the healthy device, in the best part of the time: the machine may stand still in another."""
        return max(self._rate(duration / 4) for _ in range(4))

    def _rate(self, duration):
        begin, n = time.monotonic(), len(self.healthy.requests)
        wait_until(lambda: time.monotonic() - begin >= duration, 'the time passes', duration + 5)
        return (len(self.healthy.requests) - n) / (time.monotonic() - begin)

    def neighbour_is_well(self, rate_before, rate):
        assert rate >= 0.7 * rate_before        # who waited for the sick one comes to 0.27 (tried)
        path = device_path(HEALTHY)
        named = [i for i in self.bus_client.signals(self.signal_mark) if i.path == path or path in str(i.body)]
        assert named == []
        assert self.eventer.events(f'{NATIVE.prefix(HEALTHY)}/gateway/*', self.healthy_mark) == []

    def counters(self):
        """Those of the sick one."""
        return self.bus_client.get_all(device_path(SICK), 'io.gatewayd.Gateway1.Device.ModbusMaster')

    def link(self):
        properties = self.bus_client.device(SICK)
        return properties['Link'], properties['LinkReason']


def start(gatewayd, event_server, eventer, bus_client, field, framing='tcp', serial=False, timeout_poll_delay=0.2, **connection):
    sick, healthy = field(framing=framing, serial=serial), field()
    values = {'modbus_type': framing.upper(), 'transport': sick.transport, 'connect_delay': CONNECT_DELAY,
              'request_timeout': TIMEOUT, **connection}
    gatewayd(NATIVE.config([master('sick', None, [remote(1, [data('word', interval=INTERVAL)], timeout_poll_delay)], **values),
                            master('healthy', healthy.port, [remote(1, [data('word', interval=INTERVAL)])])],
                           event_server.port))
    for name in (SICK, HEALTHY):
        eventer.register_many([(f'{NATIVE.prefix(name)}/system/enable', True),
                               (f'{NATIVE.prefix(name)}/system/remote_device/1/enable', True)])
    for name in (SICK, HEALTHY):
        eventer.wait(f'{NATIVE.prefix(name)}/gateway/remote_device/1/read/word')
        # Both signals of that: the coalesced one may come 0.1 s later.
        bus_client.wait_signal('LinkChanged', device_path(name), where=lambda s: s.body[1] == 'up')
        bus_client.wait_signal('PropertiesChanged', device_path(name), where=lambda s: s.body[1].get('Link') == 'up')
    return Ward(sick, healthy, eventer, bus_client)


@pytest.fixture
def ward(gatewayd, event_server, eventer, bus, bus_client, field):
    return start(gatewayd, event_server, eventer, bus_client, field)


def wait_recovered(ward, since):
    """The device answers again: a new first value, then changes of it."""
    ward.eventer.wait(READ, since=since, where=lambda p: p.get('cause') == 'INTERROGATE')
    ward.sick.holding[0] += 1
    ward.eventer.wait(READ, {'result': 'SUCCESS', 'value': ward.sick.holding[0], 'cause': 'CHANGE'}, since=since)
    wait_until(lambda: ward.link() == ('up', 'none'), lambda: f'link up, is {ward.link()}')
    assert ward.bus_client.device(SICK, 'State') == 'running'


def test_refused(ward):
    before = ward.rate()
    since, begin = ward.eventer.mark(), time.monotonic()
    ward.sick.refuse()
    ward.eventer.wait(REMOTE, 'DISABLED', since=since)
    wait_until(lambda: ward.link() == ('down', 'refused'), lambda: f'link down, is {ward.link()}')
    assert ward.bus_client.device(SICK, 'State') == 'running'
    rate = ward.rate()

    statuses = ward.eventer.payloads(STATUS, since)
    assert statuses[0] == 'DISCONNECTED'
    assert all(a != b for a, b in zip(statuses, statuses[1:]))
    assert set(statuses) == {'DISCONNECTED', 'CONNECTING'}
    assert len(statuses) <= 2 * (time.monotonic() - begin + 1) / CONNECT_DELAY
    assert ward.eventer.payloads(REMOTE, since) == ['DISABLED']

    since = ward.eventer.mark()
    ward.sick.listen()
    wait_recovered(ward, since)
    assert ward.eventer.payloads(REMOTE, since) == ['CONNECTING', 'CONNECTED']
    ward.neighbour_is_well(before, rate)


def test_reset(ward):
    before = ward.rate()
    since = ward.eventer.mark()
    ward.sick.drop_connections(reset=True)
    wait_recovered(ward, since)
    assert ward.eventer.payloads(STATUS, since) == ['DISCONNECTED', 'CONNECTING', 'CONNECTED']
    assert ward.eventer.payloads(REMOTE, since) == ['DISABLED', 'CONNECTING', 'CONNECTED']
    order = [(i.type[-1] if i.type[-2] != '1' else 'remote', i.payload.data)
             for i in ward.eventer.events(f'{PREFIX}/gateway/*', since)][:6]
    assert order[:5] == [('remote', 'DISABLED'), ('status', 'DISCONNECTED'), ('status', 'CONNECTING'),
                         ('status', 'CONNECTED'), ('remote', 'CONNECTING')]
    ward.neighbour_is_well(before, ward.rate())


def test_silent(ward):
    before = ward.rate()
    since = ward.eventer.mark()
    ward.sick.mode = 'silent'
    ward.eventer.wait(REMOTE, 'DISCONNECTED', since=since)
    wait_until(lambda: ward.link() == ('partial', 'timeout'), lambda: f'link partial, is {ward.link()}')
    rate = ward.rate()
    assert ward.eventer.events(STATUS, since) == []
    statuses = ward.eventer.payloads(REMOTE, since)
    assert statuses == (['DISCONNECTED', 'CONNECTING'] * len(statuses))[:len(statuses)]
    assert ward.eventer.events(READ, since) == []
    assert ward.sick.n_connections == 1

    since = ward.eventer.mark()
    ward.sick.mode = 'normal'
    wait_recovered(ward, since)
    ward.neighbour_is_well(before, rate)


def test_return_is_noticed_when_expected(gatewayd, event_server, eventer, bus, bus_client, field):
    """From the first timeout on, and in each state, the status says when it is asked next and how long its return takes at most."""
    delay, slack = 2, 5 * PATIENCE  # seconds
    ward = start(gatewayd, event_server, eventer, bus_client, field, probe_budget=0.05, timeout_poll_delay=delay)

    def expected():
        unit = ward.counters()['RemoteDevices'][0]
        return unit['NextProbeTimestamp'] / 1e6 - time.time(), unit['RecoveryUSec'] / 1e6

    assert expected()[1] == 0
    since = eventer.mark()
    ward.sick.mode = 'silent'
    for status in ('DISCONNECTED', 'CONNECTING'):
        eventer.wait(REMOTE, status, since=since)
        next_probe, recovery = expected()
        assert recovery == TIMEOUT + delay
        assert -slack <= next_probe <= delay
        begin = time.monotonic()
    ward.sick.mode = 'normal'   # the probe on the line is lost
    since = eventer.mark()
    eventer.wait(REMOTE, 'CONNECTED', since=since)
    assert time.monotonic() - begin <= recovery + slack
    assert expected()[1] == 0


@pytest.mark.parametrize('serial', [False, True], ids=['over-tcp', 'on-line'])
@pytest.mark.parametrize('framing', ['tcp', 'rtu', 'ascii'])
def test_dribbles_within_the_timeout(framing, serial, gatewayd, event_server, eventer, bus, bus_client, field):
    """At most 15 bytes in 0.15 s: slow, but in time. RTU on a line is libmodbus', which ends a frame at a pause unless it is
    told not to."""
    ward = start(gatewayd, event_server, eventer, bus_client, field, framing, serial, request_timeout=5)
    before = ward.rate()
    since = ward.eventer.mark()
    ward.sick.delay = 0.01
    ward.sick.mode = 'dribble'
    n = len(ward.sick.requests)
    ward.sick.wait_requests(5, n)
    ward.sick.holding[0] = 4321
    ward.eventer.wait(READ, {'result': 'SUCCESS', 'value': 4321, 'cause': 'CHANGE'}, since=since)
    rate = ward.rate()
    assert ward.eventer.events(STATUS, since) == [] and ward.eventer.events(REMOTE, since) == []
    ward.neighbour_is_well(before, rate)


def test_dribbles_beyond_the_timeout(ward):
    """11 bytes in 3.3 s: each byte restarts nothing, the request times out."""
    before = ward.rate()
    since = ward.eventer.mark()
    ward.sick.delay = 0.3 * TIMEOUT
    ward.sick.mode = 'dribble'
    begin = time.monotonic()
    ward.eventer.wait(REMOTE, where=lambda p: p in ('DISCONNECTED', 'DISABLED'), since=since)
    assert time.monotonic() - begin < 11 * ward.sick.delay
    rate = ward.rate()
    assert ward.eventer.events(READ, since) == []

    since = ward.eventer.mark()
    ward.sick.mode = 'normal'
    wait_recovered(ward, since)
    ward.neighbour_is_well(before, rate)


def test_garbage(ward):
    """Bytes that are no frame end the connection; no storm of connections follows."""
    before = ward.rate()
    since = ward.eventer.mark()
    n, begin = ward.sick.n_connections, time.monotonic()
    ward.sick.mode = 'garbage'
    ward.eventer.wait(REMOTE, 'DISABLED', since=since)
    rate = ward.rate()
    assert 2 <= ward.sick.n_connections - n <= (time.monotonic() - begin + 1) / CONNECT_DELAY
    assert 'CONNECTED' not in ward.eventer.payloads(REMOTE, since)
    assert ward.eventer.events(READ, since) == []

    since = ward.eventer.mark()
    ward.sick.mode = 'normal'
    wait_recovered(ward, since)
    ward.neighbour_is_well(before, rate)


def test_hangs_up_on_every_request(ward):
    """A connection that lives shorter than connect_delay is not made anew at once."""
    before = ward.rate()
    n, begin = ward.sick.n_connections, time.monotonic()
    ward.sick.mode = 'hang-up'
    rate = ward.rate()
    assert 2 <= ward.sick.n_connections - n <= (time.monotonic() - begin + 1) / CONNECT_DELAY
    since = ward.eventer.mark()
    ward.sick.mode = 'normal'
    wait_recovered(ward, since)
    ward.neighbour_is_well(before, rate)


def test_late(ward):
    """An answer that comes after the timeout is nobody's answer."""
    since = ward.eventer.mark()
    ward.sick.delay = 1.5 * TIMEOUT
    ward.sick.mode = 'late'
    ward.eventer.wait(REMOTE, 'DISCONNECTED', since=since)
    n = len(ward.sick.requests)
    ward.sick.wait_requests(3, n)
    assert ward.eventer.events(READ, since) == []
    assert ward.eventer.events(STATUS, since) == []
    since = ward.eventer.mark()
    ward.sick.mode = 'normal'
    wait_recovered(ward, since)


def test_answers_for_others_are_ignored(ward):
    since = ward.eventer.mark()
    ward.sick.mode = 'foreign'
    ward.sick.wait_requests(5, len(ward.sick.requests))
    ward.sick.holding[0] = 77
    ward.eventer.wait(READ, {'result': 'SUCCESS', 'value': 77, 'cause': 'CHANGE'}, since=since)
    assert ward.eventer.events(STATUS, since) == [] and ward.eventer.events(REMOTE, since) == []


def test_short_answers_are_not_valid(ward):
    since = ward.eventer.mark()
    ward.sick.mode = 'short'
    ward.eventer.wait(REMOTE, 'DISCONNECTED', since=since)
    assert ward.eventer.events(READ, since) == [] and ward.eventer.events(STATUS, since) == []
    since = ward.eventer.mark()
    ward.sick.mode = 'normal'
    wait_recovered(ward, since)


def test_wrong_protocol_id_ends_the_connection(ward):
    since = ward.eventer.mark()
    ward.sick.mode = 'protocol'
    ward.eventer.wait(REMOTE, 'DISABLED', since=since)
    ward.eventer.wait(STATUS, 'DISCONNECTED', since=since)
    since = ward.eventer.mark()
    ward.sick.mode = 'normal'
    wait_recovered(ward, since)


@pytest.mark.parametrize('code, name', [(1, 'INVALID_FUNCTION_CODE'), (2, 'INVALID_DATA_ADDRESS'),
                                        (3, 'INVALID_DATA_VALUE'), (4, 'FUNCTION_ERROR'), (5, 'FUNCTION_ERROR'),
                                        (6, 'FUNCTION_ERROR'), (7, 'FUNCTION_ERROR'), (8, 'FUNCTION_ERROR'),
                                        (0x0A, 'GATEWAY_PATH_UNAVAILABLE'),
                                        (0x0B, 'GATEWAY_TARGET_DEVICE_FAILED_TO_RESPOND')])
def test_exceptions(ward, code, name):
    """An error answer is an answer: registered in every poll, but not more than 10 times a second."""
    since, begin = ward.eventer.mark(), time.monotonic()
    ward.sick.exception_code = code
    ward.sick.mode = 'exception'
    wait_until(lambda: len(ward.eventer.events(READ, since)) >= 8, 'each poll registers it')
    errors, took = ward.eventer.payloads(READ, since), time.monotonic() - begin
    assert len(errors) <= 10 * took + 2 and all(i == {'result': name} for i in errors)
    assert ward.eventer.events(REMOTE, since) == []
    codes = ward.counters()['ExceptionCodes']
    assert list(codes) == [code] and codes[code] >= 8
    assert ward.counters()['RemoteDevices'][0]['ExceptionCodes'].keys() == {code}

    since = ward.eventer.mark()
    ward.sick.mode = 'normal'
    ward.eventer.wait(READ, {'result': 'SUCCESS', 'value': 0, 'cause': 'INTERROGATE'}, since=since)


@pytest.mark.parametrize('framing', ['rtu', 'ascii'])
@pytest.mark.parametrize('mode', ['noise', 'foreign'])
def test_framing_is_searched(mode, framing, gatewayd, event_server, eventer, bus, bus_client, field):
    """Stray bytes and other units' frames before the answer do no harm."""
    ward = start(gatewayd, event_server, eventer, bus_client, field, framing=framing)
    since = eventer.mark()
    ward.sick.mode = mode
    ward.sick.wait_requests(5, len(ward.sick.requests))
    ward.sick.holding[0] = 77
    eventer.wait(READ, {'result': 'SUCCESS', 'value': 77, 'cause': 'CHANGE'}, since=since)
    assert eventer.events(STATUS, since) == [] and eventer.events(REMOTE, since) == []


@pytest.mark.parametrize('framing', ['rtu', 'ascii'])
def test_wrong_checksums(framing, gatewayd, event_server, eventer, bus, bus_client, field):
    """They are no answer, and counted as what they are."""
    ward = start(gatewayd, event_server, eventer, bus_client, field, framing)
    assert ward.counters()['ChecksumErrors'] == 0
    since = eventer.mark()
    ward.sick.mode = 'checksum'
    eventer.wait(REMOTE, 'DISCONNECTED', since=since)
    assert eventer.events(READ, since) == []
    counters = ward.counters()
    assert counters['ChecksumErrors'] >= 1 and counters['Timeouts'] >= 1
    assert counters['RemoteDevices'][0]['ChecksumErrors'] >= 1
    since = eventer.mark()
    ward.sick.mode = 'normal'
    wait_recovered(ward, since)


@pytest.mark.parametrize('framing', ['rtu', 'ascii'])
def test_garbage_times_out(framing, gatewayd, event_server, eventer, bus, bus_client, field):
    ward = start(gatewayd, event_server, eventer, bus_client, field, framing=framing)
    since = eventer.mark()
    ward.sick.mode = 'garbage'
    eventer.wait(REMOTE, 'DISCONNECTED', since=since)
    assert eventer.events(STATUS, since) == []
    since = eventer.mark()
    ward.sick.mode = 'normal'
    wait_recovered(ward, since)


def test_repetitions(gatewayd, event_server, eventer, bus, bus_client, field):
    """I=1, D=2, timeout 0.1, delay 0.05: transmissions at 0, 0.10, 0.25, 0.35, 0.50, 0.60; TIMEOUT at 0.70. Where others want the
    processor they come late, but not every time."""
    ward = start(gatewayd, event_server, eventer, bus_client, field, request_timeout=0.1,
                 request_retry_immediate_count=1, request_retry_delayed_count=2, request_retry_delay=0.05)

    def on_time():
        ward.sick.mode, since = 'normal', eventer.mark()
        eventer.wait(READ, since=since, where=lambda p: p.get('cause') == 'INTERROGATE')
        ward.sick.mode, since, n = 'silent', eventer.mark(), len(ward.sick.requests)
        eventer.wait(REMOTE, 'DISCONNECTED', since=since)
        requests = ward.sick.requests[n:]           # the first may have been answered still
        return any(len({i.transaction for i in row}) == 6 and
                   all(abs(i.time - row[0].time - expected) < 0.045 for i, expected in zip(row, [0, 0.10, 0.25, 0.35, 0.50, 0.60]))
                   for row in (requests[i:i + 6] for i in range(len(requests) - 5)))

    ward.sick.mode = 'silent'
    eventer.wait(REMOTE, 'DISCONNECTED')
    wait_until(on_time, 'all come on time')


def test_unplugged_when_started(own_form, event_server, eventer, bus, bus_client, gatewayd, field):
    """A remote that is away from the beginning: the device runs, its link does not."""
    sick = field()
    sick.refuse()
    prefix = own_form.prefix(SICK)
    gatewayd(own_form.config([master('sick', sick.port, [remote(1, [data('word')])])], event_server.port))
    eventer.register(f'{prefix}/system/enable', True)
    eventer.wait(f'{prefix}/gateway/running', True)
    eventer.wait(f'{prefix}/gateway/status', 'DISCONNECTED')
    wait_until(lambda: bus_client.device(SICK, 'Link') == 'down', 'link down')
    assert bus_client.device(SICK, 'State') == 'running'
    wait_until(lambda: bus_client.manager('DevicesDown') == 1, 'counted as down')
    assert bus_client.manager('State') == 'degraded'

    # Disabled in the pause between attempts: nothing more is registered than running false.
    since = eventer.mark()
    eventer.register(f'{prefix}/system/enable', False)
    eventer.wait(f'{prefix}/gateway/running', False, since=since)
    assert eventer.payloads(f'{prefix}/gateway/status')[-1] == 'DISCONNECTED'
