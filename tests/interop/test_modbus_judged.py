# SPDX-License-Identifier: Apache-2.0
"""Judges who know nothing of this project: Wireshark reads every frame of a run, and mbpoll is a master."""

import subprocess

import pytest

from harness.config import NATIVE, data, master, remote, slave, slave_data
from harness.line import Line, Pty, serial_transport
from harness.ports import free_port
from harness.waiting import wait_until

from dissector import judge, judge_trace
from modbus_clients import (LineClient, RawClient, answer_write, mask_write, read, write_coil, write_coils, write_register,
                            write_registers)

PLC = 'modbus_master/plc'
MASTER = NATIVE.prefix(PLC)
VIEW = 'modbus_slave/view'
SLAVE = NATIVE.prefix(VIEW)
FRAMINGS = ['tcp', 'rtu', 'ascii']
READS = ('COIL', 'DISCRETE_INPUT', 'HOLDING_REGISTER', 'INPUT_REGISTER')
WRITES = (('COIL', 100, 2, 3, 5), ('COIL', 110, 0, 1, 1), ('HOLDING_REGISTER', 120, 0, 16, 0x1234),
          ('HOLDING_REGISTER', 130, 0, 80, 0x123456789ABCDEF01122), ('HOLDING_REGISTER', 140, 4, 40, 0x123456789A))
ITEMS = [slave_data('x', start=0), slave_data('c', 'COIL', 5, 0, 3), slave_data('i', 'INPUT_REGISTER', 30, 0, 80),
         slave_data('d', 'DISCRETE_INPUT', 0, 0, 9)]


@pytest.mark.parametrize('serial', [False, True], ids=['over-tcp', 'on-line'])
@pytest.mark.parametrize('framing', FRAMINGS)
def test_master(framing, serial, gatewayd, event_server, eventer, bus, field, tmp_path):
    device = field(framing=framing, serial=serial)
    items = [data(f'read-{kind}', kind, 10 * i, 0, 5) for i, kind in enumerate(READS)]
    items += [data('long', start=500, bit_count=16 * 125), data('outside', start=9000)]
    queue = framing != 'rtu' or not serial          # a line with queues is not libmodbus'
    items += [data('queue', 'QUEUE', 7, 0, 48)] * queue
    device.fifo[7] = [0x1234, 0x5678]
    items += [data(f'write-{i}', kind, start, offset, count, None)
              for i, (kind, start, offset, count, _) in enumerate(WRITES)]
    gatewayd(NATIVE.config([master('plc', None, [remote(1, items), remote(247, items[:1])], framing.upper(),
                                   transport=device.transport)], event_server.port))
    eventer.register_many([(f'{MASTER}/system/enable', True)] +
                          [(f'{MASTER}/system/remote_device/{i}/enable', True) for i in (1, 247)])
    eventer.wait(f'{MASTER}/gateway/remote_device/1/read/outside', {'result': 'INVALID_DATA_ADDRESS'})
    eventer.wait(f'{MASTER}/gateway/remote_device/247/status', 'CONNECTED')
    if queue:
        eventer.wait(f'{MASTER}/gateway/remote_device/1/read/queue', {'result': 'SUCCESS', 'value': 0x123456780000, 'cause': 'INTERROGATE'})
    for i, (*_, value) in enumerate(WRITES):
        eventer.register(f'{MASTER}/system/remote_device/1/write/write-{i}', {'request_id': i, 'value': value})
        eventer.wait(f'{MASTER}/gateway/remote_device/1/write/write-{i}', {'request_id': i, 'result': 'SUCCESS'})
    readings = judge(tmp_path / 'capture', framing, list(device.frames))
    assert {i['function'] for i in readings} == {1, 2, 3, 4, 5, 6, 15, 16, 22, *[24] * queue}
    assert {i['unit'] for i in readings} == {1, 247}


def test_several_requests_at_a_time(gatewayd, event_server, eventer, bus, field, tmp_path):
    """Four are under way, and are answered in reverse: Wireshark, too, finds the request of each answer."""
    device = field(mode='reverse', delay=0.05)
    device.holding[:200] = range(200)
    names = [f'at-{i}' for i in range(0, 200, 20)]
    items = [data(name, start=20 * i, interval=0) for i, name in enumerate(names)]
    gatewayd(NATIVE.config([master('plc', device.port, [remote(1, items)], max_outstanding=4)], event_server.port))
    eventer.register_many([(f'{MASTER}/system/enable', True), (f'{MASTER}/system/remote_device/1/enable', True)])
    for i, name in enumerate(names):
        eventer.wait(f'{MASTER}/gateway/remote_device/1/read/{name}', {'result': 'SUCCESS', 'value': 20 * i, 'cause': 'INTERROGATE'})
    frames = list(device.frames)
    readings = judge(tmp_path / 'capture', 'tcp', frames)
    number = [i for i, (from_master, _) in enumerate(frames, 1) if not from_master]
    assert [i['request'] is not None for i in readings] == [not from_master for from_master, _ in frames]
    for i in number:
        asked = readings[i - 1]['request']
        assert readings[asked - 1]['id'] == readings[i - 1]['id']
    assert any(a['request'] > b['request'] for a, b in zip(*[[readings[i - 1] for i in number][k:] for k in (0, 1)]))


