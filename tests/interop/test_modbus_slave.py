# SPDX-License-Identifier: Apache-2.0
"""modbus_slave over TCP against raw frames, libmodbus' and pymodbus' clients: sections 6.1 to 6.9 of the specification."""

import socket
import struct
import threading

import pytest
from pymodbus import FramerType
from pymodbus.client import ModbusTcpClient

from harness.config import NATIVE, slave, slave_data
from harness.ports import free_port
from harness.waiting import wait_until

from dissector import judge_trace
from modbus_clients import (LibmodbusClient, RawClient, answer_write, mask_write, read, write_coil, write_coils, write_register,
                            write_registers)
from modbus_frames import tcp_frame

VIEW = 'modbus_slave/view'
PREFIX = NATIVE.prefix(VIEW)
CONNECTIONS = f'{PREFIX}/gateway/connections'
WRITE = f'{PREFIX}/gateway/write'

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, FAILURE = 1, 2, 3, 4

#: b and e share bits of register 21, x and y of register 0: the specification's examples
ITEMS = [slave_data('a', start=10, bit_offset=4, bit_count=8),
         slave_data('b', start=20, bit_offset=12, bit_count=24),
         slave_data('e', start=21, bit_count=4),
         slave_data('x', start=0),
         slave_data('y', start=0, bit_offset=8),
         slave_data('c', 'COIL', 5, 2, 3),
         slave_data('d', 'DISCRETE_INPUT', 0, 0, 9),
         slave_data('i', 'INPUT_REGISTER', 30, 0, 80),
         slave_data('other', start=0, device_id=7),
         slave_data('long', start=1000, bit_count=16 * 130),
         slave_data('bits', 'COIL', 1000, 0, 2100)]


def error(function, code):
    return bytes([function | 0x80, code])


def registers(*values):
    return struct.pack(f'>{len(values)}H', *values)


@pytest.fixture
def started(gatewayd, event_server, eventer, bus):
    """started(...) runs a slave, enables it and returns its port."""
    def start(items=None, modbus_type='TCP', form=NATIVE, **transport):
        port = free_port()
        gatewayd(form.config([slave('view', port, ITEMS if items is None else items, modbus_type, **transport)],
                             event_server.port))
        eventer.register(f'{form.prefix(VIEW)}/system/enable', True)
        eventer.wait(f'{form.prefix(VIEW)}/gateway/running', True)
        return port

    return start


def set_data(eventer, client, **values):
    """Sets data by events, the last of which is waited for by reading."""
    eventer.register_many([(f'{PREFIX}/system/data/{k}', {'value': v}) for k, v in values.items()])
    token = threading.get_native_id() & 0xFFFF ^ set_data.n
    set_data.n = set_data.n + 1 & 0xFFFF
    eventer.register(f'{PREFIX}/system/data/other', {'value': token})
    wait_until(lambda: client.request(7, read(3, 0, 1)) == b'\x03\x02' + registers(token), 'data events have arrived')


set_data.n = 1


class System:
    """What answers writes: registers system/write for every write event, and remembers the events' payloads."""

    def __init__(self, eventer, success=True):
        self.eventer = eventer
        self.success = success
        self.since = eventer.mark()

    def perform(self, client, unit, pdu):
        """Sends a write, answers its event; returns (data of the event, response)."""
        client.send(client.frame(unit, pdu))
        event = self.eventer.wait(WRITE, since=self.since).payload.data
        self.since = self.eventer.mark()
        self.eventer.register(f'{PREFIX}/system/write', {'request_id': event['request_id'], 'success': self.success})
        assert set(event) == {'request_id', 'connection_id', 'data'} and isinstance(event['request_id'], str)
        answered, response = client.receive()
        assert answered == unit
        return {i['name']: i['value'] for i in event['data']}, response


# ---- 6.1 and 6.2: start and data

