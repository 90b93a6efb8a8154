# SPDX-License-Identifier: Apache-2.0
"""gatewayctl against the real daemon on a private bus: every verb, every exit status, JSON, the table on and off a terminal."""

import json
import os
import re
import signal
import subprocess
import time

import jsonschema
import pytest

from harness.bus import DEVICE, NAME, Bus, device_path
from harness.config import NATIVE, data, master, remote, slave, slave_data
from harness.gateway import SANITIZER_ENV, Ctl
from harness.paths import CTL
from harness.ports import free_port
from harness.process import Process
from harness.terminal import on_terminal
from harness.waiting import DEADLINE, wait_until

from scripted_server import ScriptedServer

PLC = 'modbus_master/plc'
ABSENT = 'modbus_master/absent'         # its far end is not there: runs with its link down

TEXT = {'type': ['string', 'null']}
TIME = {'type': ['integer', 'null'], 'minimum': 0}
COUNT = {'type': 'integer', 'minimum': 0}
EVENT_TYPE = {'type': 'array', 'items': {'type': 'string'}, 'minItems': 1}
POINT_SCHEMA = {
    'type': 'object',
    'properties': {'Kind': {'enum': ['value', 'enable']}, 'Name': {'type': 'string', 'minLength': 1},
                   **{i: {'oneOf': [EVENT_TYPE, {'type': 'null'}]} for i in ('In', 'Out', 'Answer')}},
    'required': ['Kind', 'Name', 'In', 'Out', 'Answer'],
    'additionalProperties': False}
DEVICE_SCHEMA = {
    'type': 'object',
    'properties': {
        'Type': {'type': 'string'}, 'Name': {'type': 'string'}, 'Description': TEXT,
        'Enabled': {'type': 'boolean'}, 'EnabledKnown': {'type': 'boolean'}, 'Running': {'type': 'boolean'},
        'State': {'enum': ['disabled', 'waiting', 'starting', 'running', 'stopping', 'failed']},
        'StateReason': {'type': 'string'}, 'StateDetail': TEXT,
        'StateChangeTimestamp': TIME, 'StateChangeTimestampMonotonic': TIME,
        'Link': {'enum': ['none', 'connecting', 'up', 'partial', 'down']},
        'LinkReason': {'type': 'string'}, 'LinkDetail': TEXT,
        'LinkChangeTimestamp': TIME, 'LinkChangeTimestampMonotonic': TIME, 'LinkChangesOmitted': COUNT,
        'NextRetryTimestampMonotonic': TIME, 'Restarts': COUNT, 'RxMessages': COUNT, 'TxMessages': COUNT, 'Errors': COUNT,
        'LastMessageTimestamp': TIME, 'EventPrefix': EVENT_TYPE, 'Points': {'type': 'array', 'items': POINT_SCHEMA},
        'ModbusMaster': {'type': 'object'}, 'ModbusSlave': {'type': 'object'}},
    'additionalProperties': False}
DEVICE_SCHEMA['required'] = [i for i in DEVICE_SCHEMA['properties'] if not i.startswith('Modbus')]
SCHEMA = {
    'type': 'object',
    'properties': {'Version': {'const': 1}, 'Manager': {'type': 'object'},
                   'Devices': {'type': 'array', 'items': DEVICE_SCHEMA}},
    'required': ['Version', 'Manager', 'Devices'],
    'additionalProperties': False}
EDGE_SCHEMA = {
    'type': 'object',
    'properties': {'Type': {'type': 'string'}, 'Name': {'type': 'string'}},
    'required': ['Type', 'Name'],
    'oneOf': [{'required': ['OldState', 'State', 'StateReason', 'StateChangeTimestamp', 'StateChangeTimestampMonotonic']},
              {'required': ['OldLink', 'Link', 'LinkReason', 'LinkChangeTimestamp', 'LinkChangeTimestampMonotonic']}]}


def config(device_port, event_port, slave_port=None):
    plc = master('plc', device_port, [remote(1, [data('word')])])
    devices = [master('plc-10', device_port, []), {**plc, 'description': 'Boiler room'}, master('plc-2', device_port, []),
               master('absent', free_port(), [])]
    if slave_port:
        devices += [slave('srv', slave_port, [slave_data('x')]), slave('plc-2', free_port(), [])]
    return NATIVE.config(devices, event_port)


