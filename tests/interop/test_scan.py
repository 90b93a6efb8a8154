# SPDX-License-Identifier: Apache-2.0
"""`gatewayctl scan` against other people's slaves, over TCP and on lines: what it finds, the draft that it prints, how it ends."""

import json
import re
import signal

import pytest

from harness.config import NATIVE, data, master, remote, slave_data
from harness.gateway import SANITIZER_ENV, run_daemon
from harness.line import Line, serial_transport
from harness.paths import CTL, PEERS
from harness.ports import free_port
from harness.process import Process
from harness.terminal import on_terminal
from harness.waiting import wait_until

from dissector import judge_trace

PLC = 'modbus_master/plc'
PREFIX = NATIVE.prefix(PLC)
FRAMINGS = ['tcp', 'rtu', 'ascii']
IDENTITY = {'VendorName': 'Acme', 'ProductCode': 'X-1', 'MajorMinorRevision': '2.0'}

pytestmark = pytest.mark.event_servers('embedded')


@pytest.fixture
def wires():
    """Two ends of a line."""
    with Line() as line:
        yield line


@pytest.fixture
def disabled(gatewayd, event_server, eventer, bus, gatewayctl):
    """disabled(transport, framing) runs a gateway whose master is disabled."""
    def start(transport, framing='tcp', *more):
        device = master('plc', None, [remote(9, [data('x')])], framing.upper(), **{'transport': transport})
        gatewayd(NATIVE.config([device, *more], event_server.port))
        eventer.wait(f'{PREFIX}/gateway/running', False)
        gatewayctl.wait_operational()

    return start


def tcp(port):
    return {'type': 'TCP', 'host': '127.0.0.1', 'port': port}


def lines(text):
    return [json.loads(i) for i in text.splitlines()]


@pytest.mark.parametrize('serial', [False, True], ids=['over-tcp', 'on-line'])
@pytest.mark.parametrize('framing', FRAMINGS)
def test_pymodbus(framing, serial, disabled, gatewayctl, wires, pymodbus_device, tmp_path):
    """All six pairs: who is there says who it is, and the draft is a configuration."""
    server = pymodbus_device(framing=framing, line=wires.paths[1] if serial else None, unit=3, identity=IDENTITY)
    transport = serial_transport(wires.paths[0]) if serial else tcp(server.port)
    disabled(transport, framing)
    printed = gatewayctl('scan', PLC, '--units=3')
    assert printed.stderr == ''
    where = str(wires.paths[0]) if serial else f'tcp:127.0.0.1:{server.port}'
    table = printed.stdout[:printed.stdout.index('name:')]
    assert table == (f'# {PLC} at {where}: 1 of 3 to 3 answered.\n#\n# UNIT  ANSWER   IDENTIFICATION\n'
                     '#    3  SUCCESS  Acme X-1 2.0\n#\n# A draft of a configuration: what is read of each is yours to say.\n')

    draft = tmp_path / 'draft.yaml'
    draft.write_text(printed.stdout)
    checked = run_daemon('--config', draft, '--check', '--json')
    assert checked.returncode == 0 and json.loads(checked.stdout) == []
    assert re.search(r'^      - device_id: 3$', printed.stdout, re.MULTILINE)

    found = [i for i in lines(gatewayctl('--json=short', 'scan', 'plc', '--units=3').stdout) if i['Event'] == 'found']
    assert [(i['Unit'], i['Answer']) for i in found] == [(3, 'SUCCESS')]
    assert {k: found[0][k] for k in IDENTITY} == IDENTITY
    assert ' ← unit 3 read-identification Acme X-1 2.0' in gatewayctl('trace', PLC, '--last').stdout
    assert judge_trace(tmp_path / 'capture', framing, gatewayctl, PLC) == {3, 43}


def test_progress(disabled, bus, modbus_device):
    """On a terminal each unit overwrites the last one, and the result all of them."""
    device = modbus_device()
    disabled(tcp(device.port))
    text, status = on_terminal(bus, 'scan', PLC, '--units=2-4')
    progress, result = text.split('\r\x1b[K')
    assert status == 0 and progress == '\r2 of 2 to 4, 0 found \r3 of 2 to 4, 1 found \r4 of 2 to 4, 2 found '
    begin = f'# {PLC} at tcp:127.0.0.1:{device.port}: 3 of 2 to 4 answered.\n'
    assert result.startswith(begin)
    assert on_terminal(bus, '--quiet', 'scan', PLC, '--units=2-4')[0].startswith(begin)