def test_start(own_form, gatewayd, event_server, eventer, bus):
    """Stored data first, connections [] before running true, and only then it listens."""
    prefix = own_form.prefix(VIEW)
    port = free_port()
    eventer.register_many([(f'{prefix}/system/data/a', {'value': 0xAB}), (f'{prefix}/system/data/nobody', {'value': 1}),
                           (f'{prefix}/system/data/x', {'value': 1 << 16}), (f'{prefix}/system/data/e', {'value': -1}),
                           (f'{prefix}/system/data/b', 'text')])
    gatewayd(own_form.config([slave('view', port, ITEMS)], event_server.port))
    eventer.wait(f'{prefix}/gateway/running', False)
    with pytest.raises(ConnectionRefusedError):
        RawClient(port)
    since = eventer.mark()
    eventer.register(f'{prefix}/system/enable', True)
    running = eventer.wait(f'{prefix}/gateway/running', True)
    with RawClient(port) as client:
        assert client.request(1, read(3, 10, 1)) == b'\x03\x02\x0a\xb0'
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'
        assert client.request(1, read(3, 20, 3)) == b'\x03\x06' + bytes(6)
    connections = eventer.events(f'{prefix}/gateway/connections', since)[0]
    assert connections.payload.data == [] and connections.source_timestamp is None
    assert connections.id < running.id


def test_data_events(started, eventer):
    """Stored at once, no event registered; shared bits change together; what does not fit is ignored."""
    port = started()
    with RawClient(port) as client:
        eventer.wait(CONNECTIONS, where=lambda p: len(p) == 1)
        since = eventer.mark()
        set_data(eventer, client, a=0xAB, b=0xABCDEF, c=5, d=0x155, i=0x123456789ABCDEF01122)
        assert client.request(1, read(3, 10, 1)) == b'\x03\x02' + registers(0x0AB0)
        assert client.request(1, read(3, 20, 3)) == b'\x03\x06' + registers(0x000A, 0xBCDE, 0xF000)
        assert client.request(1, read(1, 7, 3)) == b'\x01\x01\x05'
        assert client.request(1, read(2, 0, 9)) == b'\x02\x02\x55\x01'
        assert client.request(1, read(4, 30, 5)) == b'\x04\x0a' + registers(0x1234, 0x5678, 0x9ABC, 0xDEF0, 0x1122)

        set_data(eventer, client, x=0x1234)
        assert client.request(1, read(3, 0, 2)) == b'\x03\x04' + registers(0x1234, 0)
        set_data(eventer, client, y=0xABCD)
        assert client.request(1, read(3, 0, 2)) == b'\x03\x04' + registers(0x12AB, 0xCD00)

        data = f'{PREFIX}/system/data'
        for value in ({'value': 1 << 16}, {'value': -1}, {'value': 1.0}, {'value': '1'}, {'value': None}, {}, 5, None):
            eventer.register(f'{data}/x', value)
        eventer.register(f'{data}/nobody', {'value': 1})
        eventer.register(f'{data}/x/more', {'value': 1})
        eventer.register(f'{data}/x')
        eventer.register_binary(f'{data}/x', b'{"value": 1}')
        set_data(eventer, client)
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02' + registers(0x12AB)
        assert eventer.events(f'{PREFIX}/gateway/*', since) == []


# ---- 6.3 and 6.5: connections

def test_connections(started, eventer):
    port = started()
    first = RawClient(port)
    one = {'type': 'TCP', 'connection_id': 1, 'local': {'host': '127.0.0.1', 'port': port}, 'remote': first.local}
    eventer.wait(CONNECTIONS, [one])
    second = RawClient(port)
    two = {**one, 'connection_id': 2, 'remote': second.local}
    eventer.wait(CONNECTIONS, [one, two])
    first.close()
    eventer.wait(CONNECTIONS, [two])
    third = RawClient(port)
    eventer.wait(CONNECTIONS, [two, {**one, 'connection_id': 3, 'remote': third.local}])
    since = eventer.mark()
    eventer.register(f'{PREFIX}/system/enable', False)
    for client in (second, third):
        client.wait_closed()
        client.close()
    eventer.wait(f'{PREFIX}/gateway/running', False, since=since)
    assert eventer.payloads(CONNECTIONS)[-1] == []