@pytest.fixture
def gateway(gatewayd, event_server, eventer, field, bus):
    """Four masters and two slaves, all disabled; the name plc-2 is taken twice."""
    gateway = gatewayd(config(field().port, event_server.port, free_port()))
    for device in (PLC, ABSENT, 'modbus_master/plc-2', 'modbus_master/plc-10', 'modbus_slave/srv', 'modbus_slave/plc-2'):
        eventer.wait(f'{NATIVE.prefix(device)}/gateway/running', False)
    ctl = Ctl(bus.address)
    wait_until(lambda: all(i['EnabledKnown'] for i in ctl.devices().values()), 'the enable queries are answered')
    return gateway


@pytest.fixture
def fails(gatewayctl):
    """fails(status, …) runs gatewayctl, wants that status and one line on standard error, and returns the line."""
    def run(status, *arguments, ctl=gatewayctl, output='', **options):
        result = ctl(*arguments, check=False, **options)
        assert result.returncode == status, (result.returncode, result.stderr)
        assert result.stderr.endswith('\n') and result.stderr.count('\n') == 1, result.stderr
        assert result.stderr.startswith('gatewayctl: ')
        if output is not None:
            assert result.stdout == output
        return result.stderr

    return run


@pytest.fixture
def in_background(bus, tmp_path):
    """in_background(…) starts gatewayctl and returns its process; standard output and error are apart."""
    running = []

    def start(*arguments):
        process = Process([CTL, f'--address={bus.address}', *arguments], log=tmp_path / f'ctl-{len(running)}.log',
                          env=SANITIZER_ENV, separate=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.close()
        assert not process.sanitizer_report()


def without_times(text):
    """Nor without the width of a column that follows from them."""
    return re.sub(r' +$', '', re.sub(r'(\bnow\b|\d+s ago|\d+min ago) *', 'T ', text), flags=re.MULTILINE)


# ---- list

def start_two(gatewayctl):
    gatewayctl('enable', PLC, '--wait=up')
    gatewayctl('enable', ABSENT, '--wait=down')


TABLE = '''\
modbus_master absent yes     running  down T cannot connect to tcp:127.0.0.1:PORT: Connection refused
modbus_master plc    yes     running  up   T
modbus_master plc-2  no      disabled none T
modbus_master plc-10 no      disabled none T
modbus_slave  plc-2  no      disabled none T
modbus_slave  srv    no      disabled none T
'''


def test_table_in_a_pipe(gateway, gatewayctl):
    start_two(gatewayctl)
    text = re.sub(r':\d+:', ':PORT:', gatewayctl('list').stdout)
    assert without_times(text) == TABLE
    assert [i.split()[:2] for i in gatewayctl().stdout.splitlines()] == [i.split()[:2] for i in TABLE.splitlines()]


def test_patterns(gateway, gatewayctl, fails):
    def names(*patterns):
        return [i.split()[1] for i in gatewayctl('list', *patterns).stdout.splitlines()]

    assert names('plc-*') == ['plc-2', 'plc-10', 'plc-2']
    assert names('plc-2') == ['plc-2', 'plc-2']
    assert names('modbus_slave/*', 'plc') == ['plc', 'plc-2', 'srv']
    assert names(device_path('modbus_slave/srv')) == ['srv']
    assert names('nobody*') == []
    assert 'nobody' in fails(4, 'list', 'nobody')


def test_table_on_a_terminal(gateway, gatewayctl, bus):
    start_two(gatewayctl)
    text, status = on_terminal(bus, 'list', columns=72, env={'NO_COLOR': '1'})
    assert status == 0
    lines = text.splitlines()
    assert lines[0].split() == ['TYPE', 'NAME', 'ENABLED', 'STATE', 'LINK', 'SINCE', 'DETAIL']
    assert [i.split()[1] for i in lines[1:7]] == ['absent', 'plc', 'plc-2', 'plc-10', 'plc-2', 'srv']
    assert lines[7:] == ['', '6 devices listed.']
    assert all(len(i) <= 72 for i in lines), text
    assert lines[1].rstrip().endswith('…') and 'cannot' in lines[1]
    assert '\x1b' not in text

    # As long as it is, without header and footer, only a word's colour.
    text, status = on_terminal(bus, 'list', '--full', '--no-legend', columns=72)
    lines = text.splitlines()
    assert len(lines) == 6 and 'Connection refused' in lines[0]
    assert '\x1b[32mrunning' in lines[0] and '\x1b[31mdown' in lines[0] and '\x1b[90mdisabled' in lines[2]
    assert '\x1b' not in on_terminal(bus, 'list', env={'TERM': 'dumb'})[0]
    assert json.loads(on_terminal(bus, 'list', '-j')[0])['Version'] == 1
    assert '\n  ' in on_terminal(bus, 'list', '-j')[0]


def test_footer_counts_failures(gateway, gatewayctl, bus, field):
    """A slave whose port is taken fails."""
    port = int(re.search(r':(\d+)$', gatewayctl('show', 'srv', '-p', 'Endpoint').stdout)[1])
    taken = Process(['python3', '-c', 'import socket, sys; s = socket.create_server(("127.0.0.1", int(sys.argv[1]))); '
                     'print("ready", flush=True); input()', str(port)], stdin=subprocess.PIPE)
    try:
        taken.wait_line(re.compile('ready'))
        gatewayctl('enable', 'srv', '--wait=failed')
        assert on_terminal(bus)[0].splitlines()[-1] == '6 devices listed, 1 failed.'
        text = gatewayctl('status', 'srv', check=False).stdout
        assert re.search(r'State: failed \(busy: .*\) since', text) and re.search(r'Next try: in \d+s', text)
    finally:
        taken.close()


# ---- JSON

def test_json(gateway, gatewayctl, bus):
    start_two(gatewayctl)
    for arguments in (['list'], ['status'], ['status', PLC], ['list', 'nobody*']):
        jsonschema.validate(json.loads(gatewayctl('--json=short', *arguments).stdout), SCHEMA)
    listed = gatewayctl.json('list')
    assert [i['Name'] for i in listed['Devices']] == ['absent', 'plc', 'plc-2', 'plc-10', 'plc-2', 'srv']
    assert listed['Manager']['DevicesDown'] == 1 and listed['Manager']['State'] == 'degraded'
    plc = listed['Devices'][1]
    assert plc['Description'] == 'Boiler room' and plc['Link'] == 'up' and plc['StateDetail'] is None
    assert plc['ModbusMaster']['RemoteDevices'][0]['DeviceId'] == 1

    # One schema: what the daemon says itself.
    described = json.loads(bus.busctl_json('call', 'io.gatewayd.Gateway1', '/io/gatewayd/Gateway1',
                                           'io.gatewayd.Gateway1.Manager', 'Describe')['data'][0])
    assert sorted(map(json.dumps, described.pop('Devices'))) == sorted(map(json.dumps, gatewayctl.json('list')['Devices']))
    assert described.keys() == {'Version', 'Manager'}

    assert gatewayctl('list', '--json=short').stdout.count('\n') == 1
    assert gatewayctl('list', '-j').stdout.count('\n') == 1
    assert gatewayctl('list', '--json').stdout.count('\n') == 1
    assert json.loads(gatewayctl('list', '--json=pretty').stdout) == gatewayctl.json('list')
    assert without_times(gatewayctl('list', '--json=off').stdout) == without_times(gatewayctl('list').stdout)

    shown = gatewayctl.json('show', PLC)
    assert shown['Version'] == 1
    jsonschema.validate(shown['Devices'], {'type': 'array', 'items': DEVICE_SCHEMA, 'minItems': 1, 'maxItems': 1})
    assert gatewayctl.json('show', PLC, '-p', 'State,Framing') == \
        {'Version': 1, 'Devices': [{'State': 'running', 'Framing': 'TCP'}]}


# ---- status and show

def test_status(gateway, gatewayctl, fails):
    start_two(gatewayctl)
    summary = gatewayctl('status').stdout
    assert re.match(r'● gatewayd \d', summary)
    assert re.search(r'State: degraded\n', summary) and re.search(r'Event server: tcp:127.0.0.1:\d+, operational\n', summary)
    assert re.search(r'Devices: 6, 2 enabled, 2 running, 1 with link down\n', summary)

    block = gatewayctl('status', 'plc').stdout
    assert block.startswith('● modbus_master/plc - Boiler room\n')
    for line in (r'Enabled: yes', r'State: running since \w{3} \d{4}-\d\d-\d\d .*; (now|\d+s ago)', r'Link: up since .*',
                 r'Messages: \d+ received, \d+ sent, \d+ errors.*', r'Framing: TCP', r'RemoteDevices: DeviceId=1 .*'):
        assert re.search(rf'^ *{line}$', block, re.MULTILINE), (line, block)
    assert re.search(r'Link: down \(refused: cannot connect to .*\) since', gatewayctl('status', ABSENT).stdout)

    assert gatewayctl('status', '*', check=False).returncode == 3
    assert gatewayctl('status', '*', check=False).stdout.count('●') == 6
    assert gatewayctl('status', 'srv', check=False).returncode == 3
    assert gatewayctl('status', 'srv', '-j', check=False).returncode == 3
    assert gatewayctl('status', PLC, ABSENT).stdout.count('●') == 2
    assert 'nobody' in fails(4, 'status', 'nobody')
    fails(4, 'status', 'nobody*')
    fails(4, 'status', 'nobody', PLC, output=None)


def test_show(gateway, gatewayctl, fails):
    start_two(gatewayctl)
    lines = dict(i.split('=', 1) for i in gatewayctl('show', PLC).stdout.splitlines())
    described = gatewayctl.json('show', PLC)['Devices'][0]
    assert lines.keys() == (described.keys() | described['ModbusMaster'].keys()) - {'ModbusMaster'}
    assert lines['State'] == 'running' and lines['Enabled'] == 'yes' and lines['StateDetail'] == ''
    assert int(lines['StateChangeTimestamp']) == described['StateChangeTimestamp']
    assert json.loads(lines['RemoteDevices'])[0]['DeviceId'] == 1

    assert gatewayctl('show', 'plc', '-p', 'Link', '--property=Type,Running').stdout == \
        'Link=up\nType=modbus_master\nRunning=yes\n'
    assert gatewayctl('show', 'plc', 'absent', '-p', 'Link').stdout == 'Link=up\n\nLink=down\n'
    assert 'Nothing' in fails(1, 'show', PLC, '-p', 'Nothing')
    assert 'ambiguous: modbus_master/plc-2, modbus_slave/plc-2' in fails(2, 'show', 'plc-2')
    assert 'nobody' in fails(4, 'show', 'nobody')
    assert 'nobody' in fails(4, 'show', 'modbus_master/nobody')
    fails(4, 'show', 'plc*')                                       # no patterns here
    fails(4, 'show', device_path('modbus_master/nobody'))
    fails(4, 'show', '/nonsense')


# ---- enable, disable, restart, is-*

def test_enable_and_disable(gateway, gatewayctl, eventer):
    prefix = NATIVE.prefix(PLC)
    assert gatewayctl('is-enabled', PLC, check=False).returncode == 1
    assert gatewayctl('is-running', PLC, check=False).returncode == 3

    result = gatewayctl('enable', PLC, '--wait', '--timeout=20')
    assert (result.stdout, result.stderr) == ('', '')
    assert gatewayctl('is-enabled', PLC).stdout == 'enabled\n'
    assert gatewayctl('is-running', 'plc').stdout == 'running\n'
    eventer.wait_payloads(f'{prefix}/system/enable', [True])

    # Enabling what is enabled registers again; without --wait it is done when the server has accepted it.
    gatewayctl('enable', PLC)
    eventer.wait_payloads(f'{prefix}/system/enable', [True, True])

    restarts = gatewayctl.devices()[PLC]['Restarts']
    gatewayctl('restart', device_path(PLC))
    gatewayctl.wait(PLC)
    wait_until(lambda: gatewayctl.devices()[PLC]['Restarts'] == restarts + 1, 'the run is a new one')

    gatewayctl('disable', PLC, '--wait')
    assert gatewayctl('is-running', '-q', PLC, check=False).stdout == ''
    assert gatewayctl('is-running', PLC, check=False).stdout == 'disabled\n'
    eventer.wait_payloads(f'{prefix}/system/enable', [True, True, False])

    gatewayctl('enable', PLC, 'srv', '--wait')
    assert gatewayctl('is-running', PLC, 'srv').stdout == 'running\nrunning\n'
    assert gatewayctl('is-running', PLC, 'absent', 'srv', check=False).returncode == 3
    assert gatewayctl('is-enabled', PLC, 'absent', 'srv', check=False).returncode == 1


def test_enabled_is_unknown(gateway, gatewayctl, event_server):
    """Without an event server the last word of it is no yes."""
    gatewayctl('enable', PLC, '--wait')
    event_server.kill()
    wait_until(lambda: not gatewayctl.devices()[PLC]['EnabledKnown'], 'the loss is noticed')
    result = gatewayctl('is-enabled', PLC, check=False)
    assert (result.returncode, result.stdout) == (1, 'unknown\n')
    assert gatewayctl('is-enabled', '-q', PLC, check=False).returncode == 1


def test_several_with_a_mistake(gateway, gatewayctl, fails):
    """All are tried; the status is that of the first that failed."""
    assert 'nobody' in fails(4, 'enable', PLC, 'nobody', 'srv', '--wait')
    assert gatewayctl('is-running', PLC, 'srv').returncode == 0
    assert 'nobody' in fails(4, 'is-running', 'nobody', 'absent', output='disabled\n')


def test_not_enabled(gateway, fails):
    assert fails(1, 'restart', PLC) == f'gatewayctl: Cannot restart {PLC}: The device is not enabled.\n'


def test_transient_state(gateway, gatewayctl):
    """starting lasts a moment; its signal is enough."""
    gatewayctl('enable', PLC, '--wait=starting', '--timeout=20')


# ---- waiting

def test_wait(gateway, gatewayctl, fails, in_background):
    waiting = in_background('wait', PLC, ABSENT, '--timeout=60')
    linked = in_background('wait', PLC, '--link=up', '--state=running', '--timeout=60')
    gatewayctl('enable', PLC, '--wait')
    assert linked.wait() == 0
    assert waiting.running
    gatewayctl('enable', ABSENT)
    assert waiting.wait() == 0
    gatewayctl('wait', PLC, '--link=up', '--timeout=20')

    began = time.monotonic()
    text = fails(5, 'wait', ABSENT, '--link=up', '--timeout=2')
    assert time.monotonic() - began < 10           # reading waits so long without --timeout
    assert f'waiting for {ABSENT} to be link up' in text and 'running' in text and 'Connection refused' in text
    fails(5, 'enable', ABSENT, '--wait=up', '--timeout=0.5')
    fails(4, 'wait', 'nobody', '--timeout=20')


def test_wait_for_the_daemon(bus, gatewayctl, gatewayd, event_server, field, in_background):
    waiting = in_background('wait', PLC, '--state=disabled', '--timeout=60')
    running = in_background('wait', PLC, '--timeout=60')
    content = config(field().port, event_server.port)
    first = gatewayd(content)
    assert waiting.wait() == 0
    first.kill()                        # in the middle: waited for too
    gatewayd(content)
    assert running.running
    gatewayctl.wait_operational()
    gatewayctl('enable', PLC)
    assert running.wait() == 0


def clients(bus):
    return sum(i['name'].startswith(':') for i in json.loads(bus.busctl('--json=short', 'list').stdout))


def stop_and_start(gateway, bus, in_background, *arguments):
    """Starts gatewayctl while the daemon is stopped, and waits until it is on the bus."""
    gateway.process.signal(signal.SIGSTOP)
    before = clients(bus)
    process = in_background(*arguments)
    wait_until(lambda: clients(bus) > before, 'gatewayctl is on the bus')
    return process


def test_wait_while_the_daemon_goes(gateway, bus, gatewayd, event_server, in_background):
    """It goes when it is asked: no complaint, the next one answers."""
    waiting = stop_and_start(gateway, bus, in_background, 'wait', PLC, '--state=disabled', '--timeout=60')
    gateway.kill()
    gatewayd(config(free_port(), event_server.port))
    assert waiting.wait() == 0
    assert waiting.log_text() == ''


def test_wait_without_a_daemon(bus, fails):
    text = fails(5, 'wait', PLC, '--timeout=2')
    assert 'gatewayd is not running' in text


def test_wait_names_what_is_lost(gatewayctl, gatewayd, event_server, bus, fails):
    """In the hat form a device that fails stays so: enable --wait says it at once."""
    from harness.config import HAT
    blocker = free_port()
    taken = Process(['python3', '-c', 'import socket, sys; s = socket.create_server(("127.0.0.1", int(sys.argv[1]))); '
                     'print("ready", flush=True); input()', str(blocker)], stdin=subprocess.PIPE)
    try:
        taken.wait_line(re.compile('ready'))
        gatewayd(HAT.config([slave('srv', blocker, [slave_data('x')])], event_server.port))
        gatewayctl.wait_operational()
        text = fails(1, 'enable', 'srv', '--wait', '--timeout=20')
        assert 'modbus_slave/srv failed and is not tried again (busy)' in text
    finally:
        taken.close()


# ---- monitor

def test_monitor(gateway, gatewayctl, in_background):
    plain = in_background('monitor', '--snapshot')
    lines = in_background('monitor', 'plc', '--snapshot', '-j')
    other = in_background('monitor', 'modbus_slave/*', '--snapshot')
    for process in (plain, lines, other):
        process.wait_line(re.compile('plc'))
    assert plain.text().count('\n') == 6

    # Edges of a link come at most every 100 ms; the last one always comes.
    gatewayctl('enable', PLC, '--wait=up')
    wait_until(lambda: 'link connecting → up' in plain.text(), lambda: plain.text())
    gatewayctl('disable', PLC, '--wait')
    wait_until(lambda: 'stopping → disabled' in plain.text() and 'link up → none' in plain.text(), lambda: plain.text())
    edges = re.findall(r'^\d\d:\d\d:\d\d\.\d{3} (\S+): (.*)$', plain.text(), re.MULTILINE)[6:]
    assert {i for i, _ in edges} == {PLC}
    states = [i for _, i in edges if not i.startswith('link')]
    assert [re.sub(r' \(.*', '', i) for i in states] == \
        ['disabled → starting', 'starting → running', 'running → stopping', 'stopping → disabled']
    assert [re.sub(r' \(.*', '', i) for _, i in edges if i.startswith('link')] == \
        ['link none → connecting', 'link connecting → up', 'link up → none']

    wait_until(lambda: lines.text().count('\n') == 1 + len(edges), lambda: lines.text())
    snapshot, *objects = [json.loads(i) for i in lines.text().splitlines()]
    jsonschema.validate(snapshot, DEVICE_SCHEMA)
    for edge in objects:
        jsonschema.validate(edge, EDGE_SCHEMA)
        assert abs(edge.get('StateChangeTimestamp', edge.get('LinkChangeTimestamp')) / 1e6 - time.time()) < 60
    assert [i['State'] for i in objects if 'State' in i] == ['starting', 'running', 'stopping', 'disabled']
    assert other.text().count('\n') == 2

    plain.signal(signal.SIGINT)
    assert plain.wait() == -signal.SIGINT
    gateway.stop()
    assert lines.wait() == 8
    assert 'gatewayd went away' in lines.log_text()


def test_snapshot_and_edges_fit(gateway, gatewayctl, bus, in_background):
    """The edge that comes between the subscription and the snapshot is in the snapshot and not shown again."""
    gatewayctl('enable', PLC, '--wait')
    gateway.process.signal(signal.SIGSTOP)
    before = clients(bus)
    with Process(['busctl', f'--address={bus.address}', 'call', NAME, device_path(PLC), DEVICE, 'Restart']):
        wait_until(lambda: clients(bus) > before, 'Restart is on its way')
        monitor = stop_and_start(gateway, bus, in_background, 'monitor', PLC, '--snapshot', '-j')
        gateway.process.signal(signal.SIGCONT)
        wait_until(lambda: '"OldState":"starting"' in monitor.text(), lambda: monitor.text())
    states = [json.loads(i) for i in monitor.text().splitlines() if '"State"' in i]
    for earlier, later in zip(states, states[1:]):
        assert later['OldState'] == earlier['State'], monitor.text()


def test_monitor_ends(gateway, gatewayctl, fails):
    assert gatewayctl('monitor', '--timeout=2').stdout == ''
    fails(4, 'monitor', 'nobody', '--timeout=5')


# ---- nobody there, nobody answers

READING = (['list'], ['status'], ['show', PLC], ['is-enabled', PLC], ['is-running', PLC], ['monitor'])
CONTROLLING = (['enable', PLC], ['disable', PLC], ['restart', PLC], ['enable', PLC, '--wait'])


@pytest.mark.parametrize('arguments', READING + CONTROLLING, ids=' '.join)
def test_no_daemon(bus, fails, arguments):
    assert 'gatewayd is not running' in fails(8, *arguments)


def test_no_bus(tmp_path, fails):
    assert 'No such file' in fails(8, 'list', ctl=Ctl(f'unix:path={tmp_path}/nothing'))
    fails(8, 'wait', PLC, ctl=Ctl(f'unix:path={tmp_path}/nothing'))
    for address in ('nonsense', 'unix:nonsense=1', ''):
        assert 'not a D-Bus address' in fails(2, 'list', ctl=Ctl(address))


def test_no_activation_by_reading(tmp_path, fails):
    """The bus could start the daemon: only verbs that change something let it."""
    services = tmp_path / 'services'
    services.mkdir()
    started = tmp_path / 'started'
    (services / 'gatewayd.service').write_text(
        f'[D-BUS Service]\nName=io.gatewayd.Gateway1\nExec=/bin/sh -c "touch {started}; exit 1"\n')
    bus = Bus()
    bus._conf.write_text(bus._conf.read_text().replace('<auth>', f'<servicedir>{services}</servicedir><auth>'))
    with bus:
        ctl = Ctl(bus.address)
        for arguments in READING:
            fails(8, *arguments, ctl=ctl)
        fails(5, 'wait', PLC, '--timeout=0.3', ctl=ctl)
        assert not started.exists()
        fails(8, 'enable', PLC, ctl=ctl)
        assert started.exists()


@pytest.fixture
def silent(gatewayd, bus, gatewayctl):
    """The gateway at an event server that does not answer Enable; one device."""
    server = ScriptedServer()
    gateway = gatewayd(NATIVE.config([master('plc', free_port(), [])], server.port))
    wait_until(lambda: gatewayctl.devices()[PLC]['EnabledKnown'], 'the enable query is answered')
    server.answer = 'silent'
    gateway.server = server
    yield gateway
    server.close()


def test_enable_is_not_answered(silent, fails):
    """The daemon's own limit is 10 s and is a failure; ours is a timeout."""
    began = time.monotonic()
    assert 'in time' in fails(5, 'enable', PLC, '--timeout=0.5')
    assert time.monotonic() - began < 10
    assert 'event server did not answer in time' in fails(1, 'enable', PLC, timeout=40)
    assert time.monotonic() - began > 10


def test_enable_is_refused(silent, fails):
    silent.server.answer = 'refuse'
    assert 'not operational or refused' in fails(1, 'enable', PLC)
    silent.server.close()
    wait_until(lambda: 'not connected' in fails(1, 'enable', PLC), 'the connection is lost')


def test_daemon_goes_while_asked(silent, in_background):
    asking = in_background('enable', PLC)
    wait_until(lambda: any(i.type[-1] == 'enable' for i in silent.server.registered), 'the event is registered')
    silent.kill()
    assert asking.wait() == 8
    assert 'went away' in asking.log_text()


def test_daemon_goes_while_waited_for(gateway, gatewayctl, in_background):
    waiting = in_background('enable', ABSENT, '--wait=up')
    wait_until(lambda: gatewayctl.devices()[ABSENT]['Link'] == 'down', 'the device runs')
    gateway.kill()
    assert waiting.wait() == 8
    assert f'gatewayd went away while waiting for {ABSENT} to be link up' in waiting.log_text()


def test_bus_goes(gateway, bus, gatewayctl, in_background):
    watching = in_background('monitor', '--snapshot')
    waiting = in_background('enable', ABSENT, '--wait=up')
    watching.wait_line(re.compile('plc'))
    wait_until(lambda: gatewayctl.devices()[ABSENT]['Link'] == 'down', 'the device runs')
    bus.stop()
    assert watching.wait() == 8 and waiting.wait() == 8
    assert watching.log_text().count('\n') == 1


def test_hung_daemon(gateway, fails):
    gateway.process.signal(signal.SIGSTOP)
    try:
        for arguments in (['list'], ['enable', PLC], ['wait', PLC]):
            assert 'in time' in fails(5, *arguments, '--timeout=0.3')
    finally:
        gateway.process.signal(signal.SIGCONT)


# ---- rights

def test_access_denied(service, system_ctl, fails, other_user):
    """Everybody may read; who may not control is told which group to join."""
    uid = other_user.pw_uid
    assert system_ctl('list', user=uid).stdout.startswith('modbus_master plc')
    assert system_ctl('show', PLC, '-p', 'Type', user=uid).stdout == 'Type=modbus_master\n'
    assert system_ctl('status', PLC, user=uid, check=False).returncode == 3
    for arguments in (['enable', PLC], ['disable', 'plc'], ['restart', PLC], ['enable', PLC, '--wait']):
        text = fails(6, *arguments, ctl=system_ctl, user=uid)
        assert 'Access denied' in text and 'group gatewayd' in text and 'org.freedesktop' not in text
    system_ctl('enable', PLC, '--wait')


# ---- which bus

def run(*arguments, env=None):
    result = subprocess.run([CTL, *arguments], capture_output=True, text=True, timeout=DEADLINE,
                            env={**os.environ, **SANITIZER_ENV, **(env or {})})
    assert 'Sanitizer' not in result.stderr
    return result


def test_system_and_user_bus(gateway, bus):
    for variable, option in (('DBUS_SYSTEM_BUS_ADDRESS', []), ('DBUS_SYSTEM_BUS_ADDRESS', ['--system']),
                             ('DBUS_SESSION_BUS_ADDRESS', ['--user'])):
        result = run(*option, 'is-enabled', PLC, env={variable: bus.address})
        assert (result.returncode, result.stdout) == (1, 'disabled\n')
    assert run('--user', 'list', env={'DBUS_SESSION_BUS_ADDRESS': 'unix:path=/nonexistent'}).returncode == 8


def test_remote_bus(gateway, bus, tmp_path):
    """The system bus of another host; here ssh is a script that has the bus at hand."""
    ssh = tmp_path / 'ssh'
    ssh.write_text(f'#!/bin/sh\nexec systemd-stdio-bridge --bus-path={bus.address}\n')
    ssh.chmod(0o755)
    path = f'{tmp_path}:{os.environ["PATH"]}'
    result = run('-H', 'somewhere', 'list', env={'PATH': path})
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 6), result.stderr
    ssh.write_text('#!/bin/sh\nexit 255\n')
    result = run('--host=somewhere', 'list', env={'PATH': path})
    assert result.returncode == 8 and 'somewhere' in result.stderr and result.stderr.count('\n') == 1