def test_libmodbus_on_line(disabled, gatewayctl, wires, tmp_path):
    """One of two addresses is there, and knows no identification. (The library takes what follows a request for another one for the
    answer to it, so the other one comes last.)"""
    with Process([PEERS / 'modbus-rtu-device', wires.paths[1], '2'], log=tmp_path / 'device.log') as device:
        device.wait_line(re.compile('^ready$', re.MULTILINE))
        disabled(serial_transport(wires.paths[0]), 'rtu')
        found = [i for i in lines(gatewayctl('--json=short', 'scan', PLC, '--units=2-3', '--unit-timeout=2').stdout)
                 if i['Event'] == 'found']
        assert [(i['Unit'], i['Answer'], i['VendorName']) for i in found] == [(2, 'SUCCESS', None)]


def test_enabled(disabled, gatewayctl, eventer, modbus_device):
    """libmodbus' server answers for all; enabling ends the scan, an enabled device is not scanned, a disabled one again."""
    device = modbus_device()
    disabled(tcp(device.port))
    assert gatewayctl('scan', PLC, '--units=9').stdout.count('device_id') == 1
    gatewayctl('enable', PLC, '--wait=up')
    refused = gatewayctl('scan', PLC, check=False)
    assert (refused.returncode, refused.stderr) == (1, f'gatewayctl: Cannot scan {PLC}: The device is not disabled.\n')
    gatewayctl('disable', PLC, '--wait')
    assert gatewayctl('scan', PLC, '--units=9').stdout.count('device_id') == 1


@pytest.fixture
def scanning(disabled, bus, tmp_path, wires):
    """A scan of a line on which nobody is, well under way; its process."""
    disabled(serial_transport(wires.paths[0]), 'rtu')
    process = Process([CTL, f'--address={bus.address}', '--json=short', 'scan', PLC, '--unit-timeout=0.1'],
                      log=tmp_path / 'scan.log', env=SANITIZER_ENV, separate=True)
    process.wait_line(re.compile(r'"Event": ?"progress", ?"Unit": ?2\b'))
    yield process
    process.close()


def test_enabled_meanwhile(scanning, gatewayctl):
    gatewayctl('enable', PLC, '--wait=running')
    assert scanning.wait() == 1
    assert lines(scanning.text())[-1] == {'Event': 'end', 'Reason': 'busy', 'Detail': 'the device was enabled'}


def test_interrupted(scanning, gatewayctl):
    """Whoever leaves ends the scan: at once there can be another."""
    scanning.signal(signal.SIGINT)
    assert scanning.wait() == 1
    wait_until(lambda: gatewayctl('scan', PLC, '--units=1', '--unit-timeout=0.1', check=False).returncode == 0,
               'the device can be scanned again')


def test_ourselves(disabled, gatewayctl, eventer):
    """A gateway that scans its own slave finds nobody."""
    port = free_port()
    slave = {'type': 'modbus_slave', 'name': 'view', 'modbus_type': 'TCP',
             'transport': {'type': 'TCP', 'local_host': '0.0.0.0', 'local_port': port, 'remote_hosts': None, 'max_connections': None,
                           'response_timeout': 5, 'keep_alive_timeout': None}, 'data': [slave_data('x')]}
    disabled(tcp(port), 'tcp', slave)
    gatewayctl('enable', 'view', '--wait')
    since = len(eventer.events(f'{NATIVE.prefix("modbus_slave/view")}/gateway/connections'))
    result = gatewayctl('scan', PLC, check=False)
    assert (result.returncode, result.stdout) == (1, '')
    assert result.stderr == f'gatewayctl: The scan of {PLC} ended: tcp:127.0.0.1:{port} is this gateway itself.\n'
    assert len(eventer.events(f'{NATIVE.prefix("modbus_slave/view")}/gateway/connections')) == since


def test_usage(disabled, gatewayctl, modbus_device):
    disabled(tcp(modbus_device().port))
    for status, *arguments in ((2, 'scan'), (2, 'scan', PLC, '--units=0'), (2, 'scan', PLC, '--units=4-3'), (2, 'scan', PLC, '--units=x'),
                               (2, 'scan', PLC, '--unit-timeout=0'), (2, 'list', '--units=1'), (4, 'scan', 'nobody'),
                               (1, 'scan', PLC, '--units=1-256')):
        result = gatewayctl(*arguments, check=False)
        assert result.returncode == status, arguments
        assert result.stderr.startswith('gatewayctl: ') and result.stderr.count('\n') == 1
