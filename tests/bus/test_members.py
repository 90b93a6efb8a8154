# SPDX-License-Identifier: Apache-2.0
"""Every member of the interfaces on the running daemon."""

import json
import re
import socket
import subprocess

import pytest

from harness.bus import DEVICE, MANAGER, NAME, ROOT_PATH, device_path
from harness.config import NATIVE, data, master, remote, slave, slave_data
from harness.paths import DAEMON, ROOT
from harness.ports import free_port
from harness.waiting import wait_until

PLC = 'modbus_master/plc'
MASTER = DEVICE + '.ModbusMaster'
GOLDEN = ROOT / 'dbus/io.gatewayd.Gateway1.xml'


def interfaces(text):
    """Our own interfaces of an introspection document: name → text."""
    return dict(re.findall(r'<interface name="(io\.gatewayd\.[^"]*)">(.*?)</interface>', text, re.DOTALL))


def properties_of(xml):
    return re.findall(r'<property name="([^"]*)" type="([^"]*)"', xml)


# ---- shape

def test_introspection_is_the_promised_one(service, system_bus):
    promised = interfaces(GOLDEN.read_text())
    for path, names in ((ROOT_PATH, {MANAGER}), (device_path(PLC), {DEVICE, MASTER})):
        served = interfaces(system_bus.busctl('introspect', '--xml-interface', NAME, path).stdout)
        assert set(served) == names
        for name in names:
            assert served[name] == promised[name]


def test_description_file_is_complete():
    subprocess.run([ROOT / 'dbus/update-xml.sh', DAEMON, '--check'], check=True)


def test_introspection_without_a_bus():
    result = subprocess.run([DAEMON, f'--bus-introspect={device_path(PLC)}'], capture_output=True, text=True)
    assert result.returncode == 0
    assert set(interfaces(result.stdout)) == {DEVICE, MASTER}
    result = subprocess.run([DAEMON, f'--bus-introspect={ROOT_PATH}/nothing'], capture_output=True, text=True)
    assert result.returncode == 1 and 'nothing' in result.stderr and not result.stdout


def test_tree(start_service, system_bus, event_server):
    names = ['plc', 'plc-1', '1st_relay']
    start_service(NATIVE.config([master(i, 1, [remote(1, [data('word')])]) for i in names], event_server.port))
    tree = system_bus.busctl('tree', '--list', NAME).stdout.split()
    assert {device_path(f'modbus_master/{i}') for i in names} <= set(tree)
    assert f'{ROOT_PATH}/device/modbus_5fmaster/_31st_5frelay' in tree


def test_managed_objects(service, system_bus_client):
    objects = system_bus_client.managed_objects()
    assert list(objects) == [device_path(PLC)]
    device = objects[device_path(PLC)]
    assert {DEVICE, MASTER} <= set(device)
    assert device[DEVICE]['Type'] == 'modbus_master' and device[DEVICE]['Name'] == 'plc'


# ---- properties

def test_manager_properties(service, system_bus_client, event_server):
    wait_until(lambda: system_bus_client.manager('State') == 'running', 'READY')
    assert system_bus_client.manager() == {
        'Version': subprocess.run([DAEMON, '--version'], capture_output=True, text=True).stdout.split()[-1],
        'ConfigFile': str(service.config),
        'State': 'running',
        'DevicesTotal': 1, 'DevicesEnabled': 0, 'DevicesRunning': 0, 'DevicesFailed': 0, 'DevicesDown': 0,
        'EventServer': f'tcp:127.0.0.1:{event_server.port}',
        'EventServerState': 'operational',
        'MonitorState': 'none', 'MonitorBlessed': '', 'MonitorRank': 0,
        'EventStorage': 'none', 'EventStorageDetail': '', 'EventsLost': 0,
    }