def test_remote_hosts(started, eventer):
    """Only peers whose numeric address is in the list; others cost no id and no event."""
    port = started(remote_hosts=['127.0.0.2', 'localhost'])
    for _ in range(3):
        with RawClient(port) as client:
            client.wait_closed()
    with RawClient(port, source=('127.0.0.2', 0)) as client:
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'
        eventer.wait(CONNECTIONS, where=lambda p: [i['connection_id'] for i in p] == [1])


@pytest.mark.parametrize('transport', [{'remote_hosts': []}, {'max_connections': 0}])
def test_nobody(transport, started, eventer):
    port = started(**transport)
    with RawClient(port) as client:
        client.wait_closed()
    assert eventer.payloads(CONNECTIONS) == [[]]


def test_max_connections(started, eventer):
    port = started(max_connections=2)
    clients = [RawClient(port), RawClient(port)]
    eventer.wait(CONNECTIONS, where=lambda p: len(p) == 2)
    with RawClient(port) as third:
        third.wait_closed()
    since = eventer.mark()
    clients[0].close()
    eventer.wait(CONNECTIONS, where=lambda p: len(p) == 1, since=since)
    with RawClient(port) as third:
        assert third.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'
        eventer.wait(CONNECTIONS, where=lambda p: [i['connection_id'] for i in p] == [2, 3])
    clients[1].close()


def test_keep_alive(started, eventer):
    """Requests for a configured unit keep the connection, whatever their answer; others do not."""
    port = started(keep_alive_timeout=2)
    with RawClient(port) as kept, RawClient(port) as idle:
        eventer.wait(CONNECTIONS, where=lambda p: len(p) == 2)

        def idle_is_closed():
            assert kept.request(1, read(3, 500, 1)) == error(3, ILLEGAL_ADDRESS)
            try:
                assert idle.request(9, read(3, 0, 1)) == error(3, ILLEGAL_ADDRESS)
            except (EOFError, ConnectionError):
                return True
            return False

        wait_until(idle_is_closed, 'the connection without requests for us is closed', interval=0.1)
        eventer.wait(CONNECTIONS, where=lambda p: [i['connection_id'] for i in p] == [1])
        since = eventer.mark()
        kept.wait_closed()
        eventer.wait(CONNECTIONS, [], since=since)


def test_port_in_use(own_form, gatewayd, event_server, eventer, bus, bus_client):
    """A port that somebody has: failed, running false, tried again in the native form only."""
    prefix = own_form.prefix(VIEW)
    port = free_port()
    with socket.socket() as holder:
        holder.bind(('127.0.0.1', port))
        holder.listen()
        gatewayd(own_form.config([slave('view', port, ITEMS)], event_server.port))
        eventer.register(f'{prefix}/system/enable', True)
        wait_until(lambda: bus_client.device(VIEW, 'State') == 'failed', 'failed')
        assert bus_client.device(VIEW, 'StateReason') == 'busy'
        assert (bus_client.device(VIEW, 'NextRetryTimestampMonotonic') != 0) == own_form.native
    if own_form.native:
        eventer.wait(f'{prefix}/gateway/running', True)
    else:
        eventer.assert_none(f'{prefix}/gateway/running', 0, 1.5, True)


# ---- 6.6: the table of conditions, TCP column

def test_undecodable_frames(started, eventer):
    """Protocol id not 0: that frame is skipped. A length out of range: the connection is closed."""
    port = started()
    with RawClient(port) as client:
        client.send(tcp_frame(9, 1, read(3, 0, 1), protocol=1))
        assert client.silent()
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'
        client.send(tcp_frame(9, 1, bytes(100), protocol=7) + client.frame(1, read(3, 0, 1)))
        assert client.receive() == (1, b'\x03\x02\0\0')
    for length in (0, 1, 255, 65535):
        with RawClient(port) as client:
            client.send(tcp_frame(9, 1, read(3, 0, 1), length=length))
            client.wait_closed()


