# SPDX-License-Identifier: Apache-2.0
"""gatewayctl values, write, enable of a part, and which event server it finds: the real daemon on a private bus."""

import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import tempfile

import pytest

from harness.bus import Bus
from harness.config import NATIVE, data, master, remote, slave, slave_data
from harness.gateway import SANITIZER_ENV, Ctl
from harness.paths import CTL
from harness.ports import free_port
from harness.process import Process
from harness.waiting import DEADLINE, wait_until

PLC = 'modbus_master/plc'
SLAVE = 'modbus_slave/srv'
PREFIX = NATIVE.prefix(PLC)
WRITE = f'{PREFIX}/system/remote_device/1/write'


def devices(device_port):
    return [master('plc', device_port, [remote(1, [data('level'), data('valve', 'COIL', bit_count=1),
                                                   data('measured', 'INPUT_REGISTER'), data('ž/a', start=7)]),
                                        remote(2, [data('level', interval=None)])]),
            slave('srv', free_port(), [slave_data('x'), slave_data('y', start=1)])]


@pytest.fixture
def device(field):
    return field()


@pytest.fixture
def gateway(gatewayd, event_server, eventer, device, bus, gatewayctl):
    """A master of two units, unit 1 enabled and connected, unit 2 not; and a slave, disabled."""
    device.holding[0] = 1234
    gateway = gatewayd(NATIVE.config(devices(device.port), event_server.port))
    gatewayctl.wait_operational()
    gatewayctl('enable', PLC, '--wait=up')
    gatewayctl('enable', f'{PLC}/1')
    eventer.wait(f'{PREFIX}/gateway/remote_device/1/status', 'CONNECTED')
    eventer.wait(f'{PREFIX}/gateway/remote_device/1/read/level', where=lambda p: p.get('value') == 1234)
    return gateway


@pytest.fixture
def fails(gatewayctl):
    """fails(status, …): that status, no output, one line on standard error, which is returned."""
    def run(status, *arguments, ctl=gatewayctl, **options):
        result = ctl(*arguments, check=False, **options)
        assert (result.returncode, result.stdout, result.stderr.count('\n')) == (status, '', 1), result
        assert result.stderr.startswith('gatewayctl: ')
        return result.stderr

    return run


# ---- values

def test_values(gateway, gatewayctl, eventer):
    for name in ('valve', 'measured', 'ž/a'):
        eventer.wait([*PREFIX.split('/'), 'gateway', 'remote_device', '1', 'read', name])
    text = gatewayctl('values', 'plc').stdout
    table = [i.split(maxsplit=3) for i in text.splitlines()]
    assert [i[:3] for i in table[:5]] == [[PLC, '1', 'CONNECTED'], [PLC, '1/level', '1234'], [PLC, '1/valve', '0'],
                                          [PLC, '1/measured', '0'], [PLC, '1/ž/a', '0']], text
    assert [i[:2] for i in table[5:]] == [[PLC, '2'], [PLC, '2/level']] and len(table[6]) == 2
    assert all(re.fullmatch(r'now|\d+s ago', i[3].strip()) for i in table[:5])

    shown = gatewayctl.json('values', 'plc', 'srv')
    assert shown['Version'] == 1 and [(i['Type'], i['Name']) for i in shown['Devices']] == \
        [('modbus_master', 'plc'), ('modbus_slave', 'srv')]
    points = {i['Name']: i for i in shown['Devices'][0]['Points']}
    assert points['1/level']['Kind'] == 'value' and points['1/level']['Value'] == 1234
    assert points['1']['Kind'] == 'enable' and points['1']['Value'] == 'CONNECTED'
    event = eventer.latest(f'{PREFIX}/gateway/remote_device/1/read/level')
    assert points['1/level']['Timestamp'] == event.timestamp.s * 10 ** 6 + event.timestamp.us
    assert points['2/level'] == {'Kind': 'value', 'Name': '2/level', 'Value': None, 'Timestamp': None,
                                 'SourceTimestamp': None}
    assert [i['Value'] for i in shown['Devices'][1]['Points']] == [None, None]
    assert json.loads(gatewayctl('values', 'plc', 'srv', '--json=pretty').stdout) == shown
    assert gatewayctl('values', 'plc', '--json=pretty').stdout.startswith('{\n  "Version": 1,\n')