def test_device_properties(service, system_bus_client):
    wait_until(lambda: system_bus_client.device(PLC, 'EnabledKnown'), 'the enable query is answered')
    properties = system_bus_client.device(PLC)
    assert set(properties) == {name for name, _ in properties_of(interfaces(GOLDEN.read_text())[DEVICE])}
    expected = {'Type': 'modbus_master', 'Name': 'plc', 'Description': '', 'Enabled': False, 'EnabledKnown': True,
                'Running': False, 'State': 'disabled', 'StateReason': 'disabled', 'Link': 'none', 'LinkReason': 'none',
                'NextRetryTimestampMonotonic': 0, 'Restarts': 0, 'RxMessages': 0, 'TxMessages': 0, 'Errors': 0,
                'LinkChangesOmitted': 0, 'LastMessageTimestamp': 0}
    assert {k: properties[k] for k in expected} == expected
    assert properties['StateChangeTimestamp'] > properties['StateChangeTimestampMonotonic'] > 0


def test_type_properties(service, system_bus_client, eventer):
    before = system_bus_client.get_all(device_path(PLC), MASTER)
    assert before['RemoteDevices'] == []
    system_bus_client.call(device_path(PLC), DEVICE, 'Enable')
    eventer.register(f'{NATIVE.prefix(PLC)}/system/remote_device/1/enable', True)

    def connected():
        parts = system_bus_client.get(device_path(PLC), MASTER, 'RemoteDevices')
        return [i['Status'] for i in parts] == ['CONNECTED']

    wait_until(connected, 'the remote device answers')
    after = system_bus_client.get_all(device_path(PLC), MASTER)
    assert after['Connections'] == 1
    assert str(service.device.port) in after['Endpoint']
    device = system_bus_client.device(PLC)
    assert device['RxMessages'] > 0 and device['TxMessages'] > 0 and device['LastMessageTimestamp'] > 0


def test_constants_without_a_run(service, system_bus_client):
    properties = system_bus_client.get_all(device_path(PLC), MASTER)
    assert properties['Transport'] == 'TCP'
    assert str(service.device.port) in properties['Endpoint']


def test_connections_of_a_slave(start_service, system_bus_client, event_server):
    port = free_port()
    start_service(NATIVE.config([slave('rtu', port, [slave_data('word')])], event_server.port))
    path = device_path('modbus_slave/rtu')
    system_bus_client.wait_operational()
    system_bus_client.call(path, DEVICE, 'Enable')

    def connections():
        return system_bus_client.get(path, DEVICE + '.ModbusSlave', 'Connections')

    wait_until(lambda: system_bus_client.device('modbus_slave/rtu', 'Running'), 'running')
    assert connections() == []
    with socket.create_connection(('127.0.0.1', port)):
        wait_until(lambda: len(connections()) == 1, 'the connection is shown')
    wait_until(lambda: connections() == [], 'the connection is gone')


# ---- Describe

def test_describe(service, system_bus, system_bus_client):
    manager = json.loads(system_bus_client.call(ROOT_PATH, MANAGER, 'Describe')[0])
    assert manager['Version'] == 1
    assert list(manager) == ['Version', 'Manager', 'Devices']
    assert set(manager['Manager']) == set(system_bus_client.manager())
    device = json.loads(system_bus_client.call(device_path(PLC), DEVICE, 'Describe')[0])
    assert [i['Name'] for i in manager['Devices']] == ['plc']
    assert set(device) == set(system_bus_client.device(PLC)) | {'ModbusMaster', 'EventPrefix', 'Points'}
    assert set(device['ModbusMaster']) == set(system_bus_client.get_all(device_path(PLC), MASTER))
    assert device['Description'] is None and device['NextRetryTimestampMonotonic'] is None
    assert device['RxMessages'] == 0
    # the same through busctl, as people use it
    assert system_bus.busctl_json('call', NAME, device_path(PLC), DEVICE, 'Describe')['data']