@pytest.mark.parametrize('unit', [0, 2, 200, 255])
def test_units(unit, started, eventer):
    """Unit 0 even if configured, and every unit that is not configured; checked before function and address."""
    port = started([*ITEMS, slave_data('zero', device_id=0)])
    with RawClient(port) as client:
        assert client.request(unit, read(3, 0, 1)) == error(3, ILLEGAL_ADDRESS)
        assert client.request(unit, read(3, 0, 0)) == error(3, ILLEGAL_ADDRESS)
        assert client.request(unit, b'\x2b\x0e\x01\x00') == error(0x2B, ILLEGAL_ADDRESS)
        assert client.request(unit, write_register(0, 1)) == error(6, ILLEGAL_ADDRESS)
    assert eventer.events(WRITE) == []


@pytest.mark.parametrize('pdu', [b'\x07', b'\x08\x00\x00\x12\x34', b'\x0b', b'\x11', b'\x14\x00', b'\x17' + bytes(11),
                                 b'\x2b\x0e\x01\x00', b'\x00', b'\x41', b'\x7f'])
def test_unsupported_functions(pdu, started, eventer):
    port = started()
    with RawClient(port) as client:
        assert client.request(1, pdu) == error(pdu[0], ILLEGAL_FUNCTION)
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'


ILLEGAL_VALUES = {
    'read 0 coils': read(1, 1000, 0), 'read 2001 coils': read(1, 1000, 2001),
    'read 0 inputs': read(2, 0, 0), 'read 2001 inputs': read(2, 0, 2001),
    'read 0 registers': read(3, 1000, 0), 'read 126 registers': read(3, 1000, 126),
    'read 127 registers': read(3, 1000, 127), 'read 65535 registers': read(3, 1000, 65535),
    'read 0 input registers': read(4, 30, 0), 'read 126 input registers': read(4, 30, 126),
    'coil neither on nor off': struct.pack('>BHH', 5, 7, 0x1234),
    'coil 0001': struct.pack('>BHH', 5, 7, 1),
    'write 0 coils': struct.pack('>BHHB', 0x0F, 1000, 0, 0),
    'write 1969 coils': struct.pack('>BHHB', 0x0F, 1000, 1969, 247) + bytes(247),
    'write coils, byte count too large': struct.pack('>BHHB', 0x0F, 1000, 8, 2) + bytes(2),
    'write coils, byte count too small': struct.pack('>BHHB', 0x0F, 1000, 9, 1) + bytes(1),
    'write 0 registers': struct.pack('>BHHB', 0x10, 1000, 0, 0),
    'write 124 registers': struct.pack('>BHHB', 0x10, 1000, 124, 248 & 0xFF) + bytes(246),
    'write registers, byte count too large': struct.pack('>BHHB', 0x10, 1000, 1, 4) + bytes(4),
    'write registers, byte count too small': struct.pack('>BHHB', 0x10, 1000, 2, 2) + bytes(2),
}


def test_illegal_values(started, eventer):
    port = started()
    with RawClient(port) as client:
        for what, pdu in ILLEGAL_VALUES.items():
            assert client.request(1, pdu) == error(pdu[0], ILLEGAL_VALUE), what
        # The largest that are legal.
        assert client.request(1, read(1, 1000, 2000)) == b'\x01\xfa' + bytes(250)
        assert client.request(1, read(3, 1000, 125)) == b'\x03\xfa' + bytes(250)
    assert eventer.events(WRITE) == []


def test_missing_registers(started, eventer):
    """One addressed register that does not exist is enough; skipped registers do not exist."""
    port = started()
    with RawClient(port) as client:
        for pdu in (read(3, 2, 1), read(3, 1, 2), read(3, 19, 2), read(3, 22, 2), read(3, 65535, 1), read(3, 65535, 2),
                    read(1, 5, 1), read(1, 6, 1), read(1, 7, 4), read(2, 0, 10), read(4, 0, 1), read(4, 29, 6),
                    write_register(2, 1), write_registers(1, [1, 2]), write_coil(6, 1), write_coils(7, [1] * 4),
                    mask_write(2, 0, 0), mask_write(30, 0, 0), b'\x18\x00\x00', b'\x18\x00\x14'):
            assert client.request(1, pdu) == error(pdu[0], ILLEGAL_ADDRESS), pdu.hex()
    assert eventer.events(WRITE) == []