def test_values_are_harmless_and_exact(gateway, gatewayctl, eventer):
    """Whoever registers: no number loses a digit, no text reaches the terminal."""
    kind = f'{PREFIX}/gateway/remote_device/2/read/level'
    for payload, text, value in (({'value': 2 ** 80}, str(2 ** 80), 2 ** 80), ({'value': '\x1b[2J'}, '\\x1b[2J', '\x1b[2J'),
                                 ({'result': 'TIMEOUT'}, '{"result":"TIMEOUT"}', {'result': 'TIMEOUT'}), (None, 'null', None)):
        eventer.register(kind, payload)
        assert re.search(f'^{PLC} +2/level +{re.escape(text)} +(now|\\d+s ago)', gatewayctl('values', 'plc').stdout, re.MULTILINE)
        points = gatewayctl.json('values', 'plc')['Devices'][0]['Points']
        assert next(i['Value'] for i in points if i['Name'] == '2/level') == value
    eventer.register_binary(kind, b'\x00')
    assert '<no JSON>' in gatewayctl('values', 'plc').stdout


def test_values_of_nobody(gateway, gatewayctl, fails):
    assert 'nobody' in fails(4, 'values', 'nobody')
    result = gatewayctl('values', 'nobody', 'srv', check=False)
    assert result.returncode == 4 and SLAVE in result.stdout
    fails(2, 'values')


# ---- write

def test_write(gateway, gatewayctl, device, eventer):
    assert gatewayctl('write', 'plc', '1/level', '777').stdout == ''
    assert device.holding[0] == 777
    gatewayctl('write', PLC, 'valve', '1')          # the last part is enough where it is unique
    assert device.coils[0] == 1
    gatewayctl('write', PLC, '1/ž/a', '5')
    gatewayctl('write', PLC, 'a', '6')
    assert device.holding[7] == 6
    payloads = eventer.payloads(f'{WRITE}/level')
    assert [i['value'] for i in payloads] == [777] and isinstance(payloads[0]['request_id'], str)


def test_write_results(gateway, fails, device, eventer):
    device.mode, device.exception_code = 'exception', 2
    assert 'INVALID_DATA_ADDRESS' in fails(1, 'write', 'plc', '1/level', '1')
    device.exception_code = 4
    assert 'FUNCTION_ERROR' in fails(1, 'write', 'plc', '1/level', '1')
    device.mode = 'silent'
    assert 'TIMEOUT' in fails(1, 'write', 'plc', '1/level', '1')


def test_write_without_answer(gateway, gatewayctl, fails, device, eventer):
    """What the device does not understand it does not answer; a bare word is a string."""
    for value, sent in (('1.5', 1.5), ('word', 'word'), ('"1"', '1'), ('{"a": [null]}', {'a': [None]}), ('', ''),
                        ('0x10', '0x10'), ('ž', 'ž')):
        mark = eventer.mark()
        assert 'no answer in time' in fails(5, 'write', 'plc', '1/level', value, '--timeout=4')
        assert eventer.wait(f'{WRITE}/level', since=mark).payload.data['value'] == sent
    gatewayctl('disable', 'plc', '--wait')
    assert 'the device is disabled' in fails(5, 'write', 'plc', '1/level', '1', '--timeout=4')


def test_answers_of_others_do_not_count(gateway, fails, device, eventer, gatewayctl):
    """An answer with another request_id, with none, and payloads of every kind; then one for us that says no."""
    gatewayctl('disable', 'plc', '--wait')          # the test is the device
    answer = f'{PREFIX}/gateway/remote_device/1/write/level'
    for result, text in (({'result': 'SUCCESS'}, None), ({'result': 'BROKEN\x1b'}, 'BROKEN\\x1b'), ({}, 'no result'),
                         ({'result': 7}, ': 7'), ({'result': ['SUCCESS']}, '["SUCCESS"]')):
        mark = eventer.mark()
        process = Process([CTL, f'--address={gatewayctl.address}', 'write', 'plc', '1/level', '1'], env=SANITIZER_ENV)
        request_id = eventer.wait(f'{WRITE}/level', since=mark).payload.data['request_id']
        for other in (None, 7, [], {}, {'request_id': None, 'result': 'SUCCESS'}, {'request_id': 'other', 'result': 'SUCCESS'}):
            eventer.register(answer, other)
        eventer.register_binary(answer, b'x')
        assert process.running
        eventer.register(answer, {'request_id': request_id, **result})
        assert process.wait() == (1 if text else 0)
        assert process.log_text().count('\n') == (1 if text else 0) and (text or '') in process.log_text()
        process.close()


