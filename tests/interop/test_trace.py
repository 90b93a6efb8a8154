# SPDX-License-Identifier: Apache-2.0
"""What gatewayctl trace shows is what was on the wire: told by the far end, and by Wireshark."""

import json
import os
import subprocess

import pytest

from harness import paths
from harness.config import NATIVE, data, master, remote, slave, slave_data
from harness.ports import free_port
from harness.process import Process
from harness.waiting import wait_until

from dissector import judge_trace, read_capture
from modbus_clients import RawClient, read, write_coil

pytestmark = pytest.mark.event_servers('embedded')

PLC = 'modbus_master/plc'
MASTER = NATIVE.prefix(PLC)
VIEW = 'modbus_slave/view'
SLAVE = NATIVE.prefix(VIEW)
ITEMS = [data('holding', start=0, bit_count=48), data('coils', 'COIL', 3, 0, 10), data('outside', start=9000),
         data('written', start=100, bit_count=32, interval=None)]
FUNCTIONS = {1: 'read-coils', 3: 'read-holding-registers', 16: 'write-registers'}


@pytest.fixture
def tracer(bus, tmp_path):
    """tracer(*arguments) starts gatewayctl trace in the background."""
    running = []

    def start(*arguments):
        process = Process([paths.CTL, f'--address={bus.address}', 'trace', *map(str, arguments)],
                          log=tmp_path / f'trace-{len(running)}.log')
        running.append(process)
        return process

    yield start
    for process in running:
        process.close()


def last(gatewayctl, device, *arguments):
    return [json.loads(i) for i in gatewayctl('-j', 'trace', device, '--last', *arguments).stdout.splitlines()]


def without_times(records):
    """The machine's clock may be set while a test runs, and every look dates what it shows by the clock of its own moment."""
    return [{key: value for key, value in i.items() if key != 'Time'} for i in records]


def newest(gatewayctl, device):
    return max((i['Number'] for i in last(gatewayctl, device)), default=-1)


def frames(records):
    return [(i['Request'], bytes.fromhex(i['Bytes'])) for i in records if i['Kind'] == 'frame']


def start_master(gatewayd, event_server, eventer, device, framing, items=(), recorder=None, **options):
    plc = master('plc', None, [remote(1, items or ITEMS)], framing.upper(), transport=device.transport, **options)
    gatewayd(NATIVE.config([{**plc, 'recorder': recorder}], event_server.port))
    eventer.register_many([(f'{MASTER}/system/enable', True), (f'{MASTER}/system/remote_device/1/enable', True)])


def stop_master(eventer):
    since = eventer.mark()
    eventer.register(f'{MASTER}/system/enable', False)
    eventer.wait(f'{MASTER}/gateway/running', False, since=since)


@pytest.mark.parametrize('serial', [False, True], ids=['over-tcp', 'on-line'])
@pytest.mark.parametrize('framing', ['tcp', 'rtu', 'ascii'])
def test_last(framing, serial, gatewayd, event_server, eventer, bus, gatewayctl, field, tmp_path):
    device = field(framing=framing, serial=serial)
    start_master(gatewayd, event_server, eventer, device, framing)
    eventer.wait(f'{MASTER}/gateway/remote_device/1/read/outside', {'result': 'INVALID_DATA_ADDRESS'})
    eventer.register(f'{MASTER}/system/remote_device/1/write/written', {'request_id': 1, 'value': 0x12345678})
    eventer.wait(f'{MASTER}/gateway/remote_device/1/write/written', {'request_id': 1, 'result': 'SUCCESS'})
    stop_master(eventer)

    records = last(gatewayctl, PLC)
    assert records[0]['Kind'] == 'opened' and [i['Number'] for i in records] == list(range(len(records)))
    sent = frames(records)  # the last request may not have been answered, or answered too late
    assert sent == list(device.frames)[:len(sent)] and len(sent) >= len(device.frames) - 1
    assert {i['Protocol'] for i in records if 'Protocol' in i} == {f'modbus-{framing}'}
    times = [i['TimeMonotonic'] for i in records]
    assert times == sorted(times) and times[-1] > times[0]

    decoded = [i['Decoded'] for i in records if i['Kind'] == 'frame']
    assert all(i['Unit'] == 1 and 'Error' not in i for i in decoded)
    assert {i['Function'] for i in decoded} == set(FUNCTIONS.values())
    assert any(i.get('Exception') == 2 and i['ExceptionName'] == 'INVALID_DATA_ADDRESS' for i in decoded)
    assert any(i.get('Address') == 100 and i.get('Values') == [0x1234, 0x5678] for i in decoded)
    assert any(i.get('Address') == 3 and i.get('Quantity') == 10 for i in decoded)

    text = gatewayctl('trace', PLC, '--last').stdout
    assert ' → unit 1 write-registers address 100 quantity 2 values 4660 22136' in text
    assert ' ← unit 1 read-holding-registers exception 2 INVALID_DATA_ADDRESS' in text
    ends = [i.split(maxsplit=1)[1] for i in text.splitlines()[-3:]]
    assert [i.split(maxsplit=1)[1] for i in gatewayctl('trace', PLC, '--last', '-n', 3, '--no-legend').stdout.splitlines()] == ends

    path = tmp_path / 'capture'
    result = gatewayctl('trace', PLC, '--last', f'--pcap={path}', check=framing != 'ascii')
    if framing == 'ascii':
        assert result.returncode == 1 and 'no capture format for modbus-ascii' in result.stderr
        return
    readings = read_capture(path, framing)
    assert len(readings) == len(sent)
    for (request, frame), reading in zip(sent, readings):
        pdu = frame[7:] if framing == 'tcp' else frame[1:-2]
        assert reading['complaints'] == [] and reading['unit'] == 1 and reading['function'] == pdu[0] & 0x7F, reading
        assert reading['exception'] == (pdu[1] if pdu[0] & 0x80 else None)
        if request:
            assert reading['address'] == int.from_bytes(pdu[1:3], 'big')