def test_requests_are_answered_in_order(started, eventer):
    """Several requests ahead, in one segment and byte by byte: answers keep order."""
    port = started()
    with RawClient(port) as client:
        frames = [tcp_frame(i, 1, read(3, i % 2, 1)) for i in range(100, 120)]
        client.send(b''.join(frames))
        for i in range(100, 120):
            assert client._exactly(11) == tcp_frame(i, 1, b'\x03\x02\0\0')
        for byte in frames[0]:
            client.send(bytes([byte]))
        assert client._exactly(11) == tcp_frame(100, 1, b'\x03\x02\0\0')


def test_write_blocks_only_its_connection(started, eventer):
    port = started(response_timeout=5)
    with RawClient(port) as writer, RawClient(port) as reader:
        writer.send(writer.frame(1, write_register(0, 1)))
        event = eventer.wait(WRITE).payload.data
        writer.send(writer.frame(1, read(3, 0, 1)))
        assert reader.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'
        assert writer.silent(0.2)
        eventer.register(f'{PREFIX}/system/write', {'request_id': event['request_id'], 'success': True})
        assert writer._exactly(12) == tcp_frame(1, 1, write_register(0, 1))
        assert writer.receive() == (1, b'\x03\x02\0\0')


# ---- 6.7: reads

def test_reads_span_data(started, eventer):
    """One read over several data items and over bits that belong to none."""
    port = started()
    with RawClient(port) as client:
        set_data(eventer, client, b=0xFFFFFF, x=0xFFFF, y=0xFFFF, c=7, d=0x1FF)
        assert client.request(1, read(3, 0, 2)) == b'\x03\x04' + registers(0xFFFF, 0xFF00)
        assert client.request(1, read(3, 20, 3)) == b'\x03\x06' + registers(0x000F, 0xFFFF, 0xF000)
        assert client.request(1, read(1, 7, 3)) == b'\x01\x01\x07'
        assert client.request(1, read(1, 8, 1)) == b'\x01\x01\x01'
        assert client.request(1, read(2, 3, 6)) == b'\x02\x01\x3f'


# ---- 6.8: writes

def test_writes(started, eventer):
    port = started(response_timeout=5)
    system = System(eventer)
    with RawClient(port) as client:
        assert system.perform(client, 1, write_register(0, 0x1234)) == ({'x': 0x1234, 'y': 0x3400},
                                                                        write_register(0, 0x1234))
        # Data never change by a write, only by data events.
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'
        set_data(eventer, client, b=0xABCDEF)
        system.since = eventer.mark()
        assert system.perform(client, 1, write_register(21, 0x1111)) == ({'b': 0xA1111F, 'e': 1},
                                                                         write_register(21, 0x1111))
        # Also when no value differs.
        assert system.perform(client, 1, write_register(21, 0xBCDE)) == ({'b': 0xABCDEF, 'e': 0xB},
                                                                         write_register(21, 0xBCDE))
        assert system.perform(client, 1, write_registers(0, [0xAABB, 0xCCDD])) == ({'x': 0xAABB, 'y': 0xBBCC},
                                                                                   write_registers(0, [0, 0])[:5])
        assert system.perform(client, 1, write_coil(8, 1)) == ({'c': 2}, write_coil(8, 1))
        assert system.perform(client, 1, write_coils(7, [1, 0, 1])) == ({'c': 5}, write_coils(7, [0] * 3)[:5])
        assert system.perform(client, 7, write_register(0, 3)) == ({'other': 3}, write_register(0, 3))
        # The largest that are legal.
        data, response = system.perform(client, 1, write_registers(1000, [0xFFFF] * 123))
        assert data == {'long': ((1 << 16 * 123) - 1) << 16 * 7} and response == struct.pack('>BHH', 0x10, 1000, 123)
        data, response = system.perform(client, 1, write_coils(1000, [1] * 1968))
        assert data == {'bits': ((1 << 1968) - 1) << 132} and response == struct.pack('>BHH', 0x0F, 1000, 1968)


