# SPDX-License-Identifier: Apache-2.0
"""Configuration errors as a user meets them: the command line, every error at its line and column, exit statuses."""

import json
import os
import re
import signal
import socket

import pytest

from harness.config import HAT, NATIVE, data, master, remote, slave, slave_data
from harness.gateway import Gateway, run_daemon
from harness.line import serial_transport
from harness.paths import ROOT
from harness.ports import free_port

# In the texts below « marks the place of an error and is taken out; what follows #E (or #W for a warning) in the same
# line is the pointer and, behind a |, a regular expression that the message must match.

NATIVE_ERRORS = '''\
name: «12                                #E /name | string
log:
  level: «loud                           #E /log/level | loud
event_types: «round                      #E /event_types | named.*flat|flat.*named
event_server:
  eventer_server:
    host: 127.0.0.1
    port: 23012
    «prot: 23012                         #E /event_server/eventer_server/prot | did you mean.*port
  «client_tokens: x                      #E /event_server/client_tokens | did you mean.*client_token
devices:
  - type: modbus_master
    name: one
    «discription: typo                   #E /devices/0/discription | did you mean.*description
    connection:
      modbus_type: «tcp                  #E /devices/0/connection/modbus_type | TCP
      transport:
        type: TCP
        host: «17                        #E /devices/0/connection/transport/host | string
        port: «abc                       #E /devices/0/connection/transport/port | expected an integer from 1 to 65535, got "abc"
      connect_timeout: «0                #E /devices/0/connection/connect_timeout
      connect_delay: «-1                 #E /devices/0/connection/connect_delay
      request_timeout: «true             #E /devices/0/connection/request_timeout | number
      request_delay: 0
      request_retry_immediate_count: «1.5 #E /devices/0/connection/request_retry_immediate_count | integer
      request_retry_delayed_count: «null #E /devices/0/connection/request_retry_delayed_count | integer
      request_retry_delay: 0
    remote_devices:
      - device_id: «256                  #E /devices/0/remote_devices/0/device_id | 255
        timeout_poll_delay: 1
        data:
          - name: x
            interval: «soon              #E /devices/0/remote_devices/0/data/0/interval | number
            data_type: «COILS            #E /devices/0/remote_devices/0/data/0/data_type | COIL
            start_address: «65536        #E /devices/0/remote_devices/0/data/0/start_address | 65535
            bit_offset: «-1              #E /devices/0/remote_devices/0/data/0/bit_offset
            bit_count: «0                #E /devices/0/remote_devices/0/data/0/bit_count
          - «name: y                     #E /devices/0/remote_devices/0/data/1/interval | missing|required
            data_type: COIL
            start_address: 0
            bit_offset: 0
            bit_count: 1
  - type: «modbus_mister                 #E /devices/1/type | did you mean.*modbus_master
    name: two
  - type: modbus_slave
    name: three
    modbus_type: TCP
    transport:
      type: TCP
      local_host: 127.0.0.1
      local_port: «-5                    #E /devices/2/transport/local_port | 65535
      remote_hosts: «everybody           #E /devices/2/transport/remote_hosts
      max_connections: null
      response_timeout: 1
      keep_alive_timeout: null
    data: []
  - type: modbus_slave
    name: four
    modbus_type: TCP
    transport: {type: TCP, local_host: 127.0.0.1, local_port: 1503, remote_hosts: null, max_connections: null,
                response_timeout: 1, keep_alive_timeout: null}
    data:
      - name: q
        device_id: 1
        data_type: «QUEUE                #E /devices/3/data/0/data_type
        start_address: 0
        bit_offset: 0
        bit_count: 1
'''

