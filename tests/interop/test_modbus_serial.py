# SPDX-License-Identifier: Apache-2.0
"""Serial lines end to end, on pseudo-terminals: other people's masters and slaves, several units and slaves on one line,
adapters that are pulled and plugged, ports that somebody else has."""

import fcntl
import os
import re
import select
import threading

import pytest
from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient

from harness.config import HAT, NATIVE, data, master, remote, slave_data
from harness.line import Line, Pty, serial_transport
from harness.paths import PEERS
from harness.process import Process
from harness.waiting import wait_until

from dissector import judge_trace
from modbus_clients import LibmodbusClient, LineClient, answer_write, mask_write, read, write_register, write_registers

PLC = 'modbus_master/plc'
MASTER = NATIVE.prefix(PLC)
ONE = f'{MASTER}/gateway/remote_device/1'
VIEW = 'modbus_slave/view'
SLAVE = NATIVE.prefix(VIEW)
CONNECTIONS = f'{SLAVE}/gateway/connections'
WRITE = f'{SLAVE}/gateway/write'
FRAMINGS = ['rtu', 'ascii', 'tcp']

ITEMS = [slave_data('x', start=0), slave_data('y', start=0, bit_offset=8), slave_data('c', 'COIL', 5, 2, 3),
         slave_data('d', 'DISCRETE_INPUT', 0, 0, 9), slave_data('i', 'INPUT_REGISTER', 30, 0, 80),
         slave_data('other', start=0, device_id=7)]


def success(value, cause='INTERROGATE'):
    return {'result': 'SUCCESS', 'value': value, 'cause': cause}


def serial_slave(name, path, items=None, framing='rtu', response_timeout=5, keep_alive_timeout=60):
    return {'type': 'modbus_slave', 'name': name, 'modbus_type': framing.upper(),
            'transport': serial_transport(path, silent_interval=0, response_timeout=response_timeout,
                                          keep_alive_timeout=keep_alive_timeout),
            'data': ITEMS if items is None else items}


@pytest.fixture
def pty():
    line = Pty()
    yield line
    line.close()


@pytest.fixture
def line():
    """line(n) wires n ends together."""
    lines = []

    def make(ends=2):
        lines.append(Line(ends))
        return lines[-1]

    yield make
    for i in lines:
        i.close()


@pytest.fixture
def polling(gatewayd, event_server, eventer, bus):
    """polling(transport, items, framing) runs a master with unit 1."""
    def start(transport, items, framing='rtu', form=NATIVE, **connection):
        prefix = form.prefix(PLC)
        gatewayd(form.config([master('plc', None, [remote(1, items)], framing.upper(),
                                     **{'transport': transport, **connection})], event_server.port))
        eventer.register_many([(f'{prefix}/system/enable', True),
                               (f'{prefix}/system/remote_device/1/enable', True)])
        eventer.wait(f'{prefix}/gateway/running', True)

    return start


@pytest.fixture
def offering(gatewayd, event_server, eventer, bus):
    """offering(path, **options) runs a slave."""
    def start(path, **options):
        gatewayd(NATIVE.config([serial_slave('view', path, **options)], event_server.port))
        eventer.register(f'{SLAVE}/system/enable', True)
        eventer.wait(f'{SLAVE}/gateway/running', True)

    return start


def write(eventer, name, value):
    eventer.register(f'{MASTER}/system/remote_device/1/write/{name}', {'request_id': name, 'value': value})
    eventer.wait(f'{ONE}/write/{name}', {'request_id': name, 'result': 'SUCCESS'})


# ---- a master and other people's slaves

#: what both kinds of foreign slaves are asked
ASKED = [data('word', start=100), data('long', start=100, bit_count=80), data('three', 'COIL', 9, 0, 3),
         data('inputs', 'DISCRETE_INPUT', 0, 0, 4), data('ir', 'INPUT_REGISTER', 7), data('beyond', start=9000),
         data('reg', start=50, interval=None), data('regs', start=60, bit_count=32, interval=None),
         data('coil', 'COIL', 70, 0, 1, None), data('coils', 'COIL', 80, 0, 3, None),
         data('part', start=55, bit_offset=4, bit_count=8, interval=None)]


