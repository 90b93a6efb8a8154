# SPDX-License-Identifier: Apache-2.0
"""The device type gpio as far as a machine without GPIO goes: a chip that is missing, what clients see of it, and wrong configurations."""

import json

import pytest

from harness.bus import device_path
from harness.config import NATIVE
from harness.eventer import payload
from harness.gateway import run_daemon

IO = 'gpio/io'
PREFIX = NATIVE.prefix(IO)
INTERFACE = 'io.gatewayd.Gateway1.Device.Gpio'

pytestmark = pytest.mark.event_servers('hat-event', 'embedded')


def gpio(*lines, **more):
    return {'type': 'gpio', 'name': 'io', 'chip': 'gpiochip77', 'connect_delay': 0.2, 'lines': list(lines), **more}


DOOR = {'name': 'door', 'line': 3, 'direction': 'INPUT'}
LAMP = {'name': 'lamp', 'line': 'LED0', 'direction': 'OUTPUT', 'safe': 0}


def test_missing_chip(event_server, eventer, bus, bus_client, gatewayd, gatewayctl):
    gateway = gatewayd(NATIVE.config([gpio(DOOR, LAMP)], event_server.port))
    constants = bus_client.get_all(device_path(IO), INTERFACE)
    assert constants == {'Chip': 'gpiochip77', 'LostEdges': 0, 'Lines': []}

    eventer.register(f'{PREFIX}/system/enable', True)
    eventer.wait(f'{PREFIX}/gateway/running', True)
    eventer.wait(f'{PREFIX}/gateway/status', 'DISCONNECTED')
    properties = bus_client.device(IO)
    assert (properties['State'], properties['Link'], properties['LinkReason']) == ('running', 'down', 'not-found')
    assert properties['LinkDetail'] == 'there is no chip gpiochip77'
    lines = bus_client.get(device_path(IO), INTERFACE, 'Lines')
    assert [(i['Name'], i['Direction'], i['Offset'], i['Value'], i['Consumer']) for i in lines] == \
        [('door', 'INPUT', 3, 0, ''), ('lamp', 'OUTPUT', 0, 0, '')]

    # It goes on trying, and says so once.
    since = eventer.mark()
    eventer.wait(f'{PREFIX}/gateway/status', 'CONNECTING', since)
    eventer.wait(f'{PREFIX}/gateway/status', 'DISCONNECTED', since)
    assert bus_client.device(IO)['LinkChangeTimestamp'] == properties['LinkChangeTimestamp']

    # Every write is answered, in the order of the specification; request_id comes back as it was.
    for line, value, result in [('lamp', 1, 'NOT_CONNECTED'), ('lamp', True, 'INVALID_VALUE'), ('door', 5, 'NOT_OUTPUT'),
                                ('cellar', 5, 'UNKNOWN_LINE')]:
        since = eventer.mark()
        eventer.register(f'{PREFIX}/system/line/{line}/write', {'request_id': [result, None], 'value': value})
        eventer.wait(f'{PREFIX}/gateway/line/{line}/write', {'request_id': [result, None], 'result': result}, since)

    # People write by the line's name.
    written = gatewayctl('write', 'gpio/io', 'lamp', '1', check=False)
    assert written.returncode != 0 and 'NOT_CONNECTED' in written.stderr

    gateway.stop()
    assert payload(eventer.latest(f'{PREFIX}/gateway/status')) == 'DISCONNECTED'


@pytest.mark.parametrize('device, pointer', [
    (gpio(DOOR, DOOR | {'line': 4}), '/devices/0/lines/1/name'),
    (gpio(DOOR, DOOR | {'name': 'gate'}), '/devices/0/lines/1/line'),
    (gpio(DOOR | {'edge': 'NONE'}), '/devices/0/lines/0/poll_interval'),
    (gpio(DOOR | {'safe': 1}), '/devices/0/lines/0/safe'),
    (gpio(LAMP | {'debounce': 0.1}), '/devices/0/lines/0/debounce'),
    (gpio(LAMP | {'initial': 2}), '/devices/0/lines/0/initial'),
    (gpio(DOOR | {'direction': 'BOTH'}), '/devices/0/lines/0/direction'),
    (gpio(), '/devices/0/lines'),
], ids=lambda i: i if isinstance(i, str) else '')
def test_wrong_configuration(device, pointer, tmp_path):
    path = tmp_path / 'gatewayd.yaml'
    path.write_text(json.dumps(NATIVE.config([device], 23012)))
    result = run_daemon('--config', path, '--check', '--json')
    assert result.returncode == 78
    assert [i['path'] for i in json.loads(result.stdout)] == [pointer]


def test_one_line_of_two_devices(tmp_path):
    path = tmp_path / 'gatewayd.yaml'
    path.write_text(json.dumps(NATIVE.config([gpio(DOOR), gpio(DOOR, name='other', chip='/dev/gpiochip77')], 23012)))
    result = run_daemon('--config', path, '--check')
    assert result.returncode == 78
    assert '/devices/1/lines/0/line: ' in result.stderr + result.stdout
