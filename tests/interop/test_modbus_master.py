# SPDX-License-Identifier: Apache-2.0
"""modbus_master end to end: the specification's tables of reading and writing, in all six pairs of framing
and transport, and its event order."""

import statistics
import struct
import time

import pytest

from harness.config import HAT, NATIVE, data, master, remote
from harness.waiting import wait_until

from dissector import judge_trace
from modbus_clients import read

PLC = 'modbus_master/plc'
PREFIX = NATIVE.prefix(PLC)
ONE = f'{PREFIX}/gateway/remote_device/1'

#: spec of writing a holding register: offset, count, value, requests; start address 100
HOLDING_WRITES = [
    (0, 16, 0x1234, ['06: 100=1234']),
    (0, 32, 0x12345678, ['10: 100=1234,5678']),
    (0, 8, 0xAB, ['16: 100 and=00ff or=ab00']),
    (8, 8, 0xAB, ['16: 100 and=ff00 or=00ab']),
    (4, 8, 0xAB, ['16: 100 and=f00f or=0ab0']),
    (8, 16, 0xABCD, ['16: 100 and=ff00 or=00ab', '16: 101 and=00ff or=cd00']),
    (8, 24, 0xABCDEF, ['16: 100 and=ff00 or=00ab', '06: 101=cdef']),
    (8, 32, 0x3456789A, ['16: 100 and=ff00 or=0034', '06: 101=5678', '16: 102 and=00ff or=9a00']),
    (4, 40, 0x123456789A, ['16: 100 and=f000 or=0123', '06: 101=4567', '16: 102 and=000f or=89a0']),
    (20, 8, 0xAB, ['16: 101 and=f00f or=0ab0']),
    (16, 16, 0xABCD, ['06: 101=abcd']),
    (0, 80, 0x123456789ABCDEF01122, ['10: 100=1234,5678,9abc,def0,1122']),
    (0, 24, 0x12345678, ['06: 100=3456', '16: 101 and=00ff or=7800']),
    (0, 16, -1, ['06: 100=ffff']),
    (4, 40, -2, ['16: 100 and=f000 or=0fff', '06: 101=ffff', '16: 102 and=000f or=ffe0']),
]

COIL_WRITES = [
    (2, 3, 5, ['0f: 102=1,0,1']),
    (0, 1, 1, ['05: 100=ff00']),
    (7, 1, 0, ['05: 107=0000']),
    (0, 9, 0x155, ['0f: 100=1,0,1,0,1,0,1,0,1']),
    (0, 3, -1, ['0f: 100=1,1,1']),
]

#: spec of reading: width, offset, count, registers, value
READS = [
    (16, 8, 32, [0x1234, 0x5678, 0x9ABC], 0x3456789A),
    (16, 0, 16, [0x1234], 0x1234),
    (16, 4, 8, [0x1234], 0x23),
    (16, 0, 1, [0x8000], 1),
    (16, 15, 1, [1], 1),
    (16, 12, 8, [0x1234, 0x5678], 0x45),
    (16, 20, 12, [0x1234, 0x5678], 0x678),
    (16, 8, 24, [0xFFFF, 0xABCD], 0xFFABCD),
    (16, 0, 80, [0x1234, 0x5678, 0x9ABC, 0xDEF0, 0x1122], 0x123456789ABCDEF01122),
    (16, 4, 72, [0x1234, 0x5678, 0x9ABC, 0xDEF0, 0x1122], 0x23456789ABCDEF0112),
    (1, 0, 3, [1, 0, 1], 5),
    (1, 2, 3, [1, 1, 1, 0, 0], 4),
]


REFUSED = {'result': 'INVALID_DATA_ADDRESS'}


@pytest.fixture(params=[(framing, serial) for serial in (False, True) for framing in ('tcp', 'rtu', 'ascii')],
                ids=lambda i: f'{i[0]}-on-{"serial" if i[1] else "tcp"}')
def pair(request):
    """Keywords of a field device."""
    return {'framing': request.param[0], 'serial': request.param[1]}


@pytest.fixture
def started(gatewayd, event_server, eventer, bus):
    """started(device, remotes, **connection) runs a master in front of the device and enables it."""
    def start(device, remotes, enable=(1,), **connection):
        gatewayd(NATIVE.config([master('plc', device.port, remotes, **{'transport': device.transport, **connection})], event_server.port))
        eventer.register_many([(f'{PREFIX}/system/enable', True)] +
                              [(f'{PREFIX}/system/remote_device/{i}/enable', True) for i in enable])
        eventer.wait(f'{PREFIX}/gateway/status', 'CONNECTED')

    return start