# ---- mistakes

@pytest.mark.parametrize('arguments, word', [
    (['lst'], "'lst'"), (['enable'], 'enable needs'), (['wait'], 'wait needs'), (['list', '--nothing'], 'nothing'),
    (['list', '-M', 'x'], "'M'"), (['list', '--json=xml'], 'xml'), (['list', '--timeout=soon'], 'soon'), (['list', '--timeout=0'], '0'),
    (['enable', PLC, '--wait=sometime'], 'sometime'), (['wait', PLC, '--state=up'], 'up'), (['wait', PLC, '--link=running'], 'running'),
    (['list', '--wait'], '--wait is not an option of list'), (['list', '--snapshot'], '--snapshot is not an option of list'),
    (['enable', PLC, '-p', 'State'], '--property= is not'), (['enable', PLC, '--state=running'], '--state= is not'),
    (['list', ''], 'not empty'), (['--address'], 'address'),
], ids=str)
def test_wrong_usage(fails, bus, arguments, word):
    """One line that says what is wrong, never the help; the bus is not even asked."""
    text = fails(2, *arguments, ctl=Ctl('unix:path=/nonexistent'))
    assert word in text and 'Verbs:' not in text


def test_help_and_version(bus):
    result = run('--help')
    assert result.returncode == 0 and result.stderr == '' and result.stdout.startswith('gatewayctl [OPTION')
    assert all(len(i) <= 100 for i in result.stdout.splitlines())
    assert run('-h').stdout == result.stdout
    assert re.fullmatch(r'gatewayctl \d+\.\d+\.\d+\n', run('--version').stdout)