@pytest.mark.parametrize('serial', [False, True], ids=['over-tcp', 'on-line'])
@pytest.mark.parametrize('framing', FRAMINGS)
def test_pymodbus_slave(framing, serial, polling, line, eventer, gatewayctl, pymodbus_device, tmp_path):
    wires = line() if serial else None
    registers = list(range(200))
    server = pymodbus_device(framing=framing, line=wires.paths[1] if serial else None, size=200, holding=registers,
                             inputs=[1000 + i for i in registers], coils=[i % 3 == 0 for i in registers],
                             discrete=[i % 3 == 0 for i in registers])
    polling(serial_transport(wires.paths[0]) if serial else {'type': 'TCP', 'host': '127.0.0.1', 'port': server.port},
            ASKED, framing)
    check_asked(eventer)
    for name, value in (('reg', 0x1234), ('regs', 0x56789ABC), ('coil', 0), ('coils', 5), ('part', 0xAB)):
        write(eventer, name, value)
    assert server.get('holding', 50) == [0x1234] and server.get('holding', 60, 2) == [0x5678, 0x9ABC]
    assert server.get('holding', 55) == [55 & 0xF00F | 0x0AB0]
    assert server.get('coils', 70) == [False] and server.get('coils', 80, 3) == [True, False, True]
    assert judge_trace(tmp_path / 'capture', framing, gatewayctl, PLC) == {1, 2, 3, 4, 5, 6, 15, 16, 22}


def check_asked(eventer):
    """100, 101, … from register 100 on; coils and inputs on where the number is divisible by 3."""
    eventer.wait(f'{ONE}/read/word', success(100))
    eventer.wait(f'{ONE}/read/long', success(int.from_bytes(b''.join(i.to_bytes(2, 'big') for i in range(100, 105)),
                                                            'big')))
    eventer.wait(f'{ONE}/read/three', success(0b100))
    eventer.wait(f'{ONE}/read/inputs', success(0b1001))
    eventer.wait(f'{ONE}/read/ir', success(1007))
    eventer.wait(f'{ONE}/read/beyond', {'result': 'INVALID_DATA_ADDRESS'})


def test_libmodbus_slave(polling, line, eventer, gatewayctl, tmp_path):
    wires = line()
    device = Process([PEERS / 'modbus-rtu-device', wires.paths[1], '1'], log=tmp_path / 'device.log')
    try:
        device.wait_line(re.compile('^ready$', re.MULTILINE))
        polling(serial_transport(wires.paths[0]), [*ASKED, data('back', start=50), data('bits', 'COIL', 79, 0, 5)])
        check_asked(eventer)
        write(eventer, 'reg', 0x1234)
        eventer.wait(f'{ONE}/read/back', success(0x1234, 'CHANGE'))
        write(eventer, 'coils', 5)
        eventer.wait(f'{ONE}/read/bits', success(0b01010, 'CHANGE'))
        write(eventer, 'regs', 0x56789ABC)
        write(eventer, 'part', 0xAB)
        assert judge_trace(tmp_path / 'capture', 'rtu', gatewayctl, PLC) == {1, 2, 3, 4, 6, 15, 16, 22}
    finally:
        device.close()


# ---- a slave and other people's masters

@pytest.mark.parametrize('framing', FRAMINGS[:2])
def test_pymodbus_master(framing, offering, line, eventer, gatewayctl, tmp_path):
    wires = line()
    offering(wires.paths[0], framing=framing)
    eventer.register(f'{SLAVE}/system/data/x', {'value': 0x0AB0})
    client = ModbusSerialClient(str(wires.paths[1]), framer=FramerType(framing), baudrate=115200, timeout=5)
    assert client.connect()
    try:
        wait_until(lambda: client.read_holding_registers(0, count=1).registers == [0x0AB0], 'the data event')
        assert client.read_coils(7, count=3).bits[:3] == [False] * 3
        assert client.read_discrete_inputs(0, count=9).bits[:9] == [False] * 9
        assert client.read_input_registers(30, count=5).registers == [0] * 5
        assert client.read_holding_registers(500, count=1).exception_code == 2
        assert client.read_holding_registers(0, count=1, device_id=7).registers == [0]
        for function, expected in ((lambda: client.write_register(0, 0x1234), {'x': 0x1234, 'y': 0x3400}),
                                   (lambda: client.write_registers(0, [1]), {'x': 1, 'y': 0x100}),
                                   (lambda: client.write_coil(8, True), {'c': 2}),
                                   (lambda: client.write_coils(7, [False, True, True]), {'c': 3})):
            values, result = answer_write(eventer, SLAVE, function)
            assert values == expected and not result.isError()
        assert judge_trace(tmp_path / 'capture', framing, gatewayctl, VIEW) == {1, 2, 3, 4, 5, 6, 15, 16}
    finally:
        client.close()