@pytest.mark.parametrize('serial', [False, True], ids=['over-tcp', 'on-line'])
@pytest.mark.parametrize('framing', FRAMINGS)
def test_slave(framing, serial, gatewayd, event_server, eventer, bus, tmp_path):
    pty, port = Pty(), free_port()
    transport = serial_transport(pty.path, silent_interval=0, response_timeout=5, keep_alive_timeout=60)
    device = slave('view', port, ITEMS, framing.upper(), response_timeout=5)
    if serial:
        device['transport'] = transport
    gatewayd(NATIVE.config([device], event_server.port))
    eventer.register(f'{SLAVE}/system/enable', True)
    eventer.wait(f'{SLAVE}/gateway/running', True)
    client = LineClient(pty, framing) if serial else RawClient(port, framing)
    for pdu in (read(1, 5, 3), read(2, 0, 9), read(3, 0, 1), read(4, 30, 5), read(3, 7, 1), read(3, 0, 126),
                write_coil(900, True), mask_write(0, 0xFFFF, 0), mask_write(900, 0, 0)):
        client.request(1, pdu)
    for pdu, values in ((write_coil(6, True), {'c': 2}), (write_register(0, 7), {'x': 7}), (write_coils(5, [1, 0, 1]), {'c': 5}),
                        (write_registers(0, [8]), {'x': 8}), (mask_write(0, 0, 9), {'x': 9})):
        answered, response = answer_write(eventer, SLAVE, lambda i=pdu: client.request(1, i))
        assert answered == values and response[0] == pdu[0]
    client.close()
    readings = judge(tmp_path / 'capture', framing, client.frames)
    assert [i['exception'] for i in readings[1::2]] == [None, None, None, None, 2, 3, 2, None, 2, *[None] * 5]
    pty.close()


def mbpoll(*arguments):
    """Its output; values are lines like `[100]: 4660`."""
    return subprocess.run(['mbpoll', '-1', '-0', '-q', '-o', '10', '-a', '1', *map(str, arguments)], capture_output=True, text=True,
                          timeout=20, check=False).stdout


@pytest.mark.parametrize('serial', [False, True], ids=['over-tcp', 'on-line'])
def test_mbpoll(serial, gatewayd, event_server, eventer, bus, gatewayctl, tmp_path):
    with Line() as line:
        port = free_port()
        device = slave('view', port, ITEMS, 'RTU' if serial else 'TCP', response_timeout=5)
        if serial:
            device['transport'] = serial_transport(line.paths[0], silent_interval=0, response_timeout=5,
                                                   keep_alive_timeout=60)
        where = ['-m', 'rtu', '-b', 115200, '-P', 'none', line.paths[1]] if serial else ['-p', port, '127.0.0.1']
        gatewayd(NATIVE.config([device], event_server.port))
        eventer.register(f'{SLAVE}/system/enable', True)
        eventer.wait(f'{SLAVE}/gateway/running', True)
        eventer.register_many([(f'{SLAVE}/system/data/x', {'value': 4660}), (f'{SLAVE}/system/data/c', {'value': 5}),
                               (f'{SLAVE}/system/data/i', {'value': 0x0001000200030004ABCD})])
        wait_until(lambda: '4660' in mbpoll('-t', 4, '-r', 0, *where), 'mbpoll reads the register')
        assert [i.split()[-1] for i in mbpoll('-t', 0, '-r', 5, '-c', 3, *where).splitlines() if i.startswith('[')] == [
            '1', '0', '1']
        output = mbpoll('-t', '3:hex', '-r', 30, '-c', 5, *where)
        assert [i.split()[-1] for i in output.splitlines() if i.startswith('[')] == [
            '0x0001', '0x0002', '0x0003', '0x0004', '0xABCD']
        assert 'Illegal data address' in subprocess.run(
            ['mbpoll', '-1', '-0', '-a', '1', '-t', '4', '-r', '77', *map(str, where)], capture_output=True, text=True,
            timeout=20, check=False).stderr
        values, output = answer_write(eventer, SLAVE, lambda: mbpoll('-t', 4, '-r', 0, *where, 1234))
        assert values == {'x': 1234} and 'Written 1 references' in output
        assert judge_trace(tmp_path / 'capture', 'rtu' if serial else 'tcp', gatewayctl, VIEW) == {1, 3, 4, 6}