def test_live(gatewayd, event_server, eventer, bus, gatewayctl, tracer, field, tmp_path):
    """Two look, one of them into a capture file; then a third one, too much for a device that has four."""
    device = field()
    start_master(gatewayd, event_server, eventer, device, 'tcp', [data('x', start=0, interval=0.02)])
    eventer.wait(f'{MASTER}/gateway/remote_device/1/read/x')
    tracers = [tracer('-j', PLC), tracer(PLC, f'--pcap={tmp_path / "live"}'), tracer(PLC, '-n', 5)]
    wait_until(lambda: len(tracers[0].text().splitlines()) >= 20, 'frames are shown')
    assert tracers[2].wait(10) == 0 and len([i for i in tracers[2].text().splitlines() if 'unit 1' in i]) == 5
    wait_until(lambda: (tmp_path / 'live').exists() and len(read_capture(tmp_path / 'live', 'tcp')) >= 10, 'frames are captured')

    for _ in range(2):
        tracers.append(tracer('-j', PLC))
        wait_until(lambda: tracers[-1].text(), 'frames are shown')
    refused = gatewayctl('trace', PLC, check=False)
    assert refused.returncode == 1 and 'Too many look already' in refused.stderr

    # Whoever leaves makes room.
    tracers[0].terminate()
    wait_until(lambda: gatewayctl('trace', PLC, '-n', 1, check=False).returncode == 0, 'there is room for another')
    readings = read_capture(tmp_path / 'live', 'tcp')
    assert all(i['complaints'] == [] and i['function'] == 3 for i in readings), readings

    # The run ends, not the trace; the next run is shown too.
    since = len(tracers[3].text())
    device.reset(listen=True)
    wait_until(lambda: '"closed"' in tracers[3].text()[since:] and '"opened"' in tracers[3].text()[since:],
               'the end and the beginning of a connection are shown')
    since = len(tracers[3].text())
    gatewayctl('restart', PLC)
    wait_until(lambda: '"opened"' in tracers[3].text()[since:], 'the next run is shown')


def test_failures(gatewayd, event_server, eventer, bus, gatewayctl, field):
    """What was before the first failure of a burst is kept, however much follows."""
    device = field(framing='rtu')
    start_master(gatewayd, event_server, eventer, device, 'rtu', [data('x', start=0, interval=0.01)],
                 request_timeout=1, recorder=4)
    eventer.wait(f'{MASTER}/gateway/remote_device/1/read/x')
    device.mode = 'garbage'
    wait_until(lambda: any(i['Kind'] == 'timeout' for i in last(gatewayctl, PLC)), 'a timeout is recorded')
    records = last(gatewayctl, PLC)
    failure = next(i for i in records if i['Kind'] in ('garbage', 'timeout'))
    before = [i for i in records if i['Number'] < failure['Number']]
    assert before[-1]['Request']

    device.mode = 'normal'
    start = newest(gatewayctl, PLC)
    wait_until(lambda: newest(gatewayctl, PLC) > start + 200, 'the recorder is written over')
    records = last(gatewayctl, PLC)
    gaps = [i for i in records if 'Missed' in i]
    assert without_times(i for i in records if i['Number'] <= failure['Number']) == without_times(before + [failure])
    assert len(gaps) == 1 and gaps[0]['Number'] - gaps[0]['Missed'] == failure['Number'] + 1