def test_options_of_every_verb(gateway, gatewayctl):
    """--no-pager and the other general options are taken by every verb, before and after it."""
    general = ['--no-pager', '--no-legend', '-l', '--json=off', '--timeout=20']
    gatewayctl(*general, 'enable', PLC, '--wait')
    for arguments in (['list'], ['status', PLC], ['show', PLC], ['is-enabled', PLC], ['is-running', PLC], ['wait', PLC],
                      ['restart', PLC], ['monitor', '--timeout=2']):
        gatewayctl(*general, *arguments)
    gatewayctl('disable', PLC, '--wait', *general)
    gatewayctl('list', '--', 'plc')


def test_full_disk(gateway, bus):
    with open('/dev/full', 'w') as full:
        result = subprocess.run([CTL, f'--address={bus.address}', 'list'], stdout=full, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, **SANITIZER_ENV})
    assert result.returncode == 1 and 'Cannot write: No space left' in result.stderr


def test_names_of_any_language(gatewayd, gatewayctl, event_server, bus):
    """Whatever the locale; control characters of a description never reach a terminal."""
    device = {**master('kotlovnica č. 1', free_port(), []), 'description': 'evil \x1b[31mred'}
    gatewayd(NATIVE.config([device], event_server.port))
    env = {'LC_ALL': 'C', 'DBUS_SYSTEM_BUS_ADDRESS': bus.address}
    assert 'kotlovnica č. 1' in run('list', env=env).stdout
    assert run('is-running', 'modbus_master/kotlovnica č. 1', env=env).returncode == 3
    text = run('status', 'kotlovnica*', env=env).stdout
    assert 'evil \\x1b[31mred' in text and '\x1b' not in text
    assert 'Description=evil \\x1b[31mred\n' in run('show', 'kotlovnica č. 1', env=env).stdout