def test_libmodbus_master(offering, line, eventer, gatewayctl, tmp_path):
    wires = line()
    offering(wires.paths[0])
    eventer.register(f'{SLAVE}/system/data/i', {'value': 0x123456789ABCDEF01122})
    with LibmodbusClient(line=wires.paths[1]) as client:
        wait_until(lambda: client.request('1 read-input-registers 30 5') ==
                   f'ok {0x1234} {0x5678} {0x9ABC} {0xDEF0} {0x1122}', 'the data event')
        assert client.request('1 read-registers 0 1') == 'ok 0'
        assert client.request('1 read-bits 7 3') == 'ok 0 0 0'
        assert client.request('1 read-registers 500 1') == 'error Illegal data address'
        assert client.request('7 read-registers 0 1') == 'ok 0'
        for request, expected in (('1 write-register 0 4660', {'x': 0x1234, 'y': 0x3400}),
                                  ('1 mask-write 0 0xf00f 0x0cd0', {'x': 0xCD0, 'y': 0xD000})):
            assert answer_write(eventer, SLAVE, lambda i=request: client.request(i)) == (expected, 'ok')
    assert judge_trace(tmp_path / 'capture', 'rtu', gatewayctl, VIEW) == {1, 3, 4, 6, 22}


def test_two_slaves_on_one_line(gatewayd, event_server, eventer, bus, line):
    """Each hears what the other is asked and answers, and answers only what is for itself."""
    wires = line(3)
    names = ['one', 'two']
    gatewayd(NATIVE.config([serial_slave(n, wires.paths[i], [slave_data('word', start=0, device_id=i + 1)])
                            for i, n in enumerate(names)], event_server.port))
    for i, name in enumerate(names):
        prefix = NATIVE.prefix(f'modbus_slave/{name}')
        eventer.register_many([(f'{prefix}/system/enable', True)])
        eventer.wait(f'{prefix}/gateway/running', True)
        eventer.register(f'{prefix}/system/data/word', {'value': 100 + i})
    with LibmodbusClient(line=wires.paths[2]) as client:
        for i in (1, 2):
            wait_until(lambda unit=i: client.request(f'{unit} read-registers 0 1') == f'ok {99 + unit}', 'data events')
        for _ in range(50):
            for unit in (1, 2):
                assert client.request(f'{unit} read-registers 0 1') == f'ok {99 + unit}'
    assert len(wires.sent[0]) >= 50 * 7 and len(wires.sent[1]) >= 50 * 7


@pytest.mark.parametrize('framing', FRAMINGS)
def test_slave(framing, offering, pty, eventer):
    """Active with the first request for a unit of its own; nothing is said to strangers."""
    offering(pty.path, framing=framing, keep_alive_timeout=3)
    client = LineClient(pty, framing)
    for unit in (0, 9):
        client.send(client.frame(unit, read(3, 0, 1)))
    assert client.silent(0.3)
    assert eventer.payloads(CONNECTIONS) == [[]]
    since = eventer.mark()
    assert client.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'
    eventer.wait_payloads(CONNECTIONS, [[{'type': 'SERIAL', 'connection_id': 1}], []], since)
    since = eventer.mark()
    assert client.request(1, read(3, 0, 126)) == b'\x83\x03'
    assert client.request(1, mask_write(900, 0, 0)) == b'\x96\x02'
    assert client.request(7, read(3, 0, 1)) == b'\x03\x02\0\0'
    eventer.wait(CONNECTIONS, [{'type': 'SERIAL', 'connection_id': 2}], since=since)

    client.send(client.frame(1, write_registers(0, [0x1234])))
    event = eventer.wait(WRITE).payload.data
    assert event['connection_id'] == 2
    eventer.register(f'{SLAVE}/system/write', {'request_id': event['request_id'], 'success': False})
    assert client.receive() == (1, b'\x90\x04')


@pytest.mark.parametrize('framing', FRAMINGS)
def test_single_bytes(framing, offering, pty):
    """With RTU framing a pause of 20 ms ends a request: one of these comes in time, also on a busy machine."""
    offering(pty.path, framing=framing)
    client = LineClient(pty, framing)

    def answered():
        client.dribble(client.frame(1, read(3, 0, 1)))
        return not client.silent(0.3) and client.receive() == (1, b'\x03\x02\0\0')

    wait_until(answered, 'a request is taken')