def test_write_of_a_point_that_nothing_answers(gateway, gatewayctl, eventer):
    gatewayctl('write', 'srv', 'x', '42')
    assert eventer.wait(f'{NATIVE.prefix(SLAVE)}/system/data/x').payload.data == {'value': 42}
    gatewayctl('enable', 'srv', '--wait')
    assert gatewayctl.json('values', 'srv')['Devices'][0]['Points'][0]['Value'] == 42


def test_write_what_is_not_there(gateway, fails):
    assert 'can only be read' in fails(1, 'write', 'plc', '1/measured', '1')
    assert "no point '1/none'" in fails(4, 'write', 'plc', '1/none', '1')
    assert 'ambiguous: 1/level, 2/level' in fails(2, 'write', 'plc', 'level', '1')
    assert "no point '1'" in fails(4, 'write', 'plc', '1', 'true')
    assert 'nobody' in fails(4, 'write', 'nobody', '1/level', '1')
    fails(2, 'write', 'plc', '1/level')
    fails(2, 'write', 'plc', '1/level', '1', '2')


def test_interrupted_write(gateway, gatewayctl, device, eventer):
    device.mode = 'silent'
    process = Process([CTL, f'--address={gatewayctl.address}', 'write', 'plc', '2/level', '1'], env=SANITIZER_ENV)
    eventer.wait(f'{PREFIX}/system/remote_device/2/write/level')
    process.signal(signal.SIGINT)
    assert process.wait() == -signal.SIGINT and process.log_text() == ''
    process.close()


def test_event_server_goes_while_written(gateway, gatewayctl, event_server, device, eventer):
    gatewayctl('disable', 'plc', '--wait')
    process = Process([CTL, f'--address={gatewayctl.address}', 'write', 'plc', '1/level', '1'], env=SANITIZER_ENV)
    eventer.wait(f'{WRITE}/level')
    event_server.kill()
    assert process.wait() == 8 and process.log_text().count('\n') == 1
    process.close()


# ---- parts

def test_enable_of_a_part(gateway, gatewayctl, eventer):
    enable = f'{PREFIX}/system/remote_device/1/enable'
    status = f'{PREFIX}/gateway/remote_device/1/status'
    for arguments, value, state in ((['disable', f'{PLC}/1'], False, 'DISABLED'), (['enable', 'plc/1'], True, 'CONNECTED')):
        mark = eventer.mark()
        assert gatewayctl(*arguments).stdout == ''
        eventer.wait(enable, value, since=mark)
        eventer.wait(status, state, since=mark)
    gatewayctl('enable', f'{PLC}/1', f'{PLC}/2', SLAVE)
    eventer.wait(f'{PREFIX}/system/remote_device/2/enable', True)
    gatewayctl.wait(SLAVE)


def test_enable_of_no_part(gateway, fails, eventer):
    mark = eventer.mark()
    assert "no part '3'" in fails(4, 'enable', f'{PLC}/3')
    assert "no part '1/level'" in fails(4, 'enable', f'{PLC}/1/level')
    assert 'modbus_master/nobody/1' in fails(4, 'enable', 'modbus_master/nobody/1')
    assert '--wait' in fails(2, 'enable', f'{PLC}/1', '--wait')
    eventer.assert_none(f'{PREFIX}/system/*', mark, 0.2)


# ---- which event server