HAT_ERRORS = '''\
name: gw
«nonsense: 1                             #W /nonsense | unknown
event_server:
  eventer_server:
    host: 127.0.0.1
    port: «x                             #E /event_server/eventer_server/port | integer
devices:
  - module: hat.gateway.devices.modbus.master
    name: one
    «colour: red                         #W /devices/0/colour | unknown
    connection:
      modbus_type: «tcp                  #E /devices/0/connection/modbus_type | TCP
      transport:
        type: TCP
        host: 127.0.0.1
        port: «70000                     #E /devices/0/connection/transport/port | 65535
      connect_timeout: 1
      connect_delay: «-1                 #E /devices/0/connection/connect_delay
      request_timeout: 1
      request_delay: 0
      request_retry_immediate_count: 0
      request_retry_delayed_count: 0
      request_retry_delay: «late         #E /devices/0/connection/request_retry_delay | number
    remote_devices: «{}                  #E /devices/0/remote_devices | array|list
  - module: «hat.gateway.devices.iec104.master #E /devices/1/module | not built in
    name: two
'''


def parse(marked):
    """The text without marks, and what is expected: (line, column, severity, pointer, pattern)."""
    lines, expected = [], []
    for number, line in enumerate(marked.splitlines(), 1):
        text, mark, note = line.partition('#E')
        severity = 'error'
        if not mark:
            text, mark, note = line.partition('#W')
            severity = 'warning'
        if mark:
            pointer, _, pattern = note.strip().partition(' | ')
            expected.append((number, text.index('«') + 1, severity, pointer, pattern))
        lines.append(text.replace('«', '').rstrip())
    return '\n'.join(lines) + '\n', expected


@pytest.fixture
def write(tmp_path):
    def write(text, name='gatewayd.yaml'):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else
                         (text if isinstance(text, str) else json.dumps(text, indent=1)).encode())
        return path

    return write


LINE = re.compile(r'^(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+): (?:(?P<path>/\S*): )?(?P<warning>warning: )?'
                  r'(?P<message>.+)$')


def parse_output(text):
    matches = [LINE.match(i) for i in text.splitlines()]
    assert all(matches), text
    return [(int(m['line']), int(m['column']), 'warning' if m['warning'] else 'error', m['path'] or '', m['message'])
            for m in matches]


@pytest.mark.parametrize('marked', [NATIVE_ERRORS, HAT_ERRORS], ids=['native', 'hat'])
def test_all_errors_of_one_file(marked, write):
    """All of them in one run, sorted by position, at line and column, as lines and as JSON."""
    text, expected = parse(marked)
    path = write(text)
    result = run_daemon('--config', path, '--check')
    assert result.returncode == 78
    got = parse_output(result.stderr)
    assert [i[:4] for i in got] == [i[:4] for i in expected]
    for (*_, message), (*_, pattern) in zip(got, expected):
        assert re.search(pattern, message), (pattern, message)
    assert all(i.startswith(str(path) + ':') or i.startswith(path.name + ':') for i in result.stderr.splitlines())

    result = run_daemon('--config', path, '--check', '--json')
    assert result.returncode == 78
    array = json.loads(result.stdout)
    assert all(set(i) == {'file', 'line', 'column', 'path', 'severity', 'message'} for i in array)
    assert [(i['line'], i['column'], i['severity'], i['path'], i['message']) for i in array] == got

    # A start reports the same and ends with the same status.
    result = run_daemon('--config', path, '--bus=none', '--log-target=stderr')
    assert result.returncode == 78
    for *_, pointer, message in got:
        assert pointer in result.stderr and message in result.stderr


ALONE = {
    'syntax': ('name: gw\ndevices: [\n', None, None),
    'tab': ('name: gw\nlog:\n\tlevel: info\n', 3, 1),
    'second document': ('name: gw\n---\nname: other\n', 2, 1),
    'duplicate key': ('name: gw\nname: other\n', 2, 1),
    'tag': ('name: !!str gw\n', 1, 7),
    'merge key': ('x-a: &a {name: gw}\n<<: *a\n', 2, 1),
    'unknown anchor': ('name: *nobody\n', 1, 7),
    'not UTF-8': (b'name: gw\xff\n', None, None),
    'empty': ('', None, None),
    'array': ('- 1\n', 1, 1),
    'mixed forms': (None, 12, 5),
}