def wait_written(eventer, name, request_id, result='SUCCESS', unit=1):
    eventer.wait(f'{PREFIX}/gateway/remote_device/{unit}/write/{name}', {'request_id': request_id, 'result': result})


def test_writes(pair, started, eventer, field):
    """Every row of the tables of writing; the remote device need not be enabled."""
    device = field(**pair)
    rows = [('HOLDING_REGISTER', *i) for i in HOLDING_WRITES] + [('COIL', *i) for i in COIL_WRITES]
    items = [data(f'row-{i}', kind, 100, offset, count, None) for i, (kind, offset, count, _, _) in enumerate(rows)]
    started(device, [remote(1, items)], enable=(), modbus_type=pair['framing'].upper())
    for i, (_kind, _offset, _count, value, expected) in enumerate(rows):
        since = len(device.requests)
        eventer.register(f'{PREFIX}/system/remote_device/1/write/row-{i}', {'request_id': str(i), 'value': value})
        wait_written(eventer, f'row-{i}', str(i))
        assert device.writes(since) == expected, rows[i]


def test_reads(pair, started, eventer, field):
    """Every row of the table of reading, each with a remote device of its own."""
    device = field(**pair)
    remotes, expected = [], []
    for i, (width, offset, count, registers, value) in enumerate(READS):
        start = 10 * i
        (device.holding if width == 16 else device.coils)[start:start + len(registers)] = registers
        remotes.append(remote(i + 1, [data('x', 'HOLDING_REGISTER' if width == 16 else 'COIL', start, offset, count)]))
        expected.append(((f'{PREFIX}/gateway/remote_device/{i + 1}/read/x'), value))
    started(device, remotes, enable=range(1, len(READS) + 1), modbus_type=pair['framing'].upper())
    for kind, value in expected:
        eventer.wait(kind, {'result': 'SUCCESS', 'value': value, 'cause': 'INTERROGATE'})
    by_unit = {i.unit: i.pdu for i in device.requests}
    for i, (_width, offset, count, registers, _value) in enumerate(READS):
        assert int.from_bytes(by_unit[i + 1][3:5], 'big') == len(registers)


@pytest.mark.parametrize('table', ['DISCRETE_INPUT', 'INPUT_REGISTER'])
def test_read_only_tables(table, started, eventer, field):
    device = field()
    (device.discrete if table == 'DISCRETE_INPUT' else device.inputs)[5] = 1
    started(device, [remote(1, [data('x', table, 5, 0, 1 if table == 'DISCRETE_INPUT' else 16)])])
    eventer.wait(f'{ONE}/read/x', {'result': 'SUCCESS', 'value': 1, 'cause': 'INTERROGATE'})
    since = eventer.mark()
    eventer.register(f'{PREFIX}/system/remote_device/1/write/x', {'request_id': 'r', 'value': 0})
    eventer.assert_none(f'{ONE}/write/x', since, 0.3)


def test_queue(pair, started, eventer, field):
    """FC 18 in the standard's format; missing bits are 0; every count from 0 to 31."""
    device = field(**pair)
    device.fifo[7] = [0x1234, 0x5678]
    device.fifo[8] = []
    device.fifo[9] = list(range(1, 32))
    started(device, [remote(1, [data('two', 'QUEUE', 7, 0, 48), data('none', 'QUEUE', 8, 0, 16),
                                data('full', 'QUEUE', 9, 16 * 30, 16)])], modbus_type=pair['framing'].upper())
    for name, value in (('two', 0x123456780000), ('none', 0), ('full', 31)):
        eventer.wait(f'{ONE}/read/{name}', {'result': 'SUCCESS', 'value': value, 'cause': 'INTERROGATE'})
    device.fifo[8] = [5]
    eventer.wait(f'{ONE}/read/none', {'result': 'SUCCESS', 'value': 5, 'cause': 'CHANGE'})


def test_grouping(started, eventer, field):
    """0+100, 90+40, 95+1 become 0..99 and 90..129; different intervals and types are never grouped."""
    device = field()
    started(device, [remote(1, [data('a', start=0, bit_count=1600), data('b', start=90, bit_count=640),
                                data('c', start=95), data('d', start=0, interval=0.07), data('e', 'COIL', 0, 0, 1)])])
    for name in 'abcde':
        eventer.wait(f'{ONE}/read/{name}')
    assert {i.pdu.hex() for i in device.requests} == {'0300000064', '03005a0028', '0300000001', '0100000001'}