def test_the_daemons_event_server(gateway, gatewayctl, eventer):
    assert gatewayctl('event', 'register', 'a', '1').stdout.endswith('  a  1\n')
    eventer.wait('a', 1)
    assert gatewayctl('event', 'latest', 'a').stdout.endswith('  a  1\n')
    assert gatewayctl('event', 'history', f'{PREFIX}/system/enable', '--limit=1').stdout.endswith('/system/enable  true\n')


def test_another_event_server(gateway, gatewayctl, fails, event_server):
    there = f'--server=tcp:127.0.0.1:{event_server.port}'
    away = f'--server=tcp:127.0.0.1:{free_port()}'
    gatewayctl('values', 'plc', there)
    for arguments in (['values', 'plc'], ['write', 'plc', '1/level', '1'], ['enable', f'{PLC}/1'], ['event', 'latest']):
        assert 'refused' in fails(8, *arguments, away)
    assert '--server=' in fails(2, 'list', there)


def test_event_server_is_away(gateway, fails, event_server):
    event_server.kill()
    for arguments in (['values', 'plc'], ['write', 'plc', '1/level', '1'], ['enable', f'{PLC}/1'], ['event', 'latest']):
        fails(8, *arguments)


def run(*arguments, env, user=None):
    return subprocess.run([CTL, *arguments], capture_output=True, text=True, timeout=DEADLINE, user=user,
                          env={**os.environ, **SANITIZER_ENV, **env}, stdin=subprocess.DEVNULL)


def test_no_daemon_and_no_bus(bus, gatewayctl, fails, tmp_path):
    """Then it is the socket in the runtime directory, which a daemon without D-Bus would have."""
    assert 'gatewayd does not run' in fails(8, 'event', 'latest')
    env = {'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nonexistent', 'RUNTIME_DIRECTORY': str(tmp_path)}
    result = run('event', 'latest', env=env)
    assert result.returncode == 8 and f'unix:{tmp_path}/eventer.sock' in result.stderr and result.stderr.count('\n') == 1
    result = run('event', 'latest', '--address=unix:path=/nonexistent', env=env)        # named, so it must be there
    assert result.returncode == 8 and '/nonexistent' in result.stderr


def test_embedded_without_a_bus(gatewayd):
    with tempfile.TemporaryDirectory(prefix='run-') as runtime:
        gatewayd(NATIVE.config([], name='e'), env={'RUNTIME_DIRECTORY': runtime})
        env = {'DBUS_SYSTEM_BUS_ADDRESS': f'unix:path={runtime}/none', 'RUNTIME_DIRECTORY': runtime}
        assert run('event', 'register', 'a', '1', env=env).returncode == 0
        assert run('event', 'latest', 'a', env=env).stdout.endswith('  a  1\n')


def test_embedded(gatewayd, bus, gatewayctl, device):
    """Without a word about the event server in the configuration, everything by name."""
    gatewayd(NATIVE.config(devices(device.port)))
    gatewayctl.wait_operational()
    gatewayctl('enable', PLC, '--wait=up')
    gatewayctl('enable', f'{PLC}/1')
    wait_until(lambda: gatewayctl.json('values', 'plc')['Devices'][0]['Points'][0]['Value'] == 'CONNECTED', 'unit 1 is connected')
    gatewayctl('write', 'plc', '1/level', '4321')
    assert device.holding[0] == 4321
    wait_until(lambda: gatewayctl.json('values', 'plc')['Devices'][0]['Points'][1]['Value'] == 4321, 'the value is read back')
    history = gatewayctl('event', 'history', f'{PREFIX}/gateway/remote_device/1/read/level', '--json=short').stdout
    assert [json.loads(i)['Payload']['value'] for i in history.splitlines()] == [4321, 0]


def test_socket_is_closed_to_others(start_service, system_ctl, other_user, fails, device):
    start_service(NATIVE.config(devices(device.port)))
    for arguments in (['event', 'latest'], ['values', 'plc'], ['event', 'register', 'a', '1']):
        assert 'group gatewayd' in fails(6, *arguments, ctl=system_ctl, user=other_user.pw_uid)