MIXED = '''\
name: gw
devices:
  - type: modbus_slave
    name: one
    modbus_type: TCP
    transport:
      {type: TCP, local_host: 127.0.0.1, local_port: 1502, remote_hosts: null, max_connections: null,
       response_timeout: 1, keep_alive_timeout: null}
    data: []
  - # the other form
    #
    module: hat.gateway.devices.modbus.slave
    name: two
    modbus_type: TCP
    transport: {type: TCP, local_host: 127.0.0.1, local_port: 1503, remote_hosts: null, max_connections: null,
                response_timeout: 1, keep_alive_timeout: null}
    data: []
'''


@pytest.mark.parametrize('name', ALONE)
def test_errors_that_stand_alone(name, write):
    text, line, column = ALONE[name]
    path = write(MIXED if text is None else text)
    result = run_daemon('--config', path, '--check', '--json')
    assert result.returncode == 78
    array = json.loads(result.stdout)
    assert array and all(i['severity'] == 'error' for i in array)
    if line is not None:
        assert line in [i['line'] for i in array], array
        if name != 'tab':
            assert (line, column) in [(i['line'], i['column']) for i in array], array


@pytest.mark.parametrize('form', [NATIVE, HAT], ids=repr)
def test_duplicates_are_errors_in_both_forms(form, write):
    """Two devices of one name and type, and two on one listening address."""
    for devices in ([slave('a', 1502, []), slave('a', 1503, [])], [slave('a', 1502, []), slave('b', 1502, [])]):
        result = run_daemon('--config', write(form.config(devices, 23012)), '--check', '--json')
        assert result.returncode == 78
        assert [i['path'].startswith('/devices/1') for i in json.loads(result.stdout)] == [True]


@pytest.mark.parametrize('form', [NATIVE, HAT], ids=repr)
def test_clean(form, write):
    config = form.config([master('a', 502, [remote(1, [data('x')])]), slave('b', 1502, [slave_data('x')])], 23012)
    result = run_daemon('--config', write(config), '--check')
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')
    result = run_daemon('--check', '--json', '--conf', write(config))
    assert (result.returncode, json.loads(result.stdout)) == (0, [])


def test_warnings_only(write):
    """Warnings do not fail a check; scalars that YAML 1.1 reads differently are such."""
    text = 'name: yes\nevent_server: {eventer_server: {host: 127.0.0.1, port: 23012}}\ndevices: []\n' \
           'adminer_server: {host: 127.0.0.1, port: 23016}\nx-anchors: {a: 1}\n'
    result = run_daemon('--config', write(text), '--check', '--json')
    assert result.returncode == 0
    array = json.loads(result.stdout)
    assert all(i['severity'] == 'warning' for i in array)
    assert (1, 7) in [(i['line'], i['column']) for i in array]
    assert '/adminer_server' in [i['path'] for i in array]


# Ten reads of one register at 9600 baud, 960 characters a second: 8 of a request, 3.5 of silence, 7 of an answer, and 3.5 of silence
# again where they are computed. A silent_interval of 0 leaves only the device's. Natively 10 * 22 / 960 / 0.214 = 1.071, in the hat
# form 10 * 18.5 / 960 / 0.18 = 1.071.
@pytest.mark.parametrize('form, interval, silence', [(NATIVE, 0.214, {}), (HAT, 0.18, {'silent_interval': 0})], ids=['native', 'hat'])
def test_line_that_is_too_slow(form, interval, silence, write):
    def check(factor, *arguments):
        items = [data(f'at-{i}', start=2 * i, interval=factor * interval) for i in range(10)]
        line = master('line', 0, [remote(1, items)], 'RTU', transport=serial_transport('/dev/ttyS0', baudrate=9600, **silence))
        return run_daemon('--config', write(form.config([line], 23012)), '--check', *arguments)

    result = check(1)
    text, = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (0, '')
    assert '/devices/0/connection/transport/baudrate: warning: reading all data takes 107 % of the line\'s time: 1.07 s on' in text
    assert json.loads(check(1.1, '--json').stdout) == []


def test_files_that_cannot_be_read(tmp_path):
    missing = run_daemon('--config', tmp_path / 'nowhere.yaml', '--check')
    assert missing.returncode == 78 and 'nowhere.yaml' in missing.stderr
    directory = run_daemon('--config', tmp_path, '--check')
    assert directory.returncode == 78