def test_one_error_in_a_row_of_polls(started, eventer, field):
    """Polls answered 1, error 4, error 4, 1, 1, nothing, 1, 2: the example of the specification."""
    device = field()
    script = iter([1, 'error', 'error', 1, 1, None, 1, 2])
    last = [2]

    def answer(_request):
        value = next(script, last[0])
        if value == 'error':
            return bytes([0x83, 4])
        device.mode = 'silent' if value is None else 'normal'
        return bytes([3, 2, 0, value or 0])

    device.answer_hook = answer
    started(device, [remote(1, [data('x', interval=0.15)], timeout_poll_delay=0.2)], request_timeout=2)
    eventer.wait(f'{ONE}/read/x', {'result': 'SUCCESS', 'value': 2, 'cause': 'CHANGE'})

    got = [(i.type[-2] if i.type[-2] == 'read' else 'status', i.payload.data) for i in eventer.events(f'{ONE}/*')]
    one = {'result': 'SUCCESS', 'value': 1, 'cause': 'INTERROGATE'}
    error = {'result': 'FUNCTION_ERROR'}
    assert got == [('status', 'CONNECTING'), ('status', 'CONNECTED'), ('read', one), ('read', error), ('read', error),
                   ('read', one), ('status', 'DISCONNECTED'), ('status', 'CONNECTING'), ('status', 'CONNECTED'),
                   ('read', one), ('read', {'result': 'SUCCESS', 'value': 2, 'cause': 'CHANGE'})]


def test_peer_closes(started, eventer, field):
    """1 polling, 2 not enabled, 3 enabled without polled data: the order of the specification's example."""
    device = field()
    started(device, [remote(1, [data('x')]), remote(2, [data('x')]), remote(3, [data('x', interval=None)])],
            enable=(1, 3))
    status = f'{PREFIX}/gateway/remote_device/?/status'
    eventer.wait(f'{ONE}/read/x')
    wait_until(lambda: len(eventer.events(status)) >= 4, 'all remote devices have a status')
    assert sorted((i.type[-2], i.payload.data) for i in eventer.events(status)) == [
        ('1', 'CONNECTED'), ('1', 'CONNECTING'), ('2', 'DISABLED'), ('3', 'CONNECTED')]

    since = eventer.mark()
    device.drop_connections()
    eventer.wait(f'{ONE}/read/x', since=since)
    got = [('S' if i.type[-2] == 'gateway' else i.type[-2], i.payload.data)
           for i in eventer.events(f'{PREFIX}/gateway/*', since) if i.type[-1] == 'status']
    assert sorted(got[:2]) == [('1', 'DISABLED'), ('3', 'DISABLED')]
    assert got[2:5] == [('S', 'DISCONNECTED'), ('S', 'CONNECTING'), ('S', 'CONNECTED')]
    assert sorted(got[5:8]) == [('1', 'CONNECTING'), ('2', 'DISABLED'), ('3', 'CONNECTED')]
    assert got[8:] == [('1', 'CONNECTED')]


def test_enable_of_a_remote_device(started, eventer, field):
    """Truthy payloads enable, falsy ones disable, others are ignored; repeating says nothing."""
    device = field()
    started(device, [remote(1, [data('x')])], enable=())
    eventer.wait(f'{ONE}/status', 'DISABLED')
    enable = f'{PREFIX}/system/remote_device/1/enable'
    for truthy, falsy in ((1, 0), ('x', ''), ([0], []), ({'a': 1}, {}), (True, None), (0.5, False)):
        since = eventer.mark()
        eventer.register(enable, truthy)
        eventer.wait(f'{ONE}/status', 'CONNECTED', since=since)
        eventer.register(enable, truthy)
        eventer.register(enable)                                        # no payload
        eventer.register(f'{PREFIX}/system/remote_device/one/enable', False)
        eventer.register(f'{PREFIX}/system/remote_device/1/enable/foo', False)
        eventer.register(enable, falsy)
        eventer.wait(f'{ONE}/status', 'DISABLED', since=since)
        assert eventer.payloads(f'{ONE}/status', since) == ['CONNECTING', 'CONNECTED', 'DISABLED']


