# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema that `--print-schema` prints and the parser accept and refuse the same files (spec config.md 3). Rules across
keys that a schema cannot say stand at the end: the schema accepts them, the parser does not."""

import copy
import json

import jsonschema
import pytest

from harness.gateway import run_daemon

SERIAL = {'type': 'SERIAL', 'port': '/dev/ttyS0', 'baudrate': 9600, 'bytesize': 'EIGHTBITS', 'parity': 'NONE', 'stopbits': 'ONE',
          'flow_control': {'xonxoff': False, 'rtscts': False, 'dsrdtr': False}}

GOOD = {
    'name': 'gw',
    'event_server': {'eventer_server': {'host': '127.0.0.1', 'port': 23012}, 'require_operational': True, 'client_token': None},
    'log': {'level': 'info', 'target': 'stderr'},
    'devices': [
        {'type': 'modbus_master', 'name': 'm', 'description': 'd',
         'connection': {'modbus_type': 'TCP', 'transport': {'type': 'TCP', 'host': 'h', 'port': 502},
                        'connect_timeout': 1, 'connect_delay': 0, 'request_timeout': 1.5, 'request_delay': 0,
                        'request_retry_immediate_count': 1, 'request_retry_delayed_count': 5.0, 'request_retry_delay': 0},
         'remote_devices': [{'device_id': 1, 'timeout_poll_delay': 0,
                             'data': [{'name': 'x', 'interval': None, 'data_type': 'COIL', 'start_address': 0, 'bit_offset': 0,
                                       'bit_count': 1}]}]},
        {'type': 'modbus_slave', 'name': 's', 'modbus_type': 'RTU',
         'transport': {'type': 'TCP', 'local_host': '::', 'local_port': 0, 'remote_hosts': None, 'max_connections': 3,
                       'response_timeout': 1, 'keep_alive_timeout': None},
         'data': [{'name': 'x', 'device_id': 321, 'data_type': 'COIL', 'start_address': 0, 'bit_offset': 0, 'bit_count': 1}]},
    ],
}

ABSENT = object()


def changed(*path_and_value):
    """GOOD with one value put, or taken out, at a path."""
    *path, key, value = path_and_value
    config = copy.deepcopy(GOOD)
    at = config
    for i in path:
        at = at[i]
    if value is ABSENT:
        del at[key]
    else:
        at[key] = value
    return config


def server(value):
    return changed('event_server', value)


def embedded(**keys):
    return server({'embedded': keys})


CONNECTION = ('devices', 0, 'connection')
DATA = ('devices', 0, 'remote_devices', 0, 'data', 0)
LISTEN = {'type': 'TCP', 'listen': 'fd:x', 'remote_hosts': ['a'], 'max_connections': None, 'response_timeout': 1,
          'keep_alive_timeout': 2}

ACCEPTED = {
    'good': GOOD,
    'least': {'name': 'gw'},
    'ignored': {'name': 'gw', 'type': 5, 'version': [], '$schema': 'x', 'x-any': {}, 'metrics': 1},
    'no devices': changed('devices', []),
    'address': server({'eventer_server': {'address': 'tcp:[::1]:23012'}}),
    'unix': server({'eventer_server': {'address': 'unix:/run/x'}}),
    'monitor': server({'monitor_component': {'host': 'h', 'port': 1, 'gateway_group': 'a', 'event_server_group': 'b'}}),
    'embedded': embedded(),
    'embedded in full': embedded(path=':memory:', server_id=0, listen=['unix:a', 'tcp:127.0.0.1:1', 'fd:x'], client_token=None,
                                 initial=[{'type': ['a', '?b'], 'payload': {'x': []}}, {'type': ['c']}],
                                 history={'max_age': 3155760000, 'max_events': 0, 'max_bytes': None}, on_corruption='set-aside'),
    'serial': changed(*CONNECTION, 'transport', SERIAL),
    'x- inside': changed(*CONNECTION, 'x-note', 1),
    'fd': changed('devices', 1, 'transport', LISTEN),
    'layout': changed('event_types', 'flat'),
}

REFUSED = {
    'array': [],
    'name missing': changed('name', ABSENT),
    'name empty': changed('name', ''),
    'name long': changed('name', 'n' * 129),
    'name slash': changed('name', 'a/b'),
    'name control': changed('name', 'a\tb'),
    'name number': changed('name', 5),
    'unknown key': changed('naem', 'x'),
    'layout': changed('event_types', 'round'),
    'log level': changed('log', {'level': 'loud'}),
    'log key': changed('log', {'levle': 'info'}),
    'server empty': server({}),
    'server null': server(None),
    'two servers': server({'embedded': {}, 'eventer_server': {'host': 'h', 'port': 1}}),
    'server port 0': server({'eventer_server': {'host': 'h', 'port': 0}}),
    'server port missing': server({'eventer_server': {'host': 'h'}}),
    'server both': server({'eventer_server': {'host': 'h', 'port': 1, 'address': 'unix:x'}}),
    'server address': server({'eventer_server': {'address': 'tcp:h'}}),
    'operational': server({'embedded': {}, 'require_operational': 'yes'}),
    'monitor group': server({'monitor_component': {'host': 'h', 'port': 1, 'gateway_group': 'a'}}),
    'embedded path': embedded(path=''),
    'embedded listen': embedded(listen=['x']),
    'embedded wildcard': embedded(initial=[{'type': ['*']}]),
    'embedded type': embedded(initial=[{'type': []}]),
    'embedded history': embedded(history={'max_bytes': 0}),
    'embedded age': embedded(history={'max_age': 4e9}),
    'embedded corruption': embedded(on_corruption='delete'),
    'devices': changed('devices', {}),
    'device': changed('devices', [5]),
    'device type': changed('devices', 0, 'type', 'modbus_mastr'),
    'device type missing': changed('devices', 0, 'type', ABSENT),
    'device module': changed('devices', 0, 'module', 'hat.gateway.devices.modbus.master'),
    'device name missing': changed('devices', 0, 'name', ABSENT),
    'device name': changed('devices', 0, 'name', '*'),
    'device key': changed('devices', 0, 'foo', 1),
    'description': changed('devices', 0, 'description', None),
    'modbus type': changed(*CONNECTION, 'modbus_type', 'tcp'),
    'transport type': changed(*CONNECTION, 'transport', 'type', 'UDP'),
    'transport key': changed(*CONNECTION, 'transport', 'parity', 'NONE'),
    'transport port': changed(*CONNECTION, 'transport', 'port', 65536),
    'transport port true': changed(*CONNECTION, 'transport', 'port', True),
    'transport null': changed(*CONNECTION, 'transport', None),
    'timeout 0': changed(*CONNECTION, 'connect_timeout', 0),
    'timeout large': changed(*CONNECTION, 'connect_timeout', 10000001),
    'delay negative': changed(*CONNECTION, 'connect_delay', -0.1),
    'delay null': changed(*CONNECTION, 'connect_delay', None),
    'count fraction': changed(*CONNECTION, 'request_retry_delayed_count', 1.5),
    'count missing': changed(*CONNECTION, 'request_retry_delayed_count', ABSENT),
    'device id': changed('devices', 0, 'remote_devices', 0, 'device_id', 256),
    'interval string': changed(*DATA, 'interval', '1'),
    'interval missing': changed(*DATA, 'interval', ABSENT),
    'data type': changed(*DATA, 'data_type', 'coil'),
    'address': changed(*DATA, 'start_address', 65536),
    'bit count': changed(*DATA, 'bit_count', 0),
    'serial flow': changed(*CONNECTION, 'transport', {**SERIAL, 'flow_control': {}}),
    'slave hosts': changed('devices', 1, 'transport', 'remote_hosts', [5]),
    'slave both': changed('devices', 1, 'transport', {**LISTEN, 'local_host': 'h'}),
    'slave neither': changed('devices', 1, 'transport', {k: v for k, v in LISTEN.items() if k != 'listen'}),
}

# Rules across keys or over several devices, and what is counted in bytes.
BEYOND_A_SCHEMA = {
    'two devices of a name': changed('devices', [GOOD['devices'][0], GOOD['devices'][0]]),
    'name in bytes': changed('name', 'ž' * 65),
    'token for a network': embedded(listen=['tcp:0.0.0.0:1']),
    'listening on a name': embedded(listen=['tcp:example.org:1'], client_token='x'),
    'addresses': changed(*DATA, 'bit_count', 100000),
    'device id twice': changed('devices', 0, 'remote_devices', GOOD['devices'][0]['remote_devices'] * 2),
}


@pytest.fixture(scope='module')
def validator():
    schema = json.loads(run_daemon('--print-schema').stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def parser_accepts(config, tmp_path):
    path = tmp_path / 'config.json'
    path.write_text(json.dumps(config, indent=1))
    result = run_daemon('--config', path, '--check')
    assert result.returncode in (0, 78)
    return result.returncode == 0


@pytest.mark.parametrize('name', ACCEPTED)
def test_both_accept(name, validator, tmp_path):
    validator.validate(ACCEPTED[name])
    assert parser_accepts(ACCEPTED[name], tmp_path)


@pytest.mark.parametrize('name', REFUSED)
def test_both_refuse(name, validator, tmp_path):
    assert not validator.is_valid(REFUSED[name])
    assert not parser_accepts(REFUSED[name], tmp_path)


@pytest.mark.parametrize('name', BEYOND_A_SCHEMA)
def test_only_the_parser_refuses(name, validator, tmp_path):
    validator.validate(BEYOND_A_SCHEMA[name])
    assert not parser_accepts(BEYOND_A_SCHEMA[name], tmp_path)