@pytest.mark.skipif(os.path.exists('/etc/gatewayd/gatewayd.yaml') or os.path.exists('/usr/lib/gatewayd/gatewayd.yaml'),
                    reason='a configuration is installed on this machine')
def test_default_files_are_named():
    result = run_daemon('--check')
    assert result.returncode == 78
    assert '/etc/gatewayd/gatewayd.yaml' in result.stderr and '/usr/lib/gatewayd/gatewayd.yaml' in result.stderr
    result = run_daemon('--check', '--json')
    assert result.returncode == 78 and result.stderr == ''
    (error,) = json.loads(result.stdout)
    assert (error['file'], error['line'], error['column']) == ('/etc/gatewayd/gatewayd.yaml', None, None)
    assert '/usr/lib/gatewayd/gatewayd.yaml' in error['message']


@pytest.mark.parametrize('arguments', [['--nonsense'], ['--bus'], ['extra'], ['--log-level=loud'], ['--log-target=moon'],
                                       ['--json']])
def test_wrong_usage(arguments):
    result = run_daemon(*arguments)
    assert result.returncode == 2
    assert result.stderr and '--print-schema' not in result.stderr, 'one specific line, never the full help'


def test_help_and_version():
    assert '--check' in run_daemon('--help').stdout
    assert re.search(r'\d+\.\d+', run_daemon('--version').stdout)
    schema = json.loads(run_daemon('--print-schema').stdout)
    assert schema['$schema'] == 'https://json-schema.org/draft/2020-12/schema'


def test_examples_are_clean():
    examples = sorted((ROOT / 'docs/examples').glob('*.yaml'))
    assert examples
    for example in examples:
        result = run_daemon('--config', example, '--check')
        assert result.returncode == 0, result.stderr
        assert 'error' not in result.stderr


def test_secrets_are_not_printed(write):
    text = 'name: gw\nevent_server:\n  client_token: verysecret\n  eventer_server: {host: 127.0.0.1, port: verysecret2}\n'
    result = run_daemon('--config', write(text), '--check')
    assert result.returncode == 78
    assert 'verysecret ' not in result.stderr and 'verysecret"' not in result.stderr


def test_range_errors_fail_only_their_device_in_the_hat_form(event_server, eventer, bus, bus_client, gatewayd, field):
    """--check says error; the daemon starts, that device is failed with reason config, and a log line says so, the others run."""
    device = field()
    bad, good = master('bad', device.port, [remote(1, [data('x', start=70000)])]), master('good', device.port, [])
    gateway = gatewayd(HAT.config([bad, good], event_server.port))
    assert run_daemon('--config', gateway.config, '--check').returncode == 78
    assert gateway.log_text().count('modbus_master/bad: Failed (config): /devices/0/remote_devices/0/data/0/start_address: ') == 1

    for name in ('modbus_master/bad', 'modbus_master/good'):
        eventer.register(f'gateway/{name}/system/enable', True)
    eventer.wait('gateway/modbus_master/good/gateway/running', True)
    properties = bus_client.device('modbus_master/bad')
    assert (properties['State'], properties['StateReason']) == ('failed', 'config')
    assert eventer.payloads('gateway/modbus_master/bad/gateway/*') == [False]


def test_signals(tmp_path):
    """SIGTERM and SIGINT end it with status 0; so does a second one, at once."""
    for number in (signal.SIGTERM, signal.SIGINT):
        directory = tmp_path / number.name
        directory.mkdir()
        with Gateway(NATIVE.config([], free_port()), directory) as gateway:
            gateway.process.signal(number)
            assert gateway.process.wait() == 0


def test_bus_name_is_taken(event_server, bus, gatewayd, tmp_path):
    gatewayd(NATIVE.config([], event_server.port))
    directory = tmp_path / 'second'
    directory.mkdir()
    second = Gateway(NATIVE.config([], event_server.port), directory, bus.address, wait=False)
    assert second.process.wait() == 1
    second.close()


def test_no_socket_is_opened_by_a_check(write):
    """A check of a configuration whose port is taken is clean."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen()
        config = NATIVE.config([slave('a', s.getsockname()[1], [])], 23012)
        assert run_daemon('--config', write(config), '--check').returncode == 0