def test_writes_without_result(started, eventer, field):
    """Unknown names, malformed payloads and values that are no integers get no answer and reach nobody."""
    device = field()
    started(device, [remote(1, [data('x', interval=None)])], enable=())
    since, n = eventer.mark(), len(device.requests)
    write = f'{PREFIX}/system/remote_device/1/write'
    for kind, value in ((f'{write}/nobody', {'request_id': 'r', 'value': 1}),
                        (f'{PREFIX}/system/remote_device/9/write/x', {'request_id': 'r', 'value': 1}),
                        (f'{write}/x', {'request_id': 'r', 'value': 5.0}),
                        (f'{write}/x', {'request_id': 'r', 'value': '5'}),
                        (f'{write}/x', {'request_id': 'r', 'value': None}),
                        (f'{write}/x', {'request_id': 'r'}),
                        (f'{write}/x', {'value': 1}),
                        (f'{write}/x', 7),
                        (f'{write}/x', None)):
        eventer.register(kind, value)
    eventer.register_binary(f'{write}/x', b'{}')
    eventer.register(f'{write}/x', {'request_id': 'last', 'value': 1})
    wait_written(eventer, 'x', 'last')
    assert eventer.payloads(f'{PREFIX}/gateway/remote_device/?/write/?', since) == [
        {'request_id': 'last', 'result': 'SUCCESS'}]
    assert device.writes(n) == ['06: 0=0001']


def test_write_errors(started, eventer, field):
    """The first request that does not succeed is the result; too large a write is refused without sending."""
    device = field()
    started(device, [remote(1, [data('outside', start=5000, interval=None),
                                data('large', start=0, bit_count=16 * 124, interval=None),
                                data('halves', start=0, bit_offset=8, bit_count=16, interval=None),
                                data('x', start=0, interval=None)])],
            enable=(), request_timeout=2)
    write = f'{PREFIX}/system/remote_device/1/write'
    eventer.register(f'{write}/outside', {'request_id': 1, 'value': 1})
    wait_written(eventer, 'outside', 1, 'INVALID_DATA_ADDRESS')

    n = len(device.requests)
    eventer.register(f'{write}/large', {'request_id': 2, 'value': 1})
    wait_written(eventer, 'large', 2, 'INVALID_DATA_VALUE')
    assert len(device.requests) == n

    device.mode = 'exception'
    eventer.register(f'{write}/halves', {'request_id': 3, 'value': 1})
    wait_written(eventer, 'halves', 3, 'FUNCTION_ERROR')
    assert len(device.requests) == n + 1

    device.mode = 'silent'
    eventer.register(f'{write}/x', {'request_id': 4, 'value': 1})
    wait_written(eventer, 'x', 4, 'TIMEOUT')

    device.mode = 'echo'
    eventer.register(f'{write}/x', {'request_id': 5, 'value': 1})
    wait_written(eventer, 'x', 5, 'TIMEOUT')


def test_write_while_not_connected(started, eventer, field):
    device = field()
    started(device, [remote(1, [data('x', interval=None)])], enable=())
    device.refuse()
    eventer.wait(f'{PREFIX}/gateway/status', 'DISCONNECTED')
    since = eventer.mark()
    eventer.register(f'{PREFIX}/system/remote_device/1/write/x', {'request_id': 'r', 'value': 1})
    eventer.assert_none(f'{ONE}/write/x', since, 0.5)


def test_one_request_at_a_time(started, eventer, field):
    """No pipelining: while a request waits for its answer, nothing else is sent, and remote devices take turns."""
    device = field(mode='late', delay=0.03)
    started(device, [remote(1, [data('x', interval=0)]), remote(2, [data('x', interval=0)])], enable=(1, 2))
    since = len(device.requests)
    requests = device.wait_requests(12, since)[:12]
    gaps = [b.time - a.time for a, b in zip(requests, requests[1:])]
    assert min(gaps) >= 0.028, gaps
    units = [i.unit for i in requests]
    assert all(a != b for a, b in zip(units, units[1:])), units