def test_remote_daemon(gateway, bus, tmp_path):
    """What is local there is not what is local here."""
    ssh = tmp_path / 'ssh'
    ssh.write_text(f'#!/bin/sh\nexec systemd-stdio-bridge --bus-path={bus.address}\n')
    ssh.chmod(0o755)
    env = {'PATH': f'{tmp_path}:{os.environ["PATH"]}'}
    for arguments in (['event', 'latest'], ['values', 'plc']):
        result = run('--host=there', *arguments, env=env)
        assert (result.returncode, result.stdout, result.stderr.count('\n')) == (8, '', 1) and '--server=' in result.stderr
    result = run('--host=there', 'event', 'export', str(tmp_path / 'copy'), env=env)
    assert result.returncode == 1 and "own host" in result.stderr and not (tmp_path / 'copy').exists()


# ---- export

@pytest.fixture
def embedded(gatewayd, bus, gatewayctl):
    gateway = gatewayd(NATIVE.config([], name='e'))
    for i in range(3):
        gatewayctl('event', 'register', 'a', i)
    return gateway


def test_export(embedded, gatewayctl, tmp_path, fails):
    copy = tmp_path / 'copy.db'
    assert gatewayctl('event', 'export', copy).stdout == ''
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(copy) as database:
        assert database.execute('PRAGMA integrity_check').fetchone() == ('ok',)
    before = copy.read_bytes()

    assert '--force' in fails(1, 'event', 'export', copy)
    assert copy.read_bytes() == before
    gatewayctl('event', 'register', 'b', '"later"')
    gatewayctl('event', 'export', copy, '--force')
    assert b'later' in copy.read_bytes() and b'later' not in before
    assert os.listdir(tmp_path).count('copy.db') == 1 and not [i for i in os.listdir(tmp_path) if i.startswith('copy.db.')]

    link = tmp_path / 'link'
    link.symlink_to(copy)
    assert 'no file' in fails(1, 'event', 'export', link, '--force')
    assert 'is there' in fails(1, 'event', 'export', '/dev/null')
    assert 'No such file' in fails(1, 'event', 'export', tmp_path / 'none/copy')


def test_export_does_not_replace_a_database_in_use(gatewayd, bus, gatewayctl, tmp_path, fails):
    database = tmp_path / 'state/events.db'
    database.parent.mkdir()
    gateway = gatewayd(NATIVE.config([], name='e'), env={'STATE_DIRECTORY': str(database.parent)})
    gatewayctl('event', 'register', 'a', 1)
    assert 'in use' in fails(1, 'event', 'export', database, '--force')
    gatewayctl('event', 'register', 'a', 2)
    assert {i.name for i in database.parent.iterdir()} <= {'events.db', 'events.db-wal', 'events.db-shm'}
    assert 'standard output' in fails(2, 'event', 'export', '-')

    # of nobody, it is a file like another
    gateway.stop()
    gatewayd(NATIVE.config([], name='e'))
    gatewayctl('event', 'export', database, '--force')


def test_export_that_fails_leaves_nothing(gateway, gatewayctl, tmp_path, fails):
    """The daemon has no event server of its own."""
    copy = tmp_path / 'copy.db'
    fails(1, 'event', 'export', copy)
    copy.write_text('precious')
    fails(1, 'event', 'export', copy, '--force')
    assert copy.read_text() == 'precious' and not [i for i in os.listdir(tmp_path) if i.startswith('copy.db.')]


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_export_leaves_nothing(embedded, gatewayctl, tmp_path, number):
    copy = tmp_path / 'copy.db'
    embedded.process.signal(signal.SIGSTOP)
    try:
        with Process([CTL, f'--address={gatewayctl.address}', 'event', 'export', copy], env=SANITIZER_ENV) as process:
            wait_until(copy.exists, 'the file is made')
            process.signal(number)
            assert process.wait() == -number
        assert not copy.exists()
    finally:
        embedded.process.signal(signal.SIGCONT)


def test_export_is_denied(start_service, system_ctl, other_user, fails):
    start_service(NATIVE.config([], name='e'))
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        assert 'group gatewayd' in fails(6, 'event', 'export', f'{folder}/copy', ctl=system_ctl, user=other_user.pw_uid)
        assert os.listdir(folder) == []