@pytest.mark.parametrize('mode, kinds', [('silent', {'timeout'}), ('short', {'wrong', 'timeout'}),
                                         ('late', {'timeout', 'unasked'}), ('foreign', {'unasked'})])
def test_modes(mode, kinds, gatewayd, event_server, eventer, bus, gatewayctl, field):
    device = field(mode=mode, delay=0.15)
    start_master(gatewayd, event_server, eventer, device, 'tcp', [data('x', start=0, interval=0.01)], request_timeout=0.1)

    def seen():
        return {i['Kind'] for i in last(gatewayctl, PLC)} - {'frame', 'opened', 'closed'}
    wait_until(lambda: kinds <= seen(), lambda: f'{seen()}')


def test_slave(gatewayd, event_server, eventer, bus, gatewayctl, tmp_path):
    port = free_port()
    gatewayd(NATIVE.config([slave('view', port, [slave_data('x', start=0), slave_data('c', 'COIL', 5, 0, 3)])],
                           event_server.port))
    eventer.register(f'{SLAVE}/system/enable', True)
    eventer.wait(f'{SLAVE}/gateway/running', True)
    clients = [RawClient(port, 'tcp') for _ in range(2)]
    for client in clients:
        client.request(1, read(3, 0, 1))
        client.request(1, write_coil(900, True))
    clients[0].close()
    wait_until(lambda: any(i['Kind'] == 'closed' for i in last(gatewayctl, VIEW)), 'the end of a connection is recorded')
    records = last(gatewayctl, VIEW)
    for i, client in enumerate(clients, 1):
        assert frames(j for j in records if j['Connection'] == i) == client.frames
    assert [i['Text'] for i in records if i['Kind'] == 'opened'][0].startswith('tcp:127.0.0.1:')
    assert judge_trace(tmp_path / 'capture', 'tcp', gatewayctl, VIEW) == {3, 5}
    gatewayctl('disable', VIEW, '--wait')
    assert [(i['Connection'], i['Text']) for i in last(gatewayctl, VIEW) if i['Kind'] == 'closed'] == [
        (1, 'closed by the peer'), (2, 'the device stops')]
    clients[1].close()


def test_slow(gatewayd, event_server, eventer, bus, gatewayctl, tracer, field, tmp_path):
    """Who does not read costs nothing, and is told what was lost."""
    device = field()
    start_master(gatewayd, event_server, eventer, device, 'tcp', [data('x', start=0, bit_count=1600, interval=0)], recorder=4)
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with open(fifo, 'wb') as output:
        process = subprocess.Popen([paths.CTL, f'--address={bus.address}', '-j', 'trace', PLC], stdout=output)
    try:
        wait_until(lambda: newest(gatewayctl, PLC) > 3000, 'much has passed', 60)
        requests = len(device.requests)
        wait_until(lambda: len(device.requests) > requests + 100, 'it goes on')
        text = b''
        os.set_blocking(reader, True)
        while b'"Missed"' not in text:
            text += os.read(reader, 65536)
    finally:
        process.kill()  # it may wait for its reader
        process.wait()
    os.close(reader)
    records = [json.loads(i) for i in text.splitlines()[:-1]]
    expected = records[0]['Number']
    for i in records:
        assert i['Number'] == expected + i.get('Missed', 0)
        expected = i['Number'] + 1


def test_not_for_all(gatewayd, event_server, bus, gatewayctl):
    gatewayd(NATIVE.config([{'type': 'gpio', 'name': 'io', 'chip': 'gpiochip77', 'connect_delay': 1,
                              'lines': [{'name': 'door', 'line': 3, 'direction': 'INPUT'}]}], event_server.port))
    result = gatewayctl('trace', 'io', check=False)
    assert result.returncode == 1 and 'have no frames to show' in result.stderr