def test_several_requests_at_a_time(started, eventer, field):
    """`max_outstanding`: so many are under way and no more, and each answer goes to its own request, in whatever order they come."""
    device = field()
    device.holding[:200] = range(200)
    names = [f'at-{i}' for i in range(0, 200, 20)]
    started(device, [remote(1, [data(name, start=20 * i, interval=0) for i, name in enumerate(names)])], max_outstanding=4)
    for i, name in enumerate(names):
        eventer.wait(f'{ONE}/read/{name}', {'result': 'SUCCESS', 'value': 20 * i, 'cause': 'INTERROGATE'})
    since, n = eventer.mark(), len(device.frames)
    device.delay = 0.05
    device.mode = 'reverse'
    device.holding[:200] = range(1000, 1200)
    for i, name in enumerate(names):
        eventer.wait(f'{ONE}/read/{name}', {'result': 'SUCCESS', 'value': 1000 + 20 * i, 'cause': 'CHANGE'}, since=since)
    assert eventer.events(f'{ONE}/status', since) == []
    under_way = [0]
    for request, _frame in device.frames[n:]:
        under_way.append(under_way[-1] + (1 if request else -1))
    assert max(under_way) - min(under_way) == 4, under_way
    eventer.register(f'{PREFIX}/system/remote_device/1/write/at-0', {'request_id': 'w', 'value': 7})
    wait_written(eventer, 'at-0', 'w')
    assert device.holding[0] == 7


def test_several_requests_of_libmodbus(gatewayd, event_server, eventer, bus, gatewayctl, modbus_device, tmp_path):
    """Its server takes one request after the other out of what came together."""
    device = modbus_device()
    items = [data('constant', start=4), data('beyond', start=60000), data('input', 'INPUT_REGISTER', 4),
             *(data(f'at-{i}', start=i) for i in range(10, 50, 10)), data('coil', 'COIL', 10, 0, 1)]
    gatewayd(NATIVE.config([master('plc', device.port, [remote(1, items)], max_outstanding=8)], event_server.port))
    eventer.register_many([(f'{PREFIX}/system/enable', True), (f'{PREFIX}/system/remote_device/1/enable', True)])
    eventer.wait(f'{ONE}/read/constant', {'result': 'SUCCESS', 'value': 0x1234, 'cause': 'INTERROGATE'})
    eventer.wait(f'{ONE}/read/input', {'result': 'SUCCESS', 'value': 0x5678, 'cause': 'INTERROGATE'})
    eventer.wait(f'{ONE}/read/beyond', {'result': 'INVALID_DATA_ADDRESS'})
    for i in range(10, 50, 10):
        eventer.register(f'{PREFIX}/system/remote_device/1/write/at-{i}', {'request_id': str(i), 'value': 1000 + i})
    for i in range(10, 50, 10):
        wait_written(eventer, f'at-{i}', str(i))
        eventer.wait(f'{ONE}/read/at-{i}', where=lambda p, i=i: p.get('value') == 1000 + i)
    assert eventer.payloads(f'{ONE}/status') == ['CONNECTING', 'CONNECTED']
    assert judge_trace(tmp_path / 'capture', 'tcp', gatewayctl, PLC) == {1, 3, 4, 6}


def test_several_requests_of_pymodbus(gatewayd, event_server, eventer, bus, gatewayctl, pymodbus_device, tmp_path):
    """Its server answers the first request of what came together and forgets the others: they are repeated."""
    device = pymodbus_device(holding=range(200))
    starts = range(0, 80, 20)
    gatewayd(NATIVE.config([master('plc', device.port, [remote(1, [data(f'at-{i}', start=i, interval=0) for i in starts])],
                                   max_outstanding=8, request_timeout=1, request_retry_immediate_count=len(starts))],
                           event_server.port))
    eventer.register_many([(f'{PREFIX}/system/enable', True), (f'{PREFIX}/system/remote_device/1/enable', True)])
    for i in starts:
        eventer.wait(f'{ONE}/read/at-{i}', {'result': 'SUCCESS', 'value': i, 'cause': 'INTERROGATE'})
    for i in starts:
        device.set('holding', i, [1000 + i])
    for i in starts:
        eventer.wait(f'{ONE}/read/at-{i}', {'result': 'SUCCESS', 'value': 1000 + i, 'cause': 'CHANGE'})
    assert eventer.payloads(f'{ONE}/status') == ['CONNECTING', 'CONNECTED']
    assert gatewayctl.json('status', PLC)['Devices'][0]['ModbusMaster']['Timeouts'] > 0
    assert judge_trace(tmp_path / 'capture', 'tcp', gatewayctl, PLC) == {3}