def test_write_event(started, eventer):
    """One event, data in configuration order, unique request ids, the connection's id."""
    port = started(response_timeout=0.2)
    ids = set()
    for connection_id in (1, 2):
        with RawClient(port) as client:
            for _ in range(3):
                since = eventer.mark()
                assert client.request(1, write_registers(0, [1, 2])) == error(0x10, FAILURE)
                eventer.wait(WRITE, since=since)
                events = eventer.events(WRITE, since)
                assert len(events) == 1
                value = events[0].payload.data
                assert value['connection_id'] == connection_id
                assert value['data'] == [{'name': 'x', 'value': 1}, {'name': 'y', 'value': 0x0100}]
                assert events[0].source_timestamp is None
                ids.add(value['request_id'])
    assert len(ids) == 6


@pytest.mark.parametrize('success, code', [(True, None), (1, None), ('x', None), (False, FAILURE), (None, FAILURE),
                                           (0, FAILURE), ('', FAILURE), ([], FAILURE)])
def test_answers_to_writes(success, code, started, eventer):
    port = started(response_timeout=5)
    with RawClient(port) as client:
        _, response = System(eventer, success).perform(client, 1, write_register(0, 1))
        assert response == (error(6, code) if code else write_register(0, 1))


def test_answers_that_are_none(started, eventer):
    """Unknown, answered or malformed answers are ignored; the request keeps waiting, then fails."""
    port = started(response_timeout=6)
    answer = f'{PREFIX}/system/write'
    with RawClient(port) as client:
        client.send(client.frame(1, write_register(0, 1)))
        first = eventer.wait(WRITE).payload.data['request_id']
        for value in ({'request_id': first + 'x', 'success': True}, {'request_id': first}, {'success': True}, 5, None,
                      {'request_id': 1, 'success': True}):
            eventer.register(answer, value)
        eventer.register(answer)
        assert client.silent(0.2)
        eventer.register(answer, {'request_id': first, 'success': True})
        assert client.receive() == (1, write_register(0, 1))

        since = eventer.mark()
        client.send(client.frame(1, write_register(0, 2)))
        second = eventer.wait(WRITE, since=since).payload.data['request_id']
        eventer.register(answer, {'request_id': first, 'success': True})
        assert client.receive() == (1, error(6, FAILURE))
        eventer.register(answer, {'request_id': second, 'success': True})
        assert client.silent(0.2)
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'


def test_client_leaves_while_its_write_waits(started, eventer):
    port = started(response_timeout=5)
    with RawClient(port) as client:
        client.send(client.frame(1, write_register(0, 1)))
        event = eventer.wait(WRITE).payload.data
        since = eventer.mark()
    eventer.wait(CONNECTIONS, [], since=since)
    eventer.register(f'{PREFIX}/system/write', {'request_id': event['request_id'], 'success': True})
    with RawClient(port) as client:
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'


# ---- 6.9: mask write

MASK_WRITES = [(20, 0xFFF0, 0x0005, {'b': 0x5BCDEF}), (20, 0xFFF7, 0x0008, {'b': 0xABCDEF}), (20, 0x000F, 0x1230, None),
               (21, 0x0FFF, 0x5000, {'b': 0xA5CDEF, 'e': 5}), (21, 0xFFFF, 0x1234, None),
               (21, 0xF0FF, 0x0100, {'b': 0xAB1DEF}), (22, 0xF000, 0x0FFF, None)]


def test_mask_writes(started, eventer):
    port = started(response_timeout=5)
    system = System(eventer)
    with RawClient(port) as client:
        set_data(eventer, client, b=0xABCDEF)
        for register, and_mask, or_mask, expected in MASK_WRITES:
            pdu = mask_write(register, and_mask, or_mask)
            system.since = eventer.mark()
            if expected is None:
                assert client.request(1, pdu) == pdu
                assert eventer.events(WRITE, system.since) == []
            else:
                assert system.perform(client, 1, pdu) == (expected, pdu)
        # A mask write to a coil's or input's address: no such holding register.
        assert client.request(1, mask_write(7, 0, 0)) == error(0x16, ILLEGAL_ADDRESS)


# ---- RTU framing over TCP