def test_write_as_first_request(offering, pty, eventer):
    offering(pty.path)
    client = LineClient(pty)
    client.send(client.frame(1, write_register(0, 5)))
    event = eventer.wait(WRITE)
    active = eventer.wait(CONNECTIONS, [{'type': 'SERIAL', 'connection_id': 1}])
    assert active.id < event.id
    eventer.register(f'{SLAVE}/system/write', {'request_id': event.payload.data['request_id'], 'success': True})
    assert client.receive() == (1, write_register(0, 5))


# ---- adapters that come and go, and ports that others have

@pytest.mark.parametrize('form', [NATIVE, HAT], ids=repr)
def test_master_unplugged(form, polling, field, eventer, bus_client):
    """Back soon after its return, whatever connect_delay is."""
    device = field(framing='rtu', serial=True)
    device.refuse()
    prefix = form.prefix(PLC)
    polling(device.transport, [data('word')], form=form, connect_delay=600)
    eventer.wait(f'{prefix}/gateway/status', 'DISCONNECTED')
    wait_until(lambda: bus_client.device(PLC, 'LinkReason') == 'not-found', 'the reason')
    for value in (7, 8):
        device.holding[0] = value
        since = eventer.mark()
        device.listen()
        eventer.wait(f'{prefix}/gateway/status', 'CONNECTED', since=since)
        eventer.wait(f'{prefix}/gateway/remote_device/1/read/word', success(value), since=since)
        since = eventer.mark()
        device.refuse()
        eventer.wait(f'{prefix}/gateway/status', 'DISCONNECTED', since=since)
        wait_until(lambda: bus_client.device(PLC, 'Link') == 'down', 'link down')


def test_slave_unplugged(offering, pty, eventer, bus_client):
    offering(pty.path)
    for i in (1, 2, 3):
        client = LineClient(pty)
        since = eventer.mark()
        assert client.request(1, read(3, 0, 1)) == b'\x03\x02\0\0'
        eventer.wait(CONNECTIONS, [{'type': 'SERIAL', 'connection_id': i}], since=since)
        since = eventer.mark()
        pty.unplug()
        eventer.wait(CONNECTIONS, [], since=since)
        wait_until(lambda: bus_client.device(VIEW, 'Link') == 'down', 'link down')
        pty.plug()
        wait_until(lambda: bus_client.device(VIEW, 'Link') == 'up', 'link up')


def test_port_of_somebody_else(polling, pty, eventer, bus_client):
    """The process that has it is named; when it lets go, polling begins."""
    fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    polling(serial_transport(pty.path), [data('word')])
    wait_until(lambda: bus_client.device(PLC, 'LinkReason') == 'busy', 'the reason')
    detail = bus_client.device(PLC, 'LinkDetail')
    assert f'(process {os.getpid()}) has it' in detail and str(pty.path) in detail
    os.close(fd)
    eventer.wait(f'{MASTER}/gateway/status', 'CONNECTED')


def test_disabled_while_waiting(polling, pty, eventer):
    """A stop waits for no timeout, also where libmodbus waits for an answer."""
    polling(serial_transport(pty.path), [data('word')], request_timeout=600)
    eventer.wait(f'{ONE}/status', 'CONNECTING')
    since = eventer.mark()
    eventer.register(f'{MASTER}/system/enable', False)
    eventer.wait(f'{MASTER}/gateway/running', False, since=since)


@pytest.mark.parametrize('framing', FRAMINGS)
def test_line_that_hears_itself(framing, polling, pty, gatewayctl):
    """A receiver that stays on while sending, and nobody at the far end: who looks at the device is told why."""
    ended = threading.Event()

    def echo():
        while not ended.is_set():
            if select.select([pty.fd], [], [], 0.05)[0]:
                os.write(pty.fd, os.read(pty.fd, 512))

    thread = threading.Thread(target=echo)
    thread.start()
    try:
        polling(serial_transport(pty.path, silent_interval=0.005), [data('x', start=0)], framing, request_timeout=0.2)
        wait_until(lambda: gatewayctl.devices()[PLC]['LinkDetail'] ==
                   'remote device 1 does not answer; the line echoes what is sent', 'the link tells of the echo')
    finally:
        ended.set()
        thread.join()