def test_report(started, eventer, field):
    """A change within the dead band of what was reported last is none; one sooner than `min_interval` waits for it."""
    device = field()
    values = iter(range(1, 65536))
    device.holding[0] = 100
    device.answer_hook = lambda i: struct.pack('>BBH', 3, 2, next(values)) if i.pdu == read(3, 50, 1) else None
    begin = time.monotonic()
    started(device, [remote(1, [{**data('band', start=0, interval=0.02), 'report': {'deadband': 10}},
                                {**data('slow', start=50, interval=0.02), 'report': {'min_interval': 0.3}}])])

    eventer.wait(f'{ONE}/read/band', {'result': 'SUCCESS', 'value': 100, 'cause': 'INTERROGATE'})
    for within, beyond in ((110, 111), (101, 95)):
        since = len(device.requests)
        device.holding[0] = within
        device.wait_requests(6, since)
        device.holding[0] = beyond
        eventer.wait(f'{ONE}/read/band', {'result': 'SUCCESS', 'value': beyond, 'cause': 'CHANGE'})
    assert [i['value'] for i in eventer.payloads(f'{ONE}/read/band')] == [100, 111, 95]

    wait_until(lambda: len(eventer.events(f'{ONE}/read/slow')) > 3, 'three changes are reported')
    reports = eventer.payloads(f'{ONE}/read/slow')
    assert time.monotonic() - begin >= 0.3 * (len(reports) - 1)
    assert reports[3]['value'] > 3 and [i['value'] for i in reports] == sorted(i['value'] for i in reports)


@pytest.fixture
def neighbours(gatewayd, event_server, eventer, bus, pymodbus_device):
    """neighbours(form) polls 98, 99 and 100 of a device whose registers end at 99, without any optional key; (device, reads)."""
    def start(form):
        device = pymodbus_device(size=100, holding=range(100))
        plc = master('plc', device.port, [remote(1, [data(f'at-{i}', start=i) for i in (98, 99, 100)])])
        gatewayd({**form.config([], event_server.port), 'devices': [plc if form.native else form.device(plc)]})
        prefix = form.prefix(PLC)
        eventer.register_many([(f'{prefix}/system/enable', True), (f'{prefix}/system/remote_device/1/enable', True)])
        return device, f'{prefix}/gateway/remote_device/1/read'

    return start


def test_missing_neighbour(neighbours, eventer):
    """It does not cost the others their values, and its error is told once."""
    device, reads = neighbours(NATIVE)
    for i in (98, 99):
        eventer.wait(f'{reads}/at-{i}', {'result': 'SUCCESS', 'value': i, 'cause': 'INTERROGATE'})
    eventer.wait(f'{reads}/at-100', REFUSED)
    for value in range(1000, 1004): # each of another round
        device.set('holding', 98, [value, value])
        for i in (98, 99):
            eventer.wait(f'{reads}/at-{i}', {'result': 'SUCCESS', 'value': value, 'cause': 'CHANGE'})
    assert eventer.payloads(f'{reads}/at-100') == [REFUSED]


def test_missing_neighbour_in_the_hat_form(neighbours, eventer):
    """One read, one answer, for all of them: as hat-gateway has it."""
    _device, reads = neighbours(HAT)
    for i in (98, 99, 100):
        wait_until(lambda i=i: len(eventer.payloads(f'{reads}/at-{i}')) >= 3, f'three errors of {i}')
        assert all(payload == REFUSED for payload in eventer.payloads(f'{reads}/at-{i}'))


def test_interval_and_request_delay(started, eventer, field):
    """A period is measured from the start of a round; request_delay lies between answer and next request."""
    device = field()
    started(device, [remote(1, [data('a', start=0, interval=0.2), data('b', start=50, interval=0.2)])],
            request_delay=0.05)
    since = len(device.requests)
    requests = device.wait_requests(19, since)
    first = next(i for i, r in enumerate(requests) if r.pdu[1:3] == b'\0\0')
    a = [i.time for i in requests[first:] if i.pdu[1:3] == b'\0\0']
    b = [i.time for i in requests[first:] if i.pdu[1:3] == b'\0\x32']
    delays, periods = [y - x for x, y in zip(a, b)], [y - x for x, y in zip(a, a[1:])]
    assert min(delays) >= 0.045 and statistics.median(delays) < 0.15, delays        # some may be late, where others want the processor
    assert abs(statistics.median(periods) - 0.2) < 0.06, periods