def test_rtu_framing(started, eventer):
    port = started(modbus_type='RTU')
    with RawClient(port, 'rtu') as client:
        good = client.frame(1, read(3, 0, 1))
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'
        assert client.request(0, read(3, 0, 1)) == error(3, ILLEGAL_ADDRESS)
        assert client.request(9, read(3, 0, 1)) == error(3, ILLEGAL_ADDRESS)
        assert client.request(1, b'\x18\x00\x00') == error(0x18, ILLEGAL_ADDRESS)
        assert client.request(1, read(3, 0, 126)) == error(3, ILLEGAL_VALUE)
        # Wrong CRC: no answer; the next request is found behind it.
        client.send(good[:-1] + bytes([good[-1] ^ 1]))
        assert client.silent(0.3)
        client.send(good)
        assert client.receive() == (1, b'\x03\x02\0\0')
        # Noise before a request, and a request cut short by another.
        client.send(b'\xff\x00\x55' + good)
        assert client.receive() == (1, b'\x03\x02\0\0')
        client.send(good[:5])
        client.send(good)
        assert client.receive() == (1, b'\x03\x02\0\0')
        # An unsupported function has no known length: no answer, the connection goes on.
        client.send(client.frame(1, b'\x2b\x0e\x01\x00'))
        assert client.silent(0.3)
        client.send(good)
        assert client.receive(5) == (1, b'\x03\x02\0\0')


# ---- ASCII framing over TCP

def test_ascii_framing(started, eventer):
    port = started(modbus_type='ASCII')
    with RawClient(port, 'ascii') as client:
        good = client.frame(1, read(3, 0, 1))
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'
        assert client.request(9, read(3, 0, 1)) == error(3, ILLEGAL_ADDRESS)
        assert client.request(1, read(3, 0, 126)) == error(3, ILLEGAL_VALUE)
        assert client.request(1, b'\x2b\x0e\x01\x00') == error(0x2B, ILLEGAL_FUNCTION)
        # A wrong LRC: no answer. Then lower-case digits, noise, and a frame cut short by another.
        client.send(good[:-3] + b'0\r\n')
        assert client.silent(0.3)
        for data in (good.lower(), b'\xff:\r\n' + good, good[:5] + good):
            client.send(data)
            assert client.receive() == (1, b'\x03\x02\0\0')


@pytest.mark.parametrize('framing', ['tcp', 'rtu', 'ascii'])
def test_single_bytes(framing, started, eventer):
    """A request that takes its time is one."""
    port = started(modbus_type=framing.upper(), response_timeout=5)
    with RawClient(port, framing) as client:
        def ask(pdu):
            client.dribble(client.frame(1, pdu))
            return client.receive()

        assert ask(read(3, 0, 1)) == (1, b'\x03\x02\0\0')
        order = write_register(0, 0x1234)
        assert answer_write(eventer, PREFIX, lambda: ask(order)) == ({'x': 0x1234, 'y': 0x3400}, (1, order))


# ---- other people's clients

def test_libmodbus_client(started, eventer, gatewayctl, tmp_path):
    port = started(response_timeout=5)
    with RawClient(port) as raw:
        set_data(eventer, raw, a=0xAB, c=5, d=0x155, i=0x123456789ABCDEF01122)
    with LibmodbusClient(port) as client:
        assert client.request('1 read-registers 10 1') == f'ok {0x0AB0}'
        assert client.request('1 read-input-registers 30 5') == f'ok {0x1234} {0x5678} {0x9ABC} {0xDEF0} {0x1122}'
        assert client.request('1 read-bits 7 3') == 'ok 1 0 1'
        assert client.request('1 read-input-bits 0 9') == 'ok 1 0 1 0 1 0 1 0 1'
        assert client.request('1 read-registers 500 1') == 'error Illegal data address'
        assert client.request('9 read-registers 0 1') == 'error Illegal data address'

        for line, data in (('1 write-register 0 4660', {'x': 0x1234, 'y': 0x3400}),
                           ('1 write-registers 0 1 2', {'x': 1, 'y': 0x100}),
                           ('1 write-bit 8 1', {'c': 7}),
                           ('1 write-bits 7 0 1 1', {'c': 3}),
                           ('1 mask-write 10 0xf00f 0x0cd0', {'a': 0xCD})):
            assert answer_write(eventer, PREFIX, lambda i=line: client.request(i)) == (data, 'ok')
    assert judge_trace(tmp_path / 'capture', 'tcp', gatewayctl, VIEW) == {1, 2, 3, 4, 5, 6, 15, 16, 22}