def test_points_lead_to_events(service, system_bus_client, eventer):
    """A client that knows no device type reads, writes and enables by what Describe says."""
    device = json.loads(system_bus_client.call(device_path(PLC), DEVICE, 'Describe')[0])
    assert device['EventPrefix'] == NATIVE.prefix(PLC).split('/')
    points = {(i['Kind'], i['Name']): i for i in device['Points']}
    assert set(points) == {('enable', '1'), ('value', '1/word')}

    def types_of(point):
        return [point[i] and (*device['EventPrefix'], *point[i]) for i in ('In', 'Out', 'Answer')]

    system_bus_client.call(device_path(PLC), DEVICE, 'Enable')
    value_in, value_out, answer = types_of(points['value', '1/word'])
    eventer.register(types_of(points['enable', '1'])[1], True)
    eventer.wait(value_in)
    eventer.register(value_out, {'request_id': 'mine', 'value': 1234})
    assert eventer.wait(answer).payload.data == {'request_id': 'mine', 'result': 'SUCCESS'}
    eventer.wait(value_in, where=lambda i: i['value'] == 1234)


# ---- methods

def test_get_device(service, system_bus_client):
    assert system_bus_client.call(ROOT_PATH, MANAGER, 'GetDevice', 'ss', 'modbus_master', 'plc') == [device_path(PLC)]


@pytest.mark.parametrize('call', ['Enable', 'SetEnabled'])
def test_enable_and_disable(service, system_bus_client, eventer, call):
    prefix = NATIVE.prefix(PLC)
    client, path = system_bus_client, device_path(PLC)
    since = client.mark()

    def ask(enable):
        if call == 'SetEnabled':
            return client.call(path, DEVICE, 'SetEnabled', 'ba{sv}', enable, {})
        return client.call(path, DEVICE, 'Enable' if enable else 'Disable')

    assert ask(True) == []
    assert eventer.latest(f'{prefix}/system/enable').payload.data is True  # accepted before the reply
    client.wait_signal('StateChanged', path, since, lambda i: i.body[:2] == ['starting', 'running'])
    assert client.device(PLC, 'Enabled') and client.device(PLC, 'Running')
    edges = [i.body[:2] for i in client.signals(since, path, 'StateChanged')]
    assert edges == [['disabled', 'starting'], ['starting', 'running']]
    client.wait_signal('PropertiesChanged', path, since, lambda i: i.body[1].get('State') == 'running')
    client.wait_signal('LinkChanged', path, since, lambda i: i.body[1] == 'up')
    assert client.device(PLC, 'Link') == 'up'
    client.wait_signal('PropertiesChanged', ROOT_PATH, since, lambda i: i.body[1].get('DevicesRunning') == 1)

    ask(True)  # again: registered again, nothing moves
    eventer.wait_payloads(f'{prefix}/system/enable', [True, True])
    mark = eventer.mark()
    assert ask(False) == []
    client.wait_signal('StateChanged', path, since, lambda i: i.body[1:3] == ['disabled', 'disabled'])
    eventer.wait(f'{prefix}/gateway/running', False, mark)
    assert not client.device(PLC, 'Enabled')


def test_restart(service, system_bus_client, eventer):
    prefix = NATIVE.prefix(PLC)
    eventer.register(f'{prefix}/system/enable', True)
    eventer.wait(f'{prefix}/gateway/running', True)
    since = eventer.mark()
    assert system_bus_client.call(device_path(PLC), DEVICE, 'Restart') == []
    eventer.wait_payloads(f'{prefix}/gateway/running', [False, True], since)
    wait_until(lambda: system_bus_client.device(PLC, 'Running'), 'running again')
    assert system_bus_client.device(PLC, 'Restarts') == 1
    assert eventer.events(f'{prefix}/system/enable', since) == []


def test_busctl_as_in_the_manual(service, system_bus):
    path = device_path(PLC)
    system_bus.busctl('call', NAME, path, DEVICE, 'Enable')
    wait_until(lambda: system_bus.busctl('get-property', NAME, path, DEVICE, 'State').stdout == 's "running"\n', 'running')
    objects = system_bus.busctl_json('call', NAME, ROOT_PATH, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')
    assert path in objects['data'][0]