@pytest.mark.parametrize('framing', [FramerType.SOCKET, FramerType.RTU, FramerType.ASCII])
def test_pymodbus_client(framing, started, eventer, gatewayctl, tmp_path):
    modbus_type = {'socket': 'TCP', 'rtu': 'RTU', 'ascii': 'ASCII'}[framing.value]
    port = started(modbus_type=modbus_type, response_timeout=5)
    eventer.register(f'{PREFIX}/system/data/a', {'value': 0xAB})
    client = ModbusTcpClient('127.0.0.1', port=port, framer=framing, timeout=5)
    assert client.connect()
    try:
        wait_until(lambda: client.read_holding_registers(10, count=1).registers == [0x0AB0], 'the data event')
        assert client.read_coils(7, count=3).bits[:3] == [False] * 3
        assert client.read_discrete_inputs(0, count=9).bits[:9] == [False] * 9
        assert client.read_input_registers(30, count=5).registers == [0] * 5
        assert client.read_holding_registers(500, count=1).exception_code == ILLEGAL_ADDRESS

        for function, data in ((lambda: client.write_register(0, 0x1234), {'x': 0x1234, 'y': 0x3400}),
                               (lambda: client.write_registers(0, [1, 2]), {'x': 1, 'y': 0x100}),
                               (lambda: client.write_coil(8, True), {'c': 2}),
                               (lambda: client.write_coils(7, [False, True, True]), {'c': 3}),
                               (lambda: client.mask_write_register(address=10, and_mask=0xF00F, or_mask=0x0CD0),
                                {'a': 0xCD})):
            values, result = answer_write(eventer, PREFIX, function)
            assert values == data and not result.isError()
        assert judge_trace(tmp_path / 'capture', modbus_type.lower(), gatewayctl, VIEW) == {1, 2, 3, 4, 5, 6, 15, 16, 22}
    finally:
        client.close()


# ---- many connections

def test_fifty_connections(started, eventer):
    """Every third sends half a frame and waits; all others are served, also while halves are completed later."""
    port = started()
    clients = [RawClient(port) for _ in range(50)]
    try:
        eventer.wait(CONNECTIONS, where=lambda p: len(p) == 50)
        set_data(eventer, clients[1], x=0x1234)
        frames = {c: c.frame(1, read(3, 0, 1)) for c in clients}
        halves = clients[::3]
        whole = [c for c in clients if c not in halves]
        for i, client in enumerate(halves):
            client.send(frames[client][:1 + i % 11])
        for _ in range(20):
            for client in whole:
                client.send(frames[client])
            for client in whole:
                assert client.receive() == (1, b'\x03\x02\x12\x34')
        for client in halves:
            assert client.silent(0.01)
        for i, client in enumerate(halves):
            client.send(frames[client][1 + i % 11:])
        for client in halves:
            assert client.receive() == (1, b'\x03\x02\x12\x34')
    finally:
        since = eventer.mark()
        for client in clients:
            client.close()
    eventer.wait(CONNECTIONS, [], since=since)


def test_device_ends_with_connections_open(started, eventer):
    """Disabled with half frames and waiting writes about: connections end, [] is the last list."""
    port = started(response_timeout=5)
    clients = [RawClient(port) for _ in range(5)]
    for client in clients[:2]:
        client.send(client.frame(1, read(3, 0, 1))[:5])
    clients[2].send(clients[2].frame(1, write_register(0, 1)))
    eventer.wait(WRITE)
    since = eventer.mark()
    eventer.register(f'{PREFIX}/system/enable', False)
    eventer.wait(f'{PREFIX}/gateway/running', False, since=since)
    for client in clients:
        client.wait_closed()
        client.close()
    assert eventer.payloads(CONNECTIONS)[-1] == []
    with pytest.raises(ConnectionRefusedError):
        RawClient(port)
